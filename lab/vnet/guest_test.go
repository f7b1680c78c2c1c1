package vnet

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"hurdlab/lab/vnet/stream"
)

// socketpair returns the two ends of a unix stream socket, which is what a
// node's QEMU gets too.
func socketpair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Cleanup(func() { ends[i].Close() })
	}
	return ends[0], ends[1]
}

func start(t testing.TB, cfg Config) *Switch {
	t.Helper()
	s, err := New(cfg)
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

func addNode(t testing.TB, s *Switch, name string) *NIC {
	t.Helper()
	n, err := s.AddNode(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func attach(t testing.TB, n *NIC, conn net.Conn) (detached <-chan struct{}) {
	t.Helper()
	detached, err := n.Attach(conn)
	if err != nil {
		t.Fatal(err)
	}
	return detached
}

// A guest is a node without a virtual machine: a TCP/IP stack on the far end
// of a NIC's connection.
type guest struct {
	t     testing.TB
	nic   *NIC
	stack *stack.Stack
	conn  net.Conn
	stop  func()
}

const guestNIC = 1

// newGuest boots a guest with the addresses that the switch gave it.
func newGuest(t testing.TB, n *NIC) *guest {
	t.Helper()
	ours, theirs := socketpair(t)
	attach(t, n, theirs)
	mac := n.MAC()
	link := channel.New(1024, uint32(n.sw.cfg.MTU+header.EthernetMinimumSize), tcpip.LinkAddress(mac[:]))
	g := &guest{t: t, nic: n, conn: ours, stack: stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})}
	sack := tcpip.TCPSACKEnabled(true)
	g.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
	if err := g.stack.CreateNIC(guestNIC, ethernet.New(link)); err != nil {
		t.Fatal(err)
	}
	g.setAddr(n.Addr())

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		var b []byte
		for {
			pkt := link.ReadContext(ctx)
			if pkt == nil {
				return
			}
			v := pkt.ToView()
			pkt.DecRef()
			b = stream.Append(b[:0], v.AsSlice())
			v.Release()
			if _, err := ours.Write(b); err != nil {
				return
			}
		}
	})
	wg.Go(func() {
		r := stream.NewReader(ours)
		for {
			frame, err := r.Next()
			if err != nil {
				return
			}
			if frame[0]&1 == 0 && [6]byte(frame) != mac {
				continue
			}
			pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
			link.InjectInbound(0, pkt)
			pkt.DecRef()
		}
	})
	g.stop = sync.OnceFunc(func() {
		cancel()
		ours.Close()
		g.stack.Destroy()
		wg.Wait()
	})
	t.Cleanup(g.stop)
	return g
}

func (g *guest) setAddr(p netip.Prefix) {
	addr := tcpip.ProtocolAddress{
		Protocol: ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{
			Address:   tcpip.AddrFrom4(p.Addr().As4()),
			PrefixLen: p.Bits(),
		},
	}
	if err := g.stack.AddProtocolAddress(guestNIC, addr, stack.AddressProperties{}); err != nil {
		g.t.Fatal(err)
	}
	g.stack.SetRouteTable([]tcpip.Route{{Destination: addr.AddressWithPrefix.Subnet(), NIC: guestNIC}})
}

func full(addr netip.Addr, port uint16) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: guestNIC, Addr: tcpip.AddrFrom4(addr.As4()), Port: port}
}

func (g *guest) listen(port uint16) net.Listener {
	g.t.Helper()
	l, err := gonet.ListenTCP(g.stack, full(g.nic.Addr().Addr(), port), ipv4.ProtocolNumber)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { l.Close() })
	return l
}

func (g *guest) dial(ctx context.Context, addr netip.Addr, port uint16) (net.Conn, error) {
	return gonet.DialContextTCP(ctx, g.stack, full(addr, port), ipv4.ProtocolNumber)
}

func (g *guest) dialUDP(addr netip.Addr, port uint16) net.Conn {
	g.t.Helper()
	to := full(addr, port)
	c, err := gonet.DialUDP(g.stack, nil, &to, ipv4.ProtocolNumber)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}
