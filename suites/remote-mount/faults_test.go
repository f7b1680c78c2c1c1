package remotemount

import (
	"fmt"
	"io"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/netmsg/transport"
	"hurdlab/suites/internal/harness"
)

var _ = Describe("a fault", func() {
	guarded()

	It("of the network in a transfer: it fails, and goes on after the heal", func(ctx SpecContext) {
		on(ctx, 1, "mountload make -size 20000000 -seed 2 /tmp/big")
		DeferCleanup(func(ctx SpecContext) { on(ctx, 1, "rm -f /tmp/big"); on(ctx, 2, "rm -f /tmp/big") })
		copying := start(ctx, 1, "cp /tmp/big /n/node2/tmp/big")
		Eventually(ctx, func() string { return try(ctx, 2, "stat -c %s /tmp/big").Stdout }).Should(MatchRegexp(`^[1-9]\d{5,}`))
		Expect(l.Net().Partition(ctx, []string{"node1"}, []string{"node2", "node3"})).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(l.Net().Heal(ctx)).To(Succeed()) })
		out, exit := copying()
		Expect(exit.Ok()).To(BeFalse(), "%s", out)
		Expect(out).NotTo(BeEmpty())
		Expect(l.Net().Heal(ctx)).To(Succeed())
		mounted(ctx, 1, 2)
		on(ctx, 1, "cp /tmp/big /n/node2/tmp/big")
		on(ctx, 2, "mountload check -size 20000000 -seed 2 /tmp/big")
	}, SpecTimeout(15*time.Minute))

	It("of the network while a reply is owed: the caller learns it", func(ctx SpecContext) {
		on(ctx, 2, "rm -f /tmp/fifo; mkfifo /tmp/fifo")
		reading := start(ctx, 1, "cat /n/node2/tmp/fifo")
		// It has opened the fifo and waits, or is about to: both are replies owed.
		Eventually(ctx, func() string { return on(ctx, 1, "/hurd/netmsg status") }).Should(ContainSubstring("node2"))
		Expect(l.Net().Isolate(ctx, "node2")).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(l.Net().Heal(ctx)).To(Succeed()); mounted(ctx, 1, 2); mounted(ctx, 3, 2) })
		out, exit := reading()
		Expect(exit.Ok()).To(BeFalse(), "%s", out)
	}, SpecTimeout(5*time.Minute))

	It("of the server: after its restart the mount is there again", func(ctx SpecContext) {
		on(ctx, 1, "ls /n/node2/etc")
		node := l.Nodes()[1]
		Expect(node.Kill(ctx)).To(Succeed())
		Expect(node.Boot(ctx)).To(Succeed())
		Expect(harness.Install(ctx, l, programs, "node2")).To(Succeed())
		mounted(ctx, 1, 2)
		mounted(ctx, 3, 2)
		mounted(ctx, 2, 1)
	}, SpecTimeout(6*time.Minute))

	It("of the server's netmsg: init starts it again, and the mount is there", func(ctx SpecContext) {
		on(ctx, 1, "ls /n/node2/etc")
		kill(ctx, 2, "netmsg serve")
		mounted(ctx, 1, 2)
		mounted(ctx, 2, 1)
	}, SpecTimeout(4*time.Minute))

	It("of the client: the server keeps nothing of it", func(ctx SpecContext) {
		on(ctx, 2, "echo x > /tmp/x")
		hold := start(ctx, 1, "mountload hold /n/node2/tmp/x")
		Eventually(ctx, func() string { return try(ctx, 1, "cat /tmp/held").Stdout }).Should(Equal("open\n"))
		kill(ctx, 1, "mountload hold")
		hold()
		on(ctx, 1, "rm /tmp/held")
	}, SpecTimeout(3*time.Minute))

	It("of the clock: keys do not look at it", func(ctx SpecContext) {
		on(ctx, 2, "setclock 1000000000")
		kill(ctx, 2, "netmsg serve")
		mounted(ctx, 1, 2)
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
		mounted(ctx, 2, 1)
	}, SpecTimeout(3*time.Minute))
})

var _ = Describe("what was used", func() {
	guarded()

	It("is given back: files, mounts, sessions", func(ctx SpecContext) {
		on(ctx, 2, "rm -rf /tmp/many; mkdir /tmp/many; echo x > /tmp/many/x")
		warm := func() {
			on(ctx, 1, "mountload open -n 50 /n/node2/tmp/many/x")
			on(ctx, 1, "for i in 1 2 3; do settrans -fga /n/node2; cat /n/node2/etc/hostname; done")
		}
		warm()
		before := census(ctx)
		on(ctx, 1, "mountload open -n 1000 /n/node2/tmp/many/x")
		on(ctx, 1, "i=0; while [ $i -lt 30 ]; do i=$((i+1)); settrans -fga /n/node2; cat /n/node2/etc/hostname || exit 1; done")
		for range 5 {
			on(ctx, 1, "/hurd/netmsg reconnect node2")
			mounted(ctx, 1, 2)
		}
		Eventually(ctx, func() map[string]int { return census(ctx) }).WithTimeout(time.Minute).Should(Satisfy(func(now map[string]int) bool {
			for what, n := range now {
				if n > before[what]+4 {
					GinkgoWriter.Printf("%s: %d, %d before\n", what, n, before[what])
					return false
				}
			}
			return true
		}))
	}, SpecTimeout(15*time.Minute))
})

// census counts the ports of the servers that a mount uses, on both nodes.
func census(ctx SpecContext) map[string]int {
	GinkgoHelper()
	count := make(map[string]int)
	for node := 1; node <= 2; node++ {
		for line := range strings.Lines(on(ctx, node, "tasks")) {
			var n int
			var name string
			f := strings.Fields(line)
			if len(f) < 4 {
				continue
			}
			if _, err := fmt.Sscan(f[0], &n); err != nil {
				continue
			}
			name = f[len(f)-1]
			for _, server := range []string{"netmsg", "rootfs", "auth", "proc"} {
				if strings.Contains(name, server) || strings.Contains(line, server) {
					count[fmt.Sprintf("node%d %s", node, server)] += n
				}
			}
		}
	}
	return count
}
