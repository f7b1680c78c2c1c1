// Package qemu runs one QEMU process: it builds the command line from an
// [images.Machine], starts the process, watches it, talks to its monitor, and
// ends it.
//
// A machine cannot outlive the process that started it, however that one
// dies: the kernel kills QEMU with it. Between the two there are only
// inherited socket pairs. Package labd holds the machines of a lab; the
// package itself knows neither labs nor networks.
//
// It works on Linux.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
	"golang.org/x/sys/unix"

	"hurdlab/images"
	"hurdlab/lab/console"
)

// Config says which machine to start and where its output goes.
type Config struct {
	// Name shows in the process list.
	Name string
	// Machine is what to boot.
	Machine *images.Machine
	// Accel is TCG unless KVM has been seen to work; see ProbeKVM.
	Accel Accel
	// MAC is the hardware address of the network interface.
	MAC [6]byte
	// Console receives what the machine writes on its serial line.
	Console io.Writer
	// MonitorLog, if not nil, receives all traffic of the monitor, a line
	// each, "> " for what is sent and "< " for what comes.
	MonitorLog io.Writer
	// DebugLog, if not empty, is the file for QEMU's own log.
	DebugLog string
	// Stage, if not nil, is called when the next stage of the machine is
	// reached; Trouble with every line of the console that means trouble.
	// Both are called by the goroutine that reads the console.
	Stage   func(s images.Stage)
	Trouble func(f console.Finding)

	// unplugged connects the network interface to nothing.
	unplugged bool
}

// A Process is a running or ended QEMU.
type Process struct {
	cmd     *exec.Cmd
	nic     net.Conn
	con     net.Conn
	monitor *monitor
	stderr  *tail
	done    chan struct{}

	mu       sync.Mutex
	stage    string
	stopping bool
	shutdown string // reason of the monitor's SHUTDOWN event
	exit     *ExitError
}

// Start starts a machine. It returns when the process runs and its monitor
// answers, which says nothing about the guest. If ctx ends before that, the
// process is killed; later it has no effect.
func Start(ctx context.Context, cfg Config) (_ *Process, err error) {
	if cfg.Accel == "" {
		cfg.Accel = TCG
	}
	bin, err := exec.LookPath(cfg.Machine.QEMU)
	if err != nil {
		return nil, missing(cfg.Machine.QEMU)
	}
	p := &Process{
		cmd:    exec.Command(bin, args(&cfg)...),
		stderr: &tail{},
		done:   make(chan struct{}),
	}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	var ours []net.Conn
	for range 3 { // in the order of the fd constants
		conn, file, err := socketPair()
		if err != nil {
			for _, c := range ours {
				c.Close()
			}
			return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
		}
		ours, theirs = append(ours, conn), append(theirs, file)
	}
	monitorConn := ours[0]
	p.con, p.nic = ours[1], ours[2]
	p.cmd.ExtraFiles = theirs
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = time.Second // if something inherited stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	// What comes from the console and the monitor when the process has ended
	// belongs to its end as well.
	var output sync.WaitGroup
	output.Add(2)
	if err := p.launch(&output); err != nil {
		for _, c := range ours {
			c.Close()
		}
		return nil, fmt.Errorf("start %s: %w", bin, err)
	}
	// Our copies must go now, or the ends of file never come.
	for _, f := range theirs {
		f.Close()
	}
	theirs = nil
	go func() {
		defer output.Done()
		p.readConsole(&cfg)
	}()
	p.monitor, err = newMonitor(ctx, monitorConn, cfg.MonitorLog, p.event, output.Done)
	if err != nil {
		p.Kill()
		<-p.done
		// Why it ended says more than that its monitor did not answer.
		if exit := p.Exit(); ctx.Err() == nil && len(exit.Stderr) > 0 {
			return nil, fmt.Errorf("start %s: %w", cfg.Name, exit)
		}
		return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
	}
	return p, nil
}

// launch starts the process and the goroutine that waits for its end.
//
// Linux sends the parent-death signal when the thread that started the
// process ends, not the program. So one goroutine, locked to its thread,
// starts the process and stays until it has ended and all its output is read.
func (p *Process) launch(output *sync.WaitGroup) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = p.cmd.Wait()
		output.Wait()
		p.finish(err)
		close(p.done)
	}()
	return <-started
}

