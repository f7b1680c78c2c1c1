package lab

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"hurdlab/lab/api"
	"hurdlab/lab/labtest"
	"hurdlab/lab/problem"
	"hurdlab/lab/state"
)

func TestMain(m *testing.M) {
	labtest.RunMachine()
	RunDaemon()
	if root := os.Getenv("LAB_TEST_UP"); root != "" {
		upMain(root, os.Getenv("LAB_TEST_BEHAVES"))
	}
	os.Exit(m.Run())
}

// testSpec is a lab of n machines without an emulator.
func testSpec(t *testing.T, n int) Spec {
	t.Helper()
	return specAt(t.TempDir(), n, "")
}

func specAt(root string, n int, behaves string) Spec {
	return Spec{
		Name: "t", Nodes: n, Image: &labtest.Image{Behaves: map[string]string{"": behaves}}, Accel: "tcg",
		Dirs: state.Dirs{State: root + "/state", Cache: root + "/cache"},
	}
}

// testUp starts a lab and takes it down at the end of the test.
func testUp(t *testing.T, spec Spec) *Lab {
	t.Helper()
	l, err := Up(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Down(context.Background()) })
	return l
}

// processes returns descriptors of the lab's daemon and machines.
func processes(t *testing.T, l *Lab) (daemon int, machines []int) {
	t.Helper()
	s, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open := func(pid int) int {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("process %d: %v", pid, err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	// Not the PIDs of the status: those of a boot come a moment later than
	// the machines.
	for _, pid := range children(t, s.PID) {
		machines = append(machines, open(pid))
	}
	return open(s.PID), machines
}

// children are the processes that a process has started, in that order.
func children(t *testing.T, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range tasks {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		for _, f := range strings.Fields(string(b)) {
			child, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, child)
		}
	}
	slices.Sort(pids)
	return pids
}

// mustEnd waits until a process has ended.
func mustEnd(t *testing.T, what string, pidfd int) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 20_000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
			t.Errorf("%s is still there (%v)", what, err)
		}
		return
	}
}

// sockets are the sockets with names in the abstract name space that contain
// hurdlab, of all processes.
func socketLeft(t *testing.T, name string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), name)
}

// mustAdvise checks an error: that it mentions some words, and has advice that
// mentions others.
func mustAdvise(t *testing.T, err error, what, advice string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), what) {
		t.Errorf("error %v, want one with %q", err, what)
	}
	if a := problem.Advice(err); !strings.Contains(a, advice) || a == "" {
		t.Errorf("advice %q, want some with %q", a, advice)
	}
}

func TestUpAndDown(t *testing.T) {
	spec := testSpec(t, 2)
	l := testUp(t, spec)
	s, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.State != state.LabUp || s.Seed == 0 || len(s.Nodes) != 2 {
		t.Errorf("status %+v", s)
	}
	for i, n := range s.Nodes {
		if n.State != api.Up || n.Name != nodeName(i) || n.BootTime <= 0 || n.PID == 0 || n.Stage != "ssh" {
			t.Errorf("node %+v", n)
		}
		r, err := l.Node(n.Name).Run(t.Context(), "hostname")
		if err != nil || r.Stdout != n.Name+"\n" {
			t.Errorf("hostname of %s: %+v, %v", n.Name, r, err)
		}
	}
	again, err := Open(spec.Dirs, "t")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Status(t.Context()); err != nil {
		t.Error(err)
	}
	daemon, machines := processes(t, l)
	d, err := l.dir.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	if !socketLeft(t, d.Socket) {
		t.Errorf("the daemon's socket %s is not listed; the test below is worth nothing", d.Socket)
	}
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, "the daemon", daemon)
	for _, m := range machines {
		mustEnd(t, "a machine", m)
	}
	if socketLeft(t, d.Socket) {
		t.Error("the daemon's socket is left")
	}
	if _, err := os.Stat(l.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory is left: %v", err)
	}
	_, err = Open(spec.Dirs, "t")
	mustAdvise(t, err, "no lab called", "hurdlab up")
	_, err = Down(t.Context(), spec.Dirs, "t")
	mustAdvise(t, err, "no lab called", "hurdlab up")
}

