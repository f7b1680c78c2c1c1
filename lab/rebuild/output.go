package rebuild

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// An output keeps what a script says, to the extent that somebody may want it, and
// notes from time to time what it is at.
type output struct {
	log   io.Writer
	note  func(string)
	noted time.Time
	lines int
	kept  bytes.Buffer
}

// outputMax bounds what is kept; of more, the end is.
const outputMax = 1 << 20

func (o *output) Write(p []byte) (int, error) {
	if _, err := o.log.Write(p); err != nil {
		return 0, err
	}
	o.lines += bytes.Count(p, []byte{'\n'})
	o.kept.Write(p)
	if n := o.kept.Len(); n > 2*outputMax {
		o.kept.Next(n - outputMax)
	}
	if now := time.Now(); now.Sub(o.noted) > noteEvery {
		o.noted = now
		if t := o.tail(1); len(t) > 0 {
			o.note(fmt.Sprintf("line %d: %s", o.lines, t[0]))
		}
	}
	return len(p), nil
}

func (o *output) text() string { return o.kept.String() }

// tail is the last lines that are not empty.
func (o *output) tail(n int) []string {
	lines := slices.DeleteFunc(strings.Split(o.kept.String(), "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	return lines[max(0, len(lines)-n):]
}

// quote makes a word for the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// A hint is an error with advice.
type hint struct {
	err error
	do  string
}

func (h *hint) Error() string  { return h.err.Error() }
func (h *hint) Unwrap() error  { return h.err }
func (h *hint) Advice() string { return h.do }
