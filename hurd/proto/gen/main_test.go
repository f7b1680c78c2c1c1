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

func TestIDsAreDistinct(t *testing.T) {
	for _, bad := range []string{
		"interface X 1: y\n1 a() → ()\n1 b()",
		"interface X 1: y\n1 a() → ()\n101 b()",
	} {
		if _, err := Generate(bad); err == nil || !strings.Contains(err.Error(), "same id") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := Generate("interface X 1: y\n1 a()\n101 b()"); err != nil {
		t.Error(err)
	}
}
