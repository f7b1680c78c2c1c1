// Package fdtd solves Maxwell's equations in two dimensions by finite differences in
// the time domain (Yee's scheme, TM polarisation): what Meep and its like spend their
// time on. The grid is divided among the ranks by rows; each step they
// exchange the rows at the borders.
//
// The result does not depend on the number of ranks, to the last bit: each cell
// is computed from the same numbers by the same operations wherever it lies.
package fdtd

import (
	"context"
	"fmt"
	"hash"
	"hash/fnv"
	"math"

	"hurdlab/mpi"
)

// A Problem is a grid of cells with a conducting wall around, a cylinder of glass in
// it, and a source in the middle that sends a pulse.
type Problem struct {
	NX, NY int // rows and columns of cells
	Steps  int
}

// courant is the time step in units of the cell's size divided by the speed of light;
// 1/√2 is the most that is stable.
const courant = 0.5

// A Field is a rank's rows of the fields, with one row more on either side that
// is a neighbour's.
type Field struct {
	p      Problem
	comm   *mpi.Comm
	lo, hi int // its rows
	step   int

	// (hi-lo+2) rows of NY cells; row i of the grid is at i-lo+1.
	ez, hx, hy []float64
	// eps is the time step divided by the permittivity, by cell.
	eps []float64

	out []byte
	in  []byte
	row []float64
}

// Tags of the rows that are sent up and down.
const (
	tagEz = 1
	tagHy = 2
)

// Rows returns which rows the rank has, of so many.
func (p Problem) Rows(rank, ranks int) (lo, hi int) {
	return rank * p.NX / ranks, (rank + 1) * p.NX / ranks
}

// New returns the fields of a rank, at rest.
func New(c *mpi.Comm, p Problem) (*Field, error) {
	if p.NY < 3 || p.NX < 3 || p.NX < c.Size() {
		return nil, fmt.Errorf("fdtd: a grid of %d × %d for %d ranks", p.NX, p.NY, c.Size())
	}
	lo, hi := p.Rows(c.Rank(), c.Size())
	n := (hi - lo + 2) * p.NY
	f := &Field{p: p, comm: c, lo: lo, hi: hi, ez: make([]float64, n), hx: make([]float64, n), hy: make([]float64, n),
		eps: make([]float64, n), row: make([]float64, p.NY)}
	for i := lo; i < hi; i++ {
		for j := range p.NY {
			// The cylinder is a quarter of the grid from the source.
			x, y := float64(i)-0.75*float64(p.NX), float64(j)-0.5*float64(p.NY)
			e := 1.0
			if r := 0.15 * float64(p.NX); x*x+y*y < r*r {
				e = 2.25
			}
			f.eps[(i-lo+1)*p.NY+j] = courant / e
		}
	}
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

// Step does one step. What goes to a neighbour is computed first, and what needs a
// neighbour's last, so that the rows travel while the others are computed.
func (f *Field) Step(ctx context.Context) error {
	up, down := f.comm.Rank()-1, f.comm.Rank()+1
	rows := f.hi - f.lo
	// H needs the row of E below.
	if up >= 0 {
		if err := f.send(ctx, up, tagEz, f.ez, 1); err != nil {
			return err
		}
	}
	for r := 1; r < rows; r++ {
		f.stepH(r)
	}
	if down < f.comm.Size() {
		if err := f.recv(ctx, down, tagEz, f.ez, rows+1); err != nil {
			return err
		}
	}
	f.stepH(rows)
	// E needs the row of H above.
	if down < f.comm.Size() {
		if err := f.send(ctx, down, tagHy, f.hy, rows); err != nil {
			return err
		}
	}
	for r := rows; r > 1; r-- {
		f.stepE(r)
	}
	if up >= 0 {
		if err := f.recv(ctx, up, tagHy, f.hy, 0); err != nil {
			return err
		}
	}
	f.stepE(1)
	if i := f.p.NX / 2; i >= f.lo && i < f.hi {
		t := (float64(f.step) - 60) / 20
		f.ez[(i-f.lo+1)*f.p.NY+f.p.NY/2] += math.Exp(-t * t)
	}
	f.step++
	return nil
}

func (f *Field) stepH(r int) {
	n := f.p.NY
	ez, below := f.ez[r*n:][:n], f.ez[(r+1)*n:][:n]
	hx, hy := f.hx[r*n:][:n], f.hy[r*n:][:n]
	for j := 0; j < n-1; j++ {
		e := ez[j]
		hx[j] -= courant * (ez[j+1] - e)
		hy[j] += courant * (below[j] - e)
	}
	if i := f.lo + r - 1; i == f.p.NX-1 {
		clear(hy) // beyond the wall
	}
}

func (f *Field) stepE(r int) {
	if i := f.lo + r - 1; i == 0 || i == f.p.NX-1 {
		return // the wall
	}
	n := f.p.NY
	ez, eps := f.ez[r*n:][:n], f.eps[r*n:][:n]
	hx, hy, above := f.hx[r*n:][:n], f.hy[r*n:][:n], f.hy[(r-1)*n:][:n]
	for j := 1; j < n-1; j++ {
		ez[j] += eps[j] * (hy[j] - above[j] - hx[j] + hx[j-1])
	}
}

func (f *Field) send(ctx context.Context, to int, tag int32, x []float64, r int) error {
	f.out = mpi.AppendFloat64s(f.out[:0], x[r*f.p.NY:][:f.p.NY])
	return f.comm.Send(ctx, to, tag, f.out)
}

func (f *Field) recv(ctx context.Context, from int, tag int32, x []float64, r int) error {
	b, err := f.comm.Recv(ctx, from, tag, f.in)
	if err != nil {
		return err
	}
	if len(b) != 8*f.p.NY {
		return fmt.Errorf("fdtd: a row of %d bytes, not %d", len(b), 8*f.p.NY)
	}
	f.in = b[:cap(b)]
	mpi.Float64s(x[r*f.p.NY:][:f.p.NY], b)
	return nil
}

// Energy is the energy of the fields of all ranks.
func (f *Field) Energy(ctx context.Context) (float64, error) {
	e := []float64{0}
	n := f.p.NY
	for r := 1; r <= f.hi-f.lo; r++ {
		for j := range n {
			i := r*n + j
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
	h := fnv.New64a()
	for r := 1; r <= f.hi-f.lo; r++ {
		h.Reset()
		for _, x := range [][]float64{f.ez, f.hx, f.hy} {
			f.hashRow(h, x[r*f.p.NY:][:f.p.NY])
		}
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

func (f *Field) hashRow(h hash.Hash64, x []float64) {
	f.out = mpi.AppendFloat64s(f.out[:0], x)
	h.Write(f.out)
}
