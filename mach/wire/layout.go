package wire

import (
	"encoding/binary"
	"fmt"
)

// A Layout is the form that messages have on a kernel: 32-bit (i386) or
// 64-bit (amd64). Its value is the size of an address in bytes, to which
// every item is also padded.
type Layout uint8

const (
	Layout32 Layout = 4
	Layout64 Layout = 8
)

// Native is the layout of the machine that the program runs on.
const Native = Layout(4 << (^uintptr(0) >> 63))

// HeaderSize is the size of a message's header in bytes.
func (l Layout) HeaderSize() int {
	if l == Layout64 {
		return 32
	}
	return 24
}

// Align is what the size of every item, and so of every message, is a
// multiple of.
func (l Layout) Align() int { return int(l) }

func (l Layout) String() string {
	switch l {
	case Layout32:
		return "32-bit"
	case Layout64:
		return "64-bit"
	}
	return fmt.Sprintf("Layout(%d)", uint8(l))
}

func (l Layout) padded(n int) int { return (n + int(l) - 1) &^ (int(l) - 1) }

// word is the type of a machine word, such as an address or a size.
func (l Layout) word() (Type, uint16) {
	if l == Layout64 {
		return Int64, 64
	}
	return Int32, 32
}

// rightBits is the declared size of one right. Inline, it is a slot that the
// kernel could keep a pointer in; out of line, always a 4-byte name.
func (l Layout) rightBits(ool bool) uint16 {
	if l == Layout64 && !ool {
		return 64
	}
	return 32
}

// A Type is the type code in a descriptor. The codes of rights are also the
// dispositions of the ports in a header.
type Type uint8

const (
	Bool     Type = 0
	Int16    Type = 1
	Int32    Type = 2
	Char     Type = 8
	Byte     Type = 9 // also 8-bit integer
	Real     Type = 10
	Int64    Type = 11
	String   Type = 12
	PortName Type = 15 // a name as plain data: no right moves

	// Rights. A sender says how to make the right; a receiver sees only the
	// first three, which then say which kind it now has.
	MoveReceive  Type = 16
	MoveSend     Type = 17
	MoveSendOnce Type = 18
	CopySend     Type = 19 // from a send right that the sender keeps
	MakeSend     Type = 20 // from the receive right
	MakeSendOnce Type = 21 // from the receive right

	// Payload is the disposition of the local port in a received header that
	// holds the receiver's protected payload instead of a name.
	Payload Type = 23
)

// IsRight reports whether items of type t carry rights.
func (t Type) IsRight() bool { return t >= MoveReceive && t <= MakeSendOnce }

// Moves reports whether sending a right of type t takes it from the sender.
// On a received message it holds for every right.
func (t Type) Moves() bool { return t >= MoveReceive && t <= MoveSendOnce }

var typeNames = map[Type]string{
	Bool: "bool", Int16: "int16", Int32: "int32", Char: "char", Byte: "byte", Real: "real",
	Int64: "int64", String: "string", PortName: "name",
	MoveReceive: "receive right", MoveSend: "send right", MoveSendOnce: "send-once right",
	CopySend: "copied send right", MakeSend: "made send right", MakeSendOnce: "made send-once right",
	Payload: "protected payload",
}

func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// A Port is the name of a port in some task. Names are small integers that a
// kernel reuses soon: a name is only as good as the right behind it.
type Port uint32

const (
	// Null is no port.
	Null Port = 0
	// Dead stands in a message for a port that has died.
	Dead Port = 0xffffffff
)

// Valid reports whether p is neither [Null] nor [Dead].
func (p Port) Valid() bool { return p != Null && p != Dead }

func (p Port) String() string {
	switch p {
	case Null:
		return "null port"
	case Dead:
		return "dead port"
	}
	return fmt.Sprintf("port %d", uint32(p))
}

// A Desc is an item's descriptor: what the data after it is.
type Desc struct {
	Type   Type
	Bits   uint16 // size of an element in bits
	Number uint32 // of elements
	// OOL means that the item's data is an address, of memory elsewhere.
	OOL bool
	// Dealloc, only with OOL, means that the memory (not rights in it) goes
	// along: the sender loses it. It is always set on receipt.
	Dealloc bool
	// Long selects the long form of a descriptor. Peers compare it with the
	// definition of the routine, on both layouts.
	Long bool
}

