// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall_test

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// These tests talk to servers in the same task, and so run anywhere, on the
// bare kernel too.

const (
	dirLookup     = 20018
	dirReaddir    = 20019
	ioWrite       = 21000
	ioRead        = 21001
	openModes     = 21005
	setOpenModes  = 21006
	ioStat        = 21013
	socketCreate  = 26000
	socketAccept  = 26002
	socketConnect = 26003
	createAddress = 26008
	whatisAddress = 26010
	socketSend    = 26014
	socketRecv    = 26015
	interruptOp   = 33000

	badID = 1<<32 - 303
)

// open makes a descriptor for an object that handle serves.
func open(t *testing.T, typ int, handle func(*syscall.TestRequest)) int {
	t.Helper()
	s := syscall.NewTestServer(handle)
	fd, err := syscall.InstallTestPort(s.Port, typ)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Close(fd)
		s.Close()
	})
	return fd
}

func TestHurdReadWrite(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789"), 1000)
	var written bytes.Buffer
	var sawOOL bool
	reads := [][]byte{[]byte("hello"), big, nil}
	fd := open(t, 0, func(r *syscall.TestRequest) {
		switch r.ID {
		case ioRead:
			b := reads[0]
			reads = reads[1:]
			r.Answer(0, func(a syscall.TestAnswer) { a.Bytes(b) })
		case ioWrite:
			b, ool := r.Bytes()
			sawOOL = sawOOL || ool
			b = b[:min(len(b), 7000)] // never all of it
			written.Write(b)
			r.Answer(0, func(a syscall.TestAnswer) { a.Word(len(b)) })
		default:
			r.Answer(badID, nil)
		}
	})
	buf := make([]byte, 1<<16)
	for _, want := range []string{"hello", string(big), ""} {
		n, err := syscall.Read(fd, buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("read %d bytes, %v; want %d", n, err, len(want))
		}
	}
	dup, err := syscall.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(dup), "test")
	defer f.Close()
	if n, err := f.Write(big); n != len(big) || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if !bytes.Equal(written.Bytes(), big) || !sawOOL {
		t.Errorf("the server got %d bytes, out of line: %v", written.Len(), sawOOL)
	}
	if err := syscall.Ftruncate(fd, 0); err != syscall.EOPNOTSUPP {
		t.Errorf("a call that the server does not know: %v", err)
	}
}

