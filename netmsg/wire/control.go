package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"hurdlab/netmsg/rights"
)

// Control is a frame about the session itself: a [Ping], a [Pong] or a [Close].
type Control interface{ control() }

type (
	// Ping asks for a Pong with the same number.
	Ping struct{ N uint64 }
	// Pong answers a Ping.
	Pong struct{ N uint64 }
	// Close is the last frame of a session: why it ends (B4).
	Close struct{ Err rights.ProtocolError }
)

func (Ping) control()  {}
func (Pong) control()  {}
func (Close) control() {}

// Lengths of the texts of a Close.
const (
	maxRule = 8
	maxText = 1000
)

// IsControl reports whether a frame, without its length, is one of [Control].
func IsControl(frame []byte) bool { return len(frame) > 0 && frame[0]&typeMask >= typePing }

// AppendControl appends a frame to b. Texts that are too long are cut.
func AppendControl(b []byte, c Control) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	switch c := c.(type) {
	case Ping:
		b = binary.LittleEndian.AppendUint64(append(b, typePing), c.N)
	case Pong:
		b = binary.LittleEndian.AppendUint64(append(b, typePong), c.N)
	case Close:
		b = append(b, typeClose, byte(c.Err.Code))
		b = appendText(b, c.Err.Rule, maxRule)
		b = appendText(b, c.Err.Text, maxText)
	default:
		panic(fmt.Sprintf("wire: a %T", c))
	}
	return endFrame(b, start)
}

func appendText(b []byte, s string, limit int) []byte {
	if !printable([]byte(s)) {
		s = fmt.Sprintf("%q", s)
	}
	if len(s) > limit {
		s = s[:limit]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// DecodeControl takes a frame for which [IsControl] holds, without its length.
// Errors are [*rights.ProtocolError].
func DecodeControl(frame []byte) (Control, error) {
	d := decoder{b: frame}
	var c Control
	switch t := d.byte(); t {
	case typePing:
		c = Ping{d.uint64()}
	case typePong:
		c = Pong{d.uint64()}
	case typeClose:
		var e rights.ProtocolError
		e.Code = rights.Code(d.byte())
		e.Rule = d.text(maxRule)
		e.Text = d.text(maxText)
		c = Close{e}
	default:
		d.fail("a frame %#x", t)
	}
	if len(d.b) > 0 {
		d.fail("%d bytes after a %T", len(d.b), c)
	}
	if d.err != nil {
		return nil, d.err
	}
	return c, nil
}

// text takes a text for people. What would do something to a terminal is refused.
func (d *decoder) text(limit uint64) string {
	n := d.uvarint()
	if n > limit {
		d.limit("a text of %d bytes", n)
		return ""
	}
	b := d.take(int(n))
	if !printable(b) {
		d.fail("a text that cannot be shown")
		return ""
	}
	return string(b)
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}
