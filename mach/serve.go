package mach

import (
	"context"
	"errors"
	"fmt"
)

// A Source is what messages come from: a [Receiver] or a [PortSet].
type Source interface {
	Receive(ctx context.Context, m *Message) error
}

// A Handler answers requests.
//
// It takes the arguments from req and puts the results into reply, which has
// the id of the answer and the return code of success already. If it returns
// an error, reply is not sent but the error's [Code]. In any case, what is
// left in req is destroyed, after the answer has been sent, so that a handler
// only need take what it keeps and may answer with data that it did not take.
// req and reply are used again for the next request.
//
// To answer later, a handler calls [Defer] and returns [NoReply].
type Handler interface {
	Handle(ctx context.Context, req, reply *Message) error
}

// A HandlerFunc is a function as a [Handler].
type HandlerFunc func(ctx context.Context, req, reply *Message) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req, reply *Message) error {
	return f(ctx, req, reply)
}

// Routines is a [Handler] that chooses by the request's id. Requests with
// other ids fail with [MigBadID].
type Routines map[int32]HandlerFunc

// Handle calls the routine that req asks for.
func (r Routines) Handle(ctx context.Context, req, reply *Message) error {
	f, ok := r[req.ID()]
	if !ok {
		return MigBadID
	}
	return f(ctx, req, reply)
}

// NoReply is what a [Handler] returns that has called [Defer]. Without Defer,
// the client learns that its request was dropped ([MigServerDied]).
const NoReply = MigNoReply

// A Deferred is the duty to answer a request later.
type Deferred struct {
	port Port
	disp Type
	id   int32
}

// Defer takes the duty to answer req. The request's arguments must be taken
// before the handler returns.
func Defer(req *Message) *Deferred {
	d := &Deferred{id: req.ID() + 100}
	d.port, d.disp = req.TakeRemote()
	return d
}

// NewReply begins the answer, with the return code of success.
func (d *Deferred) NewReply() *Message {
	m := NewMessage(d.id)
	m.PutInt32(int32(KernSuccess))
	return m
}

// Send sends the answer m, which it uses up. It does not wait.
func (d *Deferred) Send(m *Message) error {
	m.SetDest(d.port, d.disp)
	d.port, d.disp = Null, 0
	return sendNow(m)
}

// Fail answers with the [Code] of err. It does not wait.
func (d *Deferred) Fail(err error) error {
	m := NewMessage(d.id)
	m.PutInt32(int32(Code(err)))
	return d.Send(m)
}

// sendNow sends an answer. A client cannot make the server wait: a send-once
// right has no queue to be full, and an answer to a send right of a client
// that does not receive is dropped.
func sendNow(m *Message) error { return deliver(m, machMsg) }

// deliver sends m by the trap mach_msg without waiting for room in a queue.
func deliver(m *Message, trap func(b []byte, option uint32, sendSize int, rcvName Port, timeout uint32) KernReturn) error {
	if err := m.Err(); err != nil {
		drop(m)
		return err
	}
	if p, _ := m.Remote(); !p.Valid() {
		drop(m) // nobody waits
		return nil
	}
	m.Bind(addressOf)
	b := m.Buffer(0)
	if code := trap(b, optSend|optSendTimeout, len(b), Null, 0); code != KernSuccess {
		return fmt.Errorf("answer %d: %w", m.ID(), failedSend(m, code))
	}
	Reset(m, 0)
	return nil
}

// Dispatch has h answer the one request req, with reply as room for the
// answer, and sends the answer. Afterwards both own nothing. It is what
// [Serve] does with each message.
func Dispatch(ctx context.Context, h Handler, req, reply *Message) error {
	port, _ := req.Remote()
	id := req.ID() + 100
	Reset(reply, id)
	reply.PutInt32(int32(KernSuccess))
	err := h.Handle(ctx, req, reply)
	if err == nil && reply.Err() != nil {
		err = reply.Err() // results that do not fit the protocol
	}
	if errors.Is(err, NoReply) || !port.Valid() {
		Destroy(req)
		Destroy(reply)
		return nil
	}
	if err != nil {
		Destroy(reply)
		Reset(reply, id)
		reply.PutInt32(int32(Code(err)))
	}
	reply.SetDest(req.TakeRemote())
	err = sendNow(reply)
	Destroy(req) // last, because reply may have data that is req's
	return err
}

// Serve answers the messages that arrive at src with h, one after the other,
// until ctx ends or src fails, and returns why. Several calls on one src work
// in parallel.
func Serve(ctx context.Context, src Source, h Handler) error {
	req, reply := NewMessage(0), NewMessage(0)
	for {
		if err := src.Receive(ctx, req); err != nil {
			return err
		}
		// That an answer cannot be sent is the client's loss, not the
		// server's: it has died, or its port has.
		_ = Dispatch(ctx, h, req, reply)
	}
}
