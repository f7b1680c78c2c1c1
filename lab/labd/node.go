package labd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"hurdlab/images"
	"hurdlab/images/debian/extfs"
	"hurdlab/images/debian/overlay"
	"hurdlab/lab/api"
	"hurdlab/lab/console"
	"hurdlab/lab/growing"
	"hurdlab/lab/problem"
	"hurdlab/lab/qemu"
	"hurdlab/lab/sshmux"
	"hurdlab/lab/state"
	"hurdlab/lab/vnet"
)

// node is a node of the lab. Its states are those of api.NodeState.
type node struct {
	d       *daemon
	cfg     *state.Node
	nic     *vnet.NIC
	console *growing.File
	monitor *growing.File // the log of the monitor's traffic
	ssh     *sshmux.Upstream
	hostKey ssh.Signer

	// op is held by whoever starts or stops the node.
	op sync.Mutex

	mu       sync.Mutex
	state    api.NodeState
	since    time.Time
	why      string
	stage    string
	boots    int
	bootTime time.Duration
	trouble  int
	run      *run // of the machine that runs; nil if none does
	// up ends when the node is not up any more; down ends it.
	up   context.Context
	down context.CancelFunc
}

// run is one life of a node's machine.
type run struct {
	proc  *qemu.Process
	ended chan struct{} // closed when the node has noticed the end
	// why is the reason to give for the end instead of the process's own;
	// the node's mu guards it.
	why  string
	dead bool // whether that end is a failure
}

func newNode(d *daemon, cfg *state.Node) (*node, error) {
	n := &node{d: d, cfg: cfg, state: api.Off, since: time.Now()}
	var err error
	if n.nic, err = d.sw.AddNode(cfg.Name); err != nil {
		return nil, err
	}
	// The image has been told these.
	if n.nic.MAC() != cfg.MAC || n.nic.Addr().Addr() != cfg.Addr {
		return nil, fmt.Errorf("the network gave it %v at %v, the lab %v at %v",
			n.nic.Addr(), net.HardwareAddr(mac(n.nic.MAC())), cfg.Addr, net.HardwareAddr(mac(cfg.MAC)))
	}
	if n.console, err = growing.Open(d.dir.NodeFile(cfg.Name, state.ConsoleLog), maxConsole); err != nil {
		return nil, err
	}
	if n.monitor, err = growing.Open(d.dir.NodeFile(cfg.Name, state.MonitorLog), maxConsole); err != nil {
		return nil, err
	}
	if cfg.Machine.User == "" {
		return n, nil
	}
	if n.hostKey, err = readKey(d.dir.NodeFile(cfg.Name, state.HostKey)); err != nil {
		return nil, err
	}
	user, err := readKey(d.dir.File(state.ClientKey))
	if err != nil {
		return nil, err
	}
	n.ssh = sshmux.New(
		func(ctx context.Context) (net.Conn, error) { return d.sw.DialContext(ctx, "tcp", cfg.Name+":22") },
		&ssh.ClientConfig{
			User:            cfg.Machine.User,
			Auth:            []ssh.AuthMethod{ssh.PublicKeys(user)},
			HostKeyCallback: ssh.FixedHostKey(n.hostKey.PublicKey()),
			// A server that has more keys must not choose another.
			HostKeyAlgorithms: []string{n.hostKey.PublicKey().Type()},
		})
	return n, nil
}

func mac(m [6]byte) []byte { return m[:] }

