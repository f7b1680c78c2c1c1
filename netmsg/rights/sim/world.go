package sim

import (
	"fmt"
	"slices"
	"strings"

	"hurdlab/netmsg/rights"
)

// Config is how a world is made.
type Config struct {
	Nodes, Tasks int
	QueueLimit   int  // messages in a kernel's port
	Window       int  // the nodes' limits
	Budget       int  // likewise
	SeesOnce     bool // the adapter sees that a send-once right leads to a proxy of its own
	LateMake     bool // the adapter makes rights of proxies when it delivers, not when it is told to
	CheckEvery   int  // steps between calls of Table.Check; 0: none

	NewTable func(node int, c rights.Config) Table // nil: rights.New
	Trace    func(string)                          // told what happens, if not nil
}

// A World is some nodes and the network between them, and the truth about both.
type World struct {
	cfg   Config
	nodes []*node
	names map[rights.NodeID]int
	links []*link
	step  int
	fail  *Violation
	eager bool // deliveries are done at once, if they can be

	ports     map[int32]*port
	portList  []*port
	onceRef   map[int32]*once
	onceList  []*once
	idents    map[rights.ID]*ident
	identList []*ident
	moving    []*message // in tables and records
	bodies    []*message // by body.index
	epochs    uint64
	detours   bool // a node could not be reached
}

// A link is what is between two nodes: at most one session. Side 0 is the node with
// the smaller index.
type link struct {
	a, b    int
	dial    [2]bool // a side has asked for a session
	cut     bool    // a partition: nothing goes through
	broken  bool    // the session is lost, but not both ends have noticed
	ends    [2]end
	pipes   [2][]item // from side 0, from side 1
	doors   [2]*port  // offered by side 0, side 1
	offered [2]bool   // likewise, in this session
	bytes   [2]int    // of messages under way that are not confirmed
	epochs  [2]uint64 // the incarnations of the session
}

type end uint8

const (
	idle    end = iota
	waiting     // the other end has accepted; its greeting is on the way
	open
)

// An item is a record, or the greeting of the side that has been dialled.
type item struct {
	greet bool
	rec   rights.Record
	grant bool // it grants a claim
}

// side is the side of node x in its link with y.
func side(x, y int) int {
	if x < y {
		return 0
	}
	return 1
}

func (w *World) link(x, y int) *link {
	if x > y {
		x, y = y, x
	}
	return w.links[x*len(w.nodes)+y]
}

func (l *link) node(side int) int {
	if side == 0 {
		return l.a
	}
	return l.b
}

// NewWorld makes a world in which nobody has met anybody.
func NewWorld(c Config) *World {
	w := &World{
		cfg: c, names: make(map[rights.NodeID]int), ports: make(map[int32]*port), onceRef: make(map[int32]*once),
		idents: make(map[rights.ID]*ident), links: make([]*link, c.Nodes*c.Nodes),
	}
	for i := range c.Nodes {
		n := &node{index: i, id: rights.NodeID('a' + rune(i)), limits: rights.Limits{Window: c.Window, Budget: c.Budget}}
		n.id = rights.NodeID(string('a' + rune(i)))
		w.nodes = append(w.nodes, n)
		w.names[n.id] = i
		for j := range i {
			w.links[j*c.Nodes+i] = &link{a: j, b: i}
		}
		w.start(n)
	}
	return w
}

// start gives a node a kernel and a netmsg, and a task that has a door.
func (w *World) start(n *node) {
	w.epochs++
	*n = node{index: n.index, id: n.id, limits: n.limits, epoch: w.epochs, tasks: make([]task, w.cfg.Tasks), entries: make(map[rights.Port]*entry)}
	c := rights.Config{Self: n.incarnation(), Limits: n.limits, Key: func(num uint64) (k rights.Key) {
		k[0], k[1], k[2], k[3], k[4] = byte(n.index), byte(num), byte(num>>8), byte(num>>16), byte(n.epoch)
		return k
	}}
	if w.cfg.NewTable != nil {
		n.table = w.cfg.NewTable(n.index, c)
	} else {
		n.table = rights.New(c)
	}
	n.door = w.create(n, 0, -int32(n.epoch))
}

// create makes a port of a task.
func (w *World) create(n *node, t int, id int32) *port {
	if w.ports[id] != nil {
		return nil
	}
	k := w.newPort(n, t)
	g := &port{id: id, at: k}
	k.g = g
	g.names[n.index] = k
	w.ports[id] = g
	w.portList = append(w.portList, g)
	n.real = append(n.real, g)
	return g
}

