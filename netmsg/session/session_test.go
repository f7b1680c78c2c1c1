package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

func TestRecordsGoBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.start("a", 1), w.start("b", 1)
		a.Dial("b")
		expect(t, a, "[connected b]")
		expect(t, b, "[connected a]")
		s := a.Session("b")
		for i := range 5 {
			s.Send(dead(uint64(i)))
		}
		rest()
		if got := b.take(); got != "[]" {
			t.Errorf("without a flush: %s", got)
		}
		s.Flush()
		expect(t, b, "[dead 0 dead 1 dead 2 dead 3 dead 4]")
		b.Session("a").Send(dead(9))
		b.Session("a").Flush()
		expect(t, a, "[dead 9]")
		if !s.Dialled() || b.Session("a").Dialled() || s.Version() != 1 || s.Takes().Window != 8 || s.Peer() != (rights.Incarnation{Node: "b", Epoch: 1}) {
			t.Errorf("%+v", s.Greeting())
		}
		if x := s.Stats(); x.Sent != 5 || x.Received != 1 || x.Queued != 0 || x.Written == 0 || x.Read == 0 {
			t.Errorf("%+v", x)
		}
		a.Close()
		expect(t, a, "[lost b]")
		expect(t, b, "[lost a]")
		if e, ok := errors.AsType[*PeerError](b.lastLost()); !ok || e.Code != rights.CodeBye {
			t.Error(b.lastLost())
		}
		b.Close()
		a.Dial("b")
		expect(t, a, "[]")
	})
}

type counted struct {
	net.Conn
	writes *atomic.Int32
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// countWrites counts the writes of one end of the connections: of who dials, or of the other.
func (w *network) countWrites(dialer bool) *atomic.Int32 {
	writes := new(atomic.Int32)
	w.pipe = func(from, to rights.NodeID) (net.Conn, net.Conn) {
		x, y := net.Pipe()
		if dialer {
			return &counted{x, writes}, y
		}
		return x, &counted{y, writes}
	}
	return writes
}

// What a batch of records leads to leaves in one write: an answer, and that its
// request was delivered.
func TestOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		writes := w.countWrites(false)
		a, b := w.start("a", 1), w.start("b", 1)
		b.onReceive = func(s *Session, records []rights.Record) {
			for range records {
				s.Send(dead(1))
				s.Send(dead(2))
			}
		}
		a.Dial("b")
		rest()
		if n := writes.Load(); n != 1 {
			t.Errorf("%d writes for a greeting", n)
		}
		for range 10 {
			a.Session("b").Send(dead(0))
		}
		a.Session("b").Flush()
		rest()
		if got := strings.Count(a.take(), "dead"); got != 20 {
			t.Errorf("%d answers", got)
		}
		if n := writes.Load(); n != 2 {
			t.Errorf("%d writes for what ten records led to", n-1)
		}
		a.Close()
		b.Close()
	})
}

// What several say at the same time leaves in one write, without a wait.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		writes := w.countWrites(true)
		a, b := w.start("a", 1), w.start("b", 1)
		a.Dial("b")
		rest()
		b.take()
		s := a.Session("b")
		const rounds, senders = 50, 8
		before := writes.Load()
		for range rounds {
			start := make(chan struct{})
			for range senders {
				go func() {
					<-start
					s.Send(dead(1))
					s.Flush()
				}()
			}
			close(start)
			rest()
		}
		if got := strings.Count(b.take(), "dead"); got != rounds*senders {
			t.Errorf("%d records", got)
		}
		if n := writes.Load() - before; n > rounds*senders/2 {
			t.Errorf("%d writes for %d records of %d senders", n, rounds*senders, senders)
		}
		a.Close()
		b.Close()
	})
}

