// Mpibench measures a job of package mpi:
//
//	mpibench [-links LIST] [-sizes LIST] [-n N] [-rounds N] [-fdtd ROWSxCOLUMNSxSTEPS] [-hash] NODE... -- WHAT...
//
// It starts a rank on each node, of which the first is this one, and measures WHAT: latency,
// bandwidth, barrier, bcast, allreduce, fdtd. It prints a line of JSON for each: [Line].
//
// What is compared, the kinds of links, and with fdtd one rank and many, takes turns, so
// that what else the machines do changes all alike: the values of two lines that have
// the same index can be compared.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"hurdlab/mpi"
	"hurdlab/mpi/fdtd"
	"hurdlab/mpi/job"
)

// A Line is a series of values, one for each round.
type Line struct {
	What  string `json:"what"`
	Links string `json:"links"`
	Ranks int    `json:"ranks"`
	Size  int    `json:"size,omitempty"` // of messages, in bytes; of a grid, in cells
	Unit  string `json:"unit"`           // ns, or B/s
	// Values are, of a round, the mean of its messages.
	Values []float64 `json:"values"`
	Sum    string    `json:"sum,omitempty"` // of the fields
}

type options struct {
	links  []job.Kind
	sizes  []int
	n      int
	rounds int
	grid   fdtd.Problem
	nodes  []string
	what   []string
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "mpibench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	links := flag.String("links", "tcp,netmsg,pager", "`kinds` of links to compare")
	sizes := flag.String("sizes", "0,64,1024,8192,65536,524288", "`sizes` of messages, in bytes")
	n := flag.Int("n", 10, "`messages` in a round")
	rounds := flag.Int("rounds", 9, "`rounds`")
	grid := flag.String("fdtd", "512x512x10", "`rows`xcolumnsxsteps of the grid, in a round")
	flag.Parse()
	o := options{n: max(1, *n), rounds: max(1, *rounds)}
	for k := range strings.SplitSeq(*links, ",") {
		if !slices.Contains(job.Kinds, job.Kind(k)) {
			return fmt.Errorf("links %q: there are %v", k, job.Kinds)
		}
		o.links = append(o.links, job.Kind(k))
	}
	for s := range strings.SplitSeq(*sizes, ",") {
		size, err := strconv.Atoi(s)
		if err != nil || size < 0 || size > mpi.MaxMessage {
			return fmt.Errorf("size %q", s)
		}
		o.sizes = append(o.sizes, size)
	}
	if _, err := fmt.Sscanf(*grid, "%dx%dx%d", &o.grid.NX, &o.grid.NY, &o.grid.Steps); err != nil {
		return fmt.Errorf("grid %q: %w", *grid, err)
	}
	nodes := flag.Args()
	i := slices.Index(nodes, "--")
	if i < 1 || i == len(nodes)-1 {
		return fmt.Errorf("want NODE... -- WHAT..., not %q", nodes)
	}
	o.nodes, o.what = nodes[:i], nodes[i+1:]
	for _, w := range o.what {
		if measurements[w] == nil {
			return fmt.Errorf("cannot measure %q", w)
		}
	}
	if !job.IsRank() {
		self, err := os.Hostname()
		if err != nil {
			return err
		}
		return job.Run(ctx, job.Spec{Nodes: o.nodes, Self: self, Args: os.Args})
	}
	r, err := job.Join(ctx, o.links...)
	if err != nil {
		return err
	}
	b := &bench{o, r, json.NewEncoder(os.Stdout)}
	for _, w := range o.what {
		if err := measurements[w](b, ctx); err != nil {
			return fmt.Errorf("rank %d on %s: %s: %w", r.Rank, r.Node, w, err)
		}
	}
	// Nobody's end is taken for a loss.
	if err := r.Comms[o.links[0]].Barrier(ctx); err != nil {
		return err
	}
	return r.Close()
}

