package ports

import (
	"context"
	"sync"
	"time"

	"hurdlab/hurd/proto"
)

// A request is the context of one. It is made for each request, most of which
// never wait: it has no channel before somebody asks for one.
type request struct {
	seqno uint32

	mu   sync.Mutex
	done chan struct{}
	err  error
}

var _ context.Context = (*request)(nil)

func (r *request) Deadline() (time.Time, bool) { return time.Time{}, false }

func (r *request) Value(any) any { return nil }

func (r *request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done = make(chan struct{})
		if r.err != nil {
			close(r.done)
		}
	}
	return r.done
}

// Err is EINTR once the request is interrupted, and so is its Cause.
func (r *request) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *request) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = proto.EINTR
		if r.done != nil {
			close(r.done)
		}
	}
}
