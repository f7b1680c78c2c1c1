package fabric

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The properties hold for all seeds, faults and traffic. A failure prints the
// seed of the run that found it.

// A step is one frame of some traffic.
type step struct {
	after    time.Duration // the one before
	port     int
	src, dst string
	length   int
}

const stations = 3 // ports a, b, c with the stations A, B, C

func letter(i int) string { return string(rune('A' + i)) }

var steps = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
	s := step{
		after:  time.Duration(rapid.IntRange(0, 5000).Draw(t, "after µs")) * time.Microsecond,
		port:   rapid.IntRange(0, stations-1).Draw(t, "port"),
		length: rapid.SampledFrom([]int{18, 60, 1514}).Draw(t, "length"),
	}
	s.src = letter(s.port)
	s.dst = rapid.SampledFrom([]string{"A", "B", "C", "*"}).Draw(t, "dst")
	return s
}), 1, 60)

var someFaults = rapid.Custom(func(t *rapid.T) Faults {
	probability := rapid.SampledFrom([]float64{0, 0, 0.1, 0.5, 1})
	return Faults{
		Cut:       rapid.IntRange(0, 9).Draw(t, "cut") == 0,
		Loss:      probability.Draw(t, "loss"),
		Corrupt:   probability.Draw(t, "corrupt"),
		Duplicate: probability.Draw(t, "duplicate"),
		Reorder:   probability.Draw(t, "reorder"),
		Rate:      rapid.SampledFrom([]int64{0, 0, 100_000, 1_000_000}).Draw(t, "rate"),
		Delay:     time.Duration(rapid.IntRange(0, 20).Draw(t, "delay ms")) * time.Millisecond,
		Jitter:    time.Duration(rapid.IntRange(0, 20).Draw(t, "jitter ms")) * time.Millisecond,
	}
})

func newTriangle(seed uint64) *world {
	w := newWorld(Config{Seed: seed, MTU: 1500, LinkBytes: 20_000})
	for i := range stations {
		name := strings.ToLower(letter(i))
		w.ports[name] = w.AddPort(name, false)
		w.names = append(w.names, name)
	}
	return w
}

func (w *world) play(traffic []step) {
	for _, s := range traffic {
		w.runTo(w.now + s.after)
		w.serial++
		w.Input(w.now, Port(s.port), makeFrame(s.src, s.dst, w.serial, s.length))
	}
}

// An arrival is a line of what a world writes down.
type arrival struct{ time, port, frame string }

func arrivals(trace string) (as []arrival) {
	for line := range strings.Lines(trace) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 4)
		as = append(as, arrival{f[0], f[1], f[3]})
	}
	return as
}

func frames(as []arrival) (fs []string) {
	for _, a := range as {
		fs = append(fs, a.port+" "+a.frame)
	}
	return fs
}

// eachLink gives every link its own faults.
func eachLink(t *rapid.T, w *world) {
	for from := range Port(stations) {
		for to := range Port(stations) {
			if from != to {
				w.SetFaults(from, to, someFaults.Draw(t, fmt.Sprintf("faults %d-%d", from, to)))
			}
		}
	}
}

func TestEveryFrameIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTriangle(rapid.Uint64().Draw(t, "seed"))
		balance := func() {
			for from, row := range w.links {
				for to, l := range row {
					if l == nil {
						continue
					}
					c := l.counters
					if c.Offered+c.Duplicated != c.Delivered+c.Cut+c.Lost+c.RateDropped+c.Overflow+c.Waiting {
						t.Fatalf("link %d -> %d: %+v does not add up", from, to, c)
					}
					if l.bytes < 0 || l.bytes > w.cfg.LinkBytes {
						t.Fatalf("link %d -> %d holds %d bytes of %d", from, to, l.bytes, w.cfg.LinkBytes)
					}
				}
			}
		}
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			eachLink(t, w)
			var groups [][]Port
			if rapid.Bool().Draw(t, "partitioned") {
				groups = [][]Port{{Port(rapid.IntRange(0, stations-1).Draw(t, "alone"))}}
			}
			w.Partition(groups)
			w.play(steps.Draw(t, "traffic"))
			balance()
		}
		w.finish()
		balance()
		delivered := 0
		for _, row := range w.links {
			for _, l := range row {
				if l == nil {
					continue
				}
				delivered += int(l.counters.Delivered)
				if l.counters.Waiting != 0 || l.bytes != 0 || l.transit != 0 || len(l.held) != 0 {
					t.Fatalf("left on a link in the end: %+v, %d bytes, %d under way, %d held", l.counters, l.bytes, l.transit, len(l.held))
				}
			}
		}
		if n := len(arrivals(w.take())); n != delivered {
			t.Fatalf("%d frames came out, %d were counted", n, delivered)
		}
	})
}

func TestSameSeedSameTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		a, b := newTriangle(seed), newTriangle(seed)
		eachLink(t, a)
		for from, row := range a.links {
			for to, l := range row {
				if l != nil {
					b.SetFaults(Port(from), Port(to), l.faults)
				}
			}
		}
		traffic := steps.Draw(t, "traffic")
		a.play(traffic)
		a.finish()

		// The second is only told the time when frames come in.
		var now time.Duration
		for i, s := range traffic {
			now += s.after
			b.Input(now, Port(s.port), makeFrame(s.src, s.dst, uint32(i+1), s.length))
		}
		b.Advance(time.Hour)
		if x, y := frames(arrivals(a.take())), frames(arrivals(b.take())); !slices.Equal(x, y) {
			t.Fatalf("traces differ:\n%q\n%q", x, y)
		}
	})
}

func TestOtherSeedOtherTrace(t *testing.T) {
	traces := make(map[string]bool)
	for seed := range uint64(20) {
		w := newTriangle(seed)
		w.SetFaults(0, 1, Faults{Loss: 0.5})
		for i := range uint32(64) {
			w.Input(0, 0, makeFrame("A", "*", i, 60))
		}
		traces[w.take()] = true
	}
	if len(traces) != 20 {
		t.Errorf("20 seeds gave %d traces", len(traces))
	}
}

// on plays traffic with faults on the link a -> b and returns what comes to b
// from a.
func on(seed uint64, f Faults, traffic []step) []arrival {
	w := newTriangle(seed)
	w.cfg.LinkBytes = 1 << 30 // what has no room is lost
	w.SetFaults(0, 1, f)
	w.play(traffic)
	w.finish()
	var as []arrival
	for _, a := range arrivals(w.take()) {
		if a.port == "b" {
			as = append(as, a)
		}
	}
	return as
}

// fromA is traffic of a alone, all of it to b.
func fromA(t *rapid.T) []step {
	traffic := steps.Draw(t, "traffic")
	for i := range traffic {
		traffic[i].port, traffic[i].src, traffic[i].dst = 0, "A", "*"
	}
	return traffic
}

func TestMoreLossOnlyLosesMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, traffic := rapid.Uint64().Draw(t, "seed"), fromA(t)
		p, q := rapid.Float64Range(0, 1).Draw(t, "loss"), rapid.Float64Range(0, 1).Draw(t, "loss")
		few, many := on(seed, Faults{Loss: max(p, q)}, traffic), on(seed, Faults{Loss: min(p, q)}, traffic)
		for _, a := range few {
			if !slices.Contains(many, a) {
				t.Fatalf("%v arrives with the greater loss only", a)
			}
		}
	})
}

func TestDelayOnlyDelays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, traffic := rapid.Uint64().Draw(t, "seed"), fromA(t)
		f := someFaults.Draw(t, "faults")
		f.Delay, f.Jitter, f.Rate = 0, 0, 0
		d := time.Duration(rapid.IntRange(1, 50).Draw(t, "delay µs")) * time.Microsecond
		prompt := on(seed, f, traffic)
		f.Delay = d
		late := on(seed, f, traffic)
		if len(prompt) != len(late) {
			t.Fatalf("%d frames without a delay, %d with it", len(prompt), len(late))
		}
		for i := range late {
			at, err := time.ParseDuration(prompt[i].time)
			if err != nil {
				t.Fatal(err)
			}
			if want := (at + d).String(); late[i].time != want || late[i].frame != prompt[i].frame {
				t.Fatalf("%v becomes %v with a delay of %v", prompt[i], late[i], d)
			}
		}
	})
}

func TestDuplicatesAreOnlyAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, traffic := rapid.Uint64().Draw(t, "seed"), fromA(t)
		f := someFaults.Draw(t, "faults")
		f.Rate, f.Duplicate = 0, 0
		f.Corrupt = 0 // else two frames may look like one twice
		once := on(seed, f, traffic)
		f.Duplicate = rapid.Float64Range(0, 1).Draw(t, "duplicate")
		if twice := slices.Compact(on(seed, f, traffic)); !slices.Equal(once, twice) {
			t.Fatalf("duplicates left out:\n%v, want\n%v", twice, once)
		}
	})
}

func TestReorderingLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, traffic := rapid.Uint64().Draw(t, "seed"), fromA(t)
		p := rapid.Float64Range(0, 1).Draw(t, "reorder")
		got := frames(on(seed, Faults{Reorder: p}, traffic))
		want := frames(on(seed, Faults{}, traffic))
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("arrived: %q, want %q", got, want)
		}
	})
}

// Neither the faults nor the traffic of one link change what happens on
// another.
func TestLinksAreIndependent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, traffic := rapid.Uint64().Draw(t, "seed"), steps.Draw(t, "traffic")
		for i := range traffic {
			if traffic[i].port == 0 {
				traffic[i].dst = "*" // so that learning makes no difference
			}
		}
		faults := func(label string) Faults {
			f := someFaults.Draw(t, label)
			f.Corrupt = 0 // else frames lose their numbers
			return f
		}
		f := faults("faults a-b")
		ofA := func(as []arrival, numbers map[string]bool) (fs []string) {
			for _, a := range as {
				if numbers[a.frame] {
					fs = append(fs, a.time+a.frame)
				}
			}
			return fs
		}
		numbers := make(map[string]bool)
		for i, s := range traffic {
			if s.port == 0 {
				numbers[fmt.Sprintf("#%d", i+1)] = true
			}
		}
		alone := ofA(on(seed, f, traffic), numbers)

		w := newTriangle(seed)
		w.cfg.LinkBytes = 1 << 30
		w.SetFaults(2, 1, faults("faults c-b"))
		w.SetFaults(0, 2, faults("faults a-c"))
		w.SetFaults(0, 1, f)
		w.play(traffic)
		w.finish()
		var as []arrival
		for _, a := range arrivals(w.take()) {
			if a.port == "b" {
				as = append(as, a)
			}
		}
		if got := ofA(as, numbers); !slices.Equal(got, alone) {
			t.Fatalf("with faults elsewhere:\n%q, without:\n%q", got, alone)
		}
	})
}

// After healing, a link does what it would have done without the partition.
func TestHealing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		f := Faults{Loss: 0.5, Corrupt: 0.2, Duplicate: 0.2}
		before, after := fromA(t), fromA(t)
		run := func(partitioned bool) string {
			w := newTriangle(seed)
			w.SetFaults(0, 1, f)
			if partitioned {
				w.Partition([][]Port{{0}})
			}
			w.play(before)
			w.Partition(nil)
			w.take()
			w.play(after)
			return w.take()
		}
		if a, b := run(true), run(false); a != b {
			t.Fatalf("after a partition:\n%s, without:\n%s", a, b)
		}
	})
}

// Without faults, a switch is a map from addresses to ports.
func TestLearningAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTriangle(0)
		known := make(map[string]int)
		for i := range rapid.IntRange(1, 100).Draw(t, "frames") {
			port := rapid.IntRange(0, stations-1).Draw(t, "port")
			src := rapid.SampledFrom([]string{"A", "B", "C", "D"}).Draw(t, "src")
			dst := rapid.SampledFrom([]string{"A", "B", "C", "D", "*"}).Draw(t, "dst")
			known[src] = port
			var want []string
			for to := range stations {
				if at, ok := known[dst]; to != port && (!ok || at == to) {
					want = append(want, fmt.Sprintf("%s #%d", w.names[to], i))
				}
			}
			w.Input(0, Port(port), makeFrame(src, dst, uint32(i), 60))
			if got := frames(arrivals(w.take())); !slices.Equal(got, want) {
				t.Fatalf("%s -> %s at port %d: %q, want %q", src, dst, port, got, want)
			}
			learned := make([]int, stations)
			for _, at := range known {
				learned[at]++
			}
			for p, want := range learned {
				if got := w.Fabric.ports[p].learned; got != want {
					t.Fatalf("%d addresses counted at port %d, want %d", got, p, want)
				}
			}
		}
	})
}