func TestBadSpecs(t *testing.T) {
	for _, c := range []struct {
		change func(*Spec)
		what   string
		advice string
	}{
		{func(s *Spec) { s.Nodes = 0 }, "0 nodes", "1 to 64"},
		{func(s *Spec) { s.Nodes = -1 }, "-1 nodes", "1 to 64"},
		{func(s *Spec) { s.Nodes = 1000 }, "1000 nodes", "1 to 64"},
		{func(s *Spec) { s.MemoryMB = -5 }, "-5 MB", "--memory"},
		{func(s *Spec) { s.MemoryMB = 1 << 30 }, "available", "fewer nodes"},
		{func(s *Spec) { s.Name = "../x" }, "../x", "letters"},
		{func(s *Spec) { s.Accel = "warp" }, "warp", "tcg"},
	} {
		spec := testSpec(t, 2)
		c.change(&spec)
		_, err := Up(t.Context(), spec)
		mustAdvise(t, err, c.what, c.advice)
		if names, _ := spec.Dirs.Labs(); len(names) > 0 {
			t.Errorf("%s: the labs %q are left", c.what, names)
		}
	}
}

func TestNameIsTaken(t *testing.T) {
	spec := testSpec(t, 1)
	l := testUp(t, spec)
	_, err := Up(t.Context(), spec)
	mustAdvise(t, err, `"t" is up already`, "hurdlab down")
	if _, err := l.Status(t.Context()); err != nil {
		t.Errorf("the first lab has suffered: %v", err)
	}
	spec.Name = "other"
	other := testUp(t, spec)
	if _, err := other.Node("node1").Run(t.Context(), "true"); err != nil {
		t.Error(err)
	}
}

func TestPrepareFails(t *testing.T) {
	spec := testSpec(t, 1)
	why := errors.New("no such kernel")
	spec.Image = &labtest.Image{PrepareErr: why}
	if _, err := Up(t.Context(), spec); !errors.Is(err, why) {
		t.Errorf("Up = %v", err)
	}
	if names, _ := spec.Dirs.Labs(); len(names) > 0 {
		t.Errorf("labs %q are left", names)
	}
}

// TestBootFails has one node of two that does not come up.
func TestBootFails(t *testing.T) {
	for behaves, want := range map[string]string{
		labtest.Panics:  "panicked while it booted: panic ../kern/labtest.c:1: boot: asked to",
		labtest.Exits:   "labtest: asked to exit",
		labtest.Refuses: "I refuse",
		labtest.Hangs:   `after the stage "kernel" (it has no init)`,
	} {
		t.Run(behaves, func(t *testing.T) {
			spec := testSpec(t, 2)
			spec.Image = &labtest.Image{Behaves: map[string]string{"node2": behaves}}
			if behaves == labtest.Hangs {
				spec.BootTimeout = 3 * time.Second // node1 has to come up in it, however busy the host is
			}
			_, err := Up(t.Context(), spec)
			mustAdvise(t, err, want, "/.bundles/")
			if !strings.Contains(err.Error(), "node2") {
				t.Errorf("error %v does not say which node", err)
			}
			dir, _ := spec.Dirs.Lab("t")
			if c, _ := dir.Condition(); c != state.Ended {
				t.Errorf("condition %v, want ended", c)
			}
			files, _ := filepath.Glob(spec.Dirs.Bundles() + "/*")
			if len(files) != 1 {
				t.Fatalf("bundles %q", files)
			}
			contents := unpack(t, files[0])
			if behaves == labtest.Panics && !strings.Contains(contents["README.txt"], "panic ../kern") {
				t.Errorf("the bundle's README does not mention the panic:\n%s", contents["README.txt"])
			}
			if _, ok := contents["node2/console.log"]; !ok {
				t.Errorf("the bundle lacks the console")
			}
			_, err = Open(spec.Dirs, "t")
			mustAdvise(t, err, want, "hurdlab up")

			// The name is free again.
			spec.Image = &labtest.Image{}
			testUp(t, spec)
		})
	}
}

