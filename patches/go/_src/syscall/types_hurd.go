// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

// Types and constants. Those that are in messages are the Hurd's; the others
// are for this package and its users only, with the usual values.

const (
	sizeofPtr = 4 << (^uintptr(0) >> 63)

	PathMax = 4096 // nothing in the Hurd limits paths, but callers want to know
)

type (
	_C_int    int32
	_Socklen  uint32
	_C_socket = int32
)

type Timespec struct {
	Sec  int64
	Nsec int64
}

type Timeval struct {
	Sec  int64
	Usec int64
}

func setTimespec(sec, nsec int64) Timespec { return Timespec{Sec: sec, Nsec: nsec} }
func setTimeval(sec, usec int64) Timeval   { return Timeval{Sec: sec, Usec: usec} }

type Rusage struct {
	Utime    Timeval
	Stime    Timeval
	Maxrss   int64
	Ixrss    int64
	Idrss    int64
	Isrss    int64
	Minflt   int64
	Majflt   int64
	Nswap    int64
	Inblock  int64
	Oublock  int64
	Msgsnd   int64
	Msgrcv   int64
	Nsignals int64
	Nvcsw    int64
	Nivcsw   int64
}

const (
	RUSAGE_SELF     = 0
	RUSAGE_CHILDREN = -1
)

type Rlimit struct {
	Cur uint64
	Max uint64
}

const (
	RLIMIT_CPU    = 0
	RLIMIT_FSIZE  = 1
	RLIMIT_DATA   = 2
	RLIMIT_STACK  = 3
	RLIMIT_CORE   = 4
	RLIMIT_NOFILE = 8
	RLIMIT_AS     = 9
	RLIM_INFINITY = 1<<63 - 1
)

// Files

// Flags of Open. On the Hurd reading and writing are bits of their own.
const (
	O_RDONLY    = 0x1
	O_WRONLY    = 0x2
	O_RDWR      = O_RDONLY | O_WRONLY
	O_ACCMODE   = O_RDWR
	O_EXEC      = 0x4
	O_NONBLOCK  = 0x8
	O_NDELAY    = O_NONBLOCK
	O_CREAT     = 0x10
	O_EXCL      = 0x20
	O_NOLINK    = 0x40 // open a symbolic link itself
	O_NOTRANS   = 0x80 // open the node that a translator sits on
	O_APPEND    = 0x100
	O_ASYNC     = 0x200
	O_FSYNC     = 0x400
	O_SYNC      = O_FSYNC
	O_DSYNC     = O_FSYNC
	O_NOATIME   = 0x800
	O_NOCTTY    = 0 // opening never makes a terminal the controlling one
	O_TRUNC     = 0x10000
	O_SHLOCK    = 0x20000
	O_EXLOCK    = 0x40000
	O_NOFOLLOW  = 0x100000
	O_DIRECTORY = 0x200000
	O_CLOEXEC   = 0x400000
)

const (
	AT_FDCWD            = -100
	AT_SYMLINK_NOFOLLOW = 0x100
	AT_REMOVEDIR        = 0x200
	AT_EACCESS          = 0x200
	AT_SYMLINK_FOLLOW   = 0x400
)

const (
	F_DUPFD         = 0
	F_GETFD         = 1
	F_SETFD         = 2
	F_GETFL         = 3
	F_GETFL_HERE    = 0x1003 // F_GETFL of what is known without asking the server: O_NONBLOCK
	F_SETFL         = 4
	F_GETOWN        = 5
	F_SETOWN        = 6
	F_GETLK         = 10
	F_SETLK         = 11
	F_SETLKW        = 12
	F_DUPFD_CLOEXEC = 1030
	F_RDLCK         = 1
	F_WRLCK         = 2
	F_UNLCK         = 3
	FD_CLOEXEC      = 1

	LOCK_SH = 1
	LOCK_EX = 2
	LOCK_NB = 4
	LOCK_UN = 8
)

type Flock_t struct {
	Type   int16
	Whence int16
	Start  int64
	Len    int64
	Pid    int32
}

const (
	PRIO_PROCESS = 0
	PRIO_PGRP    = 1
	PRIO_USER    = 2

	TCIFLUSH  = 1
	TCOFLUSH  = 2
	TCIOFLUSH = 3
)

const (
	S_IFMT   = 0170000
	S_IFSOCK = 0140000
	S_IFLNK  = 0120000
	S_IFREG  = 0100000
	S_IFBLK  = 0060000
	S_IFDIR  = 0040000
	S_IFCHR  = 0020000
	S_IFIFO  = 0010000
	S_ISUID  = 0004000
	S_ISGID  = 0002000
	S_ISVTX  = 0001000
	S_IRWXU  = 0700
	S_IRUSR  = 0400
	S_IWUSR  = 0200
	S_IXUSR  = 0100
	S_IRWXG  = 070
	S_IRGRP  = 040
	S_IWGRP  = 020
	S_IXGRP  = 010
	S_IRWXO  = 07
	S_IROTH  = 04
	S_IWOTH  = 02
	S_IXOTH  = 01
)

// A Stat_t is what io_stat tells.
type Stat_t struct {
	Fstype  uint32
	Mode    uint32
	Dev     uint64
	Ino     uint64
	Rdev    uint64
	Nlink   uint64
	Uid     uint32
	Gid     uint32
	Size    int64
	Atim    Timespec
	Mtim    Timespec
	Ctim    Timespec
	Blksize int64
	Blocks  int64
	Gen     uint32
	Author  uint32
	Flags   uint32
}

