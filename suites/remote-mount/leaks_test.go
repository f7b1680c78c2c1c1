package remotemount

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/suites/internal/harness"
)

// A table is what netmsg status says of the table of rights and what waits.
type table struct{ homes, imports, dead, proxies, ports, waiting, bytes int }

var tableLines = regexp.MustCompile(`rights: (\d+) of this node at peers, (\d+) of peers here, (\d+) dead; (\d+) proxies, (\d+) ports\n(?:.*\n)*?waiting: (\d+) messages, (\d+) bytes`)

func tableOf(ctx SpecContext, node int) table {
	GinkgoHelper()
	text := on(ctx, node, "netmsg status")
	m := tableLines.FindStringSubmatch(text)
	Expect(m).NotTo(BeNil(), "%s", text)
	var n [7]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // they are digits
	}
	return table{n[0], n[1], n[2], n[3], n[4], n[5], n[6]}
}

// exceeds reports whether t has more of something than x.
func (t table) exceeds(x table) bool {
	return t.homes > x.homes || t.imports > x.imports || t.dead > x.dead || t.proxies > x.proxies || t.ports > x.ports || t.waiting > x.waiting || t.bytes > x.bytes
}

func (t table) String() string {
	return fmt.Sprintf("%d homes, %d imports, %d dead, %d proxies, %d ports, %d messages wait", t.homes, t.imports, t.dead, t.proxies, t.ports, t.waiting)
}

// A state is what two nodes have: the tasks of each, and netmsg's tables.
type state struct {
	tasks  [2]harness.Census
	tables [2]table
}

// involved are the servers on the way of a mount, of which ports and memory are
// counted.
var involved = []string{"netmsg serve", "rootfs", "auth", "proc", "pfinet"}

func stateOf(ctx SpecContext, nodes ...int) (s state) {
	GinkgoHelper()
	for i, node := range nodes {
		// netmsg first: what counts the tasks uses the mounts no more.
		s.tables[i] = tableOf(ctx, node)
		s.tasks[i] = harness.Count(ctx, l.Nodes()[node-1])
	}
	return s
}

// slackPorts is how many ports more a server may have that has done the same before,
// and keptPorts what netmsg has more after many calls at a time: it keeps 64 receive
// rights of proxies to use again, package mach 32 for answers that a goroutine waits for
// and 32 for those of the kernel, and there are the threads that copy memory.
const (
	slackPorts = 12
	keptPorts  = slackPorts + 64 + 32 + 32 + 40
)

// more tells what a later state has that s has not, of ports, tasks and entries. Memory
// is for memoryMore.
func (s state) more(now state, slack int, nodes ...int) string {
	var list []string
	for i, node := range nodes {
		if more := s.tasks[i].More(now.tasks[i], slack); more != "" {
			list = append(list, fmt.Sprintf("node%d: %s", node, more))
		}
		if now.tables[i].exceeds(s.tables[i]) {
			list = append(list, fmt.Sprintf("node%d: %v; %v before", node, now.tables[i], s.tables[i]))
		}
	}
	return strings.Join(list, "\n")
}

// memoryMore tells which servers have more than limit kB more memory.
func (s state) memoryMore(now state, limit int, nodes ...int) string {
	var list []string
	for i, node := range nodes {
		for _, server := range involved {
			who, had := s.tasks[i].Task(server)
			if has, ok := now.tasks[i].Of[who]; ok && has.Resident-had.Resident > limit {
				list = append(list, fmt.Sprintf("node%d: %s has %d kB, %d before", node, who, has.Resident, had.Resident))
			}
		}
	}
	return strings.Join(list, "\n")
}

// figures has a line for each server on the way.
func (s state) figures(now state, nodes ...int) string {
	var b strings.Builder
	for i, node := range nodes {
		for _, server := range involved {
			who, had := s.tasks[i].Task(server)
			if has, ok := now.tasks[i].Of[who]; ok {
				fmt.Fprintf(&b, "node%d %-22s ports %4d -> %4d, kB %6d -> %6d\n", node, server, had.Ports, has.Ports, had.Resident, has.Resident)
			}
		}
		fmt.Fprintf(&b, "node%d table                  %v -> %v\n", node, s.tables[i], now.tables[i])
	}
	return b.String()
}

// comesBack does something a few times to warm up, then n times, and wants ports, tasks
// and entries of node1 and node2 to be as they were before, and no server to have grown
// by more than limit kB.
func comesBack(ctx SpecContext, what string, n, limit int, do func(n int)) {
	GinkgoHelper()
	nodes := []int{1, 2}
	allMounted(ctx)
	do(max(n/10, 2))
	var before, now state
	settle := func(s *state) {
		GinkgoHelper()
		// Confirmations and releases are in no hurry.
		Eventually(ctx, func() string {
			*s = stateOf(ctx, nodes...)
			return s.more(stateOf(ctx, nodes...), slackPorts, nodes...)
		}).WithTimeout(time.Minute).Should(BeEmpty())
	}
	settle(&before)
	start := time.Now()
	do(n)
	took := time.Since(start)
	Eventually(ctx, func() string {
		now = stateOf(ctx, nodes...)
		return before.more(now, slackPorts, nodes...)
	}).WithTimeout(time.Minute).Should(BeEmpty(), "after %d %s", n, what)
	AddReportEntry(fmt.Sprintf("%d %s", n, what), fmt.Sprintf("in %v\n%s", took.Round(time.Second), before.figures(now, nodes...)))
	Expect(before.memoryMore(now, limit, nodes...)).To(BeEmpty(), "after %d %s", n, what)
}

