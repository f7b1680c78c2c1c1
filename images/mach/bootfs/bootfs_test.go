package bootfs

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"hurdlab/images/mach/hurdio"
	"hurdlab/images/mach/ports/portstest"
	"hurdlab/images/mach/store"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

type tree struct {
	t     *testing.T
	x     portstest.Exporter
	files *store.FS
	root  mach.Port
}

func newTree(t *testing.T) *tree {
	f := &tree{t: t, files: store.New(store.Heap{}, 1<<20)}
	if err := f.files.MkdirAll("/etc/d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := f.files.WriteFile("/etc/hosts", []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := New(f.files, &f.x, map[string]mach.Handler{"/servers/socket/2": mach.Routines{}})
	var err error
	if f.root, err = r.Open("/", hurdio.ORead, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *tree) call(p mach.Port, id int32, put func(*mach.Message)) (*mach.Message, error) {
	f.t.Helper()
	return f.x.Call(f.t, p, id, put)
}

func (f *tree) lookup(dir mach.Port, name string, flags, mode int32) (mach.Port, error) {
	f.t.Helper()
	m, err := f.call(dir, dirLookup, func(m *mach.Message) { m.PutString(name, 1024); m.PutInt32(flags); m.PutInt32(mode) })
	if err != nil {
		return 0, err
	}
	if retry, rest := m.TakeInt32(), m.TakeString(); retry != 1 || rest != "" {
		f.t.Errorf("%s: retry %d %q", name, retry, rest)
	}
	p := m.TakeSend()
	return p, m.End()
}

func (f *tree) open(name string, flags int32) mach.Port {
	f.t.Helper()
	p, err := f.lookup(f.root, name, flags, 0o644)
	if err != nil {
		f.t.Fatalf("%s: %v", name, err)
	}
	return p
}

func (f *tree) read(p mach.Port, off int64, n uint64) (string, error) {
	m, err := f.call(p, hurdio.Read, func(m *mach.Message) { m.PutInt64(off); m.PutWord(n) })
	if err != nil {
		return "", err
	}
	s := string(m.TakeData(-1))
	return s, m.End()
}

func (f *tree) write(p mach.Port, off int64, s string) error {
	m, err := f.call(p, hurdio.Write, func(m *mach.Message) { m.PutData(mach.Char, []byte(s)); m.PutInt64(off) })
	if err != nil {
		return err
	}
	if n := m.TakeWord(); n != uint64(len(s)) {
		f.t.Errorf("wrote %d of %d bytes", n, len(s))
	}
	return m.End()
}

func TestFile(t *testing.T) {
	f := newTree(t)
	p := f.open("etc/hosts", hurdio.ORead)
	for _, tt := range []struct {
		off  int64
		n    uint64
		want string
	}{{-1, 4, "0123"}, {0, 2, "01"}, {-1, 4, "4567"}, {-1, 100, "89"}, {-1, 100, ""}, {8, 100, "89"}, {100, 1, ""}, {0, 0, ""}} {
		if got, err := f.read(p, tt.off, tt.n); err != nil || got != tt.want {
			t.Errorf("read %d at %d: %q, %v; want %q", tt.n, tt.off, got, err, tt.want)
		}
	}
	if err := f.write(p, -1, "x"); !errors.Is(err, hurdio.EBADF) {
		t.Errorf("write to a file open for reading: %v", err)
	}
	m, err := f.call(p, hurdio.Seek, func(m *mach.Message) { m.PutInt64(-3); m.PutInt32(2) })
	if err != nil || m.TakeInt64() != 7 {
		t.Errorf("seek: %v", err)
	}
	if got, _ := f.read(p, -1, 100); got != "789" {
		t.Errorf("after seek: %q", got)
	}
	if m, err = f.call(p, hurdio.Stat, nil); err != nil {
		t.Fatal(err)
	}
	checkStat(t, m, 0o100644, 10)

	w := f.open("new", hurdio.OWrite|hurdio.OCreat|hurdio.OExcl)
	if err := errors.Join(f.write(w, -1, "hello"), f.write(w, -1, " world"), f.write(w, 0, "J")); err != nil {
		t.Error(err)
	}
	if _, err := f.lookup(f.root, "new", hurdio.OWrite|hurdio.OCreat|hurdio.OExcl, 0); !errors.Is(err, hurdio.EEXIST) {
		t.Errorf("exclusive: %v", err)
	}
	a := f.open("new", hurdio.OWrite|hurdio.OAppend|hurdio.ORead)
	if err := f.write(a, -1, "!"); err != nil {
		t.Error(err)
	}
	if got, err := f.read(a, 0, 100); err != nil || got != "Jello world!" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := f.call(a, fileSetSize, func(m *mach.Message) { m.PutInt64(5) }); err != nil {
		t.Error(err)
	}
	if _, err := f.call(a, fileChmod, func(m *mach.Message) { m.PutInt32(0o755) }); err != nil {
		t.Error(err)
	}
	if i, _ := f.files.Stat("/new"); i.Size != 5 || i.Mode != 0o755 {
		t.Errorf("%+v", i)
	}
}

// checkStat checks mode and size where the documents say they are.
func checkStat(t *testing.T, m *mach.Message, mode uint32, size int64) {
	t.Helper()
	it, _ := m.Take()
	b, err := it.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	modeAt, sizeAt, total := 28, 44, 128
	if m.Layout() == wire.Layout64 {
		modeAt, sizeAt, total = 40, 64, 176
	}
	if len(b) != total || binary.LittleEndian.Uint32(b[modeAt:]) != mode || int64(binary.LittleEndian.Uint64(b[sizeAt:])) != size {
		t.Errorf("stat: %d bytes, mode %#o, size %d", len(b), binary.LittleEndian.Uint32(b[modeAt:]), binary.LittleEndian.Uint64(b[sizeAt:]))
	}
}

func TestLookup(t *testing.T) {
	f := newTree(t)
	etc := f.open("etc", hurdio.ORead)
	for _, name := range []string{"hosts", "./hosts", "d/../hosts", "/hosts", "../etc/hosts"} {
		p, err := f.lookup(etc, name, hurdio.ORead, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, _ := f.read(p, 0, 1); got != "0" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if p, err := f.lookup(etc, "", 0, 0); err != nil {
		t.Errorf("the directory itself: %v", err)
	} else if m, err := f.call(p, hurdio.Stat, nil); err != nil {
		t.Error(err)
	} else {
		checkStat(t, m, 0o040755, 0)
	}
	if _, err := f.lookup(f.root, "servers/socket/2", 0, 0); err != nil {
		t.Errorf("a server: %v", err)
	}
	hosts := f.open("etc/hosts", hurdio.ORead)
	if _, err := f.lookup(hosts, "", hurdio.ORead, 0); err != nil {
		t.Errorf("to open a file again: %v", err)
	}
	for name, want := range map[string]mach.KernReturn{
		"none": hurdio.ENOENT, "servers/socket/1": hurdio.ENOENT, "etc/hosts/x": hurdio.ENOTDIR, "etc/hosts/": hurdio.ENOTDIR,
		strings.Repeat("n", 300): hurdio.ENAMETOOLONG,
	} {
		if _, err := f.lookup(f.root, name, hurdio.ORead, 0); !errors.Is(err, want) {
			t.Errorf("%.20s: got %v, want %v", name, err, want)
		}
	}
	if _, err := f.lookup(f.root, "etc", hurdio.OWrite, 0); !errors.Is(err, hurdio.EISDIR) {
		t.Errorf("a directory to write to: %v", err)
	}
	if _, err := f.lookup(hosts, "x", hurdio.ORead, 0); !errors.Is(err, hurdio.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
}

func TestDirectory(t *testing.T) {
	f := newTree(t)
	name := func(s string) func(*mach.Message) {
		return func(m *mach.Message) { m.PutString(s, 1024) }
	}
	etc := f.open("etc", hurdio.ORead)
	readdir := func(first, count int32, size uint64) (names []string) {
		t.Helper()
		m, err := f.call(etc, dirReaddir, func(m *mach.Message) { m.PutInt32(first); m.PutInt32(count); m.PutWord(size) })
		if err != nil {
			t.Fatal(err)
		}
		for b := m.TakeData(-1); len(b) > 0; b = b[binary.LittleEndian.Uint16(b[8:]):] {
			names = append(names, string(b[12:12+b[11]]))
			if b[12+b[11]] != 0 {
				t.Errorf("%q does not end in a zero byte", names)
			}
		}
		if n := m.TakeInt32(); int(n) != len(names) {
			t.Errorf("%d entries, but %q", n, names)
		}
		return names
	}
	if got := readdir(0, -1, 0); !slices.Equal(got, []string{".", "..", "d", "hosts"}) {
		t.Errorf("%q", got)
	}
	if got := readdir(1, 2, 0); !slices.Equal(got, []string{"..", "d"}) {
		t.Errorf("%q", got)
	}
	if got := readdir(2, -1, 30); !slices.Equal(got, []string{"d"}) {
		t.Errorf("%q", got)
	}
	if got := readdir(4, -1, 0); got != nil {
		t.Errorf("%q", got)
	}
	for _, tt := range []struct {
		id   int32
		put  func(*mach.Message)
		want error
	}{
		{dirMkdir, func(m *mach.Message) { m.PutString("n", 1024); m.PutInt32(0o700) }, nil},
		{dirMkdir, func(m *mach.Message) { m.PutString("n", 1024); m.PutInt32(0o700) }, hurdio.EEXIST},
		{dirUnlink, name("n"), hurdio.EISDIR},
		{dirRmdir, name("hosts"), hurdio.ENOTDIR},
		{dirRmdir, name("n"), nil},
		{dirRmdir, name("n"), hurdio.ENOENT},
		{dirRename, func(m *mach.Message) {
			m.PutString("hosts", 1024)
			m.PutRight(f.root, mach.CopySend)
			m.PutString("moved", 1024)
			m.PutInt32(0)
		}, nil},
		{dirRename, func(m *mach.Message) {
			m.PutString("d", 1024)
			m.PutRight(4711, mach.CopySend)
			m.PutString("moved", 1024)
			m.PutInt32(0)
		}, mach.Errno(18)},
		{dirUnlink, name("hosts"), hurdio.ENOENT},
		{dirUnlink, name("../moved"), nil},
		{dirLookup, nil, mach.MigBadArguments},
		{20034, nil, mach.MigBadID},
	} {
		if _, err := f.call(etc, tt.id, tt.put); !errors.Is(err, tt.want) {
			t.Errorf("%d: got %v, want %v", tt.id, err, tt.want)
		}
	}
	if _, err := f.files.Stat("/moved"); err == nil {
		t.Error("the file is still there")
	}
}

func TestGone(t *testing.T) {
	f := newTree(t)
	p := f.open("etc/hosts", hurdio.ORead)
	if err := f.files.Remove("/etc/hosts"); err != nil {
		t.Fatal(err)
	}
	if got, err := f.read(p, 0, 1); err != nil || got != "0" {
		t.Errorf("a removed file that is open: %q, %v", got, err)
	}
	f.x.Drop(p)
	if used, _ := f.files.Used(); used != 0 {
		t.Errorf("%d bytes are still used", used)
	}
}
