// Package pcap writes captured Ethernet frames in the pcap file format, which
// tcpdump and Wireshark read, without ever keeping back whoever captures.
//
// The format is the classic one with nanoseconds, little-endian: see
// draft-ietf-opsawg-pcap.
package pcap

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"hurdlab/lab/vnet/spool"
)

const (
	magicNanoseconds = 0xa1b23c4d
	linkTypeEthernet = 1
	snapLen          = 1 << 18 // frames are never cut short
	headerLen        = 24
	recordHeaderLen  = 16

	// BufferBytes is how much a capture holds while its writer is busy.
	// Frames for which there is no room are not captured.
	BufferBytes = 4 << 20
)

// AppendHeader appends what a file begins with.
func AppendHeader(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, magicNanoseconds)
	b = binary.LittleEndian.AppendUint16(b, 2) // version 2.4
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...) // reserved
	b = binary.LittleEndian.AppendUint32(b, snapLen)
	return binary.LittleEndian.AppendUint32(b, linkTypeEthernet)
}

// AppendFrame appends the record of a frame seen at a time.
func AppendFrame(b []byte, at time.Time, frame []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Nanosecond()))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	return append(b, frame...)
}

// A Capture writes frames to a writer in the background.
type Capture struct {
	spool   *spool.Spool
	dropped atomic.Uint64
	wg      sync.WaitGroup
	err     error // of the writer; valid after wg
}

// NewCapture begins a capture to w, which gets as few and as large writes as
// its pace allows.
func NewCapture(w io.Writer) *Capture {
	c := &Capture{spool: spool.New(BufferBytes)}
	c.spool.Put(headerLen, AppendHeader)
	c.wg.Go(func() {
		// After an error the spool is closed, so nothing piles up.
		defer c.spool.Close()
		for {
			b, ok := c.spool.Take()
			if !ok {
				return
			}
			if _, err := w.Write(b); err != nil {
				c.err = fmt.Errorf("writing a capture of the network: %w", err)
				return
			}
		}
	})
	return c
}

// Frame captures a frame. It never blocks: if the writer is too slow or has
// failed, the frame counts as dropped.
func (c *Capture) Frame(at time.Time, frame []byte) {
	ok := c.spool.Put(recordHeaderLen+len(frame), func(b []byte) []byte {
		return AppendFrame(b, at, frame)
	})
	if !ok {
		c.dropped.Add(1)
	}
}

// Dropped is the number of frames that are missing in the capture.
func (c *Capture) Dropped() uint64 { return c.dropped.Load() }

// Close writes what is left, and returns the error that ended the writing, if
// one did. It does not close the writer.
func (c *Capture) Close() error {
	c.spool.Close()
	c.wg.Wait()
	return c.err
}
