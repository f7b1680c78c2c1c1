package pager

import (
	"context"
	"errors"

	"hurdlab/mach"
	"hurdlab/mach/vmem"
)

// A Kernel is how kernels are spoken to. [Mach] is the real way.
type Kernel interface {
	// Send sends a message to a control port: one of the types of this package whose
	// names begin with Msg. It does not wait for room in a queue: if there is none,
	// wait is not nil and does. A [MsgLock] can take as long as that kernel
	// likes. The memory of a [MsgSupply] is gone with it, sent or not.
	Send(control mach.Port, m any) (wait func(context.Context) error, err error)
	// Copy returns a copy of n bytes at addr, memory that a message brought and that may be
	// anybody's, and gives that memory back. to makes room for the copy.
	Copy(addr uint64, n int, to Memory) ([]byte, error)
	// Free gives back such memory.
	Free(addr uint64, n int)
	// Release gives back send rights, Destroy receive rights.
	Release(p ...mach.Port)
	Destroy(p ...mach.Port)
}

// Messages to kernels: what the routines memory_object_... of the same names say.
type (
	MsgReady struct {
		MayCache bool
		Copy     mach.CopyStrategy
	}
	MsgChange struct {
		MayCache bool
		Copy     mach.CopyStrategy
	}
	MsgSupply struct {
		Offset   int64
		Data     []byte // pages, in memory of their own
		Forbid   mach.Prot
		Precious bool
		Reply    mach.Port // a receive right of this task, or null
	}
	MsgLock struct {
		Offset, Length int64
		Return         mach.Return
		Flush          bool
		Forbid         mach.Prot
		Reply          mach.Port // a receive right of this task, or null
	}
	MsgError struct {
		Offset, Length int64
		Reason         mach.KernReturn
	}
	MsgDestroy struct{ Reason mach.KernReturn }
)

// Mach speaks to kernels by their control ports, which may be netmsg's proxies of
// those of other nodes.
type Mach struct{}

var _ Kernel = Mach{}

// Send sends a message: see [Kernel].
func (Mach) Send(control mach.Port, msg any) (wait func(context.Context) error, err error) {
	m := mach.NewMessage(0)
	var data []byte
	blocks := false
	switch x := msg.(type) {
	case MsgReady:
		mach.Reset(m, 2094)
		m.PutBool(x.MayCache)
		m.PutInt32(int32(x.Copy))
	case MsgChange:
		mach.Reset(m, 2095)
		m.PutBool(x.MayCache)
		m.PutInt32(int32(x.Copy))
		m.PutRight(mach.Null, mach.MakeSendOnce)
	case MsgSupply:
		data = x.Data
		mach.Reset(m, 2093)
		m.PutWord(uint64(x.Offset))
		m.PutMemory(mach.Byte, uint64(vmem.Addr(data)), len(data), true)
		m.PutInt32(int32(x.Forbid))
		m.PutBool(x.Precious)
		putReply(m, x.Reply)
	case MsgLock:
		blocks = true
		mach.Reset(m, 2044)
		m.PutWord(uint64(x.Offset))
		m.PutWord(uint64(x.Length))
		m.PutInt32(int32(x.Return))
		m.PutBool(x.Flush)
		m.PutInt32(int32(x.Forbid))
		putReply(m, x.Reply)
	case MsgError:
		mach.Reset(m, 2090)
		m.PutWord(uint64(x.Offset))
		m.PutWord(uint64(x.Length))
		m.PutInt32(int32(x.Reason))
	case MsgDestroy:
		mach.Reset(m, 2092)
		m.PutInt32(int32(x.Reason))
	}
	m.SetDest(control, mach.CopySend)
	full, err := mach.TrySend(m, blocks)
	switch {
	case full:
		return func(ctx context.Context) error { return mach.Resend(ctx, m) }, nil
	case errors.Is(err, mach.SendInvalidDest) && data != nil:
		vmem.Memory{}.Free(data)
	}
	return nil, err
}

// putReply puts in where an answer is to come: a send right, not one to send once, so that
// it goes the way of all that the kernel says about the object, and overtakes none of it.
func putReply(m *mach.Message, p mach.Port) {
	if p.Valid() {
		m.PutRight(p, mach.MakeSend)
	} else {
		m.PutRight(mach.Null, mach.MakeSendOnce)
	}
}

// Copy copies a message's memory.
func (k Mach) Copy(addr uint64, n int, to Memory) ([]byte, error) {
	defer k.Free(addr, n)
	b, err := mach.CopyMemory(uintptr(addr), n)
	if err != nil {
		return nil, err
	}
	c, err := to.Alloc(n)
	if err == nil {
		copy(c, b)
	}
	return c, err
}

// Free frees a message's memory.
func (Mach) Free(addr uint64, n int) {
	if n > 0 {
		_ = mach.VMDeallocate(mach.TaskSelf(), uintptr(addr), uintptr(n))
	}
}

// Release gives back send rights, or dead names.
func (Mach) Release(list ...mach.Port) {
	for _, p := range list {
		if p.Valid() {
			_ = mach.Deallocate(p)
		}
	}
}

// Destroy destroys receive rights.
func (Mach) Destroy(list ...mach.Port) {
	for _, p := range list {
		if p.Valid() {
			_ = mach.DestroyReceive(p)
		}
	}
}
