// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"internal/bytealg"
	"internal/byteorder"
	"internal/strconv"
	"sync"
	"sync/atomic"
	_ "unsafe" // for linkname
)

// Files: what the Hurd's io and fs protocols offer, as system calls. Package
// internal/syscall/unix has those by linkname that are about a directory.

// A portObject is an open file, directory, terminal, pipe or socket: a port
// that speaks the io protocol.
type portObject struct {
	port atomic.Uint32
	old  []uint32 // former ports, which may be in use; with mu
	sock atomic.Pointer[socketState]
	kind atomic.Uint32 // of S_IFMT, or 0 if it is not known yet

	// What it is open for, and O_APPEND, or 0 if that is not known yet.
	modes atomic.Uint32

	op   [2]sync.Mutex // a call of this mode, read or write, is made
	left []byte        // data that was read, but for nobody; with op[0]

	dirEntry int // the next one that ReadDirent asks for; with op[0]

	mu      sync.Mutex
	pending [2]*call // by mode: sent, and not yet answered
}

func newPortObject(port uint32) *portObject {
	o := &portObject{}
	o.port.Store(port)
	return o
}

// openModes returns what o is open for, and whether it appends.
func (o *portObject) openModes() int {
	modes := o.modes.Load()
	if modes == 0 {
		err := rpc(o.name(), _io_get_openmodes, nil, func(m *message) { modes = m.int32() })
		if modes &= O_RDWR | O_APPEND; err != nil || modes == 0 {
			modes = O_RDWR // not every server has modes
		}
		o.modes.Store(modes)
	}
	return int(modes)
}

// name is the port of o.
func (o *portObject) name() uint32 { return o.port.Load() }

// setName makes port another port for the same object, with other rights.
func (o *portObject) setName(port uint32) {
	o.mu.Lock()
	o.old = append(o.old, o.port.Swap(port))
	o.mu.Unlock()
}

// perform makes a call of mode i, 0 for reading and 1 for writing, and waits
// for the answer, which the caller takes apart and frees. If one like it is
// pending already, because its caller was stopped, it is that one. The caller
// has op[i].
func (o *portObject) perform(i int, stop *stopFlag, id uint32, build func(*message)) (*call, error) {
	if c := o.pending[i]; c != nil && c.id != id {
		if err := o.finish(i, stop); err != nil {
			return nil, err
		}
	}
	c := o.pending[i]
	if c == nil {
		if stop.isSet() {
			return nil, EAGAIN
		}
		var err error
		if c, err = newCall(); err != nil {
			return nil, err
		}
		if build != nil {
			build(&c.message)
		}
		if err = c.send(o.name(), id); err != nil {
			c.free()
			return nil, err
		}
		o.setPending(i, c)
	}
	over, err := c.wait(stop)
	if !over {
		return nil, EAGAIN
	}
	o.setPending(i, nil)
	if err != nil {
		c.free()
		return nil, err
	}
	return c, nil
}

func (o *portObject) setPending(i int, c *call) {
	o.mu.Lock()
	o.pending[i] = c
	o.mu.Unlock()
}

// finish waits for a call of the mode that is pending.
func (o *portObject) finish(i int, stop *stopFlag) error {
	c := o.pending[i]
	if c == nil {
		return nil
	}
	over, err := c.wait(stop)
	if !over {
		return EAGAIN
	}
	o.setPending(i, nil)
	if c.id == _socket_connect {
		o.sock.Load().setConnectError(err)
	}
	c.free()
	return nil
}

// What io_select is asked for, by mode.
var selectTypes = [2]uint32{1, 2}

// retry is called with the error of a call of mode i. The server says EAGAIN
// if some process, perhaps another one, has told it not to wait. Then retry
// waits until the call can be made again.
func (o *portObject) retry(i int, stop *stopFlag, err error) error {
	if err != EAGAIN || stop.isSet() {
		return err
	}
	c, err := o.perform(i, stop, _io_select, func(m *message) { m.putInt32(selectTypes[i]) })
	if err == nil {
		c.free()
	}
	return err
}

