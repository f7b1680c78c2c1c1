package rootfs

import (
	"context"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
)

const (
	// pipeBuf is how many bytes are written in one piece.
	pipeBuf = 4096
	// fifoSize is how many bytes a fifo holds, and maxBuffered how many all
	// together: beyond, each holds pipeBuf.
	fifoSize    = 64 << 10
	maxBuffered = 4 << 20
)

// A fifoNode is a fifo.
type fifoNode struct {
	fileNode
	mu   sync.Mutex
	fifo *fifo
}

var _ translator.Opener = (*fifoNode)(nil)

// A fifo is what is in a fifoNode while it is open.
type fifo struct {
	tree *Tree

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, at every change
	data    []byte
	// readers and writers have it open; opened counts how often each has been
	// opened, for those who wait for the other and miss its short stay.
	readers, writers        int
	readOpened, writeOpened uint64
}

// Open opens a fifo. One who only reads waits for a writer, one who only
// writes for a reader.
func (n *fifoNode) Open(ctx context.Context, _ translator.User, flags int32) (translator.File, error) {
	how := flags & (proto.O_READ | proto.O_WRITE)
	n.mu.Lock()
	f := n.fifo
	if f == nil {
		f = &fifo{tree: n.tree, changed: make(chan struct{})}
		n.fifo = f
	}
	f.mu.Lock()
	n.mu.Unlock()
	defer f.mu.Unlock()
	nonblock := flags&proto.O_NONBLOCK != 0
	if how == proto.O_WRITE && nonblock && f.readers == 0 {
		return nil, proto.ENXIO
	}
	e := &fifoEnd{f, how}
	if how&proto.O_READ != 0 {
		f.readers++
		f.readOpened++
	}
	if how&proto.O_WRITE != 0 {
		f.writers++
		f.writeOpened++
	}
	f.wake()
	if nonblock {
		return e, nil
	}
	reads, writes := f.readOpened, f.writeOpened
	for {
		switch {
		case how == proto.O_READ && f.writers == 0 && f.writeOpened == writes,
			how == proto.O_WRITE && f.readers == 0 && f.readOpened == reads:
		default:
			return e, nil
		}
		if err := f.wait(ctx); err != nil {
			f.close(how)
			return nil, err
		}
	}
}

// wake tells all who wait that something has changed. f.mu is held.
func (f *fifo) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait waits for a change, without f.mu.
func (f *fifo) wait(ctx context.Context) error {
	c := f.changed
	f.mu.Unlock()
	defer f.mu.Lock()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *fifo) close(how int32) {
	if how&proto.O_READ != 0 {
		f.readers--
	}
	if how&proto.O_WRITE != 0 {
		f.writers--
	}
	if f.readers == 0 && f.writers == 0 {
		f.tree.buffered.Add(-int64(len(f.data)))
		f.data = nil
	}
	f.wake()
}

// room is how many bytes can be written.
func (f *fifo) room() int {
	size := fifoSize
	if f.tree.buffered.Load() > maxBuffered {
		size = pipeBuf
	}
	return max(size-len(f.data), 0)
}

// A fifoEnd is a fifo that is open.
type fifoEnd struct {
	f   *fifo
	how int32
}

var (
	_ translator.Stream   = (*fifoEnd)(nil)
	_ translator.Selector = (*fifoEnd)(nil)
	_ translator.Readable = (*fifoEnd)(nil)
)

func (e *fifoEnd) Close() {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	e.f.close(e.how)
}

// Read waits for data, or for the last writer to go: the end.
func (e *fifoEnd) Read(ctx context.Context, p []byte, nonblock bool) (int, error) {
	f := e.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.data) == 0 && len(p) > 0 {
		if f.writers == 0 {
			return 0, nil
		}
		if nonblock {
			return 0, proto.EAGAIN
		}
		if err := f.wait(ctx); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.data)
	if f.data = f.data[n:]; len(f.data) == 0 {
		f.data = nil // nor the memory before it
	}
	f.tree.buffered.Add(-int64(n))
	if n > 0 {
		f.wake()
	}
	return n, nil
}

// Write waits for room: for all of p if that is at most pipeBuf, or for some.
func (e *fifoEnd) Write(ctx context.Context, p []byte, nonblock bool) (int, error) {
	f := e.f
	f.mu.Lock()
	defer f.mu.Unlock()
	need := 1
	if len(p) <= pipeBuf {
		need = len(p)
	}
	for {
		if f.readers == 0 {
			return 0, proto.EPIPE
		}
		if len(p) == 0 {
			return 0, nil
		}
		if f.room() >= need {
			break
		}
		if nonblock {
			return 0, proto.EAGAIN
		}
		if err := f.wait(ctx); err != nil {
			return 0, err
		}
	}
	n := min(len(p), f.room())
	f.data = append(f.data, p[:n]...)
	f.tree.buffered.Add(int64(n))
	f.wake()
	return n, nil
}

// Select waits for what a read or write would not wait for.
func (e *fifoEnd) Select(ctx context.Context, want translator.Ready) (translator.Ready, error) {
	f := e.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		var is translator.Ready
		if len(f.data) > 0 || f.writers == 0 {
			is |= translator.ReadyRead
		}
		if f.room() >= pipeBuf || f.readers == 0 {
			is |= translator.ReadyWrite
		}
		if e.how&proto.O_READ == 0 {
			is &^= translator.ReadyRead
		}
		if e.how&proto.O_WRITE == 0 {
			is &^= translator.ReadyWrite
		}
		if got := is & want; got != 0 || ctx.Err() != nil {
			return got, nil
		}
		if err := f.wait(ctx); err != nil {
			return 0, err
		}
	}
}

// Readable returns how much is there to be read.
func (e *fifoEnd) Readable(context.Context) (int64, error) {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	return int64(len(e.f.data)), nil
}
