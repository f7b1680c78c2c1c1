package rootfs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"hurdlab/hurd/proto"
)

// A fakeTerminal is typed at by a channel.
type fakeTerminal struct {
	in  chan string
	out strings.Builder
}

func (f *fakeTerminal) Read(context.Context) ([]byte, error) {
	s, ok := <-f.in
	if !ok {
		return nil, errors.New("hung up")
	}
	return []byte(s), nil
}

func (f *fakeTerminal) Write(_ context.Context, p []byte) (int, error) {
	n := min(len(p), 7) // bit by bit
	f.out.Write(p[:n])
	return n, nil
}

func TestConsole(t *testing.T) {
	for _, c := range []struct {
		typed []string
		want  []string
		echo  string
	}{
		{[]string{"ab\r"}, []string{"ab\n"}, "ab\r\n"},
		{[]string{"a", "b", "\n"}, []string{"ab\n"}, "ab\r\n"},
		{[]string{"one\ntwo\n"}, []string{"one\n", "two\n"}, "one\r\ntwo\r\n"},
		{[]string{"ax\x7fb\bc\r"}, []string{"ac\n"}, "ax\b \bb\b \bc\r\n"},
		{[]string{"\x7f\b\r"}, []string{"\n"}, "\r\n"},
		{[]string{"abc\x15d\r"}, []string{"d\n"}, "abc\b \b\b \b\b \bd\r\n"},
		{[]string{"ab\x04"}, []string{"ab"}, "ab"},
		{[]string{"\x04"}, []string{""}, ""},
		{[]string{"a\r\x04b\r"}, []string{"a\n", "", "b\n"}, "a\r\nb\r\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeTerminal{in: make(chan string, 10)}
			con := newConsole(f)
			e := end{t, con}
			for _, s := range c.typed {
				f.in <- s
			}
			for i, want := range c.want {
				if got := e.read(100, false); got != want {
					t.Errorf("%q: line %d is %q, want %q", c.typed, i, got, want)
				}
			}
			synctest.Wait()
			if f.out.String() != c.echo {
				t.Errorf("%q: echo %q, want %q", c.typed, f.out.String(), c.echo)
			}
			close(f.in)
			if got := e.read(1, false); got != "hung up" {
				t.Errorf("at the end: %q", got)
			}
		})
	}
}

func TestConsoleWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeTerminal{in: make(chan string, 10)}
		con := newConsole(f)
		e := end{t, con}
		if s := e.read(1, true); s != proto.EAGAIN.Error() || e.ready(1) != 0 || e.ready(3) != 2 {
			t.Errorf("without input: %q", s)
		}
		// One who gives up takes no input along.
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := make(chan error)
		go func() { _, err := con.Read(ctx, make([]byte, 10), false); gone <- err }()
		synctest.Wait()
		cancel(proto.EINTR)
		if err := <-gone; err != proto.EINTR {
			t.Error(err)
		}
		f.in <- "line\n"
		synctest.Wait()
		if e.ready(3) != 3 {
			t.Errorf("ready: %v", e.ready(3))
		}
		if s := e.read(2, false) + "|" + e.read(10, false); s != "li|ne\n" {
			t.Errorf("read %q", s)
		}
		if k, err := e.write("a\nbb\n", false); k != 5 || err != nil {
			t.Errorf("wrote %d, %v", k, err)
		}
		if s := f.out.String(); s != "line\r\na\r\nbb\r\n" {
			t.Errorf("%q", s)
		}
		close(f.in)
	})
}
