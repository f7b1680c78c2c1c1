package pager

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/pager/coherence"
)

// ObjectConfig is what an object is made with. Only Store is needed.
type ObjectConfig struct {
	Store Store
	// Quick says that the store never waits, and does not call the pager: it is asked at
	// once, with the object locked.
	Quick bool
	// Reserve has the store asked before a kernel may write to a page.
	Reserve bool
	// NoCache has kernels keep no pages of what is not mapped.
	NoCache bool
	// Cluster and ReadAhead are how many pages are supplied when one is asked for, and
	// when one after the other is. Defaults: 16, 128.
	Cluster, ReadAhead int
	// Hold is how long a kernel that has asked for a page keeps it at least. Default: 2 ms.
	Hold time.Duration
	// Held and Left are called when somebody gets the first right to the object, and
	// when there are none any more. A file must not go meanwhile.
	Held, Left func()
}

// Bounds of an object.
const (
	// LastPage is the first page that a kernel of 32 bits cannot map.
	LastPage = math.MaxUint32 / PageSize
	// maxJobs is how many goroutines ask an object's store at a time.
	maxJobs = 4
	// maxLoad is how many pages are asked of the store at a time.
	maxLoad = 32
	// arrival is how long a kernel may take to say that it has got a page, before that is
	// called back nevertheless.
	arrival = 2 * time.Second
	// maxBehind is how many messages of a kernel wait for the memory of one.
	maxBehind = 256
)

// An Object is a memory object: the pages of one file. Its methods may be called by
// several goroutines.
type Object struct {
	pager  *Pager
	config ObjectConfig
	count  counters
	// changing has the one who changes the file: a channel, because waiting for it
	// can be given up.
	changing chan struct{}

	mu      sync.Mutex
	core    *coherence.Object
	pages   int64 // that core knows of
	clients map[coherence.Client]*client
	names   map[mach.Port]*client
	most    uint64 // pages supplied to one client that has gone
	timer   *time.Timer
	hold    coherence.Tick // the least minimum hold
	jobs    []job          // for the store
	workers int
	// yielding is set while the least minimum hold of a page is being waited for.
	yielding bool
	token    coherence.Token
	waiting  map[coherence.Token]chan error
	start    []*client // whose queues are to be sent

	// portMu is for ports, and is not held with mu.
	portMu sync.Mutex
	ports  [2]*objectPort
}

// A job is something to ask the store for.
type job struct {
	load, reserve bool
	r             coherence.Range
	data          []coherence.Data // to be stored
}

// NewObject makes an object that nobody uses.
func (p *Pager) NewObject(c ObjectConfig) *Object {
	if c.Cluster <= 0 {
		c.Cluster = 16
	}
	if c.ReadAhead <= 0 {
		c.ReadAhead = 8 * c.Cluster
	}
	if c.Hold <= 0 {
		c.Hold = 2 * time.Millisecond
	}
	o := &Object{
		pager: p, config: c, changing: make(chan struct{}, 1), pages: pagesOf(c.Store.Size()),
		clients: make(map[coherence.Client]*client), names: make(map[mach.Port]*client),
		waiting: make(map[coherence.Token]chan error), hold: coherence.Tick(c.Hold / time.Millisecond),
	}
	o.core = coherence.New(coherence.Config{
		Pages: o.pages, Attributes: o.attributes(c.NoCache), Cluster: c.Cluster, ReadAhead: c.ReadAhead,
		Hold: o.hold, Acks: true, Arrival: coherence.Tick(arrival / time.Millisecond), Answer: coherence.Tick(p.config.Answer / time.Millisecond),
		Reserve: c.Reserve,
	})
	return o
}

// attributes are what kernels are told. Private copies are made when somebody writes,
// page by page: CopyNone would read the whole of a program when it is started.
func (o *Object) attributes(noCache bool) coherence.Attributes {
	return coherence.Attributes{MayCache: !noCache, Copy: int32(mach.CopyDelay)}
}

// pagesOf returns how many pages a file of a size has.
func pagesOf(size int64) int64 { return min((size+PageSize-1)/PageSize, LastPage) }

