package hurd

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/lab"
	"hurdlab/suites/internal/harness"
)

var _ = Describe("processes", func() {
	guarded()

	// start starts a script that says when it is there, and returns the
	// process.
	start := func(ctx SpecContext, script, says string) *lab.Process {
		GinkgoHelper()
		there := harness.NewSignal(says)
		p, err := l.Nodes()[0].Start(ctx, lab.Cmd{Args: []string{"sh", "-c", script}, Stdout: there})
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, there.Seen).Should(BeClosed())
		return p
	}

	It("are seen with their parents, users and arguments", func(ctx SpecContext) {
		p := start(ctx, "echo there; sleep 98.7", "there")
		Eventually(ctx, func() int { return pidOf(ctx, "sleep 98.7") }).ShouldNot(BeZero())
		Expect(sh(ctx, "ps")).To(MatchRegexp(`(?m)^ *1 +\d+ +\d+ root .*init`))
		Expect(p.Signal("KILL")).To(Succeed())
		p.Wait()
		sh(ctx, fmt.Sprintf("kill -0 %d || true", 1))
		if pid := pidOf(ctx, "sleep 98.7"); pid != 0 {
			sh(ctx, fmt.Sprintf("kill %d", pid))
		}
	}, SpecTimeout(time.Minute))

	DescribeTable("end by signals",
		func(ctx SpecContext, signal string, status int) {
			p := start(ctx, "echo there; sleep 97.5; echo $?; exit $?", "there")
			var pid int
			Eventually(ctx, func() int { pid = pidOf(ctx, "sleep 97.5"); return pid }).ShouldNot(BeZero())
			for pid = 0; pid == 0; {
				for line := range strings.Lines(sh(ctx, "ps")) {
					if f := strings.Fields(line); len(f) == 9 && f[7] == "sleep" && f[8] == "97.5" {
						_, err := fmt.Sscan(f[0], &pid)
						Expect(err).NotTo(HaveOccurred())
					}
				}
			}
			sh(ctx, fmt.Sprintf("kill -%s %d", signal, pid))
			_, err := p.Wait()
			Expect(err).NotTo(HaveOccurred())
			Expect(try(ctx, fmt.Sprintf("kill -0 %d", pid)).Ok()).To(BeFalse())
		},
		Entry("TERM", SpecTimeout(time.Minute), "TERM", 143),
		Entry("KILL", SpecTimeout(time.Minute), "KILL", 137),
		Entry("INT", SpecTimeout(time.Minute), "INT", 130),
	)

	It("stop and go on", func(ctx SpecContext) {
		p := start(ctx, "echo there; exec sleep 96.5", "there")
		var pid int
		Eventually(ctx, func() int { pid = pidOf(ctx, "sleep 96.5"); return pid }).ShouldNot(BeZero())
		sh(ctx, fmt.Sprintf("kill -STOP %d", pid))
		Eventually(ctx, func() string { return sh(ctx, fmt.Sprintf("ps %d", pid)) }).Should(MatchRegexp(`(?m)^ *\d+ +\d+ +\d+ \S+ +T`))
		sh(ctx, fmt.Sprintf("kill -CONT %d", pid))
		Eventually(ctx, func() string { return sh(ctx, fmt.Sprintf("ps %d", pid)) }).ShouldNot(MatchRegexp(`(?m)^ *\d+ +\d+ +\d+ \S+ +T`))
		Expect(p.Signal("KILL")).To(Succeed())
		p.Wait()
	}, SpecTimeout(time.Minute))

	It("cannot be signalled by strangers", func(ctx SpecContext) {
		pid := pidOf(ctx, "/bin/sshd")
		Expect(pid).NotTo(BeZero())
		Expect(fails(ctx, fmt.Sprintf("su user -c 'kill -TERM %d'", pid))).To(ContainSubstring("not permitted"))
		Expect(fails(ctx, "su user -c 'kill -KILL 1'")).To(ContainSubstring("not permitted"))
		fails(ctx, "kill -TERM 31999")
	}, SpecTimeout(time.Minute))

	It("can be started by the thousand, and nothing is left", func(ctx SpecContext) {
		// Once for what is made at the first time.
		sh(ctx, "spawn -n 20 /bin/true")
		before := count(ctx)
		// What keeps a kB of each process does not come to rest.
		rests(ctx, "300 processes", 600, func(int) {
			var r struct {
				OK      int
				Seconds float64
			}
			Expect(json.Unmarshal([]byte(sh(ctx, "spawn -n 300 -p 4 /bin/true")), &r)).To(Succeed())
			Expect(r.OK).To(Equal(300))
			AddReportEntry("300 processes", fmt.Sprintf("%.1f s", r.Seconds))
		})
		settles(ctx, before, 30)
		AddReportEntry("before and after", fmt.Sprintf("%v; %v", before, count(ctx)))
	}, SpecTimeout(10*time.Minute))

	DescribeTable("that end badly say why and leave nothing behind",
		func(ctx SpecContext, way, says string) {
			before := count(ctx)
			r, err := l.Nodes()[0].Run(ctx, "misbehave", way)
			Expect(err).NotTo(HaveOccurred())
			Expect(r.Ok()).To(BeFalse())
			Expect(r.Stderr).To(ContainSubstring(says))
			settles(ctx, before, 30)
		},
		Entry("a panic", SpecTimeout(time.Minute), "panic", "panic: on purpose"),
		Entry("a wild pointer", SpecTimeout(time.Minute), "wild", "unexpected fault address"),
		Entry("more memory than there is", SpecTimeout(2*time.Minute), "memory", "out of memory"),
	)
})

var _ = Describe("users", func() {
	guarded()

	BeforeEach(func(ctx SpecContext) {
		sh(ctx, "rm -rf /tmp/u; mkdir /tmp/u; echo secret > /tmp/u/secret; chmod 600 /tmp/u/secret; echo open > /tmp/u/open")
		DeferCleanup(func(ctx SpecContext) { sh(ctx, "rm -rf /tmp/u") })
	})

	It("are who they are", func(ctx SpecContext) {
		Expect(sh(ctx, "id -u; id -un")).To(Equal("0\nroot\n"))
		Expect(sh(ctx, "su user -c 'id -u; id -un'")).To(Equal("1000\nuser\n"))
		Expect(sh(ctx, "su user -c 'su user -c \"id -u\"'")).To(Equal("1000\n"))
	}, SpecTimeout(time.Minute))

	It("cannot become others without their password", func(ctx SpecContext) {
		fails(ctx, "su user -c 'su root -c true'")
		fails(ctx, "su user -c 'su 1234 -c true'")
	}, SpecTimeout(time.Minute))

	It("read and write what they may", func(ctx SpecContext) {
		Expect(fails(ctx, "su user -c 'cat /tmp/u/secret'")).To(ContainSubstring("permission denied"))
		Expect(sh(ctx, "su user -c 'cat /tmp/u/open'")).To(Equal("open\n"))
		fails(ctx, "su user -c 'echo x > /tmp/u/open'")
		fails(ctx, "su user -c 'echo x > /tmp/u/new'")
		fails(ctx, "su user -c 'rm -f /tmp/u/open'")
		fails(ctx, "su user -c 'chmod 666 /tmp/u/secret'")
		fails(ctx, "su user -c 'chown user /tmp/u/secret'")
		sh(ctx, "su user -c 'echo mine > /tmp/mine; chmod 600 /tmp/mine; cat /tmp/mine'")
		Expect(sh(ctx, "stat -c '%U %a' /tmp/mine; cat /tmp/mine; rm /tmp/mine")).To(Equal("user 600\nmine\n"))
		fails(ctx, "su user -c 'ls /root'")
		fails(ctx, "su user -c 'cat /etc/ssh/*'")
	}, SpecTimeout(2*time.Minute))

	It("have no rights of root by the servers", func(ctx SpecContext) {
		fails(ctx, "su user -c tasks")
		fails(ctx, "su user -c reboot")
		fails(ctx, "su user -c halt")
		fails(ctx, "su user -c 'fsysopts / --readonly'")
		fails(ctx, fmt.Sprintf("su user -c 'portinfo %d'", pidOf(ctx, "/bin/sshd")))
	}, SpecTimeout(2*time.Minute))
})
