package wire

import (
	"encoding/binary"
	"fmt"
	"math"

	"hurdlab/netmsg/rights"
)

// The form of a record (section 10 of the protocol): its first byte is a type,
// where the origin of its ID is described, and two flags.
const (
	typeMask    = 0x0f
	originShift = 4
	flagOnce    = 1 << 6
	flagDead    = 1 << 7

	// Types that are not the table's.
	typePing  = 13
	typePong  = 14
	typeClose = 15
)

// Of whom something is said.
const (
	ofSender   = 0
	ofReceiver = 1
	ofOther    = 2 // who follows
)

// The form of a right: its first byte is a kind, a flag, and where its origin is
// described.
const (
	kindMask         = 0x07
	flagCounted      = 1 << 3
	rightOriginShift = 4
)

// Nodes where one is always said: the length of a name, or one of these.
const (
	nodeSender   = 0xfe
	nodeReceiver = 0xff
)

// FrameHeader is the number of bytes before a record: its length, as a 32-bit
// number, in the byte order of all numbers here, little endian.
const FrameHeader = 4

// maxRight is the most bytes that a right in a record has.
const maxRight = 1 + binary.MaxVarintLen64 + (1 + rights.MaxNodeID + 8) + 16

// Limits bound what is decoded. The zero value of each means the protocol's (B1).
type Limits struct {
	Message int // bytes of a message: of [Body.Size]
	Rights  int // in a message
}

func (l Limits) message() int {
	if l.Message > 0 {
		return l.Message
	}
	return 16 << 20
}

func (l Limits) rights() int {
	if l.Rights > 0 {
		return l.Rights
	}
	return 1024
}

// MaxFrame is the length of the longest record within the limits.
func (l Limits) MaxFrame() int {
	return int(min(256+int64(l.rights())*maxRight+int64(l.message()), math.MaxInt32))
}

// A Codec puts the records of one session into bytes and takes them out again.
// Its ends are those of the session, as the one who uses it sees them. It is
// for one goroutine at a time; Append and Decode may be used by two.
type Codec struct {
	Self, Peer rights.Incarnation
	Limits     Limits // of what is decoded

	names map[string]rights.NodeID // of third nodes, so that each is allocated once
}

// maxNames bounds the names that a Codec remembers.
const maxNames = 256

// A Gap is a place in encoded records where data belongs that was left out.
type Gap struct {
	At   int // in what is encoded
	Data []byte
}

// Append appends a frame with the record to b. It fails if there is no such
// record, which is an error of the one who made it.
func (c *Codec) Append(b []byte, r *rights.Record) ([]byte, error) {
	b, _, err := c.AppendParts(b, nil, r, math.MaxInt)
	return b, err
}

// AppendParts is [Codec.Append] that leaves out, and appends to gaps, out-of-line data of
// large bytes or more, so that it need not be copied. The data is the body's.
func (c *Codec) AppendParts(b []byte, gaps []Gap, r *rights.Record, large int) ([]byte, []Gap, error) {
	start, first := len(b), len(gaps)
	head := byte(r.Type)
	if r.Once {
		head |= flagOnce
	}
	if r.Dead {
		head |= flagDead
	}
	if r.Type != rights.RecOffer {
		head |= c.whose(r.ID.Origin) << originShift
	}
	b = append(b, 0, 0, 0, 0, head)
	if r.Type != rights.RecOffer {
		b = c.appendID(b, r.ID)
	}
	var err error
	switch r.Type {
	case rights.RecMessage, rights.RecOffer:
		b, gaps, err = c.appendMessage(b, gaps, r, large)
	case rights.RecDelivered, rights.RecRelease:
		b = binary.AppendUvarint(b, r.N)
	case rights.RecDead:
	case rights.RecClaimed:
		if r.Node == "" {
			b = append(b, 0)
			break
		}
		b, err = c.appendNode(b, r.Node)
	case rights.RecClaim:
		b = append(b, r.Key[:]...)
		b, err = c.appendNode(b, r.Node)
	case rights.RecMoved:
		b, err = c.appendNode(b, r.Node)
	default:
		err = fmt.Errorf("there is no %v", r.Type)
	}
	if err == nil {
		err = carried(r)
	}
	if err != nil {
		return b[:start], gaps[:first], fmt.Errorf("record %v of %v: %w", r.Type, r.ID, err)
	}
	left := 0
	for _, g := range gaps[first:] {
		left += len(g.Data)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-FrameHeader+left))
	return b, gaps, nil
}

