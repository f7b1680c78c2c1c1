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
// Times are in microseconds, of the clock that all ask before and after. An operation was done
// between them.
type soaker struct {
	clock string
	time  time.Duration
	seed  uint64
	words int

	c net.Conn
}

// tick asks for the time, in microseconds. What was done before is earlier than what it
// returns, what is done then is later, whatever the clocks of the nodes do, which miss
// ticks when the host has much to do.
func (s *soaker) tick() (int64, error) {
	if _, err := s.c.Write([]byte{0}); err != nil {
		return 0, err
	}
	var b [8]byte
	if _, err := io.ReadFull(s.c, b[:]); err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b[:])) / 1000, nil
}

func (s *soaker) run(name string) error {
	b, f, err := mapFile(name, true)
	if err != nil {
		return err
	}
	if s.c, err = net.Dial("tcp", s.clock); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(s.seed, 1))
	out := bufio.NewWriter(os.Stdout)
	pages := len(b) / pageSize
	next := uint32(s.seed)<<24 + 1 // values that nobody else writes
	end := time.Now().Add(s.time)
	for time.Now().Before(end) {
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
		from, err := s.tick()
		if err != nil {
			return err
		}
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
		if err != nil {
			return fmt.Errorf("at %d: %w", at, err)
		}
		to, err := s.tick()
		if err != nil {
			return err
		}
		// One that is at the same microsecond as another is at the same time.
		fmt.Fprintln(out, k, string(op), v, from, to+1)
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
	}
	fmt.Fprintln(out, "end")
	return out.Flush()
}
