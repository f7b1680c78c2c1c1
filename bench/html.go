package bench

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
)

//go:embed report.html
var reportText string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"digits": digits, "format": Format, "svg": func(p *Plot) template.HTML { return template.HTML(p.SVG()) },
	"times": func(t *Timeline) template.HTML { return template.HTML(t.SVG()) },
}).Parse(reportText))

// HTML writes the run as one page that needs nothing else. old, if not nil, is an
// earlier one to compare with.
func (r *Run) HTML(w io.Writer, old *Run) error {
	type row struct {
		Name              string
		Spread            Spread
		Unit, Goal, Class string
		Bar               template.HTML
		Before, Change    string
	}
	type part struct {
		*Part
		LabText        string
		Ratios, Series []row
		Compared       bool
	}
	page := struct {
		Run         *Run
		Facts       [][2]string
		Parts       []part
		Old         *Run
		Differences []string
		Missed      []string
	}{Run: r, Facts: r.facts(), Old: old, Missed: r.Missed()}
	if old != nil {
		page.Differences = Differences(old, r)
	}
	for _, p := range r.Parts {
		v := part{Part: p, LabText: p.Lab.String()}
		var was *Part
		if old != nil {
			was = old.Part(p.Name)
		}
		v.Compared = was != nil
		for _, x := range p.Ratios {
			row := row{Name: x.Name, Spread: x.Spread(), Unit: "1"}
			if x.Goal != nil {
				row.Goal, row.Class = x.Goal.String(), r.verdict(x)
			}
			row.Bar = template.HTML(bar(row.Spread, x.Goal))
			if was != nil {
				for _, o := range was.Ratios {
					if o.Name == x.Name {
						c := compare(o.Values, x.Values)
						row.Before, row.Change = digits(c.Old.Median), c.String()
					}
				}
			}
			v.Ratios = append(v.Ratios, row)
		}
		for _, x := range p.Series {
			row := row{Name: x.Name, Spread: x.Spread(), Unit: x.Unit}
			if was != nil {
				if o := was.Find(x.Name); o != nil && o.Unit == x.Unit {
					c := compare(o.Values, x.Values)
					row.Before, row.Change = Format(c.Old.Median, x.Unit), c.String()
				}
			}
			v.Series = append(v.Series, row)
		}
		page.Parts = append(page.Parts, v)
	}
	return reportTemplate.Execute(w, page)
}

