// Package bridge is the Mach side of netmsg: it receives the messages that tasks
// send to proxies, delivers those of other nodes, and does with the kernel
// what the table of rights ([rights.Node]) decides.
//
// # How it works
//
// Proxies are received from by goroutines of their own, which hold no thread and
// share the wait of the program's poller with its connections, as long as they are few;
// the others are in a port set that one goroutine, and a thread, waits for. The
// table is behind one lock; each event goes in, and what is to be done about it is done before the
// next. Nothing that is done under the lock waits: a delivery to a port whose queue
// is full goes on in a goroutine of its own, and those after it to the same
// port wait for it, but nobody else does.
//
// The kernel's notice that a proxy has no senders comes to the proxy itself,
// by a send-once right, of which only the kernel has one: a message with the same id
// that a task sends comes by a send right, and is carried like any other (T5). And it
// comes after all that those senders had sent. Notices of dead names come to a port
// that nobody else has a right to.
//
// Out-of-line memory of a message may be paged by anybody. It is copied by the
// kernel ([mach.CopyMemory]), in a goroutine, with a deadline; what the same
// proxy gets after it waits.
//
// # Place in the house
//
// It stands on netmsg/rights, netmsg/wire and package mach. Sessions are given
// to it by who makes them ([Bridge.Connected]).
package bridge

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"hurdlab/mach"
	"hurdlab/mach/vmem"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// A Session carries records to one peer. Its methods do not wait.
type Session interface {
	// Send puts a record into the session, which frees the body of a message when it
	// is done with it.
	Send(r *rights.Record)
	// Flush sees that what has been put goes out. It may write itself, but not
	// wait for the peer.
	Flush()
	// Close ends the session. [Bridge.Lost] need not be called any more.
	Close(err *rights.ProtocolError)
	// Full reports whether the peer does not read as fast as it is written to. Room
	// waits until that is no longer so, or the session is over.
	Full() bool
	Room()
}

// A Memory has the data of messages: see [Config.Memory].
type Memory interface {
	// Alloc returns n bytes of any content, n > 0.
	Alloc(n int) ([]byte, error)
	// Free takes back what Alloc has returned.
	Free(b []byte)
}

// Config is what a Bridge is made with. Only Self is needed.
type Config struct {
	Self   rights.Incarnation
	Limits rights.Limits
	// Dial is asked for a session with a node. It does not wait; Connected or
	// Unreachable answers.
	Dial func(node rights.NodeID)
	// Door makes the right that a peer is offered: a send right, the callee's.
	Door func(peer rights.NodeID) (mach.Port, error)
	// Reauthenticate makes the port for what file, a right of node, is to a user:
	// see intercept.go. Nil: io_reauthenticate is carried like other messages.
	Reauthenticate func(ctx context.Context, node rights.NodeID, file mach.Port, uids, gids []int32) (mach.Port, error)
	// Auth is the authentication handle for that, borrowed.
	Auth mach.Port
	// Local has requests that are answered on this node although they are for a
	// proxy: what makes a handler of them for file, a right to the proxy.
	Local map[int32]func(file mach.Port) mach.Handler
	// Memory has the out-of-line data of messages of tasks until it has been sent; nil is
	// memory of the kernel's, allocated each time.
	Memory Memory
	// Owed is how many bytes of answers a peer may be owed that are not in the session
	// (W1), or one answer; 0 is 4 MB.
	Owed int
	// Log is told what nobody else is; nil drops it.
	Log func(format string, args ...any)
	// Trace, if not nil, is told of each message. It must be quick.
	Trace func(Event)
}

// An Event is a message that has passed.
type Event struct {
	Peer  rights.NodeID
	Out   bool // from a task of this node
	ID    int32
	Bytes int
	// Reply tells requests from their answers: of a request, the identity of the
	// right to reply; of an answer, the one that it goes to. Zero if there is none.
	Reply  rights.ID
	Answer bool
}

