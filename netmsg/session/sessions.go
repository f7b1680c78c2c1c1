package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// A Handler is told what happens in the sessions of a node. For one peer the calls
// come one after the other, and in the order Connected, any number of Receive, Lost;
// for different peers they come at the same time. None is to wait for the
// network or for another session.
type Handler interface {
	// Connected says that there is a session. What is sent now comes first in it.
	Connected(s *Session)
	// Receive has records that arrived, in their order: all that were there at
	// once, so that what they lead to leaves at once too, without a Flush. The
	// slice is only good for the call.
	Receive(s *Session, records []rights.Record)
	// Lost says that the session is over, and why: a [*rights.ProtocolError] that
	// this side has found, a [*PeerError] that the other side has said, or an
	// error with [ErrLost].
	Lost(s *Session, err error)
	// Unreachable answers a Dial that led to no session.
	Unreachable(peer rights.NodeID, err error)
}

// Config is what the sessions of a node are made with.
type Config struct {
	Self    rights.Incarnation
	Handler Handler
	// Dial opens a connection to a peer, who is who it should be.
	Dial func(ctx context.Context, peer rights.NodeID) (net.Conn, error)

	// Limits are what the node takes from a peer. Zero values mean defaults.
	Limits rights.Limits
	// Queue is how many bytes may wait to be written to a peer (64 MB).
	Queue int
	// Memory has the messages that are larger than 4 KB; nil is Go's heap.
	Memory Memory
	// Timeout is how long a connection and the greetings may take, each (15 s).
	Timeout time.Duration
	// KeepAlive is how long a peer may be silent before it is asked for a sign of
	// life (5 s), and Silence for how many times as long until it is given up (4).
	KeepAlive time.Duration
	Silence   int
	// Linger is how long the end of a session may take: to say why (1 s).
	Linger time.Duration
	// Features are said in greetings.
	Features []string
}

// maxPending bounds the connections of a peer that have not become its session.
const maxPending = 8

// Sessions are the sessions of a node, at most one with each peer.
type Sessions struct {
	config Config
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	peers map[rights.NodeID]*peer
	dials uint64 // the number of the last dial
	tasks sync.WaitGroup
}

// A peer is what is known of one.
type peer struct {
	session *Session       // whose Lost has not returned
	ready   *Session       // whose Connected has returned
	last    wire.SessionID // the last there was: what a greeting says
	dial    *dial
	pending int  // connections that have come and are not judged finally
	owed    bool // Dial has not been answered
	again   bool // Dial was called between the session's end and the return of Lost

	// Closed, and made anew, when there is an answer to Dial: a session or an error.
	answered chan struct{}
	err      error

	calls sync.Mutex // held during Connected and Unreachable
}

func (p *peer) answer(err error) {
	p.err = err
	close(p.answered)
	p.answered = make(chan struct{})
}

var errGivenUp = errors.New("another session came first")

// A dial is an attempt to open a session.
type dial struct {
	cancel context.CancelFunc
	over   chan struct{} // closed when it is known what became of it
}

// New returns the sessions of a node, none yet.
func New(c Config) *Sessions {
	c.Limits = c.Limits.WithDefaults()
	if c.Queue <= 0 {
		c.Queue = 64 << 20
	}
	if c.Memory == nil {
		c.Memory = heap{}
	}
	if c.Timeout <= 0 {
		c.Timeout = 15 * time.Second
	}
	if c.KeepAlive <= 0 {
		c.KeepAlive = 5 * time.Second
	}
	if c.Silence <= 0 {
		c.Silence = 4
	}
	if c.Linger <= 0 {
		c.Linger = time.Second
	}
	// Numbers of an earlier incarnation are not to be taken for those of this one: they
	// begin at a random one.
	m := &Sessions{config: c, peers: make(map[rights.NodeID]*peer), dials: c.Self.Epoch >> 32}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Close ends all sessions with CLOSE(bye), and returns when the last Lost has.
func (m *Sessions) Close() {
	m.cancel()
	m.mu.Lock()
	for _, p := range m.peers {
		if p.session != nil {
			p.session.Close(protocolError(rights.CodeBye, "", "the node stops"))
		}
	}
	m.mu.Unlock()
	m.tasks.Wait()
}

// Sessions returns the sessions there are.
func (m *Sessions) Sessions() []*Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*Session
	for _, p := range m.peers {
		if p.session != nil {
			list = append(list, p.session)
		}
	}
	return list
}

