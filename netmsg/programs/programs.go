// Package programs keeps copies of program files of other nodes, so that a program which
// is run again is not read again: it is mapped from the copy, as a program of the
// node's own is, and those who run it share its pages.
//
// It is for files that cannot be mapped across nodes. What is mapped is kept by
// the kernel, and needs none of this.
//
// # When a copy is good
//
// A copy is that of a file as io_stat describes it: file system, number, generation,
// size and times. It is asked for each time, so that a program which has been
// changed is read anew. A copy is kept only if the description was the same for a
// while: as long as clocks have ticks, a change could follow within that of the one
// before.
//
// What io_stat says is said by whoever serves the file, who may be anybody and lie. So
// copies are kept for each [Owner] apart: who runs a program trusts it with all that they
// are, and can be told no more by it than they would have believed anyway.
//
// # Place in the house
//
// It stands on hurd/proto. netmsg/cmd/netmsg asks it for what file_exec is about.
package programs

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Bounds.
const (
	// DefaultLimit bounds all copies together, in bytes.
	DefaultLimit = 16 << 20
	// piece is what is read at a time, and under how many of them are on their way.
	piece = 64 << 10
	under = 4
	// settled is how long a file must have been as it is.
	settled = 50 * time.Millisecond
	// removeTime is how long it may take to remove copies.
	removeTime = 10 * time.Second
)

// An Owner is on whose behalf a program is run: which node the file is of, since which
// epoch of it, and who runs it. Its fields mean nothing here.
type Owner struct {
	Node  string
	Epoch uint64
	User  string
}

// A Cache keeps copies.
type Cache struct {
	// Dir opens the directory that the copies are in, and nothing else. They have
	// names only because pages of files without are not kept by the kernel when
	// nobody maps them (docs/mach-image.md).
	Dir func(ctx context.Context) (mach.Port, error)
	// Limit bounds the copies, in bytes; 0 is DefaultLimit.
	Limit int64

	mu      sync.Mutex
	entries []*entry // the last used one last
	bytes   int64    // reserved
	last    int      // name
	stats   Stats
}

// Stats count what a cache has done.
type Stats struct {
	Hits, Misses uint64
	Copies       int
	Bytes        int64
}

// A key is what a copy is of.
type key struct {
	owner        Owner
	fsid, ino    uint64
	gen          uint32
	size         int64
	mtime, ctime proto.Timespec
}

func keyOf(o Owner, st proto.Stat) key {
	return key{o, st.FSID, st.Ino, st.Gen, st.Size, st.Mtime, st.Ctime}
}

type entry struct {
	key  key
	name string
	file mach.Port     // the copy, once done is closed
	err  error         // there is none
	done chan struct{} // closed when it is known
	used int           // who is about to open it
}

// ErrNotKept is that there can be no copy of a file: it has to be read itself.
var ErrNotKept = errors.New("no copy")

// Open opens the copy of a file, a right of the caller's. st is what io_stat has just said
// of the file. If there is no copy one is made, of what open opens to be read. An error is
// that there is none.
func (c *Cache) Open(ctx context.Context, o Owner, st proto.Stat, open func(ctx context.Context) (mach.Port, error)) (mach.Port, error) {
	k := keyOf(o, st)
	c.mu.Lock()
	var e *entry
	if i := slices.IndexFunc(c.entries, func(e *entry) bool { return e.key == k }); i >= 0 {
		e = c.entries[i]
		c.entries = append(slices.Delete(c.entries, i, i+1), e)
		c.stats.Hits++
		e.used++
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			e.used--
			c.mu.Unlock()
		}()
		select {
		case <-e.done:
		case <-ctx.Done():
			return mach.Null, context.Cause(ctx)
		}
		if e.err != nil {
			return mach.Null, e.err
		}
		return reopen(ctx, e.file)
	}
	c.stats.Misses++
	drop, ok := c.room(k.size)
	if !ok {
		c.mu.Unlock()
		c.remove(ctx, drop)
		return mach.Null, ErrNotKept
	}
	c.last++
	e = &entry{key: k, name: strconv.Itoa(c.last), done: make(chan struct{}), used: 1}
	c.entries = append(c.entries, e)
	c.mu.Unlock()
	c.remove(ctx, drop)

	keep, err := c.copy(ctx, open, st, e)
	var opened mach.Port
	if err == nil {
		opened, err = reopen(ctx, e.file)
	}
	if err != nil || !keep {
		e.err = ErrNotKept
		c.forget(e)
		c.remove(ctx, []*entry{e})
	}
	close(e.done)
	c.mu.Lock()
	e.used--
	c.mu.Unlock()
	return opened, err
}

