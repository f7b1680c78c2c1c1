package main

import (
	"encoding/json"
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
	if err := os.Chdir(s.tree); err != nil {
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

// serve carries out the order of a distbuild that has started this process by
// rexec. It says on w where that is, and then what it took. Where rexec has chosen the
// node that the tree is on, that is used as it is; elsewhere it is at away.
func serve(w io.Writer, tree, away, id, text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	node := os.Getenv("REXEC_NODE") // rexec's own
	if node == "" {
		node = here
	}
	if _, err := fmt.Fprintln(w, node); err != nil {
		return err
	}
	var x outcome
	var err error
	if node == here {
		x, err = carryOutHere(&o, tree)
	} else {
		var s *stage
		if s, err = newStage(id, away); err == nil {
			x, err = s.carryOut(&o)
		}
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(x)
}

// carryOutHere carries out an order where the tree is.
func carryOutHere(o *order, tree string) (outcome, error) {
	began := time.Now()
	err := o.run(tree)
	return outcome{Run: time.Since(began).Seconds()}, err
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
