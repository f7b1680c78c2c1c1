package mach

import (
	"errors"
	"fmt"
	"syscall"
)

// A KernReturn is the code that a Mach call ended with: of the kernel, of the
// message system, of a device, of a server's stubs, or a Hurd error number.
// All of them share one number space. It is an error unless it is 0: see
// [KernReturn.Err].
type KernReturn int32

// Codes of the kernel.
const (
	KernSuccess           KernReturn = 0
	KernInvalidAddress    KernReturn = 1
	KernProtectionFailure KernReturn = 2
	KernNoSpace           KernReturn = 3
	KernInvalidArgument   KernReturn = 4
	KernFailure           KernReturn = 5
	KernResourceShortage  KernReturn = 6
	KernNotReceiver       KernReturn = 7
	KernNoAccess          KernReturn = 8
	KernMemoryFailure     KernReturn = 9
	KernMemoryError       KernReturn = 10
	KernNotInSet          KernReturn = 12
	KernNameExists        KernReturn = 13
	KernAborted           KernReturn = 14
	KernInvalidName       KernReturn = 15
	KernInvalidTask       KernReturn = 16
	KernInvalidRight      KernReturn = 17
	KernInvalidValue      KernReturn = 18
	KernUrefsOverflow     KernReturn = 19
	KernInvalidCapability KernReturn = 20
	KernRightExists       KernReturn = 21
	KernInvalidHost       KernReturn = 22
	KernMemoryPresent     KernReturn = 23
	KernWriteProtection   KernReturn = 24
	KernTerminated        KernReturn = 26
	KernTimedOut          KernReturn = 27
	KernInterrupted       KernReturn = 28
)

// Codes of the message stubs of clients and servers (MIG).
const (
	MigTypeError      KernReturn = -300 // client: the reply has other items
	MigReplyMismatch  KernReturn = -301 // client: the reply is to something else
	MigRemoteError    KernReturn = -302
	MigBadID          KernReturn = -303 // server: no such routine
	MigBadArguments   KernReturn = -304 // server: the request has other items
	MigNoReply        KernReturn = -305 // see [NoReply]; never sent
	MigException      KernReturn = -306
	MigArrayTooLarge  KernReturn = -307
	MigServerDied     KernReturn = -308 // client: the server dropped the request
	MigDestroyRequest KernReturn = -309
)

// Codes of the message system.
const (
	SendInvalidData   KernReturn = 0x10000002
	SendInvalidDest   KernReturn = 0x10000003 // the port is dead or no right
	SendTimedOut      KernReturn = 0x10000004
	SendInterrupted   KernReturn = 0x10000007
	SendMsgTooSmall   KernReturn = 0x10000008
	SendInvalidReply  KernReturn = 0x10000009
	SendInvalidRight  KernReturn = 0x1000000a
	SendInvalidMemory KernReturn = 0x1000000c
	SendNoBuffer      KernReturn = 0x1000000d
	SendInvalidType   KernReturn = 0x1000000f
	SendInvalidHeader KernReturn = 0x10000010
	RcvInvalidName    KernReturn = 0x10004002
	RcvTimedOut       KernReturn = 0x10004003
	RcvTooLarge       KernReturn = 0x10004004
	RcvInterrupted    KernReturn = 0x10004005
	RcvPortChanged    KernReturn = 0x10004006
	RcvInvalidData    KernReturn = 0x10004008
	RcvPortDied       KernReturn = 0x10004009
	RcvInSet          KernReturn = 0x1000400a
	RcvHeaderError    KernReturn = 0x1000400b
	RcvBodyError      KernReturn = 0x1000400c
)

// Codes of devices.
const (
	DevIOError          KernReturn = 2500
	DevWouldBlock       KernReturn = 2501
	DevNoSuchDevice     KernReturn = 2502
	DevAlreadyOpen      KernReturn = 2503
	DevDown             KernReturn = 2504
	DevInvalidOperation KernReturn = 2505
	DevInvalidRecnum    KernReturn = 2506
	DevInvalidSize      KernReturn = 2507
	DevNoMemory         KernReturn = 2508
	DevReadOnly         KernReturn = 2509
)

type codeInfo struct{ name, meaning string }