// socketPair returns both ends of a connection: ours, and the child's.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "lab"), os.NewFile(uintptr(fds[1]), "qemu")
	defer ours.Close() // FileConn duplicates it
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// readConsole copies the console until the process has closed it.
func (p *Process) readConsole(cfg *Config) {
	marks := make([]string, len(cfg.Machine.Stages))
	for i, s := range cfg.Machine.Stages {
		marks[i] = s.Mark
	}
	w := console.NewWatcher(marks)
	w.Trouble = cfg.Trouble
	w.Mark = func(i int) {
		s := cfg.Machine.Stages[i]
		p.mu.Lock()
		p.stage = s.Name
		p.mu.Unlock()
		if cfg.Stage != nil {
			cfg.Stage(s)
		}
	}
	out := io.Writer(w)
	if cfg.Console != nil {
		// First what is kept, so that whoever hears of a stage or of
		// trouble finds it there.
		out = io.MultiWriter(cfg.Console, w)
	}
	io.Copy(out, p.con) // it ends by an end of file, or because we close it
	p.con.Close()
}

// event handles an event of the monitor.
func (p *Process) event(e qmp.Event) {
	if e.Event != "SHUTDOWN" {
		return
	}
	reason, _ := e.Data["reason"].(string)
	p.mu.Lock()
	p.shutdown = reason
	p.mu.Unlock()
}

// finish records why the process ended.
func (p *Process) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &ExitError{
		Asked:    p.stopping,
		Stage:    p.stage,
		Shutdown: p.shutdown,
		Stderr:   p.stderr.lines(),
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		ws := exit.Sys().(syscall.WaitStatus)
		e.Status = ws.ExitStatus()
		if ws.Signaled() {
			e.Signal = ws.Signal()
		}
	case err != nil:
		e.Status = -1
	}
	p.exit = e
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// NIC is the network interface: Ethernet frames, each after its length as
// four bytes, the most significant first. It is the caller's to close.
func (p *Process) NIC() net.Conn { return p.nic }

// Monitor talks to QEMU.
func (p *Process) Monitor() Monitor { return p.monitor }

// Type writes to the console as if typed there.
func (p *Process) Type(b []byte) error {
	_, err := p.con.Write(b)
	return err
}

// Done is closed when the process has ended and all of its console has been
// passed on.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how the process ended. It may be called when Done is closed.
func (p *Process) Exit() *ExitError {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// Kill ends the process at once, without waiting: a power cut.
func (p *Process) Kill() {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	p.cmd.Process.Kill() // fails only if there is none any more
}

// Stop ends the process and waits for its end. It asks first, so that QEMU
// can finish its writing; when ctx ends, it kills.
func (p *Process) Stop(ctx context.Context) {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	if err := p.monitor.Execute(ctx, "quit", nil, nil); err == nil {
		select {
		case <-p.done:
			return
		case <-ctx.Done():
		}
	}
	select {
	case <-p.done: // that is why it did not answer
	default:
		p.Kill()
		<-p.done
	}
}

// An ExitError says how a QEMU process ended.
type ExitError struct {
	// Asked says that Stop or Kill was called.
	Asked bool
	// Status is the exit status; -1 if it could not be had.
	Status int
	// Signal is what killed the process, or 0.
	Signal syscall.Signal
	// Shutdown is QEMU's own reason, if it gave one: "guest-reset" when the
	// guest rebooted, "guest-shutdown", "guest-panic", "host-qmp-quit" ...
	Shutdown string
	// Stage is the last stage of the boot that the machine reached.
	Stage string
	// Stderr is the last that QEMU wrote there.
	Stderr []string
}

func (e *ExitError) Error() string {
	var s string
	switch {
	case e.Signal != 0:
		s = fmt.Sprintf("QEMU was killed by signal %d (%v)", int(e.Signal), e.Signal)
	case e.Status != 0:
		s = fmt.Sprintf("QEMU ended with status %d", e.Status)
	case e.Shutdown == "guest-reset":
		s = "the guest rebooted"
	case e.Shutdown == "guest-shutdown":
		s = "the guest switched itself off"
	case e.Shutdown == "guest-panic":
		s = "the guest panicked"
	default:
		s = "QEMU ended"
	}
	if e.Stage != "" {
		s += fmt.Sprintf(" (last stage reached: %s)", e.Stage)
	}
	if len(e.Stderr) > 0 {
		s += ": " + e.Stderr[len(e.Stderr)-1]
	}
	return s
}

// tail keeps the last that was written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// maxTail is how many bytes a tail keeps.
const maxTail = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 2*maxTail {
		t.b = slices.Clone(t.b[len(t.b)-maxTail:])
	}
	return len(p), nil
}

// lines returns the last lines, without those that mean nothing.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for l := range strings.Lines(string(t.b[max(0, len(t.b)-maxTail):])) {
		l = strings.TrimSpace(l)
		// QEMU says this whenever it boots Mach, which asks for a video mode.
		if l == "" || strings.Contains(l, "multiboot knows VBE") {
			continue
		}
		lines = append(lines, l)
	}
	return lines
}
