package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
)

// The versions of the protocol that this package speaks.
const (
	MinVersion = 1
	MaxVersion = 1
)

// magic is how a greeting begins.
const magic = "netmsg\r\n"

// GreetingHeader is the number of bytes before a greeting: its magic and its
// length. [GreetingLength] reads it.
const GreetingHeader = len(magic) + 4

const (
	maxGreeting = 4096
	maxFeatures = 64
)

// ErrMagic is that what should be a greeting is none: the peer speaks another
// protocol.
var ErrMagic = errors.New("the peer does not speak netmsg")

// A Greeting is what each side of a session says first. It has the same form in
// all versions; what later ones add comes at its end, where earlier ones do not
// look.
type Greeting struct {
	MinVersion, MaxVersion uint16 // that the node speaks

	Node rights.Incarnation
	To   rights.NodeID // whom it believes to speak to; may be empty
	Word machwire.Layout

	// What the node takes from its peer (F1, F2, B1).
	Window, Budget, Message, Rights, Holds, Claims uint64

	// Dial numbers the sessions that the node has dialled, from 1, with all its
	// peers; it is 0 if the other end has dialled. Last is the last session that
	// the node had with this peer. By these S2 tells a session that crossed another
	// from one that comes after it.
	Dial uint64
	Last SessionID

	// Features are names of what the node can do beyond its version. Those that the
	// other side does not know mean nothing.
	Features []string
}

// A SessionID names a session between two incarnations: it is the one that one of
// them has dialled with a number. The zero SessionID is none.
type SessionID struct {
	Dial uint64
	Mine bool // dialled by who speaks of it
}

// AppendGreeting appends the bytes of a greeting to b.
func AppendGreeting(b []byte, g *Greeting) ([]byte, error) {
	le := binary.LittleEndian
	if !ValidName(g.Node.Node) || g.Node.Epoch == 0 || g.To != "" && !ValidName(g.To) {
		return b, fmt.Errorf("greeting of %v to %q", g.Node, string(g.To))
	}
	if len(g.Features) > maxFeatures {
		return b, fmt.Errorf("greeting with %d features", len(g.Features))
	}
	b = append(b, magic...)
	start := len(b)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint16(b, g.MinVersion)
	b = le.AppendUint16(b, g.MaxVersion)
	b = appendName(b, g.Node.Node)
	b = le.AppendUint64(b, g.Node.Epoch)
	b = appendName(b, g.To)
	b = append(b, byte(g.Word))
	for _, x := range [...]uint64{g.Window, g.Budget, g.Message, g.Rights, g.Holds, g.Claims, g.Dial, g.Last.Dial} {
		b = binary.AppendUvarint(b, x)
	}
	mine := byte(0)
	if g.Last.Mine {
		mine = 1
	}
	b = append(b, mine)
	b = binary.AppendUvarint(b, uint64(len(g.Features)))
	for _, f := range g.Features {
		if f == "" || len(f) > math.MaxUint8 {
			return b, fmt.Errorf("greeting with the feature %q", f)
		}
		b = append(append(b, byte(len(f))), f...)
	}
	if n := len(b) - start - 4; n > maxGreeting {
		return b, fmt.Errorf("greeting of %d bytes", n)
	}
	return endFrame(b, start), nil
}

// IsGreeting reports whether the first 8 bytes of a connection are those of a greeting.
func IsGreeting(b []byte) bool { return string(b) == magic }

// CloseLength returns the length, with its own, of the frame with a [Close] that
// begins with 8 bytes: the peer may say it in place of its greeting.
func CloseLength(b []byte) (n int, ok bool) {
	n = int(binary.LittleEndian.Uint32(b)) + FrameHeader
	return n, len(b) >= 8 && n >= 8 && n <= maxGreeting && b[FrameHeader] == typeClose
}

// GreetingLength returns the number of bytes that follow the header of a greeting.
// An error is [ErrMagic] or a [*rights.ProtocolError].
func GreetingLength(header []byte) (int, error) {
	if len(header) < GreetingHeader || string(header[:len(magic)]) != magic {
		return 0, ErrMagic
	}
	n := binary.LittleEndian.Uint32(header[len(magic):])
	if n > maxGreeting {
		return 0, protocolError(rights.CodeLimit, "B1", "a greeting of %d bytes", n)
	}
	return int(n), nil
}

// DecodeGreeting takes a greeting, without its header. Errors are
// [*rights.ProtocolError].
func DecodeGreeting(b []byte) (g Greeting, err error) {
	d := decoder{b: b}
	g.MinVersion, g.MaxVersion = d.uint16(), d.uint16()
	g.Node.Node = d.name(d.byte())
	g.Node.Epoch = d.uint64()
	if n := d.byte(); n > 0 {
		g.To = d.name(n)
	}
	g.Word = machwire.Layout(d.byte())
	for _, x := range [...]*uint64{&g.Window, &g.Budget, &g.Message, &g.Rights, &g.Holds, &g.Claims, &g.Dial, &g.Last.Dial} {
		*x = d.uvarint()
	}
	mine := d.byte()
	g.Last.Mine = mine == 1
	n := d.uvarint()
	if n > maxFeatures {
		d.limit("%d features", n)
	}
	for range n {
		f := d.take(int(d.byte()))
		if len(f) == 0 {
			d.fail("a feature without a name")
			break
		}
		g.Features = append(g.Features, string(f))
	}
	if d.err == nil {
		switch {
		case g.MinVersion == 0 || g.MaxVersion < g.MinVersion:
			d.fail("versions from %d to %d", g.MinVersion, g.MaxVersion)
		case g.Node.Epoch == 0:
			d.fail("%s has no epoch", g.Node.Node)
		case g.Word != machwire.Layout32 && g.Word != machwire.Layout64:
			d.fail("words of %d bytes", byte(g.Word))
		case mine > 1 || g.Last.Mine && g.Last.Dial == 0:
			d.fail("a last session %d/%d", g.Last.Dial, mine)
		case g.Window == 0 || g.Budget == 0:
			d.fail("a window of %d and a budget of %d", g.Window, g.Budget)
		}
	}
	if d.err != nil {
		return Greeting{}, d.err
	}
	return g, nil
}

// Version returns the version that two nodes speak: the last one that both know.
// It is a [*rights.ProtocolError] with [rights.CodeVersion] that there is none.
func Version(a, b *Greeting) (uint16, error) {
	v := min(a.MaxVersion, b.MaxVersion)
	if v < max(a.MinVersion, b.MinVersion) {
		return 0, protocolError(rights.CodeVersion, "B4", "%v speaks the versions %d to %d, %v %d to %d",
			a.Node, a.MinVersion, a.MaxVersion, b.Node, b.MinVersion, b.MaxVersion)
	}
	return v, nil
}
