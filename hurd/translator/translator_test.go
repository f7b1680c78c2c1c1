package translator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// A world is a system with an authentication server and one file system.
type world struct {
	t    testing.TB
	k    *portstest.Kernel
	ctx  context.Context
	auth *portstest.Auth
	tree *tree
	fs   *translator.FS
	sys  mach.Port // the file system's own handle
	rest []mach.Port
}

func newWorld(t testing.TB, change func(c *translator.Config)) *world {
	w := &world{t: t, k: portstest.New(t, wire.Layout32), tree: newTree()}
	w.ctx = w.k.Context(t.Context())
	w.auth = portstest.NewAuth(w.k)
	c := translator.Config{Root: w.tree.root, Name: "/hurd/test", Ports: w.k, System: true, FSID: 7}
	if change != nil {
		change(&c)
	}
	fs, err := translator.NewFS(c)
	if err != nil {
		t.Fatal(err)
	}
	w.fs = fs
	w.sys = w.auth.Handle([]int32{0}, []int32{0})
	fs.SetAuth(w.sys)
	return w
}

// a client is somebody with ids.
func (w *world) user(ids ...uint32) translator.User {
	return translator.User{UIDs: ids, GIDs: ids}
}

// as returns a process of the user.
func (w *world) as(u translator.User) *hurd.Process {
	w.t.Helper()
	root, err := w.fs.Root(w.ctx, u, 0, mach.Null)
	if err != nil {
		w.t.Fatal(err)
	}
	i := func(list []uint32) (l []int32) {
		for _, id := range list {
			l = append(l, int32(id))
		}
		return l
	}
	p := &hurd.Process{CWD: root, Root: root, Auth: w.auth.Handle(i(u.UIDs), i(u.GIDs)), PID: 42}
	w.rest = append(w.rest, root, p.Auth)
	return p
}

// done gives back what clients have and checks that nothing is left.
func (w *world) done() {
	w.t.Helper()
	w.k.Release(w.rest...)
	w.rest = nil
	// What others began may have to end: a server that gives back its right to
	// a port after it has answered, a translator that is told to go.
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && (w.tree.refs.Load() != 1 || len(w.k.Ports()) != 1); {
		time.Sleep(time.Millisecond)
	}
	if n := w.tree.refs.Load(); n != 1 {
		w.t.Errorf("%d references to nodes are left", n-1)
	}
	for _, p := range w.k.Ports() {
		if p != w.sys {
			w.t.Errorf("port %v is left, with %d rights", p, w.k.Rights(p))
		}
	}
	if n := w.k.Rights(w.sys); n != 1 {
		w.t.Errorf("%d rights to the file system's handle", n)
	}
}

// code names an error.
func code(err error) string {
	if err == nil {
		return "ok"
	}
	for name, c := range map[string]mach.KernReturn{
		"EPERM": proto.EPERM, "ENOENT": proto.ENOENT, "EACCES": proto.EACCES, "EEXIST": proto.EEXIST, "ENOTDIR": proto.ENOTDIR,
		"EISDIR": proto.EISDIR, "EINVAL": proto.EINVAL, "ELOOP": proto.ELOOP, "ENAMETOOLONG": proto.ENAMETOOLONG, "ENOTEMPTY": proto.ENOTEMPTY,
		"EROFS": proto.EROFS, "EXDEV": proto.EXDEV, "EBUSY": proto.EBUSY, "EBADF": proto.EBADF, "EOPNOTSUPP": proto.EOPNOTSUPP,
		"EAGAIN": proto.EAGAIN, "EINTR": proto.EINTR, "EDIED": proto.EDIED, "ENXIO": proto.ENXIO, "ESPIPE": proto.ESPIPE,
	} {
		if errors.Is(err, c) {
			return name
		}
	}
	return err.Error()
}

func TestLookup(t *testing.T) {
	w := newWorld(t, nil)
	tr := w.tree
	d := tr.add(tr.root, "d", proto.S_IFDIR|0o755, 0, 0)
	tr.add(d, "f", proto.S_IFREG|0o644, 0, 0)
	e := tr.add(d, "e", proto.S_IFDIR|0o755, 0, 0)
	tr.add(e, "g", proto.S_IFREG|0o600, 5, 5)
	tr.add(tr.root, "secret", proto.S_IFDIR|0o700, 0, 0)
	tr.add(tr.root, "noexec", proto.S_IFREG|0o644, 0, 0)
	tr.add(tr.root, "exec", proto.S_IFREG|0o755, 0, 0)
	tr.link(tr.root, "abs", "/d/f")
	tr.link(tr.root, "rel", "d/f")
	tr.link(tr.root, "up", "d/../d/e")
	tr.link(tr.root, "dir", "d/")
	tr.link(d, "back", "..")
	tr.link(tr.root, "loop", "loop")
	tr.link(tr.root, "none", "d/nothing")
	tr.link(tr.root, "absloop", "/absloop")
	const R, W, X, creat, excl, nolink, notrans = proto.O_READ, proto.O_WRITE, proto.O_EXEC, proto.O_CREAT, proto.O_EXCL, proto.O_NOLINK, proto.O_NOTRANS
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		path  string
		flags int32
		uid   uint32
		want  string
	}{
		{"/", R, 9, "1"},
		{"///", R, 9, "1"},
		{".", R, 9, "1"},
		{"/..", R, 9, "1"},
		{"../../d", R, 9, "2"},
		{"d", R, 9, "2"},
		{"d/", R, 9, "2"},
		{"/d//e///g", R, 5, "5"},
		{"/d//e///g", R, 9, "EACCES"},
		{"/d//e///g", 0, 9, "5"},
		{"/d//e///g", R | W, 0, "5"},
		{"d/f", R, 9, "3"},
		{"d/f/", R, 9, "ENOTDIR"},
		{"d/f/x", R, 9, "ENOTDIR"},
		{"d/f/..", R, 9, "ENOTDIR"},
		{"d/./e/../f", R, 9, "3"},
		{"d/x", R, 9, "ENOENT"},
		{"x/y", R, 9, "ENOENT"},
		{"d", W, 0, "EISDIR"},
		{"d/f", W, 9, "EACCES"},
		{"secret/x", R, 9, "EACCES"},
		{"secret/x", R, 0, "ENOENT"},
		{"secret", R, 9, "EACCES"},
		{"noexec", X, 0, "EACCES"},
		{"exec", X, 9, "8"},
		{"exec", X | W, 9, "EACCES"},
		{"abs", R, 9, "3"},
		{"rel", R, 9, "3"},
		{"rel/", R, 9, "ENOTDIR"},
		{"rel", R | nolink, 9, "10"},
		{"rel", W | nolink, 0, "ELOOP"},
		{"rel", notrans, 9, "10"},
		{"up", R, 9, "4"},
		{"up/g", R, 5, "5"},
		{"up/../f", R, 9, "3"},
		{"dir", R, 9, "2"},
		{"dir/f", R, 9, "3"},
		{"dir/", R | nolink, 9, "2"},
		{"d/back/d/f", R, 9, "3"},
		{"d/back/..", R, 9, "1"},
		{"loop", R, 9, "ELOOP"},
		{"loop/x", R, 9, "ELOOP"},
		{"absloop", R, 9, "ELOOP"},
		{"loop", notrans, 9, "14"},
		{"none", R, 9, "ENOENT"},
		{"none", R | creat, 0, "ENOENT"},
		{"d/f", R | creat, 9, "3"},
		{"d/f", R | creat | excl, 9, "EEXIST"},
		{"rel", R | creat | excl, 9, "EEXIST"},
		{"none", R | creat | excl, 9, "EEXIST"},
		{"d/.", R | creat | excl, 9, "EEXIST"},
		{"d/..", R | creat | excl, 9, "EEXIST"},
		{"d/new", W | creat, 9, "EACCES"},
		{"d/new/", W | creat, 0, "ENOENT"},
		{long, R, 9, "ENAMETOOLONG"},
		{long, R | creat, 0, "ENAMETOOLONG"},
		{"d/" + long + "/x", R, 9, "ENAMETOOLONG"},
		{strings.Repeat("./", 512) + "d", R, 9, "ENAMETOOLONG"},
		{strings.Repeat("./", 511) + "d", R, 9, "2"},
		{"", R, 9, "ENOENT"},
		{"d/new", W | creat, 0, "17"},
		{"d/new2", W | creat | excl, 0, "18"},
	} {
		p := w.as(w.user(c.uid))
		port, err := p.Lookup(w.ctx, c.path, c.flags, 0o644)
		got := code(err)
		if err == nil {
			st, err := proto.IOStat(w.ctx, port)
			if err != nil {
				t.Fatal(err)
			}
			got = fmt.Sprint(st.Ino)
			w.k.Release(port)
		}
		if got != c.want {
			t.Errorf("lookup of %.40q with flags %#x as %d: %s, want %s", c.path, c.flags, c.uid, got, c.want)
		}
	}
	w.done()
}
