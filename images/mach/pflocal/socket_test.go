package pflocal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A fixture is a server that knows which rights were given up.
type fixture struct {
	*testing.T
	*Server
	released map[mach.Port]int
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{T: t, released: map[mach.Port]int{}}
	f.Server = NewServer(func(p mach.Port) { f.released[p]++ })
	t.Cleanup(func() { f.check() })
	return f
}

// check compares what the server counts with what is there.
func (f *fixture) check() {
	f.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	bytes, rights, floating := 0, 0, 0
	flying := map[*Socket]int{}
	for k := range f.sockets {
		if k.closed {
			f.Errorf("socket %d is closed", k.id)
		}
		if k.users == 0 && k.inFlight > 0 {
			floating++
		}
		if k.in == nil {
			continue
		}
		size := 0
		for _, p := range k.in.packets {
			size += len(p.data)
			rights += len(p.rights)
			for _, r := range p.rights {
				if r.Socket != nil {
					flying[r.Socket]++
				}
			}
		}
		if size != k.in.size {
			f.Errorf("queue of %d bytes has %d", k.in.size, size)
		}
		bytes += size
	}
	for k, n := range flying {
		if k.inFlight != n {
			f.Errorf("socket %d is in flight %d times, not %d", k.id, n, k.inFlight)
		}
	}
	if bytes != f.queued || rights != f.inFlight || floating != f.floating {
		f.Errorf("counted %d bytes, %d rights, %d floating sockets; there are %d, %d, %d", f.queued, f.inFlight, f.floating, bytes, rights, floating)
	}
}

func (f *fixture) empty() {
	f.Helper()
	f.check()
	if len(f.sockets) != 0 || f.queued != 0 || f.inFlight != 0 || f.floating != 0 {
		f.Errorf("left: %d sockets, %d bytes, %d rights, %d floating", len(f.sockets), f.queued, f.inFlight, f.floating)
	}
}

func (f *fixture) socket(kind Kind) *Socket {
	f.Helper()
	k, err := f.NewSocket(kind)
	if err != nil {
		f.Fatal(err)
	}
	return k
}

func (f *fixture) pair(kind Kind) (a, b *Socket) {
	f.Helper()
	a, b = f.socket(kind), f.socket(kind)
	if err := f.Pair(a, b); err != nil {
		f.Fatal(err)
	}
	return a, b
}

// pipe returns the two ends of a pipe.
func (f *fixture) pipe() (r, w *Socket) {
	f.Helper()
	r, w = f.pair(Stream)
	if err := errors.Join(r.Shutdown(false, true), w.Shutdown(true, false)); err != nil {
		f.Fatal(err)
	}
	return r, w
}

func send(k *Socket, s string, r ...Right) (int, error) {
	return k.Send(context.Background(), Message{Data: []byte(s), Rights: r}, nil, true)
}

func (f *fixture) send(k *Socket, s string, r ...Right) {
	f.Helper()
	if n, err := send(k, s, r...); err != nil || n != len(s) {
		f.Fatalf("send %.20q: %d, %v", s, n, err)
	}
}

func recv(k *Socket, n int) (string, error) {
	m, err := k.Receive(context.Background(), n, How{DontWait: true})
	return string(m.Data), err
}

func (f *fixture) want(k *Socket, n int, want string) {
	f.Helper()
	if got, err := recv(k, n); err != nil || got != want {
		f.Fatalf("received %.20q, %v, want %.20q", got, err, want)
	}
}

func (f *fixture) fails(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Errorf("got %v, want %v", err, want)
	}
}

func TestPipe(t *testing.T) {
	f := newFixture(t)
	r, w := f.pipe()
	_, err := recv(r, 1)
	f.fails(err, proto.EAGAIN)
	f.send(w, "hello ")
	f.send(w, "world")
	f.want(r, 3, "hel")
	f.want(r, 100, "lo world")
	_, err = send(r, "x")
	f.fails(err, proto.EPIPE)
	f.want(w, 1, "")
	f.send(w, "last")
	w.Unuse()
	f.want(r, 100, "last")
	f.want(r, 100, "") // the end, again and again
	f.want(r, 100, "")
	r.Unuse()
	f.empty()

	r, w = f.pipe()
	f.send(w, "lost")
	r.Unuse()
	_, err = send(w, "x")
	f.fails(err, proto.EPIPE)
	w.Unuse()
	f.empty()
}