func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a := w.start("a", 1)
		a.Dial("b")
		a.Dial("b")
		expect(t, a, "[unreachable b]")
		if err := a.lastLost(); !errors.Is(err, errRefused) {
			t.Error(err)
		}
		if _, err := a.Connect(t.Context(), "b"); !errors.Is(err, errRefused) {
			t.Error(err)
		}
		expect(t, a, "[unreachable b]")
		// One that does not say anything.
		w.pipe = func(from, to rights.NodeID) (net.Conn, net.Conn) {
			x, _ := net.Pipe()
			_, y := net.Pipe()
			return x, y
		}
		w.start("b", 1)
		start := time.Now()
		a.Dial("b")
		expect(t, a, "[]")
		time.Sleep(time.Hour)
		expect(t, a, "[unreachable b]")
		if e, ok := errors.AsType[*rights.ProtocolError](a.lastLost()); !ok || e.Code != rights.CodeTimeout {
			t.Error(a.lastLost(), time.Since(start))
		}
		a.Close()
		w.nodes["b"].Close()
	})
}

// What is asked for in Lost is done after it.
func TestDialAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, b := w.start("a", 1), w.start("b", 1)
		a.onLost = func(p rights.NodeID) { a.Dial(p) }
		s, err := a.Connect(t.Context(), "b")
		if err != nil || s != a.Session("b") {
			t.Fatal(s, err)
		}
		b.Session("a").Close(protocolError(rights.CodeInternal, "B4", "a test"))
		expect(t, a, "[connected b lost b connected b]")
		expect(t, b, "[connected a lost a connected a]")
		if err := a.lastLost(); err.Error() != "the peer ended the session: a test (rule B4)" {
			t.Error(err)
		}
		if x, err := a.Connect(t.Context(), "b"); err != nil || x == s {
			t.Error(x, err)
		}
		a.mu.Lock()
		a.onLost = nil
		a.mu.Unlock()
		a.Close()
		b.Close()
	})
}

// A node that has started again is another one: what it had before ends first.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		cut := make(chan struct{})
		w.pipe = func(from, to rights.NodeID) (net.Conn, net.Conn) {
			x, y := net.Pipe()
			return lossy{x, cut}, lossy{y, cut}
		}
		a, b := w.start("a", 1), w.start("b", 1)
		a.Dial("b")
		expect(t, a, "[connected b]")
		close(cut) // b is gone without a word
		cut = make(chan struct{})
		b2 := w.start("b", 2)
		b2.Dial("a")
		expect(t, a, "[lost b connected b]")
		if e, ok := errors.AsType[*rights.ProtocolError](a.lastLost()); !ok || e.Code != rights.CodeReplaced {
			t.Error(a.lastLost())
		}
		expect(t, b2, "[connected a]")
		a.Close()
		b.Close()
		b2.Close()
	})
}

// A node that has lost a session, of which the other does not know, opens another,
// whoever had opened it.
func TestLostOnOneSide(t *testing.T) {
	for _, first := range []rights.NodeID{"a", "b"} {
		for _, second := range []rights.NodeID{"a", "b"} {
			t.Run(fmt.Sprintf("%s then %s", first, second), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newNetwork(t)
					cut := make(chan struct{})
					w.pipe = func(from, to rights.NodeID) (net.Conn, net.Conn) {
						x, y := net.Pipe()
						return lossy{x, cut}, lossy{y, cut}
					}
					w.start("a", 1)
					w.start("b", 1)
					other := map[rights.NodeID]rights.NodeID{"a": "b", "b": "a"}
					w.nodes[first].Dial(other[first])
					rest()
					close(cut)
					cut = make(chan struct{})
					n, peer := w.nodes[second], w.nodes[other[second]]
					// The end that does not know that it is broken does not see it close.
					w.conns[0] = nil
					s := n.Session(peer.name)
					s.mu.Lock()
					s.conn = struct{ net.Conn }{deaf{s.conn}}
					s.end(ErrLost, false)
					s.mu.Unlock()
					time.Sleep(time.Millisecond)
					n.Dial(peer.name)
					time.Sleep(time.Millisecond)
					rest()
					want := fmt.Sprintf("[connected %s lost %[1]s connected %[1]s]", peer.name)
					if got := n.take(); got != want {
						t.Errorf("%s: %s", n.name, got)
					}
					want = fmt.Sprintf("[connected %s lost %[1]s connected %[1]s]", n.name)
					if got := peer.take(); got != want {
						t.Errorf("%s: %s", peer.name, got)
					}
					n.Close()
					peer.Close()
				})
			})
		}
	}
}

