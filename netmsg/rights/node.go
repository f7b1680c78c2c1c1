package rights

import (
	"fmt"
	"maps"
	"slices"
)

// Config is what a node is made with.
type Config struct {
	Self   Incarnation
	Key    func(num uint64) Key // makes the key of a right of this origin: unguessable
	Limits Limits
}

// A Node is the table of one node. Its methods are not safe for concurrent use:
// the order of calls is the order of events. They never block; what is to be
// done about the event is returned by Actions.
type Node struct {
	config     Config
	sessions   map[NodeID]*session
	dialling   map[NodeID]bool
	entries    map[ID]*entry
	ports      map[Port]*entry
	deliveries map[uint64]delivery
	out        []Action
	dirty      []*entry // entries to advance before the event is over
	moves      []*entry // sent in the record at hand although the home is elsewhere
	nextPort   Port
	nextNum    uint64
	nextDeliv  uint64
	nextSerial uint64
}

// A session is what the table knows of one session.
type session struct {
	peer           Incarnation
	window, budget int // what the peer lets us have undelivered

	inflight int           // bytes sent and not confirmed (F2)
	unacked  map[ID][]sent // messages sent and not confirmed, oldest first (F1)
	starved  []*entry      // imports that wait for budget
	incoming map[ID]int    // messages received and not confirmed
	received int           // their bytes
	holds    int           // entries held from the peer (B1)
	held     int           // entries the peer holds
	claims   int           // claims to the peer without an answer
}

// sent is a message that a peer has not confirmed.
type sent struct {
	size int
	from *session // who sent it to this node, if it was forwarded
	to   ID       // by this identity
}

type delivery struct {
	entry *entry
	sent
}

// An entry is what the node knows of one right.
type entry struct {
	id     ID
	key    Key
	once   bool
	serial uint64 // order of creation

	// The kind of entry: at home (port is a port of the node), homeless (its
	// receive right is in a message that waits here), dead (a tombstone), or
	// else an import (port, if there is one, is a proxy).
	home, homeless, dead bool
	gone                 bool // no longer in the table
	dirty                bool
	port                 Port

	holders counts // what peers hold from this node
	holds   counts // what this node holds from peers
	refs    int    // held by messages that wait here
	queue   []*pending

	// At home.
	delivering int // deliveries without an answer

	// Of imports.
	route    NodeID // where messages go; "" if that is not known yet
	next     NodeID // the route to change to when all has been delivered (M4)
	claim    NodeID // where a claim has been or will be made
	claimed  bool   // the claim has been sent
	via      NodeID // who passed on the right that is claimed
	detour   bool   // the origin could not be asked (H5)
	moved    NodeID // where the route says that the home is now (M3)
	senders  bool   // tasks of this node may have rights to the proxy
	made     uint32 // rights made from the proxy
	armed    bool
	paused   bool
	spent    bool // a send-once right that was used
	starving bool // in the list of a session

	// A receive right on the move (section 7).
	carrier   *entry     // whose queue has the message with the receive right, or the unsettled send-once right
	left      NodeID     // the old route of a homeless entry: what was sent there comes back first
	front     []*pending // what came back
	frontSize int        // its bytes
	tail      bool       // the new home has to be told when all that was sent to this one has been sent on (M5)
	flushing  bool       // the port's queue has not been read to the marker yet
	late      []*pending // what peers sent meanwhile
	announce  bool       // MOVED has to be said when all has been delivered
	arriving  NodeID     // where the receive right went, which has not said yet that it has come
	exile     NodeID     // of an identity of this node: where its home is now, as long as that knows it (M9)
	ruled     bool       // this node is or was the home of an identity of another, which has to be told when it is forgotten (M9)
	before    int        // messages in queue to be sent before that
	alias     *entry     // the identity under which the port went on to a third node (M8)
	aliases   []*entry   // the entries whose alias this is
}

// maxFront bounds what comes back to a port that is on the move.
const maxFront = 1024

// A pending message waits to be sent or delivered. It refers to entries: names
// of ports and counts at peers are as they were before, or no longer matter.
type pending struct {
	body   Body
	rights []held
	sent   // from is nil if a task sent it, or it is not to be confirmed
}

type held struct {
	kind Kind
	e    *entry
}

// counts is a small map from peers to numbers.
type counts []count

