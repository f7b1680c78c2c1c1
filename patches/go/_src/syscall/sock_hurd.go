// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"internal/strconv"
	"sync"
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
	return installSocket(port, family, typ, flags)
}

func installSocket(port uint32, family, typ, flags int) (fd int, err error) {
	d := newDescriptor(&portObject{port: port, socketState: &socketState{family: family, typ: typ}})
	d.nonblock.Store(flags&SOCK_NONBLOCK != 0)
	d.closeExec.Store(flags&SOCK_CLOEXEC != 0)
	descriptors.once.Do(startDescriptors)
	if fd, err = d.install(0); err != nil {
		d.release()
	}
	return fd, err
}

// useSocket returns descriptor fd, to release, and its socket.
func useSocket(fd int) (*descriptor, *portObject, error) {
	d, err := useDescriptor(fd)
	if err != nil {
		return nil, nil, err
	}
	if o, ok := d.object.(*portObject); ok && o.socketState != nil {
		return d, o, nil
	}
	d.release()
	return nil, nil, ENOTSOCK
}

// sockRPC is rpc for a call on a socket.
func sockRPC(fd int, id uint32, build, take func(*message)) error {
	d, o, err := useSocket(fd)
	if err != nil {
		return err
	}
	defer d.release()
	return rpc(o.port, id, build, take)
}

// createAddress makes an address object.
func (o *portObject) createAddress(addr []byte) (uint32, error) {
	return rpcPort(o.port, _socket_create_address, func(m *message) {
		m.putInt32(uint32(o.family))
		m.putBytes(addr)
	})
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
	d, o, err := useSocket(fd)
	if err != nil {
		return err
	}
	defer d.release()
	obj, err := o.createAddress(addrBytes(addr, addrlen))
	if err != nil {
		return err
	}
	defer portDeallocate(obj)
	return rpc(o.port, _socket_bind, func(m *message) { m.putPort(typeCopySend, obj) }, nil)
}

