package goport

import (
	"go/format"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestPick(t *testing.T) {
	from := []string{"v0.1.0", "v0.12.0", "v1.0.0"}
	for version, want := range map[string]string{
		"v0.0.9":                                "",
		"v0.1.0":                                "m@v0.1.0",
		"v0.9.0":                                "m@v0.1.0",
		"v0.12.0":                               "m@v0.12.0",
		"v0.47.0":                               "m@v0.12.0",
		"v1.2.0":                                "m@v1.0.0",
		"v0.12.1-0.20250101000000-abcdefabcdef": "m@v0.12.0",
	} {
		if got := pick("m", version, from); got != want {
			t.Errorf("%s: %q, want %q", version, got, want)
		}
	}
	if got := pick("m", "v1.0.0", nil); got != "" {
		t.Errorf("of no versions %q was picked", got)
	}
}

func TestReplacements(t *testing.T) {
	o := overlays{fstest.MapFS{
		"a.org/x@v0.1.0/hurd.go":       {Data: []byte("package x\n")},
		"a.org/x@v0.1.0/sub/hurd.go":   {Data: []byte("package sub\n")},
		"a.org/x@v0.2.0/sub/better.go": {Data: []byte("package sub\n")},
		"a.org/y@v1.0.0/hurd.go":       {Data: []byte("package y\n")},
	}}
	for name, c := range map[string]struct {
		modules []module
		want    map[string]string
	}{
		"none":       {nil, map[string]string{}},
		"unknown":    {[]module{{Path: "b.org/z", Version: "v1.0.0", Dir: "/m/z"}}, map[string]string{}},
		"too old":    {[]module{{Path: "a.org/y", Version: "v0.9.0", Dir: "/m/y"}}, map[string]string{}},
		"not there":  {[]module{{Path: "a.org/y", Version: "v1.0.0"}}, map[string]string{}},
		"first":      {[]module{{Path: "a.org/x", Version: "v0.1.5", Dir: "/m/x"}}, map[string]string{"/m/x/hurd.go": "/o/a.org/x@v0.1.0/hurd.go", "/m/x/sub/hurd.go": "/o/a.org/x@v0.1.0/sub/hurd.go"}},
		"second":     {[]module{{Path: "a.org/x", Version: "v0.3.0", Dir: "/m/x"}}, map[string]string{"/m/x/sub/better.go": "/o/a.org/x@v0.2.0/sub/better.go"}},
		"replaced":   {[]module{{Path: "a.org/y", Version: "v0.9.0", Replace: &module{Path: "c.org/y", Version: "v1.1.0", Dir: "/m/c"}}}, map[string]string{"/m/c/hurd.go": "/o/a.org/y@v1.0.0/hurd.go"}},
		"by a fork":  {[]module{{Path: "a.org/y", Version: "v1.0.0", Replace: &module{Path: "../y", Dir: "/src/y"}}}, map[string]string{"/src/y/hurd.go": "/o/a.org/y@v1.0.0/hurd.go"}},
		"all of two": {[]module{{Path: "a.org/y", Version: "v1.0.0", Dir: "/m/y"}, {Path: "a.org/x", Version: "v0.2.0", Dir: "/m/x"}}, map[string]string{"/m/y/hurd.go": "/o/a.org/y@v1.0.0/hurd.go", "/m/x/sub/better.go": "/o/a.org/x@v0.2.0/sub/better.go"}},
	} {
		got, err := o.replacements("/o", c.modules)
		if err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
	if _, err := (overlays{fstest.MapFS{"a@1/x.go": {}}}).variants(); err == nil {
		t.Error("1 is taken for a version")
	}
}

func TestOverlaysAreStored(t *testing.T) {
	o, cache := builtInOverlays(), t.TempDir()
	dir, err := o.store(cache)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := o.store(cache); again != dir || err != nil {
		t.Errorf("stored again in %s, %v; first in %s", again, err, dir)
	}
	err = fs.WalkDir(o, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if want, err := format.Source(data); err != nil || !slices.Equal(want, data) {
			t.Errorf("%s is not gofmt'd (%v)", name, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "*"))
	if !slices.Equal(left, []string{dir}) {
		t.Errorf("left in the cache: %q", left)
	}
}

// TestOverlayOfAModule has the real go command say which versions a module
// uses: of two known ones one is used, and is a directory.
func TestOverlayOfAModule(t *testing.T) {
	goCmd, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	root, dir := t.TempDir(), t.TempDir()
	write := func(name, data string) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("main/go.mod", "module main\ngo 1.21\nrequire golang.org/x/sys v0.9.0\nreplace golang.org/x/sys => ../sys\n")
	write("sys/go.mod", "module golang.org/x/sys\ngo 1.21\n")
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(goCmd, filepath.Join(root, "bin", "go")); err != nil {
		t.Fatal(err)
	}
	tc := &Toolchain{Dir: root}
	cmd, err := tc.CommandIn(t.Context(), filepath.Join(dir, "main"), "build", "./...")
	if err != nil {
		t.Fatal(err)
	}
	file, ok := strings.CutPrefix(cmd.Args[2], "-overlay=")
	if !ok || cmd.Args[1] != "build" || cmd.Args[3] != "./..." {
		t.Fatalf("go %q", cmd.Args)
	}
	data, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(data), filepath.Join(dir, "sys", "unix", "hurd.go")) {
		t.Errorf("the overlay is %s, %v", data, err)
	}
	for what, args := range map[string][]string{"another command": {"env"}, "no module": {"version"}} {
		cmd, err := tc.CommandIn(t.Context(), dir, args...)
		if err != nil || len(cmd.Args) != 2 {
			t.Errorf("%s: %q, %v", what, cmd.Args, err)
		}
	}
	cmd, err = tc.CommandIn(t.Context(), dir, "build", ".")
	if err != nil || len(cmd.Args) != 3 {
		t.Errorf("without a module: %q, %v", cmd.Args, err)
	}
}
