package translator_test

import (
	"context"
	"errors"
	"flag"
	"slices"
	"strings"
	"sync"
	"testing"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// A starter stands in for programs: each start makes another file system with
// one file in it.
type starter struct {
	w       *world
	mu      sync.Mutex
	started []string
	err     error
	last    *translator.FS
	nodes   []mach.Port // the underlying nodes that translators have
	hold    chan struct{}
}

func (s *starter) start(ctx context.Context, x hurd.Start) (mach.Port, error) {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, strings.Join(hurd.ParseArgz(x.Argz), " "))
	if s.err != nil {
		return mach.Null, s.err
	}
	node, err := x.Underlying(ctx, proto.O_READ)
	if err != nil {
		return mach.Null, err
	}
	s.nodes = append(s.nodes, node)
	t := newTree()
	t.add(t.root, "inside", proto.S_IFREG|0o644, 0, 0)
	s.last, err = translator.NewFS(translator.Config{Root: t.root, Name: "/hurd/inner", Ports: s.w.k})
	if err != nil {
		return mach.Null, err
	}
	s.last.SetAuth(s.w.sys)
	return s.last.Control(ctx)
}

func (s *starter) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.started)
}

func newStarter(t testing.TB) (*world, *starter) {
	s := new(starter)
	w := newWorld(t, func(c *translator.Config) { c.Start = s.start })
	s.w = w
	return w, s
}

const (
	set  = proto.FS_TRANS_SET
	excl = proto.FS_TRANS_EXCL
)

func TestPassiveTranslator(t *testing.T) {
	w, s := newStarter(t)
	ctx := w.ctx
	w.tree.add(w.tree.root, "d", proto.S_IFDIR|0o755, 0, 0)
	p, u := w.as(translator.Root()), w.as(w.user(5))
	n := w.open(p, "d", proto.O_NOTRANS)
	argz := hurd.Argz("/hurd/inner", "--option")
	_, err := proto.FileGetTranslator(ctx, n)
	w.want("no translator", err, "EINVAL")
	another := w.open(u, "d", 0)
	w.want("set as another", proto.FileSetTranslator(ctx, another, set, 0, 0, argz, proto.Right{}), "EPERM")
	w.want("not argz", proto.FileSetTranslator(ctx, n, set, 0, 0, []byte("/hurd/x"), proto.Right{}), "EINVAL")
	w.want("set", proto.FileSetTranslator(ctx, n, set, 0, 0, argz, proto.Right{}), "ok")
	w.want("set again", proto.FileSetTranslator(ctx, n, set|excl, 0, 0, argz, proto.Right{}), "EBUSY")
	if got, err := proto.FileGetTranslator(ctx, n); string(got) != string(argz) || err != nil {
		t.Errorf("translator %q, %v", got, err)
	}
	st, _ := proto.IOStat(ctx, n)
	if st.Mode&proto.S_IPTRANS == 0 || st.Mode&proto.S_IATRANS != 0 {
		t.Errorf("mode %o", st.Mode)
	}
	_, err = proto.FileGetTranslatorCntl(ctx, n)
	w.want("no control", err, "ENXIO")

	f := w.open(u, "d/inside", proto.O_READ)
	r := w.open(u, "/d/../d/.", proto.O_READ)
	// What ".." is there is one port, whoever comes.
	again := w.open(u, "d/.", 0)
	before := len(w.k.Ports())
	w.k.Release(w.open(u, "d/.", 0), again)
	if n := len(w.k.Ports()); n != before-1 {
		t.Errorf("%d ports, then %d", before, n)
	}
	if st, err := proto.IOStat(ctx, r); err != nil || st.Mode&proto.S_IROOT == 0 {
		t.Errorf("root: %o, %v", st.Mode, err)
	}
	if s.count() != 1 || s.started[0] != "/hurd/inner --option" {
		t.Errorf("started %q", s.started)
	}
	if st, _ := proto.IOStat(ctx, n); st.Mode&proto.S_IATRANS == 0 {
		t.Errorf("mode %o", st.Mode)
	}
	up := w.open(u, "d/..", proto.O_READ)
	if st, err := proto.IOStat(ctx, up); err != nil || st.FSID != 7 || st.Ino != 1 {
		t.Errorf("above the translator: %+v, %v", st, err)
	}
	c, err := proto.FileGetTranslatorCntl(ctx, n)
	w.want("control", err, "ok")
	root := w.open(p, "/", 0)
	sys, err := proto.FileGetcontrol(ctx, root)
	w.want("control", err, "ok")
	names, controls, err := proto.FsysGetChildren(ctx, sys)
	if err != nil || string(names) != "d\x00" || len(controls) != 1 || controls[0] != c {
		t.Errorf("children %q %v %v", names, controls, err)
	}
	w.want("sync", proto.FsysSyncfs(ctx, sys, 1, 1), "ok")
	w.want("rmdir", proto.DirRmdir(ctx, root, "d"), "EBUSY")

	// It does not go while it has users; when it has died, another starts.
	w.want("replace", proto.FileSetTranslator(ctx, n, 0, set, 0, nil, proto.Right{}), "EBUSY")
	w.want("replace, exclusive", proto.FileSetTranslator(ctx, n, 0, set|excl, 0, nil, proto.Right{}), "EBUSY")
	w.k.Kill(c)
	g := w.open(u, "d/inside", proto.O_READ)
	if s.count() != 2 {
		t.Errorf("started %q", s.started)
	}
	w.want("force", proto.FileSetTranslator(ctx, n, set, set, proto.GOAWAY_FORCE, nil, proto.Right{}), "ok")
	select {
	case <-s.last.Done():
	default:
		t.Error("it has not gone away")
	}
	_, err = u.Lookup(ctx, "d/inside", proto.O_READ, 0)
	w.want("without a translator", err, "ENOENT")
	w.k.Release(n, f, r, up, g, root, sys)
	w.k.Release(controls...)
	w.k.Release(s.nodes...)
	w.k.Release(another)
	w.done()
}

