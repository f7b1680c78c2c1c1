package rootfs

import (
	"context"
	"math"
	"slices"
	"sync"

	"hurdlab/mach"
)

// A store is what a memory object shows: the contents of a file.
type store interface {
	Size() int64
	ReadAt(b []byte, off int64) (int, error)
	// WriteBack writes a page that was changed in memory, as far as it is
	// within the size.
	WriteBack(b []byte, off int64) error
	// Reserve makes sure that a page can be written back.
	Reserve(off int64) error
}

// A kernel is what a memory object says to the kernel that uses it: the calls
// of package mach whose names begin with MemoryObject.
type kernel interface {
	Ready(control mach.Port) error
	// Supply gives the kernel pages that fill fills.
	Supply(control mach.Port, off int64, n int, lock mach.Prot, fill func([]byte) error) error
	Error(control mach.Port, off int64, n int) error
	// Lock asks for dirty pages, then forgets pages (flush) and forbids
	// accesses. The answer goes to reply, a port of this task, unless that is
	// null.
	Lock(control mach.Port, off int64, n int, ret mach.Return, flush bool, lock mach.Prot, reply mach.Port) error
	// Forget stops caching an object that is not mapped.
	Forget(control mach.Port) error
	// ReadOnly makes a port by which an object can only be mapped for reading.
	ReadOnly(object mach.Port) (mach.Port, error)
	// Copy makes another send right of one. It fails if the port is dead.
	Copy(p mach.Port) error
	// Release gives back send rights, and Destroy receive rights.
	Release(p ...mach.Port)
	Destroy(p ...mach.Port)
}

// An object is a memory object: the pages of one file, as the one kernel that
// maps it knows them. The kernel's events come one after the other ([object.handle]);
// what reads and changes the file otherwise calls [object.sync] and
// [object.change] from any goroutine.
//
// # What is known of the kernel's pages
//
// A page is in supplied if the kernel may have it: it forgets clean ones
// without a word. A page is in writable if the kernel may have changed it.
// Pages are supplied without the right to write, unless they are asked for
// with it, so that the kernel asks (data_unlock) before it changes one: that
// is when the memory to write it back is reserved, and how reads of a file
// that is only mapped for reading cost nothing.
//
// Both sets change when a message is sent, not when it is answered: the
// kernel carries out what it is told within the call, in order, and what it
// says meanwhile comes later.
type object struct {
	kernel kernel
	store  store

	// changing has the one who changes the file: a channel, because waiting
	// for it can be given up.
	changing chan struct{}

	mu       sync.Mutex
	port     mach.Port // the object's own
	control  mach.Port // a send right, or null before init
	supplied pageSet
	writable pageSet
	locks    []*lockWait
	// held are the pages that the kernel does not get at present: [held[0],
	// held[1]). What it asks for them is in waiting.
	held    [2]int64
	waiting []any
}

// A lockWait is a lock request that the kernel has not answered.
type lockWait struct {
	off, n int64
	done   chan struct{}
}

const (
	pageSize = mach.PageSize
	// cluster is how many pages, aligned, are supplied when one of them is
	// asked for.
	cluster = 16
	// maxWaiting bounds waiting. The kernel asks once for a page.
	maxWaiting = 4096
	// lastPage is the last page of an object that a kernel of 32 bits can
	// map.
	lastPage = math.MaxUint32 / pageSize
)

func newObject(k kernel, s store) *object {
	o := &object{kernel: k, store: s, changing: make(chan struct{}, 1)}
	o.supplied, o.writable = pageSet{}, pageSet{}
	return o
}

// setPort tells the object its own port, before the first right to it is
// given away.
func (o *object) setPort(p mach.Port) {
	o.mu.Lock()
	o.port = p
	o.mu.Unlock()
}

// handle does what a message from the kernel asks for: [mach.TakePager].
// Messages that are not from the kernel that uses the object are ignored.
func (o *object) handle(event any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch e := event.(type) {
	case mach.PagerInit:
		if o.control != mach.Null || e.PageSize != pageSize || !e.Control.Valid() {
			o.kernel.Release(e.Control, e.Name)
			return
		}
		o.control = e.Control
		o.kernel.Release(e.Name)
		_ = o.kernel.Ready(o.control)
	case mach.PagerTerminate:
		if e.Control == o.control {
			o.terminated()
		}
		o.kernel.Destroy(e.Control, e.Name)
	case mach.PagerCopy:
		o.kernel.Release(e.Control)
		o.kernel.Destroy(e.New)
	case mach.PagerDataRequest:
		if o.from(e.Control) {
			o.request(e)
		}
	case mach.PagerDataUnlock:
		if o.from(e.Control) {
			o.unlock(e)
		}
	case mach.PagerDataReturn:
		if o.from(e.Control) {
			o.returned(e)
		}
	case mach.PagerLockCompleted:
		if o.from(e.Control) {
			o.completed(int64(e.Offset), int64(e.Length))
		}
	case mach.PagerSupplyCompleted:
		o.kernel.Release(e.Control)
	case gone:
		if o.control != mach.Null {
			o.terminated()
		}
	}
}

