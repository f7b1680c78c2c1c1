package coherence

import "slices"

// A client is what is known of a [Client].
type client struct {
	id       Client
	slot     int
	readOnly bool
	pages    int     // that it holds
	least    Tick    // the minimum hold of its pages at present
	early    uint64  // pages that were called back before it had used them
	waiting  int     // entries of queues
	locks    []*lock // that it has not answered, in the order they were sent
	coming   []coming
	since    Tick  // when the first of them became the first
	expect   int64 // the page after the last that was supplied at once
	window   int64 // pages that were supplied at once
}

// A coming is a supply that the client has not said to have taken, in the order they were
// sent: a request for a page of it has crossed with it, and is answered by it (A1).
type coming struct {
	r Range
	// lock, if not nil, is what is waited for instead: it was sent after what was not
	// supplied (Unsupplied).
	lock *lock
}

// maxComing is how many supplies that nobody has asked for a client may have not said to have
// taken.
const maxComing = 64

// comes reports whether a page is on its way to a client.
func (c *client) comes(n int64) bool {
	return slices.ContainsFunc(c.coming, func(x coming) bool { return x.r.has(n) })
}

// A page is one that is not at rest: all others are only in holdings.
type page struct {
	n       int64
	touched bool
	queue   []want  // in order of arrival (Q1)
	parked  []want  // of those to whom it is on its way (A1), or, Weak, who have not returned it yet (W3)
	locks   []*lock // that are not answered and are about it

	data    Data   // the newest there is, if the store does not have it (D2)
	version uint64 // of data; counts deposits
	writing Data   // what the store has been asked to store
	wrote   uint64 // its version
	failed  error  // data could not be stored (E4)
	bad     error  // data could not be stored and is lost (E5)

	loading bool
	stale   bool      // what is being loaded is not good any more (D4)
	alone   bool      // the next load is of this page only (E2)
	fresh   Data      // what the store has, just loaded
	ahead   []*client // to be supplied, if that disturbs nobody (P1)

	reserving bool
	held      bool // waits for the end of a minimum hold (P2)
	ops       []*op
	syncs     []*syncWait
}

// idle reports whether there is nothing to know about the page but its holders.
func (p *page) idle() bool {
	return len(p.queue) == 0 && len(p.parked) == 0 && len(p.locks) == 0 && p.data == nil && p.writing == nil && p.bad == nil &&
		!p.loading && p.fresh == nil && !p.reserving && len(p.ops) == 0 && len(p.syncs) == 0
}

type wantKind uint8

const (
	wantRead wantKind = iota
	wantWrite
	wantUnlock
)

// A want is an entry of a page's queue.
type want struct {
	c        *client
	kind     wantKind
	doubt    bool // what the client asks for may have come already (G6)
	reserved bool
	asked    bool // the store has been asked for it, and for what is around it
	recalled bool // the page has been called back for it
	seq      uint64
}

type lockKind uint8

const (
	lockFlush   lockKind = iota // return what was changed, and forget
	lockDiscard                 // forget
	lockReader                  // return what was changed, and only read
	lockGrant                   // no recall: the right to write (P2)
)

// A lock is a Lock that has not been answered.
type lock struct {
	c      *client
	r      Range
	kind   lockKind
	writer bool // c could write to the page when it was sent
	dirty  bool // what was changed has been returned
	fence  bool // until it is answered, what the client asks for is in doubt (G6)
	// Weak only: the answer has come, but not all pages (W2).
	answered bool
	missing  int
}

// recalled returns the lock that takes the page from a client, or the right to write.
func (p *page) recalled(c *client) *lock {
	for _, l := range p.locks {
		if l.c == c {
			return l
		}
	}
	return nil
}

// recalls reports whether there are recalls that have not ended.
func (p *page) recalls() bool { return len(p.locks) > 0 }

// flushed reports whether the page is being taken from a client.
func (p *page) flushed(c *client) bool {
	return slices.ContainsFunc(p.locks, func(l *lock) bool { return l.c == c && l.kind <= lockDiscard })
}

// waits reports whether a client waits for the page.
func (p *page) waits(c *client) bool {
	return slices.ContainsFunc(p.queue, func(w want) bool { return w.c == c })
}

// fenced reports whether what a client asks for is in doubt.
func (p *page) fenced(c *client) bool {
	return slices.ContainsFunc(p.locks, func(l *lock) bool { return l.c == c && l.fence })
}

// An op is a Take, or a Close.
type op struct {
	token   Token
	r       Range
	write   bool
	closing bool
	seq     uint64
	started bool
	granted bool
	left    int // pages that are in the way
	err     error
}

// blocks reports whether the op is in the way of somebody who came after it.
func (x *op) blocks(page int64, write bool, seq uint64) bool {
	return x.seq < seq && x.r.has(page) && (x.write || write)
}

// A sync is a Sync.
type syncOp struct {
	token Token
	left  int
	err   error
}

// A syncWait is a page that a Sync waits for.
type syncWait struct {
	s       *syncOp
	lock    *lock  // to be answered first, or nil
	version uint64 // then to be stored
}
