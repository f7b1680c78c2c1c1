// Package exec starts programs as tasks. In a Hurd this room is the exec
// server's; programs are started here exactly as by that, so that the same
// binaries run under both: an address space with the program and a stack,
// nothing on the stack, and a bootstrap port that answers
// exec_startup_get_info with arguments, environment, descriptors and ports.
//
// The pages of a program's file are shared by all tasks that run it, copy on
// write, and with the file itself: see [Start].
//
// The facts are from the reference document hurd-protocol.md: sections 4.1 to
// 4.3 (start), 2.1 to 2.3 (kernel calls), 3.5 (ELF).
package exec

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	proc "hurdlab/images/mach/bootproc"
	"hurdlab/images/mach/hurdio"
	"hurdlab/images/mach/ports"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
)

// stackSize is the size of a program's first stack, in bytes. The Hurd gives
// 16 MiB, but a task's address space is limited to the machine's memory here,
// and a Go program uses a few KiB of this stack.
const stackSize = 1 << 20

// Without a pager, a machine that runs out of memory loses programs at random,
// or stops. So a program is only started if its own pages and what a small Go
// program takes (half a megabyte, measured) leave reserve for the kernel, the
// network stack and programs that grow. In bytes.
const (
	programMemory = 512 << 10
	reserve       = 6 << 20
)

// ErrNoMemory says that the machine has no room for the program.
var ErrNoMemory = fmt.Errorf("not enough memory to start it: %w", hurdio.ENOMEM)

// maxArgs bounds arguments and environment together, in bytes.
const maxArgs = 1 << 20

// The init ports of a program: indices of Spec.Ports.
const (
	PortCWD = iota
	PortRoot
	PortAuth
	PortProc
	PortCTTY
	PortBootstrap
	numPorts
)

// A Spec says what to start. Start consumes the rights in it, send rights or
// null, whether it succeeds or not.
type Spec struct {
	// File is the contents of the program's file, at the start of a page and
	// outside Go's heap (package vmem). It is read during Start only.
	File []byte
	// Args and Env are the arguments, with the program's name first, and the
	// environment.
	Args, Env []string
	// Files is the descriptors.
	Files []mach.Port
	// Ports is the init ports. The proc port is filled in by Start.
	Ports [numPorts]mach.Port
	// Umask is the umask.
	Umask int
}

// Release gives back the rights in s, of a program that is not started after
// all.
func (s *Spec) Release() {
	for _, p := range s.Files {
		proc.Mach{}.Release(p)
	}
	for _, p := range s.Ports {
		proc.Mach{}.Release(p)
	}
}

// Start starts a program as a process of t.
//
// Memory is shared like this: vm_write with whole pages out of line does not
// copy them. The kernel gives the new task the pages of the file's own memory,
// and copies one only when it is written to.
func Start(t *proc.Table, x ports.Exporter, s Spec) (*proc.Process, error) {
	img, err := parse(s.File)
	if err == nil {
		err = checkArgs(s.Args, s.Env)
	}
	if err == nil {
		err = checkMemory(img)
	}
	if err != nil {
		s.Release()
		return nil, err
	}
	task, err := mach.TaskCreate(mach.TaskSelf(), false)
	if err != nil {
		s.Release()
		return nil, fmt.Errorf("new task: %w", err)
	}
	p, err := t.Add(task, s.Args)
	if err != nil {
		// Add has given back its right to a task that nobody else has one
		// to; it has no threads and ends with that right.
		s.Release()
		return nil, err
	}
	if err := start(p, x, img, s); err != nil {
		return nil, errors.Join(err, p.Kill(context.Background(), proc.SIGKILL))
	}
	return p, nil
}

func checkArgs(args, env []string) error {
	n := 0
	for _, list := range [][]string{args, env} {
		for _, a := range list {
			if strings.IndexByte(a, 0) >= 0 {
				return fmt.Errorf("%w: zero byte in an argument or variable", hurdio.EINVAL)
			}
			n += len(a) + 1
		}
	}
	if n > maxArgs {
		return fmt.Errorf("%w: arguments and environment have %d bytes, the limit is %d", mach.Errno(7), n, maxArgs)
	}
	return nil
}

// checkMemory fails if the machine is short of memory.
func checkMemory(img *image) error {
	st, err := mach.VMStats(mach.TaskSelf())
	if err != nil {
		return fmt.Errorf("free memory: %w", err)
	}
	if free, need := uint64(st.Free)*uint64(st.PageSize), img.private()+programMemory+reserve; free < need {
		return fmt.Errorf("%w (%d kB are free, %d kB needed)", ErrNoMemory, free>>10, need>>10)
	}
	return nil
}