var measurements = map[string]func(*bench, context.Context) error{
	"latency": (*bench).latency, "bandwidth": (*bench).bandwidth, "barrier": (*bench).barrier,
	"bcast": (*bench).bcast, "allreduce": (*bench).allreduce, "fdtd": (*bench).fdtd,
}

type bench struct {
	options
	*job.Rank
	out *json.Encoder
}

// print prints lines, on rank 0.
func (b *bench) print(lines ...*Line) error {
	if b.Rank.Rank != 0 {
		return nil
	}
	for _, l := range lines {
		if err := b.out.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// turns has each kind of links measured for each size, round by round, after one that does
// not count. f does n times what is measured.
func (b *bench) turns(ctx context.Context, what string, sizes []int, n func(size int) int, f func(ctx context.Context, c *mpi.Comm, size, n int) error, value func(d time.Duration, size, n int) float64, unit string) error {
	for _, size := range sizes {
		var lines []*Line
		for _, k := range b.links {
			lines = append(lines, &Line{What: what, Links: string(k), Ranks: b.Rank.Size, Size: size, Unit: unit})
		}
		for round := range b.rounds + 1 {
			for i, k := range b.links {
				c := b.Comms[k]
				if err := c.Barrier(ctx); err != nil {
					return err
				}
				start := time.Now()
				if err := f(ctx, c, size, n(size)); err != nil {
					return fmt.Errorf("%s, %d bytes: %w", k, size, err)
				}
				if round > 0 {
					lines[i].Values = append(lines[i].Values, value(time.Since(start), size, n(size)))
				}
			}
		}
		if err := b.print(lines...); err != nil {
			return err
		}
	}
	return nil
}

func perCall(d time.Duration, _, n int) float64 { return float64(d.Nanoseconds()) / float64(n) }

// latency is that of one way: half of there and back between ranks 0 and 1.
func (b *bench) latency(ctx context.Context) error {
	var buf []byte
	f := func(ctx context.Context, c *mpi.Comm, size, n int) error {
		msg := make([]byte, size)
		for range n {
			var err error
			switch c.Rank() {
			case 0:
				if err = c.Send(ctx, 1, 0, msg); err == nil {
					buf, err = c.Recv(ctx, 1, 0, buf)
				}
			case 1:
				if buf, err = c.Recv(ctx, 0, 0, buf); err == nil {
					err = c.Send(ctx, 0, 0, msg)
				}
			}
			if err != nil {
				return err
			}
			if c.Rank() < 2 && len(buf) != size {
				return fmt.Errorf("%d bytes came", len(buf))
			}
		}
		return nil
	}
	return b.turns(ctx, "latency", b.sizes, func(int) int { return b.n }, f, func(d time.Duration, size, n int) float64 { return perCall(d, size, n) / 2 }, "ns")
}

// window is how many bytes of messages are under way at a time when bandwidth is
// measured.
const window = 512 << 10

// bandwidth is that of messages one after the other from rank 0 to rank 1, which says
// when it has got them all.
func (b *bench) bandwidth(ctx context.Context) error {
	var buf []byte
	f := func(ctx context.Context, c *mpi.Comm, size, n int) error {
		msg := make([]byte, size)
		for range n {
			if c.Rank() == 0 {
				if err := c.Send(ctx, 1, 0, msg); err != nil {
					return err
				}
			} else if c.Rank() == 1 {
				var err error
				if buf, err = c.Recv(ctx, 0, 0, buf); err != nil {
					return err
				}
			}
		}
		switch c.Rank() {
		case 0:
			_, err := c.Recv(ctx, 1, 0, nil)
			return err
		case 1:
			return c.Send(ctx, 0, 0, nil)
		}
		return nil
	}
	var sizes []int
	for _, s := range b.sizes {
		if s >= 1024 { // less is a matter of latency
			sizes = append(sizes, s)
		}
	}
	n := func(size int) int { return min(max(window/size, 1), 2*b.n) }
	return b.turns(ctx, "bandwidth", sizes, n, f, func(d time.Duration, size, n int) float64 { return float64(size) * float64(n) / d.Seconds() }, "B/s")
}

func (b *bench) barrier(ctx context.Context) error {
	f := func(ctx context.Context, c *mpi.Comm, _, n int) error {
		for range n {
			if err := c.Barrier(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	return b.turns(ctx, "barrier", []int{0}, func(int) int { return b.n }, f, perCall, "ns")
}

// bcast is a broadcast of each rank in turn, so that none begins with the next while
// others are behind.
func (b *bench) bcast(ctx context.Context) error {
	f := func(ctx context.Context, c *mpi.Comm, size, n int) error {
		msg := make([]byte, size)
		for i := range n * c.Size() {
			if _, err := c.Bcast(ctx, i%c.Size(), msg); err != nil {
				return err
			}
		}
		return nil
	}
	n := func(size int) int { return max(1, min(b.n, window/max(size, 1))) }
	return b.turns(ctx, "bcast", b.sizes, n, f, func(d time.Duration, size, n int) float64 { return perCall(d, size, n*b.Rank.Size) }, "ns")
}

func (b *bench) allreduce(ctx context.Context) error {
	f := func(ctx context.Context, c *mpi.Comm, size, n int) error {
		x := make([]float64, size/8)
		for i := range x {
			x[i] = float64(c.Rank() + i)
		}
		for range n {
			if err := c.Allreduce(ctx, mpi.Max, x); err != nil {
				return err
			}
		}
		for i := range x {
			if x[i] != float64(c.Size()-1+i) {
				return fmt.Errorf("element %d is %g", i, x[i])
			}
		}
		return nil
	}
	n := func(size int) int { return max(1, min(b.n, window/max(size, 1))) }
	return b.turns(ctx, "allreduce", b.sizes, n, f, perCall, "ns")
}

// fdtd is the time of all steps on one rank, on the first two, and so on to all, by each
// kind of links. The fields must be the same after each.
func (b *bench) fdtd(ctx context.Context) error {
	control := b.Comms[b.links[0]]
	var lines []*Line
	type way struct {
		kind  job.Kind
		ranks int
	}
	var ways []way
	for ranks := 1; ranks <= b.Rank.Size; ranks++ {
		for i, k := range b.links {
			if ranks == 1 && i > 0 {
				continue // it needs none
			}
			ways = append(ways, way{k, ranks})
			l := &Line{What: "fdtd", Links: string(k), Ranks: ranks, Size: b.grid.NX * b.grid.NY, Unit: "ns"}
			if ranks == 1 {
				l.Links = "none"
			}
			lines = append(lines, l)
		}
	}
	for range b.rounds {
		for i, w := range ways {
			runtime.GC()
			if err := control.Barrier(ctx); err != nil {
				return err
			}
			c := b.Comms[w.kind].First(w.ranks)
			if c != nil {
				f, err := fdtd.New(c, b.grid)
				if err != nil {
					return err
				}
				if err := c.Barrier(ctx); err != nil {
					return err
				}
				start := time.Now()
				if err := f.Run(ctx); err != nil {
					return fmt.Errorf("%s, %d ranks: %w", w.kind, w.ranks, err)
				}
				if err := c.Barrier(ctx); err != nil {
					return err
				}
				lines[i].Values = append(lines[i].Values, float64(time.Since(start).Nanoseconds()))
				sum, err := f.Sum(ctx)
				if err != nil {
					return err
				}
				lines[i].Sum = strconv.FormatUint(sum, 16)
			}
			// The others wait, and take nothing of this host's processors, meanwhile.
			var ok [8]byte
			if b.Rank.Rank == 0 && lines[i].Sum != lines[0].Sum {
				return fmt.Errorf("%s, %d ranks: the fields have the sum %s, %s on one", w.kind, w.ranks, lines[i].Sum, lines[0].Sum)
			}
			binary.LittleEndian.PutUint64(ok[:], uint64(i))
			if _, err := control.Bcast(ctx, 0, ok[:]); err != nil {
				return err
			}
		}
	}
	return b.print(lines...)
}
