// Package scripts is for the tests of the sans-IO cores, netmsg/rights and
// pager/coherence: it runs the stories in testdata that say what a core does, and checks
// that the rules of the core's document are all told of.
package scripts

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// ErrSkip is returned for a script that is not for the core that is tested.
var ErrSkip = errors.New("the script is not for this core")

// A World is what a script is about: Line does what a line says, and writes what comes of
// it to Out.
type World struct {
	Line func(line string) error
	Out  *strings.Builder
}

// Run runs the scripts in testdata. "begin" begins a new world, which "then" goes on with.
// What follows "#!" in a line is a remark.
func Run(t *testing.T, begin func(*datadriven.TestData) (World, error)) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var w World
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "begin":
				var err error
				if w, err = begin(d); errors.Is(err, ErrSkip) {
					t.Skip()
				} else if err != nil {
					d.Fatalf(t, "%v", err)
				}
			case "then":
			default:
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			w.Out.Reset()
			for line := range strings.Lines(d.Input) {
				if line, _, _ = strings.Cut(strings.TrimSpace(line), "#!"); line == "" {
					continue
				}
				if err := w.Line(line); err != nil {
					d.Fatalf(t, "%s: %v", line, err)
				}
			}
			return w.Out.String()
		})
	})
}

// Rules says what CheckRules wants.
type Rules struct {
	Doc       string              // the document; a rule is a line that begins with "* **R1**"
	More      []string            // rules besides
	Elsewhere func(r string) bool // what other tests are about
	Scripts   int                 // that there are at least
}

// CheckRules checks that each rule is named by a script, in a line that begins with
// "# Rules:", and that no other is.
func CheckRules(t *testing.T, c Rules) {
	doc, err := os.ReadFile(c.Doc)
	if err != nil {
		t.Fatal(err)
	}
	rules := slices.Clone(c.More)
	for _, m := range regexp.MustCompile(`(?m)^\* \*\*([A-Z]+[0-9]+)\*\*`).FindAllStringSubmatch(string(doc), -1) {
		rules = append(rules, m[1])
	}
	named := make(map[string]bool)
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if list, ok := strings.CutPrefix(line, "# Rules:"); ok {
				for _, r := range strings.Fields(list) {
					named[r] = true
					if !slices.Contains(rules, r) {
						t.Errorf("%s: there is no rule %s", f, r)
					}
				}
			}
		}
	}
	if len(rules) < 40 || len(files) < c.Scripts {
		t.Errorf("%d rules, %d scripts", len(rules), len(files))
	}
	for _, r := range rules {
		if !named[r] && !c.Elsewhere(r) {
			t.Errorf("no script is about rule %s", r)
		}
	}
}
