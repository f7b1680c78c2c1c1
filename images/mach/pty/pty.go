// Package pty is terminals whose other end is this program: that of an SSH session which
// has asked for one. It speaks the Hurd's term protocol (hurd-protocol.md, 7.6), so that
// programs find a terminal as any other: its modes, its size, its foreground process
// group, and an id port ([Terminal.ID]) that is the controlling terminal of those who have it.
//
// Keys that stand for signals, a new size and a hang-up are signals for the foreground
// process group, which are sent in the name of the id port, as processes expect of their
// controlling terminal (4.4). Who reads without being in the foreground is not stopped:
// term_open_ctty, by which a C library says whose reads they are, is not served.
//
// # Place in the house
//
// It stands on images/mach/ioport; images/mach/session makes terminals.
package pty

import (
	"context"
	"io"
	"sync"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/mach"
)

// A Size is that of the window: rows and columns, and pixels if they are known.
type Size struct{ Rows, Columns, Width, Height uint16 }

// maxSignals is how many signals wait to be sent; more are lost.
const maxSignals = 64

// A Terminal is one terminal. Its methods may be called by several goroutines.
type Terminal struct {
	host  *ioport.Host
	user  translator.User
	w     io.Writer
	state ioport.State
	id    ports.Port
	right mach.Port // to id, for as long as the terminal is there

	signals chan signal
	writing sync.Mutex // has who writes to w

	mu      sync.Mutex
	line    line
	size    Size
	group   int32 // in the foreground; 0: none
	hungUp  bool
	changed chan struct{} // closed, and replaced, when there is something to read
}

// A signal is one that is to be sent to a process group.
type signal struct{ group, number int32 }

// New makes a terminal of a user's. What programs write, and echoes, go to w. Signals are
// sent by post, one after the other, in the name of id.
func New(h *ioport.Host, user translator.User, w io.Writer, size Size, post func(group, signal int32, id mach.Port)) (*Terminal, error) {
	t := &Terminal{host: h, user: user, w: w, size: size, line: line{Modes: sane()}, signals: make(chan signal, maxSignals), changed: make(chan struct{})}
	var err error
	if t.id, err = h.Export.Export(proto.Handler(&identity{t: t}), ports.Options{}); err != nil {
		return nil, err
	}
	if t.right, err = t.id.Right(); err != nil {
		t.id.Close()
		return nil, err
	}
	go func() {
		for s := range t.signals {
			post(s.group, s.number, t.right)
		}
		h.Export.Release(t.right)
	}()
	return t, nil
}

// Open makes a port of the terminal, and returns a right to it, the caller's.
func (t *Terminal) Open() (mach.Port, error) { return t.host.Open(t, t.user) }

// ID returns a right to the port that stands for the terminal as one that controls
// processes, the caller's.
func (t *Terminal) ID() (mach.Port, error) { return t.id.Right() }

// Type has something be typed.
func (t *Terminal) Type(b []byte) error {
	t.mu.Lock()
	echoed, signals := t.line.typed(b)
	for _, sig := range signals {
		t.signal(sig)
	}
	t.wake()
	t.mu.Unlock()
	if len(echoed) == 0 {
		return nil
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	_, err := t.w.Write(echoed)
	return err
}

// End is that nothing more will be typed: the end of the file.
func (t *Terminal) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line.eof()
	t.line.eof() // after a line that has not been ended
	t.wake()
}

// Resize sets the size of the window.
func (t *Terminal) Resize(s Size) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size != s {
		t.size = s
		t.signal(proto.SIGWINCH)
	}
}

// Begin puts a process group into the foreground, if none has been put there.
func (t *Terminal) Begin(group int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.group == 0 {
		t.group = group
	}
}

// Close hangs up: reads end, and who is in the foreground gets SIGHUP.
func (t *Terminal) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hungUp {
		return
	}
	t.signal(proto.SIGHUP)
	t.hungUp = true
	close(t.signals)
	t.wake()
}

// signal sends a signal to the foreground. The lock is held.
func (t *Terminal) signal(number int32) {
	if t.group <= 0 || t.hungUp {
		return
	}
	select {
	case t.signals <- signal{t.group, number}:
	default: // they are not taken
	}
}

// wake wakes who waits. The lock is held.
func (t *Terminal) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// wait waits until something can be read. The lock is held.
func (t *Terminal) wait(ctx context.Context) error {
	for !t.line.readable() && !t.hungUp {
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		t.mu.Lock()
		if ctx.Err() != nil && !t.line.readable() {
			return context.Cause(ctx)
		}
	}
	return nil
}

// Serve and Release: [ioport.Object].
func (t *Terminal) Serve(c *ioport.Client) []any {
	return []any{&port{Client: c, State: &t.state, t: t}, &modes{t: t}, &term{t: t}}
}

func (t *Terminal) Release() {}

// A port is a port of a terminal: its io routines.
type port struct {
	*ioport.Client
	*ioport.State
	t *Terminal
}

func (p *port) IOGetOpenmodes(context.Context) (int32, error) {
	return p.Openmodes(proto.O_READ | proto.O_WRITE), nil
}

func (p *port) IOStat(context.Context) (proto.Stat, error) {
	var uid uint32
	if len(p.t.user.UIDs) > 0 {
		uid = p.t.user.UIDs[0]
	}
	return proto.Stat{FSType: proto.FSTypeMisc, Ino: 1, Mode: proto.S_IFCHR | 0o620, Nlink: 1, UID: uid, Blksize: 4096}, nil
}

