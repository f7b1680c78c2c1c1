package download

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ulikunitz/xz"
)

const (
	archive = "debian-hurd-amd64-20250807.img.tar.xz"
	dir     = "/ports/13.0/hurd-amd64/"
)

var release = Release{Name: "debian-amd64", Dir: "13.0/hurd-amd64", Arch: "hurd-amd64"}

// site stands in for Debian's.
type site struct {
	*httptest.Server
	mu     sync.Mutex
	files  map[string][]byte
	asked  []string
	handle func(w http.ResponseWriter, r *http.Request) bool // before all else
}

func (s *site) put(name string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[dir+name] = b
}

func (s *site) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.Path+" "+r.Header.Get("Range"))
	b, ok := s.files[r.URL.Path]
	s.mu.Unlock()
	if s.handle != nil && s.handle(w, r) {
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// log is an images.Progress.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) Step(name string) func(error) {
	l.Logf("begin %s", name)
	return func(err error) { l.Logf("end %s: %v", name, err) }
}

func (l *log) Logf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *log) String() string { return strings.Join(l.lines, "\n") }

// disk is an image of some MB with holes.
func disk() []byte {
	b := make([]byte, 6<<20+123)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b[:3<<20] {
		b[i] = byte(r.Uint32())
	}
	b[len(b)-1] = 1
	return b
}

var tarXZ = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	x, _ := xz.NewWriter(&b)
	t := tar.NewWriter(x)
	t.WriteHeader(&tar.Header{Name: "README", Typeflag: tar.TypeReg, Size: 3, Mode: 0o644})
	t.Write([]byte("hi\n"))
	d := disk()
	t.WriteHeader(&tar.Header{Name: "debian-hurd-amd64-20250807.img", Typeflag: tar.TypeReg, Size: int64(len(d)), Mode: 0o644})
	t.Write(d)
	t.Close()
	x.Close()
	return b.Bytes()
})

// signer is a key of Debian's.
var signer = sync.OnceValue(func() *openpgp.Entity {
	e, err := openpgp.NewEntity("Debian CD", "", "cd@example.org", nil)
	if err != nil {
		panic(err)
	}
	return e
})

func keyring(t *testing.T, e *openpgp.Entity) string {
	t.Helper()
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keyring.gpg")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func sign(t *testing.T, e *openpgp.Entity, b []byte) []byte {
	t.Helper()
	var sig bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&sig, e, bytes.NewReader(b), nil); err != nil {
		t.Fatal(err)
	}
	return sig.Bytes()
}

func sums(files map[string][]byte) []byte {
	var b bytes.Buffer
	for name, data := range files {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(data), name)
	}
	return b.Bytes()
}

