// Package exec is the exec server: it makes a task run a program.
//
// A client opens a program's file and asks the file's server to execute it
// (file_exec_paths); that one asks here, with an open file of its own. The
// program's pages come from the file's memory object as they are needed; a
// file without one is read. Everything else that the program starts with it
// asks for itself, at its bootstrap port.
//
// The server depends on no pages but its own, which are not a file's, and
// touches none of the program's: it reads files only by io_read, so that a
// file's server that does not answer costs one request, not the server. The
// one wait that cannot be ended is vm_map's for a memory object that does not
// answer; [MaxConcurrent] bounds it.
//
// The facts are from the reference document hurd-protocol.md: 7.3 (the
// routines), 4.1 to 4.3 (how programs start), 4.9 (what happens), 3.7 (how the
// server itself starts).
package exec

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"sync"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Bounds of what clients can ask for.
const (
	// MaxConcurrent bounds the programs that are being started; others wait.
	MaxConcurrent = 64
	// MaxArgs bounds arguments and environment together, in bytes.
	MaxArgs = 1 << 20
	// maxFiles and maxPorts bound the rights that a program starts with.
	maxFiles = 2048
	maxPorts = 64
	// maxScripts is how often the interpreter of a script may be one.
	maxScripts = 4
	// execTimeout bounds the whole work for one program, whose file or
	// process server may be anybody's.
	execTimeout = time.Minute
)

// StackSize is the size of a program's first stack, in bytes. The Hurd gives
// 16 MiB. Here a task's address space is charged against the machine's memory
// even where it is never touched (package machimage gives a node 128 MiB), and
// a Go program uses a few KiB of this stack.
const StackSize = 1 << 20

// Without a pager, a machine that runs out of memory loses programs at random,
// or stops. So a program is only started if its own pages and what a small Go
// program takes (half a megabyte, measured) leave reserve for the kernel, the
// servers and programs that grow. In bytes.
const (
	programMemory = 512 << 10
	reserve       = 6 << 20
)

// A Server starts programs.
type Server struct {
	kernel Kernel
	export ports.Exporter
	slots  chan struct{}

	mu       sync.Mutex
	auth     mach.Port // its own, as root
	proc     mach.Port
	std      []mach.Port // the standard ports, for programs that need them
	stdInts  []int32
	initDone chan struct{}
}

// New returns a server that exports bootstrap ports with x.
func New(k Kernel, x ports.Exporter) *Server {
	return &Server{kernel: k, export: x, slots: make(chan struct{}, MaxConcurrent), initDone: make(chan struct{})}
}

// Ready is closed when the server has been given its process port and auth
// handle ([Ports]).
func (s *Server) Ready() <-chan struct{} { return s.initDone }

// Ports returns the auth handle and the process port of the server itself,
// which stay its own.
func (s *Server) Ports() (auth, proc mach.Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.auth, s.proc
}

// Open is what users have of the server.
type Open struct {
	proto.UnimplementedExec
	server *Server
	root   bool // may tell the server what to do
}

var _ proto.ExecServer = (*Open)(nil)

// Open makes a port for a user. Only root's may tell the server what to do.
func (s *Server) Open(root bool) (mach.Port, error) {
	return ports.ExportRight(s.export, proto.Handler(&Open{server: s, root: root}), ports.Options{})
}

// Control is the server as a translator.
type Control struct {
	proto.UnimplementedFsys
	server *Server
}

// Control returns the handler of the control port.
func (s *Server) Control() mach.Handler { return proto.Handler(&Control{server: s}) }

// FsysGetroot opens the server.
func (c *Control) FsysGetroot(ctx context.Context, dotdot mach.Port, uids, gids []int32, flags int32) (retry int32, name string, file mach.Port, err error) {
	file, err = c.server.Open(slices.Contains(uids, 0))
	if err != nil {
		return 0, "", mach.Null, err
	}
	proto.Release(ctx, dotdot)
	return proto.RetryNormal, "", file, nil
}

