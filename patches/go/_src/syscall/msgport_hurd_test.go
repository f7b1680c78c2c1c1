// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall_test

import (
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

const (
	msgSigPost        = 23000
	msgProcNewids     = 23001
	msgGetInitPort    = 23004
	msgSetInitPort    = 23005
	msgGetInitInt     = 23008
	msgSetInitInt     = 23009
	msgGetDtable      = 23012
	msgGetFd          = 23014
	msgSetFd          = 23015
	msgGetEnvironment = 23016
	msgSetEnvironment = 23017
	msgGetEnvVariable = 23018
	msgSetEnvVariable = 23019
	msgReportWait     = 23023
	msgDescribePorts  = 23024

	badArguments = 1<<32 - 304
)

// TestHurdMessagePort asks this process, as others do, for what it has.
func TestHurdMessagePort(t *testing.T) {
	if syscall.HurdStart() == nil {
		t.Skip("not a process: nobody asks")
	}
	t.Setenv("HURD_TEST", "value")
	call := func(id uint32, build func(syscall.TestAnswer), take func(*syscall.TestRequest)) {
		t.Helper()
		if err := syscall.CallMessagePort(id, build, take); err != nil {
			t.Errorf("call %d: %v", id, err)
		}
	}
	call(msgGetEnvironment, func(syscall.TestAnswer) {}, func(r *syscall.TestRequest) {
		b, _ := r.Bytes()
		if !strings.Contains(string(b), "HURD_TEST=value\x00") {
			t.Errorf("environment %q", b)
		}
	})
	call(msgGetEnvVariable, func(a syscall.TestAnswer) { a.String("HURD_TEST") }, func(r *syscall.TestRequest) {
		if b, _ := r.Bytes(); string(b) != "value\x00" {
			t.Errorf("variable %q", b)
		}
	})
	call(msgSetEnvVariable, func(a syscall.TestAnswer) {
		a.Task()
		a.String("HURD_TEST")
		a.String("other")
		a.Bool(true)
	}, nil)
	if got := os.Getenv("HURD_TEST"); got != "other" {
		t.Errorf("variable is %q after it was set", got)
	}
	old := syscall.Umask(0o27)
	defer syscall.Umask(old)
	call(msgGetInitInt, func(a syscall.TestAnswer) { a.Task(); a.Int32(0) }, func(r *syscall.TestRequest) {
		if n := r.Int32(); n != 0o27 {
			t.Errorf("umask %o", n)
		}
	})
	call(msgSetInitInt, func(a syscall.TestAnswer) { a.Task(); a.Int32(0); a.Int32(0o31) }, nil)
	if got := syscall.Umask(0); got != 0o31 {
		t.Errorf("umask is %o after it was set", got)
	}
	call(msgGetInitPort, func(a syscall.TestAnswer) { a.Task(); a.Int32(1) }, func(r *syscall.TestRequest) { r.RightName() })
	call(msgGetDtable, func(a syscall.TestAnswer) { a.Task() }, func(r *syscall.TestRequest) {
		if n := len(r.Rights()); n < 3 {
			t.Errorf("%d descriptors", n)
		}
	})
	call(msgReportWait, func(a syscall.TestAnswer) { a.Task() }, func(r *syscall.TestRequest) { _ = r.String(); r.Int32() })

	// A descriptor from outside.
	s := syscall.NewTestServer(func(r *syscall.TestRequest) {
		r.Answer(0, func(a syscall.TestAnswer) { a.Bytes([]byte("from outside")) })
	})
	defer s.Close()
	const fd = 200
	call(msgSetFd, func(a syscall.TestAnswer) { a.Task(); a.Int32(fd); a.Right(s) }, nil)
	buf := make([]byte, 100)
	if n, err := syscall.Read(fd, buf); err != nil || string(buf[:n]) != "from outside" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	call(msgGetFd, func(a syscall.TestAnswer) { a.Task(); a.Int32(fd) }, func(r *syscall.TestRequest) {
		if r.RightName() != s.Port {
			t.Error("another port than was set")
		}
	})
	if err := syscall.Close(fd); err != nil {
		t.Error(err)
	}
}

// TestHurdMessagePortRefuses sends what is wrong: it is refused, and nothing
// of it is left.
func TestHurdMessagePortRefuses(t *testing.T) {
	if syscall.HurdStart() == nil {
		t.Skip("not a process: nobody asks")
	}
	s := syscall.NewTestServer(func(*syscall.TestRequest) {})
	defer s.Close()
	refs, ports := s.SendRefs(), syscall.PortNames()-syscall.IdleCalls()
	for name, c := range map[string]struct {
		id    uint32
		build func(syscall.TestAnswer)
		want  syscall.Errno
	}{
		"unknown":           {23999, func(a syscall.TestAnswer) { a.Right(s) }, syscall.EOPNOTSUPP},
		"unknown, with all": {1, func(a syscall.TestAnswer) { a.FreshRights(s, 40); a.MemoryOutOfLine(100000) }, syscall.EOPNOTSUPP},
		"empty":             {msgGetInitPort, func(syscall.TestAnswer) {}, badArguments},
		"cut short":         {msgGetInitPort, func(a syscall.TestAnswer) { a.Task() }, badArguments},
		"too much":          {msgGetInitPort, func(a syscall.TestAnswer) { a.Task(); a.Int32(1); a.Right(s) }, badArguments},
		"not the task":      {msgGetInitPort, func(a syscall.TestAnswer) { a.Right(s); a.Int32(1) }, syscall.EPERM},
		"a number":          {msgGetInitInt, func(a syscall.TestAnswer) { a.Int32(int32(syscall.MachTaskSelf())); a.Int32(0) }, badArguments},
		"no such port":      {msgGetInitPort, func(a syscall.TestAnswer) { a.Task(); a.Int32(6) }, syscall.EINVAL},
		"fd of others":      {msgSetFd, func(a syscall.TestAnswer) { a.Right(s); a.Int32(0); a.Right(s) }, syscall.EPERM},
		"negative fd":       {msgSetFd, func(a syscall.TestAnswer) { a.Task(); a.Int32(-1); a.Right(s) }, syscall.EBADF},
		"environment":       {msgSetEnvironment, func(a syscall.TestAnswer) { a.Right(s); a.MemoryOutOfLine(5000) }, syscall.EPERM},
		"ids":               {msgProcNewids, func(a syscall.TestAnswer) { a.Right(s); a.Int32(1); a.Int32(1); a.Int32(1) }, syscall.EPERM},
		"signal":            {msgSigPost, func(a syscall.TestAnswer) { a.Int32(15); a.Int32(0); a.Right(s) }, syscall.EPERM},
		"signal, bad":       {msgSigPost, func(a syscall.TestAnswer) { a.Int32(15); a.Right(s); a.Int32(0) }, badArguments},
		"no such signal":    {msgSigPost, func(a syscall.TestAnswer) { a.Int32(33); a.Int32(0); a.Task() }, syscall.EINVAL},
		"exception":         {2400, func(a syscall.TestAnswer) { a.Right(s); a.Right(s); a.Int32(1); a.Int32(1); a.Int32(1) }, badArguments},
	} {
		if err := syscall.CallMessagePort(c.id, c.build, nil); err != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if n := s.SendRefs(); n != refs {
		t.Errorf("%d references to a port that was sent, want %d", n, refs)
	}
	if n := syscall.PortNames() - syscall.IdleCalls(); n > ports+2 {
		t.Errorf("%d ports, %d before", n, ports)
	}
}

// TestHurdSignalSelf sends signals to this process.
func TestHurdSignalSelf(t *testing.T) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	defer signal.Stop(c)
	for range 100 {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		if s := <-c; s != syscall.SIGUSR1 {
			t.Fatalf("got %v", s)
		}
	}
	if err := syscall.Kill(syscall.Getpid(), 0); err != nil {
		t.Errorf("signal 0: %v", err)
	}
	if err := syscall.Kill(syscall.Getpid(), 99); err != syscall.EINVAL {
		t.Errorf("signal 99: %v", err)
	}
	// What does nothing unless it is wanted.
	for _, sig := range []syscall.Signal{syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGPIPE, syscall.SIGUSR2} {
		if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}
