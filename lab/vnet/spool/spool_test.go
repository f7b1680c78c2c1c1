package spool

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
)

func put(s *Spool, text string) bool {
	return s.Put(len(text), func(b []byte) []byte { return append(b, text...) })
}

func TestSpool(t *testing.T) {
	s := New(10)
	if !put(s, "12345") || !put(s, "6789") {
		t.Fatal("refused what fits")
	}
	if put(s, "ab") {
		t.Error("took 11 bytes of 10")
	}
	if !put(s, "a") {
		t.Error("refused the 10th byte")
	}
	b, ok := s.Take()
	if string(b) != "123456789a" || !ok {
		t.Fatalf("Take: %q, %v", b, ok)
	}
	if put(s, "x") {
		t.Error("took a byte while the consumer has all 10")
	}
	if s.Len() != 10 {
		t.Errorf("Len %d, want 10", s.Len())
	}
	s.Free(4)
	if put(s, "12345") || !put(s, "1234") {
		t.Error("4 bytes are free: 5 must not fit, 4 must")
	}
	if b, _ := s.Take(); string(b) != "1234" || s.Len() != 4 {
		t.Errorf("then Take: %q, Len %d", b, s.Len())
	}
	s.Close()
	if put(s, "x") {
		t.Error("took a byte after Close")
	}
	if b, ok := s.Take(); ok {
		t.Errorf("Take after the end: %q", b)
	}
}

func TestCloseKeepsWhatIsThere(t *testing.T) {
	s := New(10)
	put(s, "rest")
	s.Close()
	if b, ok := s.Take(); string(b) != "rest" || !ok {
		t.Errorf("Take: %q, %v", b, ok)
	}
}

// The next batch is built in the memory of the last one but one.
func TestTakenStaysValid(t *testing.T) {
	s := New(100)
	put(s, "first")
	a, _ := s.Take()
	put(s, "second")
	if string(a) != "first" {
		t.Errorf("what was taken changed to %q", a)
	}
	if b, _ := s.Take(); string(b) != "second" {
		t.Errorf("then %q", b)
	}
}

func TestTakeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(10)
		var got []string
		done := false
		go func() {
			for {
				b, ok := s.Take()
				if !ok {
					done = true
					return
				}
				got = append(got, string(b))
			}
		}()
		for _, text := range []string{"a", "bc"} {
			synctest.Wait()
			put(s, text)
		}
		synctest.Wait()
		if len(got) != 2 || got[0] != "a" || got[1] != "bc" || done {
			t.Errorf("got %q, done %v", got, done)
		}
		s.Close()
		synctest.Wait()
		if !done {
			t.Error("Take does not notice Close")
		}
	})
}

// Many producers: nothing is lost, doubled or out of a producer's order.
func TestConcurrent(t *testing.T) {
	const producers, each = 4, 5000
	s := New(1 << 20)
	for p := range producers {
		go func() {
			for i := range each {
				if !s.Put(5, func(b []byte) []byte {
					return binary.BigEndian.AppendUint32(append(b, byte(p)), uint32(i))
				}) {
					t.Error("refused")
				}
			}
		}()
	}
	var next [producers]uint32
	for n := 0; n < producers*each; {
		b, _ := s.Take()
		for ; len(b) > 0; b = b[5:] {
			if i := binary.BigEndian.Uint32(b[1:]); i != next[b[0]] {
				t.Fatalf("producer %d: record %d, want %d", b[0], i, next[b[0]])
			}
			next[b[0]]++
			n++
		}
	}
}
