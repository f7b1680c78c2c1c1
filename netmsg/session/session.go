package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

const (
	readBuffer = 64 << 10
	// keepBuffer is the largest buffer for writing that is kept.
	keepBuffer = 256 << 10
	// writeSize bounds single writes, so that it can be seen whether the peer reads.
	// Less than that is gathered, so that what belongs together is one write.
	writeSize = 64 << 10
	maxBatch  = 64
	// largeData is how much data of a message is not copied but for a write: it stays in
	// the message until then, or in the frame that it came in.
	largeData = 4 << 10
)

// gatherSize is how many bytes are not waited with: about a packet. See [Session.gather].
const gatherSize = 1400

// A Memory has room for large messages, which come and go: outside of Go's heap, on a
// node that has little of it.
type Memory interface {
	// Alloc returns n bytes of any content, n > 0.
	Alloc(n int) ([]byte, error)
	// Free takes back what Alloc has returned.
	Free(b []byte)
	// PageSize is that of pages which can be given to others, or 0 if none can.
	PageSize() int
	// Give takes back what Alloc has returned, but for the pages that part of it is in,
	// which are another's by then.
	Give(b, part []byte)
}

// heap is the Memory of who does not care.
type heap struct{}

func (heap) Alloc(n int) ([]byte, error) { return make([]byte, n), nil }
func (heap) Free([]byte)                 {}
func (heap) PageSize() int               { return 0 }
func (heap) Give(b, part []byte)         {}

// A PeerError is a session's end that the peer has asked for: what it said in its
// CLOSE.
type PeerError struct{ rights.ProtocolError }

func (e *PeerError) Error() string {
	s := "the peer ended the session"
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Rule != "" {
		s += fmt.Sprintf(" (rule %s)", e.Rule)
	}
	return s
}

// Unwrap lets errors.As find what the peer said.
func (e *PeerError) Unwrap() error { return &e.ProtocolError }

// ErrLost is that the connection ended without a CLOSE.
var ErrLost = errors.New("the connection was lost")

func protocolError(code rights.Code, rule, format string, args ...any) *rights.ProtocolError {
	return &rights.ProtocolError{Code: code, Rule: rule, Text: fmt.Sprintf(format, args...)}
}

// A Session is a stream of records between this node and an incarnation of another.
type Session struct {
	conn     net.Conn
	config   *Config
	greeting wire.Greeting // the peer's
	id       wire.SessionID
	version  uint16
	since    time.Time

	mu      sync.Mutex
	codec   wire.Codec
	room    sync.Cond // less waits, or the session is over
	out     output    // what is to be written
	taken   int       // bytes that are being written
	beyond  int       // bytes more than the bound that may wait
	ended   error     // why the session is over
	sent    uint64    // records
	written uint64    // bytes

	wake chan struct{} // there is something to write, or to end
	done chan struct{} // Lost has returned

	received, read atomic.Uint64 // records, bytes
	reads          atomic.Uint64 // that brought them

	// The watch.
	heard    atomic.Bool   // something came since the last tick
	writes   atomic.Uint64 // odd while one is going on
	timer    *time.Timer
	silent   int    // ticks without anything heard
	stuck    int    // ticks in one write
	writeWas uint64 // writes at the last tick
	ticks    uint64
	pinged   atomic.Int64 // when, in ns since the start; 0 if there is no ping under way
	rtt      atomic.Int64 // of the last ping
}

// An output is what waits to be written: bytes, with gaps for data that is elsewhere.
type output struct {
	b    []byte
	gaps []gap
	size int // of all
}

// A gap is for the data of a body, which is freed after the last of its gaps.
type gap struct {
	wire.Gap
	last *wire.Body // nil if it is not the last
}

