package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
)

// An Item is one item of a message.
type Item struct {
	Desc
	// Data is the item's elements if they are inline. It is part of the
	// message: a change changes the message.
	Data []byte
	// Addr is where the elements are if they are out of line.
	Addr uint64

	m  *Message
	at int // of the descriptor
}

// Ports returns the number of rights in the item, whether null or not.
func (it Item) Ports() int {
	if !it.Type.IsRight() {
		return 0
	}
	return int(min(it.Number, math.MaxInt32))
}

// Bytes returns the item's elements, wherever they are. Those of an
// out-of-line item are not copied and are good until the message's owner
// releases them.
func (it Item) Bytes() ([]byte, error) {
	if !it.OOL {
		return it.Data, nil
	}
	n := it.Size()
	if n == 0 {
		return nil, nil
	}
	if n > math.MaxInt32 {
		return nil, fmt.Errorf("%v: out of line data of %d bytes", it.Desc, n)
	}
	if it.m.mem == nil {
		return nil, ErrNoMemory
	}
	return it.m.mem.Bytes(it.Addr, int(n))
}

// slot is the number of bytes from one right to the next.
func (it Item) slot() int { return int(it.Bits) / 8 }

// Port returns the right i of the elements b, as returned by [Item.Bytes].
func (it Item) Port(b []byte, i int) Port {
	return Port(binary.LittleEndian.Uint32(b[i*it.slot():]))
}

// SetPort replaces the right i of the elements b, as returned by
// [Item.Bytes].
func (it Item) SetPort(b []byte, i int, p Port) {
	b = b[i*it.slot() : (i+1)*it.slot()]
	clear(b)
	binary.LittleEndian.PutUint32(b, uint32(p))
}

// SetType replaces the type in the item's descriptor in the message, such as
// the disposition of a right that a forwarder sends on.
func (it Item) SetType(t Type) {
	at := it.at
	if it.Long && it.m.layout == Layout32 {
		at += 4
	}
	it.m.buf[at] = byte(t)
}

// Disown makes the message forget the memory of an out-of-line item, which
// then has no elements.
func (it Item) Disown() {
	d := it.Desc
	d.Number, d.Dealloc = 0, false
	// The descriptor has the form that it had, so it fits.
	it.m.layout.put(it.m.buf[:it.at:len(it.m.buf)], d)
}

// item decodes the item at off and returns where the next one is.
func (m *Message) item(off int) (it Item, next int, err error) {
	b := m.buf[off:]
	d, n, err := m.layout.parse(b)
	if err != nil {
		return it, 0, fmt.Errorf("item at %d: %w", off, err)
	}
	// No rights at all are in order there: a client need not say so.
	if (d.OOL || d.Type.IsRight() && d.Number > 0) && !m.Complex() {
		return it, 0, fmt.Errorf("item at %d: %v in a message that is not complex", off, d)
	}
	it = Item{Desc: d, m: m, at: off}
	size := uint64(m.layout)
	if !d.OOL {
		size = d.Size()
	}
	if size > uint64(len(b)-n) {
		return it, 0, fmt.Errorf("item at %d: %v in %d bytes", off, d, len(b)-n)
	}
	if !d.OOL {
		it.Data = b[n : n+int(size) : n+int(size)]
	} else if m.layout == Layout64 {
		it.Addr = binary.LittleEndian.Uint64(b[n:])
	} else {
		it.Addr = uint64(binary.LittleEndian.Uint32(b[n:]))
	}
	// The message's size is a multiple of the alignment, as is everything
	// before n, so the padding is within it.
	return it, off + n + m.layout.padded(int(size)), nil
}

// Items walks over all items of the message, from the first, whatever they
// are. The error is that the rest cannot be decoded, which the kernel lets
// happen in messages that are not complex.
func (m *Message) Items() iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for off := m.layout.HeaderSize(); off < len(m.buf); {
			it, next, err := m.item(off)
			if !yield(it, err) || err != nil {
				return
			}
			off = next
		}
	}
}

// More reports whether there are items left to take.
func (m *Message) More() bool { return m.err == nil && m.off < len(m.buf) }

// Take takes the next item, whatever it is. Rights and memory in it stay the
// message's.
func (m *Message) Take() (it Item, ok bool) {
	if m.err != nil {
		return it, false
	}
	if m.off >= len(m.buf) {
		m.fail(fmt.Errorf("an item is missing at %d", m.off))
		return it, false
	}
	it, next, err := m.item(m.off)
	if err != nil {
		m.fail(err)
		return it, false
	}
	m.off = next
	return it, true
}