func readKey(file string) (ssh.Signer, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	k, err := ssh.ParsePrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

// set changes the node's state. The caller holds mu.
func (n *node) set(s api.NodeState, why string) {
	n.state, n.since, n.why = s, time.Now(), why
	if n.down != nil {
		// Those who are logged in would wait for ever for a node that has
		// panicked.
		n.down()
		n.down = nil
	}
	if s == api.Up {
		n.up, n.down = context.WithCancel(n.d.ctx)
	}
	n.d.journal.Record(state.Event{Kind: state.KindNode, Node: n.cfg.Name, State: string(s), Text: why})
}

// start boots the node and returns when it is up. If it does not come up it
// is dead, or panicked. When ctx ends before it is up, it is switched off.
func (n *node) start(ctx context.Context) error {
	if !n.op.TryLock() {
		return problem.New(fmt.Sprintf("%s is being started or stopped", n.cfg.Name), "wait until that is over: hurdlab status")
	}
	defer n.op.Unlock()
	n.mu.Lock()
	s := n.state
	if s == api.Up || s == api.Panicked {
		n.mu.Unlock()
		return problem.New(fmt.Sprintf("%s is %s already", n.cfg.Name, s), "to boot it again: hurdlab restart "+n.cfg.Name)
	}
	n.boots++
	n.stage = ""
	n.set(api.Booting, "waits for its turn")
	boots := n.boots
	n.mu.Unlock()

	select {
	case n.d.turns <- struct{}{}:
		defer func() { <-n.d.turns }()
	case <-ctx.Done():
		n.mu.Lock()
		n.set(api.Off, context.Cause(ctx).Error())
		n.mu.Unlock()
		return context.Cause(ctx)
	}
	if boots > 1 {
		fmt.Fprintf(n.console, "\n[hurdlab: boot %d at %s]\n", boots, time.Now().Format(time.RFC3339))
	}
	began := time.Now()
	err := n.boot(ctx)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state != api.Booting {
		return fmt.Errorf("%s is %s: %s", n.cfg.Name, n.state, n.why) // in this very moment
	}
	n.bootTime = time.Since(began)
	n.set(api.Up, "")
	return nil
}

// boot starts the machine and waits until it is up.
func (n *node) boot(ctx context.Context) error {
	m := &n.cfg.Machine
	if err := n.mend(ctx); err != nil {
		n.mu.Lock()
		n.set(api.Dead, err.Error())
		n.mu.Unlock()
		return err
	}
	stages := make(chan images.Stage, len(m.Stages))
	panics := make(chan console.Finding, 1)
	proc, err := qemu.Start(ctx, qemu.Config{
		Name:       "hurdlab-" + n.d.lab.Name + "-" + n.cfg.Name,
		Machine:    m,
		Accel:      qemu.Accel(n.d.lab.Accel),
		MAC:        n.cfg.MAC,
		Console:    n.console,
		MonitorLog: n.monitor,
		DebugLog:   n.d.dir.NodeFile(n.cfg.Name, state.EmulatorLog),
		Stage: func(s images.Stage) {
			n.reached(s.Name)
			stages <- s
		},
		Trouble: func(f console.Finding) { n.found(f, panics) },
	})
	if err != nil {
		n.mu.Lock()
		n.set(api.Dead, err.Error())
		n.mu.Unlock()
		return err
	}
	r := &run{proc: proc, ended: make(chan struct{})}
	n.mu.Lock()
	n.run = r
	n.mu.Unlock()
	go n.watch(r)
	if _, err := n.nic.Attach(proc.NIC()); err != nil {
		proc.NIC().Close()
		return n.abort(r, fmt.Errorf("%s: plug in the network: %w", n.cfg.Name, err))
	}

	// What is left to reach: the stages, and then the SSH server.
	loggedIn := make(chan error, 1)
	left := len(m.Stages)
	stuck := ""
	login := func() {
		if n.ssh == nil {
			loggedIn <- nil
			return
		}
		ctx, cancel := context.WithTimeout(ctx, n.d.lab.BootTimeout)
		go func() {
			defer cancel()
			loggedIn <- n.login(ctx, r)
		}()
	}
	if left == 0 {
		login()
	}
	slow := time.NewTimer(n.d.lab.BootTimeout)
	defer slow.Stop()
	for {
		select {
		case s := <-stages:
			stuck = s.Stuck
			slow.Reset(n.d.lab.BootTimeout)
			if left--; left == 0 {
				slow.Stop()
				login()
			}
		case err := <-loggedIn:
			if err == nil {
				return nil
			}
			return n.abort(r, n.failed("does not let us log in, though it has booted", err))
		case f := <-panics:
			// The machine stays, for a look at it.
			return n.failed("panicked while it booted", errors.New(f.Line))
		case <-r.ended:
			n.mu.Lock()
			why := n.why
			n.mu.Unlock()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return n.failed("ended while it booted", errors.New(why))
		case <-slow.C:
			err := fmt.Errorf("no progress for %v after the stage %q", n.d.lab.BootTimeout, n.lastStage())
			if stuck != "" {
				err = fmt.Errorf("%w (%s)", err, stuck)
			}
			return n.abort(r, n.failed("does not boot", err))
		case <-ctx.Done():
			n.mu.Lock()
			r.why = context.Cause(ctx).Error()
			n.mu.Unlock()
			proc.Kill()
			<-r.ended
			return context.Cause(ctx)
		}
	}
}

// mend has the node's file system mended if it was not unmounted. After a power cut the
// system would mount it read-only, or, if nobody checks it there, damage it further.
func (n *node) mend(ctx context.Context) error {
	m := &n.cfg.Machine
	if m.Root == nil {
		return nil
	}
	disk := &overlay.Disk{File: m.Disk, Offset: m.Root.Offset}
	super, err := disk.Super(ctx)
	if err != nil {
		return n.unmended(ctx, disk, err)
	}
	if super.Clean {
		return nil
	}
	e := state.Event{Kind: state.KindStep, Step: "mend the disk of " + n.cfg.Name, Node: n.cfg.Name, Phase: state.Begun}
	n.d.journal.Record(e)
	note := func(format string, args ...any) {
		e.Phase, e.Text = state.Noted, fmt.Sprintf(format, args...)
		n.d.journal.Record(e)
		fmt.Fprintf(n.console, "[hurdlab: %s]\n", e.Text)
	}
	note("its file system was not unmounted: e2fsck -fp")
	mended, err := disk.Mend(ctx)
	for _, line := range mended {
		note("e2fsck: %s", line)
	}
	e.Phase, e.Text = state.Done, ""
	if err != nil {
		err = n.unmended(ctx, disk, err)
		e.Phase, e.Text, e.Do = state.Failed, err.Error(), problem.Advice(err)
		fmt.Fprintf(n.console, "[hurdlab: %v]\n", err)
	}
	n.d.journal.Record(e)
	return err
}

// unmended is the error of a disk that could not be mended.
func (n *node) unmended(ctx context.Context, disk *overlay.Disk, err error) error {
	var damaged *extfs.UnmendedError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &damaged) || errors.Is(err, extfs.ErrNone):
		return problem.Wrap(err, "the disk of "+n.cfg.Name+" is damaged", fmt.Sprintf(
			"to give it the disk that it began with: hurdlab reset --name %s %s; to mend it by hand: qemu-img convert -O raw %s disk.raw, then e2fsck 'disk.raw?offset=%d', then qemu-img convert -O qcow2 disk.raw %[3]s",
			n.d.lab.Name, n.cfg.Name, disk.File, disk.Offset))
	case strings.Contains(err.Error(), "No space left on device"):
		return problem.Wrap(err, "mend the disk of "+n.cfg.Name,
			fmt.Sprintf("make room in %s, where a copy of the disk's data is made meanwhile, and boot it: hurdlab start --name %s %s", filepath.Dir(disk.File), n.d.lab.Name, n.cfg.Name))
	}
	return problem.Wrap(err, "mend the disk of "+n.cfg.Name, "")
}

