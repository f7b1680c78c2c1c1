package translator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Limits of translators.
const (
	maxRecord    = 16 << 10         // bytes of a passive translator's command line
	startTimeout = time.Minute      // from its start to fsys_startup
	goTimeout    = 10 * time.Second // of telling one to go away that nobody waits for
)

// A sharedRight is a send right with users, of which the last gives it back:
// the control port of a translator, the exec server.
type sharedRight struct {
	ports ports.Exporter
	port  mach.Port
	refs  atomic.Int32
}

func newSharedRight(x ports.Exporter, port mach.Port) *sharedRight {
	c := &sharedRight{ports: x, port: port}
	c.refs.Store(1)
	return c
}

func (c *sharedRight) use() *sharedRight {
	c.refs.Add(1)
	return c
}

func (c *sharedRight) put() {
	if c.refs.Add(-1) == 0 {
		c.ports.Release(c.port)
	}
}

// A box is the place for a translator on a node. The zero value is empty.
type box struct {
	running atomic.Bool // there is a control

	mu      sync.Mutex
	control *sharedRight
	path    string // of the node when the translator was set, for fsys_get_children
	back    *back
	start   *start // of the passive translator, if one is being started
}

// A start is a translator that is being started; those who want it wait.
type start struct {
	done chan struct{}
	err  error
}

// A back is what ".." is at a translator's root: a right to a port of the
// directory, for nobody. It is kept for as long as there is the translator,
// because most look-ups come the same way.
type back struct {
	*sharedRight
	dir    *node // that the port is of, which keeps it in use
	origin *origin
}

// dotdot returns what ".." is at the root of the translator of s for who comes
// from a directory, with a reference.
func (b *box) dotdot(fs *FS, at whereabouts) (*sharedRight, error) {
	b.mu.Lock()
	if k := b.back; k != nil && k.dir == at.dir && k.origin == at.origin {
		defer b.mu.Unlock()
		return k.use(), nil
	}
	b.mu.Unlock()
	port, err := fs.freeRight(fs.newPeropen(at.dir.use(), at.origin, at.where, 0), User{})
	if err != nil {
		return nil, err
	}
	c := newSharedRight(fs.ports, port)
	b.mu.Lock()
	var old *back
	if b.control != nil {
		old, b.back = b.back, &back{c.use(), at.dir, at.origin}
	}
	b.mu.Unlock()
	old.drop()
	return c, nil
}

func (k *back) drop() {
	if k != nil {
		k.put()
	}
}

// active reports whether a translator is running there.
func (b *box) active() bool { return b.running.Load() }

// current returns the translator that is running, with a reference, or nil.
func (b *box) current() *sharedRight {
	if !b.active() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.control == nil {
		return nil
	}
	return b.control.use()
}

// set makes port, a right that it takes over, the active translator of s, or
// with null none. With exclusive it fails with EBUSY if there is one.
func (b *box) set(s *node, path string, port mach.Port, exclusive bool) error {
	var c *sharedRight
	if port.Valid() {
		c = newSharedRight(s.fs.ports, port)
	}
	b.mu.Lock()
	old := b.control
	if exclusive && old != nil {
		b.mu.Unlock()
		return proto.EBUSY
	}
	back := b.replace(c, path)
	b.mu.Unlock()
	back.drop()
	s.fs.settled(s, old, c)
	return nil
}

// name is the path of the node, without a slash before it.
func (b *box) name() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.TrimPrefix(b.path, "/")
}

// replace sets b.control. The caller has b.mu, and afterwards drops what is
// returned and calls settled.
func (b *box) replace(c *sharedRight, path string) (old *back) {
	old = b.back
	b.control, b.path, b.back = c, path, nil
	b.running.Store(c != nil)
	return old
}

// forget takes the translator away if it is still c.
func (b *box) forget(s *node, c *sharedRight) {
	b.mu.Lock()
	if b.control != c {
		b.mu.Unlock()
		return
	}
	back := b.replace(nil, "")
	b.mu.Unlock()
	back.drop()
	s.fs.settled(s, c, nil)
}

