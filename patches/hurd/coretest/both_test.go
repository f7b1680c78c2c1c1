package coretest

import (
	"errors"
	"flag"
	"math/rand/v2"
	"testing"

	"hurdlab/pager/coherence"
	"hurdlab/pager/coherence/sim"
	"hurdlab/pager/coherence/stories"
)

var (
	opsFlag  = flag.Int("core.ops", 20_000, "operations of TestSimulation and events of TestRandom")
	seedFlag = flag.Uint64("core.seed", 1, "their seed")
)

// TestScripts tells the C core the stories of pager/coherence: all rules, and all faults of
// the first attempt.
func TestScripts(t *testing.T) {
	p := start(t)
	t.Chdir("../../../pager/coherence")
	stories.Run(t, func(c coherence.Config) stories.Core { return newBoth(p, c) })
}

// TestSimulation has both cores serve the model kernels of pager/coherence/sim.
func TestSimulation(t *testing.T) {
	p := start(t)
	done, compared, episodes := 0, 0, 0
	for ; done < *opsFlag; episodes++ {
		var b *both
		n, f := sim.Episode(sim.EpisodeSeed(*seedFlag, episodes), sim.Options{CheckEvery: 4, Change: func(c *sim.Config) {
			c.History = false
			c.Object.Acks, c.Starve = false, 0 // the C core has its kernels not say what they have taken
			c.New = func(c coherence.Config) sim.Core {
				b = newBoth(p, c)
				return b
			}
		}})
		done += n
		compared += b.compared
		if f != nil {
			t.Fatalf("%v\n\nwhat happens:\n%s", f, sim.Explain(f))
		}
		if b.problem != nil {
			t.Fatalf("episode %d: %v", episodes, b.problem)
		}
	}
	t.Logf("%d operations, %d episodes, %d actions", done, episodes, compared)
}

// TestRandom has kernels, a store and a caller that say anything at any time to both.
func TestRandom(t *testing.T) {
	p := start(t)
	broken := []error{errors.New("broken"), errors.New("full")}
	events, compared := 0, 0
	for seed := *seedFlag; events < *opsFlag; seed++ {
		r := rand.New(rand.NewPCG(seed, 9))
		pick := func(x ...int) int { return x[r.IntN(len(x))] }
		b := newBoth(p, coherence.Config{
			Pages: 8, Order: coherence.Order(r.IntN(2)), Cluster: pick(1, 1, 2, 4), ReadAhead: pick(1, 1, 4, 8), Reserve: r.IntN(2) == 0,
			Hold: coherence.Tick(pick(0, 0, 3)), Answer: coherence.Tick(pick(0, 0, 20)),
			Limits: coherence.Limits{Clients: 3, Requests: pick(5, 100), Range: 4, Lock: 3, Unstored: pick(1, 3)},
		})
		var clients []coherence.Client
		var locks []coherence.Lock
		var takes []coherence.Token
		storing := make(map[int64]bool)
		loading := make(map[int64]bool)
		id, now := 0, coherence.Tick(0)
		data := func(n int64) (list []coherence.Data) {
			for range n {
				id++
				list = append(list, id)
			}
			return list
		}
		act := func() {
			for _, a := range b.Actions() {
				switch a := a.(type) {
				case coherence.Lock:
					if a.Reply {
						locks = append(locks, a)
					}
				case coherence.Store:
					for i := range a.Data {
						storing[a.First+int64(i)] = true
					}
				case coherence.Load:
					for i := range a.Range.N {
						loading[a.Range.First+i] = true
					}
				}
			}
			if err := b.Check(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			b.Next()
			if b.problem != nil {
				t.Fatalf("seed %d: %v", seed, b.problem)
			}
		}
		for step := range 400 {
			client := func() coherence.Client {
				if len(clients) == 0 || r.IntN(20) == 0 {
					return coherence.Client(r.IntN(5))
				}
				return clients[max(0, len(clients)-1-r.IntN(4))]
			}
			pages := coherence.Range{First: int64(r.IntN(10)) - 1, N: int64(pick(1, 1, 1, 2, 3, 5))}
			var err error
			if r.IntN(8) == 0 {
				err = broken[r.IntN(2)]
			}
			switch r.IntN(24) {
			case 0:
				if c, err := b.Attach(r.IntN(4) == 0); err == nil {
					clients = append(clients, c)
				}
			case 1:
				if r.IntN(4) == 0 {
					b.Gone(client())
				} else if r.IntN(3) == 0 {
					b.Terminated(client())
				}
			case 2, 3, 4, 5:
				b.Request(client(), pages, coherence.Access(1+2*r.IntN(2)))
			case 6, 7:
				b.Unlock(client(), pages, coherence.Access(r.IntN(4)))
			case 8, 9, 10:
				n := pages.N
				b.Returned(client(), pages.First, data(n), r.IntN(3) > 0, r.IntN(2) == 0)
			case 11, 12, 13, 14:
				if len(locks) > 0 && r.IntN(10) > 0 {
					i := r.IntN(len(locks))
					l := locks[i]
					locks = append(locks[:i], locks[i+1:]...)
					b.LockCompleted(l.Client, l.Range)
				} else {
					b.LockCompleted(client(), pages)
				}
			case 15, 16, 17:
				for n := range loading {
					pages.First = min(pages.First, n)
				}
				if len(loading) > 0 {
					for pages.First = 0; !loading[pages.First]; pages.First++ {
					}
				}
				for n := pages.First; n < pages.End(); n++ {
					delete(loading, n)
				}
				if err != nil {
					b.Loaded(pages, nil, err)
				} else {
					b.Loaded(pages, data(pages.N), nil)
				}
			case 18, 19:
				for n := int64(0); n < 12; n++ {
					if storing[n] && r.IntN(3) > 0 {
						delete(storing, n)
						b.Stored(coherence.Range{First: n, N: 1}, err)
					}
				}
			case 20:
				b.Reserved(pages.First, err)
			case 21:
				now += coherence.Tick(r.IntN(5))
				b.Tick(now)
			case 22:
				id++
				if r.IntN(2) == 0 {
					b.Sync(coherence.Token(id), pages)
				} else if len(takes) < 3 {
					takes = append(takes, coherence.Token(id))
					b.Take(coherence.Token(id), pages, coherence.Access(1+2*r.IntN(2)))
				} else {
					b.Release(takes[0])
					takes = takes[1:]
				}
			case 23:
				switch r.IntN(12) {
				case 0, 1:
					b.Resize(int64(r.IntN(10)))
				case 2:
					b.SetAttributes(coherence.Attributes{MayCache: r.IntN(2) == 0, Copy: int32(r.IntN(4))})
				case 3:
					if step > 300 {
						b.Close(0)
					}
				}
			}
			act()
		}
		for _, c := range clients {
			b.Gone(c)
			act()
		}
		events += b.events
		compared += b.compared
	}
	t.Logf("%d events, %d actions", events, compared)
}
