package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"sync"

	"hurdlab/lab/api"
	"hurdlab/lab/console"
	"hurdlab/lab/problem"
	"hurdlab/lab/state"
)

// A Lab is a lab that runs, or did when it was last looked at. Its methods
// may be called from several goroutines.
type Lab struct {
	dirs state.Dirs
	dir  state.Dir
	spec *state.Lab
	api  *api.Client
	// leash, if not nil, keeps the daemon alive as long as this process.
	leash *os.File

	mu    sync.Mutex
	nodes map[string]*Node
}

func newLab(dirs state.Dirs, dir state.Dir, spec *state.Lab, client *api.Client) *Lab {
	return &Lab{dirs: dirs, dir: dir, spec: spec, api: client, nodes: make(map[string]*Node)}
}

// Open finds the lab with a name that runs. Its nodes may not be up (yet). If
// it does not run, the error says what became of it.
func Open(dirs state.Dirs, name string) (*Lab, error) {
	dir, err := dirs.Lab(name)
	if err != nil {
		return nil, err
	}
	c, err := dir.Condition()
	if err != nil {
		return nil, err
	}
	switch c {
	case state.Absent:
		return nil, absent(dirs, name)
	case state.Starting:
		return nil, problem.New(fmt.Sprintf("lab %q is being started or stopped by another command", name), "wait until that is over")
	case state.Ended, state.Crashed:
		why, err := dir.Explain()
		if err != nil {
			return nil, err
		}
		return nil, problem.New(why, fmt.Sprintf("to start a new one: hurdlab up --name %[1]s; to forget it: hurdlab down --name %[1]s", name))
	}
	daemon, err := dir.Daemon()
	if err != nil {
		return nil, err
	}
	spec, err := dir.Lab()
	if err != nil {
		return nil, err
	}
	return newLab(dirs, dir, spec, api.NewClient(daemon.Socket)), nil
}

// absent says that there is no such lab.
func absent(dirs state.Dirs, name string) error {
	do := "to start it: hurdlab up --name " + name
	if others, err := dirs.Labs(); err == nil && len(others) > 0 {
		do += "; there are: " + strings.Join(others, ", ") + " (choose with --name)"
	}
	return problem.New(fmt.Sprintf("there is no lab called %q", name), do)
}

// Name is the lab's name.
func (l *Lab) Name() string { return l.spec.Name }

// Dir is the directory with all that the lab leaves on the disk.
func (l *Lab) Dir() string { return l.dir.Path() }

// Spec is what the lab was told to be.
func (l *Lab) Spec() *state.Lab { return l.spec }

// Status asks the daemon how the lab is.
func (l *Lab) Status(ctx context.Context) (*api.Status, error) {
	s := new(api.Status)
	return s, l.api.Call(ctx, "GET", "/status", nil, s)
}

// Nodes are the lab's nodes, in order.
func (l *Lab) Nodes() []*Node {
	var nodes []*Node
	for i := range l.spec.Nodes {
		nodes = append(nodes, l.Node(l.spec.Nodes[i].Name))
	}
	return nodes
}

// Node is the node with a name. If there is none, every use of it fails and
// says so.
func (l *Lab) Node(name string) *Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.nodes[name]
	if !ok {
		n = newNode(l, name)
		l.nodes[name] = n
	}
	return n
}

// Down ends the lab and forgets it: machines, daemon, and files. It returns
// when all of it is gone.
func (l *Lab) Down(ctx context.Context) error {
	_, err := Down(ctx, l.dirs, l.spec.Name)
	return err
}

// Down ends the lab with a name, whatever state it is in, and deletes what it
// has left. The string, if not empty, says what had become of it before: that
// it did not run any more, or that it had to be killed. A lab that has begun to
// end goes on to end when ctx does, so Down waits for it in any case.
func Down(ctx context.Context, dirs state.Dirs, name string) (became string, err error) {
	dir, err := dirs.Lab(name)
	if err != nil {
		return "", err
	}
	c, err := dir.Condition()
	if err != nil {
		return "", err
	}
	switch c {
	case state.Absent:
		return "", absent(dirs, name)
	case state.Starting:
		return "", problem.New(fmt.Sprintf("lab %q is being started or stopped by another command", name),
			"wait until that is over, or end that command with ^C, which leaves nothing behind")
	case state.Running:
		killed, err := endDaemon(ctx, dir)
		if err != nil {
			return "", err
		}
		if killed {
			became = fmt.Sprintf("the daemon of lab %q did not end when it was asked to, and was killed", name)
			if file, err := bundleTo(dirs, dir); err == nil {
				became += "; see " + file
			}
		}
	default:
		// What it says may be damaged as well, and is to go in any case.
		if became, err = dir.Explain(); err != nil {
			became = err.Error()
		}
	}
	lock, err := dir.Lock()
	if errors.Is(err, state.ErrLocked) {
		return "", inUse(dir)
	}
	if err != nil {
		return "", err
	}
	defer lock.Close()
	return became, dir.Remove()
}

