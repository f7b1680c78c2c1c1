package deathwatch

import (
	"context"
	"errors"
	"fmt"

	"hurdlab/mach"
)

// New returns a Watcher of ports of this task. It serves its notifications
// until ctx ends.
func New(ctx context.Context) (*Watcher, error) {
	r, err := mach.NewReceiver()
	if err != nil {
		return nil, fmt.Errorf("notification port: %w", err)
	}
	w := NewWatcher(kernel{r})
	go w.serve(ctx, r)
	return w, nil
}

func (w *Watcher) serve(ctx context.Context, r *mach.Receiver) {
	defer r.Close()
	m := mach.NewMessage(0)
	for {
		if err := r.Receive(ctx, m); err != nil {
			return
		}
		n, ok, err := mach.TakeNotification(m)
		// Nobody else has a right to the port, but an error here would
		// release names that are not ours.
		_, by := m.Local()
		mach.Destroy(m)
		if ok && err == nil && by == mach.MoveSendOnce && n.Kind == mach.NotifyDeadName {
			w.Died(n.Name)
		}
	}
}

type kernel struct{ r *mach.Receiver }

func (k kernel) Request(name mach.Port) error {
	return mach.RequestNotification(name, mach.NotifyDeadName, 1, k.r.Port())
}

// Cancel is mach.RequestNotification with the answer to whether there was a
// request.
func (k kernel) Cancel(name mach.Port) (bool, error) {
	m := mach.NewMessage(3214) // mach_port_request_notification
	m.PutName(name)
	m.PutInt32(int32(mach.NotifyDeadName))
	m.PutInt32(0)
	m.PutRight(mach.Null, mach.MakeSendOnce)
	if err := mach.CallKernel(mach.TaskSelf(), m); err != nil {
		if errors.Is(err, mach.KernInvalidArgument) {
			return false, nil // a dead name: it has been sent
		}
		return false, fmt.Errorf("cancel a notification: %w", err)
	}
	defer mach.Destroy(m)
	previous := m.TakeSendOnce()
	if previous.Valid() {
		mach.Deallocate(previous) // its own notification is ignored
	}
	return previous.Valid(), m.End()
}

func (k kernel) Release(name mach.Port) { mach.Deallocate(name) }