func TestHurdErrors(t *testing.T) {
	var code uint32
	fd := open(t, 0, func(r *syscall.TestRequest) {
		if code == 0 {
			r.Answer(0, func(a syscall.TestAnswer) { a.String("not what a read returns") })
		} else {
			r.Answer(code, nil)
		}
	})
	buf := make([]byte, 10)
	for _, e := range []syscall.Errno{syscall.EPIPE, syscall.EAGAIN, syscall.EDEADLK, syscall.ENOSYS, syscall.ENOTEMPTY} {
		code = uint32(e)
		if _, err := syscall.Read(fd, buf); err != e {
			t.Errorf("got %v (%#x), want %v (%#x)", err, err, e, uint32(e))
		}
	}
	code = 0
	if _, err := syscall.Read(fd, buf); err != syscall.EPROTO {
		t.Errorf("a malformed answer: %v", err)
	}
	for e, want := range map[syscall.Errno]string{
		0x4000000b: "resource deadlock avoided",
		0x40000023: "resource temporarily unavailable",
		0x4000004e: "function not implemented",
	} {
		if e.Error() != want {
			t.Errorf("%#x is %q, want %q", uintptr(e), e, want)
		}
	}

	s := syscall.NewTestServer(nil)
	fd, err := syscall.InstallTestPort(s.Port, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	s.Close()
	if _, err := syscall.Read(fd, buf); err != syscall.EIEIO {
		t.Errorf("read from a dead server: %v", err)
	}
}

// TestHurdStop stops a read while the server is at it. What the server then
// says is for the next read.
func TestHurdStop(t *testing.T) {
	held := make(chan *syscall.TestRequest, 10)
	fd := open(t, syscall.SOCK_STREAM, func(r *syscall.TestRequest) { held <- r })
	buf := make([]byte, 100)
	done := make(chan error)
	read := func(b []byte) {
		_, err := syscall.Read(fd, b)
		done <- err
	}
	go read(buf)
	r := <-held
	syscall.StopIO(fd, 'r', true)
	if err := <-done; err != syscall.EAGAIN {
		t.Fatalf("stopped read: %v", err)
	}
	go read(buf)
	if err := <-done; err != syscall.EAGAIN {
		t.Fatalf("read while stopped: %v", err)
	}
	// Two calls that wait at the same time do not stop each other.
	go func() {
		_, err := syscall.Write(fd, []byte("x"))
		done <- err
	}()
	w := <-held
	syscall.StopIO(fd, 'r', true)
	w.Answer(0, func(a syscall.TestAnswer) { a.Word(1) })
	if err := <-done; err != nil {
		t.Fatalf("write while reads are stopped: %v", err)
	}
	syscall.StopIO(fd, 'r', false)
	// It asked for no more than its own buffer: another process may want the rest.
	r.Int64()
	if n := r.Int32(); n != 100 {
		t.Errorf("asked for %d bytes", n)
	}
	small := make([]byte, 3)
	go read(small)
	r.Answer(0, func(a syscall.TestAnswer) { a.Bytes([]byte("abcdef")) })
	if err := <-done; err != nil || string(small) != "abc" {
		t.Fatalf("read %q, %v", small, err)
	}
	go read(small)
	if err := <-done; err != nil || string(small) != "def" {
		t.Fatalf("read %q, %v", small, err)
	}
	if len(held) > 0 {
		t.Errorf("the server got another request")
	}
}

// TestHurdClose closes a socket whose read is pending: the server is told.
func TestHurdClose(t *testing.T) {
	got := make(chan uint32, 10)
	s := syscall.NewTestServer(func(r *syscall.TestRequest) { got <- r.ID })
	defer s.Close()
	fd, err := syscall.InstallTestPort(s.Port, syscall.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := syscall.Read(fd, make([]byte, 1))
		done <- err
	}()
	if id := <-got; id != ioRead {
		t.Fatalf("request %d", id)
	}
	syscall.StopIO(fd, 'r', true)
	if err := <-done; err != syscall.EAGAIN {
		t.Fatal(err)
	}
	if err := syscall.Close(fd); err != nil {
		t.Fatal(err)
	}
	if id := <-got; id != interruptOp {
		t.Errorf("request %d after the close", id)
	}
	if err := syscall.Close(fd); err != syscall.EBADF {
		t.Errorf("closed twice: %v", err)
	}
}

// TestHurdPorts makes many calls at a time, and looks for ports that are lost.
func TestHurdPorts(t *testing.T) {
	round := func() {
		s := syscall.NewTestServer(func(r *syscall.TestRequest) {
			r.Answer(0, func(a syscall.TestAnswer) { a.Bytes([]byte("x")) })
		})
		var wg sync.WaitGroup
		for range 100 {
			fd, err := syscall.InstallTestPort(s.Send(), 0)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer syscall.Close(fd)
				for range 10 {
					if n, err := syscall.Read(fd, make([]byte, 10)); n != 1 || err != nil {
						t.Errorf("read %d, %v", n, err)
					}
				}
			})
		}
		wg.Wait()
		s.Close()
	}
	// Reply ports and threads are kept; it takes some rounds until there are
	// enough of them. The server's own send right is left as a dead name,
	// one a round.
	for range 4 {
		round()
	}
	before := syscall.PortNames() - syscall.IdleCalls()
	for range 5 {
		round()
	}
	if n := syscall.PortNames() - syscall.IdleCalls() - before - 5; n > 2 || n < -2 {
		t.Errorf("%d ports more than before", n)
	}
}

// A dir serves a root directory: paths are names of files, whatever slashes
// they have.
type dir map[string]func(*syscall.TestRequest)

