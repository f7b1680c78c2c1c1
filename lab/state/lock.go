package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrLocked says that a process runs or starts the lab.
var ErrLocked = errors.New("the lab is in use")

// A Lock is a lab's lock, held. It belongs to an open file: it can be handed
// to another process as a file descriptor, and is gone when the last process
// that has the file has closed it or ended.
type Lock struct {
	// File is the open file.
	File *os.File
}

func (d Dir) lockPath() string { return filepath.Join(d.dirs.State, ".locks", d.Name) }

// Lock takes the lab's lock, or returns ErrLocked.
func (d Dir) Lock() (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(d.lockPath()), 0o700); err != nil {
		return nil, fmt.Errorf("lock lab %s: %w", d.Name, err)
	}
	l, err := LockFile(d.lockPath())
	if err != nil && !errors.Is(err, ErrLocked) {
		err = fmt.Errorf("lock lab %s: %w", d.Name, err)
	}
	return l, err
}

// LockFile takes a lock that a file stands for, which is made if it is not there and
// never removed: a lock on a name that means another file by now would be worth
// nothing. If somebody has it, that is ErrLocked.
func LockFile(file string) (*Lock, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile())
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, ErrLocked
		}
		return nil, err
	}
	return &Lock{f}, nil
}

// Locked says whether a process holds the lab's lock.
func (d Dir) Locked() (bool, error) {
	f, err := os.OpenFile(d.lockPath(), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock of lab %s: %w", d.Name, err)
	}
	defer f.Close()
	l := wholeFile()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, l); err != nil {
		return false, fmt.Errorf("lock of lab %s: %w", d.Name, err)
	}
	return l.Type != unix.F_UNLCK, nil
}

// wholeFile is a lock for writing on a whole file.
func wholeFile() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK} }

// WaitUnlocked waits until no process holds the lab's lock, and takes it. It
// cannot be given up early: call it when the holder is known to be ending.
func (d Dir) WaitUnlocked() (*Lock, error) {
	f, err := os.OpenFile(d.lockPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock lab %s: %w", d.Name, err)
	}
	for {
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, wholeFile())
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock lab %s: %w", d.Name, err)
	}
	return &Lock{f}, nil
}

// Close gives the lock back, unless another process has the file too.
func (l *Lock) Close() error { return l.File.Close() }
