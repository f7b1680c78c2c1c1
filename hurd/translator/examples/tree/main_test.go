package main

import (
	"slices"
	"strings"
	"testing"

	"hurdlab/hurd"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

func TestTree(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	fs, err := translator.NewFS(translator.Config{Root: number(0), Ports: k})
	if err != nil {
		t.Fatal(err)
	}
	root, err := fs.Root(ctx, translator.User{}, proto.O_READ, mach.Null)
	if err != nil {
		t.Fatal(err)
	}
	p := &hurd.Process{Root: root, CWD: root}
	list := func(path string) string {
		t.Helper()
		dir, err := p.Lookup(ctx, path, proto.O_READ, 0)
		if err != nil {
			return err.Error()
		}
		defer k.Release(dir)
		b, _, err := proto.DirReaddir(ctx, dir, 0, -1, 0)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := hurd.ParseDirents(b)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name)
		}
		return strings.Join(names, " ")
	}
	for path, want := range map[string]string{
		"12":             ". .. 2 3 4 6",
		"12/6":           ". .. 2 3",
		"12/6/3":         ". ..",
		"12/../8/4/..":   ". .. 2 4",
		"18/6/..":        ". .. 2 3 6 9", // not that of 12/6/..
		"12/6/../..":     list("/"),
		"12/6/../../../": list("/"),
	} {
		if got := list(path); got != want {
			t.Errorf("%s has %s, want %s", path, got, want)
		}
	}
	if got := strings.Fields(list("/")); len(got) != 102 || !slices.Contains(got, "100") {
		t.Errorf("the root has %q", got)
	}
	for _, path := range []string{"101", "0", "-1", "012", "x", "12/5", "12/12"} {
		if _, err := p.Lookup(ctx, path, proto.O_READ, 0); proto.Code(err) != proto.ENOENT {
			t.Errorf("%s: %v", path, err)
		}
	}
	k.Release(root)
	if left := k.Ports(); len(left) > 0 {
		t.Errorf("ports left: %v", left)
	}
}