func (d dir) handle(r *syscall.TestRequest) {
	if r.ID != dirLookup {
		r.Answer(badID, nil)
		return
	}
	if f := d[r.String()]; f != nil {
		f(r)
		return
	}
	r.Answer(uint32(syscall.ENOENT), nil)
}

func found(retry int32, rest string, object *syscall.TestServer) func(*syscall.TestRequest) {
	return func(r *syscall.TestRequest) {
		r.Answer(0, func(a syscall.TestAnswer) {
			a.Int32(retry)
			a.String(rest)
			a.Right(object)
		})
	}
}

func TestHurdLookup(t *testing.T) {
	stat := func(mode, size uint32) func(*syscall.TestRequest) {
		var st [32]uint32
		st[7], st[11] = mode, size // st_mode and st_size
		return func(r *syscall.TestRequest) {
			r.Answer(0, func(a syscall.TestAnswer) { a.Stat(st) })
		}
	}
	file := syscall.NewTestServer(stat(syscall.S_IFREG|0644, 42))
	defer file.Close()
	names := syscall.NewTestServer(func(r *syscall.TestRequest) {
		if r.ID != dirReaddir {
			stat(syscall.S_IFDIR|0755, 0)(r)
			return
		}
		entries := "\x01\x00\x00\x00\x00\x00\x00\x00\x10\x00\x08\x03abc\x00" +
			"\x02\x00\x00\x00\x00\x00\x00\x00\x10\x00\x08\x01d\x00\x00\x00"
		if r.Int32() > 0 {
			entries = ""
		}
		r.Answer(0, func(a syscall.TestAnswer) {
			a.Bytes([]byte(entries))
			a.Int32(int32(len(entries) / 16))
		})
	})
	defer names.Close()
	sub := syscall.NewTestServer(dir{"rest": found(1, "", file)}.handle)
	defer sub.Close()
	var loops int
	root := syscall.NewTestServer(dir{
		"file":     found(1, "", file),
		"dir":      found(1, "", names),
		"sub/rest": found(1, "rest", sub),
		"link":     found(3, "/file", nil),
		"tty":      found(3, "tty", nil),
		"loop":     func(r *syscall.TestRequest) { loops++; found(3, "/loop", nil)(r) },
		"notdir/x": func(r *syscall.TestRequest) { r.Answer(badID, nil) },
	}.handle)
	defer root.Close()
	syscall.SetTestRoot(root.Port)
	defer syscall.SetTestRoot(0)

	for path, want := range map[string]error{
		"/file":                         nil,
		"file":                          nil,
		"///sub/rest":                   nil,
		"/link":                         nil,
		"/tty":                          syscall.ENXIO,
		"/loop":                         syscall.ELOOP,
		"/notdir/x":                     syscall.ENOTDIR,
		"/none":                         syscall.ENOENT,
		"":                              syscall.ENOENT,
		"/" + strings.Repeat("x", 1024): syscall.ENAMETOOLONG,
	} {
		fi, err := os.Stat(path)
		if err != nil {
			err = err.(*os.PathError).Err
		} else if fi.Size() != 42 || fi.Mode() != 0644 {
			t.Errorf("%q: size %d, mode %v", path, fi.Size(), fi.Mode())
		}
		if err != want {
			t.Errorf("%q: %v, want %v", path, err, want)
		}
	}
	if loops > 40 {
		t.Errorf("looked up a loop %d times", loops)
	}
	entries, err := os.ReadDir("/dir")
	if err != nil || len(entries) != 2 || entries[0].Name() != "abc" || entries[1].Name() != "d" {
		t.Errorf("ReadDir: %v, %v", entries, err)
	}
	if _, err := syscall.Open("/file", syscall.O_RDONLY|syscall.O_DIRECTORY, 0); err != syscall.ENOTDIR {
		t.Errorf("opened a file as a directory: %v", err)
	}
}

