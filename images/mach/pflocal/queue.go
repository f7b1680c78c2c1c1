package pflocal

import "time"

// Limits. What a queue holds is bounded by its bytes and its packets, what all
// of them hold by the budget: beyond it, a queue that has anything in it takes
// no more than a page, so that every connection still gets on.
const (
	queueLimit  = 64 << 10 // bytes of a queue
	scarceLimit = 4 << 10  // bytes of a queue when the budget is used up
	budget      = 8 << 20  // bytes of all queues before they become scarce
	maxPackets  = 1024     // packets of a queue

	// PIPE_BUF: a write of as many bytes goes into a pipe in one piece.
	atomicWrite = 4 << 10
	// What is written in smaller pieces is put together up to this.
	joinLimit = 4 << 10

	maxRights         = 253  // of a message
	maxRightsInFlight = 1024 // sent and not received, of the whole server
	maxControl        = 8 << 10
)

// maxHold is how long a message with a right to one of the server's sockets
// waits for room: until it is in a queue, that right keeps the socket alive,
// which may be the one that it waits at.
const maxHold = time.Minute

// A packet is what was sent at once: data, or a piece of a stream.
type packet struct {
	data    []byte
	rights  []Right
	control []byte
	from    *Address
}

// A queue is one direction of a connection, or what arrives at a datagram
// socket. The server's lock protects it.
type queue struct {
	server  *Server
	stream  bool // packets are joined and cut
	packets []packet
	size    int // bytes in packets

	ended   bool // nobody writes any more: the end follows what is there
	refuses bool // nobody reads any more

	changed signal
}

// limit is how many bytes the queue may hold now.
func (q *queue) limit() int {
	if q.server.queued > budget {
		return scarceLimit
	}
	return queueLimit
}

// room returns how many of n bytes fit now; 0 means wait.
func (q *queue) room(n int, whole bool) int {
	if len(q.packets) >= maxPackets && !(q.stream && q.joins(n)) {
		return 0
	}
	room := q.limit() - q.size
	if room >= n || len(q.packets) == 0 && whole {
		return n // a packet of any permitted size fits an empty queue
	}
	if whole || n <= atomicWrite || room < atomicWrite {
		return 0
	}
	return room
}

// joins reports whether n bytes would be appended to the last packet.
func (q *queue) joins(n int) bool {
	if !q.stream || len(q.packets) == 0 {
		return false
	}
	last := &q.packets[len(q.packets)-1]
	return len(last.rights) == 0 && len(last.control) == 0 && (len(last.data)+n <= joinLimit || n <= cap(last.data)-len(last.data))
}

// put appends a packet, whose data the queue may keep.
func (q *queue) put(p packet) {
	q.size += len(p.data)
	q.server.queued += len(p.data)
	if len(p.rights) == 0 && len(p.control) == 0 && q.joins(len(p.data)) {
		last := &q.packets[len(q.packets)-1]
		last.data = append(last.data, p.data...)
	} else {
		q.packets = append(q.packets, p)
	}
	q.changed.broadcast()
}

// get takes up to n bytes of a stream, or a packet, of which it gives n bytes.
// There is one. Without take it only looks.
func (q *queue) get(n int, take bool) (p packet, cut bool) {
	first := q.packets[0]
	if !q.stream {
		p, cut = first, len(first.data) > n
		p.data = p.data[:min(n, len(p.data))]
		if take {
			q.drop(len(first.data))
			q.shift()
		} else {
			p.rights = nil
		}
		return p, cut
	}
	// The rights of a piece come with its first byte, and it is the only
	// piece of its message: whoever takes the rights can tell which bytes
	// they belong to.
	p = first
	if len(first.data) > n || !take {
		p.data = first.data[:min(n, len(first.data)):min(n, len(first.data))]
	}
	if !take {
		p.rights = nil
		for i := 1; i < len(q.packets) && len(p.data) < n && q.plain(i); i++ {
			p.data = append(p.data, q.packets[i].data[:min(n-len(p.data), len(q.packets[i].data))]...)
		}
		return p, false
	}
	q.advance(len(p.data))
	for len(p.data) < n && len(p.rights) == 0 && len(q.packets) > 0 && q.plain(0) {
		b := q.packets[0].data
		b = b[:min(n-len(p.data), len(b))]
		p.data = append(p.data, b...)
		q.advance(len(b))
	}
	return p, false
}

// plain reports whether packet i is bytes and nothing else.
func (q *queue) plain(i int) bool {
	return len(q.packets[i].rights) == 0 && len(q.packets[i].control) == 0
}

// advance takes n bytes from the first packet, and its rights.
func (q *queue) advance(n int) {
	first := &q.packets[0]
	q.drop(n)
	first.rights, first.control = nil, nil
	if first.data = first.data[n:]; len(first.data) == 0 {
		q.shift()
	}
}

func (q *queue) shift() {
	q.packets[0] = packet{}
	if q.packets = q.packets[1:]; len(q.packets) == 0 {
		q.packets = nil
	}
}

// drop accounts for n bytes that have left.
func (q *queue) drop(n int) {
	q.size -= n
	q.server.queued -= n
	q.changed.broadcast()
}

// end says that nobody writes any more.
func (q *queue) end() {
	if q != nil && !q.ended {
		q.ended = true
		q.changed.broadcast()
	}
}

// refuse says that nobody reads any more, and drops what is there.
func (q *queue) refuse() {
	if q == nil || q.refuses {
		return
	}
	q.refuses = true
	for _, p := range q.packets {
		q.server.discard(p.rights)
	}
	q.packets = nil
	q.drop(q.size)
}

// A signal wakes all that wait for a change. The server's lock protects it.
type signal struct{ c chan struct{} }

// wait returns a channel that is closed at the next change.
func (s *signal) wait() <-chan struct{} {
	if s.c == nil {
		s.c = make(chan struct{})
	}
	return s.c
}

func (s *signal) broadcast() {
	if s.c != nil {
		close(s.c)
		s.c = nil
	}
}
