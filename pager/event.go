package pager

import "hurdlab/mach"

// A dataReturn is memory_object_data_return, with memory that nobody has looked at.
type dataReturn struct {
	control mach.Port
	offset  uintptr
	addr    uint64
	n       int
	dirty   bool
	kept    bool
}

// takeEvent decodes a message of a kernel: one of package mach's, or a dataReturn. It
// is nil if the message is none. What has been taken when there is an error is in
// the event.
func takeEvent(m *mach.Message) (any, error) {
	if m.ID() != mach.IDPagerDataReturn {
		return mach.TakePager(m)
	}
	e := dataReturn{control: m.TakeSend(), offset: uintptr(m.TakeWord())}
	if m.Err() == nil {
		e.addr, e.n = m.TakeMemory()
	}
	e.dirty, e.kept = m.TakeBool(), m.TakeBool()
	return e, m.End()
}

// drop gives back the rights and the memory of an event.
func (o *Object) drop(event any) {
	k := o.pager.config.Kernel
	switch e := event.(type) {
	case mach.PagerInit:
		k.Release(e.Control, e.Name)
	case mach.PagerTerminate:
		k.Destroy(e.Control, e.Name)
	case mach.PagerCopy:
		k.Release(e.Control)
		k.Destroy(e.New)
	case mach.PagerDataRequest:
		k.Release(e.Control)
	case mach.PagerDataUnlock:
		k.Release(e.Control)
	case mach.PagerLockCompleted:
		k.Release(e.Control)
	case mach.PagerSupplyCompleted:
		k.Release(e.Control)
	case dataReturn:
		k.Release(e.control)
		k.Free(e.addr, e.n)
	}
}

// controlOf returns the control port that an event names.
func controlOf(event any) mach.Port {
	switch e := event.(type) {
	case mach.PagerDataRequest:
		return e.Control
	case mach.PagerDataUnlock:
		return e.Control
	case mach.PagerLockCompleted:
		return e.Control
	case mach.PagerSupplyCompleted:
		return e.Control
	case dataReturn:
		return e.control
	}
	return mach.Null
}
