package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"hurdlab/lab"
	"hurdlab/lab/problem"
	"hurdlab/lab/state"
)

func resetCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reset NODE...",
		Short: "Give a node the disk that it had at first, and boot it",
		Long: `Cut the power of a node, give it the disk that it had when the lab was started, and
boot it. All that it has written since is lost. That is for a node whose disk is damaged,
and for one that is to begin anew. Nodes of image mach have no disk: restart them.`,
		Example: `  hurdlab reset node2`,
		Args:    args(1, -1, "a node"),
		RunE: func(c *cobra.Command, names []string) error {
			dirs, err := a.dirs()
			if err != nil {
				return err
			}
			dir, err := dirs.Lab(a.name)
			if err != nil {
				return err
			}
			return a.bootNodes(c.Context(), names, func(n *lab.Node, ctx context.Context) error {
				if _, err := n.Status(ctx); err != nil {
					return err // there is no such node
				}
				// A job would go on where it was, and what it has done is gone.
				lock, err := patchLock(dir, n.Name())
				if err != nil {
					return err
				}
				defer lock.Close()
				if err := os.Remove(dir.NodeFile(n.Name(), patchState)); err != nil && !os.IsNotExist(err) {
					return fmt.Errorf("forget how far %s was patched: %w", n.Name(), err)
				}
				return n.Reset(ctx)
			})
		},
	}
}

// patchState is the file of a node that says how far it has been patched.
const patchState = "patch.json"

// patchLock is had by who patches a node, or takes back what was.
func patchLock(dir state.Dir, node string) (*state.Lock, error) {
	lock, err := state.LockFile(dir.NodeFile(node, "patch.lock"))
	return lock, problem.Wrap(err, node+" is being patched by another command", "wait for that one")
}
