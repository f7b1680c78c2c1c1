package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hurdlab/images"
	"hurdlab/lab/console"
	"hurdlab/lab/labtest"
	"hurdlab/lab/problem"
)

func TestMain(m *testing.M) {
	labtest.RunMachine()
	if os.Getenv("QEMU_TEST_PARENT") != "" {
		parentMain()
	}
	os.Exit(m.Run())
}

// testMachine is a machine of labtest that behaves in the given way.
func testMachine(t testing.TB, behaves string) *images.Machine {
	t.Helper()
	img := &labtest.Image{Behaves: map[string]string{"": behaves}}
	m, err := img.Machine(t.Context(), images.Identity{Name: "x", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start starts cfg and has it killed at the end of the test.
func start(t *testing.T, cfg Config) *Process {
	t.Helper()
	p, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		<-p.Done()
		p.NIC().Close()
	})
	return p
}

func TestArgs(t *testing.T) {
	got := args(&Config{
		Name:  "lab/a,b",
		Accel: TCG,
		MAC:   [6]byte{2, 0, 0, 0, 0, 9},
		Machine: &images.Machine{
			MemoryMB: 96, NIC: "virtio-net-pci,disable-modern=on",
			Kernel: "/k", Append: "console=com0",
			Modules: []images.Module{{Path: "/a", Line: "x,y $(task-create)"}, {Path: "/b"}},
			FWCfg:   map[string]string{"opt/b": "/d,1/b", "opt/a": "/a"},
			Args:    []string{"-cpu", "max"},
		},
		DebugLog: "/log",
	})
	want := "-name lab/a,,b -accel tcg -m 96 -smp 1 -nodefaults -no-user-config -display none -no-reboot " +
		"-chardev socket,id=monitor,fd=3 -mon chardev=monitor,mode=control " +
		"-chardev socket,id=console,fd=4 -serial chardev:console " +
		"-netdev stream,id=lab,server=off,addr.type=fd,addr.str=5 " +
		"-device virtio-net-pci,disable-modern=on,netdev=lab,mac=02:00:00:00:00:09,romfile= " +
		"-d cpu_reset -D /log -kernel /k -append console=com0 -initrd /a x,,y $(task-create),/b " +
		"-fw_cfg name=opt/a,file=/a -fw_cfg name=opt/b,file=/d,,1/b -cpu max"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestStagesThenStop(t *testing.T) {
	var con, log buffer
	stages := make(chan string, 2)
	p := start(t, Config{
		Name: "x", Machine: testMachine(t, ""), Console: &con, MonitorLog: &log,
		Stage: func(s images.Stage) { stages <- s.Name },
	})
	for _, want := range []string{"kernel", "ready"} {
		if got := <-stages; got != want {
			t.Errorf("stage %q, want %q", got, want)
		}
	}
	p.Stop(t.Context())
	exit := p.Exit()
	if !exit.Asked || exit.Status != 0 || exit.Signal != 0 || exit.Shutdown != "host-qmp-quit" || exit.Stage != "ready" {
		t.Errorf("exit %+v", exit)
	}
	if want := labtest.MarkKernel + "\r\n" + labtest.MarkReady + "\r\n"; con.String() != want {
		t.Errorf("console %q, want %q", con.String(), want)
	}
	for _, want := range []string{`> {"execute":"quit"}`, `< {"return":{}}`, `"SHUTDOWN"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the monitor's log lacks %s:\n%s", want, &log)
		}
	}
}

func TestType(t *testing.T) {
	var con buffer
	ready := make(chan struct{})
	m := testMachine(t, "")
	m.Stages = append(m.Stages, images.Stage{Name: "typed", Mark: "you typed hello"})
	p := start(t, Config{Name: "x", Machine: m, Console: &con, Stage: func(s images.Stage) {
		if s.Name == "typed" {
			close(ready)
		}
	}})
	if err := p.Type([]byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	<-ready
}

func TestTroubleIsReported(t *testing.T) {
	found := make(chan console.Finding, 1)
	var con buffer
	start(t, Config{Name: "x", Machine: testMachine(t, labtest.Panics), Console: &con,
		Trouble: func(f console.Finding) { found <- f }})
	f := <-found
	if f.Kind != "kernel panic" || !strings.Contains(con.String(), f.Line) {
		t.Errorf("found %+v in console %q", f, &con)
	}
}

func TestExitSaysWhy(t *testing.T) {
	p := start(t, Config{Name: "x", Machine: testMachine(t, labtest.Exits)})
	<-p.Done()
	exit := p.Exit()
	if exit.Asked || exit.Status != 3 || exit.Stage != "kernel" || !slices.Contains(exit.Stderr, "labtest: asked to exit") {
		t.Errorf("exit %+v", exit)
	}
	if got, want := exit.Error(), "QEMU ended with status 3 (last stage reached: kernel): labtest: asked to exit"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKilledFromOutside(t *testing.T) {
	p := start(t, Config{Name: "x", Machine: testMachine(t, "")})
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if exit := p.Exit(); exit.Asked || exit.Signal != syscall.SIGKILL {
		t.Errorf("exit %+v", exit)
	}
}

func TestStopAfterTheEnd(t *testing.T) {
	p := start(t, Config{Name: "x", Machine: testMachine(t, labtest.Exits)})
	<-p.Done()
	p.Stop(t.Context()) // must not hang
}

func TestRefusalIsShown(t *testing.T) {
	_, err := Start(t.Context(), Config{Name: "x", Machine: testMachine(t, labtest.Refuses)})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Status != 1 || !strings.Contains(err.Error(), "I refuse") {
		t.Errorf("Start = %v", err)
	}
}

func TestStartEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	m := testMachine(t, labtest.Mute)
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	if _, err := Start(ctx, Config{Name: "x", Machine: m}); !errors.Is(err, why) {
		t.Errorf("Start = %v, want %v", err, why)
	}
}

func TestMissing(t *testing.T) {
	m := testMachine(t, "")
	m.QEMU = "qemu-system-pdp11"
	_, err := Start(t.Context(), Config{Name: "x", Machine: m})
	if err == nil || !strings.Contains(problem.Advice(err), "apt-get install") {
		t.Errorf("Start = %v, advice %q", err, problem.Advice(err))
	}
}

func TestMonitor(t *testing.T) {
	p := start(t, Config{Name: "x", Machine: testMachine(t, "")})
	mon := p.Monitor()
	t.Run("result", func(t *testing.T) {
		var st struct{ Status string }
		if err := mon.Execute(t.Context(), "query-status", nil, &st); err != nil || st.Status != "running" {
			t.Errorf("got %+v, %v", st, err)
		}
	})
	t.Run("error", func(t *testing.T) {
		err := mon.Execute(t.Context(), "no-such", nil, nil)
		if err == nil || !strings.Contains(err.Error(), "has not been found") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("long answer", func(t *testing.T) {
		err := mon.Execute(t.Context(), "labtest-long", nil, nil)
		if err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("many at a time", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				var n struct{ N int }
				err := mon.Execute(t.Context(), "labtest-echo", struct{ N int }{i}, &n)
				if err != nil || n.N != i {
					t.Errorf("got %d, %v; want %d", n.N, err, i)
				}
			})
		}
		wg.Wait()
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if err := mon.Execute(ctx, "labtest-silence", nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		// Its answer has not come, so it is still its turn.
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if err := mon.Execute(ctx, "query-status", nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
	t.Run("end", func(t *testing.T) {
		p.Kill()
		if err := mon.Execute(t.Context(), "query-status", nil, nil); !errors.Is(err, errMonitorClosed) {
			t.Errorf("got %v, want %v", err, errMonitorClosed)
		}
	})
}

// parentMain is a process that starts a machine, says which, and waits to be
// killed.
func parentMain() {
	m := &images.Machine{}
	if err := json.Unmarshal([]byte(os.Getenv("QEMU_TEST_PARENT")), m); err != nil {
		panic(err)
	}
	p, err := Start(context.Background(), Config{Name: "x", Machine: m})
	if err != nil {
		panic(err)
	}
	fmt.Println(p.PID())
	select {}
}

// TestNoMachineOutlivesUs kills the process that started a machine, in the
// way that leaves it no time for anything.
func TestNoMachineOutlivesUs(t *testing.T) {
	for _, behaves := range []string{"", labtest.Hangs} {
		b, err := json.Marshal(testMachine(t, behaves))
		if err != nil {
			t.Fatal(err)
		}
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		parent := exec.Command(exe)
		parent.Env = append(os.Environ(), "QEMU_TEST_PARENT="+string(b))
		out, err := parent.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := parent.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 32)
		n, err := out.Read(line)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		parent.Process.Kill()
		parent.Wait()
		// A pidfd is readable when the process has ended.
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			n, err = unix.Poll(fds, 10_000)
			if err != unix.EINTR {
				break
			}
		}
		unix.Close(fd)
		if n != 1 || err != nil {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Errorf("machine %q outlived its parent (poll: %d, %v)", behaves, n, err)
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	w := &tail{}
	for i := range 100_000 {
		fmt.Fprintln(w, i)
	}
	lines := w.lines()
	if lines[len(lines)-1] != "99999" || len(w.b) > 3*maxTail {
		t.Errorf("last line %q, %d bytes kept", lines[len(lines)-1], len(w.b))
	}
}

func TestVerdict(t *testing.T) {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		t.Skip("needs /dev/kvm")
	}
	kernel := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(kernel, []byte("k"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		behaves string
		accel   Accel
		why     string
	}{
		{"", KVM, "boots"},
		{labtest.Panics, TCG, ": kernel"},
		{labtest.Exits, TCG, ": kernel"},
		{labtest.Refuses, TCG, "I refuse"},
	} {
		if c.behaves == labtest.Panics && testing.Short() {
			continue // takes as long as a machine is given
		}
		v, err := probe(t.Context(), testMachine(t, c.behaves))
		if err != nil || v.Accel != c.accel || !strings.Contains(v.Why, c.why) {
			t.Errorf("%q: got %+v, %v; want %s because %q", c.behaves, v, err, c.accel, c.why)
		}
	}

	cache := t.TempDir()
	m := testMachine(t, "")
	m.Kernel = kernel
	m.Args = append(m.Args, "-no-such") // kernels are not understood by labtest
	first, err := ProbeKVM(t.Context(), m, cache)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(cache, "kvm", "*.json"))
	if len(files) != 1 {
		t.Fatalf("cache has %v, want one verdict", files)
	}
	if err := os.WriteFile(files[0], []byte(`{"accel":"kvm","why":"remembered"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := ProbeKVM(t.Context(), m, cache); err != nil || again.Why != "remembered" {
		t.Errorf("second time %+v, %v; first %+v", again, err, first)
	}
	if err := os.WriteFile(kernel, []byte("another"), 0o644); err != nil {
		t.Fatal(err)
	}
	if other, err := ProbeKVM(t.Context(), m, cache); err != nil || other.Why == "remembered" {
		t.Errorf("another kernel got the same verdict %+v, %v", other, err)
	}
}
