//go:build linux || hurd

package fstest

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Act()
	os.Exit(m.Run())
}

// TestHost runs the cases on a file system of the host (on the Hurd: of the
// node).
func TestHost(t *testing.T) {
	dir, err := os.MkdirTemp("", "fstest-host-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	counts := make(map[Status]int)
	err = Run(t.Context(), Backend{Dir: dir, Timeout: 20 * time.Second}, Cases(), func(r Result) {
		counts[r.Status]++
		switch r.Status {
		case Failed:
			t.Error(r)
		case Skipped:
			t.Log(r)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d passed, %d failed, %d skipped", counts[Passed], counts[Failed], counts[Skipped])
}

func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range Cases() {
		if seen[c.Name] {
			t.Errorf("two cases are called %s", c.Name)
		}
		seen[c.Name] = true
		if strings.ContainsAny(c.Name, " \n:") {
			t.Errorf("the name %q", c.Name)
		}
	}
	if len(seen) < 300 {
		t.Errorf("%d cases", len(seen))
	}
	t.Logf("%d cases", len(seen))
}
