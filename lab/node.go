package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"

	"hurdlab/lab/api"
	"hurdlab/lab/problem"
	"hurdlab/lab/sshmux"
	"hurdlab/lab/state"
)

// A Node is a node of a lab. Its methods may be called from several
// goroutines.
type Node struct {
	lab  *Lab
	name string
	ssh  *sshmux.Upstream // to the daemon, which has the connection to the node
}

func newNode(l *Lab, name string) *Node {
	n := &Node{lab: l, name: name}
	n.ssh = sshmux.New(
		func(ctx context.Context) (net.Conn, error) { return l.api.Stream(ctx, n.path("ssh")) },
		// The daemon has the node's host key. It need not know who we are:
		// its socket does.
		&ssh.ClientConfig{
			User:            "root",
			HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error { return nil },
		})
	return n
}

// Name is the node's name, which is also its host name: "node1".
func (n *Node) Name() string { return n.name }

// Addr is the node's address on the lab's network; "" if there is no such node.
func (n *Node) Addr() string {
	if c, err := n.lab.spec.Node(n.name); err == nil {
		return c.Addr.String()
	}
	return ""
}

// Can says whether the node can do something: see the constants in images.
func (n *Node) Can(what string) bool {
	c, err := n.lab.spec.Node(n.name)
	if err != nil {
		return false
	}
	for _, can := range c.Machine.Can {
		if can == what {
			return true
		}
	}
	return false
}

// path is the path of a request about the node.
func (n *Node) path(what string) string { return "/nodes/" + url.PathEscape(n.name) + "/" + what }

// A Cmd is a command to run on a node.
type Cmd struct {
	// Args is the program and its arguments.
	Args []string
	// Env is variables to set, NAME=VALUE.
	Env []string
	// Stdin is read, Stdout and Stderr are written; nil means nothing.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal has it run at a terminal of the node's: Stdin is what is typed, and all that is
	// written, with the echo, comes to Stdout.
	Terminal *Terminal
}

// A Terminal is what a command on a node finds.
type Terminal struct {
	Type          string // TERM, such as "xterm"
	Width, Height int    // in characters
}

// An Exit is how a command on a node ended.
type Exit struct {
	// Status is its exit status, or 128 and more if a signal ended it.
	Status int
	// Signal is the name of the signal that ended it, such as "KILL"; "" if
	// none did.
	Signal string
	// Message explains a death by signal.
	Message string
}

// Ok says that the command ended well.
func (e Exit) Ok() bool { return e.Status == 0 && e.Signal == "" }

