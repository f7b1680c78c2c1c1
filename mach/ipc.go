package mach

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
)

// Options of mach_msg.
const (
	optSend        = 0x1
	optRcv         = 0x2
	optSendTimeout = 0x10
	optRcvTimeout  = 0x100
	optRcvLarge    = 0x800 // leave a message that is too large in its queue
)

// idSendOnce is the id of the notification that a send-once right was
// destroyed unused, which arrives in place of a reply.
const idSendOnce = 71

// replyRoom is the buffer that receives a reply at first. Most replies fit;
// for larger ones the kernel says how much they need.
const replyRoom = 1024

// fullQueueWait is how long a send to a full queue waits, in milliseconds,
// before it looks at its context.
const fullQueueWait = 100

// load makes what was received into b the message m. code is what the trap
// ended with.
func load(m *Message, b []byte, code KernReturn) error {
	switch code.plain() {
	case KernSuccess:
	case RcvBodyError, RcvHeaderError:
		// Delivered, but incomplete: for the caller, not received.
		if m.Load(native(), b, memory{}) == nil {
			Destroy(m)
		}
		return code
	default:
		return code
	}
	return m.Load(native(), b, memory{})
}

// Send sends m to port with the right disp: [CopySend], [MoveSend] or
// [MoveSendOnce], or from a receive right of this task [MakeSend] or
// [MakeSendOnce]. A right to reply may have been set with m's SetReply. Send
// uses up m; with a Move disposition it consumes port, too, whether it
// succeeds or not.
//
// If the port's queue is full, Send waits until there is room or ctx ends.
// That is the only wait: Send does not wait for a receiver.
func Send(ctx context.Context, port Port, disp Type, m *Message) error {
	m.SetDest(port, disp)
	if _, err := send(ctx, m); err != nil {
		return fmt.Errorf("send message %d to %v: %w", m.ID(), port, err)
	}
	return nil
}

// send sends m, whose header is complete. Afterwards m owns nothing. made
// tells, of a message that was not sent, whether rights were made for it.
func send(ctx context.Context, m *Message) (made bool, err error) {
	if err := m.Err(); err != nil {
		drop(m)
		return false, err
	}
	m.Bind(addressOf)
	b := m.Buffer(0)
	code := machMsg(b, optSend|optSendTimeout, len(b), Null, 0)
	if code.plain() == SendTimedOut {
		// The kernel has written the message back with its rights made: as
		// it is now it can be sent again, or destroyed.
		made = true
		if code, err = sendFull(ctx, m, b); err != nil {
			drop(m)
			return made, err
		}
	}
	if code == KernSuccess {
		Reset(m, m.ID())
		return false, nil
	}
	return made || code.plain() != SendInvalidDest, failedSend(m, code)
}

// A gate lets one sender at a time wait for a port whose queue is full. The
// kernel's wait takes a thread; the others wait at the gate as goroutines.
type gate struct {
	turn  chan struct{}
	users int
}

// gates has the gates of ports whose queues are full. Like the ports' names,
// they are the task's.
var gates = struct {
	mu sync.Mutex
	m  map[Port]*gate
}{m: map[Port]*gate{}}

// sendFull sends m, whose bytes are b, to a port whose queue is full. The
// error is that ctx has ended.
func sendFull(ctx context.Context, m *Message, b []byte) (KernReturn, error) {
	port, _ := m.Remote()
	gates.mu.Lock()
	g := gates.m[port]
	if g == nil {
		g = &gate{turn: make(chan struct{}, 1)}
		gates.m[port] = g
	}
	g.users++
	gates.mu.Unlock()
	defer func() {
		gates.mu.Lock()
		defer gates.mu.Unlock()
		if g.users--; g.users == 0 {
			delete(gates.m, port)
		}
	}()

	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	for ctx.Err() == nil {
		code := machMsgBlock(b, optSend|optSendTimeout, len(b), Null, fullQueueWait)
		if code.plain() != SendTimedOut {
			return code, nil
		}
	}
	return 0, context.Cause(ctx)
}

// failedSend releases what the kernel left of m and returns the error.
func failedSend(m *Message, code KernReturn) error {
	switch code.plain() {
	case SendInvalidRight, SendInvalidMemory, SendInvalidType, SendMsgTooSmall:
		// The kernel destroyed what it had taken, and does not tell how far
		// it came. Releasing names now could hit rights that are not the
		// message's.
		Reset(m, m.ID())
	default:
		drop(m)
	}
	return code.Err()
}

// drop destroys m but keeps its id, for errors.
func drop(m *Message) {
	id := m.ID()
	Destroy(m)
	Reset(m, id)
}

