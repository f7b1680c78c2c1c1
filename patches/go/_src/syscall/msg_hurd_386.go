// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"internal/byteorder"
	"unsafe"
)

// The layout of Mach messages on i386: a header of 24 bytes, then items, each
// a type descriptor of one word (short form) or three (long form) and its
// data, padded to 4 bytes. What is in a message is the same on every
// architecture, so only this file knows the layout; see rpc_hurd.go for its
// users.

const (
	msgHeaderSize = 24
	msgAlign      = 4

	// Bits of the header.
	msgBitsRequest = 19 | 21<<8 // destination COPY_SEND, reply port MAKE_SEND_ONCE
	msgBitsOneway  = 19         // destination COPY_SEND, no reply
	msgBitsComplex = 1 << 31    // the body has rights or out-of-line memory

	// Descriptors of one item, as they are sent and as they must arrive.
	descInt32   = 2 | 32<<8 | 1<<16 | descInline
	descBool    = 0 | 32<<8 | 1<<16 | descInline
	descInt64   = 11 | 64<<8 | 1<<16 | descInline
	descWord    = descInt32 // a natural word
	descName    = 15 | 32<<8 | 1<<16 | descInline
	descString  = 12 | 8<<8 | stringSize<<16 | descInline
	descSend    = 17 | 32<<8 | 1<<16 | descInline // a send right, received
	descStat    = 2 | 32<<8 | 32<<16 | descInline // the 32 words of io_stat
	descInts    = 2 | 32<<8 | descInline          // times 1<<16: a fixed array
	descShorts  = 1 | 16<<8 | 4<<16 | descInline
	descShort   = 1 | 16<<8 | 1<<16 | descInline
	descChars16 = 8 | 8<<8 | 16<<16 | descInline
	descChars20 = 8 | 8<<8 | 20<<16 | descInline
	descInline  = 1 << 28
	descLong    = 1 << 29
	descDealloc = 1 << 30

	typeInt32    = 2 // of the elements of arrays
	typeChar     = 8
	typeName     = 15
	typeReceive  = 16 // as received
	typeSend     = 17
	typeSendOnce = 18
	typeMakeSend = 20
	typeCopySend = 19

	stringSize = 1024 // of a string_t: all of it is always sent
)

// A message is built from the header on and then sent, or received and then
// taken apart item by item. An item that is not what is asked for sets bad;
// the caller looks at that once, at the end.
type message struct {
	buf     []byte
	off     int      // of the next item to take
	keep    [][]byte // what the message points to
	complex bool     // what is built has rights or memory
	rights  bool     // and what was received
	bad     bool
}

// reset makes m an empty message to build.
func (m *message) reset() {
	m.buf = m.buf[:msgHeaderSize]
	m.keep = nil
	m.complex = false
	m.bad = false
}

// setHeader completes m, which goes to port, and its reply, if the bits say
// that there is to be one, to the receive right reply.
func (m *message) setHeader(bits, port, reply, id uint32) {
	if m.complex {
		bits |= msgBitsComplex
	}
	byteorder.LEPutUint32(m.buf[0:], bits)
	byteorder.LEPutUint32(m.buf[4:], uint32(len(m.buf)))
	byteorder.LEPutUint32(m.buf[8:], port)
	byteorder.LEPutUint32(m.buf[12:], reply)
	byteorder.LEPutUint32(m.buf[16:], 0)
	byteorder.LEPutUint32(m.buf[20:], id)
}

// received makes buf[:n] a message to take apart and returns its id.
func (m *message) received(n int) (id uint32) {
	m.buf = m.buf[:n]
	m.off = msgHeaderSize
	m.bad = n < msgHeaderSize
	if m.bad {
		return 0
	}
	m.rights = byteorder.LEUint32(m.buf)&msgBitsComplex != 0
	return byteorder.LEUint32(m.buf[20:])
}

func (m *message) put(words ...uint32) {
	for _, w := range words {
		m.buf = byteorder.LEAppendUint32(m.buf, w)
	}
}

func (m *message) putInt32(x uint32) { m.put(descInt32, x) }
func (m *message) putBool(x bool) {
	if x {
		m.put(descBool, 1)
	} else {
		m.put(descBool, 0)
	}
}

func (m *message) putWord(x uintptr) { m.put(descWord, uint32(x)) }
func (m *message) putName(x uint32)  { m.put(descName, x) }
func (m *message) putInt64(x int64)  { m.put(descInt64, uint32(x), uint32(x>>32)) }

