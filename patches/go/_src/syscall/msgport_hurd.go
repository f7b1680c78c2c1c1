// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import "internal/byteorder"

// The message port of this process, where others ask it for what it has, and
// may change that if they have its task. Package runtime receives from it. It
// serves signals by itself; all else comes here, one message after the other.

const (
	_msg_proc_newids       = 23001
	_msg_add_auth          = 23002
	_msg_del_auth          = 23003
	_msg_get_init_port     = 23004
	_msg_set_init_port     = 23005
	_msg_get_init_ports    = 23006
	_msg_set_init_ports    = 23007
	_msg_get_init_int      = 23008
	_msg_set_init_int      = 23009
	_msg_get_init_ints     = 23010
	_msg_set_init_ints     = 23011
	_msg_get_dtable        = 23012
	_msg_set_dtable        = 23013
	_msg_get_fd            = 23014
	_msg_set_fd            = 23015
	_msg_get_environment   = 23016
	_msg_set_environment   = 23017
	_msg_get_env_variable  = 23018
	_msg_set_env_variable  = 23019
	_msg_sig_post_untraced = 23022
	_msg_report_wait       = 23023
	_msg_describe_ports    = 23024

	_exception_raise = 2400

	_MIG_BAD_ARGUMENTS = 1<<32 - 304

	bitsRemote = 0xff // of a header: how the reply port is to be used
)

func init() { runtime_hurdServe(serveMessage) }

// serveMessage answers a message to the message port. Rights in it that are
// not kept are given up.
func serveMessage(b []byte) {
	m := &message{buf: b}
	id := m.received(len(b))
	disposition, reply := byteorder.LEUint32(b)&bitsRemote, byteorder.LEUint32(b[8:])
	a := message{buf: make([]byte, msgHeaderSize, 128)}
	a.putInt32(0)
	var err error = Errno(_MIG_BAD_ID)
	s := &msgServer{message: m, answer: &a}
	if _, known := msgRoutines[id]; known {
		err = msgRoutines[id](s)
	} else if id == _msg_sig_post || id == _msg_sig_post_untraced || id == _exception_raise {
		err = Errno(_MIG_BAD_ARGUMENTS) // or it would not have come here
	}
	if err == nil && m.bad {
		err = Errno(_MIG_BAD_ARGUMENTS)
	}
	if err != nil {
		code, ok := err.(Errno)
		if !ok {
			code = EIO
		}
		a.reset()
		a.putInt32(uint32(code))
	}
	for _, port := range s.given {
		defer portDeallocate(port)
	}
	m.destroy()
	if reply == _MACH_PORT_NULL || reply == _MACH_PORT_DEAD {
		return
	}
	a.setHeader(disposition, reply, 0, id+100)
	// The one who asked shall not keep this process: an answer for which
	// there is no room in his queue is lost.
	if sendNow(&a) != 0 {
		portDeallocate(reply)
	}
}

// A msgServer is a request under way.
type msgServer struct {
	*message
	answer *message
	given  []uint32 // ports to give up when the answer has been sent
}

// refport takes the port that shows what the client may do. It must be the
// task, which nobody has whom its owner has not given it.
func (s *msgServer) refport() error {
	if ref := s.port(); ref != MachTaskSelf() && !s.bad {
		return EPERM
	}
	return nil
}

// arguments must come after the last argument has been taken, and before
// anything is done.
func (s *msgServer) arguments() error {
	s.end()
	if s.bad {
		return Errno(_MIG_BAD_ARGUMENTS)
	}
	return nil
}

// keepPort takes a send right which becomes ours: it is replaced in the message
// by none, so that it is not destroyed with it.
func (s *msgServer) keepPort() uint32 {
	off := s.off
	port := s.port()
	if !s.bad {
		byteorder.LEPutUint32(s.buf[off+4:], _MACH_PORT_NULL)
	}
	return port
}

