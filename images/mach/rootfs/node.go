package rootfs

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/memfs"
	"hurdlab/mach"
	"hurdlab/pager"
)

// Config is what a Tree is made of.
type Config struct {
	// Memory is where the contents of files are kept; nil for Go's heap.
	Memory memfs.Memory
	// MaxBytes and MaxInodes bound the files.
	MaxBytes  int64
	MaxInodes int
	// Generation tells the nodes of this boot from those of others.
	Generation uint32
	// Ports makes the ports of memory objects.
	Ports ports.Exporter
	// Devices are what nodes of type S_IFCHR do, by device number.
	Devices map[uint32]Device
	// Fabricate makes the address of a local socket that is bound to a node:
	// socket_fabricate_address of the server of local sockets. Nil means that
	// there is none.
	Fabricate func(ctx context.Context) (mach.Port, error)
	// Now is the clock; nil for [time.Now].
	Now func() time.Time

	// Watch tells when kernels that map files die: [deathwatch.Watcher.Watch]. May be nil.
	Watch func(control mach.Port, dead func()) (stop func(), err error)
	// Log is told what nobody else is; nil drops it.
	Log func(format string, args ...any)

	// rights, kernel and memory are the real ones if they are nil.
	rights rights
	kernel pager.Kernel
	memory pager.Memory
}

// pageSize is the size of a page of a file.
const pageSize = memfs.PageSize

// A Device opens a device for the O_ flags.
type Device func(ctx context.Context, flags int32) (translator.File, error)

// A Tree is a tree of files as nodes of package translator.
type Tree struct {
	config Config
	files  *memfs.FS
	rights rights
	pager  *pager.Pager
	// buffered is how many bytes are in fifos.
	buffered atomic.Int64
}

// New returns a tree that has an empty root directory.
func New(c Config) *Tree {
	t := &Tree{config: c, rights: c.rights}
	if t.rights == nil {
		t.rights = machRights{}
	}
	t.pager = pager.New(pager.Config{Ports: c.Ports, Kernel: c.kernel, Memory: c.memory, Watch: c.Watch, Log: c.Log})
	t.files = memfs.New(memfs.Config{
		Memory: c.Memory, MaxBytes: c.MaxBytes, MaxInodes: c.MaxInodes,
		Generation: c.Generation, Now: c.Now, Freed: t.freed,
	})
	return t
}

// Files returns the files without the protocol.
func (t *Tree) Files() *memfs.FS { return t.files }

// Root returns the root directory, with a reference.
func (t *Tree) Root() translator.Node { return t.node(t.files.Root()) }

// node returns the node of an inode, with the inode's reference.
func (t *Tree) node(n *memfs.Inode) translator.Node {
	if n.IsDir() {
		return n.Aux(func() any { return &dirNode{node{t, n}} }).(translator.Node)
	}
	kind := n.Stat().Mode & proto.S_IFMT
	return n.Aux(func() any { return t.newFile(n, kind) }).(translator.Node)
}

// newFile makes the node of what is not a directory.
func (t *Tree) newFile(n *memfs.Inode, kind uint32) translator.Node {
	f := fileNode{node{t, n}}
	switch kind {
	case proto.S_IFLNK:
		return &linkNode{f}
	case proto.S_IFIFO:
		return &fifoNode{fileNode: f}
	case proto.S_IFSOCK:
		return &sockNode{fileNode: f}
	case proto.S_IFCHR, proto.S_IFBLK:
		return &deviceNode{f}
	}
	return &regNode{fileNode: f}
}

// freed lets go of what a node had beside its inode.
func (t *Tree) freed(_ uint64, aux any) {
	if s, ok := aux.(*sockNode); ok && s.addr.Valid() {
		t.rights.Release(s.addr)
	}
}

// A node is what all nodes are.
type node struct {
	tree  *Tree
	inode *memfs.Inode
}

func (n *node) self() *memfs.Inode { return n.inode }

// inodeOf returns the inode of a node of this package.
func inodeOf(n translator.Node) (*memfs.Inode, bool) {
	x, ok := n.(interface{ self() *memfs.Inode })
	if !ok {
		return nil, false
	}
	return x.self(), true
}

// Release gives back a reference.
func (n *node) Release() { n.inode.Release() }

func (n *node) Stat(context.Context) (translator.Stat, error) {
	s := n.inode.Stat()
	if s.Translator {
		s.Mode |= proto.S_IPTRANS
	}
	if s.Blocks == 0 && s.Size > 0 {
		s.Blocks = -1 // all holes
	}
	return translator.Stat{
		Ino: s.Ino, Gen: s.Gen, Rdev: s.Rdev, Mode: s.Mode, NLink: s.Nlink,
		UID: s.UID, GID: s.GID, Author: s.Author, Flags: s.Flags, Size: s.Size,
		Atime: s.Atime, Mtime: s.Mtime, Ctime: s.Ctime,
		BlockSize: pageSize, Blocks: s.Blocks,
	}, nil
}

