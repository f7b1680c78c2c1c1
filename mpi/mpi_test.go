package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"hurdlab/mpi"
)

// run runs a program on n ranks.
func run(t *testing.T, n int, program func(ctx context.Context, c *mpi.Comm) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range mpi.Local(n) {
		g.Go(func() error { return program(ctx, c) })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestCollectives(t *testing.T) {
	for n := 1; n <= 9; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			run(t, n, func(ctx context.Context, c *mpi.Comm) error {
				for root := range n {
					var b []byte
					if c.Rank() == root {
						b = fmt.Appendf(nil, "from %d", root)
					}
					b, err := c.Bcast(ctx, root, b)
					if err != nil {
						return err
					}
					if want := fmt.Sprintf("from %d", root); string(b) != want {
						return fmt.Errorf("rank %d: broadcast %q, not %q", c.Rank(), b, want)
					}
					x := []float64{float64(c.Rank() + 1), float64(-c.Rank())}
					if err := c.Allreduce(ctx, mpi.Sum, x); err != nil {
						return err
					}
					if s := float64(n*(n+1)) / 2; x[0] != s || x[1] != float64(n)-s {
						return fmt.Errorf("rank %d: sum %v", c.Rank(), x)
					}
					x = []float64{float64(c.Rank()), float64(-c.Rank())}
					if err := c.Allreduce(ctx, mpi.Max, x); err != nil {
						return err
					}
					if x[0] != float64(n-1) || x[1] != 0 {
						return fmt.Errorf("rank %d: max %v", c.Rank(), x)
					}
					all, err := c.Gather(ctx, root, []byte{byte(c.Rank())})
					if err != nil {
						return err
					}
					if (all != nil) != (c.Rank() == root) {
						return fmt.Errorf("rank %d of root %d: %v", c.Rank(), root, all)
					}
					for i, b := range all {
						if len(b) != 1 || b[0] != byte(i) {
							return fmt.Errorf("gather: %v", all)
						}
					}
				}
				return c.Barrier(ctx)
			})
		})
	}
}

// All ranks get the same bits, though the sum depends on the order.
func TestAllreduceIsTheSameEverywhere(t *testing.T) {
	for n := 2; n <= 9; n++ {
		run(t, n, func(ctx context.Context, c *mpi.Comm) error {
			r := rand.New(rand.NewPCG(uint64(c.Rank()), 1))
			x := make([]float64, 100)
			for i := range x {
				x[i] = r.NormFloat64() * float64(uint64(1)<<r.UintN(60))
			}
			if err := c.Allreduce(ctx, mpi.Sum, x); err != nil {
				return err
			}
			all, err := c.Gather(ctx, 0, mpi.AppendFloat64s(nil, x))
			for i := range all {
				if string(all[i]) != string(all[0]) {
					return fmt.Errorf("of %d ranks, 0 and %d have other sums", n, i)
				}
			}
			return err
		})
	}
}

// Nobody leaves a barrier before the last one has come.
func TestBarrier(t *testing.T) {
	const n = 5
	came := make(chan int, n)
	run(t, n, func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 3 {
			time.Sleep(50 * time.Millisecond) // others would be through by then
		}
		came <- c.Rank()
		if err := c.Barrier(ctx); err != nil {
			return err
		}
		if len(came) != n {
			return fmt.Errorf("rank %d left when %d had come", c.Rank(), len(came))
		}
		return nil
	})
}

func TestTags(t *testing.T) {
	run(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 0 {
			for i := range 10 {
				if err := c.Send(ctx, 1, int32(i%2), []byte{byte(i)}); err != nil {
					return err
				}
			}
			return nil
		}
		for _, tag := range []int32{1, 0} {
			for i := range 5 {
				b, err := c.Recv(ctx, 0, tag, nil)
				if err != nil {
					return err
				}
				if want := byte(2*i + int(tag)); len(b) != 1 || b[0] != want {
					return fmt.Errorf("%v, not %d", b, want)
				}
			}
		}
		return nil
	})
}

// Both send much before they receive.
func TestSendRecv(t *testing.T) {
	run(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		peer := 1 - c.Rank()
		for range 2 * mpi.BufferedMessages {
			if _, err := c.SendRecv(ctx, peer, make([]byte, 2*mpi.Buffered), peer, 1, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestWrong(t *testing.T) {
	c := mpi.Local(2)[0]
	ctx := t.Context()
	for _, to := range []int{-1, 0, 2} {
		if err := c.Send(ctx, to, 0, nil); err == nil {
			t.Errorf("sent to %d", to)
		}
		if _, err := c.Recv(ctx, to, 0, nil); err == nil {
			t.Errorf("received from %d", to)
		}
	}
	if err := c.Send(ctx, 1, -1, nil); err == nil {
		t.Error("sent with the tag of a collective")
	}
}

func TestLost(t *testing.T) {
	c := mpi.Local(2)
	c[0].Close()
	if _, err := c[1].Recv(t.Context(), 0, 0, nil); !errors.Is(err, mpi.ErrLost) {
		t.Error(err)
	}
	if err := c[1].Send(t.Context(), 0, 0, nil); !errors.Is(err, mpi.ErrLost) {
		t.Error(err)
	}
}

func TestFirst(t *testing.T) {
	run(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		two := c.First(2)
		if (two != nil) != (c.Rank() < 2) {
			return fmt.Errorf("rank %d: %v", c.Rank(), two)
		}
		if two != nil {
			if err := two.Barrier(ctx); err != nil {
				return err
			}
		}
		return c.Barrier(ctx)
	})
}
