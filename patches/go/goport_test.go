package goport

import (
	"bytes"
	"context"
	"errors"
	"go/format"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// maxDiffLines is what the changes to Go's own files may grow to.
const maxDiffLines = 600

func TestDiffsAreSmall(t *testing.T) {
	lines := 0
	builtIn().walk(func(name string, data []byte) error {
		if strings.HasPrefix(name, "diffs/") {
			lines += bytes.Count(data, []byte("\n"))
		}
		return nil
	})
	t.Logf("%d lines of diffs", lines)
	if lines > maxDiffLines {
		t.Errorf("%d lines of diffs, more than %d: can a new file do instead?", lines, maxDiffLines)
	}
}

func TestNewFilesAreFormatted(t *testing.T) {
	err := builtIn().walk(func(name string, data []byte) error {
		if filepath.Ext(name) != ".go" {
			return nil
		}
		want, err := format.Source(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(data, want) {
			t.Errorf("%s is not gofmt'd", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// release returns the directory of the pinned release, if this host has it.
func release(t *testing.T) string {
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Skip("no go command")
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "golang.org", "toolchain@v0.0.1-"+Release+"."+host())
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the release is not in the module cache; the first use of the tool chain brings it")
	}
	return dir
}

// touched copies the files that p changes, and those that name the version,
// to a new GOROOT.
func touched(t *testing.T, p patches) string {
	dir, root := release(t), t.TempDir()
	names := []string{"VERSION", "src/internal/buildcfg/zbootstrap.go"}
	err := p.eachDiff(func(diff string, f *gitdiff.File) error {
		names = append(names, f.NewName)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o777)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(root, name), data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestPatchesFitTheRelease(t *testing.T) {
	p := builtIn()
	root := touched(t, p)
	if err := p.apply(root); err != nil {
		t.Fatal(err)
	}
	p.walk(func(name string, want []byte) error {
		if rel, ok := strings.CutPrefix(name, "_src/"); ok {
			if got, err := os.ReadFile(filepath.Join(root, "src", rel)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: not in place (%v)", name, err)
			}
		}
		return nil
	})
	head, err := os.ReadFile(filepath.Join(root, "src/cmd/internal/objabi/head.go"))
	if err != nil || !bytes.Contains(head, []byte("Hhurd")) {
		t.Errorf("head.go does not know the Hurd (%v)", err)
	}
	// No new file takes the place of one of the release.
	p.walk(func(name string, _ []byte) error {
		if rel, ok := strings.CutPrefix(name, "_src/"); ok {
			if _, err := os.Stat(filepath.Join(release(t), "src", rel)); err == nil {
				t.Errorf("%s: the release has this file", name)
			}
		}
		return nil
	})

	if err := setVersion(root, "go1.26.8-hurd.test"); err != nil {
		t.Fatal(err)
	}
	v, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil || !strings.HasPrefix(string(v), "go1.26.8-hurd.test\n") {
		t.Errorf("VERSION is %q (%v)", v, err)
	}
	if err := setVersion(root, "again"); err == nil {
		t.Error("a version that is not there was replaced")
	}
}

const tagDiff = `--- a/src/a.go
+++ b/src/a.go
@@ -1 +1 @@
-//go:build unix
+//go:build unix && !hurd
@@ -3,2 +3,3 @@
 package a
+var hurd = true
 var b = 1
`

const original = "//go:build unix\n\npackage a\nvar b = 1\n"

func TestApply(t *testing.T) {
	for name, c := range map[string]struct {
		src  string
		p    fstest.MapFS
		want string   // of src/a.go, or
		errs []string // parts of the error
	}{
		"fits": {
			src:  original,
			p:    fstest.MapFS{"diffs/a.diff": {Data: []byte(tagDiff)}},
			want: "//go:build unix && !hurd\n\npackage a\nvar hurd = true\nvar b = 1\n",
		},
		"conflict": {
			src:  strings.Replace(original, "var b", "var c", 1),
			p:    fstest.MapFS{"diffs/a.diff": {Data: []byte(tagDiff)}},
			errs: []string{"diffs/a.diff", "src/a.go", "@@ -3,2 +3,3 @@", Release},
		},
		"moved": {
			src:  "// One more line.\n" + original,
			p:    fstest.MapFS{"diffs/a.diff": {Data: []byte(tagDiff)}},
			errs: []string{"src/a.go", "hunk @@ -1,1"},
		},
		"damaged hunk": {
			src:  original,
			p:    fstest.MapFS{"diffs/a.diff": {Data: []byte(strings.Replace(tagDiff, "+var hurd = true\n", "", 1))}},
			errs: []string{"diffs/a.diff"},
		},
		"damaged header": {
			src:  original,
			p:    fstest.MapFS{"diffs/a.diff": {Data: []byte(strings.TrimPrefix(tagDiff, "--- a/src/a.go\n"))}},
			errs: []string{"diffs/a.diff"},
		},
		"outside of src": {
			src:  original,
			p:    fstest.MapFS{"diffs/a.diff": {Data: []byte(strings.ReplaceAll(tagDiff, "src/a.go", "bin/a.go"))}},
			errs: []string{"diffs/a.diff", "bin/a.go"},
		},
		"no such file": {
			src:  original,
			p:    fstest.MapFS{"diffs/a.diff": {Data: []byte(strings.ReplaceAll(tagDiff, "src/a.go", "src/b.go"))}},
			errs: []string{"diffs/a.diff", "src/b.go", Release},
		},
		"file exists": {
			src:  original,
			p:    fstest.MapFS{"_src/a.go": {Data: []byte("package a\n")}},
			errs: []string{"_src/a.go", "already"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			file := filepath.Join(root, "src", "a.go")
			if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o777), os.WriteFile(file, []byte(c.src), 0o666)); err != nil {
				t.Fatal(err)
			}
			err := patches{c.p}.apply(root)
			if len(c.errs) == 0 {
				got, _ := os.ReadFile(file)
				if err != nil || string(got) != c.want {
					t.Fatalf("got %q, error %v; want %q", got, err, c.want)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.errs {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestKeys(t *testing.T) {
	base := fstest.MapFS{
		"_src/a.go":    {Data: []byte("package a\n")},
		"diffs/a.diff": {Data: []byte(tagDiff)},
		"diffs/c.diff": {Data: []byte(strings.ReplaceAll(tagDiff, "src/a.go", "src/cmd/a.go"))},
	}
	with := func(name, data string) patches {
		m := maps.Clone(base)
		m[name] = &fstest.MapFile{Data: []byte(data)}
		return patches{m}
	}
	keys, versions := map[string]string{}, map[string]string{}
	for what, p := range map[string]patches{
		"base":          {base},
		"changed file":  with("_src/a.go", "package b\n"),
		"more files":    with("_src/b.go", ""),
		"changed diff":  with("diffs/a.diff", strings.ReplaceAll(tagDiff, "hurd", "gnu")),
		"changed tools": with("diffs/c.diff", strings.ReplaceAll(strings.ReplaceAll(tagDiff, "hurd", "gnu"), "src/a.go", "src/cmd/a.go")),
	} {
		key, err := p.key()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := keys[key]; ok {
			t.Errorf("%s and %s have the same key", what, other)
		}
		keys[key] = what
		if versions[what], err = p.version(); err != nil {
			t.Fatal(err)
		}
	}
	for what, v := range versions {
		if same := v == versions["base"]; same != (what != "changed tools") {
			t.Errorf("%s: version %s, base has %s", what, v, versions["base"])
		}
	}
}

func TestSeal(t *testing.T) {
	const key = "key"
	make := func(t *testing.T) string {
		root := t.TempDir()
		for name, data := range map[string]string{"bin/go": "binary", "src/a.go": "package a\n"} {
			file := filepath.Join(root, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, []byte(data), 0o666)); err != nil {
				t.Fatal(err)
			}
		}
		return root
	}
	if err := checkSeal(make(t), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a seal: %v", err)
	}
	for what, c := range map[string]struct {
		damage func(root string) error
		want   string
	}{
		"nothing":   {func(string) error { return nil }, ""},
		"truncated": {func(r string) error { return os.Truncate(filepath.Join(r, "bin/go"), 3) }, "bin/go"},
		"missing":   {func(r string) error { return os.Remove(filepath.Join(r, "src/a.go")) }, "src/a.go"},
		"extra":     {func(r string) error { return os.WriteFile(filepath.Join(r, "src/b.go"), nil, 0o666) }, "not of the tool chain"},
		"half seal": {func(r string) error { return os.Truncate(filepath.Join(r, sealName), 9) }, "cut short"},
	} {
		root := make(t)
		if err := errors.Join(seal(root, key), c.damage(root)); err != nil {
			t.Fatal(err)
		}
		err := checkSeal(root, key)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if err := checkSeal(root, "other"); err == nil {
			t.Errorf("%s: a seal of another key is taken for good", what)
		}
	}
}

// steps records what a build reports.
type steps struct {
	sync.Mutex
	names []string
	began chan string
}

func (s *steps) Step(name string) func(error) {
	s.Lock()
	s.names = append(s.names, name)
	s.Unlock()
	if s.began != nil {
		s.began <- name
	}
	return func(error) {}
}
func (s *steps) Logf(string, ...any) {}

func TestFailedBuildLeavesNothing(t *testing.T) {
	cache := t.TempDir()
	for what, c := range map[string]struct{ goCmd, want string }{
		"no go":      {"go-that-nobody-has", "install any Go"},
		"go fails":   {"false", "go mod download"},
		"go is dumb": {"true", "gave no directory"},
	} {
		b := &builder{patches: builtIn(), cache: cache, progress: &steps{}, goCmd: c.goCmd}
		_, err := b.ensure(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", what, err, c.want)
		}
	}
	left, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || !slices.Equal(left, []string{filepath.Join(cache, "lock")}) {
		t.Errorf("left behind: %q (%v)", left, err)
	}
}

// TestLeftoversAreNoToolchain has what an interrupted build leaves, and a
// tool chain without a seal: neither is used.
func TestLeftoversAreNoToolchain(t *testing.T) {
	b := &builder{patches: builtIn(), cache: t.TempDir(), progress: &steps{}, goCmd: "false"}
	key, err := b.patches.key()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{key, key + ".tmp", "other.tmp"} {
		if err := os.MkdirAll(filepath.Join(b.cache, d, "bin"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if dir, err := b.ensure(t.Context()); err == nil {
		t.Errorf("%s is taken for a tool chain", dir)
	}
	left, _ := filepath.Glob(filepath.Join(b.cache, "*"))
	if !slices.Equal(left, []string{filepath.Join(b.cache, "lock")}) {
		t.Errorf("left behind: %q", left)
	}
}

func TestBuildsExcludeEachOther(t *testing.T) {
	cache := t.TempDir()
	other, err := os.Create(filepath.Join(cache, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	began := make(chan string, 10)
	b := &builder{patches: builtIn(), cache: cache, progress: &steps{began: began}, goCmd: "false"}

	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	run := func(ctx context.Context) {
		_, err := b.ensure(ctx)
		result <- err
	}
	go run(ctx)
	if step := <-began; !strings.HasPrefix(step, "wait for another") {
		t.Fatalf("first step %q", step)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it waits: %v", err)
	}

	go run(t.Context())
	<-began
	other.Close()
	if step := <-began; !strings.HasPrefix(step, "download") {
		t.Errorf("step after the wait: %q", step)
	}
	if err := <-result; err == nil {
		t.Error("built with a go command that fails")
	}
}

func TestCommand(t *testing.T) {
	t.Setenv("GOOS", "plan9")
	t.Setenv("GOEXPERIMENT", "nonsense")
	tc := &Toolchain{Dir: "/toolchain"}
	cmd := tc.Command(t.Context(), "build", ".")
	if want := []string{"/toolchain/bin/go", "build", "."}; !slices.Equal(cmd.Args, want) {
		t.Errorf("args %q, want %q", cmd.Args, want)
	}
	last := map[string]string{}
	for _, e := range cmd.Env {
		k, v, _ := strings.Cut(e, "=")
		last[k] = v
	}
	for k, want := range map[string]string{"GOOS": "hurd", "GOARCH": "386", "GOROOT": "/toolchain", "GOTOOLCHAIN": "local", "GOEXPERIMENT": ""} {
		if last[k] != want {
			t.Errorf("%s=%s, want %q", k, last[k], want)
		}
	}
	if !strings.HasPrefix(last["PATH"], "/toolchain/bin"+string(os.PathListSeparator)) {
		t.Errorf("PATH=%s", last["PATH"])
	}
}