func (n *node) SetAttr(_ context.Context, a translator.Attr) error {
	var c memfs.Change
	for _, x := range []struct {
		bit  translator.AttrSet
		to   **uint32
		from *uint32
	}{
		{translator.SetMode, &c.Mode, &a.Mode}, {translator.SetUID, &c.UID, &a.UID}, {translator.SetGID, &c.GID, &a.GID},
		{translator.SetAuthor, &c.Author, &a.Author}, {translator.SetFlags, &c.Flags, &a.Flags},
	} {
		if a.Set&x.bit != 0 {
			*x.to = x.from
		}
	}
	if a.Set&translator.SetAtime != 0 {
		c.Atime = &a.Atime
	}
	if a.Set&translator.SetMtime != 0 {
		c.Mtime = &a.Mtime
	}
	n.inode.Change(c)
	return nil
}

func (n *node) Translator(context.Context) ([]byte, error) { return n.inode.Translator(), nil }

func (n *node) SetTranslator(_ context.Context, argz []byte) error {
	return n.inode.SetTranslator(argz)
}

// A dirNode is a directory.
type dirNode struct{ node }

var (
	_ translator.MutableDir = (*dirNode)(nil)
	_ translator.Parent     = (*dirNode)(nil)
	_ translator.Attributes = (*dirNode)(nil)
	_ translator.Translated = (*dirNode)(nil)
	_ translator.Releaser   = (*dirNode)(nil)
	_ translator.FileSystem = (*dirNode)(nil)
	_ translator.Handles    = (*dirNode)(nil)
)

// found returns the node of an inode, or the error.
func (d *dirNode) found(n *memfs.Inode, err error) (translator.Node, error) {
	if err != nil {
		return nil, err
	}
	return d.tree.node(n), nil
}

func (d *dirNode) Lookup(_ context.Context, name string) (translator.Node, error) {
	return d.found(d.inode.Lookup(name))
}

func (d *dirNode) Parent(context.Context) (translator.Node, error) {
	return d.found(d.inode.Lookup(".."))
}

func (d *dirNode) ReadDir(context.Context) ([]translator.Dirent, error) {
	slots, err := d.inode.Entries(2, 1<<31-1)
	if err != nil {
		return nil, err
	}
	list := make([]translator.Dirent, 0, len(slots))
	for _, e := range slots {
		if e.Ino != 0 {
			list = append(list, translator.Dirent{Name: e.Name, Ino: e.Ino, Type: e.Mode & proto.S_IFMT})
		}
	}
	d.inode.Accessed()
	return list, nil
}

func attr(n translator.New) memfs.Attr { return memfs.Attr{Mode: n.Mode, UID: n.UID, GID: n.GID} }

func (d *dirNode) Create(_ context.Context, name string, n translator.New) (translator.Node, error) {
	return d.found(d.inode.Create(name, attr(n)))
}

func (d *dirNode) Mkfile(_ context.Context, n translator.New) (translator.Node, error) {
	return d.found(d.tree.files.Anonymous(attr(n)))
}

func (d *dirNode) Link(_ context.Context, name string, n translator.Node, excl bool) error {
	if inode, ok := inodeOf(n); ok {
		return d.inode.Link(name, inode, excl)
	}
	return proto.EXDEV
}

func (d *dirNode) Unlink(_ context.Context, name string) error { return d.inode.Unlink(name) }

func (d *dirNode) Rmdir(_ context.Context, name string) error { return d.inode.Rmdir(name) }

func (d *dirNode) Rename(_ context.Context, name string, dir translator.Node, newName string, excl bool) error {
	to, ok := dir.(*dirNode)
	if !ok {
		return proto.EXDEV
	}
	return d.inode.Rename(name, to.inode, newName, excl)
}

func (d *dirNode) StatFS(context.Context) (translator.StatFS, error) {
	u := d.tree.files.Usage()
	free := uint64(max(u.MaxBytes-u.Bytes, 0)) / pageSize
	return translator.StatFS{
		BlockSize: pageSize, Blocks: uint64(u.MaxBytes) / pageSize, Free: free, Avail: free,
		Files: uint64(u.MaxInodes), FilesFree: uint64(max(u.MaxInodes-u.Inodes, 0)),
	}, nil
}

// Handle returns the number and the generation of a node.
func (d *dirNode) Handle(_ context.Context, n translator.Node) ([]byte, error) {
	inode, ok := inodeOf(n)
	if !ok {
		return nil, proto.EXDEV
	}
	s := inode.Stat()
	b := binary.LittleEndian.AppendUint64(nil, s.Ino)
	return binary.LittleEndian.AppendUint32(b, s.Gen), nil
}

// Node undoes [dirNode.Handle].
func (d *dirNode) Node(_ context.Context, handle []byte) (translator.Node, error) {
	if len(handle) != 12 {
		return nil, proto.ESTALE
	}
	return d.found(d.tree.files.ByNumber(binary.LittleEndian.Uint64(handle), binary.LittleEndian.Uint32(handle[8:])))
}

