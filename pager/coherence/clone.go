package coherence

import (
	"maps"
	"slices"
)

// Clone returns an object in the same state, which shares nothing with this one but
// data.
func (o *Object) Clone() *Object {
	x := *o
	clients := make(map[*client]*client, len(o.clients))
	locks := make(map[*lock]*lock)
	ops := make(map[*op]*op, len(o.ops))
	syncs := make(map[*syncOp]*syncOp)
	x.clients = make(map[Client]*client, len(o.clients))
	for id, c := range o.clients {
		y := *c
		clients[c], x.clients[id] = &y, &y
		y.locks = make([]*lock, len(c.locks))
		for i, l := range c.locks {
			z := *l
			z.c = &y
			locks[l], y.locks[i] = &z, &z
		}
		y.coming = slices.Clone(c.coming)
		for i, x := range y.coming {
			y.coming[i].lock = locks[x.lock]
		}
	}
	x.slots = make([]*client, len(o.slots))
	for i, c := range o.slots {
		if c != nil {
			x.slots[i] = clients[c]
		}
	}
	x.ops = make([]*op, len(o.ops))
	for i, p := range o.ops {
		y := *p
		ops[p], x.ops[i] = &y, &y
	}
	x.holdings = o.holdings.clone()
	wants := func(list []want) []want {
		list = slices.Clone(list)
		for i := range list {
			list[i].c = clients[list[i].c]
		}
		return list
	}
	x.active = make(map[int64]*page, len(o.active))
	for n, p := range o.active {
		y := *p
		y.queue, y.parked = wants(p.queue), wants(p.parked)
		y.locks = make([]*lock, len(p.locks))
		for i, l := range p.locks {
			y.locks[i] = locks[l]
		}
		y.ahead = slices.Clone(p.ahead)
		for i, c := range y.ahead {
			y.ahead[i] = clients[c]
		}
		y.ops = slices.Clone(p.ops)
		for i, z := range y.ops {
			y.ops[i] = ops[z]
		}
		y.syncs = make([]*syncWait, len(p.syncs))
		for i, s := range p.syncs {
			z := *s
			if syncs[s.s] == nil {
				k := *s.s
				syncs[s.s] = &k
			}
			z.s, z.lock = syncs[s.s], locks[s.lock]
			y.syncs[i] = &z
		}
		x.active[n] = &y
	}
	x.touched = nil
	x.recent, x.arriving = slices.Clone(o.recent), slices.Clone(o.arriving)
	x.holds = maps.Clone(o.holds)
	x.actions, x.discards = slices.Clone(o.actions), slices.Clone(o.discards)
	return &x
}
