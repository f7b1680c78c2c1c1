package wire

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"

	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
)

// A Body is what a Mach message has besides rights: its id, and its items, of
// which those of rights say only how many and of which kind. It is a
// [rights.Body].
//
// The first right of a message that has a right to reply is that one; then
// come those of its items, in their order.
//
// A Body is not to be copied.
type Body struct {
	// Release, if not nil, is what [Body.Free] does: give back the memory that the
	// body's data is in. It is for who made the body.
	Release func()
	// Give, if not nil, gives away the pages that data of the body's begins and ends in,
	// with all that is in them, unless it returns false. It is for who made the body.
	Give func(data []byte) bool

	enc    []byte // but for what is in ool
	ool    []piece
	size   int
	rights int

	one  [1]piece     // ool of most messages that have any
	few  [2]MachRight // those of most messages
	room [192]byte
}

// A piece of a body is the data of an out-of-line item that is not in enc, but
// belongs at an offset there.
type piece struct {
	at   int
	data []byte
}

// The form of a body: flags, the message's id, items.
const (
	bodyWide     = 1 << 0 // from a node of 64 bits
	bodyUntyped  = 1 << 1 // no items, but bytes that nobody has looked into
	bodyReplying = 3 << 2 // the kind of the right to reply
	bodyHeader   = 1 + 4

	replyNone = 0 << 2
	replySend = 1 << 2
	replyOnce = 2 << 2
)

// The form of an item: a first byte with the type and flags.
const (
	itemType  = 0x1f // a type that is larger follows
	itemOOL   = 1 << 5
	itemLong  = 1 << 6
	itemSized = 1 << 7 // the size of an element follows: it is not usual of the type
)

// usual is the size in bits that elements of a type usually have.
var usual = [...]uint16{
	machwire.Bool: 32, machwire.Int16: 16, machwire.Int32: 32, machwire.Char: 8, machwire.Byte: 8,
	machwire.Int64: 64, machwire.String: 8, machwire.PortName: 32, machwire.MoveSendOnce: 0,
}

func usualBits(t machwire.Type) uint16 {
	if int(t) < len(usual) {
		return usual[t]
	}
	return 0
}

// Free says that the body's data is needed no more. All that can be asked of it then is
// its size.
func (b *Body) Free() {
	if f := b.Release; f != nil {
		b.Release = nil
		f()
	}
}

// Size is the number of bytes that the body has in a record, and counts for (F2).
// Both ends of a session agree on it.
func (b *Body) Size() int { return b.size }

// ID is the message's id.
func (b *Body) ID() int32 { return int32(binary.LittleEndian.Uint32(b.enc[1:])) }

// Layout is that of the node that the message is from.
func (b *Body) Layout() machwire.Layout {
	if b.enc[0]&bodyWide != 0 {
		return machwire.Layout64
	}
	return machwire.Layout32
}

// Untyped reports whether the message has no items: it is one that is not
// complex, so that no kernel has looked at it, and has other data.
func (b *Body) Untyped() bool { return b.enc[0]&bodyUntyped != 0 }

// Reply is what the first right is, if that is the right to reply:
// [machwire.MoveSend] or [machwire.MoveSendOnce]. It is 0 if there is none.
func (b *Body) Reply() machwire.Type {
	switch b.enc[0] & bodyReplying {
	case replySend:
		return machwire.MoveSend
	case replyOnce:
		return machwire.MoveSendOnce
	}
	return 0
}

// Empty reports whether the message has neither items nor other data.
func (b *Body) Empty() bool { return len(b.enc) == bodyHeader }

// HasReply reports whether the first right is the right to reply.
func (b *Body) HasReply() bool { return b.enc[0]&bodyReplying != 0 }

// Rights is how many rights belong to the body, that to reply included. A [Codec]
// refuses a record with another number of them, or with a right that is not of
// the kind of its item.
func (b *Body) Rights() int { return b.rights }

// An Item is an item of a body.
type Item struct {
	Type   machwire.Type // of rights, a kind: MoveReceive, MoveSend or MoveSendOnce
	Bits   uint16        // of an element; 0 of rights
	Number uint32        // of elements
	OOL    bool          // out of line
	Long   bool          // the descriptor has the long form
	Data   []byte        // the elements, but of rights
}

func isRight(t machwire.Type) bool { return t >= machwire.MoveReceive && t <= machwire.MoveSendOnce }

