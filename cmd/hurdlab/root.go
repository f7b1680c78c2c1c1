package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"hurdlab/lab"
	"hurdlab/lab/problem"
)

func newRoot(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "hurdlab",
		Short: "Labs of Hurd nodes in virtual machines, on a network that you control",
		Long: `hurdlab boots nodes with a real GNU Mach kernel in virtual machines, wires them to
a network whose faults you control, and runs your Go programs on them.

Several labs can be up at the same time; --name (or HURDLAB_NAME) says which one
is meant. A lab goes on in the background until "hurdlab down".`,
		Example: `  hurdlab up --nodes 2
  hurdlab go build -o prog . && hurdlab cp prog node1:/bin/prog && hurdlab exec node1 prog
  hurdlab net partition node1 node2
  hurdlab down`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return problem.New(fmt.Sprintf("there is no command %q", args[0]), "see them all: hurdlab --help")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return c.Help() },
	}
	c.SetIn(a.in)
	c.SetOut(a.out)
	c.SetErr(a.err)
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return problem.Wrap(err, "", "see: "+c.CommandPath()+" --help")
	})
	name := os.Getenv("HURDLAB_NAME")
	if name == "" {
		name = lab.DefaultName
	}
	c.PersistentFlags().StringVar(&a.name, "name", name, "the lab's name; its default is $HURDLAB_NAME, if that is set")
	c.CompletionOptions.HiddenDefaultCmd = true
	c.AddGroup(
		&cobra.Group{ID: "lab", Title: "Labs:"},
		&cobra.Group{ID: "node", Title: "Nodes:"},
		&cobra.Group{ID: "go", Title: "Programs and tests:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, sub := range cmds {
			sub.GroupID = group
			c.AddCommand(sub)
		}
	}
	add("lab", upCmd(a), statusCmd(a), netCmd(a), bundleCmd(a), downCmd(a), doctorCmd(a))
	add("node", execCmd(a), cpCmd(a), sshCmd(a), consoleCmd(a), logsCmd(a), startCmd(a), killCmd(a), restartCmd(a), resetCmd(a), qmpCmd(a))
	add("go", goCmd(a), testCmd(a), benchCmd(a), deployCmd(a), patchCmd(a))
	c.AddCommand(goTestExecCmd(a), versionCmd(a))
	return c
}

// args makes a check for the number of arguments that says what is missing.
func args(min, max int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < min || max >= 0 && len(args) > max {
			return problem.New(fmt.Sprintf("%s wants %s", c.CommandPath(), what), "see: "+c.CommandPath()+" --help")
		}
		return nil
	}
}
