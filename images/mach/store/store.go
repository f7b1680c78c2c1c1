// Package store is the node's tree of files, in memory: where scp puts
// programs, where they are run from, and what the root port serves to them.
// In a Hurd this room is the root file system's, which replaces it.
//
// The contents of files are not in Go's heap but in memory from [Memory],
// whole pages per file: they go back to the system when the file goes, and the
// program loader (package exec) can share them with tasks, copy on write.
//
// There are directories and regular files, no links. Paths are absolute or
// relative to the root; ".." is resolved in the path. Errors are
// [*fs.PathError] with one of package io/fs's errors or of this package's.
package store

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of names, those of the Hurd's protocols.
const (
	MaxName = 255
	MaxPath = 1023
)

// What can be wrong besides the errors of package io/fs.
var (
	ErrNotDir      = errors.New("not a directory")
	ErrIsDir       = errors.New("is a directory")
	ErrNotEmpty    = errors.New("directory not empty")
	ErrNoSpace     = errors.New("no space left in the node's memory for files")
	ErrNameTooLong = errors.New("file name too long")
)

// Memory provides the memory of file contents.
type Memory interface {
	// Alloc returns n bytes of zeroed memory, n > 0, at the start of a page.
	Alloc(n int) ([]byte, error)
	// Free releases what Alloc returned.
	Free(b []byte)
}

// Heap is Memory from Go's heap, for tests.
type Heap struct{}

// Alloc allocates n bytes.
func (Heap) Alloc(n int) ([]byte, error) { return make([]byte, n), nil }

// Free leaves b to the garbage collector.
func (Heap) Free([]byte) {}

// chunk is the unit in which a file's memory grows, in bytes: a page.
const chunk = 4096

// An FS is a tree of files. Its methods may be called by several goroutines.
type FS struct {
	mem   Memory
	quota int64
	now   func() time.Time

	mu   sync.RWMutex // of everything below, and of the nodes
	used int64
	ino  uint64
	root *node
}

// A node is a directory or a file.
type node struct {
	ino      uint64
	mode     fs.FileMode
	modified time.Time
	children map[string]*node // of a directory

	buf  []byte // memory of a file, of which size bytes count
	size int
	refs int // one for the name, one for each open File
}

// New returns an FS with an empty root directory. The contents of its files
// are in mem and take at most quota bytes.
func New(mem Memory, quota int64) *FS {
	f := &FS{mem: mem, quota: quota, now: time.Now}
	f.root = f.node(fs.ModeDir | 0o755)
	return f
}

func (f *FS) node(mode fs.FileMode) *node {
	f.ino++
	n := &node{ino: f.ino, mode: mode, modified: f.now(), refs: 1}
	if mode.IsDir() {
		n.children = make(map[string]*node)
	}
	return n
}

// Info describes a file.
type Info struct {
	Name    string
	Mode    fs.FileMode
	Size    int64
	ModTime time.Time
	// Ino is the file's number, never used again.
	Ino uint64
}

func (n *node) info(name string) Info {
	return Info{name, n.mode, int64(n.size), n.modified, n.ino}
}

// Clean returns the absolute form of a path.
func Clean(p string) string { return path.Clean("/" + p) }

// walk finds the node at a clean path. The caller holds mu.
func (f *FS) walk(p string) (*node, error) {
	n := f.root
	for name := range strings.SplitSeq(p[1:], "/") {
		if name == "" { // the root itself
			break
		}
		if n.children == nil {
			return nil, ErrNotDir
		}
		c := n.children[name]
		if c == nil {
			return nil, fs.ErrNotExist
		}
		n = c
	}
	return n, nil
}

// find finds the node at a path, clean or not.
func (f *FS) find(p string) (*node, error) {
	c, err := checked(p)
	if err != nil {
		return nil, err
	}
	n, err := f.walk(c)
	if err == nil && n.children == nil && strings.HasSuffix(p, "/") {
		return nil, ErrNotDir
	}
	return n, err
}

// parent finds the directory in which the last name of a path is or would be.
func (f *FS) parent(p string) (dir *node, name string, err error) {
	c, err := checked(p)
	if err != nil {
		return nil, "", err
	}
	if c == "/" {
		return nil, "", fs.ErrExist
	}
	d, name := path.Split(c)
	dir, err = f.walk(path.Clean(d))
	if err == nil && dir.children == nil {
		err = ErrNotDir
	}
	return dir, name, err
}

func checked(p string) (string, error) {
	c := Clean(p)
	if len(c) > MaxPath {
		return "", ErrNameTooLong
	}
	for name := range strings.SplitSeq(c, "/") {
		if len(name) > MaxName {
			return "", ErrNameTooLong
		}
	}
	if strings.IndexByte(c, 0) >= 0 {
		return "", fs.ErrInvalid
	}
	return c, nil
}

func pathError(op, p string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: p, Err: err}
}

