package fwcfg

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"hurdlab/images/mach/pio"
)

// model is the device as QEMU's documentation describes it.
type model struct {
	pio.Bus // nil: any other access panics
	items   map[uint16][]byte
	rest    []byte
}

func (m *model) Out16(port, v uint16) {
	if port == SelectorPort {
		m.rest = m.items[v]
	}
}

func (m *model) In8(port uint16) (b uint8) {
	if port == DataPort && len(m.rest) > 0 {
		b, m.rest = m.rest[0], m.rest[1:]
	}
	return b
}

func newModel(files ...string) *model {
	m := &model{items: map[uint16][]byte{itemSignature: []byte("QEMU")}}
	dir := binary.BigEndian.AppendUint32(nil, uint32(len(files)/2))
	for i := 0; i < len(files); i += 2 {
		sel := uint16(0x20 + i/2)
		m.items[sel] = []byte(files[i+1])
		e := make([]byte, entrySize)
		binary.BigEndian.PutUint32(e, uint32(len(files[i+1])))
		binary.BigEndian.PutUint16(e[4:], sel)
		copy(e[8:], files[i])
		dir = append(dir, e...)
	}
	m.items[itemDirectory] = dir
	return m
}

func TestRead(t *testing.T) {
	m := newModel("etc/acpi", "tables", "opt/x", "hello")
	b, err := Read(m, "opt/x", 5)
	if err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := Read(m, "opt/x", 4); err == nil || !strings.Contains(err.Error(), "limit is 4") {
		t.Errorf("over the limit: got %v", err)
	}
	if _, err := Read(m, "opt/", 9); !errors.Is(err, ErrNotFound) {
		t.Errorf("prefix of a name: got %v", err)
	}
	if _, err := Read(&model{}, "opt/x", 9); err == nil || !strings.Contains(err.Error(), "no device") {
		t.Errorf("no device: got %v", err)
	}
}
