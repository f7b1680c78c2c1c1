package memfs

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hurdlab/hurd/proto"
)

// A model is what a file system is thought to be: files that are byte slices,
// directories that are maps.
type model struct {
	data   []byte
	names  map[string]*model // of a directory
	target string
	links  int
}

func (m *model) within(d *model) bool {
	if m == d {
		return true
	}
	for _, c := range d.names {
		if m.within(c) {
			return true
		}
	}
	return false
}

func compare(n *Inode, m *model, path string) error {
	s := n.Stat()
	switch {
	case m.names != nil:
		dirs := 0
		for name, c := range m.names {
			if c.names != nil {
				dirs++
			}
			child, err := n.Lookup(name)
			if err != nil {
				return fmt.Errorf("%s/%s: %v", path, name, err)
			}
			err = compare(child, c, path+"/"+name)
			child.Release()
			if err != nil {
				return err
			}
		}
		if n.Len() != len(m.names) || int(s.Nlink) != 2+dirs {
			return fmt.Errorf("%s: %d entries and %d links, want %d and %d", path, n.Len(), s.Nlink, len(m.names), 2+dirs)
		}
	case m.target != "":
		if t, err := n.Target(); t != m.target || err != nil {
			return fmt.Errorf("%s: %q %v", path, t, err)
		}
	default:
		b := make([]byte, len(m.data)+10)
		k, err := n.ReadAt(b, 0)
		if err != io.EOF || !bytes.Equal(b[:k], m.data) {
			return fmt.Errorf("%s: %d bytes, %v, want %d", path, k, err, len(m.data))
		}
	}
	if m.names == nil && int(s.Nlink) != m.links {
		return fmt.Errorf("%s: %d links, want %d", path, s.Nlink, m.links)
	}
	return nil
}

