// Package download obtains disk images from the site where Debian publishes
// those of its ports: resumably, checked against the sums that the site
// publishes, whose signature is checked against Debian's keyrings, and from then
// on pinned. Package debian uses it. It imports images only, for progress.
package download

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hurdlab/images"
)

// DefaultSite is where Debian publishes the images of its ports, and the only
// place that says so.
const DefaultSite = "https://cdimage.debian.org/cdimage/ports/"

// Options say from where and to where.
type Options struct {
	// Site is the directory of the site with those of the releases; DefaultSite
	// if empty.
	Site string
	// Dir is for files: archives while they are not complete, and images.
	Dir string
	// Lock is the file with the pins.
	Lock string
	// Keyrings are the files with the keys that may sign; those of Debian's
	// packages if nil.
	Keyrings []string
	// Unsigned accepts sums that nobody has signed: then it is the site that is
	// trusted. A wrong signature is refused in any case.
	Unsigned bool

	// free says how many bytes a directory has room for; the test's.
	free func(dir string) (uint64, error)
	// pause is the wait between attempts, stall how long a connection may bring nothing.
	pause, stall time.Duration
}

// A Release is an image that is published.
type Release struct {
	// Name is its entry in the lock file.
	Name string
	// Dir is its directory below the site's.
	Dir string
	// Arch is part of its file's name: "hurd-i386".
	Arch string
}

// Get returns the path of the image, raw, and what is known of its origin. If it
// is there it is not asked for.
func Get(ctx context.Context, opt Options, r Release, p images.Progress) (string, *Pin, error) {
	if opt.Site == "" {
		opt.Site = DefaultSite
	}
	if opt.free == nil {
		opt.free = free
	}
	if opt.pause == 0 {
		opt.pause = time.Second
	}
	if opt.stall == 0 {
		opt.stall = time.Minute
	}
	if err := os.MkdirAll(opt.Dir, 0o755); err != nil {
		return "", nil, err
	}
	release, err := alone(ctx, filepath.Join(opt.Dir, ".guard"), opt.pause, p)
	if err != nil {
		return "", nil, err
	}
	defer release()
	lock, err := readLock(opt.Lock)
	if err != nil {
		return "", nil, err
	}
	pin := lock[r.Name]
	if pin != nil {
		if file := opt.image(pin); exists(file) {
			return file, pin, nil
		}
	} else if pin, err = opt.find(ctx, r, p); err != nil {
		return "", nil, &SiteError{Site: opt.Site, Err: err}
	}
	archive, err := opt.fetch(ctx, pin, p)
	if err != nil {
		if lock[r.Name] != nil {
			err = fmt.Errorf("%w (pinned in %s)", err, opt.Lock)
		}
		return "", nil, &SiteError{Site: opt.Site, Err: err}
	}
	if lock[r.Name] == nil {
		if err := addPin(opt.Lock, r.Name, pin); err != nil {
			return "", nil, err
		}
	}
	file := opt.image(pin)
	if err := opt.unpack(ctx, archive, file, p); err != nil {
		return "", nil, err
	}
	os.Remove(archive) // a third of the image's size, and of no further use
	return file, pin, nil
}

// image is where the image of a pin is kept.
func (o *Options) image(p *Pin) string { return filepath.Join(o.Dir, p.SHA256[:16], "disk.img") }

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// A SiteError says that there is no image to be had.
type SiteError struct {
	Site string
	Err  error
}

func (e *SiteError) Error() string {
	return fmt.Sprintf("cannot get an image from %s: %v", e.Site, e.Err)
}

func (e *SiteError) Unwrap() error { return e.Err }

// Advice is what the user can do.
func (e *SiteError) Advice() string {
	var own interface{ Advice() string }
	if errors.As(e.Err, &own) {
		return own.Advice()
	}
	return "run it again: it goes on where it was; or name another site (--image-site URL, or HURDLAB_IMAGE_SITE), or get the image elsewhere and name its file: --image FILE"
}

// find looks for the image of a release, and believes only what is signed.
func (o *Options) find(ctx context.Context, r Release, p images.Progress) (_ *Pin, err error) {
	done := p.Step("look for " + r.Name)
	defer func() { done(err) }()
	dir, err := url.JoinPath(o.Site, r.Dir)
	if err != nil {
		return nil, err
	}
	sums, err := o.get(ctx, dir+"/SHA256SUMS")
	if err != nil {
		return nil, err
	}
	signed, signer, err := o.verify(ctx, dir+"/SHA256SUMS", sums)
	if err != nil {
		return nil, err
	}
	name, sum, err := choose(signed, r.Arch)
	if err != nil {
		return nil, fmt.Errorf("%s/SHA256SUMS: %w", dir, err)
	}
	if signer == "" {
		p.Logf("the sums are not signed: %s is trusted", o.Site)
	} else {
		p.Logf("%s, signed by %s", name, signer)
	}
	return &Pin{URL: dir + "/" + name, SHA256: sum, Signer: signer, Pinned: time.Now().UTC().Truncate(time.Second)}, nil
}

