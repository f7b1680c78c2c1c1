package socket

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hurdlab/images/mach/hurdio"
	"hurdlab/images/mach/ipstack"
	"hurdlab/images/mach/ports/portstest"
	"hurdlab/mach"
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

type fixture struct {
	t      *testing.T
	x      *portstest.Exporter
	later  *portstest.Later
	server mach.Port
	srv    *Server
}

func newFixture(t *testing.T) *fixture {
	st, err := ipstack.New(unplugged{}, ipstack.Config{Addr: netip.MustParsePrefix("10.77.0.1/24")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	f := &fixture{t: t, x: new(portstest.Exporter), later: portstest.NewLater()}
	f.srv = NewServer(st.Raw(), f.x)
	f.srv.deferReply = f.later.Defer
	f.srv.release = func(mach.Port) {}
	f.server, _ = f.x.Export(f.srv, nil)
	return f
}

// call calls and waits for the answer.
func (f *fixture) call(p mach.Port, id int32, put func(*mach.Message)) (*mach.Message, error) {
	f.t.Helper()
	return f.later.Get(f.x.Call(f.t, p, id, put))
}

// must is call of something that succeeds.
func (f *fixture) must(p mach.Port, id int32, put func(*mach.Message)) *mach.Message {
	f.t.Helper()
	m, err := f.call(p, id, put)
	if err != nil {
		f.t.Fatalf("%d: %v", id, err)
	}
	return m
}

func ints(x ...int32) func(*mach.Message) {
	return func(m *mach.Message) {
		for _, x := range x {
			m.PutInt32(x)
		}
	}
}

func right(p mach.Port) func(*mach.Message) {
	return func(m *mach.Message) { m.PutRight(p, mach.CopySend) }
}

func (f *fixture) socket(typ int32) mach.Port {
	f.t.Helper()
	return f.must(f.server, socketCreate, ints(typ, 0)).TakeSend()
}

func (f *fixture) address(on mach.Port, ap string) mach.Port {
	f.t.Helper()
	a := netip.MustParseAddrPort(ap)
	b := make([]byte, 16)
	b[1] = 2
	binary.BigEndian.PutUint16(b[2:], a.Port())
	copy(b[4:], a.Addr().AsSlice())
	return f.must(on, createAddress, func(m *mach.Message) { m.PutInt32(2); m.PutData(mach.Char, b) }).TakeSend()
}

// what returns what an address object stands for.
func (f *fixture) what(p mach.Port) string {
	f.t.Helper()
	m := f.must(p, whatIsAddress, nil)
	family, b := m.TakeInt32(), m.TakeData(-1)
	if family != 2 || len(b) != 16 || b[0] != 16 || b[1] != 2 {
		f.t.Errorf("address %d % x", family, b)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])).String()
}

func data(s string) func(*mach.Message) {
	return func(m *mach.Message) { m.PutData(mach.Char, []byte(s)); m.PutInt64(-1) }
}

func amount(n uint64) func(*mach.Message) {
	return func(m *mach.Message) { m.PutInt64(-1); m.PutWord(n) }
}

func (f *fixture) read(p mach.Port, n uint64) string {
	f.t.Helper()
	return string(f.must(p, hurdio.Read, amount(n)).TakeData(-1))
}

// connected returns two ends of a TCP connection.
func (f *fixture) connected() (client, conn, listener mach.Port) {
	f.t.Helper()
	listener = f.socket(sockStream)
	f.must(listener, socketSetOpt, func(m *mach.Message) { ints(solSocket, soReuseAddr)(m); m.PutData(mach.Char, []byte{1, 0, 0, 0}) })
	f.must(listener, socketBind, right(f.address(f.server, "127.0.0.1:80")))
	f.must(listener, socketListen, ints(5))
	client = f.socket(sockStream)
	f.must(client, socketConnect, right(f.address(client, "127.0.0.1:80")))
	m := f.must(listener, socketAccept, nil)
	conn, peer := m.TakeSend(), m.TakeSend()
	if got, want := f.what(peer), f.what(f.must(client, socketName, nil).TakeSend()); got != want {
		f.t.Errorf("accepted %s, but the client is %s", got, want)
	}
	if got := f.what(f.must(client, socketPeerName, nil).TakeSend()); got != "127.0.0.1:80" {
		f.t.Errorf("peer of the client: %s", got)
	}
	return client, conn, listener
}

