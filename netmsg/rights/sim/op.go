package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hurdlab/netmsg/rights"
)

// A Verb is a kind of operation.
type Verb uint8

// The operations. N is a node, T a task of it, P another node, A and B numbers of
// true ports, rights or messages, or counts.
const (
	Create   Verb = iota // task T of N makes port A
	SendTo               // T sends message B, with Rights, by its send right to port A
	Reply                // T sends message B, with Rights, by its send-once right A
	Take                 // the receiver of port A on N receives a message
	Share                // task T gives task P of the same node a send right to port A
	DropSend             // T drops a send right to port A
	DropOnce             // T drops send-once right A
	Destroy              // the receiver of port A on N destroys it
	Die                  // T dies with all its rights

	Read    // netmsg of N receives from its proxy of port A, or of send-once right B
	Give    // and gives what it has received to its table
	Notify  // a notification of the kernel of N about port A reaches netmsg; B: about send-once right B
	Handle  // netmsg of N does the oldest delivery to port A, or by send-once right B
	Record  // the oldest record from N to P arrives
	Break   // the session of N and P breaks; A and B more records arrive
	Notice  // N notices that its session with P is broken
	Dial    // N asks for a session with P
	Answer  // what N has dialled, P, answers or does not
	Offer   // N offers its door to P
	Cut     // N and P are parted
	Heal    // and together again
	Crash   // N stops
	Restart // and starts anew
	Settle  // everything that can happen without the tasks, or by their receiving, happens
	verbs
)

var verbNames = [...]string{"create", "send", "reply", "take", "share", "drop", "drop-once", "destroy", "die",
	"read", "give", "notify", "deliver", "record", "break", "notice", "dial", "answer", "offer", "cut", "heal", "crash", "restart", "settle"}

func (v Verb) String() string { return verbNames[v] }

// An Op is one operation. It says all by names that do not change when other
// operations are left out: what cannot be done then is not done.
type Op struct {
	Verb    Verb
	N, T, P uint8
	Eager   bool // deliveries are done at once
	A, B    int32
	Rights  []OpRight
}

// An OpRight is a right in a message of a task.
type OpRight struct {
	How How
	ID  int32 // of the true port, or the send-once right
	O   int32 // of the new send-once right, of MakeOnce
}

// How says where a right in a message comes from.
type How uint8

const (
	PutNull     How = iota
	PutDead         // a dead name
	CopySend        // of the task's send right
	MoveSend        // the task's send right
	MakeSend        // from the task's receive right
	MakeOnce        // likewise: a new send-once right
	MoveOnce        // the task's send-once right
	MoveReceive     // the task's receive right
	hows
)

var howNames = [...]string{"null", "dead", "copy", "move", "make", "make-once", "move-once", "move-receive"}

func (h How) String() string { return howNames[h] }

func (o Op) String() string {
	var b strings.Builder
	b.WriteString(o.Verb.String())
	if o.Verb == Settle {
		return b.String()
	}
	fmt.Fprintf(&b, " %c", 'a'+o.N)
	switch o.Verb {
	case Create, SendTo, Reply, DropSend, DropOnce, Die, Share:
		fmt.Fprintf(&b, ".%d", o.T)
	}
	switch o.Verb {
	case Record, Break, Notice, Dial, Answer, Offer, Cut, Heal:
		fmt.Fprintf(&b, " %c", 'a'+o.P)
	case Share:
		fmt.Fprintf(&b, " %d", o.P)
	}
	switch o.Verb {
	case Create, Take, DropSend, DropOnce, Destroy, Share:
		fmt.Fprintf(&b, " %d", o.A)
	case SendTo, Reply, Read, Notify, Handle, Break:
		fmt.Fprintf(&b, " %d %d", o.A, o.B)
	}
	for _, r := range o.Rights {
		fmt.Fprintf(&b, " %v", r.How)
		if r.How > PutDead {
			fmt.Fprintf(&b, ":%d", r.ID)
		}
		if r.How == MakeOnce {
			fmt.Fprintf(&b, ":%d", r.O)
		}
	}
	if o.Eager {
		b.WriteString(" !")
	}
	return b.String()
}

