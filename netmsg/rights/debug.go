package rights

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Stats counts what a node keeps.
type Stats struct {
	Sessions int
	Homes    int // rights of ports of the node that peers hold
	Imports  int // rights of ports elsewhere
	Dead     int // tombstones
	Waiting  int // messages that wait here
	Bytes    int // in them
}

// Stats counts what the node keeps.
func (n *Node) Stats() Stats {
	s := Stats{Sessions: len(n.sessions)}
	for _, e := range n.entries {
		switch {
		case e.dead:
			s.Dead++
		case e.home || e.alias != nil:
			s.Homes++
		default:
			s.Imports++
		}
		for _, q := range [][]*pending{e.front, e.queue, e.late} {
			s.Waiting += len(q)
			for _, m := range q {
				s.Bytes += m.size
			}
		}
	}
	return s
}

// Dump describes all that the node keeps, one entry a line, in an order that
// depends on nothing else: nodes with equal dumps behave alike.
func (n *Node) Dump() string {
	var b strings.Builder
	for _, node := range slices.Sorted(maps.Keys(n.sessions)) {
		s := n.sessions[node]
		fmt.Fprintf(&b, "session %v", s.peer)
		for _, id := range slices.SortedFunc(maps.Keys(s.unacked), ID.compare) {
			fmt.Fprintf(&b, " sent %v×%d", n.name(id), len(s.unacked[id]))
		}
		for _, id := range slices.SortedFunc(maps.Keys(s.incoming), ID.compare) {
			fmt.Fprintf(&b, " got %v×%d", n.name(id), s.incoming[id])
		}
		b.WriteByte('\n')
	}
	for _, node := range slices.Sorted(maps.Keys(n.dialling)) {
		fmt.Fprintf(&b, "dialling %s\n", node)
	}
	for _, id := range slices.SortedFunc(maps.Keys(n.entries), ID.compare) {
		b.WriteString(n.entries[id].describe(n))
		b.WriteByte('\n')
	}
	return b.String()
}

// name is an id without the epoch, which scripts do not care about.
func (n *Node) name(id ID) string { return fmt.Sprintf("%s#%d", id.Origin.Node, id.Num) }

func (e *entry) describe(n *Node) string {
	var b strings.Builder
	b.WriteString(n.name(e.id))
	flag := func(on bool, text string) {
		if on {
			b.WriteString(" " + text)
		}
	}
	flag(e.once, "once")
	switch {
	case e.dead:
		b.WriteString(" dead")
	case e.home:
		fmt.Fprintf(&b, " home %d", e.port)
	case e.homeless:
		fmt.Fprintf(&b, " homeless %d", e.port)
	case e.alias != nil:
		fmt.Fprintf(&b, " alias of %s", n.name(e.alias.id))
	default:
		fmt.Fprintf(&b, " import %d", e.port)
	}
	list := func(what string, c counts) {
		c = slices.Clone(c)
		slices.SortFunc(c, func(a, b count) int { return strings.Compare(string(a.node), string(b.node)) })
		for _, x := range c {
			fmt.Fprintf(&b, " %s %s×%d", what, x.node, x.n)
		}
	}
	list("holder", e.holders)
	list("hold", e.holds)
	flag(e.refs > 0, fmt.Sprintf("refs %d", e.refs))
	flag(e.delivering > 0, fmt.Sprintf("delivering %d", e.delivering))
	flag(e.route != "", "route "+string(e.route))
	flag(e.next != "", "next "+string(e.next))
	flag(e.claim != "" && !e.claimed, "claim "+string(e.claim))
	flag(e.claimed, "claimed "+string(e.claim))
	flag(e.detour, "detour")
	flag(e.moved != "", "moved "+string(e.moved))
	flag(e.senders, "senders")
	flag(e.made > 0, fmt.Sprintf("made %d", e.made))
	flag(e.armed, "armed")
	flag(e.paused, "paused")
	flag(e.spent, "spent")
	flag(e.left != "", "left "+string(e.left))
	flag(e.flushing, "flushing")
	flag(e.announce, fmt.Sprintf("announce after %d", e.before))
	flag(e.exile != "", "exile "+string(e.exile))
	flag(e.ruled, "ruled")
	flag(e.tail, "tail")
	flag(e.arriving != "", "arriving "+string(e.arriving))
	for _, q := range []struct {
		name string
		list []*pending
	}{{"front", e.front}, {"queue", e.queue}, {"late", e.late}} {
		flag(len(q.list) > 0, fmt.Sprintf("%s %d", q.name, len(q.list)))
		for _, m := range q.list {
			fmt.Fprintf(&b, " (%v", m.body)
			for _, h := range m.rights {
				fmt.Fprintf(&b, " %v", h.kind)
				if h.e != nil {
					fmt.Fprintf(&b, " %s", n.name(h.e.id))
				}
			}
			if m.from != nil {
				fmt.Fprintf(&b, " from %s", m.from.peer.Node)
			}
			b.WriteByte(')')
		}
	}
	return b.String()
}

