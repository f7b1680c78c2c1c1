package syscall

import (
	"sync"
	"unsafe"
)

// Files by RPC, blocking a thread.

//go:noescape
func runtime_rpc(msg unsafe.Pointer, snd, rcv uint32) uint32
func runtime_port(i int) uint32
func runtime_fd(fd int) uint32
func runtime_setfd(fd int, port uint32)
func runtime_dealloc(port uint32)
func runtime_vmfree(p unsafe.Pointer, n uintptr)

type hmsg struct {
	b   []byte
	off int
}

func newMsg() *hmsg { return &hmsg{b: make([]byte, 24, 4096)} }

func (m *hmsg) w(ws ...uint32) *hmsg {
	for _, x := range ws {
		m.b = append(m.b, byte(x), byte(x>>8), byte(x>>16), byte(x>>24))
	}
	return m
}
func (m *hmsg) i(x uint32) *hmsg { return m.w(0x10012002, x) }
func (m *hmsg) i64(x int64) *hmsg {
	return m.w(11|64<<8|1<<16|1<<28, uint32(x), uint32(x>>32))
}
func (m *hmsg) s(x string) *hmsg {
	m.w(12 | 8<<8 | 1024<<16 | 1<<28)
	n := len(m.b)
	m.b = m.b[:n+1024]
	clear(m.b[n:])
	copy(m.b[n:n+1023], x)
	return m
}
func (m *hmsg) word() uint32 {
	m.off += 8
	return *(*uint32)(unsafe.Pointer(&m.b[m.off-4]))
}
func (m *hmsg) str() string {
	b := m.b[m.off+4 : m.off+4+1024]
	m.off += 4 + 1024
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return ""
}

// data copies data to b and frees it.
func (m *hmsg) data(b []byte) int {
	d := (*[4]uint32)(unsafe.Pointer(&m.b[m.off]))
	if d[0]&(1<<28) != 0 {
		n := copy(b, m.b[m.off+12:m.off+12+int(d[2])])
		m.off += 12 + int(d[2]+3)&^3
		return n
	}
	m.off += 16
	p := unsafe.Pointer(uintptr(d[3]))
	n := copy(b, unsafe.Slice((*byte)(p), d[2]))
	runtime_vmfree(p, uintptr(d[2]))
	return n
}

var hurdErrnos = map[uint32]Errno{11: EDEADLK, 35: EAGAIN, 45: EOPNOTSUPP, 61: ECONNREFUSED, 62: ELOOP, 63: ENAMETOOLONG, 66: ENOTEMPTY, 78: ENOSYS}

func (m *hmsg) call(port uint32, id uint32) error {
	if port == 0 {
		return EBADF
	}
	h := (*[6]uint32)(unsafe.Pointer(&m.b[0]))
	h[0] = h[0]&(1<<31) | 19 | 21<<8
	h[1] = uint32(len(m.b))
	h[2] = port
	h[5] = id
	kr := runtime_rpc(unsafe.Pointer(&m.b[0]), uint32(len(m.b)), uint32(cap(m.b)))
	if kr != 0 {
		return EIO
	}
	m.b = m.b[:cap(m.b)]
	m.off = 24
	kr = m.word()
	if kr == 0 {
		return nil
	}
	if e, ok := hurdErrnos[kr&0x3fff]; ok {
		return e
	}
	if kr&0x3fff < 35 {
		return Errno(kr & 0x3fff)
	}
	return EIO
}

func lookup(path string, flags, mode uint32) (uint32, error) {
	own := false
	start := uint32(0)
	if path == "" {
		return 0, ENOENT
	}
	if path[0] == '/' {
		start = 1
	}
	p := runtime_port(int(start))
	for i := 0; i < 32; i++ {
		for path != "" && path[0] == '/' {
			path = path[1:]
		}
		m := newMsg().s(path).i(flags).i(mode)
		err := m.call(p, 20018)
		if own {
			runtime_dealloc(p)
		}
		if err != nil {
			return 0, err
		}
		retry := m.word()
		path = m.str()
		q := m.word()
		switch {
		case retry == 1 && path == "":
			return q, nil
		case retry == 1:
			p, own = q, true
		case retry == 3 && path != "" && path[0] == '/':
			p, own = runtime_port(1), false
		default:
			return 0, ENOSYS
		}
	}
	return 0, ELOOP
}

var fdLock sync.Mutex
var dirPos [512]int

func Open(path string, openmode int, perm uint32) (int, error) {
	flags := uint32(openmode&3 + 1)
	if openmode&O_CREAT != 0 {
		flags |= 0x10
	}
	if openmode&O_EXCL != 0 {
		flags |= 0x20
	}
	if openmode&O_APPEND != 0 {
		flags |= 0x100
	}
	p, err := lookup(path, flags, perm&^022)
	if err != nil {
		return -1, err
	}
	if openmode&O_TRUNC != 0 {
		newMsg().i64(0).call(p, 20006)
	}
	fdLock.Lock()
	defer fdLock.Unlock()
	for fd := 0; fd < 512; fd++ {
		if runtime_fd(fd) == 0 {
			runtime_setfd(fd, p)
			dirPos[fd] = 0
			return fd, nil
		}
	}
	runtime_dealloc(p)
	return -1, EMFILE
}

