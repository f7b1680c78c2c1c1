// Package ports makes ports of objects: each object that a server offers (an
// open file, a process, a socket) is a port with a handler of its own. It is
// to servers in Go what libports is to those in C.
//
// # Requests
//
// Each request runs in a goroutine of its own, so that one that waits holds up
// no other, and none is answered before it is done. Its context ends when a
// client sends interrupt_operation (which this package answers), or has gone:
// a handler that waits returns the context's error then, which is EINTR. The
// requests of a Serial port run one after the other in the order of arrival,
// as the messages of kernels to pagers must.
//
// # Life
//
// A port lives until the last send right to it is gone. Its object then learns
// that it is Gone, after the last of its requests. Every send right to a port
// is made by its Right method, which is what makes that sure.
//
// # Place in the house
//
// It stands on packages mach and proto; every server and translator stands on
// it. Servers take an [Exporter], so that their tests can run on the host,
// where package portstest stands in for the kernel.
//
// The facts are from the reference document hurd-protocol.md: sections 1.6
// (no-senders), 1.7 (sequence numbers), 5.12 (duties of servers), 8
// (interruption).
package ports

import (
	"context"
	"fmt"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Options of a port. The zero value is that of most.
type Options struct {
	// Gone, if not nil, is called once when the last send right is gone and no
	// request runs any more. It is not called after Close.
	Gone func()
	// Serial has requests run one after the other, in order.
	Serial bool
}

// An Exporter makes ports.
type Exporter interface {
	// Export makes a port whose requests h answers. It has no send rights
	// yet: it lives at least until the first has been made and is gone, or it
	// is closed.
	Export(h mach.Handler, o Options) (Port, error)
	// Lookup returns the handler of the port that a send right of this task
	// belongs to, if that port is one of this Exporter's.
	Lookup(p mach.Port) (mach.Handler, bool)
	// Release gives back send rights. Null and dead ones are nothing.
	Release(p ...mach.Port)
}

// A Port is a port of an [Exporter].
type Port interface {
	// Name is the name of the receive right, and of every send right that
	// this task has to the port.
	Name() mach.Port
	// Right makes a send right, the caller's. It fails when the port is gone.
	Right() (mach.Port, error)
	// Used reports whether anybody has a send right, or one is on its way in a
	// message. What is not used will soon be Gone.
	Used() bool
	// Close ends the port, whoever has rights to it. Requests that run are
	// interrupted.
	Close()
}

// DefaultMaxObjects bounds the objects of a Kernel, so that a program that
// opens files without end cannot take the machine's memory: each costs some 6
// KiB.
const DefaultMaxObjects = 8192

// maxRequests bounds the requests that run at one port at the same time. More
// are refused with EAGAIN: somebody floods the port.
const maxRequests = 512

// ExportRight makes the port of an object of which nothing but a right is needed. If it
// fails there is no port, and Gone is not called.
func ExportRight(x Exporter, h mach.Handler, o Options) (mach.Port, error) {
	p, err := x.Export(h, o)
	if err != nil {
		return mach.Null, err
	}
	right, err := p.Right()
	if err != nil {
		p.Close()
	}
	return right, err
}

// Kernel makes real ports. Each costs a goroutine that is parked most of the
// time. The zero value is ready for use.
type Kernel struct {
	// MaxObjects is the most ports at a time; 0 means DefaultMaxObjects.
	// Beyond, Export fails with ENFILE.
	MaxObjects int

	mu      sync.RWMutex
	objects map[mach.Port]*object
}

var _ Exporter = (*Kernel)(nil)

// Export makes a port: see [Exporter].
func (k *Kernel) Export(h mach.Handler, o Options) (Port, error) {
	r, err := mach.NewReceiver()
	if err != nil {
		return nil, fmt.Errorf("export an object: %w", err)
	}
	obj := &object{kernel: k, handler: h, opt: o, receiver: r, running: map[*request]struct{}{}}
	obj.idle.L = &obj.mu
	if err := k.add(obj); err != nil {
		r.Close()
		return nil, err
	}
	go obj.serve()
	return obj, nil
}

func (k *Kernel) add(o *object) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	limit := k.MaxObjects
	if limit == 0 {
		limit = DefaultMaxObjects
	}
	if len(k.objects) >= limit {
		return fmt.Errorf("export an object: %w: there are %d", proto.ENFILE, limit)
	}
	if k.objects == nil {
		k.objects = make(map[mach.Port]*object)
	}
	k.objects[o.receiver.Port()] = o
	return nil
}

func (k *Kernel) remove(o *object) {
	k.mu.Lock()
	delete(k.objects, o.receiver.Port())
	k.mu.Unlock()
}

// Lookup finds an object: see [Exporter].
func (k *Kernel) Lookup(p mach.Port) (mach.Handler, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	o := k.objects[p]
	if o == nil {
		return nil, false
	}
	return o.handler, true
}

// Len returns the number of ports.
func (k *Kernel) Len() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.objects)
}

