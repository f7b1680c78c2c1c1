package virtio

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"hurdlab/images/mach/nic"
	"hurdlab/images/mach/pio"
)

const base = 0xc000

// card is a model of a legacy virtio network card: what it transmits it
// receives again after the MAC addresses were swapped.
type card struct {
	pio.Bus
	t        *testing.T
	features uint32
	size     uint16
	mem      map[uint64][]byte // DMA memory by physical address

	mu     sync.Mutex
	sel    uint16
	status uint8
	isr    uint8
	driver uint32
	queues [2]struct {
		pfn  uint32
		next uint16 // available entries taken
	}
	frames   [][]byte // to be received
	kicks    [2]int
	hold     bool // does not transmit
	irq      chan struct{}
	isrReads int
}

func newCard(t *testing.T) *card {
	return &card{t: t, features: featureMAC | featureAnyLayout | 1<<28, size: 256, mem: map[uint64][]byte{}, irq: make(chan struct{}, 1)}
}

func (c *card) alloc(size int) (nic.DMA, error) {
	phys := uint64(0x100000 + 0x100000*len(c.mem))
	b := make([]byte, size)
	c.mem[phys] = b
	return nic.DMA{Bytes: b, Phys: phys}, nil
}

// at finds DMA memory by physical address.
func (c *card) at(phys uint64, n int) []byte {
	for p, b := range c.mem {
		if phys >= p && phys+uint64(n) <= p+uint64(len(b)) {
			return b[phys-p:][:n]
		}
	}
	c.t.Errorf("the driver gave address %#x, %d bytes", phys, n)
	return make([]byte, n)
}

func (c *card) In8(port uint16) uint8 {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r := port - base; {
	case r == regISR:
		v := c.isr
		c.isr = 0
		c.isrReads++
		return v
	case r >= regMAC && r < regMAC+6:
		return 0x50 + uint8(r-regMAC)
	}
	c.t.Errorf("In8(%#x)", port)
	return 0
}

func (c *card) In16(port uint16) uint16 { return c.size }
func (c *card) In32(port uint16) uint32 { return c.features }
func (c *card) Out8(port uint16, v uint8) {
	if port != base+regStatus {
		c.t.Errorf("Out8(%#x)", port)
	}
	c.status = v
}

func (c *card) Out32(port uint16, v uint32) {
	switch port {
	case base + regDriverFeatures:
		c.driver = v
	case base + regQueuePFN:
		c.queues[c.sel].pfn = v
	default:
		c.t.Errorf("Out32(%#x)", port)
	}
}

