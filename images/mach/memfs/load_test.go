package memfs

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"hurdlab/hurd/proto"
)

// A member is an entry of a tar and its contents.
type member struct {
	tar.Header
	data string
}

func archive(members ...member) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if m.Typeflag == 0 {
			m.Typeflag = tar.TypeReg
		}
		m.Size = int64(len(m.data))
		must(0, w.WriteHeader(&m.Header))
		must(io.WriteString(w, m.data))
	}
	must(0, w.Close())
	return b.Bytes()
}

var when = time.Unix(1700000000, 0)

var sample = archive(
	member{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: when}},
	member{Header: tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: when}},
	member{Header: tar.Header{Name: "bin/sh", Mode: 0o4755, Uid: 1, Gid: 2, ModTime: when}, data: strings.Repeat("program ", 1000)},
	member{Header: tar.Header{Name: "bin/ls", Linkname: "bin/sh", Typeflag: tar.TypeLink}},
	member{Header: tar.Header{Name: "etc/motd", Mode: 0o644}, data: "hello\n"},
	member{Header: tar.Header{Name: "lib", Linkname: "/bin", Typeflag: tar.TypeSymlink, Mode: 0o777}},
	member{Header: tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}},
	member{Header: tar.Header{Name: "dev/pipe", Typeflag: tar.TypeFifo, Mode: 0o600}},
	member{Header: tar.Header{Name: "servers/socket/1", Mode: 0o666, Format: tar.FormatPAX,
		PAXRecords: map[string]string{PAXTranslator: "/hurd/pflocal\x00--opt\x00"}}},
	member{Header: tar.Header{Name: strings.Repeat("long/", 40) + "name", Mode: 0o644}, data: "deep"},
	member{Header: tar.Header{Name: "etc/motd", Mode: 0o600}, data: "another\n"},
)

func TestLoad(t *testing.T) {
	f := newFS(t)
	must(0, f.Load(bytes.NewReader(sample), int64(len(sample))))
	get := func(p string) *Inode { t.Helper(); return must(f.find(p)) }
	read := func(p string) string {
		n := get(p)
		b := make([]byte, n.Size())
		must(n.ReadAt(b, 0))
		return string(b)
	}
	if u := f.Usage(); u.Bytes >= PageSize {
		t.Errorf("contents were copied: %+v", u)
	}
	if s := get("bin/sh").Stat(); s.Mode != proto.S_IFREG|0o4755 || s.UID != 1 || s.GID != 2 || s.Nlink != 2 || !s.Mtime.Equal(when) || s.Size != 8000 {
		t.Errorf("bin/sh: %+v", s)
	}
	if get("bin/ls") != get("bin/sh") || read("bin/ls") != strings.Repeat("program ", 1000) {
		t.Error("bin/ls")
	}
	if read("etc/motd") != "another\n" || read(strings.Repeat("long/", 40)+"name") != "deep" {
		t.Error("contents")
	}
	if s, err := get("lib").Target(); s != "/bin" || err != nil {
		t.Error(s, err)
	}
	if s := get("dev/null").Stat(); s.Mode != proto.S_IFCHR|0o666 || s.Rdev != Device(1, 3) {
		t.Errorf("%+v", s)
	}
	if s := get("dev/pipe").Stat(); s.Mode != proto.S_IFIFO|0o600 {
		t.Errorf("%+v", s)
	}
	if s := string(get("servers/socket/1").Translator()); s != "/hurd/pflocal\x00--opt\x00" {
		t.Errorf("%q", s)
	}
	if s := get("").Stat(); !s.Mtime.After(when.Add(-time.Second)) {
		t.Errorf("root: %+v", s)
	}
}

func TestLoadErrors(t *testing.T) {
	for name, b := range map[string][]byte{
		"cut":        sample[:3000],
		"garbage":    bytes.Repeat([]byte("x"), 2048),
		"link":       archive(member{Header: tar.Header{Name: "x", Linkname: "none", Typeflag: tar.TypeLink}}),
		"below file": archive(member{Header: tar.Header{Name: "x"}}, member{Header: tar.Header{Name: "x/y"}}),
		"over dir":   archive(member{Header: tar.Header{Name: "x/y"}}, member{Header: tar.Header{Name: "x"}}),
		"root":       archive(member{Header: tar.Header{Name: "x/.."}}),
		"long":       archive(member{Header: tar.Header{Name: strings.Repeat("x", 256), Format: tar.FormatPAX}}),
	} {
		f := newFS(t)
		if err := f.Load(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// A member's contents that the device does not have.
	f := newFS(t)
	b := archive(member{Header: tar.Header{Name: "x"}, data: strings.Repeat("x", 5000)})
	if err := f.Load(bytes.NewReader(b), 2048); err == nil {
		t.Error("cut in contents: no error")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(sample)
	f.Add(sample[:2500])
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := New(Config{MaxBytes: 1 << 16, MaxInodes: 50})
		fs.Load(bytes.NewReader(b), int64(len(b)))
		if err := fs.check(); err != nil {
			t.Fatal(err)
		}
		if u := fs.Usage(); u.Bytes > u.MaxBytes || u.Inodes > u.MaxInodes {
			t.Fatalf("%+v", u)
		}
	})
}
