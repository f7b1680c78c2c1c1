package translator

import (
	"context"
	"errors"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A controller is the control port of a file system: [mach.Handler]. Its
// methods are those of the protocol fsys.
type controller struct {
	proto.UnimplementedFsys
	fs      *FS
	handler mach.Handler
}

func newController(fs *FS) *controller {
	c := &controller{fs: fs}
	c.handler = proto.Handler(c)
	return c
}

const fsysGoaway = 22001

// Handle answers a request. The answer to fsys_goaway is sent before the file
// system is gone.
func (c *controller) Handle(ctx context.Context, req, reply *mach.Message) error {
	if req.ID() != fsysGoaway {
		return c.handler.Handle(ctx, req, reply)
	}
	flags := req.TakeInt32()
	if req.End() != nil {
		return mach.MigBadArguments
	}
	if err := c.fs.goaway(ctx, flags); err != nil {
		return proto.Code(err)
	}
	if !req.Received() || mach.TaskSelf() == mach.Null {
		c.fs.goneAway() // nobody to answer: a test
		return nil
	}
	d := mach.Defer(req)
	_ = d.Send(d.NewReply())
	c.fs.goneAway()
	return mach.NoReply
}

// goaway prepares for the end: it fails with EBUSY while there are users,
// unless it is forced.
func (fs *FS) goaway(ctx context.Context, flags int32) error {
	force := flags&proto.GOAWAY_FORCE != 0
	if flags&proto.GOAWAY_RECURSE != 0 {
		for _, c := range fs.children() {
			err := proto.FsysGoaway(ctx, c.control.port, flags)
			if err == nil || dead(err) {
				c.node.trans.forget(c.node, c.control)
				err = nil
			}
			c.put()
			if err != nil && !force {
				return err
			}
		}
	}
	if !force && !fs.unused(ctx) {
		return proto.EBUSY
	}
	if flags&proto.GOAWAY_NOSYNC == 0 {
		if err := fs.sync(ctx, flags&proto.GOAWAY_NOWAIT == 0, false); err != nil && !force {
			return err
		}
	}
	return nil
}

// settleTime is how long fsys_goaway waits for ports that clients have given
// back to become known as such.
const settleTime = 50 * time.Millisecond

// unused reports whether nobody has a port of a node. What a client gave back
// before it asked may not have been noticed: the kernel tells of each port in
// its own message.
func (fs *FS) unused(ctx context.Context) bool {
	if fs.users.Load() == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		select {
		case <-fs.left:
			if fs.users.Load() == 0 {
				return true
			}
		case <-ctx.Done():
			return fs.users.Load() == 0
		}
	}
}

// A child is an active translator.
type child struct {
	node    *node        // a reference
	control *sharedRight // a reference
}

func (c child) put() {
	c.control.put()
	c.node.put()
}

// children returns the active translators.
func (fs *FS) children() []child {
	fs.mu.Lock()
	nodes := make([]*node, 0, len(fs.translated))
	for n := range fs.translated {
		n.refs++
		nodes = append(nodes, n)
	}
	fs.mu.Unlock()
	var list []child
	for _, n := range nodes {
		if c := n.trans.current(); c != nil {
			list = append(list, child{n, c})
		} else {
			n.put()
		}
	}
	return list
}

// sync writes out everything, and with children what their file systems have.
func (fs *FS) sync(ctx context.Context, wait, children bool) error {
	var errs []error
	if children {
		for _, c := range fs.children() {
			err := proto.FsysSyncfs(ctx, c.control.port, bit(wait), 1)
			if err != nil && !dead(err) {
				errs = append(errs, err)
			}
			c.put()
		}
	}
	if s, ok := fs.root.Node.(FSSyncer); ok {
		errs = append(errs, s.SyncFS(ctx, wait))
	}
	return errors.Join(errs...)
}

