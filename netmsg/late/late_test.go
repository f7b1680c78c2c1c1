package late

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	errAgain = errors.New("again")
	errReset = errors.New("reset")
)

// A server has what it has taken. It answers a begun write when the test says so, or at once.
type server struct {
	net.Conn // nil: only what is below is asked for

	mu       sync.Mutex
	got      []byte
	ordinary int // writes
	begun    []*write
	answer   func(p []byte) (n int, err error) // at once; nil: the test answers
	closed   bool
	released bool
}

func (s *server) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (s *server) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (s *server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	s.ordinary++
	s.got = append(s.got, p...)
	return len(p), nil
}

func (s *server) CloseWrite() error { return nil }

func (s *server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *server) begin(p []byte) (begun, error) {
	w := &write{server: s, p: bytes.Clone(p), answered: make(chan struct{})}
	s.mu.Lock()
	s.begun = append(s.begun, w)
	s.mu.Unlock()
	if s.answer != nil {
		n, err := s.answer(w.p)
		w.take(n, err)
	}
	return w, nil
}

func (s *server) again(err error) bool { return err == errAgain }

func (s *server) release() { s.released = true }

func (s *server) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.got)
}

// A write is what the server was given.
type write struct {
	server    *server
	p         []byte
	n         int
	err       error
	answered  chan struct{}
	abandoned bool
}

// take is the server's answer: it has taken n bytes.
func (w *write) take(n int, err error) {
	w.server.mu.Lock()
	w.server.got = append(w.server.got, w.p[:min(n, len(w.p))]...)
	w.server.mu.Unlock()
	w.n, w.err = n, err
	close(w.answered)
}

func (w *write) Wait(ctx context.Context) (uint64, error) {
	select {
	case <-w.answered:
		return uint64(w.n), w.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (w *write) Look() (uint64, bool, error) {
	select {
	case <-w.answered:
		return uint64(w.n), true, w.err
	default:
		return 0, false, nil
	}
}

func (w *write) Abandon() { w.abandoned = true }

func start() (*conn, *server) {
	s := new(server)
	c := wrap(s)
	c.late(s)
	return c, s
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("write %q: %d, %v", text, n, err)
	}
}

func expect(t *testing.T, s *server, want string) {
	t.Helper()
	if got := s.text(); got != want {
		t.Fatalf("the server has %q, and should have %q", got, want)
	}
}

func TestWriteDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := start()
		defer c.Close()
		say(t, c, "one") // and there is no answer
		go say(t, c, "two")
		synctest.Wait()
		if len(s.begun) != 1 {
			t.Fatal("the second write has not waited for the first")
		}
		s.begun[0].take(3, nil)
		synctest.Wait()
		s.begun[1].take(3, nil)
		expect(t, s, "onetwo")
		if s.ordinary != 0 {
			t.Errorf("%d ordinary writes", s.ordinary)
		}
	})
}

func TestServerTakesLess(t *testing.T) {
	for name, wait := range map[string]func(*testing.T, *conn){
		"the next write":  func(t *testing.T, c *conn) { say(t, c, "") },
		"the end":         func(t *testing.T, c *conn) { _ = c.CloseWrite() },
		"nothing follows": func(t *testing.T, c *conn) { time.Sleep(3 * lookAfter) },
	} {
		for _, x := range []struct {
			n   int
			err error
		}{{0, nil}, {2, nil}, {0, errAgain}} {
			t.Run(fmt.Sprint(name, x), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, s := start()
					defer c.Close()
					say(t, c, "four")
					time.Sleep(2 * lookAfter) // it has looked in vain
					s.begun[0].take(x.n, x.err)
					wait(t, c)
					expect(t, s, "four")
				})
			})
		}
	}
}