func (w *World) transmit(n *node, a rights.Transmit) {
	p, ok := w.names[a.Peer]
	if !ok || p == n.index {
		w.failf("%v transmits to %q", n, a.Peer)
		return
	}
	l, s := w.link(n.index, p), side(n.index, p)
	if l.ends[s] != open {
		w.failf("%v transmits %v to %v without a session", n, a.Record.Type, a.Peer)
		return
	}
	r := a.Record
	grant := false
	switch r.Type {
	case rights.RecMessage:
		m := w.body(r.Message.Body)
		if m.state != inTable || m.at != n {
			w.failf("%v transmits %v, which is %v at %v", n, m, m.state, m.at)
			return
		}
		if m.doomed {
			w.failf("%v transmits %v and has destroyed a receive right in it", n, m)
		}
		i := w.idents[r.ID]
		switch {
		case i == nil:
			w.failf("%v transmits %v to %v, which nobody knows", n, m, r.ID)
			return
		case r.Once && i.o != m.via, !r.Once && i.g != m.dest:
			w.failf("%v transmits %v to %v, which is %v %v", n, m, i, i.g, i.o)
			return
		case !r.Once && !l.broken && !i.flow(n.index, p).tail:
			f := i.flow(n.index, p)
			f.unacked = append(f.unacked, m.size)
			l.bytes[s] += m.size
			if lim := w.nodes[p].limits; len(f.unacked) > lim.Window {
				w.failf("window: %v has %d messages to %v under way to %v", n, len(f.unacked), i, a.Peer)
			} else if l.bytes[s] > lim.Budget && l.bytes[s] != m.size {
				w.failf("budget: %v has %d bytes under way to %v", n, l.bytes[s], a.Peer)
			}
		}
		m.state, m.toNode = inRecord, p
		if len(r.Message.Rights) != len(m.rights) {
			w.failf("%v transmits %v with %d rights of %d", n, m, len(r.Message.Rights), len(m.rights))
			return
		}
		for j := range m.rights {
			w.sendRight(n, p, l, m, &m.rights[j], r.Message.Rights[j])
		}
	case rights.RecOffer:
		g := l.doors[s]
		if g == nil || len(r.Message.Rights) != 1 {
			w.failf("%v offers something that it was not told to", n)
			return
		}
		if x := r.Message.Rights[0]; x.Kind == rights.Send {
			i := w.ident(x.ID, g, nil)
			if x.Counted && !l.broken {
				i.flow(n.index, p).sent++
			}
		} else if !g.dead {
			w.failf("%v offers its door as %v", n, x.Kind)
		}
	case rights.RecClaimed:
		i := w.idents[r.ID]
		switch {
		case !r.Dead && i == nil:
			w.failf("%v grants a claim to %v, which nobody knows", n, r.ID)
		case l.broken:
		case i != nil && i.flow(n.index, p).asked > 0: // else it is about a receive right
			f := i.flow(n.index, p)
			f.asked--
			if grant = !r.Dead && r.Node == ""; grant {
				f.sent++
			}
		}
		switch {
		case r.Dead && !l.broken && i != nil && i.g != nil && !i.g.excused(n) && !i.g.lossy:
			w.failf("right lost: %v refuses a claim of %v to %v", n, a.Peer, i.g)
		case r.Dead && !l.broken && i != nil && i.o != nil && !i.o.astray() && !i.o.g.dead && i.o.state == onceHeld:
			w.failf("right lost: %v refuses a claim of %v to %v", n, a.Peer, i.o)
		}
	case rights.RecDead:
		if i := w.idents[r.ID]; i != nil && i.g != nil && !i.g.excused(n) && i.flow(n.index, p).sent > 0 {
			w.failf("right lost: %v tells %v that %v is dead", n, a.Peer, i.g)
		}
	case rights.RecMoved:
		if i := w.idents[r.ID]; i != nil && r.Node == a.Peer { // M5
			i.flow(n.index, p).tail = false
		}
	case rights.RecRelease:
		if i := w.idents[r.ID]; i != nil && !r.Once {
			i.flow(p, n.index).got -= int(r.N)
		}
	}
	if l.broken {
		w.loseRecord(r)
		return
	}
	l.pipes[s] = append(l.pipes[s], item{rec: r, grant: grant})
}

