package rootfs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/images/mach/memfs"
)

const (
	rd, wr, rw = proto.O_READ, proto.O_WRITE, proto.O_RDWR
	nb         = proto.O_NONBLOCK
)

func newTree() *Tree {
	return New(Config{MaxBytes: 1 << 20, MaxInodes: 100, Devices: MemoryDevices(), kernel: newFakeKernel(nil, nil)})
}

// special makes a node of the type in the root directory.
func (t *Tree) special(mode uint32) translator.Node {
	root := t.files.Root()
	defer root.Release()
	n, err := root.Create(fmt.Sprintf("%o", mode), memfs.Attr{Mode: mode})
	if err != nil {
		panic(err)
	}
	return t.node(n)
}

// An end is an open fifo with calls that are short to write.
type end struct {
	t *testing.T
	translator.File
}

func (e end) read(n int, nonblock bool) string {
	b := make([]byte, n)
	k, err := e.File.(translator.Stream).Read(e.t.Context(), b, nonblock)
	if err != nil {
		return err.Error()
	}
	return string(b[:k])
}

func (e end) write(s string, nonblock bool) (int, error) {
	return e.File.(translator.Stream).Write(e.t.Context(), []byte(s), nonblock)
}

func (e end) ready(want translator.Ready) translator.Ready {
	ctx, cancel := context.WithCancel(e.t.Context())
	cancel()
	got, err := e.File.(translator.Selector).Select(ctx, want)
	if err != nil {
		return 0
	}
	return got
}

func openFIFO(t *testing.T, n translator.Node, flags int32) end {
	t.Helper()
	f, err := n.(translator.Opener).Open(t.Context(), translator.Root(), flags)
	if err != nil {
		t.Fatalf("open with %#x: %v", flags, err)
	}
	return end{t, f}
}

func TestFIFOOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTree().special(proto.S_IFIFO | 0o600).(*fifoNode)
		open := func(flags int32) (end, error) {
			f, err := n.Open(t.Context(), translator.Root(), flags)
			return end{t, f}, err
		}
		if _, err := open(wr | nb); err != proto.ENXIO {
			t.Errorf("to write, without a reader, without waiting: %v", err)
		}
		r := openFIFO(t, n, rd|nb)
		if s := r.read(1, false); s != "" {
			t.Errorf("read without a writer: %q", s)
		}
		openFIFO(t, n, wr|nb).Close()
		r.Close()
		openFIFO(t, n, rw).Close()

		// Each waits for the other.
		for _, flags := range [][2]int32{{rd, wr}, {wr, rd}, {rd, rw}, {wr, rw}, {rd, wr}} {
			opened := make(chan error)
			go func() {
				e, err := open(flags[0])
				if err == nil {
					e.Close()
				}
				opened <- err
			}()
			synctest.Wait()
			select {
			case err := <-opened:
				t.Fatalf("open %#x did not wait: %v", flags[0], err)
			default:
			}
			e, err := open(flags[1])
			if err != nil {
				t.Fatal(err)
			}
			e.Close() // at once: it has been there
			if err := <-opened; err != nil {
				t.Error(err)
			}
		}
		// Who gives up has not opened it.
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(proto.EINTR)
		if _, err := n.Open(ctx, translator.Root(), rd); err != proto.EINTR {
			t.Errorf("interrupted: %v", err)
		}
		if _, err := open(wr | nb); err != proto.ENXIO {
			t.Errorf("after a reader gave up: %v", err)
		}
		if f := n.fifo; f.readers != 0 || f.writers != 0 {
			t.Errorf("%d readers, %d writers", f.readers, f.writers)
		}
	})
}

func TestFIFOFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := newTree()
		n := tree.special(proto.S_IFIFO | 0o600)
		r := openFIFO(t, n, rd|nb)
		w := openFIFO(t, n, wr)
		if s := r.read(10, true); s != proto.EAGAIN.Error() {
			t.Errorf("read of nothing: %q", s)
		}
		if r.ready(3) != 0 || w.ready(3) != translator.ReadyWrite {
			t.Errorf("ready: %v %v", r.ready(3), w.ready(3))
		}
		got := make(chan string)
		go func() { got <- r.read(10, false) }()
		synctest.Wait()
		w.write("hello", false)
		if s := <-got; s != "hello" {
			t.Errorf("read %q", s)
		}
		w.write("abc", false)
		w.write("def", false)
		if k, _ := r.File.(translator.Readable).Readable(t.Context()); k != 6 {
			t.Errorf("readable: %d", k)
		}
		if s := r.read(4, false) + "|" + r.read(4, false); s != "abcd|ef" {
			t.Errorf("read %q", s)
		}
		// Full.
		k, err := w.write(strings.Repeat("x", fifoSize+5), true)
		if k != fifoSize || err != nil {
			t.Errorf("wrote %d, %v", k, err)
		}
		if _, err := w.write("x", true); err != proto.EAGAIN || w.ready(2) != 0 {
			t.Errorf("write when full: %v", err)
		}
		r.read(pipeBuf-1, false)
		if _, err := w.write(strings.Repeat("y", pipeBuf), true); err != proto.EAGAIN {
			t.Errorf("a piece that has no room: %v", err)
		}
		done := make(chan error)
		go func() { _, err := w.write(strings.Repeat("y", pipeBuf), false); done <- err }()
		synctest.Wait()
		r.read(1, false)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if tree.buffered.Load() != fifoSize {
			t.Errorf("%d bytes in fifos", tree.buffered.Load())
		}
		// The last writer goes: what is there is read, then the end.
		w.Close()
		if r.read(fifoSize, false) == "" || r.read(1, false) != "" || r.ready(1) != translator.ReadyRead {
			t.Error("after the writer went")
		}
		w = openFIFO(t, n, wr)
		go func() { got <- r.read(10, false) }()
		synctest.Wait()
		w.Close()
		if s := <-got; s != "" {
			t.Errorf("read when the writer goes: %q", s)
		}
		w = openFIFO(t, n, wr)
		w.write("lost", false)
		r.Close()
		if _, err := w.write("x", false); err != proto.EPIPE || w.ready(2) != translator.ReadyWrite {
			t.Errorf("write without a reader: %v", err)
		}
		w.Close()
		r = openFIFO(t, n, rd|nb)
		if s := r.read(10, false); s != "" || tree.buffered.Load() != 0 {
			t.Errorf("what nobody had open is still there: %q", s)
		}
		r.Close()
	})
}

func TestFIFOMemory(t *testing.T) {
	tree := newTree()
	n := tree.special(proto.S_IFIFO | 0o600)
	e := openFIFO(t, n, rw)
	tree.buffered.Store(maxBuffered + 1)
	if k, err := e.write(strings.Repeat("x", 2*pipeBuf), true); k != pipeBuf || err != nil {
		t.Errorf("when much is in fifos: %d, %v", k, err)
	}
}

func TestDevices(t *testing.T) {
	tree := newTree()
	if err := tree.MakeDevices(); err != nil {
		t.Fatal(err)
	}
	if err := tree.MakeDevices(); err != nil {
		t.Errorf("again: %v", err)
	}
	dev, err := tree.Root().(*dirNode).Lookup(t.Context(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	open := func(name string) (translator.Stream, error) {
		n, err := dev.(*dirNode).Lookup(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := n.(translator.Opener).Open(t.Context(), translator.Root(), rw)
		if err != nil {
			return nil, err
		}
		return f.(translator.Stream), nil
	}
	for name, want := range map[string]struct {
		read     int
		writeErr error
	}{"null": {0, nil}, "zero": {8, nil}, "full": {8, proto.ENOSPC}, "random": {8, nil}, "urandom": {8, nil}} {
		s, err := open(name)
		if err != nil {
			t.Fatal(err)
		}
		b := []byte("xxxxxxxx")
		if k, err := s.Read(t.Context(), b, false); k != want.read || err != nil {
			t.Errorf("%s: read %d, %v", name, k, err)
		}
		if strings.Contains(string(b[:want.read]), "xxxx") || name == "zero" && string(b) != "\x00\x00\x00\x00\x00\x00\x00\x00" {
			t.Errorf("%s: %q", name, b)
		}
		if k, err := s.Write(t.Context(), b, false); err != want.writeErr || err == nil && k != 8 {
			t.Errorf("%s: write: %d, %v", name, k, err)
		}
	}
	if _, err := open("console"); err != proto.ENXIO {
		t.Errorf("a device that is not there: %v", err)
	}
	time := &timeDevice{page: []byte("now")}
	b := make([]byte, 2)
	if k, _ := time.ReadAt(t.Context(), b, 1); string(b[:k]) != "ow" {
		t.Errorf("time: %q", b[:k])
	}
	if k, err := time.ReadAt(t.Context(), b, 1<<40); k != 0 || err != nil {
		t.Errorf("beyond time: %d %v", k, err)
	}
	if _, err := time.Map(t.Context(), 3); err != proto.EACCES {
		t.Errorf("time to write: %v", err)
	}
}

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
