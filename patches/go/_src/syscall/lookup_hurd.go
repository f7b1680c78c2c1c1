// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"internal/bytealg"
	"sync"
)

// From a name to a port: each server takes a path as far as it goes, and says
// where to go on.

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
		return newDescriptor(newPortObject(start.Ports[i]))
	}
	dirs.cwd, dirs.root = dir(initPortCWDIR), dir(initPortCRDIR)
	if len(start.Ints) > 0 {
		dirs.umask = start.Ints[initUmask] & 0777
	}
}

// currentDir returns the current directory or the root, to release, or nil.
func currentDir(i int) *descriptor {
	dirs.once.Do(startDirs)
	dirs.RLock()
	defer dirs.RUnlock()
	d := dirs.root
	if i == initPortCWDIR {
		d = dirs.cwd
	}
	if d != nil {
		d.refs.Add(1)
	}
	return d
}

// haveRoot reports whether this process has a root directory.
func haveRoot() bool {
	d := currentDir(initPortCRDIR)
	if d != nil {
		d.release()
	}
	return d != nil
}

// setDir replaces one of the two.
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

// useDir returns the directory that path starts from, to release.
func useDir(dirfd int, path string) (d *descriptor, err error) {
	switch {
	case path != "" && path[0] == '/':
		d = currentDir(initPortCRDIR)
	case dirfd == AT_FDCWD:
		d = currentDir(initPortCWDIR)
	default:
		d, _, err := usePort(dirfd)
		return d, err
	}
	if d == nil {
		return nil, ENOENT // as in an empty directory
	}
	return d, nil
}

func (d *descriptor) port() uint32 { return d.object.(*portObject).name() }

// maxRetries is how often a look-up is sent on, by symbolic links for example,
// before it is taken for a loop.
const maxRetries = 32

// lookup opens path and returns a send right. Flags are those that servers
// know.
func lookup(dirfd int, path string, flags, mode uint32) (uint32, error) {
	d, err := useDir(dirfd, path)
	if err != nil && path != "" {
		return 0, err
	}
	if d != nil {
		defer d.release()
	} else {
		return 0, ENOENT
	}
	return (*view)(nil).lookup(d.port(), path, flags, mode)
}

// A view is how a process sees the world that is not this one: a child that is
// about to be started. Nil is this process.
type view struct{ root, auth, ctty uint32 }

// port returns what v has as the initial port i, and how to give it back.
func (v *view) port(i int) (port uint32, release func()) {
	switch {
	case v == nil && i == initPortCRDIR:
		d := currentDir(i)
		if d == nil {
			return _MACH_PORT_NULL, func() {}
		}
		return d.port(), d.release
	case v == nil:
		p := useInitPort(i)
		return p.port(), p.release
	case i == initPortCRDIR:
		port = v.root
	case i == initPortAUTH:
		port = v.auth
	case i == initPortCTTYID:
		port = v.ctty
	}
	return port, func() {}
}

// reauthenticate exchanges port for one that has the rights of v.
func (v *view) reauthenticate(port uint32) (uint32, error) {
	defer portDeallocate(port)
	auth, release := v.port(initPortAUTH)
	defer release()
	return reauthenticateWith(port, auth)
}

// lookup opens path, from the directory dir on.
func (v *view) lookup(dir uint32, path string, flags, mode uint32) (uint32, error) {
	if path == "" {
		return 0, ENOENT
	}
	return v.walk(dir, path, flags, mode)
}

// reopen opens the object of port again.
func (v *view) reopen(port uint32, flags uint32) (uint32, error) { return v.walk(port, "", flags, 0) }

