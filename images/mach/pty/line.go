package pty

import (
	"bytes"
	"slices"

	"hurdlab/hurd/proto"
)

// Modes and the places of control characters, as in the Hurd's struct termios (that of
// 4.4BSD).
const (
	icrnl = 1 << 8 // iflag

	opost = 1 << 0 // oflag
	onlcr = 1 << 1

	cs8   = 3 << 8 // cflag
	cread = 1 << 11

	echoe   = 1 << 1 // lflag
	echok   = 1 << 2
	echo    = 1 << 3
	echoctl = 1 << 6
	isig    = 1 << 7
	icanon  = 1 << 8
	iexten  = 1 << 10
	noflsh  = -1 << 31

	vEOF, vEOL, vEOL2, vErase, vWerase, vKill = 0, 1, 2, 3, 4, 5
	vIntr, vQuit, vSusp                       = 8, 9, 10
	vMin                                      = 16

	// disabled is a control character that is none.
	disabled = 0xff
)

// Modes are what tcgetattr tells.
type Modes struct {
	In, Out, Control, Local int32
	Keys                    [20]byte
	Speeds                  [2]int32
}

// sane are those that a terminal begins with.
func sane() Modes {
	m := Modes{In: icrnl, Out: opost | onlcr, Control: cs8 | cread, Local: echo | echoe | echok | echoctl | isig | icanon | iexten, Speeds: [2]int32{38400, 38400}}
	for i := range m.Keys {
		m.Keys[i] = disabled
	}
	for i, k := range map[int]byte{vEOF: 4, vErase: 0x7f, vWerase: 23, vKill: 21, vIntr: 3, vQuit: 28, vSusp: 26, vMin: 1} {
		m.Keys[i] = k
	}
	return m
}

// A line makes lines of what is typed. The zero value but for Modes is ready for use.
type line struct {
	Modes
	edited []byte // the line that has not been ended
	ready  []byte // to be read
	eofs   []int  // where in ready the file ends
}

const (
	maxLine  = 4096
	maxReady = 64 << 10
	maxEOFs  = 1024
)

// typed takes what was typed, and returns what is to be echoed, and the signals that keys
// have called for, in order.
func (l *line) typed(b []byte) (echoed []byte, signals []int32) {
	for _, k := range b {
		if k == '\r' && l.In&icrnl != 0 {
			k = '\n'
		}
		if sig := l.signal(k); sig != 0 {
			signals = append(signals, sig)
			if l.Local&noflsh == 0 {
				l.edited, l.ready, l.eofs = nil, nil, nil
			}
			echoed = l.show(echoed, k)
			continue
		}
		if l.Local&icanon == 0 {
			if len(l.ready) < maxReady {
				l.ready = append(l.ready, k)
				echoed = l.show(echoed, k)
			}
			continue
		}
		echoed = l.edit(echoed, k)
	}
	return echoed, signals
}

func (l *line) is(k byte, keys ...int) bool {
	return k != disabled && slices.ContainsFunc(keys, func(i int) bool { return l.Keys[i] == k })
}

// signal returns the signal that a key calls for, or 0.
func (l *line) signal(k byte) int32 {
	switch {
	case l.Local&isig == 0:
	case l.is(k, vIntr):
		return proto.SIGINT
	case l.is(k, vQuit):
		return proto.SIGQUIT
	case l.is(k, vSusp):
		return proto.SIGTSTP
	}
	return 0
}

// show adds a character to what is echoed.
func (l *line) show(echoed []byte, k byte) []byte {
	switch {
	case l.Local&echo == 0:
	case k == '\n':
		echoed = l.out(echoed, []byte{k})
	case k < ' ' && k != '\t' && l.Local&echoctl != 0:
		echoed = append(echoed, '^', k+'@')
	default:
		echoed = append(echoed, k)
	}
	return echoed
}

// edit takes a character of a line.
func (l *line) edit(echoed []byte, k byte) []byte {
	rub := func(n int) {
		l.edited = l.edited[:len(l.edited)-n]
		if l.Local&echo != 0 {
			echoed = append(echoed, bytes.Repeat([]byte("\b \b"), n)...)
		}
	}
	switch {
	case k == '\n', l.is(k, vEOL, vEOL2):
		echoed = l.show(echoed, k)
		l.end(append(l.edited, k))
	case l.is(k, vEOF):
		l.eof()
	case l.is(k, vErase):
		if len(l.edited) > 0 {
			rub(1)
		}
	case l.is(k, vKill):
		rub(len(l.edited))
	case l.is(k, vWerase):
		word := bytes.TrimRight(l.edited, " ")
		rub(len(l.edited) - (bytes.LastIndexByte(word, ' ') + 1))
	case len(l.edited) < maxLine:
		l.edited = append(l.edited, k)
		echoed = l.show(echoed, k)
	}
	return echoed
}

// end makes a line that can be read. What nobody reads is lost at some point.
func (l *line) end(whole []byte) {
	if len(l.ready)+len(whole) <= maxReady {
		l.ready = append(l.ready, whole...)
	}
	l.edited = l.edited[:0]
}

// eof ends a line without an end, or if there is none, the file.
func (l *line) eof() {
	if len(l.edited) > 0 {
		l.end(l.edited)
	} else if len(l.eofs) < maxEOFs {
		l.eofs = append(l.eofs, len(l.ready))
	}
}

// readable reports whether something can be read, if only the end of the file.
func (l *line) readable() bool {
	return len(l.ready) > 0 || len(l.eofs) > 0 || l.Local&icanon == 0 && l.Keys[vMin] == 0
}

// read returns at most n bytes: up to the end of a line, or nothing for the end of a file.
func (l *line) read(n int) []byte {
	end := len(l.ready)
	if l.Local&icanon != 0 {
		if i := bytes.IndexByte(l.ready, '\n'); i >= 0 {
			end = i + 1
		}
	}
	if len(l.eofs) > 0 && l.eofs[0] <= end {
		if end = l.eofs[0]; end == 0 {
			l.eofs = l.eofs[1:]
			return nil
		}
	}
	n = min(n, end)
	b := slices.Clone(l.ready[:n])
	l.ready = l.ready[n:]
	for i := range l.eofs {
		l.eofs[i] -= n
	}
	return b
}

// out appends b to dst as it is written to the terminal.
func (l *line) out(dst, b []byte) []byte {
	if l.Out&opost == 0 || l.Out&onlcr == 0 {
		return append(dst, b...)
	}
	for _, k := range b {
		if k == '\n' {
			dst = append(dst, '\r')
		}
		dst = append(dst, k)
	}
	return dst
}
