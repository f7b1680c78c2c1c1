package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"hurdlab/hurd"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/images/mach/ioport"
	"hurdlab/images/mach/sshd"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string // nil: needs a shell
	}{
		{"ls", []string{"ls"}},
		{"  ls \t -l  /tmp ", []string{"ls", "-l", "/tmp"}},
		{`echo 'a b' "c d" e\ f ""`, []string{"echo", "a b", "c d", "e f", ""}},
		{`echo '$HOME' "\$x \" \\ \n" a#b x=1`, []string{"echo", "$HOME", `$x " \ \n`, "a#b", "x=1"}},
		{`scp -r -f '/tmp/it'\''s'`, []string{"scp", "-r", "-f", "/tmp/it's"}},
		{"", nil}, {"   ", nil}, {"a | b", nil}, {"a;b", nil}, {"a\nb", nil}, {"a > f", nil}, {"$x", nil}, {`"$x"`, nil}, {"`a`", nil},
		{"ls *.go", nil}, {"ls [a]", nil}, {"{a,b}", nil}, {"! a", nil}, {"~/x", nil}, {"cd ~", nil}, {"# c", nil}, {"X=1 a", nil},
		{"'a", nil}, {`"a`, nil}, {`a\`, nil}, {"(a)", nil}, {"a &", nil},
	} {
		got, simple := split(tt.line)
		if simple != (tt.want != nil) || simple && !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, %v; want %q", tt.line, got, simple, tt.want)
		}
	}
}

// FuzzSplit checks that what is split means the same again when it is quoted.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{`a 'b c' "d\"e" f\ g`, "a=b c", "x | y", `"`, "\\\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, simple := split(line)
		if !simple {
			return
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		again, simple := split(strings.Join(quoted, " "))
		if !simple || !slices.Equal(again, words) {
			t.Errorf("%q is %q, and then %q", line, words, again)
		}
	})
}

// system runs programs that are functions.
type system struct {
	t        *testing.T
	k        *portstest.Kernel
	programs map[string]func(p *program) hurd.WaitStatus

	mu      sync.Mutex
	started []hurd.Spawn
	running map[int32]*program
}

type program struct {
	sys     *system
	spawn   hurd.Spawn
	ctx     context.Context
	signals chan int
	status  chan hurd.WaitStatus
}

func newSystem(t *testing.T) (*system, *Runner) {
	s := &system{t: t, k: portstest.New(t, wire.Layout32), running: map[int32]*program{}}
	t.Cleanup(func() {
		if left := s.k.Ports(); len(left) != 0 {
			t.Errorf("ports left: %v", left)
		}
	})
	return s, &Runner{
		Processes: s, Host: &ioport.Host{Export: s.k}, Env: []string{"A=1"},
		Account: func(name string) (*Account, error) {
			switch name {
			case "root":
				return &Account{Name: "root", Home: "/root"}, nil
			case "user":
				return &Account{Name: "user", UID: 1000, GID: 100, Groups: []uint32{7}, Home: "/home/user"}, nil
			}
			return nil, fmt.Errorf("no user %s", name)
		},
	}
}

