// Package pager serves memory objects: the pages of files to the kernels of as many
// nodes as map them, this one's and, by netmsg, those of others.
//
//	p := pager.New(pager.Config{Ports: k, Watch: deaths.Watch})
//	o := p.NewObject(pager.ObjectConfig{Store: file, Quick: true, Reserve: true})
//	right, err := o.Right(false)                      // for io_map
//	err = o.Read(ctx, off, n, func() error { ... })   // for io_read: the store is up to date
//	err = o.Write(ctx, off, n, func() error { ... })  // for io_write: no kernel has a copy
//
// # How it works
//
// What the kernels may have is decided by package coherence; this package gives it
// their messages, and does what it says. An object has two ports, one for reading
// and writing and one for reading only, and each control port that comes with a
// memory_object_init is a client. What kernels say is taken in the order in which it
// comes. What they are told is put into a queue for each client, from which one
// sends at a time, without any lock: at first the goroutine that there is, which
// does not wait; when a kernel's queue is full, or it is to do what it may wait for
// (lock_request), a goroutine of the client's own. A kernel that does not take
// messages, or does not answer a recall, within a time is cut off: others go on without
// it, and it is told so.
//
// Stores are asked by a few goroutines for each object, so that one that hangs holds
// up no other object. One that never waits says so (Quick), and is asked at once.
//
// Pages are in memory outside of Go's heap, which goes away with the message.
// Memory that a kernel's message brings may be paged by anybody, this task
// included, if it is no kernel's: the system copies it.
//
// docs/pager.md has the rules, and what is coherent with what.
//
// # Place in the house
//
// It stands on pager/coherence, hurd/ports and mach. File servers (images/mach/rootfs)
// and netmsg's door use it, each with a store of its own: see [Store].
package pager

import (
	"context"
	"sync/atomic"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/mach"
)

// PageSize is the size of a page, in bytes, of all kernels that there are.
const PageSize = mach.PageSize

// Config is what a Pager is made with.
type Config struct {
	// Ports makes the ports of objects.
	Ports ports.Exporter
	// Kernel is how kernels are spoken to; nil for [Mach].
	Kernel Kernel
	// Memory is where pages are; nil for vmem.Memory.
	Memory Memory
	// Watch has dead called when a control port dies: [deathwatch.Watcher.Watch]. Nil: deaths
	// are noticed when something is sent.
	Watch func(control mach.Port, dead func()) (stop func(), err error)
	// Answer is how long a kernel may take to answer, or to take a message. Default
	// [DefaultAnswer].
	Answer time.Duration
	// Yield lets the threads of this node run that are about to, and returns when they
	// wait. It is called in place of waiting for the least minimum hold of a page to be over,
	// which is much shorter than the shortest time that can be waited for; nil, with a
	// Kernel: that is waited for.
	Yield func()
	// Log is told of kernels that are cut off, and of data that is lost; nil drops it.
	Log func(format string, args ...any)
}

// DefaultAnswer is longer than netmsg waits for a node that does not say anything.
const DefaultAnswer = 45 * time.Second

// Memory is memory for pages.
type Memory interface {
	// Alloc returns n zeroed bytes, a multiple of PageSize, at the start of a page.
	Alloc(n int) ([]byte, error)
	// Free gives back what Alloc returned.
	Free(b []byte)
}

// A Pager is what objects of one server share.
type Pager struct {
	config Config
	memory Memory
	start  time.Time
}

// New makes a Pager.
func New(c Config) *Pager {
	if c.Kernel == nil {
		c.Kernel = Mach{}
		if c.Yield == nil {
			c.Yield = mach.Yield
		}
	}
	if c.Memory == nil {
		c.Memory = defaultMemory
	}
	if c.Watch == nil {
		c.Watch = func(mach.Port, func()) (func(), error) { return func() {}, nil }
	}
	if c.Answer <= 0 {
		c.Answer = DefaultAnswer
	}
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	return &Pager{config: c, memory: &spare{mem: c.Memory}, start: time.Now()}
}

// counters count what happens.
type counters struct {
	requests, unlocks, supplied, failed   atomic.Uint64 // supplied: pages
	returned, locks, completed, cut, lost atomic.Uint64 // returned, lost: pages
	loaded, stored, waited, ignored       atomic.Uint64 // loaded, stored: pages
	taken                                 atomic.Uint64 // messages
}

// A Store is what has the pages of an object when no kernel has them. It is asked by
// several goroutines at a time, but never for one page by two.
type Store interface {
	// Size is how long the file is, in bytes.
	Size() int64
	// ReadAt fills b, whole pages at off: what is beyond the end is left as it is,
	// zero. Like [io.ReaderAt]'s, its count says how much; less than there is is an
	// error.
	ReadAt(b []byte, off int64) (int, error)
	// WriteBack writes a page that was changed in memory: what is beyond the end is
	// lost.
	WriteBack(b []byte, off int64) error
	// Reserve makes sure that the page at off can be written back, if
	// ObjectConfig.Reserve says that it is to be asked.
	Reserve(off int64) error
}

// A Resizer is a store whose size may change without the pager: it is asked when somebody
// wants a page beyond the end that is known.
type Resizer interface {
	Refresh(ctx context.Context) error
}
