package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/perf/benchfmt"
)

// sample is a run with all there can be in one.
func sample(factor float64) *Run {
	p := &Part{Name: "mpi", Title: "messages", Lab: Lab{Nodes: 2, Image: "mach", Accel: "tcg", MemoryMB: 256, Seed: 5}, Load: 2}
	tcp := p.Add("latency/links=tcp/size=64", "ns", 8e6, 9e6, 7e6, 8e6, 8.5e6, 8.1e6)
	msg := p.Add("latency/links=netmsg/size=64", "ns", 10e6*factor, 10.5e6*factor, 9e6*factor, 11e6*factor, 9.5e6*factor, 10.1e6*factor)
	rate := p.Add("bandwidth/links=tcp/size=65536", "B/s", 2e6, 2.5e6)
	p.Divide("latency: netmsg to TCP", msg, tcp, true, AtMost(1.5))
	p.Faster("a rate", rate, rate, true, AtLeast(1.6))
	l := Line{Name: "tcp & <co>"}
	l.Point(64, tcp, 1e-6)
	l.Point(0, tcp, 1e-6)
	l.Point(65536, msg, 1e-6)
	p.Plots = []*Plot{{Title: "latency <by size>", X: "bytes", Y: "ms", LogX: true, LogY: true, Lines: []Line{l}}, {Title: "empty"}}
	p.Times = []*Timeline{{Title: "a build <here>", Unit: "s", Spans: []Span{{"node2", "encoding/csv", 0.5, 20}, {"node1", "a & b", 0, 3}, {"node1", "c", 1, 2.5}, {"node1", "d", 3, 9}}}, {Title: "empty"}}
	p.Notes = []string{"a note"}
	return &Run{Began: time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC), Took: time.Minute, Commit: "abc", Changed: true,
		Host: Host{CPU: "a processor", CPUs: 2, OS: "linux", MemoryMB: 1000}, Parts: []*Part{p, {Name: "fs", Title: "files", Failed: "no <disk>"}}}
}

