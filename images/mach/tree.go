package machimage

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hurdlab/images"
	"hurdlab/images/mach/memfs"
	"hurdlab/images/mach/tools"
	"hurdlab/internal/fsatomic"
	goport "hurdlab/patches/go"
)

// A program is a command of the guest: a directory of images/mach/cmd, or that in
// pkg.
type program struct {
	name string
	pkg  string
	// path is where it is in the tree; empty for the boot modules, which are
	// loaded by the boot loader.
	path string
	// links are further names of it.
	links []string
	mode  int64
}

// programs are what the guest's tree is made of. The servers of the start are
// first.
var programs = []program{
	{name: "rootfs"},
	{name: "exec"},
	{name: "hurd", path: "/hurd/startup", links: []string{"auth", "init", "password", "pflocal", "proc"}},
	{name: "netmsg", pkg: "./netmsg/cmd/netmsg", path: "/hurd/netmsg"},
	{name: "pfinet", path: "/hurd/pfinet"},
	{name: "rexec", pkg: "./netmsg/rexec/cmd/rexec", path: "/hurd/rexec"},
	{name: "sshd", path: "/usr/bin/sshd"},
	{name: "tools", path: "/usr/bin/tools", links: append(tools.Names(), "sh")},
}

// An entry is a file of the tree that is no program.
type entry struct {
	path       string
	mode       fs.FileMode
	uid        int
	target     string // of a symbolic link
	major      int64  // of a device
	minor      int64
	translator []string // passive
	data       string   // what is in it
}

// UserName and UserID are the ordinary user of a node, for tests of
// permissions.
const (
	UserName = "user"
	UserID   = 1000
)

