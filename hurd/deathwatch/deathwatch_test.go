package deathwatch

import (
	"testing"

	"hurdlab/mach"
)

// fake is a kernel in which ports die when told to.
type fake struct {
	requests map[mach.Port]bool
	sent     []mach.Port // notifications on their way
	refs     int         // references to dead names that came along
	denied   error
}

func (k *fake) Request(p mach.Port) error {
	if k.denied != nil {
		return k.denied
	}
	k.requests[p] = true
	return nil
}

func (k *fake) Cancel(p mach.Port) (bool, error) {
	was := k.requests[p]
	delete(k.requests, p)
	return was, nil
}

func (k *fake) Release(mach.Port) { k.refs-- }

func (k *fake) die(p mach.Port) {
	if k.requests[p] {
		delete(k.requests, p)
		k.sent = append(k.sent, p)
		k.refs++
	}
}

func (k *fake) deliver(w *Watcher) {
	for _, p := range k.sent {
		w.Died(p)
	}
	k.sent = nil
}

func setup(t *testing.T) (*fake, *Watcher) {
	k := &fake{requests: make(map[mach.Port]bool)}
	w := NewWatcher(k)
	t.Cleanup(func() {
		k.deliver(w)
		if w.Len() != 0 || k.refs != 0 || len(k.requests) != 0 {
			t.Errorf("left: %d watched, %d references, %d requests", w.Len(), k.refs, len(k.requests))
		}
	})
	return k, w
}

func TestDeath(t *testing.T) {
	k, w := setup(t)
	n := 0
	for range 2 {
		if _, err := w.Watch(7, func() { n++ }); err != nil {
			t.Fatal(err)
		}
	}
	k.die(7)
	k.deliver(w)
	if n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
	w.Died(7) // forged
	w.Died(8)
	if n != 2 {
		t.Errorf("%d calls after forged notifications", n)
	}
}

func TestStop(t *testing.T) {
	k, w := setup(t)
	a, b := 0, 0
	stopA, _ := w.Watch(7, func() { a++ })
	stopB, _ := w.Watch(7, func() { b++ })
	stopA()
	stopA()
	k.die(7)
	k.deliver(w)
	stopB()
	if a != 0 || b != 1 {
		t.Errorf("calls: %d of the one stopped, %d of the other", a, b)
	}
}

// A port dies, and before the notification arrives nobody wants to know, or
// somebody else does.
func TestStopTooLate(t *testing.T) {
	k, w := setup(t)
	n := 0
	stop, _ := w.Watch(7, func() { t.Error("stopped, but called") })
	k.die(7)
	stop()
	if w.Len() != 1 {
		t.Error("the name is forgotten although a reference to it is on its way")
	}
	w.Watch(7, func() { n++ })
	k.deliver(w)
	if n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

func TestRefused(t *testing.T) {
	k, w := setup(t)
	k.denied = mach.KernInvalidName
	if _, err := w.Watch(7, nil); err == nil {
		t.Error("no error")
	}
}
