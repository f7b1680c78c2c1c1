package memfs

import (
	"strings"

	"hurdlab/hurd/proto"
)

// A directory is a row of slots: see the package's comment. "." and ".." are
// not in it.
type directory struct {
	parent *Inode // nil when the directory is removed
	slot   map[string]int
	slots  []slot
	// holes are slots that were left; those not below len(slots) are gone
	// since.
	holes []int
}

type slot struct {
	name string
	node *Inode // nil for a hole
}

func (d *directory) get(name string) *Inode {
	if i, ok := d.slot[name]; ok {
		return d.slots[i].node
	}
	return nil
}

func (d *directory) add(name string, n *Inode) {
	i := len(d.slots)
	for len(d.holes) > 0 {
		h := d.holes[len(d.holes)-1]
		d.holes = d.holes[:len(d.holes)-1]
		if h < len(d.slots) {
			i = h
			break
		}
	}
	if i == len(d.slots) {
		d.slots = append(d.slots, slot{})
	}
	d.slots[i] = slot{name, n}
	d.slot[name] = i
}

func (d *directory) remove(name string) {
	i := d.slot[name]
	delete(d.slot, name)
	d.slots[i] = slot{}
	if i < len(d.slots)-1 {
		d.holes = append(d.holes, i)
		return
	}
	// Holes at the end are nobody's place.
	for i > 0 && d.slots[i-1].node == nil {
		i--
	}
	clear(d.slots[i:])
	d.slots = d.slots[:i]
	if i == 0 {
		d.slots, d.holes = nil, nil
	}
}

// put puts n in the place of what name names.
func (d *directory) put(name string, n *Inode) { d.slots[d.slot[name]].node = n }

// rename gives an entry another name, and leaves it where it is.
func (d *directory) rename(from, to string) {
	i := d.slot[from]
	delete(d.slot, from)
	d.slots[i].name = to
	d.slot[to] = i
}

// checkName says whether a name can be an entry's.
func checkName(name string) error {
	switch {
	case name == "":
		return proto.ENOENT
	case len(name) > MaxName:
		return proto.ENAMETOOLONG
	case name == "." || name == "..":
		return proto.EINVAL
	case strings.ContainsAny(name, "/\x00"):
		return proto.EINVAL
	}
	return nil
}

// live returns d's directory if names can be added to it. The caller holds mu.
func (d *Inode) live() (*directory, error) {
	switch {
	case d.dir == nil:
		return nil, proto.ENOTDIR
	case d.dir.parent == nil:
		return nil, proto.ENOENT
	}
	return d.dir, nil
}

// Lookup returns the inode of a name in d, held. "." is d, ".." the directory
// above it; the root's is the root.
func (d *Inode) Lookup(name string) (*Inode, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.dir == nil {
		return nil, proto.ENOTDIR
	}
	var n *Inode
	switch {
	case name == ".":
		n = d
	case name == "..":
		n = d.dir.parent
	case len(name) > MaxName:
		return nil, proto.ENAMETOOLONG
	default:
		n = d.dir.get(name)
	}
	if n == nil {
		return nil, proto.ENOENT
	}
	n.refs++
	return n, nil
}

// An Entry is what a slot of a directory has.
type Entry struct {
	Name string
	Ino  uint64 // 0 for a hole
	Mode uint32
}

