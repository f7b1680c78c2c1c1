package sim

import (
	"fmt"

	"hurdlab/netmsg/rights"
)

// A kport is a port of one model kernel. Its receiver is a task, or netmsg (then
// it is a proxy), or nobody yet because the receive right is in a message.
type kport struct {
	node *node
	g    *port // the true port that it stands for; nil while nobody has a right to it
	o    *once // of the proxy of a send-once right: the true right
	dead bool

	recv   int // the task, or byNetmsg or inMessage
	queue  []*message
	ready  bool // in node.ready
	limit  int
	sends  int // send rights, wherever they are on this node
	onces  int // send-once rights, likewise
	made   uint32
	arm    *entry // who has asked for no-senders
	e      *entry // netmsg's name for it, by a send or the receive right
	paused bool
	single bool // made for one send-once right
}

const (
	byNetmsg  = -1
	inMessage = -2
)

// proxy says whether messages to the port come to netmsg.
func (k *kport) proxy() bool { return k.recv == byNetmsg }

func (k *kport) String() string {
	switch {
	case k == nil:
		return "no port"
	case k.o != nil:
		return fmt.Sprintf("%v:%v", k.node, k.o)
	case k.g != nil:
		return fmt.Sprintf("%v:%v", k.node, k.g)
	}
	return fmt.Sprintf("%v:?", k.node)
}

// Where a message is.
type state uint8

const (
	queued    state = iota // in a port's queue
	inHand                 // received by netmsg, not yet given to the table
	inTable                // the table's
	inRecord               // in a session
	inAdapter              // a delivery waits
	received               // by a task
	destroyed
	lost // with a session
)

var stateNames = [...]string{"queued", "in hand", "in a table", "in a record", "waiting for delivery", "received", "destroyed", "lost"}

func (s state) String() string { return stateNames[s] }

// A body stands for a message in the tables, so that what is said about it beside
// the protocol is at hand wherever it comes out.
type body struct{ index, size int }

// Size implements rights.Body.
func (b body) Size() int { return b.size }

// embody gives a message to the tables.
func (w *World) embody(m *message) rights.Body {
	if m.body == nil {
		m.body = body{len(w.bodies), m.size}
		w.bodies = append(w.bodies, m)
	}
	return m.body
}

func (w *World) body(b rights.Body) *message { return w.bodies[b.(body).index] }

// A message is what tasks send.
type message struct {
	body   rights.Body
	num    int32
	src    *node
	epoch  uint64 // of src
	dest   *port
	via    *once // nil if it was sent to a send right
	seq    int   // among those of src to dest
	note   bool  // the kernel's word that via has been destroyed
	marker *entry
	size   int
	rights []mright
	state  state
	at     *node // of inHand to inAdapter; the sender of inRecord
	toNode int   // where it goes, of inRecord
	doomed bool  // a table has destroyed a receive right in it
	list   int   // index in World.moving, + 1
}

func (m *message) String() string {
	switch {
	case m.marker != nil:
		return "marker"
	case m.note:
		return fmt.Sprintf("note(%v)", m.via)
	case m.via != nil:
		return fmt.Sprintf("m%d(%v)", m.num, m.via)
	}
	return fmt.Sprintf("m%d(%v)", m.num, m.dest)
}

// An mright is a right in a message: what it truly is, and, while a kernel has the
// message, the kernel's port.
type mright struct {
	kind rights.Kind
	g    *port
	o    *once
	k    *kport
	cut  bool // whoever put it into a record may have lost it
}

func (r mright) String() string {
	switch r.kind {
	case rights.SendOnce:
		return fmt.Sprint(r.o)
	case rights.Send, rights.Receive:
		return fmt.Sprintf("%v %v", r.kind, r.g)
	}
	return r.kind.String()
}

// A task holds rights.
type task struct {
	sends []sendRight
	onces []onceRight
}

type sendRight struct {
	k *kport
	n int
}

type onceRight struct {
	k *kport
	o *once
}

func (t *task) addSend(k *kport) {
	for i := range t.sends {
		if t.sends[i].k == k {
			t.sends[i].n++
			return
		}
	}
	t.sends = append(t.sends, sendRight{k, 1})
}

