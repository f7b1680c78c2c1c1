package store

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
)

// counted is Memory that knows what is outstanding.
type counted struct{ live, bytes int }

func (c *counted) Alloc(n int) ([]byte, error) {
	c.live++
	c.bytes += n
	return make([]byte, n), nil
}

func (c *counted) Free(b []byte) {
	c.live--
	c.bytes -= len(b)
	for i := range b {
		b[i] = 0xdd
	}
}

func read(t *testing.T, f *FS, p string) string {
	t.Helper()
	file, err := f.Open(p, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestErrors(t *testing.T) {
	f := New(Heap{}, 1<<20)
	must(t, f.MkdirAll("/a/b", 0o755))
	must(t, f.WriteFile("/a/f", []byte("x"), 0o644))
	for name, tt := range map[string]struct {
		err, want error
	}{
		"stat missing":           {second(f.Stat("/x")), fs.ErrNotExist},
		"stat below a file":      {second(f.Stat("/a/f/x")), ErrNotDir},
		"file as a directory":    {second(f.Stat("/a/f/")), ErrNotDir},
		"readdir of a file":      {second(f.ReadDir("/a/f")), ErrNotDir},
		"mkdir twice":            {f.Mkdir("/a", 0o755), fs.ErrExist},
		"mkdir of the root":      {f.Mkdir("/", 0o755), fs.ErrExist},
		"mkdir below nothing":    {f.Mkdir("/x/y", 0o755), fs.ErrNotExist},
		"mkdirall over a file":   {f.MkdirAll("/a/f/c", 0o755), ErrNotDir},
		"remove with contents":   {f.Remove("/a"), ErrNotEmpty},
		"remove missing":         {f.Remove("/x"), fs.ErrNotExist},
		"remove the root":        {f.RemoveAll("/"), fs.ErrInvalid},
		"removeall missing":      {f.RemoveAll("/x"), nil},
		"write to a directory":   {f.WriteFile("/a", nil, 0o644), ErrIsDir},
		"create as a directory":  {second(f.Open("/n/", Create|Write, 0o644)), ErrIsDir},
		"exclusive":              {second(f.Open("/a/f", Create|Exclusive, 0o644)), fs.ErrExist},
		"too long":               {f.Mkdir("/"+strings.Repeat("n", 256), 0o755), ErrNameTooLong},
		"too deep":               {f.Mkdir(strings.Repeat("/n", 600), 0o755), ErrNameTooLong},
		"rename missing":         {f.Rename("/x", "/y"), fs.ErrNotExist},
		"rename into itself":     {f.Rename("/a", "/a/b/c"), fs.ErrInvalid},
		"rename dir over file":   {f.Rename("/a/b", "/a/f"), ErrNotDir},
		"rename file over dir":   {f.Rename("/a/f", "/a/b"), ErrIsDir},
		"chmod missing":          {f.Chmod("/x", 0), fs.ErrNotExist},
		"more than the quota":    {f.WriteFile("/big", make([]byte, 1<<20+1), 0o644), ErrNoSpace},
		"dotdot above the root":  {second(f.Stat("../../a/./b/..")), nil},
		"name with a zero byte":  {f.Mkdir("/a\x00", 0o755), fs.ErrInvalid},
		"rename to the same":     {f.Rename("/a", "/a"), nil},
		"open directory to read": {second(f.Open("/a", 0, 0)), nil},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, tt.err, tt.want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestContents(t *testing.T) {
	mem := &counted{}
	f := New(mem, 1<<20)
	must(t, f.WriteFile("/f", []byte("hello"), 0o640))
	must(t, f.WriteFile("f", []byte("he"), 0o600))
	if got := read(t, f, "/f"); got != "he" {
		t.Errorf("got %q", got)
	}
	if i, _ := f.Stat("/f"); i.Mode != 0o640 || i.Name != "f" || i.Size != 2 {
		t.Errorf("%+v", i)
	}
	file, err := f.Open("/f", Write, 0)
	must(t, err)
	var want bytes.Buffer
	want.WriteString("he")
	for i := range 200 { // grows bit by bit
		b := bytes.Repeat([]byte{byte(i)}, 1000)
		want.Write(b)
		if _, err := file.WriteAt(b, int64(2+1000*i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, f, "/f"); got != want.String() {
		t.Error("the contents are wrong after growing")
	}
	must(t, file.Truncate(10))
	must(t, file.Truncate(20))
	if got := read(t, f, "/f"); got != want.String()[:10]+strings.Repeat("\x00", 10) {
		t.Errorf("after shrinking and growing: %q", got)
	}
	if _, err := file.WriteAt([]byte("x"), 1<<19); err != nil {
		t.Error(err)
	}
	if _, err := file.WriteAt([]byte("x"), 1<<20); !errors.Is(err, ErrNoSpace) {
		t.Errorf("beyond the quota: %v", err)
	}
	// A file that is removed lives as long as it is open.
	must(t, f.Remove("/f"))
	b := make([]byte, 2)
	if _, err := file.ReadAt(b, 0); err != nil || string(b) != "he" {
		t.Errorf("removed file: %q, %v", b, err)
	}
	file.Close()
	file.Close()
	if used, _ := f.Used(); mem.live != 0 || mem.bytes != 0 || used != 0 {
		t.Errorf("leaked: %+v, %d in use", mem, used)
	}
	ro, err := f.Open("/g", Create, 0o644)
	must(t, err)
	if _, err := ro.WriteAt([]byte("x"), 0); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("write to a file open for reading: %v", err)
	}
}

func TestTree(t *testing.T) {
	mem := &counted{}
	f := New(mem, 1<<20)
	must(t, f.MkdirAll("/a/b/c", 0o755))
	must(t, f.WriteFile("/a/b/2", []byte("two"), 0o644))
	must(t, f.WriteFile("/a/b/1", []byte("one"), 0o644))
	must(t, f.Rename("/a/b/1", "/a/b/2"))
	must(t, f.Rename("/a/b", "/d"))
	list, err := f.ReadDir("/d")
	must(t, err)
	if len(list) != 2 || list[0].Name != "2" || list[1].Name != "c" || !list[1].Mode.IsDir() {
		t.Errorf("%+v", list)
	}
	if got := read(t, f, "/d/2"); got != "one" {
		t.Errorf("got %q", got)
	}
	must(t, f.RemoveAll("/d"))
	if mem.live != 0 {
		t.Errorf("leaked: %+v", mem)
	}
}