// tree is the tree of a node besides its programs. Numbers of devices are those
// of package rootfs.
var tree = []entry{
	{path: "/bin", mode: fs.ModeSymlink | 0o777, target: "usr/bin"}, // as Debian has it,
	{path: "/dev", mode: fs.ModeDir | 0o755},
	{path: "/dev/console", mode: fs.ModeCharDevice | 0o600, major: 5, minor: 1},
	{path: "/dev/full", mode: fs.ModeCharDevice | 0o666, major: 1, minor: 7},
	{path: "/dev/null", mode: fs.ModeCharDevice | 0o666, major: 1, minor: 3},
	{path: "/dev/random", mode: fs.ModeCharDevice | 0o666, major: 1, minor: 8},
	{path: "/dev/time", mode: fs.ModeCharDevice | 0o444, major: 10, minor: 135},
	{path: "/dev/urandom", mode: fs.ModeCharDevice | 0o666, major: 1, minor: 9},
	{path: "/dev/zero", mode: fs.ModeCharDevice | 0o666, major: 1, minor: 5},
	{path: "/etc", mode: fs.ModeDir | 0o755},
	{path: "/etc/protocols", mode: 0o644, data: etcProtocols},
	{path: "/etc/services", mode: 0o644, data: etcServices},
	{path: "/etc/ssh", mode: fs.ModeDir | 0o700},
	{path: "/home", mode: fs.ModeDir | 0o755},
	{path: "/home/" + UserName, mode: fs.ModeDir | 0o755, uid: UserID},
	{path: "/hurd", mode: fs.ModeDir | 0o755},
	{path: "/n", mode: fs.ModeDir | 0o755},
	{path: "/root", mode: fs.ModeDir | 0o700},
	{path: "/servers", mode: fs.ModeDir | 0o755},
	{path: "/servers/exec", mode: 0o644},
	{path: "/servers/exported", mode: fs.ModeDir | 0o700},
	{path: "/servers/exported/rexec", mode: 0o600, translator: []string{"/hurd/rexec"}},
	{path: "/servers/netmsg", mode: 0o644},
	{path: "/servers/password", mode: 0o644, translator: []string{"/hurd/password"}},
	{path: "/servers/socket", mode: fs.ModeDir | 0o755},
	{path: "/servers/socket/1", mode: 0o644, translator: []string{"/hurd/pflocal"}},
	{path: "/servers/socket/2", mode: 0o644},
	{path: "/servers/startup", mode: 0o644},
	{path: "/tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
	{path: "/usr", mode: fs.ModeDir | 0o755},
	{path: "/usr/bin", mode: fs.ModeDir | 0o755},
	{path: "/usr/bin/netmsg", mode: fs.ModeSymlink | 0o777, target: "/hurd/netmsg"},
	{path: "/usr/bin/rexec", mode: fs.ModeSymlink | 0o777, target: "/hurd/rexec"},
	{path: "/var", mode: fs.ModeDir | 0o755},
	{path: "/var/tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
}

// system is the files that a node with servers boots from.
type system struct {
	rootfs, exec string // boot modules
	tree         string // a tar
}

// buildSystem builds the guest's programs and packs its tree. Go's own build
// cache makes this fast when nothing has changed, and right when something
// has; the results are kept by their contents.
func (m *image) buildSystem(ctx context.Context, p images.Progress) (s *system, err error) {
	tc, err := goport.Ensure(ctx, goport.Options{CacheDir: m.opt.CacheDir, Progress: p})
	if err != nil {
		return nil, err
	}
	done := p.Step("build the node's programs")
	defer func() { done(err) }()
	dir := filepath.Join(m.opt.CacheDir, "guest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(dir, ".build-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	args := []string{"build", "-trimpath", "-ldflags=-s -w", "-o", tmp + string(filepath.Separator)}
	for _, g := range programs {
		pkg := g.pkg
		if pkg == "" {
			pkg = "./images/mach/cmd/" + g.name
		}
		args = append(args, pkg)
	}
	cmd, err := tc.CommandIn(ctx, m.opt.Source, args...)
	if err != nil {
		return nil, err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("build the node's programs in %s: %w\n%s", m.opt.Source, err, out)
	}
	contents := make(map[string][]byte)
	for _, g := range programs {
		if contents[g.name], err = os.ReadFile(filepath.Join(tmp, g.name)); err != nil {
			return nil, err
		}
	}
	s = new(system)
	for _, module := range []struct {
		path *string
		name string
	}{{&s.rootfs, "rootfs"}, {&s.exec, "exec"}} {
		if *module.path, err = store(dir, module.name, contents[module.name]); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	if err := writeTree(&b, programs, contents); err != nil {
		return nil, fmt.Errorf("pack the node's tree: %w", err)
	}
	s.tree, err = store(dir, "root.tar", b.Bytes())
	return s, err
}

// store keeps a file by its contents: two labs may be coming up at once, each
// with a source tree of its own.
func store(dir, name string, b []byte) (string, error) {
	sum := sha256.Sum256(b)
	file := filepath.Join(dir, hex.EncodeToString(sum[:8]), name)
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, b) {
		return file, nil
	}
	return file, fsatomic.WriteFile(file, b, 0o755)
}

// writeTree writes the tree as a tar, the same for the same contents.
func writeTree(w *bytes.Buffer, list []program, contents map[string][]byte) error {
	t := tar.NewWriter(w)
	put := func(h tar.Header, body []byte) error {
		h.Name = strings.TrimPrefix(h.Name, "/")
		h.Size = int64(len(body))
		h.ModTime = time.Unix(0, 0)
		h.Format = tar.FormatPAX
		if err := t.WriteHeader(&h); err != nil {
			return err
		}
		_, err := t.Write(body)
		return err
	}
	for _, e := range tree {
		h := tar.Header{Name: e.path, Mode: int64(e.mode.Perm()), Uid: e.uid, Gid: e.uid, Linkname: e.target, Devmajor: e.major, Devminor: e.minor, Typeflag: tar.TypeReg}
		switch {
		case e.mode.IsDir():
			h.Typeflag = tar.TypeDir
			if e.mode&fs.ModeSticky != 0 {
				h.Mode |= 0o1000
			}
		case e.mode&fs.ModeSymlink != 0:
			h.Typeflag = tar.TypeSymlink
		case e.mode&fs.ModeCharDevice != 0:
			h.Typeflag = tar.TypeChar
		}
		if e.translator != nil {
			h.PAXRecords = map[string]string{memfs.PAXTranslator: strings.Join(e.translator, "\x00") + "\x00"}
		}
		if err := put(h, []byte(e.data)); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
	}
	for _, g := range list {
		if g.path == "" {
			continue
		}
		// The Hurd's exec wants a file that is longer than its last segment.
		body := append(slices.Clip(contents[g.name]), 0)
		if err := put(tar.Header{Name: g.path, Mode: 0o755 | g.mode, Typeflag: tar.TypeReg}, body); err != nil {
			return fmt.Errorf("%s: %w", g.path, err)
		}
		for _, link := range g.links {
			h := tar.Header{Name: path.Join(path.Dir(g.path), link), Mode: 0o755, Typeflag: tar.TypeLink, Linkname: strings.TrimPrefix(g.path, "/")}
			if err := put(h, nil); err != nil {
				return fmt.Errorf("%s: %w", link, err)
			}
		}
	}
	return t.Close()
}
