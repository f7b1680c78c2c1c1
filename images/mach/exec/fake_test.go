package exec

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// world is a machine with tasks, files and a process server.
type world struct {
	*portstest.Kernel
	t      *testing.T
	ctx    context.Context
	server *Server
	root   mach.Port // the server's port

	mu      sync.Mutex
	tasks   map[mach.Port]*task
	free    uint64
	failAt  int // of the calls of the kernel, the one that fails
	calls   int
	objects map[mach.Port][]byte
}

// task is a task of the fake kernel.
type task struct {
	parent     mach.Port
	pages      map[uint32]*page
	suspended  int
	threads    []thread
	boot       mach.Port
	name       string
	dropped    []mach.Port
	destroyed  []mach.Port
	terminated bool
}

type page struct {
	data [pageSize]byte
	prot mach.Prot
}

type thread struct {
	pc, sp  uint32
	running bool
}

var errFake = mach.KernResourceShortage

func newWorld(t *testing.T) *world {
	k := portstest.New(t, wire.Layout32)
	w := &world{Kernel: k, t: t, tasks: make(map[mach.Port]*task), free: 64 << 20, objects: make(map[mach.Port][]byte)}
	w.ctx = k.Context(t.Context())
	w.server = New(fakeKernel{w}, k)
	var err error
	if w.root, err = w.server.Open(true); err != nil {
		t.Fatal(err)
	}
	return w
}

// end checks that nothing is left but what the test has made.
func (w *world) end(own ...mach.Port) {
	w.t.Helper()
	w.Release(w.root)
	w.Release(w.server.std...)
	for _, p := range own {
		if n := w.Rights(p); n != 1 {
			w.t.Errorf("%d rights to %v, want the test's", n, p)
		}
		w.Kill(p)
	}
	for p := range w.tasks {
		w.Kill(p)
	}
	if list := w.Ports(); len(list) > 0 {
		w.t.Errorf("ports are left: %v", list)
	}
}

func (w *world) newTask() mach.Port {
	p := w.NewPort(nil)
	w.mu.Lock()
	w.tasks[p] = &task{pages: make(map[uint32]*page)}
	w.mu.Unlock()
	return p
}

// fakeKernel is the world as a [Kernel].
type fakeKernel struct{ *world }

// task finds a task, or fails if this is the call that is to.
func (k fakeKernel) task(p mach.Port) (*task, error) {
	k.calls++
	if k.calls == k.failAt {
		return nil, errFake
	}
	t := k.tasks[p]
	if t == nil || t.terminated {
		return nil, mach.SendInvalidDest
	}
	return t, nil
}

func (k fakeKernel) CreateTask(parent mach.Port) (mach.Port, error) {
	k.calls++
	if k.calls == k.failAt {
		return mach.Null, errFake
	}
	p := k.newTask()
	k.tasks[p].parent = parent
	return p, nil
}

func (k fakeKernel) Suspend(p mach.Port) error {
	t, err := k.task(p)
	if err == nil {
		t.suspended++
	}
	return err
}

func (k fakeKernel) Resume(p mach.Port) error {
	t, err := k.task(p)
	if err == nil {
		t.suspended--
	}
	return err
}

func (k fakeKernel) Terminate(p mach.Port) error {
	if t := k.tasks[p]; t != nil {
		t.terminated = true
		k.Release(t.boot)
		t.boot = mach.Null
	}
	return nil
}

func (k fakeKernel) Clear(p mach.Port) error {
	t, err := k.task(p)
	if err == nil {
		t.threads, t.pages = nil, make(map[uint32]*page)
	}
	return err
}

func (k fakeKernel) DropName(p, name mach.Port) {
	k.tasks[p].dropped = append(k.tasks[p].dropped, name)
}
func (k fakeKernel) DestroyName(p, name mach.Port) {
	k.tasks[p].destroyed = append(k.tasks[p].destroyed, name)
}
func (k fakeKernel) SetName(p mach.Port, name string) { k.tasks[p].name = name }

func (k fakeKernel) SetPorts(p, boot mach.Port) error {
	t, err := k.task(p)
	if err == nil {
		k.AddRight(boot)
		t.boot = boot
	}
	return err
}

