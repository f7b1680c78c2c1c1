package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

var layouts = []Layout{Layout32, Layout64}

// addresses is memory at made-up addresses.
type addresses map[uint64][]byte

func (a addresses) bind(b []byte) uint64 {
	addr := uint64(len(a)+1) << 16
	a[addr] = b
	return addr
}

func (a addresses) Bytes(addr uint64, n int) ([]byte, error) {
	b, ok := a[addr]
	if !ok || n > len(b) {
		return nil, fmt.Errorf("%d bytes at %#x: there are %d", n, addr, len(b))
	}
	return b[:n], nil
}

// receive returns m as its receiver gets it.
func receive(t *testing.T, m *Message) *Message {
	t.Helper()
	if err := m.Err(); err != nil {
		t.Fatal(err)
	}
	mem := addresses{}
	m.Bind(mem.bind)
	m.SetDest(1, CopySend)
	got, err := Parse(m.layout, bytes.Clone(m.Buffer(0)), mem)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// body returns m's items as words of 32 bits, or of 64.
func body(m *Message) string {
	b := m.Buffer(0)[m.layout.HeaderSize():]
	var words []string
	for len(b) >= int(m.layout) {
		w := append([]byte(nil), b[:m.layout]...)
		for i, j := 0, len(w)-1; i < j; i, j = i+1, j-1 {
			w[i], w[j] = w[j], w[i]
		}
		words = append(words, hex.EncodeToString(w))
		b = b[m.layout:]
	}
	return strings.Join(words, " ")
}

// The descriptors and values of section 8.1 of the document.
func TestItems(t *testing.T) {
	ports := []Port{5, 6}
	for _, c := range []struct {
		name    string
		put     func(m *Message)
		b32     string
		b64     string
		complex bool
	}{
		{"i32", func(m *Message) { m.PutInt32(-2) }, "10012002 fffffffe", "0000000120002002 00000000fffffffe", false},
		{"bool", func(m *Message) { m.PutBool(true) }, "10012000 00000001", "0000000120002000 0000000000000001", false},
		{"i16", func(m *Message) { m.PutInt16(0x1234) }, "10011001 00001234", "0000000120001001 0000000000001234", false},
		{"i64", func(m *Message) { m.PutInt64(0x1122334455667788) }, "1001400b 55667788 11223344", "000000012000400b 1122334455667788", false},
		{"w", func(m *Message) { m.PutWord(0x1000) }, "10012002 00001000", "000000012000400b 0000000000001000", false},
		{"name", func(m *Message) { m.PutName(9) }, "1001200f 00000009", "000000012000200f 0000000000000009", false},
		{"copy send", func(m *Message) { m.PutRight(9, CopySend) }, "10012013 00000009", "0000000120004013 0000000000000009", true},
		{"make send", func(m *Message) { m.PutRight(9, MakeSend) }, "10012014 00000009", "0000000120004014 0000000000000009", true},
		{"make send-once", func(m *Message) { m.PutRight(9, MakeSendOnce) }, "10012015 00000009", "0000000120004015 0000000000000009", true},
		{"receive", func(m *Message) { m.PutRight(9, MoveReceive) }, "10012010 00000009", "0000000120004010 0000000000000009", true},
		{"dead send", func(m *Message) { m.PutRight(Dead, MoveSend) }, "10012011 ffffffff", "0000000120004011 00000000ffffffff", true},
		{"null send-once", func(m *Message) { m.PutRight(Null, MoveSendOnce) }, "10012012 00000000", "0000000120004012 0000000000000000", true},
		{"cstr[8]", func(m *Message) { m.PutString("ab", 8) }, "1008080c 00006261 00000000", "000000082000080c 0000000000006261", false},
		{"cstr[*≤8]", func(m *Message) { m.PutVarString("abcd", 8) }, "1005080c 64636261 00000000", "000000052000080c 0000000064636261", false},
		{"char[≤8]", func(m *Message) { m.PutChars([]byte("abc")) }, "10030808 00636261", "0000000320000808 0000000000636261", false},
		{"char inline", func(m *Message) { m.PutData(Char, []byte("abc")) }, "30000000 00080008 00000003 00636261", "0000000360000808 0000000000636261", false},
		{"char ool", func(m *Message) { m.PutMemory(Char, 0x5000, 3, false) }, "20000000 00080008 00000003 00005000", "0000000340000808 0000000000005000", true},
		{"char ool, given", func(m *Message) { m.PutMemory(Char, 0x5000, 3, true) }, "60000000 00080008 00000003 00005000", "00000003c0000808 0000000000005000", true},
		{"byte ool", func(m *Message) { m.PutMemory(Byte, 0x5000, 3, false) }, "20000000 00080009 00000003 00005000", "0000000340000809 0000000000005000", true},
		{"rights inline", func(m *Message) { m.PutRights(ports, CopySend) }, "30000000 00200013 00000002 00000005 00000006", "0000000260004013 0000000000000005 0000000000000006", true},
		{"rights ool", func(m *Message) { m.PutOOLRights(ports, MoveSend) }, "20000000 00200011 00000002 00000000", "0000000240002011 0000000000000000", true},
		{"i32 array, long", func(m *Message) { m.PutInt32Array([]int32{1, 2}) }, "30000000 00200002 00000002 00000001 00000002", "0000000260002002 0000000200000001", false},
		{"io_stat", func(m *Message) {
			if m.layout == Layout64 {
				m.PutInt64s(make([]int64, 22)...)
			} else {
				m.PutInt32s(make([]int32, 32)...)
			}
		}, "10202002" + strings.Repeat(" 00000000", 32), "000000162000400b" + strings.Repeat(" 0000000000000000", 22), false},
	} {
		for i, want := range []string{c.b32, c.b64} {
			m := New(layouts[i], 1)
			c.put(m)
			if err := m.Err(); err != nil {
				t.Errorf("%v %s: %v", layouts[i], c.name, err)
			}
			if got := body(m); got != want {
				t.Errorf("%v %s:\n got %s\nwant %s", layouts[i], c.name, got, want)
			}
			if m.Complex() != c.complex {
				t.Errorf("%v %s: complex is %v", layouts[i], c.name, m.Complex())
			}
		}
	}
}

// Section 8.1: the header's bits; section 1.2: its fields.
func TestHeader(t *testing.T) {
	for _, l := range layouts {
		m := New(l, 2021)
		m.PutWord(1)
		m.SetDest(3, CopySend)
		m.SetReply(4, MakeSendOnce)
		if m.Bits() != 0x1513 {
			t.Errorf("%v: bits of a request %#x", l, m.Bits())
		}
		m.PutRight(0, CopySend)
		m.SetDest(3, CopySend)
		if m.Bits() != 0x80001513 {
			t.Errorf("%v: bits of a request with rights %#x", l, m.Bits())
		}
		b := m.Buffer(0)
		u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
		at := map[string]int{"size": 4, "remote": 8, "local": 12, "id": 20}
		if l == Layout64 {
			at = map[string]int{"size": 4, "remote": 8, "local": 16, "id": 28}
		}
		for field, want := range map[string]uint32{"size": uint32(len(b)), "remote": 3, "local": 4, "id": 2021} {
			if got := u32(at[field]); got != want {
				t.Errorf("%v: %s is %d, want %d", l, field, got, want)
			}
		}
		if p, d := m.Remote(); p != 3 || d != CopySend {
			t.Errorf("%v: remote %v %v", l, p, d)
		}
		if p, d := m.Local(); p != 4 || d != MakeSendOnce {
			t.Errorf("%v: local %v %v", l, p, d)
		}
		if p, d := m.TakeRemote(); p != 3 || d != CopySend {
			t.Errorf("%v: took remote %v %v", l, p, d)
		}
		if p, d := m.Remote(); p != Null || d != 0 {
			t.Errorf("%v: remote %v %v after it was taken", l, p, d)
		}
		m.Reset(l, 5)
		if m.Bits() != 0 || m.ID() != 5 || len(m.Buffer(0)) != l.HeaderSize() {
			t.Errorf("%v: after Reset: bits %#x, id %d, %d bytes", l, m.Bits(), m.ID(), len(m.Buffer(0)))
		}
	}
	// A payload takes the place of the local port.
	m := New(Layout64, 1)
	m.SetReply(0, Payload)
	binary.LittleEndian.PutUint64(m.Buffer(0)[16:], 1<<40|7)
	if p := m.LocalPayload(); p != 1<<40|7 {
		t.Errorf("payload %#x", p)
	}
}

// What cannot be sent is refused when it is put.
func TestPutRefuses(t *testing.T) {
	for name, put := range map[string]func(m *Message){
		"a string that fills its field":   func(m *Message) { m.PutString("12345678", 8) },
		"a variable string too long":      func(m *Message) { m.PutVarString("12345678", 8) },
		"a short array too long":          func(m *Message) { m.PutInt32s(make([]int32, 4096)...) },
		"a word too large":                func(m *Message) { m.PutWord(1 << 32) },
		"an address too large":            func(m *Message) { m.PutMemory(Byte, 1<<32, 1, true) },
		"no right":                        func(m *Message) { m.PutRight(1, Int32) },
		"no rights":                       func(m *Message) { m.PutRights([]Port{1}, PortName) },
		"no rights out of line":           func(m *Message) { m.PutOOLRights([]Port{1}, PortName) },
		"a right of another size":         func(m *Message) { m.Put(Desc{Type: CopySend, Bits: 64, Number: 1}, make([]byte, 8)) },
		"data of another size":            func(m *Message) { m.Put(Desc{Type: Byte, Bits: 8, Number: 2}, make([]byte, 3)) },
		"inline data to deallocate":       func(m *Message) { m.Put(Desc{Type: Byte, Bits: 8, Number: 1, Dealloc: true}, make([]byte, 1)) },
		"inline data that is out of line": func(m *Message) { m.Put(Desc{Type: Byte, Bits: 8, Number: 1, OOL: true}, make([]byte, 1)) },
		"out-of-line data that is inline": func(m *Message) { m.PutOOL(Desc{Type: Byte, Bits: 8, Number: 1}, make([]byte, 1)) },
		"a slice to deallocate": func(m *Message) {
			m.PutOOL(Desc{Type: Byte, Bits: 8, Number: 1, OOL: true, Dealloc: true}, make([]byte, 1))
		},
		"an address of inline data":          func(m *Message) { m.PutOOLAt(Desc{Type: Byte, Bits: 8, Number: 1}, 1) },
		"out-of-line data of another size":   func(m *Message) { m.PutOOL(Desc{Type: Byte, Bits: 8, Number: 2, OOL: true}, make([]byte, 1)) },
		"an array of words with a large one": func(m *Message) { m.PutWords(1, 1<<32) },
	} {
		m := New(Layout32, 77)
		put(m)
		err := m.Err()
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), "message 77") {
			t.Errorf("%s: the error does not say of which message: %v", name, err)
		}
	}
}

