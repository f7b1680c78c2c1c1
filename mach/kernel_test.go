//go:build !hurd

package mach

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hurdlab/internal/reference"
	"hurdlab/mach/wire"
)

// A fakeKernel answers requests as the reference says that the kernel does,
// with values of no meaning, and checks them against it.
type fakeKernel struct {
	t        *testing.T
	l        wire.Layout
	routines map[int32]reference.Routine
	asked    map[int32]bool
	mem      reference.Memory
	released []string // what was given back
	sent     []*Message
	queued   []byte       // a reply that did not fit
	codes    []KernReturn // what sending to client ends with, next
}

func (k *fakeKernel) layout() wire.Layout { return k.l }

func (k *fakeKernel) memory() wire.Memory { return k.mem }

func (k *fakeKernel) message(b []byte, option uint32, size int, rcvName Port) KernReturn {
	k.t.Helper()
	if option&optSend == 0 {
		return k.receive(b)
	}
	got, err := wire.Parse(k.l, bytes.Clone(b[:size]), nil)
	if err != nil {
		k.t.Errorf("%v: %v", k.l, err)
		return SendInvalidData
	}
	id := got.ID()
	if p, _ := got.Remote(); p == client {
		if len(k.codes) > 0 {
			code := k.codes[0]
			k.codes = k.codes[1:]
			if code == SendTimedOut {
				// The kernel gives the message back with rights made.
				var m Message
				check(m.Load(k.l, b[:size], nil))
				m.SetDest(client, MoveSend)
				m.SetReply(99, MoveSendOnce)
			}
			return code
		}
		k.sent = append(k.sent, got)
		return KernSuccess
	}
	r, ok := k.routines[id]
	if !ok {
		k.t.Errorf("%v: the reference has no routine %d", k.l, id)
		return SendInvalidDest
	}
	k.asked[id] = true
	k.check(r, got)
	switch id {
	case 3206:
		k.released = append(k.released, fmt.Sprint("right ", uint32(got.TakeName())))
	case 3208:
		k.released = append(k.released, fmt.Sprint("receive ", uint32(got.TakeName())))
	case 2023:
		k.released = append(k.released, fmt.Sprintf("%#x+%d", got.TakeWord(), got.TakeWord()))
	}
	if option&optRcv == 0 {
		return KernSuccess
	}
	if !r.Answered {
		// Some routines have no reply of their own, but the kernel sends the
		// return code to who wants it.
		r.Reply = nil
	}
	reply := wire.New(k.l, id+100)
	reply.PutInt32(0)
	for _, typ := range r.Reply {
		// What a routine gives is the caller's: null rights, so that it has
		// nothing to release.
		reference.Put(k.t, reply, typ, 40)
	}
	reply.SetDest(0, 0)
	k.mem = reference.Memory{}
	reply.Bind(k.mem.Bind)
	k.queued = reply.Buffer(0)
	return k.receive(b)
}

func (k *fakeKernel) receive(b []byte) KernReturn {
	if copy(b, k.queued) < len(k.queued) {
		return RcvTooLarge // the size is in the header
	}
	return KernSuccess
}

// check compares the request got with what the reference says of r.
func (k *fakeKernel) check(r reference.Routine, got *Message) {
	k.t.Helper()
	i := 0
	if k.l == wire.Layout64 {
		i = 1
	}
	if want, n := r.RequestBytes[i], len(got.Buffer(0)); want != 0 && want != n {
		k.t.Errorf("%v %s: %d bytes, the reference says %d", k.l, r.Name, n, want)
	}
	want := wire.New(k.l, r.ID)
	for _, typ := range r.Request {
		reference.Put(k.t, want, typ, 1)
	}
	if got.Complex() != want.Complex() {
		k.t.Errorf("%v %s: complex is %v, want %v", k.l, r.Name, got.Complex(), want.Complex())
	}
	// descs returns the descriptors of m, without what callers may choose.
	descs := func(m *Message) (list []wire.Desc) {
		for it, err := range m.Items() {
			if err != nil {
				k.t.Errorf("%v %s: %v", k.l, r.Name, err)
			}
			d := it.Desc
			d.Dealloc = false
			if j := len(list); j < len(r.Request) {
				switch typ := r.Request[j]; {
				case strings.Contains(typ, "[") && !strings.HasPrefix(typ, "cstr["):
					d.Number = 0 // varies
					fallthrough
				case typ == "cs", typ[0] == 'p':
					if d.Type == MakeSend || d.Type == MoveSend {
						d.Type = CopySend
					}
				}
			}
			list = append(list, d)
		}
		return list
	}
	if g, w := descs(got), descs(want); !slices.Equal(g, w) {
		k.t.Errorf("%v %s:\n  sent %v\nwanted %v", k.l, r.Name, g, w)
	}
}

