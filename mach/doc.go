// Package mach is Mach IPC for Go: messages with rights and out-of-line
// memory, ports, notifications, calls with contexts, servers, and the calls
// of the GNU Mach kernel.
//
// # Messages
//
// [NewMessage] begins a message; the Put methods of package wire fill it;
// [Send] sends it, [Call] sends it and takes the answer:
//
//	m := mach.NewMessage(21001) // io_read
//	m.PutInt64(-1)
//	m.PutWord(4096)
//	if err := mach.Call(ctx, file, m); err != nil {
//		return err // a KernReturn is in it
//	}
//	defer mach.Destroy(m)
//	data := append([]byte(nil), m.TakeData(-1)...)
//	return m.End()
//
// The goroutine that waits in Call or [Receiver.Receive] is parked: it holds
// no thread, and its context ends the wait.
//
// # Who owns what
//
// Rights and memory in a message are the message's until a Take method hands
// them over. [Send] and [Call] use the message up whether they succeed or
// not: what the kernel did not take is released. [Destroy] releases what is
// in a message. Everywhere else, a function that takes a Port borrows it,
// unless its comment says that it consumes it, and a Port that a function
// returns is a right of the caller, who gives it back with [Deallocate] (send
// and send-once rights) or [DestroyReceive].
//
// # Servers
//
// A [Receiver] is a receive right to wait on; a [PortSet] waits on many.
// [Serve] hands what arrives to a [Handler], usually [Routines], and sends
// the answers.
//
// # The kernel's calls
//
// They are named after the kernel's routines: task_create is [TaskCreate].
// Calls that the kernel answers at once take no context and do not give up
// the processor; those that may wait say so. Addresses and sizes are in
// bytes. Errors wrap a [KernReturn] and name the routine.
//
// # Place in the house
//
// Everything here builds on every OS, so that programs of the guest can be
// tested on the host up to the point where a message is sent; only the traps
// need GOOS=hurd, where package syscall provides them. Elsewhere they fail
// with [NotMach]. The messages themselves are package wire's.
//
// The facts are from the reference document hurd-protocol.md: the IPC ABI in
// its section 1, the kernel's routines in section 2, the conventions of
// servers in section 8.
package mach
