package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"hurdlab/images"
	"hurdlab/lab/api"
	"hurdlab/lab/labd"
	"hurdlab/lab/problem"
	"hurdlab/lab/qemu"
	"hurdlab/lab/state"
	"hurdlab/lab/vnet"
)

// daemonVerb is the first argument of a program that is to be a daemon.
const daemonVerb = "hurdlab-lab-daemon"

// daemonEnv is set for a daemon.
const daemonEnv = "HURDLAB_LAB_DAEMON"

// RunDaemon makes this process the daemon of a lab, and never returns, if it
// was started as one. See the package's documentation.
func RunDaemon() {
	if len(os.Args) != 4 || os.Args[1] != daemonVerb {
		return
	}
	err := func() error {
		dir, err := state.Dirs{State: os.Args[2]}.Lab(os.Args[3])
		if err != nil {
			return err
		}
		return labd.Main(dir)
	}()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s daemon of lab %s: %v\n", time.Now().Format(time.RFC3339), os.Args[3], err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Names of the steps of a start. The nodes' steps have the nodes' names.
const (
	stepHost   = "check this host"
	stepImage  = "prepare the image"
	stepAccel  = "see whether KVM works"
	stepDaemon = "start the lab's daemon"
)

// Up starts a lab and returns when all of its nodes are up. If that fails, or
// ctx ends before, nothing is left running. After a failure what the nodes
// said is kept: the error tells where.
func Up(ctx context.Context, spec Spec) (_ *Lab, err error) {
	spec, err = spec.complete()
	if err != nil {
		return nil, err
	}
	if os.Getenv(daemonEnv) != "" {
		return nil, errors.New("lab: this program was started to be a lab's daemon, but does not call lab.RunDaemon before anything else")
	}
	if err := checkDisk(spec.Dirs.State, diskFloor+uint64(spec.Nodes)*diskPerNode); err != nil {
		return nil, err
	}
	if err := checkDisk(spec.Dirs.Cache, diskCache); err != nil {
		return nil, err
	}
	dir, err := spec.Dirs.Lab(spec.Name)
	if err != nil {
		return nil, err
	}
	lock, err := dir.Lock()
	if errors.Is(err, state.ErrLocked) {
		return nil, inUse(dir)
	}
	if err != nil {
		return nil, problem.Wrap(err, "cannot start lab "+spec.Name, "make sure that "+spec.Dirs.State+" is yours and writable")
	}
	u := &up{spec: spec, dir: dir, lock: lock}
	defer u.close()
	if err := u.clear(); err != nil {
		return nil, err
	}
	if err := u.prepare(ctx); err != nil {
		// There was no daemon yet, and there is nothing to look at.
		dir.Remove()
		return nil, err
	}
	l, err := u.launch(ctx)
	if err == nil {
		return l, nil
	}
	if ctx.Err() != nil {
		dir.Remove()
		return nil, context.Cause(ctx)
	}
	if end, endErr := dir.End(); endErr == nil && errors.Is(err, errDaemonGone) {
		err = problem.New(end.Why, end.Do) // it was too quick for us to hear it
	}
	return nil, u.explain(err)
}

// inUse says that a lab cannot be started because it is there.
func inUse(dir state.Dir) error {
	c, err := dir.Condition()
	if err != nil {
		return err
	}
	if c != state.Running {
		return problem.New(fmt.Sprintf("lab %q is being started or stopped by another command", dir.Name),
			"wait for that one, or start another lab: hurdlab up --name NAME")
	}
	what := fmt.Sprintf("lab %q is up already", dir.Name)
	if d, err := dir.Daemon(); err == nil {
		what += fmt.Sprintf(" (since %s, daemon process %d)", d.Started.Local().Format("15:04:05"), d.PID)
	}
	return problem.New(what, fmt.Sprintf("use it (hurdlab status --name %[1]s), end it (hurdlab down --name %[1]s), or start another: hurdlab up --name NAME", dir.Name))
}

// up is a start of a lab.
type up struct {
	spec    Spec
	dir     state.Dir
	lock    *state.Lock
	journal *state.Journal
	events  *os.File // the journal's
	lab     *state.Lab
}

// close closes what a start needs only itself.
func (u *up) close() {
	u.lock.Close()
	if u.events != nil {
		u.events.Close()
	}
}

// clear deletes the remains of an earlier lab of the same name. Whatever can
// be learnt from it is kept in a bundle.
func (u *up) clear() error {
	var before string
	if _, err := os.Stat(u.dir.Path()); err == nil {
		if before, err = u.dir.Explain(); err != nil {
			before = err.Error()
		}
		if file, err := bundleTo(u.spec.Dirs, u.dir); err == nil {
			before += "; what it left is in " + file
		}
		if err := u.dir.Remove(); err != nil {
			return fmt.Errorf("remove the remains of lab %s: %w", u.dir.Name, err)
		}
	}
	if err := os.MkdirAll(u.dir.Path(), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(u.dir.File(state.EventsFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	u.events = f
	u.journal = state.NewJournal(f, u.spec.Watch)
	if before != "" {
		u.journal.Logf("%s", before)
	}
	return nil
}

// step runs f as a step.
func (u *up) step(name string, f func() error) error {
	done := u.journal.Step(name)
	err := f()
	done(err)
	return err
}

// prepare does what comes before the daemon: all that the lab is made of.
func (u *up) prepare(ctx context.Context) error {
	plan := []string{stepImage, stepHost}
	if u.spec.Accel == "auto" {
		plan = append(plan, stepAccel)
	}
	plan = append(plan, stepDaemon)
	for i := range u.spec.Nodes {
		plan = append(plan, nodeName(i))
	}
	u.journal.Record(state.Event{Kind: state.KindPlan, Plan: plan})
	if err := u.step(stepImage, func() error { return u.spec.Image.Prepare(ctx, u.journal) }); err != nil {
		return problem.Wrap(err, fmt.Sprintf("prepare image %s", u.spec.Image.Name()), "")
	}
	u.lab = &state.Lab{
		Name:    u.spec.Name,
		Created: time.Now(),
		Image:   u.spec.Image.Name(),
		Seed:    u.spec.Seed,
		Capture: u.spec.Capture,
		Command: u.spec.Command,
	}
	var machines []*images.Machine
	if err := u.step(stepHost, func() (err error) {
		if machines, err = u.makeNodes(ctx); err != nil {
			return err
		}
		u.lab.BootTimeout = bootTimeout(u.spec, machines)
		if err := checkMemory(machines); err != nil {
			return err
		}
		return qemu.Ensure(ctx, machines[0].QEMU, u.journal)
	}); err != nil {
		return err
	}
	if err := u.chooseAccel(ctx, machines[0]); err != nil {
		return err
	}
	return u.dir.WriteLab(u.lab)
}

// bootTimeout is what the user says, or the slowest machine wants.
func bootTimeout(s Spec, machines []*images.Machine) time.Duration {
	if s.BootTimeout != 0 {
		return s.BootTimeout
	}
	var d time.Duration
	for _, m := range machines {
		d = max(d, m.BootTimeout)
	}
	if d == 0 {
		d = defaultBootTimeout
	}
	return d
}

// makeNodes decides names, addresses and keys, and asks the image for the
// machines.
func (u *up) makeNodes(ctx context.Context) ([]*images.Machine, error) {
	// This switch is only asked which addresses it gives; the daemon's gives
	// the same ones.
	sw, err := vnet.New(vnet.Config{})
	if err != nil {
		return nil, err
	}
	defer sw.Close()
	u.lab.Prefix = sw.Prefix()
	var nics []*vnet.NIC
	hosts := make(map[string]netip.Addr)
	for i := range u.spec.Nodes {
		nic, err := sw.AddNode(nodeName(i))
		if err != nil {
			return nil, err
		}
		nics = append(nics, nic)
		hosts[nic.Name()] = nic.Addr().Addr()
	}
	netmsg, err := netmsgFiles(hosts)
	if err != nil {
		return nil, err
	}
	client, err := newKey(u.dir.File(state.ClientKey), "hurdlab "+u.spec.Name)
	if err != nil {
		return nil, err
	}
	var machines []*images.Machine
	var names []string
	hostKeys := make(map[string]ssh.PublicKey)
	for _, nic := range nics {
		name := nic.Name()
		hostKey, err := newKey(u.dir.NodeFile(name, state.HostKey), name)
		if err != nil {
			return nil, err
		}
		m, err := u.spec.Image.Machine(ctx, images.Identity{
			Name:           name,
			MAC:            nic.MAC(),
			Addr:           nic.Addr(),
			Gateway:        sw.Gateway(),
			DNS:            sw.Gateway(),
			Hosts:          hosts,
			HostKey:        hostKey.private,
			AuthorizedKeys: client.authorized(),
			Netmsg:         netmsg[name],
			MemoryMB:       u.spec.MemoryMB,
			Dir:            u.dir.Node(name),
		})
		if err != nil {
			return nil, err
		}
		machines = append(machines, m)
		names = append(names, name)
		hostKeys[name] = hostKey.public
		u.lab.Nodes = append(u.lab.Nodes, state.Node{Name: name, MAC: nic.MAC(), Addr: nic.Addr().Addr(), Machine: *m})
	}
	return machines, writeKnownHosts(u.dir, hostKeys, names)
}

// chooseAccel decides how machines like m run.
func (u *up) chooseAccel(ctx context.Context, m *images.Machine) error {
	v := qemu.Verdict{Accel: qemu.Accel(u.spec.Accel), Why: "asked for"}
	if u.spec.Accel == "auto" {
		if err := u.step(stepAccel, func() (err error) {
			v, err = qemu.ProbeKVM(ctx, m, u.spec.Dirs.Cache)
			return err
		}); err != nil {
			return err
		}
	}
	u.lab.Accel, u.lab.AccelWhy = string(v.Accel), v.Why
	return nil
}

// goneTime is how long a daemon may take to end by itself. It gives its
// machines less.
const goneTime = 15 * time.Second

// errDaemonGone says that the daemon has ended while we waited for the lab.
var errDaemonGone = errors.New("the lab's daemon has ended")

// launch starts the daemon and waits until the lab is up. If that fails the
// daemon has ended when launch returns.
func (u *up) launch(ctx context.Context) (_ *Lab, err error) {
	done := u.journal.Step(stepDaemon)
	events, err := os.Stat(u.dir.File(state.EventsFile))
	if err != nil {
		return nil, err
	}
	leash, daemon, err := u.spawn()
	if err != nil {
		done(err)
		return nil, err
	}
	defer func() {
		if err != nil || !u.spec.Leashed {
			leash.Close()
		}
		if err != nil {
			err = errors.Join(err, u.waitOrKill(daemon))
		}
	}()
	socket, err := u.listening(ctx, leash)
	done(err)
	if err != nil {
		return nil, err
	}
	l := newLab(u.spec.Dirs, u.dir, u.lab, api.NewClient(socket))
	if err := u.watch(ctx, l, events.Size()); err != nil {
		return nil, err
	}
	if u.spec.Leashed {
		// The daemon dies with our end of it, which is never closed before.
		l.leash = leash
	} else if _, err := leash.Write([]byte{labd.LetGo}); err != nil {
		return nil, fmt.Errorf("%w: %w", errDaemonGone, err)
	}
	go daemon.Wait() // or its remains stay in the process table as long as we do
	return l, nil
}

// spawn starts the daemon and gives it the lock. It returns the leash.
func (u *up) spawn() (*os.File, *exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "leash"), os.NewFile(uintptr(fds[1]), "leash")
	defer theirs.Close()
	log, err := os.OpenFile(u.dir.File(state.DaemonLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		ours.Close()
		return nil, nil, err
	}
	defer log.Close()
	cmd := exec.Command(exe, daemonVerb, u.spec.Dirs.State, u.spec.Name)
	cmd.Env = append(os.Environ(), daemonEnv+"=1")
	cmd.Dir = "/" // it must not keep a file system busy
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{labd.LockFD - 3: u.lock.File, labd.LeashFD - 3: theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of ^C
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, nil, fmt.Errorf("start the lab's daemon: %w", err)
	}
	// From now on the lock is the daemon's alone.
	u.lock.Close()
	return ours, cmd, nil
}

// listening waits until the daemon can be talked to.
func (u *up) listening(ctx context.Context, leash *os.File) (socket string, err error) {
	stop := context.AfterFunc(ctx, func() { leash.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := bufio.NewReader(leash).ReadString('\n')
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if line != labd.Listening {
		if line = strings.TrimSpace(line); line == "" {
			line = fmt.Sprintf("it ended at once; see %s", u.dir.File(state.DaemonLog))
		}
		return "", fmt.Errorf("start the lab's daemon: %s", line)
	}
	d, err := u.dir.Daemon()
	if err != nil {
		return "", err
	}
	return d.Socket, nil
}

// watch passes the events on that are in the journal behind from, until the lab is up or has failed.
func (u *up) watch(ctx context.Context, l *Lab, from int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := l.eventsFrom(ctx, from)
	if err != nil {
		return fmt.Errorf("%w: %w", errDaemonGone, err)
	}
	defer r.Close()
	dec := json.NewDecoder(r)
	for {
		var e state.Event
		if err := dec.Decode(&e); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w (%w); see %s", errDaemonGone, err, u.dir.File(state.DaemonLog))
		}
		if e.Step == stepDaemon {
			continue // that is our own
		}
		if u.spec.Watch != nil {
			u.spec.Watch(e)
		}
		if e.Kind != state.KindLab {
			continue
		}
		switch e.State {
		case state.LabUp:
			return nil
		case state.LabFailed, state.LabDown:
			return problem.New(e.Text, e.Do)
		}
	}
}

// explain is the error of a lab that did not come up, which leaves a bundle.
func (u *up) explain(err error) error {
	err = problem.Wrap(err, fmt.Sprintf("lab %q did not come up", u.dir.Name), "")
	file, bundleErr := bundleTo(u.spec.Dirs, u.dir)
	if bundleErr != nil {
		return errors.Join(err, bundleErr)
	}
	advice := "all that is known is in " + file
	if a := problem.Advice(err); a != "" {
		advice = a + "; " + advice
	}
	return problem.Wrap(err, "", advice)
}

// waitOrKill waits for a daemon that is about to end, but not for ever. If it
// has to be killed it leaves a bundle with the stacks of its goroutines.
func (u *up) waitOrKill(daemon *exec.Cmd) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		daemon.Wait() // how it ended is in its log
	}()
	if !forceEnd(daemon.Process.Signal, ended) {
		return nil
	}
	file, err := bundleTo(u.spec.Dirs, u.dir)
	return errors.Join(fmt.Errorf("the lab's daemon did not end by itself and was killed; see %s", file), err)
}

// dumpTime is how long a Go program may take to write its stacks, in vain.
const dumpTime = 2 * time.Second

// forceEnd waits until a process that has been told to end has done so. If it
// does not, it is made to write the stacks of its goroutines into its log and
// killed; then forceEnd returns true.
func forceEnd(signal func(os.Signal) error, ended <-chan struct{}) (killed bool) {
	// The signals fail only if it has ended in this very moment.
	for _, s := range []struct {
		after time.Duration
		sig   os.Signal
	}{{goneTime, syscall.SIGQUIT}, {dumpTime, syscall.SIGKILL}} {
		t := time.NewTimer(s.after)
		select {
		case <-ended:
			t.Stop()
			return killed
		case <-t.C:
			signal(s.sig)
			killed = true
		}
	}
	<-ended
	return true
}
