// Package compile is the suite that shows Go's own compiler, assembler and linker at work
// inside the nodes: they build a program whose sources are node1's, on one node and on
// several, and the objects are the same to the bit.
//
//	hurdlab test suites/compile -- -quick     # a program of some ten packages
//	hurdlab test suites/compile -- -full      # one of more than 100
//
// Without either it does nothing: Go's compiler has to be built for the Hurd, which
// takes some minutes by itself.
//
// What it takes is measured by hurdlab bench compile.
package compile

import (
	"flag"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/bench/measure"
	"hurdlab/lab"
	"hurdlab/suites/internal/harness"
)

var (
	quick = flag.Bool("quick", false, "build a small program")
	full  = flag.Bool("full", false, "build the program of more than 100 packages")
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestSuite(t *testing.T) { harness.Run(t, "compile") }

var l *lab.Lab

var _ = BeforeSuite(func(ctx SpecContext) {
	if !*quick && !*full {
		Skip("neither -quick nor -full")
	}
	l = harness.Up(ctx, lab.Spec{Nodes: 2, MemoryMB: measure.Find("compile").MemoryMB})
	harness.NeedHurd(l)
}, NodeTimeout(20*time.Minute))

var _ = Describe("the compiler on the nodes", func() {
	harness.Guard(func() *lab.Lab { return l })

	It("makes the same objects on one node and on two, and a program that runs", func(ctx SpecContext) {
		// It is the measurement that compares, and fails if they differ.
		p, err := measure.Find("compile").Measure(ctx, l, measure.Options{Nodes: []int{1, 2}, Quick: !*full, Say: func(s string) { GinkgoWriter.Println(s) }})
		for _, n := range p.Notes {
			AddReportEntry("note", n)
		}
		Expect(err).NotTo(HaveOccurred())
		for _, name := range []string{"build/nodes=1", "build/nodes=2"} {
			Expect(p.Find(name).Values).NotTo(BeEmpty())
		}
		// Some were compiled on the other node.
		Expect(p.Notes).To(ContainElement(MatchRegexp(`of 2 nodes, node2: [1-9]`)))
	}, SpecTimeout(25*time.Minute))
})
