// Package deathwatch tells when ports die: tasks, rendezvous ports, message
// ports. A server has one [Watcher], which owns one notification port.
//
// A port is watched under its name in this task, of which the caller holds a
// right (or a dead name) for as long as it watches, so that the name cannot be
// taken by another port meanwhile.
//
// The facts are from the reference document hurd-protocol.md, sections 1.5
// and 1.6.
package deathwatch

import (
	"sync"

	"hurdlab/mach"
)

// A Kernel is what a Watcher needs of Mach. [Mach] is the real one.
type Kernel interface {
	// Request asks for a dead-name notification about name, also if it is
	// dead already.
	Request(name mach.Port) error
	// Cancel takes the request back. It reports whether it was in time: if
	// not, the notification has been sent.
	Cancel(name mach.Port) (inTime bool, err error)
	// Release gives back a reference to a dead name.
	Release(name mach.Port)
}

// A Watcher calls functions when ports die. Its methods may be called by
// several goroutines.
type Watcher struct {
	kernel Kernel

	mu      sync.Mutex
	next    uint64
	watched map[mach.Port]map[uint64]func()
}

// NewWatcher returns a Watcher that asks k, and that [Watcher.Died] tells of
// notifications.
func NewWatcher(k Kernel) *Watcher {
	return &Watcher{kernel: k, watched: make(map[mach.Port]map[uint64]func())}
}

// Watch calls f once when the port name dies, which may be at once, unless
// stop is called before. f must not wait; it may call Watch. The caller keeps
// its right to name until it has called stop or f has been called.
func (w *Watcher) Watch(name mach.Port, f func()) (stop func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.watched[name]
	if len(calls) == 0 {
		// An empty set is of a notification that is on its way: the name
		// is dead, and will be until it has arrived. Then this one waits
		// for it, too.
		if calls == nil {
			if err := w.kernel.Request(name); err != nil {
				return nil, err
			}
			calls = make(map[uint64]func())
			w.watched[name] = calls
		}
	}
	w.next++
	id := w.next
	calls[id] = f
	return func() { w.stop(name, calls, id) }, nil
}

func (w *Watcher) stop(name mach.Port, calls map[uint64]func(), id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := calls[id]; !ok {
		return // it has been called
	}
	delete(calls, id)
	if len(calls) > 0 {
		return
	}
	// If the notification has been sent, the name stays taken by the
	// reference in it, and its entry here until it arrives.
	if inTime, err := w.kernel.Cancel(name); inTime || err != nil {
		delete(w.watched, name)
	}
}

// Died is called for a dead-name notification about name, which has come from
// the kernel with one reference to the dead name.
func (w *Watcher) Died(name mach.Port) {
	w.mu.Lock()
	calls, ok := w.watched[name]
	if !ok {
		w.mu.Unlock()
		return
	}
	delete(w.watched, name)
	list := make([]func(), 0, len(calls))
	for id, f := range calls {
		list = append(list, f)
		delete(calls, id) // stop has nothing to do any more
	}
	w.mu.Unlock()
	for _, f := range list {
		f()
	}
	w.kernel.Release(name)
}

// Len returns how many ports are watched.
func (w *Watcher) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watched)
}