// unpack reads a bundle.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	contents := make(map[string]string)
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return contents
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		contents[name] = string(b)
	}
}

func TestUpIsInterrupted(t *testing.T) {
	for _, behaves := range []string{labtest.Hangs, labtest.Mute} {
		spec := specAt(t.TempDir(), 2, behaves)
		ctx, cancel := context.WithCancel(t.Context())
		spec.Watch = func(e state.Event) {
			if e.Kind == state.KindNode && e.State == string(api.Booting) {
				cancel()
			}
		}
		if _, err := Up(ctx, spec); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Up = %v", behaves, err)
		}
		dir, _ := spec.Dirs.Lab("t")
		if c, err := dir.Condition(); c != state.Absent || err != nil {
			t.Errorf("%s: condition %v, %v; want absent", behaves, c, err)
		}
	}
}

// upMain is a program that starts a leashed lab, says "booting" when its
// machines run and "up" when it is up, and waits to be killed.
func upMain(root, behaves string) {
	spec := specAt(root, 2, behaves)
	spec.Leashed = true
	var once sync.Once
	spec.Watch = func(e state.Event) {
		if e.Kind == state.KindStep && e.Text == "kernel" {
			once.Do(func() { fmt.Println("booting") })
		}
	}
	if _, err := Up(context.Background(), spec); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("up")
	select {}
}

// TestUpIsKilled kills the program that starts a lab while the nodes boot, and
// one that has a lab on a leash, in the way that leaves it no time for
// anything.
func TestUpIsKilled(t *testing.T) {
	for behaves, when := range map[string]string{labtest.Hangs: "booting", "": "up"} {
		t.Run(when, func(t *testing.T) {
			root := t.TempDir()
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), "LAB_TEST_UP="+root, "LAB_TEST_BEHAVES="+behaves)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for s := bufio.NewScanner(out); s.Text() != when; {
				if !s.Scan() {
					t.Fatalf("the program ended before it said %q", when)
				}
			}
			dirs := specAt(root, 1, "").Dirs
			l, err := Open(dirs, "t")
			if err != nil {
				t.Fatal(err)
			}
			daemon, machines := processes(t, l)
			if len(machines) == 0 {
				t.Error("no machine runs; the test is worth nothing")
			}
			cmd.Process.Kill()
			cmd.Wait()
			mustEnd(t, "the daemon", daemon)
			for _, m := range machines {
				mustEnd(t, "a machine", m)
			}
			_, err = Open(dirs, "t")
			mustAdvise(t, err, "the command that started it ended", "hurdlab up")
		})
	}
}

func TestDaemonIsKilled(t *testing.T) {
	spec := testSpec(t, 2)
	l := testUp(t, spec)
	d, err := l.dir.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	daemon, machines := processes(t, l)
	if err := unix.PidfdSendSignal(daemon, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, "the daemon", daemon)
	for _, m := range machines {
		mustEnd(t, "a machine", m)
	}
	if socketLeft(t, d.Socket) {
		t.Error("the daemon's socket is left")
	}
	_, err = Open(spec.Dirs, "t")
	mustAdvise(t, err, "died without shutting down", "hurdlab up")
	if !strings.Contains(err.Error(), fmt.Sprint(d.PID)) {
		t.Errorf("%v does not name process %d", err, d.PID)
	}
	if b, err := ReadConsole(spec.Dirs, "t", "node1"); err != nil || !strings.Contains(string(b), labtest.MarkReady) {
		t.Errorf("the console is lost: %q, %v", b, err)
	}
	if _, err := Bundle(t.Context(), spec.Dirs, "t", t.TempDir()); err != nil {
		t.Error(err)
	}
	var notes []string
	spec.Watch = func(e state.Event) { notes = append(notes, e.Text) }
	l = testUp(t, spec)
	if s := strings.Join(notes, "\n"); !strings.Contains(s, "died without shutting down") {
		t.Errorf("the next start does not tell what happened: %s", s)
	}
	daemon, _ = processes(t, l)
	unix.PidfdSendSignal(daemon, unix.SIGKILL, nil, 0)
	mustEnd(t, "the daemon", daemon)
	became, err := Down(t.Context(), spec.Dirs, "t")
	if err != nil || !strings.Contains(became, "died without shutting down") {
		t.Errorf("Down = %q, %v", became, err)
	}
}

