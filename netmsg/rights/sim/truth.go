package sim

import (
	"fmt"

	"hurdlab/netmsg/rights"
)

// MaxNodes is the most nodes of a world.
const MaxNodes = 6

// A port is a true port: what a right denotes, wherever it is and whatever the
// tables call it. The tables never see it.
type port struct {
	id   int32
	dead bool

	// Where the receive right is: with a kernel (at), and in a message (in).
	at *kport
	in *message

	names [MaxNodes]*kport // the port of each node that stands for it
	cut   [MaxNodes]bool   // a loss may have taken the node's rights to it
	lossy bool             // any loss has touched it
	moved bool             // its receive right has been to another node
	again bool             // and from there to a third: it has two identities then (M8)

	transit int // send rights in tables and records

	seq  [MaxNodes]int // of the last message that a task of the node has sent
	seen [MaxNodes]int // of the last message of the node that was received
	from [MaxNodes]uint64
}

func (g *port) String() string {
	if g == nil {
		return "?"
	}
	return fmt.Sprintf("p%d", g.id)
}

// home is the node where the receive right is, or nil while it is in a record.
func (g *port) home() *node {
	switch {
	case g.at != nil:
		return g.at.node
	case g.in != nil && g.in.state != inRecord:
		return g.in.at
	}
	return nil
}

// A once is a true send-once right.
type once struct {
	id    int32
	g     *port
	at    *node // where it was made
	state uint8
	uses  int  // messages and notifications that g has got by it
	lossy bool // a loss may have taken it
}

const (
	onceHeld uint8 = iota
	onceSent
	onceDropped
)

func (o *once) String() string {
	if o == nil {
		return "?"
	}
	return fmt.Sprintf("o%d>%v", o.id, o.g)
}

// An ident is what the records call a true port or right, and who holds it
// from whom, by counting what goes by.
type ident struct {
	id    rights.ID
	g     *port
	o     *once
	flows []flow
	stale bool // made for a name that was dead already
}

// A flow is what has gone from one node to another about an ident in their session.
type flow struct {
	from, to int
	sent     int // transmissions counted by from, less the releases it has got
	got      int // transmissions that have come to to, less its releases
	asked    int // claims that from has not answered
	unacked  []int
	tail     bool // what goes back to a new home is not counted (M5)
}

func (i *ident) flow(from, to int) *flow {
	for f := range i.flows {
		if i.flows[f].from == from && i.flows[f].to == to {
			return &i.flows[f]
		}
	}
	i.flows = append(i.flows, flow{from: from, to: to})
	return &i.flows[len(i.flows)-1]
}

func (i *ident) String() string { return fmt.Sprintf("%v#%d", i.id.Origin.Node, i.id.Num) }

// ident returns what an identity stands for; the first use of it tells.
func (w *World) ident(id rights.ID, g *port, o *once) *ident {
	i := w.idents[id]
	if i == nil {
		i = &ident{id: id, g: g, o: o}
		w.idents[id] = i
		w.identList = append(w.identList, i)
	} else if i.g != g || i.o != o {
		w.failf("identity: %v stands for %v %v and now for %v %v", i, i.g, i.o, g, o)
	}
	return i
}

// A Violation is what must never happen and did.
type Violation struct {
	Step int
	Text string
}

func (v *Violation) Error() string { return fmt.Sprintf("step %d: %s", v.Step, v.Text) }

func (w *World) failf(format string, args ...any) {
	if w.fail == nil {
		w.fail = &Violation{w.step, fmt.Sprintf(format, args...)}
		w.tracef("*** %s", w.fail.Text)
	}
}

func (w *World) tracef(format string, args ...any) {
	if w.cfg.Trace != nil {
		w.cfg.Trace(fmt.Sprintf(format, args...))
	}
}

// truePortDies is called when a receive right is destroyed.
func (w *World) truePortDies(g *port) {
	if !g.dead {
		g.dead = true
		w.tracef("    truth: %v is dead", g)
	}
	g.at, g.in = nil, nil
}

