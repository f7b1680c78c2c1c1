// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

// Errors and signals of the Hurd. An Errno is the code as it is in messages,
// with the system number of the Hurd in its upper bits, so that codes of the
// kernel (1 to 28), of MIG and of the message system, which come the same way,
// remain apart.
const errnoBase = 0x40000000

const (
	EPERM           = Errno(errnoBase | 1)
	ENOENT          = Errno(errnoBase | 2)
	ESRCH           = Errno(errnoBase | 3)
	EINTR           = Errno(errnoBase | 4)
	EIO             = Errno(errnoBase | 5)
	ENXIO           = Errno(errnoBase | 6)
	E2BIG           = Errno(errnoBase | 7)
	ENOEXEC         = Errno(errnoBase | 8)
	EBADF           = Errno(errnoBase | 9)
	ECHILD          = Errno(errnoBase | 10)
	EDEADLK         = Errno(errnoBase | 11)
	ENOMEM          = Errno(errnoBase | 12)
	EACCES          = Errno(errnoBase | 13)
	EFAULT          = Errno(errnoBase | 14)
	ENOTBLK         = Errno(errnoBase | 15)
	EBUSY           = Errno(errnoBase | 16)
	EEXIST          = Errno(errnoBase | 17)
	EXDEV           = Errno(errnoBase | 18)
	ENODEV          = Errno(errnoBase | 19)
	ENOTDIR         = Errno(errnoBase | 20)
	EISDIR          = Errno(errnoBase | 21)
	EINVAL          = Errno(errnoBase | 22)
	ENFILE          = Errno(errnoBase | 23)
	EMFILE          = Errno(errnoBase | 24)
	ENOTTY          = Errno(errnoBase | 25)
	ETXTBSY         = Errno(errnoBase | 26)
	EFBIG           = Errno(errnoBase | 27)
	ENOSPC          = Errno(errnoBase | 28)
	ESPIPE          = Errno(errnoBase | 29)
	EROFS           = Errno(errnoBase | 30)
	EMLINK          = Errno(errnoBase | 31)
	EPIPE           = Errno(errnoBase | 32)
	EDOM            = Errno(errnoBase | 33)
	ERANGE          = Errno(errnoBase | 34)
	EAGAIN          = Errno(errnoBase | 35)
	EWOULDBLOCK     = EAGAIN
	EINPROGRESS     = Errno(errnoBase | 36)
	EALREADY        = Errno(errnoBase | 37)
	ENOTSOCK        = Errno(errnoBase | 38)
	EDESTADDRREQ    = Errno(errnoBase | 39)
	EMSGSIZE        = Errno(errnoBase | 40)
	EPROTOTYPE      = Errno(errnoBase | 41)
	ENOPROTOOPT     = Errno(errnoBase | 42)
	EPROTONOSUPPORT = Errno(errnoBase | 43)
	ESOCKTNOSUPPORT = Errno(errnoBase | 44)
	EOPNOTSUPP      = Errno(errnoBase | 45)
	EPFNOSUPPORT    = Errno(errnoBase | 46)
	EAFNOSUPPORT    = Errno(errnoBase | 47)
	EADDRINUSE      = Errno(errnoBase | 48)
	EADDRNOTAVAIL   = Errno(errnoBase | 49)
	ENETDOWN        = Errno(errnoBase | 50)
	ENETUNREACH     = Errno(errnoBase | 51)
	ENETRESET       = Errno(errnoBase | 52)
	ECONNABORTED    = Errno(errnoBase | 53)
	ECONNRESET      = Errno(errnoBase | 54)
	ENOBUFS         = Errno(errnoBase | 55)
	EISCONN         = Errno(errnoBase | 56)
	ENOTCONN        = Errno(errnoBase | 57)
	ESHUTDOWN       = Errno(errnoBase | 58)
	ETOOMANYREFS    = Errno(errnoBase | 59)
	ETIMEDOUT       = Errno(errnoBase | 60)
	ECONNREFUSED    = Errno(errnoBase | 61)
	ELOOP           = Errno(errnoBase | 62)
	ENAMETOOLONG    = Errno(errnoBase | 63)
	EHOSTDOWN       = Errno(errnoBase | 64)
	EHOSTUNREACH    = Errno(errnoBase | 65)
	ENOTEMPTY       = Errno(errnoBase | 66)
	EPROCLIM        = Errno(errnoBase | 67)
	EUSERS          = Errno(errnoBase | 68)
	EDQUOT          = Errno(errnoBase | 69)
	ESTALE          = Errno(errnoBase | 70)
	EREMOTE         = Errno(errnoBase | 71)
	EBADRPC         = Errno(errnoBase | 72)
	ENOLCK          = Errno(errnoBase | 77)
	ENOSYS          = Errno(errnoBase | 78)
	EFTYPE          = Errno(errnoBase | 79)
	EAUTH           = Errno(errnoBase | 80)
	ENEEDAUTH       = Errno(errnoBase | 81)
	ELIBEXEC        = Errno(errnoBase | 83)
	EBACKGROUND     = Errno(errnoBase | 100)
	EDIED           = Errno(errnoBase | 101)
	EGREGIOUS       = Errno(errnoBase | 103)
	EIEIO           = Errno(errnoBase | 104)
	EGRATUITOUS     = Errno(errnoBase | 105)
	EILSEQ          = Errno(errnoBase | 106)
	EBADMSG         = Errno(errnoBase | 107)
	EIDRM           = Errno(errnoBase | 108)
	EMULTIHOP       = Errno(errnoBase | 109)
	ENODATA         = Errno(errnoBase | 110)
	ENOLINK         = Errno(errnoBase | 111)
	ENOMSG          = Errno(errnoBase | 112)
	ENOSR           = Errno(errnoBase | 113)
	ENOSTR          = Errno(errnoBase | 114)
	EOVERFLOW       = Errno(errnoBase | 115)
	EPROTO          = Errno(errnoBase | 116)
	ETIME           = Errno(errnoBase | 117)
	ENOTSUP         = Errno(errnoBase | 118)
	ECANCELED       = Errno(errnoBase | 119)
	EOWNERDEAD      = Errno(errnoBase | 120)
	ENOTRECOVERABLE = Errno(errnoBase | 121)
)

