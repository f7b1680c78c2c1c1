package tools

import (
	"context"

	"hurdlab/images/mach/scp"
)

// remoteCopy is the half of scp that a client starts at this end.
func remoteCopy(_ context.Context, c *Call) error {
	return status(scp.Server{}.Run(c.Args, c.Stdin, c.Stdout))
}