// A Bridge is a node's netmsg.
type Bridge struct {
	config Config
	set    *mach.PortSet
	notify *mach.Receiver // where notices of dead names come to
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	copies chan struct{} // copies of memory that are being made

	mu       sync.Mutex
	node     *rights.Node
	ports    map[rights.Port]*port
	names    map[mach.Port]*port // of those, by the names that messages have them under
	spare    []*mach.Receiver    // to be once proxies again
	fresh    []mach.Port         // receive rights in the set, for proxies
	ops      int                 // of the kernel that the event at hand has taken
	chores   []chore             // put off
	choring  bool                // by a goroutine
	adopted  map[*port]bool
	released map[*mach.Receiver]*yield // whose goroutines are to end
	barrier  mach.Port                 // a member of the set: see passed
	passing  []*yield                  // that wait for it
	marker   []byte                    // what a message has that Flush puts into a queue
	polled   int                       // receivers, the spare ones included
	reauths  int                       // under way
	locals   int                       // requests that are answered here
	sessions map[rights.NodeID]*link
	promises map[mach.Port]*promised // that have not been kept
	waiters  []waiter
	watching bool  // a timer for them runs
	from     *link // whose records are being taken
	stats    Stats
	news     chan struct{} // closed when a door is offered
}

// Stats count what a bridge has done.
type Stats struct {
	Out, In           uint64 // messages
	BytesOut, BytesIn uint64
	Waited            uint64 // deliveries that found a full queue
	Failed            uint64 // that found a dead port
	Refused           uint64 // messages of tasks that cannot be carried
	Proxies, Ports    int    // now
	Table             rights.Stats
}

// A link is the session with a peer.
type link struct {
	Session
	peer  rights.Incarnation
	door  mach.Port       // the peer's: a send right, or null
	dirty bool            // something was sent that is to be flushed
	owed  []rights.Record // that have not been sent, because they can wait
	timer *time.Timer

	account *account // of answers
}

// Confirmations and releases are in no hurry: they go with the next record that is,
// or after lazyTime, or soon if there are manyOwed, so that the peer's windows do not
// close meanwhile. A packet of their own would cost as much as one with a message.
const (
	manyOwed = 4
	lazyTime = 50 * time.Millisecond
	soonTime = 3 * time.Millisecond
	maxOwed  = 256
)

// put puts a record into the session.
func (l *link) put(b *Bridge, r *rights.Record) {
	if r.Type == rights.RecDelivered || r.Type == rights.RecRelease {
		l.owed = append(l.owed, *r)
		switch {
		case len(l.owed) >= maxOwed:
			l.pay()
		case len(l.owed) == manyOwed:
			l.timer.Reset(soonTime)
		case len(l.owed) > 1:
		case l.timer == nil:
			l.timer = time.AfterFunc(lazyTime, func() {
				b.mu.Lock()
				l.pay()
				b.finish()
			})
		default:
			l.timer.Reset(lazyTime)
		}
		return
	}
	l.pay()
	l.Send(r)
	l.dirty = true
}

// pay sends what is owed.
func (l *link) pay() {
	if len(l.owed) == 0 {
		return
	}
	for i := range l.owed {
		l.Send(&l.owed[i])
	}
	clear(l.owed)
	l.owed = l.owed[:0]
	l.dirty = true
}

// A port is a port of the node that the table knows.
type port struct {
	id    rights.Port
	name  mach.Port
	recv  *mach.Receiver // of a proxy that is not in the set
	proxy bool           // its receive right is netmsg's
	going *sync.Cond     // a receiver that may not receive waits for it; made on first use
	once  bool           // a send-once right, or the proxy of one

	watched bool
	paused  bool   // by the table
	held    bool   // by what is in pending
	used    bool   // the once right of a proxy has been used
	many    many   // as a memory object
	ended   bool   // a kernel's control port, of which netmsg has the receive right by now
	gone    bool   // killed or forgotten
	adopted bool   // a proxy that was a port of the node: see move.go
	quiet   bool   // of those: the kernel has said that there are no senders
	taken   uint32 // of those: messages received
	limit   int    // of those: of the queue, which has none until the marker has come
	moves   int    // how often its receive right has gone to a task
	yield   *yield // the receive right is on its way to a task
	made    uint32 // rights made from a proxy
	armed   uint32 // Made of the request that the kernel has, if notify is set
	notify  bool
	tag     *tag // of a proxy: see Tag

	out     []*delivery // to it, that wait
	debts   []*debt     // answers that are to come to it
	pending []arrival   // from it, that wait for the first's memory
}

// maxPending is how many messages of a proxy wait for memory before it is not
// received from any more.
const maxPending = 16

// maxCopies bounds the copies of memory that are being made, each of which takes a
// thread. copyTime is how long one may take.
const (
	maxCopies = 32
	copyTime  = 10 * time.Second
)

