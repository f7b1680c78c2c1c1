package hurd_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A script is a server whose answers to look-ups are written down: for
// "name flags", "retry name" with a port, or an error.
type script struct {
	proto.UnimplementedFS
	proto.UnimplementedIO
	proto.UnimplementedTerm
	k       *portstest.Kernel
	name    string
	auth    mach.Port
	answers map[string]answer
	made    map[string]*script // by name
	asked   *[]string
}

type answer struct {
	retry int32
	name  string
	port  string // the name of the port, or none
	err   error
}

func (s *script) port(name string) (mach.Port, error) {
	if name == "" {
		return mach.Null, nil
	}
	x := *s
	x.name = name
	p, err := s.k.Export(proto.Handler(&x), ports.Options{})
	if err != nil {
		return mach.Null, err
	}
	return p.Right()
}

func (s *script) DirLookup(_ context.Context, name string, flags, mode int32) (int32, string, mach.Port, error) {
	q := s.name + ":" + name
	*s.asked = append(*s.asked, q)
	a, ok := s.answers[q]
	if !ok {
		return 0, "", mach.Null, proto.ENOENT
	}
	if a.err != nil {
		return 0, "", mach.Null, a.err
	}
	p, err := s.port(a.port)
	return a.retry, a.name, p, err
}

func (s *script) TermcttyOpenTerminal(context.Context, int32) (mach.Port, error) {
	return s.port("tty")
}

func (s *script) IOReauthenticate(ctx context.Context, rendezvous mach.Port) error {
	p, err := s.port("auth-" + s.name)
	if err != nil {
		return err
	}
	_, _, _, _, err = proto.AuthServerAuthenticate(ctx, s.auth, proto.Move(rendezvous), proto.Move(p))
	return err
}

func (s *script) IOServerVersion(context.Context) (string, int32, int32, int32, error) {
	return s.name, 0, 0, 0, nil
}

