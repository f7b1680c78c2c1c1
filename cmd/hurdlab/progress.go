package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"hurdlab/lab/state"
)

// A progress shows the steps of a start: on a terminal those that run, with
// the time they have taken so far, below those that are over; elsewhere a
// line whenever something has happened.
type progress struct {
	w     io.Writer
	width int // of the terminal; 0 if there is none
	began time.Time
	stop  chan struct{}
	over  chan struct{}

	mu      sync.Mutex
	pending []string // the steps of the plan that have not begun
	running []*step
	drawn   int // lines on the terminal that will be drawn again
}

// A step is a step that runs.
type step struct {
	name, note string
	began      time.Time
}

// redraw is how often times are brought up to date on a terminal.
const redraw = 100 * time.Millisecond

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, began: time.Now(), stop: make(chan struct{}), over: make(chan struct{})}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			p.width = width
		}
	}
	go p.tick()
	return p
}

// close ends the showing. What ran is no longer shown.
func (p *progress) close() {
	close(p.stop)
	<-p.over
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running, p.pending = nil, nil
	p.draw(nil)
}

func (p *progress) tick() {
	defer close(p.over)
	if p.width == 0 {
		return
	}
	t := time.NewTicker(redraw)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.mu.Lock()
			p.draw(nil)
			p.mu.Unlock()
		case <-p.stop:
			return
		}
	}
}

// event shows an event.
func (p *progress) event(e state.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draw(p.update(e))
}

// update changes the steps and returns the lines to show for good.
func (p *progress) update(e state.Event) []string {
	at := func(format string, args ...any) []string {
		return []string{fmt.Sprintf("[%6.1fs] ", e.Time.Sub(p.began).Seconds()) + fmt.Sprintf(format, args...)}
	}
	i := -1
	for k, s := range p.running {
		if s.name == e.Step {
			i = k
		}
	}
	switch {
	case e.Kind == state.KindPlan:
		p.pending = e.Plan
	case e.Kind == state.KindTrouble:
		return at("%s: console: %s", e.Node, e.Text)
	case e.Kind != state.KindStep:
	case e.Phase == state.Begun:
		p.running = append(p.running, &step{name: e.Step, began: e.Time})
		for k, name := range p.pending {
			if name == e.Step {
				p.pending = append(p.pending[:k:k], p.pending[k+1:]...)
				break
			}
		}
		if p.width == 0 {
			return at("%s", e.Step)
		}
	case e.Phase == state.Noted && i >= 0:
		p.running[i].note = e.Text
		if p.width == 0 {
			return at("%s: %s", e.Step, e.Text)
		}
	case e.Phase == state.Noted:
		return at("%s", e.Text)
	case i >= 0:
		s := p.running[i]
		p.running = append(p.running[:i:i], p.running[i+1:]...)
		took := e.Time.Sub(s.began).Seconds()
		if e.Phase == state.Failed {
			return at("%s: FAILED after %.1f s: %s", e.Step, took, e.Text)
		}
		return at("%s: done (%.1f s)", e.Step, took)
	}
	return nil
}

// maxRunning is how many running steps are shown at most.
const maxRunning = 12

// draw writes lines for good and, on a terminal, below them what runs.
func (p *progress) draw(lines []string) {
	var b strings.Builder
	if p.width > 0 && p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", p.drawn)
	}
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	if p.width > 0 {
		live := p.live(time.Now())
		p.drawn = len(live)
		for _, l := range live {
			b.WriteString(l + "\n")
		}
	}
	if b.Len() > 0 {
		io.WriteString(p.w, b.String())
	}
}

// live is the lines for what runs at the moment.
func (p *progress) live(now time.Time) []string {
	var lines []string
	for k, s := range p.running {
		if k == maxRunning {
			lines = append(lines, fmt.Sprintf("           ... and %d more", len(p.running)-k))
			break
		}
		line := fmt.Sprintf("%8.1fs   %s", now.Sub(s.began).Seconds(), s.name)
		if s.note != "" {
			line += ": " + s.note
		}
		lines = append(lines, line)
	}
	if len(p.pending) > 0 {
		lines = append(lines, "           to come: "+strings.Join(p.pending, ", "))
	}
	for k := range lines {
		if r := []rune(lines[k]); len(r) >= p.width {
			lines[k] = string(r[:max(0, p.width-1)])
		}
	}
	return lines
}
