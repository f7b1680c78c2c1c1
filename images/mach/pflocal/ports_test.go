package pflocal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A client is a program with the server's port.
type client struct {
	*testing.T
	k      *portstest.Kernel
	ctx    context.Context
	ports  *Ports
	server mach.Port
	met    chan mach.Port // what the authentication server gave away
}

func newClient(t *testing.T) *client {
	k := portstest.New(t, wire.Layout32)
	c := &client{T: t, k: k, ctx: k.Context(t.Context()), met: make(chan mach.Port, 1)}
	c.ports = NewPorts(&ioport.Host{Export: k, Auth: k.NewPort(proto.Handler(&auth{c: c}))})
	p, err := k.Export(proto.Handler(c.ports.Protocols(translator.Root(), 0)...), ports.Options{})
	c.ok(err)
	c.server, err = p.Right()
	c.ok(err)
	return c
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

func (c *client) socket(typ int32) mach.Port {
	c.Helper()
	p, err := proto.SocketCreate(c.ctx, c.server, typ, 0)
	c.ok(err)
	return p
}

// pipe makes a pipe as programs do.
func (c *client) pipe() (r, w mach.Port) {
	c.Helper()
	r, w = c.socket(proto.SOCK_STREAM), c.socket(proto.SOCK_STREAM)
	c.ok(proto.SocketConnect2(c.ctx, r, w))
	c.ok(proto.SocketShutdown(c.ctx, r, proto.SHUT_WR))
	c.ok(proto.SocketShutdown(c.ctx, w, proto.SHUT_RD))
	return r, w
}

// end gives up rights, after which nothing is left.
func (c *client) end(p ...mach.Port) {
	c.Helper()
	c.k.Release(p...)
	c.k.Release(c.server, c.ports.host.Auth)
	if left := c.k.Ports(); len(left) != 0 {
		c.Errorf("ports left: %v", left)
	}
	if n := len(c.ports.server.sockets); n != 0 {
		c.Errorf("%d sockets left", n)
	}
}

func (c *client) write(p mach.Port, s string) {
	c.Helper()
	if n, err := proto.IOWrite(c.ctx, p, []byte(s), -1); err != nil || int(n) != len(s) {
		c.Fatalf("write: %d, %v", n, err)
	}
}

func (c *client) read(p mach.Port, want string) {
	c.Helper()
	if b, err := proto.IORead(c.ctx, p, -1, 64<<10); err != nil || string(b) != want {
		c.Errorf("read %.20q, %v; want %.20q", b, err, want)
	}
}

func TestPipePorts(t *testing.T) {
	c := newClient(t)
	r, w := c.pipe()
	big := string(bytes.Repeat([]byte("0123456789"), 5000))
	c.write(w, "hello")
	c.read(r, "hello")
	c.write(w, big)
	c.read(r, big)
	if _, err := proto.IOWrite(c.ctx, r, []byte("x"), -1); !errors.Is(err, proto.EPIPE) {
		t.Error(err)
	}
	for p, want := range map[mach.Port]int32{r: proto.O_READ, w: proto.O_WRITE} {
		bits, err := proto.IOGetOpenmodes(c.ctx, p)
		if err != nil || bits != want {
			t.Errorf("modes %#x, %v, want %#x", bits, err, want)
		}
		st, err := proto.IOStat(c.ctx, p)
		if err != nil || st.Mode&proto.S_IFMT != proto.S_IFIFO || st.FSType != proto.FSTypeSocket {
			t.Errorf("stat %+v, %v", st, err)
		}
	}
	_, err := proto.IOSeek(c.ctx, r, 0, 0)
	c.fails(err, proto.ESPIPE)
	c.ok(proto.IOSetSomeOpenmodes(c.ctx, r, proto.O_NONBLOCK))
	_, err = proto.IORead(c.ctx, r, -1, 1)
	c.fails(err, proto.EAGAIN)
	// Both ends have to go, in all their copies.
	w2, err := proto.IODuplicate(c.ctx, w)
	c.ok(err)
	c.k.Release(w)
	_, err = proto.IORead(c.ctx, r, -1, 1)
	c.fails(err, proto.EAGAIN)
	c.write(w2, "more")
	c.k.Release(w2)
	c.read(r, "more")
	c.read(r, "")
	c.end(r)
}

func TestInterruptAndSelect(t *testing.T) {
	c := newClient(t)
	r, w := c.pipe()
	ctx, cancel := context.WithCancelCause(c.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := proto.IORead(ctx, r, -1, 1)
		if err == nil {
			t.Error("read without data")
		}
	})
	cancel(proto.EINTR)
	wg.Wait()
	past := time.Now().Add(-time.Second)
	got, err := proto.IOSelectTimeout(c.ctx, r, proto.Timespec{Sec: past.Unix()}, proto.SelectRead)
	if err != nil || got != 0 {
		t.Errorf("select %d, %v", got, err)
	}
	got, err = proto.IOSelect(c.ctx, w, proto.SelectRead|proto.SelectWrite)
	if err != nil || got&proto.SelectWrite == 0 {
		t.Errorf("select %d, %v", got, err)
	}
	c.end(r, w)
}

