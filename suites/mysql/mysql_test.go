// Package mysql is the suite that shows a server that speaks MySQL on a node, with clients on its
// node, on another one and on the host: it answers them rightly, its data may be
// another node's, and a bank's money is neither lost nor made, through kills of the
// server and of its node, and a network that is cut.
//
//	hurdlab test suites/mysql -- -quick
//
// Without -quick or -full it does nothing, since it takes eight minutes. With -full
// clients work for longer.
//
// The server is suites/programs/mysqld, whose documentation says what it is. What it takes is measured by
// hurdlab bench mysql.
package mysql

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/bench/measure"
	"hurdlab/lab"
	"hurdlab/lab/programs"
	"hurdlab/suites/internal/harness"
)

var (
	quick = flag.Bool("quick", false, "clients work for a short time")
	full  = flag.Bool("full", false, "clients work for long")
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestSuite(t *testing.T) { harness.Run(t, "MySQL") }

var (
	l     *lab.Lab
	nodes = harness.Nodes{Lab: func() *lab.Lab { return l }}
	// client is mysqlload for the host.
	client string
)

var _ = BeforeSuite(func(ctx SpecContext) {
	if !*quick && !*full {
		Skip("neither -quick nor -full")
	}
	part := measure.Find("mysql")
	var err error
	client, err = programs.BuildHost(ctx, GinkgoT().TempDir(), "hurdlab/suites/programs/mysqlload")
	Expect(err).NotTo(HaveOccurred())
	l = harness.Up(ctx, lab.Spec{Nodes: 2, MemoryMB: part.MemoryMB})
	harness.NeedHurd(l)
	Expect(harness.Install(ctx, l, part.Programs)).To(Succeed())
}, NodeTimeout(20*time.Minute))

// working is how long clients work.
func working() time.Duration {
	if *full {
		return 2 * time.Minute
	}
	return 30 * time.Second
}

const port = 3306

// A server runs on a node.
type server struct {
	*harness.Running
	node int
	dir  string
	host string // its address, for the host
}

// serve starts a server with its data in a directory, which it removes first and
// afterwards; and makes its port one of the host's.
func serve(ctx SpecContext, node int, dir string) *server {
	GinkgoHelper()
	nodes.On(ctx, node, "rm -rf "+dir)
	s := &server{node: node, dir: dir}
	s.start(ctx)
	var err error
	s.host, err = l.Net().Forward(ctx, "127.0.0.1:0", fmt.Sprintf("node%d", node), port)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) {
		Expect(l.Net().Unforward(ctx, s.host)).To(Succeed())
		for pid := range nodes.Processes(ctx, node, "mysqld -listen") {
			nodes.Try(ctx, node, "kill -KILL "+pid) // it may end meanwhile
		}
		Eventually(ctx, func() map[string]string { return nodes.Processes(ctx, node, "mysqld -listen") }).Should(BeEmpty())
		nodes.On(ctx, node, "rm -rf "+dir)
	})
	return s
}

// start starts it, again.
func (s *server) start(ctx context.Context) {
	GinkgoHelper()
	s.Running = nodes.Start(ctx, s.node, "mysqld", "-listen", fmt.Sprintf(":%d", port), s.dir)
	Eventually(ctx, s.Output).WithTimeout(2 * time.Minute).Should(ContainSubstring("serving on"))
	AddReportEntry("mysqld", strings.TrimSpace(s.Output()))
}

// kill kills it.
func (s *server) kill() {
	GinkgoHelper()
	Expect(s.Signal("KILL")).To(Succeed())
	_, exit := s.End()
	Expect(exit.Signal).To(Equal("KILL"))
}

