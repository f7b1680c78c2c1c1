package pfinet

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"

	"hurdlab/hurd/proto"
	"hurdlab/images/mach/ipstack"
	"hurdlab/mach/wire"
)

// Flags of an interface.
const (
	iffUp        = 0x1
	iffBroadcast = 0x2
	iffLoopback  = 0x8
	iffRunning   = 0x40
	iffMulticast = 0x1000
)

// What kind of hardware an interface is.
const (
	arphrdEther    = 1
	arphrdLoopback = 772
)

// Flags of a route.
const (
	rtfUp      = 0x1
	rtfGateway = 0x2
)

// ioctls serves those of interfaces and routes, at the server's node and at
// every socket.
type ioctls struct {
	proto.UnimplementedPfinet
	proto.UnimplementedIIoctl
	proto.UnimplementedRIoctl

	stack *ipstack.Stack
	root  bool // may change something
}

// A name is that of an interface, with zeros behind it.
type name = [16]byte

func nameOf(s string) (n name) {
	copy(n[:len(n)-1], s)
	return n
}

func (i *ioctls) find(n name) (ipstack.Interface, error) {
	for _, f := range i.stack.Interfaces() {
		if nameOf(f.Name) == n {
			return f, nil
		}
	}
	return ipstack.Interface{}, proto.ENODEV
}

// sockaddr is an IPv4 socket address in 16 bytes; of no address, zeros.
func sockaddr(a netip.Addr) (b [16]byte) {
	b[0], b[1] = sockaddrSize, proto.PF_INET
	if a.Is4() {
		ip := a.As4()
		copy(b[4:], ip[:])
	}
	return b
}

func addrOf(b [16]byte) (netip.Addr, error) {
	if b[1] != proto.PF_INET {
		return netip.Addr{}, proto.EAFNOSUPPORT
	}
	return netip.AddrFrom4([4]byte(b[4:8])), nil
}

func netmask(p netip.Prefix) netip.Addr {
	var b [4]byte
	if p.IsValid() {
		binary.BigEndian.PutUint32(b[:], ^uint32(0)<<(32-p.Bits()))
	}
	return netip.AddrFrom4(b)
}

// bits is how many ones a mask has, which come first.
func bits(mask netip.Addr) (int, error) {
	b := mask.As4()
	m := binary.BigEndian.Uint32(b[:])
	for n := range 33 {
		if m == uint32(uint64(1<<32-1)<<(32-n)) {
			return n, nil
		}
	}
	return 0, proto.EINVAL
}

func broadcast(p netip.Prefix) netip.Addr {
	if !p.IsValid() {
		return netip.Addr{}
	}
	b, m := p.Addr().As4(), netmask(p).As4()
	for i := range b {
		b[i] |= ^m[i]
	}
	return netip.AddrFrom4(b)
}

// PfinetSiocgifconf lists the interfaces that have addresses: structures of a
// name and a union, of which the longest member has 16 bytes, or 24 with
// 64-bit words.
func (i *ioctls) PfinetSiocgifconf(_ context.Context, amount uint64) ([]byte, error) {
	union := 16
	if wire.Native == wire.Layout64 {
		union = 24
	}
	var b []byte
	for _, f := range i.stack.Interfaces() {
		if !f.Addr.IsValid() {
			continue
		}
		n, a := nameOf(f.Name), sockaddr(f.Addr.Addr())
		b = append(append(b, n[:]...), a[:]...)
		b = append(b, make([]byte, union-len(a))...)
	}
	size := uint64(len(nameOf("")) + union)
	return b[:min(uint64(len(b)), amount/size*size)], nil
}

