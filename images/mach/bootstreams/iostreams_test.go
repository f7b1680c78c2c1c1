package bootstreams

import (
	"errors"
	"io"
	"strings"
	"testing"

	"hurdlab/images/mach/hurdio"
	"hurdlab/images/mach/ports/portstest"
	"hurdlab/mach"
)

func putRead(n uint64) func(*mach.Message) {
	return func(m *mach.Message) { m.PutInt64(-1); m.PutWord(n) }
}

// stdin is an input with answers that arrive at later.
func stdin(r io.Reader) (mach.Handler, *portstest.Later) {
	later := portstest.NewLater()
	return newInput(r, later.Defer), later
}

// read reads n bytes at most.
func read(t *testing.T, h mach.Handler, later *portstest.Later, n uint64) (string, error) {
	t.Helper()
	m, err := later.Get(portstest.Call(h, hurdio.Read, putRead(n)))
	if err != nil {
		return "", err
	}
	s := string(m.TakeData(-1))
	return s, m.End()
}

func TestInput(t *testing.T) {
	h, later := stdin(strings.NewReader("hello, world"))
	for _, want := range []string{"hello", ", wor", "ld", "", ""} {
		if got, err := read(t, h, later, 5); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	h, later = stdin(io.MultiReader(strings.NewReader("x"), failing{}))
	if got, err := read(t, h, later, 5); err != nil || got != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := read(t, h, later, 5); !errors.Is(err, hurdio.EIO) {
		t.Errorf("error of the session: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken") }

// TestInterrupt interrupts a read that waits; the data that comes afterwards
// goes to the next.
func TestInterrupt(t *testing.T) {
	pr, pw := io.Pipe()
	h, later := stdin(pr)
	if _, err := portstest.Call(h, hurdio.Read, putRead(5)); err != mach.NoReply {
		t.Fatalf("read does not wait: %v", err)
	}
	// Other requests are answered meanwhile.
	if _, err := portstest.Call(h, hurdio.Stat, nil); err != nil {
		t.Error(err)
	}
	if _, err := portstest.Call(h, hurdio.Interrupt, nil); err != nil {
		t.Error(err)
	}
	if _, err := later.Wait(); !errors.Is(err, hurdio.EINTR) {
		t.Errorf("interrupted read: %v", err)
	}
	go pw.Write([]byte("abc"))
	if got, err := read(t, h, later, 5); err != nil || got != "abc" {
		t.Errorf("got %q, %v", got, err)
	}
	pw.Close()
	if got, err := read(t, h, later, 5); err != nil || got != "" {
		t.Errorf("end: got %q, %v", got, err)
	}
}

func TestOutput(t *testing.T) {
	var b strings.Builder
	h := Output(&b)
	put := func(m *mach.Message) { m.PutData(mach.Char, []byte("hello")); m.PutInt64(-1) }
	m, err := portstest.Call(h, hurdio.Write, put)
	if err != nil || m.TakeWord() != 5 || b.String() != "hello" {
		t.Errorf("wrote %q, %v", b.String(), err)
	}
	pr, pw := io.Pipe()
	pr.Close()
	if _, err := portstest.Call(Output(pw), hurdio.Write, put); !errors.Is(err, hurdio.EPIPE) {
		t.Errorf("the client has gone: %v", err)
	}
	for id, want := range map[int32]error{hurdio.Read: hurdio.EBADF, hurdio.Seek: hurdio.ESPIPE, hurdio.Map: mach.MigBadID} {
		if _, err := portstest.Call(h, id, nil); !errors.Is(err, want) {
			t.Errorf("%d: got %v, want %v", id, err, want)
		}
	}
	if _, err := portstest.Call(h, hurdio.Write, nil); err != mach.MigBadArguments {
		t.Errorf("without data: %v", err)
	}
}
