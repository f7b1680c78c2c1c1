package mach

import "time"

// Special ports of a task.
const (
	TaskKernelPort    = 1
	TaskExceptionPort = 3
	TaskBootstrapPort = 4
)

// TaskCreate makes a task without threads, with an empty name space. It gets
// parent's registered ports, exception port, bootstrap port and priority, and
// with inherit its memory, as the memory's inheritance says.
//
// Set the task's exception port (TaskExceptionPort): the one that it inherits
// from a Go program is that program's own, which cannot know what to do with
// the exceptions of others.
//
// Without inherit, the first memory allocated anywhere in it is at address 0.
// Allocate that page first: null pointers should fault, and a kernel of 2025
// panics if a message is there.
func TaskCreate(parent Port, inherit bool) (task Port, err error) {
	r := begin("task_create", 2007)
	r.PutBool(inherit)
	if err := r.call(parent); err != nil {
		return Null, err
	}
	task = r.TakeSend()
	return task, r.end()
}

// TaskTerminate ends a task: its threads, its memory, its rights. Ports that
// it receives from die.
func TaskTerminate(task Port) error { return begin("task_terminate", 2008).do(task) }

// TaskSuspend stops the threads of task until as many calls of [TaskResume].
func TaskSuspend(task Port) error { return beginWaiting("task_suspend", 2056).do(task) }

// TaskResume undoes one [TaskSuspend].
func TaskResume(task Port) error { return begin("task_resume", 2057).do(task) }

// TaskThreads returns send rights to the threads of task.
func TaskThreads(task Port) ([]Port, error) {
	r := begin("task_threads", 2011)
	if err := r.call(task); err != nil {
		return nil, err
	}
	p, _ := r.TakeRights(-1)
	return p, r.end()
}

// TaskGetSpecialPort returns a send right to a special port of task, or
// [Null].
func TaskGetSpecialPort(task Port, which int) (Port, error) {
	r := begin("task_get_special_port", 2058)
	r.PutInt32(int32(which))
	if err := r.call(task); err != nil {
		return Null, err
	}
	p := r.TakeSend()
	return p, r.end()
}

// TaskSetSpecialPort sets a special port of task to a send right made from p
// as disp says.
func TaskSetSpecialPort(task Port, which int, p Port, disp Type) error {
	r := begin("task_set_special_port", 2059)
	r.PutInt32(int32(which))
	r.PutRight(p, disp)
	return r.do(task)
}

// TaskSetName gives task a name that the kernel's debugger shows. The kernel
// keeps 31 bytes.
func TaskSetName(task Port, name string) error {
	r := begin("task_set_name", 4202)
	r.PutString(name[:min(len(name), 63)], 64)
	return r.do(task)
}

// TaskPriority sets the priority of task, 0 (the highest) to 64, and with
// threads that of its threads.
func TaskPriority(task Port, priority int, threads bool) error {
	r := begin("task_priority", 2622)
	r.PutInt32(int32(priority))
	r.PutBool(threads)
	return r.do(task)
}

// A TaskInfo describes a task.
type TaskInfo struct {
	SuspendCount int
	BasePriority int
	Virtual      uintptr // bytes of address space
	Resident     uintptr // bytes in physical memory
	// User and System are the processor time used by threads that have
	// ended: see also [TaskThreadTimes].
	User, System time.Duration
	Created      time.Time
}

// TaskBasicInfo describes task.
func TaskBasicInfo(task Port) (TaskInfo, error) {
	const words = 1024
	r := begin("task_info", 2012)
	r.PutInt32(1) // TASK_BASIC_INFO
	r.PutInt32(words)
	if err := r.call(task); err != nil {
		return TaskInfo{}, err
	}
	f := fieldsOf(r.TakeInt32s(words))
	info := TaskInfo{
		SuspendCount: f.int(), BasePriority: f.int(),
		Virtual: f.word(), Resident: f.word(),
	}
	// Forms with nanoseconds follow, but a kernel of 2025 leaves what was in
	// its memory there.
	info.User, info.System = f.timeValue(), f.timeValue()
	info.Created = time.Unix(0, int64(f.timeValue()))
	return info, r.endInfo(f)
}

// TaskThreadTimes returns the processor time of the threads of task that are
// alive.
func TaskThreadTimes(task Port) (user, system time.Duration, err error) {
	const words = 1024
	r := begin("task_info", 2012)
	r.PutInt32(3) // TASK_THREAD_TIMES_INFO
	r.PutInt32(words)
	if err := r.call(task); err != nil {
		return 0, 0, err
	}
	f := fieldsOf(r.TakeInt32s(words))
	user, system = f.timeValue(), f.timeValue()
	return user, system, r.endInfo(f)
}

// TaskEvents counts what happened to a task.
type TaskEvents struct {
	Faults, ZeroFills, Reactivations, PageIns, CopyFaults uintptr
	Sent, Received                                        uintptr // messages
}

// TaskEventsInfo counts what happened to task.
func TaskEventsInfo(task Port) (TaskEvents, error) {
	const words = 1024
	r := begin("task_info", 2012)
	r.PutInt32(2) // TASK_EVENTS_INFO
	r.PutInt32(words)
	if err := r.call(task); err != nil {
		return TaskEvents{}, err
	}
	f := fieldsOf(r.TakeInt32s(words))
	e := TaskEvents{f.word(), f.word(), f.word(), f.word(), f.word(), f.word(), f.word()}
	return e, r.endInfo(f)
}

// MachPortsRegister sets the ports that tasks created by task inherit: up to
// 4 send rights, copied.
func MachPortsRegister(task Port, ports []Port) error {
	r := begin("mach_ports_register", 2033)
	r.PutOOLRights(ports, CopySend)
	return r.do(task)
}

// MachPortsLookup returns the ports that [MachPortsRegister] set.
func MachPortsLookup(task Port) ([]Port, error) {
	r := begin("mach_ports_lookup", 2034)
	if err := r.call(task); err != nil {
		return nil, err
	}
	p, _ := r.TakeRights(-1)
	return p, r.end()
}

// RegisterNewTaskNotification makes the kernel tell notify, a send right made
// from a receive right, of each new task: see [TakeNewTask]. Only one port
// can be registered.
func RegisterNewTaskNotification(hostPriv, notify Port) error {
	r := begin("register_new_task_notification", 4203)
	r.PutRight(notify, MakeSend)
	return r.do(hostPriv)
}

// IDNewTask is the id of a message that tells of a new task.
const IDNewTask = 4400

// TakeNewTask decodes a message with id [IDNewTask]: send rights to the new
// task and to the one that created it, which are the caller's.
func TakeNewTask(m *Message) (task, parent Port, err error) {
	task, parent = m.TakeSend(), m.TakeSend()
	return task, parent, m.End()
}
