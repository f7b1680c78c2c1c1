package machimage

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"hurdlab/images"
	"hurdlab/internal/fsatomic"
)

// The kernel comes from one release of one suite: testing and unstable move,
// and a lab that boots today should boot the same kernel tomorrow.
const (
	kernelPackage = "gnumach-image-1.8-486-up"
	kernelSuite   = "trixie"
	kernelArch    = "i386"

	// What a mirror without apt is asked for, and what it must answer: apt
	// checks the archive's signature, here the digest stands in for it.
	kernelDeb       = "pool/main/g/gnumach/gnumach-image-1.8-486-up_1.8+git20250702-1_i386.deb"
	kernelDebSHA256 = "9a51d940af8e0898a24d9bcefbf19c7d96f118cfaa12cf21f6413bf91d730172"
)

// kernelRecord says which kernel the cache holds. It is written last, so a
// record is the proof that the file it names was complete.
type kernelRecord struct {
	Package string `json:"package"`
	SHA256  string `json:"sha256"`
}

// A kernelStore keeps kernels in dir by their content.
type kernelStore struct{ dir string }

func (s kernelStore) path(sum string) string { return filepath.Join(s.dir, sum, "gnumach") }
func (s kernelStore) record() string         { return filepath.Join(s.dir, "kernel.json") }

// errNoKernel says that the store is empty; errCorrupt that what it holds is
// not what was put there.
var (
	errNoKernel = errors.New("no kernel in the cache")
	errCorrupt  = errors.New("the cached kernel is not what was stored")
)

// get returns the path of the kernel in the store after checking its content:
// reading 1.2 MB costs less than finding out why a VM does not boot.
func (s kernelStore) get() (string, error) {
	b, err := os.ReadFile(s.record())
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoKernel
	}
	if err != nil {
		return "", err
	}
	var r kernelRecord
	if err := json.Unmarshal(b, &r); err != nil || len(r.SHA256) != 2*sha256.Size {
		return "", fmt.Errorf("%w: %s is damaged", errCorrupt, s.record())
	}
	p := s.path(r.SHA256)
	k, err := os.ReadFile(p)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if got := digest(k); got != r.SHA256 {
		return "", fmt.Errorf("%w: %s has SHA-256 %.12s…, not %.12s…", errCorrupt, p, got, r.SHA256)
	}
	return p, nil
}

