package sim

import (
	"fmt"
	"strings"

	"hurdlab/pager/coherence"
)

// A Verb is what happens.
type Verb uint8

const (
	ReadPage   Verb = iota // a thread of kernel K reads page P
	WritePage              // it writes
	Evict                  // kernel K parts with page P
	Step                   // kernel K does the next of what it has been told
	Arrive                 // message N of kernel K arrives
	LoadDo                 // the store reads page P; N: it fails
	LoadDone               // it says so
	StoreDo                // the store writes page P; N: it fails
	StoreDone              // it says so
	ReserveDo              // it answers; N: it fails
	Unmap                  // kernel K ends its use
	Attach                 // it begins again
	Crash                  // it dies
	Notice                 // the object is told so
	Mute                   // it does not listen any more
	Clock                  // N ticks go by
	Sync                   // N pages from P
	TakeRead               // N pages from P
	TakeWrite              // N pages from P
	LocalWrite             // who has taken pages writes to them
	Release                // and releases them
	Truncate               // to P pages, which are taken
	Cut                    // to P pages, which are not
	Grow                   // to P pages
	Run                    // threads of kernel K that waited for page P go on
	Enemy                  // kernel 0 says something that N stands for
	verbs
)

var verbNames = [verbs]string{"read", "write", "evict", "step", "arrive", "load", "loaded", "store", "stored", "reserve", "unmap", "attach", "crash", "notice",
	"mute", "clock", "sync", "takeread", "takewrite", "local", "release", "truncate", "cut", "grow", "run", "enemy"}

func (v Verb) String() string { return verbNames[v] }

// An Op is one event.
type Op struct {
	Verb Verb
	K    int8
	P    int8
	N    int32
}

func (o Op) String() string { return fmt.Sprintf("%v %d %d %d", o.Verb, o.K, o.P, o.N) }

// ParseOp reads what String writes.
func ParseOp(s string) (Op, error) {
	var o Op
	var name string
	if _, err := fmt.Sscan(s, &name, &o.K, &o.P, &o.N); err != nil {
		return o, fmt.Errorf("operation %q: %w", s, err)
	}
	for v, x := range verbNames {
		if x == name {
			o.Verb = Verb(v)
			return o, nil
		}
	}
	return o, fmt.Errorf("no operation is called %q", name)
}

// ParseScript reads operations, one a line.
func ParseScript(s string) (ops []Op, err error) {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		o, err := ParseOp(line)
		if err != nil {
			return nil, err
		}
		ops = append(ops, o)
	}
	return ops, nil
}

// can reports whether an operation can be done.
func (w *World) can(o Op) bool {
	if o.K < 0 || int(o.K) >= len(w.kernels) || o.P < 0 || int64(o.P) > w.c.Pages {
		return false
	}
	k := &w.kernels[o.K]
	p := int64(o.P)
	switch o.Verb {
	case ReadPage, WritePage, Evict:
		if k.state != on || p >= w.c.Pages || k.hostile {
			return false
		}
		g := &k.pages[p]
		if o.Verb == Evict {
			return g.resident
		}
		if o.Verb == WritePage {
			return !k.readOnly && !g.waitW
		}
		return !g.waitR
	case Step:
		return k.canControl()
	case Arrive:
		return int(o.N) < w.arrivable(k) && o.N >= 0
	case LoadDo:
		return p < w.c.Pages && w.loads[p].state == asked
	case LoadDone:
		return p < w.c.Pages && w.loads[p].state == done
	case StoreDo:
		return p < w.c.Pages && w.stores[p].state == asked
	case StoreDone:
		return p < w.c.Pages && w.stores[p].state == done
	case ReserveDo:
		return p < w.c.Pages && w.reserve[p]
	case Unmap:
		return k.canUnmap() && !k.hostile
	case Attach:
		return k.state == off && !w.closed
	case Crash:
		return k.state == on || k.state == leaving
	case Notice:
		return k.state == dead
	case Mute:
		return k.state == on && !k.mute && w.c.Object.Answer > 0
	case Clock:
		return o.N > 0
	case Sync, TakeRead, TakeWrite:
		return p < w.size && o.N > 0 && len(w.takes)+len(w.syncs) < 6
	case LocalWrite:
		return w.takenAt(p) != nil
	case Release:
		return int(o.N) < len(w.takes) && o.N >= 0
	case Truncate:
		t := w.takenAt(p)
		return t != nil && t.r.First == p && t.r.End() >= w.size && p < w.size
	case Cut:
		return p < w.size
	case Grow:
		return p > w.size && w.quietFrom(w.size)
	case Run:
		return p < w.c.Pages && k.state == on && k.pages[p].woken
	case Enemy:
		return k.hostile && k.state == on
	}
	return false
}

// takenAt returns who has taken a page for writing.
func (w *World) takenAt(p int64) *take {
	for i := range w.takes {
		if t := &w.takes[i]; t.granted && t.write && p >= t.r.First && p < min(t.r.End(), w.size) {
			return t
		}
	}
	return nil
}

