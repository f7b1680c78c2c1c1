package simulation

import (
	"slices"
	"testing"
)

// What a failure does not need is left out, in order.
func TestShrink(t *testing.T) {
	var ops []int
	for i := range 100 {
		ops = append(ops, i)
	}
	fails := func(ops []int) bool {
		return slices.Contains(ops, 17) && slices.Contains(ops, 18) && slices.Contains(ops, 93)
	}
	if got := Shrink(ops, fails); !slices.Equal(got, []int{17, 18, 93}) {
		t.Errorf("%v", got)
	}
	if got := Shrink(ops, func(ops []int) bool { return len(ops) >= 100 }); len(got) != 100 {
		t.Errorf("%d of 100 are left of what is needed altogether", len(got))
	}
}

// A counter is a world: it can be doubled by itself, and one can be added a number of
// times. It rests from 8 on.
type counter struct {
	n, bad   int
	finished bool
}

func search(most, adds int) *Search[*counter, string, int] {
	return &Search[*counter, string, int]{
		Most:  most,
		Clone: func(c *counter) *counter { d := *c; return &d },
		Do: func(c *counter, op string) bool {
			if op == "double" {
				c.n *= 2
			} else {
				c.n++
			}
			return true
		},
		Failed: func(c *counter) bool { return c.n == c.bad && !c.finished || c.finished && c.n == -c.bad },
		Finish: func(c *counter) { c.finished = true },
		Happening: func(c *counter) []string {
			if c.n == 0 || c.n >= 8 {
				return nil
			}
			return []string{"double"}
		},
		Choose: func(c *counter, used int) []string {
			if used == adds {
				return nil
			}
			return []string{"add"}
		},
		Count: func(used int, op string) int {
			if op == "add" {
				used++
			}
			return used
		},
		AppendState: func(b []byte, c *counter) []byte { return append(b, byte(c.n)) },
	}
}

func TestSearch(t *testing.T) {
	// (number, additions): (0,0) (1,1) (2,1) (2,2) (4,1) (3,2) (4,2) (8,1) (5,2) (6,2) (8,2) (9,2) (10,2) (12,2),
	// of which the first and the last four, and (8,1), are at rest.
	e, w, _ := search(0, 2).Run(&counter{bad: -1})
	if want := (Explored{States: 14, Events: 13, Rests: 6, Depth: 5, All: true}); w != nil || e != want {
		t.Errorf("%+v, failed %v; want %+v", e, w, want)
	}
	e, w, ops := search(0, 2).Run(&counter{bad: 6})
	if w == nil || w.n != 6 || !slices.Equal(ops, []string{"add", "double", "add", "double"}) {
		t.Errorf("%v is not the shortest way to 6: %v", ops, w)
	}
	// At the end of what rests.
	if _, w, ops = search(0, 1).Run(&counter{bad: -8}); w == nil || !slices.Equal(ops, []string{"add", "double", "double", "double"}) {
		t.Errorf("%v is not the way to the end of 8: %v", ops, w)
	}
	if e, _, _ = search(3, 2).Run(&counter{bad: -1}); e.All || e.States < 3 {
		t.Errorf("%+v does not say that it has given up", e)
	}
}
