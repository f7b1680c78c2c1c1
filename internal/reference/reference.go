// Package reference is for the tests of package mach and below: it has the
// routines of the kernel and of the Hurd's servers, as the tables of the
// reference document hurd-protocol.md describe them, and makes the messages
// that the descriptions mean.
package reference

import (
	"bytes"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hurdlab/mach/wire"
)

//go:embed routines.txt
var table string

// A Routine is a line of the table.
type Routine struct {
	ID   int32
	Name string
	// Request and Reply are the types of the items, in the document's
	// notation. The return code of the reply is not among them.
	Request, Reply []string
	// Answered tells whether there is a reply.
	Answered bool
	// RequestBytes and ReplyBytes are the sizes of the messages in the
	// 32-bit and the 64-bit layout; 0 where they vary.
	RequestBytes, ReplyBytes [2]int
}

var routineLine = regexp.MustCompile(`^(\d+) (\S+)\((.*?)\)(?: → \((.*)\))? # (\S+)(?: (\S+))?$`)

// Routines returns the table.
func Routines(t *testing.T) []Routine {
	t.Helper()
	var all []Routine
	for line := range strings.Lines(table) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		x := routineLine.FindStringSubmatch(line)
		if x == nil {
			t.Fatalf("cannot read %q", line)
		}
		id, err := strconv.Atoi(x[1])
		if err != nil {
			t.Fatal(err)
		}
		r := Routine{ID: int32(id), Name: x[2], Answered: strings.Contains(line, "→")}
		types := func(items string) (types []string) {
			if items == "" {
				return nil
			}
			for _, item := range strings.Split(items, ", ") {
				_, typ, _ := strings.Cut(item, ":")
				types = append(types, typ)
			}
			return types
		}
		r.Request, r.Reply = types(x[3]), types(x[4])
		for i, size := range []*[2]int{&r.RequestBytes, &r.ReplyBytes} {
			for j, n := range strings.Split(x[5+i], "/") {
				if n == "v" || n == "" {
					continue
				}
				if size[j], err = strconv.Atoi(n); err != nil {
					t.Fatal(err)
				}
			}
		}
		all = append(all, r)
	}
	return all
}

var arrayType = regexp.MustCompile(`^([a-zA-Z0-9*/]+?)(?:×(\d+)|\[(\*?)(?:(≤?)(\d+)(?:\|(\d+))?)?\](/ool|ool)?)?(·[dL]|†)?$`)

