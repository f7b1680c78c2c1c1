package bridge

import (
	"context"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/wire"
)

// A Promise is a right of a peer's that is not asked for before somebody uses it: most who
// get the root of a mount want to look one file up, which the peer can do in one go with
// opening the root.
type Promise struct {
	// Get gets the right, of which there is no other: it has just been made for who asks.
	// It is called when a message has come that is not the first, or that First does not
	// answer, and again if it fails: who has sent the message is told why. It may wait.
	Get func(ctx context.Context) (mach.Port, error)
	// First looks at the first message, of which it is given a copy without memory, and returns
	// what is to answer it, or nil. Rights in the copy are the message's.
	First func(m *mach.Message) mach.Handler
	// Gone is called once when nothing of this is needed any more, and First's handler is done.
	Gone func()
}

// A promised is a promise that has been made. Its port is no proxy before the right is there.
type promised struct {
	bridge *Bridge
	Promise
	recv *mach.Receiver
	port mach.Port
	used sync.WaitGroup // calls of First

	// Of bridge.mu.
	context context.Context
	wake    context.CancelFunc // ends context, in which the next message is waited for
	wanted  chan struct{}      // closed when it has been tried to get the right; nil: nobody waits
	failed  bool               // then
}

// maxPromises bounds the promises that have not been kept.
const maxPromises = 256

// Promise makes a port that becomes the proxy of a right when that is needed, and returns the
// one right to it.
func (b *Bridge) Promise(what Promise) (mach.Port, error) {
	b.mu.Lock()
	many := len(b.promises)
	b.mu.Unlock()
	if many >= maxPromises {
		return mach.Null, proto.EAGAIN
	}
	recv, err := mach.NewReceiver()
	if err != nil {
		return mach.Null, err
	}
	name, err := recv.MakeSend()
	if err == nil {
		if err = mach.RequestNotification(name, mach.NotifyNoSenders, 1, name); err != nil {
			_ = mach.Deallocate(name)
		}
	}
	if err != nil {
		_ = recv.Close()
		return mach.Null, err
	}
	p := &promised{bridge: b, Promise: what, recv: recv, port: name}
	b.mu.Lock()
	b.promises[name] = p
	b.mu.Unlock()
	go p.serve()
	return name, nil
}

// next waits for a message. There is none, and no error, if somebody wants the right itself.
func (p *promised) next(m *mach.Message) (got bool, err error) {
	b := p.bridge
	b.mu.Lock()
	if p.wanted != nil {
		b.mu.Unlock()
		return false, nil
	}
	p.context, p.wake = context.WithCancel(b.ctx)
	ctx, cancel := p.context, p.wake
	b.mu.Unlock()
	defer cancel()
	switch err := p.recv.Receive(ctx, m); {
	case err == nil:
		return true, nil
	case ctx.Err() != nil && b.ctx.Err() == nil:
		return false, nil
	default:
		return false, err
	}
}

// serve receives until the promise has been kept, or nobody has a right to it any more.
func (p *promised) serve() {
	defer func() {
		p.used.Wait()
		if p.Gone != nil {
			p.Gone()
		}
	}()
	first := true
	for {
		m := mach.NewMessage(0)
		got, err := p.next(m)
		if err != nil {
			p.end()
			return
		}
		if got {
			// The kernel alone has a right of this kind.
			if _, by := m.Local(); by == mach.MoveSendOnce {
				none := m.ID() == int32(mach.NotifyNoSenders)
				mach.Destroy(m)
				if none {
					p.end()
					return
				}
				continue
			}
			if first && p.First != nil {
				first = false
				look := mach.NewMessage(0)
				if look.Load(machwire.Native, append([]byte(nil), m.Buffer(0)...), nil) == nil {
					if h := p.First(look); h != nil {
						p.used.Go(func() { p.bridge.dispatch(h, m) })
						continue
					}
				}
			}
		} else {
			m = nil
		}
		first = false
		if p.keep(m) {
			return
		}
	}
}

