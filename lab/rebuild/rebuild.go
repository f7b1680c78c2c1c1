// Package rebuild puts a patched Hurd onto a node: it has the node fetch the source of
// the Hurd that it runs, applies a series of changes, builds and installs that, boots the
// node, looks whether it came back with what was built, and keeps its disk as an image.
//
// # Interruptions
//
// It is a list of steps, and a file that says which are done. Every step can be done
// again from its beginning, so that a [Job] that was cut off anywhere goes on where it
// was. From the moment in which something is installed until it has been seen to work
// there is a snapshot of the node's disk: what fails in between, and a node that does not
// come back, is rolled back to it. The property test cuts a job off at each of its
// operations and wants the second run to end as if there had been one.
//
// # Place in the house
//
// What a node has to do for it is interface [Node]; package lab's nodes are given to it by
// the command line, a directory of this host by the tests. The series are those of
// patches/hurd. It imports images for [images.Progress] only.
package rebuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hurdlab/images"
	"hurdlab/internal/fsatomic"
)

// A Node is where it is done.
type Node interface {
	// Run runs a script of the shell, whose output goes to out. The error says that it is
	// not known how it ended.
	Run(ctx context.Context, script string, out io.Writer) (status int, err error)
	// CopyTo copies a file or directory of this host. What is there is replaced.
	CopyTo(ctx context.Context, local, remote string) error
	// Ensure boots the node if it is not up.
	Ensure(ctx context.Context) error
	// Reboot shuts it down in good order and boots it.
	Reboot(ctx context.Context) error
	// Snapshot keeps the contents of its disk by a name, in place of what was kept by it;
	// Revert brings them back and boots, in whatever state the node is; Forget drops
	// them, if they are there.
	Snapshot(ctx context.Context, name string) error
	Revert(ctx context.Context, name string) error
	Forget(ctx context.Context, name string) error
	// Disk shuts it down, writes its disk to a file, and boots it.
	Disk(ctx context.Context, file string) error
}

// A Job is what is to be done.
type Job struct {
	Node Node
	// StateFile says how far it has come, and LogFile has all that the node said.
	StateFile, LogFile string
	// Series is what is applied to the source: a file "series" and those that it names.
	Series fs.FS
	// Quick builds, and installs, only what changes, and no packages.
	Quick bool
	// Servers is a directory of this host with files to install, below it as they are
	// below the node's root. With it nothing is fetched and built.
	Servers string
	// Keep makes an image of the disk, which disk writes to a file; nil keeps none.
	Keep func(ctx context.Context, disk func(ctx context.Context, file string) error) error
	// Progress is told of the steps.
	Progress images.Progress
	// Dir is the directory on the node; /var/tmp/hurdlab-patch if empty. Root stands
	// before the paths of what is installed: "", but in tests.
	Dir, Root string

	state state
}

// state is what the state file says.
type state struct {
	// Key tells jobs apart: digests of the series and of servers, and Quick.
	Key string `json:"key"`
	// Done are the steps that are.
	Done []string `json:"done"`
	// Reverting says that the snapshot is being brought back.
	Reverting bool `json:"reverting,omitempty"`
	// Version is that of the source, and Files are what is installed without packages,
	// by their paths, with digests.
	Version string            `json:"version,omitempty"`
	Files   map[string]string `json:"files,omitempty"`
}

func (s *state) done(step string) bool { return slices.Contains(s.Done, step) }

// A step is one of the plan.
type step struct {
	name, what string
	do         func(context.Context) error
}

// The steps that others ask for.
const (
	stepTools    = "tools"
	stepSource   = "source"
	stepSnapshot = "snapshot"
	stepCheck    = "check"
)

// snapshotName is the disk before something is installed.
const snapshotName = "hurdlab-patch"

// plan is what is done, in order.
func (j *Job) plan() []step {
	var plan []step
	add := func(name, what string, do func(context.Context) error) { plan = append(plan, step{name, what, do}) }
	if j.Servers == "" {
		add(stepTools, "get what it takes to build the Hurd", j.tools)
		add(stepSource, "fetch the source of the node's Hurd", j.source)
		add("patch", "apply the series", j.patch)
		if j.Quick {
			add("build", "build what has changed", j.buildQuick)
		} else {
			add("build", "build the packages", j.build)
		}
	} else {
		add("build", "copy the servers to the node", j.copyServers)
	}
	add(stepSnapshot, "keep the node's disk as it is", j.snapshot)
	if j.packages() {
		add("install", "install the packages", j.install)
	} else {
		add("install", "install the files", j.installFiles)
	}
	add("reboot", "boot the node", j.reboot)
	add(stepCheck, "see whether it runs what was built", j.check)
	if j.Keep != nil {
		add("clean", "delete what the build has left", j.clean)
		add("keep", "keep the node's disk as an image", j.keep)
	}
	add("forget", "forget the disk as it was", func(ctx context.Context) error { return j.Node.Forget(ctx, snapshotName) })
	return plan
}