func (e Exit) String() string {
	if e.Signal == "" {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	s := "signal " + e.Signal
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// A Process is a command that runs on a node.
type Process struct {
	node    *Node
	session *ssh.Session
	stop    func() bool
	ctx     context.Context
}

// Start starts a command. When ctx ends it is killed.
func (n *Node) Start(ctx context.Context, c Cmd) (*Process, error) {
	if len(c.Args) == 0 {
		return nil, problem.New("there is no command to run", "such as: hurdlab exec node1 uptime")
	}
	session, err := n.session(ctx)
	if err != nil {
		return nil, err
	}
	session.Stdin, session.Stdout, session.Stderr = c.Stdin, c.Stdout, c.Stderr
	p := &Process{node: n, session: session, ctx: ctx}
	p.stop = context.AfterFunc(ctx, func() {
		p.Signal("KILL") // some servers do not kill when the session is closed
		session.Close()
	})
	if err := p.start(c); err != nil {
		ended := !p.stop()
		session.Close()
		if ended {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return p, nil
}

// start asks the node to start the command.
func (p *Process) start(c Cmd) error {
	for _, kv := range c.Env {
		k, v, _ := strings.Cut(kv, "=")
		if err := p.session.Setenv(k, v); err != nil {
			return fmt.Errorf("%s: set %s: %w", p.node.name, k, err)
		}
	}
	if t := c.Terminal; t != nil {
		if err := p.session.RequestPty(t.Type, t.Height, t.Width, ssh.TerminalModes{}); err != nil {
			return fmt.Errorf("%s: %s needs a terminal: %w", p.node.name, c.Args[0], err)
		}
	}
	err := p.session.Start(commandLine(c.Args))
	if err == io.EOF {
		return p.node.lost()
	}
	if err != nil {
		return fmt.Errorf("%s: start %s: %w", p.node.name, c.Args[0], err)
	}
	return nil
}

// session opens an SSH session.
func (n *Node) session(ctx context.Context) (*ssh.Session, error) {
	session, err := n.ssh.Session(ctx)
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		return nil, fmt.Errorf("%s: open a session: %w", n.name, err)
	}
	if err != nil {
		return nil, err
	}
	return session, nil
}

// Signal sends a signal, by its name without SIG.
func (p *Process) Signal(name string) error {
	return p.session.Signal(ssh.Signal(name))
}

// Resize changes the size of the command's terminal, in characters.
func (p *Process) Resize(width, height int) error {
	if err := p.session.WindowChange(height, width); err != nil {
		return fmt.Errorf("%s: resize the terminal: %w", p.node.name, err)
	}
	return nil
}

// Wait waits for the end of the command and of its output. The error is not
// nil if it is not known how the command ended.
func (p *Process) Wait() (Exit, error) {
	err := p.session.Wait()
	defer p.session.Close()
	if !p.stop() {
		return Exit{}, context.Cause(p.ctx)
	}
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case err == nil:
		return Exit{}, nil
	case errors.As(err, &exit):
		return Exit{Status: exit.ExitStatus(), Signal: exit.Signal(), Message: exit.Msg()}, nil
	case errors.As(err, &missing):
		return Exit{}, p.node.lost()
	}
	return Exit{}, fmt.Errorf("%s: %w", p.node.name, err)
}

// lost says that a command was cut off, and that nobody knows how it ended.
func (n *Node) lost() error {
	return problem.New(fmt.Sprintf("the connection to %s was lost while the command ran", n.name),
		"see what became of it: hurdlab status --name "+n.lab.spec.Name)
}

// A Result is how a command ended and what it said.
type Result struct {
	Exit
	Stdout, Stderr string
}

// Run runs a command and waits for it. The error is nil whatever the command's
// exit status is; it says that the command could not be run.
func (n *Node) Run(ctx context.Context, args ...string) (Result, error) {
	var stdout, stderr bytes.Buffer
	p, err := n.Start(ctx, Cmd{Args: args, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		return Result{}, err
	}
	exit, err := p.Wait()
	return Result{exit, stdout.String(), stderr.String()}, err
}

// Shell opens an interactive session, on a terminal of a type ("xterm") and
// size if the node has terminals; pty says whether it has. The caller sets the
// session's streams, starts it by its method Shell, and closes it.
func (n *Node) Shell(ctx context.Context, term string, width, height int) (session *ssh.Session, pty bool, err error) {
	session, err = n.session(ctx)
	if err != nil {
		return nil, false, err
	}
	if err := session.RequestPty(term, height, width, ssh.TerminalModes{}); err != nil {
		return session, false, nil // it refused
	}
	return session, true, nil
}

// commandLine quotes the arguments of a command for a shell.
func commandLine(args []string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quote(a))
	}
	return b.String()
}

// plain is what needs no quoting in any shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Boot boots the node, which is off or dead, and returns when it is up.
func (n *Node) Boot(ctx context.Context) error {
	return n.lab.api.Call(ctx, "POST", n.path("start"), nil, nil)
}

// Restart cuts the node's power if it runs, and boots it.
func (n *Node) Restart(ctx context.Context) error {
	return n.lab.api.Call(ctx, "POST", n.path("restart"), nil, nil)
}

// Kill cuts the node's power.
func (n *Node) Kill(ctx context.Context) error {
	return n.lab.api.Call(ctx, "POST", n.path("kill"), nil, nil)
}

// Status asks the daemon how the node is.
func (n *Node) Status(ctx context.Context) (api.NodeStatus, error) {
	if _, err := n.lab.spec.Node(n.name); err != nil {
		return api.NodeStatus{}, err
	}
	s, err := n.lab.Status(ctx)
	if err != nil {
		return api.NodeStatus{}, err
	}
	for _, ns := range s.Nodes {
		if ns.Name == n.name {
			return ns, nil
		}
	}
	return api.NodeStatus{}, fmt.Errorf("the status of lab %s lacks %s", n.lab.spec.Name, n.name)
}

// WaitState waits until the node is in a state.
func (n *Node) WaitState(ctx context.Context, want api.NodeState) (api.NodeStatus, error) {
	// First listen, then look: nothing can happen in between unheard.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, _, err := n.lab.events(ctx)
	if err != nil {
		return api.NodeStatus{}, err
	}
	defer r.Close()
	dec := json.NewDecoder(r)
	for {
		s, err := n.Status(ctx)
		if err != nil || s.State == want {
			return s, err
		}
		for {
			var e state.Event
			if err := dec.Decode(&e); err != nil {
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				return s, fmt.Errorf("wait until %s is %s (it is %s): %w", n.name, want, s.State, err)
			}
			if e.Kind == state.KindNode && e.Node == n.name {
				break
			}
		}
	}
}

// Dial connects to a TCP port of the node.
func (n *Node) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	return n.lab.api.Stream(ctx, fmt.Sprintf("%s?port=%d", n.path("dial"), port))
}

