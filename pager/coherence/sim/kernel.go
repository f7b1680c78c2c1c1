package sim

import (
	"slices"

	"hurdlab/pager/coherence"
)

// A value is what is in a page: the number of the write that put it there. 0 is what
// was there first.
type value uint32

// cutOff marks values of pages that a Resize has cut off, where they still are.
const cutOff value = 1 << 30

type kernelState uint8

const (
	off     kernelState = iota // does not use the object
	on                         // uses it
	leaving                    // has said terminate
	dead                       // has crashed, and the object has not been told
)

// A kernel is one that uses the object.
type kernel struct {
	client   coherence.Client
	state    kernelState
	mute     bool // does not listen any more
	readOnly bool
	hostile  bool
	in       []control // what it has been told and has not done
	lock     lockRun   // that it is doing
	out      []message // what it has said and has not arrived
	pages    []kpage
	asked    []uint8 // requests that have arrived and have not been answered
}

// A kpage is a page as a kernel has it.
type kpage struct {
	val      value
	resident bool
	pending  bool // asked for
	dirty    bool
	forbid   bool // to write
	precious bool
	holding  bool // being returned: nobody may ask for it yet
	unlock   bool // asked to write
	waitR    bool // a thread waits to read
	waitW    bool // one waits to write
	woken    bool // they have been woken, and have not run
	callR    int32
	callW    int32
}

// A control is what a kernel is told.
type control struct {
	kind   controlKind
	r      coherence.Range
	vals   []value
	lock   coherence.Lock
	forbid bool
	prec   bool
	ack    bool
}

type controlKind uint8

const (
	supply controlKind = iota
	fail
	lockRequest
)

// A message is what a kernel says.
type message struct {
	kind  messageKind
	r     coherence.Range
	write bool
	vals  []value
	dirty bool
	kept  bool
	taken int64
}

type messageKind uint8

const (
	request messageKind = iota
	unlock
	returned
	completed
	taken
	terminate
)

// A lockRun is a lock request that is being carried out.
type lockRun struct {
	active bool
	a      coherence.Lock
	next   int64
	batch  message // pages to return, if there are any
}

func (k *kernel) say(m message) { k.out = append(k.out, m) }

// hearControl is what a control port gets.
func (k *kernel) hearControl(c control) {
	if k.state == on {
		k.in = append(k.in, c)
	}
}

func one(p int64) coherence.Range { return coherence.Range{First: p, N: 1} }

// touch has a thread of a kernel access a page, now or when it can.
func (w *World) touch(ki int, p int64, write bool) {
	k := &w.kernels[ki]
	g := &k.pages[p]
	if g.resident && !(write && g.forbid) {
		w.access(ki, p, write)
		return
	}
	if write && !g.waitW {
		g.waitW, g.callW = true, int32(w.step)
	}
	if !write && !g.waitR {
		g.waitR, g.callR = true, int32(w.step)
	}
	switch {
	case g.holding:
	case !g.resident && !g.pending:
		g.pending = true
		k.say(message{kind: request, r: one(p), write: write})
	case g.resident && !g.unlock:
		g.unlock = true
		k.say(message{kind: unlock, r: one(p), write: true})
	}
}

// wake has the threads that wait for a page try again, perhaps later.
func (w *World) wake(ki int, p int64) {
	g := &w.kernels[ki].pages[p]
	if w.c.Lazy {
		g.woken = g.waitR || g.waitW
		return
	}
	w.retry(ki, p)
}

// retry has them try again.
func (w *World) retry(ki int, p int64) {
	g := &w.kernels[ki].pages[p]
	g.woken = false
	if g.waitR {
		w.touch(ki, p, false)
	}
	if g.waitW {
		w.touch(ki, p, true)
	}
}

// access is the access of a thread to a page that it may access.
func (w *World) access(ki int, p int64, write bool) {
	g := &w.kernels[ki].pages[p]
	t := &w.pages[p]
	call := int32(w.step)
	if write {
		if g.waitW {
			call, g.waitW = g.callW, false
		}
		w.next++
		old := g.val&cutOff != 0
		if g.val, g.dirty = w.next, true; old {
			g.val |= cutOff
			return
		}
		t.truth, t.writer = w.next, int8(ki)
		w.record(ki, p, true, g.val, call)
		return
	}
	if g.waitR {
		call, g.waitR = g.callR, false
	}
	if g.val&cutOff != 0 {
		return
	}
	if g.val != t.truth && !t.undefined && !w.kernels[ki].hostile {
		w.failf("stale: kernel %d reads %d in page %d, the last write was %d", ki, g.val, p, t.truth)
	}
	w.record(ki, p, false, g.val, call)
}

// evict has a kernel part with a page.
func (w *World) evict(ki int, p int64) {
	k := &w.kernels[ki]
	g := &k.pages[p]
	if g.dirty || g.precious {
		k.say(message{kind: returned, r: one(p), vals: []value{g.val}, dirty: g.dirty})
	}
	w.lose(ki, p)
	w.wake(ki, p)
}

// lose removes a page from a kernel.
func (w *World) lose(ki int, p int64) {
	g := &w.kernels[ki].pages[p]
	g.resident, g.dirty, g.precious, g.forbid, g.unlock, g.val = false, false, false, false, false, 0
}

// canControl reports whether there is something for a kernel to do.
func (k *kernel) canControl() bool {
	return k.state == on && !k.mute && (k.lock.active || len(k.in) > 0)
}

