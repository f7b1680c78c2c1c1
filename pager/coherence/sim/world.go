package sim

import (
	"errors"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"hurdlab/pager/coherence"
)

// A Core is what is tested: a [coherence.Object], or one with a fault.
type Core interface {
	Actions() []coherence.Action
	Attach(readOnly bool) (coherence.Client, error)
	Gone(coherence.Client)
	Terminated(coherence.Client)
	Request(coherence.Client, coherence.Range, coherence.Access)
	Unlock(coherence.Client, coherence.Range, coherence.Access)
	Returned(c coherence.Client, first int64, data []coherence.Data, dirty, kept bool)
	LockCompleted(coherence.Client, coherence.Range)
	Loaded(coherence.Range, []coherence.Data, error)
	Stored(coherence.Range, error)
	Reserved(int64, error)
	Tick(coherence.Tick)
	Next() (coherence.Tick, bool)
	Sync(coherence.Token, coherence.Range)
	Take(coherence.Token, coherence.Range, coherence.Access)
	Release(coherence.Token)
	Resize(int64)
	Close(coherence.Token)
	Idle() bool
	Check() error
	Dump() string
	Stats() coherence.Stats
}

// An Acker is a Core that is told when kernels have taken a supply. Others must not be
// made with coherence.Config.Acks.
type Acker interface {
	Core
	Supplied(c coherence.Client, r coherence.Range, taken int64)
	Unsupplied(coherence.Client, coherence.Range)
}

var _ Acker = (*coherence.Object)(nil)

// A Config is of a world.
type Config struct {
	Object   coherence.Config // Pages: at first
	Pages    int64            // at most
	Kernels  int
	Batch    int    // pages that a kernel returns in a message
	ReadOnly uint64 // which kernels have the object for reading only
	Hostile  bool   // kernel 0 is an enemy, and has it for reading only
	Instant  bool   // the store answers at once
	Lazy     bool   // threads that have been woken run later
	Starve   int    // if not 0, every Starve-th supply cannot be done
	History  bool   // check with porcupine

	CheckEvery int
	New        func(coherence.Config) Core
	Trace      func(string)
}

// A Violation is what must not be.
type Violation struct {
	Step int
	Text string
}

func (v *Violation) Error() string { return fmt.Sprintf("step %d: %s", v.Step, v.Text) }

// A truth is what is true of a page.
type truth struct {
	truth     value // written last
	got       value // of that, what has reached the object or the store
	writer    int8  // the kernel that wrote it
	undefined bool  // cut off by Resize
}

type jobState uint8

const (
	none  jobState = iota
	asked          // the store has been asked
	done           // it has done it, and not said so
)

// A job is what a store does with a page.
type job struct {
	state jobState
	val   value
	err   error
}

type take struct {
	token   coherence.Token
	r       coherence.Range
	write   bool
	granted bool
}

type syncWait struct {
	token coherence.Token
	r     coherence.Range
	want  []value // what must be in the store
	died  bool    // a kernel has died meanwhile
}

// A World is an object and all around it.
type World struct {
	c       Config
	core    Core
	now     coherence.Tick
	size    int64
	kernels []kernel
	pages   []truth
	store   []value
	loads   []job
	stores  []job
	reserve []bool
	faults  []uint8 // errors of the store that an asker must be told
	takes   []take
	syncs   []syncWait
	closed  bool
	next    value
	token   coherence.Token
	data    map[uint32]bool // that the object has
	nextID  uint32
	supply  int // how many there were
	step    int
	ops     int
	fail    *Violation
	history []porcupine.Operation
}

// A datum is data of a page.
type datum struct {
	id  uint32
	val value
}

func (d datum) String() string { return fmt.Sprintf("v%d", d.val) }

var errStore = errors.New("the store fails")

// NewWorld makes a world in which all kernels use the object.
func NewWorld(c Config) *World {
	if c.Batch == 0 {
		c.Batch = 2
	}
	c.Pages = max(c.Pages, c.Object.Pages)
	if c.New == nil {
		c.New = func(c coherence.Config) Core { return coherence.New(c) }
	}
	w := &World{
		c: c, core: c.New(c.Object), size: c.Object.Pages,
		kernels: make([]kernel, c.Kernels), pages: make([]truth, c.Pages), store: make([]value, c.Pages),
		loads: make([]job, c.Pages), stores: make([]job, c.Pages), reserve: make([]bool, c.Pages), faults: make([]uint8, c.Pages),
		data: make(map[uint32]bool), nextID: 1,
	}
	for p := range w.pages {
		w.pages[p].writer = -1
		w.pages[p].undefined = int64(p) >= w.size
	}
	for i := range w.kernels {
		k := &w.kernels[i]
		k.pages, k.asked = make([]kpage, c.Pages), make([]uint8, c.Pages)
		k.hostile = c.Hostile && i == 0
		k.readOnly = k.hostile || c.ReadOnly&(1<<i) != 0
		w.attach(i)
	}
	return w
}

