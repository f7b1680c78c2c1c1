package wire

import (
	"errors"
	"fmt"
	"testing"

	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"

	"pgregory.net/rapid"
)

var (
	alice = rights.Incarnation{Node: "alice", Epoch: 0xa11ce}
	bob   = rights.Incarnation{Node: "bob", Epoch: 0xb0b}
	carol = rights.Incarnation{Node: "carol", Epoch: 0xca201}
)

// ends returns the codecs of the two ends of a session.
func ends() (a, b *Codec) { return &Codec{Self: alice, Peer: bob}, &Codec{Self: bob, Peer: alice} }

// A memory is where out-of-line data of test messages is.
type memory map[uint64][]byte

func (m memory) Bytes(addr uint64, n int) ([]byte, error) {
	if b, ok := m[addr]; ok && len(b) == n {
		return b, nil
	}
	return nil, errors.New("no memory there")
}

// receive makes of a message that has been put together what its receiver gets: its
// out-of-line data is in memory, rights are of the kinds that arrive. The right to
// reply is what SetReply was given.
func receive(t testing.TB, m *machwire.Message) *machwire.Message {
	t.Helper()
	if err := m.Err(); err != nil {
		t.Fatal(err)
	}
	mem := memory{}
	next := uint64(0x100000)
	m.Bind(func(b []byte) uint64 {
		next += 0x100000
		mem[next] = b
		return next
	})
	reply, disp := m.Local()
	m.SetDest(reply, arrives(disp))
	m.SetReply(0, 0)
	got, err := machwire.Parse(m.Layout(), m.Buffer(0), mem)
	if err != nil {
		t.Fatal(err)
	}
	for it, err := range got.Items() {
		if err != nil {
			break
		}
		if it.Type.IsRight() {
			it.SetType(arrives(it.Type))
		}
	}
	return got
}

func arrives(t machwire.Type) machwire.Type {
	switch t {
	case machwire.CopySend, machwire.MakeSend:
		return machwire.MoveSend
	case machwire.MakeSendOnce:
		return machwire.MoveSendOnce
	}
	return t
}

// inRecord are the rights in a record for those of a message: number n for port n.
func inRecord(list []MachRight) []rights.Right {
	var out []rights.Right
	for _, p := range list {
		switch p.Port {
		case machwire.Null:
			out = append(out, rights.Right{Kind: rights.Null})
		case machwire.Dead:
			out = append(out, rights.Right{Kind: rights.Dead})
		default:
			out = append(out, rights.Right{Kind: kindOf(p.Type), ID: rights.ID{Origin: alice, Num: uint64(p.Port)}, Counted: true})
		}
	}
	return out
}

// arrived undoes inRecord, with other names of ports.
func arrived(list []rights.Right) []MachRight {
	var out []MachRight
	for _, r := range list {
		switch r.Kind {
		case rights.Null:
			out = append(out, MachRight{})
		case rights.Dead:
			out = append(out, MachRight{Port: machwire.Dead})
		default:
			out = append(out, MachRight{Port: machwire.Port(r.ID.Num) + 1000, Type: machwire.MoveReceive + machwire.Type(map[rights.Kind]int{rights.Receive: 0, rights.Send: 1, rights.SendOnce: 2}[r.Kind])})
		}
	}
	return out
}

