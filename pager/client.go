package pager

import (
	"context"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/pager/coherence"
)

// A client is a kernel that uses the object by one of its ports.
type client struct {
	id      coherence.Client
	port    *objectPort
	control mach.Port // one send right, kept until the queue is empty after the last
	stop    func()    // of the watch

	supplied uint64

	// From it.
	copying    bool  // something that it said is being done aside: the memory of a message, ...
	in         []any // events that wait behind it
	terminated mach.PagerTerminate

	// To it. Who sets sending sends until out is empty.
	out     []any
	sending bool
	last    bool // nothing more will come
	gone    bool // it does not listen
}

// empty drops what was to be sent.
func (c *client) empty() {
	for _, m := range c.out {
		if s, ok := m.(MsgSupply); ok {
			c.port.o.pager.memory.Free(s.Data)
		}
	}
	c.out = nil
}

// send sends what is in a client's queue. If it is not a goroutine of the client's own,
// it makes one as soon as it would have to wait.
func (o *Object) send(c *client, own bool) {
	k := o.pager.config.Kernel
	for {
		o.mu.Lock()
		if len(c.out) == 0 {
			c.sending = false
			over := c.last
			o.mu.Unlock()
			if over {
				o.close(c)
			}
			return
		}
		m := c.out[0]
		if _, waits := m.(MsgLock); waits && !own {
			o.mu.Unlock()
			go o.send(c, true)
			return
		}
		c.out[0] = nil
		c.out = c.out[1:]
		o.mu.Unlock()
		wait, err := k.Send(c.control, m)
		if wait != nil {
			o.count.waited.Add(1)
			if !own {
				go func() {
					o.sent(c, o.wait(wait))
					o.send(c, true)
				}()
				return
			}
			err = o.wait(wait)
		}
		o.sent(c, err)
	}
}

// wait waits for room in a queue.
func (o *Object) wait(wait func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), o.pager.config.Answer, proto.ETIMEDOUT)
	defer cancel()
	return wait(ctx)
}

// sent takes the outcome of sending.
func (o *Object) sent(c *client, err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	if mach.Code(err) == proto.ETIMEDOUT {
		o.count.cut.Add(1)
		o.pager.config.Log("pager: a kernel is cut off: it takes no messages")
	}
	c.gone = true
	c.empty()
	o.leave(c)
	o.finish()
}

// close gives back what is left of a client.
func (o *Object) close(c *client) {
	k := o.pager.config.Kernel
	if c.stop != nil {
		c.stop()
	}
	k.Destroy(c.terminated.Control, c.terminated.Name)
	k.Release(c.control)
}
