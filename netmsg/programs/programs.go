// Package programs keeps program files of other nodes at hand, so that one that is run
// again costs one round trip, to see that it is still the same: its pages are in the
// kernel's cache, since its memory object is kept, and what the exec server reads of
// it besides is kept here.
//
// # When it is the same
//
// A program is what io_stat says: file system, number, generation, size, mode, owner and
// times. It is asked for each time. The few pieces that are kept were read when the
// file had been like this for longer than the tick of a clock, so that a later
// change has a later time. Pages are the pager's business.
//
// What io_stat says is said by whoever serves the file, who may be anybody and lie. So
// programs are kept for each [Owner] apart: who runs a program trusts it with all that they
// are, and can be told no more by it than they would have believed anyway. For the same
// reason nobody has to be asked again whether the owner may read and execute it.
//
// # Place in the house
//
// It stands on hurd/ports and hurd/proto. netmsg/cmd/netmsg asks it for what file_exec is
// about.
package programs

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Bounds.
const (
	// DefaultLimit is how many programs are kept.
	DefaultLimit = 64
	// maxPieces bounds what is kept of one, in bytes, and the length of a piece.
	maxPieces = 128 << 10
	maxPiece  = 64 << 10
	// settled is how long a file must have been as it is.
	settled = 50 * time.Millisecond
)

// An Owner is on whose behalf a program is run: which node the file is of, since which
// epoch of it, and who runs it. Its fields mean nothing here.
type Owner struct {
	Node  string
	Epoch uint64
	User  string
}

// A Cache keeps programs.
type Cache struct {
	// Ports makes the ports that stand for them.
	Ports ports.Exporter
	// Limit bounds their number; 0 is DefaultLimit.
	Limit int

	mu    sync.Mutex
	kept  []*program // the last used one last
	stats Stats

	guesses int  // that run
	never   bool // there are to be none
}

// Stats count what a cache has done.
type Stats struct {
	Hits, Misses uint64
	Guesses      uint64 // of the hits, those by Expect
	Kept         int
}

// A key is what a program is.
type key struct {
	owner        Owner
	fsid, ino    uint64
	gen, mode    uint32
	uid, gid     uint32
	size         int64
	mtime, ctime proto.Timespec
}

func keyOf(o Owner, st proto.Stat) key {
	return key{o, st.FSID, st.Ino, st.Gen, st.Mode, st.UID, st.GID, st.Size, st.Mtime, st.Ctime}
}

// A program is an open file, and what is known of it.
type program struct {
	key     key
	since   time.Time // when it was as it is
	stat    proto.Stat
	file    mach.Port
	object  mach.Port // its memory object
	context context.Context

	port  ports.Port // that stands for it, for all who run it
	right mach.Port  // to that, the cache's

	mu     sync.Mutex
	users  int // the port, and the cache
	pieces map[piece][]byte
	bytes  int
}

// A piece is what was read at an offset.
type piece struct {
	off int64
	n   uint64
}

// ErrNotKept is that a file is not one that is kept: it has to be used itself.
var ErrNotKept = errors.New("not kept")

// Open returns a right to what the exec server can run in place of a file of which st is
// what io_stat has just said. If it is not kept, open opens the file to be read and
// executed.
func (c *Cache) Open(ctx context.Context, o Owner, st proto.Stat, open func(ctx context.Context) (mach.Port, error)) (mach.Port, error) {
	k, now := keyOf(o, st), time.Now()
	c.mu.Lock()
	if p := c.hit(k); p != nil {
		defer c.mu.Unlock() // with which it is kept
		return p.port.Right()
	}
	c.stats.Misses++
	c.mu.Unlock()
	p, err := newProgram(ctx, k, st, now, open)
	if err != nil {
		return mach.Null, err
	}
	defer p.release()
	if err := c.export(p); err != nil {
		return mach.Null, err
	}
	defer c.keep(p)
	return p.port.Right()
}

// Known reports whether the program is kept that a file was of which io_stat said st.
func (c *Cache) Known(o Owner, st proto.Stat) bool {
	k := keyOf(o, st)
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.kept, func(p *program) bool { return p.key == k })
}

// Expect is Open of a file that is thought to be what it was when io_stat said st, and is known.
// What it returns a right to answers io_stat when sure has returned, with its error if that is
// not nil: so the exec server, which asks for that before it does anything to a task,
// gets as far as it can while the file is asked for. Without sure it is what Open returns. It is
// [ErrNotKept] if it is not known any more.
func (c *Cache) Expect(o Owner, st proto.Stat, sure func(ctx context.Context) error) (mach.Port, error) {
	k := keyOf(o, st)
	c.mu.Lock()
	p := c.hit(k)
	if p == nil {
		c.mu.Unlock()
		return mach.Null, ErrNotKept
	}
	c.stats.Guesses++
	if sure == nil {
		defer c.mu.Unlock()
		return p.port.Right()
	}
	p.use()
	c.mu.Unlock()
	right, err := ports.ExportRight(c.Ports, proto.Handler(&expected{handle{program: p}, sure}), ports.Options{Gone: p.release})
	if err != nil {
		p.release()
	}
	return right, err
}

