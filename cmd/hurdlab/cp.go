package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"hurdlab/lab/problem"
)

func cpCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cp SOURCE... DESTINATION",
		Short: "Copy files and directories to or from a node",
		Long: `Copy files and directories to or from a node. Those of a node are written
NODE:PATH; a name of this host that has a colon is written ./NAME. To or from,
not between nodes.`,
		Example: `  hurdlab cp prog node1:/bin/prog
  hurdlab cp node2:/tmp/trace.out .
  hurdlab cp testdata/ node1:/tmp/testdata`,
		Args: args(2, -1, "a source and a destination"),
		RunE: func(c *cobra.Command, args []string) error {
			sources, dst := args[:len(args)-1], args[len(args)-1]
			toNode, toPath, to := splitRemote(dst)
			if to && len(sources) > 1 && !strings.HasSuffix(toPath, "/") {
				toPath += "/"
			}
			// All that can be wrong with the arguments, before anything is done.
			for _, s := range sources {
				switch _, _, from := splitRemote(s); {
				case from && to:
					return problem.New(fmt.Sprintf("%s and %s are both on nodes", s, dst), "copy by way of this host: first to here, then from here")
				case !from && !to:
					return problem.New(fmt.Sprintf("neither %s nor %s is on a node", s, dst), "write NODE:PATH for what is on a node")
				}
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			for _, s := range sources {
				if to {
					err = l.Node(toNode).CopyTo(c.Context(), s, toPath)
				} else {
					node, path, _ := splitRemote(s)
					err = l.Node(node).CopyFrom(c.Context(), path, dst)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// splitRemote splits NODE:PATH. A path of this host has no colon before its
// first slash.
func splitRemote(s string) (node, path string, ok bool) {
	node, path, ok = strings.Cut(s, ":")
	if !ok || node == "" || strings.Contains(node, "/") {
		return "", s, false
	}
	return node, path, true
}
