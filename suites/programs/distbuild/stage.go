package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// An order is a task for one node to carry out.
type order struct {
	Commands [][]string `json:"commands"`
	Inputs   []input    `json:"inputs,omitempty"`
	Outputs  []string   `json:"outputs,omitempty"`
	Work     string     `json:"work,omitempty"`
}

// An input is a file of the tree, as long as it is: so that it is read by one call, and
// nobody has to ask for its end.
type input struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// An outcome is where a task was carried out, and what that took.
type outcome struct {
	Node  string  `json:"-"`
	Fetch float64 `json:"fetch_s,omitempty"` // to get what it needs from the tree
	Run   float64 `json:"run_s,omitempty"`
	Store float64 `json:"store_s,omitempty"` // to put what it has made into the tree
	Files int     `json:"files,omitempty"`   // that were got and put, and their bytes
	Bytes int64   `json:"bytes,omitempty"`
}

// run carries out the order in a directory that has its inputs. What the commands say is in
// the error.
func (o *order) run(dir string) error {
	for _, f := range o.Outputs {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(f)), 0o755); err != nil {
			return err
		}
	}
	if o.Work != "" {
		work := filepath.Join(dir, o.Work)
		if err := os.MkdirAll(work, 0o755); err != nil {
			return err
		}
		defer os.RemoveAll(work)
	}
	for _, c := range o.Commands {
		args := make([]string, len(c))
		for i, a := range c {
			args[i] = strings.ReplaceAll(a, "$TREE", dir)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// A stage is a directory of this node's that stands for the tree of another node. What
// it has of the tree is the same for as long as it is there: it belongs to one build.
type stage struct {
	dir  string
	tree string // the other node's, as this one sees it
}

// together is how many files are on the way at a time.
const together = 8

// carryOut fetches what an order needs, runs it, and stores what it has made.
func (s *stage) carryOut(o *order) (outcome, error) {
	var x outcome
	began := time.Now()
	took := func() float64 {
		t := time.Since(began).Seconds()
		began = time.Now()
		return t
	}
	// So that each look-up there is one message: names are looked up in this directory.
	if err := errors.Join(os.Chdir(s.tree), os.MkdirAll(s.dir, 0o755)); err != nil {
		return x, err
	}
	count := func(n int64) {
		x.Files++
		x.Bytes += n
	}
	var missing []input
	for _, f := range o.Inputs {
		if _, err := os.Lstat(filepath.Join(s.dir, f.Name)); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Join(s.dir, filepath.Dir(f.Name)), 0o755); err != nil {
			return x, err
		}
		missing = append(missing, f)
		count(f.Size)
	}
	var g errgroup.Group
	g.SetLimit(together)
	for _, f := range missing {
		g.Go(func() error { return s.fetch(f) })
	}
	if err := g.Wait(); err != nil {
		return x, err
	}
	x.Fetch = took()
	if err := o.run(s.dir); err != nil {
		return x, err
	}
	x.Run = took()
	for _, name := range o.Outputs {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return x, err
		}
		count(int64(len(b)))
		g.Go(func() error { return os.WriteFile(name, b, 0o644) })
	}
	err := g.Wait()
	x.Store = took()
	return x, err
}

// fetch gets a file of the tree. Other tasks of this node may be doing the same: what is
// there is there as a whole.
func (s *stage) fetch(f input) error {
	from, err := os.Open(f.Name)
	if err != nil {
		return err
	}
	defer from.Close()
	b := make([]byte, f.Size)
	if _, err := io.ReadFull(from, b); err != nil {
		return fmt.Errorf("%s, which had %d bytes: %w", f.Name, f.Size, err)
	}
	name := filepath.Join(s.dir, f.Name)
	part := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := os.WriteFile(part, b, 0o644); err != nil {
		return err
	}
	return os.Rename(part, name)
}

// stages is the directory of a node's stages.
const stages = "/tmp/distbuild"

// newStage is the stage of a build.
func newStage(id, tree string) (*stage, error) {
	if id == "." || id != filepath.Base(id) || !filepath.IsLocal(id) {
		return nil, fmt.Errorf("a build called %q", id)
	}
	return &stage{filepath.Join(stages, id), tree}, nil
}

// remove removes the stage of a build.
func remove(id string) error {
	s, err := newStage(id, "")
	if err != nil {
		return err
	}
	return os.RemoveAll(s.dir)
}

// An answer is what becomes of an order.
type answer struct {
	outcome
	Error string `json:"error,omitempty"`
}

// serve carries out the orders of a distbuild that has started this process by
// rexec, one after the other: it reads them from r until that ends, and writes to w
// where it is, and then an answer for each. Where rexec has chosen the
// node that the tree is on, that is used as it is; elsewhere it is at away.
func serve(w io.Writer, r io.Reader, tree, away, id string) error {
	node := os.Getenv("REXEC_NODE") // rexec's own
	if node == "" {
		node = here
	}
	if _, err := fmt.Fprintln(w, node); err != nil {
		return err
	}
	s, err := newStage(id, away)
	if err != nil {
		return err
	}
	for d := json.NewDecoder(r); ; {
		var o order
		if err := d.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var a answer
		if node == here {
			a.outcome, err = carryOutHere(&o, tree)
		} else {
			a.outcome, err = s.carryOut(&o)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := json.NewEncoder(w).Encode(a); err != nil {
			return err
		}
	}
}

// carryOutHere carries out an order where the tree is.
func carryOutHere(o *order, tree string) (outcome, error) {
	began := time.Now()
	err := o.run(tree)
	return outcome{Run: time.Since(began).Seconds()}, err
}

// A worker is a process on some node that carries out orders: see serve.
type worker struct {
	node   string // here, if rexec has not sent it anywhere
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// newWorker starts one.
func newWorker(args ...string) (*worker, error) {
	w := &worker{cmd: exec.Command(args[0], args[1:]...)}
	w.cmd.Stderr = &w.stderr
	in, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.in, w.out = in, bufio.NewReader(out)
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := w.out.ReadString('\n')
	if err != nil {
		return nil, w.failed(err)
	}
	w.node = strings.TrimSuffix(line, "\n")
	return w, nil
}

// failed ends a worker that does not work, and says why.
func (w *worker) failed(err error) error {
	if e := w.end(); e != nil {
		err = e
	}
	return err
}

// end ends it, when it has nothing to do.
func (w *worker) end() error {
	w.in.Close()
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, w.stderr.String())
	}
	return nil
}

// carryOut has it carry out an order. Not even that may be, if lost.
func (w *worker) carryOut(o *order) (x outcome, lost bool, err error) {
	var a answer
	if err := json.NewEncoder(w.in).Encode(o); err != nil {
		return x, true, w.failed(err)
	}
	line, err := w.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		return x, true, w.failed(err)
	}
	if a.Error != "" {
		return x, false, errors.New(a.Error)
	}
	return a.outcome, false, nil
}
