package wire

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A routine is a line of testdata/routines.txt.
type routine struct {
	id             int32
	name           string
	request, reply []string // types of the items; reply is nil if there is none
	answered       bool
	// bytes is the size of the request and of the reply, for both layouts;
	// 0 where it varies.
	bytes [2][2]int
}

var routineLine = regexp.MustCompile(`^(\d+) (\S+)\((.*?)\)(?: → \((.*)\))? # (\S+)(?: (\S+))?$`)

func routines(t *testing.T) []routine {
	t.Helper()
	f, err := os.Open("testdata/routines.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []routine
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
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
		r := routine{id: int32(id), name: x[2], answered: strings.Contains(line, "→")}
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
		r.request, r.reply = types(x[3]), types(x[4])
		for i, pair := range x[5:7] {
			for j, n := range strings.Split(pair, "/") {
				if n != "v" && n != "" {
					if r.bytes[i][j], err = strconv.Atoi(n); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		all = append(all, r)
	}
	return all
}

var arrayType = regexp.MustCompile(`^([a-zA-Z0-9*/]+?)(?:×(\d+)|\[(\*?)(?:(≤?)(\d+)(?:\|(\d+))?)?\](/ool|ool)?)?(·[dL]|†)?$`)

// put appends an item of the type typ in the notation of the document, with
// some value. Arrays of variable size are empty. The result takes the item
// from a message that has been received and checks the value.
func put(t *testing.T, m *Message, typ string) (take func(m *Message) bool) {
	t.Helper()
	if x, ok := strings.CutPrefix(typ, "{"); ok {
		small, large, _ := strings.Cut(strings.TrimSuffix(x, "}"), "|")
		if m.layout == Layout64 {
			small = large
		}
		return put(t, m, small)
	}
	x := arrayType.FindStringSubmatch(typ)
	if x == nil {
		t.Fatalf("cannot read type %q", typ)
	}
	base, fixed, variable, bounded, bound, ool, flag := x[1], x[2], x[3] != "", x[4] != "", x[5], x[7], x[8]
	n := -1 // not an array
	if fixed != "" {
		n, _ = strconv.Atoi(fixed)
	} else if bounded || ool != "" {
		n = 0
	}
	rights := map[string]Type{
		"cs": CopySend, "mks": MakeSend, "mkso": MakeSendOnce, "ms": MoveSend, "mr": MoveReceive,
		"pS": CopySend, "pSO": MakeSendOnce, "pR": MoveReceive, "p*": CopySend,
		"S": MoveSend, "SO": MoveSendOnce, "R": MoveReceive, "R/S/SO": MoveSend,
	}
	if disp, ok := rights[base]; ok {
		switch {
		case ool == "ool":
			m.PutOOLRights([]Port{7}, disp)
			return func(m *Message) bool { p, d := m.TakeRights(-1); return len(p) == 1 && p[0] == 7 && d == disp }
		case ool == "/ool":
			m.PutRights(nil, disp)
			return func(m *Message) bool { p, _ := m.TakeRights(-1); return len(p) == 0 }
		case n >= 0:
			m.Put(Desc{Type: disp, Bits: m.layout.rightBits(false)}, nil)
			return func(m *Message) bool { p, _ := m.TakeRights(10); return len(p) == 0 }
		}
		m.PutRight(7, disp)
		return func(m *Message) bool { p, d := m.TakeRight(); return p == 7 && d == disp }
	}
	switch base {
	case "cstr":
		size, _ := strconv.Atoi(bound)
		switch {
		case flag == "†":
			m.Put(Desc{Type: String, Bits: uint16(8 * size), Number: 1, Long: true}, append([]byte("eth0"), make([]byte, size-4)...))
			return func(m *Message) bool { return m.TakeString() == "eth0" }
		case variable:
			m.Put(Desc{Type: String, Bits: 8}, nil)
			return func(m *Message) bool { return m.TakeString() == "" }
		}
		m.PutString("a string", size)
		return func(m *Message) bool { return m.TakeString() == "a string" }
	case "char", "byte":
		typ := Char
		if base == "byte" {
			typ = Byte
		}
		switch {
		case ool == "ool":
			m.PutOOLData(typ, []byte("data"))
			return func(m *Message) bool { return string(m.TakeData(-1)) == "data" }
		case ool == "/ool":
			m.PutData(typ, nil)
			return func(m *Message) bool { return len(m.TakeData(-1)) == 0 }
		case n < 0:
			m.small(typ, 8, 'x')
			return func(m *Message) bool { return string(m.TakeData(1)) == "x" }
		case flag == "·L":
			m.Put(Desc{Type: Char, Bits: 8, Number: uint32(n), Long: true}, make([]byte, n))
			return func(m *Message) bool { return len(m.TakeData(n)) == n }
		}
		m.PutChars(make([]byte, n))
		return func(m *Message) bool { return len(m.TakeData(n)) == n }
	case "bool":
		m.PutBool(true)
		return func(m *Message) bool { return m.TakeBool() }
	case "i16":
		if n >= 0 {
			m.PutInt16s(make([]uint16, n)...)
			return func(m *Message) bool { return len(m.TakeInt16s(n)) == n }
		}
		m.PutInt16(-2)
		return func(m *Message) bool { return m.TakeInt16() == -2 }
	case "i32", "i64", "w", "name":
		bits := map[string]int{"i32": 32, "name": 32, "i64": 64, "w": int(m.layout) * 8}[base]
		name := map[string]Type{"i32": Int32, "name": PortName, "i64": Int64, "w": Int32}[base]
		if bits == 64 {
			name = Int64
		}
		takeArray := func(m *Message, n int) bool { return len(m.takeArray(n, uint16(bits), name)) == n*bits/8 }
		switch {
		case ool == "ool":
			m.PutOOL(Desc{Type: name, Bits: uint16(bits), Number: 2, Long: true, OOL: true}, make([]byte, bits/4))
			return func(m *Message) bool { return takeArray(m, 2) }
		case ool == "/ool":
			m.Put(Desc{Type: name, Bits: uint16(bits), Long: true}, nil)
			return func(m *Message) bool { return takeArray(m, 0) }
		case n >= 0:
			switch base {
			case "i32":
				m.PutInt32s(make([]int32, n)...)
			case "i64":
				m.PutInt64s(make([]int64, n)...)
			case "w":
				m.PutWords(make([]uint64, n)...)
			}
			return func(m *Message) bool { return takeArray(m, n) }
		}
		switch base {
		case "i32":
			m.PutInt32(-3)
			return func(m *Message) bool { return m.TakeInt32() == -3 }
		case "i64":
			m.PutInt64(-1 << 40)
			return func(m *Message) bool { return m.TakeInt64() == -1<<40 }
		case "w":
			m.PutWord(0xfffff000)
			return func(m *Message) bool { return m.TakeWord() == 0xfffff000 }
		case "name":
			m.PutName(Dead)
			return func(m *Message) bool { return m.TakeName() == Dead }
		}
	}
	t.Fatalf("no item of type %q", typ)
	return nil
}

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
	got, err := Parse(m.layout, append([]byte(nil), m.Buffer(0)...), mem)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Every routine that the document describes has the size that it tells, in
// both layouts, and what was put can be taken.
func TestRoutines(t *testing.T) {
	all := routines(t)
	if len(all) < 400 {
		t.Fatalf("only %d routines", len(all))
	}
	for i, l := range []Layout{Layout32, Layout64} {
		sizes := 0
		for _, r := range all {
			check := func(what string, id int32, want int, types ...string) {
				m := New(l, id)
				var takes []func(*Message) bool
				for _, typ := range types {
					takes = append(takes, put(t, m, typ))
				}
				if n := len(m.Buffer(0)); want != 0 && n != want {
					t.Errorf("%v %s of %s: %d bytes, the document says %d", l, what, r.name, n, want)
				}
				if want != 0 {
					sizes++
				}
				m = receive(t, m)
				if m.ID() != id {
					t.Errorf("%v %s of %s: id %d", l, what, r.name, m.ID())
				}
				for j, take := range takes {
					if !take(m) {
						t.Errorf("%v %s of %s: item %d (%s) came back as something else", l, what, r.name, j, types[j])
					}
				}
				if err := m.End(); err != nil {
					t.Errorf("%v %s of %s: %v", l, what, r.name, err)
				}
			}
			check("request", r.id, r.bytes[0][i], r.request...)
			if r.answered {
				check("reply", r.id+100, r.bytes[1][i], append([]string{"i32"}, r.reply...)...)
			}
		}
		t.Logf("%v: %d routines, %d sizes", l, len(all), sizes)
	}
}
