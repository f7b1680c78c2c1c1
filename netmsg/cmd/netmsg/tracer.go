package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hurdlab/netmsg/bridge"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// A tracer remembers what has passed, while somebody looks.
type tracer struct {
	watched atomic.Int64 // until when, in nanoseconds since 1970

	mu     sync.Mutex
	events []traced // the last ones, at the place of their number
	next   int64    // the number of the next one
	since  map[rights.ID]time.Time
	wake   chan struct{} // closed with the next event
}

type traced struct {
	bridge.Event
	at   time.Time
	took time.Duration // of answers to requests that were seen
}

const (
	maxTraced  = 4096
	maxAwaited = 4096             // requests whose answers are waited for
	traceTime  = 10 * time.Second // how long after the last look events are remembered
)

// event takes an event of the bridge. It does not wait.
func (t *tracer) event(e bridge.Event) {
	if t.watched.Load() == 0 {
		return
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.UnixNano() > t.watched.Load() {
		t.watched.Store(0)
		t.events, t.since = nil, nil
		return
	}
	x := traced{Event: e, at: now}
	switch {
	case e.Answer:
		if start, ok := t.since[e.Reply]; ok {
			x.took = now.Sub(start)
			delete(t.since, e.Reply)
		}
	case e.Reply != rights.ID{} && len(t.since) < maxAwaited:
		if t.since == nil {
			t.since = map[rights.ID]time.Time{}
		}
		t.since[e.Reply] = now
	}
	if len(t.events) < maxTraced {
		if t.events == nil {
			t.next = (t.next + maxTraced - 1) / maxTraced * maxTraced
		}
		t.events = append(t.events, x)
	} else {
		t.events[t.next%maxTraced] = x
	}
	t.next++
	if t.wake != nil {
		close(t.wake)
		t.wake = nil
	}
}

// maxTraceText bounds what one look returns, in bytes.
const maxTraceText = 32 << 10

// from returns the events from a number on as text, and the number after them. If
// there are none, it returns a channel that is closed when there are.
func (t *tracer) from(cursor int64) (text string, next int64, wait <-chan struct{}) {
	t.watched.Store(time.Now().Add(traceTime).UnixNano())
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.next - int64(len(t.events))
	if cursor < 0 || cursor > t.next {
		cursor = t.next
	}
	var s strings.Builder
	if cursor < first {
		if cursor > 0 {
			fmt.Fprintf(&s, "(%d messages were too many to show)\n", first-cursor)
		}
		cursor = first
	}
	for ; cursor < t.next && s.Len() < maxTraceText; cursor++ {
		e := &t.events[cursor%maxTraced]
		arrow := "<-"
		if e.Out {
			arrow = "->"
		}
		fmt.Fprintf(&s, "%s %s %-12s %-28s %7d bytes", e.at.Format("15:04:05.000000"), arrow, e.Peer, routine(e.ID), e.Bytes)
		if e.took > 0 {
			fmt.Fprintf(&s, " %9.3f ms", float64(e.took.Microseconds())/1000)
		}
		s.WriteByte('\n')
	}
	if s.Len() == 0 {
		if t.wake == nil {
			t.wake = make(chan struct{})
		}
		wait = t.wake
	}
	return s.String(), cursor, wait
}

func routine(id int32) string {
	if name := wire.Routine(id); name != "" {
		return name
	}
	return fmt.Sprintf("message %d", id)
}
