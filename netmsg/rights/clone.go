package rights

import (
	"maps"
	"slices"
)

// Clone returns a node that is in the same state, and shares nothing with n but
// bodies. Its actions have been taken. It is for exploring what may happen next.
func (n *Node) Clone() *Node {
	c := *n
	c.out, c.dirty, c.moves = nil, nil, nil
	c.dialling = maps.Clone(n.dialling)
	sessions := make(map[*session]*session)
	peer := func(s *session) *session {
		if s == nil || sessions[s] != nil {
			return sessions[s]
		}
		x := *s // of sessions that are over nothing but the name is used
		sessions[s] = &x
		return &x
	}
	entries := make(map[*entry]*entry)
	var right func(e *entry) *entry
	pend := func(list []*pending) []*pending {
		list = slices.Clone(list)
		for i, m := range list {
			x := *m
			x.from = peer(m.from)
			x.rights = slices.Clone(m.rights)
			for j := range x.rights {
				x.rights[j].e = right(x.rights[j].e)
			}
			list[i] = &x
		}
		return list
	}
	right = func(e *entry) *entry {
		if e == nil || entries[e] != nil {
			return entries[e]
		}
		x := *e
		entries[e] = &x
		x.holders, x.holds = slices.Clone(e.holders), slices.Clone(e.holds)
		x.queue, x.front, x.late = pend(e.queue), pend(e.front), pend(e.late)
		x.carrier, x.alias = right(e.carrier), right(e.alias)
		x.aliases = slices.Clone(e.aliases)
		for i, a := range x.aliases {
			x.aliases[i] = right(a)
		}
		return &x
	}
	c.sessions = make(map[NodeID]*session)
	for node, s := range n.sessions {
		x := peer(s)
		x.unacked = make(map[ID][]sent)
		for id, q := range s.unacked {
			q = slices.Clone(q)
			for i := range q {
				q[i].from = peer(q[i].from)
			}
			x.unacked[id] = q
		}
		x.incoming = maps.Clone(s.incoming)
		x.starved = slices.Clone(s.starved)
		for i, e := range x.starved {
			x.starved[i] = right(e)
		}
		c.sessions[node] = x
	}
	c.entries = make(map[ID]*entry)
	for id, e := range n.entries {
		c.entries[id] = right(e)
	}
	c.ports = make(map[Port]*entry)
	for p, e := range n.ports {
		c.ports[p] = right(e)
	}
	c.deliveries = make(map[uint64]delivery)
	for d, x := range n.deliveries {
		c.deliveries[d] = delivery{right(x.entry), sent{x.size, peer(x.from), x.to}}
	}
	return &c
}
