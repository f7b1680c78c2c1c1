package bridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"hurdlab/mach"
)

const (
	idTakeReceive = 7010 // a receive right → nothing; kept
	idGiveReceive = 7011 // → the receive right that is kept
	idNumber      = 100  // who, number, data
)

// A mover keeps a receive right, and is otherwise a far.
type mover struct {
	far
	mu   sync.Mutex
	recv mach.Port
}

func (f *mover) Handle(ctx context.Context, req, reply *mach.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch req.ID() {
	case idTakeReceive:
		f.recv = req.TakeReceive()
		return req.End()
	case idGiveReceive:
		reply.PutRight(f.recv, mach.MoveReceive)
		f.recv = mach.Null
		return req.End()
	}
	return f.far.Handle(ctx, req, reply)
}

// number is a message that says who sends it, and which of theirs it is. Every third has
// memory.
func number(who, n int) *mach.Message {
	m := mach.NewMessage(idNumber)
	m.PutInt32(int32(who))
	m.PutInt32(int32(n))
	var b []byte
	if n%3 == 2 {
		b = make([]byte, 5000)
	}
	m.PutData(mach.Byte, b)
	return m
}

// numbers receives messages until it has those that are wanted of each sender, in order.
func numbers(t *testing.T, r *mach.Receiver, next, want []int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m := mach.NewMessage(0)
	for i := 0; i < len(want); {
		if next[i] >= want[i] {
			i++
			continue
		}
		if err := r.Receive(ctx, m); err != nil {
			t.Fatalf("%v; has %v, wants %v", err, next, want)
		}
		if m.ID() != idNumber {
			t.Fatalf("message %d", m.ID())
		}
		who, n := m.TakeInt32(), m.TakeInt32()
		if int(n) != next[who] {
			t.Fatalf("message %d of %d, want %d", n, who, next[who])
		}
		next[who]++
		mach.Destroy(m)
	}
}

// moveTo moves a receive right of this side to the other.
func (p *pair) moveTo(t *testing.T, name mach.Port) {
	t.Helper()
	m := mach.NewMessage(idTakeReceive)
	m.PutRight(name, mach.MoveReceive)
	check(t, mach.Call(t.Context(), p.door, m))
	mach.Destroy(m)
}

// moveBack moves it from there.
func (p *pair) moveBack(t *testing.T) mach.Port {
	t.Helper()
	m := mach.NewMessage(idGiveReceive)
	check(t, mach.Call(t.Context(), p.door, m))
	name := m.TakeReceive()
	mach.Destroy(m)
	return name
}

func full(t testing.TB) mach.Port {
	t.Helper()
	name, err := mach.PortAllocate(mach.TaskSelf(), mach.RightReceive)
	check(t, err)
	check(t, mach.PortSetQueueLimit(mach.TaskSelf(), name, 16))
	return name
}

func send(t testing.TB, to mach.Port, who, n int) {
	t.Helper()
	if err := mach.Send(t.Context(), to, mach.CopySend, number(who, n)); err != nil {
		t.Errorf("message %d of %d: %v", n, who, err)
	}
}

// TestMove moves a receive right there and back, with messages in its queue and senders on
// both sides. Both are one task: what stays with the near side has a name of its own, as
// there the port is another.
func TestMove(t *testing.T) {
	f := new(mover)
	p := newPair(t, f)
	self := mach.TaskSelf()
	name := full(t)
	check(t, mach.PortInsertRight(self, name, name, mach.MakeSend))
	m := mach.NewMessage(idKeep)
	m.PutRight(name, mach.CopySend)
	check(t, mach.Call(t.Context(), p.door, m))
	mach.Destroy(m)
	const near, there = 0, 1
	sent := []int{0, 0}
	put := func(who, n int) {
		for range n {
			to := name
			if who == there {
				to = f.kept
			}
			send(t, to, who, sent[who])
			sent[who]++
		}
	}
	next := []int{0, 0}
	put(near, 5)
	put(there, 4)
	p.moveTo(t, name)
	if f.recv != f.kept {
		t.Errorf("the receive right came as %v, a right to it as %v", f.recv, f.kept)
	}
	check(t, mach.PortSetQueueLimit(self, f.recv, 16))
	r, err := mach.AdoptReceive(f.recv)
	check(t, err)
	put(near, 10) // by now through a proxy
	put(there, 5)
	numbers(t, r, next, sent)
	r.Release()
	put(near, 6)
	put(there, 6)
	if back := p.moveBack(t); back != name {
		t.Errorf("%v came home as %v", name, back)
	}
	r, err = mach.AdoptReceive(name)
	check(t, err)
	put(near, 5)
	put(there, 5)
	numbers(t, r, next, sent)
	r.Release()
	// And once more, and its senders go.
	put(near, 3)
	p.moveTo(t, name)
	r, err = mach.AdoptReceive(f.recv)
	check(t, err)
	numbers(t, r, next, sent)
	check(t, mach.Deallocate(name))
	check(t, mach.Deallocate(f.kept))
	alone(t, r)
	check(t, r.Close())
	p.still(t)
	p.close(t)
}

