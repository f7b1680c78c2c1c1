// Package unix on the Hurd with the gc tool chain, for which the module has
// no more than declarations: what package syscall offers, under the names
// that programs for other systems use.

package unix

import (
	"syscall"
	"time"
)

type (
	Errno         = syscall.Errno
	Signal        = syscall.Signal
	SysProcAttr   = syscall.SysProcAttr
	WaitStatus    = syscall.WaitStatus
	Rusage        = syscall.Rusage
	Rlimit        = syscall.Rlimit
	Stat_t        = syscall.Stat_t
	Statfs_t      = syscall.Statfs_t
	Flock_t       = syscall.Flock_t
	Timespec      = syscall.Timespec
	Timeval       = syscall.Timeval
	Dirent        = syscall.Dirent
	Sockaddr      = syscall.Sockaddr
	SockaddrInet4 = syscall.SockaddrInet4
	SockaddrInet6 = syscall.SockaddrInet6
	SockaddrUnix  = syscall.SockaddrUnix
	Linger        = syscall.Linger
	Iovec         = syscall.Iovec
	Cmsghdr       = syscall.Cmsghdr

	SocketControlMessage = syscall.SocketControlMessage
)

const (
	R_OK = 4
	W_OK = 2
	X_OK = 1
	F_OK = 0

	PathMax = syscall.PathMax

	WNOHANG   = syscall.WNOHANG
	WUNTRACED = syscall.WUNTRACED

	SizeofSockaddrInet4 = syscall.SizeofSockaddrInet4
	SizeofSockaddrInet6 = syscall.SizeofSockaddrInet6
	SizeofSockaddrAny   = syscall.SizeofSockaddrAny
	SizeofSockaddrUnix  = syscall.SizeofSockaddrUnix
)

var (
	Stdin  = 0
	Stdout = 1
	Stderr = 2
)

// Terminals. The numbers of requests are those of the Hurd as far as anybody
// looks at them: a group and a number in the low bits.
const (
	TIOCSETA   = ('t'-'f')<<7 | 20
	TIOCSETAW  = ('t'-'f')<<7 | 21
	TIOCSETAF  = ('t'-'f')<<7 | 22
	TIOCSWINSZ = ('t'-'f')<<7 | 103
	TIOCGWINSZ = ('t'-'f')<<7 | 104
	TIOCSPGRP  = ('t'-'f')<<7 | 118
	TIOCGPGRP  = ('t'-'f')<<7 | 119
	FIONREAD   = 127

	IGNBRK  = 1 << 0
	BRKINT  = 1 << 1
	IGNPAR  = 1 << 2
	PARMRK  = 1 << 3
	INPCK   = 1 << 4
	ISTRIP  = 1 << 5
	INLCR   = 1 << 6
	IGNCR   = 1 << 7
	ICRNL   = 1 << 8
	IXON    = 1 << 9
	IXOFF   = 1 << 10
	IXANY   = 1 << 11
	IMAXBEL = 1 << 13

	OPOST = 1 << 0
	ONLCR = 1 << 1

	CSIZE  = 3 << 8
	CS5    = 0
	CS6    = 1 << 8
	CS7    = 2 << 8
	CS8    = 3 << 8
	CSTOPB = 1 << 10
	CREAD  = 1 << 11
	PARENB = 1 << 12
	PARODD = 1 << 13
	HUPCL  = 1 << 14
	CLOCAL = 1 << 15

	ECHOKE  = 1 << 0
	ECHOE   = 1 << 1
	ECHOK   = 1 << 2
	ECHO    = 1 << 3
	ECHONL  = 1 << 4
	ECHOPRT = 1 << 5
	ECHOCTL = 1 << 6
	ISIG    = 1 << 7
	ICANON  = 1 << 8
	IEXTEN  = 1 << 10
	TOSTOP  = 1 << 22
	NOFLSH  = 1 << 31

	VEOF     = 0
	VEOL     = 1
	VEOL2    = 2
	VERASE   = 3
	VWERASE  = 4
	VKILL    = 5
	VREPRINT = 6
	VINTR    = 8
	VQUIT    = 9
	VSUSP    = 10
	VSTART   = 12
	VSTOP    = 13
	VLNEXT   = 14
	VDISCARD = 15
	VMIN     = 16
	VTIME    = 17
)

// Files

