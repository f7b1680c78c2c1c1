package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// The table is between these lines of the Markdown file.
const (
	tableBegin = "<!-- stdtest: the table begins; do not edit it -->\n"
	tableEnd   = "<!-- stdtest: the table ends -->\n"
)

func replaceTable(file string, results []Result) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(data), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the table: it goes between the lines %q and %q", file, tableBegin, tableEnd)
	}
	return os.WriteFile(file, []byte(before+tableBegin+makeTable(results)+tableEnd+after), 0o666)
}

// makeTable returns the results as Markdown.
func makeTable(results []Result) string {
	results = slices.SortedFunc(slices.Values(results), func(a, b Result) int { return cmp.Compare(a.Package, b.Package) })
	var b strings.Builder
	var passed, skipped, wanting, failed, clean int
	b.WriteString("| package | passed | skipped | wanting | failed | why |\n|---|---:|---:|---:|---:|---|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s |\n", r.Package, r.Passed, sum(r.Skipped), sum(r.Wanting), len(r.Failed), r.why())
		passed += r.Passed
		skipped += sum(r.Skipped)
		wanting += sum(r.Wanting)
		failed += len(r.Failed)
		if len(r.Failed) == 0 && r.Problem == "" {
			clean++
		}
	}
	fmt.Fprintf(&b, "| **%d packages, %d without a failure** | **%d** | **%d** | **%d** | **%d** | |\n", len(results), clean, passed, skipped, wanting, failed)
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
