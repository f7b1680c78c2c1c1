// Package memfs is a file system in memory, without any protocol: inodes,
// directories, links, contents. It is what the root file system (package
// rootfs) serves.
//
// Contents of files are either pages of the file system's own, outside Go's
// heap ([Memory]), or extents of a backing store ([io.ReaderAt]) that are read
// when they are needed and copied, page by page, when they are written. Pages
// that were never written take no memory.
//
// The package decides what a file system can do and what is an error, not who
// may do it: permissions are for the layer above. Errors are the Hurd's, as
// package proto encodes them.
//
// # Names of directories
//
// A directory is a row of slots. An entry keeps its slot as long as it has its
// name, and entries that go leave holes that later ones fill, so that a reader
// who comes back with the index of the next slot sees nothing twice and misses
// nothing that was there all the time.
//
// # References
//
// An inode lives as long as it has a link or somebody holds it ([Inode.Hold],
// [Inode.Release]). Methods that return an inode return it held.
//
// Facts about the protocol behind this are from the reference document
// hurd-protocol.md: sections 5.5 (directories), 5.6 (stat), 5.8 (links).
package memfs

import (
	"errors"
	"io"
	"sync"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Limits.
const (
	MaxName       = 255     // bytes of a name
	MaxTarget     = 1023    // bytes of a symbolic link
	MaxTranslator = 4096    // bytes of a passive translator's record
	MaxLinks      = 32000   // names of an inode
	MaxSize       = 1 << 40 // bytes of a file
)

// PageSize is the unit of memory for contents, in bytes.
const PageSize = 4096

// Config is what a file system is made of.
type Config struct {
	// Memory is where contents are kept: nil for Go's heap.
	Memory Memory
	// MaxBytes bounds the memory for contents, symbolic links and
	// translators' records. It is rounded down to pages.
	MaxBytes int64
	// MaxInodes bounds the number of inodes; there can be four times as many
	// names.
	MaxInodes int
	// Generation is that of all inodes of this file system, so that handles
	// of an earlier one are known as stale.
	Generation uint32
	// Now is the clock: nil for [time.Now].
	Now func() time.Time
	// Freed, unless nil, is called when an inode is gone, with what
	// [Inode.Aux] holds. It must not call the file system.
	Freed func(ino uint64, aux any)
}

// An FS is a file system. Its methods and those of its inodes may be called by
// several goroutines.
type FS struct {
	cfg Config

	mu     sync.Mutex // of everything below and of all inodes
	pool   pool
	small  int64 // bytes of links and records
	names  int   // entries of all directories
	last   uint64
	inodes map[uint64]*Inode
	root   *Inode
}

// New returns a file system with an empty root directory of mode 0755, owned
// by 0.
func New(cfg Config) *FS {
	if cfg.Memory == nil {
		cfg.Memory = Heap{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.MaxInodes = max(cfg.MaxInodes, 1)
	f := &FS{cfg: cfg, inodes: make(map[uint64]*Inode)}
	f.pool.mem = cfg.Memory
	f.last = 1 // the root is number 2, as everywhere
	root, err := f.newInode(Attr{Mode: proto.S_IFDIR | 0o755})
	if err != nil {
		panic(err) // there is room for one
	}
	root.dir.parent = root
	root.nlink = 2
	root.refs = 0
	f.root = root
	return f
}

// Attr is what a new inode is given.
type Attr struct {
	Mode     uint32 // type and permissions
	UID, GID uint32
	Rdev     uint32 // of a device
	Target   string // of a symbolic link
}

// An Inode is a file of any type.
type Inode struct {
	fs   *FS
	ino  uint64
	aux  any
	refs int // holders

	mode, uid, gid, author, flags, nlink, rdev uint32
	atime, mtime, ctime                        int64 // nanoseconds since 1970
	translator                                 []byte
	target                                     string
	dir                                        *directory
	file                                       contents
}

// newInode makes an inode, held, without a name. The caller holds f.mu.
func (f *FS) newInode(a Attr) (*Inode, error) {
	if len(f.inodes) >= f.cfg.MaxInodes {
		return nil, proto.ENOSPC
	}
	if len(a.Target) > MaxTarget {
		return nil, proto.ENAMETOOLONG
	}
	if err := f.charge(len(a.Target)); err != nil {
		return nil, err
	}
	f.last++
	now := f.now()
	n := &Inode{
		fs: f, ino: f.last, refs: 1,
		mode: a.Mode, uid: a.UID, gid: a.GID, author: a.UID, rdev: a.Rdev, target: a.Target,
		atime: now, mtime: now, ctime: now,
	}
	if n.kind() == proto.S_IFDIR {
		n.dir = &directory{slot: make(map[string]int)}
	}
	f.inodes[n.ino] = n
	return n, nil
}

func (f *FS) now() int64 { return f.cfg.Now().UnixNano() }

// charge takes bytes from the quota, or gives them back.
func (f *FS) charge(bytes int) error {
	if bytes > 0 && f.used()+int64(bytes) > f.cfg.MaxBytes {
		return proto.ENOSPC
	}
	f.small += int64(bytes)
	return nil
}

func (f *FS) used() int64 { return f.small + int64(f.pool.used)*PageSize }

// room reports whether a page can be had.
func (f *FS) room() bool { return f.used()+PageSize <= f.cfg.MaxBytes }

// settle frees n if nothing needs it any more. The caller holds f.mu.
func (n *Inode) settle() {
	if n.nlink > 0 || n.refs > 0 {
		return
	}
	f := n.fs
	if _, ok := f.inodes[n.ino]; !ok {
		return
	}
	delete(f.inodes, n.ino)
	n.truncatePages(0)
	f.charge(-len(n.target) - len(n.translator))
	n.target, n.translator = "", nil
	if f.cfg.Freed != nil {
		f.cfg.Freed(n.ino, n.aux)
	}
	n.aux = nil
}

// Root returns the root directory, held.
func (f *FS) Root() *Inode {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.root.refs++
	return f.root
}

// ByNumber returns the inode with a number and generation, held: what a file
// handle is good for.
func (f *FS) ByNumber(ino uint64, generation uint32) (*Inode, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[ino]
	if n == nil || generation != f.cfg.Generation {
		return nil, proto.ESTALE
	}
	n.refs++
	return n, nil
}

// Usage tells how full a file system is.
type Usage struct {
	Bytes, MaxBytes   int64
	Inodes, MaxInodes int
}

// Usage tells how full the file system is.
func (f *FS) Usage() Usage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Usage{f.used(), f.cfg.MaxBytes, len(f.inodes), f.cfg.MaxInodes}
}

// Hold keeps the inode until [Inode.Release], even without a name.
func (n *Inode) Hold() *Inode {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.refs++
	return n
}

// Release undoes a [Inode.Hold]. The last one frees what has no name.
func (n *Inode) Release() {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.refs--; n.refs < 0 {
		panic("memfs: Release without Hold")
	}
	n.settle()
}

// Aux returns what an earlier call's make returned, which the inode keeps
// until it is freed.
func (n *Inode) Aux(make func() any) any {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.aux == nil {
		n.aux = make()
	}
	return n.aux
}

// SetAux replaces what Aux returns.
func (n *Inode) SetAux(aux any) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.aux = aux
}

func (n *Inode) kind() uint32 { return n.mode & proto.S_IFMT }

// FS returns the file system of the inode.
func (n *Inode) FS() *FS { return n.fs }

// Ino returns the inode's number, which is never used again.
func (n *Inode) Ino() uint64 { return n.ino }

// Stat describes an inode.
type Stat struct {
	Ino                 uint64
	Gen                 uint32
	Mode                uint32 // type and permissions
	Nlink               uint32
	UID, GID, Author    uint32
	Rdev, Flags         uint32
	Size                int64
	Blocks              int64 // of 512 bytes
	Atime, Mtime, Ctime time.Time
	Translator          bool // there is a passive one
}

// Stat describes the inode.
func (n *Inode) Stat() Stat {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	s := Stat{
		Ino: n.ino, Gen: n.fs.cfg.Generation, Mode: n.mode, Nlink: n.nlink,
		UID: n.uid, GID: n.gid, Author: n.author, Rdev: n.rdev, Flags: n.flags,
		Size:  n.file.size,
		Atime: time.Unix(0, n.atime), Mtime: time.Unix(0, n.mtime), Ctime: time.Unix(0, n.ctime),
		Translator: len(n.translator) > 0,
	}
	switch n.kind() {
	case proto.S_IFDIR:
		s.Size = int64(len(n.dir.slots)+2) * 16
	case proto.S_IFLNK:
		s.Size = int64(len(n.target))
	default:
		s.Blocks = n.blocks()
	}
	return s
}

// change changes attributes of n, and so its ctime.
func (n *Inode) change(fn func() error) error {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if err := fn(); err != nil {
		return err
	}
	n.ctime = n.fs.now()
	return nil
}

// A Change is a change of attributes: of those that are not nil.
type Change struct {
	Mode                    *uint32 // permissions; the type stays
	UID, GID, Author, Flags *uint32
	Atime, Mtime            *time.Time
}

// Change changes attributes, in one step.
func (n *Inode) Change(c Change) {
	_ = n.change(func() error {
		if c.Mode != nil {
			n.mode = n.mode&proto.S_IFMT | *c.Mode&^proto.S_IFMT
		}
		for _, x := range []struct{ to, from *uint32 }{{&n.uid, c.UID}, {&n.gid, c.GID}, {&n.author, c.Author}, {&n.flags, c.Flags}} {
			if x.from != nil {
				*x.to = *x.from
			}
		}
		if c.Atime != nil {
			n.atime = c.Atime.UnixNano()
		}
		if c.Mtime != nil {
			n.mtime = c.Mtime.UnixNano()
		}
		return nil
	})
}

// SetKind makes an empty regular file a device, fifo, socket or symbolic
// link, or any of these another: what setting a translator that the file
// system implements itself does. A regular file's contents are lost.
func (n *Inode) SetKind(a Attr) error {
	return n.change(func() error {
		kind := a.Mode & proto.S_IFMT
		if n.dir != nil || kind == proto.S_IFDIR {
			return proto.EINVAL
		}
		if len(a.Target) > MaxTarget {
			return proto.ENAMETOOLONG
		}
		if err := n.fs.charge(len(a.Target) - len(n.target)); err != nil {
			return err
		}
		if kind != proto.S_IFREG {
			n.truncatePages(0)
			n.file.size = 0
		}
		n.mode = n.mode&^proto.S_IFMT | kind
		n.rdev, n.target = a.Rdev, a.Target
		return nil
	})
}

// Accessed notes that the inode was read.
func (n *Inode) Accessed() {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.atime = n.fs.now()
}

// Translator returns the record of the passive translator, nil if there is
// none: NUL-terminated strings.
func (n *Inode) Translator() []byte {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	return append([]byte(nil), n.translator...)
}

// SetTranslator sets the record of the passive translator; an empty one
// removes it.
func (n *Inode) SetTranslator(argz []byte) error {
	return n.change(func() error {
		if len(argz) > MaxTranslator {
			return proto.ENAMETOOLONG
		}
		if err := n.fs.charge(len(argz) - len(n.translator)); err != nil {
			return err
		}
		n.translator = append([]byte(nil), argz...)
		return nil
	})
}

// Target returns what a symbolic link points to.
func (n *Inode) Target() (string, error) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.kind() != proto.S_IFLNK {
		return "", proto.EINVAL
	}
	return n.target, nil
}

// SetBacking makes size bytes of a backing store, from offset on, the contents
// of an empty regular file.
func (n *Inode) SetBacking(r io.ReaderAt, off, size int64) error {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	switch {
	case n.kind() != proto.S_IFREG || n.file.size != 0:
		return proto.EINVAL
	case size < 0 || size > MaxSize:
		return proto.EFBIG
	}
	n.file.base, n.file.baseOff, n.file.baseLen, n.file.size = r, off, size, size
	return nil
}

// ioError is what a failure of a backing store is to a client.
func ioError(err error) error {
	if _, ok := errors.AsType[mach.KernReturn](err); ok {
		return err
	}
	return proto.EIO
}

// IsDir reports whether the inode is a directory, which never changes.
func (n *Inode) IsDir() bool { return n.dir != nil }