func (k fakeKernel) Map(p mach.Port, m mach.Mapping) (uintptr, error) {
	t, err := k.task(p)
	if err != nil {
		return 0, err
	}
	if m.Size == 0 || m.Addr%pageSize != 0 || m.Offset%pageSize != 0 {
		return 0, mach.KernInvalidArgument
	}
	n := uint32(m.Size+pageMask) / pageSize
	at := uint32(m.Addr) / pageSize
	if m.Anywhere {
		for at = 0; !t.room(at, n); at++ {
		}
	}
	if !t.room(at, n) || uint64(at+n)*pageSize > userTop {
		return 0, mach.KernNoSpace
	}
	for i := range n {
		pg := &page{prot: m.Prot}
		if m.Object != mach.Null {
			file, ok := k.objects[m.Object]
			if !ok || !m.Copy {
				k.t.Errorf("mapped %v, which is no memory object, copy %t", m.Object, m.Copy)
			}
			if off := int(m.Offset) + int(i)*pageSize; off < len(file) {
				copy(pg.data[:], file[off:])
			}
		}
		t.pages[at+i] = pg
	}
	return uintptr(at) * pageSize, nil
}

func (t *task) room(at, n uint32) bool {
	for i := range n {
		if t.pages[at+i] != nil {
			return false
		}
	}
	return true
}

func (k fakeKernel) Unmap(p mach.Port, addr, size uintptr) error {
	t, err := k.task(p)
	if err == nil {
		for i := uint32(0); i < uint32(size); i += pageSize {
			delete(t.pages, (uint32(addr)+i)/pageSize)
		}
	}
	return err
}

func (k fakeKernel) Write(p mach.Port, addr uintptr, data []byte) error {
	t, err := k.task(p)
	if err != nil {
		return err
	}
	if addr%pageSize != 0 || len(data)%pageSize != 0 {
		return mach.KernInvalidArgument
	}
	for i := 0; i < len(data); i += pageSize {
		pg := t.pages[(uint32(addr)+uint32(i))/pageSize]
		if pg == nil || pg.prot&mach.ProtWrite == 0 {
			return mach.KernInvalidAddress
		}
		copy(pg.data[:], data[i:])
	}
	return nil
}

func (k fakeKernel) Protect(p mach.Port, addr, size uintptr, prot mach.Prot) error {
	t, err := k.task(p)
	if err == nil {
		for i := uint32(0); i < uint32(size); i += pageSize {
			t.pages[(uint32(addr)+i)/pageSize].prot = prot
		}
	}
	return err
}

func (k fakeKernel) Thread(p mach.Port, pc, sp uint32, run bool) error {
	t, err := k.task(p)
	if err == nil {
		t.threads = append(t.threads, thread{pc, sp, run})
	}
	return err
}

func (k fakeKernel) Retain(p mach.Port) error { k.AddRight(p); return nil }

func (k fakeKernel) NewRendezvous() (proto.Right, func(), error) {
	p := k.NewPort(nil)
	return proto.Copy(p), func() { k.Release(p) }, nil
}

func (k fakeKernel) Free() (uint64, error) { return k.free, nil }

// bytes returns memory of a task.
func (t *task) bytes(addr, n uint32) []byte {
	var b []byte
	for i := range n {
		pg := t.pages[(addr+i)/pageSize]
		if pg == nil {
			return nil
		}
		b = append(b, pg.data[(addr+i)%pageSize])
	}
	return b
}

// file is an open file, which is also a memory object if mappable.
type file struct {
	proto.UnimplementedIO
	w        *world
	data     []byte
	mappable bool
	object   mach.Port
	reads    int
}

func (w *world) file(data []byte, mappable bool) mach.Port {
	f := &file{w: w, data: data, mappable: mappable}
	if mappable {
		f.object = w.NewPort(nil)
		w.objects[f.object] = data
	}
	return w.NewPort(proto.Handler(f))
}

func (f *file) IOMap(context.Context) (rd, wr mach.Port, err error) {
	if !f.mappable {
		return 0, 0, proto.EOPNOTSUPP
	}
	f.w.AddRight(f.object)
	return f.object, mach.Null, nil
}

func (f *file) IOStat(context.Context) (proto.Stat, error) {
	return proto.Stat{Size: int64(len(f.data))}, nil
}

func (f *file) IORead(_ context.Context, off int64, n uint64) ([]byte, error) {
	f.reads++
	off = min(max(off, 0), int64(len(f.data)))
	return f.data[off:min(off+int64(n), int64(len(f.data)))], nil
}

