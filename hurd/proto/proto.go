// Package proto is the protocols of the Hurd: typed stubs for clients and for
// servers, generated from one description of the interfaces (hurd.idl).
//
// # Clients
//
// Each routine is a function, with the port as its first argument:
//
//	data, err := proto.IORead(ctx, file, 0, 4096)
//
// The goroutine is parked until the answer comes. When ctx ends, the function
// returns its cause and tells the server, by interrupt_operation, to give up
// what it does. Errors are [*Error]; errors.Is finds in them the codes of this
// package, such as [ENOENT], and on the Hurd those of package syscall.
//
// Rights in results are the caller's. Rights in arguments are borrowed, but
// for those that a [Right] made by [Move] gives away.
//
// # Servers
//
// A server implements the interfaces it serves, such as [IOServer], and embeds
// [UnimplementedIO] for the routines that it does not. [Handler] makes a
// [mach.Handler] of it, which checks every item of a request and answers what
// does not fit the protocol with its errors.
//
// A method that returns nil owns the rights of the request, all of them; if it
// returns an error they are released for it. Strings and data are copies, its
// own. The rights that it returns are given away; of the data of io_read it can give the
// memory away ([IOReadGiver]).
//
// # Place in the house
//
// It imports package mach only. Everything that speaks with a server of the
// Hurd, or is one, imports it. On an OS other than the Hurd the functions fail
// with [mach.NotMach], unless the context has a [Caller]: tests connect
// clients and servers by it.
//
// The facts are from the reference document hurd-protocol.md, whose sections
// are named with each interface.
package proto

//go:generate go run ./gen

import (
	"context"
	"errors"
	"io/fs"

	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// An Error is what a routine ended with.
type Error struct {
	Routine string // as the protocol names it: io_read
	Err     error
}

func (e *Error) Error() string { return e.Routine + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// A Caller takes requests in place of the kernel.
type Caller interface {
	// Layout is that of the messages.
	Layout() wire.Layout
	// Call is [mach.Call], and Send [mach.Send] with [mach.CopySend].
	Call(ctx context.Context, to mach.Port, m *mach.Message) error
	Send(ctx context.Context, to mach.Port, m *mach.Message) error
	// Drop gives back a right of the kind t.
	Drop(p mach.Port, t mach.Type)
}

type callerKey struct{}

// WithCaller returns a context in which the functions of this package use c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

func newRequest(ctx context.Context, id int32) *mach.Message {
	if c := callerOf(ctx); c != nil {
		return wire.New(c.Layout(), id)
	}
	return mach.NewMessage(id)
}

// call makes the call. After an error, m owns nothing.
func call(ctx context.Context, to mach.Port, m *mach.Message, routine string) error {
	var err error
	if c := callerOf(ctx); c != nil {
		err = c.Call(ctx, to, m)
	} else {
		err = mach.Call(ctx, to, m)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		// The server need not go on. That it may not hear of it, because its
		// queue is full, costs only it.
		interrupt(ctx, to)
	}
	return failed(routine, err)
}

// failed is what a routine ended with.
func failed(routine string, err error) error {
	if k, ok := errors.AsType[mach.KernReturn](err); ok {
		err = k // without the number and the port, which say nothing here
	}
	return &Error{routine, err}
}

// interrupt sends interrupt_operation, without a port to answer to.
func interrupt(ctx context.Context, to mach.Port) {
	const interruptOperation = 33000
	m := newRequest(ctx, interruptOperation)
	if c := callerOf(ctx); c != nil {
		_ = c.Send(context.WithoutCancel(ctx), to, m)
		return
	}
	// An ended context: the send does not wait for room in the queue.
	_ = mach.Send(ctx, to, mach.CopySend, m)
}

// send sends a request that is not answered.
func send(ctx context.Context, to mach.Port, m *mach.Message, routine string) error {
	var err error
	if c := callerOf(ctx); c != nil {
		err = c.Send(ctx, to, m)
	} else {
		err = mach.Send(ctx, to, mach.CopySend, m)
	}
	if err != nil {
		return failed(routine, err)
	}
	return nil
}

// end ends a call whose results have been taken.
func end(ctx context.Context, m *mach.Message, own *taken, routine string) error {
	err := m.End()
	if callerOf(ctx) == nil {
		mach.Destroy(m)
	}
	if err != nil {
		own.release(ctx)
		return &Error{routine, mach.MigTypeError}
	}
	return nil
}

// Release gives back send rights. Null and dead ones are nothing.
func Release(ctx context.Context, ports ...mach.Port) {
	for _, p := range ports {
		release(ctx, p, mach.MoveSend)
	}
}

func release(ctx context.Context, p mach.Port, t mach.Type) {
	if !p.Valid() {
		return
	}
	if c := callerOf(ctx); c != nil {
		c.Drop(p, t)
		return
	}
	// A right that is gone already needs no release.
	if t == mach.MoveReceive {
		_ = mach.DestroyReceive(p)
	} else {
		_ = mach.Deallocate(p)
	}
}

// Code returns the code that tells err to a client: the [mach.KernReturn] or
// error number in it; or that which has the meaning of a general error, such
// as [fs.ErrNotExist] or the end of a context; or else [EIO].
func Code(err error) mach.KernReturn {
	if err == nil {
		return mach.KernSuccess
	}
	if k, ok := errors.AsType[mach.KernReturn](err); ok {
		return k
	}
	for _, c := range [...]struct {
		is   error
		code mach.KernReturn
	}{
		{fs.ErrNotExist, ENOENT}, {fs.ErrExist, EEXIST}, {fs.ErrPermission, EACCES}, {fs.ErrInvalid, EINVAL}, {fs.ErrClosed, EBADF},
		{context.Canceled, EINTR}, {context.DeadlineExceeded, ETIMEDOUT},
	} {
		if errors.Is(err, c.is) {
			// The error number, if there is one, says it more exactly.
			if k := mach.Code(err); k != EIO {
				return k
			}
			return c.code
		}
	}
	return mach.Code(err)
}
