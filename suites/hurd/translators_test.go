package hurd

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/lab"
	"hurdlab/suites/internal/harness"
)

var _ = Describe("a translator", func() {
	guarded()

	const node = "/tmp/node"
	BeforeEach(func(ctx SpecContext) {
		sh(ctx, "echo below > "+node)
		before := count(ctx)
		DeferCleanup(func(ctx SpecContext) {
			try(ctx, "settrans -fg "+node)
			sh(ctx, "rm -f "+node)
			settles(ctx, before, 30)
		})
	})

	It("that is active shows what it wants to", func(ctx SpecContext) {
		sh(ctx, "settrans -a "+node+" /bin/hello --contents='hi there'")
		Expect(sh(ctx, "cat "+node)).To(Equal("hi there"))
		Expect(sh(ctx, "stat -c '%s %a' "+node)).To(Equal("8 444\n"))
		fails(ctx, "echo x > "+node)
		fails(ctx, "showtrans "+node)
		Expect(pidOf(ctx, "/bin/hello")).NotTo(BeZero())

		sh(ctx, "settrans -a "+node)
		Expect(sh(ctx, "cat "+node)).To(Equal("below\n"))
		Eventually(ctx, func() int { return pidOf(ctx, "/bin/hello") }).Should(BeZero())
	}, SpecTimeout(time.Minute))

	It("that is passive starts on the first access, once", func(ctx SpecContext) {
		sh(ctx, "settrans "+node+" /bin/hello --contents=hi")
		Expect(sh(ctx, "showtrans "+node)).To(Equal("/bin/hello --contents=hi\n"))
		Expect(pidOf(ctx, "/bin/hello")).To(BeZero())
		Expect(sh(ctx, "cat "+node)).To(Equal("hi"))
		pid := pidOf(ctx, "/bin/hello")
		Expect(pid).NotTo(BeZero())
		Expect(sh(ctx, "for i in 1 2 3 4 5 6; do cat "+node+" & done; wait")).To(Equal("hihihihihihi"))
		Expect(pidOf(ctx, "/bin/hello")).To(Equal(pid))
	}, SpecTimeout(time.Minute))

	It("that many want at once starts once", func(ctx SpecContext) {
		sh(ctx, "settrans "+node+" /bin/hello --contents=hi")
		Expect(sh(ctx, "for i in 1 2 3 4 5 6; do cat "+node+" & done; wait")).To(Equal("hihihihihihi"))
		Expect(strings.Count(sh(ctx, "ps"), "/bin/hello")).To(Equal(1))
	}, SpecTimeout(time.Minute))

	It("that was killed starts again on the next access", func(ctx SpecContext) {
		sh(ctx, "settrans "+node+" /bin/hello --contents=hi; cat "+node)
		for range 3 {
			pid := pidOf(ctx, "/bin/hello")
			Expect(pid).NotTo(BeZero())
			sh(ctx, fmt.Sprintf("kill -KILL %d", pid))
			Eventually(ctx, func() int { return pidOf(ctx, "/bin/hello") }).Should(BeZero())
			Expect(sh(ctx, "cat "+node)).To(Equal("hi"))
			Expect(pidOf(ctx, "/bin/hello")).NotTo(Equal(pid))
		}
	}, SpecTimeout(2*time.Minute))

	It("that was killed and is only active leaves what is below", func(ctx SpecContext) {
		sh(ctx, "settrans -a "+node+" /bin/hello")
		sh(ctx, fmt.Sprintf("kill -KILL %d", pidOf(ctx, "/bin/hello")))
		Eventually(ctx, func() string { return sh(ctx, "cat "+node) }).Should(Equal("below\n"))
	}, SpecTimeout(time.Minute))

	It("does not go while it is used, unless by force", func(ctx SpecContext) {
		sh(ctx, "settrans -a "+node+" /bin/tree")
		// A shell holds the directory as its working directory.
		inside := harness.NewSignal("inside")
		p, err := l.Nodes()[0].Start(ctx, lab.Cmd{Args: []string{"sh", "-c", "cd " + node + "/12; env sh -c 'cd " + node + "/12; echo inside; sleep 100'"}, Stdout: inside})
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, inside.Seen).Should(BeClosed())

		Expect(fails(ctx, "settrans -a "+node)).To(ContainSubstring("busy"))
		Expect(fails(ctx, "settrans "+node+" /bin/hello")).To(ContainSubstring("busy"))
		Expect(sh(ctx, "ls "+node+"/12")).To(Equal("2\n3\n4\n6\n"))
		sh(ctx, "settrans -af "+node)
		Expect(sh(ctx, "cat "+node)).To(Equal("below\n"))
		Expect(p.Signal("KILL")).To(Succeed())
		p.Wait()
	}, SpecTimeout(2*time.Minute))

	It("is replaced by -g, refused by -x, kept by -k", func(ctx SpecContext) {
		sh(ctx, "settrans -a "+node+" /bin/hello --contents=one")
		fails(ctx, "settrans -ax "+node+" /bin/hello --contents=two")
		Expect(sh(ctx, "cat "+node)).To(Equal("one"))
		sh(ctx, "settrans -a "+node+" /bin/hello --contents=two")
		Expect(sh(ctx, "cat "+node)).To(Equal("two"))
		sh(ctx, "settrans -k "+node+" /bin/hello --contents=three")
		Expect(sh(ctx, "cat "+node)).To(Equal("two"))
		sh(ctx, "settrans -g "+node+" /bin/hello --contents=four")
		Expect(sh(ctx, "cat "+node)).To(Equal("four"))
		sh(ctx, "settrans -g "+node)
		Expect(sh(ctx, "cat "+node)).To(Equal("below\n"))
		fails(ctx, "showtrans "+node)
	}, SpecTimeout(2*time.Minute))

	It("has options that can be seen and changed", func(ctx SpecContext) {
		sh(ctx, "settrans -a "+node+" /bin/hello --contents=one")
		Expect(sh(ctx, "fsysopts "+node)).To(ContainSubstring("--contents=one"))
		sh(ctx, "fsysopts "+node+" --contents=two")
		Expect(sh(ctx, "cat "+node)).To(Equal("two"))
		fails(ctx, "fsysopts "+node+" --nosuch=option")
		Expect(sh(ctx, "cat "+node)).To(Equal("two"))
	}, SpecTimeout(time.Minute))

	It("can be a directory that is made on the fly", func(ctx SpecContext) {
		sh(ctx, "settrans -a "+node+" /bin/tree --last=1000")
		Expect(sh(ctx, "ls "+node+"/12/6")).To(Equal("2\n3\n"))
		Expect(sh(ctx, "ls "+node+" | wc -l")).To(Equal("1000\n"))
		Expect(sh(ctx, "cd "+node+"/100/50; ls ..")).To(Equal("10\n2\n20\n25\n4\n5\n50\n"))
		Expect(sh(ctx, "ls -d "+node+"/..")).To(Equal(node + "/..\n"))
		Expect(sh(ctx, "ls "+node+"/../node/7/.. | head -n 1")).To(Equal("1\n"))
		fails(ctx, "ls "+node+"/12/7")
		fails(ctx, "mkdir "+node+"/new")
	}, SpecTimeout(2*time.Minute))

	It("that is no program is refused, and that ends at once is reported", func(ctx SpecContext) {
		fails(ctx, "settrans -a "+node+" /no/such/program")
		fails(ctx, "settrans -a "+node+" /bin/true")
		fails(ctx, "settrans -a "+node+" /bin/misbehave panic")
		Expect(sh(ctx, "cat "+node)).To(Equal("below\n"))
		sh(ctx, "settrans "+node+" /bin/false")
		fails(ctx, "cat "+node)
		sh(ctx, "settrans "+node)
		Expect(sh(ctx, "cat "+node)).To(Equal("below\n"))
	}, SpecTimeout(2*time.Minute))

	It("is the business of the node's owner", func(ctx SpecContext) {
		fails(ctx, "su user -c 'settrans "+node+" /bin/hello'")
		fails(ctx, "su user -c 'settrans -a "+node+" /bin/hello'")
		sh(ctx, "chown user "+node)
		sh(ctx, "su user -c 'settrans "+node+" /bin/hello --contents=mine'")
		Expect(sh(ctx, "cat "+node)).To(Equal("mine"))
		// A passive translator has the rights of its node's owner, not of
		// whoever opened it.
		Expect(sh(ctx, "ps")).To(MatchRegexp(`(?m)^ *\d+ +\d+ +\d+ user .*/bin/hello`))
		fails(ctx, "su 1234 -c 'settrans -fg "+node+"'")
		sh(ctx, "su user -c 'settrans -fg "+node+"'")
	}, SpecTimeout(2*time.Minute))

	It("can be the root directory of a program", func(ctx SpecContext) {
		Expect(try(ctx, "settrans --chroot /12/6 -- "+node+" /bin/tree").Status).To(BeElementOf(126, 127))
	}, SpecTimeout(time.Minute))
})
