package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"hurdlab/lab/problem"
	"hurdlab/lab/state"
)

func TestSplitRemote(t *testing.T) {
	for _, c := range []struct {
		in, node, path string
		remote         bool
	}{
		{"node1:/a", "node1", "/a", true},
		{"node1:a:b", "node1", "a:b", true},
		{"node1:", "node1", "", true},
		{"./a:b", "", "./a:b", false},
		{"/x/y:z", "", "/x/y:z", false},
		{":a", "", ":a", false},
		{"plain", "", "plain", false},
	} {
		if node, path, remote := splitRemote(c.in); node != c.node || path != c.path || remote != c.remote {
			t.Errorf("splitRemote(%q) = %q, %q, %v", c.in, node, path, remote)
		}
	}
}

func TestParseValues(t *testing.T) {
	for _, c := range []struct {
		parse func(string) (any, error)
		in    string
		want  any // nil for an error
	}{
		{parseProbability, "1%", 0.01},
		{parseProbability, "0.5", 0.5},
		{parseProbability, "100%", 1.0},
		{parseProbability, "0", 0.0},
		{parseProbability, "101%", nil},
		{parseProbability, "-1", nil},
		{parseProbability, "NaN", nil},
		{parseProbability, "", nil},
		{parseRate, "0", int64(0)},
		{parseRate, "1500", int64(1500)},
		{parseRate, "1.5kB", int64(1500)},
		{parseRate, "2MB/s", int64(2_000_000)},
		{parseRate, "-1", nil},
		{parseRate, "99999999999G", nil},
		{parseRate, "fast", nil},
	} {
		got, err := c.parse(c.in)
		if (err != nil) != (c.want == nil) || got != c.want {
			t.Errorf("%q: got %v, %v; want %v", c.in, got, err, c.want)
		}
		if err != nil && problem.Advice(err) == "" {
			t.Errorf("%q: %v has no advice", c.in, err)
		}
	}
}

func TestRunsTests(t *testing.T) {
	for in, want := range map[string]bool{
		"./...":              true,
		"-v -run X ./mach":   true,
		"-c":                 false,
		"--c -o x ./mach":    false,
		"-n ./mach":          false,
		"-count=1 ./mach":    true,
		"./mach -args -c":    true,
		"-cover -cpu 1 sort": true,
	} {
		if got := runsTests(strings.Fields(in)); got != want {
			t.Errorf("go test %s: runs tests: %v, want %v", in, got, want)
		}
	}
}

func TestTypeInto(t *testing.T) {
	var b bytes.Buffer
	if err := typeInto(&b, io.MultiReader(strings.NewReader("ab"), strings.NewReader("c\x1dd"))); err != errDetached || b.String() != "abc" {
		t.Errorf("typed %q, %v", &b, err)
	}
	b.Reset()
	if err := typeInto(&b, strings.NewReader("abc")); !errors.Is(err, io.EOF) || b.String() != "abc" {
		t.Errorf("typed %q, %v", &b, err)
	}
}

// events is a start as a progress sees it, a second between the events.
func events(began time.Time) []state.Event {
	list := []state.Event{
		{Kind: state.KindPlan, Plan: []string{"dig", "fill"}},
		{Kind: state.KindStep, Step: "dig", Phase: state.Begun},
		{Kind: state.KindStep, Step: "dig", Phase: state.Noted, Text: "3 m"},
		{Kind: state.KindNode, Node: "x"},
		{Kind: state.KindStep, Step: "dig", Phase: state.Done},
		{Kind: state.KindStep, Phase: state.Noted, Text: "it rains"},
		{Kind: state.KindStep, Step: "fill", Phase: state.Begun},
		{Kind: state.KindTrouble, Node: "x", Text: "panic"},
		{Kind: state.KindStep, Step: "fill", Phase: state.Failed, Text: "no sand"},
	}
	for i := range list {
		list[i].Time = began.Add(time.Duration(i) * time.Second)
	}
	return list
}

func TestProgressInLines(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	for _, e := range events(p.began) {
		p.event(e)
	}
	p.close()
	want := `[   1.0s] dig
[   2.0s] dig: 3 m
[   4.0s] dig: done (3.0 s)
[   5.0s] it rains
[   6.0s] fill
[   7.0s] x: console: panic
[   8.0s] fill: FAILED after 2.0 s: no sand
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

func TestProgressOnTerminal(t *testing.T) {
	p := &progress{width: 40, began: time.Unix(0, 0)}
	var kept []string
	var live []string
	for i, e := range events(p.began) {
		kept = append(kept, p.update(e)...)
		if i == 2 {
			live = p.live(p.began.Add(2500 * time.Millisecond))
		}
	}
	if want := "     1.5s   dig: 3 m|           to come: fill"; strings.Join(live, "|") != want {
		t.Errorf("live %q, want %q", live, want)
	}
	if want := "[   4.0s] dig: done (3.0 s)|[   5.0s] it rains|[   7.0s] x: console: panic|[   8.0s] fill: FAILED after 2.0 s: no sand"; strings.Join(kept, "|") != want {
		t.Errorf("kept %q, want %q", kept, want)
	}
	p.running = []*step{{name: strings.Repeat("x", 100)}}
	if l := p.live(p.began)[0]; len(l) >= p.width {
		t.Errorf("a line of %d columns on a terminal of %d", len(l), p.width)
	}
}
