package vnet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hurdlab/lab/vnet/fabric"
	"hurdlab/lab/vnet/stream"
)

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		cfg                   Config
		prefix, gateway, addr string
	}{
		{Config{}, "10.77.0.0/24", "10.77.0.1", "10.77.0.11/24"},
		{Config{Prefix: netip.MustParsePrefix("192.168.5.77/24")}, "192.168.5.0/24", "192.168.5.1", "192.168.5.11/24"},
		{Config{Prefix: netip.MustParsePrefix("172.16.3.32/27")}, "172.16.3.32/27", "172.16.3.33", "172.16.3.43/27"},
	} {
		s := start(t, c.cfg)
		n := addNode(t, s, "node1")
		if s.Prefix().String() != c.prefix || s.Gateway().String() != c.gateway || n.Addr().String() != c.addr {
			t.Errorf("%v: network %v, gateway %v, first node %v", c.cfg.Prefix, s.Prefix(), s.Gateway(), n.Addr())
		}
	}

	s := start(t, Config{})
	for i := range 3 {
		addNode(t, s, fmt.Sprintf("node%d", i+1))
	}
	n, ok := s.Node("node3")
	if !ok || n.Name() != "node3" || n.Addr().Addr().String() != "10.77.0.13" || n.MAC() != [6]byte{0x02, 'h', 'l', 0, 0, 13} {
		t.Errorf("third node: %v, %x", n.Addr(), n.MAC())
	}
	if _, ok := s.Node("node4"); ok {
		t.Error("there is a fourth node")
	}
	if _, ok := s.Node(GatewayName); ok {
		t.Error("the gateway is a node")
	}
	want := map[string]string{"gateway": "10.77.0.1", "node1": "10.77.0.11", "node2": "10.77.0.12", "node3": "10.77.0.13"}
	got := s.Hosts()
	for name, addr := range want {
		if got[name].String() != addr {
			t.Errorf("%s: %v, want %s", name, got[name], addr)
		}
	}
	if len(got) != len(want) {
		t.Errorf("hosts: %v", got)
	}
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []Config{
		{Prefix: netip.MustParsePrefix("fd00::/64")},
		{Prefix: netip.MustParsePrefix("10.0.0.0/28")},
		{Domain: "Lab"},
		{Domain: "a.b"},
		{MTU: 100},
		{MTU: 100000},
		{QueueBytes: 100},
		{QueueBytes: -1},
	} {
		if s, err := New(cfg); err == nil {
			s.Close()
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

func TestBadNodes(t *testing.T) {
	s := start(t, Config{Prefix: netip.MustParsePrefix("10.0.0.0/27")})
	addNode(t, s, "node1")
	for _, name := range []string{"", "Node2", "a.b", "-a", "a-", "a b", "*", "gateway", "lab", "node1", "7", strings.Repeat("x", 64)} {
		if _, err := s.AddNode(name); err == nil {
			t.Errorf("a node may be called %q", name)
		}
	}
	// A /27 has 32 addresses: 20 are left above the tenth and below the last.
	for i := 2; i <= 20; i++ {
		addNode(t, s, fmt.Sprintf("node%d", i))
	}
	if n, _ := s.Node("node20"); n.Addr().Addr().String() != "10.0.0.30" {
		t.Errorf("last node: %v", n.Addr())
	}
	if _, err := s.AddNode("node21"); err == nil || !strings.Contains(err.Error(), "room for 20 nodes") {
		t.Errorf("21st node: %v", err)
	}
}

// A wire is the far end of a NIC's connection, for frames made by hand.
type wire struct {
	t    testing.TB
	nic  *NIC
	conn net.Conn
	r    *stream.Reader
	gone <-chan struct{}
}

// newWire attaches a pipe to n, which holds nothing: what is not read stays in
// the switch.
func newWire(t testing.TB, n *NIC) *wire {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	return &wire{t: t, nic: n, conn: ours, r: stream.NewReader(ours), gone: attach(t, n, theirs)}
}

// etherType is the one for local experiments (IEEE 802).
const etherType = "\x88\xb5"

func frame(dst, src [6]byte, payload string) []byte {
	return append(append(dst[:], src[:]...), etherType+payload...)
}

var everyone = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// send sends a frame with a payload to a hardware address.
func (w *wire) send(dst [6]byte, payload string) {
	w.t.Helper()
	w.write(stream.Append(nil, frame(dst, w.nic.MAC(), payload)))
}

func (w *wire) write(b []byte) {
	w.t.Helper()
	if _, err := w.conn.Write(b); err != nil {
		w.t.Fatalf("%s: %v", w.nic.Name(), err)
	}
}

// next waits for a frame and returns its payload.
func (w *wire) next() string {
	w.t.Helper()
	f, err := w.r.Next()
	if err != nil {
		w.t.Fatalf("%s: %v", w.nic.Name(), err)
	}
	return string(f[fabric.HeaderLen:])
}

func (w *wire) wants(payloads ...string) {
	w.t.Helper()
	for _, want := range payloads {
		if got := w.next(); got != want {
			w.t.Errorf("%s gets %q, want %q", w.nic.Name(), got, want)
		}
	}
}

// counters returns those of one NIC.
func counters(t testing.TB, s *Switch, name string) NICCounters {
	t.Helper()
	for _, n := range s.Counters().NICs {
		if n.Name == name {
			return n
		}
	}
	t.Fatalf("no counters of %s", name)
	return NICCounters{}
}

// bare returns a switch without a gateway, for tests with synthetic time:
// gVisor's goroutines sleep in ways that synctest does not know.
func bare(t *testing.T, cfg Config) *Switch {
	t.Helper()
	s, err := newSwitch(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// three returns a bare switch with three nodes, all of which the switch knows.
func three(t *testing.T, cfg Config) (*Switch, [3]*wire) {
	t.Helper()
	s := bare(t, cfg)
	var w [3]*wire
	for i := range w {
		w[i] = newWire(t, addNode(t, s, fmt.Sprintf("node%d", i+1)))
	}
	for i := range w {
		w[i].send(everyone, "hello")
		for j := range w {
			if i != j {
				w[j].wants("hello")
			}
		}
	}
	return s, w
}

func TestSwitching(t *testing.T) {
	_, w := three(t, Config{})
	w[0].send(w[1].nic.MAC(), "for node2")
	w[0].send(w[2].nic.MAC(), "for node3")
	w[0].send(everyone, "for all")
	w[1].wants("for node2", "for all")
	w[2].wants("for node3", "for all")
}

// Frames that come in one piece, or in many, are the same.
func TestFramesInPieces(t *testing.T) {
	_, w := three(t, Config{})
	var b []byte
	for i := range 3 {
		b = stream.Append(b, frame(w[1].nic.MAC(), w[0].nic.MAC(), fmt.Sprint(i)))
	}
	w[0].write(b)
	w[1].wants("0", "1", "2")
	for _, c := range b {
		w[0].write([]byte{c})
	}
	w[1].wants("0", "1", "2")
}

func TestReattach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := three(t, Config{})
		w[1].send(w[0].nic.MAC(), "last words")
		w[0].wants("last words")
		w[1].conn.Close()
		<-w[1].gone
		if c := counters(t, s, "node2"); c.Attached || c.Detached != "the node has closed it" {
			t.Errorf("after EOF: attached %v, %q", c.Attached, c.Detached)
		}

		w[0].send(w[1].nic.MAC(), "into the void")
		synctest.Wait()
		if c := counters(t, s, "node2"); c.Unplugged != 1 {
			t.Errorf("%d frames dropped, want 1", c.Unplugged)
		}

		again := newWire(t, w[1].nic)
		w[0].send(w[1].nic.MAC(), "welcome back")
		again.wants("welcome back")
		again.send(w[0].nic.MAC(), "thanks")
		w[0].wants("thanks")
		if c := counters(t, s, "node2"); !c.Attached || c.Detached != "" {
			t.Errorf("after attaching: attached %v, %q", c.Attached, c.Detached)
		}

		// Plugging in a new cable pulls the old one.
		newest := newWire(t, w[1].nic)
		<-again.gone
		if _, err := again.conn.Write([]byte("x")); err == nil {
			t.Error("the old connection is still open")
		}
		w[0].send(w[1].nic.MAC(), "and again")
		newest.wants("and again")

		w[1].nic.Detach()
		<-newest.gone
		w[1].nic.Detach() // pulls nothing
		if c := counters(t, s, "node2"); c.Attached || c.Detached != "detached" {
			t.Errorf("after Detach: attached %v, %q", c.Attached, c.Detached)
		}
	})
}

// What was queued for a connection is not sent on the next one.
func TestQueueGoesWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, w := three(t, Config{})
		for range 10 {
			w[0].send(w[1].nic.MAC(), "old")
		}
		synctest.Wait()
		again := newWire(t, w[1].nic)
		w[0].send(w[1].nic.MAC(), "new")
		again.wants("new")
	})
}

