// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// File descriptors are an idea of this package: the Hurd knows only ports. A
// descriptor names an open object, which other descriptors may name too, as
// after Dup.

// An object is what a descriptor stands for.
type object interface {
	// read and write wait as long as they have to, but not while stop is
	// set: then the error is EAGAIN.
	read(p []byte, stop *stopFlag) (int, error)
	write(p []byte, stop *stopFlag) (int, error)
	stat(*Stat_t) error
	wake(mode int)    // makes a read or write look at its stopFlag
	ready(i int) bool // a read, if i is 0, or write would not wait
	pollable() bool   // calls can be stopped,
	waits() bool      // and it might be worth while
	close()
}

// A stopFlag says whether calls should not wait; nil, that they may.
type stopFlag struct{ flag atomic.Bool }

func (s *stopFlag) isSet() bool { return s != nil && s.flag.Load() }

// The two modes of waiting, as package internal/poll names them.
const (
	pollRead  = 'r'
	pollWrite = 'w'
)

// modeIndex numbers the modes.
func modeIndex(mode int) int {
	if mode == pollWrite {
		return 1
	}
	return 0
}

// An openObject counts the descriptors of an object.
type openObject struct {
	object
	refs atomic.Int32
}

// A descriptor is one entry of the table, and lives until it is closed and
// all calls that use it are over.
type descriptor struct {
	*openObject
	refs      atomic.Int32
	stopRead  stopFlag
	stopWrite stopFlag
	nonblock  atomic.Bool
	polled    atomic.Bool // package internal/poll waits for it
	closeExec atomic.Bool
}

var descriptors struct {
	sync.RWMutex
	once  sync.Once
	table []*descriptor
}

// maxDescriptors is a limit for programs that leak.
const maxDescriptors = 1 << 16

func startDescriptors() {
	start := HurdStart()
	if start == nil {
		// A boot module: output goes to the kernel's console and
		// there is no input.
		for fd := range 3 {
			installDescriptor(consoleObject{fd}, 0)
		}
		return
	}
	for fd, port := range start.Dtable {
		if port != _MACH_PORT_NULL && port != _MACH_PORT_DEAD {
			putDescriptor(fd, newDescriptor(newPortObject(port)))
		}
	}
}

// putDescriptor makes d, or nothing if that is nil, descriptor fd. It returns
// what was it. The caller has the lock.
func putDescriptor(fd int, d *descriptor) (old *descriptor) {
	if fd >= len(descriptors.table) {
		descriptors.table = append(descriptors.table, make([]*descriptor, fd+1-len(descriptors.table))...)
	}
	old, descriptors.table[fd] = descriptors.table[fd], d
	port := uint32(_MACH_PORT_NULL)
	if d != nil {
		if o, ok := d.object.(*portObject); ok {
			port = o.name()
		}
	}
	runtime_hurdSetDescriptor(fd, port)
	return old
}

// Provided by package runtime, which writes some things by itself: what it
// has to say of crashes, and dumps of the heap.
func runtime_hurdSetDescriptor(fd int, port uint32)

func newDescriptor(o object) *descriptor {
	d := &descriptor{openObject: &openObject{object: o}}
	d.openObject.refs.Store(1)
	d.refs.Store(1)
	return d
}

// installDescriptor gives o the lowest number, from least on, that is free.
// If there is none o is closed.
func installDescriptor(o object, least int) (int, error) {
	d := newDescriptor(o)
	fd, err := d.install(least)
	if err != nil {
		d.release()
	}
	return fd, err
}

func (d *descriptor) install(least int) (int, error) {
	descriptors.Lock()
	defer descriptors.Unlock()
	fd := least
	for fd < len(descriptors.table) && descriptors.table[fd] != nil {
		fd++
	}
	if fd >= maxDescriptors {
		return -1, EMFILE
	}
	putDescriptor(fd, d)
	return fd, nil
}

// useDescriptor returns descriptor fd, which the caller releases.
func useDescriptor(fd int) (*descriptor, error) {
	descriptors.once.Do(startDescriptors)
	descriptors.RLock()
	defer descriptors.RUnlock()
	if fd < 0 || fd >= len(descriptors.table) || descriptors.table[fd] == nil {
		return nil, EBADF
	}
	d := descriptors.table[fd]
	d.refs.Add(1)
	return d, nil
}

