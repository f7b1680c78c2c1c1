// Package late makes connections whose small writes do not wait for the network server.
//
// A write of a socket is a call of the network server, io_write, whose answer says how many
// bytes it has taken: nearly always all. Who waits for that is woken only to wait for something else.
// So a write is sent, and its answer looked at when the next is made, or after a
// while. A message of 64 bytes took 1.68 times as long as over TCP then, and 1.78 before.
//
// What is different for the user: Write may have returned without an error for what is
// then not sent. The error is that of the next Write or CloseWrite, and ends the connection; so
// it does not suit who has to know of each write. A netmsg session does not: what was sent just
// before its end may be lost, whatever Write has said.
//
// # Place in the house
//
// Package transport is given [Wrap] for its connections; package session says when writes may be
// late.
package late

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// A write waits if it is of more than most bytes, or if more than recently have been written within a moment: the
// server may have no room for all of it then, and the rest would wait until somebody looks. Its buffers have 64 KB and
// more; what comes in bulk gains nothing by being late, and would be copied for it.
const (
	most     = 8 << 10
	recently = 32 << 10
	moment   = 100 * time.Millisecond
)

// lookAfter is when an answer is looked at if there is no next write: the server may have taken less than all,
// though that is unlikely. With 50 ms, Go's runtime had netmsg run so often to see whether it was time
// that half of what late writes gained was lost.
const lookAfter = 500 * time.Millisecond

// A begun write has been sent: [hurdlab/hurd/proto.BegunIOWrite].
type begun interface {
	// Wait waits for the answer: how many bytes have been taken, or why none. If ctx ends
	// first, the write is given up, and the error is its cause.
	Wait(ctx context.Context) (n uint64, err error)
	// Look is Wait if the answer is there. If not, known is false.
	Look() (n uint64, known bool, err error)
	// Abandon is for who does not want to know.
	Abandon()
}

// A socket is what writes can be begun with.
type socket interface {
	// begin begins a write. After an error nothing was sent.
	begin(p []byte) (begun, error)
	// again says whether an error means that nothing was taken, and the write is to be made
	// in the ordinary way.
	again(err error) bool
	release()
}

// errTaken is of a server that says it has taken more than there was.
var errTaken = errors.New("the network server says that it has taken more than it was given")

// A conn is a connection. Its writes are ordinary ones until WriteLate.
type conn struct {
	net.Conn
	ctx    context.Context // until Close
	cancel context.CancelCauseFunc

	mu     sync.Mutex // a write is made
	socket socket     // nil: writes are ordinary
	owed   []byte     // what was written without an answer
	begun  begun      // nil if nothing is owed
	err    error      // of a write that seemed to be good
	since  time.Time  // a moment began,
	bytes  int        // and how many have been written in it
	timer  *time.Timer
	once   sync.Once
}

func wrap(c net.Conn) *conn {
	l := &conn{Conn: c}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

// late has writes be late from now on, by a socket, which is released at the end.
func (c *conn) late(s socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket != nil || c.ctx.Err() != nil {
		s.release()
		return
	}
	c.socket = s
	c.timer = time.AfterFunc(lookAfter, c.look)
}

// Write writes all of p, or an earlier write has failed.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.settle(); err != nil {
		return 0, err
	}
	if c.socket == nil {
		return c.Conn.Write(p)
	}
	if now := time.Now(); now.Sub(c.since) > moment {
		c.since, c.bytes = now, 0
	}
	if c.bytes += len(p); c.bytes > recently || len(p) > most || len(p) == 0 {
		return c.Conn.Write(p)
	}
	b, err := c.socket.begin(p)
	if err != nil {
		return c.Conn.Write(p)
	}
	c.begun, c.owed = b, append(c.owed[:0], p...)
	c.timer.Reset(lookAfter)
	return len(p), nil
}

// settle waits for what is owed. The caller has the lock.
func (c *conn) settle() error {
	if c.begun != nil {
		n, err := c.begun.Wait(c.ctx)
		c.taken(n, err)
	}
	return c.err
}

// taken is told what became of what is owed, and writes what was not taken.
func (c *conn) taken(n uint64, err error) {
	c.begun = nil
	switch {
	case err != nil && c.socket.again(err):
		n = 0
	case err != nil:
		c.err = &net.OpError{Op: "write", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
		return
	case n > uint64(len(c.owed)):
		c.err = errTaken
		return
	}
	if n < uint64(len(c.owed)) {
		_, c.err = c.Conn.Write(c.owed[n:])
	}
}

// look looks whether all was taken if no other write has come.
func (c *conn) look() {
	if !c.mu.TryLock() {
		return // one has
	}
	defer c.mu.Unlock()
	if c.begun == nil {
		return
	}
	if n, known, err := c.begun.Look(); known {
		c.taken(n, err)
	} else {
		c.timer.Reset(lookAfter)
	}
}

// CloseWrite writes what is owed, and ends what this end sends.
func (c *conn) CloseWrite() error {
	c.mu.Lock()
	err := c.settle()
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection. It does not wait: the last write may be lost, if CloseWrite
// was not called.
func (c *conn) Close() error {
	c.cancel(net.ErrClosed)
	err := c.Conn.Close()
	c.once.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.begun != nil {
			c.begun.Abandon()
			c.begun = nil
		}
		if c.socket != nil {
			c.timer.Stop()
			c.socket.release()
			c.socket = nil
		}
	})
	return err
}