func TestNodeThatDoesNotSpeakTheFraming(t *testing.T) {
	s, w := three(t, Config{})
	w[0].write([]byte("GET / HTTP/1.1\r\n"))
	<-w[0].gone
	if c := counters(t, s, "node1"); c.Attached || !strings.Contains(c.Detached, "does not speak QEMU's stream framing") {
		t.Errorf("attached %v, %q", c.Attached, c.Detached)
	}
	w[1].send(w[2].nic.MAC(), "and we")
	w[2].wants("and we")
}

// A node that takes nothing loses frames; the others do not, nor do they wait.
func TestStuckNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 10_000
		s, w := three(t, Config{QueueBytes: queue})
		payload := strings.Repeat("x", 1000)
		for i := range 100 {
			w[0].send(everyone, fmt.Sprint(i, payload))
			w[2].wants(fmt.Sprint(i, payload)) // node2 reads nothing
		}
		synctest.Wait()
		c := counters(t, s, "node2")
		if c.Full != 91 || c.Queued > queue || c.OutFrames != 102 {
			t.Errorf("full %d, queued %d, out %d", c.Full, c.Queued, c.OutFrames)
		}
		if c := counters(t, s, "node3"); c.Full != 0 {
			t.Errorf("node3 lost %d frames", c.Full)
		}
		// What was queued is in order.
		for i := range 9 {
			w[1].wants(fmt.Sprint(i, payload))
		}
		w[0].send(w[1].nic.MAC(), "awake")
		w[1].wants("awake")
	})
}