// release ends one use of d.
func (d *descriptor) release() {
	if d.refs.Add(-1) == 0 && d.openObject.refs.Add(-1) == 0 {
		d.close()
	}
}

func read(fd int, p []byte) (n int, err error) {
	d, err := useDescriptor(fd)
	if err != nil {
		return 0, err
	}
	defer d.release()
	if d.wouldBlock(0) {
		return 0, EAGAIN
	}
	return d.read(p, &d.stopRead)
}

// wouldBlock reports whether a call is not to be made because it would wait.
// Package internal/poll, for which no descriptor blocks, wants calls to wait.
func (d *descriptor) wouldBlock(i int) bool {
	return d.nonblock.Load() && !d.polled.Load() && !d.ready(i)
}

func write(fd int, p []byte) (n int, err error) {
	d, err := useDescriptor(fd)
	if err != nil {
		return 0, err
	}
	defer d.release()
	if d.wouldBlock(1) {
		return 0, EAGAIN
	}
	return d.write(p, &d.stopWrite)
}

func Close(fd int) error {
	descriptors.once.Do(startDescriptors)
	descriptors.Lock()
	if fd < 0 || fd >= len(descriptors.table) || descriptors.table[fd] == nil {
		descriptors.Unlock()
		return EBADF
	}
	d := putDescriptor(fd, nil)
	descriptors.Unlock()
	d.release()
	return nil
}

func Fstat(fd int, st *Stat_t) error {
	d, err := useDescriptor(fd)
	if err != nil {
		return err
	}
	defer d.release()
	return d.stat(st)
}

func Dup(fd int) (int, error) { return dupFrom(fd, 0, false) }

// dupFrom makes another descriptor, not below least, for the object of fd.
func dupFrom(fd, least int, closeExec bool) (int, error) {
	d, err := useDescriptor(fd)
	if err != nil {
		return -1, err
	}
	defer d.release()
	if least < 0 || least >= maxDescriptors {
		return -1, EINVAL
	}
	e := d.duplicate(closeExec)
	newfd, err := e.install(least)
	if err != nil {
		e.release()
	}
	return newfd, err
}

func (d *descriptor) duplicate(closeExec bool) *descriptor {
	e := &descriptor{openObject: d.openObject}
	e.openObject.refs.Add(1)
	e.refs.Store(1)
	e.nonblock.Store(d.nonblock.Load())
	e.closeExec.Store(closeExec)
	return e
}

func Dup2(fd, newfd int) error {
	d, err := useDescriptor(fd)
	if err != nil {
		return err
	}
	defer d.release()
	if newfd < 0 || newfd >= maxDescriptors {
		return EBADF
	}
	if fd == newfd {
		return nil
	}
	descriptors.Lock()
	old := putDescriptor(newfd, d.duplicate(false))
	descriptors.Unlock()
	if old != nil {
		old.release()
	}
	return nil
}

func fcntl(fd, cmd, arg int) (int, error) {
	d, err := useDescriptor(fd)
	if err != nil {
		return -1, err
	}
	defer d.release()
	switch cmd {
	case F_DUPFD, F_DUPFD_CLOEXEC:
		return dupFrom(fd, arg, cmd == F_DUPFD_CLOEXEC)
	case F_GETFD:
		if d.closeExec.Load() {
			return FD_CLOEXEC, nil
		}
		return 0, nil
	case F_SETFD:
		d.closeExec.Store(arg&FD_CLOEXEC != 0)
		return 0, nil
	case F_GETFL:
		flags := d.openModes()
		if d.nonblock.Load() {
			flags |= O_NONBLOCK
		}
		return flags, nil
	case F_GETFL_HERE:
		if d.nonblock.Load() {
			return O_NONBLOCK, nil
		}
		return 0, nil
	case F_SETFL:
		d.nonblock.Store(arg&O_NONBLOCK != 0)
		if (d.openModes()^arg)&O_APPEND != 0 {
			return 0, d.setAppend(arg&O_APPEND != 0)
		}
		return 0, nil
	}
	return -1, EINVAL
}

// openModes returns what d is open for, and whether it appends. (That it does
// not block is said of descriptors here, not to servers.)
func (d *descriptor) openModes() int {
	switch o := d.object.(type) {
	case *portObject:
		return o.openModes()
	case pipeReader:
		return O_RDONLY
	case pipeWriter:
		return O_WRONLY
	}
	return O_RDWR
}

