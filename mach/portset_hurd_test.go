package mach_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"hurdlab/mach"
)

func TestPortSet(t *testing.T) {
	self := mach.TaskSelf()
	leaks(t, func() {
		s := must(mach.NewPortSet())(t)
		ports := make([]mach.Port, 200)
		for i := range ports {
			ports[i] = must(mach.PortAllocate(self, mach.RightReceive))(t)
			check(t, mach.PortInsertRight(self, ports[i], ports[i], mach.MakeSend))
			check(t, s.Add(ports[i]))
		}
		// The answer to each request is the port that it came to.
		done := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		const servers = 3
		for range servers {
			go func() {
				done <- mach.Serve(ctx, s, mach.HandlerFunc(func(ctx context.Context, req, reply *mach.Message) error {
					p, _ := req.Local()
					reply.PutName(p)
					reply.PutData(mach.Char, req.TakeData(-1))
					return req.End()
				}))
			}()
		}
		var wg sync.WaitGroup
		for g := range 10 {
			wg.Go(func() {
				m := mach.NewMessage(0)
				for i, p := range ports {
					if i%10 != g {
						continue
					}
					mach.Reset(m, 5000)
					m.PutData(mach.Char, make([]byte, 30*i)) // of all sizes
					check(t, mach.Call(t.Context(), p, m))
					if q := m.TakeName(); q != p {
						t.Errorf("a request to %v came to %v", p, q)
					}
					if n := len(m.TakeData(-1)); n != 30*i {
						t.Errorf("%d of %d bytes", n, 30*i)
					}
					check(t, m.End())
					mach.Destroy(m)
				}
			})
		}
		wg.Wait()

		// A port that has left is not served.
		check(t, s.Remove(ports[0]))
		check(t, mach.Send(t.Context(), ports[0], mach.CopySend, mach.NewMessage(7)))
		r := must(mach.AdoptReceive(ports[0]))(t)
		m := mach.NewMessage(0)
		check(t, r.Receive(t.Context(), m))
		if m.ID() != 7 {
			t.Errorf("got message %d", m.ID())
		}
		check(t, r.Close())
		check(t, mach.Deallocate(ports[0]))

		cancel()
		for range servers {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Serve ended with %v", err)
			}
		}
		// Closing ends the wait of others.
		go func() { done <- s.Receive(t.Context(), mach.NewMessage(0)) }()
		check(t, s.Close())
		if err := <-done; !errors.Is(err, mach.RcvPortDied) && !errors.Is(err, mach.RcvInvalidName) {
			t.Errorf("Receive ended with %v", err)
		}
		for _, p := range ports[1:] {
			check(t, mach.DestroyReceive(p))
			check(t, mach.Deallocate(p))
		}
	})
}

func TestPortSetContext(t *testing.T) {
	leaks(t, func() {
		s := must(mach.NewPortSet())(t)
		port := must(mach.PortAllocate(mach.TaskSelf(), mach.RightReceive))(t)
		check(t, s.Add(port))
		receiveContexts(t, s, port)
		check(t, s.Close())
		check(t, mach.DestroyReceive(port))
	})
}