func TestForceEnd(t *testing.T) {
	for _, c := range []struct {
		endsAfter time.Duration
		want      []os.Signal
	}{
		{0, nil},
		{goneTime - 1, nil},
		{goneTime + 1, []os.Signal{syscall.SIGQUIT}},
		{time.Hour, []os.Signal{syscall.SIGQUIT, syscall.SIGKILL}},
	} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan struct{})
			time.AfterFunc(c.endsAfter, func() { close(ended) })
			var got []os.Signal
			killed := forceEnd(func(s os.Signal) error {
				got = append(got, s)
				return nil
			}, ended)
			if killed != (len(c.want) > 0) || !slices.Equal(got, c.want) {
				t.Errorf("a process that takes %v: killed %v by %v, want %v", c.endsAfter, killed, got, c.want)
			}
		})
	}
}

func TestDaemonGetsSignal(t *testing.T) {
	spec := testSpec(t, 1)
	l := testUp(t, spec)
	daemon, machines := processes(t, l)
	if err := unix.PidfdSendSignal(daemon, unix.SIGTERM, nil, 0); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, "the daemon", daemon)
	mustEnd(t, "the machine", machines[0])
	_, err := Open(spec.Dirs, "t")
	mustAdvise(t, err, "got the signal terminated", "hurdlab up")
}

func TestStateDirectoryIsDeleted(t *testing.T) {
	l := testUp(t, testSpec(t, 1))
	daemon, machines := processes(t, l)
	if err := os.RemoveAll(l.Dir()); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, "the daemon", daemon)
	mustEnd(t, "the machine", machines[0])
	if _, err := os.Stat(l.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is back: %v", err)
	}
}

func TestMachineIsKilled(t *testing.T) {
	l := testUp(t, testSpec(t, 2))
	n := l.Node("node2")
	if _, err := n.Run(t.Context(), "true"); err != nil { // it was logged in to
		t.Fatal(err)
	}
	s, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s, err = n.WaitState(t.Context(), api.Dead)
	if err != nil || !strings.Contains(s.Why, "killed by signal 9") {
		t.Fatalf("status %+v, %v", s, err)
	}
	_, err = n.Run(t.Context(), "true")
	mustAdvise(t, err, "node2 is dead: QEMU was killed by signal 9", "hurdlab start node2")
	if _, err := l.Node("node1").Run(t.Context(), "true"); err != nil {
		t.Errorf("the other node has suffered: %v", err)
	}
	if err := n.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := n.Run(t.Context(), "hostname"); err != nil || r.Stdout != "node2\n" {
		t.Errorf("after the boot: %+v, %v", r, err)
	}
	b, err := n.Console()
	if err != nil || strings.Count(string(b), labtest.MarkReady) != 2 || !strings.Contains(string(b), "[hurdlab: boot 2 at ") {
		t.Errorf("console %q, %v; want both boots", b, err)
	}
}

func TestPowerSwitch(t *testing.T) {
	l := testUp(t, testSpec(t, 1))
	n := l.Node("node1")
	mustAdvise(t, n.Boot(t.Context()), "up already", "restart")
	if err := n.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := n.Status(t.Context())
	if err != nil || s.State != api.Off || s.PID != 0 || !strings.Contains(s.Why, "power was cut") {
		t.Errorf("status %+v, %v", s, err)
	}
	mustAdvise(t, n.Kill(t.Context()), "not running", "hurdlab start")
	if err := n.Restart(t.Context()); err != nil { // from off
		t.Fatal(err)
	}
	if err := n.Restart(t.Context()); err != nil { // from up
		t.Fatal(err)
	}
	if s, err := n.Status(t.Context()); err != nil || s.State != api.Up || s.Boots != 3 {
		t.Errorf("status %+v, %v", s, err)
	}
}

