package extfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// An FS is a file system in a file.
type FS struct {
	// File is the file that has it, Offset where it begins there, in bytes.
	File   string
	Offset int64
	// Contents is an FS with the same files to read contents from, nil for
	// this one: File may be a copy that has the metadata only (Metadata).
	Contents *FS
}

// fakeTime is the time of all that is changed, in seconds of Unix: the day that
// Debian GNU/Hurd 2025 was released. The same changes make the same bits.
const fakeTime = "1754784000"

// name is the file system as e2fsprogs wants it named.
func (f *FS) name() string {
	if f.Offset == 0 {
		return f.File
	}
	return fmt.Sprintf("%s?offset=%d", f.File, f.Offset)
}

// Tool returns the path of a program of e2fsprogs, which Debian keeps in
// directories that users do not have in PATH.
func Tool(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", &ToolError{name}
}

// A ToolError says that a program of e2fsprogs is not installed.
type ToolError struct{ Name string }

func (e *ToolError) Error() string {
	return fmt.Sprintf("this host has no %s, which disks are prepared with", e.Name)
}

// Advice is what the user can do.
func (e *ToolError) Advice() string { return "install the package e2fsprogs" }

// command makes a command of e2fsprogs.
func command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	tool, err := Tool(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "E2FSPROGS_FAKE_TIME="+fakeTime)
	return cmd, nil
}

// banner is what every program of e2fsprogs says first, on standard error.
var banner = regexp.MustCompile(`^(debugfs|e2fsck|e2image) [0-9]\S* \(\S+\)$`)

// complaints are the lines of standard error that are not the banner.
func complaints(stderr []byte) []string {
	var list []string
	for l := range strings.Lines(string(stderr)) {
		if l = strings.TrimSpace(l); l != "" && !banner.MatchString(l) {
			list = append(list, l)
		}
	}
	return list
}

// debugfs runs commands and returns what each has written. debugfs tells of
// failures on standard error only: what it said there is returned as well.
func (f *FS) debugfs(ctx context.Context, write bool, cmds []string) (out []string, said []string, err error) {
	script, err := os.CreateTemp("", "hurdlab-debugfs-")
	if err != nil {
		return nil, nil, err
	}
	defer os.Remove(script.Name())
	_, err = script.WriteString(strings.Join(cmds, "\n") + "\n")
	if err := errors.Join(err, script.Close()); err != nil {
		return nil, nil, err
	}
	args := []string{"-f", script.Name(), f.name()}
	if write {
		args = append([]string{"-w"}, args...)
	}
	cmd, err := command(ctx, "debugfs", args...)
	if err != nil {
		return nil, nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	said = complaints(stderr.Bytes())
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("debugfs %s: %w: %s", f.name(), err, strings.Join(said, "; "))
	}
	// Each command is echoed before what it writes.
	rest := stdout.String()
	for _, c := range cmds {
		echo := "debugfs: " + c + "\n"
		i := strings.Index(rest, echo)
		if i < 0 {
			return nil, nil, fmt.Errorf("debugfs %s: it did not come to %q: %s", f.name(), c, strings.Join(said, "; "))
		}
		if len(out) > 0 {
			out[len(out)-1] = rest[:i]
		}
		rest = rest[i+len(echo):]
		out = append(out, rest)
	}
	return out, said, nil
}

// Check looks for inconsistencies (e2fsck -fn) and returns an error with what
// it has found.
func (f *FS) Check(ctx context.Context) error {
	cmd, err := command(ctx, "e2fsck", "-f", "-n", f.name())
	if err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("the file system in %s is not consistent: %w\n%s", f.File, err, bytes.TrimSpace(out))
	}
	return nil
}

// Mend does what a system's own check does while it boots (e2fsck -fp): it counts again
// what a power cut has left, and gives back what was deleted while somebody had it open.
// It returns what e2fsck says to have mended. It is an [UnmendedError] if there is
// more, which wants a decision.
func (f *FS) Mend(ctx context.Context) (mended []string, err error) {
	cmd, err := command(ctx, "e2fsck", "-f", "-p", f.name())
	if err != nil {
		return nil, err
	}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	mended = findings(out)
	// 1 and 2: it is right now.
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() > 0 && exit.ExitCode() <= 3) {
		return nil, &UnmendedError{f.File, err, mended}
	}
	return mended, f.Check(ctx)
}

// An UnmendedError says that a file system has more wrong with it than can be mended
// without asking somebody.
type UnmendedError struct {
	File string
	Err  error
	// Found is what e2fsck said.
	Found []string
}

func (e *UnmendedError) Error() string {
	return fmt.Sprintf("the file system in %s cannot be mended without a decision: %v\n  %s", e.File, e.Err, strings.Join(e.Found, "\n  "))
}

func (e *UnmendedError) Unwrap() error { return e.Err }

// counts is e2fsck's last line, which it says of any file system.
var counts = regexp.MustCompile(`^\d+/\d+ files \(.*\), \d+/\d+ blocks$`)

// findings are the lines of e2fsck -p, without the name of the file system before each.
func findings(out []byte) []string {
	var list []string
	for l := range strings.Lines(string(out)) {
		l = strings.TrimSpace(l)
		if _, rest, ok := strings.Cut(l, ": "); ok && !banner.MatchString(l) {
			l = rest
		}
		if l != "" && !banner.MatchString(l) && !counts.MatchString(l) {
			list = append(list, l)
		}
	}
	return list
}

// Metadata writes a sparse file that has the file system's metadata, directories
// included, but no contents of files (e2image -r), beginning at 0. It takes the
// time and the space of these only.
func (f *FS) Metadata(ctx context.Context, file string) error {
	args := []string{"-r"}
	if f.Offset != 0 {
		args = append(args, "-o", fmt.Sprint(f.Offset))
	}
	cmd, err := command(ctx, "e2image", append(args, f.File, file)...)
	if err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("copy the metadata of %s: %w: %s", f.File, err, strings.Join(complaints(out), "; "))
	}
	return nil
}
