// Package portstest stands in for the kernel's ports in tests on the host:
// what servers export is called directly, and answers that come later arrive
// on a channel.
package portstest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"hurdlab/images/mach/hurdio"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// An Exporter remembers what is exported: [ports.Exporter].
type Exporter struct {
	// Fail makes Export fail.
	Fail error

	mu      sync.Mutex
	next    mach.Port
	objects map[mach.Port]object
}

type object struct {
	handler mach.Handler
	gone    func()
}

// Export remembers h under a new name.
func (x *Exporter) Export(h mach.Handler, gone func()) (mach.Port, error) {
	if x.Fail != nil {
		return mach.Null, x.Fail
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.objects == nil {
		x.objects = make(map[mach.Port]object)
	}
	x.next++
	p := 1000 + x.next
	x.objects[p] = object{h, gone}
	return p, nil
}

// Len returns the number of objects that are exported.
func (x *Exporter) Len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.objects)
}

// Drop drops the last right to an object.
func (x *Exporter) Drop(p mach.Port) {
	x.mu.Lock()
	o := x.objects[p]
	delete(x.objects, p)
	x.mu.Unlock()
	if o.gone != nil {
		o.gone()
	}
}

// Call has the object p answer the request with the id and the arguments that
// put appends. The reply's return code has been taken; a code other than
// success is the error.
func (x *Exporter) Call(t testing.TB, p mach.Port, id int32, put func(m *mach.Message)) (*mach.Message, error) {
	t.Helper()
	x.mu.Lock()
	o, ok := x.objects[p]
	x.mu.Unlock()
	if !ok {
		t.Fatalf("port %v is not exported", p)
	}
	return Call(o.handler, id, put)
}

// Call is [Exporter.Call] of a handler.
func Call(h mach.Handler, id int32, put func(m *mach.Message)) (*mach.Message, error) {
	req, reply := mach.NewMessage(id), mach.NewMessage(id+100)
	if put != nil {
		put(req)
	}
	got, err := Received(req)
	if err != nil {
		return nil, err
	}
	reply.PutInt32(0)
	if err := h.Handle(context.Background(), got, reply); err != nil {
		return nil, err
	}
	return opened(reply)
}

// Received makes of a message what its receiver gets.
func Received(m *mach.Message) (*mach.Message, error) {
	if err := m.Err(); err != nil {
		return nil, err
	}
	b := bytes.Clone(m.Buffer(0))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b))) // as the kernel does
	r, err := wire.Parse(m.Layout(), b, nil)
	if err != nil {
		return nil, err
	}
	for it, err := range r.Items() {
		if err != nil {
			return nil, err
		}
		switch it.Type {
		case mach.CopySend, mach.MakeSend:
			it.SetType(mach.MoveSend)
		case mach.MakeSendOnce:
			it.SetType(mach.MoveSendOnce)
		}
	}
	return r, nil
}

// opened receives a reply and takes the return code.
func opened(reply *mach.Message) (*mach.Message, error) {
	m, err := Received(reply)
	if err != nil {
		return nil, err
	}
	if code := mach.KernReturn(m.TakeInt32()); code != mach.KernSuccess {
		return nil, code
	}
	return m, m.Err()
}

// Later is the answers that come later.
type Later struct{ c chan answered }

type answered struct {
	m   *mach.Message
	err error
}

// NewLater returns a Later for few answers.
func NewLater() *Later { return &Later{make(chan answered, 64)} }

// Defer stands in for mach.Defer.
func (l *Later) Defer(req *mach.Message) hurdio.Answer { return &answer{l, req.ID() + 100} }

// Wait returns the next answer as [Call] does.
func (l *Later) Wait() (*mach.Message, error) {
	a := <-l.c
	return a.m, a.err
}

// Get returns the result of a call, waiting for it if it comes later.
func (l *Later) Get(m *mach.Message, err error) (*mach.Message, error) {
	if errors.Is(err, mach.NoReply) {
		return l.Wait()
	}
	return m, err
}

type answer struct {
	later *Later
	id    int32
}

func (a *answer) NewReply() *mach.Message {
	m := mach.NewMessage(a.id)
	m.PutInt32(0)
	return m
}

func (a *answer) Send(m *mach.Message) error {
	got, err := opened(m)
	a.later.c <- answered{got, err}
	return nil
}

func (a *answer) Fail(err error) error {
	a.later.c <- answered{nil, err}
	return nil
}
