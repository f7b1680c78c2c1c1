// Package port is the suite that runs tests inside a node: those of the Go
// port and of package mach, which need a Mach kernel under them, and a choice
// of Go's own that lean on all the parts of the runtime. The whole of Go's
// library takes an hour; patches/go/stdtest runs it and docs/go-port.md has
// the result.
package port

import (
	"context"
	"path"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/lab"
	"hurdlab/suites/internal/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestSuite(t *testing.T) { harness.Run(t, "port") }

// packages are those whose tests run, built for the node.
var packages = []string{
	"hurdlab/mach",
	"hurdlab/mach/wire",
	"hurdlab/hurd/ports",
	"hurdlab/netmsg/bridge",
	"hurdlab/netmsg/late",
	"hurdlab/patches/go/porttest",
	// Goroutines, locks, timers.
	"sync/atomic", "context",
	// Floating point, long arithmetic, code that the compiler treats specially.
	"math", "math/bits", "strconv", "sort",
	// Memory in large pieces.
	"bytes", "container/heap",
}

var (
	l   *lab.Lab
	dir string
)

var _ = BeforeSuite(func(ctx SpecContext) {
	l = harness.Up(ctx, lab.Spec{Nodes: 1, MemoryMB: 512})
	dir = GinkgoT().TempDir()
	Expect(harness.BuildTests(ctx, dir, packages...)).To(Succeed())
}, NodeTimeout(30*time.Minute))

var _ = Describe("in a node", func() {
	harness.Guard(func() *lab.Lab { return l })

	for _, pkg := range packages {
		It("the tests of "+pkg+" pass", func(ctx SpecContext) {
			name := path.Base(pkg) + ".test"
			node := l.Nodes()[0]
			Expect(node.CopyTo(ctx, filepath.Join(dir, name), "/tmp/"+name)).To(Succeed())
			DeferCleanup(func(ctx context.Context) { node.Run(ctx, "rm", "/tmp/"+name) })
			p, err := node.Start(ctx, lab.Cmd{
				Args:   []string{"/tmp/" + name, "-test.short", "-test.timeout=5m"},
				Stdout: GinkgoWriter, Stderr: GinkgoWriter,
			})
			Expect(err).NotTo(HaveOccurred())
			exit, err := p.Wait()
			Expect(err).NotTo(HaveOccurred())
			Expect(exit.Ok()).To(BeTrue(), "%v", exit)
		}, SpecTimeout(6*time.Minute))
	}
})