func TestTCP(t *testing.T) {
	f := newFixture(t)
	client, conn, listener := f.connected()
	f.must(client, hurdio.Write, data("hello"))
	if got := f.read(conn, 100); got != "hello" {
		t.Errorf("got %q", got)
	}
	// A read that waits, with other requests meanwhile.
	if _, err := f.x.Call(t, client, hurdio.Read, amount(3)); err != mach.NoReply {
		t.Fatalf("read does not wait: %v", err)
	}
	if _, err := f.x.Call(t, client, hurdio.Read, amount(100)); err != mach.NoReply {
		t.Fatalf("second read does not wait: %v", err)
	}
	f.must(client, hurdio.GetOpenModes, nil)
	f.must(conn, hurdio.Write, data("world"))
	for _, want := range []string{"wor", "ld"} {
		if m, err := f.later.Wait(); err != nil || string(m.TakeData(-1)) != want {
			t.Errorf("read that waited: %v", err)
		}
	}
	// The end.
	f.must(client, socketShutdown, ints(1))
	if got := f.read(conn, 100); got != "" {
		t.Errorf("after the end: %q", got)
	}
	if _, err := f.call(client, hurdio.Write, data("x")); !errors.Is(err, hurdio.EPIPE) {
		t.Errorf("write after shutdown: %v", err)
	}
	f.x.Drop(conn)
	if got := f.read(client, 100); got != "" {
		t.Errorf("after the other end has gone: %q", got)
	}
	f.x.Drop(client)
	f.x.Drop(listener)
	if n := f.srv.sockets.Load(); n != 0 {
		t.Errorf("%d sockets are left", n)
	}
}

func TestManyBytes(t *testing.T) {
	f := newFixture(t)
	client, conn, _ := f.connected()
	const total = 3 << 20
	sent := strings.Repeat("0123456789abcdef", 128)
	got := 0
	for put := 0; put < total; put += len(sent) {
		f.must(client, hurdio.Write, data(sent))
		for got < put { // one behind the other
			b := f.read(conn, 2048)
			if b != (sent + sent)[got%len(sent):][:len(b)] {
				t.Fatalf("at %d: the data is wrong", got)
			}
			got += len(b)
		}
	}
}

func TestInterruptAndNonblock(t *testing.T) {
	f := newFixture(t)
	client, conn, listener := f.connected()
	for _, tt := range []struct {
		p   mach.Port
		id  int32
		put func(*mach.Message)
	}{{client, hurdio.Read, amount(1)}, {listener, socketAccept, nil}, {client, hurdio.Select, ints(hurdio.SelectRead)}} {
		if _, err := f.x.Call(t, tt.p, tt.id, tt.put); err != mach.NoReply {
			t.Fatalf("%d does not wait: %v", tt.id, err)
		}
		f.must(tt.p, hurdio.Interrupt, nil)
		if _, err := f.later.Wait(); !errors.Is(err, hurdio.EINTR) {
			t.Errorf("%d interrupted: %v", tt.id, err)
		}
		f.must(tt.p, hurdio.SetSomeOpenModes, ints(hurdio.ONonblock))
		if tt.id == hurdio.Select {
			continue
		}
		if _, err := f.x.Call(t, tt.p, tt.id, tt.put); !errors.Is(err, hurdio.EAGAIN) {
			t.Errorf("%d without waiting: %v", tt.id, err)
		}
	}
	// Nothing was lost.
	f.must(conn, hurdio.Write, data("x"))
	if m := f.must(client, hurdio.Select, ints(hurdio.SelectRead|hurdio.SelectWrite)); m.TakeInt32()&hurdio.SelectRead == 0 {
		// The data may still be on its way: ask for nothing else.
		f.must(client, hurdio.Select, ints(hurdio.SelectRead))
	}
	if got := f.read(client, 10); got != "x" {
		t.Errorf("got %q", got)
	}
	// A program that goes while it waits.
	f.must(client, hurdio.ClearSomeOpenMode, ints(hurdio.ONonblock))
	if _, err := f.x.Call(t, client, hurdio.Read, amount(1)); err != mach.NoReply {
		t.Fatalf("read does not wait: %v", err)
	}
	f.x.Drop(client)
	if _, err := f.later.Wait(); !errors.Is(err, hurdio.EINTR) {
		t.Errorf("read of a socket that is gone: %v", err)
	}
}

func TestSelectTimeout(t *testing.T) {
	f := newFixture(t)
	client, _, _ := f.connected()
	past := time.Now().Add(-time.Second)
	m := f.must(client, ioSelectTimeout, func(m *mach.Message) {
		m.PutWords(uint64(past.Unix()), uint64(past.Nanosecond()))
		m.PutInt32(hurdio.SelectRead)
	})
	if got := m.TakeInt32(); got != 0 {
		t.Errorf("ready for %d", got)
	}
}