// run runs mysqlload on a node, or on the host (0), and returns its status and what it wrote.
func (s *server) run(ctx context.Context, node int, args ...string) (status int, out string) {
	GinkgoHelper()
	args = append([]string{"-timeout", "30s", "-seed", fmt.Sprint(GinkgoRandomSeed() + int64(node))}, args...)
	if node != 0 {
		r, err := l.Nodes()[node-1].Run(ctx, append([]string{"mysqlload", "-addr", fmt.Sprintf("node%d:%d", s.node, port)}, args...)...)
		Expect(err).NotTo(HaveOccurred())
		return r.Exit.Status, r.Stdout + r.Stderr
	}
	cmd := exec.CommandContext(ctx, client, append([]string{"-addr", s.host}, args...)...)
	b, err := cmd.CombinedOutput()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		Expect(err).NotTo(HaveOccurred())
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// does is run of what is to succeed.
func (s *server) does(ctx context.Context, node int, args ...string) string {
	GinkgoHelper()
	status, out := s.run(ctx, node, args...)
	Expect(status).To(BeZero(), "clients on node %d (0: the host): %v\n%s", node, args, out)
	return out
}

// A report is what mysqlload transfer says, as far as it is wanted.
type report struct {
	Made, Found, Unknown, Lost int
}

// bank has clients transfer money, from nodes (0: the host), while something else is done; and counts the money.
// What all clients have seen is returned, by node.
func (s *server) bank(ctx SpecContext, from []int, meanwhile func()) map[int]report {
	GinkgoHelper()
	s.does(ctx, 0, "open")
	type end struct {
		node   int
		status int
		out    string
	}
	ends := make(chan end, len(from))
	for _, node := range from {
		go func() {
			defer GinkgoRecover()
			e := end{node: node, status: -1}
			defer func() { ends <- e }()
			e.status, e.out = s.run(ctx, node, "-clients", "2", "-timeout", "5s", "-patience", "5m", "-run", fmt.Sprint(node+1), "-time", working().String(), "transfer")
		}()
	}
	meanwhile()
	reports := make(map[int]report)
	for range from {
		e := <-ends
		AddReportEntry(fmt.Sprintf("clients on node %d (0: the host)", e.node), e.out)
		Expect(e.status).To(BeZero(), "clients on node %d (0: the host):\n%s", e.node, e.out)
		var r report
		Expect(json.NewDecoder(bytes.NewBufferString(e.out)).Decode(&r)).To(Succeed(), "%s", e.out)
		reports[e.node] = r
	}
	AddReportEntry("the bank", s.does(ctx, 0, "audit"))
	return reports
}

// some waits until the bank's clients have made transfers, more than a number.
func (s *server) some(ctx context.Context, more int) {
	GinkgoHelper()
	Eventually(ctx, func() (int, error) {
		var a struct{ Transfers int }
		status, out := s.run(ctx, 0, "audit")
		if status == 3 {
			return 0, StopTrying(out)
		}
		if status != 0 {
			return 0, fmt.Errorf("%s", out)
		}
		err := json.Unmarshal([]byte(out), &a)
		return a.Transfers, err
	}).WithTimeout(working()).Should(BeNumerically(">", more))
}

// all are the places where clients can be.
var all = []int{0, 1, 2}

var _ = Describe("a server", func() {
	harness.Guard(nodes.Lab)

	for _, c := range []struct{ what, dir string }{{"data of its own", "/tmp/mysql"}, {"data on another node", "/n/node2/tmp/mysql"}} {
		It("answers clients on its node, on another, and on the host, with "+c.what, func(ctx SpecContext) {
			s := serve(ctx, 1, c.dir)
			s.does(ctx, 0, "-rows", "200", "prepare")
			for _, node := range all {
				for _, mix := range []string{"point", "mixed"} {
					// The clients themselves check what they get.
					out := s.does(ctx, node, "-rows", "200", "-clients", "2", "-time", "2s", "load", mix)
					AddReportEntry(fmt.Sprintf("%s, clients on node %d (0: the host)", mix, node), out)
				}
			}
			// And what was written is there the next time.
			s.does(ctx, 0, "open")
			s.kill()
			s.start(ctx)
			Expect(s.Output()).To(ContainSubstring("3 tables with 220 rows"))
			s.does(ctx, 2, "audit")
			s.does(ctx, 0, "-rows", "200", "-clients", "1", "-time", "1s", "load", "range")
		}, SpecTimeout(8*time.Minute))
	}
})

var _ = Describe("a bank's money", func() {
	harness.Guard(nodes.Lab)

	It("is neither lost nor made by many clients and kills of the server", func(ctx SpecContext) {
		s := serve(ctx, 1, "/tmp/mysql")
		reports := s.bank(ctx, all, func() {
			for range 2 {
				s.some(ctx, 0)
				s.kill()
				s.start(ctx)
			}
		})
		for _, node := range all {
			Expect(reports[node].Made).NotTo(BeZero(), "node %d", node)
			Expect(reports[node].Lost).NotTo(BeZero(), "node %d", node)
		}
	}, SpecTimeout(8*time.Minute))

	It("is neither when clients are cut off, who go on afterwards", func(ctx SpecContext) {
		s := serve(ctx, 1, "/tmp/mysql")
		reports := s.bank(ctx, []int{0, 2}, func() {
			s.some(ctx, 0)
			partition(ctx)
			// Whom it does not concern goes on.
			for range 2 {
				now := transfers(s.does(ctx, 0, "audit"))
				s.some(ctx, now)
			}
			heal(ctx)
		})
		Expect(reports[0].Made).NotTo(BeZero())
	}, SpecTimeout(8*time.Minute))

	It("is neither when the server is cut off from its data: it ends, and starts again", func(ctx SpecContext) {
		s := serve(ctx, 1, "/n/node2/tmp/mysql")
		reports := s.bank(ctx, []int{0, 1}, func() {
			s.some(ctx, 0)
			partition(ctx)
			// It says that it does not know, rather than something that may not be so.
			out, exit := s.End()
			Expect(exit.Status).To(Equal(1), "%s", out)
			Expect(out).To(ContainSubstring("the journal cannot be written"))
			heal(ctx)
			s.start(ctx)
		})
		Expect(reports[0].Lost).NotTo(BeZero())
	}, SpecTimeout(10*time.Minute))

	It("is neither when the server's node is killed, whose data are on another", func(ctx SpecContext) {
		s := serve(ctx, 1, "/n/node2/tmp/mysql")
		reports := s.bank(ctx, []int{0, 2}, func() {
			s.some(ctx, 0)
			node := l.Nodes()[0]
			Expect(node.Kill(ctx)).To(Succeed())
			Expect(node.Boot(ctx)).To(Succeed())
			Expect(harness.Install(ctx, l, measure.Find("mysql").Programs, "node1")).To(Succeed())
			nodes.Mounted(ctx, 1, 2)
			s.start(ctx)
		})
		Expect(reports[0].Lost).NotTo(BeZero())
		Expect(reports[2].Lost).NotTo(BeZero())
	}, SpecTimeout(10*time.Minute))
})

// partition cuts the nodes off from each other, until heal.
func partition(ctx context.Context) {
	GinkgoHelper()
	Expect(l.Net().Partition(ctx, []string{"node1"}, []string{"node2"})).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { heal(ctx) })
}

