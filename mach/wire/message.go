package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

const complexBit = 1 << 31

// InlineLimit is the number of bytes up to which data of variable size goes
// inline; beyond, it goes out of line.
const InlineLimit = 2048

// A Message is one message, being made or being taken apart. The zero
// Message is not ready for use: see [New] and [Parse].
//
// A Message is for one goroutine at a time.
type Message struct {
	layout Layout
	buf    []byte // header and items
	off    int    // of the next item to take
	err    error  // the first failure
	data   []held // out-of-line data that is not bound to an address yet
	mem    Memory
	loaded bool      // received, not made
	room   [256]byte // buf of most messages
}

// held is out-of-line data given as a slice. It keeps the memory alive while
// the message is.
type held struct {
	at int // of the address in buf
	b  []byte
}

// Memory is the address space in which the out-of-line data of a received
// message is.
type Memory interface {
	// Bytes returns the n bytes at addr, without copying them.
	Bytes(addr uint64, n int) ([]byte, error)
}

// New begins a message with an id, which says what is asked or told.
func New(l Layout, id int32) *Message {
	m := new(Message)
	m.Reset(l, id)
	return m
}

// Parse takes the message in b apart. Like the kernel's, its size field must
// tell how much of b it is. The Message uses b until it is reset.
// Out-of-line data is looked up in mem, which may be nil if there is none.
func Parse(l Layout, b []byte, mem Memory) (*Message, error) {
	m := new(Message)
	if err := m.Load(l, b, mem); err != nil {
		return nil, err
	}
	return m, nil
}

// Reset begins the message anew, as [New] does, and keeps the buffer. The
// message must own no rights: see [Message.Items].
func (m *Message) Reset(l Layout, id int32) {
	if m.buf == nil {
		m.buf = m.room[:0]
	}
	n := l.HeaderSize()
	if cap(m.buf) < n {
		m.buf = make([]byte, 0, 256)
	}
	m.buf = m.buf[:n]
	clear(m.buf)
	m.layout, m.off, m.err, m.mem, m.loaded = l, n, nil, nil, false
	clear(m.data)
	m.data = m.data[:0]
	binary.LittleEndian.PutUint32(m.buf[m.idOffset():], uint32(id))
}

