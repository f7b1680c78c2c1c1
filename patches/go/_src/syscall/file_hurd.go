// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"internal/bytealg"
	"internal/byteorder"
	"sync"
	_ "unsafe" // for linkname
)

// Files: what the Hurd's io and fs protocols offer, as system calls. Package
// internal/syscall/unix has those by linkname that are about a directory.

// A portObject is an open file, directory, terminal or socket: a port that
// speaks the io protocol.
type portObject struct {
	port uint32

	op   [2]sync.Mutex // a call of this mode, read or write, is made
	left []byte        // data that was read, but for nobody; with op[0]

	dirEntry int // the next one that ReadDirent asks for; with op[0]

	mu      sync.Mutex
	pending [2]*call // by mode: sent, and not yet answered

	*socketState // nil if it was not made as a socket
}

// perform makes a call of mode i, 0 for reading and 1 for writing, and waits
// for the answer, which the caller takes apart and frees. If one like it is
// pending already, because its caller was stopped, it is that one. The caller
// has op[i].
func (o *portObject) perform(i int, stop *stopFlag, id uint32, build func(*message)) (*call, error) {
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
		if err = c.send(o.port, id); err != nil {
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
		o.setConnectError(err)
	}
	c.free()
	return nil
}

func (o *portObject) wake(mode int) {
	i := 0
	if mode == pollWrite {
		i = 1
	}
	o.mu.Lock()
	if c := o.pending[i]; c != nil {
		c.poll.Wake()
	}
	o.mu.Unlock()
}

// Only sockets have deadlines. A read of a file or a terminal parks the
// goroutine, too, but lasts.
func (o *portObject) pollable() bool { return o.socketState != nil }

func (o *portObject) close() {
	for _, c := range o.pending {
		if c == nil {
			continue
		}
		// The server keeps the object for as long as it works on a
		// call, so that the peer of a socket would see it open.
		m := message{buf: make([]byte, msgHeaderSize)}
		m.setHeader(msgBitsOneway, o.port, 0, _interrupt_operation)
		sendMessage(&m)
		c.abandon()
	}
	if o.socketState != nil {
		o.socketState.close()
	}
	portDeallocate(o.port)
}

func (o *portObject) read(p []byte, stop *stopFlag) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if o.socketState != nil && o.typ != SOCK_STREAM {
		return o.receive(p, 0, nil, stop)
	}
	o.op[0].Lock()
	defer o.op[0].Unlock()
	if len(o.left) > 0 {
		return o.takeLeft(p), nil
	}
	size := len(p)
	if o.socketState != nil {
		// Whoever takes the answer, if this read is stopped: it may
		// want more.
		size = max(size, inlineMax)
	}
	c, err := o.perform(0, stop, _io_read, func(m *message) {
		m.putInt64(-1) // at the file pointer
		m.putWord(uintptr(min(size, ioMax)))
	})
	if err != nil {
		return 0, err
	}
	defer c.free()
	n := o.takeData(&c.message, p)
	return n, c.check()
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
	p = p[:min(len(p), ioMax)]
	c, err := o.perform(1, stop, _io_write, func(m *message) {
		m.putBytes(p)
		m.putInt64(-1)
	})
	if err != nil {
		return 0, err
	}
	defer c.free()
	n := c.word()
	if n > uintptr(len(p)) {
		return 0, EPROTO
	}
	return int(n), c.check()
}

func (o *portObject) stat(st *Stat_t) error { return statPort(o.port, st) }

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
	return rpc(o.port, id, build, take)
}

