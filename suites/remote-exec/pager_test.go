package remoteexec

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/lab"
	"hurdlab/suites/internal/harness"
)

// soakTime is how long the soak lasts; the figure is 10m.
var soakTime = flag.Duration("soak", 30*time.Second, "`time` of the soak of a file that three nodes have mapped")

// benches has the times measured, of which nothing is expected.
var benches = flag.Bool("bench", false, "measure mapped files")

// pagers are the programs of these specs.
var pagers = []string{"hurdlab/suites/programs/pagebench", "hurdlab/suites/programs/tcp"}

// at is what node2's file is called on a node.
func at(node int, file string) string {
	if node == 2 {
		return file
	}
	return "/n/node2" + file
}

// A mapping is a file that is mapped on a node, and does what it is told.
type mapping struct {
	*harness.Running
	in    io.WriteCloser
	lines int
}

// mapOn maps a file of node2 on a node.
func mapOn(ctx context.Context, node int, file string) *mapping {
	GinkgoHelper()
	r, w := io.Pipe()
	m := &mapping{in: w}
	m.Running = nodes.StartCmd(ctx, node, lab.Cmd{Args: []string{"pagebench", "do", at(node, file)}, Stdin: r})
	DeferCleanup(func() { _ = w.Close() })
	Expect(m.next(ctx)).To(Equal("ready"))
	return m
}

// next waits for a line.
func (m *mapping) next(ctx context.Context) string {
	GinkgoHelper()
	m.lines++
	Eventually(ctx, func() int { return strings.Count(m.Output(), "\n") }).WithTimeout(2*time.Minute).Should(BeNumerically(">=", m.lines), m.Output)
	return strings.Split(m.Output(), "\n")[m.lines-1]
}

// say has it do something and returns the answer.
func (m *mapping) say(ctx context.Context, format string, args ...any) string {
	GinkgoHelper()
	_, err := fmt.Fprintf(m.in, format+"\n", args...)
	Expect(err).NotTo(HaveOccurred())
	return m.next(ctx)
}

// pagerInfo returns the numbers of the pager of a file of node2.
func pagerInfo(ctx context.Context, file string) map[string]int {
	GinkgoHelper()
	m := make(map[string]int)
	for line := range strings.Lines(on(ctx, 2, "pagebench info "+file)) {
		if f := strings.Fields(line); len(f) == 2 {
			n, err := strconv.Atoi(f[1])
			Expect(err).NotTo(HaveOccurred())
			m[f[0]] = n
		}
	}
	return m
}

// needMany skips the spec if node2's own files can have one kernel only. Other nodes map
// them by way of netmsg's pager then, of which node2 itself, and who reads, know nothing.
func needMany(ctx context.Context) {
	GinkgoHelper()
	on(ctx, 2, "pagebench make -size 4096 /tmp/many")
	if r := nodes.Try(ctx, 2, "pagebench info /tmp/many"); !r.Ok() {
		Skip("the pager of node2's own files is for one kernel (it does not answer pager_info: " + strings.TrimSpace(r.Stderr) + ")")
	}
}

