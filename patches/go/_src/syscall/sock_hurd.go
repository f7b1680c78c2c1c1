// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"internal/strconv"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Sockets are objects of the servers at /servers/socket/N, N being the address
// family, and an address is an object there, too.

// A socketState is what a portObject has in addition if it is one.
type socketState struct {
	family, typ int

	errMu sync.Mutex
	err   Errno // what became of a connect, for SO_ERROR

	addr    string // the last address that was sent to,
	addrObj uint32 // and its object; with op[1]

	// Names of local sockets, which their server may not know.
	local, peer atomic.Pointer[string]
}

func (s *socketState) close() { portDeallocate(s.addrObj) }

func (s *socketState) setConnectError(err error) {
	s.errMu.Lock()
	defer s.errMu.Unlock()
	if s.err, _ = err.(Errno); err == nil {
		s.err = 0
	}
}

// A noRootError is why there are no sockets for a program that was started
// without a root directory, in which their servers would be.
type noRootError struct{}

func (noRootError) Error() string {
	return "no network: the program has no root directory, and so no /servers/socket"
}

func (noRootError) Unwrap() error { return EAFNOSUPPORT }

// socketServer returns a send right to the server of a family. It is not kept:
// a look-up costs little, and the server may be another one next time.
func socketServer(family int) (uint32, error) {
	port, err := lookup(AT_FDCWD, "/servers/socket/"+strconv.Itoa(family), 0, 0)
	switch {
	case err == ENOENT && !haveRoot():
		return 0, noRootError{}
	case err == ENOENT:
		return 0, EAFNOSUPPORT
	}
	return port, err
}

func socket(family, typ, proto int) (fd int, err error) {
	flags := typ & (SOCK_CLOEXEC | SOCK_NONBLOCK)
	typ &^= SOCK_CLOEXEC | SOCK_NONBLOCK
	server, err := socketServer(family)
	if err != nil {
		return -1, err
	}
	defer portDeallocate(server)
	port, err := rpcPort(server, _socket_create, func(m *message) {
		m.putInt32(uint32(typ))
		m.putInt32(uint32(proto))
	})
	if err != nil {
		return -1, err
	}
	return installSocket(port, &socketState{family: family, typ: typ}, flags)
}

func newSocket(port uint32, s *socketState) *portObject {
	o := newPortObject(port)
	o.kind.Store(S_IFSOCK)
	o.modes.Store(O_RDWR)
	o.sock.Store(s)
	return o
}

func installSocket(port uint32, s *socketState, flags int) (fd int, err error) {
	d := newDescriptor(newSocket(port, s))
	d.nonblock.Store(flags&SOCK_NONBLOCK != 0)
	d.closeExec.Store(flags&SOCK_CLOEXEC != 0)
	descriptors.once.Do(startDescriptors)
	if fd, err = d.install(0); err != nil {
		d.release()
	}
	return fd, err
}

// useSocket returns descriptor fd, to release, and its socket.
func useSocket(fd int) (*descriptor, *portObject, *socketState, error) {
	d, err := useDescriptor(fd)
	if err != nil {
		return nil, nil, nil, err
	}
	if o, ok := d.object.(*portObject); ok {
		if s := o.socket(); s != nil {
			return d, o, s, nil
		}
	}
	d.release()
	return nil, nil, nil, ENOTSOCK
}

// socket returns the state of o, if o is a socket. If it is one that was
// inherited or received its server must tell what kind of socket it is.
func (o *portObject) socket() *socketState {
	if s := o.sock.Load(); s != nil {
		return s
	}
	if !o.waits() || o.kind.Load() != S_IFSOCK {
		return nil
	}
	s := &socketState{family: AF_LOCAL, typ: SOCK_STREAM}
	if addr, err := rpcPort(o.name(), _socket_name, nil); err == nil {
		var rsa RawSockaddrAny
		if takeAddress(addr, &rsa) == nil && rsa.Addr.Family != AF_UNSPEC {
			s.family = int(rsa.Addr.Family)
		}
	}
	rpc(o.name(), _socket_getopt, func(m *message) {
		m.putInt32(SOL_SOCKET)
		m.putInt32(SO_TYPE)
	}, func(m *message) {
		if b := m.bytes(); len(b) >= 4 && b[0] != 0 {
			s.typ = int(b[0])
		}
	})
	o.sock.CompareAndSwap(nil, s)
	return o.sock.Load()
}

