package translator

import (
	"context"
	"path"
	"strings"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// maxSymlinks is how many symbolic links a look-up goes through before they
// are taken for a loop.
const maxSymlinks = 32

// maxPath bounds a path with what symbolic links put into it, in bytes.
const maxPath = 8192

// serverFlags are the flags of dir_lookup that are meant for servers.
const serverFlags = 0xffff | proto.O_SHLOCK | proto.O_EXLOCK | proto.O_DIRECTORY

// typeBits are what a file's mode says besides its permissions.
const lookupMode = permBits &^ proto.S_ISVTX

// A result is the answer to dir_lookup.
type result struct {
	retry int32
	name  string
	port  mach.Port // a right that is given away
}

// DirLookup is hurd-protocol.md 5.4.
func (p *protid) DirLookup(ctx context.Context, name string, flags, mode int32) (int32, string, mach.Port, error) {
	r, err := p.fs.lookupFrom(ctx, p.open.node, p.open.origin, p.open.at, p.user, name, flags, mode)
	return r.retry, r.name, r.port, err
}

// lookup looks a path up from the directory n.
func (fs *FS) lookup(ctx context.Context, n *node, o *origin, u User, name string, flags, mode int32) (result, error) {
	return fs.lookupFrom(ctx, n, o, where{}, u, name, flags, mode)
}

func (fs *FS) lookupFrom(ctx context.Context, n *node, o *origin, at where, u User, name string, flags, mode int32) (result, error) {
	w := walker{fs: fs, ctx: ctx, user: u, origin: o, flags: flags & serverFlags, mode: uint32(mode)}
	st, err := n.Stat(ctx)
	if err != nil {
		return result{}, err
	}
	w.at = position{node: n.Node, state: n.use(), st: st, where: at}
	r, err := w.walk(name)
	w.at.drop()
	if err == nil && len(r.name) > proto.MaxString {
		fs.ports.Release(r.port)
		return result{}, proto.ENAMETOOLONG
	}
	return r, err
}

// A walker looks one path up.
type walker struct {
	fs     *FS
	ctx    context.Context
	user   User
	origin *origin
	flags  int32
	mode   uint32
	links  int

	at      position
	rest    string // of the path, without slashes at its ends
	mustDir bool   // the path ends in a slash
	create  bool
}

// A position is a node on the way.
type position struct {
	node  Node
	own   bool  // a reference to node, which is the walker's
	state *node // a reference, if not nil; then own is false
	st    Stat
	where
}

// hold returns what is known of the node.
func (p *position) hold(fs *FS) *node {
	if p.state == nil {
		p.state = fs.get(p.node, p.own)
		p.own = false
	}
	return p.state
}

// drop gives back the references.
func (p *position) drop() {
	if p.state != nil {
		p.state.put()
	} else if p.own {
		release(p.node)
	}
	*p = position{}
}

func (p *position) isDir() bool { return p.st.Mode&proto.S_IFMT == proto.S_IFDIR }

// setPath makes s what is left of the path.
func (w *walker) setPath(s string) {
	s = strings.TrimLeft(s, "/")
	w.rest = strings.TrimRight(s, "/")
	w.mustDir = w.mustDir || w.rest != s
}

// next splits the first name off.
func (w *walker) next() (name string, last bool) {
	name, rest, more := strings.Cut(w.rest, "/")
	w.rest = strings.TrimLeft(rest, "/")
	return name, !more
}

// remaining is what a client has to look up when the walk ends here.
func (w *walker) remaining() string {
	if !w.mustDir {
		return w.rest
	}
	return w.rest + "/"
}

func (w *walker) walk(name string) (result, error) {
	if strings.IndexByte(name, 0) >= 0 {
		return result{}, proto.EINVAL
	}
	w.setPath(name)
	w.create = w.flags&proto.O_CREAT != 0
	if w.rest == "" {
		w.mustDir = name != "" // slashes alone
		if x, ok := w.at.node.(Changeling); ok {
			if n := x.Now(); n != w.at.node {
				w.at.drop()
				w.at = position{node: n, own: true}
				var err error
				if w.at.st, err = n.Stat(w.ctx); err != nil {
					return result{}, err
				}
			} else {
				release(n)
			}
		}
		return w.open(&w.at, false)
	}
	for {
		if err := w.ctx.Err(); err != nil {
			return result{}, context.Cause(w.ctx)
		}
		name, last := w.next()
		if err := w.mayPass(); err != nil {
			return result{}, err
		}
		if name == ".." && w.origin.top(w.at.node, w.fs.root) && w.origin.dotdot != mach.Null {
			// The client goes on in the directory above, as who it is there.
			if err := proto.Retain(w.ctx, w.origin.dotdot); err != nil {
				return result{}, err
			}
			return result{proto.RetryReauth, w.remaining(), w.origin.dotdot}, nil
		}
		child, made, err := w.step(name, last)
		if err != nil {
			return result{}, err
		}
		r, done, err := w.enter(&child, last, made)
		child.drop()
		if done || err != nil {
			return r, err
		}
	}
}

// mayPass fails unless the walk may go on from where it is.
func (w *walker) mayPass() error {
	if _, ok := w.at.node.(Dir); !ok || !w.at.isDir() {
		return proto.ENOTDIR
	}
	return check(w.ctx, w.at.node, &w.at.st, w.user, mayExec)
}

// step returns what has a name in the directory, and whether it was made for
// it.
func (w *walker) step(name string, last bool) (child position, made bool, err error) {
	exclusive := last && w.create && w.flags&proto.O_EXCL != 0
	switch name {
	case ".":
		if exclusive {
			return child, false, proto.EEXIST
		}
		return w.here(), false, nil
	case "..":
		if exclusive {
			return child, false, proto.EEXIST
		}
		child, err = w.up()
		return child, false, err
	}
	if len(name) > MaxName {
		return child, false, proto.ENAMETOOLONG
	}
	dir := w.at.node.(Dir)
	for {
		n, err := dir.Lookup(w.ctx, name)
		if err == nil && exclusive {
			release(n)
			return child, false, proto.EEXIST
		}
		if last && w.create && !w.mustDir && proto.Code(err) == proto.ENOENT {
			n, err = w.make(name)
			if proto.Code(err) == proto.EEXIST && !exclusive {
				continue // somebody else has just made it
			}
			made = true
		}
		if err != nil {
			return child, false, err
		}
		child, err = w.below(name, n)
		return child, made, err
	}
}

// here returns the directory itself.
func (w *walker) here() position {
	p := w.at
	p.state, p.own = w.at.hold(w.fs).use(), false
	return p
}

// up returns the parent. That of the top is itself.
func (w *walker) up() (position, error) {
	if w.origin.top(w.at.node, w.fs.root) {
		return w.here(), nil
	}
	p := position{where: where{path: path.Dir(w.at.path)}}
	if p.path == "." || p.path == "/" {
		p.path = ""
	}
	if x, ok := w.at.node.(Parent); ok {
		n, err := x.Parent(w.ctx)
		if err != nil {
			return position{}, err
		}
		p.node, p.own = n, true
	} else if w.at.place != nil && w.at.place.up != nil {
		p.place = w.at.place.up
		p.node = p.place.node
	} else {
		p.node = w.fs.root.Node
	}
	var err error
	if p.st, err = p.node.Stat(w.ctx); err != nil {
		p.drop()
	}
	return p, err
}

// below returns the node n, whose reference it takes over, with a name in the
// directory.
func (w *walker) below(name string, n Node) (position, error) {
	p := position{node: n, own: true}
	var err error
	if p.st, err = n.Stat(w.ctx); err != nil {
		p.drop()
		return p, err
	}
	if p.isDir() {
		if _, ok := n.(Parent); !ok {
			p.place = &place{n, w.at.place}
			if w.at.place == nil && w.at.node != w.fs.root.Node {
				p.place.up = &place{node: w.at.node}
			}
		}
	}
	if len(w.at.path)+len(name) < maxPath {
		p.path = w.at.path + "/" + name
	}
	return p, nil
}

// make makes a file.
func (w *walker) make(name string) (Node, error) {
	dir, ok := w.at.node.(MutableDir)
	if !ok || w.fs.config.ReadOnly {
		return nil, proto.EROFS
	}
	if err := check(w.ctx, w.at.node, &w.at.st, w.user, mayWrite); err != nil {
		return nil, err
	}
	s := w.at.hold(w.fs)
	if err := s.lock.take(w.ctx); err != nil {
		return nil, err
	}
	defer s.lock.give()
	n, err := dir.Create(w.ctx, name, newIn(&w.at.st, w.user, proto.S_IFREG|w.mode&lookupMode))
	if err == nil {
		s.watch.dir(w.ctx, s, proto.DirChangedNew, name)
	}
	return n, err
}

// enter goes on at the child, of which it takes over what it needs. Done means
// that the walk is at its end.
func (w *walker) enter(child *position, last, made bool) (r result, done bool, err error) {
	direct := last && !w.mustDir // the node itself can be meant
	if !(direct && w.flags&proto.O_NOTRANS != 0) && w.translated(child) {
		r, ok, err := w.translate(child, last)
		if ok || err != nil {
			return r, true, err
		}
	}
	if child.st.Mode&proto.S_IFMT == proto.S_IFLNK && !(direct && w.flags&(proto.O_NOLINK|proto.O_NOTRANS) != 0) {
		return w.follow(child, last)
	}
	if last {
		r, err = w.open(child, made)
		return r, true, err
	}
	w.at, *child = *child, w.at
	return r, false, nil
}

// follow goes on along a symbolic link.
func (w *walker) follow(link *position, last bool) (r result, done bool, err error) {
	if w.links++; w.links > maxSymlinks {
		return r, false, proto.ELOOP
	}
	l, ok := link.node.(Symlink)
	if !ok {
		return r, false, proto.EOPNOTSUPP
	}
	target, err := l.Readlink(w.ctx)
	if err != nil {
		return r, false, err
	}
	if target == "" {
		return r, false, proto.ENOENT
	}
	if last {
		w.create = false // a link to nothing does not make a file
	}
	if w.rest != "" {
		target += "/" + w.rest
	}
	if target[0] == '/' {
		if w.mustDir && !strings.HasSuffix(target, "/") {
			target += "/"
		}
		return result{retry: proto.RetryMagical, name: target}, true, nil
	}
	if len(target) > maxPath {
		return r, false, proto.ENAMETOOLONG
	}
	w.setPath(target)
	return r, false, nil
}

// open opens a node at the end of the walk.
func (w *walker) open(p *position, made bool) (result, error) {
	flags := w.flags
	typ := p.st.Mode & proto.S_IFMT
	if (w.mustDir || flags&proto.O_DIRECTORY != 0) && typ != proto.S_IFDIR {
		return result{}, proto.ENOTDIR
	}
	want := flags & mayAll
	switch typ {
	case proto.S_IFDIR:
		if want&mayWrite != 0 {
			return result{}, proto.EISDIR
		}
	case proto.S_IFLNK:
		if want&^mayRead != 0 {
			return result{}, proto.ELOOP
		}
	case proto.S_IFIFO, proto.S_IFCHR, proto.S_IFBLK, proto.S_IFSOCK:
		if flags&proto.O_NOTRANS != 0 && want != 0 {
			return result{}, proto.EACCES // only the node, not what it stands for
		}
	}
	if !made && want != 0 {
		if typ != proto.S_IFLNK {
			if err := check(w.ctx, p.node, &p.st, w.user, want); err != nil {
				return result{}, err
			}
		}
		if want&mayWrite != 0 && w.fs.config.ReadOnly && typ == proto.S_IFREG {
			return result{}, proto.EROFS
		}
	}
	if flags&proto.O_NOATIME != 0 && !w.user.Owns(p.st) {
		flags &^= proto.O_NOATIME
	}
	o := w.fs.newPeropen(p.hold(w.fs).use(), w.origin, where{place: p.place}, flags&openModes)
	if typ == proto.S_IFDIR || want&mayExec != 0 || flags&proto.O_NOTRANS != 0 {
		o.at.path = p.path
	}
	if err := w.begin(o, flags); err != nil {
		o.put()
		return result{}, err
	}
	port, err := w.fs.right(o, w.user)
	return result{retry: proto.RetryNormal, port: port}, err
}

// begin does what is to be done when a node is opened.
func (w *walker) begin(o *peropen, flags int32) error {
	if flags&(proto.O_SHLOCK|proto.O_EXLOCK) != 0 {
		l := lock{owner: o, last: whole, write: flags&proto.O_EXLOCK != 0}
		if err := o.node.locks.set(w.ctx, l, false); err != nil {
			return err
		}
	}
	if x, ok := o.node.Node.(Opener); ok && flags&proto.O_NOTRANS == 0 && flags&(mayRead|mayWrite) != 0 {
		f, err := x.Open(w.ctx, w.user, flags)
		if err != nil {
			return err
		}
		o.file = f
	}
	return nil
}
