//go:build linux || hurd

package fstest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"
)

// A Backend is a file system to test.
type Backend struct {
	// Dir is a directory of it that the caller may write to. Run makes a
	// directory of its own there, and removes it. For the cases with other
	// users the way to Dir has to be open to everybody.
	Dir string
	// Lacks is what the file system does not offer. Cases that need it are
	// skipped.
	Lacks Feature
	// Timeout is how long a case may take, 1 minute if it is 0. A case that
	// takes longer has failed; what it waits for is left waiting.
	Timeout time.Duration
}

// A Feature is something that not every file system offers, or not every
// caller can use. Features are bits.
type Feature uint

const (
	Users       Feature = 1 << iota // programs of other users can be started: needs root
	Root                            // the caller is root
	HardLinks                       // several names for a file
	Fifos                           // fifos, and the server behind them
	Mapping                         // files can be mapped
	Locks                           // file_lock and file_record_lock
	AccessTimes                     // reading changes the access time
	LargeFiles                      // files beyond 4 GB
	Devices                         // /dev/null and its like
	Translators                     // passive and active translators
	Notices                         // file_notice_changes and dir_notice_changes
	Protocol                        // ports: see [ProtocolCases]
)

// features are the names of features, for those who choose them.
var features = []struct {
	bit  Feature
	name string
}{
	{Users, "users"}, {Root, "root"}, {HardLinks, "hardlinks"}, {Fifos, "fifos"}, {Mapping, "mapping"}, {Locks, "locks"},
	{AccessTimes, "accesstimes"}, {LargeFiles, "largefiles"}, {Devices, "devices"}, {Translators, "translators"}, {Notices, "notices"},
	{Protocol, "protocol"},
}

// ParseFeature returns the feature of a name.
func ParseFeature(name string) (Feature, error) {
	for _, f := range features {
		if f.name == name {
			return f.bit, nil
		}
	}
	var known []string
	for _, f := range features {
		known = append(known, f.name)
	}
	return 0, fmt.Errorf("no feature %q; there are %v", name, known)
}

func (f Feature) String() string {
	s := ""
	for _, x := range features {
		if f&x.bit != 0 {
			if s != "" {
				s += "+"
			}
			s += x.name
		}
	}
	return s
}

// A Case is one promise of a file system.
type Case struct {
	Name  string
	Needs Feature
	Run   func(*T)
}

// A Status is how a case ended.
type Status int

const (
	Passed Status = iota
	Failed
	Skipped
)

func (s Status) String() string { return [...]string{"ok", "FAIL", "skip"}[s] }

// A Result is what came of a case.
type Result struct {
	Name   string
	Status Status
	Why    string // of failed and skipped ones
	Took   time.Duration
}

func (r Result) String() string {
	if r.Why == "" {
		return fmt.Sprintf("%v %s", r.Status, r.Name)
	}
	return fmt.Sprintf("%v %s: %s", r.Status, r.Name, r.Why)
}

// Cases returns all cases that Run can run here, in the order in which it is
// to: on the Hurd those about the protocol, too.
func Cases() []Case {
	var all []Case
	for _, cases := range [][]Case{
		badPathCases(), lookupCases(), createCases(), mkdirCases(), unlinkCases(), renameCases(), linkCases(), symlinkCases(),
		readdirCases(), ioCases(), sizeCases(), statCases(), timeCases(), modeCases(), ownerCases(), permissionCases(), stickyCases(),
		mapCases(), lockCases(), fifoCases(), deviceCases(), raceCases(),
	} {
		all = append(all, cases...)
	}
	if haveProtocol {
		all = append(all, ProtocolCases()...)
	}
	return all
}

// Run runs cases on b, one after the other, and calls report with the result
// of each. It returns an error if b cannot be tested, or when ctx ends. The
// process's umask is 022 meanwhile.
func Run(ctx context.Context, b Backend, cases []Case, report func(Result)) (err error) {
	dir, err := filepath.Abs(b.Dir)
	if err != nil {
		return err
	}
	dir, err = os.MkdirTemp(dir, "fstest-")
	if err != nil {
		return fmt.Errorf("a directory for the cases: %w", err)
	}
	defer func() { err = errors.Join(err, removeAll(dir)) }()
	// MkdirTemp keeps others out.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	defer syscall.Umask(syscall.Umask(0o22))
	if os.Geteuid() != 0 {
		b.Lacks |= Users | Root
	}
	if b.Timeout == 0 {
		b.Timeout = time.Minute
	}
	crew := &crew{}
	defer crew.dismiss()
	for i, c := range cases {
		if err := ctx.Err(); err != nil {
			return err
		}
		if lacks := c.Needs & b.Lacks; lacks != 0 {
			report(Result{Name: c.Name, Status: Skipped, Why: "needs " + lacks.String()})
			continue
		}
		if c.Needs&Protocol != 0 {
			report(runHere(ctx, c, filepath.Join(dir, fmt.Sprintf("%03d", i)), b.Timeout))
			continue
		}
		report(runCase(ctx, c, crew, filepath.Join(dir, fmt.Sprintf("%03d", i)), b.Timeout))
	}
	return nil
}

func runCase(ctx context.Context, c Case, crew *crew, dir string, timeout time.Duration) Result {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return Result{Name: c.Name, Status: Failed, Why: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	t := &T{ctx: ctx, dir: dir, crew: crew}
	r := t.run(c.Name, timeout, func() { c.Run(t) })
	if r.Status != Failed {
		if err := removeAll(dir); err != nil {
			r.Status, r.Why = Failed, "what it has made cannot be removed: "+err.Error()
		}
	}
	return r
}

// run runs f until it is done, or the case's time is over.
func (t *T) run(name string, timeout time.Duration, f func()) Result {
	begun := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer t.clean()
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		f()
	}()
	select {
	case <-done:
	case <-t.ctx.Done():
		if t.crew != nil {
			// Whoever it talks to may be what it waits for.
			t.crew.dismiss()
		}
		t.Errorf("not done after %v", timeout)
	}
	r := t.result()
	r.Name, r.Took = name, time.Since(begun)
	return r
}

// removeAll removes what a case has left, directories without permissions
// included.
func removeAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