type count struct {
	node NodeID
	n    uint64
}

func (c counts) of(node NodeID) uint64 {
	for _, x := range c {
		if x.node == node {
			return x.n
		}
	}
	return 0
}

// add counts one more for node.
func (c *counts) add(node NodeID) {
	for i := range *c {
		if (*c)[i].node == node {
			(*c)[i].n++
			return
		}
	}
	*c = append(*c, count{node, 1})
}

// take removes n from what is counted for node; all of it if n is 0.
func (c *counts) take(node NodeID, n uint64) {
	for i := range *c {
		if (*c)[i].node == node {
			if (*c)[i].n -= n; n == 0 || (*c)[i].n == 0 {
				*c = slices.Delete(*c, i, i+1)
			}
			return
		}
	}
}

// Code is the kind of a protocol error, as it is in the CLOSE of a session (B4).
type Code uint8

const (
	CodeBye Code = iota
	CodeProtocol
	CodeLimit
	CodeVersion
	CodeReplaced
	CodeTimeout
	CodeInternal
)

var codes = [...]string{"bye", "protocol", "limit", "version", "replaced", "time-out", "internal"}

func (c Code) String() string {
	if int(c) < len(codes) {
		return codes[c]
	}
	return fmt.Sprintf("code(%d)", c)
}

// A ProtocolError is what a peer did wrong.
type ProtocolError struct {
	Code Code
	Rule string // of docs/netmsg-protocol.md, such as "C5"
	Text string
}

func (e *ProtocolError) Error() string { return fmt.Sprintf("%s (rule %s)", e.Text, e.Rule) }

func broken(rule, format string, args ...any) *ProtocolError {
	return &ProtocolError{CodeProtocol, rule, fmt.Sprintf(format, args...)}
}

func exceeded(rule, format string, args ...any) *ProtocolError {
	return &ProtocolError{CodeLimit, rule, fmt.Sprintf(format, args...)}
}

// New returns a node without peers.
func New(c Config) *Node {
	c.Limits = c.Limits.WithDefaults()
	return &Node{
		config:     c,
		sessions:   make(map[NodeID]*session),
		dialling:   make(map[NodeID]bool),
		entries:    make(map[ID]*entry),
		ports:      make(map[Port]*entry),
		deliveries: make(map[uint64]delivery),
	}
}

// Actions returns what is to be done, in order, and forgets it.
func (n *Node) Actions() []Action {
	out := n.out
	n.out = nil
	return out
}

// NewPort returns the number for a port of the node that the adapter has not
// seen yet, or not since its Forget.
func (n *Node) NewPort() Port {
	n.nextPort++
	return n.nextPort
}

// Connected says that there is a session with a peer, which lets this node have
// window messages to one right and budget bytes in all undelivered.
func (n *Node) Connected(peer Incarnation, window, budget int) {
	if _, ok := n.sessions[peer.Node]; ok {
		n.Lost(peer.Node)
	}
	delete(n.dialling, peer.Node)
	n.sessions[peer.Node] = &session{
		peer: peer, window: max(window, 1), budget: max(budget, 1),
		unacked: make(map[ID][]sent), incoming: make(map[ID]int),
	}
	for _, e := range n.sorted(func(e *entry) bool { return e.claim == peer.Node }) {
		n.touch(e)
	}
	n.run()
}

// Unreachable answers Dial: there can be no session with a node now.
func (n *Node) Unreachable(node NodeID) {
	delete(n.dialling, node)
	if n.sessions[node] != nil {
		return
	}
	for _, e := range n.sorted(func(e *entry) bool { return e.claim == node && !e.claimed }) {
		n.claimFailed(e)
	}
	n.run()
}

// Lost says that the session with a peer is over (S3, L1 to L4).
func (n *Node) Lost(peer NodeID) {
	n.lost(peer)
	n.run()
}

