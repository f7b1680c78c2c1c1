package memfs

import (
	"io"

	"hurdlab/hurd/proto"
)

// contents are the contents of a regular file: pages of its own where it was
// written, elsewhere what the backing store has, elsewhere zeros. Own pages
// are zero beyond the end of the file.
type contents struct {
	size   int64
	leaves map[int64]*leaf // own pages, by index/leafPages
	own    int             // how many
	// overBase is how many of them cover a page of the backing store.
	overBase int

	base             io.ReaderAt
	baseOff, baseLen int64 // baseLen only shrinks
}

// A leaf is a row of pages.
type leaf struct {
	n     int
	pages [leafPages]page
}

const leafPages = 64

func (c *contents) page(i int64) []byte {
	if l := c.leaves[i/leafPages]; l != nil {
		return l.pages[i%leafPages].data()
	}
	return nil
}

func (c *contents) set(i int64, p page) {
	l := c.leaves[i/leafPages]
	if l == nil {
		if c.leaves == nil {
			c.leaves = make(map[int64]*leaf)
		}
		l = new(leaf)
		c.leaves[i/leafPages] = l
	}
	l.pages[i%leafPages] = p
	l.n++
	c.own++
	if i*PageSize < c.baseLen {
		c.overBase++
	}
}

// readPage fills b with what page i has from offset in on, in the page. It
// does not look at the size.
func (c *contents) readPage(i int64, in int, b []byte) error {
	if p := c.page(i); p != nil {
		copy(b, p[in:])
		return nil
	}
	at := i*PageSize + int64(in)
	n := int(max(0, min(c.baseLen-at, int64(len(b)))))
	clear(b[n:])
	if n == 0 {
		return nil
	}
	if k, err := c.base.ReadAt(b[:n], c.baseOff+at); k < n {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return ioError(err)
	}
	return nil
}

// ownPage returns page i as one of the file's own. fill says that it must have
// what the page had before.
func (n *Inode) ownPage(i int64, fill bool) ([]byte, error) {
	c := &n.file
	if p := c.page(i); p != nil {
		return p, nil
	}
	if !n.fs.room() {
		return nil, proto.ENOSPC
	}
	p, err := n.fs.pool.get()
	if err != nil {
		return nil, proto.ENOSPC
	}
	if fill && i*PageSize < c.baseLen {
		if err := c.readPage(i, 0, p.data()); err != nil {
			n.fs.pool.put(p)
			return nil, err
		}
	}
	c.set(i, p)
	return p.data(), nil
}

// truncatePages frees what is beyond size.
func (n *Inode) truncatePages(size int64) {
	c := &n.file
	first := (size + PageSize - 1) / PageSize // the first page to go
	for k, l := range c.leaves {
		if (k+1)*leafPages <= first {
			continue
		}
		for j := range l.pages {
			i := k*leafPages + int64(j)
			if i < first || l.pages[j].data() == nil {
				continue
			}
			n.fs.pool.put(l.pages[j])
			l.pages[j] = page{}
			l.n--
			c.own--
			if i*PageSize < c.baseLen {
				c.overBase--
			}
		}
		if l.n == 0 {
			delete(c.leaves, k)
		}
	}
	if in := size % PageSize; in != 0 {
		if p := c.page(size / PageSize); p != nil {
			clear(p[in:])
		}
	}
	if size < c.baseLen {
		c.baseLen = size
		if size == 0 {
			c.base = nil
		}
	}
}

// blocks counts the blocks of 512 bytes that n takes, here or in the backing
// store.
func (n *Inode) blocks() int64 {
	c := &n.file
	base := (c.baseLen+PageSize-1)/PageSize - int64(c.overBase)
	return (base + int64(c.own)) * (PageSize / 512)
}

// Size returns the size of a regular file, in bytes.
func (n *Inode) Size() int64 {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	return n.file.size
}

// ReadAt reads from a regular file, like [io.ReaderAt]. It leaves the time of
// access to [Inode.Accessed].
func (n *Inode) ReadAt(b []byte, off int64) (int, error) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if err := n.regular(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, proto.EINVAL
	}
	if off >= n.file.size {
		return 0, io.EOF
	}
	short := int64(len(b)) > n.file.size-off
	if short {
		b = b[:n.file.size-off]
	}
	done := 0
	for done < len(b) {
		at := off + int64(done)
		in := int(at % PageSize)
		part := b[done:min(len(b), done+PageSize-in)]
		if err := n.file.readPage(at/PageSize, in, part); err != nil {
			return done, err
		}
		done += len(part)
	}
	if short {
		return done, io.EOF
	}
	return done, nil
}

func (n *Inode) regular() error {
	switch n.kind() {
	case proto.S_IFREG:
		return nil
	case proto.S_IFDIR:
		return proto.EISDIR
	}
	return proto.EINVAL
}

// WriteAt writes to a regular file, like [io.WriterAt]. If there is no room for
// all, it writes what there is room for.
func (n *Inode) WriteAt(b []byte, off int64) (int, error) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	return n.write(b, off)
}

// Append is [Inode.WriteAt] at the end of the file; it returns where that
// was.
func (n *Inode) Append(b []byte) (int, int64, error) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	off := n.file.size
	done, err := n.write(b, off)
	return done, off, err
}

func (n *Inode) write(b []byte, off int64) (int, error) {
	if err := n.regular(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, proto.EINVAL
	}
	if len(b) == 0 {
		return 0, nil
	}
	if off >= MaxSize {
		return 0, proto.EFBIG
	}
	var err error
	if int64(len(b)) > MaxSize-off {
		b, err = b[:MaxSize-off], proto.EFBIG
	}
	done := 0
	for done < len(b) {
		at := off + int64(done)
		in := int(at % PageSize)
		part := b[done:min(len(b), done+PageSize-in)]
		p, perr := n.ownPage(at/PageSize, len(part) < PageSize)
		if perr != nil {
			err = perr
			break
		}
		copy(p[in:], part)
		done += len(part)
	}
	if done > 0 {
		n.file.size = max(n.file.size, off+int64(done))
		n.modified()
	}
	return done, err
}

func (n *Inode) modified() { n.mtime = n.fs.now(); n.ctime = n.mtime }

// WriteBack writes a page that was changed in memory, at off, a multiple of
// [PageSize]: what is beyond the end of the file is lost.
func (n *Inode) WriteBack(b []byte, off int64) error {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if b = b[:max(0, min(int64(len(b)), n.file.size-off))]; len(b) == 0 {
		return nil
	}
	_, err := n.write(b, off)
	return err
}

// Reserve sees to it that the page at off can be written later: that it is
// there.
func (n *Inode) Reserve(off int64) error {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if off >= n.file.size {
		return proto.EINVAL
	}
	_, err := n.ownPage(off/PageSize, true)
	return err
}

// Owned reports whether the page at off is the file's own, so that writing it
// takes no memory.
func (n *Inode) Owned(off int64) bool {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	return n.file.page(off/PageSize) != nil
}

// SetSize gives a regular file a size; what is added is zeros that take no
// memory.
func (n *Inode) SetSize(size int64) error {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if err := n.regular(); err != nil {
		return err
	}
	switch {
	case size < 0:
		return proto.EINVAL
	case size > MaxSize:
		return proto.EFBIG
	case size < n.file.size:
		n.truncatePages(size)
	}
	n.file.size = size
	n.modified()
	return nil
}