// putPort adds a right, how it is to be made being one of the constants above.
func (m *message) putPort(how, name uint32) {
	m.complex = true
	m.put(how|32<<8|1<<16|descInline, name)
}

func (m *message) putString(s string) {
	m.put(descString)
	n := len(m.buf)
	m.buf = append(m.buf, make([]byte, stringSize)...)
	copy(m.buf[n:n+stringSize-1], s)
}

// putBytes adds an array of characters: inline if that is cheaper, else out
// of line.
func (m *message) putBytes(b []byte) {
	if len(b) > inlineMax {
		m.complex = true
		m.put(descLong, typeChar|8<<16, uint32(len(b)))
		m.putPointer(b)
		return
	}
	m.put(descLong|descInline, typeChar|8<<16, uint32(len(b)))
	m.buf = append(m.buf, b...)
	m.pad()
}

// putPointer adds the address of b, which is out of line.
func (m *message) putPointer(b []byte) {
	m.keep = append(m.keep, b) // not on a stack, then, which might move
	m.put(uint32(uintptr(unsafe.Pointer(&b[0]))))
}

// putWords adds an array of words of the type typ.
func (m *message) putWords(typ uint32, v []uint32) {
	if len(v) > inlineMax/4 {
		m.complex = true
		m.put(descLong, typ|32<<16, uint32(len(v)))
		m.putPointer(unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v)))
		return
	}
	m.put(descLong|descInline, typ|32<<16, uint32(len(v)))
	m.put(v...)
}

// putInts adds an array of 32-bit integers.
func (m *message) putInts(v []uint32) { m.putWords(typeInt32, v) }

// putNames adds an array of names of ports.
func (m *message) putNames(v []uint32) { m.putWords(typeName, v) }

// putPorts adds an array of send rights. Even an empty one makes the kernel look
// at the message, which turns its type into that of rights received.
func (m *message) putPorts(v []uint32) {
	m.complex = true
	m.putWords(typeCopySend, v)
}

func (m *message) pad() {
	for len(m.buf)%msgAlign != 0 {
		m.buf = append(m.buf, 0)
	}
}

// take returns the n bytes after a short descriptor that must be desc.
func (m *message) take(desc uint32, n int) []byte {
	if m.bad || len(m.buf)-m.off < 4+n || byteorder.LEUint32(m.buf[m.off:]) != desc {
		m.bad = true
		return make([]byte, n)
	}
	b := m.buf[m.off+4 : m.off+4+n]
	m.off += 4 + (n+msgAlign-1)&^(msgAlign-1)
	return b
}

func (m *message) int32() uint32 { return byteorder.LEUint32(m.take(descInt32, 4)) }
func (m *message) word() uintptr { return uintptr(byteorder.LEUint32(m.take(descWord, 4))) }
func (m *message) int64() int64  { return int64(byteorder.LEUint64(m.take(descInt64, 8))) }

// port takes a send right. In a message without rights what looks like one is
// a number that the sender chose.
func (m *message) port() uint32 {
	port := byteorder.LEUint32(m.take(descSend, 4))
	if !m.rights {
		m.bad = true
	}
	if m.bad {
		return _MACH_PORT_NULL
	}
	return port
}

func (m *message) string() string {
	b := m.take(descString, stringSize)
	return string(b[:clen(b)])
}

// array takes an array with elements of the given type and size in bits. The
// result is part of the message, or, if ool, memory of its own that the
// caller frees with vmDeallocate.
func (m *message) array(typ, bits uint32) (b []byte, ool bool) {
	if m.bad || len(m.buf)-m.off < 12 {
		m.bad = true
		return nil, false
	}
	first := byteorder.LEUint32(m.buf[m.off:])
	elem := byteorder.LEUint32(m.buf[m.off+4:])
	n := int(byteorder.LEUint32(m.buf[m.off+8:])) * int(bits/8)
	m.off += 12
	switch {
	case first&descLong == 0 || elem != typ|bits<<16 || n < 0:
	case !m.rights && (first&descInline == 0 || typ == typeSend && n > 0):
	case first&descInline != 0 && n <= len(m.buf)-m.off:
		b = m.buf[m.off : m.off+n]
		m.off += (n + msgAlign - 1) &^ (msgAlign - 1)
		return b, false
	case first&descInline == 0 && len(m.buf)-m.off >= 4:
		p := byteorder.LEUint32(m.buf[m.off:])
		m.off += 4
		if n == 0 {
			return nil, false
		}
		return unsafe.Slice((*byte)(kernelPointer(uintptr(p))), n), true
	}
	m.bad = true
	return nil, false
}

