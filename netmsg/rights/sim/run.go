package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"hurdlab/internal/simulation"
)

// EpisodeOps is how many operations an episode has, before its end.
const EpisodeOps = 2000

// A Failure is a run that has violated an invariant.
type Failure struct {
	Seed   uint64
	Nodes  int
	Config Config
	Ops    []Op
	*Violation
}

// Script is the operations of the failure, one a line.
func (f *Failure) Script() string {
	var b strings.Builder
	for _, o := range f.Ops {
		b.WriteString(o.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Command replays the failure.
func (f *Failure) Command() string {
	s := fmt.Sprintf("go run ./netmsg/rights/sim/cmd/netmsg-sim -episode %#x", f.Seed)
	if f.Nodes != 0 {
		s += fmt.Sprintf(" -nodes %d", f.Nodes)
	}
	return s
}

// Error says what went wrong and how to see it again.
func (f *Failure) Error() string {
	return fmt.Sprintf("%v\nreplay: %s", f.Violation, f.Command())
}

// Options are for Episode.
type Options struct {
	Nodes      int // 0: the seed decides
	Ops        int // 0: EpisodeOps
	CheckEvery int
	Change     func(*Config)
}

// Episode makes one world of a seed, does operations, ends it, and returns how many
// operations there were.
func Episode(seed uint64, opt Options) (int, *Failure) {
	c, m := Scenario(seed, opt.Nodes)
	c.CheckEvery = opt.CheckEvery
	if opt.Change != nil {
		opt.Change(&c)
	}
	if opt.Ops == 0 {
		opt.Ops = EpisodeOps
	}
	w := NewWorld(c)
	ops := generate(w, m, seed, opt.Ops)
	if w.fail == nil {
		w.Finish()
	}
	if w.fail != nil {
		return len(ops), &Failure{Seed: seed, Nodes: opt.Nodes, Config: c, Ops: ops, Violation: w.fail}
	}
	return w.step, nil
}

// generate does n random operations and returns them, fewer if one fails.
func generate(w *World, m Mix, seed uint64, n int) []Op {
	g := &generator{w: w, m: m, rng: rand.New(rand.NewPCG(seed, 1))}
	ops := make([]Op, 0, n)
	for tries := 0; len(ops) < n && tries < 50*n && w.fail == nil; tries++ {
		if o, ok := g.op(); ok && w.Do(o) {
			ops = append(ops, o)
		}
	}
	return ops
}

// Replay does given operations in a new world, and ends it.
func Replay(c Config, ops []Op) *Violation {
	w := NewWorld(c)
	for _, o := range ops {
		w.Do(o)
		if w.fail != nil {
			return w.fail
		}
	}
	return w.Finish()
}

// Shrink returns a smaller failure of the same kind.
func Shrink(f *Failure) *Failure {
	c := f.Config
	c.Trace = nil
	c.CheckEvery = max(c.CheckEvery, 1)
	kind := f.kind()
	best := *f
	fails := func(ops []Op) bool {
		v := Replay(c, ops)
		if v != nil && (&Failure{Violation: v}).kind() == kind {
			best.Violation = v
			return true
		}
		return false
	}
	ops := f.Ops
	if !fails(ops) {
		return f
	}
	ops = simulation.Shrink(ops, fails)
	// And rights in messages.
	for i := range ops {
		for j := 0; j < len(ops[i].Rights); {
			try := append([]Op(nil), ops...)
			r := append([]OpRight(nil), ops[i].Rights...)
			try[i].Rights = append(r[:j:j], r[j+1:]...)
			if fails(try) {
				ops = try
			} else {
				j++
			}
		}
	}
	fails(ops)
	best.Ops, best.Config = ops, c
	return &best
}

// kind is the violation without the names in it.
func (f *Failure) kind() string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, strings.Join(strings.Fields(f.Text)[:min(2, len(strings.Fields(f.Text)))], " "))
}

// Explain is the failure with everything that happened.
func Explain(f *Failure) string {
	var b strings.Builder
	c := f.Config
	c.Trace = func(s string) { b.WriteString(s); b.WriteByte('\n') }
	Replay(c, f.Ops)
	return b.String()
}

// EpisodeSeed is the seed of an episode of a run.
func EpisodeSeed(seed uint64, n int) uint64 {
	x := seed + uint64(n)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31 | 1
}
