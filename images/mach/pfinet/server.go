// Package pfinet is the Internet for programs: what a Hurd has at
// /servers/socket/2. It gives them sockets of the node's network stack
// (package ipstack) by the socket and io protocols, and interfaces, addresses
// and routes by those ioctls that the Hurd's pfinet serves.
//
// A request that has to wait (accept, connect, read, write) waits in its own
// goroutine, on the endpoint's queue.
//
// Anybody can have stream and datagram sockets, and ping (datagram sockets of
// protocol ICMP). Ports below 1024, raw sockets and changes of addresses are
// for root.
//
// The facts are from the reference document hurd-protocol.md: sections 6
// (sockets), 5.2 (io).
package pfinet

import (
	"context"
	"encoding/binary"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/images/mach/ipstack"
	"hurdlab/mach"
)

// Path is where programs find the server: its number is PF_INET's.
const Path = "/servers/socket/2"

// MaxSockets bounds the sockets of a node. A connection's buffers can take
// half a megabyte each way.
const MaxSockets = 1024

// A Server makes sockets. It is the node at which programs find it:
// [translator.Node].
type Server struct {
	stack *ipstack.Stack
	host  *ioport.Host

	mu      sync.Mutex
	sockets map[*object]struct{}
	lastID  uint64
}

// NewServer returns a server on a network stack.
func NewServer(s *ipstack.Stack, h *ioport.Host) *Server {
	return &Server{stack: s, host: h, sockets: make(map[*object]struct{})}
}

// Stat is that of a device: [translator.Node].
func (s *Server) Stat(context.Context) (translator.Stat, error) {
	return translator.Stat{Mode: proto.S_IFCHR | 0o666}, nil
}

// Protocols is what is served at the node: [translator.Protocols].
func (s *Server) Protocols(user translator.User, _ int32) []any {
	f := s.family(user)
	return []any{&f}
}

// A family makes sockets and addresses for a user.
type family struct {
	proto.UnimplementedSocket
	ioctls
	server *Server
	user   translator.User
}

func (s *Server) family(user translator.User) family {
	return family{server: s, user: user, ioctls: ioctls{stack: s.stack, root: user.IsRoot()}}
}

// SocketCreate makes a socket.
func (f *family) SocketCreate(_ context.Context, typ, protocol int32) (mach.Port, error) {
	number := tcpip.TransportProtocolNumber(protocol)
	switch typ {
	case proto.SOCK_STREAM:
		if protocol == 0 {
			number = tcp.ProtocolNumber
		}
		if number != tcp.ProtocolNumber {
			return mach.Null, proto.EPROTONOSUPPORT
		}
	case proto.SOCK_DGRAM:
		if protocol == 0 {
			number = udp.ProtocolNumber
		}
		if number != udp.ProtocolNumber && number != icmp.ProtocolNumber4 {
			return mach.Null, proto.EPROTONOSUPPORT
		}
	case proto.SOCK_RAW:
		if !f.user.IsRoot() {
			return mach.Null, proto.EACCES
		}
		switch number {
		case tcp.ProtocolNumber, udp.ProtocolNumber, icmp.ProtocolNumber4:
		default:
			return mach.Null, proto.EPROTONOSUPPORT
		}
	default:
		return mach.Null, proto.ESOCKTNOSUPPORT
	}
	wq := new(waiter.Queue)
	var ep tcpip.Endpoint
	var terr tcpip.Error
	if typ == proto.SOCK_RAW {
		ep, terr = f.server.stack.Raw().NewRawEndpoint(number, ipv4.ProtocolNumber, wq, true)
	} else {
		ep, terr = f.server.stack.Raw().NewEndpoint(number, ipv4.ProtocolNumber, wq)
	}
	if terr != nil {
		return mach.Null, code(terr)
	}
	return f.server.open(ep, wq, typ, number, f.user)
}

// open makes a socket of an endpoint, which it closes if it fails.
func (s *Server) open(ep tcpip.Endpoint, wq *waiter.Queue, typ int32, number tcpip.TransportProtocolNumber, user translator.User) (mach.Port, error) {
	o := &object{server: s, ep: ep, wq: wq, typ: typ, number: number}
	s.mu.Lock()
	if len(s.sockets) >= MaxSockets {
		s.mu.Unlock()
		ep.Close()
		return mach.Null, proto.ENFILE
	}
	s.lastID++
	o.id = s.lastID
	s.sockets[o] = struct{}{}
	s.mu.Unlock()
	return s.host.Open(o, user)
}

// SocketCreateAddress makes an address object.
func (f *family) SocketCreateAddress(_ context.Context, family int32, sockaddr []byte) (mach.Port, error) {
	if family != proto.PF_INET && family != 0 {
		return mach.Null, proto.EAFNOSUPPORT
	}
	a, ok := decode(sockaddr)
	if !ok {
		return mach.Null, proto.EINVAL
	}
	return f.server.openAddress(a)
}

func (s *Server) openAddress(a tcpip.FullAddress) (mach.Port, error) {
	return s.host.Open(&address{addr: a}, translator.User{})
}

// address returns the address behind a right. ok is false if that is null.
func (s *Server) address(port mach.Port) (a tcpip.FullAddress, ok bool, err error) {
	if !port.Valid() {
		return a, false, nil
	}
	if c, ok := s.host.Client(port); ok {
		if a, ok := c.Object.(*address); ok {
			return a.addr, true, nil
		}
	}
	return a, false, proto.EINVAL // not an address of this server's
}

// An address is one that a program holds.
type address struct {
	proto.UnimplementedSocket
	addr tcpip.FullAddress
}

func (a *address) Serve(c *ioport.Client) []any { return []any{a, c} }

func (a *address) Release() {}

// SocketWhatisAddress tells it.
func (a *address) SocketWhatisAddress(context.Context) (int32, []byte, error) {
	return proto.PF_INET, encode(a.addr), nil
}

// sockaddrSize is the size of an IPv4 socket address: length, family, port
// (big endian), address, 8 unused bytes.
const sockaddrSize = 16

func encode(a tcpip.FullAddress) []byte {
	b := make([]byte, sockaddrSize)
	b[0], b[1] = sockaddrSize, proto.PF_INET
	binary.BigEndian.PutUint16(b[2:], a.Port)
	if a.Addr.Len() == 4 {
		ip := a.Addr.As4()
		copy(b[4:], ip[:])
	}
	return b
}

func decode(b []byte) (a tcpip.FullAddress, ok bool) {
	if len(b) < 8 || b[1] != proto.PF_INET {
		return a, false
	}
	a.Port = binary.BigEndian.Uint16(b[2:])
	// All zeros mean any address, which is the empty one here.
	if ip := [4]byte(b[4:8]); ip != [4]byte{} {
		a.Addr = tcpip.AddrFrom4(ip)
	}
	return a, true
}
