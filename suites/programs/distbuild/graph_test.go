package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func task(name string, cost float64, needs ...string) *Task {
	return &Task{Name: name, Needs: needs, Cost: cost}
}

// Whatever the tasks need, each is run once, after what it needs, and no more than so
// many at a time.
func TestOrder(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			var tasks []*Task
			for i := range 1 + r.IntN(40) {
				x := task(fmt.Sprint(i), r.Float64())
				for range r.IntN(4) {
					if i > 0 {
						x.Needs = append(x.Needs, fmt.Sprint(r.IntN(i)))
					}
				}
				tasks = append(tasks, x)
			}
			r.Shuffle(len(tasks), func(i, k int) { tasks[i], tasks[k] = tasks[k], tasks[i] })
			var mu sync.Mutex
			ended := make(map[string]bool)
			running, jobs := 0, 1+r.IntN(4)
			rep, err := build(tasks, jobs, func(x *Task, _ func(string)) (outcome, error) {
				mu.Lock()
				running++
				if running > jobs {
					t.Errorf("%d at a time", running)
				}
				for _, n := range x.Needs {
					if !ended[n] {
						t.Errorf("%s before %s", x.Name, n)
					}
				}
				mu.Unlock()
				time.Sleep(time.Duration(x.Cost * 1e9))
				mu.Lock()
				defer mu.Unlock()
				running--
				if ended[x.Name] {
					t.Errorf("%s twice", x.Name)
				}
				ended[x.Name] = true
				return outcome{Node: "n"}, nil
			}, watcher{})
			if err != nil || rep.Nodes["n"].Tasks != len(tasks) || len(ended) != len(tasks) {
				t.Error(rep, err)
			}
		})
	}
}

// What much waits for is first.
func TestUrgency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := []*Task{task("a", 1), task("b", 1), task("c", 1), task("long", 1), task("then", 5, "long")}
		r, err := build(tasks, 2, func(x *Task, _ func(string)) (outcome, error) {
			time.Sleep(time.Duration(x.Cost * 1e9))
			return outcome{}, nil
		}, watcher{})
		if err != nil || r.Took != 6 || r.Path != 6 {
			t.Error(r, err)
		}
	})
}

func TestBadTasks(t *testing.T) {
	for name, tasks := range map[string][]*Task{
		"two of a name": {task("a", 1), task("a", 1)},
		"a need":        {task("a", 1, "b")},
		"a cycle":       {task("a", 1, "b"), task("b", 1, "a"), task("c", 1)},
	} {
		if _, err := newGraph(tasks); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// After an error nothing is begun, and what runs is waited for.
func TestError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("bad")
		other := false
		_, err := build([]*Task{task("a", 9), task("b", 8), task("c", 7), task("d", 1, "a")}, 2, func(x *Task, _ func(string)) (outcome, error) {
			switch x.Name {
			case "a":
				return outcome{}, bad
			case "b":
				time.Sleep(time.Second)
				other = true
			default:
				t.Errorf("%s was begun", x.Name)
			}
			return outcome{}, nil
		}, watcher{})
		if !errors.Is(err, bad) || !other {
			t.Error(err, other)
		}
	})
}

// TestMain has this program be distbuild itself, for the tests' rexec.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "distbuild" {
		main()
	}
	os.Exit(m.Run())
}