// The room of what a slow node has taken is free again, before it has taken
// all that was written for it.
func TestSlowNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := three(t, Config{QueueBytes: 4 * writeBytes})
		full := func() uint64 {
			synctest.Wait()
			return counters(t, s, "node2").Full
		}
		payload := strings.Repeat("x", 1000)
		for full() == 0 {
			w[0].send(w[1].nic.MAC(), payload)
		}
		// The first write had one frame, the second has as much as fits.
		if _, err := io.CopyN(io.Discard, w[1].conn, 1018+writeBytes); err != nil {
			t.Fatal(err)
		}
		for range writeBytes / 1018 {
			w[0].send(w[1].nic.MAC(), payload)
		}
		if n := full(); n != 1 {
			t.Errorf("%d frames dropped, want 1", n)
		}
	})
}

// A stubborn connection fails to write, and goes on to read after Close.
type stubborn struct {
	net.Conn
	release chan []byte
}

func (c *stubborn) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
func (c *stubborn) Close() error              { return nil }
func (c *stubborn) Read(b []byte) (int, error) {
	data, ok := <-c.release
	if !ok {
		return 0, io.EOF
	}
	return copy(b, data), nil
}

// What comes by a connection that was given up does not enter the switch.
func TestNothingAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := three(t, Config{})
		late := stream.Append(nil, frame(w[2].nic.MAC(), w[1].nic.MAC(), "late"))

		c := &stubborn{release: make(chan []byte)}
		gone := attach(t, w[1].nic, c)
		w[0].send(w[1].nic.MAC(), "this fails")
		synctest.Wait()
		if k := counters(t, s, "node2"); k.Attached || k.Detached != io.ErrClosedPipe.Error() {
			t.Errorf("attached %v, %q", k.Attached, k.Detached)
		}
		before := counters(t, s, "node2").InFrames
		c.release <- late
		<-gone
		if n := counters(t, s, "node2").InFrames; n != before {
			t.Errorf("%d frames came in after the end", n-before)
		}

		// Detach waits until nothing can come any more.
		c = &stubborn{release: make(chan []byte)}
		attach(t, w[1].nic, c)
		detached := false
		go func() {
			w[1].nic.Detach()
			detached = true
		}()
		synctest.Wait()
		if detached {
			t.Error("Detach has not waited for the reader")
		}
		close(c.release)
		synctest.Wait()
		if !detached {
			t.Error("Detach still waits")
		}
	})
}

func TestBadFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := three(t, Config{})
		w[0].write(stream.Append(nil, nil))
		w[0].write(stream.Append(nil, make([]byte, 13)))
		w[0].write(stream.Append(nil, make([]byte, 1519)))
		w[0].write(stream.Append(nil, make([]byte, stream.MaxFrame)))
		w[0].write(stream.Append(nil, frame(everyone, everyone, "from all")))
		w[0].send(w[1].nic.MAC(), "good")
		w[1].wants("good")
		if c := counters(t, s, "node1"); c.Short != 2 || c.Oversize != 2 || c.Invalid != 1 || c.InFrames != 7 {
			t.Errorf("counters: %+v", c)
		}
	})
}

// Delays take the time they should, with no frame in between to wake the
// switch up.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := three(t, Config{})
		for to, d := range map[string]time.Duration{"node2": 30 * time.Millisecond, "node3": 10 * time.Millisecond} {
			if err := s.SetFaults("node1", to, Faults{Delay: d}); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		w[0].send(everyone, "one")
		time.Sleep(5 * time.Millisecond)
		w[0].send(everyone, "two")
		for _, c := range []struct {
			w    *wire
			text string
			at   time.Duration
		}{{w[2], "one", 10}, {w[2], "two", 15}, {w[1], "one", 30}, {w[1], "two", 35}} {
			c.w.wants(c.text)
			if d := time.Since(began); d != c.at*time.Millisecond {
				t.Errorf("%s gets %q after %v, want %v ms", c.w.nic.Name(), c.text, d, int(c.at))
			}
		}
		w[1].send(w[0].nic.MAC(), "back")
		w[0].wants("back")
		if d := time.Since(began); d != 35*time.Millisecond {
			t.Errorf("the other direction is delayed: %v", d-35*time.Millisecond)
		}
	})
}

// A frame with a short delay does not wait for one with a long delay.
func TestShortDelayAfterLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := three(t, Config{})
		for to, d := range map[string]time.Duration{"node2": 30 * time.Millisecond, "node3": 10 * time.Millisecond} {
			if err := s.SetFaults("node1", to, Faults{Delay: d}); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		w[0].send(w[1].nic.MAC(), "long")
		synctest.Wait()
		w[0].send(w[2].nic.MAC(), "short")
		w[2].wants("short")
		if d := time.Since(began); d != 10*time.Millisecond {
			t.Errorf("the short delay took %v", d)
		}
		w[1].wants("long")
		if d := time.Since(began); d != 30*time.Millisecond {
			t.Errorf("the long delay took %v", d)
		}
	})
}

// A switch that is closed has nothing left to do.
func TestCloseWithFramesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := three(t, Config{})
		if err := s.SetFaults("node1", "node2", Faults{Delay: time.Second}); err != nil {
			t.Fatal(err)
		}
		w[0].send(w[1].nic.MAC(), "late")
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, w := range w {
			<-w.gone
		}
		time.Sleep(2 * time.Second)
		if c := counters(t, s, "node2"); c.OutFrames != 2 {
			t.Error("a frame came out after Close")
		}
		if err := s.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		ours, theirs := net.Pipe()
		if _, err := w[0].nic.Attach(theirs); !errors.Is(err, ErrClosed) {
			t.Errorf("Attach: %v", err)
		}
		if _, err := ours.Write(nil); err == nil {
			t.Error("Attach has not closed the connection")
		}
		if _, err := s.AddNode("node9"); !errors.Is(err, ErrClosed) {
			t.Errorf("AddNode: %v", err)
		}
		if _, err := s.Capture("", io.Discard); !errors.Is(err, ErrClosed) {
			t.Errorf("Capture: %v", err)
		}
		if _, err := s.DialContext(t.Context(), "tcp", "node1:22"); !errors.Is(err, ErrClosed) {
			t.Errorf("DialContext: %v", err)
		}
		if _, err := s.Forward("127.0.0.1:0", "node1", 22); !errors.Is(err, ErrClosed) {
			t.Errorf("Forward: %v", err)
		}
	})
}

func TestPartitionAndHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := three(t, Config{})
		heard := func(payload string) string {
			t.Helper()
			before := s.Counters()
			w[0].send(everyone, payload)
			synctest.Wait()
			var names []string
			for i, n := range s.Counters().NICs[2:] {
				if n.OutFrames > before.NICs[2+i].OutFrames {
					names = append(names, n.Name)
					w[1+i].wants(payload)
				}
			}
			return strings.Join(names, " ")
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		const both = "node2 node3"
		for i, c := range []struct {
			do   func()
			want string
		}{
			{func() {}, both},
			{func() { must(s.Partition([]string{"node1", "node3"})) }, "node3"},
			{func() { must(s.Partition([]string{"node1"}, []string{"node2"})) }, ""},
			{func() { must(s.Partition([]string{"node3"})) }, "node2"},
			{s.ClearFaults, "node2"},
			{s.Heal, both},
			{func() { must(s.Isolate("node2")) }, "node3"},
			{func() { must(s.Isolate("node3")) }, ""},
			{func() { must(s.Rejoin("node2")) }, "node2"},
			{s.Heal, both},
			{func() { must(s.SetFaults("node1", "node2", Faults{Cut: true, Loss: 0})) }, "node3"},
			{func() { must(s.SetFaults(AllNodes, AllNodes, Faults{Cut: true})) }, ""},
			{s.Heal, both},
			{func() { must(s.SetFaults("node1", AllNodes, Faults{Loss: 1})) }, ""},
			{s.Heal, ""},
			{s.ClearFaults, both},
		} {
			c.do()
			if got := heard(fmt.Sprint("step ", i)); got != c.want {
				t.Errorf("step %d is heard by %q, want %q", i, got, c.want)
			}
		}
	})
}

