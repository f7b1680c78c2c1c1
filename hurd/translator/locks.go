package translator

import (
	"context"
	"math"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// maxLocks bounds the locks on one node.
const maxLocks = 4096

// locks are the locks that openings have on ranges of a node: file_lock, which
// locks the whole, and file_record_lock. The zero value has none.
type locks struct {
	mu      sync.Mutex
	held    []lock
	changed chan struct{} // closed, and forgotten, when a lock goes; or nil
}

// A lock is on the bytes from start up to and including last.
type lock struct {
	owner       *peropen
	start, last int64
	write       bool
}

const whole = math.MaxInt64 // the last byte of any file

// conflict returns a lock of another owner that keeps l from being set. Those
// that were closed, but of which this server has not heard, do not.
func (k *locks) conflict(l lock) (lock, bool) {
	for _, h := range k.held {
		if h.owner != l.owner && h.start <= l.last && l.start <= h.last && (h.write || l.write) && !h.owner.abandoned() {
			return h, true
		}
	}
	return lock{}, false
}

// set sets l, in place of what its owner has in the range. If another lock is
// in the way it waits, or fails with EAGAIN.
func (k *locks) set(ctx context.Context, l lock, wait bool) error {
	for {
		k.mu.Lock()
		if _, bad := k.conflict(l); !bad {
			held := append(k.cut(l), l)
			if len(held) > maxLocks {
				k.mu.Unlock()
				return proto.ENOLCK
			}
			k.replace(held)
			k.mu.Unlock()
			return nil
		}
		if !wait {
			k.mu.Unlock()
			return proto.EAGAIN
		}
		if k.changed == nil {
			k.changed = make(chan struct{})
		}
		changed := k.changed
		k.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// clear takes away what the owner of l has in its range.
func (k *locks) clear(l lock) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	held := k.cut(l)
	if len(held) > maxLocks {
		return proto.ENOLCK // a lock that is cut in two
	}
	k.replace(held)
	return nil
}

// drop takes away all locks of an opening that ends.
func (k *locks) drop(owner *peropen) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.held) > 0 {
		k.replace(k.cut(lock{owner: owner, last: whole}))
	}
}

// cut returns the locks without what the owner of l has in its range.
func (k *locks) cut(l lock) []lock {
	var held []lock
	for _, h := range k.held {
		if h.owner != l.owner || h.start > l.last || l.start > h.last {
			held = append(held, h)
			continue
		}
		if h.start < l.start {
			held = append(held, lock{h.owner, h.start, l.start - 1, h.write})
		}
		if h.last > l.last {
			held = append(held, lock{h.owner, l.last + 1, h.last, h.write})
		}
	}
	return held
}

// replace replaces the locks. Whoever waits looks again.
func (k *locks) replace(held []lock) {
	k.held = held
	if k.changed != nil {
		close(k.changed)
		k.changed = nil
	}
}

// FileLock locks the whole file for this opening (section 5.7).
func (p *protid) FileLock(ctx context.Context, flags int32) error {
	k := &p.open.node.locks
	l := lock{owner: p.open, last: whole, write: flags&proto.LOCK_EX != 0}
	switch flags &^ proto.LOCK_NB {
	case proto.LOCK_UN:
		return k.clear(l)
	case proto.LOCK_SH, proto.LOCK_EX:
		return k.set(ctx, l, flags&proto.LOCK_NB == 0)
	}
	return proto.EINVAL
}

// FileLockStat tells what this opening has locked and what others have.
func (p *protid) FileLockStat(context.Context) (mine, others int32, err error) {
	k := &p.open.node.locks
	k.mu.Lock()
	defer k.mu.Unlock()
	mine, others = proto.LOCK_UN, proto.LOCK_UN
	for _, h := range k.held {
		s := &others
		if h.owner == p.open {
			s = &mine
		}
		if h.write {
			*s = proto.LOCK_EX
		} else if *s == proto.LOCK_UN {
			*s = proto.LOCK_SH
		}
	}
	return mine, others, nil
}

// FileRecordLock locks a range for this opening. There is no detection of
// deadlocks: a call that waits can be interrupted.
func (p *protid) FileRecordLock(ctx context.Context, cmd int32, f proto.Flock, rendezvous mach.Port) (proto.Flock, error) {
	l, err := p.rangeOf(ctx, f)
	if err != nil {
		return f, err
	}
	k := &p.open.node.locks
	how := p.open.how
	switch cmd {
	case proto.F_GETLK:
		if f.Type == proto.F_UNLCK {
			return f, proto.EINVAL
		}
		k.mu.Lock()
		h, bad := k.conflict(l)
		k.mu.Unlock()
		if !bad {
			f.Type = proto.F_UNLCK
			break
		}
		f = proto.Flock{Type: proto.F_RDLCK, Start: h.start, PID: -1} // the owner is not a process
		if h.write {
			f.Type = proto.F_WRLCK
		}
		if h.last != whole {
			f.Len = h.last - h.start + 1
		}
	case proto.F_SETLK, proto.F_SETLKW:
		switch {
		case f.Type == proto.F_UNLCK:
			err = k.clear(l)
		case l.write && how&mayWrite == 0, !l.write && how&mayRead == 0:
			return f, proto.EBADF
		default:
			err = k.set(ctx, l, cmd == proto.F_SETLKW)
		}
		if err != nil {
			return f, err
		}
	default:
		return f, proto.EINVAL
	}
	p.fs.ports.Release(rendezvous)
	return f, nil
}

// rangeOf returns the range that f means.
func (p *protid) rangeOf(ctx context.Context, f proto.Flock) (lock, error) {
	l := lock{owner: p.open, write: f.Type == proto.F_WRLCK}
	if f.Type != proto.F_RDLCK && f.Type != proto.F_WRLCK && f.Type != proto.F_UNLCK {
		return l, proto.EINVAL
	}
	var base int64
	switch f.Whence {
	case proto.SeekSet:
	case proto.SeekCur:
		if err := p.open.seek.take(ctx); err != nil {
			return l, err
		}
		base = p.open.pos
		p.open.seek.give()
	case proto.SeekEnd:
		st, err := p.open.node.Stat(ctx)
		if err != nil {
			return l, err
		}
		base = st.Size
	default:
		return l, proto.EINVAL
	}
	l.start = base + f.Start
	switch {
	case f.Start > 0 && l.start < base, f.Len > 0 && l.start > math.MaxInt64-f.Len+1:
		return l, proto.EOVERFLOW
	case f.Len > 0:
		l.last = l.start + f.Len - 1
	case f.Len < 0:
		l.last = l.start - 1
		l.start += f.Len
	default:
		l.last = whole
	}
	if l.start < 0 || l.last < l.start {
		return l, proto.EINVAL
	}
	return l, nil
}
