// Package mpi passes messages between the ranks of a job: processes of one program, on
// one node or on many. It has what the programs of the benchmarks need of what MPI has:
// sends and receives by rank and tag, and a few collectives.
//
// A [Comm] is made of one [Link] to each other rank. What a link is does not matter to
// it: [Local] makes links in memory, with which jobs are tested anywhere; package
// mpi/link has TCP, ports of Mach, which netmsg carries to other nodes, and a mapped
// file, which the pager does; package mpi/job starts a job on the nodes.
//
// # Place in the house
//
// It is a library for guest programs, as package hurd is, and imports nothing of the
// Hurd itself. mpi/fdtd is a program's worth of numerics on it.
package mpi

import (
	"context"
	"errors"
	"fmt"
)

// Buffered is how many bytes in how many messages a link takes before a receiver must
// begin to take them: a send of no more than that does not wait for it.
const (
	Buffered         = 32 << 10
	BufferedMessages = 4
)

// MaxMessage is the length of the longest message in bytes.
const MaxMessage = 64 << 20

// ErrLost is that a rank has ended, or cannot be reached.
var ErrLost = errors.New("mpi: a rank was lost")

// A Link carries messages between two ranks, both ways, each in order. One
// goroutine may send while another receives.
type Link interface {
	// Send sends b, which it does not keep.
	Send(ctx context.Context, tag int32, b []byte) error
	// Recv waits for a message, and returns it in buf if it has room for it.
	Recv(ctx context.Context, buf []byte) (tag int32, b []byte, err error)
	Close() error
}

// A Comm is a rank's view of a job. It is used by one goroutine at a time.
type Comm struct {
	rank  int
	links []Link
	early [][]message // by source: what was received before anybody wanted it
	buf   [][]byte    // by source: room for what is received early
}

type message struct {
	tag int32
	b   []byte
}

// maxEarly is how many messages of a source wait for others of it to be received.
const maxEarly = 256

// New returns the communicator of the rank with a number, of as many ranks as there
// are links. Its own link is not used and may be nil.
func New(rank int, links []Link) *Comm {
	return &Comm{rank: rank, links: links, early: make([][]message, len(links))}
}

// Rank is the number of this rank, from 0 on.
func (c *Comm) Rank() int { return c.rank }

// Size is the number of ranks.
func (c *Comm) Size() int { return len(c.links) }

// First is the communicator of the first n ranks, for the same goroutine, which must
// have received all that was sent to it before. It is nil if this rank is none of
// them.
func (c *Comm) First(n int) *Comm {
	if c.rank >= n || n > len(c.links) {
		return nil
	}
	return New(c.rank, c.links[:n])
}

// Close closes the links.
func (c *Comm) Close() error {
	var errs []error
	for i, l := range c.links {
		if i != c.rank && l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// Send sends b to another rank. The tag is not negative.
func (c *Comm) Send(ctx context.Context, to int, tag int32, b []byte) error {
	if tag < 0 {
		return fmt.Errorf("mpi: tag %d", tag)
	}
	return c.send(ctx, to, tag, b)
}

func (c *Comm) send(ctx context.Context, to int, tag int32, b []byte) error {
	if to < 0 || to >= len(c.links) || to == c.rank {
		return fmt.Errorf("mpi: rank %d sends to %d of %d", c.rank, to, len(c.links))
	}
	if len(b) > MaxMessage {
		return fmt.Errorf("mpi: a message of %d bytes", len(b))
	}
	if err := c.links[to].Send(ctx, tag, b); err != nil {
		return fmt.Errorf("mpi: rank %d to %d: %w", c.rank, to, err)
	}
	return nil
}

// Recv waits for the next message of a rank with a tag and returns it, in buf if it
// has room for it.
func (c *Comm) Recv(ctx context.Context, from int, tag int32, buf []byte) ([]byte, error) {
	if tag < 0 {
		return nil, fmt.Errorf("mpi: tag %d", tag)
	}
	return c.recv(ctx, from, tag, buf)
}

func (c *Comm) recv(ctx context.Context, from int, tag int32, buf []byte) ([]byte, error) {
	if from < 0 || from >= len(c.links) || from == c.rank {
		return nil, fmt.Errorf("mpi: rank %d receives from %d of %d", c.rank, from, len(c.links))
	}
	for i, m := range c.early[from] {
		if m.tag == tag {
			c.early[from] = append(c.early[from][:i], c.early[from][i+1:]...)
			return m.b, nil
		}
	}
	for {
		got, b, err := c.links[from].Recv(ctx, buf)
		if err != nil {
			return nil, fmt.Errorf("mpi: rank %d from %d: %w", c.rank, from, err)
		}
		if got == tag {
			return b, nil
		}
		if len(c.early[from]) == maxEarly {
			return nil, fmt.Errorf("mpi: rank %d from %d: %d messages before one with tag %d", c.rank, from, maxEarly, tag)
		}
		c.early[from] = append(c.early[from], message{got, append([]byte(nil), b...)})
	}
}

// SendRecv sends b to a rank and receives from one, at the same time.
func (c *Comm) SendRecv(ctx context.Context, to int, b []byte, from int, tag int32, buf []byte) ([]byte, error) {
	if tag < 0 {
		return nil, fmt.Errorf("mpi: tag %d", tag)
	}
	return c.sendRecv(ctx, to, b, from, tag, buf)
}

func (c *Comm) sendRecv(ctx context.Context, to int, b []byte, from int, tag int32, buf []byte) ([]byte, error) {
	if len(b) <= Buffered {
		if err := c.send(ctx, to, tag, b); err != nil {
			return nil, err
		}
		return c.recv(ctx, from, tag, buf)
	}
	sent := make(chan error, 1)
	go func() { sent <- c.send(ctx, to, tag, b) }()
	got, err := c.recv(ctx, from, tag, buf)
	return got, errors.Join(err, <-sent)
}