// Flags of Open.
const (
	Create    = 1 << iota // make the file if it is not there
	Exclusive             // with Create: fail if it is there
	Truncate              // empty it
	Write                 // write to it
)

// A File is an open file or directory.
type File struct {
	fs   *FS
	node *node
	name string
	once sync.Once
	// writable says that Write was among the flags.
	writable bool
}

// Open opens the file or directory at p. perm is the mode of a new file.
func (f *FS) Open(p string, flags int, perm fs.FileMode) (*File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(p)
	switch {
	case err == nil && flags&(Create|Exclusive) == Create|Exclusive:
		return nil, pathError("open", p, fs.ErrExist)
	case errors.Is(err, fs.ErrNotExist) && flags&Create != 0:
		dir, name, derr := f.parent(p)
		if derr != nil {
			return nil, pathError("open", p, derr)
		}
		if strings.HasSuffix(p, "/") {
			return nil, pathError("open", p, ErrIsDir)
		}
		n = f.node(perm & fs.ModePerm)
		dir.children[name] = n
		dir.modified = f.now()
	case err != nil:
		return nil, pathError("open", p, err)
	}
	if n.children != nil && flags&(Write|Truncate) != 0 {
		return nil, pathError("open", p, ErrIsDir)
	}
	if flags&Truncate != 0 && n.size > 0 {
		if err := f.resize(n, 0); err != nil {
			return nil, pathError("open", p, err)
		}
	}
	n.refs++
	return &File{fs: f, node: n, name: Clean(p), writable: flags&Write != 0}, nil
}

// unref drops a reference to n; the last one frees its contents.
func (f *FS) unref(n *node) {
	if n.refs--; n.refs == 0 {
		f.setBuf(n, nil)
	}
}

// setBuf replaces the memory of n.
func (f *FS) setBuf(n *node, b []byte) {
	f.used += int64(len(b)) - int64(len(n.buf))
	if n.buf != nil {
		f.mem.Free(n.buf)
	}
	n.buf = b
}

// resize gives n a new size, with zeros in what is added.
func (f *FS) resize(n *node, size int) error {
	n.modified = f.now()
	if size > len(n.buf) {
		want := (size + chunk - 1) &^ (chunk - 1)
		if n.buf != nil {
			// It grows bit by bit: leave room for the next bits, but no more
			// than the quota has.
			want = max(want, min(2*len(n.buf), want+int(min(f.quota-f.used, 1<<24))&^(chunk-1)))
		}
		if f.used-int64(len(n.buf))+int64(want) > f.quota {
			return ErrNoSpace
		}
		b, err := f.mem.Alloc(want)
		if err != nil {
			return errors.Join(ErrNoSpace, err)
		}
		copy(b, n.buf[:n.size])
		f.setBuf(n, b)
	} else if size == 0 {
		f.setBuf(n, nil)
	} else if size < n.size {
		clear(n.buf[size:n.size])
	}
	n.size = size
	return nil
}

// Name is the path that the file was opened by.
func (f *File) Name() string { return f.name }

// Stat describes the file.
func (f *File) Stat() Info {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	return f.node.info(path.Base(f.name))
}

// IsDir reports whether it is a directory.
func (f *File) IsDir() bool { return f.node.children != nil }

