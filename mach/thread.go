package mach

import "time"

// A Flavor is a kind of thread state.
type Flavor int32

// The flavors of i386 and amd64.
const (
	StateRegs      Flavor = 1 // registers; of i386 without effect on segments
	StateFloat     Flavor = 2
	StateIOPorts   Flavor = 3
	StateRegsSegs  Flavor = 5 // as StateRegs, with segment registers
	StateDebug     Flavor = 6
	StateFSGSBase  Flavor = 7 // amd64
	StateExtension Flavor = 8 // XSAVE image
)

// RegsI386 are the words of [StateRegs] and [StateRegsSegs] on i386.
type RegsI386 struct {
	GS, FS, ES, DS, EDI, ESI, EBP, ESP, EBX, EDX, ECX, EAX uint32
	EIP, CS, EFL                                           uint32
	UESP                                                   uint32 // the stack pointer
	SS                                                     uint32
}

// Words returns the state as [ThreadSetState] takes it.
func (r RegsI386) Words() []uint32 {
	return []uint32{r.GS, r.FS, r.ES, r.DS, r.EDI, r.ESI, r.EBP, r.ESP, r.EBX, r.EDX, r.ECX, r.EAX, r.EIP, r.CS, r.EFL, r.UESP, r.SS}
}

// SetWords sets the state from what [ThreadGetState] returns and reports
// whether it has the right length.
func (r *RegsI386) SetWords(w []uint32) bool {
	if len(w) != 17 {
		return false
	}
	*r = RegsI386{w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12], w[13], w[14], w[15], w[16]}
	return true
}

// ThreadCreate makes a suspended thread in task, whose registers are 0. Set
// its state, then [ThreadResume] it.
func ThreadCreate(task Port) (thread Port, err error) {
	r := begin("thread_create", 2061)
	if err := r.call(task); err != nil {
		return Null, err
	}
	thread = r.TakeSend()
	return thread, r.end()
}

// ThreadTerminate ends a thread.
func ThreadTerminate(thread Port) error { return beginWaiting("thread_terminate", 2016).do(thread) }

// ThreadSuspend stops a thread until as many calls of [ThreadResume].
func ThreadSuspend(thread Port) error { return beginWaiting("thread_suspend", 2062).do(thread) }

// ThreadResume undoes one [ThreadSuspend].
func ThreadResume(thread Port) error { return begin("thread_resume", 2063).do(thread) }

// ThreadAbort makes a thread that waits in the kernel return from it, with
// [SendInterrupted] or [RcvInterrupted] from mach_msg.
func ThreadAbort(thread Port) error { return beginWaiting("thread_abort", 2064).do(thread) }

// ThreadGetState returns the state of a thread other than the caller's.
func ThreadGetState(thread Port, flavor Flavor) ([]uint32, error) {
	const words = 1024
	r := beginWaiting("thread_get_state", 2017)
	r.PutInt32(int32(flavor))
	r.PutInt32(words)
	if err := r.call(thread); err != nil {
		return nil, err
	}
	w := r.TakeInt32s(words)
	state := make([]uint32, len(w))
	for i, x := range w {
		state[i] = uint32(x)
	}
	return state, r.end()
}

// ThreadSetState sets the state of a thread other than the caller's.
func ThreadSetState(thread Port, flavor Flavor, state []uint32) error {
	r := beginWaiting("thread_set_state", 2018)
	r.PutInt32(int32(flavor))
	w := make([]int32, len(state))
	for i, x := range state {
		w[i] = int32(x)
	}
	r.PutInt32s(w...)
	return r.do(thread)
}

// Special ports of a thread.
const (
	ThreadKernelPort    = 1
	ThreadExceptionPort = 3
)

// ThreadGetSpecialPort returns a send right to a special port of a thread, or
// [Null].
func ThreadGetSpecialPort(thread Port, which int) (Port, error) {
	r := begin("thread_get_special_port", 2067)
	r.PutInt32(int32(which))
	if err := r.call(thread); err != nil {
		return Null, err
	}
	p := r.TakeSend()
	return p, r.end()
}

// ThreadSetSpecialPort sets a special port of a thread to a send right made
// from p as disp says.
func ThreadSetSpecialPort(thread Port, which int, p Port, disp Type) error {
	r := begin("thread_set_special_port", 2068)
	r.PutInt32(int32(which))
	r.PutRight(p, disp)
	return r.do(thread)
}

// A RunState is what a thread is doing.
type RunState int

const (
	Running         RunState = 1
	Stopped         RunState = 2
	Waiting         RunState = 3
	Uninterruptible RunState = 4
	Halted          RunState = 5
)

// A ThreadInfo describes a thread.
type ThreadInfo struct {
	User, System  time.Duration // processor time used
	CPUUsage      int           // recent, of 1000
	BasePriority  int
	Priority      int
	RunState      RunState
	Swapped, Idle bool
	SuspendCount  int
	SleepTime     time.Duration // for which it has been waiting
	Created       time.Time
}

// ThreadBasicInfo describes a thread.
func ThreadBasicInfo(thread Port) (ThreadInfo, error) {
	const words = 1024
	r := begin("thread_info", 2019)
	r.PutInt32(1) // THREAD_BASIC_INFO
	r.PutInt32(words)
	if err := r.call(thread); err != nil {
		return ThreadInfo{}, err
	}
	f := fieldsOf(r.TakeInt32s(words))
	info := ThreadInfo{
		User: f.timeValue(), System: f.timeValue(), CPUUsage: f.int(), BasePriority: f.int(), Priority: f.int(), RunState: RunState(f.int()),
	}
	flags := f.int()
	info.Swapped, info.Idle = flags&1 != 0, flags&2 != 0
	info.SuspendCount = f.int()
	info.SleepTime = time.Duration(f.int()) * time.Second
	// Nanoseconds follow, but see TaskBasicInfo.
	info.Created = time.Unix(0, int64(f.timeValue()))
	return info, r.endInfo(f)
}

// ThreadPriority sets a thread's priority, 0 (the highest) to 64, and with
// limit the highest that it can have.
func ThreadPriority(thread Port, priority int, limit bool) error {
	r := begin("thread_priority", 2620)
	r.PutInt32(int32(priority))
	r.PutBool(limit)
	return r.do(thread)
}

// ThreadSetName gives a thread a name that the kernel's debugger shows.
func ThreadSetName(thread Port, name string) error {
	r := begin("thread_set_name", 4213)
	r.PutString(name[:min(len(name), 63)], 64)
	return r.do(thread)
}

// IDException is the id of the message that tells of an exception.
const IDException = 2400

// An Exception is what a thread did that it cannot go on after, unless the
// handler answers with success: then the thread resumes with the state that
// [ThreadSetState] left it with. Any other answer, and the task ends.
type Exception struct {
	// Thread and Task are send rights, the receiver's.
	Thread, Task Port
	// Kind: 1 bad access, 2 bad instruction, 3 arithmetic, 6 breakpoint.
	Kind int
	// Code says more. Of a bad access it is a [KernReturn].
	Code int
	// Subcode, of a bad access, is the address.
	Subcode uintptr
}

// TakeException decodes a request with id [IDException].
func TakeException(m *Message) (Exception, error) {
	e := Exception{Thread: m.TakeSend(), Task: m.TakeSend()}
	e.Kind, e.Code, e.Subcode = int(m.TakeInt32()), int(m.TakeInt32()), uintptr(m.TakeWord())
	return e, m.End()
}
