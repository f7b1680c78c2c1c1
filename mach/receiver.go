package mach

import (
	"context"
	"fmt"
	"sync"
)

// maxQueue is the longest queue that a port can have. The default of 5
// messages makes senders wait while a server's goroutine is being scheduled.
const maxQueue = 16

// A Receiver is a receive right that goroutines wait on without a thread.
// Several may: each message goes to one of them.
type Receiver struct {
	port  Port
	poll  poll
	ended ended
}

// ended counts the calls of a Receive whose context has ended but that have
// not noticed. The system interrupts some call, not a certain one: a call
// that it is not for passes the interruption on, then stands aside until it
// has arrived.
type ended struct {
	mu    sync.Mutex
	calls int
	none  chan struct{} // closed when calls drops to 0
}

// add counts a call whose context has ended.
func (e *ended) add() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.calls++; e.calls == 1 {
		e.none = make(chan struct{})
	}
}

// done says that such a call is over. It reports whether there are others.
// It may come before add has counted the call.
func (e *ended) done() (more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.calls--; e.calls == 0 {
		close(e.none)
	}
	return e.calls > 0
}

// pending returns a channel that is closed when no such calls are left, or
// nil if there are none.
func (e *ended) pending() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.calls <= 0 {
		return nil
	}
	return e.none
}

// watch makes interrupt be called when ctx ends, until the function that it
// returns is called.
func (e *ended) watch(ctx context.Context, interrupt func()) (stop func()) {
	s := context.AfterFunc(ctx, func() {
		e.add()
		interrupt()
	})
	return func() {
		// Of several interruptions with nobody to interrupt, only one is
		// left, and this call may have had it.
		if !s() && e.done() {
			interrupt()
		}
	}
}

// interrupted is called by a call that has been interrupted. It returns nil
// if the call is to go on.
func (e *ended) interrupted(ctx context.Context, interrupt func()) error {
	if ctx.Err() == nil {
		if none := e.pending(); none != nil {
			interrupt()
			select {
			case <-none:
			case <-ctx.Done():
			}
		}
	}
	return context.Cause(ctx)
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
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if ctx.Done() != nil {
		defer r.ended.watch(ctx, r.poll.wake)()
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
			if err := r.ended.interrupted(ctx, r.poll.wake); err != nil {
				return err
			}
		case KernSuccess, RcvBodyError, RcvHeaderError:
			return load(m, b[:n], code)
		default:
			return fmt.Errorf("receive from %v: %w", r.port, code)
		}
	}
}

// Release ends the receiving and gives the receive right back to the caller. What had
// been taken from the port already still comes from Receive, before it fails with
// [RcvPortDied].
func (r *Receiver) Release() Port {
	r.poll.close()
	return r.port
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
