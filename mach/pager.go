package mach

// A memory object is a port that a pager receives from; mapping it
// ([VMMap]) makes the kernel ask the pager for pages. This file has both
// halves of that protocol: the kernel's messages, decoded by [TakePager],
// and the pager's calls to the kernel, whose names begin with MemoryObject.
//
// The messages about one object must be handled in the order in which they
// arrive. A pager must not touch memory that it pages itself: the goroutine
// would wait for the fault without giving up its processor, and the garbage
// collector for the goroutine.

// Ids of the kernel's messages to a pager.
const (
	IDPagerInit            = 2200
	IDPagerTerminate       = 2201
	IDPagerCopy            = 2202
	IDPagerDataRequest     = 2203
	IDPagerDataUnlock      = 2204
	IDPagerLockCompleted   = 2206
	IDPagerSupplyCompleted = 2207
	IDPagerDataReturn      = 2208
	IDPagerChangeCompleted = 2209
)

// PagerInit says that a kernel uses the object for the first time, and waits
// for [MemoryObjectReady].
type PagerInit struct {
	// Control and Name are send rights, the pager's.
	Control, Name Port
	PageSize      uintptr
}

// PagerTerminate says that a kernel has no more use for the object.
type PagerTerminate struct {
	// Control and Name are receive rights, the pager's, to be destroyed with
	// [DestroyReceive]. Send rights to them become dead names.
	Control, Name Port
}

// PagerCopy says that a kernel has copied a part of an object with [CopyCall]:
// the pager keeps what that was as the object New.
type PagerCopy struct {
	Control        Port // a send right, the pager's
	Offset, Length uintptr
	New            Port // a receive right, the pager's
}

// PagerDataRequest asks for a page: [MemoryObjectDataSupply],
// [MemoryObjectDataUnavailable] or [MemoryObjectDataError].
type PagerDataRequest struct {
	Control        Port // a send right, the pager's
	Offset, Length uintptr
	Access         Prot
}

// PagerDataUnlock asks for an access to a page that was supplied or locked
// without: [MemoryObjectLockRequest].
type PagerDataUnlock PagerDataRequest

// PagerDataReturn gives pages back.
type PagerDataReturn struct {
	Control Port // a send right, the pager's
	Offset  uintptr
	// Data is the message's: good until that is destroyed or used again.
	Data  []byte
	Dirty bool // whether it changed since it was supplied
	Kept  bool // whether the kernel keeps the pages
}

// PagerLockCompleted says that a [MemoryObjectLockRequest] has been carried
// out; what it returned has arrived before.
type PagerLockCompleted struct {
	Control        Port // a send right, the pager's
	Offset, Length uintptr
}

// PagerSupplyCompleted answers a [MemoryObjectDataSupply] with a reply port.
type PagerSupplyCompleted struct {
	Control        Port // a send right, the pager's
	Offset, Length uintptr
	Result         KernReturn
	ErrorOffset    uintptr
}

// PagerChangeCompleted answers a [MemoryObjectChangeAttributes] with a reply
// port.
type PagerChangeCompleted struct {
	MayCache bool
	Strategy CopyStrategy
}

// TakePager decodes a message of the kernel to a pager, as one of the types
// above whose names begin with Pager. It is nil if the id is none of theirs.
func TakePager(m *Message) (any, error) {
	word := func() uintptr { return uintptr(m.TakeWord()) }
	var event any
	switch m.ID() {
	case IDPagerInit:
		event = PagerInit{m.TakeSend(), m.TakeSend(), word()}
	case IDPagerTerminate:
		event = PagerTerminate{m.TakeReceive(), m.TakeReceive()}
	case IDPagerCopy:
		event = PagerCopy{m.TakeSend(), word(), word(), m.TakeReceive()}
	case IDPagerDataRequest:
		event = PagerDataRequest{m.TakeSend(), word(), word(), Prot(m.TakeInt32())}
	case IDPagerDataUnlock:
		event = PagerDataUnlock{m.TakeSend(), word(), word(), Prot(m.TakeInt32())}
	case IDPagerDataReturn:
		event = PagerDataReturn{m.TakeSend(), word(), m.TakeData(-1), m.TakeBool(), m.TakeBool()}
	case IDPagerLockCompleted:
		event = PagerLockCompleted{m.TakeSend(), word(), word()}
	case IDPagerSupplyCompleted:
		event = PagerSupplyCompleted{m.TakeSend(), word(), word(), KernReturn(m.TakeInt32()), word()}
	case IDPagerChangeCompleted:
		event = PagerChangeCompleted{m.TakeBool(), CopyStrategy(m.TakeInt32())}
	default:
		return nil, nil
	}
	return event, m.End()
}

// A CopyStrategy is how the kernel copies memory of an object.
type CopyStrategy int32

const (
	CopyNone      CopyStrategy = 0 // at once
	CopyCall      CopyStrategy = 1 // it asks the pager
	CopyDelay     CopyStrategy = 2 // on write; the object changes only through this kernel
	CopyTemporary CopyStrategy = 3
)

// A Return is what [MemoryObjectLockRequest] makes the kernel return.
type Return int32