// Session returns the session with a peer, or nil. It may just have ended.
func (m *Sessions) Session(name rights.NodeID) *Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[name]; p != nil {
		return p.session
	}
	return nil
}

// peer returns what is known of a peer. The caller has the lock.
func (m *Sessions) peer(name rights.NodeID) *peer {
	p := m.peers[name]
	if p == nil {
		p = &peer{answered: make(chan struct{})}
		m.peers[name] = p
	}
	return p
}

// spawn runs f unless the sessions are being closed.
func (m *Sessions) spawn(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return false
	}
	m.tasks.Add(1)
	go func() {
		defer m.tasks.Done()
		f()
	}()
	return true
}

// greeting is this node's, for a peer. The caller has the lock.
func (m *Sessions) greeting(name rights.NodeID, p *peer, number uint64) *wire.Greeting {
	l := m.config.Limits
	return &wire.Greeting{
		MinVersion: wire.MinVersion, MaxVersion: wire.MaxVersion,
		Node: m.config.Self, To: name, Word: machwire.Native,
		Window: uint64(l.Window), Budget: uint64(l.Budget), Message: uint64(l.Message),
		Rights: uint64(l.Rights), Holds: uint64(l.Holds), Claims: uint64(l.Claims),
		Dial: number, Last: p.last, Features: m.config.Features,
	}
}

// Dial asks for a session with a peer, if there is none: Connected or Unreachable
// answers. It does not wait.
func (m *Sessions) Dial(name rights.NodeID) {
	m.mu.Lock()
	p := m.peer(name)
	if p.session != nil || p.dial != nil {
		p.again = p.session != nil && p.session.over() != nil
		m.mu.Unlock()
		return
	}
	ctx, cancel := context.WithCancel(m.ctx)
	d := &dial{cancel: cancel, over: make(chan struct{})}
	p.dial, p.owed = d, true
	m.dials++
	number := m.dials
	m.mu.Unlock()
	ok := m.spawn(func() {
		err := m.dial(ctx, name, d, number)
		cancel()
		m.gaveUp(name, err)
	})
	if !ok {
		cancel()
	}
}

