package debian

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hurdlab/images"
	"hurdlab/images/debian/nodeinit"
	machimage "hurdlab/images/mach"
	"hurdlab/images/mach/nodeconfig"
	"hurdlab/internal/fsatomic"
)

// Memory of a node in MiB: what its user gets who does not say, and the least.
const (
	defaultMemoryMB = 1024 // of a whole Debian
	directMemoryMB  = 512  // of a Hurd without one
	minMemoryMB     = 256
)

// bootTimeout bounds the time from one stage to the next: an emulated Debian
// checks file systems and starts its services in minutes.
const bootTimeout = 10 * time.Minute

// A direct is how an image boots that has no boot loader.
type direct struct {
	kernel  string
	root    string // of the kernel's command line
	modules []images.Module
}

// direct takes kernel and modules for it from the image, the kernel from Debian
// if it has none.
func (m *image) direct(ctx context.Context, l *layout, p images.Progress) (_ *direct, err error) {
	done := p.Step("take the kernel's modules from the image")
	defer func() { done(err) }()
	dir, err := os.MkdirTemp("", "hurdlab-boot-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// take keeps a file of the image by its contents.
	take := func(name string) (file string, b []byte, err error) {
		tmp := filepath.Join(dir, filepath.Base(name))
		if err := l.fs.Dump(ctx, map[string]string{name: tmp}); err != nil {
			return "", nil, err
		}
		if b, err = os.ReadFile(tmp); err != nil {
			return "", nil, err
		}
		if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
			if b, err = gunzip(b); err != nil {
				return "", nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		file, err = m.store(strings.TrimSuffix(filepath.Base(name), ".gz"), b)
		return file, b, err
	}
	d := &direct{root: "device:hd0"}
	if l.partition > 0 {
		d.root += fmt.Sprintf("s%d", l.partition)
	}
	switch {
	case m.opt.Kernel == "" && l.kernel != "":
		d.kernel, _, err = take(l.kernel)
	default:
		d.kernel, err = machimage.Kernel(ctx, machimage.Options{CacheDir: m.opt.CacheDir, Kernel: m.opt.Kernel, Mirror: m.opt.Mirror}, p)
	}
	if err != nil {
		return nil, err
	}
	fsName := ext2fsStatic
	if !l.has(fsName) {
		fsName = ext2fs
	}
	if !l.has(fsName) {
		return nil, &ImageError{l.fs.File, fmt.Errorf("it has neither a boot loader nor %s", ext2fsStatic), "name an image that boots"}
	}
	file, b, err := take(fsName)
	if err != nil {
		return nil, err
	}
	if ok, err := static(b); err != nil || !ok {
		return nil, &ImageError{l.fs.File, fmt.Errorf("%s is no static program (%v), which the kernel could start", fsName, err), "put " + ext2fsStatic + " into it"}
	}
	d.modules = append(d.modules, images.Module{Path: file,
		Line: "--multiboot-command-line=${kernel-command-line} --host-priv-port=${host-port} --device-master-port=${device-port} --exec-server-task=${exec-task} -T typed ${root} $(task-create) $(task-resume)"})

	execName := execStatic
	if !l.has(execName) {
		execName = execServer
	}
	if file, b, err = take(execName); err != nil {
		return nil, err
	}
	line := "$(exec-task=task-create)"
	if ok, err := static(b); err != nil {
		return nil, &ImageError{File: l.fs.File, Err: fmt.Errorf("%s: %w", execName, err)}
	} else if !ok {
		if file, _, err = take("/lib/ld.so.1"); err != nil {
			return nil, err
		}
		line = execName + " " + line
	}
	d.modules = append(d.modules, images.Module{Path: file, Line: line})
	return d, nil
}

// static says whether a program needs no dynamic linker.
func static(b []byte) (bool, error) {
	e, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return false, err
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			return false, nil
		}
	}
	return true, nil
}

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, 64<<20))
}

