// Package ipstack is the node's TCP/IP: gVisor's network stack on a network
// card (package nic). The socket server (package pfinet) gives it to programs.
//
// IPv4 only: a lab's network has no other addresses.
package ipstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"hurdlab/images/mach/nic"
)

// The stack's interfaces.
const (
	ethernetID tcpip.NICID = 1
	loopbackID tcpip.NICID = 2
)

// TCP buffers of a connection, in bytes. A node has 96 MiB for everything,
// and its network's delay is about a millisecond: gVisor's default of 1 MiB
// each way buys no speed here.
const (
	minBuffer     = 4 << 10
	defaultBuffer = 128 << 10
	maxBuffer     = 512 << 10
)

// A Config gives the stack its addresses.
type Config struct {
	// Addr is the node's address and the prefix length of its network; the
	// zero Prefix means none yet.
	Addr netip.Prefix
	// Gateway is the default route; the zero Addr means none.
	Gateway netip.Addr
}

// loopback's address.
var loopbackAddr = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8)

// A Stack is a running TCP/IP stack.
type Stack struct {
	stack *stack.Stack
	link  *link

	mu  sync.Mutex
	cfg Config
}

// New makes a stack with an Ethernet interface on dev and a loopback
// interface. Nothing is received from dev before Serve.
func New(dev nic.Device, cfg Config) (*Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
		HandleLocal:        true, // the node talks to its own address, too
		RawFactory:         raw.EndpointFactory{},
	})
	sack := tcpip.TCPSACKEnabled(true)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
	snd := tcpip.TCPSendBufferSizeRangeOption{Min: minBuffer, Default: defaultBuffer, Max: maxBuffer}
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &snd)
	rcv := tcpip.TCPReceiveBufferSizeRangeOption{Min: minBuffer, Default: defaultBuffer, Max: maxBuffer}
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &rcv)

	l := newLink(dev)
	if err := s.CreateNIC(ethernetID, l); err != nil {
		return nil, failure("network interface", err)
	}
	if err := s.CreateNIC(loopbackID, loopback.New()); err != nil {
		return nil, failure("loopback interface", err)
	}
	st := &Stack{stack: s, link: l}
	if err := st.addAddress(loopbackID, loopbackAddr); err != nil {
		return nil, err
	}
	if err := st.Configure(cfg); err != nil {
		s.Destroy()
		return nil, err
	}
	return st, nil
}

// Config returns the addresses.
func (s *Stack) Config() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// Configure gives the stack other addresses. Connections that used the old one
// will not get far.
func (s *Stack) Configure(cfg Config) error {
	if a := cfg.Addr; a.IsValid() && !a.Addr().Is4() || cfg.Gateway.IsValid() && !cfg.Gateway.Is4() {
		return errors.New("ipstack: not an IPv4 address")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.cfg.Addr; old != cfg.Addr {
		if old.IsValid() {
			if err := s.stack.RemoveAddress(ethernetID, address(old.Addr())); err != nil {
				return failure("take away "+old.String(), err)
			}
			s.cfg = Config{}
		}
		if cfg.Addr.IsValid() {
			if err := s.addAddress(ethernetID, cfg.Addr); err != nil {
				return err
			}
		}
	}
	s.cfg = cfg
	routes := []tcpip.Route{{Destination: subnet(loopbackAddr), NIC: loopbackID}}
	if cfg.Addr.IsValid() {
		routes = append(routes, tcpip.Route{Destination: subnet(cfg.Addr), NIC: ethernetID})
	}
	if cfg.Gateway.IsValid() {
		routes = append(routes, tcpip.Route{Destination: header.IPv4EmptySubnet, Gateway: address(cfg.Gateway), NIC: ethernetID})
	}
	s.stack.SetRouteTable(routes)
	return nil
}

func (s *Stack) addAddress(nic tcpip.NICID, a netip.Prefix) error {
	pa := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(a.Addr()), PrefixLen: a.Bits()},
	}
	if err := s.stack.AddProtocolAddress(nic, pa, stack.AddressProperties{}); err != nil {
		return failure("address "+a.String(), err)
	}
	return nil
}

func subnet(a netip.Prefix) tcpip.Subnet {
	return tcpip.AddressWithPrefix{Address: address(a.Addr()), PrefixLen: a.Bits()}.Subnet()
}

// An Interface describes a network interface.
type Interface struct {
	Index    int // from 1
	Name     string
	MAC      [6]byte // of an Ethernet card
	Loopback bool
	MTU      int          // bytes of a packet
	Addr     netip.Prefix // zero if it has none
}

// Interfaces lists the interfaces: the card and the loopback.
func (s *Stack) Interfaces() []Interface {
	return []Interface{
		{Index: int(ethernetID), Name: "eth0", MAC: s.link.dev.MAC(), MTU: s.link.dev.MTU(), Addr: s.Config().Addr},
		{Index: int(loopbackID), Name: "lo", Loopback: true, MTU: 65536, Addr: loopbackAddr},
	}
}

