package fabric

import (
	"encoding/binary"
	"time"
)

const (
	// HeaderLen is the length of an Ethernet header, and the least length of
	// a frame. Virtual NICs do not pad to Ethernet's 60 bytes.
	HeaderLen = 14
	// TagLen is the length of an 802.1Q tag, which a frame may have on top
	// of its header.
	TagLen = 4
	// LearnFor is how long an address stays known after it was last seen.
	LearnFor = 5 * time.Minute
	// MaxLearned is how many addresses are known behind one port. Frames to
	// more than these are still delivered: to every port.
	MaxLearned = 64
)

// A Port is one plug of the fabric, counted from 0.
type Port int

// Config says what a fabric is like.
type Config struct {
	// Seed decides what the faults do.
	Seed uint64
	// MTU is the largest payload of a frame.
	MTU int
	// LinkBytes bounds the frames that one link holds back (for a delay, a
	// rate or reordering).
	LinkBytes int
	// Out is called with every frame that leaves the fabric, from within
	// Input and Advance. It must not keep the frame, nor call the fabric.
	Out func(to Port, frame []byte)
}

// A Fabric is the switch without anything around it. It is not safe for
// concurrent use. Times are durations since any fixed moment; they must not
// run backwards.
type Fabric struct {
	cfg   Config
	ports []*port
	// links holds link from -> to at [from][to]; nil until it is used.
	links [][]*link
	table map[uint64]*station
	queue schedule
}

type port struct {
	name     string
	spared   bool
	group    int // of the partition; 0 is none
	isolated bool
	learned  int // entries of the table
	counters PortCounters
}

// A station is what is known of one hardware address.
type station struct {
	port Port
	seen time.Duration
}

// PortCounters counts the frames at one port. In is what its node sent, Out
// what was handed out for it.
type PortCounters struct {
	InFrames  uint64 `json:"in_frames"`
	InBytes   uint64 `json:"in_bytes"`
	OutFrames uint64 `json:"out_frames"`
	OutBytes  uint64 `json:"out_bytes"`
	// Frames that were dropped as they came in: shorter than an Ethernet
	// header, longer than the MTU allows, or from a group address.
	Short    uint64 `json:"short,omitempty"`
	Oversize uint64 `json:"oversize,omitempty"`
	Invalid  uint64 `json:"invalid,omitempty"`
	// Filtered are frames for an address behind the same port.
	Filtered uint64 `json:"filtered,omitempty"`
}

// New returns a fabric without ports.
func New(cfg Config) *Fabric {
	return &Fabric{cfg: cfg, table: make(map[uint64]*station)}
}

// MaxFrame is the length of the longest frame that passes.
func (f *Fabric) MaxFrame() int { return f.cfg.MTU + HeaderLen + TagLen }

// AddPort adds a port. Its name only serves to tell its links from others, on
// the seed. A spared port keeps its links through every partition and
// isolation in which it is not named itself.
func (f *Fabric) AddPort(name string, spared bool) Port {
	f.ports = append(f.ports, &port{name: name, spared: spared})
	for i := range f.links {
		f.links[i] = append(f.links[i], nil)
	}
	f.links = append(f.links, make([]*link, len(f.ports)))
	return Port(len(f.ports) - 1)
}

// Input takes a frame that arrives at a port, and first does what was due
// until now. The frame stays the caller's.
func (f *Fabric) Input(now time.Duration, from Port, frame []byte) {
	f.Advance(now)
	in := f.ports[from]
	in.counters.InFrames++
	in.counters.InBytes += uint64(len(frame))
	switch {
	case len(frame) < HeaderLen:
		in.counters.Short++
		return
	case len(frame) > f.MaxFrame():
		in.counters.Oversize++
		return
	case frame[6]&1 != 0:
		in.counters.Invalid++
		return
	}
	f.learn(now, from, address(frame[6:12]))
	if frame[0]&1 == 0 {
		if to, ok := f.lookup(now, address(frame[:6])); ok {
			if to == from {
				in.counters.Filtered++
				return
			}
			f.link(from, to).offer(now, frame)
			return
		}
	}
	for to := range f.ports {
		if Port(to) != from {
			f.link(from, Port(to)).offer(now, frame)
		}
	}
}

