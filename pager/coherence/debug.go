package coherence

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Stats counts what an object keeps.
type Stats struct {
	Clients  int
	Held     int // pages that somebody has
	Holdings int // different ways in which they are held
	Active   int // pages that are not at rest
	Waiting  int // requests and unlocks
	Locks    int // that are not answered
	Data     int // pages whose data is kept until it is stored
	Unstored int // those of them that could not be stored
}

// Stats counts what the object keeps.
func (o *Object) Stats() Stats {
	s := Stats{Clients: len(o.clients), Active: len(o.active), Holdings: len(o.holdings.index), Unstored: o.unstored}
	for _, c := range o.holdings.chunks {
		s.Held += c.used
	}
	for _, c := range o.clients {
		s.Locks += len(c.locks)
	}
	for _, p := range o.active {
		s.Waiting += len(p.queue) + len(p.parked)
		if p.data != nil {
			s.Data++
		}
	}
	return s
}

// Dump describes all that the object keeps but the pages at rest that nobody has, in
// an order that depends on nothing else: objects with equal dumps behave alike.
func (o *Object) Dump() string {
	var b strings.Builder
	flag := func(on bool, format string, args ...any) {
		if on {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	fmt.Fprintf(&b, "pages %d", o.pages)
	flag(o.closing, "closing")
	b.WriteByte('\n')
	for _, id := range slices.Sorted(maps.Keys(o.clients)) {
		c := o.clients[id]
		fmt.Fprintf(&b, "client %d", id)
		flag(c.readOnly, "read-only")
		flag(c.least > o.config.Hold, "least %d", c.least)
		flag(c.expect >= 0 && o.config.ReadAhead > 1, "expects %d after %d", c.expect, c.window)
		for _, l := range c.locks {
			fmt.Fprintf(&b, " %v(%v)", l.kind, l.r)
			flag(l.answered, "answered, %d missing", l.missing)
		}
		for _, x := range c.coming {
			flag(x.lock == nil, "coming %v", x.r)
			flag(x.lock != nil, "failing %v", x.r)
		}
		flag(len(c.locks) > 0 && o.config.Answer > 0, "since %d", c.since-o.now)
		b.WriteByte('\n')
	}
	for _, x := range o.ops {
		fmt.Fprintf(&b, "take %d %v", x.token, x.r)
		flag(x.write, "write")
		flag(x.closing, "close")
		flag(x.granted, "granted")
		flag(x.started && !x.granted, "waits for %d", x.left)
		flag(x.err != nil, "error %v", x.err)
		b.WriteByte('\n')
	}
	pages := make(map[int64]bool)
	for n := range o.holdings.in(everything) {
		pages[n] = true
	}
	for n := range o.active {
		pages[n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(pages)) {
		fmt.Fprintf(&b, "page %d%s%s\n", n, o.holderNames(n), o.describe(o.active[n]))
	}
	return b.String()
}

func (k lockKind) String() string { return [...]string{"flush", "discard", "reader", "grant"}[k] }
func (k wantKind) String() string { return [...]string{"read", "write", "unlock"}[k] }

func (o *Object) holderNames(n int64) string {
	var b strings.Builder
	h := slices.Clone(o.holdings.at(n))
	slices.SortFunc(h, func(x, y holder) int { return int(o.slots[x.slot()].id) - int(o.slots[y.slot()].id) })
	for _, x := range h {
		fmt.Fprintf(&b, " %d:", o.slots[x.slot()].id)
		switch {
		case x&holdsWrite != 0:
			b.WriteByte('W')
		default:
			b.WriteByte('R')
		}
		if x&holdsMaybe != 0 {
			b.WriteByte('?')
		}
	}
	return b.String()
}

func (o *Object) describe(p *page) string {
	if p == nil {
		return ""
	}
	var b strings.Builder
	flag := func(on bool, format string, args ...any) {
		if on {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	wants := func(name string, list []want) {
		flag(len(list) > 0, name)
		for _, w := range list {
			fmt.Fprintf(&b, " %d:%v", w.c.id, w.kind)
			flag(w.doubt, "in doubt")
			flag(w.recalled && o.config.Hold > 0 && o.config.Acks, "recalled")
			flag(w.reserved, "reserved")
			flag(w.asked && p.loading, "asked")
			for _, x := range o.ops { // who is before whom
				flag(x.seq < w.seq, "after %d", x.token)
			}
		}
	}
	flag(p.data != nil, "data %v", p.data)
	flag(p.writing != nil, "storing %v", p.writing)
	flag(p.failed != nil, "not stored: %v", p.failed)
	flag(p.bad != nil, "lost: %v", p.bad)
	flag(p.loading, "loading")
	flag(p.stale, "in vain")
	flag(p.alone, "alone")
	flag(p.fresh != nil, "fresh %v", p.fresh)
	for _, c := range p.ahead {
		fmt.Fprintf(&b, " ahead %d", c.id)
	}
	flag(p.reserving, "reserving")
	flag(p.held, "held")
	h := o.holds[p.n]
	flag(h.until > o.now, "until %d", h.until-o.now)
	flag(h.until > o.now && h.waits != 0, "comes to %d", h.waits)
	wants("queue", p.queue)
	wants("parked", p.parked)
	for _, l := range p.locks {
		fmt.Fprintf(&b, " %v of %d", l.kind, l.c.id)
		flag(l.fence, "fence")
	}
	for _, x := range p.ops {
		fmt.Fprintf(&b, " take %d", x.token)
	}
	for _, y := range p.syncs {
		fmt.Fprintf(&b, " sync %d", y.s.token)
		flag(y.lock != nil, "locked")
		flag(y.lock == nil, "for %d", p.version-y.version)
	}
	return b.String()
}

// Check returns what is wrong with the object, if anything.
func (o *Object) Check() error {
	if len(o.touched) > 0 || o.startable {
		return fmt.Errorf("%d pages have not been looked at", len(o.touched))
	}
	held := make(map[*client]int)
	waiting := make(map[*client]int)
	kinds := make(map[uint32]int)
	failed := 0
	for id, c := range o.clients {
		if c.id != id || o.slots[c.slot] != c {
			return fmt.Errorf("client %d has not its own slot", id)
		}
	}
	for n, c := range o.holdings.chunks {
		used := 0
		for i, k := range c.words {
			if k == 0 {
				continue
			}
			used++
			kinds[k]++
			h := o.holdings.kinds[k].holding
			page := n*chunkPages + int64(i)
			for _, x := range h {
				if x.slot() >= len(o.slots) || o.slots[x.slot()] == nil {
					return fmt.Errorf("page %d is held by nobody", page)
				}
				held[o.slots[x.slot()]]++
				switch {
				case x&holdsWrite != 0 && len(h) > 1: // G1
					return fmt.Errorf("page %d has a writer and others:%s", page, o.holderNames(page))
				case x&holdsWrite != 0 && o.slots[x.slot()].readOnly, x&holdsMaybe != 0 && o.config.Order == Weak:
					return fmt.Errorf("page %d is held in a wrong way:%s", page, o.holderNames(page))
				}
			}
		}
		if used != c.used || used == 0 {
			return fmt.Errorf("chunk %d has %d pages, not %d", n, used, c.used)
		}
	}
	for k, n := range kinds {
		if o.holdings.kinds[k].pages != n || o.holdings.index[o.holdings.kinds[k].key()] != k {
			return fmt.Errorf("holding %d has %d pages, not %d", k, n, o.holdings.kinds[k].pages)
		}
	}
	if len(o.holdings.index) != len(kinds) {
		return fmt.Errorf("%d holdings, %d are used", len(o.holdings.index), len(kinds))
	}
	left := make(map[*op]int)
	for n, p := range o.active {
		bad := func(format string, args ...any) error {
			return fmt.Errorf("page %d%s%s: %s", n, o.holderNames(n), o.describe(p), fmt.Sprintf(format, args...))
		}
		if p.n != n || p.touched {
			return bad("is not looked at")
		}
		if p.idle() {
			return bad("is at rest")
		}
		if p.failed != nil {
			failed++
		}
		switch {
		case p.failed != nil && (p.data == nil || p.writing != nil):
			return bad("has failed and has not")
		case p.data != nil && p.writing == nil && p.failed == nil:
			return bad("nobody stores it")
		case p.stale && !p.loading, p.fresh != nil && len(p.queue) == 0:
			return bad("has been loaded")
		}
		seq := uint64(0)
		for _, list := range [][]want{p.queue, p.parked} {
			for _, w := range list {
				waiting[w.c]++
				if o.clients[w.c.id] != w.c {
					return bad("somebody waits who is gone")
				}
			}
		}
		for _, w := range p.queue {
			if w.seq <= seq {
				return bad("is not in order")
			}
			seq = w.seq
		}
		for _, l := range p.locks {
			if !slices.Contains(l.c.locks, l) || !l.r.has(n) || o.clients[l.c.id] != l.c {
				return bad("a lock is not its client's")
			}
		}
		for _, x := range p.ops {
			left[x]++
		}
		if w := p.head(); w != nil && !p.held && !p.recalls() && !p.loading && !p.reserving && p.writing == nil && !o.blocked(n, w.kind != wantRead, w.seq) {
			return bad("nobody serves it")
		}
	}
	if failed != o.unstored {
		return fmt.Errorf("%d pages could not be stored, not %d", failed, o.unstored)
	}
	for _, c := range o.clients {
		if held[c] != c.pages || waiting[c] != c.waiting {
			return fmt.Errorf("client %d holds %d and waits for %d, not %d and %d", c.id, held[c], waiting[c], c.pages, c.waiting)
		}
	}
	for _, x := range o.ops {
		if left[x] != x.left {
			return fmt.Errorf("take %d waits for %d pages, not %d", x.token, left[x], x.left)
		}
	}
	return nil
}