// Put appends an item of the type typ, in the document's notation, to m, with
// some value. Arrays of variable size get n elements. The result takes the
// item from the message as received, and tells whether the value is the same.
func Put(t *testing.T, m *wire.Message, typ string, n int) (take func(m *wire.Message) bool) {
	t.Helper()
	l := m.Layout()
	word := uint16(8 * l.Align()) // bits
	if x, ok := strings.CutPrefix(typ, "{"); ok {
		small, large, _ := strings.Cut(strings.TrimSuffix(x, "}"), "|")
		if l == wire.Layout64 {
			small = large
		}
		return Put(t, m, small, n)
	}
	x := arrayType.FindStringSubmatch(typ)
	if x == nil {
		t.Fatalf("cannot read type %q", typ)
	}
	base, fixed, variable, bounded, bound, ool, flag := x[1], x[2], x[3] != "", x[4] != "", x[5], x[7], x[8]
	array := fixed != "" || bounded || ool != ""
	if fixed != "" {
		n, _ = strconv.Atoi(fixed)
	} else if bounded {
		most, _ := strconv.Atoi(bound)
		n = min(n, most)
	}

	rights := map[string]wire.Type{
		"cs": wire.CopySend, "mks": wire.MakeSend, "mkso": wire.MakeSendOnce, "ms": wire.MoveSend, "mr": wire.MoveReceive,
		"pS": wire.CopySend, "pSO": wire.MakeSendOnce, "pR": wire.MoveReceive, "p*": wire.CopySend,
		"S": wire.MoveSend, "SO": wire.MoveSendOnce, "R": wire.MoveReceive, "R/S/SO": wire.MoveSend,
	}
	if disp, ok := rights[base]; ok {
		if !array {
			m.PutRight(7, disp)
			return func(m *wire.Message) bool { p, d := m.TakeRight(); return p == 7 && d == disp }
		}
		p := slices.Repeat([]wire.Port{7}, n)
		switch ool {
		case "ool":
			m.PutOOLRights(p, disp)
		case "/ool":
			m.PutRights(p, disp)
		default:
			b := slices.Repeat(append([]byte{7}, make([]byte, word/8-1)...), n)
			m.Put(wire.Desc{Type: disp, Bits: word, Number: uint32(n)}, b)
		}
		return func(m *wire.Message) bool { q, d := m.TakeRights(-1); return slices.Equal(p, q) && d == disp }
	}

	switch base {
	case "cstr":
		size, _ := strconv.Atoi(bound)
		switch {
		case flag == "†":
			m.Put(wire.Desc{Type: wire.String, Bits: uint16(8 * size), Number: 1, Long: true}, append([]byte("eth0"), make([]byte, size-4)...))
			return func(m *wire.Message) bool { return m.TakeString() == "eth0" }
		case variable && n == 0:
			m.Put(wire.Desc{Type: wire.String, Bits: 8}, nil) // not even its end
			return func(m *wire.Message) bool { return m.TakeString() == "" }
		case variable:
			s := strings.Repeat("s", n-1)
			m.PutVarString(s, size)
			return func(m *wire.Message) bool { return m.TakeString() == s }
		}
		m.PutString("a string", size)
		return func(m *wire.Message) bool { return m.TakeString() == "a string" }
	case "char", "byte":
		typ := map[string]wire.Type{"char": wire.Char, "byte": wire.Byte}[base]
		if !array {
			n = 1
		}
		b := bytes.Repeat([]byte("x"), n)
		switch {
		case ool == "ool":
			m.PutOOLData(typ, b)
		case ool == "/ool":
			m.PutData(typ, b)
		default:
			m.Put(wire.Desc{Type: typ, Bits: 8, Number: uint32(n), Long: flag == "·L"}, b)
		}
		return func(m *wire.Message) bool { return bytes.Equal(m.TakeData(n), b) }
	case "bool":
		m.PutBool(true)
		return func(m *wire.Message) bool { return m.TakeBool() }
	case "i16":
		if array {
			m.PutInt16s(make([]uint16, n)...)
			return func(m *wire.Message) bool { return len(m.TakeInt16s(n)) == n }
		}
		m.PutInt16(-2)
		return func(m *wire.Message) bool { return m.TakeInt16() == -2 }
	}

	if array {
		d := wire.Desc{Type: wire.Int32, Bits: 32, Number: uint32(n), Long: ool != ""}
		length := func(m *wire.Message) int { return len(m.TakeInt32s(n)) }
		switch {
		case base == "name":
			d.Type = wire.PortName
			length = func(m *wire.Message) int { return len(m.TakeNames()) }
		case base == "i64" || base == "w" && word == 64:
			d.Type, d.Bits = wire.Int64, 64
			length = func(m *wire.Message) int { return len(m.TakeInt64s(n)) }
		}
		d.OOL = ool == "ool" || ool == "/ool" && d.Size() > wire.InlineLimit
		if b := make([]byte, d.Size()); d.OOL {
			m.PutOOL(d, b)
		} else {
			m.Put(d, b)
		}
		return func(m *wire.Message) bool { return length(m) == n }
	}
	switch base {
	case "i32":
		m.PutInt32(0)
		return func(m *wire.Message) bool { return m.TakeInt32() == 0 }
	case "i64":
		m.PutInt64(-1 << 40)
		return func(m *wire.Message) bool { return m.TakeInt64() == -1<<40 }
	case "w":
		m.PutWord(0xfffff000)
		return func(m *wire.Message) bool { return m.TakeWord() == 0xfffff000 }
	case "name":
		m.PutName(9)
		return func(m *wire.Message) bool { return m.TakeName() == 9 }
	}
	t.Fatalf("no item of type %q", typ)
	return nil
}

// Memory is out-of-line data at addresses of no meaning.
type Memory map[uint64][]byte

// Bind gives b an address: see [wire.Message.Bind].
func (a Memory) Bind(b []byte) uint64 {
	addr := uint64(len(a)+1) << 16
	a[addr] = b
	return addr
}

// Bytes returns the first n bytes of what was bound to addr.
func (a Memory) Bytes(addr uint64, n int) ([]byte, error) {
	b, ok := a[addr]
	if !ok || n > len(b) {
		return nil, fmt.Errorf("%d bytes at %#x: there are %d", n, addr, len(b))
	}
	return b[:n], nil
}

// Receive returns m, which is complete, as its receiver gets it.
func Receive(t testing.TB, m *wire.Message) *wire.Message {
	t.Helper()
	if err := m.Err(); err != nil {
		t.Fatal(err)
	}
	mem := Memory{}
	m.Bind(mem.Bind)
	m.SetDest(1, wire.CopySend)
	got, err := wire.Parse(m.Layout(), bytes.Clone(m.Buffer(0)), mem)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
