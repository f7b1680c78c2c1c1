package sim

import (
	"math/rand/v2"
)

// A Mix is how often the generator tries what.
type Mix struct {
	weights [verbs]int
	kernel  int // weight of what kernels, adapters and the network do anyway
	rights  [hows]int
	eager   int // of 100 operations
	max     int // rights in a message
	hoard   int // send rights of a task above which it rather drops
	total   int
	rtotal  int
}

// Scenario makes the world and the mix of an episode of a seed.
func Scenario(seed uint64, nodes int) (Config, Mix) {
	r := rand.New(rand.NewPCG(seed, 0x6e65746d7367))
	pick := func(x ...int) int { return x[r.IntN(len(x))] }
	c := Config{
		Nodes: nodes, Tasks: 2,
		QueueLimit: pick(1, 2, 5), Window: pick(1, 2, 3, 8), Budget: pick(60, 250, 1<<20),
		SeesOnce: r.IntN(4) == 0, LateMake: r.IntN(2) == 0,
	}
	if nodes == 0 {
		c.Nodes = pick(2, 2, 3, 3, 3, 4, 5)
	}
	m := Mix{kernel: pick(100, 200, 400), eager: pick(0, 30, 90), max: pick(1, 2, 4), hoard: pick(4, 8, 16)}
	m.weights = [verbs]int{
		Create: pick(2, 6), SendTo: pick(40, 80), Reply: pick(5, 20), Share: pick(2, 10), DropSend: pick(10, 30), DropOnce: pick(1, 5),
		Destroy: pick(0, 1, 4), Die: pick(0, 1), Dial: 3, Settle: 0,
	}
	m.rights = [hows]int{PutNull: 1, PutDead: 1, CopySend: pick(10, 30), MoveSend: pick(5, 15), MakeSend: pick(5, 20), MakeOnce: pick(0, 10), MoveOnce: pick(0, 10)}
	if r.IntN(2) == 0 {
		m.rights[MoveReceive] = pick(1, 4)
	}
	if r.IntN(2) == 0 {
		m.weights[Break], m.weights[Cut], m.weights[Heal] = pick(1, 2), pick(0, 1), 1
		m.weights[Crash], m.weights[Restart] = pick(0, 0, 1), 2
	} else if r.IntN(2) == 0 {
		m.weights[Settle] = 1
	}
	for _, x := range m.weights {
		m.total += x
	}
	m.total += m.kernel
	for _, x := range m.rights {
		m.rtotal += x
	}
	return c, m
}

// A generator makes operations that fit a world.
type generator struct {
	w    *World
	m    Mix
	rng  *rand.Rand
	next int32 // number for what is new
}

func (g *generator) verb() Verb {
	x := g.rng.IntN(g.m.total)
	for v, n := range g.m.weights {
		if x < n {
			return Verb(v)
		}
		x -= n
	}
	return verbs
}

// op returns an operation that can perhaps be done.
func (g *generator) op() (Op, bool) {
	w, r := g.w, g.rng
	ni := r.IntN(len(w.nodes))
	n := w.nodes[ni]
	o := Op{Verb: g.verb(), N: uint8(ni), Eager: r.IntN(100) < g.m.eager}
	if o.Verb == verbs {
		return g.kernel(o)
	}
	if n.down && o.Verb != Restart && o.Verb != Settle {
		return o, false
	}
	ti := r.IntN(len(n.tasks))
	o.T = uint8(ti)
	t := &n.tasks[ti]
	peer := r.IntN(len(w.nodes) - 1)
	if peer >= ni {
		peer++
	}
	switch o.Verb {
	case Create:
		g.next++
		o.A = g.next
	case SendTo, Share, DropSend:
		if len(t.sends) == 0 {
			return o, false
		}
		if o.Verb != DropSend && len(t.sends) > g.m.hoard {
			o.Verb = DropSend
		}
		s := t.sends[r.IntN(len(t.sends))]
		o.A = s.k.g.id
		if s.k.dead {
			o.Verb = DropSend
		}
		switch o.Verb {
		case SendTo:
			if len(s.k.queue) >= s.k.limit {
				return o, false
			}
			g.fill(&o, n, ti)
		case Share:
			o.P = uint8((ti + 1 + r.IntN(len(n.tasks)-1)) % len(n.tasks))
		}
	case Reply, DropOnce:
		if len(t.onces) == 0 {
			return o, false
		}
		x := t.onces[r.IntN(len(t.onces))]
		o.A = x.o.id
		if o.Verb == Reply {
			g.fill(&o, n, ti)
		}
	case Destroy:
		if len(n.real) == 0 {
			return o, false
		}
		o.A = n.real[r.IntN(len(n.real))].id
	case Break, Notice, Dial, Offer, Cut, Heal:
		o.P = uint8(peer)
		if o.Verb == Break {
			o.A, o.B = int32(r.IntN(4)), int32(r.IntN(4))
		}
	}
	return o, true
}

