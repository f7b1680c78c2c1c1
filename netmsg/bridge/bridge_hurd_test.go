package bridge

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"hurdlab/mach"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// Two bridges in one task of a real kernel, with a session in memory between them:
//
//	hurdlab go test -c -o bridge.test ./netmsg/bridge
//	hurdlab cp bridge.test node1:/tmp; hurdlab exec node1 /tmp/bridge.test

// A pipe is one end of a session in memory. What is sent passes through the bytes of
// records, as in a real one.
type pipe struct {
	name  rights.NodeID // of who is at the other end, as the receiver's bridge knows us
	codec wire.Codec

	mu     sync.Mutex
	out    []byte
	other  *pipe
	bridge *Bridge // that has this end
	wake   chan struct{}
	closed bool
}

func (p *pipe) Send(r *rights.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if p.out, err = p.codec.Append(p.out, r); err != nil {
		panic(err)
	}
	freeBody(r)
}

func (p *pipe) Full() bool { return false }
func (p *pipe) Room()      {}

func (p *pipe) Flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pipe) Close(err *rights.ProtocolError) {
	p.bridge.config.Log("closes the session: %v", err)
	p.end()
}

// end ends the session at both ends.
func (p *pipe) end() {
	for _, q := range []*pipe{p, p.other} {
		q.mu.Lock()
		was := q.closed
		q.closed = true
		q.mu.Unlock()
		if !was {
			close(q.wake)
			go q.bridge.Lost(q.codec.Peer.Node, q)
		}
	}
}

// run takes what p sends to the other end.
func (p *pipe) run() {
	for range p.wake {
		p.mu.Lock()
		b := p.out
		p.out = nil
		p.mu.Unlock()
		var list []rights.Record
		for len(b) > 0 {
			n := binary.LittleEndian.Uint32(b)
			r, err := p.other.codec.Decode(b[4:4+n], false)
			if err != nil {
				panic(err)
			}
			list = append(list, r)
			b = b[4+n:]
		}
		p.other.bridge.Receive(p.other.codec.Peer.Node, p.other, list)
	}
}

