package wire

import (
	"encoding/binary"
	"testing"

	machwire "hurdlab/mach/wire"
)

// The numbers of file systems are where they are in struct stat and struct statfs
// (hurd-protocol.md, section 7.1), in both layouts.
func TestDevice(t *testing.T) {
	for _, c := range []struct {
		id       int32
		layout   machwire.Layout
		size, at int
	}{
		{21113, machwire.Layout32, 128, 4}, {21113, machwire.Layout64, 176, 8},
		{20112, machwire.Layout32, 88, 48}, {20112, machwire.Layout64, 112, 56},
		{21113, machwire.Layout32, 124, -1}, {21101, machwire.Layout32, 128, -1}, {21113, machwire.Layout32, 0, -1},
	} {
		data := make([]byte, c.size)
		if c.at >= 0 {
			binary.LittleEndian.PutUint64(data[c.at:], 0x1122334455667788)
		}
		m := machwire.New(c.layout, c.id)
		m.PutInt32(0)
		switch {
		case c.size == 0:
		case c.layout == machwire.Layout32:
			m.Put(machwire.Desc{Type: machwire.Int32, Bits: 32, Number: uint32(c.size / 4)}, data)
		default:
			m.Put(machwire.Desc{Type: machwire.Int64, Bits: 64, Number: uint32(c.size / 8)}, data)
		}
		body, _, err := Encode(receive(t, m), nil)
		if err != nil {
			t.Fatal(err)
		}
		d := body.Device()
		if c.at < 0 {
			if d != nil {
				t.Errorf("%+v: %x", c, d)
			}
			continue
		}
		if len(d) != 8 || binary.LittleEndian.Uint64(d) != 0x1122334455667788 {
			t.Errorf("%+v: %x", c, d)
		}
	}
}
