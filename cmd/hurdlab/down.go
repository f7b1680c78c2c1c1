package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"hurdlab/lab"
)

func downCmd(a *app) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "down",
		Short: "End a lab and forget it",
		Long: `End a lab and delete what it has left: machines, daemon, keys and consoles. What
is worth keeping is packed before with "hurdlab bundle".`,
		Example: `  hurdlab down
  hurdlab down --name big
  hurdlab down --all`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			dirs, err := a.dirs()
			if err != nil {
				return err
			}
			names := []string{a.name}
			if all {
				if names, err = dirs.Labs(); err != nil {
					return err
				}
			}
			var failed error
			for _, name := range names {
				became, err := lab.Down(c.Context(), dirs, name)
				switch {
				case err != nil:
					failed = errors.Join(failed, err)
				case became != "":
					fmt.Fprintf(a.out, "%s\nit is down and forgotten now\n", became)
				default:
					fmt.Fprintf(a.out, "lab %q is down\n", name)
				}
			}
			return failed
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all labs")
	return c
}
