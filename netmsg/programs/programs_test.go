package programs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A world is a file of another node, and a directory of this one.
type world struct {
	t     *testing.T
	k     *portstest.Kernel
	ctx   context.Context
	cache *Cache
	dir   mach.Port

	mu    sync.Mutex
	data  []byte
	mtime int64
	reads int
	slow  time.Duration // what a read takes
	fail  error         // of writes of copies
	grow  bool          // while it is read
	names map[string]bool
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, k: portstest.New(t, wire.Layout32), data: contents(3*piece + 17), slow: settled, names: map[string]bool{}}
	w.ctx = w.k.Context(t.Context())
	w.dir = w.k.NewPort(proto.Handler(&directory{w: w}))
	w.cache = &Cache{Dir: func(ctx context.Context) (mach.Port, error) { return w.dir, proto.Retain(ctx, w.dir) }}
	return w
}

func contents(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func (w *world) stat() proto.Stat {
	w.mu.Lock()
	defer w.mu.Unlock()
	return proto.Stat{FSID: 3, Ino: 9, Size: int64(len(w.data)), Mtime: proto.Timespec{Sec: w.mtime}, Mode: proto.S_IFREG | 0o755}
}

// A remote is the file, open.
type remote struct {
	proto.UnimplementedIO
	w *world
}

func (r *remote) IOStat(context.Context) (proto.Stat, error) { return r.w.stat(), nil }

func (r *remote) IORead(_ context.Context, off int64, n uint64) ([]byte, error) {
	time.Sleep(r.w.slow)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.w.reads++
	if r.w.grow {
		r.w.mtime++
	}
	rest := r.w.data[min(off, int64(len(r.w.data))):]
	return rest[:min(uint64(len(rest)), n, 40_000)], nil // less than is asked for
}

// A directory makes copies.
type directory struct {
	proto.UnimplementedFS
	w *world
}

func (d *directory) DirLookup(_ context.Context, name string, flags, mode int32) (int32, string, mach.Port, error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if d.w.names[name] || flags&proto.O_EXCL == 0 || mode&0o077 != 0 {
		return 0, "", mach.Null, proto.EEXIST
	}
	p, err := d.w.k.Export(proto.Handler(&local{w: d.w}), ports.Options{})
	if err != nil {
		return 0, "", mach.Null, err
	}
	d.w.names[name] = true
	right, err := p.Right()
	return proto.RetryNormal, "", right, err
}

func (d *directory) DirUnlink(_ context.Context, name string) error {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if !d.w.names[name] {
		return proto.ENOENT
	}
	delete(d.w.names, name)
	return nil
}

// A local is a copy.
type local struct {
	proto.UnimplementedFS
	proto.UnimplementedIO
	w          *world
	restricted bool
	flags      int32
	mu         sync.Mutex
	data       []byte
}

func (l *local) IOWrite(_ context.Context, b []byte, off int64) (uint64, error) {
	if l.w.fail != nil {
		return 0, l.w.fail
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b = b[:min(len(b), 30_000)]
	if more := int(off) + len(b) - len(l.data); more > 0 {
		l.data = append(l.data, make([]byte, more)...)
	}
	copy(l.data[off:], b)
	return uint64(len(b)), nil
}

func (l *local) port(restricted bool, flags int32) (mach.Port, error) {
	p, err := l.w.k.Export(proto.Handler(&local{w: l.w, data: l.data, restricted: restricted, flags: flags}), ports.Options{})
	if err != nil {
		return mach.Null, err
	}
	return p.Right()
}

func (l *local) DirLookup(_ context.Context, name string, flags, _ int32) (int32, string, mach.Port, error) {
	p, err := l.port(l.restricted, flags)
	return proto.RetryNormal, "", p, err
}

func (l *local) IORestrictAuth(_ context.Context, uids, gids []int32) (mach.Port, error) {
	return l.port(len(uids)+len(gids) == 0, l.flags)
}

func (l *local) IORead(context.Context, int64, uint64) ([]byte, error) {
	if !l.restricted || l.flags != proto.O_READ|proto.O_EXEC {
		return nil, fmt.Errorf("%+v", l)
	}
	return []byte{byte(len(l.data) >> 8)}, nil
}

// open opens the program for an owner, and reports how often that has read it.
func (w *world) open(o Owner) (p mach.Port, reads int, err error) {
	before := w.reads
	p, err = w.cache.Open(w.ctx, o, w.stat(), func(context.Context) (mach.Port, error) { return w.k.NewPort(proto.Handler(&remote{w: w})), nil })
	w.mu.Lock()
	defer w.mu.Unlock()
	return p, w.reads - before, err
}

func (w *world) check(p mach.Port) {
	w.t.Helper()
	if b, err := proto.IORead(w.ctx, p, 0, 1); err != nil || len(b) != 1 || b[0] != byte(len(w.data)>>8) {
		w.t.Errorf("the copy: %v, %v", b, err)
	}
	w.k.Release(p)
}

func TestCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		root, user := Owner{"node2", 1, "0"}, Owner{"node2", 1, "1000"}
		for _, tt := range []struct {
			name   string
			owner  Owner
			before func()
			read   bool
		}{
			{"first", root, nil, true},
			{"again", root, nil, false},
			{"another user", user, nil, true},
			{"another start of the node", Owner{"node2", 2, "0"}, nil, true},
			{"another node", Owner{"node3", 1, "0"}, nil, true},
			{"changed", root, func() { w.mtime++ }, true},
			{"again", root, nil, false},
			{"the user", user, func() { w.mtime-- }, false},
		} {
			if tt.before != nil {
				tt.before()
			}
			p, reads, err := w.open(tt.owner)
			if err != nil || (reads > 0) != tt.read {
				t.Fatalf("%s: %d reads, %v", tt.name, reads, err)
			}
			w.check(p)
		}
		if s := w.cache.Stats(); s.Hits != 3 || s.Misses != 5 || s.Copies != 5 || s.Bytes != 5*int64(len(w.data)) {
			t.Errorf("%+v", s)
		}
	})
}

