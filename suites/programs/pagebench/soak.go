package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// serveClock answers each byte with the time since it began.
func serveClock(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	start := time.Now()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			b := make([]byte, 1)
			for {
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Since(start)))); err != nil {
					return
				}
			}
		}()
	}
}

// A soaker reads and writes words of a file at random, by memory and by calls, and says
// what it did and when, by the clock of all:
//
//	WORD r|w VALUE FROM TO
//
// Times are in microseconds. An operation was done between them, whatever the error of the
// clock.
type soaker struct {
	clock string
	time  time.Duration
	seed  uint64
	words int

	c     net.Conn
	start time.Time // of this process
	low   int64     // the clock of all is between this and high ahead
	high  int64
	at    time.Time // when that was found
}

// drift is by how much of the time two clocks can differ more after it: 1/500.
const drift = 500

// look asks for the time until the answer is a quick one.
func (s *soaker) look() error {
	best := int64(1 << 62)
	for range 5 {
		before := time.Since(s.start).Nanoseconds()
		if _, err := s.c.Write([]byte{0}); err != nil {
			return err
		}
		var b [8]byte
		if _, err := io.ReadFull(s.c, b[:]); err != nil {
			return err
		}
		after := time.Since(s.start).Nanoseconds()
		there := int64(binary.BigEndian.Uint64(b[:]))
		if after-before < best {
			best = after - before
			s.low, s.high = there-after, there-before
		}
	}
	s.at = time.Now()
	return nil
}

// bounds returns between which times of the clock of all t was.
func (s *soaker) bounds(t time.Time) (from, to int64) {
	local := t.Sub(s.start).Nanoseconds()
	off := t.Sub(s.at).Nanoseconds()
	if off < 0 {
		off = -off
	}
	off = off/drift + 20_000_000/drift
	return (local + s.low - off) / 1000, (local+s.high+off)/1000 + 1
}

func (s *soaker) run(name string) error {
	b, f, err := mapFile(name, true)
	if err != nil {
		return err
	}
	if s.c, err = net.Dial("tcp", s.clock); err != nil {
		return err
	}
	s.start = time.Now()
	r := rand.New(rand.NewPCG(s.seed, 1))
	out := bufio.NewWriter(os.Stdout)
	pages := len(b) / pageSize
	next := uint32(s.seed)<<24 + 1 // values that nobody else writes
	end := s.start.Add(s.time)
	for time.Now().Before(end) {
		if time.Since(s.at) > time.Second {
			if err := s.look(); err != nil {
				return err
			}
		}
		k := r.IntN(s.words)
		at := k%pages*pageSize + k/pages*64
		op, v := 'r', uint32(0)
		var call [4]byte
		how := r.IntN(20)
		if how%2 == 1 {
			op, v = 'w', next
			next++
			binary.LittleEndian.PutUint32(call[:], v)
		}
		from := time.Now()
		switch how {
		case 0:
			_, err = f.ReadAt(call[:], int64(at))
			v = binary.LittleEndian.Uint32(call[:])
		case 1:
			_, err = f.WriteAt(call[:], int64(at))
		default:
			if op == 'w' {
				atomic.StoreUint32(word(b, at), v)
			} else {
				v = atomic.LoadUint32(word(b, at))
			}
		}
		to := time.Now()
		if err != nil {
			return fmt.Errorf("at %d: %w", at, err)
		}
		low, _ := s.bounds(from)
		_, high := s.bounds(to)
		fmt.Fprintln(out, k, string(op), v, low, high)
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
	}
	fmt.Fprintln(out, "end")
	return out.Flush()
}
