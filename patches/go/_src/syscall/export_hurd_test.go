// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import (
	"internal/byteorder"
	"unsafe"
)

// A TestServer is a server in this task, for objects that tests use.
type TestServer struct {
	Port uint32 // send and receive right
	poll *MachPoll
}

// NewTestServer makes a port and answers what is sent there by calling handle,
// in a goroutine, for one request after the other.
func NewTestServer(handle func(*TestRequest)) *TestServer {
	s := &TestServer{Port: MachReplyPort()}
	kr := kernelCall(3215, func(m *message) { // mach_port_insert_right
		m.putName(s.Port)
		m.putPort(typeMakeSend, s.Port)
	})
	if kr == 0 {
		s.poll, kr = MachPollOpen(s.Port)
	}
	if kr != 0 {
		panic(machError(kr))
	}
	go func() {
		for {
			r := &TestRequest{}
			r.buf = make([]byte, 8192)
			n, code := s.poll.Recv(r.buf)
			if code == _MACH_RCV_INTERRUPTED {
				continue
			}
			if code != 0 {
				return
			}
			r.ID = r.received(n)
			r.reply = byteorder.LEUint32(r.buf[8:])
			handle(r)
		}
	}()
	return s
}

// Send makes another send right for the port of s.
func (s *TestServer) Send() uint32 {
	kr := kernelCall(3208, func(m *message) { // mach_port_mod_refs
		m.putName(s.Port)
		m.putInt32(0) // MACH_PORT_RIGHT_SEND
		m.putInt32(1)
	})
	if kr != 0 {
		panic(machError(kr))
	}
	return s.Port
}

// SendRefs is the number of send rights for the port of s in this task.
func (s *TestServer) SendRefs() int {
	var refs uint32
	err := rpc(MachTaskSelf(), 3207, func(m *message) { // mach_port_get_refs
		m.putName(s.Port)
		m.putInt32(0) // MACH_PORT_RIGHT_SEND
	}, func(m *message) { refs = m.int32() })
	if err != nil {
		panic(err)
	}
	return int(refs)
}

// Close destroys the port.
func (s *TestServer) Close() {
	s.poll.Close()
	portDestroyReceive(s.Port)
}

// A TestRequest is a request that a TestServer has received.
type TestRequest struct {
	ID uint32
	message
	reply uint32
}

func (r *TestRequest) Int32() int32      { return int32(r.int32()) }
func (r *TestRequest) Int64() int64      { return r.int64() }
func (r *TestRequest) String() string    { return r.string() }
func (r *TestRequest) RightName() uint32 { return r.port() }
func (r *TestRequest) Ints() []uint32    { return r.ints() }
func (r *TestRequest) Names() []uint32   { return r.words(typeName) }
func (r *TestRequest) Rights() []uint32  { return r.ports() }
func (r *TestRequest) End() bool         { r.end(); return !r.bad }

// Bytes takes an array, and says whether it was out of line.
func (r *TestRequest) Bytes() ([]byte, bool) {
	b, ool := r.array(typeChar, 8)
	c := append([]byte(nil), b...)
	if ool {
		vmDeallocate(b)
	}
	return c, ool
}

// A TestAnswer is an answer to build.
type TestAnswer struct{ *message }

func (a TestAnswer) Int32(x int32)   { a.putInt32(uint32(x)) }
func (a TestAnswer) Word(x int)      { a.putWord(uintptr(x)) }
func (a TestAnswer) Int64(x int64)   { a.putInt64(x) }
func (a TestAnswer) String(s string) { a.putString(s) }
func (a TestAnswer) Bool(x bool)     { a.putBool(x) }
func (a TestAnswer) Bytes(b []byte)  { a.putBytes(b) }
func (a TestAnswer) Stat(w [32]uint32) {
	a.put(descStat)
	a.put(w[:]...)
}

// Rights gives the client an array of send rights.
func (a TestAnswer) Rights(servers []*TestServer) {
	var v []uint32
	for _, s := range servers {
		v = append(v, s.Port) // there is a send right, too
	}
	a.putPorts(v)
}

