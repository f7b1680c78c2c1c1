// Package coretest holds the C core of the multi-client libpager in patches/hurd against
// its sister in Go, pager/coherence: the same scripts, the same simulation, and the same
// events at random must have the same actions, and the same state.
package coretest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"hurdlab/pager/coherence"
)

// driver is the C core with a main program around it, built once.
var driver = sync.OnceValues(func() (string, error) {
	cc, err := compiler()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "coherence")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "driver")
	src := "../new/libpager/"
	// What the compiler reads go test does not know of: what has been read here it does,
	// and takes no result of other sources from its cache.
	files, err := filepath.Glob(src + "*")
	if err != nil {
		return "", err
	}
	for _, f := range append(files, "testdata/driver.c") {
		if _, err := os.ReadFile(f); err != nil {
			return "", err
		}
	}
	args := []string{"-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I", src, "-o", bin, "testdata/driver.c", src + "coherence.c", src + "holdings.c", src + "containers.c"}
	// With what finds wrong accesses and leaks, if this compiler has it.
	sanitize := append([]string{"-fsanitize=address,undefined", "-fno-sanitize-recover"}, args...)
	if exec.Command(cc, sanitize...).Run() == nil && exec.Command(bin).Run() == nil {
		return bin, nil
	}
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cc, err, out)
	}
	return bin, nil
})

var errNoCompiler = errors.New("there is no C compiler, and it cannot be installed (Debian's gcc and libc6-dev, as root)")

// compiler finds a C compiler, or installs it where lab/qemu would install QEMU.
func compiler() (string, error) {
	for range 2 {
		for _, cc := range []string{"gcc", "cc", "clang"} {
			if path, err := exec.LookPath(cc); err == nil {
				return path, nil
			}
		}
		if os.Geteuid() != 0 {
			break
		}
		install := []string{"install", "-y", "--no-install-recommends", "gcc", "libc6-dev"}
		if exec.Command("apt-get", install...).Run() == nil {
			continue
		}
		exec.Command("apt-get", "update").Run()
		exec.Command("apt-get", install...).Run()
	}
	return "", errNoCompiler
}

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := driver(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// A process is a driver that runs.
type process struct {
	t    testing.TB
	in   *bufio.Writer
	out  *bufio.Scanner
	died func() string
}

func start(t testing.TB) *process {
	bin, err := driver()
	if errors.Is(err, errNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin)
	var words strings.Builder
	cmd.Stderr = &words
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, in: bufio.NewWriterSize(in, 1<<16), out: bufio.NewScanner(out)}
	p.out.Buffer(nil, 1<<20)
	ended := false
	p.died = func() string {
		ended = true
		in.Close()
		return fmt.Sprintf("%v\n%s", cmd.Wait(), words.String())
	}
	t.Cleanup(func() {
		p.in.Flush()
		in.Close()
		io.Copy(io.Discard, out)
		if ended {
			return
		}
		if err := cmd.Wait(); err != nil { // leaks are found at the end
			t.Errorf("the C core: %v\n%s", err, words.String())
		}
	})
	return p
}

func (p *process) tell(format string, args ...any) {
	fmt.Fprintf(p.in, format+"\n", args...)
}

func (p *process) ask(format string, args ...any) (lines []string) {
	p.tell(format, args...)
	p.in.Flush()
	for p.out.Scan() {
		if p.out.Text() == "." {
			return lines
		}
		lines = append(lines, p.out.Text())
	}
	p.t.Fatalf("the C core ends: %s", p.died())
	return nil
}

// A both is an object in Go and one in C, which must say the same. Data and errors are
// numbers to them.
type both struct {
	t        testing.TB
	object   *coherence.Object
	c        *process
	data     map[coherence.Data]number
	values   map[number]coherence.Data
	faults   []error // the store's; the number of the first is 1
	last     number
	problem  error // how they differ
	events   int
	compared int
}

type number uint64

// A fault is an error of the store.
type fault int

func (f fault) Error() string { return strconv.Itoa(int(f)) }

var coreErrors = []error{coherence.ErrBeyond, coherence.ErrReadOnly, coherence.ErrLimit, coherence.ErrSilent, coherence.ErrGone, coherence.ErrClosed, coherence.ErrUnstored}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func newBoth(p *process, c coherence.Config) *both {
	p.ask("begin %d %d %d %d %d %d %d 0 %d %d %d %d %d %d %d", c.Pages, c.Order, c.Cluster, c.ReadAhead, c.Hold, c.Answer, bit(c.Reserve),
		c.Limits.Clients, c.Limits.Requests, c.Limits.Range, c.Limits.Lock, c.Limits.Unstored, bit(c.Attributes.MayCache), c.Attributes.Copy)
	return &both{t: p.t, object: coherence.New(c), c: p, data: make(map[coherence.Data]number), values: make(map[number]coherence.Data)}
}

func (b *both) event(format string, args ...any) {
	b.events++
	b.c.tell(format, args...)
}

