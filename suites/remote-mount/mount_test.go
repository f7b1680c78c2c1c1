// Package remotemount is the suite that shows that a node's files are served to
// others by netmsg: the conformance suite through the mount, files large and
// many, three nodes, and what becomes of all that when the network or a node
// fails.
//
//	hurdlab test suites/remote-mount
//	hurdlab test suites/remote-mount --timeout 2h -- -all     # every case of the conformance suite
//	hurdlab test suites/remote-mount --timeout 2h -- -full    # as many files, mounts and sessions as there are to be lost
package remotemount

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/lab"
	"hurdlab/suites/internal/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestSuite(t *testing.T) { harness.Run(t, "remote mount") }

// all: an emulated node takes some two seconds a case, most of it for the hundred
// calls that go to the other node and back.
var all = flag.Bool("all", false, "run every case of the conformance suite, which takes half an hour, not one of ten")

// full: the counts that are to come back to where they were are those of long use.
var full = flag.Bool("full", false, "10,000 files, 1,000 mounts and 100 lost sessions in place of 200, 6 and 5; 32 MB in place of 4")

// scaled is the number for a quick run, or that for a full one.
func scaled(quick, all int) int {
	if *full {
		return all
	}
	return quick
}

// programs are the programs of the specs, in /bin of each node.
var programs = []string{
	"hurdlab/suites/programs/fstest",
	"hurdlab/suites/programs/mountload",
	"hurdlab/suites/programs/portmove",
	"hurdlab/suites/programs/setclock",
}

// l is the lab of all specs, which leave it as they found it: three nodes that
// all talk to each other.
var l *lab.Lab

var nodes = harness.Nodes{Lab: func() *lab.Lab { return l }}

var _ = BeforeSuite(func(ctx SpecContext) {
	l = harness.Up(ctx, lab.Spec{Nodes: 3, MemoryMB: 192})
	harness.NeedHurd(l)
	Expect(harness.Install(ctx, l, programs)).To(Succeed())
}, NodeTimeout(20*time.Minute))

// guarded is what every container of specs begins with.
func guarded() { harness.Guard(nodes.Lab) }

// on runs a script of the shell on a node that is to succeed, and returns its
// output. The nodes are called 1, 2 and 3.
func on(ctx context.Context, node int, script string) string {
	GinkgoHelper()
	return nodes.On(ctx, node, script)
}

// try runs a script of the shell on a node, however it ends.
func try(ctx context.Context, node int, script string) lab.Result {
	GinkgoHelper()
	return nodes.Try(ctx, node, script)
}

// start starts a script of the shell on a node and returns what waits for its
// output.
func start(ctx context.Context, node int, script string) (wait func() (string, lab.Exit)) {
	GinkgoHelper()
	return nodes.Start(ctx, node, "sh", "-c", script).End
}