// Those that are not kept.
func TestNotKept(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(w *world)
		err    bool
	}{
		{"it has just been looked at", func(w *world) { w.slow = 0 }, false},
		{"it changes", func(w *world) { w.grow = true }, true},
		{"no room", func(w *world) { w.fail = proto.ENOSPC }, true},
		{"too large", func(w *world) { w.cache.Limit = 1000 }, true},
		{"it is empty", func(w *world) { w.data = nil }, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			tt.before(w)
			p, _, err := w.open(Owner{})
			if (err != nil) != tt.err {
				t.Errorf("%s: %v", tt.name, err)
			}
			if err == nil {
				w.check(p)
			}
			if s := w.cache.Stats(); s.Copies != 0 || s.Bytes != 0 {
				t.Errorf("%s: %+v", tt.name, s)
			}
			if n := len(w.k.Ports()); n != 1 || len(w.names) != 0 { // the directory
				t.Errorf("%s: %d ports are left, files %v", tt.name, n, w.names)
			}
		})
	}
}

// Several at once make one copy, and those that have not been used go first.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cache.Limit = 2 * int64(len(w.data))
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				p, _, err := w.open(Owner{User: "a"})
				if err != nil {
					t.Error(err)
				}
				w.check(p)
			})
		}
		wg.Wait()
		if s := w.cache.Stats(); s.Misses != 1 || s.Copies != 1 {
			t.Errorf("%+v", s)
		}
		read := func(user string) bool {
			p, n, err := w.open(Owner{User: user})
			if err != nil {
				t.Error(err)
			}
			w.check(p)
			return n > 0
		}
		if !read("b") || read("a") || !read("c") || read("a") || !read("b") {
			t.Error("another one than the last used has gone")
		}
		if s := w.cache.Stats(); s.Copies != 2 || s.Bytes != w.cache.Limit || len(w.names) != 2 {
			t.Errorf("%+v", s)
		}
		ctx, cancel := context.WithCancelCause(w.ctx)
		cancel(proto.EINTR)
		if _, err := w.cache.Open(ctx, Owner{User: "d"}, w.stat(), func(ctx context.Context) (mach.Port, error) { return mach.Null, context.Cause(ctx) }); !errors.Is(err, proto.EINTR) {
			t.Errorf("given up: %v", err)
		}
	})
}
