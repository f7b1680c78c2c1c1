package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// A Condition is what the disk says about whether a lab lives.
type Condition int

const (
	// Absent: there is no such lab.
	Absent Condition = iota
	// Starting: a process is at it, but there is no daemon yet.
	Starting
	// Running: its daemon lives. Its nodes may still be booting.
	Running
	// Ended: it ended, and End says why.
	Ended
	// Crashed: whoever held it died without a word.
	Crashed
)

// Condition finds out whether the lab lives.
func (d Dir) Condition() (Condition, error) {
	// A lab that ends between the two steps is taken for a crashed one, if
	// the end is looked for first; so the lock comes first.
	locked, err := d.Locked()
	if err != nil {
		return Absent, err
	}
	has := func(name string) bool {
		_, err := os.Stat(d.File(name))
		return err == nil
	}
	switch {
	case locked && has(daemonFile) && !has(endFile):
		return Running, nil
	case locked:
		return Starting, nil
	case !has(""):
		return Absent, nil
	case has(endFile):
		return Ended, nil
	}
	return Crashed, nil
}

// Explain says, in a sentence or two, what became of a lab that has ended or
// crashed.
func (d Dir) Explain() (string, error) {
	if end, err := d.End(); err == nil {
		return fmt.Sprintf("lab %q ended at %s: %s", d.Name, clock(end.Time), end.Why), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	daemon, err := d.Daemon()
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("the start of lab %q was cut off before it had a daemon; nothing was running", d.Name), nil
	}
	if err != nil {
		return "", err
	}
	seen, err := d.LastSeen()
	if err != nil {
		return "", err
	}
	what := fmt.Sprintf("the daemon of lab %q (process %d) died without shutting down", d.Name, daemon.PID)
	if boot, err := BootID(); err == nil && boot != daemon.BootID {
		what = fmt.Sprintf("this host was booted while lab %q was up (its daemon was process %d)", d.Name, daemon.PID)
	}
	nodes := "its nodes"
	if l, err := d.Lab(); err == nil {
		nodes = fmt.Sprintf("its %d nodes", len(l.Nodes))
	}
	return fmt.Sprintf("%s; it was last alive at %s. The machines of %s ended with it; their consoles are in %s",
		what, clock(seen), nodes, d.Path()), nil
}

// clock is how points in time are shown.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// BootID identifies the present boot of this host.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}