// ready reports whether a call of mode i would be answered at once.
func (o *portObject) ready(i int) bool {
	if i == 0 {
		o.op[0].Lock()
		n := len(o.left)
		o.op[0].Unlock()
		if n > 0 {
			return true
		}
	}
	var types uint32
	sec, nsec, _ := now()
	err := rpc(o.name(), _io_select_timeout, func(m *message) {
		m.putTime(Timespec{Sec: sec, Nsec: int64(nsec)}) // it has passed
		m.putInt32(selectTypes[i])
	}, func(m *message) { types = m.int32() })
	return err != nil || types != 0
}

func (o *portObject) wake(mode int) {
	o.mu.Lock()
	if c := o.pending[modeIndex(mode)]; c != nil {
		c.poll.Wake()
	}
	o.mu.Unlock()
}

// writing reports whether a write is under way.
func (o *portObject) writing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.pending[1]
	return c != nil && (c.id == _io_write || c.id == _socket_send)
}

func (o *portObject) pollable() bool { return true }

// waits reports whether calls may take long, as those of files do not.
func (o *portObject) waits() bool {
	kind := o.kind.Load()
	if kind == 0 {
		var st Stat_t
		if o.stat(&st) != nil {
			return true
		}
		kind = st.Mode & S_IFMT
		o.kind.Store(kind)
	}
	return kind != S_IFREG && kind != S_IFDIR
}

func (o *portObject) close() {
	for _, c := range o.pending {
		if c == nil {
			continue
		}
		// The server keeps the object for as long as it works on a
		// call, so that the peer of a socket would see it open.
		m := message{buf: make([]byte, msgHeaderSize)}
		m.setHeader(msgBitsOneway, o.name(), 0, _interrupt_operation)
		sendMessage(&m)
		c.abandon()
	}
	if s := o.sock.Load(); s != nil {
		s.close()
	}
	for _, port := range o.old {
		portDeallocate(port)
	}
	portDeallocate(o.name())
}

// ioMax is how many bytes one call reads or writes: more of a file, whose server may
// be far away. What is not known yet to be a pipe may be one, which does in part.
func (o *portObject) ioMax() int {
	if kind := o.kind.Load(); o.sock.Load() != nil || kind != 0 && kind != S_IFREG {
		return ioMax
	}
	return fileMax
}

func (o *portObject) read(p []byte, stop *stopFlag) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s := o.sock.Load(); s != nil && s.typ != SOCK_STREAM {
		n, _, _, err := o.receive(p, nil, 0, nil, stop)
		return n, err
	}
	o.op[0].Lock()
	defer o.op[0].Unlock()
	if len(o.left) > 0 {
		return o.takeLeft(p), nil
	}
	for {
		c, err := o.perform(0, stop, _io_read, func(m *message) {
			m.putInt64(-1) // at the file pointer
			m.putWord(uintptr(min(len(p), o.ioMax())))
		})
		if err == nil {
			n := o.takeData(&c.message, p)
			err = c.check()
			c.free()
			return n, err
		}
		if err = o.retry(0, stop, err); err != nil {
			return 0, err
		}
	}
}

// takeData takes an array of characters into p. More than p can hold, the
// answer to an earlier and larger call, is left for the next.
func (o *portObject) takeData(m *message, p []byte) int {
	b, ool := m.array(typeChar, 8)
	n := copy(p, b)
	if n < len(b) {
		o.left = append([]byte(nil), b[n:]...)
	}
	if ool {
		vmDeallocate(b)
	}
	return n
}

func (o *portObject) takeLeft(p []byte) int {
	n := copy(p, o.left)
	o.left = o.left[n:]
	return n
}

