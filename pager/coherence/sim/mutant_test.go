package sim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A mutation is a place in package coherence and what stands there instead. With
// fault(name) false it must do what the original does.
type mutation struct{ file, old, new string }

// faultSource is added to the package: which fault it has.
const faultSource = `package coherence

import "os"

var theFault = os.Getenv("PAGER_FAULT")

func fault(name string) bool { return name == theFault }

func faultForbid(f Forbid) Forbid {
	if fault("who reads may write") {
		return ForbidNothing
	}
	return f
}
`

var mutations = []mutation{
	{"object.go", `if p == nil || p.recalled(c) == nil { // G6`, `if fault("a request inside a recall is a loss") || p == nil || p.recalled(c) == nil { // G6`},
	{"object.go", `y.version > wrote {`, `y.version > wrote && !fault("a sync ends with any store") {`},
	{"object.go", `return l.c == c && l.kind == lockDiscard })`,
		`return l.c == c && (l.kind == lockDiscard && !fault("what was cut off comes back") || fault("data in a recall is dropped")) })`},
	{"object.go", `case h&holdsWrite == 0 || !dirty`, `case h&holdsWrite == 0 && !fault("who reads may change the page") || !dirty`},
	{"object.go", `if kept || o.config`, `if kept && !fault("a page that is kept is lost") || o.config`},
	{"object.go", `if holds && o.config.Order == Weak { // W2`, `if holds && o.config.Order == Weak && !fault("weak: a completion is trusted") { // W2`},
	{"object.go", `o.hold(c, n, h&^holdsWrite)`, `if fault("a writer that may go on to read is forgotten") {
					o.unhold(c, n)
				} else {
					o.hold(c, n, h&^holdsWrite)
				}`},
	{"object.go", `return l.r == r && !l.answered`, `return (l.r == r || fault("any completion will do")) && !l.answered`},
	{"object.go", `case p.data != d: // D3: there is newer data, or it is not wanted any more
			o.discard(d)
			if p.data != nil {`, `case p.data != d: // D3: there is newer data, or it is not wanted any more
			o.discard(d)
			if p.data != nil && !fault("newer data is not stored") {`},
	{"object.go", `		default: // E4
`, `		case fault("what is not stored is dropped"):
			o.drop(p)
			o.discard(d)
		default: // E4
`},
	{"object.go", `p.queue = slices.DeleteFunc(p.queue, wanted)`, `if !fault("who is gone still waits") {
				p.queue = slices.DeleteFunc(p.queue, wanted)
			}`},
	{"object.go", `p.locks = slices.DeleteFunc(p.locks, func(l *lock) bool { return l.c == c })`, `if !fault("who is gone is still waited for") {
			p.locks = slices.DeleteFunc(p.locks, func(l *lock) bool { return l.c == c })
		}`},
	{"object.go", `if c.pages > 0 {`, `if c.pages > 0 && !fault("who is gone still holds") {`},
	{"object.go", `c.since+o.config.Answer <= o.now {`, `c.since+o.config.Answer <= o.now && !fault("no deadline") {`},
	{"object.go", `case c.readOnly || n`, `case c.readOnly && !fault("who has it for reading unlocks") || n`},
	{"object.go", `case kind == wantWrite && c.readOnly &&`, `case kind == wantWrite && c.readOnly && !fault("who has it for reading writes") &&`},
	{"object.go", `case o.config.Order == Weak && holds:`, `case o.config.Order == Weak && holds && !fault("weak: a request by a holder is served"):`},
	{"object.go", `				p.held = false
				o.touch(p)
`, `				if !fault("a hold does not end") {
					p.held = false
					o.touch(p)
				}
`},
	{"object.go", `case c.comes(n): // A1`, `case c.comes(n) && !fault("a request that has crossed is a loss"): // A1`},
	{"object.go", `c.coming = append(c.coming, coming{l.r, l})`, `if !fault("a request that has crossed with an error is a loss") {
			c.coming = append(c.coming, coming{l.r, l})
		}`},
	{"object.go", `(n > r.First+taken || doubt) { // A2`, `(n > r.First+taken || doubt && !fault("what has crossed with an error is answered")) { // A2`},

	{"object.go", `o.failWant(p, *w, firstError(err, ErrUnstored))`, `o.failWant(p, *w, firstError(err, ErrUnstored))
					for _, c := range o.clients {
						if fault("all are told of an error") && c != w.c {
							o.fail(c, p.n, firstError(err, ErrUnstored))
						}
					}`},
	{"object.go", `wait(p, p.locks[len(p.locks)-1])`, `if !fault("a sync does not wait for data") {
			wait(p, p.locks[len(p.locks)-1])
		}`},
	{"object.go", `wait(p, l) // which returns it`, `if !fault("a sync does not wait for data that comes anyway") {
				wait(p, l) // which returns it
			}`},
	{"object.go", `			o.unpark(p, c)
`, `			if !fault("weak: a request that waits is forgotten") {
				o.unpark(p, c)
			}
`},
	{"object.go", `Forbid: forbid, Precious: o.config.Order == Weak, Ack: ack, ahead: ahead}`, `Forbid: faultForbid(forbid), Precious: o.config.Order == Weak && !fault("weak: pages are not precious"), Ack: ack, ahead: ahead}`},
	{"object.go", `s.Final = true`, `s.Final = !fault("data is not given back")`},
	{"object.go", `left[d] = false`, `left[d] = fault("data is given away while it is needed")`},
	{"advance.go", `case c.readOnly && w.kind`, `case c.readOnly && !fault("who has it for reading writes") && w.kind`},
	{"advance.go", `p.stale = p.loading`, `p.stale = p.loading && !fault("an old load is used")`},
	{"advance.go", `	o.discard(p.fresh)
	p.fresh, p.ahead = nil, nil
	p.stale`, `	if !fault("loaded data is kept") {
		o.discard(p.fresh)
		p.fresh = nil
	}
	p.ahead = nil
	p.stale`},
	{"advance.go", `	d := p.data // D2
`, `	d := p.data // D2
	if fault("the store is trusted") {
		d = nil
	}
`},
	{"advance.go", `if p.data != nil || p.fresh != nil || p.writing != nil ||`, `if (p.data != nil || p.writing != nil) && !fault("the store is trusted") || p.fresh != nil ||`},
	{"advance.go", `|| p.recalls() { // G2`, `|| p.recalls() && !fault("a recall is not waited for") { // G2`},
	{"advance.go", `return w.kind == wantWrite || x&holdsMaybe != 0`, `return (w.kind == wantWrite || x&holdsMaybe != 0) && !fault("no flush before writing")`},
	{"object.go", `w.doubt = holds ||`, `w.doubt = holds && !fault("requests are never in doubt") ||`},
	{"advance.go", `			a.Flush = true
		case lockDiscard:`, `			a.Flush = !fault("a flush does not flush")
		case lockDiscard:`},
	{"advance.go", `			a.Forbid = ForbidWrite
`, `			if !fault("a recall leaves the right to write") {
				a.Forbid = ForbidWrite
			}
`},
	{"advance.go", `		o.await(l)
`, `		if fault("a recall returns nothing") {
			a.Return = ReturnNone
		}
		o.await(l)
`},
	{"advance.go", `return w.kind != wantRead || x&holdsWrite != 0`, `return w.kind != wantRead && !(fault("an unlock leaves the others") && w.kind == wantUnlock) || x&holdsWrite != 0`},
	{"advance.go", `if w == nil || o.blocked(p.n, w.kind != wantRead, w.seq) { // T2`, `if w == nil || !fault("what is taken is granted") && o.blocked(p.n, w.kind != wantRead, w.seq) { // T2`},
	{"advance.go", `if wait || p.writing != nil {`, `if wait || p.writing != nil && !fault("a take does not wait for the store") {`},
	{"advance.go", `return !holds && !written && !o.closing`, `return !holds && (!written || fault("ahead of a writer")) && !o.closing`},
	{"advance.go", `		o.discard(p.data)
	}
	if p.failed`, `		if !fault("dropped data is not given back") {
			o.discard(p.data)
		}
	}
	if p.failed`},
	{"advance.go", `if all || o.config.Order == Weak { // W2`, `if all || o.config.Order == Weak && !fault("weak: a writer may go on to read") { // W2`},
	{"advance.go", `if x.write || y&holdsWrite != 0 {`, `if x.write && !fault("readers are left to who takes for writing") || y&holdsWrite != 0 {`},
}

