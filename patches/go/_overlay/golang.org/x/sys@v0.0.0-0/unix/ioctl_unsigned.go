// Calls of terminals on the Hurd, in every version of the module.

package unix

import (
	"syscall"
	"unsafe"
)

func ioctlPtr(fd int, req uint, arg unsafe.Pointer) error {
	return syscall.HurdIoctl(fd, req, arg)
}

// IoctlSetInt and IoctlSetPointerInt give the request req an integer.
func IoctlSetInt(fd int, req uint, value int) error { return IoctlSetPointerInt(fd, req, value) }
func IoctlSetPointerInt(fd int, req uint, value int) error {
	v := int32(value)
	return ioctlPtr(fd, req, unsafe.Pointer(&v))
}

// IoctlGetInt returns the integer that the request req gives.
func IoctlGetInt(fd int, req uint) (int, error) {
	var v int32
	err := ioctlPtr(fd, req, unsafe.Pointer(&v))
	return int(v), err
}

// IoctlSetWinsize sets the size of a window, with TIOCSWINSZ.
func IoctlSetWinsize(fd int, req uint, value *Winsize) error {
	return ioctlPtr(fd, req, unsafe.Pointer(value))
}

// IoctlGetWinsize returns the size of a window, with TIOCGWINSZ.
func IoctlGetWinsize(fd int, req uint) (*Winsize, error) {
	var w Winsize
	err := ioctlPtr(fd, req, unsafe.Pointer(&w))
	return &w, err
}

// IoctlSetTermios sets the state of a terminal, with TIOCSETA and the like.
func IoctlSetTermios(fd int, req uint, value *Termios) error {
	return ioctlPtr(fd, req, unsafe.Pointer(value))
}

// IoctlGetTermios returns the state of a terminal, with TIOCGETA.
func IoctlGetTermios(fd int, req uint) (*Termios, error) {
	var t Termios
	err := ioctlPtr(fd, req, unsafe.Pointer(&t))
	return &t, err
}
