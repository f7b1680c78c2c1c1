package exec

import (
	"debug/elf"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A program is loaded by mapping its file, or by reading it, and gets what it
// was started with, once.
func TestExec(t *testing.T) {
	for _, mappable := range []bool{true, false} {
		w := newWorld(t)
		p := &proc{w: w}
		e := simple()
		file, task, procPort, fd, cwd := w.file(e.bytes(), mappable), w.newTask(), w.NewPort(proto.Handler(p)), w.NewPort(nil), w.NewPort(nil)
		w.tasks[task].pages[0x700] = &page{} // of the program before
		err := w.exec(call{
			file: file, task: task, path: "prog", abspath: "/bin/prog", argv: "prog\x00-x\x00", envp: "A=b\x00LD_ORIGIN_PATH=/old\x00",
			dtable: []mach.Port{fd, 0, fd}, ports: []mach.Port{cwd, 0, 0, procPort}, ints: []int32{0o22}, dealloc: []mach.Port{7, 8}, destroy: []mach.Port{9},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.loaded(task, e, 0)
		got := w.tasks[task]
		if got.pages[0x700] != nil || got.pages[0] == nil || got.pages[0].prot != mach.ProtNone {
			t.Error("old memory is there, or page 0 can be used")
		}
		if !slices.Equal(got.dropped, []mach.Port{7, 8}) || !slices.Equal(got.destroyed, []mach.Port{9}) {
			t.Errorf("names dropped %v, destroyed %v", got.dropped, got.destroyed)
		}
		if got.suspended != 0 || got.name != "prog(42)" {
			t.Errorf("suspended %d times, called %q", got.suspended, got.name)
		}
		i := w.info(task)
		if want := (thread{0x8048100, uint32(i.stackBase + i.stackSize), true}); len(got.threads) != 1 || got.threads[0] != want {
			t.Errorf("threads %+v, want one of %+v", got.threads, want)
		}
		if below := got.pages[uint32(i.stackBase)/pageSize-1]; below.prot != mach.ProtNone || i.stackSize != StackSize {
			t.Errorf("stack of %d bytes, protection below %v", i.stackSize, below.prot)
		}
		if i.argv != "prog\x00-x\x00" || i.envp != "LD_ORIGIN_PATH=/bin\x00A=b\x00" {
			t.Errorf("arguments %q, environment %q", i.argv, i.envp)
		}
		if i.entry != 0x8048100 || i.phdr != 0x8048000+headerSize || i.phdrSize != 3*phentSize {
			t.Errorf("%+v", i)
		}
		if !slices.Equal(i.dtable, []mach.Port{fd, 0, fd}) || !slices.Equal(i.ports, []mach.Port{cwd, 0, 0, procPort, 0, 0}) || !slices.Equal(i.ints, []int32{0o22, 0, 0, 0, 0}) {
			t.Errorf("%+v", i)
		}
		want := []string{"code134512640 134557696", "pid", "exe/bin/prog", "entry134512896", "exec"}
		if !slices.Equal(p.calls, want) {
			t.Errorf("told proc %q, want %q", p.calls, want)
		}
		w.Release(i.dtable...)
		w.Release(i.ports...)
		if again := w.info(task); len(again.dtable)+len(again.ports) != 0 {
			t.Errorf("asked again: %+v", again)
		}
		w.ended(task)
		own := []mach.Port{file, procPort, fd, cwd, task}
		if mappable {
			for o := range w.objects {
				own = append(own, o)
			}
		}
		w.end(own...)
	}
}

// What a program does not ask for is given back when it ends.
func TestNobodyAsks(t *testing.T) {
	w := newWorld(t)
	file, task, fd := w.file(simple().bytes(), false), w.newTask(), w.NewPort(nil)
	if err := w.exec(call{file: file, task: task, dtable: []mach.Port{fd}}); err != nil {
		t.Fatal(err)
	}
	if n := w.Rights(fd); n != 2 {
		t.Errorf("%d rights to a descriptor, want the test's and the program's", n)
	}
	w.ended(task)
	w.end(file, task, fd)
}

// Whichever call of the kernel, or of the process server, fails: no task runs
// that should not, and no right is left.
func TestFailures(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t)
		p := &proc{w: w}
		file, task, procPort, fd := w.file(simple().bytes(), true), w.newTask(), w.NewPort(proto.Handler(p)), w.NewPort(nil)
		w.failAt = n
		err := w.exec(call{file: file, task: task, dtable: []mach.Port{fd}, ports: []mach.Port{fd, fd, fd, procPort}})
		over := w.calls < n
		if err == nil {
			for _, th := range w.tasks[task].threads {
				if !th.running {
					t.Errorf("call %d failed: success, but the thread does not run", n)
				}
			}
			w.ended(task)
		} else if !w.tasks[task].terminated && (len(w.tasks[task].threads) > 0 || w.tasks[task].suspended != 0) {
			t.Errorf("call %d failed: the task is left half made: %+v", n, w.tasks[task])
		}
		own := []mach.Port{file, task, procPort, fd}
		for o := range w.objects {
			own = append(own, o)
		}
		w.end(own...)
		if over {
			break
		}
	}
	for _, name := range []string{"code", "pid", "entry", "exec"} {
		w := newWorld(t)
		procPort := w.NewPort(proto.Handler(&proc{w: w, fail: name}))
		file, task := w.file(simple().bytes(), false), w.newTask()
		if err := w.exec(call{file: file, task: task, ports: []mach.Port{0, 0, 0, procPort}}); !errors.Is(err, proto.EPERM) || !w.tasks[task].terminated {
			t.Errorf("proc refuses %s: %v", name, err)
		}
		w.end(file, task, procPort)
	}
}

// What cannot be run leaves the task as it was.
func TestRefused(t *testing.T) {
	small := func(f func(e *elfFile)) []byte {
		e := simple()
		f(&e)
		return e.bytes()
	}
	for _, tc := range []struct {
		name string
		data []byte
		call func(c *call)
		want error
	}{
		{"empty", nil, nil, proto.ENOEXEC},
		{"text", []byte("hello"), nil, proto.ENOEXEC},
		{"entry 0", small(func(e *elfFile) { e.entry = 0 }), nil, proto.ENOEXEC},
		{"entry in data", small(func(e *elfFile) { e.entry = 0x804c300 }), nil, proto.ENOEXEC},
		{"page 0", small(func(e *elfFile) { e.segs[0].vaddr = 0 }), nil, proto.ENOEXEC},
		{"kernel", small(func(e *elfFile) { e.segs[1].vaddr = 0xc0000000 }), nil, proto.ENOEXEC},
		{"around the end", small(func(e *elfFile) { e.segs[1].memsz = 0xffffffff }), nil, proto.ENOEXEC},
		{"overlap", small(func(e *elfFile) { e.segs[1].vaddr = 0x804a234 }), nil, proto.ENOEXEC},
		{"truncated", simple().bytes()[:5*pageSize], nil, proto.ENOEXEC},
		{"a relocatable", small(func(e *elfFile) { e.typ = elf.ET_REL }), nil, proto.ENOEXEC},
		{"more in the file than in memory", small(func(e *elfFile) { e.segs[1].memsz = 5 }), nil, proto.ENOEXEC},
		{"too many arguments", simple().bytes(), func(c *call) { c.argv = strings.Repeat("x", MaxArgs+1) }, proto.E2BIG},
		{"too many files", simple().bytes(), func(c *call) { c.dtable = make([]mach.Port, maxFiles+1) }, proto.EINVAL},
		{"defaults that are not there", simple().bytes(), func(c *call) { c.flags = proto.EXEC_DEFAULTS }, proto.EIEIO},
		{"an interpreter that is not there", []byte("#!/bin/sh\n"), nil, proto.ENOENT},
		{"no interpreter", []byte("#! \n"), nil, proto.ENOEXEC},
		{"a loader that is not there", small(func(e *elfFile) {
			e.segs = append(e.segs, elfSegment{typ: elf.PT_INTERP, off: 8 * pageSize, filesz: 9, text: "/lib/ld.\x00"})
		}), nil, proto.ENOENT},
	} {
		w := newWorld(t)
		file, task := w.file(tc.data, false), w.newTask()
		c := call{file: file, task: task}
		if tc.call != nil {
			tc.call(&c)
		}
		if err := w.exec(c); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if got := w.tasks[task]; got.terminated || got.suspended != 0 || len(got.pages) != 0 {
			t.Errorf("%s: the task is %+v", tc.name, got)
		}
		w.end(file, task)
	}
	w := newWorld(t)
	w.free = reserve
	file, task := w.file(simple().bytes(), false), w.newTask()
	if err := w.exec(call{file: file, task: task}); !errors.Is(err, proto.ENOMEM) || w.tasks[task].terminated {
		t.Errorf("short of memory: %v", err)
	}
	w.end(file, task)
}

func TestScript(t *testing.T) {
	for _, tc := range []struct {
		line, path string
		argv       string
	}{
		{"#!/bin/sh\n", "/home/x", "/bin/sh\x00/home/x\x00a\x00"},
		{"#! /bin/sh -e  -x \nrest", "./x", "/bin/sh\x00-e  -x\x00./x\x00a\x00"},
		{"#!/bin/link\t-e", "x", "/bin/link\x00-e\x00x\x00a\x00"},
		{"#!/bin/sh\n", "", "/bin/sh\x00/dev/fd/1\x00a\x00"},
		{"#!/bin/script2\n", "x", "/bin/sh\x00-2\x00/bin/script2\x00x\x00a\x00"},
	} {
		w := newWorld(t)
		sh, script2, script, task, fd := w.file(simple().bytes(), false), w.file([]byte("#!/bin/sh -2\n"), false), w.file([]byte(tc.line), false), w.newTask(), w.NewPort(nil)
		root := w.NewPort(proto.Handler(&dir{w: w, files: map[string]mach.Port{"bin/sh": sh, "bin/script2": script2}}))
		if err := w.exec(call{file: script, task: task, path: tc.path, abspath: tc.path, argv: "script\x00a\x00", dtable: []mach.Port{fd}, ports: []mach.Port{0, root}}); err != nil {
			t.Errorf("%q: %v", tc.line, err)
			continue
		}
		w.loaded(task, simple(), 0)
		i := w.info(task)
		if i.argv != tc.argv {
			t.Errorf("%q: arguments %q, want %q", tc.line, i.argv, tc.argv)
		}
		if tc.path == "" && (len(i.dtable) != 2 || i.dtable[1] != script) {
			t.Errorf("descriptors %v, want the script %v among them", i.dtable, script)
		}
		w.Release(i.dtable...)
		w.Release(i.ports...)
		w.ended(task)
		w.end(sh, script2, script, task, root, fd)
	}
}

// A dynamic program can be anywhere, and its loader runs first.
func TestDynamic(t *testing.T) {
	w := newWorld(t)
	prog := simple()
	prog.typ, prog.entry = elf.ET_DYN, 0x100
	prog.segs[0].vaddr, prog.segs[1].vaddr = 0, 0x4234
	prog.segs = append(prog.segs, elfSegment{typ: elf.PT_INTERP, off: 8 * pageSize, filesz: 9, text: "/lib/ld.\x00"})
	loader := elfFile{typ: elf.ET_DYN, entry: 0x10, pad: 1, segs: []elfSegment{
		{typ: elf.PT_LOAD, vaddr: 0, filesz: 2 * pageSize, memsz: 2 * pageSize, flags: elf.PF_R | elf.PF_X},
	}}
	ld, file, task := w.file(loader.bytes(), true), w.file(prog.bytes(), true), w.newTask()
	root := w.NewPort(proto.Handler(&dir{w: w, files: map[string]mach.Port{"lib/ld.": ld}}))
	if err := w.exec(call{file: file, task: task, ports: []mach.Port{0, root}}); err != nil {
		t.Fatal(err)
	}
	i := w.info(task)
	base := uint32(i.entry) - prog.entry
	if base < pageSize || base&pageMask != 0 {
		t.Errorf("the program is at %#x", base)
	}
	w.loaded(task, prog, base)
	w.loaded(task, loader, w.tasks[task].threads[0].pc-loader.entry)
	if i.phdr != uint64(base)+headerSize {
		t.Errorf("program headers at %#x", i.phdr)
	}
	w.Release(i.ports...)
	w.ended(task)
	own := []mach.Port{ld, file, task, root}
	for o := range w.objects {
		own = append(own, o)
	}
	w.end(own...)
}

// A program that gains privileges runs in a new task, as the same process,
// with the standard root directory.
func TestSecure(t *testing.T) { synctest.Test(t, testSecure) }

func testSecure(t *testing.T) {
	for _, fail := range []string{"", "proc", "reassign", "code"} {
		w := newWorld(t)
		p := &proc{w: w, fail: fail}
		authPort := w.NewPort(proto.Handler(&auth{w: w, proc: p}))
		server, own, userProc := w.NewPort(proto.Handler(p)), w.NewPort(nil), w.NewPort(nil)
		std := w.NewPort(proto.Handler(&dir{w: w}))
		w.AddRight(authPort)
		w.AddRight(server)
		w.server.auth, w.server.proc = authPort, server
		if err := proto.ExecSetexecdata(w.ctx, w.root, []mach.Port{std, std, own, 0, 0, 0}, make([]int32, 5)); err != nil {
			t.Fatal(err)
		}
		file, task, root := w.file(simple().bytes(), false), w.newTask(), w.NewPort(nil)
		err := w.exec(call{file: file, task: task, flags: proto.EXEC_SECURE | proto.EXEC_NEWTASK, ports: []mach.Port{root, root, authPort, userProc}})
		live := w.live()
		if fail == "reassign" {
			// Nobody is told that a message without an answer failed; here
			// auth has a port all the same.
			fail = ""
		}
		if fail == "" {
			if err != nil || len(live) != 1 || live[0] == task {
				t.Fatalf("%v, tasks %v, the old one is %v", err, live, task)
			}
			i := w.info(live[0])
			if i.ports[proto.InitPortRoot] == root || i.ports[proto.InitPortProc] == userProc || i.ports[proto.InitPortCWD] != root {
				t.Errorf("ports %v", i.ports)
			}
			if w.tasks[live[0]].parent != mach.Null {
				t.Error("the new task is the old one's child")
			}
			w.Release(i.ports...)
			w.ended(live[0])
		} else {
			if err == nil || len(live) != 1 || live[0] != task {
				t.Errorf("%s fails: %v, tasks %v, the old one is %v", fail, err, live, task)
			}
		}
		synctest.Wait()
		w.Release(authPort, server)
		w.Release(w.server.std...)
		w.server.std = nil
		for p := range w.tasks {
			if p != task {
				if n := w.Rights(p); n > 0 {
					t.Errorf("%d rights to the new task are left", n)
				}
			}
		}
		w.end(authPort, server, own, userProc, std, file, task, root)
	}
}

// Only root tells the server what to do.
func TestPrivileged(t *testing.T) {
	w := newWorld(t)
	user, err := w.server.Open(false)
	if err != nil {
		t.Fatal(err)
	}
	p := w.NewPort(nil)
	list := slices.Repeat([]mach.Port{p}, 6)
	proto.ExecSetexecdata(w.ctx, user, list, make([]int32, 5))
	if w.server.std != nil {
		t.Error("a user has set the standard ports")
	}
	if err := proto.ExecInit(w.ctx, user, p, proto.Copy(p)); !errors.Is(err, proto.EPERM) {
		t.Errorf("exec_init by a user: %v", err)
	}
	if err := proto.ExecInit(w.ctx, w.root, p, proto.Copy(p)); err != nil {
		t.Error(err)
	}
	if err := proto.ExecInit(w.ctx, w.root, p, proto.Copy(p)); !errors.Is(err, proto.EPERM) {
		t.Errorf("exec_init twice: %v", err)
	}
	proto.ExecSetexecdata(w.ctx, w.root, list[:5], make([]int32, 5))
	if w.server.std != nil {
		t.Error("too few standard ports")
	}
	w.Release(p, p, user)
	w.end(p)
}

// A hostile file is refused or loaded, and whatever it is, the pieces of its
// segments cover them exactly.
func FuzzParse(f *testing.F) {
	f.Add(simple().bytes())
	f.Add([]byte("#!/bin/sh"))
	e := simple()
	e.typ = elf.ET_DYN
	f.Add(e.bytes()[:200])
	f.Fuzz(func(t *testing.T, b []byte) {
		interpreter(b)
		img, err := parse(t.Context(), bytesReader(b), b[:min(len(b), pageSize)])
		if err != nil {
			return
		}
		for _, s := range img.segments {
			if s.start() < img.lo || s.end() > img.hi || s.end() <= s.start() {
				t.Fatalf("segment %+v outside of %#x-%#x", s, img.lo, img.hi)
			}
			if s.size > 16<<20 {
				continue
			}
			for _, mapping := range []bool{true, false} {
				at, read := s.start(), uint32(0)
				for _, x := range join(s.pieces(mapping)) {
					if x.addr != at || x.size == 0 || x.size&pageMask != 0 {
						t.Fatalf("segment %+v: piece %+v at %#x", s, x, at)
					}
					switch x.how {
					case mapped:
						if x.off&pageMask != 0 || x.off-s.off != x.addr-s.addr {
							t.Fatalf("segment %+v: piece %+v", s, x)
						}
						read += min(x.size, s.n-read)
					case readIn:
						if x.skip+x.n > x.size || uint64(x.off)+uint64(x.n) > uint64(len(b)) {
							t.Fatalf("segment %+v: piece %+v", s, x)
						}
						read += x.n
					}
					at += x.size
				}
				if at != s.end() || read != s.n {
					t.Fatalf("segment %+v: pieces end at %#x, with %d bytes", s, at, read)
				}
			}
		}
	})
}