func (o *output) append(r *rights.Record, c *wire.Codec) error {
	var room [4]wire.Gap
	start := len(o.b)
	b, gaps, err := c.AppendParts(o.b, room[:0], r, largeData)
	if err != nil {
		return err
	}
	o.b = b
	o.size += len(b) - start
	for _, g := range gaps {
		o.gaps = append(o.gaps, gap{Gap: g})
		o.size += len(g.Data)
	}
	if r.Message != nil {
		if body, ok := r.Message.Body.(*wire.Body); ok {
			if len(gaps) == 0 {
				body.Free()
			} else {
				o.gaps[len(o.gaps)-1].last = body
			}
		}
	}
	return nil
}

func (o *output) control(c wire.Control) {
	start := len(o.b)
	o.b = wire.AppendControl(o.b, c)
	o.size += len(o.b) - start
}

// drop empties the output.
func (o *output) drop() {
	for _, g := range o.gaps {
		if g.last != nil {
			g.last.Free()
		}
	}
	*o = output{}
}

func newSession(c *Config, conn net.Conn, peer wire.Greeting, id wire.SessionID, version uint16) *Session {
	s := &Session{
		conn: conn, config: c, greeting: peer, id: id, version: version, since: time.Now(),
		codec: wire.Codec{Self: c.Self, Peer: peer.Node, Limits: wire.Limits{Message: c.Limits.Message, Rights: c.Limits.Rights}},
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	s.room.L = &s.mu
	return s
}

// Peer is the other end.
func (s *Session) Peer() rights.Incarnation { return s.greeting.Node }

// Greeting is what the peer said of itself.
func (s *Session) Greeting() wire.Greeting { return s.greeting }

// Takes is what the peer takes from this node, as it said in its greeting.
func (s *Session) Takes() rights.Limits {
	g := &s.greeting
	return rights.Limits{
		Window: clamp(g.Window), Budget: clamp(g.Budget), Message: clamp(g.Message),
		Rights: clamp(g.Rights), Holds: clamp(g.Holds), Claims: clamp(g.Claims),
	}
}

func clamp(x uint64) int { return int(min(x, math.MaxInt32)) }

// Version is that of the protocol which both ends speak.
func (s *Session) Version() uint16 { return s.version }

// Dialled reports whether this node opened the session.
func (s *Session) Dialled() bool { return s.id.Mine }

// Send puts a record into the session. It does not block, nor does it have it
// written: when all is said that there is to say, Flush does. What is sent
// after the session's end is lost, as what was sent just before it.
//
// The body of a message is the session's, which frees it when it has been written.
func (s *Session) Send(r *rights.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		free(r)
		return
	}
	before := s.queued()
	if err := s.out.append(r, &s.codec); err != nil {
		free(r)
		s.end(protocolError(rights.CodeInternal, "B4", "%v", err), true)
		return
	}
	s.sent++
	if before <= s.config.Queue/8 {
		s.beyond = 0
		if n := s.queued(); n > s.config.Queue { // one message may be larger than the queue
			s.beyond = n - before
		}
	}
	s.bound()
}

// free frees the body of a record that is not sent.
func free(r *rights.Record) {
	if r.Message == nil {
		return
	}
	if body, ok := r.Message.Body.(*wire.Body); ok && body != nil {
		body.Free()
	}
}

// bound ends the session if too much waits to be written. The caller has the lock.
func (s *Session) bound() {
	if n := s.queued(); n > s.config.Queue+s.beyond && s.ended == nil {
		s.out.drop() // there is no use in it
		s.end(protocolError(rights.CodeLimit, "B1", "%d bytes wait to be written: the peer does not read", n), true)
	}
}

// Flush has written, by a goroutine of the session's, what has been sent, all in one go.
func (s *Session) Flush() {
	s.mu.Lock()
	more := s.out.size > 0
	s.mu.Unlock()
	if more {
		s.wakeWriter()
	}
}

func (s *Session) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Queued is how many bytes wait to be written. Who could send more should wait for
// [Session.Room]: beyond [Config.Queue] the session ends.
func (s *Session) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued()
}

func (s *Session) queued() int { return s.taken + s.out.size }

