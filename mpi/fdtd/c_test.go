package fdtd

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The program in C, over an MPI of this host, has the same fields on any number of ranks.
func TestC(t *testing.T) {
	mpicc, err := exec.LookPath("mpicc")
	if err != nil {
		t.Skip("this host has no mpicc: ", err)
	}
	program := filepath.Join(t.TempDir(), "fdtd")
	if out, err := exec.Command(mpicc, "-O2", "-Wall", "-ffp-contract=off", "-o", program, "testdata/fdtd.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, p := range []Problem{{NX: 40, NY: 33, Steps: 90, Halo: 8}, {NX: 96, NY: 64, Steps: 40, Halo: 3}} {
		sum, _, _ := solve(t, p, 2)
		for ranks := 1; ranks <= 3; ranks++ {
			out, err := exec.Command("mpiexec", "-n", fmt.Sprint(ranks), program, fmt.Sprint(p.NX), fmt.Sprint(p.NY), fmt.Sprint(p.Steps), fmt.Sprint(p.Halo)).CombinedOutput()
			if err != nil {
				t.Fatalf("%d ranks: %v\n%s", ranks, err, out)
			}
			if want := fmt.Sprintf("%d %x ", ranks, sum); !strings.HasPrefix(string(out), want) {
				t.Errorf("%v on %d ranks: %q, not %q", p, ranks, out, want)
			}
		}
	}
}
