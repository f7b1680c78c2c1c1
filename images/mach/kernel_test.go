package machimage

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// testKernel is the least that passes for a multiboot kernel.
func testKernel(text string) []byte {
	k := make([]byte, 64)
	copy(k[16:], []byte{0x02, 0xb0, 0xad, 0x1b, 0, 0, 0, 0, 0xfe, 0x4f, 0x52, 0xe4})
	return append(k, text...)
}

func gz(t *testing.T, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// testDeb makes a Debian package of one file.
func testDeb(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var data bytes.Buffer
	x, err := xz.NewWriter(&data)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(x)
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tw.Close(), x.Close()); err != nil {
		t.Fatal(err)
	}
	var deb bytes.Buffer
	deb.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		body []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.xz", []byte("odd")}, {"data.tar.xz", data.Bytes()}} {
		fmt.Fprintf(&deb, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.body))
		deb.Write(m.body)
		if len(m.body)%2 == 1 {
			deb.WriteByte('\n')
		}
	}
	return deb.Bytes()
}

// log is a Progress that remembers what it was told.
type log struct{ lines []string }

func (l *log) Step(name string) func(error) {
	return func(err error) { l.lines = append(l.lines, fmt.Sprintf("%s: %v", name, err)) }
}
func (l *log) Logf(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func TestKernelFromDeb(t *testing.T) {
	want := testKernel("a kernel")
	got, err := kernelFromDeb(testDeb(t, "./boot/gnumach-1.8-486-up.gz", gz(t, want)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want the %d that were packed", len(got), len(want))
	}
}

func TestKernelFromDebErrors(t *testing.T) {
	good := testDeb(t, "./boot/gnumach-1.8-486-up.gz", gz(t, testKernel("")))
	for _, tc := range []struct {
		name string
		deb  []byte
		want string
	}{
		{"empty", nil, "not a Debian package"},
		{"html", []byte("<html>login first</html>"), "not a Debian package"},
		{"no kernel", testDeb(t, "./usr/share/doc/x.gz", nil), "no boot/gnumach-*.gz"},
		{"not gzip", testDeb(t, "./boot/gnumach-1.gz", []byte("plain")), "boot/gnumach-1.gz"},
		{"not a kernel", testDeb(t, "./boot/gnumach-1.gz", gz(t, []byte("text"))), "not a multiboot kernel"},
		{"cut", good[:len(good)-40], "damaged"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := kernelFromDeb(tc.deb)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

// fakeApt puts an apt-get into PATH that knows one mirror and downloads deb
// from it, and checks what it is asked for as far as a shell can.
func fakeApt(t *testing.T, mirrors string, deb []byte) (calls string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "kernel.deb")
	calls = filepath.Join(dir, "calls")
	script := fmt.Sprintf(`#!/bin/sh
echo "$*" >>%[1]s
case "$*" in
"indextargets --no-release-info "*) printf '%[2]s' ;;
*update) grep -q '^Dir::State ' "$APT_CONFIG" && cat "$(dirname "$APT_CONFIG")/sources.list" >>%[1]s ;;
*download*) cp %[3]s . ;;
esac
`, calls, mirrors, file)
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, deb, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return calls
}

// The kernel comes from the host's own Debian mirror, once; a damaged cache
// is noticed, said and mended.
func TestKernelFromApt(t *testing.T) {
	want := testKernel("from apt")
	calls := fakeApt(t, `http://mirror.test/debian-security/\nhttp://mirror.test/debian/\n`,
		testDeb(t, "./boot/gnumach-1.8-486-up.gz", gz(t, want)))
	m := &image{opt: Options{CacheDir: t.TempDir()}}
	get := func() (string, *log) {
		t.Helper()
		var l log
		file, err := m.kernel(t.Context(), &l)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, want) {
			t.Fatalf("kernel %s: %d bytes, %v; want the packed one", file, len(b), err)
		}
		return file, &l
	}
	file, _ := get()
	b, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "deb http://mirror.test/debian/ trixie main") {
		t.Errorf("apt was asked\n%s\nwant the mirror's archive proper", b)
	}

	if _, l := get(); len(l.lines) != 0 {
		t.Errorf("with a full cache: %q, want silence", l.lines)
	}

	if err := os.WriteFile(file, want[:30], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, l := get(); len(l.lines) != 2 || !strings.Contains(l.lines[0], "not what was stored") {
		t.Errorf("with a truncated kernel: %q, want a word on it and a new download", l.lines)
	}

	record := kernelStore{filepath.Join(m.opt.CacheDir, "kernel")}.record()
	if err := os.WriteFile(record, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, l := get(); len(l.lines) != 2 || !strings.Contains(l.lines[0], "damaged") {
		t.Errorf("with a damaged record: %q, want a word on it and a new download", l.lines)
	}
}

func TestKernelNoDebianMirror(t *testing.T) {
	fakeApt(t, `http://other.test/elsewhere/\n`, nil)
	m := &image{opt: Options{CacheDir: t.TempDir()}}
	_, err := m.kernel(t.Context(), new(log))
	var ke *KernelError
	if !errors.As(err, &ke) || !strings.Contains(ke.Advice(), "--mirror URL") {
		t.Errorf("error %v, want a KernelError whose advice names --mirror", err)
	}
}

// A mirror that is named is believed only if it has the very package.
func TestKernelFromMirror(t *testing.T) {
	var asked string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path
		w.Write([]byte("something else"))
	}))
	defer srv.Close()
	m := &image{opt: Options{CacheDir: t.TempDir(), Mirror: srv.URL + "/debian"}}
	_, err := m.kernel(t.Context(), new(log))
	if err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("error %v, want a word on the digest", err)
	}
	if want := "/debian/" + kernelDeb; asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
	if _, err := (kernelStore{filepath.Join(m.opt.CacheDir, "kernel")}).get(); !errors.Is(err, errNoKernel) {
		t.Errorf("the store holds something: %v", err)
	}
}

func TestUserKernel(t *testing.T) {
	dir := t.TempDir()
	want := testKernel("mine")
	for name, content := range map[string][]byte{"plain": want, "packed": gz(t, want), "text": []byte("hello"), "cut": gz(t, want)[:20]} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ name, wantErr string }{
		{"plain", ""}, {"packed", ""}, {"text", "not a multiboot kernel"}, {"cut", "EOF"}, {"absent", "no such file"},
	} {
		m := &image{opt: Options{CacheDir: t.TempDir(), Kernel: filepath.Join(dir, tc.name)}}
		file, err := m.kernel(t.Context(), new(log))
		if tc.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tc.wantErr) || !strings.Contains(err.Error(), "--kernel") {
				t.Errorf("%s: error %v, want --kernel and %q", tc.name, err, tc.wantErr)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s: %s holds %d bytes, %v", tc.name, file, len(b), err)
		}
	}
}
