package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	src, err := os.ReadFile("../hurd.idl")
	if err != nil {
		t.Fatal(err)
	}
	files, err := Generate(string(src))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what hurd.idl says: run go generate ./hurd/proto", name)
		}
	}
}

func TestBadDescriptionsAreRefused(t *testing.T) {
	for _, bad := range []string{
		"1 routine() → ()",
		"interface X 1: y\n1 routine(a:nothing) → ()",
		"interface X 1: y\n1 routine(a) → ()",
		"interface X 1: y\nroutine() → ()",
		"interface X 1: y\n1 routine(a:pages) → ()",
		"interface X 1: y\n1 routine() → (a:pages, b:i32)",
	} {
		if _, err := Generate(bad); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
