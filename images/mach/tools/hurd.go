package tools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// hurdTools are the tools that need the Hurd.
func hurdTools() map[string]tool {
	return map[string]tool{
		"free":      {"", free},
		"fsysopts":  {"[-R] FILE [OPTION...]", fsysopts},
		"halt":      {"", halt},
		"netstat":   {"", netstat},
		"ping":      {"[-c COUNT] [-s SIZE] [-i SECONDS] [-W SECONDS] HOST", ping},
		"portinfo":  {"[-v] PID...", portinfo},
		"ps":        {"[PID...]", ps},
		"reboot":    {"", reboot},
		"settrans":  {settransUsage, settrans},
		"showtrans": {"[-p] [-s] [-t] FILE...", showtrans},
		"tasks":     {"", tasks},
		"uptime":    {"", uptime},
		"vminfo":    {"[-v] PID...", vminfo},
		"vmstat":    {"", vmstat},
	}
}

// patience is how long a tool waits for a process or a server that may not
// answer.
const patience = 10 * time.Second

const settransUsage = `[-a] [-p] [-c] [-x] [-o] [-g] [-k] [-f] [-R] [-S] [-L] NODE [PROGRAM ARGUMENT...]
       settrans --chroot COMMAND... -- NODE PROGRAM ARGUMENT...
  -a, --active      start the translator now
  -p, --passive     record it, to be started on access (the default)
  -c, --create      make the node if it is missing
  -x, --exclusive   only if there is none
  -o, --orphan      forget an active one without telling it to go
  -g, --goaway      make an active one go away
  -k, --keep-active leave an active one running
  -f, --force       make it go although it is in use
  -R, --recursive   with those below it
  -S, --nosync      without writing what it has in memory
  -L, --dereference follow a link or a translator at NODE`

// settrans sets, changes and removes translators, as section 5.11 of
// hurd-protocol.md says.
func settrans(ctx context.Context, c *Call) error {
	opts, args, err := c.options("+apcxogkfRSLC: active passive create exclusive orphan goaway keep-active force recursive nosync dereference chroot")
	if err != nil {
		return err
	}
	has := func(short, long string) bool { return opts.has(short) || opts.has(long) }
	var command []string
	if opts.has("chroot") {
		i := slices.Index(args, "--")
		if i <= 0 {
			return usagef("--chroot wants a command, and -- behind it")
		}
		command, args = args[:i], args[i+1:]
	}
	if len(args) == 0 {
		return usagef("which node?")
	}
	node, argz := args[0], hurd.Argz(args[1:]...)
	active, passive := has("a", "active"), has("p", "passive")
	if command != nil {
		if active || passive {
			return usagef("--chroot sets no translator")
		}
		if len(argz) == 0 {
			return usagef("--chroot wants a translator")
		}
		return c.chroot(ctx, node, argz, command)
	}
	if !active && !passive {
		passive = true
	}
	var exclusive int32
	if has("x", "exclusive") {
		exclusive = proto.FS_TRANS_EXCL
	}
	var passiveFlags, activeFlags, goaway int32
	if passive {
		passiveFlags = proto.FS_TRANS_SET | exclusive
	}
	switch {
	case active:
		activeFlags = proto.FS_TRANS_SET | exclusive
	case has("g", "goaway"):
		activeFlags = proto.FS_TRANS_SET
	case !has("k", "keep-active"):
		// Nobody is to be surprised by one that still runs.
		activeFlags = proto.FS_TRANS_SET | proto.FS_TRANS_EXCL
	}
	if has("o", "orphan") && activeFlags != 0 {
		activeFlags |= proto.FS_TRANS_ORPHAN
	}
	for _, f := range []struct {
		set bool
		bit int32
	}{{has("f", "force"), proto.GOAWAY_FORCE}, {has("R", "recursive"), proto.GOAWAY_RECURSE}, {has("S", "nosync"), proto.GOAWAY_NOSYNC}} {
		if f.set {
			goaway |= f.bit
		}
	}
	var flags int32 = proto.O_NOTRANS
	if has("L", "dereference") {
		flags = 0
	}
	if has("c", "create") {
		flags |= proto.O_CREAT
	}
	port, err := c.self.Lookup(ctx, node, flags, 0o666&^umask())
	if err != nil {
		return trouble(node, err)
	}
	defer func() { proto.Release(ctx, port) }()
	control := proto.Right{}
	if active && len(argz) > 0 {
		started, err := c.startTranslator(ctx, argz, func(ctx context.Context, open int32) (mach.Port, error) {
			return c.self.Lookup(ctx, node, flags&^proto.O_CREAT|open|proto.O_NOTRANS, 0)
		})
		if err != nil {
			return err
		}
		defer func() { proto.Release(ctx, started) }()
		control = proto.Copy(started)
	}
	err = proto.FileSetTranslator(ctx, port, passiveFlags, activeFlags, goaway, argz, control)
	if err != nil && control.Port.Valid() {
		// Nobody will ever find it.
		_ = proto.FsysGoaway(ctx, control.Port, proto.GOAWAY_FORCE)
	}
	return trouble(node, err)
}

