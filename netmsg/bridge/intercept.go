package bridge

import (
	"context"
	"fmt"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
)

// Requests that cannot do what they are for when they are merely carried.
const (
	idReauthenticate = 21014
	idMap            = 21018
	idMapCntl        = 21019
)

// maxReauth bounds the calls of io_reauthenticate that are under way, and reauthTime
// how long one may take.
const (
	maxReauth  = 256
	reauthTime = time.Minute
)

// intercept answers some requests here. It reports whether it has taken a.
func (b *Bridge) intercept(p *port, a arrival) bool {
	id := a.body.ID()
	if local := b.config.Local[id]; local != nil && !p.once {
		b.serve(p, a, local)
		return true
	}
	switch id {
	case idMap, idMapCntl:
		// Without [Config.Local]: whether the memory object can have several kernels is
		// not known. Clients, such as the exec server, read instead.
		b.answer(a, proto.EOPNOTSUPP)
		return true
	case mach.IDPagerTerminate:
		b.terminated(p, a)
		return true
	case idReauthenticate:
		return b.reauthenticate(p, a)
	}
	return false
}

// maxLocal bounds the requests that are answered by [Config.Local] at a time.
const maxLocal = 256

// serve answers a request to a proxy here, in a goroutine.
func (b *Bridge) serve(p *port, a arrival, local func(file mach.Port) mach.Handler) {
	req, err := whole(a)
	if err == nil && b.locals >= maxLocal {
		err = proto.EAGAIN
	}
	if err != nil {
		b.answer(a, proto.Code(err))
		return
	}
	b.locals++
	go func() {
		defer func() {
			b.mu.Lock()
			b.locals--
			b.mu.Unlock()
		}()
		file, err := b.ownRight(p)
		reply := mach.NewMessage(0)
		_ = mach.Dispatch(b.ctx, mach.HandlerFunc(func(ctx context.Context, req, reply *mach.Message) error {
			if err != nil {
				return err
			}
			return local(file).Handle(ctx, req, reply)
		}), req, reply)
		if err == nil {
			_ = mach.Deallocate(file)
		}
		a.body.Free()
	}()
}

// whole makes the message again that has been taken apart. Its memory is the body's.
func whole(a arrival) (*mach.Message, error) {
	m := mach.NewMessage(a.body.ID())
	err := a.body.Decode(m, nil, func(first, n int, kind mach.Type) ([]mach.Port, mach.Type, error) {
		ports := make([]mach.Port, n)
		for i := range ports {
			ports[i] = a.list[first+i].Port
		}
		return ports, kind, nil
	})
	if err != nil {
		return nil, err
	}
	memory := bodyMemory{}
	m.Bind(func(b []byte) uint64 {
		memory[uint64(len(memory)+1)] = b
		return uint64(len(memory))
	})
	// Where a message received has its right to reply, one that is made has its
	// destination.
	if a.body.Reply() != 0 {
		m.SetReply(mach.Null, 0)
		m.SetDest(a.list[0].Port, a.list[0].Type)
	} else {
		m.SetDest(mach.Null, 0)
	}
	req := mach.NewMessage(0)
	return req, req.Load(machwire.Native, m.Buffer(0), memory)
}

// bodyMemory is the out-of-line memory of a message that was made again, by what is
// in the place of addresses there.
type bodyMemory map[uint64][]byte

func (m bodyMemory) Bytes(addr uint64, n int) ([]byte, error) {
	if b := m[addr]; len(b) >= n {
		return b[:n], nil
	}
	return nil, errMemory
}

// answer answers a request with a code, and destroys what is in it.
func (b *Bridge) answer(a arrival, code mach.KernReturn) {
	if a.body.Reply() != 0 {
		r := a.list[0]
		a.list = a.list[1:]
		m := mach.NewMessage(a.body.ID() + 100)
		m.PutInt32(int32(code))
		m.SetDest(r.Port, r.Type)
		if full, err := mach.TrySend(m, false); full || err != nil {
			mach.Destroy(m)
		}
	}
	b.destroy(a)
}