func pread(fd int, p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, EINVAL
	}
	err = fileCall(fd, _io_read, func(m *message) {
		m.putInt64(offset)
		m.putWord(uintptr(min(len(p), ioMax)))
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
	p = p[:min(len(p), ioMax)]
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
	if !ok || o.socketState != nil {
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
	err = rpc(o.port, _io_seek, func(m *message) {
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
	err = rpc(o.port, _dir_readdir, func(m *message) {
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

// The directories that paths start from, as descriptors without a number.
var dirs struct {
	sync.RWMutex
	once      sync.Once
	root, cwd *descriptor // nil if there are none, on bare Mach
	umask     uint32
}

func startDirs() {
	dirs.umask = 022
	start := HurdStart()
	if start == nil {
		return
	}
	dir := func(i int) *descriptor {
		if i >= len(start.Ports) || start.Ports[i] == _MACH_PORT_NULL || start.Ports[i] == _MACH_PORT_DEAD {
			return nil
		}
		return newDescriptor(&portObject{port: start.Ports[i]})
	}
	dirs.cwd, dirs.root = dir(initPortCWDIR), dir(initPortCRDIR)
	if len(start.Ints) > 0 {
		dirs.umask = start.Ints[initUmask] & 0777
	}
}

// haveRoot reports whether this process has a root directory.
func haveRoot() bool {
	dirs.once.Do(startDirs)
	dirs.RLock()
	defer dirs.RUnlock()
	return dirs.root != nil
}

// useDir returns the directory that path starts from, to release.
func useDir(dirfd int, path string) (*descriptor, error) {
	dirs.once.Do(startDirs)
	dirs.RLock()
	defer dirs.RUnlock()
	var d *descriptor
	switch {
	case path != "" && path[0] == '/':
		d = dirs.root
	case dirfd == AT_FDCWD:
		d = dirs.cwd
	default:
		d, _, err := usePort(dirfd)
		return d, err
	}
	if d == nil {
		return nil, ENOENT // as in an empty directory
	}
	d.refs.Add(1)
	return d, nil
}

func (d *descriptor) port() uint32 { return d.object.(*portObject).port }

// maxRetries is how often a look-up is sent on, by symbolic links for example,
// before it is taken for a loop.
const maxRetries = 32

// lookup opens path and returns a send right. Flags are those that servers
// know.
func lookup(dirfd int, path string, flags, mode uint32) (uint32, error) {
	if path == "" {
		return 0, ENOENT
	}
	if bytealg.IndexByteString(path, 0) >= 0 {
		return 0, EINVAL
	}
	d, err := useDir(dirfd, path)
	if err != nil {
		return 0, err
	}
	defer d.release()
	dir, own := d.port(), false // own: we have a reference to dir
	defer func() {
		if own {
			portDeallocate(dir)
		}
	}()
	for range maxRetries {
		path = trimSlashes(path)
		if len(path) >= stringSize {
			return 0, ENAMETOOLONG
		}
		var retry, result uint32
		err := rpc(dir, _dir_lookup, func(m *message) {
			m.putString(path)
			m.putInt32(flags)
			m.putInt32(mode)
		}, func(m *message) {
			retry, path, result = m.int32(), m.string(), m.port()
		})
		if err == EOPNOTSUPP {
			err = ENOTDIR // an object without this call
		}
		if err != nil {
			return 0, err
		}
		next := func(port uint32) {
			if own {
				portDeallocate(dir)
			}
			dir, own = port, true
		}
		const (
			retryNormal  = 1
			retryReauth  = 2
			retryMagical = 3
		)
		switch retry {
		case retryReauth:
			if result, err = reauthenticate(result); err != nil {
				return 0, err
			}
			next(result)
		case retryNormal:
			if path == "" {
				return result, nil
			}
			next(result)
		case retryMagical:
			portDeallocate(result)
			switch name, rest := splitPath(path); name {
			case "": // an absolute symbolic link
				root, err := useDir(AT_FDCWD, "/")
				if err != nil {
					return 0, err
				}
				defer root.release()
				if own {
					portDeallocate(dir)
				}
				dir, own = root.port(), false
			case "pid":
				path = itoa(Getpid()) + "/" + rest
			default: // the terminal, descriptors and types of machines
				return 0, ENXIO
			}
		default:
			return 0, EPROTO
		}
	}
	return 0, ELOOP
}

func itoa(n int) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}

func trimSlashes(path string) string {
	for path != "" && path[0] == '/' {
		path = path[1:]
	}
	return path
}

func splitPath(path string) (name, rest string) {
	for i := range len(path) {
		if path[i] == '/' {
			return path[:i], path[i+1:]
		}
	}
	return path, ""
}

// reauthenticate exchanges port, which a server gave to anybody, for one that
// has the rights of this process.
func reauthenticate(port uint32) (uint32, error) {
	defer portDeallocate(port)
	rendezvous := MachReplyPort()
	if rendezvous == 0 {
		return 0, ENOMEM
	}
	defer portDestroyReceive(rendezvous)
	m := message{buf: make([]byte, msgHeaderSize, 64)}
	m.putPort(typeMakeSend, rendezvous)
	m.setHeader(msgBitsOneway, port, 0, _io_reauthenticate)
	if err := machError(sendMessage(&m)); err != nil {
		return 0, err
	}
	return initRPCPort(initPortAUTH, _auth_user_authenticate, func(m *message) {
		m.putPort(typeMakeSend, rendezvous)
	})
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
	server := uint32(flags) & (O_RDONLY | O_WRONLY | O_EXEC | O_CREAT | O_EXCL | O_NOLINK | O_NOTRANS | O_APPEND | O_SYNC | O_NOATIME)
	if flags&O_NOFOLLOW != 0 {
		server |= O_NOLINK
	}
	dirs.once.Do(startDirs)
	port, err := lookup(dirfd, path, server, perm&07777&^dirs.umask)
	if err != nil {
		return -1, err
	}
	o := &portObject{port: port}
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
	descriptors.once.Do(startDescriptors)
	d := newDescriptor(o)
	d.append = flags&O_APPEND != 0
	d.nonblock.Store(flags&O_NONBLOCK != 0)
	d.closeExec.Store(flags&O_CLOEXEC != 0)
	if fd, err = d.install(0); err != nil {
		d.release()
	}
	return fd, err
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
	port, err := lookup(dirfd, path, O_RDONLY|O_NOLINK, 0)
	if err != nil {
		return -1, err
	}
	o := &portObject{port: port}
	defer o.close()
	var st Stat_t
	if err := o.stat(&st); err != nil {
		return -1, err
	}
	if st.Mode&S_IFMT != S_IFLNK {
		return -1, EINVAL
	}
	return o.read(buf, nil)
}

// inDir calls f with the directory of path and the name there. If path ends
// with a slash and there is something of that name, it must be a directory.
func inDir(dirfd int, path string, f func(dir uint32, name string) error) error {
	if len(path) > 1 && path[len(path)-1] == '/' {
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
	port, err := lookup(dirfd, dir, 0, 0)
	if err != nil {
		return err
	}
	defer portDeallocate(port)
	return f(port, name)
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
		return rpc(dir, _dir_link, func(m *message) {
			m.putPort(typeCopySend, file)
			m.putString(name)
			m.putInt32(1) // never instead of a file that is there
		}, nil)
	})
}

// Symlink is not there yet: to the Hurd a symbolic link is a translator.
func Symlink(path, link string) error { return ENOSYS }

//go:linkname symlinkat
func symlinkat(oldpath string, newdir int, path string) error { return ENOSYS }

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
	return setCwd(newDescriptor(&portObject{port: port}))
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

// setDir replaces one of the two directories that paths start from.
func setDir(i int, d *descriptor) {
	dirs.once.Do(startDirs)
	dirs.Lock()
	if i == initPortCWDIR {
		d, dirs.cwd = dirs.cwd, d
	} else {
		d, dirs.root = dirs.root, d
	}
	dirs.Unlock()
	if d != nil {
		d.release()
	}
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
