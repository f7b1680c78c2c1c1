//go:build linux || hurd

package fstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A T is what a case works with: its directory, and ways to say what is
// wrong. Methods that take a name of a file take it relative to the case's
// directory, unless they say path; those that return a path return an absolute
// one. Methods that prepare something end the case if that fails.
type T struct {
	ctx  context.Context
	dir  string
	crew *crew
	// protocol is there in cases about the protocol alone.
	protocol *P

	mu       sync.Mutex
	status   Status
	why      []string
	cleanups []func()
}

// Context ends when the case has to.
func (t *T) Context() context.Context { return t.ctx }

// Errorf says what is wrong; the case goes on.
func (t *T) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status = Failed
	t.why = append(t.why, fmt.Sprintf(format, args...))
}

// Fatalf says what is wrong and ends the case. It must be called by the
// goroutine of the case.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// Skipf says why the case cannot be run here, and ends it.
func (t *T) Skipf(format string, args ...any) {
	t.mu.Lock()
	if t.status == Passed {
		t.status, t.why = Skipped, []string{fmt.Sprintf(format, args...)}
	}
	t.mu.Unlock()
	runtime.Goexit()
}

// Cleanup has f called when the case ends; the last first.
func (t *T) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

func (t *T) clean() {
	for {
		t.mu.Lock()
		n := len(t.cleanups)
		if n == 0 {
			t.mu.Unlock()
			return
		}
		f := t.cleanups[n-1]
		t.cleanups = t.cleanups[:n-1]
		t.mu.Unlock()
		f()
	}
}

func (t *T) result() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Result{Status: t.status, Why: strings.ReplaceAll(strings.Join(t.why, "; "), "\n", " | ")}
}

// OK ends the case unless err is nil.
func (t *T) OK(err error, format string, args ...any) {
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// Want reports an error that is none of want; 0 stands for success.
func (t *T) Want(err error, what string, want ...syscall.Errno) {
	if !slices.Contains(want, errnoOf(err)) {
		t.Errorf("%s: %s, want %s", what, errnoName(errnoOf(err)), errnoNames(want))
	}
}

// Equal reports values that differ.
func Equal[V comparable](t *T, got, want V, format string, args ...any) {
	if got != want {
		t.Errorf("%s: got %v, want %v", fmt.Sprintf(format, args...), got, want)
	}
}

// Path is the path of a file of the case's directory. It does not clean the
// name.
func (t *T) Path(name string) string { return t.dir + "/" + name }

// File makes a file with a content, mode 0644.
func (t *T) File(name, content string) string { return t.FileMode(name, content, 0o644) }

// FileMode makes a file with a content and permissions, whatever the umask.
func (t *T) FileMode(name, content string, mode uint32) string {
	path := t.Path(name)
	t.OK(os.WriteFile(path, []byte(content), 0o600), "a file")
	t.OK(syscall.Chmod(path, mode), "chmod of a file")
	return path
}

// Dir makes a directory, mode 0755.
func (t *T) Dir(name string) string { return t.DirMode(name, 0o755) }

// DirMode makes a directory with permissions, whatever the umask.
func (t *T) DirMode(name string, mode uint32) string {
	path := t.Path(name)
	t.OK(syscall.Mkdir(path, 0o700), "a directory")
	t.OK(syscall.Chmod(path, mode), "chmod of a directory")
	return path
}

// Link makes a symbolic link to a target, which is taken as it is.
func (t *T) Link(target, name string) string {
	path := t.Path(name)
	t.OK(syscall.Symlink(target, path), "a symbolic link")
	return path
}

// Chown gives a path, and not what a link leads to, to a user.
func (t *T) Chown(path string, u User) string {
	t.OK(syscall.Lchown(path, u.UID, u.GID), "giving a file away")
	return path
}

// Open opens a path; the descriptor is closed when the case ends.
func (t *T) Open(path string, flags int, mode uint32) int {
	fd, err := open(path, flags, mode)
	t.OK(err, "open")
	t.Cleanup(func() { syscall.Close(fd) })
	return fd
}

// Stat, Lstat and Fstat end the case if they fail.
func (t *T) Stat(path string) (st syscall.Stat_t) {
	t.OK(again(func() error { return syscall.Stat(path, &st) }), "stat")
	return st
}

func (t *T) Lstat(path string) (st syscall.Stat_t) {
	t.OK(again(func() error { return syscall.Lstat(path, &st) }), "lstat")
	return st
}

func (t *T) Fstat(fd int) (st syscall.Stat_t) {
	t.OK(syscall.Fstat(fd, &st), "fstat")
	return st
}

// Exists reports whether there is something of that name, be it a dangling
// link.
func (t *T) Exists(name string) bool {
	var st syscall.Stat_t
	err := again(func() error { return syscall.Lstat(t.Path(name), &st) })
	if err != nil && errnoOf(err) != syscall.ENOENT {
		t.Fatalf("lstat: %v", err)
	}
	return err == nil
}

// Content reports a file whose content is another.
func (t *T) Content(path, want string) {
	got, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("reading: %v", err)
	} else if string(got) != want {
		t.Errorf("content of %d bytes %s, want %d bytes %s", len(got), abbreviate(got), len(want), abbreviate([]byte(want)))
	}
}

// Write writes all of data at a descriptor's file pointer.
func (t *T) Write(fd int, data string) {
	for b := []byte(data); len(b) > 0; {
		n, err := syscall.Write(fd, b)
		if errnoOf(err) == syscall.EINTR {
			continue
		}
		t.OK(err, "write")
		if n <= 0 {
			t.Fatalf("write wrote %d of %d bytes", n, len(b))
		}
		b = b[n:]
	}
}

