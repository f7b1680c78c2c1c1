package coherence

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestClone checks that a clone has the state of its original, and that neither
// changes with the other.
func TestClone(t *testing.T) {
	o := New(Config{Pages: 8, Cluster: 2, Hold: 5, Answer: 100, Reserve: true})
	a, _ := o.Attach(false)
	b, _ := o.Attach(false)
	o.Request(a, Range{0, 4}, Write)
	for n := range int64(4) {
		o.Reserved(n, nil)
		o.Loaded(Range{n, 1}, []Data{n}, nil)
	}
	o.Request(b, Range{0, 2}, Read)
	o.Returned(a, 1, []Data{"x"}, true, true)
	o.Take(1, Range{1, 5}, Write)
	o.Sync(2, Range{0, 8})
	o.Request(b, Range{5, 1}, Read)
	o.Tick(5)
	before := o.Dump()
	c := o.Clone()
	if got := c.Dump(); got != before {
		t.Errorf("clone\n%swant\n%s", got, before)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	c.Gone(a)
	c.Stored(Range{0, 8}, nil)
	c.Gone(b)
	c.Release(1)
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if got := o.Dump(); got != before {
		t.Errorf("after a change of the clone\n%swant\n%s", got, before)
	}
	if err := o.Check(); err != nil {
		t.Error(err)
	}
}

// TestMemory checks that an object of 4 GB with 8 clients costs no more than 16 bytes a
// page when it is at rest (B1), and nothing when they have gone (B2).
func TestMemory(t *testing.T) {
	const pages = 1 << 20
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	o := New(Config{Pages: pages, Cluster: 64, ReadAhead: 256, Hold: 5})
	rnd := rand.New(rand.NewPCG(1, 2))
	var clients []Client
	var data [256]Data
	for i := range data {
		data[i] = i
	}
	act := func() {
		for {
			acts := o.Actions()
			if len(acts) == 0 {
				return
			}
			for _, a := range acts {
				switch a := a.(type) {
				case Load:
					o.Loaded(a.Range, data[:a.Range.N], nil)
				case Lock:
					if a.Reply {
						o.LockCompleted(a.Client, a.Range)
					}
				}
			}
		}
	}
	now := Tick(0)
	for i := range 8 {
		c, err := o.Attach(false)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
		// The first reads all, the others what they like.
		for n := int64(0); n < pages; n += 64 {
			if i == 0 || rnd.IntN(8) == 0 {
				o.Request(c, Range{n, 1}, Read)
				act()
			}
			now++
			o.Tick(now)
		}
	}
	for range pages / 100 {
		o.Request(clients[rnd.IntN(8)], Range{rnd.Int64N(pages), 1}, Write)
		act()
		now++
		o.Tick(now)
	}
	o.Tick(now + 10)
	act()
	s := o.Stats()
	used := heap() - before
	t.Logf("%+v: %.2f bytes a page", s, float64(used)/pages)
	if used > 16*pages || s.Active > 0 || s.Held < pages*9/10 {
		t.Errorf("%d bytes, %+v", used, s)
	}
	if err := o.Check(); err != nil {
		t.Error(err)
	}
	for _, c := range clients {
		o.Gone(c)
	}
	if used := heap() - before; used > 200_000 || !o.Idle() {
		t.Errorf("%d bytes are left: %+v", used, o.Stats())
	}
	runtime.KeepAlive(o)
}

// BenchmarkFault is what the object costs a page that is asked for, loaded and supplied,
// and one that goes from one writer to another.
func BenchmarkFault(b *testing.B) {
	b.Run("read", func(b *testing.B) {
		o := New(Config{Pages: 1 << 40})
		c, _ := o.Attach(false)
		o.Actions()
		n := int64(0)
		for b.Loop() {
			o.Request(c, Range{n, 1}, Read)
			o.Actions()
			o.Loaded(Range{n, 1}, []Data{n}, nil)
			o.Actions()
			n++
		}
	})
	b.Run("write in turn", func(b *testing.B) {
		o := New(Config{Pages: 1})
		var c [2]Client
		c[0], _ = o.Attach(false)
		c[1], _ = o.Attach(false)
		o.Request(c[1], Range{0, 1}, Write)
		o.Loaded(Range{0, 1}, []Data{0}, nil)
		for i := 0; b.Loop(); i++ {
			o.Request(c[i%2], Range{0, 1}, Write)
			o.Actions()
			o.Returned(c[1-i%2], 0, []Data{i}, true, false)
			o.LockCompleted(c[1-i%2], Range{0, 1})
			o.Actions()
			o.Stored(Range{0, 1}, nil)
			o.Actions()
		}
	})
}