func (o *portObject) write(p []byte, stop *stopFlag) (int, error) {
	o.op[1].Lock()
	defer o.op[1].Unlock()
	// An earlier write that was stopped: what of it was written is
	// unknown to its caller, but not mixed with this one.
	if err := o.finish(1, stop); err != nil {
		return 0, err
	}
	p = p[:min(len(p), o.ioMax())]
	for {
		c, err := o.perform(1, stop, _io_write, func(m *message) {
			m.putBytes(p)
			m.putInt64(-1)
		})
		if err == nil {
			n := c.word()
			err = c.check()
			c.free()
			if n > uintptr(len(p)) {
				return 0, EPROTO
			}
			return int(n), err
		}
		if err = o.retry(1, stop, err); err != nil {
			return 0, err
		}
	}
}

func (o *portObject) stat(st *Stat_t) error { return statPort(o.name(), st) }

func statPort(port uint32, st *Stat_t) error {
	return rpc(port, _io_stat, nil, func(m *message) { m.stat(st) })
}

// usePort returns descriptor fd, to release, and its port.
func usePort(fd int) (*descriptor, *portObject, error) {
	d, err := useDescriptor(fd)
	if err != nil {
		return nil, nil, err
	}
	if o, ok := d.object.(*portObject); ok {
		return d, o, nil
	}
	d.release()
	return nil, nil, EINVAL
}

// fileCall is rpc for a call on a descriptor.
func fileCall(fd int, id uint32, build, take func(*message)) error {
	d, o, err := usePort(fd)
	if err != nil {
		return err
	}
	defer d.release()
	return rpc(o.name(), id, build, take)
}

func pread(fd int, p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, EINVAL
	}
	err = fileCall(fd, _io_read, func(m *message) {
		m.putInt64(offset)
		m.putWord(uintptr(min(len(p), fileMax)))
	}, func(m *message) {
		b, ool := m.array(typeChar, 8)
		n = copy(p, b)
		if ool {
			vmDeallocate(b)
		}
	})
	return n, err
}

func pwrite(fd int, p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, EINVAL
	}
	p = p[:min(len(p), fileMax)]
	err = fileCall(fd, _io_write, func(m *message) {
		m.putBytes(p)
		m.putInt64(offset)
	}, func(m *message) { n = min(int(m.word()), len(p)) })
	return n, err
}

func Seek(fd int, offset int64, whence int) (newoffset int64, err error) {
	d, err := useDescriptor(fd)
	if err != nil {
		return -1, err
	}
	defer d.release()
	o, ok := d.object.(*portObject)
	if !ok || o.sock.Load() != nil || o.kind.Load() == S_IFIFO {
		return -1, ESPIPE
	}
	if offset == 0 && whence == 0 {
		o.op[0].Lock()
		dir := o.dirEntry > 0
		o.dirEntry = 0
		o.op[0].Unlock()
		if dir {
			return 0, nil
		}
	}
	err = rpc(o.name(), _io_seek, func(m *message) {
		m.putInt64(offset)
		m.putInt32(uint32(whence))
	}, func(m *message) { newoffset = m.int64() })
	return newoffset, err
}

// ReadDirent reads whole entries into buf.
func ReadDirent(fd int, buf []byte) (n int, err error) {
	d, o, err := usePort(fd)
	if err != nil {
		return 0, err
	}
	defer d.release()
	o.op[0].Lock()
	defer o.op[0].Unlock()
	err = rpc(o.name(), _dir_readdir, func(m *message) {
		m.putInt32(uint32(o.dirEntry))
		m.putInt32(1<<32 - 1) // as many entries as fit
		m.putWord(uintptr(len(buf)))
	}, func(m *message) {
		b, ool := m.array(typeChar, 8)
		for left := b; len(left) >= 12; {
			size := int(byteorder.LEUint16(left[8:]))
			if size < 12 || size > len(left) || n+size > len(buf) {
				break
			}
			n += copy(buf[n:], left[:size])
			left = left[size:]
			o.dirEntry++
		}
		if ool {
			vmDeallocate(b)
		}
	})
	return n, err
}

func Open(path string, flags int, perm uint32) (fd int, err error) {
	return openat(AT_FDCWD, path, flags, perm)
}

