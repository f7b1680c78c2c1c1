package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"hurdlab/lab"
)

// statusNotRun is the exit status of exec when the command could not be run
// or it is not known how it ended.
const statusNotRun = 125

func execCmd(a *app) *cobra.Command {
	var env []string
	c := &cobra.Command{
		Use:   "exec NODE COMMAND [ARGUMENT...]",
		Short: "Run a command on a node",
		Long: `Run a command on a node, with this command's standard input, output and error,
and end with its exit status. A command that was ended by a signal gives 128 and
more; 125 means that it could not be run. ^C kills it.`,
		Example: `  hurdlab exec node1 ping -c 3 node2
  echo hello | hurdlab exec node2 cat
  hurdlab exec --env GODEBUG=gctrace=1 node1 /bin/prog -flag`,
		Args: args(2, -1, "a node and a command"),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return a.notRun(err)
			}
			return a.runOn(c, l.Node(args[0]), lab.Cmd{Args: args[1:], Env: env})
		},
	}
	// What comes after the node belongs to the command.
	c.Flags().SetInterspersed(false)
	c.Flags().StringArrayVar(&env, "env", nil, "set a variable, NAME=VALUE; may be repeated")
	return c
}

// runOn runs a command on a node with our streams.
func (a *app) runOn(c *cobra.Command, n *lab.Node, cmd lab.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	if c.Context().Err() != nil {
		return c.Context().Err()
	}
	p, err := n.Start(c.Context(), cmd)
	if err != nil {
		return a.notRun(err)
	}
	exit, err := p.Wait()
	switch {
	case c.Context().Err() != nil:
		return c.Context().Err()
	case err != nil:
		return a.notRun(err)
	case exit.Signal != "":
		fmt.Fprintf(a.err, "hurdlab: %s: ended by %v\n", cmd.Args[0], exit)
	}
	if exit.Ok() {
		return nil
	}
	return exitStatus(exit.Status)
}

// notRun says why a command was not run, and returns the exit status for it.
func (a *app) notRun(err error) error {
	a.printError(err)
	return exitStatus(statusNotRun)
}