var codes = map[KernReturn]codeInfo{
	KernSuccess:           {"KERN_SUCCESS", "success"},
	NotMach:               {"no Mach", "this system is not on a Mach kernel: build the program with GOOS=hurd"},
	KernInvalidAddress:    {"KERN_INVALID_ADDRESS", "no memory is mapped at the address"},
	KernProtectionFailure: {"KERN_PROTECTION_FAILURE", "the memory's protection forbids it"},
	KernNoSpace:           {"KERN_NO_SPACE", "no room in the address space or name space"},
	KernInvalidArgument:   {"KERN_INVALID_ARGUMENT", "invalid argument"},
	KernFailure:           {"KERN_FAILURE", "the call could not be done"},
	KernResourceShortage:  {"KERN_RESOURCE_SHORTAGE", "the kernel is out of memory"},
	KernNotReceiver:       {"KERN_NOT_RECEIVER", "the task does not hold the receive right"},
	KernNoAccess:          {"KERN_NO_ACCESS", "access is restricted, often to holders of the privileged host port"},
	KernMemoryFailure:     {"KERN_MEMORY_FAILURE", "the memory object is gone"},
	KernMemoryError:       {"KERN_MEMORY_ERROR", "the pager could not supply the data"},
	KernNotInSet:          {"KERN_NOT_IN_SET", "the port is in no port set"},
	KernNameExists:        {"KERN_NAME_EXISTS", "the name is in use"},
	KernAborted:           {"KERN_ABORTED", "the operation was aborted"},
	KernInvalidName:       {"KERN_INVALID_NAME", "the name denotes no right"},
	KernInvalidTask:       {"KERN_INVALID_TASK", "no such task; it may have ended"},
	KernInvalidRight:      {"KERN_INVALID_RIGHT", "the name denotes another kind of right"},
	KernInvalidValue:      {"KERN_INVALID_VALUE", "a value is out of range"},
	KernUrefsOverflow:     {"KERN_UREFS_OVERFLOW", "too many references to one right"},
	KernInvalidCapability: {"KERN_INVALID_CAPABILITY", "the right given is not valid"},
	KernRightExists:       {"KERN_RIGHT_EXISTS", "the task holds the right under another name"},
	KernInvalidHost:       {"KERN_INVALID_HOST", "the port is not the host's"},
	KernMemoryPresent:     {"KERN_MEMORY_PRESENT", "the page was there already"},
	KernWriteProtection:   {"KERN_WRITE_PROTECTION_FAILURE", "the page is protected against writing"},
	KernTerminated:        {"KERN_TERMINATED", "the object has been terminated"},
	KernTimedOut:          {"KERN_TIMEDOUT", "the time is up"},
	KernInterrupted:       {"KERN_INTERRUPTED", "the wait was interrupted"},

	MigTypeError:      {"MIG_TYPE_ERROR", "the reply is not of the form expected: the server speaks another version of the protocol"},
	MigReplyMismatch:  {"MIG_REPLY_MISMATCH", "the reply is to another request"},
	MigRemoteError:    {"MIG_REMOTE_ERROR", "the server detected an error"},
	MigBadID:          {"MIG_BAD_ID", "the server does not have this routine"},
	MigBadArguments:   {"MIG_BAD_ARGUMENTS", "the server finds the request malformed"},
	MigNoReply:        {"MIG_NO_REPLY", "the server will reply later"},
	MigException:      {"MIG_EXCEPTION", "the server raised an exception"},
	MigArrayTooLarge:  {"MIG_ARRAY_TOO_LARGE", "an array does not fit the caller's buffer"},
	MigServerDied:     {"MIG_SERVER_DIED", "the server ended or dropped the request without an answer"},
	MigDestroyRequest: {"MIG_DESTROY_REQUEST", "the request was destroyed without an answer"},

	SendInvalidData:   {"MACH_SEND_INVALID_DATA", "the message's memory cannot be read"},
	SendInvalidDest:   {"MACH_SEND_INVALID_DEST", "the destination port is dead or not a right to send: its server is gone"},
	SendTimedOut:      {"MACH_SEND_TIMED_OUT", "the queue of the destination port stayed full"},
	SendInterrupted:   {"MACH_SEND_INTERRUPTED", "sending was interrupted"},
	SendMsgTooSmall:   {"MACH_SEND_MSG_TOO_SMALL", "the message is shorter than its items"},
	SendInvalidReply:  {"MACH_SEND_INVALID_REPLY", "the reply port of the message is not valid"},
	SendInvalidRight:  {"MACH_SEND_INVALID_RIGHT", "the message contains a right that the task does not hold"},
	SendInvalidMemory: {"MACH_SEND_INVALID_MEMORY", "out-of-line data of the message cannot be read"},
	SendNoBuffer:      {"MACH_SEND_NO_BUFFER", "the kernel is out of memory for messages"},
	SendInvalidType:   {"MACH_SEND_INVALID_TYPE", "the message contains an invalid descriptor"},
	SendInvalidHeader: {"MACH_SEND_INVALID_HEADER", "the message's header is invalid"},
	RcvInvalidName:    {"MACH_RCV_INVALID_NAME", "the name is not a receive right or port set"},
	RcvTimedOut:       {"MACH_RCV_TIMED_OUT", "no message arrived in time"},
	RcvTooLarge:       {"MACH_RCV_TOO_LARGE", "the message is larger than the buffer"},
	RcvInterrupted:    {"MACH_RCV_INTERRUPTED", "receiving was interrupted"},
	RcvPortChanged:    {"MACH_RCV_PORT_CHANGED", "the receive right moved away"},
	RcvInvalidData:    {"MACH_RCV_INVALID_DATA", "the buffer cannot be written"},
	RcvPortDied:       {"MACH_RCV_PORT_DIED", "the receive right was destroyed"},
	RcvInSet:          {"MACH_RCV_IN_SET", "the port is in a port set, which receives for it"},
	RcvHeaderError:    {"MACH_RCV_HEADER_ERROR", "no room for the rights in the message's header"},
	RcvBodyError:      {"MACH_RCV_BODY_ERROR", "no room for some of the message's rights or memory"},

	DevIOError:          {"D_IO_ERROR", "input or output error of the device"},
	DevWouldBlock:       {"D_WOULD_BLOCK", "the device is not ready"},
	DevNoSuchDevice:     {"D_NO_SUCH_DEVICE", "the kernel has no such device"},
	DevAlreadyOpen:      {"D_ALREADY_OPEN", "the device is open already"},
	DevDown:             {"D_DEVICE_DOWN", "the device is down"},
	DevInvalidOperation: {"D_INVALID_OPERATION", "the device cannot do this"},
	DevInvalidRecnum:    {"D_INVALID_RECNUM", "no such record on the device"},
	DevInvalidSize:      {"D_INVALID_SIZE", "the device does not transfer this size"},
	DevNoMemory:         {"D_NO_MEMORY", "no memory for the device"},
	DevReadOnly:         {"D_READ_ONLY", "the device is read-only"},
}

