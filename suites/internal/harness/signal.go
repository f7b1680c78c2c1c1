package harness

import (
	"bytes"
	"sync"
)

// A Signal is a writer that waits for a text: Seen is closed once it has been
// written. It is how a spec waits for a program that goes on.
type Signal struct {
	// Seen is closed when the text has appeared.
	Seen <-chan struct{}

	mu   sync.Mutex
	text []byte
	tail []byte
	seen chan struct{} // nil once closed
}

// NewSignal returns a Signal that waits for text.
func NewSignal(text string) *Signal {
	c := make(chan struct{})
	return &Signal{Seen: c, seen: c, text: []byte(text)}
}

func (s *Signal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		return len(p), nil
	}
	s.tail = append(s.tail, p...)
	if bytes.Contains(s.tail, s.text) {
		close(s.seen)
		s.seen, s.tail = nil, nil
		return len(p), nil
	}
	if n := len(s.tail) - len(s.text) + 1; n > 0 {
		s.tail = s.tail[n:]
	}
	return len(p), nil
}