func bit(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func (c *controller) FsysGetroot(ctx context.Context, dotdot mach.Port, uids, gids []int32, flags int32) (int32, string, mach.Port, error) {
	fs := c.fs
	u, err := newUser(uids, gids)
	if err != nil {
		return 0, "", mach.Null, err
	}
	o := newOrigin(dotdot)
	r, err := fs.mount(ctx, o, u, flags)
	if err != nil {
		o.dotdot = mach.Null // the request's again
	}
	o.release(fs)
	return r.retry, r.name, r.port, err
}

// mount opens the root, which may be a symbolic link.
func (fs *FS) mount(ctx context.Context, o *origin, u User, flags int32) (result, error) {
	st, err := fs.root.Stat(ctx)
	if err != nil {
		return result{}, err
	}
	if st.Mode&proto.S_IFMT != proto.S_IFLNK || flags&(proto.O_NOLINK|proto.O_NOTRANS) != 0 {
		// The flags say what is wanted of the root: there is nothing to make.
		return fs.lookup(ctx, fs.root, o, u, "", flags&^(proto.O_CREAT|proto.O_EXCL), 0)
	}
	l, ok := fs.root.Node.(Symlink)
	if !ok {
		return result{}, proto.EOPNOTSUPP
	}
	target, err := l.Readlink(ctx)
	switch {
	case err != nil:
		return result{}, err
	case target == "":
		return result{}, proto.ENOENT
	case len(target) > proto.MaxString:
		return result{}, proto.ENAMETOOLONG
	case target[0] == '/':
		return result{retry: proto.RetryMagical, name: target}, nil
	}
	if err := proto.Retain(ctx, o.dotdot); err != nil {
		return result{}, err
	}
	return result{proto.RetryReauth, target, o.dotdot}, nil
}

func (c *controller) FsysGetfile(ctx context.Context, uids, gids []int32, handle []byte) (mach.Port, error) {
	h, ok := c.fs.root.Node.(Handles)
	if !ok {
		return mach.Null, proto.EOPNOTSUPP
	}
	u, err := newUser(uids, gids)
	if err != nil {
		return mach.Null, err
	}
	n, err := h.Node(ctx, handle)
	if err != nil {
		return mach.Null, err
	}
	s := c.fs.get(n, true)
	st, err := s.Stat(ctx)
	if err != nil {
		s.put()
		return mach.Null, err
	}
	may, err := access(ctx, n, &st, u)
	if err != nil {
		s.put()
		return mach.Null, err
	}
	if st.Mode&proto.S_IFMT == proto.S_IFDIR {
		may &^= mayWrite
	}
	o := newOrigin(mach.Null)
	defer o.release(c.fs)
	return c.fs.right(c.fs.newPeropen(s, o, where{}, may), u)
}

func (c *controller) FsysSyncfs(ctx context.Context, wait, children int32) error {
	return c.fs.sync(ctx, wait != 0, children != 0)
}

func (c *controller) FsysSetOptions(ctx context.Context, argz []byte, children int32) error {
	if children != 0 {
		for _, ch := range c.fs.children() {
			err := proto.FsysSetOptions(ctx, ch.control.port, argz, 1)
			ch.put()
			if err != nil && !dead(err) {
				return err
			}
		}
	}
	return c.fs.setOptions(argz)
}

func (c *controller) FsysGetOptions(context.Context) ([]byte, error) { return c.fs.options(), nil }

// FsysGetChildren names the active translators by their places in the tree.
func (c *controller) FsysGetChildren(ctx context.Context) ([]byte, []mach.Port, error) {
	var names []string
	var ports []mach.Port
	for _, ch := range c.fs.children() {
		if proto.Retain(ctx, ch.control.port) == nil {
			names = append(names, ch.node.trans.name())
			ports = append(ports, ch.control.port)
		}
		ch.put()
	}
	return hurd.Argz(names...), ports, nil
}

func (c *controller) FsysGetSource(context.Context) (string, error) {
	if c.fs.config.Source == "" {
		return "", proto.EOPNOTSUPP
	}
	return c.fs.config.Source, nil
}