//go:linkname openat
func openat(dirfd int, path string, flags int, perm uint32) (fd int, err error) {
	if flags&(O_RDONLY|O_WRONLY) == 0 {
		// To the Hurd that is neither, and of no use; but on other
		// systems O_RDONLY is 0, and programs rely on that.
		flags |= O_RDONLY
	}
	// The rest are not for servers.
	server := uint32(flags) & (O_RDONLY | O_WRONLY | O_EXEC | O_CREAT | O_EXCL | O_NOLINK | O_NOTRANS | O_APPEND | O_SYNC | O_NOATIME | O_NONBLOCK)
	if flags&O_NOFOLLOW != 0 {
		server |= O_NOLINK
	}
	dirs.once.Do(startDirs)
	port, err := lookup(dirfd, path, server, perm&07777&^dirs.umask)
	if err == ENOENT && flags&(O_CREAT|O_EXCL|O_NOFOLLOW) == O_CREAT {
		port, err = createThroughLink(dirfd, path, server, perm&07777&^dirs.umask)
	}
	if err != nil {
		if flags&O_NOFOLLOW != 0 && isLink(dirfd, path) {
			err = ELOOP // whatever is wrong with opening the link itself
		}
		return -1, err
	}
	o := newPortObject(port)
	o.modes.Store(uint32(flags) & (O_RDWR | O_APPEND))
	if flags&(O_NOFOLLOW|O_DIRECTORY) != 0 {
		var st Stat_t
		err = o.stat(&st)
		switch {
		case err != nil:
		case flags&O_NOFOLLOW != 0 && st.Mode&S_IFMT == S_IFLNK:
			err = ELOOP
		case flags&O_DIRECTORY != 0 && st.Mode&S_IFMT != S_IFDIR:
			err = ENOTDIR
		}
	}
	if err == nil && flags&O_TRUNC != 0 {
		err = setSize(port, 0)
	}
	if err != nil {
		o.close()
		return -1, err
	}
	if flags&O_NONBLOCK != 0 {
		// Opening was not to wait; what comes waits in the server, or not,
		// as the descriptor says. Not every server has modes.
		rpc(port, _io_clear_openmodes, func(m *message) { m.putInt32(O_NONBLOCK) }, nil)
	}
	descriptors.once.Do(startDescriptors)
	d := newDescriptor(o)
	d.nonblock.Store(flags&O_NONBLOCK != 0)
	d.closeExec.Store(flags&O_CLOEXEC != 0)
	if fd, err = d.install(0); err != nil {
		d.release()
	}
	return fd, err
}

// createThroughLink makes the file that the symbolic link path points to:
// servers of the Hurd create nothing through a link.
func createThroughLink(dirfd int, path string, flags, mode uint32) (port uint32, err error) {
	err = ENOENT
	for n := 0; err == ENOENT && n < maxRetries; n++ {
		var target [PathMax]byte
		n, e := readlinkat(dirfd, path, target[:])
		if e != nil {
			break
		}
		if n > 0 && target[0] != '/' {
			i := len(path)
			for i > 0 && path[i-1] != '/' {
				i--
			}
			path = path[:i]
		} else {
			path = ""
		}
		path += string(target[:n])
		port, err = lookup(dirfd, path, flags, mode)
	}
	return port, err
}

// isLink reports whether path is a symbolic link.
func isLink(dirfd int, path string) bool {
	var st Stat_t
	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == nil && st.Mode&S_IFMT == S_IFLNK
}

// pathCall is rpc for a call on a path. Of the flags O_NOLINK is the one that
// makes it concern a symbolic link itself.
func pathCall(dirfd int, path string, flags uint32, id uint32, build, take func(*message)) error {
	port, err := lookup(dirfd, path, flags, 0)
	if err != nil {
		return err
	}
	defer portDeallocate(port)
	return rpc(port, id, build, take)
}

func noFollow(flags int) uint32 {
	if flags&AT_SYMLINK_NOFOLLOW != 0 {
		return O_NOLINK
	}
	return 0
}

