package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"

	"pgregory.net/rapid"
)

// drawRecord draws a record without a body.
func drawRecord(t *rapid.T) rights.Record {
	r := rights.Record{Type: rapid.SampledFrom([]rights.RecordType{rights.RecDelivered, rights.RecRelease, rights.RecDead, rights.RecClaim, rights.RecClaimed, rights.RecMoved, rights.RecOffer}).Draw(t, "type")}
	if r.Type == rights.RecOffer {
		r.Message = &rights.Message{Rights: []rights.Right{drawRight(t, rights.Send)}}
		return r
	}
	r.ID = drawID(t)
	r.Once = rapid.Bool().Draw(t, "once")
	switch r.Type {
	case rights.RecRelease:
		r.N = rapid.Uint64().Draw(t, "n")
		r.Dead = rapid.Bool().Draw(t, "dead")
	case rights.RecDelivered:
		r.N = rapid.Uint64().Draw(t, "n")
	case rights.RecClaim:
		r.Key = drawKey(t)
		r.Node = drawNode(t)
	case rights.RecClaimed:
		r.Dead = rapid.Bool().Draw(t, "dead")
		if rapid.Bool().Draw(t, "instead") {
			r.Node = drawNode(t)
		}
	case rights.RecMoved:
		r.Node = drawNode(t)
	}
	return r
}

func TestRecordsRoundTrip(t *testing.T) {
	a, b := ends()
	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t)
		frame, err := a.Append([]byte("before"), &want)
		if err != nil {
			t.Fatal(err)
		}
		frame = frame[len("before"):]
		if n := binary.LittleEndian.Uint32(frame); int(n) != len(frame)-FrameHeader {
			t.Fatalf("a frame of %d bytes says that it has %d", len(frame)-FrameHeader, n)
		}
		got, err := b.Decode(frame[FrameHeader:], rapid.Bool().Draw(t, "keep"))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\nwant %+v", got, want)
		}
	})
}

func TestMessageRecordsRoundTrip(t *testing.T) {
	a, b := ends()
	rapid.Check(t, func(rt *rapid.T) {
		body, list, err := Encode(receive(t, drawMach(rt, drawLayout(rt))), nil)
		if err != nil {
			rt.Fatal(err)
		}
		want := rights.Record{Type: rights.RecMessage, ID: drawID(rt), Once: rapid.Bool().Draw(rt, "once"), Message: &rights.Message{Body: body}}
		for _, p := range list {
			if len(want.Message.Rights) < 5 {
				want.Message.Rights = append(want.Message.Rights, drawRight(rt, kindOf(p.Type)))
			} else {
				want.Message.Rights = append(want.Message.Rights, rights.Right{})
			}
		}
		frame, err := a.Append(nil, &want)
		if err != nil {
			rt.Fatal(err)
		}
		frame = frame[FrameHeader:]
		keep := rapid.Bool().Draw(rt, "keep")
		got, err := b.Decode(frame, keep)
		if err != nil {
			rt.Fatal(err)
		}
		enc, _ := body.append(nil, nil, math.MaxInt)
		if !keep {
			clear(frame)
		}
		if g := got.Message.Body.(*Body); !bytes.Equal(g.enc, enc) || g.Size() != body.Size() || g.Rights() != body.Rights() {
			rt.Fatalf("%+v\nwant %+v", g, body)
		}
		got.Message.Body, want.Message.Body = nil, nil
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("%+v\nwant %+v", got, want)
		}
	})
}

