package vnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"

	"hurdlab/lab/vnet/stream"
)

// These tests use real sockets and TCP/IP stacks for the nodes. Nothing in them
// waits for a time to pass but TCP itself.

// twoGuests returns a switch with two nodes that run.
func twoGuests(t testing.TB, cfg Config) (*Switch, *guest, *guest) {
	t.Helper()
	s := start(t, cfg)
	return s, newGuest(t, addNode(t, s, "node1")), newGuest(t, addNode(t, s, "node2"))
}

// echo sends back what comes, and ends when the other side does.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

// checkEcho sends data over c, which leads to echo, and closes it.
func checkEcho(t testing.TB, c net.Conn, data []byte) {
	t.Helper()
	defer c.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.(interface{ CloseWrite() error }).CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("reading after %d of %d bytes: %v", len(got), len(data), err)
	}
	if err := <-sent; err != nil {
		t.Errorf("writing: %v", err)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes sent, %d came back; checksums %08x, %08x", len(data), len(got), crc32.ChecksumIEEE(data), crc32.ChecksumIEEE(got))
	}
}

func pattern(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := uint64(0); len(b) < n; i++ {
		b = binary.BigEndian.AppendUint64(b, i*0x9e3779b97f4a7c15)
	}
	return b[:n]
}

func TestNodeToNode(t *testing.T) {
	_, g1, g2 := twoGuests(t, Config{})
	go echo(g2.listen(7))
	c, err := g1.dial(t.Context(), g2.nic.Addr().Addr(), 7)
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, c, pattern(1<<20))
}

func TestHostToNode(t *testing.T) {
	for _, mtu := range []int{576, 1500, 9000} {
		t.Run(fmt.Sprint("MTU ", mtu), func(t *testing.T) {
			s, g1, _ := twoGuests(t, Config{MTU: mtu})
			go echo(g1.listen(22))
			var wg sync.WaitGroup
			for _, address := range []string{"node1:22", "NODE1.lab:22", "10.77.0.11:22"} {
				wg.Go(func() {
					c, err := s.DialContext(t.Context(), "tcp", address)
					if err != nil {
						t.Error(err)
						return
					}
					checkEcho(t, c, pattern(300_000))
				})
			}
			wg.Wait()
		})
	}
}

