// Package spool is a bounded buffer between those who must never wait and one
// consumer who may be slow: the switch and the peer of a NIC, or the switch
// and the writer of a capture. What does not fit is refused, not waited for.
package spool

import "sync"

// A Spool collects records as bytes. The consumer takes all that there is at
// once, so that the slower it is, the less each record costs it.
type Spool struct {
	limit int

	mu      sync.Mutex
	ready   sync.Cond // something is pending, or closed
	pending []byte
	taken   []byte // with the consumer
	freed   int    // bytes of taken that it has finished with
	closed  bool
}

// New returns a spool for at most limit bytes, counting those that the
// consumer took last and has not finished with.
func New(limit int) *Spool {
	s := &Spool{limit: limit}
	s.ready.L = &s.mu
	return s
}

// Put adds a record of size bytes, which add appends to its argument. It
// reports false, without calling add, if there is no room or the spool is
// closed.
func (s *Spool) Put(size int, add func(b []byte) []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.len()+size > s.limit {
		return false
	}
	if len(s.pending) == 0 {
		s.ready.Signal()
	}
	s.pending = add(s.pending)
	return true
}

// Take waits for records and returns all of them. They are valid until the
// next call, which also frees what room of theirs Free has not. It reports false when the spool is
// closed and empty.
func (s *Spool) Take() (records []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.taken[:0]
	s.taken, s.freed = nil, 0
	for len(s.pending) == 0 {
		if s.closed {
			return nil, false
		}
		s.ready.Wait()
	}
	s.taken, s.pending = s.pending, free
	return s.taken, true
}

// Free tells that the consumer has finished with n more bytes of what it took,
// which makes room for as many. The consumer may skip it.
func (s *Spool) Free(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freed += n
}

// Len is the number of bytes in the spool, with those taken and not freed.
func (s *Spool) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.len()
}

func (s *Spool) len() int { return len(s.pending) + len(s.taken) - s.freed }

// Close refuses further records. Those already there can still be taken.
func (s *Spool) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.ready.Signal()
}