func Close(fd int) error {
	fdLock.Lock()
	p := runtime_fd(fd)
	if p != 0 {
		runtime_setfd(fd, 0)
	}
	fdLock.Unlock()
	if p == 0 {
		return EBADF
	}
	runtime_dealloc(p)
	return nil
}

func stat(p uint32, st *Stat_t) error {
	m := newMsg()
	if err := m.call(p, 21013); err != nil {
		return err
	}
	w := (*[32]uint32)(unsafe.Pointer(&m.b[m.off+4]))
	st.Dev = int64(w[1])
	st.Ino = uint64(w[3]) | uint64(w[4])<<32
	st.Mode = w[7] & 0177777
	st.Nlink, st.Uid, st.Gid = w[8], w[9], w[10]
	st.Size = int64(w[11]) | int64(w[12])<<32
	st.Atime, st.AtimeNsec = int64(w[13]), int64(w[14])
	st.Mtime, st.MtimeNsec = int64(w[15]), int64(w[16])
	st.Ctime, st.CtimeNsec = int64(w[17]), int64(w[18])
	st.Blksize = int32(w[19])
	return nil
}

func statPath(path string, flags uint32, st *Stat_t) error {
	p, err := lookup(path, flags, 0)
	if err == nil {
		err = stat(p, st)
		runtime_dealloc(p)
	}
	return err
}

func Stat(path string, st *Stat_t) error  { return statPath(path, 0, st) }
func Lstat(path string, st *Stat_t) error { return statPath(path, 0x40, st) }
func Fstat(fd int, st *Stat_t) error      { return stat(runtime_fd(fd), st) }

func ReadDirent(fd int, buf []byte) (int, error) {
	m := newMsg().i(uint32(dirPos[fd])).i(^uint32(0)).i(uint32(len(buf)))
	if err := m.call(runtime_fd(fd), 20019); err != nil {
		return 0, err
	}
	d := make([]byte, len(buf))
	d = d[:m.data(d)]
	n := 0
	for len(d) > 12 {
		l := int(d[11])
		buf[n], buf[n+1] = byte(l+2), byte((l+2)>>8)
		copy(buf[n+2:], d[12:12+l])
		n += l + 2
		d = d[int(d[8])|int(d[9])<<8:]
		dirPos[fd]++
	}
	return n, nil
}

func Pread(fd int, b []byte, offset int64) (int, error) {
	m := newMsg().i64(offset).i(uint32(len(b)))
	if err := m.call(runtime_fd(fd), 21001); err != nil {
		return 0, err
	}
	return m.data(b), nil
}

func Pwrite(fd int, b []byte, offset int64) (int, error) {
	b = b[:min(len(b), 2048)]
	m := newMsg().w(3<<28, 8|8<<16, uint32(len(b)))
	m.b = append(m.b, b...)
	for len(m.b)%4 != 0 {
		m.b = append(m.b, 0)
	}
	if err := m.i64(offset).call(runtime_fd(fd), 21000); err != nil {
		return 0, err
	}
	return int(m.word()), nil
}

func Seek(fd int, offset int64, whence int) (int64, error) {
	m := newMsg().i64(offset).i(uint32(whence))
	if err := m.call(runtime_fd(fd), 21002); err != nil {
		return 0, err
	}
	return int64(*(*uint32)(unsafe.Pointer(&m.b[m.off+4]))) | int64(*(*uint32)(unsafe.Pointer(&m.b[m.off+8])))<<32, nil
}

func Ftruncate(fd int, length int64) error { return newMsg().i64(length).call(runtime_fd(fd), 20006) }

func inDir(path string, f func(dir uint32, name string) error) error {
	for len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	i := len(path)
	for i > 0 && path[i-1] != '/' {
		i--
	}
	dir := path[:i]
	if dir == "" {
		dir = "."
	}
	p, err := lookup(dir, 0, 0)
	if err == nil {
		err = f(p, path[i:])
		runtime_dealloc(p)
	}
	return err
}

func Mkdir(path string, perm uint32) error {
	return inDir(path, func(d uint32, n string) error { return newMsg().s(n).i(perm).call(d, 20020) })
}
func Rmdir(path string) error {
	return inDir(path, func(d uint32, n string) error { return newMsg().s(n).call(d, 20021) })
}
func Unlink(path string) error {
	return inDir(path, func(d uint32, n string) error { return newMsg().s(n).call(d, 20022) })
}
func Getcwd(buf []byte) (n int, err error) { return copy(buf, "/"), nil }