// keepPorts takes an array of send rights of which each gets a reference more.
func (s *msgServer) keepPorts() []uint32 {
	ports := s.ports()
	for _, port := range ports {
		if port != _MACH_PORT_NULL && port != _MACH_PORT_DEAD {
			portAddRef(port)
		}
	}
	return ports
}

// ports takes an array of rights, but not its memory, which is freed with the
// message.
func (s *msgServer) ports() []uint32 {
	b, _ := s.array(typeSend, 32)
	v := make([]uint32, len(b)/4)
	for i := range v {
		v[i] = byteorder.LEUint32(b[4*i:])
	}
	return v
}

// The same for the other arrays.

func (s *msgServer) ints() []uint32 {
	b, _ := s.array(typeInt32, 32)
	v := make([]uint32, len(b)/4)
	for i := range v {
		v[i] = byteorder.LEUint32(b[4*i:])
	}
	return v
}

func (s *msgServer) bytes() []byte {
	b, _ := s.array(typeChar, 8)
	return append([]byte(nil), b...)
}

// initPort returns an initial port for the answer.
func (s *msgServer) initPort(i int) uint32 {
	var port uint32
	if i == initPortCWDIR || i == initPortCRDIR {
		d := currentDir(i)
		if d == nil {
			return _MACH_PORT_NULL
		}
		port = d.port()
		portAddRef(port)
		d.release()
	} else {
		p := useInitPort(i)
		if p == nil {
			return _MACH_PORT_NULL
		}
		port = p.name
		portAddRef(port)
		p.release()
	}
	s.given = append(s.given, port)
	return port
}

// setInitPort sets one, and takes port over. A new auth port makes the process
// somebody else.
func setInitPort(i int, port uint32) error {
	if i == initPortAUTH && port != _MACH_PORT_NULL && port != _MACH_PORT_DEAD {
		return setAuth(port)
	}
	return HurdSetPort(i, port)
}

func initInts() []uint32 {
	v := make([]uint32, initIntMax)
	dirs.once.Do(startDirs)
	dirs.RLock()
	v[initUmask] = dirs.umask
	dirs.RUnlock()
	v[initSigign] = runtime_hurdIgnored()
	return v
}

// setInitInt sets one of the initial integers. That of signals is for the
// program to say.
func setInitInt(i int, value uint32) error {
	if i == initUmask {
		Umask(int(value))
		return nil
	}
	return EOPNOTSUPP
}

// fdPorts returns the port of each descriptor, each with a reference for the
// answer.
func (s *msgServer) fdPorts() []uint32 {
	descriptors.once.Do(startDescriptors)
	descriptors.RLock()
	defer descriptors.RUnlock()
	ports := make([]uint32, len(descriptors.table))
	for fd, d := range descriptors.table {
		if d == nil {
			continue
		}
		if o, ok := d.object.(*portObject); ok {
			ports[fd] = o.name()
			portAddRef(ports[fd])
			s.given = append(s.given, ports[fd])
		}
	}
	return ports
}

// setFd makes port, which it takes over, descriptor fd.
func setFd(fd int, port uint32) error {
	if fd < 0 || fd >= maxDescriptors {
		portDeallocate(port)
		return EBADF
	}
	descriptors.once.Do(startDescriptors)
	var d *descriptor
	if port != _MACH_PORT_NULL && port != _MACH_PORT_DEAD {
		d = newDescriptor(newPortObject(port))
	}
	descriptors.Lock()
	var old *descriptor
	if fd < len(descriptors.table) || d != nil {
		old = putDescriptor(fd, d)
	}
	descriptors.Unlock()
	if old != nil {
		old.release()
	}
	return nil
}

// setEnviron makes the strings in b, each with its zero, the environment.
func setEnviron(b []byte) {
	Clearenv()
	for len(b) > 0 {
		n := clen(b)
		for i := range n {
			if b[i] == '=' {
				Setenv(string(b[:i]), string(b[i+1:n]))
				break
			}
		}
		b = b[min(n+1, len(b)):]
	}
}

