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
	"regexp"
	"slices"
	"strconv"
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
	for line := range strings.Lines(sh(ctx, "ps")) {
		f := strings.Fields(line)
		if len(f) > 7 && strings.Contains(strings.Join(f[7:], " "), command) {
			pid, err := strconv.Atoi(f[0])
			Expect(err).NotTo(HaveOccurred(), "%s", line)
			return pid
		}
	}
	return 0
}

// A census counts what the tasks of a node have: the tool tasks tells.
type census struct {
	tasks int
	total belongings
	of    map[string]belongings // by the task's process and command
}

// belongings are what a task has: names of ports, threads, kB in memory.
type belongings struct{ ports, threads, resident int }

func (c census) String() string {
	return fmt.Sprintf("%d tasks, %d ports, %d threads, %d kB", c.tasks, c.total.ports, c.total.threads, c.total.resident)
}

var (
	taskLine   = regexp.MustCompile(`^ *(\d+) ports +(\d+) threads +(\d+)k resident +\d+k virtual +(.*)$`)
	totalsLine = regexp.MustCompile(`^(\d+) tasks, (\d+) ports, (\d+) threads, (\d+)k resident$`)
)

func count(ctx context.Context) census {
	GinkgoHelper()
	// The server of pipes starts with the first.
	sh(ctx, "echo | cat")
	out := sh(ctx, "tasks")
	c := census{of: make(map[string]belongings)}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		Expect(err).NotTo(HaveOccurred())
		return n
	}
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if m := taskLine.FindStringSubmatch(line); m != nil {
			c.of[m[4]] = belongings{number(m[1]), number(m[2]), number(m[3])}
		} else if m := totalsLine.FindStringSubmatch(line); m != nil {
			c.tasks, c.total = number(m[1]), belongings{number(m[2]), number(m[3]), number(m[4])}
		}
	}
	Expect(c.tasks).NotTo(BeZero(), "%s", out)
	return c
}

// settles waits until a node has no more tasks than before, and not more than
// slack ports more in any task that was there before.
func settles(ctx context.Context, before census, slack int) {
	GinkgoHelper()
	Eventually(ctx, func() string {
		now := count(ctx)
		var more []string
		if now.tasks > before.tasks {
			more = append(more, fmt.Sprintf("%d tasks, %d before", now.tasks, before.tasks))
		}
		for who, has := range now.of {
			if had, ok := before.of[who]; ok && has.ports > had.ports+slack {
				more = append(more, fmt.Sprintf("%s has %d ports, %d before", who, has.ports, had.ports))
			}
		}
		return strings.Join(more, "; ")
	}).WithTimeout(time.Minute).Should(BeEmpty())
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
	seen := []census{count(ctx)}
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
		for who, has := range now.of {
			if had, ok := was.of[who]; ok && has.resident-had.resident > limit {
				growth = append(growth, fmt.Sprintf("%s: %d kB", who, has.resident-had.resident))
			}
		}
		if growth == nil {
			break
		}
	}
	var figures strings.Builder
	fmt.Fprintln(&figures, "kB in memory, at first and each time after", what)
	row := func(name string, resident func(census) (int, bool)) {
		for _, c := range seen {
			if n, ok := resident(c); ok {
				fmt.Fprintf(&figures, "%7d", n)
			} else {
				fmt.Fprintf(&figures, "%7s", "-")
			}
		}
		fmt.Fprintln(&figures, " ", name)
	}
	row("the node", func(c census) (int, bool) { return c.total.resident, true })
	for _, who := range slices.Sorted(maps.Keys(seen[len(seen)-1].of)) {
		row(who, func(c census) (int, bool) { b, ok := c.of[who]; return b.resident, ok })
	}
	AddReportEntry("memory", figures.String())
	Expect(growth).To(BeEmpty(), "more than %d kB more in the last two of %d times:\n%s", limit, len(seen)-1, figures.String())
}
