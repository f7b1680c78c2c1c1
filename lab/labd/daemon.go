// Package labd is the daemon of a lab: the one background process that holds
// its switch and its machines.
//
// It is started by package lab, from the same program, with the lab's lock
// and a leash: a connection whose other end the starting process has. Until
// that process lets the daemon off the leash, which it does when the lab is
// up, its death is the daemon's. Later the daemon lives until it is told to
// go down, gets a signal, or finds its state directory deleted. The machines
// die with the daemon (see package qemu), and it leaves nothing to clean up.
//
// docs/lab.md has the life of a node and what kills what.
package labd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"hurdlab/lab/api"
	"hurdlab/lab/growing"
	"hurdlab/lab/problem"
	"hurdlab/lab/state"
	"hurdlab/lab/vnet"
)

// The file descriptors that a daemon is started with.
const (
	LockFD  = 3
	LeashFD = 4
)

// What goes over the leash.
const (
	// Listening is a line from the daemon: it can be talked to.
	Listening = "listening\n"
	// LetGo is a byte to the daemon: the lab is up and may outlive us.
	LetGo = 'k'
)

const (
	// heartbeat is how often the daemon shows that it is alive, which tells
	// when it died.
	heartbeat = time.Second
	// stopTime is how long machines have to end when asked.
	stopTime = 3 * time.Second
	// maxEvents bounds the journal, maxConsole the console of a node, in
	// bytes.
	maxEvents  = 64 << 20
	maxConsole = 64 << 20
	// maxCapture bounds the capture of all frames.
	maxCapture = 64 << 20
)

// limited is a file that takes only so much.
type limited struct {
	*os.File
	left int
}

var errFull = errors.New("the file is as long as it may get")

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errFull
	}
	return l.File.Write(p)
}

// Main is the daemon's main function: it holds the lab of the directory dir
// until its end.
func Main(dir state.Dir) error {
	// The machines must not inherit them: the lock has to end with us.
	unix.CloseOnExec(LockFD)
	unix.CloseOnExec(LeashFD)
	leash := os.NewFile(LeashFD, "leash")
	d, err := open(dir)
	if err != nil {
		fmt.Fprintf(leash, "%v\n", err)
		return err
	}
	return d.run(leash)
}

// daemon is a lab that runs.
type daemon struct {
	dir      state.Dir
	lab      *state.Lab
	sw       *vnet.Switch
	events   *growing.File
	journal  *state.Journal
	listener net.Listener
	nodes    []*node
	turns    chan struct{} // a token for each machine that may boot now

	// ctx ends when the lab ends; end ends it, with the reason.
	ctx context.Context
	end context.CancelCauseFunc

	mu       sync.Mutex
	state    string // of the lab
	forwards []forward
}

type forward struct {
	api.Forward
	f *vnet.Forwarder
}

// errDown is the reason of an end that was asked for.
var errDown = errors.New("it was taken down")

