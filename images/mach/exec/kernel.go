package exec

import (
	"fmt"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
)

// A Kernel makes tasks. Rights that it is given are borrowed.
type Kernel interface {
	// CreateTask makes a task without threads, the child of parent or, if
	// that is null, of this server.
	CreateTask(parent mach.Port) (task mach.Port, err error)
	Suspend(task mach.Port) error
	Resume(task mach.Port) error
	Terminate(task mach.Port) error
	// Clear takes a task's threads and memory away.
	Clear(task mach.Port) error
	// DropName gives back one reference of a task's, DestroyName all.
	DropName(task, name mach.Port)
	DestroyName(task, name mach.Port)
	// SetName tells the kernel's debugger what the task runs.
	SetName(task mach.Port, name string)
	// SetPorts gives a task a bootstrap port, and no exception port.
	SetPorts(task, bootstrap mach.Port) error

	// Map maps memory: zeros, or a private copy of an object. A right to an
	// object that does not answer makes it wait.
	Map(task mach.Port, m mach.Mapping) (addr uintptr, err error)
	Unmap(task mach.Port, addr, size uintptr) error
	// Write writes whole pages.
	Write(task mach.Port, addr uintptr, data []byte) error
	Protect(task mach.Port, addr, size uintptr, p mach.Prot) error

	// Thread makes a thread with a program counter and a stack pointer, and
	// if run lets it go.
	Thread(task mach.Port, pc, sp uint32, run bool) error
	// Retain makes another reference to a send right of this server's.
	Retain(p mach.Port) error
	// NewRendezvous makes a port for others to meet at. done destroys it.
	NewRendezvous() (p proto.Right, done func(), err error)
	// Free returns how much of the machine's memory is free, in bytes.
	Free() (uint64, error)
}

// Mach is the machine's kernel.
type Mach struct{}

var _ Kernel = Mach{}

func (Mach) CreateTask(parent mach.Port) (mach.Port, error) {
	if parent == mach.Null {
		parent = mach.TaskSelf()
	}
	return mach.TaskCreate(parent, false)
}

func (Mach) Suspend(task mach.Port) error   { return mach.TaskSuspend(task) }
func (Mach) Resume(task mach.Port) error    { return mach.TaskResume(task) }
func (Mach) Terminate(task mach.Port) error { return mach.TaskTerminate(task) }

func (Mach) Clear(task mach.Port) error {
	threads, err := mach.TaskThreads(task)
	if err != nil {
		return err
	}
	for _, th := range threads {
		_ = mach.ThreadTerminate(th) // it may be gone
		_ = mach.Deallocate(th)
	}
	return mach.VMDeallocate(task, 0, userTop)
}

func (Mach) DropName(task, name mach.Port)    { _ = mach.PortDeallocate(task, name) }
func (Mach) DestroyName(task, name mach.Port) { _ = mach.PortDestroy(task, name) }

func (Mach) SetName(task mach.Port, name string) { _ = mach.TaskSetName(task, name) }

func (Mach) SetPorts(task, bootstrap mach.Port) error {
	if err := mach.TaskSetSpecialPort(task, mach.TaskExceptionPort, mach.Null, mach.CopySend); err != nil {
		return err
	}
	return mach.TaskSetSpecialPort(task, mach.TaskBootstrapPort, bootstrap, mach.CopySend)
}

func (Mach) Map(task mach.Port, m mach.Mapping) (uintptr, error) { return mach.VMMap(task, m) }

func (Mach) Unmap(task mach.Port, addr, size uintptr) error {
	return mach.VMDeallocate(task, addr, size)
}

// Write gives the task pages of their own: the kernel marks memory that it
// copies lazily, which Go's heap had better not be.
func (Mach) Write(task mach.Port, addr uintptr, data []byte) error {
	pages, err := vmem.Memory{}.Alloc(len(data))
	if err != nil {
		return err
	}
	defer vmem.Memory{}.Free(pages)
	copy(pages, data)
	return mach.VMWrite(task, addr, pages)
}

func (Mach) Protect(task mach.Port, addr, size uintptr, p mach.Prot) error {
	return mach.VMProtect(task, addr, size, false, p)
}

func (Mach) Thread(task mach.Port, pc, sp uint32, run bool) error {
	thread, err := mach.ThreadCreate(task)
	if err != nil {
		return err
	}
	defer mach.Deallocate(thread)
	if err := mach.ThreadSetState(thread, mach.StateRegs, mach.RegsI386{EIP: pc, UESP: sp}.Words()); err != nil {
		return err
	}
	if !run {
		return nil
	}
	return mach.ThreadResume(thread)
}

func (Mach) Retain(p mach.Port) error {
	return mach.PortModRefs(mach.TaskSelf(), p, mach.RightSend, 1)
}

func (Mach) NewRendezvous() (proto.Right, func(), error) {
	p, err := mach.PortAllocate(mach.TaskSelf(), mach.RightReceive)
	if err != nil {
		return proto.Right{}, nil, err
	}
	return proto.Make(p), func() { _ = mach.DestroyReceive(p) }, nil
}

func (Mach) Free() (uint64, error) {
	st, err := mach.VMStats(mach.TaskSelf())
	if err != nil {
		return 0, fmt.Errorf("free memory: %w", err)
	}
	return uint64(st.Free) * uint64(st.PageSize), nil
}
