package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

func code(t *testing.T, err error) rights.Code {
	t.Helper()
	e, ok := errors.AsType[*rights.ProtocolError](err)
	if !ok {
		t.Errorf("%T: %v", err, err)
		return 255
	}
	return e.Code
}

// bystander checks that a session with another node is well.
func bystander(t *testing.T, w *network, n *node) func() {
	good := w.start("good", 1)
	good.Dial(n.name)
	rest()
	n.take()
	return func() {
		t.Helper()
		good.take()
		n.Session("good").Send(dead(1))
		n.Session("good").Flush()
		expect(t, good, "[dead 1]")
		n.Close()
		good.Close()
	}
}

// A greeting that is not right leads to no session, and to a CLOSE that says why.
func TestBadGreetings(t *testing.T) {
	with := func(f func(*wire.Greeting)) []byte {
		g := rawGreeting()
		f(&g)
		b, err := wire.AppendGreeting(nil, &g)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	epoch := with(func(g *wire.Greeting) {})
	at := bytes.Index(epoch, binary.LittleEndian.AppendUint64(nil, rawSelf.Epoch))
	clear(epoch[at : at+8])
	for name, c := range map[string]struct {
		b    []byte
		code rights.Code // 255: no CLOSE
	}{
		"another protocol":   {[]byte("GET / HTTP/1.1\r\n\r\n"), 255},
		"TLS":                {[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on"), 255},
		"a long one":         {[]byte("netmsg\r\n\x00\x00\x00\x10"), rights.CodeLimit},
		"no epoch":           {epoch, rights.CodeProtocol},
		"another name":       {with(func(g *wire.Greeting) { g.Node.Node = "good" }), rights.CodeProtocol},
		"for another":        {with(func(g *wire.Greeting) { g.To = "good" }), rights.CodeProtocol},
		"no number":          {with(func(g *wire.Greeting) { g.Dial = 0 }), rights.CodeProtocol},
		"a later version":    {with(func(g *wire.Greeting) { g.MinVersion, g.MaxVersion = 7, 9 }), rights.CodeVersion},
		"versions the wrong": {with(func(g *wire.Greeting) { g.MinVersion, g.MaxVersion = 2, 1 }), rights.CodeProtocol},
		"short messages":     {with(func(g *wire.Greeting) { g.Message = 1000 }), rights.CodeLimit},
		"no window":          {with(func(g *wire.Greeting) { g.Window = 0 }), rights.CodeProtocol},
		"a CLOSE":            {wire.AppendControl(nil, wire.Close{Err: rights.ProtocolError{Code: rights.CodeBye, Text: "x"}}), 255},
		"nothing for long":   {nil, rights.CodeTimeout},
		"half of it":         {with(func(*wire.Greeting) {})[:30], rights.CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNetwork(t)
				n := w.start("node", 1)
				well := bystander(t, w, n)
				r := rawPeer(t, n)
				r.write(c.b)
				e := r.closed()
				if c.code == 255 && e != nil || c.code != 255 && (e == nil || e.Code != c.code) {
					t.Errorf("CLOSE %+v", e)
				}
				expect(t, n, "[]")
				well()
			})
		})
	}
}

