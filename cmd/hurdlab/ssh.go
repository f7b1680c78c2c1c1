package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/term"

	"hurdlab/lab"
)

func sshCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "ssh NODE [COMMAND...]",
		Short: "Log in to a node",
		Long: `Log in to a node by SSH; with a command, the same as exec. For OpenSSH's own
programs forward a port and use the lab's key: "hurdlab net forward node1:22".`,
		Example: `  hurdlab ssh node1`,
		Args:    args(1, -1, "a node"),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			n := l.Node(args[0])
			if len(args) > 1 {
				return a.runOn(c, n, lab.Cmd{Args: args[1:]})
			}
			return a.shell(c, n)
		},
	}
	c.Flags().SetInterspersed(false)
	return c
}

// shell runs an interactive session on our terminal, if we have one.
func (a *app) shell(c *cobra.Command, n *lab.Node) error {
	width, height := 80, 24
	fd, terminal := terminalOf(a.in)
	if terminal {
		if w, h, err := term.GetSize(fd); err == nil {
			width, height = w, h
		}
	}
	kind := os.Getenv("TERM")
	if kind == "" {
		kind = "dumb"
	}
	session, pty, err := n.Shell(c.Context(), kind, width, height)
	if err != nil {
		return err
	}
	defer session.Close()
	session.Stdin, session.Stdout, session.Stderr = a.in, a.out, a.err
	if terminal && pty {
		// Its terminal does the echoing and the editing.
		old, err := term.MakeRaw(fd)
		if err != nil {
			return err
		}
		defer term.Restore(fd, old)
	}
	if err := session.Shell(); err != nil {
		return fmt.Errorf("%s: start a shell: %w", n.Name(), err)
	}
	err = session.Wait()
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return exitStatus(exit.ExitStatus())
	}
	return err
}

// terminalOf returns the descriptor of a reader that is a terminal.
func terminalOf(r any) (int, bool) {
	f, ok := r.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}