// sockRPC is rpc for a call on a socket.
func sockRPC(fd int, id uint32, build, take func(*message)) error {
	d, o, _, err := useSocket(fd)
	if err != nil {
		return err
	}
	defer d.release()
	return rpc(o.name(), id, build, take)
}

// createAddress makes an address object.
func (o *portObject) createAddress(s *socketState, addr []byte) (uint32, error) {
	if s.family == AF_LOCAL {
		return localAddress(addr)
	}
	return rpcPort(o.name(), _socket_create_address, func(m *message) {
		m.putInt32(uint32(s.family))
		m.putBytes(addr)
	})
}

// localPath is the path in the address of a local socket.
func localPath(addr []byte) string {
	if len(addr) < 2 {
		return ""
	}
	addr = addr[2:]
	return string(addr[:clen(addr)])
}

// localAddress returns the address object of the local socket that has a file
// for a name: the file's translator has it.
func localAddress(addr []byte) (uint32, error) {
	path := localPath(addr)
	if path == "" {
		return 0, EINVAL
	}
	node, err := lookup(AT_FDCWD, path, 0, 0)
	if err != nil {
		return 0, err
	}
	defer portDeallocate(node)
	return nodeAddress(node)
}

func nodeAddress(node uint32) (uint32, error) {
	obj, err := rpcPort(node, _ifsock_getsockaddr, nil)
	if err == EOPNOTSUPP || err == EINVAL {
		err = ECONNREFUSED // the file is something else
	}
	return obj, err
}

// bindLocal makes the file that is the name of a local socket, and the address
// that goes with it.
func bindLocal(addr []byte) (obj uint32, err error) {
	path := localPath(addr)
	if path == "" {
		return 0, EINVAL
	}
	err = inDir(AT_FDCWD, path, func(dir uint32, name string) error {
		node, err := makeNode(dir, 0777, []byte("/hurd/ifsock\x00"))
		if err != nil {
			return err
		}
		// The port of a node without a name is that of the node, not of
		// its translator: open it again.
		var file uint32
		if file, err = (*view)(nil).reopen(node, 0); err == nil {
			obj, err = nodeAddress(file)
			portDeallocate(file)
		}
		if e := linkNode(dir, node, name); e != nil {
			if err == nil {
				portDeallocate(obj)
			}
			portDeallocate(node)
			return e
		}
		portDeallocate(node)
		if err == nil {
			return nil
		}
		// There are file systems that see only by the name what has
		// become of a file.
		if file, err = (*view)(nil).lookup(dir, name, 0, 0); err == nil {
			obj, err = nodeAddress(file)
			portDeallocate(file)
		}
		if err != nil {
			rpc(dir, _dir_unlink, func(m *message) { m.putString(name) }, nil)
		}
		return err
	})
	if err == EEXIST {
		err = EADDRINUSE
	}
	if err == nil {
		nameAddress(obj, addr)
	}
	return obj, err
}

// nameAddress tells the address object obj of a local socket what file it
// belongs to, so that others can learn who sends to them. Not every server
// wants to know: to those of the Hurd an address has no name.
func nameAddress(obj uint32, addr []byte) {
	same, err := rpcPort(obj, _socket_create_address, func(m *message) {
		m.putInt32(AF_LOCAL)
		m.putBytes(addr)
	})
	if err == nil {
		portDeallocate(same)
	}
}

// takeAddress asks the address object addr, which it gives up, what it stands
// for. Nothing is known of no object.
func takeAddress(addr uint32, rsa *RawSockaddrAny) error {
	*rsa = RawSockaddrAny{}
	if addr == _MACH_PORT_NULL || addr == _MACH_PORT_DEAD {
		return nil
	}
	defer portDeallocate(addr)
	return rpc(addr, _socket_whatis_address, nil, func(m *message) {
		family := m.int32()
		b, ool := m.array(typeChar, 8)
		copy(unsafe.Slice((*byte)(unsafe.Pointer(rsa)), unsafe.Sizeof(*rsa)), b)
		rsa.Addr.Family = uint8(family)
		if ool {
			vmDeallocate(b)
		}
	})
}

func addrBytes(p unsafe.Pointer, n _Socklen) []byte { return unsafe.Slice((*byte)(p), int(n)) }

