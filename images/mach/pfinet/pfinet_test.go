package pfinet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/images/mach/ipstack"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// unplugged is a network card without a cable: the tests use the loopback
// interface.
type unplugged struct{}

func (unplugged) MAC() [6]byte               { return [6]byte{2} }
func (unplugged) MTU() int                   { return 1500 }
func (unplugged) Send(func([]byte) int) bool { return false }
func (unplugged) Flush()                     {}
func (unplugged) Close()                     {}
func (unplugged) Serve(ctx context.Context, _ func([]byte)) error {
	<-ctx.Done()
	return ctx.Err()
}

// A client is a program with the server's port.
type client struct {
	testing.TB
	k      *portstest.Kernel
	ctx    context.Context
	srv    *Server
	server mach.Port
}

func newClient(t testing.TB) *client {
	st, err := ipstack.New(unplugged{}, ipstack.Config{Addr: netip.MustParsePrefix("10.77.0.1/24")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	k := portstest.New(t, wire.Layout32)
	c := &client{TB: t, k: k, ctx: k.Context(t.Context()), srv: NewServer(st, &ioport.Host{Export: k})}
	c.server = c.as(translator.Root())
	return c
}

// as opens the server's node.
func (c *client) as(user translator.User) mach.Port {
	c.Helper()
	p, err := c.k.Export(proto.Handler(c.srv.Protocols(user, 0)...), ports.Options{})
	c.ok(err)
	right, err := p.Right()
	c.ok(err)
	return right
}

func (c *client) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *client) fails(err, want error) {
	c.Helper()
	if !errors.Is(err, want) {
		c.Errorf("got %v, want %v", err, want)
	}
}

// end gives up rights, after which nothing is left.
func (c *client) end(p ...mach.Port) {
	c.Helper()
	c.k.Release(append(p, c.server)...)
	if left := c.k.Ports(); len(left) != 0 {
		c.Errorf("ports left: %v", left)
	}
	if n := len(c.srv.sockets); n != 0 {
		c.Errorf("%d sockets left", n)
	}
}

func (c *client) socket(typ int32) mach.Port {
	c.Helper()
	p, err := proto.SocketCreate(c.ctx, c.server, typ, 0)
	c.ok(err)
	return p
}

// at calls f with an address.
func (c *client) at(ap string, f func(addr mach.Port) error) error {
	c.Helper()
	a := netip.MustParseAddrPort(ap)
	b := make([]byte, 16)
	b[1] = 2
	binary.BigEndian.PutUint16(b[2:], a.Port())
	copy(b[4:], a.Addr().AsSlice())
	addr, err := proto.SocketCreateAddress(c.ctx, c.server, 2, b)
	c.ok(err)
	defer c.k.Release(addr)
	return f(addr)
}

func (c *client) bind(p mach.Port, ap string) error {
	c.Helper()
	return c.at(ap, func(a mach.Port) error { return proto.SocketBind(c.ctx, p, a) })
}

func (c *client) connect(p mach.Port, ap string) error {
	c.Helper()
	return c.at(ap, func(a mach.Port) error { return proto.SocketConnect(c.ctx, p, a) })
}

// what returns what an address object stands for, and gives it up.
func (c *client) what(p mach.Port, err error) string {
	c.Helper()
	c.ok(err)
	defer c.k.Release(p)
	family, b, err := proto.SocketWhatisAddress(c.ctx, p)
	if err != nil || family != 2 || len(b) != 16 || b[0] != 16 || b[1] != 2 {
		c.Fatalf("address %d % x, %v", family, b, err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])).String()
}

func (c *client) write(p mach.Port, s string) {
	c.Helper()
	if n, err := proto.IOWrite(c.ctx, p, []byte(s), -1); err != nil || int(n) != len(s) {
		c.Fatalf("write: %d, %v", n, err)
	}
}

func (c *client) read(p mach.Port, n uint64) string {
	c.Helper()
	b, err := proto.IORead(c.ctx, p, -1, n)
	c.ok(err)
	return string(b)
}

var one = []byte{1, 0, 0, 0}

