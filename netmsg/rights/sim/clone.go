package sim

import (
	"maps"
	"slices"

	"hurdlab/netmsg/rights"
)

// clone returns a world in the same state that shares nothing that changes with w.
// Its tables have to be [rights.Node]s.
func (w *World) clone() *World {
	c := *w
	x := copier{
		world: &c, ports: make(map[*port]*port, len(w.portList)), onces: make(map[*once]*once, len(w.onceList)),
		kports: make(map[*kport]*kport), entries: make(map[*entry]*entry), messages: make(map[*message]*message), nodes: make(map[*node]*node),
	}
	for _, n := range w.nodes {
		y := *n
		x.nodes[n] = &y
	}
	c.ports, c.portList = make(map[int32]*port, len(w.ports)), mapped(w.portList, x.port)
	for id, g := range w.ports {
		c.ports[id] = x.port(g)
	}
	c.onceRef, c.onceList = make(map[int32]*once, len(w.onceRef)), mapped(w.onceList, x.once)
	for id, o := range w.onceRef {
		c.onceRef[id] = x.once(o)
	}
	c.idents, c.identList = make(map[rights.ID]*ident, len(w.idents)), slices.Clone(w.identList)
	for i, y := range w.identList {
		z := *y
		z.g, z.o, z.flows = x.port(y.g), x.once(y.o), slices.Clone(y.flows)
		for f := range z.flows {
			z.flows[f].unacked = slices.Clone(z.flows[f].unacked)
		}
		c.identList[i], c.idents[y.id] = &z, &z
	}
	c.moving, c.bodies = mapped(w.moving, x.message), mapped(w.bodies, x.message)
	c.links = slices.Clone(w.links)
	for i, l := range w.links {
		if l == nil {
			continue
		}
		y := *l
		y.pipes[0], y.pipes[1] = slices.Clone(l.pipes[0]), slices.Clone(l.pipes[1])
		y.doors = [2]*port{x.port(l.doors[0]), x.port(l.doors[1])}
		c.links[i] = &y
	}
	c.nodes = mapped(w.nodes, func(n *node) *node { return x.nodes[n] })
	for _, n := range c.nodes {
		n.tasks = slices.Clone(n.tasks)
		for i := range n.tasks {
			t := &n.tasks[i]
			t.sends = mapped(t.sends, func(s sendRight) sendRight { return sendRight{x.kport(s.k), s.n} })
			t.onces = mapped(t.onces, func(o onceRight) onceRight { return onceRight{x.kport(o.k), x.once(o.o)} })
		}
		n.ready, n.real, n.door = mapped(n.ready, x.kport), mapped(n.real, x.port), x.port(n.door)
		n.notices = mapped(n.notices, func(y notice) notice { y.e = x.entry(y.e); return y })
		n.table = n.table.(*rights.Node).Clone()
		entries := make(map[rights.Port]*entry, len(n.entries))
		for p, e := range n.entries {
			entries[p] = x.entry(e)
		}
		n.entries, n.onceNames = entries, mapped(n.onceNames, x.entry)
		n.hand, n.handFrom, n.waiting = x.message(n.hand), x.entry(n.handFrom), mapped(n.waiting, x.entry)
		n.seen, n.deferred = slices.Clone(n.seen), slices.Clone(n.deferred)
	}
	c.names = maps.Clone(w.names)
	return &c
}

func mapped[T any](list []T, f func(T) T) []T {
	if list == nil {
		return nil
	}
	out := make([]T, len(list))
	for i, x := range list {
		out[i] = f(x)
	}
	return out
}

// A copier knows what it has copied.
type copier struct {
	world    *World
	nodes    map[*node]*node
	ports    map[*port]*port
	onces    map[*once]*once
	kports   map[*kport]*kport
	entries  map[*entry]*entry
	messages map[*message]*message
}

func (x *copier) port(g *port) *port {
	if g == nil || x.ports[g] != nil {
		return x.ports[g]
	}
	y := *g
	x.ports[g] = &y
	y.at, y.in = x.kport(g.at), x.message(g.in)
	for i, k := range y.names {
		y.names[i] = x.kport(k)
	}
	return &y
}

func (x *copier) once(o *once) *once {
	if o == nil || x.onces[o] != nil {
		return x.onces[o]
	}
	y := *o
	x.onces[o] = &y
	y.g, y.at = x.port(o.g), x.nodes[o.at]
	return &y
}

func (x *copier) kport(k *kport) *kport {
	if k == nil || x.kports[k] != nil {
		return x.kports[k]
	}
	y := *k
	x.kports[k] = &y
	y.node, y.g, y.o, y.arm, y.e = x.nodes[k.node], x.port(k.g), x.once(k.o), x.entry(k.arm), x.entry(k.e)
	y.queue = mapped(k.queue, x.message)
	return &y
}

func (x *copier) entry(e *entry) *entry {
	if e == nil || x.entries[e] != nil {
		return x.entries[e]
	}
	y := *e
	x.entries[e] = &y
	y.k, y.once = x.kport(e.k), x.once(e.once)
	y.queue = mapped(e.queue, func(d delivery) delivery {
		d.rights = mapped(d.rights, x.entry)
		return d
	})
	return &y
}

func (x *copier) message(m *message) *message {
	if m == nil || x.messages[m] != nil {
		return x.messages[m]
	}
	y := *m
	x.messages[m] = &y
	y.src, y.at, y.dest, y.via, y.marker = x.nodes[m.src], x.nodes[m.at], x.port(m.dest), x.once(m.via), x.entry(m.marker)
	y.rights = mapped(m.rights, func(r mright) mright {
		r.g, r.o, r.k = x.port(r.g), x.once(r.o), x.kport(r.k)
		return r
	})
	return &y
}