func TestBackpressure(t *testing.T) {
	f := newFixture(t)
	r, w := f.pipe()
	big := strings.Repeat("x", 100<<10)
	n, err := send(w, big)
	if n != queueLimit || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	_, err = send(w, "x")
	f.fails(err, proto.EAGAIN)
	// No part of what must stay in one piece.
	f.want(r, 100, big[:100])
	_, err = send(w, big[:atomicWrite])
	f.fails(err, proto.EAGAIN)
	if got := w.ready() & proto.SelectWrite; got != 0 {
		t.Error("writable, though a page does not fit")
	}
	f.want(r, atomicWrite, big[:atomicWrite])
	if got := w.ready() & proto.SelectWrite; got == 0 {
		t.Error("not writable, though a page fits")
	}
	f.send(w, big[:atomicWrite])
	// Many small writes are few packets.
	r2, w2 := f.pipe()
	for range queueLimit {
		f.send(w2, "y")
	}
	if n := len(r2.in.packets); n > queueLimit/joinLimit+1 {
		t.Errorf("%d packets", n)
	}
}

// TestScarce fills so many queues that all become small, but still work.
func TestScarce(t *testing.T) {
	f := newFixture(t)
	chunk := strings.Repeat("z", queueLimit)
	for f.queued <= budget {
		_, w := f.pipe()
		f.send(w, chunk)
	}
	r, w := f.pipe()
	for range 3 {
		if n, err := send(w, chunk); n != scarceLimit || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		f.want(r, len(chunk), chunk[:scarceLimit])
	}
}

func TestWait(t *testing.T) {
	f := newFixture(t)
	r, w := f.pipe()
	ctx, cancel := context.WithCancelCause(t.Context())
	got := make(chan error)
	go func() { _, err := r.Receive(ctx, 1, How{}); got <- err }()
	cancel(proto.EINTR)
	f.fails(<-got, proto.EINTR)
	go func() {
		m, err := r.Receive(t.Context(), 10, How{All: true})
		if string(m.Data) != "0123456789" {
			t.Errorf("all: %q", m.Data)
		}
		got <- err
	}()
	for i := range 10 {
		f.send(w, fmt.Sprint(i))
	}
	f.fails(<-got, nil)
	go func() { _, err := r.Select(t.Context(), proto.SelectRead); got <- err }()
	w.Unuse()
	f.fails(<-got, nil)
	// A socket that is closed under a call.
	a, b := f.pair(Stream)
	go func() { _, err := a.Receive(t.Context(), 1, How{}); got <- err }()
	a.Unuse()
	f.fails(<-got, proto.EINTR)
	b.Unuse()
	r.Unuse()
	f.empty()
}

func TestPeekAndRecords(t *testing.T) {
	f := newFixture(t)
	for _, kind := range []Kind{Datagram, SeqPacket} {
		a, b := f.pair(kind)
		f.send(a, "one")
		f.send(a, "")
		f.send(a, "three")
		if n, err := b.Readable(); n != 3 || err != nil {
			t.Errorf("readable %d, %v", n, err)
		}
		m, err := b.Receive(t.Context(), 2, How{Peek: true})
		if err != nil || string(m.Data) != "on" || !m.Cut {
			t.Errorf("peek: %q, %v", m.Data, err)
		}
		f.want(b, 2, "on")
		f.want(b, 10, "")
		f.want(b, 10, "three")
		_, err = send(a, strings.Repeat("x", queueLimit+1))
		f.fails(err, proto.EMSGSIZE)
	}
	a, b := f.pair(Stream)
	f.send(a, "he")
	f.send(a, strings.Repeat("l", joinLimit))
	m, err := b.Receive(t.Context(), 4, How{Peek: true})
	if err != nil || string(m.Data) != "hell" {
		t.Errorf("peek: %q, %v", m.Data, err)
	}
	f.want(b, 4, "hell")
}

func TestConnect(t *testing.T) {
	f := newFixture(t)
	l, a := f.socket(Stream), &Address{Name: []byte("name")}
	f.fails(l.Bind(a), nil)
	f.fails(f.socket(Stream).Bind(a), proto.EADDRINUSE)
	c := f.socket(Stream)
	f.fails(c.Connect(t.Context(), a), proto.ECONNREFUSED)
	f.fails(l.Listen(1), nil)
	_, err := recv(l, 1)
	f.fails(err, proto.EINVAL)
	_, err = recv(c, 1)
	f.fails(err, proto.ENOTCONN)
	f.fails(f.socket(Datagram).Connect(t.Context(), a), proto.EPROTOTYPE)
	f.fails(c.Connect(t.Context(), a), nil)
	f.fails(c.Connect(t.Context(), a), proto.EISCONN)
	f.send(c, "early")
	// The backlog is full.
	d := f.socket(Stream)
	d.state.SetNonblock(true)
	f.fails(d.Connect(t.Context(), a), proto.EAGAIN)
	d.state.SetNonblock(false)
	connected := make(chan error)
	go func() { connected <- d.Connect(t.Context(), a) }()
	s, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.fails(<-connected, nil)
	f.want(s, 100, "early")
	if got, err := s.PeerAddress(); err != nil || got != c.Address() {
		t.Errorf("peer %v, %v", got, err)
	}
	if got, err := c.PeerAddress(); err != nil || string(got.Name) != "name" {
		t.Errorf("peer %v, %v", got, err)
	}
	// Those who wait to be accepted learn that the place has gone.
	l.Unuse()
	f.want(d, 1, "")
	f.fails(f.socket(Stream).Connect(t.Context(), a), proto.ECONNREFUSED)
	f.send(s, "still there")
	f.want(c, 100, "still there")
}

