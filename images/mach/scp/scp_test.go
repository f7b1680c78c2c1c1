package scp

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goscp "github.com/bramvdbogaerde/go-scp"
	"golang.org/x/crypto/ssh"

	"hurdlab/images/mach/sshd"
)

// node serves scp over SSH for files, and returns its address and a client's
// key.
func node(t *testing.T, root string) (addr string, key ed25519.PrivateKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sshd.New(sshd.Config{
		HostKey: signer, Authorized: []ssh.PublicKey{signer.PublicKey()}, User: "root", Logf: t.Logf,
		Run: func(_ context.Context, s *sshd.Session) sshd.Exit {
			var args []string
			for _, a := range strings.Fields(s.Command)[1:] {
				args = append(args, strings.Trim(a, `"'`))
			}
			return sshd.Exit{Status: Server{root}.Run(args, s.Stdin, s.Stdout)}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().String(), key
}

func contents(t *testing.T, p string) string {
	t.Helper()
	b, err := os.ReadFile(p)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestGoSCP(t *testing.T) {
	root := t.TempDir()
	addr, key := node(t, root)
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := goscp.NewClient(addr, &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	data := strings.Repeat("program", 300_000)
	if err := c.Copy(ctx, strings.NewReader(data), "/prog", "0755", int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(root + "/prog"); err != nil || i.Mode() != 0o755 {
		t.Errorf("%v, %v", i, err)
	}
	if contents(t, root+"/prog") != data {
		t.Error("the file differs")
	}
	var back bytes.Buffer
	if err := c.CopyFromRemotePassThru(ctx, &back, "/prog", nil); err != nil {
		t.Fatal(err)
	}
	if back.String() != data {
		t.Error("the file differs after its return")
	}
	if err := c.CopyFromRemotePassThru(ctx, io.Discard, "/none", nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing file: %v", err)
	}
	if err := c.Copy(ctx, strings.NewReader("x"), "/none/f", "0644", 1); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing directory: %v", err)
	}
}

// TestOpenSSH copies with the host's own scp.
func TestOpenSSH(t *testing.T) {
	if _, err := exec.LookPath("scp"); err != nil {
		t.Skip("this host has no scp")
	}
	root := t.TempDir()
	addr, key := node(t, root)
	dir := t.TempDir()
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	id := filepath.Join(dir, "id")
	if err := os.WriteFile(id, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(addr)
	scp := func(args ...string) (string, error) {
		common := []string{"-O", "-q", "-P", port, "-i", id, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-F", "none"}
		out, err := exec.Command("scp", append(common, args...)...).CombinedOutput()
		return string(out), err
	}
	remote := func(p string) string { return "root@" + host + ":" + p }

	tree := filepath.Join(dir, "tree")
	when := time.Unix(1_600_000_000, 0)
	for i := range 20 {
		p := filepath.Join(tree, fmt.Sprint("d", i%3), fmt.Sprint("f", i))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, bytes.Repeat([]byte{byte(i)}, 1000*i), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := scp("-r", "-p", tree, remote("/")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if i, err := os.Stat(root + "/tree/d1/f7"); err != nil || i.Size() != 7000 || i.Mode() != 0o640 || !i.ModTime().Equal(when) {
		t.Errorf("%v, %v", i, err)
	}
	back := filepath.Join(dir, "back")
	if out, err := scp("-r", "-p", remote("/tree"), back); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command("diff", "-r", tree, back).CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
	if i, err := os.Stat(filepath.Join(back, "d1/f7")); err != nil || !i.ModTime().Equal(when) {
		t.Errorf("%v, %v", i, err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{remote("/none"), dir}, "no such file"},
		{[]string{remote("/tree"), dir}, "not a regular file"},
		{[]string{tree + "/d1/f7", remote("/none/f")}, "no such file"},
		{[]string{"-r", tree, remote("/tree/d1/f7")}, "not a directory"},
	} {
		if out, err := scp(tt.args...); err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("scp %q: %v, %q", tt.args, err, out)
		}
	}
}

// A program is replaced by another file, at once and only when that is complete: who runs
// it, through a link too, keeps the old one. Other files are written in place.
func TestRunningProgram(t *testing.T) {
	root := t.TempDir()
	for name, mode := range map[string]os.FileMode{"prog": 0o755, "data": 0o644} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("old"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("prog", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	copy := func(to, script string) int {
		return Server{root}.Run([]string{"-t", "/" + to}, strings.NewReader(script), io.Discard)
	}
	for _, c := range []struct {
		to, script         string
		status             int
		old, now, complete string // what who has the old file sees, what its name has
	}{
		{"prog", "C0755 3 x\nnew\x00", 0, "old", "new", "0755"},
		{"link", "C0700 5 x\nnewer\x00", 0, "new", "newer", "0700"},
		{"prog", "C0755 9 x\nhalf", 1, "newer", "newer", "0700"},
		{"prog", "C0755 4 x\nfull\x02gone\n", 1, "newer", "newer", "0700"},
		{"data", "C0644 3 x\nnew\x00", 0, "new", "new", "0644"},
	} {
		name := filepath.Join(root, strings.Replace(c.to, "link", "prog", 1))
		running, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if status := copy(c.to, c.script); status != c.status {
			t.Errorf("%s %q: status %d", c.to, c.script, status)
		}
		if b, err := io.ReadAll(running); string(b) != c.old || err != nil {
			t.Errorf("%s %q: who runs it has %q, %v; want %q", c.to, c.script, b, err, c.old)
		}
		running.Close()
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, name); got != c.now || fmt.Sprintf("%04o", info.Mode()) != c.complete {
			t.Errorf("%s %q: it is %q, %v; want %q, %s", c.to, c.script, got, info.Mode(), c.now, c.complete)
		}
	}
	if list, err := os.ReadDir(root); len(list) != 3 || err != nil {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestHostileClient(t *testing.T) {
	for in, want := range map[string]string{
		"C0644 5 ../x\nhello\x00":     "unexpected file name",
		"C0644 5 a/b\nhello\x00":      "unexpected file name",
		"C0644 -5 a\n":                "protocol error",
		"C0644 99999999999 a\nx":      "has gone",
		"C0644 5 a\nhel":              "has gone",
		"D0755 0 d\nE\n":              "without -r",
		"E\n":                         "end of no directory",
		"\n":                          "empty line",
		"X\n":                         "protocol error",
		"T1 2\n":                      "times",
		strings.Repeat("C", 5000):     "line too long",
		"\x02lost\n":                  "lost",
		"C0644 5 f\nhello\x01oops\n":  "",
		"C0644 5 f\nhello\x02worse\n": "worse",
	} {
		root := t.TempDir()
		var out bytes.Buffer
		if status := (Server{root}).Run([]string{"-t", "/"}, strings.NewReader(in), &out); status != 1 || !strings.Contains(out.String(), want) {
			t.Errorf("%.30q: status %d, %q; want %q", in, status, out.String(), want)
		}
		if _, err := os.Stat(root + "/a"); err == nil {
			t.Errorf("%.30q: left a file", in)
		}
	}
	for _, args := range [][]string{{"-t"}, {"-f"}, {"-t", "a", "b"}, {"a", "b"}, {"-z"}} {
		if status := (Server{t.TempDir()}).Run(args, strings.NewReader("\x00"), io.Discard); status == 0 {
			t.Errorf("scp %q succeeded", args)
		}
	}
}

// TestUnreadable sends a tree of which a file cannot be read, and receives
// what cannot be written: the rest is copied.
func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Log("root can read everything: only what is no file is left out")
	}
	root := t.TempDir()
	for name, mode := range map[string]os.FileMode{"a": 0, "b": 0o644} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(root, "c")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := (Server{root}).Run([]string{"-r", "-f", "/"}, strings.NewReader(strings.Repeat("\x00", 20)), &out); status != 1 {
		t.Errorf("status %d", status)
	}
	if s := out.String(); !strings.Contains(s, "C0644 1 b\nb\x00") || !strings.Contains(s, "scp: /c: no such file") {
		t.Errorf("%q", s)
	}
}

// FuzzSink sends anything as a client: nothing is written elsewhere.
func FuzzSink(f *testing.F) {
	for _, s := range []string{"C0644 5 f\nhello\x00", "T1 0 2 0\nD0755 0 d\nC0600 0 x\n\x00E\n", "C0644 1 ..\nx\x00", "\x01w\n\x02e\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		dir := t.TempDir()
		root := filepath.Join(dir, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		(Server{root}).Run([]string{"-r", "-p", "-t", "/"}, bytes.NewReader(in), io.Discard)
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
			t.Errorf("%v, %v", list, err)
		}
		// What was made may have modes that keep t.TempDir from cleaning up.
		filepath.WalkDir(root, func(p string, e os.DirEntry, err error) error {
			if e != nil && e.IsDir() {
				os.Chmod(p, 0o755)
			}
			return nil
		})
	})
}
