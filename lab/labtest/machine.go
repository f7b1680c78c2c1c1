// Package labtest is a kind of machine that needs no emulator, for the tests
// of the lab and of the command line.
//
// A program under test starts itself in the place of QEMU: it understands
// the part of QEMU's command line that package qemu uses, answers on the
// monitor, writes marks on the console, and has a network interface with an
// SSH server behind it that knows a few commands. It boots in milliseconds
// and fails in every way that a test asks for. A test program calls
// [RunMachine] first of all in its TestMain.
package labtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"hurdlab/images"
	"hurdlab/internal/fsatomic"
)

// How a machine can behave, besides well.
const (
	// Panics prints a kernel panic after its first mark, and hangs.
	Panics = "panics"
	// Hangs after its first mark.
	Hangs = "hangs"
	// Exits with status 3 and a message after its first mark.
	Exits = "exits"
	// Mute never says anything, not even on the monitor.
	Mute = "mute"
	// Refuses to start, as QEMU does when it dislikes its arguments.
	Refuses = "refuses"
)

// The marks that a machine's boot leaves on the console.
const (
	MarkKernel = "labtest kernel"
	MarkReady  = "labtest ready"
)

// Image is an images.Image of such machines.
type Image struct {
	// Behaves gives the behaviour of nodes by name; "" for the rest.
	Behaves map[string]string
	// PrepareErr, if not nil, is what Prepare returns.
	PrepareErr error
}

func (*Image) Name() string     { return "labtest" }
func (*Image) Describe() string { return "machines without an emulator, for tests" }

func (m *Image) Prepare(ctx context.Context, p images.Progress) error {
	done := p.Step("prepare nothing")
	done(m.PrepareErr)
	return m.PrepareErr
}

func (m *Image) Machine(ctx context.Context, id images.Identity) (*images.Machine, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(id)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(id.Dir, "identity.json")
	if err := fsatomic.WriteFile(file, b, 0o600); err != nil {
		return nil, err
	}
	behaves, ok := m.Behaves[id.Name]
	if !ok {
		behaves = m.Behaves[""]
	}
	return &images.Machine{
		QEMU:     exe,
		MemoryMB: max(id.MemoryMB, 1),
		CPUs:     1,
		NIC:      "labtest-nic",
		FWCfg:    map[string]string{"opt/labtest": file},
		Args:     []string{"-labtest", "behaves=" + behaves},
		User:     "root",
		Stages:   []images.Stage{{Name: "kernel", Mark: MarkKernel, Stuck: "it has no init"}, {Name: "ready", Mark: MarkReady}},
		Can:      []string{},
	}, nil
}