// bar shows where a ratio lies between a quarter and four, and its goal.
func bar(s Spread, g *Goal) string {
	const width, height = 180.0, 14.0
	at := func(x float64) float64 {
		return width * (math.Log2(min(max(x, 0.25), 4)) + 2) / 4
	}
	if s.N == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img"><title>from 1/4 to 4</title>`, width, height, width, height)
	if g != nil {
		lo, hi := 0.0, width
		if g.AtLeast != 0 {
			lo = at(g.AtLeast)
		}
		if g.AtMost != 0 {
			hi = at(g.AtMost)
		}
		fmt.Fprintf(&b, `<rect x="%.1f" y="0" width="%.1f" height="%.0f" fill="#d7ead7"/>`, lo, hi-lo, height)
	}
	fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="0" y2="%.0f" stroke="#999" stroke-dasharray="2 2"/>`, at(1), at(1), height)
	fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="7" y2="7" stroke="#345" stroke-width="2"/>`, at(s.Low), at(s.High))
	// What is outside is an arrow at the end.
	switch {
	case s.Median < 0.25:
		b.WriteString(`<path d="M8 2V12L0 7Z" fill="#123"/></svg>`)
	case s.Median > 4:
		fmt.Fprintf(&b, `<path d="M%.0f 2V12L%.0f 7Z" fill="#123"/></svg>`, width-8, width)
	default:
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="7" r="4" fill="#123"/></svg>`, min(max(at(s.Median), 4), width-4))
	}
	return b.String()
}

// colors tell lines apart, also for those who see few.
var colors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}

// An axis puts values between two places.
type axis struct {
	log      bool
	whole    bool    // there is nothing between integers
	from, to float64 // values
	a, b     float64 // places
}

func (x axis) at(v float64) float64 {
	f := func(v float64) float64 { return v }
	if x.log {
		f = math.Log10
	}
	return x.a + (f(v)-f(x.from))/(f(x.to)-f(x.from))*(x.b-x.a)
}

// ticks are round values within the axis.
func (x axis) ticks() []float64 {
	var list []float64
	if x.log {
		for e := math.Floor(math.Log10(x.from)); e <= math.Ceil(math.Log10(x.to)); e++ {
			for _, m := range []float64{1, 2, 5} {
				v := m * math.Pow(10, e)
				if v >= x.from*0.999 && v <= x.to*1.001 && (m == 1 || x.to/x.from < 1e3) {
					list = append(list, v)
				}
			}
		}
		return list
	}
	step := math.Pow(10, math.Floor(math.Log10((x.to-x.from)/4)))
	for _, m := range []float64{5, 2} {
		if (x.to-x.from)/(step*m) >= 4 {
			step *= m
			break
		}
	}
	if x.whole {
		step = max(step, 1)
	}
	for v := math.Ceil(x.from/step) * step; v <= x.to+step/1000; v += step {
		list = append(list, v)
	}
	return list
}

// round extends the axis to round values, so that its ends are ticks.
func (x *axis) round() {
	if x.log {
		below, above := 0.0, 0.0
		steps := []float64{1, 2, 5}
		if x.to/x.from > 150 { // there may be too many for ticks
			steps = steps[:1]
		}
		for e := math.Floor(math.Log10(x.from)); above < x.to; e++ {
			for _, m := range steps {
				v := m * math.Pow(10, e)
				if v <= x.from {
					below = v
				}
				if above < x.to {
					above = v
				}
			}
		}
		if below > 0 && !math.IsInf(above, 0) {
			x.from, x.to = below, above
		}
		return
	}
	if t := x.ticks(); len(t) > 1 {
		step := t[1] - t[0]
		x.from, x.to = math.Floor(x.from/step)*step, math.Ceil(x.to/step)*step
	}
}

// short writes a tick.
func short(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%gG", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}

// SVG draws the plot. Points that a logarithmic axis cannot show are left out.
func (p *Plot) SVG() string {
	const width, height, left, right, top, bottom = 560.0, 330.0, 70.0, 15.0, 15.0, 45.0
	x := axis{log: p.LogX, a: left, b: width - right}
	y := axis{log: p.LogY, a: height - bottom, b: top}
	fits := func(a *axis, v float64, first *bool) {
		if math.IsNaN(v) || math.IsInf(v, 0) || a.log && v <= 0 {
			return
		}
		if *first {
			a.from, a.to = v, v
			*first = false
		}
		a.from, a.to = min(a.from, v), max(a.to, v)
	}
	fx, fy := true, true
	shown := func(l Line, i int) bool {
		return i < len(l.Y) && (!p.LogX || l.X[i] > 0) && (!p.LogY || l.Y[i] > 0) && !math.IsNaN(l.Y[i])
	}
	x.whole = true
	for _, l := range p.Lines {
		for i := range l.X {
			if !shown(l, i) {
				continue
			}
			x.whole = x.whole && l.X[i] == math.Trunc(l.X[i])
			fits(&x, l.X[i], &fx)
			fits(&y, l.Y[i], &fy)
			if i < len(l.Low) && i < len(l.High) {
				fits(&y, l.Low[i], &fy)
				fits(&y, l.High[i], &fy)
			}
		}
	}
	if fx || fy {
		return ""
	}
	if !y.log {
		y.from = min(y.from, 0)
	}
	for _, a := range []*axis{&x, &y} {
		if a.from == a.to {
			a.from, a.to = a.from/2, a.to*2
			if a.from == a.to {
				a.to = 1
			}
		}
	}
	y.round()
	esc := template.HTMLEscapeString
	var b strings.Builder
	columns := 3
	for _, l := range p.Lines {
		if len(l.Name) > 20 {
			columns = 2
		}
	}
	legend := 18.0 * float64((len(p.Lines)+columns-1)/columns)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img" font-family="sans-serif" font-size="12"><title>%s</title>`,
		width, height+legend, width, height+legend, esc(p.Title))
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="white"/>`, width, height+legend)
	for _, v := range x.ticks() {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`,
			x.at(v), x.at(v), y.a, y.b, x.at(v), y.a+16, short(v))
	}
	for _, v := range y.ticks() {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">%s</text>`,
			x.a, x.b, y.at(v), y.at(v), x.a-6, y.at(v)+4, short(v))
	}
	fmt.Fprintf(&b, `<path d="M%.1f %.1fV%.1fH%.1f" fill="none" stroke="#333"/>`, x.a, y.b, y.a, x.b)
	fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, (x.a+x.b)/2, y.a+36, esc(p.X))
	fmt.Fprintf(&b, `<text transform="translate(16 %.1f) rotate(-90)" text-anchor="middle">%s</text>`, (y.a+y.b)/2, esc(p.Y))
	for k, l := range p.Lines {
		color := colors[k%len(colors)]
		var path strings.Builder
		for i := range l.X {
			if !shown(l, i) {
				continue
			}
			op := "L"
			if path.Len() == 0 {
				op = "M"
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", op, x.at(l.X[i]), y.at(l.Y[i]))
			if i < len(l.Low) && i < len(l.High) && (!p.LogY || l.Low[i] > 0) {
				fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.5"/>`, x.at(l.X[i]), x.at(l.X[i]), y.at(l.Low[i]), y.at(l.High[i]), color)
			}
			if len(l.X) <= 40 {
				fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, x.at(l.X[i]), y.at(l.Y[i]), color)
			}
		}
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5"/>`, path.String(), color)
		lx, ly := left+float64(k%columns)*(width-left)/float64(columns), height+float64(k/columns)*18
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s" stroke-width="3"/><text x="%.1f" y="%.1f">%s</text>`, lx, lx+18, ly+4, ly+4, color, lx+23, ly+8, esc(l.Name))
	}
	b.WriteString("</svg>")
	return b.String()
}

