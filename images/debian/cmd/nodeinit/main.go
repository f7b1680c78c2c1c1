// Command nodeinit makes a GNU/Hurd a node of a lab (package nodeinit).
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"hurdlab/images/debian/nodeinit"
)

func main() {
	debug.SetGCPercent(50) // it lives long and does little
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "nodeinit:", err)
		os.Exit(1)
	}
}

func run() error {
	b, err := os.ReadFile(nodeinit.ConfigFile)
	if err != nil {
		return err
	}
	c, err := nodeinit.Parse(b)
	if err != nil {
		return err
	}
	console, err := os.OpenFile("/dev/console", os.O_WRONLY, 0)
	if err != nil {
		console = os.Stdout
	}
	return nodeinit.Run(context.Background(), c, os.Args[1:], console)
}