// reauthenticate plays the server's part in a rendezvous of this node's
// authentication server: the server's own could never meet a client from here.
//
// The client gets its new port before it can be known who it is. So it gets a right to
// a port that nobody receives from yet, and when the peer's door has given the
// file for that user, that port becomes the proxy of it.
func (b *Bridge) reauthenticate(p *port, a arrival) bool {
	node := b.node.Route(p.id)
	first := 0
	if a.body.Reply() != 0 {
		first = 1
	}
	if b.config.Reauthenticate == nil || node == "" || p.once || len(a.list) != first+1 || a.list[first].Type != mach.MoveSend {
		return false
	}
	rendezvous := a.list[first].Port
	a.list[first].Port = mach.Null
	if b.reauths >= maxReauth {
		a.list[first].Port = rendezvous
		b.answer(a, proto.EAGAIN)
		return true
	}
	b.reauths++
	b.answer(a, mach.KernSuccess)
	go func() {
		err := b.becomeUser(p, node, rendezvous)
		b.mu.Lock()
		b.reauths--
		b.mu.Unlock()
		if err != nil {
			b.config.Log("io_reauthenticate at a file of %v: %v", node, err)
		}
	}()
	return true
}

func (b *Bridge) becomeUser(p *port, node rights.NodeID, rendezvous mach.Port) error {
	ctx, cancel := context.WithTimeout(b.ctx, reauthTime)
	defer cancel()
	self := mach.TaskSelf()
	stand, err := mach.PortAllocate(self, mach.RightReceive)
	if err != nil {
		_ = mach.Deallocate(rendezvous)
		return err
	}
	fail := func(err error) error {
		_ = mach.DestroyReceive(stand) // and the client has a dead name
		return err
	}
	uids, _, gids, _, err := proto.AuthServerAuthenticate(ctx, b.config.Auth, proto.Move(rendezvous), proto.Make(stand))
	if err != nil {
		return fail(err)
	}
	file, err := b.ownRight(p)
	if err != nil {
		return fail(err)
	}
	got, err := b.config.Reauthenticate(ctx, node, file, uids, gids)
	_ = mach.Deallocate(file)
	if err != nil {
		return fail(err)
	}
	if err := b.standIn(got, stand, nil); err != nil {
		_ = mach.Deallocate(got)
		return fail(err)
	}
	return nil
}

// ownRight makes a send right to a proxy for this task, outside the count of those
// made for others.
func (b *Bridge) ownRight(p *port) (mach.Port, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.gone {
		return mach.Null, proto.EIEIO
	}
	self := mach.TaskSelf()
	if err := mach.PortInsertRight(self, p.name, p.name, mach.MakeSend); err != nil {
		return mach.Null, err
	}
	return p.name, mach.PortSetMakeSendCount(self, p.name, p.made)
}

// standIn makes the receive right stand, from which one send right has been made, the
// proxy that got is the one send right of. It consumes both if it succeeds. The messages in
// list, which have come to stand already, come before all others.
func (b *Bridge) standIn(got, stand mach.Port, list []arrival) error {
	b.mu.Lock()
	defer b.finish()
	q := b.names[got]
	if q == nil || !q.proxy || q.once || q.adopted || q.made != 1 || len(q.pending) > 0 {
		return fmt.Errorf("the peer's answer is no right of its own")
	}
	delete(b.names, got)
	err := b.destroyReceive(q)
	if derr := mach.Deallocate(got); err == nil {
		err = derr
	}
	b.names[stand] = q
	if len(list) > 0 {
		q.pending = list
		go b.work(q, q.moves)
	}
	if b.polled >= maxPolled || b.poll(q, stand) != nil {
		q.name = stand
	}
	if q.notify && err == nil {
		err = mach.RequestNotification(stand, mach.NotifyNoSenders, q.armed, stand)
	}
	if err == nil {
		err = b.membership(q)
	}
	if err != nil {
		b.config.Log("stand in for %v: %v", got, err)
	}
	return nil
}
