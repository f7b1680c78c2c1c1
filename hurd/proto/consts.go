package proto

import "hurdlab/mach"

// Error numbers of the Hurd, as the codes of answers (section 5.13).
const (
	EPERM           = errno | 1
	ENOENT          = errno | 2
	ESRCH           = errno | 3
	EINTR           = errno | 4
	EIO             = errno | 5
	ENXIO           = errno | 6
	E2BIG           = errno | 7
	ENOEXEC         = errno | 8
	EBADF           = errno | 9
	ECHILD          = errno | 10
	EDEADLK         = errno | 11
	ENOMEM          = errno | 12
	EACCES          = errno | 13
	EFAULT          = errno | 14
	ENOTBLK         = errno | 15
	EBUSY           = errno | 16
	EEXIST          = errno | 17
	EXDEV           = errno | 18
	ENODEV          = errno | 19
	ENOTDIR         = errno | 20
	EISDIR          = errno | 21
	EINVAL          = errno | 22
	ENFILE          = errno | 23
	EMFILE          = errno | 24
	ENOTTY          = errno | 25
	ETXTBSY         = errno | 26
	EFBIG           = errno | 27
	ENOSPC          = errno | 28
	ESPIPE          = errno | 29
	EROFS           = errno | 30
	EMLINK          = errno | 31
	EPIPE           = errno | 32
	EDOM            = errno | 33
	ERANGE          = errno | 34
	EAGAIN          = errno | 35
	EINPROGRESS     = errno | 36
	EALREADY        = errno | 37
	ENOTSOCK        = errno | 38
	EDESTADDRREQ    = errno | 39
	EMSGSIZE        = errno | 40
	EPROTOTYPE      = errno | 41
	ENOPROTOOPT     = errno | 42
	EPROTONOSUPPORT = errno | 43
	ESOCKTNOSUPPORT = errno | 44
	EOPNOTSUPP      = errno | 45
	EPFNOSUPPORT    = errno | 46
	EAFNOSUPPORT    = errno | 47
	EADDRINUSE      = errno | 48
	EADDRNOTAVAIL   = errno | 49
	ENETDOWN        = errno | 50
	ENETUNREACH     = errno | 51
	ENETRESET       = errno | 52
	ECONNABORTED    = errno | 53
	ECONNRESET      = errno | 54
	ENOBUFS         = errno | 55
	EISCONN         = errno | 56
	ENOTCONN        = errno | 57
	ESHUTDOWN       = errno | 58
	ETOOMANYREFS    = errno | 59
	ETIMEDOUT       = errno | 60
	ECONNREFUSED    = errno | 61
	ELOOP           = errno | 62
	ENAMETOOLONG    = errno | 63
	EHOSTDOWN       = errno | 64
	EHOSTUNREACH    = errno | 65
	ENOTEMPTY       = errno | 66
	EPROCLIM        = errno | 67
	EUSERS          = errno | 68
	EDQUOT          = errno | 69
	ESTALE          = errno | 70
	ENOLCK          = errno | 77
	ENOSYS          = errno | 78
	EFTYPE          = errno | 79
	EBACKGROUND     = errno | 100
	EDIED           = errno | 101
	EIEIO           = errno | 104
	EGRATUITOUS     = errno | 105
	EOVERFLOW       = errno | 115
	EPROTO          = errno | 116
	ENOTSUP         = errno | 118
	ECANCELED       = errno | 119

	errno mach.KernReturn = 0x40000000
)

