// Package fwcfg reads files from QEMU's firmware configuration device, which
// is how the lab tells a node who it is (package nodeconfig).
//
// It uses the device's plain I/O port interface (QEMU's docs/specs/fw_cfg):
// a 16-bit selector port, and a data port that yields the selected item a
// byte at a time.
package fwcfg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"hurdlab/images/mach/pio"
)

// The I/O ports of the device on a PC, which a task must have access to.
const (
	SelectorPort = 0x510
	DataPort     = 0x511
)

const (
	itemSignature = 0x00
	itemDirectory = 0x19

	// entrySize is the size of a directory entry: size (4 bytes), selector
	// (2), reserved (2), all big endian, and a name of 56 bytes.
	entrySize = 64
	// maxEntries bounds the directory; QEMU's own limit of files is lower.
	maxEntries = 1024
)

// ErrNotFound says that the device has no file of the name.
var ErrNotFound = errors.New("no such file in QEMU's firmware configuration")

// Read returns the file called name, which must not exceed limit bytes.
func Read(bus pio.Bus, name string, limit int) ([]byte, error) {
	d := device{bus}
	d.choose(itemSignature)
	if sig := d.read(4); string(sig) != "QEMU" {
		return nil, fmt.Errorf("firmware configuration: no device at port %#x (signature %q): is this QEMU?", SelectorPort, sig)
	}
	d.choose(itemDirectory)
	n := binary.BigEndian.Uint32(d.read(4))
	if n > maxEntries {
		return nil, fmt.Errorf("firmware configuration: directory of %d files", n)
	}
	for range n {
		e := d.read(entrySize)
		entry, _, _ := bytes.Cut(e[8:], []byte{0})
		if string(entry) != name {
			continue
		}
		size := binary.BigEndian.Uint32(e)
		if uint64(size) > uint64(limit) {
			return nil, fmt.Errorf("firmware configuration: %s has %d bytes, the limit is %d", name, size, limit)
		}
		d.choose(binary.BigEndian.Uint16(e[4:]))
		return d.read(int(size)), nil
	}
	return nil, fmt.Errorf("firmware configuration: %s: %w", name, ErrNotFound)
}

type device struct{ bus pio.Bus }

// choose selects an item; reading starts at its first byte.
func (d device) choose(item uint16) { d.bus.Out16(SelectorPort, item) }

func (d device) read(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = d.bus.In8(DataPort)
	}
	return b
}
