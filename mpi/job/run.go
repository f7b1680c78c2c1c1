package job

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// A Spec says what to run.
type Spec struct {
	// Nodes are where the ranks run, one for each. "" is this node.
	Nodes []string
	// Args are the program, which each node has in its path, and its arguments.
	Args []string
	// Self is this node's name.
	Self string
}

// Environment variables of a rank.
const (
	rankVar = "MPI_RANK"
	sizeVar = "MPI_SIZE"
	homeVar = "MPI_HOME" // the node that the job was started on
	nameVar = "MPI_JOB"
)

// Run runs a job and waits for its end, which is that of all ranks. When one fails,
// the others are ended.
func Run(ctx context.Context, s Spec) error {
	n := len(s.Nodes)
	if n == 0 || n > MaxRanks {
		return fmt.Errorf("a job of %d ranks", n)
	}
	self := hurd.Self()
	if len(self.FDs) < Descriptor {
		return errors.New("no standard descriptors")
	}
	meet := newMeeting(n)
	right, err := ports.ExportRight(new(ports.Kernel), proto.Handler(meet), ports.Options{})
	if err != nil {
		return err
	}
	defer proto.Release(ctx, right)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	fds := append(append([]mach.Port(nil), self.FDs[:Descriptor]...), right)
	var wg sync.WaitGroup
	var once sync.Once
	var first error // of the ranks
	fail := func(err error) {
		once.Do(func() { first = err; meet.fail(proto.EINTR); cancel(err) })
	}
	for rank, node := range s.Nodes {
		child, err := start(ctx, self, s, rank, node, fds)
		if err != nil {
			fail(fmt.Errorf("rank %d: %w", rank, err))
			break
		}
		stop := context.AfterFunc(ctx, func() { _ = self.Kill(context.Background(), child.PID, proto.SIGKILL) })
		wg.Go(func() {
			defer stop()
			// Not ctx: a child that has been killed has to be reaped, too.
			st, err := child.Wait(context.Background())
			if err == nil {
				code, exited := st.Exited()
				switch {
				case !exited:
					err = fmt.Errorf("ended by signal %d", st.Signal())
				case code != 0:
					err = fmt.Errorf("ended with status %d", code)
				}
			}
			if err != nil {
				fail(fmt.Errorf("rank %d on %s: %w", rank, nodeName(node, s.Self), err))
			}
		})
	}
	wg.Wait()
	if first != nil {
		return first
	}
	return context.Cause(ctx)
}

func nodeName(node, self string) string {
	if node == "" {
		return self
	}
	return node
}

// start starts a rank.
func start(ctx context.Context, self *hurd.Process, s Spec, rank int, node string, fds []mach.Port) (*hurd.Child, error) {
	args := s.Args
	if node != "" && node != s.Self {
		// With its node's files, and with that its network.
		args = append([]string{"rexec", "--root=there", node}, args...)
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, err
	}
	env := append(os.Environ(), rankVar+"="+strconv.Itoa(rank), sizeVar+"="+strconv.Itoa(len(s.Nodes)),
		homeVar+"="+s.Self, fmt.Sprintf("%s=%d", nameVar, os.Getpid()))
	return self.Spawn(ctx, hurd.Spawn{Path: path, Args: args, Env: env, FDs: fds, Umask: 0o022})
}