// kernelPointer makes a pointer of an address that the kernel chose, which is
// outside of the Go heap.
func kernelPointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// stat takes the answer to io_stat.
func (m *message) stat(st *Stat_t) {
	b := m.take(descStat, 128)
	u32 := func(off int) uint32 { return byteorder.LEUint32(b[off:]) }
	u64 := func(off int) uint64 { return byteorder.LEUint64(b[off:]) }
	time := func(off int) Timespec {
		return Timespec{Sec: int64(int32(u32(off))), Nsec: int64(int32(u32(off + 4)))}
	}
	*st = Stat_t{
		Fstype:  u32(0),
		Dev:     u64(4),
		Ino:     u64(12),
		Gen:     u32(20),
		Rdev:    uint64(u32(24)),
		Mode:    u32(28),
		Nlink:   uint64(u32(32)),
		Uid:     u32(36),
		Gid:     u32(40),
		Size:    int64(u64(44)),
		Atim:    time(52),
		Mtim:    time(60),
		Ctim:    time(68),
		Blksize: int64(u32(76)),
		Blocks:  int64(u64(80)),
		Author:  u32(88),
		Flags:   u32(92),
	}
}

// statfs takes the answer to file_statfs.
func (m *message) statfs(st *Statfs_t) {
	b := m.take(descInts|22<<16, 88)
	u32 := func(off int) uint32 { return byteorder.LEUint32(b[off:]) }
	u64 := func(off int) uint64 { return byteorder.LEUint64(b[off:]) }
	*st = Statfs_t{
		Type:    u32(0),
		Bsize:   int64(u32(4)),
		Blocks:  u64(8),
		Bfree:   u64(16),
		Bavail:  u64(24),
		Files:   u64(32),
		Ffree:   u64(40),
		Fsid:    u64(48),
		Namelen: int64(u32(56)),
		Favail:  u64(60),
		Frsize:  int64(u32(68)),
		Flags:   int64(u32(72)),
	}
}

// putTermios adds the three arrays that the state of a terminal is, and termios
// takes them.
func (m *message) putTermios(t *termios) {
	m.put(descInts | 4<<16)
	m.put(t.modes[:]...)
	m.put(descChars20)
	m.buf = append(m.buf, t.ccs[:]...)
	m.put(descInts | 2<<16)
	m.put(t.speeds[:]...)
}

func (m *message) termios(t *termios) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&t.modes)), 16), m.take(descInts|4<<16, 16))
	copy(t.ccs[:], m.take(descChars20, 20))
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&t.speeds)), 8), m.take(descInts|2<<16, 8))
}

// putShorts adds the size of a terminal's window, and shorts takes it.
func (m *message) putShorts(w *[4]uint16) {
	m.put(descShorts, uint32(w[0])|uint32(w[1])<<16, uint32(w[2])|uint32(w[3])<<16)
}

func (m *message) shorts(w *[4]uint16) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(w)), 8), m.take(descShorts, 8))
}

// putInt16 adds a number of 16 bits, and int16 takes one.
func (m *message) putInt16(x uint16) { m.put(descShort, uint32(x)) }
func (m *message) int16() uint16     { return byteorder.LEUint16(m.take(descShort, 2)) }

// putChars16 adds 16 characters, and chars16 takes them.
func (m *message) putChars16(b [16]byte) {
	m.put(descChars16)
	m.buf = append(m.buf, b[:]...)
}

func (m *message) chars16() [16]byte { return [16]byte(m.take(descChars16, 16)) }

// putTimes adds the times of access and modification. Here they are only 32
// bits wide.
func (m *message) putTimes(t *[2]Timespec) {
	for i := range t {
		m.putTime(t[i])
	}
}

func (m *message) putTime(t Timespec) { m.put(descInts|2<<16, uint32(t.Sec), uint32(t.Nsec)) }

// words takes an array of words of the type typ.
func (m *message) words(typ uint32) []uint32 {
	b, ool := m.array(typ, 32)
	v := make([]uint32, len(b)/4)
	for i := range v {
		v[i] = byteorder.LEUint32(b[4*i:])
	}
	if ool {
		vmDeallocate(b)
	}
	return v
}

