package coherence

import "slices"

// head returns whose turn it is, or nil.
func (p *page) head() *want {
	if len(p.queue) == 0 {
		return nil
	}
	return &p.queue[0]
}

// pop ends the turn of the head.
func (o *Object) pop(p *page) {
	p.queue[0].c.waiting--
	p.queue = slices.Delete(p.queue, 0, 1)
	o.touch(p)
}

// advance does what there is to do for a page.
func (o *Object) advance(p *page) {
	for o.serve(p) {
	}
	o.advanceOps(p)
	o.advanceSyncs(p)
	if p.fresh != nil && len(p.queue) == 0 {
		for _, c := range p.ahead {
			if o.undisturbed(p.n, c) && len(c.coming) < maxComing && !p.recalls() && p.data == nil {
				o.supply(c, p.n, p.fresh, ForbidWrite, false, false, true)
			}
		}
		p.ahead = nil
		o.discard(p.fresh)
		p.fresh = nil
	}
}

// blocked reports whether an op is in the way of a want, or of one that would come now.
func (o *Object) blocked(n int64, write bool, seq uint64) bool {
	return slices.ContainsFunc(o.ops, func(x *op) bool { return x.blocks(n, write, seq) })
}

// serve serves the head of the queue, if it can be. It returns whether there is a new
// one.
func (o *Object) serve(p *page) bool {
	w := p.head()
	if w == nil || o.blocked(p.n, w.kind != wantRead, w.seq) { // T2
		return false
	}
	c := w.c
	if w.doubt && p.recalls() { // no error before the one before it is known to have arrived
		return false
	}
	how, holds := o.holdings.at(p.n).of(c)
	if w.kind == wantUnlock && !holds { // R4: it has been taken meanwhile
		o.pop(p)
		return true
	}
	err := p.bad // E5
	switch {
	case p.n >= o.pages: // E3
		err = ErrBeyond
	case c.readOnly && w.kind == wantWrite: // S2
		err = ErrReadOnly
	}
	if err != nil {
		if w.kind == wantUnlock {
			o.refuse(p, c)
		} else {
			o.failWant(p, *w, err)
		}
		o.pop(p)
		return true
	}
	if o.config.Reserve && w.kind != wantRead && !w.reserved { // E6
		if !p.reserving {
			p.reserving = true
			o.do(Reserve{p.n})
		}
		return false
	}
	if o.recall(p, w, how) || p.recalls() { // G2
		if w.kind != wantUnlock && o.writer(p) == nil {
			o.load(p, w) // meanwhile
		}
		return false
	}
	ack := o.contended(p, w)
	if w.kind == wantUnlock {
		if how&holdsWrite == 0 {
			o.hold(c, p.n, how|holdsWrite)
			o.changed(p)
		}
		if ack {
			o.await(&lock{c: c, r: Range{p.n, 1}, kind: lockGrant})
		}
		o.do(Lock{Client: c.id, Range: Range{p.n, 1}, Forbid: ForbidNothing, Reply: ack}) // G4
		o.stamp(p, c, ack)
		o.pop(p)
		return true
	}
	d := p.data // D2
	if d == nil {
		d = p.fresh
	}
	if d == nil {
		o.load(p, w)
		return false
	}
	if w.kind == wantWrite {
		o.supply(c, p.n, d, ForbidNothing, w.doubt, ack, false) // G3
		o.changed(p)
	} else {
		o.supply(c, p.n, d, ForbidWrite, w.doubt, ack, false)
		if p.data == nil && !w.asked { // somebody else's load: what is around it is for this one as well
			o.loadFor(c, p.n, o.around(c, p.n))
		}
	}
	o.stamp(p, c, ack)
	o.pop(p)
	return true
}

// contended reports whether others want what is about to be granted, so that it may be
// called back as soon as it has been sent (P2).
func (o *Object) contended(p *page, w *want) bool {
	return o.config.Hold > 0 && o.config.Acks && (w.recalled || slices.ContainsFunc(p.queue, func(x want) bool {
		return x.c != w.c && (x.kind != wantRead || w.kind != wantRead)
	}))
}