// umask returns what files are made without.
func umask() int32 {
	mask := syscall.Umask(0o022)
	syscall.Umask(mask)
	return int32(mask)
}

func (c *Call) startTranslator(ctx context.Context, argz []byte, underlying func(context.Context, int32) (mach.Port, error)) (mach.Port, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s := hurd.Start{Argz: argz, Env: hurd.Argz(os.Environ()...), Underlying: underlying}
	if len(c.self.FDs) > 2 {
		s.Stderr = c.self.FDs[2]
	}
	return hurd.StartTranslator(ctx, s)
}

// chroot starts a translator that is nowhere, and runs a command whose root
// directory is the translator's. Then the translator goes.
func (c *Call) chroot(ctx context.Context, node string, argz []byte, command []string) error {
	control, err := c.startTranslator(ctx, argz, func(ctx context.Context, open int32) (mach.Port, error) {
		return c.self.Lookup(ctx, node, open|proto.O_NOTRANS, 0)
	})
	if err != nil {
		return err
	}
	defer func() {
		_ = proto.FsysGoaway(ctx, control, proto.GOAWAY_FORCE)
		proto.Release(ctx, control)
	}()
	euids, _, egids, _, err := proto.AuthGetids(ctx, c.self.Auth)
	if err != nil {
		return err
	}
	_, name, root, err := proto.FsysGetroot(ctx, control, proto.Right{}, euids, egids, 0)
	if err != nil {
		return err
	}
	if name != "" {
		proto.Release(ctx, root)
		return fmt.Errorf("the translator is not a directory but leads to %s", name)
	}
	again, err := hurd.Reauthenticate(ctx, c.self.Auth, root)
	proto.Release(ctx, root)
	if err != nil {
		return err
	}
	if err := enter(again); err != nil {
		return err
	}
	return c.runProgram(ctx, exec.CommandContext(ctx, command[0], command[1:]...))
}

// showtrans shows the translators recorded at nodes.
func showtrans(ctx context.Context, c *Call) error {
	opts, args, err := c.options("pPst prefix no-prefix silent translated")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("which file?")
	}
	has := func(short, long string) bool { return opts.has(short) || opts.has(long) }
	prefix := len(args) > 1 && !has("P", "no-prefix") || has("p", "prefix")
	for _, a := range args {
		words, err := c.translatorOf(ctx, a)
		if err != nil {
			switch none := proto.Code(err) == proto.EINVAL; {
			case none && has("t", "translated"):
			case has("s", "silent"):
				c.status = 1
			case none:
				c.complain(fmt.Errorf("%s: has no translator", a))
			default:
				c.complain(trouble(a, err))
			}
			continue
		}
		if has("s", "silent") {
			continue
		}
		line := quote(words)
		if prefix {
			line = a + ": " + line
		}
		fmt.Fprintln(c.Stdout, line)
	}
	return nil
}

func (c *Call) translatorOf(ctx context.Context, path string) ([]string, error) {
	port, err := c.self.Lookup(ctx, path, proto.O_NOTRANS, 0)
	if err != nil {
		return nil, err
	}
	defer proto.Release(ctx, port)
	argz, err := proto.FileGetTranslator(ctx, port)
	return hurd.ParseArgz(argz), err
}

