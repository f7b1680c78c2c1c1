package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hurdlab/bench"
	"hurdlab/bench/measure"
	machimage "hurdlab/images/mach"
	"hurdlab/lab"
	"hurdlab/lab/problem"
	"hurdlab/lab/state"
)

func benchCmd(a *app) *cobra.Command {
	var f labFlags
	var nodes []int
	var against, out, from string
	var quick bool
	var turns int
	var names []string
	for _, p := range measure.Parts {
		names = append(names, p.Name)
	}
	c := &cobra.Command{
		Use:   "bench [" + strings.Join(names, "|") + "]...",
		Short: "Measure what the project claims, and compare it with an earlier time",
		Long: `Measure what the project claims, or the parts of it that are named, each in a lab of
its own, and write a table. In the directory of --out there are then results.json, for
--against; results.txt, for benchstat; and report.html, one page with plots.

What counts are ratios: of nodes to one node, of other nodes' files to local ones, of
netmsg and the pager to TCP. They are measured in turns. Absolute times depend on this
host; leave it alone meanwhile. docs/benchmarks.md says what each figure is.`,
		Example: `  hurdlab bench
  hurdlab bench mpi compile --nodes 1,2,3
  hurdlab bench net --against bench-20261127-0800/results.json
  hurdlab bench --from results.json --against older.json     # shows, measures nothing`,
		Args: args(0, -1, "names of benchmarks"), ValidArgs: names,
		RunE: func(c *cobra.Command, list []string) error {
			var parts []*measure.Part
			for _, name := range list {
				p := measure.Find(name)
				if p == nil {
					return problem.New(fmt.Sprintf("there is no benchmark %q", name), "there are: "+strings.Join(names, ", "))
				}
				parts = append(parts, p)
			}
			if len(parts) == 0 {
				parts = measure.Parts
			}
			slices.Sort(nodes)
			if len(nodes) == 0 || nodes[0] < 1 || nodes[len(nodes)-1] > lab.MaxNodes {
				return problem.New("--nodes wants numbers of nodes", "such as --nodes 1,2")
			}
			if turns < 0 {
				return problem.New("--turns wants a number", "such as --turns 3")
			}
			old, err := readRun(against)
			if err != nil {
				return err
			}
			if from != "" {
				run, err := readRun(from)
				if err != nil {
					return err
				}
				return a.report(run, old, out)
			}
			source, err := machimage.FindSource(".")
			if err != nil {
				return err
			}
			run := measure.NewRun(c.Context(), source, os.Args)
			run.Quick = quick
			if out == "" {
				out = "bench-" + run.Began.Format("20060102-150405")
			}
			var errs []error
			for _, p := range parts {
				res, err := a.bench(c.Context(), f, p, measure.Options{Nodes: nodes, Quick: quick, Turns: turns})
				if res != nil {
					run.Parts = append(run.Parts, res)
				}
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
				}
				if c.Context().Err() != nil {
					break
				}
			}
			run.Took = time.Since(run.Began)
			if len(run.Parts) > 0 {
				errs = append(errs, a.report(run, old, out))
			}
			return errors.Join(errs...)
		},
	}
	f.registerImage(c)
	c.Flags().IntSliceVar(&nodes, "nodes", []int{1, 2}, "numbers of nodes to compare")
	c.Flags().StringVar(&against, "against", "", "results.json `FILE` of an earlier time to compare with")
	c.Flags().StringVar(&out, "out", "", "`directory` for the results (default: bench- and the time)")
	c.Flags().StringVar(&from, "from", "", "show a results.json `FILE`, and measure nothing")
	c.Flags().IntVar(&turns, "turns", 0, "how often to measure each part (0: as often as it takes to believe it)")
	c.Flags().BoolVar(&quick, "quick", false, "do as little as shows that it works: the figures mean nothing")
	return c
}

// noteTime is how long nothing is said of how far a measurement is that has no terminal.
const noteTime = 15 * time.Second

// bench measures a part in a lab of its own. There may be results and an error.
func (a *app) bench(ctx context.Context, f labFlags, p *measure.Part, o measure.Options) (*bench.Part, error) {
	f.nodes, f.memory = p.Size(o), p.MemoryMB
	spec, err := f.spec(a)
	if err != nil {
		return nil, err
	}
	spec.Name = fmt.Sprintf("bench-%d", os.Getpid())
	spec.Leashed = true
	show := newProgress(a.err)
	defer show.close()
	journal := state.NewJournal(io.Discard, show.event)
	done := journal.Step(p.Name + ": a lab of " + count(f.nodes, "node"))
	l, err := lab.Up(ctx, spec)
	done(err)
	if err != nil {
		return nil, err
	}
	// Down has to work after ^C, too.
	defer l.Down(context.WithoutCancel(ctx))
	done = func(error) {}
	step := ""
	var noted time.Time
	o.Say = func(text string) {
		done(nil)
		step = p.Name + ": " + text
		done = journal.Step(step)
	}
	o.Note = func(text string) {
		// Where lines stay, not each of them.
		if show.width == 0 && time.Since(noted) < noteTime {
			return
		}
		noted = time.Now()
		journal.Record(state.Event{Kind: state.KindStep, Step: step, Phase: state.Noted, Text: text})
	}
	res, err := p.Measure(ctx, l, o)
	done(err)
	return res, err
}

func readRun(file string) (*bench.Run, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := bench.Read(f)
	if err != nil {
		return nil, problem.Wrap(err, file, "name a results.json that hurdlab bench has written")
	}
	return r, nil
}

// report writes the results, to the directory out if it is not empty.
func (a *app) report(run, old *bench.Run, out string) error {
	if err := run.Table(a.out, old); err != nil || out == "" {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, x := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"results.json", run.Write}, {"results.txt", run.Text},
		{"report.html", func(w io.Writer) error { return run.HTML(w, old) }},
	} {
		f, err := os.Create(filepath.Join(out, x.name))
		if err != nil {
			return err
		}
		if err := errors.Join(x.write(f), f.Close()); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	fmt.Fprintf(a.out, "\n%s has results.json, results.txt and report.html\n", out)
	return nil
}
