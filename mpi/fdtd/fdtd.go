// Package fdtd solves Maxwell's equations in two dimensions by finite differences in
// the time domain (Yee's scheme, TM polarisation): what Meep and its like spend their
// time on. The grid is divided among the ranks by rows. Each rank also has some rows of
// its neighbours' (a halo), and computes them itself: one fewer with each step, because
// the next ones are missing. When there are none left the neighbours exchange them. So
// there is a message for each eight steps, say, where one row would mean two a step;
// on a network whose messages take as long as thousands of cells that is most of the
// time.
//
// The result does not depend on the number of ranks, to the last bit: each cell
// is computed from the same numbers by the same operations wherever it lies.
package fdtd

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"runtime"

	"hurdlab/mpi"
)

// A Problem is a grid of cells with a conducting wall around, a cylinder of glass in
// it, and a source in the middle that sends a pulse.
type Problem struct {
	NX, NY int // rows and columns of cells
	Steps  int
	// Halo is how many rows of each neighbour a rank has; 0 is 8. It is never more than
	// what the neighbours have themselves.
	Halo int
}

// courant is the time step in units of the cell's size divided by the speed of light;
// 1/√2 is the most that is stable.
const courant = 0.5

// A Field is a rank's rows of the fields, and its halo.
type Field struct {
	p      Problem
	comm   *mpi.Comm
	lo, hi int // its rows
	step   int
	fresh  int // steps that can be done before the halo has to be exchanged

	// from and to are the rows in memory: row i of the grid is at i-from.
	from, to   int
	ez, hx, hy []float64
	// eps is the time step divided by the permittivity, by cell.
	eps []float64

	out  [2][]byte // to each neighbour
	sent []chan error
	in   []byte
}

// tagHalo is the tag of the rows that neighbours exchange.
const tagHalo = 1

// Rows returns which rows the rank has, of so many.
func (p Problem) Rows(rank, ranks int) (lo, hi int) {
	return rank * p.NX / ranks, (rank + 1) * p.NX / ranks
}

// New returns the fields of a rank, at rest.
func New(c *mpi.Comm, p Problem) (*Field, error) {
	if p.NY < 3 || p.NX < 3 || p.NX < c.Size() {
		return nil, fmt.Errorf("fdtd: a grid of %d × %d for %d ranks", p.NX, p.NY, c.Size())
	}
	if p.Halo <= 0 {
		p.Halo = 8
	}
	p.Halo = min(p.Halo, p.NX/c.Size())
	f := &Field{p: p, comm: c}
	f.lo, f.hi = p.Rows(c.Rank(), c.Size())
	f.from, f.to = max(0, f.lo-p.Halo), min(p.NX, f.hi+p.Halo)
	n := (f.to - f.from) * p.NY
	f.ez, f.hx, f.hy, f.eps = make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i := f.from; i < f.to; i++ {
		for j := range p.NY {
			// The cylinder is a quarter of the grid from the source.
			x, y := float64(i)-0.75*float64(p.NX), float64(j)-0.5*float64(p.NY)
			e := 1.0
			if r := 0.15 * float64(p.NX); x*x+y*y < r*r {
				e = 2.25
			}
			f.eps[(i-f.from)*p.NY+j] = courant / e
		}
	}
	f.fresh = p.Halo // all is at rest
	return f, nil
}

// Run does all steps.
func (f *Field) Run(ctx context.Context) error {
	for f.step < f.p.Steps {
		if err := f.Step(ctx); err != nil {
			return fmt.Errorf("step %d: %w", f.step, err)
		}
	}
	return nil
}

// Step does one step. If it is the last before the halo has to be exchanged, the rows that the
// neighbours need are first: they are under way while the rest is computed.
func (f *Field) Step(ctx context.Context) error {
	if f.fresh == 0 {
		if err := f.receive(ctx); err != nil {
			return err
		}
	}
	// H needs the row of E that follows, and E the row of H before: of what is good, one
	// row fewer on either side is good afterwards, but for the walls.
	h := span{max(0, f.lo-f.fresh), min(f.p.NX-1, f.hi+f.fresh-1)}
	e := span{max(1, f.lo-f.fresh+1), min(f.p.NX-1, f.hi+f.fresh-1)}
	if f.fresh == 1 && f.step+1 < f.p.Steps {
		// What is sent needs no more of H than a row before it. The rows of E that the
		// rest of H needs are none that have been computed.
		restH, restE := h, e
		n, up, down := f.p.Halo, f.comm.Rank() > 0, f.comm.Rank() < f.comm.Size()-1
		if up {
			restH.lo, restE.lo = f.lo+n, f.lo+n
		}
		if down {
			restH.hi, restE.hi = f.hi-n-1, f.hi-n
		}
		if restH.lo < restH.hi {
			f.stepH(span{h.lo, restH.lo})
			f.stepH(span{restH.hi, h.hi})
			f.stepE(span{e.lo, restE.lo})
			f.stepE(span{restE.hi, e.hi})
			f.send(ctx)
			f.stepH(restH)
			f.stepE(restE)
		} else {
			f.stepH(h)
			f.stepE(e)
			f.send(ctx)
		}
	} else {
		f.stepH(h)
		f.stepE(e)
	}
	f.fresh--
	f.step++
	return nil
}

