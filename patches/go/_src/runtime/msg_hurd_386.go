// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import "unsafe"

// The layout of messages on i386: 32-bit words, each item of the body a type
// word and then its value.

// A machHeader begins every message.
type machHeader struct {
	bits, size, remote, local, seqno, id uint32
}

// A machMsg is a message of the calls that this package makes: small, on the
// stack, with nothing for the garbage collector in it.
type machMsg struct {
	hdr  machHeader
	body [24]uint32
	n    uint32 // words of body that have been put or got
}

// machMsgMax is the size of the largest message that fits.
const machMsgMax = unsafe.Offsetof(machMsg{}.n)

// Type words: the type, the bits of an element, the number of elements, flags.
const (
	machTypeInline = 1 << 28
	machTypeLong   = 1 << 29 // the fields are in the following two words
	machType1x32   = 32<<8 | 1<<16 | machTypeInline
	machTypeBool   = 0 | machType1x32
	machTypeInt    = 2 | machType1x32
	machTypeName   = 15 | machType1x32
	machTypeSend   = 17 | machType1x32          // as received
	machTypeInts   = 2 | 32<<8 | machTypeInline // times 1<<16
	machTypeInt64  = 11 | 64<<8 | 1<<16 | machTypeInline
	machTypeBytes  = 8 | 8<<16 // second word of a long descriptor
)

// word returns the place of the word i of the body, which the caller knows to
// exist: a bounds check here would be a place for the stack to grow.
//
//go:nosplit
func (m *machMsg) word(i uint32) *uint32 {
	return (*uint32)(add(unsafe.Pointer(&m.body), uintptr(i)*4))
}

//go:nosplit
func (m *machMsg) putWord(v uint32) {
	*m.word(m.n) = v
	m.n++
}

//go:nosplit
func (m *machMsg) putItem(typ, v uint32) {
	m.putWord(typ)
	m.putWord(v)
}

// The following append an argument to a request.

//go:nosplit
func (m *machMsg) putInt(v uint32) { m.putItem(machTypeInt, v) }

//go:nosplit
func (m *machMsg) putAddr(v uintptr) { m.putItem(machTypeInt, uint32(v)) }

//go:nosplit
func (m *machMsg) putBool(v uint32) { m.putItem(machTypeBool, v) }

//go:nosplit
func (m *machMsg) putName(v uint32) { m.putItem(machTypeName, v) }

//go:nosplit
func (m *machMsg) putPort(disposition, port uint32) {
	m.hdr.bits |= _MACH_MSGH_BITS_COMPLEX
	m.putItem(disposition|machType1x32, port)
}

//go:nosplit
func (m *machMsg) putInt64(v int64) {
	m.putWord(machTypeInt64)
	m.putWord(uint32(v))
	m.putWord(uint32(uint64(v) >> 32))
}

// putBytes appends an array of bytes, which must not change until the message
// is sent.
//
//go:nosplit
func (m *machMsg) putBytes(p unsafe.Pointer, n uint32) {
	const inlineMax = 64
	if n > inlineMax {
		m.hdr.bits |= _MACH_MSGH_BITS_COMPLEX
		m.putWord(machTypeLong)
		m.putWord(machTypeBytes)
		m.putWord(n)
		m.putWord(uint32(uintptr(p)))
		return
	}
	m.putWord(machTypeLong | machTypeInline)
	m.putWord(machTypeBytes)
	m.putWord(n)
	for i := uint32(0); i < n; i++ {
		*(*byte)(add(unsafe.Pointer(m.word(m.n)), uintptr(i))) = *(*byte)(add(p, uintptr(i)))
	}
	m.n += (n + 3) / 4
}

// get returns the next single item of a message received.
//
//go:nosplit
func (m *machMsg) get() uint32 {
	v := *m.word(m.n + 1)
	m.n += 2
	return v
}

// getPort returns the next single item, which must be a send right: what
// looks like one but is only a number that the sender chose is 0 here.
//
//go:nosplit
func (m *machMsg) getPort() uint32 {
	typ := *m.word(m.n)
	v := m.get()
	if m.hdr.bits&_MACH_MSGH_BITS_COMPLEX == 0 || typ != machTypeSend {
		return 0
	}
	return v
}

// getPorts returns the next item, an array of send rights out of line: where they are, which
// is memory of the caller's, and how many.
//
//go:nosplit
func (m *machMsg) getPorts() (p unsafe.Pointer, n uint32) {
	n, p = *m.word(m.n + 2), unsafe.Pointer(uintptr(*m.word(m.n + 3))) // after a long descriptor
	m.n += 4
	return p, n
}

// rewind makes get begin with the first item.
//
//go:nosplit
func (m *machMsg) rewind() { m.n = 0 }

// size is that of the message with what was put.
//
//go:nosplit
func (m *machMsg) size() uint32 { return uint32(unsafe.Sizeof(m.hdr)) + 4*m.n }

// getTime takes a time_value64.
//
//go:nosplit
func (m *machMsg) getTime() (sec int64, ns int32) {
	sec = int64(*m.word(m.n + 1)) | int64(*m.word(m.n + 2))<<32
	ns = int32(*m.word(m.n + 3))
	m.n += 5
	return
}

// machLongItem takes the array at *off of the message at msg, inline or out
// of line, with the long form of descriptor.
//
//go:nosplit
func machLongItem(msg unsafe.Pointer, off *uintptr) (p unsafe.Pointer, bytes uintptr) {
	d := (*[4]uint32)(add(msg, *off))
	bytes = uintptr(d[2] * (d[1] >> 16) / 8)
	if d[0]&machTypeInline != 0 {
		p = add(msg, *off+12)
		*off += 12 + (bytes+3)&^3
	} else {
		p = unsafe.Pointer(uintptr(d[3]))
		*off += 16
	}
	return
}

// machIsExceptionRaise reports whether a message is a well-formed
// exception_raise: rights for thread and task, and three numbers.
//
//go:nosplit
func machIsExceptionRaise(p unsafe.Pointer) bool {
	h := (*machHeader)(p)
	return h.id == idExceptionRaise && machIs(p, machTypeSend, machTypeSend, machTypeInt, machTypeInt, machTypeInt)
}

// machIsSigPost reports whether a message is a well-formed msg_sig_post: two
// numbers and a right.
//
//go:nosplit
func machIsSigPost(p unsafe.Pointer) bool {
	h := (*machHeader)(p)
	return (h.id == idMsgSigPost || h.id == idMsgSigPostUntraced) && machIs(p, machTypeInt, machTypeInt, machTypeSend)
}

// machIs reports whether the items of a message with rights have the given
// types, each one word long.
//
//go:nosplit
func machIs(p unsafe.Pointer, types ...uint32) bool {
	h := (*machHeader)(p)
	if h.bits&_MACH_MSGH_BITS_COMPLEX == 0 || uintptr(h.size) != unsafe.Sizeof(*h)+8*uintptr(len(types)) {
		return false
	}
	for i, t := range types {
		if *(*uint32)(add(p, unsafe.Sizeof(*h)+8*uintptr(i))) != t {
			return false
		}
	}
	return true
}