// union returns v with what it lacks of w, and without returns it without w.
func union(v, w []uint32) []uint32 {
	v = append([]uint32(nil), v...)
	for _, id := range w {
		if !has(v, id) {
			v = append(v, id)
		}
	}
	return v
}

func without(v, w []uint32) (left []uint32) {
	for _, id := range v {
		if !has(w, id) {
			left = append(left, id)
		}
	}
	return left
}

func has(v []uint32, id uint32) bool {
	for _, x := range v {
		if x == id {
			return true
		}
	}
	return false
}

// msgRoutines serve the calls by their numbers.
var msgRoutines map[uint32]func(*msgServer) error

func init() {
	msgRoutines = map[uint32]func(*msgServer) error{
		_msg_proc_newids: func(s *msgServer) error {
			err := s.refport()
			s.int32() // the parent
			s.int32() // the group
			orphaned := s.int32()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			runtime_hurdOrphaned(orphaned != 0)
			return nil
		},
		_msg_add_auth: func(s *msgServer) error {
			other := s.port()
			if err := s.arguments(); err != nil {
				return err
			}
			var more [4][]uint32
			err := rpc(other, _auth_getids, nil, func(m *message) {
				for i := range more {
					more[i] = m.ints()
				}
			})
			if err != nil {
				return err
			}
			return changeAuth([]uint32{other}, func(v *[4][]uint32) {
				for i := range v {
					v[i] = union(v[i], more[i])
				}
			})
		},
		_msg_del_auth: func(s *msgServer) error {
			err := s.refport()
			uids, gids := s.ints(), s.ints()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			return changeAuth(nil, func(v *[4][]uint32) {
				v[effectiveUsers] = without(v[effectiveUsers], uids)
				v[availableUsers] = without(v[availableUsers], uids)
				v[effectiveGroups] = without(v[effectiveGroups], gids)
				v[availableGroups] = without(v[availableGroups], gids)
			})
		},
		_msg_get_init_port: func(s *msgServer) error {
			err := s.refport()
			which := int(int32(s.int32()))
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			if which < 0 || which >= initPortMax {
				return EINVAL
			}
			s.answer.putPort(typeCopySend, s.initPort(which))
			return nil
		},
		_msg_set_init_port: func(s *msgServer) error {
			err := s.refport()
			which := int(int32(s.int32()))
			off := s.off
			s.port()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			s.off = off
			return setInitPort(which, s.keepPort())
		},
		_msg_get_init_ports: func(s *msgServer) error {
			err := s.refport()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			v := make([]uint32, initPortMax)
			for i := range v {
				v[i] = s.initPort(i)
			}
			s.answer.putPorts(v)
			return nil
		},
		_msg_set_init_ports: func(s *msgServer) error {
			err := s.refport()
			off := s.off
			n := len(s.ports())
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			if n > initPortMax {
				return EINVAL
			}
			s.off = off
			for i, port := range s.keepPorts() {
				if e := setInitPort(i, port); err == nil {
					err = e
				}
			}
			return err
		},
		_msg_get_init_int: func(s *msgServer) error {
			err := s.refport()
			which := int(int32(s.int32()))
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			if which < 0 || which >= initIntMax {
				return EINVAL
			}
			s.answer.putInt32(initInts()[which])
			return nil
		},
		_msg_set_init_int: func(s *msgServer) error {
			err := s.refport()
			which, value := int(int32(s.int32())), s.int32()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			if which < 0 || which >= initIntMax {
				return EINVAL
			}
			return setInitInt(which, value)
		},
		_msg_get_init_ints: func(s *msgServer) error {
			err := s.refport()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			s.answer.putInts(initInts())
			return nil
		},
		_msg_set_init_ints: func(s *msgServer) error {
			err := s.refport()
			v := s.ints()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			if len(v) == 0 || len(v) > initIntMax {
				return EINVAL
			}
			return setInitInt(initUmask, v[initUmask])
		},
		_msg_get_dtable: func(s *msgServer) error {
			err := s.refport()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			s.answer.putPorts(s.fdPorts())
			return nil
		},
		_msg_set_dtable: func(s *msgServer) error {
			err := s.refport()
			off := s.off
			n := len(s.ports())
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			if n > maxDescriptors {
				return EMFILE
			}
			s.off = off
			for fd, port := range s.keepPorts() {
				setFd(fd, port)
			}
			for fd := n; closeFd(fd); fd++ {
			}
			return nil
		},
		_msg_get_fd: func(s *msgServer) error {
			err := s.refport()
			fd := int(int32(s.int32()))
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			d, o, err := usePort(fd)
			if err != nil {
				return err
			}
			defer d.release()
			port := o.name()
			portAddRef(port)
			s.given = append(s.given, port)
			s.answer.putPort(typeCopySend, port)
			return nil
		},
		_msg_set_fd: func(s *msgServer) error {
			err := s.refport()
			fd := int(int32(s.int32()))
			off := s.off
			s.port()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			s.off = off
			return setFd(fd, s.keepPort())
		},
		_msg_get_environment: func(s *msgServer) error {
			if err := s.arguments(); err != nil {
				return err
			}
			var b []byte
			for _, v := range Environ() {
				b = append(append(b, v...), 0)
			}
			s.answer.putBytes(b)
			return nil
		},
		_msg_set_environment: func(s *msgServer) error {
			err := s.refport()
			b := s.bytes()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			setEnviron(b)
			return nil
		},
		_msg_get_env_variable: func(s *msgServer) error {
			name := s.string()
			if err := s.arguments(); err != nil {
				return err
			}
			value, ok := Getenv(name)
			if !ok {
				return ENOENT
			}
			s.answer.putBytes(append([]byte(value), 0))
			return nil
		},
		_msg_set_env_variable: func(s *msgServer) error {
			err := s.refport()
			name, value, replace := s.string(), s.string(), s.bool()
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			if _, ok := Getenv(name); ok && !replace {
				return nil
			}
			return Setenv(name, value)
		},
		_msg_report_wait: func(s *msgServer) error {
			s.port() // the thread: of a goroutine nothing is known
			if err := s.arguments(); err != nil {
				return err
			}
			s.answer.putString("")
			s.answer.putInt32(0)
			return nil
		},
		_msg_describe_ports: func(s *msgServer) error {
			err := s.refport()
			b, _ := s.array(typeName, 32)
			if e := s.arguments(); e != nil || err != nil {
				return firstError(e, err)
			}
			var text []byte
			for i := 0; i+4 <= len(b); i += 4 {
				text = append(append(text, describePort(byteorder.LEUint32(b[i:]))...), 0)
			}
			s.answer.putBytes(text)
			return nil
		},
	}
}

