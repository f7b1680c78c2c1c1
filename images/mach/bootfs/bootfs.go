// Package bootfs serves the node's tree of files (package store) to programs,
// by the Hurd's protocols for directories and files, and what else has a name:
// socket servers below /servers/socket. In a Hurd this room is the root file
// system's, which replaces it; this is as much as a program needs to find its
// files.
//
// A port of a directory stands for its path, not for the directory: after a
// rename, ports of the old name are no good.
//
// The facts are from the reference document hurd-protocol.md: sections 5.1
// (fs), 5.2 (io), 5.3 and 5.4 (lookup), 5.5 (directory entries).
package bootfs

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"path"
	"sync"
	"time"

	"hurdlab/images/mach/hurdio"
	"hurdlab/images/mach/ports"
	"hurdlab/images/mach/store"
	"hurdlab/mach"
)

// Routines of files and directories.
const (
	fileChown       = 20001
	fileChmod       = 20003
	fileSetSize     = 20006
	fileCheckAccess = 20009
	fileSync        = 20013
	fileSyncFS      = 20014
	dirLookup       = 20018
	dirReaddir      = 20019
	dirMkdir        = 20020
	dirRmdir        = 20021
	dirUnlink       = 20022
	dirRename       = 20024
	fileUtimens     = 20035
)

// maxName is the size of a path in a message.
const maxName = 1024

// retryNormal says that a lookup is at its end, or goes on by the same rules.
const retryNormal = 1

// A Root is a tree of files and servers.
type Root struct {
	files   *store.FS
	export  ports.Exporter
	servers map[string]mach.Handler

	mu   sync.Mutex
	dirs map[mach.Port]string // paths of the directories that are exported
}

// New returns the tree of files. The handlers of servers are found at their
// paths.
func New(files *store.FS, x ports.Exporter, servers map[string]mach.Handler) *Root {
	return &Root{files: files, export: x, servers: servers, dirs: make(map[mach.Port]string)}
}

// Open returns a port of the file or server at a path, a send right of the
// caller's. flags are the Hurd's.
func (r *Root) Open(p string, flags int32, perm fs.FileMode) (mach.Port, error) {
	if h := r.servers[store.Clean(p)]; h != nil {
		return r.export.Export(h, nil)
	}
	how := 0
	if flags&hurdio.OCreat != 0 {
		how |= store.Create
	}
	if flags&hurdio.OExcl != 0 {
		how |= store.Exclusive
	}
	if flags&hurdio.OWrite != 0 {
		how |= store.Write
	}
	f, err := r.files.Open(p, how, perm)
	if err != nil {
		return mach.Null, err
	}
	n := &node{root: r, file: f, flags: flags}
	port, err := r.export.Export(n, n.gone)
	if err != nil {
		f.Close()
		return mach.Null, err
	}
	if f.IsDir() {
		n.port = port
		r.mu.Lock()
		r.dirs[port] = f.Name()
		r.mu.Unlock()
	}
	return port, nil
}

// A node is an open file or directory: [mach.Handler].
type node struct {
	root  *Root
	file  *store.File
	port  mach.Port // of a directory
	flags int32
	pos   int64
}

func (n *node) gone() {
	if n.file.IsDir() {
		n.root.mu.Lock()
		delete(n.root.dirs, n.port)
		n.root.mu.Unlock()
	}
	n.file.Close()
}

// Handle answers a request.
func (n *node) Handle(_ context.Context, req, reply *mach.Message) error {
	var op func(req, reply *mach.Message) error
	switch req.ID() {
	case hurdio.Read:
		op = n.read
	case hurdio.Write:
		op = n.write
	case hurdio.Seek:
		op = n.seek
	case hurdio.Readable:
		op = n.readable
	case hurdio.Stat:
		op = n.stat
	case hurdio.GetOpenModes:
		op = n.getModes
	case hurdio.SetAllOpenModes, hurdio.SetSomeOpenModes, hurdio.ClearSomeOpenMode:
		op = n.setModes
	case hurdio.Select:
		op = n.selectReady
	case hurdio.Map:
		return hurdio.EOPNOTSUPP
	case hurdio.Interrupt:
		op = func(req, _ *mach.Message) error { return nil } // nothing here waits
	case fileChmod:
		op = n.chmod
	case fileChown:
		return hurdio.EOPNOTSUPP // files have no owners
	case fileSetSize:
		op = n.setSize
	case fileCheckAccess:
		op = n.checkAccess
	case fileSync, fileSyncFS:
		op = func(req, _ *mach.Message) error { req.TakeInt32(); req.TakeInt32(); return nil }
	case fileUtimens:
		op = n.utimens
	case dirLookup:
		op = n.lookup
	case dirReaddir:
		op = n.readdir
	case dirMkdir:
		op = n.mkdir
	case dirRmdir:
		op = func(req, _ *mach.Message) error { return n.unlink(req, true) }
	case dirUnlink:
		op = func(req, _ *mach.Message) error { return n.unlink(req, false) }
	case dirRename:
		op = n.rename
	default:
		return mach.MigBadID
	}
	if err := op(req, reply); err != nil {
		return hurdio.Code(err)
	}
	if req.End() != nil {
		return mach.MigBadArguments
	}
	return nil
}

