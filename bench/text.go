package bench

import (
	"fmt"
	"io"
	"path"
	"strings"
	"text/tabwriter"
	"unicode"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
)

// facts are what has to be known of a run to believe it, as name and value.
func (r *Run) facts() [][2]string {
	commit := r.Commit
	if r.Changed {
		commit += " and changes"
	}
	host := fmt.Sprintf("%d processors", r.Host.CPUs)
	if r.Host.CPU != "" {
		host += " (" + r.Host.CPU + ")"
	}
	facts := [][2]string{
		{"began", r.Began.UTC().Format("2006-01-02 15:04:05 UTC")},
		{"took", r.Took.Round(1e9).String()},
		{"commit", commit},
		{"host", fmt.Sprintf("%s, %d MB, %s, load %.2f before", host, r.Host.MemoryMB, r.Host.OS, r.Host.Load)},
	}
	if len(r.Command) > 0 {
		facts = append(facts, [2]string{"command", strings.Join(append([]string{path.Base(r.Command[0])}, r.Command[1:]...), " ")})
	}
	if r.Quick {
		facts = append(facts, [2]string{"quick", "as little as shows that it works: the figures mean nothing"})
	}
	return facts
}

func (l Lab) String() string {
	s := fmt.Sprintf("%d nodes of %d MB, image %s", l.Nodes, l.MemoryMB, l.Image)
	if l.Kernel != "" {
		s += ", kernel " + l.Kernel
	}
	return s + ", " + l.Accel
}

