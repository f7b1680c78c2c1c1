package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"hurdlab/internal/simulation"
	"hurdlab/pager/coherence"
)

// Bounds are how much threads, kernels and others may do in an exploration.
type Bounds struct {
	Reads, Writes int // by threads
	Evicts        int // pages that kernels part with
	Unmaps        int // kernels that terminate, and begin again
	Crashes       int // kernels that die, and begin again
	Syncs         int
	Takes         int // for reading or for writing, and a write then
	Mutes         int // kernels that do not answer any more
	Faults        int // loads and stores that fail, if the store takes its time
	States        int // to give up after; 0: none
}

func (b Bounds) String() string {
	return fmt.Sprintf("%d reads, %d writes, %d evictions, %d unmaps, %d crashes, %d syncs, %d takes, %d silent, %d faults", b.Reads, b.Writes, b.Evicts, b.Unmaps, b.Crashes, b.Syncs, b.Takes, b.Mutes, b.Faults)
}

// count takes what an operation does of the bounds.
func (b *Bounds) count(o Op) {
	switch o.Verb {
	case LoadDo, StoreDo:
		b.Faults += int(o.N)
	case ReadPage:
		b.Reads++
	case WritePage:
		b.Writes++
	case Evict:
		b.Evicts++
	case Unmap:
		b.Unmaps++
	case Crash:
		b.Crashes++
	case Sync:
		b.Syncs++
	case TakeRead, TakeWrite:
		b.Takes++
	case Mute:
		b.Mutes++
	}
}

// Explore tries all orders in which the kernels of a world, whose threads do what they like
// within bounds, can do things and say them. A failure is as short as can be. Kernels
// begin without pages; which of two that have done nothing yet acts first is not tried.
func Explore(b Bounds, c Config) (simulation.Explored, *Failure) {
	c.History, c.CheckEvery = false, 1
	x := simulation.Search[*World, Op, Bounds]{
		Most:        b.States,
		Clone:       (*World).clone,
		Do:          (*World).Do,
		Failed:      func(w *World) bool { return w.fail != nil },
		Finish:      (*World).Finish,
		Happening:   (*World).happening,
		Choose:      b.choose,
		Count:       func(used Bounds, o Op) Bounds { used.count(o); return used },
		AppendState: func(buf []byte, w *World) []byte { return w.appendDump(buf) },
	}
	e, w, ops := x.Run(NewWorld(c))
	if w != nil {
		return e, &Failure{Config: c, Ops: ops, Violation: w.fail}
	}
	return e, nil
}

// choose returns what threads, kernels and fate may do.
func (b Bounds) choose(w *World, used Bounds) (ops []Op) {
	add := func(ok bool, o Op) {
		if ok && w.can(o) {
			ops = append(ops, o)
		}
	}
	fresh := false // a kernel that has done nothing yet
	for i := range w.kernels {
		k := &w.kernels[i]
		if k.state == on && !k.readOnly && k.untouched() && k.client == coherence.Client(i+1) {
			if fresh {
				continue
			}
			fresh = true
		}
		for p := range w.pages {
			o := Op{K: int8(i), P: int8(p)}
			o.Verb = ReadPage
			add(used.Reads < b.Reads, o)
			o.Verb = WritePage
			add(used.Writes < b.Writes, o)
			o.Verb = Evict
			add(used.Evicts < b.Evicts, o)
		}
		add(used.Unmaps < b.Unmaps, Op{Verb: Unmap, K: int8(i)})
		add(used.Crashes < b.Crashes, Op{Verb: Crash, K: int8(i)})
		add(used.Mutes < b.Mutes, Op{Verb: Mute, K: int8(i)})
		add(true, Op{Verb: Attach, K: int8(i)})
	}
	for p := range w.pages {
		add(used.Faults < b.Faults, Op{Verb: LoadDo, P: int8(p), N: 1})
		add(used.Faults < b.Faults, Op{Verb: StoreDo, P: int8(p), N: 1})
	}
	n := int32(w.size)
	add(used.Syncs < b.Syncs, Op{Verb: Sync, N: n})
	add(used.Takes < b.Takes, Op{Verb: TakeRead, N: n})
	add(used.Takes < b.Takes, Op{Verb: TakeWrite, N: n})
	for i, t := range w.takes {
		if t.granted && t.write && w.pages[t.r.First].writer != -1 {
			add(true, Op{Verb: LocalWrite, P: int8(t.r.First)})
		}
		add(true, Op{Verb: Release, N: int32(i)})
	}
	if b.Mutes > 0 {
		if at, ok := w.core.Next(); ok && len(w.happening()) == 0 {
			add(true, Op{Verb: Clock, N: int32(at - w.now)})
		}
	}
	return ops
}

// untouched reports whether a kernel has done nothing yet.
func (k *kernel) untouched() bool {
	return len(k.in) == 0 && len(k.out) == 0 && !k.lock.active && !slices.ContainsFunc(k.pages, func(g kpage) bool { return g != kpage{} })
}

