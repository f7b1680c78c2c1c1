package translator

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/deathwatch"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A Config is what a file system is made of. Only Root is needed.
type Config struct {
	// Root is the root of the tree, whose reference the FS takes over.
	Root Node
	// Name is the program's name: the first word of fsys_get_options, and what
	// io_server_version says.
	Name string
	// Options are those that fsysopts can get and set; nil are none. Their
	// values are set and read by several goroutines: see [Text].
	Options *flag.FlagSet
	// FSType is a proto.FSType constant; 0 stands for FSTypeMisc.
	FSType int32
	// FSID tells this file system from others: 0 stands for the process id.
	FSID uint64
	// Source is what fsys_get_source answers.
	Source string
	// ReadOnly makes everything that changes something fail with EROFS.
	ReadOnly bool

	// System says that this is the root file system of its system: it finds
	// translators' programs and the exec server in itself, not in the root
	// directory of its process, and may have no parent.
	System bool
	// Stderr is a port to which translators that are started write what they
	// have to say, or null.
	Stderr mach.Port
	// Exec returns the exec server's port, which the caller borrows, in place
	// of what is found at /servers/exec.
	Exec func(ctx context.Context) (mach.Port, error)
	// Start starts a passive translator in place of [hurd.StartTranslator].
	Start func(ctx context.Context, s hurd.Start) (control mach.Port, err error)

	// MaxOfUser bounds the ports of nodes that one user has open at a time, of
	// those who are not root; more are EMFILE. Nobody is a user, too.
	// MaxOfUsers bounds those of all of them together: ENFILE. Zero is no
	// bound.
	MaxOfUser, MaxOfUsers int

	// Ports makes the ports; nil stands for a [ports.Kernel].
	Ports ports.Exporter
}

// An FS serves a tree of nodes: by the ports of its nodes that clients open,
// and by its control port.
type FS struct {
	config Config
	ports  ports.Exporter
	root   *node

	auth    atomic.Uint32 // this server's authentication handle
	proc    atomic.Uint32
	control ports.OnDemand // the control port
	fsid    ports.OnDemand // its identity port
	users   atomic.Int64   // protids
	left    chan struct{}  // gets one when there are no users any more
	pending atomic.Int64   // calls of the authentication server
	active  atomic.Int64   // active translators
	listed  atomic.Int64   // entries of directories that are being read
	reading atomic.Int64   // bytes of pages that are being filled for clients

	opens   opens
	deaths  func() *deathwatch.Watcher // nil where there is no kernel to ask
	renames mutex                      // from one directory to another

	optionsMu sync.Mutex

	mu         sync.Mutex
	nodes      map[Node]*node          // those in use
	translated map[*node]struct{}      // with active translators
	watched    map[*sharedRight]func() // what takes back the watch for an active translator's death

	execMu sync.Mutex
	exec   *sharedRight // the exec server, if it has been found

	began    time.Time
	gone     chan struct{} // closed when the file system has gone away
	goneOnce sync.Once
}

// NewFS returns a file system that is ready to be asked for its ports.
func NewFS(c Config) (*FS, error) {
	if c.Root == nil {
		return nil, fmt.Errorf("a file system without a root: %w", proto.EINVAL)
	}
	if c.Ports == nil {
		c.Ports = new(ports.Kernel)
	}
	if c.FSType == 0 {
		c.FSType = proto.FSTypeMisc
	}
	fs := &FS{config: c, ports: c.Ports, nodes: make(map[Node]*node), translated: make(map[*node]struct{}), watched: make(map[*sharedRight]func()), began: time.Now(), gone: make(chan struct{}), left: make(chan struct{}, 1)}
	fs.renames.init()
	fs.deaths = sync.OnceValue(func() *deathwatch.Watcher {
		w, err := deathwatch.New(context.Background())
		if err != nil {
			return nil // then a dead translator is noticed when it is next used
		}
		return w
	})
	fs.root = fs.get(c.Root, true)
	return fs, nil
}

// SetAuth sets the authentication handle by which clients prove who they are
// and translators get their owners' ids. The FS keeps the right. A translator's
// is set by [Main]; a root file system gets its own when it has started the
// authentication server. Until then clients that reauthenticate are nobody.
func (fs *FS) SetAuth(auth mach.Port) { fs.auth.Store(uint32(auth)) }

// SetProc sets the port by which translators that are started become known to
// the proc server, in place of this process's own. The FS keeps the right.
func (fs *FS) SetProc(proc mach.Port) { fs.proc.Store(uint32(proc)) }

func (fs *FS) authPort() mach.Port { return mach.Port(fs.auth.Load()) }

// Done is closed when the file system has been told to go away and has
// answered: a program ends then.
func (fs *FS) Done() <-chan struct{} { return fs.gone }

func (fs *FS) goneAway() { fs.goneOnce.Do(func() { close(fs.gone) }) }