func newSite(t *testing.T) (*site, Options) {
	s := &site{files: make(map[string][]byte)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	list := sums(map[string][]byte{archive: tarXZ(), "debian-hurd.img.tar.xz": tarXZ(), "netinst.iso": nil})
	s.put(archive, tarXZ())
	s.put("SHA256SUMS", list)
	s.put("SHA256SUMS.sign", sign(t, signer(), list))
	home := t.TempDir()
	return s, Options{
		Site: s.URL + "/ports/", Dir: filepath.Join(home, "cache"), Lock: filepath.Join(home, "state", "images.lock"),
		Keyrings: []string{keyring(t, signer())}, pause: time.Millisecond,
	}
}

// check says that file is the image.
func check(t *testing.T, file string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(b, disk()) {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
}

func TestGet(t *testing.T) {
	s, opt := newSite(t)
	l := new(log)
	file, pin, err := Get(t.Context(), opt, release, l)
	check(t, file, err)
	if pin.Size != int64(len(tarXZ())) || !strings.Contains(pin.Signer, "Debian CD") || pin.URL != s.URL+dir+archive {
		t.Errorf("pin is %+v", pin)
	}
	if st, err := os.Stat(file); err != nil || st.Sys().(*syscall.Stat_t).Blocks*512 > 4<<20 {
		t.Errorf("the image has no holes: %v, %v", st, err)
	}
	if !strings.Contains(l.String(), "%)") {
		t.Errorf("no progress:\n%s", l)
	}
	// It is there, and what the site has is of no interest any more.
	n := len(s.requests())
	s.Close()
	again, _, err := Get(t.Context(), opt, release, l)
	if err != nil || again != file || len(s.requests()) != n {
		t.Errorf("a second time: %s, %v", again, err)
	}
	var left []string
	filepath.Walk(opt.Dir, func(p string, st os.FileInfo, err error) error {
		if err == nil && !st.IsDir() {
			left = append(left, p)
		}
		return err
	})
	if len(left) != 2 { // and the guard
		t.Errorf("it left %q", left)
	}
}

// What is pinned is had again whatever is published now, and nothing else is.
func TestPinned(t *testing.T) {
	s, opt := newSite(t)
	file, _, err := Get(t.Context(), opt, release, new(log))
	check(t, file, err)
	if err := os.RemoveAll(opt.Dir); err != nil {
		t.Fatal(err)
	}
	s.put("SHA256SUMS", []byte("nonsense"))
	file, _, err = Get(t.Context(), opt, release, new(log))
	check(t, file, err)
	if err := os.RemoveAll(opt.Dir); err != nil {
		t.Fatal(err)
	}
	s.put(archive, []byte("another"))
	if _, _, err = Get(t.Context(), opt, release, new(log)); err == nil || !strings.Contains(err.Error(), "pinned in") {
		t.Errorf("another file: %v", err)
	}
	if err := os.WriteFile(opt.Lock, []byte(`{"debian-amd64": {}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var damaged *LockError
	if _, _, err = Get(t.Context(), opt, release, new(log)); !errors.As(err, &damaged) {
		t.Errorf("damaged lock: %v", err)
	}
}

// Connections that break after some bytes, or at once.
func TestCut(t *testing.T) {
	s, opt := newSite(t)
	var conns atomic.Int32
	s.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, archive) || conns.Add(1) > 4 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(tarXZ()))) // and then less
		b := tarXZ()
		if from := r.Header.Get("Range"); from != "" {
			var at int
			fmt.Sscanf(from, "bytes=%d-", &at)
			w.Header().Set("Content-Length", fmt.Sprint(len(b)-at))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(b)-1, len(b)))
			w.WriteHeader(http.StatusPartialContent)
			b = b[at:]
		}
		w.Write(b[:min(len(b), 500_000)])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	l := new(log)
	file, _, err := Get(t.Context(), opt, release, l)
	check(t, file, err)
	if n := strings.Count(l.String(), "again from there"); n < 3 {
		t.Errorf("it was cut off %d times:\n%s", n, l)
	}
	resumed := 0
	for _, r := range s.requests() {
		if strings.Contains(r, "bytes=") {
			resumed++
		}
	}
	if resumed == 0 {
		t.Errorf("nothing was resumed: %q", s.requests())
	}
}

// A site that is gone is given up, and a later run goes on.
func TestResumeLater(t *testing.T) {
	s, opt := newSite(t)
	var gone atomic.Bool
	s.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, archive) || gone.Load() {
			return false
		}
		if r.Header.Get("Range") == "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(tarXZ())))
			w.Write(tarXZ()[:1_000_000])
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}
	var at *SiteError
	if _, _, err := Get(t.Context(), opt, release, new(log)); !errors.As(err, &at) || !strings.Contains(at.Advice(), "again") {
		t.Fatalf("a site that is gone: %v", err)
	}
	gone.Store(true)
	n := len(s.requests())
	file, _, err := Get(t.Context(), opt, release, new(log))
	check(t, file, err)
	if last := s.requests()[len(s.requests())-1]; len(s.requests()) == n || !strings.Contains(last, "bytes=1000000-") {
		t.Errorf("it did not go on: %q", last)
	}
}

// A site that says nothing any more, as when the way to it is gone without notice.
func TestStalled(t *testing.T) {
	s, opt := newSite(t)
	opt.stall = 300 * time.Millisecond
	var conns atomic.Int32
	s.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, archive) || conns.Add(1) > 2 {
			return false
		}
		if r.Header.Get("Range") == "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(tarXZ())))
			w.Write(tarXZ()[:1_000_000])
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		return true
	}
	l := new(log)
	file, _, err := Get(t.Context(), opt, release, l)
	check(t, file, err)
	if n := strings.Count(l.String(), errStalled.Error()); n != 2 {
		t.Errorf("it noticed %d times:\n%s", n, l)
	}
	s, opt = newSite(t)
	opt.stall = 100 * time.Millisecond
	s.handle = func(w http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	var at *SiteError
	if _, _, err := Get(t.Context(), opt, release, l); !errors.Is(err, errStalled) || !errors.As(err, &at) {
		t.Errorf("sums that do not come: %v", err)
	}
}

// What has been fetched and not unpacked is not fetched again.
func TestUnpackLater(t *testing.T) {
	s, opt := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	l := &stopper{step: "unpack", stop: cancel}
	if _, _, err := Get(ctx, opt, release, l); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v\n%s", err, &l.log)
	}
	s.Close()
	file, _, err := Get(t.Context(), opt, release, new(log))
	check(t, file, err)
}

// stopper stops something when a step begins.
type stopper struct {
	log
	step string
	stop func()
}

func (s *stopper) Step(name string) func(error) {
	if strings.HasPrefix(name, s.step) {
		s.stop()
	}
	return s.log.Step(name)
}

// Several at once: one fetches it, the others have it then.
func TestTogether(t *testing.T) {
	s, opt := newSite(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			file, _, err := Get(t.Context(), opt, release, new(log))
			if b, rerr := os.ReadFile(file); err != nil || rerr != nil || !bytes.Equal(b, disk()) {
				t.Errorf("%d bytes, %v, %v", len(b), err, rerr)
			}
		})
	}
	wg.Wait()
	n := 0
	for _, r := range s.requests() {
		if strings.Contains(r, archive) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d requests for the archive", n)
	}
}

// What was there is damaged: from the beginning, once.
func TestDamagedPart(t *testing.T) {
	_, opt := newSite(t)
	if err := os.MkdirAll(opt.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(tarXZ())
	part := filepath.Join(opt.Dir, hex.EncodeToString(sum[:])[:16]+".part")
	for _, n := range []int{1000, len(tarXZ()) + 5} {
		if err := os.WriteFile(part, make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
		file, _, err := Get(t.Context(), opt, release, new(log))
		check(t, file, err)
		os.RemoveAll(filepath.Dir(file))
	}
}

func TestRedirect(t *testing.T) {
	s, opt := newSite(t)
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(tarXZ()))
	}))
	defer mirror.Close()
	s.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, archive) {
			return false
		}
		http.Redirect(w, r, mirror.URL+"/elsewhere", http.StatusFound)
		return true
	}
	file, _, err := Get(t.Context(), opt, release, new(log))
	check(t, file, err)
	s2, opt2 := newSite(t)
	s2.handle = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
		return true
	}
	if _, _, err := Get(t.Context(), opt2, release, new(log)); err == nil {
		t.Error("endless redirection")
	}
}

func TestWrongSum(t *testing.T) {
	s, opt := newSite(t)
	b := bytes.Clone(tarXZ())
	b[len(b)/2]++
	s.put(archive, b)
	_, _, err := Get(t.Context(), opt, release, new(log))
	if err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(opt.Lock); err == nil {
		t.Error("it was pinned")
	}
}

func TestSignatures(t *testing.T) {
	stranger, err := openpgp.NewEntity("Somebody", "", "else@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	list := sums(map[string][]byte{archive: tarXZ()})
	for _, c := range []struct {
		name   string
		change func(s *site, opt *Options)
		ok     bool
	}{
		{"asc", func(s *site, opt *Options) {
			s.put("SHA256SUMS.asc", s.files[dir+"SHA256SUMS.sign"])
			delete(s.files, dir+"SHA256SUMS.sign")
		}, true},
		{"clear text", func(s *site, opt *Options) {
			var b bytes.Buffer
			w, _ := clearsign.Encode(&b, signer().PrivateKey, nil)
			w.Write(list)
			w.Close()
			s.put("SHA256SUMS", b.Bytes())
		}, true},
		{"changed clear text", func(s *site, opt *Options) {
			var b bytes.Buffer
			w, _ := clearsign.Encode(&b, signer().PrivateKey, nil)
			w.Write(list)
			w.Close()
			s.put("SHA256SUMS", bytes.Replace(b.Bytes(), []byte("amd64"), []byte("amd65"), 1))
		}, false},
		{"changed sums", func(s *site, opt *Options) { s.put("SHA256SUMS", append(list, '\n')) }, false},
		{"a stranger", func(s *site, opt *Options) {
			s.put("SHA256SUMS.sign", sign(t, stranger, s.files[dir+"SHA256SUMS"]))
		}, false},
		{"none", func(s *site, opt *Options) { delete(s.files, dir+"SHA256SUMS.sign") }, false},
		{"none, and accepted", func(s *site, opt *Options) {
			delete(s.files, dir+"SHA256SUMS.sign")
			opt.Unsigned = true
		}, true},
		{"wrong is never accepted", func(s *site, opt *Options) {
			s.put("SHA256SUMS", append(list, '\n'))
			opt.Unsigned = true
		}, false},
		{"no keyring", func(s *site, opt *Options) { opt.Keyrings = []string{} }, false},
		{"nonsense", func(s *site, opt *Options) { s.put("SHA256SUMS.sign", []byte("nonsense")) }, false},
	} {
		s, opt := newSite(t)
		c.change(s, &opt)
		file, _, err := Get(t.Context(), opt, release, new(log))
		if c.ok {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			} else {
				check(t, file, err)
			}
			continue
		}
		var bad *SignatureError
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := os.Stat(opt.Lock); err == nil {
			t.Errorf("%s: it was pinned", c.name)
		}
	}
}

func TestDiskFull(t *testing.T) {
	_, opt := newSite(t)
	opt.free = func(string) (uint64, error) { return 10 << 20, nil }
	var full *SpaceError
	if _, _, err := Get(t.Context(), opt, release, new(log)); !errors.As(err, &full) {
		t.Errorf("too little: %v", err)
	}
	// It becomes full on the way.
	opt.free = nil
	sum := sha256.Sum256(tarXZ())
	part := filepath.Join(opt.Dir, hex.EncodeToString(sum[:])[:16]+".part")
	os.Remove(part)
	if err := os.Symlink("/dev/full", part); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Get(t.Context(), opt, release, new(log)); !errors.As(err, &full) {
		t.Errorf("/dev/full: %v", err)
	}
	os.Remove(part)
	file, _, err := Get(t.Context(), opt, release, new(log))
	check(t, file, err)
}

func TestCancel(t *testing.T) {
	s, opt := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, archive) {
			return false
		}
		cancel()
		<-r.Context().Done()
		return true
	}
	if _, _, err := Get(ctx, opt, release, new(log)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestChoose(t *testing.T) {
	sum := func(c string) string { return strings.Repeat(c, 64) }
	list := strings.Join([]string{
		sum("1") + "  debian-hurd.img.tar.xz", sum("2") + " *debian-hurd-amd64-20250807.img.tar.gz",
		sum("3") + "  ./debian-hurd-amd64-20250807.img.tar.xz", sum("4") + "  debian-hurd-amd64-20240101.img.tar.xz",
		sum("5") + "  debian-hurd-i386-20250807.img.gz", sum("6") + "  debian-hurd-2025-amd64-NETINST-1.iso", "x  y",
	}, "\n")
	for arch, want := range map[string]string{"hurd-amd64": "3", "hurd-i386": "5"} {
		if name, got, err := choose([]byte(list), arch); err != nil || got != sum(want) {
			t.Errorf("%s: %s, %.1s, %v", arch, name, got, err)
		}
	}
	if name, _, err := choose([]byte(sum("1")+"  debian-hurd.img.xz"), "hurd-i386"); err != nil || name != "debian-hurd.img.xz" {
		t.Errorf("%s, %v", name, err)
	}
	if _, _, err := choose([]byte("nothing"), "hurd-i386"); err == nil {
		t.Error("nothing was chosen")
	}
}

func TestUnpack(t *testing.T) {
	var gz, cut, noImage bytes.Buffer
	z := gzip.NewWriter(&gz)
	z.Write(disk())
	z.Close()
	x, _ := xz.NewWriter(&cut)
	tw := tar.NewWriter(x)
	tw.WriteHeader(&tar.Header{Name: "a.img", Typeflag: tar.TypeReg, Size: 1 << 20, Mode: 0o644})
	tw.Write(make([]byte, 1000))
	x.Close() // in the middle of the file
	z = gzip.NewWriter(&noImage)
	tw = tar.NewWriter(z)
	tw.WriteHeader(&tar.Header{Name: "README", Typeflag: tar.TypeReg, Mode: 0o644})
	tw.Close()
	z.Close()
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"a.img.gz", gz.Bytes(), true}, {"a.img", disk(), true}, {"a.img.tar.xz", tarXZ(), true},
		{"a.img.gz", gz.Bytes()[:gz.Len()-100], false}, {"a.img.tar.xz", cut.Bytes(), false},
		{"a.img.tar.xz", tarXZ()[:100_000], false}, {"a.img.tar.gz", noImage.Bytes(), false}, {"a.img", nil, false},
	} {
		home := t.TempDir()
		opt := Options{Dir: home}
		in, out := filepath.Join(home, c.name), filepath.Join(home, "x", "disk.img")
		if err := os.WriteFile(in, c.b, 0o644); err != nil {
			t.Fatal(err)
		}
		err := opt.unpack(t.Context(), in, out, new(log))
		if c.ok {
			check(t, out, err)
		} else if err == nil || exists(out) {
			t.Errorf("%s, damaged: %v", c.name, err)
		}
	}
}
