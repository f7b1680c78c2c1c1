package tools

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hurdlab/hurd"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A fakeFS is a directory whose files are all itself. It keeps what it is
// asked to set.
type fakeFS struct {
	proto.UnimplementedFS
	proto.UnimplementedFsys
	k    *portstest.Kernel
	port mach.Port
	says error // of setting

	lookups, sets []string
}

func (f *fakeFS) DirLookup(_ context.Context, name string, flags, mode int32) (int32, string, mach.Port, error) {
	f.lookups = append(f.lookups, fmt.Sprintf("%s %#x", name, flags))
	if strings.HasPrefix(name, "no") {
		return 0, "", mach.Null, proto.ENOENT
	}
	f.k.AddRight(f.port)
	return proto.RetryNormal, "", f.port, nil
}

func (f *fakeFS) FileSetTranslator(_ context.Context, passive, active, goaway int32, argz []byte, control mach.Port) error {
	f.sets = append(f.sets, fmt.Sprintf("passive %d active %d goaway %d %q %v", passive, active, goaway, argz, control.Valid()))
	return f.says
}

func (f *fakeFS) FileGetTranslator(context.Context) ([]byte, error) {
	if f.says != nil {
		return nil, f.says
	}
	return hurd.Argz("/hurd/x", "a b", "it's"), nil
}

func (f *fakeFS) FileGetFsOptions(context.Context) ([]byte, error) {
	return hurd.Argz("x", "--writable"), nil
}

func (f *fakeFS) FileGetcontrol(context.Context) (mach.Port, error) {
	f.k.AddRight(f.port)
	return f.port, nil
}

func (f *fakeFS) FsysSetOptions(_ context.Context, argz []byte, deep int32) error {
	f.sets = append(f.sets, fmt.Sprintf("options %q deep %d", argz, deep))
	return f.says
}

// A fakeProc has process 1, which waits, 7, which does not answer for its
// arguments, and a zombie.
type fakeProc struct{ proto.UnimplementedProc }

func (fakeProc) ProcGetallpids(context.Context) ([]int32, error) { return []int32{9, 7, 1, 8}, nil }

func (fakeProc) ProcGetprocinfo(_ context.Context, pid, flags int32) (int32, []int32, []byte, error) {
	info := []int32{0, 0, 1, 1, 1, 1, 0, 0}
	switch pid {
	case 1:
		info[0] = proto.PI_WAITING | proto.PI_SESSLD
	case 9:
		info[0] = proto.PI_ZOMBIE | proto.PI_NOTOWNED
		return 0, info, nil, nil
	case 8:
		return 0, nil, nil, proto.ESRCH
	}
	return flags, append(info, 3 /* threads */, 0, 25, 4096*100, 4096*10, 0, 0), nil, nil
}

func (fakeProc) ProcGetprocargs(_ context.Context, pid int32) ([]byte, error) {
	if pid == 1 {
		return hurd.Argz("/hurd/init", "-x"), nil
	}
	return nil, proto.EPERM
}

func onHurd(t *testing.T) (run func(says error, name string, args ...string) (int, string, string), fs *fakeFS) {
	k := portstest.New(t, wire.Layout32)
	fs = &fakeFS{k: k}
	fs.port = k.NewPort(proto.Handler(fs))
	self := &hurd.Process{CWD: fs.port, Root: fs.port, Proc: k.NewPort(proto.Handler(fakeProc{}))}
	t.Cleanup(func() {
		if n := k.Rights(fs.port); n != 1 {
			t.Errorf("%d rights to the file system are left, want 1", n)
		}
	})
	return func(says error, name string, args ...string) (int, string, string) {
		t.Helper()
		fs.says, fs.lookups, fs.sets = says, nil, nil
		var out, errs bytes.Buffer
		status := Run(k.Context(t.Context()), name, Call{Args: args, Stdout: &out, Stderr: &errs, self: self})
		return status, out.String(), errs.String()
	}, fs
}

