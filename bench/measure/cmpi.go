package measure

import (
	"context"
	"fmt"
	"path"
	"strings"

	"hurdlab/bench"
	"hurdlab/images"
	"hurdlab/mpi/fdtd"
)

// A cSolver is the solver in C, over the MPICH of a distribution, whose processes rexec starts.
type cSolver struct {
	// run runs a command on a node, from 1 on.
	run   func(ctx context.Context, node int, args ...string) (string, error)
	nodes []string
	// dir is a directory of each node's own.
	dir string
}

// prepare compiles it on all nodes.
func (c *cSolver) prepare(ctx context.Context) error {
	for n := range c.nodes {
		if _, err := c.run(ctx, n+1, "sh", "-ec", fmt.Sprintf(aptScript, "gcc mpich libmpich-dev")); err != nil {
			return err
		}
		// The arithmetic has to be that of SSE2, without fused operations, to have the same bits.
		_, err := c.run(ctx, n+1, "sh", "-ec", fmt.Sprintf(`mkdir -p %[1]s
cd %[1]s
cat > fdtd.c <<'END'
%[2]s
END
flags='-O2 -ffp-contract=off'
[ $(getconf LONG_BIT) != 32 ] || flags="$flags -msse2 -mfpmath=sse"
mpicc $flags -o fdtd fdtd.c
cat > launch <<'END'
#!/bin/sh
# mpiexec calls it as it would ssh: [-x] NODE COMMAND
[ "$1" != -x ] || shift
node=$1
shift
exec rexec --root=there $node sh -c "$*"
END
chmod +x launch`, c.dir, fdtd.C))
		if err != nil {
			return err
		}
	}
	return nil
}

// solve solves a problem by a rank on each of the first nodes, and returns the sum of the fields and
// the time in nanoseconds.
func (c *cSolver) solve(ctx context.Context, ranks int, p fdtd.Problem) (sum string, ns float64, err error) {
	out, err := c.run(ctx, 1, "mpiexec", "-n", fmt.Sprint(ranks), "-ppn", "1", "-hosts", strings.Join(c.nodes[:ranks], ","),
		"-launcher", "ssh", "-launcher-exec", path.Join(c.dir, "launch"), path.Join(c.dir, "fdtd"), fmt.Sprint(p.NX), fmt.Sprint(p.NY), fmt.Sprint(p.Steps))
	if err != nil {
		return "", 0, err
	}
	var n int
	if _, err := fmt.Sscan(out, &n, &sum, &ns); err != nil || n != ranks {
		return "", 0, fmt.Errorf("the solver in C on %d ranks says %q: %v", ranks, out, err)
	}
	return sum, ns, nil
}

// cSolver measures it on one node up to n, or notes why it does not; want is the sum of the fields.
func (m *measuring) cSolver(ctx context.Context, n int, p fdtd.Problem, want string) error {
	if !m.can(images.CanApt, "the solver in C, over MPICH of a distribution") {
		return nil
	}
	c := &cSolver{run: m.run, dir: "/tmp/fdtd"}
	for i := range n {
		c.nodes = append(c.nodes, fmt.Sprintf("node%d", i+1))
	}
	m.Say("installing MPICH on the nodes")
	if err := c.prepare(ctx); err != nil {
		return err
	}
	all := newCollection(m.part)
	name := func(ranks int) string { return fmt.Sprintf("fdtd-in-c/ranks=%d", ranks) }
	for turn := range m.turns(1, 3) {
		for ranks := 1; ranks <= n; ranks++ {
			m.Say(fmt.Sprintf("turn %d: the solver in C on %d ranks", turn+1, ranks))
			sum, ns, err := c.solve(ctx, ranks, p)
			if err != nil {
				return err
			}
			if sum != want {
				return fmt.Errorf("the solver in C on %d ranks: the fields have the sum %s, not %s", ranks, sum, want)
			}
			all.series(name(ranks), "ns", ns)
		}
	}
	for ranks := 2; ranks <= n; ranks++ {
		var goal *bench.Goal
		if ranks == 2 {
			goal = bench.AtLeast(1.6)
		}
		m.part.Faster(fmt.Sprintf("field solver in C on %d nodes, times one: MPICH", ranks), m.part.Find(name(1)), m.part.Find(name(ranks)), true, goal)
	}
	return nil
}