// control has a kernel do the next step of what it has been told.
func (w *World) control(ki int) {
	k := &w.kernels[ki]
	if k.lock.active {
		w.lockStep(ki)
		return
	}
	c := k.in[0]
	k.in = k.in[1:]
	switch c.kind {
	case supply:
		m := message{kind: taken, r: c.r, taken: c.r.N}
		for i, v := range c.vals {
			p := c.r.First + int64(i)
			g := &k.pages[p]
			if g.resident || g.holding {
				if c.ack { // dropped, with all that follow
					m.taken = int64(i)
					break
				}
				continue // dropped, lock and all
			}
			g.resident, g.pending, g.val, g.forbid, g.precious, g.dirty, g.unlock = true, false, v, c.forbid, c.prec, false, false
			w.wake(ki, p)
		}
		if c.ack {
			k.say(m)
		}
	case fail:
		for p := c.r.First; p < c.r.End() && p < int64(len(k.pages)); p++ {
			g := &k.pages[p]
			if !g.pending {
				continue
			}
			g.pending, g.waitR, g.waitW, g.woken = false, false, false, false
		}
	case lockRequest:
		k.lock = lockRun{active: true, a: c.lock, next: c.lock.Range.First}
		if !c.lock.Reply {
			for k.lock.active { // nobody can tell
				w.lockStep(ki)
			}
		}
	}
}

// lockStep does a page of a lock request, or says something.
func (w *World) lockStep(ki int) {
	k := &w.kernels[ki]
	l := &k.lock
	end := min(l.a.Range.End(), int64(len(k.pages)))
	for len(l.batch.vals) == 0 && l.next < end && !k.pages[l.next].resident {
		l.next++
	}
	if l.next >= end {
		if len(l.batch.vals) > 0 {
			w.sendBatch(ki)
			return
		}
		l.active = false
		if l.a.Reply {
			k.say(message{kind: completed, r: l.a.Range})
		}
		return
	}
	p := l.next
	g := &k.pages[p]
	need := g.resident && (g.dirty && l.a.Return != coherence.ReturnNone || g.precious && l.a.Return == coherence.ReturnAll)
	if n := len(l.batch.vals); n > 0 && (!need || l.batch.dirty != g.dirty || n == w.c.Batch) {
		w.sendBatch(ki)
		return
	}
	l.next++
	v, dirty := g.val, g.dirty
	if l.a.Flush {
		w.lose(ki, p)
	} else {
		g.forbid, g.unlock = l.a.Forbid == coherence.ForbidWrite, false
	}
	if need {
		if len(l.batch.vals) == 0 {
			l.batch = message{kind: returned, r: coherence.Range{First: p}, dirty: dirty, kept: !l.a.Flush}
		}
		l.batch.vals = append(l.batch.vals[:len(l.batch.vals):len(l.batch.vals)], v)
		l.batch.r.N++
		g.holding = l.a.Flush
		if !l.a.Flush {
			g.dirty = false
		}
	}
	if !g.holding {
		w.wake(ki, p)
	}
}

func (w *World) sendBatch(ki int) {
	k := &w.kernels[ki]
	b := k.lock.batch
	k.lock.batch = message{}
	k.say(b)
	for p := b.r.First; p < b.r.End(); p++ {
		if g := &k.pages[p]; g.holding {
			g.holding = false
			w.wake(ki, p)
		}
	}
}

// canUnmap reports whether a kernel can terminate: nothing is going on.
func (k *kernel) canUnmap() bool {
	if k.state != on || k.mute || k.lock.active {
		return false
	}
	for i := range k.pages {
		if g := &k.pages[i]; g.pending || g.waitR || g.waitW {
			return false
		}
	}
	return true
}

// unmap has a kernel end its use of the object.
func (w *World) unmap(ki int) {
	k := &w.kernels[ki]
	for p := range k.pages {
		if k.pages[p].resident {
			w.evict(ki, int64(p))
		}
	}
	k.say(message{kind: terminate})
	k.state, k.in = leaving, nil
}

// crash ends a kernel. What it has said and has not arrived is lost, too.
func (w *World) crash(ki int) {
	k := &w.kernels[ki]
	k.state = dead
	w.die(ki)
}

// die loses all that is in a kernel.
func (w *World) die(ki int) {
	k := &w.kernels[ki]
	k.in, k.out, k.lock, k.mute = nil, nil, lockRun{}, false
	for p := range k.pages {
		k.pages[p] = kpage{}
		k.asked[p] = 0
		if t := &w.pages[p]; t.writer == int8(ki) && t.truth > t.got && !t.undefined {
			// What is left of it is what the object has.
			w.record(-1, int64(p), true, t.got, int32(w.step))
			for i := range w.syncs {
				w.syncs[i].want[p] = 0
			}
			t.truth = t.got
		}
	}
}

// gone clears what is left of a kernel that the object knows to be gone.
func (w *World) gone(ki int) {
	k := &w.kernels[ki]
	k.state, k.client = off, 0
	clear(k.asked)
}

// cut marks all that is anywhere of pages from first on.
func (w *World) cut(first int64) {
	mark := func(r coherence.Range, vals []value) []value {
		vals = slices.Clone(vals)
		for i := range vals {
			if r.First+int64(i) >= first {
				vals[i] |= cutOff
			}
		}
		return vals
	}
	for i := range w.kernels {
		k := &w.kernels[i]
		for p := first; p < w.c.Pages; p++ {
			if g := &k.pages[p]; g.resident {
				g.val |= cutOff
			}
		}
		for j := range k.in {
			k.in[j].vals = mark(k.in[j].r, k.in[j].vals)
		}
		for j := range k.out {
			k.out[j].vals = mark(k.out[j].r, k.out[j].vals)
		}
		k.lock.batch.vals = mark(k.lock.batch.r, k.lock.batch.vals)
	}
}
