package mach_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"hurdlab/mach"
)

// echoServer is a program of i386 machine code that answers each message with
// its own items: a server in another task, which needs no loader. Its
// arguments are those of mach_msg at 4(%esp).
var echoServer = []byte{
	// receive:
	0xb8, 0xe7, 0xff, 0xff, 0xff, //             mov  $-25, %eax
	0x9a, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, // lcall $7, $0
	0x85, 0xc0, //                               test %eax, %eax
	0x74, 0x09, //                               je   answer
	0x3d, 0x05, 0x40, 0x00, 0x10, //             cmp  $0x10004005, %eax  RCV_INTERRUPTED
	0x74, 0xe9, //                               je   receive
	0x0f, 0x0b, //                               ud2
	// answer:
	0x8b, 0x5c, 0x24, 0x04, //                   mov  4(%esp), %ebx     the message
	0xc7, 0x43, 0x0c, 0x00, 0x00, 0x00, 0x00, // movl $0, 12(%ebx)      no local port
	0x83, 0x43, 0x14, 0x64, //                   addl $100, 20(%ebx)    id of the reply
	0x81, 0x23, 0x00, 0x00, 0x00, 0x80, //       andl $0x80000000, (%ebx)
	0x80, 0x0b, 0x12, //                         orb  $18, (%ebx)       MOVE_SEND_ONCE
	0x8b, 0x4b, 0x04, //                         mov  4(%ebx), %ecx     its size
	0x89, 0x4c, 0x24, 0x0c, //                   mov  %ecx, 12(%esp)
	0xc6, 0x44, 0x24, 0x08, 0x03, //             movb $3, 8(%esp)       SEND|RCV
	0xeb, 0xc1, //                               jmp  receive
}

// newTask makes a task whose memory does not begin at address 0: the kernel
// takes it for a bug of its own when it has to access a message there.
func newTask(t testing.TB) mach.Port {
	t.Helper()
	task := must(mach.TaskCreate(mach.TaskSelf(), false))(t)
	check(t, mach.VMAllocateAt(task, 0, mach.PageSize))
	// It has inherited the port that this task's exceptions go to. Without
	// one, it ends when its thread cannot go on.
	check(t, mach.TaskSetSpecialPort(task, mach.TaskExceptionPort, mach.Null, mach.CopySend))
	return task
}

// startThread starts code in task, with a stack that has the words in stack
// from where the stack pointer is. regs are the thread's other registers.
func startThread(t testing.TB, task mach.Port, code []byte, regs mach.RegsI386, stack []uint32) {
	t.Helper()
	const size, sp = 2 * mach.PageSize, 2*mach.PageSize - 64 // the code is below the stack
	mem := must(mach.VMAllocate(task, size))(t)
	image := make([]byte, size)
	copy(image, code)
	for i, w := range stack {
		binary.LittleEndian.PutUint32(image[sp+4*i:], w)
	}
	check(t, mach.VMWrite(task, mem, image))
	check(t, mach.VMProtect(task, mem, size, false, mach.ProtAll))
	thread := must(mach.ThreadCreate(task))(t)
	regs.EIP, regs.UESP = uint32(mem), uint32(mem)+sp
	check(t, mach.ThreadSetState(thread, mach.StateRegs, regs.Words()))
	check(t, mach.ThreadResume(thread))
	check(t, mach.Deallocate(thread))
}

// startEcho starts echoServer in a new task and returns a send right to its
// port and the task.
func startEcho(t testing.TB) (port, task mach.Port) {
	t.Helper()
	task = newTask(t)
	// The server's port, with a name of our choice.
	check(t, mach.PortAllocateName(task, mach.RightReceive, echoPort))
	port, _, err := mach.PortExtractRight(task, echoPort, mach.MakeSend)
	check(t, err)
	buffer := must(mach.VMAllocate(task, mach.PageSize))(t)
	const receive = 2
	startThread(t, task, echoServer, mach.RegsI386{}, []uint32{
		0, uint32(buffer), receive, 0, mach.PageSize, echoPort, 0, 0,
	})
	return port, task
}

// echoPort is the name of the port of startEcho's task in that task.
const echoPort = 100

func endTask(t testing.TB, task mach.Port) {
	t.Helper()
	check(t, mach.TaskTerminate(task))
	check(t, mach.Deallocate(task))
}