func TestConnectPorts(t *testing.T) {
	c := newClient(t)
	l := c.socket(proto.SOCK_STREAM)
	sockaddr := append([]byte{0, proto.PF_LOCAL}, "/tmp/s\x00"...)
	addr, err := proto.SocketCreateAddress(c.ctx, c.server, proto.PF_LOCAL, sockaddr)
	c.ok(err)
	c.ok(proto.SocketBind(c.ctx, l, addr))
	c.ok(proto.SocketListen(c.ctx, l, 5))
	s := c.socket(proto.SOCK_STREAM)
	c.ok(proto.SocketConnect(c.ctx, s, addr))
	conn, peer, err := proto.SocketAccept(c.ctx, l)
	c.ok(err)
	name, err := proto.SocketPeername(c.ctx, s)
	c.ok(err)
	family, b, err := proto.SocketWhatisAddress(c.ctx, name)
	if err != nil || family != proto.PF_LOCAL || int(b[0]) != len(b) || string(b[2:len(b)-1]) != "/tmp/s" {
		t.Errorf("address %d % x, %v", family, b, err)
	}
	c.write(s, "hi")
	c.read(conn, "hi")
	// An address that gets its name later.
	bare, err := proto.SocketFabricateAddress(c.ctx, c.server, proto.PF_LOCAL)
	c.ok(err)
	same, err := proto.SocketCreateAddress(c.ctx, bare, proto.PF_LOCAL, sockaddr)
	c.ok(err)
	if _, b, err := proto.SocketWhatisAddress(c.ctx, bare); err != nil || !bytes.Contains(b, []byte("/tmp/s")) {
		t.Errorf("address % x, %v", b, err)
	}
	_, err = proto.SocketCreateAddress(c.ctx, same, proto.PF_LOCAL, sockaddr)
	c.fails(err, proto.EADDRINUSE)
	c.k.Release(bare, same)
	st, err := proto.IOStat(c.ctx, s)
	if err != nil || st.Mode&proto.S_IFMT != proto.S_IFSOCK {
		t.Errorf("stat %o, %v", st.Mode, err)
	}
	b, err = proto.SocketGetopt(c.ctx, s, solSocket, soType)
	if err != nil || binary.LittleEndian.Uint32(b) != proto.SOCK_STREAM {
		t.Errorf("type % x, %v", b, err)
	}
	other := c.k.NewPort(nil)
	c.fails(proto.SocketConnect(c.ctx, conn, other), proto.EINVAL)
	c.fails(proto.SocketConnect2(c.ctx, l, other), proto.EINVAL)
	c.fails(proto.SocketConnect(c.ctx, l, mach.Null), proto.EADDRNOTAVAIL)
	c.end(l, s, conn, peer, addr, name, other)
}

