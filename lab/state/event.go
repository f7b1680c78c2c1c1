package state

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// An Event is something that happened to a lab: a line of events.jsonl.
type Event struct {
	Time time.Time `json:"time"`
	// Kind says what it is about.
	Kind Kind `json:"kind"`
	// Node is the node that it is about, if any.
	Node string `json:"node,omitempty"`
	// Step names the step that began, went on or ended (KindStep).
	Step string `json:"step,omitempty"`
	// Phase says which of these.
	Phase Phase `json:"phase,omitempty"`
	// Plan lists the steps to come (KindPlan).
	Plan []string `json:"plan,omitempty"`
	// State is the new state of the node (KindNode) or lab (KindLab).
	State string `json:"state,omitempty"`
	// Text says more, for people.
	Text string `json:"text,omitempty"`
	// Do says what can be done about a failure.
	Do string `json:"do,omitempty"`
}

// Kind says what an event is about.
type Kind string

const (
	// KindPlan gives the steps to come, in order. Steps that are not in a
	// plan may happen nevertheless, such as the download of something that
	// turns out to be missing.
	KindPlan Kind = "plan"
	// KindStep is about a step.
	KindStep Kind = "step"
	// KindNode is a node that has changed its state.
	KindNode Kind = "node"
	// KindTrouble is a line on a console that means trouble.
	KindTrouble Kind = "trouble"
	// KindNet is a change of the network.
	KindNet Kind = "net"
	// KindLab is a lab that has changed its state.
	KindLab Kind = "lab"
)

// Phase says how far a step is.
type Phase string

const (
	Begun  Phase = "begun"
	Noted  Phase = "noted" // goes on; Text says what has been reached
	Done   Phase = "done"
	Failed Phase = "failed" // Text says why
)

// States of a lab, in events of KindLab.
const (
	LabBooting = "booting"
	LabUp      = "up"
	LabFailed  = "failed"
	LabDown    = "down"
)

// A Journal records events. Its methods may be called from several
// goroutines.
type Journal struct {
	mu sync.Mutex
	w  io.Writer
	// watch, if not nil, is called with each event, in order.
	watch func(Event)
}

// NewJournal returns a journal that appends to w and then calls watch, if
// that is not nil.
func NewJournal(w io.Writer, watch func(Event)) *Journal {
	return &Journal{w: w, watch: watch}
}

// Record records an event; its time is now.
func (j *Journal) Record(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Time = time.Now()
	b, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("state: event %+v: %v", e, err)) // it is plain data
	}
	// A disk that is full must not stop a lab; whoever needs the journal
	// will see that it breaks off.
	j.w.Write(append(b, '\n'))
	if j.watch != nil {
		j.watch(e)
	}
}

// Step begins a step; the function it returns ends it. It makes a Journal an
// images.Progress.
func (j *Journal) Step(name string) func(error) {
	j.Record(Event{Kind: KindStep, Step: name, Phase: Begun})
	return func(err error) {
		e := Event{Kind: KindStep, Step: name, Phase: Done}
		if err != nil {
			e.Phase, e.Text = Failed, err.Error()
		}
		j.Record(e)
	}
}

// Logf notes something in the course of the steps.
func (j *Journal) Logf(format string, args ...any) {
	j.Record(Event{Kind: KindStep, Phase: Noted, Text: fmt.Sprintf(format, args...)})
}
