// Package ports makes ports of objects: each object that the node's servers
// offer (an open file, a socket, a process) is a port with a handler of its
// own. It is to these servers what libports is to the Hurd's.
//
// Servers take an [Exporter], so that their tests can look at what they
// export on the host, where there are no ports.
package ports

import (
	"context"
	"fmt"

	"hurdlab/mach"
)

// An Exporter makes ports.
type Exporter interface {
	// Export makes a port and returns a send right to it, the caller's, by
	// the name of its receive right. Requests to it are answered by h, one
	// after the other in order of arrival. When the last send right is gone,
	// the port ends and gone, unless it is nil, is called.
	Export(h mach.Handler, gone func()) (mach.Port, error)
}

// Kernel makes real ports. Each costs a goroutine that is parked most of the
// time.
type Kernel struct{}

// Export makes a port: see [Exporter].
func (Kernel) Export(h mach.Handler, gone func()) (mach.Port, error) {
	r, err := mach.NewReceiver()
	if err != nil {
		return mach.Null, fmt.Errorf("export an object: %w", err)
	}
	right, err := r.MakeSend()
	if err == nil {
		// There is one send right, just made: the notification comes when it
		// and its copies are gone. No more are ever made, so that it is final.
		err = mach.RequestNotification(r.Port(), mach.NotifyNoSenders, 1, r.Port())
	}
	if err != nil {
		r.Close()
		return mach.Null, fmt.Errorf("export an object: %w", err)
	}
	go serve(r, h, gone)
	return right, nil
}

func serve(r *mach.Receiver, h mach.Handler, gone func()) {
	if gone != nil {
		defer gone()
	}
	defer r.Close()
	ctx := context.Background()
	req, reply := mach.NewMessage(0), mach.NewMessage(0)
	for {
		if err := r.Receive(ctx, req); err != nil {
			return
		}
		// The kernel sends notifications to send-once rights, of which only
		// it has one; a client that forges them has a send right.
		if _, by := req.Local(); mach.Notify(req.ID()) == mach.NotifyNoSenders && by == mach.MoveSendOnce {
			mach.Destroy(req)
			return
		}
		// That an answer cannot be sent is the client's loss.
		_ = mach.Dispatch(ctx, h, req, reply)
	}
}