func Stat(path string, st *Stat_t) error  { return fstatat(AT_FDCWD, path, st, 0) }
func Lstat(path string, st *Stat_t) error { return fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW) }

//go:linkname fstatat
func fstatat(dirfd int, path string, st *Stat_t, flags int) error {
	return pathCall(dirfd, path, noFollow(flags), _io_stat, nil, func(m *message) { m.stat(st) })
}

func Statfs(path string, st *Statfs_t) error {
	return pathCall(AT_FDCWD, path, 0, _file_statfs, nil, func(m *message) { m.statfs(st) })
}

func Fstatfs(fd int, st *Statfs_t) error {
	return fileCall(fd, _file_statfs, nil, func(m *message) { m.statfs(st) })
}

func Access(path string, mode uint32) error { return Faccessat(AT_FDCWD, path, mode, 0) }

func Faccessat(dirfd int, path string, mode uint32, flags int) error {
	var allowed uint32 // O_READ, O_WRITE and O_EXEC
	err := pathCall(dirfd, path, noFollow(flags), _file_check_access, nil, func(m *message) { allowed = m.int32() })
	if err != nil {
		return err
	}
	// R_OK is 4, W_OK 2, X_OK 1.
	need := mode>>2&1*O_RDONLY | mode>>1&1*O_WRONLY | mode&1*O_EXEC
	if need&^allowed != 0 {
		return EACCES
	}
	return nil
}

func Readlink(path string, buf []byte) (n int, err error) { return readlinkat(AT_FDCWD, path, buf) }

//go:linkname readlinkat
func readlinkat(dirfd int, path string, buf []byte) (n int, err error) {
	// Not for reading before it is known to be a link: opening a fifo for
	// reading waits for a writer.
	port, err := lookup(dirfd, path, O_NOLINK, 0)
	if err != nil {
		return -1, err
	}
	o := newPortObject(port)
	defer o.close()
	var st Stat_t
	if err := o.stat(&st); err != nil {
		return -1, err
	}
	if st.Mode&S_IFMT != S_IFLNK {
		return -1, EINVAL
	}
	if port, err = (*view)(nil).reopen(port, O_RDONLY|O_NOLINK); err != nil {
		return -1, err
	}
	link := newPortObject(port)
	defer link.close()
	return link.read(buf, nil)
}

// inDir calls f with the directory of path and the name there. If path ends
// with a slash and there is something of that name, it must be a directory; a
// symbolic link of that name stands for what it points to.
func inDir(dirfd int, path string, f func(dir uint32, name string) error) error {
	for range maxRetries {
		slash := endsInSlash(path)
		if slash {
			switch port, err := lookup(dirfd, path, 0, 0); err {
			case nil:
				portDeallocate(port)
			case ENOENT:
			default:
				return err
			}
		}
		for len(path) > 1 && path[len(path)-1] == '/' {
			path = path[:len(path)-1]
		}
		i := len(path)
		for i > 0 && path[i-1] != '/' {
			i--
		}
		dir, name := path[:i], path[i:]
		switch {
		case path == "":
			return ENOENT
		case name == "": // the root
			return EBUSY
		case len(name) >= stringSize:
			return ENAMETOOLONG
		case bytealg.IndexByteString(name, 0) >= 0:
			return EINVAL
		case dir == "":
			dir = "."
		}
		if slash {
			var target [PathMax]byte
			if n, err := readlinkat(dirfd, path, target[:]); err == nil {
				path = string(target[:n]) + "/"
				if path[0] != '/' {
					path = dir + "/" + path
				}
				continue
			}
		}
		port, err := lookup(dirfd, dir, 0, 0)
		if err != nil {
			return err
		}
		defer portDeallocate(port)
		return f(port, name)
	}
	return ELOOP
}

func endsInSlash(path string) bool { return len(path) > 1 && path[len(path)-1] == '/' }