func (w *World) failf(format string, args ...any) {
	if w.fail == nil {
		w.fail = &Violation{w.step, fmt.Sprintf(format, args...)}
		w.tracef("VIOLATION: %s", w.fail.Text)
	}
}

func (w *World) tracef(format string, args ...any) {
	if w.c.Trace != nil {
		w.c.Trace(fmt.Sprintf("%4d  ", w.step) + fmt.Sprintf(format, args...))
	}
}

// record notes an access for porcupine.
func (w *World) record(k int, p int64, write bool, v value, call int32) {
	if w.c.Trace != nil {
		w.tracef("      kernel %d: page %d write %v: %d", k, p, write, v)
	}
	if !w.c.History || w.pages[p].undefined || k >= 0 && w.kernels[k].hostile {
		return
	}
	w.ops++
	w.history = append(w.history, porcupine.Operation{
		ClientId: k + 1, Input: access{p, write, v}, Output: v, Call: int64(call) * 2, Return: int64(w.step)*2 + 1,
	})
}

func (w *World) give(v value) coherence.Data {
	d := datum{w.nextID, v}
	w.nextID++
	w.data[d.id] = true
	return d
}

// use reads data that the object must have.
func (w *World) use(x coherence.Data, what string) value {
	d, ok := x.(datum)
	if !ok || !w.data[d.id] {
		w.failf("%s: data %v is not the object's", what, x)
	}
	return d.val
}

func (w *World) takeBack(x coherence.Data) {
	w.use(x, "give back")
	if d, ok := x.(datum); ok {
		delete(w.data, d.id)
	}
}

func (w *World) kernelOf(c coherence.Client) int {
	return slices.IndexFunc(w.kernels, func(k kernel) bool { return k.client == c && c != 0 })
}

// answer notes that a request is answered.
func (w *World) answer(ki int, p int64, what string) {
	k := &w.kernels[ki]
	if p >= int64(len(k.asked)) || p < 0 || k.state == dead {
		return
	}
	ahead := w.c.Object.Cluster > 1 || w.c.Object.ReadAhead > 1
	if k.asked[p] == 0 && !k.hostile && (what == "fail" || !ahead) {
		w.failf("%s: page %d of kernel %d, which has not asked", what, p, ki)
	}
	k.asked[p] = 0
}

// act does what the object says.
func (w *World) act() {
	for w.fail == nil {
		acts := w.core.Actions()
		if len(acts) == 0 {
			break
		}
		for _, a := range acts {
			w.do(a)
		}
		if w.c.Instant {
			for p := range w.pages {
				w.instantly(int64(p))
			}
		}
	}
}

// instantly has the store do what it has been asked to do.
func (w *World) instantly(p int64) {
	for _, write := range []bool{true, false} {
		if j := w.job(p, write); j.state == asked {
			w.storeDo(p, write, false)
			w.storeAnswer(p, write)
		}
	}
	if w.reserve[p] {
		w.reserve[p] = false
		w.core.Reserved(p, nil)
	}
}

func (w *World) job(p int64, write bool) *job {
	if write {
		return &w.stores[p]
	}
	return &w.loads[p]
}

// storeDo has the store read or write a page.
func (w *World) storeDo(p int64, write, fault bool) {
	j := w.job(p, write)
	j.state, j.err = done, nil
	switch {
	case fault:
		j.err = errStore
	case !write:
		j.val = w.store[p]
	case p < w.size:
		w.store[p] = j.val
	}
}

// storeAnswer has it say so.
func (w *World) storeAnswer(p int64, write bool) {
	j := w.job(p, write)
	x := *j
	*j = job{}
	switch {
	case write:
		w.core.Stored(one(p), x.err)
	case x.err != nil:
		w.faults[p]++
		w.core.Loaded(one(p), nil, x.err)
	default:
		w.core.Loaded(one(p), []coherence.Data{w.give(x.val)}, nil)
	}
}