func TestDatagrams(t *testing.T) {
	f := newFixture(t)
	a, b := f.socket(Datagram), f.socket(Datagram)
	f.fails(b.Bind(&Address{}), nil)
	_, err := send(a, "x")
	f.fails(err, proto.EDESTADDRREQ)
	to := func(s string) error {
		_, err := a.Send(t.Context(), Message{Data: []byte(s)}, b.Address(), false)
		return err
	}
	f.fails(to("anonymous"), nil)
	f.fails(a.Bind(&Address{}), nil)
	f.fails(to("named"), nil)
	for _, want := range []*Address{nil, a.Address()} {
		m, err := b.Receive(t.Context(), 100, How{})
		if err != nil || m.From != want {
			t.Errorf("%q from %v, %v", m.Data, m.From, err)
		}
	}
	f.fails(a.Connect(t.Context(), b.Address()), nil)
	f.send(a, "connected")
	b.Unuse()
	_, err = send(a, "x")
	f.fails(err, proto.ECONNREFUSED)
	f.fails(to("x"), proto.ECONNREFUSED)
}

func TestRights(t *testing.T) {
	f := newFixture(t)
	a, b := f.pair(Stream)
	f.send(a, "before")
	f.send(a, "with", Right{Port: 7}, Right{Port: 8})
	f.send(a, "after")
	// Those come with their own bytes, and no others.
	for _, want := range []struct {
		s      string
		rights int
	}{{"before", 0}, {"with", 2}, {"after", 0}} {
		m, err := b.Receive(t.Context(), 100, How{})
		if err != nil || string(m.Data) != want.s || len(m.Rights) != want.rights {
			t.Errorf("%q with %d rights, %v; want %q, %d", m.Data, len(m.Rights), err, want.s, want.rights)
		}
	}
	// Nobody receives them.
	f.send(a, "lost", Right{Port: 9})
	b.Unuse()
	if f.released[9] != 1 || f.released[7] != 0 {
		t.Errorf("released %v", f.released)
	}
	_, err := send(a, "x", Right{Port: 10})
	f.fails(err, proto.EPIPE)
	if f.released[10] != 0 {
		t.Error("released what is the caller's")
	}
	_, err = send(a, "x", make([]Right, maxRights+1)...)
	f.fails(err, proto.EMSGSIZE)
	a.Unuse()
	f.empty()
	// Too many of them.
	for {
		a, _ := f.pair(Datagram)
		if _, err := send(a, "", make([]Right, maxRights)...); err != nil {
			f.fails(err, proto.ETOOMANYREFS)
			break
		}
	}
}

// TestCycles sends sockets to each other and lets them go.
func TestCycles(t *testing.T) {
	f := newFixture(t)
	a, b := f.pair(Stream)
	f.send(a, "b to itself", Right{Socket: b})
	f.send(a, "a, too", Right{Socket: a})
	a.Unuse()
	if len(f.sockets) != 2 {
		t.Fatalf("%d sockets", len(f.sockets))
	}
	b.Unuse() // only b could receive itself
	f.empty()

	a, b = f.pair(Stream)
	c, d := f.pair(Stream)
	f.send(a, "c to b", Right{Socket: c})
	f.send(d, "b to c", Right{Socket: b})
	b.Unuse()
	c.Unuse()
	if len(f.sockets) != 2 {
		t.Fatalf("%d sockets", len(f.sockets))
	}
	_, err := send(a, "x")
	f.fails(err, proto.EPIPE)
	a.Unuse()
	d.Unuse()
	f.empty()

	// A chain, of which the last still has the first.
	a, b = f.pair(Stream)
	c, d = f.pair(Stream)
	f.send(a, "d", Right{Socket: d})
	d.Unuse()
	f.send(c, "c's other end gets a", Right{Socket: a})
	a.Unuse()
	c.Unuse()
	m, err := b.Receive(t.Context(), 100, How{})
	if err != nil || len(m.Rights) != 1 || m.Rights[0].Socket != d {
		t.Fatalf("%v, %v", m, err)
	}
	m, err = d.Receive(t.Context(), 100, How{})
	if err != nil || len(m.Rights) != 1 || m.Rights[0].Socket != a {
		t.Fatalf("%v, %v", m, err)
	}
	for _, k := range []*Socket{a, b, d} {
		k.Unuse()
	}
	f.empty()
}