// failed is an error of a boot.
func (n *node) failed(what string, err error) error {
	return problem.Wrap(err, n.cfg.Name+" "+what,
		fmt.Sprintf("look at its console: hurdlab logs --name %s %s", n.d.lab.Name, n.cfg.Name))
}

// abort switches a machine off whose boot has failed, and returns err.
func (n *node) abort(r *run, err error) error {
	n.mu.Lock()
	r.why, r.dead = err.Error(), true
	n.mu.Unlock()
	r.proc.Kill()
	<-r.ended
	return err
}

// loginRetry is the pause between attempts to log in. Images whose last mark
// comes before their SSH server need some.
const loginRetry = 250 * time.Millisecond

// login makes the shared SSH connection.
func (n *node) login(ctx context.Context, r *run) error {
	for {
		_, err := n.ssh.Client(ctx)
		if err == nil {
			n.reached("ssh")
			return nil
		}
		select {
		case <-time.After(loginRetry):
		case <-r.ended:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// reached notes a stage of the boot.
func (n *node) reached(stage string) {
	n.mu.Lock()
	n.stage = stage
	n.mu.Unlock()
	n.d.journal.Record(state.Event{
		Kind: state.KindStep, Step: n.cfg.Name, Node: n.cfg.Name, Phase: state.Noted, Text: stage,
	})
}

func (n *node) lastStage() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stage == "" {
		return "none"
	}
	return n.stage
}

// found notes trouble on the console. A kernel that gives up takes the node
// with it, though its machine goes on.
func (n *node) found(f console.Finding, panics chan<- console.Finding) {
	n.d.journal.Record(state.Event{Kind: state.KindTrouble, Node: n.cfg.Name, Text: f.Line})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trouble++
	if !f.Fatal || (n.state != api.Up && n.state != api.Booting) {
		return
	}
	n.set(api.Panicked, f.Line)
	if n.ssh != nil {
		go n.ssh.Close() // it may want to say good-bye to a node that does not listen
	}
	select {
	case panics <- f:
	default: // the first is enough
	}
}

// watch waits for the end of a machine.
func (n *node) watch(r *run) {
	<-r.proc.Done()
	n.nic.Detach()
	if n.ssh != nil {
		n.ssh.Close()
	}
	exit := r.proc.Exit()
	n.mu.Lock()
	defer n.mu.Unlock()
	why := exit.Error()
	if n.state == api.Panicked && !exit.Asked {
		why = n.why + "; then " + why
	}
	if r.why != "" {
		why = r.why
	}
	s := api.Off
	if !exit.Asked || r.dead {
		s = api.Dead
	}
	n.run = nil
	n.set(s, why)
	close(r.ended)
}

// stop ends the machine: at once if cut is set, a power cut, or else giving
// QEMU the time to finish its writing.
func (n *node) stop(ctx context.Context, cut bool, why string) error {
	n.mu.Lock()
	r := n.run
	if r == nil {
		s := n.state
		n.mu.Unlock()
		return problem.New(fmt.Sprintf("%s is not running (it is %s)", n.cfg.Name, s), "to boot it: hurdlab start "+n.cfg.Name)
	}
	r.why = why
	n.mu.Unlock()
	if cut {
		r.proc.Kill()
	} else {
		ctx, cancel := context.WithTimeout(ctx, stopTime)
		defer cancel()
		r.proc.Stop(ctx)
	}
	<-r.ended
	return nil
}

// halt stops the node for the lab's end, whatever it is doing.
func (n *node) halt(why string) {
	n.stop(context.Background(), false, why) // fails if it is not running: good
	n.console.Close()
	n.monitor.Close()
}

// restart stops the node if it runs, and boots it.
func (n *node) restart(ctx context.Context) error {
	n.mu.Lock()
	running := n.run != nil
	n.mu.Unlock()
	if running {
		if err := n.stop(ctx, true, "it is being restarted"); err != nil {
			return err
		}
	}
	return n.start(ctx)
}

// machine is the process that runs, or an error if none does.
func (n *node) machine() (*qemu.Process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.run == nil {
		return nil, n.notUp()
	}
	return n.run.proc, nil
}

// whileUp is a context that ends when the node is not up any more, or an error
// if it is not.
func (n *node) whileUp() (context.Context, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state != api.Up {
		return nil, n.notUp()
	}
	return n.up, nil
}

// notUp says that the node is not up. The caller holds mu.
func (n *node) notUp() error {
	what := fmt.Sprintf("%s is %s", n.cfg.Name, n.state)
	if n.why != "" {
		what += ": " + n.why
	}
	switch n.state {
	case api.Booting:
		return problem.New(what, "wait until it is up: hurdlab status")
	case api.Panicked:
		return problem.New(what, "to boot it again: hurdlab restart "+n.cfg.Name)
	}
	return problem.New(what, "to boot it: hurdlab start "+n.cfg.Name)
}

// status is the node's part of the lab's status.
func (n *node) status() api.NodeStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := api.NodeStatus{
		Name:     n.cfg.Name,
		Addr:     n.cfg.Addr.String(),
		MAC:      net.HardwareAddr(n.cfg.MAC[:]).String(),
		State:    n.state,
		Since:    n.since,
		Why:      n.why,
		Stage:    n.stage,
		BootTime: n.bootTime,
		Boots:    n.boots,
		MemoryMB: n.cfg.Machine.MemoryMB,
		Trouble:  n.trouble,
		Can:      n.cfg.Machine.Can,
	}
	if n.run != nil {
		s.PID = n.run.proc.PID()
		s.RSS = rss(s.PID)
	}
	return s
}

// rss is what a process occupies of the memory, in bytes; 0 if that cannot be
// found out.
func rss(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// attach joins a stream to the console: what the machine writes from now on,
// and what is typed.
func (n *node) attach(ctx context.Context, conn net.Conn, from int64) error {
	proc, err := n.machine()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, err := n.console.Follow(ctx, from)
	if err != nil {
		return err
	}
	defer out.Close()
	go func() {
		defer cancel() // whoever looked has gone
		buf := make([]byte, 256)
		for {
			k, err := conn.Read(buf)
			if err != nil || proc.Type(buf[:k]) != nil {
				return
			}
		}
	}()
	go func() {
		select {
		case <-proc.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	io.Copy(conn, out)
	return nil
}