func (n *Node) lost(peer NodeID) {
	s := n.sessions[peer]
	if s == nil {
		return
	}
	delete(n.sessions, peer)
	for _, e := range n.sorted(func(e *entry) bool {
		return e.holders.of(peer) > 0 || e.holds.of(peer) > 0 || e.route == peer || e.next == peer || e.arriving == peer || e.exile == peer || e.claim == peer || e.left == peer || e.moved == peer
	}) {
		if e.holders.of(peer) > 0 { // L2
			e.holders.take(peer, 0)
			if e.once && e.home && e.refs == 0 { // L3
				n.extinguish(e)
			}
		}
		e.holds.take(peer, 0)
		if e.moved == peer {
			e.moved = ""
		}
		if e.left == peer {
			e.left = ""
			n.touch(e.carrier)
		}
		if e.next == peer {
			e.next = ""
		}
		if e.arriving == peer {
			e.arriving = ""
		}
		if e.exile == peer {
			e.exile = ""
		}
		if e.claim == peer && e.claimed {
			s.claims--
			if e.once && e.route == peer {
				e.route = "" // nothing but the claim went there, or the right is spent
			}
			n.claimFailed(e)
		}
		if e.route == peer {
			if e.next != "" && len(s.unacked[e.id]) == 0 {
				e.route, e.next = e.next, ""
			} else {
				n.kill(e)
			}
		}
		n.touch(e)
	}
	for _, e := range s.starved {
		e.starving = false
		n.touch(e)
	}
	ids := slices.SortedFunc(maps.Keys(s.unacked), ID.compare)
	for _, id := range ids {
		for _, m := range s.unacked[id] {
			n.confirm(m)
		}
	}
}

// Offer gives a peer the right to its door (S5): to p, a port of the node, for
// which the caller passes one send reference.
func (n *Node) Offer(peer NodeID, p Port) {
	m := n.resolveLocal(LocalMessage{Rights: []LocalRight{{Send, p}}})
	if s := n.sessions[peer]; s != nil {
		n.transmit(s, Record{Type: RecOffer, Message: &Message{Rights: n.emitWire(m, s)}})
		n.tellMoves(s)
	} else {
		n.destroy(m)
	}
	n.run()
}

// Sent says that a task has sent a message to a proxy. The rights in it, each
// one reference, are the table's from now on.
func (n *Node) Sent(to Port, lm LocalMessage) {
	e := n.ports[to]
	m := n.resolveLocal(lm)
	l := &n.config.Limits
	if e == nil || e.home || e.alias != nil || len(lm.Rights) > l.Rights || m.size > l.Message {
		n.destroy(m)
		if e != nil && e.once && !e.home {
			n.unused(e)
		}
	} else {
		if e.once {
			n.unused(e)
		}
		n.enqueue(e, m)
	}
	n.run()
}

// Extinct says that the send-once right made from a proxy has been destroyed
// unused.
func (n *Node) Extinct(to Port) {
	if e := n.ports[to]; e != nil && e.once && !e.home {
		n.unused(e)
	}
	n.run()
}

// unused: the tasks have no longer the send-once right of an import.
func (n *Node) unused(e *entry) {
	n.unmake(e)
	e.senders = false
	n.touch(e)
}

// unmake destroys the proxy of an import.
func (n *Node) unmake(e *entry) {
	if e.port != 0 {
		n.do(Kill{e.port})
		delete(n.ports, e.port)
		e.port, e.armed, e.paused, e.made = 0, false, false, 0
	}
}

// NoSenders says that a proxy had no senders and no messages when made send
// rights had been made from it.
func (n *Node) NoSenders(p Port, made uint32) {
	e := n.ports[p]
	if e == nil || e.home || e.once {
		return
	}
	e.armed = false
	if made == e.made { // C4
		e.senders = false
	} else if e.senders {
		n.arm(e)
	}
	n.touch(e)
	n.run()
}

// Died says that a port of the node is dead.
func (n *Node) Died(p Port) {
	e := n.ports[p]
	if e == nil || !e.home {
		return
	}
	n.kill(e)
	n.run()
}

// Delivered answers Deliver.
func (n *Node) Delivered(d uint64) {
	x, ok := n.deliveries[d]
	if !ok {
		return
	}
	delete(n.deliveries, d)
	x.entry.delivering--
	n.confirm(x.sent)
	n.touch(x.entry)
	n.run()
}

// Flushed answers Flush.
func (n *Node) Flushed(p Port) {
	e := n.ports[p]
	if e == nil || !e.flushing {
		return
	}
	e.flushing = false
	e.queue = append(e.queue, e.late...)
	e.late = nil
	e.before = len(e.queue)
	n.touch(e)
	n.run()
}

