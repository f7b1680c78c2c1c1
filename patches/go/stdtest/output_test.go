package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const sample = `GNU Mach 1.8
start x: === RUN   TestA
=== PAUSE TestA
=== RUN   TestB
    b_test.go:10: open testdata/x: no such file or directory
--- FAIL: TestB (0.01s)
=== RUN   TestC
    c_test.go:3: skipping: cannot exec
--- SKIP: TestC (0.00s)
=== RUN   TestD
=== RUN   TestD/sub
    d_test.go:7: got 1, want 2
=== NAME  TestD
--- FAIL: TestD (0.01s)
    --- FAIL: TestD/sub (0.00s)
=== CONT  TestA
--- PASS: TestA (0.00s)
`

func TestParse(t *testing.T) {
	var r Result
	o := parse(sample + "FAIL\n")
	if !o.ended || o.running != "" {
		t.Errorf("ended %v, running %q", o.ended, o.running)
	}
	o.addTo(&r)
	want := Result{
		Passed:  1,
		Skipped: map[string]int{"skipping: cannot exec": 1},
		Wanting: map[string]int{"files": 1},
		Failed:  []string{"TestD"},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v\nwant %+v", r, want)
	}
}

// A binary that ends in the middle counts for the test that ended it only.
func TestParseLethal(t *testing.T) {
	var r Result
	text := sample + "=== RUN   TestE\npanic: open x: no such file or directory\n\ngoroutine 7 [running]:\n"
	o := parse(text)
	if o.ended || o.running != "TestE" {
		t.Errorf("ended %v, running %q", o.ended, o.running)
	}
	o.addTo(&r)
	if r.Passed != 0 || len(r.Failed) != 0 || r.Wanting["files"] != 1 {
		t.Errorf("got %+v", r)
	}
	parse(sample + "PASS\n").addTo(&r)
	if r.Passed != 1 || r.Wanting["files"] != 2 {
		t.Errorf("after the second run: got %+v", r)
	}
}

func TestTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(file, []byte("a\n"+tableBegin+"| a | 1 | 1 | 1 | 1 | old |\n| c/d | 5 | 0 | 0 | 0 |  |\n"+tableEnd+"z\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	results := []Result{
		{Package: "b", Passed: 2, Failed: []string{"TestX"}},
		{Package: "a", Passed: 3, Wanting: map[string]int{"files": 1}, Skipped: map[string]int{"a|b": 2}},
	}
	sums, err := replaceTable(file, results, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := "3 packages, 1 pass (33.3 %); of their tests 10 passed, 2 were skipped, 1 failed for want of something, 1 failed (1 packages of an earlier run)"; sums.String() != want {
		t.Errorf("got %q\nwant %q", sums, want)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a\n" + tableBegin,
		"| a | 3 | 2 | 1 | 0 | 1 for want of files; skipped: a\\|b |\n| b | 2 | 0 | 0 | 1 | failed: TestX |\n",
		"| c/d | 5 | 0 | 0 | 0 | (an earlier build)  |\n| **3 packages, 1 pass (33.3 %)** | **10** | **2** | **1** | **1** | |\n" + tableEnd + "z\n",
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %q in\n%s", want, data)
		}
	}
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := replaceTable(file, results, true); err == nil {
		t.Error("a file without a place for the table was taken")
	}
}
