package translator

import (
	"context"
	"time"

	"hurdlab/mach"
)

// A Node is a file, a directory or whatever else a translator shows. What it
// can do besides being looked at is told by the other interfaces of this file
// that it implements; what it does not implement fails with EOPNOTSUPP, or
// with the error that is customary (reading a directory: EISDIR).
//
// Nodes have identity: two look-ups of one file return equal Nodes, and nodes
// are comparable (a pointer, or a small value such as a struct of integers).
// The library keeps for each node that is in use what it alone knows: who has
// it open, the active translator, locks, who wants to hear of changes.
//
// Methods are called concurrently. Their ctx ends when the client interrupts
// the call (interrupt_operation) or the translator goes away; a method that
// waits returns then. The library has checked the client's permissions
// against Stat before it calls any of them: nodes only store. Errors are
// [mach.KernReturn] codes such as proto.ENOENT; the general errors of package
// io/fs are understood, too; anything else reaches the client as EIO.
type Node interface {
	// Stat describes the node. It must not wait long: everything calls it.
	Stat(ctx context.Context) (Stat, error)
}

// A Stat is what there is to know about a node: hurd-protocol.md 5.6. The
// library fills in the file system's id and type, the bits S_IATRANS and
// S_IROOT, and, if they are zero, NLink (1), BlockSize (4096), Blocks (of
// Size) and Author (UID). A zero time is when the file system began.
type Stat struct {
	Ino    uint64
	Gen    uint32
	Rdev   uint32 // of a device: major<<8 | minor
	Mode   uint32 // type, permissions, and S_IPTRANS if there is a passive translator
	NLink  uint32
	UID    uint32
	GID    uint32
	Author uint32
	Flags  uint32
	Size   int64 // bytes

	Atime, Mtime, Ctime time.Time

	BlockSize int   // preferred size of reads and writes, bytes
	Blocks    int64 // of 512 bytes; negative for none, of a file that is all holes
}

// A Releaser is a node that counts who uses it, so that it can let go of the
// contents of a file that has no name any more. Each Node that a method
// returned (Lookup, Create, Mkfile, Parent ...) carries a reference that the
// library gives back once.
type Releaser interface {
	Release()
}

// Contents, with positions.

// A ReaderAt is a node, or a [File], that can be read at any place.
type ReaderAt interface {
	// ReadAt reads up to len(p) bytes at off >= 0. At the end of the file it
	// returns 0, or fewer bytes than asked for, and no error; io.EOF is the
	// same. It may return fewer bytes for no reason.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
}

// A WriterAt can be written at any place.
type WriterAt interface {
	// WriteAt writes p at off >= 0, which may be beyond the end, and returns
	// how many bytes it wrote: fewer than all only with an error, which the
	// client gets to know of only if n is 0. It sets the times. Appending is
	// done by the library: it knows the size from Stat and lets nobody else
	// write meanwhile.
	WriteAt(ctx context.Context, p []byte, off int64) (int, error)
}

// A Sizer can be truncated and extended.
type Sizer interface {
	SetSize(ctx context.Context, size int64) error
}

// A Mapper can be mapped: io_map.
type Mapper interface {
	// Map returns a memory object with the node's contents that allows as
	// much as prot ([mach.ProtRead], [mach.ProtWrite], both; execution comes
	// with reading): a send right that the caller owns.
	Map(ctx context.Context, prot mach.Prot) (mach.Port, error)
}

// Contents that flow, and what opening means.

// A Stream is the contents of a node or [File] that has no positions: a fifo,
// a console, a device.
type Stream interface {
	// Read waits until there is something to read and returns it, up to
	// len(p) bytes; 0 bytes without an error are the end. With nonblock it
	// does not wait but fails with EAGAIN.
	Read(ctx context.Context, p []byte, nonblock bool) (int, error)
	// Write waits until some of p can be written and returns how much was.
	Write(ctx context.Context, p []byte, nonblock bool) (int, error)
}

