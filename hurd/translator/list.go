package translator

import (
	"context"
	"sync"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
)

// maxListed bounds the entries that are kept for clients that read
// directories. Beyond, each call reads the directory anew, and names that come
// and go disturb the others.
const maxListed = 1 << 18

// A listing is what a client reads through of a directory: taken when it
// begins at the first entry.
type listing struct {
	mu      sync.Mutex
	entries []Dirent
	kept    bool
}

// drop forgets the entries. The caller has l.mu, or l is nobody's any more.
func (l *listing) drop(fs *FS) {
	if l.kept {
		fs.listed.Add(-int64(len(l.entries)))
	}
	l.entries, l.kept = nil, false
}

// from returns the entries from an index on.
func (l *listing) from(ctx context.Context, p *protid, dir Dir, first int) ([]Dirent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries := l.entries
	if first == 0 || !l.kept {
		l.drop(p.fs)
		list, err := dir.ReadDir(ctx)
		if err != nil {
			return nil, err
		}
		entries = make([]Dirent, 2, 2+len(list))
		if entries[0], entries[1], err = p.dots(ctx); err != nil {
			return nil, err
		}
		entries = append(entries, list...)
		if n := int64(len(entries)); p.fs.listed.Add(n) <= maxListed {
			l.entries, l.kept = entries, true
		} else {
			p.fs.listed.Add(-n)
		}
	}
	if first >= len(entries) {
		l.drop(p.fs) // the client is at the end
		return nil, nil
	}
	return entries[first:], nil
}

// dots returns the entries "." and "..".
func (p *protid) dots(ctx context.Context) (self, up Dirent, err error) {
	n := p.open.node
	st, err := n.Stat(ctx)
	if err != nil {
		return self, up, err
	}
	self = Dirent{Name: ".", Ino: st.Ino, Type: proto.S_IFDIR}
	up = Dirent{Name: "..", Ino: st.Ino, Type: proto.S_IFDIR}
	if p.open.origin.top(n.Node, p.fs.root) {
		return self, up, nil
	}
	if parent, own, err := n.parent(ctx, p.open.at.place); err == nil {
		if st, err := parent.Stat(ctx); err == nil {
			up.Ino = st.Ino
		}
		if own {
			release(parent)
		}
	}
	return self, up, nil
}

// parent returns what ".." is of a directory that is not the root, and whether
// the reference is the caller's.
func (n *node) parent(ctx context.Context, at *place) (parent Node, own bool, err error) {
	if x, ok := n.Node.(Parent); ok {
		parent, err = x.Parent(ctx)
		return parent, err == nil, err
	}
	if at != nil && at.up != nil {
		return at.up.node, false, nil
	}
	return n.fs.root.Node, false, nil
}

// DirReaddir lists the directory from an entry on: at most nentries if that is
// not negative, and at most bufsiz bytes if that is not 0.
func (p *protid) DirReaddir(ctx context.Context, entry, nentries int32, bufsiz uint64) ([]byte, int32, error) {
	dir, _, err := p.open.node.dir(ctx)
	if err != nil {
		return nil, 0, err
	}
	if p.open.how&mayRead == 0 {
		return nil, 0, proto.EBADF
	}
	if entry < 0 {
		return nil, 0, proto.EINVAL
	}
	entries, err := p.open.list.from(ctx, p, dir, int(entry))
	if err != nil {
		return nil, 0, err
	}
	if bufsiz == 0 || bufsiz > maxHeapRead {
		bufsiz = maxHeapRead
	}
	var b []byte
	n := 0
	for _, e := range entries {
		if nentries >= 0 && n >= int(nentries) {
			break
		}
		d := hurd.Dirent{Name: e.Name, Ino: e.Ino, Type: uint8(e.Type & proto.S_IFMT >> 12)} // the DT constants
		if len(b)+d.Size() > int(bufsiz) {
			if n == 0 {
				return nil, 0, proto.EINVAL // no entry would ever fit
			}
			break
		}
		b = hurd.AppendDirent(b, d)
		n++
	}
	return b, int32(n), nil
}
