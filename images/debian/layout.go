package debian

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hurdlab/images/debian/extfs"
	"hurdlab/images/debian/ptable"
)

// A layout is what a disk image has, as far as it matters to who boots it.
type layout struct {
	fs *extfs.FS // the root file system
	// partition is its number, 0 if it is the whole disk.
	partition int
	arch      string // "386" or "amd64"
	// files are those of interesting that there are.
	files map[string]*extfs.Info
	// kernel is a kernel in /boot; "" if there is none.
	kernel string
}

// Files that tell what an image can do.
const (
	grubConfig    = "/boot/grub/grub.cfg"
	grubDefaults  = "/etc/default/grub"
	inittab       = "/etc/inittab"
	openSSH       = "/usr/sbin/sshd"
	sshConfig     = "/etc/ssh/sshd_config"
	runsystem     = "/libexec/runsystem"
	stockPfinet   = "/hurd/pfinet"
	netdde        = "/hurd/netdde"
	rumpnet       = "/hurd/rumpnet"
	devnode       = "/hurd/devnode"
	rumpdisk      = "/hurd/rumpdisk.static"
	pciArbiter    = "/hurd/pci-arbiter.static"
	acpi          = "/hurd/acpi.static"
	ext2fsStatic  = "/hurd/ext2fs.static"
	ext2fs        = "/hurd/ext2fs"
	execStatic    = "/hurd/exec.static"
	execServer    = "/hurd/exec"
	startupServer = "/hurd/startup"
	socket6       = "/servers/socket/26"
	eth0          = "/dev/eth0"
	apt           = "/usr/bin/apt-get"
	gcc           = "/usr/bin/gcc"
)

var interesting = []string{
	grubConfig, grubDefaults, inittab, openSSH, sshConfig, runsystem, stockPfinet, netdde, rumpnet, devnode, rumpdisk,
	pciArbiter, acpi, ext2fsStatic, ext2fs, execStatic, execServer, startupServer, socket6, eth0, apt, gcc,
	"/etc/passwd", "/bin", "/bin/sh", "/usr/bin/sh", "/sbin", "/usr", "/dev/random", "/proc",
	"/lib/ld.so.1", "/lib/ld-x86-64.so.1", imageInit,
}

func (l *layout) has(name string) bool { return l.files[name] != nil }

// bootLoader says that the disk boots by itself.
func (l *layout) bootLoader() bool { return l.has(grubConfig) }

// network says that the image drives a network card itself.
func (l *layout) network() bool { return l.has(stockPfinet) && (l.has(netdde) || l.has(rumpnet)) }

// An ImageError says what is the matter with a disk image.
type ImageError struct {
	File string
	Err  error
	Do   string
}

func (e *ImageError) Error() string { return fmt.Sprintf("image %s: %v", e.File, e.Err) }

func (e *ImageError) Unwrap() error { return e.Err }

// Advice is what the user can do.
func (e *ImageError) Advice() string { return e.Do }

// inspect looks for the root file system of a raw disk image: an ext2 one that
// has /hurd/startup, in a partition or on the whole disk.
func inspect(ctx context.Context, file string) (*layout, error) {
	l, clean, err := find(ctx, file)
	if err == nil && !clean {
		err = &ImageError{file, errors.New("its root file system was not unmounted"), "check it by e2fsck, or shut the Hurd in it down properly"}
	}
	if err != nil {
		return nil, err
	}
	return l, l.look(ctx)
}

// find does it for inspect, and says whether the file system was unmounted.
func find(ctx context.Context, file string) (_ *layout, clean bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	candidates := []ptable.Partition{{Size: st.Size()}}
	if _, err := extfs.ReadSuper(f, 0); errors.Is(err, extfs.ErrNone) {
		parts, err := ptable.Read(f, st.Size())
		if errors.Is(err, ptable.ErrNone) {
			return nil, false, &ImageError{file, errors.New("it has neither a partition table nor an ext2 file system"),
				"name a raw disk image (others: qemu-img convert -O raw FROM TO)"}
		}
		if err != nil {
			return nil, false, &ImageError{File: file, Err: err}
		}
		candidates = parts
	}
	var seen []string
	for _, p := range candidates {
		super, err := extfs.ReadSuper(f, p.Start)
		if errors.Is(err, extfs.ErrNone) {
			seen = append(seen, fmt.Sprintf("partition %d (type %s) has no ext2", p.Number, p.Type))
			continue
		}
		if err != nil {
			return nil, false, &ImageError{File: file, Err: err}
		}
		l := &layout{fs: &extfs.FS{File: file, Offset: p.Start}, partition: p.Number}
		if l.files, err = l.fs.Stat(ctx, interesting...); err != nil {
			return nil, false, err
		}
		switch {
		case !l.has(startupServer):
			seen = append(seen, fmt.Sprintf("partition %d has no %s", p.Number, startupServer))
			continue
		case !super.Hurd:
			return nil, false, &ImageError{file, errors.New("the creator of its root file system is not the Hurd: there is no place for translators"), "make it by mke2fs -o hurd"}
		case !super.Attributes:
			return nil, false, &ImageError{file, errors.New("its root file system has no extended attributes, which passive translators are set by"), "tune2fs -O ext_attr on its root file system"}
		}
		return l, super.Clean, nil
	}
	return nil, false, &ImageError{file, fmt.Errorf("no file system with a Hurd: %s", strings.Join(seen, "; ")), "name a disk image with an installed GNU/Hurd"}
}

// look finds out the rest.
func (l *layout) look(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "hurdlab-debian-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "startup")
	if err := l.fs.Dump(ctx, map[string]string{startupServer: file}); err != nil {
		return err
	}
	e, err := elf.Open(file)
	if err != nil {
		return &ImageError{File: l.fs.File, Err: fmt.Errorf("%s: %w", startupServer, err)}
	}
	defer e.Close()
	switch e.Machine {
	case elf.EM_386:
		l.arch = "386"
	case elf.EM_X86_64:
		l.arch = "amd64"
	default:
		return &ImageError{l.fs.File, fmt.Errorf("it is for %v", e.Machine), "i386 and amd64 are known"}
	}
	names, err := l.fs.List(ctx, "/boot")
	if err != nil {
		return err
	}
	for _, n := range names {
		// The last is the newest; the one for one processor has drivers for
		// disks.
		if strings.HasPrefix(n, "gnumach") && (l.kernel == "" || !strings.Contains(l.kernel, "-up") || strings.Contains(n, "-up")) {
			l.kernel = "/boot/" + n
		}
	}
	return nil
}

// passwd is what the image has; nil if nothing.
func (l *layout) passwd(ctx context.Context) ([]byte, error) { return l.read(ctx, "/etc/passwd") }

// read returns what is in a file; nil if it is not there.
func (l *layout) read(ctx context.Context, name string) ([]byte, error) {
	b, err := l.fs.ReadFile(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// missing are the names that are programs neither in /bin nor in /usr/bin.
func (l *layout) missing(ctx context.Context, names []string) ([]string, error) {
	var all []string
	for _, dir := range []string{"/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/"} {
		for _, n := range names {
			all = append(all, dir+n)
		}
	}
	infos, err := l.fs.Stat(ctx, all...)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return infos["/bin/"+n] != nil || infos["/usr/bin/"+n] != nil || infos["/sbin/"+n] != nil || infos["/usr/sbin/"+n] != nil
	}), nil
}
