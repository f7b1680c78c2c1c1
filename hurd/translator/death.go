package translator

import (
	"context"
	"sync"

	"hurdlab/mach"
)

// deaths tells of ports whose receivers are gone. The zero value is ready for
// use. Where there is no kernel to ask, nothing is told.
type deaths struct {
	mu       sync.Mutex
	receiver *mach.Receiver
	failed   bool
	watched  map[mach.Port]map[*node]func()
}

// watch has died called, once, when the port is dead, unless ignore is called
// before. The caller keeps a right to it until then.
func (d *deaths) watch(port mach.Port, n *node, died func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.receiver == nil {
		if d.failed {
			return
		}
		r, err := mach.NewReceiver()
		if err != nil {
			// Then a dead translator is noticed when it is next used.
			d.failed = true
			return
		}
		d.receiver = r
		d.watched = make(map[mach.Port]map[*node]func())
		go d.listen(r)
	}
	if d.watched[port] == nil {
		const deadAlready = 1
		if mach.RequestNotification(port, mach.NotifyDeadName, deadAlready, d.receiver.Port()) != nil {
			return
		}
		d.watched[port] = make(map[*node]func())
	}
	d.watched[port][n] = died
}

// ignore takes back what watch did.
func (d *deaths) ignore(port mach.Port, n *node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	on := d.watched[port]
	if on == nil {
		return
	}
	delete(on, n)
	if len(on) == 0 {
		delete(d.watched, port)
		// It may be dead by now, which has cancelled it, too.
		_ = mach.RequestNotification(port, mach.NotifyDeadName, 0, mach.Null)
	}
}

func (d *deaths) listen(r *mach.Receiver) {
	m := mach.NewMessage(0)
	for {
		if r.Receive(context.Background(), m) != nil {
			return
		}
		n, ok, err := mach.TakeNotification(m)
		mach.Destroy(m)
		if !ok || err != nil || n.Kind != mach.NotifyDeadName {
			continue
		}
		d.mu.Lock()
		on := d.watched[n.Name]
		delete(d.watched, n.Name)
		d.mu.Unlock()
		for _, died := range on {
			died()
		}
		_ = mach.Deallocate(n.Name) // the notification's own reference
	}
}