// Right returns a send right to the object for io_map, the caller's. By one that
// is readOnly nothing can be changed, whatever is said to it.
func (o *Object) Right(readOnly bool) (mach.Port, error) {
	i := 0
	if readOnly {
		i = 1
	}
	o.portMu.Lock()
	defer o.portMu.Unlock()
	if p := o.ports[i]; p != nil {
		if right, err := p.port.Right(); err == nil {
			return right, nil
		}
		// It is about to be gone.
	}
	p := &objectPort{o: o, readOnly: readOnly}
	var err error
	p.port, err = o.pager.config.Ports.Export(p, ports.Options{Serial: true, Gone: p.gone})
	if err != nil {
		return mach.Null, err
	}
	right, err := p.port.Right()
	if err != nil {
		p.port.Close()
		return mach.Null, err
	}
	o.ports[i] = p
	if o.config.Held != nil {
		o.config.Held()
	}
	return right, nil
}

// An objectPort is one of the ports of an object.
type objectPort struct {
	o        *Object
	readOnly bool
	port     ports.Port
}

// gone is called when nobody has a right to the port: no kernel has, either.
func (p *objectPort) gone() {
	o := p.o
	o.portMu.Lock()
	for i := range o.ports {
		if o.ports[i] == p {
			o.ports[i] = nil
		}
	}
	o.portMu.Unlock()
	o.mu.Lock()
	for _, c := range o.clients {
		if c.port == p {
			o.leave(c)
		}
	}
	o.finish()
	if o.config.Left != nil {
		o.config.Left()
	}
}

// Handle takes a message that has come to a port of the object.
func (p *objectPort) Handle(ctx context.Context, req, reply *mach.Message) error {
	if !isPager(req.ID()) {
		return proto.Handler(info{p: p}).Handle(ctx, req, reply)
	}
	event, err := takeEvent(req)
	switch {
	case event == nil && err == nil:
		return mach.MigBadID
	case err != nil:
		p.o.drop(event)
		return mach.MigBadArguments
	}
	p.o.handle(p, event)
	return mach.NoReply
}

func isPager(id int32) bool { return id >= mach.IDPagerInit && id <= mach.IDPagerChangeCompleted }

// info answers what is no kernel's message.
type info struct {
	proto.UnimplementedPager
	p *objectPort
}

// PagerInfo says that the object can be used by many kernels, and what was done.
func (i info) PagerInfo(context.Context) ([]byte, error) { return []byte(i.p.o.Stats().String()), nil }

// PagerDetach is memory_object_terminate, of a kernel of another node.
func (i info) PagerDetach(_ context.Context, control mach.Port) error {
	o := i.p.o
	o.mu.Lock()
	o.pager.config.Kernel.Release(control)
	if c := o.names[control]; c != nil && c.port == i.p {
		o.later(c, detach{})
	}
	o.finish()
	return nil
}

type detach struct{}

// handle does what a kernel's message says, or has it done.
func (o *Object) handle(p *objectPort, event any) {
	k := o.pager.config.Kernel
	o.mu.Lock()
	switch e := event.(type) {
	case mach.PagerInit:
		o.attach(p, e)
	case mach.PagerTerminate:
		c := o.names[e.Control]
		if c == nil || c.port != p {
			o.mu.Unlock()
			k.Destroy(e.Control, e.Name)
			return
		}
		// What it has returned before is taken first.
		o.later(c, e)
	case mach.PagerDataRequest, mach.PagerDataUnlock, mach.PagerLockCompleted, mach.PagerSupplyCompleted, dataReturn:
		c := o.names[controlOf(event)]
		if c == nil || c.port != p {
			o.mu.Unlock()
			o.count.ignored.Add(1)
			o.drop(event)
			return
		}
		k.Release(c.control) // that which came with it; one is kept
		o.later(c, event)
	default:
		o.mu.Unlock()
		o.drop(event)
		return
	}
	o.finish()
}

// attach makes a client of a kernel that begins to use the object.
func (o *Object) attach(p *objectPort, e mach.PagerInit) {
	k := o.pager.config.Kernel
	k.Release(e.Name)
	if !e.Control.Valid() || o.names[e.Control] != nil || e.PageSize != PageSize {
		k.Release(e.Control)
		return
	}
	id, err := o.core.Attach(p.readOnly)
	c := &client{id: id, port: p, control: e.Control}
	if err != nil {
		// It is told, and forgotten.
		c.out, c.last = []any{MsgDestroy{reason(err)}}, true
		o.begin(c)
		return
	}
	o.clients[id], o.names[e.Control] = c, c
	c.stop, err = o.pager.config.Watch(e.Control, func() {
		o.mu.Lock()
		o.leave(c)
		o.finish()
	})
	if err != nil {
		o.leave(c)
	}
}

