package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func killCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "kill NODE...",
		Short: "Cut the power of a node",
		Long: `Cut the power of a node: its machine ends at once, in the middle of whatever it
does. What it has written to its disk is there when "hurdlab start" boots it again, and
what it had in its memory is lost: the file system is mended then.`,
		Example: `  hurdlab kill node2`,
		Args:    args(1, -1, "a node"),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := l.Node(name).Kill(c.Context()); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%s is off\n", name)
			}
			return nil
		},
	}
}
