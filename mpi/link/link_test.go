package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"hurdlab/mach"
	"hurdlab/mpi"
)

// pairs makes the two ends of the links that work here.
var pairs = map[string]func(t testing.TB) (mpi.Link, mpi.Link){
	"memory": func(testing.TB) (mpi.Link, mpi.Link) { return mpi.Pipe() },
	"tcp": func(t testing.TB) (mpi.Link, mpi.Link) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		a, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return TCP(a), TCP(b)
	},
	"mapped": func(t testing.TB) (mpi.Link, mpi.Link) {
		x, y := make([]byte, Ring), make([]byte, Ring)
		b1, b2 := mpi.Pipe()
		c1, c2 := mpi.Pipe()
		a, err := Mapped(x, y, b1, c1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Mapped(y, x, b2, c2)
		if err != nil {
			t.Fatal(err)
		}
		return a, b
	},
}

// Messages of all sizes arrive, in order, both ways at once.
func TestLinks(t *testing.T) {
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			g, ctx := errgroup.WithContext(ctx)
			send := func(l mpi.Link, seed uint64) func() error {
				return func() error {
					return each(seed, func(tag int32, b []byte) error { return l.Send(ctx, tag, b) })
				}
			}
			recv := func(l mpi.Link, seed uint64) func() error {
				var buf []byte
				return func() error {
					return each(seed, func(tag int32, want []byte) error {
						got, b, err := l.Recv(ctx, buf)
						if err != nil {
							return err
						}
						if got != tag || !bytes.Equal(b, want) {
							return fmt.Errorf("tag %d, %d bytes; not %d, %d", got, len(b), tag, len(want))
						}
						buf = b[:cap(b)]
						return nil
					})
				}
			}
			g.Go(send(a, 1))
			g.Go(recv(b, 1))
			g.Go(send(b, 2))
			g.Go(recv(a, 2))
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			a.Close()
			if _, _, err := b.Recv(t.Context(), nil); !errors.Is(err, mpi.ErrLost) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// each makes the same messages for the same seed.
func each(seed uint64, f func(tag int32, b []byte) error) error {
	r := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		n := r.IntN(1 << r.IntN(20))
		if r.IntN(10) == 0 {
			n = (n &^ (Slot - 1)) + r.IntN(3) - 1 // at the ends of pieces
		}
		b := make([]byte, max(n, 0))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if err := f(r.Int32(), b); err != nil {
			return err
		}
	}
	return nil
}

// A send of what is buffered does not wait for a receiver.
func TestBuffered(t *testing.T) {
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			a, _ := pair(t)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for range mpi.BufferedMessages {
				if err := a.Send(ctx, 0, make([]byte, mpi.Buffered/mpi.BufferedMessages)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestContext(t *testing.T) {
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			a, _ := pair(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New("enough")
			time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
			if _, _, err := a.Recv(ctx, nil); !errors.Is(err, why) {
				t.Error(err)
			}
		})
	}
}

func data(tag, total int32, b []byte) *mach.Message {
	m := mach.NewMessage(IDMessage)
	m.PutInt32(tag)
	m.PutInt32(total)
	m.PutData(mach.Byte, b)
	return m
}

func TestPortTakes(t *testing.T) {
	p := &port{p: part{left: -1}}
	take := func(m *mach.Message) (bool, error) {
		m.Rewind()
		return p.take(m, nil)
	}
	if whole, err := take(data(3, 5, []byte("hel"))); whole || err != nil {
		t.Fatal(whole, err)
	}
	if whole, err := take(data(3, 5, []byte("lo"))); !whole || err != nil || string(p.p.b) != "hello" || p.p.tag != 3 {
		t.Fatal(whole, err, p.p)
	}
	for name, m := range map[string]*mach.Message{
		"a length less than 0": data(0, -1, nil), "too long a length": data(0, mpi.MaxMessage+1, nil),
		"more than there is to be": data(0, 1, []byte("ab")), "nothing, of something": data(0, 1, nil),
		"another id": mach.NewMessage(5), "nothing in it": mach.NewMessage(IDMessage),
	} {
		p.p.left = -1
		if _, err := take(m); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	m := mach.NewMessage(int32(mach.NotifyNoSenders))
	m.PutInt32(1)
	if _, err := take(m); !errors.Is(err, mpi.ErrLost) {
		t.Errorf("no senders: %v", err)
	}
}
