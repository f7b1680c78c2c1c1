package machimage

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"hurdlab/images/mach/memfs"
)

// The tree is the same for the same programs, and what rootfs makes of it is
// what was put in.
func TestTree(t *testing.T) {
	contents := make(map[string][]byte)
	for _, g := range programs {
		contents[g.name] = []byte("program " + g.name)
	}
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := writeTree(w, programs, contents); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two trees of the same programs differ")
	}
	if a.Len()%512 != 0 {
		t.Errorf("%d bytes are no whole blocks", a.Len())
	}
	got := make(map[string]*tar.Header)
	bodies := make(map[string]string)
	for r := tar.NewReader(&a); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := "/" + strings.TrimSuffix(h.Name, "/")
		if got[name] != nil {
			t.Errorf("%s is there twice", name)
		}
		got[name] = h
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		bodies[name] = string(body)
	}
	for _, e := range tree {
		h := got[e.path]
		if h == nil {
			t.Errorf("%s is missing", e.path)
			continue
		}
		if h.FileInfo().Mode().Perm() != e.mode.Perm() || h.Uid != e.uid || (h.Typeflag == tar.TypeDir) != e.mode.IsDir() {
			t.Errorf("%s: %v of %d, want %v of %d", e.path, h.FileInfo().Mode(), h.Uid, e.mode, e.uid)
		}
		if want := strings.Join(e.translator, "\x00"); strings.TrimSuffix(h.PAXRecords[memfs.PAXTranslator], "\x00") != want {
			t.Errorf("%s: translator %q, want %q", e.path, h.PAXRecords[memfs.PAXTranslator], want)
		}
	}
	for _, g := range programs {
		if g.path == "" {
			continue
		}
		if want := "program " + g.name + "\x00"; bodies[g.path] != want {
			t.Errorf("%s: %q, want %q", g.path, bodies[g.path], want)
		}
	}
	for _, p := range []string{"/hurd/startup", "/hurd/proc", "/hurd/auth", "/hurd/init", "/hurd/pfinet", "/hurd/pflocal", "/usr/bin/sh", "/usr/bin/ls", "/usr/bin/sshd"} {
		h := got[p]
		switch {
		case h == nil:
			t.Errorf("%s is missing", p)
		case h.Typeflag == tar.TypeLink && got["/"+h.Linkname] == nil:
			t.Errorf("%s is a link to %s, which is not there", p, h.Linkname)
		case h.Mode&0o111 == 0:
			t.Errorf("%s cannot be executed", p)
		}
	}
	if !slices.ContainsFunc(tree, func(e entry) bool { return e.path == "/tmp" && e.mode&fs.ModeSticky != 0 }) {
		t.Error("/tmp is not sticky")
	}
	if h := got["/tmp"]; h != nil && h.Mode != 0o1777 {
		t.Errorf("/tmp has mode %o", h.Mode)
	}
}