// The one who dials is told, too.
func TestBadGreetingsInAnswer(t *testing.T) {
	g := rawGreeting()
	g.Dial = 0
	g.Node.Node = "peer"
	answer := func(f func(*wire.Greeting)) []byte {
		g := g
		f(&g)
		b, err := wire.AppendGreeting(nil, &g)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		b     []byte
		check func(error) bool
	}{
		"magic":   {[]byte("220 mail.example.org ESMTP\r\n"), func(err error) bool { return errors.Is(err, wire.ErrMagic) }},
		"name":    {answer(func(g *wire.Greeting) { g.Node.Node = "other" }), func(err error) bool { return code(t, err) == rights.CodeProtocol }},
		"version": {answer(func(g *wire.Greeting) { g.MinVersion, g.MaxVersion = 7, 9 }), func(err error) bool { return code(t, err) == rights.CodeVersion }},
		"number":  {answer(func(g *wire.Greeting) { g.Dial = 1 }), func(err error) bool { return code(t, err) == rights.CodeProtocol }},
		"close": {wire.AppendControl(nil, wire.Close{Err: rights.ProtocolError{Code: rights.CodeReplaced, Text: "x"}}), func(err error) bool {
			_, ok := errors.AsType[*PeerError](err)
			return ok && code(t, err) == rights.CodeReplaced
		}},
		"end": {[]byte{}, func(err error) bool { return errors.Is(err, ErrLost) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNetwork(t)
				w.nodes["peer"] = w.start("x", 1)
				w.pipe = func(from, to rights.NodeID) (net.Conn, net.Conn) {
					x, y := net.Pipe()
					_, z := net.Pipe()
					go func() {
						go io.Copy(io.Discard, y)
						y.Write(c.b)
						time.Sleep(time.Second)
						y.Close()
					}()
					return x, z
				}
				n := w.start("node", 1)
				n.Dial("peer")
				time.Sleep(time.Minute)
				expect(t, n, "[unreachable peer]")
				if err := n.lastLost(); !c.check(err) {
					t.Error(err)
				}
				n.Close()
				w.nodes["x"].Close()
			})
		})
	}
}

// What is no record ends the session with the error that it is, and only that one.
func TestBadRecords(t *testing.T) {
	frame := func(b ...byte) []byte { return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...) }
	good := frame(0x04, 5)
	for name, c := range map[string]struct {
		b    []byte
		code rights.Code
	}{
		"garbage":              {[]byte("\x10\x00\x00\x00garbage garbage garbage"), rights.CodeProtocol},
		"an empty frame":       {frame(), rights.CodeProtocol},
		"a long frame":         {[]byte{0xff, 0xff, 0xff, 0x7f}, rights.CodeLimit},
		"the longest frame":    {[]byte{0xff, 0xff, 0xff, 0xff}, rights.CodeLimit},
		"a type there is not":  {frame(0x0a, 5), rights.CodeProtocol},
		"a short ping":         {frame(0x0d, 5), rights.CodeProtocol},
		"another greeting":     {[]byte("netmsg\r\n\x00\x00\x00\x00"), rights.CodeLimit},
		"more rights than":     {frame(0x01, 1, 0xff, 0xff, 0x7f), rights.CodeLimit},
		"two forms of a right": {frame(0x08, 1, 0x08), rights.CodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNetwork(t)
				n := w.start("node", 1)
				well := bystander(t, w, n)
				r := rawPeer(t, n)
				r.greet()
				r.write(append(bytes.Clone(good), c.b...))
				// What came before is heard.
				expect(t, n, "[connected raw dead 5 lost raw]")
				e := r.closed()
				if e == nil || e.Code != c.code || code(t, n.lastLost()) != c.code || e.Text == "" || e.Rule == "" {
					t.Errorf("%v, CLOSE %+v", n.lastLost(), e)
				}
				well()
			})
		})
	}
}

