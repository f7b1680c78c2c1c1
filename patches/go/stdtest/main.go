// Stdtest runs Go's own tests of the standard library on the Hurd, and makes
// the table in docs/go-port.md of what they say: the table is measured, never
// typed.
//
//	go run ./patches/go/stdtest -node COMMAND [flags] [packages]
//
// COMMAND, followed by a program of the node and its arguments, runs that
// there with this command's standard input and output: "hurdlab exec node1"
// does. Go's source tree is sent to the node once; then each package's test
// binary is built with the ported tool chain, sent, and run in the directory
// of its package.
//
// Or with -exec RUNNER: each test binary is given, with its arguments, to
// RUNNER, a command that runs it in a node and copies its output. As with "go
// test -exec", RUNNER runs in the directory of the package, so that it may
// take testdata along. Nothing else is asked of it, not even the exit status:
// a script that boots one machine a run will do.
//
// Results are appended to a file of JSON lines, one a package, as they come.
// Packages that are in it already are left out, so that a run that was
// interrupted goes on where it was; delete lines to repeat them. Several runs,
// each with a node of its own, may share the file if they begin at different
// packages. With -table the results replace the table in a Markdown file. At the
// end it prints how many packages pass.
//
// A test that wants what a node does not have, other programs for example,
// fails. Its own output says so, and it is counted apart: see wants in
// output.go. A test that takes the whole binary down is left out and
// the others are run again.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	goport "hurdlab/patches/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "stdtest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	runner := flag.String("exec", "", "the command that runs a test binary in a node")
	node := flag.String("node", "", "the command that runs a program in a node, with its standard input")
	goroot := flag.String("goroot", "", "the ported tool chain to use instead of the cached one")
	results := flag.String("results", "stdtest.jsonl", "the file of results")
	table := flag.String("table", "", "the Markdown file whose table is to be replaced")
	keep := flag.Bool("keep", false, "keep the rows of packages without a result, marked as older")
	limit := flag.Duration("limit", 30*time.Minute, "the time that one run of a test binary may take")
	logs := flag.String("logs", "", "a directory to keep what the tests wrote in")
	flag.Parse()

	old, err := readResults(*results)
	if err != nil {
		return err
	}
	if *runner != "" || *node != "" {
		tc := &goport.Toolchain{Dir: *goroot}
		if *goroot == "" {
			cache, err := os.UserCacheDir()
			if err != nil {
				return err
			}
			if tc, err = goport.Ensure(ctx, goport.Options{CacheDir: filepath.Join(cache, "hurdlab")}); err != nil {
				return err
			}
		}
		t := tester{tc: tc, runner: strings.Fields(*runner), node: strings.Fields(*node), limit: *limit, logs: *logs}
		if *node != "" {
			if err := t.furnish(ctx); err != nil {
				return fmt.Errorf("prepare the node: %w", err)
			}
		}
		if err := t.all(ctx, flag.Args(), *results); err != nil {
			return err
		}
		if old, err = readResults(*results); err != nil {
			return err
		}
	}
	sums := sumOf(rowsOf(old))
	if *table != "" {
		if sums, err = replaceTable(*table, old, *keep); err != nil {
			return err
		}
	}
	fmt.Println(sums)
	return nil
}

// A Result is what the tests of one package said.
type Result struct {
	Package string
	Go      string // the version of the tool chain
	Passed  int
	Skipped map[string]int `json:",omitempty"` // tests that skipped themselves, by their reason
	Wanting map[string]int `json:",omitempty"` // tests that failed for want of something, by what
	Failed  []string       `json:",omitempty"` // tests that failed otherwise
	Problem string         `json:",omitempty"` // why there is no more to say
	Seconds float64
}

func readResults(file string) ([]Result, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Result
	for dec := json.NewDecoder(bytes.NewReader(data)); ; {
		var r Result
		if err := dec.Decode(&r); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w (delete what is wrong and run again)", file, err)
		}
		all = append(all, r)
	}
}

// A tester runs tests.
type tester struct {
	tc     *goport.Toolchain
	runner []string // or
	node   []string
	limit  time.Duration
	logs   string
}

// all runs the tests of the packages that have no result yet.
func (t *tester) all(ctx context.Context, patterns []string, file string) error {
	if len(patterns) == 0 {
		patterns = []string{"std"}
	}
	version, err := t.output(ctx, "env", "GOVERSION")
	if err != nil {
		return err
	}
	version = strings.TrimSpace(version)
	list, err := t.output(ctx, append([]string{"list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}\t{{.Dir}}{{end}}"}, patterns...)...)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "stdtest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// While one package is tested the next is built.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan binary)
	go func() {
		defer close(ready)
		for line := range strings.Lines(list) {
			pkg, dir, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if !ok { // has no tests
				continue
			}
			if hasResult(file, pkg) {
				continue
			}
			select {
			case ready <- t.build(ctx, pkg, dir, tmp):
			case <-ctx.Done():
				return
			}
		}
	}()
	for b := range ready {
		if hasResult(file, b.pkg) {
			os.Remove(b.file)
			continue
		}
		start := time.Now()
		r, err := t.test(ctx, b)
		if err != nil {
			return err // interrupted: no result
		}
		r.Go = version
		r.Seconds = time.Since(start).Round(100 * time.Millisecond).Seconds()
		if err := appendResult(file, r); err != nil {
			return err
		}
		fmt.Println(r)
	}
	return ctx.Err()
}

