// Package console reads what machines write on their consoles: it finds the
// marks of a boot as they appear and the lines that mean trouble.
//
// The table of troubles is applied to every console after every test, and
// while a node boots, so that a guest which panics is reported at once and
// not by a time-out. Package labd watches with it, package lab searches. It
// imports nothing of the house.
package console

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
)

// A Finding is a line of a console that means trouble.
type Finding struct {
	// Kind says what the line is taken for, such as "kernel panic".
	Kind string `json:"kind"`
	// Line is the line, without its end, cut to a readable length.
	Line string `json:"line"`
	// Number counts the lines of the console from 1.
	Number int `json:"number"`
	// Fatal says that the machine cannot go on after it.
	Fatal bool `json:"fatal,omitempty"`
}

// trouble is the table. The forms were seen on the consoles of Debian's GNU
// Mach (2025-07) and of Go programs.
var trouble = []struct {
	kind  string
	fatal bool // to the machine
	re    *regexp.Regexp
}{
	// "panic ../kern/bootstrap.c:182: bootstrap_create: No bootstrap code ..."
	{"kernel panic", true, regexp.MustCompile(`(?:^|[^\w.])panic(?: |: |\{| \{cpu\d+\} )?\S+\.[ch]:\d+`)},
	{"kernel panic", true, regexp.MustCompile(`(?i)\bkernel panic\b`)},
	{"assertion", false, regexp.MustCompile(`(?i)\bassertion\b.*\bfail`)},
	{"unexpected fault", false, regexp.MustCompile(`(?i)\b(?:unexpected|unhandled|kernel|double|triple) (?:page |general protection )?(?:fault|trap|exception)\b`)},
	{"kernel debugger", true, regexp.MustCompile(`(?i)^(?:Stopped at|db\{?\d*\}?>)`)},
	// The kernel leaves "start FILE: " on the line where its module begins.
	{"Go runtime failure", false, regexp.MustCompile(`^(?:start \S+: )?(?:fatal error: |runtime: (?:unexpected|bad|unknown)|unexpected fault address)`)},
	{"Go panic", false, regexp.MustCompile(`^(?:start \S+: )?panic: `)},
	{"Go crash", false, regexp.MustCompile(`^\[signal (?:SIG\w+|0x[0-9a-f]+)`)},
	{"out of memory", false, regexp.MustCompile(`(?i)\b(?:out of (?:memory|swap)|no more memory|memory exhausted)\b`)},
}

// Check says whether a line of a console means trouble, and which.
func Check(line string) (f Finding, bad bool) {
	for _, t := range trouble {
		if t.re.MatchString(line) {
			return Finding{Kind: t.kind, Line: line, Fatal: t.fatal}, true
		}
	}
	return Finding{}, false
}

// maxLine bounds the length of a line that is looked at, in bytes. A console
// without line ends must not fill the memory.
const maxLine = 4096

// Scan searches a console to its end. Lines that match one of allow are
// passed over, for tests that provoke trouble.
func Scan(r io.Reader, allow ...*regexp.Regexp) ([]Finding, error) {
	var found []Finding
	br := bufio.NewReaderSize(r, maxLine)
	for n := 1; ; n++ {
		b, err := br.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		if len(b) > 0 {
			line := Clean(b)
			if f, bad := Check(line); bad && !allowed(line, allow) {
				f.Number = n
				found = append(found, f)
			}
		}
		for long {
			_, err = br.ReadSlice('\n')
			long = errors.Is(err, bufio.ErrBufferFull)
		}
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return found, err
		}
	}
}

func allowed(line string, allow []*regexp.Regexp) bool {
	for _, re := range allow {
		if re.MatchString(line) {
			return true
		}
	}
	return false
}

// escapes are the sequences of terminals that kernels send: CSI ones.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// Clean returns a line of a console as text: without its end, without escape
// sequences and other control characters.
func Clean(b []byte) string {
	if bytes.IndexByte(b, 0x1b) >= 0 {
		b = escapes.ReplaceAll(b, nil)
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b), "?"))
}

// A Watcher is a writer that looks at a console while it is written. It
// reports marks, which may come anywhere in a line and in pieces, and
// trouble, which is found when a line is complete. It is for one goroutine.
type Watcher struct {
	// Mark, if not nil, is called when the next mark has appeared; i is its
	// index.
	Mark func(i int)
	// Trouble, if not nil, is called with every line that means trouble.
	Trouble func(Finding)

	marks  []string
	next   int
	window []byte // what may be the beginning of the next mark
	line   []byte
	number int
}

// NewWatcher returns a watcher for marks, which appear in the order given.
func NewWatcher(marks []string) *Watcher {
	return &Watcher{marks: marks, number: 1}
}

// Write looks at the next piece of the console. It always succeeds.
func (w *Watcher) Write(p []byte) (int, error) {
	w.findMarks(p)
	w.findTrouble(p)
	return len(p), nil
}

// interjection is what GNU Mach's interrupt handler prints about an interrupt
// that nobody wants, such as the spurious ones of a PC's second interrupt
// controller: in the middle of whatever a program is printing.
var interjection = regexp.MustCompile(`intnull\(\d+\)\n`)

// maxInterjection is the length of the longest interjection.
const maxInterjection = len("intnull(15)\n")

func (w *Watcher) findMarks(p []byte) {
	if w.next == len(w.marks) {
		return
	}
	for _, c := range p {
		if c != '\r' { // line ends have them on either side
			w.window = append(w.window, c)
		}
	}
	w.window = interjection.ReplaceAll(w.window, nil)
	for w.next < len(w.marks) {
		mark := w.marks[w.next]
		i := bytes.Index(w.window, []byte(mark))
		if i < 0 {
			if keep := max(len(mark)-1, 0) + maxInterjection; len(w.window) > keep {
				w.window = append(w.window[:0], w.window[len(w.window)-keep:]...)
			}
			return
		}
		w.window = w.window[i+len(mark):]
		i, w.next = w.next, w.next+1
		if w.Mark != nil {
			w.Mark(i)
		}
	}
	w.window = nil
}

func (w *Watcher) findTrouble(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		piece := p
		if i >= 0 {
			piece = p[:i]
		}
		if room := maxLine - len(w.line); room > 0 {
			w.line = append(w.line, piece[:min(room, len(piece))]...)
		}
		if i < 0 {
			return
		}
		if f, bad := Check(Clean(w.line)); bad && w.Trouble != nil {
			f.Number = w.number
			w.Trouble(f)
		}
		w.line = w.line[:0]
		w.number++
		p = p[i+1:]
	}
}
