package hurdpatches

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"hurdlab/netmsg/wire"
)

func TestParse(t *testing.T) {
	steps, err := Parse(strings.NewReader("# what\n\nremove a/b.c # gone\ncopy x/y z\npatch 1.patch\n"))
	want := []Step{{Op: Remove, Dst: "a/b.c"}, {Op: Copy, Src: "new/x/y", Dst: "z"}, {Op: Patch, Src: "1.patch"}}
	if err != nil || !slices.Equal(steps, want) {
		t.Errorf("%v, %v", steps, err)
	}
	for _, bad := range []string{"remove", "remove /etc/passwd", "remove ../x", "copy a", "copy a ../b", "copy ../a b", "patch a b", "move a b", "remove ."} {
		if steps, err := Parse(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %v", bad, steps)
		}
	}
}

// TestSeries checks that all files here have a place in the series, that patches say why
// they are there, and that they have as little as possible of what they patch.
func TestSeries(t *testing.T) {
	steps, err := Series()
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	there := make(map[string]bool) // in the tree, and not removed
	for _, s := range steps {
		if s.Src != "" && used[s.Src] {
			t.Errorf("%v: a second time", s)
		}
		used[s.Src] = true
		switch s.Op {
		case Copy:
			if there[s.Dst] {
				t.Errorf("%v: it is there", s)
			}
			there[s.Dst] = true
		case Remove:
			if there[s.Dst] {
				t.Errorf("%v: after it has been copied", s)
			}
		}
	}
	err = fs.WalkDir(FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path != "series" && !used[path] {
			t.Errorf("%s is not in the series", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	removed := 0
	for _, s := range steps {
		if s.Op == Remove {
			continue
		}
		b, err := fs.ReadFile(FS, s.Src)
		if err != nil {
			t.Fatal(err)
		}
		if s.Op == Copy {
			if !strings.Contains(string(b), "GPL-2.0-or-later") || strings.Contains(string(b), "Free Software Foundation") {
				t.Errorf("%s: whose is it?", s.Src)
			}
			continue
		}
		head, body, ok := strings.Cut(string(b), "\n---\n")
		if !ok || !strings.HasPrefix(head, "Subject: ") || !strings.Contains(head, "\nDescription: ") {
			t.Errorf("%s does not say why", s.Src)
		}
		context := 0
		for line := range strings.Lines(body) {
			switch {
			case line[0] == ' ':
				if context++; context > 2 { // between neighbouring hunks
					t.Errorf("%s: more context than is needed at %q", s.Src, line)
				}
				continue
			case line[0] == '-' && !strings.HasPrefix(line, "--- "):
				removed++
			}
			context = 0
		}
	}
	if removed > 40 {
		t.Errorf("%d lines of the original", removed)
	}
	t.Logf("%d steps; the patches remove %d lines", len(steps), removed)
}

func needPatch(t *testing.T) {
	if _, err := exec.LookPath("patch"); err == nil {
		return
	}
	if os.Geteuid() == 0 {
		install := []string{"install", "-y", "--no-install-recommends", "patch"}
		if exec.Command("apt-get", install...).Run() != nil {
			exec.Command("apt-get", "update").Run()
			exec.Command("apt-get", install...).Run()
		}
	}
	if _, err := exec.LookPath("patch"); err != nil {
		t.Skip("there is no patch(1), and it cannot be installed (Debian's package patch, as root)")
	}
}

var thePatch = `Subject: say more
Description: it said little
---
--- a/lib/a.c
+++ b/lib/a.c
@@ -2,3 +2,3 @@
 two
-three
+drei
 four
`

func TestApply(t *testing.T) {
	needPatch(t)
	from := fstest.MapFS{"1.patch": {Data: []byte(thePatch)}, "new/b.c": {Data: []byte("new\n")}}
	tree := func(a string) string {
		dir := t.TempDir()
		os.Mkdir(filepath.Join(dir, "lib"), 0o777)
		for name, text := range map[string]string{"lib/a.c": a, "lib/old.c": "old\n", "lib/b.c": "old\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	read := func(dir, name string) string {
		b, _ := os.ReadFile(filepath.Join(dir, name))
		return string(b)
	}
	series := func(s string) []Step {
		steps, err := Parse(strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		return steps
	}
	all := series("remove lib/old.c\nremove lib/b.c\ncopy b.c lib/b.c\ncopy b.c more/c.c\npatch 1.patch")
	for name, a := range map[string]string{"as it was": "one\ntwo\nthree\nfour\n", "moved": "zero\nnull\none\ntwo\nthree\nfour\nfive\n"} {
		dir := tree(a)
		if err := apply(context.Background(), from, all, dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := read(dir, "lib/a.c"); got != strings.Replace(a, "three", "drei", 1) {
			t.Errorf("%s: %q", name, got)
		}
		if got := read(dir, "lib/b.c") + read(dir, "more/c.c") + read(dir, "lib/old.c"); got != "new\nnew\n" {
			t.Errorf("%s: %q", name, got)
		}
		var e *Error
		if err := apply(context.Background(), from, all[4:], dir); !errors.As(err, &e) || e.Step != all[4] {
			t.Errorf("%s, a second time: %v", name, err)
		}
	}

	dir := tree("one\ntwo\n3\nfour\n")
	err := apply(context.Background(), from, all, dir)
	if err == nil || !strings.Contains(err.Error(), "patch 1.patch") || !regexp.MustCompile(`(?i)hunk #1 failed at 2`).MatchString(err.Error()) {
		t.Errorf("a hunk that does not apply: %v", err)
	}
	if got := read(dir, "lib/a.c"); got != "one\ntwo\n3\nfour\n" {
		t.Errorf("and the file is %q", got)
	}
	for _, s := range []string{"copy b.c lib/b.c", "remove lib/none.c"} {
		var e *Error
		if err := apply(context.Background(), from, series(s), tree("")); !errors.As(err, &e) || e.Step.String() != s {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// TestHurd applies the series to the Hurd's sources.
func TestHurd(t *testing.T) {
	src := os.Getenv("HURDLAB_HURD_SOURCE")
	if src == "" {
		t.Skip("HURDLAB_HURD_SOURCE does not say where sources of the Hurd are")
	}
	needPatch(t)
	steps, err := Series()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{"libpager", "utils"} {
		if err := os.CopyFS(filepath.Join(dir, d), os.DirFS(filepath.Join(src, d))); err != nil {
			t.Fatal(err)
		}
	}
	if err := Apply(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	var kept []string
	left, _ := filepath.Glob(filepath.Join(dir, "libpager", "*"))
	for _, f := range left {
		name := "libpager/" + filepath.Base(f)
		if !slices.ContainsFunc(steps, func(s Step) bool { return s.Op == Copy && s.Dst == name }) {
			kept = append(kept, name)
		}
	}
	if !slices.Equal(kept, []string{"libpager/pager.h"}) {
		t.Errorf("left as they were: %s", strconv.Quote(strings.Join(kept, " ")))
	}
}

// TestPagerInfo wants netmsg's messages to a pager to have the ids here that they have in Go.
func TestPagerInfo(t *testing.T) {
	b, err := fs.ReadFile(FS, "new/libpager/pager_info.defs")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^subsystem pager_info (\d+);$`).FindSubmatch(b)
	if m == nil {
		t.Fatal("it is no subsystem")
	}
	base, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	routines := regexp.MustCompile(`(?m)^(?:simple)?routine (\w+) \(`).FindAllSubmatch(b, -1)
	if len(routines) != 2 {
		t.Fatalf("%d routines", len(routines))
	}
	for i, r := range routines {
		if got := wire.Routine(int32(base + i)); got != string(r[1]) {
			t.Errorf("%d is %s, and %s in Go", base+i, r[1], got)
		}
	}
}