// at resolves the offset of a read or write.
func (n *node) at(off int64) int64 {
	if off < 0 {
		return n.pos
	}
	return off
}

func (n *node) read(req, reply *mach.Message) error {
	off, amount := req.TakeInt64(), req.TakeWord()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	if n.flags&hurdio.ORead == 0 {
		return hurdio.EBADF
	}
	at := n.at(off)
	size := n.file.Stat().Size
	b := make([]byte, max(0, min(int64(amount), hurdio.MaxRead, size-at)))
	k, err := n.file.ReadAt(b, at)
	if err != nil && err != io.EOF {
		return err
	}
	if off < 0 {
		n.pos = at + int64(k)
	}
	return hurdio.PutData(reply, b[:k])
}

func (n *node) write(req, reply *mach.Message) error {
	data, off := req.TakeData(-1), req.TakeInt64()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	if n.flags&hurdio.OWrite == 0 {
		return hurdio.EBADF
	}
	at := n.at(off)
	if n.flags&hurdio.OAppend != 0 && off < 0 {
		at = n.file.Stat().Size
	}
	k, err := n.file.WriteAt(data, at)
	if err != nil {
		return err
	}
	if off < 0 {
		n.pos = at + int64(k)
	}
	reply.PutWord(uint64(k))
	return nil
}

func (n *node) seek(req, reply *mach.Message) error {
	off, whence := req.TakeInt64(), req.TakeInt32()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	switch whence {
	case 0:
	case 1:
		off += n.pos
	case 2:
		off += n.file.Stat().Size
	default:
		return hurdio.EINVAL
	}
	if off < 0 {
		return hurdio.EINVAL
	}
	n.pos = off
	reply.PutInt64(off)
	return nil
}

func (n *node) readable(_, reply *mach.Message) error {
	reply.PutWord(uint64(max(0, n.file.Stat().Size-n.pos)))
	return nil
}

func (n *node) stat(_, reply *mach.Message) error {
	hurdio.PutStat(reply, n.file.Stat())
	return nil
}

func (n *node) getModes(_, reply *mach.Message) error {
	reply.PutInt32(n.flags)
	return nil
}

// changeable are the modes that an open file can change.
const changeable = hurdio.OAppend | hurdio.ONonblock

func (n *node) setModes(req, _ *mach.Message) error {
	bits := req.TakeInt32() & changeable
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	switch req.ID() {
	case hurdio.SetAllOpenModes:
		n.flags = n.flags&^changeable | bits
	case hurdio.SetSomeOpenModes:
		n.flags |= bits
	case hurdio.ClearSomeOpenMode:
		n.flags &^= bits
	}
	return nil
}

// selectReady says that files are always ready.
func (n *node) selectReady(req, reply *mach.Message) error {
	reply.PutInt32(req.TakeInt32() & (hurdio.SelectRead | hurdio.SelectWrite))
	return nil
}

func (n *node) chmod(req, _ *mach.Message) error {
	mode := req.TakeInt32()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	return n.root.files.Chmod(n.file.Name(), fs.FileMode(mode)&fs.ModePerm)
}

func (n *node) setSize(req, _ *mach.Message) error {
	size := req.TakeInt64()
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	return n.file.Truncate(size)
}

func (n *node) checkAccess(_, reply *mach.Message) error {
	// All that there is: there are no users.
	reply.PutInt32(hurdio.ORead | hurdio.OWrite | hurdio.OExec)
	return nil
}

func (n *node) utimens(req, _ *mach.Message) error {
	const now, omit = -1, -2
	req.TakeWords(2) // of the last access, which is not kept
	m := req.TakeWords(2)
	if req.Err() != nil || len(m) != 2 {
		return mach.MigBadArguments
	}
	switch nsec := int32(m[1]); nsec {
	case omit:
		return nil
	case now:
		return n.root.files.Chtimes(n.file.Name(), time.Now())
	default:
		return n.root.files.Chtimes(n.file.Name(), time.Unix(int64(int32(m[0])), int64(nsec)))
	}
}

