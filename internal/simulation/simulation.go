// Package simulation has what the simulators of the sans-IO cores have in common: it
// looks for failures in all orders of events, and makes failures short. What a world is,
// and what may happen in it, the simulators say: netmsg/rights/sim and
// pager/coherence/sim, which only tests and commands of the host import.
package simulation

import (
	"fmt"
	"hash/maphash"
	"slices"
)

// Shrink returns operations that fail, without those that the failure does not need: none of
// them can be left out alone. The operations that it is given must fail.
func Shrink[Op any](ops []Op, fails func([]Op) bool) []Op {
	for size := len(ops) / 2; size >= 1; {
		removed := false
		for i := 0; i < len(ops); {
			shorter := slices.Concat(ops[:i], ops[min(i+size, len(ops)):])
			if fails(shorter) {
				ops, removed = shorter, true
			} else {
				i += size
			}
		}
		if !removed || size > 1 {
			size /= 2
		}
	}
	return ops
}

// Explored says what an exploration has seen.
type Explored struct {
	States int // different ones
	Events int // that led to them or to others seen before
	Rests  int // states in which nothing can happen by itself, each ended as Finish does
	Depth  int // events of the longest shortest way
	All    bool
}

func (e Explored) String() string {
	s := fmt.Sprintf("%d states, %d events, %d ends, depth %d", e.States, e.Events, e.Rests, e.Depth)
	if !e.All {
		s += ", not all"
	}
	return s
}

// A Search tries all orders of what may happen in a world W, the shortest first. Used says
// how much of the bounds has been used on the way; it is written out with each state.
type Search[W, Op, Used any] struct {
	Most int // states to give up after; 0: none

	Clone  func(W) W
	Do     func(W, Op) bool // reports whether it could be done; if not, nothing has changed
	Failed func(W) bool
	Finish func(W) // ends a world that is at rest, and checks what must hold then

	Happening func(W) []Op       // what can happen by itself
	Choose    func(W, Used) []Op // what else may happen
	Count     func(Used, Op) Used

	// AppendState writes all that may make a difference to what can happen later.
	AppendState func([]byte, W) []byte

	states []reached[Op, Used]
	worlds []W // of states that have not been looked at
	hash   maphash.Seed
	seen   map[uint64]struct{}
	buf    []byte
}

// A reached state is known by the way to it.
type reached[Op, Used any] struct {
	parent int32
	depth  int32
	op     Op
	used   Used
}

// Run explores from a world on. If it fails it returns the failed world and the operations
// that lead there, as few as can be.
func (x *Search[W, Op, Used]) Run(begin W) (e Explored, failed W, ops []Op) {
	var none W
	var used Used
	x.hash, x.seen = maphash.MakeSeed(), make(map[uint64]struct{})
	x.states = []reached[Op, Used]{{}}
	x.isNew(begin, used)
	x.worlds = []W{begin}
	for i := 0; i < len(x.states); i++ {
		if x.Most > 0 && len(x.states) >= x.Most {
			e.States = len(x.states)
			return e, none, nil
		}
		s := x.states[i]
		from := x.worlds[i]
		x.worlds[i] = none
		happening := x.Happening(from)
		w, fresh := x.Clone(from), true
		for _, o := range append(x.Choose(from, s.used), happening...) {
			if !fresh {
				w, fresh = x.Clone(from), true
			}
			e.Events++
			if !x.Do(w, o) {
				continue
			}
			if fresh = false; x.Failed(w) {
				return e, w, append(x.path(i), o)
			}
			used := x.Count(s.used, o)
			if x.isNew(w, used) {
				x.states = append(x.states, reached[Op, Used]{parent: int32(i), depth: s.depth + 1, op: o, used: used})
				x.worlds = append(x.worlds, w)
			}
		}
		if len(happening) == 0 {
			e.Rests++
			if !fresh {
				w = x.Clone(from)
			}
			if x.Finish(w); x.Failed(w) {
				return e, w, x.path(i)
			}
		}
		e.Depth = max(e.Depth, int(s.depth))
	}
	e.States, e.All = len(x.states), true
	return e, none, nil
}

// path is the operations that lead to a state.
func (x *Search[W, Op, Used]) path(i int) []Op {
	ops := make([]Op, x.states[i].depth, x.states[i].depth+1)
	for ; i > 0; i = int(x.states[i].parent) {
		ops[x.states[i].depth-1] = x.states[i].op
	}
	return ops
}

// isNew notes a state, and says whether it is a new one.
func (x *Search[W, Op, Used]) isNew(w W, used Used) bool {
	x.buf = fmt.Append(x.buf[:0], used)
	x.buf = x.AppendState(x.buf, w)
	h := maphash.Bytes(x.hash, x.buf)
	if _, ok := x.seen[h]; ok {
		return false
	}
	x.seen[h] = struct{}{}
	return true
}