// leave ends the use of the object by a client that is not there any more.
func (o *Object) leave(c *client) {
	if o.clients[c.id] == c {
		o.core.Gone(c.id)
		o.bye(c, nil)
	}
}

// bye forgets a client, after last, if not nil, has been sent.
func (o *Object) bye(c *client, last any) {
	delete(o.clients, c.id)
	delete(o.names, c.control)
	o.most = max(o.most, c.supplied)
	if last == nil || c.gone {
		c.empty()
	}
	if last != nil {
		c.out = append(c.out, last)
	}
	c.last = true
	o.begin(c)
}

// later has the message of a client taken when those before it have been: at once,
// unless one is waiting for its memory.
func (o *Object) later(c *client, event any) {
	if c.copying {
		if len(c.in) >= maxBehind {
			o.drop(event) // no kernel says that much, and it hurts nobody else
			return
		}
		c.in = append(c.in, event)
		return
	}
	o.take(c, event)
}

// take does what a message of a client says.
func (o *Object) take(c *client, event any) {
	if o.clients[c.id] != c {
		// It has gone meanwhile. The right that came has been given back.
		switch e := event.(type) {
		case mach.PagerTerminate:
			o.pager.config.Kernel.Destroy(e.Control, e.Name)
		case dataReturn:
			o.pager.config.Kernel.Free(e.addr, e.n)
		}
		return
	}
	switch e := event.(type) {
	case mach.PagerDataRequest:
		o.count.requests.Add(1)
		r := rangeOf(e.Offset, e.Length)
		if x, ok := o.config.Store.(Resizer); ok && r.End() > o.pages {
			// The file may have grown meanwhile.
			o.aside(c, func() func() {
				ctx, cancel := context.WithTimeout(context.Background(), o.pager.config.Answer)
				defer cancel()
				err := x.Refresh(ctx)
				return func() {
					if err == nil {
						o.resize()
					}
					o.core.Request(c.id, r, access(e.Access))
				}
			})
			return
		}
		o.core.Request(c.id, r, access(e.Access))
	case mach.PagerDataUnlock:
		o.count.unlocks.Add(1)
		o.core.Unlock(c.id, rangeOf(e.Offset, e.Length), access(e.Access))
	case mach.PagerLockCompleted:
		o.count.completed.Add(1)
		o.core.LockCompleted(c.id, rangeOf(e.Offset, e.Length))
	case mach.PagerSupplyCompleted:
		o.count.taken.Add(1)
		r := rangeOf(e.Offset, e.Length)
		taken := r.N
		if e.Result != mach.KernSuccess {
			taken = min(max(int64(e.ErrorOffset)/PageSize-r.First, 0), r.N)
		}
		o.core.Supplied(c.id, r, taken)
	case dataReturn:
		if e.n <= 0 || e.n%PageSize != 0 || e.offset%PageSize != 0 {
			o.pager.config.Kernel.Free(e.addr, e.n)
			return
		}
		o.fetch(c, e)
	case mach.PagerTerminate:
		o.core.Terminated(c.id)
		o.bye(c, nil)
		c.terminated = e
	case detach:
		o.core.Terminated(c.id)
		o.bye(c, nil)
	}
}

// aside has something done that may wait, then what it returns, with mu held, then takes
// what has come from the client after it.
func (o *Object) aside(c *client, do func() (then func())) {
	c.copying = true
	go func() {
		then := do()
		o.mu.Lock()
		c.copying = false
		then()
		for len(c.in) > 0 && !c.copying {
			event := c.in[0]
			c.in[0] = nil
			c.in = c.in[1:]
			o.take(c, event)
		}
		o.finish()
	}()
}

