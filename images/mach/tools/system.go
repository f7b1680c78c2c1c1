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
)

func echo(_ context.Context, c *Call) error {
	end := "\n"
	if len(c.Args) > 0 && c.Args[0] == "-n" {
		c.Args, end = c.Args[1:], ""
	}
	_, err := fmt.Fprint(c.Stdout, strings.Join(c.Args, " ")+end)
	return err
}

func sleep(ctx context.Context, c *Call) error {
	if len(c.Args) != 1 {
		return usagef("how long?")
	}
	d, err := time.ParseDuration(c.Args[0])
	if err != nil {
		sec, err := strconv.ParseFloat(c.Args[0], 64)
		if err != nil || !(sec >= 0 && sec < 1e9) {
			return usagef("%q is not a time", c.Args[0])
		}
		d = time.Duration(sec * float64(time.Second))
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runProgram runs a program in the tool's place and gives its status.
func (c *Call) runProgram(ctx context.Context, cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return status(128 + int(ws.Signal()))
		}
		return status(exit.ExitCode())
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist):
		c.complain(err)
		return status(127)
	case err != nil:
		c.complain(err)
		return status(126)
	}
	return nil
}

func env(ctx context.Context, c *Call) error {
	opts, args, err := c.options("+i")
	if err != nil {
		return err
	}
	var environ []string
	if !opts.has("i") {
		environ = os.Environ()
	}
	for len(args) > 0 {
		name, _, ok := strings.Cut(args[0], "=")
		if !ok {
			break
		}
		environ = slices.DeleteFunc(environ, func(s string) bool { return strings.HasPrefix(s, name+"=") })
		environ = append(environ, args[0])
		args = args[1:]
	}
	if len(args) == 0 {
		for _, e := range environ {
			if _, err := fmt.Fprintln(c.Stdout, e); err != nil {
				return err
			}
		}
		return nil
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = environ
	if environ == nil {
		cmd.Env = []string{}
	}
	return c.runProgram(ctx, cmd)
}

// su runs a shell, or a command with it, as another user.
func su(ctx context.Context, c *Call) error {
	opts, args, err := c.options("c:")
	if err != nil {
		return err
	}
	who := "root"
	switch len(args) {
	case 0:
	case 1:
		who = args[0]
	default:
		return usagef("one user at a time")
	}
	a, err := lookupAccount(who)
	if err != nil {
		return err
	}
	shell := a.shell
	if shell == "" {
		shell = "/bin/sh"
	}
	cmd := exec.CommandContext(ctx, shell)
	if opts.has("c") {
		cmd.Args = append(cmd.Args, "-c", opts.value("c"))
	}
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return name == "HOME" || name == "USER" || name == "LOGNAME" || name == "SHELL"
	})
	cmd.Env = append(cmd.Env, "HOME="+a.home, "USER="+a.name, "LOGNAME="+a.name, "SHELL="+shell)
	if a.uid != os.Geteuid() || a.gid != os.Getegid() {
		var groups []uint32
		for _, g := range a.groups {
			if g != a.gid {
				groups = append(groups, uint32(g))
			}
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: groups}}
	}
	return c.runProgram(ctx, cmd)
}

func hostname(_ context.Context, c *Call) error {
	switch len(c.Args) {
	case 0:
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.Stdout, name)
		return err
	case 1:
		// On the Hurd the name is what this file says.
		return os.WriteFile("/etc/hostname", []byte(c.Args[0]+"\n"), 0o644)
	}
	return usagef("one name at a time")
}

func uname(_ context.Context, c *Call) error {
	opts, args, err := c.options("asnrvm")
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return usagef("unexpected %q", args[0])
	}
	if len(opts) == 0 {
		opts = options{"s": {""}}
	}
	u, err := systemName()
	if err != nil {
		return err
	}
	var fields []string
	for i, o := range []string{"s", "n", "r", "v", "m"} {
		if opts.has(o) || opts.has("a") {
			fields = append(fields, u[i])
		}
	}
	_, err = fmt.Fprintln(c.Stdout, strings.Join(fields, " "))
	return err
}