// TestModel does random things to a file system and to a model of it.
func TestModel(t *testing.T) {
	store := bytes.Repeat([]byte("the backing store of a file\n"), 2000)
	rapid.Check(t, func(t *rapid.T) {
		mem := new(counting)
		f := New(Config{Memory: mem, MaxBytes: 1 << 20, MaxInodes: 1000})
		root := &model{names: map[string]*model{}}
		type open struct {
			n *Inode
			m *model
		}
		dirs := []open{{f.Root(), root}}
		files := []open{}
		name := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		dir := func() open { return dirs[rapid.IntRange(0, len(dirs)-1).Draw(t, "dir")] }
		same := func(what string, got, want error) {
			if got != want {
				t.Fatalf("%s: %v, want %v", what, got, want)
			}
		}
		removed := map[*model]bool{}
		steps := rapid.IntRange(1, 60).Draw(t, "steps")
		for range steps {
			d, nm := dir(), name.Draw(t, "name")
			old := d.m.names[nm]
			op := rapid.SampledFrom(strings.Fields("create mkdir symlink backed write write size size unlink rmdir rename rename link anonymous close")).Draw(t, "op")
			switch op {
			case "create", "mkdir", "symlink", "backed":
				a, m := reg(0o644), &model{links: 1}
				switch op {
				case "mkdir":
					a, m.names = dirAttr, map[string]*model{}
				case "symlink":
					a, m.target = Attr{Mode: proto.S_IFLNK | 0o777, Target: nm + "/x"}, nm+"/x"
				}
				n, err := d.n.Create(nm, a)
				switch {
				case removed[d.m]:
					same(op, err, proto.ENOENT)
				case old != nil:
					same(op, err, proto.EEXIST)
				default:
					same(op, err, nil)
					d.m.names[nm] = m
					switch op {
					case "mkdir":
						dirs = append(dirs, open{n, m})
					case "symlink":
						n.Release()
					case "backed":
						off := rapid.IntRange(0, 5000).Draw(t, "offset")
						size := rapid.IntRange(0, 4*PageSize).Draw(t, "size")
						same(op, n.SetBacking(bytes.NewReader(store), int64(off), int64(size)), nil)
						m.data = bytes.Clone(store[off : off+size])
						fallthrough
					default:
						files = append(files, open{n, m})
					}
				}
			case "anonymous":
				files = append(files, open{must(f.Anonymous(reg(0o600))), new(model)})
			case "write", "size", "close", "link":
				if len(files) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(files)-1).Draw(t, "file")
				o := files[i]
				at := rapid.IntRange(0, 5*PageSize).Draw(t, "at")
				switch op {
				case "write":
					b := bytes.Repeat([]byte{byte(at)}, rapid.IntRange(1, 2*PageSize+1).Draw(t, "bytes"))
					k, err := o.n.WriteAt(b, int64(at))
					same(op, err, nil)
					if k != len(b) {
						t.Fatalf("wrote %d of %d", k, len(b))
					}
					if grow := at + len(b) - len(o.m.data); grow > 0 {
						o.m.data = append(o.m.data, make([]byte, grow)...)
					}
					copy(o.m.data[at:], b)
				case "size":
					same(op, o.n.SetSize(int64(at)), nil)
					if at < len(o.m.data) {
						o.m.data = o.m.data[:at:at]
					} else {
						o.m.data = append(o.m.data, make([]byte, at-len(o.m.data))...)
					}
				case "close":
					o.n.Release()
					files = slices.Delete(files, i, i+1)
				case "link":
					excl := rapid.Bool().Draw(t, "excl")
					err := d.n.Link(nm, o.n, excl)
					switch {
					case removed[d.m]:
						same(op, err, proto.ENOENT)
					case old != nil && excl:
						same(op, err, proto.EEXIST)
					case old == o.m:
						same(op, err, nil)
					case old != nil && old.names != nil:
						same(op, err, proto.EISDIR)
					default:
						same(op, err, nil)
						if old != nil {
							old.links--
						}
						d.m.names[nm] = o.m
						o.m.links++
					}
				}
			case "unlink":
				err := d.n.Unlink(nm)
				switch {
				case old == nil:
					same(op, err, proto.ENOENT)
				case old.names != nil:
					same(op, err, proto.EPERM)
				default:
					same(op, err, nil)
					old.links--
					delete(d.m.names, nm)
				}
			case "rmdir":
				err := d.n.Rmdir(nm)
				switch {
				case old == nil:
					same(op, err, proto.ENOENT)
				case old.names == nil:
					same(op, err, proto.ENOTDIR)
				case len(old.names) > 0:
					same(op, err, proto.ENOTEMPTY)
				default:
					same(op, err, nil)
					removed[old] = true
					delete(d.m.names, nm)
				}
			case "rename":
				to, nm2 := dir(), name.Draw(t, "to")
				src, dst := old, to.m.names[nm2]
				err := d.n.Rename(nm, to.n, nm2, false)
				switch {
				case removed[to.m], src == nil:
					same(op, err, proto.ENOENT)
				case src.names != nil && to.m.within(src):
					same(op, err, proto.EINVAL)
				case src == dst:
					same(op, err, nil)
				case dst != nil && src.names != nil && dst.names == nil:
					same(op, err, proto.ENOTDIR)
				case dst != nil && src.names == nil && dst.names != nil:
					same(op, err, proto.EISDIR)
				case dst != nil && len(dst.names) > 0:
					same(op, err, proto.ENOTEMPTY)
				default:
					same(op, err, nil)
					delete(d.m.names, nm)
					to.m.names[nm2] = src
					if dst != nil {
						dst.links--
						removed[dst] = dst.names != nil
					}
				}
			}
			if err := f.check(); err != nil {
				t.Fatalf("after %s: %v", op, err)
			}
		}
		if err := compare(dirs[0].n, root, ""); err != nil {
			t.Fatal(err)
		}
		for _, o := range files {
			if err := compare(o.n, o.m, "open"); err != nil {
				t.Fatal(err)
			}
		}
		// Everything goes: nothing is left.
		for _, o := range append(dirs[1:], files...) {
			o.n.Release()
		}
		if err := empty(dirs[0].n); err != nil {
			t.Fatal(err)
		}
		if u := f.Usage(); u.Bytes != 0 || u.Inodes != 1 || mem.slabs > 1 {
			t.Fatalf("left: %+v, %d slabs", u, mem.slabs)
		}
	})
}

func empty(d *Inode) error {
	list, err := d.Entries(2, 1<<20)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Ino == 0 {
			continue
		}
		if e.Mode&proto.S_IFMT != proto.S_IFDIR {
			if err := d.Unlink(e.Name); err != nil {
				return err
			}
			continue
		}
		c, err := d.Lookup(e.Name)
		if err == nil {
			err = empty(c)
			c.Release()
		}
		if err == nil {
			err = d.Rmdir(e.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