// Read reads n bytes, or fewer at the end.
func (t *T) Read(fd, n int) string {
	b := make([]byte, n)
	got := 0
	for got < n {
		m, err := syscall.Read(fd, b[got:])
		if errnoOf(err) == syscall.EINTR {
			continue
		}
		t.OK(err, "read")
		if m == 0 {
			break
		}
		got += m
	}
	return string(b[:got])
}

// Seek moves a file pointer.
func (t *T) Seek(fd int, offset int64, whence int) int64 {
	at, err := syscall.Seek(fd, offset, whence)
	t.OK(err, "seek")
	return at
}

// Names lists a directory, sorted.
func (t *T) Names(path string) []string {
	entries, err := os.ReadDir(path)
	t.OK(err, "reading a directory")
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// WantNames reports a directory with other names than those, which have to be
// sorted.
func (t *T) WantNames(path string, want ...string) {
	if got := t.Names(path); !slices.Equal(got, want) {
		t.Errorf("directory has %q, want %q", got, want)
	}
}

// Umask sets the process's umask until the case ends.
func (t *T) Umask(mask int) {
	old := syscall.Umask(mask)
	t.Cleanup(func() { syscall.Umask(old) })
}

// Chdir changes the working directory until the case ends.
func (t *T) Chdir(path string) {
	old, err := os.Getwd()
	t.OK(err, "the working directory")
	t.OK(os.Chdir(path), "chdir")
	t.Cleanup(func() { os.Chdir(old) })
}

// LaterTick waits until the file system's clock has gone on from what it was
// when this is called: a change from now on has another time than one before.
func (t *T) LaterTick() {
	dir := filepath.Dir(t.dir)
	probe := func() syscall.Timespec {
		f, err := os.CreateTemp(dir, "tick-")
		t.OK(err, "a file to see the time")
		defer os.Remove(f.Name())
		defer f.Close()
		var st syscall.Stat_t
		t.OK(syscall.Fstat(int(f.Fd()), &st), "fstat")
		return st.Ctim
	}
	for first := probe(); ; {
		if after(probe(), first) {
			return
		}
		if t.ctx.Err() != nil {
			t.Fatalf("the file system's clock stands still")
		}
	}
}

// soon waits until f is true. On the Hurd a server learns that a port has been
// closed from the kernel, after the one who has closed it.
func (t *T) soon(otherwise string, f func() bool) {
	for !f() {
		if t.ctx.Err() != nil {
			t.Fatalf("%s", otherwise)
		}
		time.Sleep(time.Millisecond)
	}
}

func after(a, b syscall.Timespec) bool { return nano(a) > nano(b) }

func abbreviate(b []byte) string {
	const most = 60
	if len(b) <= most {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%q...", b[:most])
}

// errnoOf is the number in err, 0 of nil. An error without a number is
// nobody's: EPROTO.
func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return syscall.EPROTO
}

func errnoName(e syscall.Errno) string {
	if e == 0 {
		return "success"
	}
	for _, x := range errnos {
		if x.errno == e {
			return x.name
		}
	}
	return fmt.Sprintf("error %#x (%v)", int(e), e)
}

func errnoNames(list []syscall.Errno) string {
	var names []string
	for _, e := range list {
		names = append(names, errnoName(e))
	}
	return strings.Join(names, " or ")
}

var errnos = []struct {
	errno syscall.Errno
	name  string
}{
	{syscall.EPERM, "EPERM"}, {syscall.ENOENT, "ENOENT"}, {syscall.EINTR, "EINTR"}, {syscall.EIO, "EIO"}, {syscall.ENXIO, "ENXIO"},
	{syscall.EBADF, "EBADF"}, {syscall.EAGAIN, "EAGAIN"}, {syscall.ENOMEM, "ENOMEM"}, {syscall.EACCES, "EACCES"}, {syscall.EBUSY, "EBUSY"},
	{syscall.EEXIST, "EEXIST"}, {syscall.EXDEV, "EXDEV"}, {syscall.ENODEV, "ENODEV"}, {syscall.ENOTDIR, "ENOTDIR"}, {syscall.EISDIR, "EISDIR"},
	{syscall.EINVAL, "EINVAL"}, {syscall.ETXTBSY, "ETXTBSY"}, {syscall.EFBIG, "EFBIG"}, {syscall.ENOSPC, "ENOSPC"}, {syscall.ESPIPE, "ESPIPE"},
	{syscall.EROFS, "EROFS"}, {syscall.EMLINK, "EMLINK"}, {syscall.EPIPE, "EPIPE"}, {syscall.ENOSYS, "ENOSYS"}, {syscall.ENOTEMPTY, "ENOTEMPTY"},
	{syscall.ELOOP, "ELOOP"}, {syscall.ENAMETOOLONG, "ENAMETOOLONG"}, {syscall.EOPNOTSUPP, "EOPNOTSUPP"}, {syscall.EOVERFLOW, "EOVERFLOW"},
	{syscall.EPROTO, "EPROTO"}, {syscall.EDEADLK, "EDEADLK"}, {syscall.ENOTTY, "ENOTTY"}, {syscall.EFAULT, "EFAULT"},
}

// sameBytes reports data that differs, by its first difference.
func (t *T) sameBytes(got, want []byte, what string) {
	if bytes.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s: byte %d of %d is %#x, want %#x", what, i, len(got), got[i], want[i])
			return
		}
	}
	t.Errorf("%s: %d bytes, want %d", what, len(got), len(want))
}
