// Package bench has the results of benchmarks: series of values and the ratios between
// them, where and of what they were measured; their statistics; their comparison
// with earlier ones; and their presentation as a table, as benchmark text for other
// tools, and as a page.
//
// Absolute times depend on the host, whether the nodes are emulated, and what else runs.
// So what counts are ratios of what was measured in turns: [Ratio]. What the project
// promises of one is its [Goal].
//
// # Place in the house
//
// It knows nothing of labs: bench/measure does, and makes runs. Command hurdlab stands on
// both.
package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Version is that of the JSON.
const Version = 1

// A Run is what was measured at a time.
type Run struct {
	Version int           `json:"version"`
	Began   time.Time     `json:"began"`
	Took    time.Duration `json:"took_ns"`
	Commit  string        `json:"commit,omitempty"`
	Changed bool          `json:"changed,omitempty"` // besides what is in the commit
	Command []string      `json:"command,omitempty"`
	Quick   bool          `json:"quick,omitempty"` // as little as shows that it works
	Host    Host          `json:"host"`
	Parts   []*Part       `json:"parts"`
}

// A Host is the machine that the nodes ran on.
type Host struct {
	CPU      string  `json:"cpu,omitempty"`
	CPUs     int     `json:"cpus"`
	OS       string  `json:"os"`
	MemoryMB int     `json:"memory_mb,omitempty"`
	Load     float64 `json:"load"` // before the run: the average of a minute
}

// A Lab is the nodes that a part was measured on.
type Lab struct {
	Nodes    int    `json:"nodes"`
	Image    string `json:"image"`
	Kernel   string `json:"kernel,omitempty"`
	Accel    string `json:"accel"`
	MemoryMB int    `json:"memory_mb"` // of a node
	Seed     uint64 `json:"seed"`
}

// A Part is what belongs together: a suite's worth of figures.
type Part struct {
	Name   string        `json:"name"`
	Title  string        `json:"title"`
	Lab    Lab           `json:"lab"`
	Took   time.Duration `json:"took_ns"`
	Load   float64       `json:"load"`             // the host's, at the end
	Failed string        `json:"failed,omitempty"` // why there is no more
	Series []*Series     `json:"series"`
	Ratios []*Ratio      `json:"ratios,omitempty"`
	Plots  []*Plot       `json:"plots,omitempty"`
	Times  []*Timeline   `json:"timelines,omitempty"`
	Notes  []string      `json:"notes,omitempty"`
}

// A Series is a figure that was measured several times.
type Series struct {
	// Name begins with what it is, and then has key=value, all separated by
	// slashes: "latency/links=tcp/size=64".
	Name   string    `json:"name"`
	Unit   string    `json:"unit"` // ns, B/s, 1/s, 1
	Values []float64 `json:"values"`
}

// More reports whether more of the unit is better.
func (s *Series) More() bool { return strings.HasSuffix(s.Unit, "/s") }

// A Ratio is a series divided by another one.
type Ratio struct {
	Name string `json:"name"`
	Of   string `json:"of,omitempty"` // the names of the series
	To   string `json:"to,omitempty"`
	// Values are, of series that took turns, the quotients of each turn; otherwise those
	// of each value with the median of the other.
	Values []float64 `json:"values"`
	Goal   *Goal     `json:"goal,omitempty"`
}

// A Goal is what a ratio's median should be: AtLeast, AtMost, or both if not 0.
type Goal struct {
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
}

// AtLeast and AtMost make goals.
func AtLeast(x float64) *Goal { return &Goal{AtLeast: x} }
func AtMost(x float64) *Goal  { return &Goal{AtMost: x} }

// Held reports whether a value is what it should be.
func (g *Goal) Held(x float64) bool {
	return x >= g.AtLeast && (g.AtMost == 0 || x <= g.AtMost)
}

func (g *Goal) String() string {
	var s []string
	if g.AtLeast != 0 {
		s = append(s, fmt.Sprintf("≥ %g", g.AtLeast))
	}
	if g.AtMost != 0 {
		s = append(s, fmt.Sprintf("≤ %g", g.AtMost))
	}
	return strings.Join(s, ", ")
}

// A Plot shows lines.
type Plot struct {
	Title string `json:"title"`
	X     string `json:"x"` // what the axis is, with its unit
	Y     string `json:"y"`
	LogX  bool   `json:"log_x,omitempty"`
	LogY  bool   `json:"log_y,omitempty"`
	Lines []Line `json:"lines"`
}

// A Line is points, in the order of X. Low and High, if there are any, are how far the
// values of a point reach.
type Line struct {
	Name string    `json:"name"`
	X    []float64 `json:"x"`
	Y    []float64 `json:"y"`
	Low  []float64 `json:"low,omitempty"`
	High []float64 `json:"high,omitempty"`
}

// Point adds a point for the values of a series, times a factor.
func (l *Line) Point(x float64, s *Series, factor float64) {
	d := s.Spread()
	l.X, l.Y = append(l.X, x), append(l.Y, d.Median*factor)
	l.Low, l.High = append(l.Low, d.Low*factor), append(l.High, d.High*factor)
}

