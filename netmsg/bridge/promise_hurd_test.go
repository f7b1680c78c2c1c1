package bridge

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// TestPromise has the first message answered on this side, and what comes later go to the
// right that was promised, which is asked for then; and what comes of the promise
// when nobody uses it, when it cannot be kept, and when it goes to another node itself.
func TestPromise(t *testing.T) {
	f := new(far)
	p := newPair(t, f)
	target, err := mach.NewReceiver()
	check(t, err)
	own, err := target.MakeSend()
	check(t, err)
	go mach.Serve(context.Background(), target, new(far))
	var gets, gone atomic.Int32
	var broken atomic.Bool
	promise := func() mach.Port {
		t.Helper()
		right, err := p.b.Promise(Promise{
			Get: func(ctx context.Context) (mach.Port, error) {
				if broken.Load() {
					return mach.Null, proto.EHOSTUNREACH
				}
				gets.Add(1)
				f.mu.Lock()
				f.kept = own
				err := mach.PortModRefs(mach.TaskSelf(), own, mach.RightSend, 1)
				f.mu.Unlock()
				if err != nil {
					return mach.Null, err
				}
				m := mach.NewMessage(idGive)
				if err := mach.Call(ctx, p.door, m); err != nil {
					return mach.Null, err
				}
				return m.TakeSend(), nil
			},
			First: func(m *mach.Message) mach.Handler {
				if m.ID() != idEcho || string(m.TakeData(-1)) != "first" {
					return nil
				}
				return mach.HandlerFunc(func(_ context.Context, req, reply *mach.Message) error {
					reply.PutData(mach.Byte, append([]byte(nil), req.TakeData(-1)...))
					return nil
				})
			},
			Gone: func() { gone.Add(1) },
		})
		check(t, err)
		return right
	}
	// side is another right of the far node's: messages to the door wait for each other.
	second, err := mach.NewReceiver()
	check(t, err)
	go mach.Serve(context.Background(), second, f)
	side := func() mach.Port {
		t.Helper()
		right, err := second.MakeSend()
		check(t, err)
		f.mu.Lock()
		f.kept = right
		f.mu.Unlock()
		m := mach.NewMessage(idGive)
		check(t, mach.Call(t.Context(), p.door, m))
		return m.TakeSend()
	}
	wait := func(what string, n int32) {
		t.Helper()
		for i := 0; gone.Load() != n; i++ {
			if i == 200 {
				t.Fatalf("%s: it is not gone", what)
			}
			time.Sleep(20 * time.Millisecond) // a notice of the kernel
		}
		p.still(t)
	}

	right := promise()
	check(t, mach.Deallocate(right))
	wait("nobody has used it", 1)

	right = promise()
	check(t, echo(t.Context(), right, []byte("first")))
	if n := gets.Load(); n != 0 {
		t.Errorf("asked for %d times", n)
	}
	check(t, mach.Deallocate(right))
	wait("it was used once", 2)

	right = promise()
	for _, say := range []string{"first", "first", "more", "first"} {
		check(t, echo(t.Context(), right, []byte(say)))
	}
	if n := gets.Load(); n != 1 {
		t.Errorf("asked for %d times, not once", n)
	}
	check(t, mach.Deallocate(right))
	wait("it was kept", 3)

	broken.Store(true)
	right = promise()
	for range 2 {
		if err := echo(t.Context(), right, []byte("other")); proto.Code(err) != proto.EHOSTUNREACH {
			t.Errorf("who uses what cannot be had gets %v", err)
		}
	}
	broken.Store(false)
	check(t, echo(t.Context(), right, []byte("other")))
	check(t, mach.Deallocate(right))
	wait("it was kept in the end", 4)

	// The other node gets the right itself.
	before := gets.Load()
	to := side()
	right = promise()
	m := mach.NewMessage(idKeep)
	m.PutRight(right, mach.MoveSend)
	check(t, mach.Call(t.Context(), to, m))
	mach.Destroy(m)
	check(t, mach.Deallocate(to))
	f.mu.Lock()
	if f.kept != own || gets.Load() != before+1 {
		t.Errorf("what went to its home is %v there, not %v; asked for %d times", f.kept, own, gets.Load()-before)
	}
	_ = mach.Deallocate(f.kept)
	f.kept = mach.Null
	f.mu.Unlock()
	wait("it went to the other node", 5)

	// And one that cannot be had is dead there.
	to = side()
	broken.Store(true)
	right = promise()
	mach.Reset(m, idKeep)
	m.PutRight(right, mach.MoveSend)
	check(t, mach.Call(t.Context(), to, m))
	mach.Destroy(m)
	check(t, mach.Deallocate(to))
	f.mu.Lock()
	if f.kept.Valid() {
		t.Errorf("%v, not a dead name", f.kept)
	}
	f.kept = mach.Null
	f.mu.Unlock()
	wait("it could not be had", 6)
	_ = mach.Deallocate(own)
	p.close(t)
	_ = target.Close()
	_ = second.Close()
}