// ReadAt reads like [io.ReaderAt].
func (f *File) ReadAt(b []byte, off int64) (int, error) {
	if f.IsDir() {
		return 0, pathError("read", f.name, ErrIsDir)
	}
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	if off < 0 {
		return 0, pathError("read", f.name, fs.ErrInvalid)
	}
	n := 0
	if off < int64(f.node.size) {
		n = copy(b, f.node.buf[off:f.node.size])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes like [io.WriterAt].
func (f *File) WriteAt(b []byte, off int64) (int, error) {
	if !f.writable {
		return 0, pathError("write", f.name, fs.ErrPermission)
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	end := off + int64(len(b))
	if off < 0 || end > 1<<31-1 {
		return 0, pathError("write", f.name, fs.ErrInvalid)
	}
	if int(end) > f.node.size {
		if err := f.fs.resize(f.node, int(end)); err != nil {
			return 0, pathError("write", f.name, err)
		}
	}
	f.node.modified = f.fs.now()
	return copy(f.node.buf[off:], b), nil
}

// Truncate gives the file a size; what is added is zero. To do so before a
// file of known size is written saves growing it.
func (f *File) Truncate(size int64) error {
	if !f.writable {
		return pathError("truncate", f.name, fs.ErrPermission)
	}
	if size < 0 || size > 1<<31-1 {
		return pathError("truncate", f.name, fs.ErrInvalid)
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return pathError("truncate", f.name, f.fs.resize(f.node, int(size)))
}

// View calls fn with the contents of the file, which fn must not change or
// keep. Nothing in the FS changes meanwhile.
func (f *File) View(fn func(contents []byte) error) error {
	if f.IsDir() {
		return pathError("read", f.name, ErrIsDir)
	}
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	return fn(f.node.buf[:f.node.size:f.node.size])
}

// Close closes the file. Closing it again does nothing.
func (f *File) Close() {
	f.once.Do(func() {
		f.fs.mu.Lock()
		f.fs.unref(f.node)
		f.fs.mu.Unlock()
	})
}

// Stat describes the file at p.
func (f *FS) Stat(p string) (Info, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n, err := f.find(p)
	if err != nil {
		return Info{}, pathError("stat", p, err)
	}
	return n.info(path.Base(Clean(p))), nil
}

// ReadDir lists the directory at p, sorted by name.
func (f *FS) ReadDir(p string) ([]Info, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n, err := f.find(p)
	if err == nil && n.children == nil {
		err = ErrNotDir
	}
	if err != nil {
		return nil, pathError("readdir", p, err)
	}
	list := make([]Info, 0, len(n.children))
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		list = append(list, n.children[name].info(name))
	}
	return list, nil
}

// Mkdir makes a directory.
func (f *FS) Mkdir(p string, perm fs.FileMode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, name, err := f.parent(p)
	if err == nil && dir.children[name] != nil {
		err = fs.ErrExist
	}
	if err != nil {
		return pathError("mkdir", p, err)
	}
	dir.children[name] = f.node(fs.ModeDir | perm&fs.ModePerm)
	dir.modified = f.now()
	return nil
}

// MkdirAll makes a directory and those above it, as far as they are missing.
func (f *FS) MkdirAll(p string, perm fs.FileMode) error {
	p = Clean(p)
	if i, err := f.Stat(p); err == nil {
		if !i.Mode.IsDir() {
			return pathError("mkdir", p, ErrNotDir)
		}
		return nil
	}
	if err := f.MkdirAll(path.Dir(p), perm); err != nil {
		return err
	}
	if err := f.Mkdir(p, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Remove removes a file or an empty directory.
func (f *FS) Remove(p string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(p)
	if err == nil && len(n.children) > 0 {
		err = ErrNotEmpty
	}
	return pathError("remove", p, f.remove(p, err))
}

// RemoveAll removes a file or a directory with all that is in it. It is no
// error if there is nothing.
func (f *FS) RemoveAll(p string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.find(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return pathError("remove", p, f.remove(p, err))
}

// remove takes the name p away unless there was an error before.
func (f *FS) remove(p string, err error) error {
	if err != nil {
		return err
	}
	dir, name, err := f.parent(p)
	if err != nil {
		return fs.ErrInvalid // the root
	}
	f.drop(dir.children[name])
	delete(dir.children, name)
	dir.modified = f.now()
	return nil
}

func (f *FS) drop(n *node) {
	for _, c := range n.children {
		f.drop(c)
	}
	clear(n.children)
	f.unref(n)
}

// Rename moves a file or directory, over an existing file or an empty
// directory of its kind.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("rename", from, f.rename(Clean(from), Clean(to)))
}

func (f *FS) rename(from, to string) error {
	n, err := f.find(from)
	if err != nil {
		return err
	}
	if from == to {
		return nil
	}
	if from == "/" || strings.HasPrefix(to, from+"/") {
		return fs.ErrInvalid
	}
	fromDir, fromName, err := f.parent(from)
	if err != nil {
		return err
	}
	toDir, toName, err := f.parent(to)
	if err != nil {
		return err
	}
	if old := toDir.children[toName]; old != nil {
		switch {
		case old.children == nil && n.children != nil:
			return ErrNotDir
		case old.children != nil && n.children == nil:
			return ErrIsDir
		case len(old.children) > 0:
			return ErrNotEmpty
		}
		f.drop(old)
	}
	delete(fromDir.children, fromName)
	toDir.children[toName] = n
	fromDir.modified, toDir.modified = f.now(), f.now()
	return nil
}

// Chmod sets the permissions of the file at p.
func (f *FS) Chmod(p string, perm fs.FileMode) error {
	return f.change("chmod", p, func(n *node) { n.mode = n.mode&^fs.ModePerm | perm&fs.ModePerm })
}

// Chtimes sets the time at which the file at p was modified.
func (f *FS) Chtimes(p string, t time.Time) error {
	return f.change("chtimes", p, func(n *node) { n.modified = t })
}

func (f *FS) change(op, p string, fn func(*node)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(p)
	if err == nil {
		fn(n)
	}
	return pathError(op, p, err)
}

// WriteFile makes a file with contents, or replaces its contents.
func (f *FS) WriteFile(p string, contents []byte, perm fs.FileMode) error {
	file, err := f.Open(p, Create|Truncate|Write, perm)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteAt(contents, 0)
	return err
}

// Used returns the memory that contents take and the limit, in bytes.
func (f *FS) Used() (used, quota int64) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.used, f.quota
}
