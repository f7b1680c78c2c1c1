package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/netmsg/bridge"
	"hurdlab/netmsg/programs"
	"hurdlab/netmsg/rights"
)

// A mountRoot is the root of an export of another node as somebody has it who has come to it
// in a look-up.
//
// What they want is most often to look one thing up: so the root is promised
// ([bridge.Promise]), and the look-up is one round trip, door_lookup, instead of two. Whoever
// wants more of it, or of what it is a file of, gets the root itself, opened then. The answer
// that way is never older than the question. An error of the opening, which is rare, since it
// has been opened before, is that of the look-up.
type mountRoot struct {
	n          *node
	node       rights.NodeID
	export     string
	dotdot     mach.Port // its own as soon as it is promised
	uids, gids []int32
}

const (
	idDirLookup = 20018
	// maxRoots bounds what is known of exports.
	maxRoots = 256
	// maxName is the longest name that a message of the Hurd has room for.
	maxName = 1023
)

// open opens the root.
func (r *mountRoot) open(ctx context.Context, flags int32) (retry int32, name string, file mach.Port, err error) {
	d, err := r.n.bridge.Door(ctx, r.node)
	if err != nil {
		return 0, "", mach.Null, proto.EIO
	}
	return proto.DoorGetroot(ctx, d, r.export, proto.Copy(r.dotdot), r.uids, r.gids, flags)
}

// promise makes a right to the root, which is opened when that is needed.
func (r *mountRoot) promise() (mach.Port, error) {
	release := func() { proto.Release(context.WithoutCancel(context.Background()), r.dotdot) }
	return r.n.bridge.Promise(bridge.Promise{
		Get:   r.get,
		First: r.first,
		Gone:  release,
	})
}

// get opens the root that has been promised.
func (r *mountRoot) get(ctx context.Context) (mach.Port, error) {
	if err := r.n.connect(ctx, r.node); err != nil {
		return mach.Null, err
	}
	retry, name, file, err := r.open(ctx, 0)
	if err != nil {
		return mach.Null, err
	}
	if retry != proto.RetryNormal || name != "" || !file.Valid() {
		// It was another one before.
		r.n.roots.seen(r, false)
		proto.Release(ctx, file)
		return mach.Null, proto.EIEIO
	}
	return file, nil
}

// first answers the first message if it is a look-up that opens nothing for reading or
// writing. To do so may take as long as somebody likes (a FIFO does), and may be interrupted:
// that is the business of the file system itself.
func (r *mountRoot) first(m *mach.Message) mach.Handler {
	if m.ID() != idDirLookup {
		return nil
	}
	m.TakeString()
	if flags := m.TakeInt32(); m.Err() != nil || flags&(proto.O_READ|proto.O_WRITE) != 0 {
		return nil
	}
	return proto.Handler(&firstLookup{r: r})
}

// A firstLookup is the first message to a root that has been promised: [proto.FSServer].
type firstLookup struct {
	proto.UnimplementedFS
	r *mountRoot
}

// DirLookup looks a file up.
func (f *firstLookup) DirLookup(ctx context.Context, name string, flags, mode int32) (int32, string, mach.Port, error) {
	r := f.r
	if err := r.n.connect(ctx, r.node); err != nil {
		return 0, "", mach.Null, err
	}
	if flags == proto.O_EXEC {
		if file, ok := r.guess(ctx, name); ok {
			return proto.RetryNormal, "", file, nil
		}
	}
	_, retry, rest, file, err := r.lookup(ctx, name, flags, mode)
	return retry, rest, file, err
}

// lookup looks a file up in the export.
func (r *mountRoot) lookup(ctx context.Context, name string, flags, mode int32) (info proto.Stat, retry int32, rest string, file mach.Port, err error) {
	d, err := r.n.bridge.Door(ctx, r.node)
	if err != nil {
		return info, 0, "", mach.Null, proto.EIO
	}
	// A program needs no "..": its look-up sends no right, unless it turns out to need one.
	dotdot := proto.Copy(r.dotdot)
	if flags&proto.O_EXEC != 0 && flags&(proto.O_CREAT|proto.O_TRUNC) == 0 {
		dotdot = proto.Right{}
	}
	info, retry, left, file, err := proto.DoorLookup(ctx, d, []byte(r.export), dotdot, r.uids, r.gids, []byte(name), flags, mode)
	if proto.Code(err) == proto.EAGAIN && dotdot == (proto.Right{}) {
		info, retry, left, file, err = proto.DoorLookup(ctx, d, []byte(r.export), proto.Copy(r.dotdot), r.uids, r.gids, []byte(name), flags, mode)
	}
	if len(left) > maxName {
		proto.Release(ctx, file)
		return info, 0, "", mach.Null, proto.EGRATUITOUS
	}
	if err == nil && info != (proto.Stat{}) {
		r.n.bridge.Tag(file, opened{info, time.Now(), r.user(), r.path(name)})
	}
	return info, retry, string(left), file, err
}

// user says for whom the root is, and path by what something is looked up there.
func (r *mountRoot) user() string { return fmt.Sprint("for ", r.uids) }

func (r *mountRoot) path(name string) programs.Path {
	return programs.Path{Node: string(r.node), Export: r.export, Name: name, User: fmt.Sprint(r.uids, r.gids)}
}

// opened is what io_stat has said of a file when it was opened.
type opened struct {
	stat proto.Stat
	at   time.Time
	user string // for whom
	path programs.Path
}

// roots remembers of which exports the root is nothing but a right, in which what is looked
// up there can be looked up at once.
type roots struct {
	mu   sync.Mutex
	list map[rootOf]bool
}

type rootOf struct {
	node   rights.NodeID
	export string
}

func (s *roots) plain(r *mountRoot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[rootOf{r.node, r.export}]
}

func (s *roots) seen(r *mountRoot, plain bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := rootOf{r.node, r.export}
	if !plain {
		delete(s.list, k)
		return
	}
	if s.list == nil {
		s.list = make(map[rootOf]bool)
	}
	if len(s.list) < maxRoots {
		s.list[k] = true
	}
}