// sendRight notes that a right goes into a record.
func (w *World) sendRight(n *node, p int, l *link, m *message, t *mright, r rights.Right) {
	if r.Kind != t.kind {
		if r.Kind != rights.Dead || !w.mayBeDead(n, *t) {
			w.failf("right lost: %v transmits %v with %v as %v", n, m, *t, r.Kind)
		}
		w.rightDies(t)
		return
	}
	switch r.Kind {
	case rights.Send, rights.Receive:
		i := w.ident(r.ID, t.g, nil)
		t.cut = t.g.cut[n.index]
		if t.cut && len(i.flows) == 0 && i.id.Origin.Node == n.id && t.g.home() != n {
			i.stale = true
		}
		if r.Kind == rights.Receive {
			if t.g.in != m {
				w.failf("%v transmits %v with the receive right of %v, which is elsewhere", n, m, t.g)
			}
			if t.g.moved {
				t.g.again = true
			}
			t.g.at, t.g.moved = nil, true
			i.flow(n.index, p).tail = true
		} else if r.Counted && !l.broken {
			i.flow(n.index, p).sent++
		}
	case rights.SendOnce:
		i := w.ident(r.ID, nil, t.o)
		if r.Counted && !l.broken {
			i.flow(n.index, p).sent++
		}
	}
}

// receiveRight notes that a right comes out of a record.
func (w *World) receiveRight(from int, n *node, l *link, t *mright, r rights.Right) {
	switch r.Kind {
	case rights.Send:
		i := w.idents[r.ID]
		if r.Counted {
			i.flow(from, n.index).got++
		}
		if (t.cut || l.broken) && (i.stale || !w.settledAt(i, n.index)) {
			w.setCut(t.g, n.index)
		}
	case rights.SendOnce:
		if l.broken {
			t.o.lossy = true
		}
	case rights.Receive:
		if l.broken {
			t.g.lossy = true
		} else {
			w.idents[r.ID].flow(n.index, from).sent++
		}
		if t.cut {
			w.setCut(t.g, n.index)
		}
	}
}

// receive takes the oldest record of a session off to node y from x.
func (w *World) receive(x, y int) {
	l, s := w.link(x, y), side(x, y)
	it := l.pipes[s][0]
	l.pipes[s][0] = item{}
	if l.pipes[s] = l.pipes[s][1:]; len(l.pipes[s]) == 0 {
		l.pipes[s] = nil
	}
	from, n := w.nodes[x], w.nodes[y]
	if it.greet {
		l.ends[1-s] = open
		w.tracef("    %v: Connected(%v)", n, from)
		n.table.Connected(rights.Incarnation{Node: from.id, Epoch: l.epochs[s]}, from.limits.Window, from.limits.Budget)
		w.run(n)
		return
	}
	r := it.rec
	w.tracef("    %v: Receive(%v, %s)", n, from, w.describeRecord(r))
	i := w.idents[r.ID]
	switch r.Type {
	case rights.RecMessage:
		m := w.body(r.Message.Body)
		if m.state != inRecord {
			w.failf("%v arrives and is %v", m, m.state)
		}
		m.state, m.at = inTable, n
		for j := range m.rights {
			w.receiveRight(x, n, l, &m.rights[j], r.Message.Rights[j])
		}
	case rights.RecOffer:
		t := mright{kind: rights.Send, g: l.doors[s]}
		w.receiveRight(x, n, l, &t, r.Message.Rights[0])
	case rights.RecDelivered:
		if !l.broken && i != nil {
			f := i.flow(y, x)
			for k := uint64(0); k < r.N && len(f.unacked) > 0; k++ {
				l.bytes[1-s] -= f.unacked[0]
				f.unacked = f.unacked[1:]
			}
		}
	case rights.RecRelease:
		if i != nil && !r.Once && !l.broken {
			i.flow(y, x).sent -= int(r.N)
		}
	case rights.RecClaimed:
		if i != nil && i.g != nil {
			if r.Dead {
				if i.g.lossy {
					w.setCut(i.g, y)
				}
			} else if it.grant {
				i.flow(x, y).got++
			}
		}
	case rights.RecClaim:
		if i != nil && i.o != nil && l.broken {
			i.o.lossy = true // the home grants it to a node that it is about to lose
		}
		if i != nil && !l.broken {
			i.flow(y, x).asked++
		}
	case rights.RecDead:
		if i != nil && i.g != nil && !w.settledAt(i, y) && i.flow(x, y).got > 0 {
			if !i.g.dead {
				w.setCut(i.g, y)
			}
		}
	}
	n.table.Receive(from.id, r)
	w.run(n)
}