// Serve runs the network card until ctx ends or the card fails.
func (s *Stack) Serve(ctx context.Context) error { return s.link.serve(ctx) }

// Close takes the stack down, and every connection with it.
func (s *Stack) Close() { s.stack.Destroy() }

// Raw is gVisor's stack, for package socket, which gives programs its
// endpoints.
func (s *Stack) Raw() *stack.Stack { return s.stack }

// A Counter is something the stack counts.
type Counter struct {
	Name  string
	Value uint64
}

// Counters tells what the stack has done so far.
func (s *Stack) Counters() []Counter {
	st := s.stack.Stats()
	return []Counter{
		{"ip packets received", st.IP.PacketsReceived.Value()},
		{"ip packets sent", st.IP.PacketsSent.Value()},
		{"ip send errors", st.IP.OutgoingPacketErrors.Value()},
		{"tcp segments received", st.TCP.ValidSegmentsReceived.Value()},
		{"tcp segments sent", st.TCP.SegmentsSent.Value()},
		{"tcp retransmits", st.TCP.Retransmits.Value()},
		{"tcp timeouts", st.TCP.Timeouts.Value()},
		{"tcp checksum errors", st.TCP.ChecksumErrors.Value()},
		{"tcp connections", st.TCP.CurrentEstablished.Value()},
		{"udp datagrams received", st.UDP.PacketsReceived.Value()},
		{"udp datagrams sent", st.UDP.PacketsSent.Value()},
		{"udp receive errors", st.UDP.ReceiveBufferErrors.Value()},
		{"icmp echo requests received", st.ICMP.V4.PacketsReceived.EchoRequest.Value()},
		{"icmp echo replies sent", st.ICMP.V4.PacketsSent.EchoReply.Value()},
		{"icmp echo requests sent", st.ICMP.V4.PacketsSent.EchoRequest.Value()},
		{"icmp echo replies received", st.ICMP.V4.PacketsReceived.EchoReply.Value()},
	}
}

// Listen listens for TCP connections to port on all addresses.
func (s *Stack) Listen(port uint16) (net.Listener, error) {
	l, err := gonet.ListenTCP(s.stack, tcpip.FullAddress{Port: port}, ipv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("ipstack: listen on port %d: %w", port, err)
	}
	return l, nil
}

// Dial connects to a TCP port.
func (s *Stack) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	c, err := gonet.DialContextTCP(ctx, s.stack, tcpip.FullAddress{Addr: address(to.Addr()), Port: to.Port()}, ipv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("ipstack: connect to %s: %w", to, err)
	}
	return c, nil
}

// Ping sends an ICMP echo request with the sequence number seq and size bytes
// of data, and returns the time until its reply. The stack does not answer to
// its own address, except the loopback interface's.
func (s *Stack) Ping(ctx context.Context, to netip.Addr, seq uint16, size int) (time.Duration, error) {
	if !to.Is4() {
		return 0, fmt.Errorf("ping %s: not an IPv4 address", to)
	}
	var wq waiter.Queue
	ep, terr := s.stack.NewEndpoint(icmp.ProtocolNumber4, ipv4.ProtocolNumber, &wq)
	if terr != nil {
		return 0, failure("ping", terr)
	}
	defer ep.Close()
	we, readable := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventErr)
	wq.EventRegister(&we)
	defer wq.EventUnregister(&we)
	if err := ep.Connect(tcpip.FullAddress{Addr: address(to)}); err != nil {
		return 0, failure("ping "+to.String(), err)
	}
	// The endpoint fills in the identifier and the checksum.
	req := header.ICMPv4(make([]byte, header.ICMPv4MinimumSize+size))
	req.SetType(header.ICMPv4Echo)
	req.SetSequence(seq)
	start := time.Now()
	if err := s.write(ctx, ep, &wq, req); err != nil {
		return 0, fmt.Errorf("ping %s: %w", to, err)
	}
	for {
		var b writer
		res, err := ep.Read(&b, tcpip.ReadOptions{})
		switch err.(type) {
		case nil:
			reply := header.ICMPv4(b)
			if res.Count >= header.ICMPv4MinimumSize && reply.Type() == header.ICMPv4EchoReply && reply.Sequence() == seq {
				return time.Since(start), nil
			}
			continue // of an earlier request
		case *tcpip.ErrWouldBlock:
		default:
			return 0, failure("ping "+to.String(), err)
		}
		select {
		case <-readable:
		case <-ctx.Done():
			return 0, fmt.Errorf("ping %s: %w", to, ctx.Err())
		}
	}
}