// quietFrom reports whether the store has nothing to do with pages from first on.
func (w *World) quietFrom(first int64) bool {
	for p := first; p < w.c.Pages; p++ {
		if w.loads[p].state != none || w.stores[p].state != none || w.reserve[p] {
			return false
		}
	}
	return true
}

// Do does an operation if it can be done.
func (w *World) Do(o Op) bool {
	if w.fail != nil || !w.can(o) {
		return false
	}
	w.step++
	if w.c.Trace != nil {
		w.tracef("%v", o)
	}
	ki, p := int(o.K), int64(o.P)
	k := &w.kernels[ki]
	r := coherence.Range{First: p, N: int64(o.N)}
	fault := o.N != 0
	switch o.Verb {
	case ReadPage:
		w.touch(ki, p, false)
	case WritePage:
		w.touch(ki, p, true)
	case Evict:
		w.evict(ki, p)
	case Step:
		w.control(ki)
	case Arrive:
		w.arrive(ki, int(o.N))
	case LoadDo:
		w.storeDo(p, false, fault)
	case LoadDone:
		w.storeAnswer(p, false)
	case StoreDo:
		w.storeDo(p, true, fault)
	case StoreDone:
		w.storeAnswer(p, true)
	case ReserveDo:
		w.reserve[p] = false
		var err error
		if fault {
			err = errStore
			w.faults[p]++
		}
		w.core.Reserved(p, err)
	case Unmap:
		w.unmap(ki)
	case Attach:
		w.attach(ki)
	case Crash:
		w.crash(ki)
	case Notice:
		c := k.client
		w.gone(ki)
		w.someoneDied()
		w.core.Gone(c)
	case Mute:
		k.mute = true
	case Clock:
		w.now += coherence.Tick(o.N)
		w.core.Tick(w.now)
	case Sync:
		w.sync(r)
	case TakeRead:
		w.take(r, false)
	case TakeWrite:
		w.take(r, true)
	case LocalWrite:
		t := w.takenAt(p)
		for n := t.r.First; n < min(t.r.End(), w.size); n++ {
			w.next++
			w.store[n] = w.next
			w.pages[n] = truth{truth: w.next, got: w.next, writer: -1}
			w.record(-1, n, true, w.next, int32(w.step))
		}
	case Release:
		t := w.takes[o.N]
		if t.granted {
			for n := t.r.First; n < min(t.r.End(), w.size); n++ {
				if x := w.pages[n]; x.truth != w.store[n] && !x.undefined {
					w.failf("taken: the store has %d in page %d, the last write was %d", w.store[n], n, x.truth)
				}
			}
		}
		w.takes = append(w.takes[:o.N:o.N], w.takes[o.N+1:]...)
		w.core.Release(t.token)
	case Truncate, Cut:
		for n := p; n < w.size; n++ {
			w.store[n] = 0
			w.pages[n] = truth{writer: -1, undefined: true}
			for i := range w.syncs {
				w.syncs[i].want[n] = 0
			}
		}
		w.cut(p)
		w.size = p
		w.core.Resize(p)
	case Grow:
		for n := w.size; n < p; n++ {
			w.pages[n] = truth{writer: -1}
			w.store[n] = 0
			w.record(-1, n, true, 0, int32(w.step))
		}
		w.size = p
		w.core.Resize(p)
	case Run:
		w.retry(ki, p)
	case Enemy:
		w.enemy(o.N)
	}
	w.act()
	w.check()
	return true
}

func (w *World) sync(r coherence.Range) {
	w.token++
	s := syncWait{token: w.token, r: r, want: make([]value, len(w.pages))}
	for p := range w.pages {
		if !w.pages[p].undefined {
			s.want[p] = w.pages[p].truth
		}
	}
	w.syncs = append(w.syncs, s)
	w.core.Sync(s.token, r)
}

func (w *World) take(r coherence.Range, write bool) {
	w.token++
	t := take{token: w.token, r: r, write: write}
	w.takes = append(w.takes, t)
	a := coherence.Read
	if write {
		a |= coherence.Write
	}
	w.core.Take(t.token, r, a)
}

// enemy says something of which the kernel knows nothing.
func (w *World) enemy(n int32) {
	x := uint32(n)
	next := func(m uint32) uint32 {
		v := x % m
		x /= m
		return v
	}
	m := message{kind: messageKind(next(5)), write: next(2) == 0, dirty: next(2) == 0, kept: next(2) == 0}
	m.r = coherence.Range{First: int64(next(uint32(w.c.Pages+2))) - 1, N: int64(next(4))}
	m.taken = m.r.N - 1
	if m.kind == returned {
		for range m.r.N {
			m.vals = append(m.vals, 1<<31)
		}
	}
	w.hear(0, m)
}