// connect starts to connect, and unless fd is non-blocking waits until it is.
func connect(fd int, addr unsafe.Pointer, addrlen _Socklen) error {
	d, o, err := useSocket(fd)
	if err != nil {
		return err
	}
	defer d.release()
	obj, err := o.createAddress(addrBytes(addr, addrlen))
	if err != nil {
		return err
	}
	defer portDeallocate(obj)

	o.op[1].Lock()
	if o.pending[1] != nil {
		o.op[1].Unlock()
		return EALREADY
	}
	c, err := newCall()
	if err == nil {
		c.putPort(typeCopySend, obj)
		if err = c.send(o.port, _socket_connect); err == nil {
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
	return errnoErr(o.takeConnectError())
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
	d, o, err := useSocket(fd)
	if err != nil {
		return -1, nil, err
	}
	defer d.release()
	o.op[0].Lock()
	c, err := o.perform(0, &d.stopRead, _socket_accept, nil)
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
	nfd, err = installSocket(conn, o.family, o.typ, flags)
	if err != nil {
		portDeallocate(addr)
		return -1, nil, err
	}
	var rsa RawSockaddrAny
	if takeAddress(addr, &rsa) == nil && rsa.Addr.Family != AF_UNSPEC {
		sa, _ = anyToSockaddr(&rsa)
	}
	if sa == nil {
		sa, _ = Getpeername(nfd)
	}
	return nfd, sa, nil
}

func sockAddress(fd int, id uint32, rsa *RawSockaddrAny, addrlen *_Socklen) error {
	var addr uint32
	err := sockRPC(fd, id, nil, func(m *message) { addr = m.port() })
	if err != nil {
		return err
	}
	*addrlen = SizeofSockaddrAny
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
	d, o, err := useSocket(fd)
	if err != nil {
		return err
	}
	defer d.release()
	if level == SOL_SOCKET && *vallen >= 4 {
		// What this side knows better.
		switch name {
		case SO_TYPE:
			*(*int32)(val), *vallen = int32(o.typ), 4
			return nil
		case SO_ERROR:
			if e := o.takeConnectError(); e != 0 {
				*(*int32)(val), *vallen = int32(e), 4
				return nil
			}
		}
	}
	return rpc(o.port, _socket_getopt, func(m *message) {
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

// receive is recvfrom; rsa may be nil if nobody asks who sent it.
func (o *portObject) receive(p []byte, flags int, rsa *RawSockaddrAny, stop *stopFlag) (n int, err error) {
	var addr uint32
	build := func(m *message) {
		m.putInt32(uint32(flags))
		m.putWord(ioMax) // whoever takes the answer, it is not cut off
	}
	take := func(m *message) {
		addr = m.port()
		b, ool := m.array(typeChar, 8)
		n = copy(p, b)
		if ool {
			vmDeallocate(b)
		}
	}
	o.op[0].Lock()
	left := o.left // read already
	if flags&MSG_PEEK == 0 {
		o.left = left[min(len(p), len(left)):]
	}
	o.op[0].Unlock()
	if len(left) > 0 {
		return copy(p, left), nil
	}
	if flags != 0 {
		// Not the call that may be pending.
		err = rpc(o.port, _socket_recv, build, take)
	} else {
		o.op[0].Lock()
		defer o.op[0].Unlock()
		var c *call
		if c, err = o.perform(0, stop, _socket_recv, build); err == nil {
			take(&c.message)
			err = c.check()
			c.free()
		}
	}
	if err != nil {
		return 0, err
	}
	if rsa == nil {
		portDeallocate(addr)
		return n, nil
	}
	return n, takeAddress(addr, rsa)
}

func recvfrom(fd int, p []byte, flags int, from *RawSockaddrAny, fromlen *_Socklen) (n int, err error) {
	d, o, err := useSocket(fd)
	if err != nil {
		return 0, err
	}
	defer d.release()
	*fromlen = SizeofSockaddrAny
	if o.typ == SOCK_STREAM && flags == 0 {
		*from = RawSockaddrAny{}
		return o.read(p, &d.stopRead)
	}
	return o.receive(p, flags, from, &d.stopRead)
}

func recvmsgRaw(fd int, p, oob []byte, flags int, rsa *RawSockaddrAny) (n, oobn int, recvflags int, err error) {
	var rsalen _Socklen
	n, err = recvfrom(fd, p, flags, rsa, &rsalen)
	return n, 0, 0, err
}

func sendto(fd int, p []byte, flags int, to unsafe.Pointer, addrlen _Socklen) error {
	_, err := sendmsgN(fd, p, nil, to, addrlen, flags)
	return err
}

func sendmsgN(fd int, p, oob []byte, to unsafe.Pointer, addrlen _Socklen, flags int) (n int, err error) {
	if len(oob) > 0 {
		return 0, EOPNOTSUPP
	}
	d, o, err := useSocket(fd)
	if err != nil {
		return 0, err
	}
	defer d.release()
	if to == nil && flags == 0 {
		return o.write(p, &d.stopWrite)
	}
	o.op[1].Lock()
	defer o.op[1].Unlock()
	if err := o.finish(1, &d.stopWrite); err != nil {
		return 0, err
	}
	var obj uint32
	if to != nil {
		// A program that sends to one address goes on to do so.
		if addr := addrBytes(to, addrlen); string(addr) != o.addr {
			if obj, err = o.createAddress(addr); err != nil {
				return 0, err
			}
			portDeallocate(o.addrObj)
			o.addr, o.addrObj = string(addr), obj
		}
		obj = o.addrObj
	}
	if o.typ == SOCK_STREAM {
		p = p[:min(len(p), ioMax)]
	}
	c, err := o.perform(1, &d.stopWrite, _socket_send, func(m *message) {
		m.putPort(typeCopySend, obj)
		m.putInt32(uint32(flags))
		m.putBytes(p)
		m.putPorts(nil)
		m.putBytes(nil)
	})
	if err != nil {
		return 0, err
	}
	defer c.free()
	n = int(c.word())
	return min(n, len(p)), c.check()
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

func socketpair(domain int, typ int, proto int, fd *[2]int32) error { return EOPNOTSUPP }

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

// Local sockets are named by files that translators make: not there yet.
func (sa *SockaddrUnix) sockaddr() (unsafe.Pointer, _Socklen, error) { return nil, 0, EAFNOSUPPORT }

func anyToSockaddr(rsa *RawSockaddrAny) (Sockaddr, error) {
	switch rsa.Addr.Family {
	case AF_LOCAL:
		return &SockaddrUnix{}, nil
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
