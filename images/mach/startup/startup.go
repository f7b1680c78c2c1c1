// Package startup is the startup server: it brings the process and the auth
// server up, introduces the first servers to each other, starts the init
// system, and ends it all in order.
//
// The servers without which nothing goes tell it that they are essential. The
// death of one is said on the console, and the machine restarts.
//
// The facts are from the reference document hurd-protocol.md: 3.7 (the start,
// step by step; the numbers in comments are its), 7.5 (the routines).
package startup

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Bounds.
const (
	maxEssential     = 64
	maxNotifications = 256
	// syncTimeout bounds how long one server, and the root file system, may
	// take to write back what they have when the machine ends, and
	// allTimeout how long all servers may together: anybody can register.
	syncTimeout = 15 * time.Second
	allTimeout  = time.Minute
)

// A Kernel is what the server needs of Mach.
type Kernel interface {
	// Watch calls f when p dies, unless stop is called before.
	Watch(p mach.Port, f func()) (stop func(), err error)
	// Retain makes another reference to a send right, Release gives one back;
	// Destroy destroys a receive right.
	Retain(p mach.Port) error
	Release(p ...mach.Port)
	Destroy(p mach.Port)
	// Reboot ends the machine.
	Reboot(hostPriv mach.Port, how int32)
	// Say writes a line to the console, whoever else has died.
	Say(line string)
}

// A Server answers at the port of startup.
type Server struct {
	proto.UnimplementedStartup
	proto.UnimplementedFsys
	kernel                 Kernel
	right                  func() (mach.Port, error) // makes one to its port
	hostPriv, deviceMaster mach.Port
	task                   mach.Port // its own
	root                   mach.Port // of the file system, to sync

	mu         sync.Mutex
	proc, auth mach.Port     // once they are there
	haveProc   chan struct{} // closed with proc
	haveAuth   chan struct{}
	authProc   mach.Port // for auth, once authKnown is closed
	authKnown  chan struct{}
	essential  map[string]bool
	complete   chan struct{} // closed when all that must be are essential
	registered []*registration
	ending     bool
}

type registration struct {
	port mach.Port
	name string
	stop func()
}

var (
	_ proto.StartupServer = (*Server)(nil)
	_ proto.FsysServer    = (*Server)(nil)
)

// New returns a server. It borrows the rights: the privileged ports, its own
// task and the root directory. right makes a right to its own port.
func New(k Kernel, right func() (mach.Port, error), hostPriv, deviceMaster, task, root mach.Port) *Server {
	return &Server{
		kernel: k, right: right, hostPriv: hostPriv, deviceMaster: deviceMaster, task: task, root: root,
		haveProc: make(chan struct{}), haveAuth: make(chan struct{}), authKnown: make(chan struct{}), complete: make(chan struct{}),
		essential: make(map[string]bool),
	}
}

// FsysGetroot is asked by the root file system when somebody opens
// /servers/startup: this is the port.
func (s *Server) FsysGetroot(ctx context.Context, dotdot mach.Port, uids, gids []int32, flags int32) (retry int32, name string, file mach.Port, err error) {
	if file, err = s.right(); err != nil {
		return 0, "", mach.Null, err
	}
	proto.Release(ctx, dotdot)
	return proto.RetryNormal, "", file, nil
}

// FsysSyncfs has nothing to do.
func (s *Server) FsysSyncfs(context.Context, int32, int32) error { return nil }

// FsysGoaway is refused: the machine ends by startup_reboot.
func (s *Server) FsysGoaway(context.Context, int32) error { return proto.EBUSY }

// retain makes references for a client.
func (s *Server) retain(list ...mach.Port) error {
	for i, p := range list {
		if err := s.kernel.Retain(p); err != nil {
			s.kernel.Release(list[:i]...)
			return err
		}
	}
	return nil
}

// wait waits for a step of the start.
func wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return proto.EINTR
	}
}

// StartupProcinit is the process server's report (9). It is answered when auth
// is there.
func (s *Server) StartupProcinit(ctx context.Context, proc mach.Port) (task, auth, hostPriv, deviceMaster mach.Port, err error) {
	if !proc.Valid() {
		return 0, 0, 0, 0, proto.EINVAL
	}
	s.mu.Lock()
	if s.proc != mach.Null {
		s.mu.Unlock()
		return 0, 0, 0, 0, proto.EPERM
	}
	s.proc = proc
	s.mu.Unlock()
	// There is no way back: startup cannot go on without it.
	if err := wait(context.WithoutCancel(ctx), s.haveAuth); err != nil {
		return 0, 0, 0, 0, err
	}
	if err := s.retain(s.task, s.auth, s.hostPriv, s.deviceMaster); err != nil {
		return 0, 0, 0, 0, err
	}
	close(s.haveProc)
	return s.task, s.auth, s.hostPriv, s.deviceMaster, nil
}