// Items walks over the items. Of an untyped body there are none.
func (b *Body) Items() iter.Seq[Item] {
	return func(yield func(Item) bool) {
		w := b.walk()
		for w.more() {
			it, err := w.next()
			if err != nil || !yield(it) {
				return
			}
		}
	}
}

// A walker walks over the items of a body.
type walker struct {
	enc   []byte
	at    int
	ool   []piece
	local bool // out-of-line data is in ool
}

func (b *Body) walk() walker {
	w := walker{enc: b.enc, at: bodyHeader, ool: b.ool, local: len(b.ool) > 0}
	if b.Untyped() {
		w.at = len(b.enc)
	}
	return w
}

func (w *walker) more() bool { return w.at < len(w.enc) }

// next takes an item.
func (w *walker) next() (it Item, err error) {
	it, n, err := w.head()
	if err != nil {
		return it, err
	}
	if isRight(it.Type) {
		w.at += n
		return it, nil
	}
	size := (uint64(it.Number)*uint64(it.Bits) + 7) / 8
	if it.OOL && w.local {
		// Made by Encode.
		it.Data = w.ool[0].data
		w.ool = w.ool[1:]
		w.at += n
		return it, nil
	}
	b := w.enc[w.at:]
	if size > uint64(len(b)-n) {
		return it, fmt.Errorf("%d × %v of %d bits in %d bytes", it.Number, it.Type, it.Bits, len(b)-n)
	}
	end := n + int(size)
	it.Data = b[n:end:end]
	w.at += end
	return it, nil
}

// head returns the item that comes next, without its data, and the length of what
// describes it.
func (w *walker) head() (it Item, n int, err error) {
	b := w.enc[w.at:]
	head := b[0]
	n = 1
	it.Type = machwire.Type(head & itemType)
	it.OOL, it.Long = head&itemOOL != 0, head&itemLong != 0
	if it.Type == itemType {
		if len(b) < 2 || b[1] < itemType {
			return it, 0, fmt.Errorf("an item without a type")
		}
		it.Type = machwire.Type(b[1])
		n = 2
	}
	if it.Type > machwire.MoveSendOnce && it.Type.IsRight() {
		return it, 0, fmt.Errorf("an item with a %v", it.Type)
	}
	it.Bits = usualBits(it.Type)
	switch {
	case head&itemSized != 0:
		if len(b) < n+2 {
			return it, 0, fmt.Errorf("an item without a size")
		}
		bits := binary.LittleEndian.Uint16(b[n:])
		if bits == it.Bits || isRight(it.Type) {
			return it, 0, fmt.Errorf("%v with a size of %d that need not be said", it.Type, bits)
		}
		it.Bits = bits
		n += 2
	case it.Bits == 0 && !isRight(it.Type):
		return it, 0, fmt.Errorf("%v without a size", it.Type)
	}
	count, k := uvarint(b[n:])
	if k <= 0 || count > math.MaxUint32 {
		return it, 0, fmt.Errorf("%v without a number", it.Type)
	}
	it.Number = uint32(count)
	n += k
	return it, n, nil
}

// decode makes b the body that enc is, and checks it, and that the rights fit it.
// It keeps enc.
func (b *Body) decode(enc []byte, list []rights.Right) error {
	if len(enc) < bodyHeader {
		return fmt.Errorf("a message of %d bytes", len(enc))
	}
	b.enc, b.size = enc, len(enc)
	n := 0
	fits := func(t machwire.Type, count uint64) error {
		if count > uint64(len(list)-n) {
			return fmt.Errorf("a message with more than its %d rights", len(list))
		}
		for _, r := range list[n : n+int(count)] {
			if r.Kind != rights.Null && r.Kind != rights.Dead && r.Kind != kindOf(t) {
				return fmt.Errorf("a %v right in the place of a %v", r.Kind, kindOf(t))
			}
		}
		n += int(count)
		return nil
	}
	if enc[0]&^(bodyWide|bodyUntyped|bodyReplying) != 0 || enc[0]&bodyReplying == bodyReplying {
		return fmt.Errorf("a message %#x", enc[0])
	}
	if t := b.Reply(); t != 0 {
		if err := fits(t, 1); err != nil {
			return err
		}
	}
	w := b.walk()
	for w.more() {
		it, err := w.next()
		if err != nil {
			return err
		}
		if isRight(it.Type) {
			if err := fits(it.Type, uint64(it.Number)); err != nil {
				return err
			}
		}
	}
	if n != len(list) {
		return fmt.Errorf("a message with %d of its %d rights", n, len(list))
	}
	b.rights = n
	return nil
}

