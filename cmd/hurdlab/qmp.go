package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"hurdlab/lab/api"
	"hurdlab/lab/problem"
)

func qmpCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "qmp NODE COMMAND [ARGUMENTS]",
		Short: "Ask the QEMU of a node, in its own protocol",
		Long: `Run a command of QEMU's Machine Protocol on the QEMU of a node and print what it
returns. The arguments are a JSON object.`,
		Example: `  hurdlab qmp node1 query-status
  hurdlab qmp node1 human-monitor-command '{"command-line": "info registers"}'
  hurdlab qmp node1 human-monitor-command '{"command-line": "gdbserver tcp:127.0.0.1:1234"}'
  hurdlab qmp node1 stop && hurdlab qmp node1 cont   # a long pause`,
		Args: args(2, 3, "a node and a command"),
		RunE: func(c *cobra.Command, args []string) error {
			cmd := api.Command{Execute: args[1]}
			if len(args) == 3 {
				if !json.Valid([]byte(args[2])) {
					return problem.New(fmt.Sprintf("the arguments are not JSON: %s", args[2]), "see: hurdlab qmp --help")
				}
				cmd.Arguments = json.RawMessage(args[2])
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			var out json.RawMessage
			if err := l.Node(args[0]).QMP(c.Context(), cmd, &out); err != nil {
				return err
			}
			var text string
			if json.Unmarshal(out, &text) == nil { // of human-monitor-command
				_, err = fmt.Fprint(a.out, text)
				return err
			}
			var b bytes.Buffer
			if err := json.Indent(&b, out, "", "  "); err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, b.String())
			return err
		},
	}
}
