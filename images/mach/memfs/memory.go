package memfs

import "math/bits"

// SlabSize is how much memory is asked for at a time, in bytes.
const SlabSize = slabPages * PageSize

const slabPages = 16

// Memory provides memory for contents.
type Memory interface {
	// Alloc returns SlabSize bytes of zeroed memory at the start of a page.
	Alloc() ([]byte, error)
	// Free gives back what Alloc returned.
	Free(slab []byte)
}

// Heap is Memory from Go's heap, for tests.
type Heap struct{}

// Alloc allocates a slab.
func (Heap) Alloc() ([]byte, error) { return make([]byte, SlabSize), nil }

// Free leaves a slab to the garbage collector.
func (Heap) Free([]byte) {}

// A pool cuts slabs into pages. A slab goes back as soon as none of its pages
// is used, except for one that is kept for the next.
type pool struct {
	mem     Memory
	used    int     // pages
	partial []*slab // that have free pages
}

type slab struct {
	mem  []byte
	free uint16 // pages that are not used
	old  uint16 // pages that have been used, and must be cleared
	at   int    // index in partial, -1 if it is full
}

// A page is PageSize bytes of a slab. The zero page is none.
type page struct {
	s *slab
	i uint8
}

func (p page) data() []byte {
	if p.s == nil {
		return nil
	}
	off := int(p.i) * PageSize
	return p.s.mem[off : off+PageSize : off+PageSize]
}

// get returns a page of zeros.
func (p *pool) get() (page, error) {
	if len(p.partial) == 0 {
		mem, err := p.mem.Alloc()
		if err != nil {
			return page{}, err
		}
		p.add(&slab{mem: mem, free: 1<<slabPages - 1})
	}
	// The last one, because the first may be the empty one that is kept.
	s := p.partial[len(p.partial)-1]
	g := page{s, uint8(bits.TrailingZeros16(s.free))}
	s.free &^= 1 << g.i
	if s.old&(1<<g.i) != 0 {
		clear(g.data())
	}
	s.old |= 1 << g.i
	if s.free == 0 {
		p.remove(s)
	}
	p.used++
	return g, nil
}

// put takes a page back.
func (p *pool) put(g page) {
	s := g.s
	if s.free == 0 {
		p.add(s)
	}
	s.free |= 1 << g.i
	p.used--
	if s.free == 1<<slabPages-1 && len(p.partial) > 1 {
		p.remove(s)
		p.mem.Free(s.mem)
		s.mem = nil
	}
}

func (p *pool) add(s *slab) {
	s.at = len(p.partial)
	p.partial = append(p.partial, s)
}

func (p *pool) remove(s *slab) {
	last := p.partial[len(p.partial)-1]
	p.partial[s.at] = last
	last.at = s.at
	p.partial = p.partial[:len(p.partial)-1]
	s.at = -1
}