func TestHurdSocket(t *testing.T) {
	addr := syscall.NewTestServer(func(r *syscall.TestRequest) {
		r.Answer(0, func(a syscall.TestAnswer) {
			a.Int32(syscall.AF_INET)
			a.Bytes([]byte{16, 2, 0x12, 0x34, 10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0})
		})
	})
	defer addr.Close()
	var addresses int
	held := make(chan *syscall.TestRequest, 10)
	handle := func(r *syscall.TestRequest) {
		switch r.ID {
		case createAddress:
			addresses++
			family := r.Int32()
			b, _ := r.Bytes()
			if family != syscall.AF_INET || !bytes.Equal(b[:8], []byte{16, 2, 0x12, 0x34, 10, 0, 0, 7}) {
				r.Answer(uint32(syscall.EINVAL), nil)
				return
			}
			r.Answer(0, func(a syscall.TestAnswer) { a.Right(addr) })
		case socketSend:
			r.RightName()
			r.Int32()
			b, _ := r.Bytes()
			r.Answer(0, func(a syscall.TestAnswer) { a.Word(len(b)) })
		case socketRecv:
			r.Answer(0, func(a syscall.TestAnswer) {
				a.Right(addr)
				a.Bytes([]byte("datagram"))
				a.Rights(nil)
				a.Bytes(nil)
				a.Int32(0)
			})
		default:
			held <- r
		}
	}
	sa := &syscall.SockaddrInet4{Port: 0x1234, Addr: [4]byte{10, 0, 0, 7}}

	fd := open(t, syscall.SOCK_STREAM, handle)
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Connect(fd, sa); err != syscall.EINPROGRESS {
		t.Fatalf("connect: %v", err)
	}
	done := make(chan syscall.Errno)
	go func() { done <- syscall.WaitIO(fd) }()
	r := <-held
	syscall.StopIO(fd, 'w', true)
	if e := <-done; e != syscall.EAGAIN {
		t.Fatalf("stopped wait: %v", e)
	}
	syscall.StopIO(fd, 'w', false)
	r.Answer(uint32(syscall.ECONNREFUSED), nil)
	if e := syscall.WaitIO(fd); e != 0 {
		t.Fatalf("wait: %v", e)
	}
	if e, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR); syscall.Errno(e) != syscall.ECONNREFUSED || err != nil {
		t.Errorf("SO_ERROR: %v, %v", syscall.Errno(e), err)
	}

	// From here on calls wait by themselves.
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error)
	go func() {
		nfd, sa, err := syscall.Accept(fd)
		if in, ok := sa.(*syscall.SockaddrInet4); err == nil && (!ok || in.Port != 0x1234 || in.Addr != [4]byte{10, 0, 0, 7}) {
			t.Errorf("accepted from %v", sa)
		}
		syscall.Close(nfd)
		accepted <- err
	}()
	conn := syscall.NewTestServer(func(*syscall.TestRequest) {})
	defer conn.Close()
	(<-held).Answer(0, func(a syscall.TestAnswer) { a.Right(conn); a.Right(addr) })
	if err := <-accepted; err != nil {
		t.Errorf("accept: %v", err)
	}

	addresses = 0
	udp := open(t, syscall.SOCK_DGRAM, handle)
	for range 3 {
		if err := syscall.Sendto(udp, []byte("x"), 0, sa); err != nil {
			t.Fatal(err)
		}
	}
	if addresses != 1 {
		t.Errorf("made %d addresses for 3 datagrams to one", addresses)
	}
	buf := make([]byte, 4)
	n, from, err := syscall.Recvfrom(udp, buf, 0)
	if n != 4 || err != nil || string(buf) != "data" {
		t.Errorf("received %q, %v", buf[:n], err)
	}
	if in, ok := from.(*syscall.SockaddrInet4); !ok || in.Port != 0x1234 {
		t.Errorf("received from %v", from)
	}
}

