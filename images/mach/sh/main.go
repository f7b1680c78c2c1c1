// Package sh is the shell of a node: the interpreter of mvdan.cc/sh, as a
// program.
//
//	sh [-eunfxi] [-c COMMAND [NAME [ARGUMENT...]]]
//	sh [-eunfxi] [SCRIPT [ARGUMENT...]]
//
// Without a command and a script it reads commands from standard input and
// runs each as it comes, with a prompt if that is a terminal or -i asks for
// it. What it knows of the shell language, and what it does not (job control,
// descriptors above 2), is that package's to say.
package sh

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Main is the command.
func Main() {
	// Programs that run are told to stop, and killed if they do not.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
