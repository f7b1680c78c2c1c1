package translator

import (
	"context"
	"strings"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// goodName fails for what cannot be the name of something new or old in a
// directory.
func goodName(name string) error {
	switch {
	case name == "":
		return proto.ENOENT
	case len(name) > MaxName:
		return proto.ENAMETOOLONG
	case strings.ContainsAny(name, "/\x00"):
		return proto.EINVAL
	}
	return nil
}

// trimName takes the slashes off the end that name a directory.
func trimName(name string) string {
	if t := strings.TrimRight(name, "/"); t != "" {
		return t
	}
	return name
}

// isDot reports whether name is "." or "..".
func isDot(name string) bool { return name == "." || name == ".." }

// directory locks the directory of p for a change by the user and returns it
// with what it is. The caller unlocks it.
func (p *protid) directory(ctx context.Context) (dir MutableDir, st Stat, unlock func(), err error) {
	n := p.open.node
	if _, _, err := n.dir(ctx); err != nil {
		return nil, st, nil, err
	}
	dir, ok := n.Node.(MutableDir)
	if !ok || p.fs.config.ReadOnly {
		return nil, st, nil, proto.EROFS
	}
	if err := n.lock.take(ctx); err != nil {
		return nil, st, nil, err
	}
	if st, err = n.Stat(ctx); err == nil {
		err = check(ctx, n.Node, &st, p.user, mayWrite|mayExec)
	}
	if err != nil {
		n.lock.give()
		return nil, st, nil, err
	}
	return dir, st, n.lock.give, nil
}

func (p *protid) DirMkdir(ctx context.Context, name string, mode int32) error {
	name = trimName(name)
	if isDot(name) || name == "/" {
		return proto.EEXIST
	}
	if err := goodName(name); err != nil {
		return err
	}
	dir, st, unlock, err := p.directory(ctx)
	if err != nil {
		if p.exists(ctx, name) {
			return proto.EEXIST // what mkdir -p wants to hear
		}
		return err
	}
	defer unlock()
	n, err := dir.Create(ctx, name, newIn(&st, p.user, proto.S_IFDIR|uint32(mode)&permBits))
	if err != nil {
		return err
	}
	release(n)
	p.open.node.watch.dir(ctx, p.open.node, proto.DirChangedNew, name)
	return nil
}

// exists reports whether the user can see that a name is in the directory.
func (p *protid) exists(ctx context.Context, name string) bool {
	dir, st, err := p.open.node.dir(ctx)
	if err != nil || check(ctx, p.open.node.Node, &st, p.user, mayExec) != nil {
		return false
	}
	n, err := dir.Lookup(ctx, name)
	if err != nil {
		return false
	}
	release(n)
	return true
}

func (p *protid) DirMkfile(ctx context.Context, flags, mode int32) (mach.Port, error) {
	dir, st, unlock, err := p.directory(ctx)
	if err != nil {
		return mach.Null, err
	}
	n, err := dir.Mkfile(ctx, newIn(&st, p.user, proto.S_IFREG|uint32(mode)&permBits&^proto.S_ISVTX))
	unlock()
	if err != nil {
		return mach.Null, err
	}
	o := p.fs.newPeropen(p.fs.get(n, true), p.open.origin, where{}, flags&openModes)
	return p.fs.right(o, p.user)
}

// remove looks up what is to be removed from the directory and checks that the
// user may. The caller releases it.
func (p *protid) remove(ctx context.Context, dir Dir, st *Stat, name string) (Node, Stat, error) {
	n, err := dir.Lookup(ctx, name)
	if err != nil {
		return nil, Stat{}, err
	}
	has, err := n.Stat(ctx)
	if err == nil {
		err = checkSticky(p.user, st, &has)
	}
	if err != nil {
		release(n)
		return nil, Stat{}, err
	}
	return n, has, nil
}

// running returns the active translator of n, with a reference, or nil.
func (fs *FS) running(n Node) *sharedRight {
	if fs.active.Load() == 0 {
		return nil
	}
	s := fs.find(n)
	if s == nil {
		return nil
	}
	defer s.put()
	return s.trans.current()
}

// dismiss tells the translator of a node that has no name any more to go away,
// waiting for nothing.
func (fs *FS) dismiss(ctx context.Context, c *sharedRight) {
	if c == nil {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goTimeout)
		defer cancel()
		_ = proto.FsysGoaway(ctx, c.port, proto.GOAWAY_UNLINK)
		c.put()
	}()
}

// last returns the active translator of n if its last name is about to go.
func (fs *FS) last(n Node, st *Stat) *sharedRight {
	if st.NLink > 1 {
		return nil
	}
	return fs.running(n)
}