// FsysGoaway is refused: nothing goes without this server.
func (c *Control) FsysGoaway(context.Context, int32) error { return proto.EBUSY }

// FsysSyncfs has nothing to do.
func (c *Control) FsysSyncfs(context.Context, int32, int32) error { return nil }

// FsysGetOptions returns the server's command.
func (c *Control) FsysGetOptions(context.Context) ([]byte, error) {
	return []byte("/hurd/exec\x00"), nil
}

// ExecInit gives the server what it could not be started with.
func (o *Open) ExecInit(ctx context.Context, auth, proc mach.Port) error {
	s := o.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if !o.root || s.auth != mach.Null {
		return proto.EPERM
	}
	if !auth.Valid() || !proc.Valid() {
		return proto.EINVAL
	}
	s.auth, s.proc = auth, proc
	close(s.initDone)
	return nil
}

// ExecSetexecdata sets the standard ports.
func (o *Open) ExecSetexecdata(ctx context.Context, list []mach.Port, ints []int32) error {
	if !o.root {
		return proto.EPERM
	}
	if len(list) < proto.InitPortMax || len(list) > maxPorts || len(ints) < proto.InitIntMax || len(ints) > maxPorts {
		return proto.EINVAL
	}
	s := o.server
	s.mu.Lock()
	old := s.std
	s.std, s.stdInts = list, ints
	s.mu.Unlock()
	proto.Release(ctx, old...)
	return nil
}

// ExecExec is ExecExecPaths without paths.
func (o *Open) ExecExec(ctx context.Context, file, oldtask mach.Port, flags int32, argv, envp []byte,
	dtable, portarray []mach.Port, intarray []int32, deallocnames, destroynames []mach.Port) error {
	return o.ExecExecPaths(ctx, file, oldtask, flags, "", "", argv, envp, dtable, portarray, intarray, deallocnames, destroynames)
}

// ExecExecPaths makes a task run a program.
func (o *Open) ExecExecPaths(ctx context.Context, file, oldtask mach.Port, flags int32, path, abspath string, argv, envp []byte,
	dtable, portarray []mach.Port, intarray []int32, deallocnames, destroynames []mach.Port) error {
	s := o.server
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	j := &job{
		server: s, kernel: s.kernel, ctx: ctx,
		file: file, oldtask: oldtask, flags: flags, path: path, abspath: abspath,
		args: argv, env: envp, dtable: slices.Clone(dtable), ports: slices.Clone(portarray), ints: slices.Clone(intarray),
		dealloc: deallocnames, destroy: destroynames,
	}
	return told(j.run())
}

// told is what the client is told of an error. That another server has died,
// or knows less than it should, must not look as if this one did.
func told(err error) error {
	if err == nil {
		return nil
	}
	switch code := proto.Code(err); code {
	case mach.SendInvalidDest, mach.MigServerDied:
		return fmt.Errorf("%v: %w", err, proto.EDIED)
	case mach.MigBadID, mach.MigBadArguments, mach.MigTypeError:
		return fmt.Errorf("%v: %w", err, proto.EGRATUITOUS)
	}
	return err
}

// A job is the work for one program. The rights of the request are the
// request's until all is done: if it fails they are released with it.
type job struct {
	server *Server
	kernel Kernel
	ctx    context.Context

	file, oldtask    mach.Port
	flags            int32
	path, abspath    string
	args, env        []byte
	dtable, ports    []mach.Port
	ints             []int32
	dealloc, destroy []mach.Port

	task     mach.Port   // that the program will run in
	newTask  bool        // task is not oldtask
	gained   []mach.Port // rights that are not the request's, to release if it fails
	replaced []mach.Port // rights of the request that are to be released if it succeeds
	prog     *program
	loader   *program // its dynamic loader, or nil
	fileKept bool     // the file is in the dtable
}

