package bridge

import (
	"errors"

	"hurdlab/mach"
)

// An event that is about a thousand rights asks as much of the kernel, each of which is a
// call. Others are not to wait for all of that: what need not be done before the next event
// is put off, and done in pieces.

// A chore is something that the kernel is asked for a port.
type chore struct {
	what what
	port *port
	name mach.Port
}

type what uint8

const (
	arm     what = iota // ask for the notice of no senders, with port.armed
	watch               // ask for the notice of a dead name
	drop                // a reference to name
	destroy             // the receive right of port, which is forgotten
)

// maxOps is how many calls of the kernel are made at a time.
const maxOps = 16

// soon does a chore now, or puts it off if there have been many.
func (b *Bridge) soon(c chore) error {
	if b.ops < maxOps && len(b.chores) == 0 {
		b.ops++
		return b.see(c)
	}
	b.chores = append(b.chores, c)
	if !b.choring {
		b.choring = true
		go b.seeAll()
	}
	return nil
}

// see does a chore.
func (b *Bridge) see(c chore) error {
	p := c.port
	switch c.what {
	case arm:
		if p.gone || !p.proxy || p.name == mach.Dead {
			return nil
		}
		p.notify = true
		to := p.name
		if p.adopted {
			to = b.notify.Port()
		}
		return mach.RequestNotification(p.name, mach.NotifyNoSenders, p.armed, to)
	case watch:
		if p.gone || p.proxy {
			return nil
		}
		p.watched = true
		return mach.RequestNotification(p.name, mach.NotifyDeadName, 1, b.notify.Port())
	case drop:
		return mach.Deallocate(c.name)
	}
	return b.destroyReceive(p)
}

// seeAll does what has been put off.
func (b *Bridge) seeAll() {
	for {
		b.mu.Lock()
		n := min(len(b.chores), maxOps)
		for _, c := range b.chores[:n] {
			if err := b.see(c); err != nil {
				b.config.Log("%v: %v", c.name, err)
			}
		}
		clear(b.chores[:n])
		b.chores = b.chores[n:]
		if n == 0 {
			b.chores, b.choring = nil, false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
	}
}

// reserve makes receive rights for n proxies, before the event that needs them.
func (b *Bridge) reserve(n int) {
	b.mu.Lock()
	n -= len(b.fresh)
	b.mu.Unlock()
	var list []mach.Port
	var err error
	for len(list) < n && err == nil {
		var p mach.Port
		if p, err = b.newMember(); err == nil {
			list = append(list, p)
		}
	}
	if err != nil && !errors.Is(err, mach.KernNoSpace) {
		b.config.Log("receive rights: %v", err)
	}
	b.mu.Lock()
	b.fresh = append(b.fresh, list...)
	b.mu.Unlock()
}

// maxFresh is how many of those that an event did not need are kept.
const maxFresh = 16

// unreserve gives back what was made for more than was needed.
func (b *Bridge) unreserve() {
	b.mu.Lock()
	var list []mach.Port
	if n := len(b.fresh); n > maxFresh {
		list = append(list, b.fresh[maxFresh:]...)
		b.fresh = b.fresh[:maxFresh]
	}
	b.mu.Unlock()
	for _, p := range list {
		_ = mach.DestroyReceive(p)
	}
}