func TestState(t *testing.T) {
	s := start(t, Config{Seed: 42})
	for _, name := range []string{"node1", "node2", "node3"} {
		addNode(t, s, name)
	}
	check := func(want string) {
		t.Helper()
		b, err := json.Marshal(s.State())
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != want {
			t.Errorf("state:\n%s, want\n%s", b, want)
		}
	}
	check(`{"seed":42}`)
	for _, err := range []error{
		s.SetFaults("node1", "node2", Faults{Delay: 10 * time.Millisecond, Loss: 0.1}),
		s.EditFaults("node1", "node2", func(f *Faults) { f.Loss = 0.25 }),
		s.SetFaults(GatewayName, "node1", Faults{Duplicate: 1}),
		s.Partition([]string{"node1", "gateway"}, []string{"node2"}),
		s.Isolate("node3"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(`{"seed":42,"partition":[["node1","gateway"],["node2"]],"isolated":["node3"],"links":[` +
		`{"from":"gateway","to":"node1","faults":{"duplicate":1}},` +
		`{"from":"node1","to":"node2","faults":{"loss":0.25,"delay_ns":10000000}}]}`)
	// It can be read back.
	b, err := json.Marshal(s.State())
	if err != nil {
		t.Fatal(err)
	}
	var back State
	if err := json.Unmarshal(b, &back); err != nil || back.Links[1].Faults.Delay != 10*time.Millisecond {
		t.Errorf("read back: %+v, %v", back, err)
	}
	s.Heal()
	s.ClearFaults()
	check(`{"seed":42}`)
	// All nodes does not mean the gateway.
	if err := s.SetFaults("node1", AllNodes, Faults{Loss: 1}); err != nil {
		t.Fatal(err)
	}
	check(`{"seed":42,"links":[{"from":"node1","to":"node2","faults":{"loss":1}},{"from":"node1","to":"node3","faults":{"loss":1}}]}`)
}

func TestBadFaults(t *testing.T) {
	s := start(t, Config{})
	addNode(t, s, "node1")
	addNode(t, s, "node2")
	for what, err := range map[string]error{
		"an unknown source":       s.SetFaults("node3", "node1", Faults{}),
		"an unknown destination":  s.SetFaults("node1", "node3", Faults{}),
		"a link to itself":        s.SetFaults("node1", "node1", Faults{}),
		"a probability of 2":      s.SetFaults("node1", "node2", Faults{Loss: 2}),
		"no groups":               s.Partition(),
		"an empty group":          s.Partition([]string{"node1"}, nil),
		"an unknown node":         s.Partition([]string{"node3"}),
		"a node in two groups":    s.Partition([]string{"node1"}, []string{"node1", "node2"}),
		"isolation of a stranger": s.Isolate("node3"),
		"rejoining of a stranger": s.Rejoin("node3"),
	} {
		if err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	// Nothing is changed by a change that is refused in part.
	if err := s.SetFaults("node2", "node1", Faults{Loss: 0.5}); err != nil {
		t.Fatal(err)
	}
	if err := s.EditFaults(AllNodes, AllNodes, func(f *Faults) { f.Loss += 0.6 }); err == nil {
		t.Error("a loss of 1.1 is accepted")
	}
	if st := s.State(); len(st.Links) != 1 || st.Links[0].Faults.Loss != 0.5 || st.Partition != nil {
		t.Errorf("state: %+v", st)
	}
}

func TestCapture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := three(t, Config{})
		if err := s.SetFaults("node1", "node2", Faults{Loss: 1}); err != nil {
			t.Fatal(err)
		}
		if err := s.SetFaults("node2", "node1", Faults{Delay: time.Second}); err != nil {
			t.Fatal(err)
		}
		files := map[string]*bytes.Buffer{"": new(bytes.Buffer), "node1": new(bytes.Buffer), "node2": new(bytes.Buffer)}
		var captures []*Capture
		for node, file := range files {
			c, err := s.Capture(node, file)
			if err != nil {
				t.Fatal(err)
			}
			captures = append(captures, c)
		}
		w[0].send(w[1].nic.MAC(), "lost")
		w[1].send(w[0].nic.MAC(), "late")
		w[2].send(w[1].nic.MAC(), "other")
		w[1].wants("other")
		w[0].wants("late")
		for _, c := range captures {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if c.Dropped() != 0 {
				t.Errorf("%d frames dropped", c.Dropped())
			}
		}
		w[2].send(everyone, "unseen")
		w[0].wants("unseen")
		const second = 1_000_000_000
		for node, want := range map[string][]record{
			"":      {{0, "lost"}, {0, "late"}, {0, "other"}},
			"node1": {{0, "lost"}, {second, "late"}},
			"node2": {{0, "late"}, {0, "other"}},
		} {
			got := readPcap(t, files[node].Bytes())
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("capture of %q: %v, want %v", node, got, want)
			}
		}
		if _, err := s.Capture("node9", io.Discard); err == nil {
			t.Error("a node that does not exist is captured")
		}
	})
}

// A record is a captured frame: nanoseconds since the first one, payload.
type record struct {
	after   uint64
	payload string
}

func readPcap(t *testing.T, b []byte) (rs []record) {
	t.Helper()
	var first uint64
	for b = b[24:]; len(b) > 0; {
		at := uint64(binary.LittleEndian.Uint32(b))*1e9 + uint64(binary.LittleEndian.Uint32(b[4:]))
		n := binary.LittleEndian.Uint32(b[8:])
		if first == 0 {
			first = at
		}
		rs = append(rs, record{at - first, string(b[16+fabric.HeaderLen : 16+n])})
		b = b[16+n:]
	}
	return rs
}

// stuckWriter never takes anything, until it is closed.
type stuckWriter chan struct{}

func (w stuckWriter) Write(b []byte) (int, error) {
	<-w
	return len(b), nil
}

func TestStuckCapture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := three(t, Config{})
		file := make(stuckWriter)
		if _, err := s.Capture("", file); err != nil {
			t.Fatal(err)
		}
		payload := strings.Repeat("x", 1500)
		for range 3000 {
			w[0].send(w[1].nic.MAC(), payload)
			w[1].wants(payload)
		}
		if s.Counters().CaptureDropped == 0 {
			t.Error("a capture of 4.5 MB fits into 4 MiB")
		}
		close(file) // else Close would wait for it
	})
}