// path takes a name in the directory n.
func (n *node) path(req *mach.Message) (string, error) {
	name := req.TakeString()
	if req.Err() != nil {
		return "", mach.MigBadArguments
	}
	if !n.file.IsDir() {
		if name == "" {
			return n.file.Name(), nil
		}
		return "", store.ErrNotDir
	}
	p := path.Join(n.file.Name(), name)
	if name != "" && name[len(name)-1] == '/' && p != "/" {
		p += "/" // it must be a directory
	}
	return p, nil
}

func (n *node) lookup(req, reply *mach.Message) error {
	p, err := n.path(req)
	flags, mode := req.TakeInt32(), req.TakeInt32()
	if err != nil {
		return err
	}
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	port, err := n.root.Open(p, flags, fs.FileMode(mode)&fs.ModePerm)
	if err != nil {
		return err
	}
	reply.PutInt32(retryNormal)
	reply.PutString("", maxName)
	reply.PutRight(port, mach.MoveSend)
	return nil
}

// readdir lists entries from the index first on. "." and ".." come first.
func (n *node) readdir(req, reply *mach.Message) error {
	first, count, size := int(req.TakeInt32()), int(req.TakeInt32()), int(req.TakeWord())
	if req.Err() != nil || first < 0 {
		return mach.MigBadArguments
	}
	list, err := n.root.files.ReadDir(n.file.Name())
	if err != nil {
		return err
	}
	self := n.file.Stat()
	all := append([]store.Info{{Name: ".", Mode: fs.ModeDir, Ino: self.Ino}, {Name: "..", Mode: fs.ModeDir, Ino: self.Ino}}, list...)
	if size <= 0 || size > hurdio.MaxRead {
		size = hurdio.MaxRead
	}
	var b []byte
	amount := 0
	for _, i := range all[min(first, len(all)):] {
		e := dirent(i)
		if amount == count || len(b)+len(e) > size {
			break
		}
		b = append(b, e...)
		amount++
	}
	if err := hurdio.PutData(reply, b); err != nil {
		return err
	}
	reply.PutInt32(int32(amount))
	return nil
}

// dirent encodes a directory entry.
func dirent(i store.Info) []byte {
	const header, typeDir, typeReg = 12, 4, 8
	n := (header + len(i.Name) + 1 + 7) &^ 7
	b := make([]byte, n)
	binary.LittleEndian.PutUint64(b, i.Ino)
	binary.LittleEndian.PutUint16(b[8:], uint16(n))
	b[10] = typeReg
	if i.Mode.IsDir() {
		b[10] = typeDir
	}
	b[11] = byte(len(i.Name))
	copy(b[header:], i.Name)
	return b
}

func (n *node) mkdir(req, _ *mach.Message) error {
	p, err := n.path(req)
	mode := req.TakeInt32()
	if err != nil {
		return err
	}
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	return n.root.files.Mkdir(p, fs.FileMode(mode)&fs.ModePerm)
}

func (n *node) unlink(req *mach.Message, dir bool) error {
	p, err := n.path(req)
	if err != nil {
		return err
	}
	i, err := n.root.files.Stat(p)
	switch {
	case err != nil:
		return err
	case dir && !i.Mode.IsDir():
		return store.ErrNotDir
	case !dir && i.Mode.IsDir():
		return store.ErrIsDir
	}
	return n.root.files.Remove(p)
}

func (n *node) rename(req, _ *mach.Message) error {
	from, err := n.path(req)
	dir := req.TakeSend()
	name, excl := req.TakeString(), req.TakeInt32()
	if dir.Valid() {
		// A reference to a port of this server's own, or to somebody else's.
		defer mach.Deallocate(dir)
	}
	if err != nil {
		return err
	}
	if req.Err() != nil {
		return mach.MigBadArguments
	}
	n.root.mu.Lock()
	base, ok := n.root.dirs[dir]
	n.root.mu.Unlock()
	if !ok {
		return mach.Errno(18) // EXDEV: a directory of another file system
	}
	to := path.Join(base, name)
	if excl != 0 {
		if _, err := n.root.files.Stat(to); !errors.Is(err, fs.ErrNotExist) {
			return fs.ErrExist
		}
	}
	return n.root.files.Rename(from, to)
}
