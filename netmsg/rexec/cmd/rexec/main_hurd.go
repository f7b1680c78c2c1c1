// Rexec runs a program on another node as if it ran here.
//
//	rexec [--root=there] NODE PROGRAM [ARGUMENT...]
//	rexec [--root=there] --any PROGRAM [ARGUMENT...]    the node with the least to do
//	rexec [--root=there] --any=NODE,NODE... PROGRAM [ARGUMENT...]    the same, of these
//	rexec --list                                        the nodes, and how busy they are
//
// The program has this one's root and working directory, descriptors, environment
// and umask; its signals, and its end. docs/rexec.md says all of it.
//
// As the translator of /servers/exported/rexec it is the server that runs what other
// nodes want to have run, for those whom netmsg's policy gives the export "exec".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
	"hurdlab/netmsg/rexec"
)

const usage = `usage:
  rexec [--root=there] NODE PROGRAM [ARGUMENT...]
  rexec [--root=there] --any PROGRAM [ARGUMENT...]    on the node with the least to do
  rexec [--root=there] --any=NODE,NODE... PROGRAM [ARGUMENT...]    the same, of these
  rexec --list                                        the nodes, and how busy they are

The program has the files, descriptors and environment of its caller.
--root=there: it has the files of its node, and is one of them.
`

// mounts is where the other nodes are.
const mounts = "/n"

// askTime is how long a node may take to say how busy it is.
const askTime = 3 * time.Second

func main() {
	ctx := context.Background()
	self := hurd.Self()
	if self.Boot.Valid() && len(os.Args) == 1 {
		if err := serve(ctx, self); err != nil {
			fmt.Fprintf(os.Stderr, "rexec: %v\n", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	state, err := run(ctx, self)
	if err != nil {
		fmt.Fprintf(os.Stderr, "rexec: %v\n", err)
		status := rexec.StatusLost
		if e, ok := errors.AsType[*rexec.Error](err); ok {
			status = e.Status
		}
		os.Exit(status)
	}
	os.Exit(state.Code())
}

func run(ctx context.Context, self *hurd.Process) (rexec.State, error) {
	var none rexec.State
	set := flag.NewFlagSet("rexec", flag.ContinueOnError)
	set.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	var any anyNode
	set.Var(&any, "any", "the node with the least to do, or of some `nodes`")
	list := set.Bool("list", false, "list the nodes")
	root := set.String("root", "here", "whose root directory: here or there")
	switch err := set.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return none, nil
	case err != nil:
		return none, err
	case *root != "here" && *root != "there":
		return none, fmt.Errorf("--root=%s: it is here or there", *root)
	}
	name, err := nodeName()
	if err != nil {
		return none, err
	}
	args := set.Args()
	if *list {
		return none, show(ctx, self, name)
	}
	node := ""
	switch {
	case any.chosen:
		l, err := rexec.Least(loads(ctx, self, name, any.nodes))
		if err != nil {
			return none, err
		}
		if node = l.Node; node == name {
			// Whoever asks next should know. That it is not said, as where only root may, changes
			// nothing else.
			_ = rexec.Here(ctx, self)
		}
	case len(args) > 0:
		node, args = args[0], args[1:]
	}
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return none, errors.New("which program?")
	}
	if node == name {
		return none, here(args)
	}
	cmd := rexec.Command{Node: node, Args: args, Env: os.Environ(), There: *root == "there"}
	if cmd.There {
		cmd.Dir, _ = os.Getwd()
	}
	cmd.Umask = int32(syscall.Umask(0))
	syscall.Umask(int(cmd.Umask))
	if start := syscall.HurdStart(); start != nil && len(start.Ints) > proto.InitSigIgn {
		cmd.Ignored = int32(start.Ints[proto.InitSigIgn])
	}
	c := &rexec.Client{Self: self, Started: func(job mach.Port) { standFor(ctx, self, job) }}
	return c.Run(ctx, cmd)
}

// An anyNode is the flag --any, with or without nodes.
type anyNode struct {
	chosen bool
	nodes  []string // all, if there are none
}

func (a *anyNode) IsBoolFlag() bool { return true }

func (a *anyNode) String() string { return strings.Join(a.nodes, ",") }

func (a *anyNode) Set(s string) error {
	a.chosen, a.nodes = s != "false", nil
	if s != "true" && s != "false" {
		a.nodes = strings.Split(s, ",")
	}
	return nil
}

// nodeName returns the name of the node that this process is on, whosever its files
// are.
func nodeName() (string, error) {
	if name := os.Getenv(rexec.NodeVariable); name != "" {
		return name, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("this node has no name: %w", err)
	}
	return name, nil
}

// here runs a program on this node, in this one's place.
func here(args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return &rexec.Error{Status: rexec.StatusNotFound, Text: args[0] + ": not found"}
	}
	err = syscall.Exec(path, args, os.Environ())
	return &rexec.Error{Status: rexec.StatusNotExecuted, Text: path + " cannot be run", Err: err}
}

