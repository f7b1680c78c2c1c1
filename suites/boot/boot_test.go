// Package boot is the suite that shows that a lab is one: its nodes boot, run
// Go programs as Mach tasks, talk to each other through the lab's network,
// and survive what happens to programs, networks and machines.
//
//	hurdlab test suites/boot
//	go test ./suites/boot -boots 200 -run TestBootsInARow
//	go test ./suites/boot -run '^$' -bench .
package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/images"
	"hurdlab/lab"
	"hurdlab/lab/api"
	"hurdlab/suites/internal/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestSuite(t *testing.T) { harness.Run(t, "boot") }

// programs are the programs of the specs, in /bin of the nodes.
var programs = []string{
	"hurdlab/suites/programs/hello",
	"hurdlab/suites/programs/misbehave",
	"hurdlab/suites/programs/runtimecheck",
	"hurdlab/suites/programs/tcp",
}

// firstUse bounds what may have to build a tool chain first.
const firstUse = 20 * time.Minute

// l is the lab of all specs, which leave it as they found it.
var l *lab.Lab

var _ = BeforeSuite(func(ctx SpecContext) {
	l = harness.Up(ctx, lab.Spec{Nodes: 2})
	for _, n := range l.Nodes() {
		if !n.Can(images.CanGo) {
			Skip(n.Name() + " runs no programs built by the Go port")
		}
	}
	Expect(harness.Install(ctx, l, programs)).To(Succeed())
}, NodeTimeout(firstUse))

