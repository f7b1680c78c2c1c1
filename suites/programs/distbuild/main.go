// Distbuild runs tasks that depend on each other, several at a time, on this node or
// wherever a command puts them:
//
//	distbuild [-j N] [-on NODE,NODE... [-any]] [-progress] FILE
//	distbuild -sums DIRECTORY
//	distbuild -unpack DIRECTORY < ARCHIVE
//
// FILE has a JSON array of [Task]. Each is run by the shell when those that it needs
// have been; with -on, by rexec --root=there on the node that has the fewest of them; with -any as well, by
// rexec --root=there --any, as long as no node has its share of N: what rexec knows of a node is how many threads
// want its processor, and tasks that wait for another node's files do not. Where
// rexec chooses, they are started one after the other, so that it knows of those before. When one fails, no
// more are begun. The last line that it prints is a [Report]; with -progress it prints a [Progress]
// among the errors whenever a task begins or ends. The second prints checksums of
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
	"slices"
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

// Progress is how far it is.
type Progress struct {
	Done    int       `json:"done"`
	Tasks   int       `json:"tasks"`
	Running []Running `json:"running,omitempty"` // the one that began first is first
}

// Running is a task that runs.
type Running struct {
	Task string `json:"task"`
	Node string `json:"node,omitempty"` // empty: it is being placed
}