// A Timeline shows what was done where, and when.
type Timeline struct {
	Title string `json:"title"`
	Unit  string `json:"unit"` // of Begin and End
	Spans []Span `json:"spans"`
}

// A Span is something that was done at a place. Spans of a place may overlap.
type Span struct {
	Place string  `json:"place"`
	What  string  `json:"what"`
	Begin float64 `json:"begin"`
	End   float64 `json:"end"`
}

// Part returns the part with a name, or nil.
func (r *Run) Part(name string) *Part {
	for _, p := range r.Parts {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Add adds a series.
func (p *Part) Add(name, unit string, values ...float64) *Series {
	s := &Series{Name: name, Unit: unit, Values: values}
	p.Series = append(p.Series, s)
	return s
}

// Find returns the series with a name, or nil.
func (p *Part) Find(name string) *Series {
	for _, s := range p.Series {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Divide adds the ratio of two series, which took turns if turns. Without one of them it
// adds nothing and returns nil.
func (p *Part) Divide(name string, of, to *Series, turns bool, g *Goal) *Ratio {
	if of == nil || to == nil || len(of.Values) == 0 || len(to.Values) == 0 {
		return nil
	}
	r := &Ratio{Name: name, Of: of.Name, To: to.Name, Goal: g}
	if turns {
		for i := range min(len(of.Values), len(to.Values)) {
			r.Values = append(r.Values, of.Values[i]/to.Values[i])
		}
	} else {
		m := to.Spread().Median
		for _, x := range of.Values {
			r.Values = append(r.Values, x/m)
		}
	}
	p.Ratios = append(p.Ratios, r)
	return r
}

// Faster adds how many times as fast b is as a: of times a/b, of rates b/a.
func (p *Part) Faster(name string, a, b *Series, turns bool, g *Goal) *Ratio {
	if a != nil && a.More() {
		a, b = b, a
	}
	return p.Divide(name, a, b, turns, g)
}

// A Spread is where values lie.
type Spread struct {
	N                 int
	Median, Low, High float64 // Low and High are the least and the greatest
}

// SpreadOf returns the spread of values; all is NaN of none.
func SpreadOf(values []float64) Spread {
	n := len(values)
	if n == 0 {
		return Spread{0, math.NaN(), math.NaN(), math.NaN()}
	}
	v := slices.Clone(values)
	slices.Sort(v)
	return Spread{n, (v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]}
}

// Spread is that of the series.
func (s *Series) Spread() Spread { return SpreadOf(s.Values) }

// Spread is that of the ratio.
func (r *Ratio) Spread() Spread { return SpreadOf(r.Values) }

// verdict is held or missed, or nothing: figures of a quick run mean nothing.
func (r *Run) verdict(x *Ratio) string {
	switch {
	case x.Goal == nil || r.Quick:
		return ""
	case x.Goal.Held(x.Spread().Median):
		return "held"
	}
	return "missed"
}

// Missed lists the ratios that are not what they should be, as PART: NAME.
func (r *Run) Missed() []string {
	var list []string
	for _, p := range r.Parts {
		for _, x := range p.Ratios {
			if r.verdict(x) == "missed" {
				list = append(list, p.Name+": "+x.Name)
			}
		}
	}
	return list
}

// Write writes the run as JSON.
func (r *Run) Write(w io.Writer) error {
	r.Version = Version
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// Read reads what Write has written.
func Read(rd io.Reader) (*Run, error) {
	r := new(Run)
	if err := json.NewDecoder(rd).Decode(r); err != nil {
		return nil, err
	}
	if r.Version != Version {
		return nil, fmt.Errorf("results of version %d, not %d", r.Version, Version)
	}
	for _, p := range r.Parts {
		if p == nil {
			return nil, errors.New("a part is missing")
		}
		for _, s := range p.Series {
			if s == nil {
				return nil, errors.New("a series is missing")
			}
		}
		for _, x := range p.Ratios {
			if x == nil {
				return nil, errors.New("a ratio is missing")
			}
		}
		for _, x := range p.Plots {
			if x == nil {
				return nil, errors.New("a plot is missing")
			}
		}
		for _, x := range p.Times {
			if x == nil {
				return nil, errors.New("a timeline is missing")
			}
		}
	}
	return r, nil
}

// Format writes a value with a unit for people: three digits.
func Format(x float64, unit string) string {
	type step struct {
		least float64
		unit  string
	}
	steps := map[string][]step{
		"ns":  {{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}},
		"B/s": {{1e9, "GB/s"}, {1e6, "MB/s"}, {1e3, "kB/s"}, {1, "B/s"}},
		"1/s": {{1, "/s"}},
		"1":   {{1, ""}},
	}[unit]
	if steps == nil {
		steps = []step{{1, unit}}
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "–"
	}
	s := steps[len(steps)-1]
	for _, c := range steps {
		if math.Abs(x) >= c.least {
			s = c
			break
		}
	}
	text := digits(x / s.least)
	if s.unit == "" || strings.HasPrefix(s.unit, "/") {
		return text + s.unit
	}
	return text + " " + s.unit
}

// digits writes three digits, without an exponent.
func digits(x float64) string {
	switch a := math.Abs(x); {
	case a == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	case a >= 0.01:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.2g", x)
}
