package link

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"hurdlab/mach"
	"hurdlab/mpi"
)

// IDMessage is the id of the messages of a [Port] link. It is not answered. Its body:
//
//	tag i32, total i32     of the message, and its length
//	data                   the piece that comes next of it
const IDMessage = 46001

// piece is the longest piece of a message. Netmsg takes more, but other nodes'
// messages have to wait for a record to be through.
const piece = 64 << 10

// A Port is a link of two ports: one of the other rank's to send to, one of this
// rank's to receive from.
type port struct {
	to   mach.Port
	from *mach.Receiver

	sending sync.Mutex
	out     *mach.Message

	in *mach.Message
	p  part
}

// Receiver makes the port that a [Port] receives from, and a send right for the other
// rank to send to. The link ends when that right, and all copies of it, are gone.
func Receiver() (*mach.Receiver, mach.Port, error) {
	r, err := mach.NewReceiver()
	if err != nil {
		return nil, mach.Null, err
	}
	right, err := r.MakeSend()
	if err == nil {
		err = mach.RequestNotification(r.Port(), mach.NotifyNoSenders, 1, r.Port())
	}
	if err != nil {
		r.Close()
		return nil, mach.Null, err
	}
	return r, right, nil
}

// Port returns the link of a send right to the other rank's port and this rank's own
// port, both of which it consumes.
func Port(to mach.Port, from *mach.Receiver) mpi.Link {
	return &port{to: to, from: from, out: mach.NewMessage(IDMessage), in: mach.NewMessage(0), p: part{left: -1}}
}

func (p *port) Send(ctx context.Context, tag int32, b []byte) error {
	p.sending.Lock()
	defer p.sending.Unlock()
	for first, total := true, len(b); first || len(b) > 0; first = false {
		n := min(len(b), piece)
		mach.Reset(p.out, IDMessage)
		p.out.PutInt32(tag)
		p.out.PutInt32(int32(total))
		p.out.PutData(mach.Byte, b[:n])
		if err := mach.Send(ctx, p.to, mach.CopySend, p.out); err != nil {
			if errors.Is(err, mach.SendInvalidDest) {
				return fmt.Errorf("%w: %w", mpi.ErrLost, err)
			}
			return err
		}
		b = b[n:]
	}
	return nil
}

func (p *port) Recv(ctx context.Context, buf []byte) (int32, []byte, error) {
	for {
		if err := p.from.Receive(ctx, p.in); err != nil {
			return 0, nil, err
		}
		whole, err := p.take(p.in, buf)
		mach.Destroy(p.in)
		switch {
		case err != nil:
			return 0, nil, err
		case whole:
			p.p.left = -1
			return p.p.tag, p.p.b, nil
		}
	}
}

// take takes a message that has arrived. It reports whether it completes one
// of the other rank's.
func (p *port) take(m *mach.Message, buf []byte) (whole bool, err error) {
	if n, ok, err := mach.TakeNotification(m); ok {
		if err == nil && n.Kind == mach.NotifyNoSenders {
			err = mpi.ErrLost
		}
		return false, err
	}
	if m.ID() != IDMessage {
		return false, fmt.Errorf("link: message %d", m.ID())
	}
	tag, total, b := m.TakeInt32(), m.TakeInt32(), m.TakeData(piece)
	if err := m.End(); err != nil {
		return false, err
	}
	if p.p.left < 0 {
		if err := p.p.begin(tag, int64(total), buf); err != nil {
			return false, err
		}
	}
	if len(b) == 0 && p.p.left > 0 {
		return false, errors.New("link: an empty piece")
	}
	if err := p.p.add(b); err != nil {
		return false, err
	}
	return p.p.left == 0, nil
}

func (p *port) Close() error {
	return errors.Join(mach.Deallocate(p.to), p.from.Close())
}
