package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// A node is the sessions of a test's node, and what they said.
type node struct {
	*Sessions
	t    *testing.T
	name rights.NodeID

	mu     sync.Mutex
	events []string
	lost   []error
	live   map[rights.NodeID]*Session
	onLost func(rights.NodeID)
	// onReceive is called before what is received is noted.
	onReceive func(*Session, []rights.Record)
}

func (n *node) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, fmt.Sprintf(format, args...))
}

// take returns what has happened, and forgets it.
func (n *node) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := fmt.Sprint(n.events)
	n.events = nil
	return s
}

func (n *node) lastLost() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.lost) == 0 {
		return nil
	}
	return n.lost[len(n.lost)-1]
}

func (n *node) Connected(s *Session) {
	n.note("connected %v", s.Peer().Node)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live[s.Peer().Node] != nil {
		n.t.Errorf("%s has two sessions with %s", n.name, s.Peer().Node)
	}
	n.live[s.Peer().Node] = s
}

func (n *node) Receive(s *Session, records []rights.Record) {
	if f := n.onReceive; f != nil {
		f(s, records)
	}
	for _, r := range records {
		n.note("%v %d", r.Type, r.ID.Num)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live[s.Peer().Node] != s {
		n.t.Errorf("%s received in a session with %s that there is not", n.name, s.Peer().Node)
	}
}

func (n *node) Lost(s *Session, err error) {
	n.note("lost %v", s.Peer().Node)
	n.mu.Lock()
	if n.live[s.Peer().Node] != s {
		n.t.Errorf("%s lost a session with %s that there is not", n.name, s.Peer().Node)
	}
	delete(n.live, s.Peer().Node)
	n.lost = append(n.lost, err)
	f := n.onLost
	n.mu.Unlock()
	if f != nil {
		f(s.Peer().Node)
	}
}

func (n *node) Unreachable(peer rights.NodeID, err error) {
	n.note("unreachable %v", peer)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = append(n.lost, err)
}

// A network connects nodes by name.
type network struct {
	t     *testing.T
	mu    sync.Mutex
	nodes map[rights.NodeID]*node
	conns []net.Conn // the dialler's ends
	// pipe makes a connection. Its second end goes to the peer.
	pipe func(from, to rights.NodeID) (net.Conn, net.Conn)
	// connect is called before.
	connect func(ctx context.Context, from, to rights.NodeID) error
}

func newNetwork(t *testing.T) *network {
	return &network{t: t, nodes: map[rights.NodeID]*node{}, pipe: func(from, to rights.NodeID) (net.Conn, net.Conn) { return net.Pipe() }}
}

var errRefused = errors.New("connection refused")

// start starts a node; one of the same name, which should be stopped, is no longer
// reached.
func (w *network) start(name rights.NodeID, epoch uint64, change ...func(*Config)) *node {
	n := &node{t: w.t, name: name, live: map[rights.NodeID]*Session{}}
	c := Config{Self: rights.Incarnation{Node: name, Epoch: epoch}, Handler: n, Dial: func(ctx context.Context, to rights.NodeID) (net.Conn, error) {
		if w.connect != nil {
			if err := w.connect(ctx, name, to); err != nil {
				return nil, err
			}
		}
		w.mu.Lock()
		p := w.nodes[to]
		w.mu.Unlock()
		if p == nil {
			return nil, errRefused
		}
		a, b := w.pipe(name, to)
		w.mu.Lock()
		w.conns = append(w.conns, a)
		w.mu.Unlock()
		p.Accept(b, name)
		return a, nil
	}}
	for _, f := range change {
		f(&c)
	}
	n.Sessions = New(c)
	w.mu.Lock()
	w.nodes[name] = n
	w.mu.Unlock()
	return n
}

// slow returns the ends of a connection whose bytes take time in each direction,
// and are not lost, whatever the sender does then. An end that closes is seen
// late, too.
func slow(ab, ba time.Duration) (net.Conn, net.Conn) {
	a1, a2 := net.Pipe()
	b1, b2 := net.Pipe()
	go forward(b2, a2, ab)
	go forward(a2, b2, ba)
	return a1, b1
}

func forward(to, from net.Conn, d time.Duration) {
	type chunk struct {
		b  []byte
		at time.Time
	}
	queue := make(chan chunk, 1<<16)
	go func() {
		defer close(queue)
		for {
			b := make([]byte, 4096)
			n, err := from.Read(b)
			if err != nil {
				queue <- chunk{nil, time.Now().Add(d)}
				return
			}
			queue <- chunk{b[:n], time.Now().Add(d)}
		}
	}()
	for c := range queue {
		time.Sleep(time.Until(c.at))
		if c.b == nil {
			break
		}
		if _, err := to.Write(c.b); err != nil {
			break
		}
	}
	to.Close()
	for range queue {
	}
}

// A lossy connection does not tell that it is broken once cut is closed: what is
// written is gone, nothing comes.
type lossy struct {
	net.Conn
	cut chan struct{}
}

func (c lossy) Write(b []byte) (int, error) {
	select {
	case <-c.cut:
		return len(b), nil
	default:
		return c.Conn.Write(b)
	}
}

// A raw is a peer that does what a test says. It reads all that it is sent.
type raw struct {
	t    *testing.T
	conn net.Conn
	got  chan []byte
}

var rawSelf = rights.Incarnation{Node: "raw", Epoch: 0x7a3}

// rawPeer connects a peer called "raw" to n.
func rawPeer(t *testing.T, n *node) *raw {
	a, b := net.Pipe()
	n.Accept(b, "raw")
	r := &raw{t, a, make(chan []byte, 1)}
	go func() {
		b, _ := io.ReadAll(a)
		a.Close()
		r.got <- b
	}()
	return r
}

func (r *raw) write(b []byte) {
	_ = r.conn.SetWriteDeadline(time.Now().Add(time.Hour))
	if _, err := r.conn.Write(b); err != nil && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Error(err)
	}
}