// recall calls the page back from those who are in the way of a want, and reports
// whether there are any.
func (o *Object) recall(p *page, w *want, how holder) bool {
	h := o.holdings.at(p.n)
	others := false
	inTheWay := func(x holder) bool {
		switch {
		case x.slot() != w.c.slot:
			return w.kind != wantRead || x&holdsWrite != 0
		case w.kind == wantRead: // G6
			return x&holdsWrite != 0
		default: // G6
			return w.kind == wantWrite || x&holdsMaybe != 0
		}
	}
	some := false
	for _, x := range h {
		if inTheWay(x) {
			some = true
			others = others || x.slot() != w.c.slot
		}
	}
	if !some {
		return false
	}
	w.recalled = w.recalled || others
	if others && o.holds[p.n].until > o.now { // P2
		p.held = true
		return true
	}
	for _, x := range h {
		if inTheWay(x) {
			o.take(p, o.slots[x.slot()], w.kind != wantRead || x.slot() == w.c.slot)
		}
	}
	return true
}

// take calls a page back from a client, unless that has been done.
func (o *Object) take(p *page, c *client, all bool) {
	if all && !p.flushed(c) || !all && p.recalled(c) == nil {
		o.lock(o.recallKind(all), c, p)
	}
}

// recallKind is the kind of a recall (R1).
func (o *Object) recallKind(all bool) lockKind {
	if all || o.config.Order == Weak { // W2
		return lockFlush
	}
	return lockReader
}

// lock sends Locks for neighbouring pages to a client.
func (o *Object) lock(kind lockKind, c *client, pages ...*page) {
	for len(pages) > 0 {
		k := min(len(pages), o.config.Limits.Lock)
		l := &lock{c: c, r: Range{pages[0].n, int64(k)}, kind: kind}
		a := Lock{Client: c.id, Range: l.r, Return: ReturnDirty, Reply: true}
		switch kind {
		case lockFlush:
			a.Flush = true
		case lockDiscard:
			a.Flush, a.Return = true, ReturnNone
		case lockReader:
			a.Forbid = ForbidWrite
		}
		if o.config.Order == Weak { // W2
			a.Return = ReturnAll
		}
		if h, ok := o.holdings.at(pages[0].n).of(c); ok {
			l.writer = h&holdsWrite != 0
		}
		o.await(l)
		for _, p := range pages[:k] {
			p.locks = append(p.locks, l)
		}
		o.do(a)
		pages = pages[k:]
	}
}

// await notes a lock that is to be answered.
func (o *Object) await(l *lock) {
	if len(l.c.locks) == 0 {
		l.c.since = o.now
	}
	l.c.locks = append(l.c.locks, l)
}

// stamp begins the minimum hold of a page that somebody has asked for and got: now, or,
// with ack, when the client says that it has it.
func (o *Object) stamp(p *page, c *client, ack bool) {
	switch {
	case o.config.Hold <= 0:
	case ack:
		g := grant{p.n, o.now + o.config.Arrival}
		o.arriving = append(o.arriving, g)
		o.holds[p.n] = hold{g.until, c.id}
	default:
		o.keep(p.n, c.least)
	}
}

// keep has who has a page keep it for a time from now on.
func (o *Object) keep(n int64, time Tick) {
	if time <= 0 {
		delete(o.holds, n)
		return
	}
	g := grant{n, o.now + time}
	i, _ := slices.BinarySearchFunc(o.recent, g, func(x, y grant) int {
		if x.until <= y.until {
			return -1
		}
		return 1
	})
	o.recent = slices.Insert(o.recent, i, g)
	o.holds[n] = hold{until: g.until}
}

// used says whether a page that was called back from who had asked to write to it, for
// another, had been changed: if not, it was there for too short a time for that client.
func (o *Object) used(c *client, changed bool) {
	switch {
	case !o.config.Acks:
	case changed:
		c.least = max(o.config.Hold, c.least-max(1, c.least/32))
	default:
		c.early++
		c.least = min(2*c.least, 50*o.config.Hold)
	}
}

// Early returns how often a page was called back from a client that had asked to write to
// it, and had not, and the minimum hold of its pages at present.
func (o *Object) Early(id Client) (n uint64, least Tick) {
	if c := o.clients[id]; c != nil {
		return c.early, c.least
	}
	return 0, 0
}

// deposit makes data what is in a page.
func (o *Object) deposit(p *page, d Data) {
	o.drop(p)
	p.bad = nil
	p.data = d
	o.changed(p)
	if p.writing == nil {
		o.store(p)
	}
}

// drop forgets what is in a page.
func (o *Object) drop(p *page) {
	if p.data != nil && p.data != p.writing {
		o.discard(p.data)
	}
	if p.failed != nil {
		p.failed = nil
		o.unstored--
	}
	p.data = nil
	p.version++
}

// changed forgets what the store has said is in a page (D4).
func (o *Object) changed(p *page) {
	o.discard(p.fresh)
	p.fresh, p.ahead = nil, nil
	p.stale = p.loading
}

