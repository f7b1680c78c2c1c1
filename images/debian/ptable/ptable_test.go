package ptable

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"testing"
)

const disk = 64 << 20

func put(b []byte, at int64, i int, kind byte, start, sectors uint32) {
	e := b[at*sector+446+int64(16*i):]
	e[4] = kind
	binary.LittleEndian.PutUint32(e[8:], start)
	binary.LittleEndian.PutUint32(e[12:], sectors)
	b[at*sector+510], b[at*sector+511] = 0x55, 0xaa
}

// debianMBR is how Debian's installer lays out a disk: a primary partition, and
// logical ones in an extended one.
func debianMBR() []byte {
	b := make([]byte, disk)
	put(b, 0, 0, 0x83, 2048, 4096)
	put(b, 0, 1, 0x05, 8190, 30000)
	put(b, 8190, 0, 0x82, 2, 1000)
	put(b, 8190, 1, 0x05, 2000, 5000)
	put(b, 10190, 0, 0x83, 2, 4000)
	return b
}

func testGPT() []byte {
	b := make([]byte, disk)
	put(b, 0, 0, 0xee, 1, disk/sector-1)
	le := binary.LittleEndian
	e := b[2*sector:]
	linux := []byte{0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4}
	copy(e[128:], linux)
	le.PutUint64(e[128+32:], 4096)
	le.PutUint64(e[128+40:], 8191)
	h := b[sector:]
	copy(h, "EFI PART")
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[72:], 2)
	le.PutUint32(h[80:], 128)
	le.PutUint32(h[84:], 128)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(e[:128*128]))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return b
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name string
		disk []byte
		want []Partition
	}{
		{"mbr", debianMBR(), []Partition{
			{1, 2048 * sector, 4096 * sector, "83"},
			{2, 8190 * sector, 30000 * sector, "05"},
			{5, 8192 * sector, 1000 * sector, "82"},
			{6, 10192 * sector, 4000 * sector, "83"},
		}},
		{"gpt", testGPT(), []Partition{{2, 4096 * sector, 4096 * sector, "0fc63daf-8483-4772-8e79-3d69d8477de4"}}},
	} {
		got, err := Read(bytes.NewReader(c.disk), int64(len(c.disk)))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func TestBad(t *testing.T) {
	change := func(b []byte, f func([]byte)) []byte { f(b); return b }
	for name, b := range map[string][]byte{
		"empty":          {},
		"zeros":          make([]byte, disk),
		"no partitions":  change(make([]byte, disk), func(b []byte) { b[510], b[511] = 0x55, 0xaa }),
		"beyond the end": change(make([]byte, disk), func(b []byte) { put(b, 0, 0, 0x83, 2048, disk) }),
		"endless chain":  change(debianMBR(), func(b []byte) { put(b, 10190, 1, 0x05, 0, 5000) }),
		"chain outside":  change(debianMBR(), func(b []byte) { put(b, 10190, 1, 0x05, disk, 5000) }),
		"unsigned link":  change(debianMBR(), func(b []byte) { put(b, 10190, 1, 0x05, 20000, 5000) }),
		"GPT header":     change(testGPT(), func(b []byte) { b[sector+40]++ }),
		"GPT entries":    change(testGPT(), func(b []byte) { b[3*sector]++ }),
		"no GPT":         change(testGPT(), func(b []byte) { b[sector]++ }),
	} {
		if got, err := Read(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s: read %+v", name, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(debianMBR()[:16<<10])
	f.Add(testGPT()[:32<<10])
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, p := range list {
			if p.Start < 0 || p.Size <= 0 || p.Start+p.Size > int64(len(b)) {
				t.Fatalf("%+v of %d bytes", p, len(b))
			}
		}
	})
}