// New makes a bridge, which works until Close.
func New(c Config) (*Bridge, error) {
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	if c.Owed <= 0 {
		c.Owed = 4 << 20
	}
	if c.Memory == nil {
		c.Memory = vmem.Memory{}
	}
	if c.Dial == nil {
		c.Dial = func(rights.NodeID) {}
	}
	var seed [32]byte
	rand.Read(seed[:])
	keys := mathrand.NewChaCha8(seed)
	b := &Bridge{
		config: c,
		node: rights.New(rights.Config{Self: c.Self, Limits: c.Limits, Key: func(uint64) (k rights.Key) {
			_, _ = keys.Read(k[:])
			return k
		}}),
		ports:    make(map[rights.Port]*port),
		names:    make(map[mach.Port]*port),
		sessions: make(map[rights.NodeID]*link),
		promises: make(map[mach.Port]*promised),
		adopted:  make(map[*port]bool),
		released: make(map[*mach.Receiver]*yield),
		marker:   make([]byte, markerSize),
		copies:   make(chan struct{}, maxCopies),
		done:     make(chan struct{}),
		news:     make(chan struct{}),
	}
	rand.Read(b.marker)
	b.ctx, b.cancel = context.WithCancel(context.Background())
	var err error
	if b.set, err = mach.NewPortSet(); err != nil {
		return nil, fmt.Errorf("netmsg: %w", err)
	}
	if b.notify, err = mach.NewReceiver(); err != nil {
		return nil, fmt.Errorf("netmsg: %w", err)
	}
	if b.barrier, err = b.newMember(); err != nil {
		return nil, fmt.Errorf("netmsg: %w", err)
	}
	go b.notices()
	go b.receive()
	return b, nil
}

// newMember makes a receive right in the set.
func (b *Bridge) newMember() (mach.Port, error) {
	p, err := mach.PortAllocate(mach.TaskSelf(), mach.RightReceive)
	if err != nil {
		return mach.Null, err
	}
	if err := b.set.Add(p); err != nil {
		_ = mach.DestroyReceive(p)
		return mach.Null, err
	}
	return p, nil
}

// Close ends all sessions and gives back everything.
func (b *Bridge) Close() error {
	b.mu.Lock()
	for id, l := range b.sessions {
		l.Session.Close(&rights.ProtocolError{Code: rights.CodeBye, Text: "netmsg ends"})
		b.lost(id)
	}
	b.finish()
	b.cancel()
	<-b.done
	_ = b.notify.Close()
	_ = mach.DestroyReceive(b.barrier)
	for _, r := range b.spare {
		_ = r.Close()
	}
	for _, name := range b.fresh {
		_ = mach.DestroyReceive(name)
	}
	return b.set.Close()
}

// Connected gives the bridge a session with a peer, which allows window messages to
// one right and budget bytes in all that are not delivered. A session with the same
// node that the bridge has is over.
func (b *Bridge) Connected(peer rights.Incarnation, window, budget int, s Session) {
	var door mach.Port
	if b.config.Door != nil {
		var err error
		if door, err = b.config.Door(peer.Node); err != nil {
			b.config.Log("no door for %v: %v", peer.Node, err)
		}
	}
	b.mu.Lock()
	defer b.finish()
	if b.sessions[peer.Node] != nil {
		b.lost(peer.Node)
	}
	b.sessions[peer.Node] = &link{Session: s, peer: peer, account: newAccount(b.config.Owed, &b.mu)}
	b.node.Connected(peer, window, budget)
	b.act()
	if door.Valid() {
		b.node.Offer(peer.Node, b.local(door).id)
		b.act()
	}
}

// Lost says that the session s with a peer is over, unless there is another by now.
func (b *Bridge) Lost(peer rights.NodeID, s Session) {
	b.mu.Lock()
	defer b.finish()
	if l := b.sessions[peer]; l != nil && l.Session == s {
		b.lost(peer)
	}
}

// lost forgets a session.
func (b *Bridge) lost(peer rights.NodeID) {
	l := b.sessions[peer]
	delete(b.sessions, peer)
	b.node.Lost(peer)
	b.act()
	b.over(l)
}

// over gives back what a link had.
func (b *Bridge) over(l *link) {
	l.account.close()
	if l.door.Valid() {
		_ = mach.Deallocate(l.door) // a send right, or what is left of one: a dead name
		l.door = mach.Null
	}
}

