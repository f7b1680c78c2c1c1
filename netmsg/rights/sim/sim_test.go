package sim

import (
	"flag"
	"os"
	"strconv"
	"testing"
	"time"
)

var (
	opsFlag  = flag.Int("sim.ops", 10_000_000, "operations of TestRandom, if the environment variable NETMSG_SIM_OPS does not say how many; 200,000 with -short")
	seedFlag = flag.Uint64("sim.seed", 1, "seed of TestRandom; 0: the time")
)

// TestRandom does random operations in worlds of two to five nodes. See package
// documentation for what it checks.
func TestRandom(t *testing.T) {
	ops, seed := *opsFlag, *seedFlag
	if n, err := strconv.Atoi(os.Getenv("NETMSG_SIM_OPS")); err == nil {
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

// TestScript reads back what operations are written as.
func TestScript(t *testing.T) {
	var ops []Op
	for seed := range uint64(20) {
		c, m := Scenario(seed, 0)
		w := NewWorld(c)
		for _, o := range generate(w, m, seed, 500) {
			x, err := ParseOp(o.String())
			if err != nil || x.String() != o.String() {
				t.Fatalf("%q is read as %q, %v", o, x, err)
			}
			ops = append(ops, x)
		}
	}
	if len(ops) == 0 {
		t.Fatal("no operations")
	}
}

// TestReplay checks that nothing but the seed and the script decides what happens.
func TestReplay(t *testing.T) {
	for seed := range uint64(20) {
		run := func(ops []Op) (log []string) {
			c, m := Scenario(seed, 0)
			c.Trace = func(s string) { log = append(log, s) }
			w := NewWorld(c)
			if ops == nil {
				ops = generate(w, m, seed, 500)
				log = nil
				w = NewWorld(c)
			}
			for _, o := range ops {
				w.Do(o)
			}
			return log
		}
		c, m := Scenario(seed, 0)
		ops := generate(NewWorld(c), m, seed, 500)
		a, b := run(ops), run(nil)
		for i := range a {
			if i >= len(b) || a[i] != b[i] {
				t.Fatalf("seed %d, line %d: %q and then %q", seed, i, a[i], b[i:min(i+1, len(b))])
			}
		}
	}
}

// explorations are those of CI: about a minute together.
var explorations = []Bounds{
	{Sends: 2, Drops: 1},             // 10,410 states
	{Sends: 2, Moves: 1, Onces: 1},   // 3,608
	{Sends: 2, Moves: 1, Drops: 1},   // 15,592
	{Sends: 1, Deaths: 1, Drops: 1},  // 7,643
	{Sends: 1, Losses: 1, Drops: 1},  // 11,699
	{Sends: 1, Losses: 1, Deaths: 1}, // 34,109
}

// TestExplore tries all orders of events within bounds; see [Explore].
func TestExplore(t *testing.T) {
	for _, b := range explorations {
		if testing.Short() {
			b.States = 1000
		}
		start := time.Now()
		e, f := Explore(b, Config{QueueLimit: 2, Window: 2, Budget: 1 << 20})
		if f != nil {
			t.Fatalf("%v: %v: %v\n\nwhat happens:\n%s\n\nscript:\n%s", b, e, f.Violation, Explain(f), f.Script())
		}
		t.Logf("%v: %v, %.1f s", b, e, time.Since(start).Seconds())
	}
}