// connected returns two ends of a TCP connection.
func (c *client) connected() (client, conn, listener mach.Port) {
	c.Helper()
	listener = c.socket(proto.SOCK_STREAM)
	c.ok(proto.SocketSetopt(c.ctx, listener, solSocket, soReuseAddr, one))
	c.ok(c.bind(listener, "127.0.0.1:80"))
	c.ok(proto.SocketListen(c.ctx, listener, 5))
	client = c.socket(proto.SOCK_STREAM)
	c.ok(c.connect(client, "127.0.0.1:80"))
	conn, peer, err := proto.SocketAccept(c.ctx, listener)
	c.ok(err)
	if got, want := c.what(peer, nil), c.what(proto.SocketName(c.ctx, client)); got != want {
		c.Errorf("accepted %s, but the client is %s", got, want)
	}
	if got := c.what(proto.SocketPeername(c.ctx, client)); got != "127.0.0.1:80" {
		c.Errorf("peer of the client: %s", got)
	}
	return client, conn, listener
}

func TestTCP(t *testing.T) {
	c := newClient(t)
	client, conn, listener := c.connected()
	c.write(client, "hello")
	if got := c.read(conn, 100); got != "hello" {
		t.Errorf("got %q", got)
	}
	// A read that waits, with other requests meanwhile.
	got := make(chan string)
	go func() { got <- c.read(client, 3) }()
	_, err := proto.IOGetOpenmodes(c.ctx, client)
	c.ok(err)
	c.write(conn, "world")
	if s := <-got; s != "wor" {
		t.Errorf("got %q", s)
	}
	_, data, _, _, _, err := proto.SocketRecv(c.ctx, client, proto.MSG_PEEK, 100)
	if err != nil || string(data) != "ld" {
		t.Errorf("peek %q, %v", data, err)
	}
	if got := c.read(client, 100); got != "ld" {
		t.Errorf("got %q", got)
	}
	go func() {
		_, data, _, _, _, _ := proto.SocketRecv(c.ctx, client, proto.MSG_WAITALL, 6)
		got <- string(data)
	}()
	c.write(conn, "abc")
	c.write(conn, "def")
	if s := <-got; s != "abcdef" {
		t.Errorf("all: %q", s)
	}
	// The end.
	c.ok(proto.SocketShutdown(c.ctx, client, proto.SHUT_WR))
	if got := c.read(conn, 100); got != "" {
		t.Errorf("after the end: %q", got)
	}
	_, err = proto.IOWrite(c.ctx, client, []byte("x"), -1)
	c.fails(err, proto.EPIPE)
	c.k.Release(conn)
	if got := c.read(client, 100); got != "" {
		t.Errorf("after the other end has gone: %q", got)
	}
	c.end(client, listener)
}

func TestManyBytes(t *testing.T) {
	c := newClient(t)
	client, conn, _ := c.connected()
	const total = 16 << 20
	sent := strings.Repeat("0123456789abcdef", 2048)
	go func() {
		for put := 0; put < total; {
			n, err := proto.IOWrite(c.ctx, client, []byte((sent + sent)[put%len(sent):][:len(sent)]), -1)
			if err != nil {
				t.Error(err)
				return
			}
			put += int(n)
		}
	}()
	for got := 0; got < total; {
		b := c.read(conn, 64<<10)
		if want := (sent + sent + sent)[got%len(sent):][:len(b)]; b != want {
			t.Fatalf("at %d: the data is wrong", got)
		}
		got += len(b)
	}
}

