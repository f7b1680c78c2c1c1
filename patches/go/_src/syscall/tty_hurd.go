// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import "unsafe"

// Terminals are objects of a server that speaks the term protocol, and has a
// routine for each ioctl.

const (
	_term_getctty           = 28000
	_term_open_ctty         = 28001
	_termctty_open_terminal = 28009

	_tioctl_tiocgeta   = 156019
	_tioctl_tiocseta   = 156020 // setaw and setaf follow
	_tioctl_tiocswinsz = 156203
	_tioctl_tiocgwinsz = 156204
	_tioctl_tiocspgrp  = 156218
	_tioctl_tiocgpgrp  = 156219
)

// A termios is the state of a terminal, as struct termios.
type termios struct {
	modes  [4]uint32
	ccs    [20]byte
	speeds [2]uint32
}

// HurdIoctl is ioctl, for the module golang.org/x/sys: only the group and the
// number in request count, and not all are known.
func HurdIoctl(fd int, request uint, arg unsafe.Pointer) error {
	switch group, number := 'f'+rune(request>>7&15), request&127; {
	case group == 'f' && number == 127: // FIONREAD
		return fileCall(fd, _io_readable, nil, func(m *message) { *(*int32)(arg) = int32(m.word()) })
	case group == 't' && number == 19:
		t := (*termios)(arg)
		return ttyCall(fd, _tioctl_tiocgeta, nil, func(m *message) { m.termios(t) })
	case group == 't' && 20 <= number && number <= 22:
		t := (*termios)(arg)
		return ttyCall(fd, _tioctl_tiocseta+uint32(number-20), func(m *message) { m.putTermios(t) }, nil)
	case group == 't' && number == 103:
		w := (*[4]uint16)(arg)
		return ttyCall(fd, _tioctl_tiocswinsz, func(m *message) { m.putShorts(w) }, nil)
	case group == 't' && number == 104:
		w := (*[4]uint16)(arg)
		return ttyCall(fd, _tioctl_tiocgwinsz, nil, func(m *message) { m.shorts(w) })
	case group == 't' && number == 118:
		return Tcsetpgrp(fd, *(*int32)(arg))
	case group == 't' && number == 119:
		pgrp, err := Tcgetpgrp(fd)
		*(*int32)(arg) = pgrp
		return err
	}
	return ENOTTY
}

// Tcgetpgrp returns the process group that is in the foreground of the
// terminal fd, and Tcsetpgrp sets it.
func Tcgetpgrp(fd int) (pgid int32, err error) {
	err = ttyCall(fd, _tioctl_tiocgpgrp, nil, func(m *message) { pgid = int32(m.int32()) })
	return pgid, err
}

func Tcsetpgrp(fd int, pgid int32) error {
	return ttyCall(fd, _tioctl_tiocspgrp, func(m *message) { m.putInt32(uint32(pgid)) }, nil)
}

// ttyCall is rpc for a call that only terminals know.
func ttyCall(fd int, id uint32, build, take func(*message)) error {
	err := fileCall(fd, id, build, take)
	if err == EOPNOTSUPP || err == EINVAL {
		err = ENOTTY
	}
	return err
}
