package extfs

import (
	"bufio"
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
// Files that have lost their names by a power cut, about which -p would ask, get names in
// /lost+found. It returns what e2fsck says to have mended. It is an [UnmendedError] if there
// is more, which wants a decision; then some has been mended.
func (f *FS) Mend(ctx context.Context) (mended []string, err error) {
	slightly, err := f.onlySlight(ctx)
	if err != nil {
		return nil, err
	}
	out, status, err := f.e2fsck(ctx, "-p")
	if err != nil {
		return nil, err
	}
	mended = f.findings(out)
	if !right(status) && slightly {
		if out, status, err = f.e2fsck(ctx, "-y"); err != nil {
			return nil, err
		}
		mended = append(mended, f.findings(out)...)
	}
	if !right(status) {
		return nil, &UnmendedError{f.File, status, mended}
	}
	return mended, f.Check(ctx)
}

// right says whether a status of e2fsck's is that of a file system that is right now.
func right(status int) bool { return status >= 0 && status <= 3 }

// e2fsck checks the file system although its state says that it is clean.
func (f *FS) e2fsck(ctx context.Context, how string) (out []byte, status int, err error) {
	cmd, err := command(ctx, "e2fsck", "-f", how, f.name())
	if err != nil {
		return nil, 0, err
	}
	out, err = cmd.CombinedOutput()
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, exit.ExitCode(), nil // -1, a signal, is none of ours
	}
	return out, 0, err
}

// slight is what a power cut does to counts, and to files that nobody had synced: inodes
// without a name, names without an inode (but not in the root directory), and directories
// that have been moved.
var slight = regexp.MustCompile(`^(Deleted inode \d+ has zero dtime|Unattached (zero-length )?inode \d+|Unconnected directory inode \d+|` +
	`Inode \d+ ref count is|Inode \d+, i_(blocks|size) is|Entry '.*' in /.+ \(\d+\) has deleted/unused inode|'\.\.' in .* is .*, should be|` +
	`(Block|Inode) bitmap differences:|Free (blocks|inodes) count wrong|Directories count wrong|` +
	`(Fix|Clear|Connect to /lost\+found)\? no$|\*+ WARNING: )`)

// onlySlight says whether nothing is wrong but what is slight. It looks no further than
// that: of what is badly damaged e2fsck has much to say.
func (f *FS) onlySlight(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd, err := command(ctx, "e2fsck", "-f", "-n", f.name())
	if err != nil {
		return false, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	only := true
	for sc := bufio.NewScanner(out); only && sc.Scan(); {
		for _, l := range f.findings(sc.Bytes()) {
			only = only && slight.MatchString(l)
		}
	}
	cancel()
	cmd.Wait() // its status says only that something is wrong
	return only, nil
}

// An UnmendedError says that a file system has more wrong with it than can be mended
// without asking somebody.
type UnmendedError struct {
	File string
	// Status is e2fsck's, and Found what it said.
	Status int
	Found  []string
}

func (e *UnmendedError) Error() string {
	return fmt.Sprintf("the file system in %s cannot be mended without a decision (e2fsck: exit status %d):\n  %s", e.File, e.Status, strings.Join(e.Found, "\n  "))
}

// noise are e2fsck's lines that say nothing of what is wrong: of any file system, and of passes.
var noise = regexp.MustCompile(`^(\d+/\d+ files \(.*\), \d+/\d+ blocks|Pass \d.*: .*|\*+ FILE SYSTEM WAS MODIFIED \*+)$`)

// label is what e2fsck calls a file system that has one.
var label = regexp.MustCompile(`^[^ :]+: `)

// findings are the lines that say what is wrong, without the name of the file system before
// them.
func (f *FS) findings(out []byte) []string {
	var list []string
	for l := range strings.Lines(string(out)) {
		l = strings.TrimPrefix(strings.TrimSpace(l), f.name()+": ")
		l = l[len(label.FindString(l)):]
		if l != "" && !banner.MatchString(l) && !noise.MatchString(l) {
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
