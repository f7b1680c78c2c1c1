package translator

import (
	"context"
	"errors"
	"io"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
	"hurdlab/mach/wire"
)

// MaxRead is the most that one io_read returns of a regular file, in bytes: clients read
// on. It goes in pages that are the client's then, and not by way of Go's heap.
const MaxRead = 1 << 20

const (
	// maxHeapRead is the most that is read into Go's heap, and that a directory is listed
	// in one answer.
	maxHeapRead = 128 << 10
	// maxReading bounds the pages that are being filled for clients at a time. Who comes
	// beyond gets less.
	maxReading = 8 << 20
)

// current is the offset that stands for the file pointer, in io_read and
// io_write; other negative ones are EINVAL.
const current = -1

// IOReadGive is io_read. With give, the data is in pages that go with the answer.
func (p *protid) IOReadGive(ctx context.Context, offset int64, amount uint64) (data []byte, give bool, err error) {
	o := p.open
	if o.how&mayRead == 0 {
		return nil, false, proto.EBADF
	}
	if offset < current {
		return nil, false, proto.EINVAL
	}
	if r, ok := as[ReaderAt](o); ok {
		if offset == current {
			if err := o.seek.take(ctx); err != nil {
				return nil, false, err
			}
			defer o.seek.give()
			offset = o.pos
			b, give, err := p.readAt(ctx, r, offset, amount)
			o.pos += int64(len(b))
			return b, give, err
		}
		return p.readAt(ctx, r, offset, amount)
	}
	amount = min(amount, maxHeapRead)
	if s, ok := as[Stream](o); ok {
		b := make([]byte, amount)
		n, err := s.Read(ctx, b, o.modes.Load()&proto.O_NONBLOCK != 0)
		return b[:n], false, partly(n, err)
	}
	if l, ok := o.node.Node.(Symlink); ok {
		b, err := p.readLink(ctx, l, offset, amount)
		return b, false, err
	}
	if _, ok := o.node.Node.(Dir); ok {
		return nil, false, proto.EISDIR
	}
	return nil, false, proto.EOPNOTSUPP
}

// readAt reads no more than there is, so that a large amount costs nothing. See IOReadGive.
func (p *protid) readAt(ctx context.Context, r ReaderAt, offset int64, amount uint64) (data []byte, give bool, err error) {
	large := false
	if amount > wire.InlineLimit {
		st, err := p.open.node.Stat(ctx)
		if err != nil {
			return nil, false, err
		}
		if large = st.Mode&proto.S_IFMT == proto.S_IFREG; large {
			amount = min(amount, uint64(max(st.Size-offset, 0)), MaxRead)
		}
	}
	if large && amount > wire.InlineLimit {
		if b := p.fs.pages(amount); b != nil {
			defer p.fs.reading.Add(-int64(amount))
			n, err := r.ReadAt(ctx, b, offset)
			if n > wire.InlineLimit {
				return vmem.Trim(b, n), true, nil
			}
			data = append([]byte(nil), b[:n]...)
			vmem.Memory{}.Free(b)
			return data, false, partly(n, err)
		}
	}
	b := make([]byte, min(amount, maxHeapRead))
	n, err := r.ReadAt(ctx, b, offset)
	return b[:n], false, partly(n, err)
}

// pages returns memory to be filled for a client, which counts in fs.reading until that is
// done; or nil, if there is too much or none.
func (fs *FS) pages(n uint64) []byte {
	if fs.reading.Add(int64(n)) <= maxReading {
		if b, err := (vmem.Memory{}).Alloc(int(n)); err == nil {
			return b
		}
	}
	fs.reading.Add(-int64(n))
	return nil
}