func (b *both) give(list []coherence.Data) (numbers []coherence.Data, words string) {
	for _, d := range list {
		if d == nil {
			numbers = append(numbers, nil)
			words += " 0"
			continue
		}
		n, ok := b.data[d]
		if !ok {
			b.last++
			n = b.last
			b.data[d], b.values[n] = n, d
		}
		numbers = append(numbers, n)
		words += fmt.Sprintf(" %d", n)
	}
	return numbers, words
}

func (b *both) fault(err error) error {
	if err == nil {
		return nil
	}
	i := slices.Index(b.faults, err)
	if i < 0 {
		i = len(b.faults)
		b.faults = append(b.faults, err)
	}
	return fault(i + 1)
}

// code is an error's number in C.
func code(err error) int {
	if err == nil {
		return 0
	}
	if f, ok := err.(fault); ok {
		return int(f)
	}
	return -1 - slices.Index(coreErrors, err)
}

// say is an action in the driver's words.
func say(a coherence.Action) string {
	type words struct {
		name                                        string
		client                                      coherence.Client
		r                                           coherence.Range
		ret, flush, forbid, reply, precious, final_ int
		err                                         error
		token                                       coherence.Token
		attr                                        coherence.Attributes
		data                                        []coherence.Data
	}
	var w words
	switch a := a.(type) {
	case coherence.Ready:
		w = words{name: "ready", client: a.Client, attr: a.Attributes}
	case coherence.ChangeAttributes:
		w = words{name: "attributes", client: a.Client, attr: a.Attributes}
	case coherence.Supply:
		w = words{name: "supply", client: a.Client, r: coherence.Range{First: a.First, N: int64(len(a.Data))}, data: a.Data, forbid: int(a.Forbid), precious: bit(a.Precious), final_: bit(a.Final)}
	case coherence.Lock:
		w = words{name: "lock", client: a.Client, r: a.Range, ret: int(a.Return), flush: bit(a.Flush), reply: bit(a.Reply)}
		if !a.Flush {
			w.forbid = int(a.Forbid)
		}
	case coherence.Fail:
		w = words{name: "fail", client: a.Client, r: a.Range, err: a.Err}
	case coherence.Terminate:
		w = words{name: "terminate", client: a.Client}
	case coherence.Cut:
		w = words{name: "cut", client: a.Client, err: a.Err}
	case coherence.Load:
		w = words{name: "load", r: a.Range}
	case coherence.Store:
		w = words{name: "store", r: coherence.Range{First: a.First, N: int64(len(a.Data))}, data: a.Data}
	case coherence.Reserve:
		w = words{name: "reserve", r: coherence.Range{First: a.Page, N: 1}}
	case coherence.Discard:
		w = words{name: "discard", r: coherence.Range{N: 1}, data: []coherence.Data{a.Data}}
	case coherence.Granted:
		w = words{name: "granted", token: a.Token, err: a.Err}
	case coherence.Synced:
		w = words{name: "synced", token: a.Token, err: a.Err}
	case coherence.Closed:
		w = words{name: "closed", token: a.Token, err: a.Err}
	}
	s := fmt.Sprintf("%s %d %d %d %d %d %d %d %d %d %d %d %d %d", w.name, w.client, w.r.First, w.r.N, w.ret, w.flush, w.forbid, w.reply, w.precious, w.final_,
		code(w.err), w.token, bit(w.attr.MayCache), w.attr.Copy)
	for _, d := range w.data {
		s += fmt.Sprintf(" %v", d)
	}
	return s
}

// differ notes that the two do not say the same.
func (b *both) differ(what, inGo, inC string) {
	if b.problem == nil {
		b.problem = fmt.Errorf("after %d events, %s:\nin Go:\n%s\nin C:\n%s", b.events, what, inGo, inC)
	}
}

func (b *both) Actions() []coherence.Action {
	acts := b.object.Actions()
	var inGo []string
	for _, a := range acts {
		inGo = append(inGo, say(a))
	}
	if inC := b.c.ask("actions"); !slices.Equal(inGo, inC) {
		b.differ("actions", strings.Join(inGo, "\n"), strings.Join(inC, "\n"))
	}
	b.compared += len(acts)
	back := func(list []coherence.Data, gone bool) []coherence.Data {
		values := make([]coherence.Data, len(list))
		for i, d := range list {
			n := d.(number)
			values[i] = b.values[n]
			if gone {
				delete(b.data, values[i])
				delete(b.values, n)
			}
		}
		return values
	}
	real := func(err error) error {
		if f, ok := err.(fault); ok {
			return b.faults[f-1]
		}
		return err
	}
	for i, a := range acts {
		switch a := a.(type) {
		case coherence.Supply:
			a.Data = back(a.Data, a.Final)
			acts[i] = a
		case coherence.Store:
			a.Data = back(a.Data, false)
			acts[i] = a
		case coherence.Discard:
			a.Data = back([]coherence.Data{a.Data}, true)[0]
			acts[i] = a
		case coherence.Fail:
			a.Err = real(a.Err)
			acts[i] = a
		case coherence.Granted:
			a.Err = real(a.Err)
			acts[i] = a
		case coherence.Synced:
			a.Err = real(a.Err)
			acts[i] = a
		case coherence.Closed:
			a.Err = real(a.Err)
			acts[i] = a
		}
	}
	return acts
}