// settled does what is to be done when the translator of s has changed.
func (fs *FS) settled(s *node, old, c *sharedRight) {
	if c != nil {
		s.use() // for as long as there is a translator
		fs.mu.Lock()
		fs.translated[s] = struct{}{}
		fs.mu.Unlock()
		fs.active.Add(1)
		fs.watch(s, c)
	}
	if old != nil {
		fs.unwatch(old)
		if c == nil {
			fs.mu.Lock()
			delete(fs.translated, s)
			fs.mu.Unlock()
		}
		fs.active.Add(-1)
		old.put()
		s.put()
	}
}

// watch has s forget its translator c when that dies.
func (fs *FS) watch(s *node, c *sharedRight) {
	w := fs.deaths()
	if w == nil {
		return
	}
	// With the lock, so that a death is not told before there is what takes
	// the watch back.
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if stop, err := w.Watch(c.port, func() { go s.trans.forget(s, c) }); err == nil {
		fs.watched[c] = stop
	}
}

// unwatch takes back what watch did.
func (fs *FS) unwatch(c *sharedRight) {
	fs.mu.Lock()
	stop := fs.watched[c]
	delete(fs.watched, c)
	fs.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// dead reports whether err says that the server is gone.
func dead(err error) bool {
	return errors.Is(err, mach.SendInvalidDest) || errors.Is(err, mach.MigServerDied)
}

// fetch returns the translator of s, with a reference, starting the passive
// one if there is none; nil if there is no translator at all.
func (b *box) fetch(ctx context.Context, s *node, at whereabouts) (*sharedRight, error) {
	for {
		if c := b.current(); c != nil {
			return c, nil
		}
		argz, st, err := s.command(ctx)
		if err != nil || len(argz) == 0 {
			return nil, err
		}
		b.mu.Lock()
		if b.control != nil {
			b.mu.Unlock()
			continue
		}
		r := b.start
		if r == nil {
			r = &start{done: make(chan struct{})}
			b.start = r
			// Not the client's: others wait for it, too.
			s.use()
			dir, origin := at.dir.use(), at.origin.use()
			go func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
				defer cancel()
				b.begin(ctx, r, s, whereabouts{dir, origin, at.where, at.child}, argz, &st)
				origin.release(s.fs)
				dir.put()
				s.put()
			}()
		}
		b.mu.Unlock()
		select {
		case <-r.done:
			if r.err != nil {
				return nil, r.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// A whereabouts is the directory that a translated node was found in.
type whereabouts struct {
	dir    *node
	origin *origin
	where
	child string // the path of the node
}

// begin starts the translator argz of s.
func (b *box) begin(ctx context.Context, r *start, s *node, at whereabouts, argz []byte, st *Stat) {
	port, err := s.fs.startTranslator(ctx, s, at, argz, st)
	b.mu.Lock()
	b.start = nil
	var c *sharedRight
	if err == nil && b.control == nil {
		c = newSharedRight(s.fs.ports, port)
		defer b.replace(c, at.child).drop()
	}
	b.mu.Unlock()
	switch {
	case c != nil:
		s.fs.settled(s, nil, c)
	case err == nil:
		// Somebody has set an active translator meanwhile.
		_ = proto.FsysGoaway(ctx, port, proto.GOAWAY_FORCE)
		s.fs.ports.Release(port)
	}
	r.err = err
	close(r.done)
}

// startTranslator starts a program at s, as the owner of s.
func (fs *FS) startTranslator(ctx context.Context, s *node, at whereabouts, argz []byte, st *Stat) (mach.Port, error) {
	owner := User{UIDs: []uint32{st.UID}, GIDs: []uint32{st.GID}}
	cwd, err := fs.freeRight(fs.newPeropen(at.dir.use(), at.origin, at.where, 0), User{})
	if err != nil {
		return mach.Null, err
	}
	defer fs.ports.Release(cwd)
	x := hurd.Start{
		Argz: argz, CWD: cwd, Owner: &hurd.Owner{UID: st.UID, GID: st.GID}, Stderr: fs.config.Stderr,
		Auth: fs.authPort(), Proc: mach.Port(fs.proc.Load()), Reap: true, Ports: fs.ports,
		Underlying: func(ctx context.Context, flags int32) (mach.Port, error) {
			return fs.right(fs.newPeropen(s.use(), at.origin, where{path: at.child}, flags&openModes), owner)
		},
	}
	if fs.config.System {
		root, err := fs.Root(ctx, owner, 0, mach.Null)
		if err != nil {
			return mach.Null, err
		}
		defer fs.ports.Release(root)
		x.Root = root
	}
	begin := fs.config.Start
	if begin == nil {
		begin = hurd.StartTranslator
	}
	port, err := begin(ctx, x)
	if err != nil {
		name, _, _ := bytes.Cut(argz, []byte{0})
		return mach.Null, fmt.Errorf("start %s: %w", name, err)
	}
	return port, nil
}

// Programs that the library does not start for nodes that can do the same.
const (
	hurdSymlink = "/hurd/symlink"
	hurdChrdev  = "/hurd/chrdev"
	hurdBlkdev  = "/hurd/blkdev"
	hurdFifo    = "/hurd/fifo"
	hurdIfsock  = "/hurd/ifsock"
	hurdMagic   = "/hurd/magic"
)

// command returns the command line of the passive translator of s, or of the
// program that does what its type says, if it has no contents itself.
func (s *node) command(ctx context.Context) ([]byte, Stat, error) {
	st, err := s.Stat(ctx)
	if err != nil {
		return nil, st, err
	}
	argz, err := s.record(ctx, &st)
	if err != nil || len(argz) > 0 {
		return argz, st, err
	}
	if typ := st.Mode & proto.S_IFMT; typ == proto.S_IFLNK || serves(s.Node) {
		return nil, st, nil
	}
	return special(&st, ""), st, nil
}

// record returns the passive translator that s has stored.
func (s *node) record(ctx context.Context, st *Stat) ([]byte, error) {
	if st.Mode&proto.S_IPTRANS == 0 {
		return nil, nil
	}
	t, ok := s.Node.(Translated)
	if !ok {
		return nil, nil
	}
	return t.Translator(ctx)
}

// special returns the translator that stands for the type of a node, or
// nothing for a file or directory.
func special(st *Stat, target string) []byte {
	var args []string
	switch st.Mode & proto.S_IFMT {
	case proto.S_IFLNK:
		args = []string{hurdSymlink, target}
	case proto.S_IFCHR:
		args = []string{hurdChrdev, strconv.Itoa(major(st.Rdev)), strconv.Itoa(minor(st.Rdev))}
	case proto.S_IFBLK:
		args = []string{hurdBlkdev, strconv.Itoa(major(st.Rdev)), strconv.Itoa(minor(st.Rdev))}
	case proto.S_IFIFO:
		args = []string{hurdFifo}
	case proto.S_IFSOCK:
		args = []string{hurdIfsock}
	}
	return hurd.Argz(args...)
}

func major(dev uint32) int { return int(dev >> 8 & 0xfff) }
func minor(dev uint32) int { return int(dev&0xff | dev>>12&^0xff) }

func makedev(major, minor uint32) uint32 { return major&0xfff<<8 | minor&0xff | minor&^0xff<<12 }

// becomes returns what a node becomes by a passive translator that stands for
// a type; 0 is none of them.
func becomes(argz []byte) (typ, rdev uint32, target string, err error) {
	args := hurd.ParseArgz(argz)
	if len(args) == 0 {
		return 0, 0, "", nil
	}
	switch args[0] {
	case hurdSymlink:
		if len(args) < 2 {
			return 0, 0, "", proto.EINVAL
		}
		return proto.S_IFLNK, 0, args[1], nil
	case hurdChrdev, hurdBlkdev:
		typ = proto.S_IFCHR
		if args[0] == hurdBlkdev {
			typ = proto.S_IFBLK
		}
		if len(args) < 3 {
			return 0, 0, "", proto.EINVAL
		}
		major, err1 := strconv.ParseUint(args[1], 0, 12)
		minor, err2 := strconv.ParseUint(args[2], 0, 20)
		if err1 != nil || err2 != nil {
			return 0, 0, "", proto.EINVAL
		}
		return typ, makedev(uint32(major), uint32(minor)), "", nil
	case hurdFifo:
		return proto.S_IFIFO, 0, "", nil
	case hurdIfsock:
		return proto.S_IFSOCK, 0, "", nil
	}
	return 0, 0, "", nil
}

// serves reports whether a node with the type of a device, fifo or socket
// does what that is by itself.
func serves(n Node) bool {
	switch n.(type) {
	case Opener, Stream, ReaderAt, WriterAt, Protocols:
		return true
	}
	return false
}

// translated reports whether a walk must ask a translator at p.
func (w *walker) translated(p *position) bool {
	switch p.st.Mode & proto.S_IFMT {
	case proto.S_IFIFO, proto.S_IFCHR, proto.S_IFBLK, proto.S_IFSOCK:
		if !serves(p.node) {
			return true
		}
	}
	if p.st.Mode&proto.S_IPTRANS != 0 {
		return true
	}
	if w.fs.active.Load() == 0 {
		return false
	}
	if p.state != nil {
		return p.state.trans.active()
	}
	s := w.fs.find(p.node)
	if s == nil {
		return false
	}
	defer s.put()
	return s.trans.active()
}

// translate asks the translator at child for its root. ok is false if it is
// gone and there is no other.
func (w *walker) translate(child *position, last bool) (r result, ok bool, err error) {
	s, dir := child.hold(w.fs), w.at.hold(w.fs)
	if name, directory, err := s.magic(w.ctx); name != "" || err != nil {
		rest := w.remaining()
		below, _, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if directory && err == nil && (below == "" || below == "." || below == "..") {
			return r, false, nil // the directory itself
		}
		return result{retry: proto.RetryMagical, name: join(name, rest)}, true, err
	}
	at := whereabouts{dir, w.origin, w.at.where, child.path}
	dotdot, err := s.trans.dotdot(w.fs, at)
	if err != nil {
		return r, false, err
	}
	defer dotdot.put()
	flags := int32(0)
	if last {
		flags = w.flags
	}
	uids, gids := wireIDs(w.user.UIDs), wireIDs(w.user.GIDs)
	const tries = 3
	for range tries {
		var c *sharedRight
		if c, err = s.trans.fetch(w.ctx, s, at); err != nil || c == nil {
			return r, false, err
		}
		r.retry, r.name, r.port, err = proto.FsysGetroot(w.ctx, c.port, proto.Copy(dotdot.port), uids, gids, flags)
		if dead(err) {
			s.trans.forget(s, c)
			c.put()
			continue
		}
		c.put()
		if err != nil {
			return r, true, err
		}
		r.name = join(r.name, w.remaining())
		return r, true, nil
	}
	return r, true, fmt.Errorf("translator: %w", proto.EDIED)
}

// magic returns what a client is to look up by itself at s ("fd", "tty"), or
// nothing: the translator /hurd/magic is one that the library is itself, like
// those that stand for types. With --directory only what is below is magic.
func (s *node) magic(ctx context.Context) (name string, directory bool, err error) {
	t, ok := s.Node.(Translated)
	if !ok || s.trans.active() {
		return "", false, nil
	}
	argz, err := t.Translator(ctx)
	if err != nil || !bytes.HasPrefix(argz, []byte(hurdMagic+"\x00")) {
		return "", false, err
	}
	args := hurd.ParseArgz(argz)
	return args[len(args)-1], slices.ContainsFunc(args[1:], func(a string) bool { return a == "--directory" || a == "-d" }), nil
}

// join appends what is left of a path to what a retry says.
func join(name, rest string) string {
	switch {
	case rest == "":
		return name
	case name == "":
		return rest
	}
	return strings.TrimSuffix(name, "/") + "/" + strings.TrimLeft(rest, "/")
}

// FileSetTranslator sets the passive translator of the node, the active one,
// or both: hurd-protocol.md 5.11.
func (p *protid) FileSetTranslator(ctx context.Context, passiveFlags, activeFlags, oldFlags int32, passive []byte, active mach.Port) error {
	setPassive, setActive := passiveFlags&proto.FS_TRANS_SET != 0, activeFlags&proto.FS_TRANS_SET != 0
	if !setPassive && !setActive {
		p.fs.ports.Release(active)
		return nil
	}
	n := p.open.node
	switch st, err := n.Stat(ctx); {
	case err != nil:
		return err
	case setPassive && p.fs.config.ReadOnly:
		return proto.EROFS
	case len(passive) > 0 && passive[len(passive)-1] != 0:
		return proto.EINVAL
	case len(passive) > maxRecord:
		return proto.E2BIG
	case !p.user.Owns(st):
		return proto.EPERM
	}
	exclusive := activeFlags&proto.FS_TRANS_EXCL != 0
	if setActive && activeFlags&proto.FS_TRANS_ORPHAN == 0 && !exclusive {
		if old := n.trans.current(); old != nil {
			err := proto.FsysGoaway(ctx, old.port, oldFlags)
			if err == nil || dead(err) {
				n.trans.forget(n, old)
				err = nil
			}
			old.put()
			if err != nil {
				return err
			}
		}
	}
	if err := n.lock.take(ctx); err != nil {
		return err
	}
	defer n.lock.give()
	if setActive && exclusive && n.trans.active() {
		return proto.EBUSY
	}
	if setPassive {
		if err := n.setPassive(ctx, passiveFlags, passive); err != nil {
			return err
		}
		n.watch.file(ctx, n, proto.FileChangedMeta, 0, 0)
	}
	if setActive {
		// What could fail has not.
		return n.trans.set(n, p.open.at.path, active, exclusive)
	}
	p.fs.ports.Release(active)
	return nil
}

// setPassive stores the passive translator, or makes the node what it stands
// for. The caller has n.lock.
func (n *node) setPassive(ctx context.Context, flags int32, argz []byte) error {
	st, err := n.Stat(ctx)
	if err != nil {
		return err
	}
	if flags&proto.FS_TRANS_EXCL != 0 && st.Mode&proto.S_IPTRANS != 0 {
		return proto.EBUSY
	}
	typ := st.Mode & proto.S_IFMT
	t, canStore := n.Node.(Translated)
	x, canBe := n.Node.(Special)
	if flags&proto.FS_TRANS_FORCE == 0 && canBe {
		is, rdev, target, err := becomes(argz)
		switch {
		case err != nil:
			return err
		case is != 0 && typ == proto.S_IFDIR:
			return proto.EISDIR
		case len(argz) == 0 && typ != proto.S_IFREG && typ != proto.S_IFDIR:
			is = proto.S_IFREG
		}
		if is != 0 {
			if canStore && st.Mode&proto.S_IPTRANS != 0 {
				if err := t.SetTranslator(ctx, nil); err != nil {
					return err
				}
			}
			return x.SetSpecial(ctx, is, rdev, target)
		}
	}
	if !canStore {
		if len(argz) == 0 {
			return nil // there is none
		}
		return proto.EOPNOTSUPP
	}
	return t.SetTranslator(ctx, argz)
}

// FileGetTranslator returns the passive translator.
func (p *protid) FileGetTranslator(ctx context.Context) ([]byte, error) {
	n := p.open.node
	st, err := n.Stat(ctx)
	if err != nil {
		return nil, err
	}
	argz, err := n.record(ctx, &st)
	if err != nil || len(argz) > 0 {
		return argz, err
	}
	var target string
	if l, ok := n.Node.(Symlink); ok && st.Mode&proto.S_IFMT == proto.S_IFLNK {
		if target, err = l.Readlink(ctx); err != nil {
			return nil, err
		}
	}
	if argz = special(&st, target); len(argz) == 0 {
		return nil, proto.EINVAL
	}
	return argz, nil
}

// FileGetTranslatorCntl returns the control port of the active translator.
func (p *protid) FileGetTranslatorCntl(ctx context.Context) (mach.Port, error) {
	n := p.open.node
	st, err := n.Stat(ctx)
	if err != nil {
		return mach.Null, err
	}
	if !p.user.Owns(st) {
		return mach.Null, proto.EPERM
	}
	c := n.trans.current()
	if c == nil {
		return mach.Null, proto.ENXIO
	}
	defer c.put()
	if err := proto.Retain(ctx, c.port); err != nil {
		return mach.Null, err
	}
	return c.port, nil
}