// fetch copies the memory of a message, which may be anybody's, and takes what it says.
func (o *Object) fetch(c *client, e dataReturn) {
	o.aside(c, func() func() {
		b, err := o.pager.config.Kernel.Copy(e.addr, e.n, o.pager.memory)
		return func() {
			if err != nil {
				o.count.lost.Add(uint64(e.n / PageSize))
				o.pager.config.Log("pager: %d pages that a kernel returned cannot be read: %v", e.n/PageSize, err)
				return
			}
			chunk := newChunk(b)
			o.count.returned.Add(uint64(len(chunk.pages)))
			o.core.Returned(c.id, int64(e.offset/PageSize), chunk.data(), e.dirty, e.kept)
		}
	})
}

func rangeOf(offset, length uintptr) coherence.Range {
	if offset%PageSize != 0 || length%PageSize != 0 {
		return coherence.Range{} // not what a kernel does
	}
	return coherence.Range{First: int64(offset / PageSize), N: int64(length / PageSize)}
}

func access(p mach.Prot) coherence.Access {
	if p&mach.ProtWrite != 0 {
		return coherence.Read | coherence.Write
	}
	return coherence.Read
}

// resize tells core how many pages there are. mu is held.
func (o *Object) resize() {
	if n := pagesOf(o.config.Store.Size()); n != o.pages {
		o.pages = n
		o.core.Resize(n)
	}
}

// now is the time in core's ticks.
func (o *Object) now() coherence.Tick {
	return coherence.Tick(time.Since(o.pager.start) / time.Millisecond)
}

// finish has done what core wants, and unlocks mu. Then it sends what there is to be
// sent.
func (o *Object) finish() {
	o.core.Tick(o.now())
	for {
		actions := o.core.Actions()
		if len(actions) == 0 {
			break
		}
		for _, a := range actions {
			o.do(a)
		}
	}
	if at, ok := o.core.Next(); ok {
		o.wakeAt(at)
	} else if o.timer != nil {
		o.timer.Stop()
	}
	start := o.start
	o.start = nil
	o.mu.Unlock()
	for _, c := range start {
		o.send(c, false)
	}
}

// wakeAt has core told that it is time. If that is when a page has been held for as long as
// it must be at least, who has it needs no more than to run once: a timer would take several
// times as long.
func (o *Object) wakeAt(at coherence.Tick) {
	d := at - o.now()
	if yield := o.pager.config.Yield; yield != nil && d <= 2*o.hold { // core is ahead by one at most
		if !o.yielding {
			o.yielding = true
			go func() {
				yield()
				o.mu.Lock()
				o.yielding = false
				o.core.Tick(at)
				o.finish()
			}()
		}
		return
	}
	after := time.Duration(max(d, 1)) * time.Millisecond
	if o.timer == nil {
		o.timer = time.AfterFunc(after, func() {
			o.mu.Lock()
			o.finish()
		})
	} else {
		o.timer.Reset(after)
	}
}

// begin has what is in a client's queue sent, when mu is let go.
func (o *Object) begin(c *client) {
	if !c.sending {
		c.sending = true
		o.start = append(o.start, c)
	}
}

// tell puts a message into a client's queue.
func (o *Object) tell(id coherence.Client, m any) {
	c := o.clients[id]
	if c == nil || c.gone {
		if s, ok := m.(MsgSupply); ok {
			o.pager.memory.Free(s.Data)
		}
		return
	}
	c.out = append(c.out, m)
	o.begin(c)
}

