// Package nic is what a driver of a network card offers to the network stack,
// and what it needs from the machine.
//
// The driver is package virtio's; the stack is package ipstack.
// Neither knows the other.
package nic

import "context"

// HeaderSize is the size of an Ethernet header, in bytes.
const HeaderSize = 14

// A Device is an Ethernet card.
type Device interface {
	// MAC is the card's address.
	MAC() [6]byte
	// MTU is the largest payload of a frame, in bytes, without the Ethernet
	// header.
	MTU() int
	// Send queues one frame: fill writes it into the card's own memory,
	// which has room for HeaderSize+MTU bytes, and returns its length. It
	// reports false, without calling fill, if the card's queue is full: the
	// frame is lost, as on any network. Send may be called from several
	// goroutines; it does not wait.
	Send(fill func(buf []byte) int) bool
	// Flush starts the transmission of what Send has queued.
	Flush()
	// Serve handles the card's interrupts until ctx ends or the card fails,
	// and calls deliver with each frame that comes in. The frame is the
	// card's own memory, valid only during the call.
	Serve(ctx context.Context, deliver func(frame []byte)) error
	// Close stops the card: it does not touch memory any more.
	Close()
}

// An Interrupt is an interrupt line of the machine. It stays masked from each
// interrupt until Ack.
type Interrupt interface {
	// Wait waits for the next interrupt.
	Wait(ctx context.Context) error
	// Ack lets the next interrupt in.
	Ack() error
}

// DMA is memory that the machine's devices reach too: physically contiguous,
// at least page-aligned, and never moved.
type DMA struct {
	Bytes []byte
	// Phys is the physical address of Bytes[0].
	Phys uint64
}

// An Allocator provides size bytes of zeroed DMA memory.
type Allocator func(size int) (DMA, error)