func TestSettrans(t *testing.T) {
	run, fs := onHurd(t)
	for _, x := range []struct{ args, lookup, set string }{
		{"n /hurd/x -v", "n 0x80", `passive 4 active 6 goaway 0 "/hurd/x\x00-v\x00" false`},
		{"-p n /hurd/x", "n 0x80", `passive 4 active 6 goaway 0 "/hurd/x\x00" false`},
		{"-x n /hurd/x", "n 0x80", `passive 6 active 6 goaway 0 "/hurd/x\x00" false`},
		{"-k n /hurd/x", "n 0x80", `passive 4 active 0 goaway 0 "/hurd/x\x00" false`},
		{"-g n /hurd/x", "n 0x80", `passive 4 active 4 goaway 0 "/hurd/x\x00" false`},
		{"-c n /hurd/x", "n 0x90", `passive 4 active 6 goaway 0 "/hurd/x\x00" false`},
		{"-L n /hurd/x", "n 0x0", `passive 4 active 6 goaway 0 "/hurd/x\x00" false`},
		{"-g n", "n 0x80", `passive 4 active 4 goaway 0 "" false`},
		{"-fg n", "n 0x80", `passive 4 active 4 goaway 4 "" false`},
		{"-fgRS n", "n 0x80", `passive 4 active 4 goaway 22 "" false`},
		{"-a n", "n 0x80", `passive 0 active 4 goaway 0 "" false`},
		{"-af n", "n 0x80", `passive 0 active 4 goaway 4 "" false`},
		{"-ap n", "n 0x80", `passive 4 active 4 goaway 0 "" false`},
		{"-ao n", "n 0x80", `passive 0 active 12 goaway 0 "" false`},
		{"--force --goaway n", "n 0x80", `passive 4 active 4 goaway 4 "" false`},
	} {
		status, out, errs := run(nil, "settrans", strings.Fields(x.args)...)
		if status != 0 || out != "" || errs != "" {
			t.Errorf("settrans %s: %d %q %q", x.args, status, out, errs)
		}
		if !slices.Equal(fs.lookups, []string{x.lookup}) || !slices.Equal(fs.sets, []string{x.set}) {
			t.Errorf("settrans %s:\n got %q %q\nwant %q %q", x.args, fs.lookups, fs.sets, x.lookup, x.set)
		}
	}
	if status, _, errs := run(proto.EBUSY, "settrans", "n", "/hurd/x"); status != 1 || !strings.HasPrefix(errs, "settrans: n: ") {
		t.Errorf("a busy node: %d %q", status, errs)
	}
	if status, _, errs := run(nil, "settrans", "nothing"); status != 1 || !strings.HasPrefix(errs, "settrans: nothing: ") || fs.sets != nil {
		t.Errorf("a missing node: %d %q", status, errs)
	}
	for _, args := range []string{"", "-q n", "--nosuch n", "--chroot -- n /hurd/x", "--chroot ls n", "-a --chroot ls -- n /hurd/x", "--chroot ls -- n"} {
		if status, _, errs := run(nil, "settrans", strings.Fields(args)...); status != 2 || !strings.Contains(errs, "usage: settrans") {
			t.Errorf("settrans %s: %d %q", args, status, errs)
		}
	}
}

func TestShowtrans(t *testing.T) {
	run, _ := onHurd(t)
	for _, x := range []struct {
		args   string
		says   error
		status int
		out    string
	}{
		{"a", nil, 0, `/hurd/x 'a b' 'it'\''s'` + "\n"},
		{"-p a", nil, 0, `a: /hurd/x 'a b' 'it'\''s'` + "\n"},
		{"a b", nil, 0, `a: /hurd/x 'a b' 'it'\''s'` + "\n" + `b: /hurd/x 'a b' 'it'\''s'` + "\n"},
		{"-s a", nil, 0, ""},
		{"a", proto.EINVAL, 1, ""},
		{"-s a", proto.EINVAL, 1, ""},
		{"-t a", proto.EINVAL, 0, ""},
		{"a", proto.EPERM, 1, ""},
		{"nothing", nil, 1, ""},
		{"", nil, 2, ""},
	} {
		status, out, errs := run(x.says, "showtrans", strings.Fields(x.args)...)
		if status != x.status || out != x.out || (errs == "") != (x.status == 0 || strings.HasPrefix(x.args, "-s")) {
			t.Errorf("showtrans %s: got %d %q %q, want %d %q", x.args, status, out, errs, x.status, x.out)
		}
	}
}

func TestFsysopts(t *testing.T) {
	run, fs := onHurd(t)
	if status, out, errs := run(nil, "fsysopts", "f"); status != 0 || out != "x --writable\n" {
		t.Errorf("showing: %d %q %q", status, out, errs)
	}
	if status, _, errs := run(nil, "fsysopts", "f", "--readonly", "-v"); status != 0 || !slices.Equal(fs.sets, []string{`options "--readonly\x00-v\x00" deep 0`}) {
		t.Errorf("setting: %d %q %q", status, errs, fs.sets)
	}
	if status, _, errs := run(nil, "fsysopts", "-R", "f", "--readonly"); status != 0 || !slices.Equal(fs.sets, []string{`options "--readonly\x00" deep 1`}) {
		t.Errorf("setting below: %d %q %q", status, errs, fs.sets)
	}
	if status, _, errs := run(proto.EINVAL, "fsysopts", "f", "--bad"); status != 1 || !strings.HasPrefix(errs, "fsysopts: f: ") {
		t.Errorf("bad options: %d %q", status, errs)
	}
}

func TestProcesses(t *testing.T) {
	run, _ := onHurd(t)
	status, out, errs := run(nil, "ps")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if status != 0 || errs != "" || len(lines) != 4 {
		t.Fatalf("ps: %d %q %q", status, out, errs)
	}
	for i, want := range []string{
		"PID PPID PGRP USER ST TH RSS COMMAND",
		"1 1 1 root Ss 3 40k /hurd/init -x",
		"7 1 1 root R 3 40k -",
		"9 1 1 - Z 0 0k -",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if status, _, errs := run(nil, "ps", "8"); status != 1 || !strings.HasPrefix(errs, "ps: 8: ") {
		t.Errorf("ps of a missing process: %d %q", status, errs)
	}
	for _, name := range []string{"portinfo", "vminfo"} {
		if status, _, _ := run(nil, name); status != 2 {
			t.Errorf("%s without a process: %d", name, status)
		}
		if status, _, errs := run(nil, name, "12"); status != 1 || !strings.HasPrefix(errs, name+": 12: ") {
			t.Errorf("%s of a process that is nobody's: %d %q", name, status, errs)
		}
	}
}
