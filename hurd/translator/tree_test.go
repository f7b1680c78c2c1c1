package translator_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// A tree is a file system in memory that keeps exactly what the interfaces
// say, one lock for everything. It counts references.
type tree struct {
	mu   sync.Mutex
	ino  uint64
	refs atomic.Int64 // of all nodes that were returned and not released
	root *file
}

type file struct {
	t       *tree
	st      translator.Stat
	data    []byte
	names   map[string]*file // of a directory
	up      *file
	target  string
	record  []byte
	unnamed bool
}

func newTree() *tree {
	t := new(tree)
	t.root = t.file(proto.S_IFDIR|0o755, 0, 0)
	t.root.up = t.root
	t.refs.Store(1)
	return t
}

func (t *tree) file(mode, uid, gid uint32) *file {
	t.ino++
	f := &file{t: t, st: translator.Stat{Ino: t.ino, Mode: mode, UID: uid, GID: gid}}
	if mode&proto.S_IFMT == proto.S_IFDIR {
		f.names = map[string]*file{}
	}
	return f
}

// add makes a node, for tests to begin with.
func (t *tree) add(dir *file, name string, mode, uid, gid uint32) *file {
	f := t.file(mode, uid, gid)
	f.st.NLink = 1
	f.up = dir
	dir.names[name] = f
	return f
}

func (t *tree) link(dir *file, name, target string) *file {
	f := t.add(dir, name, proto.S_IFLNK|0o777, 0, 0)
	f.target = target
	return f
}

func (f *file) lock() func() {
	f.t.mu.Lock()
	return f.t.mu.Unlock
}

func (f *file) use() *file {
	f.t.refs.Add(1)
	return f
}

func (f *file) Release() {
	if f.t.refs.Add(-1) < 0 {
		panic("a node is released too often")
	}
}

func (f *file) dir() bool { return f.names != nil }

func (f *file) Stat(context.Context) (translator.Stat, error) {
	defer f.lock()()
	st := f.st
	st.Size = int64(len(f.data))
	if f.target != "" {
		st.Size = int64(len(f.target))
	}
	if f.record != nil {
		st.Mode |= proto.S_IPTRANS
	}
	if f.dir() {
		st.NLink = 2
	}
	return st, nil
}

func (f *file) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	defer f.lock()()
	if f.dir() {
		return 0, proto.EISDIR
	}
	if f.st.Mode&proto.S_IFMT == proto.S_IFLNK {
		return copy(p, f.target[min(off, int64(len(f.target))):]), nil
	}
	return copy(p, f.data[min(off, int64(len(f.data))):]), nil
}

func (f *file) WriteAt(_ context.Context, p []byte, off int64) (int, error) {
	defer f.lock()()
	if off+int64(len(p)) > 1<<20 {
		return 0, proto.EFBIG
	}
	f.size(max(int64(len(f.data)), off+int64(len(p))))
	return copy(f.data[off:], p), nil
}

func (f *file) size(n int64) {
	if n <= int64(len(f.data)) {
		f.data = f.data[:n:n]
		return
	}
	f.data = append(f.data, make([]byte, n-int64(len(f.data)))...)
}

func (f *file) SetSize(_ context.Context, n int64) error {
	defer f.lock()()
	if n > 1<<20 {
		return proto.EFBIG
	}
	f.size(n)
	return nil
}

func (f *file) SetAttr(_ context.Context, a translator.Attr) error {
	defer f.lock()()
	if a.Set&translator.SetMode != 0 {
		f.st.Mode = f.st.Mode&proto.S_IFMT | a.Mode
	}
	if a.Set&translator.SetUID != 0 {
		f.st.UID = a.UID
	}
	if a.Set&translator.SetGID != 0 {
		f.st.GID = a.GID
	}
	if a.Set&translator.SetAuthor != 0 {
		f.st.Author = a.Author
	}
	if a.Set&translator.SetFlags != 0 {
		f.st.Flags = a.Flags
	}
	if a.Set&translator.SetAtime != 0 {
		f.st.Atime = a.Atime
	}
	if a.Set&translator.SetMtime != 0 {
		f.st.Mtime = a.Mtime
	}
	f.st.Ctime = time.Now()
	return nil
}