// hasResult reports whether a package is in the file of results by now: others
// may add to it.
func hasResult(file, pkg string) bool {
	results, err := readResults(file)
	return err == nil && slices.ContainsFunc(results, func(r Result) bool { return r.Package == pkg })
}

// A binary is the test binary of a package.
type binary struct {
	pkg, dir string
	file     string
	err      error // of building it
}

// build builds the test binary of a package, in tmp.
func (t *tester) build(ctx context.Context, pkg, dir, tmp string) binary {
	b := binary{pkg: pkg, dir: dir, file: filepath.Join(tmp, strings.ReplaceAll(pkg, "/", "_")+".test")}
	// No vet: that is another test. No debugging information, as when the
	// go command runs tests. Nodes have no files of time zones.
	_, b.err = t.output(ctx, "test", "-c", "-vet=off", "-ldflags=-s -w", "-tags=timetzdata", "-p=2", "-o", b.file, pkg)
	return b
}

// String is a line for people.
func (r Result) String() string {
	s := fmt.Sprintf("%-40s %4d passed", r.Package, r.Passed)
	if n := sum(r.Skipped); n > 0 {
		s += fmt.Sprintf(", %d skipped", n)
	}
	for _, what := range sorted(r.Wanting) {
		s += fmt.Sprintf(", %d want %s", r.Wanting[what], what)
	}
	if len(r.Failed) > 0 {
		s += fmt.Sprintf(", %d FAILED: %s", len(r.Failed), strings.Join(r.Failed, " "))
	}
	if r.Problem != "" {
		s += ", " + r.Problem
	}
	return fmt.Sprintf("%s (%.1f s)", s, r.Seconds)
}

func appendResult(file string, r Result) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(f).Encode(r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// output runs the go command and returns what it writes.
func (t *tester) output(ctx context.Context, args ...string) (string, error) {
	cmd := t.tc.Command(ctx, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), err
}

// maxRestarts bounds how many tests of a package may take its binary down.
const maxRestarts = 12

// test runs the tests of a package and removes their binary. The error is that
// ctx ended.
func (t *tester) test(ctx context.Context, b binary) (Result, error) {
	r := Result{Package: b.pkg}
	if b.err != nil {
		r.Problem = "does not build"
		t.log(b.pkg, b.err.Error())
		return r, ctx.Err()
	}
	defer os.Remove(b.file)
	var lethal []string // tests that ended the binary
	for {
		args := []string{"-test.v", "-test.short", fmt.Sprintf("-test.timeout=%v", t.limit*8/10)}
		if len(lethal) > 0 {
			args = append(args, "-test.skip=^("+strings.Join(lethal, "|")+`)\b`)
		}
		text, late := t.run(ctx, b, args)
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		t.log(b.pkg, text)
		o := parse(text)
		if late {
			// The machine is too slow for them all; no test is to blame.
			r.Problem = fmt.Sprintf("did not end in %v", t.limit)
			o.ended = true
		}
		o.addTo(&r)
		switch {
		case o.ended:
			return r, nil
		case o.running == "":
			r.Problem = "ends before the first test"
			if what := wants(text); what != "" {
				r.Problem += " (wants " + what + ")"
			}
			return r, nil
		case len(lethal) == maxRestarts || slices.Contains(lethal, o.running):
			r.Problem = "ends in " + o.running
			return r, nil
		}
		lethal = append(lethal, o.running)
	}
}

// run runs b in a node and returns what it wrote, and whether it took longer
// than it may.
func (t *tester) run(ctx context.Context, b binary, args []string) (text string, late bool) {
	ctx, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	argv := append(append(slices.Clone(t.runner), b.file), args...)
	var stdin io.Reader
	if t.node != nil {
		f, err := os.Open(b.file)
		if err != nil {
			return err.Error(), false
		}
		defer f.Close()
		argv = slices.Concat(t.node, []string{insideName, "test", insideRoot, b.pkg}, args)
		z := compressed(func(w io.Writer) error {
			_, err := io.Copy(w, f)
			return err
		})
		defer z.Close()
		stdin = z
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = b.dir
	cmd.Stdin = stdin
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		out = fmt.Appendf(out, "\nstdtest: %v: %v\n", argv[0], err)
	}
	return string(out), ctx.Err() == context.DeadlineExceeded
}

// log keeps what a package's tests wrote, if it is to be kept.
func (t *tester) log(pkg, text string) {
	if t.logs == "" {
		return
	}
	f, err := os.OpenFile(filepath.Join(t.logs, strings.ReplaceAll(pkg, "/", "_")+".log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		fmt.Fprintln(os.Stderr, "stdtest:", err)
		return
	}
	defer f.Close()
	fmt.Fprintln(f, text)
}