func TestLookup(t *testing.T) {
	const normal, reauth, magical = proto.RetryNormal, proto.RetryReauth, proto.RetryMagical
	answers := map[string]answer{
		"root:/":         {normal, "", "root2", nil},
		"root:f":         {normal, "", "f", nil},
		"root:go":        {normal, "on/f", "d", nil},
		"d:on/f":         {normal, "", "f", nil},
		"root:slash":     {normal, "/", "d", nil},
		"d:/":            {normal, "", "d2", nil},
		"root:users":     {reauth, "f", "u", nil},
		"auth-u:f":       {normal, "", "uf", nil},
		"root:user":      {reauth, "", "u", nil},
		"auth-u:":        {normal, "", "u2", nil},
		"root:abs":       {magical, "/f", "", nil},
		"cwd:abs":        {magical, "///f", "", nil},
		"root:absroot":   {magical, "/", "", nil},
		"root:fd":        {magical, "fd/1", "", nil},
		"root:fdx":       {magical, "fd/1/f", "", nil},
		"fd1:f":          {normal, "", "fdf", nil},
		"root:fd0":       {magical, "fd/0", "", nil},
		"root:fd9":       {magical, "fd/99999999999", "", nil},
		"root:fdn":       {magical, "fd/x", "", nil},
		"root:tty":       {magical, "tty", "", nil},
		"root:ttyx":      {magical, "tty/f", "", nil},
		"auth-tty:f":     {normal, "", "ttyf", nil},
		"root:mach":      {magical, "machtype/x", "d", nil},
		"d:i386/x":       {normal, "", "m", nil},
		"root:proc":      {normal, "self", "p", nil},
		"p:self":         {magical, "pid/stat", "", nil},
		"p:42/stat":      {normal, "", "s", nil},
		"root:pid":       {magical, "pid", "d", nil},
		"root:42":        {normal, "", "pid", nil},
		"root:what":      {magical, "what/x", "d", nil},
		"root:bad":       {9, "x", "d", nil},
		"root:loop":      {magical, "/loop", "", nil},
		"root:dirloop":   {normal, "x", "x", nil},
		"x:x":            {normal, "x", "x", nil},
		"root:null":      {normal, "x", "", nil},
		"root:not":       {err: proto.EOPNOTSUPP},
		"root:bad id":    {err: mach.MigBadID},
		"root:forbidden": {err: proto.EACCES},
		"root:long":      {normal, strings.Repeat("x", 1023), "d", nil},
	}
	for _, c := range []struct{ path, want, asked string }{
		{"/f", "f", "root:f"},
		{"f", "ENOENT", "cwd:f"},
		{"/", "root2", "root:/"},
		{"///", "root2", "root:/"},
		{"//f", "f", "root:f"},
		{"/go", "f", "root:go d:on/f"},
		{"/slash", "d2", "root:slash d:/"},
		{"/users", "uf", "root:users auth-u:f"},
		{"/user", "u2", "root:user auth-u:"},
		{"/abs", "f", "root:abs root:f"},
		{"abs", "f", "cwd:abs root:f"},
		{"/absroot", "root2", "root:absroot root:/"},
		{"/fd", "fd1", "root:fd"},
		{"/fdx", "fdf", "root:fdx fd1:f"},
		{"/fd0", "EBADF", "root:fd0"},
		{"/fd9", "EBADF", "root:fd9"},
		{"/fdn", "EBADF", "root:fdn"},
		{"/tty", "auth-tty", "root:tty"},
		{"/ttyx", "ttyf", "root:ttyx auth-tty:f"},
		{"/mach", "m", "root:mach d:i386/x"},
		{"/proc", "s", "root:proc p:self p:42/stat"},
		{"/pid", "pid", "root:pid root:42"},
		{"/what", "EGRATUITOUS", "root:what"},
		{"/bad", "EGRATUITOUS", "root:bad"},
		{"/loop", "ELOOP", ""},
		{"/dirloop", "ELOOP", ""},
		{"/null", "ENOENT", "root:null"},
		{"/not", "ENOTDIR", "root:not"},
		{"/bad id", "ENOTDIR", "root:bad id"},
		{"/forbidden", "EACCES", "root:forbidden"},
		{"/long", "ENOENT", "root:long d:" + strings.Repeat("x", 1023)},
		{"", "ENOENT", ""},
		{"/a\x00b", "EINVAL", ""},
		{"/" + strings.Repeat("x", 1024), "ENAMETOOLONG", ""},
	} {
		t.Run(strings.ReplaceAll(c.path, "/", "_"), func(t *testing.T) {
			k := portstest.New(t, wire.Layout64)
			ctx := k.Context(t.Context())
			auth := portstest.NewAuth(k)
			var asked []string
			s := &script{k: k, answers: answers, asked: &asked, auth: auth.Handle(nil, nil)}
			ports := map[string]mach.Port{}
			for _, name := range []string{"root", "cwd", "fd1", "ctty"} {
				p, err := s.port(name)
				if err != nil {
					t.Fatal(err)
				}
				ports[name] = p
			}
			p := hurd.Process{Root: ports["root"], CWD: ports["cwd"], Auth: auth.Handle([]int32{1}, nil), CTTY: ports["ctty"], FDs: []mach.Port{mach.Null, ports["fd1"]}, PID: 42}
			port, err := p.Lookup(ctx, c.path, proto.O_READ, 0)
			got := ""
			for name, code := range map[string]mach.KernReturn{"ENOENT": proto.ENOENT, "EBADF": proto.EBADF, "EGRATUITOUS": proto.EGRATUITOUS, "ELOOP": proto.ELOOP,
				"ENOTDIR": proto.ENOTDIR, "EACCES": proto.EACCES, "EINVAL": proto.EINVAL, "ENAMETOOLONG": proto.ENAMETOOLONG} {
				if errors.Is(err, code) {
					got = name
				}
			}
			if err == nil {
				got, _, _, _, err = proto.IOServerVersion(ctx, port)
				if err != nil {
					t.Fatal(err)
				}
				k.Release(port)
			}
			if got != c.want {
				t.Errorf("found %q, %v, want %s", got, err, c.want)
			}
			if a := strings.Join(asked, " "); c.asked != "" && a != c.asked {
				t.Errorf("asked %s, want %s", a, c.asked)
			}
			k.Release(p.Root, p.CWD, p.Auth, p.CTTY, p.FDs[1], s.auth)
			nothingLeft(t, k)
		})
	}
}

// nothingLeft waits for what ends by itself, then complains of ports.
func nothingLeft(t *testing.T, k *portstest.Kernel) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); len(k.Ports()) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	for _, p := range k.Ports() {
		t.Errorf("port %v is left, with %d rights", p, k.Rights(p))
	}
}