// A fileNode is what all nodes but directories are. What an inode is can
// change: then it gets another node.
type fileNode struct{ node }

// Now returns the node of what the inode is now.
func (f *fileNode) Now() translator.Node { return f.tree.node(f.inode.Hold()) }

// SetSpecial makes the inode something else.
func (f *fileNode) SetSpecial(_ context.Context, typ, rdev uint32, target string) error {
	err := f.inode.SetKind(memfs.Attr{Mode: typ, Rdev: rdev, Target: target})
	if err == nil {
		f.inode.SetAux(f.tree.newFile(f.inode, typ))
	}
	return err
}

// A linkNode is a symbolic link.
type linkNode struct{ fileNode }

var (
	_ translator.Symlink    = (*linkNode)(nil)
	_ translator.Special    = (*linkNode)(nil)
	_ translator.Attributes = (*linkNode)(nil)
	_ translator.Translated = (*linkNode)(nil)
	_ translator.Releaser   = (*linkNode)(nil)
)

func (n *linkNode) Readlink(context.Context) (string, error) { return n.inode.Target() }

// A deviceNode is a device.
type deviceNode struct{ fileNode }

var _ translator.Opener = (*deviceNode)(nil)

func (n *deviceNode) Open(ctx context.Context, _ translator.User, flags int32) (translator.File, error) {
	s := n.inode.Stat()
	if open := n.tree.config.Devices[s.Rdev]; open != nil && s.Mode&proto.S_IFMT == proto.S_IFCHR {
		return open(ctx, flags)
	}
	return nil, proto.ENXIO
}

// A regNode is a regular file.
type regNode struct {
	fileNode

	mu sync.Mutex
	// object shows the contents to who maps them: made by the first. As long as
	// anybody has a right to it, it has a reference to the inode.
	object *pager.Object
}

var (
	_ translator.ReaderAt   = (*regNode)(nil)
	_ translator.WriterAt   = (*regNode)(nil)
	_ translator.Sizer      = (*regNode)(nil)
	_ translator.Mapper     = (*regNode)(nil)
	_ translator.Syncer     = (*regNode)(nil)
	_ translator.Changeling = (*regNode)(nil)
)

// Release gives back a reference. Kernels keep pages of files that nobody maps; of one
// without a name nobody will.
func (n *regNode) Release() {
	if o := n.mapped(); o != nil && n.inode.Stat().Nlink == 0 {
		o.Cache(false)
	}
	n.fileNode.Release()
}

// mapped returns the memory object, nil if there never was one.
func (n *regNode) mapped() *pager.Object {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.object
}

// SetSpecial makes the inode something else. Its contents go, from the memory
// of who maps them, too.
func (n *regNode) SetSpecial(ctx context.Context, typ, rdev uint32, target string) error {
	set := func() error { return n.fileNode.SetSpecial(ctx, typ, rdev, target) }
	return n.change(func(o *pager.Object) error { return o.SetSize(ctx, 0, set) }, set)
}

// change changes contents: by how, if there is a memory object, or else by fn.
func (n *regNode) change(how func(*pager.Object) error, fn func() error) error {
	n.mu.Lock()
	o := n.object
	if o == nil {
		defer n.mu.Unlock() // nobody maps it meanwhile
		return fn()
	}
	n.mu.Unlock()
	return how(o)
}

func (n *regNode) ReadAt(ctx context.Context, p []byte, off int64) (k int, err error) {
	read := func() error {
		k, err = n.inode.ReadAt(p, off)
		if err == io.EOF {
			err = nil
		}
		return err
	}
	if o := n.mapped(); o != nil {
		err = o.Read(ctx, off, int64(len(p)), read)
	} else {
		err = read()
	}
	if err == nil {
		n.inode.Accessed()
	}
	return k, err
}

func (n *regNode) WriteAt(ctx context.Context, p []byte, off int64) (k int, err error) {
	write := func() error {
		k, err = n.inode.WriteAt(p, off)
		return err
	}
	err = n.change(func(o *pager.Object) error { return o.Write(ctx, off, int64(len(p)), write) }, write)
	return k, err
}

func (n *regNode) SetSize(ctx context.Context, size int64) error {
	if size < 0 {
		return proto.EINVAL
	}
	set := func() error { return n.inode.SetSize(size) }
	return n.change(func(o *pager.Object) error { return o.SetSize(ctx, size, set) }, set)
}

func (n *regNode) Sync(ctx context.Context, wait bool) error {
	if o := n.mapped(); o != nil && wait {
		return o.Sync(ctx, 0, pager.LastPage*pageSize)
	}
	return nil
}

// Map returns a right to the memory object.
func (n *regNode) Map(_ context.Context, prot mach.Prot) (mach.Port, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.object == nil {
		n.object = n.tree.pager.NewObject(pager.ObjectConfig{
			Store: n.inode, Quick: true, Reserve: true,
			Held: func() { n.inode.Hold() }, Left: n.inode.Release,
		})
	}
	return n.object.Right(prot&mach.ProtWrite == 0)
}