func TestDialErrors(t *testing.T) {
	s, g1, _ := twoGuests(t, Config{})
	addNode(t, s, "node3") // is never started
	ctx := t.Context()
	for _, c := range []struct{ network, address, want string }{
		{"tcp", "node9:22", `no host is called "node9"; there are ["gateway" "node1" "node2" "node3"]`},
		{"tcp", "node1", "missing port"},
		{"tcp", "node1:ssh", `port "ssh"`},
		{"tcp", "node1:0", `port "0"`},
		{"tcp", "node1:65536", `port "65536"`},
		{"tcp", "192.0.2.1:22", "not on the lab's network 10.77.0.0/24"},
		{"tcp", "[::1]:22", "not on the lab's network"},
		{"sctp", "node1:22", "unknown network"},
	} {
		if _, err := s.DialContext(ctx, c.network, c.address); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.network, c.address, err, c.want)
		}
	}
	if _, err := s.DialContext(ctx, "tcp", "node1:23"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port where nobody listens: %v", err)
	}
	if _, err := s.DialContext(ctx, "tcp", "node3:22"); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("a node that is not there: %v", err)
	}

	// Cancelling ends the wait for a node that does not answer.
	l := g1.listen(22)
	defer l.Close()
	if err := s.SetFaults("node1", GatewayName, Faults{Cut: true}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error)
	go func() {
		_, err := s.DialContext(ctx, "tcp", "node1:22")
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUDPFromHost(t *testing.T) {
	s, g1, _ := twoGuests(t, Config{})
	at := full(g1.nic.Addr().Addr(), 9)
	u, err := gonet.DialUDP(g1.stack, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	c, err := s.DialContext(t.Context(), "udp", "node1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, want := range [][]byte{[]byte("ping"), pattern(4000)} { // in one packet, and in three
		if _, err := c.Write(want); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 5000)
		n, from, err := u.ReadFrom(b)
		if err != nil || !bytes.Equal(b[:n], want) {
			t.Fatalf("%d bytes, want %d: %v", n, len(want), err)
		}
		if _, err := u.WriteTo(b[:n], from); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(b); err != nil || !bytes.Equal(b[:n], want) {
			t.Errorf("%d bytes back, want %d: %v", n, len(want), err)
		}
	}
}

// ping sends an echo request and waits for the reply.
func (g *guest) ping(addr netip.Addr) {
	g.t.Helper()
	var wq waiter.Queue
	ep, e := g.stack.NewEndpoint(icmp.ProtocolNumber4, ipv4.ProtocolNumber, &wq)
	if e != nil {
		g.t.Fatal(e)
	}
	if e := ep.Connect(full(addr, 0)); e != nil {
		g.t.Fatal(e)
	}
	c := gonet.NewUDPConn(&wq, ep) // good for any kind of packets
	defer c.Close()
	request := header.ICMPv4(append(make([]byte, header.ICMPv4MinimumSize), "are you there"...))
	request.SetType(header.ICMPv4Echo)
	request.SetSequence(7)
	if _, err := c.Write(request); err != nil {
		g.t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		g.t.Fatal(err)
	}
	reply := header.ICMPv4(b[:n])
	if reply.Type() != header.ICMPv4EchoReply || reply.Sequence() != 7 || string(reply.Payload()) != "are you there" {
		g.t.Errorf("ping %v: reply %x", addr, b[:n])
	}
}

func TestPing(t *testing.T) {
	s, g1, g2 := twoGuests(t, Config{})
	g1.ping(s.Gateway())
	g1.ping(g2.nic.Addr().Addr())
}

func TestDNS(t *testing.T) {
	s, g1, _ := twoGuests(t, Config{Domain: "example"})
	addNode(t, s, "node3") // after the server was started
	tcp, err := g1.dial(t.Context(), s.Gateway(), 53)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	for network, conn := range map[string]net.Conn{"udp": g1.dialUDP(s.Gateway(), 53), "tcp": tcp} {
		client, conn := &dns.Client{Net: network}, &dns.Conn{Conn: conn}
		for _, c := range []struct {
			name  string
			qtype uint16
			want  string
		}{
			{"node2.", dns.TypeA, "NOERROR 10.77.0.12"},
			{"node3.example.", dns.TypeA, "NOERROR 10.77.0.13"},
			{"gateway.", dns.TypeA, "NOERROR 10.77.0.1"},
			{"13.0.77.10.in-addr.arpa.", dns.TypePTR, "NOERROR node3.example."},
			{"node4.", dns.TypeA, "NXDOMAIN"},
		} {
			m, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion(c.name, c.qtype), conn)
			if err != nil {
				t.Fatalf("%s over %s: %v", c.name, network, err)
			}
			got := dns.RcodeToString[m.Rcode]
			for _, rr := range m.Answer {
				got += " " + strings.TrimPrefix(rr.String(), rr.Header().String())
			}
			if got != c.want {
				t.Errorf("%s over %s: %s, want %s", c.name, network, got, c.want)
			}
		}
	}
}

// udpFrame is a frame with a UDP packet.
func udpFrame(dst, src [6]byte, to, from netip.AddrPort, payload []byte) []byte {
	b := make([]byte, header.EthernetMinimumSize+header.IPv4MinimumSize+header.UDPMinimumSize)
	header.Ethernet(b).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(src[:]), DstAddr: tcpip.LinkAddress(dst[:]), Type: header.IPv4ProtocolNumber,
	})
	ip := header.IPv4(b[header.EthernetMinimumSize:])
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(ip) + len(payload)), TTL: 64, Protocol: uint8(header.UDPProtocolNumber),
		SrcAddr: tcpip.AddrFrom4(from.Addr().As4()), DstAddr: tcpip.AddrFrom4(to.Addr().As4()),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	// Without a checksum, which UDP over IPv4 allows.
	header.UDP(ip[header.IPv4MinimumSize:]).Encode(&header.UDPFields{
		SrcPort: from.Port(), DstPort: to.Port(), Length: uint16(header.UDPMinimumSize + len(payload)),
	})
	return append(b, payload...)
}

