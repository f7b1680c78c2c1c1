package remotemount

import (
	"os"
	"os/exec"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/suites/internal/harness"
)

var _ = Describe("netmsg's programs", func() {
	guarded()

	It("mount as settrans says: now, on access, not any more", func(ctx SpecContext) {
		on(ctx, 1, "mkdir -p /tmp/s")
		on(ctx, 1, "settrans -a /tmp/s /hurd/netmsg node3")
		Expect(on(ctx, 1, "cat /tmp/s/etc/hostname; settrans -fga /tmp/s; ls /tmp/s")).To(Equal("node3\n"))
		on(ctx, 1, "settrans /tmp/s /hurd/netmsg node2")
		Expect(on(ctx, 1, "showtrans /tmp/s; cat /tmp/s/etc/hostname")).To(Equal("/hurd/netmsg node2\nnode2\n"))
		// It goes away, and is there again when it is wanted.
		Expect(on(ctx, 1, "settrans -fga /tmp/s; cat /tmp/s/etc/hostname")).To(Equal("node2\n"))
		Expect(on(ctx, 1, "settrans -fg /tmp/s; ls /tmp/s; rmdir /tmp/s")).To(BeEmpty())
	}, SpecTimeout(2*time.Minute))

	It("say what is wrong", func(ctx SpecContext) {
		Expect(try(ctx, 1, "netmsg reconnect nobody").Stderr).To(ContainSubstring("nobody is not in the list of peers"))
		on(ctx, 1, "mkdir -p /tmp/s; settrans -a /tmp/s /hurd/netmsg nobody")
		Expect(try(ctx, 1, "ls /tmp/s/").Ok()).To(BeFalse())
		on(ctx, 1, "settrans -fga /tmp/s; rmdir /tmp/s")
		Expect(try(ctx, 1, "/hurd/netmsg node2").Stderr).To(ContainSubstring("settrans -a /n/node2 /hurd/netmsg node2"))
	}, SpecTimeout(2*time.Minute))

	It("show what passes", func(ctx SpecContext) {
		trace := start(ctx, 1, "netmsg trace -n 12")
		// It begins to look when it is asked for the first time: until it has seen enough,
		// there is something to see.
		done := make(chan string)
		go func() {
			defer GinkgoRecover()
			defer close(done)
			out, exit := trace()
			Expect(exit.Ok()).To(BeTrue(), "%s", out)
			done <- out
		}()
		var out string
		Eventually(ctx, func() string {
			try(ctx, 1, "cat /n/node2/etc/hostname")
			select {
			case out = <-done:
			default:
			}
			return out
		}).ShouldNot(BeEmpty())
		Expect(out).To(And(ContainSubstring("dir_lookup"), ContainSubstring(" ms"), ContainSubstring("node2")))
	}, SpecTimeout(2*time.Minute))

	It("are put in place by hurdlab deploy", func(ctx SpecContext) {
		dir, err := os.MkdirTemp("", "hurdlab-suite-")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { os.RemoveAll(dir) })
		hurdlab, err := harness.BuildHost(ctx, dir, "hurdlab/cmd/hurdlab")
		Expect(err).NotTo(HaveOccurred())
		others, was := epoch(ctx, 3), epoch(ctx, 2)
		on(ctx, 2, "cp /hurd/netmsg /tmp/netmsg; : > /hurd/netmsg.new")
		out, err := exec.CommandContext(ctx, hurdlab, "deploy", "--name", l.Name(), "netmsg", "node2").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(epoch(ctx, 2)).NotTo(Equal(was))
		Expect(epoch(ctx, 3)).To(Equal(others), "node3 was not named")
		Expect(on(ctx, 2, "cmp /hurd/netmsg /tmp/netmsg; rm /tmp/netmsg")).To(BeEmpty(), "the suite's nodes have what deploy builds")
		nodes.Mounted(ctx, 1, 2)
		nodes.Mounted(ctx, 2, 3)
		bad, err := exec.CommandContext(ctx, hurdlab, "deploy", "--name", l.Name(), "nothing").CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(bad)).To(ContainSubstring("netmsg"), "it says what there is")
	}, SpecTimeout(5*time.Minute))
})
