package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	proc "hurdlab/images/mach/bootproc"
	"hurdlab/images/mach/bootscp"
	"hurdlab/images/mach/sshd"
	"hurdlab/images/mach/store"
	"hurdlab/mach"
)

// A command is one of the node's own: just enough to look at a node and to
// put files in order. Everything else is a program.
type command struct {
	usage string
	run   func(ctx context.Context, sh *Shell, args []string, s *sshd.Session) error
}

// An exitError is an exit status that says it all.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// commands is filled by init, because help lists it.
var commands map[string]*command

func init() {
	commands = map[string]*command{
		"cat":     {"cat FILE...", cat},
		"chmod":   {"chmod MODE FILE...", chmod},
		"echo":    {"echo WORD...", echo},
		"false":   {"false", func(context.Context, *Shell, []string, *sshd.Session) error { return exitError(1) }},
		"free":    {"free", free},
		"help":    {"help", help},
		"kill":    {"kill [-SIGNAL] PID...", kill},
		"ls":      {"ls [-l] [PATH...]", ls},
		"mkdir":   {"mkdir [-p] DIR...", mkdir},
		"mv":      {"mv FROM TO", mv},
		"netstat": {"netstat", netstat},
		"ping":    {"ping [-c COUNT] [-s SIZE] HOST", ping},
		"ps":      {"ps", ps},
		"reboot":  {"reboot", reboot},
		"rm":      {"rm [-r] [-f] PATH...", rm},
		"scp":     {"scp (as the remote half of scp only)", scpCommand},
		"true":    {"true", func(context.Context, *Shell, []string, *sshd.Session) error { return nil }},
		"uptime":  {"uptime", uptime},
	}
}

func names() []string { return slices.Sorted(maps.Keys(commands)) }

// options takes the letters of leading options that are among known; of those
// in valued the next word is the value.
func options(args []string, known, valued string) (opts map[rune]string, rest []string, err error) {
	opts = make(map[rune]string)
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		for _, o := range word[1:] {
			switch {
			case strings.ContainsRune(valued, o):
				if len(args) == 0 {
					return nil, nil, fmt.Errorf("option -%c needs a value", o)
				}
				opts[o], args = args[0], args[1:]
			case strings.ContainsRune(known, o):
				opts[o] = ""
			default:
				return nil, nil, fmt.Errorf("no option -%c", o)
			}
		}
	}
	return opts, args, nil
}

func help(_ context.Context, _ *Shell, _ []string, s *sshd.Session) error {
	for _, n := range names() {
		fmt.Fprintln(s.Stdout, commands[n].usage)
	}
	_, err := fmt.Fprintln(s.Stdout, "Anything else is a program: a path, or a name in /bin.")
	return err
}

func echo(_ context.Context, _ *Shell, args []string, s *sshd.Session) error {
	_, err := fmt.Fprintln(s.Stdout, strings.Join(args, " "))
	return err
}