// Receive acts upon a record of a session.
func (n *Node) Receive(peer NodeID, r Record) {
	s := n.sessions[peer]
	if s == nil {
		return // it has been lost
	}
	if err := n.receive(s, r); err != nil { // S4
		n.fail(s, err)
	}
	n.run()
}

func (n *Node) fail(s *session, err *ProtocolError) {
	if n.sessions[s.peer.Node] == s {
		n.lost(s.peer.Node)
		n.do(Close{s.peer.Node, err})
	}
}

func (n *Node) receive(s *session, r Record) *ProtocolError {
	peer := s.peer.Node
	e := n.entries[r.ID]
	switch r.Type {
	case RecMessage:
		return n.receiveMessage(s, e, r)

	case RecDelivered:
		q := s.unacked[r.ID]
		if r.N == 0 || r.N > uint64(len(q)) {
			return broken("F1", "confirms %d messages to %v, of %d", r.N, r.ID, len(q))
		}
		for _, m := range q[:r.N] {
			s.inflight -= m.size
			n.confirm(m)
		}
		if q = q[r.N:]; len(q) == 0 {
			delete(s.unacked, r.ID)
		} else {
			s.unacked[r.ID] = q
		}
		if e != nil {
			n.touch(e)
		}
		for _, x := range s.starved {
			x.starving = false
			n.touch(x)
		}
		s.starved = s.starved[:0]

	case RecRelease:
		switch {
		case r.Once:
			if e == nil || !e.once || e.holders.of(peer) == 0 {
				return nil // C5: it has another owner by now
			}
			n.unhold(e, s, 0)
			switch {
			case e.home && e.refs == 0:
				n.extinguish(e)
			case !e.home && !r.Dead: // handed over: without a word to the home (H6)
				e.spent = true
				n.abandon(e)
			}
			n.touch(e)
		case e == nil || e.once || r.N == 0 || e.holders.of(peer) < r.N:
			return broken("C5", "releases %d of %v, which it does not hold", r.N, r.ID)
		default:
			n.unhold(e, s, r.N)
			n.touch(e)
		}

	case RecDead:
		switch {
		case e == nil || e.home || e.homeless || e.dead || e.alias != nil: // D4
		case e.route == peer || e.next == peer || e.exile == peer && e.route == "" && e.claim == "":
			n.kill(e)
		case e.holds.of(peer) > 0: // another knows better
			n.release(e, peer, false)
			n.touch(e)
		}

	case RecClaim:
		answer := Record{Type: RecClaimed, ID: r.ID, Once: r.Once, Dead: true}
		switch {
		case e == nil || e.key != r.Key || e.once != r.Once: // H4
		case e.dead: // H4
			if old := n.sessions[r.Node]; e.once && old != nil && r.Node != peer && e.holders.of(r.Node) > 0 {
				n.unhold(e, old, 0) // the former owner will say nothing (H6)
				n.touch(e)
			}
		case e.once:
			if e.home && e.refs == 0 && r.Node != peer && e.holders.of(r.Node) > 0 { // H6
				if old := n.sessions[r.Node]; old != nil {
					n.unhold(e, old, 0)
				}
				answer.Dead = false
			}
		case e.exile != "" && e.exile != peer && e.route == "" && !e.home && !e.homeless: // M9
			answer.Dead, answer.Node = false, e.exile
			n.transmit(s, answer)
			return nil
		default:
			answer.Dead = false
		}
		if !answer.Dead {
			if err := n.hold(e, s); err != nil {
				n.touch(e)
				return err
			}
		}
		n.transmit(s, answer)
		if !answer.Dead {
			n.tellMoved(e, s)
		}

	case RecClaimed:
		if e != nil && e.arriving == peer && (e.claim != peer || !e.claimed) { // M3
			e.arriving, e.before = "", len(e.queue)
			n.touch(e)
			return nil
		}
		if e == nil || e.claim != peer || !e.claimed {
			return broken("B2", "answers a claim to %v that was not made", r.ID)
		}
		if r.Node != "" && (e.once || r.Dead || peer != e.id.Origin.Node || r.Node == peer) {
			return broken("M9", "says that %v is at %s", r.ID, r.Node)
		}
		s.claims--
		via := e.via
		e.claim, e.claimed, e.via = "", false, ""
		n.touch(e.carrier)
		n.touch(e)
		switch {
		case r.Node != "": // M9
			if !e.dead && !e.home && !e.homeless && e.alias == nil && (e.route == "" || e.detour) && r.Node != n.config.Self.Node {
				e.claim, e.via = r.Node, via
			}
		case r.Dead:
			if e.once && e.spent {
				n.abandonTo(e, "")
			} else if !e.home && !e.homeless {
				n.kill(e)
			}
		case e.spent:
			n.abandonTo(e, "")
		default:
			n.gain(e, s)
			if e.once { // before it goes on
				n.abandonTo(e, peer)
			}
			if !e.dead && !e.home && !e.homeless {
				n.reroute(e, peer)
			}
		}

	case RecMoved:
		if e != nil && e.left == peer && r.Node == n.config.Self.Node { // M5
			e.left = ""
			n.touch(e.carrier)
			n.touch(e)
			return nil
		}
		if e != nil && !e.once && (e.route == peer || e.next == peer) && r.Node != peer && r.Node != n.config.Self.Node {
			e.moved = r.Node
			n.touch(e)
		}

	case RecOffer:
		if r.Message == nil || len(r.Message.Rights) != 1 || r.Message.Rights[0].Kind != Send {
			return broken("S5", "offers something that is not one send right")
		}
		m, err := n.resolveWire(s, &Message{Rights: r.Message.Rights})
		if err != nil {
			return err
		}
		x := m.rights[0]
		if x.kind == Dead {
			return nil
		}
		if x.kind != Send || x.e.home || x.e.homeless {
			n.destroy(m)
			return broken("S5", "offers a right that is not its own")
		}
		x.e.refs--
		n.make(x.e)
		n.do(Offered{peer, x.e.port})
		n.arm(x.e)
		n.touch(x.e)

	default:
		return broken("B2", "record of type %d", r.Type)
	}
	return nil
}