func Access(path string, mode uint32) error { return syscall.Access(path, mode) }
func Faccessat(dirfd int, path string, mode uint32, flags int) error {
	return syscall.Faccessat(dirfd, path, mode, flags)
}
func Chdir(path string) error                               { return syscall.Chdir(path) }
func Chmod(path string, mode uint32) error                  { return syscall.Chmod(path, mode) }
func Chown(path string, uid, gid int) error                 { return syscall.Chown(path, uid, gid) }
func Lchown(path string, uid, gid int) error                { return syscall.Lchown(path, uid, gid) }
func Chroot(path string) error                              { return syscall.Chroot(path) }
func Close(fd int) error                                    { return syscall.Close(fd) }
func CloseOnExec(fd int)                                    { syscall.CloseOnExec(fd) }
func Dup(fd int) (int, error)                               { return syscall.Dup(fd) }
func Dup2(fd, newfd int) error                              { return syscall.Dup2(fd, newfd) }
func Fchdir(fd int) error                                   { return syscall.Fchdir(fd) }
func Fchmod(fd int, mode uint32) error                      { return syscall.Fchmod(fd, mode) }
func Fchown(fd int, uid, gid int) error                     { return syscall.Fchown(fd, uid, gid) }
func FcntlFlock(fd uintptr, cmd int, lk *Flock_t) error     { return syscall.FcntlFlock(fd, cmd, lk) }
func Flock(fd int, how int) error                           { return syscall.Flock(fd, how) }
func Fstat(fd int, st *Stat_t) error                        { return syscall.Fstat(fd, st) }
func Fstatfs(fd int, st *Statfs_t) error                    { return syscall.Fstatfs(fd, st) }
func Fsync(fd int) error                                    { return syscall.Fsync(fd) }
func Ftruncate(fd int, length int64) error                  { return syscall.Ftruncate(fd, length) }
func Getwd() (string, error)                                { return syscall.Getwd() }
func Link(path, link string) error                          { return syscall.Link(path, link) }
func Lstat(path string, st *Stat_t) error                   { return syscall.Lstat(path, st) }
func Mkdir(path string, mode uint32) error                  { return syscall.Mkdir(path, mode) }
func Mkfifo(path string, mode uint32) error                 { return syscall.Mkfifo(path, mode) }
func Mknod(path string, mode uint32, dev int) error         { return syscall.Mknod(path, mode, dev) }
func Open(path string, flags int, perm uint32) (int, error) { return syscall.Open(path, flags, perm) }
func Pipe(p []int) error                                    { return syscall.Pipe(p) }
func Pipe2(p []int, flags int) error                        { return syscall.Pipe2(p, flags) }
func Pread(fd int, p []byte, off int64) (int, error)        { return syscall.Pread(fd, p, off) }
func Pwrite(fd int, p []byte, off int64) (int, error)       { return syscall.Pwrite(fd, p, off) }
func Read(fd int, p []byte) (int, error)                    { return syscall.Read(fd, p) }
func ReadDirent(fd int, buf []byte) (int, error)            { return syscall.ReadDirent(fd, buf) }
func Readlink(path string, buf []byte) (int, error)         { return syscall.Readlink(path, buf) }
func Rename(from, to string) error                          { return syscall.Rename(from, to) }
func Rmdir(path string) error                               { return syscall.Rmdir(path) }
func Seek(fd int, off int64, whence int) (int64, error)     { return syscall.Seek(fd, off, whence) }
func SetNonblock(fd int, nonblocking bool) error            { return syscall.SetNonblock(fd, nonblocking) }
func Stat(path string, st *Stat_t) error                    { return syscall.Stat(path, st) }
func Statfs(path string, st *Statfs_t) error                { return syscall.Statfs(path, st) }
func Symlink(path, link string) error                       { return syscall.Symlink(path, link) }
func Truncate(path string, length int64) error              { return syscall.Truncate(path, length) }
func Umask(mask int) int                                    { return syscall.Umask(mask) }
func Unlink(path string) error                              { return syscall.Unlink(path) }
func UtimesNano(path string, ts []Timespec) error           { return syscall.UtimesNano(path, ts) }
func Write(fd int, p []byte) (int, error)                   { return syscall.Write(fd, p) }

func ParseDirent(buf []byte, max int, names []string) (consumed, count int, newnames []string) {
	return syscall.ParseDirent(buf, max, names)
}

// Memory

func Mmap(fd int, offset int64, length int, prot int, flags int) ([]byte, error) {
	return syscall.Mmap(fd, offset, length, prot, flags)
}
func Munmap(b []byte) error { return syscall.Munmap(b) }
func Getpagesize() int      { return syscall.Getpagesize() }

// Processes