// Taking checks the descriptor, and the first failure is the one reported.
func TestTakeRefuses(t *testing.T) {
	puts := map[string]func(m *Message){
		"bool": func(m *Message) { m.PutBool(true) }, "i16": func(m *Message) { m.PutInt16(1) },
		"i32": func(m *Message) { m.PutInt32(1) }, "i64": func(m *Message) { m.PutInt64(1) },
		"name": func(m *Message) { m.PutName(1) }, "send": func(m *Message) { m.PutRight(1, MoveSend) },
		"send-once": func(m *Message) { m.PutRight(1, MoveSendOnce) }, "receive": func(m *Message) { m.PutRight(1, MoveReceive) },
		"string": func(m *Message) { m.PutString("s", 8) }, "char": func(m *Message) { m.PutChars([]byte("x")) },
		"ool": func(m *Message) { m.PutMemory(Byte, 0x1000, 8, true) }, "rights": func(m *Message) { m.PutRights([]Port{1}, MoveSend) },
		"two": func(m *Message) { m.PutInt32s(1, 2) }, "i32 array": func(m *Message) { m.PutInt32Array([]int32{1}) },
		"nothing": func(m *Message) {},
	}
	takes := map[string]func(m *Message){
		"bool": func(m *Message) { m.TakeBool() }, "i16": func(m *Message) { m.TakeInt16() },
		"i32": func(m *Message) { m.TakeInt32() }, "i64": func(m *Message) { m.TakeInt64() },
		"name": func(m *Message) { m.TakeName() }, "send": func(m *Message) { m.TakeSend() },
		"send-once": func(m *Message) { m.TakeSendOnce() }, "receive": func(m *Message) { m.TakeReceive() },
		"string": func(m *Message) { m.TakeString() }, "char": func(m *Message) { m.TakeData(8) },
		"ool": func(m *Message) { m.TakeMemory() }, "rights": func(m *Message) { m.TakeRights(8) },
		"two": func(m *Message) { m.TakeInt32s(2) }, "names": func(m *Message) { m.TakeNames() },
		"words": func(m *Message) { m.TakeWords(8) }, "i16s": func(m *Message) { m.TakeInt16s(8) }, "i64s": func(m *Message) { m.TakeInt64s(8) },
		"nothing": func(m *Message) {},
	}
	// Arrays of one element of the right type will do for an array, in any
	// form; a right is an array of one.
	also := map[string]string{
		"two": "i32, i32 array, two", "rights": "rights, send, send-once, receive", "names": "name", "words": "", "i16s": "i16", "i64s": "i64",
		"char": "char, ool",
	}
	for _, l := range layouts {
		for tn, take := range takes {
			for pn, put := range puts {
				m := New(l, 1)
				put(m)
				m.SetDest(1, CopySend)
				m, err := Parse(l, m.Buffer(0), addresses{0x1000: make([]byte, 8)})
				if err != nil {
					t.Fatal(err)
				}
				take(m)
				err = m.End()
				fits := tn == pn
				for _, a := range strings.Split(also[tn], ", ") {
					fits = fits || a == pn
				}
				if tn == "words" {
					fits = l == Layout32 && (pn == "i32" || pn == "two" || pn == "i32 array") || l == Layout64 && pn == "i64"
				}
				if fits != (err == nil) {
					t.Errorf("%v: took %s for %s: %v", l, pn, tn, err)
				}
			}
		}
	}
	m := New(Layout32, 1)
	m.PutInt32(1)
	m.PutBool(true)
	m = receive(t, m)
	m.TakeName()
	first := m.Err()
	m.TakeInt32()
	if m.TakeBool() || m.End() != first || m.More() {
		t.Errorf("after a failure, %v, it went on, to %v", first, m.End())
	}
	m.Rewind()
	if m.TakeInt32() != 1 || !m.TakeBool() || m.End() != nil {
		t.Errorf("after Rewind: %v", m.Err())
	}
	m = receive(t, func() *Message { m := New(Layout32, 1); m.PutInt32s(1, 2, 3); return m }())
	m.TakeInt32s(2)
	if m.Err() == nil {
		t.Error("took 3 integers where 2 are allowed")
	}
}

