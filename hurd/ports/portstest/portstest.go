// Package portstest stands in for the kernel in tests of servers on the host:
// what they export is called directly, in one name space for clients and
// servers, and rights are counted.
//
//	k := portstest.New(t, wire.Layout32)
//	server := New(k)                 // takes a ports.Exporter
//	ctx := k.Context(t.Context())    // the stubs of package proto go through k
//	data, err := proto.IORead(ctx, port, 0, 10)
package portstest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/internal/reference"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A Kernel has ports: [ports.Exporter] and [proto.Caller].
type Kernel struct {
	// Fail makes Export fail.
	Fail error
	// Gone, if not nil, is called when a port has gone with what tells its
	// object so, which Gone may do later: in a kernel that is a message.
	Gone func(tell func())

	t      testing.TB
	layout wire.Layout

	mu   sync.Mutex
	last mach.Port
	all  map[mach.Port]*port
}

var (
	_ ports.Exporter = (*Kernel)(nil)
	_ proto.Task     = (*Kernel)(nil)
)

type port struct {
	kernel  *Kernel
	name    mach.Port
	handler mach.Handler
	opt     ports.Options
	rights  int  // send rights
	made    bool // there has been one
	held    bool // the receive right is somebody's who gives it back
	serial  sync.Mutex
	running int    // requests
	gone    func() // to be called when none runs
}

// New returns a kernel with messages of the given layout.
func New(t testing.TB, l wire.Layout) *Kernel {
	return &Kernel{t: t, layout: l, last: 100, all: map[mach.Port]*port{}}
}

// Context returns a context in which calls go through k.
func (k *Kernel) Context(ctx context.Context) context.Context { return proto.WithCaller(ctx, k) }

// Export makes a port.
func (k *Kernel) Export(h mach.Handler, o ports.Options) (ports.Port, error) {
	if k.Fail != nil {
		return nil, k.Fail
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last++
	p := &port{kernel: k, name: k.last, handler: h, opt: o}
	k.all[p.name] = p
	return p, nil
}

// NewPort makes a port with a send right for a client, such as a rendezvous
// port, a task or a message port. Messages to it go to h; if h is nil they
// fail with MIG_BAD_ID.
func (k *Kernel) NewPort(h mach.Handler) mach.Port {
	if h == nil {
		h = mach.Routines{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last++
	k.all[k.last] = &port{kernel: k, name: k.last, handler: h, rights: 1, made: true}
	return k.last
}

// Allocate makes a port without a send right, whose receive right is a
// server's.
func (k *Kernel) Allocate() mach.Port {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last++
	k.all[k.last] = &port{kernel: k, name: k.last, handler: mach.Routines{}, held: true}
	return k.last
}

// Lookup finds the handler of a port.
func (k *Kernel) Lookup(name mach.Port) (mach.Handler, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.all[name]
	if p == nil {
		return nil, false
	}
	return p.handler, true
}

// Rights returns the number of send rights to a port, -1 if it is gone.
func (k *Kernel) Rights(name mach.Port) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.all[name]; p != nil {
		return p.rights
	}
	return -1
}

// Ports lists the ports that are there, in the order they were made.
func (k *Kernel) Ports() []mach.Port {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.all))
}

// Kill ends a port whoever has rights to it, as the death of its receiver
// does.
func (k *Kernel) Kill(name mach.Port) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, name)
}

func (p *port) Name() mach.Port { return p.name }

func (p *port) Right() (mach.Port, error) {
	p.kernel.mu.Lock()
	defer p.kernel.mu.Unlock()
	if p.kernel.all[p.name] == nil {
		return mach.Null, proto.EIEIO
	}
	p.rights++
	p.made = true
	return p.name, nil
}

func (p *port) Used() bool {
	p.kernel.mu.Lock()
	defer p.kernel.mu.Unlock()
	return p.kernel.all[p.name] != nil && p.rights > 0
}

func (p *port) Close() { p.kernel.Kill(p.name) }

// AddRight makes another send right to a port, as mach_port_mod_refs does.
func (k *Kernel) AddRight(name mach.Port) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.all[name]; p != nil {
		p.rights++
	}
}

// Release gives back send rights.
func (k *Kernel) Release(list ...mach.Port) {
	for _, p := range list {
		if p.Valid() {
			k.Drop(p, mach.MoveSend)
		}
	}
}

// Drop gives back a right of the kind t.
func (k *Kernel) Drop(name mach.Port, t mach.Type) {
	k.mu.Lock()
	p := k.all[name]
	var gone func()
	switch {
	case p == nil: // dead
	case t == mach.MoveReceive:
		delete(k.all, name)
	case t == mach.MoveSend:
		if p.rights--; p.rights < 0 {
			k.t.Errorf("portstest: right to %v given back that is not there", name)
		}
		if p.rights == 0 && p.made && !p.held {
			delete(k.all, name)
			if gone = p.opt.Gone; p.running > 0 {
				p.gone, gone = gone, nil // as the real one, after its requests
			}
		}
	}
	k.mu.Unlock()
	k.tell(gone)
}