func TestInterruptAndNonblock(t *testing.T) {
	c := newClient(t)
	client, conn, listener := c.connected()
	for p, call := range map[mach.Port]func(context.Context) error{
		client: func(ctx context.Context) error {
			_, err := proto.IORead(ctx, client, -1, 1)
			return err
		},
		listener: func(ctx context.Context) error {
			_, _, err := proto.SocketAccept(ctx, listener)
			return err
		},
		conn: func(ctx context.Context) error {
			_, err := proto.IOSelect(ctx, conn, proto.SelectRead)
			return err
		},
	} {
		ctx, cancel := context.WithCancelCause(c.ctx)
		got := make(chan error)
		go func() { got <- call(ctx) }()
		time.Sleep(time.Millisecond) // either order of the two must do
		cancel(proto.EINTR)
		c.fails(<-got, proto.EINTR)
		if p == conn {
			continue
		}
		c.ok(proto.IOSetSomeOpenmodes(c.ctx, p, proto.O_NONBLOCK))
		c.fails(call(c.ctx), proto.EAGAIN)
		c.ok(proto.IOClearSomeOpenmodes(c.ctx, p, proto.O_NONBLOCK))
	}
	// Nothing was lost.
	c.write(conn, "x")
	if got, err := proto.IOSelect(c.ctx, client, proto.SelectRead); err != nil || got != proto.SelectRead {
		t.Errorf("select %d, %v", got, err)
	}
	if got := c.read(client, 10); got != "x" {
		t.Errorf("got %q", got)
	}
	past := time.Now().Add(-time.Second)
	got, err := proto.IOSelectTimeout(c.ctx, client, proto.Timespec{Sec: past.Unix()}, proto.SelectRead)
	if err != nil || got != 0 {
		t.Errorf("ready for %d, %v", got, err)
	}
	c.end(client, conn, listener)
}

func TestUDP(t *testing.T) {
	c := newClient(t)
	a, b := c.socket(proto.SOCK_DGRAM), c.socket(proto.SOCK_DGRAM)
	c.ok(c.bind(a, "127.0.0.1:53"))
	_, err := proto.SocketSend(c.ctx, b, mach.Null, 0, []byte("to nobody"), nil, nil)
	c.fails(err, proto.EDESTADDRREQ)
	for _, s := range []string{"query", "", "again"} {
		c.ok(c.at("127.0.0.1:53", func(addr mach.Port) error {
			_, err := proto.SocketSend(c.ctx, b, addr, 0, []byte(s), nil, nil)
			return err
		}))
	}
	recv := func(p mach.Port, n uint64, flags int32) (mach.Port, string, int32) {
		t.Helper()
		from, data, rights, control, out, err := proto.SocketRecv(c.ctx, p, flags, n)
		if err != nil || len(rights)+len(control) > 0 {
			t.Fatal(err, rights, control)
		}
		return from, string(data), out
	}
	from, s, _ := recv(a, 100, proto.MSG_PEEK)
	if s != "query" {
		t.Errorf("peek: %q", s)
	}
	objects := len(c.k.Ports())
	for _, want := range []string{"query", ""} {
		again, s, _ := recv(a, 100, 0)
		if s != want || again != from {
			t.Errorf("got %q from %v, want %q from %v", s, again, want, from)
		}
		c.k.Release(again)
	}
	if n := len(c.k.Ports()); n != objects {
		t.Errorf("%d new objects for the same address", n-objects)
	}
	again, s, out := recv(a, 3, 0)
	if s != "aga" || out != proto.MSG_TRUNC {
		t.Errorf("cut datagram: %q, flags %#x", s, out)
	}
	_, err = proto.SocketSend(c.ctx, a, from, 0, []byte("answer"), nil, nil)
	c.ok(err)
	back, s, _ := recv(b, 100, 0)
	if s != "answer" || c.what(back, nil) != "127.0.0.1:53" {
		t.Errorf("got %q", s)
	}
	c.end(a, b, from, again)
}

