package measure

import (
	"context"
	"encoding/json"
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
	p, err := planFor(ctx, tc, root, filepath.Join(root, "bin"), append(strings.Fields(few), "os/signal")) // one with assembly
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
	for _, d := range p.directories() {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	done := make(map[string]bool)
	for _, x := range p.tasks { // go list has them in order
		for _, n := range x.Needs {
			if !done[n] {
				t.Errorf("%s comes before %s, which it needs", x.Name, n)
			}
		}
		done[x.Name] = true
		c := exec.Command("sh", "-ec", x.Script)
		c.Env = append(os.Environ(), "GOOS=hurd", "GOARCH=386")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s\n%s", x.Name, err, x.Script, out)
		}
	}
	for _, o := range p.objects {
		if st, err := os.Stat(o); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", o, err)
		}
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