func bind(fd int, addr unsafe.Pointer, addrlen _Socklen) error {
	d, o, s, err := useSocket(fd)
	if err != nil {
		return err
	}
	defer d.release()
	bytes := addrBytes(addr, addrlen)
	var obj uint32
	if s.family == AF_LOCAL {
		obj, err = bindLocal(bytes)
	} else {
		obj, err = o.createAddress(s, bytes)
	}
	if err != nil {
		return err
	}
	defer portDeallocate(obj)
	err = rpc(o.name(), _socket_bind, func(m *message) { m.putPort(typeCopySend, obj) }, nil)
	if err == nil && s.family == AF_LOCAL {
		path := localPath(bytes)
		s.local.Store(&path)
	}
	return err
}

// connect starts to connect, and unless fd is non-blocking waits until it is.
func connect(fd int, addr unsafe.Pointer, addrlen _Socklen) error {
	d, o, s, err := useSocket(fd)
	if err != nil {
		return err
	}
	defer d.release()
	bytes := addrBytes(addr, addrlen)
	obj, err := o.createAddress(s, bytes)
	if err != nil {
		return err
	}
	defer portDeallocate(obj)
	if s.family == AF_LOCAL {
		path := localPath(bytes)
		s.peer.Store(&path)
	}

	o.op[1].Lock()
	if o.pending[1] != nil {
		o.op[1].Unlock()
		return EALREADY
	}
	c, err := newCall()
	if err == nil {
		c.putPort(typeCopySend, obj)
		if err = c.send(o.name(), _socket_connect); err == nil {
			o.setPending(1, c)
		} else {
			c.free()
		}
	}
	o.op[1].Unlock()
	switch {
	case err != nil:
		return err
	case d.nonblock.Load():
		return EINPROGRESS
	}
	if e := o.waitConnect(nil); e != 0 {
		return e
	}
	if e := s.takeConnectError(); e != 0 {
		return e
	}
	return nil
}

// waitConnect waits until a connect that was started is over.
func (o *portObject) waitConnect(stop *stopFlag) Errno {
	o.op[1].Lock()
	defer o.op[1].Unlock()
	if c := o.pending[1]; c != nil && c.id == _socket_connect {
		if o.finish(1, stop) != nil {
			return EAGAIN
		}
	}
	return 0
}

func (s *socketState) takeConnectError() (e Errno) {
	s.errMu.Lock()
	defer s.errMu.Unlock()
	e, s.err = s.err, 0
	return e
}

func Listen(fd int, backlog int) error {
	return sockRPC(fd, _socket_listen, func(m *message) { m.putInt32(uint32(backlog)) }, nil)
}

func Accept(fd int) (nfd int, sa Sockaddr, err error) { return Accept4(fd, 0) }

func Accept4(fd int, flags int) (nfd int, sa Sockaddr, err error) {
	d, o, s, err := useSocket(fd)
	if err != nil {
		return -1, nil, err
	}
	defer d.release()
	if d.wouldBlock(0) {
		return -1, nil, EAGAIN
	}
	o.op[0].Lock()
	var c *call
	for {
		c, err = o.perform(0, &d.stopRead, _socket_accept, nil)
		if err == nil {
			break
		}
		if err = o.retry(0, &d.stopRead, err); err != nil {
			break
		}
	}
	o.op[0].Unlock()
	if err != nil {
		return -1, nil, err
	}
	conn, addr := c.port(), c.port()
	err = c.check()
	c.free()
	if err != nil {
		return -1, nil, err
	}
	state := &socketState{family: s.family, typ: s.typ}
	state.local.Store(s.local.Load())
	nfd, err = installSocket(conn, state, flags)
	if err != nil {
		portDeallocate(addr)
		return -1, nil, err
	}
	var rsa RawSockaddrAny
	if s.family == AF_LOCAL {
		takeLocalAddress(addr, &rsa)
		name := localName(&rsa)
		state.peer.Store(&name)
		return nfd, &SockaddrUnix{Name: name}, nil
	}
	if takeAddress(addr, &rsa) == nil && rsa.Addr.Family != AF_UNSPEC {
		sa, _ = anyToSockaddr(&rsa)
	}
	if sa == nil {
		sa, _ = Getpeername(nfd)
	}
	return nfd, sa, nil
}

