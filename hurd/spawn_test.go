package hurd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A world is the servers that a process is started with. It writes down what
// they are asked.
type world struct {
	proto.UnimplementedFS
	proto.UnimplementedIO
	proto.UnimplementedProc
	proto.UnimplementedAuth

	k    *portstest.Kernel
	self Process
	user mach.Port      // the auth handle of a user
	met  chan mach.Port // what is waiting at the rendezvous
	fail string         // the routine that fails

	mu  sync.Mutex
	log []string
}

func (w *world) did(format string, args ...any) error {
	s := fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, s)
	if w.fail != "" && strings.HasPrefix(s, w.fail) {
		return proto.EPERM
	}
	return nil
}

// as names a port.
func (w *world) as(p mach.Port) string {
	if !p.Valid() {
		return "null"
	}
	for name, q := range map[string]mach.Port{"self": w.self.Proc, "root": w.self.Root, "cwd": w.self.CWD, "auth": w.self.Auth, "user": w.user} {
		if p == q {
			return name
		}
	}
	return "port"
}

func (w *world) port() mach.Port { return w.k.NewPort(proto.Handler(w)) }

func (w *world) DirLookup(_ context.Context, name string, flags, _ int32) (int32, string, mach.Port, error) {
	err := w.did("lookup %s %#x", name, flags)
	if err != nil {
		return 0, "", mach.Null, err
	}
	return proto.RetryNormal, "", w.port(), nil
}

func (w *world) IOReauthenticate(_ context.Context, r mach.Port) error {
	return w.meet(r, "io_reauthenticate")
}

// meet gives who comes to the rendezvous a port, or nothing if it fails.
func (w *world) meet(r mach.Port, routine string) error {
	err := w.did("%s", routine)
	if err != nil {
		w.met <- mach.Null
		return err
	}
	w.k.Release(r)
	w.met <- w.port()
	return nil
}

func (w *world) ProcReauthenticate(_ context.Context, r mach.Port) error {
	return w.meet(r, "proc_reauthenticate")
}

func (w *world) ProcReauthenticateComplete(context.Context) error { return w.did("complete") }

func (w *world) AuthMakeauth(_ context.Context, others []mach.Port, euids, auids, egids, agids []int32) (mach.Port, error) {
	w.user = w.port()
	return w.user, w.did("makeauth %v %v %v %v", euids, auids, egids, agids)
}

func (w *world) AuthUserAuthenticate(_ context.Context, r mach.Port) (mach.Port, error) {
	p := <-w.met
	if err := w.did("user_authenticate"); err != nil || !p.Valid() {
		w.k.Release(p)
		return mach.Null, proto.EPERM
	}
	w.k.Release(r)
	return p, nil
}

func (w *world) ProcTask2pid(_ context.Context, task mach.Port) (int32, error) {
	if err := w.did("task2pid"); err != nil {
		return 0, err
	}
	w.k.Release(task)
	return 42, nil
}

func (w *world) ProcChild(_ context.Context, task mach.Port) error {
	if err := w.did("child"); err != nil {
		return err
	}
	w.k.Release(task)
	return nil
}

func (w *world) ProcTask2proc(_ context.Context, task mach.Port) (mach.Port, error) {
	if err := w.did("task2proc"); err != nil {
		return mach.Null, err
	}
	w.k.Release(task)
	return w.port(), nil
}

func (w *world) ProcSetsid(context.Context) error { return w.did("setsid") }

func (w *world) ProcSetpgrp(_ context.Context, pid, pgrp int32) error {
	return w.did("setpgrp %d %d", pid, pgrp)
}

func (w *world) ProcMakeLoginColl(context.Context) error { return w.did("login") }

func (w *world) ProcWait(_ context.Context, pid, options int32) (status, sigcode int32, r proto.Rusage, who int32, err error) {
	return 3 << 8, 0, r, pid, w.did("wait %d", pid)
}

