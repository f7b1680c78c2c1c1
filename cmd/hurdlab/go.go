package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hurdlab/lab"
	"hurdlab/lab/problem"
	"hurdlab/lab/state"
	goport "hurdlab/patches/go"
)

func goCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "go COMMAND [ARGUMENT...]",
		Short: "Run Go's tool chain for the Hurd",
		Long: `Run Go's tool chain for the Hurd: hurdlab go build, vet, test, env ... with all
of its flags. The first use builds it, which takes about two minutes.

"hurdlab go test" runs the tests inside nodes: of the lab that HURDLAB_NAME
names (or "default"), if it is up, or else of one that is booted for the tests
and taken down after them. The tests do not see this host's files.`,
		Example: `  hurdlab go build -o prog .
  hurdlab go test -v ./mach
  HURDLAB_NAME=big hurdlab go test sort strings`,
		DisableFlagParsing: true, // they are all for go
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "--help" || args[0] == "-h" {
				return c.Help()
			}
			tc, err := a.toolchain(c.Context())
			if err != nil {
				return err
			}
			if args[0] == "test" && runsTests(args[1:]) {
				return a.goTest(c.Context(), tc, args[1:])
			}
			cmd, err := tc.CommandIn(c.Context(), "", args...)
			if err != nil {
				return err
			}
			return a.runGo(cmd)
		},
	}
}

// toolchain is Go for the Hurd. The steps show if it has to be built.
func (a *app) toolchain(ctx context.Context) (*goport.Toolchain, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	p := newProgress(a.err)
	defer p.close()
	return goport.Ensure(ctx, goport.Options{CacheDir: dirs.Cache, Progress: state.NewJournal(io.Discard, p.event)})
}

// runGo runs the go command with our streams, and ends as it does.
func (a *app) runGo(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exitStatus(exit.ExitCode())
	}
	return err
}

// runsTests says whether "go test" with these arguments runs anything.
func runsTests(args []string) bool {
	for _, arg := range args {
		switch name := strings.TrimLeft(arg, "-"); {
		case arg == "-args" || arg == "--args":
			return true
		case !strings.HasPrefix(arg, "-"):
		case name == "c" || name == "c=true" || name == "n" || name == "h" || name == "help":
			return false
		}
	}
	return true
}

// goTest runs "go test" with the tests in nodes.
func (a *app) goTest(ctx context.Context, tc *goport.Toolchain, args []string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	name := a.name
	if _, err := lab.Open(dirs, name); err != nil {
		name = fmt.Sprintf("go-test-%d", os.Getpid())
		down, err := a.labForTests(ctx, name)
		if err != nil {
			return err
		}
		defer down()
	}
	// It quotes like a shell, so that a path may have spaces.
	run := fmt.Sprintf("'%s' go-test-exec --name %s", exe, name)
	cmd, err := tc.CommandIn(ctx, "", slices.Concat([]string{"test", "-exec", run}, args)...)
	if err != nil {
		return err
	}
	return a.runGo(cmd)
}

// labForTests boots a lab with one node. The function it returns takes it
// down.
func (a *app) labForTests(ctx context.Context, name string) (down func(), err error) {
	f := labFlags{nodes: 1, image: "mach"}
	spec, err := f.spec(a)
	if err != nil {
		return nil, err
	}
	spec.Name = name
	p := newProgress(a.err)
	spec.Watch = p.event
	l, err := lab.Up(ctx, spec)
	p.close()
	if err != nil {
		return nil, err
	}
	return func() {
		if err := l.Down(context.WithoutCancel(ctx)); err != nil {
			a.printError(problem.Wrap(err, "the lab of the tests is still up", "hurdlab down --name "+name))
		}
	}, nil
}
