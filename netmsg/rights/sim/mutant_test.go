package sim

import (
	"strings"
	"testing"

	"hurdlab/netmsg/rights"
)

// A mutant is a table with a fault: it changes what its table is told, or what the
// table says is to be done.
type mutant struct {
	Table
	self    rights.NodeID
	actions func(m *mutant, acts []rights.Action) []rights.Action
	receive func(m *mutant, peer rights.NodeID, r rights.Record) bool // false: not for the table

	connected func(window, budget *int)
	noSenders func(m *mutant, p rights.Port, made uint32) uint32
	extinct   bool // is forgotten

	count  int
	held   []rights.Action
	made   map[rights.Port]uint32
	flight map[rights.ID]int // really under way
	early  map[rights.ID]int // confirmed to the table, not by the peer
	inject []func()
}

func (m *mutant) Actions() []rights.Action {
	acts := m.Table.Actions()
	if m.actions != nil && len(acts) > 0 {
		acts = m.actions(m, acts)
	}
	for len(m.inject) > 0 {
		f := m.inject[0]
		m.inject = m.inject[1:]
		f()
		more := m.Table.Actions()
		if m.actions != nil {
			more = m.actions(m, more)
		}
		acts = append(acts, more...)
	}
	return acts
}

func (m *mutant) Receive(peer rights.NodeID, r rights.Record) {
	if m.receive == nil || m.receive(m, peer, r) {
		m.Table.Receive(peer, r)
	}
}

func (m *mutant) Connected(peer rights.Incarnation, window, budget int) {
	if m.connected != nil {
		m.connected(&window, &budget)
	}
	m.Table.Connected(peer, window, budget)
}

func (m *mutant) NoSenders(p rights.Port, made uint32) {
	if m.noSenders != nil {
		made = m.noSenders(m, p, made)
	}
	m.Table.NoSenders(p, made)
}

func (m *mutant) Extinct(p rights.Port) {
	if !m.extinct {
		m.Table.Extinct(p)
	}
}

// Check is not asked: what the simulator itself finds is what is tested.
func (m *mutant) Check() error { return nil }

// every has one in n of the actions that f picks left out.
func every(n int, f func(a rights.Action) bool) func(*mutant, []rights.Action) []rights.Action {
	return func(m *mutant, acts []rights.Action) []rights.Action {
		var out []rights.Action
		for _, a := range acts {
			if f(a) {
				if m.count++; m.count%n == 0 {
					continue
				}
			}
			out = append(out, a)
		}
		return out
	}
}

func isRecord(t rights.RecordType) func(a rights.Action) bool {
	return func(a rights.Action) bool {
		x, ok := a.(rights.Transmit)
		return ok && x.Record.Type == t
	}
}

// receives are the identities of the receive rights in a record.
func receives(r rights.Record) (ids []rights.ID) {
	if r.Message != nil {
		for _, x := range r.Message.Rights {
			if x.Kind == rights.Receive {
				ids = append(ids, x.ID)
			}
		}
	}
	return ids
}