// StartupAuthinit is the auth server's report (10). It is answered when its
// process is known.
func (s *Server) StartupAuthinit(ctx context.Context, auth mach.Port) (proc mach.Port, err error) {
	if !auth.Valid() {
		return mach.Null, proto.EINVAL
	}
	s.mu.Lock()
	if s.auth != mach.Null {
		s.mu.Unlock()
		return mach.Null, proto.EPERM
	}
	s.auth = auth
	s.mu.Unlock()
	close(s.haveAuth)
	if err := wait(context.WithoutCancel(ctx), s.authKnown); err != nil {
		return mach.Null, err
	}
	return s.authProc, nil
}

// Servers waits for proc and auth and returns startup's process port and auth
// handle, the server's.
func (s *Server) Servers(ctx context.Context) (proc, auth mach.Port, err error) {
	if err := wait(ctx, s.haveProc); err != nil {
		return mach.Null, mach.Null, err
	}
	return s.proc, s.auth, nil
}

// Introduce gives auth its process port, which it consumes.
func (s *Server) Introduce(authProc mach.Port) {
	s.authProc = authProc
	close(s.authKnown)
}

// Complete is closed when auth, exec, proc and a root file system have said
// that they are essential (20).
func (s *Server) Complete() <-chan struct{} { return s.complete }

// Watch makes the machine restart when a task dies.
func (s *Server) Watch(task mach.Port, name string) error {
	_, err := s.kernel.Watch(task, func() { go s.lost(name) })
	return err
}

// lost is the end of a server without which nothing goes.
func (s *Server) lost(name string) {
	s.mu.Lock()
	ending := s.ending
	s.ending = true
	s.mu.Unlock()
	if ending {
		return
	}
	s.kernel.Say(fmt.Sprintf("startup: essential server %s has died; the machine restarts", name))
	s.kernel.Reboot(s.hostPriv, proto.RB_AUTOBOOT)
}

// StartupEssentialTask makes a task one that the machine does not go without.
// Whoever asks shows the privileged host port.
func (s *Server) StartupEssentialTask(ctx context.Context, task, excpt mach.Port, name string, credential mach.Port) error {
	if credential != s.hostPriv {
		return proto.EPERM
	}
	if !task.Valid() {
		return proto.EINVAL
	}
	s.mu.Lock()
	known := s.essential[name]
	if !known && len(s.essential) >= maxEssential {
		s.mu.Unlock()
		return proto.EAGAIN
	}
	s.essential[name] = true
	done := !known && s.all()
	s.mu.Unlock()
	if err := s.Watch(task, name); err != nil {
		return err
	}
	// The reference to the task stays, for the watch.
	if excpt.Valid() {
		s.kernel.Destroy(excpt)
	}
	proto.Release(ctx, credential)
	if done {
		close(s.complete)
	}
	return nil
}

// all reports whether everybody is there, and is true once.
func (s *Server) all() bool {
	fs := false
	for name := range s.essential {
		fs = fs || strings.HasSuffix(name, "fs")
	}
	if !fs || !s.essential["auth"] || !s.essential["exec"] || !s.essential["proc"] {
		return false
	}
	select {
	case <-s.complete:
		return false
	default:
		return true
	}
}

// StartupRequestNotification registers a server that wants to know before the
// machine ends.
func (s *Server) StartupRequestNotification(ctx context.Context, notify mach.Port, name string) error {
	if !notify.Valid() {
		return proto.EINVAL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.registered) >= maxNotifications {
		return proto.EAGAIN
	}
	r := &registration{port: notify, name: name}
	stop, err := s.kernel.Watch(notify, func() { s.forget(r) })
	if err != nil {
		return err
	}
	r.stop = stop
	s.registered = append(s.registered, r)
	return nil
}

func (s *Server) forget(r *registration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.registered, r); i >= 0 {
		s.registered = slices.Delete(s.registered, i, i+1)
		s.kernel.Release(r.port)
	}
}

// StartupReboot ends the machine in order, for who shows the privileged host
// port.
func (s *Server) StartupReboot(ctx context.Context, refport mach.Port, code int32) error {
	if refport != s.hostPriv {
		return proto.EPERM
	}
	s.mu.Lock()
	ending := s.ending
	s.ending = true
	list := slices.Clone(s.registered)
	s.mu.Unlock()
	if ending {
		return proto.EBUSY
	}
	// Nobody can take it back.
	ctx = context.WithoutCancel(ctx)
	all, cancel := context.WithTimeout(ctx, allTimeout)
	defer cancel()
	// Those who came later stand on those who came before.
	for _, r := range slices.Backward(list) {
		ctx, cancel := context.WithTimeout(all, syncTimeout)
		if err := proto.StartupDosync(ctx, r.port); err != nil {
			s.kernel.Say(fmt.Sprintf("startup: %s at shutdown: %v", r.name, err))
		}
		cancel()
	}
	if s.root.Valid() {
		ctx, cancel := context.WithTimeout(ctx, syncTimeout)
		if err := proto.FileSyncfs(ctx, s.root, 1, 1); err != nil {
			s.kernel.Say(fmt.Sprintf("startup: sync at shutdown: %v", err))
		}
		cancel()
	}
	s.kernel.Reboot(s.hostPriv, code)
	return nil
}
