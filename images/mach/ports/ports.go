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
	"sync/atomic"

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

// MaxObjects bounds the objects of a Kernel, so that a program that opens
// files without end cannot take the node's memory: each costs some 6 KiB. A
// program has eight at its start.
const MaxObjects = 4096

// Kernel makes real ports. Each costs a goroutine that is parked most of the
// time.
type Kernel struct{ objects atomic.Int32 }

// Export makes a port: see [Exporter].
func (k *Kernel) Export(h mach.Handler, gone func()) (mach.Port, error) {
	if k.objects.Add(1) > MaxObjects {
		k.objects.Add(-1)
		return mach.Null, fmt.Errorf("export an object: %w: there are %d", mach.Errno(enfile), MaxObjects)
	}
	right, err := k.export(h, gone)
	if err != nil {
		k.objects.Add(-1)
		return mach.Null, fmt.Errorf("export an object: %w", err)
	}
	return right, nil
}

const enfile = 23 // ENFILE: too many open files in the system

func (k *Kernel) export(h mach.Handler, gone func()) (mach.Port, error) {
	r, err := mach.NewReceiver()
	if err != nil {
		return mach.Null, err
	}
	right, err := r.MakeSend()
	if err == nil {
		// There is one send right, just made: the notification comes when it
		// and its copies are gone. No more are ever made, so that it is final.
		err = mach.RequestNotification(r.Port(), mach.NotifyNoSenders, 1, r.Port())
	}
	if err != nil {
		r.Close()
		return mach.Null, err
	}
	go k.serve(r, h, gone)
	return right, nil
}

func (k *Kernel) serve(r *mach.Receiver, h mach.Handler, gone func()) {
	if gone != nil {
		defer gone()
	}
	defer k.objects.Add(-1)
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