// fill puts rights into a message.
func (g *generator) fill(o *Op, n *node, ti int) {
	r := g.rng
	t := &n.tasks[ti]
	g.next++
	o.B = g.next
	for range r.IntN(g.m.max + 1) {
		x := r.IntN(g.m.rtotal)
		var p OpRight
		for h, k := range g.m.rights {
			if x < k {
				p.How = How(h)
				break
			}
			x -= k
		}
		switch p.How {
		case CopySend, MoveSend:
			if len(t.sends) == 0 {
				continue
			}
			p.ID = t.sends[r.IntN(len(t.sends))].k.g.id
		case MakeSend, MakeOnce, MoveReceive:
			if len(n.real) == 0 {
				continue
			}
			x := n.real[r.IntN(len(n.real))]
			if x.at == nil || x.at.node != n || x.at.recv != ti {
				continue
			}
			p.ID = x.id
			if p.How == MakeOnce {
				g.next++
				p.O = g.next
			}
		case MoveOnce:
			if len(t.onces) == 0 {
				continue
			}
			p.ID = t.onces[r.IntN(len(t.onces))].o.id
		}
		o.Rights = append(o.Rights, p)
	}
}

// kernel returns something that happens by itself.
func (g *generator) kernel(o Op) (Op, bool) {
	w, r := g.w, g.rng
	n := w.nodes[o.N]
	if n.down {
		o.Verb = Restart
		return o, r.IntN(20) == 0
	}
	switch x := r.IntN(10); {
	case x < 3: // the network
		p := r.IntN(len(w.nodes) - 1)
		if p >= int(o.N) {
			p++
		}
		o.P = uint8(p)
		l, s := w.link(int(o.N), p), side(int(o.N), p)
		switch {
		case w.arrivable(l, s):
			o.Verb = Record
		case l.broken && l.ends[s] != idle:
			o.Verb = Notice
			return o, r.IntN(3) == 0
		case l.dial[s]:
			o.Verb = Answer
		case l.ends[s] == open && !l.offered[s]:
			o.Verb = Offer
		default:
			return o, false
		}
		return o, true
	case x < 4:
		if len(n.notices) == 0 {
			return o, false
		}
		o.Verb = Notify
		o.A, o.B = key(n.notices[r.IntN(len(n.notices))].e.k)
		return o, true
	case x < 5:
		if len(n.waiting) == 0 {
			return o, false
		}
		o.Verb = Handle
		o.A, o.B = key(n.waiting[r.IntN(len(n.waiting))].k)
		return o, true
	}
	if n.hand != nil && r.IntN(2) == 0 {
		o.Verb = Give
		return o, true
	}
	if len(n.ready) == 0 {
		return o, false
	}
	k := n.ready[r.IntN(len(n.ready))]
	if len(k.queue) == 0 || k.dead {
		return o, false
	}
	o.A, o.B = key(k)
	switch {
	case k.recv >= 0:
		o.Verb = Take
		return o, true
	case w.readable(k) && n.hand == nil:
		o.Verb = Read
		return o, true
	}
	return o, false
}
