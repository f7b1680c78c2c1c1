package fabric

import (
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"time"
)

const (
	// ReorderHold is how long a frame waits at most for others to pass.
	ReorderHold = 20 * time.Millisecond
	// reorderMax is how many frames pass it at most.
	reorderMax = 4
	// frameCost is what a frame that is held back counts for beyond its own
	// length, so that a flood of tiny ones is bounded too.
	frameCost = 128
	// rateBacklogTime and rateBacklogFrames: see RateBacklog.
	rateBacklogTime   = 50 * time.Millisecond
	rateBacklogFrames = 16
)

// RateBacklog is how long a frame waits at most for a link of this rate, in
// bytes a second: 50 ms, or 16 of the largest frames if these take longer.
// Less would starve TCP on a slow link; more would only turn a limit of rate
// into one of delay.
func RateBacklog(rate int64, maxFrame int) time.Duration {
	return max(rateBacklogTime, transmission(rateBacklogFrames*maxFrame, rate))
}

func transmission(bytes int, rate int64) time.Duration {
	return time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
}

// LinkCounters counts the frames of one link. At any time
//
//	Offered + Duplicated = Delivered + Cut + Lost + RateDropped + Overflow + Waiting
type LinkCounters struct {
	// Offered are the frames that were to pass.
	Offered uint64 `json:"offered"`
	// Delivered are the frames that passed, and their bytes.
	Delivered      uint64 `json:"delivered"`
	DeliveredBytes uint64 `json:"delivered_bytes"`
	// Cut are the frames that met a cut, a partition or an isolation.
	Cut uint64 `json:"cut,omitempty"`
	// Lost, Corrupted, Duplicated and Reordered are the frames that met
	// these faults.
	Lost       uint64 `json:"lost,omitempty"`
	Corrupted  uint64 `json:"corrupted,omitempty"`
	Duplicated uint64 `json:"duplicated,omitempty"`
	Reordered  uint64 `json:"reordered,omitempty"`
	// RateDropped are frames that would have waited too long for the rate.
	RateDropped uint64 `json:"rate_dropped,omitempty"`
	// Overflow are frames that the link had no room to hold back.
	Overflow uint64 `json:"overflow,omitempty"`
	// Waiting are the frames that the link holds back now.
	Waiting uint64 `json:"waiting,omitempty"`
}

type link struct {
	fabric *Fabric
	to     Port
	// key is what tells its random numbers from those of other links.
	key    uint64
	faults Faults
	// severed is set while a partition or isolation lies between the ports.
	severed bool

	held    []*held       // waiting for others to pass, in order of arrival
	free    time.Duration // when the link has sent what it has, at its rate
	last    time.Duration // when the last frame under way arrives
	transit int           // frames under way
	bytes   int           // what the frames held or under way take up

	counters LinkCounters
}

// A held frame waits for others to pass it.
type held struct {
	frame  []byte
	copies int
	jitter float64
	pass   int // how many frames are still to pass
}

// The random numbers of a frame, by purpose. The order is part of what a seed
// means.
const (
	drawLoss = iota
	drawCorrupt
	drawCorruptBit
	drawDuplicate
	drawReorder
	drawReorderBy
	drawJitter
)

func linkKey(seed uint64, from, to string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, strconv.Quote(from)+strconv.Quote(to))
	return mix(h.Sum64() + mix(seed))
}

// mix is the finalizer of splitmix64: every bit of x changes half of the
// result's.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draw returns the random number of one frame for one purpose.
func (l *link) draw(frame uint64, purpose uint64) uint64 {
	return mix(mix(l.key^frame) + purpose)
}

// chance is draw as a number in [0, 1).
func (l *link) chance(frame uint64, purpose uint64) float64 {
	return float64(l.draw(frame, purpose)>>11) / (1 << 53)
}

