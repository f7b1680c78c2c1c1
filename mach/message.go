package mach

import (
	"hurdlab/mach/wire"
)

// A Message is a message being made or taken apart: see package wire.
type Message = wire.Message

// A Port is the name of a port in this task, or [Null], or [Dead].
type Port = wire.Port

// A Type is the type of an item, or the disposition of a right.
type Type = wire.Type

const (
	Null = wire.Null
	Dead = wire.Dead

	Char = wire.Char
	Byte = wire.Byte

	MoveReceive  = wire.MoveReceive
	MoveSend     = wire.MoveSend
	MoveSendOnce = wire.MoveSendOnce
	CopySend     = wire.CopySend
	MakeSend     = wire.MakeSend
	MakeSendOnce = wire.MakeSendOnce
)

// NewMessage begins a message in the layout of this machine.
func NewMessage(id int32) *Message { return wire.New(native(), id) }

// Reset begins m anew, which must own nothing any more, and keeps its buffer.
func Reset(m *Message, id int32) { m.Reset(native(), id) }

// Destroy releases the rights and the memory that m owns: what the peer
// sent and nobody took, or what was to be moved to a peer and was not. m is
// then empty. It does what others call mig_dealloc.
//
// It cannot fail in a way that the caller could do something about: a right
// that is gone already needs no release.
func Destroy(m *Message) {
	release := func(p Port, t Type) {
		if !p.Valid() {
			return
		}
		switch t {
		case MoveReceive:
			PortModRefs(TaskSelf(), p, RightReceive, -1)
		case MoveSend, MoveSendOnce:
			PortDeallocate(TaskSelf(), p)
		}
	}
	release(m.TakeRemote())
	if !m.Received() {
		// Of a received message, the local port is where it arrived.
		release(m.Local())
	}
	if m.Complex() {
		for it, err := range m.Items() {
			if err != nil {
				break
			}
			if it.Type.Moves() {
				if b, err := it.Bytes(); err == nil {
					for i := range it.Ports() {
						release(it.Port(b, i), it.Type)
					}
				}
			}
			if it.OOL && it.Dealloc && it.Size() > 0 {
				VMDeallocate(TaskSelf(), uintptr(it.Addr), uintptr(it.Size()))
			}
		}
	}
	Reset(m, 0)
}