// Full reports whether so much waits to be written that what can wait should: an
// eighth of what would end the session.
func (s *Session) Full() bool { return s.Queued() > s.config.Queue/8 }

// Room waits until the session is not Full, or over.
func (s *Session) Room() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.ended == nil && s.queued() > s.config.Queue/8 {
		s.room.Wait()
	}
}

// Close ends the session, and tells the peer why. Lost is called soon, from another
// goroutine, with err.
func (s *Session) Close(err *rights.ProtocolError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(err, true)
}

// end ends the session. If say, and err is a protocol error, the peer is told. The
// caller has the lock.
func (s *Session) end(err error, say bool) {
	if s.ended != nil {
		return
	}
	s.ended = err
	s.room.Broadcast()
	if e, ok := err.(*rights.ProtocolError); ok && say {
		s.out.control(wire.Close{Err: *e})
	} else {
		s.out.drop()
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	// The reader is to stop, now, and the writer when it has written the CLOSE,
	// for which there is some time.
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
	time.AfterFunc(s.config.Linger, func() { s.conn.Close() })
	s.wakeWriter()
}

func (s *Session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(err, true)
}

func (s *Session) over() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// run takes records until the session's end. over is called when Lost has returned.
func (s *Session) run(over func()) {
	s.mu.Lock()
	if s.ended == nil {
		s.timer = time.AfterFunc(s.config.KeepAlive, s.tick)
	}
	s.mu.Unlock()
	// What is sent just before the end may be lost, whatever a write has said: it need not wait to
	// say so. It can otherwise, too.
	if l, ok := s.conn.(interface{ WriteLate() error }); ok {
		_ = l.WriteLate()
	}
	s.wakeWriter() // the greeting, if nothing else
	go s.write()
	s.readRecords()
	err := s.over()
	s.config.Handler.Lost(s, err)
	over()
	// The peer may still be sending: a connection that is closed while something
	// is unread is reset, and the CLOSE would be lost.
	if _, ok := err.(*rights.ProtocolError); ok {
		s.mu.Lock()
		_ = s.conn.SetReadDeadline(time.Now().Add(s.config.Linger))
		s.mu.Unlock()
		_, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{s.conn}, make([]byte, 4096))
	}
	s.conn.Close()
}

// write writes what is sent until the session ends.
func (s *Session) write() {
	var spare output
	var stage []byte
	defer func() {
		if stage != nil {
			s.config.Memory.Free(stage)
		}
	}()
	for range s.wake {
		for {
			s.gather()
			s.mu.Lock()
			o := s.out
			s.out, s.taken = output{b: spare.b[:0], gaps: spare.gaps[:0]}, o.size
			ended := s.ended
			s.mu.Unlock()
			if o.size == 0 {
				spare = o
				if ended == nil {
					break
				}
				if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
					_ = c.CloseWrite()
				}
				return
			}
			var err error
			if len(o.gaps) > 0 && stage == nil {
				stage, err = s.config.Memory.Alloc(writeSize)
			}
			if err == nil {
				err = s.writeAll(&o, stage)
			} else {
				o.drop()
			}
			s.mu.Lock()
			s.taken = 0
			s.room.Broadcast()
			if err != nil {
				s.end(fmt.Errorf("%w: %w", ErrLost, err), false)
			}
			s.mu.Unlock()
			clear(o.gaps)
			if spare = o; cap(o.b) > keepBuffer {
				spare.b = nil
			}
		}
	}
}

// gather lets those who are about to say something do so first, as long as they do: a write
// costs both nodes as much as some ten records, with a call of the network server, a packet,
// another that says it has come, and a read at the other end. Nobody waits for what may
// not come, so that one call at a time is as fast as without.
func (s *Session) gather() {
	for was := 0; ; {
		s.mu.Lock()
		n, large, ended := s.out.size, len(s.out.gaps) > 0, s.ended != nil
		s.mu.Unlock()
		if n == was || n >= gatherSize || large || ended {
			return
		}
		was = n
		runtime.Gosched()
	}
}

