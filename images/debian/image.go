// Package debian is the images that are GNU/Hurd systems: those that Debian
// publishes (debian for i386, debian-amd64), and disk images of one's own.
//
// An image is obtained (package download) and looked at: where its root file
// system is (package ptable), what boots it, what drives its network card. Each
// node gets a disk of its own, an overlay (package overlay) in which the file
// system has been changed (package extfs) so that the node comes up as the lab's
// node: its name and addresses, the keys of its SSH server and of who may log
// in, its console on the serial line, and hurdlab's own programs with an init of
// theirs (package nodeinit). Nothing is typed, mounted, or done as root.
// docs/debian.md has the whole picture, and what of it has been tried where.
package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"hurdlab/images"
	"hurdlab/images/debian/download"
	"hurdlab/images/debian/overlay"
)

// Options say where things are.
type Options struct {
	// CacheDir is for what can be obtained again, Source is hurdlab's source
	// tree, which programs of the nodes are built from.
	CacheDir, Source string
	// Lock is the file that pins images.
	Lock string
	// Site, Keyrings and Unsigned are those of package download.
	Site     string
	Keyrings []string
	Unsigned bool
	// Kernel is a kernel for images that have none; Debian's GNU Mach for i386 if
	// empty, from Mirror if the host has no apt.
	Kernel, Mirror string
}

// Release is the release that New's images are of.
const Release = "Debian GNU/Hurd 2025"

// releaseDir is its directory on the site: Debian 13.
const releaseDir = "13.0/"

// New returns Debian's image for an architecture as Debian calls it, "i386" or
// "amd64".
func New(arch string, opt Options) images.Image {
	name := "debian"
	if arch != "i386" {
		name += "-" + arch
	}
	return &image{name: name, opt: opt, release: &download.Release{
		Name: name, Dir: releaseDir + "hurd-" + arch, Arch: "hurd-" + arch,
	}}
}

// File returns the image that is in a file: a raw disk, with or without
// partitions. It must not change as long as there are labs of it.
func File(file string, opt Options) images.Image {
	return &image{name: file, opt: opt, file: file}
}

type image struct {
	name    string
	opt     Options
	release *download.Release // or
	file    string
	about   string // of a kept one

	mu       sync.Mutex
	prepared *parts
}

// parts is what machines are made of.
type parts struct {
	*layout
	programs map[string]string // files of the host, by name; none for amd64
	boot     *direct           // nil if the image boots by itself
}

func (m *image) Name() string { return m.name }

func (m *image) Describe() string {
	if m.about != "" {
		return m.about
	}
	if m.release == nil {
		return "a GNU/Hurd in a disk image of yours"
	}
	return fmt.Sprintf("%s for %s, a full GNU/Hurd; some 350 MB to download, 5 GB on the disk", Release, m.release.Arch)
}

func (m *image) Prepare(ctx context.Context, p images.Progress) (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	file := m.file
	if m.release != nil {
		if file, _, err = download.Get(ctx, download.Options{
			Site: m.opt.Site, Dir: filepath.Join(m.opt.CacheDir, m.name), Lock: m.opt.Lock,
			Keyrings: m.opt.Keyrings, Unsigned: m.opt.Unsigned,
		}, *m.release, p); err != nil {
			return err
		}
	} else if file, err = filepath.Abs(file); err != nil {
		return err
	}
	parts := new(parts)
	if parts.layout, err = inspect(ctx, file); err != nil {
		return err
	}
	switch {
	case parts.arch == "386":
		if parts.programs, err = m.build(ctx, p); err != nil {
			return err
		}
	case !parts.has(openSSH):
		return &ImageError{file, errors.New("it has no SSH server, and hurdlab's own is for i386 only"), "install openssh-server in it"}
	case !parts.bootLoader():
		return &ImageError{file, fmt.Errorf("it has no %s, and only kernels for i386 are booted without a boot loader", grubConfig), "install GRUB in it"}
	case !parts.network():
		return &ImageError{file, errors.New("it has no driver for a network card, and hurdlab's own is for i386 only"), "install the Hurd's netdde in it"}
	}
	if parts.programs == nil {
		p.Logf("it is for %s: nodes are reached by their own SSH server, and have none of hurdlab's programs, which are for i386 (no mounts of other nodes, no rexec)", parts.arch)
	}
	if !parts.bootLoader() {
		if parts.boot, err = m.direct(ctx, parts.layout, p); err != nil {
			return err
		}
	}
	m.prepared = parts
	return nil
}

func (m *image) Machine(ctx context.Context, id images.Identity) (*images.Machine, error) {
	m.mu.Lock()
	parts := m.prepared
	m.mu.Unlock()
	if parts == nil {
		return nil, fmt.Errorf("image %s: Machine before Prepare", m.name)
	}
	files, err := parts.nodeFiles(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("prepare the disk of %s: %w", id.Name, err)
	}
	if err := os.MkdirAll(id.Dir, 0o700); err != nil {
		return nil, err
	}
	disk := filepath.Join(id.Dir, "disk.qcow2")
	base := &overlay.Base{File: parts.fs.File, Format: "raw", Offset: parts.fs.Offset}
	if err := base.Create(ctx, disk, files); err != nil {
		return nil, fmt.Errorf("prepare the disk of %s: %w", id.Name, err)
	}
	return parts.machine(disk, id)
}
