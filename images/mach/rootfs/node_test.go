package rootfs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
	"hurdlab/mach/wire"
	"hurdlab/pager"
)

// countRights are rights that are counted.
type countRights struct {
	ports    *portstest.Kernel // or nil
	released int
	gone     map[mach.Port]bool // dead ports
}

func (k *countRights) Release(list ...mach.Port) {
	for _, p := range list {
		if p.Valid() {
			k.released++
			if k.ports != nil {
				k.ports.Release(p)
			}
		}
	}
}

func (k *countRights) Copy(p mach.Port) error {
	if k.gone[p] {
		return mach.KernInvalidRight
	}
	return nil
}

// told is what kernels are told.
type told struct {
	mu   sync.Mutex
	list []any
}

func (k *told) Send(_ mach.Port, m any) (func(context.Context) error, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, m)
	return nil, nil
}

func (k *told) Copy(uint64, int, pager.Memory) ([]byte, error) { return make([]byte, pageSize), nil }
func (k *told) Free(uint64, int)                               {}
func (k *told) Release(...mach.Port)                           {}
func (k *told) Destroy(...mach.Port)                           {}

// heap is Go's memory.
type heap struct{}

func (heap) Alloc(n int) ([]byte, error) { return make([]byte, n), nil }
func (heap) Free([]byte)                 {}

// A served is a tree that is served on the host.
type served struct {
	k    *portstest.Kernel
	kern *countRights
	told *told
	tree *Tree
	fs   *translator.FS
}

