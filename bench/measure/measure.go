// Package measure measures what the project claims, in labs, by the programs that its
// suites use: the parts of a [bench.Run].
//
// # Place in the house
//
// It stands on lab and bench. Command hurdlab starts a lab for each part; a suite
// measures a part quickly in a lab of its own, to see that it works.
package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"hurdlab/bench"
	"hurdlab/images"
	"hurdlab/lab"
	"hurdlab/lab/programs"
)

// A Part is what can be measured.
type Part struct {
	Name, Title string
	// MemoryMB is what each node needs.
	MemoryMB int
	// Least is the least number of nodes.
	Least int
	// Programs are main packages that the nodes must have.
	Programs []string
	measure  func(m *measuring, ctx context.Context) error
}

// Parts are those that there are.
var Parts = []*Part{&compilePart, &mysqlPart, &mpiPart, &netPart, &fsPart, &pagePart}

// Find returns the part with a name, or nil.
func Find(name string) *Part {
	for _, p := range Parts {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Options say how to measure.
type Options struct {
	// Nodes are the numbers of nodes to compare, for what can be on any number; in
	// ascending order.
	Nodes []int
	// Quick does as little as shows that it works.
	Quick bool
	// Turns is how often each part is measured; 0 is as often as the part finds enough.
	Turns int
	// Say, if not nil, is told what is being done.
	Say func(text string)
	// Note, if not nil, is told how far that is, whenever that has changed.
	Note func(text string)
}

// most is the greatest number of nodes.
func (o Options) most() int {
	if len(o.Nodes) == 0 {
		return 2
	}
	return slices.Max(o.Nodes)
}

// Size is how many nodes the part needs with the options.
func (p *Part) Size(o Options) int { return max(p.Least, o.most()) }

// Measure measures the part in a lab of Size nodes. What could be measured before an
// error is in the result.
func (p *Part) Measure(ctx context.Context, l *lab.Lab, o Options) (*bench.Part, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	began := time.Now()
	m := &measuring{Options: o, lab: l, part: &bench.Part{Name: p.Name, Title: p.Title, Lab: describe(ctx, l)}}
	m.part.Lab.MemoryMB = p.MemoryMB
	err := m.prepare(ctx, p)
	if err == nil {
		err = p.measure(m, ctx)
	}
	m.part.Took, m.part.Load = time.Since(began), load()
	if err != nil {
		m.part.Failed = err.Error()
	}
	return m.part, err
}

// A measuring is a part that is being measured.
type measuring struct {
	Options
	lab  *lab.Lab
	part *bench.Part
}

func (m *measuring) prepare(ctx context.Context, p *Part) error {
	for _, n := range m.lab.Nodes() {
		if !n.Can(images.CanGo) || !n.Can(images.CanHurd) {
			return fmt.Errorf("%s runs no programs built by the Go port on Hurd servers", n.Name())
		}
	}
	if len(m.lab.Nodes()) < p.Size(m.Options) {
		return fmt.Errorf("%s needs %d nodes", p.Name, p.Size(m.Options))
	}
	m.Say("building the programs")
	return programs.Install(ctx, m.lab, p.Programs)
}

// pick is a if quick, b if not.
func (m *measuring) pick(a, b int) int {
	if m.Quick {
		return a
	}
	return b
}

// turns is how often to measure, of a part that finds so many enough.
func (m *measuring) turns(quick, full int) int {
	if m.Turns > 0 {
		return m.Turns
	}
	return m.pick(quick, full)
}

// on says that it runs a command on a node, from 1 on, and returns what that says.
func (m *measuring) on(ctx context.Context, node int, args ...string) (string, error) {
	m.Say(fmt.Sprintf("node%d: %s", node, strings.Join(args, " ")))
	return m.run(ctx, node, args...)
}

// run is on, of what is no news.
func (m *measuring) run(ctx context.Context, node int, args ...string) (string, error) {
	r, err := m.lab.Nodes()[node-1].Run(ctx, args...)
	if err != nil {
		return "", err
	}
	if !r.Ok() {
		return r.Stdout, fmt.Errorf("node%d: %s: %v\n%s", node, strings.Join(args, " "), r.Exit, r.Stderr)
	}
	return r.Stdout, nil
}

// json runs a command whose answer is a line of JSON.
func (m *measuring) json(ctx context.Context, out any, node int, args ...string) error {
	s, err := m.on(ctx, node, args...)
	if err == nil {
		err = json.Unmarshal([]byte(s), out)
	}
	return err
}

// follow runs a command whose answer is a line of JSON. What it writes among its errors is given to
// line, line by line, which reports whether it was no error.
func (m *measuring) follow(ctx context.Context, out any, line func([]byte) bool, node int, args ...string) error {
	var stdout bytes.Buffer
	stderr := &lines{take: line}
	p, err := m.lab.Nodes()[node-1].Start(ctx, lab.Cmd{Args: args, Stdout: &stdout, Stderr: stderr})
	if err != nil {
		return err
	}
	exit, err := p.Wait()
	if err != nil {
		return err
	}
	if !exit.Ok() {
		return fmt.Errorf("node%d: %s: %v\n%s%s", node, strings.Join(args, " "), exit, stderr.rest, stderr.part)
	}
	return json.Unmarshal(stdout.Bytes(), out)
}

// lines is a writer that gives each line to take, and keeps those that this does not take.
type lines struct {
	take       func([]byte) bool
	part, rest []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.part = append(l.part, b...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 {
			return len(b), nil
		}
		if !l.take(l.part[:i]) {
			l.rest = append(l.rest, l.part[:i+1]...)
		}
		l.part = l.part[i+1:]
	}
}

// serve starts a command on a node that is ready when it has written something, and
// returns what ends it.
func (m *measuring) serve(ctx context.Context, node int, args ...string) (stop func(), err error) {
	r, w := io.Pipe()
	var stderr bytes.Buffer
	p, err := m.lab.Nodes()[node-1].Start(ctx, lab.Cmd{Args: args, Stdout: w, Stderr: &stderr})
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() {
		exit, err := p.Wait()
		if err == nil {
			err = fmt.Errorf("node%d: %s: %v\n%s", node, strings.Join(args, " "), exit, stderr.String())
		}
		w.CloseWithError(err)
		ended <- err
	}()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		return nil, err
	}
	go io.Copy(io.Discard, r)
	return func() { _ = p.Signal("KILL"); <-ended }, nil
}

// tcpPort is where servers of program tcp listen.
const tcpPort = 7000

// describe says what a lab is.
func describe(ctx context.Context, l *lab.Lab) bench.Lab {
	s := l.Spec()
	d := bench.Lab{Nodes: len(s.Nodes), Image: s.Image, Accel: s.Accel, Seed: s.Seed}
	// It is a description: a node that cannot say has none.
	if r, err := l.Nodes()[0].Run(ctx, "uname", "-v"); err == nil && r.Ok() {
		d.Kernel, _, _ = strings.Cut(strings.TrimSpace(r.Stdout), "/")
	}
	return d
}

// NewRun begins a run: it says what this host is, and what source is measured.
func NewRun(ctx context.Context, source string, command []string) *bench.Run {
	r := &bench.Run{Began: time.Now(), Command: command, Host: bench.Host{CPUs: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Load: load()}}
	line := func(file, key string) string {
		b, _ := os.ReadFile(file) // it is a description
		for l := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == key {
				return strings.TrimSpace(v)
			}
		}
		return ""
	}
	r.Host.CPU = line("/proc/cpuinfo", "model name")
	if kb, err := strconv.Atoi(strings.TrimSuffix(line("/proc/meminfo", "MemTotal"), " kB")); err == nil {
		r.Host.MemoryMB = kb >> 10
	}
	git := func(args ...string) string {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", source}, args...)...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	r.Commit = git("rev-parse", "--short", "HEAD")
	r.Changed = git("status", "--porcelain", "--untracked-files=no") != ""
	return r
}

// load is the host's load average of the last minute.
func load() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var x float64
	fmt.Sscan(string(b), &x)
	return x
}