// statName looks at what has a name in dir, be it a symbolic link.
func statName(dir uint32, name string) (st Stat_t, err error) {
	port, err := (*view)(nil).lookup(dir, name, O_NOLINK, 0)
	if err == nil {
		err = statPort(port, &st)
		portDeallocate(port)
	}
	return st, err
}

func nameCall(dirfd int, path string, id uint32, more func(*message)) error {
	return inDir(dirfd, path, func(dir uint32, name string) error {
		return rpc(dir, id, func(m *message) {
			m.putString(name)
			if more != nil {
				more(m)
			}
		}, nil)
	})
}

func Mkdir(path string, mode uint32) error { return mkdirat(AT_FDCWD, path, mode) }
func Rmdir(path string) error              { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR) }
func Unlink(path string) error             { return unlinkat(AT_FDCWD, path, 0) }

//go:linkname mkdirat
func mkdirat(dirfd int, path string, mode uint32) error {
	dirs.once.Do(startDirs)
	return nameCall(dirfd, path, _dir_mkdir, func(m *message) { m.putInt32(mode & 07777 &^ dirs.umask) })
}

//go:linkname unlinkat
func unlinkat(dirfd int, path string, flags int) error {
	if n := len(path); path == "." || n > 1 && path[n-2:] == "/." {
		return EINVAL // not something with a name
	}
	if flags&AT_REMOVEDIR != 0 {
		return nameCall(dirfd, path, _dir_rmdir, nil)
	}
	return nameCall(dirfd, path, _dir_unlink, nil)
}

func Rename(from, to string) error { return renameat(AT_FDCWD, from, AT_FDCWD, to) }

//go:linkname renameat
func renameat(olddir int, oldpath string, newdir int, newpath string) error {
	return inDir(olddir, oldpath, func(from uint32, oldname string) error {
		return inDir(newdir, newpath, func(to uint32, newname string) error {
			if endsInSlash(newpath) {
				// The server sees the name only: that it is to be
				// a directory is for us to look after.
				if st, err := statName(from, oldname); err != nil {
					return err
				} else if st.Mode&S_IFMT != S_IFDIR {
					return ENOTDIR
				}
			}
			return rpc(from, _dir_rename, func(m *message) {
				m.putString(oldname)
				m.putPort(typeCopySend, to)
				m.putString(newname)
				m.putInt32(0) // not exclusively
			}, nil)
		})
	})
}

func Link(path, link string) error { return linkat(AT_FDCWD, path, AT_FDCWD, link, 0) }

//go:linkname linkat
func linkat(olddir int, oldpath string, newdir int, newpath string, flags int) error {
	link := uint32(O_NOLINK)
	if flags&AT_SYMLINK_FOLLOW != 0 {
		link = 0
	}
	file, err := lookup(olddir, oldpath, link, 0)
	if err != nil {
		return err
	}
	defer portDeallocate(file)
	return inDir(newdir, newpath, func(dir uint32, name string) error {
		if endsInSlash(newpath) {
			if _, err := statName(dir, name); err != nil {
				return err // there will be no directory
			}
		}
		return rpc(dir, _dir_link, func(m *message) {
			m.putPort(typeCopySend, file)
			m.putString(name)
			m.putInt32(1) // never instead of a file that is there
		}, nil)
	})
}

// Symbolic links, devices and fifos are files with a translator, which most
// file systems know so well that they do not start a program.

const (
	translatorSet  = 4 // FS_TRANS_SET
	translatorExcl = 2 // FS_TRANS_EXCL
)

// makeNode makes a file without a name, of which it returns a port, and gives
// it a translator: strings, each with its zero.
func makeNode(dir uint32, mode uint32, translator []byte) (uint32, error) {
	dirs.once.Do(startDirs)
	node, err := rpcPort(dir, _dir_mkfile, func(m *message) {
		m.putInt32(O_WRONLY)
		m.putInt32(mode & 07777 &^ dirs.umask)
	})
	if err == nil && translator != nil {
		err = rpc(node, _file_set_translator, func(m *message) {
			m.putInt32(translatorSet | translatorExcl)
			m.putInt32(0) // nothing is active
			m.putInt32(0)
			m.putBytes(translator)
			m.putPort(typeCopySend, _MACH_PORT_NULL)
		}, nil)
		if err != nil {
			portDeallocate(node)
		}
	}
	return node, err
}