// A Statfs_t is what file_statfs tells of a file system.
type Statfs_t struct {
	Type    uint32
	Bsize   int64
	Blocks  uint64
	Bfree   uint64
	Bavail  uint64
	Files   uint64
	Ffree   uint64
	Fsid    uint64
	Namelen int64
	Favail  uint64
	Frsize  int64
	Flags   int64
}

// A Dirent is a directory entry as dir_readdir gives it; Reclen says how long
// it really is.
type Dirent struct {
	Ino    uint64
	Reclen uint16
	Type   uint8
	Namlen uint8
	Name   [256]uint8
}

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

const (
	PROT_NONE   = 0
	PROT_EXEC   = 1
	PROT_WRITE  = 2
	PROT_READ   = 4
	MAP_SHARED  = 0x10
	MAP_PRIVATE = 0
	MAP_FIXED   = 0x100
	MAP_FILE    = 0x1
	MAP_ANON    = 0x2
)

// Sockets

const (
	AF_UNSPEC = 0
	AF_LOCAL  = 1
	AF_UNIX   = AF_LOCAL
	AF_INET   = 2
	AF_INET6  = 26

	SOCK_STREAM    = 1
	SOCK_DGRAM     = 2
	SOCK_RAW       = 3
	SOCK_RDM       = 4
	SOCK_SEQPACKET = 5
	SOCK_NONBLOCK  = 0x800
	SOCK_CLOEXEC   = 0x400000

	SOMAXCONN = 128

	SHUT_RD   = 0
	SHUT_WR   = 1
	SHUT_RDWR = 2

	MSG_OOB       = 0x1
	MSG_PEEK      = 0x2
	MSG_DONTROUTE = 0x4
	MSG_EOR       = 0x8
	MSG_TRUNC     = 0x10
	MSG_CTRUNC    = 0x20
	MSG_WAITALL   = 0x40
	MSG_DONTWAIT  = 0x80
	MSG_NOSIGNAL  = 0x400

	SOL_SOCKET   = 0xffff
	SO_DEBUG     = 0x1
	SO_REUSEADDR = 0x4
	SO_KEEPALIVE = 0x8
	SO_DONTROUTE = 0x10
	SO_BROADCAST = 0x20
	SO_LINGER    = 0x80
	SO_OOBINLINE = 0x100
	SO_REUSEPORT = 0x200
	SO_SNDBUF    = 0x1001
	SO_RCVBUF    = 0x1002
	SO_SNDLOWAT  = 0x1003
	SO_RCVLOWAT  = 0x1004
	SO_SNDTIMEO  = 0x1005
	SO_RCVTIMEO  = 0x1006
	SO_ERROR     = 0x1007
	SO_TYPE      = 0x1008

	IPPROTO_IP   = 0
	IPPROTO_ICMP = 1
	IPPROTO_TCP  = 6
	IPPROTO_UDP  = 17
	IPPROTO_IPV6 = 41

	IP_HDRINCL         = 2
	IP_TOS             = 3
	IP_TTL             = 4
	IP_MULTICAST_IF    = 9
	IP_MULTICAST_TTL   = 10
	IP_MULTICAST_LOOP  = 11
	IP_ADD_MEMBERSHIP  = 12
	IP_DROP_MEMBERSHIP = 13

	IPV6_UNICAST_HOPS   = 16
	IPV6_MULTICAST_IF   = 17
	IPV6_MULTICAST_HOPS = 18
	IPV6_MULTICAST_LOOP = 19
	IPV6_JOIN_GROUP     = 20
	IPV6_LEAVE_GROUP    = 21
	IPV6_V6ONLY         = 26

	TCP_NODELAY   = 1
	TCP_MAXSEG    = 2
	TCP_CORK      = 3
	TCP_KEEPIDLE  = 4
	TCP_KEEPINTVL = 5
	TCP_KEEPCNT   = 6

	SCM_RIGHTS = 1
)

type RawSockaddr struct {
	Len    uint8
	Family uint8
	Data   [14]int8
}

type RawSockaddrInet4 struct {
	Len    uint8
	Family uint8
	Port   uint16 // big-endian
	Addr   [4]byte
	Zero   [8]uint8
}

type RawSockaddrInet6 struct {
	Len      uint8
	Family   uint8
	Port     uint16 // big-endian
	Flowinfo uint32
	Addr     [16]byte
	Scope_id uint32
}

type RawSockaddrUnix struct {
	Len    uint8
	Family uint8
	Path   [108]int8
}

type RawSockaddrAny struct {
	Addr RawSockaddr
	Pad  [96]int8
}

const (
	SizeofSockaddrInet4 = 16
	SizeofSockaddrInet6 = 28
	SizeofSockaddrAny   = 112
	SizeofSockaddrUnix  = 110
	SizeofIPMreq        = 8
	SizeofIPv6Mreq      = 20
	SizeofICMPv6Filter  = 32
	SizeofLinger        = 8
	SizeofCmsghdr       = 12
)

type Linger struct {
	Onoff  int32
	Linger int32
}

type IPMreq struct {
	Multiaddr [4]byte
	Interface [4]byte
}

type IPv6Mreq struct {
	Multiaddr [16]byte
	Interface uint32
}

type ICMPv6Filter struct{ Filt [8]uint32 }

type Cmsghdr struct {
	Len   uint32
	Level int32
	Type  int32
}

func (h *Cmsghdr) SetLen(length int) { h.Len = uint32(length) }

type Msghdr struct {
	Name       *byte
	Namelen    uint32
	Iov        *Iovec
	Iovlen     int32
	Control    *byte
	Controllen uint32
	Flags      int32
}

type Iovec struct {
	Base *byte
	Len  uint32
}

func (v *Iovec) SetLen(length int) { v.Len = uint32(length) }