// appendDump writes all that may make a difference to what can happen later. Values are
// numbered as they occur: only which are the same matters, and which are the newest.
func (w *World) appendDump(b []byte) []byte {
	var seen []value
	val := func(v value) {
		i := slices.Index(seen, v)
		if i < 0 {
			i = len(seen)
			seen = append(seen, v)
		}
		b = append(b, 'v')
		b = strconv.AppendInt(b, int64(i), 10)
	}
	flag := func(f ...bool) {
		n := 0
		for _, f := range f {
			n *= 2
			if f {
				n++
			}
		}
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(n), 36)
	}
	num := func(n int64) {
		b = append(b, ' ')
		b = strconv.AppendInt(b, n, 10)
	}
	for p := range w.pages {
		t := &w.pages[p]
		b = append(b, '\n')
		val(t.truth)
		val(t.got)
		val(w.store[p])
		num(int64(t.writer))
		flag(t.undefined, w.reserve[p], w.store[p] < t.got)
		num(int64(w.faults[p]))
		for _, j := range []job{w.loads[p], w.stores[p]} {
			num(int64(j.state))
			flag(j.err != nil)
			val(j.val)
		}
	}
	message := func(m *message) {
		num(int64(m.kind))
		num(m.r.First)
		num(m.r.N)
		flag(m.write, m.dirty, m.kept)
		num(m.taken)
		for i, v := range m.vals {
			val(v)
			flag(v > w.pages[m.r.First+int64(i)].got)
		}
	}
	for i := range w.kernels {
		k := &w.kernels[i]
		b = append(b, '\n')
		num(int64(k.client))
		num(int64(k.state))
		flag(k.mute, k.lock.active)
		for p := range k.pages {
			g := &k.pages[p]
			b = append(b, ',')
			val(g.val)
			flag(g.resident, g.pending, g.dirty, g.forbid, g.precious, g.holding, g.unlock, g.waitR, g.waitW, g.woken)
			num(int64(k.asked[p]))
		}
		lock := func(a coherence.Lock) {
			num(a.Range.First)
			num(a.Range.N)
			num(int64(a.Return))
			flag(a.Flush, a.Forbid == coherence.ForbidWrite, a.Reply)
		}
		for _, c := range k.in {
			b = append(b, '<')
			num(int64(c.kind))
			num(c.r.First)
			flag(c.forbid, c.prec, c.ack)
			for _, v := range c.vals {
				val(v)
			}
			if c.kind == lockRequest {
				lock(c.lock)
			}
		}
		if k.lock.active {
			b = append(b, '!')
			lock(k.lock.a)
			num(k.lock.next)
			message(&k.lock.batch)
		}
		for j := range k.out {
			b = append(b, '>')
			message(&k.out[j])
		}
	}
	for _, t := range w.takes {
		b = append(b, "\ntake"...)
		num(int64(t.token))
		flag(t.write, t.granted)
	}
	for _, s := range w.syncs {
		b = append(b, "\nsync"...)
		num(int64(s.token))
		flag(s.died)
		for p, v := range s.want {
			flag(v <= w.store[p], v <= w.pages[p].got)
			val(v)
		}
	}
	b = append(b, '\n')
	d := w.core.Dump()
	for i := 0; i < len(d); i++ {
		if d[i] == 'v' && i+1 < len(d) && d[i+1] >= '0' && d[i+1] <= '9' {
			n := 0
			for i++; i < len(d) && d[i] >= '0' && d[i] <= '9'; i++ {
				n = n*10 + int(d[i]-'0')
			}
			i--
			val(value(n))
			continue
		}
		b = append(b, d[i])
	}
	return b
}

// clone returns a world in the same state, which shares nothing with this one that
// changes.
func (w *World) clone() *World {
	x := *w
	x.core = w.core.(*coherence.Object).Clone()
	x.kernels = slices.Clone(w.kernels)
	for i := range x.kernels {
		k := &x.kernels[i]
		k.in, k.out = slices.Clone(k.in), slices.Clone(k.out)
		k.pages, k.asked = slices.Clone(k.pages), slices.Clone(k.asked)
		k.lock.batch.vals = slices.Clone(k.lock.batch.vals)
	}
	x.pages, x.store = slices.Clone(w.pages), slices.Clone(w.store)
	x.loads, x.stores = slices.Clone(w.loads), slices.Clone(w.stores)
	x.reserve, x.faults = slices.Clone(w.reserve), slices.Clone(w.faults)
	x.takes = slices.Clone(w.takes)
	x.syncs = slices.Clone(w.syncs)
	for i := range x.syncs {
		x.syncs[i].want = slices.Clone(x.syncs[i].want)
	}
	x.data = maps.Clone(w.data)
	return &x
}