func rawGreeting() wire.Greeting {
	return wire.Greeting{MinVersion: 1, MaxVersion: 1, Node: rawSelf, To: "node", Word: 4, Window: 8, Budget: 1 << 20, Message: 16 << 20, Rights: 1024, Dial: 1}
}

func (r *raw) greet() {
	g := rawGreeting()
	b, err := wire.AppendGreeting(nil, &g)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(b)
}

// closed returns the CLOSE that the peer got as the last thing on the connection,
// which it waits for.
func (r *raw) closed() (e *rights.ProtocolError) {
	b := <-r.got
	if len(b) >= 8 && wire.IsGreeting(b[:8]) {
		n, err := wire.GreetingLength(b)
		if err != nil {
			r.t.Fatal(err)
		}
		b = b[wire.GreetingHeader+n:]
	}
	for len(b) > 0 {
		n := int(b[0]) | int(b[1])<<8 | int(b[2])<<16 + wire.FrameHeader
		if wire.IsControl(b[4:n]) {
			c, err := wire.DecodeControl(b[4:n])
			if err != nil {
				r.t.Fatal(err)
			}
			if c, ok := c.(wire.Close); ok {
				e = &c.Err
				if len(b) > n {
					r.t.Errorf("%d bytes after a CLOSE", len(b)-n)
				}
			}
		}
		b = b[n:]
	}
	return e
}

func dead(n uint64) *rights.Record {
	return &rights.Record{Type: rights.RecDead, ID: rights.ID{Origin: rights.Incarnation{Node: "x", Epoch: 1}, Num: n}}
}

// rest lets everything go on until it waits for time to pass.
func rest() { synctest.Wait() }

func expect(t *testing.T, n *node, want string) {
	t.Helper()
	rest()
	if got := n.take(); got != want {
		t.Errorf("%s: %s, want %s", n.name, got, want)
	}
}
