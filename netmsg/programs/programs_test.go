package programs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A world is a program file of another node.
type world struct {
	proto.UnimplementedIO
	t     *testing.T
	k     *portstest.Kernel
	ctx   context.Context
	cache *Cache

	object mach.Port
	data   []byte
	st     proto.Stat
	calls  []string
	noMap  error
	asked  func() // by io_stat
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, k: portstest.New(t, wire.Layout32), data: bytes.Repeat([]byte("program "), 2000)}
	w.ctx = w.k.Context(t.Context())
	w.cache = &Cache{Ports: w.k}
	w.object = w.k.NewPort(nil)
	w.st = proto.Stat{FSID: 3, Ino: 9, Size: int64(len(w.data)), Mode: proto.S_IFREG | 0o755}
	return w
}

func (w *world) IOMap(context.Context) (rd, wr mach.Port, err error) {
	w.calls = append(w.calls, "map")
	if w.noMap != nil {
		return mach.Null, mach.Null, w.noMap
	}
	w.k.AddRight(w.object)
	w.k.AddRight(w.object)
	return w.object, w.object, nil
}

func (w *world) IOStat(context.Context) (proto.Stat, error) {
	if w.asked != nil {
		w.asked()
	}
	return w.st, nil
}

func (w *world) IORead(_ context.Context, off int64, n uint64) ([]byte, error) {
	w.calls = append(w.calls, fmt.Sprintf("read %d %d", off, n))
	rest := w.data[off:]
	return rest[:min(uint64(len(rest)), n)], nil
}

// run does with the program of an owner what the exec server does, and returns what the
// other node is asked for that.
func (w *world) run(o Owner) (calls string, err error) {
	w.t.Helper()
	w.calls = nil
	p, err := w.cache.Open(w.ctx, o, w.st, func(context.Context) (mach.Port, error) {
		w.calls = append(w.calls, "open")
		return w.k.NewPort(proto.Handler(w)), nil
	})
	if err != nil {
		return fmt.Sprint(w.calls), err
	}
	defer w.k.Release(p)
	rd, wr, err := proto.IOMap(w.ctx, p)
	if err != nil || rd != w.object || wr != mach.Null {
		w.t.Errorf("map: %v %v %v", rd, wr, err)
	}
	w.k.Release(rd)
	if st, err := proto.IOStat(w.ctx, p); err != nil || st.Size != w.st.Size || st.Mtime != w.st.Mtime {
		w.t.Errorf("stat: %+v %v", st, err)
	}
	for _, r := range []piece{{0, 4096}, {8100, 50}} {
		b, err := proto.IORead(w.ctx, p, r.off, r.n)
		if err != nil || !bytes.Equal(b, w.data[r.off:r.off+int64(r.n)]) {
			w.t.Errorf("read: %q %v", b, err)
		}
	}
	return fmt.Sprint(w.calls), nil
}

func TestRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const first, second, again = "[open map read 0 2 read 0 4096 read 8100 50]", "[read 0 4096 read 8100 50]", "[]"
		root := Owner{"node2", 1, "0"}
		later := func() { time.Sleep(settled) }
		for _, tt := range []struct {
			name   string
			owner  Owner
			before func()
			want   string
		}{
			{"first", root, nil, first},
			{"at once", root, nil, second}, // it may change within the same tick
			{"later", root, later, second},
			{"and again", root, nil, again},
			{"another user", Owner{"node2", 1, "1000"}, nil, first},
			{"another start of the node", Owner{"node2", 2, "0"}, nil, first},
			{"another node", Owner{"node3", 1, "0"}, nil, first},
			{"written", root, func() { w.st.Mtime.Sec++; w.data[8110]++ }, first},
			{"another mode", root, func() { w.st.Mode &^= 0o111 }, first},
			{"as it was", root, func() { w.st.Mode |= 0o111; later() }, second},
		} {
			if tt.before != nil {
				tt.before()
			}
			if calls, err := w.run(tt.owner); err != nil || calls != tt.want {
				t.Fatalf("%s: %s, %v, want %s", tt.name, calls, err, tt.want)
			}
		}
		if s := w.cache.Stats(); s.Hits != 4 || s.Misses != 6 || s.Kept != 6 {
			t.Errorf("%+v", s)
		}
		w.cache.Forget(func(o Owner) bool { return o.Node == "node2" })
		if s := w.cache.Stats(); s.Kept != 1 {
			t.Errorf("%+v", s)
		}
		w.cache.Forget(func(Owner) bool { return true })
		if n := len(w.k.Ports()); n != 1 || w.k.Rights(w.object) != 1 {
			t.Errorf("%d ports are left, %d rights to the memory object", n, w.k.Rights(w.object))
		}
	})
}

func TestNotKept(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(w *world)
	}{
		{"a script", func(w *world) { copy(w.data, "#!/bin/sh") }},
		{"cannot be mapped", func(w *world) { w.noMap = proto.EOPNOTSUPP }},
	} {
		w := newWorld(t)
		tt.before(w)
		if _, err := w.run(Owner{}); !errors.Is(err, ErrNotKept) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if n := len(w.k.Ports()); n != 1 || w.cache.Stats().Kept != 0 {
			t.Errorf("%s: %d ports are left", tt.name, n)
		}
	}
	w := newWorld(t)
	if _, err := w.cache.Open(w.ctx, Owner{}, w.st, func(context.Context) (mach.Port, error) { return mach.Null, proto.EACCES }); !errors.Is(err, proto.EACCES) {
		t.Error(err)
	}
}

// Those that were used longest ago go first; what is in use stays for who uses it.
func TestLimit(t *testing.T) {
	w := newWorld(t)
	w.cache.Limit = 2
	p, err := w.cache.Open(w.ctx, Owner{User: "a"}, w.st, func(context.Context) (mach.Port, error) { return w.k.NewPort(proto.Handler(w)), nil })
	if err != nil {
		t.Fatal(err)
	}
	known := func(user string) bool {
		calls, err := w.run(Owner{User: user})
		if err != nil {
			t.Error(err)
		}
		return calls[:2] != "[o"
	}
	if known("b") || !known("a") || known("c") || !known("a") || known("b") || known("d") || known("a") {
		t.Error("another one than the last used has gone")
	}
	if b, err := proto.IORead(w.ctx, p, 0, 4); string(b) != "prog" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if s := w.cache.Stats(); s.Kept != 2 {
		t.Errorf("%+v", s)
	}
	w.k.Release(p)
	w.cache.Forget(func(Owner) bool { return true })
	if n := len(w.k.Ports()); n != 1 {
		t.Errorf("%d ports are left", n)
	}
}