func kindOf(t machwire.Type) rights.Kind {
	switch t {
	case machwire.MoveReceive:
		return rights.Receive
	case machwire.MoveSend:
		return rights.Send
	default:
		return rights.SendOnce
	}
}

// append appends the body to a record, and to gaps its out-of-line data of large bytes
// or more, which is left out.
func (b *Body) append(dst []byte, gaps []Gap, large int) ([]byte, []Gap) {
	if len(b.ool) == 0 && len(b.enc) >= large {
		// One that was received, and goes on to another node.
		return append(dst, b.enc[:bodyHeader]...), append(gaps, Gap{len(dst) + bodyHeader, b.enc[bodyHeader:]})
	}
	at := 0
	for _, p := range b.ool {
		dst = append(dst, b.enc[at:p.at]...)
		if len(p.data) >= large {
			gaps = append(gaps, Gap{len(dst), p.data})
		} else {
			dst = append(dst, p.data...)
		}
		at = p.at
	}
	return append(dst, b.enc[at:]...), gaps
}

// A MachRight is a right in a received Mach message.
type MachRight struct {
	Port machwire.Port
	Type machwire.Type // MoveReceive, MoveSend or MoveSendOnce, of null and dead ones too
}

// Encode takes a received message apart: into its body, and its rights, of which the
// first is that to reply, if there is one. They and the out-of-line memory are
// the message's until the caller takes them.
//
// Data in the message itself is copied. Out-of-line data is asked of memory, once
// for each item, and must stay, unchanged, until the body is no longer needed; if
// memory is nil, of the message's own [machwire.Memory], which is also
// asked for arrays of rights.
//
// An error is a message that cannot be carried.
func Encode(m *machwire.Message, memory func(machwire.Item) ([]byte, error)) (*Body, []MachRight, error) {
	b := new(Body)
	list := b.few[:0]
	flags := byte(0)
	if m.Layout() == machwire.Layout64 {
		flags |= bodyWide
	}
	port, t := m.Remote()
	switch {
	case t == machwire.MoveSend:
		flags |= replySend
	case t == machwire.MoveSendOnce:
		flags |= replyOnce
	case t == 0 && port == machwire.Null:
	default:
		return nil, nil, fmt.Errorf("message %d to be answered by a %v", m.ID(), t)
	}
	if t != 0 {
		list = append(list, MachRight{port, t})
	}
	b.enc = append(b.room[:0], flags)
	b.enc = binary.LittleEndian.AppendUint32(b.enc, uint32(m.ID()))
	for it, err := range m.Items() {
		if err == nil {
			list, err = b.add(&it, list, memory)
		}
		if err == nil {
			continue
		}
		if m.Complex() {
			return nil, nil, fmt.Errorf("message %d: %w", m.ID(), err)
		}
		// Nothing but bytes then, as it is for the kernel. It has no rights but
		// that to reply.
		b.enc[0] |= bodyUntyped
		b.enc = append(b.enc[:bodyHeader], m.Buffer(0)[m.Layout().HeaderSize():]...)
		list = list[:min(1, int(t))]
		break
	}
	b.rights = len(list)
	b.size = len(b.enc)
	for _, p := range b.ool {
		b.size += len(p.data)
	}
	return b, list, nil
}

// add adds an item of a Mach message.
func (b *Body) add(it *machwire.Item, list []MachRight, memory func(machwire.Item) ([]byte, error)) ([]MachRight, error) {
	right := it.Type.IsRight()
	if right && !isRight(it.Type) {
		return list, fmt.Errorf("%v in a message that was received", it.Desc)
	}
	var data []byte
	if it.OOL || right {
		var err error
		if memory != nil && !right {
			data, err = memory(*it)
		} else {
			data, err = it.Bytes()
		}
		if err != nil {
			return list, err
		}
		if uint64(len(data)) != it.Size() {
			return list, fmt.Errorf("%v: %d bytes of data", it.Desc, len(data))
		}
	} else {
		data = it.Data
	}
	head := byte(min(it.Type, itemType))
	if it.OOL {
		head |= itemOOL
	}
	if it.Long {
		head |= itemLong
	}
	sized := !right && it.Bits != usualBits(it.Type)
	if sized {
		head |= itemSized
	} else if !right && it.Bits == 0 {
		return list, fmt.Errorf("%v: elements of no size", it.Desc)
	}
	b.enc = append(b.enc, head)
	if it.Type >= itemType {
		b.enc = append(b.enc, byte(it.Type))
	}
	if sized {
		b.enc = binary.LittleEndian.AppendUint16(b.enc, it.Bits)
	}
	b.enc = binary.AppendUvarint(b.enc, uint64(it.Number))
	switch {
	case right:
		for i := range int(it.Number) {
			list = append(list, MachRight{it.Port(data, i), it.Type})
		}
	case it.OOL:
		if b.ool == nil {
			b.ool = b.one[:0]
		}
		b.ool = append(b.ool, piece{len(b.enc), data})
	default:
		b.enc = append(b.enc, data...)
	}
	return list, nil
}

