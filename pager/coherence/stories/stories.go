// Package stories tells the scripts in pager/coherence/testdata to whatever decides
// as package coherence does: to it, and to its sister in C in patches/hurd.
//
// Each is a story about the kernels that use an object, told as what they and the store
// say, and answered with what is said to them. Its first lines say which rules of
// docs/pager.md it is about. To write the answers anew: go test ./pager/coherence
// -run TestScripts -rewrite; then read the difference.
//
// The language, where a is a client and PAGES is 3 or 0-7:
//
//	begin [pages=8 order=weak cluster=4 readahead=16 hold=5 answer=100 reserve clients=2 ...] [acks] [store]
//	a attaches [read-only]; a is gone; a terminates
//	a asks PAGES [write]; a unlocks PAGES
//	a returns 3 x y [clean] [kept]      pages 3 and 4
//	a completes PAGES                   lock_completed
//	a takes PAGES [N]                   supply_completed, of the first N
//	a misses PAGES                      the supply cannot be done
//	loaded 3 x y; loaded PAGES: ERROR; stored PAGES [: ERROR]; reserved 3 [: ERROR]
//	sync t PAGES; take t PAGES read|write; release t; close t
//	resize 4; attributes [cache] [copy=2]; tick 10; next; dump; stats; idle
//
// With "store" there is one that answers at once.
package stories

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"hurdlab/internal/scripts"
	. "hurdlab/pager/coherence"
	"hurdlab/pager/coherence/sim"
)

// A Core is what the stories are told to.
type Core interface {
	sim.Core
	SetAttributes(Attributes)
}

// Run tells the scripts in testdata to cores that begin makes.
func Run(t *testing.T, begin func(Config) Core) {
	scripts.Run(t, func(d *datadriven.TestData) (scripts.World, error) {
		w, err := newWorld(d, begin)
		if err != nil {
			return scripts.World{}, err
		}
		return scripts.World{Line: w.line, Out: &w.out}, nil
	})
}

// A world is the object of a script and those around it.
type world struct {
	Core
	clients map[string]Client
	names   map[Client]string
	tokens  []string
	store   map[int64]string // or nil
	out     strings.Builder
}

func newWorld(d *datadriven.TestData, begin func(Config) Core) (*world, error) {
	c := Config{Pages: 8}
	w := &world{clients: make(map[string]Client), names: make(map[Client]string)}
	for _, a := range d.CmdArgs {
		n := 0
		if len(a.Vals) > 0 && a.Key != "order" {
			var err error
			if n, err = strconv.Atoi(a.Vals[0]); err != nil {
				return nil, err
			}
		}
		switch a.Key {
		case "pages":
			c.Pages = int64(n)
		case "order":
			c.Order = Weak
		case "cluster":
			c.Cluster = n
		case "readahead":
			c.ReadAhead = n
		case "hold":
			c.Hold = Tick(n)
		case "acks":
			c.Acks = true
		case "arrival":
			c.Arrival = Tick(n)
		case "answer":
			c.Answer = Tick(n)
		case "reserve":
			c.Reserve = true
		case "clients":
			c.Limits.Clients = n
		case "requests":
			c.Limits.Requests = n
		case "range":
			c.Limits.Range = n
		case "lock":
			c.Limits.Lock = n
		case "unstored":
			c.Limits.Unstored = n
		case "store":
			w.store = make(map[int64]string)
		default:
			return nil, fmt.Errorf("no option %q", a.Key)
		}
	}
	w.Core = begin(c)
	if _, ok := w.Core.(sim.Acker); c.Acks && !ok {
		return nil, scripts.ErrSkip
	}
	return w, nil
}

func parsePages(s string) (Range, error) {
	a, b, ok := strings.Cut(s, "-")
	first, err := strconv.ParseInt(a, 10, 64)
	if err != nil {
		return Range{}, err
	}
	if !ok {
		return Range{First: first, N: 1}, nil
	}
	last, err := strconv.ParseInt(b, 10, 64)
	return Range{First: first, N: last - first + 1}, err
}