// Idle reply ports: receive rights for one answer at a time. Those of direct
// are received from by a trap; those of parked are in the poller's port set.
//
// They are the task's, like its name space, so they are package variables.
// Not a sync.Pool: the garbage collector empties those, and would leak the
// rights.
var (
	direct freeList[Port]
	parked freeList[*Receiver]
)

// maxIdle bounds each list: a task that has once made hundreds of calls at a time
// does not keep a port for each of them.
const maxIdle = 32

type freeList[T any] struct {
	mu   sync.Mutex
	free []T
}

func (l *freeList[T]) get() (x T, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		x, l.free = l.free[n-1], l.free[:n-1]
		return x, true
	}
	return x, false
}

// put keeps x, unless there are enough.
func (l *freeList[T]) put(x T) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) >= maxIdle {
		return false
	}
	l.free = append(l.free, x)
	return true
}

// directPort returns a reply port that is received from by a trap, for idleDirect.
func directPort() (Port, error) {
	if port, ok := direct.get(); ok {
		return port, nil
	}
	port, code := replyPort()
	if code != KernSuccess {
		return Null, fmt.Errorf("reply port: %w", code)
	}
	return port, nil
}

func idleDirect(port Port) {
	if !direct.put(port) {
		_ = DestroyReceive(port)
	}
}

func idleParked(r *Receiver) {
	if !parked.put(r) {
		_ = r.Close()
	}
}

// Call sends the request m to port, a send right, and waits for the reply,
// which it leaves in m with the return code taken. If the return code is not
// success, Call returns it as a [KernReturn] in its error. After an error, m
// owns nothing; otherwise it is the caller's to [Destroy].
//
// The goroutine is parked meanwhile. When ctx ends, Call returns its cause at
// once; what the server does with the request is not known then, and its
// reply, should it come, is destroyed.
func Call(ctx context.Context, port Port, m *Message) error {
	id := m.ID()
	if err := call(ctx, port, m); err != nil {
		return &CallError{id, port, err}
	}
	return nil
}

// A CallError says which call failed. It is a type of its own because errors
// are answers like others, which programs get by the thousand: to make its
// text costs as much as the call.
type CallError struct {
	ID   int32 // of the request
	Port Port
	Err  error
}

func (e *CallError) Error() string { return fmt.Sprintf("call %d of %v: %v", e.ID, e.Port, e.Err) }

// Unwrap returns what is wrong.
func (e *CallError) Unwrap() error { return e.Err }

func call(ctx context.Context, port Port, m *Message) error {
	id := m.ID()
	if ctx.Err() != nil {
		drop(m)
		return context.Cause(ctx)
	}
	r, ok := parked.get()
	if !ok {
		var err error
		if r, err = NewReceiver(); err != nil {
			drop(m)
			return fmt.Errorf("reply port: %w", err)
		}
	}
	m.SetReply(r.port, MakeSendOnce)
	m.SetDest(port, CopySend)
	if made, err := send(ctx, m); err != nil {
		if made {
			// The notification that the send-once right was not used is on
			// its way to the port.
			r.Close()
		} else {
			idleParked(r)
		}
		return err
	}
	if err := r.Receive(ctx, m); err != nil {
		r.Close()
		return err
	}
	// The one send-once right is used up: nothing more comes to the port.
	idleParked(r)
	return checkReply(m, id)
}

// A Begun call has been sent, and its answer is looked at later: the caller does not run when it
// comes. It ends with Wait, Abandon, or a Look that finds the answer.
type Begun struct {
	reply, port Port
	id          int32
}

// Begin sends the request m to port, as [Call] does, and does not wait for the reply. After an
// error nothing was sent. m owns nothing afterwards.
func Begin(ctx context.Context, port Port, m *Message) (*Begun, error) {
	id := m.ID()
	reply, err := directPort()
	if err != nil {
		drop(m)
		return nil, &CallError{id, port, err}
	}
	m.SetReply(reply, MakeSendOnce)
	m.SetDest(port, CopySend)
	if made, err := send(ctx, m); err != nil {
		if made {
			_ = DestroyReceive(reply)
		} else {
			idleDirect(reply)
		}
		return nil, &CallError{id, port, err}
	}
	return &Begun{reply, port, id}, nil
}

// Look leaves the reply in m, as Call does, if it has come.
func (c *Begun) Look(m *Message) (come bool, err error) {
	b := make([]byte, replyRoom)
	for {
		code := machMsg(b, optRcv|optRcvTimeout|optRcvLarge, 0, c.reply, 0)
		switch code.plain() {
		case RcvTimedOut:
			return false, nil
		case RcvTooLarge: // its size came
			b = make([]byte, binary.LittleEndian.Uint32(b[4:]))
			continue
		case KernSuccess, RcvBodyError, RcvHeaderError:
			idleDirect(c.reply)
			if err = load(m, b, code); err == nil {
				err = checkReply(m, c.id)
			}
		default:
			_ = DestroyReceive(c.reply)
			err = code
		}
		if err != nil {
			err = &CallError{c.id, c.port, err}
		}
		return true, err
	}
}