// do does an action of core's, but for sending.
func (o *Object) do(a coherence.Action) {
	switch a := a.(type) {
	case coherence.Ready:
		o.tell(a.Client, MsgReady{a.Attributes.MayCache, mach.CopyStrategy(a.Attributes.Copy)})
	case coherence.ChangeAttributes:
		o.tell(a.Client, MsgChange{a.Attributes.MayCache, mach.CopyStrategy(a.Attributes.Copy)})
	case coherence.Supply:
		o.supply(a)
	case coherence.Lock:
		o.count.locks.Add(1)
		m := MsgLock{Offset: a.Range.First * PageSize, Length: a.Range.N * PageSize, Flush: a.Flush}
		switch a.Return {
		case coherence.ReturnDirty:
			m.Return = mach.ReturnDirty
		case coherence.ReturnAll:
			m.Return = mach.ReturnAll
		}
		if a.Forbid == coherence.ForbidWrite {
			m.Forbid = mach.ProtWrite
		}
		if c := o.clients[a.Client]; a.Reply && c != nil {
			m.Reply = c.port.port.Name()
		}
		o.tell(a.Client, m)
	case coherence.Fail:
		o.count.failed.Add(1)
		o.tell(a.Client, MsgError{a.Range.First * PageSize, a.Range.N * PageSize, reason(a.Err)})
	case coherence.Terminate:
		if c := o.clients[a.Client]; c != nil {
			o.bye(c, MsgDestroy{mach.KernSuccess})
		}
	case coherence.Cut:
		if c := o.clients[a.Client]; c != nil {
			o.count.cut.Add(1)
			o.pager.config.Log("pager: a kernel is cut off: %v", a.Err)
			c.empty()
			o.bye(c, MsgDestroy{reason(a.Err)})
		}
	case coherence.Load:
		for r := a.Range; r.N > 0; {
			// In parts that begin at multiples of their size.
			n := min(r.N, maxLoad-r.First%maxLoad)
			o.ask(job{load: true, r: coherence.Range{First: r.First, N: n}})
			r.First, r.N = r.First+n, r.N-n
		}
	case coherence.Store:
		o.ask(job{r: coherence.Range{First: a.First, N: int64(len(a.Data))}, data: a.Data})
	case coherence.Reserve:
		o.ask(job{reserve: true, r: coherence.Range{First: a.Page, N: 1}})
	case coherence.Discard:
		o.discard(a.Data.(*page))
	case coherence.Granted:
		o.answer(a.Token, a.Err)
	case coherence.Synced:
		o.answer(a.Token, a.Err)
	case coherence.Closed:
		o.answer(a.Token, a.Err)
	}
}

func (o *Object) answer(t coherence.Token, err error) {
	if w := o.waiting[t]; w != nil {
		delete(o.waiting, t)
		w <- err
	}
}

// reason is what a kernel is told, of which it does nothing.
func reason(err error) mach.KernReturn {
	if k := mach.Code(err); k != mach.KernSuccess && !errors.Is(err, proto.EIO) {
		return k
	}
	return mach.KernMemoryError
}

// supply gives a client pages, in messages of one chunk of memory each, so that the first
// can be used while the others are on their way.
func (o *Object) supply(a coherence.Supply) {
	for first, data := a.First, a.Data; len(data) > 0; {
		n := 1
		for n < len(data) && n < maxLoad && data[n].(*page).chunk == data[0].(*page).chunk {
			n++
		}
		o.supplyPart(a, first, data[:n])
		first, data = first+int64(n), data[n:]
	}
}

func (o *Object) supplyPart(a coherence.Supply, first int64, data []coherence.Data) {
	c := o.clients[a.Client]
	n := uint64(len(data))
	b, err := o.gather(data, a.Final)
	if err != nil {
		// Without memory, who has asked is told so. That it has not got the pages is no
		// worse than that it has lost them.
		o.pager.config.Log("pager: %v", err)
		o.tell(a.Client, MsgError{first * PageSize, int64(n) * PageSize, mach.KernResourceShortage})
		o.core.Unsupplied(a.Client, coherence.Range{First: first, N: int64(n)})
		return
	}
	m := MsgSupply{Offset: first * PageSize, Data: b, Precious: a.Precious}
	if a.Forbid == coherence.ForbidWrite {
		m.Forbid = mach.ProtWrite
	}
	if a.Ack && c != nil {
		m.Reply = c.port.port.Name()
	}
	o.count.supplied.Add(n)
	if c != nil {
		c.supplied += n
	}
	o.tell(a.Client, m)
}

// ask has the store asked. mu is held.
func (o *Object) ask(j job) {
	if o.config.Quick {
		o.serve(j)(o)
		return
	}
	o.jobs = append(o.jobs, j)
	if o.workers < maxJobs {
		o.workers++
		go o.work()
	}
}

// work asks the store as long as there is something to ask.
func (o *Object) work() {
	o.mu.Lock()
	for len(o.jobs) > 0 {
		j := o.jobs[0]
		o.jobs = o.jobs[1:]
		o.mu.Unlock()
		done := o.serve(j)
		o.mu.Lock()
		done(o)
		o.finish()
		o.mu.Lock()
	}
	o.workers--
	o.mu.Unlock()
}

