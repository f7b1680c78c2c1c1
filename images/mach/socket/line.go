package socket

import (
	"errors"
	"sync"

	"gvisor.dev/gvisor/pkg/waiter"

	"hurdlab/images/mach/hurdio"
	"hurdlab/mach"
)

// A line is the requests of one direction that wait for a socket, in order.
type line struct {
	deferReply func(req *mach.Message) hurdio.Answer
	wq         *waiter.Queue
	mask       waiter.EventMask
	wake       chan struct{} // the line has changed

	mu      sync.Mutex
	waiting []request
	running bool // pump runs
}

// A request that waits. try does it, with the results in the reply, or fails
// with EAGAIN if it has to wait.
type request struct {
	answer hurdio.Answer
	try    func(reply *mach.Message) error
}

func newLine(d func(*mach.Message) hurdio.Answer, wq *waiter.Queue, mask waiter.EventMask) *line {
	return &line{deferReply: d, wq: wq, mask: mask, wake: make(chan struct{}, 1)}
}

// do does a request whose arguments have been taken, now if it can be done
// and no other waits, or else later. If it is put off, keep, unless nil, is
// called to save what try needs of the request, and do returns mach.NoReply.
func (l *line) do(req, reply *mach.Message, nonblock bool, keep func(), try func(reply *mach.Message) error) error {
	if req.End() != nil {
		return mach.MigBadArguments
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		if err := try(reply); !errors.Is(err, hurdio.EAGAIN) || nonblock {
			return err
		}
	} else if nonblock {
		return hurdio.EAGAIN
	}
	if keep != nil {
		keep()
	}
	l.waiting = append(l.waiting, request{l.deferReply(req), try})
	if !l.running {
		l.running = true
		go l.pump()
	}
	return mach.NoReply
}

// pump does what waits as it becomes possible.
func (l *line) pump() {
	e, changed := waiter.NewChannelEntry(l.mask)
	l.wq.EventRegister(&e)
	defer l.wq.EventUnregister(&e)
	for l.advance() {
		select {
		case <-changed:
		case <-l.wake:
		}
	}
}

// advance does what it can and reports whether something still waits.
func (l *line) advance() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) > 0 {
		r := l.waiting[0]
		m := r.answer.NewReply()
		err := r.try(m)
		if errors.Is(err, hurdio.EAGAIN) {
			mach.Destroy(m)
			return true
		}
		l.waiting = l.waiting[1:]
		// That the answer cannot be sent is the client's loss: it has gone.
		if err != nil {
			mach.Destroy(m)
			_ = r.answer.Fail(err)
		} else {
			_ = r.answer.Send(m)
		}
	}
	l.running = false
	return false
}

// interrupt answers what waits with EINTR: nothing of it has been done.
func (l *line) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.waiting {
		_ = r.answer.Fail(hurdio.EINTR)
	}
	l.waiting = nil
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