var _ = Describe("a file that several nodes map", Ordered, func() {
	guarded()

	BeforeAll(func(ctx SpecContext) { Expect(harness.Install(ctx, l, pagers)).To(Succeed()) }, NodeTimeout(10*time.Minute))

	It("is one: what one writes the others see, and who reads it", func(ctx SpecContext) {
		needMany(ctx)
		on(ctx, 2, "pagebench make -size 8192 /tmp/one")
		var maps []*mapping
		for n := 1; n <= 3; n++ {
			maps = append(maps, mapOn(ctx, n, "/tmp/one"))
		}
		for i, m := range maps {
			Expect(m.say(ctx, "set 4 %d", 100+i)).To(Equal("ok"))
			for _, other := range maps {
				Expect(other.say(ctx, "get 4")).To(Equal(fmt.Sprint(100 + i)))
			}
		}
		Expect(maps[0].say(ctx, "set 0 %d", 'x')).To(Equal("ok"))
		Expect(on(ctx, 3, "head -c 1 /n/node2/tmp/one")).To(Equal("x"))
	}, SpecTimeout(5*time.Minute))

	It("goes to each kernel once, however many read it there", func(ctx SpecContext) {
		needMany(ctx)
		const pages = 128
		on(ctx, 2, fmt.Sprintf("pagebench make -size %d /tmp/readers", pages*4096))
		var readers []*harness.Running
		kernels := len(l.Nodes())
		for n := 1; n <= kernels; n++ {
			for range 16 / kernels {
				readers = append(readers, nodes.Start(ctx, n, "pagebench", "read", at(n, "/tmp/readers")))
			}
		}
		for _, r := range readers {
			out, exit := r.End()
			Expect(exit.Ok()).To(BeTrue(), out)
		}
		info := pagerInfo(ctx, "/tmp/readers")
		AddReportEntry("readers", fmt.Sprintf("%d readers on %d nodes, %d pages: %v", len(readers), kernels, pages, info))
		// A kernel may part with a page, and ask again.
		Expect(info["most"]).To(BeNumerically("~", pages, 4))
		// Its server may have it mapped itself, as one more, by which the file was written.
		Expect(info["supplied"]).To(SatisfyAny(
			BeNumerically("~", kernels*pages, 4*kernels), BeNumerically("~", (kernels+1)*pages, 4*kernels)))
	}, SpecTimeout(5*time.Minute))

	It("is cut while it is mapped: what is beyond the end is an exception, on each node", func(ctx SpecContext) {
		needMany(ctx)
		on(ctx, 2, "pagebench make -size 16384 /tmp/cut")
		a, b := mapOn(ctx, 1, "/tmp/cut"), mapOn(ctx, 2, "/tmp/cut")
		Expect(a.say(ctx, "set 12288 5")).To(Equal("ok"))
		Expect(b.say(ctx, "get 12288")).To(Equal("5"))
		on(ctx, 3, "pagebench cut -size 8192 /n/node2/tmp/cut")
		Expect(a.say(ctx, "get 12288")).To(Equal("fault"))
		Expect(b.say(ctx, "get 12288")).To(Equal("fault"))
		Expect(a.say(ctx, "get 4096")).To(Equal("4096"))
		on(ctx, 3, "pagebench cut -size 16384 /n/node2/tmp/cut")
		Expect(a.say(ctx, "get 12288")).To(Equal("0"))
	}, SpecTimeout(5*time.Minute))

	It("is written by sync", func(ctx SpecContext) {
		needMany(ctx)
		on(ctx, 2, "pagebench make -size 4096 /tmp/sync")
		m := mapOn(ctx, 1, "/tmp/sync")
		Expect(m.say(ctx, "set 0 7")).To(Equal("ok"))
		before := pagerInfo(ctx, "/tmp/sync")["stored"]
		Expect(m.say(ctx, "sync")).To(Equal("ok"))
		Expect(pagerInfo(ctx, "/tmp/sync")["stored"]).To(Equal(before + 1))
	}, SpecTimeout(3*time.Minute))

	It("outlives a node that has changed it: what was not written is lost, and the others go on", func(ctx SpecContext) {
		needMany(ctx) // who syncs is at the file's server, which knows nothing of netmsg's pager otherwise
		on(ctx, 2, "pagebench make -size 8192 /tmp/death")
		a, b := mapOn(ctx, 1, "/tmp/death"), mapOn(ctx, 3, "/tmp/death")
		Expect(a.say(ctx, "set 0 41")).To(Equal("ok"))
		Expect(a.say(ctx, "sync")).To(Equal("ok"))
		Expect(a.say(ctx, "set 0 42")).To(Equal("ok"))
		node := l.Nodes()[0]
		Expect(node.Kill(ctx)).To(Succeed())
		Expect(b.say(ctx, "get 0")).To(Equal("41"))
		Expect(b.say(ctx, "set 0 43")).To(Equal("ok"))
		Expect(node.Boot(ctx)).To(Succeed())
		Expect(harness.Install(ctx, l, append(pagers, programs...), "node1")).To(Succeed())
		nodes.Mounted(ctx, 1, 2)
		nodes.Mounted(ctx, 2, 1)
		Expect(mapOn(ctx, 1, "/tmp/death").say(ctx, "get 0")).To(Equal("43"))
	}, SpecTimeout(8*time.Minute))

	It("takes as long as it should", Label("bench"), func(ctx SpecContext) {
		if !*benches {
			Skip("only with -bench")
		}
		needMany(ctx)
		on(ctx, 2, "pagebench make -size 33554432 /tmp/big; rm -f /tmp/turn; pagebench cut -size 4096 /tmp/turn")
		server := nodes.Start(ctx, 2, "tcp", "serve", ":7010")
		address := l.Nodes()[1].Addr() + ":7010"
		out := on(ctx, 1, "pagebench bench -tcp "+address+" /n/node2/tmp/big")
		AddReportEntry("first touch and reading", out)
		other := nodes.Start(ctx, 2, "pagebench", "turn", "-me", "1", "-n", "100", "/tmp/turn")
		turns := on(ctx, 1, "pagebench turn -me 0 -n 100 -tcp "+address+" /n/node2/tmp/turn")
		_, exit := other.End()
		Expect(exit.Ok()).To(BeTrue())
		AddReportEntry("turns", turns)
		_ = server.Signal("KILL")
		on(ctx, 2, "rm /tmp/big")
	}, SpecTimeout(10*time.Minute))

	It("is one at all times, whatever three nodes do to it", func(ctx SpecContext) {
		needMany(ctx)
		clock := nodes.Start(ctx, 2, "pagebench", "clock", ":7011")
		defer func() { _ = clock.Signal("KILL") }()
		on(ctx, 2, "rm -f /tmp/soak; pagebench cut -size 12288 /tmp/soak")
		seed := uint64(GinkgoRandomSeed())
		var all []*harness.Running
		for n := 1; n <= 3; n++ {
			all = append(all, nodes.Start(ctx, n, "pagebench", "soak", "-clock", l.Nodes()[1].Addr()+":7011", "-time", soakTime.String(),
				"-seed", fmt.Sprint((seed*4+uint64(n))%250+1), at(n, "/tmp/soak")))
		}
		var history []porcupine.Operation
		var outputs []string
		for i, r := range all {
			out, exit := r.End()
			Expect(exit.Ok()).To(BeTrue(), out)
			Expect(out).To(HaveSuffix("end\n"))
			outputs = append(outputs, out)
			history = append(history, operations(out, i)...)
		}
		AddReportEntry("soak", fmt.Sprintf("seed %d: %d operations in %v", seed, len(history), *soakTime))
		Expect(len(history)).To(BeNumerically(">", 50))
		result := porcupine.CheckOperationsTimeout(words, history, 5*time.Minute)
		if result != porcupine.Ok {
			saved, err := os.CreateTemp("", "hurdlab-soak-*.json")
			Expect(err).NotTo(HaveOccurred())
			Expect(json.NewEncoder(saved).Encode(outputs)).To(Succeed())
			Expect(saved.Close()).To(Succeed())
			AddReportEntry("what the three nodes did", saved.Name())
		}
		Expect(result).To(Equal(porcupine.Ok))
	}, SpecTimeout(30*time.Minute))
})

