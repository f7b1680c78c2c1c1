package memfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"hurdlab/hurd/proto"
)

// PAXTranslator is the key of the PAX record that has an entry's passive
// translator: NUL-terminated strings.
const PAXTranslator = "HURD.translator"

// Load makes the tree that a tar of size bytes has. Contents are not copied:
// they stay in r, which must not change. It understands directories, regular
// files, hard and symbolic links, fifos and devices, and takes owners, modes
// and times from their headers; directories that have no entry are made. An
// entry replaces what an earlier one made, except for directories.
//
// The limits of the file system hold. After an error, what was made is there.
func (f *FS) Load(r io.ReaderAt, size int64) error {
	src := io.NewSectionReader(r, 0, size)
	for t := tar.NewReader(src); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		// A header is read in whole blocks: what follows is the contents.
		at, err := src.Seek(0, io.SeekCurrent)
		if err == nil {
			err = f.load(h, r, at, size)
		}
		if err != nil {
			return fmt.Errorf("tar: %s: %w", h.Name, err)
		}
	}
}

func (f *FS) load(h *tar.Header, r io.ReaderAt, at, size int64) error {
	name := path.Clean("/" + h.Name)[1:]
	a := Attr{Mode: uint32(h.Mode) & 0o7777, UID: uint32(h.Uid), GID: uint32(h.Gid)}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return errors.New("a sparse file")
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		a.Mode |= proto.S_IFREG
		if h.Size < 0 || h.Size > size-at {
			return io.ErrUnexpectedEOF
		}
	case tar.TypeDir:
		a.Mode |= proto.S_IFDIR
	case tar.TypeSymlink:
		a.Mode |= proto.S_IFLNK
		a.Target = h.Linkname
	case tar.TypeFifo:
		a.Mode |= proto.S_IFIFO
	case tar.TypeChar, tar.TypeBlock:
		a.Mode |= proto.S_IFCHR
		if h.Typeflag == tar.TypeBlock {
			a.Mode = a.Mode&^proto.S_IFMT | proto.S_IFBLK
		}
		a.Rdev = Device(uint32(h.Devmajor), uint32(h.Devminor))
	case tar.TypeLink:
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("an entry of type %q", h.Typeflag)
	}
	dir, base, err := f.parent(name)
	if err != nil {
		return err
	}
	defer dir.Release()
	var n *Inode
	switch {
	case base == "": // the root itself
		if h.Typeflag != tar.TypeDir {
			return proto.EISDIR
		}
		n = dir.Hold()
	case h.Typeflag == tar.TypeLink:
		old, err := f.find(path.Clean("/" + h.Linkname)[1:])
		if err != nil {
			return err
		}
		defer old.Release()
		return dir.Link(base, old, false)
	default:
		if n, err = dir.Create(base, a); err == proto.EEXIST {
			n, err = dir.replace(base, a)
		}
		if err != nil {
			return err
		}
	}
	defer n.Release()
	if h.Typeflag == tar.TypeReg {
		if err := n.SetBacking(r, at, h.Size); err != nil {
			return err
		}
	}
	if argz := h.PAXRecords[PAXTranslator]; argz != "" {
		if err := n.SetTranslator([]byte(argz)); err != nil {
			return err
		}
	}
	c := Change{Mode: &a.Mode, UID: &a.UID, GID: &a.GID, Author: &a.UID}
	if !h.ModTime.IsZero() {
		c.Atime, c.Mtime = &h.ModTime, &h.ModTime
	}
	n.Change(c)
	return nil
}

// replace makes an inode in the place of what is there, or returns the
// directory that is there if a directory is wanted.
func (d *Inode) replace(name string, a Attr) (*Inode, error) {
	if a.Mode&proto.S_IFMT == proto.S_IFDIR {
		n, err := d.Lookup(name)
		if err == nil && n.dir == nil {
			n.Release()
			return nil, proto.ENOTDIR
		}
		return n, err
	}
	if err := d.Unlink(name); err != nil {
		return nil, err
	}
	return d.Create(name, a)
}

// parent returns the directory of the last name in a clean relative path,
// held, and that name. It makes directories that are missing.
func (f *FS) parent(p string) (*Inode, string, error) {
	d := f.Root()
	for {
		name, rest, more := strings.Cut(p, "/")
		if !more {
			return d, name, nil
		}
		n, err := d.Lookup(name)
		if err == proto.ENOENT {
			n, err = d.Create(name, Attr{Mode: proto.S_IFDIR | 0o755})
		}
		d.Release()
		if err != nil {
			return nil, "", err
		}
		d, p = n, rest
	}
}

// find returns the inode at a clean relative path, held. It does not follow
// symbolic links.
func (f *FS) find(p string) (*Inode, error) {
	n := f.Root()
	for p != "" {
		name, rest, _ := strings.Cut(p, "/")
		next, err := n.Lookup(name)
		n.Release()
		if err != nil {
			return nil, err
		}
		n, p = next, rest
	}
	return n, nil
}

// Device returns the number of a device, as it is in [Stat] and in records of
// passive translators: the C library's encoding.
func Device(major, minor uint32) uint32 {
	return minor&0xff | major&0xfff<<8 | minor&^0xff<<12
}

// DeviceNumbers undoes [Device].
func DeviceNumbers(dev uint32) (major, minor uint32) {
	return dev >> 8 & 0xfff, dev&0xff | dev>>12&^0xff
}