// Right gives the client a send right for the port of s, or a null one.
func (a TestAnswer) Right(s *TestServer) {
	if s == nil {
		a.putPort(typeCopySend, 0)
	} else {
		a.putPort(typeMakeSend, s.Port)
	}
}

// Answer answers with a code, and if that is 0 with what build adds.
func (r *TestRequest) Answer(code uint32, build func(TestAnswer)) {
	m := message{buf: make([]byte, msgHeaderSize)}
	m.putInt32(code)
	if build != nil {
		build(TestAnswer{&m})
	}
	const moveSendOnce = 18
	m.setHeader(moveSendOnce, r.reply, 0, r.ID+100)
	if code := sendMessage(&m); code != 0 && code != _MACH_SEND_INVALID_DEST {
		panic(machError(code))
	}
}

// InstallTestPort makes a descriptor of a send right; a socket's if typ is not
// 0.
func InstallTestPort(port uint32, typ int) (int, error) {
	if typ != 0 {
		return installSocket(port, &socketState{family: AF_INET, typ: typ}, 0)
	}
	descriptors.once.Do(startDescriptors)
	return installDescriptor(newPortObject(port), 0)
}

var testDirs struct{ root, cwd *descriptor }

// SetTestRoot makes port the root and the current directory; 0 brings back
// those that the program was started with.
func SetTestRoot(port uint32) {
	dirs.once.Do(startDirs)
	dirs.Lock()
	defer dirs.Unlock()
	if port == 0 {
		dirs.root, dirs.cwd = testDirs.root, testDirs.cwd
		return
	}
	testDirs.root, testDirs.cwd = dirs.root, dirs.cwd
	// One more reference than there are users: never freed.
	dirs.root = newDescriptor(newPortObject(port))
	dirs.cwd = newDescriptor(newPortObject(port))
}

// CallMessagePort makes a call of the message port of this process, with the
// arguments that build puts, and hands the answer to take.
func CallMessagePort(id uint32, build func(TestAnswer), take func(*TestRequest)) error {
	msgport, _, _ := runtime_hurdProcess()
	return rpc(msgport, id, func(m *message) { build(TestAnswer{m}) }, func(m *message) {
		if take != nil {
			r := &TestRequest{message: *m}
			take(r)
			m.bad = r.bad
		}
	})
}

// Task gives the task itself as a right, as those do who may do everything.
func (a TestAnswer) Task() { a.putPort(typeCopySend, MachTaskSelf()) }

// MemoryOutOfLine adds an array of bytes that is too long to be inline.
func (a TestAnswer) MemoryOutOfLine(n int) { a.putBytes(make([]byte, n)) }

// FreshRights adds an array of n send rights for the port of s.
func (a TestAnswer) FreshRights(s *TestServer, n int) {
	v := make([]uint32, n)
	for i := range v {
		v[i] = s.Port
	}
	a.putPorts(v)
}

// StopIO and WaitIO are what package internal/poll uses.
func StopIO(fd, mode int, stop bool) { stopIO(fd, mode, stop) }
func WaitIO(fd int) Errno            { return waitIO(fd) }

// IdleCalls is the number of reply ports that are kept.
func IdleCalls() int {
	idleCalls.Lock()
	defer idleCalls.Unlock()
	return len(idleCalls.list)
}

// PortNames is the number of ports that this task has names of.
func PortNames() int {
	m := message{buf: make([]byte, msgHeaderSize, 256)}
	m.setHeader(msgBitsRequest, MachTaskSelf(), 0, 3200) // mach_port_names
	m.buf = m.buf[:cap(m.buf)]
	code := MachMsg(unsafe.Pointer(&m.buf[0]), _MACH_SEND_MSG|_MACH_RCV_MSG, msgHeaderSize, uint32(len(m.buf)), 0, 0)
	if code != 0 {
		panic(machError(code))
	}
	m.received(len(m.buf))
	m.int32()
	const typeName = 15
	names, ool := m.array(typeName, 32)
	if ool {
		vmDeallocate(names)
	}
	types, ool := m.array(typeInt32, 32)
	if ool {
		vmDeallocate(types)
	}
	return len(names) / 4
}

var Fcntl = fcntl