// Unreachable answers Dial.
func (b *Bridge) Unreachable(node rights.NodeID) {
	b.mu.Lock()
	defer b.finish()
	b.node.Unreachable(node)
	b.act()
}

// maxRest is how many rights of a peer are taken at a time.
const maxRest = 64

// Receive gives the bridge records of the session s, in their order.
func (b *Bridge) Receive(peer rights.NodeID, s Session, records []rights.Record) {
	reserved := false
	defer func() {
		if reserved {
			b.unreserve()
		}
	}()
	b.mu.Lock()
	defer b.finish()
	defer func() { b.from = nil }()
	rest := 0 // rights taken without a pause
	for i := range records {
		if rest > maxRest {
			// Those of other peers and of tasks are not to wait for all of it.
			b.from = nil
			b.finish()
			b.mu.Lock()
			rest = 0
		}
		l := b.sessions[peer]
		r := &records[i]
		if r.Message != nil {
			if n := len(r.Message.Rights); n > maxRest {
				b.from = nil
				b.finish()
				b.reserve(n)
				reserved = true
				b.mu.Lock()
				l = b.sessions[peer]
			}
			rest += len(r.Message.Rights)
		}
		if l == nil || l.Session != s {
			freeBody(r)
			continue
		}
		b.from = l
		if r.Type == rights.RecMessage && r.Message != nil {
			b.stats.In++
			b.stats.BytesIn += uint64(r.Message.Body.Size())
			b.trace(peer, false, r)
			if r.Once {
				ownDevice(r.Message.Body, peer)
			}
		}
		b.node.Receive(peer, *r)
		b.act()
	}
}

// ownDevice makes the number of a file system, in an answer that a peer has sent, one of
// its own: two nodes give the same numbers, and a file would be taken for another that has
// its inode's number on this node.
func ownDevice(body rights.Body, peer rights.NodeID) {
	b, ok := body.(*wire.Body)
	if !ok {
		return
	}
	if d := b.Device(); d != nil {
		h := fnv.New64a()
		io.WriteString(h, string(peer))
		le := binary.LittleEndian
		le.PutUint64(d, (le.Uint64(d)^h.Sum64())&math.MaxInt64)
	}
}

// freeBody frees the body of a record that nobody takes.
func freeBody(r *rights.Record) {
	if r.Message != nil {
		if body, ok := r.Message.Body.(*wire.Body); ok {
			body.Free()
		}
	}
}

// doorTime is how long a session may take to offer its door, in Door.
const doorTime = 10 * time.Second

// Door returns the right that a peer has offered, which is the bridge's and may die
// at any time. It waits a little for a session that is being opened, and for its
// offer. The error is that there is none.
func (b *Bridge) Door(ctx context.Context, peer rights.NodeID) (mach.Port, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, doorTime, ErrNoSession)
	defer cancel()
	for {
		b.mu.Lock()
		door := mach.Null
		if l := b.sessions[peer]; l != nil {
			door = l.door
		}
		news := b.news
		b.mu.Unlock()
		if door.Valid() {
			return door, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return mach.Null, context.Cause(ctx)
		}
	}
}

// ErrNoSession is that there is no session with a node.
var ErrNoSession = errors.New("there is no session with that node")

// Peers lists the peers that there are sessions with.
func (b *Bridge) Peers() []rights.Incarnation {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []rights.Incarnation
	for _, l := range b.sessions {
		list = append(list, l.peer)
	}
	return list
}

// Stats returns the counts.
func (b *Bridge) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	for _, p := range b.ports {
		if p.proxy {
			s.Proxies++
		} else {
			s.Ports++
		}
	}
	s.Table = b.node.Stats()
	return s
}

// finish unlocks, and flushes the sessions that something was put into.
func (b *Bridge) finish() {
	var few [4]*link
	dirty := few[:0]
	for _, l := range b.sessions {
		if l.dirty {
			l.dirty = false
			dirty = append(dirty, l)
		}
	}
	b.ops = 0
	b.mu.Unlock()
	for _, l := range dirty {
		l.Flush()
	}
}

// local returns the port of a name that came with a right of this node's or of a
// proxy.
func (b *Bridge) local(name mach.Port) *port {
	p := b.names[name]
	if p == nil {
		p = &port{id: b.node.NewPort(), name: name}
		b.names[name] = p
		b.ports[p.id] = p
	}
	return p
}