// endDaemon makes a lab's daemon end, and waits until it has. killed says that
// it did not do so by itself.
func endDaemon(ctx context.Context, dir state.Dir) (killed bool, err error) {
	daemon, err := dir.Daemon()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // in this very moment
	}
	if err != nil {
		return false, err
	}
	// A descriptor of the process, for its number may soon be another's.
	p, err := os.FindProcess(daemon.PID)
	if err != nil {
		return false, fmt.Errorf("find the daemon of lab %s: %w", dir.Name, err)
	}
	defer p.Release()
	// It had the lock when we looked; if it has it still, that is the process.
	if locked, err := dir.Locked(); err != nil || !locked {
		return false, err
	}
	ended := make(chan struct{})
	var lockErr error
	go func() {
		defer close(ended)
		var lock *state.Lock
		if lock, lockErr = dir.WaitUnlocked(); lockErr == nil {
			lock.Close()
		}
	}()
	// It may not even answer; then it is killed. Its machines die with it.
	askCtx, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	go api.NewClient(daemon.Socket).Call(askCtx, "POST", "/down", nil, nil)
	killed = forceEnd(p.Signal, ended)
	return killed, lockErr
}

// Watch calls f with what happens to the lab from now on. The function that it returns
// ends that, after the last event that there is; it waits for f.
func (l *Lab) Watch(ctx context.Context, f func(state.Event)) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	r, at, err := l.events(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	// pass does it until the end of r, or its breaking off.
	pass := func(r io.Reader) {
		dec := json.NewDecoder(r)
		from := at
		for {
			var e state.Event
			if dec.Decode(&e) != nil {
				return
			}
			at = from + dec.InputOffset()
			f(e)
		}
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer r.Close()
		pass(r)
	}()
	return func() {
		cancel()
		<-over
		rest, err := os.Open(l.dir.File(state.EventsFile))
		if err != nil {
			return // with the lab
		}
		defer rest.Close()
		if _, err := rest.Seek(at, io.SeekStart); err == nil {
			pass(rest)
		}
	}, nil
}

// events returns the lab's events from now on, as they come, and where in the journal that is.
func (l *Lab) events(ctx context.Context) (r io.ReadCloser, at int64, err error) {
	st, err := os.Stat(l.dir.File(state.EventsFile))
	if err != nil {
		return nil, 0, err
	}
	r, err = l.eventsFrom(ctx, st.Size())
	return r, st.Size(), err
}

// eventsFrom returns those behind an offset in the journal, and from then on.
func (l *Lab) eventsFrom(ctx context.Context, at int64) (io.ReadCloser, error) {
	return l.api.Read(ctx, fmt.Sprintf("/events?from=%d", at))
}

// A NodeFinding is trouble on the console of a node.
type NodeFinding struct {
	Node string
	console.Finding
}

// A ConsoleMark is a point in the consoles of a lab.
type ConsoleMark map[string]int64

// MarkConsoles returns where the consoles are now.
func (l *Lab) MarkConsoles() (ConsoleMark, error) {
	mark := make(ConsoleMark)
	for i := range l.spec.Nodes {
		name := l.spec.Nodes[i].Name
		st, err := os.Stat(l.dir.NodeFile(name, state.ConsoleLog))
		if err != nil {
			return nil, err
		}
		mark[name] = st.Size()
	}
	return mark, nil
}

// CheckConsoles searches what the consoles said since a mark, or ever if it
// is nil, for panics, assertions, unexpected faults and their like. Lines
// that match one of allow are passed over. Line numbers count from the mark.
func (l *Lab) CheckConsoles(since ConsoleMark, allow ...*regexp.Regexp) ([]NodeFinding, error) {
	return checkConsoles(l.dir, l.spec, since, allow)
}

func checkConsoles(dir state.Dir, spec *state.Lab, since ConsoleMark, allow []*regexp.Regexp) ([]NodeFinding, error) {
	var found []NodeFinding
	for i := range spec.Nodes {
		name := spec.Nodes[i].Name
		here, err := checkConsole(dir.NodeFile(name, state.ConsoleLog), since[name], allow)
		if err != nil {
			return found, fmt.Errorf("console of %s: %w", name, err)
		}
		for _, f := range here {
			found = append(found, NodeFinding{name, f})
		}
	}
	return found, nil
}

func checkConsole(file string, from int64, allow []*regexp.Regexp) ([]console.Finding, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it never booted
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(from, 0); err != nil {
		return nil, err
	}
	return console.Scan(f, allow...)
}