// standFor makes this process the stand-in of a program: what signals come to it go
// there, and it has no use of the program's descriptors any more, so that whoever is
// at their other ends sees what the program does with them. It keeps that of
// errors, for its own.
func standFor(ctx context.Context, self *hurd.Process, job mach.Port) {
	if err := serveSignals(ctx, self, job); err != nil {
		fmt.Fprintf(os.Stderr, "rexec: signals are not passed on: %v\n", err)
	}
	for fd := range self.FDs {
		if fd != 2 {
			_ = syscall.Close(fd)
		}
	}
}

// serveSignals takes the place of the runtime at the process's message port.
func serveSignals(ctx context.Context, self *hurd.Process, job mach.Port) error {
	r, err := mach.NewReceiver()
	if err != nil {
		return err
	}
	if err := mach.PortInsertRight(mach.TaskSelf(), r.Port(), r.Port(), mach.MakeSend); err != nil {
		r.Close()
		return err
	}
	old, err := proto.ProcSetmsgport(ctx, self.Proc, r.Port())
	if err != nil {
		r.Close()
		return err
	}
	proto.Release(ctx, old)
	go mach.Serve(ctx, r, proto.Handler(&rexec.Signals{Self: self, Task: mach.TaskSelf(), Job: job}))
	return nil
}

// serve is the server.
func serve(ctx context.Context, self *hurd.Process) error {
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("this node has no name: %w", err)
	}
	s := rexec.NewServer(rexec.Config{Node: name, Processes: rexec.OfProcess(self), Ports: new(ports.Kernel), Busy: busy})
	return translator.Serve(ctx, translator.Config{Root: s, Name: "rexec", FSType: proto.FSTypeMisc})
}

// busy says how busy this node is: by the kernel's average of the last five seconds.
func busy() (load int, free int64, err error) {
	host, err := mach.HostBasicInfo(mach.HostSelf())
	if err != nil {
		return 0, 0, err
	}
	l, err := mach.HostLoadInfo(mach.HostSelf())
	if err != nil {
		return 0, 0, err
	}
	v, err := mach.VMStats(mach.TaskSelf())
	if err != nil {
		return 0, 0, err
	}
	return l.Average[0] / max(host.CPUs, 1), int64(v.Free) * int64(v.PageSize), nil
}

// loads asks all nodes, or those of only, this one first.
func loads(ctx context.Context, self *hurd.Process, name string, only []string) []rexec.Load {
	asked := func(node string) bool { return len(only) == 0 || slices.Contains(only, node) }
	nodes := []string{name}
	if dir, err := os.ReadDir(mounts); err == nil {
		for _, e := range dir {
			if e.Name() != name && asked(e.Name()) {
				nodes = append(nodes, e.Name())
			}
		}
	}
	list := make([]rexec.Load, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			if i == 0 {
				if list[i] = own(ctx, self, name); !asked(name) {
					list[i].Err = errors.New("it is not asked")
				}
				return
			}
			ctx, cancel := context.WithTimeout(ctx, askTime)
			defer cancel()
			list[i] = rexec.LoadOf(ctx, self, node)
		})
	}
	wg.Wait()
	return list
}

// own is this node's load.
func own(ctx context.Context, self *hurd.Process, name string) rexec.Load {
	// Only root may look at the server here.
	if server, err := self.Lookup(ctx, rexec.Path, 0, 0); err == nil {
		defer proto.Release(ctx, server)
		if _, load, jobs, free, err := proto.RexecLoad(ctx, server); err == nil {
			return rexec.Load{Node: name, Load: float64(load) / 1000, Jobs: int(jobs), Free: free}
		}
	}
	load, free, err := busy()
	return rexec.Load{Node: name, Load: float64(load) / 1000, Jobs: -1, Free: free, Err: err}
}

func show(ctx context.Context, self *hurd.Process, name string) error {
	list := loads(ctx, self, name, nil)
	slices.SortFunc(list[1:], func(a, b rexec.Load) int {
		if a.Node < b.Node {
			return -1
		}
		return 1
	})
	fmt.Printf("%-16s %6s %5s %8s\n", "NODE", "LOAD", "JOBS", "FREE")
	for _, l := range list {
		if l.Err != nil {
			fmt.Printf("%-16s %v\n", l.Node, l.Err)
			continue
		}
		jobs := fmt.Sprint(l.Jobs)
		if l.Jobs < 0 {
			jobs = "-"
		}
		fmt.Printf("%-16s %6.2f %5s %7dk\n", l.Node, l.Load, jobs, l.Free>>10)
	}
	return nil
}
