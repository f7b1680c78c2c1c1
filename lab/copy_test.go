package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCopyBothWays(t *testing.T) {
	n := testUp(t, testSpec(t, 1)).Node("node1")
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name, text string, mode os.FileMode) {
		t.Helper()
		file := filepath.Join(dir, name)
		b, err := os.ReadFile(file)
		st, statErr := os.Stat(file)
		if err != nil || statErr != nil || string(b) != text || st.Mode().Perm() != mode {
			t.Errorf("%s: %d bytes, %v, mode %v; want %d bytes, mode %v", name, len(b), err, st.Mode(), len(text), mode)
		}
	}
	big := strings.Repeat("0123456789abcdef", 1<<17)
	write("big", big, 0o755)
	write("tree/empty", "", 0o644)
	write("tree/a b/'c'", "quoted", 0o600)
	ctx := t.Context()

	if err := n.CopyTo(ctx, dir+"/big", "/tmp/there"); err != nil {
		t.Fatal(err)
	}
	if err := n.CopyFrom(ctx, "/tmp/there", dir+"/back"); err != nil {
		t.Fatal(err)
	}
	check("back", big, 0o755)
	if err := n.CopyTo(ctx, dir+"/big", "/tmp/"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/into", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := n.CopyFrom(ctx, "/tmp/big", dir+"/into"); err != nil {
		t.Fatal(err)
	}
	check("into/big", big, 0o755)

	if err := n.CopyTo(ctx, dir+"/tree/empty", "/tmp/empty"); err != nil {
		t.Fatal(err)
	}
	if err := n.CopyFrom(ctx, "/tmp/empty", dir+"/empty"); err != nil {
		t.Fatal(err)
	}
	check("empty", "", 0o644)

	if err := n.CopyFrom(ctx, "/no/such", dir+"/none"); err == nil || !strings.Contains(err.Error(), "/no/such") {
		t.Errorf("CopyFrom of nothing = %v", err)
	}
	if _, err := os.Stat(dir + "/none"); err == nil {
		t.Error("a copy of nothing has left a file")
	}
	mustAdvise(t, n.CopyTo(ctx, dir+"/no", "/tmp/x"), "no such file", "NODE:PATH")
	mustAdvise(t, n.CopyTo(ctx, dir+"/big", "/no/such/x"), "/no/such/x", "directory")

	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if err := n.CopyFrom(stopped, "/tmp/big", dir+"/x"); !errors.Is(err, context.Canceled) {
		t.Errorf("CopyFrom with a context that has ended = %v", err)
	}
}

// receiveScript feeds what a node sends to a receiver.
func receiveScript(t testing.TB, script, target string) error {
	t.Helper()
	return (&receiver{r: bufio.NewReader(strings.NewReader(script)), w: io.Discard}).receive(target)
}

func TestReceiver(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   map[string]string // files; nil for an error
	}{
		"file":               {"C0644 3 x\nabc\x00", map[string]string{"to": "abc"}},
		"times":              {"T1 0 1 0\nC0644 3 x\nabc\x00", map[string]string{"to": "abc"}},
		"directory":          {"D0755 0 d\nC0644 1 a\nA\x00D0755 0 e\nC0644 1 b\nB\x00E\nE\n", map[string]string{"to/a": "A", "to/e/b": "B"}},
		"nothing":            {"", nil},
		"error":              {"\x01no such file\n", nil},
		"short":              {"C0644 9 x\nabc", nil},
		"failed in the file": {"C0644 3 x\nabc\x01disk\n", nil},
		"leads up":           {"D0755 0 d\nC0644 1 ..\nA\x00E\n", nil},
		"leads away":         {"D0755 0 d\nC0644 1 ../../x\nA\x00E\n", nil},
		"has no name":        {"C0644 1 \nA\x00", nil},
		"negative":           {"C0644 -1 x\n", nil},
		"not a number":       {"C0644 x x\n", nil},
		"not a mode":         {"C9999 1 x\n", nil},
		"end too early":      {"E\n", nil},
		"directory cut off":  {"D0755 0 d\n", nil},
		"endless line":       {"C" + strings.Repeat("0", 100_000), nil},
		"too deep":           {strings.Repeat("D0755 0 d\n", 200), nil},
		"nonsense":           {"hello\n", nil},
		"empty line":         {"\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := receiveScript(t, c.script, dir+"/to")
			if (err == nil) != (c.want != nil) {
				t.Errorf("receive = %v", err)
			}
			for file, text := range c.want {
				if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(b) != text {
					t.Errorf("%s: %q, %v; want %q", file, b, err, text)
				}
			}
		})
	}
}

// FuzzReceiver checks that nothing a node sends makes us write outside the
// target.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte("C0644 3 x\nabc\x00"))
	f.Add([]byte("D0755 0 d\nC0644 1 ..\nA\x00E\n"))
	f.Fuzz(func(t *testing.T, script []byte) {
		// A file of a terabyte is not what is looked for here.
		if bytes.ContainsAny(script, "\x00") && len(script) > 1<<16 {
			return
		}
		dir := t.TempDir()
		if err := os.Mkdir(dir+"/into", 0o755); err != nil {
			t.Fatal(err)
		}
		receiveScript(t, string(script), dir+"/into")
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%q: outside are %v (%v)", script, entries, err)
		}
	})
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"ls", "-l", "/a/b_c.d"}, "ls -l /a/b_c.d"},
		{[]string{"echo", "a b", ""}, "echo 'a b' ''"},
		{[]string{"echo", "it's", "$(x)", "a;b"}, `echo 'it'\''s' '$(x)' 'a;b'`},
	} {
		if got := commandLine(c.args); got != c.want {
			t.Errorf("%q: got %s, want %s", c.args, got, c.want)
		}
	}
}

func TestHostChecks(t *testing.T) {
	mustAdvise(t, checkDisk(t.TempDir()+"/not/yet/there", 1<<62), "no space", "XDG_STATE_HOME")
	if err := checkDisk(t.TempDir(), 1); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(file, []byte("MemTotal: 9 kB\nMemAvailable:     2048 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if mb, err := availableMB(file); mb != 2 || err != nil {
		t.Errorf("available: %d, %v; want 2", mb, err)
	}
}
