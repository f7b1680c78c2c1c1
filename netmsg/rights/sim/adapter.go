package sim

import (
	"fmt"
	"slices"

	"hurdlab/netmsg/rights"
)

// A Table is what is tested: *rights.Node, or one with a fault put into it.
type Table interface {
	NewPort() rights.Port
	Actions() []rights.Action
	Connected(peer rights.Incarnation, window, budget int)
	Lost(peer rights.NodeID)
	Unreachable(node rights.NodeID)
	Receive(peer rights.NodeID, r rights.Record)
	Offer(peer rights.NodeID, p rights.Port)
	Sent(to rights.Port, m rights.LocalMessage)
	Extinct(to rights.Port)
	NoSenders(p rights.Port, made uint32)
	Died(p rights.Port)
	Delivered(delivery uint64)
	Flushed(p rights.Port)
	Check() error
	Dump() string
}

// A node has a kernel, tasks, and a netmsg: a table and the adapter that does
// with the kernel what package bridge does with a real one.
type node struct {
	index int
	id    rights.NodeID
	epoch uint64
	down  bool

	tasks   []task
	ready   []*kport // with messages in the queue
	real    []*port  // ports of tasks, or once so
	notices []notice
	door    *port

	table     Table
	limits    rights.Limits
	entries   map[rights.Port]*entry
	onceNames []*entry // the entries of send-once rights
	hand      *message // received from a proxy, not yet given to the table
	handFrom  *entry
	waiting   []*entry      // with deliveries that wait
	seen      []rights.Port // proxies to which a send-once right has come back
	deferred  []uint64      // deliveries done, of which the table has not been told
}

func (n *node) String() string {
	if n == nil {
		return "nowhere"
	}
	return string(n.id)
}

func (n *node) incarnation() rights.Incarnation {
	return rights.Incarnation{Node: n.id, Epoch: n.epoch}
}

// An entry is a port as the table and the adapter call it: in a Mach
// task it would be a name.
type entry struct {
	port   rights.Port
	k      *kport
	refs   int   // netmsg's send rights
	once   *once // the send-once right that it is the name of
	recv   bool  // netmsg has the receive right
	killed bool
	watch  bool
	queue  []delivery // that wait
	listed bool       // in node.waiting
}

func (e *entry) String() string {
	if e.once != nil {
		return fmt.Sprintf("#%d=%v", e.port, e.once)
	}
	return fmt.Sprintf("#%d=%v", e.port, e.k)
}

// A delivery has the entries of its ports as they were when it was ordered.
type delivery struct {
	d      rights.Deliver
	rights []*entry
	early  []bool // the adapter has the right in its hands already
	flush  bool
}

// name is netmsg's entry for a port to which it has got a right.
func (w *World) name(n *node, k *kport) *entry {
	if k.e == nil {
		k.e = &entry{port: n.table.NewPort(), k: k}
		n.entries[k.e.port] = k.e
	}
	return k.e
}

// read receives a message from a proxy.
func (w *World) read(k *kport) {
	n := k.node
	m := w.dequeue(k)
	if m.via == nil && m.marker == nil {
		// The kernel ends the destination's send right only now: while a message
		// waits there are senders.
		defer w.releaseSend(k)
	}
	for i := range m.rights {
		if r := &m.rights[i]; r.k != nil && r.k.dead {
			w.deadRight(r)
		}
	}
	m.state, m.at = inHand, n
	n.hand, n.handFrom = m, k.e
}

// deadRight makes a right in a message that a kernel has a dead name.
func (w *World) deadRight(r *mright) {
	switch r.kind {
	case rights.Send:
		r.k.sends--
	case rights.SendOnce:
		r.k.onces--
		r.o.state = onceDropped
	}
	*r = mright{kind: rights.Dead}
}

// give gives the message in hand to the table.
func (w *World) give(n *node) {
	m, e := n.hand, n.handFrom
	n.hand, n.handFrom = nil, nil
	switch {
	case m.marker != nil:
		w.tracef("    %v: Flushed(%v)", n, e)
		n.table.Flushed(e.port)
	case m.note && e.k.single:
		w.tracef("    %v: Extinct(%v)", n, e)
		m.state = received
		n.table.Extinct(e.port)
	default:
		lm := rights.LocalMessage{Body: w.embody(m)}
		if len(m.rights) > 0 {
			lm.Rights = make([]rights.LocalRight, len(m.rights))
		}
		m.state = inTable
		w.moves(m)
		for i := range m.rights {
			r := &m.rights[i]
			lm.Rights[i] = w.takeRight(n, r)
			r.k = nil
		}
		w.tracef("    %v: Sent(%v, %v %v)", n, e, m, lm.Rights)
		n.table.Sent(e.port, lm)
	}
	w.run(n)
}

