package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	allimages "hurdlab/images/catalogue"
	machimage "hurdlab/images/mach"
	"hurdlab/lab/problem"
)

func testCmd(a *app) *cobra.Command {
	var timeout time.Duration
	var image string
	c := &cobra.Command{
		Use:   "test [SUITE [-- FLAG...]]",
		Short: "Run a suite of tests against labs of its own, or all tests",
		Long: `Run a suite of tests: a Go package of hurdlab's source tree that starts labs of
its own. It is the same as "go test" there. Flags after -- go to Ginkgo.

With --image the nodes boot that: a suite asks them what they can do, and skips what
they cannot.

Without a suite, run all tests: those that need no virtual machine, then every
suite.`,
		Example: `  hurdlab test
  hurdlab test suites/boot
  hurdlab test suites/boot -- --ginkgo.focus=partition --ginkgo.v
  hurdlab test suites/remote-mount --image debian-patched`,
		Args: args(0, -1, "a suite"),
		RunE: func(c *cobra.Command, args []string) error {
			source, err := machimage.FindSource(".")
			if err != nil {
				return err
			}
			gocmd, err := exec.LookPath("go")
			if err != nil {
				return problem.Wrap(err, "a suite needs the go command", "install Go 1.21 or later")
			}
			// One package after the other: a suite wants the host's processors
			// for its nodes.
			argv := []string{"test", "-count=1", "-p=1", "-timeout", timeout.String()}
			if len(args) == 0 {
				argv = append(argv, "./...")
			} else {
				pkg := "./" + strings.TrimPrefix(args[0], "./")
				if st, err := os.Stat(source + "/" + pkg); err != nil || !st.IsDir() {
					return problem.New("there is no suite "+args[0]+" in "+source, "see them: ls "+source+"/suites")
				}
				argv = slices.Concat(argv, []string{"-v", pkg, "-args"}, args[1:])
			}
			cmd := exec.CommandContext(c.Context(), gocmd, argv...)
			cmd.Dir = source
			if image != "" {
				if file, ok, err := allimages.File(image); err != nil {
					return err
				} else if ok {
					image = file // the suite works elsewhere
				}
				cmd.Env = append(os.Environ(), allimages.TestEnv+"="+image)
			}
			// ^C reaches the tests themselves; they take their labs down.
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
			cmd.WaitDelay = time.Minute
			return a.runGo(cmd)
		},
	}
	c.Flags().StringVar(&image, "image", "", "what the nodes boot, as for hurdlab up, for suites that run on others than mach")
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Minute, "how long a suite may take")
	return c
}