func (w *world) token(name string) Token {
	i := slices.Index(w.tokens, name)
	if i < 0 {
		i = len(w.tokens)
		w.tokens = append(w.tokens, name)
	}
	return Token(i)
}

func (w *world) line(line string) error {
	text, fault, failed := strings.Cut(line, ": ")
	f := strings.Fields(text)
	var err error
	if failed {
		err = errors.New(fault)
	}
	word := func(s string) bool { return slices.Contains(f, s) }
	pages := func(i int) (r Range) {
		if i >= len(f) {
			err = errors.New("no pages")
			return r
		}
		r, e := parsePages(f[i])
		if e != nil {
			err = e
		}
		return r
	}
	access := Read
	if word("write") {
		access |= Write
	}
	switch f[0] {
	case "loaded":
		r := pages(1)
		var data []Data
		for _, s := range f[2:] {
			data = append(data, s)
		}
		r.N = max(r.N, int64(len(data)))
		w.Loaded(r, data, err)
	case "stored":
		w.Stored(pages(1), err)
	case "reserved":
		w.Reserved(pages(1).First, err)
	case "sync":
		w.Sync(w.token(f[1]), pages(2))
	case "take":
		w.Take(w.token(f[1]), pages(2), access)
	case "release":
		w.Release(w.token(f[1]))
	case "close":
		w.Close(w.token(f[1]))
	case "resize":
		w.Resize(pages(1).First)
	case "attributes":
		a := Attributes{MayCache: word("cache")}
		for _, s := range f {
			if s, ok := strings.CutPrefix(s, "copy="); ok {
				fmt.Sscan(s, &a.Copy)
			}
		}
		w.SetAttributes(a)
	case "tick":
		w.Tick(Tick(pages(1).First))
	case "next":
		at, ok := w.Next()
		fmt.Fprintln(&w.out, "next", at*Tick(btoi(ok)), ok)
	case "dump":
		w.out.WriteString(w.rename(w.Dump()))
	case "stats":
		fmt.Fprintf(&w.out, "%+v\n", w.Stats())
	case "idle":
		fmt.Fprintln(&w.out, "idle:", w.Idle())
	default:
		c := w.clients[f[0]]
		if len(f) < 2 {
			return errors.New("what?")
		}
		if c == 0 && f[1] != "attaches" {
			c = 99 // a stranger
		}
		switch f[1] {
		case "attaches":
			c, err := w.Attach(word("read-only"))
			if err != nil {
				fmt.Fprintf(&w.out, "%s: %v\n", f[0], err)
				return nil
			}
			w.clients[f[0]], w.names[c] = c, f[0]
		case "is":
			w.Gone(c)
		case "terminates":
			w.Terminated(c)
		case "asks":
			w.Request(c, pages(2), access)
		case "unlocks":
			w.Unlock(c, pages(2), Read|Write)
		case "returns":
			var data []Data
			for _, s := range f[3:] {
				if s != "clean" && s != "kept" {
					data = append(data, s)
				}
			}
			w.Returned(c, pages(2).First, data, !word("clean"), word("kept"))
		case "takes":
			r := pages(2)
			n := r.N
			if len(f) > 3 {
				fmt.Sscan(f[3], &n)
			}
			w.Core.(sim.Acker).Supplied(c, r, n)
		case "misses":
			w.Core.(sim.Acker).Unsupplied(c, pages(2))
		case "completes":
			w.LockCompleted(c, pages(2))
		default:
			return fmt.Errorf("what is %q?", f[1])
		}
	}
	if err != nil && !failed {
		return err
	}
	return w.act()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// act says what is to be done, and does it if there is a store.
func (w *world) act() error {
	for {
		if err := w.Check(); err != nil {
			return err
		}
		acts := w.Actions()
		if len(acts) == 0 {
			return nil
		}
		for _, a := range acts {
			w.say(a)
			if w.store == nil {
				continue
			}
			switch a := a.(type) {
			case Load:
				var data []Data
				for n := a.Range.First; n < a.Range.End(); n++ {
					d, ok := w.store[n]
					if !ok {
						d = fmt.Sprintf("s%d", n)
					}
					data = append(data, d)
				}
				w.Loaded(a.Range, data, nil)
			case Store:
				for i, d := range a.Data {
					w.store[a.First+int64(i)] = d.(string)
				}
				w.Stored(Range{First: a.First, N: int64(len(a.Data))}, nil)
			case Reserve:
				w.Reserved(a.Page, nil)
			}
		}
	}
}

func (w *world) say(a Action) {
	say := func(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }
	name := func(c Client) string { return w.names[c] }
	list := func(first int64, data []Data) string {
		s := fmt.Sprint(Range{First: first, N: int64(len(data))})
		for _, d := range data {
			s += fmt.Sprintf(" %v", d)
		}
		return s
	}
	fault := func(err error) string {
		if err == nil {
			return ""
		}
		return ": " + err.Error()
	}
	token := func(t Token) string { return w.tokens[t] }
	switch a := a.(type) {
	case Ready:
		say("%s← ready %v", name(a.Client), a.Attributes)
	case ChangeAttributes:
		say("%s← attributes %v", name(a.Client), a.Attributes)
	case Supply:
		s := list(a.First, a.Data)
		if a.Forbid == ForbidNothing {
			s += ", write"
		} else {
			s += ", read"
		}
		if a.Precious {
			s += ", precious"
		}
		if a.Final {
			s += ", final"
		}
		if a.Ack {
			s += ", ack"
		}
		say("%s← supply %s", name(a.Client), s)
	case Lock:
		var s []string
		switch a.Return {
		case ReturnDirty:
			s = append(s, "return dirty")
		case ReturnAll:
			s = append(s, "return all")
		}
		switch {
		case a.Flush:
			s = append(s, "flush")
		case a.Forbid == ForbidWrite:
			s = append(s, "forbid write")
		case a.Forbid == ForbidNothing:
			s = append(s, "forbid nothing")
		}
		if a.Reply {
			s = append(s, "reply")
		}
		say("%s← lock %v: %s", name(a.Client), a.Range, strings.Join(s, ", "))
	case Fail:
		say("%s← fail %v%s", name(a.Client), a.Range, fault(a.Err))
	case Terminate:
		say("%s← terminate", name(a.Client))
	case Cut:
		say("%s is cut off%s", name(a.Client), fault(a.Err))
	case Load:
		say("load %v", a.Range)
	case Store:
		say("store %s", list(a.First, a.Data))
	case Reserve:
		say("reserve %d", a.Page)
	case Discard:
		say("discard %v", a.Data)
	case Granted:
		say("granted %s%s", token(a.Token), fault(a.Err))
	case Synced:
		say("synced %s%s", token(a.Token), fault(a.Err))
	case Closed:
		say("closed %s%s", token(a.Token), fault(a.Err))
	default:
		say("%#v", a)
	}
}

// rename puts the names of clients in a dump in the place of their numbers.
func (w *world) rename(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		for c, name := range w.names {
			for _, x := range []string{" %d:", "client %d", "ahead %d", " of %d", " to %d"} {
				old := fmt.Sprintf(x, c)
				line = regexp.MustCompile(regexp.QuoteMeta(old)+`\b`).ReplaceAllString(line, strings.ReplaceAll(x, "%d", name))
				if strings.HasSuffix(old, ":") {
					line = strings.ReplaceAll(line, old, strings.ReplaceAll(x, "%d", name))
				}
			}
		}
		b.WriteString("  " + line + "\n")
	}
	return b.String()
}
