// Package growing is a file that one process appends to while others of its
// goroutines read it, each at its own pace, and wait for more at the end.
//
// The consoles and the journal of a lab are such files: what is on the disk
// is all that there is, so nothing is lost with the process, and a slow
// reader costs no memory. It imports nothing of the house.
package growing

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// A File grows. Its methods may be called from several goroutines.
type File struct {
	path string
	max  int64

	mu     sync.Mutex
	f      *os.File // nil after Close
	size   int64
	full   bool
	err    error         // the first failed write
	change chan struct{} // closed at the next change
}

// Open opens or creates the file to append to it. When it is larger than max
// bytes, the rest is dropped: a guest that never stops talking must not fill
// the disk.
func Open(path string, max int64) (*File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{path: path, max: max, f: f, size: st.Size(), change: make(chan struct{})}, nil
}

// Write appends p. When the file is full it succeeds without doing anything:
// the source must go on running. The same is true after a write has failed,
// for instance because the disk is full; see Err.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return 0, os.ErrClosed
	}
	if f.full || f.err != nil {
		return len(p), nil
	}
	q := p
	if f.size+int64(len(q)) > f.max {
		f.full = true
		q = append(slices.Clip(q[:max(0, f.max-f.size)]), fmt.Sprintf("\n[hurdlab: this file is full (%d bytes); the rest is dropped]\n", f.max)...)
	}
	n, err := f.f.Write(q)
	f.size += int64(n)
	f.err = err
	f.wake()
	return len(p), nil
}

// Err returns the first error of a write; what came after it is lost.
func (f *File) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// wake lets waiting readers look again. The caller holds mu.
func (f *File) wake() {
	close(f.change)
	f.change = make(chan struct{})
}

// Size returns the present length in bytes.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Close ends the file: its readers get to the end.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	f.wake()
	return err
}

// Follow reads the file from the offset from on. At the end its Read waits
// for more until the file is closed (io.EOF) or ctx ends (its error).
func (f *File) Follow(ctx context.Context, from int64) (io.ReadCloser, error) {
	r, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	if _, err := r.Seek(from, io.SeekStart); err != nil {
		r.Close()
		return nil, err
	}
	return &follower{ctx: ctx, file: f, r: r}, nil
}

type follower struct {
	ctx  context.Context
	file *File
	r    *os.File
}

func (r *follower) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		// The order matters: what is written after change was taken closes it.
		r.file.mu.Lock()
		change, closed := r.file.change, r.file.f == nil
		r.file.mu.Unlock()
		n, err := r.r.Read(p)
		if n > 0 || (err != nil && err != io.EOF) {
			return n, err
		}
		if closed {
			return 0, io.EOF
		}
		select {
		case <-change:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
	}
}

func (r *follower) Close() error { return r.r.Close() }
