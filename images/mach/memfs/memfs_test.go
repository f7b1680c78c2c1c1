package memfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// check returns what is wrong inside f.
func (f *FS) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	links := map[*Inode]uint32{f.root: 2}
	pages, small, names := 0, int64(0), 0
	for _, n := range f.inodes {
		small += int64(len(n.target) + len(n.translator))
		own, over := 0, 0
		for k, l := range n.file.leaves {
			in := 0
			for j, p := range l.pages {
				if p.s == nil {
					continue
				}
				in++
				i := k*leafPages + int64(j)
				if i*PageSize < n.file.baseLen {
					over++
				}
				if i*PageSize >= n.file.size+PageSize-1 && n.file.size == 0 {
					return fmt.Errorf("inode %d: a page beyond the end", n.ino)
				}
				if end := n.file.size - i*PageSize; end < PageSize {
					if bytes.Trim(p.data()[max(end, 0):], "\x00") != nil {
						return fmt.Errorf("inode %d: not zero beyond the end", n.ino)
					}
				}
			}
			if in != l.n || in == 0 {
				return fmt.Errorf("inode %d: a leaf with %d pages says %d", n.ino, in, l.n)
			}
			own += in
		}
		if own != n.file.own || over != n.file.overBase || n.file.baseLen > n.file.size {
			return fmt.Errorf("inode %d: own %d %d, over %d %d, base %d of %d", n.ino, own, n.file.own, over, n.file.overBase, n.file.baseLen, n.file.size)
		}
		pages += own
		if n.dir == nil {
			continue
		}
		live := 0
		for i, s := range n.dir.slots {
			if s.node == nil {
				continue
			}
			live++
			names++
			if n.dir.slot[s.name] != i {
				return fmt.Errorf("%q is not where it should be", s.name)
			}
			links[s.node]++
			if s.node.dir != nil {
				links[s.node]++
				links[n]++
				if s.node.dir.parent != n {
					return fmt.Errorf("%q has another parent", s.name)
				}
			}
		}
		if live != len(n.dir.slot) {
			return fmt.Errorf("%d entries, %d names", live, len(n.dir.slot))
		}
		if k := len(n.dir.slots); k > 0 && n.dir.slots[k-1].node == nil {
			return errors.New("a hole at the end")
		}
		if len(n.dir.holes) > len(n.dir.slots)+1000 {
			return errors.New("too many holes are remembered")
		}
	}
	for _, n := range f.inodes {
		if n.nlink != links[n] {
			return fmt.Errorf("inode %d has %d links, says %d", n.ino, links[n], n.nlink)
		}
		if n.nlink == 0 && n.refs == 0 {
			return fmt.Errorf("inode %d should be gone", n.ino)
		}
		delete(links, n)
	}
	for n := range links {
		return fmt.Errorf("inode %d has a name and is gone", n.ino)
	}
	if pages != f.pool.used || small != f.small || names != f.names {
		return fmt.Errorf("pages %d %d, small %d %d, names %d %d", pages, f.pool.used, small, f.small, names, f.names)
	}
	return nil
}

// counting counts slabs.
type counting struct{ slabs int }

func (c *counting) Alloc() ([]byte, error) { c.slabs++; return make([]byte, SlabSize), nil }
func (c *counting) Free([]byte)            { c.slabs-- }