// write sends one datagram, waiting for room.
func (s *Stack) write(ctx context.Context, ep tcpip.Endpoint, wq *waiter.Queue, b []byte) error {
	we, writable := waiter.NewChannelEntry(waiter.WritableEvents)
	wq.EventRegister(&we)
	defer wq.EventUnregister(&we)
	for {
		_, err := ep.Write(&reader{b}, tcpip.WriteOptions{})
		if err == nil {
			return nil
		}
		if _, ok := err.(*tcpip.ErrWouldBlock); !ok {
			return errors.New(err.String())
		}
		select {
		case <-writable:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func address(a netip.Addr) tcpip.Address { return tcpip.AddrFrom4(a.As4()) }

func failure(what string, err tcpip.Error) error {
	return fmt.Errorf("ipstack: %s: %s", what, err)
}

// writer collects what an endpoint reads.
type writer []byte

func (w *writer) Write(b []byte) (int, error) {
	*w = append(*w, b...)
	return len(b), nil
}

// reader is a payload for an endpoint to write.
type reader struct{ b []byte }

func (r *reader) Read(p []byte) (int, error) {
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

func (r *reader) Len() int { return len(r.b) }

// link is a network card as a link endpoint of gVisor's.
type link struct {
	dev        nic.Device
	mac        tcpip.LinkAddress
	dispatcher stack.NetworkDispatcher
	acks       acks
}

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
)

func newLink(dev nic.Device) *link {
	mac := dev.MAC()
	return &link{dev: dev, mac: tcpip.LinkAddress(mac[:]), acks: acks{dev: dev, flows: make(map[flow]*ack)}}
}

// serve hands the card's frames to the stack. Each is copied once, from the
// card's memory to a buffer of gVisor's own pool.
func (l *link) serve(ctx context.Context) error {
	return l.dev.Serve(ctx, func(frame []byte) {
		up := l.dispatcher
		if up == nil || len(frame) < header.EthernetMinimumSize {
			return
		}
		// Without the link header: nothing above needs it.
		eth := header.Ethernet(frame)
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame[header.EthernetMinimumSize:])})
		defer pkt.DecRef()
		switch dst := eth.DestinationAddress(); {
		case dst == l.mac:
			pkt.PktType = tcpip.PacketHost
		case dst == header.EthernetBroadcastAddress:
			pkt.PktType = tcpip.PacketBroadcast
		case header.IsMulticastEthernetAddress(dst):
			pkt.PktType = tcpip.PacketMulticast
		default:
			return // a switch floods what it has not learnt yet
		}
		up.DeliverNetworkPacket(eth.Type(), pkt)
	})
}

// WritePackets copies packets straight into the card's memory. A frame that
// finds the card's queue full is lost; the transport protocols cope.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	n, posted := 0, false
	for _, pkt := range pkts.AsSlice() {
		if !l.acks.hold(pkt) {
			if !l.write(pkt) {
				break
			}
			posted = true
		}
		n++
	}
	if posted {
		l.dev.Flush()
	}
	if n == 0 {
		return 0, &tcpip.ErrNoBufferSpace{}
	}
	return n, nil
}

func (l *link) write(pkt *stack.PacketBuffer) bool {
	if pkt.GSOOptions.Type != stack.GSONone {
		return new(segmenter).send(l.dev, pkt)
	}
	return l.dev.Send(fill(pkt))
}

// fill writes a packet that is one frame.
func fill(pkt *stack.PacketBuffer) func(b []byte) int {
	if pkt.GSOOptions.Type != stack.GSONone {
		s := new(segmenter) // which completes the checksum
		s.init(pkt)
		return s.fill
	}
	return func(b []byte) int {
		k := 0
		for _, part := range pkt.AsSlices() {
			k += copy(b[k:], part)
		}
		return k
	}
}

// SupportedGSO makes gVisor leave it to the link to cut TCP packets: see
// segmenter.
func (l *link) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// GSOMaxSize is the largest packet before cutting, in bytes: it must not fill
// the card's queue.
func (l *link) GSOMaxSize() uint32 { return 32 << 10 }

func (l *link) MTU() uint32                             { return uint32(l.dev.MTU()) }
func (l *link) SetMTU(uint32)                           {}
func (l *link) MaxHeaderLength() uint16                 { return header.EthernetMinimumSize }
func (l *link) LinkAddress() tcpip.LinkAddress          { return l.mac }
func (l *link) SetLinkAddress(tcpip.LinkAddress)        {}
func (l *link) Attach(d stack.NetworkDispatcher)        { l.dispatcher = d }
func (l *link) IsAttached() bool                        { return l.dispatcher != nil }
func (l *link) Wait()                                   {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (l *link) Close()                                  {}
func (l *link) SetOnCloseAction(func())                 {}

// Capabilities says that addresses must be resolved. Checksums are computed
// and verified in software: the lab's network carries no offloads.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityResolutionRequired
}

func (l *link) AddHeader(pkt *stack.PacketBuffer) {
	header.Ethernet(pkt.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: l.mac,
		DstAddr: pkt.EgressRoute.RemoteLinkAddress,
		Type:    pkt.NetworkProtocolNumber,
	})
}

func (l *link) ParseHeader(pkt *stack.PacketBuffer) bool {
	_, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	return ok
}