func (j *job) run() (err error) {
	if err := j.check(); err != nil {
		return err
	}
	defer func() {
		j.prog.close(j.ctx)
		j.loader.close(j.ctx)
		if err != nil {
			proto.Release(context.WithoutCancel(j.ctx), j.gained...)
		}
	}()
	if err := j.openProgram(); err != nil {
		return err
	}
	if err := j.checkMemory(); err != nil {
		return err
	}
	if err := j.makeTask(); err != nil {
		return err
	}
	if err := j.fill(); err != nil {
		// There is nothing to go back to.
		_ = j.kernel.Terminate(j.task)
		return err
	}
	done := append(j.replaced, j.oldtask)
	if !j.fileKept {
		done = append(done, j.file)
	}
	if j.newTask {
		if j.oldtask.Valid() {
			_ = j.kernel.Terminate(j.oldtask)
		}
		done = append(done, j.task)
	}
	proto.Release(context.WithoutCancel(j.ctx), done...)
	return nil
}

// check refuses what is too much, and fills up what is too little.
func (j *job) check() error {
	switch {
	case !j.file.Valid() || j.oldtask == mach.Dead:
		return proto.EINVAL
	case len(j.args)+len(j.env) > MaxArgs:
		return proto.E2BIG
	case len(j.dtable) > maxFiles || len(j.ports) > maxPorts || len(j.ints) > maxPorts:
		return proto.EINVAL
	case j.flags&(proto.EXEC_SECURE|proto.EXEC_DEFAULTS) != 0 && !j.server.hasDefaults():
		return proto.EIEIO
	}
	for len(j.ports) < proto.InitPortMax {
		j.ports = append(j.ports, mach.Null)
	}
	for i, p := range j.ports {
		if p == mach.Dead {
			j.ports[i] = mach.Null
		}
	}
	for i, p := range j.dtable {
		if p == mach.Dead {
			j.dtable[i] = mach.Null
		}
	}
	for len(j.ints) < proto.InitIntMax {
		j.ints = append(j.ints, 0)
	}
	j.newTask = j.oldtask == mach.Null || j.flags&(proto.EXEC_NEWTASK|proto.EXEC_SECURE) != 0
	return nil
}

func (s *Server) hasDefaults() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.std != nil && s.auth.Valid() && s.proc.Valid()
}

// openProgram finds out what to run.
func (j *job) openProgram() (err error) {
	if j.prog, err = open(j.ctx, j.file, false); err != nil {
		return err
	}
	name := j.path
	for range maxScripts {
		interp, arg, script, err := interpreter(j.prog.head)
		if err != nil {
			return err
		}
		if !script {
			break
		}
		if name == "" {
			// The interpreter gets the open file instead.
			name = fmt.Sprintf("/dev/fd/%d", len(j.dtable))
			j.dtable = append(j.dtable, j.file)
			j.fileKept = true
		}
		j.args = scriptArgs(interp, arg, name, j.args)
		if len(j.args)+len(j.env) > MaxArgs {
			return proto.E2BIG
		}
		file, err := lookup(j.ctx, j.kernel, j.ports, interp)
		if err != nil {
			return err
		}
		j.prog.close(j.ctx)
		if j.prog, err = open(j.ctx, file, true); err != nil {
			return err
		}
		name, j.abspath = interp, interp
	}
	if j.prog.img, err = parse(j.ctx, j.prog, j.prog.head); err != nil {
		return err
	}
	if loader := j.prog.img.interp; loader != "" {
		file, err := lookup(j.ctx, j.kernel, j.ports, loader)
		if err != nil {
			return err
		}
		if j.loader, err = open(j.ctx, file, true); err != nil {
			return err
		}
		if j.loader.img, err = parse(j.ctx, j.loader, j.loader.head); err != nil {
			return err
		}
		if j.loader.img.interp != "" {
			return bad("the dynamic loader has one itself")
		}
	}
	return nil
}

// checkMemory fails if the machine is short of memory.
func (j *job) checkMemory() error {
	free, err := j.kernel.Free()
	if err != nil {
		return err
	}
	need := uint64(programMemory + reserve + len(j.args) + len(j.env))
	for _, p := range []*program{j.prog, j.loader} {
		if p != nil {
			need += p.img.private()
		}
	}
	if free < need {
		return proto.ENOMEM
	}
	return nil
}