// errors has the texts of the errors, by number without errnoBase.
var errors = [...]string{
	1:   "operation not permitted",
	2:   "no such file or directory",
	3:   "no such process",
	4:   "interrupted system call",
	5:   "input/output error",
	6:   "no such device or address",
	7:   "argument list too long",
	8:   "exec format error",
	9:   "bad file descriptor",
	10:  "no child processes",
	11:  "resource deadlock avoided",
	12:  "cannot allocate memory",
	13:  "permission denied",
	14:  "bad address",
	15:  "block device required",
	16:  "device or resource busy",
	17:  "file exists",
	18:  "invalid cross-device link",
	19:  "no such device",
	20:  "not a directory",
	21:  "is a directory",
	22:  "invalid argument",
	23:  "too many open files in system",
	24:  "too many open files",
	25:  "not a terminal",
	26:  "text file busy",
	27:  "file too large",
	28:  "no space left on device",
	29:  "illegal seek",
	30:  "read-only file system",
	31:  "too many links",
	32:  "broken pipe",
	33:  "numerical argument out of domain",
	34:  "numerical result out of range",
	35:  "resource temporarily unavailable",
	36:  "operation now in progress",
	37:  "operation already in progress",
	38:  "socket operation on non-socket",
	39:  "destination address required",
	40:  "message too long",
	41:  "protocol wrong type for socket",
	42:  "protocol not available",
	43:  "protocol not supported",
	44:  "socket type not supported",
	45:  "operation not supported",
	46:  "protocol family not supported",
	47:  "address family not supported by protocol family",
	48:  "address already in use",
	49:  "cannot assign requested address",
	50:  "network is down",
	51:  "network is unreachable",
	52:  "network dropped connection on reset",
	53:  "software caused connection abort",
	54:  "connection reset by peer",
	55:  "no buffer space available",
	56:  "socket is already connected",
	57:  "socket is not connected",
	58:  "cannot send after socket shutdown",
	59:  "too many references",
	60:  "connection timed out",
	61:  "connection refused",
	62:  "too many levels of symbolic links",
	63:  "file name too long",
	64:  "host is down",
	65:  "no route to host",
	66:  "directory not empty",
	67:  "too many processes",
	68:  "too many users",
	69:  "disk quota exceeded",
	70:  "stale file handle",
	71:  "object is remote",
	72:  "bad RPC structure",
	77:  "no locks available",
	78:  "function not implemented",
	79:  "inappropriate file type or format",
	80:  "authentication error",
	81:  "need authenticator",
	83:  "cannot execute a shared library",
	100: "inappropriate operation for a background process",
	101: "translator died",
	103: "egregious error",
	104: "server has gone away",
	105: "gratuitous error",
	106: "invalid multibyte sequence",
	107: "bad message",
	108: "identifier removed",
	109: "multihop attempted",
	110: "no data available",
	111: "link has been severed",
	112: "no message of the desired type",
	113: "out of streams resources",
	114: "not a stream",
	115: "value too large for its type",
	116: "protocol error",
	117: "timer expired",
	118: "not supported",
	119: "operation canceled",
	120: "owner died",
	121: "state not recoverable",
}

