package deathwatch

import (
	"testing"

	"hurdlab/mach"
)

// port makes a port with a send right.
func port(t *testing.T) mach.Port {
	t.Helper()
	p, err := mach.PortAllocate(mach.TaskSelf(), mach.RightReceive)
	if err == nil {
		err = mach.PortInsertRight(mach.TaskSelf(), p, p, mach.MakeSend)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// On the kernel: a death is told, one that nobody wants to know any more is
// not, even if it is too late to say so, and no name is left.
func TestKernel(t *testing.T) {
	w, err := New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		p := port(t)
		died := make(chan struct{})
		stop, err := w.Watch(p, func() { close(died) })
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			// Before the notification arrives, or after.
			mach.DestroyReceive(p)
			stop()
		} else {
			stop()
			mach.DestroyReceive(p)
		}
		mach.Deallocate(p)

		p = port(t)
		died = make(chan struct{})
		if stop, err = w.Watch(p, func() { close(died) }); err != nil {
			t.Fatal(err)
		}
		mach.DestroyReceive(p)
		<-died
		stop()
		mach.Deallocate(p)
	}
	// The last notification has been dealt with when this one has.
	p := port(t)
	died := make(chan struct{})
	if _, err := w.Watch(p, func() { close(died) }); err != nil {
		t.Fatal(err)
	}
	mach.DestroyReceive(p)
	<-died
	mach.Deallocate(p)
	_, types, err := mach.PortNames(mach.TaskSelf())
	if err != nil {
		t.Fatal(err)
	}
	dead := 0
	for _, typ := range types {
		if typ&mach.TypeDeadName != 0 {
			dead++
		}
	}
	// The notification about the last port may not have been given back yet.
	if dead > 1 {
		t.Errorf("%d dead names are left", dead)
	}
}