func cat(_ context.Context, sh *Shell, args []string, s *sshd.Session) error {
	if len(args) == 0 {
		_, err := io.Copy(s.Stdout, s.Stdin)
		return err
	}
	for _, a := range args {
		f, err := sh.Files.Open(a, 0, 0)
		if err != nil {
			return err
		}
		_, err = io.Copy(s.Stdout, io.NewSectionReader(f, 0, f.Stat().Size))
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func ls(_ context.Context, sh *Shell, args []string, s *sshd.Session) error {
	opts, args, err := options(args, "l1a", "")
	if err != nil {
		return err
	}
	_, long := opts['l']
	if len(args) == 0 {
		args = []string{"/"}
	}
	for _, a := range args {
		i, err := sh.Files.Stat(a)
		if err != nil {
			return err
		}
		i.Name = a
		list := []store.Info{i}
		if i.Mode.IsDir() {
			if list, err = sh.Files.ReadDir(a); err != nil {
				return err
			}
		}
		for _, i := range list {
			if long {
				fmt.Fprintf(s.Stdout, "%v %9d %s %s\n", i.Mode, i.Size, i.ModTime.UTC().Format("2006-01-02 15:04:05"), i.Name)
			} else {
				fmt.Fprintln(s.Stdout, i.Name)
			}
		}
	}
	return nil
}

func mkdir(_ context.Context, sh *Shell, args []string, _ *sshd.Session) error {
	opts, args, err := options(args, "p", "")
	if err != nil {
		return err
	}
	for _, a := range args {
		mk := sh.Files.Mkdir
		if _, ok := opts['p']; ok {
			mk = sh.Files.MkdirAll
		}
		if err := mk(a, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func rm(_ context.Context, sh *Shell, args []string, _ *sshd.Session) error {
	opts, args, err := options(args, "rf", "")
	if err != nil {
		return err
	}
	_, all := opts['r']
	_, force := opts['f']
	for _, a := range args {
		i, err := sh.Files.Stat(a)
		switch {
		case errors.Is(err, fs.ErrNotExist) && force:
			continue
		case err != nil:
		case i.Mode.IsDir() && !all:
			err = fmt.Errorf("%s is a directory: use -r", a)
		default:
			err = sh.Files.RemoveAll(a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func mv(_ context.Context, sh *Shell, args []string, _ *sshd.Session) error {
	if len(args) != 2 {
		return errors.New("usage: mv FROM TO")
	}
	to := args[1]
	if i, err := sh.Files.Stat(to); err == nil && i.Mode.IsDir() {
		to = path.Join(to, path.Base(args[0]))
	}
	return sh.Files.Rename(args[0], to)
}

func chmod(_ context.Context, sh *Shell, args []string, _ *sshd.Session) error {
	if len(args) < 2 {
		return errors.New("usage: chmod MODE FILE...")
	}
	for _, a := range args[1:] {
		i, err := sh.Files.Stat(a)
		if err != nil {
			return err
		}
		mode := i.Mode.Perm()
		if args[0] == "+x" {
			mode |= 0o111
		} else if n, err := strconv.ParseUint(args[0], 8, 9); err == nil {
			mode = fs.FileMode(n)
		} else {
			return fmt.Errorf("mode %q: give three octal digits or +x", args[0])
		}
		if err := sh.Files.Chmod(a, mode); err != nil {
			return err
		}
	}
	return nil
}

func scpCommand(_ context.Context, sh *Shell, args []string, s *sshd.Session) error {
	if status := bootscp.Run(sh.Files, args, s.Stdin, s.Stdout); status != 0 {
		return exitError(status)
	}
	return nil
}

func ping(ctx context.Context, sh *Shell, args []string, s *sshd.Session) error {
	opts, args, err := options(args, "", "csiW")
	if err != nil {
		return err
	}
	if len(args) != 1 {
		return errors.New("usage: ping [-c COUNT] [-s SIZE] HOST")
	}
	number := func(o rune, def int) int {
		v, ok := opts[o]
		if !ok {
			return def
		}
		n, e := strconv.Atoi(v)
		if e != nil || n < 0 {
			err = errors.Join(err, fmt.Errorf("-%c %s: not a number", o, v))
		}
		return n
	}
	count, size := number('c', 0), min(number('s', 56), 60000)
	interval, timeout := time.Duration(number('i', 1))*time.Second, time.Duration(number('W', 5))*time.Second
	if err != nil {
		return err
	}
	to, ok := sh.Hosts[args[0]]
	if !ok {
		if to, err = netip.ParseAddr(args[0]); err != nil {
			return fmt.Errorf("%s is neither an address nor a host of this lab", args[0])
		}
	}
	sent, received := 0, 0
	for ctx.Err() == nil && (count == 0 || sent < count) {
		sent++
		pctx, cancel := context.WithTimeout(ctx, timeout)
		d, err := sh.Net.Ping(pctx, to, uint16(sent), size)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			fmt.Fprintf(s.Stdout, "no answer from %s within %v\n", to, timeout)
		} else if err != nil {
			fmt.Fprintln(s.Stdout, err)
		} else {
			received++
			fmt.Fprintf(s.Stdout, "%d bytes from %s: seq=%d time=%.3f ms\n", size+8, to, sent, float64(d.Microseconds())/1000)
		}
		if sent == count {
			break
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
		}
	}
	fmt.Fprintf(s.Stdout, "%d sent, %d received\n", sent, received)
	if received == 0 {
		return exitError(1)
	}
	return nil
}

func netstat(_ context.Context, sh *Shell, _ []string, s *sshd.Session) error {
	for _, c := range sh.Net.Counters() {
		if _, err := fmt.Fprintf(s.Stdout, "%-24s %d\n", c.Name, c.Value); err != nil {
			return err
		}
	}
	return nil
}

func ps(_ context.Context, sh *Shell, _ []string, s *sshd.Session) error {
	fmt.Fprintln(s.Stdout, "  PID   RESIDENT        AGE COMMAND")
	for _, p := range sh.Procs.List() {
		info, err := mach.TaskBasicInfo(p.Task())
		if err != nil {
			continue // it has just ended
		}
		fmt.Fprintf(s.Stdout, "%5d %7d kB %10s %s\n", p.PID, info.Resident/1024, time.Since(p.Started).Round(time.Millisecond), strings.Join(p.Args, " "))
	}
	return nil
}

func kill(ctx context.Context, sh *Shell, args []string, _ *sshd.Session) error {
	sig := proc.SIGTERM
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name := strings.TrimPrefix(args[0][1:], "SIG")
		n, err := strconv.Atoi(name)
		if err != nil {
			var ok bool
			if n, ok = proc.SignalNumber(name); !ok {
				return fmt.Errorf("no signal %q", name)
			}
		}
		sig, args = n, args[1:]
	}
	if len(args) == 0 {
		return errors.New("usage: kill [-SIGNAL] PID...")
	}
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		if err != nil {
			return fmt.Errorf("%q is not the number of a process", a)
		}
		p := sh.Procs.Find(pid)
		if p == nil {
			return fmt.Errorf("no process %d", pid)
		}
		if err := p.Kill(ctx, sig); err != nil {
			return err
		}
	}
	return nil
}

func free(_ context.Context, sh *Shell, _ []string, s *sshd.Session) error {
	host, err := mach.HostBasicInfo(mach.HostSelf())
	if err != nil {
		return err
	}
	st, err := mach.VMStats(mach.TaskSelf())
	if err != nil {
		return err
	}
	self, err := mach.TaskBasicInfo(mach.TaskSelf())
	if err != nil {
		return err
	}
	names, _, err := mach.PortNames(mach.TaskSelf())
	if err != nil {
		return err
	}
	used, quota := sh.Files.Used()
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	kb := func(pages uint32) uint64 { return uint64(pages) * uint64(st.PageSize) / 1024 }
	fmt.Fprintf(s.Stdout, "memory %d kB, free %d kB, active %d kB, inactive %d kB, wired %d kB\n",
		host.Memory/1024, kb(st.Free), kb(st.Active), kb(st.Inactive), kb(st.Wired))
	fmt.Fprintf(s.Stdout, "boot program: resident %d kB, virtual %d kB, %d port names, %d goroutines\n",
		self.Resident/1024, self.Virtual/1024, len(names), runtime.NumGoroutine())
	fmt.Fprintf(s.Stdout, "heap: %d kB, next collection at %d kB, %d collections so far, paused %v\n",
		heap.HeapAlloc/1024, heap.NextGC/1024, heap.NumGC, time.Duration(heap.PauseTotalNs))
	_, err = fmt.Fprintf(s.Stdout, "files: %d kB of %d kB\n", used/1024, quota/1024)
	return err
}

func uptime(_ context.Context, sh *Shell, _ []string, s *sshd.Session) error {
	up, err := mach.HostUptime(mach.HostSelf())
	if err != nil {
		return err
	}
	version, err := mach.HostKernelVersion(mach.HostSelf())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Stdout, "up %s, %d processes, %s\n", up.Round(time.Millisecond), len(sh.Procs.List()), version)
	return err
}

func reboot(context.Context, *Shell, []string, *sshd.Session) error {
	return mach.HostReboot(mach.HostPriv(), mach.Reboot)
}