// Flags of opening, which are also the modes of an open object (section 5.3).
// Reading and writing are bits of their own.
const (
	O_READ     = 0x1
	O_WRITE    = 0x2
	O_RDWR     = O_READ | O_WRITE
	O_EXEC     = 0x4
	O_NONBLOCK = 0x8
	O_CREAT    = 0x10
	O_EXCL     = 0x20
	O_NOLINK   = 0x40 // open a symbolic link itself
	O_NOTRANS  = 0x80 // open the node that a translator sits on
	O_APPEND   = 0x100
	O_ASYNC    = 0x200
	O_FSYNC    = 0x400
	O_NOATIME  = 0x800
	O_SHLOCK   = 0x20000
	O_EXLOCK   = 0x40000

	// What clients do by themselves; servers may see and must ignore them.
	O_TRUNC       = 0x10000
	O_IGNORE_CTTY = 0x80000
	O_NOFOLLOW    = 0x100000
	O_DIRECTORY   = 0x200000
	O_CLOEXEC     = 0x400000
	O_TMPFILE     = 0x800000

	// O_CHANGEABLE are the modes that an open object can change.
	O_CHANGEABLE = O_APPEND | O_ASYNC | O_FSYNC | O_NONBLOCK | O_NOATIME
)

// How a lookup goes on (section 5.3).
const (
	RetryNormal  = 1
	RetryReauth  = 2
	RetryMagical = 3
)

// What io_select waits for.
const (
	SelectRead  = 1
	SelectWrite = 2
	SelectUrg   = 4
)

// Whence of io_seek.
const (
	SeekSet = 0
	SeekCur = 1
	SeekEnd = 2
)

// Modes of files (section 5.6).
const (
	S_IFMT   = 0o170000
	S_IFIFO  = 0o010000
	S_IFCHR  = 0o020000
	S_IFDIR  = 0o040000
	S_IFBLK  = 0o060000
	S_IFREG  = 0o100000
	S_IFLNK  = 0o120000
	S_IFSOCK = 0o140000

	S_ISUID = 0o4000
	S_ISGID = 0o2000
	S_ISVTX = 0o1000

	S_INOCACHE  = 0o200000
	S_IUSEUNK   = 0o400000
	S_IUNKNOWN  = 0o7000000   // rwx for users without ids
	S_IUNKSHIFT = 12          // from the bits of others to S_IUNKNOWN
	S_IPTRANS   = 0o010000000 // has a passive translator
	S_IATRANS   = 0o020000000 // has an active translator
	S_IROOT     = 0o040000000 // is the root of a file system
	S_ITRANS    = S_IPTRANS | S_IATRANS | S_IROOT
)

// Types of file systems, in Stat.FSType.
const (
	FSTypeTerm   = 14
	FSTypeDev    = 15
	FSTypeProc   = 16
	FSTypeIfsock = 17
	FSTypeSocket = 21
	FSTypeMisc   = 22
	FSTypeMemFS  = 25
)

// Types of directory entries (section 5.5).
const (
	DT_UNKNOWN = 0
	DT_FIFO    = 1
	DT_CHR     = 2
	DT_DIR     = 4
	DT_BLK     = 6
	DT_REG     = 8
	DT_LNK     = 10
	DT_SOCK    = 12
)

// Nanoseconds of file_utimens with a meaning of their own.
const (
	UtimeNow  = -1
	UtimeOmit = -2
)

// Flags of file_lock, and commands and types of file_record_lock.
const (
	LOCK_SH = 1
	LOCK_EX = 2
	LOCK_NB = 4
	LOCK_UN = 8

	F_GETLK  = 10
	F_SETLK  = 11
	F_SETLKW = 12

	F_RDLCK = 1
	F_WRLCK = 2
	F_UNLCK = 3
)

// Flags of file_set_translator, for the passive and the active part (5.11).
const (
	FS_TRANS_FORCE  = 1
	FS_TRANS_EXCL   = 2
	FS_TRANS_SET    = 4
	FS_TRANS_ORPHAN = 8
)

// Flags of fsys_goaway.
const (
	GOAWAY_NOWAIT  = 1
	GOAWAY_NOSYNC  = 2
	GOAWAY_FORCE   = 4
	GOAWAY_UNLINK  = 8
	GOAWAY_RECURSE = 16
)

// What has changed: dir_changed and file_changed (section 5.1).
const (
	DirChangedNull     = 0
	DirChangedNew      = 1
	DirChangedUnlink   = 2
	DirChangedRenumber = 3

	FileChangedNull     = 0
	FileChangedWrite    = 1
	FileChangedExtend   = 2
	FileChangedTruncate = 3
	FileChangedMeta     = 4
)