// linkNode gives the file node a name in dir, where there must be none.
func linkNode(dir, node uint32, name string) error {
	return rpc(dir, _dir_link, func(m *message) {
		m.putPort(typeCopySend, node)
		m.putString(name)
		m.putInt32(1)
	}, nil)
}

// makeNamed makes a file with a translator and a name.
func makeNamed(dirfd int, path string, mode uint32, translator []byte) error {
	return inDir(dirfd, path, func(dir uint32, name string) error {
		node, err := makeNode(dir, mode, translator)
		if err != nil {
			return err
		}
		defer portDeallocate(node)
		return linkNode(dir, node, name)
	})
}

func Symlink(path, link string) error { return symlinkat(path, AT_FDCWD, link) }

//go:linkname symlinkat
func symlinkat(oldpath string, newdir int, path string) error {
	if oldpath == "" {
		return ENOENT
	}
	if bytealg.IndexByteString(oldpath, 0) >= 0 {
		return EINVAL
	}
	if n := len(path); n > 0 && path[n-1] == '/' {
		return ENOENT // as for something that is not a directory
	}
	return makeNamed(newdir, path, 0777, append([]byte("/hurd/symlink\x00"+oldpath), 0))
}

func Mkfifo(path string, mode uint32) error {
	return makeNamed(AT_FDCWD, path, mode, []byte("/hurd/fifo\x00"))
}

func Mknod(path string, mode uint32, dev int) error {
	var translator []byte
	switch mode & S_IFMT {
	case S_IFREG, 0:
	case S_IFIFO:
		translator = []byte("/hurd/fifo\x00")
	case S_IFSOCK:
		translator = []byte("/hurd/ifsock\x00")
	case S_IFCHR:
		translator = []byte("/hurd/chrdev\x00")
	case S_IFBLK:
		translator = []byte("/hurd/blkdev\x00")
	default:
		return EINVAL
	}
	if mode&S_IFMT == S_IFCHR || mode&S_IFMT == S_IFBLK {
		major, minor := dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
		translator = append(translator, strconv.Itoa(major)+"\x00"+strconv.Itoa(minor)+"\x00"...)
	}
	return makeNamed(AT_FDCWD, path, mode, translator)
}

func Chmod(path string, mode uint32) error { return fchmodat(AT_FDCWD, path, mode, 0) }

//go:linkname fchmodat
func fchmodat(dirfd int, path string, mode uint32, flags int) error {
	return pathCall(dirfd, path, noFollow(flags), _file_chmod, func(m *message) { m.putInt32(mode & 07777) }, nil)
}

func Fchmod(fd int, mode uint32) error {
	return fileCall(fd, _file_chmod, func(m *message) { m.putInt32(mode & 07777) }, nil)
}

func owner(uid, gid int) func(*message) {
	return func(m *message) {
		m.putInt32(uint32(uid))
		m.putInt32(uint32(gid))
	}
}

func Chown(path string, uid, gid int) error { return fchownat(AT_FDCWD, path, uid, gid, 0) }
func Lchown(path string, uid, gid int) error {
	return fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW)
}
func Fchown(fd int, uid, gid int) error { return fileCall(fd, _file_chown, owner(uid, gid), nil) }

//go:linkname fchownat
func fchownat(dirfd int, path string, uid, gid int, flags int) error {
	return pathCall(dirfd, path, noFollow(flags), _file_chown, owner(uid, gid), nil)
}

func setSize(port uint32, size int64) error {
	return rpc(port, _file_set_size, func(m *message) { m.putInt64(size) }, nil)
}

func Truncate(path string, length int64) error {
	return pathCall(AT_FDCWD, path, O_WRONLY, _file_set_size, func(m *message) { m.putInt64(length) }, nil)
}