// A program is a file that can be run: what run does is the program.
type exe struct {
	proto.UnimplementedFS
	proto.UnimplementedIO
	k   *portstest.Kernel
	run func(boot mach.Port) error
	got func(name, argv string, fds, ports []mach.Port)
}

func (x *exe) DirLookup(_ context.Context, name string, flags, mode int32) (int32, string, mach.Port, error) {
	if name != "hurd/prog" || flags != proto.O_EXEC {
		return 0, "", mach.Null, proto.ENOENT
	}
	p, err := x.k.Export(proto.Handler(x), ports.Options{})
	if err != nil {
		return 0, "", mach.Null, err
	}
	right, err := p.Right()
	return proto.RetryNormal, "", right, err
}

func (x *exe) FileExecPaths(_ context.Context, task mach.Port, flags int32, path, abspath string, argv, envp []byte, fds, init []mach.Port, ints []int32, dealloc, destroy []mach.Port) error {
	if x.got != nil {
		x.got(path, string(argv), fds, init)
	}
	boot := init[proto.InitPortBootstrap]
	x.k.Release(task)
	x.k.Release(fds...)
	for i, p := range init {
		if i != proto.InitPortBootstrap {
			x.k.Release(p)
		}
	}
	go func() {
		x.run(boot)
		x.k.Release(boot)
	}()
	return nil
}

func TestStartTranslator(t *testing.T) {
	type result struct {
		run        func(ctx context.Context, k *portstest.Kernel, boot mach.Port) error
		underlying error
		argz       string
		want       error
	}
	var control mach.Port
	startup := func(ctx context.Context, k *portstest.Kernel, boot mach.Port) error {
		control = k.NewPort(nil)
		node, err := proto.FsysStartup(ctx, boot, proto.O_READ, proto.Move(control))
		k.Release(node)
		return err
	}
	for name, c := range map[string]result{
		"starts":       {startup, nil, "/hurd/prog\x00-x\x00", nil},
		"ends at once": {func(context.Context, *portstest.Kernel, mach.Port) error { return nil }, nil, "/hurd/prog\x00", proto.EDIED},
		"says something else": {func(ctx context.Context, k *portstest.Kernel, boot mach.Port) error {
			if err := proto.FsysGoaway(ctx, boot, 0); !errors.Is(err, proto.EOPNOTSUPP) {
				t.Errorf("fsys_goaway: %v", err)
			}
			if _, err := proto.FsysStartup(ctx, boot, 0, proto.Right{}); !errors.Is(err, proto.EINVAL) {
				t.Errorf("fsys_startup without a port: %v", err)
			}
			return nil
		}, nil, "/hurd/prog\x00", proto.EDIED},
		"no node":    {startup, proto.EACCES, "/hurd/prog\x00", proto.EACCES},
		"no program": {nil, nil, "/hurd/none\x00", proto.ENOENT},
		"no name":    {nil, nil, "", proto.EINVAL},
		"never starts": {func(ctx context.Context, k *portstest.Kernel, boot mach.Port) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}, nil, "/hurd/prog\x00", context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			k := portstest.New(t, wire.Layout32)
			ctx := k.Context(t.Context())
			auth := portstest.NewAuth(k)
			handle := auth.Handle([]int32{0}, []int32{0})
			x := &exe{k: k}
			var seen string
			x.got = func(name, argv string, fds, init []mach.Port) {
				uids, _, gids, _, err := proto.AuthGetids(ctx, init[proto.InitPortAuth])
				seen = fmt.Sprintf("%s %q %v %v %v", name, argv, uids, gids, err)
			}
			x.run = func(boot mach.Port) error { return c.run(ctx, k, boot) }
			root, err := k.Export(proto.Handler(&reauth{exe: x, auth: handle}), ports.Options{})
			if err != nil {
				t.Fatal(err)
			}
			dir, _ := root.Right()
			ended := false
			ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			if c.want != context.DeadlineExceeded {
				ctx = k.Context(t.Context())
			}
			defer cancel()
			got, err := hurd.StartTranslator(ctx, hurd.Start{
				Argz: []byte(c.argz), CWD: dir, Root: dir, Auth: handle, Owner: &hurd.Owner{UID: 5, GID: 6}, Ports: k,
				NewTask: func() (mach.Port, error) { return k.NewPort(nil), nil },
				EndTask: func(mach.Port) { ended = true },
				Underlying: func(_ context.Context, flags int32) (mach.Port, error) {
					if c.underlying != nil {
						return mach.Null, c.underlying
					}
					return k.NewPort(nil), nil
				},
			})
			if !errors.Is(err, c.want) || err == nil && got != control {
				t.Errorf("%v, %v, want %v", got, err, c.want)
			}
			if c.run != nil && ended != (c.want != nil) {
				t.Errorf("the task was ended: %v", ended)
			}
			if want := `/hurd/prog "/hurd/prog\x00-x\x00" [5] [6] <nil>`; c.want == nil && seen != want {
				t.Errorf("program %s, want %s", seen, want)
			}
			k.Release(got, dir, handle)
			nothingLeft(t, k)
		})
	}
}

