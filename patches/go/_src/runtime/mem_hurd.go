// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import "unsafe"

const (
	_VM_PROT_NONE = 0
	_VM_PROT_RW   = 3
	_VM_PROT_ALL  = 7

	_VM_INHERIT_COPY = 1
)

//go:nosplit
func vmMap(addr unsafe.Pointer, n uintptr, prot uint32) unsafe.Pointer {
	anywhere := uint32(0)
	if addr == nil {
		anywhere = 1
	}
	p := addr
	if syscall_vm_map(taskSelf, unsafe.Pointer(&p), n, 0, anywhere, 0, 0, 0, prot, _VM_PROT_ALL, _VM_INHERIT_COPY) != 0 {
		return nil
	}
	return p
}

//go:nosplit
func sysAllocOS(n uintptr, _ string) unsafe.Pointer {
	return vmMap(nil, alignUp(n, _PAGESIZE), _VM_PROT_RW)
}

func sysUnusedOS(v unsafe.Pointer, n uintptr) {
	// Mach has no madvise and no mapping over an existing one (see the report).
}

func sysUsedOS(v unsafe.Pointer, n uintptr)             {}
func sysHugePageOS(v unsafe.Pointer, n uintptr)         {}
func sysNoHugePageOS(v unsafe.Pointer, n uintptr)       {}
func sysHugePageCollapseOS(v unsafe.Pointer, n uintptr) {}

//go:nosplit
func sysFreeOS(v unsafe.Pointer, n uintptr) {
	syscall_vm_deallocate(taskSelf, v, n)
}

func sysFaultOS(v unsafe.Pointer, n uintptr) {
	vmProtect(uintptr(v), n, _VM_PROT_NONE)
}

func sysReserveOS(v unsafe.Pointer, n uintptr, _ string) unsafe.Pointer {
	return vmMap(v, n, _VM_PROT_NONE)
}

func sysMapOS(v unsafe.Pointer, n uintptr, _ string) {
	if kr := vmProtect(uintptr(v), n, _VM_PROT_RW); kr != 0 {
		print("runtime: vm_protect(", v, ", ", n, ") = ", kr, "\n")
		throw("runtime: cannot map pages in arena address space")
	}
}

func needZeroAfterSysUnusedOS() bool { return true }