func (d *descriptor) setAppend(on bool) error {
	o, ok := d.object.(*portObject)
	if !ok {
		return EINVAL
	}
	id, modes := uint32(_io_clear_openmodes), o.openModes()&^O_APPEND
	if on {
		id, modes = _io_set_openmodes, modes|O_APPEND
	}
	err := rpc(o.name(), id, func(m *message) { m.putInt32(O_APPEND) }, nil)
	if err == nil {
		o.modes.Store(uint32(modes))
	}
	return err
}

// internal/syscall/unix takes its fcntl from package runtime, which on the
// other systems has the one that makes a system call.
//
//go:linkname runtime_fcntl runtime.fcntl
func runtime_fcntl(fd, cmd, arg int32) (val, errno int32) {
	n, err := fcntl(int(fd), int(cmd), int(arg))
	if err != nil {
		return -1, int32(err.(Errno))
	}
	return int32(n), 0
}

// What follows is for package internal/poll, which has deadlines and closes
// descriptors that are in use. To wait is the business of this package, by a
// call of a server that takes as long as it takes, so that on the Hurd
// internal/poll does not wait until it might read but stops a read.

// pollable reports whether calls on fd can be stopped, and if not why.
//
//go:linkname pollable internal/poll.sysPollable
func pollable(fd int) Errno {
	d, err := useDescriptor(fd)
	if err != nil {
		return EBADF
	}
	defer d.release()
	if !d.pollable() {
		return EPERM
	}
	d.polled.Store(true)
	return 0
}

// deadlines reports whether it makes sense to stop calls on fd, which is not
// so for files.
//
//go:linkname deadlines internal/poll.sysDeadlines
func deadlines(fd int) bool {
	d, err := useDescriptor(fd)
	if err != nil {
		return true // somebody else will see that
	}
	defer d.release()
	return d.waits()
}

// stopIO makes the calls of one mode on fd, those under way and those to
// come, fail with EAGAIN where they would wait; if not stop they wait again.
//
//go:linkname stopIO internal/poll.sysStop
func stopIO(fd int, mode int, stop bool) {
	d, err := useDescriptor(fd)
	if err != nil {
		return
	}
	defer d.release()
	if mode == pollWrite {
		d.stopWrite.flag.Store(stop)
	} else {
		d.stopRead.flag.Store(stop)
	}
	if stop {
		d.wake(mode)
	}
}

// writing reports whether a write on fd is under way. What is written while
// somebody closes fd might be with its reader already.
//
//go:linkname writing internal/poll.sysWriting
func writing(fd int) bool {
	d, err := useDescriptor(fd)
	if err != nil {
		return false
	}
	defer d.release()
	o, ok := d.object.(*portObject)
	return ok && o.writing()
}

// waitIO waits until fd is connected, if it is about to be. There is nothing
// else to wait for here.
//
//go:linkname waitIO internal/poll.sysWaitConnect
func waitIO(fd int) Errno {
	d, err := useDescriptor(fd)
	if err != nil {
		return EBADF
	}
	defer d.release()
	if o, ok := d.object.(*portObject); ok && o.sock.Load() != nil {
		return o.waitConnect(&d.stopWrite)
	}
	return 0
}

// consoleObject is the console of the kernel, of a boot module.
type consoleObject struct{ fd int }

// Provided by package runtime, which writes its own reports there.
//
//go:noescape
func runtime_write(fd uintptr, p unsafe.Pointer, n int32) int32

func (o consoleObject) write(p []byte, _ *stopFlag) (int, error) {
	p = p[:min(len(p), ioMax)]
	n := runtime_write(uintptr(o.fd), unsafe.Pointer(unsafe.SliceData(p)), int32(len(p)))
	if n < 0 {
		return 0, EIO
	}
	return int(n), nil
}

func (o consoleObject) read([]byte, *stopFlag) (int, error) { return 0, nil }

func (o consoleObject) stat(st *Stat_t) error {
	*st = Stat_t{Mode: S_IFCHR | 0600, Nlink: 1, Blksize: 4096}
	return nil
}

func (o consoleObject) wake(int)       {}
func (o consoleObject) ready(int) bool { return true }
func (o consoleObject) pollable() bool { return false }
func (o consoleObject) waits() bool    { return false }
func (o consoleObject) close()         {}
