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
	"regexp"
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
	tasks, ports, threads, resident int
	of                              map[string]int // ports, by the task's process and command
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
	c := census{of: make(map[string]int)}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		Expect(err).NotTo(HaveOccurred())
		return n
	}
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if m := taskLine.FindStringSubmatch(line); m != nil {
			c.of[m[4]] = number(m[1])
		} else if m := totalsLine.FindStringSubmatch(line); m != nil {
			c.tasks, c.ports, c.threads, c.resident = number(m[1]), number(m[2]), number(m[3]), number(m[4])
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
		for who, n := range now.of {
			if was, ok := before.of[who]; ok && n > was+slack {
				more = append(more, fmt.Sprintf("%s has %d ports, %d before", who, n, was))
			}
		}
		return strings.Join(more, "; ")
	}).WithTimeout(time.Minute).Should(BeEmpty())
}
