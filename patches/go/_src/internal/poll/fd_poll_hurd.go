// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package poll

import (
	"errors"
	"sync"
	"syscall"
	"time"
	_ "unsafe" // for go:linkname
)

// On the Hurd a read is a call of a server, which answers when there is
// something to read. There is no readiness to wait for before: package syscall
// makes the call and parks the goroutine. What is left to do here is to stop
// calls, when a deadline passes or the descriptor is closed; they then return
// EAGAIN, and the FD comes to waitRead or waitWrite to learn why.

// Provided by package syscall.
func sysPollable(fd int) syscall.Errno    // 0 if calls on fd can be stopped
func sysDeadlines(fd int) bool            // that is of use: fd is no file
func sysStop(fd int, mode int, stop bool) // makes calls not wait
func sysWaitConnect(fd int) syscall.Errno // ends a connect; EAGAIN if stopped
func sysWriting(fd int) bool              // a write is under way

//go:linkname runtimeNano runtime.nanotime
func runtimeNano() int64

type pollDesc struct {
	fd *FD // nil if calls are never stopped

	mu       sync.Mutex
	closing  bool
	deadline [2]deadline
}

// A deadline is for one mode of a pollDesc.
type deadline struct {
	timer  *time.Timer
	passed bool
}

var modes = [2]int{'r', 'w'}

func (pd *pollDesc) init(fd *FD) error {
	if e := sysPollable(fd.Sysfd); e != 0 {
		return e
	}
	pd.fd = fd
	return nil
}

func (pd *pollDesc) close() {
	pd.mu.Lock()
	defer pd.mu.Unlock()
	pd.closing = true // for timers on their way
	for i := range pd.deadline {
		pd.deadline[i].set(nil)
	}
}

// set replaces the timer.
func (d *deadline) set(t *time.Timer) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer = t
}

// grace is how long a write may take to end by itself after Close. Its data may
// have been read, and Close be the consequence, before its answer is here.
const grace = 50 * time.Millisecond

// evict makes all calls, present and to come, fail.
func (pd *pollDesc) evict() {
	if pd.fd == nil {
		return
	}
	pd.mu.Lock()
	defer pd.mu.Unlock()
	pd.closing = true
	sysStop(pd.fd.Sysfd, 'r', true)
	d := &pd.deadline[index('w')]
	d.set(nil)
	if !sysWriting(pd.fd.Sysfd) {
		sysStop(pd.fd.Sysfd, 'w', true)
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(grace, func() {
		pd.mu.Lock()
		defer pd.mu.Unlock()
		if d.timer == timer { // fd is still open
			sysStop(pd.fd.Sysfd, 'w', true)
		}
	})
	d.set(timer)
}

func (pd *pollDesc) err(mode int, isFile bool) error {
	if pd.fd == nil {
		return nil
	}
	pd.mu.Lock()
	defer pd.mu.Unlock()
	switch {
	case pd.closing:
		return errClosing(isFile)
	case pd.deadline[index(mode)].passed:
		return ErrDeadlineExceeded
	}
	return nil
}

func index(mode int) int {
	if mode == 'w' {
		return 1
	}
	return 0
}

func (pd *pollDesc) prepareRead(isFile bool) error  { return pd.err('r', isFile) }
func (pd *pollDesc) prepareWrite(isFile bool) error { return pd.err('w', isFile) }

var errNotPollable = errors.New("waiting for unsupported file type")

func (pd *pollDesc) waitRead(isFile bool) error {
	if pd.fd == nil {
		return errNotPollable
	}
	return pd.err('r', isFile)
}

func (pd *pollDesc) waitWrite(isFile bool) error {
	if pd.fd == nil {
		return errNotPollable
	}
	for {
		if err := pd.err('w', isFile); err != nil {
			return err
		}
		if sysWaitConnect(pd.fd.Sysfd) != syscall.EAGAIN {
			return nil
		}
	}
}

// waitCanceled is for calls that cannot be stopped: there are none.
func (pd *pollDesc) waitCanceled(mode int) {}

func (pd *pollDesc) pollable() bool { return pd.fd != nil }

// SetDeadline sets the read and write deadlines associated with fd.
func (fd *FD) SetDeadline(t time.Time) error { return fd.setDeadline(t, modes[:]) }

// SetReadDeadline sets the read deadline associated with fd.
func (fd *FD) SetReadDeadline(t time.Time) error { return fd.setDeadline(t, modes[:1]) }

// SetWriteDeadline sets the write deadline associated with fd.
func (fd *FD) SetWriteDeadline(t time.Time) error { return fd.setDeadline(t, modes[1:]) }

func (fd *FD) setDeadline(t time.Time, modes []int) error {
	if err := fd.incref(); err != nil {
		return err
	}
	defer fd.decref()
	pd := &fd.pd
	if pd.fd == nil || !sysDeadlines(fd.Sysfd) {
		return ErrNoDeadline
	}
	pd.mu.Lock()
	defer pd.mu.Unlock()
	if pd.closing {
		return nil
	}
	left := time.Until(t)
	for _, mode := range modes {
		d := &pd.deadline[index(mode)]
		d.set(nil)
		d.passed = !t.IsZero() && left <= 0
		sysStop(fd.Sysfd, mode, d.passed)
		if !t.IsZero() && left > 0 {
			var timer *time.Timer
			timer = time.AfterFunc(left, func() { pd.pass(mode, timer) })
			d.set(timer)
		}
	}
	return nil
}

// pass is called when the time of timer has come, unless it is no longer the
// timer of its deadline.
func (pd *pollDesc) pass(mode int, timer *time.Timer) {
	pd.mu.Lock()
	defer pd.mu.Unlock()
	d := &pd.deadline[index(mode)]
	if pd.closing || d.timer != timer {
		return
	}
	d.passed = true
	sysStop(pd.fd.Sysfd, mode, true)
}

// IsPollDescriptor reports whether fd is the descriptor being used by the
// poller, which has none here. It is only used for testing.
func IsPollDescriptor(fd uintptr) bool { return false }