// ints takes an array of 32-bit integers.
func (m *message) ints() []uint32 { return m.words(typeInt32) }

// ports takes an array of send rights.
func (m *message) ports() []uint32 { return m.words(typeSend) }

// bytes takes an array of characters, as a copy.
func (m *message) bytes() []byte {
	b, ool := m.array(typeChar, 8)
	c := append([]byte(nil), b...)
	if ool {
		vmDeallocate(b)
	}
	return c
}

// shortInts takes an array of 32-bit integers with a short descriptor.
func (m *message) shortInts() []uint32 {
	if m.bad || len(m.buf)-m.off < 4 {
		m.bad = true
		return nil
	}
	desc := byteorder.LEUint32(m.buf[m.off:])
	n := int(desc >> 16 & 0xfff)
	b := m.take(descInts|uint32(n)<<16, 4*n)
	v := make([]uint32, n)
	for i := range v {
		v[i] = byteorder.LEUint32(b[4*i:])
	}
	return v
}

// bool takes a truth value.
func (m *message) bool() bool { return byteorder.LEUint32(m.take(descBool, 4)) != 0 }

// end checks that nothing is left to take.
func (m *message) end() {
	if m.off != len(m.buf) {
		m.bad = true
	}
}

// rusage takes what the proc server says of the use of resources.
func (m *message) rusage(r *Rusage) {
	b := m.take(descInts|18<<16, 72)
	at := func(i int) int64 { return int64(int32(byteorder.LEUint32(b[4*i:]))) }
	*r = Rusage{
		Utime: Timeval{at(0), at(1)}, Stime: Timeval{at(2), at(3)},
		Maxrss: at(4), Ixrss: at(5), Idrss: at(6), Isrss: at(7),
		Minflt: at(8), Majflt: at(9), Nswap: at(10), Inblock: at(11), Oublock: at(12),
		Msgsnd: at(13), Msgrcv: at(14), Nsignals: at(15), Nvcsw: at(16), Nivcsw: at(17),
	}
}

// putFlock adds a lock on a range of a file, and flock takes it.
func (m *message) putFlock(lk *Flock_t) {
	m.put(descInts|7<<16, uint32(int32(lk.Type)), uint32(int32(lk.Whence)),
		uint32(lk.Start), uint32(lk.Start>>32), uint32(lk.Len), uint32(lk.Len>>32), uint32(lk.Pid))
}

func (m *message) flock(lk *Flock_t) {
	b := m.take(descInts|7<<16, 28)
	*lk = Flock_t{
		Type:   int16(byteorder.LEUint32(b[0:])),
		Whence: int16(byteorder.LEUint32(b[4:])),
		Start:  int64(byteorder.LEUint64(b[8:])),
		Len:    int64(byteorder.LEUint64(b[16:])),
		Pid:    int32(byteorder.LEUint32(b[24:])),
	}
}

// destroy gives up what is in m, a message that was received and that nobody
// wants: its rights and its memory.
func (m *message) destroy() {
	if !m.rights {
		return
	}
	le := byteorder.LEUint32
	for off := msgHeaderSize; off+8 <= len(m.buf); {
		desc := le(m.buf[off:])
		typ, bits, n := desc&0xff, desc>>8&0xff, int(desc>>16&0xfff)
		off += 4
		if desc&descLong != 0 {
			if off+8 > len(m.buf) {
				return
			}
			typ, bits, n = le(m.buf[off:])&0xffff, le(m.buf[off:])>>16, int(le(m.buf[off+4:]))
			off += 8
		}
		size := int(uint64(bits) * uint64(n) / 8)
		var data []byte
		if desc&descInline != 0 {
			if size < 0 || size > len(m.buf)-off {
				return
			}
			data = m.buf[off : off+size]
			off += (size + msgAlign - 1) &^ (msgAlign - 1)
		} else {
			if off+4 > len(m.buf) {
				return
			}
			if size > 0 {
				data = unsafe.Slice((*byte)(kernelPointer(uintptr(le(m.buf[off:])))), size)
			}
			off += 4
		}
		for i := 0; i+4 <= len(data); i += 4 {
			switch typ {
			case typeReceive:
				portDestroyReceive(le(data[i:]))
			case typeSend, typeSendOnce:
				portDeallocate(le(data[i:]))
			}
		}
		if desc&descInline == 0 {
			vmDeallocate(data)
		}
	}
}
