package harness

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"hurdlab/lab"
)

// must runs a command that is to succeed on a node and returns its output.
func must(ctx context.Context, n *lab.Node, args ...string) string {
	ginkgo.GinkgoHelper()
	r, err := n.Run(ctx, args...)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s: %v", n.Name(), args)
	gomega.Expect(r.Ok()).To(gomega.BeTrue(), "on %s: %v: %v\n%s%s", n.Name(), args, r.Exit, r.Stdout, r.Stderr)
	return r.Stdout
}

// A process is a line of ps.
type process struct{ pid, state, command, line string }

// processes takes what ps says apart: PID PPID PGRP USER STATE TIME RSS COMMAND.
func processes(ps string) []process {
	var list []process
	for line := range strings.Lines(ps) {
		if f := strings.Fields(line); len(f) > 7 {
			list = append(list, process{f[0], f[4], strings.Join(f[7:], " "), line})
		}
	}
	return list
}

// Pid is the number of the process on a node whose command line has a text, 0 if
// there is none.
func Pid(ctx context.Context, n *lab.Node, command string) int {
	ginkgo.GinkgoHelper()
	return pid(must(ctx, n, "ps"), command)
}

func pid(ps, command string) int {
	for _, p := range processes(ps) {
		if strings.Contains(p.command, command) {
			if n, err := strconv.Atoi(p.pid); err == nil {
				return n
			}
		}
	}
	return 0
}

// Kill ends the process on a node whose command line has a text, and fails if there
// is none.
func Kill(ctx context.Context, n *lab.Node, command string) {
	ginkgo.GinkgoHelper()
	p := Pid(ctx, n, command)
	gomega.Expect(p).NotTo(gomega.BeZero(), "%s runs no %s", n.Name(), command)
	must(ctx, n, "kill", "-KILL", strconv.Itoa(p))
}

// A Census counts what the tasks of a node have: the tool tasks tells.
type Census struct {
	Tasks int
	Total Belongings
	Of    map[string]Belongings // by the task's process and command
}

// Belongings are what a task has: names of ports, threads, kB in memory.
type Belongings struct{ Ports, Threads, Resident int }

func (c Census) String() string {
	return fmt.Sprintf("%d tasks, %d ports, %d threads, %d kB", c.Tasks, c.Total.Ports, c.Total.Threads, c.Total.Resident)
}

// Task returns what the first task has whose process and command contain a text, and
// what it is called.
func (c Census) Task(command string) (string, Belongings) {
	for who, b := range c.Of {
		if strings.Contains(who, command) {
			return who, b
		}
	}
	return "", Belongings{}
}

var (
	taskLine   = regexp.MustCompile(`^ *(\d+) ports +(\d+) threads +(\d+)k resident +\d+k virtual +(.*)$`)
	totalsLine = regexp.MustCompile(`^(\d+) tasks, (\d+) ports, (\d+) threads, (\d+)k resident$`)
)

// Count takes the census of a node.
func Count(ctx context.Context, n *lab.Node) Census {
	ginkgo.GinkgoHelper()
	// The server of pipes starts with the first.
	must(ctx, n, "sh", "-c", "echo | cat")
	out := must(ctx, n, "tasks")
	c := census(out)
	gomega.Expect(c.Tasks).NotTo(gomega.BeZero(), "%s", out)
	return c
}

func census(tasks string) Census {
	c := Census{Of: make(map[string]Belongings)}
	number := func(s string) int {
		n, _ := strconv.Atoi(s) // it is digits
		return n
	}
	for line := range strings.Lines(tasks) {
		line = strings.TrimSuffix(line, "\n")
		if m := taskLine.FindStringSubmatch(line); m != nil {
			c.Of[m[4]] = Belongings{number(m[1]), number(m[2]), number(m[3])}
		} else if m := totalsLine.FindStringSubmatch(line); m != nil {
			c.Tasks, c.Total = number(m[1]), Belongings{number(m[2]), number(m[3]), number(m[4])}
		}
	}
	return c
}

// More tells what a later census has that this one has not: more tasks, or more
// than slack ports in a task of both. It is empty if there is nothing.
func (c Census) More(now Census, slack int) string {
	var more []string
	if now.Tasks > c.Tasks {
		more = append(more, fmt.Sprintf("%d tasks, %d before", now.Tasks, c.Tasks))
	}
	for who, has := range now.Of {
		if had, ok := c.Of[who]; ok && has.Ports > had.Ports+slack {
			more = append(more, fmt.Sprintf("%s has %d ports, %d before", who, has.Ports, had.Ports))
		}
	}
	return strings.Join(more, "; ")
}