// carry takes a received message to another node: through a record, to a message
// for the layout l.
func carry(t testing.TB, m *machwire.Message, l machwire.Layout) (*machwire.Message, error) {
	t.Helper()
	body, list, err := Encode(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := ends()
	frame, err := a.Append(nil, &rights.Record{Type: rights.RecMessage, ID: rights.ID{Origin: bob, Num: 1}, Message: &rights.Message{Body: body, Rights: inRecord(list)}})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := b.Decode(frame[FrameHeader:], false)
	if err != nil {
		t.Fatal(err)
	}
	got := rec.Message.Body.(*Body)
	if got.Size() != body.Size() {
		t.Fatalf("a body of %d bytes arrived with %d", body.Size(), got.Size())
	}
	out := machwire.New(l, got.ID())
	if err := deliver(got, out, arrived(rec.Message.Rights), nil); err != nil {
		return nil, err
	}
	return out, nil
}

// deliver makes the message of a body.
func deliver(b *Body, m *machwire.Message, list []MachRight, place Place) error {
	if t := b.Reply(); t != 0 {
		m.SetReply(list[0].Port, t)
	}
	return b.Decode(m, place, func(first, n int, kind machwire.Type) (ports []machwire.Port, _ machwire.Type, _ error) {
		for _, r := range list[first : first+n] {
			ports = append(ports, r.Port)
		}
		return ports, kind, nil
	})
}

// The generators.

func drawNode(t *rapid.T) rights.NodeID {
	return rights.NodeID(rapid.SampledFrom([]string{"alice", "bob", "carol", "d", "node-5.example_6"}).Draw(t, "node"))
}

func drawID(t *rapid.T) rights.ID {
	return rights.ID{
		Origin: rapid.SampledFrom([]rights.Incarnation{alice, bob, carol, {Node: "bob", Epoch: 1 << 63}, {Node: "zoe", Epoch: 1}}).Draw(t, "origin"),
		Num:    rapid.Uint64().Draw(t, "number"),
	}
}

func drawKey(t *rapid.T) (k rights.Key) {
	copy(k[:], rapid.SliceOfN(rapid.Byte(), len(k), len(k)).Draw(t, "key"))
	return k
}

func drawRight(t *rapid.T, k rights.Kind) rights.Right {
	if k = rapid.SampledFrom([]rights.Kind{rights.Null, rights.Dead, k, k, k}).Draw(t, "kind"); k <= rights.Dead {
		return rights.Right{Kind: k}
	}
	r := rights.Right{Kind: k, ID: drawID(t), Counted: rapid.Bool().Draw(t, "counted")}
	if hasKey(&r) {
		r.Key = drawKey(t)
	}
	return r
}

func drawLayout(t *rapid.T) machwire.Layout {
	return rapid.SampledFrom([]machwire.Layout{machwire.Layout32, machwire.Layout64}).Draw(t, "layout")
}

// drawMach draws a message as a task would make it.
func drawMach(t *rapid.T, l machwire.Layout) *machwire.Message {
	// Numbers of no routine: nothing is converted.
	m := machwire.New(l, rapid.Int32Range(-10, 1000).Draw(t, "id"))
	port := func() machwire.Port {
		return machwire.Port(rapid.OneOf(rapid.Uint32Range(0, 100), rapid.Just(uint32(machwire.Dead))).Draw(t, "port"))
	}
	data := func() []byte {
		n := rapid.OneOf(rapid.IntRange(0, 40), rapid.SampledFrom([]int{255, 256, 2048, 2049, 5000})).Draw(t, "bytes")
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i + n)
		}
		return b
	}
	rightTypes := rapid.SampledFrom([]machwire.Type{machwire.MoveReceive, machwire.MoveSend, machwire.MoveSendOnce, machwire.CopySend, machwire.MakeSendOnce})
	ports := func() []machwire.Port {
		list := make([]machwire.Port, rapid.OneOf(rapid.IntRange(0, 4), rapid.Just(300)).Draw(t, "ports"))
		for i := range list {
			list[i] = machwire.Port(i)
		}
		return list
	}
	if rapid.Bool().Draw(t, "answered") {
		m.SetReply(machwire.Port(77), rapid.SampledFrom([]machwire.Type{machwire.MoveSend, machwire.MakeSendOnce}).Draw(t, "reply"))
	}
	for range rapid.IntRange(0, 6).Draw(t, "items") {
		switch rapid.IntRange(0, 12).Draw(t, "item") {
		case 0:
			m.PutInt32(rapid.Int32().Draw(t, "int32"))
		case 1:
			m.PutInt64(rapid.Int64().Draw(t, "int64"))
		case 2:
			m.PutBool(true)
		case 3:
			m.PutInt16(-3)
		case 4:
			m.PutName(port())
		case 5:
			m.PutRight(port(), rightTypes.Draw(t, "right"))
		case 6:
			m.PutRights(ports(), rightTypes.Draw(t, "rights"))
		case 7:
			m.PutOOLRights(ports(), rightTypes.Draw(t, "rights"))
		case 8:
			m.PutString("string", 64)
		case 9:
			m.PutData(rapid.SampledFrom([]machwire.Type{machwire.Char, machwire.Byte}).Draw(t, "type"), data())
		case 10:
			m.PutOOLData(machwire.Char, data())
		case 11:
			m.PutInt32s(make([]int32, rapid.IntRange(0, 32).Draw(t, "int32s"))...)
		case 12:
			// device_open's name, and a type that nobody knows.
			b := make([]byte, 128)
			m.Put(machwire.Desc{Type: rapid.SampledFrom([]machwire.Type{machwire.String, machwire.Real, 30, 31, 200}).Draw(t, "odd"), Bits: 1024, Number: 1, Long: true}, b)
		}
	}
	return m
}

// flat is what a message says, whatever its layout.
func flat(t testing.TB, m *machwire.Message, port func(machwire.Port) string) []string {
	t.Helper()
	out := []string{fmt.Sprintf("id %d complex %v", m.ID(), m.Complex())}
	for it, err := range m.Items() {
		if err != nil {
			t.Fatal(err)
		}
		b, err := it.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		s := fmt.Sprintf("%v × %d ool %v long %v", it.Type, it.Number, it.OOL, it.Long)
		if it.Type.IsRight() {
			for i := range it.Ports() {
				s += " " + port(it.Port(b, i))
			}
		} else {
			s += fmt.Sprintf(" of %d: %x", it.Bits, b)
		}
		out = append(out, s)
	}
	return out
}