func heal(ctx context.Context) {
	GinkgoHelper()
	Expect(l.Net().Heal(ctx)).To(Succeed())
	nodes.Mounted(ctx, 1, 2)
	nodes.Mounted(ctx, 2, 1)
}

// transfers is the number that an audit says.
func transfers(audit string) int {
	GinkgoHelper()
	var a struct{ Transfers int }
	Expect(json.Unmarshal([]byte(audit), &a)).To(Succeed(), "%s", audit)
	return a.Transfers
}

var _ = Describe("hurdlab bench mysql", func() {
	harness.Guard(nodes.Lab)

	It("measures what it says", func(ctx SpecContext) {
		p, err := measure.Find("mysql").Measure(ctx, l, measure.Options{Nodes: []int{1, 2}, Quick: true, Say: func(s string) { GinkgoWriter.Println(s) }})
		Expect(err).NotTo(HaveOccurred())
		for _, name := range []string{"point/on=node2/data=node1", "mixed/on=host/data=node1/p95", "mixed/on=node1/data=node2"} {
			Expect(p.Find(name)).NotTo(BeNil(), "%s", name)
		}
		Expect(p.Plots).NotTo(BeEmpty())
		Expect(slices.ContainsFunc(p.Notes, func(s string) bool { return strings.Contains(s, "in memory") })).To(BeTrue())
	}, SpecTimeout(8*time.Minute))
})