// mutantOps is in how many operations of each of the seeds a fault must be found.
const mutantOps = "1500000"

var mutantSeeds = []string{"1", "3", "5", "7"}

// TestMutants builds the simulator with faults in package coherence, of which the
// environment switches on one at a time, and checks that each is found; by what the simulator
// sees, not by the object's own Check.
func TestMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	sources := map[string]string{"fault.go": faultSource}
	var names []string
	seen := make(map[string]bool)
	for _, m := range mutations {
		if sources[m.file] == "" {
			b, err := os.ReadFile(filepath.Join("..", m.file))
			if err != nil {
				t.Fatal(err)
			}
			sources[m.file] = string(b)
		}
		if n := strings.Count(sources[m.file], m.old); n != 1 {
			t.Fatalf("%s has %d times %q", m.file, n, m.old)
		}
		sources[m.file] = strings.Replace(sources[m.file], m.old, m.new, 1)
		for _, f := range regexp.MustCompile(`fault\("([^"]*)"\)`).FindAllStringSubmatch(m.new+faultSource, -1) {
			if !seen[f[1]] {
				seen[f[1]] = true
				names = append(names, f[1])
			}
		}
	}
	for name, text := range sources {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		target, err := filepath.Abs(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		overlay.Replace[target] = path
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list, prog := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "pager-sim")
	if err := os.WriteFile(list, b, 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-overlay", list, "-o", prog, "./cmd/pager-sim").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(fault, seed, ops string) (string, error) {
		c := exec.CommandContext(t.Context(), prog, "-ops", ops, "-seed", seed, "-raw", "-quiet", "-check", "0")
		c.Env = append(os.Environ(), "PAGER_FAULT="+fault, "GOMAXPROCS=1")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := run("", "1", "50000"); err != nil {
		t.Fatalf("without a fault: %v\n%s", err, out)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			for _, seed := range mutantSeeds {
				if out, err := run(name, seed, mutantOps); err != nil {
					lines := strings.SplitN(out, "\n", 4)
					t.Log(strings.Join(lines[:min(3, len(lines))], "; "))
					return
				}
			}
			t.Errorf("not found in %s operations of each of the seeds %v", mutantOps, mutantSeeds)
		})
	}
}
