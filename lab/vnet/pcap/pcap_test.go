package pcap

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFormat(t *testing.T) {
	var buf bytes.Buffer
	c := NewCapture(&buf)
	c.Frame(time.Unix(0x01020304, 999_999_999), []byte("frame"))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	const want = "4d3cb2a1" + "0200" + "0400" + "0000000000000000" + "00000400" + "01000000" +
		"04030201" + "ffc99a3b" + "05000000" + "05000000" + "6672616d65"
	if got := hex.EncodeToString(buf.Bytes()); got != want {
		t.Errorf("file:\n%s, want\n%s", got, want)
	}
	if c.Dropped() != 0 {
		t.Errorf("%d dropped", c.Dropped())
	}
}

// gate is a writer that waits until it is opened.
type gate struct {
	open chan struct{}
	n    int
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	g.n += len(b)
	return len(b), nil
}

func TestSlowWriterDropsAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &gate{open: make(chan struct{})}
		c := NewCapture(w)
		const frames = 10000
		for range frames { // would deadlock if it could block
			c.Frame(time.Now(), make([]byte, 1514))
		}
		dropped := c.Dropped()
		if kept := frames - dropped; kept*1530 > BufferBytes || (kept+1)*1530 < BufferBytes-100 {
			t.Errorf("%d of %d kept: not what fits in %d", kept, frames, BufferBytes)
		}
		close(w.open)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if want := 24 + int(frames-dropped)*1530; w.n != want {
			t.Errorf("%d bytes written, want %d", w.n, want)
		}
	})
}

type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriterFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCapture(full{})
		synctest.Wait() // the header has failed
		c.Frame(time.Now(), make([]byte, 60))
		if c.Dropped() != 1 {
			t.Errorf("%d dropped, want 1", c.Dropped())
		}
		if err := c.Close(); !errors.Is(err, errFull) {
			t.Errorf("Close: %v", err)
		}
	})
}
