package mpi

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
)

// Tags of the collectives. All ranks call them in the same order, and links keep it,
// so that one for each kind is enough.
const (
	tagBarrier = -1 - iota
	tagBcast
	tagReduce
	tagGather
)

// Barrier returns when all ranks have called it: by dissemination, in ⌈log2 n⌉ rounds.
func (c *Comm) Barrier(ctx context.Context) error {
	n := c.Size()
	for d := 1; d < n; d *= 2 {
		if _, err := c.sendRecv(ctx, (c.rank+d)%n, nil, (c.rank-d+n)%n, tagBarrier, nil); err != nil {
			return fmt.Errorf("barrier: %w", err)
		}
	}
	return nil
}

// Bcast sends the root's b to all ranks, and returns it: by a binomial tree.
func (c *Comm) Bcast(ctx context.Context, root int, b []byte) ([]byte, error) {
	n := c.Size()
	me := (c.rank - root + n) % n // numbered from the root on
	d := 1
	for ; d < n; d *= 2 {
		if me&d != 0 {
			got, err := c.recv(ctx, (me-d+root)%n, tagBcast, b)
			if err != nil {
				return nil, fmt.Errorf("broadcast: %w", err)
			}
			b = got
			break
		}
	}
	for d /= 2; d > 0; d /= 2 {
		if me+d < n {
			if err := c.send(ctx, (me+d+root)%n, tagBcast, b); err != nil {
				return nil, fmt.Errorf("broadcast: %w", err)
			}
		}
	}
	return b, nil
}

// An Op combines in with acc, element by element, in acc. It is commutative.
type Op func(acc, in []float64)

// Sum adds.
func Sum(acc, in []float64) {
	for i, x := range in {
		acc[i] += x
	}
}

// Max keeps the greater.
func Max(acc, in []float64) {
	for i, x := range in {
		acc[i] = max(acc[i], x)
	}
}

// Allreduce combines x of all ranks, and leaves the same result in all: by recursive
// doubling, with ranks beyond a power of two folded into others before and after.
// The order in which a sum is added up depends on the number of ranks only.
func (c *Comm) Allreduce(ctx context.Context, op Op, x []float64) error {
	n := c.Size()
	in := make([]float64, len(x))
	room := make([]byte, 8*len(x))
	take := func(b []byte, err error) error {
		if err != nil {
			return fmt.Errorf("allreduce: %w", err)
		}
		if len(b) != 8*len(x) {
			return fmt.Errorf("mpi: allreduce of %d values with one of %d", len(x), len(b)/8)
		}
		Float64s(in, b)
		return nil
	}
	whole := 1
	for whole*2 <= n {
		whole *= 2
	}
	out := make([]byte, 0, 8*len(x))
	if c.rank >= whole {
		peer := c.rank - whole
		if err := c.send(ctx, peer, tagReduce, AppendFloat64s(out, x)); err != nil {
			return err
		}
		err := take(c.recv(ctx, peer, tagReduce, room))
		copy(x, in)
		return err
	}
	if peer := c.rank + whole; peer < n {
		if err := take(c.recv(ctx, peer, tagReduce, room)); err != nil {
			return err
		}
		op(x, in)
	}
	for d := 1; d < whole; d *= 2 {
		peer := c.rank ^ d
		if err := take(c.sendRecv(ctx, peer, AppendFloat64s(out, x), peer, tagReduce, room)); err != nil {
			return err
		}
		if peer < c.rank {
			// In the same order on both sides: NaNs and an op that is not quite
			// commutative give the same bits, too.
			op(in, x)
			copy(x, in)
		} else {
			op(x, in)
		}
	}
	if peer := c.rank + whole; peer < n {
		return c.send(ctx, peer, tagReduce, AppendFloat64s(out, x))
	}
	return nil
}

// Gather returns, on the root, what each rank gives; elsewhere nil.
func (c *Comm) Gather(ctx context.Context, root int, b []byte) ([][]byte, error) {
	if c.rank != root {
		return nil, c.send(ctx, root, tagGather, b)
	}
	all := make([][]byte, c.Size())
	for i := range all {
		if i == root {
			all[i] = append([]byte(nil), b...)
			continue
		}
		got, err := c.recv(ctx, i, tagGather, nil)
		if err != nil {
			return nil, fmt.Errorf("gather: %w", err)
		}
		all[i] = got
	}
	return all, nil
}

// AppendFloat64s appends x to b as ranks send it: 8 bytes each, little-endian.
func AppendFloat64s(b []byte, x []float64) []byte {
	for _, v := range x {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// Float64s is the opposite of [AppendFloat64s]: as many as x has, or b.
func Float64s(x []float64, b []byte) {
	for i := range x {
		if len(b) < 8 {
			return
		}
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
}