// Entries returns at most max slots of d from the index first on. Slots 0 and
// 1 are "." and "..". None are left at the end.
func (d *Inode) Entries(first, max int) ([]Entry, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	switch {
	case d.dir == nil:
		return nil, proto.ENOTDIR
	case first < 0:
		return nil, proto.EINVAL
	case d.dir.parent == nil:
		return nil, nil // removed
	}
	end := len(d.dir.slots) + 2
	if first >= end || max <= 0 {
		return nil, nil
	}
	if max < end-first {
		end = first + max
	}
	list := make([]Entry, 0, end-first)
	for i := first; i < end; i++ {
		var e Entry
		switch i {
		case 0:
			e = Entry{".", d.ino, d.mode}
		case 1:
			e = Entry{"..", d.dir.parent.ino, d.dir.parent.mode}
		default:
			if s := d.dir.slots[i-2]; s.node != nil {
				e = Entry{s.name, s.node.ino, s.node.mode}
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// Len returns the number of entries of d besides "." and "..".
func (d *Inode) Len() int {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.dir == nil {
		return 0
	}
	return len(d.dir.slot)
}

// entry counts one more name.
func (f *FS) entry() error {
	if f.names >= 4*f.cfg.MaxInodes {
		return proto.ENOSPC
	}
	f.names++
	return nil
}

// Create makes an inode with a name in d, and returns it held. It fails with
// EEXIST if there is something by that name.
func (d *Inode) Create(name string, a Attr) (*Inode, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	dir, err := d.live()
	if err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		if err == proto.EINVAL && (name == "." || name == "..") {
			err = proto.EEXIST
		}
		return nil, err
	}
	if dir.get(name) != nil {
		return nil, proto.EEXIST
	}
	if a.Mode&proto.S_IFMT == proto.S_IFDIR && d.nlink >= MaxLinks {
		return nil, proto.EMLINK
	}
	if err := d.fs.entry(); err != nil {
		return nil, err
	}
	n, err := d.fs.newInode(a)
	if err != nil {
		d.fs.names--
		return nil, err
	}
	n.nlink = 1
	if n.dir != nil {
		n.dir.parent = d
		n.nlink = 2
		d.nlink++
	}
	dir.add(name, n)
	d.modified()
	return n, nil
}

// Anonymous makes an inode without a name, and returns it held. It is not a
// directory.
func (f *FS) Anonymous(a Attr) (*Inode, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.Mode&proto.S_IFMT == proto.S_IFDIR {
		return nil, proto.EINVAL
	}
	return f.newInode(a)
}

// Link gives n another name, in d. If there is something by that name, Link
// fails with EEXIST if excl is set, and else replaces it.
func (d *Inode) Link(name string, n *Inode, excl bool) error {
	if d.fs != n.fs {
		return proto.EXDEV
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	dir, err := d.live()
	if err != nil {
		return err
	}
	if n.dir != nil {
		return proto.EISDIR
	}
	if err := checkName(name); err != nil {
		if err == proto.EINVAL && (name == "." || name == "..") {
			err = proto.EEXIST
		}
		return err
	}
	old := dir.get(name)
	switch {
	case old != nil && excl:
		return proto.EEXIST
	case old == n:
		return nil
	case old != nil && old.dir != nil:
		return proto.EISDIR
	case n.nlink >= MaxLinks:
		return proto.EMLINK
	case n.nlink == 0 && n.refs == 0:
		return proto.ENOENT // it is gone
	}
	if old != nil {
		dir.put(name, n)
		old.unlinked()
	} else {
		if err := d.fs.entry(); err != nil {
			return err
		}
		dir.add(name, n)
	}
	n.nlink++
	n.ctime = n.fs.now()
	d.modified()
	return nil
}

// unlinked notes that a name of n, not a directory, is gone.
func (n *Inode) unlinked() {
	n.nlink--
	n.ctime = n.fs.now()
	n.settle()
}

// removed notes that n, an empty directory in d, is gone.
func (n *Inode) removed(d *Inode) {
	d.nlink--
	n.dir.parent = nil
	n.nlink = 0
	n.ctime = n.fs.now()
	n.settle()
}

// Unlink removes a name of what is not a directory.
func (d *Inode) Unlink(name string) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.dir == nil {
		return proto.ENOTDIR
	}
	if name == "." || name == ".." {
		return proto.EPERM
	}
	if len(name) > MaxName {
		return proto.ENAMETOOLONG
	}
	n := d.dir.get(name)
	switch {
	case n == nil:
		return proto.ENOENT
	case n.dir != nil:
		return proto.EPERM
	}
	d.dir.remove(name)
	d.fs.names--
	d.modified()
	n.unlinked()
	return nil
}

// Rmdir removes an empty directory.
func (d *Inode) Rmdir(name string) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.dir == nil {
		return proto.ENOTDIR
	}
	switch {
	case name == ".":
		return proto.EINVAL
	case name == "..":
		return proto.ENOTEMPTY
	case len(name) > MaxName:
		return proto.ENAMETOOLONG
	}
	n := d.dir.get(name)
	switch {
	case n == nil:
		return proto.ENOENT
	case n.dir == nil:
		return proto.ENOTDIR
	case len(n.dir.slot) > 0:
		return proto.ENOTEMPTY
	}
	d.dir.remove(name)
	d.fs.names--
	d.modified()
	n.removed(d)
	return nil
}

// Rename moves what from names in d to the name to in toDir, in the place of
// what is there: a file's of a file, an empty directory's of a directory. With
// excl it fails with EEXIST if there is something.
func (d *Inode) Rename(from string, toDir *Inode, to string, excl bool) error {
	if d.fs != toDir.fs {
		return proto.EXDEV
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.dir == nil {
		return proto.ENOTDIR
	}
	dir, err := toDir.live()
	if err != nil {
		return err
	}
	for _, name := range []string{from, to} {
		if err := checkName(name); err != nil {
			return err
		}
	}
	n := d.dir.get(from)
	if n == nil {
		return proto.ENOENT
	}
	if n.dir != nil {
		for p := toDir; ; p = p.dir.parent {
			if p == n {
				return proto.EINVAL // into itself
			}
			if p == p.dir.parent {
				break
			}
		}
	}
	old := dir.get(to)
	switch {
	case old == nil:
		if n.dir != nil && d != toDir && toDir.nlink >= MaxLinks {
			return proto.EMLINK
		}
	case excl:
		return proto.EEXIST
	case old == n:
		return nil // two names of one file, or one name
	case old.dir == nil && n.dir != nil:
		return proto.ENOTDIR
	case old.dir != nil && n.dir == nil:
		return proto.EISDIR
	case old.dir != nil && len(old.dir.slot) > 0:
		return proto.ENOTEMPTY
	}
	switch {
	case old != nil:
		d.dir.remove(from)
		dir.put(to, n)
		d.fs.names--
	case d == toDir:
		dir.rename(from, to)
	default:
		d.dir.remove(from)
		dir.add(to, n)
	}
	if n.dir != nil {
		n.dir.parent = toDir
		d.nlink--
		toDir.nlink++
	}
	if old != nil {
		if old.dir != nil {
			old.removed(toDir)
		} else {
			old.unlinked()
		}
	}
	n.ctime = n.fs.now()
	d.modified()
	toDir.modified()
	return nil
}
