package sim

import (
	"bytes"
	"fmt"
	"strings"

	"hurdlab/internal/simulation"
	"hurdlab/netmsg/rights"
)

// Bounds are how much the tasks and the network may do in an exploration.
type Bounds struct {
	Sends  int // messages, each with at most one right
	Drops  int // send rights dropped one at a time
	Deaths int // ports destroyed
	Losses int // sessions broken
	Moves  int // receive rights in messages
	Onces  int // send-once rights in messages
	States int // to give up after; 0: none
}

func (b Bounds) String() string {
	return fmt.Sprintf("%d sends, %d drops, %d deaths, %d losses, %d moves, %d send-once rights", b.Sends, b.Drops, b.Deaths, b.Losses, b.Moves, b.Onces)
}

// explorePrefix is how an exploration starts: ports 1 at a and 2 at b, and c has a
// right to each.
const explorePrefix = `dial a b
dial b c
dial a c
settle
offer c a
offer c b
create a.0 1
create b.0 2
settle
send a.0 -3 901 make:1
send b.0 -3 902 make:2
settle
drop a.0 -3
drop b.0 -3
settle`

// Explore tries all orders in which three nodes, whose tasks do what they like
// within bounds, can see records, notifications, messages and deliveries. A failure
// is as short as can be.
func Explore(b Bounds, c Config) (simulation.Explored, *Failure) {
	c.Nodes, c.Tasks, c.CheckEvery = 3, 1, 1
	var prefix []Op
	for line := range strings.Lines(explorePrefix) {
		o, err := ParseOp(line)
		if err != nil {
			panic(err)
		}
		prefix = append(prefix, o)
	}
	w := NewWorld(c)
	for _, o := range prefix {
		w.Do(o)
	}
	if w.fail != nil {
		return simulation.Explored{}, &Failure{Config: c, Ops: prefix, Violation: w.fail}
	}
	x := simulation.Search[*World, Op, Bounds]{
		Most:      b.States,
		Clone:     (*World).clone,
		Do:        (*World).Do,
		Failed:    func(w *World) bool { return w.fail != nil },
		Finish:    func(w *World) { w.Finish() },
		Happening: (*World).happening,
		Choose:    b.choose,
		Count:     func(used Bounds, o Op) Bounds { used.count(o); return used },
		AppendState: func(buf []byte, w *World) []byte {
			b := bytes.NewBuffer(buf)
			w.dump(b)
			return b.Bytes()
		},
	}
	e, w, ops := x.Run(w)
	if w != nil {
		return e, &Failure{Config: c, Ops: append(prefix, ops...), Violation: w.fail}
	}
	return e, nil
}

// count takes what an operation does of the bounds as used.
func (b *Bounds) count(o Op) {
	switch o.Verb {
	case SendTo, Reply:
		b.Sends++
	case DropSend:
		b.Drops++
	case Destroy:
		b.Deaths++
	case Break:
		b.Losses++
	}
	for _, r := range o.Rights {
		switch r.How {
		case MoveReceive:
			b.Moves++
		case MakeOnce:
			b.Onces++
		}
	}
}

// choose returns what tasks, and fate, may do.
func (b Bounds) choose(w *World, used Bounds) (ops []Op) {
	for _, n := range w.nodes {
		t := &n.tasks[0]
		var own []int32
		for _, g := range n.real {
			if g.id > 0 && g.at != nil && g.at.node == n && g.at.recv == 0 {
				own = append(own, g.id)
			}
		}
		// What may go into a message.
		cargo := [][]OpRight{nil}
		for _, s := range t.sends {
			if !s.k.dead {
				cargo = append(cargo, []OpRight{{How: MoveSend, ID: s.k.g.id}})
			}
		}
		for _, id := range own {
			cargo = append(cargo, []OpRight{{How: MakeSend, ID: id}})
			if used.Onces < b.Onces {
				cargo = append(cargo, []OpRight{{How: MakeOnce, ID: id, O: int32(1 + n.index*10 + used.Onces)}})
			}
			if used.Moves < b.Moves {
				cargo = append(cargo, []OpRight{{How: MoveReceive, ID: id}})
			}
		}
		for _, o := range t.onces {
			cargo = append(cargo, []OpRight{{How: MoveOnce, ID: o.o.id}})
		}
		num := int32(used.Sends + 1)
		for _, s := range t.sends {
			if s.k.dead {
				continue
			}
			if used.Sends < b.Sends && len(s.k.queue) < s.k.limit {
				for _, r := range cargo {
					ops = append(ops, Op{Verb: SendTo, N: uint8(n.index), A: s.k.g.id, B: num, Rights: r})
				}
			}
			if used.Drops < b.Drops {
				ops = append(ops, Op{Verb: DropSend, N: uint8(n.index), A: s.k.g.id})
			}
		}
		for _, o := range t.onces {
			if used.Sends < b.Sends {
				ops = append(ops, Op{Verb: Reply, N: uint8(n.index), A: o.o.id, B: num})
			}
		}
		if used.Deaths < b.Deaths {
			for _, id := range own {
				ops = append(ops, Op{Verb: Destroy, N: uint8(n.index), A: id})
			}
		}
	}
	if used.Losses < b.Losses {
		for _, l := range w.links {
			if l != nil && !l.broken && l.ends[0] != idle {
				ops = append(ops, Op{Verb: Break, N: uint8(l.a), P: uint8(l.b)})
				if len(l.pipes[0])+len(l.pipes[1]) > 0 {
					ops = append(ops, Op{Verb: Break, N: uint8(l.a), P: uint8(l.b), A: 99, B: 99})
				}
			}
		}
	}
	return ops
}

