// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import "sync"

// Pipes are pairs of local sockets, which the server at /servers/socket/1
// makes. Without that server there are pipes inside of this process: they let
// a program talk to itself, as package testing does for examples, but cannot
// be given to another process.

func Pipe(fds []int) error { return Pipe2(fds, 0) }

func Pipe2(fds []int, flags int) error {
	if len(fds) != 2 {
		return EINVAL
	}
	// As protocol, what the sockets shall look like; older servers do not
	// know of that.
	a, b, err := socketPorts(SOCK_STREAM, S_IFIFO)
	if err == EPROTONOSUPPORT || err == EINVAL {
		a, b, err = socketPorts(SOCK_STREAM, 0)
	}
	if err != nil {
		return localPipe(fds, flags)
	}
	for port, direction := range map[uint32]uint32{a: SHUT_WR, b: SHUT_RD} {
		rpc(port, _socket_shutdown, func(m *message) { m.putInt32(direction) }, nil)
	}
	end := func(port, modes uint32) object {
		o := newPortObject(port)
		o.kind.Store(S_IFIFO)
		o.modes.Store(modes)
		return o
	}
	return installPair(fds, end(a, O_RDONLY), end(b, O_WRONLY), flags)
}

// socketPorts makes two local sockets that are connected with each other.
func socketPorts(typ, proto int) (a, b uint32, err error) {
	server, err := socketServer(AF_LOCAL)
	if err != nil {
		return 0, 0, err
	}
	defer portDeallocate(server)
	create := func() (uint32, error) {
		return rpcPort(server, _socket_create, func(m *message) {
			m.putInt32(uint32(typ))
			m.putInt32(uint32(proto))
		})
	}
	if a, err = create(); err != nil {
		return 0, 0, err
	}
	if b, err = create(); err == nil {
		err = rpc(a, _socket_connect2, func(m *message) { m.putPort(typeCopySend, b) }, nil)
		if err == nil {
			return a, b, nil
		}
		portDeallocate(b)
	}
	portDeallocate(a)
	return 0, 0, err
}

// installPair makes two descriptors, with flags as for open.
func installPair(fds []int, a, b object, flags int) error {
	descriptors.once.Do(startDescriptors)
	for i, o := range []object{a, b} {
		d := newDescriptor(o)
		d.nonblock.Store(flags&O_NONBLOCK != 0)
		d.closeExec.Store(flags&O_CLOEXEC != 0)
		fd, err := d.install(0)
		if err != nil {
			d.release()
			if i == 0 {
				newDescriptor(b).release()
			} else {
				Close(fds[0])
			}
			return err
		}
		fds[i] = fd
	}
	return nil
}

// localPipe is Pipe2 inside of this process.
func localPipe(fds []int, flags int) error {
	p := &pipe{readers: true, writers: true}
	p.changed.L = &p.mu
	return installPair(fds, pipeReader{p}, pipeWriter{p}, flags)
}

const pipeSize = 64 << 10

type pipe struct {
	mu      sync.Mutex
	changed sync.Cond
	data    []byte
	readers bool // the end is open
	writers bool
}

type (
	pipeReader struct{ *pipe }
	pipeWriter struct{ *pipe }
)

func (r pipeReader) read(p []byte, stop *stopFlag) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.data) == 0 && r.writers && len(p) > 0 {
		if stop.isSet() {
			return 0, EAGAIN
		}
		r.changed.Wait()
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	r.changed.Broadcast()
	return n, nil
}

func (w pipeWriter) write(p []byte, stop *stopFlag) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.readers && len(w.data) == pipeSize && len(p) > 0 {
		if stop.isSet() {
			return 0, EAGAIN
		}
		w.changed.Wait()
	}
	if !w.readers {
		return 0, EPIPE
	}
	n := min(len(p), pipeSize-len(w.data))
	w.data = append(w.data, p[:n]...)
	w.changed.Broadcast()
	return n, nil
}

func (r pipeReader) write([]byte, *stopFlag) (int, error) { return 0, EBADF }
func (w pipeWriter) read([]byte, *stopFlag) (int, error)  { return 0, EBADF }

func (r pipeReader) close() { r.shut(&r.readers) }
func (w pipeWriter) close() { w.shut(&w.writers) }

func (p *pipe) shut(end *bool) {
	p.mu.Lock()
	*end = false
	p.changed.Broadcast()
	p.mu.Unlock()
}

func (p *pipe) wake(int) {
	p.mu.Lock() // or a waiter might have looked at its flag, and not wait yet
	p.changed.Broadcast()
	p.mu.Unlock()
}

func (r pipeReader) ready(int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.data) > 0 || !r.writers
}

func (w pipeWriter) ready(int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.data) < pipeSize || !w.readers
}

func (p *pipe) pollable() bool { return true }
func (p *pipe) waits() bool    { return true }

func (p *pipe) stat(st *Stat_t) error {
	*st = Stat_t{Mode: S_IFIFO | 0600, Nlink: 1, Blksize: 4096}
	return nil
}
