// Package shell runs the command lines that SSH clients send: the node's few
// commands of its own, and programs. It is not a shell: a line is one command
// with its arguments, without pipes, redirections or expansions.
//
// A program is a file of the node's tree: by its path, or by its name in /bin.
// It gets the session's streams as descriptors 0 to 2, the session's
// environment, and the session's signals, and is killed when the client goes.
package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"path"
	"strings"

	exec "hurdlab/images/mach/bootexec"
	"hurdlab/images/mach/bootfs"
	proc "hurdlab/images/mach/bootproc"
	"hurdlab/images/mach/bootstreams"
	"hurdlab/images/mach/hurdio"
	"hurdlab/images/mach/ipstack"
	"hurdlab/images/mach/ports"
	"hurdlab/images/mach/sshd"
	"hurdlab/images/mach/store"
	"hurdlab/mach"
)

// Exit statuses for commands that could not be run, as shells use them.
const (
	exitUsage       = 2
	exitNotRunnable = 126
	exitNotFound    = 127
)

// A Shell runs commands on a node.
type Shell struct {
	// Name is the node's, for the prompt.
	Name   string
	Files  *store.FS
	Root   *bootfs.Root
	Procs  *proc.Table
	Export ports.Exporter
	Net    *ipstack.Stack
	// Hosts gives addresses by name.
	Hosts map[string]netip.Addr
	// Env is the environment of programs, before what the client sets.
	Env []string
}

// Run runs the command of a session. It is [sshd.Config.Run].
func (sh *Shell) Run(ctx context.Context, s *sshd.Session) sshd.Exit {
	if s.Command != "" {
		return sh.line(ctx, s, s.Command)
	}
	// The client wants a shell: its lines are the commands, which have no
	// input of their own. The prompt goes where it does not get into the way
	// of what commands print.
	in := bufio.NewScanner(s.Stdin)
	one := *s
	one.Stdin = strings.NewReader("")
	var last sshd.Exit
	for {
		fmt.Fprintf(s.Stderr, "%s# ", sh.Name)
		if !in.Scan() {
			break
		}
		if strings.TrimSpace(in.Text()) == "exit" {
			break
		}
		if last = sh.line(ctx, &one, in.Text()); ctx.Err() != nil || last.Signal != "" {
			break
		}
	}
	return last
}

// line runs one command line.
func (sh *Shell) line(ctx context.Context, s *sshd.Session, line string) sshd.Exit {
	words, err := Words(line)
	if err != nil {
		fmt.Fprintf(s.Stderr, "hurdlab: %v\n", err)
		return sshd.Exit{Status: exitUsage}
	}
	env := append(append([]string(nil), sh.Env...), s.Env...)
	for len(words) > 0 && isAssignment(words[0]) {
		env = append(env, words[0])
		words = words[1:]
	}
	if len(words) == 0 {
		return sshd.Exit{}
	}
	if cmd := commands[words[0]]; cmd != nil {
		return sh.builtin(ctx, cmd, words, s)
	}
	name := words[0]
	if !strings.Contains(name, "/") {
		name = path.Join("/bin", name)
	}
	p, err := sh.start(name, words, env, s)
	if err != nil {
		status := exitNotRunnable
		if errors.Is(err, fs.ErrNotExist) {
			status = exitNotFound
			err = fmt.Errorf("%s: no such command or program; commands are: %s", words[0], strings.Join(names(), " "))
		}
		fmt.Fprintf(s.Stderr, "hurdlab: %v\n", err)
		return sshd.Exit{Status: status}
	}
	return wait(ctx, p, s)
}