// RunMachine makes this process a machine, and never returns, if it was
// started as one.
func RunMachine() {
	if len(os.Args) < 2 {
		return
	}
	switch {
	case os.Args[1] == "--version":
		fmt.Println("QEMU emulator version 99.0 (labtest)")
		os.Exit(0)
	case os.Args[1] == "-name":
		m, err := parse(os.Args[1:])
		if err == nil {
			err = m.run()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "labtest machine:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// machine is what the arguments say.
type machine struct {
	monitor, console, nic net.Conn
	behaves               string
	id                    images.Identity
	greeted               chan struct{} // closed after the monitor's handshake
}

// lists collects a flag that is given several times.
type lists []string

func (l *lists) String() string     { return strings.Join(*l, " ") }
func (l *lists) Set(s string) error { *l = append(*l, s); return nil }

func parse(argv []string) (*machine, error) {
	fs := flag.NewFlagSet("machine", flag.ContinueOnError)
	var chardevs, netdevs, fwcfg, ours lists
	fs.Var(&chardevs, "chardev", "")
	fs.Var(&netdevs, "netdev", "")
	fs.Var(&fwcfg, "fw_cfg", "")
	fs.Var(&ours, "labtest", "")
	for _, name := range []string{"name", "accel", "m", "smp", "display", "mon", "serial", "device", "d", "D"} {
		fs.String(name, "", "")
	}
	for _, name := range []string{"nodefaults", "no-user-config", "no-reboot", "snapshot"} {
		fs.Bool(name, false, "")
	}
	if err := fs.Parse(argv); err != nil {
		return nil, err
	}
	m := &machine{greeted: make(chan struct{})}
	fds := regexp.MustCompile(`(?:fd|addr\.str)=(\d+)`)
	for _, dev := range append(chardevs, netdevs...) {
		match := fds.FindStringSubmatch(dev)
		if match == nil {
			continue // unplugged
		}
		fd, _ := strconv.Atoi(match[1])
		f := os.NewFile(uintptr(fd), dev)
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dev, err)
		}
		switch {
		case strings.Contains(dev, "id=monitor"):
			m.monitor = conn
		case strings.Contains(dev, "id=console"):
			m.console = conn
		default:
			m.nic = conn
		}
	}
	for _, o := range ours {
		m.behaves = strings.TrimPrefix(o, "behaves=")
	}
	if len(fwcfg) != 1 {
		return nil, fmt.Errorf("%d fw_cfg files, want the identity", len(fwcfg))
	}
	_, file, _ := strings.Cut(fwcfg[0], "file=")
	b, err := os.ReadFile(strings.ReplaceAll(file, ",,", ","))
	if err != nil {
		return nil, err
	}
	return m, json.Unmarshal(b, &m.id)
}

func (m *machine) run() error {
	switch m.behaves {
	case Mute:
		select {}
	case Refuses:
		return errors.New("I refuse")
	}
	go m.serveMonitor()
	fmt.Fprintf(m.console, "%s\r\n", MarkKernel)
	switch m.behaves {
	case Panics:
		fmt.Fprint(m.console, "panic ../kern/labtest.c:1: boot: asked to\r\n")
		select {}
	case Hangs:
		select {}
	case Exits:
		<-m.greeted
		fmt.Fprintln(os.Stderr, "labtest: asked to exit")
		os.Exit(3)
	}
	if m.nic != nil && m.id.Addr != (netip.Prefix{}) {
		if err := m.serveSSH(); err != nil {
			return err
		}
	}
	fmt.Fprintf(m.console, "%s\r\n", MarkReady)
	// The console echoes lines, and obeys one.
	s := bufio.NewScanner(m.console)
	for s.Scan() {
		fmt.Fprintf(m.console, "you typed %s\r\n", s.Text())
	}
	select {}
}

// serveMonitor answers on the monitor as QEMU does.
func (m *machine) serveMonitor() {
	io.WriteString(m.monitor, `{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 99}, "package": ""}, "capabilities": []}}`+"\r\n")
	// An event before the handshake is over has confused clients.
	m.event("LABTEST_STARTED", "")
	r := json.NewDecoder(m.monitor)
	for {
		var cmd struct {
			Execute   string
			Arguments json.RawMessage
		}
		if r.Decode(&cmd) != nil {
			return // the lab is gone; the kernel ends us
		}
		m.event("LABTEST_COMMAND", "")
		switch cmd.Execute {
		case "qmp_capabilities":
			m.answer(struct{}{})
			close(m.greeted)
		case "query-status":
			m.answer(map[string]any{"status": "running", "running": true})
		case "labtest-echo":
			m.answer(cmd.Arguments)
		case "labtest-long":
			m.answer(strings.Repeat("x", 100_000))
		case "labtest-silence":
		case "quit":
			m.answer(struct{}{})
			m.event("SHUTDOWN", "host-qmp-quit")
			os.Exit(0)
		default:
			fmt.Fprintf(m.monitor, `{"error": {"class": "CommandNotFound", "desc": "The command %s has not been found"}}`+"\r\n", cmd.Execute)
		}
		m.event("LABTEST_DONE", "")
	}
}

func (m *machine) answer(v any) {
	b, err := json.Marshal(map[string]any{"return": v})
	if err != nil {
		panic(err)
	}
	m.monitor.Write(append(b, '\r', '\n'))
}

func (m *machine) event(name, reason string) {
	fmt.Fprintf(m.monitor, `{"timestamp": {"seconds": %d, "microseconds": 0}, "event": %q, "data": {"reason": %q}}`+"\r\n",
		time.Now().Unix(), name, reason)
}

// crash is a guest that panics, with QEMU ending because it would reboot.
func (m *machine) crash() {
	fmt.Fprint(m.console, "panic ../kern/labtest.c:2: crash: asked to\r\n")
	m.event("SHUTDOWN", "guest-reset")
	os.Exit(0)
}