func (f *file) Readlink(context.Context) (string, error) {
	defer f.lock()()
	if f.target == "" {
		return "", proto.EINVAL
	}
	return f.target, nil
}

func (f *file) SetSpecial(_ context.Context, typ, rdev uint32, target string) error {
	defer f.lock()()
	f.st.Mode = f.st.Mode&^proto.S_IFMT | typ
	f.st.Rdev, f.target = rdev, target
	return nil
}

func (f *file) Translator(context.Context) ([]byte, error) {
	defer f.lock()()
	return f.record, nil
}

func (f *file) SetTranslator(_ context.Context, argz []byte) error {
	defer f.lock()()
	f.record = slices.Clone(argz)
	return nil
}

func (f *file) Parent(context.Context) (translator.Node, error) {
	defer f.lock()()
	return f.up.use(), nil
}

func (f *file) Lookup(_ context.Context, name string) (translator.Node, error) {
	defer f.lock()()
	if !f.dir() {
		return nil, proto.ENOTDIR
	}
	n := f.names[name]
	if n == nil {
		return nil, proto.ENOENT
	}
	return n.use(), nil
}

func (f *file) ReadDir(context.Context) ([]translator.Dirent, error) {
	defer f.lock()()
	if !f.dir() {
		return nil, proto.ENOTDIR
	}
	var list []translator.Dirent
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		n := f.names[name]
		list = append(list, translator.Dirent{Name: name, Ino: n.st.Ino, Type: n.st.Mode & proto.S_IFMT})
	}
	return list, nil
}

func (f *file) Create(_ context.Context, name string, n translator.New) (translator.Node, error) {
	defer f.lock()()
	if f.unnamed {
		return nil, proto.ENOENT
	}
	if f.names[name] != nil {
		return nil, proto.EEXIST
	}
	return f.t.add(f, name, n.Mode, n.UID, n.GID).use(), nil
}

func (f *file) Mkfile(_ context.Context, n translator.New) (translator.Node, error) {
	defer f.lock()()
	return f.t.file(n.Mode, n.UID, n.GID).use(), nil
}

func (f *file) Link(_ context.Context, name string, n translator.Node, excl bool) error {
	defer f.lock()()
	if old := f.names[name]; old != nil {
		if excl {
			return proto.EEXIST
		}
		if old.dir() {
			return proto.EISDIR
		}
		old.st.NLink--
	}
	g := n.(*file)
	g.st.NLink++
	g.up = f
	f.names[name] = g
	return nil
}

func (f *file) Unlink(_ context.Context, name string) error {
	defer f.lock()()
	n := f.names[name]
	switch {
	case n == nil:
		return proto.ENOENT
	case n.dir():
		return proto.EPERM
	}
	n.st.NLink--
	delete(f.names, name)
	return nil
}

func (f *file) Rmdir(_ context.Context, name string) error {
	defer f.lock()()
	n := f.names[name]
	switch {
	case n == nil:
		return proto.ENOENT
	case !n.dir():
		return proto.ENOTDIR
	case len(n.names) > 0:
		return proto.ENOTEMPTY
	}
	n.unnamed = true
	delete(f.names, name)
	return nil
}

func (f *file) Rename(_ context.Context, name string, dir translator.Node, newName string, excl bool) error {
	defer f.lock()()
	to := dir.(*file)
	n := f.names[name]
	if n == nil {
		return proto.ENOENT
	}
	for d := to; n.dir() && d != f.t.root; d = d.up {
		if d == n {
			return proto.EINVAL
		}
	}
	if old := to.names[newName]; old != nil {
		switch {
		case excl:
			return proto.EEXIST
		case old == n:
			return nil
		case old.dir() && !n.dir():
			return proto.EISDIR
		case !old.dir() && n.dir():
			return proto.ENOTDIR
		case len(old.names) > 0:
			return proto.ENOTEMPTY
		}
		if old.dir() {
			old.unnamed = true
		} else {
			old.st.NLink--
		}
	}
	delete(f.names, name)
	to.names[newName] = n
	n.up = to
	return nil
}

func (f *file) Map(context.Context, mach.Prot) (mach.Port, error) { return mach.Null, proto.EOPNOTSUPP }
