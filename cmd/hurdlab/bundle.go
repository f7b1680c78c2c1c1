package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"hurdlab/lab"
)

func bundleCmd(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "bundle",
		Short: "Pack all that is known of a lab into one file",
		Long: `Pack all that is known of a lab into one file, to find out what went wrong or to
send it to somebody who can: consoles, events, the traffic with QEMU, captures,
the seed, and the command to start such a lab again. No keys. The lab may be
running or dead.`,
		Example: `  hurdlab bundle
  hurdlab bundle -o /tmp`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			dirs, err := a.dirs()
			if err != nil {
				return err
			}
			file, err := lab.Bundle(c.Context(), dirs, a.name, dir)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, file)
			return err
		},
	}
	c.Flags().StringVarP(&dir, "output", "o", ".", "the directory for the file")
	return c
}