// tell calls what tells an object that its port is gone.
func (k *Kernel) tell(gone func()) {
	switch {
	case gone == nil:
	case k.Gone != nil:
		k.Gone(gone)
	default:
		gone()
	}
}

// Layout is that of messages.
func (k *Kernel) Layout() wire.Layout { return k.layout }

// cross makes of a message what its receiver gets.
func (k *Kernel) cross(m *mach.Message) (*mach.Message, wire.Memory, error) {
	if err := m.Err(); err != nil {
		return nil, nil, err
	}
	mem := reference.Memory{}
	m.Bind(mem.Bind)
	m.SetDest(1, mach.CopySend)
	got, err := wire.Parse(k.layout, bytes.Clone(m.Buffer(0)), mem)
	if err != nil {
		return nil, nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for it, err := range got.Items() {
		if err != nil {
			return nil, nil, err
		}
		if !it.Type.IsRight() {
			continue
		}
		b, err := it.Bytes()
		if err != nil {
			return nil, nil, err
		}
		made := it.Type == mach.CopySend || it.Type == mach.MakeSend
		for i := range it.Ports() {
			name := it.Port(b, i)
			p := k.all[name]
			switch {
			case !name.Valid():
			case p == nil:
				it.SetPort(b, i, mach.Dead)
			case made:
				p.rights++
				p.made = true
			}
		}
		switch {
		case made:
			it.SetType(mach.MoveSend)
		case it.Type == mach.MakeSendOnce:
			it.SetType(mach.MoveSendOnce)
		}
	}
	return got, mem, nil
}

// destroy releases what is left in a message.
func (k *Kernel) destroy(m *mach.Message) {
	for it, err := range m.Items() {
		if err != nil {
			return
		}
		if it.Type.Moves() {
			if b, err := it.Bytes(); err == nil {
				for i := range it.Ports() {
					if p := it.Port(b, i); p.Valid() {
						k.Drop(p, it.Type)
					}
				}
			}
		}
	}
}

// Call carries out a call, in the goroutine of the caller.
func (k *Kernel) Call(ctx context.Context, to mach.Port, m *mach.Message) error {
	id := m.ID()
	reply, err := k.handle(ctx, to, m)
	if err != nil {
		return err
	}
	got, mem, err := k.cross(reply)
	if err == nil {
		err = m.Load(k.layout, got.Buffer(0), mem)
	}
	if err != nil {
		return fmt.Errorf("answer to %d: %w", id, err)
	}
	m.TakeInt32()
	return m.Err()
}

// Send carries a message that is not answered.
func (k *Kernel) Send(ctx context.Context, to mach.Port, m *mach.Message) error {
	if m.ID() == 33000 { // interrupt_operation: here the context ends by itself
		return nil
	}
	switch m.ID() {
	case 21014, 24011: // io_reauthenticate, proc_reauthenticate
		// The receiver waits for what the sender does next.
		p, req, err := k.take(to, m)
		if err == nil {
			go k.answer(ctx, p, req)
		}
		return err
	}
	_, err := k.handle(ctx, to, m)
	if err != nil && k.Rights(to) < 0 {
		return err
	}
	return nil
}

func (k *Kernel) handle(ctx context.Context, to mach.Port, m *mach.Message) (*mach.Message, error) {
	p, req, err := k.take(to, m)
	if err != nil {
		return nil, err
	}
	return k.answer(ctx, p, req)
}

// take takes a message to its receiver.
func (k *Kernel) take(to mach.Port, m *mach.Message) (*port, *mach.Message, error) {
	k.mu.Lock()
	p := k.all[to]
	if p != nil {
		p.running++
	}
	k.mu.Unlock()
	if p == nil {
		k.destroy(m)
		return nil, nil, mach.SendInvalidDest
	}
	req, _, err := k.cross(m)
	if err != nil {
		k.done(p)
	}
	return p, req, err
}

// done ends a request.
func (k *Kernel) done(p *port) {
	k.mu.Lock()
	p.running--
	var gone func()
	if p.running == 0 {
		gone, p.gone = p.gone, nil
	}
	k.mu.Unlock()
	k.tell(gone)
}

// answer has the receiver handle a request.
func (k *Kernel) answer(ctx context.Context, p *port, req *mach.Message) (*mach.Message, error) {
	defer k.done(p)
	if p.opt.Serial {
		p.serial.Lock()
		defer p.serial.Unlock()
	}
	reply := wire.New(k.layout, req.ID()+100)
	reply.PutInt32(0)
	err := p.handler.Handle(ctx, req, reply)
	if err == nil {
		err = reply.Err()
	}
	k.destroy(req)
	if err != nil {
		k.destroy(reply)
		return nil, proto.Code(err)
	}
	return reply, nil
}