func TestGuestCrashes(t *testing.T) {
	l := testUp(t, testSpec(t, 1))
	n := l.Node("node1")
	if _, err := n.Run(t.Context(), "crash"); err == nil {
		t.Error("the command that crashed the node is said to have ended well")
	}
	s, err := n.WaitState(t.Context(), api.Dead)
	if err != nil || !strings.Contains(s.Why, "the guest rebooted") || !strings.Contains(s.Why, "panic ../kern") {
		t.Errorf("status %+v, %v", s, err)
	}
}

func TestGuestPanics(t *testing.T) {
	l := testUp(t, testSpec(t, 1))
	n := l.Node("node1")
	ended := make(chan error, 1)
	go func() {
		_, err := n.Run(t.Context(), "panic")
		ended <- err
	}()
	s, err := n.WaitState(t.Context(), api.Panicked)
	if err != nil || !strings.Contains(s.Why, "panic ../kern") || s.PID == 0 {
		t.Errorf("status %+v, %v", s, err)
	}
	if err := <-ended; err == nil {
		t.Error("the command that stopped the node is said to have ended well")
	}
	_, err = n.Run(t.Context(), "true")
	mustAdvise(t, err, "node1 is panicked", "hurdlab restart node1")
	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := l.CheckConsoles(nil)
	if err != nil || len(found) != 1 || found[0].Kind != "kernel panic" || found[0].Node != "node1" {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestCheckConsoles(t *testing.T) {
	l := testUp(t, testSpec(t, 2))
	if found, err := l.CheckConsoles(nil); err != nil || len(found) != 0 {
		t.Errorf("after the boot: %+v, %v", found, err)
	}
	grumble := func(what string) {
		t.Helper()
		if _, err := l.Node("node2").Run(t.Context(), "grumble", what); err != nil {
			t.Fatal(err)
		}
		if err := l.Node("node2").WaitConsole(t.Context(), 0, regexp.MustCompile(what)); err != nil {
			t.Fatal(err)
		}
	}
	grumble("first")
	mark, err := l.MarkConsoles()
	if err != nil {
		t.Fatal(err)
	}
	grumble("second")
	grumble("third")
	found, err := l.CheckConsoles(mark, regexp.MustCompile("third"))
	if err != nil || len(found) != 1 || found[0].Line != "fatal error: second" || found[0].Node != "node2" {
		t.Errorf("found %+v, %v; want only the second", found, err)
	}
	if s, err := l.Node("node2").Status(t.Context()); err != nil || s.Trouble != 3 || s.State != api.Up {
		t.Errorf("status %+v, %v", s, err)
	}
}

func TestRun(t *testing.T) {
	n := testUp(t, testSpec(t, 1)).Node("node1")
	for _, c := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{"true"}, 0, "", ""},
		{[]string{"exit", "7"}, 7, "", ""},
		{[]string{"err", "oh"}, 1, "", "oh\n"},
		{[]string{"nonsense"}, 127, "", "nonsense: not found\n"},
		{[]string{"command", "a b", "it's", "", "$x", "-f"}, 0, `command 'a b' 'it'\''s' '' '$x' -f`, ""},
	} {
		r, err := n.Run(t.Context(), c.args...)
		if err != nil || r.Status != c.status || r.Stdout != c.stdout || r.Stderr != c.stderr {
			t.Errorf("%q: got %+v, %v", c.args, r, err)
		}
	}
	_, err := n.Run(t.Context())
	mustAdvise(t, err, "no command", "hurdlab exec")
}

