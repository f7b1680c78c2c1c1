// Distbuild runs tasks that depend on each other, several at a time, on this node or
// wherever a command puts them:
//
//	distbuild [-tree DIRECTORY] [-j N] [-on NODE,NODE... [-any]] [-progress] FILE
//	distbuild -sums DIRECTORY
//	distbuild -unpack DIRECTORY < ARCHIVE
//
// FILE has a JSON array of [Task]: commands, and which files of the tree they read and write. The
// tree is a directory of this node's. A task is run when those that it needs have been; with -on, on the
// node that has the fewest of them; with -any as well, on those where
// rexec --any has put workers, N in all, one after the other, so that it knows of those before. (No node gets more than its share
// of them: what rexec knows of a node is how many threads want its processor, and what waits for another node's files does not.)
//
// On another node what runs tasks is a worker, which is started by rexec --root=there, as is every one where rexec chooses:
//
//	distbuild -work BUILD -tree DIRECTORY -of /n/NODE/DIRECTORY
//
// It gets the inputs that its node does not have yet from the tree, by the remote file system, several at
// a time, runs the commands on these copies, puts the outputs into the tree, and keeps them for tasks that come
// later: builders of clusters do so, for a compiler that reads a file bit by bit would wait for the network each
// time. The copies are gone after the build. A worker has one task after the other, as persistent workers of other builders do. Here
// commands have the tree itself.
//
// When a task fails, no more are begun. The last line that it prints is a [Report]; with -progress it prints a [Progress]
// among the errors whenever a task begins or ends. The second form prints checksums of
// all files of a directory; the third makes the files of a
// compressed tar archive in one.
package main

import (
	"archive/tar"
	"bufio"
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

	"golang.org/x/sync/errgroup"
)

// A Report is what is printed at the end.
type Report struct {
	Tasks int               `json:"tasks"`
	Took  float64           `json:"took_s"`
	Nodes map[string]*Share `json:"nodes"`
	// Path is how long those tasks took, all together, that waited for each other and took
	// longest: less is not possible, on however many nodes.
	Path  float64 `json:"path_s"`
	Spans []Span  `json:"spans"` // in the order of their ends
}

// A Share is what a node has done.
type Share struct {
	Tasks int     `json:"tasks"`
	Took  float64 `json:"took_s"` // its tasks, all together
	outcome
}

// A Span is when a task ran, in seconds from the beginning.
type Span struct {
	Task  string  `json:"task"`
	Node  string  `json:"node"`
	Began float64 `json:"began_s"`
	Ended float64 `json:"ended_s"`
	outcome
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
	tree := flag.String("tree", "", "the `directory` that names of files are in, or else FILE's")
	jobs := flag.Int("j", 1, "`tasks` at a time")
	on := flag.String("on", "", "`nodes` to run tasks on")
	anyone := flag.Bool("any", false, "have rexec choose among them")
	sums := flag.Bool("sums", false, "print checksums of the files of a directory")
	unpacks := flag.Bool("unpack", false, "make the files of an archive in a directory")
	verbose := flag.Bool("v", false, "say what has been run, where, and how long it took")
	follow := flag.Bool("progress", false, "say how far it is, as JSON")
	work := flag.String("work", "", "carry out orders of a `build` of another node's distbuild")
	of := flag.String("of", "", "the `directory` that is its tree")
	forget := flag.String("forget", "", "remove what is left of a `build`")
	flag.Parse()
	if *work == "" && *forget == "" && flag.NArg() != 1 || *jobs < 1 {
		fmt.Fprintln(os.Stderr, "usage: distbuild [-tree DIRECTORY] [-j N] [-on NODE,NODE... [-any]] [-progress] FILE")
		os.Exit(2)
	}
	end := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "distbuild:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	switch {
	case *sums:
		end(checksums(os.Stdout, flag.Arg(0)))
	case *unpacks:
		end(unpack(flag.Arg(0), os.Stdin))
	case *work != "":
		end(serve(os.Stdout, os.Stdin, *tree, *of, *work))
	case *forget != "":
		end(remove(*forget))
	}
	if *tree == "" {
		*tree = filepath.Dir(flag.Arg(0))
	}
	p, err := newPlacement(*tree, *on, *anyone, *jobs)
	if err != nil {
		end(err)
	}
	var w watcher
	if *verbose {
		w.ended = func(s Span) {
			fmt.Fprintf(os.Stderr, "%7.1f %6.1f s %-8s %s\n", s.Ended, s.Ended-s.Began, s.Node, s.Task)
		}
	}
	if *follow {
		e := json.NewEncoder(os.Stderr)
		w.changed = func(p Progress) { e.Encode(p) }
	}
	r, err := run(flag.Arg(0), *jobs, p, w)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	end(errors.Join(err, p.end()))
}