// packages says whether packages are built.
func (j *Job) packages() bool { return j.Servers == "" && !j.Quick }

// guarded says whether something may be installed that has not been seen to work.
func (j *Job) guarded() bool { return j.state.done(stepSnapshot) && !j.state.done(stepCheck) }

// ErrDone says that there is nothing to do: the node has been patched so already.
var ErrDone = errors.New("this has been done already")

// Run does what has not been done yet. It returns nil when all has.
func (j *Job) Run(ctx context.Context) error {
	if err := j.begin(ctx); err != nil {
		return err
	}
	plan := j.plan()
	if !slices.ContainsFunc(plan, func(s step) bool { return !j.state.done(s.name) }) {
		return ErrDone
	}
	for _, s := range plan {
		if j.state.done(s.name) {
			continue
		}
		done := j.Progress.Step(s.what)
		err := s.do(ctx)
		if err == nil {
			j.state.Done = append(j.state.Done, s.name)
			err = j.save()
		}
		done(err)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return &Error{Step: s.what, Err: context.Cause(ctx), Do: "run it again: it goes on here"}
		}
		e := &Error{Step: s.what, Err: err, Log: j.LogFile}
		if j.guarded() {
			e.RolledBack = true
			if err := j.rollBack(ctx); err != nil {
				return &Error{Step: s.what, Err: errors.Join(e.Err, fmt.Errorf("roll back: %w", err)), Log: j.LogFile, Do: "run it again: it begins with rolling back"}
			}
		}
		e.Do = advice(err)
		return e
	}
	return nil
}

