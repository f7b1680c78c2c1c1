package goport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A builder makes the tool chain of some patches in a cache directory.
type builder struct {
	patches  patches
	cache    string // holds KEY directories, each a GOROOT, and the lock
	progress Progress
	goCmd    string // the host's go command
}

// ensure returns the GOROOT, building it if need be.
func (b *builder) ensure(ctx context.Context) (string, error) {
	key, err := b.patches.key()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(b.cache, key)
	if checkSeal(dir, key) == nil {
		return dir, nil
	}
	if err := os.MkdirAll(b.cache, 0o777); err != nil {
		return "", fmt.Errorf("cannot make the cache for the Go tool chain: %w", err)
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()

	// With the lock held nobody else builds: whatever is unfinished was
	// left by a process that is gone.
	err = checkSeal(dir, key)
	if err == nil {
		return dir, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		b.progress.Logf("the cached Go tool chain is damaged (%v); building it again", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("cannot remove the damaged tool chain: %w", err)
	}
	stale, err := filepath.Glob(filepath.Join(b.cache, "*.tmp"))
	if err != nil {
		return "", err
	}
	for _, d := range stale {
		if err := os.RemoveAll(d); err != nil {
			b.progress.Logf("%v; left for the next time", err)
		}
	}
	// A name that was never used: a compiler of a build that was killed may
	// go on for a while, in the old one.
	tmp, err := os.MkdirTemp(b.cache, key+"-*.tmp")
	if err != nil {
		return "", fmt.Errorf("cannot make a directory to build Go for the Hurd in: %w", err)
	}
	err = b.build(ctx, tmp, key)
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755) // it was a temporary one
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("cannot build Go for the Hurd: %w", err), os.RemoveAll(tmp))
	}
	return dir, nil
}

// lock takes the lock of the cache. The kernel drops it with the process, so
// a killed build never blocks the next one.
func (b *builder) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(b.cache, "lock"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the cache of the Go tool chain: %w", err)
	}
	unlock = func() { f.Close() }
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return unlock, nil
	}
	if err != syscall.EWOULDBLOCK {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", f.Name(), err)
	}
	done := b.progress.Step("wait for another hurdlab that builds the Go tool chain")
	got := make(chan error, 1)
	go func() {
		for {
			err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
			if err != syscall.EINTR {
				got <- err
				return
			}
		}
	}()
	select {
	case err = <-got:
	case <-ctx.Done():
		// The wait cannot be called off: drop the lock when it comes.
		go func() { <-got; f.Close() }()
		err = context.Cause(ctx)
		done(err)
		return nil, err
	}
	done(err)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", f.Name(), err)
	}
	return unlock, nil
}

// build makes the tool chain in the directory root.
func (b *builder) build(ctx context.Context, root, key string) error {
	var release string
	steps := []struct {
		name string
		run  func() error
	}{
		{"download " + Release, func() (err error) {
			release, err = b.download(ctx)
			return err
		}},
		{"copy " + Release, func() error { return copyTree(ctx, root, release) }},
		{"patch " + Release + " for the Hurd", func() error {
			if err := b.patches.apply(root); err != nil {
				return err
			}
			v, err := b.patches.version()
			if err != nil {
				return err
			}
			return setVersion(root, v)
		}},
		{"build the compiler, assembler, linker and go command", func() error { return buildTools(ctx, root) }},
		{"seal", func() error { return seal(root, key) }},
	}
	for _, s := range steps {
		done := b.progress.Step(s.name)
		err := s.run()
		if err == nil {
			err = context.Cause(ctx)
		}
		done(err)
		if err != nil {
			return err
		}
	}
	return nil
}

// download has the host's go command fetch and verify the release, and
// returns its directory in the module cache.
func (b *builder) download(ctx context.Context) (string, error) {
	module := fmt.Sprintf("golang.org/toolchain@v0.0.1-%s.%s", Release, host())
	// In a directory without a module, whose settings would apply.
	work, err := os.MkdirTemp(b.cache, "download-*.tmp")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	cmd := exec.CommandContext(ctx, b.goCmd, "mod", "download", "-json", module)
	cmd.Dir = work
	// The user's GOPROXY and the like stay in force.
	cmd.Env = append(without(os.Environ(), "GOROOT", "GOOS", "GOARCH"), "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var r struct{ Dir, Error string }
	if len(out) > 0 {
		if jerr := json.Unmarshal(out, &r); jerr != nil {
			return "", fmt.Errorf("go mod download %s: output not understood: %w", module, jerr)
		}
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", errors.New("the go command is not in PATH: install any Go from 1.21 on")
	case r.Error != "":
		return "", fmt.Errorf("go mod download %s: %s\n(is the module proxy reachable? see go env GOPROXY)", module, r.Error)
	case err != nil:
		return "", fmt.Errorf("go mod download %s: %w\n%s", module, err, bytes.TrimSpace(stderr.Bytes()))
	case r.Dir == "":
		return "", fmt.Errorf("go mod download %s: gave no directory", module)
	}
	return r.Dir, nil
}

// copyTree copies the release to the directory dst. The module cache has it read-only, and
// without execute permissions, which modules do not have.
func copyTree(ctx context.Context, dst, src string) error {
	return filepath.WalkDir(src, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, name)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o777)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if slash := filepath.ToSlash(rel); strings.HasPrefix(slash, "bin/") || strings.HasPrefix(slash, "pkg/tool/") {
			mode = 0o755
		}
		return os.WriteFile(to, data, mode)
	})
}

// buildTools replaces the tools that the patches change. vet, cover and cgo
// know no operating system.
func buildTools(ctx context.Context, root string) error {
	tools := filepath.Join(root, "pkg", "tool", runtime.GOOS+"_"+runtime.GOARCH)
	// They are built by the unpatched tools that are still in place, so
	// they go to a directory of their own until all are done.
	out := filepath.Join(root, "pkg", "new")
	if err := os.Mkdir(out, 0o777); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "go"), "build", "-o", out+string(filepath.Separator),
		"cmd/compile", "cmd/asm", "cmd/link", "cmd/go")
	cmd.Dir = filepath.Join(root, "src", "cmd")
	cmd.Env = append(without(os.Environ(), "GOOS", "GOARCH", "GOTOOLDIR", "GOEXPERIMENT"),
		"GOROOT="+root, "GOTOOLCHAIN=local", "GOENV=off", "GOFLAGS=", "GOWORK=off", "GOPROXY=off", "CGO_ENABLED=0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(msg))
	}
	for _, t := range []string{"compile", "asm", "link", "go"} {
		to := filepath.Join(tools, t)
		if t == "go" {
			to = filepath.Join(root, "bin", t)
		}
		if err := os.Rename(filepath.Join(out, t), to); err != nil {
			return err
		}
	}
	return os.Remove(out)
}