// offer puts a frame on the link.
func (l *link) offer(now time.Duration, frame []byte) {
	index := l.counters.Offered
	l.counters.Offered++
	if l.severed || l.faults.Cut {
		l.counters.Cut++
		return
	}
	if l.faults == (Faults{}) && l.transit == 0 && len(l.held) == 0 {
		l.deliver(frame)
		return
	}
	f := &l.faults
	if l.chance(index, drawLoss) < f.Loss {
		l.counters.Lost++
		return
	}
	if l.chance(index, drawCorrupt) < f.Corrupt && len(frame) > HeaderLen {
		l.counters.Corrupted++
		frame = slices.Clone(frame)
		bit := l.draw(index, drawCorruptBit) % uint64(8*(len(frame)-HeaderLen))
		frame[HeaderLen+bit/8] ^= 1 << (bit % 8)
	}
	copies := 1
	if l.chance(index, drawDuplicate) < f.Duplicate {
		l.counters.Duplicated++
		copies = 2
	}
	jitter := 2*l.chance(index, drawJitter) - 1

	for _, h := range l.held {
		h.pass--
	}
	if l.chance(index, drawReorder) < f.Reorder {
		l.hold(now, frame, copies, jitter, 1+int(l.draw(index, drawReorderBy)%reorderMax))
	} else {
		l.transmit(now, frame, copies, jitter)
	}
	if len(l.held) > 0 {
		l.release(now)
	}
}

// hold keeps a frame back until others have passed.
func (l *link) hold(now time.Duration, frame []byte, copies int, jitter float64, pass int) {
	if !l.room(copies, frame) {
		l.counters.Overflow += uint64(copies)
		return
	}
	l.counters.Reordered++
	l.counters.Waiting += uint64(copies)
	l.bytes += cost(copies, frame)
	h := &held{frame: slices.Clone(frame), copies: copies, jitter: jitter, pass: pass}
	l.held = append(l.held, h)
	l.fabric.queue.push(event{at: now + ReorderHold, link: l, held: h})
}

// release sends the held frames that enough others have passed.
func (l *link) release(now time.Duration) {
	keep := l.held[:0]
	for _, h := range l.held {
		if h.pass > 0 {
			keep = append(keep, h)
		} else {
			l.letGo(now, h)
		}
	}
	clear(l.held[len(keep):])
	l.held = keep
}

// expire sends a held frame, unless it has been sent already, that not enough
// others have passed in time.
func (l *link) expire(now time.Duration, h *held) {
	h.pass = 0
	l.release(now)
}

func (l *link) letGo(now time.Duration, h *held) {
	l.counters.Waiting -= uint64(h.copies)
	l.bytes -= cost(h.copies, h.frame)
	l.transmit(now, h.frame, h.copies, h.jitter)
	h.frame = nil // its event may stay for a while
}

// transmit sends a frame as often as it says, through the rate and the delay.
// jitter is in [-1, 1).
func (l *link) transmit(now time.Duration, frame []byte, copies int, jitter float64) {
	f := &l.faults
	for range copies {
		at := now
		if f.Rate > 0 {
			at = max(now, l.free)
			if at-now > RateBacklog(f.Rate, l.fabric.MaxFrame()) {
				l.counters.RateDropped++
				continue
			}
			at += transmission(len(frame), f.Rate)
			l.free = at
		}
		at += max(0, f.Delay+time.Duration(jitter*float64(f.Jitter)))
		// Frames stay in order, also when a delay gets shorter.
		if l.transit > 0 {
			at = max(at, l.last)
		}
		if at <= now && l.transit == 0 {
			l.deliver(frame)
			continue
		}
		if !l.room(1, frame) {
			l.counters.Overflow++
			continue
		}
		l.last = at
		l.transit++
		l.counters.Waiting++
		l.bytes += cost(1, frame)
		l.fabric.queue.push(event{at: at, link: l, frame: slices.Clone(frame)})
	}
}

func cost(copies int, frame []byte) int { return copies * (len(frame) + frameCost) }

// room tells whether the link may hold back copies of frame.
func (l *link) room(copies int, frame []byte) bool {
	return l.bytes+cost(copies, frame) <= l.fabric.cfg.LinkBytes
}

// arrive delivers a frame that was under way.
func (l *link) arrive(frame []byte) {
	l.transit--
	l.counters.Waiting--
	l.bytes -= cost(1, frame)
	l.deliver(frame)
}

// deliver puts a frame out of the fabric, unless the link was cut while the
// frame was under way.
func (l *link) deliver(frame []byte) {
	if l.severed || l.faults.Cut {
		l.counters.Cut++
		return
	}
	l.counters.Delivered++
	l.counters.DeliveredBytes += uint64(len(frame))
	out := l.fabric.ports[l.to]
	out.counters.OutFrames++
	out.counters.OutBytes += uint64(len(frame))
	l.fabric.cfg.Out(l.to, frame)
}