// room makes room for so many bytes. It returns the copies that go. The lock is held.
func (c *Cache) room(size int64) (drop []*entry, ok bool) {
	limit := c.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	if size <= 0 || size > limit {
		return nil, false
	}
	for i := 0; c.bytes+size > limit; {
		if i == len(c.entries) {
			return drop, false
		}
		e := c.entries[i]
		if e.used > 0 {
			i++ // it is being made, or opened
			continue
		}
		drop = append(drop, e)
		c.entries = slices.Delete(c.entries, i, i+1)
		c.bytes -= e.key.size
	}
	c.bytes += size
	return drop, true
}

// remove removes copies. One that cannot be removed stays until netmsg is started
// again.
func (c *Cache) remove(ctx context.Context, list []*entry) {
	if len(list) == 0 {
		return
	}
	// Not the client's time.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
	defer cancel()
	dir, err := c.Dir(ctx)
	if err != nil {
		return
	}
	defer proto.Release(ctx, dir)
	for _, e := range list {
		if e.file.Valid() {
			_ = proto.DirUnlink(ctx, dir, e.name)
			proto.Release(ctx, e.file)
		}
	}
}

func (c *Cache) forget(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.entries, e); i >= 0 {
		c.entries = slices.Delete(c.entries, i, i+1)
		c.bytes -= e.key.size
	}
}

// Stats returns the counts.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Copies, s.Bytes = len(c.entries), c.bytes
	return s
}

// reopen opens a copy to be read and executed, by nobody: a script gets the
// right, and must not have what the cache may do with the copy.
func reopen(ctx context.Context, file mach.Port) (mach.Port, error) {
	_, _, p, err := proto.DirLookup(ctx, file, "", proto.O_READ|proto.O_EXEC, 0)
	if err != nil {
		return mach.Null, err
	}
	defer proto.Release(ctx, p)
	return proto.IORestrictAuth(ctx, p, nil, nil)
}

// copy makes the copy of a file. keep is whether the file has been the same for long
// enough.
func (c *Cache) copy(ctx context.Context, open func(ctx context.Context) (mach.Port, error), st proto.Stat, e *entry) (keep bool, err error) {
	begun := time.Now()
	file, err := open(ctx)
	if err != nil {
		return false, err
	}
	defer proto.Release(ctx, file)
	dir, err := c.Dir(ctx)
	if err != nil {
		return false, err
	}
	defer proto.Release(ctx, dir)
	if _, _, e.file, err = proto.DirLookup(ctx, dir, e.name, proto.O_CREAT|proto.O_EXCL|proto.O_READ|proto.O_WRITE, 0o500); err != nil {
		return false, err
	}
	if err := transfer(ctx, file, e.file, st.Size); err != nil {
		return false, err
	}
	now, err := proto.IOStat(ctx, file)
	if err != nil {
		return false, err
	}
	if keyOf(Owner{}, now) != keyOf(Owner{}, st) {
		return false, ErrNotKept // it is being written
	}
	return time.Since(begun) >= settled, nil
}

// transfer copies size bytes, some pieces at a time.
func transfer(ctx context.Context, from, to mach.Port, size int64) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		next  int64
		first error
	)
	take := func() (off int64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		off = next
		next += piece
		return off, first == nil && off < size
	}
	for range under {
		wg.Go(func() {
			for {
				off, ok := take()
				if !ok {
					return
				}
				if err := transferPiece(ctx, from, to, off, min(piece, size-off)); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

func transferPiece(ctx context.Context, from, to mach.Port, off, n int64) error {
	for n > 0 {
		b, err := proto.IORead(ctx, from, off, uint64(n))
		if err != nil {
			return err
		}
		if len(b) == 0 || int64(len(b)) > n {
			return ErrNotKept // it has become shorter, or its server is none
		}
		n -= int64(len(b))
		for len(b) > 0 {
			w, err := proto.IOWrite(ctx, to, b, off)
			if err != nil {
				return err
			}
			if w == 0 || w > uint64(len(b)) {
				return proto.EIO
			}
			b, off = b[w:], off+int64(w)
		}
	}
	return nil
}
