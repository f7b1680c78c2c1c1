package shell

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"hurdlab/images/mach/bootfs"
	proc "hurdlab/images/mach/bootproc"
	"hurdlab/images/mach/ports/portstest"
	"hurdlab/images/mach/sshd"
	"hurdlab/images/mach/store"
)

func newShell(t *testing.T) *Shell {
	files := store.New(store.Heap{}, 1<<20)
	x := new(portstest.Exporter)
	if err := files.WriteFile("/f", []byte("contents\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := files.MkdirAll("/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := files.WriteFile("/bin/script", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Shell{Name: "node1", Files: files, Root: bootfs.New(files, x, nil), Procs: proc.NewTable(proc.Mach{}, x), Export: x}
}

// run runs a command and returns its output and its errors.
func run(sh *Shell, command, stdin string) (out, errs string, e sshd.Exit) {
	var o, er bytes.Buffer
	e = sh.Run(context.Background(), &sshd.Session{Command: command, Stdin: strings.NewReader(stdin), Stdout: &o, Stderr: &er})
	return o.String(), er.String(), e
}

func TestCommands(t *testing.T) {
	sh := newShell(t)
	// In order: each may build on those before.
	for _, tt := range []struct {
		command, stdin string
		out, errs      string // errs: a part of it
		status         int
	}{
		{"true", "", "", "", 0},
		{"false", "", "", "", 1},
		{"echo a  'b  c'", "", "a b  c\n", "", 0},
		{"cat f", "", "contents\n", "", 0},
		{"cat", "input", "input", "", 0},
		{"cat /none", "", "", "not exist", 1},
		{"mkdir d", "", "", "", 0},
		{"mkdir d", "", "", "exist", 1},
		{"mkdir -p d/e/f", "", "", "", 0},
		{"mv f d", "", "", "", 0},
		{"ls d", "", "e\nf\n", "", 0},
		{"ls d/f", "", "d/f\n", "", 0},
		{"ls -x", "", "", "no option -x", 1},
		{"chmod 755 d/f", "", "", "", 0},
		{"chmod u+s d/f", "", "", "octal", 1},
		{"rm d", "", "", "use -r", 1},
		{"rm -r d", "", "", "", 0},
		{"rm d", "", "", "not exist", 1},
		{"rm -f d", "", "", "", 0},
		{"kill 9999", "", "", "no process 9999", 1},
		{"kill -NONSENSE 1", "", "", "no signal", 1},
		{"ping", "", "", "usage", 1},
		{"ping nobody", "", "", "neither", 1},
		{"ping -c x 127.0.0.1", "", "", "not a number", 1},
		{"nope", "", "", "no such command", 127},
		{"/none/x", "", "", "no such command", 127},
		{"/bin", "", "", "is a directory", 126},
		{"script", "", "", "no ELF", 126},
		{"A=b B=c", "", "", "", 0},
		{"echo a | cat", "", "", "no shell", 2},
		{"", "echo 1\ncat\n\nexit\necho 2\n", "1\n", "node1# node1# node1# ", 0},
		{"", "false\n", "", "node1# ", 1},
		{"scp -t /up", "C0644 2 f\nhi\x00", "\x00\x00\x00", "", 0},
		{"cat /up", "", "hi", "", 0},
	} {
		out, errs, e := run(sh, tt.command, tt.stdin)
		if out != tt.out || !strings.Contains(errs, tt.errs) || (tt.errs == "") != (errs == "") || e.Status != tt.status {
			t.Errorf("%q: got %q, %q, %+v; want %q, %q, %d", tt.command, out, errs, e, tt.out, tt.errs, tt.status)
		}
	}
	if out, _, e := run(sh, "help", ""); e.Status != 0 || !strings.Contains(out, "ping [-c COUNT]") {
		t.Errorf("help: %q", out)
	}
}

func TestNotExecutable(t *testing.T) {
	if _, errs, e := run(newShell(t), "/f", ""); e.Status != 126 || !strings.Contains(errs, "chmod") {
		t.Errorf("%q, %+v", errs, e)
	}
}

// TestNothingExportedForNothing: a command that is not there makes no ports.
func TestNothingExportedForNothing(t *testing.T) {
	sh := newShell(t)
	run(sh, "nope", "")
	if n := sh.Export.(*portstest.Exporter).Len(); n != 0 {
		t.Errorf("%d ports", n)
	}
}

func TestSignalEndsCommand(t *testing.T) {
	sh := newShell(t)
	signals := make(chan string, 1)
	pr, pw := io.Pipe()
	defer pw.Close()
	signals <- "INT"
	e := sh.Run(context.Background(), &sshd.Session{Command: "cat", Stdin: pr, Stdout: io.Discard, Stderr: io.Discard, Signals: signals})
	if e.Signal != "INT" {
		t.Errorf("%+v", e)
	}
}

func TestDedupe(t *testing.T) {
	got := strings.Join(dedupe([]string{"A=1", "B=2", "A=3"}), " ")
	if got != "B=2 A=3" {
		t.Errorf("got %q", got)
	}
}
