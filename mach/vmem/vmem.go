// Package vmem is memory of this task that is not in Go's heap: the garbage
// collector does not know it, it is given back when it is freed, and it can be
// moved into a message or shared with another task, copy on write.
//
// It stands on package mach; packages that hold much data (the root file
// system, the stubs of hurd/proto for large answers) use it.
package vmem

import (
	"fmt"
	"unsafe"

	"hurdlab/mach"
)

// Memory allocates from the kernel.
type Memory struct{}

// Alloc returns n bytes of zeroed memory, n > 0, at the start of a page.
func (Memory) Alloc(n int) ([]byte, error) {
	addr, err := mach.VMAllocate(mach.TaskSelf(), uintptr(n))
	if err != nil {
		return nil, fmt.Errorf("%d bytes of memory: %w", n, err)
	}
	return At(addr, n), nil
}

// Free gives back what Alloc returned.
func (Memory) Free(b []byte) {
	// It can only fail if b is not Alloc's, a bug.
	if err := mach.VMDeallocate(mach.TaskSelf(), Addr(b), uintptr(cap(b))); err != nil {
		panic(err)
	}
}

// Trim gives back the pages of b, which Alloc returned, beyond its first n bytes, n > 0,
// and returns these.
func Trim(b []byte, n int) []byte {
	used := (n + mach.PageSize - 1) &^ (mach.PageSize - 1)
	if used < cap(b) {
		Memory{}.Free(At(Addr(b)+uintptr(used), cap(b)-used))
	}
	return b[:n:n]
}

// At returns the n bytes of memory at addr, which the caller knows to be
// mapped and outside Go's heap.
func At(addr uintptr, n int) []byte {
	// The address is the kernel's, not made from a pointer: there is no
	// object of Go's that could move or go.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), n)
}

// Addr returns the address of b.
func Addr(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
