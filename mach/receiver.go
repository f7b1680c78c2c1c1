package mach

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
)

// maxQueue is the longest queue that a port can have. The default of 5
// messages makes senders wait while a server's goroutine is being scheduled.
const maxQueue = 16

// A Receiver is a receive right that goroutines wait on without a thread.
// Several may: each message goes to one of them.
type Receiver struct {
	port Port
	poll poll
	// ended counts the calls of Receive whose context has ended but that
	// have not noticed: see interrupted.
	ended atomic.Int32
}

// NewReceiver allocates a port, with the longest queue possible.
func NewReceiver() (*Receiver, error) {
	p, err := PortAllocate(TaskSelf(), RightReceive)
	if err != nil {
		return nil, err
	}
	if err := PortSetQueueLimit(TaskSelf(), p, maxQueue); err != nil {
		DestroyReceive(p)
		return nil, err
	}
	r, err := AdoptReceive(p)
	if err != nil {
		DestroyReceive(p)
	}
	return r, err
}

// AdoptReceive makes a Receiver of a receive right of this task, which it
// consumes if it succeeds.
func AdoptReceive(p Port) (*Receiver, error) {
	pl, code := pollOpen(p)
	if code != KernSuccess {
		return nil, fmt.Errorf("wait on %v: %w", p, code)
	}
	return &Receiver{port: p, poll: pl}, nil
}

// Port returns the receive right's name, for use with [MakeSend] and
// [MakeSendOnce].
func (r *Receiver) Port() Port { return r.port }

// MakeSend returns a new send right to the port, which has the same name as
// the receive right. The caller owns it.
func (r *Receiver) MakeSend() (Port, error) {
	return r.port, PortInsertRight(TaskSelf(), r.port, r.port, MakeSend)
}

// Receive waits for a message and leaves it in m, whose buffer it uses again.
// m must own nothing.
//
// When ctx ends first, Receive returns its cause; no message is lost. After
// Close it fails with [RcvPortDied].
func (r *Receiver) Receive(ctx context.Context, m *Message) error {
	if ctx.Done() != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		stop := context.AfterFunc(ctx, func() {
			r.ended.Add(1)
			r.poll.wake()
		})
		defer func() {
			if !stop() && r.ended.Add(-1) > 0 {
				// Of several wakes with nobody waiting, one is left.
				r.poll.wake()
			}
		}()
	}
	room := replyRoom
	for {
		b := m.Buffer(room)
		b = b[:cap(b)]
		n, code := r.poll.recv(b)
		switch code.plain() {
		case RcvTooLarge:
			room = n
		case RcvInterrupted:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if r.ended.Load() > 0 {
				// Meant for another call. It will wait for its turn in line
				// before this one does.
				r.poll.wake()
				runtime.Gosched()
			}
		case KernSuccess, RcvBodyError, RcvHeaderError:
			return load(m, b[:n], code)
		default:
			return fmt.Errorf("receive from %v: %w", r.port, code)
		}
	}
}

// Close destroys the receive right and all messages that wait.
func (r *Receiver) Close() error {
	r.poll.close()
	// Messages that the poller has fetched own rights; the kernel destroys
	// those in its queue itself.
	m := NewMessage(0)
	for {
		if err := r.Receive(context.Background(), m); err != nil {
			break
		}
		Destroy(m)
	}
	return DestroyReceive(r.port)
}
