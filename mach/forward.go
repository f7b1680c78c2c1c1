package mach

import (
	"context"
	"fmt"
	"unsafe"
)

// What a program needs that passes other programs' messages on: sends that can
// be put off, and memory that may be anybody's.

// TrySend sends m, whose header and rights are complete, if the queue of its
// destination has room. If it is full, full is true and m is as the kernel has
// written it back: its rights are made and its memory is copied, so that m can
// be given to [Resend], or to [Destroy].
//
// After [SendInvalidDest], m is untouched and still the caller's: no right has
// been made or moved. After any other error, as after success, m owns nothing.
//
// TrySend does not wait, but for one thing: a message to a port of the kernel
// is answered by the kernel within the send, which may take as long as the
// routine. With mayBlock, the wait is a thread's and not that of all goroutines.
func TrySend(m *Message, mayBlock bool) (full bool, err error) {
	if err := m.Err(); err != nil {
		drop(m)
		return false, err
	}
	m.Bind(addressOf)
	b := m.Buffer(0)
	trap := machMsg
	if mayBlock {
		trap = machMsgBlock
	}
	switch code := trap(b, optSend|optSendTimeout, len(b), Null, 0); code.plain() {
	case KernSuccess:
		Reset(m, m.ID())
		return false, nil
	case SendTimedOut:
		return true, nil
	case SendInvalidDest:
		return false, fmt.Errorf("send message %d: %w", m.ID(), code)
	default:
		return false, fmt.Errorf("send message %d: %w", m.ID(), failedSend(m, code))
	}
}

// Resend sends m, which [TrySend] has found no room for, when there is room,
// unless ctx ends before. It takes a thread meanwhile. m then owns nothing.
func Resend(ctx context.Context, m *Message) error {
	for ctx.Err() == nil {
		if full, err := ResendSoon(m); !full {
			return err
		}
	}
	drop(m)
	return context.Cause(ctx)
}

// ResendSoon is [Resend] for a tenth of a second. If there was no room, full is true and
// m is as before.
func ResendSoon(m *Message) (full bool, err error) {
	b := m.Buffer(0)
	code := machMsgBlock(b, optSend|optSendTimeout, len(b), Null, fullQueueWait)
	switch {
	case code == KernSuccess:
		Reset(m, m.ID())
		return false, nil
	case code.plain() == SendTimedOut:
		return true, nil
	}
	return false, fmt.Errorf("send message %d: %w", m.ID(), failedSend(m, code))
}

// copyChunk is how much CopyMemory copies at a time, in bytes: whole pages.
const copyChunk = 64 << 10

// CopyMemory returns a copy of n bytes of this task's memory at addr, which may
// be paged by anybody: the kernel copies, so that a page that cannot be had is
// an error ([SendInvalidData]) and not a fault of this program. A pager that
// does not answer holds up a thread and the caller, but nobody else.
func CopyMemory(addr uintptr, n int) (data []byte, err error) {
	if n == 0 {
		return nil, nil
	}
	return CopyMemoryTo(make([]byte, CopyRoom(addr, n)), addr, n)
}

// copyHeader is the size of a message without items.
const copyHeader = 24

// CopyRoom is how many bytes CopyMemoryTo needs for n bytes at addr.
func CopyRoom(addr uintptr, n int) int {
	lead := int(addr % PageSize)
	return copyHeader + (lead+n+PageSize-1)/PageSize*PageSize
}

// CopyMemoryTo is [CopyMemory] for n > 0 to memory of the caller's: to somewhere in out,
// which has [CopyRoom] bytes.
func CopyMemoryTo(out []byte, addr uintptr, n int) (data []byte, err error) {
	const header = copyHeader // all of it is ours
	lead := int(addr % PageSize)
	addr -= uintptr(lead)
	pages := (lead + n + PageSize - 1) / PageSize * PageSize
	size := min(pages, copyChunk)

	// The memory is given a message's header, in a page before it, and sent to
	// a port of this task: a send from memory is the one copy that the kernel
	// makes at once and byte by byte, and gives up at a page that is not there.
	scratch, err := VMAllocate(TaskSelf(), uintptr(PageSize+size))
	if err != nil {
		return nil, err
	}
	defer VMDeallocate(TaskSelf(), scratch, uintptr(PageSize+size))
	port, ok := direct.get()
	if !ok {
		var code KernReturn
		if port, code = replyPort(); code != KernSuccess {
			return nil, fmt.Errorf("copy memory: %w", code)
		}
	}
	defer func() {
		if err != nil {
			_ = DestroyReceive(port) // it may have a message
		} else {
			idleDirect(port)
		}
	}()
	m := NewMessage(0)
	m.SetDest(port, MakeSendOnce)
	var kept [header]byte
	for done := 0; done < pages; done += size {
		size = min(size, pages-done)
		if err := VMCopy(TaskSelf(), addr+uintptr(done), uintptr(size), scratch+PageSize); err != nil {
			return nil, err
		}
		head := m.Buffer(0)[:header]
		setSize(head, header+size)
		msg := at(scratch+PageSize-header, header+size)
		copy(msg[:header], head)
		if code := machMsgBlock(msg, optSend, header+size, Null, 0); code != KernSuccess {
			return nil, fmt.Errorf("copy memory: %w", code)
		}
		// The header overwrites what is before the data, for a moment.
		b := out[done : done+header+size]
		copy(kept[:], b)
		if code := machMsg(b, optRcv|optRcvTimeout, 0, port, 0); code != KernSuccess {
			return nil, fmt.Errorf("copy memory: %w", code)
		}
		if done > 0 {
			copy(b, kept[:])
		}
	}
	return out[header+lead : header+lead+n : header+lead+n], nil
}

func setSize(header []byte, n int) {
	header[4], header[5], header[6], header[7] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
}

// at returns the memory at addr, which is not Go's.
//
//go:noinline
func at(addr uintptr, n int) []byte { return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), n) }