func TestCallBetweenTasks(t *testing.T) {
	leaks(t, func() {
		port, task := startEcho(t)
		for x := range int32(100) {
			m := mach.NewMessage(7000)
			m.PutInt32(0) // what comes back as the return code
			m.PutInt32(x)
			check(t, mach.Call(t.Context(), port, m))
			if y := m.TakeInt32(); y != x {
				t.Fatalf("%d came back as %d", x, y)
			}
			check(t, m.End())
		}
		// By the call for kernels: the server is none, so that it must wait.
		m := mach.NewMessage(7000)
		m.PutInt32(0)
		check(t, mach.CallKernel(port, m))

		// Rights and memory through another task.
		r := receiver(t)
		data := bytes.Repeat([]byte("out of line "), 1000)
		m = mach.NewMessage(7000)
		m.PutInt32(0)
		m.PutOOLData(mach.Byte, data)
		m.PutRight(r.Port(), mach.MakeSend)
		check(t, mach.Call(t.Context(), port, m))
		if b := m.TakeData(-1); !bytes.Equal(b, data) {
			t.Errorf("%d bytes came back as %d others", len(data), len(b))
		}
		if p := m.TakeSend(); p != r.Port() {
			t.Errorf("the right to %v came back as %v", r.Port(), p)
		} else {
			check(t, mach.Deallocate(p))
		}
		check(t, m.End())
		mach.Destroy(m)
		check(t, r.Close())

		// When the task ends, its port dies.
		notify := receiver(t)
		check(t, mach.RequestNotification(port, mach.NotifyDeadName, 0, notify.Port()))
		endTask(t, task)
		check(t, notify.Receive(t.Context(), m))
		n, _, err := mach.TakeNotification(m)
		check(t, err)
		if n.Kind != mach.NotifyDeadName || n.Name != port {
			t.Errorf("got %+v", n)
		}
		mach.Destroy(m)
		check(t, notify.Close())
		check(t, mach.Deallocate(port))
		check(t, mach.Deallocate(port))
	})
}

// A server in another task that dies in the middle of a call.
func TestTaskDiesInCall(t *testing.T) {
	leaks(t, func() {
		port, task := startEcho(t)
		check(t, mach.TaskSuspend(task))
		result := make(chan error)
		m := mach.NewMessage(7000)
		m.PutInt32(0)
		sent := make(chan bool)
		go func() { close(sent); result <- mach.Call(t.Context(), port, m) }()
		<-sent
		check(t, mach.TaskTerminate(task))
		err := <-result
		// Whether the request was in the queue by then is a race.
		if mach.Code(err) != mach.MigServerDied && mach.Code(err) != mach.SendInvalidDest {
			t.Errorf("got %v", err)
		}
		check(t, mach.Deallocate(task))
		check(t, mach.Deallocate(port))
	})
}

// An exception of another task arrives as a message.
func TestException(t *testing.T) {
	leaks(t, func() {
		port, task := startEcho(t)
		r := receiver(t)
		check(t, mach.TaskSetSpecialPort(task, mach.TaskExceptionPort, r.Port(), mach.MakeSend))
		// The server stops, by an invalid instruction, when it cannot
		// receive.
		check(t, mach.PortModRefs(task, echoPort, mach.RightReceive, -1))
		m := mach.NewMessage(0)
		check(t, r.Receive(t.Context(), m))
		if m.ID() != mach.IDException {
			t.Fatalf("message %d", m.ID())
		}
		e, err := mach.TakeException(m)
		check(t, err)
		if e.Kind != 2 || e.Task != task {
			t.Errorf("got %+v, the task is %v", e, task)
		}
		state := must(mach.ThreadGetState(e.Thread, mach.StateRegs))(t)
		var regs mach.RegsI386
		// It was waiting for a message, or about to.
		if !regs.SetWords(state) || regs.EAX != uint32(mach.RcvPortDied) && regs.EAX != uint32(mach.RcvInvalidName) {
			t.Errorf("registers %+v", regs)
		}
		check(t, mach.Deallocate(e.Thread))
		check(t, mach.Deallocate(e.Task))
		check(t, mach.Defer(m).Fail(mach.KernFailure))
		mach.Destroy(m)
		// Without a handler that cures it, the task has ended.
		check(t, mach.RequestNotification(task, mach.NotifyDeadName, 1, r.Port()))
		check(t, r.Receive(t.Context(), m))
		n, _, err := mach.TakeNotification(m)
		check(t, err)
		if n.Name != task {
			t.Errorf("got %+v", n)
		}
		mach.Destroy(m)
		check(t, mach.Deallocate(task))
		check(t, mach.Deallocate(task))
		check(t, r.Close())
		check(t, mach.Deallocate(port))
	})
}