// ParseOp reads what String has written.
func ParseOp(s string) (Op, error) {
	f := strings.Fields(s)
	bad := fmt.Errorf("not an operation: %q", s)
	if len(f) == 0 {
		return Op{}, bad
	}
	var o Op
	for o.Verb = 0; o.Verb < verbs && verbNames[o.Verb] != f[0]; o.Verb++ {
	}
	if o.Verb == verbs {
		return o, bad
	}
	if o.Verb == Settle {
		return o, nil
	}
	if f = f[1:]; len(f) == 0 {
		return o, bad
	}
	node := func(s string) uint8 { return s[0] - 'a' }
	o.N = node(f[0])
	if _, t, ok := strings.Cut(f[0], "."); ok {
		x, err := strconv.Atoi(t)
		if err != nil {
			return o, bad
		}
		o.T = uint8(x)
	}
	f = f[1:]
	switch o.Verb {
	case Record, Break, Notice, Dial, Answer, Offer, Cut, Heal:
		if len(f) == 0 {
			return o, bad
		}
		o.P = node(f[0])
		f = f[1:]
	case Share:
		if len(f) == 0 {
			return o, bad
		}
		x, err := strconv.Atoi(f[0])
		if err != nil {
			return o, bad
		}
		o.P = uint8(x)
		f = f[1:]
	}
	nums := 0
	for _, x := range f {
		if x == "!" {
			o.Eager = true
		} else if v, err := strconv.ParseInt(x, 10, 32); err == nil {
			if nums++; nums == 1 {
				o.A = int32(v)
			} else {
				o.B = int32(v)
			}
		} else {
			p := strings.Split(x, ":")
			var r OpRight
			for r.How = 0; r.How < hows && howNames[r.How] != p[0]; r.How++ {
			}
			if r.How == hows {
				return o, bad
			}
			for i, to := range []*int32{&r.ID, &r.O} {
				if len(p) > i+1 {
					v, err := strconv.ParseInt(p[i+1], 10, 32)
					if err != nil {
						return o, bad
					}
					*to = int32(v)
				}
			}
			o.Rights = append(o.Rights, r)
		}
	}
	return o, nil
}

// Do does an operation. It says whether there was anything to be done.
func (w *World) Do(o Op) bool {
	if w.fail != nil || int(o.N) >= len(w.nodes) {
		return false
	}
	w.step++
	if w.try(o) {
		return true
	}
	w.step--
	return false
}

func (w *World) try(o Op) bool {
	w.eager = o.Eager
	n := w.nodes[o.N]
	if n.down && o.Verb != Restart && o.Verb != Heal && o.Verb != Cut && o.Verb != Settle {
		return false
	}
	if w.cfg.Trace != nil {
		w.tracef("%4d %v", w.step, o)
	}
	switch o.Verb {
	case Create, SendTo, Reply, DropSend, DropOnce, Die, Share:
		if int(o.T) >= len(n.tasks) || o.Verb == Share && (int(o.P) >= len(n.tasks) || o.P == o.T) {
			return false
		}
		return w.doTask(n, &n.tasks[o.T], o)
	case Take:
		g := w.ports[o.A]
		if g == nil || g.at == nil || g.at.node != n || g.at.recv < 0 || len(g.at.queue) == 0 {
			return false
		}
		w.take1(g.at)
		n.tidy()
		return w.deliverEager(n)
	case Destroy:
		g := w.ports[o.A]
		if g == nil || g.at == nil || g.at.node != n || g.at.recv < 0 || g == n.door {
			return false
		}
		w.destroyPort(g.at)
		return true
	case Read:
		if n.hand != nil {
			return false
		}
		for i, k := range n.ready {
			if len(k.queue) > 0 && w.readable(k) && keyed(k, o.A, o.B) {
				w.unready(n, i)
				w.read(k)
				w.isReady(k)
				if o.Eager {
					w.give(n)
				}
				n.tidy()
				return true
			}
		}
		return false
	case Give:
		if n.hand == nil {
			return false
		}
		w.give(n)
		return true
	case Notify:
		for i, x := range n.notices {
			if keyed(x.e.k, o.A, o.B) && w.noticeable(n, x) {
				w.notify(n, i)
				return true
			}
		}
		return false
	case Handle:
		for _, e := range n.waiting {
			if keyed(e.k, o.A, o.B) {
				if !w.deliverNext(n, e) {
					return false
				}
				w.run(n)
				return true
			}
		}
		return false
	case Restart:
		if !n.down {
			return false
		}
		w.start(n)
		return true
	case Crash:
		w.crash(n)
		return true
	case Settle:
		w.settleAll()
		n.tidy()
		return true
	}
	if int(o.P) >= len(w.nodes) || o.P == o.N {
		return false
	}
	x, y := int(o.N), int(o.P)
	l, s := w.link(x, y), side(x, y)
	switch o.Verb {
	case Record:
		if !w.arrivable(l, s) {
			return false
		}
		w.receive(x, y)
	case Break:
		if l.broken || l.ends[0] == idle && l.ends[1] == idle {
			return false
		}
		w.breakLink(l, [2]int{int(o.A), int(o.B)})
	case Notice:
		if !l.broken || l.ends[s] == idle {
			return false
		}
		w.notice(x, y)
	case Dial:
		if l.ends[s] != idle || l.dial[s] {
			return false
		}
		l.dial[s] = true
	case Answer:
		if !l.dial[s] {
			return false
		}
		w.answer(x, y)
	case Offer:
		if l.ends[s] != open || l.offered[s] {
			return false
		}
		w.offer(x, y)
	case Cut:
		if l.cut {
			return false
		}
		l.cut = true
	case Heal:
		if !l.cut {
			return false
		}
		l.cut = false
	}
	return true
}