// makeTask gets an empty task.
func (j *job) makeTask() (err error) {
	if j.newTask {
		parent := j.oldtask
		if j.flags&proto.EXEC_SECURE != 0 {
			parent = mach.Null // the old one could do things to it
		}
		if j.task, err = j.kernel.CreateTask(parent); err != nil {
			return err
		}
		if err := j.servers(); err != nil {
			_ = j.kernel.Terminate(j.task)
			proto.Release(j.ctx, j.task)
			return err
		}
		j.gained = append(j.gained, j.task)
		return nil
	}
	j.task = j.oldtask
	if err := j.servers(); err != nil {
		return err
	}
	if err := j.kernel.Suspend(j.task); err != nil {
		return err
	}
	// From here on a failure ends the task.
	if err := j.kernel.Clear(j.task); err != nil {
		_ = j.kernel.Terminate(j.task)
		return err
	}
	for _, name := range j.dealloc {
		j.kernel.DropName(j.task, name)
	}
	for _, name := range j.destroy {
		j.kernel.DestroyName(j.task, name)
	}
	return nil
}

// set replaces one of the program's ports by one that this server has got.
func (j *job) set(i int, p mach.Port) {
	old := j.ports[i]
	j.ports[i] = p
	if k := slices.Index(j.gained, old); k >= 0 && old.Valid() {
		proto.Release(j.ctx, old)
		j.gained = slices.Delete(j.gained, k, k+1)
	} else if old.Valid() {
		j.replaced = append(j.replaced, old)
	}
	if p.Valid() {
		j.gained = append(j.gained, p)
	}
}

// servers fills in the ports that the program has not been given, or may not
// have of its caller.
func (j *job) servers() error {
	s := j.server
	s.mu.Lock()
	proc, std, ints := s.proc, slices.Clone(s.std), s.stdInts
	s.mu.Unlock()
	secure := j.flags&proto.EXEC_SECURE != 0
	if secure || j.flags&proto.EXEC_DEFAULTS != 0 {
		if j.ports[proto.InitPortAuth] == mach.Null {
			if p := std[proto.InitPortAuth]; p.Valid() {
				if err := j.kernel.Retain(p); err != nil {
					return err
				}
				j.set(proto.InitPortAuth, p)
			}
		}
		if secure || j.ports[proto.InitPortProc] == mach.Null {
			p, err := proto.ProcTask2proc(j.ctx, proc, j.task)
			if err != nil {
				return err
			}
			j.set(proto.InitPortProc, p)
		}
		for _, i := range []int{proto.InitPortRoot, proto.InitPortCWD} {
			if j.ports[i] != mach.Null && !(secure && i == proto.InitPortRoot) {
				continue
			}
			p, err := reauthenticate(j.ctx, j.kernel, std[i], j.ports[proto.InitPortAuth])
			if err != nil {
				return fmt.Errorf("standard port %d: %w", i, err)
			}
			j.set(i, p)
		}
		for i := len(j.ints); i < len(ints); i++ {
			j.ints = append(j.ints, ints[i])
		}
	}
	if j.newTask && j.oldtask.Valid() && proc.Valid() && j.ports[proto.InitPortProc].Valid() && j.ports[proto.InitPortAuth].Valid() {
		return j.moveProcess(proc)
	}
	return nil
}

// moveProcess makes the process of the old task that of the new one, and gives
// it the ids of the program's auth handle.
func (j *job) moveProcess(proc mach.Port) error {
	old, err := proto.ProcTask2proc(j.ctx, proc, j.oldtask)
	if err != nil {
		return err
	}
	defer proto.Release(j.ctx, old)
	p, err := meet(j.ctx, j.kernel, j.ports[proto.InitPortAuth], func(rendezvous proto.Right) error {
		return proto.ProcReauthenticateReassign(j.ctx, old, rendezvous, j.task)
	})
	if err != nil {
		return err
	}
	j.set(proto.InitPortProc, p)
	return proto.ProcReauthenticateComplete(j.ctx, p)
}