// TestHurdAbandon closes sockets that have connections to accept, answered
// too late: nothing of them may be left.
func TestHurdAbandon(t *testing.T) {
	held := make(chan *syscall.TestRequest, 10)
	server := syscall.NewTestServer(func(r *syscall.TestRequest) { held <- r })
	defer server.Close()
	conns := make([]*syscall.TestServer, 30)
	for i := range conns {
		conns[i] = syscall.NewTestServer(func(*syscall.TestRequest) {})
		defer conns[i].Close()
	}
	var before int
	for i, conn := range conns {
		if i == 10 {
			before = syscall.PortNames() - syscall.IdleCalls()
		}
		fd, err := syscall.InstallTestPort(server.Send(), syscall.SOCK_STREAM)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, _, err := syscall.Accept(fd)
			done <- err
		}()
		r := <-held
		syscall.StopIO(fd, 'r', true)
		if err := <-done; err != syscall.EAGAIN {
			t.Fatalf("stopped accept: %v", err)
		}
		r.Answer(0, func(a syscall.TestAnswer) { a.Right(conn); a.Right(nil) })
		if i%2 == 0 {
			runtime.Gosched() // perhaps the poller takes the answer
		}
		syscall.Close(fd)
		if id := (<-held).ID; id != interruptOp {
			t.Fatalf("request %d", id)
		}
	}
	if n := syscall.PortNames() - syscall.IdleCalls() - before; n > 2 || n < -2 {
		t.Errorf("%d ports more than before", n)
	}
	// A right that is left would be found here: the name is that of the
	// receive right, so that only the references tell.
	for _, conn := range conns {
		if n := conn.SendRefs(); n != 1 {
			t.Errorf("%d references to a connection, want 1", n)
		}
	}
}

// What a descriptor is open for its server knows, and is asked once.
func TestHurdOpenModes(t *testing.T) {
	asked, set := 0, 0
	fd := open(t, 0, func(r *syscall.TestRequest) {
		switch r.ID {
		case openModes:
			asked++
			r.Answer(0, func(a syscall.TestAnswer) { a.Int32(syscall.O_WRONLY | syscall.O_NONBLOCK) })
		case setOpenModes:
			set = int(r.Int32())
			r.Answer(0, nil)
		default:
			r.Answer(badID, nil)
		}
	})
	modes := func(want int) {
		t.Helper()
		if got, err := syscall.Fcntl(fd, syscall.F_GETFL, 0); got != want || err != nil {
			t.Errorf("open for %#x, %v; want %#x", got, err, want)
		}
	}
	modes(syscall.O_WRONLY)
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Error(err)
	}
	modes(syscall.O_WRONLY | syscall.O_NONBLOCK)
	if _, err := syscall.Fcntl(fd, syscall.F_SETFL, syscall.O_APPEND); err != nil || set != syscall.O_APPEND {
		t.Errorf("set %#x, %v", set, err)
	}
	modes(syscall.O_WRONLY | syscall.O_APPEND)
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	sock := open(t, syscall.SOCK_STREAM, func(r *syscall.TestRequest) { t.Errorf("call %d", r.ID) })
	if got, err := syscall.Fcntl(sock, syscall.F_GETFL, 0); got != syscall.O_RDWR || err != nil {
		t.Errorf("a socket is open for %#x, %v", got, err)
	}
}

// A write that its server answers while the descriptor is being closed has not
// failed: its data may be with who caused the close.
func TestHurdWriteDuringClose(t *testing.T) {
	requests := make(chan *syscall.TestRequest, 2)
	s := syscall.NewTestServer(func(r *syscall.TestRequest) {
		switch r.ID {
		case ioWrite:
			requests <- r
		case ioStat:
			r.Answer(badID, nil)
		}
	})
	defer s.Close()
	fd, err := syscall.InstallTestPort(s.Port, syscall.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "test")
	written := make(chan error)
	go func() {
		_, err := f.Write([]byte("x"))
		written <- err
	}()
	r := <-requests
	closed := make(chan error)
	go func() { closed <- f.Close() }()
	for ; ; runtime.Gosched() {
		if _, err := f.Stat(); err != nil {
			break // it is being closed
		}
	}
	r.Bytes()
	r.Answer(0, func(a syscall.TestAnswer) { a.Word(1) })
	if err := <-written; err != nil {
		t.Errorf("write: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
}
