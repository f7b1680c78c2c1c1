package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"hurdlab/internal/simulation"
	"hurdlab/pager/coherence"
)

// EpisodeOps is how many operations an episode has, before its end.
const EpisodeOps = 1000

// A Mix is how often the generator tries what.
type Mix struct {
	weights [verbs]int
	total   int
	fault   int // of 100 answers of the store
	hot     int // of 100 accesses are to page 0
}

// Scenario makes the world and the mix of an episode of a seed.
func Scenario(seed uint64) (Config, Mix) {
	r := rand.New(rand.NewPCG(seed, 0x7061676572))
	pick := func(x ...int) int { return x[r.IntN(len(x))] }
	c := Config{
		Kernels: pick(1, 2, 2, 3, 3, 3, 4, 5), Pages: int64(pick(1, 2, 4, 8)), Batch: pick(1, 2, 8),
		Instant: r.IntN(3) == 0, Lazy: r.IntN(2) == 0, History: true,
		Object: coherence.Config{
			Cluster: pick(1, 1, 1, 2, 4), ReadAhead: pick(1, 1, 4, 8),
			Hold: coherence.Tick(pick(0, 0, 3)), Answer: coherence.Tick(pick(0, 200, 2000)), Reserve: r.IntN(3) == 0,
			Limits: coherence.Limits{Lock: pick(0, 0, 2), Requests: pick(0, 0, 0, 2)},
		},
	}
	c.Object.Pages = c.Pages
	if r.IntN(3) == 0 {
		c.Object.Order = coherence.Weak
	}
	if r.IntN(4) == 0 && c.Kernels > 1 {
		c.Hostile = true
		c.Object.Answer = coherence.Tick(pick(50, 200))
	}
	if r.IntN(4) == 0 {
		c.ReadOnly = uint64(r.IntN(1 << c.Kernels))
	}
	m := Mix{fault: pick(0, 0, 5, 20), hot: pick(0, 30, 80)}
	if c.Object.Pages == 1 {
		m.hot = 100
	}
	m.weights = [verbs]int{
		ReadPage: pick(10, 30), WritePage: pick(5, 20), Evict: pick(1, 5, 20), Step: pick(20, 60), Arrive: pick(20, 60),
		LoadDo: pick(10, 30), LoadDone: pick(10, 30), StoreDo: pick(5, 20), StoreDone: pick(5, 20), ReserveDo: pick(5, 20),
		Run: pick(10, 40), Attach: 5, Notice: 3, Clock: pick(1, 3, 10),
	}
	set := func(n int, v ...Verb) {
		if r.IntN(n) == 0 {
			for _, v := range v {
				m.weights[v] = pick(1, 2)
			}
		}
	}
	set(2, Unmap)
	set(3, Crash)
	set(4, Mute)
	set(2, Sync)
	set(2, TakeRead, TakeWrite)
	set(4, Truncate, Grow)
	set(6, Cut, Grow)
	if m.weights[TakeRead] > 0 {
		m.weights[Release], m.weights[LocalWrite] = 8, 4
	}
	if c.Hostile {
		m.weights[Enemy] = pick(5, 30)
	}
	cross := r.IntN(4) == 0
	if cross {
		// Pages that nobody has asked for cross requests and evictions.
		c.Kernels, c.Pages, c.Object.Pages, c.Object.Order = pick(1, 2), 2, 2, coherence.FIFO
		c.Object.Cluster, c.Hostile = 2, false
		m.fault = pick(0, 5, 30)
		for v, n := range map[Verb]int{ReadPage: 40, WritePage: 20, Evict: 40, Step: pick(10, 20), Arrive: 60, Unmap: 0, Crash: 0, Mute: 0, TakeRead: 0, TakeWrite: 0, Truncate: 0, Cut: 0, Enemy: 0} {
			m.weights[v] = n
		}
	}
	for _, x := range m.weights {
		m.total += x
	}
	if c.Object.Order == coherence.FIFO {
		c.Object.Acks = r.IntN(2) == 0
		c.Object.Arrival = coherence.Tick(pick(0, 5, 20))
		if c.Object.Acks && (r.IntN(4) == 0 || cross) {
			c.Starve = pick(2, 3, 7)
		}
	}
	return c, m
}

type generator struct {
	w   *World
	m   Mix
	rng *rand.Rand
}

