package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"hurdlab/mpi"
)

// A ring is the memory that one rank writes and another reads: Slots slots of Slot
// bytes, each of whole pages, used one after the other.
const (
	Slot  = 32 << 10
	Slots = 8

	// Ring is the size of one in bytes.
	Ring = Slot * Slots
)

// mapped is a link by two rings. That there is something in a slot, and that slots
// are free again, is said by messages of other links: memory says nothing by itself.
type mapped struct {
	out, in []byte
	bells   mpi.Link // "there is something", with its length
	credits mpi.Link // "slots are free"

	sending sync.Mutex
	free    int // slots of out
	next    int
	bell    []byte

	took  int // slots of in that the other has not been told of
	first int
	room  [16]byte
}

// Mapped returns a link by memory that both ranks have mapped: out, which this one
// writes, and in, which the other does. Each is [Ring] bytes, and begins with a page.
// bells and credits are two links to the same rank.
func Mapped(out, in []byte, bells, credits mpi.Link) (mpi.Link, error) {
	if len(out) != Ring || len(in) != Ring {
		return nil, fmt.Errorf("link: rings of %d and %d bytes", len(out), len(in))
	}
	return &mapped{out: out, in: in, bells: bells, credits: credits, free: Slots}, nil
}

func (m *mapped) Send(ctx context.Context, tag int32, b []byte) error {
	m.sending.Lock()
	defer m.sending.Unlock()
	for first, total := true, len(b); first || len(b) > 0; first = false {
		for m.free == 0 {
			_, c, err := m.credits.Recv(ctx, nil)
			if err != nil {
				return err
			}
			n := 0
			if len(c) == 1 {
				n = int(c[0])
			}
			if n == 0 || m.free+n > Slots {
				return fmt.Errorf("link: a credit of %x", c)
			}
			m.free += n
		}
		n := min(len(b), Slot)
		copy(m.out[m.next*Slot:][:Slot], b[:n])
		m.next = (m.next + 1) % Slots
		m.free--
		m.bell = binary.LittleEndian.AppendUint32(m.bell[:0], uint32(total))
		m.bell = binary.LittleEndian.AppendUint32(m.bell, uint32(n))
		if err := m.bells.Send(ctx, tag, m.bell); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (m *mapped) Recv(ctx context.Context, buf []byte) (int32, []byte, error) {
	p := part{left: -1}
	for p.left != 0 {
		tag, bell, err := m.bells.Recv(ctx, m.room[:])
		if err != nil {
			return 0, nil, err
		}
		if len(bell) != 8 {
			return 0, nil, fmt.Errorf("link: a bell of %x", bell)
		}
		total, n := binary.LittleEndian.Uint32(bell), binary.LittleEndian.Uint32(bell[4:])
		if n > Slot {
			return 0, nil, fmt.Errorf("link: %d bytes in a slot", n)
		}
		if p.left < 0 {
			if err := p.begin(tag, int64(total), buf); err != nil {
				return 0, nil, err
			}
		}
		if n == 0 && p.left > 0 {
			return 0, nil, errors.New("link: an empty piece")
		}
		if err := p.add(m.in[m.first*Slot:][:n]); err != nil {
			return 0, nil, err
		}
		m.first = (m.first + 1) % Slots
		// Half of them at a time: a sender that has none left gets some.
		if m.took++; m.took == Slots/2 {
			if err := m.credits.Send(ctx, 0, []byte{byte(m.took)}); err != nil {
				return 0, nil, err
			}
			m.took = 0
		}
	}
	return p.tag, p.b, nil
}

func (m *mapped) Close() error { return errors.Join(m.bells.Close(), m.credits.Close()) }