// serve asks the store, and returns what tells core.
func (o *Object) serve(j job) (done func(*Object)) {
	s := o.config.Store
	switch {
	case j.load:
		data, err := o.load(j.r)
		return func(o *Object) { o.core.Loaded(j.r, data, err) }
	case j.reserve:
		err := s.Reserve(j.r.First * PageSize)
		return func(o *Object) { o.core.Reserved(j.r.First, err) }
	}
	var err error
	for i, d := range j.data {
		if e := s.WriteBack(d.(*page).bytes, (j.r.First+int64(i))*PageSize); e != nil && err == nil {
			err = e
		}
	}
	o.count.stored.Add(uint64(len(j.data)))
	if err != nil {
		o.pager.config.Log("pager: pages %v cannot be stored: %v", j.r, err)
	}
	return func(o *Object) { o.core.Stored(j.r, err) }
}

// load reads pages.
func (o *Object) load(r coherence.Range) ([]coherence.Data, error) {
	b, err := o.pager.memory.Alloc(int(r.N) * PageSize)
	if err != nil {
		return nil, err
	}
	off := r.First * PageSize
	if n, err := o.config.Store.ReadAt(b, off); n < len(b) && int64(n) < o.config.Store.Size()-off {
		o.pager.memory.Free(b)
		if err == nil {
			err = proto.EIO
		}
		return nil, err
	}
	o.count.loaded.Add(uint64(r.N))
	return newChunk(b).data(), nil
}

// request asks core for something that it answers, and waits for the answer.
func (o *Object) request(ctx context.Context, ask func(coherence.Token)) (t coherence.Token, err error) {
	w := make(chan error, 1)
	o.mu.Lock()
	o.token++
	t = o.token
	o.waiting[t] = w
	ask(t)
	o.finish()
	select {
	case err = <-w:
		return t, err
	default:
	}
	select {
	case err = <-w:
	case <-ctx.Done():
		o.mu.Lock()
		delete(o.waiting, t)
		// It may have been granted just now: then this undoes it.
		o.core.Release(t)
		o.finish()
		err = context.Cause(ctx)
	}
	return t, err
}

// with calls fn while the pages of n bytes at off are the caller's, for the access.
func (o *Object) with(ctx context.Context, off, n int64, a coherence.Access, fn func() error) error {
	t, err := o.request(ctx, func(t coherence.Token) { o.core.Take(t, span(off, n), a) })
	if err != nil {
		return err
	}
	defer func() {
		o.mu.Lock()
		if a&coherence.Write != 0 {
			o.resize()
		}
		o.core.Release(t)
		o.finish()
	}()
	return fn()
}

// span returns the pages of n bytes at off.
func span(off, n int64) coherence.Range {
	if off < 0 || n <= 0 {
		return coherence.Range{First: max(off, 0) / PageSize}
	}
	first, end := off/PageSize, int64(LastPage)
	if n < LastPage*PageSize-off {
		end = (off + n + PageSize - 1) / PageSize
	}
	return coherence.Range{First: first, N: max(end-first, 0)}
}

// Read calls fn, which reads n bytes at off of the store, while that has what all
// kernels have changed, and none changes anything.
func (o *Object) Read(ctx context.Context, off, n int64, fn func() error) error {
	return o.with(ctx, off, n, coherence.Read, fn)
}

// Write calls fn, which writes n bytes at off to the store, while no kernel has any of
// the pages.
func (o *Object) Write(ctx context.Context, off, n int64, fn func() error) error {
	return o.change(ctx, func() (int64, int64) {
		// If it makes the file longer, what a mapping has written beyond the old end must
		// not show.
		if size := o.config.Store.Size(); off > size && n > 0 {
			return size, off + n - size
		}
		return off, n
	}, fn)
}

// SetSize calls fn, which makes the store size bytes long.
func (o *Object) SetSize(ctx context.Context, size int64, fn func() error) error {
	return o.change(ctx, func() (int64, int64) {
		return min(size, o.config.Store.Size()), math.MaxInt64
	}, fn)
}