// happening returns what can happen by itself.
func (w *World) happening() (ops []Op) {
	for i := range w.nodes {
		for p := range w.nodes {
			if i == p {
				continue
			}
			l, s := w.link(i, p), side(i, p)
			o := Op{N: uint8(i), P: uint8(p), Eager: true}
			if w.arrivable(l, s) {
				o.Verb = Record
				ops = append(ops, o)
			}
			if l.broken && l.ends[s] != idle {
				o.Verb = Notice
				ops = append(ops, o)
			}
			if l.dial[s] {
				o.Verb = Answer
				ops = append(ops, o)
			}
		}
	}
	for i, n := range w.nodes {
		add := func(v Verb, k *kport) {
			a, b := key(k)
			ops = append(ops, Op{Verb: v, N: uint8(i), A: a, B: b, Eager: true})
		}
		for _, k := range n.ready {
			switch {
			case len(k.queue) == 0 || k.dead:
			case k.recv >= 0:
				add(Take, k)
			case w.readable(k):
				add(Read, k)
			}
		}
		for _, y := range n.notices {
			if w.noticeable(n, y) {
				add(Notify, y.e.k)
			}
		}
		for _, e := range n.waiting {
			if k := e.k; k.dead || len(k.queue) < k.limit || e.queue[0].flush || e.queue[0].d.Once {
				add(Handle, k)
			}
		}
	}
	return ops
}

// dump writes all that may make a difference to what can happen later.
func (w *World) dump(b *bytes.Buffer) {
	msg := func(m *message) {
		fmt.Fprintf(b, " %v.%v.%d", m.src, m, m.seq)
		for _, r := range m.rights {
			fmt.Fprintf(b, "+%v", r)
		}
	}
	for _, g := range w.portList {
		fmt.Fprintf(b, "\n%v %v %v %v %v %v %v %v", g, g.dead, g.at, g.cut[:3], g.lossy, g.moved, g.seq[:3], g.seen[:3])
	}
	for _, o := range w.onceList {
		fmt.Fprintf(b, "\n%v %d %d %v", o, o.state, o.uses, o.lossy)
	}
	for i, l := range w.links {
		if l == nil {
			continue
		}
		fmt.Fprintf(b, "\nlink %d %v %v %v %v", i, l.dial, l.broken, l.ends, l.offered)
		for _, p := range l.pipes {
			b.WriteString(" |")
			for _, it := range p {
				if it.greet {
					b.WriteString(" greet")
				} else {
					fmt.Fprintf(b, " %s", w.describeRecord(it.rec))
				}
			}
		}
	}
	for _, n := range w.nodes {
		fmt.Fprintf(b, "\n%v %s\nnames", n, n.table.Dump())
		for p := rights.Port(1); int(p) < 64; p++ {
			if e := n.entries[p]; e != nil {
				fmt.Fprintf(b, "\n%v %d %v %v %v", e, e.refs, e.recv, e.watch, e.once)
				kernelPort(b, e.k, msg)
				for _, d := range e.queue {
					if d.flush {
						b.WriteString(" flush")
					} else {
						msg(w.body(d.d.Message.Body))
					}
				}
			}
		}
		for _, g := range w.portList {
			if k := g.names[n.index]; k != nil && k.e == nil && !k.dead {
				kernelPort(b, k, msg)
			}
		}
		for _, y := range n.notices {
			fmt.Fprintf(b, " notice %v %v %d", y.e, y.noSenders, y.made)
		}
		for _, s := range n.tasks[0].sends {
			fmt.Fprintf(b, " has %v %v %d", s.k, s.k.dead, s.n)
		}
		for _, o := range n.tasks[0].onces {
			fmt.Fprintf(b, " has %v %v", o.o, o.k.dead)
		}
		if n.hand != nil {
			msg(n.hand)
		}
	}
}

func kernelPort(b *bytes.Buffer, k *kport, msg func(*message)) {
	fmt.Fprintf(b, " [%v %v %d %d %d %d %v %v", k, k.dead, k.recv, k.sends, k.onces, k.made, k.arm != nil, k.paused)
	for _, m := range k.queue {
		msg(m)
	}
	b.WriteByte(']')
}