// carried checks that a record has nothing that the format does not carry.
func carried(r *rights.Record) error {
	var x rights.Record // what is carried
	x.Type, x.ID, x.Once, x.Message = r.Type, r.ID, r.Once, r.Message
	switch r.Type {
	case rights.RecDelivered:
		x.N = r.N
	case rights.RecRelease:
		x.N, x.Dead = r.N, r.Dead
	case rights.RecClaim:
		x.Key, x.Node = r.Key, r.Node
	case rights.RecClaimed:
		x.Node, x.Dead = r.Node, r.Dead
	case rights.RecMoved:
		x.Node = r.Node
	case rights.RecOffer:
		x.ID, x.Once = rights.ID{}, false
	}
	if r.Type != rights.RecMessage && r.Type != rights.RecOffer {
		x.Message = nil
	}
	if x != *r {
		return fmt.Errorf("it has what it cannot carry: %+v", *r)
	}
	return nil
}

// endFrame fills in the length of the frame that begins at start.
func endFrame(b []byte, start int) []byte {
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-FrameHeader))
	return b
}

func (c *Codec) whose(i rights.Incarnation) byte {
	switch i {
	case c.Self:
		return ofSender
	case c.Peer:
		return ofReceiver
	}
	return ofOther
}

func (c *Codec) appendID(b []byte, id rights.ID) []byte {
	b = binary.AppendUvarint(b, id.Num)
	if c.whose(id.Origin) == ofOther {
		b = appendName(b, id.Origin.Node)
		b = binary.LittleEndian.AppendUint64(b, id.Origin.Epoch)
	}
	return b
}

func appendName(b []byte, n rights.NodeID) []byte {
	return append(append(b, byte(len(n))), n...)
}

func (c *Codec) appendNode(b []byte, n rights.NodeID) ([]byte, error) {
	switch {
	case n == c.Self.Node:
		return append(b, nodeSender), nil
	case n == c.Peer.Node:
		return append(b, nodeReceiver), nil
	case !ValidName(n):
		return b, fmt.Errorf("node %q", string(n))
	}
	return appendName(b, n), nil
}

func (c *Codec) appendMessage(b []byte, gaps []Gap, r *rights.Record, large int) ([]byte, []Gap, error) {
	m := r.Message
	if m == nil {
		return b, gaps, fmt.Errorf("it has no message")
	}
	b = binary.AppendUvarint(b, uint64(len(m.Rights)))
	for i := range m.Rights {
		x := &m.Rights[i]
		head := byte(x.Kind)
		switch x.Kind {
		case rights.Null, rights.Dead:
			b = append(b, head)
			continue
		case rights.Send, rights.SendOnce, rights.Receive:
		default:
			return b, gaps, fmt.Errorf("right of %v", x.Kind)
		}
		if x.Counted {
			head |= flagCounted
		}
		head |= c.whose(x.ID.Origin) << rightOriginShift
		b = append(b, head)
		b = c.appendID(b, x.ID)
		if hasKey(x) {
			b = append(b, x.Key[:]...)
		}
	}
	if r.Type == rights.RecOffer {
		if m.Body != nil || len(m.Rights) != 1 {
			return b, gaps, fmt.Errorf("an offer of %d rights", len(m.Rights))
		}
		return b, gaps, nil
	}
	body, ok := m.Body.(*Body)
	if !ok || body == nil {
		return b, gaps, fmt.Errorf("a body of type %T", m.Body)
	}
	if body.Rights() != len(m.Rights) {
		return b, gaps, fmt.Errorf("%d rights in a body with room for %d", len(m.Rights), body.Rights())
	}
	b, gaps = body.append(b, gaps, large)
	return b, gaps, nil
}

// received is what is allocated for a record with a message: all at once.
type received struct {
	message rights.Message
	body    Body
	rights  [2]rights.Right
}

