package remoteexec

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/suites/internal/harness"
)

// family starts a program on node2 that has two children which do not heed signals.
func family(ctx SpecContext) *harness.Running {
	GinkgoHelper()
	r := nodes.Start(ctx, 1, "rexec", "node2", "remoteprog", "family", "2")
	Eventually(ctx, r.Output).Should(And(ContainSubstring("ready\n"), MatchRegexp(`(?s)lingers\n.*lingers\n`)))
	return r
}

// nothingLeft waits until node2 runs nothing of ours any more.
func nothingLeft(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func() map[string]string { return nodes.Processes(ctx, 2, "remoteprog") }).WithTimeout(2 * time.Minute).Should(BeEmpty())
}

// lost waits for the end of a rexec whose program's end is not known.
func lost(r *harness.Running) {
	GinkgoHelper()
	out, exit := r.End()
	Expect(exit.Status).To(Equal(255), "%s", out)
	Expect(out).To(ContainSubstring("rexec: lost node2: "))
}

var _ = Describe("a fault", func() {
	guarded()

	It("of the network: the program is ended, and rexec says what happened", func(ctx SpecContext) {
		r := family(ctx)
		Expect(l.Net().Partition(ctx, []string{"node1"}, []string{"node2"})).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(l.Net().Heal(ctx)).To(Succeed())
			nodes.Mounted(ctx, 1, 2)
			nodes.Mounted(ctx, 2, 1)
		})
		lost(r)
		nothingLeft(ctx)
	}, SpecTimeout(5*time.Minute))

	It("of the session: likewise", func(ctx SpecContext) {
		r := family(ctx)
		on(ctx, 1, "netmsg reconnect node2")
		lost(r)
		nothingLeft(ctx)
		Expect(on(ctx, 1, "rexec node2 echo again")).To(Equal("again\n"))
	}, SpecTimeout(5*time.Minute))

	It("of the program's node", func(ctx SpecContext) {
		r := family(ctx)
		node := l.Nodes()[1]
		Expect(node.Kill(ctx)).To(Succeed())
		lost(r)
		Expect(nodes.Try(ctx, 1, "rexec node2 true").Exit.Status).To(Equal(255))
		Expect(node.Boot(ctx)).To(Succeed())
		Expect(harness.Install(ctx, l, programs, "node2")).To(Succeed())
		nodes.Mounted(ctx, 1, 2)
		Expect(on(ctx, 1, "rexec node2 echo again")).To(Equal("again\n"))
	}, SpecTimeout(8*time.Minute))

	It("of the caller's node", func(ctx SpecContext) {
		family(ctx)
		node := l.Nodes()[0]
		Expect(node.Kill(ctx)).To(Succeed())
		nothingLeft(ctx)
		Expect(node.Boot(ctx)).To(Succeed())
		Expect(harness.Install(ctx, l, programs, "node1")).To(Succeed())
		nodes.Mounted(ctx, 1, 2)
		Expect(on(ctx, 1, "rexec node2 echo again")).To(Equal("again\n"))
	}, SpecTimeout(8*time.Minute))

	It("of the node's netmsg, and of the server of programs", func(ctx SpecContext) {
		r := family(ctx)
		nodes.Kill(ctx, 2, "netmsg serve")
		lost(r)
		nothingLeft(ctx)
		nodes.Mounted(ctx, 1, 2)
		r = family(ctx)
		nodes.Kill(ctx, 2, "/hurd/rexec")
		lost(r)
		// Nobody knows of them any more: they go on.
		Expect(nodes.Processes(ctx, 2, "remoteprog")).To(HaveLen(3))
		for pid := range nodes.Processes(ctx, 2, "remoteprog") {
			nodes.Try(ctx, 2, "kill -KILL "+pid)
		}
		Expect(on(ctx, 1, "rexec node2 echo again")).To(Equal("again\n"))
	}, SpecTimeout(6*time.Minute))
})

var _ = Describe("a policy", func() {
	guarded()

	It("without the export lets nobody run anything, and one without users nobody either", func(ctx SpecContext) {
		policy := on(ctx, 2, "cat /etc/netmsg/policy")
		// without has node2 do without the lines that have a text.
		without := func(ctx SpecContext, text string) {
			var kept strings.Builder
			for line := range strings.Lines(policy) {
				if text == "" || !strings.Contains(line, text) {
					kept.WriteString(line)
				}
			}
			on(ctx, 2, fmt.Sprintf("cat > /etc/netmsg/policy <<'end'\n%send\n", kept.String()))
			nodes.Kill(ctx, 2, "netmsg serve")
			nodes.Mounted(ctx, 1, 2)
		}
		DeferCleanup(func(ctx SpecContext) { without(ctx, "") })
		without(ctx, "export exec")
		r := nodes.Try(ctx, 1, "rexec node2 true")
		Expect(r.Exit.Status).To(Equal(255))
		Expect(r.Stderr).To(ContainSubstring("policy has no export exec"))
		without(ctx, "user")
		r = nodes.Try(ctx, 1, "rexec node2 true")
		Expect(r.Exit.Status).To(Equal(255))
		Expect(r.Stderr).To(ContainSubstring("nobody on node2"))
	}, SpecTimeout(6*time.Minute))
})
