//go:build !hurd

package mach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"hurdlab/internal/reference"
	"hurdlab/mach/wire"
)

var layouts = []wire.Layout{wire.Layout32, wire.Layout64}

// full returns a message with every kind of thing to own, as its maker has it
// or as its receiver has it.
func full(k *fakeKernel, received bool) *Message {
	m := NewMessage(1)
	m.PutRight(11, MoveSend)
	m.PutRight(12, MoveSendOnce)
	m.PutRight(13, MoveReceive)
	if !received {
		m.PutRight(14, CopySend)
		m.PutRight(15, MakeSend)
		m.PutOOLData(Byte, []byte("kept"))
	}
	m.PutRight(Null, MoveSend)
	m.PutRight(Dead, MoveSend)
	m.PutRights([]Port{16, 17}, MoveSend)
	m.PutMemory(Byte, 0x5000, 100, true)
	m.SetDest(18, MoveSendOnce)
	m.SetReply(19, MoveSend)
	if received {
		k.mem = reference.Memory{}
		m.Bind(k.mem.Bind)
		check(m.Load(k.l, m.Buffer(0), memory{}))
	}
	return m
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func TestDestroy(t *testing.T) {
	for _, l := range layouts {
		k := start(t, l)
		Destroy(full(k, true))
		want := []string{"right 18", "right 11", "right 12", "receive 13", "right 16", "right 17", "0x5000+100"}
		if !slices.Equal(k.released, want) {
			t.Errorf("%v received: released %q, want %q", l, k.released, want)
		}
		// The local port of a received message is its receiver's, that of a
		// message being made is to be sent.
		k.released = nil
		m := full(k, false)
		Destroy(m)
		want = slices.Insert(want, 1, "right 19")
		if !slices.Equal(k.released, want) {
			t.Errorf("%v made: released %q, want %q", l, k.released, want)
		}
		k.released = nil
		Destroy(m)
		if k.released != nil {
			t.Errorf("%v: released again: %q", l, k.released)
		}
		// What has been taken is not released.
		m = full(k, true)
		m.TakeRight()
		m.TakeSendOnce()
		m.TakeReceive()
		Destroy(m)
		if want := []string{"right 18", "right 16", "right 17", "0x5000+100"}; !slices.Equal(k.released, want) {
			t.Errorf("%v after taking: released %q, want %q", l, k.released, want)
		}
		// Nor what only looks like rights.
		k.released = nil
		m = full(k, true)
		m.Buffer(0)[3] &^= 0x80
		Destroy(m)
		if want := []string{"right 18"}; !slices.Equal(k.released, want) {
			t.Errorf("%v not complex: released %q, want %q", l, k.released, want)
		}
	}
}

// request returns a request as a server gets it, with a right that it may
// take.
func request(k *fakeKernel, id int32, reply Port) *Message {
	m := NewMessage(id)
	m.PutInt32(5)
	m.PutRight(21, MoveSend)
	disp := MoveSendOnce
	if reply == Null {
		disp = 0
	}
	m.SetDest(reply, disp)
	check(m.Load(k.l, m.Buffer(0), memory{}))
	return m
}

func TestDispatch(t *testing.T) {
	var later *Deferred
	var kept Port
	h := Routines{
		100: func(ctx context.Context, req, reply *Message) error {
			x := req.TakeInt32()
			kept = req.TakeSend()
			reply.PutInt32(x + 1)
			return req.End()
		},
		101: func(ctx context.Context, req, reply *Message) error {
			reply.PutRight(22, MoveSend)
			return fmt.Errorf("open: %w", Errno(2))
		},
		102: func(ctx context.Context, req, reply *Message) error {
			later = Defer(req)
			return NoReply
		},
		103: func(ctx context.Context, req, reply *Message) error { return NoReply },
		104: func(ctx context.Context, req, reply *Message) error { return errors.New("no code in it") },
		105: func(ctx context.Context, req, reply *Message) error {
			reply.PutRight(22, MoveSend)
			reply.PutString("too long", 4)
			return nil
		},
		106: func(ctx context.Context, req, reply *Message) error {
			if kept = Null; req.TakeName() == Null {
				return MigBadArguments
			}
			return nil
		},
	}
	for _, l := range layouts {
		for _, c := range []struct {
			id       int32
			reply    Port
			code     KernReturn // of the answer; NoReply for none
			items    int        // of the answer, besides the code
			released []string
		}{
			{100, client, KernSuccess, 1, nil},
			{101, client, Errno(2), 0, []string{"right 22", "right 21"}},
			{102, client, NoReply, 0, []string{"right 21"}},
			{103, client, NoReply, 0, []string{"right 1000", "right 21"}},
			{104, client, Errno(5), 0, []string{"right 21"}},
			{105, client, Errno(5), 0, []string{"right 22", "right 21"}},
			{106, client, MigBadArguments, 0, []string{"right 21"}},
			{107, client, MigBadID, 0, []string{"right 21"}},
			// Without a reply port, nothing is answered.
			{100, Null, NoReply, 0, nil},
			{101, Null, NoReply, 0, []string{"right 21", "right 22"}},
		} {
			k := start(t, l)
			later = nil
			if err := Dispatch(t.Context(), h, request(k, c.id, c.reply), NewMessage(0)); err != nil {
				t.Errorf("%v %d: %v", l, c.id, err)
			}
			if !slices.Equal(k.released, c.released) {
				t.Errorf("%v %d: released %q, want %q", l, c.id, k.released, c.released)
			}
			if c.id == 100 && kept != 21 {
				t.Errorf("%v: the handler took %v", l, kept)
			}
			if c.id == 102 {
				if len(k.sent) != 0 {
					t.Errorf("%v: answered before it was time", l)
				}
				check(later.Fail(MigServerDied))
				c.code = MigServerDied
			}
			if c.code == NoReply {
				if len(k.sent) != 0 {
					t.Errorf("%v %d: answered with message %d", l, c.id, k.sent[0].ID())
				}
				continue
			}
			if len(k.sent) != 1 {
				t.Fatalf("%v %d: %d answers", l, c.id, len(k.sent))
			}
			m := k.sent[0]
			if m.ID() != c.id+100 || m.Bits() != uint32(MoveSendOnce) {
				t.Errorf("%v %d: answer has id %d, bits %#x", l, c.id, m.ID(), m.Bits())
			}
			if code := KernReturn(m.TakeInt32()); code != c.code {
				t.Errorf("%v %d: answer has code %s, want %s", l, c.id, code.Name(), c.code.Name())
			}
			for range c.items {
				m.TakeInt32()
			}
			if err := m.End(); err != nil {
				t.Errorf("%v %d: %v", l, c.id, err)
			}
		}
	}
}

// A reply port is used again only if no right to it is about.
func TestFailedSend(t *testing.T) {
	const reply Port = 8
	for _, l := range layouts {
		for _, c := range []struct {
			codes    []KernReturn
			again    bool
			released []string
		}{
			{[]KernReturn{SendInvalidDest}, true, []string{"right 5"}},
			{[]KernReturn{SendNoBuffer}, false, []string{"right 5", "receive 8"}},
			{[]KernReturn{SendInvalidRight}, false, []string{"receive 8"}},
			{[]KernReturn{SendTimedOut, SendInvalidDest}, false, []string{"right 1000", "right 99", "right 5", "receive 8"}},
			{[]KernReturn{SendTimedOut, SendTimedOut, SendNoBuffer}, false, []string{"right 1000", "right 99", "right 5", "receive 8"}},
		} {
			for _, kernel := range []bool{false, true} {
				k := start(t, l)
				k.codes = c.codes
				m := NewMessage(1)
				m.PutRight(5, MoveSend)
				var err error
				var again bool
				if kernel {
					direct.free = []Port{reply}
					err = CallKernel(client, m)
					again = slices.Contains(direct.free, reply)
				} else {
					parked.put(&Receiver{port: reply})
					err = Call(t.Context(), client, m)
					_, again = parked.get()
				}
				if last := c.codes[len(c.codes)-1]; !errors.Is(err, last) {
					t.Errorf("%v %v: got %v", l, c.codes, err)
				}
				if again != c.again {
					t.Errorf("%v %v kernel %v: reply port kept: %v", l, c.codes, kernel, again)
				}
				got := slices.Clone(k.released)
				slices.Sort(got)
				slices.Sort(c.released)
				if !slices.Equal(got, c.released) {
					t.Errorf("%v %v kernel %v: released %q, want %q", l, c.codes, kernel, got, c.released)
				}
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		code KernReturn
		name string
		text string
	}{
		{0, "KERN_SUCCESS", "success (KERN_SUCCESS)"},
		{KernNoSpace, "KERN_NO_SPACE", "no room in the address space or name space (KERN_NO_SPACE)"},
		{MigBadID, "MIG_BAD_ID", "the server does not have this routine (MIG_BAD_ID)"},
		{DevNoSuchDevice, "D_NO_SUCH_DEVICE", "the kernel has no such device (D_NO_SUCH_DEVICE)"},
		{RcvBodyError | 0x2000, "MACH_RCV_BODY_ERROR", "no room for some of the message's rights or memory (MACH_RCV_BODY_ERROR)"},
		{Errno(2), "errno 2", "Hurd error 2"},
		{12345, "12345", "unknown Mach error 12345"},
		{0x10000099, "0x10000099", "unknown Mach error 0x10000099"},
	} {
		if c.code.Name() != c.name || c.code.Error() != c.text {
			t.Errorf("%#x is %q, %q; want %q, %q", uint32(c.code), c.code.Name(), c.code.Error(), c.name, c.text)
		}
	}
	if KernSuccess.Err() != nil || KernFailure.Err() != error(KernFailure) {
		t.Error("Err")
	}
	if n, ok := Errno(17).Errno(); n != 17 || !ok || uint32(Errno(17)) != 0x40000011 {
		t.Errorf("Errno(17) is %#x, %d", uint32(Errno(17)), n)
	}
	if _, ok := MigBadID.Errno(); ok {
		t.Error("MIG_BAD_ID is taken for an error number")
	}
	for _, c := range []struct {
		err  error
		code KernReturn
	}{
		{nil, KernSuccess}, {KernNoAccess, KernNoAccess}, {fmt.Errorf("wrapped: %w", Errno(13)), Errno(13)},
		{errors.New("else"), Errno(5)}, {syscall.ENOENT, Errno(5) /* this system's numbers are not the Hurd's */},
	} {
		if got := Code(c.err); got != c.code {
			t.Errorf("Code(%v) is %s, want %s", c.err, got.Name(), c.code.Name())
		}
	}
	if errors.Is(Errno(2), syscall.ENOENT) {
		t.Error("a Hurd error number is taken for this system's")
	}
	if testHost == nil {
		if _, err := PortAllocate(TaskSelf(), RightReceive); !errors.Is(err, NotMach) {
			t.Errorf("without Mach: %v", err)
		}
	}
}

// What was needed for many calls at a time is not kept for ever.
func TestIdleReplyPortsAreBounded(t *testing.T) {
	var l freeList[int]
	kept := 0
	for i := range 10 * maxIdle {
		if l.put(i) {
			kept++
		}
	}
	if kept != maxIdle {
		t.Errorf("%d are kept of %d that may be", kept, maxIdle)
	}
	if _, ok := l.get(); !ok || !l.put(0) {
		t.Error("there is no room where one was taken")
	}
}