// A watcher is told what happens, by one goroutine. Each function may be nil.
type watcher struct {
	changed func(Progress)
	ended   func(Span)
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

// A starter runs a task, calls placed at most once when it is known where, and returns when
// it has ended.
type starter func(t *Task, placed func(node string)) (outcome, error)

// build runs tasks.
func build(tasks []*Task, jobs int, start starter, w watcher) (*Report, error) {
	g, err := newGraph(tasks)
	if err != nil {
		return nil, err
	}
	type event struct {
		task  int
		ended bool
		outcome
		err error
	}
	began := time.Now()
	r := &Report{Tasks: len(tasks), Nodes: make(map[string]*Share)}
	events := make(chan event)
	var running []int
	at := make(map[int]string)          // where those that run are
	from := make([]float64, len(tasks)) // when they began
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
			from[i] = time.Since(began).Seconds()
			go func() {
				x, err := start(tasks[i], func(node string) { events <- event{task: i, outcome: outcome{Node: node}} })
				events <- event{i, true, x, err}
			}()
		}
		if len(running) == 0 {
			break // after an error
		}
		say()
		x := <-events
		if !x.ended {
			at[x.task] = x.Node
			continue
		}
		running = slices.DeleteFunc(running, func(i int) bool { return i == x.task })
		if x.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", tasks[x.task].Name, x.err))
			continue
		}
		s := Span{tasks[x.task].Name, x.Node, from[x.task], time.Since(began).Seconds(), x.outcome}
		r.add(s)
		g.done(x.task)
		if w.ended != nil {
			w.ended(s)
		}
	}
	say()
	r.Took = time.Since(began).Seconds()
	r.Path = longest(tasks, r.Spans)
	return r, errors.Join(errs...)
}

// add adds what a task took.
func (r *Report) add(s Span) {
	r.Spans = append(r.Spans, s)
	n := r.Nodes[s.Node]
	if n == nil {
		n = new(Share)
		r.Nodes[s.Node] = n
	}
	n.Tasks++
	n.Took += s.Ended - s.Began
	n.Fetch += s.Fetch
	n.Run += s.Run
	n.Store += s.Store
	n.Files += s.Files
	n.Bytes += s.Bytes
}

// longest returns how long the tasks took that had to run one after the other and took
// longest.
func longest(tasks []*Task, spans []Span) float64 {
	needs := make(map[string][]string, len(tasks))
	for _, t := range tasks {
		needs[t.Name] = t.Needs
	}
	most := 0.0
	until := make(map[string]float64, len(spans))
	for _, s := range spans { // each is after those that it needs
		before := 0.0
		for _, n := range needs[s.Task] {
			before = max(before, until[n])
		}
		until[s.Task] = before + s.Ended - s.Began
		most = max(most, until[s.Task])
	}
	return most
}

// here is where a task says that it is if it was not sent anywhere.
const here = "here"

// A placement is how tasks get to nodes.
type placement struct {
	tree   string // where the files are
	self   string // this node
	mounts string // where nodes see each other's files
	id     string // of the build
	nodes  []string
	any    bool // rexec chooses, while there is a choice
	share  int  // how many a node has at most

	mu    sync.Mutex
	has   map[string]int // how many tasks a node has
	sent  map[string]bool
	idle  map[string][]*worker
	sizes map[string]int64 // of files of the tree

	starting sync.Mutex // a task whose node is not known yet
}

// newPlacement is how tasks get to nodes, separated by commas; if there are none, all
// run here.
func newPlacement(tree, nodes string, any bool, jobs int) (*placement, error) {
	self, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	if tree, err = filepath.Abs(tree); err != nil {
		return nil, err
	}
	p := &placement{
		tree: tree, self: self, mounts: "/n", id: fmt.Sprintf("%s-%d-%d", self, os.Getpid(), time.Now().UnixNano()), any: any,
		has: make(map[string]int), sent: make(map[string]bool), idle: make(map[string][]*worker), sizes: make(map[string]int64),
	}
	if nodes != "" {
		p.nodes = strings.Split(nodes, ",")
		p.share = (jobs + len(p.nodes) - 1) / len(p.nodes)
	}
	return p, nil
}