// An access is to a word of the file.
type access struct {
	word  int
	write bool
	value uint32
}

var line = regexp.MustCompile(`^(\d+) ([rw]) (\d+) (-?\d+) (-?\d+)$`)

// operations reads what program pagebench says of a soak.
func operations(out string, client int) (list []porcupine.Operation) {
	for s := bufio.NewScanner(strings.NewReader(out)); s.Scan(); {
		f := line.FindStringSubmatch(s.Text())
		if f == nil {
			continue
		}
		var n [4]int64
		for i, x := range []string{f[1], f[3], f[4], f[5]} {
			n[i], _ = strconv.ParseInt(x, 10, 64)
		}
		list = append(list, porcupine.Operation{
			ClientId: client, Input: access{int(n[0]), f[2] == "w", uint32(n[1])}, Output: uint32(n[1]),
			Call: n[2], Return: max(n[3], math.MinInt64+1),
		})
	}
	return list
}

// words is the model: each word is what was written last, and 0 at first.
var words = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := make(map[int][]porcupine.Operation)
		for _, op := range history {
			w := op.Input.(access).word
			by[w] = append(by[w], op)
		}
		var list [][]porcupine.Operation
		for _, ops := range by {
			list = append(list, ops)
		}
		return list
	},
	Init: func() any { return uint32(0) },
	Step: func(state, input, output any) (bool, any) {
		a := input.(access)
		if a.write {
			return true, a.value
		}
		return state.(uint32) == output.(uint32), state
	},
}
