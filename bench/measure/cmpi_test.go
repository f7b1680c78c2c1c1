package measure

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hurdlab/mpi"
	"hurdlab/mpi/fdtd"
)

// The solver in C is compiled, started on each node by rexec, and has the fields of the one in Go. All
// nodes are this host, whose MPICH it is.
func TestCSolver(t *testing.T) {
	for _, c := range []string{"mpicc", "mpiexec"} {
		if _, err := exec.LookPath(c); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	c := &cSolver{run: fakeNode(t, dir), nodes: []string{"a", "b", "c"}, dir: filepath.Join(dir, "solver")}
	if err := c.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := fdtd.Problem{NX: 96, NY: 64, Steps: 40}
	f, err := fdtd.New(mpi.Local(1)[0], p)
	if err == nil {
		err = f.Run(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	want, err := f.Sum(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for ranks := 1; ranks <= 3; ranks++ {
		os.Remove(filepath.Join(dir, "places"))
		sum, ns, err := c.solve(t.Context(), ranks, p)
		if err != nil || sum != fmt.Sprintf("%x", want) || ns <= 0 {
			t.Fatal(ranks, sum, ns, err)
		}
		b, _ := os.ReadFile(filepath.Join(dir, "places"))
		at := strings.Fields(string(b))
		slices.Sort(at)
		if !slices.Equal(at, c.nodes[:ranks]) {
			t.Errorf("%d ranks: started on %q", ranks, at)
		}
	}
}
