package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"hurdlab/images"
	"hurdlab/lab"
	"hurdlab/lab/api"
	"hurdlab/lab/labtest"
	"hurdlab/lab/state"
)

func TestMain(m *testing.M) {
	if os.Getenv("HURDLAB_TEST_MAIN") != "" {
		testMain()
	}
	testscript.Main(m, map[string]func(){"hurdlab": testMain})
}

// testMain is main with machines that need no emulator.
func testMain() {
	labtest.RunMachine()
	lab.RunDaemon()
	os.Exit(run(testCatalogue))
}

// A namedImage is an image of labtest with a name for its behaviour.
type namedImage struct {
	labtest.Image
	name string
}

func (m *namedImage) Name() string { return m.name }

func testCatalogue(imageOptions) (images.Catalogue, error) {
	cat := images.Catalogue{
		&namedImage{labtest.Image{}, "labtest"},
		&namedImage{labtest.Image{PrepareErr: errors.New("the mirror is on fire")}, "unprepared"},
		&noEmulator{},
	}
	for _, b := range []string{labtest.Panics, labtest.Hangs, labtest.Exits, labtest.Refuses} {
		cat = append(cat, &namedImage{labtest.Image{Behaves: map[string]string{"node2": b}}, b})
	}
	return cat, nil
}

// noEmulator is an image whose emulator is not installed.
type noEmulator struct{ labtest.Image }

func (*noEmulator) Name() string { return "no-emulator" }

func (m *noEmulator) Machine(ctx context.Context, id images.Identity) (*images.Machine, error) {
	v, err := m.Image.Machine(ctx, id)
	if err == nil {
		v.QEMU = "qemu-system-i386-not-there"
	}
	return v, err
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			exe, err := exec.LookPath("hurdlab") // of testscript
			if err != nil {
				return err
			}
			e.Setenv("HURDLAB", exe)
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			// A script that fails must not leave its labs.
			e.Defer(func() { downAll(filepath.Join(e.WorkDir, "state", "hurdlab")) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitconsole": waitConsole,
			"waitstate":   waitState,
			"killdaemon":  killDaemon,
			"listen":      listen,
		},
	})
}

func downAll(root string) {
	dirs := state.Dirs{State: root}
	names, _ := dirs.Labs()
	for _, name := range names {
		lab.Down(context.Background(), dirs, name)
	}
}

func openLab(ts *testscript.TestScript, name string) *lab.Lab {
	l, err := lab.Open(state.Dirs{State: ts.Getenv("XDG_STATE_HOME") + "/hurdlab"}, name)
	ts.Check(err)
	return l
}

// waitConsole LAB NODE TEXT waits until a console has said something.
func waitConsole(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: waitconsole lab node text")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ts.Check(openLab(ts, args[0]).Node(args[1]).WaitConsole(ctx, 0, regexp.MustCompile(regexp.QuoteMeta(args[2]))))
}

// waitState LAB NODE STATE waits until a node is in a state.
func waitState(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: waitstate lab node state")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := openLab(ts, args[0]).Node(args[1]).WaitState(ctx, api.NodeState(args[2]))
	ts.Check(err)
}

// killDaemon LAB kills the daemon of a lab, and returns when it is dead.
func killDaemon(ts *testscript.TestScript, neg bool, args []string) {
	s, err := openLab(ts, args[0]).Status(context.Background())
	ts.Check(err)
	ts.Check(syscall.Kill(s.PID, syscall.SIGKILL))
	dir, err := state.Dirs{State: ts.Getenv("XDG_STATE_HOME") + "/hurdlab"}.Lab(args[0])
	ts.Check(err)
	lock, err := dir.WaitUnlocked()
	ts.Check(err)
	lock.Close()
}

// listen VARIABLE listens on a port until the end of the script, and puts
// it into a variable.
func listen(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// TestHelp checks that every command explains itself, with an example.
func TestHelp(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no short description or no example", c.CommandPath())
		}
		if c.HasParent() && c.Args == nil && !c.DisableFlagParsing {
			t.Errorf("%s does not check its arguments", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(newRoot(&app{catalogue: testCatalogue}))
}

// TestInterrupt presses ^C at every line that "up" prints: nothing may be
// left, and the status says what happened.
func TestInterrupt(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for line := 1; ; line++ {
		root := t.TempDir()
		cmd := exec.Command(exe, "up", "--image", "hangs", "--nodes", "2", "--accel", "tcg")
		cmd.Env = append(os.Environ(), "HURDLAB_TEST_MAIN=1", "XDG_STATE_HOME="+root, "XDG_CACHE_HOME="+root)
		out, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		s := bufio.NewScanner(out)
		for n := 1; s.Scan(); n++ {
			fmt.Fprintln(&said, s.Text())
			if n == line {
				cmd.Process.Signal(os.Interrupt)
			}
		}
		err = cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != statusInterrupted || !strings.HasSuffix(said.String(), "interrupted\n") {
			t.Errorf("^C at line %d: %v\n%s", line, err, &said)
		}
		if names, _ := (state.Dirs{State: root + "/hurdlab"}).Labs(); len(names) > 0 {
			t.Errorf("^C at line %d leaves the labs %q", line, names)
		}
		dir, _ := state.Dirs{State: root + "/hurdlab"}.Lab("default")
		if locked, err := dir.Locked(); locked || err != nil {
			t.Errorf("^C at line %d leaves the lab locked (%v)", line, err)
		}
		// One node hangs in its boot, so the other's end is the last line.
		if strings.Contains(said.String(), "node1: done") || t.Failed() {
			break
		}
	}
}