func keyed(k *kport, g, o int32) bool {
	if o != 0 {
		return k.o != nil && k.o.id == o
	}
	return !k.single && (k.g != nil && k.g.id == g || k.g == nil && g == 0)
}

// key is what keyed finds it by.
func key(k *kport) (g, o int32) {
	switch {
	case k.single && k.o != nil:
		return 0, k.o.id
	case k.g != nil:
		return k.g.id, 0
	}
	return 0, 0
}

func (w *World) readable(k *kport) bool {
	return !k.dead && k.recv == byNetmsg && !k.paused
}

func (w *World) unready(n *node, i int) {
	n.ready[i].ready = false
	n.ready[i] = n.ready[len(n.ready)-1]
	n.ready = n.ready[:len(n.ready)-1]
}

// noticeable says whether the adapter looks at a notification: at one that there
// are no senders only when there are no messages from them, and no send-once
// rights either, which a port that has been adopted may have.
func (w *World) noticeable(n *node, x notice) bool {
	return !x.noSenders || len(x.e.k.queue) == 0 && n.handFrom != x.e && x.e.k.onces == 0
}

// tidy forgets what is no longer ready.
func (n *node) tidy() {
	if len(n.ready) > 8 {
		n.ready = slices.DeleteFunc(n.ready, func(k *kport) bool {
			if k.dead || len(k.queue) == 0 || k.recv == byNetmsg && k.paused {
				k.ready = false
				return true
			}
			return false
		})
	}
	if len(n.real) > 16 {
		n.compact()
	}
}

func (w *World) arrivable(l *link, s int) bool {
	return len(l.pipes[s]) > 0 && !l.cut && !w.nodes[l.node(1-s)].down
}

func (w *World) deliverEager(n *node) bool {
	if w.eager && len(n.waiting) > 0 {
		w.deliverAll(n)
		w.run(n)
	}
	return true
}

// take1 has a task receive a message: its rights are the task's.
func (w *World) take1(k *kport) {
	n := k.node
	m := w.dequeue(k)
	w.receivedBy(k, m)
	t := &n.tasks[k.recv]
	for i := range m.rights {
		r := &m.rights[i]
		switch r.kind {
		case rights.Send:
			t.addSend(r.k)
		case rights.SendOnce:
			t.onces = append(t.onces, onceRight{r.k, r.o})
		case rights.Receive:
			r.g.in = nil
			r.k.recv = k.recv
			n.real = append(n.real, r.g)
			w.isReady(r.k)
		}
	}
	if m.via == nil {
		w.releaseSend(k)
	}
	w.tracef("    %v.%d receives %v %v", n, k.recv, m, m.rights)
}

