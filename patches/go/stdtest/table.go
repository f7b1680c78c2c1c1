package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The table is between these lines of the Markdown file.
const (
	tableBegin = "<!-- stdtest: the table begins; do not edit it -->\n"
	tableEnd   = "<!-- stdtest: the table ends -->\n"
)

// replaceTable makes results the table of a file, and returns its sums. If keep
// is set, rows of packages without a result stay, marked as older.
func replaceTable(file string, results []Result, keep bool) (totals, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return totals{}, err
	}
	before, rest, ok := strings.Cut(string(data), tableBegin)
	old, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return totals{}, fmt.Errorf("%s has no place for the table: it goes between the lines %q and %q", file, tableBegin, tableEnd)
	}
	rows := rowsOf(results)
	if keep {
		for _, o := range parseRows(old) {
			if !slices.ContainsFunc(rows, func(r row) bool { return r.pkg == o.pkg }) {
				rows = append(rows, o)
			}
		}
	}
	return sumOf(rows), os.WriteFile(file, []byte(before+tableBegin+makeTable(rows)+tableEnd+after), 0o666)
}

func rowsOf(results []Result) (rows []row) {
	for _, r := range results {
		rows = append(rows, r.row())
	}
	return rows
}

// A row of the table is what it says of a package.
type row struct {
	pkg                              string
	passed, skipped, wanting, failed int
	why                              string
	problem                          bool
}

func (r Result) row() row {
	return row{r.Package, r.Passed, sum(r.Skipped), sum(r.Wanting), len(r.Failed), r.why(), r.Problem != ""}
}

// older marks rows of an earlier run.
const older = "(an earlier build) "

var rowPattern = regexp.MustCompile(`(?m)^\| ([^|* ]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (.*) \|$`)

// parseRows reads a table back.
func parseRows(table string) (rows []row) {
	for _, m := range rowPattern.FindAllStringSubmatch(table, -1) {
		r := row{pkg: m[1], why: older + strings.TrimPrefix(m[6], older)}
		for i, n := range []*int{&r.passed, &r.skipped, &r.wanting, &r.failed} {
			*n, _ = strconv.Atoi(m[2+i])
		}
		// A package of benchmarks only has no tests, and nothing to explain.
		r.problem = r.passed == 0 && r.skipped == 0 && r.why != older
		rows = append(rows, r)
	}
	return rows
}

// totals are the sums of a table. A package passes if none of its tests failed,
// for want of anything or otherwise.
type totals struct {
	packages, pass                   int
	older                            int // packages of an earlier run
	passed, skipped, wanting, failed int // tests
}

func sumOf(rows []row) (t totals) {
	for _, r := range rows {
		t.packages++
		t.passed += r.passed
		t.skipped += r.skipped
		t.wanting += r.wanting
		t.failed += r.failed
		if r.failed == 0 && r.wanting == 0 && !r.problem {
			t.pass++
		}
		if strings.HasPrefix(r.why, older) {
			t.older++
		}
	}
	return t
}

// percent is the share of packages that pass.
func (t totals) percent() float64 { return 100 * float64(t.pass) / float64(max(t.packages, 1)) }

// String is a line for people.
func (t totals) String() string {
	s := fmt.Sprintf("%d packages, %d pass (%.1f %%); of their tests %d passed, %d were skipped, %d failed for want of something, %d failed",
		t.packages, t.pass, t.percent(), t.passed, t.skipped, t.wanting, t.failed)
	if t.older > 0 {
		s += fmt.Sprintf(" (%d packages of an earlier run)", t.older)
	}
	return s
}

// makeTable returns the rows as Markdown.
func makeTable(rows []row) string {
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.pkg, b.pkg) })
	var b strings.Builder
	b.WriteString("| package | passed | skipped | wanting | failed | why |\n|---|---:|---:|---:|---:|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s |\n", r.pkg, r.passed, r.skipped, r.wanting, r.failed, r.why)
	}
	t := sumOf(rows)
	fmt.Fprintf(&b, "| **%d packages, %d pass (%.1f %%)** | **%d** | **%d** | **%d** | **%d** | |\n",
		t.packages, t.pass, t.percent(), t.passed, t.skipped, t.wanting, t.failed)
	return b.String()
}

// why explains what did not pass.
func (r Result) why() string {
	var parts []string
	if r.Problem != "" {
		parts = append(parts, r.Problem)
	}
	if len(r.Failed) > 0 {
		parts = append(parts, "failed: "+strings.Join(r.Failed, ", "))
	}
	for _, what := range sorted(r.Wanting) {
		parts = append(parts, fmt.Sprintf("%d for want of %s", r.Wanting[what], what))
	}
	for _, reason := range sorted(r.Skipped) {
		if reason == "" {
			reason = "no reason given"
		}
		parts = append(parts, "skipped: "+reason)
	}
	return strings.ReplaceAll(strings.Join(parts, "; "), "|", `\|`)
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func sorted(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }
