package bridge

import (
	"encoding/binary"
	"sync"
	"time"

	"hurdlab/mach"
	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// An account is what a node owes a peer: the answers to its requests, from when these are
// delivered until the answers are in the session. It bounds what answers can take while
// they are in the kernel or wait here, where the session's bounds do not reach them (rules
// W1 to W4 of docs/netmsg.md).
//
// Its methods are called with the lock that cond has.
type account struct {
	limit  int // bytes
	bytes  int // owed, as far as is known
	asked  []*debt
	line   []*request // that wait, in order
	closed bool
	cond   sync.Cond
	timer  *time.Timer
	now    func() time.Time
}

// A debt is what one request costs: what its answer is expected to be, then what it is.
type debt struct {
	account *account
	cost    int
	since   time.Time
	known   bool // the answer has come, or nobody expects it soon
	settled bool
}

// A request is delivered when the answer to it may be owed.
type request struct {
	account *account
	reply   *port // where the answer comes to
	cost    int
}

const (
	// anyCost is what an answer is expected to be of which nothing is known, in bytes.
	anyCost = 4 << 10
	// maxCost is what one is expected to be at most: the largest message.
	maxCost = 16 << 20
	// patience is for how long an answer is expected. Requests that are answered when
	// something happens (the end of a lock, input) must not keep others out.
	patience = time.Second
)

func newAccount(limit int, l sync.Locker) *account {
	return &account{limit: limit, cond: sync.Cond{L: l}, now: time.Now}
}

// room reports whether so much more may be owed: whatever it is if nothing is.
func (a *account) room(cost int) bool {
	return a.closed || a.bytes == 0 || a.bytes+cost <= a.limit
}

// try owes the answer to a request, if that may be now, or returns nil.
func (r *request) try() *debt {
	a := r.account
	if a.expire(); len(a.line) > 0 || !a.room(r.cost) {
		return nil
	}
	return r.owe()
}

// wait owes the answer to a request as soon as that may be. It unlocks while it waits.
func (r *request) wait() *debt {
	a := r.account
	a.line = append(a.line, r)
	for a.expire(); a.line[0] != r || !a.room(r.cost); a.expire() {
		if a.timer == nil && len(a.asked) > 0 {
			a.timer = time.AfterFunc(patience/4, func() {
				a.cond.L.Lock()
				a.timer = nil
				a.cond.L.Unlock()
				a.cond.Broadcast()
			})
		}
		a.cond.Wait()
	}
	a.line[0] = nil
	a.line = a.line[1:]
	a.cond.Broadcast() // for the next
	return r.owe()
}

func (r *request) owe() *debt {
	a := r.account
	d := &debt{account: a, cost: r.cost, since: a.now()}
	if a.closed || r.reply.gone {
		d.settled = true
		return d
	}
	a.bytes += r.cost
	if r.reply.once {
		a.asked = append(a.asked, d)
	} else {
		d.known = true // its answers may wait for the peer in a queue, and be many
	}
	r.reply.debts = append(r.reply.debts, d)
	return d
}

// expire forgets what has been expected for too long.
func (a *account) expire() {
	n := 0
	for _, d := range a.asked {
		if !d.known && !d.settled && a.now().Sub(d.since) < patience {
			break
		}
		if !d.known && !d.settled {
			d.becomes(0)
		}
		n++
	}
	clear(a.asked[:n])
	a.asked = a.asked[n:]
}

// becomes says what the answer really is.
func (d *debt) becomes(cost int) {
	if d.known = true; d.settled || d.account.closed {
		return
	}
	d.account.bytes += cost - d.cost
	if d.cost > cost {
		d.account.cond.Broadcast()
	}
	d.cost = cost
}

// settle says that the answer is in the session, or that there will be none. A nil
// debt is none.
func (d *debt) settle() {
	if d != nil && !d.settled {
		d.becomes(0)
		d.settled = true
	}
}

// close ends the account: the session is over, and nobody waits for it any more.
func (a *account) close() {
	a.closed = true
	a.bytes, a.asked = 0, nil
	a.cond.Broadcast()
}

// The requests that say how much they want, by the item which has it.
var amounts = map[int32]int{
	2026:  1, // vm_read: address, size
	20019: 2, // dir_readdir: entry, entries, bytes
	21001: 1, // io_read: offset, bytes
	26015: 1, // socket_recv: flags, bytes
}

// costOf is how many bytes the answer to a request is expected to have.
func costOf(body *wire.Body) int {
	at, ok := amounts[body.ID()]
	if !ok {
		return anyCost
	}
	i := 0
	for it := range body.Items() {
		if i < at {
			i++
			continue
		}
		n := uint64(0)
		switch {
		case it.Type == machwire.Int32 && len(it.Data) == 4:
			n = uint64(binary.LittleEndian.Uint32(it.Data))
		case it.Type == machwire.Int64 && len(it.Data) == 8:
			n = binary.LittleEndian.Uint64(it.Data)
		}
		return anyCost + int(min(n, maxCost))
	}
	return anyCost
}

// asks returns what a message of a peer asks for: nil if nobody is to answer it, or
// not to a proxy.
func (b *Bridge) asks(d rights.Deliver) *request {
	body := d.Message.Body.(*wire.Body)
	if b.from == nil || d.Once || !body.HasReply() || len(d.Message.Rights) == 0 {
		return nil
	}
	r := d.Message.Rights[0]
	if r.Kind != rights.Send && r.Kind != rights.SendOnce {
		return nil
	}
	p := b.ports[r.Port]
	if p == nil || !p.proxy || p.name == mach.Dead {
		return nil
	}
	return &request{b.from.account, p, costOf(body)}
}
