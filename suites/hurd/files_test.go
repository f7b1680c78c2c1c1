package hurd

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/suites/internal/harness"
)

var _ = Describe("files", func() {
	guarded()

	BeforeEach(func(ctx SpecContext) {
		sh(ctx, "rm -rf /tmp/f && mkdir /tmp/f")
		DeferCleanup(func(ctx SpecContext) { sh(ctx, "rm -rf /tmp/f") })
	})

	DescribeTable("through the shell and the tools",
		func(ctx SpecContext, script, want string) {
			Expect(sh(ctx, "cd /tmp/f; "+script)).To(Equal(want))
		},
		Entry("redirection", SpecTimeout(time.Minute), "echo one > a; echo two >> a; cat a", "one\ntwo\n"),
		Entry("a pipe", SpecTimeout(time.Minute), "echo a b c | wc -w", "3\n"),
		Entry("a long pipe", SpecTimeout(time.Minute), "head -c 300000 /dev/zero | cat | cat | wc -c", "300000\n"),
		Entry("directories", SpecTimeout(time.Minute), "mkdir -p a/b/c; echo x > a/b/c/d; ls -R a", "a:\nb\n\na/b:\nc\n\na/b/c:\nd\n"),
		Entry("copies of trees", SpecTimeout(time.Minute), "mkdir -p a/b; echo x > a/b/f; ln -s b a/l; cp -r a c; cat c/l/f; readlink c/l", "x\nb\n"),
		Entry("moves", SpecTimeout(time.Minute), "echo x > a; mkdir d; mv a d/b; ls; cat d/b", "d\nx\n"),
		Entry("removal", SpecTimeout(time.Minute), "mkdir -p a/b/c; echo > a/b/f; rm -r a; ls; rm -f no; echo $?", "0\n"),
		Entry("links", SpecTimeout(time.Minute), "echo x > a; ln a b; ln -s a c; stat -c '%h %F' a c; cat b c", "2 regular file\n1 symbolic link\nx\nx\n"),
		Entry("modes", SpecTimeout(time.Minute), "echo > a; chmod u=rw,go= a; stat -c %a a; chmod 4755 a; stat -c %A a", "600\n-rwsr-xr-x\n"),
		Entry("owners", SpecTimeout(time.Minute), "echo > a; chown 12:34 a; stat -c '%u %g' a", "12 34\n"),
		Entry("times", SpecTimeout(time.Minute), "touch -d @1000000000 a; stat -c %Y a", "1000000000\n"),
		Entry("fifos", SpecTimeout(time.Minute), "mkfifo p; (echo hello > p) & cat p; wait", "hello\n"),
		Entry("null", SpecTimeout(time.Minute), "echo x > /dev/null; cat /dev/null | wc -c", "0\n"),
		Entry("patterns", SpecTimeout(time.Minute), "touch a1 a2 b1; echo a* ?1", "a1 a2 a1 b1\n"),
		Entry("substitution", SpecTimeout(time.Minute), "echo $(echo in) $((6*7))", "in 42\n"),
		Entry("here documents", SpecTimeout(time.Minute), "cat << EOF\none\ntwo\nEOF", "one\ntwo\n"),
		Entry("the umask", SpecTimeout(time.Minute), "umask 077; echo > a; mkdir d; stat -c %a a d", "600\n700\n"),
		Entry("the working directory", SpecTimeout(time.Minute), "mkdir d; cd d; /bin/pwd; cd ..; pwd", "/tmp/f/d\n/tmp/f\n"),
		Entry("exit statuses", SpecTimeout(time.Minute), "false; echo $?; sh -c 'exit 42'; echo $?; nosuchprogram 2> /dev/null; echo $?", "1\n42\n127\n"),
		Entry("scripts", SpecTimeout(time.Minute), "printf '#!/bin/sh\\necho $1 $2\\nexit 3\\n' > s; chmod +x s; ./s a 'b c'; echo $?", "a b c\n3\n"),
		Entry("background programs", SpecTimeout(time.Minute), "sleep 0.2 & echo first; wait; echo last", "first\nlast\n"),
		Entry("loops of programs", SpecTimeout(time.Minute), "for i in 1 2 3; do /bin/echo $i; done | cat | tail -n 1", "3\n"),
	)

	It("can be full", func(ctx SpecContext) {
		Expect(fails(ctx, "/bin/echo x > /dev/full")).NotTo(BeEmpty())
		// More than there is room for is refused, and the room comes back.
		r := try(ctx, "cat /dev/zero > /tmp/f/big")
		Expect(r.Ok()).To(BeFalse())
		Expect(r.Stderr).To(ContainSubstring("no space left"))
		sh(ctx, "rm /tmp/f/big; echo x > /tmp/f/small; cat /tmp/f/small")
	}, SpecTimeout(3*time.Minute))

	It("are as the conformance suite wants them, in the root file system", func(ctx SpecContext) {
		harness.Conform(ctx, l.Nodes()[0], 900, "/tmp/f")
	}, SpecTimeout(20*time.Minute))

	It("are so on a translator", func(ctx SpecContext) {
		sh(ctx, "settrans -ac /tmp/f/t /bin/tmpfs --size=12")
		DeferCleanup(func(ctx SpecContext) { sh(ctx, "settrans -fg /tmp/f/t") })
		harness.Conform(ctx, l.Nodes()[0], 900, "/tmp/f/t")
		sh(ctx, "settrans -g /tmp/f/t")
	}, SpecTimeout(20*time.Minute))

	It("are so for an ordinary user, too", func(ctx SpecContext) {
		sh(ctx, "chmod 777 /tmp/f")
		Expect(sh(ctx, "su user -c 'fstest -q -run ^dir_ /tmp/f'")).To(ContainSubstring(" 0 failed"))
	}, SpecTimeout(20*time.Minute))
})
