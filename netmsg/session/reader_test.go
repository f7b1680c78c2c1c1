package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

type readerConn struct {
	net.Conn
	io.Reader
}

func (c readerConn) Read(b []byte) (int, error) { return c.Reader.Read(b) }

// frames reads all frames that r has.
func frames(r io.Reader, size, max int) (got [][]byte, err error) {
	x := reader{conn: readerConn{Reader: r}, buf: make([]byte, size), max: max, arrived: func(int) {}, memory: heap{}, dataAt: func([]byte, int) int { return -1 }}
	for {
		f, whole, err := x.next()
		if err != nil {
			return got, err
		}
		if whole == nil {
			f = bytes.Clone(f)
		}
		got = append(got, f)
	}
}

// Frames are what they were, however they come in, whether they fit the buffer or not.
func TestFramesOfAnySize(t *testing.T) {
	wraps := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r },
		"bytes": iotest.OneByteReader,
		"half":  iotest.HalfReader,
		"eof":   iotest.DataErrReader,
	}
	for name, wrap := range wraps {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			size := rapid.IntRange(16, 100).Draw(t, "buffer")
			lengths := rapid.SliceOf(rapid.OneOf(rapid.IntRange(1, 200), rapid.SampledFrom([]int{size - 5, size - 4, size - 3, size, 3 << 20}))).Draw(t, "lengths")
			if len(lengths) > 20 {
				lengths = lengths[:20]
			}
			var b []byte
			for i, n := range lengths {
				if name == "bytes" || i > 2 {
					n = min(n, 300)
					lengths[i] = n
				}
				b = binary.LittleEndian.AppendUint32(b, uint32(n))
				b = append(b, bytes.Repeat([]byte{byte(i)}, n)...)
			}
			cut := rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "cut")
			if cut < len(b) {
				b = b[:len(b)-cut]
			}
			got, err := frames(wrap(bytes.NewReader(b)), size, 4<<20)
			if !errors.Is(err, ErrLost) {
				t.Fatal(err)
			}
			want := len(lengths)
			if cut > 0 && want > 0 {
				want--
			}
			if len(got) != want {
				t.Fatalf("%d frames, want %d", len(got), want)
			}
			for i, f := range got {
				if !bytes.Equal(f, bytes.Repeat([]byte{byte(i)}, lengths[i])) {
					t.Errorf("frame %d of %d bytes differs", i, lengths[i])
				}
			}
		}))
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00ab\x01\x00\x00\x00c"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1000
		got, err := frames(bytes.NewReader(b), 32, limit)
		again, err2 := frames(iotest.OneByteReader(bytes.NewReader(b)), 64, limit)
		if len(got) != len(again) || (err == nil) != (err2 == nil) || err.Error() != err2.Error() {
			t.Fatalf("%d frames and %v, or %d and %v", len(got), err, len(again), err2)
		}
		var all []byte
		for i, x := range got {
			if !bytes.Equal(x, again[i]) || len(x) == 0 || len(x) > limit {
				t.Fatalf("frame %d: %q and %q", i, x, again[i])
			}
			all = append(binary.LittleEndian.AppendUint32(all, uint32(len(x))), x...)
		}
		if !bytes.HasPrefix(b, all) {
			t.Fatalf("%q from %q", all, b)
		}
	})
}