func (b *Bridge) forget(p *port) {
	p.gone = true
	for _, d := range p.debts {
		d.settle()
	}
	p.debts = nil
	delete(b.adopted, p)
	delete(b.ports, p.id)
	if b.names[p.name] == p {
		delete(b.names, p.name)
	}
	if p.ended {
		_ = mach.DestroyReceive(p.name)
	}
}

// act does what the table wants done, until it wants nothing.
func (b *Bridge) act() {
	for {
		actions := b.node.Actions()
		if len(actions) == 0 {
			return
		}
		for _, a := range actions {
			if err := b.do(a); err != nil {
				b.config.Log("%T: %v", a, err)
			}
		}
	}
}

func (b *Bridge) do(a rights.Action) error {
	self := mach.TaskSelf()
	switch a := a.(type) {
	case rights.Transmit:
		l := b.sessions[a.Peer]
		if l == nil { // it is being closed
			freeBody(&a.Record)
			return nil
		}
		if a.Record.Type == rights.RecMessage && a.Record.Message != nil {
			b.stats.Out++
			b.stats.BytesOut += uint64(a.Record.Message.Body.Size())
			b.trace(a.Peer, true, &a.Record)
		}
		l.put(b, &a.Record)
		return nil
	case rights.Dial:
		b.config.Dial(a.Node)
		return nil
	case rights.Close:
		if l := b.sessions[a.Peer]; l != nil {
			delete(b.sessions, a.Peer)
			l.Session.Close(a.Err) // whose end is told
			b.over(l)
		}
		return nil
	case rights.Deliver:
		b.deliver(a)
		return nil
	case rights.NewProxy:
		return b.newProxy(a)
	case rights.Offered:
		p := b.ports[a.Port]
		p.made++
		if err := mach.PortInsertRight(self, p.name, p.name, mach.MakeSend); err != nil {
			return err
		}
		l := b.sessions[a.Peer]
		if l == nil || l.door.Valid() {
			return mach.Deallocate(p.name)
		}
		l.door = p.name
		close(b.news)
		b.news = make(chan struct{})
		return nil
	case rights.Discard:
		if body, ok := a.Body.(*wire.Body); ok {
			body.Free()
		}
		return nil
	}
	// The others are about one port.
	switch a := a.(type) {
	case rights.Kill:
		return b.kill(b.ports[a.Port])
	case rights.Arm:
		p := b.ports[a.Port]
		p.armed, p.quiet = a.Made, false
		return b.soon(chore{arm, p, p.name})
	case rights.Pause:
		p := b.ports[a.Port]
		p.paused = true
		return b.membership(p)
	case rights.Resume:
		p := b.ports[a.Port]
		p.paused = false
		return b.membership(p)
	case rights.Watch:
		p := b.ports[a.Port]
		if p.once {
			b.watchLater(p)
			return nil
		}
		return b.soon(chore{watch, p, p.name})
	case rights.Drop:
		p := b.ports[a.Port]
		if a.Kind == rights.Receive {
			return mach.DestroyReceive(p.name)
		}
		return b.soon(chore{drop, nil, p.name})
	case rights.Forget:
		if p := b.ports[a.Port]; p != nil {
			b.forget(p)
		}
		return nil
	case rights.Extinguish:
		return mach.Deallocate(b.ports[a.Port].name)
	case rights.Adopt:
		return b.adopt(b.ports[a.Port])
	case rights.Flush:
		b.flush(b.ports[a.Port])
		return nil
	case rights.Yield:
		return b.yield(a)
	}
	return fmt.Errorf("what is %T?", a)
}

// watchTime is after how long a right to reply that is still there is watched. Most calls
// are answered by then: to be told of the death of each who waits would cost as much as the
// call.
const watchTime = time.Second

// A waiter is a send-once right of a task that waits for an answer.
type waiter struct {
	port  *port
	since time.Time
}

// watchLater sees that the death of the receiver of a send-once right becomes known, so that
// who is to answer learns of it (D1), if it takes long.
func (b *Bridge) watchLater(p *port) {
	b.waiters = append(b.waiters, waiter{p, time.Now()})
	if !b.watching {
		b.watching = true
		time.AfterFunc(watchTime, b.watch)
	}
}

