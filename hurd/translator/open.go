package translator

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A peropen is an opening of a node: what the ports share that io_duplicate,
// io_reauthenticate and io_restrict_auth make of one.
type peropen struct {
	fs     *FS
	node   *node   // a reference
	origin *origin // a reference
	at     where
	file   File  // of an Opener; or nil
	how    int32 // O_READ, O_WRITE, O_EXEC
	refs   atomic.Int32

	modes atomic.Int32 // O_CHANGEABLE
	seek  mutex        // of what follows
	pos   int64

	list listing // of a directory

	portsMu sync.Mutex
	ports   []ports.Port // of the protids that have one
}

// abandoned reports whether nobody has a right to a port of the opening any
// more: it will be closed as soon as this server hears of it.
func (p *peropen) abandoned() bool {
	p.portsMu.Lock()
	defer p.portsMu.Unlock()
	for _, x := range p.ports {
		if x.Used() {
			return false
		}
	}
	return len(p.ports) > 0
}

func (p *peropen) addPort(x ports.Port) {
	p.portsMu.Lock()
	defer p.portsMu.Unlock()
	p.ports = append(p.ports, x)
}

func (p *peropen) removePort(x ports.Port) {
	p.portsMu.Lock()
	defer p.portsMu.Unlock()
	if i := slices.Index(p.ports, x); i >= 0 {
		p.ports = slices.Delete(p.ports, i, i+1)
	}
}

// openModes are the flags of opening that stay with what is open.
const openModes = proto.O_READ | proto.O_WRITE | proto.O_EXEC | proto.O_CHANGEABLE

// newPeropen takes over the reference to n and makes one to o.
func (fs *FS) newPeropen(n *node, o *origin, at where, flags int32) *peropen {
	p := &peropen{fs: fs, node: n, origin: o.use(), at: at, how: flags & mayAll}
	p.modes.Store(flags & proto.O_CHANGEABLE)
	p.seek.init()
	p.refs.Store(1)
	return p
}

func (p *peropen) use() *peropen {
	p.refs.Add(1)
	return p
}

func (p *peropen) put() {
	if p.refs.Add(-1) > 0 {
		return
	}
	p.node.locks.drop(p)
	if p.file != nil {
		p.file.Close()
	}
	p.list.drop(p.fs)
	p.origin.release(p.fs)
	p.node.put()
}

// as returns the contents of the open file as what T says, if they are that:
// what the File is not, the node may be.
func as[T any](p *peropen) (t T, ok bool) {
	if p.file != nil {
		if t, ok := p.file.(T); ok {
			return t, true
		}
	}
	t, ok = p.node.Node.(T)
	return t, ok
}

// A protid is a port to an opening for one user: [mach.Handler]. Its methods
// are those of the protocols fs and io.
type protid struct {
	proto.UnimplementedFS
	proto.UnimplementedIO

	fs    *FS
	open  *peropen // a reference
	user  User
	epoch atomic.Uint32 // of the node when this was made

	handler mach.Handler
	ready   chan struct{} // if not nil, closed when user is known
	port    ports.Port
	once    sync.Once // for gone

	charged bool   // counted in fs.opens
	charge  uint32 // for whom
}

// Handle answers a request.
func (p *protid) Handle(ctx context.Context, req, reply *mach.Message) error {
	if p.ready != nil {
		select {
		case <-p.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if p.epoch.Load() != p.open.node.epoch.Load() {
		return proto.EBADF // revoked
	}
	return p.handler.Handle(ctx, req, reply)
}

// export makes a port of p and the first right to it, the caller's. If it
// fails, p is gone. Who made p has made its handler, unless it is not ready.
func (fs *FS) export(p *protid) (mach.Port, error) {
	if p.ready == nil {
		if err := fs.opens.add(p, fs.config.MaxOfUser, fs.config.MaxOfUsers); err != nil {
			p.open.put()
			return mach.Null, err
		}
	}
	return fs.exportFree(p)
}

// exportFree is export without a bound: for what the library opens itself.
func (fs *FS) exportFree(p *protid) (mach.Port, error) {
	fs.users.Add(1)
	var err error
	p.port, err = fs.ports.Export(p, ports.Options{Gone: func() {
		p.open.removePort(p.port)
		p.gone()
	}})
	if err != nil {
		p.gone()
		return mach.Null, err
	}
	right, err := p.port.Right()
	if err != nil {
		p.port.Close()
		p.gone()
		return mach.Null, err
	}
	p.open.addPort(p.port)
	return right, nil
}

// end closes the port.
func (p *protid) end() {
	p.port.Close()
	p.open.removePort(p.port)
	p.gone()
}

// nobody is who has no ids.
const nobody = ^uint32(0)

// opens counts the ports of each user but root. The zero value is ready for
// use.
type opens struct {
	mu  sync.Mutex
	of  map[uint32]int
	all int
}

// add counts p for its user.
func (c *opens) add(p *protid, maxOfUser, maxOfUsers int) error {
	if p.user.IsRoot() {
		return nil
	}
	who := nobody
	if len(p.user.UIDs) > 0 {
		who = p.user.UIDs[0]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case maxOfUser > 0 && c.of[who] >= maxOfUser:
		return proto.EMFILE
	case maxOfUsers > 0 && c.all >= maxOfUsers:
		return proto.ENFILE
	}
	if c.of == nil {
		c.of = make(map[uint32]int)
	}
	c.of[who]++
	c.all++
	p.charge, p.charged = who, true
	return nil
}

// remove undoes add, if that was.
func (c *opens) remove(p *protid) {
	if !p.charged {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[p.charge]--; c.of[p.charge] == 0 {
		delete(c.of, p.charge)
	}
}

// newProtid takes over the reference to the opening.
func (fs *FS) newProtid(o *peropen, user User) *protid {
	p := &protid{fs: fs, open: o, user: user}
	p.epoch.Store(o.node.epoch.Load())
	return p
}

// right makes a port of an opening, whose reference it takes over even if it
// fails, and returns a right to it, the caller's.
func (fs *FS) right(o *peropen, user User) (mach.Port, error) {
	p := fs.newProtid(o, user)
	p.serve()
	return fs.export(p)
}

// freeRight is right for what the library opens itself.
func (fs *FS) freeRight(o *peropen, user User) (mach.Port, error) {
	p := fs.newProtid(o, user)
	p.serve()
	return fs.exportFree(p)
}

// serve makes the handler for the user.
func (p *protid) serve() {
	if x, ok := p.open.node.Node.(Protocols); ok {
		p.handler = proto.Handler(append([]any{p}, x.Protocols(p.user, p.open.how|p.open.modes.Load())...)...)
		return
	}
	p.handler = proto.Handler(p)
}

func (p *protid) gone() {
	p.once.Do(func() {
		p.fs.opens.remove(p)
		p.open.put()
		if p.fs.users.Add(-1) == 0 {
			select {
			case p.fs.left <- struct{}{}:
			default:
			}
		}
	})
}