// send returns the task's send right to a true port, preferring a living name.
func (t *task) send(g *port) *kport {
	var dead *kport
	for _, s := range t.sends {
		if s.k.g == g {
			if !s.k.dead {
				return s.k
			}
			dead = s.k
		}
	}
	return dead
}

func (t *task) takeSend(k *kport) {
	for i := range t.sends {
		if t.sends[i].k == k {
			if t.sends[i].n--; t.sends[i].n == 0 {
				t.sends[i] = t.sends[len(t.sends)-1]
				t.sends = t.sends[:len(t.sends)-1]
			}
			return
		}
	}
}

func (t *task) once(o *once) int {
	for i := range t.onces {
		if t.onces[i].o == o {
			return i
		}
	}
	return -1
}

func (t *task) takeOnce(i int) onceRight {
	r := t.onces[i]
	t.onces[i] = t.onces[len(t.onces)-1]
	t.onces = t.onces[:len(t.onces)-1]
	return r
}

// A notice is a notification that the kernel has sent and netmsg has not looked at.
type notice struct {
	e         *entry
	noSenders bool // else: dead name
	made      uint32
}

// releaseSend ends one send right.
func (w *World) releaseSend(k *kport) {
	if k.sends--; k.sends < 0 {
		w.failf("%v: send rights below zero", k)
		return
	}
	if k.sends > 0 || k.dead {
		return
	}
	if k.arm != nil {
		k.node.notices = append(k.node.notices, notice{e: k.arm, noSenders: true, made: k.made})
		w.tracef("    kernel: %v has no senders, %d made", k, k.made)
		k.arm = nil
	}
	if k.recv >= 0 && k.g != nil && k.g.at == k {
		w.checkNoSenders(k.g)
	}
}

// releaseOnce destroys a send-once right unused: its receiver is told.
func (w *World) releaseOnce(k *kport, o *once) {
	k.onces--
	if k.dead {
		return
	}
	w.enqueue(k, &message{num: -1, src: k.node, epoch: k.node.epoch, dest: o.g, via: o, note: true})
}

func (w *World) enqueue(k *kport, m *message) {
	m.state = queued
	k.queue = append(k.queue, m)
	w.isReady(k)
}

func (w *World) isReady(k *kport) {
	if !k.ready && len(k.queue) > 0 {
		k.ready = true
		k.node.ready = append(k.node.ready, k)
	}
}

func (w *World) dequeue(k *kport) *message {
	m := k.queue[0]
	k.queue[0] = nil
	if k.queue = k.queue[1:]; len(k.queue) == 0 {
		k.queue = nil
	}
	return m
}

// destroyPort ends a port: it happens when its receive right is destroyed.
func (w *World) destroyPort(k *kport) {
	if k.dead {
		return
	}
	w.tracef("    kernel: %v dies", k)
	k.dead = true
	if k.g != nil && k.g.at == k {
		w.truePortDies(k.g)
	}
	n := k.node
	k.arm = nil
	if e := k.e; e != nil && e.watch {
		e.watch = false
		n.notices = append(n.notices, notice{e: e})
	}
	for _, e := range n.onceNames {
		if e.k == k && e.watch {
			e.watch = false
			n.notices = append(n.notices, notice{e: e})
		}
	}
	q := k.queue
	k.queue = nil
	for _, m := range q {
		w.destroyQueued(k, m)
	}
}

// destroyQueued destroys a message which a kernel has, with all rights in it.
func (w *World) destroyQueued(k *kport, m *message) {
	if m.marker != nil {
		return
	}
	if m.via == nil && !m.note {
		w.releaseSend(k)
	}
	w.truthDestroyed(m, k.node)
	for i := range m.rights {
		r := m.rights[i]
		switch r.kind {
		case rights.Send:
			w.releaseSend(r.k)
		case rights.SendOnce:
			w.releaseOnce(r.k, r.o)
		case rights.Receive:
			w.destroyPort(r.k)
		}
	}
}

// newPort makes a kernel port.
func (w *World) newPort(n *node, recv int) *kport {
	return &kport{node: n, recv: recv, limit: w.cfg.QueueLimit}
}