func (v *view) walk(dir uint32, path string, flags, mode uint32) (uint32, error) {
	const (
		retryNormal  = 1
		retryReauth  = 2
		retryMagical = 3
	)
	if bytealg.IndexByteString(path, 0) >= 0 {
		return 0, EINVAL
	}
	own := false // we have a reference to dir
	next := func(port uint32, ours bool) {
		if own {
			portDeallocate(dir)
		}
		dir, own = port, ours
	}
	defer func() { next(0, false) }()
	for tries := 0; tries < maxRetries; tries++ {
		path = trimSlashes(path)
		part, rest, err := cutPath(path)
		if err != nil {
			return 0, err
		}
		partFlags := flags
		if rest != "" {
			partFlags = 0 // only a directory on the way
			tries--
		}
		var retry, result uint32
		err = rpc(dir, _dir_lookup, func(m *message) {
			m.putString(part)
			m.putInt32(partFlags)
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
		if rest != "" {
			if path != "" {
				path += "/"
			}
			path += rest
		}
		switch retry {
		case retryReauth:
			if result, err = v.reauthenticate(result); err != nil {
				return 0, err
			}
			next(result, true)
		case retryNormal:
			if path == "" {
				return result, nil
			}
			next(result, true)
		case retryMagical:
			name, rest := splitPath(path)
			switch name {
			case "": // an absolute symbolic link
				portDeallocate(result)
				root, release := v.port(initPortCRDIR)
				defer release()
				next(root, false)
				continue
			case "fd":
				portDeallocate(result)
				name, rest = splitPath(rest)
				if result, err = fdPort(name); err != nil {
					return 0, err
				}
			case "tty":
				portDeallocate(result)
				if result, err = v.terminal(flags); err != nil {
					return 0, err
				}
			case "machtype":
				if result == _MACH_PORT_NULL {
					result = dir
					portAddRef(result)
				}
				next(result, true)
				path = machType() + "/" + rest
				continue
			case "pid":
				portDeallocate(result)
				path = itoa(Getpid()) + "/" + rest
				continue
			default:
				portDeallocate(result)
				return 0, EGRATUITOUS
			}
			if rest == "" {
				return result, nil
			}
			next(result, true)
			path = rest
		default:
			portDeallocate(result)
			return 0, EPROTO
		}
	}
	return 0, ELOOP
}

// fdPort is the port of a descriptor of this process: of /dev/fd.
func fdPort(number string) (uint32, error) {
	fd := 0
	if number == "" || len(number) > 6 {
		return 0, ENOENT
	}
	for _, c := range []byte(number) {
		if c < '0' || c > '9' {
			return 0, ENOENT
		}
		fd = fd*10 + int(c-'0')
	}
	d, o, err := usePort(fd)
	if err == EINVAL {
		err = ENXIO // not a port
	}
	if err != nil {
		return 0, err
	}
	defer d.release()
	name := o.name()
	portAddRef(name)
	return name, nil
}

// terminal opens the controlling terminal: /dev/tty.
func (v *view) terminal(flags uint32) (uint32, error) {
	ctty, release := v.port(initPortCTTYID)
	defer release()
	if ctty == _MACH_PORT_NULL {
		return 0, ENXIO
	}
	port, err := rpcPort(ctty, _termctty_open_terminal, func(m *message) { m.putInt32(flags) })
	if err != nil {
		return 0, err
	}
	return v.reauthenticate(port)
}

// machType is the part of a path that names the processor: its type and
// subtype, to the kernel.
func machType() string {
	var words []uint32
	err := rpc(MachHostSelf(), _host_info, func(m *message) {
		m.putInt32(1) // HOST_BASIC_INFO
		m.putInt32(5)
	}, func(m *message) { words = m.shortInts() })
	if err != nil || len(words) < 5 {
		return "0/0"
	}
	return itoa(int(words[3])) + "/" + itoa(int(words[4]))
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

// cutPath returns as much of path, in whole names, as fits into a message, and
// what is left. The rest is "" if it fits.
func cutPath(path string) (part, rest string, err error) {
	if len(path) < stringSize {
		return path, "", nil
	}
	for i := stringSize - 1; i > 0; i-- {
		if path[i] != '/' {
			continue
		}
		rest = trimSlashes(path[i:])
		if rest == "" {
			return path[:i+1], "", nil // a directory, as the slash says
		}
		return path[:i], rest, nil
	}
	return "", "", ENAMETOOLONG
}

// reparent returns another right to the directory dir, from which nothing leads
// up if its server knows how to make one.
func reparent(dir uint32) uint32 {
	n, err := rpcPort(dir, _file_reparent, func(m *message) { m.putPort(typeCopySend, _MACH_PORT_NULL) })
	if err != nil {
		portAddRef(dir)
		return dir
	}
	return n
}

// wantDir returns an error if port is not a directory.
func wantDir(port uint32) error {
	var st Stat_t
	err := statPort(port, &st)
	if err == nil && st.Mode&S_IFMT != S_IFDIR {
		err = ENOTDIR
	}
	return err
}

// Chroot makes path the root directory of this process.
func Chroot(path string) error {
	dir, err := lookup(AT_FDCWD, path, 0, 0)
	if err != nil {
		return err
	}
	defer portDeallocate(dir)
	if err := wantDir(dir); err != nil {
		return err
	}
	setDir(initPortCRDIR, newDescriptor(newPortObject(reparent(dir))))
	return nil
}
