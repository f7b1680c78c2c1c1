package bridge

import (
	"context"
	"errors"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// A delivery waits to be sent.
type delivery struct {
	id     uint64
	m      *mach.Message // with rights that are its own
	resend bool          // as the kernel has written it back
	after  Session       // when that has room, if it is not nil
	check  bool          // whether it is a memory object that is sent to
	yields []*yield      // that come first
	owing  *request      // what it asks for, if that is to be owed first
}

// slow reports whether a message may be one that the kernel itself is to answer, which
// it does within the send, and which may then take long: vm_map waits for a
// memory object. What they are for cannot be seen from a right; servers have
// other ids, but for pagers. What those tell kernels is not slow, but for
// lock_request and destroy; nor is what kernels tell them.
func slow(id int32) bool {
	if toPager(id) || id == 2090 || id >= 2093 && id <= 2095 {
		return false
	}
	return id >= 2000 && id < 2900 || id >= 3200 && id < 3300 || id >= 4000 && id < 5000
}

// deliver sends a message of another node to a port of this one, or sees that it
// is sent later.
func (b *Bridge) deliver(d rights.Deliver) {
	to := b.ports[d.To]
	body := d.Message.Body.(*wire.Body)
	defer body.Free() // the message has its own memory
	check := toPager(body.ID()) && to.many != yes
	yields := b.yields(to, d)
	later := len(to.out) > 0 || check || slow(body.ID()) || len(yields) > 0
	var after Session
	if l := b.from; l != nil && !d.Once && l.Full() {
		// It does not read the answers that it has got. What it asks for beyond F2
		// ends its session.
		later, after = true, l.Session
	}
	owing := b.asks(d)
	var debt *debt
	if owing != nil && !later {
		if debt = owing.try(); debt == nil {
			later = true
		}
	}
	m, list, err := b.message(to, d, later)
	if err != nil {
		// The message does not fit this node. What is in it has been given back.
		b.config.Log("message %d for %v: %v", body.ID(), to.name, err)
		b.stats.Failed++
		debt.settle()
		b.node.Delivered(d.Delivery)
		return
	}
	if later {
		b.wait(to, &delivery{id: d.Delivery, m: m, after: after, check: check, yields: yields, owing: owing})
		return
	}
	full, err := mach.TrySend(m, false)
	switch {
	case full:
		b.stats.Waited++
		b.wait(to, &delivery{id: d.Delivery, m: m, resend: true})
		return
	case errors.Is(err, mach.SendInvalidDest):
		b.stats.Failed++
		b.giveBack(list)
		if d.Once {
			_ = mach.Deallocate(to.name)
		}
		freeMemory(m)
	case err != nil:
		b.config.Log("message %d for %v: %v", body.ID(), to.name, err)
		b.stats.Failed++
	}
	if err != nil {
		debt.settle()
	}
	b.node.Delivered(d.Delivery)
}

// wait has a goroutine send d when that can be.
func (b *Bridge) wait(to *port, d *delivery) {
	to.out = append(to.out, d)
	if len(to.out) == 1 {
		go b.send(to)
	}
}

// send sends what waits for a port, one after the other.
func (b *Bridge) send(to *port) {
	for {
		b.mu.Lock()
		d := to.out[0]
		b.mu.Unlock()
		if d.after != nil {
			d.after.Room()
		}
		for _, y := range d.yields {
			<-y.done
		}
		var debt *debt
		if d.owing != nil {
			b.mu.Lock()
			debt = d.owing.wait()
			b.mu.Unlock()
		}
		var err error
		full := d.resend
		id := d.m.ID()
		if d.check && !b.ask(to) {
			b.refusePager(d.m)
			err = proto.EOPNOTSUPP
		} else if !full {
			full, err = mach.TrySend(d.m, true)
		}
		for full && err == nil {
			full, err = b.resend(to, d.m)
		}
		switch {
		case errors.Is(err, mach.SendInvalidDest):
			mach.Destroy(d.m) // all rights in it are its own
		case err != nil && b.ctx.Err() == nil:
			b.config.Log("message %d for %v: %v", id, to.name, err)
		}
		b.mu.Lock()
		if err != nil {
			b.stats.Failed++
			debt.settle()
		}
		to.out[0] = nil
		to.out = to.out[1:]
		more := len(to.out) > 0
		b.node.Delivered(d.id)
		b.act()
		b.finish()
		if !more {
			return
		}
	}
}

// resend sends a message that has found no room, if there soon is, or makes room for it.
func (b *Bridge) resend(to *port, m *mach.Message) (full bool, err error) {
	if b.ctx.Err() != nil {
		mach.Destroy(m)
		return false, context.Cause(b.ctx)
	}
	b.mu.Lock()
	away := to.limit > 0
	b.mu.Unlock()
	if away {
		_ = mach.Deallocate(to.name) // the reference that it was to be sent by
		return false, squeeze(to.name, m)
	}
	return mach.ResendSoon(m)
}

// message makes the message of a delivery. With own, all rights in it, and that
// which it goes to, are references of its own; else it says how they are to
// be made.
func (b *Bridge) message(to *port, d rights.Deliver, own bool) (*mach.Message, []made, error) {
	body := d.Message.Body.(*wire.Body)
	list := make([]made, len(d.Message.Rights))
	n := 0 // made
	more := func(end int, own bool) []made {
		first := n
		for ; n < end; n++ {
			list[n] = b.make(d.Message.Rights[n], own)
		}
		return list[first:end]
	}
	m := mach.NewMessage(body.ID())
	if t := body.Reply(); t != 0 {
		r := more(1, own)[0]
		if r.Type == 0 {
			r.Type = t
		}
		m.SetReply(r.Port, r.Type)
	}
	err := body.Decode(m, place(body), func(first, n int, kind mach.Type) ([]mach.Port, mach.Type, error) {
		ports := make([]mach.Port, n)
		for i, r := range more(first+n, own || b.mixed(d.Message.Rights[first:first+n])) {
			ports[i] = r.Port
			if r.Type != 0 {
				kind = r.Type
			}
		}
		return ports, kind, nil
	})
	if err != nil {
		more(len(list), false)
		freeMemory(m)
		b.giveBack(list)
		if d.Once {
			_ = mach.Deallocate(to.name)
		}
		return nil, nil, err
	}
	switch {
	case d.Once:
		m.SetDest(to.name, mach.MoveSendOnce)
	case !own:
		m.SetDest(to.name, mach.CopySend)
	case mach.PortModRefs(mach.TaskSelf(), to.name, mach.RightSend, 1) == nil:
		m.SetDest(to.name, mach.MoveSend)
	default:
		// Dead: the send will fail, and give everything back.
		m.SetDest(mach.Dead, mach.MoveSend)
	}
	return m, list, nil
}

// place returns where data of a body is that can be given away with a message: its own
// pages, or others. Were they Go's heap, the kernel would have the receiver share it copy
// on write, and each page that is used again would be copied.
func place(body *wire.Body) wire.Place {
	return func(data []byte) (uint64, error) {
		if body.Give != nil && body.Give(data) {
			return uint64(vmem.Addr(data)), nil
		}
		b, err := vmem.Memory{}.Alloc(len(data))
		if err != nil {
			return 0, err
		}
		copy(b, data)
		return uint64(vmem.Addr(b)), nil
	}
}

// A made is a right in a message, and what becomes of it if it is not sent.
type made struct {
	wire.MachRight
	proxy bool // made from a proxy
}

// mixed reports whether rights of one array are to be made in different ways.
func (b *Bridge) mixed(list []rights.LocalRight) bool {
	proxies, others := false, false
	for _, r := range list {
		if r.Kind == rights.Send || r.Kind == rights.SendOnce {
			if b.ports[r.Port].proxy {
				proxies = true
			} else {
				others = true
			}
		}
	}
	return proxies && others
}

// make makes a right to be sent, or says how it is to be made.
func (b *Bridge) make(r rights.LocalRight, own bool) made {
	self := mach.TaskSelf()
	switch r.Kind {
	case rights.Null:
		return made{}
	case rights.Dead:
		return made{MachRight: wire.MachRight{Port: mach.Dead}}
	}
	p := b.ports[r.Port]
	dead := made{MachRight: wire.MachRight{Port: mach.Dead}}
	switch {
	case p.name == mach.Dead: // a proxy that could not be made
		return dead
	case r.Kind == rights.Receive:
		return made{MachRight: wire.MachRight{Port: p.name, Type: mach.MoveReceive}}
	case r.Kind == rights.Send && p.proxy:
		p.made++
		if !own {
			return made{wire.MachRight{Port: p.name, Type: mach.MakeSend}, true}
		}
		if err := mach.PortInsertRight(self, p.name, p.name, mach.MakeSend); err != nil {
			b.config.Log("right to a proxy: %v", err)
			return dead
		}
		return made{MachRight: wire.MachRight{Port: p.name, Type: mach.MoveSend}}
	case r.Kind == rights.Send:
		if !own {
			return made{MachRight: wire.MachRight{Port: p.name, Type: mach.CopySend}}
		}
		if mach.PortModRefs(self, p.name, mach.RightSend, 1) != nil {
			return dead // it has died
		}
		return made{MachRight: wire.MachRight{Port: p.name, Type: mach.MoveSend}}
	case p.proxy: // send-once
		if !own {
			return made{wire.MachRight{Port: p.name, Type: mach.MakeSendOnce}, true}
		}
		once, _, err := mach.PortExtractRight(self, p.name, mach.MakeSendOnce)
		if err != nil {
			b.config.Log("right to a proxy: %v", err)
			return dead
		}
		return made{MachRight: wire.MachRight{Port: once, Type: mach.MoveSendOnce}}
	default:
		return made{MachRight: wire.MachRight{Port: p.name, Type: mach.MoveSendOnce}}
	}
}

// giveBack gives back the rights of a message that was not sent. Those that would
// have been made from proxies are made, so that the kernel's count is the table's, and
// given back.
func (b *Bridge) giveBack(list []made) {
	self := mach.TaskSelf()
	for _, r := range list {
		if !r.Port.Valid() {
			continue
		}
		var err error
		switch {
		case r.Type == mach.MakeSend:
			if err = mach.PortInsertRight(self, r.Port, r.Port, mach.MakeSend); err == nil {
				err = mach.Deallocate(r.Port)
			}
		case r.Type == mach.MakeSendOnce:
			var once mach.Port
			if once, _, err = mach.PortExtractRight(self, r.Port, mach.MakeSendOnce); err == nil {
				err = mach.Deallocate(once)
			}
		case r.Type == mach.MoveReceive:
			err = mach.DestroyReceive(r.Port)
		case r.Type != mach.CopySend:
			err = mach.Deallocate(r.Port)
		}
		if err != nil {
			b.config.Log("give back %v: %v", r.Port, err)
		}
	}
}