// gone is the event that nobody has a right to the object's port.
type gone struct{}

// discard gives back the rights of a message that is no good.
func (o *object) discard(event any) {
	switch e := event.(type) {
	case mach.PagerInit:
		o.kernel.Release(e.Control, e.Name)
	case mach.PagerTerminate:
		o.kernel.Destroy(e.Control, e.Name)
	case mach.PagerCopy:
		o.kernel.Release(e.Control)
		o.kernel.Destroy(e.New)
	case mach.PagerDataRequest:
		o.kernel.Release(e.Control)
	case mach.PagerDataUnlock:
		o.kernel.Release(e.Control)
	case mach.PagerDataReturn:
		o.kernel.Release(e.Control)
	case mach.PagerLockCompleted:
		o.kernel.Release(e.Control)
	case mach.PagerSupplyCompleted:
		o.kernel.Release(e.Control)
	}
}

// from reports whether a message is from the kernel that uses the object, and
// gives back the right that came with it: one to control is kept.
func (o *object) from(control mach.Port) bool {
	o.kernel.Release(control)
	return control.Valid() && control == o.control
}

// terminated forgets the kernel: it has returned what it changed.
func (o *object) terminated() {
	o.kernel.Release(o.control)
	o.control = mach.Null
	clear(o.supplied)
	clear(o.writable)
	for _, l := range o.locks {
		close(l.done)
	}
	o.locks, o.waiting = nil, nil
}

// wait reports whether a page is held, and keeps the event for later if it is.
func (o *object) wait(page int64, event any) bool {
	if page < o.held[0] || page >= o.held[1] {
		return false
	}
	if len(o.waiting) < maxWaiting {
		o.waiting = append(o.waiting, event)
	}
	return true
}

func (o *object) request(e mach.PagerDataRequest) {
	if e.Offset%pageSize != 0 || e.Length != pageSize {
		return // not what this kernel does
	}
	page := int64(e.Offset / pageSize)
	if o.wait(page, e) {
		return
	}
	size := o.store.Size()
	if page*pageSize >= size {
		_ = o.kernel.Error(o.control, page*pageSize, pageSize)
		return
	}
	first, n, lock := page, int64(1), mach.ProtWrite
	if e.Access&mach.ProtWrite != 0 {
		if o.store.Reserve(page*pageSize) != nil {
			_ = o.kernel.Error(o.control, page*pageSize, pageSize)
			return
		}
		lock = mach.ProtNone
	} else {
		// With it, its neighbours that the kernel has not.
		free := func(p int64) bool {
			return p >= 0 && p*pageSize < size && !o.supplied.has(p) && (p < o.held[0] || p >= o.held[1])
		}
		for ; first%cluster > 0 && free(first-1); first-- {
			n++
		}
		for ; (first+n)%cluster > 0 && free(first+n); n++ {
		}
	}
	fill := func(b []byte) error {
		k, err := o.store.ReadAt(b, first*pageSize)
		if k < len(b) && int64(k) < size-first*pageSize {
			return err // short of the end of the file
		}
		return nil
	}
	if o.kernel.Supply(o.control, first*pageSize, int(n)*pageSize, lock, fill) != nil {
		_ = o.kernel.Error(o.control, page*pageSize, pageSize)
		return
	}
	for p := first; p < first+n; p++ {
		o.supplied.add(p)
	}
	if lock == mach.ProtNone {
		o.writable.add(page)
	}
}

func (o *object) unlock(e mach.PagerDataUnlock) {
	page := int64(e.Offset / pageSize)
	if o.wait(page, e) {
		return
	}
	if e.Access&mach.ProtWrite == 0 || page*pageSize >= o.store.Size() || o.store.Reserve(page*pageSize) != nil {
		// There is no memory to write it back to. Without the page, the kernel
		// asks again and is told.
		o.supplied.remove(page)
		_ = o.kernel.Lock(o.control, page*pageSize, pageSize, mach.ReturnNone, true, mach.ProtNone, mach.Null)
		return
	}
	o.writable.add(page)
	_ = o.kernel.Lock(o.control, page*pageSize, pageSize, mach.ReturnNone, false, mach.ProtNone, mach.Null)
}

func (o *object) returned(e mach.PagerDataReturn) {
	for at := 0; at+pageSize <= len(e.Data); at += pageSize {
		off := int64(e.Offset) + int64(at)
		if e.Dirty {
			// The page was reserved: it cannot fail for want of memory.
			_ = o.store.WriteBack(e.Data[at:at+pageSize], off)
		}
		if !e.Kept {
			o.supplied.remove(off / pageSize)
			o.writable.remove(off / pageSize)
		}
	}
}

