package coherence

import (
	"iter"
	"maps"
	"slices"
	"unsafe"
)

// A holder is a client that has a page: its slot, and how.
type holder uint16

const (
	holdsWrite holder = 1 // for writing
	holdsMaybe holder = 2 // more may be under way than it has asked for (G6)
	slotShift         = 2
	maxClients        = 1 << (16 - slotShift)
)

func (h holder) slot() int { return int(h >> slotShift) }

// A holding is who has a page: sorted by slot. Pages share holdings.
type holding []holder

// key is the holding as a key of a map, for as long as it is not changed.
func (h holding) key() string {
	if len(h) == 0 {
		return ""
	}
	return unsafe.String((*byte)(unsafe.Pointer(&h[0])), len(h)*int(unsafe.Sizeof(h[0])))
}

func (h holding) find(slot int) (int, bool) {
	return slices.BinarySearchFunc(h, slot, func(x holder, slot int) int { return x.slot() - slot })
}

// of returns how a client holds.
func (h holding) of(c *client) (x holder, ok bool) {
	i, ok := h.find(c.slot)
	if !ok {
		return 0, false
	}
	return h[i], true
}

// writer returns the slot of the one who holds for writing.
func (h holding) writer() (slot int, ok bool) {
	if len(h) == 1 && h[0]&holdsWrite != 0 { // G1
		return h[0].slot(), true
	}
	return 0, false
}

const chunkPages = 512

// A chunk says for neighbouring pages which holding they have.
type chunk struct {
	used  int
	words [chunkPages]uint32
}

// A holdings is who has which pages: 4 bytes a page that anybody has, and each
// different holding once (B1).
type holdings struct {
	chunks map[int64]*chunk
	kinds  []holdingKind // 0 is nobody
	index  map[string]uint32
	free   []uint32
	buf    holding
}

type holdingKind struct {
	holding
	pages int
}

func newHoldings() holdings {
	return holdings{chunks: make(map[int64]*chunk), kinds: make([]holdingKind, 1), index: make(map[string]uint32)}
}

func (t *holdings) at(page int64) holding {
	c := t.chunks[page/chunkPages]
	if c == nil {
		return nil
	}
	return t.kinds[c.words[page%chunkPages]].holding
}

// set changes how a slot holds a page; how must have the slot. It returns whether
// the slot did not hold it before.
func (t *holdings) set(page int64, how holder) (added bool) {
	old := t.at(page)
	i, found := old.find(how.slot())
	if found && old[i] == how {
		return false
	}
	t.buf = append(t.buf[:0], old...)
	if found {
		t.buf[i] = how
	} else {
		t.buf = slices.Insert(t.buf, i, how)
	}
	t.put(page, t.buf)
	return !found
}

// remove takes a slot from a page, and returns whether it held it.
func (t *holdings) remove(page int64, slot int) bool {
	old := t.at(page)
	i, found := old.find(slot)
	if !found {
		return false
	}
	t.buf = append(t.buf[:0], old...)
	t.put(page, slices.Delete(t.buf, i, i+1))
	return true
}

func (t *holdings) put(page int64, h holding) {
	n := page / chunkPages
	c := t.chunks[n]
	if c == nil {
		c = new(chunk)
		t.chunks[n] = c
	}
	w := &c.words[page%chunkPages]
	old := *w
	*w = t.intern(h)
	t.release(old)
	if old == 0 {
		c.used++
	}
	if *w == 0 {
		if c.used--; c.used == 0 {
			if delete(t.chunks, n); len(t.chunks) == 0 { // maps do not shrink
				t.chunks = make(map[int64]*chunk)
			}
		}
	}
}

func (t *holdings) intern(h holding) uint32 {
	if len(h) == 0 {
		return 0
	}
	k, ok := t.index[h.key()]
	if !ok {
		if n := len(t.free); n > 0 {
			k, t.free = t.free[n-1], t.free[:n-1]
		} else {
			k = uint32(len(t.kinds))
			t.kinds = append(t.kinds, holdingKind{})
		}
		h = slices.Clone(h)
		t.kinds[k] = holdingKind{holding: h}
		t.index[h.key()] = k
	}
	t.kinds[k].pages++
	return k
}

func (t *holdings) release(k uint32) {
	if k == 0 {
		return
	}
	x := &t.kinds[k]
	if x.pages--; x.pages > 0 {
		return
	}
	delete(t.index, x.key())
	*x = holdingKind{}
	if len(t.index) == 0 { // B2
		t.kinds, t.index, t.free = make([]holdingKind, 1), make(map[string]uint32), nil
		return
	}
	t.free = append(t.free, k)
}

// in returns the pages of a range that somebody has, in order, and who. They may be
// changed meanwhile.
func (t *holdings) in(r Range) iter.Seq2[int64, holding] {
	return func(yield func(int64, holding) bool) {
		if r.N <= 0 || len(t.chunks) == 0 {
			return
		}
		first, last := r.First/chunkPages, (r.End()-1)/chunkPages
		visit := func(n int64) bool {
			c := t.chunks[n]
			if c == nil {
				return true
			}
			for i := max(0, r.First-n*chunkPages); i < min(chunkPages, r.End()-n*chunkPages); i++ {
				if k := c.words[i]; k != 0 && !yield(n*chunkPages+i, t.kinds[k].holding) {
					return false
				}
			}
			return true
		}
		if last-first < int64(len(t.chunks)) {
			for n := first; n <= last; n++ {
				if !visit(n) {
					return
				}
			}
			return
		}
		for _, n := range slices.Sorted(maps.Keys(t.chunks)) {
			if n >= first && n <= last && !visit(n) {
				return
			}
		}
	}
}

func (t *holdings) clone() holdings {
	x := holdings{chunks: make(map[int64]*chunk, len(t.chunks)), kinds: slices.Clone(t.kinds), index: maps.Clone(t.index), free: slices.Clone(t.free)}
	for n, c := range t.chunks {
		y := *c
		x.chunks[n] = &y
	}
	return x
}