// Load is [Parse] into an existing Message.
func (m *Message) Load(l Layout, b []byte, mem Memory) error {
	h := l.HeaderSize()
	if len(b) < h {
		return fmt.Errorf("message of %d bytes: the header has %d", len(b), h)
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if n < uint32(h) || uint64(n) > uint64(len(b)) || n%uint32(l) != 0 {
		return fmt.Errorf("message of %d bytes says that it has %d", len(b), n)
	}
	m.layout, m.buf, m.off, m.err, m.mem, m.loaded = l, b[:n], h, nil, mem, true
	clear(m.data)
	m.data = m.data[:0]
	return nil
}

// Layout returns the layout that the message has.
func (m *Message) Layout() Layout { return m.layout }

// Received reports whether the message was received, by [Message.Load] or
// [Parse], and not made here. It tells what the header's ports are.
func (m *Message) Received() bool { return m.loaded }

// Buffer returns the message's bytes, with room for at least n bytes in its
// capacity. A kernel sends and receives through it; [Message.Load] makes
// what was received the message.
func (m *Message) Buffer(n int) []byte {
	if n > cap(m.buf) {
		m.buf = slices.Grow(m.buf, n-len(m.buf))
	}
	return m.buf
}

// Err returns the first failure of a Put or Take method.
func (m *Message) Err() error { return m.err }

func (m *Message) fail(err error) {
	if m.err == nil {
		m.err = fmt.Errorf("message %d: %w", m.ID(), err)
	}
}

// The header.

func (m *Message) idOffset() int {
	if m.layout == Layout64 {
		return 28
	}
	return 20
}

func (m *Message) u32(off int) uint32       { return binary.LittleEndian.Uint32(m.buf[off:]) }
func (m *Message) setU32(off int, x uint32) { binary.LittleEndian.PutUint32(m.buf[off:], x) }

func (m *Message) localOffset() int {
	if m.layout == Layout64 {
		return 16
	}
	return 12
}

// ID returns the message's id.
func (m *Message) ID() int32 { return int32(m.u32(m.idOffset())) }

// Bits returns the first word of the header: dispositions and flags.
func (m *Message) Bits() uint32 { return m.u32(0) }

// Complex reports whether the message may contain rights and out-of-line
// data. If it does not, the kernel has not looked at its items, and the Take
// methods refuse to believe in any.
func (m *Message) Complex() bool { return m.u32(0)&complexBit != 0 }

// Seqno returns the place of a received message in the sequence of messages
// received from its port.
func (m *Message) Seqno() uint32 { return m.u32(m.idOffset() - 4) }

// SetDest says where the message goes and with which right: [CopySend],
// [MoveSend], [MoveSendOnce] or, from a receive right, [MakeSend] or
// [MakeSendOnce].
func (m *Message) SetDest(p Port, disp Type) {
	m.setU32(0, m.u32(0)&^0xff|uint32(disp))
	m.setU32(8, uint32(p))
	m.setU32(4, uint32(len(m.buf)))
}

// SetReply says where the answer goes: to p, with a right made as disp says.
// A null port needs disp 0.
func (m *Message) SetReply(p Port, disp Type) {
	m.setU32(0, m.u32(0)&^0xff00|uint32(disp)<<8)
	m.setU32(m.localOffset(), uint32(p))
}

// Remote returns the remote port of the header and its disposition. Of a
// received message that is the right to reply, [MoveSend] or
// [MoveSendOnce], or [Null]; it stays the message's.
func (m *Message) Remote() (Port, Type) { return Port(m.u32(8)), Type(m.u32(0)) }

// TakeRemote is [Message.Remote] that hands the right over.
func (m *Message) TakeRemote() (Port, Type) {
	p, t := m.Remote()
	m.setU32(8, 0)
	m.setU32(0, m.u32(0)&^0xff)
	return p, t
}

// Local returns the local port of the header and its disposition. Of a
// received message that is the port that it arrived at, unless the
// disposition is [Payload].
func (m *Message) Local() (Port, Type) {
	return Port(m.u32(m.localOffset())), Type(m.u32(0) >> 8)
}

// LocalPayload returns the protected payload in the place of the local port.
func (m *Message) LocalPayload() uint64 {
	if m.layout == Layout64 {
		return binary.LittleEndian.Uint64(m.buf[16:])
	}
	return uint64(m.u32(12))
}

// Making a message.

// Put appends an inline item of any kind. data has d.Size() bytes, in the
// layout's byte order (little endian).
func (m *Message) Put(d Desc, data []byte) {
	if d.OOL {
		m.fail(fmt.Errorf("%v: not inline", d))
		return
	}
	if uint64(len(data)) != d.Size() {
		m.fail(fmt.Errorf("%v: %d bytes of data", d, len(data)))
		return
	}
	if m.desc(d) {
		m.buf = append(m.buf, data...)
		m.pad()
	}
}

// PutUntyped appends bytes that are no items, as the kernel lets messages have
// that are not complex. Their number is a multiple of [Layout.Align].
func (m *Message) PutUntyped(b []byte) {
	if m.Complex() || len(b)%m.layout.Align() != 0 {
		m.fail(fmt.Errorf("%d bytes without a type", len(b)))
	}
	if m.err == nil {
		m.buf = append(m.buf, b...)
	}
}

// PutOOL appends an out-of-line item of any kind, whose data is b. The data
// must not change until the message has been sent. See [Message.Bind].
func (m *Message) PutOOL(d Desc, b []byte) {
	if !d.OOL || d.Dealloc {
		m.fail(fmt.Errorf("%v: data given as a slice is out of line, and stays", d))
		return
	}
	if uint64(len(b)) != d.Size() {
		m.fail(fmt.Errorf("%v: %d bytes of data", d, len(b)))
		return
	}
	if m.desc(d) {
		m.data = append(m.data, held{len(m.buf), b})
		m.address(0)
	}
}

// PutOOLAt is [Message.PutOOL] for data at an address of the sender, which
// with d.Dealloc gives the memory away.
func (m *Message) PutOOLAt(d Desc, addr uint64) {
	if !d.OOL {
		m.fail(fmt.Errorf("%v: not out of line", d))
		return
	}
	if m.desc(d) {
		m.address(addr)
	}
}

func (m *Message) desc(d Desc) bool {
	if m.err != nil {
		return false
	}
	b, err := m.layout.put(m.buf, d)
	if err == nil && d.Type.IsRight() && d.Bits != m.layout.rightBits(d.OOL) {
		err = fmt.Errorf("%v: a right has %d bits", d, m.layout.rightBits(d.OOL))
	}
	if err != nil {
		m.fail(err)
		return false
	}
	m.buf = b
	if d.OOL || d.Type.IsRight() {
		m.setU32(0, m.u32(0)|complexBit)
	}
	return true
}

func (m *Message) address(addr uint64) {
	if m.layout == Layout64 {
		m.buf = binary.LittleEndian.AppendUint64(m.buf, addr)
		return
	}
	if addr>>32 != 0 {
		m.fail(fmt.Errorf("address %#x in a 32-bit message", addr))
	}
	m.buf = binary.LittleEndian.AppendUint32(m.buf, uint32(addr))
}

func (m *Message) pad() {
	for len(m.buf)%int(m.layout) != 0 {
		m.buf = append(m.buf, 0)
	}
}

// Bind fills in the addresses of the data that [Message.PutOOL] was given, as
// the message's last step before it is sent. The message keeps the data
// alive until it is reset.
func (m *Message) Bind(address func([]byte) uint64) {
	for _, h := range m.data {
		if m.layout == Layout64 {
			binary.LittleEndian.PutUint64(m.buf[h.at:], address(h.b))
		} else {
			m.setU32(h.at, uint32(address(h.b)))
		}
	}
}

// small appends one element of up to 8 bytes.
func (m *Message) small(t Type, bits uint16, x uint64) {
	if m.desc(Desc{Type: t, Bits: bits, Number: 1}) {
		for range bits / 8 {
			m.buf = append(m.buf, byte(x))
			x >>= 8
		}
		m.pad()
	}
}

// PutBool appends a boolean.
func (m *Message) PutBool(b bool) {
	x := uint64(0)
	if b {
		x = 1
	}
	m.small(Bool, 32, x)
}

// PutInt16 appends a 16-bit integer.
func (m *Message) PutInt16(x int16) { m.small(Int16, 16, uint64(uint16(x))) }

// PutInt32 appends a 32-bit integer.
func (m *Message) PutInt32(x int32) { m.small(Int32, 32, uint64(uint32(x))) }

// PutInt64 appends a 64-bit integer.
func (m *Message) PutInt64(x int64) { m.small(Int64, 64, uint64(x)) }

// PutWord appends a machine word: an address, size or offset in memory.
func (m *Message) PutWord(x uint64) {
	t, bits := m.layout.word()
	if m.layout == Layout32 && x>>32 != 0 {
		m.fail(fmt.Errorf("%#x does not fit a 32-bit word", x))
	}
	m.small(t, bits, x)
}

// PutName appends the name of a port as plain data.
func (m *Message) PutName(p Port) { m.small(PortName, 32, uint64(p)) }

// PutRight appends a right, made from p as disp says. p may be [Null] or
// [Dead].
func (m *Message) PutRight(p Port, disp Type) {
	if !disp.IsRight() {
		m.fail(fmt.Errorf("%v is not the disposition of a right", disp))
		return
	}
	m.small(disp, m.layout.rightBits(false), uint64(p))
}

// PutString appends s in a field of n bytes, always all of them, ended by a
// zero byte ("cstr[n]"). A longer s is an error.
func (m *Message) PutString(s string, n int) {
	if len(s) >= n {
		m.fail(fmt.Errorf("string of %d bytes for a field of %d", len(s), n))
		return
	}
	if m.desc(Desc{Type: String, Bits: 8, Number: uint32(n)}) {
		at := len(m.buf)
		m.buf = append(m.buf, make([]byte, n)...)
		copy(m.buf[at:], s)
		m.pad()
	}
}

// PutVarString appends s with its final zero byte, n bytes at most
// ("cstr[*≤n]").
func (m *Message) PutVarString(s string, n int) {
	if len(s) >= n {
		m.fail(fmt.Errorf("string of %d bytes where %d are allowed", len(s), n-1))
		return
	}
	if m.desc(Desc{Type: String, Bits: 8, Number: uint32(len(s) + 1)}) {
		m.buf = append(append(m.buf, s...), 0)
		m.pad()
	}
}

// PutInt16s appends a fixed or bounded array, inline with a short descriptor.
func (m *Message) PutInt16s(x ...uint16) {
	if m.desc(Desc{Type: Int16, Bits: 16, Number: uint32(len(x))}) {
		for _, x := range x {
			m.buf = binary.LittleEndian.AppendUint16(m.buf, x)
		}
		m.pad()
	}
}

// PutInt32s appends a fixed or bounded array, inline with a short descriptor.
func (m *Message) PutInt32s(x ...int32) {
	if m.desc(Desc{Type: Int32, Bits: 32, Number: uint32(len(x))}) {
		m.int32s(x)
	}
}

// PutInt64s appends a fixed or bounded array, inline with a short descriptor.
func (m *Message) PutInt64s(x ...int64) {
	if m.desc(Desc{Type: Int64, Bits: 64, Number: uint32(len(x))}) {
		for _, x := range x {
			m.buf = binary.LittleEndian.AppendUint64(m.buf, uint64(x))
		}
	}
}

// PutWords appends a fixed or bounded array of machine words, inline with a
// short descriptor.
func (m *Message) PutWords(x ...uint64) {
	t, bits := m.layout.word()
	if m.desc(Desc{Type: t, Bits: bits, Number: uint32(len(x))}) {
		for _, x := range x {
			if m.layout == Layout64 {
				m.buf = binary.LittleEndian.AppendUint64(m.buf, x)
				continue
			}
			if x>>32 != 0 {
				m.fail(fmt.Errorf("%#x does not fit a 32-bit word", x))
			}
			m.buf = binary.LittleEndian.AppendUint32(m.buf, uint32(x))
		}
	}
}

// PutChars appends a fixed or bounded array of characters, inline with a
// short descriptor ("char[≤128]").
func (m *Message) PutChars(b []byte) { m.Put(Desc{Type: Char, Bits: 8, Number: uint32(len(b))}, b) }

// PutData appends an array of unbounded size of type t, [Char] or [Byte]:
// inline up to [InlineLimit] bytes and out of line beyond, with a long
// descriptor. b must not change until the message has been sent.
func (m *Message) PutData(t Type, b []byte) {
	d := Desc{Type: t, Bits: 8, Number: uint32(len(b)), Long: true}
	if len(b) <= InlineLimit {
		m.Put(d, b)
		return
	}
	d.OOL = true
	m.PutOOL(d, b)
}

// PutOOLData appends an array of type t, [Char] or [Byte], always out of
// line. b must not change until the message has been sent.
func (m *Message) PutOOLData(t Type, b []byte) {
	m.PutOOL(Desc{Type: t, Bits: 8, Number: uint32(len(b)), Long: true, OOL: true}, b)
}

// PutMemory appends n bytes of the sender's memory at addr, as an array of
// type t. With give, the sender loses the pages: they are not copied.
func (m *Message) PutMemory(t Type, addr uint64, n int, give bool) {
	m.PutOOLAt(Desc{Type: t, Bits: 8, Number: uint32(n), Long: true, OOL: true, Dealloc: give}, addr)
}

// PutInt32Array appends an array of unbounded size: inline up to
// [InlineLimit] bytes and out of line beyond, with a long descriptor.
func (m *Message) PutInt32Array(x []int32) {
	d := Desc{Type: Int32, Bits: 32, Number: uint32(len(x)), Long: true}
	if 4*len(x) <= InlineLimit {
		if m.desc(d) {
			m.int32s(x)
		}
		return
	}
	d.OOL = true
	b := make([]byte, 0, 4*len(x))
	for _, x := range x {
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	}
	m.PutOOL(d, b)
}

func (m *Message) int32s(x []int32) {
	for _, x := range x {
		m.buf = binary.LittleEndian.AppendUint32(m.buf, uint32(x))
	}
	m.pad()
}

// PutRights appends an array of rights of unbounded size: inline up to
// [InlineLimit] bytes and out of line beyond, with a long descriptor.
func (m *Message) PutRights(p []Port, disp Type) {
	if bits := m.layout.rightBits(false); len(p)*int(bits)/8 <= InlineLimit {
		m.inlineRights(Desc{Type: disp, Bits: bits, Number: uint32(len(p)), Long: true}, p)
		return
	}
	m.PutOOLRights(p, disp)
}

func (m *Message) inlineRights(d Desc, p []Port) {
	if !d.Type.IsRight() {
		m.fail(fmt.Errorf("%v is not the disposition of a right", d.Type))
		return
	}
	if m.desc(d) {
		for _, p := range p {
			m.buf = binary.LittleEndian.AppendUint32(m.buf, uint32(p))
			m.pad()
		}
	}
}

// PutOOLRights appends an array of rights, always out of line.
func (m *Message) PutOOLRights(p []Port, disp Type) {
	if !disp.IsRight() {
		m.fail(fmt.Errorf("%v is not the disposition of a right", disp))
		return
	}
	b := make([]byte, 0, 4*len(p))
	for _, p := range p {
		b = binary.LittleEndian.AppendUint32(b, uint32(p))
	}
	m.PutOOL(Desc{Type: disp, Bits: 32, Number: uint32(len(p)), Long: true, OOL: true}, b)
}

// ErrNoMemory says that out-of-line data cannot be read because the message
// is not from here.
var ErrNoMemory = errors.New("the memory of out-of-line data is not at hand")
