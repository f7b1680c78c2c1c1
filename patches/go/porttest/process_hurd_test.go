package porttest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests need a Hurd, or a node that has its servers. The test binary
// plays the programs that they start: PORTTEST_DO says what to do.

func TestMain(m *testing.M) {
	what := os.Getenv("PORTTEST_DO")
	if what == "" {
		os.Exit(m.Run())
	}
	if err := child(what); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func child(what string) error {
	switch what {
	case "nothing":
	case "wait":
		io.Copy(io.Discard, os.Stdin)
	case "crash":
		var p *int
		*p = 1
	case "crash to a file":
		f, err := os.Create(os.Args[len(os.Args)-1])
		if err != nil {
			return err
		}
		if err := debug.SetCrashOutput(f, debug.CrashOptions{}); err != nil {
			return err
		}
		return child("crash")
	case "whoami":
		groups, err := os.Getgroups()
		fmt.Println(os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid(), groups)
		return err
	case "become":
		err := errors.Join(syscall.Setgroups([]int{1002}), syscall.Setgid(1001), syscall.Setuid(1000))
		if err != nil {
			return err
		}
		if err := syscall.Setuid(0); err == nil {
			return errors.New("became root again")
		}
		if err := child("whoami"); err != nil {
			return err
		}
		_, err = os.ReadFile(os.Args[len(os.Args)-1])
		fmt.Println(errors.Is(err, os.ErrPermission))
	case "read":
		b, err := os.ReadFile(os.Args[len(os.Args)-1])
		fmt.Printf("%s", b)
		return err
	case "where":
		wd, err := syscall.Getwd()
		if err != nil {
			return err
		}
		names, err := filepath.Glob("/*")
		fmt.Println(wd, names)
		return err
	case "lock":
		f, err := os.OpenFile(os.Args[len(os.Args)-1], os.O_RDWR, 0)
		if err != nil {
			return err
		}
		fmt.Println(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	default:
		return fmt.Errorf("cannot do %q", what)
	}
	return nil
}

// process prepares this binary to run as a child that does something.
func process(t *testing.T, what string, args ...string) *exec.Cmd {
	t.Helper()
	if syscall.HurdStart() == nil {
		t.Skip("not a process of a Hurd")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "PORTTEST_DO="+what)
	return cmd
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestProcessesLeaveNothing starts and reaps programs.
func TestProcessesLeaveNothing(t *testing.T) {
	run := func(n int) {
		for range n {
			if out, err := process(t, "nothing").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
	run(3)
	before := ports(t)
	start := time.Now()
	run(30)
	t.Logf("%v each", time.Since(start)/30)
	if after := ports(t); after > before+10 {
		t.Errorf("%d ports before, %d after 30 processes", before, after)
	}
}

func TestProcessEnds(t *testing.T) {
	cmd := process(t, "crash")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !bytes.Contains(out, []byte("nil pointer dereference")) {
		t.Errorf("a crash: %v\n%s", err, out)
	}
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT} {
		cmd := process(t, "wait")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
		err = cmd.Wait()
		in.Close()
		if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() || exit.Sys().(syscall.WaitStatus).Signal() != sig {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

// TestProcessStops stops a process and lets it go on. The process is stopped while it starts: at
// another place each time, with threads that are just made.
func TestProcessStops(t *testing.T) {
	for range 10 {
		stopProcess(t)
	}
}

func stopProcess(t *testing.T) {
	cmd := process(t, "wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() || status.StopSignal() != syscall.SIGSTOP {
		t.Fatalf("stopped: status %#x, %v", uint32(status), err)
	}
	in.Close()
	if n, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WNOHANG, nil); n != 0 || err != nil {
		t.Errorf("while it is stopped: process %d, %v", n, err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after it went on: %v", err)
	}
}

// TestCredential starts programs as somebody else.
func TestCredential(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may")
	}
	as := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1001, Groups: []uint32{1002, 1003}}}
		return cmd
	}
	if got, want := output(t, as(process(t, "whoami"))), "1000 1000 1001 1001 [1001 1002 1003]"; got != want {
		t.Errorf("is %q, want %q", got, want)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := output(t, process(t, "become", secret)), "1000 1000 1001 1001 [1001 1002]\ntrue"; got != want {
		t.Errorf("became %q, want %q", got, want)
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		mode os.FileMode
		uid  int
		may  bool
	}{
		"secret": {0o600, 0, false},
		"public": {0o644, 0, true},
		"own":    {0o400, 1000, true},
		"denied": {0o044, 1000, false},
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(file, []byte(name), 0o600), os.Chmod(file, c.mode), os.Chown(file, c.uid, 0)); err != nil {
			t.Fatal(err)
		}
		out, err := as(process(t, "read", file)).CombinedOutput()
		if may := err == nil && string(out) == name; may != c.may {
			t.Errorf("%s: read %q, %v", name, out, err)
		}
	}
}

func TestChroot(t *testing.T) {
	root := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := process(t, "where")
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(root, "sub"), 0o755), os.WriteFile(filepath.Join(root, "prog"), data, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd.Path = "/prog"
	cmd.Dir = "/sub"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if got, want := output(t, cmd), "/sub [/prog /sub]"; got != want {
		t.Errorf("sees %q, want %q", got, want)
	}
}

func TestLocks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := func() string { return output(t, process(t, "lock", file)) }
	if got := lock(); got != "<nil>" {
		t.Errorf("a lock that nobody has: %s", got)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	if got := lock(); got != syscall.EAGAIN.Error() {
		t.Errorf("a lock that somebody has: %s", got)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if got := lock(); got != "<nil>" {
		t.Errorf("a lock that was given up: %s", got)
	}
}

// TestMappedFile compares a mapping with reads and writes.
func TestMappedFile(t *testing.T) {
	if syscall.HurdStart() == nil {
		t.Skip("not a process of a Hurd")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := bytes.Repeat([]byte("0123456789abcdef"), 3*page/16)
	if _, err := f.Write(want); err != nil {
		t.Fatal(err)
	}
	private, err := syscall.Mmap(int(f.Fd()), page, 2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(private)
	if !bytes.Equal(private, want[page:]) {
		t.Error("a private mapping differs from what was written")
	}
	private[0] = 'P'
	shared, err := syscall.Mmap(int(f.Fd()), 0, len(want), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(shared)
	if !bytes.Equal(shared, want) {
		t.Error("a shared mapping differs from what was written")
	}
	shared[page+1] = 'S'
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	want[page+1] = 'S'
	if !bytes.Equal(got, want) {
		t.Error("a read does not see what was written to a shared mapping")
	}
	if _, err := syscall.Mmap(int(f.Fd()), 0, page, syscall.PROT_READ, 999<<20|syscall.MAP_FIXED); err == nil {
		t.Error("mapped at a fixed address")
	}
}

func TestLinks(t *testing.T) {
	if syscall.HurdStart() == nil {
		t.Skip("not a process of a Hurd")
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(link); got != "target" || err != nil {
		t.Errorf("the link says %q, %v", got, err)
	}
	if err := os.Symlink("other", link); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second link of that name: %v", err)
	}
	if err := os.WriteFile(link, []byte("through"), 0o644); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "target")); string(b) != "through" || err != nil {
		t.Errorf("the target has %q, %v", b, err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(fifo); err != nil || info.Mode() != os.ModeNamedPipe|0o600 {
		t.Errorf("a fifo is %v, %v", info.Mode(), err)
	}
	go func() {
		f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(f, "through the fifo")
		f.Close()
	}()
	if b, err := os.ReadFile(fifo); string(b) != "through the fifo" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	long := strings.Repeat("../"+filepath.Base(dir)+"/", 200)
	if b, err := os.ReadFile(dir + "/" + long + "target"); string(b) != "through" || err != nil {
		t.Errorf("by a long path: %q, %v", b, err)
	}
}

// A name that ends in a slash is a directory's.
func TestNameWithSlash(t *testing.T) {
	if syscall.HurdStart() == nil {
		t.Skip("not a process of a Hurd")
	}
	dir := t.TempDir()
	file, name := filepath.Join(dir, "file"), filepath.Join(dir, "new")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Rename(file, name+"/"); err != syscall.ENOTDIR {
		t.Errorf("rename of a file: %v", err)
	}
	if err := syscall.Link(file, name+"/"); err != syscall.ENOENT {
		t.Errorf("link: %v", err)
	}
	if _, err := os.Lstat(name); err == nil {
		t.Error("there is a file of that name now")
	}
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Rename(sub, name+"/"); err != nil {
		t.Errorf("rename of a directory: %v", err)
	}
}

// Who receives a local datagram can answer.
func TestLocalDatagram(t *testing.T) {
	if syscall.HurdStart() == nil {
		t.Skip("not a process of a Hurd")
	}
	dir := t.TempDir()
	var conns [2]*net.UnixConn
	for i, name := range []string{"a", "b"} {
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		conns[i] = c
	}
	if _, err := conns[0].WriteTo([]byte("question"), conns[1].LocalAddr()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, from, err := conns[1].ReadFrom(buf)
	if err != nil || string(buf[:n]) != "question" || from.String() != conns[0].LocalAddr().String() {
		t.Fatalf("received %q from %v, %v", buf[:n], from, err)
	}
	if _, err := conns[1].WriteTo([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	if n, _, err := conns[0].ReadFrom(buf); err != nil || string(buf[:n]) != "answer" {
		t.Errorf("received %q, %v", buf[:n], err)
	}
}

// The runtime knows the descriptors that package syscall has made.
func TestCrashOutput(t *testing.T) {
	if syscall.HurdStart() == nil {
		t.Skip("not a process of a Hurd")
	}
	name := filepath.Join(t.TempDir(), "crash")
	cmd := process(t, "crash to a file", name)
	if err := cmd.Run(); err == nil {
		t.Fatal("it did not crash")
	}
	if b, err := os.ReadFile(name); err != nil || !bytes.Contains(b, []byte("nil pointer dereference")) {
		t.Errorf("the crash left %q, %v", b, err)
	}
}

func TestCPUProfile(t *testing.T) {
	var profile bytes.Buffer
	for total := time.Duration(0); total < time.Minute; {
		profile.Reset()
		if err := pprof.StartCPUProfile(&profile); err != nil {
			t.Fatal(err)
		}
		n := 0
		for start := time.Now(); time.Since(start) < 300*time.Millisecond; {
			n += profiledByTest(n)
		}
		pprof.StopCPUProfile()
		total += 300 * time.Millisecond
		r, err := gzip.NewReader(&profile)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil {
			t.Fatal(err)
		} else if bytes.Contains(b, []byte("profiledByTest")) { // in the table of names
			return
		}
	}
	t.Error("the profile does not have the function that ran")
}

//go:noinline
func profiledByTest(n int) int {
	for i := range 100000 {
		n += i * n
	}
	return n
}