// dir is a root directory with files.
type dir struct {
	proto.UnimplementedFS
	proto.UnimplementedIO
	w     *world
	files map[string]mach.Port
}

func (d *dir) DirLookup(_ context.Context, name string, flags, mode int32) (int32, string, mach.Port, error) {
	if flags != proto.O_READ|proto.O_EXEC {
		return 0, "", 0, proto.EINVAL
	}
	if target, ok := map[string]string{"bin/link": "/bin/sh"}[name]; ok {
		return proto.RetryMagical, target, mach.Null, nil
	}
	p, ok := d.files[name]
	if !ok {
		return 0, "", 0, proto.ENOENT
	}
	d.w.AddRight(p)
	return proto.RetryNormal, "", p, nil
}

// proc is a process server of which every task is a process.
type proc struct {
	proto.UnimplementedProc
	w     *world
	calls []string
	fail  string
	task  mach.Port
	moved mach.Port
}

func (p *proc) note(name string, args ...any) error {
	p.calls = append(p.calls, fmt.Sprint(append([]any{name}, args...)...))
	if p.fail == name {
		return proto.EPERM
	}
	return nil
}

func (p *proc) ProcSetCode(_ context.Context, start, end uint64) error {
	return p.note("code", start, " ", end)
}
func (p *proc) ProcTask2pid(_ context.Context, task mach.Port) (int32, error) {
	if err := p.note("pid"); err != nil {
		return 0, err
	}
	p.w.Release(task)
	return 42, nil
}
func (p *proc) ProcSetExe(_ context.Context, path string) error    { return p.note("exe", path) }
func (p *proc) ProcSetEntry(_ context.Context, entry uint64) error { return p.note("entry", entry) }
func (p *proc) ProcMarkExec(context.Context) error                 { return p.note("exec") }
func (p *proc) ProcMarkStop(_ context.Context, sig, code int32) error {
	return p.note("stop", sig)
}
func (p *proc) ProcTask2proc(_ context.Context, task mach.Port) (mach.Port, error) {
	if err := p.note("proc"); err != nil {
		return 0, err
	}
	p.w.Release(task)
	return p.w.NewPort(proto.Handler(p)), nil
}
func (p *proc) ProcReauthenticateReassign(_ context.Context, rendezvous, task mach.Port) error {
	if err := p.note("reassign"); err != nil {
		return err
	}
	p.moved = task
	p.w.Release(rendezvous, task)
	return nil
}
func (p *proc) ProcReauthenticateComplete(context.Context) error { return p.note("complete") }

// auth gives everybody what is at the rendezvous: a new port.
type auth struct {
	proto.UnimplementedAuth
	w    *world
	proc *proc
}

func (a *auth) AuthUserAuthenticate(_ context.Context, rendezvous mach.Port) (mach.Port, error) {
	a.w.Release(rendezvous)
	return a.w.NewPort(proto.Handler(a.proc)), nil
}

func (d *dir) IOReauthenticate(_ context.Context, rendezvous mach.Port) error {
	d.w.Release(rendezvous)
	return nil
}

// An elfFile makes ELF files.
type elfFile struct {
	typ   elf.Type
	entry uint32
	segs  []elfSegment
	pad   int
}

type elfSegment struct {
	typ                       elf.ProgType
	vaddr, off, filesz, memsz uint32
	flags                     elf.ProgFlag
	fill                      byte
	text                      string
}

func (e elfFile) bytes() []byte {
	le := binary.LittleEndian
	b := make([]byte, headerSize+len(e.segs)*phentSize)
	copy(b, "\x7fELF\x01\x01\x01")
	le.PutUint16(b[16:], uint16(e.typ))
	le.PutUint16(b[18:], uint16(elf.EM_386))
	le.PutUint32(b[24:], e.entry)
	le.PutUint32(b[28:], headerSize)
	le.PutUint16(b[42:], phentSize)
	le.PutUint16(b[44:], uint16(len(e.segs)))
	for i, s := range e.segs {
		ph := b[headerSize+i*phentSize:]
		for j, v := range []uint32{uint32(s.typ), s.off, s.vaddr, 0, s.filesz, s.memsz, uint32(s.flags), pageSize} {
			le.PutUint32(ph[4*j:], v)
		}
	}
	for _, s := range e.segs {
		if end := int(s.off + s.filesz); end > len(b) {
			b = append(b, make([]byte, end-len(b))...)
		}
		if s.fill != 0 {
			for i := range s.filesz {
				b[s.off+i] = s.fill + byte(i%7)
			}
		}
		copy(b[s.off:], s.text)
	}
	return append(b, make([]byte, e.pad)...)
}

