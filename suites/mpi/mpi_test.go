// Package mpi is the suite that shows jobs of ranks on several nodes: what they exchange
// is right over all kinds of links, a field solver gives the same bits as one
// process, and when a rank fails the job ends.
//
//	hurdlab test suites/mpi
//
// What it takes is measured by hurdlab bench mpi.
package mpi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/bench/measure"
	"hurdlab/lab"
	"hurdlab/mpi"
	"hurdlab/mpi/fdtd"
	"hurdlab/suites/internal/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestSuite(t *testing.T) { harness.Run(t, "MPI") }

var l *lab.Lab

var nodes = harness.Nodes{Lab: func() *lab.Lab { return l }}

var _ = BeforeSuite(func(ctx SpecContext) {
	l = harness.Up(ctx, lab.Spec{Nodes: 3, MemoryMB: measure.Find("mpi").MemoryMB})
	harness.NeedHurd(l)
	Expect(harness.Install(ctx, l, measure.Find("mpi").Programs)).To(Succeed())
}, NodeTimeout(20*time.Minute))

// problem is what is solved by one process of this host, and by ranks.
var problem = fdtd.Problem{NX: 96, NY: 64, Steps: 40}

// alone is the sum of the fields that one process computes.
func alone(ctx context.Context) uint64 {
	GinkgoHelper()
	f, err := fdtd.New(mpi.Local(1)[0], problem)
	Expect(err).NotTo(HaveOccurred())
	Expect(f.Run(ctx)).To(Succeed())
	sum, err := f.Sum(ctx)
	Expect(err).NotTo(HaveOccurred())
	return sum
}

var _ = Describe("a job", func() {
	harness.Guard(nodes.Lab)

	It("computes on three nodes what one process computes", func(ctx SpecContext) {
		sum := alone(ctx)
		out := nodes.On(ctx, 1, fmt.Sprintf("mpibench -rounds 1 -fdtd %dx%dx%d node1 node2 node3 -- fdtd", problem.NX, problem.NY, problem.Steps))
		seen := make(map[string]bool)
		for line := range strings.Lines(out) {
			var r struct {
				Links string
				Ranks int
				Sum   string
			}
			Expect(json.Unmarshal([]byte(line), &r)).To(Succeed(), "%s", line)
			// The same as this host's, whose processor is another one.
			Expect(r.Sum).To(Equal(fmt.Sprintf("%x", sum)), "%s", line)
			seen[fmt.Sprint(r.Ranks, r.Links)] = true
		}
		Expect(seen).To(HaveLen(7), "%s", out)
	}, SpecTimeout(5*time.Minute))

	It("has collectives, over all kinds of links", func(ctx SpecContext) {
		// The program itself checks what comes.
		out := nodes.On(ctx, 1, "mpibench -n 1 -rounds 1 -sizes 8,40000 node1 node2 node3 -- barrier bcast allreduce")
		Expect(strings.Count(out, "\n")).To(Equal(3 + 6 + 6))
	}, SpecTimeout(5*time.Minute))

	It("ends when a rank does, and says so", func(ctx SpecContext) {
		// As long as it takes: it is to be ended.
		r := nodes.Start(ctx, 1, "mpibench", "-rounds", "1000000", "-links", "netmsg", "node1", "node2", "node3", "--", "barrier")
		Eventually(ctx, func() map[string]string { return nodes.Processes(ctx, 3, "mpibench") }).Should(HaveLen(1))
		nodes.Kill(ctx, 3, "mpibench")
		out, exit := r.End()
		Expect(exit.Ok()).To(BeFalse())
		// Who hears of it first: the one that waits for its end, or the other ranks.
		Expect(out).To(Or(ContainSubstring("rank 2 on node3: ended"), ContainSubstring("from 2: mpi: a rank was lost")))
		for n := 1; n <= 3; n++ {
			Eventually(ctx, func() map[string]string { return nodes.Processes(ctx, n, "mpibench") }).Should(BeEmpty())
		}
	}, SpecTimeout(5*time.Minute))
})

var _ = Describe("the solver in C, over a distribution's MPI", func() {
	harness.Guard(nodes.Lab)

	It("computes what one process computes", func(ctx SpecContext) {
		nodes.NeedFile(ctx, 1, "/usr/bin/mpicc", "it is of a distribution that packages an MPI (mpich, libmpich-dev)")
		sum := alone(ctx)
		Expect(l.Nodes()[0].CopyTo(ctx, "../../mpi/fdtd/testdata/fdtd.c", "/tmp/fdtd.c")).To(Succeed())
		flags := "-O2 -ffp-contract=off"
		if nodes.On(ctx, 1, "getconf LONG_BIT") == "32\n" {
			flags += " -msse2 -mfpmath=sse"
		}
		nodes.On(ctx, 1, "mpicc "+flags+" -o /tmp/cfdtd /tmp/fdtd.c")
		for ranks := 1; ranks <= 3; ranks++ {
			out := nodes.On(ctx, 1, fmt.Sprintf("mpiexec -n %d /tmp/cfdtd %d %d %d", ranks, problem.NX, problem.NY, problem.Steps))
			Expect(out).To(HavePrefix(fmt.Sprintf("%d %x ", ranks, sum)))
		}
	}, SpecTimeout(8*time.Minute))
})

var _ = Describe("hurdlab bench mpi", func() {
	harness.Guard(nodes.Lab)

	It("measures what it says", func(ctx SpecContext) {
		p, err := measure.Find("mpi").Measure(ctx, l, measure.Options{Nodes: []int{1, 2}, Quick: true, Say: func(s string) { GinkgoWriter.Println(s) }})
		Expect(err).NotTo(HaveOccurred())
		for _, name := range []string{"fdtd/ranks=1", "fdtd/links=netmsg/ranks=2", "latency/links=pager/size=64", "bandwidth/links=tcp/size=2048", "allreduce/links=netmsg/size=64"} {
			Expect(p.Find(name)).NotTo(BeNil(), "%s", name)
		}
		Expect(p.Ratios).NotTo(BeEmpty())
	}, SpecTimeout(8*time.Minute))
})
