package fabric

import (
	"fmt"
	"time"
)

// Faults is what a link does to the frames that pass over it. The zero value
// is a perfect link: every frame, at once, in order.
//
// A frame meets the faults in the order of the fields: it is lost, or
// corrupted, then perhaps sent twice, then held back behind later frames,
// then waits for its turn at the rate, then for the delay.
type Faults struct {
	// Cut drops every frame, also those that the link still held back.
	Cut bool `json:"cut,omitempty"`
	// Loss is the probability, 0 to 1, that a frame is dropped.
	Loss float64 `json:"loss,omitempty"`
	// Corrupt is the probability that one bit of a frame is flipped,
	// somewhere behind its Ethernet header.
	Corrupt float64 `json:"corrupt,omitempty"`
	// Duplicate is the probability that a frame is delivered twice.
	Duplicate float64 `json:"duplicate,omitempty"`
	// Reorder is the probability that a frame lets one to four later frames
	// of the link pass. It waits for them ReorderHold at most.
	Reorder float64 `json:"reorder,omitempty"`
	// Rate limits the link, in bytes of frames a second; 0 is no limit.
	// Frames that would wait longer than RateBacklog allows are dropped.
	Rate int64 `json:"rate_bytes_per_s,omitempty"`
	// Delay is added to every frame, at most MaxDelay.
	Delay time.Duration `json:"delay_ns,omitempty"`
	// Jitter varies Delay by up to this much either way, evenly. It never
	// reorders frames, nor makes a delay negative.
	Jitter time.Duration `json:"jitter_ns,omitempty"`
}

// MaxDelay bounds Faults.Delay and Faults.Jitter.
const MaxDelay = time.Minute

// Validate tells whether the values make sense.
func (f Faults) Validate() error {
	for _, p := range []struct {
		name  string
		value float64
	}{{"loss", f.Loss}, {"corrupt", f.Corrupt}, {"duplicate", f.Duplicate}, {"reorder", f.Reorder}} {
		if !(p.value >= 0 && p.value <= 1) { // also refuses NaN
			return fmt.Errorf("%s is a probability: want 0 to 1, have %v", p.name, p.value)
		}
	}
	if f.Rate < 0 {
		return fmt.Errorf("rate: want bytes a second, or 0 for no limit; have %d", f.Rate)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"delay", f.Delay}, {"jitter", f.Jitter}} {
		if d.value < 0 || d.value > MaxDelay {
			return fmt.Errorf("%s: want 0 to %v, have %v", d.name, MaxDelay, d.value)
		}
	}
	return nil
}