// udpPayload waits for a UDP packet at a port and returns its payload.
func (w *wire) udpPayload(port uint16) []byte {
	w.t.Helper()
	for {
		f, err := w.r.Next()
		if err != nil {
			w.t.Fatal(err)
		}
		ip := header.IPv4(f[header.EthernetMinimumSize:])
		if header.Ethernet(f).Type() != header.IPv4ProtocolNumber || ip.TransportProtocol() != header.UDPProtocolNumber {
			continue
		}
		if u := header.UDP(ip.Payload()); u.DestinationPort() == port {
			return slices.Clone(u.Payload())
		}
	}
}

// A node that knows nothing but its hardware address gets its configuration.
func TestDHCP(t *testing.T) {
	s := start(t, Config{})
	addNode(t, s, "node1")
	w := newWire(t, addNode(t, s, "node2"))
	mac := w.nic.MAC()
	ask := func(m *dhcpv4.DHCPv4, err error) *dhcpv4.DHCPv4 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		w.write(stream.Append(nil, udpFrame(everyone, mac,
			netip.MustParseAddrPort("255.255.255.255:67"), netip.MustParseAddrPort("0.0.0.0:68"), m.ToBytes())))
		reply, err := dhcpv4.FromBytes(w.udpPayload(68))
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	offer := ask(dhcpv4.NewDiscovery(mac[:]))
	ack := ask(dhcpv4.NewRequestFromOffer(offer))
	if ack.MessageType() != dhcpv4.MessageTypeAck || !ack.YourIPAddr.Equal(net.IPv4(10, 77, 0, 12)) || ack.HostName() != "node2" {
		t.Errorf("%v", ack.Summary())
	}
}

// The gateway is no router, not even between nodes.
func TestGatewayForwardsNothing(t *testing.T) {
	s := start(t, Config{})
	w1, w2 := newWire(t, addNode(t, s, "node1")), newWire(t, addNode(t, s, "node2"))
	gw := s.plugs[0].mac
	from := netip.AddrPortFrom(w1.nic.Addr().Addr(), 5)
	for _, to := range []netip.AddrPort{
		netip.AddrPortFrom(w2.nic.Addr().Addr(), 5),
		netip.MustParseAddrPort("192.0.2.1:53"),
	} {
		w1.write(stream.Append(nil, udpFrame(gw, w1.nic.MAC(), to, from, []byte("forward me"))))
	}
	dnsQuery, err := new(dns.Msg).SetQuestion("node1.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	w1.write(stream.Append(nil, udpFrame(gw, w1.nic.MAC(), netip.AddrPortFrom(s.Gateway(), 53), from, dnsQuery)))
	// The gateway asks who node1 is before it answers: by broadcast, which
	// node2 gets after anything that was forwarded before.
	for {
		f, err := w2.r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if header.Ethernet(f).Type() == header.ARPProtocolNumber {
			if who := header.ARP(f[header.EthernetMinimumSize:]).ProtocolAddressTarget(); !bytes.Equal(who, w1.nic.Addr().Addr().AsSlice()) {
				t.Errorf("the gateway asks for %v: it wants to forward", who)
			}
			return
		}
		// The frames of node1 itself come too: the switch does not know
		// yet where the gateway is.
		if [6]byte(f[6:]) == gw && bytes.Contains(f, []byte("forward me")) {
			t.Error("forwarded")
		}
	}
}

// Over bad links, TCP is slower but right; and the gateway's own are links like
// all others.
func TestTCPOverBadLinks(t *testing.T) {
	s, g1, g2 := twoGuests(t, Config{Seed: 1})
	bad := Faults{Loss: 0.01, Corrupt: 0.01, Duplicate: 0.02, Reorder: 0.02, Rate: 50_000_000, Jitter: 100_000}
	for _, link := range [][2]string{{AllNodes, AllNodes}, {GatewayName, AllNodes}, {AllNodes, GatewayName}} {
		if err := s.SetFaults(link[0], link[1], bad); err != nil {
			t.Fatal(err)
		}
	}
	go echo(g2.listen(7))
	c, err := g1.dial(t.Context(), g2.nic.Addr().Addr(), 7)
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, c, pattern(500_000))
	if c, err = s.DialContext(t.Context(), "tcp", "node2:7"); err != nil {
		t.Fatal(err)
	}
	checkEcho(t, c, pattern(500_000))
	for _, l := range s.Counters().Links {
		if l.Offered > 300 && (l.Lost == 0 || l.Corrupted == 0 || l.Duplicated == 0 || l.Reordered == 0) {
			t.Errorf("a fault is missing: %+v", l)
		}
	}
}