// takeRight makes a right that netmsg has received with a message one of the table's.
func (w *World) takeRight(n *node, r *mright) rights.LocalRight {
	switch r.kind {
	case rights.Send:
		e := w.name(n, r.k)
		e.refs++
		return rights.LocalRight{Kind: rights.Send, Port: e.port}
	case rights.SendOnce:
		if r.k.single && r.k.proxy() && !r.k.dead && w.cfg.SeesOnce {
			r.k.onces--
			n.seen = append(n.seen, r.k.e.port)
			return rights.LocalRight{Kind: rights.SendOnce, Port: r.k.e.port}
		}
		e := &entry{port: n.table.NewPort(), k: r.k, once: r.o}
		n.entries[e.port] = e
		n.onceNames = append(n.onceNames, e)
		return rights.LocalRight{Kind: rights.SendOnce, Port: e.port}
	case rights.Receive:
		e := w.name(n, r.k)
		r.k.recv = byNetmsg
		e.recv = true
		w.isReady(r.k)
		return rights.LocalRight{Kind: rights.Receive, Port: e.port}
	}
	return rights.LocalRight{Kind: r.kind}
}

// run does what the table says, until it says nothing more.
func (w *World) run(n *node) {
	for w.fail == nil {
		acts := n.table.Actions()
		if len(acts) == 0 {
			if len(n.deferred) == 0 {
				break
			}
			d := n.deferred
			n.deferred = nil
			for _, x := range d {
				w.tracef("    %v: Delivered(%d)", n, x)
				n.table.Delivered(x)
			}
			continue
		}
		for _, a := range acts {
			if w.cfg.Trace != nil {
				w.tracef("    %v: %s", n, w.describe(n, a))
			}
			w.do(n, a)
			if w.fail != nil {
				return
			}
		}
		if w.eager {
			w.deliverAll(n)
		}
	}
	if w.fail == nil && w.cfg.CheckEvery > 0 && w.step%w.cfg.CheckEvery == 0 {
		w.check(n)
	}
}

func (w *World) check(n *node) {
	if err := n.table.Check(); err != nil {
		w.failf("%v: Check: %v", n, err)
	}
}

// entry is what a number of the table stands for.
func (w *World) entry(n *node, p rights.Port, a rights.Action) *entry {
	e := n.entries[p]
	if e == nil {
		w.failf("%v: %T of port %d, which does not exist", n, a, p)
	}
	return e
}