// Rewind makes the first item the next to take.
func (m *Message) Rewind() { m.off = m.layout.HeaderSize(); m.err = nil }

// End returns the first failure of the Take methods, or an error if there
// are items left: a peer that sends the wrong number of items speaks another
// protocol.
func (m *Message) End() error {
	if m.err == nil && m.off != len(m.buf) {
		m.fail(fmt.Errorf("%d bytes follow the last item", len(m.buf)-m.off))
	}
	return m.err
}

// take takes the next item, which must have the descriptor want.
func (m *Message) take(want Desc) (it Item, ok bool) {
	it, ok = m.Take()
	if ok && it.Desc != want {
		m.fail(fmt.Errorf("item at %d: %v where %v is expected", it.at, it.Desc, want))
		ok = false
	}
	return it, ok
}

// takeSmall takes one inline element of 16, 32 or 64 bits with a short
// descriptor.
func (m *Message) takeSmall(t Type, bits uint16) (x uint64) {
	// Most items are these, and are what is expected: compare the descriptor
	// as a whole, which is 8 times as fast as to decode it.
	if b := m.buf[min(m.off, len(m.buf)):]; m.err == nil && len(b) >= 8 {
		le := binary.LittleEndian
		mask := uint64(1)<<bits - 1 // all ones for 64
		switch {
		case m.layout == Layout64:
			if le.Uint64(b) == uint64(t)|uint64(bits)<<8|inline64|1<<32 && len(b) >= 16 {
				m.off += 16
				return le.Uint64(b[8:]) & mask
			}
		case le.Uint32(b) != uint32(t)|uint32(bits)<<8|inline32|1<<16:
		case bits <= 32:
			m.off += 8
			return uint64(le.Uint32(b[4:])) & mask
		case len(b) >= 12:
			m.off += 12
			return le.Uint64(b[4:])
		}
	}
	it, ok := m.take(Desc{Type: t, Bits: bits, Number: 1})
	if !ok {
		return 0
	}
	for i, b := range it.Data {
		x |= uint64(b) << (8 * i)
	}
	return x
}

// TakeBool takes a boolean. Like C, it takes anything but 0 for true.
func (m *Message) TakeBool() bool { return m.takeSmall(Bool, 32) != 0 }

// TakeInt16 takes a 16-bit integer.
func (m *Message) TakeInt16() int16 { return int16(m.takeSmall(Int16, 16)) }

// TakeInt32 takes a 32-bit integer.
func (m *Message) TakeInt32() int32 { return int32(m.takeSmall(Int32, 32)) }

// TakeInt64 takes a 64-bit integer.
func (m *Message) TakeInt64() int64 { return int64(m.takeSmall(Int64, 64)) }

// TakeWord takes a machine word.
func (m *Message) TakeWord() uint64 { return m.takeSmall(m.layout.word()) }

// TakeName takes the name of a port that is plain data.
func (m *Message) TakeName() Port { return Port(m.takeSmall(PortName, 32)) }

// TakeRight takes a right of whatever kind, which is the caller's from now
// on.
func (m *Message) TakeRight() (Port, Type) {
	it, ok := m.Take()
	if !ok {
		return Null, 0
	}
	if it.OOL || it.Long || it.Number != 1 || !it.Type.IsRight() {
		m.fail(fmt.Errorf("item at %d: %v where a right is expected", it.at, it.Desc))
		return Null, 0
	}
	p := it.Port(it.Data, 0)
	it.SetPort(it.Data, 0, Null)
	return p, it.Type
}

func (m *Message) takeRight(t Type) Port {
	it, ok := m.take(Desc{Type: t, Bits: m.layout.rightBits(false), Number: 1})
	if !ok {
		return Null
	}
	p := it.Port(it.Data, 0)
	it.SetPort(it.Data, 0, Null)
	return p
}

// TakeSend takes a send right, which is the caller's from now on.
func (m *Message) TakeSend() Port { return m.takeRight(MoveSend) }

// TakeSendOnce takes a send-once right, which is the caller's from now on.
func (m *Message) TakeSendOnce() Port { return m.takeRight(MoveSendOnce) }

// TakeReceive takes a receive right, which is the caller's from now on.
func (m *Message) TakeReceive() Port { return m.takeRight(MoveReceive) }