// setLocalAddress makes rsa the address of a local socket with this name.
func setLocalAddress(rsa *RawSockaddrAny, name *string) {
	*rsa = RawSockaddrAny{}
	raw := (*RawSockaddrUnix)(unsafe.Pointer(rsa))
	raw.Family = AF_LOCAL
	if name != nil {
		for i := 0; i < len(*name) && i < len(raw.Path)-1; i++ {
			raw.Path[i] = int8((*name)[i])
		}
	}
}

// takeLocalAddress is takeAddress for local sockets. What has no name, or none
// that its server knows, has an address nevertheless.
func takeLocalAddress(addr uint32, rsa *RawSockaddrAny) {
	if takeAddress(addr, rsa) != nil || rsa.Addr.Family != AF_LOCAL {
		setLocalAddress(rsa, nil)
	}
}

// localName is the name in the address of a local socket.
func localName(rsa *RawSockaddrAny) string {
	if sa, err := anyToSockaddr(rsa); err == nil {
		if sa, ok := sa.(*SockaddrUnix); ok {
			return sa.Name
		}
	}
	return ""
}

func sockAddress(fd int, id uint32, rsa *RawSockaddrAny, addrlen *_Socklen) error {
	d, o, _, err := useSocket(fd)
	if err != nil {
		return err
	}
	defer d.release()
	addr, err := rpcPort(o.name(), id, nil)
	if err != nil {
		return err
	}
	*addrlen = SizeofSockaddrAny
	if s := o.sock.Load(); s.family == AF_LOCAL {
		name := &s.local
		if id == _socket_peername {
			name = &s.peer
		}
		if known := name.Load(); known != nil {
			portDeallocate(addr)
			setLocalAddress(rsa, known)
		} else {
			takeLocalAddress(addr, rsa)
		}
		return nil
	}
	return takeAddress(addr, rsa)
}

func getpeername(fd int, rsa *RawSockaddrAny, addrlen *_Socklen) error {
	return sockAddress(fd, _socket_peername, rsa, addrlen)
}

func getsockname(fd int, rsa *RawSockaddrAny, addrlen *_Socklen) error {
	return sockAddress(fd, _socket_name, rsa, addrlen)
}

func Getsockname(fd int) (sa Sockaddr, err error) {
	var rsa RawSockaddrAny
	var n _Socklen
	if err := getsockname(fd, &rsa, &n); err != nil {
		return nil, err
	}
	return anyToSockaddr(&rsa)
}

func Shutdown(fd int, how int) error {
	return sockRPC(fd, _socket_shutdown, func(m *message) { m.putInt32(uint32(how)) }, nil)
}

func setsockopt(fd int, level int, name int, val unsafe.Pointer, vallen uintptr) error {
	return sockRPC(fd, _socket_setopt, func(m *message) {
		m.putInt32(uint32(level))
		m.putInt32(uint32(name))
		m.putBytes(unsafe.Slice((*byte)(val), int(vallen)))
	}, nil)
}

func getsockopt(fd int, level int, name int, val unsafe.Pointer, vallen *_Socklen) error {
	d, o, s, err := useSocket(fd)
	if err != nil {
		return err
	}
	defer d.release()
	if level == SOL_SOCKET && *vallen >= 4 {
		// What this side knows better.
		switch name {
		case SO_TYPE:
			*(*int32)(val), *vallen = int32(s.typ), 4
			return nil
		case SO_ERROR:
			if e := s.takeConnectError(); e != 0 {
				*(*int32)(val), *vallen = int32(e), 4
				return nil
			}
		}
	}
	return rpc(o.name(), _socket_getopt, func(m *message) {
		m.putInt32(uint32(level))
		m.putInt32(uint32(name))
	}, func(m *message) {
		b, ool := m.array(typeChar, 8)
		*vallen = _Socklen(copy(unsafe.Slice((*byte)(val), int(*vallen)), b))
		if ool {
			vmDeallocate(b)
		}
	})
}

