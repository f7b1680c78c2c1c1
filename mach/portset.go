package mach

import (
	"context"
	"encoding/binary"
	"fmt"
)

// A PortSet is a set of receive rights to wait on at once: the kernel's own.
// It costs nothing for each port, where a [Receiver] with a goroutine that
// serves it costs 5 KB, so that a server can have very many. But each call of
// Receive that waits takes a thread, and a call through it about three times
// as long. The port that a message came to is in the message (Local).
type PortSet struct {
	set   Port
	wake  Port // a member, whose messages are interruptions
	ended ended
}

// NewPortSet makes a port set without members.
func NewPortSet() (*PortSet, error) {
	set, err := PortAllocate(TaskSelf(), RightPortSet)
	if err != nil {
		return nil, err
	}
	s := &PortSet{set: set}
	s.wake, err = PortAllocate(TaskSelf(), RightReceive)
	if err == nil {
		err = s.Add(s.wake)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Add makes the receive right p, which stays the caller's, a member. It must
// not be a [Receiver]'s.
func (s *PortSet) Add(p Port) error { return PortMoveMember(TaskSelf(), p, s.set) }

// Remove takes p out of the set. A message from p may be on its way through
// Receive at that time. A receive right that is destroyed, or sent away,
// leaves the set by itself.
func (s *PortSet) Remove(p Port) error { return PortMoveMember(TaskSelf(), p, Null) }

// Receive waits for a message to any member and leaves it in m, whose buffer
// it uses again. m must own nothing.
//
// When ctx ends first, Receive returns its cause; no message is lost. After
// Close it fails with [RcvPortDied] or [RcvInvalidName].
func (s *PortSet) Receive(ctx context.Context, m *Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if ctx.Done() != nil {
		defer s.ended.watch(ctx, s.interrupt)()
	}
	room := replyRoom
	for {
		b := m.Buffer(room)
		b = b[:cap(b)]
		// What is there already costs no switch of threads.
		code := machMsg(b, optRcv|optRcvTimeout|optRcvLarge, 0, s.set, 0)
		if code == RcvTimedOut {
			code = machMsgBlock(b, optRcv|optRcvLarge, 0, s.set, 0)
		}
		switch code.plain() {
		case RcvTooLarge:
			room = int(binary.LittleEndian.Uint32(b[4:]))
			continue
		case KernSuccess, RcvBodyError, RcvHeaderError:
		default:
			return fmt.Errorf("receive from the set %v: %w", s.set, code)
		}
		err := load(m, b, code)
		if p, _ := m.Local(); err != nil || p != s.wake {
			return err
		}
		if err := s.ended.interrupted(ctx, s.interrupt); err != nil {
			return err
		}
	}
}

// interrupt makes one call of Receive look at its context.
func (s *PortSet) interrupt() {
	m := NewMessage(0)
	m.SetDest(s.wake, MakeSend)
	// If the queue is full, that is interruption enough; if the port is gone,
	// so is the set.
	_ = sendNow(m)
}

// Close destroys the set. Its members stay the caller's.
func (s *PortSet) Close() error {
	err := PortModRefs(TaskSelf(), s.set, RightPortSet, -1)
	if s.wake.Valid() {
		if werr := DestroyReceive(s.wake); err == nil {
			err = werr
		}
	}
	return err
}