const (
	ReturnNone  Return = 0
	ReturnDirty Return = 1
	ReturnAll   Return = 2
)

// tell sends a routine that is not answered. The kernel takes it at once.
func (r routine) tell(port Port) error {
	r.SetDest(port, CopySend)
	if err := sendNow(r.Message); err != nil {
		return r.failed(err)
	}
	return nil
}

// tellWaiting is tell for a routine that the kernel carries out in the sender's
// thread and that may wait there, for pages that are busy or wired.
func (r routine) tellWaiting(port Port) error {
	r.SetDest(port, CopySend)
	if err := deliver(r.Message, machMsgBlock); err != nil {
		return r.failed(err)
	}
	return nil
}

// MemoryObjectReady lets the kernel use an object after [PagerInit]. With
// mayCache it keeps pages when nothing is mapped any more.
func MemoryObjectReady(control Port, mayCache bool, s CopyStrategy) error {
	r := begin("memory_object_ready", 2094)
	r.PutBool(mayCache)
	r.PutInt32(int32(s))
	return r.tell(control)
}

// MemoryObjectDataSupply gives the kernel pages: data is a multiple of
// [PageSize] long, starts at a page's boundary in memory and must not be
// written while the kernel uses it. lock has the accesses that are to be
// asked for by [PagerDataUnlock]. Precious pages are returned even if clean.
// If reply, a receive right of this task, is not [Null], it gets a
// [PagerSupplyCompleted].
func MemoryObjectDataSupply(control Port, offset uintptr, data []byte, lock Prot, precious bool, reply Port) error {
	r := begin("memory_object_data_supply", 2093)
	r.PutWord(uint64(offset))
	r.PutOOLData(Byte, data)
	r.supply(lock, precious, reply)
	return r.tell(control)
}

// MemoryObjectDataSupplyMemory is [MemoryObjectDataSupply] of n bytes at addr
// that are given to the kernel, which need not copy them.
func MemoryObjectDataSupplyMemory(control Port, offset, addr uintptr, n int, lock Prot, precious bool, reply Port) error {
	r := begin("memory_object_data_supply", 2093)
	r.PutWord(uint64(offset))
	r.PutMemory(Byte, uint64(addr), n, true)
	r.supply(lock, precious, reply)
	return r.tell(control)
}

func (r routine) supply(lock Prot, precious bool, reply Port) {
	r.PutInt32(int32(lock))
	r.PutBool(precious)
	r.PutRight(reply, MakeSendOnce)
}

// MemoryObjectDataUnavailable says that the object has no data for a range:
// the kernel uses zeros, or the object that this one was copied from.
func MemoryObjectDataUnavailable(control Port, offset, size uintptr) error {
	r := begin("memory_object_data_unavailable", 2039)
	r.PutWord(uint64(offset))
	r.PutWord(uint64(size))
	return r.tell(control)
}

// MemoryObjectDataError says that a range cannot be read: who waits for it
// gets an exception.
func MemoryObjectDataError(control Port, offset, size uintptr, reason KernReturn) error {
	r := begin("memory_object_data_error", 2090)
	r.PutWord(uint64(offset))
	r.PutWord(uint64(size))
	r.PutInt32(int32(reason))
	return r.tell(control)
}

// MemoryObjectLockRequest makes the kernel return pages of a range, then
// forget them (flush) or forbid the accesses in lock. If reply, a receive
// right of this task, is not [Null], it gets a [PagerLockCompleted] at the
// end: a pager passes the object's own port, to see it in order with all
// else. It may wait, but not for what the pager does.
func MemoryObjectLockRequest(control Port, offset, size uintptr, ret Return, flush bool, lock Prot, reply Port) error {
	r := begin("memory_object_lock_request", 2044)
	r.PutWord(uint64(offset))
	r.PutWord(uint64(size))
	r.PutInt32(int32(ret))
	r.PutBool(flush)
	r.PutInt32(int32(lock))
	r.PutRight(reply, MakeSendOnce)
	return r.tellWaiting(control)
}

// MemoryObjectChangeAttributes changes what [MemoryObjectReady] said. If
// reply, a receive right of this task, is not [Null], it gets a
// [PagerChangeCompleted].
func MemoryObjectChangeAttributes(control Port, mayCache bool, s CopyStrategy, reply Port) error {
	r := begin("memory_object_change_attributes", 2095)
	r.PutBool(mayCache)
	r.PutInt32(int32(s))
	r.PutRight(reply, MakeSendOnce)
	return r.tell(control)
}

// MemoryObjectGetAttributes returns what the kernel was told of an object.
func MemoryObjectGetAttributes(control Port) (ready, mayCache bool, s CopyStrategy, err error) {
	r := begin("memory_object_get_attributes", 2040)
	if err := r.call(control); err != nil {
		return false, false, 0, err
	}
	ready, mayCache, s = r.TakeBool(), r.TakeBool(), CopyStrategy(r.TakeInt32())
	return ready, mayCache, s, r.end()
}

// MemoryObjectDestroy makes the kernel stop using an object.
func MemoryObjectDestroy(control Port, reason KernReturn) error {
	r := begin("memory_object_destroy", 2092)
	r.PutInt32(int32(reason))
	return r.tell(control)
}