// A node that invents addresses makes the switch forget nobody but its own.
func TestAddressesAreBounded(t *testing.T) {
	w := newTriangle(0)
	w.Input(0, 1, makeFrame("B", "*", 0, 60))
	for i := range 10 * MaxLearned {
		f := makeFrame("A", "*", 0, 60)
		f[9], f[10] = byte(i>>8), byte(i)
		w.Input(0, 0, f)
	}
	if n := len(w.table); n != MaxLearned+1 {
		t.Errorf("%d addresses known, want %d", n, MaxLearned+1)
	}
	w.take()
	w.Input(0, 2, makeFrame("C", "B", 1, 60))
	if got := w.take(); got != "0s b <- #1\n" {
		t.Errorf("a frame for B goes to:\n%s", got)
	}
	// Later, the outdated ones make room.
	w.runTo(2 * LearnFor)
	w.Input(w.now, 0, makeFrame("A", "*", 0, 60))
	w.take()
	w.Input(w.now, 2, makeFrame("C", "A", 2, 60))
	if got := w.take(); got != "10m0s a <- #2\n" {
		t.Errorf("a frame for A goes to:\n%s", got)
	}
}

// The shares of frames that meet a fault come out as asked.
func TestProbabilities(t *testing.T) {
	const n = 100_000
	w := newTriangle(1)
	f := Faults{Loss: 0.1, Corrupt: 0.2, Duplicate: 0.3, Reorder: 0.4}
	w.SetFaults(0, 1, f)
	w.cfg.LinkBytes = 1 << 30
	for i := range uint32(n) {
		w.Input(0, 0, makeFrame("A", "*", i, 60))
	}
	c := w.LinkCounters(0, 1)
	arrived := float64(n - c.Lost)
	for _, s := range []struct {
		name      string
		got, want float64
	}{
		{"loss", float64(c.Lost) / n, f.Loss},
		{"corrupt", float64(c.Corrupted) / arrived, f.Corrupt},
		{"duplicate", float64(c.Duplicated) / arrived, f.Duplicate},
		{"reorder", float64(c.Reordered) / arrived, f.Reorder},
	} {
		if s.got < s.want-0.01 || s.got > s.want+0.01 {
			t.Errorf("%s: %.4f of the frames, want %.1f", s.name, s.got, s.want)
		}
	}
}

// A flipped bit is one bit, behind the header, and not in the sender's memory.
func TestCorruption(t *testing.T) {
	var got []byte
	w := New(Config{MTU: 1500, Out: func(_ Port, f []byte) { got = slices.Clone(f) }})
	w.AddPort("a", false)
	w.AddPort("b", false)
	w.SetFaults(0, 1, Faults{Corrupt: 1})
	flipped := make(map[int]bool)
	for i := range uint32(5000) {
		sent := makeFrame("A", "*", i, 60)
		kept := slices.Clone(sent)
		w.Input(0, 0, sent)
		if !slices.Equal(sent, kept) {
			t.Fatal("the sender's frame has changed")
		}
		n := 0
		for j := range got {
			for x := got[j] ^ kept[j]; x != 0; x &= x - 1 {
				n++
				flipped[j] = true
			}
		}
		if n != 1 {
			t.Fatalf("%d bits differ", n)
		}
	}
	for j := range 60 {
		if flipped[j] != (j >= HeaderLen) {
			t.Errorf("byte %d flipped: %v", j, flipped[j])
		}
	}
}

func FuzzInput(f *testing.F) {
	f.Add([]byte{0}, []byte{1})
	f.Add(makeFrame("A", "*", 1, 60), makeFrame("B", "A", 1, 60))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		w := newTriangle(1)
		w.SetFaults(0, 1, Faults{Loss: 0.2, Corrupt: 0.5, Duplicate: 0.5, Reorder: 0.5, Delay: 1, Rate: 1000})
		for range 4 {
			w.Input(w.now, 0, slices.Clone(x))
			w.Input(w.now, 1, slices.Clone(y))
		}
		w.finish()
	})
}
