package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"hurdlab/mach"
	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// An arrival is a message from a proxy that waits: for its own memory, or behind one
// that does.
type arrival struct {
	m  *mach.Message // with memory that is to be copied, or
	by mach.Type     // the right that it came by
	// what has been taken apart.
	body *wire.Body
	list []wire.MachRight

	debt *debt // of what it answers
}

// size is how many bytes it has.
func (a *arrival) size() int {
	if a.m == nil {
		return a.body.Size()
	}
	n := uint64(len(a.m.Buffer(0)))
	for it, err := range a.m.Items() {
		if err != nil {
			break
		}
		if it.OOL {
			n += it.Size()
		}
	}
	return int(min(n, maxCost))
}

// receive receives from the set until the bridge is closed.
func (b *Bridge) receive() {
	defer close(b.done)
	m := mach.NewMessage(0)
	for {
		if err := b.set.Receive(b.ctx, m); err != nil {
			if b.ctx.Err() == nil {
				b.config.Log("netmsg receives no more: %v", err)
			}
			return
		}
		b.take(m)
	}
}

// receiveFrom receives from one proxy, and those that come after it under the same
// name, until its receive right is destroyed.
func (b *Bridge) receiveFrom(r *mach.Receiver) {
	m := mach.NewMessage(0)
	for {
		if err := r.Receive(context.Background(), m); err != nil {
			b.ended(r)
			return
		}
		if p := b.take(m); p != nil {
			b.mu.Lock()
			if p.going == nil {
				p.going = sync.NewCond(&b.mu)
			}
			for p.recv == r && !p.gone && (p.paused || p.held) {
				p.going.Wait()
			}
			b.mu.Unlock()
		}
	}
}

// take takes a message from a proxy, and leaves m to be used again. It returns the
// proxy if that is not to be received from for now.
func (b *Bridge) take(m *mach.Message) (paused *port) {
	name, _ := m.Local()
	if b.passed(name) {
		mach.Destroy(m)
		return nil
	}
	if a, ok := b.arrivalOf(m); ok {
		return b.arrived(name, a)
	}
	return nil
}

// arrivalOf takes a message from what is to be a proxy. It is false if there is nothing to be
// carried. m can be used again.
func (b *Bridge) arrivalOf(m *mach.Message) (arrival, bool) {
	var a arrival
	_, a.by = m.Local()
	if hasMemory(m) {
		// Its bytes are the goroutine's that copies its memory.
		a.m = mach.NewMessage(0)
		bytes := append([]byte(nil), m.Buffer(0)...)
		if err := a.m.Load(machwire.Native, bytes, nil); err != nil {
			mach.Destroy(m)
			return arrival{}, false
		}
		mach.Reset(m, 0)
	} else {
		var err error
		if a.body, a.list, err = wire.Encode(m, nil); err != nil {
			b.refuse(m, err)
			return arrival{}, false
		}
		freeMemory(m)
	}
	return a, true
}

// hasMemory reports whether a message has out-of-line data. Arrays of rights
// that are out of line are in memory that the kernel has made.
func hasMemory(m *mach.Message) bool {
	if !m.Complex() {
		return false
	}
	for it, err := range m.Items() {
		if err != nil {
			return false
		}
		if it.OOL && !it.Type.IsRight() && it.Size() > 0 {
			return true
		}
	}
	return false
}

// freeMemory frees the out-of-line memory of a message that has been taken apart, and
// makes m ready to be used again.
func freeMemory(m *mach.Message) {
	if m.Complex() {
		for it, err := range m.Items() {
			if err != nil {
				break
			}
			if it.OOL && it.Dealloc && it.Size() > 0 {
				_ = mach.VMDeallocate(mach.TaskSelf(), uintptr(it.Addr), uintptr(it.Size()))
			}
		}
	}
	mach.Reset(m, 0)
}

// refuse destroys a message that cannot be carried, with its rights, so that who
// waits for an answer learns that there will be none (T2).
func (b *Bridge) refuse(m *mach.Message, err error) {
	b.config.Log("message %d refused: %v", m.ID(), err)
	mach.Destroy(m)
	b.mu.Lock()
	b.stats.Refused++
	b.mu.Unlock()
}