func (n *Node) receiveMessage(s *session, e *entry, r Record) *ProtocolError {
	peer := s.peer.Node
	l := &n.config.Limits
	if r.Message == nil || r.Message.Body == nil {
		return broken("B2", "message without a body")
	}
	size := r.Message.Body.Size()
	if size > l.Message || len(r.Message.Rights) > l.Rights {
		return exceeded("B1", "message of %d bytes and %d rights, of at most %d and %d", size, len(r.Message.Rights), l.Message, l.Rights)
	}
	if !r.Once {
		switch {
		case e == nil || e.once || e.holders.of(peer) == 0:
			return broken("B2", "message to %v, which it does not hold", r.ID)
		case e.left == peer: // M5
		case s.incoming[r.ID] >= l.Window:
			return broken("F5", "more than %d messages to %v under way", l.Window, r.ID)
		case s.received > 0 && s.received+size > l.Budget:
			return broken("F5", "more than %d bytes under way", l.Budget)
		}
	}
	m, err := n.resolveWire(s, r.Message)
	if err != nil {
		return err
	}
	if r.Once { // F4: not to be confirmed
		if e == nil || !e.once || e.holders.of(peer) == 0 {
			n.destroy(m) // H6
			return nil
		}
		n.unhold(e, s, 0)
		if e.dead {
			n.destroy(m)
			n.touch(e)
			return nil
		}
		n.enqueue(e, m)
		return nil
	}
	if e.left == peer { // M5: it comes from the queue of the old home, and is not to be confirmed
		if e.dead {
			n.destroy(m)
			return nil
		}
		e.frontSize += m.size
		if len(e.front) >= maxFront || len(e.front) > 0 && e.frontSize > l.Message {
			n.destroy(m)
			return exceeded("M5", "returns more than %d messages or %d bytes to %v", maxFront, l.Message, r.ID)
		}
		e.front = append(e.front, m)
		n.carry(e, m)
		return nil
	}
	m.from, m.to = s, r.ID
	s.incoming[r.ID]++
	s.received += size
	e = e.present()
	switch {
	case e.dead:
		n.destroy(m) // D3
	case e.flushing:
		e.late = append(e.late, m)
		n.carry(e, m)
	default:
		n.enqueue(e, m)
	}
	return nil
}

// enqueue puts a message into the queue of the entry that it is for.
func (n *Node) enqueue(e *entry, m *pending) {
	e = e.present()
	e.queue = append(e.queue, m)
	n.carry(e, m)
	n.touch(e)
}