func TestPing(t *testing.T) {
	c := newClient(t)
	user := c.as(translator.User{UIDs: []uint32{1000}})
	_, err := proto.SocketCreate(c.ctx, user, proto.SOCK_RAW, 1)
	c.fails(err, proto.EACCES)
	echo := append([]byte{8, 0, 0, 0, 0, 0, 0, 7}, "payload"...)
	for _, tt := range []struct {
		server mach.Port
		typ    int32
		header int // of IP, in what is received
	}{{user, proto.SOCK_DGRAM, 0}, {c.server, proto.SOCK_RAW, 20}} {
		p, err := proto.SocketCreate(c.ctx, tt.server, tt.typ, 1)
		c.ok(err)
		if tt.typ == proto.SOCK_RAW {
			binary.BigEndian.PutUint16(echo[2:], checksum(echo))
		}
		c.ok(c.connect(p, "127.0.0.1:0"))
		if peer := c.what(proto.SocketPeername(c.ctx, p)); peer != "127.0.0.1:0" {
			t.Errorf("connected to %s", peer)
		}
		c.write(p, string(echo))
		for {
			b := []byte(c.read(p, 1000))
			if len(b) < tt.header+8 {
				t.Fatalf("% x", b)
			}
			if b = b[tt.header:]; b[0] == 8 { // the request, as a raw socket sees it
				continue
			}
			if b[0] != 0 || b[7] != 7 || !bytes.Equal(b[8:], []byte("payload")) {
				t.Errorf("reply % x", b)
			}
			break
		}
		c.k.Release(p)
	}
	c.end(user)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	return ^uint16(sum + sum>>16)
}

func TestErrors(t *testing.T) {
	c := newClient(t)
	s, u := c.socket(proto.SOCK_STREAM), c.socket(proto.SOCK_STREAM)
	other := c.k.NewPort(nil)
	create := func(typ, protocol int32) error {
		_, err := proto.SocketCreate(c.ctx, c.server, typ, protocol)
		return err
	}
	addr := func(family int32, b []byte) error {
		_, err := proto.SocketCreateAddress(c.ctx, c.server, family, b)
		return err
	}
	option := func(level, name int32) error {
		_, err := proto.SocketGetopt(c.ctx, s, level, name)
		return err
	}
	_, read := proto.IORead(c.ctx, s, -1, 1)
	_, peer := proto.SocketPeername(c.ctx, s)
	_, seek := proto.IOSeek(c.ctx, s, 0, 0)
	_, rights := proto.SocketSend(c.ctx, s, mach.Null, 0, nil, []mach.Port{other}, nil)
	nobody := c.as(translator.User{})
	low, err := proto.SocketCreate(c.ctx, nobody, proto.SOCK_STREAM, 0)
	c.ok(err)
	for name, tt := range map[string]struct{ got, want error }{
		"UDP stream":             {create(1, 17), proto.EPROTONOSUPPORT},
		"unknown type":           {create(4, 0), proto.ESOCKTNOSUPPORT},
		"IPv6 address":           {addr(26, make([]byte, 28)), proto.EAFNOSUPPORT},
		"short address":          {addr(2, []byte{0, 2}), proto.EINVAL},
		"not an address":         {proto.SocketBind(c.ctx, s, other), proto.EINVAL},
		"no address":             {proto.SocketConnect(c.ctx, s, mach.Null), proto.EDESTADDRREQ},
		"another host's address": {c.bind(s, "10.1.2.3:1"), proto.EADDRNOTAVAIL},
		"nobody listens":         {c.connect(u, "127.0.0.1:1"), proto.ECONNREFUSED},
		"a low port":             {c.bind(low, "127.0.0.1:80"), proto.EACCES},
		"not connected":          {read, proto.ENOTCONN},
		"peer of nobody":         {peer, proto.ENOTCONN},
		"unknown option":         {option(41, 1), proto.ENOPROTOOPT},
		"seek":                   {seek, proto.ESPIPE},
		"rights":                 {rights, proto.EINVAL},
		"shutdown of nothing":    {proto.SocketShutdown(c.ctx, s, 7), proto.EINVAL},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, tt.got, tt.want)
		}
	}
	if n := c.k.Rights(other); n != 1 {
		t.Errorf("%d rights after requests that failed", n)
	}
	c.end(s, u, other, nobody, low)
}

