package ioport

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A State is what all ports of an object share: whether calls wait, who is to
// get the object's signals, and what it is. The zero value waits. What serves
// a port embeds a pointer to it beside the [Client], for its io routines.
type State struct {
	nonblock atomic.Bool
	owner    atomic.Int32
	identity ports.OnDemand
}

// Nonblock reports whether calls fail in place of waiting.
func (s *State) Nonblock() bool { return s.nonblock.Load() }

// SetNonblock says whether they do.
func (s *State) SetNonblock(on bool) { s.nonblock.Store(on) }

// Openmodes is the answer to io_get_openmodes, for who may do what is in how:
// O_READ and O_WRITE.
func (s *State) Openmodes(how int32) int32 {
	if s.Nonblock() {
		how |= proto.O_NONBLOCK
	}
	return how
}

// IOSetAllOpenmodes sets the modes.
func (s *State) IOSetAllOpenmodes(_ context.Context, bits int32) error {
	s.SetNonblock(bits&proto.O_NONBLOCK != 0)
	return nil
}

// IOSetSomeOpenmodes adds modes.
func (s *State) IOSetSomeOpenmodes(_ context.Context, bits int32) error {
	if bits&proto.O_NONBLOCK != 0 {
		s.SetNonblock(true)
	}
	return nil
}

// IOClearSomeOpenmodes takes modes away.
func (s *State) IOClearSomeOpenmodes(_ context.Context, bits int32) error {
	if bits&proto.O_NONBLOCK != 0 {
		s.SetNonblock(false)
	}
	return nil
}

// IOModOwner says which process, or with less than 0 which group, is to get
// signals.
func (s *State) IOModOwner(_ context.Context, owner int32) error {
	s.owner.Store(owner)
	return nil
}

// IOGetOwner returns what IOModOwner has set.
func (s *State) IOGetOwner(context.Context) (int32, error) { return s.owner.Load(), nil }

// Identity is the answer to io_identity: rights to a port that is the object's
// and to one that is the host's, and the object's number there.
func (c *Client) Identity(s *State, number uint64) (id, fsid mach.Port, fileno int64, err error) {
	h := c.host
	if id, err = s.identity.Right(h.Export, ports.Identity, nil); err != nil {
		return mach.Null, mach.Null, 0, err
	}
	if fsid, err = h.identity.Right(h.Export, ports.Identity, nil); err != nil {
		h.Export.Release(id)
		return mach.Null, mach.Null, 0, err
	}
	return id, fsid, int64(number), nil
}

// SelectUntil is a select, which waits, until a time of the wall clock: then,
// nothing is ready.
func SelectUntil(ctx context.Context, t proto.Timespec, want int32, sel func(context.Context, int32) (int32, error)) (int32, error) {
	limited, cancel := context.WithDeadline(ctx, time.Unix(t.Sec, t.Nsec))
	defer cancel()
	got, err := sel(limited, want)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, nil
	}
	return got, err
}