// isAssignment reports whether a word has the form NAME=VALUE.
func isAssignment(w string) bool {
	name, _, ok := strings.Cut(w, "=")
	if !ok || name == "" || '0' <= name[0] && name[0] <= '9' {
		return false
	}
	for _, c := range name {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// start starts the program at a path.
func (sh *Shell) start(name string, args, env []string, s *sshd.Session) (*proc.Process, error) {
	f, err := sh.Files.Open(name, 0, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if i := f.Stat(); i.Mode.IsDir() {
		return nil, fmt.Errorf("%s: %w", name, store.ErrIsDir)
	} else if i.Mode&0o111 == 0 {
		return nil, fmt.Errorf("%s is not executable: chmod it, or copy it with its mode (scp -p)", name)
	}
	spec := exec.Spec{Args: args, Env: dedupe(env), Umask: 0o022}
	if err := sh.rights(&spec, s); err != nil {
		return nil, err
	}
	var p *proc.Process
	err = f.View(func(contents []byte) error {
		spec.File = contents
		p, err = exec.Start(sh.Procs, sh.Export, spec)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// rights fills in the ports of a program.
func (sh *Shell) rights(spec *exec.Spec, s *sshd.Session) error {
	for _, h := range []mach.Handler{bootstreams.Input(s.Stdin), bootstreams.Output(s.Stdout), bootstreams.Output(s.Stderr)} {
		p, err := sh.Export.Export(h, nil)
		if err != nil {
			spec.Release()
			return err
		}
		spec.Files = append(spec.Files, p)
	}
	for _, i := range []int{exec.PortCWD, exec.PortRoot} {
		p, err := sh.Root.Open("/", hurdio.ORead|hurdio.OExec, 0)
		if err != nil {
			spec.Release()
			return err
		}
		spec.Ports[i] = p
	}
	return nil
}

// dedupe keeps the last of variables with the same name.
func dedupe(env []string) []string {
	last := make(map[string]int)
	for i, v := range env {
		name, _, _ := strings.Cut(v, "=")
		last[name] = i
	}
	var out []string
	for i, v := range env {
		if name, _, _ := strings.Cut(v, "="); last[name] == i {
			out = append(out, v)
		}
	}
	return out
}

// wait waits for a program, passing the session's signals on.
func wait(ctx context.Context, p *proc.Process, s *sshd.Session) sshd.Exit {
	gone := ctx.Done()
	for {
		select {
		case <-p.Done():
			st := p.Status()
			if st.Signal == 0 {
				return sshd.Exit{Status: st.Code}
			}
			if st.Reason != "" {
				fmt.Fprintf(s.Stderr, "hurdlab: %s: %v\n", p.Args[0], st)
			}
			return sshd.Exit{Signal: proc.SignalName(st.Signal), Message: st.Reason}
		case name := <-s.Signals:
			sig, ok := proc.SignalNumber(name)
			if !ok {
				continue
			}
			// In the background: a program that is slow to answer can still
			// be killed.
			go func() {
				if err := p.Kill(ctx, sig); err != nil && ctx.Err() == nil {
					fmt.Fprintf(s.Stderr, "hurdlab: signal %s: %v\n", name, err)
				}
			}()
		case <-gone:
			// The client has gone, and the program with it.
			gone = nil
			if err := p.Kill(context.WithoutCancel(ctx), proc.SIGKILL); err != nil {
				return sshd.Exit{Signal: "KILL", Message: err.Error()}
			}
		}
	}
}

// builtin runs a command of the node's own. A signal ends it.
func (sh *Shell) builtin(ctx context.Context, cmd *command, words []string, s *sshd.Session) sshd.Exit {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan sshd.Exit, 1)
	go func() {
		status := 0
		err := cmd.run(ctx, sh, words[1:], s)
		if e, ok := errors.AsType[exitError](err); ok {
			status, err = int(e), nil
		}
		if err != nil {
			status = 1
			if !errors.Is(err, io.ErrClosedPipe) {
				fmt.Fprintf(s.Stderr, "%s: %v\n", words[0], err)
			}
		}
		done <- sshd.Exit{Status: status}
	}()
	select {
	case e := <-done:
		return e
	case name := <-s.Signals:
		cancel()
		return sshd.Exit{Signal: name}
	case <-ctx.Done():
		return sshd.Exit{Signal: "HUP"}
	}
}