// address packs a hardware address into a number, which maps look up faster.
func address(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

func (f *Fabric) lookup(now time.Duration, a uint64) (Port, bool) {
	s := f.table[a]
	if s == nil || now-s.seen > LearnFor {
		return 0, false
	}
	return s.port, true
}

func (f *Fabric) learn(now time.Duration, from Port, a uint64) {
	s := f.table[a]
	if s == nil || s.port != from {
		// The bound is per port, so that a node which invents addresses
		// cannot make the switch forget the others.
		if f.ports[from].learned >= MaxLearned {
			f.forget(now, from)
			if f.ports[from].learned >= MaxLearned {
				return
			}
		}
		f.ports[from].learned++
		if s == nil {
			s = new(station)
			f.table[a] = s
		} else {
			f.ports[s.port].learned--
		}
		s.port = from
	}
	s.seen = now
}

// forget removes the outdated addresses of a port.
func (f *Fabric) forget(now time.Duration, p Port) {
	for a, s := range f.table {
		if s.port == p && now-s.seen > LearnFor {
			delete(f.table, a)
			f.ports[p].learned--
		}
	}
}

// Next tells when Advance has something to do.
func (f *Fabric) Next() (at time.Duration, ok bool) {
	if len(f.queue.events) == 0 {
		return 0, false
	}
	return f.queue.events[0].at, true
}

// Advance lets time pass until now: it puts out the frames that were held
// back until then.
func (f *Fabric) Advance(now time.Duration) {
	for {
		at, ok := f.Next()
		if !ok || at > now {
			return
		}
		e := f.queue.pop()
		// An event happens at its own time, not at the later time at which
		// it is noticed, so a late caller changes no outcome.
		if e.held != nil {
			e.link.expire(e.at, e.held)
		} else {
			e.link.arrive(e.frame)
		}
	}
}

// link returns the link between two ports.
func (f *Fabric) link(from, to Port) *link {
	l := f.links[from][to]
	if l == nil {
		l = &link{fabric: f, to: to, key: linkKey(f.cfg.Seed, f.ports[from].name, f.ports[to].name)}
		l.severed = f.severed(from, to)
		f.links[from][to] = l
	}
	return l
}

// SetFaults replaces the faults of the link from -> to. Frames that it holds
// back already keep their time.
func (f *Fabric) SetFaults(from, to Port, faults Faults) {
	f.link(from, to).faults = faults
}

// Faults returns the faults of the link from -> to. A partition or isolation
// does not show in them.
func (f *Fabric) Faults(from, to Port) Faults {
	if l := f.links[from][to]; l != nil {
		return l.faults
	}
	return Faults{}
}

// Partition cuts the links between ports of different groups; ports in no
// group form one more, but for the spared ones, which keep their links. It
// replaces the partition before; no groups at all end it.
func (f *Fabric) Partition(groups [][]Port) {
	for _, p := range f.ports {
		p.group = 0
	}
	for i, g := range groups {
		for _, p := range g {
			f.ports[p].group = i + 1
		}
	}
	f.resever()
}

// Isolate cuts the links between a port and all others but the spared ones,
// or ends that.
func (f *Fabric) Isolate(p Port, isolated bool) {
	f.ports[p].isolated = isolated
	f.resever()
}

// Isolated tells whether the port is isolated.
func (f *Fabric) Isolated(p Port) bool { return f.ports[p].isolated }

func (f *Fabric) severed(from, to Port) bool {
	a, b := f.ports[from], f.ports[to]
	if (a.isolated && !b.spared) || (b.isolated && !a.spared) {
		return true
	}
	if a.group == b.group {
		return false
	}
	return !(a.spared && a.group == 0 || b.spared && b.group == 0)
}

func (f *Fabric) resever() {
	for from, row := range f.links {
		for to, l := range row {
			if l != nil {
				l.severed = f.severed(Port(from), Port(to))
			}
		}
	}
}

// PortCounters returns what was counted at a port.
func (f *Fabric) PortCounters(p Port) PortCounters { return f.ports[p].counters }

// LinkCounters returns what was counted on a link.
func (f *Fabric) LinkCounters(from, to Port) LinkCounters {
	l := f.links[from][to]
	if l == nil {
		return LinkCounters{}
	}
	return l.counters
}

// schedule is a heap of what is to happen, by time, then by order of entry.
type schedule struct {
	events []event
	serial uint64
}

type event struct {
	at     time.Duration
	serial uint64
	link   *link
	frame  []byte // to deliver, unless
	held   *held  // this has waited long enough for others to pass
}

func (e event) before(o event) bool {
	return e.at < o.at || e.at == o.at && e.serial < o.serial
}

func (s *schedule) push(e event) {
	s.serial++
	e.serial = s.serial
	s.events = append(s.events, e)
	for i := len(s.events) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s.events[i].before(s.events[parent]) {
			break
		}
		s.events[i], s.events[parent] = s.events[parent], s.events[i]
		i = parent
	}
}

func (s *schedule) pop() event {
	top, last := s.events[0], len(s.events)-1
	s.events[0] = s.events[last]
	s.events[last] = event{} // let go of its frame
	s.events = s.events[:last]
	for i := 0; ; {
		least := i
		for _, c := range [2]int{2*i + 1, 2*i + 2} {
			if c < last && s.events[c].before(s.events[least]) {
				least = c
			}
		}
		if least == i {
			return top
		}
		s.events[i], s.events[least] = s.events[least], s.events[i]
		i = least
	}
}
