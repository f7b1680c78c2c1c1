package proto

import (
	"context"

	"hurdlab/mach"
)

// A Right is a right in a request, and how it is made from one of this task's.
// The zero value is null.
type Right struct {
	Port mach.Port
	As   mach.Type
}

// Copy passes on a send right that the caller keeps.
func Copy(p mach.Port) Right { return Right{p, mach.CopySend} }

// Move gives a send right away, whether the call succeeds or not.
func Move(p mach.Port) Right { return Right{p, mach.MoveSend} }

// Make makes a send right from a receive right of this task.
func Make(p mach.Port) Right { return Right{p, mach.MakeSend} }

// Once makes a send-once right from a receive right of this task.
func Once(p mach.Port) Right { return Right{p, mach.MakeSendOnce} }

func (r Right) put(m *mach.Message) {
	if r.As == 0 {
		r.As = mach.CopySend // of null
	}
	m.PutRight(r.Port, r.As)
}

// taken is the rights that were taken from a message, to be released if it
// turns out to be no good.
type taken struct {
	list []Right
}

func (o *taken) add(p mach.Port, t mach.Type) mach.Port {
	if p.Valid() {
		o.list = append(o.list, Right{p, t})
	}
	return p
}

func (o *taken) send(m *mach.Message) mach.Port { return o.add(m.TakeSend(), mach.MoveSend) }

func (o *taken) sendOnce(m *mach.Message) mach.Port {
	return o.add(m.TakeSendOnce(), mach.MoveSendOnce)
}

func (o *taken) receive(m *mach.Message) mach.Port { return o.add(m.TakeReceive(), mach.MoveReceive) }

func (o *taken) any(m *mach.Message) Right {
	p, t := m.TakeRight()
	return Right{o.add(p, t), t}
}

// sends takes an array of send rights. Other rights in their place are an
// error: an array may have any kind, and a receive right that nobody expects
// would stay for ever.
func (o *taken) sends(m *mach.Message) []mach.Port {
	list, t := m.TakeRights(maxRights)
	for _, p := range list {
		o.add(p, t)
	}
	if t != mach.MoveSend && len(list) > 0 {
		m.Fail("an array of other than send rights")
	}
	return list
}

func (o *taken) release(ctx context.Context) {
	if o == nil {
		return
	}
	for _, r := range o.list {
		release(ctx, r.Port, r.As)
	}
	o.list = nil
}
