package rootfs

import (
	"strings"
	"testing"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
)

func TestDevices(t *testing.T) {
	tree := newTree()
	if err := tree.MakeDevices(); err != nil {
		t.Fatal(err)
	}
	if err := tree.MakeDevices(); err != nil {
		t.Errorf("again: %v", err)
	}
	dev, err := tree.Root().(*dirNode).Lookup(t.Context(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	open := func(name string) (translator.Stream, error) {
		n, err := dev.(*dirNode).Lookup(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := n.(translator.Opener).Open(t.Context(), translator.Root(), rw)
		if err != nil {
			return nil, err
		}
		return f.(translator.Stream), nil
	}
	for name, want := range map[string]struct {
		read     int
		writeErr error
	}{"null": {0, nil}, "zero": {8, nil}, "full": {8, proto.ENOSPC}, "random": {8, nil}, "urandom": {8, nil}} {
		s, err := open(name)
		if err != nil {
			t.Fatal(err)
		}
		b := []byte("xxxxxxxx")
		if k, err := s.Read(t.Context(), b, false); k != want.read || err != nil {
			t.Errorf("%s: read %d, %v", name, k, err)
		}
		if strings.Contains(string(b[:want.read]), "xxxx") || name == "zero" && string(b) != "\x00\x00\x00\x00\x00\x00\x00\x00" {
			t.Errorf("%s: %q", name, b)
		}
		if k, err := s.Write(t.Context(), b, false); err != want.writeErr || err == nil && k != 8 {
			t.Errorf("%s: write: %d, %v", name, k, err)
		}
	}
	if _, err := open("console"); err != proto.ENXIO {
		t.Errorf("a device that is not there: %v", err)
	}
	time := &timeDevice{page: []byte("now")}
	b := make([]byte, 2)
	if k, _ := time.ReadAt(t.Context(), b, 1); string(b[:k]) != "ow" {
		t.Errorf("time: %q", b[:k])
	}
	if k, err := time.ReadAt(t.Context(), b, 1<<40); k != 0 || err != nil {
		t.Errorf("beyond time: %d %v", k, err)
	}
	if _, err := time.Map(t.Context(), 3); err != proto.EACCES {
		t.Errorf("time to write: %v", err)
	}
}