// A span is the rows from lo to before hi.
type span struct{ lo, hi int }

// pulse is what the source adds in a step: something like a Gaussian, of operations that
// have the same result on all processors, which math.Exp has not.
func pulse(step int) float64 {
	t := (float64(step) - 60) / 60
	if t > 1 {
		return 0
	}
	x := 1 - t*t
	x *= x
	return x * x
}

// stepH does a step of the magnetic field of rows.
func (f *Field) stepH(rows span) {
	n := f.p.NY
	for i := rows.lo; i < rows.hi; i++ {
		r := (i - f.from) * n
		ez, next := f.ez[r:][:n], f.ez[r+n:][:n]
		hx, hy := f.hx[r:][:n], f.hy[r:][:n]
		for j := 0; j < n-1; j++ {
			e := ez[j]
			// The conversions keep compilers from fusing what they round apart elsewhere.
			hx[j] -= float64(courant * (ez[j+1] - e))
			hy[j] += float64(courant * (next[j] - e))
		}
	}
}

// stepE does a step of the electric field of rows, with the source.
func (f *Field) stepE(rows span) {
	n := f.p.NY
	for i := rows.lo; i < rows.hi; i++ {
		r := (i - f.from) * n
		ez, eps := f.ez[r:][:n], f.eps[r:][:n]
		hx, hy, before := f.hx[r:][:n], f.hy[r:][:n], f.hy[r-n:][:n]
		for j := 1; j < n-1; j++ {
			ez[j] += float64(eps[j] * (hy[j] - before[j] - hx[j] + hx[j-1]))
		}
		if i == f.p.NX/2 {
			ez[n/2] += pulse(f.step)
		}
	}
}

// send begins to send neighbours the rows that they have as halo; receive waits for its
// end.
func (f *Field) send(ctx context.Context) {
	n := f.p.Halo
	to := func(side, rank, row int) {
		f.out[side] = f.rows(f.out[side][:0], row, n)
		done := make(chan error, 1)
		f.sent = append(f.sent, done)
		go func() { done <- f.comm.Send(ctx, rank, tagHalo, f.out[side]) }()
	}
	if r := f.comm.Rank(); r > 0 {
		to(0, r-1, f.lo)
	}
	if r := f.comm.Rank(); r < f.comm.Size()-1 {
		to(1, r+1, f.hi-n)
	}
	runtime.Gosched() // on one processor they would begin when this has nothing to do
}

// receive has the halo filled again, with what the neighbours send at the same step.
func (f *Field) receive(ctx context.Context) error {
	n := f.p.Halo
	var errs []error
	if r := f.comm.Rank(); r > 0 {
		errs = append(errs, f.recv(ctx, r-1, f.lo-n))
	}
	if r := f.comm.Rank(); r < f.comm.Size()-1 {
		errs = append(errs, f.recv(ctx, r+1, f.hi))
	}
	for _, done := range f.sent {
		errs = append(errs, <-done)
	}
	f.sent = f.sent[:0]
	f.fresh = n
	return errors.Join(errs...)
}

// rows appends n rows of all fields to b.
func (f *Field) rows(b []byte, row, n int) []byte {
	for _, x := range [][]float64{f.ez, f.hx, f.hy} {
		b = mpi.AppendFloat64s(b, x[(row-f.from)*f.p.NY:][:n*f.p.NY])
	}
	return b
}

// recv receives rows of the halo.
func (f *Field) recv(ctx context.Context, from, row int) error {
	b, err := f.comm.Recv(ctx, from, tagHalo, f.in)
	if err != nil {
		return err
	}
	n := f.p.Halo * f.p.NY
	if len(b) != 3*8*n {
		return fmt.Errorf("fdtd: a halo of %d bytes, not %d", len(b), 3*8*n)
	}
	f.in = b[:cap(b)]
	for _, x := range [][]float64{f.ez, f.hx, f.hy} {
		mpi.Float64s(x[(row-f.from)*f.p.NY:][:n], b)
		b = b[8*n:]
	}
	return nil
}

// Energy is the energy of the fields of all ranks.
func (f *Field) Energy(ctx context.Context) (float64, error) {
	e := []float64{0}
	n := f.p.NY
	for r := f.lo; r < f.hi; r++ {
		for j := range n {
			i := (r-f.from)*n + j
			e[0] += f.ez[i]*f.ez[i]/f.eps[i]*courant + f.hx[i]*f.hx[i] + f.hy[i]*f.hy[i]
		}
	}
	err := f.comm.Allreduce(ctx, mpi.Sum, e)
	return e[0] / 2, err
}

// Sum is, on rank 0, a checksum of the fields of all ranks, the same for any number of
// them.
func (f *Field) Sum(ctx context.Context) (uint64, error) {
	// By row, so that a rank need not have the whole grid.
	var sums []byte
	var row []byte
	h := fnv.New64a()
	for i := f.lo; i < f.hi; i++ {
		h.Reset()
		row = f.rows(row[:0], i, 1)
		h.Write(row)
		sums = h.Sum(sums)
	}
	all, err := f.comm.Gather(ctx, 0, sums)
	if err != nil || all == nil {
		return 0, err
	}
	h.Reset()
	for _, b := range all {
		h.Write(b)
	}
	return h.Sum64(), nil
}
