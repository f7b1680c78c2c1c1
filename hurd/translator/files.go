package translator

import (
	"context"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// change applies a change of attributes that make works out from what the node
// is now.
func (p *protid) change(ctx context.Context, make func(st *Stat) (Attr, error)) error {
	n := p.open.node
	if p.fs.config.ReadOnly {
		return proto.EROFS
	}
	if err := n.lock.take(ctx); err != nil {
		return err
	}
	defer n.lock.give()
	st, err := n.Stat(ctx)
	if err != nil {
		return err
	}
	a, err := make(&st)
	if err != nil {
		return err
	}
	x, ok := n.Node.(Attributes)
	if !ok {
		return proto.EOPNOTSUPP
	}
	if a.Set == 0 {
		return nil
	}
	if err := x.SetAttr(ctx, a); err != nil {
		return err
	}
	n.watch.file(ctx, n, proto.FileChangedMeta, 0, 0)
	return nil
}

func (p *protid) FileChown(ctx context.Context, uid, gid int32) error {
	return p.change(ctx, func(st *Stat) (Attr, error) { return chown(p.user, st, uint32(uid), uint32(gid)) })
}

func (p *protid) FileChmod(ctx context.Context, mode int32) error {
	return p.change(ctx, func(st *Stat) (Attr, error) { return chmod(p.user, st, uint32(mode)) })
}

func (p *protid) FileChauthor(ctx context.Context, author int32) error {
	return p.owners(ctx, Attr{Set: SetAuthor, Author: uint32(author)})
}

func (p *protid) FileChflags(ctx context.Context, flags int32) error {
	return p.owners(ctx, Attr{Set: SetFlags, Flags: uint32(flags)})
}

// owners makes a change that the owner may make.
func (p *protid) owners(ctx context.Context, a Attr) error {
	return p.change(ctx, func(st *Stat) (Attr, error) {
		if !p.user.Owns(*st) {
			return Attr{}, proto.EPERM
		}
		return a, nil
	})
}

func (p *protid) FileUtimens(ctx context.Context, atime, mtime proto.Timespec) error {
	return p.utimens(ctx, atime, mtime)
}

// FileUtimes is the older form of FileUtimens. -1 microseconds are now.
func (p *protid) FileUtimes(ctx context.Context, atime, mtime proto.Timeval) error {
	spec := func(t proto.Timeval) proto.Timespec {
		if t.Usec == proto.UtimeNow {
			return proto.Timespec{Nsec: proto.UtimeNow}
		}
		return proto.Timespec{Sec: t.Sec, Nsec: t.Usec * 1000}
	}
	return p.utimens(ctx, spec(atime), spec(mtime))
}

func (p *protid) utimens(ctx context.Context, atime, mtime proto.Timespec) error {
	now := time.Now()
	onlyNow := true
	set := func(t proto.Timespec, a *Attr, bit AttrSet, to *time.Time) error {
		switch {
		case t.Nsec == proto.UtimeOmit:
			return nil
		case t.Nsec == proto.UtimeNow:
			*to = now
		case t.Nsec < 0 || t.Nsec >= 1e9:
			return proto.EINVAL
		default:
			onlyNow = false
			*to = time.Unix(t.Sec, t.Nsec)
		}
		a.Set |= bit
		return nil
	}
	var a Attr
	if err := set(atime, &a, SetAtime, &a.Atime); err != nil {
		return err
	}
	if err := set(mtime, &a, SetMtime, &a.Mtime); err != nil {
		return err
	}
	return p.change(ctx, func(st *Stat) (Attr, error) {
		if !p.user.Owns(*st) {
			// Who may write may say that it has happened.
			if !onlyNow {
				return Attr{}, proto.EPERM
			}
			if err := check(ctx, p.open.node.Node, st, p.user, mayWrite); err != nil {
				return Attr{}, err
			}
		}
		return a, nil
	})
}

func (p *protid) FileSetSize(ctx context.Context, size int64) error {
	o := p.open
	if o.how&mayWrite == 0 {
		return proto.EBADF
	}
	if size < 0 {
		return proto.EINVAL
	}
	if p.fs.config.ReadOnly {
		return proto.EROFS
	}
	s, ok := as[Sizer](o)
	if !ok {
		if _, ok := as[Stream](o); ok {
			return nil // nothing that would be longer or shorter
		}
		return proto.EOPNOTSUPP
	}
	n := o.node
	if err := n.lock.take(ctx); err != nil {
		return err
	}
	defer n.lock.give()
	st, err := n.Stat(ctx)
	if err != nil {
		return err
	}
	if err := s.SetSize(ctx, size); err != nil {
		return err
	}
	if a, ok := written(p.user, &st); ok {
		if x, ok := n.Node.(Attributes); ok {
			if err := x.SetAttr(ctx, a); err != nil {
				return err
			}
		}
	}
	change := int32(proto.FileChangedExtend)
	if size < st.Size {
		change = proto.FileChangedTruncate
	}
	n.watch.file(ctx, n, change, min(size, st.Size), max(size, st.Size))
	return nil
}

func (p *protid) FileCheckAccess(ctx context.Context) (int32, error) {
	n := p.open.node
	st, err := n.Stat(ctx)
	if err != nil {
		return 0, err
	}
	may, err := access(ctx, n.Node, &st, p.user)
	if p.fs.config.ReadOnly && st.Mode&proto.S_IFMT == proto.S_IFREG {
		may &^= mayWrite
	}
	return may, err
}

func (p *protid) FileStatfs(ctx context.Context) (proto.Statfs, error) {
	fs := p.fs
	x := proto.Statfs{Type: uint32(fs.config.FSType), FSID: fs.config.FSID, Namelen: MaxName, Bsize: mach.PageSize, Frsize: mach.PageSize}
	f, ok := fs.root.Node.(FileSystem)
	if !ok {
		return x, nil
	}
	s, err := f.StatFS(ctx)
	if err != nil {
		return x, err
	}
	if s.BlockSize != 0 {
		x.Bsize, x.Frsize = int64(s.BlockSize), int64(s.BlockSize)
	}
	x.Blocks, x.Bfree, x.Bavail = s.Blocks, s.Free, s.Avail
	x.Files, x.Ffree, x.Favail = s.Files, s.FilesFree, s.FilesFree
	return x, nil
}

func syncNode(ctx context.Context, n *node, wait bool) error {
	if s, ok := n.Node.(Syncer); ok {
		return s.Sync(ctx, wait)
	}
	return nil
}

func (p *protid) FileSync(ctx context.Context, wait, _ int32) error {
	return syncNode(ctx, p.open.node, wait != 0)
}

func (p *protid) FileSyncfs(ctx context.Context, wait, children int32) error {
	return p.fs.sync(ctx, wait != 0, children != 0)
}

func (p *protid) FileGetcontrol(ctx context.Context) (mach.Port, error) {
	st, err := p.fs.root.Stat(ctx)
	if err != nil {
		return mach.Null, err
	}
	if !p.user.Owns(st) {
		return mach.Null, proto.EPERM
	}
	return p.fs.Control(ctx)
}

func (p *protid) FileGetFsOptions(context.Context) ([]byte, error) { return p.fs.options(), nil }

func (p *protid) FileGetfh(ctx context.Context) ([]byte, error) {
	h, ok := p.fs.root.Node.(Handles)
	if !ok {
		return nil, proto.EOPNOTSUPP
	}
	if !p.user.IsRoot() {
		return nil, proto.EPERM // a handle opens without the directories on the way
	}
	return h.Handle(ctx, p.open.node.Node)
}

// FileGetlinknode returns a port that dir_link takes and nothing else need.
func (p *protid) FileGetlinknode(context.Context) (mach.Port, error) {
	o := p.fs.newPeropen(p.open.node.use(), p.open.origin, p.open.at, 0)
	return p.fs.right(o, p.user)
}

// FileReparent returns a port of the same node below which ".." is parent.
func (p *protid) FileReparent(ctx context.Context, parent mach.Port) (mach.Port, error) {
	n := p.open.node
	if _, _, err := n.dir(ctx); err != nil {
		return mach.Null, err
	}
	r := newOrigin(parent)
	r.shadow = n.use()
	o := p.fs.newPeropen(n.use(), r, where{}, p.open.how|p.open.modes.Load())
	port, err := p.fs.right(o, p.user)
	if err != nil {
		r.dotdot = mach.Null // the request's again
	}
	r.release(p.fs)
	return port, err
}
