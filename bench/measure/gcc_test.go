package measure

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// commands are what a distribution's node has, for a directory of the path: packages are there, and the
// only source is a program of two files; rexec notes where it would have run the program.
var commands = map[string]string{
	"apt-get": `case "$*" in
*source\ two)
	mkdir two-1
	cd two-1
	printf 'int two(void);\nint main(void) { return two() != 2; }\n' > main.c
	printf 'int two(void) { return 2; }\n' > two.c
	printf 'prog: main.o two.o\n\t$(CC) $(CFLAGS) -o $@ main.o two.o\n' > Makefile.in
	printf '#!/bin/sh\nmkdir -p obj\nsed "s,main.o two.o:,," ../two/Makefile.in > obj/Makefile\nprintf "VPATH = ..\\n" >> obj/Makefile\n' > configure
	chmod +x configure;;
*fail*) echo "E: no such package" >&2; exit 100;;
esac`,
	"dpkg":       "exit 0",
	"dpkg-query": "echo gcc 1.0",
	"rexec":      `test "$1" = --root=there; echo "$2" >> "$PLACES"; shift 2; exec "$@"`,
}

// fakeNode is a runner of commands on this host, as if it were all nodes.
func fakeNode(t *testing.T, dir string) func(ctx context.Context, node int, args ...string) (string, error) {
	for _, c := range []string{"gcc", "make"} {
		if _, err := exec.LookPath(c); err != nil {
			t.Skip(err)
		}
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range commands {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\nset -e\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "etc/apt/sources.list.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, node int, args ...string) (string, error) {
		// The link that another node has to the tree would be in its way here.
		if node > 1 && strings.Contains(strings.Join(args, " "), "ln -s") {
			return "", nil
		}
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "PLACES="+filepath.Join(dir, "places"))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, stderr.String())
		}
		return string(out), err
	}
}

// A project is fetched, configured, and built on one node, on some and on all, with the same objects.
func TestGCC(t *testing.T) {
	dir := t.TempDir()
	g := &gccBuild{run: fakeNode(t, dir), all: 3, root: dir, tree: filepath.Join(dir, "c")}
	p := cProject{"two", "./configure", "obj", "prog"}
	if err := g.prepare(t.Context(), []cProject{p}); err != nil {
		t.Fatal(err)
	}
	var sums string
	for n, places := range map[int]string{1: "", 2: "node1 node2", 3: "--any"} {
		os.Remove(filepath.Join(dir, "places"))
		took, now, err := g.build(t.Context(), p, n)
		if err != nil {
			t.Fatal(err)
		}
		if took <= 0 || strings.Count(now, "\n") != 2 {
			t.Errorf("%v: %s", took, now)
		}
		if sums == "" {
			sums = now
		} else if sums != now {
			t.Errorf("%s\nnot\n%s", now, sums)
		}
		b, _ := os.ReadFile(filepath.Join(dir, "places"))
		for _, at := range strings.Fields(string(b)) {
			if !strings.Contains(places, at) {
				t.Errorf("%d nodes: %s", n, at)
			}
		}
		if (places == "") != (len(b) == 0) {
			t.Errorf("%d nodes: %q", n, b)
		}
	}
	if err := g.prepare(t.Context(), []cProject{{source: "fail"}}); err == nil || !strings.Contains(err.Error(), "no such package") {
		t.Error(err)
	}
}
