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

// replaceTable makes results the table of a file. If keep is set, rows of
// packages without a result stay, marked as older.
func replaceTable(file string, results []Result, keep bool) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(data), tableBegin)
	old, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the table: it goes between the lines %q and %q", file, tableBegin, tableEnd)
	}
	var rows []row
	for _, r := range results {
		rows = append(rows, r.row())
	}
	if keep {
		for _, o := range parseRows(old) {
			if !slices.ContainsFunc(rows, func(r row) bool { return r.pkg == o.pkg }) {
				rows = append(rows, o)
			}
		}
	}
	return os.WriteFile(file, []byte(before+tableBegin+makeTable(rows)+tableEnd+after), 0o666)
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
		r.problem = r.passed == 0 && r.skipped == 0
		rows = append(rows, r)
	}
	return rows
}

// makeTable returns the rows as Markdown. A package passes if none of its
// tests failed, for want of anything or otherwise.
func makeTable(rows []row) string {
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.pkg, b.pkg) })
	var b strings.Builder
	var passed, skipped, wanting, failed, clean int
	b.WriteString("| package | passed | skipped | wanting | failed | why |\n|---|---:|---:|---:|---:|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s |\n", r.pkg, r.passed, r.skipped, r.wanting, r.failed, r.why)
		passed += r.passed
		skipped += r.skipped
		wanting += r.wanting
		failed += r.failed
		if r.failed == 0 && r.wanting == 0 && !r.problem {
			clean++
		}
	}
	fmt.Fprintf(&b, "| **%d packages, %d pass** | **%d** | **%d** | **%d** | **%d** | |\n", len(rows), clean, passed, skipped, wanting, failed)
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
