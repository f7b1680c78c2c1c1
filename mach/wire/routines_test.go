package wire_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"hurdlab/internal/reference"
	"hurdlab/mach/wire"
)

// Every routine that the document describes has the size that it tells, in
// both layouts, and what was put can be taken.
func TestRoutines(t *testing.T) {
	all := reference.Routines(t)
	if len(all) < 400 {
		t.Fatalf("only %d routines", len(all))
	}
	for i, l := range []wire.Layout{wire.Layout32, wire.Layout64} {
		sizes := 0
		for _, r := range all {
			check := func(what string, id int32, want, n int, types ...string) {
				m := wire.New(l, id)
				var takes []func(*wire.Message) bool
				for _, typ := range types {
					takes = append(takes, reference.Put(t, m, typ, n))
				}
				if size := len(m.Buffer(0)); want != 0 && size != want {
					t.Errorf("%v %s of %s: %d bytes, the document says %d", l, what, r.Name, size, want)
				}
				if want != 0 {
					sizes++
				}
				m = reference.Receive(t, m)
				if m.ID() != id {
					t.Errorf("%v %s of %s: id %d", l, what, r.Name, m.ID())
				}
				for j, take := range takes {
					if !take(m) {
						t.Errorf("%v %s of %s: item %d (%s) came back as something else", l, what, r.Name, j, types[j])
					}
				}
				if err := m.End(); err != nil {
					t.Errorf("%v %s of %s: %v", l, what, r.Name, err)
				}
			}
			check("request", r.ID, r.RequestBytes[i], 0, r.Request...)
			check("request", r.ID, 0, 5, r.Request...)
			if r.Answered {
				reply := append([]string{"i32"}, r.Reply...)
				check("reply", r.ID+100, r.ReplyBytes[i], 0, reply...)
				check("reply", r.ID+100, 0, 3000, reply...)
			}
		}
		t.Logf("%v: %d routines, %d sizes", l, len(all), sizes)
	}
}

// Section 8.2 of the document: where the data of items is.
func TestOffsets(t *testing.T) {
	for _, c := range []struct {
		name  string
		items string
		at    [2][]int
		size  [2]int
	}{
		{"task_get_special_port", "i32", [2][]int{{28}, {40}}, [2]int{32, 48}},
		{"dir_lookup", "cstr[1024] i32 i32", [2][]int{{28, 1056, 1064}, {40, 1072, 1088}}, [2]int{1068, 1096}},
		{"dir_lookup reply", "i32 i32 cstr[1024] S", [2][]int{{28, 36, 44, 1072}, {40, 56, 72, 1104}}, [2]int{1076, 1112}},
		{"io_read", "i64 w", [2][]int{{28, 40}, {40, 56}}, [2]int{44, 64}},
		{"io_read reply", "i32 char[≤2048]/ool", [2][]int{{28, 44}, {40, 56}}, [2]int{48, 64}},
		{"io_write", "char[≤2048]/ool i64", [2][]int{{36, 44}, {40, 56}}, [2]int{52, 64}},
		{"vm_map", "w w w bool cs w bool i32 i32 i32",
			[2][]int{{28, 36, 44, 52, 60, 68, 76, 84, 92, 100}, {40, 56, 72, 88, 104, 120, 136, 152, 168, 184}}, [2]int{104, 192}},
		{"memory_object_data_supply", "w byte[]ool i32 bool mkso",
			[2][]int{{28, 44, 52, 60, 68}, {40, 56, 72, 88, 104}}, [2]int{72, 112}},
		{"exception_raise", "cs cs i32 i32 w",
			[2][]int{{28, 36, 44, 52, 60}, {40, 56, 72, 88, 104}}, [2]int{64, 112}},
	} {
		for i, l := range []wire.Layout{wire.Layout32, wire.Layout64} {
			m := wire.New(l, 1)
			for typ := range strings.FieldsSeq(c.items) {
				reference.Put(t, m, typ, 3)
			}
			m = reference.Receive(t, m)
			b := m.Buffer(0)
			if len(b) != c.size[i] {
				t.Errorf("%v %s: %d bytes, want %d", l, c.name, len(b), c.size[i])
			}
			j := 0
			for it, err := range m.Items() {
				if err != nil {
					t.Fatal(err)
				}
				at := c.at[i][j]
				if it.OOL {
					if addr := uint64(binary.LittleEndian.Uint32(b[at:])); addr != it.Addr {
						t.Errorf("%v %s: item %d has its address elsewhere than at %d", l, c.name, j, at)
					}
				} else if &it.Data[0] != &b[at] {
					t.Errorf("%v %s: item %d has its data elsewhere than at %d", l, c.name, j, at)
				}
				j++
			}
			if j != len(c.at[i]) {
				t.Errorf("%v %s: %d items", l, c.name, j)
			}
		}
	}
}