var _ = Describe("a mount", func() {
	guarded()

	It("shows the other node's files on each node", func(ctx SpecContext) {
		for a := 1; a <= 3; a++ {
			for b := 1; b <= 3; b++ {
				if a != b {
					Expect(on(ctx, a, fmt.Sprintf("cat /n/node%d/etc/hostname", b))).To(Equal(fmt.Sprintf("node%d\n", b)))
				}
			}
		}
	}, SpecTimeout(3*time.Minute))

	It("is as the conformance suite wants files, for root", func(ctx SpecContext) {
		on(ctx, 2, "rm -rf /tmp/f; mkdir /tmp/f")
		// The nodes wait for each other half of the time: several programs share them.
		one, three := l.Nodes()[0], l.Nodes()[2]
		from, every, atLeast := []*lab.Node{one, one}, 10, 90
		if *all {
			from, every, atLeast = []*lab.Node{one, one, three, three}, 1, 900
		}
		harness.ConformParts(ctx, from, every, atLeast, "-timeout", "5m", "/n/node2/tmp/f")
	}, SpecTimeout(90*time.Minute))

	It("lets in the user as whom they are, and no further", func(ctx SpecContext) {
		nodes.NeedUsers(ctx, 1)
		on(ctx, 2, "rm -rf /tmp/u; mkdir /tmp/u; chmod 777 /tmp/u; echo secret > /tmp/u/root; chmod 600 /tmp/u/root")
		Expect(on(ctx, 1, "su user -c 'echo mine > /n/node2/tmp/u/user; cat /n/node2/tmp/u/user'")).To(Equal("mine\n"))
		Expect(on(ctx, 2, "stat -c %u /tmp/u/user")).To(Equal("1000\n"))
		r := try(ctx, 1, "su user -c 'cat /n/node2/tmp/u/root'")
		Expect(r.Ok()).To(BeFalse())
		Expect(r.Stderr).To(ContainSubstring("permission denied"))
	}, SpecTimeout(2*time.Minute))

	It("carries large files both ways unchanged", func(ctx SpecContext) {
		size := scaled(4, 32) * 1_000_000
		on(ctx, 1, fmt.Sprintf("mountload make -size %[1]d -seed 1 /tmp/big && cp /tmp/big /n/node2/tmp/big && mountload check -size %[1]d -seed 1 /n/node2/tmp/big", size))
		on(ctx, 2, fmt.Sprintf("mountload check -size %d -seed 1 /tmp/big; rm /tmp/big", size))
		on(ctx, 1, "rm /tmp/big")
	}, SpecTimeout(10*time.Minute))

	It("carries many files and deep trees", func(ctx SpecContext) {
		files := scaled(100, 1000)
		on(ctx, 1, fmt.Sprintf("mountload tree -files %d -depth 10 /n/node2/tmp/tree", files))
		Expect(on(ctx, 2, fmt.Sprintf("mountload treecheck -files %d -depth 10 /tmp/tree && rm -r /tmp/tree", files))).To(Equal("ok\n"))
	}, SpecTimeout(10*time.Minute))

	It("has files that are no others: of one inode number on two nodes", func(ctx SpecContext) {
		stat := func(node int, file string) string { return on(ctx, node, "stat -c '%d %i' "+file) }
		here, there := stat(1, "/"), stat(1, "/n/node2/")
		Expect(there).NotTo(Equal(here))
		Expect(stat(1, "/n/node3/")).NotTo(SatisfyAny(Equal(here), Equal(there)))
		Expect(stat(3, "/n/node2/")).To(Equal(there), "as any other node sees it")
		Expect(stat(1, "/n/node3/n/node2/")).To(Equal(there), "whatever the way")
		// What is on this node is this node's, by whatever way, too.
		on(ctx, 1, "echo x > /tmp/same")
		Expect(stat(1, "/n/node2/n/node1/tmp/same")).To(Equal(stat(1, "/tmp/same")))
		on(ctx, 1, "rm /tmp/same")
	}, SpecTimeout(time.Minute))

	It("runs a program that is on the other node", func(ctx SpecContext) {
		on(ctx, 2, "cp /bin/mountload /tmp/prog")
		Expect(on(ctx, 1, "/n/node2/tmp/prog hello; rm /n/node2/tmp/prog")).To(Equal("hello\n"))
	}, SpecTimeout(3*time.Minute))

	It("keeps two clients of one file apart and together", func(ctx SpecContext) {
		on(ctx, 3, "rm -f /tmp/log; : > /tmp/log; chmod 666 /tmp/log")
		a := start(ctx, 1, "mountload append -n 100 -name a /n/node3/tmp/log")
		b := start(ctx, 2, "mountload append -n 100 -name b /n/node3/tmp/log")
		for _, wait := range []func() (string, lab.Exit){a, b} {
			out, exit := wait()
			Expect(exit.Ok()).To(BeTrue(), "%s", out)
		}
		log := on(ctx, 3, "cat /tmp/log")
		Expect(strings.Count(log, "a ")).To(Equal(100))
		Expect(strings.Count(log, "b ")).To(Equal(100))
		Expect(strings.Count(log, "\n")).To(Equal(200))
	}, SpecTimeout(10*time.Minute))

	It("carries receive rights, there and back", func(ctx SpecContext) {
		on(ctx, 2, "touch /tmp/keeper; settrans -a /tmp/keeper /bin/portmove serve")
		DeferCleanup(func(ctx SpecContext) { on(ctx, 2, "settrans -fga /tmp/keeper; rm /tmp/keeper") })
		Expect(on(ctx, 2, "portmove move /tmp/keeper")).To(Equal("moved\n"), "on one node")
		for range 3 {
			Expect(on(ctx, 1, "portmove move /n/node2/tmp/keeper")).To(Equal("moved\n"))
		}
		Expect(on(ctx, 3, "portmove move /n/node1/n/node2/tmp/keeper")).To(Equal("moved\n"), "by way of a third node")
	}, SpecTimeout(2*time.Minute))

	It("passes a right from one node through a second to a third", func(ctx SpecContext) {
		on(ctx, 3, "echo three > /tmp/three")
		// node2's file system hands out the right to node3's files that it has
		// by its own mount.
		Expect(on(ctx, 1, "cat /n/node2/n/node3/tmp/three")).To(Equal("three\n"))
		// And does not have to be there for them to be used.
		hold := nodes.Start(ctx, 1, "mountload", "hold", "/n/node2/n/node3/tmp/three").End
		Eventually(ctx, func() string { return try(ctx, 1, "cat /tmp/held").Stdout }).Should(Equal("open\n"))
		Expect(l.Net().Isolate(ctx, "node2")).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(l.Net().Heal(ctx)).To(Succeed())
			nodes.Mounted(ctx, 1, 2)
			nodes.Mounted(ctx, 3, 2)
		})
		on(ctx, 1, "touch /tmp/go")
		out, exit := hold()
		Expect(exit.Ok()).To(BeTrue(), "%s", out)
		Expect(out).To(Equal("three\n"))
		on(ctx, 1, "rm /tmp/go /tmp/held")
	}, SpecTimeout(5*time.Minute))
})