func main() {
	jobs := flag.Int("j", 1, "`tasks` at a time")
	on := flag.String("on", "", "`nodes` to run tasks on")
	anyone := flag.Bool("any", false, "have rexec choose among them")
	sums := flag.Bool("sums", false, "print checksums of the files of a directory")
	unpacks := flag.Bool("unpack", false, "make the files of an archive in a directory")
	verbose := flag.Bool("v", false, "say what has been run, where, and how long it took")
	follow := flag.Bool("progress", false, "say how far it is, as JSON")
	flag.Parse()
	if flag.NArg() != 1 || *jobs < 1 {
		fmt.Fprintln(os.Stderr, "usage: distbuild [-j N] [-on NODE,NODE... [-any]] [-progress] FILE")
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
	p := new(placement)
	if *on != "" {
		var err error
		if p, err = newPlacement(strings.Split(*on, ","), *anyone, *jobs); err != nil {
			fmt.Fprintln(os.Stderr, "distbuild:", err)
			os.Exit(1)
		}
	}
	var w watcher
	if *verbose {
		w.ended = func(t *Task, node string, at, took time.Duration) {
			fmt.Fprintf(os.Stderr, "%7.1f %6.1f s %-8s %s\n", at.Seconds(), took.Seconds(), node, t.Name)
		}
	}
	if *follow {
		e := json.NewEncoder(os.Stderr)
		w.changed = func(p Progress) { e.Encode(p) }
	}
	r, err := run(flag.Arg(0), *jobs, p, w)
	if err != nil {
		fmt.Fprintln(os.Stderr, "distbuild:", err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(r)
}

// A watcher is told what happens, by one goroutine. Each function may be nil.
type watcher struct {
	changed func(Progress)
	ended   func(t *Task, node string, at, took time.Duration)
}

func run(file string, jobs int, p *placement, w watcher) (*Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var tasks []*Task
	if err := json.Unmarshal(b, &tasks); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return build(tasks, jobs, p.start, w)
}

// A starter runs a task, calls placed at most once when it is known where, and returns that when
// it has ended.
type starter func(t *Task, placed func(node string)) (node string, err error)

// build runs tasks.
func build(tasks []*Task, jobs int, start starter, w watcher) (*Report, error) {
	g, err := newGraph(tasks)
	if err != nil {
		return nil, err
	}
	type event struct {
		task  int
		node  string
		ended bool
		took  time.Duration
		err   error
	}
	began := time.Now()
	r := &Report{Tasks: len(tasks), On: make(map[string]int), Each: make(map[string]float64)}
	events := make(chan event)
	var running []int
	at := make(map[int]string) // where those that run are
	say := func() {
		if w.changed == nil {
			return
		}
		p := Progress{Done: len(tasks) - g.left, Tasks: len(tasks)}
		for _, i := range running {
			p.Running = append(p.Running, Running{tasks[i].Name, at[i]})
		}
		w.changed(p)
	}
	var errs []error
	for g.left > 0 {
		for len(running) < jobs && len(errs) == 0 {
			i, ok := g.next()
			if !ok {
				break
			}
			running = append(running, i)
			go func() {
				began := time.Now()
				node, err := start(tasks[i], func(node string) { events <- event{task: i, node: node} })
				events <- event{i, node, true, time.Since(began), err}
			}()
		}
		if len(running) == 0 {
			break // after an error
		}
		say()
		x := <-events
		if !x.ended {
			at[x.task] = x.node
			continue
		}
		running = slices.DeleteFunc(running, func(i int) bool { return i == x.task })
		if x.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", tasks[x.task].Name, x.err))
			continue
		}
		r.On[x.node]++
		r.Busy += x.took.Seconds()
		r.Each[x.node] += x.took.Seconds()
		g.done(x.task)
		if w.ended != nil {
			w.ended(tasks[x.task], x.node, time.Since(began), x.took)
		}
	}
	say()
	r.Took = time.Since(began).Seconds()
	return r, errors.Join(errs...)
}

// here is where a task says that it is if it was not sent anywhere.
const here = "here"

// where is what a task says first: the variable is rexec's.
const where = "echo ${REXEC_NODE:-" + here + "}\nset -e\n"

// A placement is how tasks get to nodes. The zero value runs them here.
type placement struct {
	self  string // this node
	nodes []string
	any   bool // rexec chooses, while there is a choice
	share int  // how many a node has at most

	mu  sync.Mutex
	has map[string]int // how many tasks a node has

	starting sync.Mutex // a task whose node is not known yet
}

func newPlacement(nodes []string, any bool, jobs int) (*placement, error) {
	self, err := os.Hostname()
	return &placement{self: self, nodes: nodes, any: any, share: (jobs + len(nodes) - 1) / len(nodes), has: make(map[string]int)}, err
}

// anyNode is where rexec chooses.
const anyNode = "--any"

// place returns the command that runs another one, and the node that it names.
func (p *placement) place() (by []string, node string) {
	if len(p.nodes) == 0 {
		return nil, ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at, full := p.nodes[0], false
	for _, n := range p.nodes {
		if p.has[n] < p.has[at] {
			at = n
		}
		full = full || p.has[n] >= p.share
	}
	if p.any && !full {
		at = anyNode
	}
	return []string{"rexec", "--root=there", at}, at
}

// count counts tasks that a node has more.
func (p *placement) count(node string, more int) {
	if len(p.nodes) == 0 || node == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if node == here { // who is not sent anywhere is not told where it is
		node = p.self
	}
	p.has[node] += more
}

// start is a [starter].
func (p *placement) start(t *Task, placed func(node string)) (node string, err error) {
	p.starting.Lock()
	next := sync.OnceFunc(p.starting.Unlock)
	defer next()
	args := []string{"sh", "-c", where + t.Script}
	at := ""
	if !t.Here {
		var by []string
		by, at = p.place()
		args = append(by, args...)
	}
	chosen := at == anyNode // by rexec: it is known when the task says so
	if !chosen {
		p.count(at, 1)
		next()
	}
	cmd := exec.Command(args[0], args[1:]...)
	out, stderr := &said{placed: func(node string) {
		if chosen {
			at = node
			p.count(at, 1)
			next()
		}
		placed(node)
	}}, new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, stderr
	err = cmd.Run()
	node, rest, _ := strings.Cut(out.text.String(), "\n")
	if at != anyNode {
		p.count(at, -1)
	}
	if err != nil {
		return node, fmt.Errorf("on %s: %w\n%s%s", node, err, rest, stderr.String())
	}
	return node, nil
}

// said is what a task has said: the first line is where it is. It is no [io.ReaderFrom]: that would
// know of nothing before the end.
type said struct {
	text   strings.Builder
	placed func(node string) // nil when it has been called
}

func (s *said) Write(b []byte) (int, error) {
	s.text.Write(b)
	if node, _, ok := strings.Cut(s.text.String(), "\n"); ok && s.placed != nil {
		s.placed(node)
		s.placed = nil
	}
	return len(b), nil
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
