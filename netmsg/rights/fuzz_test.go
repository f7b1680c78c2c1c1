package rights

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// FuzzPeer has a peer that says anything. Whatever it says, the table stays
// whole, keeps no more than its limits allow, and has nothing left of the peer
// when the session is over; another session does not notice.
func FuzzPeer(f *testing.F) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		b := make([]byte, 40+rnd.IntN(400))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		limits := Limits{Window: 2, Budget: 200, Message: 100, Rights: 4, Holds: 8, Claims: 3}
		self, bad, good := Incarnation{"self", 1}, Incarnation{"bad", 2}, Incarnation{"good", 3}
		n := New(Config{Self: self, Limits: limits, Key: func(num uint64) Key { return Key{1, byte(num)} }})
		n.Connected(good, 2, 200)
		n.Connected(bad, 2, 200)
		door := n.NewPort()
		n.Offer("good", door)
		n.Offer("bad", door)
		next := func() byte {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return b
		}
		id := func() ID {
			b := next()
			return ID{[]Incarnation{self, bad, good, {"other", 4}, {"self", 9}}[int(b>>4)%5], uint64(b & 7)}
		}
		var waiting []uint64
		var proxies []Port
		act := func() {
			for _, a := range n.Actions() {
				switch a := a.(type) {
				case Deliver:
					waiting = append(waiting, a.Delivery)
				case Yield:
					for _, d := range a.Front {
						waiting = append(waiting, d.Delivery)
					}
				case NewProxy:
					proxies = append(proxies, a.Port)
				case Close:
					if a.Peer != "bad" {
						t.Fatalf("closes %s: %v", a.Peer, a.Err)
					}
				}
			}
			if err := n.Check(); err != nil {
				t.Fatal(err)
			}
		}
		act()
		for len(script) > 0 {
			switch op := next(); op % 16 {
			case 0:
				if len(waiting) > 0 {
					n.Delivered(waiting[0])
					waiting = waiting[1:]
				}
			case 1:
				if len(proxies) > 0 {
					n.Sent(proxies[int(next())%len(proxies)], LocalMessage{Body: text{"", 10}, Rights: []LocalRight{{SendOnce, n.NewPort()}}})
				}
			case 2:
				if len(proxies) > 0 {
					n.NoSenders(proxies[int(next())%len(proxies)], uint32(next()))
				}
			case 3:
				if len(proxies) > 0 {
					n.Flushed(proxies[int(next())%len(proxies)])
				}
			case 4:
				n.Unreachable("other")
			case 5:
				n.Connected(bad, 2, 200)
				n.Offer("bad", door)
			default:
				r := Record{Type: RecordType(op>>4)%9 + 1, ID: id(), N: uint64(next() % 4), Key: Key{1, next()}, Node: []NodeID{"self", "bad", "good", "other"}[next()%4]}
				flags := next()
				r.Once, r.Dead = flags&1 != 0, flags&2 != 0
				if flags&4 == 0 {
					r.Message = &Message{Body: text{"", int(next())}}
					for range flags >> 5 {
						r.Message.Rights = append(r.Message.Rights, Right{Kind: Kind(next() % 6), ID: id(), Counted: flags&8 != 0})
					}
				}
				n.Receive("bad", r)
			}
			act()
			if s := n.Stats(); s.Homes+s.Imports+s.Dead > 64 || s.Bytes > 10_000 {
				t.Fatalf("%+v", s)
			}
		}
		n.Lost("bad")
		act()
		if s := n.sessions["good"]; s == nil {
			t.Fatal("the other session is gone")
		}
		for _, d := range waiting {
			n.Delivered(d)
		}
		for _, p := range proxies {
			if e := n.ports[p]; e != nil {
				n.Flushed(p)
				n.Extinct(p)
				n.NoSenders(p, e.made)
			}
		}
		act()
		n.Lost("good")
		n.Unreachable("other")
		act()
		if len(n.entries) > 0 {
			t.Fatalf("left:\n%s", n.Dump())
		}
	})
}

// TestClone checks that a clone has the state of its original, and that neither
// changes with the other.
func TestClone(t *testing.T) {
	w := newWorld()
	for _, line := range []string{"nodes a b c", "connect a b", "connect b c", "a offers door to b", "c offers hall to b", "settle",
		"door fills at a", "b sends door, send p", "b sends hall, send door", "settle", "unreachable c a", "c sends door", "settle", "b sends door, receive p"} {
		if err := w.line(line); err != nil {
			t.Fatal(line, err)
		}
	}
	for _, name := range w.names {
		n := w.nodes[name].Node
		before := n.Dump()
		c := n.Clone()
		if got := c.Dump(); got != before {
			t.Errorf("%s: clone\n%swant\n%s", name, got, before)
		}
		if err := c.Check(); err != nil {
			t.Error(name, err)
		}
		for _, peer := range w.names {
			c.Lost(peer)
		}
		if err := c.Check(); err != nil {
			t.Error(name, err)
		}
		if got := n.Dump(); got != before {
			t.Errorf("%s: after a change of the clone\n%swant\n%s", name, got, before)
		}
	}
}

// BenchmarkNullRPC is what the table costs a request and its answer, on both
// nodes together.
func BenchmarkNullRPC(b *testing.B) {
	key := func(num uint64) (k Key) {
		binary.LittleEndian.PutUint64(k[:], num)
		return k
	}
	x, y := New(Config{Self: Incarnation{"x", 1}, Key: key}), New(Config{Self: Incarnation{"y", 2}, Key: key})
	x.Connected(Incarnation{"y", 2}, 8, 1<<20)
	y.Connected(Incarnation{"x", 1}, 8, 1<<20)
	x.Offer("y", x.NewPort())
	var proxy, reply Port
	pass := func(from, to *Node, name NodeID) {
		for _, a := range from.Actions() {
			switch a := a.(type) {
			case Transmit:
				to.Receive(name, a.Record)
			case Deliver:
				from.Delivered(a.Delivery)
				if len(a.Message.Rights) > 0 {
					reply = a.Message.Rights[0].Port
				}
			}
		}
	}
	for _, a := range x.Actions() {
		if t, ok := a.(Transmit); ok {
			y.Receive("x", t.Record)
		}
	}
	for _, a := range y.Actions() {
		if o, ok := a.(Offered); ok {
			proxy = o.Port
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		y.Sent(proxy, LocalMessage{Body: text{"", 32}, Rights: []LocalRight{{SendOnce, y.NewPort()}}})
		pass(y, x, "y")
		pass(x, y, "x")
		x.Sent(reply, LocalMessage{Body: text{"", 32}})
		pass(x, y, "x")
		pass(y, x, "y")
		pass(x, y, "x")
	}
	if s := fmt.Sprint(x.Stats(), y.Stats()); len(x.entries) != 1 {
		b.Fatal(s)
	}
}