// connect makes a session between two bridges.
func connect(a, b *Bridge) *pipe {
	x := &pipe{bridge: a, codec: wire.Codec{Self: a.config.Self, Peer: b.config.Self}, wake: make(chan struct{}, 1)}
	y := &pipe{bridge: b, codec: wire.Codec{Self: b.config.Self, Peer: a.config.Self}, wake: make(chan struct{}, 1)}
	x.other, y.other = y, x
	a.Connected(b.config.Self, 8, 1<<20, x)
	b.Connected(a.config.Self, 8, 1<<20, y)
	// Not before: what comes of a session that a bridge does not have is dropped.
	go x.run()
	go y.run()
	return x
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok, which what the kernel tells bridges leads to.
func eventually(t testing.TB, otherwise string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal(otherwise)
}

// alone waits until nobody has a right to send to r.
func alone(t testing.TB, r *mach.Receiver) {
	t.Helper()
	eventually(t, "somebody keeps a right", func() bool {
		st, err := mach.PortGetStatus(mach.TaskSelf(), r.Port())
		check(t, err)
		return !st.SendRights && st.SendOnceRights == 0
	})
}

// A pair is two bridges: the tests' calls go through b to the door of a.
type pair struct {
	a, b *Bridge
	pipe *pipe
	door mach.Port // of a, at b

	ports []*mach.Receiver
}

func newPair(t *testing.T, h mach.Handler) *pair {
	t.Helper()
	p := new(pair)
	r, err := mach.NewReceiver()
	check(t, err)
	p.ports = append(p.ports, r)
	go mach.Serve(context.Background(), r, h)
	log := func(format string, args ...any) { t.Logf(format, args...) }
	p.a, err = New(Config{Self: rights.Incarnation{Node: "a", Epoch: rand.Uint64() | 1}, Log: log,
		Door: func(rights.NodeID) (mach.Port, error) { return r.MakeSend() }})
	check(t, err)
	p.b, err = New(Config{Self: rights.Incarnation{Node: "b", Epoch: rand.Uint64() | 1}, Log: log})
	check(t, err)
	p.pipe = connect(p.a, p.b)
	p.door, err = p.b.Door(t.Context(), "a")
	check(t, err)
	return p
}

func (p *pair) close(t *testing.T) {
	t.Helper()
	p.pipe.end()
	check(t, p.a.Close())
	check(t, p.b.Close())
	for _, r := range p.ports {
		_ = r.Close()
	}
}

// still waits until nothing but the door is left in both tables.
func (p *pair) still(t *testing.T) {
	t.Helper()
	var a, b Stats
	for range 200 {
		a, b = p.a.Stats(), p.b.Stats()
		if a.Table.Homes == 1 && a.Table.Imports == 0 && b.Table.Homes == 0 && b.Table.Imports == 1 &&
			a.Table.Dead+b.Table.Dead+a.Table.Waiting+b.Table.Waiting == 0 && a.Ports == 1 && b.Proxies == 1 && a.Proxies == 0 && b.Ports == 0 {
			for _, x := range []*Bridge{p.a, p.b} {
				x.mu.Lock()
				err := x.node.Check()
				x.mu.Unlock()
				check(t, err)
			}
			return
		}
		time.Sleep(20 * time.Millisecond) // notices of the kernel
	}
	t.Fatalf("not still:\na %+v\nb %+v", a, b)
}

const (
	idEcho  = 7000 // data → data
	idKeep  = 7001 // a send right → nothing; kept
	idGive  = 7002 // → the right that is kept
	idNever = 7003 // no answer, the right to which is kept
	idBoth  = 7004 // an array of send rights → the same, twice
)

// A far answers requests as a server on the other node.
type far struct {
	mu    sync.Mutex
	kept  mach.Port
	never []*mach.Deferred
}

func (f *far) Handle(_ context.Context, req, reply *mach.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch req.ID() {
	case idEcho:
		reply.PutData(mach.Byte, append([]byte(nil), req.TakeData(-1)...))
	case idKeep:
		f.kept = req.TakeSend()
	case idGive:
		reply.PutRight(f.kept, mach.MoveSend)
		f.kept = mach.Null
	case idNever:
		f.never = append(f.never, mach.Defer(req))
		return mach.NoReply
	case idBoth:
		list, _ := req.TakeRights(10)
		reply.PutRights(list, mach.CopySend)
		reply.PutRights(list, mach.MoveSend)
	default:
		return mach.MigBadID
	}
	return req.End()
}

func echo(ctx context.Context, port mach.Port, b []byte) error {
	m := mach.NewMessage(idEcho)
	m.PutData(mach.Byte, b)
	if err := mach.Call(ctx, port, m); err != nil {
		return err
	}
	defer mach.Destroy(m)
	if got := m.TakeData(-1); !bytes.Equal(got, b) {
		return fmt.Errorf("%d bytes came back as %d others", len(b), len(got))
	}
	return m.End()
}

func names(t testing.TB) int {
	t.Helper()
	list, _, err := mach.PortNames(mach.TaskSelf())
	check(t, err)
	return len(list)
}

func TestCalls(t *testing.T) {
	p := newPair(t, new(far))
	for _, n := range []int{0, 1, 100, 2048, 2049, 4096, 100_000, 1 << 18} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		check(t, echo(t.Context(), p.door, b))
	}
	p.still(t)
	before := names(t)
	for range 50 {
		check(t, echo(t.Context(), p.door, []byte("again")))
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 10 {
				if err := echo(t.Context(), p.door, []byte("at once")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	p.still(t)
	// Ports for answers are kept, here and in the bridges, for as many calls as were
	// under way.
	if after := names(t); after > before+2*20 {
		t.Errorf("%d names, then %d", before, after)
	}
	p.close(t)
}

func TestRightComesHome(t *testing.T) {
	p := newPair(t, new(far))
	for range 3 {
		r, err := mach.NewReceiver()
		check(t, err)
		own, err := r.MakeSend()
		check(t, err)
		m := mach.NewMessage(idKeep)
		m.PutRight(own, mach.CopySend)
		check(t, mach.Call(t.Context(), p.door, m))
		mach.Destroy(m)
		mach.Reset(m, idGive)
		check(t, mach.Call(t.Context(), p.door, m))
		if got := m.TakeSend(); got != own {
			t.Errorf("%v came home as %v", own, got)
		}
		mach.Destroy(m)
		check(t, mach.Deallocate(own))
		check(t, mach.Deallocate(own))
		// Nobody else has a right any more.
		alone(t, r)
		check(t, r.Close())
		p.still(t)
	}
	p.close(t)
}

func TestManyRights(t *testing.T) {
	p := newPair(t, new(far))
	var list []mach.Port
	for range 5 {
		r, err := mach.NewReceiver()
		check(t, err)
		defer r.Close()
		own, err := r.MakeSend()
		check(t, err)
		list = append(list, own)
	}
	m := mach.NewMessage(idBoth)
	m.PutRights(append(list, mach.Null, p.door), mach.CopySend)
	check(t, mach.Call(t.Context(), p.door, m))
	for range 2 {
		got, _ := m.TakeRights(10)
		for i, want := range append(list, mach.Null, p.door) {
			if got[i] != want {
				t.Errorf("right %d: %v, want %v", i, got[i], want)
			}
			if got[i].Valid() {
				check(t, mach.Deallocate(got[i]))
			}
		}
	}
	mach.Destroy(m)
	for _, own := range list {
		check(t, mach.Deallocate(own))
	}
	p.still(t)
	p.close(t)
}

func TestDeath(t *testing.T) {
	f := new(far)
	p := newPair(t, f)
	r, err := mach.NewReceiver()
	check(t, err)
	own, err := r.MakeSend()
	check(t, err)
	m := mach.NewMessage(idKeep)
	m.PutRight(own, mach.MoveSend)
	check(t, mach.Call(t.Context(), p.door, m))
	mach.Destroy(m)
	check(t, r.Close())
	for i := 0; ; i++ {
		typ, err := mach.PortTypeOf(mach.TaskSelf(), f.kept)
		check(t, err)
		if typ&mach.TypeDeadName != 0 {
			break
		}
		if i == 200 {
			t.Fatal("the far right does not die")
		}
		time.Sleep(20 * time.Millisecond)
	}
	check(t, mach.Deallocate(f.kept))
	p.still(t)
	p.close(t)
}

// A server is told of the death of a client that waits for its answer.
func TestWaiterDies(t *testing.T) {
	f := new(far)
	p := newPair(t, f)
	r, err := mach.NewReceiver()
	check(t, err)
	m := mach.NewMessage(idNever)
	m.SetReply(r.Port(), mach.MakeSendOnce)
	check(t, mach.Send(t.Context(), p.door, mach.CopySend, m))
	for i := 0; ; i++ {
		f.mu.Lock()
		n := len(f.never)
		f.mu.Unlock()
		if n == 1 {
			break
		}
		if i == 500 {
			t.Fatal("the call does not arrive")
		}
		time.Sleep(20 * time.Millisecond)
	}
	check(t, r.Close())
	p.still(t) // the right to reply is gone, at both ends
	if err := f.never[0].Send(f.never[0].NewReply()); !errors.Is(err, mach.SendInvalidDest) {
		t.Errorf("the answer is sent: %v", err)
	}
	p.close(t)
}

func TestLost(t *testing.T) {
	f := new(far)
	p := newPair(t, f)
	done := make(chan error)
	const calls = 5
	for range calls {
		go func() { done <- mach.Call(t.Context(), p.door, mach.NewMessage(idNever)) }()
	}
	for i := 0; ; i++ {
		f.mu.Lock()
		n := len(f.never)
		f.mu.Unlock()
		if n == calls {
			break
		}
		if i == 500 {
			t.Fatalf("%d of %d calls have arrived", n, calls)
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.pipe.end()
	for range calls {
		if err := <-done; !errors.Is(err, mach.MigServerDied) {
			t.Errorf("a call ended with %v", err)
		}
	}
	// Answers that nobody waits for.
	for _, d := range f.never {
		_ = d.Fail(mach.KernFailure)
	}
	p.close(t)
}

// TestFull: a port that is full holds up no other, and gets everything, in order.
func TestFull(t *testing.T) {
	f := new(far)
	p := newPair(t, f)
	full, err := mach.PortAllocate(mach.TaskSelf(), mach.RightReceive)
	check(t, err)
	check(t, mach.PortInsertRight(mach.TaskSelf(), full, full, mach.MakeSend))
	m := mach.NewMessage(idKeep)
	m.PutRight(full, mach.MoveSend)
	check(t, mach.Call(t.Context(), p.door, m))
	mach.Destroy(m)
	const many = 60
	sent := make(chan error)
	go func() {
		for i := range many {
			m := mach.NewMessage(100)
			m.PutInt32(int32(i))
			if err := mach.Send(context.Background(), f.kept, mach.CopySend, m); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := 0; p.b.Stats().Waited == 0; i++ {
		if i == 500 {
			t.Fatal("the port never was full")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for range 5 {
		check(t, echo(t.Context(), p.door, []byte("meanwhile")))
	}
	select {
	case err := <-sent:
		t.Fatalf("%d messages were sent to a port that holds 5: %v", many, err)
	default:
	}
	r, err := mach.AdoptReceive(full)
	check(t, err)
	for i := range many {
		check(t, r.Receive(t.Context(), m))
		if m.ID() != 100 || m.TakeInt32() != int32(i) {
			t.Fatalf("message %d is %d", i, m.ID())
		}
		mach.Destroy(m)
	}
	check(t, <-sent)
	check(t, mach.Deallocate(f.kept))
	check(t, r.Close())
	p.still(t)
	p.close(t)
}

// TestBadMemory: memory that cannot be read, or that nobody brings, ends the call that
// it came with and nothing else.
func TestBadMemory(t *testing.T) {
	p := newPair(t, new(far))
	pager, err := mach.NewReceiver()
	check(t, err)
	object, err := pager.MakeSend()
	check(t, err)
	silent := make(chan mach.PagerDataRequest, 100)
	ready := make(chan struct{})
	go func() {
		m := mach.NewMessage(0)
		for pager.Receive(context.Background(), m) == nil {
			event, err := mach.TakePager(m)
			if err != nil {
				t.Error(err)
				return
			}
			switch e := event.(type) {
			case mach.PagerInit:
				_ = mach.MemoryObjectReady(e.Control, false, mach.CopyDelay)
				close(ready)
			case mach.PagerDataRequest:
				if e.Offset < mach.PageSize*16 {
					_ = mach.MemoryObjectDataError(e.Control, e.Offset, e.Length, mach.KernFailure)
				} else {
					silent <- e
				}
			case mach.PagerTerminate:
				_ = mach.DestroyReceive(e.Control)
				_ = mach.DestroyReceive(e.Name)
			}
			mach.Reset(m, 0)
		}
	}()
	const size = 32 * mach.PageSize
	addr, err := mach.VMMap(mach.TaskSelf(), mach.Mapping{Size: size, Object: object, Anywhere: true, Prot: mach.ProtRead, MaxProt: mach.ProtRead})
	check(t, err)
	<-ready // or the kernel waits for that in the send, and the pager for a processor
	send := func(at uintptr) error {
		m := mach.NewMessage(idEcho)
		m.PutMemory(mach.Byte, uint64(addr+at), 3*mach.PageSize, false)
		return mach.Call(t.Context(), p.door, m)
	}
	if err := send(0); !errors.Is(err, mach.MigServerDied) {
		t.Errorf("memory that cannot be read: %v", err)
	}
	check(t, echo(t.Context(), p.door, make([]byte, 10_000)))

	start := time.Now()
	done := make(chan error)
	go func() { done <- send(16 * mach.PageSize) }()
	e := <-silent
	if err := <-done; !errors.Is(err, mach.MigServerDied) {
		t.Errorf("memory that nobody brings: %v", err)
	}
	if d := time.Since(start); d < copyTime/2 || d > 5*copyTime {
		t.Errorf("it took %v", d)
	}
	check(t, echo(t.Context(), p.door, make([]byte, 10_000)))
	_ = mach.MemoryObjectDataError(e.Control, e.Offset, e.Length, mach.KernFailure)
	check(t, mach.VMDeallocate(mach.TaskSelf(), addr, size))
	p.still(t)
	p.close(t)
}

// TestNotifications: what looks like one of the kernel's notices and is a task's is
// carried (T5).
func TestNotifications(t *testing.T) {
	got := make(chan int32, 10)
	p := newPair(t, mach.HandlerFunc(func(_ context.Context, req, _ *mach.Message) error {
		got <- req.ID()
		return nil
	}))
	for _, id := range []int32{int32(mach.NotifyNoSenders), int32(mach.NotifyDeadName), int32(mach.NotifySendOnce)} {
		m := mach.NewMessage(id)
		if id == int32(mach.NotifyNoSenders) {
			m.PutInt32(1)
		}
		check(t, mach.Send(t.Context(), p.door, mach.CopySend, m))
		if x := <-got; x != id {
			t.Errorf("%d arrived as %d", id, x)
		}
	}
	p.still(t)
	p.close(t)
}

func BenchmarkCall(b *testing.B) {
	r, err := mach.NewReceiver()
	check(b, err)
	go mach.Serve(context.Background(), r, new(far))
	local, err := r.MakeSend()
	check(b, err)
	x, err := New(Config{Self: rights.Incarnation{Node: "a", Epoch: 1}, Door: func(rights.NodeID) (mach.Port, error) { return r.MakeSend() }})
	check(b, err)
	y, err := New(Config{Self: rights.Incarnation{Node: "b", Epoch: 2}})
	check(b, err)
	connect(x, y)
	door, err := y.Door(b.Context(), "a")
	check(b, err)
	for _, c := range []struct {
		name string
		port mach.Port
	}{{"local", local}, {"bridges", door}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				check(b, echo(b.Context(), c.port, nil))
			}
		})
	}
}