// watch watches the send-once rights that have been there for long.
func (b *Bridge) watch() {
	b.mu.Lock()
	defer b.finish()
	b.watching = false
	if b.ctx.Err() != nil {
		return
	}
	now := time.Now()
	n := 0
	for _, w := range b.waiters {
		switch p := w.port; {
		case p.gone:
		case now.Sub(w.since) < watchTime:
			b.waiters[n] = w
			n++
		default:
			// If it is dead already, the kernel says so at once.
			p.watched = true
			if err := mach.RequestNotification(p.name, mach.NotifyDeadName, 1, b.notify.Port()); err != nil {
				b.config.Log("watch %v: %v", p.name, err)
			}
		}
	}
	clear(b.waiters[n:])
	b.waiters = b.waiters[:n]
	if n > 0 {
		b.watching = true
		time.AfterFunc(watchTime, b.watch)
	}
}

// newProxy makes a proxy. One without a port, because the kernel has no more, is a
// proxy that is dead: it has no name.
func (b *Bridge) newProxy(a rights.NewProxy) error {
	p := &port{id: a.Port, proxy: true, once: a.Once}
	b.ports[p.id] = p
	if n := len(b.spare); a.Once && n > 0 {
		p.recv, b.spare = b.spare[n-1], b.spare[:n-1]
		p.name = p.recv.Port()
	} else if err := b.allocate(p); err != nil {
		p.name = mach.Dead
		return err
	}
	b.names[p.name] = p
	return nil
}

// maxPolled bounds the proxies with goroutines of their own, which take some
// kilobytes each.
const maxPolled = 512

// allocate makes the receive right of a proxy.
func (b *Bridge) allocate(p *port) (err error) {
	if n := len(b.fresh); n > 0 {
		p.name, b.fresh = b.fresh[n-1], b.fresh[:n-1]
		return nil
	}
	if b.polled >= maxPolled {
		p.name, err = b.newMember()
		return err
	}
	name, err := mach.PortAllocate(mach.TaskSelf(), mach.RightReceive)
	if err != nil {
		return err
	}
	if err := b.poll(p, name); err != nil {
		_ = mach.DestroyReceive(name)
		return err
	}
	return nil
}

// poll makes name the receive right of a proxy, with a goroutine.
func (b *Bridge) poll(p *port, name mach.Port) error {
	r, err := mach.AdoptReceive(name)
	if err != nil {
		return err
	}
	p.recv, p.name = r, name
	b.polled++
	go b.receiveFrom(r)
	return nil
}

// destroyReceive destroys the receive right of a proxy.
func (b *Bridge) destroyReceive(p *port) error {
	if p.recv == nil {
		return mach.DestroyReceive(p.name)
	}
	r := p.recv
	p.recv = nil
	b.polled--
	if p.going != nil {
		p.going.Broadcast()
	}
	return r.Close()
}

// maxSpare bounds the receive rights that wait to be used again: those of answers,
// one for each call that is under way.
const maxSpare = 64

func (b *Bridge) kill(p *port) error {
	b.forget(p)
	if p.name == mach.Dead {
		return nil
	}
	if p.once && p.used && p.recv != nil && !p.paused && !p.held && len(b.spare) < maxSpare {
		// Nobody has a right to it any more.
		b.spare = append(b.spare, p.recv)
		return nil
	}
	return b.soon(chore{destroy, p, p.name})
}

// membership has a proxy received from, or not, as it should be.
func (b *Bridge) membership(p *port) error {
	switch {
	case p.gone || !p.proxy || p.name == mach.Dead:
		return nil
	case p.recv != nil:
		if p.going != nil && !p.paused && !p.held {
			p.going.Broadcast()
		}
		return nil
	case p.paused || p.held:
		return b.set.Remove(p.name)
	}
	return b.set.Add(p.name)
}

func (b *Bridge) trace(peer rights.NodeID, out bool, r *rights.Record) {
	if b.config.Trace == nil {
		return
	}
	body := r.Message.Body.(*wire.Body)
	e := Event{Peer: peer, Out: out, ID: body.ID(), Bytes: body.Size()}
	if r.Once {
		e.Reply, e.Answer = r.ID, true
	} else if body.Reply() != 0 && len(r.Message.Rights) > 0 {
		e.Reply = r.Message.Rights[0].ID
	}
	b.config.Trace(e)
}

func kindOf(t mach.Type) rights.Kind {
	switch t {
	case mach.MoveReceive:
		return rights.Receive
	case mach.MoveSendOnce:
		return rights.SendOnce
	}
	return rights.Send
}
