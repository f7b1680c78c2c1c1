// Command hurdlab runs labs of Hurd nodes in virtual machines.
//
// It is the command line of package lab: one file a verb, which reads flags
// and prints results; what is done is done below. See hurdlab --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"hurdlab/images"
	allimages "hurdlab/images/catalogue"
	machimage "hurdlab/images/mach"
	"hurdlab/lab"
	"hurdlab/lab/problem"
	"hurdlab/lab/state"
)

func main() {
	lab.RunDaemon()
	os.Exit(run(catalogue))
}

// An imageOptions is what the command line says about images.
type imageOptions struct {
	cacheDir, stateDir, kernel, mirror string

	// file is a disk image to boot instead of one of the catalogue's.
	file string
	// site, keyrings and unsigned say where images come from, and who must have
	// signed them.
	site     string
	keyrings []string
	unsigned bool
}

// catalogue is the images that there are.
func catalogue(o imageOptions) (images.Catalogue, error) {
	source, err := machimage.FindSource(".")
	if err != nil {
		return nil, err
	}
	return allimages.New(allimages.Options{
		CacheDir: o.cacheDir, StateDir: o.stateDir, Source: source, File: o.file, Kernel: o.kernel, Mirror: o.mirror,
		Site: o.site, Keyrings: o.keyrings, Unsigned: o.unsigned,
	})
}

// An app is what the verbs share.
type app struct {
	catalogue func(imageOptions) (images.Catalogue, error)
	in        io.Reader
	out, err  io.Writer
	// name is the lab's, by --name.
	name string
}

// dirs are the directories for hurdlab's files.
func (a *app) dirs() (state.Dirs, error) { return state.DefaultDirs(os.Getenv) }

// open finds the lab that --name names.
func (a *app) open() (*lab.Lab, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	return lab.Open(dirs, a.name)
}

// An exitStatus is an error that ends the program with a status and says
// nothing, because all has been said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// statusInterrupted is the exit status after ^C, by the shells' convention.
const statusInterrupted = 130

// run runs the program and returns its exit status.
func run(catalogue func(imageOptions) (images.Catalogue, error)) int {
	// The first ^C ends what is being done in good order, which takes a
	// moment; the second ends the program.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{catalogue: catalogue, in: os.Stdin, out: os.Stdout, err: os.Stderr}
	err := newRoot(a).ExecuteContext(ctx)
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case ctx.Err() != nil:
		if !errors.Is(err, context.Canceled) {
			a.printError(err) // it may have come of the interruption, or before
		}
		fmt.Fprintln(a.err, "hurdlab: interrupted")
		return statusInterrupted
	}
	a.printError(err)
	return 1
}

// printError says what happened, why, and what to do about it.
func (a *app) printError(err error) {
	fmt.Fprintf(a.err, "hurdlab: %v\n", err)
	if advice := problem.Advice(err); advice != "" {
		fmt.Fprintf(a.err, "  what to do: %s\n", advice)
	}
}
