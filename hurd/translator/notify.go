package translator

import (
	"context"
	"sync"
	"sync/atomic"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// maxWatchers bounds the ports that hear of changes of one node.
const maxWatchers = 64

// notify tells of changes of a node: to ports that asked by
// file_notice_changes and dir_notice_changes. The zero value tells nobody.
type notify struct {
	any  atomic.Bool
	mu   sync.Mutex
	list []watcher
}

type watcher struct {
	port mach.Port // a right
	dir  bool      // of names in the directory
	tick int32
}

// add makes port, a right that it takes over if it succeeds, hear of changes
// of n. It says so at once.
func (w *notify) add(ctx context.Context, n *node, port mach.Port, dir bool) error {
	if !port.Valid() {
		return proto.EINVAL
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) >= maxWatchers {
		return proto.ENOSPC
	}
	if len(w.list) == 0 {
		n.use() // for as long as somebody listens
	}
	w.list = append(w.list, watcher{port: port, dir: dir})
	w.any.Store(true)
	w.tell(ctx, n, dir, func(ctx context.Context, x *watcher) error {
		if x != &w.list[len(w.list)-1] {
			return nil
		}
		if dir {
			return proto.DirChanged(ctx, x.port, x.tick, proto.DirChangedNull, "")
		}
		return proto.FileChanged(ctx, x.port, x.tick, proto.FileChangedNull, 0, 0)
	})
	return nil
}

// file tells of a change of the contents from start up to end, or of the
// attributes.
func (w *notify) file(ctx context.Context, n *node, change int32, start, end int64) {
	if !w.any.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(ctx, n, false, func(ctx context.Context, x *watcher) error {
		return proto.FileChanged(ctx, x.port, x.tick, change, start, end)
	})
}

// dir tells of a change of a name in the directory.
func (w *notify) dir(ctx context.Context, n *node, change int32, name string) {
	if !w.any.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(ctx, n, true, func(ctx context.Context, x *watcher) error {
		return proto.DirChanged(ctx, x.port, x.tick, change, name)
	})
}

// tell calls send for the watchers of one kind. Those that are dead, or that
// do not keep up, are dropped: nobody waits for them.
func (w *notify) tell(ctx context.Context, n *node, dir bool, send func(context.Context, *watcher) error) {
	ended, cancel := context.WithCancel(ctx) // a send does not wait for room in a queue
	cancel()
	if len(w.list) == 0 {
		return
	}
	keep := w.list[:0]
	for i := range w.list {
		x := &w.list[i]
		if x.dir == dir {
			if send(ended, x) != nil {
				n.fs.ports.Release(x.port)
				continue
			}
			x.tick++
		}
		keep = append(keep, *x)
	}
	w.list = keep
	if len(keep) == 0 {
		w.any.Store(false)
		// The caller has a reference, too: this is not the last.
		n.put()
	}
}

func (p *protid) FileNoticeChanges(ctx context.Context, port mach.Port) error {
	return p.open.node.watch.add(ctx, p.open.node, port, false)
}

func (p *protid) DirNoticeChanges(ctx context.Context, port mach.Port) error {
	if _, _, err := p.open.node.dir(ctx); err != nil {
		return err
	}
	return p.open.node.watch.add(ctx, p.open.node, port, true)
}

// FileChanged tells clients that the contents of a node have changed by
// something else than their calls. The change is one of proto.FileChanged.
func (fs *FS) FileChanged(ctx context.Context, n Node, change int32, start, end int64) {
	if s := fs.find(n); s != nil {
		s.watch.file(ctx, s, change, start, end)
		s.put()
	}
}

// DirChanged tells clients that a name in a directory has changed by something
// else than their calls. The change is one of proto.DirChanged.
func (fs *FS) DirChanged(ctx context.Context, n Node, change int32, name string) {
	if s := fs.find(n); s != nil {
		s.watch.dir(ctx, s, change, name)
		s.put()
	}
}

// Forget drops all ports that want to hear of changes: some may be of nodes
// of this file system itself, which then never go by themselves.
func (fs *FS) Forget(ctx context.Context) {
	fs.mu.Lock()
	var list []*node
	for _, n := range fs.nodes {
		if n.watch.any.Load() {
			n.refs++
			list = append(list, n)
		}
	}
	fs.mu.Unlock()
	for _, n := range list {
		n.watch.mu.Lock()
		for _, x := range n.watch.list {
			fs.ports.Release(x.port)
		}
		had := len(n.watch.list) > 0
		n.watch.list = nil
		n.watch.any.Store(false)
		n.watch.mu.Unlock()
		if had {
			n.put()
		}
		n.put()
	}
}
