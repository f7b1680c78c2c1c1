package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"hurdlab/images/debian/extfs"
)

// A Disk is a disk of a machine that does not run: an overlay with a file system.
type Disk struct {
	File string
	// Offset is where the file system begins, in bytes.
	Offset int64
}

// superEnd is where the superblock ends in a file system, in bytes.
const superEnd = 2048

// Super reads the superblock.
func (d *Disk) Super(ctx context.Context) (*extfs.Super, error) {
	dir, err := os.MkdirTemp(filepath.Dir(d.File), ".super-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "super")
	from := fmt.Sprintf("driver=raw,offset=%d,size=%d,file.driver=qcow2,file.file.driver=file,file.file.filename=%s",
		d.Offset, superEnd, strings.ReplaceAll(d.File, ",", ",,"))
	if _, err := run(ctx, nil, "qemu-img", "convert", "--image-opts", "-O", "raw", from, file); err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return extfs.ReadSuper(f, 0)
}

// Mend has e2fsck mend the file system as it would while the system boots, and returns
// what that did. The disk is changed at the end of it: an [extfs.UnmendedError] leaves it
// as it is. Its snapshots stay what they are.
//
// e2fsck cannot read qcow2. It gets a raw copy, which takes the space of all data on the
// disk for so long; the blocks that are others afterwards are written back.
func (d *Disk) Mend(ctx context.Context) (mended []string, err error) {
	dir, err := os.MkdirTemp(filepath.Dir(d.File), ".mend-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	raw := filepath.Join(dir, "raw")
	if _, err := run(ctx, nil, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", d.File, raw); err != nil {
		return nil, err
	}
	seed := maphash.MakeSeed()
	before, size, err := sums(seed, raw)
	if err != nil {
		return nil, err
	}
	if mended, err = (&extfs.FS{File: raw, Offset: d.Offset}).Mend(ctx); err != nil {
		if unmended := new(extfs.UnmendedError); errors.As(err, &unmended) {
			unmended.File = d.File // not the copy
		}
		return nil, err
	}
	after, _, err := sums(seed, raw)
	if err != nil {
		return nil, err
	}
	var runs []part
	for i, sum := range after {
		if at := int64(i) * unit; sum != before[i] {
			runs = extend(runs, at, min(unit, size-at))
		}
	}
	return mended, write(ctx, d.File, 0, raw, runs, dir)
}

// sums has a sum of each unit of a file, 0 for one that is all zeros, and the file's size
// in bytes.
func sums(seed maphash.Seed, file string) (list []uint64, size int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	size = st.Size()
	list = make([]uint64, (size+unit-1)/unit)
	var zeros, b [unit]byte
	return list, size, eachData(f, size, func(start, end int64) error {
		for at := start; at < end; at += unit {
			n := min(unit, end-at)
			if _, err := f.ReadAt(b[:n], at); err != nil && err != io.EOF {
				return err
			}
			if !bytes.Equal(b[:n], zeros[:n]) {
				list[at/unit] = maphash.Bytes(seed, b[:n])
			}
		}
		return nil
	})
}