// QMP runs a command of QEMU's monitor and stores what it returns in result.
func (n *Node) QMP(ctx context.Context, c api.Command, result any) error {
	return n.lab.api.Call(ctx, "POST", n.path("qmp"), c, result)
}

// Console is all that the node has written on its console.
func (n *Node) Console() ([]byte, error) {
	if _, err := n.lab.spec.Node(n.name); err != nil {
		return nil, err
	}
	return os.ReadFile(n.lab.dir.NodeFile(n.name, state.ConsoleLog))
}

// FollowConsole reads the console from the offset from on, and waits for more
// at its end, until ctx ends or the lab does (io.EOF).
func (n *Node) FollowConsole(ctx context.Context, from int64) (io.ReadCloser, error) {
	return n.lab.api.Read(ctx, fmt.Sprintf("%s?follow=1&from=%d", n.path("console"), from))
}

// WaitConsole waits until the console has said something that matches re,
// since the offset from, in a window of the last 64 KB.
func (n *Node) WaitConsole(ctx context.Context, from int64, re *regexp.Regexp) error {
	r, err := n.FollowConsole(ctx, from)
	if err != nil {
		return err
	}
	defer r.Close()
	const window = 64 << 10
	var seen []byte
	buf := make([]byte, 4096)
	for {
		k, err := r.Read(buf)
		seen = append(seen, buf[:k]...)
		if re.Match(seen) {
			return nil
		}
		if len(seen) > 2*window {
			seen = append(seen[:0], seen[len(seen)-window:]...)
		}
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("wait for %s on the console of %s: %w", re, n.name, err)
		}
	}
}

// AttachConsole joins the console: what is written to the stream is typed
// there. It begins with what was said from the offset from on; -1 means now.
func (n *Node) AttachConsole(ctx context.Context, from int64) (net.Conn, error) {
	path := n.path("attach")
	if from >= 0 {
		path += fmt.Sprintf("?from=%d", from)
	}
	return n.lab.api.Stream(ctx, path)
}

// ReadConsole is the console of a node of a lab that need not run any more.
func ReadConsole(dirs state.Dirs, lab, node string) ([]byte, error) {
	dir, err := dirs.Lab(lab)
	if err != nil {
		return nil, err
	}
	spec, err := dir.Lab()
	if errors.Is(err, os.ErrNotExist) {
		return nil, absent(dirs, lab)
	}
	if err != nil {
		return nil, err
	}
	if _, err := spec.Node(node); err != nil {
		return nil, err
	}
	return os.ReadFile(dir.NodeFile(node, state.ConsoleLog))
}
