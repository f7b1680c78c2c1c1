// Distbuild runs tasks that depend on each other, several at a time, on this node or
// wherever a command puts them:
//
//	distbuild [-j N] [-by COMMAND] FILE
//
// FILE has a JSON array of [Task]. Each is run by the shell when those that it needs
// have been; with -by "rexec --any", on the node that has the least to do, with the
// files of this one. When one fails, no more are begun. The last line that it prints is
// a [Report].
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A Report is what is printed at the end.
type Report struct {
	Tasks int            `json:"tasks"`
	Took  float64        `json:"took_s"`
	Busy  float64        `json:"busy_s"` // of all tasks together
	On    map[string]int `json:"on"`     // how many tasks which node has run
}

func main() {
	jobs := flag.Int("j", 1, "`tasks` at a time")
	by := flag.String("by", "", "`command` that runs another one")
	verbose := flag.Bool("v", false, "say what has been run, where, and how long it took")
	flag.Parse()
	if flag.NArg() != 1 || *jobs < 1 {
		fmt.Fprintln(os.Stderr, "usage: distbuild [-j N] [-by COMMAND] FILE")
		os.Exit(2)
	}
	r, err := run(flag.Arg(0), *jobs, strings.Fields(*by), *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "distbuild:", err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(r)
}

func run(file string, jobs int, by []string, verbose bool) (*Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var tasks []*Task
	if err := json.Unmarshal(b, &tasks); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return build(tasks, jobs, func(t *Task) (string, error) { return start(t, by) }, verbose)
}

// build runs tasks by start, which returns where it has run one.
func build(tasks []*Task, jobs int, start func(*Task) (string, error), verbose bool) (*Report, error) {
	g, err := newGraph(tasks)
	if err != nil {
		return nil, err
	}
	type result struct {
		task int
		node string
		took time.Duration
		err  error
	}
	began := time.Now()
	r := &Report{Tasks: len(tasks), On: make(map[string]int)}
	results := make(chan result)
	running := 0
	var errs []error
	for g.left > 0 {
		for running < jobs && len(errs) == 0 {
			i, ok := g.next()
			if !ok {
				break
			}
			running++
			go func() {
				began := time.Now()
				node, err := start(tasks[i])
				results <- result{i, node, time.Since(began), err}
			}()
		}
		if running == 0 {
			break // after an error
		}
		x := <-results
		running--
		if x.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", tasks[x.task].Name, x.err))
			continue
		}
		r.On[x.node]++
		r.Busy += x.took.Seconds()
		if verbose {
			fmt.Fprintf(os.Stderr, "%7.1f %6.1f s %-8s %s\n", time.Since(began).Seconds(), x.took.Seconds(), x.node, tasks[x.task].Name)
		}
		g.done(x.task)
	}
	r.Took = time.Since(began).Seconds()
	return r, errors.Join(errs...)
}

// where is what a task says first: the variable is rexec's.
const where = "echo ${REXEC_NODE:-here}\nset -e\n"

// start runs a task and waits for its end.
func start(t *Task, by []string) (node string, err error) {
	args := append(append([]string(nil), by...), "sh", "-c", where+t.Script)
	cmd := exec.Command(args[0], args[1:]...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err = cmd.Run()
	node, rest, _ := strings.Cut(out.String(), "\n")
	if err != nil {
		return node, fmt.Errorf("on %s: %w\n%s%s", node, err, rest, stderr.String())
	}
	return node, nil
}