// A connection between nodes outlives a partition; the host reaches both sides
// all the time.
func TestPartitionWithTCP(t *testing.T) {
	s, g1, g2 := twoGuests(t, Config{})
	go echo(g1.listen(7))
	go echo(g2.listen(7))
	c, err := g1.dial(t.Context(), g2.nic.Addr().Addr(), 7)
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string) { // and hear it
		t.Helper()
		b := make([]byte, len(text))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
			t.Errorf("heard %q, %v", b, err)
		}
	}
	if _, err := io.WriteString(c, "before"); err != nil {
		t.Fatal(err)
	}
	say("before")
	if err := s.Partition([]string{"node1"}, []string{"node2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "during"); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"node1:7", "node2:7"} {
		h, err := s.DialContext(t.Context(), "tcp", node)
		if err != nil {
			t.Fatal(err)
		}
		checkEcho(t, h, pattern(1000))
	}
	s.Heal()
	say("during")
	checkEcho(t, c, []byte("after"))
}

func TestForward(t *testing.T) {
	s, g1, _ := twoGuests(t, Config{})
	addNode(t, s, "node3") // is never started
	go echo(g1.listen(7))
	f, err := s.Forward("127.0.0.1:0", "node1", 7)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(f *Forwarder) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", f.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { checkEcho(t, dial(f), pattern(100_000*i)) })
	}
	wg.Wait()

	// A port where nobody listens.
	nobody, err := s.Forward("127.0.0.1:0", "node1", 8)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(dial(nobody)); len(b) != 0 || err != nil {
		t.Errorf("forwarded to a closed port: %q, %v", b, err)
	}

	// A node that breaks the connection off: its caller learns of it.
	rude := g1.listen(9)
	go func() {
		if c, err := rude.Accept(); err == nil {
			c.Read(make([]byte, 1))
			c.Close() // with data unread: a reset
		}
	}()
	broken, err := s.Forward("127.0.0.1:0", "node1", 9)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(broken)
	if _, err := c.Write(make([]byte, 10_000)); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); len(b) != 0 {
		t.Errorf("from a broken connection: %q, %v", b, err)
	}

	// Close ends what is connected, and what is being connected.
	open := dial(f)
	io.WriteString(open, "x")
	if _, err := io.ReadFull(open, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	dead, err := s.Forward("127.0.0.1:0", "node3", 22)
	if err != nil {
		t.Fatal(err)
	}
	waiting := dial(dead)
	for _, f := range []*Forwarder{f, dead, f} {
		if err := f.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	for _, c := range []net.Conn{open, waiting} {
		if b, err := io.ReadAll(c); len(b) > 0 {
			t.Errorf("after Close: %q, %v", b, err)
		}
	}
	if c, err := net.Dial("tcp", f.Addr().String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}

	// The switch closes the rest.
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", nobody.Addr().String()); err == nil {
		c.Close()
		t.Error("a port is open after the switch was closed")
	}
}

func TestForwardErrors(t *testing.T) {
	s := start(t, Config{})
	addNode(t, s, "node1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := s.Forward(l.Addr().String(), "node1", 22); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("busy port: %v", err)
	}
	for _, err := range []error{
		func() error { _, err := s.Forward("127.0.0.1:0", "node2", 22); return err }(),
		func() error { _, err := s.Forward("127.0.0.1:0", GatewayName, 53); return err }(),
		func() error { _, err := s.Forward("127.0.0.1:0", "node1", 0); return err }(),
		func() error { _, err := s.Forward("nonsense", "node1", 22); return err }(),
	} {
		if err == nil {
			t.Error("accepted")
		}
	}
}

// A node that is started again is reached again.
func TestRestart(t *testing.T) {
	s, g1, g2 := twoGuests(t, Config{})
	go echo(g2.listen(7))
	g2.ping(g1.nic.Addr().Addr())
	g2.stop()
	again := newGuest(t, g2.nic)
	go echo(again.listen(7))
	c, err := g1.dial(t.Context(), again.nic.Addr().Addr(), 7)
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, c, pattern(10_000))
	if c, err = s.DialContext(t.Context(), "tcp", "node2:7"); err != nil {
		t.Fatal(err)
	}
	checkEcho(t, c, pattern(10_000))
}