// Wait waits for the reply, parked, and leaves it in m, as Call does.
func (c *Begun) Wait(ctx context.Context, m *Message) error {
	if come, err := c.Look(m); come {
		return err
	}
	if err := awaitReply(ctx, c.reply, m, c.id); err != nil {
		return &CallError{c.id, c.port, err}
	}
	return nil
}

// Abandon destroys the reply, should it come.
func (c *Begun) Abandon() { _ = DestroyReceive(c.reply) }

// checkReply takes the return code from the reply m to the request id.
func checkReply(m *Message, id int32) error {
	if got := m.ID(); got != id+100 {
		Destroy(m)
		if got == idSendOnce {
			return MigServerDied
		}
		return MigReplyMismatch
	}
	code := KernReturn(m.TakeInt32())
	if m.Err() != nil {
		Destroy(m)
		return MigTypeError
	}
	if code != KernSuccess {
		Destroy(m)
		return code
	}
	return nil
}

// CallKernel is [Call] for ports of which the kernel is the receiver, and
// routines that it answers at once: a trap, without a switch of goroutines.
// Should the answer not be there at once, because the port is another task's
// after all, CallKernel waits for it parked.
func CallKernel(port Port, m *Message) error {
	id := m.ID()
	if err := callKernel(context.Background(), port, m, false); err != nil {
		return &CallError{id, port, err}
	}
	return nil
}

// CallLikeKernel is [CallKernel] for a port that is likely to be the kernel's, but may be anybody's:
// when ctx ends, it returns its cause at once, as [Call] does.
func CallLikeKernel(ctx context.Context, port Port, m *Message) error {
	id := m.ID()
	if err := callKernel(ctx, port, m, false); err != nil {
		return &CallError{id, port, err}
	}
	return nil
}

// callKernel is CallKernel. With block, the kernel itself may wait in the
// routine, where nothing can park: a thread waits with it. ctx is for ports that are not the
// kernel's; one that can end has a full queue be an error.
func callKernel(ctx context.Context, port Port, m *Message, block bool) error {
	id := m.ID()
	if err := m.Err(); err != nil {
		drop(m)
		return err
	}
	reply, err := directPort()
	if err != nil {
		drop(m)
		return err
	}
	m.SetReply(reply, MakeSendOnce)
	m.SetDest(port, CopySend)
	m.Bind(addressOf)
	b := m.Buffer(0)
	size := len(b)
	b = b[:cap(b)] // enough for most; else the kernel says
	trap, option := machMsg, uint32(optSend|optSendTimeout|optRcv|optRcvTimeout|optRcvLarge)
	if block {
		trap, option = machMsgBlock, optSend|optRcv|optRcvLarge
	}
	made := false // the right to reply, though the request was not sent
	for {
		code := trap(b, option, size, reply, 0)
		switch code.plain() {
		case KernSuccess, RcvBodyError, RcvHeaderError:
			idleDirect(reply)
			if err := load(m, b, code); err != nil {
				return err
			}
			return checkReply(m, id)
		case SendTimedOut: // the queue is full: not the kernel's port
			if ctx.Done() != nil {
				DestroyReceive(reply)
				return failedSend(m, code)
			}
			made = true
			trap, option = machMsgBlock, optSend|optRcv|optRcvLarge
		case RcvTooLarge: // and the reply waits; its size came
			b = make([]byte, binary.LittleEndian.Uint32(b[4:]))
			option &^= optSend
		case RcvTimedOut: // not the kernel's port
			Reset(m, id)
			return awaitReply(ctx, reply, m, id)
		default:
			if code.plain() == SendInvalidDest && !made {
				idleDirect(reply)
			} else {
				DestroyReceive(reply)
			}
			if code&0x4000 != 0 { // sent, but not answered
				Reset(m, id)
				return code
			}
			return failedSend(m, code)
		}
	}
}

// awaitReply waits parked for the reply on a port that was outside the
// poller, and goes back there.
func awaitReply(ctx context.Context, reply Port, m *Message, id int32) error {
	r, err := AdoptReceive(reply)
	if err != nil {
		DestroyReceive(reply)
		return err
	}
	if err := r.Receive(ctx, m); err != nil {
		r.Close()
		return err
	}
	r.poll.close()
	idleDirect(reply)
	return checkReply(m, id)
}