func TestStartFails(t *testing.T) {
	w, s := newStarter(t)
	ctx := w.ctx
	f := w.tree.add(w.tree.root, "f", proto.S_IFREG|0o644, 0, 0)
	f.record = hurd.Argz("/hurd/none")
	p := w.as(translator.Root())
	s.err = proto.EDIED
	_, err := p.Lookup(ctx, "f", proto.O_READ, 0)
	w.want("start", err, "EDIED")
	// One who waits can be interrupted, and the start goes on for others.
	s.err, s.hold = nil, make(chan struct{})
	short, cancel := context.WithCancelCause(ctx)
	failed := make(chan error)
	go func() { _, err := p.Lookup(short, "f", proto.O_READ, 0); failed <- err }()
	type opened struct {
		p   mach.Port
		err error
	}
	ok := make(chan opened)
	go func() { port, err := p.Lookup(ctx, "f", 0, 0); ok <- opened{port, err} }()
	cancel(proto.EINTR)
	w.want("interrupted", <-failed, "EINTR")
	close(s.hold)
	o := <-ok
	w.want("start", o.err, "ok")
	if s.count() != 2 {
		t.Errorf("started %q", s.started)
	}
	n := w.open(p, "f", proto.O_NOTRANS)
	w.want("busy", proto.FileSetTranslator(ctx, n, set, set, 0, nil, proto.Right{}), "EBUSY")
	w.k.Release(o.p)
	w.want("go", proto.FileSetTranslator(ctx, n, set, set, 0, nil, proto.Right{}), "ok")
	w.k.Release(n)
	w.k.Release(s.nodes...)
	w.done()
}