func TestOptions(t *testing.T) {
	c := newClient(t)
	s := c.socket(proto.SOCK_STREAM)
	for o, v := range values {
		val := byte(1)
		switch o {
		case [2]int32{ipprotoIP, ipTOS}:
			val = 8 // the lowest bits are not a program's
		case [2]int32{ipprotoIP, ipHdrIncl}, [2]int32{ipprotoTCP, tcpMaxSeg}, [2]int32{solSocket, soSndBuf}, [2]int32{solSocket, soRcvBuf}:
			continue // of other sockets, or within bounds
		}
		if v.set == nil {
			continue
		}
		c.ok(proto.SocketSetopt(c.ctx, s, o[0], o[1], []byte{val, 0, 0, 0}))
		b, err := proto.SocketGetopt(c.ctx, s, o[0], o[1])
		if err != nil || len(b) != 4 || b[0] != val {
			t.Errorf("option %v: set %d, got % x, %v", o, val, b, err)
		}
	}
	c.ok(proto.SocketSetopt(c.ctx, s, solSocket, soLinger, []byte{1, 0, 0, 0, 5, 0, 0, 0}))
	b, err := proto.SocketGetopt(c.ctx, s, solSocket, soLinger)
	if err != nil || !bytes.Equal(b, []byte{1, 0, 0, 0, 5, 0, 0, 0}) {
		t.Errorf("linger % x, %v", b, err)
	}
	c.fails(proto.SocketSetopt(c.ctx, s, solSocket, soType, one), proto.ENOPROTOOPT)
	c.fails(proto.SocketSetopt(c.ctx, s, solSocket, soReuseAddr, nil), proto.EINVAL)
}

func TestLimit(t *testing.T) {
	c := newClient(t)
	var last mach.Port
	for range MaxSockets {
		last = c.socket(proto.SOCK_DGRAM)
	}
	_, err := proto.SocketCreate(c.ctx, c.server, proto.SOCK_DGRAM, 0)
	c.fails(err, proto.ENFILE)
	c.k.Release(last)
	c.socket(proto.SOCK_DGRAM)
}

func TestInterfaces(t *testing.T) {
	c := newClient(t)
	conf, err := proto.PfinetSiocgifconf(c.ctx, c.server, 1000)
	c.ok(err)
	size := 32
	if wire.Native == wire.Layout64 {
		size = 40
	}
	if len(conf) != 2*size || !bytes.HasPrefix(conf, []byte("eth0\x00")) || !bytes.Equal(conf[16:24], []byte{16, 2, 0, 0, 10, 77, 0, 1}) {
		t.Errorf("ifconf % x", conf)
	}
	if conf, _ = proto.PfinetSiocgifconf(c.ctx, c.server, uint64(size)+3); len(conf) != size {
		t.Errorf("%d bytes for one interface", len(conf))
	}
	s := c.socket(proto.SOCK_DGRAM)
	eth := nameOf("eth0")
	get := func(f func(context.Context, mach.Port, [16]byte, [16]byte) ([16]byte, [16]byte, error)) string {
		t.Helper()
		n, a, err := f(c.ctx, s, eth, [16]byte{})
		if err != nil || n != eth {
			t.Errorf("%q, %v", n, err)
		}
		return netip.AddrFrom4([4]byte(a[4:8])).String()
	}
	if a, m, b := get(proto.IIoctlSiocgifaddr), get(proto.IIoctlSiocgifnetmask), get(proto.IIoctlSiocgifbrdaddr); a != "10.77.0.1" || m != "255.255.255.0" || b != "10.77.0.255" {
		t.Error(a, m, b)
	}
	_, hw, err := proto.IIoctlSiocgifhwaddr(c.ctx, s, eth, [16]byte{})
	if err != nil || hw[1] != arphrdEther || hw[2] != 2 {
		t.Errorf("hardware % x, %v", hw, err)
	}
	_, flags, err := proto.IIoctlSiocgifflags(c.ctx, s, nameOf("lo"), 0)
	if err != nil || flags&(iffUp|iffLoopback) != iffUp|iffLoopback {
		t.Errorf("flags %#x, %v", flags, err)
	}
	n, _, err := proto.IIoctlSiocgifname(c.ctx, s, [16]byte{}, 2)
	if err != nil || n != nameOf("lo") {
		t.Errorf("interface 2: %q, %v", n, err)
	}
	_, _, err = proto.IIoctlSiocgifmtu(c.ctx, s, nameOf("eth7"), 0)
	c.fails(err, proto.ENODEV)
	// Changes.
	c.ok(proto.IIoctlSiocsifnetmask(c.ctx, s, eth, sockaddr(netip.MustParseAddr("255.255.0.0"))))
	c.ok(proto.IIoctlSiocsifaddr(c.ctx, s, eth, sockaddr(netip.MustParseAddr("10.78.0.5"))))
	if got := c.srv.stack.Config().Addr.String(); got != "10.78.0.5/16" {
		t.Errorf("address %s", got)
	}
	c.fails(proto.IIoctlSiocsifnetmask(c.ctx, s, eth, sockaddr(netip.MustParseAddr("255.0.255.0"))), proto.EINVAL)
	gateway := int32(binary.LittleEndian.Uint32([]byte{10, 78, 0, 254}))
	c.ok(proto.RIoctlSiocaddrt(c.ctx, s, eth, [10]int32{2: gateway}))
	routes, err := proto.PfinetGetroutes(c.ctx, c.server, 1000)
	if err != nil || len(routes) != 3*56 || !bytes.Contains(routes, []byte{10, 78, 0, 254}) {
		t.Errorf("routes % x, %v", routes, err)
	}
	c.ok(proto.RIoctlSiocdelrt(c.ctx, s, eth, [10]int32{}))
	c.fails(proto.RIoctlSiocdelrt(c.ctx, s, eth, [10]int32{}), proto.ESRCH)
	weak, err := proto.IORestrictAuth(c.ctx, s, nil, nil)
	c.ok(err)
	c.fails(proto.IIoctlSiocsifaddr(c.ctx, weak, eth, sockaddr(netip.MustParseAddr("10.78.0.6"))), proto.EPERM)
	c.fails(proto.RIoctlSiocaddrt(c.ctx, weak, eth, [10]int32{2: gateway}), proto.EPERM)
	f, err := c.srv.Open(c.ctx, translator.User{}, 0)
	c.ok(err)
	text := make([]byte, 10000)
	length, err := f.(translator.Stream).Read(c.ctx, text, false)
	if err != nil || !strings.Contains(string(text[:length]), "interface 1: eth0, 02:00:00:00:00:00, 10.78.0.5/16, mtu 1500\n") || !strings.Contains(string(text[:length]), "udp  ") {
		t.Errorf("report %q, %v", text[:length], err)
	}
	c.end(s, weak)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{16, 2, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := decode(b)
		if !ok {
			return
		}
		if again, ok := decode(encode(a)); !ok || again != a {
			t.Errorf("%v became %v", a, again)
		}
	})
}

