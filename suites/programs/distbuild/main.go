// Distbuild runs tasks that depend on each other, several at a time, on this node or
// wherever a command puts them:
//
//	distbuild [-j N] [-by COMMAND | -on NODE,NODE...] FILE
//	distbuild -sums DIRECTORY
//	distbuild -unpack DIRECTORY < ARCHIVE
//
// FILE has a JSON array of [Task]. Each is run by the shell when those that it needs
// have been; with -by "rexec --any", on the node that has the least to do, with the
// files of this one; with -on, by rexec on the node that has the fewest of them. They are
// started one after the other, so that who places one knows of those before. When one fails, no
// more are begun. The last line that it prints is a [Report]. The second prints checksums of
// all files of a directory; the third makes the files of a
// compressed tar archive in one.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A Report is what is printed at the end.
type Report struct {
	Tasks int            `json:"tasks"`
	Took  float64        `json:"took_s"`
	Busy  float64        `json:"busy_s"` // of all tasks together
	On    map[string]int `json:"on"`     // how many tasks which node has run
	// Each is how long its tasks took there, all together.
	Each map[string]float64 `json:"each_s"`
}

func main() {
	jobs := flag.Int("j", 1, "`tasks` at a time")
	by := flag.String("by", "", "`command` that runs another one")
	on := flag.String("on", "", "`nodes` to run tasks on")
	sums := flag.Bool("sums", false, "print checksums of the files of a directory")
	unpacks := flag.Bool("unpack", false, "make the files of an archive in a directory")
	verbose := flag.Bool("v", false, "say what has been run, where, and how long it took")
	flag.Parse()
	if flag.NArg() != 1 || *jobs < 1 {
		fmt.Fprintln(os.Stderr, "usage: distbuild [-j N] [-by COMMAND] FILE")
		os.Exit(2)
	}
	if *sums {
		if err := checksums(os.Stdout, flag.Arg(0)); err != nil {
			fmt.Fprintln(os.Stderr, "distbuild:", err)
			os.Exit(1)
		}
		return
	}
	if *unpacks {
		if err := unpack(flag.Arg(0), os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, "distbuild:", err)
			os.Exit(1)
		}
		return
	}
	p := &placement{by: strings.Fields(*by)}
	if *on != "" {
		p.nodes = strings.Split(*on, ",")
		p.has = make([]int, len(p.nodes))
	}
	r, err := run(flag.Arg(0), *jobs, p, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "distbuild:", err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(r)
}

func run(file string, jobs int, p *placement, verbose bool) (*Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var tasks []*Task
	if err := json.Unmarshal(b, &tasks); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return build(tasks, jobs, p.start, verbose)
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
	r := &Report{Tasks: len(tasks), On: make(map[string]int), Each: make(map[string]float64)}
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
		r.Each[x.node] += x.took.Seconds()
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

// A placement is how tasks get to nodes: by a command, or to those that are named.
type placement struct {
	by    []string
	nodes []string

	mu  sync.Mutex
	has []int // how many tasks a node has

	starting sync.Mutex // a task whose node is not known yet
}

// place returns the command that runs another one, and what is to be called when that
// has ended.
func (p *placement) place() (by []string, done func()) {
	if len(p.nodes) == 0 {
		return p.by, func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := 0
	for i := range p.has {
		if p.has[i] < p.has[at] {
			at = i
		}
	}
	p.has[at]++
	return []string{"rexec", p.nodes[at]}, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.has[at]--
	}
}

// start runs a task and waits for its end.
func (p *placement) start(t *Task) (node string, err error) {
	p.starting.Lock()
	placed := sync.OnceFunc(p.starting.Unlock)
	defer placed()
	var by []string
	if !t.Here {
		var done func()
		by, done = p.place()
		defer done()
	}
	args := append(append([]string(nil), by...), "sh", "-c", where+t.Script)
	cmd := exec.Command(args[0], args[1:]...)
	out, stderr := &said{placed: placed}, new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, stderr
	err = cmd.Run()
	node, rest, _ := strings.Cut(out.text.String(), "\n")
	if err != nil {
		return node, fmt.Errorf("on %s: %w\n%s%s", node, err, rest, stderr.String())
	}
	return node, nil
}

// said is what a task has said: first, where it is. It is no [io.ReaderFrom]: that would know of
// nothing before the end.
type said struct {
	text   strings.Builder
	placed func()
}

func (s *said) Write(b []byte) (int, error) {
	s.placed()
	return s.text.Write(b)
}

// unpack makes the files and directories of a compressed tar archive below a directory.
func unpack(dir string, archive io.Reader) error {
	z, err := gzip.NewReader(bufio.NewReaderSize(archive, 64<<10))
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if !filepath.IsLocal(h.Name) {
			return fmt.Errorf("%s is not below a directory", h.Name)
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(name, 0o755)
		case tar.TypeReg:
			var f *os.File
			if f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, h.FileInfo().Mode().Perm()); err == nil {
				_, err = io.Copy(f, r)
				err = errors.Join(err, f.Close())
			}
		default:
			err = fmt.Errorf("%s is neither a file nor a directory", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

// checksums writes the sums of all files below a directory, by name.
func checksums(w io.Writer, dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		fmt.Fprintf(w, "%x %s\n", h.Sum(nil), name)
		return nil
	})
}
