package rexec

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// hangupTime is how long a program whose caller has gone has to end by itself.
const hangupTime = 2 * time.Second

// recentTime is how long a program that has been started counts in a node's load
// by itself: the kernel's average follows later.
const recentTime = 5 * time.Second

// A Config says what a server is.
type Config struct {
	// Node is the name of the node.
	Node      string
	Processes Processes
	Ports     ports.Exporter
	// Busy says how busy the node is, in thousandths of the threads that each of its
	// processors could run at a time, and how many bytes of memory are free.
	Busy func() (load int, free int64, err error)
	// Context is that of what goes on after a request.
	Context context.Context
	// HangupTime is how long a program has to end itself that has got
	// SIGHUP because its caller has gone. 0 is two seconds.
	HangupTime time.Duration
}

// A Server starts programs. It is the root of a translator: [translator.Node].
type Server struct {
	config Config

	mu     sync.Mutex
	jobs   map[*job]struct{} // that are being started or run
	byUser map[int32]int
	here   []time.Time // when others were started that count, in order
}

// NewServer makes a server.
func NewServer(c Config) *Server {
	if c.HangupTime == 0 {
		c.HangupTime = hangupTime
	}
	if c.Context == nil {
		c.Context = context.Background()
	}
	return &Server{config: c, jobs: make(map[*job]struct{}), byUser: make(map[int32]int)}
}

// Stat is what the server looks like.
func (s *Server) Stat(context.Context) (translator.Stat, error) {
	return translator.Stat{Ino: 1, Mode: proto.S_IFREG | 0o666}, nil
}

// Protocols is what a user has of the server.
func (s *Server) Protocols(user translator.User, _ int32) []any {
	return []any{&client{server: s, user: user}}
}

// Jobs returns how many programs run.
func (s *Server) Jobs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.jobs)
}

// A client is who has the server open.
type client struct {
	proto.UnimplementedRexec
	server *Server
	user   translator.User
}

// RexecStart starts a program. The root directory of portarray may be null:
// the program then gets the node's own, and dir in it, and is looked for there
// if file is null too. The other ports of portarray but the working directory are
// not heeded: what a process is here it has from here.
func (c *client) RexecStart(ctx context.Context, flags int32, file mach.Port, path, dir string, argv, envp []byte,
	fds, portarray []mach.Port, ints []int32) (mach.Port, int32, error) {
	s := c.server
	at := func(i int) mach.Port {
		if i < len(portarray) {
			return portarray[i]
		}
		return mach.Null
	}
	word := func(i int) int32 {
		if i < len(ints) {
			return ints[i]
		}
		return 0
	}
	uids, gids := signed(c.user.UIDs), signed(c.user.GIDs)
	switch {
	case len(uids) == 0:
		return mach.Null, 0, proto.EPERM
	case len(argv)+len(envp) > maxArgs:
		return mach.Null, 0, proto.E2BIG
	case flags != 0, len(argv) == 0, len(fds) > maxFiles, file == mach.Dead,
		at(proto.InitPortRoot) == mach.Dead, at(proto.InitPortRoot).Valid() != at(proto.InitPortCWD).Valid(),
		!at(proto.InitPortRoot).Valid() && !file.Valid() && path == "", at(proto.InitPortRoot).Valid() && !file.Valid():
		return mach.Null, 0, proto.EINVAL
	}
	files := slices.Clone(fds)
	for i, p := range files {
		if p == mach.Dead {
			files[i] = mach.Null
		}
	}
	j := &job{server: s, uid: uids[0], started: time.Now(), changed: make(chan struct{})}
	if err := s.enter(j); err != nil {
		return mach.Null, 0, err
	}
	p := &Program{
		UIDs: uids, GIDs: gids, File: file, Path: path, Args: hurd.ParseArgz(argv), Env: s.environment(hurd.ParseArgz(envp)),
		Root: at(proto.InitPortRoot), CWD: at(proto.InitPortCWD), Dir: dir, FDs: files,
		Umask: word(proto.InitUmask) & 0o777, Ignored: word(proto.InitSigIgn),
	}
	var err error
	if j.pid, err = s.config.Processes.Start(ctx, p); err != nil {
		s.leave(j)
		return mach.Null, 0, err
	}
	right, err := j.export()
	go j.watch()
	if err != nil {
		go j.hangup() // nobody could
		return mach.Null, 0, err
	}
	proto.Release(ctx, file)
	proto.Release(ctx, fds...)
	proto.Release(ctx, portarray...)
	return right, j.pid, nil
}

// environment is a program's, with the name of this node.
func (s *Server) environment(env []string) []string {
	env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, NodeVariable+"=") })
	return append(env, NodeVariable+"="+s.config.Node)
}

// RexecLoad says how much the node has to do: [Config.Busy], and 1000 for each
// program that has just been started.
func (c *client) RexecLoad(context.Context) (node string, load, jobs int32, free int64, err error) {
	s := c.server
	busy, free, err := s.config.Busy()
	if err != nil {
		return "", 0, 0, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for j := range s.jobs {
		if now.Sub(j.started) < recentTime {
			busy += 1000
		}
	}
	for _, t := range s.here {
		if now.Sub(t) < recentTime {
			busy += 1000
		}
	}
	return s.config.Node, int32(busy), int32(len(s.jobs)), free, nil
}

// RexecHere says that a program is started here by somebody who has chosen this node, which
// is the caller's: for some time it counts as those that the server starts.
func (c *client) RexecHere(context.Context) error {
	s := c.server
	if len(c.user.UIDs) == 0 {
		return proto.EPERM
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.here = slices.DeleteFunc(s.here, func(t time.Time) bool { return now.Sub(t) >= recentTime })
	if len(s.here) == MaxJobs {
		return proto.EAGAIN
	}
	s.here = append(s.here, now)
	return nil
}

// enter takes a place for a program.
func (s *Server) enter(j *job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) >= MaxJobs || j.uid != 0 && s.byUser[j.uid] >= MaxUserJobs {
		return proto.EAGAIN
	}
	s.jobs[j] = struct{}{}
	s.byUser[j.uid]++
	return nil
}

func (s *Server) leave(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, j)
	if s.byUser[j.uid]--; s.byUser[j.uid] == 0 {
		delete(s.byUser, j.uid)
	}
}