// keep gets the right, and makes the port its proxy, to which m then goes, if it is not nil.
// It reports whether that is so.
func (p *promised) keep(m *mach.Message) (kept bool) {
	b := p.bridge
	ctx, cancel := context.WithTimeout(b.ctx, reauthTime)
	defer cancel()
	right, err := p.Get(ctx)
	if err != nil {
		if m != nil {
			_ = mach.Dispatch(ctx, mach.HandlerFunc(func(context.Context, *mach.Message, *mach.Message) error { return err }), m, mach.NewMessage(0))
		}
		p.tried(false, false)
		return false
	}
	name := p.recv.Release()
	// What the poller has taken already comes first.
	var list []arrival
	for m != nil || p.recv.Receive(context.Background(), newMessage(&m)) == nil {
		if a, ok := b.arrivalOf(m); ok {
			list = append(list, a)
		}
		m = nil
	}
	if err := b.standIn(right, name, list); err != nil {
		// It has died, with the session.
		b.config.Log("a promised right: %v", err)
		_ = mach.Deallocate(right)
		for _, a := range list {
			b.destroy(a)
		}
		_ = mach.DestroyReceive(name) // and who has a right to it, a dead name
	}
	p.tried(true, true)
	return true
}

// dispatch has h answer a message, whose memory may be paged by anybody.
func (b *Bridge) dispatch(h mach.Handler, m *mach.Message) {
	if !hasMemory(m) {
		_ = mach.Dispatch(b.ctx, h, m, mach.NewMessage(0))
		return
	}
	body, list, err := b.takeApart(m)
	if err != nil {
		b.config.Log("message %d refused: %v", m.ID(), err)
		mach.Destroy(m)
		return
	}
	freeMemory(m)
	a := arrival{body: body, list: list}
	req, err := whole(a)
	if err != nil {
		b.answer(a, proto.Code(err))
		return
	}
	_ = mach.Dispatch(b.ctx, h, req, mach.NewMessage(0))
	body.Free()
}

func newMessage(m **mach.Message) *mach.Message {
	*m = mach.NewMessage(0)
	return *m
}

// tried tells those who want the right whether it is there. If over, the promise is no more:
// the port is a proxy, or dead.
func (p *promised) tried(kept, over bool) {
	b := p.bridge
	b.mu.Lock()
	defer b.mu.Unlock()
	if over {
		delete(b.promises, p.port)
	}
	p.failed = !kept
	if p.wanted != nil {
		close(p.wanted)
		p.wanted = nil
	}
}

// end gives the promise up.
func (p *promised) end() {
	p.tried(false, true)
	_ = p.recv.Close()
}

// promised reports whether there are promises among rights.
func (b *Bridge) promised(list []wire.MachRight) bool {
	if len(b.promises) == 0 {
		return false
	}
	for _, r := range list {
		if b.promises[r.Port] != nil {
			return true
		}
	}
	return false
}

// Settle sees that a right is none that has only been promised. It may wait. A right that is sent
// to a port whose messages Get waits for has to be settled before.
func (b *Bridge) Settle(p mach.Port) error {
	list := []wire.MachRight{{Port: p}}
	if b.settle(list, false); list[0].Port == mach.Dead && p != mach.Dead {
		return proto.EIEIO
	}
	return nil
}

// settle has promises among rights that are to be sent to another node be kept: what it gets
// is the right itself. One that cannot be is a dead name, and given up if they are owned. The
// lock is not held.
func (b *Bridge) settle(list []wire.MachRight, owned bool) {
	for i, r := range list {
		b.mu.Lock()
		p := b.promises[r.Port]
		if p == nil {
			b.mu.Unlock()
			continue
		}
		if p.wanted == nil {
			p.wanted = make(chan struct{})
			if p.wake != nil {
				p.wake()
			}
		}
		wanted := p.wanted
		b.mu.Unlock()
		<-wanted
		b.mu.Lock()
		failed := p.failed
		b.mu.Unlock()
		if failed {
			if owned {
				_ = mach.Deallocate(r.Port)
			}
			list[i].Port = mach.Dead
		}
	}
}

// Heard returns how many messages have come from other nodes.
func (b *Bridge) Heard() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats.In
}

// A tag is something that is known of a proxy.
type tag struct {
	value   any
	in, out uint64 // messages that had come and gone then
}

// Tag notes something about a proxy, which [Bridge.Tagged] returns as long as the proxy
// lives. It does nothing if p is none.
func (b *Bridge) Tag(p mach.Port, value any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if q := b.names[p]; q != nil && q.proxy {
		q.tag = &tag{value, b.stats.In, b.stats.Out}
	}
}

// Tagged returns what has been noted about a proxy, nil for nothing. quiet is that since
// then no message has come from any node, and none has gone to one.
func (b *Bridge) Tagged(p mach.Port) (value any, quiet bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.names[p]
	if q == nil || q.tag == nil {
		return nil, false
	}
	return q.tag.value, q.tag.in == b.stats.In && q.tag.out == b.stats.Out
}