var mutants = []struct {
	name  string
	fault func(m *mutant)
}{
	{"a RELEASE is not sent", func(m *mutant) { m.actions = every(20, isRecord(rights.RecRelease)) }},
	{"a RELEASE is of one too many", func(m *mutant) {
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			for i, a := range acts {
				if x, ok := a.(rights.Transmit); ok && x.Record.Type == rights.RecRelease && !x.Record.Once {
					if m.count++; m.count%10 == 0 {
						x.Record.N++
						acts[i] = x
					}
				}
			}
			return acts
		}
	}},
	{"a RELEASE is of one too few", func(m *mutant) {
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			for i, a := range acts {
				if x, ok := a.(rights.Transmit); ok && x.Record.Type == rights.RecRelease && x.Record.N > 1 {
					x.Record.N--
					acts[i] = x
				}
			}
			return acts
		}
	}},
	{"the make-send count of no-senders is not looked at", func(m *mutant) {
		m.made = make(map[rights.Port]uint32)
		count := func(d rights.Deliver) {
			for _, r := range d.Message.Rights {
				if r.Kind == rights.Send {
					m.made[r.Port]++
				}
			}
		}
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			for _, a := range acts {
				switch a := a.(type) {
				case rights.Deliver:
					count(a)
				case rights.Yield:
					for _, d := range a.Front {
						count(d)
					}
				case rights.Offered:
					m.made[a.Port]++
				}
			}
			return acts
		}
		m.noSenders = func(m *mutant, p rights.Port, made uint32) uint32 { return m.made[p] }
	}},
	{"two records change places", func(m *mutant) {
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			var out []rights.Action
			for _, a := range acts {
				x, ok := a.(rights.Transmit)
				switch {
				case !ok || x.Record.Type != rights.RecMessage:
					out = append(out, a)
				case len(m.held) > 0 && m.held[0].(rights.Transmit).Peer == x.Peer:
					out = append(append(out, x), m.held...)
					m.held = nil
				case len(m.held) > 0:
					out = append(append(out, m.held...), x)
					m.held = nil
				default:
					if m.count++; m.count%20 == 0 {
						m.held = append(m.held, a)
					} else {
						out = append(out, a)
					}
				}
			}
			return out
		}
	}},
	{"DEAD is not passed on", func(m *mutant) { m.actions = every(3, isRecord(rights.RecDead)) }},
	{"MOVED is not said", func(m *mutant) { m.actions = every(2, isRecord(rights.RecMoved)) }},
	{"DELIVERED is not said", func(m *mutant) { m.actions = every(20, isRecord(rights.RecDelivered)) }},
	{"the window is one too large", func(m *mutant) { m.connected = func(window, budget *int) { *window++ } }},
	{"the budget is a byte too large", func(m *mutant) { m.connected = func(window, budget *int) { *budget++ } }},
	{"a route changes before it is drained", func(m *mutant) {
		// What has been sent is taken for delivered, as far as the window allows.
		m.flight, m.early = make(map[rights.ID]int), make(map[rights.ID]int)
		window := 0
		m.connected = func(w, budget *int) { window = *w; *w = 1 }
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			for _, a := range acts {
				if x, ok := a.(rights.Transmit); ok && x.Record.Type == rights.RecMessage && !x.Record.Once {
					id, peer := x.Record.ID, x.Peer
					m.flight[id]++
					if m.flight[id] < window && m.early[id] == 0 {
						m.early[id]++
						m.inject = append(m.inject, func() {
							m.Table.Receive(peer, rights.Record{Type: rights.RecDelivered, ID: id, N: 1})
						})
					}
				}
			}
			return acts
		}
		m.receive = func(m *mutant, peer rights.NodeID, r rights.Record) bool {
			if r.Type == rights.RecDelivered {
				m.flight[r.ID] -= int(r.N)
				if e := min(m.early[r.ID], int(r.N)); e > 0 {
					m.early[r.ID] -= e
					if r.N -= uint64(e); r.N > 0 {
						m.Table.Receive(peer, r)
					}
					return false
				}
			}
			return true
		}
	}},
	{"a message is delivered twice", func(m *mutant) {
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			for _, a := range acts {
				if d, ok := a.(rights.Deliver); ok && !d.Once && len(d.Message.Rights) == 0 {
					if m.count++; m.count%50 == 0 {
						acts = append(acts, a)
					}
				}
			}
			return acts
		}
	}},
	{"a message is thrown away", func(m *mutant) {
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			var out []rights.Action
			for _, a := range acts {
				if d, ok := a.(rights.Deliver); ok && !d.Once && len(d.Message.Rights) == 0 {
					if m.count++; m.count%50 == 0 {
						out = append(out, rights.Discard{Body: d.Message.Body})
						m.inject = append(m.inject, func() { m.Table.Delivered(d.Delivery) })
						continue
					}
				}
				out = append(out, a)
			}
			return out
		}
	}},
	{"a claim is granted and not counted", func(m *mutant) {
		m.receive = func(m *mutant, peer rights.NodeID, r rights.Record) bool {
			if r.Type == rights.RecClaim && !r.Once {
				m.held = append(m.held, rights.Transmit{Peer: peer, Record: rights.Record{Type: rights.RecClaimed, ID: r.ID}})
				return false
			}
			return true
		}
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			acts = append(acts, m.held...)
			m.held = nil
			return acts
		}
	}},
	{"a send-once right that was destroyed is forgotten", func(m *mutant) { m.extinct = true }},
	{"a reference is not given back", func(m *mutant) {
		m.actions = every(20, func(a rights.Action) bool { d, ok := a.(rights.Drop); return ok && d.Kind == rights.Send })
	}},
	{"a reference is given back twice", func(m *mutant) {
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			var out []rights.Action
			for _, a := range acts {
				out = append(out, a)
				if d, ok := a.(rights.Drop); ok && d.Kind == rights.Send {
					if m.count++; m.count%20 == 0 {
						out = append(out, a)
					}
				}
			}
			return out
		}
	}},
	{"two names are mixed up", func(m *mutant) {
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			for _, a := range acts {
				if d, ok := a.(rights.Deliver); ok && len(d.Message.Rights) == 2 {
					if r := d.Message.Rights; r[0].Kind == rights.Send && r[1].Kind == rights.Send {
						r[0], r[1] = r[1], r[0]
					}
				}
			}
			return acts
		}
	}},
	{"an old home does not wait until the receive right has come", func(m *mutant) {
		m.actions = func(m *mutant, acts []rights.Action) []rights.Action {
			for _, a := range acts {
				if x, ok := a.(rights.Transmit); ok {
					for _, id := range receives(x.Record) {
						m.inject = append(m.inject, func() {
							m.Table.Receive(x.Peer, rights.Record{Type: rights.RecClaimed, ID: id})
						})
					}
				}
			}
			return acts
		}
	}},
	{"a new home does not wait for what comes back", func(m *mutant) {
		m.receive = func(m *mutant, peer rights.NodeID, r rights.Record) bool {
			m.Table.Receive(peer, r)
			for _, id := range receives(r) {
				m.Table.Receive(peer, rights.Record{Type: rights.RecMoved, ID: id, Node: m.self})
			}
			return false
		}
	}},
	{"a proxy is never received from again", func(m *mutant) {
		m.actions = every(20, func(a rights.Action) bool { _, ok := a.(rights.Resume); return ok })
	}},
	{"the death of a port is not asked for", func(m *mutant) {
		m.actions = every(2, func(a rights.Action) bool { _, ok := a.(rights.Watch); return ok })
	}},
	{"no-senders is not asked for", func(m *mutant) {
		m.actions = every(20, func(a rights.Action) bool { _, ok := a.(rights.Arm); return ok })
	}},
}

// mutantOps is in how many operations each fault must be found.
const mutantOps = 1_000_000

// TestMutants puts faults into the tables, one at a time, and checks that the
// simulator finds each.
func TestMutants(t *testing.T) {
	for _, x := range mutants {
		t.Run(x.name, func(t *testing.T) {
			change := func(c *Config) {
				c.Budget = max(c.Budget, 1<<10) // what confirms too early must not be found by the budget
				if strings.Contains(x.name, "budget") {
					c.Budget = 60
				}
				c.NewTable = func(node int, rc rights.Config) Table {
					m := &mutant{Table: rights.New(rc), self: rc.Self.Node}
					x.fault(m)
					return m
				}
			}
			done := 0
			for n := 0; done < mutantOps; n++ {
				k, f := Episode(EpisodeSeed(1, n), Options{Change: change})
				if done += k; f != nil {
					t.Logf("found after %d operations: %v", done, f.Violation)
					return
				}
			}
			t.Errorf("not found in %d operations", done)
		})
	}
}
