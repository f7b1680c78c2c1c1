package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
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
			l, err := a.open()
			if err != nil {
				return err
			}
			for _, name := range args {
				began := time.Now()
				if err := l.Node(name).Restart(c.Context()); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%s is up (%.1f s)\n", name, time.Since(began).Seconds())
			}
			return nil
		},
	}
}