// hurdErrno is set in Hurd error numbers.
const hurdErrno = 0x40000000

// Errno returns the code of a Hurd error number, such as 2 for ENOENT.
func Errno(n int) KernReturn { return KernReturn(hurdErrno | n) }

// Errno returns the Hurd error number in k, if it is one.
func (k KernReturn) Errno() (n int, ok bool) {
	if uint32(k)&^0xffff == hurdErrno {
		return int(k & 0xffff), true
	}
	return 0, false
}

// Err returns k as an error, or nil if it is success.
func (k KernReturn) Err() error {
	if k == KernSuccess {
		return nil
	}
	return k
}

// Name returns k's name in Mach's headers, or its number.
func (k KernReturn) Name() string {
	if c, ok := codes[k.plain()]; ok {
		return c.name
	}
	if n, ok := k.Errno(); ok {
		return fmt.Sprintf("errno %d", n)
	}
	if uint32(k)>>28 == 1 {
		return fmt.Sprintf("%#x", uint32(k))
	}
	return fmt.Sprint(int32(k))
}

// Bits that some codes of the message system carry in addition, which tell
// what resource was short.
const rcvDetail = 0x3c00

// plain is k without detail bits.
func (k KernReturn) plain() KernReturn {
	if uint32(k)>>28 == 1 {
		return k &^ rcvDetail
	}
	return k
}

func (k KernReturn) Error() string {
	if c, ok := codes[k.plain()]; ok {
		return fmt.Sprintf("%s (%s)", c.meaning, c.name)
	}
	if n, ok := k.Errno(); ok {
		if s := errnoText(n); s != "" {
			return s
		}
		return fmt.Sprintf("Hurd error %d", n)
	}
	return fmt.Sprintf("unknown Mach error %s", k.Name())
}

// Is makes errors.Is find Hurd error numbers as [syscall.Errno] under
// GOOS=hurd, and through it the general errors such as fs.ErrNotExist.
func (k KernReturn) Is(target error) bool {
	n, ok := k.Errno()
	return ok && errnoIs(n, target)
}

// Code returns the code that tells err to a client: the KernReturn in it, or
// else the [syscall.Errno] (under GOOS=hurd), or else EIO. It is 0 for nil.
func Code(err error) KernReturn {
	if err == nil {
		return KernSuccess
	}
	if k, ok := errors.AsType[KernReturn](err); ok {
		return k
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok && errnoIsHurd {
		return Errno(int(e))
	}
	return Errno(5)
}

// NotMach is what every trap ends with on an OS other than the Hurd. No
// kernel returns it.
const NotMach KernReturn = -1
