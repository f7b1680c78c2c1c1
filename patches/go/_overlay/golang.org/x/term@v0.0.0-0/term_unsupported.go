// Terminals on the Hurd, in place of the file that says that there are none.

package term

import "golang.org/x/sys/unix"

type state struct {
	termios unix.Termios
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	return err == nil
}

func makeRaw(fd int) (*State, error) {
	old, err := getState(fd)
	if err != nil {
		return nil, err
	}
	t := old.termios
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN] = 1
	t.Cc[unix.VTIME] = 0
	return old, unix.IoctlSetTermios(fd, unix.TIOCSETA, &t)
}

func getState(fd int) (*State, error) {
	t, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	if err != nil {
		return nil, err
	}
	return &State{state{*t}}, nil
}

func restore(fd int, s *State) error {
	return unix.IoctlSetTermios(fd, unix.TIOCSETA, &s.termios)
}

func getSize(fd int) (width, height int, err error) {
	w, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, err
	}
	return int(w.Col), int(w.Row), nil
}

type passwordReader int

func (r passwordReader) Read(p []byte) (int, error) { return unix.Read(int(r), p) }

func readPassword(fd int) ([]byte, error) {
	old, err := getState(fd)
	if err != nil {
		return nil, err
	}
	t := old.termios
	t.Lflag = t.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	t.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TIOCSETA, &t); err != nil {
		return nil, err
	}
	defer restore(fd, old)
	return readPasswordLine(passwordReader(fd))
}