func (c *card) Out16(port uint16, v uint16) {
	if port == base+regQueueSelect {
		c.sel = v
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kicks[v]++
	if !c.hold {
		c.transmit()
	}
	c.receive()
}

// take takes an available buffer of queue q.
func (c *card) take(q int) (id uint16, buf []byte, ok bool) {
	n := uint64(c.size)
	ring := uint64(c.queues[q].pfn) * pageSize
	avail := ring + descSize*n
	if binary.LittleEndian.Uint16(c.at(avail+2, 2)) == c.queues[q].next {
		return 0, nil, false
	}
	id = binary.LittleEndian.Uint16(c.at(avail+4+2*uint64(c.queues[q].next%c.size), 2))
	c.queues[q].next++
	d := c.at(ring+descSize*uint64(id), descSize)
	if w := binary.LittleEndian.Uint16(d[12:]); w != map[int]uint16{queueReceive: descWrite}[q] {
		c.t.Errorf("queue %d: descriptor flags %d", q, w)
	}
	return id, c.at(binary.LittleEndian.Uint64(d), int(binary.LittleEndian.Uint32(d[8:]))), true
}

// done returns a buffer, and interrupts if the driver wants that.
func (c *card) done(q int, id uint16, n int) {
	size := uint64(c.size)
	ring := uint64(c.queues[q].pfn) * pageSize
	used := (ring + descSize*size + 6 + 2*size + pageSize - 1) &^ (pageSize - 1)
	idx := c.at(used+2, 2)
	i := binary.LittleEndian.Uint16(idx)
	e := c.at(used+4+8*uint64(i%c.size), 8)
	binary.LittleEndian.PutUint32(e, uint32(id))
	binary.LittleEndian.PutUint32(e[4:], uint32(n))
	binary.LittleEndian.PutUint16(idx, i+1)
	if c.at(ring+descSize*size, 2)[0]&availNoInterrupt == 0 {
		c.isr |= 1
		select {
		case c.irq <- struct{}{}:
		default:
		}
	}
}

func (c *card) transmit() {
	for {
		id, b, ok := c.take(queueTransmit)
		if !ok {
			return
		}
		if !bytes.Equal(b[:headerSize], make([]byte, headerSize)) {
			c.t.Errorf("header % x", b[:headerSize])
		}
		f := bytes.Clone(b[headerSize:])
		copy(f, b[headerSize+6:headerSize+12])
		copy(f[6:], b[headerSize:headerSize+6])
		c.frames = append(c.frames, f)
		c.done(queueTransmit, id, 0)
	}
}

func (c *card) receive() {
	for len(c.frames) > 0 {
		id, b, ok := c.take(queueReceive)
		if !ok {
			return
		}
		n := headerSize + copy(b[headerSize:], c.frames[0])
		c.frames = c.frames[1:]
		c.done(queueReceive, id, n)
	}
}

// Wait and Ack make the card its own interrupt line.
func (c *card) Wait(ctx context.Context) error {
	select {
	case <-c.irq:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *card) Ack() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isrReads == 0 {
		return errors.New("acknowledged without reading the ISR")
	}
	c.isrReads = 0
	return nil
}

func frame(i int) []byte {
	f := make([]byte, 60+i%1400)
	copy(f, "dstdstsrcsrc")
	binary.BigEndian.PutUint32(f[14:], uint32(i))
	return f
}

func TestLoop(t *testing.T) {
	c := newCard(t)
	d, err := Open(c, base, c, c.alloc)
	if err != nil {
		t.Fatal(err)
	}
	if c.status != statusAcknowledge|statusDriver|statusDriverOK || c.driver != featureMAC|featureAnyLayout {
		t.Errorf("status %#x, features %#x", c.status, c.driver)
	}
	if d.MAC() != [6]byte{0x50, 0x51, 0x52, 0x53, 0x54, 0x55} {
		t.Errorf("MAC % x", d.MAC())
	}
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan []byte, 1000)
	served := make(chan error)
	go func() { served <- d.Serve(ctx, func(f []byte) { got <- bytes.Clone(f) }) }()
	const rounds, batch = 100, 50 // wraps the rings many times
	for r := range rounds {
		for i := range batch {
			if !d.Send(func(b []byte) int { return copy(b, frame(r*batch+i)) }) {
				t.Fatalf("round %d: the queue is full after %d frames", r, i)
			}
		}
		d.Flush()
		for i := range batch {
			f := <-got
			want := frame(r*batch + i)
			copy(want, "srcsrcdstdst")
			if !bytes.Equal(f, want) {
				t.Fatalf("frame %d: got %d bytes %q..., want %d", r*batch+i, len(f), f[:20], len(want))
			}
		}
	}
	if c.kicks[queueTransmit] > rounds {
		t.Errorf("%d kicks for %d flushes", c.kicks[queueTransmit], rounds)
	}
	cancel()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve: %v", err)
	}
}

func TestFullQueueDropsAndRecovers(t *testing.T) {
	c := newCard(t)
	d, err := Open(c, base, c, c.alloc)
	if err != nil {
		t.Fatal(err)
	}
	c.hold = true
	sent := 0
	for d.Send(func(b []byte) int { return copy(b, frame(sent)) }) {
		sent++
	}
	if sent != buffers || d.Dropped() != 1 {
		t.Errorf("sent %d, dropped %d", sent, d.Dropped())
	}
	c.hold = false
	c.transmit()
	if !d.Send(func(b []byte) int { return 60 }) {
		t.Error("the queue is still full")
	}
}

func TestOpenErrors(t *testing.T) {
	c := newCard(t)
	c.features = featureMAC
	if _, err := Open(c, base, c, c.alloc); err == nil {
		t.Error("a card without any_layout was accepted")
	}
	if c.status != statusFailed {
		t.Errorf("status %#x", c.status)
	}
	c = newCard(t)
	c.size = 0
	if _, err := Open(c, base, c, c.alloc); err == nil {
		t.Error("a card without queues was accepted")
	}
	c = newCard(t)
	full := fmt.Errorf("full")
	if _, err := Open(c, base, c, func(int) (nic.DMA, error) { return nic.DMA{}, full }); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}
