package mach

import (
	"context"
	"fmt"
)

// A Right is a kind of right, as the port routines name it.
type Right int32

const (
	RightSend     Right = 0
	RightReceive  Right = 1
	RightSendOnce Right = 2
	RightPortSet  Right = 3
	RightDeadName Right = 4
)

// A PortType is the set of rights that a name denotes.
type PortType uint32

const (
	TypeSend     PortType = 0x10000
	TypeReceive  PortType = 0x20000
	TypeSendOnce PortType = 0x40000
	TypePortSet  PortType = 0x80000
	TypeDeadName PortType = 0x100000
	// TypeDeadNameRequest: a dead-name notification is requested.
	TypeDeadNameRequest PortType = 0x80000000
)

// A routine is a call of the kernel in the making.
type routine struct {
	*Message
	name string
	wait bool // the kernel may wait in it
}

func begin(name string, id int32) routine { return routine{NewMessage(id), name, false} }

// beginWaiting begins a routine in which the kernel may wait.
func beginWaiting(name string, id int32) routine { return routine{NewMessage(id), name, true} }

// call calls the routine. The results can be taken if it succeeds.
func (r routine) call(port Port) error {
	if err := callKernel(context.Background(), port, r.Message, r.wait); err != nil {
		return r.failed(err)
	}
	return nil
}

func (r routine) failed(err error) error { return fmt.Errorf("%s: %w", r.name, err) }

// end is to be called when the results have been taken.
func (r routine) end() error {
	err := r.Message.End()
	Destroy(r.Message)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", r.name, MigTypeError, err)
	}
	return nil
}

// do calls a routine without results.
func (r routine) do(port Port) error {
	if err := r.call(port); err != nil {
		return err
	}
	return r.end()
}

// Deallocate gives back one reference to a send right, send-once right or
// dead name of this task. It consumes p.
func Deallocate(p Port) error { return PortDeallocate(TaskSelf(), p) }

// DestroyReceive destroys a receive right of this task, and with it the port:
// waiting messages are destroyed, and all send rights become dead names. It
// consumes p, but not send rights that have the same name.
func DestroyReceive(p Port) error { return PortModRefs(TaskSelf(), p, RightReceive, -1) }

// PortAllocate makes a receive right, port set or dead name in task's name
// space. There is no send right yet.
func PortAllocate(task Port, right Right) (Port, error) {
	r := begin("mach_port_allocate", 3204)
	r.PutInt32(int32(right))
	if err := r.call(task); err != nil {
		return Null, err
	}
	p := r.TakeName()
	return p, r.end()
}

// PortAllocateName is [PortAllocate] with a name of the caller's choice.
func PortAllocateName(task Port, right Right, name Port) error {
	r := begin("mach_port_allocate_name", 3203)
	r.PutInt32(int32(right))
	r.PutName(name)
	return r.do(task)
}

// PortNames lists all names of task and what they denote.
func PortNames(task Port) ([]Port, []PortType, error) {
	r := begin("mach_port_names", 3200)
	if err := r.call(task); err != nil {
		return nil, nil, err
	}
	names, bits := r.TakeNames(), r.TakeInt32s(-1)
	if err := r.end(); err != nil {
		return nil, nil, err
	}
	types := make([]PortType, len(bits))
	for i, b := range bits {
		types[i] = PortType(b)
	}
	return names, types, nil
}

// PortTypeOf tells what name denotes in task.
func PortTypeOf(task, name Port) (PortType, error) {
	r := begin("mach_port_type", 3201)
	r.PutName(name)
	if err := r.call(task); err != nil {
		return 0, err
	}
	t := PortType(r.TakeInt32())
	return t, r.end()
}

// PortRename gives the rights called from in task the name to.
func PortRename(task, from, to Port) error {
	r := begin("mach_port_rename", 3202)
	r.PutName(from)
	r.PutName(to)
	return r.do(task)
}

// PortDestroy gives back all that name denotes in task, with all references.
// Prefer [PortDeallocate] and [PortModRefs], which other users of the name
// survive.
func PortDestroy(task, name Port) error {
	r := begin("mach_port_destroy", 3205)
	r.PutName(name)
	return r.do(task)
}

// PortDeallocate gives back one reference that task has to a send right,
// send-once right or dead name.
func PortDeallocate(task, name Port) error {
	r := begin("mach_port_deallocate", 3206)
	r.PutName(name)
	return r.do(task)
}

// PortGetRefs returns how many references task has to a right of one kind.
func PortGetRefs(task, name Port, right Right) (int, error) {
	r := begin("mach_port_get_refs", 3207)
	r.PutName(name)
	r.PutInt32(int32(right))
	if err := r.call(task); err != nil {
		return 0, err
	}
	n := r.TakeInt32()
	return int(n), r.end()
}

