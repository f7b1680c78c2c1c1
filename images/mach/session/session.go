// Package session runs the commands of SSH sessions (package sshd) as
// processes of their users.
//
// A command that is a program and its arguments is started by itself; what
// takes a shell is given to /bin/sh, and so is what no program is found for.
// The process is the leader of a session and a process group, is in its user's
// home, and has streams that this program serves itself (package iostreams), or a
// terminal (package pty), which is its controlling terminal.
// When the client goes away, its group gets SIGHUP and, if that does not end
// it, SIGKILL.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/images/mach/iostreams"
	"hurdlab/images/mach/pty"
	"hurdlab/images/mach/sshd"
	"hurdlab/mach"
)

const (
	shell = "/bin/sh"
	umask = 0o022

	// hangupTime is how long processes whose client has gone have to end.
	hangupTime = 2 * time.Second
)

// path is where programs are looked for.
var path = []string{"/bin", "/usr/bin", "/usr/local/bin"}

// An Account is a user of this system.
type Account struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32 // besides GID
	Home   string
}

// Processes starts and ends processes: a [hurd.Process] by [OfProcess].
type Processes interface {
	// Start starts a program and returns its process id.
	Start(ctx context.Context, s hurd.Spawn) (pid int32, err error)
	// Wait waits until a child has ended.
	Wait(ctx context.Context, pid int32) (hurd.WaitStatus, error)
	// Kill sends a signal to a process group.
	Kill(ctx context.Context, pgrp int32, sig int) error
}

// A Runner runs commands.
type Runner struct {
	Processes Processes
	Host      *ioport.Host
	// Account finds a user.
	Account func(name string) (*Account, error)
	// Env is part of every environment.
	Env []string
	// Post sends a terminal's signals: see [pty.New].
	Post func(group, signal int32, id mach.Port)
}

// Run runs the command of a session: [sshd.Config].
func (r *Runner) Run(ctx context.Context, s *sshd.Session) sshd.Exit {
	a, err := r.Account(s.User)
	if err != nil {
		return failed(s, 1, err)
	}
	var fds []mach.Port
	var terminal *pty.Terminal
	ctty := mach.Null
	if s.Terminal != nil {
		terminal, ctty, fds, err = r.terminal(a, s)
	} else {
		fds, err = r.streams(a, s)
	}
	if err != nil {
		return failed(s, 1, err)
	}
	pid, err := r.start(ctx, a, s, fds, ctty)
	r.Host.Export.Release(append(fds, ctty)...)
	if terminal != nil {
		defer terminal.Close()
	}
	if err != nil {
		return failed(s, 127, err)
	}

	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(ctx, s, pid, ended)
	}()
	if terminal != nil {
		terminal.Begin(pid)
		go typing(terminal, s.Stdin)
		go resizing(terminal, s.Terminal.Sizes, ended)
	}
	status, err := r.Processes.Wait(context.WithoutCancel(ctx), pid)
	close(ended)
	<-watched
	if err != nil {
		return failed(s, 1, err)
	}
	if code, ok := status.Exited(); ok {
		return sshd.Exit{Status: code}
	}
	sig := status.Signal()
	return sshd.Exit{Signal: signalName(sig), Message: fmt.Sprintf("ended by signal %d", sig)}
}

func failed(s *sshd.Session, status int, err error) sshd.Exit {
	fmt.Fprintln(s.Stderr, "sshd:", err)
	return sshd.Exit{Status: status}
}

// streams makes ports of the session's streams.
func (r *Runner) streams(a *Account, s *sshd.Session) (fds []mach.Port, err error) {
	user := translator.User{UIDs: []uint32{a.UID}, GIDs: []uint32{a.GID}}
	add := func(p mach.Port, e error) {
		if e == nil {
			fds = append(fds, p)
		}
		err = errors.Join(err, e)
	}
	add(iostreams.Input(r.Host, user, s.Stdin))
	for _, w := range []io.Writer{s.Stdout, s.Stderr} {
		add(iostreams.Output(r.Host, user, w))
	}
	if err != nil {
		r.Host.Export.Release(fds...)
		return nil, err
	}
	return fds, nil
}

// terminal makes the session's terminal, a right to its id, and ports of it for the streams.
func (r *Runner) terminal(a *Account, s *sshd.Session) (t *pty.Terminal, ctty mach.Port, fds []mach.Port, err error) {
	user := translator.User{UIDs: []uint32{a.UID}, GIDs: []uint32{a.GID}}
	t, err = pty.New(r.Host, user, s.Stdout, sizeOf(s.Terminal.Size), r.Post)
	if err != nil {
		return nil, mach.Null, nil, err
	}
	ctty, err = t.ID()
	for range 3 {
		p, e := t.Open()
		if e == nil {
			fds = append(fds, p)
		}
		err = errors.Join(err, e)
	}
	if err != nil {
		r.Host.Export.Release(append(fds, ctty)...)
		t.Close()
		return nil, mach.Null, nil, err
	}
	return t, ctty, fds, nil
}