// Control returns a send right to the control port, the caller's.
func (fs *FS) Control(ctx context.Context) (mach.Port, error) {
	return fs.control.Right(fs.ports, func() mach.Handler { return newController(fs) }, nil)
}

// Root opens the root for a user, for the O_ flags, and returns the right.
// dotdot is what ".." is there, a right that the FS takes over if it succeeds;
// null is the root itself.
func (fs *FS) Root(ctx context.Context, user User, flags int32, dotdot mach.Port) (mach.Port, error) {
	return fs.Open(ctx, user, "", flags, 0, dotdot)
}

// Open is [FS.Root] for a path in the tree, which must not lead out of it.
func (fs *FS) Open(ctx context.Context, user User, path string, flags, mode int32, dotdot mach.Port) (mach.Port, error) {
	o := newOrigin(dotdot)
	r, err := fs.lookup(ctx, fs.root, o, user, path, flags, mode)
	if err == nil && (r.retry != proto.RetryNormal || r.name != "") {
		fs.ports.Release(r.port)
		err = fmt.Errorf("%s leads out of the file system: %w", path, proto.EXDEV)
	}
	if err != nil {
		o.dotdot = mach.Null // the right stays the caller's
	}
	o.release(fs)
	return r.port, err
}

// An origin is where a look-up began: what ".." is at the root, or in a shadow
// tree (file_reparent) at that tree's root.
type origin struct {
	refs   atomic.Int32
	dotdot mach.Port // a right that the origin owns
	shadow *node     // the root, if it is not the file system's; a reference
}

func newOrigin(dotdot mach.Port) *origin {
	o := &origin{dotdot: dotdot}
	o.refs.Store(1)
	return o
}

func (o *origin) use() *origin {
	o.refs.Add(1)
	return o
}

func (o *origin) release(fs *FS) {
	if o.refs.Add(-1) > 0 {
		return
	}
	fs.ports.Release(o.dotdot)
	if o.shadow != nil {
		o.shadow.put()
	}
}

// top reports whether ".." of n leads out of what o lets see.
func (o *origin) top(n Node, root *node) bool {
	return n == root.Node || o.shadow != nil && n == o.shadow.Node
}

// A node is what the library knows of a Node that is in use.
type node struct {
	Node
	fs   *FS
	refs int // guarded by fs.mu

	lock  mutex          // who changes the contents or the directory
	trans box            // translator
	locks locks          // of clients
	watch notify         // who wants to hear of changes
	id    ports.OnDemand // the identity port

	// epoch counts the calls of io_revoke: what was opened before is no good.
	epoch atomic.Uint32
}

// A where is where a node was found.
type where struct {
	// path is its path from the file system's root, if it is known: of
	// directories, programs, and what translators sit on.
	path string
	// place is that of a directory that does not know its parent.
	place *place
}

// A place is a directory and the one that it was found in.
type place struct {
	node Node
	up   *place // nil: the root
}

// get returns what is known of n, with a reference. If own, get takes over the
// caller's reference to n.
func (fs *FS) get(n Node, own bool) *node {
	fs.mu.Lock()
	s := fs.nodes[n]
	if s != nil {
		s.refs++
		fs.mu.Unlock()
		if own {
			release(n)
		}
		return s
	}
	s = &node{Node: n, fs: fs, refs: 1}
	s.lock.init()
	fs.nodes[n] = s
	fs.mu.Unlock()
	return s
}

// dir returns the node as a directory, which is told by what it says of itself
// as well as by what it can do: one type may be all kinds of nodes.
func (s *node) dir(ctx context.Context) (Dir, Stat, error) {
	st, err := s.Stat(ctx)
	if err != nil {
		return nil, st, err
	}
	d, ok := s.Node.(Dir)
	if !ok || st.Mode&proto.S_IFMT != proto.S_IFDIR {
		return nil, st, proto.ENOTDIR
	}
	return d, st, nil
}

// find is get without making anything: it returns nil if n is not in use.
func (fs *FS) find(n Node) *node {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	s := fs.nodes[n]
	if s != nil {
		s.refs++
	}
	return s
}

func (s *node) use() *node {
	s.fs.mu.Lock()
	s.refs++
	s.fs.mu.Unlock()
	return s
}

func (s *node) put() {
	s.fs.mu.Lock()
	s.refs--
	last := s.refs == 0
	if last {
		delete(s.fs.nodes, s.Node)
	}
	s.fs.mu.Unlock()
	if last {
		release(s.Node)
	}
}

func release(n Node) {
	if r, ok := n.(Releaser); ok {
		r.Release()
	}
}

// A mutex is a lock that can be waited for with a context.
type mutex struct{ c chan struct{} }

func (m *mutex) init() { m.c = make(chan struct{}, 1) }

func (m *mutex) take(ctx context.Context) error {
	select {
	case m.c <- struct{}{}:
		return nil
	default:
	}
	select {
	case m.c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *mutex) give() { <-m.c }