// withRexec has a rexec that says that it is somewhere, for what follows in the test.
func withRexec(t *testing.T) {
	dir := t.TempDir()
	text := "#!/bin/sh\ntest $1 = --root=there || exit 9\nif [ ${2#--any=} = $2 ]; then REXEC_NODE=$2; export REXEC_NODE; fi\nshift 2\nexec \"$@\"\n"
	me, err := os.Executable()
	if err = errors.Join(err, os.WriteFile(filepath.Join(dir, "rexec"), []byte(text), 0o755), os.Symlink(me, filepath.Join(dir, "distbuild"))); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func sh(script string) [][]string { return [][]string{{"sh", "-ec", script}} }

// Tasks are carried out on copies, on other nodes, and in the tree, here: with the same results.
func TestRun(t *testing.T) {
	withRexec(t)
	for name, any := range map[string]bool{"node7": false, "": false, "node8": true} {
		tree := t.TempDir()
		file := filepath.Join(tree, "tasks")
		b, err := json.Marshal([]*Task{
			{Name: "one", Commands: append(sh("echo 1 > out/one; pwd"), []string{"sh", "-ec", "test $PWD = $1", "sh", "$TREE"}), Inputs: []string{"in/zero"}, Outputs: []string{"out/one"}},
			{Name: "two", Needs: []string{"one"}, Commands: sh("cat out/one in/zero > work/x; cat work/x > out/a/two"), Inputs: []string{"out/one", "in/zero"}, Outputs: []string{"out/a/two"}, Work: "work"},
		})
		if err = errors.Join(err, os.WriteFile(file, b, 0o644), os.Mkdir(filepath.Join(tree, "in"), 0o755), os.WriteFile(filepath.Join(tree, "in", "zero"), []byte("0\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		p, err := newPlacement(tree, name, any, 4)
		if err != nil {
			t.Fatal(err)
		}
		p.mounts = filepath.Join(t.TempDir(), "n")
		if err := errors.Join(os.Mkdir(p.mounts, 0o755), os.MkdirAll(filepath.Dir(p.away()), 0o755), os.Symlink(tree, p.away())); err != nil {
			t.Fatal(err)
		}
		r, err := run(file, 4, p, watcher{})
		if err != nil {
			t.Fatal(err)
		}
		at := name
		if name == "" || any {
			at = p.self
		}
		if n := r.Nodes[at]; n == nil || n.Tasks != 2 || len(r.Spans) != 2 || p.has[at] != 0 {
			t.Errorf("%+v", r)
		} else if at == "node7" && (n.Files != 3 || n.Bytes != 2+2+4) { // zero, one and two: once each
			t.Errorf("%+v", n)
		}
		if b, err := os.ReadFile(tree + "/out/a/two"); string(b) != "1\n0\n" {
			t.Error(string(b), err)
		}
		if _, err := os.Stat(tree + "/work"); err == nil {
			t.Error("what only a task had is still there")
		}
		left, _ := filepath.Glob(filepath.Join(stages, p.id, "*"))
		if want := at == "node7"; want != (len(left) > 0) {
			t.Errorf("on %s there is %q", at, left)
		}
		// A worker that has been started is used again.
		kind := at
		if any {
			kind = anyNode
		}
		if want := name != ""; want != (len(p.idle[kind]) == 1) || len(p.idle) > 1 {
			t.Errorf("on %s: %v", at, p.idle)
		}
		if err := p.end(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(stages, p.id)); err == nil {
			t.Error("the copies are still there")
		}
	}
}

// What goes wrong is said.
func TestWrong(t *testing.T) {
	withRexec(t)
	for node, want := range map[string]string{"": "exit status 1", "node7": "exit status 1"} {
		tree := t.TempDir()
		p, err := newPlacement(tree, node, false, 1)
		if err != nil {
			t.Fatal(err)
		}
		p.mounts = t.TempDir()
		if err := errors.Join(os.MkdirAll(filepath.Dir(p.away()), 0o755), os.Symlink(tree, p.away())); err != nil {
			t.Fatal(err)
		}
		for what, x := range map[string]*Task{
			want:         {Commands: append(sh("false"), []string{"true"})},
			"nowhere":    {Commands: sh("cat nowhere"), Inputs: []string{"nowhere"}},
			"not-made":   {Commands: sh("true"), Outputs: []string{"not-made"}},
			"no-program": {Commands: [][]string{{"no-program"}}},
		} {
			if what == "not-made" && node == "" {
				continue // who needs it misses it
			}
			if _, err := p.start(x, func(string) {}); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("on %q: %q: %v", node, what, err)
			}
		}
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}
	// A worker that cannot be started, and one that ends in between.
	p, err := newPlacement(t.TempDir(), "node7", false, 1)
	if err != nil {
		t.Fatal(err)
	}
	p.idle["node7"] = []*worker{must(newWorker("sh", "-c", "echo node7; read x; echo gone >&2; exit 3"))}
	if _, err := p.start(&Task{Commands: sh("true")}, func(string) {}); err == nil || !strings.Contains(err.Error(), "exit status 3\ngone") || len(p.idle["node7"]) != 0 {
		t.Error(err, p.idle)
	}
	if _, err := newWorker("sh", "-c", "echo no such node >&2; exit 255"); err == nil || !strings.Contains(err.Error(), "exit status 255\nno such node") {
		t.Error(err)
	}
	for _, id := range []string{"", ".", "..", "a/b", "/a"} {
		if remove(id) == nil {
			t.Errorf("removed %q", id)
		}
	}
}

// Nodes get as many as each other; and where rexec chooses, none more than its share.
func TestPlacement(t *testing.T) {
	p, err := newPlacement("", "a,b", false, 4)
	if err != nil {
		t.Fatal(err)
	}
	at := func() string {
		node, _ := p.place()
		return node
	}
	x := at()
	p.count(x, 1)
	y := at()
	p.count(y, 1)
	p.count(x, -1)
	if z := at(); x != "a" || y != "b" || z != "a" {
		t.Error(x, y, z)
	}
	p, _ = newPlacement("", "a,b", true, 3)
	p.count("b", 1)
	x = at()
	p.count("b", 1)
	y = at()
	p.count("b", -1)
	if z := at(); x != "--any" || y != "a" || z != "--any" {
		t.Error(x, y, z)
	}
	// Of workers that have nothing to do, one of the node that has less.
	for _, n := range []string{"b", "a", "b"} {
		p.give(&worker{node: n})
	}
	p.count("a", 2) // b has one
	if node, w := p.place(); node != "b" || w.node != "b" || len(p.idle[anyNode]) != 2 {
		t.Error(node, p.idle)
	}
	p.count("b", 2)
	if node, _ := p.place(); node != "a" {
		t.Error(node)
	}
}

// What is in an archive is below the directory, or it is an error.
func TestUnpack(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	if err := errors.Join(os.MkdirAll(filepath.Join(from, "a", "b"), 0o755), os.WriteFile(filepath.Join(from, "a", "b", "c"), []byte("text"), 0o755)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := errors.Join(w.AddFS(os.DirFS(from)), w.Close(), z.Close(), unpack(to, &b)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(to, "a", "b", "c"))
	st, _ := os.Stat(filepath.Join(to, "a", "b", "c"))
	if err != nil || string(got) != "text" || st.Mode() != 0o755 {
		t.Errorf("%q, %v, %v", got, st.Mode(), err)
	}
	for _, h := range []*tar.Header{{Name: "../x", Typeflag: tar.TypeReg}, {Name: "/x", Typeflag: tar.TypeDir}, {Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/"}} {
		b.Reset()
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		if err := errors.Join(w.WriteHeader(h), w.Close(), z.Close()); err != nil {
			t.Fatal(err)
		}
		if unpack(to, &b) == nil {
			t.Errorf("%v: made", h)
		}
	}
}

// A task that is to run here is not given to anybody.
func TestHere(t *testing.T) {
	p, err := newPlacement(t.TempDir(), "node7", false, 1)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := p.start(&Task{Commands: sh("true"), Here: true}, func(string) {}); x.Node != p.self || err != nil {
		t.Error(x, err)
	}
}

// Tasks run at the same time: one waits for the other here.
func TestTogether(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Skip(err)
	}
	p, err := newPlacement(t.TempDir(), "", false, 2)
	if err != nil {
		t.Fatal(err)
	}
	tasks := []*Task{{Name: "first", Cost: 2, Commands: sh("cat < " + file)}, {Name: "second", Cost: 1, Commands: sh("echo text > " + file)}}
	r, err := build(tasks, 2, p.start, watcher{})
	if err != nil || r.Nodes[p.self].Tasks != 2 {
		t.Error(r, err)
	}
}

// It says what runs where, and how much of all is done.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := []*Task{task("a", 3.5), task("b", 2), task("c", 1, "b")}
		var lines []string
		_, err := build(tasks, 2, func(x *Task, placed func(string)) (outcome, error) {
			if x.Name == "b" {
				time.Sleep(time.Second)
			}
			placed("on-" + x.Name)
			time.Sleep(time.Duration(x.Cost * 1e9))
			return outcome{Node: "on-" + x.Name}, nil
		}, watcher{changed: func(p Progress) { lines = append(lines, fmt.Sprint(p)) }})
		want := []string{
			"{0 3 [{a } {b }]}",
			"{0 3 [{a on-a} {b }]}",
			"{0 3 [{a on-a} {b on-b}]}",
			"{1 3 [{a on-a} {c }]}",
			"{1 3 [{a on-a} {c on-c}]}",
			"{2 3 [{c on-c}]}",
			"{3 3 []}",
		}
		if err != nil || !slices.Equal(lines, want) {
			t.Errorf("%v\n%q\n%q", err, lines, want)
		}
	})
}

func must(w *worker, err error) *worker {
	if err != nil {
		panic(err)
	}
	return w
}