func TestLimit(t *testing.T) {
	f := newFixture(t)
	var k *Socket
	for range MaxSockets {
		k = f.socket(Stream)
	}
	_, err := f.NewSocket(Stream)
	f.fails(err, proto.ENFILE)
	k.Unuse()
	f.socket(Stream)
	_, err = f.NewSocket(3)
	f.fails(err, proto.ESOCKTNOSUPPORT)
}

// TestBytes writes and reads with several goroutines at once: what comes out
// is what went in, in order, and then the end.
func TestBytes(t *testing.T) {
	f := newFixture(t)
	r, w := f.pipe()
	const total = 4 << 20
	var wg sync.WaitGroup
	wg.Go(func() {
		defer w.Unuse()
		rng := rand.New(rand.NewPCG(1, 2))
		for at := 0; at < total; {
			b := make([]byte, min(total-at, 1+rng.IntN(1<<(1+rng.IntN(17)))))
			for i := range b {
				b[i] = byte((at + i) * 7 >> 3)
			}
			n, err := w.Send(context.Background(), Message{Data: b}, nil, false)
			if err != nil {
				t.Error(err)
				return
			}
			at += n
		}
	})
	rng := rand.New(rand.NewPCG(3, 4))
	for at := 0; ; {
		m, err := r.Receive(t.Context(), 1+rng.IntN(1<<(1+rng.IntN(17))), How{})
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Data) == 0 {
			if at != total {
				t.Errorf("the end after %d bytes", at)
			}
			break
		}
		for i, c := range m.Data {
			if c != byte((at+i)*7>>3) {
				t.Fatalf("byte %d is wrong", at+i)
			}
		}
		at += len(m.Data)
	}
	wg.Wait()
	r.Unuse()
	f.empty()
}

// TestModel compares a stream with a string, and all counts with what there
// is, through any sequence of operations.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t)
		a, b := f.pair(Stream)
		var model []byte
		var rights, got []mach.Port
		next := byte(0)
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { f.check() },
			"send": func(rt *rapid.T) {
				data := make([]byte, rapid.IntRange(0, 20000).Draw(rt, "bytes"))
				for i := range data {
					data[i] = next
					next++
				}
				var r []Right
				for range rapid.IntRange(0, 2).Draw(rt, "rights") {
					r = append(r, Right{Port: mach.Port(100 + len(rights) + len(r))})
				}
				n, err := a.Send(rt.Context(), Message{Data: append([]byte(nil), data...), Rights: r}, nil, true)
				next -= byte(len(data) - n)
				if err != nil {
					if !errors.Is(err, proto.EAGAIN) || len(model) < atomicWrite {
						rt.Fatal(err, len(model))
					}
					return
				}
				model = append(model, data[:n]...)
				for _, x := range r {
					rights = append(rights, x.Port)
				}
			},
			"receive": func(rt *rapid.T) {
				n := rapid.IntRange(1, 30000).Draw(rt, "bytes")
				peek := rapid.Bool().Draw(rt, "peek")
				m, err := b.Receive(rt.Context(), n, How{DontWait: true, Peek: peek})
				if err != nil {
					if !errors.Is(err, proto.EAGAIN) || len(model) != 0 {
						rt.Fatal(err, len(model))
					}
					return
				}
				if len(m.Data) == 0 || string(m.Data) != string(model[:len(m.Data)]) {
					rt.Fatalf("%d bytes, the wrong ones", len(m.Data))
				}
				if !peek {
					model = model[len(m.Data):]
				}
				for _, r := range m.Rights {
					got = append(got, r.Port)
				}
			},
		})
		a.Unuse()
		for {
			m, err := b.Receive(rt.Context(), 1000, How{DontWait: true})
			if err != nil {
				rt.Fatal(err)
			}
			if len(m.Data) == 0 {
				break
			}
			if string(m.Data) != string(model[:len(m.Data)]) {
				rt.Fatal("the rest is wrong")
			}
			model = model[len(m.Data):]
			for _, r := range m.Rights {
				got = append(got, r.Port)
			}
		}
		b.Unuse()
		lost := 0
		for _, n := range f.released {
			lost += n
		}
		if len(model) != 0 || len(got)+lost != len(rights) {
			rt.Errorf("%d bytes and %d rights are lost", len(model), len(rights)-len(got)-lost)
		}
		f.empty()
	})
}
