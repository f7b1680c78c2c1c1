// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

// Locks on files, and files in memory.

// Flock locks an open file as a whole. It waits, if it has to, in a call of
// the file's server.
func Flock(fd int, how int) error {
	return fileCall(fd, _file_lock, func(m *message) { m.putInt32(uint32(how)) }, nil)
}

// FcntlFlock locks a range of a file, or with F_GETLK tells who has.
func FcntlFlock(fd uintptr, cmd int, lk *Flock_t) error {
	return fileCall(int(fd), _file_record_lock, func(m *message) {
		m.putInt32(uint32(cmd))
		m.putFlock(lk)
		m.putPort(typeCopySend, _MACH_PORT_NULL) // no rendezvous
	}, func(m *message) {
		var got Flock_t
		m.flock(&got)
		if cmd == F_GETLK && !m.bad {
			*lk = got
		}
	})
}

// Protections of memory, to the kernel.
const (
	vmProtRead    = 1
	vmProtWrite   = 2
	vmProtExecute = 4
)

// mmap gives memory, or maps a file: the file's server has an object for its
// contents, which the kernel asks for pages.
func mmap(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error) {
	if flags&MAP_FIXED != 0 || length == 0 || offset < 0 {
		return 0, EINVAL
	}
	cur := uint32(prot>>2&1*vmProtRead | prot&PROT_WRITE | prot&PROT_EXEC<<2)
	limit := uint32(vmProtRead | vmProtWrite | vmProtExecute)
	object := uint32(_MACH_PORT_NULL)
	shared := flags&MAP_SHARED != 0
	if flags&MAP_ANON == 0 {
		var rd, wr uint32
		err := fileCall(fd, _io_map, nil, func(m *message) { rd, wr = m.port(), m.port() })
		if err == EOPNOTSUPP {
			err = ENODEV
		}
		if err != nil {
			return 0, err
		}
		defer portDeallocate(rd)
		defer portDeallocate(wr)
		switch {
		case shared && prot&PROT_WRITE != 0:
			// One object for both, or the file is not open for both.
			if object = wr; wr == _MACH_PORT_NULL || prot&PROT_READ != 0 && rd != wr {
				return 0, EACCES
			}
		default:
			if object = rd; rd == _MACH_PORT_NULL {
				return 0, EACCES
			}
			if shared && wr != rd {
				limit &^= vmProtWrite
			}
		}
		if object == _MACH_PORT_DEAD {
			return 0, EIEIO // the kernel would map zeros
		}
	}
	const inheritShare, inheritCopy = 0, 1
	err := rpcBlock(MachTaskSelf(), _vm_map, func(m *message) {
		m.putWord(addr)
		m.putWord(length)
		m.putWord(0)    // any alignment
		m.putBool(true) // anywhere
		m.putPort(typeCopySend, object)
		m.putWord(uintptr(offset))
		m.putBool(!shared && object != _MACH_PORT_NULL) // a copy
		m.putInt32(cur)
		m.putInt32(limit)
		if shared {
			m.putInt32(inheritShare)
		} else {
			m.putInt32(inheritCopy)
		}
	}, func(m *message) { addr = m.word() })
	if err != nil {
		return 0, err
	}
	return addr, nil
}

func munmap(addr, length uintptr) error {
	return rpc(MachTaskSelf(), _vm_deallocate, func(m *message) {
		m.putWord(addr)
		m.putWord(length)
	}, nil)
}