func signed(x []uint32) []int32 {
	y := make([]int32, len(x))
	for i := range x {
		y[i] = int32(x[i])
	}
	return y
}

// A job is a program that was started. Its port is its caller's: when nobody has it
// any more, the caller has gone.
type job struct {
	proto.UnimplementedRexecJob
	server  *Server
	uid     int32
	pid     int32
	started time.Time

	mu      sync.Mutex
	serial  int32 // of the state
	state   State
	ended   bool
	changed chan struct{} // closed with the next change
}

// export makes the port.
func (j *job) export() (mach.Port, error) {
	return ports.ExportRight(j.server.config.Ports, proto.Handler(j), ports.Options{Gone: func() { go j.hangup() }})
}

// watch follows the process to its end.
func (j *job) watch() {
	s := j.server
	for {
		state, err := s.config.Processes.Wait(s.config.Context, j.pid)
		if proto.Code(err) == proto.EINTR && s.config.Context.Err() == nil {
			continue
		}
		if err != nil {
			state = State{Status: proto.SIGKILL} // there is no telling
		}
		j.mu.Lock()
		j.serial++
		j.state = state
		j.ended = state.Ended()
		close(j.changed)
		j.changed = make(chan struct{})
		j.mu.Unlock()
		if state.Ended() {
			s.leave(j)
			return
		}
	}
}

// next returns the state when it is not the one that has been seen any more.
func (j *job) next(ctx context.Context, seen int32) (serial int32, s State, err error) {
	for {
		j.mu.Lock()
		serial, s = j.serial, j.state
		changed := j.changed
		j.mu.Unlock()
		if serial != seen {
			return serial, s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, State{}, context.Cause(ctx)
		}
	}
}

// RexecWait waits for a state of the process other than that with the serial number
// seen. 0 is that of the start.
func (j *job) RexecWait(ctx context.Context, seen int32) (serial, status, sigcode int32, err error) {
	serial, s, err := j.next(ctx, seen)
	return serial, s.Status, s.Sigcode, err
}

// toGroup are the signals of terminals and sessions: what gets them there is all of
// the group.
var toGroup = []int32{proto.SIGHUP, proto.SIGINT, proto.SIGQUIT, proto.SIGTSTP, proto.SIGCONT, proto.SIGWINCH}

// RexecSignal sends a signal: those of terminals and sessions to the program's
// group, SIGKILL to all its descendants, others to the program itself.
func (j *job) RexecSignal(ctx context.Context, signal int32) error {
	if signal < 0 || signal > proto.SIGLOST {
		return proto.EINVAL
	}
	j.mu.Lock()
	ended := j.ended
	j.mu.Unlock()
	switch {
	case ended:
		return proto.ESRCH
	case signal == 0:
		return nil
	case signal == proto.SIGKILL:
		j.kill(ctx, nil)
		return nil
	case slices.Contains(toGroup, signal):
		return j.server.config.Processes.Kill(ctx, -j.pid, int(signal))
	}
	return j.server.config.Processes.Kill(ctx, j.pid, int(signal))
}

// hangup ends the program, and what it has started, because its caller has gone. What
// is left of a program that has ended before stays.
func (j *job) hangup() {
	j.mu.Lock()
	ended := j.ended
	j.mu.Unlock()
	if ended {
		return
	}
	s := j.server
	ctx, cancel := context.WithTimeout(s.config.Context, s.config.HangupTime)
	defer cancel()
	known, _ := s.config.Processes.Family(ctx, j.pid) // who may not be its own when it has ended
	for _, signal := range []int{proto.SIGHUP, proto.SIGCONT} {
		_ = s.config.Processes.Kill(ctx, -j.pid, signal) // who does not take it is killed
	}
	for seen := int32(0); ; {
		serial, state, err := j.next(ctx, seen)
		if err != nil || state.Ended() {
			break
		}
		seen = serial
	}
	j.kill(s.config.Context, known)
}

// kill ends all processes that descend from the program, or are known to, and it. What
// has been killed makes no new ones, so that it comes to an end. The program goes last,
// and its group with it: when it has ended, who descends from it may not be known any
// more.
func (j *job) kill(ctx context.Context, known []int32) {
	p := j.server.config.Processes
	j.mu.Lock()
	ended := j.ended
	j.mu.Unlock()
	killed := map[int32]bool{j.pid: true}
	descendants := func() {
		for more := true; more; {
			family, err := p.Family(ctx, j.pid)
			if err != nil {
				family = nil
			}
			more = false
			for _, pid := range append(family, known...) {
				if !killed[pid] {
					killed[pid], more = true, true
					_ = p.Kill(ctx, pid, proto.SIGKILL) // it may just have ended
				}
			}
		}
	}
	descendants()
	_ = p.Kill(ctx, -j.pid, proto.SIGKILL)
	if !ended {
		_ = p.Kill(ctx, j.pid, proto.SIGKILL) // it may have left its group
	}
	descendants()
}
