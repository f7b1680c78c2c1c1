// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

// Constants of GNU Mach and of the Hurd. Names in lower case are numbers that
// have no name of their own in the interfaces.

const (
	_PAGESIZE = 4096

	// Errors that portable code of this package compares with.
	_EPERM     = 0x40000000 | 1
	_EINTR     = 0x40000000 | 4
	_EINVAL    = 0x40000000 | 22
	_EAGAIN    = 0x40000000 | 35
	_ENOMEM    = 0x40000000 | 12
	_ETIMEDOUT = 0x40000000 | 60
	_ENOSYS    = 0x40000000 | 78
)

// Messages.
const (
	_MACH_PORT_DEAD = 1<<32 - 1

	// Options of mach_msg.
	_MACH_SEND_MSG     = 0x1
	_MACH_RCV_MSG      = 0x2
	_MACH_SEND_TIMEOUT = 0x10
	_MACH_RCV_TIMEOUT  = 0x100
	_MACH_RCV_LARGE    = 0x800

	// Results of mach_msg.
	_MACH_MSG_MASK         = 0x3c00 // details of some of them
	_MACH_SEND_INTERRUPTED = 0x10000007
	_MACH_RCV_TIMED_OUT    = 0x10004003
	_MACH_RCV_TOO_LARGE    = 0x10004004
	_MACH_RCV_INTERRUPTED  = 0x10004005
	_MACH_RCV_PORT_DIED    = 0x10004009
	_MACH_RCV_BODY_ERROR   = 0x1000400c

	_KERN_FAILURE     = 5
	_KERN_NAME_EXISTS = 13
	_MIG_BAD_ID       = 1<<32 - 303

	// What a message does with a port that it names.
	_MACH_MSG_TYPE_MOVE_SEND_ONCE = 18
	_MACH_MSG_TYPE_COPY_SEND      = 19
	_MACH_MSG_TYPE_MAKE_SEND      = 20
	_MACH_MSG_TYPE_MAKE_SEND_ONCE = 21

	_MACH_MSGH_BITS_COMPLEX = 1 << 31 // there are ports or memory in the body
	machBitsCall            = _MACH_MSG_TYPE_COPY_SEND | _MACH_MSG_TYPE_MAKE_SEND_ONCE<<8
	machBitsTypes           = 0xffff
	machBitsRemote          = 0xff

	_MACH_PORT_RIGHT_RECEIVE  = 1
	_MACH_PORT_RIGHT_PORT_SET = 3
)

// Calls of the kernel: message ids.
const (
	idTaskTerminate        = 2008
	idThreadTerminate      = 2016
	idThreadGetState       = 2017
	idThreadSetState       = 2018
	idThreadInfo           = 2019
	idVMProtect            = 2024
	idVMInherit            = 2025
	idVMCopy               = 2028
	idVMStatistics         = 2030
	idTaskGetSpecialPort   = 2058
	idTaskSetSpecialPort   = 2059
	idThreadCreate         = 2061
	idThreadSuspend        = 2062
	idTaskThreads          = 2011
	idThreadResume         = 2063
	idThreadSetSpecialPort = 2068
	idExceptionRaise       = 2400
	idHostReboot           = 2635
	idHostInfo             = 2638
	idHostGetTime64        = 2643
	idHostGetUptime64      = 2647
	idPortDestroy          = 3205
	idPortMoveMember       = 3213
	idPortInsertRight      = 3215
	idI386SetGDT           = 3807
	idVMCacheStatistics    = 4200
	idGsyncWait            = 4204
	idGsyncWake            = 4205
)

// Arguments of those.
const (
	_TASK_EXCEPTION_PORT   = 3
	_TASK_BOOTSTRAP_PORT   = 4
	_THREAD_EXCEPTION_PORT = 3

	_GSYNC_TIMED     = 4
	_GSYNC_BROADCAST = 8

	_SWITCH_OPTION_WAIT = 2 // of the trap thread_switch

	_VM_PROT_NONE = 0
	_VM_PROT_RW   = 3
	_VM_PROT_ALL  = 7

	_VM_INHERIT_SHARE = 0
	_VM_INHERIT_COPY  = 1
	_VM_INHERIT_NONE  = 2

	_HOST_BASIC_INFO   = 1
	_THREAD_BASIC_INFO = 1
	_TH_STATE_RUNNING  = 1
	_RB_AUTOBOOT       = 0

	machMaxMilliseconds = 1<<31 - 1
	nsPerMillisecond    = 1000000
	nsPerSecond         = 1000000000
)

// Fields of results, by index.
const (
	hostBasicInfoCount = 5 // fields of host_basic_info
	hostBasicInfoCPUs  = 1 // avail_cpus

	threadBasicInfoCount    = 13 // fields that all kernels have
	threadBasicInfoRunState = 7

	// Of vm_statistics, in pages.
	vmStatisticsFree     = 1
	vmStatisticsActive   = 2
	vmStatisticsInactive = 3
	vmStatisticsWired    = 4

	// Of vm_cache_statistics: pages that belong to files.
	vmCacheActivePerm   = 4
	vmCacheInactivePerm = 5
)

// Exceptions.
const (
	_EXC_BAD_ACCESS      = 1
	_EXC_BAD_INSTRUCTION = 2
	_EXC_ARITHMETIC      = 3
	_EXC_EMULATION       = 4
	_EXC_SOFTWARE        = 5
	_EXC_BREAKPOINT      = 6
)

// Calls of the servers of the Hurd, and of the process by others.
const (
	idIOWrite             = 21000
	idMsgSigPost          = 23000
	idMsgSigPostUntraced  = 23022
	idProcSetMsgport      = 24013
	idProcSetArgLocations = 24017
	idProcDostop          = 24021
	idProcMarkStop        = 24023
	idProcMarkCont        = 24024
	idProcMarkExit        = 24025
	idExecStartupGetInfo  = 30500

	// The id of an answer is that of the call and this.
	replyIDDifference = 100
)

// Initial ports of a process, by index.
const (
	_INIT_PORT_PROC      = 3
	_INIT_PORT_CTTYID    = 4
	_INIT_PORT_BOOTSTRAP = 5
	_INIT_PORT_MAX       = 6
)

// _SIGIGN_INDEX is that of the ignored signals in the initial integers.
const _SIGIGN_INDEX = 2

// _EXEC_STACK_ARGS is a flag of exec: arguments and environment are on the
// stack, not in the answer to exec_startup_get_info.
const _EXEC_STACK_ARGS = 0x10

// hurdStderr is the descriptor of the runtime's own reports.
const hurdStderr = 2

// Signals of the Hurd.
const (
	_SIGHUP   = 1
	_SIGINT   = 2
	_SIGQUIT  = 3
	_SIGILL   = 4
	_SIGTRAP  = 5
	_SIGABRT  = 6
	_SIGEMT   = 7
	_SIGFPE   = 8
	_SIGKILL  = 9
	_SIGBUS   = 10
	_SIGSEGV  = 11
	_SIGSYS   = 12
	_SIGPIPE  = 13
	_SIGTERM  = 15
	_SIGURG   = 16
	_SIGSTOP  = 17
	_SIGTSTP  = 18
	_SIGCONT  = 19
	_SIGCHLD  = 20
	_SIGTTIN  = 21
	_SIGTTOU  = 22
	_SIGIO    = 23
	_SIGWINCH = 28
	_SIGINFO  = 29
	_NSIG     = 33
)