func (g *generator) op() Op {
	r, w := g.rng, g.w
	x := r.IntN(g.m.total)
	o := Op{K: int8(r.IntN(len(w.kernels))), P: int8(r.IntN(int(w.c.Pages)))}
	if r.IntN(100) < g.m.hot {
		o.P = 0
	}
	for v, n := range g.m.weights {
		if x < n {
			o.Verb = Verb(v)
			break
		}
		x -= n
	}
	switch o.Verb {
	case Arrive:
		o.N = int32(r.IntN(max(1, w.arrivable(&w.kernels[o.K]))))
	case LoadDo, StoreDo, ReserveDo:
		if r.IntN(100) < g.m.fault {
			o.N = 1
		}
	case LoadDone, StoreDone:
	case Clock:
		o.N = int32(1 + r.IntN(5))
	case Sync, TakeRead, TakeWrite:
		o.N = int32(1 + r.IntN(int(w.c.Pages)))
	case Release:
		o.N = int32(r.IntN(max(1, len(w.takes))))
	case Grow:
		o.P++
	case Enemy:
		o.K, o.N = 0, r.Int32()
	}
	return o
}

// A Failure is a run that has violated an invariant.
type Failure struct {
	Seed   uint64
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
	return fmt.Sprintf("go run ./pager/coherence/sim/cmd/pager-sim -episode %#x", f.Seed)
}

// Error says what went wrong and how to see it again.
func (f *Failure) Error() string { return fmt.Sprintf("%v\nreplay: %s", f.Violation, f.Command()) }

// Options are for Episode.
type Options struct {
	Ops        int // 0: EpisodeOps
	CheckEvery int
	Change     func(*Config)
}

// EpisodeSeed is the seed of the nth episode of a run.
func EpisodeSeed(seed uint64, n int) uint64 {
	x := seed*0x9e3779b97f4a7c15 + uint64(n)*0xbf58476d1ce4e5b9
	x ^= x >> 31
	x *= 0x94d049bb133111eb
	return x ^ x>>29
}

// Episode makes one world of a seed, does operations, ends it, and returns how many
// events there were.
func Episode(seed uint64, opt Options) (int, *Failure) {
	c, m := Scenario(seed)
	c.CheckEvery = opt.CheckEvery
	if opt.Change != nil {
		opt.Change(&c)
	}
	if opt.Ops == 0 {
		opt.Ops = EpisodeOps
	}
	w := NewWorld(c)
	g := &generator{w: w, m: m, rng: rand.New(rand.NewPCG(seed, 1))}
	ops := make([]Op, 0, opt.Ops)
	for tries := 0; len(ops) < opt.Ops && tries < 50*opt.Ops && w.fail == nil; tries++ {
		if o := g.op(); w.Do(o) {
			ops = append(ops, o)
		}
	}
	w.Finish()
	if w.fail != nil {
		return w.step, &Failure{Seed: seed, Config: c, Ops: ops, Violation: w.fail}
	}
	return w.step, nil
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
	w.Finish()
	return w.fail
}

// kind is what a violation is about, without its numbers.
func (v *Violation) kind() string {
	s, _, _ := strings.Cut(v.Text, "\n")
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
}

// Shrink returns a smaller failure of the same kind.
func Shrink(f *Failure) *Failure {
	c := f.Config
	c.Trace, c.CheckEvery = nil, 1
	best := *f
	fails := func(ops []Op) bool {
		v := Replay(c, ops)
		if v != nil && v.kind() == f.kind() {
			best.Violation = v
			return true
		}
		return false
	}
	ops := f.Ops
	if !fails(ops) {
		return f
	}
	best.Ops, best.Config = simulation.Shrink(ops, fails), c
	return &best
}

// Explain returns what happens in a failure.
func Explain(f *Failure) string {
	var b strings.Builder
	c := f.Config
	c.Trace = func(s string) { b.WriteString(s); b.WriteByte('\n') }
	Replay(c, f.Ops)
	return b.String()
}

// happening returns what can happen by itself.
func (w *World) happening() (ops []Op) {
	for i := range w.kernels {
		k := &w.kernels[i]
		if k.canControl() {
			ops = append(ops, Op{Verb: Step, K: int8(i)})
		}
		for n := range w.arrivable(k) {
			ops = append(ops, Op{Verb: Arrive, K: int8(i), N: int32(n)})
		}
		if k.state == dead {
			ops = append(ops, Op{Verb: Notice, K: int8(i)})
		}
		for p := range k.pages {
			if k.state == on && k.pages[p].woken {
				ops = append(ops, Op{Verb: Run, K: int8(i), P: int8(p)})
			}
		}
	}
	for p := range w.pages {
		for _, v := range []Verb{LoadDo, LoadDone, StoreDo, StoreDone, ReserveDo} {
			if o := (Op{Verb: v, P: int8(p)}); w.can(o) {
				ops = append(ops, o)
			}
		}
	}
	return ops
}

