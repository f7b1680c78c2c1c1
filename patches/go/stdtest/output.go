package main

import (
	"regexp"
	"slices"
	"strings"
)

// An output is what a test binary wrote with -test.v, taken apart.
type output struct {
	tests   map[string]*test // by name, without subtests
	names   []string         // in the order of their start
	ended   bool             // the binary came to its end
	running string           // if not, the test that ran last
}

// A test is one top-level test.
type test struct {
	verdict string // PASS, FAIL or SKIP, or "" if there was none
	text    string // what it wrote
}

var (
	// Lines may follow what a test or the kernel wrote without a newline.
	runLine     = regexp.MustCompile(`=== (RUN|NAME|CONT|PAUSE) +(\S+)$`)
	verdictLine = regexp.MustCompile(`--- (PASS|FAIL|SKIP): (\S+) \([0-9.]+s\)$`)
	endLine     = regexp.MustCompile(`^(PASS|FAIL)$`)
	// The source position at the beginning of what a test logs.
	position = regexp.MustCompile(`^\s*[\w.]+\.go:\d+: `)
)

func parse(text string) *output {
	o := &output{tests: make(map[string]*test)}
	var current *test // the one that writes
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "")) {
		line = strings.TrimSuffix(line, "\n")
		if m := runLine.FindStringSubmatch(line); m != nil {
			name := root(m[2])
			if m[1] == "RUN" && o.tests[name] == nil {
				o.tests[name] = &test{}
				o.names = append(o.names, name)
			}
			current = o.tests[name]
			if m[1] != "PAUSE" {
				o.running = name
			}
			continue
		}
		if m := verdictLine.FindStringSubmatch(line); m != nil {
			name := m[2]
			if t := o.tests[name]; t != nil {
				t.verdict = m[1]
				current = t
			} else if t := o.tests[root(name)]; t != nil {
				current = t
			}
			continue
		}
		if endLine.MatchString(line) {
			o.ended = true
			continue
		}
		if current != nil {
			current.text += line + "\n"
		}
	}
	if o.ended {
		o.running = ""
	}
	return o
}

// root is the top-level test that a subtest belongs to.
func root(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return name
}

// lacks are what nodes do not have, and how tests that miss it say so.
var lacks = []struct {
	what string
	says *regexp.Regexp
}{
	{"local sockets", regexp.MustCompile(`(listen|dial) unix.* (address family not supported|no network)|[Ss]ocketpair: `)},
	{"a network", regexp.MustCompile(`no network: |network is unreachable`)},
	{"processes", regexp.MustCompile(`fork/exec |Executable not implemented|executable file not found`)},
	{"symbolic links", regexp.MustCompile(`symlink(at)? .*: function not implemented`)},
	{"links and owners of files", regexp.MustCompile(`(link|chown)(at)? .*: operation not supported`)},
	{"files", regexp.MustCompile(`no such file or directory|GOROOT not found|could not find (GOROOT|passwd|group)`)},
}

// wants says what a test that failed with text lacks, "" if that is not it.
func wants(text string) string {
	for _, l := range lacks {
		if l.says.MatchString(text) {
			return l.what
		}
	}
	return ""
}

// skipReason is why a test says that it skips itself.
func skipReason(text string) string {
	reason := ""
	for line := range strings.Lines(text) {
		if position.MatchString(line) {
			reason = strings.TrimSpace(position.ReplaceAllString(line, ""))
		}
	}
	return reason
}

// addTo adds the results to r. A binary is run again without the tests that
// ended it, so that of the runs before the last only those count.
func (o *output) addTo(r *Result) {
	if r.Wanting == nil {
		r.Wanting = make(map[string]int)
	}
	fail := func(name, text string) {
		what := known[r.Package+"."+name]
		if what == "" {
			what = wants(text)
		}
		if what != "" {
			r.Wanting[what]++
		} else if !slices.Contains(r.Failed, name) {
			r.Failed = append(r.Failed, name)
		}
	}
	if !o.ended {
		if t := o.tests[o.running]; t != nil {
			fail(o.running, t.text)
		}
		return
	}
	r.Skipped = make(map[string]int)
	for _, name := range o.names {
		switch t := o.tests[name]; t.verdict {
		case "PASS":
			r.Passed++
		case "SKIP":
			r.Skipped[skipReason(t.text)]++
		case "FAIL":
			fail(name, t.text)
		}
	}
}