func (b *both) Attach(readOnly bool) (coherence.Client, error) {
	b.events++
	c, err := b.object.Attach(readOnly)
	want := fmt.Sprintf("%d %d", code(err), c)
	if got := b.c.ask("attach %d", bit(readOnly)); got[0] != want {
		b.differ("attach", want, got[0])
	}
	return c, err
}

func (b *both) Gone(c coherence.Client) {
	b.event("gone %d", c)
	b.object.Gone(c)
}

func (b *both) Terminated(c coherence.Client) {
	b.event("terminated %d", c)
	b.object.Terminated(c)
}

func (b *both) Request(c coherence.Client, r coherence.Range, a coherence.Access) {
	b.event("request %d %d %d %d", c, r.First, r.N, a)
	b.object.Request(c, r, a)
}

func (b *both) Unlock(c coherence.Client, r coherence.Range, a coherence.Access) {
	b.event("unlock %d %d %d %d", c, r.First, r.N, a)
	b.object.Unlock(c, r, a)
}

func (b *both) Returned(c coherence.Client, first int64, data []coherence.Data, dirty, kept bool) {
	numbers, words := b.give(data)
	b.event("returned %d %d %d %d%s", c, first, bit(dirty), bit(kept), words)
	b.object.Returned(c, first, numbers, dirty, kept)
}

func (b *both) LockCompleted(c coherence.Client, r coherence.Range) {
	b.event("completed %d %d %d", c, r.First, r.N)
	b.object.LockCompleted(c, r)
}

func (b *both) Loaded(r coherence.Range, data []coherence.Data, err error) {
	err = b.fault(err)
	numbers, words := b.give(data)
	b.event("loaded %d %d %d%s", r.First, r.N, code(err), words)
	b.object.Loaded(r, numbers, err)
}

func (b *both) Stored(r coherence.Range, err error) {
	err = b.fault(err)
	b.event("stored %d %d %d", r.First, r.N, code(err))
	b.object.Stored(r, err)
}

func (b *both) Reserved(n int64, err error) {
	err = b.fault(err)
	b.event("reserved %d %d", n, code(err))
	b.object.Reserved(n, err)
}

func (b *both) Tick(now coherence.Tick) {
	b.event("ticked %d", now)
	b.object.Tick(now)
}

func (b *both) Next() (coherence.Tick, bool) {
	at, ok := b.object.Next()
	want := fmt.Sprintf("%d %d", bit(ok), at)
	if got := b.c.ask("next"); got[0] != want {
		b.differ("next", want, got[0])
	}
	return at, ok
}

func (b *both) Sync(token coherence.Token, r coherence.Range) {
	b.event("sync %d %d %d", token, r.First, r.N)
	b.object.Sync(token, r)
}

func (b *both) Take(token coherence.Token, r coherence.Range, a coherence.Access) {
	b.event("take %d %d %d %d", token, r.First, r.N, a)
	b.object.Take(token, r, a)
}

func (b *both) Release(token coherence.Token) {
	b.event("release %d", token)
	b.object.Release(token)
}

func (b *both) Resize(n int64) {
	b.event("resize %d", n)
	b.object.Resize(n)
}

func (b *both) SetAttributes(a coherence.Attributes) {
	b.event("attributes %d %d", bit(a.MayCache), a.Copy)
	b.object.SetAttributes(a)
}

func (b *both) Close(token coherence.Token) {
	b.event("close %d", token)
	b.object.Close(token)
}

func (b *both) Idle() bool {
	idle := b.object.Idle()
	if got := b.c.ask("idle"); got[0] != strconv.Itoa(bit(idle)) {
		b.differ("idle", strconv.Itoa(bit(idle)), got[0])
	}
	return idle
}

// Check compares the states, and checks the one in Go. There must be no actions.
func (b *both) Check() error {
	if inGo, inC := b.object.Dump(), strings.Join(b.c.ask("dump"), "\n")+"\n"; inGo != inC {
		b.differ("state", inGo, inC)
	}
	if b.problem != nil {
		return b.problem
	}
	return b.object.Check()
}

// Dump is of the one in Go, in its caller's words.
func (b *both) Dump() string {
	s := b.object.Dump()
	var out strings.Builder
	for line := range strings.Lines(s) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		for i := range f {
			if i == 0 {
				continue
			}
			n, err := strconv.ParseUint(f[i], 10, 64)
			if err != nil {
				continue
			}
			switch f[i-1] {
			case "data", "storing", "fresh":
				f[i] = fmt.Sprint(b.values[number(n)])
			case "stored:", "lost:", "error":
				f[i] = b.faults[n-1].Error()
			}
		}
		out.WriteString(strings.Join(f, " ") + "\n")
	}
	return out.String()
}

func (b *both) Stats() coherence.Stats { return b.object.Stats() }