// arrived takes what has come to a proxy, which it returns if that is not to be
// received from for now.
func (b *Bridge) arrived(name mach.Port, a arrival) (paused *port) {
	b.mu.Lock()
	defer b.finish()
	p := b.names[name]
	if p != nil && p.yield != nil && !p.yield.whole {
		p.yield.late = append(p.yield.late, a)
		return nil
	}
	if p == nil || !p.proxy {
		// A proxy that has been killed meanwhile.
		b.destroy(a)
		return nil
	}
	p.taken++
	if len(p.debts) > 0 {
		a.debt = p.debts[0]
		p.debts = p.debts[1:]
		a.debt.becomes(a.size())
	}
	defer func() {
		if p.recv != nil && (p.paused || p.held) {
			paused = p
		}
	}()
	if a.m == nil && len(p.pending) == 0 && !b.promised(a.list) {
		if l := b.sessions[b.node.Route(p.id)]; l == nil || !l.Full() {
			b.sent(p, a)
			return nil
		}
	}
	p.pending = append(p.pending, a)
	if len(p.pending) == 1 {
		go b.work(p, p.moves)
	} else if len(p.pending) >= maxPending && !p.held {
		p.held = true
		_ = b.membership(p)
	}
	return nil
}

// work takes in what waits for the memory of the first in p.pending, unless the port has
// moved since.
func (b *Bridge) work(p *port, moves int) {
	for {
		b.mu.Lock()
		if p.moves != moves {
			b.mu.Unlock()
			return
		}
		a := p.pending[0]
		l := b.sessions[b.node.Route(p.id)]
		b.mu.Unlock()
		if l != nil {
			l.Room() // until then it is in its sender's memory, or the kernel's queue
		}
		var err error
		if a.m != nil {
			a.body, a.list, err = b.takeApart(a.m)
		}
		if err == nil {
			b.settle(a.list, true)
		}
		b.mu.Lock()
		if p.moves != moves {
			a.debt.settle()
			// It goes to the port as it is: see move.go.
			if a.m != nil && err == nil {
				a.body.Free()
			}
			b.mu.Unlock()
			return
		}
		p.pending[0] = arrival{}
		p.pending = p.pending[1:]
		if a.m != nil && err == nil {
			freeMemory(a.m)
		}
		if err != nil {
			b.stats.Refused++
			b.config.Log("message %d refused: %v", a.m.ID(), err)
			mach.Destroy(a.m)
		} else {
			if p.gone {
				b.destroy(arrival{body: a.body, list: a.list})
			} else {
				b.sent(p, a)
			}
		}
		a.debt.settle()
		more := p.moves == moves && len(p.pending) > 0
		if p.held && len(p.pending) <= maxPending/2 {
			p.held = false
			_ = b.membership(p)
		}
		b.finish()
		if !more {
			return
		}
	}
}

// errMemory is that the memory of a message could not be had.
var errMemory = errors.New("its memory cannot be read")

// takeApart takes a message with memory apart, of which its rights are then part; the memory
// itself stays the message's. After an error the message is whole.
func (b *Bridge) takeApart(m *mach.Message) (*wire.Body, []wire.MachRight, error) {
	limit := b.config.Limits.Message
	if limit <= 0 {
		limit = 16 << 20
	}
	size := uint64(0)
	for it, err := range m.Items() {
		if err != nil {
			return nil, nil, err
		}
		if size += it.Size(); size > uint64(limit) {
			return nil, nil, fmt.Errorf("more than %d bytes", limit)
		}
	}
	timer := time.NewTimer(copyTime)
	defer timer.Stop()
	select {
	case b.copies <- struct{}{}:
	case <-timer.C:
		return nil, nil, fmt.Errorf("%w: %d other messages wait for theirs", errMemory, maxCopies)
	}
	type result struct {
		body *wire.Body
		list []wire.MachRight
		err  error
	}
	done := make(chan result)
	late := make(chan struct{})
	// The goroutine has a message of its own: it may go on when nobody waits.
	own := mach.NewMessage(0)
	bytes := append([]byte(nil), m.Buffer(0)...)
	memory := &guarded{memory: b.config.Memory}
	if err := own.Load(machwire.Native, bytes, memory); err != nil {
		<-b.copies
		return nil, nil, err
	}
	go func() {
		defer func() { <-b.copies }()
		body, list, err := wire.Encode(own, nil)
		if err != nil {
			memory.free()
		} else {
			body.Release = memory.free
		}
		select {
		case done <- result{body, list, err}:
		case <-late:
			if err == nil {
				memory.free()
			}
		}
	}()
	select {
	case r := <-done:
		return r.body, r.list, r.err
	case <-timer.C:
		close(late)
		return nil, nil, fmt.Errorf("%w within %v", errMemory, copyTime)
	}
}