func (w *World) do(n *node, a rights.Action) {
	switch a := a.(type) {
	case rights.Transmit:
		w.transmit(n, a)
	case rights.Dial:
		if to, ok := w.names[a.Node]; ok && to != n.index {
			w.link(n.index, to).dial[side(n.index, to)] = true
		} else {
			w.failf("%v dials %q", n, a.Node)
		}
	case rights.Close:
		w.failf("%v closes its session with %v: %v", n, a.Peer, a.Err)
	case rights.NewProxy:
		if n.entries[a.Port] != nil {
			w.failf("%v: NewProxy of port %d, which exists", n, a.Port)
			return
		}
		k := w.newPort(n, byNetmsg)
		k.single = a.Once
		k.e = &entry{port: a.Port, k: k, recv: true}
		n.entries[a.Port] = k.e
	case rights.Kill:
		e := w.entry(n, a.Port, a)
		if e == nil {
			return
		}
		w.kill(n, e)
	case rights.Arm:
		e := w.entry(n, a.Port, a)
		if e == nil {
			return
		}
		if !e.recv {
			w.failf("%v: Arm of %v, which is no proxy", n, e)
		}
		if k := e.k; k.sends == 0 && k.made >= a.Made {
			n.notices = append(n.notices, notice{e: e, noSenders: true, made: k.made})
		} else {
			k.arm = e
		}
	case rights.Pause, rights.Resume:
		var e *entry
		paused := false
		if p, ok := a.(rights.Pause); ok {
			e, paused = w.entry(n, p.Port, a), true
		} else {
			e = w.entry(n, a.(rights.Resume).Port, a)
		}
		if e == nil {
			return
		}
		if !e.recv {
			w.failf("%v: %T of %v, which is no proxy", n, a, e)
		}
		e.k.paused = paused
		w.isReady(e.k)
	case rights.Watch:
		if e := w.entry(n, a.Port, a); e != nil {
			if e.k.dead {
				n.notices = append(n.notices, notice{e: e})
			} else {
				e.watch = true
			}
		}
	case rights.Drop:
		if i := slices.Index(n.seen, a.Port); i >= 0 && a.Kind == rights.SendOnce {
			n.seen = slices.Delete(n.seen, i, i+1)
			return
		}
		if e := w.entry(n, a.Port, a); e != nil {
			w.drop(n, e, a.Kind)
		}
	case rights.Extinguish:
		if e := w.entry(n, a.Port, a); e != nil {
			w.drop(n, e, rights.SendOnce)
		}
	case rights.Forget:
		if e := w.entry(n, a.Port, a); e != nil {
			w.forget(n, e)
		}
	case rights.Deliver:
		w.order(n, a)
	case rights.Discard:
		m := w.body(a.Body)
		if m.state != inTable || m.at != n {
			w.failf("%v discards %v, which is %v at %v", n, m, m.state, m.at)
			return
		}
		w.truthDestroyed(m, n)
	case rights.Offered:
		e := w.entry(n, a.Port, a)
		p, ok := w.names[a.Peer]
		if e == nil || !ok {
			return
		}
		l := w.link(n.index, p)
		d := l.doors[side(p, n.index)]
		if d == nil {
			w.failf("%v: Offered by %v, which has not", n, a.Peer)
			return
		}
		w.bind(e.k, d)
		e.k.made++
		e.k.sends++
		n.tasks[p%len(n.tasks)].addSend(e.k)
	case rights.Flush:
		if e := w.entry(n, a.Port, a); e != nil {
			w.wait(n, e, delivery{flush: true})
		}
	case rights.Adopt:
		if e := w.entry(n, a.Port, a); e != nil && !e.recv {
			w.failf("%v adopts %v without a receive right", n, e)
		}
	case rights.Yield:
		w.yield(n, a)
	default:
		w.failf("%v: unknown action %T", n, a)
	}
}

func (w *World) kill(n *node, e *entry) {
	k := e.k
	if !e.recv {
		w.failf("%v kills %v, which is no proxy", n, e)
		return
	}
	switch {
	case k.single:
		if k.onces > 0 && k.o != nil && !k.o.astray() && !k.o.g.excused(n) {
			w.failf("right lost: %v kills %v, which is held", n, k)
		}
	case k.g != nil && k.g.at == k:
		w.doom(k.g)
	case k.sends > 0 && k.g != nil && !k.g.excused(n):
		w.failf("right lost: %v kills %v, which has %d senders", n, k, k.sends)
	}
	e.recv, e.killed = false, true
	delete(n.entries, e.port)
	w.destroyPort(k)
	if k.e == e {
		k.e = nil
	}
	if e.refs > 0 {
		w.failf("%v kills %v and keeps %d references", n, e, e.refs)
	}
}

func (w *World) drop(n *node, e *entry, kind rights.Kind) {
	switch kind {
	case rights.Send:
		if e.refs == 0 {
			w.failf("%v drops a send right to %v, which it does not have", n, e)
			return
		}
		e.refs--
		w.releaseSend(e.k)
	case rights.SendOnce:
		if e.once == nil {
			w.failf("%v drops the send-once right %v, which it does not have", n, e)
			return
		}
		o := e.once
		w.loseOnce(n, e)
		w.releaseOnce(e.k, o)
	case rights.Receive:
		if !e.recv {
			w.failf("%v drops the receive right of %v, which it does not have", n, e)
			return
		}
		e.recv = false
		w.doom(e.k.g)
		w.destroyPort(e.k)
	default:
		w.failf("%v drops a right of kind %v", n, kind)
	}
}

// doom notes that a table has destroyed a receive right: it may only do so
// with the message that has it.
func (w *World) doom(g *port) {
	if g.in != nil {
		g.in.doomed = true
	}
}

// loseOnce ends an entry's hold of its send-once right.
func (w *World) loseOnce(n *node, e *entry) {
	e.once, e.watch = nil, false
	if i := slices.Index(n.onceNames, e); i >= 0 {
		n.onceNames = slices.Delete(n.onceNames, i, i+1)
	}
}

func (w *World) forget(n *node, e *entry) {
	if e.recv {
		return // a send-once right to a proxy of this node, which is gone already
	}
	if e.refs > 0 || e.once != nil {
		w.failf("%v forgets %v with %d references", n, e, e.refs)
	}
	e.watch = false
	delete(n.entries, e.port)
	if e.k.e == e {
		e.k.e = nil
	}
}

