package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"hurdlab/images"
	allimages "hurdlab/images/catalogue"
	"hurdlab/lab"
	"hurdlab/lab/problem"
)

// A labFlags is the flags that say what lab to start.
type labFlags struct {
	nodes, memory         int
	image, kernel, mirror string
	site                  string
	keyrings              []string
	unsigned              bool
	accel                 string
	seed                  uint64
	bootTimeout           time.Duration
	capture               bool
}

func (f *labFlags) register(c *cobra.Command, nodes int) {
	c.Flags().IntVar(&f.nodes, "nodes", nodes, "how many nodes")
	c.Flags().IntVar(&f.memory, "memory", 0, "memory of each node in MB; 0 is what the image likes")
	c.Flags().BoolVar(&f.capture, "pcap", false, "keep all frames of the network, for hurdlab bundle")
	f.registerImage(c)
}

// registerImage registers those that say what nodes boot, and how.
func (f *labFlags) registerImage(c *cobra.Command) {
	c.Flags().StringVar(&f.image, "image", "mach", "what the nodes boot: mach, debian, debian-amd64, what hurdlab patch has made, or the FILE of a disk image")
	c.Flags().StringVar(&f.site, "image-site", os.Getenv("HURDLAB_IMAGE_SITE"), "URL that images of Debian are published under; its default is $HURDLAB_IMAGE_SITE, if that is set")
	c.Flags().StringArrayVar(&f.keyrings, "keyring", nil, "file with keys that may sign images, instead of Debian's keyrings")
	c.Flags().BoolVar(&f.unsigned, "image-unsigned", false, "take an image that nobody has signed: the site is trusted")
	c.Flags().StringVar(&f.kernel, "kernel", "", "boot this kernel file instead of Debian's")
	c.Flags().StringVar(&f.mirror, "mirror", "", "URL of a Debian mirror, for hosts without apt")
	c.Flags().StringVar(&f.accel, "accel", "auto", "auto, tcg or kvm; auto takes KVM only if it is seen to work")
	c.Flags().Uint64Var(&f.seed, "seed", 0, "decides what the network's faults do; 0 picks one")
	c.Flags().DurationVar(&f.bootTimeout, "boot-timeout", 0, "how long a boot may stand still (default: what the image likes)")
}

// spec is the lab that the flags ask for.
func (f *labFlags) spec(a *app) (lab.Spec, error) {
	dirs, err := a.dirs()
	if err != nil {
		return lab.Spec{}, err
	}
	kernel := f.kernel
	if kernel != "" {
		if kernel, err = filepath.Abs(kernel); err != nil { // the daemon works elsewhere
			return lab.Spec{}, err
		}
	}
	o := imageOptions{
		cacheDir: dirs.Cache, stateDir: dirs.State, kernel: kernel, mirror: f.mirror,
		site: f.site, keyrings: f.keyrings, unsigned: f.unsigned,
	}
	name := f.image
	if file, ok, err := allimages.File(name); err != nil {
		return lab.Spec{}, err
	} else if ok {
		name, o.file = file, file
	}
	image, err := a.image(name, o)
	if err != nil {
		return lab.Spec{}, err
	}
	return lab.Spec{
		Name: a.name, Nodes: f.nodes, Image: image, MemoryMB: f.memory, Seed: f.seed,
		BootTimeout: f.bootTimeout, Capture: f.capture, Accel: f.accel, Dirs: dirs,
	}, nil
}

// image finds an image by name.
func (a *app) image(name string, o imageOptions) (images.Image, error) {
	cat, err := a.catalogue(o)
	if err != nil {
		return nil, err
	}
	m, err := cat.Find(name)
	if err != nil {
		return nil, problem.Wrap(err, "", "choose one of those with --image, or name a disk image by a path with a slash: --image ./FILE")
	}
	return m, nil
}

func upCmd(a *app) *cobra.Command {
	var f labFlags
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a lab",
		Long: `Start a lab and return when all of its nodes are up. The first time this fetches
the kernel and builds what the nodes boot, which takes minutes; later it takes
seconds. If it fails or is interrupted, nothing is left running.`,
		Example: `  hurdlab up --nodes 2
  hurdlab up --nodes 8 --name big --memory 64
  hurdlab up --nodes 3 --seed 7        # the same faults as last time`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			spec, err := f.spec(a)
			if err != nil {
				return err
			}
			p := newProgress(a.err)
			spec.Watch = p.event
			began := time.Now()
			l, err := lab.Up(c.Context(), spec)
			p.close()
			if err != nil {
				return err
			}
			s := l.Spec()
			fmt.Fprintf(a.out, "lab %q is up: %s of image %s in %.1f s (%s: %s)\n",
				s.Name, count(len(s.Nodes), "node"), s.Image, time.Since(began).Seconds(), s.Accel, s.AccelWhy)
			for _, n := range s.Nodes {
				fmt.Fprintf(a.out, "  %-8s %s\n", n.Name, n.Addr)
			}
			return nil
		},
	}
	f.register(c, 2)
	return c
}

// count says how many there are of something.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