func sizeOf(s sshd.Size) pty.Size {
	short := func(n uint32) uint16 { return uint16(min(n, math.MaxUint16)) }
	return pty.Size{Rows: short(s.Rows), Columns: short(s.Columns), Width: short(s.Width), Height: short(s.Height)}
}

// typing passes on what the client types, until it has gone.
func typing(t *pty.Terminal, from io.Reader) {
	b := make([]byte, 1024)
	for {
		n, err := from.Read(b)
		if n > 0 && t.Type(b[:n]) != nil {
			return
		}
		if err != nil {
			t.End()
			return
		}
	}
}

func resizing(t *pty.Terminal, sizes <-chan sshd.Size, ended <-chan struct{}) {
	for {
		select {
		case s := <-sizes:
			t.Resize(sizeOf(s))
		case <-ended:
			return
		}
	}
}

// start starts the command.
func (r *Runner) start(ctx context.Context, a *Account, s *sshd.Session, fds []mach.Port, ctty mach.Port) (int32, error) {
	spawn := hurd.Spawn{Dir: a.Home, FDs: fds, Session: true, CTTY: ctty, Umask: umask, Env: r.environment(a, s)}
	if a.UID != 0 {
		spawn.User = &hurd.Credential{UID: a.UID, GID: a.GID, Groups: a.Groups}
	}
	try := func(path string, args ...string) (int32, error) {
		spawn.Path, spawn.Args = path, args
		pid, err := r.Processes.Start(ctx, spawn)
		if errors.Is(err, proto.ENOENT) && spawn.Dir != "/" {
			// Perhaps it is the home that is missing.
			at := spawn
			at.Dir = "/"
			return r.Processes.Start(ctx, at)
		}
		return pid, err
	}
	if words, simple := split(s.Command); simple {
		candidates := []string{words[0]}
		if !strings.Contains(words[0], "/") {
			candidates = nil
			for _, dir := range path {
				candidates = append(candidates, dir+"/"+words[0])
			}
		}
		for _, c := range candidates {
			pid, err := try(c, words...)
			if err == nil || !errors.Is(err, proto.ENOENT) && !errors.Is(err, proto.ENOTDIR) && !errors.Is(err, proto.ENOEXEC) && !errors.Is(err, proto.EACCES) {
				return pid, err
			}
		}
	}
	// What the shell has built in, what it cannot find either, or what it
	// must make sense of.
	if s.Command == "" {
		return try(shell, "sh")
	}
	return try(shell, "sh", "-c", s.Command)
}

func (r *Runner) environment(a *Account, s *sshd.Session) []string {
	env := append(slices.Clone(r.Env),
		"PATH="+strings.Join(path, ":"), "HOME="+a.Home, "USER="+a.Name, "LOGNAME="+a.Name, "SHELL="+shell, "TMPDIR=/tmp")
	if s.Terminal != nil && s.Terminal.Type != "" {
		env = append(env, "TERM="+s.Terminal.Type)
	}
	return append(env, s.Env...)
}

// watch passes the client's signals on, and ends the process group when the
// client has gone.
func (r *Runner) watch(ctx context.Context, s *sshd.Session, pgrp int32, ended <-chan struct{}) {
	// Not the client's context: it may have ended.
	kill := func(sig int) { _ = r.Processes.Kill(context.WithoutCancel(ctx), pgrp, sig) }
	for {
		select {
		case name := <-s.Signals:
			if sig := signalNumber(name); sig != 0 {
				kill(sig)
			}
		case <-ctx.Done():
			kill(proto.SIGHUP)
			select {
			case <-ended:
			case <-time.After(hangupTime):
			}
			kill(proto.SIGKILL) // also who ignores the other
			return
		case <-ended:
			return
		}
	}
}

// signals are by number from 1 on, as SSH names them (RFC 4254, 6.10).
var signals = strings.Fields("HUP INT QUIT ILL TRAP ABRT EMT FPE KILL BUS SEGV SYS PIPE ALRM TERM URG " +
	"STOP TSTP CONT CHLD TTIN TTOU IO XCPU XFSZ VTALRM PROF WINCH INFO USR1 USR2 LOST")

func signalName(sig int) string {
	if sig < 1 || sig > len(signals) {
		return fmt.Sprint(sig)
	}
	return signals[sig-1]
}

func signalNumber(name string) int { return slices.Index(signals, name) + 1 }

// OfProcess makes processes the children of p.
func OfProcess(p *hurd.Process) Processes { return processes{p} }

type processes struct{ *hurd.Process }

func (p processes) Start(ctx context.Context, s hurd.Spawn) (int32, error) {
	c, err := p.Spawn(ctx, s)
	if err != nil {
		return 0, err
	}
	return c.PID, nil
}

func (p processes) Wait(ctx context.Context, pid int32) (hurd.WaitStatus, error) {
	return p.Process.Wait(ctx, pid)
}

func (p processes) Kill(ctx context.Context, pgrp int32, sig int) error {
	return p.Process.Kill(ctx, -pgrp, sig)
}
