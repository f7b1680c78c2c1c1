package rexec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// fake is processes that do what they are told.
type fake struct {
	mu      sync.Mutex
	next    int32
	log     []string
	fail    error
	news    map[int32]chan State
	family  map[int32][]int32
	dieOf   map[int]bool // signals to the group that end a program
	forgets bool         // who descends from a process that has ended
	started *Program
}

func newFake() *fake {
	return &fake{next: 100, news: map[int32]chan State{}, family: map[int32][]int32{}, dieOf: map[int]bool{}}
}

func (f *fake) Start(_ context.Context, p *Program) (int32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return 0, f.fail
	}
	f.next++
	f.started = p
	f.news[f.next] = make(chan State, 10)
	f.family[f.next] = []int32{f.next}
	return f.next, nil
}

func (f *fake) Wait(ctx context.Context, pid int32) (State, error) {
	f.mu.Lock()
	news := f.news[pid]
	f.mu.Unlock()
	select {
	case s := <-news:
		return s, nil
	case <-ctx.Done():
		return State{}, context.Cause(ctx)
	}
}

// end ends a process.
func (f *fake) end(pid, status int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for leader, list := range f.family {
		if f.forgets && leader == pid {
			f.family[leader] = nil
		} else if i := slices.Index(list, pid); i >= 0 {
			f.family[leader] = slices.Delete(list, i, i+1)
		}
	}
	if news := f.news[pid]; news != nil {
		news <- State{Status: status}
	}
}

func (f *fake) Kill(_ context.Context, pid int32, signal int) error {
	f.mu.Lock()
	f.log = append(f.log, fmt.Sprintf("%d to %d", signal, pid))
	die := signal == proto.SIGKILL || pid < 0 && f.dieOf[signal]
	f.mu.Unlock()
	if die {
		f.end(max(pid, -pid), int32(signal))
	}
	return nil
}

func (f *fake) Family(_ context.Context, pid int32) ([]int32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.family[pid]), nil
}

func (f *fake) did() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// world is a server and its users.
type world struct {
	t      *testing.T
	k      *portstest.Kernel
	ctx    context.Context
	fake   *fake
	server *Server
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, k: portstest.New(t, wire.Layout32), fake: newFake()}
	w.ctx = w.k.Context(t.Context())
	w.server = NewServer(Config{
		Node: "node2", Processes: w.fake, Ports: w.k, Context: w.ctx,
		Busy: func() (int, int64, error) { return 250, 1 << 20, nil },
	})
	return w
}

// as makes a port of the server for a user.
func (w *world) as(uids ...uint32) mach.Port {
	return w.k.NewPort(proto.Handler(w.server.Protocols(translator.User{UIDs: uids, GIDs: []uint32{7}}, 0)...))
}

// start starts a program; change changes the request.
func (w *world) start(server mach.Port, change func(r *request)) (mach.Port, int32, error) {
	r := &request{
		file: w.k.NewPort(nil), root: w.k.NewPort(nil), cwd: w.k.NewPort(nil), fds: []mach.Port{w.k.NewPort(nil), mach.Null, w.k.NewPort(nil)},
		path: "/bin/p", argv: hurd.Argz("p", "a b"), envp: hurd.Argz("REXEC_NODE=other", "X=y"), ints: []int32{0o27, 0, 1 << 0},
	}
	if change != nil {
		change(r)
	}
	defer w.k.Release(append([]mach.Port{r.file, r.root, r.cwd}, r.fds...)...)
	list := make([]mach.Port, proto.InitPortMax)
	list[proto.InitPortRoot], list[proto.InitPortCWD] = r.root, r.cwd
	return proto.RexecStart(w.ctx, server, r.flags, r.file, r.path, r.dir, r.argv, r.envp, r.fds, list, r.ints)
}

type request struct {
	flags           int32
	file, root, cwd mach.Port
	path, dir       string
	argv, envp      []byte
	fds             []mach.Port
	ints            []int32
}