// A connection that ends anywhere ends the session: with no more records than there were.
func TestCutAnywhere(t *testing.T) {
	codec := wire.Codec{Self: rawSelf, Peer: rights.Incarnation{Node: "node", Epoch: 1}}
	g := rawGreeting()
	all, err := wire.AppendGreeting(nil, &g)
	if err != nil {
		t.Fatal(err)
	}
	ends := []int{len(all)}
	for i := range 3 {
		all, err = codec.Append(all, &rights.Record{Type: rights.RecRelease, ID: rights.ID{Origin: codec.Peer, Num: uint64(i)}, N: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(all))
	}
	for cut := range len(all) {
		synctest.Test(t, func(t *testing.T) {
			w := newNetwork(t)
			n := w.start("node", 1)
			r := rawPeer(t, n)
			r.write(all[:cut])
			rest()
			r.conn.Close()
			rest()
			want := "[]"
			if cut >= ends[0] {
				want = "[connected raw"
				for i, end := range ends[1:] {
					if cut >= end {
						want += " release " + string(rune('0'+i))
					}
				}
				want += " lost raw]"
				if err := n.lastLost(); !errors.Is(err, ErrLost) {
					t.Errorf("cut at %d: %v", cut, err)
				}
			}
			expect(t, n, want)
			n.Close()
		})
	}
}

// A peer that falls silent is asked, and given up.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		n := w.start("node", 1)
		well := bystander(t, w, n)
		start := time.Now()
		r := rawPeer(t, n)
		r.greet()
		e := r.closed()
		if d := time.Since(start); d < 20*time.Second || d > 22*time.Second {
			t.Errorf("after %v", d)
		}
		if e == nil || e.Code != rights.CodeTimeout || code(t, n.lastLost()) != rights.CodeTimeout {
			t.Errorf("%v, CLOSE %+v", n.lastLost(), e)
		}
		expect(t, n, "[connected raw lost raw]")
		well()
	})
}

// Two nodes that have nothing to say stay connected, and know how far they are.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		w.pipe = func(from, to rights.NodeID) (net.Conn, net.Conn) {
			return slow(20*time.Millisecond, 30*time.Millisecond)
		}
		a, b := w.start("a", 1), w.start("b", 1)
		a.Dial("b")
		time.Sleep(time.Hour)
		expect(t, a, "[connected b]")
		expect(t, b, "[connected a]")
		if rtt := a.Session("b").Stats().RTT; rtt < 49*time.Millisecond || rtt > 51*time.Millisecond {
			t.Errorf("a round trip of %v", rtt)
		}
		a.Close()
		time.Sleep(time.Minute)
		b.Close()
	})
}

// A peer that does not read gets so much and no more.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		n := w.start("node", 1, func(c *Config) { c.Queue = 10000 })
		well := bystander(t, w, n)
		x, y := net.Pipe()
		n.Accept(y, "raw")
		r := &raw{t, x, nil}
		r.greet()
		expect(t, n, "[connected raw]")
		s := n.Session("raw")
		sent := 0
		for ; s.Queued() < 10000 && sent < 10000; sent++ {
			s.Send(dead(uint64(sent)))
			s.Flush()
			if s.over() != nil {
				break
			}
		}
		expect(t, n, "[lost raw]")
		if code(t, n.lastLost()) != rights.CodeLimit || sent < 100 || sent > 2000 {
			t.Errorf("%v after %d", n.lastLost(), sent)
		}
		time.Sleep(2 * time.Second)
		if _, err := io.ReadAll(x); err != nil {
			t.Error(err)
		}
		well()
	})
}

// One message may be larger than all that may wait. It does not count then.
func TestLargerThanTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		n := w.start("node", 1, func(c *Config) { c.Queue = 10000 })
		x, y := net.Pipe()
		n.Accept(y, "raw")
		r := &raw{t, x, nil}
		r.greet()
		expect(t, n, "[connected raw]")
		s := n.Session("raw")
		to := rights.ID{Origin: s.Peer(), Num: 1}
		s.Send(large(t, heap{}, to, 30000))
		s.Flush()
		rest()
		s.Send(dead(1))
		rest()
		if err := s.over(); err != nil {
			t.Fatalf("one message: %v", err)
		}
		s.Send(large(t, heap{}, to, 30000))
		rest()
		expect(t, n, "[lost raw]")
		if code(t, n.lastLost()) != rights.CodeLimit {
			t.Error(n.lastLost())
		}
		time.Sleep(2 * time.Second)
		if _, err := io.ReadAll(x); err != nil {
			t.Error(err)
		}
	})
}