// start fills p's task and lets it run. It consumes the rights in s.
func start(p *proc.Process, x ports.Exporter, img *image, s Spec) error {
	task := p.Task()
	_ = mach.TaskSetName(task, s.Args[0]) // for the kernel's debugger only
	stack, err := load(task, img, s.File)
	if err != nil {
		s.Release()
		return err
	}
	if s.Ports[PortProc].Valid() {
		panic("exec: the proc port is not the caller's to give")
	}
	// The child's own reference to its process port.
	if err := mach.PortModRefs(mach.TaskSelf(), p.Port(), mach.RightSend, 1); err != nil {
		s.Release()
		return fmt.Errorf("process port: %w", err)
	}
	s.Ports[PortProc] = p.Port()
	info := &startup{img: img, stack: stack, args: argz(s.Args), env: argz(s.Env), files: s.Files, ports: s.Ports[:], ints: initInts(s.Umask)}
	boot, err := x.Export(info, info.release)
	if err != nil {
		info.release()
		return err
	}
	if err := mach.TaskSetSpecialPort(task, mach.TaskBootstrapPort, boot, mach.MoveSend); err != nil {
		return fmt.Errorf("bootstrap port: %w", err) // sent or not, the right is used up, and with it info
	}
	thread, err := mach.ThreadCreate(task)
	if err != nil {
		return fmt.Errorf("first thread: %w", err)
	}
	defer mach.Deallocate(thread)
	if err := mach.ThreadSetState(thread, mach.StateRegs, mach.RegsI386{EIP: img.entry, UESP: stack + stackSize}.Words()); err != nil {
		return fmt.Errorf("first thread: %w", err)
	}
	if err := mach.ThreadResume(thread); err != nil {
		return fmt.Errorf("first thread: %w", err)
	}
	return nil
}

// initInts is the umask, the blocked, ignored and pending signals, and the
// trace mask.
func initInts(umask int) []int32 { return []int32{int32(umask), 0, 0, 0, 0} }

// load maps the program and a stack into task.
func load(task mach.Port, img *image, file []byte) (stack uint32, err error) {
	// Nothing is ever mapped at page 0, so that nil pointers fault.
	if _, err := mach.VMMap(task, mach.Mapping{Addr: 0, Size: pageSize, Prot: mach.ProtNone, MaxProt: mach.ProtNone, Inherit: mach.InheritCopy}); err != nil {
		return 0, fmt.Errorf("page 0: %w", err)
	}
	// The kernel marks memory that it copies lazily, which Go's heap had better
	// not be.
	scratch, err := vmem.Memory{}.Alloc(pageSize)
	if err != nil {
		return 0, err
	}
	defer vmem.Memory{}.Free(scratch)
	for _, s := range img.segments {
		if err := mach.VMAllocateAt(task, uintptr(s.addr), uintptr(s.size)); err != nil {
			return 0, fmt.Errorf("segment of %d bytes at %#x: %w", s.size, s.addr, err)
		}
		for _, p := range s.pieces(file) {
			data := p.data
			if !p.shared {
				copy(scratch, data)
				data = scratch
			}
			if err := mach.VMWrite(task, uintptr(p.addr), data); err != nil {
				return 0, fmt.Errorf("load %d bytes to %#x: %w", len(p.data), p.addr, err)
			}
		}
		if err := mach.VMProtect(task, uintptr(s.addr), uintptr(s.size), false, s.protection()); err != nil {
			return 0, fmt.Errorf("protect segment at %#x: %w", s.addr, err)
		}
	}
	prot := mach.ProtRead | mach.ProtWrite
	if img.execStk {
		prot |= mach.ProtExec
	}
	// A page without access below the stack stops what overflows it.
	base, err := mach.VMMap(task, mach.Mapping{Size: pageSize + stackSize, Anywhere: true, Prot: prot, MaxProt: mach.ProtAll, Inherit: mach.InheritCopy})
	if err == nil {
		err = mach.VMProtect(task, base, pageSize, false, mach.ProtNone)
	}
	if err != nil {
		return 0, fmt.Errorf("stack: %w", err)
	}
	return uint32(base) + pageSize, nil
}

func (s segment) protection() mach.Prot {
	var p mach.Prot
	if s.read {
		p |= mach.ProtRead
	}
	if s.write {
		p |= mach.ProtWrite
	}
	if s.exec {
		p |= mach.ProtExec
	}
	return p
}

// argz joins strings with a zero byte after each.
func argz(list []string) []byte {
	var b []byte
	for _, s := range list {
		b = append(append(b, s...), 0)
	}
	return b
}

// startup answers the first request of a program, at its bootstrap port.
type startup struct {
	img   *image
	stack uint32
	args  []byte
	env   []byte
	ints  []int32

	mu    sync.Mutex
	files []mach.Port // send rights, until they are sent
	ports []mach.Port
}

// release gives back the rights that nobody asked for.
func (s *startup) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	(&Spec{Files: s.files, Ports: [numPorts]mach.Port(append(s.ports, make([]mach.Port, numPorts)...))}).Release()
	s.files, s.ports = nil, nil
}

// execStartupGetInfo is the one routine of the bootstrap port.
const execStartupGetInfo = 30500

// Handle answers at the bootstrap port: [mach.Handler]. The first answer has
// everything; later ones have empty arrays.
func (s *startup) Handle(_ context.Context, req, reply *mach.Message) error {
	if req.ID() != execStartupGetInfo {
		return mach.MigBadID
	}
	if req.End() != nil {
		return mach.MigBadArguments
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reply.PutWord(uint64(s.img.entry))
	reply.PutWord(uint64(s.img.phdr))
	reply.PutWord(uint64(s.img.phdrSize))
	reply.PutWord(uint64(s.stack))
	reply.PutWord(stackSize)
	reply.PutInt32(0) // flags
	for _, b := range [][]byte{s.args, s.env} {
		if err := hurdio.PutData(reply, b); err != nil {
			return err
		}
	}
	reply.PutRights(s.files, mach.MoveSend)
	reply.PutRights(s.ports, mach.MoveSend)
	reply.PutInt32Array(s.ints)
	// They are the message's now.
	s.args, s.env, s.files, s.ports, s.ints = nil, nil, nil, nil, nil
	return nil
}
