// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import "unsafe"

// Memory is given back in chunks.
//
// Mach has no madvise. Deallocated pages become free only if nothing else of
// the task refers to the same memory object, and the kernel makes one object
// of neighbouring anonymous mappings that are alike: pages deallocated in the
// middle of it stay occupied for good. So each chunk of the heap is kept an
// object of its own, by giving neighbours different inheritance, which
// otherwise does not matter: a task of Go has no children that inherit.
//
// When all pages of a chunk are unused, a chunk of zeros that nobody has ever
// touched is copied over it: lazily, which frees the old object, and
// atomically. (Deallocating and mapping it again would leave a moment in
// which the kernel could put the memory of a message there.)

const (
	memChunk = 64 << 10

	// memReserve is how much of the machine's memory the heap leaves free.
	memReserve = 1 << 20

	// memProcessReserve is how much a process leaves free if it grows
	// beyond the first arena: so that whoever takes all he can get leaves
	// something to the servers and to other programs' beginnings.
	memProcessReserve = 6 << 20
)

// memUnused notes which pages of the heap are unused, by chunk. On a machine
// with more than 32 bits of addresses this must become a sparse table.
var memUnused struct {
	lock  mutex
	pages [1 << 32 / memChunk]uint16 // a bit for each page of the chunk
	zeros uintptr                    // a chunk that is never touched
}

const memAllPages = 1<<(memChunk/_PAGESIZE) - 1

//go:nosplit
func vmMap(addr unsafe.Pointer, n uintptr, prot, inherit uint32) unsafe.Pointer {
	anywhere := uint32(0)
	if addr == nil {
		anywhere = 1
	}
	p := addr
	if syscall_vm_map(taskSelf, unsafe.Pointer(&p), n, 0, anywhere, 0, 0, 0, prot, _VM_PROT_ALL, inherit) != 0 {
		return nil
	}
	return p
}

func vmProtect(addr, n uintptr, prot uint32) uint32 {
	var m machMsg
	m.putAddr(addr)
	m.putAddr(n)
	m.putBool(0) // the current protection, not the maximum
	m.putInt(prot)
	return m.call(taskSelf, idVMProtect)
}

//go:nosplit
func sysAllocOS(n uintptr, _ string) unsafe.Pointer {
	return vmMap(nil, alignUp(n, _PAGESIZE), _VM_PROT_RW, _VM_INHERIT_COPY)
}

//go:nosplit
func sysFreeOS(v unsafe.Pointer, n uintptr) {
	syscall_vm_deallocate(taskSelf, v, n)
}

func sysReserveOS(v unsafe.Pointer, n uintptr, _ string) unsafe.Pointer {
	return vmMap(v, n, _VM_PROT_NONE, _VM_INHERIT_COPY)
}

func sysMapOS(v unsafe.Pointer, n uintptr, _ string) {
	start, end := uintptr(v), uintptr(v)+n
	if !memAvailable(n) {
		print("runtime: the machine has no memory for ", n, " more bytes\n")
		throw("out of memory")
	}
	// Nothing has been touched yet: the parts have no common object. And
	// nothing is in use before sysUsed.
	lock(&memUnused.lock)
	for p := start; p < end; {
		next := min(alignDown(p, memChunk)+memChunk, end)
		memUnused.pages[p/memChunk] |= memPageBits(p, end)
		if p/memChunk%2 != 0 {
			var m machMsg
			m.putAddr(p)
			m.putAddr(next - p)
			m.putInt(_VM_INHERIT_NONE)
			m.call(taskSelf, idVMInherit)
		}
		p = next
	}
	unlock(&memUnused.lock)
	if kr := vmProtect(start, n, _VM_PROT_RW); kr != 0 {
		print("runtime: vm_protect(", v, ", ", n, ") = ", hex(kr), "\n")
		throw("runtime: cannot map pages in arena address space")
	}
}

// memAvailable reports whether the machine has memory for n more bytes. Mach
// itself promises memory that it does not have, and when that is used, in a
// system without a place to page to, stops all who need memory. Hence a
// program that needs too much shall know before.
//
// Of the first arena a small program uses little: it needs only the reserve.
func memAvailable(n uintptr) bool {
	n += memReserve
	if gcController.heapReleased.load()+gcController.heapFree.load()+gcController.heapInUse.load() <= heapArenaBytes {
		n = memReserve
	} else if hurd.on {
		n += memProcessReserve
	}
	var m machMsg
	if m.call(taskSelf, idVMStatistics) != 0 {
		return true
	}
	at := func(i uint32) uint32 { return *m.word(m.n + 1 + i) }
	pages := at(vmStatisticsFree)
	all := pages + at(vmStatisticsActive) + at(vmStatisticsInactive) + at(vmStatisticsWired)
	m.reset()
	if m.call(taskSelf, idVMCacheStatistics) == 0 {
		// Pages of files are there for the taking.
		pages += at(vmCacheActivePerm) + at(vmCacheInactivePerm)
	}
	// The kernel begins to look for pages to take from somebody, which is
	// in vain, when 6 % or 600 pages of a zone of memory are left. There
	// are two zones, of which that for DMA is small.
	const low = 600
	return uintptr(pages) >= n/_PAGESIZE+low+uintptr(max(all*6/100, low))
}

func sysUnusedOS(v unsafe.Pointer, n uintptr) {
	u := &memUnused
	lock(&u.lock)
	if u.zeros == 0 {
		u.zeros = uintptr(vmMap(nil, memChunk, _VM_PROT_RW, _VM_INHERIT_SHARE))
	}
	for p, end := uintptr(v), uintptr(v)+n; p < end; p = alignDown(p, memChunk) + memChunk {
		w := &u.pages[p/memChunk]
		if *w == memAllPages {
			continue
		}
		*w |= memPageBits(p, end)
		if *w == memAllPages && u.zeros != 0 {
			var m machMsg
			m.putAddr(u.zeros)
			m.putAddr(memChunk)
			m.putAddr(alignDown(p, memChunk))
			m.call(taskSelf, idVMCopy)
		}
	}
	unlock(&u.lock)
}

func sysUsedOS(v unsafe.Pointer, n uintptr) {
	u := &memUnused
	lock(&u.lock)
	for p, end := uintptr(v), uintptr(v)+n; p < end; p = alignDown(p, memChunk) + memChunk {
		u.pages[p/memChunk] &^= memPageBits(p, end)
	}
	unlock(&u.lock)
}

// memPageBits gives the bits of the pages from p on, up to end or the end of
// the chunk.
func memPageBits(p, end uintptr) uint16 {
	base := alignDown(p, memChunk)
	first := (p - base) / _PAGESIZE
	past := (min(end, base+memChunk) - base + _PAGESIZE - 1) / _PAGESIZE
	return uint16(1<<past - 1<<first)
}

// Unused memory may or may not have its old contents.
func needZeroAfterSysUnusedOS() bool { return true }

func sysFaultOS(v unsafe.Pointer, n uintptr) {
	vmProtect(uintptr(v), n, _VM_PROT_NONE)
}

// There are no huge pages.
func sysHugePageOS(v unsafe.Pointer, n uintptr)         {}
func sysNoHugePageOS(v unsafe.Pointer, n uintptr)       {}
func sysHugePageCollapseOS(v unsafe.Pointer, n uintptr) {}
