package bridge

import (
	"context"
	"errors"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// Memory objects. What a kernel and a pager say to each other are messages like others,
// to the proxy of the memory object there, to that of the kernel's control port here, in
// the order in which they are sent. Three things are not like others:
//
//   - A pager of a kernel, such as a device's, panics at a message that it does not expect,
//     and one that serves a single kernel never answers a second. So kernels' messages are
//     delivered only to memory objects that have said that they serve several
//     (pager_info). A kernel that asks another is told that the object is gone.
//   - A kernel that ends its use moves the receive rights of its control and name ports to
//     the pager, so that these are dead then. Here they stay at netmsg, and the pager is
//     told (pager_detach). They go when the pager has let go of them: no notice of their
//     death can overtake the pages that the kernel has returned before.
//   - io_map is answered by [Config.Local], which asks the other node's netmsg.

// toPager reports whether a message is one of a kernel to a pager.
func toPager(id int32) bool { return id >= mach.IDPagerInit && id <= mach.IDPagerChangeCompleted }

// many says what is known of a port as a memory object.
type many uint8

const (
	unknown many = iota
	yes          // it serves several kernels
	no
)

// askTime is how long a port may take to say so.
const askTime = 10 * time.Second

// ManyKernels asks whether a port is a memory object that several kernels can use.
func ManyKernels(ctx context.Context, object mach.Port) bool {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	_, err := proto.PagerInfo(ctx, object)
	return err == nil
}

// ask asks a port of this node, in the goroutine that sends to it. It reports whether
// kernels' messages may be sent to it.
func (b *Bridge) ask(to *port) bool {
	b.mu.Lock()
	known := to.many
	b.mu.Unlock()
	if known == unknown {
		known = no
		if ManyKernels(b.ctx, to.name) { // what waits for it keeps the name
			known = yes
		}
		b.mu.Lock()
		to.many = known
		b.mu.Unlock()
	}
	return known == yes
}

// refusePager destroys a message of a kernel to what is no memory object that could serve
// it. A kernel that begins to use it is told so, lest its users wait.
func (b *Bridge) refusePager(m *mach.Message) {
	if m.ID() == mach.IDPagerInit {
		for it, err := range m.Items() {
			if err != nil || !it.Type.IsRight() || it.Ports() == 0 {
				break
			}
			if list, err := it.Bytes(); err == nil {
				_ = mach.MemoryObjectDestroy(it.Port(list, 0), mach.KernReturn(proto.EOPNOTSUPP))
			}
			break // the first is the control port
		}
	}
	mach.Destroy(m)
}

// terminated takes memory_object_terminate.
func (b *Bridge) terminated(p *port, a arrival) {
	if len(a.list) != 2 || a.list[0].Type != mach.MoveReceive || a.list[1].Type != mach.MoveReceive {
		b.destroy(a)
		return
	}
	a.body.Free()
	control, name := a.list[0].Port, a.list[1].Port
	for _, r := range []mach.Port{control, name} {
		if q := b.names[r]; q != nil && !q.proxy && !q.ended {
			q.ended = true // to be destroyed when it is forgotten
		} else if r.Valid() {
			_ = mach.DestroyReceive(r)
		}
	}
	q := b.names[control]
	if q == nil || !q.ended {
		return // the pager has let go of it already
	}
	self := mach.TaskSelf()
	err := mach.PortInsertRight(self, control, control, mach.MakeSend)
	if err == nil {
		m := mach.NewMessage(idPagerDetach)
		m.PutRight(control, mach.MoveSend)
		var body *wire.Body
		if body, _, err = wire.Encode(m, nil); err == nil {
			b.node.Sent(p.id, rights.LocalMessage{Body: body, Rights: []rights.LocalRight{{Kind: rights.Send, Port: q.id}}})
			b.act()
			return
		}
		err = errors.Join(err, mach.Deallocate(control))
	}
	b.config.Log("the end of a kernel's use of a memory object: %v", err)
}

const idPagerDetach = 45801