// excused says whether a node may take a port for dead, or lose what is sent to it.
func (g *port) excused(n *node) bool { return g.dead || n != nil && (g.cut[n.index] || g.goes(n)) }

// goes says whether the receive right is in a message that a node is about to destroy.
func (g *port) goes(n *node) bool {
	return g.in != nil && g.in.at == n && g.in.state == inTable && (g.in.doomed || g.in.dest.excused(n) || g.in.via != nil && g.in.via.astray())
}

// truthDestroyed is called when a message is destroyed. It must not be, as long as
// the port that it is for is alive.
func (w *World) truthDestroyed(m *message, n *node) {
	if m.state == received || m.state == destroyed || m.state == lost {
		w.failf("%v is destroyed and was %v", m, m.state)
	}
	if !m.dest.excused(n) && (m.via == nil || !m.via.astray()) && !m.note {
		w.failf("%v is destroyed at %v while %v lives", m, n, m.dest)
	}
	w.ends(m, destroyed)
}

// ends is called when a message has met its end with its rights.
func (w *World) ends(m *message, s state) {
	w.settle(m, true)
	m.state = s
	for i := range m.rights {
		r := &m.rights[i]
		switch r.kind {
		case rights.SendOnce:
			r.o.state = onceDropped
		case rights.Receive:
			if r.g.in == m && r.g.at == nil {
				w.truePortDies(r.g)
			}
		}
	}
}

// moves is called when a message leaves a kernel, for a table.
func (w *World) moves(m *message) {
	w.moving = append(w.moving, m)
	m.list = len(w.moving)
	for _, r := range m.rights {
		if r.kind == rights.Send {
			r.g.transit++
		}
	}
}

// settle is called when it no longer is in a table or record.
func (w *World) settle(m *message, over bool) {
	if m.list == 0 {
		return
	}
	last := w.moving[len(w.moving)-1]
	w.moving[m.list-1] = last
	last.list = m.list
	w.moving = w.moving[:len(w.moving)-1]
	m.list = 0
	for _, r := range m.rights {
		if r.kind == rights.Send {
			r.g.transit--
		}
	}
}

// checkNoSenders is called when a port of a task has no senders by its kernel's
// account. Then there must be none anywhere, but where a loss has cut them off.
func (w *World) checkNoSenders(g *port) {
	for i, k := range g.names {
		if k != nil && k != g.at && !k.dead && k.sends > 0 && !g.cut[i] {
			w.failf("early no-senders: %v has none, but %v has rights to it", g, k.node)
		}
	}
	if g.transit == 0 {
		return
	}
	for _, m := range w.moving {
		if m.state == inRecord && w.link(m.at.index, m.toNode).broken {
			continue
		}
		for _, r := range m.rights {
			if r.kind == rights.Send && r.g == g && !r.cut && !g.cut[m.at.index] {
				w.failf("early no-senders: %v has none, but %v, %v at %v, has a right to it", g, m, m.state, m.at)
			}
		}
	}
}

// names binds a kernel's port to the true port that a right to it denotes.
func (w *World) bind(k *kport, g *port) {
	if k.g == g {
		return
	}
	if k.g != nil {
		w.failf("identity: a right to %v becomes one to %v", g, k)
		return
	}
	k.g = g
	i := k.node.index
	if old := g.names[i]; old != nil && !old.dead && !g.lossy && !g.again {
		w.failf("identity: %v has two names on %v", g, k.node)
	}
	g.names[i] = k
}

// settledAt says whether a node holds what an identity stands for from its home.
func (w *World) settledAt(i *ident, n int) bool {
	g := i.g
	if g == nil {
		g = i.o.g
	}
	h := g.home()
	if h == nil || g.moved {
		return false
	}
	if h.index == n {
		return true
	}
	for _, f := range i.flows {
		if f.from == n && f.to != h.index && len(f.unacked) > 0 {
			return false // it still has a way that is not the direct one (M4, L1)
		}
	}
	return i.flow(h.index, n).got > 0 && !w.link(h.index, n).broken
}

