package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"hurdlab/lab"
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
			return a.bootNodes(c.Context(), args, (*lab.Node).Boot)
		},
	}
}

// bootNodes boots nodes one after the other, in the way that boot does, and
// says how long each took.
func (a *app) bootNodes(ctx context.Context, names []string, boot func(*lab.Node, context.Context) error) error {
	l, err := a.open()
	if err != nil {
		return err
	}
	for _, name := range names {
		began := time.Now()
		if err := boot(l.Node(name), ctx); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%s is up (%.1f s)\n", name, time.Since(began).Seconds())
	}
	return nil
}
