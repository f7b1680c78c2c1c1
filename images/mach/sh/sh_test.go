package sh

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sh runs the shell with a standard input.
func sh(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	in, err := os.CreateTemp(t.TempDir(), "stdin")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.WriteString(stdin); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	status = run(t.Context(), args, in, &out, &errs)
	return status, out.String(), errs.String()
}

func TestShell(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("echo $0 $# $2\nexit 7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		stdin  string
		args   []string
		status int
		stdout string
		stderr string // a part
	}{
		{"", []string{"-c", "echo hello"}, 0, "hello\n", ""},
		{"", []string{"-c", "exit 42"}, 42, "", ""},
		{"", []string{"-c", "false"}, 1, "", ""},
		{"", []string{"-c", "false; echo $?"}, 0, "1\n", ""},
		{"", []string{"-ec", "false; echo no"}, 1, "", ""},
		{"", []string{"-e", "-c", "false || echo yes; true"}, 0, "yes\n", ""},
		{"", []string{"-c", `echo "$0 $1 $#"`, "name", "a b", "c"}, 0, "name a b 2\n", ""},
		{"", []string{"-uc", "echo $nosuch"}, 1, "", "unbound variable"},
		{"", []string{"-xc", "echo a"}, 0, "a\n", "+ echo a"},
		{"", []string{"-c", "nosuchprogram"}, 127, "", "nosuchprogram"},
		{"", []string{"-c", "echo ("}, 2, "", "sh: "},
		{"", []string{"-c"}, 2, "", "usage: "},
		{"", []string{"-q"}, 2, "", "usage: "},
		{"", []string{script, "a", "b"}, 7, script + " 2 b\n", ""},
		{"", []string{"/no/such/script"}, 127, "", "no such file"},
		{"echo one\nif true\nthen echo two\nfi\n", nil, 0, "one\ntwo\n", ""},
		{"echo one\nexit 3\necho no\n", nil, 3, "one\n", ""},
		{"false\n", nil, 1, "", ""},
		{"", nil, 0, "", ""},
		{"echo a\n", []string{"-s"}, 0, "a\n", ""},
		{"echo ${\necho b\n", nil, 2, "", "sh: "},
		{"", []string{"-c", "umask 027; umask"}, 0, "0027\n", ""},
		{"", []string{"-c", "umask 999"}, 1, "", "not a mask"},
		// With programs of the host.
		{"", []string{"-c", "/bin/echo a | /bin/cat; exit 5"}, 5, "a\n", ""},
		{"input", []string{"-c", "/bin/cat"}, 0, "input", ""},
		{"", []string{"-c", "kill -0 $$ && echo alive"}, 0, "alive\n", ""},
		{"", []string{"-c", "x=$(/bin/echo in); echo $x >&2"}, 0, "", "in\n"},
		{"", []string{"-c", "for i in 1 2 3; do echo $i; done | /bin/cat > " + script + ".out; echo $(< " + script + ".out)"}, 0, "1 2 3\n", ""},
		{"", []string{"-c", "/bin/cat << EOF\nhere $((6*7))\nEOF\n"}, 0, "here 42\n", ""},
		{"", []string{"-c", "sleep 0.01 & wait; [ -d / ] && test ! -e /nosuch && echo ok"}, 0, "ok\n", ""},
		{"", []string{"-c", "f() { return 4; }; f"}, 4, "", ""},
	} {
		status, stdout, stderr := sh(t, x.stdin, x.args...)
		if status != x.status || stdout != x.stdout || !strings.Contains(stderr, x.stderr) || x.stderr == "" && stderr != "" {
			t.Errorf("%q < %q: got %d %q %q, want %d %q %q", x.args, x.stdin, status, stdout, stderr, x.status, x.stdout, x.stderr)
		}
	}
}

func TestInteractive(t *testing.T) {
	status, stdout, stderr := sh(t, "echo a\nif\nfi\necho b\nexit 3\n", "-i")
	if !strings.HasPrefix(stdout, "a\n") || !strings.Contains(stderr, "sh: ") || strings.Count(stderr, "# ")+strings.Count(stderr, "$ ") < 2 {
		t.Errorf("got %d %q %q", status, stdout, stderr)
	}
}
