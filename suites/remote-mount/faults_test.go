package remotemount

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/lab"
	"hurdlab/lab/vnet"
	"hurdlab/netmsg/transport"
	"hurdlab/suites/internal/harness"
)

var _ = Describe("a fault", func() {
	guarded()

	It("of the network in a transfer: it fails, and goes on after the heal", func(ctx SpecContext) {
		on(ctx, 1, "mountload make -size 4000000 -seed 2 /tmp/big")
		DeferCleanup(func(ctx SpecContext) { on(ctx, 1, "rm -f /tmp/big"); on(ctx, 2, "rm -f /tmp/big") })
		copying := start(ctx, 1, "cp /tmp/big /n/node2/tmp/big")
		Eventually(ctx, func() string { return try(ctx, 2, "stat -c %s /tmp/big").Stdout }).Should(MatchRegexp(`^[1-9]\d{4,}`))
		Expect(l.Net().Partition(ctx, []string{"node1"}, []string{"node2", "node3"})).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(l.Net().Heal(ctx)).To(Succeed()) })
		out, exit := copying()
		Expect(exit.Ok()).To(BeFalse(), "%s", out)
		Expect(out).NotTo(BeEmpty())
		Expect(l.Net().Heal(ctx)).To(Succeed())
		nodes.Mounted(ctx, 1, 2)
		on(ctx, 1, "cp /tmp/big /n/node2/tmp/big")
		on(ctx, 2, "mountload check -size 4000000 -seed 2 /tmp/big")
		on(ctx, 3, "mountload check -size 4000000 -seed 2 /n/node2/tmp/big")
	}, SpecTimeout(15*time.Minute))

	It("of the network while replies are owed: each caller learns it", func(ctx SpecContext) {
		const readers = 8
		on(ctx, 2, "rm -f /tmp/fifo*; for i in 1 2 3 4 5 6 7 8; do mkfifo /tmp/fifo$i; done")
		before := tableOf(ctx, 2)
		reading := start(ctx, 1, "for i in 1 2 3 4 5 6 7 8; do { mountload hold /n/node2/tmp/fifo$i && echo no error; } & done; wait")
		// A fifo opens when somebody writes to it: all replies are owed.
		Eventually(ctx, func() int { return tableOf(ctx, 2).imports }).Should(BeNumerically(">=", before.imports+readers))
		Expect(l.Net().Isolate(ctx, "node2")).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(l.Net().Heal(ctx)).To(Succeed())
			nodes.Mounted(ctx, 1, 2)
			nodes.Mounted(ctx, 3, 2)
			on(ctx, 2, "rm -f /tmp/fifo*")
		})
		out, exit := reading()
		Expect(exit.Ok()).To(BeTrue(), "%s", out)
		Expect(strings.Count(out, "mountload: ")).To(Equal(readers), "%s", out)
		Expect(out).NotTo(ContainSubstring("no error"))
		Expect(l.Net().Heal(ctx)).To(Succeed())
		nodes.Mounted(ctx, 1, 2)
		// The server's end: who waits for readers has none any more.
		Eventually(ctx, func() int { return tableOf(ctx, 2).imports }).Should(BeNumerically("<=", before.imports))
	}, SpecTimeout(5*time.Minute))

	It("of a slow and lossy network: it takes longer", func(ctx SpecContext) {
		on(ctx, 1, "mountload make -size 300000 -seed 3 /tmp/small")
		DeferCleanup(func(ctx SpecContext) {
			Expect(l.Net().Clear(ctx)).To(Succeed())
			on(ctx, 1, "rm -f /tmp/small")
			on(ctx, 2, "rm -f /tmp/small")
		})
		bad := vnet.Faults{Loss: 0.02, Duplicate: 0.02, Reorder: 0.05, Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}
		Expect(l.Net().Set(ctx, "node1", "node2", bad)).To(Succeed())
		Expect(l.Net().Set(ctx, "node2", "node1", bad)).To(Succeed())
		on(ctx, 1, "cp /tmp/small /n/node2/tmp/small")
		Expect(l.Net().Clear(ctx)).To(Succeed())
		on(ctx, 1, "mountload check -size 300000 -seed 3 /n/node2/tmp/small")
		on(ctx, 2, "mountload check -size 300000 -seed 3 /tmp/small")
	}, SpecTimeout(5*time.Minute))

	It("of the server: after its restart the mount is there again", func(ctx SpecContext) {
		on(ctx, 1, "ls /n/node2/etc")
		node := l.Nodes()[1]
		Expect(node.Kill(ctx)).To(Succeed())
		Expect(node.Boot(ctx)).To(Succeed())
		Expect(harness.Install(ctx, l, programs, "node2")).To(Succeed())
		nodes.Mounted(ctx, 1, 2)
		nodes.Mounted(ctx, 3, 2)
		nodes.Mounted(ctx, 2, 1)
	}, SpecTimeout(6*time.Minute))

	It("of the server's netmsg: init starts it again, and the mount is there", func(ctx SpecContext) {
		on(ctx, 1, "ls /n/node2/etc")
		nodes.Kill(ctx, 2, "netmsg serve")
		nodes.Mounted(ctx, 1, 2)
		nodes.Mounted(ctx, 2, 1)
	}, SpecTimeout(4*time.Minute))

	It("of the client's node: the server keeps nothing of it", func(ctx SpecContext) {
		on(ctx, 2, "echo x > /tmp/x")
		on(ctx, 3, "mountload open -n 10 /n/node2/tmp/x")
		Eventually(ctx, func() int { return tableOf(ctx, 2).homes }).Should(BeNumerically("<", 20))
		before := tableOf(ctx, 2)
		node := l.Nodes()[2]
		always, stop := context.WithCancel(context.Background())
		DeferCleanup(stop)
		_, err := node.Start(always, lab.Cmd{Args: []string{"mountload", "keep", "-n", "100", "/n/node2/tmp/x"}})
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, func() string { return try(ctx, 3, "cat /tmp/held").Stdout }).Should(Equal("open\n"))
		Expect(tableOf(ctx, 2).homes).To(BeNumerically(">=", before.homes+100))
		Expect(node.Kill(ctx)).To(Succeed())
		// It is silent; the session's end is noticed by that.
		Eventually(ctx, func() int { return tableOf(ctx, 2).homes }).Should(BeNumerically("<=", before.homes))
		Expect(node.Boot(ctx)).To(Succeed())
		Expect(harness.Install(ctx, l, programs, "node3")).To(Succeed())
		nodes.Mounted(ctx, 3, 2)
		nodes.Mounted(ctx, 3, 1)
		nodes.Mounted(ctx, 1, 3)
		nodes.Mounted(ctx, 2, 3)
		Expect(on(ctx, 3, "cat /n/node2/tmp/x")).To(Equal("x\n"))
	}, SpecTimeout(6*time.Minute))

	It("of the clock: keys do not look at it", func(ctx SpecContext) {
		on(ctx, 2, "setclock 1000000000")
		nodes.Kill(ctx, 2, "netmsg serve")
		nodes.Mounted(ctx, 1, 2)
		Expect(on(ctx, 1, "date +%s > /n/node2/tmp/now; cat /n/node2/tmp/now")).NotTo(HavePrefix("10000"))
		on(ctx, 2, fmt.Sprintf("setclock %d", time.Now().Unix()))
	}, SpecTimeout(4*time.Minute))
})

var _ = Describe("a stranger", func() {
	guarded()

	It("does not get in without a key, whatever is said", func(ctx SpecContext) {
		for _, text := range []string{"", "GET / HTTP/1.0\r\n\r\n", "netmsg plain\n\x05node3", strings.Repeat("\x00\xff", 5000)} {
			c, err := l.Nodes()[0].Dial(ctx, transport.Port)
			Expect(err).NotTo(HaveOccurred())
			_, err = io.WriteString(c, text)
			Expect(err).NotTo(HaveOccurred())
			if text == "" {
				c.Close() // hangs up
				continue
			}
			answer, _ := io.ReadAll(c)
			c.Close()
			Expect(len(answer)).To(BeNumerically("<", 20), "%q", answer)
		}
		nodes.Mounted(ctx, 2, 1)
	}, SpecTimeout(3*time.Minute))
})
