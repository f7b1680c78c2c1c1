// Package bootstreams is the standard streams of a program as io objects, on
// top of the reader and the writers of its SSH session. In a Hurd this room
// is that of pipes (pflocal) and terminals (term).
package bootstreams

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"

	"hurdlab/images/mach/hurdio"
	"hurdlab/images/mach/store"
	"hurdlab/mach"
)

// common answers what every stream answers alike.
func common(modes int32) mach.Routines {
	espipe := func(context.Context, *mach.Message, *mach.Message) error { return hurdio.ESPIPE }
	ok := func(_ context.Context, req, _ *mach.Message) error {
		req.TakeInt32()
		return req.End()
	}
	return mach.Routines{
		hurdio.Seek: espipe,
		// The modes that could be changed make no difference to a stream.
		hurdio.SetAllOpenModes:   ok,
		hurdio.SetSomeOpenModes:  ok,
		hurdio.ClearSomeOpenMode: ok,
		hurdio.GetOpenModes: func(_ context.Context, req, reply *mach.Message) error {
			reply.PutInt32(modes)
			return req.End()
		},
		hurdio.Stat: func(_ context.Context, req, reply *mach.Message) error {
			hurdio.PutStat(reply, store.Info{Mode: fs.ModeNamedPipe | 0o600})
			return req.End()
		},
		hurdio.Read:      func(context.Context, *mach.Message, *mach.Message) error { return hurdio.EBADF },
		hurdio.Write:     func(context.Context, *mach.Message, *mach.Message) error { return hurdio.EBADF },
		hurdio.Interrupt: func(_ context.Context, req, _ *mach.Message) error { return req.End() },
	}
}

// Output returns the handler of a stream to write to. A write is answered
// when w has taken the data, which holds up a program that is faster than its
// client; when w fails, with EPIPE.
func Output(w io.Writer) mach.Handler {
	r := common(hurdio.OWrite)
	r[hurdio.Write] = func(_ context.Context, req, reply *mach.Message) error {
		data := req.TakeData(-1)
		req.TakeInt64() // a stream has no offsets
		if err := req.End(); err != nil {
			return mach.MigBadArguments
		}
		n, err := w.Write(data)
		if err != nil && n == 0 {
			return hurdio.EPIPE
		}
		reply.PutWord(uint64(n))
		return nil
	}
	return r
}

// Input returns the handler of a stream to read from r. Reads wait for data
// without holding up other requests, and can be interrupted. Nothing is read
// from r before the program asks: what it does not read, the next one gets.
func Input(r io.Reader) mach.Handler {
	return newInput(r, func(req *mach.Message) hurdio.Answer { return mach.Defer(req) })
}

func newInput(r io.Reader, deferReply func(*mach.Message) hurdio.Answer) mach.Handler {
	in := &input{r: r, deferReply: deferReply}
	h := common(hurdio.ORead)
	h[hurdio.Read] = in.read
	h[hurdio.Readable] = in.readable
	h[hurdio.Interrupt] = in.interrupt
	return h
}

type input struct {
	r          io.Reader
	deferReply func(*mach.Message) hurdio.Answer

	mu      sync.Mutex
	waiting []request
	running bool   // pump runs
	buf     []byte // read, but not asked for
	err     error  // of r; sticky
}

// A request is an io_read that waits.
type request struct {
	answer hurdio.Answer
	n      int
}

func (in *input) read(_ context.Context, req, _ *mach.Message) error {
	req.TakeInt64()
	n := req.TakeWord()
	if err := req.End(); err != nil {
		return mach.MigBadArguments
	}
	in.wait(request{in.deferReply(req), int(min(n, hurdio.MaxRead))})
	return mach.NoReply
}

func (in *input) wait(r request) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.waiting = append(in.waiting, r)
	if !in.running {
		in.running = true
		go in.pump()
	}
}

func (in *input) readable(_ context.Context, req, reply *mach.Message) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	reply.PutWord(uint64(len(in.buf)))
	return req.End()
}

// interrupt answers the reads that wait. Data that arrives later stays for
// the next one.
func (in *input) interrupt(_ context.Context, req, _ *mach.Message) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, r := range in.waiting {
		r.answer.Fail(hurdio.EINTR)
	}
	in.waiting = nil
	return req.End()
}

// pump answers reads as long as there are any.
func (in *input) pump() {
	b := make([]byte, 16<<10)
	for {
		in.mu.Lock()
		for len(in.waiting) > 0 && (len(in.buf) > 0 || in.err != nil) {
			r := in.waiting[0]
			in.waiting = in.waiting[1:]
			in.reply(r)
		}
		if len(in.waiting) == 0 {
			in.running = false
			in.mu.Unlock()
			return
		}
		in.mu.Unlock()
		n, err := in.r.Read(b)
		in.mu.Lock()
		in.buf = append(in.buf[:0], b[:n]...) // it was empty, or there were no waiting reads
		in.err = err
		in.mu.Unlock()
	}
}

// reply answers one read from what there is.
func (in *input) reply(r request) {
	if len(in.buf) == 0 && !errors.Is(in.err, io.EOF) {
		r.answer.Fail(hurdio.EIO)
		return
	}
	n := min(r.n, len(in.buf))
	m := r.answer.NewReply()
	if err := hurdio.PutData(m, in.buf[:n]); err != nil {
		r.answer.Fail(err)
		return
	}
	// If the program has gone, so has the data: it was the program's.
	_ = r.answer.Send(m)
	in.buf = in.buf[n:]
}