func (w *World) doTask(n *node, t *task, o Op) bool {
	switch o.Verb {
	case Create:
		return w.create(n, int(o.T), o.A) != nil
	case Share:
		k := w.sendable(t, o.A)
		if k == nil {
			return false
		}
		k.sends++
		n.tasks[o.P].addSend(k)
	case DropSend:
		g := w.ports[o.A]
		if g == nil {
			return false
		}
		k := t.send(g)
		if k == nil {
			return false
		}
		t.takeSend(k)
		w.releaseSend(k)
	case DropOnce:
		x := w.onceRef[o.A]
		i := t.once(x)
		if x == nil || i < 0 {
			return false
		}
		w.dropOnce(t, i)
	case Die:
		w.taskDies(n, int(o.T))
	case SendTo:
		k := w.sendable(t, o.A)
		if k == nil || len(k.queue) >= k.limit {
			return false
		}
		m := &message{num: o.B, src: n, epoch: n.epoch, dest: k.g, size: 1 + int(o.B)*37%97}
		w.putRights(n, t, int(o.T), m, k, o.Rights)
		k.g.seq[n.index]++
		m.seq = k.g.seq[n.index]
		k.sends++
		w.enqueue(k, m)
	case Reply:
		x := w.onceRef[o.A]
		i := t.once(x)
		if x == nil || i < 0 {
			return false
		}
		if t.onces[i].k.dead {
			w.dropOnce(t, i)
			return true
		}
		r := t.takeOnce(i)
		m := &message{num: o.B, src: n, epoch: n.epoch, dest: x.g, via: x, size: 1 + int(o.B)*37%97}
		w.putRights(n, t, int(o.T), m, r.k, o.Rights)
		x.state = onceSent
		r.k.onces--
		w.enqueue(r.k, m)
	}
	return true
}

// sendable is the port of a task's living send right.
func (w *World) sendable(t *task, id int32) *kport {
	g := w.ports[id]
	if g == nil {
		return nil
	}
	if k := t.send(g); k != nil && !k.dead {
		return k
	}
	return nil
}

func (w *World) dropOnce(t *task, i int) {
	r := t.takeOnce(i)
	r.o.state = onceDropped
	w.releaseOnce(r.k, r.o)
}

func (w *World) taskDies(n *node, i int) {
	t := &n.tasks[i]
	for len(t.sends) > 0 {
		k := t.sends[0].k
		t.takeSend(k)
		w.releaseSend(k)
	}
	for len(t.onces) > 0 {
		w.dropOnce(t, 0)
	}
	for j := 0; j < len(n.real); j++ {
		if g := n.real[j]; g.at != nil && g.at.node == n && g.at.recv == i && g != n.door {
			w.destroyPort(g.at)
		}
	}
	n.compact()
}

// putRights takes rights from a task for a message.
func (w *World) putRights(n *node, t *task, ti int, m *message, to *kport, list []OpRight) {
	if len(list) == 0 {
		return
	}
	m.rights = make([]mright, 0, len(list))
	for _, x := range list {
		r := mright{}
		g := w.ports[x.ID]
		switch x.How {
		case PutDead:
			r.kind = rights.Dead
		case CopySend, MoveSend:
			if k := w.sendable(t, x.ID); k != nil {
				r = mright{kind: rights.Send, g: g, k: k}
				if x.How == MoveSend {
					t.takeSend(k)
				} else {
					k.sends++
				}
			}
		case MakeSend, MakeOnce, MoveReceive:
			if g == nil || g.at == nil || g.at.node != n || g.at.recv != ti || g == n.door && x.How == MoveReceive {
				break
			}
			k := g.at
			switch x.How {
			case MakeSend:
				k.made++
				k.sends++
				r = mright{kind: rights.Send, g: g, k: k}
			case MakeOnce:
				if w.onceRef[x.O] != nil {
					break
				}
				y := &once{id: x.O, g: g, at: n}
				w.onceRef[x.O] = y
				w.onceList = append(w.onceList, y)
				k.onces++
				r = mright{kind: rights.SendOnce, g: g, o: y, k: k}
			case MoveReceive:
				if w.circular(g, m.dest) {
					break
				}
				k.recv, k.made = inMessage, 0
				g.in = m
				r = mright{kind: rights.Receive, g: g, k: k}
			}
		case MoveOnce:
			if y := w.onceRef[x.ID]; y != nil {
				if i := t.once(y); i >= 0 && !(t.onces[i].k == to && m.via == y) {
					h := t.takeOnce(i)
					if h.k.dead {
						y.state = onceDropped
						r.kind = rights.Dead
					} else {
						r = mright{kind: rights.SendOnce, g: y.g, o: y, k: h.k}
					}
				}
			}
		}
		m.rights = append(m.rights, r)
	}
}

// circular says whether a receive right would end up in a message that can only be
// received by it. A kernel would not have that either.
func (w *World) circular(g, dest *port) bool {
	for dest != nil {
		if dest == g {
			return true
		}
		if dest.in == nil {
			return false
		}
		dest = dest.in.dest
	}
	return false
}