// guarded reads out-of-line data that may be paged by anybody: it copies it.
type guarded struct {
	memory Memory
	copies [][]byte
}

func (g *guarded) Bytes(addr uint64, n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := g.memory.Alloc(mach.CopyRoom(uintptr(addr), n))
	if err != nil {
		return nil, err
	}
	g.copies = append(g.copies, b)
	return mach.CopyMemoryTo(b, uintptr(addr), n)
}

func (g *guarded) free() {
	for _, b := range g.copies {
		g.memory.Free(b)
	}
	g.copies = nil
}

// destroy gives back the rights of a message.
func (b *Bridge) destroy(a arrival) {
	a.debt.settle()
	if a.m != nil {
		mach.Destroy(a.m)
		return
	}
	if a.body != nil {
		a.body.Free()
	}
	for _, r := range a.list {
		if !r.Port.Valid() {
			continue
		}
		if r.Type == mach.MoveReceive {
			_ = mach.DestroyReceive(r.Port)
		} else {
			_ = mach.Deallocate(r.Port)
		}
	}
}

// sent gives the table a message from the proxy p.
func (b *Bridge) sent(p *port, a arrival) {
	defer a.debt.settle()
	if p.adopted {
		defer b.quieted(p)
	}
	switch {
	case p.adopted && a.by == mach.MoveSendOnce && b.marked(a):
		b.destroy(a)
		b.flushed(p)
		b.node.Flushed(p.id)
		b.act()
		return
	case a.by == mach.MoveSendOnce && !p.adopted:
		if !p.once {
			// Of a proxy of a send right, only the kernel has a send-once right.
			b.noSenders(p, a)
			return
		}
		p.used = true
		if mach.Notify(a.body.ID()) == mach.NotifySendOnce && a.body.Rights() == 0 && a.body.Empty() {
			// Whether the kernel says so, because the right was destroyed, or a task
			// does: the receiver cannot tell either.
			b.node.Extinct(p.id)
			b.act()
			return
		}
	}
	if !p.adopted && b.intercept(p, a) {
		return
	}
	m := rights.LocalMessage{Body: a.body}
	if len(a.list) > 0 {
		m.Rights = make([]rights.LocalRight, len(a.list))
	}
	for i, r := range a.list {
		switch {
		case r.Port == mach.Dead:
			m.Rights[i].Kind = rights.Dead
		case r.Port != mach.Null:
			q := b.local(r.Port)
			q.once = q.once || r.Type == mach.MoveSendOnce
			m.Rights[i] = rights.LocalRight{Kind: kindOf(r.Type), Port: q.id}
		}
	}
	b.node.Sent(p.id, m)
	b.act()
}

// noSenders takes the kernel's notice about the proxy p.
func (b *Bridge) noSenders(p *port, a arrival) {
	defer b.destroy(arrival{list: a.list})
	if mach.Notify(a.body.ID()) != mach.NotifyNoSenders || !p.notify {
		return // a request that was displaced says so
	}
	for it := range a.body.Items() {
		if it.Type != machwire.Int32 || len(it.Data) != 4 {
			return
		}
		p.notify = false
		made := uint32(it.Data[0]) | uint32(it.Data[1])<<8 | uint32(it.Data[2])<<16 | uint32(it.Data[3])<<24
		b.node.NoSenders(p.id, made)
		b.act()
		return
	}
}

// notices receives the kernel's notices of dead names.
func (b *Bridge) notices() {
	m := mach.NewMessage(0)
	for b.notify.Receive(context.Background(), m) == nil {
		b.notice(m)
	}
}

// notice takes a message that has come to the port of notices.
func (b *Bridge) notice(m *mach.Message) {
	n, ok, err := mach.TakeNotification(m)
	if !ok || err != nil || n.Kind != mach.NotifyDeadName && n.Kind != mach.NotifyNoSenders {
		mach.Destroy(m)
		return
	}
	mach.Reset(m, 0)
	b.mu.Lock()
	defer b.finish()
	if n.Kind == mach.NotifyNoSenders {
		b.quiet()
		return
	}
	// The notice has a reference to the name, so that it is not used again yet.
	if p := b.names[n.Name]; p != nil && p.watched && !p.proxy {
		p.watched = false
		b.node.Died(p.id)
		b.act()
	}
	_ = mach.Deallocate(n.Name)
}