// writeAll writes all of an output, in pieces of at most writeSize, and frees the bodies in
// it. In stage it gathers what is less.
func (s *Session) writeAll(o *output, stage []byte) error {
	if len(o.gaps) == 0 {
		return s.writeBytes(o.b)
	}
	var err error
	n := 0 // bytes in the stage
	put := func(b []byte) {
		for len(b) > 0 && err == nil {
			if n == 0 && len(b) >= writeSize {
				k := len(b) / writeSize * writeSize
				err = s.writeBytes(b[:k])
				b = b[k:]
				continue
			}
			k := copy(stage[n:writeSize], b)
			n, b = n+k, b[k:]
			if n == writeSize {
				err = s.writeBytes(stage[:n])
				n = 0
			}
		}
	}
	at := 0
	for i := range o.gaps {
		g := &o.gaps[i]
		put(o.b[at:g.At])
		put(g.Data)
		at = g.At
		if g.last != nil {
			g.last.Free()
		}
	}
	put(o.b[at:])
	if n > 0 && err == nil {
		err = s.writeBytes(stage[:n])
	}
	return err
}

func (s *Session) writeBytes(b []byte) error {
	for len(b) > 0 {
		s.writes.Add(1)
		n, err := s.conn.Write(b[:min(len(b), writeSize)])
		s.writes.Add(1)
		b = b[n:]
		s.mu.Lock()
		was := s.queued()
		s.taken -= n
		s.written += uint64(n)
		if limit := s.config.Queue / 8; was > limit && s.queued() <= limit {
			s.room.Broadcast()
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// readRecords takes frames, and passes on their records, until the session ends.
func (s *Session) readRecords() {
	r := reader{conn: s.conn, buf: make([]byte, readBuffer), max: s.codec.Limits.MaxFrame(), arrived: s.arrived, memory: s.config.Memory, dataAt: s.codec.DataAt}
	batch := make([]rights.Record, 0, maxBatch)
	pass := func() {
		if len(batch) == 0 || s.over() != nil {
			return
		}
		s.received.Add(uint64(len(batch)))
		s.config.Handler.Receive(s, batch)
		clear(batch)
		batch = batch[:0]
	}
	for {
		frame, whole, err := r.buffered()
		if err == nil && frame == nil {
			// Before waiting: hand over what there is, and say what it led to.
			pass()
			if s.over() != nil {
				return
			}
			s.Flush()
			frame, whole, err = r.next()
		}
		var c wire.Control
		switch {
		case err != nil:
		case wire.IsControl(frame):
			c, err = wire.DecodeControl(frame)
		default:
			var rec rights.Record
			if rec, err = s.codec.Decode(frame, whole != nil); err == nil {
				batch = append(batch, rec)
			}
			if whole != nil {
				keep(&rec, whole)
			}
		}
		if err != nil || c != nil || len(batch) == maxBatch {
			pass()
			if s.over() != nil {
				return
			}
		}
		if err == nil && c != nil {
			err = s.control(c)
		}
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// keep sees that a frame is freed with the body of its record.
func keep(r *rights.Record, frame *block) {
	if r.Message != nil {
		if body, ok := r.Message.Body.(*wire.Body); ok && body != nil {
			body.Release, body.Give = frame.free, frame.give
			return
		}
	}
	frame.free()
}

func (s *Session) arrived(n int) {
	s.heard.Store(true)
	s.read.Add(uint64(n))
	s.reads.Add(1)
}

func (s *Session) control(c wire.Control) error {
	switch c := c.(type) {
	case wire.Ping:
		s.mu.Lock()
		if s.ended == nil {
			s.out.control(wire.Pong{N: c.N})
			s.bound()
		}
		s.mu.Unlock()
	case wire.Pong:
		if at := s.pinged.Load(); at != 0 && uint64(at) == c.N {
			s.rtt.Store(int64(time.Since(s.since)) - at)
			s.pinged.Store(0)
		}
	case wire.Close:
		return &PeerError{c.Err}
	}
	return nil
}

// A reader takes frames from a connection.
type reader struct {
	conn    net.Conn
	buf     []byte
	r, w    int // what is in buf
	max     int // the longest frame
	arrived func(int)
	memory  Memory // for large frames
	dataAt  func(start []byte, large int) int
}

// A block is memory with a frame in it.
type block struct {
	memory     Memory
	all, frame []byte
	given      []byte // part of it
}

// giveData is how much data is worth giving away its pages.
const giveData = 16 << 10

// block allocates room for a frame of n bytes, of which have is all or the beginning. What
// can be given away is at the start of a page.
func (r *reader) block(n int, have []byte) (*block, error) {
	lead := 0
	if page := r.memory.PageSize(); page > 0 && n >= giveData {
		if at := r.dataAt(have, giveData); at > 0 {
			lead = page - 1 - (at-1)%page
		}
	}
	all, err := r.memory.Alloc(lead + n)
	if err != nil {
		return nil, noMemory(err)
	}
	return &block{memory: r.memory, all: all, frame: all[lead : lead+n : lead+n]}, nil
}

func (k *block) free() {
	if k.given != nil {
		k.memory.Give(k.all, k.given)
	} else {
		k.memory.Free(k.all)
	}
}

// give gives away the pages of data if that begins one.
func (k *block) give(data []byte) bool {
	page := k.memory.PageSize()
	if page == 0 || k.given != nil || len(data) < giveData {
		return false
	}
	end := uintptr(unsafe.Pointer(unsafe.SliceData(k.all))) + uintptr(len(k.all))
	p := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	if p < uintptr(unsafe.Pointer(unsafe.SliceData(k.all))) || p >= end || p%uintptr(page) != 0 {
		return false
	}
	// What was in the last page before is nobody's affair.
	rest := k.all[len(k.all):cap(k.all)]
	clear(rest[:min(len(rest), page)])
	k.given = data
	return true
}

// length is that of the frame at the start of what is in the buffer, if it is
// there.
func (r *reader) length() (n int, ok bool, err error) {
	b := r.buf[r.r:r.w]
	if len(b) < wire.FrameHeader {
		return 0, false, nil
	}
	x := binary.LittleEndian.Uint32(b)
	switch {
	case x == 0:
		return 0, false, protocolError(rights.CodeProtocol, "S4", "a frame of no bytes")
	case uint64(x) > uint64(r.max):
		return 0, false, protocolError(rights.CodeLimit, "B1", "a frame of %d bytes, more than %d", x, r.max)
	}
	return int(x), true, nil
}

// buffered returns the next frame if it is in the buffer, or nil. whole is as in next.
func (r *reader) buffered() (frame []byte, whole *block, err error) {
	n, ok, err := r.length()
	if !ok || r.w-r.r < wire.FrameHeader+n {
		return nil, nil, err
	}
	start := r.r + wire.FrameHeader
	r.r = start + n
	frame = r.buf[start:r.r:r.r]
	if n < largeData {
		return frame, nil, nil
	}
	k, err := r.block(n, frame)
	if err != nil {
		return nil, nil, err
	}
	copy(k.frame, frame)
	return k.frame, k, nil
}

func noMemory(err error) error { return protocolError(rights.CodeInternal, "B4", "%v", err) }

// next waits for the next frame. whole is what it is in, the caller's, or nil: then it
// is good until the next call.
func (r *reader) next() (frame []byte, whole *block, err error) {
	for {
		frame, whole, err := r.buffered()
		if frame != nil || err != nil {
			return frame, whole, err
		}
		if n, ok, _ := r.length(); ok && wire.FrameHeader+n > len(r.buf) {
			k, err := r.large(n)
			if err != nil {
				return nil, nil, err
			}
			return k.frame, k, nil
		}
		if r.r > 0 {
			r.w = copy(r.buf, r.buf[r.r:r.w])
			r.r = 0
		}
		n, err := r.fill(r.buf[r.w:])
		r.w += n
		if n == 0 && err != nil {
			return nil, nil, r.lost(err)
		}
	}
}

// large takes a frame that is longer than the buffer. A length costs little
// by itself: more memory is allocated as data comes.
func (r *reader) large(n int) (*block, error) {
	start := r.buf[r.r+wire.FrameHeader : r.w]
	for len(start) < min(n, len(r.buf)-wire.FrameHeader, 1<<10) { // enough to know where data will be
		if r.r > 0 {
			r.w = copy(r.buf, r.buf[r.r:r.w])
			r.r = 0
		}
		k, err := r.fill(r.buf[r.w:])
		if r.w += k; k == 0 && err != nil {
			return nil, r.lost(err)
		}
		start = r.buf[wire.FrameHeader:r.w]
	}
	k, err := r.block(min(n, 2<<20), start)
	if err != nil {
		return nil, err
	}
	have := copy(k.frame, start)
	r.r, r.w = 0, 0
	for {
		if have == len(k.frame) {
			if have == n {
				return k, nil
			}
			more, err := r.block(min(n, 4*len(k.frame)), k.frame)
			if err == nil {
				copy(more.frame, k.frame)
			}
			k.free()
			if err != nil {
				return nil, err
			}
			k = more
		}
		i, err := r.fill(k.frame[have:])
		have += i
		if i == 0 && err != nil {
			k.free()
			return nil, r.lost(err)
		}
	}
}

func (r *reader) fill(b []byte) (int, error) {
	n, err := r.conn.Read(b)
	if n > 0 {
		r.arrived(n)
	}
	return n, err
}

func (r *reader) lost(err error) error {
	if errors.Is(err, io.EOF) {
		return ErrLost
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// tick looks after the peer, each [Config.KeepAlive]: it is asked for a sign of life
// if there was none, and given up if there is none for [Config.Silence] ticks. No
// timer is set or stopped for records that come and go.
func (s *Session) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return
	}
	s.ticks++
	ask := s.ticks%8 == 1 // to know how long it takes
	if s.heard.Swap(false) {
		s.silent = 0
	} else {
		s.silent++
		ask = true
	}
	if w := s.writes.Load(); w%2 == 1 && w == s.writeWas {
		s.stuck++
	} else {
		s.stuck, s.writeWas = 0, w
	}
	limit := time.Duration(s.config.Silence) * s.config.KeepAlive
	switch {
	case s.silent >= s.config.Silence:
		s.end(protocolError(rights.CodeTimeout, "B4", "nothing was heard for %v", limit), true)
		return
	case s.stuck >= s.config.Silence:
		s.out.drop()
		s.end(protocolError(rights.CodeTimeout, "B4", "the peer has read nothing for %v", limit), true)
		return
	}
	if ask {
		now := int64(time.Since(s.since)) | 1
		s.pinged.Store(now)
		s.out.control(wire.Ping{N: uint64(now)})
	}
	s.wakeWriter() // also for who forgot to flush
	s.timer.Reset(s.config.KeepAlive)
}

// Stats are figures of a session.
type Stats struct {
	Since          time.Time
	Sent, Received uint64        // records
	Written, Read  uint64        // bytes
	Writes, Reads  uint64        // calls of the connection
	Queued         int           // bytes that wait to be written
	RTT            time.Duration // of the last ping that was answered; 0 if none was
}

// Stats returns the session's figures.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Since: s.since, Sent: s.sent, Received: s.received.Load(), Written: s.written, Read: s.read.Load(),
		Writes: (s.writes.Load() + 1) / 2, Reads: s.reads.Load(), Queued: s.queued(), RTT: time.Duration(s.rtt.Load()),
	}
}
