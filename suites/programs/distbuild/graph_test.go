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
			rep, err := build(tasks, jobs, func(x *Task, _ func(string)) (string, error) {
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
				return "n", nil
			}, watcher{})
			if err != nil || rep.On["n"] != len(tasks) || len(ended) != len(tasks) {
				t.Error(rep, err)
			}
		})
	}
}

// What much waits for is first.
func TestUrgency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := []*Task{task("a", 1), task("b", 1), task("c", 1), task("long", 1), task("then", 5, "long")}
		r, err := build(tasks, 2, func(x *Task, _ func(string)) (string, error) {
			time.Sleep(time.Duration(x.Cost * 1e9))
			return "", nil
		}, watcher{})
		if err != nil || r.Took != 6 {
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
		_, err := build([]*Task{task("a", 9), task("b", 8), task("c", 7), task("d", 1, "a")}, 2, func(x *Task, _ func(string)) (string, error) {
			switch x.Name {
			case "a":
				return "", bad
			case "b":
				time.Sleep(time.Second)
				other = true
			default:
				t.Errorf("%s was begun", x.Name)
			}
			return "", nil
		}, watcher{})
		if !errors.Is(err, bad) || !other {
			t.Error(err, other)
		}
	})
}

// With the shell.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tasks")
	write := func(tasks ...*Task) {
		b, err := json.Marshal(tasks)
		if err == nil {
			err = os.WriteFile(file, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(&Task{Name: "one", Script: "echo 1 > " + dir + "/one"}, &Task{Name: "two", Needs: []string{"one"}, Script: "cat " + dir + "/one > " + dir + "/two"})
	// A rexec that says that it is somewhere.
	text := "#!/bin/sh\ntest $1 = --root=there\nREXEC_NODE=$2\nexport REXEC_NODE\nshift 2\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "rexec"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	p, err := newPlacement([]string{"node7"}, false, 4)
	if err != nil {
		t.Fatal(err)
	}
	r, err := run(file, 4, p, watcher{})
	if err != nil || r.On["node7"] != 2 || p.has["node7"] != 0 {
		t.Fatal(r, err)
	}
	if b, err := os.ReadFile(dir + "/two"); string(b) != "1\n" {
		t.Error(string(b), err)
	}
	write(&Task{Name: "wrong", Script: "false\ntrue"})
	if _, err := run(file, 1, new(placement), watcher{}); err == nil || !strings.Contains(err.Error(), "wrong: on here: exit status 1") {
		t.Error(err)
	}
}

// Nodes get as many as each other; and where rexec chooses, none more than its share.
func TestPlacement(t *testing.T) {
	p, err := newPlacement([]string{"a", "b"}, false, 4)
	if err != nil {
		t.Fatal(err)
	}
	p.self = "a"
	at := func() string {
		by, node := p.place()
		if by[2] != node {
			t.Error(by, node)
		}
		return node
	}
	x := at()
	p.count(here, 1)
	y := at()
	p.count(y, 1)
	p.count(here, -1)
	if z := at(); x != "a" || y != "b" || z != "a" {
		t.Error(x, y, z)
	}
	p, _ = newPlacement([]string{"a", "b"}, true, 3)
	p.count("b", 1)
	x = at()
	p.count("b", 1)
	y = at()
	p.count("b", -1)
	if z := at(); x != "--any" || y != "a" || z != "--any" {
		t.Error(x, y, z)
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
	p := &placement{nodes: []string{"node7"}, has: make(map[string]int)}
	if node, err := p.start(&Task{Script: "true", Here: true}, func(string) {}); node != here || err != nil {
		t.Error(node, err)
	}
}

// Tasks run at the same time: one waits for the other here.
func TestTogether(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Skip(err)
	}
	tasks := []*Task{{Name: "first", Cost: 2, Script: "cat < " + file}, {Name: "second", Cost: 1, Script: "echo text > " + file}}
	r, err := build(tasks, 2, new(placement).start, watcher{})
	if err != nil || r.On["here"] != 2 {
		t.Error(r, err)
	}
}

// It says what runs where, and how much of all is done.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := []*Task{task("a", 3.5), task("b", 2), task("c", 1, "b")}
		var lines []string
		_, err := build(tasks, 2, func(x *Task, placed func(string)) (string, error) {
			if x.Name == "b" {
				time.Sleep(time.Second)
			}
			placed("on-" + x.Name)
			time.Sleep(time.Duration(x.Cost * 1e9))
			return "on-" + x.Name, nil
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