// open makes all of a daemon but its machines.
func open(dir state.Dir) (_ *daemon, err error) {
	d := &daemon{dir: dir, state: state.LabBooting}
	if d.lab, err = dir.Lab(); err != nil {
		return nil, err
	}
	if d.events, err = growing.Open(dir.File(state.EventsFile), maxEvents); err != nil {
		return nil, err
	}
	d.journal = state.NewJournal(d.events, nil)
	d.sw, err = vnet.New(vnet.Config{Prefix: d.lab.Prefix, Seed: d.lab.Seed})
	if err != nil {
		return nil, fmt.Errorf("start the lab's network: %w", err)
	}
	if d.lab.Capture {
		f, err := os.OpenFile(dir.File(state.CaptureFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, err
		}
		// The switch closes the capture when it is closed itself.
		if _, err := d.sw.Capture("", &limited{f, maxCapture}); err != nil {
			return nil, err
		}
	}
	boots := len(d.lab.Nodes)
	if d.lab.Accel != "kvm" {
		// Emulated machines that boot at once only get in each other's way.
		boots = min(boots, runtime.NumCPU())
	}
	d.turns = make(chan struct{}, boots)
	d.ctx, d.end = context.WithCancelCause(context.Background())
	for i := range d.lab.Nodes {
		n, err := newNode(d, &d.lab.Nodes[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.lab.Nodes[i].Name, err)
		}
		d.nodes = append(d.nodes, n)
	}
	if d.listener, err = api.Listen(); err != nil {
		return nil, fmt.Errorf("make the daemon's socket: %w", err)
	}
	boot, err := state.BootID()
	if err != nil {
		return nil, err
	}
	return d, dir.WriteDaemon(&state.Daemon{
		PID: os.Getpid(), Started: time.Now(), Socket: d.listener.Addr().String(), BootID: boot,
	})
}

// run holds the lab until it ends.
func (d *daemon) run(leash *os.File) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() { d.end(fmt.Errorf("its daemon got the signal %v", <-signals)) }()
	go d.live()
	server := &http.Server{Handler: d.handler()}
	go func() {
		if err := server.Serve(d.listener); err != http.ErrServerClosed {
			d.end(fmt.Errorf("its daemon's socket failed: %w", err))
		}
	}()
	go d.heed(leash)
	if _, err := io.WriteString(leash, Listening); err != nil {
		d.end(errLeash)
	}
	var boot sync.WaitGroup
	boot.Go(d.bootAll)

	<-d.ctx.Done()
	why := context.Cause(d.ctx)
	boot.Wait()
	d.stopAll()
	d.setState(state.LabDown, why)
	// Those who follow the journal get to its end before the connections go.
	d.events.Close()
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	server.Shutdown(ctx)
	server.Close()
	d.sw.Close()
	if errors.Is(why, errGone) {
		return nil
	}
	if err := d.dir.WriteEnd(&state.End{Time: time.Now(), Why: why.Error(), Do: problem.Advice(why)}); err != nil {
		return err
	}
	if errors.Is(why, errDown) {
		return nil
	}
	return why
}

var (
	errLeash = errors.New("the command that started it ended, and the lab was not to outlive it")
	errGone  = errors.New("its state directory was deleted")
)

// heed ends the lab when the leash is cut.
func (d *daemon) heed(leash *os.File) {
	defer leash.Close()
	if b, err := bufio.NewReader(leash).ReadByte(); err != nil || b != LetGo {
		d.end(errLeash)
	}
}

// live shows that the daemon is alive.
func (d *daemon) live() {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if err := d.dir.Touch(now); errors.Is(err, os.ErrNotExist) {
				// Nobody could reach us any more, or even know of us.
				d.end(errGone)
			}
		case <-d.ctx.Done():
			return
		}
	}
}

// bootAll starts all nodes. If one does not come up the lab ends.
func (d *daemon) bootAll() {
	g, ctx := errgroup.WithContext(d.ctx)
	for _, n := range d.nodes {
		g.Go(func() error {
			step := n.cfg.Name
			d.journal.Record(state.Event{Kind: state.KindStep, Step: step, Phase: state.Begun, Node: step})
			err := n.start(ctx)
			e := state.Event{Kind: state.KindStep, Step: step, Phase: state.Done, Node: step}
			if err != nil {
				e.Phase, e.Text, e.Do = state.Failed, err.Error(), problem.Advice(err)
			}
			d.journal.Record(e)
			return err
		})
	}
	err := g.Wait()
	switch {
	case d.ctx.Err() != nil: // the lab ends anyway
	case err != nil:
		// In this order: whoever hears of the failure cuts the leash, and that
		// is not to be the reason of the end.
		d.end(fmt.Errorf("it did not come up: %w", err))
		d.setState(state.LabFailed, err)
	default:
		d.setState(state.LabUp, nil)
	}
}

// stopAll stops all nodes.
func (d *daemon) stopAll() {
	var wg sync.WaitGroup
	for _, n := range d.nodes {
		wg.Go(func() { n.halt(context.Cause(d.ctx).Error()) })
	}
	wg.Wait()
}

// setState sets the lab's state; why may be nil.
func (d *daemon) setState(s string, why error) {
	d.mu.Lock()
	d.state = s
	d.mu.Unlock()
	e := state.Event{Kind: state.KindLab, State: s}
	if why != nil {
		e.Text, e.Do = why.Error(), problem.Advice(why)
	}
	d.journal.Record(e)
}

// node finds a node by name.
func (d *daemon) node(name string) (*node, error) {
	for _, n := range d.nodes {
		if n.cfg.Name == name {
			return n, nil
		}
	}
	_, err := d.lab.Node(name)
	return nil, err
}