func TestActiveTranslator(t *testing.T) {
	w, s := newStarter(t)
	ctx := w.ctx
	w.tree.add(w.tree.root, "d", proto.S_IFDIR|0o755, 0, 0)
	p := w.as(translator.Root())
	n := w.open(p, "d", proto.O_NOTRANS)
	active := func() mach.Port {
		t.Helper()
		c, err := s.start(ctx, hurd.Start{Underlying: func(context.Context, int32) (mach.Port, error) { return mach.Null, nil }})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := active()
	old := s.last
	w.want("set", proto.FileSetTranslator(ctx, n, 0, set|excl, 0, nil, proto.Move(first)), "ok")
	second := active()
	w.want("set, exclusive", proto.FileSetTranslator(ctx, n, 0, set|excl, 0, nil, proto.Copy(second)), "EBUSY")
	w.want("set", proto.FileSetTranslator(ctx, n, 0, set, 0, nil, proto.Copy(second)), "ok")
	select {
	case <-old.Done():
	default:
		t.Error("the old one has not gone away")
	}
	f := w.open(p, "d/inside", 0)
	w.want("orphan", proto.FileSetTranslator(ctx, n, 0, set|proto.FS_TRANS_ORPHAN, 0, nil, proto.Right{}), "ok")
	select {
	case <-s.last.Done():
		t.Error("the orphan has gone away")
	default:
	}
	// Unlinking what it sits on sends it away.
	g := w.open(p, "g", proto.O_CREAT)
	third := active()
	w.want("set", proto.FileSetTranslator(ctx, g, 0, set, 0, nil, proto.Move(third)), "ok")
	w.k.Release(g)
	root := w.open(p, "/", 0)
	w.want("unlink", proto.DirUnlink(ctx, root, "g"), "ok")
	<-s.last.Done()
	// A system that goes away takes its translators with it, if asked to.
	fourth := active()
	w.want("set", proto.FileSetTranslator(ctx, n, 0, set, 0, nil, proto.Move(fourth)), "ok")
	c, err := w.fs.Control(ctx)
	w.want("control", err, "ok")
	w.want("go", proto.FsysGoaway(ctx, c, proto.GOAWAY_RECURSE), "EBUSY")
	<-s.last.Done()
	w.want("go", proto.FsysGoaway(ctx, c, proto.GOAWAY_FORCE), "ok")
	<-w.fs.Done()
	w.k.Release(n, second, f, root, c)
	w.done()
}

func TestShortCircuits(t *testing.T) {
	w, _ := newStarter(t)
	ctx := w.ctx
	p := w.as(translator.Root())
	dir := w.open(p, "/", 0)
	for _, c := range []struct {
		args []string
		mode uint32
		rdev uint64
		err  string
	}{
		{[]string{"/hurd/symlink", "target"}, proto.S_IFLNK, 0, "ok"},
		{[]string{"/hurd/chrdev", "1", "3"}, proto.S_IFCHR, 0x103, "ok"},
		{[]string{"/hurd/blkdev", "0x10", "070000"}, proto.S_IFBLK, 0x7001000, "ok"},
		{[]string{"/hurd/fifo"}, proto.S_IFIFO, 0, "ok"},
		{[]string{"/hurd/ifsock"}, proto.S_IFSOCK, 0, "ok"},
		{[]string{"/hurd/symlink"}, 0, 0, "EINVAL"},
		{[]string{"/hurd/chrdev", "1"}, 0, 0, "EINVAL"},
		{[]string{"/hurd/chrdev", "x", "1"}, 0, 0, "EINVAL"},
	} {
		n, err := proto.DirMkfile(ctx, dir, proto.O_WRITE, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		argz := hurd.Argz(c.args...)
		w.want(strings.Join(c.args, " "), proto.FileSetTranslator(ctx, n, set, 0, 0, argz, proto.Right{}), c.err)
		if c.err == "ok" {
			st, err := proto.IOStat(ctx, n)
			if err != nil || st.Mode&proto.S_IFMT != c.mode || st.Rdev != c.rdev {
				t.Errorf("%s: mode %o, device %#x, %v", c.args[0], st.Mode, st.Rdev, err)
			}
			got, err := proto.FileGetTranslator(ctx, n)
			if err != nil || (c.args[0] == "/hurd/blkdev") != (string(got) != string(argz)) {
				t.Errorf("%q: translator %q, %v", c.args, got, err)
			}
			w.want("clear", proto.FileSetTranslator(ctx, n, set, 0, 0, nil, proto.Right{}), "ok")
			if st, _ := proto.IOStat(ctx, n); st.Mode&proto.S_IFMT != proto.S_IFREG {
				t.Errorf("%s, cleared: mode %o", c.args[0], st.Mode)
			}
		}
		w.k.Release(n)
	}
	d := w.open(p, "/", proto.O_NOTRANS)
	w.want("a directory as a symbolic link", proto.FileSetTranslator(ctx, d, set, 0, 0, hurd.Argz("/hurd/symlink", "x"), proto.Right{}), "EISDIR")
	n, _ := proto.DirMkfile(ctx, dir, proto.O_WRITE, 0o666)
	w.want("forced", proto.FileSetTranslator(ctx, n, set|proto.FS_TRANS_FORCE, 0, 0, hurd.Argz("/hurd/symlink", "x"), proto.Right{}), "ok")
	if st, _ := proto.IOStat(ctx, n); st.Mode&proto.S_IFMT != proto.S_IFREG || st.Mode&proto.S_IPTRANS == 0 {
		t.Errorf("forced: mode %o", st.Mode)
	}
	w.k.Release(dir, d, n)
	w.done()
}

func TestOptions(t *testing.T) {
	var text, other translator.Text
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.Var(&text, "contents", "")
	set.Var(&other, "other", "")
	n := set.Int("number", 3, "")
	yes := set.Bool("yes", false, "")
	w := newWorld(t, func(c *translator.Config) { c.Options = set })
	ctx := w.ctx
	c, err := w.fs.Control(ctx)
	w.want("control", err, "ok")
	options := func(want ...string) {
		t.Helper()
		got, err := proto.FsysGetOptions(ctx, c)
		if args := hurd.ParseArgz(got); !slices.Equal(args, append([]string{"/hurd/test"}, want...)) || err != nil {
			t.Errorf("options %q, %v", args, err)
		}
	}
	change := func(want string, args ...string) {
		t.Helper()
		w.want(strings.Join(args, " "), proto.FsysSetOptions(ctx, c, hurd.Argz(args...), 1), want)
	}
	options()
	change("ok", "--contents=a b", "-yes", "--number", "5")
	options("--contents=a b", "--number=5", "--yes")
	change("EINVAL", "--contents=other", "--number=x")
	options("--contents=a b", "--number=5", "--yes")
	change("EINVAL", "--nothing")
	change("EINVAL", "--contents=new", "stray")
	change("EINVAL", "-help")
	change("ok")
	change("ok", "--yes=false", "--contents=")
	options("--number=5")
	w.want("not argz", proto.FsysSetOptions(ctx, c, []byte("--yes"), 0), "EINVAL")
	if *n != 5 || *yes {
		t.Error("not set")
	}
	_, err = proto.FsysGetSource(ctx, c)
	w.want("source", err, "EOPNOTSUPP")
	_, _, _, err = proto.FsysGetpriv(ctx, c)
	w.want("privileged ports", err, "EOPNOTSUPP")
	w.k.Release(c)
	w.done()
}

// A runner stands in for the exec server.
type runner struct {
	proto.UnimplementedExec
	w     *world
	flags int32
	argv  string
	ports []mach.Port
	uids  []int32
	read  string
	err   error
	begun func() // the work
}

func (r *runner) ExecExecPaths(ctx context.Context, file, task mach.Port, flags int32, path, abspath string, argv, envp []byte, fds, ports []mach.Port, ints []int32, dealloc, destroy []mach.Port) error {
	if r.err != nil {
		return r.err
	}
	if r.begun != nil {
		r.begun()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := proto.IORead(ctx, file, 0, 100)
	if err != nil {
		return err
	}
	r.uids, _, _, _, err = proto.AuthGetids(ctx, ports[proto.InitPortAuth])
	if err != nil {
		return err
	}
	r.flags, r.argv, r.read = flags, path+" "+abspath+" "+string(argv), string(b)
	r.ports = slices.Clone(ports)
	r.w.k.Release(file, task)
	r.w.k.Release(fds...)
	r.w.k.Release(ports...)
	return nil
}

func TestExec(t *testing.T) {
	var server mach.Port
	w := newWorld(t, func(c *translator.Config) {
		c.Exec = func(context.Context) (mach.Port, error) { return server, nil }
	})
	ctx := w.ctx
	r := &runner{w: w}
	server = w.k.NewPort(proto.Handler(r))
	prog := w.tree.add(w.tree.root, "prog", proto.S_IFREG|0o711, 3, 4)
	prog.data = []byte("program")
	w.tree.add(w.tree.root, "data", proto.S_IFREG|0o644, 0, 0)
	u := w.as(w.user(5))
	task := w.k.NewPort(nil)
	fd := w.open(u, "data", proto.O_READ)
	ports := func() []mach.Port { return []mach.Port{u.CWD, u.Root, u.Auth, mach.Null, mach.Null, mach.Null} }
	exec := func(file mach.Port) error {
		return proto.FileExecPaths(ctx, file, task, 0, "p", "/p", hurd.Argz("a"), nil, []mach.Port{fd, mach.Null}, ports(), make([]int32, 5), nil, nil)
	}
	w.want("what is not open for it", exec(fd), "EBADF")
	x := w.open(u, "prog", proto.O_EXEC)
	w.want("exec", exec(x), "ok")
	if r.argv != "p /p a\x00" || r.read != "program" || r.flags != 0 || !slices.Equal(r.ports, ports()) {
		t.Errorf("ran %+v", r)
	}
	prog.st.Mode |= proto.S_ISUID
	w.want("exec with set ids", exec(x), "ok")
	if !slices.Equal(r.uids, []int32{3}) || r.flags != proto.EXEC_SECURE|proto.EXEC_NEWTASK || r.ports[1] != mach.Null || r.ports[0] == u.CWD {
		t.Errorf("ran %+v", r)
	}
	prog.st.Mode &^= proto.S_ISUID
	// The client is the task that is being filled: its rights go before it is done.
	gone, cancel := context.WithCancel(ctx)
	r.begun, r.argv = cancel, ""
	_ = proto.FileExecPaths(gone, x, task, 0, "p", "/p", hurd.Argz("b"), nil, nil, ports(), make([]int32, 5), nil, nil)
	if r.argv != "p /p b\x00" {
		t.Errorf("of a client that has gone: ran %+v", r)
	}
	r.begun = nil
	r.err = proto.EIO
	if err := exec(x); !errors.Is(err, proto.EIO) {
		t.Error(err)
	}
	w.k.Release(x, fd, task, server)
	w.done()
}

// A translator whose root is a symbolic link is what the link leads to.
func TestLinkAsRoot(t *testing.T) {
	for _, c := range []struct{ target, want string }{
		{"/d", "2"}, {"d", "2"}, {"../d", "2"}, {"nothing", "ENOENT"},
	} {
		w, _ := newStarter(t)
		ctx := w.ctx
		w.tree.add(w.tree.root, "d", proto.S_IFDIR|0o755, 0, 0)
		w.tree.add(w.tree.root, "l", proto.S_IFREG|0o644, 0, 0)
		p := w.as(translator.Root())
		link, err := translator.NewFS(translator.Config{Root: link(c.target), Ports: w.k})
		if err != nil {
			t.Fatal(err)
		}
		control, err := link.Control(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n := w.open(p, "l", proto.O_NOTRANS)
		w.want("set", proto.FileSetTranslator(ctx, n, 0, set, 0, nil, proto.Move(control)), "ok")
		port, err := p.Lookup(ctx, "l/.", proto.O_READ, 0)
		got := code(err)
		if err == nil {
			st, _ := proto.IOStat(ctx, port)
			got = string(rune('0' + st.Ino))
		}
		if got != c.want {
			t.Errorf("firmlink to %s: %s, want %s", c.target, got, c.want)
		}
		w.want("clear", proto.FileSetTranslator(ctx, n, 0, set, proto.GOAWAY_FORCE, nil, proto.Right{}), "ok")
		w.k.Release(n, port)
		w.done()
	}
}

// A link is a file system that is a symbolic link.
type link string

func (l link) Stat(context.Context) (translator.Stat, error) {
	return translator.Stat{Mode: proto.S_IFLNK | 0o777}, nil
}

func (l link) Readlink(context.Context) (string, error) { return string(l), nil }

type optioned struct {
	*world
	control mach.Port
}

// optionsWorld is a file system with two options.
func optionsWorld(t testing.TB) (c optioned, options func() string) {
	var text translator.Text
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.Var(&text, "contents", "")
	set.Int("last", 3, "")
	w := newWorld(t, func(c *translator.Config) { c.Options = set })
	control, err := w.fs.Control(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return optioned{w, control}, func() string { return text.String() + set.Lookup("last").Value.String() }
}
