package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	machimage "hurdlab/images/mach"
	"hurdlab/lab"
	"hurdlab/lab/state"
)

func deployCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "deploy COMPONENT [NODE...]",
		Short: "Build a component of hurdlab and run it on nodes in place of the old one",
		Long: `Build a component of hurdlab from its source tree, put it onto nodes of a lab that
is up, all if none is named, and start it there in place of the one that runs. The
component is netmsg. What nodes had mounted by it is lost, and is there again when it
is used the next time. A node that restarts has what it was booted with.`,
		Example: `  hurdlab deploy netmsg
  hurdlab deploy netmsg node2`,
		Args: args(1, -1, "a component"),
		RunE: func(c *cobra.Command, args []string) error {
			component, err := lab.FindComponent(args[0])
			if err != nil {
				return err
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			source, err := machimage.FindSource(".")
			if err != nil {
				return err
			}
			tc, err := a.toolchain(c.Context())
			if err != nil {
				return err
			}
			dir, err := os.MkdirTemp("", "hurdlab-deploy-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			p := newProgress(a.err)
			defer p.close()
			journal := state.NewJournal(io.Discard, p.event)
			file := filepath.Join(dir, component.Name)
			done := journal.Step("build " + component.Name)
			cmd, err := tc.CommandIn(c.Context(), source, "build", "-trimpath", "-ldflags=-s -w", "-o", file, component.Package)
			if err == nil {
				var out []byte
				if out, err = cmd.CombinedOutput(); err != nil {
					err = fmt.Errorf("build %s: %w\n%s", component.Name, err, out)
				}
			}
			done(err)
			if err != nil {
				return err
			}
			return l.Deploy(c.Context(), component, file, args[1:], journal)
		},
	}
}
