package mach_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"hurdlab/mach"
)

func TestCallDeadPort(t *testing.T) {
	leaks(t, func() {
		r := receiver(t)
		port := must(r.MakeSend())(t)
		check(t, r.Close())
		m := mach.NewMessage(5000)
		wantCode(t, mach.Call(t.Context(), port, m), mach.SendInvalidDest)
		wantCode(t, mach.CallKernel(port, mach.NewMessage(5000)), mach.SendInvalidDest)
		check(t, mach.Deallocate(port)) // the dead name
	})
}

func TestServerDies(t *testing.T) {
	leaks(t, func() {
		r := receiver(t)
		port := must(r.MakeSend())(t)
		result := make(chan error)
		go func() { result <- mach.Call(t.Context(), port, mach.NewMessage(5000)) }()
		m := mach.NewMessage(0)
		check(t, r.Receive(t.Context(), m))
		if m.ID() != 5000 {
			t.Errorf("got message %d", m.ID())
		}
		// The reply right goes with the request.
		mach.Destroy(m)
		wantCode(t, <-result, mach.MigServerDied)
		check(t, r.Close())
		check(t, mach.Deallocate(port))
	})
}

func TestWrongReply(t *testing.T) {
	leaks(t, func() {
		port, stop := serve(t, mach.HandlerFunc(func(ctx context.Context, req, reply *mach.Message) error {
			d := mach.Defer(req)
			m := mach.NewMessage(12345)
			m.PutInt32(0)
			check(t, d.Send(m))
			return mach.NoReply
		}))
		defer stop()
		wantCode(t, mach.Call(t.Context(), port, mach.NewMessage(5000)), mach.MigReplyMismatch)
	})
}

// A request that is abandoned gives its reply port up, so that the late reply
// finds nobody, and the rights in the reply go back.
func TestCallCancelled(t *testing.T) {
	leaks(t, func() {
		r := receiver(t)
		port := must(r.MakeSend())(t)
		payload := receiver(t)
		m, request := mach.NewMessage(0), mach.NewMessage(0)

		for _, when := range []string{"before the reply", "after the reply"} {
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New(when)
			result := make(chan error)
			mach.Reset(m, 5000)
			m.PutInt32(1)
			go func() { result <- mach.Call(ctx, port, m) }()
			check(t, r.Receive(t.Context(), request))
			answer := mach.NewMessage(5100)
			answer.PutInt32(0)
			answer.PutRight(payload.Port(), mach.MakeSend)
			d := mach.Defer(request)
			mach.Destroy(request)
			if when == "before the reply" {
				cancel(why)
				if err := <-result; !errors.Is(err, why) {
					t.Errorf("%s: got %v", when, err)
				}
				if err := d.Send(answer); !errors.Is(err, mach.SendInvalidDest) {
					t.Errorf("%s: late reply: %v", when, err)
				}
				continue
			}
			check(t, d.Send(answer))
			cancel(why)
			// Either is right; neither leaks.
			if err := <-result; err == nil {
				mach.Destroy(m)
			} else if !errors.Is(err, why) {
				t.Errorf("%s: got %v", when, err)
			}
		}

		// One that has ended already does not even send.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := mach.Call(ctx, port, mach.NewMessage(5001)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		check(t, mach.Send(t.Context(), port, mach.CopySend, mach.NewMessage(5002)))
		check(t, r.Receive(t.Context(), request))
		if request.ID() != 5002 {
			t.Errorf("got message %d", request.ID())
		}
		check(t, payload.Close())
		check(t, r.Close())
		check(t, mach.Deallocate(port))
	})
}

