package wire

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// hostile is memory that is there whatever the address, up to a size.
type hostile struct{}

func (hostile) Bytes(addr uint64, n int) ([]byte, error) {
	if n > 1<<16 {
		return nil, ErrNoMemory
	}
	return make([]byte, n), nil
}

// FuzzMessage takes arbitrary bytes apart in all ways.
func FuzzMessage(f *testing.F) {
	for _, l := range layouts {
		m := New(l, 1)
		m.PutInt32(1)
		m.PutRight(2, MoveSend)
		m.PutRights([]Port{3, 4}, MoveSendOnce)
		m.PutString("string", 16)
		m.PutData(Char, []byte("data"))
		m.PutMemory(Byte, 0x10000, 100, true)
		m.SetDest(1, CopySend)
		f.Add(l == Layout64, m.Buffer(0), []byte{2, 7, 15, 8, 9, 13})
	}
	f.Fuzz(func(t *testing.T, wide bool, b, script []byte) {
		l := Layout32
		if wide {
			l = Layout64
		}
		m, err := Parse(l, bytes.Clone(b), hostile{})
		if err != nil {
			return
		}
		for it, err := range m.Items() {
			if err != nil {
				break
			}
			data, err := it.Bytes()
			if err != nil {
				continue
			}
			if uint64(len(data)) != it.Size() {
				t.Fatalf("%v: %d bytes", it.Desc, len(data))
			}
			for i := range it.Ports() {
				it.SetPort(data, i, it.Port(data, i))
			}
			if (it.OOL || it.Type.IsRight() && it.Number > 0) && !m.Complex() {
				t.Fatalf("%v in a message that is not complex", it.Desc)
			}
		}
		takes := []func(){
			func() { m.TakeBool() }, func() { m.TakeInt16() }, func() { m.TakeInt32() }, func() { m.TakeInt64() },
			func() { m.TakeWord() }, func() { m.TakeName() }, func() { m.TakeRight() }, func() { m.TakeSend() },
			func() { m.TakeString() }, func() { m.TakeData(100) }, func() { m.TakeData(-1) }, func() { m.TakeInt16s(-1) },
			func() { m.TakeInt32s(3) }, func() { m.TakeMemory() }, func() { m.TakeNames() }, func() { m.TakeRights(-1) },
			func() { m.TakeWords(-1) }, func() { m.TakeInt64s(-1) }, func() { m.Take() }, func() { m.Rewind() },
			func() { m.TakeRemote() },
		}
		for _, s := range script {
			takes[int(s)%len(takes)]()
		}
		m.End()
		if len(m.Buffer(0)) > len(b) {
			t.Fatalf("%d bytes were received, %d are there now", len(b), len(m.Buffer(0)))
		}
	})
}

// What is put can be taken, in any order and number of items.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := rapid.SampledFrom(layouts).Draw(t, "layout")
		m := New(l, rapid.Int32().Draw(t, "id"))
		var takes []func(m *Message) bool
		right := rapid.SampledFrom([]Type{MoveReceive, MoveSend, MoveSendOnce, CopySend, MakeSend, MakeSendOnce})
		ports := rapid.SliceOfN(rapid.Map(rapid.Uint32(), func(x uint32) Port { return Port(x) }), 0, 600)
		data := rapid.SliceOfN(rapid.Byte(), 0, 3000)
		samePorts := func(a, b []Port) bool {
			if len(a) != len(b) {
				return false
			}
			for i := range a {
				if a[i] != b[i] {
					return false
				}
			}
			return true
		}
		for range rapid.IntRange(0, 8).Draw(t, "items") {
			var take func(m *Message) bool
			switch rapid.IntRange(0, 13).Draw(t, "kind") {
			case 0:
				x := rapid.Bool().Draw(t, "bool")
				m.PutBool(x)
				take = func(m *Message) bool { return m.TakeBool() == x }
			case 1:
				x := rapid.Int16().Draw(t, "i16")
				m.PutInt16(x)
				take = func(m *Message) bool { return m.TakeInt16() == x }
			case 2:
				x := rapid.Int32().Draw(t, "i32")
				m.PutInt32(x)
				take = func(m *Message) bool { return m.TakeInt32() == x }
			case 3:
				x := rapid.Int64().Draw(t, "i64")
				m.PutInt64(x)
				take = func(m *Message) bool { return m.TakeInt64() == x }
			case 4:
				x := rapid.Uint64().Draw(t, "w")
				if l == Layout32 {
					x &= 0xffffffff
				}
				m.PutWord(x)
				take = func(m *Message) bool { return m.TakeWord() == x }
			case 5:
				p, d := Port(rapid.Uint32().Draw(t, "port")), right.Draw(t, "disposition")
				m.PutRight(p, d)
				take = func(m *Message) bool { q, e := m.TakeRight(); return p == q && d == e }
			case 6:
				p, d := ports.Draw(t, "ports"), right.Draw(t, "disposition")
				m.PutRights(p, d)
				take = func(m *Message) bool { q, e := m.TakeRights(-1); return samePorts(p, q) && d == e }
			case 7:
				p, d := ports.Draw(t, "ports"), right.Draw(t, "disposition")
				m.PutOOLRights(p, d)
				take = func(m *Message) bool { q, e := m.TakeRights(-1); return samePorts(p, q) && d == e }
			case 8:
				b := data.Draw(t, "data")
				m.PutData(Char, b)
				take = func(m *Message) bool { return bytes.Equal(m.TakeData(-1), b) }
			case 9:
				b := data.Draw(t, "data")
				m.PutOOLData(Byte, b)
				take = func(m *Message) bool { return bytes.Equal(m.TakeData(-1), b) }
			case 10:
				s := rapid.StringMatching(`[a-zé]{0,100}`).Draw(t, "string")
				m.PutString(s, 256)
				take = func(m *Message) bool { return m.TakeString() == s }
			case 11:
				s := rapid.StringMatching(`[a-zé]{0,100}`).Draw(t, "string")
				m.PutVarString(s, 256)
				take = func(m *Message) bool { return m.TakeString() == s }
			case 12:
				x := rapid.SliceOfN(rapid.Int32(), 0, 1000).Draw(t, "i32s")
				m.PutInt32Array(x)
				take = func(m *Message) bool {
					y := m.TakeInt32s(1000)
					for i := range y {
						if x[i] != y[i] {
							return false
						}
					}
					return len(x) == len(y)
				}
			case 13:
				p := Port(rapid.Uint32().Draw(t, "name"))
				m.PutName(p)
				take = func(m *Message) bool { return m.TakeName() == p }
			}
			takes = append(takes, take)
		}
		if err := m.Err(); err != nil {
			t.Fatal(err)
		}
		mem := addresses{}
		m.Bind(mem.bind)
		m.SetDest(1, CopySend)
		got, err := Parse(l, bytes.Clone(m.Buffer(0)), mem)
		if err != nil {
			t.Fatal(err)
		}
		if got.ID() != m.ID() || got.Complex() != m.Complex() {
			t.Fatalf("id %d, complex %v; put id %d, complex %v", got.ID(), got.Complex(), m.ID(), m.Complex())
		}
		for i, take := range takes {
			if !take(got) {
				t.Fatalf("item %d came back as something else (%v)", i, got.Err())
			}
		}
		if err := got.End(); err != nil {
			t.Fatal(err)
		}
	})
}
