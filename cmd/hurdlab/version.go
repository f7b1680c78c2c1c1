package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	goport "hurdlab/patches/go"
)

func versionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the versions of hurdlab and its Go",
		Example: `  hurdlab version`,
		Args:    args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			version := "(unknown)"
			if info, ok := debug.ReadBuildInfo(); ok {
				version = info.Main.Version
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						version += " " + s.Value
					}
				}
			}
			_, err := fmt.Fprintf(a.out, "hurdlab %s, built with %s; Go for the Hurd: %s, %s/%s\n",
				version, runtime.Version(), goport.Release, goport.GOOS, goport.GOARCH)
			return err
		},
	}
}