// Decode takes a record, without its length, out of a frame. If keep, the frame is
// the record's from now on, and its message's data stays there; if not, it is
// copied. Errors are [*rights.ProtocolError].
//
// The frame of a [Ping], a [Pong] or a [Close] is none of a record: see [Control].
func (c *Codec) Decode(frame []byte, keep bool) (r rights.Record, err error) {
	d := decoder{b: frame, c: c}
	head := d.byte()
	r.Type = rights.RecordType(head & typeMask)
	r.Once = head&flagOnce != 0
	r.Dead = head&flagDead != 0
	origin := head >> originShift & 3
	if r.Type == rights.RecOffer {
		if origin != 0 || r.Once {
			d.fail("an offer %#x", head)
		}
	} else {
		r.ID = d.id(origin)
	}
	switch r.Type {
	case rights.RecMessage, rights.RecOffer:
		r.Message = d.message(r.Type, keep)
	case rights.RecDelivered, rights.RecRelease:
		r.N = d.uvarint()
	case rights.RecDead:
	case rights.RecClaimed:
		if len(d.b) > 0 && d.b[0] == 0 {
			d.b = d.b[1:]
			break
		}
		r.Node = d.node()
	case rights.RecClaim:
		copy(r.Key[:], d.take(len(r.Key)))
		r.Node = d.node()
	case rights.RecMoved:
		r.Node = d.node()
	default:
		d.fail("a record of type %d", byte(r.Type))
	}
	if r.Dead && r.Type != rights.RecClaimed && r.Type != rights.RecRelease {
		d.fail("a record of type %v that is dead", r.Type)
	}
	if len(d.b) > 0 {
		d.fail("%d bytes after a record of type %v", len(d.b), r.Type)
	}
	if d.err != nil {
		return rights.Record{}, d.err
	}
	return r, nil
}

// DataAt looks for out-of-line data of large bytes or more in the message of a record, whose
// beginning is start: where in the record the first begins, for who would have it at the
// start of a page. It is -1 if there is none.
func (c *Codec) DataAt(start []byte, large int) int {
	d := decoder{b: start, c: &Codec{Self: c.Self, Peer: c.Peer, Limits: c.Limits}}
	head := d.byte()
	if rights.RecordType(head&typeMask) != rights.RecMessage {
		return -1
	}
	d.id(head >> originShift & 3)
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		d.right()
	}
	if d.err != nil || len(d.b) < bodyHeader || d.b[0]&bodyUntyped != 0 {
		return -1
	}
	w := walker{enc: d.b, at: bodyHeader}
	for w.more() {
		it, n, err := w.head()
		if err != nil {
			return -1
		}
		w.at += n
		if isRight(it.Type) {
			continue
		}
		size := (uint64(it.Number)*uint64(it.Bits) + 7) / 8
		if it.OOL && size >= uint64(large) {
			return len(start) - len(d.b) + w.at
		}
		if size > uint64(len(w.enc)-w.at) {
			return -1
		}
		w.at += int(size)
	}
	return -1
}

// A decoder takes values from the start of b. The first failure sticks, and
// empties b.
type decoder struct {
	b   []byte
	c   *Codec
	err error
}

func protocolError(code rights.Code, rule, format string, args ...any) error {
	return &rights.ProtocolError{Code: code, Rule: rule, Text: fmt.Sprintf(format, args...)}
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = protocolError(rights.CodeProtocol, "S4", format, args...)
	}
	d.b = nil
}

func (d *decoder) limit(format string, args ...any) {
	if d.err == nil {
		d.err = protocolError(rights.CodeLimit, "B1", format, args...)
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("the record ends early")
		return 0
	}
	x := d.b[0]
	d.b = d.b[1:]
	return x
}

// take returns n bytes of the record itself, or nil.
func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail("the record ends early")
		return nil
	}
	x := d.b[:n:n]
	d.b = d.b[n:]
	return x
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// uvarint takes a number in its only form.
func (d *decoder) uvarint() uint64 {
	x, n := uvarint(d.b)
	if n <= 0 {
		d.fail("a number that is none")
		return 0
	}
	d.b = d.b[n:]
	return x
}

// uvarint is [binary.Uvarint] that refuses what is longer than it must be.
func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	x, n := binary.Uvarint(b)
	if n > 1 && b[n-1] == 0 {
		return 0, 0
	}
	return x, n
}

