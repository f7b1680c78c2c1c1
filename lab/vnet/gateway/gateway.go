package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/miekg/dns"
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
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	nic     = tcpip.NICID(1) // the stack's only interface
	dnsPort = 53
	// sendQueue is how many frames of the stack wait for the switch. The
	// switch never makes it wait for long.
	sendQueue = 1024
)

// Config says what a gateway is like.
type Config struct {
	MAC [6]byte
	// Addr is its IPv4 address, with the prefix of the network.
	Addr netip.Prefix
	// MTU is the largest IP packet.
	MTU int
	// Domain is the DNS domain of the hosts, in lower case, without dots at
	// its ends.
	Domain string
	// Hosts are those whom the servers know.
	Hosts *Hosts
	// Send takes a frame that the gateway sends. It is called by one
	// goroutine at a time and must not keep the frame.
	Send func(frame []byte)
}

// A Gateway is a host on the network, in this process.
type Gateway struct {
	cfg   Config
	link  *channel.Endpoint
	stack *stack.Stack
	dhcp  *gonet.UDPConn
	dns   []*dns.Server
	stop  context.CancelFunc
	wg    sync.WaitGroup
}

// New starts a gateway.
func New(cfg Config) (_ *Gateway, err error) {
	g := &Gateway{
		cfg: cfg,
		// The endpoint's MTU includes the Ethernet header.
		link: channel.New(sendQueue, uint32(cfg.MTU+header.EthernetMinimumSize), tcpip.LinkAddress(cfg.MAC[:])),
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
		}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.stop = cancel
	defer func() {
		if err != nil {
			g.Close()
		}
	}()

	sack := tcpip.TCPSACKEnabled(true)
	if e := g.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); e != nil {
		return nil, fmt.Errorf("gateway: enabling SACK: %s", e)
	}
	if e := g.stack.CreateNIC(nic, ethernet.New(g.link)); e != nil {
		return nil, fmt.Errorf("gateway: making its interface: %s", e)
	}
	addr := tcpip.ProtocolAddress{
		Protocol: ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{
			Address:   tcpip.AddrFrom4(cfg.Addr.Addr().As4()),
			PrefixLen: cfg.Addr.Bits(),
		},
	}
	if e := g.stack.AddProtocolAddress(nic, addr, stack.AddressProperties{}); e != nil {
		return nil, fmt.Errorf("gateway: setting its address %v: %s", cfg.Addr, e)
	}
	g.stack.SetRouteTable([]tcpip.Route{{Destination: addr.AddressWithPrefix.Subnet(), NIC: nic}})

	g.wg.Go(func() { g.send(ctx) })
	if err := g.serveDHCP(); err != nil {
		return nil, fmt.Errorf("gateway: starting DHCP: %w", err)
	}
	if err := g.serveDNS(); err != nil {
		return nil, fmt.Errorf("gateway: starting DNS: %w", err)
	}
	return g, nil
}

// Close ends the gateway and its connections. Send is not called after it.
func (g *Gateway) Close() error {
	for _, s := range g.dns {
		_ = s.Shutdown() // fails only if it has not been started
	}
	if g.dhcp != nil {
		_ = g.dhcp.Close()
	}
	g.stack.Destroy()
	g.stop()
	g.wg.Wait()
	return nil
}

// Deliver takes a frame from the network. It does not keep it. Frames for
// others, which a switch sends everywhere until it knows better, are ignored.
func (g *Gateway) Deliver(frame []byte) {
	if len(frame) < header.EthernetMinimumSize {
		return
	}
	if frame[0]&1 == 0 && [6]byte(frame[:6]) != g.cfg.MAC {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	g.link.InjectInbound(0, pkt) // the Ethernet header tells the protocol
	pkt.DecRef()
}

// send passes on what the stack sends.
func (g *Gateway) send(ctx context.Context) {
	for {
		pkt := g.link.ReadContext(ctx)
		if pkt == nil {
			return
		}
		frame := pkt.ToView()
		pkt.DecRef()
		g.cfg.Send(frame.AsSlice())
		frame.Release()
	}
}

func (g *Gateway) serveDHCP() error {
	var wq waiter.Queue
	ep, e := g.stack.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &wq)
	if e != nil {
		return errors.New(e.String())
	}
	ep.SocketOptions().SetBroadcast(true)
	// Bound to the interface, broadcasts need no route.
	if e := ep.Bind(tcpip.FullAddress{NIC: nic, Port: dhcpv4.ServerPort}); e != nil {
		ep.Close()
		return errors.New(e.String())
	}
	g.dhcp = gonet.NewUDPConn(&wq, ep)
	server := leases{server: g.cfg.Addr, domain: g.cfg.Domain, mtu: g.cfg.MTU, hosts: g.cfg.Hosts}
	g.wg.Go(func() {
		packet := make([]byte, g.cfg.MTU)
		for {
			n, _, err := g.dhcp.ReadFrom(packet)
			if err != nil {
				return // closed
			}
			if reply, to := server.answer(packet[:n]); reply != nil {
				// What is lost, the client asks for again.
				_, _ = g.dhcp.WriteTo(reply, net.UDPAddrFromAddrPort(to))
			}
		}
	})
	return nil
}