func TestRunStreams(t *testing.T) {
	n := testUp(t, testSpec(t, 1)).Node("node1")
	in := strings.Repeat("0123456789abcdef", 1<<16)
	var out strings.Builder
	p, err := n.Start(t.Context(), Cmd{Args: []string{"cat"}, Stdin: strings.NewReader(in), Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || !exit.Ok() || out.String() != in {
		t.Errorf("exit %v, %v; %d bytes came back of %d", exit, err, out.Len(), len(in))
	}
}

func TestSignalAndCancel(t *testing.T) {
	n := testUp(t, testSpec(t, 1)).Node("node1")
	sleeps, wakes := regexp.MustCompile("labtest sleeps"), regexp.MustCompile("labtest woke up")
	p, err := n.Start(t.Context(), Cmd{Args: []string{"sleep"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.WaitConsole(t.Context(), 0, sleeps); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal("TERM"); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Signal != "TERM" || exit.Status < 128 {
		t.Errorf("exit %+v, %v", exit, err)
	}
	said, err := n.Console()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p, err = n.Start(ctx, Cmd{Args: []string{"sleep"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.WaitConsole(t.Context(), int64(len(said)), sleeps); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := p.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v", err)
	}
	if err := n.WaitConsole(t.Context(), int64(len(said)), wakes); err != nil {
		t.Errorf("the command goes on without us: %v", err)
	}
}

func TestUnknownNode(t *testing.T) {
	n := testUp(t, testSpec(t, 2)).Node("node7")
	for what, do := range map[string]func() error{
		"run":     func() error { _, err := n.Run(t.Context(), "true"); return err },
		"boot":    func() error { return n.Boot(t.Context()) },
		"kill":    func() error { return n.Kill(t.Context()) },
		"console": func() error { _, err := n.Console(); return err },
		"follow":  func() error { _, err := n.FollowConsole(t.Context(), 0); return err },
		"attach":  func() error { _, err := n.AttachConsole(t.Context(), 0); return err },
		"dial":    func() error { _, err := n.Dial(t.Context(), 22); return err },
		"status":  func() error { _, err := n.Status(t.Context()); return err },
		"copy":    func() error { return n.CopyTo(t.Context(), "lab_test.go", "/x") },
	} {
		t.Run(what, func(t *testing.T) {
			mustAdvise(t, do(), `no node called "node7"`, "node1 to node2")
		})
	}
}

func TestConsoleIsTypedInto(t *testing.T) {
	n := testUp(t, testSpec(t, 1)).Node("node1")
	conn, err := n.AttachConsole(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "hello\n")
	want := "you typed hello\r\n"
	b := make([]byte, len(want))
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != want {
		t.Errorf("got %q, %v", b, err)
	}
	if err := n.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(conn); err != nil {
		t.Errorf("the stream of a machine that ended: %q, %v", b, err)
	}
}

func TestNetwork(t *testing.T) {
	l := testUp(t, testSpec(t, 3))
	ctx := t.Context()
	if err := l.Net().Partition(ctx, []string{"node1"}, []string{"node2"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Net().Edit(ctx, "node1", "node2", map[string]any{"loss": 0.5}); err != nil {
		t.Fatal(err)
	}
	if err := l.Net().Edit(ctx, "node1", "node2", map[string]any{"delay_ns": 1000}); err != nil {
		t.Fatal(err)
	}
	if err := l.Net().Isolate(ctx, "node3"); err != nil {
		t.Fatal(err)
	}
	s, err := l.Net().State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.State.Partition) < 2 || len(s.State.Isolated) != 1 || len(s.State.Links) != 1 ||
		s.State.Links[0].Faults.Loss != 0.5 || s.State.Links[0].Faults.Delay != 1000 {
		t.Errorf("state %+v", s.State)
	}
	if _, err := l.Node("node1").Run(ctx, "true"); err != nil {
		t.Errorf("a partition cuts us off: %v", err)
	}
	if err := errors.Join(l.Net().Rejoin(ctx, "node3"), l.Net().Heal(ctx), l.Net().Clear(ctx)); err != nil {
		t.Error(err)
	}
	if s, err := l.Net().State(ctx); err != nil || len(s.State.Partition)+len(s.State.Isolated)+len(s.State.Links) != 0 {
		t.Errorf("after all is healed: %+v, %v", s, err)
	}
	if err := l.Net().Edit(ctx, "node1", "node9", map[string]any{"loss": 0.5}); err == nil {
		t.Error("a link to nowhere is accepted")
	}
	if err := l.Net().Edit(ctx, "node1", "node2", map[string]any{"loss": 2}); err == nil {
		t.Error("a loss of 200 % is accepted")
	}
}

func TestForward(t *testing.T) {
	l := testUp(t, testSpec(t, 1))
	addr, err := l.Net().Forward(t.Context(), "127.0.0.1:0", "node1", 22)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != "SSH-" {
		t.Errorf("got %q, %v", b, err)
	}
	conn.Close()
	_, err = l.Net().Forward(t.Context(), addr, "node1", 22)
	mustAdvise(t, err, "in use", "another port")
	if err := l.Net().Unforward(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the port is still open")
	}
	mustAdvise(t, l.Net().Unforward(t.Context(), addr), "nothing is forwarded", "net show")
}

func TestDial(t *testing.T) {
	n := testUp(t, testSpec(t, 1)).Node("node1")
	conn, err := n.Dial(t.Context(), 22)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := make([]byte, 4)
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != "SSH-" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := n.Dial(t.Context(), 1); err == nil || !strings.Contains(err.Error(), syscall.ECONNREFUSED.Error()) {
		t.Errorf("closed port: %v", err)
	}
}

func TestCapture(t *testing.T) {
	l := testUp(t, testSpec(t, 1))
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- l.Net().Capture(ctx, "node1", w)
		w.Close()
	}()
	head := make([]byte, 24)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:4]) != "\x4d\x3c\xb2\xa1" {
		t.Fatalf("header % x, %v; want pcap with nanoseconds", head, err)
	}
	go func() { // a frame for it
		if conn, err := l.Node("node1").Dial(t.Context(), 22); err == nil {
			conn.Close()
		}
	}()
	if _, err := io.ReadFull(r, make([]byte, 16+14)); err != nil {
		t.Errorf("no frame: %v", err)
	}
	cancel()
	go io.Copy(io.Discard, r)
	if err := <-done; err != nil {
		t.Errorf("Capture = %v", err)
	}
}

func TestQMP(t *testing.T) {
	n := testUp(t, testSpec(t, 1)).Node("node1")
	var st struct{ Status string }
	if err := n.QMP(t.Context(), api.Command{Execute: "query-status"}, &st); err != nil || st.Status != "running" {
		t.Errorf("got %+v, %v", st, err)
	}
	if err := n.QMP(t.Context(), api.Command{Execute: "nonsense"}, nil); err == nil || !strings.Contains(err.Error(), "not been found") {
		t.Errorf("got %v", err)
	}
}

func TestBundleHasNoKeys(t *testing.T) {
	spec := testSpec(t, 2)
	spec.Capture = true
	l := testUp(t, spec)
	file, err := l.Bundle(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	contents := unpack(t, file)
	for _, want := range []string{"README.txt", "status.json", "lab.json", "events.jsonl", "daemon.log", "node1/console.log", "node2/monitor.log"} {
		if _, ok := contents[want]; !ok {
			t.Errorf("%s is missing", want)
		}
	}
	if pcap := contents["net.pcap"]; !strings.HasPrefix(pcap, "\x4d\x3c\xb2\xa1") {
		t.Errorf("the capture has %d bytes and does not begin like one", len(pcap))
	}
	if s := fmt.Sprint(l.Spec().Seed); !strings.Contains(contents["README.txt"], s) {
		t.Errorf("README does not give the seed %s:\n%s", s, contents["README.txt"])
	}
	for name, text := range contents {
		if strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("%s has a private key", name)
		}
	}
	if m, _ := filepath.Glob(l.Dir() + "/node1/*"); len(m) == 0 || !anyContains(m, "PRIVATE KEY") {
		t.Error("no file of a node has a private key; the test is worth nothing")
	}
}

func TestPruneKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"c", "a", "d", "b"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(dir, 2); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(dir + "/*")
	if err != nil || !slices.Equal(left, []string{dir + "/b", dir + "/d"}) {
		t.Errorf("left are %q, %v; want the last two, b and d", left, err)
	}
	if err := prune(dir, 2); err != nil {
		t.Error(err)
	}
}

func anyContains(files []string, what string) bool {
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), what) {
			return true
		}
	}
	return false
}