var _ = Describe("a lab of two nodes", func() {
	harness.Guard(func() *lab.Lab { return l })

	// run runs a command that is to succeed and returns its output.
	run := func(ctx context.Context, node string, args ...string) string {
		GinkgoHelper()
		r, err := l.Node(node).Run(ctx, args...)
		Expect(err).NotTo(HaveOccurred(), "%s: %q", node, args)
		Expect(r.Ok()).To(BeTrue(), "%s: %q: %v\n%s%s", node, args, r.Exit, r.Stdout, r.Stderr)
		return r.Stdout
	}
	// fails runs a command that is to fail.
	fails := func(ctx context.Context, node string, args ...string) lab.Result {
		GinkgoHelper()
		r, err := l.Node(node).Run(ctx, args...)
		Expect(err).NotTo(HaveOccurred(), "%s: %q", node, args)
		Expect(r.Ok()).To(BeFalse(), "%s: %q succeeded:\n%s%s", node, args, r.Stdout, r.Stderr)
		return r
	}

	Describe("a program", func() {
		It("gets its arguments as they are", func(ctx SpecContext) {
			args := []string{"a b", "", `"$HOME" 'x' \`, "ä", "*"}
			Expect(run(ctx, "node1", append([]string{"hello"}, args...)...)).
				To(Equal(fmt.Sprintf("hello from hurd/386 %q\n", args)))
		}, SpecTimeout(time.Minute))

		It("has an environment, standard streams and an exit status", func(ctx SpecContext) {
			input := strings.Repeat("0123456789abcdef\n", 20_000)
			var stdout, stderr bytes.Buffer
			p, err := l.Node("node1").Start(ctx, lab.Cmd{
				Args:   []string{"hello", "-env=GREETING", "-stdin", "-status=42"},
				Env:    []string{"GREETING=good day"},
				Stdin:  strings.NewReader(input),
				Stdout: &stdout, Stderr: &stderr,
			})
			Expect(err).NotTo(HaveOccurred())
			exit, err := p.Wait()
			Expect(err).NotTo(HaveOccurred())
			Expect(exit.Status).To(Equal(42))
			want := "hello from hurd/386 []\nGREETING=\"good day\" true\n" + input
			Expect(stdout.String() == want).To(BeTrue(), "%d bytes came back, want %d", stdout.Len(), len(want))
			Expect(stderr.String()).To(Equal(fmt.Sprintf("%d bytes\n", len(input))))
		}, SpecTimeout(time.Minute))

		It("finds what the Go runtime promises", func(ctx SpecContext) {
			out := run(ctx, "node2", "runtimecheck")
			Expect(strings.Count(out, ": ok\n")).To(Equal(6), out)
		}, SpecTimeout(2*time.Minute))

		DescribeTable("that ends badly says why and leaves the node healthy",
			func(ctx SpecContext, way, says string) {
				r := fails(ctx, "node1", "misbehave", way)
				Expect(r.Status).To(Equal(2), "%v", r.Exit)
				Expect(r.Stderr).To(ContainSubstring(says))
				Expect(run(ctx, "node1", "hello")).To(HavePrefix("hello from hurd/386"))
			},
			Entry("a panic", SpecTimeout(time.Minute), "panic", "panic: on purpose"),
			Entry("a nil pointer", SpecTimeout(time.Minute), "nil", "nil pointer dereference"),
			Entry("a division by zero", SpecTimeout(time.Minute), "divide", "integer divide by zero"),
			Entry("a wild pointer", SpecTimeout(time.Minute), "wild", "unexpected fault address"),
			Entry("a deadlock", SpecTimeout(time.Minute), "deadlock", "all goroutines are asleep"),
			Entry("endless recursion", SpecTimeout(time.Minute), "stack", "stack overflow"),
			Entry("more memory than there is", SpecTimeout(2*time.Minute), "memory", "out of memory"),
		)

		It("ends when nobody waits for it any more", func(ctx SpecContext) {
			runCtx, cancel := context.WithCancel(ctx)
			defer cancel()
			spinning := harness.NewSignal("about to spin")
			p, err := l.Node("node1").Start(runCtx, lab.Cmd{Args: []string{"misbehave", "spin"}, Stdout: spinning})
			Expect(err).NotTo(HaveOccurred())
			Eventually(ctx, spinning.Seen).Should(BeClosed())
			Expect(run(ctx, "node1", "ps")).To(ContainSubstring("misbehave"))
			cancel()
			_, err = p.Wait()
			Expect(err).To(MatchError(context.Canceled))
			Eventually(ctx, func() string { return run(ctx, "node1", "ps") }).ShouldNot(ContainSubstring("misbehave"))
		}, SpecTimeout(time.Minute))

		It("runs beside 49 others", func(ctx SpecContext) {
			const n = 50
			type answer struct {
				stdout string
				exit   lab.Exit
				err    error
			}
			answers := make([]chan answer, n)
			// All of them have started before the first gets its input.
			var inputs []chan struct{}
			for i := range n {
				answers[i] = make(chan answer, 1)
				started := harness.NewSignal("hello from")
				inputs = append(inputs, make(chan struct{}))
				go func() {
					var a answer
					var stdout bytes.Buffer
					var p *lab.Process
					p, a.err = l.Node("node2").Start(ctx, lab.Cmd{
						Args:   []string{"hello", "-stdin", fmt.Sprintf("-status=%d", i)},
						Stdin:  &heldBack{until: inputs[i], Reader: strings.NewReader(fmt.Sprintf("program %d", i))},
						Stdout: &both{started, &stdout},
					})
					if a.err == nil {
						a.exit, a.err = p.Wait()
					}
					a.stdout = stdout.String()
					answers[i] <- a
				}()
				Eventually(ctx, started.Seen).Should(BeClosed(), "program %d", i)
			}
			for _, c := range inputs {
				close(c)
			}
			for i := range n {
				var a answer
				Eventually(ctx, answers[i]).Should(Receive(&a))
				Expect(a.err).NotTo(HaveOccurred())
				Expect(a.exit.Status).To(Equal(i))
				Expect(a.stdout).To(HaveSuffix(fmt.Sprintf("\nprogram %d", i)))
			}
		}, SpecTimeout(3*time.Minute))
	})

	Describe("the network", func() {
		It("answers pings by name", func(ctx SpecContext) {
			run(ctx, "node1", "ping", "-c", "3", "node2")
			run(ctx, "node2", "ping", "-c", "3", "node1")
			fails(ctx, "node1", "ping", "-c", "1", "node9")
		}, SpecTimeout(time.Minute))

		It("carries TCP by name", func(ctx SpecContext) {
			r, err := benchTCP(ctx, l, 50, 1<<20)
			Expect(err).NotTo(HaveOccurred())
			Expect(r.Bytes).To(BeEquivalentTo(1 << 20))
		}, SpecTimeout(2*time.Minute))

		It("is cut by a partition and healed again", func(ctx SpecContext) {
			DeferCleanup(l.Net().Heal)
			Expect(l.Net().Partition(ctx, []string{"node1"}, []string{"node2"})).To(Succeed())
			fails(ctx, "node1", "ping", "-c", "2", "node2")
			// The lab's own way to the nodes is not part of the experiment.
			Expect(run(ctx, "node2", "hello")).To(HavePrefix("hello"))

			Expect(l.Net().Heal(ctx)).To(Succeed())
			run(ctx, "node1", "ping", "-c", "2", "node2")
			_, err := benchTCP(ctx, l, 5, 1<<16)
			Expect(err).NotTo(HaveOccurred())
		}, SpecTimeout(2*time.Minute))

		It("does not lose a connection to a short partition", func(ctx SpecContext) {
			DeferCleanup(l.Net().Heal)
			stop, err := serveTCP(ctx, l, "node2")
			Expect(err).NotTo(HaveOccurred())
			defer stop()
			// A byte at a time: the echo of the first says that it has begun.
			echo := harness.NewSignal("echo 1\n")
			var stderr bytes.Buffer
			p, err := l.Node("node1").Start(ctx, lab.Cmd{
				Args: []string{"tcp", "-v", "-rounds", "300", "-bytes", fmt.Sprint(1 << 20), "bench", "node2:7000"}, Stdout: echo, Stderr: &stderr,
			})
			Expect(err).NotTo(HaveOccurred())
			Eventually(ctx, echo.Seen).Should(BeClosed())
			Expect(l.Net().Partition(ctx, []string{"node1"}, []string{"node2"})).To(Succeed())
			fails(ctx, "node1", "ping", "-c", "1", "node2")
			Expect(l.Net().Heal(ctx)).To(Succeed())
			exit, err := p.Wait()
			Expect(err).NotTo(HaveOccurred())
			Expect(exit.Ok()).To(BeTrue(), "%v: %s", exit, stderr.String())
		}, SpecTimeout(2*time.Minute))
	})

	Describe("a node", func() {
		It("that loses its power is reported and boots again", func(ctx SpecContext) {
			Expect(l.Node("node2").Kill(ctx)).To(Succeed())
			s, err := l.Status(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(s.Nodes[0].State).To(Equal(api.Up))
			Expect(s.Nodes[1].State).To(BeElementOf(api.Off, api.Dead))
			_, err = l.Node("node2").Run(ctx, "hello")
			Expect(err).To(HaveOccurred())

			Expect(l.Node("node2").Boot(ctx)).To(Succeed())
			run(ctx, "node2", "ping", "-c", "1", "node1")
			run(ctx, "node1", "ping", "-c", "1", "node2")
			// Its files were in its memory.
			Expect(harness.Install(ctx, l, programs, "node2")).To(Succeed())
		}, SpecTimeout(3*time.Minute))

		It("shows on its console that it has booted", func(ctx SpecContext) {
			Expect(l.Node("node1").WaitConsole(ctx, 0, regexp.MustCompile(`hurdlab: ready`))).To(Succeed())
			text, err := l.Node("node1").Console()
			Expect(err).NotTo(HaveOccurred())
			Expect(string(text)).To(ContainSubstring("GNU Mach"))
		}, SpecTimeout(time.Minute))
	})
})

// heldBack is a reader that gives nothing until a channel is closed.
type heldBack struct {
	until <-chan struct{}
	*strings.Reader
}

func (h *heldBack) Read(p []byte) (int, error) {
	<-h.until
	return h.Reader.Read(p)
}

// both writes to two writers.
type both struct {
	*harness.Signal
	buf *bytes.Buffer
}

func (b *both) Write(p []byte) (int, error) {
	b.buf.Write(p)
	return b.Signal.Write(p)
}

// tcpResult is what the program tcp prints.
type tcpResult struct {
	RTT   float64 `json:"rtt_us"`
	Rate  float64 `json:"mb_per_s"`
	Bytes int64   `json:"bytes"`
}

// serveTCP starts the server of the program tcp on a node's port 7000 and
// returns when it listens.
func serveTCP(ctx context.Context, l *lab.Lab, node string) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	serving := harness.NewSignal("serving on")
	var stderr bytes.Buffer
	p, err := l.Node(node).Start(ctx, lab.Cmd{Args: []string{"tcp", "serve", ":7000"}, Stdout: serving, Stderr: &stderr})
	if err != nil {
		cancel()
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		p.Wait()
		close(done)
	}()
	select {
	case <-serving.Seen:
		return func() { cancel(); <-done }, nil
	case <-done:
		cancel()
		return nil, fmt.Errorf("tcp serve on %s ended: %s", node, stderr.String())
	}
}

// benchTCP measures TCP from node1 to node2.
func benchTCP(ctx context.Context, l *lab.Lab, rounds, size int) (r tcpResult, err error) {
	stop, err := serveTCP(ctx, l, "node2")
	if err != nil {
		return r, err
	}
	defer stop()
	out, err := l.Node("node1").Run(ctx, "tcp", "-rounds", fmt.Sprint(rounds), "-bytes", fmt.Sprint(size), "bench", "node2:7000")
	if err != nil {
		return r, err
	}
	if !out.Ok() {
		return r, fmt.Errorf("tcp bench: %v: %s", out.Exit, out.Stderr)
	}
	return r, json.Unmarshal([]byte(out.Stdout), &r)
}