// allMounted waits until each node has a session with each other, and their roots: one that
// comes later would be counted as left over.
func allMounted(ctx SpecContext) {
	GinkgoHelper()
	for a := 1; a <= 3; a++ {
		for b := 1; b <= 3; b++ {
			if a != b {
				nodes.Mounted(ctx, a, b)
			}
		}
	}
}

var _ = Describe("what was used is given back", func() {
	guarded()

	It("of files", func(ctx SpecContext) {
		on(ctx, 2, "rm -rf /tmp/many; mkdir /tmp/many; echo x > /tmp/many/x")
		comesBack(ctx, "files", scaled(200, 10000), 2000, func(n int) {
			on(ctx, 1, fmt.Sprintf("mountload open -n %d -at 8 /n/node2/tmp/many/x", n))
		})
	}, SpecTimeout(30*time.Minute))

	It("of many files that are open at a time", func(ctx SpecContext) {
		on(ctx, 2, "rm -rf /tmp/many; mkdir /tmp/many; echo x > /tmp/many/x")
		comesBack(ctx, "rounds of 100 files", scaled(2, 20), 3000, func(n int) {
			for range n {
				on(ctx, 1, "mountload together -n 100 /n/node2/tmp/many/x")
			}
		})
	}, SpecTimeout(30*time.Minute))

	It("of mounts", func(ctx SpecContext) {
		on(ctx, 1, "mkdir -p /tmp/m")
		comesBack(ctx, "mounts", scaled(6, 1000), 2000, func(n int) {
			on(ctx, 1, fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1))
				settrans -a /tmp/m /hurd/netmsg node2 && cat /tmp/m/etc/hostname >/dev/null && settrans -fga /tmp/m || exit 1
				done`, n))
			Expect(on(ctx, 1, "ls /tmp/m")).To(BeEmpty())
		})
		on(ctx, 1, "rmdir /tmp/m")
	}, SpecTimeout(90*time.Minute))

	It("of sessions that are lost, with what was open in them", func(ctx SpecContext) {
		on(ctx, 1, "rm -f /tmp/go")
		on(ctx, 2, "rm -rf /tmp/many; mkdir /tmp/many; echo x > /tmp/many/x")
		comesBack(ctx, "lost sessions", scaled(5, 100), 4000, func(n int) {
			// A client that has files open all the time, and opens them again when they
			// are dead.
			busy := start(ctx, 1, "mountload churn -n 20 -patient /n/node2/tmp/many/x")
			for i := range n {
				// By turns: each end is the one that loses it, and the network.
				switch {
				case i%scaled(5, 10) == scaled(5, 10)-1:
					cut(ctx, 1, 2)
				case i%2 == 0:
					on(ctx, 1, "netmsg reconnect node2")
				default:
					on(ctx, 2, "netmsg reconnect node1")
				}
				nodes.Mounted(ctx, 1, 2)
			}
			allMounted(ctx) // node3 was cut off, too
			on(ctx, 1, "touch /tmp/go")
			out, exit := busy()
			Expect(exit.Ok()).To(BeTrue(), "%s", out)
			AddReportEntry("the client", out)
			on(ctx, 1, "rm /tmp/go")
		})
	}, SpecTimeout(60*time.Minute))

	It("of a client that is killed", func(ctx SpecContext) {
		on(ctx, 2, "echo x > /tmp/x")
		comesBack(ctx, "killed clients", scaled(2, 20), 3000, func(n int) {
			for range n {
				hold := nodes.Start(ctx, 1, "mountload", "keep", "-n", "50", "/n/node2/tmp/x").End
				Eventually(ctx, func() string { return try(ctx, 1, "cat /tmp/held").Stdout }).Should(Equal("open\n"))
				nodes.Kill(ctx, 1, "mountload keep")
				hold()
				on(ctx, 1, "rm /tmp/held")
			}
		})
	}, SpecTimeout(10*time.Minute))
})

// cut cuts two nodes from each other until each has noticed, and heals the network.
func cut(ctx SpecContext, a, b int) {
	GinkgoHelper()
	name := func(n int) string { return fmt.Sprintf("node%d", n) }
	others := []string{}
	for n := 1; n <= 3; n++ {
		if n != a && n != b {
			others = append(others, name(n))
		}
	}
	heal := func(ctx SpecContext) { Expect(l.Net().Heal(ctx)).To(Succeed()) }
	Expect(l.Net().Partition(ctx, append(others, name(a)), []string{name(b)})).To(Succeed())
	DeferCleanup(heal)
	status := func(of int) func() string {
		return func() string { return try(ctx, of, "netmsg status").Stdout }
	}
	Eventually(ctx, status(a)).ShouldNot(ContainSubstring("session with " + name(b)))
	Eventually(ctx, status(b)).ShouldNot(ContainSubstring("session with " + name(a)))
	heal(ctx)
}