func Ftruncate(fd int, length int64) error {
	return fileCall(fd, _file_set_size, func(m *message) { m.putInt64(length) }, nil)
}

func Fsync(fd int) error {
	return fileCall(fd, _file_sync, func(m *message) {
		m.putInt32(1) // wait
		m.putInt32(0) // metadata, too
	}, nil)
}

// UtimesNano sets times. One whose Nsec is -2 is left as it is.
func UtimesNano(path string, ts []Timespec) error {
	if len(ts) != 2 {
		return EINVAL
	}
	return utimensat(AT_FDCWD, path, (*[2]Timespec)(ts), 0)
}

//go:linkname utimensat
func utimensat(dirfd int, path string, times *[2]Timespec, flags int) error {
	return pathCall(dirfd, path, noFollow(flags), _file_utimens, func(m *message) { m.putTimes(times) }, nil)
}

func Utimes(path string, tv []Timeval) error {
	if len(tv) != 2 {
		return EINVAL
	}
	return UtimesNano(path, []Timespec{{tv[0].Sec, tv[0].Usec * 1000}, {tv[1].Sec, tv[1].Usec * 1000}})
}

func Chdir(path string) error {
	port, err := lookup(AT_FDCWD, path, 0, 0)
	if err != nil {
		return err
	}
	return setCwd(newDescriptor(newPortObject(port)))
}

func Fchdir(fd int) error {
	d, _, err := usePort(fd)
	if err != nil {
		return err
	}
	defer d.release()
	return setCwd(d.duplicate(false))
}

func setCwd(d *descriptor) error {
	var st Stat_t
	err := d.stat(&st)
	if err == nil && st.Mode&S_IFMT != S_IFDIR {
		err = ENOTDIR
	}
	if err != nil {
		d.release()
		return err
	}
	setDir(initPortCWDIR, d)
	return nil
}

const ImplementsGetwd = true

// Getwd finds the name of the current directory by going up to the root.
func Getwd() (string, error) {
	same := func(a, b *Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }
	var root, here, parent, entry Stat_t
	if err := Stat("/", &root); err != nil {
		return "", err
	}
	if err := Stat(".", &here); err != nil {
		return "", err
	}
	path, up := "", ".."
	for !same(&here, &root) {
		fd, err := Open(up, O_RDONLY, 0)
		if err != nil {
			return "", err
		}
		name := ""
		err = Fstat(fd, &parent)
		buf := make([]byte, 4096)
		for n := 0; err == nil && name == ""; {
			if n, err = ReadDirent(fd, buf); n == 0 {
				break
			}
			_, _, names := ParseDirent(buf[:n], -1, nil)
			for _, s := range names {
				if fstatat(fd, s, &entry, AT_SYMLINK_NOFOLLOW) == nil && same(&entry, &here) {
					name = s
					break
				}
			}
		}
		Close(fd)
		if err == nil && name == "" {
			err = ENOENT
		}
		if err != nil {
			return "", err
		}
		path, here, up = "/"+name+path, parent, up+"/.."
	}
	if path == "" {
		path = "/"
	}
	return path, nil
}

func Getcwd(buf []byte) (n int, err error) {
	wd, err := Getwd()
	if err != nil {
		return 0, err
	}
	if len(wd) >= len(buf) {
		return 0, ERANGE
	}
	n = copy(buf, wd)
	buf[n] = 0
	return n + 1, nil
}

func Umask(mask int) (old int) {
	dirs.once.Do(startDirs)
	dirs.Lock()
	defer dirs.Unlock()
	old, dirs.umask = int(dirs.umask), uint32(mask)&0777
	return old
}

// The shape of the entries is that of the Hurd, see Dirent.

func direntIno(buf []byte) (uint64, bool)    { return readInt(buf, 0, 8) }
func direntReclen(buf []byte) (uint64, bool) { return readInt(buf, 8, 2) }
func direntNamlen(buf []byte) (uint64, bool) { return readInt(buf, 11, 1) }