func TestErrors(t *testing.T) {
	for name, x := range map[string]struct {
		n    int
		err  error
		want error
	}{"reset": {0, errReset, errReset}, "too much": {5, nil, errTaken}} {
		t.Run(name, func(t *testing.T) {
			c, s := start()
			defer c.Close()
			s.answer = func([]byte) (int, error) { return x.n, x.err }
			say(t, c, "four")
			for range 2 {
				if n, err := c.Write([]byte("more")); n != 0 || !errors.Is(err, x.want) {
					t.Errorf("%d, %v", n, err)
				}
			}
			if err := c.CloseWrite(); !errors.Is(err, x.want) {
				t.Error(err)
			}
			if len(s.begun) != 1 || s.ordinary != 0 {
				t.Error("more was written")
			}
		})
	}
}

func TestOrdinary(t *testing.T) {
	s := new(server)
	c := wrap(s)
	say(t, c, "before") // WriteLate
	c.late(s)
	s.answer = func(p []byte) (int, error) { return len(p), nil }
	say(t, c, "late")
	large := string(make([]byte, most+1))
	say(t, c, large)
	expect(t, s, "beforelate"+large)
	if s.ordinary != 2 || len(s.begun) != 1 {
		t.Errorf("%d ordinary, %d late", s.ordinary, len(s.begun))
	}
}

// When much is written, writes wait.
func TestBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := start()
		defer c.Close()
		s.answer = func(p []byte) (int, error) { return len(p), nil }
		want := 0
		for range 3 {
			for range 2 * recently / most {
				say(t, c, string(make([]byte, most)))
			}
			if want += recently / most; len(s.begun) != want || s.ordinary != want {
				t.Errorf("%d late, %d ordinary", len(s.begun), s.ordinary)
			}
			time.Sleep(2 * moment)
		}
	})
}

// Close ends a write that waits, and gives back what there is.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := start()
		say(t, c, "one")
		failed := make(chan error)
		go func() { _, err := c.Write([]byte("two")); failed <- err }()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if !s.released || !s.closed {
			t.Errorf("released %v, closed %v", s.released, s.closed)
		}

		c, s = start()
		say(t, c, "one")
		c.Close()
		c.Close()
		if !s.released || !s.begun[0].abandoned {
			t.Errorf("released %v, abandoned %v", s.released, s.begun[0].abandoned)
		}
		if _, err := c.Write([]byte("two")); !errors.Is(err, net.ErrClosed) || len(s.begun) != 1 {
			t.Errorf("%v, %d begun", err, len(s.begun))
		}
		time.Sleep(3 * lookAfter)

		c, s = start()
		c.Close()
		c.late(s)
		if !s.released {
			t.Error("a socket that comes too late is not released")
		}
	})
}

// Whatever the server takes, and when, it gets what was written, in order.
func TestEverythingIsWritten(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	synctest.Test(t, func(t *testing.T) {
		c, s := start()
		defer c.Close()
		// answer returns what has the server answer.
		answer := func(w *write) func() {
			n, err := len(w.p), error(nil)
			switch rnd.IntN(4) {
			case 0:
				n, err = 0, errAgain
			case 1:
				n = rnd.IntN(n + 1)
			}
			return func() { w.take(n, err) }
		}
		var want []byte
		for range 2000 {
			p := make([]byte, 1+rnd.IntN(20))
			if rnd.IntN(50) == 0 {
				p = make([]byte, most-10+rnd.IntN(20))
			}
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			want = append(want, p...)
			before := len(s.begun)
			if _, err := c.Write(p); err != nil {
				t.Fatal(err)
			}
			if len(s.begun) == before {
				continue
			}
			w := s.begun[before]
			switch rnd.IntN(3) {
			case 0: // before the next is written
				answer(w)()
			case 1: // while it waits
				time.AfterFunc(time.Duration(rnd.IntN(int(lookAfter))), answer(w))
				time.Sleep(time.Duration(rnd.IntN(2 * int(moment))))
			default: // and is looked at before
				answer(w)()
				time.Sleep(time.Duration(rnd.IntN(3 * int(lookAfter))))
			}
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.got, want) {
			t.Fatalf("%d bytes, want %d, or others", len(s.got), len(want))
		}
	})
}