func (o *object) completed(off, n int64) {
	for i, l := range o.locks {
		if l.off == off && l.n == n {
			close(l.done)
			o.locks = slices.Delete(o.locks, i, i+1)
			return
		}
	}
}

// lock sends a lock request for the pages from first to last, and returns what
// is closed when it has been carried out.
func (o *object) lock(first, last int64, flush bool) <-chan struct{} {
	l := &lockWait{first * pageSize, (last - first + 1) * pageSize, make(chan struct{})}
	o.locks = append(o.locks, l)
	forbid := mach.ProtWrite
	if flush {
		forbid = mach.ProtNone
	}
	if o.kernel.Lock(o.control, l.off, int(l.n), mach.ReturnDirty, flush, forbid, o.port) != nil {
		o.completed(l.off, l.n)
	}
	return l.done
}

// sync writes what the kernel has changed of n bytes at off to the file.
func (o *object) sync(ctx context.Context, off, n int64) error {
	from, to := off/pageSize, pageAfter(off, n)
	o.mu.Lock()
	var wait []<-chan struct{}
	// What others have asked for is on its way.
	for _, l := range o.locks {
		if l.off/pageSize < to && l.off+l.n > from*pageSize {
			wait = append(wait, l.done)
		}
	}
	if first, last, any := o.writable.span(from, to); any && o.control != mach.Null {
		o.writable.removeSpan(first, last+1)
		wait = append(wait, o.lock(first, last, false))
	}
	o.mu.Unlock()
	for _, done := range wait {
		select {
		case <-done:
		case <-ctx.Done():
			// What was not returned yet still will be.
			return context.Cause(ctx)
		}
	}
	return nil
}

// change calls fn while the kernel has none of the n bytes at off: what it had
// changed of them is in the file.
func (o *object) change(ctx context.Context, off, n int64, fn func() error) error {
	select {
	case o.changing <- struct{}{}:
		defer func() { <-o.changing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	from, to := off/pageSize, pageAfter(off, n)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.control == mach.Null {
		return fn()
	}
	first, last, any := o.supplied.span(from, to)
	if !any {
		return fn()
	}
	o.held = [2]int64{from, to}
	defer o.let()
	o.supplied.removeSpan(first, last+1)
	o.writable.removeSpan(first, last+1)
	done := o.lock(first, last, true)
	o.mu.Unlock()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	o.mu.Lock()
	if err != nil {
		return err
	}
	return fn()
}

// changeWrite is change for a write of n bytes at off. If it makes the file
// longer, what a mapping has written beyond the old end must not show.
func (o *object) changeWrite(ctx context.Context, off, n int64, fn func() error) error {
	if size := o.store.Size(); off+n > size && off > size {
		off, n = size, off+n-size
	}
	return o.change(ctx, off, n, fn)
}

// changeSize is change for a new size.
func (o *object) changeSize(ctx context.Context, size int64, fn func() error) error {
	return o.change(ctx, min(size, o.store.Size()), math.MaxInt64, fn)
}

// let does what was asked for while pages were held.
func (o *object) let() {
	o.held = [2]int64{}
	waiting := o.waiting
	o.waiting = nil
	for _, e := range waiting {
		switch e := e.(type) {
		case mach.PagerDataRequest:
			o.request(e)
		case mach.PagerDataUnlock:
			o.unlock(e)
		}
	}
}

// forget has the kernel keep no pages of a file that nobody maps.
func (o *object) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.control != mach.Null {
		_ = o.kernel.Forget(o.control)
	}
}

// pageAfter returns the first page beyond n bytes at off.
func pageAfter(off, n int64) int64 {
	if n > lastPage*pageSize-off {
		return lastPage
	}
	return (off + n + pageSize - 1) / pageSize
}

// A pageSet is a set of pages, in words of 64.
type pageSet map[int64]uint64

func (s pageSet) has(p int64) bool { return s[p/64]&(1<<(p%64)) != 0 }

func (s pageSet) add(p int64) { s[p/64] |= 1 << (p % 64) }

func (s pageSet) remove(p int64) {
	if w := s[p/64] &^ (1 << (p % 64)); w != 0 {
		s[p/64] = w
	} else {
		delete(s, p/64)
	}
}

// span returns the first and last page of the set from from on and below to.
func (s pageSet) span(from, to int64) (first, last int64, any bool) {
	first = math.MaxInt64
	for k, w := range s {
		if (k+1)*64 <= from || k*64 >= to {
			continue
		}
		for i := range int64(64) {
			if p := k*64 + i; w&(1<<i) != 0 && p >= from && p < to {
				first, last, any = min(first, p), max(last, p), true
			}
		}
	}
	return first, last, any
}

func (s pageSet) removeSpan(from, to int64) {
	for k := range s {
		if (k+1)*64 <= from || k*64 >= to {
			continue
		}
		for p := max(k*64, from); p < min((k+1)*64, to); p++ {
			s.remove(p)
		}
	}
}
