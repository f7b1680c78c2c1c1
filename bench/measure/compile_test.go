package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hurdlab/lab/programs"
)

// The plan is carried out on this host, by the same compiler for this host.
func TestPlan(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a tool chain, if there is none")
	}
	ctx := context.Background()
	tc, err := programs.Toolchain(ctx)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	p, err := planFor(ctx, tc, filepath.Join(root, "bin"), append(strings.Fields(few), "os/signal")) // one with assembly
	if err != nil {
		t.Fatal(err)
	}
	if err := p.write(root); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"compile", "asm", "link"} {
		name := strings.TrimSpace(string(must(tc.Command(ctx, "env", "GOTOOLDIR").Output())))
		if err := os.Symlink(filepath.Join(name, tool), filepath.Join(root, "bin", tool)); err != nil {
			t.Fatal(err)
		}
	}
	pack := exec.Command(filepath.Join(tc.Dir, "bin", "go"), "build", "-o", filepath.Join(root, "bin", "pack"), "cmd/pack")
	pack.Dir, pack.Env = tc.Dir, append(os.Environ(), "GOROOT="+tc.Dir, "GOTOOLCHAIN=local")
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	done := make(map[string]bool)
	for _, x := range p.tasks { // go list has them in order
		for _, n := range x.Needs {
			if !done[n] {
				t.Errorf("%s comes before %s, which it needs", x.Name, n)
			}
		}
		done[x.Name] = true
		// It has no inputs but those that it says.
		dir := filepath.Join(t.TempDir(), "tree")
		for _, f := range x.Inputs {
			file := filepath.Join(dir, f)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.Link(filepath.Join(root, f), file)); err != nil {
				t.Fatalf("%s: %v", x.Name, err)
			}
		}
		for _, f := range append([]string{filepath.Join(x.Work, "x")}, x.Outputs...) {
			for _, in := range []string{dir, root} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(in, f)), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, args := range x.Commands {
			for i, a := range args {
				args[i] = strings.ReplaceAll(a, "$TREE", dir)
			}
			c := exec.Command(args[0], args[1:]...)
			c.Dir, c.Env = dir, append(os.Environ(), "GOOS=hurd", "GOARCH=386")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s\n%s", x.Name, err, args, out)
			}
		}
		for _, f := range x.Outputs {
			if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Size() == 0 {
				t.Errorf("%s: %v", f, err)
			}
			if err := os.Rename(filepath.Join(dir, f), filepath.Join(root, f)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if b := must(os.ReadFile(filepath.Join(root, built("main").code))); bytes.Contains(b, []byte(root)) || bytes.Contains(b, []byte(os.TempDir())) {
		t.Error("the program knows where it was built")
	}
	var tasks []compileTask
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join(root, "tasks.json"))), &tasks); err != nil || len(tasks) != len(p.tasks) || len(tasks) != p.packages+1 {
		t.Error(len(tasks), p.packages, err)
	}
}

// The parts' programs are built for the nodes, with what modules of others lack for the Hurd.
func TestPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a tool chain, if there is none")
	}
	for _, p := range []*Part{&netPart, &fsPart, &pagePart, &mpiPart, &compilePart} {
		if err := programs.Build(t.Context(), t.TempDir(), p.Programs...); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