func (n *Node) carry(e *entry, m *pending) {
	for _, h := range m.rights {
		if h.kind == SendOnce || h.kind == Receive {
			h.e.carrier = e
		}
	}
}

// confirm says DELIVERED to who sent a message, if that was a peer (F1).
func (n *Node) confirm(m sent) {
	s, id := m.from, m.to
	if s == nil || n.sessions[s.peer.Node] != s {
		return
	}
	if s.incoming[id]--; s.incoming[id] == 0 {
		delete(s.incoming, id)
	}
	s.received -= m.size
	if len(n.out) > 0 {
		if t, ok := n.out[len(n.out)-1].(Transmit); ok && t.Peer == s.peer.Node && t.Record.Type == RecDelivered && t.Record.ID == id {
			t.Record.N++
			n.out[len(n.out)-1] = t
			return
		}
	}
	n.transmit(s, Record{Type: RecDelivered, ID: id, N: 1})
}

func (n *Node) do(a Action) { n.out = append(n.out, a) }

func (n *Node) transmit(s *session, r Record) { n.do(Transmit{s.peer.Node, r}) }

// touch has an entry looked at before the event is over.
func (n *Node) touch(e *entry) {
	if e != nil && !e.dirty && !e.gone {
		e.dirty = true
		n.dirty = append(n.dirty, e)
	}
}

func (n *Node) run() {
	for len(n.dirty) > 0 {
		e := n.dirty[0]
		n.dirty = n.dirty[1:]
		e.dirty = false
		if !e.gone {
			n.advance(e)
		}
	}
	n.dirty = nil
}

func (n *Node) newEntry(id ID, key Key, once bool) *entry {
	n.nextSerial++
	e := &entry{id: id, key: key, once: once, serial: n.nextSerial}
	n.entries[id] = e
	return e
}

// newHome makes an entry for a port of the node, with an identity of its own.
func (n *Node) newHome(p Port, once bool) *entry {
	n.nextNum++
	e := n.newEntry(ID{n.config.Self, n.nextNum}, n.config.Key(n.nextNum), once)
	e.home, e.port = true, p
	n.ports[p] = e
	return e
}

func (n *Node) remove(e *entry) {
	e.gone = true
	if s := n.sessions[e.id.Origin.Node]; e.ruled && s != nil && s.peer == e.id.Origin { // M9
		n.transmit(s, Record{Type: RecDead, ID: e.id})
	}
	delete(n.entries, e.id)
	if e.port != 0 {
		delete(n.ports, e.port)
	}
	if a := e.alias; a != nil {
		a.refs--
		a.aliases = slices.DeleteFunc(a.aliases, func(x *entry) bool { return x == e })
		n.touch(a)
	}
}

// hold counts a transmission to a peer.
func (n *Node) hold(e *entry, s *session) *ProtocolError {
	if e.holders.of(s.peer.Node) == 0 {
		if s.held >= n.config.Limits.Holds {
			return exceeded("B1", "holds more than %d rights", n.config.Limits.Holds)
		}
		s.held++
	}
	e.holders.add(s.peer.Node)
	return nil
}

// unhold takes k from what a peer holds; all of it if k is 0.
func (n *Node) unhold(e *entry, s *session, k uint64) {
	e.holders.take(s.peer.Node, k)
	if e.holders.of(s.peer.Node) == 0 {
		s.held--
	}
}

// gain counts a transmission from a peer.
func (n *Node) gain(e *entry, s *session) {
	if e.holds.of(s.peer.Node) == 0 {
		s.holds++
	}
	e.holds.add(s.peer.Node)
}

// lose ends the hold from a peer without a word.
func (n *Node) lose(e *entry, peer NodeID) {
	if e.holds.of(peer) > 0 {
		if s := n.sessions[peer]; s != nil {
			s.holds--
		}
		e.holds.take(peer, 0)
	}
}

// abandon ends all holds of a send-once right without a word.
func (n *Node) abandon(e *entry) {
	for len(e.holds) > 0 {
		n.lose(e, e.holds[0].node)
	}
	e.route, e.next = "", ""
}

// abandonTo releases all holds except the one from keep.
func (n *Node) abandonTo(e *entry, keep NodeID) {
	for i := 0; i < len(e.holds); {
		if h := e.holds[i]; h.node == keep {
			i++
		} else {
			n.release(e, h.node, false)
		}
	}
}

