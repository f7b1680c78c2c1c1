package coherence

import (
	"maps"
	"math"
	"slices"
)

// An Object is a memory object. It is not safe for concurrent use: the caller has a
// lock for it, takes [Object.Actions] under that lock, and does them without, in an order
// that keeps those for one client in order.
type Object struct {
	config    Config
	pages     int64
	now       Tick
	seq       uint64 // of the last want or op
	next      Client
	clients   map[Client]*client
	slots     []*client
	holdings  holdings
	active    map[int64]*page
	touched   []*page
	ops       []*op // in order of arrival
	startable bool  // one of them may be started
	syncs     int
	unstored  int // pages with data that could not be stored
	closing   bool
	recent    []grant // those whose minimum hold is not over, oldest first
	arriving  []grant // those that have not been said to have arrived, oldest first
	holds     map[int64]hold

	actions  []Action
	discards []Data
}

// A grant is that of a page to somebody who has asked.
type grant struct {
	page  int64
	until Tick
}

// A hold is the time until which who has a page keeps it.
type hold struct {
	until Tick
	waits Client // for this client's word that the page has arrived, or 0
}

// New makes an object that nobody uses.
func New(c Config) *Object {
	for _, f := range []struct {
		v *int
		d int
	}{{&c.Cluster, 1}, {&c.ReadAhead, c.Cluster}, {&c.Limits.Clients, 1024}, {&c.Limits.Requests, 4096},
		{&c.Limits.Range, 256}, {&c.Limits.Lock, 4096}, {&c.Limits.Unstored, 1024}} {
		if *f.v <= 0 {
			*f.v = max(f.d, 1)
		}
	}
	c.ReadAhead = max(c.ReadAhead, c.Cluster)
	c.Acks = c.Acks && c.Order == FIFO
	if c.Arrival <= 0 {
		c.Arrival = 100 * c.Hold
	}
	c.Limits.Clients = min(c.Limits.Clients, maxClients)
	return &Object{
		config: c, pages: c.Pages, clients: make(map[Client]*client), holdings: newHoldings(),
		active: make(map[int64]*page), holds: make(map[int64]hold),
	}
}

// Actions returns what is to be done, and forgets it.
func (o *Object) Actions() []Action {
	a := o.actions
	o.actions = nil
	if len(o.discards) == 0 {
		return a
	}
	left := make(map[Data]bool, len(o.discards)) // true: nothing that comes later needs it
	for _, d := range o.discards {
		left[d] = true
	}
	for i := len(a) - 1; i >= 0; i-- {
		s, ok := a[i].(Supply)
		if !ok {
			continue
		}
		final := !slices.ContainsFunc(s.Data, func(d Data) bool { return !left[d] })
		if final {
			s.Final = true
			a[i] = s
		}
		for _, d := range s.Data {
			if final {
				delete(left, d)
			} else if _, ok := left[d]; ok {
				left[d] = false
			}
		}
	}
	for _, d := range o.discards {
		if _, ok := left[d]; ok {
			a = append(a, Discard{d})
		}
	}
	o.discards = nil
	return a
}

func (o *Object) do(a Action) { o.actions = append(o.actions, a) }

func (o *Object) discard(d Data) {
	if d != nil {
		o.discards = append(o.discards, d)
	}
}

// supply gives a page to a client. With doubt, it may have come already. With ack, the
// client is to say that it has taken it. Ahead says that it has not asked for it.
func (o *Object) supply(c *client, n int64, d Data, forbid Forbid, doubt, ack, ahead bool) {
	ack = (ack || doubt || ahead) && o.config.Acks
	how := holder(c.slot << slotShift)
	if forbid == ForbidNothing {
		how |= holdsWrite
	} else if _, ok := o.holdings.at(n).of(c); ok && o.config.Order == FIFO && !o.config.Acks {
		doubt = true
	}
	if doubt && !o.config.Acks {
		how |= holdsMaybe
	}
	o.hold(c, n, how)
	// As one with what goes to the client already, if nothing else does after it.
	for i := len(o.actions) - 1; i >= max(0, len(o.actions)-32); i-- {
		switch a := o.actions[i].(type) {
		case Supply:
			if a.Client != c.id {
				continue
			}
			if a.First+int64(len(a.Data)) == n && a.Forbid == forbid {
				if o.config.Acks && (a.ahead != ahead || ack != ahead || a.Ack != ack) { // A4
					break
				}
				if a.Data = append(a.Data, d); ack {
					c.coming[len(c.coming)-1].r.N++
				}
				o.actions[i] = a
				return
			}
		case Load, Store, Reserve:
			continue
		}
		break
	}
	if ack {
		c.coming = append(c.coming, coming{r: Range{n, 1}})
	}
	o.do(Supply{Client: c.id, First: n, Data: []Data{d}, Forbid: forbid, Precious: o.config.Order == Weak, Ack: ack, ahead: ahead})
}

