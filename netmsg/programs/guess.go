package programs

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

const (
	// Fresh is how long after it was opened a file may be taken for what it was then, if nothing
	// has passed between this node and any other since.
	//
	// Who executes a file by its name opens it and executes it at once: what was changed before
	// they did is what they get. Who executes a file that they have had open for less than this
	// may get the headers, though never the pages, that a program had before a change of which
	// they have heard in this time by other means than netmsg.
	Fresh = 100 * time.Millisecond
	// patience is how long the exec server is kept waiting for a look-up. Who wants the program
	// waits on, but not in the exec server, which starts so many programs at a time and no more.
	patience = time.Second
	// maxGuesses bounds those that the exec server is kept waiting for.
	maxGuesses = 16
)

// A Found is what a look-up has found: the answer to dir_lookup. If that is a file, io_stat has
// said Stat of it when it was opened.
type Found struct {
	Retry int32
	Name  string
	File  mach.Port
	Stat  proto.Stat
	Owner Owner // on whose behalf it can be run
}

// Plain reports whether it is a file, and there is nothing more to look up.
func (f *Found) Plain() bool {
	return f.Retry == proto.RetryNormal && f.Name == "" && f.File.Valid()
}

// A Guess is a file that is being looked up to be executed, and that is thought to be what was
// run by that name before. So the one who wants to execute it need not wait for the look-up before
// they make a task for it, nor the exec server before it has read its headers, or loaded it;
// but what the look-up has not confirmed does not run. What is wrong with the file they learn when
// they use it.
type Guess struct {
	// Find looks the file up.
	Find func(ctx context.Context) (Found, error)
	// Heard returns how many messages have come from other nodes since Start was called. One
	// is the answer to this look-up.
	Heard func() int
	// Drop gives up a file that has been found.
	Drop func(file mach.Port)
	// Cache has the program that it is thought to be, which is Owner's and was Stat.
	Cache *Cache
	Owner Owner
	Stat  proto.Stat

	since  time.Time
	cancel context.CancelFunc
	done   chan struct{} // closed when these are there:
	found  Found
	err    error

	turn      chan struct{} // has room for one: who uses the file
	news      bool          // of whose turn it is: they may have heard of a change of the file
	confirmed atomic.Bool

	mu     sync.Mutex
	closed bool
	taken  bool // the file is somebody else's
}

// Start begins the look-up, which ends with ctx, or Close.
func (g *Guess) Start(ctx context.Context) {
	g.since, g.done, g.turn = time.Now(), make(chan struct{}), make(chan struct{}, 1)
	ctx, g.cancel = context.WithCancel(ctx)
	go func() {
		g.found, g.err = g.Find(ctx)
		g.mu.Lock()
		defer g.mu.Unlock()
		close(g.done)
		if g.closed {
			g.drop()
		}
	}()
}

// Close ends the look-up, and gives up the file if nobody has taken it.
func (g *Guess) Close() {
	g.cancel()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	select {
	case <-g.done:
		g.drop()
	default:
	}
}

func (g *Guess) drop() {
	if g.err == nil && !g.taken && g.found.File.Valid() {
		g.Drop(g.found.File)
	}
	g.taken = true
}

// Take returns what has been found, which is the caller's then. It waits for the look-up, and
// for an Exec that is under way.
func (g *Guess) Take(ctx context.Context) (Found, error) {
	if err := g.lock(ctx); err != nil {
		return Found{}, err
	}
	defer g.unlock()
	if err := g.wait(ctx); err != nil {
		return Found{}, err
	}
	return g.take(true)
}

func (g *Guess) take(away bool) (Found, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.taken {
		return Found{}, proto.EIEIO
	}
	g.taken = away
	return g.found, nil
}