func (g *Gateway) serveDNS() error {
	at := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(g.cfg.Addr.Addr().As4()), Port: dnsPort}
	packets, err := gonet.DialUDP(g.stack, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	streams, err := gonet.ListenTCP(g.stack, at, ipv4.ProtocolNumber)
	if err != nil {
		packets.Close()
		return err
	}
	handler := zone{domain: g.cfg.Domain, hosts: g.cfg.Hosts}
	for _, s := range []*dns.Server{
		{PacketConn: packets, Handler: handler},
		{Listener: streams, Handler: handler},
	} {
		started := make(chan struct{})
		failed := make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		g.wg.Go(func() { failed <- s.ActivateAndServe() })
		select {
		case <-started: // only then may it be shut down
			g.dns = append(g.dns, s)
		case err := <-failed:
			return err
		}
	}
	return nil
}

// DialContext connects to a port of a host on the network. The network is
// "tcp" or "udp", the address "node1:22" or "10.77.0.11:22". A host that does
// not answer ARP is unreachable after three seconds (syscall.EHOSTUNREACH); a
// port where nobody listens gives syscall.ECONNREFUSED.
func (g *Gateway) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := g.dial(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s %s on the lab's network: %w", network, address, errno(err))
	}
	return conn, nil
}

func (g *Gateway) dial(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := g.resolve(address)
	if err != nil {
		return nil, err
	}
	full := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(to.Addr().As4()), Port: to.Port()}
	switch network {
	case "tcp", "tcp4":
		return gonet.DialContextTCP(ctx, g.stack, full, ipv4.ProtocolNumber)
	case "udp", "udp4":
		return gonet.DialUDP(g.stack, nil, &full, ipv4.ProtocolNumber)
	}
	return nil, errors.New(`unknown network: want "tcp" or "udp"`)
}

func (g *Gateway) resolve(address string) (netip.AddrPort, error) {
	name, service, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("port %q: want a number from 1 to 65535", service)
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		if !g.cfg.Addr.Contains(addr) {
			return netip.AddrPort{}, fmt.Errorf("%v is not on the lab's network %v", addr, g.cfg.Addr.Masked())
		}
		return netip.AddrPortFrom(addr, uint16(port)), nil
	}
	host, ok := g.cfg.Hosts.Named(strings.TrimSuffix(name, "."+g.cfg.Domain))
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("no host is called %q; there are %q", name, g.cfg.Hosts.Names())
	}
	return netip.AddrPortFrom(host.Addr, uint16(port)), nil
}

// errnos gives the error numbers of what the stack's adapters only tell as
// text, so that errors.Is works for callers as it does with the host's own
// network.
var errnos = map[string]syscall.Errno{
	(&tcpip.ErrConnectionRefused{}).String():  syscall.ECONNREFUSED,
	(&tcpip.ErrConnectionReset{}).String():    syscall.ECONNRESET,
	(&tcpip.ErrHostUnreachable{}).String():    syscall.EHOSTUNREACH,
	(&tcpip.ErrNetworkUnreachable{}).String(): syscall.ENETUNREACH,
	(&tcpip.ErrTimeout{}).String():            syscall.ETIMEDOUT,
}

func errno(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		if n, ok := errnos[op.Err.Error()]; ok {
			return n
		}
	}
	return err
}