// Size is the number of bytes of the elements, without padding.
func (d Desc) Size() uint64 { return (uint64(d.Bits)*uint64(d.Number) + 7) / 8 }

func (d Desc) String() string {
	s := fmt.Sprintf("%v of %d bits × %d", d.Type, d.Bits, d.Number)
	if d.OOL {
		s += ", out of line"
	}
	if d.Dealloc {
		s += ", deallocate"
	}
	if d.Long {
		s += ", long form"
	}
	return s
}

// Bits of descriptors. Those of the 64-bit layout are one above, because its
// size field is wider.
const (
	inline32, long32, dealloc32, unused32 = 1 << 28, 1 << 29, 1 << 30, 1 << 31
	inline64, long64, dealloc64, unused64 = 1 << 29, 1 << 30, 1 << 31, 0x1f << 24
)

// put appends the descriptor to b.
func (l Layout) put(b []byte, d Desc) ([]byte, error) {
	if d.Dealloc && !d.OOL {
		return b, fmt.Errorf("%v: only out-of-line data can be deallocated", d)
	}
	le := binary.LittleEndian
	flags := func(inline, long, dealloc uint32) (w uint32) {
		if !d.OOL {
			w |= inline
		}
		if d.Long {
			w |= long
		}
		if d.Dealloc {
			w |= dealloc
		}
		return w
	}
	if l == Layout64 {
		b = le.AppendUint32(b, uint32(d.Type)|uint32(d.Bits)<<8|flags(inline64, long64, dealloc64))
		return le.AppendUint32(b, d.Number), nil
	}
	w := flags(inline32, long32, dealloc32)
	if d.Long {
		b = le.AppendUint32(b, w)
		b = le.AppendUint16(b, uint16(d.Type))
		b = le.AppendUint16(b, d.Bits)
		return le.AppendUint32(b, d.Number), nil
	}
	if d.Bits > 0xff || d.Number > 0xfff {
		return b, fmt.Errorf("%v: too large for a short descriptor", d)
	}
	return le.AppendUint32(b, w|uint32(d.Type)|uint32(d.Bits)<<8|d.Number<<16), nil
}

// parse reads the descriptor at the start of b and returns its length. It is
// as strict as the kernel.
func (l Layout) parse(b []byte) (d Desc, n int, err error) {
	le := binary.LittleEndian
	short := func(need int) error {
		return fmt.Errorf("descriptor of %d bytes with %d left", need, len(b))
	}
	if l == Layout64 {
		if len(b) < 8 {
			return d, 0, short(8)
		}
		w := le.Uint32(b)
		d = Desc{
			Type: Type(w), Bits: uint16(w >> 8), Number: le.Uint32(b[4:]),
			OOL: w&inline64 == 0, Long: w&long64 != 0, Dealloc: w&dealloc64 != 0,
		}
		if w&unused64 != 0 {
			return d, 0, fmt.Errorf("descriptor %#x: unused bits are set", w)
		}
		n = 8
	} else {
		if len(b) < 4 {
			return d, 0, short(4)
		}
		w := le.Uint32(b)
		d = Desc{
			Type: Type(w), Bits: uint16(w >> 8 & 0xff), Number: w >> 16 & 0xfff,
			OOL: w&inline32 == 0, Long: w&long32 != 0, Dealloc: w&dealloc32 != 0,
		}
		if w&unused32 != 0 {
			return d, 0, fmt.Errorf("descriptor %#x: unused bits are set", w)
		}
		n = 4
		if d.Long {
			if len(b) < 12 {
				return d, 0, short(12)
			}
			if w&0x0fffffff != 0 {
				return d, 0, fmt.Errorf("long descriptor %#x: its first word has a type, size or number", w)
			}
			t := le.Uint16(b[4:])
			if t > 0xff {
				return d, 0, fmt.Errorf("long descriptor: type %d", t)
			}
			d.Type, d.Bits, d.Number = Type(t), le.Uint16(b[6:]), le.Uint32(b[8:])
			n = 12
		}
	}
	if d.Dealloc && !d.OOL {
		return d, 0, fmt.Errorf("%v: inline data cannot be deallocated", d)
	}
	if d.Type.IsRight() && d.Bits != l.rightBits(d.OOL) {
		return d, 0, fmt.Errorf("%v: a right has %d bits", d, l.rightBits(d.OOL))
	}
	return d, n, nil
}