// program is a program with a text, a data segment that begins and ends in
// the middle of pages, and zeros.
func simple() elfFile {
	return elfFile{typ: elf.ET_EXEC, entry: 0x8048100, pad: 1, segs: []elfSegment{
		{typ: elf.PT_LOAD, vaddr: 0x8048000, filesz: 3*pageSize + 100, memsz: 3*pageSize + 100, flags: elf.PF_R | elf.PF_X},
		{typ: elf.PT_LOAD, vaddr: 0x804c234, off: 4*pageSize + 0x234, filesz: 2*pageSize + 10, memsz: 6 * pageSize, flags: elf.PF_R | elf.PF_W, fill: 'a'},
		{typ: elf.PT_GNU_STACK, flags: elf.PF_R | elf.PF_W},
	}}
}

// loaded checks that memory of a task has the segments of a program at base.
func (w *world) loaded(p mach.Port, e elfFile, base uint32) {
	w.t.Helper()
	data := e.bytes()
	t := w.tasks[p]
	for i, s := range e.segs {
		if s.typ != elf.PT_LOAD {
			continue
		}
		want := append(slices.Clone(data[s.off:s.off+s.filesz]), make([]byte, s.memsz-s.filesz)...)
		if got := t.bytes(base+s.vaddr, s.memsz); !bytes.Equal(got, want) {
			w.t.Errorf("segment %d is not what it is in the file (%d bytes of %d)", i, len(got), len(want))
		}
		if s.memsz > s.filesz {
			end := (base + s.vaddr + s.memsz + pageMask) &^ pageMask
			if rest := t.bytes(base+s.vaddr+s.memsz, end-(base+s.vaddr+s.memsz)); len(bytes.Trim(rest, "\x00")) > 0 {
				w.t.Errorf("segment %d is followed by something", i)
			}
		}
		for at := (base + s.vaddr) &^ pageMask; at < base+s.vaddr+s.memsz; at += pageSize {
			if got := t.pages[at/pageSize].prot; got != protection(s.flags) {
				w.t.Errorf("segment %d: page %#x has protection %v, want %v", i, at, got, protection(s.flags))
			}
		}
	}
}

// call is the arguments of an exec.
type call struct {
	file, task       mach.Port
	flags            int32
	path, abspath    string
	argv, envp       string
	dtable, ports    []mach.Port
	ints             []int32
	dealloc, destroy []mach.Port
}

func (w *world) exec(c call) error {
	return proto.ExecExecPaths(w.ctx, w.root, proto.Copy(c.file), c.task, c.flags, c.path, c.abspath, []byte(c.argv), []byte(c.envp),
		c.dtable, c.ports, c.ints, c.dealloc, c.destroy)
}

// info asks for what a program starts with.
type startInfo struct {
	entry, phdr, phdrSize, stackBase, stackSize uint64
	flags                                       int32
	argv, envp                                  string
	dtable, ports                               []mach.Port
	ints                                        []int32
}

func (w *world) info(p mach.Port) startInfo {
	w.t.Helper()
	var i startInfo
	var argv, envp []byte
	var err error
	i.entry, i.phdr, i.phdrSize, i.stackBase, i.stackSize, i.flags, argv, envp, i.dtable, i.ports, i.ints, err = proto.ExecStartupGetInfo(w.ctx, w.tasks[p].boot)
	if err != nil {
		w.t.Fatal(err)
	}
	i.argv, i.envp = string(argv), string(envp)
	return i
}

// ended drops a task's right to its bootstrap port.
func (w *world) ended(p mach.Port) { fakeKernel{w}.Terminate(p) }

func (w *world) live() []mach.Port {
	var list []mach.Port
	for p, t := range w.tasks {
		if !t.terminated {
			list = append(list, p)
		}
	}
	return list
}

// bytesReader is a file in memory.
type bytesReader []byte

func (b bytesReader) size() uint64 { return uint64(len(b)) }

func (b bytesReader) readAt(_ context.Context, off uint32, n int) ([]byte, error) {
	if uint64(off) >= uint64(len(b)) {
		return nil, nil
	}
	return b[off:min(uint64(off)+uint64(n), uint64(len(b)))], nil
}