// hit returns the program that is kept, which is the one used last then, or nil. c.mu is held.
func (c *Cache) hit(k key) *program {
	i := slices.IndexFunc(c.kept, func(p *program) bool { return p.key == k })
	if i < 0 {
		return nil
	}
	p := c.kept[i]
	c.kept = append(slices.Delete(c.kept, i, i+1), p)
	c.stats.Hits++
	return p
}

// newProgram opens a file. There is one use of it.
func newProgram(ctx context.Context, k key, st proto.Stat, since time.Time, open func(ctx context.Context) (mach.Port, error)) (p *program, err error) {
	file, err := open(ctx)
	if err != nil {
		return nil, err
	}
	p = &program{key: k, since: since, stat: st, file: file, context: context.WithoutCancel(ctx), users: 1, pieces: make(map[piece][]byte)}
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	rd, wr, err := proto.IOMap(ctx, file)
	if err != nil {
		return p, ErrNotKept
	}
	proto.Release(ctx, wr)
	p.object = rd
	if !rd.Valid() {
		return p, ErrNotKept
	}
	// The interpreter of a script reads it as any other file.
	head, err := proto.IORead(ctx, file, 0, 2)
	if err == nil && bytes.Equal(head, []byte("#!")) {
		err = ErrNotKept
	}
	return p, err
}

// keep keeps a program, whose right is the cache's then, and lets those go that were used
// longest ago.
func (c *Cache) keep(p *program) {
	limit := c.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	p.use()
	c.mu.Lock()
	var drop []*program
	// Somebody may have been quicker.
	if i := slices.IndexFunc(c.kept, func(q *program) bool { return q.key == p.key }); i >= 0 {
		drop = append(drop, c.kept[i])
		c.kept = slices.Delete(c.kept, i, i+1)
	}
	c.kept = append(c.kept, p)
	if n := len(c.kept) - limit; n > 0 {
		drop = append(drop, c.kept[:n]...)
		c.kept = slices.Delete(c.kept, 0, n)
	}
	c.mu.Unlock()
	c.drop(drop)
}

// drop gives up what the cache has of programs. Who is about to run one goes on.
func (c *Cache) drop(list []*program) {
	for _, q := range list {
		c.Ports.Release(q.right)
		q.release()
	}
}

// Forget lets programs go for which gone is true, such as those of a node that is lost.
func (c *Cache) Forget(gone func(Owner) bool) {
	c.mu.Lock()
	var drop []*program
	c.kept = slices.DeleteFunc(c.kept, func(p *program) bool {
		if !gone(p.key.owner) {
			return false
		}
		drop = append(drop, p)
		return true
	})
	c.mu.Unlock()
	c.drop(drop)
}

// Stats returns the counts.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Kept = len(c.kept)
	return s
}

// export makes the port that stands for a program, and a right to it.
func (c *Cache) export(p *program) (err error) {
	p.use()
	if p.port, err = c.Ports.Export(proto.Handler(&handle{program: p}), ports.Options{Gone: p.release}); err != nil {
		p.release()
		return err
	}
	if p.right, err = p.port.Right(); err != nil {
		p.port.Close()
		p.release()
	}
	return err
}

func (p *program) use() {
	p.mu.Lock()
	p.users++
	p.mu.Unlock()
}

func (p *program) release() {
	p.mu.Lock()
	p.users--
	last := p.users == 0
	p.mu.Unlock()
	if last {
		proto.Release(p.context, p.file, p.object)
	}
}

// A handle is a program as the exec server has it.
type handle struct {
	proto.UnimplementedIO
	*program
}

func (h *handle) IOMap(ctx context.Context) (rd, wr mach.Port, err error) {
	return h.object, mach.Null, proto.Retain(ctx, h.object)
}

func (h *handle) IOStat(context.Context) (proto.Stat, error) { return h.stat, nil }

// An expected is a handle of what is not known to be that program yet.
type expected struct {
	handle
	sure func(ctx context.Context) error
}

func (e *expected) IOStat(ctx context.Context) (proto.Stat, error) {
	if err := e.sure(ctx); err != nil {
		return proto.Stat{}, err
	}
	return e.stat, nil
}

// IORead reads at an offset. The handle has no position.
func (h *handle) IORead(ctx context.Context, off int64, n uint64) ([]byte, error) {
	if off < 0 {
		return nil, proto.EINVAL
	}
	at := piece{off, n}
	h.mu.Lock()
	b, ok := h.pieces[at]
	h.mu.Unlock()
	if ok {
		return bytes.Clone(b), nil
	}
	good := time.Since(h.since) >= settled
	b, err := proto.IORead(ctx, h.file, off, n)
	if err != nil || !good || n > maxPiece {
		return b, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.pieces[at]; !ok && h.bytes+len(b) <= maxPieces {
		h.pieces[at] = bytes.Clone(b)
		h.bytes += len(b)
	}
	return b, nil
}
