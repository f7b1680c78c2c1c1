package mach

import (
	"fmt"
	"time"

	"hurdlab/mach/wire"
)

// fields reads the fields of a C structure that the kernel sends as an array
// of integers. Past the end, fields are 0 and short is set.
type fields struct {
	w     []int32
	next  int
	short bool
}

func fieldsOf(w []int32) *fields { return &fields{w: w} }

func (f *fields) int32() int32 {
	if f.next >= len(f.w) {
		f.short = true
		return 0
	}
	f.next++
	return f.w[f.next-1]
}

func (f *fields) int() int { return int(f.int32()) }

func (f *fields) int64() int64 {
	lo := uint32(f.int32())
	return int64(f.int32())<<32 | int64(lo)
}

// align moves to where a structure of the 64-bit layout has a field of 8
// bytes. The 32-bit layout aligns to 4 bytes only.
func (f *fields) align() {
	if native() == wire.Layout64 && f.next%2 != 0 {
		f.int32()
	}
}

// word reads an unsigned machine word.
func (f *fields) word() uintptr {
	if native() == wire.Layout64 {
		f.align()
		return uintptr(f.int64())
	}
	return uintptr(uint32(f.int32()))
}

// timeValue reads {seconds, microseconds} of a word each.
func (f *fields) timeValue() time.Duration {
	s, us := f.word(), f.word()
	return time.Duration(s)*time.Second + time.Duration(us)*time.Microsecond
}

// endInfo is end for routines that return a structure.
func (r routine) endInfo(f *fields) error {
	err := r.end()
	if err == nil && f.short {
		err = fmt.Errorf("%s: %w: the structure has only %d words", r.name, MigTypeError, len(f.w))
	}
	return err
}
