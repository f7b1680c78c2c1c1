package main

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/spf13/cobra"

	"hurdlab/lab"
)

func logsCmd(a *app) *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:   "logs NODE",
		Short: "Show what a node has written on its console",
		Long: `Show what a node has written on its console, since its first boot. That is kept
until the lab is taken down, also when the lab has died.`,
		Example: `  hurdlab logs node1
  hurdlab logs -f node2`,
		Args: args(1, 1, "a node"),
		RunE: func(c *cobra.Command, args []string) error {
			if follow {
				l, err := a.open()
				if err != nil {
					return err
				}
				r, err := l.Node(args[0]).FollowConsole(c.Context(), 0)
				if err != nil {
					return err
				}
				defer r.Close()
				_, err = io.Copy(a.out, r)
				if c.Context().Err() != nil {
					return c.Context().Err()
				}
				return err
			}
			dirs, err := a.dirs()
			if err != nil {
				return err
			}
			b, err := lab.ReadConsole(dirs, a.name, args[0])
			if err != nil {
				return err
			}
			_, err = a.out.Write(b)
			return err
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what it says from now on, until ^C")
	return c
}

// closeAtEnd closes conn when the command is interrupted.
func closeAtEnd(c *cobra.Command, conn io.Closer) (stop func() bool) {
	return context.AfterFunc(c.Context(), func() { conn.Close() })
}

// isClosed says whether an error means that we have closed the connection.
func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
