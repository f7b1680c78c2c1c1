package main

import (
	"github.com/spf13/cobra"

	"hurdlab/lab"
)

func restartCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "restart NODE...",
		Short: "Cut the power of a node and boot it",
		Long: `Cut the power of a node and boot it, and return when it is up.
What it said before stays in its log.`,
		Example: `  hurdlab restart node2`,
		Args:    args(1, -1, "a node"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.bootNodes(c.Context(), args, (*lab.Node).Restart)
		},
	}
}