// TestMoveOnce: a right to reply that is out when the receive right moves brings the
// answer there, although nobody has a send right (C4).
func TestMoveOnce(t *testing.T) {
	f := new(mover)
	p := newPair(t, f)
	name := full(t)
	once, _, err := mach.PortExtractRight(mach.TaskSelf(), name, mach.MakeSendOnce)
	check(t, err)
	p.moveTo(t, name)
	r, err := mach.AdoptReceive(f.recv)
	check(t, err)
	eventually(t, "the kernel does not say that there are no senders", func() bool {
		for _, x := range []*Bridge{p.a, p.b} {
			x.mu.Lock()
			for q := range x.adopted {
				if q.quiet {
					x.mu.Unlock()
					return true
				}
			}
			x.mu.Unlock()
		}
		return false
	})
	check(t, mach.Send(t.Context(), once, mach.MoveSendOnce, number(0, 0)))
	numbers(t, r, []int{0}, []int{1})
	check(t, r.Close())
	p.still(t)
	p.close(t)
}

// TestMoveLost: a receive right that cannot be delivered dies, and so do the rights to it;
// as it does when the session is lost on the way of its messages.
func TestMoveLost(t *testing.T) {
	f := new(mover)
	p := newPair(t, f)
	self := mach.TaskSelf()
	dead := func(name mach.Port) {
		t.Helper()
		eventually(t, "it does not die", func() bool {
			typ, err := mach.PortTypeOf(self, name)
			check(t, err)
			return typ&mach.TypeDeadName != 0
		})
		check(t, mach.Deallocate(name))
	}
	// A port there that dies with the message in its queue.
	pit := full(t)
	check(t, mach.PortInsertRight(self, pit, pit, mach.MakeSend))
	f.kept = pit
	m := mach.NewMessage(idGive)
	check(t, mach.Call(t.Context(), p.door, m))
	to := m.TakeSend()
	mach.Destroy(m)
	name := full(t)
	check(t, mach.PortInsertRight(self, name, name, mach.MakeSend))
	send(t, name, 0, 0)
	m = mach.NewMessage(1)
	m.PutRight(name, mach.MoveReceive)
	check(t, mach.Send(t.Context(), to, mach.MoveSend, m))
	eventually(t, "it does not arrive", func() bool {
		st, err := mach.PortGetStatus(self, pit)
		check(t, err)
		return st.Queued == 1
	})
	check(t, mach.DestroyReceive(pit))
	dead(name)
	p.still(t)

	name = full(t)
	check(t, mach.PortInsertRight(self, name, name, mach.MakeSend))
	p.moveTo(t, name)
	send(t, name, 0, 0)
	p.pipe.end()
	dead(name)
	check(t, mach.DestroyReceive(f.recv))
	p.close(t)
}

// TestMovesAtRandom moves receive rights to and fro while tasks on both sides send to
// them all the time. Each sender's messages keep their order, and none is lost.
func TestMovesAtRandom(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 8
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	x := rand.New(rand.NewPCG(seed, 0))
	f := new(mover)
	p := newPair(t, f)
	self := mach.TaskSelf()
	name := full(t)
	check(t, mach.PortInsertRight(self, name, name, mach.MakeSend))
	m := mach.NewMessage(idKeep)
	m.PutRight(name, mach.CopySend)
	check(t, mach.Call(t.Context(), p.door, m))
	mach.Destroy(m)
	const senders = 4 // half on either side
	var wg sync.WaitGroup
	each := rounds * 20
	errs := make(chan error, senders)
	for who := range senders {
		to := name
		if who%2 == 1 {
			to = f.kept
		}
		wg.Go(func() {
			for n := range each {
				if err := mach.Send(t.Context(), to, mach.CopySend, number(who, n)); err != nil {
					errs <- fmt.Errorf("message %d of %d: %w", n, who, err)
					return
				}
			}
		})
	}
	next := make([]int, senders)
	here := name
	take := func(r *mach.Receiver, n int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		m := mach.NewMessage(0)
		for range n {
			if err := r.Receive(ctx, m); err != nil {
				if errors.Is(err, context.DeadlineExceeded) {
					return
				}
				t.Fatal(err)
			}
			who, n := m.TakeInt32(), m.TakeInt32()
			if int(n) != next[who] {
				t.Fatalf("message %d of %d, want %d", n, who, next[who])
			}
			next[who]++
			mach.Destroy(m)
		}
	}
	// What a receiver has fetched belongs to it: it is taken before the right moves.
	rest := func(r *mach.Receiver) {
		t.Helper()
		r.Release()
		m := mach.NewMessage(0)
		for r.Receive(t.Context(), m) == nil {
			who, n := m.TakeInt32(), m.TakeInt32()
			if int(n) != next[who] {
				t.Fatalf("message %d of %d, want %d", n, who, next[who])
			}
			next[who]++
			mach.Destroy(m)
		}
	}
	for range rounds {
		p.moveTo(t, here)
		r, err := mach.AdoptReceive(f.recv)
		check(t, err)
		take(r, x.IntN(40))
		rest(r)
		here = p.moveBack(t)
		r, err = mach.AdoptReceive(here)
		check(t, err)
		take(r, x.IntN(40))
		rest(r)
	}
	r, err := mach.AdoptReceive(here)
	check(t, err)
	want := make([]int, senders)
	for i := range want {
		want[i] = each
	}
	numbers(t, r, next, want)
	wg.Wait()
	select {
	case err := <-errs:
		t.Error(err)
	default:
	}
	check(t, mach.Deallocate(name))
	check(t, mach.Deallocate(f.kept))
	check(t, r.Close())
	p.still(t)
	p.close(t)
}