func TestReadWhatWasWritten(t *testing.T) {
	r := sample(1)
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Read(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, r) {
		t.Errorf("%+v\nnot\n%+v", got, r)
	}
	if _, err := Read(strings.NewReader(`{"version": 99}`)); err == nil {
		t.Error("another version was read")
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	_ = sample(1).Write(&b)
	f.Add(b.Bytes())
	f.Add([]byte(`{"version":1,"parts":[{"name":"a","timelines":[{"spans":[{"place":"x","end":1},{"begin":2},{"place":"x","begin":-1,"end":3}]}],"plots":[{"lines":[{"x":[1,2],"y":[1]}]}],"series":[{"name":"x","values":[]}],"ratios":[{}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		// Whatever was read can be shown.
		if err := errors.Join(r.Table(io.Discard, r), r.HTML(io.Discard, r)); err != nil {
			t.Error(err)
		}
	})
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{[]float64{3}, Spread{1, 3, 3, 3}},
		{[]float64{9, 1, 5}, Spread{3, 5, 1, 9}},
		{[]float64{4, 1, 2, 8}, Spread{4, 3, 1, 8}},
	} {
		if got := SpreadOf(c.values); got != c.want {
			t.Errorf("%v: %v", c.values, got)
		}
	}
	if s := SpreadOf(nil); !math.IsNaN(s.Median) {
		t.Error(s)
	}
}

func TestRatios(t *testing.T) {
	p := new(Part)
	slow, fast := p.Add("slow", "ns", 10, 20, 30), p.Add("fast", "ns", 5, 10, 10)
	if r := p.Faster("x", slow, fast, true, AtLeast(1.6)); !reflect.DeepEqual(r.Values, []float64{2, 2, 3}) || !r.Goal.Held(r.Spread().Median) {
		t.Error(r)
	}
	if r := p.Divide("x", slow, fast, false, AtMost(1.5)); !reflect.DeepEqual(r.Values, []float64{1, 2, 3}) || r.Goal.Held(r.Spread().Median) {
		t.Error(r)
	}
	low, high := p.Add("low", "1/s", 10), p.Add("high", "1/s", 40)
	if r := p.Faster("x", low, high, true, nil); r.Values[0] != 4 {
		t.Error(r)
	}
	if r := p.Divide("x", low, nil, true, nil); r != nil {
		t.Error(r)
	}
	if m := sample(1).Missed(); len(m) != 1 || m[0] != "mpi: a rate" {
		t.Error(m)
	}
}

func TestCompare(t *testing.T) {
	c := Compare(sample(1).Parts[0], sample(2).Parts[0])
	if m := c["latency/links=netmsg/size=64"]; !m.Significant || !strings.HasPrefix(m.String(), "+100 %") {
		t.Errorf("%+v %v", m, m)
	}
	if m := c["latency/links=tcp/size=64"]; m.Significant || !strings.HasPrefix(m.String(), "~") {
		t.Errorf("%+v %v", m, m)
	}
	if m := c["bandwidth/links=tcp/size=65536"]; !m.Few || !strings.HasPrefix(m.String(), "?") {
		t.Errorf("%+v %v", m, m)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := sample(2).Table(&b, sample(1)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`latency: netmsg to TCP +2\.\d+ +.* ≤ 1\.5 +MISSED +1\.2\d +\+\d+ %`,
		`latency/links=tcp/size=64 +8\.05 ms +7\.00 ms +9\.00 ms +6 +8\.05 ms +~`,
		`FAILED: no <disk>`, `abc and changes`,
	} {
		if !regexp.MustCompile(want).MatchString(b.String()) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := sample(1).Text(&b); err != nil {
		t.Fatal(err)
	}
	n := 0
	for r := benchfmt.NewReader(&b, "x"); r.Scan(); {
		switch x := r.Result().(type) {
		case *benchfmt.Result:
			if n == 0 {
				if v, ok := x.Value("sec/op"); !ok || v != 8e-3 || x.Name.String() != "Mpi/latency/links=tcp/size=64" || x.GetConfig("image") != "mach" {
					t.Errorf("%s %v", x.Name, x.Values)
				}
			}
			n++
		case *benchfmt.SyntaxError:
			t.Error(x)
		}
	}
	if n != 6+6+2+6+2 {
		t.Errorf("%d results", n)
	}
}

// A quick run's figures mean nothing: it does not say that a goal was held or missed.
func TestQuick(t *testing.T) {
	r := sample(2)
	if len(r.Missed()) == 0 {
		t.Fatal("nothing is missed")
	}
	r.Quick = true
	var b strings.Builder
	if err := errors.Join(r.Table(&b, nil), r.HTML(&b, nil)); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); len(r.Missed()) > 0 || strings.Contains(s, "MISSED") || strings.Contains(s, ": missed") || strings.Contains(s, ": held") || !strings.Contains(s, "≤ 1.5") {
		t.Error(s)
	}
}

func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := sample(2).HTML(&b, sample(1)); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"latency &lt;by size&gt;", "no &lt;disk&gt;", `class="n missed"`, "tcp &amp; &lt;co&gt;", "a note", "<svg"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	// Nothing is fetched from anywhere.
	if bad := regexp.MustCompile(`(src|href)=|url\(|@import`).FindString(page); bad != "" {
		t.Errorf("%s", bad)
	}
}

// Plots are well-formed, whatever is in them.
func TestSVG(t *testing.T) {
	for _, p := range append(sample(1).Parts[0].Plots,
		&Plot{Title: "one point", Lines: []Line{{X: []float64{3}, Y: []float64{0}}}},
		&Plot{Title: "linear", Lines: []Line{{Name: "a", X: []float64{0, 1, 2}, Y: []float64{5, math.NaN(), 90}}}},
		&Plot{Title: "nothing that can be shown", LogY: true, Lines: []Line{{X: []float64{1}, Y: []float64{0}}}},
	) {
		wellFormed(t, p.Title, p.SVG())
	}
	for _, x := range sample(1).Parts[0].Times {
		wellFormed(t, x.Title, x.SVG())
	}
	if dir := os.Getenv("BENCH_SVG"); dir != "" {
		for i, p := range sample(1).Parts[0].Plots {
			if err := os.WriteFile(dir+"/"+string(rune('a'+i))+".svg", []byte(p.SVG()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func wellFormed(t *testing.T, title, svg string) {
	t.Helper()
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("%s: %s", title, svg)
	}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%s: %v\n%s", title, err, svg)
		}
	}
}

// What is done at the same time at a place is in lanes of its own, below each other.
func TestTimeline(t *testing.T) {
	svg := sample(1).Parts[0].Times[0].SVG()
	y := make(map[string]string)
	for _, m := range regexp.MustCompile(`<title>([^<]*), [0-9.]+ s from [0-9.]+ on</title><rect x="[0-9.]+" y="([0-9.]+)"`).FindAllStringSubmatch(svg, -1) {
		y[m[1]] = m[2]
	}
	a, c, d, other := y["node1: a &amp; b"], y["node1: c"], y["node1: d"], y["node2: encoding/csv"]
	if len(y) != 4 || a == c || a != d || other == a || other == c {
		t.Errorf("%v\n%s", y, svg)
	}
}

// The ends of an axis are ticks.
func TestRound(t *testing.T) {
	for _, x := range []axis{{log: true, from: 310, to: 480}, {log: true, from: 0.003, to: 7}, {log: true, from: 2000, to: 2000.5}, {from: 0, to: 69}, {from: -3, to: 0.7}, {from: 0, to: 1e-7}} {
		r := x
		r.round()
		ticks := r.ticks()
		if n := len(ticks); n < 2 || r.from > x.from || r.to < x.to || math.Abs(ticks[0]/r.from-1) > 1e-9 && ticks[0] != r.from || math.Abs(ticks[n-1]/r.to-1) > 1e-9 {
			t.Errorf("%+v: %+v, %v", x, r, ticks)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		x    float64
		unit string
		want string
	}{{8.05e6, "ns", "8.05 ms"}, {2.5e6, "B/s", "2.50 MB/s"}, {1234, "1/s", "1234/s"}, {1.5, "1", "1.50"}, {0, "ns", "0 ns"}, {math.NaN(), "ns", "–"}, {0.001, "1", "0.001"}} {
		if got := Format(c.x, c.unit); got != c.want {
			t.Errorf("%g %s: %q, not %q", c.x, c.unit, got, c.want)
		}
	}
}
