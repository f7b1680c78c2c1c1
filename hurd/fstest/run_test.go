//go:build linux || hurd

package fstest

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRun shows that cases can fail, in all ways in which they can.
func TestRun(t *testing.T) {
	cases := []struct {
		c      Case
		status Status
		why    string
	}{
		{Case{"good", 0, func(t *T) { t.Dir("d"); t.DirMode("d/closed", 0); t.File("f", "") }}, Passed, ""},
		{Case{"errorf", 0, func(t *T) { t.Errorf("one"); t.Errorf("two") }}, Failed, "one; two"},
		{Case{"fatalf", 0, func(t *T) { t.Fatalf("one"); t.Errorf("two") }}, Failed, "one"},
		{Case{"skipf", 0, func(t *T) { t.Skipf("not today"); t.Errorf("two") }}, Skipped, "not today"},
		{Case{"skipped when failed", 0, func(t *T) { t.Errorf("one"); t.Skipf("not today") }}, Failed, "one"},
		{Case{"panic", 0, func(t *T) { panic("oh") }}, Failed, "panic: oh"},
		{Case{"hangs", 0, func(t *T) { <-make(chan int) }}, Failed, "not done after 300ms"},
		{Case{"want", 0, func(t *T) { t.Want(syscall.ENOENT, "open", syscall.EACCES, 0) }}, Failed, "open: ENOENT, want EACCES or success"},
		{Case{"want success", 0, func(t *T) { t.Want(nil, "open", syscall.EACCES) }}, Failed, "open: success, want EACCES"},
		{Case{"want no number", 0, func(t *T) { t.Want(errors.New("odd"), "open", 0) }}, Failed, "open: EPROTO"},
		{Case{"wrapped", 0, func(t *T) { t.Want(&os.PathError{Err: syscall.ENOENT}, "open", syscall.ENOENT) }}, Passed, ""},
		{Case{"ok", 0, func(t *T) { t.OK(syscall.EIO, "a %s", "thing") }}, Failed, "a thing: "},
		{Case{"equal", 0, func(t *T) { Equal(t, 1, 2, "size") }}, Failed, "size: got 1, want 2"},
		{Case{"content", 0, func(t *T) { t.Content(t.File("f", "abc"), "abd") }}, Failed, "content of 3 bytes"},
		{Case{"names", 0, func(t *T) { t.File("f", ""); t.WantNames(t.dir, "g") }}, Failed, `directory has ["f"]`},
		{Case{"bytes", 0, func(t *T) { t.sameBytes([]byte("abc"), []byte("abd"), "data") }}, Failed, "data: byte 2 of 3 is 0x63, want 0x64"},
		{Case{"cleanup", 0, func(t *T) { t.Cleanup(func() { t.Errorf("last") }); t.Cleanup(func() { t.Errorf("first") }) }}, Failed, "first; last"},
		{Case{"lacking", Fifos | Locks, func(t *T) { t.Errorf("it ran") }}, Skipped, "needs fifos"},
	}
	var list []Case
	for _, c := range cases {
		list = append(list, c.c)
	}
	i := 0
	dir := t.TempDir()
	err := Run(t.Context(), Backend{Dir: dir, Lacks: Fifos, Timeout: 300 * time.Millisecond}, list, func(r Result) {
		want := cases[i]
		i++
		if r.Name != want.c.Name || r.Status != want.status || !strings.Contains(r.Why, want.why) {
			t.Errorf("%v, want %v %s: %s", r, want.status, want.c.Name, want.why)
		}
	})
	if err != nil || i != len(cases) {
		t.Errorf("%d of %d cases, %v", i, len(cases), err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
}

func TestFeatures(t *testing.T) {
	for _, f := range features {
		if got, err := ParseFeature(f.name); err != nil || got != f.bit || got.String() != f.name {
			t.Errorf("%s: %v, %v", f.name, got, err)
		}
	}
	if _, err := ParseFeature("nonsense"); err == nil {
		t.Error("nonsense is a feature")
	}
}