func (p *port) IORead(ctx context.Context, _ int64, amount uint64) ([]byte, error) {
	t := p.t
	if amount == 0 {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.line.readable() && !t.hungUp && p.Nonblock() {
		return nil, proto.EAGAIN
	}
	if err := t.wait(ctx); err != nil {
		return nil, err
	}
	return t.line.read(int(min(amount, maxReady))), nil
}

func (p *port) IOWrite(_ context.Context, data []byte, _ int64) (uint64, error) {
	t := p.t
	t.mu.Lock()
	out := t.line.out(nil, data)
	over := t.hungUp
	t.mu.Unlock()
	if over {
		return 0, proto.EIO
	}
	// One after the other, and not mixed.
	t.writing.Lock()
	defer t.writing.Unlock()
	if _, err := t.w.Write(out); err != nil {
		return 0, proto.EIO
	}
	return uint64(len(data)), nil
}

func (p *port) IOReadable(context.Context) (uint64, error) {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	return uint64(len(p.t.line.ready)), nil
}

func (p *port) IOSelect(ctx context.Context, want int32) (int32, error) {
	t := p.t
	t.mu.Lock()
	defer t.mu.Unlock()
	got := want & proto.SelectWrite
	if want&proto.SelectRead == 0 {
		return got, nil
	}
	if got != 0 && !t.line.readable() && !t.hungUp {
		return got, nil
	}
	if err := t.wait(ctx); err != nil {
		return 0, err
	}
	return got | proto.SelectRead, nil
}

func (p *port) IOSelectTimeout(ctx context.Context, at proto.Timespec, want int32) (int32, error) {
	return ioport.SelectUntil(ctx, at, want, p.IOSelect)
}

// modes are its ioctls.
type modes struct {
	proto.UnimplementedTIoctl
	t *Terminal
}

func (m *modes) TIoctlTiocgeta(context.Context) ([4]int32, [20]byte, [2]int32, error) {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	l := &m.t.line
	return [4]int32{l.In, l.Out, l.Control, l.Local}, l.Keys, l.Speeds, nil
}

func (m *modes) TIoctlTiocseta(_ context.Context, flags [4]int32, keys [20]byte, speeds [2]int32) error {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	l := &m.t.line
	if was := l.Local; was&icanon != 0 && flags[3]&icanon == 0 {
		l.ready = append(l.ready, l.edited...) // which no key will end
		l.edited = nil
	}
	l.Modes = Modes{flags[0], flags[1], flags[2], flags[3], keys, speeds}
	m.t.wake()
	return nil
}

// What is written has been taken when it is answered: there is nothing to wait for.
func (m *modes) TIoctlTiocsetaw(ctx context.Context, flags [4]int32, keys [20]byte, speeds [2]int32) error {
	return m.TIoctlTiocseta(ctx, flags, keys, speeds)
}

func (m *modes) TIoctlTiocsetaf(ctx context.Context, flags [4]int32, keys [20]byte, speeds [2]int32) error {
	m.flush()
	return m.TIoctlTiocseta(ctx, flags, keys, speeds)
}

func (m *modes) flush() {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	l := &m.t.line
	l.edited, l.ready, l.eofs = nil, nil, nil
}

func (m *modes) TIoctlTiocflush(_ context.Context, which int32) error {
	if which != 2 { // TCOFLUSH
		m.flush()
	}
	return nil
}

func (m *modes) TIoctlTiocdrain(context.Context) error { return nil }

func (m *modes) TIoctlTiocgwinsz(context.Context) ([4]uint16, error) {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	s := m.t.size
	return [4]uint16{s.Rows, s.Columns, s.Width, s.Height}, nil
}

func (m *modes) TIoctlTiocswinsz(_ context.Context, s [4]uint16) error {
	m.t.Resize(Size{s[0], s[1], s[2], s[3]})
	return nil
}

func (m *modes) TIoctlTiocgpgrp(context.Context) (int32, error) {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	if m.t.group == 0 {
		return 0, proto.ENOTTY
	}
	return m.t.group, nil
}

func (m *modes) TIoctlTiocspgrp(_ context.Context, group int32) error {
	if group <= 0 {
		return proto.EINVAL
	}
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	m.t.group = group
	return nil
}

// term is what else a terminal can be asked.
type term struct {
	proto.UnimplementedTerm
	t *Terminal
}

func (t *term) TermGetctty(context.Context) (mach.Port, error) { return t.t.ID() }

// An identity is the port that stands for a terminal: /dev/tty opens it.
type identity struct {
	proto.UnimplementedTerm
	t *Terminal
}

func (i *identity) TermcttyOpenTerminal(_ context.Context, flags int32) (mach.Port, error) {
	return i.t.Open()
}

// postTime is how long a process may take to take a signal.
const postTime = 2 * time.Second

// Post sends a signal to a process group in the name of a terminal's id: what [New] is
// given, for the processes of p.
func Post(p *hurd.Process) func(group, signal int32, id mach.Port) {
	return func(group, signal int32, id mach.Port) {
		ctx, cancel := context.WithTimeout(context.Background(), postTime)
		defer cancel()
		pids, err := proto.ProcGetpgrppids(ctx, p.Proc, group)
		if err != nil {
			return // there is nobody
		}
		var all sync.WaitGroup
		for _, pid := range pids {
			all.Go(func() {
				port, err := proto.ProcGetmsgport(ctx, p.Proc, pid)
				if err != nil || !port.Valid() {
					return
				}
				_ = proto.MsgSigPost(ctx, port, signal, 0, id) // it may have ended
				proto.Release(ctx, port)
			})
		}
		all.Wait()
	}
}
