package pci

import (
	"testing"

	"hurdlab/images/mach/pio"
)

// model is a host bridge with configuration spaces by slot<<3 | function.
type model struct {
	pio.Bus
	addr  uint32
	space map[uint32][]uint32
	bar   uint32 // bits of base address registers 0 that can be written, if not all
}

func (m *model) reg() *uint32 {
	if s := m.space[m.addr>>8&0xffff]; s != nil && m.addr>>31 == 1 {
		return &s[m.addr>>2&0x3f]
	}
	return nil
}

func (m *model) Out32(port uint16, v uint32) {
	if port == 0xcf8 {
		m.addr = v
	} else if r := m.reg(); r != nil {
		if m.addr>>2&0x3f == 4 && m.bar != 0 {
			v = v&m.bar | *r&1
		}
		*r = v
	}
}

func (m *model) In32(uint16) uint32 {
	if r := m.reg(); r != nil {
		return *r
	}
	return 0xffffffff
}

func TestScan(t *testing.T) {
	net := make([]uint32, 64)
	net[0], net[1], net[4], net[5], net[15] = 0x1000_1af4, 0x0010_0000, 0xc041, 0xfeb00000, 0x10b
	m := &model{space: map[uint32][]uint32{
		0<<3 | 0: {0: 0x1237_8086, 63: 0},
		1<<3 | 0: {0: 0x7000_8086, 63: 0},
		1<<3 | 3: {0: 0x7113_8086, 63: 0},
		4<<3 | 0: net,
		5<<3 | 1: {0: 0x1111_2222, 63: 0}, // without function 0: not there
	}}
	fs := Scan(m)
	if len(fs) != 4 {
		t.Fatalf("found %d functions: %+v", len(fs), fs)
	}
	f := fs[3]
	if f.Vendor != 0x1af4 || f.Device != 0x1000 || f.Slot != 4 {
		t.Errorf("network card: %+v", f)
	}
	if base, ok := f.IOBase(0); !ok || base != 0xc040 {
		t.Errorf("BAR 0: %#x, %v", base, ok)
	}
	if _, ok := f.IOBase(1); ok {
		t.Error("BAR 1 is memory")
	}
	if _, ok := f.IOBase(2); ok {
		t.Error("BAR 2 is not assigned")
	}
	if f.IRQ() != 11 {
		t.Errorf("IRQ %d", f.IRQ())
	}
	f.Enable()
	if net[1] != 5 {
		t.Errorf("command/status %#x, want 5", net[1])
	}
}

func TestMoveIO(t *testing.T) {
	net := make([]uint32, 64)
	net[0], net[1], net[4] = 0x1000_1af4, 0x0010_0003, 0xc041
	m := &model{space: map[uint32][]uint32{3 << 3: net}, bar: 0xffffffc0}
	f := Scan(m)[0]
	if f.MoveIO(0, 0xd60, 0x20) {
		t.Error("64 ports were moved to 32")
	}
	if net[4] != 0xc041 || net[1]&0xffff != 3 {
		t.Errorf("after a refusal: BAR 0 %#x, command %#x", net[4], net[1])
	}
	m.bar = 0xffffffe0
	if !f.MoveIO(0, 0xd60, 0x20) {
		t.Error("not moved")
	}
	if base, ok := f.IOBase(0); !ok || base != 0xd60 || net[1]&0xffff != 3 {
		t.Errorf("BAR 0: %#x, %v; command %#x", base, ok, net[1])
	}
	net[4] = 0xfeb00000 // memory
	if f.MoveIO(0, 0xd60, 0x20) || net[4] != 0xfeb00000 {
		t.Errorf("memory was moved: %#x", net[4])
	}
}