// procs is a proc server that has one process.
type procs struct {
	proto.UnimplementedProc
	k      *portstest.Kernel
	reaped chan int32
}

func (p *procs) ProcChild(_ context.Context, task mach.Port) error {
	p.k.Release(task)
	return nil
}

func (p *procs) ProcTask2pid(_ context.Context, task mach.Port) (int32, error) {
	p.k.Release(task)
	return 77, nil
}

func (p *procs) ProcTask2proc(_ context.Context, task mach.Port) (mach.Port, error) {
	p.k.Release(task)
	return p.k.NewPort(nil), nil
}

func (p *procs) ProcWait(_ context.Context, pid, options int32) (int32, int32, proto.Rusage, int32, error) {
	p.reaped <- pid
	return 0, 0, proto.Rusage{}, pid, nil
}

// A translator that nobody waits for is waited for.
func TestTranslatorIsReaped(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	p := &procs{k: k, reaped: make(chan int32, 1)}
	proc := k.NewPort(proto.Handler(p))
	x := &exe{k: k, run: func(mach.Port) error { return nil }}
	root := k.NewPort(proto.Handler(x))
	_, err := hurd.StartTranslator(ctx, hurd.Start{
		Argz: []byte("/hurd/prog\x00"), CWD: root, Root: root, Proc: proc, Reap: true, Ports: k,
		NewTask: func() (mach.Port, error) { return k.NewPort(nil), nil },
		EndTask: func(mach.Port) {},
	})
	if !errors.Is(err, proto.EDIED) {
		t.Error(err)
	}
	if pid := <-p.reaped; pid != 77 {
		t.Errorf("reaped %d", pid)
	}
	k.Release(proc, root)
	nothingLeft(t, k)
}

// reauth is a directory that anybody may use.
type reauth struct {
	*exe
	auth mach.Port
}

func (r *reauth) IOReauthenticate(ctx context.Context, rendezvous mach.Port) error {
	p, err := r.k.Export(proto.Handler(r.exe), ports.Options{})
	if err != nil {
		return err
	}
	right, err := p.Right()
	if err != nil {
		return err
	}
	_, _, _, _, err = proto.AuthServerAuthenticate(ctx, r.auth, proto.Move(rendezvous), proto.Move(right))
	return err
}

func FuzzDirents(f *testing.F) {
	f.Add(hurd.AppendDirent(hurd.AppendDirent(nil, hurd.Dirent{Name: "a", Ino: 1, Type: 4}), hurd.Dirent{Name: strings.Repeat("x", 255)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := hurd.ParseDirents(b)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range list {
			again = hurd.AppendDirent(again, e)
		}
		list2, err := hurd.ParseDirents(again)
		if err != nil || fmt.Sprint(list) != fmt.Sprint(list2) {
			t.Errorf("%v, packed anew: %v, %v", list, list2, err)
		}
	})
}

func FuzzArgz(f *testing.F) {
	f.Add([]byte("a\x00\x00b\x00"))
	f.Add([]byte("a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		args := hurd.ParseArgz(b)
		if got := hurd.ParseArgz(hurd.Argz(args...)); strings.Join(got, "\x01") != strings.Join(args, "\x01") || len(got) != len(args) {
			t.Errorf("%q, %q", args, got)
		}
	})
}
