package sim

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"hurdlab/pager/coherence"
)

var (
	opsFlag  = flag.Int("sim.ops", 2_000_000, "operations of TestRandom, if the environment variable PAGER_SIM_OPS does not say how many; 200,000 with -short")
	seedFlag = flag.Uint64("sim.seed", 1, "seed of TestRandom; 0: the time")
)

// TestRandom does random operations in worlds of one to five kernels. See package
// documentation for what it checks.
func TestRandom(t *testing.T) {
	ops, seed := *opsFlag, *seedFlag
	if n, err := strconv.Atoi(os.Getenv("PAGER_SIM_OPS")); err == nil {
		ops = n
	}
	if testing.Short() {
		ops = min(ops, 200_000)
	}
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	start, done, n := time.Now(), 0, 0
	for ; done < ops; n++ {
		k, f := Episode(EpisodeSeed(seed, n), Options{CheckEvery: 16})
		if done += k; f != nil {
			t.Errorf("seed %d, after %d operations: %v", seed, done, f)
			f = Shrink(f)
			t.Fatalf("%v\n\nwhat happens:\n%s\n\nscript, of %d operations:\n%s", f.Violation, Explain(f), len(f.Ops), f.Script())
		}
	}
	t.Logf("seed %d: %d operations, %d episodes, %.0f operations/s", seed, done, n, float64(done)/time.Since(start).Seconds())
}

// generate does n random operations in a world of a seed and returns them.
func generate(seed uint64, n int) (Config, []Op) {
	c, m := Scenario(seed)
	w := NewWorld(c)
	g := &generator{w: w, m: m, rng: rand.New(rand.NewPCG(seed, 1))}
	var ops []Op
	for tries := 0; len(ops) < n && tries < 50*n; tries++ {
		if o := g.op(); w.Do(o) {
			ops = append(ops, o)
		}
	}
	return c, ops
}

// TestScript reads back what operations are written as, and checks that they, and nothing
// else, decide what happens.
func TestScript(t *testing.T) {
	for seed := range uint64(20) {
		c, ops := generate(seed, 300)
		run := func(ops []Op) (log []string) {
			c := c
			c.Trace = func(s string) { log = append(log, s) }
			Replay(c, ops)
			return log
		}
		again, err := ParseScript((&Failure{Ops: ops}).Script())
		if err != nil || len(again) != len(ops) {
			t.Fatal(len(again), len(ops), err)
		}
		a, b := run(ops), run(again)
		for i := range a {
			if i >= len(b) || a[i] != b[i] {
				t.Fatalf("seed %d, line %d: %q and then %q", seed, i, a[i], b[i:min(i+1, len(b))])
			}
		}
	}
}

// explorations are those of CI: some twenty seconds together.
var explorations = []struct {
	kernels int
	pages   int64
	order   coherence.Order
	slow    bool
	cluster int // negative: kernels say when they have taken a supply
	bounds  Bounds
}{
	{3, 2, coherence.FIFO, false, -2, Bounds{Reads: 1, Writes: 1, Evicts: 2}},
	{2, 2, coherence.FIFO, false, -2, Bounds{Reads: 2, Writes: 1, Evicts: 1}},
	{1, 2, coherence.FIFO, true, -2, Bounds{Reads: 1, Writes: 1, Evicts: 1, Faults: 1}},
	{3, 1, coherence.FIFO, false, -1, Bounds{Reads: 1, Writes: 2, Crashes: 1}},
	{3, 2, coherence.FIFO, false, 1, Bounds{Reads: 1, Writes: 2}},             // 11,000 states
	{3, 2, coherence.FIFO, false, 2, Bounds{Reads: 1, Writes: 1, Evicts: 2}},  // with pages that nobody asked for
	{2, 2, coherence.FIFO, false, 2, Bounds{Reads: 2, Writes: 1, Evicts: 1}},  //
	{3, 1, coherence.FIFO, true, 1, Bounds{Reads: 1, Writes: 2, Evicts: 1}},   // the store takes its time: 7,539
	{3, 1, coherence.FIFO, false, 1, Bounds{Reads: 1, Writes: 2, Crashes: 1}}, // 9,407
	{3, 1, coherence.FIFO, false, 1, Bounds{Reads: 1, Writes: 2, Unmaps: 1}},  // 6,718
	{3, 1, coherence.FIFO, false, 1, Bounds{Reads: 1, Writes: 2, Mutes: 1}},   // 4,351
	{3, 2, coherence.FIFO, false, 1, Bounds{Reads: 1, Writes: 1, Evicts: 1, Takes: 1}},
	{3, 1, coherence.FIFO, true, 1, Bounds{Reads: 1, Writes: 1, Evicts: 1, Syncs: 1}},
	{1, 2, coherence.FIFO, true, 2, Bounds{Reads: 1, Writes: 1, Evicts: 1, Faults: 1}},
	{3, 1, coherence.Weak, false, 1, Bounds{Reads: 1, Writes: 1, Evicts: 1, Crashes: 1}},
	{3, 2, coherence.Weak, false, 1, Bounds{Reads: 1, Writes: 2, Evicts: 1}},
}

// TestExplore tries all orders of events within bounds; see [Explore].
func TestExplore(t *testing.T) {
	for _, x := range explorations {
		if testing.Short() {
			x.bounds.States = 500
		}
		c := Config{Kernels: x.kernels, Pages: x.pages, Instant: !x.slow, Object: coherence.Config{Pages: x.pages, Order: x.order, Cluster: max(x.cluster, -x.cluster), Acks: x.cluster < 0}}
		if x.bounds.Mutes > 0 {
			c.Object.Answer = 100
		}
		start := time.Now()
		e, f := Explore(x.bounds, c)
		if f != nil {
			t.Fatalf("%v: %v: %v\n\nwhat happens:\n%s\n\nscript:\n%s", x, e, f.Violation, Explain(f), f.Script())
		}
		t.Logf("%d kernels, %d pages, order %v, slow %v, cluster %d: %v: %v, %.1f s", x.kernels, x.pages, x.order, x.slow, x.cluster, x.bounds, e, time.Since(start).Seconds())
	}
}

// TestHistory checks that porcupine finds what is wrong with a history.
func TestHistory(t *testing.T) {
	w := NewWorld(Config{Object: coherence.Config{Pages: 2}, Kernels: 2, History: true})
	say := func(k int, write bool, v value) {
		w.step++
		w.record(k, 1, write, v, int32(w.step))
	}
	say(0, true, 1)
	say(1, false, 1)
	say(1, true, 2)
	say(0, false, 2)
	if w.checkHistory(); w.fail != nil {
		t.Fatal(w.fail)
	}
	say(1, false, 1)
	if w.checkHistory(); w.fail == nil {
		t.Error("who reads what is old is not found")
	}
}