// partly returns the error of a call that did n bytes: none if it did any.
func partly(n int, err error) error {
	if n > 0 || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (p *protid) readLink(ctx context.Context, l Symlink, offset int64, amount uint64) ([]byte, error) {
	target, err := l.Readlink(ctx)
	if err != nil {
		return nil, err
	}
	o := p.open
	at := offset
	if offset == current {
		if err := o.seek.take(ctx); err != nil {
			return nil, err
		}
		defer o.seek.give()
		at = o.pos
	}
	b := []byte(target)
	b = b[min(at, int64(len(b))):]
	b = b[:min(amount, uint64(len(b)))]
	if offset == current {
		o.pos += int64(len(b))
	}
	return b, nil
}

func (p *protid) IOWrite(ctx context.Context, data []byte, offset int64) (uint64, error) {
	o := p.open
	if o.how&mayWrite == 0 {
		return 0, proto.EBADF
	}
	if offset < current {
		return 0, proto.EINVAL
	}
	if w, ok := as[WriterAt](o); ok {
		if offset == current {
			if err := o.seek.take(ctx); err != nil {
				return 0, err
			}
			defer o.seek.give()
		}
		n, err := p.writeAt(ctx, w, data, offset)
		return uint64(n), partly(n, err)
	}
	if s, ok := as[Stream](o); ok {
		n, err := s.Write(ctx, data, o.modes.Load()&proto.O_NONBLOCK != 0)
		return uint64(n), partly(n, err)
	}
	return 0, proto.EOPNOTSUPP
}

// writeAt writes at an offset, or for current at the file pointer, which is
// locked, or at the end.
func (p *protid) writeAt(ctx context.Context, w WriterAt, data []byte, offset int64) (int, error) {
	if p.fs.config.ReadOnly {
		return 0, proto.EROFS
	}
	o := p.open
	if err := o.node.lock.take(ctx); err != nil {
		return 0, err
	}
	defer o.node.lock.give()
	st, err := o.node.Stat(ctx)
	if err != nil {
		return 0, err
	}
	at := offset
	if offset == current {
		at = o.pos
		if o.modes.Load()&proto.O_APPEND != 0 {
			at = st.Size
		}
	}
	if at+int64(len(data)) < at {
		return 0, proto.EFBIG
	}
	n, err := w.WriteAt(ctx, data, at)
	if offset == current {
		o.pos = at + int64(n)
	}
	if n > 0 {
		if a, ok := written(p.user, &st); ok {
			if x, ok := o.node.Node.(Attributes); ok {
				if aerr := x.SetAttr(ctx, a); aerr != nil && err == nil {
					err = aerr
				}
			}
		}
		change := int32(proto.FileChangedWrite)
		if at+int64(n) > st.Size {
			change = proto.FileChangedExtend
		}
		o.node.watch.file(ctx, o.node, change, at, at+int64(n))
		if err == nil && o.modes.Load()&proto.O_FSYNC != 0 {
			err = syncNode(ctx, o.node, true)
		}
	}
	return n, err
}

func (p *protid) IOSeek(ctx context.Context, offset int64, whence int32) (int64, error) {
	o := p.open
	if _, ok := as[ReaderAt](o); !ok {
		if _, ok := as[Stream](o); ok {
			return 0, proto.ESPIPE
		}
	}
	if err := o.seek.take(ctx); err != nil {
		return 0, err
	}
	defer o.seek.give()
	at := offset
	switch whence {
	case proto.SeekSet:
	case proto.SeekCur:
		at += o.pos
	case proto.SeekEnd:
		st, err := o.node.Stat(ctx)
		if err != nil {
			return 0, err
		}
		at += st.Size
	default:
		return 0, proto.EINVAL
	}
	if at < 0 {
		return 0, proto.EINVAL
	}
	o.pos = at
	return at, nil
}

func (p *protid) IOReadable(ctx context.Context) (uint64, error) {
	o := p.open
	if o.how&mayRead == 0 {
		return 0, proto.EBADF
	}
	if r, ok := as[Readable](o); ok {
		n, err := r.Readable(ctx)
		return uint64(max(n, 0)), err
	}
	if _, ok := as[ReaderAt](o); !ok {
		return 0, proto.EOPNOTSUPP
	}
	st, err := o.node.Stat(ctx)
	if err != nil {
		return 0, err
	}
	if err := o.seek.take(ctx); err != nil {
		return 0, err
	}
	defer o.seek.give()
	return uint64(max(st.Size-o.pos, 0)), nil
}

func (p *protid) IOGetOpenmodes(context.Context) (int32, error) {
	return p.open.how | p.open.modes.Load(), nil
}

func (p *protid) IOSetAllOpenmodes(_ context.Context, bits int32) error {
	p.open.modes.Store(bits & proto.O_CHANGEABLE)
	return nil
}

func (p *protid) IOSetSomeOpenmodes(_ context.Context, bits int32) error {
	p.open.modes.Or(bits & proto.O_CHANGEABLE)
	return nil
}

func (p *protid) IOClearSomeOpenmodes(_ context.Context, bits int32) error {
	p.open.modes.And(^(bits & proto.O_CHANGEABLE))
	return nil
}

func (p *protid) IOSelect(ctx context.Context, want int32) (int32, error) {
	want &= int32(ReadyRead | ReadyWrite | ReadyUrgent)
	if s, ok := as[Selector](p.open); ok {
		got, err := s.Select(ctx, Ready(want))
		return int32(got), err
	}
	return want &^ int32(ReadyUrgent), nil
}

// IOSelectTimeout is IOSelect up to a time of the real-time clock.
func (p *protid) IOSelectTimeout(ctx context.Context, until proto.Timespec, want int32) (int32, error) {
	if _, ok := as[Selector](p.open); !ok {
		return p.IOSelect(ctx, want)
	}
	end := time.Unix(until.Sec, until.Nsec)
	timed, cancel := context.WithDeadlineCause(ctx, end, errTimeout)
	defer cancel()
	got, err := p.IOSelect(timed, want)
	if err != nil && ctx.Err() == nil && timed.Err() != nil {
		return 0, nil // nothing in time
	}
	return got, err
}

var errTimeout = errors.New("the time of a select is over")

func (p *protid) IOStat(ctx context.Context) (proto.Stat, error) {
	return p.fs.stat(ctx, p.open.node)
}

// stat describes a node as io_stat does.
func (fs *FS) stat(ctx context.Context, n *node) (proto.Stat, error) {
	st, err := n.Stat(ctx)
	if err != nil {
		return proto.Stat{}, err
	}
	mode := st.Mode &^ (proto.S_IATRANS | proto.S_IROOT)
	if n.trans.active() {
		mode |= proto.S_IATRANS
	}
	if n == fs.root {
		mode |= proto.S_IROOT
	}
	x := proto.Stat{
		FSType: fs.config.FSType, FSID: fs.config.FSID, Ino: st.Ino, Gen: st.Gen, Rdev: uint64(st.Rdev), Mode: mode,
		Nlink: uint64(st.NLink), UID: st.UID, GID: st.GID, Size: st.Size,
		Atime: fs.timespec(st.Atime), Mtime: fs.timespec(st.Mtime), Ctime: fs.timespec(st.Ctime),
		Blksize: int64(st.BlockSize), Blocks: st.Blocks, Author: st.Author, Flags: st.Flags,
	}
	if x.Nlink == 0 && !linkless(n.Node) {
		x.Nlink = 1
	}
	if x.Blksize == 0 {
		x.Blksize = mach.PageSize
	}
	switch {
	case x.Blocks == 0:
		x.Blocks = (x.Size + 511) / 512
	case x.Blocks < 0:
		x.Blocks = 0
	}
	if x.Author == 0 {
		x.Author = x.UID
	}
	return x, nil
}

// linkless reports whether a node that has no links may say so: one that
// counts its users can be open without a name.
func linkless(n Node) bool {
	_, ok := n.(Releaser)
	return ok
}

// timespec returns a time as messages have it; one that is not known is that
// when the file system began.
func (fs *FS) timespec(t time.Time) proto.Timespec {
	if t.IsZero() {
		t = fs.began
	}
	return proto.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

// Limits of io_reauthenticate: a client that never goes to the authentication
// server must not keep this one busy for ever.
const (
	maxPending = 256
	maxPendFor = time.Minute
)

// IOReauthenticate makes a port of the same opening for the user who meets
// this server at the authentication server.
func (p *protid) IOReauthenticate(ctx context.Context, rendezvous mach.Port) error {
	fs := p.fs
	if fs.pending.Add(1) > maxPending {
		fs.pending.Add(-1)
		return proto.EAGAIN
	}
	defer fs.pending.Add(-1)
	q := fs.newProtid(p.open.use(), User{})
	q.epoch.Store(p.epoch.Load())
	// The client may have the port, and use it, before the answer is here:
	// its requests wait until the user is known.
	q.ready = make(chan struct{})
	right, err := fs.export(q)
	if err != nil {
		right = mach.Null // the client waits for an answer: it gets none of it
	}
	if auth := fs.authPort(); auth != mach.Null {
		// The client may give back its right to p as soon as it has the new
		// one, before the answer is here. That must not interrupt the call.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxPendFor)
		uids, _, gids, _, err := proto.AuthServerAuthenticate(ctx, auth, proto.Copy(rendezvous), proto.Copy(right))
		cancel()
		if err == nil {
			// Who could not be authenticated is nobody.
			q.user, _ = newUser(uids, gids)
		}
	}
	if err == nil {
		if err := fs.opens.add(q, fs.config.MaxOfUser, fs.config.MaxOfUsers); err != nil {
			// The client has a dead right, and this answer if it has
			// asked already.
			q.handler = refusal{err}
			q.end()
		} else {
			q.serve()
		}
		close(q.ready)
	}
	fs.ports.Release(rendezvous, right)
	return nil
}

// A refusal answers every request with an error.
type refusal struct{ err error }

func (r refusal) Handle(context.Context, *mach.Message, *mach.Message) error { return r.err }

// IORestrictAuth makes a port of the same opening for fewer ids.
func (p *protid) IORestrictAuth(_ context.Context, uids, gids []int32) (mach.Port, error) {
	u, err := newUser(uids, gids)
	if err != nil {
		return mach.Null, err
	}
	return p.again(p.user.Restrict(u.UIDs, u.GIDs))
}

// IODuplicate makes another port of the same opening.
func (p *protid) IODuplicate(context.Context) (mach.Port, error) { return p.again(p.user) }

// again returns a right to a new port of the same opening.
func (p *protid) again(u User) (mach.Port, error) {
	q := p.fs.newProtid(p.open.use(), u)
	q.epoch.Store(p.epoch.Load())
	q.serve()
	return p.fs.export(q)
}

func (p *protid) IOServerVersion(context.Context) (string, int32, int32, int32, error) {
	return p.fs.config.Name, 0, 9, 0, nil
}

func (p *protid) IOMap(ctx context.Context) (rd, wr mach.Port, err error) {
	m, ok := as[Mapper](p.open)
	if !ok {
		return mach.Null, mach.Null, proto.EOPNOTSUPP
	}
	switch p.open.how & (mayRead | mayWrite) {
	case mayRead:
		rd, err = m.Map(ctx, mach.ProtRead)
	case mayWrite:
		// The memory can be read, too: by who could open it to do so.
		st, err := p.open.node.Stat(ctx)
		if err == nil {
			err = check(ctx, p.open.node.Node, &st, p.user, mayRead)
		}
		if err != nil {
			return mach.Null, mach.Null, err
		}
		wr, err = m.Map(ctx, mach.ProtRead|mach.ProtWrite)
		return mach.Null, wr, err
	case mayRead | mayWrite:
		if rd, err = m.Map(ctx, mach.ProtRead|mach.ProtWrite); err != nil {
			break
		}
		if wr, err = m.Map(ctx, mach.ProtRead|mach.ProtWrite); err != nil {
			p.fs.ports.Release(rd)
			rd = mach.Null
		}
	default:
		// Opened to be executed only.
		if p.open.how&mayExec == 0 {
			return mach.Null, mach.Null, proto.EBADF
		}
		rd, err = m.Map(ctx, mach.ProtRead)
	}
	return rd, wr, err
}

func (p *protid) IOIdentity(ctx context.Context) (id, fsid mach.Port, fileno int64, err error) {
	n := p.open.node
	st, err := n.Stat(ctx)
	if err != nil {
		return mach.Null, mach.Null, 0, err
	}
	// The port stays the same while anybody holds it, even when nobody has
	// the node open: it keeps the node in use.
	id, err = n.id.Right(p.fs.ports, func() mach.Handler { n.use(); return ports.Identity() }, func() { n.put() })
	if err != nil {
		return mach.Null, mach.Null, 0, err
	}
	fsid, err = p.fs.fsid.Right(p.fs.ports, ports.Identity, nil)
	if err != nil {
		p.fs.ports.Release(id)
		return mach.Null, mach.Null, 0, err
	}
	return id, fsid, int64(st.Ino), nil
}

// IORevoke makes all other ports of the node useless.
func (p *protid) IORevoke(ctx context.Context) error {
	n := p.open.node
	st, err := n.Stat(ctx)
	if err != nil {
		return err
	}
	if !p.user.Owns(st) {
		return proto.EPERM
	}
	p.epoch.Store(n.epoch.Add(1))
	return nil
}

// Limits that io_pathconf tells, by the Hurd's numbers; -1 is no limit.
var pathconf = map[int32]int32{
	0: 32000,       // LINK_MAX
	1: 255, 2: 255, // MAX_CANON, MAX_INPUT
	3: MaxName,            // NAME_MAX
	4: -1,                 // PATH_MAX
	5: mach.PageSize,      // PIPE_BUF
	6: 1,                  // CHOWN_RESTRICTED
	7: 1,                  // NO_TRUNC
	8: 0,                  // VDISABLE
	9: -1, 10: -1, 11: -1, // SYNC_IO, ASYNC_IO, PRIO_IO
	13: 64,                                 // FILESIZEBITS
	14: -1, 15: -1, 16: -1, 17: -1, 18: -1, // REC_*, ALLOC_SIZE_MIN
	19: -1, // SYMLINK_MAX
	20: 1,  // 2_SYMLINKS
}

func (p *protid) IOPathconf(_ context.Context, name int32) (int32, error) {
	v, ok := pathconf[name]
	if !ok {
		return 0, proto.EINVAL
	}
	return v, nil
}