// anyNode is where rexec chooses.
const anyNode = "--any"

// place says where a task is to run, and by which worker, if there is one that has nothing to do.
func (p *placement) place() (node string, w *worker) {
	if len(p.nodes) == 0 {
		return p.self, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.any {
		if w := p.take(anyNode); w != nil {
			return w.node, w
		}
	}
	at, full := p.nodes[0], false
	for _, n := range p.nodes {
		if p.has[n] < p.has[at] {
			at = n
		}
		full = full || p.has[n] >= p.share
	}
	if p.any && !full {
		return anyNode, nil
	}
	return at, p.take(at)
}

// take takes a worker that has nothing to do, of a kind: one of the node that has the fewest tasks. The
// caller has the lock.
func (p *placement) take(kind string) *worker {
	list := p.idle[kind]
	if len(list) == 0 {
		return nil
	}
	best := len(list) - 1
	for i, w := range list {
		if p.has[w.node] < p.has[list[best].node] {
			best = i
		}
	}
	w := list[best]
	p.idle[kind] = slices.Delete(list, best, best+1)
	return w
}

// give gives a worker back.
func (p *placement) give(w *worker) {
	kind := w.node
	if p.any {
		kind = anyNode
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle[kind] = append(p.idle[kind], w)
}

// count counts tasks that a node has more.
func (p *placement) count(node string, more int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.has[node] += more
	p.sent[node] = true
}

// order is what another node is told of a task.
func (p *placement) order(t *Task) (*order, error) {
	o := &order{Commands: t.Commands, Outputs: t.Outputs, Work: t.Work}
	for _, name := range t.Outputs {
		if err := os.MkdirAll(filepath.Join(p.tree, filepath.Dir(name)), 0o755); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range t.Inputs {
		n, ok := p.sizes[name]
		if !ok {
			st, err := os.Stat(filepath.Join(p.tree, name))
			if err != nil {
				return nil, err
			}
			n = st.Size()
			p.sizes[name] = n
		}
		o.Inputs = append(o.Inputs, input{name, n})
	}
	return o, nil
}

// start is a [starter].
func (p *placement) start(t *Task, placed func(node string)) (outcome, error) {
	p.starting.Lock()
	next := sync.OnceFunc(p.starting.Unlock)
	defer next()
	at, w := p.self, (*worker)(nil)
	if !t.Here {
		at, w = p.place()
	}
	chosen := at == anyNode // by rexec: it is known when the worker says so
	if !chosen {
		p.count(at, 1)
		next()
		defer p.count(at, -1)
	}
	if at == p.self && w == nil {
		placed(at)
		x, err := carryOutHere(&order{Commands: t.Commands, Outputs: t.Outputs, Work: t.Work}, p.tree)
		x.Node = at
		return x, err
	}
	o, err := p.order(t)
	if err != nil {
		return outcome{}, err
	}
	if w == nil {
		where := at
		if chosen {
			where += "=" + strings.Join(p.nodes, ",")
		}
		if w, err = newWorker("rexec", "--root=there", where, "distbuild", "-work", p.id, "-tree", p.tree, "-of", p.away()); err != nil {
			return outcome{}, fmt.Errorf("on %s: %w", where, err)
		}
		if w.node == here { // who is not sent anywhere is not told where it is
			w.node = p.self
		}
	}
	if chosen {
		at = w.node
		p.count(at, 1)
		next()
		defer p.count(at, -1)
	}
	placed(at)
	x, lost, err := w.carryOut(o)
	if !lost {
		p.give(w)
	}
	if err != nil {
		return outcome{}, fmt.Errorf("on %s: %w", at, err)
	}
	x.Node = at
	return x, nil
}

// away is where other nodes see the tree.
func (p *placement) away() string { return filepath.Join(p.mounts, p.self, p.tree) }

// end ends workers that have nothing to do, as all after a build, and removes what it has left on other nodes.
func (p *placement) end() error {
	var g errgroup.Group
	for _, list := range p.idle {
		for _, w := range list {
			g.Go(w.end)
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for node := range p.sent {
		if node == p.self {
			continue
		}
		g.Go(func() error {
			if out, err := exec.Command("rexec", "--root=there", node, "distbuild", "-forget", p.id).CombinedOutput(); err != nil {
				return fmt.Errorf("%s: what was left there: %w\n%s", node, err, out)
			}
			return nil
		})
	}
	return g.Wait()
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
