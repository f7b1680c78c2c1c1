package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func startCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "start NODE...",
		Short: "Boot a node that is off or dead",
		Long: `Boot a node that is off or dead, and return when it is up.
What it said before stays in its log.`,
		Example: `  hurdlab start node2`,
		Args:    args(1, -1, "a node"),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			for _, name := range args {
				began := time.Now()
				if err := l.Node(name).Boot(c.Context()); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%s is up (%.1f s)\n", name, time.Since(began).Seconds())
			}
			return nil
		},
	}
}
