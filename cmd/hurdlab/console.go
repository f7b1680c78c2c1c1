package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// detachKey is ^], as of old.
const detachKey = 0x1d

// consoleTail is how much of what was said before is shown, in bytes.
const consoleTail = 4 << 10

func consoleCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "console NODE",
		Short: "Join the console of a node",
		Long: `Join the console of a node: see what it says, and type there. ^] leaves. The
node's whole console since its first boot is kept: hurdlab logs NODE.`,
		Example: `  hurdlab console node1`,
		Args:    args(1, 1, "a node"),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			n := l.Node(args[0])
			said, err := n.Console()
			if err != nil {
				return err
			}
			conn, err := n.AttachConsole(c.Context(), int64(max(0, len(said)-consoleTail)))
			if err != nil {
				return err
			}
			defer conn.Close()
			if fd, ok := terminalOf(a.in); ok {
				fmt.Fprintf(a.err, "the console of %s; ^] leaves\r\n", n.Name())
				old, err := term.MakeRaw(fd)
				if err != nil {
					return err
				}
				defer term.Restore(fd, old)
			}
			go func() {
				// The end of the input is not the end: the node goes on talking.
				if err := typeInto(conn, a.in); err == errDetached {
					conn.Close()
				}
			}()
			stop := closeAtEnd(c, conn)
			defer stop()
			if _, err := io.Copy(a.out, conn); err != nil && !errors.Is(err, os.ErrClosed) && !isClosed(err) {
				return err
			}
			return c.Context().Err()
		},
	}
}

var errDetached = errors.New("detached")

// typeInto copies what is typed until the end, or the key to detach.
func typeInto(w io.Writer, r io.Reader) error {
	buf := make([]byte, 256)
	for {
		n, err := r.Read(buf)
		i := bytes.IndexByte(buf[:n], detachKey)
		if i >= 0 {
			n = i
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		if i >= 0 {
			return errDetached
		}
		if err != nil {
			return err
		}
	}
}