const (
	SIGHUP    = Signal(1)
	SIGINT    = Signal(2)
	SIGQUIT   = Signal(3)
	SIGILL    = Signal(4)
	SIGTRAP   = Signal(5)
	SIGABRT   = Signal(6)
	SIGEMT    = Signal(7)
	SIGFPE    = Signal(8)
	SIGKILL   = Signal(9)
	SIGBUS    = Signal(10)
	SIGSEGV   = Signal(11)
	SIGSYS    = Signal(12)
	SIGPIPE   = Signal(13)
	SIGALRM   = Signal(14)
	SIGTERM   = Signal(15)
	SIGURG    = Signal(16)
	SIGSTOP   = Signal(17)
	SIGTSTP   = Signal(18)
	SIGCONT   = Signal(19)
	SIGCHLD   = Signal(20)
	SIGCLD    = SIGCHLD
	SIGTTIN   = Signal(21)
	SIGTTOU   = Signal(22)
	SIGIO     = Signal(23)
	SIGPOLL   = SIGIO
	SIGXCPU   = Signal(24)
	SIGXFSZ   = Signal(25)
	SIGVTALRM = Signal(26)
	SIGPROF   = Signal(27)
	SIGWINCH  = Signal(28)
	SIGINFO   = Signal(29)
	SIGUSR1   = Signal(30)
	SIGUSR2   = Signal(31)
	SIGLOST   = Signal(32)
)

var signals = [...]string{
	1:  "hangup",
	2:  "interrupt",
	3:  "quit",
	4:  "illegal instruction",
	5:  "trace/breakpoint trap",
	6:  "aborted",
	7:  "emulator trap",
	8:  "floating point exception",
	9:  "killed",
	10: "bus error",
	11: "segmentation fault",
	12: "bad system call",
	13: "broken pipe",
	14: "alarm clock",
	15: "terminated",
	16: "urgent I/O condition",
	17: "stopped (signal)",
	18: "stopped",
	19: "continued",
	20: "child exited",
	21: "stopped (terminal input)",
	22: "stopped (terminal output)",
	23: "I/O possible",
	24: "CPU time limit exceeded",
	25: "file size limit exceeded",
	26: "virtual timer expired",
	27: "profiling timer expired",
	28: "window changed",
	29: "information request",
	30: "user defined signal 1",
	31: "user defined signal 2",
	32: "resource lost",
}
