package rootfs

import (
	"context"
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
	return New(Config{MaxBytes: 1 << 20, MaxInodes: 100, Devices: MemoryDevices(), rights: &countRights{}})
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