func newFS(t *testing.T) *FS {
	f := New(Config{MaxBytes: 1 << 20, MaxInodes: 100, Generation: 7})
	t.Cleanup(func() {
		if err := f.check(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func reg(mode uint32) Attr { return Attr{Mode: proto.S_IFREG | mode} }

var dirAttr = Attr{Mode: proto.S_IFDIR | 0o755}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestContents(t *testing.T) {
	f := newFS(t)
	n := must(f.Root().Create("f", reg(0o644)))
	must(n.WriteAt([]byte("hello"), 3*PageSize-2))
	if s := n.Stat(); s.Size != 3*PageSize+3 || s.Blocks != 2*8 {
		t.Errorf("size %d, blocks %d", s.Size, s.Blocks)
	}
	b := make([]byte, 10)
	k, err := n.ReadAt(b, 3*PageSize-4)
	if string(b[:k]) != "\x00\x00hello" || err != io.EOF {
		t.Errorf("%q %v", b[:k], err)
	}
	n.SetSize(3*PageSize - 1)
	n.SetSize(1 << 39) // holes cost nothing
	if k, err := n.ReadAt(b, 3*PageSize-3); string(b[:k]) != "\x00h"+strings.Repeat("\x00", 8) || err != nil {
		t.Errorf("after truncation: %q %v", b[:k], err)
	}
	if u := f.Usage(); u.Bytes != PageSize {
		t.Errorf("%d bytes used", u.Bytes)
	}
	wantErr(t, "too large", n.SetSize(MaxSize+1), proto.EFBIG)
	wantErr(t, "negative", n.SetSize(-1), proto.EINVAL)
	if k, err := n.WriteAt([]byte("ab"), MaxSize-1); k != 1 || err != proto.EFBIG {
		t.Errorf("write across the largest size: %d %v", k, err)
	}
	if k, off, err := n.Append(nil); k != 0 || off != MaxSize || err != nil {
		t.Errorf("append nothing: %d %d %v", k, off, err)
	}
}

func TestQuota(t *testing.T) {
	m := new(counting)
	f := New(Config{Memory: m, MaxBytes: 100*PageSize + 10, MaxInodes: 4})
	root := f.Root()
	n := must(root.Create("f", reg(0o644)))
	k, err := n.WriteAt(make([]byte, 200*PageSize), 0)
	if k != 100*PageSize || err != proto.ENOSPC || n.Size() != int64(k) {
		t.Errorf("wrote %d, %v, size %d", k, err, n.Size())
	}
	if _, err := n.WriteAt([]byte("x"), 100*PageSize); err != proto.ENOSPC {
		t.Errorf("write when full: %v", err)
	}
	if _, err := n.WriteAt([]byte("x"), 0); err != nil {
		t.Errorf("overwrite when full: %v", err)
	}
	_, err = root.Create("link", Attr{Mode: proto.S_IFLNK | 0o777, Target: "longer than 10"})
	wantErr(t, "symlink when full", err, proto.ENOSPC)
	wantErr(t, "translator when full", n.SetTranslator([]byte("/hurd/hello\x00")), proto.ENOSPC)
	// It stays until its last reader goes, then all memory does but for one
	// slab.
	must(0, root.Unlink("f"))
	if m.slabs != 7 {
		t.Errorf("%d slabs", m.slabs)
	}
	n.Release()
	if m.slabs > 1 || f.Usage().Bytes != 0 || f.Usage().Inodes != 1 {
		t.Errorf("after the last close: %d slabs, %+v", m.slabs, f.Usage())
	}
	for i := range 3 {
		must(root.Create(fmt.Sprint(i), reg(0))).Release()
	}
	_, err = root.Create("3", reg(0))
	wantErr(t, "too many inodes", err, proto.ENOSPC)
	if err := f.check(); err != nil {
		t.Error(err)
	}
}

type failing struct{}

func (failing) Alloc() ([]byte, error) { return nil, mach.KernResourceShortage }
func (failing) Free([]byte)            {}

func TestNoMemory(t *testing.T) {
	f := New(Config{Memory: failing{}, MaxBytes: 1 << 20, MaxInodes: 10})
	n := must(f.Root().Create("f", reg(0)))
	_, err := n.WriteAt([]byte("x"), 0)
	wantErr(t, "write", err, proto.ENOSPC)
}

func TestBacking(t *testing.T) {
	f := newFS(t)
	store := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	n := must(f.Root().Create("f", reg(0)))
	must(0, n.SetBacking(bytes.NewReader(store), 5, 2*PageSize+100))
	want := bytes.Clone(store[5 : 5+2*PageSize+100])
	read := func() []byte {
		b := make([]byte, n.Size()+10)
		k, err := n.ReadAt(b, 0)
		if err != io.EOF {
			t.Fatal(err)
		}
		return b[:k]
	}
	if !bytes.Equal(read(), want) || f.Usage().Bytes != 0 {
		t.Error("contents, or they were copied")
	}
	if n.Stat().Blocks != 3*8 {
		t.Errorf("%d blocks", n.Stat().Blocks)
	}
	must(n.WriteAt([]byte("new"), PageSize-1))
	copy(want[PageSize-1:], "new")
	if !bytes.Equal(read(), want) || f.Usage().Bytes != 2*PageSize || n.Stat().Blocks != 3*8 {
		t.Errorf("after a write: %d bytes, %d blocks", f.Usage().Bytes, n.Stat().Blocks)
	}
	n.SetSize(PageSize + 100)
	n.SetSize(3 * PageSize)
	want = append(want[:PageSize+100], make([]byte, 2*PageSize-100)...)
	if !bytes.Equal(read(), want) {
		t.Error("what was cut off is back")
	}
	wantErr(t, "a backing for what has contents", n.SetBacking(bytes.NewReader(store), 0, 1), proto.EINVAL)

	// A store that is too short is an error, not zeros.
	bad := must(f.Root().Create("bad", reg(0)))
	must(0, bad.SetBacking(bytes.NewReader(store), 0, int64(len(store))+1))
	_, err := bad.ReadAt(make([]byte, PageSize), int64(len(store))&^(PageSize-1))
	wantErr(t, "beyond the store", err, proto.EIO)
	_, err = bad.WriteAt([]byte("x"), int64(len(store)))
	wantErr(t, "write beyond the store", err, proto.EIO)
}

func TestWriteBack(t *testing.T) {
	f := newFS(t)
	n := must(f.Root().Create("f", reg(0)))
	n.SetSize(PageSize + 10)
	p := bytes.Repeat([]byte{'x'}, PageSize)
	must(0, n.WriteBack(p, PageSize))
	must(0, n.WriteBack(p, 2*PageSize))
	if n.Size() != PageSize+10 {
		t.Errorf("size %d", n.Size())
	}
	if n.Owned(0) || !n.Owned(PageSize) {
		t.Error("owned pages")
	}
	must(0, n.Reserve(0))
	if !n.Owned(0) {
		t.Error("reserved is not owned")
	}
	wantErr(t, "reserve beyond the end", n.Reserve(2*PageSize), proto.EINVAL)
}

func TestNames(t *testing.T) {
	f := newFS(t)
	root := f.Root()
	for name, want := range map[string]error{
		"": proto.ENOENT, ".": proto.EEXIST, "..": proto.EEXIST, "a/b": proto.EINVAL, "a\x00": proto.EINVAL,
		strings.Repeat("x", 256): proto.ENAMETOOLONG, strings.Repeat("x", 255): nil, "é\xff": nil,
	} {
		_, err := root.Create(name, reg(0))
		wantErr(t, fmt.Sprintf("create %q", name), err, want)
	}
	_, err := root.Create("target", Attr{Mode: proto.S_IFLNK, Target: strings.Repeat("x", MaxTarget+1)})
	wantErr(t, "long target", err, proto.ENAMETOOLONG)
	_, err = root.Lookup(strings.Repeat("x", 256))
	wantErr(t, "long lookup", err, proto.ENAMETOOLONG)
}

func TestLinks(t *testing.T) {
	f := newFS(t)
	root := f.Root()
	d := must(root.Create("d", dirAttr))
	n := must(root.Create("a", reg(0)))
	if root.Stat().Nlink != 3 || d.Stat().Nlink != 2 {
		t.Errorf("links of directories: %d %d", root.Stat().Nlink, d.Stat().Nlink)
	}
	must(0, d.Link("b", n, true))
	wantErr(t, "exclusive", d.Link("b", n, true), proto.EEXIST)
	wantErr(t, "to itself", d.Link("b", n, false), nil)
	wantErr(t, "a directory", root.Link("e", d, true), proto.EISDIR)
	wantErr(t, "over a directory", root.Link("d", n, false), proto.EISDIR)
	m := must(root.Create("m", reg(0)))
	wantErr(t, "over a file", d.Link("b", m, false), nil)
	if n.Stat().Nlink != 1 || m.Stat().Nlink != 2 {
		t.Errorf("links: %d %d", n.Stat().Nlink, m.Stat().Nlink)
	}
	for i := n.Stat().Nlink; i < MaxLinks; i++ {
		n.nlink++ // as if
	}
	wantErr(t, "too many", d.Link("c", n, true), proto.EMLINK)
	n.nlink = 1

	an := must(f.Anonymous(reg(0o600)))
	must(an.WriteAt([]byte("x"), 0))
	must(0, root.Link("named", an, true))
	an.Release()
	if got := must(root.Lookup("named")); got != an || got.Size() != 1 {
		t.Error("the named file is another")
	}
	gone := must(f.Anonymous(reg(0)))
	gone.Release()
	wantErr(t, "one that is gone", root.Link("x", gone, true), proto.ENOENT)
	other := newFS(t)
	wantErr(t, "across", other.Root().Link("x", n, true), proto.EXDEV)
	wantErr(t, "rename across", root.Rename("a", other.Root(), "x", false), proto.EXDEV)
}

func TestRemoved(t *testing.T) {
	f := newFS(t)
	root := f.Root()
	d := must(root.Create("d", dirAttr))
	must(d.Create("x", reg(0)))
	wantErr(t, "not empty", root.Rmdir("d"), proto.ENOTEMPTY)
	wantErr(t, "unlink", root.Unlink("d"), proto.EPERM)
	wantErr(t, "rmdir a file", d.Rmdir("x"), proto.ENOTDIR)
	wantErr(t, "rmdir .", d.Rmdir("."), proto.EINVAL)
	wantErr(t, "rmdir ..", d.Rmdir(".."), proto.ENOTEMPTY)
	must(0, d.Unlink("x"))
	must(0, root.Rmdir("d"))
	_, err := d.Create("y", reg(0))
	wantErr(t, "create in what is removed", err, proto.ENOENT)
	_, err = d.Lookup("..")
	wantErr(t, "..", err, proto.ENOENT)
	if e, err := d.Entries(0, 10); len(e) != 0 || err != nil {
		t.Error(e, err)
	}
	if s := d.Stat(); s.Nlink != 0 || root.Stat().Nlink != 2 {
		t.Errorf("links: %d %d", s.Nlink, root.Stat().Nlink)
	}
	_, err = f.ByNumber(d.Ino(), 8)
	wantErr(t, "another generation", err, proto.ESTALE)
	if got := must(f.ByNumber(d.Ino(), 7)); got != d {
		t.Error("another inode")
	}
	d.Release()
	d.Release()
	_, err = f.ByNumber(d.Ino(), 7)
	wantErr(t, "one that is gone", err, proto.ESTALE)
}

func TestRename(t *testing.T) {
	for _, c := range []struct {
		from, to string
		excl     bool
		want     error
	}{
		{"f", "new", false, nil},
		{"f", "g", false, nil},
		{"f", "g", true, proto.EEXIST},
		{"f", "hard", false, nil},
		{"f", "f", false, nil},
		{"f", "d/x", false, nil},
		{"f", "d", false, proto.EISDIR},
		{"d", "f", false, proto.ENOTDIR},
		{"d", "d", false, proto.EINVAL}, // "into itself" comes first
		{"d", "d/e/x", false, proto.EINVAL},
		{"d", "empty", false, nil},
		{"empty", "d", false, proto.ENOTEMPTY},
		{"empty", "d/e/empty", false, nil},
		{"d/e", "e", false, nil},
		{"none", "x", false, proto.ENOENT},
		{"f", ".", false, proto.EINVAL},
		{"..", "x", false, proto.EINVAL},
		{"f", strings.Repeat("x", 256), false, proto.ENAMETOOLONG},
	} {
		t.Run(c.from+" "+c.to, func(t *testing.T) {
			if c.from == "d" && c.to == "d" {
				c.want = nil
			}
			f := newFS(t)
			root := f.Root()
			file := must(root.Create("f", reg(0)))
			must(root.Create("g", reg(0))).Release()
			must(0, root.Link("hard", file, true))
			d := must(root.Create("d", dirAttr))
			must(must(d.Create("e", dirAttr)).Create("deep", reg(0))).Release()
			must(root.Create("empty", dirAttr)).Release()
			dir, from := must3(f.parent(c.from))
			todir, to := must3(f.parent(c.to))
			n, _ := dir.Lookup(from)
			wantErr(t, "rename", dir.Rename(from, todir, to, c.excl), c.want)
			if c.want == nil {
				if got := must(todir.Lookup(to)); got != n {
					t.Error("there is another")
				}
				if _, err := dir.Lookup(from); err == nil && c.to != "hard" && c.from != c.to {
					t.Error("it is still there")
				}
				if n.dir != nil && must(n.Lookup("..")) != todir {
					t.Error("another parent")
				}
			}
		})
	}
}

func must3(d *Inode, name string, err error) (*Inode, string) { must(0, err); return d, name }

func TestTimes(t *testing.T) {
	now := time.Unix(1000, 0)
	f := New(Config{MaxBytes: 1 << 20, MaxInodes: 10, Now: func() time.Time { now = now.Add(time.Second); return now }})
	root := f.Root()
	n := must(root.Create("f", reg(0o644)))
	x := uint32(0o600)
	for _, c := range []struct {
		name                 string
		op                   func()
		a, m, c, dirM, dirCt bool
	}{
		{"write", func() { n.WriteAt([]byte("x"), 0) }, false, true, true, false, false},
		{"empty write", func() { n.WriteAt(nil, 0) }, false, false, false, false, false},
		{"truncate", func() { n.SetSize(0) }, false, true, true, false, false},
		{"accessed", n.Accessed, true, false, false, false, false},
		{"chmod", func() { n.Change(Change{Mode: &x}) }, false, false, true, false, false},
		{"chown", func() { n.Change(Change{UID: &x, GID: &x}) }, false, false, true, false, false},
		{"translator", func() { n.SetTranslator([]byte("a\x00")) }, false, false, true, false, false},
		{"link", func() { root.Link("g", n, true) }, false, false, true, true, true},
		{"rename", func() { root.Rename("g", root, "h", false) }, false, false, true, true, true},
		{"unlink", func() { root.Unlink("h") }, false, false, true, true, true},
	} {
		b, bd := n.Stat(), root.Stat()
		c.op()
		a, ad := n.Stat(), root.Stat()
		got := []bool{a.Atime != b.Atime, a.Mtime != b.Mtime, a.Ctime != b.Ctime, ad.Mtime != bd.Mtime, ad.Ctime != bd.Ctime}
		if want := []bool{c.a, c.m, c.c, c.dirM, c.dirCt}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s changed (atime mtime ctime, directory's mtime ctime) %v, want %v", c.name, got, want)
		}
	}
	then := time.Unix(5, 6)
	n.Change(Change{Atime: &then})
	if s := n.Stat(); !s.Atime.Equal(then) || s.Mtime.Equal(then) {
		t.Errorf("%v", s)
	}
}

func TestKind(t *testing.T) {
	f := newFS(t)
	n := must(f.Anonymous(reg(0o644)))
	must(n.WriteAt([]byte("x"), 0))
	must(0, n.SetKind(Attr{Mode: proto.S_IFLNK, Target: "there"}))
	if s, err := n.Target(); s != "there" || err != nil || n.Stat().Size != 5 || n.Stat().Mode != proto.S_IFLNK|0o644 {
		t.Error(s, err, n.Stat())
	}
	must(0, n.SetKind(Attr{Mode: proto.S_IFCHR, Rdev: Device(1, 3)}))
	if s := n.Stat(); s.Rdev != 0x103 || f.Usage().Bytes != 0 {
		t.Error(s)
	}
	_, err := n.Target()
	wantErr(t, "target of a device", err, proto.EINVAL)
	_, err = n.ReadAt(make([]byte, 1), 0)
	wantErr(t, "read a device", err, proto.EINVAL)
	wantErr(t, "a directory", f.Root().SetKind(Attr{Mode: proto.S_IFIFO}), proto.EINVAL)
	_, err = f.Root().ReadAt(make([]byte, 1), 0)
	wantErr(t, "read a directory", err, proto.EISDIR)
	must(0, n.SetTranslator([]byte("/hurd/hello\x00")))
	if string(n.Translator()) != "/hurd/hello\x00" || !n.Stat().Translator {
		t.Error("translator")
	}
	wantErr(t, "a long record", n.SetTranslator(make([]byte, MaxTranslator+1)), proto.ENAMETOOLONG)
	freed := 0
	f.cfg.Freed = func(ino uint64, aux any) {
		if ino == n.Ino() && aux == "aux" {
			freed++
		}
	}
	n.Aux(func() any { return "aux" })
	n.Release()
	if freed != 1 || f.Usage().Bytes != 0 {
		t.Error("not freed")
	}
}

// TestReadWhileChanging: who reads a directory slot by slot while it changes
// sees nothing twice and misses nothing that is there all the time.
func TestReadWhileChanging(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := New(Config{MaxBytes: 1 << 20, MaxInodes: 1000})
		root := f.Root()
		names := rapid.SampledFrom(strings.Split("a b c d e f g h i j k l", " "))
		for _, name := range rapid.SliceOf(names).Draw(t, "at first") {
			if n, err := root.Create(name, reg(0)); err == nil {
				n.Release()
			}
		}
		stays := map[uint64]bool{}
		for _, e := range must(root.Entries(2, 1000)) {
			if e.Ino != 0 {
				stays[e.Ino] = true
			}
		}
		seen := map[uint64]int{}
		for at := 0; ; {
			e, err := root.Entries(at, rapid.IntRange(1, 4).Draw(t, "slots"))
			if err != nil {
				t.Fatal(err)
			}
			if len(e) == 0 {
				break
			}
			at += len(e)
			for _, e := range e {
				if e.Ino != 0 {
					seen[e.Ino]++
				}
			}
			if at > 100 {
				break
			}
			for range rapid.IntRange(0, 5).Draw(t, "changes") {
				name := names.Draw(t, "name")
				n, _ := root.Lookup(name)
				switch rapid.IntRange(0, 2).Draw(t, "change") {
				case 0:
					if n, err := root.Create(name, reg(0)); err == nil {
						n.Release()
					}
				case 1:
					if n != nil {
						delete(stays, n.Ino())
					}
					root.Unlink(name)
				case 2:
					to := names.Draw(t, "to")
					if o, _ := root.Lookup(to); o != nil && o != n && n != nil {
						// What is replaced is gone; what moves to its place
						// may be seen twice or not at all.
						delete(stays, o.Ino())
						delete(stays, n.Ino())
						seen[n.Ino()] = -100
						o.Release()
					}
					root.Rename(name, root, to, false)
				}
				if n != nil {
					n.Release()
				}
			}
		}
		for ino, k := range seen {
			if k > 1 && ino != root.Ino() {
				t.Fatalf("inode %d seen %d times", ino, k)
			}
		}
		for ino := range stays {
			if seen[ino] != 1 && seen[ino] > -50 {
				t.Fatalf("inode %d stayed and was seen %d times", ino, seen[ino])
			}
		}
		if err := f.check(); err != nil {
			t.Fatal(err)
		}
	})
}
