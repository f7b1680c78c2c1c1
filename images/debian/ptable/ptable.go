// Package ptable reads the partition table of a disk image: an MBR with its
// logical partitions, or a GPT. Package debian looks for the root file system
// in what it finds. It imports nothing of the house.
package ptable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A Partition is a part of a disk. Its number is that of Linux and the Hurd:
// hd0s5 is number 5, the first logical partition.
type Partition struct {
	Number      int
	Start, Size int64  // in bytes
	Type        string // "83" of an MBR, in hexadecimal, or the GUID of a GPT
}

// ErrNone says that a disk has no partition table.
var ErrNone = errors.New("no partition table")

const (
	sector = 512

	// maxLogical and maxEntries bound what a damaged table can make us read.
	maxLogical = 128
	maxEntries = 1024
)

// Read reads the partition table of a disk with a size in bytes, in the order
// of their numbers. A partition that does not lie within the disk is an error.
func Read(disk io.ReaderAt, size int64) ([]Partition, error) {
	first, err := readSector(disk, 0)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	if !signed(first) {
		return nil, ErrNone
	}
	var list []Partition
	entries := mbr(first)
	for _, e := range entries {
		if e.kind == 0xee { // the MBR that protects a GPT
			list, err = gpt(disk)
			if err != nil {
				return nil, err
			}
			return check(list, size)
		}
	}
	for i, e := range entries {
		if e.kind == 0 || e.sectors == 0 {
			continue
		}
		list = append(list, e.partition(i+1, 0))
	}
	for _, e := range entries {
		if !e.extended() {
			continue
		}
		logical, err := chain(disk, int64(e.start))
		if err != nil {
			return nil, err
		}
		for i, p := range logical {
			p.Number = 5 + i
			list = append(list, p)
		}
		break // Linux, too, knows only one
	}
	if len(list) == 0 {
		return nil, ErrNone
	}
	return check(list, size)
}

func readSector(disk io.ReaderAt, n int64) ([]byte, error) {
	b := make([]byte, sector)
	_, err := io.ReadFull(io.NewSectionReader(disk, n*sector, sector), b)
	return b, err
}

func signed(b []byte) bool { return b[510] == 0x55 && b[511] == 0xaa }

// entry is an entry of an MBR: in sectors.
type entry struct {
	kind           byte
	start, sectors uint32
}

func (e entry) extended() bool { return e.kind == 0x05 || e.kind == 0x0f || e.kind == 0x85 }

func (e entry) partition(number int, base int64) Partition {
	return Partition{number, (base + int64(e.start)) * sector, int64(e.sectors) * sector, fmt.Sprintf("%02x", e.kind)}
}

func mbr(b []byte) (list [4]entry) {
	for i := range list {
		e := b[446+16*i:]
		list[i] = entry{e[4], binary.LittleEndian.Uint32(e[8:]), binary.LittleEndian.Uint32(e[12:])}
	}
	return list
}

// chain reads the logical partitions: each has a sector of its own before it,
// whose second entry leads to the next, from the start of the extended one.
func chain(disk io.ReaderAt, extended int64) ([]Partition, error) {
	var list []Partition
	seen := make(map[int64]bool)
	for at := extended; ; {
		if seen[at] || len(seen) == maxLogical {
			return nil, errors.New("partition table: the chain of logical partitions has no end")
		}
		seen[at] = true
		b, err := readSector(disk, at)
		if err != nil {
			return nil, fmt.Errorf("partition table: logical partition %d: %w", 5+len(list), err)
		}
		if !signed(b) {
			return nil, fmt.Errorf("partition table: logical partition %d has no signature", 5+len(list))
		}
		entries := mbr(b)
		if e := entries[0]; e.kind != 0 && e.sectors != 0 {
			list = append(list, e.partition(0, at))
		}
		next := entries[1]
		if next.kind == 0 || next.sectors == 0 {
			return list, nil
		}
		at = extended + int64(next.start)
	}
}

// gpt reads a GPT, whose sums must be right: the backup at the end is left to
// tools that repair.
func gpt(disk io.ReaderAt) ([]Partition, error) {
	h, err := readSector(disk, 1)
	if err != nil {
		return nil, fmt.Errorf("partition table: GPT: %w", err)
	}
	le := binary.LittleEndian
	if !bytes.HasPrefix(h, []byte("EFI PART")) {
		return nil, errors.New("partition table: there is no GPT where the MBR says so")
	}
	n := le.Uint32(h[12:])
	if n < 92 || n > sector {
		return nil, fmt.Errorf("partition table: a GPT header of %d bytes", n)
	}
	sum := le.Uint32(h[16:])
	header := bytes.Clone(h[:n])
	clear(header[16:20])
	if crc32.ChecksumIEEE(header) != sum {
		return nil, errors.New("partition table: the GPT header is damaged")
	}
	table, count, each := int64(le.Uint64(h[72:])), le.Uint32(h[80:]), le.Uint32(h[84:])
	if count > maxEntries || each < 128 || each > 4096 || table < 2 {
		return nil, fmt.Errorf("partition table: GPT with %d entries of %d bytes at sector %d", count, each, table)
	}
	b := make([]byte, int(count)*int(each))
	if _, err := io.ReadFull(io.NewSectionReader(disk, table*sector, int64(len(b))), b); err != nil {
		return nil, fmt.Errorf("partition table: entries of the GPT: %w", err)
	}
	if crc32.ChecksumIEEE(b) != le.Uint32(h[88:]) {
		return nil, errors.New("partition table: the entries of the GPT are damaged")
	}
	var list []Partition
	for i := range int(count) {
		e := b[i*int(each):]
		if bytes.Equal(e[:16], make([]byte, 16)) {
			continue
		}
		first, last := int64(le.Uint64(e[32:])), int64(le.Uint64(e[40:]))
		list = append(list, Partition{i + 1, first * sector, (last - first + 1) * sector, guid(e)})
	}
	return list, nil
}

// guid writes a GUID as everybody does: three little-endian numbers and bytes.
func guid(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

func check(list []Partition, size int64) ([]Partition, error) {
	for _, p := range list {
		if p.Start < sector || p.Size <= 0 || p.Start > size || p.Size > size-p.Start {
			return nil, fmt.Errorf("partition table: partition %d (%d bytes at %d) is not within the disk of %d bytes", p.Number, p.Size, p.Start, size)
		}
	}
	return list, nil
}
