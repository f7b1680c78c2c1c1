package stream

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// frames reads all frames of b.
func frames(r io.Reader) (got [][]byte, err error) {
	s := NewReader(r)
	for {
		f, err := s.Next()
		if err != nil {
			return got, err
		}
		got = append(got, bytes.Clone(f))
	}
}

func TestExample(t *testing.T) {
	b := Append(Append(nil, []byte("ab")), nil)
	if want := "\x00\x00\x00\x02ab\x00\x00\x00\x00"; string(b) != want {
		t.Fatalf("Append: %q, want %q", b, want)
	}
	got, err := frames(bytes.NewReader(b))
	if err != io.EOF || len(got) != 2 || string(got[0]) != "ab" || len(got[1]) != 0 {
		t.Errorf("frames: %q, %v", got, err)
	}
}

func TestRoundTrip(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r },
		"bytes": iotest.OneByteReader,
		"half":  iotest.HalfReader,
		"eof":   iotest.DataErrReader,
	}
	for name, wrap := range readers {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			want := rapid.SliceOf(rapid.Custom(func(t *rapid.T) []byte {
				n := rapid.OneOf(rapid.IntRange(0, 100), rapid.SampledFrom([]int{1514, MaxFrame - 1, MaxFrame})).Draw(t, "length")
				return bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
			})).Draw(t, "frames")
			var b []byte
			for _, f := range want {
				b = Append(b, f)
			}
			got, err := frames(wrap(bytes.NewReader(b)))
			if err != io.EOF {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%d frames, want %d", len(got), len(want))
			}
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Errorf("frame %d differs", i)
				}
			}
		}))
	}
}

// A frame that is buffered does not disturb those before it.
func TestBuffered(t *testing.T) {
	r := NewReader(bytes.NewReader(Append(Append(Append(nil, []byte("one")), []byte("two")), []byte("three"))))
	if r.Buffered() {
		t.Error("buffered before the first read")
	}
	var got []string
	var kept [][]byte
	f, err := r.Next()
	for {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, f)
		if !r.Buffered() {
			break
		}
		f, err = r.Next()
	}
	for _, f := range kept {
		got = append(got, string(f))
	}
	if len(got) != 3 || got[0] != "one" || got[1] != "two" || got[2] != "three" {
		t.Errorf("one read gave %q", got)
	}
}

func TestErrors(t *testing.T) {
	for _, in := range []string{"\x00", "\x00\x00\x00\x05", "\x00\x00\x00\x05abcd"} {
		if _, err := frames(bytes.NewReader([]byte(in))); err != io.ErrUnexpectedEOF {
			t.Errorf("%q: %v, want unexpected EOF", in, err)
		}
	}
	var framing *FramingError
	if _, err := frames(bytes.NewReader([]byte("HTTP/1.1 200 OK"))); !errors.As(err, &framing) || framing.Length != 0x48545450 {
		t.Errorf("text: %v", err)
	}
	broken := errors.New("broken")
	if _, err := frames(iotest.ErrReader(broken)); err != broken {
		t.Errorf("read error: %v", err)
	}
	if _, err := frames(stuck{}); err != io.ErrNoProgress {
		t.Errorf("reader without progress: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02ab\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x01\x10\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := frames(bytes.NewReader(b))
		bytewise, err2 := frames(iotest.OneByteReader(bytes.NewReader(b)))
		if len(whole) != len(bytewise) || err.Error() != err2.Error() {
			t.Fatalf("whole: %d frames, %v; byte by byte: %d, %v", len(whole), err, len(bytewise), err2)
		}
		var again []byte
		for i, fr := range whole {
			if !bytes.Equal(fr, bytewise[i]) {
				t.Fatalf("frame %d depends on how it was read", i)
			}
			again = Append(again, fr)
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatal("the frames are not what was sent")
		}
	})
}