// fill loads the program into the empty task and lets it run.
func (j *job) fill() error {
	k := j.kernel
	// Nothing is ever mapped at page 0, so that nil pointers fault.
	if _, err := k.Map(j.task, mach.Mapping{Size: pageSize, Prot: mach.ProtNone, MaxProt: mach.ProtNone, Inherit: mach.InheritCopy}); err != nil {
		return fmt.Errorf("page 0: %w", err)
	}
	base, err := j.load(j.prog)
	if err != nil {
		return err
	}
	img := j.prog.img
	pc, entry := base+img.entry, base+img.entry
	if j.loader != nil {
		lbase, err := j.load(j.loader)
		if err != nil {
			return err
		}
		pc = lbase + j.loader.img.entry
	}
	stack, err := j.stack()
	if err != nil {
		return err
	}
	if err := j.tellProc(base, entry); err != nil {
		return err
	}
	info := &bootInfo{
		entry: uint64(entry), phdrSize: uint64(img.phdrSize), stackBase: uint64(stack), stackSize: StackSize,
		flags: j.flags, args: j.args, env: withOrigin(j.env, j.abspath),
		dtable: j.dtable, ports: j.ports, ints: j.ints,
	}
	if img.phdr != 0 {
		info.phdr = uint64(base + img.phdr)
	}
	return j.start(info, pc, stack+StackSize)
}

// start gives the task its bootstrap port and a thread.
func (j *job) start(info *bootInfo, pc, sp uint32) (err error) {
	k := j.kernel
	ctx := context.WithoutCancel(j.ctx)
	boot, err := j.server.export.Export(proto.Handler(info), ports.Options{Gone: func() { proto.Release(ctx, info.takeRights()...) }})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			info.takeRights() // they are the request's, or gained
			boot.Close()
		}
	}()
	right, err := boot.Right()
	if err != nil {
		return err
	}
	err = k.SetPorts(j.task, right)
	if err != nil {
		info.takeRights() // before the last right to the port is gone
	}
	proto.Release(ctx, right)
	if err != nil {
		return fmt.Errorf("bootstrap port: %w", err)
	}
	proc := j.ports[proto.InitPortProc]
	stopped := j.flags&proto.EXEC_SIGTRAP != 0
	if proc.Valid() {
		if err := proto.ProcMarkExec(j.ctx, proc); err != nil {
			return err
		}
		if stopped {
			if err := proto.ProcMarkStop(j.ctx, proc, proto.SIGTRAP, 0); err != nil {
				return err
			}
		}
	}
	// The old task is suspended as a whole; of a new one nothing runs before
	// its thread does.
	if stopped && j.newTask {
		if err := k.Suspend(j.task); err != nil {
			return err
		}
	}
	if err := k.Thread(j.task, pc, sp, true); err != nil {
		return fmt.Errorf("first thread: %w", err)
	}
	if !stopped && !j.newTask {
		_ = k.Resume(j.task) // it has been started; if it has ended, so be it
	}
	return nil
}

// load maps a program.
func (j *job) load(p *program) (base uint32, err error) {
	k, img := j.kernel, p.img
	if img.dynamic {
		// Find room for all of it.
		addr, err := k.Map(j.task, mach.Mapping{Size: uintptr(img.hi - img.lo), Anywhere: true, Prot: mach.ProtNone, MaxProt: mach.ProtAll, Inherit: mach.InheritCopy})
		if err != nil {
			return 0, fmt.Errorf("%d bytes for the program: %w", img.hi-img.lo, err)
		}
		if err := k.Unmap(j.task, addr, uintptr(img.hi-img.lo)); err != nil {
			return 0, err
		}
		base = uint32(addr) - img.lo
	}
	for _, s := range img.segments {
		s.addr += base
		if err := j.loadSegment(p, s); err != nil {
			return 0, fmt.Errorf("segment at %#x: %w", s.addr, err)
		}
	}
	return base, nil
}