// A peer that reads nothing, but talks, is given up, too.
func TestStuckWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		n := w.start("node", 1)
		well := bystander(t, w, n)
		x, y := net.Pipe()
		n.Accept(y, "raw")
		r := &raw{t, x, nil}
		r.greet()
		go func() {
			for range 10 {
				time.Sleep(4 * time.Second)
				r.write([]byte{2, 0, 0, 0, 4, 5})
			}
		}()
		time.Sleep(50 * time.Second)
		rest()
		if got := n.take(); !strings.HasPrefix(got, "[connected raw dead 5 dead 5") || !strings.HasSuffix(got, "lost raw]") {
			t.Error(got)
		}
		if code(t, n.lastLost()) != rights.CodeTimeout {
			t.Error(n.lastLost())
		}
		well()
	})
}

func TestTooManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		n := w.start("node", 1)
		well := bystander(t, w, n)
		var list []*raw
		for range 100 {
			list = append(list, rawPeer(t, n))
		}
		rest()
		open := 0
		for _, r := range list {
			select {
			case <-r.got:
			default:
				open++
			}
		}
		if open != maxPending {
			t.Errorf("%d connections are open", open)
		}
		time.Sleep(time.Minute)
		well()
	})
}

// Whatever a peer sends, what it makes a node keep has a bound.
func TestMemoryIsBounded(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	claim := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	ping := wire.AppendControl(nil, wire.Ping{N: 1})
	body := machwire.New(machwire.Layout32, 1)
	body.PutData(machwire.Byte, make([]byte, 2000))
	body.SetDest(0, 0)
	received, err := machwire.Parse(machwire.Layout32, body.Buffer(0), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := wire.Encode(received, nil)
	if err != nil {
		t.Fatal(err)
	}
	codec := wire.Codec{Self: rawSelf, Peer: rights.Incarnation{Node: "node", Epoch: 1}}
	message, err := codec.Append(nil, &rights.Record{Type: rights.RecMessage, ID: rights.ID{Origin: codec.Peer, Num: 1}, Message: &rights.Message{Body: b}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		once, again []byte // again until the session ends or it is enough
		read        bool
		bound       uint64
	}{
		"a length without a frame": {once: claim(15 << 20), read: true, bound: 3 << 20},
		"half a frame":             {once: append(claim(15<<20), make([]byte, 7<<20)...), read: true, bound: 20 << 20},
		"messages":                 {again: message, read: true, bound: 2 << 20},
		"pings, unread":            {again: ping, bound: 3 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			w := newNetwork(t)
			n := w.start("node", 1, func(c *Config) { c.Queue = 1 << 20; c.Linger = 10 * time.Millisecond })
			n.onReceive = func(*Session, []rights.Record) {}
			before := heap()
			x, y := net.Pipe()
			n.Accept(y, "raw")
			if c.read {
				go io.Copy(io.Discard, x)
			}
			r := &raw{t, x, nil}
			r.greet()
			x.Write(c.once)
			if c.again != nil {
				many := bytes.Repeat(c.again, 1+100_000/len(c.again))
				_ = x.SetWriteDeadline(time.Now().Add(20 * time.Second))
				for total := 0; total < 50<<20; total += len(many) {
					if _, err := x.Write(many); err != nil {
						break
					}
					n.take()
				}
			}
			n.take()
			if after := heap(); after > before+c.bound {
				t.Errorf("%d KB more are in use", (after-before)>>10)
			} else {
				t.Logf("%d KB more are in use", (int64(after)-int64(before))>>10)
			}
			x.Close()
			n.Close()
			if after := heap(); after > before+1<<20 {
				t.Errorf("%d KB more are in use afterwards", (after-before)>>10)
			}
			if err := n.lastLost(); c.again != nil && !c.read && code(t, err) != rights.CodeLimit {
				t.Error(err)
			}
		})
	}
}