// put stores a kernel and makes it the one that get returns.
func (s kernelStore) put(pkg string, kernel []byte) (string, error) {
	r := kernelRecord{Package: pkg, SHA256: digest(kernel)}
	b, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	if err := fsatomic.WriteFile(s.path(r.SHA256), kernel, 0o644); err != nil {
		return "", fmt.Errorf("store the kernel: %w", err)
	}
	if err := fsatomic.WriteFile(s.record(), append(b, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("store the kernel: %w", err)
	}
	return s.path(r.SHA256), nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// kernel returns the path of a kernel that was checked just now.
func (m *image) kernel(ctx context.Context, p images.Progress) (file string, err error) {
	store := kernelStore{filepath.Join(m.opt.CacheDir, "kernel")}
	if m.opt.Kernel != "" {
		return store.userKernel(m.opt.Kernel)
	}
	file, err = store.get()
	switch {
	case err == nil:
		return file, nil
	case errors.Is(err, errCorrupt):
		p.Logf("%v: fetching it again", err)
	case !errors.Is(err, errNoKernel):
		return "", fmt.Errorf("look for the kernel in the cache: %w", err)
	}

	done := p.Step("fetch the kernel (" + kernelPackage + ", Debian " + kernelSuite + ")")
	defer func() { done(err) }()
	deb, err := m.fetchDeb(ctx)
	if err != nil {
		return "", &KernelError{Err: err}
	}
	kernel, err := kernelFromDeb(deb)
	if err != nil {
		return "", &KernelError{Err: fmt.Errorf("package %s: %w", kernelPackage, err)}
	}
	return store.put(kernelPackage, kernel)
}

// A KernelError says why there is no kernel.
type KernelError struct{ Err error }

func (e *KernelError) Error() string {
	return fmt.Sprintf("cannot fetch the GNU Mach kernel: %v", e.Err)
}

// Advice is what the user can do.
func (e *KernelError) Advice() string {
	return fmt.Sprintf("name a Debian mirror with --mirror URL; or, without access to one, get the package %s (%s, %s) elsewhere and name the file boot/gnumach-*.gz from it with --kernel FILE",
		kernelPackage, kernelSuite, kernelArch)
}

func (e *KernelError) Unwrap() error { return e.Err }

func (m *image) fetchDeb(ctx context.Context) ([]byte, error) {
	if m.opt.Mirror != "" {
		return httpDeb(ctx, m.opt.Mirror)
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, errors.New("this host has no apt-get")
	}
	work := filepath.Join(m.opt.CacheDir, "apt")
	return aptDeb(ctx, work)
}

// httpDeb takes the package of known content from a mirror.
func httpDeb(ctx context.Context, mirror string) ([]byte, error) {
	u, err := url.JoinPath(mirror, kernelDeb)
	if err != nil {
		return nil, fmt.Errorf("mirror %q: %w", mirror, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, fmt.Errorf("mirror %q: %w", mirror, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", u, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", u, err)
	}
	if got := digest(b); got != kernelDebSHA256 {
		return nil, fmt.Errorf("GET %s: SHA-256 is %s, not %s: the mirror's file is not the one that Debian published", u, got, kernelDebSHA256)
	}
	return b, nil
}

// aptDeb downloads the package with apt, which checks the archive's
// signature, under a configuration of our own in dir: the host's sources and
// lists stay as they are.
func aptDeb(ctx context.Context, dir string) ([]byte, error) {
	mirrors, err := aptMirrors(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, mirror := range mirrors {
		deb, err := aptDownload(ctx, dir, mirror)
		if err == nil {
			return deb, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// aptMirrors lists the Debian archives that the host's apt is set up for,
// whether or not it has fetched their lists.
func aptMirrors(ctx context.Context) ([]string, error) {
	out, err := run(ctx, "", nil, "apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)", "Created-By: Packages")
	if err != nil {
		return nil, err
	}
	var mirrors []string
	seen := map[string]bool{}
	for _, uri := range strings.Fields(out) {
		// The archive proper is called debian on every mirror;
		// debian-security and third parties do not carry the kernel.
		if path.Base(uri) == "debian" && !seen[uri] {
			seen[uri] = true
			mirrors = append(mirrors, uri)
		}
	}
	if len(mirrors) == 0 {
		return nil, errors.New("apt on this host uses no Debian mirror (no source whose path ends in /debian)")
	}
	return mirrors, nil
}

func aptDownload(ctx context.Context, dir, mirror string) ([]byte, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial", "out"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	// The lists are 10 MB and of no further use.
	defer os.RemoveAll(dir)
	files := map[string]string{
		"sources.list": fmt.Sprintf("deb %s %s main\n", mirror, kernelSuite),
		"status":       "",
		"apt.conf": fmt.Sprintf(`Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "%[2]s";
APT::Architectures { "%[2]s"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
`, dir, kernelArch),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	env := []string{"APT_CONFIG=" + filepath.Join(dir, "apt.conf"), "LC_ALL=C"}
	out := filepath.Join(dir, "out")
	if _, err := run(ctx, out, env, "apt-get", "-qq", "update"); err != nil {
		return nil, err
	}
	if _, err := run(ctx, out, env, "apt-get", "-qq", "download", kernelPackage); err != nil {
		return nil, err
	}
	debs, err := filepath.Glob(filepath.Join(out, "*.deb"))
	if err != nil || len(debs) != 1 {
		return nil, fmt.Errorf("apt-get download %s left %d packages in %s", kernelPackage, len(debs), out)
	}
	return os.ReadFile(debs[0])
}

// run runs a command and returns its standard output; the error has what it
// said on standard error.
func run(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// userKernel accepts a kernel file that the user names, gzipped or not, and
// returns where an unpacked one lies.
func (s kernelStore) userKernel(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--kernel: %w", err)
	}
	packed := bytes.HasPrefix(b, gzipMagic)
	if packed {
		if b, err = gunzip(b); err != nil {
			return "", fmt.Errorf("--kernel %s: %w", file, err)
		}
	}
	if !isMultiboot(b) {
		return "", fmt.Errorf("--kernel %s: not a multiboot kernel (no multiboot header in its first 8 KiB)", file)
	}
	if !packed {
		return filepath.Abs(file)
	}
	p := s.path(digest(b))
	return p, fsatomic.WriteFile(p, b, 0o644)
}

var gzipMagic = []byte{0x1f, 0x8b}

// isMultiboot looks for a multiboot 1 header where one must be, in the first
// 8 KiB: magic, flags and checksum add up to zero.
func isMultiboot(kernel []byte) bool {
	head := kernel[:min(len(kernel), 8192)]
	word := func(i int) uint32 {
		return uint32(head[i]) | uint32(head[i+1])<<8 | uint32(head[i+2])<<16 | uint32(head[i+3])<<24
	}
	for i := 0; i+12 <= len(head); i += 4 {
		if word(i) == 0x1badb002 && word(i)+word(i+4)+word(i+8) == 0 {
			return true
		}
	}
	return false
}

// gunzip unpacks b whole, up to a limit no kernel comes near.
func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, 64<<20))
}