// What was decoded is encoded as it was: everything has one form.
func checkCanonical(t *testing.T, frame []byte) {
	a, b := ends()
	r, err := b.Decode(bytes.Clone(frame), false)
	if err != nil {
		if _, ok := errors.AsType[*rights.ProtocolError](err); !ok {
			t.Fatalf("%T: %v", err, err)
		}
		return
	}
	again, err := a.Append(nil, &r)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	if !bytes.Equal(again[FrameHeader:], frame) {
		t.Fatalf("%x became %x", frame, again[FrameHeader:])
	}
	if r.Message != nil && r.Message.Body != nil {
		body := r.Message.Body.(*Body)
		for _, l := range []machwire.Layout{machwire.Layout32, machwire.Layout64} {
			_ = deliver(body, machwire.New(l, 0), make([]MachRight, body.Rights()), nil)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, g := range goldenFrames(f) {
		if g.record {
			f.Add(g.bytes[FrameHeader:])
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) { checkCanonical(t, frame) })
}

func FuzzDecodeGreeting(f *testing.F) {
	for _, g := range goldenFrames(f) {
		if strings.HasPrefix(g.name, "greeting") {
			f.Add(g.bytes)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < GreetingHeader {
			return
		}
		n, err := GreetingLength(b[:GreetingHeader])
		if err != nil || n > len(b)-GreetingHeader {
			return
		}
		g, err := DecodeGreeting(b[GreetingHeader : GreetingHeader+n])
		if err != nil {
			return
		}
		again, err := AppendGreeting(nil, &g)
		if err != nil {
			t.Fatalf("%+v: %v", g, err)
		}
		// What later versions have added is gone.
		if !bytes.HasPrefix(b[GreetingHeader:], again[GreetingHeader:]) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func FuzzDecodeControl(f *testing.F) {
	for _, g := range goldenFrames(f) {
		if g.control {
			f.Add(g.bytes[FrameHeader:])
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if !IsControl(frame) {
			return
		}
		c, err := DecodeControl(frame)
		if err != nil {
			return
		}
		if again := AppendControl(nil, c)[FrameHeader:]; !bytes.Equal(again, frame) {
			t.Fatalf("%x became %x", frame, again)
		}
	})
}

// Every record, cut anywhere or with any bit changed, is refused or is another one.
func TestDamagedRecords(t *testing.T) {
	_, b := ends()
	for _, g := range goldenFrames(t) {
		if !g.record {
			continue
		}
		frame := g.bytes[FrameHeader:]
		for n := range frame {
			r, err := b.Decode(frame[:n], false)
			if err == nil && r.Message == nil {
				t.Errorf("%s: %d bytes of it are %+v", g.name, n, r)
			}
			checkCanonical(t, frame[:n])
		}
		for i := range frame {
			for bit := range 8 {
				x := bytes.Clone(frame)
				x[i] ^= 1 << bit
				checkCanonical(t, x)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	code := func(err error) rights.Code {
		e, ok := errors.AsType[*rights.ProtocolError](err)
		if !ok {
			t.Fatalf("%T: %v", err, err)
		}
		return e.Code
	}
	a, b := ends()
	message := func(n, bytes int) []byte {
		m := machwire.New(machwire.Layout32, 1)
		m.PutRights(make([]machwire.Port, n), machwire.CopySend)
		m.PutData(machwire.Byte, make([]byte, bytes))
		body, list, err := Encode(receive(t, m), nil)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := a.Append(nil, &rights.Record{Type: rights.RecMessage, ID: rights.ID{Origin: bob}, Message: &rights.Message{Body: body, Rights: inRecord(list)}})
		if err != nil {
			t.Fatal(err)
		}
		return frame[FrameHeader:]
	}
	b.Limits = Limits{Message: 1000, Rights: 10}
	if _, err := b.Decode(message(10, 900), false); err != nil {
		t.Error(err)
	}
	if _, err := b.Decode(message(11, 900), false); code(err) != rights.CodeLimit {
		t.Error(err)
	}
	if _, err := b.Decode(message(10, 1000), false); code(err) != rights.CodeLimit {
		t.Error(err)
	}
	b.Limits = Limits{}
	// A number of rights that is not backed by bytes allocates nothing.
	b.Limits.Rights = 1 << 30
	claim := binary.AppendUvarint([]byte{byte(rights.RecMessage) | ofReceiver<<originShift, 1}, 1<<29)
	if n := testing.AllocsPerRun(10, func() { _, _ = b.Decode(claim, false) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
	if n := b.Limits.MaxFrame(); n != math.MaxInt32 {
		t.Error(n)
	}
}

// What has another form than the one it should have is refused.
func TestRefusedRecords(t *testing.T) {
	_, b := ends()
	body := func(hex string) string { return "1105" + "00" + "00" + "01000000" + hex }
	for name, s := range map[string]string{
		"empty":                             "",
		"type 0":                            "0005",
		"a type that there is not":          "1905",
		"a control frame":                   "0d0100000000000000",
		"an ID without an origin":           "3405",
		"something after it":                "140500",
		"an offer with an origin":           "1800",
		"a dead message":                    "9105000001000000",
		"an offer of two rights":            "08020001",
		"an offer of none":                  "0800",
		"an offer with a body":              "0801000001000000",
		"a number of two forms":             "148500",
		"a number without an end":           "14ffffffffffffffffffffff01",
		"an end of the session as another":  "240505616c696365ce110a0000000000",
		"an origin without an epoch":        "240505636172656c0000000000000000",
		"an end of the session as a node":   "170503626f62",
		"an empty name":                     "170500",
		"a name of 64 bytes":                "170540" + strings.Repeat("61", 64),
		"a name with a space":               "1705036120" + "61",
		"a null right with an origin":       "08011000",
		"a right of kind 7":                 "080107",
		"a message without a body":          "110500",
		"a body of 4 bytes":                 "11050000010000",
		"flags that there are not":          "11050010" + "01000000",
		"two rights to reply":               "1105000c" + "01000000",
		"a right to reply that is missing":  "11050004" + "01000000",
		"a home":                            "0801" + "49" + "01" + strings.Repeat("00", 16),
		"an offer that is once":             "48" + "0100",
		"a right too many":                  "11050100" + "0001000000",
		"a right in the place of another":   "110501" + "13" + "05" + "00" + "01000000" + "1101", // once for send
		"a size that need not be said":      body("82" + "2000" + "01" + "00000000"),
		"a right with a size":               body("91" + "2000" + "00"),
		"a type that needs no second byte":  body("1f02" + "01" + "00000000"),
		"a type without a size":             body("0a" + "01" + "00000000"),
		"a right of a sender":               body("1300"),
		"an item without a number":          body("02"),
		"a number above 32 bits":            body("02" + "8080808010"),
		"an item without its data":          body("02" + "02" + "00000000"),
		"more rights than there are bytes":  "1105" + "7f",
		"more than the number of rights is": body("11" + "ffffffff0f"),
	} {
		frame, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(name, err)
		}
		r, err := b.Decode(frame, false)
		if _, ok := errors.AsType[*rights.ProtocolError](err); !ok {
			t.Errorf("%s: %+v, %v", name, r, err)
		} else if testing.Verbose() {
			t.Logf("%s: %v", name, err)
		}
	}
}

func TestWhatThereIsNotIsNotEncoded(t *testing.T) {
	a, _ := ends()
	for name, r := range map[string]rights.Record{
		"type":            {Type: 12},
		"no message":      {Type: rights.RecMessage},
		"a number":        {Type: rights.RecDead, N: 1},
		"a message":       {Type: rights.RecDead, Message: &rights.Message{}},
		"a node":          {Type: rights.RecRelease, Node: "bob"},
		"an ID":           {Type: rights.RecOffer, ID: rights.ID{Num: 1}, Message: &rights.Message{Rights: []rights.Right{{}}}},
		"no body":         {Type: rights.RecMessage, Message: &rights.Message{}},
		"no right":        {Type: rights.RecOffer, Message: &rights.Message{}},
		"no node":         {Type: rights.RecMoved},
		"name of a node":  {Type: rights.RecMoved, Node: "a b"},
		"kind of a right": {Type: rights.RecOffer, Message: &rights.Message{Rights: []rights.Right{{Kind: 7}}}},
	} {
		if b, err := a.Append([]byte("x"), &r); err == nil || string(b) != "x" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func TestGreetings(t *testing.T) {
	g := Greeting{MinVersion: 1, MaxVersion: 3, Node: alice, To: "bob", Word: 8, Window: 8, Budget: 1 << 20, Message: 16 << 20, Rights: 1024, Holds: 65536, Claims: 1024,
		Dial: 300, Last: SessionID{299, true}, Features: []string{"one", "two"}}
	b, err := AppendGreeting(nil, &g)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := GreetingLength(b); err != nil || n != len(b)-GreetingHeader {
		t.Fatal(n, err)
	}
	got, err := DecodeGreeting(append(b[GreetingHeader:], "what version 3 adds"...))
	if err != nil || !reflect.DeepEqual(got, g) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range len(b) - GreetingHeader {
		if _, err := DecodeGreeting(b[GreetingHeader : GreetingHeader+n]); err == nil {
			t.Errorf("%d bytes of it are a greeting", n)
		}
	}
	if _, err := GreetingLength([]byte("SSH-2.0-OpenSSH")); !errors.Is(err, ErrMagic) {
		t.Error(err)
	}
	for _, c := range []struct{ amin, amax, bmin, bmax, want uint16 }{{1, 1, 1, 1, 1}, {1, 3, 2, 5, 3}, {1, 3, 4, 5, 0}, {4, 5, 1, 3, 0}, {2, 9, 1, 2, 2}} {
		v, err := Version(&Greeting{MinVersion: c.amin, MaxVersion: c.amax}, &Greeting{MinVersion: c.bmin, MaxVersion: c.bmax})
		if v != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%+v: %d, %v", c, v, err)
		}
	}
}

func TestCloseIsCut(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 5000), strings.Repeat("é", 3000), "two\nlines", "\xff"} {
		c, err := DecodeControl(AppendControl(nil, Close{rights.ProtocolError{Code: rights.CodeLimit, Rule: "B1", Text: text}})[FrameHeader:])
		if err != nil {
			t.Errorf("%.20q: %v", text, err)
			continue
		}
		if e := c.(Close).Err; e.Code != rights.CodeLimit || e.Rule != "B1" || e.Text == "" {
			t.Errorf("%+v", e)
		}
	}
}

func TestValidName(t *testing.T) {
	for n, want := range map[rights.NodeID]bool{"node1": true, "a": true, "a.b-c_D9": true, "": false, "-a": false, ".": false, "a b": false, "é": false, "a/b": false,
		rights.NodeID(strings.Repeat("x", 63)): true, rights.NodeID(strings.Repeat("x", 64)): false} {
		if ValidName(n) != want {
			t.Errorf("%q: %v", n, !want)
		}
	}
}

// The golden file.

var rewrite = flag.Bool("rewrite", false, "write testdata/wire-v1.txt anew")

type golden struct {
	name            string
	what            string
	bytes           []byte
	record, control bool
}

func goldenFrames(t testing.TB) []golden {
	t.Helper()
	var list []golden
	a, _ := ends()
	id := rights.ID{Origin: bob, Num: 5}
	key := rights.Key{0: 0x10, 15: 0x1f}
	record := func(name string, r rights.Record) {
		b, err := a.Append(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, golden{name: name, what: describe(r), bytes: b, record: true})
	}
	message := func(name string, m *machwire.Message, rs ...rights.Right) {
		body, _, err := Encode(receive(t, m), nil)
		if err != nil {
			t.Fatal(err)
		}
		record(name, rights.Record{Type: rights.RecMessage, ID: id, Message: &rights.Message{Body: body, Rights: rs}})
	}
	control := func(name string, c Control) {
		list = append(list, golden{name: name, what: fmt.Sprintf("%+v", c), bytes: AppendControl(nil, c), control: true})
	}

	g := Greeting{MinVersion: 1, MaxVersion: 1, Node: alice, To: "bob", Word: machwire.Layout64, Window: 8, Budget: 1 << 20, Message: 16 << 20, Rights: 1024, Holds: 65536, Claims: 1024,
		Dial: 2, Last: SessionID{1, true}, Features: []string{"example"}}
	b, err := AppendGreeting(nil, &g)
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, golden{name: "greeting", what: fmt.Sprintf("%+v", g), bytes: b})

	record("delivered", rights.Record{Type: rights.RecDelivered, ID: id, N: 300})
	record("release", rights.Record{Type: rights.RecRelease, ID: rights.ID{Origin: carol, Num: 1}, N: 2, Dead: true})
	record("dead", rights.Record{Type: rights.RecDead, ID: rights.ID{Origin: alice, Num: 1 << 40}})
	record("claim", rights.Record{Type: rights.RecClaim, ID: id, Key: key, Node: "carol", Once: true})
	record("claimed", rights.Record{Type: rights.RecClaimed, ID: id, Dead: true})
	record("claim it there", rights.Record{Type: rights.RecClaimed, ID: id, Node: "carol"})
	record("moved", rights.Record{Type: rights.RecMoved, ID: id, Node: "alice"})
	record("offer", rights.Record{Type: rights.RecOffer, Message: &rights.Message{Rights: []rights.Right{{Kind: rights.Send, ID: rights.ID{Origin: alice, Num: 1}, Key: key, Counted: true}}}})

	for _, l := range []machwire.Layout{machwire.Layout32, machwire.Layout64} {
		m := machwire.New(l, 21001)
		m.SetReply(9, machwire.MakeSendOnce)
		m.PutInt64(-1)
		m.PutWord(4096)
		message(fmt.Sprintf("io_read from a node of %d bits", 8*l), m, rights.Right{Kind: rights.SendOnce, ID: rights.ID{Origin: alice, Num: 7}, Key: key, Counted: true})
	}
	m := machwire.New(machwire.Layout32, 21101)
	m.PutInt32(0)
	m.PutOOLData(machwire.Char, []byte("data"))
	message("its answer", m)
	m = machwire.New(machwire.Layout32, 4711)
	m.PutRights([]machwire.Port{1, 2, 3, 4}, machwire.CopySend)
	m.PutName(99)
	m.Put(machwire.Desc{Type: machwire.String, Bits: 1024, Number: 1, Long: true}, make([]byte, 128))
	message("rights of all kinds", m, rights.Right{}, rights.Right{Kind: rights.Dead},
		rights.Right{Kind: rights.Send, ID: rights.ID{Origin: bob, Num: 3}},
		rights.Right{Kind: rights.Send, ID: rights.ID{Origin: carol, Num: 4}, Key: key, Counted: true})
	m = machwire.New(machwire.Layout32, 1)
	m.PutUntyped([]byte("untyped!"))
	message("a message without types", m)

	control("ping", Ping{1})
	control("pong", Pong{1})
	control("close", Close{rights.ProtocolError{Code: rights.CodeLimit, Rule: "B1", Text: "2000 rights"}})
	return list
}

func describe(r rights.Record) string {
	s := fmt.Sprintf("%v", r.Type)
	if r.Type != rights.RecOffer {
		s += fmt.Sprintf(" %v", r.ID)
	}
	if r.N > 0 {
		s += fmt.Sprintf(" n %d", r.N)
	}
	if r.Node != "" {
		s += fmt.Sprintf(" node %s", r.Node)
	}
	if r.Key != (rights.Key{}) {
		s += fmt.Sprintf(" key %x", r.Key)
	}
	if r.Once {
		s += " once"
	}
	if r.Dead {
		s += " dead"
	}
	if r.Message == nil {
		return s
	}
	if b, ok := r.Message.Body.(*Body); ok {
		s += fmt.Sprintf(" message %d of a %v node", b.ID(), b.Layout())
		for it := range b.Items() {
			s += fmt.Sprintf(", %v × %d", it.Type, it.Number)
		}
	}
	for _, x := range r.Message.Rights {
		s += fmt.Sprintf(", right %v", x.Kind)
		if x.Kind > rights.Dead {
			s += fmt.Sprintf(" %v counted %v", x.ID, x.Counted)
		}
	}
	return s
}

// The bytes of a version do not change: nodes that speak it are out there. If this
// test fails, make the change a new version: MaxVersion, a file of its own here, and
// a row in docs/netmsg-protocol.md, section 10. Only what has not been
// released, or has been added, may be written with go test -rewrite.
func TestGolden(t *testing.T) {
	const file = "testdata/wire-v1.txt"
	var b strings.Builder
	b.WriteString("# Frames of version 1 from alice to bob: name, meaning, bytes. See TestGolden.\n")
	for _, g := range goldenFrames(t) {
		fmt.Fprintf(&b, "\n%s\n%s\n", g.name, g.what)
		for s := hex.EncodeToString(g.bytes); s != ""; {
			n := min(64, len(s))
			fmt.Fprintf(&b, "\t%s\n", s[:n])
			s = s[n:]
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the wire has changed; it is now\n%s", b.String())
	}
}