// PfinetGetroutes lists the routes: structures of an interface's name and ten
// integers, of which the first three are addresses: destination, mask,
// gateway; then flags.
func (i *ioctls) PfinetGetroutes(_ context.Context, amount uint64) ([]byte, error) {
	var b []byte
	add := func(ifnam string, dst, mask, gateway netip.Addr, flags, mtu int) {
		n := nameOf(ifnam)
		b = append(b, n[:]...)
		for _, a := range []netip.Addr{dst, mask, gateway} {
			ip := sockaddr(a)
			b = append(b, ip[4:8]...)
		}
		for _, v := range []int{flags, 0, mtu, 0, 0, 0, 0} {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
	}
	for _, f := range i.stack.Interfaces() {
		if f.Addr.IsValid() {
			add(f.Name, f.Addr.Masked().Addr(), netmask(f.Addr), netip.Addr{}, rtfUp, f.MTU)
		}
		if g := i.stack.Config().Gateway; g.IsValid() && !f.Loopback {
			add(f.Name, netip.Addr{}, netip.Addr{}, g, rtfUp|rtfGateway, f.MTU)
		}
	}
	const size = 16 + 40
	return b[:min(uint64(len(b)), amount/size*size)], nil
}

func (i *ioctls) IIoctlSiocgifflags(_ context.Context, n name, _ int16) (name, int16, error) {
	f, err := i.find(n)
	flags := int16(iffUp | iffRunning | iffMulticast)
	if f.Loopback {
		flags |= iffLoopback
	} else {
		flags |= iffBroadcast
	}
	return n, flags, err
}

// IIoctlSiocsifflags accepts what an interface always is: up.
func (i *ioctls) IIoctlSiocsifflags(_ context.Context, n name, flags int16) error {
	if _, err := i.find(n); err != nil {
		return err
	}
	if !i.root {
		return proto.EPERM
	}
	if flags&iffUp == 0 {
		return proto.EOPNOTSUPP
	}
	return nil
}

func (i *ioctls) IIoctlSiocgifmetric(_ context.Context, n name, _ int32) (name, int32, error) {
	_, err := i.find(n)
	return n, 0, err
}

func (i *ioctls) IIoctlSiocgifmtu(_ context.Context, n name, _ int32) (name, int32, error) {
	f, err := i.find(n)
	return n, int32(f.MTU), err
}

func (i *ioctls) IIoctlSiocgifindex(_ context.Context, n name, _ int32) (name, int32, error) {
	f, err := i.find(n)
	return n, int32(f.Index), err
}

func (i *ioctls) IIoctlSiocgifname(_ context.Context, n name, index int32) (name, int32, error) {
	list := i.stack.Interfaces()
	at := slices.IndexFunc(list, func(f ipstack.Interface) bool { return f.Index == int(index) })
	if at < 0 {
		return n, index, proto.ENODEV
	}
	return nameOf(list[at].Name), index, nil
}

func (i *ioctls) IIoctlSiocgifaddr(_ context.Context, n name, a [16]byte) (name, [16]byte, error) {
	return i.addr(n, a, netip.Prefix.Addr)
}

func (i *ioctls) IIoctlSiocgifnetmask(_ context.Context, n name, a [16]byte) (name, [16]byte, error) {
	return i.addr(n, a, netmask)
}

func (i *ioctls) IIoctlSiocgifbrdaddr(_ context.Context, n name, a [16]byte) (name, [16]byte, error) {
	return i.addr(n, a, broadcast)
}

// IIoctlSiocgifdstaddr is for point-to-point links, of which there are none.
func (i *ioctls) IIoctlSiocgifdstaddr(_ context.Context, n name, a [16]byte) (name, [16]byte, error) {
	return i.addr(n, a, func(netip.Prefix) netip.Addr { return netip.Addr{} })
}

// addr answers a question about an interface's address.
func (i *ioctls) addr(n name, a [16]byte, get func(netip.Prefix) netip.Addr) (name, [16]byte, error) {
	f, err := i.find(n)
	if err == nil && !f.Addr.IsValid() {
		err = proto.EADDRNOTAVAIL
	}
	if err != nil {
		return n, a, err
	}
	return n, sockaddr(get(f.Addr)), nil
}

func (i *ioctls) IIoctlSiocgifhwaddr(_ context.Context, n name, a [16]byte) (name, [16]byte, error) {
	f, err := i.find(n)
	a = [16]byte{16, arphrdEther}
	if f.Loopback {
		a[1] = arphrdLoopback & 0xff
	}
	copy(a[2:], f.MAC[:])
	return n, a, err
}

func (i *ioctls) IIoctlSiocsifaddr(_ context.Context, n name, b [16]byte) error {
	return i.change(n, func(c *ipstack.Config) error {
		a, err := addrOf(b)
		if err != nil {
			return err
		}
		bits := 24
		if c.Addr.IsValid() {
			bits = c.Addr.Bits()
		}
		if c.Addr = netip.PrefixFrom(a, bits); a.IsUnspecified() {
			*c = ipstack.Config{}
		}
		return nil
	})
}

func (i *ioctls) IIoctlSiocsifnetmask(_ context.Context, n name, b [16]byte) error {
	return i.change(n, func(c *ipstack.Config) error {
		if !c.Addr.IsValid() {
			return proto.EADDRNOTAVAIL
		}
		m, err := addrOf(b)
		if err != nil {
			return err
		}
		ones, err := bits(m)
		c.Addr = netip.PrefixFrom(c.Addr.Addr(), ones)
		return err
	})
}

// IIoctlSiocdifaddr takes the address away.
func (i *ioctls) IIoctlSiocdifaddr(_ context.Context, n name, _ [16]byte) error {
	return i.change(n, func(c *ipstack.Config) error {
		*c = ipstack.Config{}
		return nil
	})
}

// change changes the addresses of the card.
func (i *ioctls) change(n name, set func(*ipstack.Config) error) error {
	f, err := i.find(n)
	switch {
	case err != nil:
		return err
	case !i.root:
		return proto.EPERM
	case f.Loopback:
		return proto.EOPNOTSUPP
	}
	return i.configure(set)
}

func (i *ioctls) configure(set func(*ipstack.Config) error) error {
	c := i.stack.Config()
	if err := set(&c); err != nil {
		return err
	}
	if i.stack.Configure(c) != nil {
		return proto.EINVAL
	}
	return nil
}

// RIoctlSiocaddrt sets the default route: it is the only one that can be.
func (i *ioctls) RIoctlSiocaddrt(_ context.Context, _ name, route [10]int32) error {
	if !i.root {
		return proto.EPERM
	}
	dst, gateway := routeAddr(route[0]), routeAddr(route[2])
	if !dst.IsUnspecified() || gateway.IsUnspecified() {
		return proto.EOPNOTSUPP
	}
	return i.configure(func(c *ipstack.Config) error {
		if !c.Addr.Contains(gateway) {
			return proto.ENETUNREACH
		}
		c.Gateway = gateway
		return nil
	})
}

// RIoctlSiocdelrt takes the default route away.
func (i *ioctls) RIoctlSiocdelrt(_ context.Context, _ name, route [10]int32) error {
	if !i.root {
		return proto.EPERM
	}
	if !routeAddr(route[0]).IsUnspecified() {
		return proto.EOPNOTSUPP
	}
	return i.configure(func(c *ipstack.Config) error {
		if !c.Gateway.IsValid() {
			return proto.ESRCH
		}
		c.Gateway = netip.Addr{}
		return nil
	})
}

// routeAddr is an address in the order of the network.
func routeAddr(v int32) netip.Addr {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], uint32(v))
	return netip.AddrFrom4(b)
}