// begin reads how far it came, and ends what an interruption has left half done.
func (j *Job) begin(ctx context.Context) error {
	if j.Dir == "" {
		j.Dir = "/var/tmp/hurdlab-patch"
	}
	key, err := j.key()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(j.StateFile)
	if err == nil {
		err = json.Unmarshal(b, &j.state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read how far it has come: %w", err)
	}
	other := j.state.Key != key
	if j.state.Reverting || other && j.guarded() {
		done := j.Progress.Step("roll back what was interrupted")
		err := j.rollBack(ctx)
		done(err)
		if err != nil {
			return err
		}
	}
	done := j.Progress.Step("see whether the node is up")
	err = j.Node.Ensure(ctx)
	done(err)
	if err != nil && ctx.Err() == nil && j.guarded() {
		e := &Error{Step: "boot the node", Err: err, RolledBack: true, Log: j.LogFile, Do: advice(err)}
		if err := j.rollBack(ctx); err != nil {
			return err
		}
		return e
	}
	if err == nil && (other || !j.state.done(stepSnapshot)) {
		// That of a rolling back, or of another job, that was interrupted at its end.
		err = j.Node.Forget(ctx, snapshotName)
	}
	if err != nil || !other {
		return err
	}
	// The source does not depend on what is done with it, if it is there still.
	if _, err := j.run(ctx, "[ -d $W/source/tree ]"); err != nil {
		var missing *ScriptError
		if !errors.As(err, &missing) {
			return err
		}
		j.state.Done = nil
	}
	keep := slices.DeleteFunc(j.state.Done, func(s string) bool { return s != stepTools && s != stepSource })
	j.state = state{Key: key, Done: keep, Version: j.state.Version}
	return j.save()
}

func (j *Job) rollBack(ctx context.Context) error {
	j.state.Reverting = true
	if err := j.save(); err != nil {
		return err
	}
	if err := j.Node.Revert(ctx, snapshotName); err != nil {
		return err
	}
	i := slices.Index(j.state.Done, stepSnapshot)
	if i >= 0 {
		j.state.Done = j.state.Done[:i]
	}
	j.state.Reverting = false
	if err := j.save(); err != nil {
		return err
	}
	return j.Node.Forget(ctx, snapshotName) // if not now, the next run does
}

func (j *Job) save() error {
	b, err := json.MarshalIndent(&j.state, "", "\t")
	if err != nil {
		return err
	}
	return fsatomic.WriteFile(j.StateFile, append(b, '\n'), 0o600)
}

// key is a digest of all that decides what is built.
func (j *Job) key() (string, error) {
	h := sha256.New()
	from := j.Series
	if j.Servers != "" {
		from = os.DirFS(j.Servers)
	}
	fmt.Fprintln(h, j.Servers != "", j.Quick)
	err := fs.WalkDir(from, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := fs.ReadFile(from, p)
		fmt.Fprintf(h, "%s %x\n", p, sha256.Sum256(b))
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// version is that of the packages: the node's, and what was done to it.
func (j *Job) version() string { return j.state.Version + "+hurdlab." + j.state.Key[:8] }

// An Error is why it has not been done.
type Error struct {
	Step string
	Err  error
	// RolledBack says that the node is as it was.
	RolledBack bool
	// Log is the file with all that the node said.
	Log string
	Do  string
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %v", e.Step, e.Err)
	if e.RolledBack {
		s += "\nthe node has been rolled back to what it was before"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Advice is what the user can do.
func (e *Error) Advice() string {
	if e.Log == "" {
		return e.Do
	}
	if _, err := os.Stat(e.Log); err != nil {
		return e.Do
	}
	return strings.TrimPrefix(e.Do+"; ", "; ") + "all that the node said is in " + e.Log
}

// advice is what can be done about an error of the node's.
func advice(err error) string {
	var a interface{ Advice() string }
	if errors.As(err, &a) && a.Advice() != "" {
		return a.Advice()
	}
	if strings.Contains(err.Error(), "No space left on device") {
		return "the node's disk is full: make room on it, or take a larger image, and run it again: it goes on here"
	}
	return "when the cause is gone, run it again: it goes on here"
}

// A ScriptError is a script of the node that failed, with the last that it said.
type ScriptError struct {
	Status int
	Output []string
}

func (e *ScriptError) Error() string {
	return fmt.Sprintf("exit status %d:\n  %s", e.Status, strings.Join(e.Output, "\n  "))
}

// noteEvery is how often a long step tells what it is at.
const noteEvery = 10 * time.Second

// run runs a script that is to succeed, and returns its output. Variables W and R are
// where it works, and what stands before paths of what is installed.
func (j *Job) run(ctx context.Context, script string) (string, error) {
	log, err := os.OpenFile(j.LogFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return "", err
	}
	defer log.Close()
	fmt.Fprintf(log, "\n--- %s\n%s\n---\n", time.Now().Format(time.DateTime), script)
	out := &output{log: log, note: func(l string) { j.Progress.Logf("%s", l) }, noted: time.Now()}
	status, err := j.Node.Run(ctx, fmt.Sprintf("set -e\nW=%s\nR=%s\n%s", quote(j.Dir), quote(j.Root), script), out)
	if err != nil {
		return out.text(), err
	}
	if status != 0 {
		return out.text(), &ScriptError{status, out.tail(12)}
	}
	return out.text(), nil
}

// digest is that of a file of the node.
func (j *Job) digest(ctx context.Context, file string) (string, error) {
	h := sha256.New()
	status, err := j.Node.Run(ctx, "cat "+quote(file), h)
	if err == nil && status != 0 {
		err = fmt.Errorf("%s cannot be read", file)
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

func (j *Job) copyServers(ctx context.Context) error {
	files := make(map[string]string)
	dir := os.DirFS(j.Servers)
	err := fs.WalkDir(dir, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := fs.ReadFile(dir, p)
		sum := sha256.Sum256(b)
		files["/"+p] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return &hint{fmt.Errorf("there is no file in %s", j.Servers), "put the servers there as they are to be on the node, such as hurd/ext2fs.static"}
	}
	if _, err := j.run(ctx, "rm -rf $W/out; mkdir -p $W/out"); err != nil {
		return err
	}
	for _, p := range sorted(files) {
		if _, err := j.run(ctx, "mkdir -p $W/out"+quote(path.Dir(p))); err != nil {
			return err
		}
		if err := j.Node.CopyTo(ctx, filepath.Join(j.Servers, p), j.Dir+"/out"+p); err != nil {
			return err
		}
	}
	j.state.Files = files
	return nil
}

func (j *Job) snapshot(ctx context.Context) error {
	if _, err := j.run(ctx, "sync"); err != nil {
		return err
	}
	return j.Node.Snapshot(ctx, snapshotName)
}

// installFiles puts each file in its place at once: what is mapped by who runs it stays.
func (j *Job) installFiles(ctx context.Context) error {
	for _, p := range sorted(j.state.Files) {
		if _, err := j.run(ctx, fmt.Sprintf("f=%s\nmkdir -p $R%s\ncp $W/out$f $R$f.hurdlab-new\nchmod 755 $R$f.hurdlab-new\nmv -f $R$f.hurdlab-new $R$f", quote(p), quote(path.Dir(p)))); err != nil {
			return err
		}
	}
	// What a quick build installs the next time is what is newer than this one.
	_, err := j.run(ctx, "[ ! -e $W/quick.began ] || mv $W/quick.began $W/quick.done\nsync")
	return err
}

func (j *Job) reboot(ctx context.Context) error { return j.Node.Reboot(ctx) }

func (j *Job) check(ctx context.Context) error {
	if j.packages() {
		return j.checkPackages(ctx)
	}
	for _, p := range sorted(j.state.Files) {
		got, err := j.digest(ctx, j.Root+p)
		if err != nil {
			return err
		}
		if got != j.state.Files[p] {
			return fmt.Errorf("%s is not what was installed", p)
		}
	}
	return nil
}

func (j *Job) clean(ctx context.Context) error {
	if j.Quick {
		return nil // the next time is quick because of it
	}
	_, err := j.run(ctx, "rm -rf $W.old\n[ ! -e $W ] || mv $W $W.old\nrm -rf $W.old\nsync")
	return err
}

func (j *Job) keep(ctx context.Context) error { return j.Keep(ctx, j.Node.Disk) }
