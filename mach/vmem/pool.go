package vmem

import (
	"math/bits"
	"sync"

	"hurdlab/mach"
)

// A Pool is [Memory] for what comes and goes quickly: some of what is freed is kept, as
// the kernel takes longer to make pages than most do to fill them. What it
// allocates has any content, so it is not to be given to others. The zero Pool keeps
// nothing.
type Pool struct {
	// Keep is the most bytes that are kept.
	Keep int

	mu   sync.Mutex
	free [poolClasses][][]byte // of powers of two of pages
	kept int
	used int
}

// poolClasses is how many sizes are kept: up to 256 KB.
const poolClasses = 7

// pages returns the size in pages that n bytes get, and its class, which is beyond
// poolClasses for what is not kept.
func pages(n int) (size, class int) {
	size = (n + mach.PageSize - 1) / mach.PageSize
	if class = bits.Len(uint(size - 1)); class < poolClasses {
		size = 1 << class
	}
	return size * mach.PageSize, class
}

// Alloc returns n bytes, n > 0, at the start of a page.
func (p *Pool) Alloc(n int) ([]byte, error) {
	size, class := pages(n)
	p.mu.Lock()
	p.used += size
	if class < poolClasses {
		if l := p.free[class]; len(l) > 0 {
			b := l[len(l)-1]
			p.free[class] = l[:len(l)-1]
			p.kept -= size
			p.mu.Unlock()
			return b[:n], nil
		}
	}
	p.mu.Unlock()
	b, err := Memory{}.Alloc(size)
	if err != nil {
		p.mu.Lock()
		p.used -= size
		p.mu.Unlock()
		return nil, err
	}
	return b[:n], nil
}

// Free takes back what Alloc has returned.
func (p *Pool) Free(b []byte) {
	size, class := pages(cap(b))
	p.mu.Lock()
	p.used -= size
	if class < poolClasses && p.kept+size <= p.Keep {
		p.free[class] = append(p.free[class], b[:size])
		p.kept += size
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	Memory{}.Free(b)
}

// PageSize is that of the pages which Give gives away.
func (p *Pool) PageSize() int { return mach.PageSize }

// Give takes back what Alloc has returned, but for the pages that part of it is in,
// which have been given away, or will be.
func (p *Pool) Give(b, part []byte) {
	size, _ := pages(cap(b))
	p.mu.Lock()
	p.used -= size
	p.mu.Unlock()
	first := Addr(part) &^ (mach.PageSize - 1)
	past := (Addr(part) + uintptr(len(part)) + mach.PageSize - 1) &^ (mach.PageSize - 1)
	start, end := Addr(b), Addr(b)+uintptr(size)
	if first > start {
		Memory{}.Free(At(start, int(first-start)))
	}
	if end > past {
		Memory{}.Free(At(past, int(end-past)))
	}
}

// Used is how many bytes are allocated now, and Kept how many are kept besides.
func (p *Pool) Used() (used, kept int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, p.kept
}