// order puts a delivery in line.
func (w *World) order(n *node, d rights.Deliver) {
	e := w.entry(n, d.To, d)
	if e == nil {
		return
	}
	if x, ok := w.prepare(n, d); ok {
		w.wait(n, e, x)
	}
}

func (w *World) prepare(n *node, d rights.Deliver) (delivery, bool) {
	m := w.body(d.Message.Body)
	if m.state != inTable || m.at != n {
		w.failf("%v delivers %v, which is %v at %v", n, m, m.state, m.at)
		return delivery{}, false
	}
	if m.doomed {
		w.failf("%v delivers %v and has destroyed a receive right in it", n, m)
	}
	if len(d.Message.Rights) != len(m.rights) {
		w.failf("%v delivers %v with %d rights of %d", n, m, len(d.Message.Rights), len(m.rights))
		return delivery{}, false
	}
	m.state = inAdapter
	x := delivery{d: d}
	if len(m.rights) > 0 {
		x.rights = make([]*entry, len(m.rights))
		x.early = make([]bool, len(m.rights))
	}
	for i, r := range d.Message.Rights {
		if r.Kind == rights.Send || r.Kind == rights.SendOnce || r.Kind == rights.Receive {
			e := w.entry(n, r.Port, d)
			if e == nil {
				return x, false
			}
			x.rights[i] = e
			x.early[i] = w.take(n, m, e, r.Kind, &m.rights[i])
		}
	}
	if d.Once {
		e := n.entries[d.To]
		if e.once == nil || m.via != e.once {
			w.failf("%v delivers %v by %v", n, m, e)
			return x, false
		}
		w.loseOnce(n, e)
	}
	return x, w.fail == nil
}

// take has the adapter get hold of a right for a delivery that may have to wait:
// what the table says next it may say on the assumption that it is done.
func (w *World) take(n *node, m *message, e *entry, kind rights.Kind, r *mright) bool {
	switch kind {
	case rights.Send:
		if !e.recv {
			if e.refs == 0 {
				w.failf("%v delivers %v with a right to %v, which it does not have", n, m, e)
			}
			e.k.sends++
			return true
		}
		if !w.cfg.LateMake {
			e.k.made++
			e.k.sends++
			w.bind(e.k, r.g)
			return true
		}
	case rights.SendOnce:
		if !e.recv {
			if e.once == nil || e.once != r.o {
				w.failf("identity: %v delivers %v with %v for %v", n, m, e, r.o)
				return false
			}
			w.loseOnce(n, e)
			return true
		}
		if !e.k.single || e.k.o != nil {
			w.failf("%v makes a send-once right of %v", n, e)
			return false
		}
		e.k.o, e.k.g = r.o, r.o.g
		e.k.onces++
		return true
	case rights.Receive:
		w.bind(e.k, r.g)
	}
	return false
}

func (w *World) wait(n *node, e *entry, d delivery) {
	e.queue = append(e.queue, d)
	if !e.listed {
		e.listed = true
		n.waiting = append(n.waiting, e)
	}
}

// deliverNext does the oldest delivery to a port, if it can be done.
func (w *World) deliverNext(n *node, e *entry) bool {
	d := e.queue[0]
	k := e.k
	if !d.flush && !d.d.Once && !k.dead && len(k.queue) >= k.limit {
		return false
	}
	if e.queue = e.queue[1:]; len(e.queue) == 0 {
		e.queue = nil
		e.listed = false
		n.waiting = slices.DeleteFunc(n.waiting, func(x *entry) bool { return x == e })
	}
	if d.flush {
		if !k.dead {
			w.enqueue(k, &message{num: -1, marker: e, src: n})
		}
		return true
	}
	m := w.body(d.d.Message.Body)
	if d.d.Once {
		k.onces--
	} else {
		if k.g != m.dest {
			w.failf("%v delivers %v to %v", n, m, e)
			return true
		}
		if e.refs == 0 && !e.recv && !k.dead {
			w.failf("%v delivers %v to %v without a right", n, m, e)
			return true
		}
	}
	w.build(n, m, d)
	n.deferred = append(n.deferred, d.d.Delivery)
	if w.fail != nil {
		return true
	}
	w.settle(m, false)
	m.state = queued
	if m.via == nil {
		k.sends++
	}
	if k.dead {
		w.destroyQueued(k, m)
	} else {
		w.enqueue(k, m)
	}
	return true
}

