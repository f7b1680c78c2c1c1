// Package goport is Go for the Hurd: a port of the gc tool chain to
// GOOS=hurd, GOARCH=386, kept as what it adds to one pinned Go release.
//
//   - _src holds the files that the port adds, laid out like GOROOT/src.
//   - diffs holds the changes to Go's own files: few, and mostly build tags.
//
// [Ensure] turns the release into the ported tool chain on this host, once,
// and finds it in the cache from then on. The release comes as the module
// golang.org/toolchain through the module proxy and checksum database that
// the host's own go command is set up for, so any host Go from 1.21 on will
// do. Package hurdlab/cmd/hurdlab ("hurdlab go ...") and the images that
// build guest programs use it.
//
// See docs/go-port.md for how the port itself works.
package goport

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Release is the Go release that is ported.
const Release = "go1.26.8"

// What the tool chain builds for.
const (
	GOOS   = "hurd"
	GOARCH = "386"
)

// Options tell Ensure where to work and whom to tell.
type Options struct {
	// CacheDir is the directory for what hurdlab keeps between runs; the
	// tool chains are in its subdirectory "go".
	CacheDir string
	// Progress, if not nil, is told about the steps of a first use.
	Progress Progress
}

// Progress receives the steps of a build. Any images.Progress is one; this
// package stands below that one and does without it.
type Progress interface {
	// Step starts a step; the function it returns ends it.
	Step(name string) (done func(err error))
	// Logf notes something within the current step.
	Logf(format string, args ...any)
}

// A Toolchain is a complete GOROOT that builds for the Hurd.
type Toolchain struct {
	// Dir is its GOROOT. It is shared by all that use the cache: read only.
	Dir string
}

// Ensure returns the tool chain of this version of the port. If the cache
// does not have it, Ensure downloads the release and builds it, which takes
// a minute or two. Processes that need the same tool chain at the same time
// build it once: the others wait.
func Ensure(ctx context.Context, o Options) (*Toolchain, error) {
	p := builtIn()
	b := &builder{
		patches:  p,
		cache:    filepath.Join(o.CacheDir, "go"),
		progress: o.Progress,
		goCmd:    "go",
	}
	if b.progress == nil {
		b.progress = silent{}
	}
	dir, err := b.ensure(ctx)
	if err != nil {
		return nil, err
	}
	return &Toolchain{Dir: dir}, nil
}

// Command returns a run of the go command, such as "build" "-o" "x" ".",
// for GOOS=hurd. It works on the module in the directory that the caller
// sets as the command's Dir. When ctx ends it is interrupted, so that it can
// clean up, and killed if that does not help.
func (t *Toolchain) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(t.Dir, "bin", "go"), args...)
	cmd.Env = t.Env()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Env is this process's environment with what the tool chain needs.
func (t *Toolchain) Env() []string {
	env := without(os.Environ(), "GOTOOLDIR", "GO386", "GOEXPERIMENT", "GOHOSTOS", "GOHOSTARCH", "PATH")
	return append(env,
		"GOROOT="+t.Dir,
		"GOTOOLCHAIN=local", // another release would know nothing of the Hurd
		"GOOS="+GOOS,
		"GOARCH="+GOARCH,
		"CGO_ENABLED=0",
		"PATH="+filepath.Join(t.Dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"),
	)
}

// without returns env without the variables named.
func without(env []string, names ...string) []string {
	var rest []string
next:
	for _, e := range env {
		for _, n := range names {
			if strings.HasPrefix(e, n+"=") {
				continue next
			}
		}
		rest = append(rest, e)
	}
	return rest
}

// host names the machine that the tool chain runs on: "linux-amd64".
func host() string { return runtime.GOOS + "-" + runtime.GOARCH }

// silent is the Progress of those who do not want any.
type silent struct{}

func (silent) Step(string) func(error) { return func(error) {} }
func (silent) Logf(string, ...any)     {}
