package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A policy follows its file, but not into nothing.
func TestPolicyFollowsItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy")
	logged := 0
	p := policy{file: file, log: func(string, ...any) { logged++ }}
	if err := p.reload(); err != nil {
		t.Fatal(err)
	}
	look := func() { p.looked = time.Time{} }
	exports := func() int { look(); return len(p.current().Exports) }
	if n := exports(); n != 1 {
		t.Errorf("without a file: %d exports", n)
	}
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("export a /a *\nexport b /b *\n")
	if n := exports(); n != 2 {
		t.Errorf("%d exports, want 2", n)
	}
	write("export a\n")
	if n := exports(); n != 2 || logged != 1 {
		t.Errorf("%d exports of a bad file, %d messages", n, logged)
	}
	if exports(); logged != 1 {
		t.Errorf("it is said again: %d", logged)
	}
	write("export a /a *\nexport b /b *\nexport c /c *\n")
	if n := exports(); n != 3 {
		t.Errorf("%d exports, want 3", n)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if n := exports(); n != 3 || logged != 2 {
		t.Errorf("%d exports of no file, %d messages", n, logged)
	}
}

func TestSessionState(t *testing.T) {
	status := "node a, epoch 1\nsession with b: opened 1s ago\nsession with bb: took 2s ago\n"
	for node, want := range map[string]string{"b": "opened 1s ago", "bb": "took 2s ago", "c": "none"} {
		if got := sessionState(status, node); got != want {
			t.Errorf("%s: %q, want %q", node, got, want)
		}
	}
}