// A Selector tells when it is ready. Nodes and Files that do not implement it
// are always ready.
type Selector interface {
	// Select waits until the node is ready for at least one of what is
	// wanted, and returns all of what is wanted that it is ready for. When ctx
	// ends it returns its cause. If it is called with a ctx that has ended
	// already, it tells what is ready now.
	Select(ctx context.Context, want Ready) (Ready, error)
}

// Ready is a set of what select waits for.
type Ready int32

const (
	ReadyRead   Ready = 1 // a read would not wait
	ReadyWrite  Ready = 2 // a write would not wait
	ReadyUrgent Ready = 4
)

// A Readable knows how many bytes can be read without waiting. Of what has
// positions the library knows it.
type Readable interface {
	Readable(ctx context.Context) (int64, error)
}

// An Opener has state for each time that it is opened. Without it, the Node
// itself is what is open.
type Opener interface {
	// Open opens the node for the O_ flags, of which the permissions have
	// been checked. It may wait, as a fifo does for its other end: ctx.
	Open(ctx context.Context, user User, flags int32) (File, error)
}

// A File is an open node. It can be all that this file calls contents:
// ReaderAt, WriterAt, Sizer, Mapper, Stream, Selector, Readable; what the File
// is not, the node may be.
type File interface {
	// Close is called once, when nobody has the file open any more.
	Close()
}

// A Protocols is a node whose ports serve other protocols besides io and fs:
// the root of a socket server, for instance.
type Protocols interface {
	// Protocols returns what proto.Handler serves for one client that has
	// opened the node.
	Protocols(user User, flags int32) []any
}

// Directories.

// A Dir is a directory.
type Dir interface {
	// Lookup returns the node of a name in the directory, or ENOENT. The name
	// is neither empty nor "." nor "..", and has no slash.
	Lookup(ctx context.Context, name string) (Node, error)
	// ReadDir lists the directory, in any order, without "." and "..". The
	// slice is the caller's. The library keeps the listing while a client
	// reads through it, so that names which come and go meanwhile do not
	// disturb the others.
	ReadDir(ctx context.Context) ([]Dirent, error)
}

// A Dirent is an entry of a directory.
type Dirent struct {
	Name string
	Ino  uint64
	Type uint32 // the S_IFMT bits of the mode; 0 is unknown
}

// A Parent is a directory that knows where it is: what ".." is. Of other
// directories, it is the one that they were reached through when they were
// opened. The root is not asked. A directory that is a [Releaser] must be a
// Parent.
type Parent interface {
	Parent(ctx context.Context) (Node, error)
}

// A New describes a node to be made. The library has applied the rules for
// owner, group and mode.
type New struct {
	Mode     uint32 // S_IFREG or S_IFDIR, and permissions
	UID, GID uint32
}

// A MutableDir is a directory that can be changed. The library makes changes
// to one directory one after the other, and has checked that the user may make
// them and that no translator is in the way; the directory checks what is in
// its contents, with all that one method does being one step for others.
// Names are as in Lookup and at most [MaxName] bytes long.
type MutableDir interface {
	Dir
	// Create makes a file or directory. A name that is there already is
	// EEXIST.
	Create(ctx context.Context, name string, n New) (Node, error)
	// Mkfile makes a file without a name, on the directory's file system.
	Mkfile(ctx context.Context, n New) (Node, error)
	// Link gives the node, which is not a directory, another name. What had
	// the name before is replaced if it is no directory (EISDIR), or with excl
	// is EEXIST.
	Link(ctx context.Context, name string, n Node, excl bool) error
	// Unlink removes the name of what is not a directory (EPERM).
	Unlink(ctx context.Context, name string) error
	// Rmdir removes an empty directory: ENOTDIR, ENOTEMPTY.
	Rmdir(ctx context.Context, name string) error
	// Rename moves a name to another directory of the same file system, which
	// may be the same directory. What had the new name is replaced: a
	// directory, if it is empty, only by a directory, others only by others
	// (EISDIR, ENOTDIR, ENOTEMPTY); with excl that is EEXIST. If both names
	// are of one node nothing happens. A directory cannot move into itself
	// (EINVAL).
	Rename(ctx context.Context, name string, dir Node, newName string, excl bool) error
}