// TakeString takes a string that ends at its first zero byte or with the
// item: a fixed field or not, in either form of descriptor.
func (m *Message) TakeString() string {
	it, ok := m.Take()
	if !ok {
		return ""
	}
	// device_open's name is one element that is a whole string.
	if it.OOL || it.Type != String || it.Bits%8 != 0 || it.Bits != 8 && it.Number != 1 {
		m.fail(fmt.Errorf("item at %d: %v where a string is expected", it.at, it.Desc))
		return ""
	}
	b := it.Data
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// takeArray takes the elements of an array of any form. max bounds their
// number; < 0 does not.
func (m *Message) takeArray(max int, bits uint16, types ...Type) []byte {
	it, ok := m.Take()
	if !ok {
		return nil
	}
	match := false
	for _, t := range types {
		match = match || it.Type == t
	}
	if !match || it.Bits != bits {
		m.fail(fmt.Errorf("item at %d: %v where an array of %v of %d bits is expected", it.at, it.Desc, types[0], bits))
		return nil
	}
	if max >= 0 && uint64(it.Number) > uint64(max) {
		m.fail(fmt.Errorf("item at %d: %v where %d elements are allowed", it.at, it.Desc, max))
		return nil
	}
	b, err := it.Bytes()
	if err != nil {
		m.fail(fmt.Errorf("item at %d: %w", it.at, err))
		return nil
	}
	return b
}

// TakeData takes an array of bytes or characters of any form, of max bytes at
// most; < 0 is any number. The bytes stay the message's and are good until it
// is reset or destroyed: copy what must live longer.
func (m *Message) TakeData(max int) []byte { return m.takeArray(max, 8, Byte, Char) }

// TakeMemory takes an array of bytes or characters that is out of line, and
// with it the memory, which is the caller's from now on: n bytes at addr, in
// pages of their own.
func (m *Message) TakeMemory() (addr uint64, n int) {
	it, ok := m.Take()
	if !ok {
		return 0, 0
	}
	if !it.OOL || it.Bits != 8 || it.Type != Byte && it.Type != Char || it.Size() > math.MaxInt32 {
		m.fail(fmt.Errorf("item at %d: %v where memory is expected", it.at, it.Desc))
		return 0, 0
	}
	it.Disown()
	return it.Addr, int(it.Number)
}

// TakeInt16s takes an array of any form, of max elements at most; < 0 is any
// number.
func (m *Message) TakeInt16s(max int) []uint16 {
	b := m.takeArray(max, 16, Int16)
	x := make([]uint16, len(b)/2)
	for i := range x {
		x[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return x
}

// TakeInt32s takes an array of any form, of max elements at most; < 0 is any
// number.
func (m *Message) TakeInt32s(max int) []int32 {
	b := m.takeArray(max, 32, Int32)
	x := make([]int32, len(b)/4)
	for i := range x {
		x[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

// TakeInt64s takes an array of any form, of max elements at most; < 0 is any
// number.
func (m *Message) TakeInt64s(max int) []int64 {
	b := m.takeArray(max, 64, Int64)
	x := make([]int64, len(b)/8)
	for i := range x {
		x[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return x
}

// TakeWords takes an array of machine words of any form, of max elements at
// most; < 0 is any number.
func (m *Message) TakeWords(max int) []uint64 {
	t, bits := m.layout.word()
	b := m.takeArray(max, bits, t)
	x := make([]uint64, len(b)/int(m.layout))
	for i := range x {
		if m.layout == Layout64 {
			x[i] = binary.LittleEndian.Uint64(b[8*i:])
		} else {
			x[i] = uint64(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return x
}

// TakeNames takes an array of names of ports that is plain data.
func (m *Message) TakeNames() []Port {
	b := m.takeArray(-1, 32, PortName)
	p := make([]Port, len(b)/4)
	for i := range p {
		p[i] = Port(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return p
}

// TakeRights takes an array of rights of any form, which are the caller's
// from now on; max bounds their number, < 0 does not. The memory of an
// out-of-line array stays the message's.
func (m *Message) TakeRights(max int) ([]Port, Type) {
	it, ok := m.Take()
	if !ok {
		return nil, 0
	}
	if !it.Type.IsRight() || max >= 0 && uint64(it.Number) > uint64(max) {
		m.fail(fmt.Errorf("item at %d: %v where an array of rights (at most %d) is expected", it.at, it.Desc, max))
		return nil, 0
	}
	b, err := it.Bytes()
	if err != nil {
		m.fail(fmt.Errorf("item at %d: %w", it.at, err))
		return nil, 0
	}
	p := make([]Port, it.Number)
	for i := range p {
		p[i] = it.Port(b, i)
		it.SetPort(b, i, Null)
	}
	return p, it.Type
}

// Fail makes the message one that cannot be taken further: of a peer whose
// items have the right types and still do not fit. The first failure stays.
func (m *Message) Fail(why string) { m.fail(errors.New(why)) }
