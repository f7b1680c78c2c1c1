package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"hurdlab/lab"
)

func doctorCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this host can run labs",
		Long: `Check whether this host can run labs, and say what to do where it cannot. It
changes nothing. The exit status is 1 if something is missing.`,
		Example: `  hurdlab doctor`,
		Args:    args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			dirs, err := a.dirs()
			if err != nil {
				return err
			}
			bad := 0
			for _, check := range lab.Doctor(c.Context(), dirs) {
				mark := "ok   "
				if check.Do != "" {
					mark = "note "
				}
				if check.Failed {
					mark = "FAIL "
					bad++
				}
				fmt.Fprintf(a.out, "%s %s: %s\n", mark, check.Name, check.Found)
				if check.Do != "" {
					fmt.Fprintf(a.out, "      what to do: %s\n", check.Do)
				}
			}
			if bad > 0 {
				return exitStatus(1)
			}
			return nil
		},
	}
}