func TestCallDeadline(t *testing.T) {
	leaks(t, func() {
		r := receiver(t)
		port := must(r.MakeSend())(t)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := mach.Call(ctx, port, mach.NewMessage(5000)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		check(t, r.Close())
		check(t, mach.Deallocate(port))
	})
}

// The answer to a call that has been begun is there when somebody looks, and whoever never looks leaves
// nothing.
func TestBegin(t *testing.T) {
	leaks(t, func() {
		r := receiver(t)
		port := must(r.MakeSend())(t)
		request, m := mach.NewMessage(0), new(mach.Message)
		begin := func() *mach.Begun {
			t.Helper()
			m := mach.NewMessage(5000)
			m.PutInt32(1)
			c := must(mach.Begin(t.Context(), port, m))(t)
			check(t, r.Receive(t.Context(), request))
			return c
		}
		answer := func(data []byte) {
			t.Helper()
			d := mach.Defer(request)
			mach.Destroy(request)
			m := d.NewReply()
			m.PutData(mach.Byte, data)
			check(t, d.Send(m))
		}
		took := func(data []byte) {
			t.Helper()
			if got := m.TakeData(-1); !bytes.Equal(got, data) {
				t.Errorf("got %d bytes, want %d", len(got), len(data))
			}
			mach.Destroy(m)
		}
		for _, data := range [][]byte{{7}, bytes.Repeat([]byte{8}, 3000)} { // the second needs more room
			c := begin()
			if come, err := c.Look(m); come || err != nil {
				t.Errorf("an answer before it was sent: %v", err)
			}
			answer(data)
			come, err := c.Look(m)
			if check(t, err); !come {
				t.Fatal("no answer")
			}
			took(data)

			c = begin()
			answer(data)
			check(t, c.Wait(t.Context(), m))
			took(data)

			c = begin()
			waited := make(chan error)
			go func() { waited <- c.Wait(t.Context(), m) }()
			answer(data)
			check(t, <-waited)
			took(data)
		}

		c := begin()
		mach.Destroy(request)
		if come, err := c.Look(m); !come || !errors.Is(err, mach.MigServerDied) {
			t.Errorf("a server that does not answer: %v, %v", come, err)
		}

		c = begin()
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("why")
		cancel(why)
		if err := c.Wait(ctx, m); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		d := mach.Defer(request)
		mach.Destroy(request)
		wantCode(t, d.Fail(mach.KernFailure), mach.SendInvalidDest)

		c = begin()
		c.Abandon()
		d = mach.Defer(request)
		mach.Destroy(request)
		wantCode(t, d.Fail(mach.KernFailure), mach.SendInvalidDest)

		check(t, r.Close())
		_, err := mach.Begin(t.Context(), port, mach.NewMessage(5000))
		wantCode(t, err, mach.SendInvalidDest)
		check(t, mach.Deallocate(port))

		// A queue that is full, and an ended context: nothing was sent.
		full := must(mach.PortAllocate(mach.TaskSelf(), mach.RightReceive))(t)
		check(t, mach.PortInsertRight(mach.TaskSelf(), full, full, mach.MakeSend))
		check(t, mach.PortSetQueueLimit(mach.TaskSelf(), full, 1))
		check(t, mach.Send(t.Context(), full, mach.CopySend, mach.NewMessage(1)))
		if _, err := mach.Begin(ctx, full, mach.NewMessage(5000)); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		q := must(mach.AdoptReceive(full))(t)
		check(t, q.Receive(t.Context(), request))
		if request.ID() != 1 {
			t.Errorf("got message %d", request.ID())
		}
		check(t, q.Close())
		check(t, mach.Deallocate(full))
	})
}

// Many calls that are abandoned while the server answers leave nothing.
func TestCancelStorm(t *testing.T) {
	leaks(t, func() {
		payload := receiver(t)
		port, stop := serve(t, mach.HandlerFunc(func(ctx context.Context, req, reply *mach.Message) error {
			reply.PutRight(payload.Port(), mach.MakeSend)
			return nil
		}))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for i := range 10 {
					ctx, cancel := context.WithCancel(t.Context())
					if i%2 == 0 {
						go cancel()
					}
					m := mach.NewMessage(5000)
					if err := mach.Call(ctx, port, m); err == nil {
						mach.Destroy(m)
					} else if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
		stop()
		check(t, payload.Close())
	})
}

// receiveContexts tests that of several calls of Receive, each context ends
// its own.
func receiveContexts(t *testing.T, src mach.Source, port mach.Port) {
	t.Helper()
	const n = 10
	type end struct {
		i   int
		err error
	}
	ends := make(chan end)
	var cancels [n]context.CancelFunc
	var ready sync.WaitGroup
	for i := range n {
		ctx, cancel := context.WithCancel(t.Context())
		cancels[i] = cancel
		ready.Add(1)
		go func() {
			ready.Done()
			ends <- end{i, src.Receive(ctx, mach.NewMessage(0))}
		}()
	}
	ready.Wait()
	for i := n - 1; i >= 3; i-- { // not in the order in which they wait
		cancels[i]()
		if e := <-ends; e.i != i || !errors.Is(e.err, context.Canceled) {
			t.Errorf("cancelled %d, ended %d with %v", i, e.i, e.err)
		}
	}
	check(t, mach.Send(t.Context(), port, mach.MakeSend, mach.NewMessage(1)))
	if e := <-ends; e.err != nil || e.i > 2 {
		t.Errorf("message went to %d with %v", e.i, e.err)
	}
	// At once, so that wakes meet.
	for i := range 3 {
		cancels[i]()
	}
	for range 2 {
		if e := <-ends; !errors.Is(e.err, context.Canceled) {
			t.Errorf("ended %d with %v", e.i, e.err)
		}
	}
}

func TestReceiveContext(t *testing.T) {
	leaks(t, func() {
		r := receiver(t)
		receiveContexts(t, r, r.Port())
		check(t, r.Close())
	})
}

// A send to a full queue waits for room, and for its context.
func TestSendFull(t *testing.T) {
	leaks(t, func() {
		r := receiver(t)
		payload := receiver(t)
		port := must(mach.PortAllocate(mach.TaskSelf(), mach.RightReceive))(t)
		check(t, mach.PortInsertRight(mach.TaskSelf(), port, port, mach.MakeSend))
		check(t, mach.PortSetQueueLimit(mach.TaskSelf(), port, 2))
		send := func(ctx context.Context, id int32) error {
			m := mach.NewMessage(id)
			m.PutRight(payload.Port(), mach.MakeSend)
			m.PutOOLData(mach.Byte, bytes.Repeat([]byte{1}, 5000))
			return mach.Send(ctx, port, mach.CopySend, m)
		}
		check(t, send(t.Context(), 1))
		check(t, send(t.Context(), 2))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := send(ctx, 3); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		// So does a call, whose right to reply the kernel has made by then.
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := mach.Call(ctx, port, mach.NewMessage(4)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		sent := make(chan error)
		for i := range int32(5) {
			go func() { sent <- send(t.Context(), 10+i) }()
		}
		q := must(mach.AdoptReceive(port))(t)
		m := mach.NewMessage(0)
		for i := range int32(7) {
			check(t, q.Receive(t.Context(), m))
			if i < 2 && m.ID() != i+1 || i >= 2 && m.ID() < 10 {
				t.Errorf("message %d has id %d", i, m.ID())
			}
			mach.Destroy(m)
		}
		for range 5 {
			check(t, <-sent)
		}
		check(t, mach.Deallocate(port))
		check(t, q.Close())
		check(t, payload.Close())
		check(t, r.Close())
	})
}

// Messages that wait when a receiver is closed give back what is in them,
// those that the poller has fetched as those in the kernel's queue.
func TestCloseWithMessages(t *testing.T) {
	leaks(t, func() {
		port, stop := serve(t, echo)
		defer stop()
		r, payload := receiver(t), receiver(t)
		send := func() {
			m := mach.NewMessage(1)
			m.PutRight(payload.Port(), mach.MakeSend)
			check(t, mach.Send(t.Context(), r.Port(), mach.MakeSend, m))
		}
		for range 5 {
			send()
		}
		// While this waits, the poller fetches.
		check(t, callEcho(t.Context(), port, mach.NewMessage(0), 1))
		if n := must(mach.PortGetStatus(mach.TaskSelf(), r.Port()))(t).Queued; n != 0 {
			t.Errorf("%d messages are with the kernel", n)
		}
		for range 5 {
			send()
		}
		check(t, r.Close())
		if refs := must(mach.PortGetRefs(mach.TaskSelf(), payload.Port(), mach.RightSend))(t); refs != 0 {
			t.Errorf("%d rights are left", refs)
		}
		check(t, payload.Close())
	})
}

func TestOutOfLine(t *testing.T) {
	page := must(mach.VMAllocate(mach.TaskSelf(), mach.PageSize))(t)
	check(t, mach.VMDeallocate(mach.TaskSelf(), page, mach.PageSize))
	resident := func() uintptr { return must(mach.TaskBasicInfo(mach.TaskSelf()))(t).Virtual }

	leaks(t, func() {
		port, stop := serve(t, mach.Routines{
			// Inverts data, in place.
			5000: func(ctx context.Context, req, reply *mach.Message) error {
				b := req.TakeData(-1)
				if err := req.End(); err != nil {
					return err
				}
				out := make([]byte, len(b))
				for i := range b {
					out[i] = ^b[i]
				}
				reply.PutData(mach.Byte, out)
				return nil
			},
			// Passes on the memory that it got.
			5001: func(ctx context.Context, req, reply *mach.Message) error {
				addr, n := req.TakeMemory()
				if err := req.End(); err != nil {
					return err
				}
				reply.PutMemory(mach.Byte, addr, n, true)
				return nil
			},
			// Answers with data that it has not taken.
			5002: func(ctx context.Context, req, reply *mach.Message) error {
				reply.PutData(mach.Byte, req.TakeData(-1))
				return req.End()
			},
		})
		defer stop()
		for _, size := range []int{0, 1, 100, 2048, 2049, 4096, 5000, 1 << 20} {
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(i * 7)
			}
			m := mach.NewMessage(5000)
			m.PutData(mach.Byte, data)
			check(t, mach.Call(t.Context(), port, m))
			got := m.TakeData(-1)
			if len(got) != size {
				t.Fatalf("%d bytes came back as %d", size, len(got))
			}
			for i := range got {
				if got[i] != ^byte(i*7) {
					t.Fatalf("byte %d of %d is %#x", i, size, got[i])
				}
			}
			check(t, m.End())
			mach.Destroy(m)

			for _, id := range []int32{5001, 5002} {
				m = mach.NewMessage(id)
				m.PutOOLData(mach.Byte, data)
				check(t, mach.Call(t.Context(), port, m))
				if got := m.TakeData(-1); !bytes.Equal(got, data) {
					t.Errorf("%d: %d bytes came back as %d others", id, size, len(got))
				}
				check(t, m.End())
				mach.Destroy(m)
			}
		}
	})

	// Memory, too, is given back: of a message taken and of one not taken.
	r := receiver(t)
	data := make([]byte, 1<<20)
	m := mach.NewMessage(0)
	var before uintptr
	for i := range 20 {
		if i == 10 {
			before = resident()
		}
		mach.Reset(m, 1)
		m.PutOOLData(mach.Byte, data)
		m.PutOOLRights([]mach.Port{r.Port(), mach.Null, r.Port()}, mach.MakeSend)
		check(t, mach.Send(t.Context(), r.Port(), mach.MakeSend, m))
		check(t, r.Receive(t.Context(), m))
		if i%2 == 0 {
			m.TakeData(-1)
			ports, _ := m.TakeRights(-1)
			check(t, m.End())
			for _, p := range ports {
				if p != mach.Null {
					check(t, mach.Deallocate(p))
				}
			}
		}
		mach.Destroy(m)
	}
	if after := resident(); after > before+4<<20 {
		t.Errorf("address space grew from %d to %d bytes in 10 messages of 1 MB", before, after)
	}
	if refs := must(mach.PortGetRefs(mach.TaskSelf(), r.Port(), mach.RightSend))(t); refs != 0 {
		t.Errorf("%d send rights are left", refs)
	}
	check(t, r.Close())
}

func TestRights(t *testing.T) {
	leaks(t, func() {
		r := receiver(t)
		m := mach.NewMessage(0)

		// A send right that comes home has the name of the receive right.
		m.PutRight(r.Port(), mach.MakeSend)
		m.PutRight(mach.Null, mach.MakeSendOnce)
		check(t, mach.Send(t.Context(), r.Port(), mach.MakeSend, m))
		check(t, r.Receive(t.Context(), m))
		p, disp := m.TakeRight()
		if p != r.Port() || disp != mach.MoveSend {
			t.Errorf("got %v %v", disp, p)
		}
		if q := m.TakeSendOnce(); q != mach.Null {
			t.Errorf("got %v for the null right", q)
		}
		check(t, m.End())

		// Moved away, it is gone; send-once rights get names of their own.
		mach.Reset(m, 2)
		m.PutRight(p, mach.MoveSend)
		m.PutRight(r.Port(), mach.MakeSendOnce)
		check(t, mach.Send(t.Context(), r.Port(), mach.MakeSend, m))
		if refs := must(mach.PortGetRefs(mach.TaskSelf(), r.Port(), mach.RightSend))(t); refs != 0 {
			t.Errorf("%d send rights after moving", refs)
		}
		check(t, r.Receive(t.Context(), m))
		p = m.TakeSend()
		once := m.TakeSendOnce()
		check(t, m.End())
		if p != r.Port() || once == r.Port() {
			t.Errorf("send %v, send-once %v", p, once)
		}
		check(t, mach.Send(t.Context(), once, mach.MoveSendOnce, mach.NewMessage(3)))
		check(t, r.Receive(t.Context(), m))
		if m.ID() != 3 {
			t.Errorf("got message %d", m.ID())
		}
		check(t, mach.Deallocate(p))

		// A receive right travels with its queue.
		q := must(mach.PortAllocate(mach.TaskSelf(), mach.RightReceive))(t)
		check(t, mach.Send(t.Context(), q, mach.MakeSend, mach.NewMessage(77)))
		mach.Reset(m, 4)
		m.PutRight(q, mach.MoveReceive)
		check(t, mach.Send(t.Context(), r.Port(), mach.MakeSend, m))
		check(t, r.Receive(t.Context(), m))
		moved := must(mach.AdoptReceive(m.TakeReceive()))(t)
		check(t, moved.Receive(t.Context(), m))
		if m.ID() != 77 {
			t.Errorf("got message %d from the moved queue", m.ID())
		}
		check(t, moved.Close())

		// What a failed send was to move is gone, too.
		dead := receiver(t)
		port := must(dead.MakeSend())(t)
		check(t, dead.Close())
		right := must(r.MakeSend())(t)
		mach.Reset(m, 5)
		m.PutRight(right, mach.MoveSend)
		wantCode(t, mach.Send(t.Context(), port, mach.CopySend, m), mach.SendInvalidDest)
		if refs := must(mach.PortGetRefs(mach.TaskSelf(), r.Port(), mach.RightSend))(t); refs != 0 {
			t.Errorf("%d send rights after a failed send", refs)
		}
		check(t, mach.Deallocate(port))
		check(t, r.Close())
	})
}

func TestExtractInsert(t *testing.T) {
	leaks(t, func() {
		task := must(mach.TaskCreate(mach.TaskSelf(), false))(t)
		r := receiver(t)
		check(t, mach.PortInsertRight(task, 42, r.Port(), mach.MakeSend))
		if typ := must(mach.PortTypeOf(task, 42))(t); typ != mach.TypeSend {
			t.Errorf("type %#x", uint32(typ))
		}
		p, disp, err := mach.PortExtractRight(task, 42, mach.CopySend)
		check(t, err)
		if p != r.Port() || disp != mach.MoveSend {
			t.Errorf("extracted %v %v", disp, p)
		}
		check(t, mach.Deallocate(p))
		check(t, mach.PortRename(task, 42, 50))
		check(t, mach.PortDestroy(task, 50))
		check(t, mach.TaskTerminate(task))
		check(t, mach.Deallocate(task))
		check(t, r.Close())
	})
}

func TestNotifications(t *testing.T) {
	leaks(t, func() {
		notify := receiver(t)
		m := mach.NewMessage(0)
		next := func() mach.Notification {
			t.Helper()
			check(t, notify.Receive(t.Context(), m))
			n, ok, err := mach.TakeNotification(m)
			check(t, err)
			if !ok {
				t.Fatalf("message %d", m.ID())
			}
			mach.Destroy(m)
			return n
		}

		r := receiver(t)
		check(t, mach.RequestNotification(r.Port(), mach.NotifyNoSenders, 1, notify.Port()))
		port := must(r.MakeSend())(t)
		check(t, mach.Deallocate(port))
		if n := next(); n.Kind != mach.NotifyNoSenders || n.MakeSendCount != 1 {
			t.Errorf("got %+v", n)
		}

		port = must(r.MakeSend())(t)
		other := must(mach.TaskCreate(mach.TaskSelf(), false))(t)
		check(t, mach.PortInsertRight(other, 9, r.Port(), mach.MakeSend))
		check(t, mach.TaskTerminate(other))
		check(t, mach.Deallocate(other))

		// The right must not be the receive right's name for it to die.
		check(t, mach.RequestNotification(port, mach.NotifyDeadName, 0, notify.Port()))
		check(t, r.Close())
		if n := next(); n.Kind != mach.NotifyDeadName || n.Name != port {
			t.Errorf("got %+v for %v", n, port)
		}
		check(t, mach.Deallocate(port)) // the reference of the notification
		check(t, mach.Deallocate(port)) // ours

		// A request that displaces another says so to that one's port.
		r = receiver(t)
		second := receiver(t)
		check(t, mach.RequestNotification(r.Port(), mach.NotifyNoSenders, 5, notify.Port()))
		check(t, mach.RequestNotification(r.Port(), mach.NotifyNoSenders, 5, second.Port()))
		if n := next(); n.Kind != mach.NotifySendOnce {
			t.Errorf("got %+v", n)
		}
		check(t, mach.RequestNotification(r.Port(), mach.NotifyNoSenders, 0, mach.Null))
		check(t, second.Close())
		check(t, r.Close())

		// A send-once right that is dropped says so.
		mach.Reset(m, 1)
		m.PutRight(notify.Port(), mach.MakeSendOnce)
		mach.Destroy(m) // made by the kernel only when sent
		check(t, mach.Send(t.Context(), notify.Port(), mach.MakeSend, func() *mach.Message {
			m := mach.NewMessage(1)
			m.PutRight(notify.Port(), mach.MakeSendOnce)
			return m
		}()))
		check(t, notify.Receive(t.Context(), m))
		mach.Destroy(m)
		if n := next(); n.Kind != mach.NotifySendOnce {
			t.Errorf("got %+v", n)
		}

		// A receive right that is saved from destruction.
		p := must(mach.PortAllocate(mach.TaskSelf(), mach.RightReceive))(t)
		check(t, mach.RequestNotification(p, mach.NotifyPortDestroyed, 0, notify.Port()))
		check(t, mach.DestroyReceive(p))
		n := next()
		if n.Kind != mach.NotifyPortDestroyed || !n.Receive.Valid() {
			t.Errorf("got %+v", n)
		}
		check(t, mach.DestroyReceive(n.Receive))
		check(t, notify.Close())
	})
}

// The handler may answer later, and out of order.
func TestDefer(t *testing.T) {
	leaks(t, func() {
		var mu sync.Mutex
		var waiting []*mach.Deferred
		all := make(chan bool)
		const n = 5
		port, stop := serve(t, mach.HandlerFunc(func(ctx context.Context, req, reply *mach.Message) error {
			x := req.TakeInt32()
			if x < 0 {
				return mach.NoReply // and no Defer: dropped
			}
			mu.Lock()
			defer mu.Unlock()
			waiting = append(waiting, mach.Defer(req))
			if len(waiting) == n {
				close(all)
			}
			return mach.NoReply
		}))
		defer stop()
		results := make(chan error)
		for i := range int32(n) {
			go func() {
				m := mach.NewMessage(5000)
				m.PutInt32(i)
				results <- mach.Call(t.Context(), port, m)
			}()
		}
		<-all
		for i := n - 1; i >= 0; i-- {
			if i == 2 {
				check(t, waiting[i].Fail(mach.Errno(2)))
				continue
			}
			check(t, waiting[i].Send(waiting[i].NewReply()))
		}
		failed := 0
		for range n {
			if err := <-results; err != nil {
				failed++
				wantCode(t, err, mach.Errno(2))
			}
		}
		if failed != 1 {
			t.Errorf("%d calls failed", failed)
		}
		m := mach.NewMessage(5000)
		m.PutInt32(-1)
		wantCode(t, mach.Call(t.Context(), port, m), mach.MigServerDied)
	})
}

// Messages are received whole, whatever their size.
func TestLargeInline(t *testing.T) {
	r := receiver(t)
	m := mach.NewMessage(0)
	for _, n := range []int{0, 1, 100, 1000, 3000, 20000} {
		x := make([]int32, n)
		for i := range x {
			x[i] = int32(i)
		}
		mach.Reset(m, 1)
		for len(x) > 0 {
			k := min(len(x), 4000)
			m.PutInt32s(x[:k]...)
			x = x[k:]
		}
		check(t, mach.Send(t.Context(), r.Port(), mach.MakeSend, m))
		got := mach.NewMessage(0)
		check(t, r.Receive(t.Context(), got))
		sum := 0
		for got.More() {
			for _, v := range got.TakeInt32s(-1) {
				if v != int32(sum) {
					t.Fatalf("integer %d is %d", sum, v)
				}
				sum++
			}
		}
		check(t, got.End())
		if sum != n {
			t.Errorf("%d of %d integers", sum, n)
		}
	}
	check(t, r.Close())
}