// Flags of starting a program (section 4.3).
const (
	EXEC_NEWTASK    = 1
	EXEC_SECURE     = 2
	EXEC_DEFAULTS   = 4
	EXEC_SIGTRAP    = 8
	EXEC_STACK_ARGS = 0x10
)

// The ports and integers that a program starts with.
const (
	InitPortCWD       = 0
	InitPortRoot      = 1
	InitPortAuth      = 2
	InitPortProc      = 3
	InitPortCTTY      = 4
	InitPortBootstrap = 5
	InitPortMax       = 6

	InitUmask     = 0
	InitSigMask   = 1
	InitSigIgn    = 2
	InitSigPend   = 3
	InitTraceMask = 4
	InitIntMax    = 5
)

// Numbers of processes with a special part (section 3.7).
const (
	PIDInit    = 1
	PIDStartup = 2
	PIDKernel  = 3
	PIDProc    = 4
)

// Options of proc_wait and proc_waitid.
const (
	WNOHANG    = 1
	WUNTRACED  = 2
	WCONTINUED = 4
	WNOWAIT    = 8
	WEXITED    = 16
)

// Flags and state of proc_getprocinfo (section 7.1).
const (
	PI_FETCH_TASKINFO     = 0x1
	PI_FETCH_THREADS      = 0x2
	PI_FETCH_THREAD_BASIC = 0x4
	PI_FETCH_THREAD_SCHED = 0x8
	PI_FETCH_THREAD_WAITS = 0x10
	PI_FETCH_TASKEVENTS   = 0x20

	PI_STOPPED  = 0x1
	PI_EXECED   = 0x2
	PI_WAITING  = 0x4
	PI_ORPHAN   = 0x8
	PI_NOMSG    = 0x10
	PI_SESSLD   = 0x20
	PI_NOTOWNED = 0x40
	PI_NOPARENT = 0x80
	PI_ZOMBIE   = 0x100
	PI_TRACED   = 0x200
	PI_GETMSG   = 0x400
	PI_LOGINLD  = 0x800
)

// Signals (section 4.4).
const (
	SIGHUP    = 1
	SIGINT    = 2
	SIGQUIT   = 3
	SIGILL    = 4
	SIGTRAP   = 5
	SIGABRT   = 6
	SIGEMT    = 7
	SIGFPE    = 8
	SIGKILL   = 9
	SIGBUS    = 10
	SIGSEGV   = 11
	SIGSYS    = 12
	SIGPIPE   = 13
	SIGALRM   = 14
	SIGTERM   = 15
	SIGURG    = 16
	SIGSTOP   = 17
	SIGTSTP   = 18
	SIGCONT   = 19
	SIGCHLD   = 20
	SIGTTIN   = 21
	SIGTTOU   = 22
	SIGIO     = 23
	SIGXCPU   = 24
	SIGXFSZ   = 25
	SIGVTALRM = 26
	SIGPROF   = 27
	SIGWINCH  = 28
	SIGINFO   = 29
	SIGUSR1   = 30
	SIGUSR2   = 31
	SIGLOST   = 32
)

// Codes of startup_reboot and host_reboot.
const (
	RB_AUTOBOOT = 0
	RB_HALT     = 8
)

// Socket types, flags of sending and receiving, and ways of shutdown (6.1, 6.2).
const (
	PF_LOCAL = 1
	PF_INET  = 2
	PF_INET6 = 26

	SOCK_STREAM    = 1
	SOCK_DGRAM     = 2
	SOCK_RAW       = 3
	SOCK_SEQPACKET = 5

	MSG_OOB       = 1
	MSG_PEEK      = 2
	MSG_DONTROUTE = 4
	MSG_EOR       = 8
	MSG_TRUNC     = 0x10
	MSG_CTRUNC    = 0x20
	MSG_WAITALL   = 0x40
	MSG_DONTWAIT  = 0x80
	MSG_NOSIGNAL  = 0x400

	SHUT_RD   = 0
	SHUT_WR   = 1
	SHUT_RDWR = 2
)