// A deaf connection closes without the other end seeing it.
type deaf struct{ net.Conn }

func (deaf) Close() error { return nil }

func (deaf) Read([]byte) (int, error) { return 0, ErrLost }

func TestJudge(t *testing.T) {
	mine := func(n uint64) wire.SessionID { return wire.SessionID{Dial: n, Mine: true} }
	theirs := func(n uint64) wire.SessionID { return wire.SessionID{Dial: n} }
	for _, c := range []struct {
		self  rights.NodeID // the peer is "m"
		st    state
		dial  uint64
		last  wire.SessionID
		epoch uint64
		want  verdict
	}{
		{"a", state{}, 1, wire.SessionID{}, 1, accept},
		{"z", state{}, 1, wire.SessionID{}, 1, accept},
		{"a", state{dialling: true}, 1, wire.SessionID{}, 1, hold},
		{"z", state{dialling: true}, 1, wire.SessionID{}, 1, accept},
		// It has started again.
		{"a", state{session: mine(1), epoch: 1}, 1, wire.SessionID{}, 2, replace},
		{"z", state{session: theirs(9), epoch: 1}, 1, wire.SessionID{}, 2, replace},
		// Two that it has opened.
		{"a", state{session: theirs(4), epoch: 1}, 5, theirs(4), 1, replace},
		{"z", state{session: theirs(4), epoch: 1}, 5, wire.SessionID{}, 1, replace},
		{"z", state{session: theirs(4), epoch: 1}, 3, wire.SessionID{}, 1, refuse},
		// It knew the one that is opened from here, or did not.
		{"a", state{session: mine(4), epoch: 1}, 7, theirs(4), 1, replace},
		{"z", state{session: mine(4), epoch: 1}, 7, theirs(4), 1, replace},
		{"a", state{session: mine(4), epoch: 1}, 7, theirs(3), 1, refuse},
		{"a", state{session: mine(4), epoch: 1}, 7, mine(4), 1, refuse},
		{"z", state{session: mine(4), epoch: 1}, 7, wire.SessionID{}, 1, refuse},
	} {
		g := wire.Greeting{Node: rights.Incarnation{Node: "m", Epoch: c.epoch}, Dial: c.dial, Last: c.last}
		if got := judge(c.self, c.st, &g); got != c.want {
			t.Errorf("%s, %+v, dial %d, last %+v, epoch %d: %v, want %v", c.self, c.st, c.dial, c.last, c.epoch, got, c.want)
		}
	}
}

// Two nodes dial each other at about the same time, over connections of any speed:
// there is one session in the end, the same for both, that which the smaller one has
// dialled if it got through, and nobody was unreachable.
func TestCrossedDials(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			delay := func() time.Duration { return time.Duration(r.IntN(10)) * 100 * time.Millisecond }
			w := newNetwork(t)
			broken := r.IntN(3) == 0 // a cannot reach b
			connects := map[rights.NodeID]time.Duration{"a": delay(), "b": delay()}
			ab, ba := [2]time.Duration{delay(), delay()}, [2]time.Duration{delay(), delay()}
			w.connect = func(ctx context.Context, from, to rights.NodeID) error {
				time.Sleep(connects[from])
				if broken && from == "a" {
					return errRefused
				}
				return nil
			}
			w.pipe = func(from, to rights.NodeID) (net.Conn, net.Conn) {
				if from == "a" {
					return slow(ab[0], ab[1])
				}
				return slow(ba[0], ba[1])
			}
			a, b := w.start("a", 1), w.start("b", 1)
			wait := delay()
			if r.IntN(2) == 0 {
				a.Dial("b")
				time.Sleep(wait)
				b.Dial("a")
			} else {
				b.Dial("a")
				time.Sleep(wait)
				a.Dial("b")
			}
			time.Sleep(8 * time.Second)
			rest()
			x, y := a.Session("b"), b.Session("a")
			if x == nil || y == nil {
				t.Fatalf("seed %d: no session: a %s %v, b %s %v; connect %v wait %v pipes a %v b %v", seed, a.take(), a.lost, b.take(), b.lost, connects, wait, ab, ba)
			}
			if x.id.Dial != y.id.Dial || x.id.Mine == y.id.Mine {
				t.Errorf("seed %d: two sessions: %+v and %+v", seed, x.id, y.id)
			}
			ea, eb := a.take(), b.take()
			if eb != "[connected a]" || ea != "[connected b]" && !(broken && ea == "[unreachable b connected b]") {
				t.Errorf("seed %d: a %s, b %s", seed, ea, eb)
			}
			x.Send(dead(1))
			y.Send(dead(2))
			x.Flush()
			y.Flush()
			time.Sleep(3 * time.Second)
			expect(t, a, "[dead 2]")
			expect(t, b, "[dead 1]")
			a.Close()
			b.Close()
			time.Sleep(time.Minute)
		})
		if t.Failed() {
			return
		}
	}
}

