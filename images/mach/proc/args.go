package proc

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Bounds of what is read of the memory of a process. It is under the control
// of the process, and may be paged by one that does not answer.
const (
	maxArgs     = 4096
	maxArgBytes = 64 << 10
	readTimeout = 2 * time.Second
)

// strings returns the strings of a vector in the memory of p, each with a zero
// byte after it: its arguments, or with env its environment. A process that
// has not said where they are has its program's name as its only argument.
func (t *Table) strings(ctx context.Context, p *Process, env bool) ([]byte, error) {
	t.lock()
	addr, exe, task := p.argv, p.exe, p.task
	if env {
		addr, exe = p.envp, ""
	}
	switch {
	case p.state >= dead:
		t.unlock()
		return nil, proto.ESRCH
	case addr == 0 || task == mach.Null:
		t.unlock()
		if exe == "" {
			return nil, nil
		}
		return append([]byte(exe), 0), nil
	case p.reading:
		// Its memory does not come, or somebody else is quicker.
		t.unlock()
		return nil, proto.EBUSY
	}
	if err := t.kernel.Retain(task); err != nil {
		t.unlock()
		return nil, proto.ESRCH
	}
	p.reading = true
	t.unlock()

	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	over := func() {
		t.kernel.Release(task)
		t.lock()
		p.reading = false
		t.unlock()
	}
	select {
	case t.readers <- struct{}{}:
	default:
		over()
		return nil, proto.EAGAIN
	}
	go func() {
		b, err := readStrings(func(addr uint64, n int) ([]byte, error) { return t.kernel.Read(task, addr, n) }, addr)
		<-t.readers
		over()
		done <- result{b, err}
	}()
	timeout := time.NewTimer(readTimeout)
	defer timeout.Stop()
	select {
	case r := <-done:
		return r.b, r.err
	case <-timeout.C:
		return nil, proto.ETIMEDOUT
	case <-ctx.Done():
		return nil, proto.EINTR
	}
}

const pageSize = mach.PageSize

// readStrings reads a vector of addresses, up to a null, and the strings that
// they point to. What cannot be read is left out.
func readStrings(read func(addr uint64, n int) ([]byte, error), vector uint64) ([]byte, error) {
	const word = 4 // of this machine; the 64-bit kernel's is 8
	m := &memory{read: read}
	var list []byte
	for i := range uint64(maxArgs) {
		b, err := m.bytes(vector+i*word, word)
		if err != nil {
			if i == 0 {
				return nil, proto.EFAULT
			}
			break
		}
		addr := uint64(binary.LittleEndian.Uint32(b))
		if addr == 0 {
			break
		}
		for len(list) < maxArgBytes {
			b, err := m.rest(addr)
			if err != nil {
				break
			}
			b = b[:min(len(b), maxArgBytes-len(list))]
			if n := bytes.IndexByte(b, 0); n >= 0 {
				list = append(list, b[:n]...)
				break
			}
			list = append(list, b...)
			addr += uint64(len(b))
		}
		if len(list) >= maxArgBytes {
			return append(list[:maxArgBytes-1], 0), nil
		}
		list = append(list, 0)
	}
	return list, nil
}

// memory reads whole pages, and keeps the last.
type memory struct {
	read func(addr uint64, n int) ([]byte, error)
	at   uint64
	page []byte
}

// rest returns the bytes from addr to the end of its page.
func (m *memory) rest(addr uint64) ([]byte, error) {
	at := addr &^ (pageSize - 1)
	if m.page == nil || m.at != at {
		b, err := m.read(at, pageSize)
		if err != nil {
			return nil, err
		}
		if len(b) != pageSize {
			return nil, proto.EFAULT
		}
		m.at, m.page = at, b
	}
	return m.page[addr-at:], nil
}

// bytes returns n bytes, which may be in two pages.
func (m *memory) bytes(addr uint64, n int) ([]byte, error) {
	b, err := m.rest(addr)
	if err != nil {
		return nil, err
	}
	if len(b) >= n {
		return b[:n], nil
	}
	b = bytes.Clone(b)
	next, err := m.rest(addr + uint64(len(b)))
	if err != nil {
		return nil, err
	}
	return append(b, next[:n-len(b)]...), nil
}