// do does one thing that the object says.
func (w *World) do(a coherence.Action) {
	if w.c.Trace != nil {
		w.tracef("    %T%+v", a, a)
	}
	to := func(c coherence.Client) *kernel {
		if i := w.kernelOf(c); i >= 0 {
			return &w.kernels[i]
		}
		w.failf("%T%v: there is no such kernel", a, a)
		return nil
	}
	switch a := a.(type) {
	case coherence.Supply:
		k := to(a.Client)
		if k == nil {
			return
		}
		c := control{kind: supply, r: coherence.Range{First: a.First, N: int64(len(a.Data))}, forbid: a.Forbid == coherence.ForbidWrite, prec: a.Precious, ack: a.Ack}
		w.supply++
		starve := w.c.Starve > 0 && w.supply%w.c.Starve == 0
		for i, d := range a.Data {
			v := w.use(d, "supply")
			c.vals = append(c.vals, v)
			if p := a.First + int64(i); v&cutOff != 0 && v>>31 == 0 {
				w.failf("page %d comes back after it has been cut off", p)
			}
			w.answer(w.kernelOf(a.Client), a.First+int64(i), "supply")
			if a.Final {
				w.takeBack(d)
			}
		}
		if k.readOnly && !c.forbid {
			w.failf("kernel %d may write, but is for reading", w.kernelOf(a.Client))
		}
		if starve {
			k.hearControl(control{kind: fail, r: c.r})
			if x, ok := w.core.(Acker); ok {
				x.Unsupplied(a.Client, c.r)
			}
			return
		}
		k.hearControl(c)
	case coherence.Lock:
		if k := to(a.Client); k != nil {
			k.hearControl(control{kind: lockRequest, lock: a})
			if k.readOnly && !a.Flush && a.Forbid == coherence.ForbidNothing {
				w.failf("kernel %d may write, but is for reading", w.kernelOf(a.Client))
			}
		}
	case coherence.Fail:
		k := to(a.Client)
		if k == nil {
			return
		}
		for p := a.Range.First; p < a.Range.End(); p++ {
			w.answer(w.kernelOf(a.Client), p, "fail")
			switch {
			case k.hostile:
			case errors.Is(a.Err, coherence.ErrBeyond) && p >= w.size, errors.Is(a.Err, coherence.ErrReadOnly) && k.readOnly, errors.Is(a.Err, coherence.ErrClosed) && w.closed:
			case errors.Is(a.Err, coherence.ErrLimit) && w.c.Object.Limits.Requests > 0:
			case errors.Is(a.Err, errStore) && w.faults[p] > 0:
				w.faults[p]--
			default:
				w.failf("kernel %d: page %d fails for no reason: %v", w.kernelOf(a.Client), p, a.Err)
			}
		}
		k.hearControl(control{kind: fail, r: a.Range})
	case coherence.Terminate:
		if i := w.kernelOf(a.Client); i >= 0 {
			w.die(i)
			w.gone(i)
		}
	case coherence.Cut:
		if i := w.kernelOf(a.Client); i >= 0 {
			w.someoneDied()
			if k := &w.kernels[i]; !k.mute && !k.hostile && k.state == on {
				w.tracef("kernel %d is cut off and only slow", i)
			}
			w.die(i)
			w.gone(i)
		}
	case coherence.Load:
		for p := a.Range.First; p < a.Range.End(); p++ {
			if p < 0 || p >= w.c.Pages || w.loads[p].state != none {
				w.failf("load of page %d", p)
				return
			}
			w.loads[p].state = asked
		}
	case coherence.Store:
		for i, d := range a.Data {
			p := a.First + int64(i)
			if p < 0 || p >= w.c.Pages || w.stores[p].state != none {
				w.failf("store of page %d", p)
				return
			}
			w.stores[p] = job{state: asked, val: w.use(d, "store")}
			if v := w.stores[p].val; v&cutOff != 0 && v>>31 == 0 {
				w.failf("page %d is stored after it has been cut off", p)
			}
		}
	case coherence.Reserve:
		w.reserve[a.Page] = true
	case coherence.Discard:
		w.takeBack(a.Data)
	case coherence.Granted:
		w.granted(a)
	case coherence.Synced:
		w.synced(a)
	case coherence.Closed:
		w.closed = true
		if a.Err != nil {
			w.failf("closed: %v", a.Err)
		}
	}
}

func (w *World) granted(a coherence.Granted) {
	i := slices.IndexFunc(w.takes, func(t take) bool { return t.token == a.Token })
	if i < 0 || w.takes[i].granted {
		w.failf("granted %d, which was not asked for", a.Token)
		return
	}
	t := &w.takes[i]
	if a.Err != nil {
		if !errors.Is(a.Err, errStore) {
			w.failf("take: %v", a.Err)
		}
		w.takes = slices.Delete(w.takes, i, i+1)
		return
	}
	t.granted = true
	for p := t.r.First; p < min(t.r.End(), w.size); p++ {
		if x := w.pages[p]; w.store[p] != x.truth && !x.undefined {
			w.failf("take %d: the store has %d in page %d, the last write was %d", t.token, w.store[p], p, x.truth)
		}
	}
}

