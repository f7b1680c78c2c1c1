package coherence

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzObject has clients, a store and a caller that say anything at any time. Whatever they
// say, the object stays whole, keeps no more than its limits allow, gives back all data, once,
// and has nothing left when the clients have gone.
func FuzzObject(f *testing.F) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		b := make([]byte, 40+rnd.IntN(400))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		f.Add(b)
	}
	fault := errors.New("fault")
	f.Fuzz(func(t *testing.T, script []byte) {
		next := func() byte {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return b
		}
		flags := next()
		c := Config{
			Pages: 8, Cluster: int(flags&3) + 1, ReadAhead: int(flags>>2&7) + 1, Reserve: flags>>5&1 != 0, Order: Order(flags >> 6 & 1), Hold: Tick(flags >> 7),
			Answer: Tick(next() % 20), Limits: Limits{Clients: 3, Requests: 5, Range: 4, Lock: 3, Unstored: 1},
		}
		o := New(c)
		given := make(map[Data]bool) // to the object
		id := 0
		data := func(n int64) (list []Data) {
			for range n {
				id++
				given[id] = true
				list = append(list, id)
			}
			return list
		}
		readOnly := make(map[Client]bool)
		storing := make(map[int64]bool)
		syncs, takes := 0, make(map[Token]bool)
		closed := false
		take := func(d Data, what string) {
			if !given[d] {
				t.Fatalf("%s: %v is not the object's", what, d)
			}
		}
		act := func() {
			for _, a := range o.Actions() {
				switch a := a.(type) {
				case Supply:
					for _, d := range a.Data {
						take(d, "supply")
						if a.Final {
							delete(given, d)
						}
					}
					if readOnly[a.Client] && a.Forbid != ForbidWrite {
						t.Fatalf("%+v to a reader", a)
					}
				case Lock:
					if readOnly[a.Client] && !a.Flush && a.Forbid != ForbidWrite {
						t.Fatalf("%+v to a reader", a)
					}
				case Store:
					for i, d := range a.Data {
						take(d, "store")
						if storing[a.First+int64(i)] {
							t.Fatalf("%+v: it is being stored", a)
						}
						storing[a.First+int64(i)] = true
					}
				case Discard:
					take(a.Data, "discard")
					delete(given, a.Data)
				case Synced:
					syncs--
				case Granted:
					if a.Err != nil {
						delete(takes, a.Token)
					}
				case Closed:
					closed = true
				}
			}
			if err := o.Check(); err != nil {
				t.Fatalf("%v\n%s", err, o.Dump())
			}
			if s := o.Stats(); s.Clients > 3 || s.Waiting > 15 || s.Active > 200 {
				t.Fatalf("%+v", s)
			}
		}
		pages := func() Range {
			b := next()
			return Range{int64(b&15) - 1, int64(b >> 4 & 7)}
		}
		now := Tick(0)
		for len(script) > 0 {
			op := next()
			who := Client(op >> 6)
			r := pages()
			switch op & 15 {
			case 0:
				ro := op>>4&1 != 0
				if c, err := o.Attach(ro); err == nil {
					readOnly[c] = ro
				}
			case 1:
				switch op >> 4 & 3 {
				case 0:
					o.Gone(o.next)
				case 1:
					o.Terminated(o.next)
				}
			case 2, 3:
				o.Request(o.next-who, r, Access(op>>4&3))
			case 4:
				o.Unlock(o.next-who, r, Access(op>>4&3))
			case 5, 6:
				o.Returned(o.next-who, r.First, data(r.N), op>>4&1 != 0, op>>5&1 != 0)
			case 7, 8:
				o.LockCompleted(o.next-who, r)
				if c := o.clients[o.next-who]; c != nil && len(c.locks) > 0 && op>>4&1 != 0 {
					o.LockCompleted(c.id, c.locks[0].r) // one that was asked for
				}
			case 9:
				if op>>4&3 == 0 {
					o.Loaded(r, nil, fault)
				} else {
					o.Loaded(r, data(r.N), nil)
				}
			case 10:
				for n := r.First; n < r.End(); n++ {
					if storing[n] {
						delete(storing, n)
						var err error
						if op>>4&3 == 0 {
							err = fault
						}
						o.Stored(Range{n, 1}, err)
					}
				}
			case 11:
				var err error
				if op>>4&1 == 0 {
					err = fault
				}
				o.Reserved(r.First, err)
			case 12:
				now += Tick(op >> 4)
				o.Tick(now)
				if at, ok := o.Next(); ok && at <= now {
					t.Fatalf("at %d, due at %d", now, at)
				}
			case 13:
				syncs++
				o.Sync(Token(id), r)
			case 14:
				if len(takes) < 4 {
					id++
					takes[Token(id)] = true
					o.Take(Token(id), r, Access(op>>4&3))
				} else {
					for _, k := range slices.Sorted(maps.Keys(takes)) {
						delete(takes, k)
						o.Release(k)
					}
				}
			case 15:
				switch op >> 4 & 7 {
				case 0:
					o.Resize(int64(next() % 12))
				case 1:
					o.SetAttributes(Attributes{MayCache: true})
				case 2:
					o.Close(0)
				}
			}
			act()
		}
		for k := range takes {
			o.Release(k)
			act()
		}
		for id := Client(1); id <= o.next; id++ {
			o.Gone(id)
			act()
		}
		o.Close(0)
		act()
		for n := range storing {
			delete(storing, n)
			o.Stored(Range{n, 1}, nil)
			act()
		}
		o.Loaded(Range{0, 32}, nil, fault)
		for n := range int64(32) {
			o.Reserved(n, nil)
		}
		act()
		for n := range storing {
			delete(storing, n)
			o.Stored(Range{n, 1}, nil)
			act()
		}
		if !closed || syncs != 0 || !o.Idle() || len(given) > 0 {
			t.Fatalf("closed %v, %d syncs, %d data; left:\n%s", closed, syncs, len(given), o.Dump())
		}
	})
}