// firstError returns a if there is one, and else b.
func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// closeFd closes descriptor fd, and reports whether there may be higher ones.
func closeFd(fd int) bool {
	Close(fd)
	descriptors.RLock()
	defer descriptors.RUnlock()
	return fd+1 < len(descriptors.table)
}

// describePort says for people what a port is to this process.
func describePort(name uint32) string {
	if name == MachTaskSelf() {
		return "task-self"
	}
	for i, what := range []string{"cwdir", "crdir", "auth", "proc", "cttyid", "bootstrap"} {
		var port uint32
		if i <= initPortCRDIR {
			if d := currentDir(i); d != nil {
				port = d.port()
				d.release()
			}
		} else {
			p := useInitPort(i)
			port = p.port()
			p.release()
		}
		if port == name && name != _MACH_PORT_NULL {
			return "init port " + what
		}
	}
	descriptors.RLock()
	defer descriptors.RUnlock()
	for fd, d := range descriptors.table {
		if d == nil {
			continue
		}
		if o, ok := d.object.(*portObject); ok && o.name() == name {
			return "fd " + itoa(fd)
		}
	}
	return "port " + itoa(int(name))
}

// Provided by package runtime.

func runtime_hurdServe(serve func([]byte)) // calls serve for each message
func runtime_hurdOrphaned(orphaned bool)   // whether nobody would continue a stopped process
