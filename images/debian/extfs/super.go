// Package extfs reads and changes files in an ext2 file system that lies in a
// file: without root, mounts, or a running Hurd. The work is done by debugfs of
// e2fsprogs, which also knows the one thing that is special about the Hurd's,
// the records of passive translators, by their extended attribute.
//
// Package debian prepares disks with it. It imports nothing of the house.
package extfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A Super is what a superblock says.
type Super struct {
	Blocks, Free int64 // in blocks
	BlockSize    int   // in bytes
	InodeSize    int
	Hurd         bool // its creator is the Hurd
	Clean        bool // it was unmounted, and no error was seen
	Attributes   bool // it has extended attributes, which translators need
	Label        string
}

// ErrNone says that there is no ext2 file system.
var ErrNone = errors.New("no ext2 file system")

// ReadSuper reads the superblock of the file system at an offset in bytes.
func ReadSuper(r io.ReaderAt, offset int64) (*Super, error) {
	b := make([]byte, 1024)
	if _, err := r.ReadAt(b, offset+1024); err != nil {
		if err == io.EOF {
			return nil, ErrNone
		}
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint16(b[56:]) != 0xef53 {
		return nil, ErrNone
	}
	if shift := le.Uint32(b[24:]); shift > 6 {
		return nil, fmt.Errorf("%w: blocks of 1024<<%d bytes", ErrNone, shift)
	}
	label := b[120:136]
	for i, c := range label {
		if c == 0 {
			label = label[:i]
			break
		}
	}
	s := &Super{
		Blocks: int64(le.Uint32(b[4:])), Free: int64(le.Uint32(b[12:])),
		BlockSize:  1024 << le.Uint32(b[24:]),
		InodeSize:  128,
		Hurd:       le.Uint32(b[72:]) == 1,
		Clean:      le.Uint16(b[58:])&3 == 1, // valid, and no errors
		Attributes: le.Uint32(b[92:])&0x8 != 0,
		Label:      string(label),
	}
	if le.Uint32(b[76:]) > 0 { // dynamic revision
		s.InodeSize = int(le.Uint16(b[88:]))
	}
	return s, nil
}