// PortModRefs adds delta to the number of references that task has to a right
// of one kind.
func PortModRefs(task, name Port, right Right, delta int) error {
	r := begin("mach_port_mod_refs", 3208)
	r.PutName(name)
	r.PutInt32(int32(right))
	r.PutInt32(int32(delta))
	return r.do(task)
}

// PortSetQueueLimit sets how many messages wait in a port's queue before
// senders do: 1 to 16.
func PortSetQueueLimit(task, name Port, limit int) error {
	r := begin("mach_port_set_qlimit", 3210)
	r.PutName(name)
	r.PutInt32(int32(limit))
	return r.do(task)
}

// PortSetMakeSendCount sets the number of send rights made from a receive
// right since it was allocated or received.
func PortSetMakeSendCount(task, name Port, n uint32) error {
	r := begin("mach_port_set_mscount", 3211)
	r.PutName(name)
	r.PutInt32(int32(n))
	return r.do(task)
}

// PortSetSeqno sets the sequence number of the next message received.
func PortSetSeqno(task, name Port, n uint32) error {
	r := begin("mach_port_set_seqno", 3218)
	r.PutName(name)
	r.PutInt32(int32(n))
	return r.do(task)
}

// PortSetMembers lists the receive rights in a port set of task.
func PortSetMembers(task, set Port) ([]Port, error) {
	r := begin("mach_port_get_set_status", 3212)
	r.PutName(set)
	if err := r.call(task); err != nil {
		return nil, err
	}
	p := r.TakeNames()
	return p, r.end()
}

// PortMoveMember moves a receive right into a port set, or with [Null] out of
// the one that it is in.
func PortMoveMember(task, member, set Port) error {
	r := begin("mach_port_move_member", 3213)
	r.PutName(member)
	r.PutName(set)
	return r.do(task)
}

// PortInsertRight gives task a right, made from p of this task as disp says,
// under the given name. With a Move disposition it consumes p.
func PortInsertRight(task, name, p Port, disp Type) error {
	r := begin("mach_port_insert_right", 3215)
	r.PutName(name)
	r.PutRight(p, disp)
	return r.do(task)
}

// PortExtractRight takes a right from task, or makes one from its, as disp
// says, and returns it with its kind.
func PortExtractRight(task, name Port, disp Type) (Port, Type, error) {
	r := begin("mach_port_extract_right", 3216)
	r.PutName(name)
	r.PutInt32(int32(disp))
	if err := r.call(task); err != nil {
		return Null, 0, err
	}
	p, t := r.TakeRight()
	return p, t, r.end()
}

// A PortStatus describes a receive right.
type PortStatus struct {
	Set            Port   // that the port is in, or Null
	Seqno          uint32 // of the next message received
	MakeSendCount  uint32
	QueueLimit     int
	Queued         int  // messages that wait
	SendOnceRights int  // that exist anywhere
	SendRights     bool // whether any exist
	PortDestroyed  bool // whether a notification is requested
	NoSenders      bool // whether a notification is requested
}

// PortGetStatus describes a receive right of task.
func PortGetStatus(task, name Port) (PortStatus, error) {
	r := begin("mach_port_get_receive_status", 3217)
	r.PutName(name)
	if err := r.call(task); err != nil {
		return PortStatus{}, err
	}
	w := r.takeExactly(9)
	s := PortStatus{
		Set: Port(w[0]), Seqno: uint32(w[1]), MakeSendCount: uint32(w[2]), QueueLimit: int(w[3]),
		Queued: int(w[4]), SendOnceRights: int(w[5]),
		SendRights: w[6] != 0, PortDestroyed: w[7] != 0, NoSenders: w[8] != 0,
	}
	return s, r.end()
}

// takeExactly takes an array of n integers. It returns n in any case.
func (r routine) takeExactly(n int) []int32 {
	w := r.TakeInt32s(n)
	return append(w, make([]int32, n-len(w))...)
}

// PortSetPayload makes messages received from a port carry payload in place
// of the port's name: see [wire.Message.LocalPayload]. The port must not be a
// [Receiver]'s, which depends on the name.
func PortSetPayload(task, name Port, payload uintptr) error {
	r := begin("mach_port_set_protected_payload", 3221)
	r.PutName(name)
	r.PutWord(uint64(payload))
	return r.do(task)
}

// PortClearPayload undoes [PortSetPayload].
func PortClearPayload(task, name Port) error {
	r := begin("mach_port_clear_protected_payload", 3222)
	r.PutName(name)
	return r.do(task)
}