// store has the data of a page stored.
func (o *Object) store(p *page) {
	if p.failed != nil {
		p.failed = nil
		o.unstored--
	}
	p.writing, p.wrote = p.data, p.version
	for i := len(o.actions) - 1; i >= max(0, len(o.actions)-4); i-- {
		if a, ok := o.actions[i].(Store); ok && a.First+int64(len(a.Data)) == p.n {
			a.Data = append(a.Data, p.data)
			o.actions[i] = a
			return
		}
	}
	o.do(Store{p.n, []Data{p.data}})
}

// load asks the store for a page, and for others that the client may want next.
func (o *Object) load(p *page, w *want) {
	if p.data != nil || p.fresh != nil || p.writing != nil || p.stale || w.asked && p.loading {
		return
	}
	r := Range{p.n, 1}
	if w.kind == wantRead && !p.alone {
		r = o.around(w.c, p.n)
	}
	w.asked = true
	p.alone = false
	o.loadFor(w.c, p.n, r)
}

// loadFor asks the store for the pages of a range that are not being loaded; those
// but one are supplied to the client without having been asked for.
func (o *Object) loadFor(c *client, asked int64, r Range) {
	start := len(o.actions)
	for n := r.First; n < r.End(); n++ {
		q := o.active[n]
		if q == nil {
			q = o.activate(n)
		}
		if n != asked && !slices.Contains(q.ahead, c) {
			q.ahead = append(q.ahead, c)
		}
		if q.loading || q.fresh != nil {
			continue
		}
		q.loading = true
		if k := len(o.actions); k > start {
			if a, ok := o.actions[k-1].(Load); ok && a.Range.End() == n {
				a.Range.N++
				o.actions[k-1] = a
				continue
			}
		}
		o.do(Load{Range{n, 1}})
	}
}

// around returns the pages to supply with one that a client wants to read (P1).
func (o *Object) around(c *client, n int64) Range {
	free := func(n int64) bool {
		if n < 0 || n >= o.pages || !o.undisturbed(n, c) {
			return false
		}
		q := o.active[n]
		return q == nil || len(q.queue) == 0 && len(q.parked) == 0 && !q.recalls() && q.data == nil && q.writing == nil && q.bad == nil && !q.stale
	}
	first, end := n, n+int64(o.config.Cluster)
	if n == c.expect {
		c.window = min(max(c.window, 1)*2, int64(o.config.ReadAhead))
		end = n + max(c.window, int64(o.config.Cluster))
	} else {
		first = n - n%int64(o.config.Cluster)
		end = first + int64(o.config.Cluster)
		c.window = int64(o.config.Cluster)
	}
	r := Range{n, 1}
	for r.First > first && free(r.First-1) {
		r.First--
		r.N++
	}
	for r.End() < end && free(r.End()) {
		r.N++
	}
	c.expect = r.End()
	return r
}

// undisturbed reports whether nobody is disturbed if a client gets a page to read that
// it has not asked for.
func (o *Object) undisturbed(n int64, c *client) bool {
	h := o.holdings.at(n)
	_, holds := h.of(c)
	_, written := h.writer()
	return !holds && !written && !o.closing && !o.blocked(n, false, o.seq+1)
}

// advanceOps looks whether the page is still in the way of ops.
func (o *Object) advanceOps(p *page) {
	for _, x := range slices.Clone(p.ops) {
		if w := p.head(); w != nil && w.seq < x.seq { // T2
			return
		}
		wait := p.recalls()
		for _, y := range o.holdings.at(p.n) {
			if x.write || y&holdsWrite != 0 {
				wait = true
				o.take(p, o.slots[y.slot()], x.write)
			}
		}
		if wait || p.writing != nil {
			continue
		}
		if p.data != nil { // E4
			x.err = firstError(x.err, p.failed)
			if x.closing {
				o.drop(p)
			}
		}
		if x.write {
			if x.closing {
				x.err = firstError(x.err, p.bad)
			}
			p.bad = nil
			o.changed(p)
		}
		p.ops = slices.DeleteFunc(p.ops, func(y *op) bool { return y == x })
		o.way(x)
	}
}

// advanceSyncs looks whether the page is still in the way of Syncs.
func (o *Object) advanceSyncs(p *page) {
	p.syncs = slices.DeleteFunc(p.syncs, func(y *syncWait) bool {
		if y.lock != nil {
			if slices.Contains(p.locks, y.lock) {
				return false
			}
			y.lock, y.version = nil, p.version
			if p.failed != nil && p.writing == nil {
				o.store(p) // E4
			}
		}
		if p.data != nil || p.writing != nil {
			return false
		}
		o.synced(y.s, nil)
		return true
	})
}