func serve(t *testing.T, change func(*Config)) *served {
	s := &served{k: portstest.New(t, wire.Layout32), kern: &countRights{gone: map[mach.Port]bool{}}, told: new(told)}
	s.kern.ports = s.k
	c := Config{MaxBytes: 1 << 20, MaxInodes: 100, Ports: s.k, Devices: MemoryDevices(), rights: s.kern, kernel: s.told, memory: heap{}}
	if change != nil {
		change(&c)
	}
	s.tree = New(c)
	fs, err := translator.NewFS(translator.Config{Root: s.tree.Root(), System: true, Ports: s.k, FSID: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.fs = fs
	return s
}

// TestMap: who may write gets the memory object, who only reads a port that
// only shows it; the object goes with the last right and keeps the file until
// then.
func TestMap(t *testing.T) {
	s := serve(t, nil)
	ctx := s.k.Context(t.Context())
	f, err := s.fs.Open(ctx, translator.Root(), "f", proto.O_RDWR|proto.O_CREAT, 0o644, mach.Null)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.fs.Open(ctx, translator.Root(), "f", proto.O_READ, 0, mach.Null)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proto.IOWrite(ctx, f, []byte("hello"), 0); err != nil {
		t.Fatal(err)
	}
	rd, wr, err := proto.IOMap(ctx, f)
	if err != nil || rd != wr || !rd.Valid() {
		t.Errorf("to read and write: %v %v %v", rd, wr, err)
	}
	n := s.tree.files
	ro, null, err := proto.IOMap(ctx, r)
	if err != nil || ro == rd || !ro.Valid() || null.Valid() {
		t.Errorf("to read: %v %v %v", ro, null, err)
	}
	// Its name goes, and who has it open; the object is still there.
	root := n.Root()
	if err := root.Unlink("f"); err != nil {
		t.Fatal(err)
	}
	s.k.Release(f, r)
	if n.Usage().Inodes != 2 {
		t.Error("a file is gone that is mapped")
	}
	if s.k.Rights(rd) != 2 {
		t.Errorf("%d rights to the object", s.k.Rights(rd))
	}
	s.k.Release(rd, wr, ro)
	if u := n.Usage(); u.Inodes != 1 || u.Bytes != 0 {
		t.Errorf("left when nobody maps it: %+v", u)
	}
}

// say sends a message of a kernel to a memory object.
func (s *served) say(t *testing.T, to mach.Port, m *mach.Message) {
	t.Helper()
	if err := s.k.Send(t.Context(), to, m); err != nil {
		t.Error(err)
	}
}

// TestObjectAgain: an object whose port has gone has another for the next.
func TestObjectAgain(t *testing.T) {
	s := serve(t, nil)
	n := s.tree.special(proto.S_IFREG | 0o600).(*regNode)
	one, err := n.Map(t.Context(), mach.ProtRead|mach.ProtWrite)
	if err != nil {
		t.Fatal(err)
	}
	o := n.object
	attach := func(to mach.Port) {
		m := wire.New(wire.Layout32, mach.IDPagerInit)
		m.PutRight(s.k.NewPort(nil), mach.MakeSend)
		m.PutRight(s.k.NewPort(nil), mach.MakeSend)
		m.PutWord(pageSize)
		s.say(t, to, m)
	}
	attach(one)
	if o.Stats().Clients != 1 {
		t.Error("the kernel is no client")
	}
	s.k.Release(one)
	if o.Stats().Clients != 0 {
		t.Error("the kernel is not forgotten")
	}
	two, err := n.Map(t.Context(), mach.ProtRead|mach.ProtWrite)
	if err != nil || two == one || n.object != o {
		t.Errorf("again: %v %v", two, err)
	}
	attach(two)
	// Without a name, kernels need not keep its pages.
	root := s.tree.files.Root()
	if err := root.Unlink("100600"); err != nil {
		t.Fatal(err)
	}
	n.Release()
	want := pager.MsgChange{MayCache: false, Copy: mach.CopyDelay}
	if k := len(s.told.list); k == 0 || s.told.list[k-1] != any(want) {
		t.Errorf("the kernel was told %+v", s.told.list)
	}
	s.k.Release(two)
	if s.tree.files.Usage().Inodes != 1 {
		t.Error("a file is left")
	}
	// No ports: an error, and nothing is held.
	n = s.tree.special(proto.S_IFREG | 0o600).(*regNode)
	s.k.Fail = proto.ENFILE
	if _, err := n.Map(t.Context(), mach.ProtRead); err != proto.ENFILE {
		t.Error(err)
	}
	s.k.Fail = nil
}

// TestSpecial: what mkfile made becomes something else, as mknod and symlink
// do it.
func TestSpecial(t *testing.T) {
	s := serve(t, nil)
	ctx := s.k.Context(t.Context())
	root, err := s.fs.Root(ctx, translator.Root(), proto.O_READ, mach.Null)
	if err != nil {
		t.Fatal(err)
	}
	make := func(name, argz string) {
		f, err := proto.DirMkfile(ctx, root, proto.O_WRITE, 0o644)
		if err == nil {
			err = proto.FileSetTranslator(ctx, f, proto.FS_TRANS_SET, 0, 0, []byte(argz), proto.Right{})
		}
		if err == nil {
			err = proto.DirLink(ctx, root, f, name, 1)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.k.Release(f)
	}
	make("null", "/hurd/chrdev\x001\x003\x00")
	make("link", "/hurd/symlink\x00null\x00")
	make("fifo", "/hurd/fifo\x00")
	make("sock", "/hurd/ifsock\x00")
	make("blk", "/hurd/blkdev\x001\x001\x00")
	for name, want := range map[string]uint32{"null": proto.S_IFCHR, "fifo": proto.S_IFIFO, "sock": proto.S_IFSOCK, "blk": proto.S_IFBLK, "link": proto.S_IFLNK} {
		f, err := s.fs.Open(ctx, translator.Root(), name, proto.O_NOLINK|proto.O_NOTRANS, 0, mach.Null)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		st, err := proto.IOStat(ctx, f)
		if err != nil || st.Mode&proto.S_IFMT != want {
			t.Errorf("%s: mode %o, %v", name, st.Mode, err)
		}
		s.k.Release(f)
	}
	f, err := s.fs.Open(ctx, translator.Root(), "link", proto.O_RDWR, 0, mach.Null)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := proto.IOWrite(ctx, f, []byte("x"), -1); n != 1 || err != nil {
		t.Errorf("write to null by a link: %d %v", n, err)
	}
	s.k.Release(f)
	if _, err := s.fs.Open(ctx, translator.Root(), "blk", proto.O_READ, 0, mach.Null); !errors.Is(err, proto.ENXIO) {
		t.Errorf("a block device: %v", err)
	}
}

func TestSocketAddress(t *testing.T) {
	made := []mach.Port{}
	fail := error(nil)
	var s *served
	s = serve(t, func(c *Config) {
		c.Fabricate = func(context.Context) (mach.Port, error) {
			if fail != nil {
				return mach.Null, fail
			}
			p := s.k.NewPort(nil)
			made = append(made, p)
			return p, nil
		}
	})
	n := s.tree.special(proto.S_IFSOCK | 0o600).(*sockNode)
	ask := func() (mach.Port, error) {
		return n.Protocols(translator.Root(), 0)[0].(proto.IfsockServer).IfsockGetsockaddr(t.Context())
	}
	fail = proto.EIO
	if _, err := ask(); err != proto.EIO {
		t.Error(err)
	}
	fail = nil
	a, err := ask()
	b, err2 := ask()
	if a != b || err != nil || err2 != nil || !slices.Equal(made, []mach.Port{a}) {
		t.Errorf("%v %v, %v %v, made %v", a, err, b, err2, made)
	}
	s.kern.gone[a] = true // its server is gone: a new one
	if c, err := ask(); c == a || err != nil || len(made) != 2 {
		t.Errorf("after its server's death: %v %v", c, err)
	}
	released := s.kern.released
	root := s.tree.files.Root()
	if err := root.Unlink("140600"); err != nil {
		t.Fatal(err)
	}
	n.Release()
	if s.kern.released != released+1 {
		t.Error("the address is kept")
	}
	none := New(Config{MaxBytes: 1, MaxInodes: 9, rights: s.kern})
	if _, err := (ifsock{node: none.special(proto.S_IFSOCK).(*sockNode)}).IfsockGetsockaddr(t.Context()); err != proto.EOPNOTSUPP {
		t.Error(err)
	}
}

// TestBind does what a program does that binds a local socket: it makes a file
// without a name a socket, asks it for its address, and gives it a name.
func TestBind(t *testing.T) {
	addr := mach.Null
	var s *served
	s = serve(t, func(c *Config) {
		c.Fabricate = func(context.Context) (mach.Port, error) { addr = s.k.NewPort(nil); return addr, nil }
	})
	ctx := s.k.Context(t.Context())
	root, err := s.fs.Root(ctx, translator.Root(), 0, mach.Null)
	if err != nil {
		t.Fatal(err)
	}
	file, err := proto.DirMkfile(ctx, root, 0, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.FileSetTranslator(ctx, file, proto.FS_TRANS_SET, 0, 0, []byte("/hurd/ifsock\x00"), proto.Copy(mach.Null)); err != nil {
		t.Fatal(err)
	}
	retry, name, sock, err := proto.DirLookup(ctx, file, "", 0, 0)
	if err != nil || retry != proto.RetryNormal || name != "" {
		t.Fatalf("%d %q %v", retry, name, err)
	}
	got, err := proto.IfsockGetsockaddr(ctx, sock)
	if err != nil || got != addr {
		t.Fatalf("%v, want %v; %v", got, addr, err)
	}
	if err := proto.DirLink(ctx, root, file, "s", 1); err != nil {
		t.Fatal(err)
	}
	again, err := s.fs.Open(ctx, translator.Root(), "s", 0, 0, mach.Null)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := proto.IfsockGetsockaddr(ctx, again); err != nil || got != addr {
		t.Errorf("%v, want %v; %v", got, addr, err)
	}
}

func TestHandles(t *testing.T) {
	s := serve(t, func(c *Config) { c.Generation = 5 })
	root := s.tree.Root().(*dirNode)
	n := s.tree.special(proto.S_IFREG | 0o600)
	h, err := root.Handle(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := root.Node(t.Context(), h); got != n || err != nil {
		t.Errorf("%v %v", got, err)
	}
	h[11]++
	if _, err := root.Node(t.Context(), h); err != proto.ESTALE {
		t.Error(err)
	}
	if _, err := root.Node(t.Context(), nil); err != proto.ESTALE {
		t.Error(err)
	}
	st, err := root.StatFS(t.Context())
	if err != nil || st.Blocks != 256 || st.Free != 256 || st.Files != 100 || st.FilesFree != 98 {
		t.Errorf("%+v %v", st, err)
	}
	if _, err := n.(*regNode).WriteAt(t.Context(), []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if st, _ := root.StatFS(t.Context()); st.Free != 255 {
		t.Errorf("%+v", st)
	}
}

// TestMagic: what a client has to look up by itself.
func TestMagic(t *testing.T) {
	s := serve(t, nil)
	ctx := s.k.Context(t.Context())
	if err := s.tree.MakeDevices(); err != nil {
		t.Fatal(err)
	}
	root, err := s.fs.Root(ctx, translator.Root(), proto.O_READ, mach.Null)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"dev/fd/3": "fd/3", "dev/fd/3/x": "fd/3/x", "dev/tty": "tty"} {
		retry, name, port, err := proto.DirLookup(ctx, root, path, proto.O_READ, 0)
		if retry != proto.RetryMagical || name != want || port.Valid() || err != nil {
			t.Errorf("%s: retry %d with %q, %v, %v", path, retry, name, port, err)
		}
	}
	retry, name, fd, err := proto.DirLookup(ctx, root, "dev/fd", proto.O_READ, 0)
	if err != nil || retry != proto.RetryNormal || name != "" {
		t.Errorf("dev/fd: retry %d with %q, %v", retry, name, err)
	}
	if data, n, err := proto.DirReaddir(ctx, fd, 0, -1, 0); err != nil || n != 2 {
		t.Errorf("dev/fd has %q, %v", data, err)
	}
	if retry, _, port, err := proto.DirLookup(ctx, root, "dev/fd/../null", proto.O_READ, 0); err != nil || retry != proto.RetryNormal || !port.Valid() {
		t.Errorf("dev/fd/../null: retry %d, %v, %v", retry, port, err)
	}
	_, _, node, err := proto.DirLookup(ctx, root, "dev/tty", proto.O_NOTRANS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if argz, err := proto.FileGetTranslator(ctx, node); string(argz) != "/hurd/magic\x00tty\x00" || err != nil {
		t.Errorf("%q %v", argz, err)
	}
}
