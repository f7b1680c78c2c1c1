package rootfs

import (
	"bytes"
	"context"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// A terminal is a device that moves characters: the kernel's console.
type terminal interface {
	// Read waits for characters and returns some.
	Read(ctx context.Context) ([]byte, error)
	// Write writes up to [mach.DeviceInband] characters.
	Write(ctx context.Context, p []byte) (int, error)
}

// A Console makes lines of what is typed at a terminal: it echoes, and knows
// of the keys that end a line, take back a character or the line, and end the
// file. All who read it share one input.
type Console struct {
	t terminal

	write chan struct{} // has who writes

	mu      sync.Mutex
	reading bool          // somebody waits for the terminal
	changed chan struct{} // closed, and made anew, when there is input
	line    []byte        // not ended yet
	lines   []byte        // to be read
	eofs    []int         // where in lines the file ends
	err     error         // of the terminal
}

const (
	maxLine  = 4096
	maxLines = 64 << 10

	keyEOF       = 4 // control-D
	keyBackspace = 8
	keyKill      = 21 // control-U
	keyDelete    = 127
)

// NewConsole returns the console of a device.
func NewConsole(device mach.Port) *Console { return newConsole(machTerminal{device}) }

func newConsole(t terminal) *Console {
	return &Console{t: t, write: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Open opens the console: a [Device].
func (c *Console) Open(context.Context, int32) (translator.File, error) { return c, nil }

var (
	_ translator.Stream   = (*Console)(nil)
	_ translator.Selector = (*Console)(nil)
)

// Close does nothing: others have it open.
func (*Console) Close() {}

// listen has the terminal read. It goes on when its reader gives up: what the
// kernel has given for a request that nobody waits for would be lost. mu is
// held.
func (c *Console) listen() {
	if c.reading || c.err != nil {
		return
	}
	c.reading = true
	go func() {
		// The terminal's reads end only with input.
		b, err := c.t.Read(context.Background())
		echo := c.input(b, err)
		if len(echo) > 0 {
			_, _ = c.Write(context.Background(), echo, false)
		}
	}()
}

// input takes what was typed and returns what is to be echoed.
func (c *Console) input(b []byte, err error) (echo []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	c.err = err
	for _, k := range b {
		switch k {
		case '\r', '\n':
			echo = append(echo, '\n')
			if len(c.lines)+len(c.line) < maxLines {
				c.lines = append(append(c.lines, c.line...), '\n')
			}
			c.line = c.line[:0]
		case keyEOF:
			// In a line, it ends only that.
			if len(c.line) > 0 {
				if len(c.lines)+len(c.line) < maxLines {
					c.lines = append(c.lines, c.line...)
				}
				c.line = c.line[:0]
			} else if len(c.eofs) < maxLine {
				c.eofs = append(c.eofs, len(c.lines))
			}
		case keyBackspace, keyDelete:
			if n := len(c.line); n > 0 {
				c.line = c.line[:n-1]
				echo = append(echo, "\b \b"...)
			}
		case keyKill:
			echo = append(echo, bytes.Repeat([]byte("\b \b"), len(c.line))...)
			c.line = c.line[:0]
		default:
			if len(c.line) < maxLine {
				c.line = append(c.line, k)
				echo = append(echo, k)
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return echo
}

// ready waits for a line, or the end of the file, or an error. mu is held.
func (c *Console) ready(ctx context.Context) error {
	for len(c.lines) == 0 && len(c.eofs) == 0 {
		if c.err != nil {
			return c.err
		}
		c.listen()
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
		if ctx.Err() != nil && len(c.lines) == 0 && len(c.eofs) == 0 {
			return context.Cause(ctx)
		}
	}
	return nil
}

// Read returns what is typed up to the end of a line.
func (c *Console) Read(ctx context.Context, p []byte, nonblock bool) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if nonblock && len(c.lines) == 0 && len(c.eofs) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.listen()
		return 0, proto.EAGAIN
	}
	if err := c.ready(ctx); err != nil {
		return 0, err
	}
	end := len(c.lines)
	if i := bytes.IndexByte(c.lines, '\n'); i >= 0 {
		end = i + 1
	}
	if len(c.eofs) > 0 && c.eofs[0] <= end {
		end = c.eofs[0]
		if end == 0 {
			c.eofs = c.eofs[1:]
			return 0, nil
		}
	}
	n := copy(p, c.lines[:end])
	c.lines = c.lines[n:]
	for i := range c.eofs {
		c.eofs[i] -= n
	}
	if len(c.lines) == 0 {
		c.lines = nil
	}
	return n, nil
}

// Write writes p, in one piece.
func (c *Console) Write(ctx context.Context, p []byte, _ bool) (int, error) {
	select {
	case c.write <- struct{}{}:
		defer func() { <-c.write }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	done := 0
	for done < len(p) {
		part := p[done:min(len(p), done+mach.DeviceInband/2)]
		out := bytes.ReplaceAll(part, []byte("\n"), []byte("\r\n"))
		for len(out) > 0 {
			n, err := c.t.Write(ctx, out)
			if err != nil {
				return done, err
			}
			out = out[min(max(n, 1), len(out)):]
		}
		done += len(part)
	}
	return done, nil
}

// Select waits for a line to read. The console can always be written.
func (c *Console) Select(ctx context.Context, want translator.Ready) (translator.Ready, error) {
	if got := want & translator.ReadyWrite; got != 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.lines) > 0 || len(c.eofs) > 0 {
			got |= want & translator.ReadyRead
		}
		return got, nil
	}
	if want&translator.ReadyRead == 0 {
		return 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ready(ctx); err != nil && c.err == nil {
		return 0, err
	}
	return translator.ReadyRead, nil
}

// machTerminal is a device of the kernel's.
type machTerminal struct{ device mach.Port }

func (t machTerminal) Read(ctx context.Context) ([]byte, error) {
	return mach.DeviceReadInband(ctx, t.device, 0, 0, mach.DeviceInband)
}

func (t machTerminal) Write(ctx context.Context, p []byte) (int, error) {
	return mach.DeviceWriteInband(ctx, t.device, 0, 0, p[:min(len(p), mach.DeviceInband)])
}