// markCut notes that a node may have lost what an identity stands for, and all
// that have it only from there.
func (w *World) markCut(i *ident, n int, visited *[MaxNodes]bool) {
	if i.o != nil {
		i.o.lossy = true
		return
	}
	i.g.lossy = true
	if visited[n] {
		return
	}
	visited[n] = true
	if w.settledAt(i, n) {
		return
	}
	w.setCut(i.g, n)
	for _, f := range i.flows {
		if f.from == n && f.sent > 0 {
			w.markCut(i, f.to, visited)
		}
	}
}

// setCut notes that a node may have lost a port, and those to whom it has just sent it.
func (w *World) setCut(g *port, n int) {
	if g.cut[n] {
		return
	}
	g.cut[n], g.lossy = true, true
	for _, m := range w.moving {
		if m.at != nil && m.at.index == n && g.transit > 0 {
			for i := range m.rights {
				if m.rights[i].g == g {
					m.rights[i].cut = true
				}
			}
		}
	}
}

// cutLink notes what the loss of a session may take.
func (w *World) cutLink(a, b int) {
	for _, m := range w.moving {
		if m.state != inRecord || !(m.at.index == a && m.toNode == b || m.at.index == b && m.toNode == a) {
			continue
		}
		for _, r := range m.rights {
			if r.kind != rights.Receive {
				continue
			}
			for _, i := range w.identList {
				if i.g == r.g { // who moved it has it only from where it goes
					var v [MaxNodes]bool
					w.markCut(i, m.at.index, &v)
				}
			}
		}
	}
	for _, i := range w.identList {
		for f := range i.flows {
			x := &i.flows[f]
			if x.from == a && x.to == b || x.from == b && x.to == a {
				if i.o != nil && len(i.flows) > 0 {
					i.o.lossy = true
				}
				if x.sent > 0 {
					var v [MaxNodes]bool
					w.markCut(i, x.to, &v)
				}
				if i.g != nil {
					i.g.lossy = true
				}
			}
		}
	}
	for _, i := range w.identList {
		for f := range i.flows {
			if x := &i.flows[f]; x.from == a && x.to == b || x.from == b && x.to == a {
				x.sent, x.asked, x.unacked, x.tail = 0, 0, nil, false
			}
		}
	}
}

// receivedBy is called when a task receives a message.
func (w *World) receivedBy(k *kport, m *message) {
	if m.state != queued {
		w.failf("%v is received and was %v", m, m.state)
	}
	if m.dest != k.g {
		w.failf("%v is received from %v", m, k)
		return
	}
	m.state = received
	g := m.dest
	if o := m.via; o != nil {
		if o.uses++; o.uses > 1 {
			w.failf("%v has been used twice", o)
		}
		switch {
		case m.note && o.state == onceHeld && !o.astray():
			w.failf("%v fires and is still held", o)
		case m.note && o.state == onceSent && !o.astray() && !g.moved:
			w.failf("%v fires and was used", o)
		}
		return
	}
	s := m.src.index
	if g.from[s] != m.epoch {
		g.from[s], g.seen[s] = m.epoch, 0
	}
	switch {
	case g.again: // a node may have two names for it
	case m.seq <= g.seen[s] && !g.cut[s]:
		w.failf("order: %v, number %d of %v, is received after number %d", m, m.seq, m.src, g.seen[s])
	case m.seq != g.seen[s]+1 && !g.lossy && !g.cut[s]:
		w.failf("order: %v, number %d of %v, is received next after number %d", m, m.seq, m.src, g.seen[s])
	}
	if m.seq > g.seen[s] {
		g.seen[s] = m.seq
	}
}

// astray says whether a loss may have taken a send-once right, or its port from
// the node where the right was made.
func (o *once) astray() bool { return o.lossy || o.g.moved && o.g.lossy }
