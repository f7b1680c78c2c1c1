package link

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"hurdlab/mpi"
)

// header is the length of what is before each message of TCP: tag and length, each 4
// bytes, little-endian.
const header = 8

// together is up to which length a message is copied behind its header, to be one
// segment.
const together = 4 << 10

type tcp struct {
	c   net.Conn
	in  *bufio.Reader
	out []byte
	one sync.Mutex // a sender
}

// TCP returns the link over a connection, which it closes at its end.
func TCP(c net.Conn) mpi.Link { return &tcp{c: c, in: bufio.NewReaderSize(c, 64<<10)} }

// watch makes what is under way end with ctx. A connection whose context has
// ended is of no use any more.
func (t *tcp) watch(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	s := context.AfterFunc(ctx, func() { t.c.SetDeadline(time.Unix(1, 0)) })
	return func() { s() }
}

// lost says why a connection is of no use any more.
func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", mpi.ErrLost, err)
}

func (t *tcp) Send(ctx context.Context, tag int32, b []byte) error {
	t.one.Lock()
	defer t.one.Unlock()
	defer t.watch(ctx)()
	t.out = binary.LittleEndian.AppendUint32(t.out[:0], uint32(tag))
	t.out = binary.LittleEndian.AppendUint32(t.out, uint32(len(b)))
	if len(b) <= together {
		t.out = append(t.out, b...)
		b = nil
	}
	if _, err := t.c.Write(t.out); err != nil {
		return lost(ctx, err)
	}
	if len(b) > 0 {
		if _, err := t.c.Write(b); err != nil {
			return lost(ctx, err)
		}
	}
	return nil
}

func (t *tcp) Recv(ctx context.Context, buf []byte) (int32, []byte, error) {
	defer t.watch(ctx)()
	var h [header]byte
	if _, err := io.ReadFull(t.in, h[:]); err != nil {
		return 0, nil, lost(ctx, err)
	}
	var p part
	if err := p.begin(int32(binary.LittleEndian.Uint32(h[:])), int64(binary.LittleEndian.Uint32(h[4:])), buf); err != nil {
		return 0, nil, err
	}
	b := p.b[:p.left]
	if _, err := io.ReadFull(t.in, b); err != nil {
		return 0, nil, lost(ctx, err)
	}
	return p.tag, b, nil
}

func (t *tcp) Close() error { return t.c.Close() }
