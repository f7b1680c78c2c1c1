package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hurdlab/bench"
	"hurdlab/mpi/fdtd"
)

var mpiPart = Part{
	Name: "mpi", Title: "messages between ranks, and a field solver", MemoryMB: 256, Least: 2,
	Programs: []string{"hurdlab/suites/programs/mpibench"},
	measure:  (*measuring).mpi,
}

// An mpiLine is what mpibench prints.
type mpiLine struct {
	What, Links, Unit, Sum string
	Ranks, Size            int
	Values                 []float64
}

func (l *mpiLine) name() string {
	s := l.What
	if l.Links != "none" {
		s += "/links=" + l.Links
	}
	if l.What == "fdtd" {
		return s + fmt.Sprintf("/ranks=%d", l.Ranks)
	}
	return s + fmt.Sprintf("/size=%d", l.Size)
}

// linkNames are the kinds of links, the one that others are compared with first.
var linkNames = []string{"tcp", "netmsg", "pager"}

// small is the size of the messages whose latency counts, in bytes.
const small = 64

func (m *measuring) mpi(ctx context.Context) error {
	sizes := []string{"0", "64", "1024", "8192", "65536"}
	if m.Quick {
		sizes = []string{"64", "2048"}
	}
	n := m.most()
	var nodes []string
	for i := range n {
		nodes = append(nodes, fmt.Sprintf("node%d", i+1))
	}
	lines := make(map[string]*mpiLine)
	run := func(nodes []string, flags string, what ...string) error {
		args := append([]string{"mpibench"}, strings.Fields(flags)...)
		args = append(append(append(args, nodes...), "--"), what...)
		out, err := m.on(ctx, 1, args...)
		// What it printed before an error is good.
		for line := range strings.Lines(out) {
			l := new(mpiLine)
			if json.Unmarshal([]byte(line), l) != nil {
				continue
			}
			if m.part.Find(l.name()) != nil {
				continue // it has been measured at length
			}
			lines[l.name()] = l
			m.part.Add(l.name(), l.Unit, l.Values...)
		}
		return err
	}
	// The solver first: it is what the rest is for.
	problem := fdtd.Problem{NX: m.pick(128, 4096), NY: m.pick(128, 512), Steps: m.pick(20, 24)}
	grid := fmt.Sprintf("-rounds %d -fdtd %dx%dx%d", m.turns(1, 5), problem.NX, problem.NY, problem.Steps)
	if err := run(nodes, grid, "fdtd"); err != nil {
		return err
	}
	if err := run(nodes[:2], fmt.Sprintf("-n %d -rounds %d -sizes %d", m.pick(1, 20), m.turns(1, 9), small), "latency"); err != nil {
		return err
	}
	all := fmt.Sprintf("-n %d -rounds %d -sizes %s", m.pick(1, 3), m.turns(1, 3), strings.Join(sizes, ","))
	if err := run(nodes[:2], all, "latency", "bandwidth"); err != nil {
		return err
	}
	if err := run(nodes, all, "barrier", "bcast", "allreduce"); err != nil {
		return err
	}

	find := func(format string, args ...any) *bench.Series { return m.part.Find(fmt.Sprintf(format, args...)) }
	one := find("fdtd/ranks=1")
	for ranks := 2; ranks <= n; ranks++ {
		for _, link := range linkNames {
			var goal *bench.Goal
			if ranks == 2 && link == "netmsg" {
				goal = bench.AtLeast(1.6)
			}
			m.part.Faster(fmt.Sprintf("field solver on %d nodes, times one: %s", ranks, link), one, find("fdtd/links=%s/ranks=%d", link, ranks), true, goal)
		}
	}
	tcp := find("latency/links=tcp/size=%d", small)
	m.part.Divide(fmt.Sprintf("latency, %d bytes: netmsg to TCP", small), find("latency/links=netmsg/size=%d", small), tcp, true, bench.AtMost(1.5))
	m.part.Divide(fmt.Sprintf("latency, %d bytes: pager to TCP", small), find("latency/links=pager/size=%d", small), tcp, true, nil)
	last := sizes[len(sizes)-1]
	for _, link := range linkNames[1:] {
		m.part.Divide(fmt.Sprintf("bandwidth, %s bytes: %s to TCP", last, link), find("bandwidth/links=%s/size=%s", link, last), find("bandwidth/links=tcp/size=%s", last), true, nil)
		m.part.Divide("barrier: "+link+" to TCP", find("barrier/links=%s/size=0", link), find("barrier/links=tcp/size=0"), true, nil)
	}
	plot := func(title, what, y string, factor float64) {
		p := &bench.Plot{Title: title, X: "bytes in a message", Y: y, LogX: true, LogY: true}
		for _, link := range linkNames {
			l := bench.Line{Name: link}
			for _, x := range lines {
				if x.What == what && x.Links == link && x.Size > 0 {
					l.X = append(l.X, float64(x.Size))
				}
			}
			slices.Sort(l.X)
			xs := l.X
			l.X = nil
			for _, x := range xs {
				l.Point(x, find("%s/links=%s/size=%.0f", what, link, x), factor)
			}
			p.Lines = append(p.Lines, l)
		}
		m.part.Plots = append(m.part.Plots, p)
	}
	plot("One way, by size", "latency", "ms", 1e-6)
	plot("Bandwidth, by size", "bandwidth", "MB/s", 1e-6)
	plot(fmt.Sprintf("All-reduce of %d ranks", n), "allreduce", "ms", 1e-6)
	speed := &bench.Plot{Title: "Field solver: times as fast as one rank", X: "ranks, one a node", Y: "times"}
	ideal := bench.Line{Name: "as many as there are"}
	for ranks := 1; ranks <= n; ranks++ {
		ideal.X, ideal.Y = append(ideal.X, float64(ranks)), append(ideal.Y, float64(ranks))
	}
	for _, link := range linkNames {
		l := bench.Line{Name: link, X: []float64{1}, Y: []float64{1}}
		for ranks := 2; ranks <= n; ranks++ {
			if s := find("fdtd/links=%s/ranks=%d", link, ranks); s != nil && one != nil {
				l.X, l.Y = append(l.X, float64(ranks)), append(l.Y, one.Spread().Median/s.Spread().Median)
			}
		}
		speed.Lines = append(speed.Lines, l)
	}
	speed.Lines = append(speed.Lines, ideal)
	m.part.Plots = append([]*bench.Plot{speed}, m.part.Plots...)
	return m.cSolver(ctx, n, problem, lines["fdtd/ranks=1"].Sum)
}