// build makes the rights of a message for the kernel.
func (w *World) build(n *node, m *message, d delivery) {
	for i, e := range d.rights {
		r, l := &m.rights[i], d.d.Message.Rights[i]
		if l.Kind != r.kind && !(l.Kind == rights.Dead && w.mayBeDead(n, *r)) {
			w.failf("right lost: %v delivers %v with right %d %v as %v", n, m, i, *r, l.Kind)
			return
		}
		if l.Kind == rights.Dead || l.Kind == rights.Null {
			w.rightDies(r)
			continue
		}
		k := e.k
		r.k = k
		switch l.Kind {
		case rights.Send:
			w.bind(k, r.g)
			if !d.early[i] && !e.killed {
				k.made++
				k.sends++
			}
			if e.killed || k.dead {
				if !r.g.excused(n) {
					w.failf("right lost: %v delivers %v with %v, which is dead", n, m, e)
				}
				w.rightDies(r)
			}
		case rights.SendOnce:
			if e.killed || k.dead {
				if !r.o.astray() && !r.g.excused(n) {
					w.failf("right lost: %v delivers %v with %v, which is dead", n, m, e)
				}
				w.rightDies(r)
			}
		case rights.Receive:
			if k.recv != inMessage || e.recv {
				w.failf("%v delivers the receive right of %v without Yield", n, e)
				return
			}
			w.bind(k, r.g)
			if k.dead {
				w.rightDies(r)
				continue
			}
			k.made = 0
			k.paused = false
			r.g.at = k
		}
		if w.fail != nil {
			return
		}
	}
}

// mayBeDead says whether a right may come out as a dead name at a node.
func (w *World) mayBeDead(n *node, r mright) bool {
	switch r.kind {
	case rights.Send, rights.Receive:
		return r.g.excused(n) || r.cut
	case rights.SendOnce:
		return r.g.excused(n) || r.o.astray()
	}
	return r.kind == rights.Dead
}

// rightDies turns a right of a message that is between kernels into a dead name.
func (w *World) rightDies(r *mright) {
	switch r.kind {
	case rights.Send:
		r.g.transit--
	case rights.SendOnce:
		r.o.state = onceDropped
	case rights.Receive:
		if r.g.in != nil && r.g.at == nil {
			w.truePortDies(r.g)
		}
	case rights.Null:
		return
	}
	*r = mright{kind: rights.Dead}
}

func (w *World) yield(n *node, a rights.Yield) {
	e := w.entry(n, a.Port, a)
	if e == nil {
		return
	}
	if !e.recv {
		w.failf("%v yields %v, which is no proxy", n, e)
		return
	}
	k := e.k
	rest := k.queue
	k.queue = nil
	for _, d := range a.Front {
		x, ok := w.prepare(n, d)
		if !ok {
			return
		}
		m := w.body(d.Message.Body)
		w.bind(k, m.dest)
		w.build(n, m, x)
		if w.fail != nil {
			return
		}
		n.deferred = append(n.deferred, d.Delivery)
		w.settle(m, false)
		if m.via == nil {
			k.sends++
		}
		w.enqueue(k, m)
	}
	if n.handFrom == e {
		m := n.hand
		n.hand, n.handFrom = nil, nil
		if m.via == nil {
			k.sends++
		}
		w.enqueue(k, m)
	}
	for _, m := range rest {
		if m.marker != nil {
			w.failf("%v yields %v with a marker in its queue", n, e)
			return
		}
	}
	k.queue = append(k.queue, rest...)
	w.isReady(k)
	e.recv = false
	e.refs++
	k.sends++
	k.recv = inMessage
	k.arm = nil
	k.paused = false
	n.notices = slices.DeleteFunc(n.notices, func(x notice) bool { return x.e == e && x.noSenders })
}

// deliverAll does all deliveries that can be done.
func (w *World) deliverAll(n *node) {
	for i := 0; i < len(n.waiting) && w.fail == nil; {
		e := n.waiting[i]
		for len(e.queue) > 0 && w.fail == nil && w.deliverNext(n, e) {
		}
		if i < len(n.waiting) && n.waiting[i] == e {
			i++
		}
	}
}

// notify gives a notification of the kernel to the table.
func (w *World) notify(n *node, i int) {
	x := n.notices[i]
	n.notices = slices.Delete(n.notices, i, i+1)
	if n.entries[x.e.port] != x.e {
		return
	}
	if x.noSenders {
		w.tracef("    %v: NoSenders(%v, %d)", n, x.e, x.made)
		n.table.NoSenders(x.e.port, x.made)
	} else {
		w.tracef("    %v: Died(%v)", n, x.e)
		n.table.Died(x.e.port)
	}
	w.run(n)
}
