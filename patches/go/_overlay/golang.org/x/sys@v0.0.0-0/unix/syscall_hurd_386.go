// Terminals on the Hurd, in every version of the module.

package unix

// TIOCGETA is the request for the state of a terminal.
const TIOCGETA = ('t'-'f')<<7 | 19

// A Winsize is the size of a terminal's window.
type Winsize struct {
	Row    uint16
	Col    uint16
	Xpixel uint16
	Ypixel uint16
}

// A Termios is the state of a terminal.
type Termios struct {
	Iflag  uint32
	Oflag  uint32
	Cflag  uint32
	Lflag  uint32
	Cc     [20]uint8
	Ispeed int32
	Ospeed int32
}