// Connect returns the session with a peer, and dials it if there is none. It waits.
func (m *Sessions) Connect(ctx context.Context, name rights.NodeID) (*Session, error) {
	for {
		m.mu.Lock()
		p := m.peer(name)
		s, answered := p.ready, p.answered
		m.mu.Unlock()
		if s != nil && s.over() == nil {
			return s, nil
		}
		m.Dial(name)
		select {
		case <-answered:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-m.ctx.Done():
			return nil, net.ErrClosed
		}
		m.mu.Lock()
		err := p.err
		m.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// gaveUp says that a peer cannot be reached, unless there is hope.
func (m *Sessions) gaveUp(name rights.NodeID, err error) {
	m.mu.Lock()
	p := m.peer(name)
	m.mu.Unlock()
	p.calls.Lock()
	defer p.calls.Unlock()
	m.mu.Lock()
	hopeless := p.session == nil && p.dial == nil && p.pending == 0
	say := hopeless && p.owed && m.ctx.Err() == nil
	if hopeless {
		p.owed = false
		p.answer(err)
	}
	m.mu.Unlock()
	if say {
		m.config.Handler.Unreachable(name, err)
	}
}

// dial tries to open a session, and runs it.
func (m *Sessions) dial(ctx context.Context, name rights.NodeID, d *dial, number uint64) error {
	s, err := m.open(ctx, name, d, number)
	m.mu.Lock()
	p := m.peer(name)
	if p.dial == d {
		p.dial = nil
	} else if err == nil {
		// One that the peer has opened came first.
		s.conn.Close()
		err = errGivenUp
	}
	close(d.over)
	if err != nil {
		m.mu.Unlock()
		return err
	}
	m.establish(p, s)
	m.mu.Unlock()
	m.run(name, p, s)
	return nil
}

// open connects and greets.
func (m *Sessions) open(ctx context.Context, name rights.NodeID, d *dial, number uint64) (*Session, error) {
	connect, cancel := context.WithTimeout(ctx, m.config.Timeout)
	conn, err := m.config.Dial(connect, name)
	cancel()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	// The peer may be waiting for a dial of its own.
	_ = conn.SetDeadline(time.Now().Add(3 * m.config.Timeout))
	m.mu.Lock()
	p := m.peer(name)
	if p.dial != d {
		// Another session has come first. A greeting that knows of it would replace it.
		m.mu.Unlock()
		conn.Close()
		return nil, errGivenUp
	}
	mine := m.greeting(name, p, number)
	m.mu.Unlock()
	b, err := wire.AppendGreeting(nil, mine)
	if err == nil {
		if _, err = conn.Write(b); err != nil {
			err = silence(err)
		}
	}
	var g wire.Greeting
	if err == nil {
		g, err = readGreeting(conn)
	}
	var version uint16
	if err == nil {
		version, err = m.check(name, mine, &g, false)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		// The peer hears of what is wrong with it.
		if e, ok := err.(*rights.ProtocolError); ok {
			m.say(conn, e)
		}
		conn.Close()
		return nil, err
	}
	return newSession(&m.config, conn, g, wire.SessionID{Dial: number, Mine: true}, version), nil
}

// establish makes s the session with p. The caller has the lock.
func (m *Sessions) establish(p *peer, s *Session) {
	p.session, p.owed = s, false
	p.last = s.id
	if m.ctx.Err() != nil {
		s.Close(protocolError(rights.CodeBye, "", "the node stops"))
	}
}

// run runs s, which has been established.
func (m *Sessions) run(name rights.NodeID, p *peer, s *Session) {
	p.calls.Lock()
	m.config.Handler.Connected(s)
	p.calls.Unlock()
	m.mu.Lock()
	p.ready = s
	p.answer(nil)
	m.mu.Unlock()
	s.run(func() {
		m.mu.Lock()
		p.session, p.ready = nil, nil
		again := p.again
		p.again = false
		close(s.done)
		m.mu.Unlock()
		if again {
			m.Dial(name)
		}
	})
}

// Accept takes a connection that a peer has opened, who is who it is said to be. It
// does not wait.
func (m *Sessions) Accept(conn net.Conn, name rights.NodeID) {
	ok := m.spawn(func() {
		m.mu.Lock()
		p := m.peer(name)
		if p.pending == maxPending {
			m.mu.Unlock()
			conn.Close()
			return
		}
		p.pending++
		m.mu.Unlock()
		s, err := m.admit(conn, name, p)
		if err != nil {
			if e, ok := err.(*rights.ProtocolError); ok {
				m.say(conn, e)
			}
			conn.Close()
			m.gaveUp(name, err)
			return
		}
		m.run(name, p, s)
	})
	if !ok {
		conn.Close()
	}
}

// admit reads the greeting of a connection, and makes it the session with its peer
// when its time has come. It is no longer pending then.
func (m *Sessions) admit(conn net.Conn, name rights.NodeID, p *peer) (_ *Session, err error) {
	pending := true
	defer func() {
		if pending {
			m.mu.Lock()
			p.pending--
			m.mu.Unlock()
		}
	}()
	stop := context.AfterFunc(m.ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(m.config.Timeout))
	g, err := readGreeting(conn)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	m.mu.Lock()
	mine := m.greeting(name, p, 0)
	m.mu.Unlock()
	version, err := m.check(name, mine, &g, true)
	if err != nil {
		return nil, err
	}
	patience := time.NewTimer(2 * m.config.Timeout)
	defer patience.Stop()
	for {
		m.mu.Lock()
		st := state{dialling: p.dial != nil}
		if p.session != nil {
			st.session, st.epoch = p.session.id, p.session.Peer().Epoch
		}
		var wait <-chan struct{}
		switch judge(m.config.Self.Node, st, &g) {
		case refuse:
			m.mu.Unlock()
			return nil, protocolError(rights.CodeReplaced, "S2", "there is a session")
		case hold:
			wait = p.dial.over
		case replace:
			p.session.Close(protocolError(rights.CodeReplaced, "S2", "the peer has opened another session"))
			wait = p.session.done
		case accept:
			if d := p.dial; d != nil {
				p.dial = nil
				d.cancel()
			}
			s := newSession(&m.config, conn, g, wire.SessionID{Dial: g.Dial}, version)
			b, err := wire.AppendGreeting(nil, m.greeting(name, p, 0))
			if err != nil {
				m.mu.Unlock()
				return nil, err
			}
			s.out = output{b: b, size: len(b)}
			m.establish(p, s)
			p.pending--
			pending = false
			m.mu.Unlock()
			return s, nil
		}
		m.mu.Unlock()
		select {
		case <-wait:
		case <-patience.C:
			return nil, protocolError(rights.CodeTimeout, "S2", "waited too long for another session")
		case <-m.ctx.Done():
			return nil, protocolError(rights.CodeBye, "", "the node stops")
		}
	}
}

// check checks the greeting of a peer, and chooses the version.
func (m *Sessions) check(name rights.NodeID, mine, g *wire.Greeting, dialled bool) (uint16, error) {
	switch {
	case g.Node.Node != name:
		return 0, protocolError(rights.CodeProtocol, "S1", "%s calls itself %s", name, g.Node.Node)
	case name == mine.Node.Node:
		return 0, protocolError(rights.CodeProtocol, "S1", "%s calls itself", name)
	case g.To != "" && g.To != mine.Node.Node:
		return 0, protocolError(rights.CodeProtocol, "S1", "this is %s, not %s", mine.Node.Node, g.To)
	case dialled != (g.Dial != 0):
		return 0, protocolError(rights.CodeProtocol, "S2", "%s says that it opened its session with number %d", name, g.Dial)
	}
	version, err := wire.Version(mine, g)
	if err != nil {
		return 0, err
	}
	if g.Message < mine.Message || g.Rights < mine.Rights {
		return 0, protocolError(rights.CodeLimit, "B1", "%s takes %d bytes and %d rights in a message, which may have %d and %d here",
			name, g.Message, g.Rights, mine.Message, mine.Rights)
	}
	return version, nil
}

// say says CLOSE on a connection that is no session.
func (m *Sessions) say(conn net.Conn, e *rights.ProtocolError) {
	_ = conn.SetDeadline(time.Now().Add(m.config.Linger))
	if _, err := conn.Write(wire.AppendControl(nil, wire.Close{Err: *e})); err != nil {
		return
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, conn, 1<<16)
	}
}

// readGreeting reads a greeting, or the CLOSE in its place, which becomes a
// [*PeerError].
func readGreeting(conn net.Conn) (g wire.Greeting, err error) {
	b := make([]byte, wire.GreetingHeader, 256)
	const start = 8 // that tells a greeting from a CLOSE, which may be all there is
	if _, err := io.ReadFull(conn, b[:start]); err != nil {
		return g, silence(err)
	}
	if n, ok := wire.CloseLength(b[:start]); ok {
		b = append(b[:start], make([]byte, n-start)...)
		if _, err := io.ReadFull(conn, b[start:]); err != nil {
			return g, silence(err)
		}
		c, err := wire.DecodeControl(b[wire.FrameHeader:])
		if err != nil {
			return g, err
		}
		return g, &PeerError{c.(wire.Close).Err}
	}
	if !wire.IsGreeting(b[:start]) {
		return g, wire.ErrMagic
	}
	if _, err := io.ReadFull(conn, b[start:]); err != nil {
		return g, silence(err)
	}
	n, err := wire.GreetingLength(b)
	if err != nil {
		return g, err
	}
	b = make([]byte, n)
	if _, err := io.ReadFull(conn, b); err != nil {
		return g, silence(err)
	}
	return wire.DecodeGreeting(b)
}

// silence makes of an error that ended a greeting what ends a session.
func silence(err error) error {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return protocolError(rights.CodeTimeout, "B4", "no greeting came in time")
	}
	return fmt.Errorf("%w in its greeting: %w", ErrLost, err)
}