// Table writes a run for people to read. old, if not nil, is an earlier one to
// compare with.
func (r *Run) Table(w io.Writer, old *Run) error {
	var b strings.Builder
	for _, f := range r.facts() {
		fmt.Fprintf(&b, "%-8s%s\n", f[0], f[1])
	}
	if old != nil {
		fmt.Fprintf(&b, "against %s, commit %s\n", old.Began.UTC().Format("2006-01-02 15:04:05 UTC"), old.Commit)
		for _, d := range Differences(old, r) {
			fmt.Fprintf(&b, "        NOTE: %s\n", d)
		}
	}
	for _, p := range r.Parts {
		fmt.Fprintf(&b, "\n%s: %s\n%s; load %.2f at the end\n", p.Name, p.Title, p.Lab, p.Load)
		was := (*Part)(nil)
		if old != nil {
			was = old.Part(p.Name)
		}
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		if len(p.Ratios) > 0 {
			fmt.Fprint(t, "\nRATIO\tMEDIAN\tFROM\tTO\tN\tGOAL\t")
			if was != nil {
				fmt.Fprint(t, "\tBEFORE\tCHANGE")
			}
			fmt.Fprintln(t)
			for _, x := range p.Ratios {
				s := x.Spread()
				goal, held := "", ""
				if x.Goal != nil {
					goal, held = x.Goal.String(), r.verdict(x)
					if held == "missed" {
						held = "MISSED"
					}
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s", x.Name, digits(s.Median), digits(s.Low), digits(s.High), s.N, goal, held)
				if was != nil {
					for _, o := range was.Ratios {
						if o.Name == x.Name {
							c := compare(o.Values, x.Values)
							fmt.Fprintf(t, "\t%s\t%s", digits(c.Old.Median), c)
						}
					}
				}
				fmt.Fprintln(t)
			}
		}
		fmt.Fprint(t, "\nFIGURE\tMEDIAN\tFROM\tTO\tN")
		if was != nil {
			fmt.Fprint(t, "\tBEFORE\tCHANGE")
		}
		fmt.Fprintln(t)
		for _, x := range p.Series {
			s := x.Spread()
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d", x.Name, Format(s.Median, x.Unit), Format(s.Low, x.Unit), Format(s.High, x.Unit), s.N)
			if was != nil {
				if o := was.Find(x.Name); o != nil && o.Unit == x.Unit {
					c := compare(o.Values, x.Values)
					fmt.Fprintf(t, "\t%s\t%s", Format(c.Old.Median, x.Unit), c)
				}
			}
			fmt.Fprintln(t)
		}
		t.Flush()
		for _, n := range p.Notes {
			fmt.Fprintf(&b, "\n  %s\n", n)
		}
		if p.Failed != "" {
			fmt.Fprintf(&b, "\nFAILED: %s\n", p.Failed)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A Change is what two sets of values of one figure say together.
type Change struct {
	Old, New Spread
	// Significant says that they are not of one distribution (Mann-Whitney U test,
	// p < 0.05); P is the probability that they would differ so if they were.
	Significant bool
	P           float64
	// Few says that there are not enough values to tell, however much they differ.
	Few bool
}

func compare(old, new []float64) Change {
	c := Change{Old: SpreadOf(old), New: SpreadOf(new), P: 1}
	if len(old) == 0 || len(new) == 0 {
		c.Few = true
		return c
	}
	sample := func(v []float64) *benchmath.Sample {
		t := benchmath.DefaultThresholds
		return benchmath.NewSample(append([]float64(nil), v...), &t)
	}
	m := benchmath.AssumeNothing.Compare(sample(old), sample(new))
	c.P, c.Significant = m.P, m.P < m.Alpha
	// The least that p can be is 2 / (n1+n2 choose n1).
	ways := 1.0
	for i := range len(old) {
		ways = ways * float64(len(new)+i+1) / float64(i+1)
	}
	c.Few = 2/ways >= m.Alpha
	return c
}

// String is the change in percent, or ~ if it means nothing.
func (c Change) String() string {
	switch {
	case c.Few:
		return fmt.Sprintf("? (n=%d+%d)", c.Old.N, c.New.N)
	case !c.Significant:
		return fmt.Sprintf("~ (p=%.2f)", c.P)
	}
	return fmt.Sprintf("%+.0f %% (p=%.3f)", 100*(c.New.Median/c.Old.Median-1), c.P)
}

// Compare returns what has changed of a part's series, in the order of new, of those that
// both have.
func Compare(old, new *Part) map[string]Change {
	all := make(map[string]Change)
	for _, s := range new.Series {
		if o := old.Find(s.Name); o != nil && o.Unit == s.Unit {
			all[s.Name] = compare(o.Values, s.Values)
		}
	}
	return all
}

// Differences lists what makes two runs not quite comparable.
func Differences(a, b *Run) []string {
	var list []string
	is := func(what, x, y string) {
		if x != y {
			list = append(list, fmt.Sprintf("another %s: %s; before: %s", what, y, x))
		}
	}
	is("host", fmt.Sprint(a.Host.CPUs, " × ", a.Host.CPU), fmt.Sprint(b.Host.CPUs, " × ", b.Host.CPU))
	for _, p := range b.Parts {
		if o := a.Part(p.Name); o != nil {
			is("lab for "+p.Name, o.Lab.String(), p.Lab.String())
		}
	}
	return list
}

// Text writes the run in the format of Go's benchmarks, for benchstat and its
// kind: a line for each value.
func (r *Run) Text(w io.Writer) error {
	out := benchfmt.NewWriter(w)
	config := func(key, value string) benchfmt.Config {
		return benchfmt.Config{Key: key, Value: []byte(strings.ReplaceAll(value, "\n", " ")), File: true}
	}
	for _, p := range r.Parts {
		res := &benchfmt.Result{Iters: 1}
		for _, f := range r.facts() {
			res.Config = append(res.Config, config(f[0], f[1]))
		}
		res.Config = append(res.Config, config("part", p.Name), config("nodes", fmt.Sprint(p.Lab.Nodes)), config("image", p.Lab.Image),
			config("kernel", p.Lab.Kernel), config("accel", p.Lab.Accel), config("node-mb", fmt.Sprint(p.Lab.MemoryMB)))
		for _, s := range p.Series {
			for _, v := range s.Values {
				res.Name = benchfmt.Name(title(p.Name) + "/" + word(s.Name))
				res.Values = []benchfmt.Value{value(v, s.Unit)}
				if err := out.Write(res); err != nil {
					return err
				}
			}
		}
		for _, x := range p.Ratios {
			for _, v := range x.Values {
				res.Name = benchfmt.Name(title(p.Name) + "/ratio/" + word(x.Name))
				res.Values = []benchfmt.Value{{Value: v, Unit: "ratio"}}
				if err := out.Write(res); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func value(v float64, unit string) benchfmt.Value {
	switch unit {
	case "ns":
		return benchfmt.Value{Value: v / 1e9, Unit: "sec/op", OrigValue: v, OrigUnit: "ns/op"}
	case "1/s":
		return benchfmt.Value{Value: v, Unit: "op/s"}
	}
	return benchfmt.Value{Value: v, Unit: unit}
}

// word makes a name of a benchmark of words.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return '-'
		}
		return r
	}, s)
}

func title(s string) string {
	if s == "" {
		return "Part"
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