// Check returns what is wrong with the table, if anything.
func (n *Node) Check() error {
	if len(n.dirty) > 0 {
		return fmt.Errorf("%d entries have not been looked at", len(n.dirty))
	}
	refs := make(map[*entry]int)
	held, holds, claims := make(map[NodeID]int), make(map[NodeID]int), make(map[NodeID]int)
	bytes, incoming := make(map[*session]int), make(map[*session]map[ID]int)
	waits := func(m sent) {
		if m.from != nil && n.sessions[m.from.peer.Node] == m.from {
			bytes[m.from] += m.size
			if incoming[m.from] == nil {
				incoming[m.from] = make(map[ID]int)
			}
			incoming[m.from][m.to]++
		}
	}
	for id, e := range n.entries {
		bad := func(format string, args ...any) error {
			return fmt.Errorf("%s: %s", e.describe(n), fmt.Sprintf(format, args...))
		}
		switch {
		case e.id != id || e.gone:
			return bad("is in the table under %v", id)
		case e.port != 0 && n.ports[e.port] != e:
			return bad("port %d is not its own", e.port)
		case e.home && e.port == 0:
			return bad("has no port")
		case e.dead && (e.home || e.homeless || e.port != 0 || e.route != "" || len(e.queue)+len(e.front)+len(e.late) > 0):
			return bad("is not quite dead")
		case (e.home || e.homeless) && (e.route != "" || len(e.holds) > 0):
			return bad("is at home and has a route")
		case e.once && len(e.holders) > 1, e.once && len(e.holders) == 1 && e.holders[0].n > 1:
			return bad("a send-once right has one owner")
		case e.route != "" && e.claim == "" && !e.spent && e.holds.of(e.route) == 0:
			return bad("has a route from which it is not held")
		case !e.dead && !e.home && !e.homeless && e.alias == nil && e.route == "" && e.claim == "" && !e.spent && e.exile == "":
			return bad("leads nowhere")
		}
		for _, h := range e.holders {
			if n.sessions[h.node] == nil {
				return bad("is held by a stranger, %s", h.node)
			}
			held[h.node]++
		}
		for _, h := range e.holds {
			if n.sessions[h.node] == nil {
				return bad("is held from a stranger, %s", h.node)
			}
			holds[h.node]++
		}
		if e.claimed {
			claims[e.claim]++
		}
		for _, q := range [][]*pending{e.front, e.queue, e.late} {
			for _, m := range q {
				waits(m.sent)
				for _, h := range m.rights {
					if h.e != nil {
						refs[h.e]++
					}
				}
			}
		}
		for _, a := range e.aliases {
			if a.alias != e || n.entries[a.id] != a {
				return bad("%v is no alias", a.id)
			}
			refs[e]++
		}
	}
	delivering := make(map[*entry]int)
	for _, d := range n.deliveries {
		waits(d.sent)
		delivering[d.entry]++
	}
	for _, e := range n.entries {
		if e.refs != refs[e] {
			return fmt.Errorf("%s: is named by %d waiting messages", e.describe(n), refs[e])
		}
		if e.delivering != delivering[e] {
			return fmt.Errorf("%s: has %d deliveries", e.describe(n), delivering[e])
		}
	}
	for p, e := range n.ports {
		if e.port != p || n.entries[e.id] != e {
			return fmt.Errorf("port %d leads to %s", p, e.describe(n))
		}
	}
	for node, s := range n.sessions {
		inflight := 0
		for _, q := range s.unacked {
			for _, m := range q {
				inflight += m.size
				waits(m)
			}
		}
		if inflight != s.inflight {
			return fmt.Errorf("session %s: %d bytes under way, not %d", node, inflight, s.inflight)
		}
		if s.held != held[node] || s.holds != holds[node] || s.claims != claims[node] {
			return fmt.Errorf("session %s: counts %d held, %d holds, %d claims; there are %d, %d, %d", node, s.held, s.holds, s.claims, held[node], holds[node], claims[node])
		}
	}
	for node, s := range n.sessions {
		if s.received != bytes[s] {
			return fmt.Errorf("session %s: %d bytes not confirmed, not %d", node, bytes[s], s.received)
		}
		for id, k := range s.incoming {
			if incoming[s][id] != k {
				return fmt.Errorf("session %s: %d messages to %v not confirmed, not %d", node, incoming[s][id], id, k)
			}
		}
	}
	return nil
}