// MaxName is the length of the longest name in a directory, in bytes: that of
// an entry in dir_readdir.
const MaxName = 255

// Attributes.

// An Attributes is a node whose attributes can be changed. The change time is
// the node's own duty.
type Attributes interface {
	// SetAttr changes what a.Set names, in one step.
	SetAttr(ctx context.Context, a Attr) error
}

// An Attr is a change to a node's attributes.
type Attr struct {
	Set          AttrSet
	Mode         uint32 // permissions with S_ISUID, S_ISGID, S_ISVTX; never the type
	UID, GID     uint32
	Author       uint32
	Flags        uint32
	Atime, Mtime time.Time
}

// An AttrSet is a set of the fields of an [Attr].
type AttrSet uint8

const (
	SetMode AttrSet = 1 << iota
	SetUID
	SetGID
	SetAuthor
	SetFlags
	SetAtime
	SetMtime
)

// A Symlink is a symbolic link: Stat says S_IFLNK.
type Symlink interface {
	Readlink(ctx context.Context) (string, error)
}

// A Special is a node that can become something else than a file: a symbolic
// link, a device, a fifo or a socket. That is how those are made (5.8): the
// translators /hurd/symlink, chrdev, blkdev, fifo and ifsock are not stored as
// translators. A fifo waits and flows by what the node does in [Opener].
type Special interface {
	// SetSpecial gives the node the type typ: S_IFLNK with a target, S_IFCHR
	// and S_IFBLK with a device number, S_IFIFO, S_IFSOCK, or S_IFREG again.
	SetSpecial(ctx context.Context, typ uint32, rdev uint32, target string) error
}

// A Changeling is a [Special] for which look-ups find another Node after
// SetSpecial, one that can do what the type does. What is open already stays
// what it was, until it is looked up again as "".
type Changeling interface {
	Special
	// Now returns the node that a look-up finds, with a reference.
	Now() Node
}

// A Translated is a node that keeps a passive translator: the command line
// that starts it, as strings that each end with a zero byte (argz). Stat says
// S_IPTRANS if there is one. Active translators are the library's.
type Translated interface {
	// Translator returns the record, or nothing.
	Translator(ctx context.Context) ([]byte, error)
	// SetTranslator keeps the record; an empty one removes it.
	SetTranslator(ctx context.Context, argz []byte) error
}

// An Accesser decides itself who may do what. Of other nodes, the library
// decides by Stat as the Hurd does.
type Accesser interface {
	// Access returns what the user may do: a set of O_READ, O_WRITE and
	// O_EXEC.
	Access(ctx context.Context, user User) (int32, error)
}

// A Syncer has something to write to a store.
type Syncer interface {
	Sync(ctx context.Context, wait bool) error
}

// What the root node can do for the whole file system.

// A FileSystem is a root node that knows how much room there is.
type FileSystem interface {
	StatFS(ctx context.Context) (StatFS, error)
}

// A StatFS describes a file system: hurd-protocol.md 5.7. The library fills
// in the type, the id, and the length of names.
type StatFS struct {
	BlockSize           int // bytes
	Blocks, Free, Avail uint64
	Files, FilesFree    uint64
}

// A FSSyncer is a root node that can write out everything.
type FSSyncer interface {
	SyncFS(ctx context.Context, wait bool) error
}

// A Handles is a root node whose nodes can be found again by a few bytes:
// file_getfh and fsys_getfile.
type Handles interface {
	Handle(ctx context.Context, n Node) ([]byte, error)
	// Node returns the node of a handle, or ESTALE.
	Node(ctx context.Context, handle []byte) (Node, error)
}
