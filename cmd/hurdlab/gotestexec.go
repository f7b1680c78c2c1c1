package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"hurdlab/images"
	"hurdlab/lab"
	"hurdlab/lab/problem"
)

// goTestExecCmd is what "go test -exec" of hurdlab go starts for each test
// program.
func goTestExecCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "go-test-exec PROGRAM [ARGUMENT...]",
		Short:   "Copy a program to a node and run it there",
		Hidden:  true,
		Example: `  go test -exec "hurdlab go-test-exec" ./...`,
		Args:    args(1, -1, "a program"),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return a.notRun(err)
			}
			n, err := nodeForTests(l)
			if err != nil {
				return a.notRun(err)
			}
			// go test runs several programs of the same name at the same time.
			remote := fmt.Sprintf("/tmp/%d-%s", os.Getpid(), filepath.Base(args[0]))
			if err := n.CopyTo(c.Context(), args[0], remote); err != nil {
				return a.notRun(err)
			}
			defer n.Run(context.WithoutCancel(c.Context()), "rm", remote) // it fails if the node is gone
			return a.runOn(c, n, lab.Cmd{Args: append([]string{remote}, args[1:]...)})
		},
	}
	c.Flags().SetInterspersed(false)
	return c
}

// nodeForTests chooses a node for this process's test program: go test starts
// as many processes as the host has processors.
func nodeForTests(l *lab.Lab) (*lab.Node, error) {
	var able []*lab.Node
	for _, n := range l.Nodes() {
		if n.Can(images.CanGo) {
			able = append(able, n)
		}
	}
	if len(able) == 0 {
		return nil, problem.New(fmt.Sprintf("no node of lab %q runs Go programs", l.Name()), "use a lab of image mach")
	}
	return able[os.Getpid()%len(able)], nil
}
