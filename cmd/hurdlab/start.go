package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"hurdlab/lab"
	"hurdlab/lab/state"
)

func startCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "start NODE...",
		Short: "Boot a node that is off or dead",
		Long: `Boot a node that is off or dead, and return when it is up.
What it said before stays in its log.

A disk whose file system was not unmounted, as after "hurdlab kill", is mended before
(e2fsck -fp; files that have lost their names get others in /lost+found). What that did
is shown, and in the log.`,
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
		if err := a.boot(ctx, l, name, boot); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%s is up (%.1f s)\n", name, time.Since(began).Seconds())
	}
	return nil
}

// boot boots a node in the way that boot does. It shows what comes before its machine
// starts and takes time.
func (a *app) boot(ctx context.Context, l *lab.Lab, name string, boot func(*lab.Node, context.Context) error) error {
	p := newProgress(a.err)
	defer p.close()
	stop, err := l.Watch(ctx, func(e state.Event) {
		// The node's own step is that of its boot.
		if e.Kind == state.KindStep && e.Node == name && e.Step != name {
			p.event(e)
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	return boot(l.Node(name), ctx)
}
