package programs

import (
	"path/filepath"
	"testing"
)

func TestModuleOf(t *testing.T) {
	for pkg, want := range map[string]string{
		"hurdlab/suites/programs/hello":  "",
		"hurdlab/suites/programs/mysqld": "mysqld",
		"fmt":                            "",
		"-c":                             "",
	} {
		got, err := moduleOf(pkg)
		if err != nil || want == "" && got != "" || want != "" && filepath.Base(got) != want {
			t.Errorf("%s: %q, %v", pkg, got, err)
		}
	}
}

// A program that is a module of its own is built like any other.
func TestBuildHost(t *testing.T) {
	for _, pkg := range []string{"hurdlab/suites/programs/hello", "hurdlab/suites/programs/mysqld"} {
		if _, err := BuildHost(t.Context(), t.TempDir(), pkg); err != nil {
			t.Error(err)
		}
	}
}