// releaseAll releases all holds of an import that nobody wants any more.
func (n *Node) releaseAll(e *entry, dead bool) {
	for len(e.holds) > 0 {
		n.release(e, e.holds[0].node, dead)
	}
}

// release gives back the hold from a peer (C1).
func (n *Node) release(e *entry, peer NodeID, dead bool) {
	k := e.holds.of(peer)
	n.lose(e, peer)
	if s := n.sessions[peer]; s != nil && k > 0 {
		n.transmit(s, Record{Type: RecRelease, ID: e.id, N: k, Once: e.once, Dead: dead})
	}
}

// reroute makes a peer, from which the right is held, the route.
func (n *Node) reroute(e *entry, to NodeID) {
	e.detour = false
	switch {
	case e.route == to:
	case e.route == "" || n.undelivered(e) == 0 && !e.announce:
		e.route, e.next = to, ""
	default:
		e.next = to // M4
	}
	n.touch(e)
}

// tellMoved says where the home is to a peer that has just got a right from here
// (M3).
func (n *Node) tellMoved(e *entry, s *session) {
	if !e.gone && !e.home && !e.homeless && !e.dead && !e.detour && e.alias == nil && e.claim == "" && !e.announce && e.route != "" && e.route != s.peer.Node {
		n.transmit(s, Record{Type: RecMoved, ID: e.id, Node: e.route})
	}
}

func (n *Node) tellMoves(s *session) {
	for _, e := range n.moves {
		n.tellMoved(e, s)
	}
	n.moves = n.moves[:0]
}

// undelivered is how many messages along the route have not been confirmed.
func (n *Node) undelivered(e *entry) int {
	if s := n.sessions[e.route]; s != nil {
		return len(s.unacked[e.id])
	}
	return 0
}

// present is the entry under which the right goes now (M8).
func (e *entry) present() *entry {
	for e.alias != nil {
		e = e.alias
	}
	return e
}

// wanted says whether somebody on this node, or a peer that has the right from it,
// may still use an import (C1).
func (e *entry) wanted() bool {
	return e.senders || len(e.holders) > 0 || e.refs > 0 || len(e.queue)+len(e.late) > 0
}

// kill makes an entry a tombstone (D1, D2).
func (n *Node) kill(e *entry) {
	if e.dead || e.gone {
		return
	}
	e.dead = true
	if e.home {
		n.do(Drop{e.port, e.kind()})
		n.do(Forget{e.port})
		delete(n.ports, e.port)
		e.port = 0
	} else {
		n.unmake(e)
	}
	e.home, e.homeless, e.flushing, e.announce, e.senders = false, false, false, false, false
	e.route, e.next, e.moved, e.exile, e.tail = "", "", "", "", false
	if e.claim != "" && !e.claimed {
		e.claim = ""
	}
	for _, h := range e.holders {
		if s := n.sessions[h.node]; s != nil {
			n.transmit(s, Record{Type: RecDead, ID: e.id})
		}
	}
	for _, x := range e.aliases {
		n.kill(x)
	}
	n.touch(e)
	n.touch(e.carrier)
}

func (e *entry) kind() Kind {
	if e.once {
		return SendOnce
	}
	return Send
}

// extinguish uses up a send-once right at home by destroying it.
func (n *Node) extinguish(e *entry) {
	if !e.gone && e.home {
		n.do(Extinguish{e.port})
		n.do(Forget{e.port})
		n.remove(e)
	}
}

// destroy destroys a message with its rights (T2).
func (n *Node) destroy(m *pending) {
	for _, h := range m.rights {
		if h.e == nil {
			continue
		}
		h.e.refs--
		switch h.kind {
		case SendOnce:
			h.e.carrier = nil
			if h.e.home && len(h.e.holders) == 0 {
				n.extinguish(h.e)
			}
		case Receive:
			h.e.carrier = nil
			if h.e.homeless {
				n.kill(h.e)
			}
		}
		n.touch(h.e)
	}
	if m.body != nil {
		n.do(Discard{m.body})
	}
	n.confirm(m.sent)
}

func (n *Node) sorted(f func(*entry) bool) []*entry {
	var list []*entry
	for _, e := range n.entries {
		if f(e) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *entry) int { return int(a.serial) - int(b.serial) })
	return list
}