// fsysopts shows and changes the options of the file system that a file is
// on.
func fsysopts(ctx context.Context, c *Call) error {
	opts, args, err := c.options("+RL recursive dereference")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("which file system?")
	}
	// The node that the translator is on knows it. Its root may be somebody else's
	// file, as that of a mount is another node's.
	control := mach.Null
	if under, err := c.self.Lookup(ctx, args[0], proto.O_NOTRANS, 0); err == nil {
		if control, err = proto.FileGetTranslatorCntl(ctx, under); err != nil {
			control = mach.Null
		}
		proto.Release(ctx, under)
	}
	defer func() { proto.Release(ctx, control) }()
	if !control.Valid() {
		port, err := c.self.Lookup(ctx, args[0], 0, 0)
		if err != nil {
			return trouble(args[0], err)
		}
		defer proto.Release(ctx, port)
		if len(args) == 1 {
			return c.printOptions(args[0])(proto.FileGetFsOptions(ctx, port))
		}
		if control, err = proto.FileGetcontrol(ctx, port); err != nil {
			return trouble(args[0], err)
		}
	}
	if len(args) == 1 {
		return c.printOptions(args[0])(proto.FsysGetOptions(ctx, control))
	}
	var deep int32
	if opts.has("R") || opts.has("recursive") {
		deep = 1
	}
	return trouble(args[0], proto.FsysSetOptions(ctx, control, hurd.Argz(args[1:]...), deep))
}

// printOptions prints the options of a file system.
func (c *Call) printOptions(what string) func(argz []byte, err error) error {
	return func(argz []byte, err error) error {
		if err != nil {
			return trouble(what, err)
		}
		_, err = fmt.Fprintln(c.Stdout, quote(hurd.ParseArgz(argz)))
		return err
	}
}

// trouble says what an error is about.
func trouble(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, systemError(err))
}

