package mach

// PageSize is the size of a page of memory in bytes.
const PageSize = 4096

// A Prot is what may be done with memory.
type Prot int32

const (
	ProtNone  Prot = 0
	ProtRead  Prot = 1
	ProtWrite Prot = 2
	ProtExec  Prot = 4
	ProtAll   Prot = 7
	// ProtNoChange, to a pager's lock request, leaves the lock as it is.
	ProtNoChange Prot = 8
)

// An Inherit is what a new task gets of its parent's memory.
type Inherit int32

const (
	InheritShare Inherit = 0
	InheritCopy  Inherit = 1
	InheritNone  Inherit = 2
)

// VMAllocate allocates size bytes of zeros anywhere in task, readable and
// writable.
func VMAllocate(task Port, size uintptr) (addr uintptr, err error) {
	return vmAllocate(task, 0, size, true)
}

// VMAllocateAt is [VMAllocate] at an address, which must be free.
func VMAllocateAt(task Port, addr, size uintptr) error {
	_, err := vmAllocate(task, addr, size, false)
	return err
}

func vmAllocate(task Port, addr, size uintptr, anywhere bool) (uintptr, error) {
	r := begin("vm_allocate", 2021)
	r.PutWord(uint64(addr))
	r.PutWord(uint64(size))
	r.PutBool(anywhere)
	if err := r.call(task); err != nil {
		return 0, err
	}
	addr = uintptr(r.TakeWord())
	return addr, r.end()
}

// VMDeallocate frees the pages that the size bytes at addr are in.
func VMDeallocate(task Port, addr, size uintptr) error {
	r := begin("vm_deallocate", 2023)
	r.PutWord(uint64(addr))
	r.PutWord(uint64(size))
	return r.do(task)
}

// VMProtect sets the protection of memory; with max, that which it can have
// at most, which can only shrink.
func VMProtect(task Port, addr, size uintptr, max bool, prot Prot) error {
	r := begin("vm_protect", 2024)
	r.PutWord(uint64(addr))
	r.PutWord(uint64(size))
	r.PutBool(max)
	r.PutInt32(int32(prot))
	return r.do(task)
}

// VMInherit sets what new tasks get of memory.
func VMInherit(task Port, addr, size uintptr, inherit Inherit) error {
	r := begin("vm_inherit", 2025)
	r.PutWord(uint64(addr))
	r.PutWord(uint64(size))
	r.PutInt32(int32(inherit))
	return r.do(task)
}

// VMRead returns a copy of memory of task, which need not be aligned. It may
// wait for a pager.
func VMRead(task Port, addr, size uintptr) ([]byte, error) {
	r := beginWaiting("vm_read", 2026)
	r.PutWord(uint64(addr))
	r.PutWord(uint64(size))
	if err := r.call(task); err != nil {
		return nil, err
	}
	b := append([]byte(nil), r.TakeData(-1)...)
	return b, r.end()
}

// VMWrite writes data to memory of task. The address and the length are
// multiples of [PageSize]. It may wait for a pager.
func VMWrite(task Port, addr uintptr, data []byte) error {
	r := beginWaiting("vm_write", 2027)
	r.PutWord(uint64(addr))
	r.PutOOLData(Byte, data)
	return r.do(task)
}

// VMCopy copies memory within task, as copy-on-write pages: addresses and
// size are multiples of [PageSize]. It may wait for a pager.
func VMCopy(task Port, from, size, to uintptr) error {
	r := beginWaiting("vm_copy", 2028)
	r.PutWord(uint64(from))
	r.PutWord(uint64(size))
	r.PutWord(uint64(to))
	return r.do(task)
}

// A Region is a range of memory with common attributes.
type Region struct {
	Addr, Size    uintptr
	Prot, MaxProt Prot
	Inherit       Inherit
	Shared        bool
	// Object is a send right to the name port of the memory object, the
	// caller's, or Null for memory that was never touched.
	Object Port
	Offset uintptr // in the object
}

// VMRegion describes the region at addr or the next one after it. Past the
// last one it fails with [KernNoSpace].
func VMRegion(task Port, addr uintptr) (Region, error) {
	r := begin("vm_region", 2029)
	r.PutWord(uint64(addr))
	if err := r.call(task); err != nil {
		return Region{}, err
	}
	g := Region{
		Addr: uintptr(r.TakeWord()), Size: uintptr(r.TakeWord()),
		Prot: Prot(r.TakeInt32()), MaxProt: Prot(r.TakeInt32()), Inherit: Inherit(r.TakeInt32()),
		Shared: r.TakeBool(), Object: r.TakeSend(), Offset: uintptr(r.TakeWord()),
	}
	return g, r.end()
}

// VMStatistics counts pages of the whole machine, and events since it booted.
type VMStatistics struct {
	PageSize, Free, Active, Inactive, Wired                uint32
	ZeroFills, Reactivations, PageIns, PageOuts            uint32
	Faults, CopyFaults, ObjectCacheLookups, ObjectCacheHit uint32
}

// VMStats returns statistics of the machine.
func VMStats(task Port) (VMStatistics, error) {
	r := begin("vm_statistics", 2030)
	if err := r.call(task); err != nil {
		return VMStatistics{}, err
	}
	var u [13]uint32
	for i, x := range r.takeExactly(13) {
		u[i] = uint32(x)
	}
	s := VMStatistics{u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12]}
	return s, r.end()
}

// A Mapping says what [VMMap] maps and how.
type Mapping struct {
	// Addr is where to map, unless Anywhere. Mask has the bits that must be
	// 0 in the address that Anywhere finds.
	Addr, Size, Mask uintptr
	Anywhere         bool
	// Object is a send right to a memory object, borrowed, or Null for
	// zeros. A dead port gives zeros, too.
	Object Port
	Offset uintptr // in the object; a multiple of PageSize
	// Copy maps a private copy, and makes VMMap wait for the pager.
	Copy          bool
	Prot, MaxProt Prot
	Inherit       Inherit
}

