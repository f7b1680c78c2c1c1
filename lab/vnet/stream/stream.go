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
	r          io.Reader
	buf        []byte
	start, end int // of what is unread in buf
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
	data := r.buf[r.start:r.end]
	if len(data) < headerLen {
		return false
	}
	n := binary.BigEndian.Uint32(data)
	return n > MaxFrame || len(data) >= Size(int(n))
}

// head takes the first frame out of the buffer, if it is there in full.
func (r *Reader) head() (frame []byte, ok bool, err error) {
	if !r.Buffered() {
		return nil, false, nil
	}
	data := r.buf[r.start:r.end]
	n := binary.BigEndian.Uint32(data)
	if n > MaxFrame {
		return nil, false, &FramingError{Length: n}
	}
	r.start += Size(int(n))
	return data[headerLen:Size(int(n))], true, nil
}

// fill reads more of the frame that has begun.
func (r *Reader) fill() error {
	// The buffer has room for two of the longest frames. A frame that begins
	// in its second half moves to the front, so there is always room for the
	// rest, and a peer that sends byte by byte does not cause as many moves.
	if r.start == r.end || r.start > len(r.buf)/2 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	n, err := r.r.Read(r.buf[r.end:])
	r.end += n
	switch {
	case n > 0:
		return nil // an error comes again
	case err == io.EOF && r.start < r.end:
		return io.ErrUnexpectedEOF
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// Cut takes the first frame off bytes that Append has made.
func Cut(b []byte) (frame, rest []byte) {
	end := Size(int(binary.BigEndian.Uint32(b)))
	return b[headerLen:end], b[end:]
}