func (g *Guess) lock(ctx context.Context) error {
	select {
	case g.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *Guess) unlock() { <-g.turn }

// wait waits for the look-up, and returns its error.
func (g *Guess) wait(ctx context.Context) error {
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Exec has run run what the file is thought to be: a right that is borrowed. Either the one who
// is given the right asks io_stat of it before anything lasting is done, which is answered when it
// is known that the guess is right; or, with held, run makes sure itself, by its argument, while
// what it runs is held. If the look-up finds something else, or it cannot be known soon enough, run is
// to fail, and otherwise is called with what has been found: as if there had been no guess. What
// otherwise is given is its own, unless it is a file.
func (g *Guess) Exec(ctx context.Context, held bool, run func(ctx context.Context, program mach.Port, sure func(context.Context) error) error, otherwise func(ctx context.Context, f Found) error) error {
	if err := g.lock(ctx); err != nil {
		return err
	}
	defer g.unlock()
	g.news = g.heard()
	if time.Since(g.since) < Fresh && g.Cache.guessing() {
		var asked func(context.Context) error
		if !held {
			asked = g.soon
		}
		program, err := g.Cache.Expect(g.Owner, g.Stat, asked)
		if err == nil {
			err = run(ctx, program, g.sure)
			g.Cache.Ports.Release(program)
			sure := g.confirmed.Load()
			g.Cache.guessed(err == nil && !sure)
			if sure || err == nil {
				return err
			}
		} else {
			g.Cache.guessed(false)
		}
	}
	if err := g.wait(ctx); err != nil {
		return err
	}
	f, err := g.take(!g.found.Plain())
	if err != nil {
		return err
	}
	return otherwise(ctx, f)
}

// heard reports whether anything else than the answer has come until now.
func (g *Guess) heard() bool {
	n := g.Heard()
	select {
	case <-g.done:
		n--
	default:
	}
	return n > 0
}

// soon is sure, for the exec server.
func (g *Guess) soon(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, proto.ETIMEDOUT)
	defer cancel()
	return g.sure(ctx)
}

// sure waits until it is known whether the guess is right, and fails if it is not.
func (g *Guess) sure(ctx context.Context) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	if !g.found.Plain() || keyOf(g.found.Owner, g.found.Stat) != keyOf(g.Owner, g.Stat) {
		return proto.ESTALE
	}
	if g.news {
		st, err := proto.IOStat(ctx, g.found.File)
		if err != nil {
			return err
		}
		if keyOf(g.Owner, st) != keyOf(g.Owner, g.Stat) {
			return proto.ESTALE
		}
	}
	g.confirmed.Store(true)
	return nil
}

// guessing takes one of the guesses that may be run at a time.
func (c *Cache) guessing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.never || c.guesses >= maxGuesses {
		return false
	}
	c.guesses++
	return true
}

// guessed gives it back. unasked is that the program runs although nobody has asked whether it is
// the right one: this node's exec server cannot be kept waiting so, and is not again.
func (c *Cache) guessed(unasked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guesses--
	c.never = c.never || unasked
}

// A Path is by what a program was run: for whom it was looked up, where, and by which name.
type Path struct {
	Node, Export, Name string
	User               string // with all ids
}

// maxPaths bounds the paths that are remembered.
const maxPaths = 256

// A Paths remembers which programs were run by which paths. The zero value knows none.
type Paths struct {
	mu   sync.Mutex
	list []remembered // the last used one last
}

type remembered struct {
	path  Path
	owner Owner
	stat  proto.Stat
}

// Ran notes what was run by a path.
func (s *Paths) Ran(p Path, o Owner, st proto.Stat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(r remembered) bool { return r.path == p })
	if len(s.list) == maxPaths {
		s.list = slices.Delete(s.list, 0, 1)
	}
	s.list = append(s.list, remembered{p, o, st})
}

// Forget forgets a path.
func (s *Paths) Forget(p Path) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(r remembered) bool { return r.path == p })
}

// Find returns what was run by a path.
func (s *Paths) Find(p Path) (o Owner, st proto.Stat, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.list, func(r remembered) bool { return r.path == p })
	if i < 0 {
		return o, st, false
	}
	r := s.list[i]
	s.list = append(slices.Delete(s.list, i, i+1), r)
	return r.owner, r.stat, true
}
