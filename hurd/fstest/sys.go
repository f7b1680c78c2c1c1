//go:build linux || hurd

package fstest

import "syscall"

// again repeats a call that a signal has interrupted: Go's runtime sends
// itself signals.
func again(f func() error) error {
	for {
		if err := f(); errnoOf(err) != syscall.EINTR {
			return err
		}
	}
}

func open(path string, flags int, mode uint32) (fd int, err error) {
	err = again(func() error {
		fd, err = syscall.Open(path, flags|syscall.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// readlink returns the target of a link.
func readlink(path string) (string, error) {
	b := make([]byte, 8192)
	n, err := syscall.Readlink(path, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// times are arguments of [syscall.UtimesNano].
func times(atime, mtime int64) []syscall.Timespec {
	return []syscall.Timespec{syscall.NsecToTimespec(atime), syscall.NsecToTimespec(mtime)}
}

// setTo sets an integer to a value, whatever its type.
func setTo[I ~int32 | ~int64](p *I, v int64) { *p = I(v) }

// nano is a time in nanoseconds since the epoch.
func nano(ts syscall.Timespec) int64 { return ts.Nano() }