// loseRecord notes that a record will not arrive.
func (w *World) loseRecord(r rights.Record) {
	if r.Type != rights.RecMessage {
		return
	}
	m := w.body(r.Message.Body)
	w.tracef("    network: %v is lost", m)
	for i := range m.rights {
		switch t := &m.rights[i]; t.kind {
		case rights.SendOnce:
			t.o.lossy = true
		case rights.Send, rights.Receive:
			t.g.lossy = true
		}
	}
	m.dest.lossy = true
	if m.via != nil {
		m.via.lossy = true
	}
	w.ends(m, lost)
}

// breakLink ends a session: of what is under way, the oldest keep records of each
// direction arrive. The ends notice by themselves.
func (w *World) breakLink(l *link, keep [2]int) {
	l.broken = true
	w.detours = true // claims may be lost
	w.cutLink(l.a, l.b)
	l.bytes = [2]int{}
	for s := range l.pipes {
		k := min(keep[s], len(l.pipes[s]))
		for _, it := range l.pipes[s][k:] {
			if !it.greet {
				w.loseRecord(it.rec)
			}
		}
		l.pipes[s] = l.pipes[s][:k:k]
	}
}

// closeEnd ends a session at node x, and what is under way to it.
func (w *World) closeEnd(l *link, s int) {
	l.ends[s] = idle
	for _, it := range l.pipes[1-s] {
		if !it.greet {
			w.loseRecord(it.rec)
		}
	}
	l.pipes[1-s] = nil
	x, y := l.node(s), l.node(1-s)
	for _, i := range w.identList {
		for f := range i.flows {
			if i.flows[f].from == y && i.flows[f].to == x {
				i.flows[f].got = 0
			}
		}
	}
	if l.ends[1-s] == idle {
		l.reset()
	}
}

func (l *link) reset() {
	l.broken, l.pipes, l.doors, l.offered, l.bytes = false, [2][]item{}, [2]*port{}, [2]bool{}, [2]int{}
}

// notice has node x notice that its session with y is over.
func (w *World) notice(x, y int) {
	l, s := w.link(x, y), side(x, y)
	n, was := w.nodes[x], l.ends[s]
	w.closeEnd(l, s)
	if was == open {
		w.tracef("    %v: Lost(%v)", n, w.nodes[y])
		n.table.Lost(w.nodes[y].id)
	} else {
		w.detours = true
		w.tracef("    %v: Unreachable(%v)", n, w.nodes[y])
		n.table.Unreachable(w.nodes[y].id)
	}
	w.run(n)
}

// answer decides what becomes of x's wish for a session with y.
func (w *World) answer(x, y int) {
	l, s := w.link(x, y), side(x, y)
	n, p := w.nodes[x], w.nodes[y]
	l.dial[s] = false
	switch {
	case l.ends[s] != idle: // y was faster
		return
	case p.down || l.cut:
		w.detours = true
		w.tracef("    %v: Unreachable(%v)", n, p)
		n.table.Unreachable(p.id)
		w.run(n)
		return
	}
	if l.ends[1-s] != idle { // a session of which x knows that it is lost, and y does not yet (S2)
		w.notice(y, x)
		if w.fail != nil {
			return
		}
	}
	l.reset()
	l.epochs[s], l.epochs[1-s] = n.epoch, p.epoch
	l.ends[s], l.ends[1-s] = waiting, open
	l.pipes[1-s] = []item{{greet: true}}
	w.tracef("    %v: Connected(%v)", p, n)
	p.table.Connected(n.incarnation(), n.limits.Window, n.limits.Budget)
	w.run(p)
}

// offer gives a peer a node's door.
func (w *World) offer(x, y int) {
	l, s := w.link(x, y), side(x, y)
	n := w.nodes[x]
	l.offered[s], l.doors[s] = true, n.door
	e := w.name(n, n.door.at)
	e.refs++
	n.door.at.sends++
	w.tracef("    %v: Offer(%v, %v)", n, w.nodes[y], e)
	n.table.Offer(w.nodes[y].id, e.port)
	w.run(n)
}