// SVG draws the timeline: a lane for each that is done at the same time at a place.
func (t *Timeline) SVG() string {
	const width, left, right, top, lane, gap, bottom = 1140.0, 70.0, 15.0, 5.0, 17.0, 8.0, 40.0
	type place struct {
		name  string
		until []float64 // of each lane
		first int       // lane of all
	}
	var places []*place
	x := axis{a: left, b: width - right}
	spans := slices.Clone(t.Spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return cmp.Compare(a.Begin, b.Begin) })
	at := make([]int, len(spans)) // which lane of its place
	of := make([]*place, len(spans))
	for i, s := range spans {
		k := slices.IndexFunc(places, func(p *place) bool { return p.name == s.Place })
		if k < 0 {
			k = len(places)
			places = append(places, &place{name: s.Place})
		}
		p := places[k]
		l := slices.IndexFunc(p.until, func(until float64) bool { return until <= s.Begin })
		if l < 0 {
			l = len(p.until)
			p.until = append(p.until, 0)
		}
		p.until[l] = s.End
		at[i], of[i] = l, p
		x.to = max(x.to, s.End)
	}
	if x.to <= 0 {
		return ""
	}
	slices.SortFunc(places, func(a, b *place) int { return cmp.Compare(a.name, b.name) })
	lanes := 0
	for _, p := range places {
		p.first = lanes
		lanes += len(p.until)
	}
	height := top + float64(lanes)*lane + float64(len(places))*gap + bottom
	y := func(p *place, l int) float64 {
		return top + float64(p.first+l)*lane + float64(slices.Index(places, p))*gap
	}
	esc := template.HTMLEscapeString
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img" font-family="sans-serif" font-size="12"><title>%s</title>`,
		width, height, width, height, esc(t.Title))
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="white"/>`, width, height)
	for _, v := range x.ticks() {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`,
			x.at(v), x.at(v), top, height-bottom, x.at(v), height-bottom+16, short(v))
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, (x.a+x.b)/2, height-bottom+34, esc(t.Unit))
	for k, p := range places {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="end">%s</text>`, left-8, y(p, 0)+float64(len(p.until))*lane/2+4, esc(p.name))
		for i, s := range spans {
			if of[i] != p {
				continue
			}
			x0, w := x.at(s.Begin), max(x.at(s.End)-x.at(s.Begin)-1, 1)
			fmt.Fprintf(&b, `<g><title>%s: %s, %s %s from %s on</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" fill-opacity="0.75"/>`,
				esc(s.Place), esc(s.What), digits(s.End-s.Begin), esc(t.Unit), digits(s.Begin), x0, y(p, at[i]), w, lane-2, colors[k%len(colors)])
			if name := lastName(s.What); float64(len(name))*5.6+4 < w { // if there is room for it
				fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" font-size="10" fill="white">%s</text>`, x0+3, y(p, at[i])+lane-6, esc(name))
			}
			b.WriteString("</g>")
		}
	}
	b.WriteString("</svg>")
	return b.String()
}

// lastName is what follows the last slash.
func lastName(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }
