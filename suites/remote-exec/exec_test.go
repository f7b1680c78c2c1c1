// Package remoteexec is the suite that shows programs running across nodes: a file of
// another node here, and a program on another node with the caller's files, streams and
// signals, and what becomes of both when one or the other, or what is between them,
// fails.
//
//	hurdlab test suites/remote-exec
package remoteexec

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/lab"
	"hurdlab/suites/internal/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestSuite(t *testing.T) { harness.Run(t, "remote exec") }

// nodeCount is how many nodes the lab has: at least three.
var nodeCount = flag.Int("nodes", 3, "`nodes` of the lab; the issue's sixteen readers want 4")

// programs are the programs of the specs, in /bin of each node.
var programs = []string{
	"hurdlab/suites/programs/remoteprog",
	"hurdlab/suites/programs/rexecbench",
	"hurdlab/suites/programs/spawn",
}

// l is the lab of all specs, which leave it as they found it.
var l *lab.Lab

var nodes = harness.Nodes{Lab: func() *lab.Lab { return l }}

func on(ctx context.Context, node int, script string) string {
	GinkgoHelper()
	return nodes.On(ctx, node, script)
}

var _ = BeforeSuite(func(ctx SpecContext) {
	l = harness.Up(ctx, lab.Spec{Nodes: max(3, *nodeCount), MemoryMB: 192})
	harness.NeedHurd(l)
	Expect(harness.Install(ctx, l, programs)).To(Succeed())
}, NodeTimeout(20*time.Minute))

// guarded is what every container of specs begins with.
func guarded() { harness.Guard(nodes.Lab) }

var _ = Describe("a file of another node", func() {
	guarded()

	It("is run here", func(ctx SpecContext) {
		Expect(on(ctx, 1, "cd /etc; X=y /n/node2/bin/remoteprog say a 'b c'")).To(Equal("args [\"a\" \"b c\"]\ndir /etc\numask 022\nuid 0\nX=y\n"))
		// Which are this node's, wherever the other one has it.
		Expect(on(ctx, 1, "$(ls -d /n/node2/bin/ps /n/node2/usr/bin/ps /n/node2/usr/local/bin/ps 2>/dev/null | head -n 1)")).To(ContainSubstring("sshd"))
		Expect(nodes.Try(ctx, 1, "/n/node2/bin/remoteprog status 9").Exit.Status).To(Equal(9))
	}, SpecTimeout(5*time.Minute))

	It("is run here from a third node, and by a script of another", func(ctx SpecContext) {
		Expect(on(ctx, 1, "/n/node2/n/node3/bin/remoteprog say | head -n 1")).To(Equal("args []\n"))
		on(ctx, 2, "printf '#!/bin/sh\\necho script $1; cat /etc/hostname\\n' > /tmp/script; chmod 755 /tmp/script")
		Expect(on(ctx, 1, "/n/node2/tmp/script x; rm /n/node2/tmp/script")).To(Equal("script x\nnode1\n"))
	}, SpecTimeout(5*time.Minute))

	It("is what it is by then when it is run again, and has no errors but its own", func(ctx SpecContext) {
		// What was run before is begun while it is looked up (docs/netmsg.md, programs), if that
		// does not take too long: now and then it does on a host that has much to do.
		guesses := func() string {
			return regexp.MustCompile(`(\d+) before it was known`).FindString(on(ctx, 1, "netmsg status"))
		}
		before := guesses()
		// On this node is where absolute links lead to.
		on(ctx, 1, "printf '#!/bin/sh\necho here\n' > /tmp/q; chmod 755 /tmp/q")
		on(ctx, 2, "printf '#!/bin/sh\necho there\n' > /tmp/q; chmod 755 /tmp/q; mkdir -p /tmp/p.d")
		type change struct{ change, want string }
		another := change{"cp /tmp/q /tmp/p.new; mv /tmp/p.new /tmp/p", "there\n"}
		elsewhere := change{"rm /tmp/p; ln -s /tmp/q /tmp/p", "here\n"}
		gone := change{"rm /tmp/p", "no such file or directory\n"}
		for how, changes := range map[string][]change{
			"chain 0": { // posix_spawn
				another, elsewhere, gone,
				{"rm /tmp/p; ln -s q /tmp/p", "there\n"},
				{"chmod 644 /tmp/p", "permission denied\n"},
				{"rm /tmp/p; ln -s p.d /tmp/p", "permission denied\n"},
				{"rm /tmp/p; mkdir /tmp/p; settrans -a /tmp/p /hurd/netmsg node1", "permission denied\n"},
			},
			"become": {another, elsewhere, gone}, // exec
		} {
			run := "remoteprog " + how + " /n/node2/tmp/p say x 2>&1 | head -n 1"
			for _, c := range changes {
				on(ctx, 2, "cp /bin/remoteprog /tmp/p.new; mv /tmp/p.new /tmp/p")
				Expect(on(ctx, 1, run)).To(Equal("args [\"x\"]\n"))
				on(ctx, 2, c.change)
				Expect(strings.SplitAfter(on(ctx, 1, run+"; "+run), "\n")).To(HaveExactElements(HaveSuffix(c.want), HaveSuffix(c.want), ""), "%s after %s", how, c.change)
				on(ctx, 2, "settrans -fga /tmp/p 2>/dev/null; rm -rf /tmp/p")
			}
		}
		Expect(guesses()).NotTo(Equal(before), "nothing was begun before it was looked up")
		on(ctx, 1, "rm /tmp/q")
		on(ctx, 2, "rm -r /tmp/q /tmp/p.d")
	}, SpecTimeout(5*time.Minute))

	It("is not run by who may not", func(ctx SpecContext) {
		nodes.NeedUsers(ctx, 1)
		on(ctx, 2, "cp /bin/remoteprog /tmp/secret; chmod 700 /tmp/secret")
		r := nodes.Try(ctx, 1, "su user -c '/n/node2/tmp/secret say'")
		Expect(r.Ok()).To(BeFalse())
		Expect(r.Stderr).To(ContainSubstring("ermission denied"))
		on(ctx, 2, "rm /tmp/secret")
	}, SpecTimeout(5*time.Minute))
})

var _ = Describe("rexec", func() {
	guarded()

	It("runs a program on the other node, with the caller's files and environment", func(ctx SpecContext) {
		on(ctx, 1, "rm -rf /tmp/d; mkdir /tmp/d; echo one > /tmp/d/f")
		on(ctx, 2, "rm -rf /tmp/d")
		Expect(on(ctx, 1, "cd /tmp/d; umask 027; X=y rexec node2 remoteprog say a 'b c'")).To(Equal("args [\"a\" \"b c\"]\ndir /tmp/d\numask 027\nuid 0\nX=y\n"))
		Expect(on(ctx, 1, "cd /tmp/d; rexec node2 cat f; rexec node2 sh -c 'echo $REXEC_NODE > g'; cat g")).To(Equal("one\nnode2\n"))
		// It is there: those are the processes of node2.
		Expect(on(ctx, 1, "rexec node2 ps")).To(And(ContainSubstring("/hurd/rexec"), MatchRegexp(`root .* ps\n`)))
		on(ctx, 1, "rm -r /tmp/d")
	}, SpecTimeout(5*time.Minute))

	It("is a process here, and the program one there", func(ctx SpecContext) {
		r := nodes.Start(ctx, 1, "rexec", "node2", "remoteprog", "signals")
		Eventually(ctx, r.Output).Should(Equal("ready\n"))
		Expect(nodes.Processes(ctx, 1, "remoteprog signals")).To(ConsistOf("rexec node2 remoteprog signals"))
		Expect(nodes.Processes(ctx, 2, "remoteprog signals")).To(ConsistOf("remoteprog signals"))
		Expect(nodes.Processes(ctx, 2, " root ")).To(ContainElement("remoteprog signals"))
		Expect(r.Signal("USR2")).To(Succeed())
		_, exit := r.End()
		Expect(exit.Status).To(Equal(7))
	}, SpecTimeout(3*time.Minute))

	It("ends as the program does", func(ctx SpecContext) {
		Expect(on(ctx, 1, `
			for n in 0 1 3 255; do rexec node2 remoteprog status $n; echo $?; done
			for s in TERM HUP KILL INT; do rexec node2 remoteprog die $s; echo $?; done
			rexec node2 no-such-program 2>/dev/null; echo $?
			rexec node2 /etc/hostname 2>/dev/null; echo $?
			rexec node9 true 2>/dev/null; echo $?`)).To(Equal("0\n1\n3\n255\n143\n129\n137\n130\n127\n126\n255\n"))
		_, exit := nodes.Start(ctx, 1, "rexec", "node2", "remoteprog", "die", "TERM").End()
		Expect(exit.Signal).To(Equal("TERM"))
	}, SpecTimeout(6*time.Minute))

	It("passes streams, their ends, and other descriptors", func(ctx SpecContext) {
		Expect(on(ctx, 1, "echo hello | rexec node2 cat; rexec node2 cat < /dev/null; echo $?")).To(Equal("hello\n0\n"))
		Expect(on(ctx, 1, "rexec node2 remoteprog write 3000000 | remoteprog check; remoteprog write 3000000 | rexec node2 remoteprog check")).To(Equal("3000000\n3000000\n"))
		Expect(on(ctx, 1, "rexec node2 sh -c 'echo out; echo err >&2' 2>/dev/null")).To(Equal("out\n"))
		// What is at the other end goes first.
		Expect(on(ctx, 1, "rexec node2 remoteprog write 100000000 | head -c 3 | wc -c")).To(ContainSubstring("3"))
		Expect(on(ctx, 1, "remoteprog inherit node2 /etc/hostname")).To(Equal("node1\n"))
		// And with the lab's own streams at the ends.
		var out strings.Builder
		p, err := l.Nodes()[0].Start(ctx, lab.Cmd{Args: []string{"rexec", "node2", "remoteprog", "check"}, Stdin: strings.NewReader(pattern(200000)), Stdout: &out})
		Expect(err).NotTo(HaveOccurred())
		exit, err := p.Wait()
		Expect(err).NotTo(HaveOccurred())
		Expect(exit.Ok()).To(BeTrue())
		Expect(out.String()).To(Equal("200000\n"))
	}, SpecTimeout(10*time.Minute))

	It("runs programs that start others", func(ctx SpecContext) {
		Expect(on(ctx, 1, "rexec node2 remoteprog chain 2 sh -c 'echo $REXEC_NODE; cat /etc/hostname; exit 4'; echo $?")).To(Equal("node2\nnode1\n4\n"))
		Expect(on(ctx, 1, "rexec node2 sh -c 'echo a b c | wc -w; ls / | head -n 1'")).To(MatchRegexp(`^\s*3\nbin\n$`))
		// Of the node's own files, by the caller's mount of them: they are at home.
		Expect(on(ctx, 1, "rexec node2 sh -c '/n/node2/bin/remoteprog status 6'; echo $?")).To(Equal("6\n"))
		// And of a third node's.
		Expect(on(ctx, 1, "rexec node2 /n/node3/bin/remoteprog status 5; echo $?")).To(Equal("5\n"))
	}, SpecTimeout(10*time.Minute))

	It("goes on from there to a third node", func(ctx SpecContext) {
		Expect(on(ctx, 1, "cd /etc; rexec node2 rexec node3 sh -c 'echo $REXEC_NODE; pwd; cat hostname'")).To(Equal("node3\n/etc\nnode1\n"))
	}, SpecTimeout(5*time.Minute))

	It("gives the node's own files to those who want them", func(ctx SpecContext) {
		Expect(on(ctx, 1, "cd /etc; rexec --root=there node2 sh -c 'pwd; cat hostname; hostname'")).To(Equal("/etc\nnode2\nnode2\n"))
		on(ctx, 1, "mkdir -p /tmp/only-here")
		Expect(on(ctx, 1, "cd /tmp/only-here; rexec --root=there node2 pwd; rmdir /tmp/only-here")).To(Equal("/\n"))
		Expect(nodes.Try(ctx, 1, "rexec --root=there node2 no-such-program").Exit.Status).To(Equal(127))
	}, SpecTimeout(5*time.Minute))

	It("runs as the user who asks", func(ctx SpecContext) {
		nodes.NeedUsers(ctx, 1)
		Expect(on(ctx, 1, "su user -c 'rexec node2 remoteprog say' | tail -n 2")).To(Equal("uid 1000\nX=\n"))
		Expect(on(ctx, 1, "su user -c 'rexec --root=there node2 sh -c \"id -u; echo x > /tmp/users; stat -c %u /tmp/users; rm /tmp/users\"'")).To(Equal("1000\n1000\n"))
		r := nodes.Try(ctx, 1, "su user -c 'rexec --root=there node2 ls /root'")
		Expect(r.Ok()).To(BeFalse())
		// The server itself is out of reach but by the export.
		Expect(nodes.Try(ctx, 1, "su user -c 'ls /n/node2/servers/exported'").Ok()).To(BeFalse())
	}, SpecTimeout(5*time.Minute))

	It("takes the node that has the least to do", func(ctx SpecContext) {
		list := on(ctx, 1, "rexec --list")
		Expect(list).To(MatchRegexp(`(?s)NODE .*node1 .*\d.*node2 +\d.*node3 +\d`))
		for _, node := range []int{1, 2} {
			busy := nodes.Start(ctx, node, "sh", "-c", "while :; do :; done")
			DeferCleanup(func() { _ = busy.Signal("KILL") })
		}
		Eventually(ctx, func() string { return on(ctx, 1, "rexec --any sh -c 'echo $REXEC_NODE'") }).WithTimeout(2 * time.Minute).Should(Equal("node3\n"))
		// This node, too, may be the one.
		Expect(on(ctx, 3, "rexec --any sh -c 'hostname'")).To(Equal("node3\n"))
	}, SpecTimeout(6*time.Minute))
})

// pattern is what remoteprog check expects.
func pattern(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return string(b)
}

var _ = Describe("a signal", func() {
	guarded()

	It("goes to the program, and stops it and the process that stands for it", func(ctx SpecContext) {
		Expect(on(ctx, 1, "remoteprog states node2")).To(Equal("ready\nstopped 18\ncontinued\nstopped 17\ncontinued\nCONT CONT\nWINCH\nstatus 7\n"))
	}, SpecTimeout(3*time.Minute))

	It("that stops is to be seen on both nodes", func(ctx SpecContext) {
		r := nodes.Start(ctx, 1, "rexec", "node2", "remoteprog", "signals")
		Eventually(ctx, r.Output).Should(Equal("ready\n"))
		here := one(nodes.Processes(ctx, 1, "remoteprog signals"))
		on(ctx, 1, "kill -STOP "+here)
		for node := 1; node <= 2; node++ {
			Eventually(ctx, func() []string { return nodes.States(ctx, node, "remoteprog signals") }).Should(ConsistOf(HavePrefix("T")), "node%d", node)
		}
		on(ctx, 1, "kill -CONT "+here)
		Eventually(ctx, r.Output).Should(Equal("ready\nCONT\n"))
		// Stopped from there, it is stopped here.
		there := one(nodes.Processes(ctx, 2, "remoteprog signals"))
		on(ctx, 2, "kill -STOP "+there)
		Eventually(ctx, func() []string { return nodes.States(ctx, 1, "remoteprog signals") }).Should(ConsistOf(HavePrefix("T")))
		on(ctx, 2, "kill -KILL "+there)
		_, exit := r.End()
		Expect(exit.Signal).To(Equal("KILL"))
	}, SpecTimeout(4*time.Minute))

	It("that cannot be caught ends the program and all that it has started", func(ctx SpecContext) {
		r := family(ctx)
		Expect(nodes.Processes(ctx, 2, "remoteprog")).To(HaveLen(3))
		on(ctx, 1, "kill -KILL "+one(nodes.Processes(ctx, 1, "rexec node2 remoteprog family")))
		_, exit := r.End()
		Expect(exit.Signal).To(Equal("KILL"))
		nothingLeft(ctx)
	}, SpecTimeout(4*time.Minute))
})

var _ = Describe("a terminal", func() {
	guarded()

	It("is the program's: lines, keys that are signals, and the size of the window", func(ctx SpecContext) {
		in, keys := io.Pipe()
		defer keys.Close()
		r := nodes.StartCmd(ctx, 1, lab.Cmd{
			Args: []string{"remoteprog", "shell", "node2"}, Stdin: in, Terminal: &lab.Terminal{Type: "xterm", Width: 80, Height: 24},
		})
		seen := 0
		// said waits for a line that comes after those that it has found before, echoes among them.
		said := func(text string) {
			GinkgoHelper()
			Eventually(ctx, func() string { return r.Output()[seen:] }).WithTimeout(time.Minute).Should(ContainSubstring(text))
			seen += strings.Index(r.Output()[seen:], text) + len(text)
		}
		types := func(text string) {
			GinkgoHelper()
			_, err := io.WriteString(keys, text)
			Expect(err).NotTo(HaveOccurred())
		}
		state := func(node int, want string) {
			GinkgoHelper()
			Eventually(ctx, func() []string { return nodes.States(ctx, node, "remoteprog typed") }).Should(ConsistOf(HavePrefix(want)), "node%d", node)
		}
		said("80 x 24\r\n")
		types("hellp\x7fo\r")
		said(`read "hello\n"`)
		types("\x03")
		said("interrupt\r\n")
		Expect(r.Resize(100, 30)).To(Succeed())
		said("100 x 30\r\n")
		// It stops on both nodes, and the shell has the terminal.
		types("\x1a")
		said("stopped 18\r\n")
		state(1, "T")
		state(2, "T")
		types("fg\r")
		said(`shell "fg\n"`)
		said("continued\r\n")
		types("more\r")
		said(`read "more\n"`)
		// Stopped from the other node, it is stopped for the shell as well.
		on(ctx, 2, "kill -STOP "+one(nodes.Processes(ctx, 2, "remoteprog typed")))
		said("stopped 17\r\n")
		types("fg\r")
		said("continued\r\n")
		types("\x04")
		said("end\r\n")
		said("status 3\r\n")
		_, exit := r.End()
		Expect(exit.Ok()).To(BeTrue(), r.Output())
	}, SpecTimeout(4*time.Minute))

	It("that hangs up ends the program", func(ctx SpecContext) {
		in, keys := io.Pipe()
		defer keys.Close()
		ctx2, hangUp := context.WithCancel(ctx)
		defer hangUp()
		r := nodes.StartCmd(ctx2, 1, lab.Cmd{
			Args: []string{"remoteprog", "shell", "node2"}, Stdin: in, Terminal: &lab.Terminal{Type: "xterm", Width: 80, Height: 24},
		})
		Eventually(ctx, r.Output).WithTimeout(time.Minute).Should(ContainSubstring("80 x 24"))
		hangUp()
		for node := 1; node <= 2; node++ {
			Eventually(ctx, func() map[string]string { return nodes.Processes(ctx, node, "remoteprog typed") }).WithTimeout(time.Minute).Should(BeEmpty(), "node%d", node)
		}
	}, SpecTimeout(3*time.Minute))
})

func one(m map[string]string) string {
	GinkgoHelper()
	Expect(m).To(HaveLen(1))
	for k := range m {
		return k
	}
	return ""
}

var _ = Describe("what was used", func() {
	guarded()

	It("is given back", func(ctx SpecContext) {
		used := func() map[string]int {
			return nodes.Census(ctx, []int{1, 2}, "netmsg", "rootfs", "auth", "proc", "exec", "/hurd/rexec")
		}
		on(ctx, 1, "spawn -n 10 -p 2 rexec node2 /bin/remoteprog status 0")
		before := used()
		out := on(ctx, 1, "spawn -n 200 -p 2 rexec node2 /bin/remoteprog status 0")
		Expect(out).To(ContainSubstring(`"ok":200`))
		Eventually(ctx, used).WithTimeout(time.Minute).Should(Satisfy(func(now map[string]int) bool {
			for what, n := range now {
				if n > before[what]+4 {
					GinkgoWriter.Printf("%s: %d, %d before\n", what, n, before[what])
					return false
				}
			}
			return true
		}))
		AddReportEntry("counts", fmt.Sprintf("before %v\nafter %v", before, used()))
		Expect(on(ctx, 1, "rexec --list")).To(MatchRegexp(`node2 +[\d.]+ +0 `))
	}, SpecTimeout(40*time.Minute))
})

var _ = Describe("the time that it takes", func() {
	guarded()

	// It reports and does not judge: the host is shared. What was seen is in docs/rexec.md.
	It("is reported beside that of three programs here and four round trips", func(ctx SpecContext) {
		out := on(ctx, 1, "rexecbench -rounds 9 node2 true")
		AddReportEntry("rexecbench", out)
		var r struct {
			Rexec float64 `json:"rexec_ratio"`
		}
		Expect(json.Unmarshal([]byte(out), &r)).To(Succeed())
		Expect(r.Rexec).To(BeNumerically(">", 0))
	}, SpecTimeout(20*time.Minute))
})
