package proc

import (
	"fmt"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Exception ends a process that has raised an exception and handles none. The
// parent learns of the signal that it amounts to.
func (t *Table) Exception(e mach.Exception) {
	t.lock()
	defer t.unlock()
	p := t.byTask[e.Task]
	if p == nil || p.state >= dead {
		return
	}
	sig, reason := signalOf(e)
	if !p.announced {
		p.announced, p.status, p.sigcode, p.usage = true, sig, int32(e.Code), t.kernel.Usage(p.task)
	}
	task := p.task
	if t.kernel.Retain(task) != nil {
		return
	}
	if p.important {
		pid, exe := p.pid, p.exe
		t.later(func() { t.logf("process %d (%s) has crashed: %s", pid, exe, reason) })
	}
	t.later(func() {
		_ = t.kernel.Terminate(task) // it may have ended itself
		t.kernel.Release(task)
	})
}

// signalOf translates an exception to the signal that it is.
func signalOf(e mach.Exception) (sig int32, reason string) {
	switch e.Kind {
	case 1:
		sig = proto.SIGSEGV
		if mach.KernReturn(e.Code) == mach.KernMemoryError {
			sig = proto.SIGBUS
		}
		return sig, fmt.Sprintf("bad access to address %#x (code %d)", e.Subcode, e.Code)
	case 2:
		return proto.SIGILL, fmt.Sprintf("bad instruction (code %d)", e.Code)
	case 3:
		return proto.SIGFPE, fmt.Sprintf("arithmetic exception (code %d)", e.Code)
	case 6:
		return proto.SIGTRAP, "breakpoint"
	}
	return proto.SIGABRT, fmt.Sprintf("exception %d (code %d, subcode %#x)", e.Kind, e.Code, e.Subcode)
}
