package bridge

import (
	"bytes"
	"context"
	"errors"

	"hurdlab/mach"
	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// Receive rights on the move (section 7 of the protocol).
//
// A port whose receive right a task has sent away is adopted: netmsg receives from it as
// from a proxy. It differs from one in what it may have from before: messages in its
// queue, and send-once rights. So what comes by a send-once right is carried like the
// rest, but for the marker that Flush has put there; and the kernel's notice that there are
// no senders comes elsewhere, and counts only when there are no messages and no
// send-once rights either (C4). Each of those ends as a message, so that it is enough to
// look again after each message.
//
// Until the marker has come, the limit of the queue is 0: who sends waits, or the tasks of the
// node could go on and on before it, and nothing bounds what is sent to the new home until
// then (M5). What is on its way here from peers is put into the queue by send-once rights.
//
// A proxy that becomes a port of a task is yielded: its queue is emptied, while its limit
// keeps senders waiting, and filled again, with what comes first before it. That takes
// turns with those who receive from it, so it is done in a goroutine, and the message with
// the receive right waits for it, and so do later ones to the port. What is put into the
// queue is sent by send-once rights, which have no limit to wait for.

// A yield is the receive right of a proxy on its way to a task.
type yield struct {
	port    *port
	adopted bool
	limit   int // of the queue
	front   []*delivery
	late    []arrival     // taken from the port, but not sent on
	still   chan struct{} // closed when nobody has a message in its hands
	whole   bool          // nothing is added to late any more
	done    chan struct{} // closed when the queue is as it has to be
}

// A marker has bytes that no task can know.
const (
	idMarker   = 1
	markerSize = 16
)

// adopt takes over a receive right, which came with a message.
func (b *Bridge) adopt(p *port) error {
	self := mach.TaskSelf()
	p.proxy, p.adopted, p.made, p.taken, p.paused, p.held, p.notify, p.quiet = true, true, 0, 0, false, false, false, false
	b.adopted[p] = true
	st, err := mach.PortGetStatus(self, p.name)
	p.limit = st.QueueLimit
	err = errors.Join(err, mach.PortSetQueueLimit(self, p.name, 0),
		mach.PortSetMakeSendCount(self, p.name, 0), mach.PortSetSeqno(self, p.name, 0))
	if b.polled < maxPolled {
		if perr := b.poll(p, p.name); perr == nil {
			return err
		}
	}
	return errors.Join(err, b.set.Add(p.name))
}

// flush puts a marker into the queue of an adopted port.
func (b *Bridge) flush(p *port) {
	m := mach.NewMessage(idMarker)
	m.PutData(mach.Byte, b.marker)
	m.SetDest(p.name, mach.MakeSendOnce)
	b.wait(p, &delivery{m: m})
}

// flushed lets senders go on when the marker has come.
func (b *Bridge) flushed(p *port) {
	if err := mach.PortSetQueueLimit(mach.TaskSelf(), p.name, p.limit); err != nil {
		b.config.Log("the queue of %v: %v", p.name, err)
	}
	p.limit = 0
}

// squeeze sends a message to a port of this task by a send-once right, whatever is in its
// queue.
func squeeze(name mach.Port, m *mach.Message) error {
	once, _, err := mach.PortExtractRight(mach.TaskSelf(), name, mach.MakeSendOnce)
	if err != nil {
		mach.Destroy(m)
		return err
	}
	m.SetDest(once, mach.MoveSendOnce)
	_, err = mach.TrySend(m, true)
	return err
}

// marked reports whether a message is a marker.
func (b *Bridge) marked(a arrival) bool {
	if a.body.ID() != idMarker {
		return false
	}
	for it := range a.body.Items() {
		return it.Type == machwire.Byte && bytes.Equal(it.Data, b.marker)
	}
	return false
}

// quiet takes the kernel's notice that some adopted port has no senders.
func (b *Bridge) quiet() {
	for p := range b.adopted {
		if !p.notify {
			continue
		}
		if st, err := mach.PortGetStatus(mach.TaskSelf(), p.name); err == nil && !st.NoSenders {
			p.notify, p.quiet = false, true
			b.quieted(p)
		}
	}
}

// quieted tells the table that an adopted port has no senders, if it has no messages
// and no send-once rights.
func (b *Bridge) quieted(p *port) {
	if !p.quiet || p.gone || !p.proxy {
		return
	}
	st, err := mach.PortGetStatus(mach.TaskSelf(), p.name)
	switch {
	case err != nil || st.Queued > 0 || st.SendOnceRights > 0 || st.Seqno != p.taken || len(p.pending) > 0:
		return
	case st.SendRights: // by now
		p.quiet, p.notify = false, true
		err = mach.RequestNotification(p.name, mach.NotifyNoSenders, st.MakeSendCount, b.notify.Port())
	default:
		p.quiet = false
		b.node.NoSenders(p.id, st.MakeSendCount)
		b.act()
	}
	if err != nil {
		b.config.Log("adopted %v: %v", p.name, err)
	}
}

// yield makes a proxy a port of the node, whose receive right the next delivery has.
func (b *Bridge) yield(a rights.Yield) error {
	self := mach.TaskSelf()
	p := b.ports[a.Port]
	y := &yield{port: p, adopted: p.adopted, still: make(chan struct{}), done: make(chan struct{})}
	p.yield, p.proxy, p.adopted, p.quiet = y, false, false, false
	delete(b.adopted, p)
	if p.name == mach.Dead { // it could not be made
		for _, d := range a.Front {
			d.Message.Body.(*wire.Body).Free()
			b.node.Delivered(d.Delivery)
		}
		p.yield = nil
		return nil
	}
	st, err := mach.PortGetStatus(self, p.name)
	if y.limit = st.QueueLimit; p.limit > 0 {
		y.limit, p.limit = p.limit, 0
	}
	err = errors.Join(err, mach.PortSetQueueLimit(self, p.name, 0))
	if p.notify {
		p.notify = false
		err = errors.Join(err, mach.RequestNotification(p.name, mach.NotifyNoSenders, 0, mach.Null))
	}
	err = errors.Join(err, mach.PortInsertRight(self, p.name, p.name, mach.MakeSend)) // the table's
	for _, d := range a.Front {
		m, _, merr := b.message(p, d, true)
		if merr != nil {
			b.config.Log("message %d for %v: %v", d.Message.Body.(*wire.Body).ID(), p.name, merr)
			b.stats.Failed++
			b.node.Delivered(d.Delivery)
		} else {
			y.front = append(y.front, &delivery{id: d.Delivery, m: m})
		}
		d.Message.Body.(*wire.Body).Free()
	}
	// What waits for memory is taken from who copies it, and may be reading the message.
	y.late, p.pending = p.pending, nil
	p.moves++
	if len(y.late) > 0 && y.late[0].m != nil {
		m := mach.NewMessage(0)
		if lerr := m.Load(machwire.Native, append([]byte(nil), y.late[0].m.Buffer(0)...), nil); lerr == nil {
			y.late[0].m = m
		}
	}
	p.made, p.paused, p.held = 0, false, false
	if r := p.recv; r != nil {
		p.recv = nil
		b.polled--
		b.released[r] = y
		r.Release()
		if p.going != nil {
			p.going.Broadcast()
		}
	} else {
		err = errors.Join(err, b.pass(y))
	}
	go b.refill(y)
	return err
}

// pass sees that y is told when all that had been received from the set is taken.
func (b *Bridge) pass(y *yield) (err error) {
	_ = b.set.Remove(y.port.name) // a paused one is not in it
	b.passing = append(b.passing, y)
	m := mach.NewMessage(0)
	m.SetDest(b.barrier, mach.MakeSendOnce) // which has no limit to wait for
	_, err = mach.TrySend(m, false)
	return err
}

// passed reports whether a message has come to the barrier: those before it are taken.
func (b *Bridge) passed(name mach.Port) bool {
	if name != b.barrier {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, y := range b.passing {
		close(y.still)
	}
	b.passing = nil
	return true
}

// ended says that nothing comes from a receiver any more.
func (b *Bridge) ended(r *mach.Receiver) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if y := b.released[r]; y != nil {
		delete(b.released, r)
		close(y.still)
	}
}

// refill makes the queue of a port that a task gets what it has to be.
func (b *Bridge) refill(y *yield) {
	select {
	case <-y.still:
	case <-b.ctx.Done():
	}
	self := mach.TaskSelf()
	name := y.port.name
	b.mu.Lock()
	y.whole = true
	b.mu.Unlock()
	queued, err := y.drain()
	if err != nil {
		b.config.Log("the queue of %v: %v", name, err)
	}
	put := func(m *mach.Message) {
		if err := squeeze(name, m); err != nil {
			b.config.Log("the queue of %v: %v", name, err)
		}
	}
	for _, d := range y.front {
		_ = mach.Deallocate(name) // the reference that it was to be sent by
		put(d.m)
	}
	for _, a := range append(y.late, queued...) {
		if a.by == mach.MoveSendOnce && !y.adopted {
			b.mu.Lock()
			b.destroy(a) // the kernel's, for the proxy
			b.mu.Unlock()
			continue
		}
		m := a.m
		if m == nil {
			if m, err = again(a); err != nil {
				b.config.Log("the queue of %v: %v", name, err)
				b.destroy(a)
				continue
			}
		} else {
			m.SetReply(m.TakeRemote())
		}
		put(m)
	}
	if err := mach.PortSetQueueLimit(self, name, y.limit); err != nil {
		b.config.Log("the queue of %v: %v", name, err)
	}
	b.mu.Lock()
	defer b.finish()
	y.port.yield = nil
	close(y.done)
	for _, d := range y.front {
		b.node.Delivered(d.id)
		b.act()
	}
}

// drain takes what is in the queue.
func (y *yield) drain() (list []arrival, err error) {
	self := mach.TaskSelf()
	set, err := mach.NewPortSet()
	if err != nil {
		return nil, err
	}
	defer set.Close()
	if err := set.Add(y.port.name); err != nil {
		return nil, err
	}
	defer set.Remove(y.port.name)
	for {
		st, err := mach.PortGetStatus(self, y.port.name)
		if err != nil || st.Queued == 0 {
			return list, err
		}
		m := mach.NewMessage(0)
		if err := set.Receive(context.Background(), m); err != nil {
			return list, err
		}
		_, by := m.Local()
		list = append(list, arrival{m: m, by: by})
	}
}

// again makes the message again that has been taken apart.
func again(a arrival) (*mach.Message, error) {
	m := mach.NewMessage(a.body.ID())
	err := a.body.Decode(m, place(a.body), func(first, n int, kind mach.Type) ([]mach.Port, mach.Type, error) {
		ports := make([]mach.Port, n)
		for i := range ports {
			ports[i] = a.list[first+i].Port
		}
		return ports, kind, nil
	})
	if err != nil {
		freeMemory(m)
		return nil, err
	}
	if a.body.Reply() != 0 && a.list[0].Port != mach.Null {
		m.SetReply(a.list[0].Port, a.list[0].Type)
	}
	a.body.Free()
	return m, nil
}

// yields are those that a delivery has to wait for: of the port that it is for, and of
// the receive rights in it.
func (b *Bridge) yields(to *port, d rights.Deliver) (list []*yield) {
	if to.yield != nil {
		list = append(list, to.yield)
	}
	for _, r := range d.Message.Rights {
		if r.Kind == rights.Receive {
			if p := b.ports[r.Port]; p != nil && p.yield != nil {
				list = append(list, p.yield)
			}
		}
	}
	return list
}
