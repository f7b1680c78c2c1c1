// Package hurdfile is a store of package pager: a file of the Hurd, read and written by
// io_read and io_write. With it a file can be mapped by many kernels although its own
// file system's pager serves one, as those of GNU/Hurd do today.
//
// # What is coherent with what
//
// All who map the file through the pager see one file, as do those who read and write
// it through the pager. Who reads, writes or maps the file at its own server is not
// told of what kernels have changed until that is written back (by msync, when another
// kernel wants the page, when it is not mapped any more; not by fsync, which only the
// file's server hears of); and what is changed there is seen by kernels that have not
// got the page yet.
//
// # Place in the house
//
// It stands on pager and hurd/proto. netmsg's door makes such objects, see [Files].
package hurdfile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/pager"
)

// ioTime is how long the file's server may take for a call.
const ioTime = time.Minute

// A store is an open file: [pager.Store], [pager.Resizer].
type store struct {
	ctx  context.Context
	size atomic.Int64

	mu          sync.Mutex
	read, write mach.Port // send rights of its own, or null
}

var (
	_ pager.Store   = (*store)(nil)
	_ pager.Resizer = (*store)(nil)
)

func (s *store) Size() int64 { return s.size.Load() }

// Refresh asks how long the file is.
func (s *store) Refresh(ctx context.Context) error {
	st, err := proto.IOStat(ctx, s.port(false))
	if err == nil {
		s.size.Store(st.Size)
	}
	return err
}

// port returns a port to read or to write by.
func (s *store) port(write bool) mach.Port {
	s.mu.Lock()
	defer s.mu.Unlock()
	if write || !s.read.Valid() {
		return s.write
	}
	return s.read
}

func (s *store) ReadAt(b []byte, off int64) (int, error) {
	ctx, cancel := context.WithTimeout(s.ctx, ioTime)
	defer cancel()
	n := 0
	for n < len(b) {
		part, err := proto.IORead(ctx, s.port(false), off+int64(n), uint64(len(b)-n))
		if err != nil {
			return n, err
		}
		if len(part) == 0 {
			// It has become shorter: the rest is zero, as it is behind the end of a file.
			return len(b), nil
		}
		n += copy(b[n:], part)
	}
	return n, nil
}

func (s *store) WriteBack(b []byte, off int64) error {
	p := s.port(true)
	if !p.Valid() {
		return proto.EBADF
	}
	ctx, cancel := context.WithTimeout(s.ctx, ioTime)
	defer cancel()
	if b = b[:max(0, min(int64(len(b)), s.Size()-off))]; len(b) == 0 {
		return nil
	}
	for len(b) > 0 {
		n, err := proto.IOWrite(ctx, p, b, off)
		if err != nil {
			return err
		}
		if n <= 0 || int(n) > len(b) {
			return fmt.Errorf("%d bytes of %d written: %w", n, len(b), proto.EIO)
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// Reserve is not asked for: the Hurd has no call for it. A page that cannot be written is
// the loss of who has changed it, who learns of it by sync.
func (s *store) Reserve(int64) error { return nil }

// Files are the files that are mapped so, by their identity.
type Files struct {
	// Pager makes the objects.
	Pager *pager.Pager
	// Max bounds the files; 0 is 1,024. Beyond, Map fails with ENFILE.
	Max int

	mu    sync.Mutex
	files map[identity]*file
}

// An identity is what io_identity says. The rights are held as long as it is used.
type identity struct {
	id, fsys mach.Port
	number   int64
}

// A file is one of them.
type file struct {
	key    identity
	object *pager.Object
	store  *store
	used   int           // ports of the object that somebody has rights to
	closed chan struct{} // when all has been written, after used has become 0
}

// Map returns memory objects for a file, as io_map does: for reading, and, if it is
// open for that, for writing. The file is borrowed.
func (f *Files) Map(ctx context.Context, port mach.Port) (rd, wr mach.Port, err error) {
	modes, err := proto.IOGetOpenmodes(ctx, port)
	if err != nil {
		return mach.Null, mach.Null, err
	}
	if modes&proto.O_READ == 0 {
		// To write a page is to read it first.
		return mach.Null, mach.Null, proto.EOPNOTSUPP
	}
	st, err := proto.IOStat(ctx, port)
	if err != nil {
		return mach.Null, mach.Null, err
	}
	if st.Mode&proto.S_IFMT != proto.S_IFREG {
		return mach.Null, mach.Null, proto.EOPNOTSUPP
	}
	write := modes&proto.O_WRITE != 0
	o, err := f.open(ctx, port, write)
	if err != nil {
		return mach.Null, mach.Null, err
	}
	if err := o.object.Refresh(ctx); err == nil {
		rd, err = o.object.Right(!write)
	}
	if err == nil && write {
		if wr, err = o.object.Right(false); err != nil {
			proto.Release(ctx, rd)
			rd = mach.Null
		}
	}
	f.leave(o) // the rights hold it now
	return rd, wr, err
}

// open returns the file that a port is of, used once more.
func (f *Files) open(ctx context.Context, port mach.Port, write bool) (*file, error) {
	var key identity
	var err error
	if key.id, key.fsys, key.number, err = proto.IOIdentity(ctx, port); err != nil {
		return nil, err
	}
	for {
		f.mu.Lock()
		o := f.files[key]
		if o == nil || o.closed == nil {
			break
		}
		closed := o.closed
		f.mu.Unlock()
		select {
		case <-closed:
		case <-ctx.Done():
			proto.Release(ctx, key.id, key.fsys)
			return nil, context.Cause(ctx)
		}
	}
	defer f.mu.Unlock()
	o := f.files[key]
	if o == nil {
		limit := f.Max
		if limit <= 0 {
			limit = 1024
		}
		if len(f.files) >= limit {
			proto.Release(ctx, key.id, key.fsys)
			return nil, proto.ENFILE
		}
		// What the port becomes and who has it besides makes no difference.
		again, err := proto.IODuplicate(ctx, port)
		if err != nil {
			proto.Release(ctx, key.id, key.fsys)
			return nil, err
		}
		s := &store{ctx: context.WithoutCancel(ctx), read: again}
		if write {
			s.read, s.write = mach.Null, again
		}
		o = &file{key: key, store: s}
		o.object = f.Pager.NewObject(pager.ObjectConfig{Store: s, Held: func() { f.hold(o) }, Left: func() { f.leave(o) }})
		if f.files == nil {
			f.files = make(map[identity]*file)
		}
		f.files[key] = o
	} else {
		proto.Release(ctx, key.id, key.fsys)
		if write && !o.store.port(true).Valid() {
			again, err := proto.IODuplicate(ctx, port)
			if err != nil {
				return nil, err
			}
			o.store.mu.Lock()
			o.store.write = again
			o.store.mu.Unlock()
		}
	}
	o.used++
	return o, nil
}

func (f *Files) hold(o *file) {
	f.mu.Lock()
	o.used++
	f.mu.Unlock()
}

// leave closes a file that nobody uses any more.
func (f *Files) leave(o *file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o.used--; o.used > 0 || o.closed != nil {
		return
	}
	o.closed = make(chan struct{})
	go func() {
		ctx, cancel := context.WithTimeoutCause(o.store.ctx, ioTime, errClose)
		defer cancel()
		_ = o.object.Close(ctx) // the pager has said what could not be written
		proto.Release(ctx, o.key.id, o.key.fsys, o.store.read, o.store.write)
		f.mu.Lock()
		delete(f.files, o.key)
		f.mu.Unlock()
		close(o.closed)
	}()
}

var errClose = errors.New("the file's server takes too long")
