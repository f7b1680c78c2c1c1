package harness

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"hurdlab/images"
	"hurdlab/lab"
)

// Nodes runs scripts of the shell on the nodes of a lab, which are called 1, 2, ...
// What a script is expected to do it does, or the spec fails.
type Nodes struct{ Lab func() *lab.Lab }

// NeedHurd skips the suite if a node of the lab does not run programs of the Go port on
// Hurd servers.
func NeedHurd(l *lab.Lab) {
	ginkgo.GinkgoHelper()
	for _, n := range l.Nodes() {
		if !n.Can(images.CanGo) || !n.Can(images.CanHurd) {
			ginkgo.Skip(fmt.Sprintf("%s runs no programs built by the Go port, or has no Hurd's servers", n.Name()))
		}
	}
}

// NeedFile skips the spec if a node has no file that it is about, and says what that
// means.
func (n Nodes) NeedFile(ctx context.Context, node int, file, without string) {
	ginkgo.GinkgoHelper()
	if !n.Try(ctx, node, "ls -d "+file).Ok() {
		ginkgo.Skip(fmt.Sprintf("node%d has no %s: %s", node, file, without))
	}
}

// NeedUsers skips the spec if nobody can become another user on a node.
func (n Nodes) NeedUsers(ctx context.Context, node int) {
	ginkgo.GinkgoHelper()
	n.NeedFile(ctx, node, "/servers/password", "nobody becomes another user there")
}

// On runs a script that is to succeed, and returns its output.
func (n Nodes) On(ctx context.Context, node int, script string) string {
	ginkgo.GinkgoHelper()
	r := n.Try(ctx, node, script)
	gomega.Expect(r.Ok()).To(gomega.BeTrue(), "on node%d: %s: %v\n%s%s", node, script, r.Exit, r.Stdout, r.Stderr)
	return r.Stdout
}

// Try runs a script, however it ends.
func (n Nodes) Try(ctx context.Context, node int, script string) lab.Result {
	ginkgo.GinkgoHelper()
	r, err := n.Lab().Nodes()[node-1].Run(ctx, "sh", "-c", script)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on node%d: %s", node, script)
	return r
}

// A Running is a command that runs, and what it has written so far.
type Running struct {
	*lab.Process
	out output
}

// Start starts a command.
func (n Nodes) Start(ctx context.Context, node int, args ...string) *Running {
	ginkgo.GinkgoHelper()
	return n.StartCmd(ctx, node, lab.Cmd{Args: args})
}

// StartCmd is Start of a command that may have standard input.
func (n Nodes) StartCmd(ctx context.Context, node int, cmd lab.Cmd) *Running {
	ginkgo.GinkgoHelper()
	r := new(Running)
	cmd.Stdout, cmd.Stderr = &r.out, &r.out
	p, err := n.Lab().Nodes()[node-1].Start(ctx, cmd)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	r.Process = p
	return r
}

// Output is what it has written to standard output and error.
func (r *Running) Output() string { return r.out.String() }

// End waits for its end.
func (r *Running) End() (string, lab.Exit) {
	ginkgo.GinkgoHelper()
	exit, err := r.Wait()
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "%s", r.Output())
	return r.Output(), exit
}

// Processes lists the command lines of a node's processes that contain a text, by pid.
func (n Nodes) Processes(ctx context.Context, node int, text string) map[string]string {
	ginkgo.GinkgoHelper()
	found := make(map[string]string)
	for _, p := range processes(n.On(ctx, node, "ps")) {
		if strings.Contains(p.line, text) {
			found[p.pid] = p.command
		}
	}
	return found
}

// States lists the states of the processes whose lines in ps contain a text.
func (n Nodes) States(ctx context.Context, node int, text string) []string {
	ginkgo.GinkgoHelper()
	var states []string
	for _, p := range processes(n.On(ctx, node, "ps")) {
		if strings.Contains(p.line, text) {
			states = append(states, p.state)
		}
	}
	return states
}

// Kill is [Kill] of a node by number.
func (n Nodes) Kill(ctx context.Context, node int, command string) {
	ginkgo.GinkgoHelper()
	Kill(ctx, n.Lab().Nodes()[node-1], command)
}

// Mounted waits until a node has another's files, as after a fault.
func (n Nodes) Mounted(ctx context.Context, node, other int) {
	ginkgo.GinkgoHelper()
	gomega.Eventually(ctx, func() string { return n.Try(ctx, node, fmt.Sprintf("cat /n/node%d/etc/hostname", other)).Stdout }).
		WithTimeout(2 * time.Minute).Should(gomega.Equal(fmt.Sprintf("node%d\n", other)))
}

// Census counts the ports of the servers with the given names, and all tasks, of nodes.
func (n Nodes) Census(ctx context.Context, nodes []int, servers ...string) map[string]int {
	ginkgo.GinkgoHelper()
	count := make(map[string]int)
	for _, node := range nodes {
		c := Count(ctx, n.Lab().Nodes()[node-1])
		count[fmt.Sprintf("node%d tasks", node)] = c.Tasks
		for who, has := range c.Of {
			for _, server := range servers {
				if strings.Contains(who, server) {
					count[fmt.Sprintf("node%d %s", node, server)] += has.Ports
				}
			}
		}
	}
	return count
}