func Exec(argv0 string, argv, env []string) error  { return syscall.Exec(argv0, argv, env) }
func Exit(code int)                                { syscall.Exit(code) }
func Getegid() int                                 { return syscall.Getegid() }
func Geteuid() int                                 { return syscall.Geteuid() }
func Getgid() int                                  { return syscall.Getgid() }
func Getgroups() ([]int, error)                    { return syscall.Getgroups() }
func Getpgid(pid int) (int, error)                 { return syscall.Getpgid(pid) }
func Getpgrp() int                                 { return syscall.Getpgrp() }
func Getpid() int                                  { return syscall.Getpid() }
func Getppid() int                                 { return syscall.Getppid() }
func Getrlimit(resource int, rlim *Rlimit) error   { return syscall.Getrlimit(resource, rlim) }
func Setrlimit(resource int, rlim *Rlimit) error   { return syscall.Setrlimit(resource, rlim) }
func Getrusage(who int, rusage *Rusage) error      { return syscall.Getrusage(who, rusage) }
func Getuid() int                                  { return syscall.Getuid() }
func Kill(pid int, sig Signal) error               { return syscall.Kill(pid, sig) }
func Setgid(gid int) error                         { return syscall.Setgid(gid) }
func Setgroups(gids []int) error                   { return syscall.Setgroups(gids) }
func Setpgid(pid, pgid int) error                  { return syscall.Setpgid(pid, pgid) }
func Setsid() (int, error)                         { return syscall.Setsid() }
func Setuid(uid int) error                         { return syscall.Setuid(uid) }
func Environ() []string                            { return syscall.Environ() }
func Getenv(key string) (value string, found bool) { return syscall.Getenv(key) }
func Setenv(key, value string) error               { return syscall.Setenv(key, value) }
func Unsetenv(key string) error                    { return syscall.Unsetenv(key) }
func Gettimeofday(tv *Timeval) error               { return syscall.Gettimeofday(tv) }
func TimespecToNsec(ts Timespec) int64             { return ts.Nano() }
func NsecToTimespec(nsec int64) Timespec           { return syscall.NsecToTimespec(nsec) }
func NsecToTimeval(nsec int64) Timeval             { return syscall.NsecToTimeval(nsec) }
func TimeToTimespec(t time.Time) (Timespec, error) { return NsecToTimespec(t.UnixNano()), nil }
func BytePtrFromString(s string) (*byte, error)    { return syscall.BytePtrFromString(s) }
func ByteSliceFromString(s string) ([]byte, error) { return syscall.ByteSliceFromString(s) }
func Getpriority(which, who int) (int, error)      { return syscall.Getpriority(which, who) }
func Setpriority(which, who, prio int) error       { return syscall.Setpriority(which, who, prio) }
func Wait4(pid int, status *WaitStatus, options int, rusage *Rusage) (int, error) {
	return syscall.Wait4(pid, status, options, rusage)
}

// ByteSliceToString returns the text of a string that ends with a zero.
func ByteSliceToString(s []byte) string {
	for i, c := range s {
		if c == 0 {
			return string(s[:i])
		}
	}
	return string(s)
}

// Sockets

func Accept(fd int) (int, Sockaddr, error)          { return syscall.Accept(fd) }
func Bind(fd int, sa Sockaddr) error                { return syscall.Bind(fd, sa) }
func Connect(fd int, sa Sockaddr) error             { return syscall.Connect(fd, sa) }
func Getpeername(fd int) (Sockaddr, error)          { return syscall.Getpeername(fd) }
func Getsockname(fd int) (Sockaddr, error)          { return syscall.Getsockname(fd) }
func Listen(fd, backlog int) error                  { return syscall.Listen(fd, backlog) }
func Shutdown(fd, how int) error                    { return syscall.Shutdown(fd, how) }
func Socket(domain, typ, proto int) (int, error)    { return syscall.Socket(domain, typ, proto) }
func UnixRights(fds ...int) []byte                  { return syscall.UnixRights(fds...) }
func CmsgSpace(datalen int) int                     { return syscall.CmsgSpace(datalen) }
func GetsockoptInt(fd, level, opt int) (int, error) { return syscall.GetsockoptInt(fd, level, opt) }
func SetsockoptInt(fd, level, opt, value int) error {
	return syscall.SetsockoptInt(fd, level, opt, value)
}
func SetsockoptLinger(fd, level, opt int, l *Linger) error {
	return syscall.SetsockoptLinger(fd, level, opt, l)
}
func Socketpair(domain, typ, proto int) ([2]int, error) {
	return syscall.Socketpair(domain, typ, proto)
}
func Recvfrom(fd int, p []byte, flags int) (int, Sockaddr, error) {
	return syscall.Recvfrom(fd, p, flags)
}
func Sendto(fd int, p []byte, flags int, to Sockaddr) error {
	return syscall.Sendto(fd, p, flags, to)
}
func Recvmsg(fd int, p, oob []byte, flags int) (n, oobn, recvflags int, from Sockaddr, err error) {
	return syscall.Recvmsg(fd, p, oob, flags)
}
func Sendmsg(fd int, p, oob []byte, to Sockaddr, flags int) error {
	return syscall.Sendmsg(fd, p, oob, to, flags)
}
func ParseSocketControlMessage(b []byte) ([]SocketControlMessage, error) {
	return syscall.ParseSocketControlMessage(b)
}
func ParseUnixRights(m *SocketControlMessage) ([]int, error) { return syscall.ParseUnixRights(m) }

// ErrnoName returns "": package syscall does not know the names.
func ErrnoName(e Errno) string { return "" }
