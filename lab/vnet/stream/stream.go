// Package stream is the framing of Ethernet frames on a byte stream that
// QEMU's "-netdev stream" (and "-netdev socket") speaks: the length of a frame
// as 32 bits, big-endian, then the frame.
package stream

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	headerLen = 4
	// MaxFrame is the longest frame that a stream carries: the size of
	// QEMU's own buffer (NET_BUFSIZE). Longer ones mean that the peer does
	// not speak this framing.
	MaxFrame = 4096 + 65536
)

// Append appends frame to b as it goes over the stream. The frame is at most
// MaxFrame bytes long.
func Append(b, frame []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(frame)))
	return append(b, frame...)
}

// Size is the number of bytes that Append adds for a frame of n bytes.
func Size(n int) int { return headerLen + n }

// A FramingError says that the peer announced a frame longer than MaxFrame.
type FramingError struct{ Length uint32 }

func (e *FramingError) Error() string {
	return fmt.Sprintf("the peer announces a frame of %d bytes (at most %d are possible): it does not speak QEMU's stream framing, or lost its place", e.Length, MaxFrame)
}

// A Reader takes frames off a stream, with as few reads as possible.
type Reader struct {
	r    io.Reader
	buf  []byte
	data []byte // the unread part of buf
}

// NewReader returns a reader of the frames in r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: r, buf: make([]byte, 2*(headerLen+MaxFrame))}
}

// Next returns the next frame, which may be empty. It stays valid until the
// next call that does not have it buffered; see Buffered. At the end of the
// stream the error is io.EOF between frames and io.ErrUnexpectedEOF within
// one. A length above MaxFrame is a FramingError.
func (r *Reader) Next() ([]byte, error) {
	for {
		frame, ok, err := r.head()
		if ok || err != nil {
			return frame, err
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// Buffered tells whether Next would return without reading.
func (r *Reader) Buffered() bool {
	if len(r.data) < headerLen {
		return false
	}
	n := binary.BigEndian.Uint32(r.data)
	return n > MaxFrame || len(r.data) >= Size(int(n))
}

// head takes the first frame out of the data, if it is there in full.
func (r *Reader) head() (frame []byte, ok bool, err error) {
	if !r.Buffered() {
		return nil, false, nil
	}
	n := binary.BigEndian.Uint32(r.data)
	if n > MaxFrame {
		return nil, false, &FramingError{Length: n}
	}
	frame = r.data[headerLen:Size(int(n))]
	r.data = r.data[Size(int(n)):]
	return frame, true, nil
}

func (r *Reader) fill() error {
	// The data ends where the buffer was filled to; its rest moves to the
	// front, so there is always room for the frame that has begun.
	n := copy(r.buf, r.data)
	m, err := r.r.Read(r.buf[n:])
	r.data = r.buf[:n+m]
	if m > 0 {
		return nil // an error comes again
	}
	if err == io.EOF && n > 0 {
		return io.ErrUnexpectedEOF
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// Cut takes the first frame off bytes that Append has made.
func Cut(b []byte) (frame, rest []byte) {
	end := Size(int(binary.BigEndian.Uint32(b)))
	return b[headerLen:end], b[end:]
}