// client is a port of another task: what is sent there is no routine.
const client Port = 1000

func start(t *testing.T, l wire.Layout) *fakeKernel {
	k := &fakeKernel{t: t, l: l, routines: map[int32]reference.Routine{}, asked: map[int32]bool{}}
	for _, r := range reference.Routines(t) {
		k.routines[r.ID] = r
	}
	testHost = k
	t.Cleanup(func() { testHost = nil; direct.free = nil })
	return k
}

// Every call of the kernel is as the reference describes it, on both layouts,
// and understands the answer.
func TestKernelCalls(t *testing.T) {
	drop := func(_ any, err error) error { return err }
	ctx := t.Context()
	const p, q = Port(3), Port(4)
	calls := map[string]func() error{
		"TaskCreate":                  func() error { return drop(TaskCreate(p, true)) },
		"TaskTerminate":               func() error { return TaskTerminate(p) },
		"TaskSuspend":                 func() error { return TaskSuspend(p) },
		"TaskResume":                  func() error { return TaskResume(p) },
		"TaskThreads":                 func() error { return drop(TaskThreads(p)) },
		"TaskGetSpecialPort":          func() error { return drop(TaskGetSpecialPort(p, TaskBootstrapPort)) },
		"TaskSetSpecialPort":          func() error { return TaskSetSpecialPort(p, TaskBootstrapPort, q, CopySend) },
		"TaskSetName":                 func() error { return TaskSetName(p, strings.Repeat("n", 100)) },
		"TaskPriority":                func() error { return TaskPriority(p, 25, true) },
		"TaskBasicInfo":               func() error { return drop(TaskBasicInfo(p)) },
		"TaskThreadTimes":             func() error { _, _, err := TaskThreadTimes(p); return err },
		"TaskEventsInfo":              func() error { return drop(TaskEventsInfo(p)) },
		"MachPortsRegister":           func() error { return MachPortsRegister(p, []Port{q}) },
		"MachPortsLookup":             func() error { return drop(MachPortsLookup(p)) },
		"RegisterNewTaskNotification": func() error { return RegisterNewTaskNotification(p, q) },

		"ThreadCreate":         func() error { return drop(ThreadCreate(p)) },
		"ThreadTerminate":      func() error { return ThreadTerminate(p) },
		"ThreadSuspend":        func() error { return ThreadSuspend(p) },
		"ThreadResume":         func() error { return ThreadResume(p) },
		"ThreadAbort":          func() error { return ThreadAbort(p) },
		"ThreadGetState":       func() error { return drop(ThreadGetState(p, StateRegs)) },
		"ThreadSetState":       func() error { return ThreadSetState(p, StateRegs, RegsI386{}.Words()) },
		"ThreadGetSpecialPort": func() error { return drop(ThreadGetSpecialPort(p, 1)) },
		"ThreadSetSpecialPort": func() error { return ThreadSetSpecialPort(p, 3, q, MakeSend) },
		"ThreadBasicInfo":      func() error { return drop(ThreadBasicInfo(p)) },
		"ThreadPriority":       func() error { return ThreadPriority(p, 25, false) },
		"ThreadSetName":        func() error { return ThreadSetName(p, "name") },

		"VMAllocate":              func() error { return drop(VMAllocate(p, 4096)) },
		"VMAllocateAt":            func() error { return VMAllocateAt(p, 4096, 4096) },
		"VMDeallocate":            func() error { return VMDeallocate(p, 4096, 4096) },
		"VMProtect":               func() error { return VMProtect(p, 4096, 4096, true, ProtAll) },
		"VMInherit":               func() error { return VMInherit(p, 4096, 4096, InheritShare) },
		"VMRead":                  func() error { return drop(VMRead(p, 4096, 10)) },
		"VMWrite":                 func() error { return VMWrite(p, 4096, make([]byte, PageSize)) },
		"VMCopy":                  func() error { return VMCopy(p, 0, 4096, 8192) },
		"VMRegion":                func() error { return drop(VMRegion(p, 0)) },
		"VMStats":                 func() error { return drop(VMStats(p)) },
		"VMMap":                   func() error { return drop(VMMap(p, Mapping{Size: 4096, Object: q, Copy: true})) },
		"VMWire":                  func() error { return VMWire(p, q, 0, 4096, ProtRead) },
		"VMAllocateContiguous":    func() error { _, _, err := VMAllocateContiguous(p, q, 4096, 0, 1<<32, 0); return err },
		"VMPagesPhys":             func() error { return drop(VMPagesPhys(p, q, 0, 4096)) },
		"VMSync":                  func() error { return VMSync(p, 0, 4096, SyncWait) },
		"VMSetSizeLimit":          func() error { return VMSetSizeLimit(p, q, 1<<20, 1<<30) },
		"VMGetSizeLimit":          func() error { _, _, err := VMGetSizeLimit(p); return err },
		"MemoryObjectCreateProxy": func() error { return drop(MemoryObjectCreateProxy(p, ProtRead, q, 0, 4096)) },
		"VMRegionCreateProxy":     func() error { return drop(VMRegionCreateProxy(p, 0, ProtRead, 4096)) },

		"HostBasicInfo":        func() error { return drop(HostBasicInfo(p)) },
		"HostLoadInfo":         func() error { return drop(HostLoadInfo(p)) },
		"HostKernelVersion":    func() error { return drop(HostKernelVersion(p)) },
		"HostTime":             func() error { return drop(HostTime(p)) },
		"HostUptime":           func() error { return drop(HostUptime(p)) },
		"HostSetTime":          func() error { return HostSetTime(p, time.Unix(1, 2)) },
		"HostAdjustTime":       func() error { return drop(HostAdjustTime(p, -time.Millisecond)) },
		"HostReboot":           func() error { return HostReboot(p, Halt) },
		"HostProcessors":       func() error { return drop(HostProcessors(p)) },
		"ProcessorSetDefault":  func() error { return drop(ProcessorSetDefault(p)) },
		"HostProcessorSetPriv": func() error { return drop(HostProcessorSetPriv(p, q)) },
		"ProcessorSetTasks":    func() error { return drop(ProcessorSetTasks(p)) },

		"PortAllocate":        func() error { return drop(PortAllocate(p, RightReceive)) },
		"PortAllocateName":    func() error { return PortAllocateName(p, RightReceive, 9) },
		"PortNames":           func() error { _, _, err := PortNames(p); return err },
		"PortTypeOf":          func() error { return drop(PortTypeOf(p, q)) },
		"PortRename":          func() error { return PortRename(p, q, 9) },
		"PortDestroy":         func() error { return PortDestroy(p, q) },
		"PortDeallocate":      func() error { return PortDeallocate(p, q) },
		"PortGetRefs":         func() error { return drop(PortGetRefs(p, q, RightSend)) },
		"PortModRefs":         func() error { return PortModRefs(p, q, RightSend, -1) },
		"PortSetQueueLimit":   func() error { return PortSetQueueLimit(p, q, 16) },
		"PortSetMakeSend":     func() error { return PortSetMakeSendCount(p, q, 1) },
		"PortSetSeqno":        func() error { return PortSetSeqno(p, q, 1) },
		"PortSetMembers":      func() error { return drop(PortSetMembers(p, q)) },
		"PortMoveMember":      func() error { return PortMoveMember(p, q, 9) },
		"PortInsertRight":     func() error { return PortInsertRight(p, 9, q, MakeSend) },
		"PortExtractRight":    func() error { _, _, err := PortExtractRight(p, q, MoveSend); return err },
		"PortGetStatus":       func() error { return drop(PortGetStatus(p, q)) },
		"PortSetPayload":      func() error { return PortSetPayload(p, q, 1) },
		"PortClearPayload":    func() error { return PortClearPayload(p, q) },
		"RequestNotification": func() error { return RequestNotification(p, NotifyDeadName, 0, q) },

		"DeviceClose":        func() error { return DeviceClose(p) },
		"DeviceGetStatus":    func() error { return drop(DeviceGetStatus(p, NetAddress)) },
		"DeviceSetStatus":    func() error { return DeviceSetStatus(p, NetFlags, []int32{1}) },
		"DeviceSetFilter":    func() error { return DeviceSetFilter(p, q, 10, []uint16{1}) },
		"DeviceIntrRegister": func() error { return DeviceIntrRegister(p, 5, q) },
		"DeviceIntrAck":      func() error { return DeviceIntrAck(p, q) },
		"IOPermCreate":       func() error { return drop(IOPermCreate(p, 0x60, 0xffff)) },
		"IOPermModify":       func() error { return IOPermModify(p, q, true) },

		"MemoryObjectReady":            func() error { return MemoryObjectReady(p, true, CopyDelay) },
		"MemoryObjectDataSupply":       func() error { return MemoryObjectDataSupply(p, 0, make([]byte, PageSize), ProtNone, true, q) },
		"MemoryObjectDataSupplyMemory": func() error { return MemoryObjectDataSupplyMemory(p, 0, 4096, PageSize, ProtNone, true, Null) },
		"MemoryObjectDataUnavailable":  func() error { return MemoryObjectDataUnavailable(p, 0, PageSize) },
		"MemoryObjectDataError":        func() error { return MemoryObjectDataError(p, 0, PageSize, KernFailure) },
		"MemoryObjectLockRequest": func() error {
			return MemoryObjectLockRequest(p, 0, PageSize, ReturnDirty, true, ProtNoChange, q)
		},
		"MemoryObjectChangeAttributes": func() error { return MemoryObjectChangeAttributes(p, true, CopyNone, q) },
		"MemoryObjectGetAttributes":    func() error { _, _, _, err := MemoryObjectGetAttributes(p); return err },
		"MemoryObjectDestroy":          func() error { return MemoryObjectDestroy(p, KernFailure) },
	}
	// Those that wait for a device cannot have an answer here; what they
	// send is checked all the same.
	waiting := map[string]func() error{
		"DeviceOpen":        func() error { return drop(DeviceOpen(ctx, p, "eth0", ModeRead)) },
		"DeviceRead":        func() error { return drop(DeviceRead(ctx, p, 0, 1, 512)) },
		"DeviceReadInband":  func() error { return drop(DeviceReadInband(ctx, p, 0, 1, 10)) },
		"DeviceWrite":       func() error { return drop(DeviceWrite(ctx, p, 0, 1, make([]byte, 512))) },
		"DeviceWriteInband": func() error { return drop(DeviceWriteInband(ctx, p, 0, 1, []byte{1})) },
		"DeviceMap":         func() error { return drop(DeviceMap(ctx, p, ProtRead, 0, PageSize)) },
	}
	for _, l := range []wire.Layout{wire.Layout32, wire.Layout64} {
		k := start(t, l)
		for name, call := range calls {
			if err := call(); err != nil {
				t.Errorf("%v %s: %v", l, name, err)
			}
		}
		for name, call := range waiting {
			parked.put(&Receiver{port: 8})
			if err := call(); !errors.Is(err, NotMach) {
				t.Errorf("%v %s: %v", l, name, err)
			}
			parked.free = nil
		}
		t.Logf("%v: %d routines", l, len(k.asked))
	}
}