func (w *World) synced(a coherence.Synced) {
	i := slices.IndexFunc(w.syncs, func(s syncWait) bool { return s.token == a.Token })
	if i < 0 {
		w.failf("synced %d, which was not asked for", a.Token)
		return
	}
	s := w.syncs[i]
	w.syncs = slices.Delete(w.syncs, i, i+1)
	if a.Err != nil {
		if !errors.Is(a.Err, errStore) && !(errors.Is(a.Err, coherence.ErrGone) && s.died) {
			w.failf("sync: %v", a.Err)
		}
		return
	}
	for p := s.r.First; p < min(s.r.End(), w.size); p++ {
		if w.store[p] < s.want[p] && !w.pages[p].undefined {
			w.failf("sync %d: the store has %d in page %d, which had %d", s.token, w.store[p], p, s.want[p])
		}
	}
}

// someoneDied allows Syncs to fail.
func (w *World) someoneDied() {
	for i := range w.syncs {
		w.syncs[i].died = true
	}
}

func (w *World) attach(ki int) {
	k := &w.kernels[ki]
	c, err := w.core.Attach(k.readOnly)
	if err != nil {
		if !w.closed {
			w.failf("attach: %v", err)
		}
		return
	}
	k.client, k.state = c, on
	w.act()
}

// arrive gives the object a message of a kernel.
func (w *World) arrive(ki, i int) {
	k := &w.kernels[ki]
	m := k.out[i]
	k.out = slices.Delete(slices.Clone(k.out), i, i+1)
	w.hear(ki, m)
}

func (w *World) hear(ki int, m message) {
	k := &w.kernels[ki]
	access := coherence.Read
	if m.write {
		access |= coherence.Write
	}
	switch m.kind {
	case request:
		for p := max(m.r.First, 0); p < min(m.r.End(), int64(len(k.asked))); p++ {
			k.asked[p]++
		}
		w.core.Request(k.client, m.r, access)
	case unlock:
		w.core.Unlock(k.client, m.r, access)
	case returned:
		var data []coherence.Data
		for i, v := range m.vals {
			data = append(data, w.give(v))
			if p := m.r.First + int64(i); !k.hostile && m.dirty && v&cutOff == 0 && v > w.pages[p].got {
				w.pages[p].got = v
			}
		}
		w.core.Returned(k.client, m.r.First, data, m.dirty, m.kept)
	case completed:
		w.core.LockCompleted(k.client, m.r)
	case taken:
		if x, ok := w.core.(Acker); ok {
			for p := max(m.r.First, 0); p < min(m.r.First+m.taken, int64(len(k.asked))); p++ {
				k.asked[p] = 0
			}
			x.Supplied(k.client, m.r, m.taken)
		}
	case terminate:
		c := k.client
		w.gone(ki)
		w.core.Terminated(c)
	}
	w.act()
}

// arrivable returns which messages of a kernel can arrive next: the first, or with
// weak order all, but for the last word.
func (w *World) arrivable(k *kernel) int {
	n := len(k.out)
	if n == 0 || k.state == dead {
		return 0
	}
	if w.c.Object.Order == coherence.FIFO {
		return 1
	}
	if n > 1 && k.out[n-1].kind == terminate {
		n--
	}
	return n
}

// check checks what must always hold.
func (w *World) check() {
	for p := range w.pages {
		writer, holders := -1, 0
		for i := range w.kernels {
			k := &w.kernels[i]
			g := &k.pages[p]
			if !g.resident || k.hostile || g.val&cutOff != 0 {
				continue
			}
			holders++
			if !g.forbid {
				writer = i
			}
			if g.dirty && k.readOnly {
				w.failf("kernel %d has written to page %d and is for reading", i, p)
			}
		}
		if writer >= 0 && holders > 1 && !w.pages[p].undefined {
			w.failf("page %d: kernel %d may write to it, and %d others have it", p, writer, holders-1)
		}
		for _, t := range w.takes {
			if t.granted && int64(p) >= t.r.First && int64(p) < t.r.End() && !w.pages[p].undefined && (t.write && holders > 0 || writer >= 0) {
				w.failf("page %d is taken (for writing: %v), and %d kernels have it, the writer is %d", p, t.write, holders, writer)
			}
		}
	}
	if w.c.CheckEvery > 0 && w.step%w.c.CheckEvery == 0 {
		if err := w.core.Check(); err != nil {
			w.failf("%v\n%s", err, w.core.Dump())
		}
	}
}