// Place puts out-of-line data of a message where it can be given away with it, in pages of
// its own: it copies the data, or gives away its own pages ([Body.Give]).
type Place func(data []byte) (addr uint64, err error)

// Decode appends the items to m, which is new, with the body's [Body.ID], and the
// layout of this node. Header and destination are the caller's.
//
// For each item with rights, rights is asked for them: n, from the number first of
// the message's, which are of the kind that is said, null or dead; their
// disposition is that of all in the item. The right to reply, which is number 0 if
// [Body.HasReply], is not asked for.
//
// Out-of-line data goes where place says; if place is nil, the message
// refers to the body's, which must stay until the message has been sent.
//
// Of a message from a node with another word size, the items that are words or
// structures of words are made those of m's, if the message is of a known
// routine. Decode fails if a number does not fit, or if the message is untyped.
func (b *Body) Decode(m *machwire.Message, place Place, rights func(first, n int, kind machwire.Type) ([]machwire.Port, machwire.Type, error)) error {
	l := m.Layout()
	convert := l != b.Layout()
	if b.Untyped() {
		if convert {
			return fmt.Errorf("message %d: its data has no types, and is of a %v node", b.ID(), b.Layout())
		}
		m.PutUntyped(b.enc[bodyHeader:])
		return m.Err()
	}
	first := 0
	if b.HasReply() {
		first = 1
	}
	var words string
	if convert {
		words = wordItems(b.ID())
	}
	w := b.walk()
	for i := 0; w.more(); i++ {
		it, err := w.next()
		if err != nil {
			return fmt.Errorf("message %d: %w", b.ID(), err) // never: it has been checked
		}
		if i < len(words) && words[i] != wordNone {
			if err := convertItem(&it, words[i], b.Layout(), l); err != nil {
				return fmt.Errorf("message %d, item %d: %w", b.ID(), i, err)
			}
		}
		d := machwire.Desc{Type: it.Type, Bits: it.Bits, Number: it.Number, OOL: it.OOL, Long: it.Long}
		if l == machwire.Layout32 && (d.Number > 0xfff || d.Bits > 0xff) {
			d.Long = true
		}
		switch {
		case isRight(it.Type):
			ports, disp, err := rights(first, int(it.Number), it.Type)
			if err != nil {
				return fmt.Errorf("message %d, item %d: %w", b.ID(), i, err)
			}
			if len(ports) != int(it.Number) {
				return fmt.Errorf("message %d, item %d: %d rights, not %d", b.ID(), i, len(ports), it.Number)
			}
			d.Type = disp
			putRights(m, d, ports)
			first += len(ports)
		case !it.OOL:
			m.Put(d, it.Data)
		case place == nil || len(it.Data) == 0:
			m.PutOOL(d, it.Data)
		default:
			addr, err := place(it.Data)
			if err != nil {
				return fmt.Errorf("message %d: %w", b.ID(), err)
			}
			d.Dealloc = true
			m.PutOOLAt(d, addr)
		}
	}
	return m.Err()
}

// putRights appends an item of rights.
func putRights(m *machwire.Message, d machwire.Desc, list []machwire.Port) {
	slot := 4
	d.Bits = 32
	if m.Layout() == machwire.Layout64 && !d.OOL {
		slot, d.Bits = 8, 64
	}
	var few [64]byte
	data := few[:0]
	if n := slot * len(list); n > len(few) || d.OOL {
		data = make([]byte, 0, n)
	}
	for _, p := range list {
		data = binary.LittleEndian.AppendUint32(data, uint32(p))
		if slot == 8 {
			data = append(data, 0, 0, 0, 0)
		}
	}
	if d.OOL {
		m.PutOOL(d, data)
		return
	}
	m.Put(d, data)
}