// Release gives back send rights: see [Exporter].
func (*Kernel) Release(p ...mach.Port) { proto.Release(context.Background(), p...) }

// An object is a port with its handler.
type object struct {
	kernel   *Kernel
	handler  mach.Handler
	opt      Options
	receiver *mach.Receiver

	mu      sync.Mutex
	armed   bool // the kernel is asked to tell when there are no senders
	closed  bool
	running map[*request]struct{}
	idle    sync.Cond // running is empty
}

func (o *object) Name() mach.Port { return o.receiver.Port() }

func (o *object) Right() (mach.Port, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return mach.Null, proto.EIEIO
	}
	p, err := o.receiver.MakeSend()
	if err == nil && !o.armed {
		if err = o.watch(1); err != nil {
			_ = mach.Deallocate(p)
		}
		o.armed = err == nil
	}
	if err != nil {
		return mach.Null, fmt.Errorf("right to an object: %w", err)
	}
	return p, nil
}

func (o *object) Used() bool {
	st, err := mach.PortGetStatus(mach.TaskSelf(), o.Name())
	return err == nil && st.SendRights
}

// watch has the kernel tell when there are no senders, and made or more rights
// have been made.
func (o *object) watch(made uint32) error {
	return mach.RequestNotification(o.Name(), mach.NotifyNoSenders, made, o.Name())
}

// noSenders says whether the port has no senders and never will.
func (o *object) noSenders() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	// The notification may be older than a right that was made since: what
	// counts is what is now.
	st, err := mach.PortGetStatus(mach.TaskSelf(), o.Name())
	if err == nil && st.SendRights && o.watch(st.MakeSendCount) == nil {
		return false
	}
	o.closed = true
	return true
}

func (o *object) Close() {
	o.mu.Lock()
	was := o.closed
	o.closed = true
	o.opt.Gone = nil
	o.mu.Unlock()
	if !was {
		o.end()
	}
}

// end takes the port away and interrupts what runs. closed is set.
func (o *object) end() {
	o.kernel.remove(o)
	o.interrupt(nil)
	_ = o.receiver.Close() // it is ours, and open
}

func (o *object) serve() {
	var req *mach.Message
	for {
		if req == nil {
			req = newMessage()
		}
		if err := o.receiver.Receive(context.Background(), req); err != nil {
			return // closed
		}
		// The kernel sends notifications to send-once rights, of which only
		// it has one; a client that forges them has a send right.
		if _, by := req.Local(); mach.Notify(req.ID()) == mach.NotifyNoSenders && by == mach.MoveSendOnce {
			mach.Destroy(req)
			if o.noSenders() {
				break
			}
			continue
		}
		if req.ID() == interruptOperation {
			o.answerInterrupt(req)
			continue
		}
		if o.opt.Serial {
			o.run(&request{}, req)
			continue
		}
		r := &request{seqno: req.Seqno()}
		if !o.begin(r) {
			reply := newMessage()
			_ = mach.Dispatch(context.Background(), refuse{}, req, reply)
			messages.Put(reply)
			continue
		}
		go func(req *mach.Message) {
			o.run(r, req)
			messages.Put(req)
			o.done(r)
		}(req)
		req = nil
	}
	o.end()
	o.mu.Lock()
	for len(o.running) > 0 {
		o.idle.Wait()
	}
	gone := o.opt.Gone
	o.opt.Gone = nil
	o.mu.Unlock()
	if gone != nil {
		gone()
	}
}

func (o *object) run(r *request, req *mach.Message) {
	reply := newMessage()
	// That an answer cannot be sent is the client's loss.
	_ = mach.Dispatch(r, o.handler, req, reply)
	messages.Put(reply)
}

// messages are for requests and answers; between two uses they own nothing.
var messages = sync.Pool{New: func() any { return mach.NewMessage(0) }}

func newMessage() *mach.Message { return messages.Get().(*mach.Message) }

// refuse is what answers requests that are too many.
type refuse struct{}

func (refuse) Handle(context.Context, *mach.Message, *mach.Message) error { return proto.EAGAIN }

func (o *object) begin(r *request) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.running) >= maxRequests {
		return false
	}
	o.running[r] = struct{}{}
	return true
}

func (o *object) done(r *request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.running, r)
	if len(o.running) == 0 {
		o.idle.Broadcast()
	}
}

const interruptOperation = 33000

func (o *object) answerInterrupt(req *mach.Message) {
	seqno := req.Seqno()
	reply := newMessage()
	_ = mach.Dispatch(context.Background(), mach.HandlerFunc(func(_ context.Context, req, _ *mach.Message) error {
		if req.End() != nil {
			return mach.MigBadArguments
		}
		o.interrupt(&seqno)
		return nil
	}), req, reply)
	messages.Put(reply)
}

// interrupt ends the contexts of the requests that arrived before the message
// with the sequence number, or of all.
func (o *object) interrupt(before *uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for r := range o.running {
		if before == nil || int32(r.seqno-*before) < 0 {
			r.interrupt()
		}
	}
}