// VMMap maps memory into task. With a.Copy it may wait for a pager.
func VMMap(task Port, a Mapping) (addr uintptr, err error) {
	r := begin("vm_map", 2089)
	r.wait = a.Copy
	r.PutWord(uint64(a.Addr))
	r.PutWord(uint64(a.Size))
	r.PutWord(uint64(a.Mask))
	r.PutBool(a.Anywhere)
	r.PutRight(a.Object, CopySend)
	r.PutWord(uint64(a.Offset))
	r.PutBool(a.Copy)
	r.PutInt32(int32(a.Prot))
	r.PutInt32(int32(a.MaxProt))
	r.PutInt32(int32(a.Inherit))
	if err := r.call(task); err != nil {
		return 0, err
	}
	addr = uintptr(r.TakeWord())
	return addr, r.end()
}

// VMWire makes the pages of memory resident and keeps them so, for accesses
// of the kind prot; [ProtNone] undoes it. host is the privileged port, or the
// ordinary one for a few megabytes. It may wait for a pager, with task's map
// locked: a pager cannot wire what it pages in its own memory.
func VMWire(host, task Port, addr, size uintptr, prot Prot) error {
	r := beginWaiting("vm_wire", 2636)
	r.PutRight(task, CopySend)
	r.PutWord(uint64(addr))
	r.PutWord(uint64(size))
	r.PutInt32(int32(prot))
	return r.do(host)
}

// VMAllocateContiguous allocates wired memory in task that is contiguous in
// physical memory, between the addresses low and high, aligned to align (0
// for a page). It returns where it is in task and in physical memory, for
// devices.
//
// A kernel of 2025 chooses by kind of memory and then panics if the result is
// not below high: use 16 MB for the devices of an ISA bus, or else 4 GB.
func VMAllocateContiguous(hostPriv, task Port, size uintptr, low, high, align uint64) (addr uintptr, phys uint64, err error) {
	r := begin("vm_allocate_contiguous", 4210)
	r.PutRight(task, CopySend)
	r.PutWord(uint64(size))
	r.PutInt64(int64(low))
	r.PutInt64(int64(high))
	r.PutInt64(int64(align))
	if err := r.call(hostPriv); err != nil {
		return 0, 0, err
	}
	addr, phys = uintptr(r.TakeWord()), uint64(r.TakeInt64())
	return addr, phys, r.end()
}

// VMPagesPhys returns the physical addresses of the pages of memory of task.
func VMPagesPhys(hostPriv, task Port, addr, size uintptr) ([]uint64, error) {
	r := begin("vm_pages_phys", 4212)
	r.PutRight(task, CopySend)
	r.PutWord(uint64(addr))
	r.PutWord(uint64(size))
	if err := r.call(hostPriv); err != nil {
		return nil, err
	}
	x := r.TakeInt64s(-1)
	pages := make([]uint64, len(x))
	for i, x := range x {
		pages[i] = uint64(x)
	}
	return pages, r.end()
}

// How [VMSync] goes about it.
const (
	SyncAsync      = 1
	SyncWait       = 2 // for the pager to have written
	SyncInvalidate = 4
)

// VMSync gives dirty pages of memory of task back to their pagers. With
// [SyncWait] it waits for them.
func VMSync(task Port, addr, size uintptr, flags int) error {
	r := beginWaiting("vm_msync", 4209)
	r.PutWord(uint64(addr))
	r.PutWord(uint64(size))
	r.PutInt32(int32(flags))
	return r.do(task)
}

// VMSetSizeLimit sets how much address space task may have. Raising the
// maximum needs the privileged host port. Kernels before 2026 fail with
// [MigBadID].
func VMSetSizeLimit(host, task Port, limit, max uintptr) error {
	r := begin("vm_set_size_limit", 4215)
	r.PutRight(task, CopySend)
	r.PutWord(uint64(limit))
	r.PutWord(uint64(max))
	return r.do(host)
}

// VMGetSizeLimit returns what [VMSetSizeLimit] sets.
func VMGetSizeLimit(task Port) (limit, max uintptr, err error) {
	r := begin("vm_get_size_limit", 4216)
	if err := r.call(task); err != nil {
		return 0, 0, err
	}
	limit, max = uintptr(r.TakeWord()), uintptr(r.TakeWord())
	return limit, max, r.end()
}

// MemoryObjectCreateProxy makes a port through which tasks of this kernel can
// map size bytes of a memory object from offset start on, with at most the
// protection max.
func MemoryObjectCreateProxy(task Port, max Prot, object Port, start, size uintptr) (Port, error) {
	r := begin("memory_object_create_proxy", 4010)
	r.PutInt32(int32(max))
	// Arrays of one element, in the only form that the kernel accepts: the
	// descriptors are those of single items.
	r.PutRight(object, CopySend)
	r.PutWord(0)
	r.PutWord(uint64(start))
	r.PutWord(uint64(size))
	if err := r.call(task); err != nil {
		return Null, err
	}
	p := r.TakeSend()
	return p, r.end()
}

// VMRegionCreateProxy is [MemoryObjectCreateProxy] for what is mapped at addr
// in task, which other tasks thus can share.
func VMRegionCreateProxy(task Port, addr uintptr, max Prot, size uintptr) (Port, error) {
	r := begin("vm_region_create_proxy", 4011)
	r.PutWord(uint64(addr))
	r.PutInt32(int32(max))
	r.PutWord(uint64(size))
	if err := r.call(task); err != nil {
		return Null, err
	}
	p := r.TakeSend()
	return p, r.end()
}