// settle has all happen that can, in some order, until nothing can.
func (w *World) settle() {
	for i := 0; w.fail == nil; i++ {
		if i > 20_000 {
			w.failf("the world does not come to rest\n%s", w.core.Dump())
			return
		}
		ops := w.happening()
		if len(ops) == 0 {
			at, ok := w.core.Next()
			if !ok {
				break
			}
			if at <= w.now {
				w.failf("tick %d is due at %d", w.now, at)
				return
			}
			w.Do(Op{Verb: Clock, N: int32(at - w.now)})
			continue
		}
		w.Do(ops[(i*7)%len(ops)])
	}
	if w.fail == nil {
		w.checkRest()
	}
}

// checkRest checks what must hold when nothing can happen by itself.
func (w *World) checkRest() {
	if w.c.CheckEvery > 0 {
		if err := w.core.Check(); err != nil {
			w.failf("%v\n%s", err, w.core.Dump())
		}
	}
	blocked := func(p int64, write bool) bool {
		return slices.ContainsFunc(w.takes, func(t take) bool { return p >= t.r.First && p < t.r.End() && (write || t.write) })
	}
	for i := range w.kernels {
		k := &w.kernels[i]
		if k.state == off || k.hostile || k.mute {
			continue
		}
		for p := range k.pages {
			g := &k.pages[p]
			if b := blocked(int64(p), true); (g.waitR || g.waitW || g.pending) && !b {
				w.failf("at rest: a thread of kernel %d waits for page %d: %+v\n%s", i, p, *g, w.core.Dump())
			}
		}
	}
	if len(w.takes) == 0 {
		for _, s := range w.syncs {
			w.failf("at rest: sync %d waits\n%s", s.token, w.core.Dump())
		}
	}
}

// Finish ends a world: everything comes to rest, all is stored, the object is
// closed, and nothing must be left.
func (w *World) Finish() {
	if w.fail != nil {
		return
	}
	w.tracef("-- the end: release what is taken")
	for len(w.takes) > 0 && w.fail == nil {
		w.Do(Op{Verb: Release})
	}
	w.settle()
	if w.fail != nil {
		return
	}
	w.tracef("-- touch all pages")
	for p := range w.pages {
		for i := range w.kernels {
			if w.fail == nil {
				w.Do(Op{Verb: ReadPage, K: int8(i), P: int8(p)})
			}
		}
	}
	w.settle()
	if w.fail != nil {
		return
	}
	w.tracef("-- sync and close")
	w.sync(coherence.Range{N: w.c.Pages})
	w.act()
	w.settle()
	if w.fail != nil {
		return
	}
	w.core.Close(1 << 40)
	w.act()
	w.settle()
	for i := range w.kernels {
		if k := &w.kernels[i]; k.state != off && w.fail == nil {
			w.failf("kernel %d has not been told that the object is closed", i)
		}
	}
	switch {
	case w.fail != nil:
		return
	case !w.closed:
		w.failf("close does not end\n%s", w.core.Dump())
	case !w.core.Idle():
		w.failf("left:\n%s", w.core.Dump())
	case len(w.data) > 0:
		w.failf("%d data have not been given back", len(w.data))
	case w.core.Stats() != coherence.Stats{}:
		w.failf("left: %+v", w.core.Stats())
	}
	for p := range w.size {
		if x := w.pages[p]; x.truth != w.store[p] && !x.undefined {
			w.failf("lost: the store has %d in page %d, the last write was %d", w.store[p], p, x.truth)
		}
	}
	w.checkHistory()
}

// An access is one to a page, for porcupine.
type access struct {
	page  int64
	write bool
	val   value
}

var pageModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		pages := make(map[int64][]porcupine.Operation)
		for _, o := range history {
			p := o.Input.(access).page
			pages[p] = append(pages[p], o)
		}
		var list [][]porcupine.Operation
		for p := range int64(64) {
			if len(pages[p]) > 0 {
				list = append(list, pages[p])
			}
		}
		return list
	},
	Init: func() any { return value(0) },
	Step: func(state, input, output any) (bool, any) {
		a := input.(access)
		if a.write {
			return true, a.val
		}
		return output.(value) == state.(value), state
	},
}

// checkHistory asks porcupine whether the accesses to each page could have happened one
// after the other.
func (w *World) checkHistory() {
	if w.fail != nil || !w.c.History {
		return
	}
	if r := porcupine.CheckOperationsTimeout(pageModel, w.history, 20*time.Second); r == porcupine.Illegal {
		w.failf("the history is not linearizable")
	}
}