func (p *protid) DirUnlink(ctx context.Context, name string) error {
	if isDot(name) {
		return proto.EISDIR
	}
	if len(name) > 0 && name[len(name)-1] == '/' {
		return proto.ENOTDIR
	}
	if err := goodName(name); err != nil {
		return err
	}
	dir, st, unlock, err := p.directory(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	n, has, err := p.remove(ctx, dir, &st, name)
	if err != nil {
		return err
	}
	defer release(n)
	if has.Mode&proto.S_IFMT == proto.S_IFDIR {
		return proto.EISDIR
	}
	c := p.fs.last(n, &has)
	if err := dir.Unlink(ctx, name); err != nil {
		if c != nil {
			c.put()
		}
		return err
	}
	p.fs.dismiss(ctx, c)
	p.open.node.watch.dir(ctx, p.open.node, proto.DirChangedUnlink, name)
	return nil
}

func (p *protid) DirRmdir(ctx context.Context, name string) error {
	name = trimName(name)
	switch name {
	case ".":
		return proto.EINVAL
	case "..":
		return proto.ENOTEMPTY
	case "/":
		return proto.EBUSY
	}
	if err := goodName(name); err != nil {
		return err
	}
	dir, st, unlock, err := p.directory(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	n, has, err := p.remove(ctx, dir, &st, name)
	if err != nil {
		return err
	}
	defer release(n)
	if has.Mode&proto.S_IFMT != proto.S_IFDIR {
		return proto.ENOTDIR
	}
	if c := p.fs.running(n); c != nil {
		c.put()
		return proto.EBUSY
	}
	if err := dir.Rmdir(ctx, name); err != nil {
		return err
	}
	p.open.node.watch.dir(ctx, p.open.node, proto.DirChangedUnlink, name)
	return nil
}

// own returns the object behind a send right if it is a node of this file
// system.
func (p *protid) own(port mach.Port) (*protid, bool) {
	h, ok := p.fs.ports.Lookup(port)
	if !ok {
		return nil, false
	}
	q, ok := h.(*protid)
	return q, ok && q.fs == p.fs
}

func (p *protid) DirLink(ctx context.Context, file mach.Port, name string, excl int32) error {
	if isDot(name) {
		return proto.EEXIST
	}
	if err := goodName(name); err != nil {
		return err
	}
	q, ok := p.own(file)
	if !ok {
		return proto.EXDEV
	}
	n := q.open.node
	fst, err := n.Stat(ctx)
	if err != nil {
		return err
	}
	if fst.Mode&proto.S_IFMT == proto.S_IFDIR {
		return proto.EISDIR
	}
	dir, st, unlock, err := p.directory(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	var c *sharedRight
	if excl == 0 {
		if c, err = p.replaced(ctx, dir, &st, name, n.Node); err != nil {
			return err
		}
	}
	if err := dir.Link(ctx, name, n.Node, excl != 0); err != nil {
		if c != nil {
			c.put()
		}
		return err
	}
	p.fs.dismiss(ctx, c)
	p.fs.ports.Release(file)
	p.open.node.watch.dir(ctx, p.open.node, proto.DirChangedNew, name)
	return nil
}

// replaced checks that the user may have what has a name replaced by the node
// by. It returns the translator that loses its node, if there is one.
func (p *protid) replaced(ctx context.Context, dir Dir, st *Stat, name string, by Node) (*sharedRight, error) {
	n, has, err := p.remove(ctx, dir, st, name)
	if err != nil {
		if proto.Code(err) == proto.ENOENT {
			err = nil
		}
		return nil, err
	}
	defer release(n)
	if n == by {
		return nil, nil
	}
	if has.Mode&proto.S_IFMT == proto.S_IFDIR {
		if c := p.fs.running(n); c != nil {
			c.put()
			return nil, proto.EBUSY
		}
		return nil, nil
	}
	return p.fs.last(n, &has), nil
}

func (p *protid) DirRename(ctx context.Context, name string, newDir mach.Port, newName string, excl int32) error {
	mustDir := strings.HasSuffix(name, "/") || strings.HasSuffix(newName, "/")
	name, newName = trimName(name), trimName(newName)
	if isDot(name) || isDot(newName) {
		return proto.EINVAL
	}
	if err := goodName(name); err != nil {
		return err
	}
	if err := goodName(newName); err != nil {
		return err
	}
	to, ok := p.own(newDir)
	if !ok {
		return proto.EXDEV
	}
	if _, _, err := to.open.node.dir(ctx); err != nil {
		return err
	}
	// What the client may do there is what the port that it names may do.
	if err := p.rename(ctx, name, to, newName, excl != 0, mustDir); err != nil {
		return err
	}
	p.fs.ports.Release(newDir)
	return nil
}

func (p *protid) rename(ctx context.Context, name string, to *protid, newName string, excl, mustDir bool) error {
	from, target := p.open.node, to.open.node
	// Two renames in opposite directions must not wait for each other, nor
	// make a circle of directories.
	if from != target {
		if err := p.fs.renames.take(ctx); err != nil {
			return err
		}
		defer p.fs.renames.give()
	}
	dir, st, unlock, err := p.directory(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	tst := st
	if target != from {
		var unlock func()
		_, tst, unlock, err = to.directory(ctx)
		if err != nil {
			return err
		}
		defer unlock()
	}
	n, has, err := p.remove(ctx, dir, &st, name)
	if err != nil {
		return err
	}
	defer release(n)
	isDir := has.Mode&proto.S_IFMT == proto.S_IFDIR
	if mustDir && !isDir {
		return proto.ENOTDIR
	}
	if isDir && from != target && !p.user.Owns(has) {
		// ".." in it changes.
		if err := check(ctx, n, &has, p.user, mayWrite); err != nil {
			return err
		}
	}
	var c *sharedRight
	if !excl {
		if c, err = to.replaced(ctx, target.Node.(Dir), &tst, newName, n); err != nil {
			return err
		}
	}
	if err := dir.Rename(ctx, name, target.Node, newName, excl); err != nil {
		if c != nil {
			c.put()
		}
		return err
	}
	p.fs.dismiss(ctx, c)
	from.watch.dir(ctx, from, proto.DirChangedUnlink, name)
	target.watch.dir(ctx, target, proto.DirChangedNew, newName)
	return nil
}
