package main

import (
	"bufio"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
	"net"
	"sync"

	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// A session is a plain stand-in.
type session struct {
	c     net.Conn
	r     *bufio.Reader
	codec wire.Codec
	peer  rights.Incarnation

	mu      sync.Mutex
	buf     []byte
	spare   []byte
	writing bool
	err     error
}

func greet(c net.Conn, self rights.Incarnation) (*session, error) {
	s := &session{c: c, r: bufio.NewReaderSize(c, 64<<10)}
	go gob.NewEncoder(c).Encode(self)
	if err := gob.NewDecoder(s.r).Decode(&s.peer); err != nil {
		return nil, err
	}
	s.codec = wire.Codec{Self: self, Peer: s.peer}
	return s, nil
}

func (s *session) Send(r *rights.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.buf, err = s.codec.Append(s.buf, r); err != nil {
		s.err = err
		s.c.Close()
	}
}

func (s *session) Flush() {
	s.mu.Lock()
	if s.writing || len(s.buf) == 0 {
		s.mu.Unlock()
		return
	}
	s.writing = true
	s.mu.Unlock()
	s.write()
}

func (s *session) write() {
	for {
		s.mu.Lock()
		b := s.buf
		if len(b) == 0 {
			s.writing = false
			s.mu.Unlock()
			return
		}
		s.buf = s.spare[:0]
		s.spare = nil
		s.mu.Unlock()
		if _, err := s.c.Write(b); err != nil {
			s.c.Close()
			return
		}
		s.mu.Lock()
		if cap(b) < 1<<17 {
			s.spare = b
		}
		s.mu.Unlock()
	}
}

func (s *session) Close(err *rights.ProtocolError) { s.c.Close() }

func (s *session) read(f func(r *rights.Record)) error {
	for {
		var head [4]byte
		if _, err := io.ReadFull(s.r, head[:]); err != nil {
			return err
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n > 20<<20 {
			return fmt.Errorf("a frame of %d bytes", n)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(s.r, b); err != nil {
			return err
		}
		r, err := s.codec.Decode(b, true)
		if err != nil {
			return err
		}
		f(&r)
	}
}