func (o *Object) hold(c *client, n int64, how holder) {
	if o.holdings.set(n, how) {
		c.pages++
	}
}

func (o *Object) unhold(c *client, n int64) {
	if o.holdings.remove(n, c.slot) {
		c.pages--
	}
}

// activate returns a page as one that is not at rest. It is looked at before the
// call ends.
func (o *Object) activate(n int64) *page {
	p := o.active[n]
	if p == nil {
		p = &page{n: n}
		o.active[n] = p
	}
	o.touch(p)
	return p
}

func (o *Object) touch(p *page) {
	if !p.touched {
		p.touched = true
		o.touched = append(o.touched, p)
	}
}

// activeIn returns the pages of a range that are not at rest.
func (o *Object) activeIn(r Range) []int64 {
	var list []int64
	if r.N < int64(len(o.active)) {
		for n := r.First; n < r.End(); n++ {
			if o.active[n] != nil {
				list = append(list, n)
			}
		}
		return list
	}
	for n := range o.active {
		if r.has(n) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// run looks at all pages that have been touched, and starts the ops that can be.
func (o *Object) run() {
	for len(o.touched) > 0 || o.startable {
		for i := 0; i < len(o.touched); i++ {
			p := o.touched[i]
			p.touched = false
			o.advance(p)
			if !p.touched && p.idle() && o.active[p.n] == p {
				delete(o.active, p.n)
			}
		}
		o.touched = o.touched[:0]
		if o.startable {
			o.startable = false
			o.start()
		}
	}
}

var everything = Range{0, math.MaxInt64}

// Attach is memory_object_init: somebody begins to use the object. If readOnly,
// the port by which it came is for reading only, and nothing that it says can change
// a page (S2). The error is ErrLimit or ErrClosed: then there is no client.
func (o *Object) Attach(readOnly bool) (Client, error) {
	if o.closing {
		return 0, ErrClosed
	}
	if len(o.clients) >= o.config.Limits.Clients {
		return 0, ErrLimit
	}
	o.next++
	c := &client{id: o.next, readOnly: readOnly, expect: -1, least: o.config.Hold}
	c.slot = slices.Index(o.slots, nil)
	if c.slot < 0 {
		c.slot = len(o.slots)
		o.slots = append(o.slots, nil)
	}
	o.slots[c.slot] = c
	o.clients[c.id] = c
	o.do(Ready{c.id, o.config.Attributes})
	return c.id, nil
}

// Gone is the death of a control port. What was changed and not returned is lost.
func (o *Object) Gone(id Client) {
	if c := o.clients[id]; c != nil {
		o.forget(c, true)
		o.run()
	}
}

// Terminated is memory_object_terminate. All that was changed has been returned (K8).
func (o *Object) Terminated(id Client) {
	if c := o.clients[id]; c != nil {
		o.forget(c, false)
		o.run()
	}
}

// forget ends all that a client has to do with the object. What it has changed may be
// lost.
func (o *Object) forget(c *client, lost bool) {
	delete(o.clients, c.id)
	for _, n := range o.activeIn(everything) {
		p := o.active[n]
		mine := func(x *client) bool { return x == c }
		wanted := func(w want) bool { return w.c == c }
		if slices.ContainsFunc(p.queue, wanted) {
			p.queue = slices.DeleteFunc(p.queue, wanted)
		}
		if slices.ContainsFunc(p.parked, wanted) {
			p.parked = slices.DeleteFunc(p.parked, wanted)
		}
		if slices.ContainsFunc(p.ahead, mine) {
			p.ahead = slices.DeleteFunc(p.ahead, mine)
		}
		if h, _ := o.holdings.at(n).of(c); lost && h&holdsWrite != 0 {
			for _, y := range p.syncs {
				if y.lock != nil && y.lock.c == c {
					y.s.err = firstError(y.s.err, ErrGone)
				}
			}
		}
		p.locks = slices.DeleteFunc(p.locks, func(l *lock) bool { return l.c == c })
		o.touch(p)
	}
	if c.pages > 0 {
		for n := range o.holdings.in(everything) {
			o.unhold(c, n)
		}
	}
	for n, h := range o.holds {
		if h.waits == c.id {
			delete(o.holds, n)
			if p := o.active[n]; p != nil {
				p.held = false
			}
		}
	}
	c.locks, c.coming = nil, nil
	o.slots[c.slot] = nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// unlock takes a lock from a page.
func (o *Object) unlock(p *page, l *lock) {
	p.locks = slices.DeleteFunc(p.locks, func(x *lock) bool { return x == l })
	o.touch(p)
}

// pagesOf calls f for each page of a range, or has the whole of it fail.
func (o *Object) pagesOf(c *client, r Range, f func(n int64)) {
	if r.First < 0 || r.N < 0 || r.First > math.MaxInt64-r.N {
		return
	}
	if r.N > int64(o.config.Limits.Range) {
		o.do(Fail{c.id, r, ErrLimit})
		return
	}
	for n := r.First; n < r.End(); n++ {
		f(n)
	}
}

// fail tells a client that it cannot have a page.
func (o *Object) fail(c *client, n int64, err error) {
	if k := len(o.actions); k > 0 {
		if f, ok := o.actions[k-1].(Fail); ok && f.Client == c.id && f.Range.End() == n && f.Err == err {
			f.Range.N++
			o.actions[k-1] = f
			return
		}
	}
	o.do(Fail{c.id, Range{n, 1}, err})
}

// Request is memory_object_data_request. It is answered once: by a Supply or a Fail.
func (o *Object) Request(id Client, r Range, access Access) {
	c := o.clients[id]
	if c == nil {
		return
	}
	kind := wantRead
	if access&Write != 0 {
		kind = wantWrite
	}
	o.pagesOf(c, r, func(n int64) {
		h, holds := o.holdings.at(n).of(c)
		p := o.active[n]
		w := want{c: c, kind: kind}
		switch {
		case o.closing:
			o.fail(c, n, ErrClosed)
			return
		case c.comes(n): // A1
			o.park(o.activate(n), w)
			return
		case kind == wantWrite && c.readOnly && (p == nil || !p.waits(c)): // S2
			o.fail(c, n, ErrReadOnly)
			return
		case n >= o.pages && !holds && (p == nil || !p.waits(c) && !p.fenced(c)): // E3
			o.fail(c, n, ErrBeyond)
			return
		case o.config.Order == Weak && holds:
			o.park(o.activate(n), w) // W3
			return
		}
		if holds && (h&(holdsWrite|holdsMaybe) == holdsWrite || o.config.Acks) {
			if p == nil || p.recalled(c) == nil { // G6: it has lost it, and had not changed it
				o.unhold(c, n)
			}
		} else {
			w.doubt = holds || p != nil && p.fenced(c)
		}
		if p == nil || !o.supersede(p, w) {
			if c.waiting >= o.config.Limits.Requests && (p == nil || !p.fenced(c)) { // S4
				o.failWant(o.activate(n), w, ErrLimit)
				return
			}
			p = o.activate(n)
			o.enqueue(p, w)
		}
		o.touch(p)
	})
	o.run()
}

// supersede has a want take the place of an older one of the same client (Q2).
func (o *Object) supersede(p *page, w want) bool {
	for i := range p.queue {
		x := &p.queue[i]
		switch {
		case x.c != w.c:
		case o.config.Order == FIFO:
			x.reserved = x.reserved && w.kind != wantRead
			x.kind, x.doubt = w.kind, w.doubt
			return true
		case (x.kind == wantUnlock) == (w.kind == wantUnlock):
			x.kind = max(x.kind, w.kind)
			return true
		}
	}
	return false
}

func (o *Object) enqueue(p *page, w want) {
	o.seq++
	w.seq = o.seq
	w.c.waiting++
	p.queue = append(p.queue, w)
	o.touch(p)
}

// park keeps a request of a client to which the page is on its way, or that has not
// returned it yet.
func (o *Object) park(p *page, w want) {
	for i := range p.parked {
		if x := &p.parked[i]; x.c == w.c {
			x.kind = max(x.kind, w.kind)
			return
		}
	}
	if w.c.waiting >= o.config.Limits.Requests && o.config.Order == Weak { // S4
		o.fail(w.c, p.n, ErrLimit)
		return
	}
	w.c.waiting++
	p.parked = append(p.parked, w)
}

// unpark lets a request wait like others, now that the page has been returned.
func (o *Object) unpark(p *page, c *client) {
	if w, ok := o.takeParked(p, c); ok && !o.supersede(p, w) {
		o.enqueue(p, w)
	}
}

// takeParked removes a request that is parked.
func (o *Object) takeParked(p *page, c *client) (w want, ok bool) {
	i := slices.IndexFunc(p.parked, func(w want) bool { return w.c == c })
	if i < 0 {
		return want{}, false
	}
	w = p.parked[i]
	p.parked = slices.Delete(p.parked, i, i+1)
	c.waiting--
	o.touch(p)
	return w, true
}

// Supplied is memory_object_supply_completed of a Supply, or of a part of one: the client
// has taken the first pages, as many as taken says, and not the others.
func (o *Object) Supplied(id Client, r Range, taken int64) {
	c := o.clients[id]
	if c == nil || r.N <= 0 {
		return
	}
	i := slices.IndexFunc(c.coming, func(x coming) bool { return x.lock == nil && x.r.First == r.First && x.r.N >= r.N })
	if i < 0 {
		return
	}
	if x := &c.coming[i]; x.r.N == r.N {
		c.coming = slices.Delete(c.coming, i, i+1)
	} else {
		x.r = Range{r.End(), x.r.N - r.N}
	}
	o.arrived(c, r, taken, false)
	o.run()
}

// arrived takes it that pages have come to a client, or, with doubt, that others and an
// error have: then what it has asked for may have been answered by that, or not (A3).
func (o *Object) arrived(c *client, r Range, taken int64, doubt bool) {
	for n := r.First; n < r.End(); n++ {
		p := o.active[n]
		if h, ok := o.holds[n]; ok && h.waits == c.id { // P2
			// A recall takes about as long to get there as this has taken.
			took := o.now - (h.until - o.config.Arrival)
			if o.keep(n, c.least-took); p != nil && took >= c.least {
				o.touch(p)
				p.held = false
			}
		}
		if p == nil || c.comes(n) {
			continue
		}
		if w, ok := o.takeParked(p, c); ok && (n > r.First+taken || doubt) { // A2
			if p.recalled(c) == nil {
				o.unhold(c, n)
			}
			w.doubt = doubt
			if !o.supersede(p, w) {
				o.enqueue(p, w)
			}
		}
	}
}

// Unsupplied is called instead of doing a Supply, or a part of one, when the client has been
// told of an error in its place.
func (o *Object) Unsupplied(id Client, r Range) {
	c := o.clients[id]
	if c == nil || r.N <= 0 {
		return
	}
	i := slices.IndexFunc(c.coming, func(x coming) bool { return x.lock == nil && x.r.First <= r.First && r.End() <= x.r.End() })
	if i < 0 {
		return // it has asked for them, and knows
	}
	var pages []*page
	for n := c.coming[i].r.First; n < c.coming[i].r.End(); n++ {
		pages = append(pages, o.activate(n))
	}
	c.coming = slices.Delete(c.coming, i, i+1)
	o.fence(c, pages...)
	o.run()
}

// failWant tells one who waits that it cannot have the page. If the page has come
// already, the error may meet what the kernel asks for later: what it asks for until a flush
// has been completed is in doubt as well (G6).
func (o *Object) failWant(p *page, w want, err error) {
	o.fail(w.c, p.n, err)
	if w.doubt && o.config.Acks {
		o.fence(w.c, p)
	} else if w.doubt {
		o.lock(lockFlush, w.c, p)
		p.locks[len(p.locks)-1].fence = true
	}
}

// fence flushes pages from a client: the answer tells that an error which it may not have
// waited for, and all before it, has come (A3).
func (o *Object) fence(c *client, pages ...*page) {
	before := len(c.locks)
	o.lock(lockFlush, c, pages...)
	for _, l := range c.locks[before:] {
		c.coming = append(c.coming, coming{l.r, l})
	}
}

// Unlock is memory_object_data_unlock.
func (o *Object) Unlock(id Client, r Range, access Access) {
	c := o.clients[id]
	if c == nil || access&Write == 0 {
		return
	}
	if r.N > int64(o.config.Limits.Range) {
		return
	}
	o.pagesOf(c, r, func(n int64) {
		h, ok := o.holdings.at(n).of(c)
		if !ok {
			return // G4
		}
		p := o.activate(n)
		switch l := p.recalled(c); {
		case p.flushed(c): // R4
		case h&holdsWrite != 0 && l == nil:
			o.do(Lock{Client: c.id, Range: Range{n, 1}, Forbid: ForbidNothing})
		case c.readOnly || n >= o.pages || o.closing || p.bad != nil: // S2, E1
			o.refuse(p, c)
		case !o.supersede(p, want{c: c, kind: wantUnlock}):
			if c.waiting >= o.config.Limits.Requests { // S4
				o.refuse(p, c)
				return
			}
			o.enqueue(p, want{c: c, kind: wantUnlock})
		}
	})
	o.run()
}

// refuse answers an unlock with no: without the page, the kernel asks for it, and
// can be told.
func (o *Object) refuse(p *page, c *client) { o.take(p, c, true) }

// Returned is memory_object_data_return of pages from first on. Kept says that the
// kernel still has them. The data is the object's, whatever it thinks of it.
func (o *Object) Returned(id Client, first int64, data []Data, dirty, kept bool) {
	c := o.clients[id]
	for i, d := range data {
		n := first + int64(i)
		if c == nil || n < 0 {
			o.discard(d)
			continue
		}
		h, holds := o.holdings.at(n).of(c)
		if !holds { // D1
			o.discard(d)
			continue
		}
		p := o.activate(n)
		switch {
		case h&holdsWrite == 0 || !dirty || n >= o.pages, // D1
			slices.ContainsFunc(p.locks, func(l *lock) bool { return l.c == c && l.kind == lockDiscard }): // T4
			o.discard(d)
		default:
			o.deposit(p, d)
			for _, l := range p.locks {
				l.dirty = l.dirty || l.c == c
			}
		}
		if kept || o.config.Order == FIFO && h&holdsWrite == 0 { // D6
			continue
		}
		o.unhold(c, n)
		if o.config.Order == Weak {
			o.unpark(p, c)
			for _, l := range slices.Clone(p.locks) { // W2
				if l.c == c && l.answered {
					o.unlock(p, l)
					if l.missing--; l.missing == 0 {
						o.answered(l)
					}
				}
			}
		}
	}
	o.run()
}

// LockCompleted is memory_object_lock_completed.
func (o *Object) LockCompleted(id Client, r Range) {
	c := o.clients[id]
	if c == nil {
		return
	}
	i := slices.IndexFunc(c.locks, func(l *lock) bool { return l.r == r && !l.answered })
	if i < 0 {
		return // R3
	}
	l := c.locks[i]
	for n := r.First; n < r.End(); n++ {
		p := o.active[n]
		if p == nil || !slices.Contains(p.locks, l) {
			continue
		}
		h, holds := o.holdings.at(n).of(c)
		if holds && o.config.Order == Weak { // W2
			l.missing++
			continue
		}
		if l.writer && l.kind != lockDiscard && l.r.N == 1 && len(p.queue) > 0 {
			o.used(c, l.dirty)
		}
		if holds {
			switch l.kind {
			case lockFlush, lockDiscard:
				o.unhold(c, n)
			case lockReader:
				o.hold(c, n, h&^holdsWrite)
			}
		}
		o.unlock(p, l)
	}
	if l.kind == lockGrant {
		o.arrived(c, l.r, l.r.N, false)
	}
	if i := slices.IndexFunc(c.coming, func(x coming) bool { return x.lock == l }); i >= 0 {
		c.coming = slices.Delete(c.coming, i, i+1)
		o.arrived(c, l.r, l.r.N, true)
	}
	l.answered = true
	if l.missing == 0 {
		o.answered(l)
	}
	o.run()
}

// answered forgets a lock.
func (o *Object) answered(l *lock) {
	c := l.c
	i := slices.Index(c.locks, l)
	c.locks = slices.Delete(c.locks, i, i+1)
	c.since = o.now
}

// Loaded is the answer to a Load, or to a part of it: data of N pages, or an error for
// all of them. Data that nobody has asked for is discarded.
func (o *Object) Loaded(r Range, data []Data, err error) {
	var later []*page
	for i := range r.N {
		var d Data
		if i < int64(len(data)) {
			d = data[i]
		}
		p := o.active[r.First+i]
		if p == nil || !p.loading {
			o.discard(d)
			continue
		}
		p.loading = false
		if !o.config.Acks || len(p.queue) > 0 { // what was asked for is supplied first
			o.touch(p)
		} else {
			later = append(later, p)
		}
		switch {
		case p.stale: // D4
			p.stale = false
			p.ahead = nil
			o.discard(d)
		case err != nil || d == nil:
			o.discard(d)
			p.ahead = nil
			if w := p.head(); w != nil && w.kind != wantUnlock {
				if r.N > 1 { // E2
					p.alone = true
				} else {
					o.failWant(p, *w, firstError(err, ErrUnstored))
					o.pop(p)
				}
			}
		default:
			p.fresh = d
		}
	}
	for _, p := range later {
		o.touch(p)
	}
	o.run()
}

// Stored is the answer to a Store, or to a part of it.
func (o *Object) Stored(r Range, err error) {
	for n := r.First; n < r.End(); n++ {
		p := o.active[n]
		if p == nil || p.writing == nil {
			continue
		}
		o.touch(p)
		d, wrote := p.writing, p.wrote
		p.writing = nil
		switch {
		case p.data != d: // D3: there is newer data, or it is not wanted any more
			o.discard(d)
			if p.data != nil {
				o.store(p)
			}
			if err != nil {
				continue
			}
		case err == nil:
			p.data = nil
			o.discard(d)
		default: // E4
			p.failed = err
			if o.unstored++; o.unstored > o.config.Limits.Unstored { // E5
				p.bad = err
				o.drop(p)
			}
			for _, x := range p.ops {
				x.err = firstError(x.err, err)
			}
		}
		p.syncs = slices.DeleteFunc(p.syncs, func(y *syncWait) bool {
			if y.lock != nil || y.version > wrote {
				return false
			}
			o.synced(y.s, err)
			return true
		})
	}
	o.run()
}

// Reserved is the answer to Reserve.
func (o *Object) Reserved(n int64, err error) {
	p := o.active[n]
	if p == nil || !p.reserving {
		return
	}
	p.reserving = false
	o.touch(p)
	if w := p.head(); w != nil && w.kind != wantRead {
		switch {
		case err == nil:
			w.reserved = true
		case w.kind == wantUnlock:
			o.refuse(p, w.c)
			o.pop(p)
		default:
			o.failWant(p, *w, err)
			o.pop(p)
		}
	}
	o.run()
}

// Tick says what time it is. What has become due is done.
func (o *Object) Tick(now Tick) {
	o.now = max(o.now, now)
	for _, list := range []*[]grant{&o.recent, &o.arriving} {
		i := 0
		for ; i < len(*list) && (*list)[i].until <= o.now; i++ {
			n := (*list)[i].page
			if h, ok := o.holds[n]; ok && h.until <= o.now {
				delete(o.holds, n)
			}
			if p := o.active[n]; p != nil && p.held {
				p.held = false
				o.touch(p)
			}
		}
		*list = slices.Delete(*list, 0, i)
	}
	if o.config.Answer > 0 {
		for _, c := range o.slots {
			if c != nil && len(c.locks) > 0 && c.since+o.config.Answer <= o.now { // P4
				o.do(Cut{c.id, ErrSilent})
				o.forget(c, true)
			}
		}
	}
	o.run()
}

// Next returns when Tick is to be called at the latest. If there is nothing to wait for,
// ok is false. It is asked again after each call.
func (o *Object) Next() (at Tick, ok bool) {
	at = math.MaxInt64
	for _, list := range [][]grant{o.recent, o.arriving} {
		if len(list) > 0 && len(o.active) > 0 {
			at = min(at, list[0].until)
		}
	}
	if o.config.Answer > 0 {
		for _, c := range o.clients {
			if len(c.locks) > 0 {
				at = min(at, c.since+o.config.Answer)
			}
		}
	}
	return at, at < math.MaxInt64
}

// Sync has all that was changed in a range until now stored: Synced. Clients that wrote
// may go on to read, and must ask before they write again (T1).
func (o *Object) Sync(token Token, r Range) {
	r = clip(r)
	s := &syncOp{token: token, left: 1}
	o.syncs++
	wait := func(p *page, l *lock) {
		s.left++
		p.syncs = append(p.syncs, &syncWait{s: s, lock: l, version: p.version})
	}
	for _, n := range o.activeIn(r) {
		p := o.active[n]
		if p.bad != nil { // E5
			s.err = firstError(s.err, p.bad)
			p.bad = nil
			o.touch(p)
		}
		if p.data == nil || n >= o.pages {
			continue
		}
		if p.failed != nil {
			o.store(p) // E4
		}
		wait(p, nil)
	}
	var run []*page
	for n, h := range o.holdings.in(r) {
		slot, ok := h.writer()
		if !ok {
			continue
		}
		c, p := o.slots[slot], o.activate(n)
		if l := p.recalled(c); l != nil {
			wait(p, l) // which returns it
			continue
		}
		if k := len(run); k > 0 && (run[k-1].n+1 != n || o.writer(run[0]) != c) {
			o.clean(run, wait)
			run = run[:0]
		}
		run = append(run, p)
	}
	o.clean(run, wait)
	o.run()
	o.synced(s, nil)
}

// writer returns who holds a page for writing, or nil.
func (o *Object) writer(p *page) *client {
	if slot, ok := o.holdings.at(p.n).writer(); ok {
		return o.slots[slot]
	}
	return nil
}

// clean has neighbouring pages of one writer returned if they were changed.
func (o *Object) clean(run []*page, wait func(*page, *lock)) {
	if len(run) == 0 {
		return
	}
	o.lock(o.recallKind(false), o.writer(run[0]), run...)
	for _, p := range run {
		wait(p, p.locks[len(p.locks)-1])
	}
}

// synced says that one thing that a Sync waits for is done.
func (o *Object) synced(s *syncOp, err error) {
	s.err = firstError(s.err, err)
	if s.left--; s.left == 0 {
		o.syncs--
		o.do(Synced{s.token, s.err})
	}
}

// Take has the pages of a range for the caller, who wants to read or write the store
// itself: Granted. With it, for Read, the store has all that was changed, and nobody
// may write to the pages; for Write, nobody has them. Until [Object.Release] requests of
// clients for them wait, as far as they are in the way. A range may go beyond the end.
// If something could not be stored, Granted has the error, and nothing is taken.
func (o *Object) Take(token Token, r Range, want Access) {
	o.seq++
	o.ops = append(o.ops, &op{token: token, r: clip(r), write: want&Write != 0, seq: o.seq})
	o.startable = true
	o.run()
}

func clip(r Range) Range {
	r.First = max(r.First, 0)
	r.N = max(0, min(r.N, math.MaxInt64-r.First))
	return r
}

// Release undoes Take, also before it was granted (then nothing is Granted).
func (o *Object) Release(token Token) {
	i := slices.IndexFunc(o.ops, func(x *op) bool { return x.token == token && !x.closing })
	if i < 0 {
		return
	}
	o.release(o.ops[i])
	o.run()
}

func (o *Object) release(x *op) {
	o.ops = slices.DeleteFunc(o.ops, func(y *op) bool { return y == x })
	for _, n := range o.activeIn(x.r) {
		p := o.active[n]
		p.ops = slices.DeleteFunc(p.ops, func(y *op) bool { return y == x })
		o.touch(p)
	}
	o.startable = len(o.ops) > 0
}

// start starts the ops that no earlier one is in the way of.
func (o *Object) start() {
	for i := 0; i < len(o.ops); i++ {
		x := o.ops[i]
		if x.started || slices.ContainsFunc(o.ops[:i], func(y *op) bool { return y.r.overlaps(x.r) && (x.write || y.write) }) {
			continue
		}
		x.started = true
		x.left = 1
		for _, n := range o.activeIn(x.r) {
			o.wait(x, o.active[n])
		}
		// Neighbouring pages of one client in one Lock.
		runs := make(map[*client][]*page)
		var order []*client
		for n, h := range o.holdings.in(x.r) {
			if _, writing := h.writer(); !writing && !x.write {
				continue
			}
			p := o.activate(n)
			o.wait(x, p)
			if len(p.queue) > 0 {
				continue // its turn comes later
			}
			for _, y := range h {
				c := o.slots[y.slot()]
				if x.write && p.flushed(c) || !x.write && p.recalled(c) != nil {
					continue
				}
				if k := len(runs[c]); k > 0 && (runs[c][k-1].n+1 != n) {
					o.lock(o.recallKind(x.write), c, runs[c]...)
					runs[c] = runs[c][:0]
				} else if k == 0 {
					order = append(order, c)
				}
				runs[c] = append(runs[c], p)
			}
		}
		for _, c := range order {
			o.lock(o.recallKind(x.write), c, runs[c]...)
			runs[c] = nil
		}
		o.way(x)
	}
}

// wait has an op wait for a page.
func (o *Object) wait(x *op, p *page) {
	if slices.Contains(p.ops, x) {
		return
	}
	x.left++
	p.ops = append(p.ops, x)
	o.touch(p)
	if p.failed != nil && p.writing == nil && p.data != nil {
		o.store(p)
	}
}

// way says that one page less is in the way of an op.
func (o *Object) way(x *op) {
	if x.left--; x.left > 0 {
		return
	}
	if x.closing {
		o.finish(x)
		return
	}
	o.do(Granted{x.token, x.err})
	x.granted = true
	if x.err != nil {
		o.release(x)
	}
}

// finish closes the object: nobody has anything any more.
func (o *Object) finish(x *op) {
	for _, id := range slices.Sorted(maps.Keys(o.clients)) {
		o.do(Terminate{id})
		o.forget(o.clients[id], false)
	}
	for _, n := range o.activeIn(everything) {
		p := o.active[n]
		if p.bad != nil {
			x.err = firstError(x.err, p.bad)
			p.bad = nil
			o.touch(p)
		}
	}
	o.release(x)
	o.do(Closed{x.token, x.err})
}

// Resize says how many pages there are now. Those that are beyond are taken from
// everybody, and what is in them is lost; it need not be waited for.
func (o *Object) Resize(pages int64) {
	old := o.pages
	o.pages = pages
	if pages >= old {
		return
	}
	beyond := Range{pages, math.MaxInt64 - pages}
	for _, n := range o.activeIn(beyond) {
		p := o.active[n]
		o.touch(p)
		for _, list := range []*[]want{&p.queue, &p.parked} {
			wants := *list
			*list = nil
			for _, w := range wants {
				if w.c.comes(n) { // A1
					*list = append(*list, w)
					continue
				}
				w.c.waiting--
				if w.kind != wantUnlock {
					o.failWant(p, w, ErrBeyond)
				}
			}
		}
		o.drop(p)
		p.bad = nil
		o.changed(p)
		for _, y := range p.syncs {
			o.synced(y.s, nil)
		}
		p.syncs = nil
	}
	runs := make(map[*client][]*page)
	var order []*client
	for n, h := range o.holdings.in(beyond) {
		p := o.activate(n)
		for _, y := range h {
			c := o.slots[y.slot()]
			if p.flushed(c) && !slices.ContainsFunc(h, func(y holder) bool { return y&holdsWrite != 0 }) {
				continue
			}
			k := len(runs[c])
			if k == 0 {
				order = append(order, c)
			} else if runs[c][k-1].n+1 != n {
				o.lock(lockDiscard, c, runs[c]...)
				runs[c] = runs[c][:0]
			}
			runs[c] = append(runs[c], p)
		}
	}
	for _, c := range order {
		o.lock(lockDiscard, c, runs[c]...)
		runs[c] = nil
	}
	o.run()
}

// SetAttributes changes what clients are told, those there are and those to come.
func (o *Object) SetAttributes(a Attributes) {
	o.config.Attributes = a
	for _, id := range slices.Sorted(maps.Keys(o.clients)) {
		o.do(ChangeAttributes{id, a})
	}
}

// Close ends the use of the object: pages are called back and stored, then clients are
// told: Terminate for each, and Closed. From now on nobody can attach, and requests
// fail.
func (o *Object) Close(token Token) {
	o.closing = true
	o.seq++
	o.ops = append(o.ops, &op{token: token, r: everything, write: true, seq: o.seq, closing: true})
	o.startable = true
	o.run()
}

// Idle reports whether there are no clients, and nothing is to be done or waited for:
// the object can be forgotten.
func (o *Object) Idle() bool {
	return len(o.clients) == 0 && len(o.active) == 0 && len(o.ops) == 0 && o.syncs == 0 && len(o.actions) == 0 && len(o.discards) == 0
}
