// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import "sync"

// A pipe inside of this process. It lets a program talk to itself, as package
// testing does for examples; it cannot be given to another process.

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

func Pipe(fds []int) error { return Pipe2(fds, 0) }

func Pipe2(fds []int, flags int) error {
	if len(fds) != 2 {
		return EINVAL
	}
	descriptors.once.Do(startDescriptors)
	p := &pipe{readers: true, writers: true}
	p.changed.L = &p.mu
	r, err := installDescriptor(pipeReader{p}, 0)
	if err != nil {
		return err
	}
	w, err := installDescriptor(pipeWriter{p}, 0)
	if err != nil {
		Close(r)
		return err
	}
	for _, fd := range []int{r, w} {
		fcntl(fd, F_SETFL, flags)
		if flags&O_CLOEXEC != 0 {
			fcntl(fd, F_SETFD, FD_CLOEXEC)
		}
	}
	fds[0], fds[1] = r, w
	return nil
}

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

func (p *pipe) pollable() bool { return true }

func (p *pipe) stat(st *Stat_t) error {
	*st = Stat_t{Mode: S_IFIFO | 0600, Nlink: 1, Blksize: 4096}
	return nil
}