// maxSums bounds what is read of small files, in bytes.
const maxSums = 1 << 20

// errNotFound says that the site does not have a file.
var errNotFound = errors.New("not found")

// errStalled says that a site says nothing any more.
var errStalled = errors.New("the site has sent nothing for too long")

// get reads a small file.
func (o *Options) get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.stall, errStalled)
	defer cancel()
	b, err := getAll(ctx, url)
	if err != nil && context.Cause(ctx) == errStalled {
		err = fmt.Errorf("GET %s: %w", url, errStalled)
	}
	return b, err
}

func getAll(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, fmt.Errorf("GET %s: %w", url, errNotFound)
	default:
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxSums+1))
	if err == nil && len(b) > maxSums {
		err = fmt.Errorf("more than %d bytes", maxSums)
	}
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", url, err)
	}
	return b, nil
}

// sumLine is a line of SHA256SUMS.
var sumLine = regexp.MustCompile(`^([0-9a-f]{64}) [ *](?:\./)?([A-Za-z0-9._-]+)$`)

// choose picks the image from the sums: that with the newest date in its name,
// in the smallest form.
func choose(sums []byte, arch string) (name, sum string, err error) {
	type candidate struct {
		date, name, sum string
		form            int
	}
	var found []candidate
	// debian-hurd-amd64-20250807.img.tar.xz, debian-hurd-20250807.img.tar.xz,
	// and debian-hurd.img.tar.xz, an alias.
	short := strings.TrimPrefix(arch, "hurd-")
	re := regexp.MustCompile(`^debian-hurd(?:-` + regexp.QuoteMeta(short) + `)?(?:-(\d{8}))?\.img(\.tar\.xz|\.xz|\.tar\.gz|\.gz)$`)
	for l := range strings.Lines(string(sums)) {
		m := sumLine.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil {
			continue
		}
		if n := re.FindStringSubmatch(m[2]); n != nil {
			found = append(found, candidate{n[1], m[2], m[1], slices.Index(forms, n[2])})
		}
	}
	if len(found) == 0 {
		return "", "", fmt.Errorf("no image of %s is among the files", arch)
	}
	c := slices.MinFunc(found, func(a, b candidate) int {
		if c := strings.Compare(b.date, a.date); c != 0 {
			return c
		}
		return a.form - b.form
	})
	return c.name, c.sum, nil
}

// forms are the endings of archives, the best first.
var forms = []string{".tar.xz", ".xz", ".tar.gz", ".gz"}

// attempts is how often in a row a connection may break without having brought
// anything.
const attempts = 5