func TestStart(t *testing.T) {
	w := newWorld(t)
	server := w.as(1000, 5)
	before := w.k.Ports()
	job, pid, err := w.start(server, nil)
	if err != nil || pid != 101 {
		t.Fatal(pid, err)
	}
	p := w.fake.started
	if !slices.Equal(p.UIDs, []int32{1000, 5}) || !slices.Equal(p.GIDs, []int32{7}) || !slices.Equal(p.Args, []string{"p", "a b"}) ||
		!slices.Equal(p.Env, []string{"X=y", "REXEC_NODE=node2"}) || p.Path != "/bin/p" || p.Umask != 0o27 || p.Ignored != 1 || !p.Root.Valid() || len(p.FDs) != 3 || p.FDs[1] != mach.Null {
		t.Errorf("%+v", p)
	}
	w.fake.news[pid] <- State{Status: proto.SIGSTOP<<8 | 0x7f}
	serial, status, _, err := proto.RexecWait(w.ctx, job, 0)
	if err != nil || serial != 1 || !(State{Status: status}).Stopped() {
		t.Errorf("%d %#x %v", serial, status, err)
	}
	w.fake.news[pid] <- State{Status: continued}
	if serial, status, _, err = proto.RexecWait(w.ctx, job, serial); err != nil || status != continued {
		t.Errorf("%d %#x %v", serial, status, err)
	}
	w.fake.end(pid, 3<<8)
	// Who asks again is told again.
	for range 2 {
		if _, status, _, err = proto.RexecWait(w.ctx, job, serial); err != nil || status != 3<<8 {
			t.Errorf("%#x %v", status, err)
		}
	}
	if err := proto.RexecSignal(w.ctx, job, proto.SIGTERM); !errors.Is(err, proto.ESRCH) {
		t.Errorf("signal for what has ended: %v", err)
	}
	w.k.Release(job)
	if n := w.server.Jobs(); n != 0 {
		t.Errorf("%d jobs", n)
	}
	if after := w.k.Ports(); !slices.Equal(after, before) {
		t.Errorf("ports %v, before %v", after, before)
	}
	if log := w.fake.did(); len(log) > 0 {
		t.Errorf("%q", log)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	nobody := w.as()
	user := w.as(1000)
	before := w.k.Ports()
	for _, tt := range []struct {
		name   string
		as     mach.Port
		change func(r *request)
		want   mach.KernReturn
	}{
		{"nobody", nobody, nil, proto.EPERM},
		{"flags", user, func(r *request) { r.flags = 1 }, proto.EINVAL},
		{"no name", user, func(r *request) { r.argv = nil }, proto.EINVAL},
		{"much", user, func(r *request) { r.envp = make([]byte, maxArgs) }, proto.E2BIG},
		{"no program", user, func(r *request) { w.k.Release(r.file); r.file = mach.Null }, proto.EINVAL},
		{"a root without a directory", user, func(r *request) { w.k.Release(r.cwd); r.cwd = mach.Null }, proto.EINVAL},
		{"a directory without a root", user, func(r *request) { w.k.Release(r.root); r.root = mach.Null }, proto.EINVAL},
		{"descriptors", user, func(r *request) { w.k.Release(r.fds...); r.fds = make([]mach.Port, maxFiles+1) }, proto.EINVAL},
	} {
		if _, _, err := w.start(tt.as, tt.change); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if after := w.k.Ports(); !slices.Equal(after, before) {
			t.Fatalf("%s: ports %v, before %v", tt.name, after, before)
		}
	}
	w.fake.fail = proto.ENOEXEC
	if _, _, err := w.start(user, nil); !errors.Is(err, proto.ENOEXEC) || w.server.Jobs() != 0 {
		t.Errorf("%v, %d jobs", err, w.server.Jobs())
	}
	w.fake.fail = nil

	// A user's programs are bounded, root's by what there is.
	var jobs []mach.Port
	for range MaxUserJobs {
		job, _, err := w.start(user, nil)
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job)
	}
	if _, _, err := w.start(user, nil); !errors.Is(err, proto.EAGAIN) {
		t.Errorf("one too many: %v", err)
	}
	root := w.as(0)
	for range MaxJobs - MaxUserJobs {
		if _, _, err := w.start(root, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.start(root, nil); !errors.Is(err, proto.EAGAIN) {
		t.Errorf("one too many of root's: %v", err)
	}
	if node, load, n, free, err := proto.RexecLoad(w.ctx, nobody); node != "node2" || load != 250+1000*MaxJobs || n != MaxJobs || free != 1<<20 || err != nil {
		t.Errorf("%s %d %d %d %v", node, load, n, free, err)
	}
	// What is started by others counts as well, and is bounded.
	if err := proto.RexecHere(w.ctx, nobody); !errors.Is(err, proto.EPERM) {
		t.Errorf("nobody starts something: %v", err)
	}
	for range MaxJobs {
		if err := proto.RexecHere(w.ctx, user); err != nil {
			t.Fatal(err)
		}
	}
	if err := proto.RexecHere(w.ctx, user); !errors.Is(err, proto.EAGAIN) {
		t.Errorf("one too many: %v", err)
	}
	if _, load, n, _, err := proto.RexecLoad(w.ctx, nobody); load != 250+2*1000*MaxJobs || n != MaxJobs || err != nil {
		t.Errorf("%d %d %v", load, n, err)
	}
	w.fake.end(101, 0)
	if _, status, _, err := proto.RexecWait(w.ctx, jobs[0], 0); status != 0 || err != nil {
		t.Errorf("%#x %v", status, err)
	}
	if _, _, err := w.start(user, nil); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}

func TestSignals(t *testing.T) {
	w := newWorld(t)
	job, pid, err := w.start(w.as(0), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.fake.family[pid] = []int32{pid, 300, 301}
	for _, sig := range []int32{0, proto.SIGTERM, proto.SIGINT, proto.SIGTSTP, proto.SIGSTOP, proto.SIGCONT, proto.SIGUSR1, proto.SIGHUP, proto.SIGKILL} {
		if err := proto.RexecSignal(w.ctx, job, sig); err != nil {
			t.Errorf("%d: %v", sig, err)
		}
	}
	for _, sig := range []int32{-1, 33} {
		if err := proto.RexecSignal(w.ctx, job, sig); !errors.Is(err, proto.EINVAL) {
			t.Errorf("%d: %v", sig, err)
		}
	}
	want := []string{"15 to 101", "2 to -101", "18 to -101", "17 to 101", "19 to -101", "30 to 101", "1 to -101", "9 to 300", "9 to 301", "9 to -101", "9 to 101"}
	if log := w.fake.did(); !slices.Equal(log, want) {
		t.Errorf(" got %q\nwant %q", log, want)
	}
	if _, status, _, err := proto.RexecWait(w.ctx, job, 0); status != proto.SIGKILL || err != nil {
		t.Errorf("%#x %v", status, err)
	}
}

// A caller that goes: what runs gets SIGHUP, and SIGKILL if it does not end, and with
// it all that it has started.
func TestHangup(t *testing.T) {
	for _, tt := range []struct {
		name          string
		dies, forgets bool
		took          time.Duration
		want          string
	}{
		{"that ends", true, false, 0, "1 to -101; 19 to -101; 9 to 300; 9 to -101"},
		{"that ends, on a Hurd", true, true, 0, "1 to -101; 19 to -101; 9 to 300; 9 to -101"},
		{"that stays", false, false, hangupTime, "1 to -101; 19 to -101; 9 to 300; 9 to -101; 9 to 101"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				ctx, cancel := context.WithCancel(w.ctx)
				defer cancel()
				w.server.config.Context = ctx
				w.fake.dieOf[proto.SIGHUP], w.fake.forgets = tt.dies, tt.forgets
				job, pid, err := w.start(w.as(0), nil)
				if err != nil {
					t.Fatal(err)
				}
				w.fake.family[pid] = []int32{pid, 300}
				begun := time.Now()
				w.k.Release(job)
				synctest.Wait()
				time.Sleep(tt.took)
				synctest.Wait()
				if log := strings.Join(w.fake.did(), "; "); log != tt.want || w.server.Jobs() != 0 {
					t.Errorf("%s, want %s; %d jobs", log, tt.want, w.server.Jobs())
				}
				if d := time.Since(begun); d != tt.took {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}
