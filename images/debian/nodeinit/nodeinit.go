// Package nodeinit is what makes a GNU/Hurd a node of a lab while it boots: it
// starts the network and hurdlab's own programs, tells the lab on the console
// how far the node is, and starts again what ends. It is an ordinary program
// that the image's own init runs, or, in images without one, the Hurd's startup.
//
// What to do is decided on the host and written to [ConfigFile].
package nodeinit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"hurdlab/images/mach/nodeconfig"
	"hurdlab/images/mach/sysinit"
)

// ConfigFile is where the configuration is.
const ConfigFile = "/etc/hurdlab/init.json"

// MarkInit is what the console shows when the program runs.
const MarkInit = "hurdlab: init"

// A Config says what to do.
type Config struct {
	// First is run before anything else, to its end. It may fail.
	First [][]string `json:"first,omitempty"`
	// Network is a file that is opened so that the translator on it starts.
	Network string `json:"network"`
	// Addr is told with the mark of the network.
	Addr string `json:"addr"`
	// Services are to run for ever.
	Services []Service `json:"services"`
	// Ready says that there is no service that says so itself.
	Ready bool `json:"ready,omitempty"`
	// Then is run once, with the arguments of this program: the image's own
	// init, in whose place this one was started.
	Then string `json:"then,omitempty"`
}

// A Service is a program to run.
type Service struct {
	Name string   `json:"name"`
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
}

// Parse reads a configuration.
func Parse(b []byte) (*Config, error) {
	c := new(Config)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("configuration of the node: %w", err)
	}
	for _, argv := range c.First {
		if len(argv) == 0 {
			return nil, errors.New("configuration of the node: a first command is none")
		}
	}
	for _, s := range c.Services {
		if len(s.Argv) == 0 {
			return nil, fmt.Errorf("configuration of the node: service %q is no program", s.Name)
		}
	}
	return c, nil
}

// Run does it, and returns what it could not do. args are those for Then.
func Run(ctx context.Context, c *Config, args []string, console io.Writer) error {
	fmt.Fprintln(console, MarkInit)
	sys := &system{console: console, ended: make(chan end)}
	// A boot that stops is found by the last line on the console.
	for _, argv := range c.First {
		sys.Logf("%s", strings.Join(argv, " "))
		if err := sys.command(ctx, argv, os.Environ()).Run(); err != nil {
			sys.Logf("%s: %v", strings.Join(argv, " "), err)
		}
	}
	if c.Then != "" {
		if err := sys.run(ctx, append([]string{c.Then}, args...), os.Environ()); err != nil {
			sys.Logf("%v", err)
		}
	}
	if c.Network != "" {
		sys.Logf("open %s", c.Network)
		f, err := os.Open(c.Network)
		if err != nil {
			return fmt.Errorf("network: %w", err)
		}
		f.Close()
	}
	fmt.Fprintln(console, nodeconfig.MarkNetwork, c.Addr)
	if c.Ready {
		fmt.Fprintln(console, nodeconfig.MarkReady)
	}
	var services []*sysinit.Service
	for _, s := range c.Services {
		services = append(services, &sysinit.Service{Name: s.Name, Argv: s.Argv, Env: s.Env})
	}
	return sysinit.Supervise(ctx, sys, services...)
}

// end is the end of a child.
type end struct{ pid, status int32 }

// system is a sysinit.System by os/exec.
type system struct {
	console io.Writer
	ended   chan end
}

func (s *system) command(ctx context.Context, argv, env []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, "/"
	cmd.Stdout, cmd.Stderr = s.console, s.console
	return cmd
}

// run starts a program whose end is of no interest.
func (s *system) run(ctx context.Context, argv, env []string) error {
	cmd := s.command(ctx, argv, env)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		if err := cmd.Wait(); err != nil {
			s.Logf("%s: %v", strings.Join(argv, " "), err)
		}
	}()
	return nil
}

func (s *system) Start(ctx context.Context, argv, env []string) (pid int32, err error) {
	cmd := s.command(ctx, argv, env)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid = int32(cmd.Process.Pid)
	go func() {
		cmd.Wait() // how it ended is in its state
		status := int32(1 << 8)
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
			status = int32(ws.ExitStatus()) << 8
			if ws.Signaled() {
				status = int32(ws.Signal())
			}
		}
		select {
		case s.ended <- end{pid, status}:
		case <-ctx.Done():
		}
	}()
	return pid, nil
}

func (s *system) Wait(ctx context.Context) (pid, status int32, err error) {
	select {
	case e := <-s.ended:
		return e.pid, e.status, nil
	case <-ctx.Done():
		return 0, 0, context.Cause(ctx)
	}
}

func (s *system) Now() time.Time { return time.Now() }

func (s *system) Logf(format string, args ...any) {
	fmt.Fprintf(s.console, "init: "+format+"\n", args...)
}
