package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	allimages "hurdlab/images/catalogue"
	"hurdlab/images/debian"
	machimage "hurdlab/images/mach"
	"hurdlab/lab"
	"hurdlab/lab/problem"
	"hurdlab/lab/rebuild"
	"hurdlab/lab/state"
)

func patchCmd(a *app) *cobra.Command {
	var quick, noImage bool
	var series, servers, name string
	c := &cobra.Command{
		Use:   "patch NODE",
		Short: "Put a patched Hurd onto a node, and keep it as an image",
		Long: `On a node that is a Debian GNU/Hurd: fetch the source of the Hurd that it runs, apply
the series of patches/hurd (or --series), build the packages, install them, boot the
node, see whether it runs what was built, and keep its disk as the image
debian-patched, which later labs can be made of. That takes hours in an emulated node.

Interrupted anywhere, it goes on there when it is run again. If what was installed
does not work, or the node does not come back, its disk is rolled back to what it
was before. A patch that does not apply changes nothing: the error says which hunk,
and what is in its place.

With --quick there are no packages: only files that the series changes are compiled
again and installed in the place of those of the same names. The first time that is
everything.

With --servers nothing is built on the node: the files of a directory of this host
are installed, which are in it as they are to be on the node (hurd/ext2fs.static).
That is for nodes without apt, whose Hurd was built elsewhere.`,
		Example: `  hurdlab up --image debian --nodes 1 && hurdlab patch node1
  hurdlab patch node1 --quick                     # after a change of patches/hurd
  hurdlab patch node1 --series ./my-series --image-name debian-mine
  hurdlab patch node1 --servers ./out --no-image
  hurdlab down && hurdlab up --image debian-patched --nodes 2`,
		Args: args(1, 1, "a node"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			l, err := a.open()
			if err != nil {
				return err
			}
			n := l.Node(args[0])
			if _, err := l.Spec().Node(args[0]); err != nil {
				return err
			}
			if series == "" {
				source, err := machimage.FindSource(".")
				if err != nil {
					return err
				}
				series = filepath.Join(source, "patches", "hurd")
			}
			if servers == "" {
				if _, err := os.Stat(filepath.Join(series, "series")); err != nil {
					return problem.Wrap(err, "there is no series of patches", "name a directory with a file \"series\" by --series")
				}
			}
			dirs, err := a.dirs()
			if err != nil {
				return err
			}
			dir, err := dirs.Lab(l.Spec().Name)
			if err != nil {
				return err
			}
			// One at a time: they would undo each other's.
			lock, err := patchLock(dir, n.Name())
			if err != nil {
				return err
			}
			defer lock.Close()
			p := newProgress(a.err)
			closed := false
			defer func() {
				if !closed {
					p.close()
				}
			}()
			job := &rebuild.Job{
				Node:      node{n},
				StateFile: dir.NodeFile(n.Name(), patchState),
				LogFile:   dir.NodeFile(n.Name(), "patch.log"),
				Series:    os.DirFS(series),
				Quick:     quick,
				Servers:   servers,
				Progress:  state.NewJournal(io.Discard, p.event),
			}
			about := "patched"
			if servers != "" {
				about = "with servers built elsewhere"
			}
			if !noImage {
				job.Keep = func(ctx context.Context, disk func(context.Context, string) error) error {
					used, err := usedImage(dirs, name)
					if err != nil {
						return err
					}
					return allimages.Kept(dirs.State).Put(ctx, debian.Kept{Name: name, Made: time.Now(), From: l.Spec().Image, About: about}, used, disk)
				}
			}
			err = job.Run(c.Context())
			p.close()
			closed = true
			switch {
			case errors.Is(err, rebuild.ErrDone):
				fmt.Fprintf(a.out, "%s has been patched so already\n", n.Name())
				return nil
			case err != nil:
				return err
			}
			fmt.Fprintf(a.out, "%s runs the patched Hurd\n", n.Name())
			if m, err := l.Spec().Node(n.Name()); err == nil && len(m.Machine.Modules) > 0 {
				fmt.Fprintf(a.out, "but for its root file system and exec server, which QEMU loads: a lab of an image of its disk has those, too\n")
			}
			if !noImage {
				fmt.Fprintf(a.out, "its disk is image %s: hurdlab up --image %s --name NAME\n", name, name)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&quick, "quick", false, "build and install only what has changed, without packages")
	c.Flags().StringVar(&series, "series", "", "directory with the series (default: patches/hurd)")
	c.Flags().StringVar(&servers, "servers", "", "directory with files to install in place of building any")
	c.Flags().StringVar(&name, "image-name", "debian-patched", "what the image is called")
	c.Flags().BoolVar(&noImage, "no-image", false, "keep no image")
	return c
}

// usedImage says whether there is a lab of an image.
func usedImage(dirs state.Dirs, image string) (bool, error) {
	labs, err := dirs.Labs()
	if err != nil {
		return false, err
	}
	for _, name := range labs {
		dir, err := dirs.Lab(name)
		if err != nil {
			return false, err
		}
		if s, err := dir.Lab(); err == nil && s.Image == image {
			return true, nil
		}
	}
	return false, nil
}

// A node is a node of the lab to whom a Hurd is given.
type node struct{ *lab.Node }

func (n node) Run(ctx context.Context, script string, out io.Writer) (int, error) {
	p, err := n.Start(ctx, lab.Cmd{Args: []string{"sh", "-c", script}, Stdout: out, Stderr: out})
	if err != nil {
		return 0, err
	}
	exit, err := p.Wait()
	if err == nil && exit.Signal != "" {
		return 0, fmt.Errorf("%s: %v", n.Name(), exit)
	}
	return exit.Status, err
}

func (n node) Disk(ctx context.Context, file string) error { return n.CopyDisk(ctx, file) }