// fetch downloads the archive of a pin, or the rest of it.
func (o *Options) fetch(ctx context.Context, pin *Pin, p images.Progress) (file string, err error) {
	done := p.Step("fetch " + path.Base(pin.URL))
	defer func() { done(err) }()
	// Its name is of its contents: the rest of another file is never added. The ending is
	// the archive's, by which it is unpacked.
	file = filepath.Join(o.Dir, pin.SHA256[:16]+"-"+path.Base(pin.URL))
	d := &download{url: pin.URL, part: filepath.Join(o.Dir, pin.SHA256[:16]+".part"), sum: sha256.New(), opt: o, progress: p}
	// What is complete but for its being unpacked is there by its own name.
	if err := os.Rename(file, d.part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := d.open(); err != nil {
		return "", err
	}
	defer d.f.Close()
	resumed := d.at > 0
	for {
		got := hex.EncodeToString(d.sum.Sum(nil))
		if got == pin.SHA256 {
			break // it was complete
		}
		if err := d.all(ctx); err != nil {
			return "", err
		}
		if got = hex.EncodeToString(d.sum.Sum(nil)); got == pin.SHA256 {
			break
		}
		if !resumed {
			if err := d.restart(); err != nil {
				return "", err
			}
			return "", fmt.Errorf("GET %s: the file has SHA-256 %s, the published one has %s", pin.URL, got, pin.SHA256)
		}
		// What was there before may have been damaged.
		p.Logf("the sum of what was resumed is wrong: from the beginning")
		resumed = false
		if err := d.restart(); err != nil {
			return "", err
		}
	}
	pin.Size = d.at
	if err := d.f.Sync(); err != nil {
		return "", err
	}
	return file, os.Rename(d.part, file)
}

// download is a file on its way.
type download struct {
	url, part string
	f         *os.File
	at, size  int64 // in bytes; size is 0 if it is not known
	sum       hash.Hash
	opt       *Options
	progress  images.Progress
	noted     int64
}

// open opens what is there of the file, and sums it.
func (d *download) open() (err error) {
	if d.f, err = os.OpenFile(d.part, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return err
	}
	if st, err := d.f.Stat(); err != nil || !st.Mode().IsRegular() {
		return err
	}
	d.at, err = io.Copy(d.sum, d.f)
	return err
}

// restart forgets what is there.
func (d *download) restart() error {
	d.at, d.noted = 0, 0
	d.sum.Reset()
	if _, err := d.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return d.f.Truncate(0)
}

// all gets the rest, over as many connections as it takes.
func (d *download) all(ctx context.Context) error {
	for failed := 0; ; {
		before := d.at
		err := d.once(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var cut *cutError
		if !errors.As(err, &cut) {
			return err
		}
		if failed++; d.at > before {
			failed = 0
		}
		if failed == attempts {
			return fmt.Errorf("GET %s: %w; %d bytes are there", d.url, cut.err, d.at)
		}
		d.progress.Logf("%v after %d MB: again from there", cut.err, d.at>>20)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(d.opt.pause):
		}
	}
}

// A cutError is a failure of the network, which may not be there the next time.
type cutError struct{ err error }

func (e *cutError) Error() string { return e.err.Error() }

// once gets what one connection brings, as long as it brings something.
func (d *download) once(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(d.opt.stall, func() { cancel(errStalled) })
	defer watch.Stop()
	err := d.get(ctx, watch)
	if err != nil && context.Cause(ctx) == errStalled {
		return &cutError{errStalled}
	}
	return err
}

func (d *download) get(ctx context.Context, watch *time.Timer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return err
	}
	if d.at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.at))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return &cutError{err}
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		if d.at > 0 {
			d.progress.Logf("the site does not resume: from the beginning")
			if err := d.restart(); err != nil {
				return err
			}
		}
	case http.StatusPartialContent:
		var from int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &from); err != nil || from != d.at {
			return fmt.Errorf("GET %s: asked for the part from %d on, got %q", d.url, d.at, resp.Header.Get("Content-Range"))
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return nil // there is no more; its sum will tell
	default:
		if resp.StatusCode >= 500 {
			return &cutError{fmt.Errorf("%s", resp.Status)}
		}
		return fmt.Errorf("GET %s: %s", d.url, resp.Status)
	}
	d.size = 0
	if resp.ContentLength >= 0 {
		d.size = d.at + resp.ContentLength
		if err := d.opt.room(d.opt.Dir, uint64(resp.ContentLength)); err != nil {
			return err
		}
	}
	for buf := make([]byte, 128<<10); ; {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			watch.Reset(d.opt.stall)
			if _, err := d.f.WriteAt(buf[:n], d.at); err != nil {
				return noSpace(err)
			}
			d.sum.Write(buf[:n])
			d.at += int64(n)
			d.note()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &cutError{err}
		}
	}
}

// note tells how far it is, twenty times in all.
func (d *download) note() {
	step := int64(50 << 20)
	if d.size > 0 {
		step = max(d.size/20, 1<<20)
	}
	if d.at-d.noted < step {
		return
	}
	d.noted = d.at
	if d.size > 0 {
		d.progress.Logf("%d of %d MB (%d %%)", d.at>>20, d.size>>20, 100*d.at/d.size)
	} else {
		d.progress.Logf("%d MB", d.at>>20)
	}
}

// free is what a directory's file system has room for.
func free(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// spare is what is to be left free, in bytes.
const spare = 64 << 20

// room makes sure that something fits.
func (o *Options) room(dir string, need uint64) error {
	have, err := o.free(dir)
	if err != nil {
		return err
	}
	if have < need+spare {
		return &SpaceError{fmt.Errorf("%d MB are free in %s, %d MB are needed", have>>20, dir, (need+spare)>>20)}
	}
	return nil
}

// A SpaceError says that the disk is full.
type SpaceError struct{ Err error }

func (e *SpaceError) Error() string { return "no space on the disk: " + e.Err.Error() }

func (e *SpaceError) Unwrap() error { return e.Err }

// Advice is what the user can do.
func (e *SpaceError) Advice() string {
	return "free some space, or use another place by XDG_CACHE_HOME, and run it again: it goes on where it was"
}

func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &SpaceError{err}
	}
	return err
}