func date(_ context.Context, c *Call) error {
	opts, args, err := c.options("u")
	if err != nil {
		return err
	}
	now := time.Now()
	if opts.has("u") {
		now = now.UTC()
	}
	text := now.Format(time.UnixDate)
	if len(args) > 0 {
		format, ok := strings.CutPrefix(args[0], "+")
		if !ok || len(args) > 1 {
			return usagef("want a format that begins with +, have %q", args[0])
		}
		text = strftime(format, now)
	}
	_, err = fmt.Fprintln(c.Stdout, text)
	return err
}

// strftime knows the formats that scripts use.
func strftime(format string, t time.Time) string {
	layouts := map[byte]string{
		'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'N': "000000000", 'y': "06", 'e': "_2",
		'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", 'Z': "MST", 'z': "-0700",
		'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'I': "03", 'p': "PM", 'j': "002", 'c': time.ANSIC,
	}
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		switch layout, ok := layouts[format[i]]; {
		case format[i] == 's':
			fmt.Fprint(&out, t.Unix())
		case format[i] == 'N':
			fmt.Fprintf(&out, "%09d", t.Nanosecond())
		case format[i] == 'n':
			out.WriteByte('\n')
		case format[i] == '%':
			out.WriteByte('%')
		case ok:
			out.WriteString(t.Format(layout))
		default:
			out.WriteString(format[i-1 : i+1])
		}
	}
	return out.String()
}

// signals are the signals' names, without SIG. Their numbers are the
// system's.
var signals = []struct {
	name   string
	number syscall.Signal
}{
	{"HUP", syscall.SIGHUP}, {"INT", syscall.SIGINT}, {"QUIT", syscall.SIGQUIT}, {"ILL", syscall.SIGILL}, {"TRAP", syscall.SIGTRAP},
	{"ABRT", syscall.SIGABRT}, {"FPE", syscall.SIGFPE}, {"KILL", syscall.SIGKILL}, {"BUS", syscall.SIGBUS}, {"SEGV", syscall.SIGSEGV},
	{"SYS", syscall.SIGSYS}, {"PIPE", syscall.SIGPIPE}, {"ALRM", syscall.SIGALRM}, {"TERM", syscall.SIGTERM}, {"URG", syscall.SIGURG},
	{"STOP", syscall.SIGSTOP}, {"TSTP", syscall.SIGTSTP}, {"CONT", syscall.SIGCONT}, {"CHLD", syscall.SIGCHLD}, {"TTIN", syscall.SIGTTIN},
	{"TTOU", syscall.SIGTTOU}, {"IO", syscall.SIGIO}, {"XCPU", syscall.SIGXCPU}, {"XFSZ", syscall.SIGXFSZ}, {"VTALRM", syscall.SIGVTALRM},
	{"PROF", syscall.SIGPROF}, {"WINCH", syscall.SIGWINCH}, {"USR1", syscall.SIGUSR1}, {"USR2", syscall.SIGUSR2},
}

// signalNumber takes TERM, SIGTERM, term and 15; 0 asks whether the process
// is there.
func signalNumber(s string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return syscall.Signal(n), n >= 0 && n < 65
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	for _, x := range signals {
		if x.name == name {
			return x.number, true
		}
	}
	return 0, false
}

func kill(_ context.Context, c *Call) error {
	sig, args := syscall.SIGTERM, c.Args
	if len(args) > 0 && args[0] == "-l" {
		sorted := slices.Clone(signals)
		slices.SortFunc(sorted, func(a, b struct {
			name   string
			number syscall.Signal
		}) int {
			return int(a.number) - int(b.number)
		})
		for _, x := range sorted {
			fmt.Fprintf(c.Stdout, "%2d %s\n", int(x.number), x.name)
		}
		return nil
	}
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0] != "--" {
		name := args[0][1:]
		args = args[1:]
		if name == "s" {
			if len(args) == 0 {
				return usagef("which signal?")
			}
			name, args = args[0], args[1:]
		}
		n, ok := signalNumber(name)
		if !ok {
			return usagef("no signal %q", name)
		}
		sig = n
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return usagef("which process?")
	}
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		if err != nil {
			return usagef("%q is not the number of a process", a)
		}
		if err := syscall.Kill(pid, sig); err != nil {
			c.complain(fmt.Errorf("%d: %w", pid, err))
		}
	}
	return nil
}