func TestUDP(t *testing.T) {
	f := newFixture(t)
	a, b := f.socket(sockDgram), f.socket(sockDgram)
	f.must(a, socketBind, right(f.address(f.server, "127.0.0.1:53")))
	send := func(p, to mach.Port, s string) (*mach.Message, error) {
		return f.call(p, socketSend, func(m *mach.Message) {
			m.PutRight(to, mach.CopySend)
			m.PutInt32(0)
			m.PutData(mach.Char, []byte(s))
			m.PutRights(nil, mach.CopySend)
			m.PutData(mach.Char, nil)
		})
	}
	recv := func(p mach.Port, n uint64, flags int32) (from mach.Port, s string, out int32) {
		t.Helper()
		m := f.must(p, socketRecv, func(m *mach.Message) { m.PutInt32(flags); m.PutWord(n) })
		from, s = m.TakeSend(), string(m.TakeData(-1))
		m.TakeRights(0)
		m.TakeData(0)
		out = m.TakeInt32()
		if err := m.End(); err != nil {
			t.Error(err)
		}
		return from, s, out
	}
	if _, err := send(b, mach.Null, "to nobody"); !errors.Is(err, eDestAddrReq) {
		t.Errorf("without an address: %v", err)
	}
	for _, s := range []string{"query", "", "again"} {
		if _, err := send(b, f.address(b, "127.0.0.1:53"), s); err != nil {
			t.Fatal(err)
		}
	}
	from, s, _ := recv(a, 100, msgPeek)
	if s != "query" {
		t.Errorf("peek: %q", s)
	}
	objects := f.x.Len()
	for _, want := range []string{"query", ""} {
		if from, s, _ = recv(a, 100, 0); s != want {
			t.Errorf("got %q, want %q", s, want)
		}
	}
	if n := f.x.Len(); n != objects {
		t.Errorf("%d new objects for the same address", n-objects)
	}
	if _, s, out := recv(a, 3, 0); s != "aga" || out != msgTrunc {
		t.Errorf("cut datagram: %q, flags %#x", s, out)
	}
	if _, err := send(a, from, "answer"); err != nil {
		t.Fatal(err)
	}
	if _, s, _ = recv(b, 100, 0); s != "answer" {
		t.Errorf("got %q", s)
	}
}

func TestErrors(t *testing.T) {
	f := newFixture(t)
	s := f.socket(sockStream)
	other, _ := f.x.Export(mach.Routines{}, nil)
	for name, tt := range map[string]struct {
		p    mach.Port
		id   int32
		put  func(*mach.Message)
		want error
	}{
		"raw socket":             {f.server, socketCreate, ints(3, 1), eSockTNoSupport},
		"UDP stream":             {f.server, socketCreate, ints(1, 17), eProtoNoSupport},
		"IPv6 address":           {f.server, createAddress, func(m *mach.Message) { m.PutInt32(26); m.PutData(mach.Char, make([]byte, 28)) }, eAFNoSupport},
		"short address":          {f.server, createAddress, func(m *mach.Message) { m.PutInt32(2); m.PutData(mach.Char, []byte{0, 2}) }, hurdio.EINVAL},
		"not an address":         {s, socketBind, right(other), hurdio.EINVAL},
		"no address":             {s, socketConnect, right(mach.Null), eDestAddrReq},
		"another host's address": {f.socket(sockStream), socketBind, right(f.address(s, "10.1.2.3:1")), eAddrNotAvail},
		"nobody listens":         {f.socket(sockStream), socketConnect, right(f.address(s, "127.0.0.1:1")), eConnRefused},
		"not connected":          {f.socket(sockStream), hurdio.Read, amount(1), eNotConn},
		"peer of nobody":         {f.socket(sockStream), socketPeerName, nil, eNotConn},
		"unknown option":         {s, socketGetOpt, ints(41, 1), eNoProtoOpt},
		"seek":                   {s, hurdio.Seek, nil, hurdio.ESPIPE},
		"unknown routine":        {s, socketCreate, nil, mach.MigBadID},
		"no arguments":           {s, socketListen, nil, mach.MigBadArguments},
		"shutdown of nothing":    {s, socketShutdown, ints(7), hurdio.EINVAL},
	} {
		if _, err := f.call(tt.p, tt.id, tt.put); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

func TestOptions(t *testing.T) {
	f := newFixture(t)
	s := f.socket(sockStream)
	for _, o := range [][2]int32{{solSocket, soReuseAddr}, {solSocket, soKeepAlive}, {solSocket, soBroadcast}, {ipprotoTCP, tcpNoDelay}} {
		for _, v := range []byte{1, 0} {
			f.must(s, socketSetOpt, func(m *mach.Message) { ints(o[0], o[1])(m); m.PutData(mach.Char, []byte{v, 0, 0, 0}) })
			b := f.must(s, socketGetOpt, ints(o[0], o[1])).TakeData(-1)
			if len(b) != 4 || b[0] != v {
				t.Errorf("option %v: set %d, got % x", o, v, b)
			}
		}
	}
	if b := f.must(s, socketGetOpt, ints(solSocket, soType)).TakeData(-1); b[0] != sockStream {
		t.Errorf("type % x", b)
	}
	for _, name := range []int32{tcpKeepIdle, tcpKeepIntvl, tcpKeepCnt} {
		f.must(s, socketSetOpt, func(m *mach.Message) { ints(ipprotoTCP, name)(m); m.PutData(mach.Char, []byte{9, 0, 0, 0}) })
	}
}

func TestLimit(t *testing.T) {
	f := newFixture(t)
	var last mach.Port
	for range MaxSockets {
		last = f.socket(sockDgram)
	}
	if _, err := f.call(f.server, socketCreate, ints(sockDgram, 0)); !errors.Is(err, eNFile) {
		t.Errorf("got %v", err)
	}
	f.x.Drop(last)
	f.socket(sockDgram)
}
