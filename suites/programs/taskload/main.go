// Taskload shows what each task of a node does while a command runs, or for some
// seconds: processor time, page faults, messages. Root only.
//
//	taskload SECONDS
//	taskload COMMAND [ARGUMENT...]
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A load is what a task has done since it began.
type load struct {
	what         string
	user, system time.Duration
	events       mach.TaskEvents
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "taskload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: taskload SECONDS | COMMAND [ARGUMENT...]")
	}
	proc := hurd.Self().Proc
	priv, _, err := proto.ProcGetprivports(ctx, proc)
	if err != nil {
		return err
	}
	name, err := mach.ProcessorSetDefault(mach.HostSelf())
	if err != nil {
		return err
	}
	set, err := mach.HostProcessorSetPriv(priv, name)
	if err != nil {
		return err
	}
	before, err := loads(ctx, proc, set)
	if err != nil {
		return err
	}
	start := time.Now()
	if s, err := strconv.ParseFloat(args[0], 64); err == nil {
		time.Sleep(time.Duration(s * float64(time.Second)))
	} else {
		c := exec.CommandContext(ctx, args[0], args[1:]...)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			return err
		}
	}
	took := time.Since(start)
	after, err := loads(ctx, proc, set)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "user ms\tsystem ms\tfaults\tcopies\tsent\treceived\t in %v\n", took.Round(time.Millisecond))
	var pids []int32
	for pid := range after {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	for _, pid := range pids {
		a, b := after[pid], before[pid]
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t %s\n", (a.user - b.user).Milliseconds(), (a.system - b.system).Milliseconds(), a.events.Faults-b.events.Faults,
			a.events.CopyFaults-b.events.CopyFaults, a.events.Sent-b.events.Sent, a.events.Received-b.events.Received, a.what)
	}
	return w.Flush()
}

func loads(ctx context.Context, proc, set mach.Port) (map[int32]load, error) {
	list, err := mach.ProcessorSetTasks(set)
	if err != nil {
		return nil, err
	}
	defer proto.Release(ctx, list...)
	m := map[int32]load{}
	for _, task := range list {
		info, err := mach.TaskBasicInfo(task)
		if err != nil {
			continue
		}
		var l load
		l.user, l.system = info.User, info.System
		if u, s, err := mach.TaskThreadTimes(task); err == nil {
			l.user, l.system = l.user+u, l.system+s
		}
		l.events, _ = mach.TaskEventsInfo(task)
		pid, err := proto.ProcTask2pid(ctx, proc, task)
		if err != nil {
			continue
		}
		l.what = fmt.Sprint(pid)
		if argz, err := proto.ProcGetprocargs(ctx, proc, pid); err == nil {
			if args := hurd.ParseArgz(argz); len(args) > 0 {
				l.what += " " + args[0]
			}
		}
		m[pid] = l
	}
	return m, nil
}