// store keeps a file by its contents.
func (m *image) store(name string, b []byte) (string, error) {
	file := filepath.Join(m.opt.CacheDir, "guest", digest(b)[:16], name)
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, b) {
		return file, nil
	}
	return file, fsatomic.WriteFile(file, b, 0o755)
}

// machine is the boot profile: the devices of a PC for which the image has
// drivers.
//
//	disk     IDE: GNU Mach's own driver (hd0), and rumpdisk's (wd0), without a cache
//	         of writes: Mach's driver never has it flushed, and what QEMU then keeps of
//	         the qcow2 file's own tables would be lost with its process
//	network  e1000 for netdde and rumpnet; virtio for hurdlab's own pfinet
//	display  none that anybody looks at, but the Hurd's console wants one
func (p *parts) machine(disk string, id images.Identity) (*images.Machine, error) {
	memory := id.MemoryMB
	switch {
	case memory == 0 && p.boot != nil:
		memory = directMemoryMB
	case memory == 0:
		memory = defaultMemoryMB
	case memory < minMemoryMB:
		return nil, fmt.Errorf("%d MB of memory is too little for a GNU/Hurd; it needs %d", memory, minMemoryMB)
	}
	m := &images.Machine{
		QEMU:     "qemu-system-i386",
		MemoryMB: memory,
		CPUs:     1, // the kernel's drivers are for one
		NIC:      "virtio-net-pci",
		Disk:     disk, DiskDevice: "ide0-hd0",
		Root: &images.FileSystem{Offset: p.fs.Offset},
		Args: []string{
			// Go programs take their randomness from RDRAND.
			"-cpu", "qemu32,+rdrand",
			"-drive", "file=" + strings.ReplaceAll(disk, ",", ",,") + ",format=qcow2,if=ide,cache.writeback=off,cache.no-flush=on",
		},
		User:        "root",
		Stages:      p.stages(),
		Can:         p.can(),
		BootTimeout: bootTimeout,
		Probe:       &images.Probe{Stage: stageRoot, Time: time.Minute},
	}
	if p.arch == "amd64" {
		m.QEMU = "qemu-system-x86_64"
		m.Args[1] = "qemu64,+rdrand"
	}
	if p.network() {
		m.NIC = "e1000"
	}
	if p.boot == nil {
		m.Args = append(m.Args, "-vga", "std")
		return m, nil
	}
	m.BootTimeout = 0 // there is little to start
	m.Kernel = p.boot.kernel
	m.Append = "root=" + p.boot.root + " console=com0"
	m.Modules = p.boot.modules
	return m, nil
}

const stageRoot = "root file system"

// stages are what the console shows, and where to look if it goes no further.
func (p *parts) stages() []images.Stage {
	var list []images.Stage
	add := func(name, mark, stuck string) {
		list = append(list, images.Stage{Name: name, Mark: mark, Stuck: stuck})
	}
	if p.boot == nil {
		add("boot loader", markLoader, "GRUB runs, but not the kernel: look at the multiboot and module lines of "+grubConfig)
	}
	add("kernel", "GNU Mach", "the kernel runs, but no root file system: it has no driver for the disk, or root= names another partition")
	add(stageRoot, "Hurd server bootstrap", "the root file system is there, but not the system: a server does not start, or the file system is checked")
	if p.programs == nil {
		return list
	}
	add("init", nodeinit.MarkInit, "hurdlab's init runs, but the network does not start: pfinet has no driver for the card")
	add("network", nodeconfig.MarkNetwork, "the network is up, but not the SSH server")
	add("ready", nodeconfig.MarkReady, "")
	return list
}

// can is what nodes can do.
func (p *parts) can() []string {
	can := []string{images.CanHurd}
	if p.programs != nil {
		can = append(can, images.CanGo)
	}
	if p.has(apt) {
		can = append(can, images.CanApt)
	}
	if p.has(gcc) {
		can = append(can, images.CanGCC)
	}
	return can
}
