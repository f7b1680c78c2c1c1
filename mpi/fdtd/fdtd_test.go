package fdtd

import (
	"context"
	"fmt"
	"math"
	"testing"

	"golang.org/x/sync/errgroup"

	"hurdlab/mpi"
)

// solve runs a problem on n ranks in memory.
func solve(t testing.TB, p Problem, n int) (sum uint64, energy float64, peak float64) {
	t.Helper()
	g, ctx := errgroup.WithContext(t.Context())
	for _, c := range mpi.Local(n) {
		g.Go(func() error {
			f, err := New(c, p)
			if err != nil {
				return err
			}
			if err := f.Run(ctx); err != nil {
				return err
			}
			e, err := f.Energy(ctx)
			if err != nil {
				return err
			}
			s, err := f.Sum(ctx)
			if c.Rank() == 0 {
				sum, energy = s, e
				for _, x := range f.ez {
					peak = max(peak, math.Abs(x))
				}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return sum, energy, peak
}

func TestSameOnAnyNumberOfRanks(t *testing.T) {
	for _, p := range []Problem{{NX: 40, NY: 33, Steps: 90}, {NX: 17, NY: 64, Steps: 120}, {NX: 9, NY: 3, Steps: 200}} {
		want, _, _ := solve(t, p, 1)
		for n := 2; n <= 9; n++ {
			for halo := 1; halo <= 5; halo++ {
				p.Halo = halo
				if got, _, _ := solve(t, p, n); got != want {
					t.Errorf("%v on %d ranks: %x, not %x", p, n, got, want)
				}
			}
		}
	}
}

// A row of a neighbour that is wrong is seen in the sum.
func TestSumSeesAFault(t *testing.T) {
	p := Problem{NX: 20, NY: 20, Steps: 80}
	want, _, _ := solve(t, p, 1)
	f, err := New(mpi.Local(1)[0], p)
	if err != nil {
		t.Fatal(err)
	}
	for f.step < p.Steps {
		if err := f.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f.step == 50 {
			i := 8*p.NY + 10
			f.ez[i] = math.Nextafter(f.ez[i], 2)
		}
	}
	if got, _ := f.Sum(t.Context()); got == want {
		t.Error("the last bit of a cell was changed, and the sum is the same")
	}
}

// The walls conduct, nothing is lost: after the pulse has been sent, the energy stays.
func TestEnergyIsConserved(t *testing.T) {
	_, before, peak := solve(t, Problem{NX: 60, NY: 60, Steps: 150}, 1)
	_, after, _ := solve(t, Problem{NX: 60, NY: 60, Steps: 1500}, 1)
	if peak == 0 || peak > 10 {
		t.Errorf("the field is %g at most", peak)
	}
	// The scheme's conserved quantity is of two half steps; this one swings around it.
	if r := after / before; r < 0.9 || r > 1.1 {
		t.Errorf("energy %g after the pulse, %g later", before, after)
	}
}

// The wave travels at the speed of light: the front has not passed what it cannot have
// reached, and has reached what is well within.
func TestSpeed(t *testing.T) {
	p := Problem{NX: 200, NY: 200, Steps: 140}
	f, err := New(mpi.Local(1)[0], p)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	at := func(d int) float64 { return math.Abs(f.ez[100*p.NY+100+d]) }
	// 80 steps after the peak of the pulse: 40 cells.
	if near, far := at(40), at(140*courant+25); near < 1e-3 || far > 1e-9 {
		t.Errorf("%g at 40 cells, %g beyond the front", near, far)
	}
}

func BenchmarkStep(b *testing.B) {
	for _, n := range []int{256, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, err := New(mpi.Local(1)[0], Problem{NX: n, NY: n})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := f.Step(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