// quote shows words such that a shell would take them apart again.
func quote(words []string) string {
	var out []string
	for _, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$`*?[]{}()<>|&;~#!") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		out = append(out, w)
	}
	return strings.Join(out, " ")
}

// A processInfo is what proc_getprocinfo tells of a process.
type processInfo struct {
	pid, state, owner, parent, group, session int32
	threads                                   int32
	virtual, resident                         uint32 // bytes
}

// Places in the answer of proc_getprocinfo (section 7.1), with those of the
// kernel's task_basic_info on i386.
const (
	infoThreads  = 8
	infoVirtual  = infoThreads + 1 + 2
	infoResident = infoThreads + 1 + 3
)

func (c *Call) processInfo(ctx context.Context, pid int32) (processInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	got, info, _, err := proto.ProcGetprocinfo(ctx, c.self.Proc, pid, proto.PI_FETCH_TASKINFO|proto.PI_FETCH_THREADS)
	if err != nil {
		return processInfo{}, err
	}
	if len(info) < infoThreads {
		return processInfo{}, fmt.Errorf("process %d: %w", pid, mach.MigArrayTooLarge)
	}
	p := processInfo{pid: pid, state: info[0], owner: info[1], parent: info[2], group: info[3], session: info[4]}
	if got&proto.PI_FETCH_TASKINFO != 0 && len(info) > infoResident {
		p.threads, p.virtual, p.resident = info[infoThreads], uint32(info[infoVirtual]), uint32(info[infoResident])
	}
	return p, nil
}

func (c *Call) arguments(ctx context.Context, pid int32) []string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	argz, err := proto.ProcGetprocargs(ctx, c.self.Proc, pid)
	if err != nil {
		return nil
	}
	return hurd.ParseArgz(argz)
}

// stateName is a process's state in letters: Z is a zombie, T stopped, S waits
// for children, R anything else; then s for the leader of a session, f for one
// that is just being started.
func stateName(s int32) string {
	name := "R"
	switch {
	case s&proto.PI_ZOMBIE != 0:
		name = "Z"
	case s&proto.PI_STOPPED != 0:
		name = "T"
	case s&proto.PI_WAITING != 0:
		name = "S"
	}
	if s&proto.PI_SESSLD != 0 {
		name += "s"
	}
	if s&proto.PI_GETMSG != 0 {
		name += "f"
	}
	return name
}

func ps(ctx context.Context, c *Call) error {
	_, args, err := c.options("aefx")
	if err != nil {
		return err
	}
	pids, err := c.pids(args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		if pids, err = proto.ProcGetallpids(ctx, c.self.Proc); err != nil {
			return err
		}
		slices.Sort(pids)
	}
	n := newNames()
	fmt.Fprintf(c.Stdout, "%5s %5s %5s %-8s %-3s %3s %8s %s\n", "PID", "PPID", "PGRP", "USER", "ST", "TH", "RSS", "COMMAND")
	for _, pid := range pids {
		p, err := c.processInfo(ctx, pid)
		if err != nil {
			if len(args) > 0 {
				c.complain(trouble(strconv.Itoa(int(pid)), err))
			}
			continue // it has just ended
		}
		owner := n.user(uint32(p.owner))
		if p.state&proto.PI_NOTOWNED != 0 {
			owner = "-"
		}
		command := "-"
		if p.state&proto.PI_ZOMBIE == 0 {
			if words := c.arguments(ctx, pid); len(words) > 0 {
				command = strings.Join(words, " ")
			}
		}
		_, err = fmt.Fprintf(c.Stdout, "%5d %5d %5d %-8s %-3s %3d %7dk %s\n",
			pid, p.parent, p.group, owner, stateName(p.state), p.threads, p.resident/1024, command)
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Call) pids(args []string) ([]int32, error) {
	var pids []int32
	for _, a := range args {
		n, err := strconv.ParseInt(a, 10, 32)
		if err != nil || n <= 0 {
			return nil, usagef("%q is not the number of a process", a)
		}
		pids = append(pids, int32(n))
	}
	return pids, nil
}

// eachTask calls f with the task of each process.
func (c *Call) eachTask(ctx context.Context, args []string, f func(pid int32, task mach.Port) error) error {
	pids, err := c.pids(args)
	if err != nil {
		return err
	}
	if len(pids) == 0 {
		return usagef("which process?")
	}
	for _, pid := range pids {
		task, err := proto.ProcPid2task(ctx, c.self.Proc, pid)
		if err != nil {
			c.complain(trouble(strconv.Itoa(int(pid)), err))
			continue
		}
		err = f(pid, task)
		proto.Release(ctx, task)
		if err != nil {
			c.complain(trouble(strconv.Itoa(int(pid)), err))
		}
	}
	return nil
}

// rights are the kinds of rights, in the order in which portinfo counts them.
var rights = []struct {
	bit  mach.PortType
	name string
}{
	{mach.TypeReceive, "receive"}, {mach.TypeSend, "send"}, {mach.TypeSendOnce, "send-once"}, {mach.TypePortSet, "port-set"}, {mach.TypeDeadName, "dead-name"},
}

func rightNames(t mach.PortType) string {
	var names []string
	for _, r := range rights {
		if t&r.bit != 0 {
			names = append(names, r.name)
		}
	}
	return strings.Join(names, "+")
}

// portinfo counts the rights of tasks, and with -v lists them.
func portinfo(ctx context.Context, c *Call) error {
	opts, args, err := c.options("v")
	if err != nil {
		return err
	}
	return c.eachTask(ctx, args, func(pid int32, task mach.Port) error {
		names, types, err := mach.PortNames(task)
		if err != nil {
			return err
		}
		if opts.has("v") {
			for i, name := range names {
				refs := ""
				for _, r := range []struct {
					bit   mach.PortType
					right mach.Right
				}{{mach.TypeSend, mach.RightSend}, {mach.TypeDeadName, mach.RightDeadName}} {
					if types[i]&r.bit == 0 {
						continue
					}
					if n, err := mach.PortGetRefs(task, name, r.right); err == nil {
						refs = fmt.Sprintf(" refs=%d", n)
					}
				}
				if types[i]&mach.TypeReceive != 0 {
					if st, err := mach.PortGetStatus(task, name); err == nil {
						refs += fmt.Sprintf(" queued=%d", st.Queued)
					}
				}
				fmt.Fprintf(c.Stdout, "%8d: %s%s\n", name, rightNames(types[i]), refs)
			}
		}
		var counts []string
		for _, r := range rights {
			n := 0
			for _, t := range types {
				if t&r.bit != 0 {
					n++
				}
			}
			counts = append(counts, fmt.Sprintf("%s %d", r.name, n))
		}
		_, err = fmt.Fprintf(c.Stdout, "%d: %d names: %s\n", pid, len(names), strings.Join(counts, ", "))
		return err
	})
}

func protName(p mach.Prot) string {
	b := []byte("---")
	for i, bit := range []mach.Prot{mach.ProtRead, mach.ProtWrite, mach.ProtExec} {
		if p&bit != 0 {
			b[i] = "rwx"[i]
		}
	}
	return string(b)
}

// vminfo lists the memory of tasks: address, size, protection and greatest
// protection, and what is behind it.
func vminfo(ctx context.Context, c *Call) error {
	opts, args, err := c.options("v")
	if err != nil {
		return err
	}
	return c.eachTask(ctx, args, func(pid int32, task mach.Port) error {
		var total uintptr
		regions := 0
		for addr := uintptr(0); ; {
			g, err := mach.VMRegion(task, addr)
			if errors.Is(err, mach.KernNoSpace) {
				break
			}
			if err != nil {
				return err
			}
			total += g.Size
			regions++
			object := "anonymous"
			if g.Object.Valid() {
				object = "object"
				proto.Release(ctx, g.Object)
			}
			if g.Shared {
				object += " shared"
			}
			fmt.Fprintf(c.Stdout, "%#10x %8dk %s/%s %s+%#x\n", g.Addr, g.Size/1024, protName(g.Prot), protName(g.MaxProt), object, g.Offset)
			if addr = g.Addr + g.Size; addr <= g.Addr {
				break
			}
		}
		info, err := mach.TaskBasicInfo(task)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.Stdout, "%d: %d regions, %dk, resident %dk\n", pid, regions, total/1024, info.Resident/1024)
		if opts.has("v") && err == nil {
			user, system, terr := mach.TaskThreadTimes(task)
			if terr != nil {
				return terr
			}
			_, err = fmt.Fprintf(c.Stdout, "%d: user %v, system %v\n", pid, info.User+user, info.System+system)
		}
		return err
	})
}

func vmstat(_ context.Context, c *Call) error {
	if err := c.noArguments(); err != nil {
		return err
	}
	s, err := mach.VMStats(mach.TaskSelf())
	if err != nil {
		return err
	}
	kb := func(pages uint32) string { return fmt.Sprintf("%dk", uint64(pages)*uint64(s.PageSize)/1024) }
	for _, l := range []struct{ name, value string }{
		{"pagesize", fmt.Sprint(s.PageSize)}, {"free", kb(s.Free)}, {"active", kb(s.Active)}, {"inactive", kb(s.Inactive)}, {"wired", kb(s.Wired)},
		{"zero filled", fmt.Sprint(s.ZeroFills)}, {"reactivated", fmt.Sprint(s.Reactivations)}, {"pageins", fmt.Sprint(s.PageIns)},
		{"pageouts", fmt.Sprint(s.PageOuts)}, {"page faults", fmt.Sprint(s.Faults)}, {"cow faults", fmt.Sprint(s.CopyFaults)},
		{"object lookups", fmt.Sprint(s.ObjectCacheLookups)}, {"object hits", fmt.Sprint(s.ObjectCacheHit)},
	} {
		if _, err := fmt.Fprintf(c.Stdout, "%-15s %s\n", l.name, l.value); err != nil {
			return err
		}
	}
	return nil
}

func free(ctx context.Context, c *Call) error {
	if err := c.noArguments(); err != nil {
		return err
	}
	host, err := mach.HostBasicInfo(mach.HostSelf())
	if err != nil {
		return err
	}
	s, err := mach.VMStats(mach.TaskSelf())
	if err != nil {
		return err
	}
	kb := func(pages uint32) uint64 { return uint64(pages) * uint64(s.PageSize) / 1024 }
	fmt.Fprintf(c.Stdout, "memory %d kB, free %d kB, active %d kB, inactive %d kB, wired %d kB\n",
		host.Memory/1024, kb(s.Free), kb(s.Active), kb(s.Inactive), kb(s.Wired))
	st, err := proto.FileStatfs(ctx, c.self.Root)
	if err != nil {
		return nil // not every file system knows
	}
	size := uint64(st.Bsize)
	_, err = fmt.Fprintf(c.Stdout, "files: %d kB of %d kB\n", (st.Blocks-min(st.Bfree, st.Blocks))*size/1024, st.Blocks*size/1024)
	return err
}

func uptime(ctx context.Context, c *Call) error {
	if err := c.noArguments(); err != nil {
		return err
	}
	up, err := mach.HostUptime(mach.HostSelf())
	if err != nil {
		return err
	}
	version, err := mach.HostKernelVersion(mach.HostSelf())
	if err != nil {
		return err
	}
	pids, err := proto.ProcGetallpids(ctx, c.self.Proc)
	if err != nil {
		return err
	}
	load, err := mach.HostLoadInfo(mach.HostSelf())
	if err != nil {
		return err
	}
	average := func(i int) float64 { return float64(load.Average[i]) / 1000 }
	_, err = fmt.Fprintf(c.Stdout, "up %s, %d processes, load %.2f %.2f %.2f, %s\n",
		up.Round(time.Millisecond), len(pids), average(0), average(1), average(2), version)
	return err
}

// tasks lists the kernel's tasks, those of no process too, and counts what
// they have: whoever leaks is to be seen here.
func tasks(ctx context.Context, c *Call) error {
	if err := c.noArguments(); err != nil {
		return err
	}
	priv, device, err := proto.ProcGetprivports(ctx, c.self.Proc)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, priv, device)
	name, err := mach.ProcessorSetDefault(mach.HostSelf())
	if err != nil {
		return err
	}
	defer proto.Release(ctx, name)
	set, err := mach.HostProcessorSetPriv(priv, name)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, set)
	list, err := mach.ProcessorSetTasks(set)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, list...)
	var totalPorts, totalThreads, alive int
	var totalResident uintptr
	for _, task := range list {
		info, err := mach.TaskBasicInfo(task)
		if err != nil {
			continue // it has just ended
		}
		ports, threads := 0, 0
		if names, _, err := mach.PortNames(task); err == nil {
			ports = len(names)
		}
		if list, err := mach.TaskThreads(task); err == nil {
			threads = len(list)
			proto.Release(ctx, list...)
		}
		who := "-"
		if pid, err := proto.ProcTask2pid(ctx, c.self.Proc, task); err == nil {
			who = strconv.Itoa(int(pid))
			if words := c.arguments(ctx, pid); len(words) > 0 {
				who += " " + strings.Join(words, " ")
			}
		}
		alive++
		totalPorts, totalThreads, totalResident = totalPorts+ports, totalThreads+threads, totalResident+info.Resident
		fmt.Fprintf(c.Stdout, "%6d ports %3d threads %7dk resident %8dk virtual  %s\n", ports, threads, info.Resident/1024, info.Virtual/1024, who)
	}
	_, err = fmt.Fprintf(c.Stdout, "%d tasks, %d ports, %d threads, %dk resident\n", alive, totalPorts, totalThreads, totalResident/1024)
	return err
}

func reboot(ctx context.Context, c *Call) error { return c.shutdown(ctx, proto.RB_AUTOBOOT) }

func halt(ctx context.Context, c *Call) error { return c.shutdown(ctx, proto.RB_HALT) }

// shutdown asks the startup server, which makes the file systems write what
// they have in memory.
func (c *Call) shutdown(ctx context.Context, how int32) error {
	if err := c.noArguments(); err != nil {
		return err
	}
	priv, device, err := proto.ProcGetprivports(ctx, c.self.Proc)
	if err != nil {
		return fmt.Errorf("only root may do that: %w", err)
	}
	defer proto.Release(ctx, priv, device)
	startup, err := c.self.Lookup(ctx, "/servers/startup", 0, 0)
	if err != nil {
		return err
	}
	defer proto.Release(ctx, startup)
	return proto.StartupReboot(ctx, startup, priv, how)
}