func (w *world) FileExecPaths(ctx context.Context, task mach.Port, flags int32, path, abspath string, argv, envp []byte, fds, init []mach.Port, ints []int32, _, _ []mach.Port) error {
	var names []string
	for _, p := range init {
		names = append(names, w.as(p))
	}
	if err := w.did("exec %s %q %q %d fds %v umask %o", abspath, argv, envp, len(fds), names, ints[proto.InitUmask]); err != nil {
		return err
	}
	w.k.Release(task)
	w.k.Release(fds...)
	w.k.Release(init...)
	return nil
}

func TestSpawn(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    Spawn
		want []string
	}{
		{"plain", Spawn{Path: "/bin/p"}, []string{
			"lookup bin/p 0x4", "task2pid", "child", "task2proc",
			`exec /bin/p "p\x00a b\x00" "X=y\x00" 2 fds [cwd root auth port null null] umask 22`,
		}},
		{"user", Spawn{Path: "/bin/p", Dir: "/home", Session: true, User: &Credential{1000, 100, []uint32{100, 7}}}, []string{
			"makeauth [1000] [1000 1000] [100 7] [100 100]", "io_reauthenticate", "user_authenticate",
			"lookup home 0x0", "lookup bin/p 0x4", "task2pid", "child", "task2proc", "setsid",
			"proc_reauthenticate", "user_authenticate", "complete",
			`exec /bin/p "p\x00a b\x00" "X=y\x00" 2 fds [port port user port null null] umask 22`,
		}},
		{"job", Spawn{Path: "/bin/p", Job: true}, []string{
			"task2pid", "child", "task2proc", "setpgrp 42 0", "login", "proc_reauthenticate", "user_authenticate", "complete",
			`exec /bin/p "p\x00a b\x00" "X=y\x00" 2 fds [cwd root user port null null] umask 22`,
		}},
	} {
		// Once well, and once for each step that fails: nothing is left.
		for fail := -1; fail < len(tt.want); fail++ {
			w := &world{k: portstest.New(t, wire.Layout32), met: make(chan mach.Port, 1)}
			w.self = Process{CWD: w.port(), Root: w.port(), Auth: w.port(), Proc: w.port()}
			s := tt.s
			if s.Job { // with a program and a user that it is given
				w.user = w.port()
				s.File, s.Auth = w.port(), w.user
			}
			before := w.k.Ports()
			if fail >= 0 {
				if w.fail = tt.want[fail]; w.fail == "complete" {
					continue // is not answered
				}
			}
			tasks, ended := 0, 0
			s.Args, s.Env, s.FDs, s.Umask = []string{"p", "a b"}, []string{"X=y"}, []mach.Port{mach.Null, w.self.CWD}, 0o22
			s.NewTask = func() (mach.Port, error) { tasks++; return w.k.NewPort(nil), nil }
			s.EndTask = func(mach.Port) { ended++ }
			c, err := w.self.Spawn(w.k.Context(t.Context()), s)
			if fail < 0 {
				if err != nil || c.PID != 42 || !slices.Equal(w.log, tt.want) || ended != 0 {
					t.Errorf("%s: %v\n got %q\nwant %q", tt.name, err, w.log, tt.want)
				}
				if err != nil {
					continue
				}
				status, err := c.Wait(w.k.Context(t.Context()))
				if code, ok := status.Exited(); err != nil || !ok || code != 3 || status.Signal() != 0 {
					t.Errorf("%s: status %#x, %v", tt.name, status, err)
				}
			} else if !errors.Is(err, proto.EPERM) || tasks != ended {
				t.Errorf("%s, %s fails: %v; %d tasks, %d ended", tt.name, w.fail, err, tasks, ended)
			}
			// A failed makeauth returns a port that nobody gets: this test's.
			if after := w.k.Ports(); len(after) != len(before) && !strings.HasPrefix(w.fail, "makeauth") {
				t.Errorf("%s, %q fails: ports %v, before %v", tt.name, w.fail, after, before)
			}
			for _, p := range before {
				if n := w.k.Rights(p); n != 1 {
					t.Errorf("%s, %q fails: %d rights to %s", tt.name, w.fail, n, w.as(p))
				}
			}
		}
	}
}