func (o *Object) change(ctx context.Context, where func() (off, n int64), fn func() error) error {
	select {
	case o.changing <- struct{}{}:
		defer func() { <-o.changing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	off, n := where()
	return o.with(ctx, off, n, coherence.Read|coherence.Write, fn)
}

// Sync has what kernels have changed of n bytes at off until now written to the
// store. They keep their pages.
func (o *Object) Sync(ctx context.Context, off, n int64) error {
	_, err := o.request(ctx, func(t coherence.Token) { o.core.Sync(t, span(off, n)) })
	return err
}

// Refresh has a store that changes by itself look how long it is.
func (o *Object) Refresh(ctx context.Context) error {
	x, ok := o.config.Store.(Resizer)
	if !ok {
		return nil
	}
	if err := x.Refresh(ctx); err != nil {
		return err
	}
	o.mu.Lock()
	o.resize()
	o.finish()
	return nil
}

// Cache says whether kernels may keep pages of what is not mapped.
func (o *Object) Cache(may bool) {
	o.mu.Lock()
	o.core.SetAttributes(o.attributes(!may))
	o.finish()
}

// Close has all that was changed written to the store, tells the kernels that the object
// is gone, and ends its ports.
func (o *Object) Close(ctx context.Context) error {
	_, err := o.request(ctx, func(t coherence.Token) { o.core.Close(t) })
	o.portMu.Lock()
	list := o.ports
	o.ports = [2]*objectPort{}
	o.portMu.Unlock()
	for _, p := range list {
		if p != nil {
			p.port.Close()
			if o.config.Left != nil {
				o.config.Left()
			}
		}
	}
	return err
}

// Stats are what an object has done.
type Stats struct {
	Clients  int    // now
	Requests uint64 // for pages
	Unlocks  uint64 // requests to write to them
	Supplied uint64 // pages
	Most     uint64 // supplied to one client
	Returned uint64 // pages
	Locks    uint64 // requests to kernels
	Taken    uint64 // supplies that kernels said to have taken
	Failed   uint64 // errors that kernels were told
	Cut      uint64 // kernels that were cut off
	Lost     uint64 // pages that were returned in memory that could not be read
	Loaded   uint64 // pages of the store
	Stored   uint64 // pages of the store
	Waited   uint64 // messages to kernels that found a full queue
	Ignored  uint64 // messages that were no client's
	Early    uint64 // pages that those who are clients now had asked to write to, and were called back before
	Hold     uint64 // the longest minimum hold of them at present, in ms
	Each     []ClientStats
}

// ClientStats is one client's part.
type ClientStats struct {
	Control  mach.Port
	ReadOnly bool
	Supplied uint64 // pages
}

// Stats returns the counts.
func (o *Object) Stats() Stats {
	c := &o.count
	s := Stats{
		Requests: c.requests.Load(), Unlocks: c.unlocks.Load(), Supplied: c.supplied.Load(), Returned: c.returned.Load(),
		Locks: c.locks.Load(), Taken: c.taken.Load(), Failed: c.failed.Load(), Cut: c.cut.Load(), Lost: c.lost.Load(), Loaded: c.loaded.Load(), Stored: c.stored.Load(),
		Waited: c.waited.Load(), Ignored: c.ignored.Load(),
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Clients, s.Most = len(o.clients), o.most
	for _, c := range o.clients {
		s.Most = max(s.Most, c.supplied)
		s.Each = append(s.Each, ClientStats{c.control, c.port.readOnly, c.supplied})
		early, least := o.core.Early(c.id)
		s.Early += early
		s.Hold = max(s.Hold, uint64(least))
	}
	return s
}

// String is the form of pager_info: a line for each number.
func (s Stats) String() string {
	var b strings.Builder
	for _, x := range []struct {
		name string
		n    uint64
	}{
		{"clients", uint64(s.Clients)}, {"requests", s.Requests}, {"unlocks", s.Unlocks}, {"supplied", s.Supplied}, {"most", s.Most},
		{"returned", s.Returned}, {"locks", s.Locks}, {"taken", s.Taken}, {"failed", s.Failed}, {"cut", s.Cut}, {"lost", s.Lost}, {"loaded", s.Loaded},
		{"stored", s.Stored}, {"waited", s.Waited}, {"ignored", s.Ignored}, {"early", s.Early}, {"hold_ms", s.Hold},
	} {
		fmt.Fprintf(&b, "%s %d\n", x.name, x.n)
	}
	return b.String()
}
