package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"hurdlab/images"
	"hurdlab/lab/problem"
	"hurdlab/lab/state"
)

// DefaultName is the name of a lab whose user does not care.
const DefaultName = "default"

// MaxNodes is how many nodes a lab can have.
const MaxNodes = 64

// defaultBootTimeout bounds the time from one stage of a boot to the next. A
// mach node needs seconds; a busy host with many emulated machines may need
// ten times as long.
const defaultBootTimeout = 2 * time.Minute

// A Spec says what lab to start.
type Spec struct {
	// Name tells the lab from others of the same user; DefaultName if empty.
	Name string
	// Nodes is the number of nodes, 1 to MaxNodes. They are called node1,
	// node2 and so on.
	Nodes int
	// Image is what they boot.
	Image images.Image
	// MemoryMB is the memory of each, in MiB; 0 means what the image likes.
	MemoryMB int
	// Seed decides what the network's faults do; 0 means a random seed.
	Seed uint64
	// BootTimeout bounds the time from one stage of a boot to the next; 0
	// means what the image likes, or two minutes.
	BootTimeout time.Duration
	// Accel is "auto" (or empty), "tcg" or "kvm". With auto KVM is used if it
	// is seen to work.
	Accel string
	// Capture keeps the frames that enter the switch, for bundles, up to 64 MB.
	Capture bool
	// Dirs is where files go; the user's directories if it is zero.
	Dirs state.Dirs
	// Watch, if not nil, is told of the events of the start, one at a time.
	Watch func(state.Event)
	// Leashed says that the lab ends when this process does, however it ends.
	// Suites want that; a lab for people outlives the command that started it.
	Leashed bool
	// Command is noted as the way to start such a lab again; the program's
	// own command line if empty.
	Command []string
}

// complete checks a spec and fills in what was left out.
func (s Spec) complete() (Spec, error) {
	if s.Name == "" {
		s.Name = DefaultName
	}
	if err := state.CheckName(s.Name); err != nil {
		return s, err
	}
	if s.Nodes < 1 || s.Nodes > MaxNodes {
		return s, problem.New(fmt.Sprintf("a lab cannot have %d nodes", s.Nodes),
			fmt.Sprintf("ask for 1 to %d: each is a process of QEMU with some 150 MB, and they share this host's processors", MaxNodes))
	}
	if s.Image == nil {
		return s, errors.New("lab: the spec has no image")
	}
	if s.MemoryMB < 0 {
		return s, problem.New(fmt.Sprintf("a node cannot have %d MB of memory", s.MemoryMB), "leave --memory out for what the image likes")
	}
	switch s.Accel {
	case "":
		s.Accel = "auto"
	case "auto", "tcg", "kvm":
	default:
		return s, problem.New(fmt.Sprintf("no accelerator is called %q", s.Accel), "use auto, tcg or kvm")
	}
	if s.Seed == 0 {
		s.Seed = rand.Uint64()>>12 + 1 // readable, exact in every JSON parser, never 0
	}
	if s.Dirs == (state.Dirs{}) {
		dirs, err := state.DefaultDirs(os.Getenv)
		if err != nil {
			return s, err
		}
		s.Dirs = dirs
	}
	if s.Command == nil {
		s.Command = os.Args
	}
	return s, nil
}

// nodeName is the name of the node with an index, which counts from 0.
func nodeName(i int) string { return fmt.Sprintf("node%d", i+1) }
