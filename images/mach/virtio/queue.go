package virtio

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"hurdlab/images/mach/nic"
)

// Layout of a split virtqueue (virtio 1.2, section 2.7), in the legacy form:
// one contiguous piece of memory with the descriptors, the available ring
// behind them, and the used ring on the next page boundary.
const (
	pageSize = 4096

	descSize     = 16 // u64 address, u32 length, u16 flags, u16 next
	descFlagsOff = 12
	descWrite    = 2 // the device writes to the buffer

	availNoInterrupt = 1
	usedNoNotify     = 1
)

// A queue is a virtqueue whose descriptor i belongs to buffer i for ever: no
// chains, no allocation. One goroutine at a time may use it.
type queue struct {
	n      int // size of the rings, a power of two
	limit  int // buffers in use, <= n
	ring   nic.DMA
	buf    nic.DMA
	bufLen int

	avail, used int // offsets of the rings in ring
	head        uint16
	seen        uint16 // used entries taken
	notify      func()
}

// newQueue allocates a queue of n entries with limit buffers of bufLen bytes.
// write says that the device writes to them.
func newQueue(alloc nic.Allocator, n, limit, bufLen int, write bool, notify func()) (*queue, error) {
	if n < 2 || n&(n-1) != 0 || n > 1<<15 {
		return nil, fmt.Errorf("virtio: queue size %d is not a power of two", n)
	}
	q := &queue{n: n, limit: min(n, limit), bufLen: bufLen, notify: notify}
	q.avail = descSize * n
	q.used = roundUp(q.avail + 6 + 2*n)
	var err error
	if q.ring, err = alloc(roundUp(q.used + 6 + 8*n)); err != nil {
		return nil, fmt.Errorf("virtio: memory for a queue of %d entries: %w", n, err)
	}
	if q.buf, err = alloc(roundUp(q.limit * bufLen)); err != nil {
		return nil, fmt.Errorf("virtio: memory for %d buffers of %d bytes: %w", q.limit, bufLen, err)
	}
	for i := range q.limit {
		atomic.StoreUint64(q.p64(descSize*i), q.buf.Phys+uint64(i*bufLen))
		if write {
			atomic.StoreUint32(q.p32(descSize*i+descFlagsOff), descWrite)
		}
	}
	return q, nil
}

func roundUp(n int) int { return (n + pageSize - 1) &^ (pageSize - 1) }

// pfn is the queue's address as a legacy device takes it.
func (q *queue) pfn() uint32 { return uint32(q.ring.Phys / pageSize) }

// buffer is the memory of buffer i.
func (q *queue) buffer(i int) []byte {
	return q.buf.Bytes[i*q.bufLen : (i+1)*q.bufLen : (i+1)*q.bufLen]
}

// post gives buffer i, of which length bytes count, to the device.
func (q *queue) post(i, length int) {
	*q.p32(descSize*i + 8) = uint32(length)
	q.store16(q.avail+4+2*(int(q.head)&(q.n-1)), uint16(i))
	q.head++
	// The index is stored together with the flags before it, as one word: the
	// atomic store makes the entry visible before the index.
	atomic.StoreUint32(q.p32(q.avail), atomic.LoadUint32(q.p32(q.avail))&0xffff|uint32(q.head)<<16)
}

// kick tells the device about posted buffers unless it is busy with the queue
// anyway. The store in post is a full barrier, so that the device either sees
// the buffer or is seen to want a notification.
func (q *queue) kick() {
	if atomic.LoadUint32(q.p32(q.used))&usedNoNotify == 0 {
		q.notify()
	}
}

// pop takes a buffer back that the device has done with; n is the number of
// bytes it wrote.
func (q *queue) pop() (i, n int, ok bool) {
	if uint16(atomic.LoadUint32(q.p32(q.used))>>16) == q.seen {
		return 0, 0, false
	}
	e := q.used + 4 + 8*(int(q.seen)&(q.n-1))
	i, n = int(*q.p32(e)), int(*q.p32(e + 4))
	q.seen++
	return i, n, true
}

// interrupts asks for interrupts when the device is done with a buffer, or
// for none. It is a wish: a device may interrupt all the same.
func (q *queue) interrupts(on bool) {
	flags := uint32(availNoInterrupt)
	if on {
		flags = 0
	}
	atomic.StoreUint32(q.p32(q.avail), uint32(q.head)<<16|flags)
}

func (q *queue) p64(off int) *uint64 { return (*uint64)(unsafe.Pointer(&q.ring.Bytes[off])) }
func (q *queue) p32(off int) *uint32 { return (*uint32)(unsafe.Pointer(&q.ring.Bytes[off])) }

func (q *queue) store16(off int, v uint16) { *(*uint16)(unsafe.Pointer(&q.ring.Bytes[off])) = v }