// receive is recvmsg; rsa may be nil if nobody asks who sent it, and oob empty
// if nobody wants descriptors.
func (o *portObject) receive(p, oob []byte, flags int, rsa *RawSockaddrAny, stop *stopFlag) (n, oobn, outflags int, err error) {
	s := o.sock.Load()
	size := ioMax // whoever takes the answer, it is not cut off
	if s.typ == SOCK_STREAM {
		size = min(len(p), ioMax)
	}
	var addr uint32
	var control []byte
	var ports []uint32
	build := func(m *message) {
		m.putInt32(uint32(flags))
		m.putWord(uintptr(size))
	}
	take := func(m *message) {
		addr = m.port()
		b, ool := m.array(typeChar, 8)
		n = copy(p, b)
		if n < len(b) && s.typ != SOCK_STREAM {
			outflags |= MSG_TRUNC
		}
		if ool {
			vmDeallocate(b)
		}
		ports = m.ports()
		control = m.bytes()
		outflags |= int(m.int32())
	}
	o.op[0].Lock()
	left := o.left // read already
	if flags&MSG_PEEK == 0 {
		o.left = left[min(len(p), len(left)):]
	}
	o.op[0].Unlock()
	if len(left) > 0 {
		return copy(p, left), 0, 0, nil
	}
	if flags != 0 {
		// Not the call that may be pending.
		err = rpc(o.name(), _socket_recv, build, take)
	} else {
		o.op[0].Lock()
		defer o.op[0].Unlock()
		for {
			var c *call
			if c, err = o.perform(0, stop, _socket_recv, build); err == nil {
				take(&c.message)
				err = c.check()
				c.free()
				break
			}
			if err = o.retry(0, stop, err); err != nil {
				break
			}
		}
	}
	if err != nil {
		return 0, 0, 0, err
	}
	oobn, truncated := takeRights(oob, control, ports)
	if truncated {
		outflags |= MSG_CTRUNC
	}
	switch {
	case rsa == nil || s.typ == SOCK_STREAM && s.family == AF_LOCAL:
		portDeallocate(addr)
		if rsa != nil {
			*rsa = RawSockaddrAny{}
		}
	case s.family == AF_LOCAL:
		takeLocalAddress(addr, rsa)
	default:
		err = takeAddress(addr, rsa)
	}
	return n, oobn, outflags, err
}

func recvfrom(fd int, p []byte, flags int, from *RawSockaddrAny, fromlen *_Socklen) (n int, err error) {
	d, o, s, err := useSocket(fd)
	if err != nil {
		return 0, err
	}
	defer d.release()
	if d.wouldBlock(0) {
		return 0, EAGAIN
	}
	*fromlen = SizeofSockaddrAny
	if s.typ == SOCK_STREAM && flags == 0 {
		*from = RawSockaddrAny{}
		return o.read(p, &d.stopRead)
	}
	n, _, _, err = o.receive(p, nil, flags, from, &d.stopRead)
	return n, err
}

func recvmsgRaw(fd int, p, oob []byte, flags int, rsa *RawSockaddrAny) (n, oobn, recvflags int, err error) {
	d, o, s, err := useSocket(fd)
	if err != nil {
		return 0, 0, 0, err
	}
	defer d.release()
	if d.wouldBlock(0) {
		return 0, 0, 0, EAGAIN
	}
	if s.family != AF_LOCAL && s.typ == SOCK_STREAM && flags == 0 {
		*rsa = RawSockaddrAny{}
		n, err = o.read(p, &d.stopRead)
		return n, 0, 0, err
	}
	if len(p) == 0 && len(oob) > 0 {
		p = make([]byte, 1) // descriptors come with data
	}
	return o.receive(p, oob, flags, rsa, &d.stopRead)
}

// Descriptors in messages of local sockets are rights beside the data. A
// control message says how many, with a word for each.

