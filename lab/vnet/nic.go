package vnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"hurdlab/lab/vnet/fabric"
	"hurdlab/lab/vnet/spool"
	"hurdlab/lab/vnet/stream"
)

// A NIC is the network interface of one node, as the switch sees it. It stays
// when its node is restarted: only the connection changes.
type NIC struct {
	sw   *Switch
	name string
	mac  [6]byte
	addr netip.Prefix
	port fabric.Port

	// The rest is guarded by sw.mu.
	attached  *attachment // nil while nothing is plugged in
	reason    string      // why the last connection ended
	full      uint64      // frames dropped because the queue was full
	unplugged uint64      // frames dropped because nothing was attached
}

// Name is the node's name.
func (n *NIC) Name() string { return n.name }

// MAC is the hardware address that the node must use.
func (n *NIC) MAC() [6]byte { return n.mac }

// Addr is the node's address, with the length of the lab's prefix.
func (n *NIC) Addr() netip.Prefix { return n.addr }

// An attachment is one connection to a NIC, with its queue.
type attachment struct {
	conn  net.Conn // nil for the gateway
	queue *spool.Spool
	gone  chan struct{} // closed when nothing runs for it any more
}

func newAttachment(conn net.Conn, queueBytes int) *attachment {
	return &attachment{conn: conn, queue: spool.New(queueBytes), gone: make(chan struct{})}
}

// close ends what runs for the attachment, without waiting.
func (a *attachment) close() {
	a.queue.Close()
	if a.conn != nil {
		// Nothing is left to lose with a connection that is given up.
		_ = a.conn.Close()
	}
}

// Attach plugs in a connection to the node's QEMU, which speaks the stream
// framing, and takes ownership of it; what was plugged in before is detached.
// The connection is detached when it ends (QEMU has exited), fails, or is not
// what it should be, and by Attach, Detach and Switch.Close; then it is closed
// and so is the channel. Frames for a NIC with nothing attached are dropped.
func (n *NIC) Attach(conn net.Conn) (detached <-chan struct{}, err error) {
	n.Detach()
	s := n.sw
	a := newAttachment(conn, s.cfg.QueueBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return nil, ErrClosed
	}
	if n.attached != nil { // someone else was quicker
		_ = conn.Close()
		return nil, fmt.Errorf("%s: two connections at the same time", n.name)
	}
	n.attached, n.reason = a, ""

	var halves sync.WaitGroup
	halves.Go(func() { n.unplug(a, n.receive(a)) })
	halves.Go(func() { n.unplug(a, a.transmit()) })
	s.wg.Go(func() {
		halves.Wait()
		close(a.gone)
	})
	return a.gone, nil
}

// Detach pulls the plug: it closes what is attached, if anything, and returns
// when no frame can come from it any more.
func (n *NIC) Detach() {
	n.sw.mu.Lock()
	a := n.attached
	n.sw.mu.Unlock()
	if a == nil {
		return
	}
	n.unplug(a, errDetached)
	<-a.gone
}

var errDetached = errors.New("detached")

// unplug detaches a, unless it is detached already.
func (n *NIC) unplug(a *attachment, reason error) {
	n.sw.mu.Lock()
	if n.attached == a {
		n.attached, n.reason = nil, reason.Error()
		if reason == io.EOF {
			n.reason = "the node has closed it"
		}
	}
	n.sw.mu.Unlock()
	a.close()
}

// receive passes the frames that come from a on to the fabric, as many at a
// time as have come. It returns why there are no more.
func (n *NIC) receive(a *attachment) error {
	s, r := n.sw, stream.NewReader(a.conn)
	for {
		frame, err := r.Next()
		if err != nil {
			return err
		}
		s.mu.Lock()
		if n.attached != a || s.closed {
			s.mu.Unlock()
			return errDetached
		}
		now := s.now()
		s.route(now, n, frame)
		for r.Buffered() {
			if frame, err = r.Next(); err != nil {
				break
			}
			s.route(now, n, frame)
		}
		s.arm()
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// writeBytes is how much is written to a connection at once: a good part of
// what a unix socket holds.
const writeBytes = 64 << 10

// transmit writes the queue to the connection, many frames at a time. It
// returns why it cannot go on.
func (a *attachment) transmit() error {
	for {
		b, ok := a.queue.Take()
		if !ok {
			return errDetached
		}
		for len(b) > 0 {
			n, err := a.conn.Write(b[:min(len(b), writeBytes)])
			if err != nil {
				return err
			}
			a.queue.Free(n)
			b = b[n:]
		}
	}
}

// drain gives the frames in the queue to deliver, until the queue is closed:
// what transmit is for the gateway, which has no connection.
func (a *attachment) drain(deliver func(frame []byte)) {
	defer close(a.gone)
	for {
		b, ok := a.queue.Take()
		if !ok {
			return
		}
		for len(b) > 0 {
			var frame []byte
			frame, b = stream.Cut(b)
			deliver(frame)
		}
	}
}

// deliver queues a frame for what is attached. The caller holds sw.mu.
func (n *NIC) deliver(frame []byte) {
	switch {
	case n.attached == nil:
		n.unplugged++
	case !n.attached.queue.Put(stream.Size(len(frame)), func(b []byte) []byte { return stream.Append(b, frame) }):
		n.full++
	}
}