// A message that is not complex has not been checked by the kernel: what
// looks like rights and memory in it is not.
func TestForgedRights(t *testing.T) {
	for _, l := range layouts {
		for name, put := range map[string]func(m *Message){
			"right":  func(m *Message) { m.PutRight(9, MoveSend) },
			"memory": func(m *Message) { m.PutMemory(Byte, 0x1000, 8, true) },
		} {
			m := New(l, 1)
			put(m)
			m.SetDest(1, CopySend)
			b := m.Buffer(0)
			b[3] &^= 0x80
			m, err := Parse(l, b, addresses{0x1000: make([]byte, 8)})
			if err != nil {
				t.Fatal(err)
			}
			if it, ok := m.Take(); ok {
				t.Errorf("%v: a forged %s was taken: %v", l, name, it.Desc)
			}
			for _, err := range m.Items() {
				if err == nil {
					t.Errorf("%v: a walk believes in a forged %s", l, name)
				}
			}
		}
	}
}

// An array without rights may be in a message that is not complex.
func TestNoRights(t *testing.T) {
	for _, l := range layouts {
		m := New(l, 1)
		m.PutRights(nil, CopySend)
		m.SetDest(1, CopySend)
		b := m.Buffer(0)
		b[3] &^= 0x80
		m, err := Parse(l, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p, _ := m.TakeRights(10); len(p) != 0 || m.End() != nil {
			t.Errorf("%v: %v, %v", l, p, m.Err())
		}
	}
}

// Malformed messages are refused.
func TestParseRefuses(t *testing.T) {
	le := binary.LittleEndian
	for _, l := range layouts {
		h := l.HeaderSize()
		for name, b := range map[string][]byte{
			"nothing":                 nil,
			"half a header":           make([]byte, h/2),
			"a size below the header": make([]byte, h),
			"a size beyond the end":   le.AppendUint32(make([]byte, 4), uint32(h+8)),
			"an odd size":             le.AppendUint32(make([]byte, 4), uint32(h+2)),
		} {
			if len(b) == 8 {
				b = append(b, make([]byte, h)...)[:h+4]
			}
			if _, err := Parse(l, b, nil); err == nil {
				t.Errorf("%v: %s was parsed", l, name)
			}
		}
	}
	// Items, as the words of a complex message.
	for name, words := range map[string][]uint32{
		"unused bit":                  {1<<31 | 0x10012002, 0},
		"beyond the end":              {0x10022002, 0},
		"inline deallocate":           {0x50012002, 0},
		"long with a type in word 0":  {0x30000002, 0x00200002, 1, 0},
		"long, cut short":             {0x30000000, 0x00200002},
		"long, type too large":        {0x30000000, 0x00200102, 1, 0},
		"right of 64 bits":            {0x10014011, 0, 0},
		"huge":                        {0x30000000, 0xffff0009, 0xffffffff, 0},
		"out of line without address": {0x00080809},
	} {
		m := New(Layout32, 1)
		b := m.Buffer(0)
		for _, w := range words {
			b = le.AppendUint32(b, w)
		}
		le.PutUint32(b, complexBit)
		le.PutUint32(b[4:], uint32(len(b)))
		m, err := Parse(Layout32, b, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if it, ok := m.Take(); ok {
			t.Errorf("%s was taken: %v", name, it.Desc)
		}
	}
	m := New(Layout64, 1)
	b := le.AppendUint64(m.Buffer(0), 0x0000000121002002)
	b = append(b, make([]byte, 8)...)
	le.PutUint32(b[4:], uint32(len(b)))
	m, err := Parse(Layout64, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if it, ok := m.Take(); ok {
		t.Errorf("64-bit unused bits were taken: %v", it.Desc)
	}
}

// The padding of an item is nobody's, and an item that is cut short is none.
func TestPadding(t *testing.T) {
	message := func(l Layout, words ...uint64) *Message {
		b := New(l, 1).Buffer(0)
		for _, w := range words {
			if l == Layout64 {
				b = binary.LittleEndian.AppendUint64(b, w)
			} else {
				b = binary.LittleEndian.AppendUint32(b, uint32(w))
			}
		}
		binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
		m, err := Parse(l, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := message(Layout64, 0x0000000120002002, 0xdeadbeef00000005, 0x0000000120001001, 0xdeadbeefdead0006, 0x0000000120002000, 0xdeadbeef00000000)
	if x, y, z := m.TakeInt32(), m.TakeInt16(), m.TakeBool(); x != 5 || y != 6 || z || m.End() != nil {
		t.Errorf("64-bit: took %d, %d, %v, %v", x, y, z, m.End())
	}
	m = message(Layout32, 0x10011001, 0xdead0006)
	if x := m.TakeInt16(); x != 6 || m.End() != nil {
		t.Errorf("32-bit: took %d, %v", x, m.End())
	}
	for name, m := range map[string]*Message{
		"64-bit i32": message(Layout64, 0x0000000120002002),
		"64-bit i64": message(Layout64, 0x000000012000400b),
		"32-bit i32": message(Layout32, 0x10012002),
		"32-bit i64": message(Layout32, 0x1001400b, 1),
	} {
		if strings.HasSuffix(name, "i32") {
			m.TakeInt32()
		} else {
			m.TakeInt64()
		}
		if m.Err() == nil {
			t.Errorf("%s was taken without its data", name)
		}
	}
}

// Taking a right or memory removes it from the message, so that a walk over
// what is left finds what nobody took.
func TestOwnership(t *testing.T) {
	for _, l := range layouts {
		m := New(l, 1)
		m.PutRight(11, MoveSend)
		m.PutRight(12, MoveSendOnce)
		m.PutRights([]Port{13, 14}, MoveReceive)
		m.PutOOLRights([]Port{15, 16}, MoveSend)
		m.PutOOLData(Byte, []byte("data"))
		m.PutOOLData(Byte, []byte("more"))
		m = receive(t, m)
		left := func() (ports []Port, memory int) {
			for it, err := range m.Items() {
				if err != nil {
					t.Fatal(err)
				}
				b, err := it.Bytes()
				if err != nil {
					t.Fatal(err)
				}
				for i := range it.Ports() {
					if p := it.Port(b, i); p != Null {
						ports = append(ports, p)
					}
				}
				if it.OOL && it.Size() > 0 {
					memory++
				}
			}
			return
		}
		steps := []struct {
			take   func()
			ports  int
			memory int
		}{
			{func() {}, 6, 3},
			{func() {
				if p, d := m.TakeRight(); p != 11 || d != MoveSend {
					t.Errorf("%v: took %v %v", l, d, p)
				}
			}, 5, 3},
			{func() {
				if p := m.TakeSendOnce(); p != 12 {
					t.Errorf("%v: took %v", l, p)
				}
			}, 4, 3},
			{func() { m.TakeRights(2) }, 2, 3},
			{func() { m.TakeRights(2) }, 0, 3}, // the memory of the array stays
			{func() {
				if b := m.TakeData(-1); string(b) != "data" {
					t.Errorf("%v: took %q", l, b)
				}
			}, 0, 3}, // borrowed
			{func() {
				if addr, n := m.TakeMemory(); addr == 0 || n != 4 {
					t.Errorf("%v: took %d bytes at %#x", l, n, addr)
				}
			}, 0, 2},
		}
		for i, s := range steps {
			s.take()
			ports, memory := left()
			if len(ports) != s.ports || memory != s.memory {
				t.Errorf("%v: after step %d there are ports %v and %d pieces of memory, want %d, %d", l, i, ports, memory, s.ports, s.memory)
			}
		}
		if err := m.End(); err != nil {
			t.Error(err)
		}
	}
}

// A forwarder rewrites what it walks over.
func TestRewrite(t *testing.T) {
	for _, l := range layouts {
		m := New(l, 1)
		m.PutRight(11, MoveSend)
		m.PutRights([]Port{12, 13}, MoveSend)
		m = receive(t, m)
		for it, err := range m.Items() {
			if err != nil {
				t.Fatal(err)
			}
			for i := range it.Ports() {
				it.SetPort(it.Data, i, it.Port(it.Data, i)+100)
			}
			it.SetType(MakeSend)
		}
		if p, d := m.TakeRight(); p != 111 || d != MakeSend {
			t.Errorf("%v: %v %v", l, d, p)
		}
		if p, d := m.TakeRights(-1); len(p) != 2 || p[0] != 112 || p[1] != 113 || d != MakeSend {
			t.Errorf("%v: %v %v", l, d, p)
		}
	}
}

// Data of unbounded size goes inline up to the limit.
func TestInlineLimit(t *testing.T) {
	for _, l := range layouts {
		for _, n := range []int{0, InlineLimit, InlineLimit + 1} {
			m := New(l, 1)
			data := bytes.Repeat([]byte{7}, n)
			m.PutData(Byte, data)
			m.PutInt32Array(make([]int32, n/4+n%4))
			m.PutRights(make([]Port, 8*n/64+n%4), CopySend)
			m = receive(t, m)
			for it := range m.Items() {
				if it.OOL != (n > InlineLimit) && !(it.Type == CopySend && l == Layout32) {
					t.Errorf("%v: %d bytes: %v", l, n, it.Desc)
				}
			}
			if b := m.TakeData(-1); !bytes.Equal(b, data) {
				t.Errorf("%v: %d bytes came back as %d", l, n, len(b))
			}
		}
	}
}