func TestTasks(t *testing.T) {
	leaks(t, func() {
		self := mach.TaskSelf()
		info := must(mach.TaskBasicInfo(self))(t)
		if info.SuspendCount != 0 || info.Resident == 0 || info.Virtual < info.Resident ||
			info.Created.After(time.Now().Add(time.Second)) || info.Created.Before(time.Now().Add(-time.Hour)) {
			t.Errorf("implausible: %+v", info)
		}
		events := must(mach.TaskEventsInfo(self))(t)
		if events.Sent == 0 || events.Received == 0 || events.Faults == 0 {
			t.Errorf("implausible: %+v", events)
		}
		_, _, err := mach.TaskThreadTimes(self)
		check(t, err)

		port, task := startEcho(t)
		defer func() {
			endTask(t, task)
			check(t, mach.Deallocate(port))
		}()
		check(t, mach.TaskSetName(task, "echo"))
		check(t, mach.TaskSuspend(task))
		if n := must(mach.TaskBasicInfo(task))(t).SuspendCount; n != 1 {
			t.Errorf("suspend count %d", n)
		}
		check(t, mach.TaskResume(task))
		wantCode(t, mach.TaskResume(task), mach.KernFailure)
		check(t, mach.TaskPriority(task, 30, true))

		threads := must(mach.TaskThreads(task))(t)
		if len(threads) != 1 {
			t.Fatalf("threads %v", threads)
		}
		thread := threads[0]
		check(t, mach.ThreadSetName(thread, "the thread"))
		ti := must(mach.ThreadBasicInfo(thread))(t)
		if ti.BasePriority != 30 || ti.SuspendCount != 0 {
			t.Errorf("implausible: %+v", ti)
		}
		check(t, mach.ThreadSuspend(thread))
		check(t, mach.ThreadAbort(thread))
		check(t, mach.ThreadResume(thread))
		check(t, mach.ThreadPriority(thread, 31, false))

		r := receiver(t)
		check(t, mach.TaskSetSpecialPort(task, mach.TaskBootstrapPort, r.Port(), mach.MakeSend))
		p := must(mach.TaskGetSpecialPort(task, mach.TaskBootstrapPort))(t)
		if p != r.Port() {
			t.Errorf("bootstrap port %v, set %v", p, r.Port())
		}
		check(t, mach.Deallocate(p))
		check(t, mach.ThreadSetSpecialPort(thread, mach.ThreadExceptionPort, r.Port(), mach.MakeSend))
		p = must(mach.ThreadGetSpecialPort(thread, mach.ThreadExceptionPort))(t)
		if p != r.Port() {
			t.Errorf("exception port %v, set %v", p, r.Port())
		}
		check(t, mach.Deallocate(p))

		right := must(r.MakeSend())(t)
		check(t, mach.MachPortsRegister(task, []mach.Port{right, right}))
		ports := must(mach.MachPortsLookup(task))(t)
		if len(ports) < 2 || ports[0] != right || ports[1] != right {
			t.Errorf("registered %v, found %v", right, ports)
		}
		for _, p := range ports {
			if p.Valid() {
				check(t, mach.Deallocate(p))
			}
		}
		check(t, mach.Deallocate(right))
		check(t, mach.ThreadTerminate(thread))
		check(t, mach.Deallocate(thread))
		check(t, r.Close())
	})
}

func TestNewTaskNotification(t *testing.T) {
	privileged(t)
	r := receiver(t)
	err := mach.RegisterNewTaskNotification(mach.HostPriv(), r.Port())
	if errors.Is(err, mach.KernNoAccess) {
		t.Skip("the kernel tells only the first port that asks, ever")
	}
	check(t, err)
	task := must(mach.TaskCreate(mach.TaskSelf(), false))(t)
	m := mach.NewMessage(0)
	check(t, r.Receive(t.Context(), m))
	if m.ID() != mach.IDNewTask {
		t.Fatalf("message %d", m.ID())
	}
	child, parent, err := mach.TakeNewTask(m)
	check(t, err)
	if child != task || parent != mach.TaskSelf() {
		t.Errorf("new task %v of %v; created %v", child, parent, task)
	}
	mach.Destroy(m)
	check(t, mach.Deallocate(child))
	check(t, mach.Deallocate(parent))
	endTask(t, task)
	check(t, r.Close())
}