// takeRights makes descriptors of the rights that came with a message, and
// control messages about them in oob. It says how long they are, and whether
// there was not enough room.
func takeRights(oob, control []byte, ports []uint32) (n int, truncated bool) {
	if len(control) == 0 && len(ports) > 0 {
		control = make([]byte, SizeofCmsghdr+4*len(ports))
		h := (*Cmsghdr)(unsafe.Pointer(&control[0]))
		h.Len, h.Level, h.Type = uint32(len(control)), SOL_SOCKET, SCM_RIGHTS
	}
	for len(control) >= SizeofCmsghdr {
		h := (*Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(h.Len)
		if size < SizeofCmsghdr || size > len(control) {
			break
		}
		msg := control[:size]
		control = control[min((size+3)&^3, len(control)):]
		if n+size > len(oob) {
			truncated = true
			break
		}
		if h.Level == SOL_SOCKET && h.Type == SCM_RIGHTS {
			for i := SizeofCmsghdr; i+4 <= size; i += 4 {
				fd := -1
				if len(ports) > 0 {
					port := ports[0]
					ports = ports[1:]
					descriptors.once.Do(startDescriptors)
					var err error
					if fd, err = installDescriptor(newPortObject(port), 0); err != nil {
						fd = -1
					}
				}
				*(*int32)(unsafe.Pointer(&msg[i])) = int32(fd)
			}
		}
		copy(oob[n:], msg)
		n += min((size+3)&^3, len(oob)-n)
	}
	for _, port := range ports {
		portDeallocate(port)
	}
	return n, truncated
}

// putRights takes the descriptors that control messages name. The caller
// releases them.
func putRights(oob []byte) (control []byte, ports []uint32, held []*descriptor, err error) {
	control = append([]byte(nil), oob...)
	for left := control; len(left) >= SizeofCmsghdr; {
		h := (*Cmsghdr)(unsafe.Pointer(&left[0]))
		size := int(h.Len)
		if size < SizeofCmsghdr || size > len(left) {
			return nil, nil, held, EINVAL
		}
		if h.Level == SOL_SOCKET && h.Type == SCM_RIGHTS {
			for i := SizeofCmsghdr; i+4 <= size; i += 4 {
				word := (*int32)(unsafe.Pointer(&left[i]))
				d, o, err := usePort(int(*word))
				if err != nil {
					return nil, nil, held, err
				}
				held = append(held, d)
				ports = append(ports, o.name())
				*word = 0 // flags of the descriptor
			}
		}
		left = left[min((size+3)&^3, len(left)):]
	}
	return control, ports, held, nil
}

func sendto(fd int, p []byte, flags int, to unsafe.Pointer, addrlen _Socklen) error {
	_, err := sendmsgN(fd, p, nil, to, addrlen, flags)
	return err
}

func sendmsgN(fd int, p, oob []byte, to unsafe.Pointer, addrlen _Socklen, flags int) (n int, err error) {
	d, o, s, err := useSocket(fd)
	if err != nil {
		return 0, err
	}
	defer d.release()
	if d.wouldBlock(1) {
		return 0, EAGAIN
	}
	if to == nil && flags == 0 && len(oob) == 0 && s.typ == SOCK_STREAM {
		return o.write(p, &d.stopWrite)
	}
	empty := len(p) == 0 && len(oob) > 0
	if empty {
		p = make([]byte, 1) // descriptors go with data
	}
	control, ports, held, err := putRights(oob)
	defer func() {
		for _, d := range held {
			d.release()
		}
	}()
	if err != nil {
		return 0, err
	}
	o.op[1].Lock()
	defer o.op[1].Unlock()
	if err := o.finish(1, &d.stopWrite); err != nil {
		return 0, err
	}
	var obj uint32
	if to != nil {
		// A program that sends to one address goes on to do so. (What
		// has a file for its name may be another one next time.)
		if addr := addrBytes(to, addrlen); string(addr) != s.addr || s.family == AF_LOCAL {
			if obj, err = o.createAddress(s, addr); err != nil {
				return 0, err
			}
			portDeallocate(s.addrObj)
			s.addr, s.addrObj = string(addr), obj
		}
		obj = s.addrObj
	}
	if s.typ == SOCK_STREAM {
		p = p[:min(len(p), ioMax)]
	}
	for {
		c, err := o.perform(1, &d.stopWrite, _socket_send, func(m *message) {
			m.putPort(typeCopySend, obj)
			m.putInt32(uint32(flags))
			m.putBytes(p)
			m.putPorts(ports)
			m.putBytes(control)
		})
		if err == nil {
			n = int(c.word())
			err = c.check()
			c.free()
			if empty {
				n = 0
			}
			return min(n, len(p)), err
		}
		if err = o.retry(1, &d.stopWrite, err); err != nil {
			return 0, err
		}
	}
}

// writev is for package internal/poll.
//
//go:linkname writev
func writev(fd int, iovecs []Iovec) (uintptr, error) {
	// One message for all of them.
	var p []byte
	for _, v := range iovecs {
		b := unsafe.Slice(v.Base, int(v.Len))
		if len(p) == 0 && len(b) >= ioMax {
			p = b
			break
		}
		p = append(p, b[:min(len(b), ioMax-len(p))]...)
	}
	n, err := write(fd, p)
	return uintptr(n), err
}

func socketpair(domain int, typ int, proto int, fd *[2]int32) error {
	flags := typ & (SOCK_CLOEXEC | SOCK_NONBLOCK)
	typ &^= SOCK_CLOEXEC | SOCK_NONBLOCK
	if domain != AF_LOCAL {
		return EAFNOSUPPORT
	}
	a, b, err := socketPorts(typ, proto)
	if err != nil {
		return err
	}
	var fds [2]int
	end := func(port uint32) object { return newSocket(port, &socketState{family: AF_LOCAL, typ: typ}) }
	openFlags := 0
	if flags&SOCK_CLOEXEC != 0 {
		openFlags |= O_CLOEXEC
	}
	if flags&SOCK_NONBLOCK != 0 {
		openFlags |= O_NONBLOCK
	}
	if err := installPair(fds[:], end(a), end(b), openFlags); err != nil {
		return err
	}
	fd[0], fd[1] = int32(fds[0]), int32(fds[1])
	return nil
}

func (sa *SockaddrInet4) sockaddr() (unsafe.Pointer, _Socklen, error) {
	if sa.Port < 0 || sa.Port > 0xFFFF {
		return nil, 0, EINVAL
	}
	sa.raw.Len = SizeofSockaddrInet4
	sa.raw.Family = AF_INET
	p := (*[2]byte)(unsafe.Pointer(&sa.raw.Port))
	p[0] = byte(sa.Port >> 8)
	p[1] = byte(sa.Port)
	sa.raw.Addr = sa.Addr
	return unsafe.Pointer(&sa.raw), _Socklen(sa.raw.Len), nil
}

func (sa *SockaddrInet6) sockaddr() (unsafe.Pointer, _Socklen, error) {
	if sa.Port < 0 || sa.Port > 0xFFFF {
		return nil, 0, EINVAL
	}
	sa.raw.Len = SizeofSockaddrInet6
	sa.raw.Family = AF_INET6
	p := (*[2]byte)(unsafe.Pointer(&sa.raw.Port))
	p[0] = byte(sa.Port >> 8)
	p[1] = byte(sa.Port)
	sa.raw.Scope_id = sa.ZoneId
	sa.raw.Addr = sa.Addr
	return unsafe.Pointer(&sa.raw), _Socklen(sa.raw.Len), nil
}

func (sa *SockaddrUnix) sockaddr() (unsafe.Pointer, _Socklen, error) {
	n := len(sa.Name)
	if n == 0 || n >= len(sa.raw.Path) {
		return nil, 0, EINVAL
	}
	sa.raw.Family = AF_LOCAL
	for i := range n {
		sa.raw.Path[i] = int8(sa.Name[i])
	}
	sa.raw.Path[n] = 0
	sa.raw.Len = byte(2 + n + 1)
	return unsafe.Pointer(&sa.raw), _Socklen(sa.raw.Len), nil
}

func anyToSockaddr(rsa *RawSockaddrAny) (Sockaddr, error) {
	switch rsa.Addr.Family {
	case AF_LOCAL:
		pp := (*RawSockaddrUnix)(unsafe.Pointer(rsa))
		path := unsafe.Slice((*byte)(unsafe.Pointer(&pp.Path)), len(pp.Path))
		return &SockaddrUnix{Name: string(path[:clen(path)])}, nil
	case AF_INET:
		pp := (*RawSockaddrInet4)(unsafe.Pointer(rsa))
		p := (*[2]byte)(unsafe.Pointer(&pp.Port))
		return &SockaddrInet4{Port: int(p[0])<<8 + int(p[1]), Addr: pp.Addr}, nil
	case AF_INET6:
		pp := (*RawSockaddrInet6)(unsafe.Pointer(rsa))
		p := (*[2]byte)(unsafe.Pointer(&pp.Port))
		return &SockaddrInet6{Port: int(p[0])<<8 + int(p[1]), ZoneId: pp.Scope_id, Addr: pp.Addr}, nil
	}
	return nil, EAFNOSUPPORT
}
