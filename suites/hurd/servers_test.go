package hurd

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/lab/api"
	"hurdlab/suites/internal/harness"
)

var _ = Describe("a server", func() {
	Context("under attack", func() {
		guarded()

		It("answers bad messages and floods, and keeps nothing of them", func(ctx SpecContext) {
			// Once for what starts with the first request. Then each
			// target gets some 4,400 messages: what keeps 256 bytes
			// of each does not come to rest. Less is lost in the
			// 2 MB below which no heap is collected.
			sh(ctx, "su user -c 'hostile -n 1'")
			before := count(ctx)
			rests(ctx, "an attack", 512, func(i int) {
				AddReportEntry("hostile", sh(ctx, fmt.Sprintf("su user -c 'hostile -n 1 -seed %d'", i+2)))
			})
			settles(ctx, before, 4)
			Expect(sh(ctx, "echo alive")).To(Equal("alive\n"))
		}, SpecTimeout(15*time.Minute))
	})

	Context("that crashes", func() {
		It("pflocal: is started again by the next who needs it", func(ctx SpecContext) {
			Expect(sh(ctx, "echo a | cat")).To(Equal("a\n"))
			pid := pidOf(ctx, "/hurd/pflocal")
			Expect(pid).NotTo(BeZero())
			sh(ctx, fmt.Sprintf("kill -KILL %d", pid))
			Eventually(ctx, func() string { return try(ctx, "echo b | cat").Stdout }).Should(Equal("b\n"))
			Expect(pidOf(ctx, "/hurd/pflocal")).NotTo(Equal(pid))
		}, SpecTimeout(time.Minute))

		It("sshd: is started again by init, which says so", func(ctx SpecContext) {
			pid := pidOf(ctx, "/bin/sshd")
			Expect(pid).NotTo(BeZero())
			// It takes the connection with it: how that ends is not known.
			_, _ = l.Nodes()[0].Run(ctx, "kill", "-KILL", fmt.Sprint(pid))
			Eventually(ctx, func() string {
				r, _ := l.Nodes()[0].Run(ctx, "echo", "back")
				return r.Stdout
			}).Should(Equal("back\n"))
			Expect(pidOf(ctx, "/bin/sshd")).NotTo(Equal(pid))
		}, SpecTimeout(4*time.Minute))

		It("proc: is reported, and takes the node with it", func(ctx SpecContext) {
			pid := pidOf(ctx, "/hurd/proc")
			Expect(pid).NotTo(BeZero())
			node := l.Nodes()[0]
			_, _ = node.Run(ctx, "kill", "-KILL", fmt.Sprint(pid))
			_, err := node.WaitState(ctx, api.Dead)
			Expect(err).NotTo(HaveOccurred())
			text, err := node.Console()
			Expect(err).NotTo(HaveOccurred())
			Expect(string(text)).To(ContainSubstring("essential server proc has died"))
			Expect(node.Boot(ctx)).To(Succeed())
			Expect(harness.Install(ctx, l, programs)).To(Succeed())
		}, SpecTimeout(4*time.Minute))
	})
})
