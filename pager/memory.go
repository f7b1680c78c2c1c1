package pager

import (
	"sync"

	"hurdlab/mach/vmem"
	"hurdlab/pager/coherence"
)

var defaultMemory Memory = vmem.Memory{}

// spare keeps single pages that were given back for those that are needed next: most
// of what moves between kernels is one page at a time, and the kernel's merging of
// neighbouring regions makes memory that comes and goes dear.
type spare struct {
	mem  Memory
	mu   sync.Mutex
	list [][]byte
}

// maxSpare is how many.
const maxSpare = 64

func (s *spare) Alloc(n int) ([]byte, error) {
	if n == PageSize {
		s.mu.Lock()
		if k := len(s.list); k > 0 {
			b := s.list[k-1]
			s.list[k-1] = nil
			s.list = s.list[:k-1]
			s.mu.Unlock()
			clear(b)
			return b, nil
		}
		s.mu.Unlock()
	}
	return s.mem.Alloc(n)
}

func (s *spare) Free(b []byte) {
	if len(b) == PageSize {
		s.mu.Lock()
		if len(s.list) < maxSpare {
			s.list = append(s.list, b)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
	s.mem.Free(b)
}

// A chunk is memory of pages that came together, and can go away together.
type chunk struct {
	mem   []byte
	pages []page
	left  int // pages that are not given back
}

// A page is what package coherence knows as data.
type page struct {
	chunk *chunk
	bytes []byte
}

// newChunk takes memory of n pages.
func newChunk(mem []byte) *chunk {
	c := &chunk{mem: mem, pages: make([]page, len(mem)/PageSize)}
	for i := range c.pages {
		c.pages[i] = page{c, mem[i*PageSize : (i+1)*PageSize : (i+1)*PageSize]}
	}
	c.left = len(c.pages)
	return c
}

// data returns the pages for package coherence.
func (c *chunk) data() []coherence.Data {
	list := make([]coherence.Data, len(c.pages))
	for i := range list {
		list[i] = &c.pages[i]
	}
	return list
}

// discard gives back a page.
func (o *Object) discard(p *page) {
	if p.chunk.left--; p.chunk.left == 0 {
		o.pager.memory.Free(p.chunk.mem)
	}
}

// gather returns the bytes of pages in memory that can be given away. If final, the
// pages are given back.
func (o *Object) gather(data []coherence.Data, final bool) ([]byte, error) {
	first := data[0].(*page)
	if c := first.chunk; final && len(data) == len(c.pages) && c.left == len(data) && first == &c.pages[0] {
		whole := true
		for i := range data {
			whole = whole && data[i].(*page) == &c.pages[i]
		}
		if whole {
			return c.mem, nil
		}
	}
	b, err := o.pager.memory.Alloc(len(data) * PageSize)
	for i, d := range data {
		p := d.(*page)
		if err == nil {
			copy(b[i*PageSize:], p.bytes)
		}
		if final {
			o.discard(p)
		}
	}
	return b, err
}