// crash ends a node: kernel, tasks, table.
func (w *World) crash(n *node) {
	n.down = true
	for p := range w.nodes {
		if p == n.index {
			continue
		}
		l, s := w.link(n.index, p), side(n.index, p)
		l.dial[s] = false
		if l.ends[0] != idle || l.ends[1] != idle {
			if !l.broken {
				w.breakLink(l, [2]int{1 << 30, 1 << 30})
			}
			w.closeEnd(l, s)
		}
	}
	for _, g := range w.portList {
		if g.dead {
			continue
		}
		g.seq[n.index] = 0
		g.names[n.index] = nil
		if h := g.home(); h == n {
			g.lossy = true
			w.truePortDies(g)
		}
		g.cut[n.index] = false
	}
	for _, o := range w.onceList {
		o.lossy = o.lossy || o.at == n
	}
	for i := 0; i < len(w.moving); {
		if m := w.moving[i]; m.state != inRecord && m.at == n {
			m.dest.lossy = true
			w.ends(m, lost)
		} else {
			i++
		}
	}
}

func (w *World) describe(n *node, a rights.Action) string {
	name := func(p rights.Port) string {
		if e := n.entries[p]; e != nil {
			return e.String()
		}
		return fmt.Sprintf("#%d", p)
	}
	local := func(d rights.Deliver) string {
		s := fmt.Sprintf("Deliver(%d to %s, %v", d.Delivery, name(d.To), w.body(d.Message.Body))
		for _, r := range d.Message.Rights {
			s += fmt.Sprintf(", %v %s", r.Kind, name(r.Port))
		}
		return s + ")"
	}
	switch a := a.(type) {
	case rights.Transmit:
		return fmt.Sprintf("Transmit(%v, %s)", a.Peer, w.describeRecord(a.Record))
	case rights.Deliver:
		return local(a)
	case rights.Yield:
		s := "Yield(" + name(a.Port)
		for _, d := range a.Front {
			s += " " + local(d)
		}
		return s + ")"
	case rights.Discard:
		return fmt.Sprintf("Discard(%v)", w.body(a.Body))
	case rights.Kill:
		return "Kill(" + name(a.Port) + ")"
	case rights.Forget:
		return "Forget(" + name(a.Port) + ")"
	case rights.Watch:
		return "Watch(" + name(a.Port) + ")"
	case rights.Pause:
		return "Pause(" + name(a.Port) + ")"
	case rights.Resume:
		return "Resume(" + name(a.Port) + ")"
	case rights.Adopt:
		return "Adopt(" + name(a.Port) + ")"
	case rights.Flush:
		return "Flush(" + name(a.Port) + ")"
	case rights.Extinguish:
		return "Extinguish(" + name(a.Port) + ")"
	case rights.Drop:
		return fmt.Sprintf("Drop(%s, %v)", name(a.Port), a.Kind)
	case rights.Arm:
		return fmt.Sprintf("Arm(%s, %d)", name(a.Port), a.Made)
	}
	return fmt.Sprintf("%s%+v", strings.TrimPrefix(fmt.Sprintf("%T", a), "rights."), a)
}

func (w *World) describeRecord(r rights.Record) string {
	id := func(x rights.ID) string {
		s := fmt.Sprintf("%v#%d", x.Origin.Node, x.Num)
		if i := w.idents[x]; i != nil && i.o != nil {
			s += fmt.Sprintf("=%v", i.o)
		} else if i != nil {
			s += fmt.Sprintf("=%v", i.g)
		}
		return s
	}
	s := fmt.Sprint(r.Type)
	if r.ID != (rights.ID{}) {
		s += " " + id(r.ID)
	}
	if r.N > 0 {
		s += fmt.Sprintf(" n=%d", r.N)
	}
	if r.Node != "" {
		s += fmt.Sprintf(" node=%v", r.Node)
	}
	if r.Once {
		s += " once"
	}
	if r.Dead {
		s += " dead"
	}
	if r.Message != nil {
		if r.Message.Body != nil {
			s += fmt.Sprintf(" %v", w.body(r.Message.Body))
		}
		for _, x := range r.Message.Rights {
			s += fmt.Sprintf(" [%v", x.Kind)
			if x.Kind > rights.Dead {
				s += " " + id(x.ID)
			}
			if x.Counted {
				s += " counted"
			}
			s += "]"
		}
	}
	return s
}

// compact forgets the ports that are no longer here.
func (n *node) compact() {
	n.real = slices.DeleteFunc(n.real, func(g *port) bool { return g.dead || g.at == nil || g.at.node != n })
}