// name takes a name of n bytes.
func (d *decoder) name(n byte) rights.NodeID {
	if n == 0 || n > rights.MaxNodeID {
		d.fail("a node's name of %d bytes", n)
		return ""
	}
	b := d.take(int(n))
	if b == nil {
		return ""
	}
	if d.c != nil {
		if name, ok := d.c.names[string(b)]; ok {
			return name
		}
	}
	name := rights.NodeID(b)
	if !ValidName(name) {
		d.fail("%q is no name of a node", b)
		return ""
	}
	if d.c != nil && len(d.c.names) < maxNames {
		if d.c.names == nil {
			d.c.names = make(map[string]rights.NodeID)
		}
		d.c.names[string(name)] = name
	}
	return name
}

// other takes the name of a node that is neither end of the session.
func (d *decoder) other(n byte) rights.NodeID {
	name := d.name(n)
	if name != "" && (name == d.c.Self.Node || name == d.c.Peer.Node) {
		d.fail("%s is an end of the session", name)
	}
	return name
}

func (d *decoder) node() rights.NodeID {
	switch n := d.byte(); n {
	case nodeSender:
		return d.c.Peer.Node
	case nodeReceiver:
		return d.c.Self.Node
	default:
		return d.other(n)
	}
}

func (d *decoder) id(origin byte) (id rights.ID) {
	id.Num = d.uvarint()
	switch origin {
	case ofSender:
		id.Origin = d.c.Peer
	case ofReceiver:
		id.Origin = d.c.Self
	case ofOther:
		// Another incarnation of an end is one too.
		id.Origin.Node = d.name(d.byte())
		id.Origin.Epoch = d.uint64()
		if d.err == nil && (id.Origin.Epoch == 0 || id.Origin == d.c.Self || id.Origin == d.c.Peer) {
			d.fail("%v as another origin", id.Origin)
		}
	default:
		d.fail("an ID without an origin")
	}
	return id
}

// minRight is the fewest bytes that a right has.
const minRight = 1

func (d *decoder) message(t rights.RecordType, keep bool) *rights.Message {
	n := d.uvarint()
	if n > uint64(d.c.Limits.rights()) {
		d.limit("a message with %d rights, more than %d", n, d.c.Limits.rights())
		return nil
	}
	if n*minRight > uint64(len(d.b)) {
		d.fail("%d rights in %d bytes", n, len(d.b))
		return nil
	}
	x := new(received)
	list := x.rights[:0]
	if int(n) > len(x.rights) {
		list = make([]rights.Right, 0, n)
	}
	for range n {
		list = append(list, d.right())
	}
	if d.err != nil {
		return nil
	}
	if n > 0 {
		x.message.Rights = list
	}
	rest := d.b
	d.b = nil
	switch {
	case t == rights.RecOffer:
		if len(rest) > 0 || n != 1 {
			d.fail("an offer of %d rights and %d bytes", n, len(rest))
			return nil
		}
		return &x.message
	case len(rest) == 0:
		d.fail("a message without a body")
		return nil
	case len(rest) > d.c.Limits.message():
		d.limit("a message of %d bytes, more than %d", len(rest), d.c.Limits.message())
		return nil
	}
	if !keep {
		rest = append(x.body.room[:0], rest...)
	}
	if err := x.body.decode(rest, list); err != nil {
		d.fail("%v", err)
		return nil
	}
	x.message.Body = &x.body
	return &x.message
}

func (d *decoder) right() (r rights.Right) {
	head := d.byte()
	r.Kind = rights.Kind(head & kindMask)
	switch r.Kind {
	case rights.Null, rights.Dead:
		if head&^kindMask != 0 {
			d.fail("a right %#x", head)
		}
		return r
	case rights.Send, rights.SendOnce, rights.Receive:
	default:
		d.fail("a right of %v", r.Kind)
		return r
	}
	r.Counted = head&flagCounted != 0
	r.ID = d.id(head >> rightOriginShift & 3)
	if hasKey(&r) {
		copy(r.Key[:], d.take(len(r.Key)))
	}
	if head&^(kindMask|flagCounted|3<<rightOriginShift) != 0 {
		d.fail("a right %#x", head)
	}
	return r
}

// hasKey reports whether the key is said with a right: if not, its receiver has it.
func hasKey(r *rights.Right) bool { return r.Counted || r.Kind == rights.Receive }

// ValidName reports whether n can be the name of a node: 1 to
// [rights.MaxNodeID] letters, digits and any of "._-", the first of them none
// of these.
func ValidName(n rights.NodeID) bool {
	if n == "" || len(n) > rights.MaxNodeID {
		return false
	}
	for i := range len(n) {
		switch c := n[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}