// A dial that was given up, and connects all the same, does not replace the session
// for which it was given up.
func TestGivenUpTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		there := make(chan struct{})
		w.connect = func(_ context.Context, from, to rights.NodeID) error {
			if from == "b" {
				<-there
			}
			return nil
		}
		a, b := w.start("a", 1), w.start("b", 1)
		b.Dial("a")
		a.Dial("b")
		expect(t, a, "[connected b]")
		close(there)
		expect(t, a, "[]")
		expect(t, b, "[connected a]")
		a.Close()
		b.Close()
	})
}

// Nodes that dial each other all the time while connections break always come to
// a session again, and never have two: node's callbacks check that.
func TestChaos(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			delay := func(n int) time.Duration { return time.Duration(r.IntN(n)) * 10 * time.Millisecond }
			w := newNetwork(t)
			w.pipe = func(from, to rights.NodeID) (net.Conn, net.Conn) {
				w.mu.Lock()
				defer w.mu.Unlock()
				return slow(delay(50), delay(50))
			}
			names := []rights.NodeID{"a", "b", "c"}
			for i, name := range names {
				w.start(name, uint64(i+1))
			}
			stopped := []*node{}
			for i := range 200 {
				w.mu.Lock()
				d := delay(30)
				from, to := names[r.IntN(3)], names[r.IntN(3)]
				what := r.IntN(12)
				w.mu.Unlock()
				switch {
				case from == to:
				case what < 8:
					w.nodes[from].Dial(to)
				case what < 10:
					if s := w.nodes[from].Session(to); s != nil {
						s.Send(dead(1))
						s.Flush()
						s.conn.Close()
					}
				case what < 11:
					if s := w.nodes[from].Session(to); s != nil {
						s.Close(protocolError(rights.CodeInternal, "B4", "a test"))
					}
				default:
					stopped = append(stopped, w.nodes[from])
					go w.nodes[from].Close()
					w.start(from, uint64(i+10))
				}
				time.Sleep(d)
			}
			time.Sleep(time.Minute)
			for _, from := range names {
				for _, to := range names {
					if from == to {
						continue
					}
					x, err := w.nodes[from].Connect(t.Context(), to)
					if err != nil {
						t.Errorf("seed %d: %s and %s: %v", seed, from, to, err)
						continue
					}
					time.Sleep(10 * time.Second)
					if y := w.nodes[to].Session(from); y == nil || y.id.Dial != x.id.Dial || x.id.Mine == y.id.Mine {
						t.Errorf("seed %d: %s and %s do not have the same session", seed, from, to)
					}
				}
			}
			for _, n := range w.nodes {
				n.Close()
			}
			for _, n := range stopped {
				n.Close()
			}
			time.Sleep(time.Minute)
		})
		if t.Failed() {
			return
		}
	}
}
