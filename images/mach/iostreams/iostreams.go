// Package iostreams is readers and writers as io objects: the standard streams
// of a program whose starter is at their other end, as the SSH server is,
// without a pipe between them.
//
// To programs they look like pipes: S_IFIFO, no position, the end of input is
// the end of what is read, and a write that nobody takes is EPIPE.
package iostreams

import (
	"context"
	"errors"
	"io"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/ioport"
	"hurdlab/mach"
)

// maxRead is the most that is read at once, in bytes.
const maxRead = 32 << 10

// Output makes a stream that is written to w, and returns a right to it, the
// caller's. A write is answered when w has taken the data, which holds up a
// program that is faster than its reader; when w fails, with EPIPE.
func Output(h *ioport.Host, user translator.User, w io.Writer) (mach.Port, error) {
	return h.Open(&output{w: w}, user)
}

// Input makes a stream of what comes from r. Nothing is read from r before a
// program asks.
func Input(h *ioport.Host, user translator.User, r io.Reader) (mach.Port, error) {
	return h.Open(&input{r: r, changed: make(chan struct{})}, user)
}

// stream is what both kinds of streams serve.
type stream struct {
	*ioport.Client
	*ioport.State
	readable bool
}

func (s *stream) IOGetOpenmodes(context.Context) (int32, error) {
	if s.readable {
		return s.Openmodes(proto.O_READ), nil
	}
	return s.Openmodes(proto.O_WRITE), nil
}

func (s *stream) IOStat(context.Context) (proto.Stat, error) {
	return proto.Stat{FSType: proto.FSTypeMisc, Ino: 1, Mode: proto.S_IFIFO | 0o600, Nlink: 1, Blksize: 4096}, nil
}

// output is a stream to write to.
type output struct {
	state ioport.State
	mu    sync.Mutex
	w     io.Writer
}

func (o *output) Serve(c *ioport.Client) []any {
	return []any{&writer{stream{Client: c, State: &o.state}, o}}
}

func (o *output) Release() {}

type writer struct {
	stream
	output *output
}

func (w *writer) IORead(context.Context, int64, uint64) ([]byte, error) { return nil, proto.EBADF }

func (w *writer) IOWrite(_ context.Context, data []byte, _ int64) (uint64, error) {
	// One after the other, and not mixed.
	w.output.mu.Lock()
	defer w.output.mu.Unlock()
	n, err := w.output.w.Write(data)
	if err != nil && n == 0 {
		return 0, proto.EPIPE
	}
	return uint64(n), nil
}

// IOSelect says that the stream can be written: whether a write would wait is
// known when it does.
func (w *writer) IOSelect(_ context.Context, want int32) (int32, error) {
	return want & proto.SelectWrite, nil
}

func (w *writer) IOSelectTimeout(ctx context.Context, _ proto.Timespec, want int32) (int32, error) {
	return w.IOSelect(ctx, want)
}

// input is a stream to read from. One goroutine reads ahead of those that
// wait, when there are any.
type input struct {
	state ioport.State
	r     io.Reader

	mu      sync.Mutex
	wanted  int           // requests that wait
	running bool          // pump reads
	changed chan struct{} // closed, and replaced, when there is something
	buf     []byte        // read, but not asked for
	err     error         // of r; sticky
}

func (in *input) Serve(c *ioport.Client) []any {
	return []any{&reader{stream{Client: c, State: &in.state, readable: true}, in}}
}

func (in *input) Release() {}

type reader struct {
	stream
	input *input
}

func (r *reader) IOWrite(context.Context, []byte, int64) (uint64, error) { return 0, proto.EBADF }

func (r *reader) IORead(ctx context.Context, _ int64, amount uint64) ([]byte, error) {
	if amount == 0 {
		return nil, nil
	}
	in := r.input
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.wait(ctx, r.Nonblock()); err != nil {
		return nil, err
	}
	if len(in.buf) == 0 {
		if errors.Is(in.err, io.EOF) {
			return nil, nil
		}
		return nil, proto.EIO
	}
	b := in.buf[:min(amount, uint64(len(in.buf)))]
	in.buf = in.buf[len(b):]
	return b, nil
}

func (r *reader) IOReadable(context.Context) (uint64, error) {
	r.input.mu.Lock()
	defer r.input.mu.Unlock()
	return uint64(len(r.input.buf)), nil
}

func (r *reader) IOSelect(ctx context.Context, want int32) (int32, error) {
	if want &= proto.SelectRead; want == 0 {
		return 0, nil
	}
	r.input.mu.Lock()
	defer r.input.mu.Unlock()
	return want, r.input.wait(ctx, false)
}

func (r *reader) IOSelectTimeout(ctx context.Context, t proto.Timespec, want int32) (int32, error) {
	return ioport.SelectUntil(ctx, t, want, r.IOSelect)
}

// wait waits until something or the end has been read. The lock is held.
func (in *input) wait(ctx context.Context, nonblock bool) error {
	in.wanted++
	defer func() { in.wanted-- }()
	for len(in.buf) == 0 && in.err == nil {
		if !in.running {
			in.running = true
			go in.pump()
		}
		if nonblock {
			// What comes for this request is there for the next.
			return proto.EAGAIN
		}
		changed := in.changed
		in.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		in.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// pump reads once. The buffer is another each time: what was read is in
// answers.
func (in *input) pump() {
	b := make([]byte, maxRead)
	n, err := in.r.Read(b)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.running = false
	in.buf, in.err = b[:n], err
	close(in.changed)
	in.changed = make(chan struct{})
}