func (s *system) Start(_ context.Context, spawn hurd.Spawn) (int32, error) {
	run := s.programs[spawn.Path]
	if run == nil {
		return 0, fmt.Errorf("start %s: %w", spawn.Path, proto.ENOENT)
	}
	for _, p := range spawn.FDs {
		s.k.AddRight(p)
	}
	p := &program{sys: s, spawn: spawn, ctx: s.k.Context(context.Background()), signals: make(chan int, 10), status: make(chan hurd.WaitStatus, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, spawn)
	pid := int32(100 + len(s.started))
	s.running[pid] = p
	go func() {
		status := run(p)
		s.k.Release(spawn.FDs...)
		p.status <- status
	}()
	return pid, nil
}

func (s *system) find(pid int32) *program {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[pid]
}

func (s *system) Wait(_ context.Context, pid int32) (hurd.WaitStatus, error) {
	return <-s.find(pid).status, nil
}

func (s *system) Kill(_ context.Context, pgrp int32, sig int) error {
	s.find(pgrp).signals <- sig
	return nil
}

func (p *program) read() string {
	var all []byte
	for {
		b, err := proto.IORead(p.ctx, p.spawn.FDs[0], -1, 1000)
		if err != nil {
			p.sys.t.Error(err)
		}
		if len(b) == 0 {
			return string(all)
		}
		all = append(all, b...)
	}
}

func (p *program) write(fd int, s string) error {
	_, err := proto.IOWrite(p.ctx, p.spawn.FDs[fd], []byte(s), -1)
	return err
}

func (s *system) session(command string) (*sshd.Session, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	return &sshd.Session{User: "root", Command: command, Stdin: strings.NewReader("input"), Stdout: &out, Stderr: &errs}, &out, &errs
}

func TestRun(t *testing.T) {
	s, r := newSystem(t)
	s.programs = map[string]func(*program) hurd.WaitStatus{
		"/bin/cat": func(p *program) hurd.WaitStatus {
			p.write(1, p.read())
			p.write(2, "done")
			return 3 << 8
		},
		"/bin/sh":  func(p *program) hurd.WaitStatus { p.write(1, fmt.Sprintf("%q", p.spawn.Args)); return 0 },
		"/bin/die": func(*program) hurd.WaitStatus { return proto.SIGSEGV },
	}
	for _, tt := range []struct {
		command, out, errs string
		exit               sshd.Exit
	}{
		{"cat x", "input", "done", sshd.Exit{Status: 3}},
		{"/bin/cat", "input", "done", sshd.Exit{Status: 3}},
		{"cat | cat", `["sh" "-c" "cat | cat"]`, "", sshd.Exit{}},
		{"none", `["sh" "-c" "none"]`, "", sshd.Exit{}},
		{"", `["sh"]`, "", sshd.Exit{}},
		{"die", "", "", sshd.Exit{Signal: "SEGV", Message: "ended by signal 11"}},
	} {
		sess, out, errs := s.session(tt.command)
		if exit := r.Run(t.Context(), sess); exit != tt.exit || out.String() != tt.out || errs.String() != tt.errs {
			t.Errorf("%q: %+v, %q, %q", tt.command, exit, out, errs)
		}
	}
	last := s.started[len(s.started)-1]
	if !last.Session || last.User != nil || last.Dir != "/root" || last.Umask != 0o22 || !slices.Contains(last.Env, "HOME=/root") || !slices.Contains(last.Env, "A=1") {
		t.Errorf("%+v", last)
	}
	sess, _, _ := s.session("die")
	sess.User, sess.Env = "user", []string{"HOME=/elsewhere"}
	r.Run(t.Context(), sess)
	last = s.started[len(s.started)-1]
	if u := last.User; u == nil || u.UID != 1000 || u.GID != 100 || !slices.Equal(u.Groups, []uint32{7}) || last.Env[len(last.Env)-1] != "HOME=/elsewhere" {
		t.Errorf("%+v", last)
	}
	sess.User = "nobody"
	if exit := r.Run(t.Context(), sess); exit.Status != 1 {
		t.Errorf("%+v", exit)
	}
	delete(s.programs, "/bin/sh")
	sess, _, errs := s.session("none")
	if exit := r.Run(t.Context(), sess); exit.Status != 127 || !strings.Contains(errs.String(), "/bin/sh") {
		t.Errorf("%+v, %q", exit, errs)
	}
}

// TestSignals sends one as the client does, and then goes away.
func TestSignals(t *testing.T) {
	s, r := newSystem(t)
	s.programs = map[string]func(*program) hurd.WaitStatus{
		"/bin/wait": func(p *program) hurd.WaitStatus { // until SIGKILL
			for sig := range p.signals {
				if err := p.write(1, fmt.Sprint(sig, " ")); err != nil || sig == proto.SIGKILL {
					return hurd.WaitStatus(sig)
				}
			}
			return 0
		},
	}
	ctx, leave := context.WithCancel(t.Context())
	sess, _, _ := s.session("wait")
	signals := make(chan string, 1)
	sess.Signals = signals
	out, in := io.Pipe()
	sess.Stdout = in
	done := make(chan sshd.Exit)
	go func() { done <- r.Run(ctx, sess) }()
	signals <- "NONSENSE"
	signals <- "USR1"
	b := make([]byte, 3)
	if _, err := io.ReadFull(out, b); err != nil || string(b) != "30 " {
		t.Errorf("%q, %v", b, err)
	}
	out.CloseWithError(errors.New("gone"))
	leave()
	if exit := <-done; exit.Signal != "HUP" {
		t.Errorf("%+v", exit)
	}
}

// TestTerminal runs a program at a terminal.
func TestTerminal(t *testing.T) { synctest.Test(t, testTerminal) }

func testTerminal(t *testing.T) {
	s, r := newSystem(t)
	defer synctest.Wait() // until the terminal's signals have been sent
	type signal struct{ group, number int32 }
	signals := make(chan signal, 10)
	r.Post = func(group, number int32, _ mach.Port) { signals <- signal{group, number} }
	s.programs = map[string]func(*program) hurd.WaitStatus{
		"/bin/ask": func(p *program) hurd.WaitStatus {
			id, err := proto.TermGetctty(p.ctx, p.spawn.FDs[0])
			if err != nil || id != p.spawn.CTTY {
				t.Errorf("the terminal is %v (%v), the controlling one %v", id, err, p.spawn.CTTY)
			}
			s.k.Release(id)
			p.write(1, "name?\n")
			b, err := proto.IORead(p.ctx, p.spawn.FDs[0], -1, 100)
			if err != nil {
				t.Error(err)
			}
			p.write(2, "hello "+string(b))
			b, err = proto.IORead(p.ctx, p.spawn.FDs[0], -1, 100)
			if len(b) > 0 || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			size, err := proto.TIoctlTiocgwinsz(p.ctx, p.spawn.FDs[2])
			p.write(1, fmt.Sprint(size, err))
			return 0
		},
	}
	sess, out, _ := s.session("ask")
	in, keys := io.Pipe()
	sess.Stdin = in
	sizes := make(chan sshd.Size)
	sess.Terminal = &sshd.Terminal{Type: "xterm", Size: sshd.Size{Columns: 80, Rows: 24}, Sizes: sizes}
	go func() {
		synctest.Wait() // it reads
		keys.Write([]byte{3})
		keys.Write([]byte("you\r"))
		sizes <- sshd.Size{Columns: 100, Rows: 1 << 20}
		synctest.Wait() // the size is known
		keys.Write([]byte{4})
	}()
	if exit := r.Run(t.Context(), sess); exit != (sshd.Exit{}) {
		t.Errorf("%+v", exit)
	}
	keys.Close()
	if got, want := out.String(), "name?\r\n^Cyou\r\nhello you\r\n[65535 100 0 0] <nil>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, want := range []int32{proto.SIGINT, proto.SIGWINCH, proto.SIGHUP} {
		if got := <-signals; got.number != want {
			t.Errorf("signal %v, want %d", got, want)
		}
	}
	if last := s.started[0]; !slices.Contains(last.Env, "TERM=xterm") {
		t.Errorf("%q", last.Env)
	}
}
