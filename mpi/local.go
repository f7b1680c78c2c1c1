package mpi

import (
	"context"
	"sync"
)

// Local returns the communicators of n ranks in this process.
func Local(n int) []*Comm {
	links := make([][]Link, n)
	for i := range links {
		links[i] = make([]Link, n)
	}
	for i := range n {
		for j := range i {
			links[i][j], links[j][i] = Pipe()
		}
	}
	comms := make([]*Comm, n)
	for i := range comms {
		comms[i] = New(i, links[i])
	}
	return comms
}

// Pipe returns the two ends of a link in memory.
func Pipe() (Link, Link) {
	a, b := make(chan message, BufferedMessages), make(chan message, BufferedMessages)
	p := &pipe{closed: make(chan struct{})}
	return &end{p, a, b}, &end{p, b, a}
}

// A pipe is what both ends share.
type pipe struct {
	once   sync.Once
	closed chan struct{}
}

type end struct {
	*pipe
	out, in chan message
}

func (e *end) Send(ctx context.Context, tag int32, b []byte) error {
	select {
	case <-e.closed:
		return ErrLost
	default:
	}
	select {
	case e.out <- message{tag, append([]byte(nil), b...)}:
		return nil
	case <-e.closed:
		return ErrLost
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *end) Recv(ctx context.Context, buf []byte) (int32, []byte, error) {
	select {
	case m := <-e.in:
		return m.tag, append(buf[:0], m.b...), nil
	default:
	}
	select {
	case m := <-e.in:
		return m.tag, append(buf[:0], m.b...), nil
	case <-e.closed:
		return 0, nil, ErrLost
	case <-ctx.Done():
		return 0, nil, context.Cause(ctx)
	}
}

func (e *end) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}