func TestRightsInMessages(t *testing.T) {
	c := newClient(t)
	a, b := c.socket(proto.SOCK_STREAM), c.socket(proto.SOCK_STREAM)
	c.ok(proto.SocketConnect2(c.ctx, a, b))
	r, w := c.pipe()
	foreign := c.k.NewPort(nil)
	send := func(ports ...mach.Port) error {
		_, err := proto.SocketSend(c.ctx, a, mach.Null, 0, []byte("x"), ports, []byte("control"))
		return err
	}
	c.ok(send(foreign, r, mach.Null))
	if n := c.k.Rights(r); n != 1 {
		t.Errorf("%d rights to a socket in flight", n)
	}
	c.k.Release(r) // it lives on, in flight
	addr, data, got, control, _, err := proto.SocketRecv(c.ctx, b, 0, 100)
	if err != nil || addr != mach.Null || string(data) != "x" || string(control) != "control" || len(got) != 3 || got[0] != foreign || got[2] != mach.Null {
		t.Fatalf("%v %q %v %q, %v", addr, data, got, control, err)
	}
	r = got[1]
	c.write(w, "through")
	c.read(r, "through")
	// Rights of messages that fail, and that nobody receives.
	c.ok(proto.SocketShutdown(c.ctx, b, proto.SHUT_RD))
	c.fails(send(foreign, r, a), proto.EPIPE)
	c.ok(proto.SocketShutdown(c.ctx, a, proto.SHUT_RD))
	c.k.Release(foreign) // as received
	if n := c.k.Rights(foreign); n != 1 {
		t.Errorf("%d rights", n)
	}
	a2, b2 := c.socket(proto.SOCK_DGRAM), c.socket(proto.SOCK_DGRAM)
	c.ok(proto.SocketConnect2(c.ctx, a2, b2))
	a = swap(a, a2, c)
	b = swap(b, b2, c)
	c.ok(send(foreign, a, b)) // a cycle
	c.end(a, b, r, w, foreign)
}

func swap(old, now mach.Port, c *client) mach.Port {
	c.k.Release(old)
	return now
}

func TestUsers(t *testing.T) {
	c := newClient(t)
	s := c.socket(proto.SOCK_STREAM)
	rend := c.k.NewPort(nil)
	c.ok(proto.IOReauthenticate(c.ctx, s, proto.Copy(rend)))
	met := <-c.met
	if _, err := proto.IOGetOwner(c.ctx, met); err != nil { // waits until it is known
		t.Error(err)
	}
	if u, _ := c.ports.host.Client(met); u == nil || !u.User.Has(1000) || u.User.IsRoot() {
		t.Errorf("reauthenticated: %v", u)
	}
	p, err := proto.IORestrictAuth(c.ctx, s, nil, nil)
	c.ok(err)
	if u, _ := c.ports.host.Client(p); u.User.IsRoot() {
		t.Error("still root")
	}
	c.end(s, p, rend, met)
}

// auth is an authentication server for user 1000.
type auth struct {
	proto.UnimplementedAuth
	c *client
}

func (a *auth) AuthServerAuthenticate(_ context.Context, rend mach.Port, newport proto.Right) (euids, auids, egids, agids []int32, err error) {
	a.c.k.Release(rend)
	a.c.met <- newport.Port
	return []int32{1000}, nil, []int32{1000}, nil, nil
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{4, 1, 'x', 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		name, ok := decode(b)
		if !ok {
			return
		}
		if again, ok := decode(encode(name)); !ok || !bytes.Equal(again, name) {
			t.Errorf("% x became % x", name, again)
		}
	})
}

func BenchmarkPipe(b *testing.B) {
	s := NewServer(func(mach.Port) {})
	r, _ := s.NewSocket(Stream)
	w, _ := s.NewSocket(Stream)
	if err := s.Pair(r, w); err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 32<<10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		w.Send(b.Context(), Message{Data: data}, nil, false)
		r.Receive(b.Context(), len(data), How{})
	}
}
