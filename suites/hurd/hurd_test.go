// Package hurd is the suite that shows that the nodes of the mach image are a
// Hurd: files through tools and the shell, the conformance suite on the root
// file system and on a translator, translators under settrans, processes and
// signals, users and permissions, and what becomes of crashes, of leaks and of
// hostile programs.
//
//	hurdlab test suites/hurd
package hurd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/images"
	"hurdlab/lab"
	"hurdlab/suites/internal/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestSuite(t *testing.T) { harness.Run(t, "hurd") }

// programs are the programs of the specs, in /bin of the node.
var programs = []string{
	"hurdlab/hurd/translator/examples/hello",
	"hurdlab/hurd/translator/examples/tree",
	"hurdlab/images/mach/cmd/tmpfs",
	"hurdlab/suites/programs/fstest",
	"hurdlab/suites/programs/hostile",
	"hurdlab/suites/programs/misbehave",
	"hurdlab/suites/programs/spawn",
}

// suiteMemoryMB is twice what a node has by itself: files of the suite's own
// and a file system as a translator are in it, beside programs of which each
// has a heap that may grow.
const suiteMemoryMB = 256

// l is the lab of all specs, which leave it as they found it.
var l *lab.Lab

var _ = BeforeSuite(func(ctx SpecContext) {
	l = harness.Up(ctx, lab.Spec{Nodes: 1, MemoryMB: suiteMemoryMB})
	if !l.Nodes()[0].Can(images.CanGo) {
		Skip("this node runs no programs built by the Go port")
	}
	Expect(harness.Install(ctx, l, programs)).To(Succeed())
}, NodeTimeout(20*time.Minute))

// guarded is what every container of specs begins with.
func guarded() { harness.Guard(func() *lab.Lab { return l }) }

// sh runs a script of the shell that is to succeed, and returns its output.
func sh(ctx context.Context, script string) string {
	GinkgoHelper()
	r := try(ctx, script)
	Expect(r.Ok()).To(BeTrue(), "%s: %v\n%s%s", script, r.Exit, r.Stdout, r.Stderr)
	return r.Stdout
}

// try runs a script of the shell, however it ends.
func try(ctx context.Context, script string) lab.Result {
	GinkgoHelper()
	r, err := l.Nodes()[0].Run(ctx, "sh", "-c", script)
	Expect(err).NotTo(HaveOccurred(), "%s", script)
	return r
}

// fails runs a script of the shell that is to fail, and returns what it says
// on standard error.
func fails(ctx context.Context, script string) string {
	GinkgoHelper()
	r := try(ctx, script)
	Expect(r.Ok()).To(BeFalse(), "%s succeeded:\n%s%s", script, r.Stdout, r.Stderr)
	return r.Stderr
}

// pidOf is the number of the process whose command line has a text, 0 if there
// is none.
func pidOf(ctx context.Context, command string) int {
	GinkgoHelper()
	return harness.Pid(ctx, l.Nodes()[0], command)
}

// count counts what the tasks of the node have.
func count(ctx context.Context) harness.Census {
	GinkgoHelper()
	return harness.Count(ctx, l.Nodes()[0])
}

// settles waits until a node has no more tasks than before, and not more than
// slack ports more in any task that was there before.
func settles(ctx context.Context, before harness.Census, slack int) {
	GinkgoHelper()
	Eventually(ctx, func() string { return before.More(count(ctx), slack) }).WithTimeout(time.Minute).Should(BeEmpty())
}

// rests repeats something until the memory of the node comes to rest, as it
// must unless something is kept of each time: heaps and caches grow at first,
// the less the longer, and a little by chance, but a leak always by as much.
// It is at rest when in two repetitions in a row no task, of which the kernel
// is one, has grown by more than limit kB. It fails if that is not so in the first 8,
// and reports the figures.
func rests(ctx context.Context, what string, limit int, do func(i int)) {
	GinkgoHelper()
	const window, repetitions = 2, 8
	seen := []harness.Census{count(ctx)}
	var growth []string
	for i := range repetitions {
		do(i)
		settles(ctx, seen[0], 30)
		seen = append(seen, count(ctx))
		if len(seen) <= window {
			continue
		}
		now, was := seen[len(seen)-1], seen[len(seen)-1-window]
		growth = nil
		for who, has := range now.Of {
			if had, ok := was.Of[who]; ok && has.Resident-had.Resident > limit {
				growth = append(growth, fmt.Sprintf("%s: %d kB", who, has.Resident-had.Resident))
			}
		}
		if growth == nil {
			break
		}
	}
	var figures strings.Builder
	fmt.Fprintln(&figures, "kB in memory, at first and each time after", what)
	row := func(name string, resident func(harness.Census) (int, bool)) {
		for _, c := range seen {
			if n, ok := resident(c); ok {
				fmt.Fprintf(&figures, "%7d", n)
			} else {
				fmt.Fprintf(&figures, "%7s", "-")
			}
		}
		fmt.Fprintln(&figures, " ", name)
	}
	row("the node", func(c harness.Census) (int, bool) { return c.Total.Resident, true })
	for _, who := range slices.Sorted(maps.Keys(seen[len(seen)-1].Of)) {
		row(who, func(c harness.Census) (int, bool) { b, ok := c.Of[who]; return b.Resident, ok })
	}
	AddReportEntry("memory", figures.String())
	Expect(growth).To(BeEmpty(), "more than %d kB more in the last two of %d times:\n%s", limit, len(seen)-1, figures.String())
}
