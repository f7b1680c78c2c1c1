package ports

import (
	"context"
	"errors"
	"testing"
	"time"

	"hurdlab/mach"
)

func echo(_ context.Context, req, reply *mach.Message) error {
	reply.PutInt32(req.TakeInt32() + 1)
	return req.End()
}

func export(t *testing.T, gone func()) mach.Port {
	t.Helper()
	p, err := new(Kernel).Export(mach.Routines{4711: echo}, gone)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func call(p mach.Port, x int32) (int32, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m := mach.NewMessage(4711)
	m.PutInt32(x)
	if err := mach.Call(ctx, p, m); err != nil {
		return 0, err
	}
	defer mach.Destroy(m)
	return m.TakeInt32(), m.End()
}

func TestExport(t *testing.T) {
	gone := make(chan bool, 1)
	p := export(t, func() { gone <- true })
	if got, err := call(p, 41); err != nil || got != 42 {
		t.Errorf("got %d, %v", got, err)
	}
	// A notification that a client makes up must not end the port.
	m := mach.NewMessage(int32(mach.NotifyNoSenders))
	m.PutInt32(1)
	if err := mach.Send(context.Background(), p, mach.CopySend, m); err != nil {
		t.Error(err)
	}
	if got, err := call(p, 1); err != nil || got != 2 {
		t.Errorf("after a forged notification: %d, %v", got, err)
	}
	select {
	case <-gone:
		t.Error("gone while there is a right")
	default:
	}
	if err := mach.Deallocate(p); err != nil {
		t.Fatal(err)
	}
	<-gone
	if _, err := call(p, 1); err == nil {
		t.Error("the port is still there")
	}
}

// TestNoLeaks exports many objects and looks at the task's name space.
func TestNoLeaks(t *testing.T) {
	count := func() int {
		names, _, err := mach.PortNames(mach.TaskSelf())
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	round := func() {
		gone := make(chan bool)
		p := export(t, func() { gone <- true })
		_, err := call(p, 1)
		if err = errors.Join(err, mach.Deallocate(p)); err != nil {
			t.Fatal(err)
		}
		<-gone
	}
	round() // what is made once
	before := count()
	for range 300 {
		round()
	}
	if after := count(); after > before+2 {
		t.Errorf("%d names before, %d after", before, after)
	}
}

func TestLimit(t *testing.T) {
	k := new(Kernel)
	k.objects.Store(MaxObjects - 1)
	gone := make(chan bool)
	p, err := k.Export(mach.Routines{}, func() { gone <- true })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Export(mach.Routines{}, nil); !errors.Is(err, mach.Errno(enfile)) {
		t.Errorf("one too many: %v", err)
	}
	if err := mach.Deallocate(p); err != nil {
		t.Fatal(err)
	}
	<-gone
	if p, err = k.Export(mach.Routines{}, nil); err != nil {
		t.Errorf("after one has gone: %v", err)
	}
	if err := mach.Deallocate(p); err != nil {
		t.Error(err)
	}
}
