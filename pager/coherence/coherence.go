// Package coherence decides who may have the pages of a memory object that
// several kernels map. It is a state machine without input, output, clocks or
// goroutines: what happens is a call, and what is to be done about it are [Action]
// values.
//
//	o.Request(client, coherence.Range{First: 3, N: 1}, coherence.Write)
//	o.Returned(client, 3, []coherence.Data{page}, true, false)
//	for _, a := range o.Actions() {
//		... supply, lock, load, store
//	}
//
// # Words
//
// An [Object] is a memory object: the pages of one file. A [Client] is a kernel that
// uses it, or more exactly one control port: a kernel that has the object by two
// ports, one of them for reading only, is two clients. A client that has been given a
// page, and from which it has not been taken, is a holder of the page, for reading
// or for writing. The bytes of pages are not looked at: they are [Data]. What
// keeps them when nobody has them is the store. The rules that the code quotes
// (G1, R3, ...) are those of docs/pager.md.
//
// # Place in the house
//
// It imports nothing of this project. Package pager gives it the kernels' messages
// and does what it says, with the stores and the clock; package sim models kernels
// and stores in memory and checks what must always hold.
package coherence

import (
	"errors"
	"fmt"
)

// A Client is a kernel's use of an object, from memory_object_init to
// memory_object_terminate. Numbers are not used again. 0 is no client.
type Client uint64

// A Range is N pages from First on.
type Range struct{ First, N int64 }

// End is the first page after the range.
func (r Range) End() int64 { return r.First + r.N }

func (r Range) has(p int64) bool      { return p >= r.First && p < r.End() }
func (r Range) overlaps(x Range) bool { return r.First < x.End() && x.First < r.End() }
func (r Range) String() string {
	if r.N == 1 {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.End()-1)
}

// An Access is what may be done with a page, in the bits that Mach has for it.
type Access uint8

const (
	Read  Access = 1
	Write Access = 2 // a page that is held for writing can be read, too
)

func (a Access) String() string {
	switch {
	case a&Write != 0:
		return "write"
	case a != 0:
		return "read"
	}
	return "nothing"
}

// Data is what is in a page: a handle of the caller's, which must be comparable.
// The object has it from the call that gives it to the [Discard], or the [Supply] that is
// Final, that gives it back. It never changes meanwhile.
type Data any

// A Tick is a time of the caller's: milliseconds, say, since anything. It does not
// go back.
type Tick int64

// A Token is a number of the caller's by which it knows an answer.
type Token uint64

// Attributes are what a kernel is told about an object.
type Attributes struct {
	MayCache bool  // it may keep pages when nobody maps the object
	Copy     int32 // its copy strategy, as in MEMORY_OBJECT_COPY_...
}

// Order says in which order the messages of one client arrive (K9).
type Order uint8

const (
	// FIFO: as they were sent. So does a kernel that cannot be interrupted in itself, and
	// gets the object's own port to answer to; package netmsg keeps the order.
	FIFO Order = iota
	// Weak: in any order, but for the first and the last of a client. Pages are
	// precious then, so that a kernel never loses one without a word, and recalls
	// return what is clean as well: the price is that these travel back.
	Weak
)

// A Config is an object's. The zero value of each field but Pages means its default.
type Config struct {
	Pages      int64 // how many there are: those after them do not exist (E3)
	Attributes Attributes
	Order      Order
	// Cluster is how many pages, aligned, are supplied when one of them is asked
	// for, as far as nobody is disturbed by that. Default 1.
	Cluster int
	// ReadAhead is how many pages are supplied at once to a client that asks for one
	// after the other. Default Cluster.
	ReadAhead int
	// Hold is how long a client that has asked for a page keeps it although others
	// ask for it (P2).
	Hold Tick
	// Acks says that clients can be asked to say that they have taken a supply (K10). Not
	// with Weak.
	Acks bool
	// Arrival is how long that may take while others wait (P2). Default: a hundred times Hold.
	Arrival Tick
	// Answer is how long a client may take to answer a Lock (P4). Default: for ever.
	Answer Tick
	// Reserve has the store asked before a client may write to a page (E6).
	Reserve bool
	Limits  Limits
}

// Limits are the bounds of an object. The zero value of each means its default.
type Limits struct {
	Clients  int // clients at a time (1,024)
	Requests int // pages that one client waits for (4,096)
	Range    int // pages in a request or unlock (256)
	Lock     int // pages in a Lock (4,096)
	Unstored int // pages that are kept although they could not be stored (1,024)
}

// Errors of an object. A store's own errors are passed on as they are.
var (
	ErrBeyond   = errors.New("there is no such page")               // E3
	ErrReadOnly = errors.New("the client may only read")            // S2
	ErrLimit    = errors.New("too many pages or clients at a time") // S4
	ErrSilent   = errors.New("the kernel does not answer")          // P4
	ErrGone     = errors.New("the client is gone")
	ErrClosed   = errors.New("the object is closed")
	ErrUnstored = errors.New("data has been lost for want of a store") // E5
)