func TestFlags(t *testing.T) {
	var o Options
	set := flag.NewFlagSet("pfinet", flag.ContinueOnError)
	o.Flags(set)
	if err := set.Parse([]string{"--interface=02:00:00:00:00:01", "-a", "10.77.0.7", "--netmask=255.255.255.0", "--gateway=10.77.0.1"}); err != nil {
		t.Fatal(err)
	}
	if o.Card().String() != "02:00:00:00:00:01" {
		t.Errorf("card %v", o.Card())
	}
	st, err := ipstack.New(unplugged{}, ipstack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := o.Use(st); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, value, want string }{
		{"", "", "{10.77.0.7/24 10.77.0.1}"},
		{"a", "10.78.0.7", "{10.78.0.7/24 invalid IP}"}, // the gateway is elsewhere
		{"netmask", "255.0.0.0", "{10.78.0.7/8 10.77.0.1}"},
		{"netmask", "255.0.255.0", ""},
		{"address", "fe80::1", ""},
		{"interface", "eth0", ""},
		{"m", "", "{10.78.0.7/8 10.77.0.1}"},
		{"address", "", "{invalid Prefix invalid IP}"},
	} {
		before := st.Config()
		if tt.name != "" {
			if err := set.Set(tt.name, tt.value); (err != nil) != (tt.want == "") {
				t.Errorf("%s %s: %v", tt.name, tt.value, err)
			}
		}
		if tt.want == "" {
			tt.want = fmt.Sprint(before)
		}
		if got := fmt.Sprint(st.Config()); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.name, tt.value, got, tt.want)
		}
	}
	if got := set.Lookup("gateway").Value.String(); got != "10.77.0.1" {
		t.Errorf("gateway %s", got)
	}
}