func (j *job) loadSegment(p *program, s segment) error {
	k := j.kernel
	for _, x := range join(s.pieces(p.object.Valid())) {
		m := mach.Mapping{Addr: uintptr(x.addr), Size: uintptr(x.size), MaxProt: mach.ProtAll, Inherit: mach.InheritCopy}
		switch x.how {
		case mapped:
			m.Object, m.Offset, m.Copy, m.Prot = p.object, uintptr(x.off), true, s.prot
		case zero:
			m.Prot = s.prot
		case readIn:
			m.Prot = mach.ProtRead | mach.ProtWrite
		}
		if _, err := k.Map(j.task, m); err != nil {
			return err
		}
		if x.how != readIn {
			continue
		}
		if err := j.readInto(p, x); err != nil {
			return err
		}
		if s.prot != m.Prot {
			if err := k.Protect(j.task, m.Addr, m.Size, s.prot); err != nil {
				return err
			}
		}
	}
	return nil
}

// join makes one piece of those that are read one after the other.
func join(list []piece) []piece {
	var out []piece
	for _, x := range list {
		if n := len(out); n > 0 && x.how == readIn && out[n-1].how == readIn && x.skip == 0 && out[n-1].addr+out[n-1].size == x.addr {
			out[n-1].size += x.size
			out[n-1].n += x.n
			continue
		}
		out = append(out, x)
	}
	return out
}

// readInto reads the contents of a piece into the task.
func (j *job) readInto(p *program, x piece) error {
	const chunk = maxRead &^ pageMask
	for at := uint32(0); at < x.skip+x.n; at += chunk {
		lo, hi := max(at, x.skip), min(at+chunk, x.skip+x.n)
		b, err := p.readAt(j.ctx, x.off+lo-x.skip, int(hi-lo))
		if err != nil {
			return err
		}
		if len(b) < int(hi-lo) {
			return bad("the file has become shorter")
		}
		pages := make([]byte, (hi-at+pageMask)&^pageMask)
		copy(pages[lo-at:], b)
		if err := j.kernel.Write(j.task, uintptr(x.addr+at), pages); err != nil {
			return err
		}
	}
	return nil
}

// stack maps the stack and returns its lowest address. A page without access
// below stops what overflows it.
func (j *job) stack() (uint32, error) {
	prot := mach.ProtRead | mach.ProtWrite
	if j.prog.img.execStk {
		prot |= mach.ProtExec
	}
	base, err := j.kernel.Map(j.task, mach.Mapping{Size: pageSize + StackSize, Anywhere: true, Prot: prot, MaxProt: mach.ProtAll, Inherit: mach.InheritCopy})
	if err == nil {
		err = j.kernel.Protect(j.task, base, pageSize, mach.ProtNone)
	}
	if err != nil {
		return 0, fmt.Errorf("stack: %w", err)
	}
	return uint32(base) + pageSize, nil
}

// tellProc tells the process server what the process runs.
func (j *job) tellProc(base, entry uint32) error {
	name, _, _ := bytes.Cut(j.args, []byte{0})
	if j.abspath != "" {
		name = []byte(j.abspath)
	}
	label := path.Base(string(name))
	proc := j.ports[proto.InitPortProc]
	if proc.Valid() {
		img := j.prog.img
		if err := proto.ProcSetCode(j.ctx, proc, uint64(base+img.lo), uint64(base+img.hi)); err != nil {
			return err
		}
		pid, err := proto.ProcTask2pid(j.ctx, proc, j.task)
		if err != nil {
			return err
		}
		if j.abspath != "" {
			_ = proto.ProcSetExe(j.ctx, proc, j.abspath) // for those who look only
		}
		if err := proto.ProcSetEntry(j.ctx, proc, uint64(entry)); err != nil {
			return err
		}
		label = fmt.Sprintf("%s(%d)", label, pid)
	}
	j.kernel.SetName(j.task, label)
	return nil
}
