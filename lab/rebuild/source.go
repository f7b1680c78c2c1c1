package rebuild

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// NameSources is for the shell: it names the source of packages to apt, where only the
// packages are. $R is the root directory, without a slash at its end.
const NameSources = `cd $R/etc/apt
if ! grep -qs '^deb-src ' sources.list sources.list.d/*.list && ! grep -qs '^Types:.*deb-src' sources.list.d/*.sources; then
	cat sources.list sources.list.d/*.list 2>/dev/null | sed -n 's/^deb /deb-src /p' > hurdlab.new
	[ ! -s hurdlab.new ] || mv hurdlab.new sources.list.d/hurdlab-source.list
	cat sources.list.d/*.sources 2>/dev/null | sed 's/^Types:.*/Types: deb-src/' > hurdlab.new || true
	[ ! -s hurdlab.new ] || mv hurdlab.new sources.list.d/hurdlab-source.sources
	rm -f hurdlab.new
fi`

// tools gets what a build wants. The source of packages is named to apt where only the
// packages are.
func (j *Job) tools(ctx context.Context) error {
	if _, err := j.run(ctx, "command -v apt-get dpkg-query"); err != nil {
		var failed *ScriptError
		if errors.As(err, &failed) {
			return &hint{errors.New("the node has no apt: the source of its Hurd cannot be fetched"),
				"build the servers elsewhere and name them by --servers DIR"}
		}
		return err
	}
	out, err := j.run(ctx, `mkdir -p $W; df -Pk $W | tail -n 1`)
	if err != nil {
		return err
	}
	if f := strings.Fields(out); len(f) > 3 {
		if kb, err := strconv.Atoi(f[3]); err == nil && kb < roomKB {
			return &hint{fmt.Errorf("%d MB are free on the node; a build of the Hurd takes %d MB", kb>>10, roomKB>>10), "make room on it, or take a larger image"}
		}
	}
	_, err = j.run(ctx, `export DEBIAN_FRONTEND=noninteractive
dpkg --configure -a
`+NameSources+`
apt-get -q update
apt-get -q -y install patch dpkg-dev fakeroot
apt-get -q -y build-dep hurd`)
	return err
}

// roomKB is what a build takes on the node.
const roomKB = 2 << 20

// source fetches the source of the version that is installed, as Debian patches it.
func (j *Job) source(ctx context.Context) error {
	out, err := j.run(ctx, `mkdir -p $W
cd $W
v=$(dpkg-query -W -f '${Version}' hurd)
v=${v%+hurdlab.*}
rm -rf source.new
mkdir source.new
cd source.new
apt-get -q source hurd=$v
set -- */
if [ $# != 1 ] || [ ! -d "$1" ]; then echo "apt-get has unpacked no source: $*" >&2; exit 1; fi
mv "$1" tree
cd ..
rm -rf source
mv source.new source
echo "version $v"`)
	if err != nil {
		return err
	}
	m := versionLine.FindAllStringSubmatch(out, -1)
	if m == nil {
		return errors.New("the node does not say which version of the Hurd it has")
	}
	j.state.Version = m[len(m)-1][1]
	return nil
}

var versionLine = regexp.MustCompile(`(?m)^version (\S+)$`)

// A change is a line of a series.
type change struct {
	op       string // "patch", "copy" or "remove"
	from, to string // a file of the series, and one of the tree
}

// parseSeries reads the file "series" of a series.
func parseSeries(series fs.FS) ([]change, error) {
	b, err := fs.ReadFile(series, "series")
	if err != nil {
		return nil, err
	}
	var list []change
	for i, line := range strings.Split(string(b), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		bad := func(what string) error { return fmt.Errorf("series, line %d: %s: %s", i+1, what, line) }
		var c change
		switch {
		case len(f) == 0:
			continue
		case len(f) == 2 && f[0] == "patch":
			c = change{op: f[0], from: f[1]}
		case len(f) == 3 && f[0] == "copy":
			c = change{f[0], path.Join("new", f[1]), f[2]}
		case len(f) == 2 && f[0] == "remove":
			c = change{op: f[0], to: f[1]}
		default:
			return nil, bad("it is none of patch FILE, copy SOURCE PATH, remove PATH")
		}
		for _, name := range []string{c.from, c.to} {
			if name != "" && !fs.ValidPath(name) {
				return nil, bad("a name leads out of the tree")
			}
		}
		if c.from != "" {
			if _, err := fs.Stat(series, c.from); err != nil {
				return nil, bad(err.Error())
			}
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("series: it has no lines")
	}
	return list, nil
}

// patch makes a tree with all changes from the source, and puts it in the place of the
// last one when it is complete.
func (j *Job) patch(ctx context.Context) error {
	list, err := parseSeries(j.Series)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hurdlab-series-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	dir = filepath.Join(dir, "series")
	if err := os.CopyFS(dir, j.Series); err != nil {
		return err
	}
	if _, err := j.run(ctx, "cd $W\nrm -rf series patched.new\ncp -a source/tree patched.new"); err != nil {
		return err
	}
	if err := j.Node.CopyTo(ctx, dir, j.Dir+"/series"); err != nil {
		return err
	}
	for _, c := range list {
		if err := j.apply(ctx, c); err != nil {
			return err
		}
	}
	// A version of its own tells the packages from Debian's.
	_, err = j.run(ctx, fmt.Sprintf(`cd $W/patched.new
{
	echo "hurd (%[1]s) UNRELEASED; urgency=medium"
	echo
	echo "  * The series %[2]s of hurdlab."
	echo
	echo " -- hurdlab <root@localhost>  Thu, 01 Jan 2026 00:00:00 +0000"
	echo
	cat debian/changelog
} > ../changelog.new
mv ../changelog.new debian/changelog
cd ..
rm -rf patched
mv patched.new patched`, j.version(), j.state.Key[:8]))
	return err
}

func (j *Job) apply(ctx context.Context, c change) error {
	switch c.op {
	case "copy":
		if _, err := j.run(ctx, fmt.Sprintf("cd $W/patched.new\nif [ -e %[2]s ]; then echo %[2]s is there already >&2; exit 1; fi\nmkdir -p %[3]s\ncp -r ../series/%[1]s %[2]s",
			quote(c.from), quote(c.to), quote(path.Dir(c.to)))); err != nil {
			return fmt.Errorf("copy %s: %w", c.to, err)
		}
	case "remove":
		if _, err := j.run(ctx, fmt.Sprintf("cd $W/patched.new\n[ -e %[1]s ]\nrm -r %[1]s", quote(c.to))); err != nil {
			return fmt.Errorf("remove %s, which is not there: %w", c.to, err)
		}
	case "patch":
		out, err := j.run(ctx, fmt.Sprintf("cd $W/patched.new\nfor dry in --dry-run ''; do LC_ALL=C patch -p1 -F0 -N --no-backup-if-mismatch $dry < ../series/%s 2>&1; done", quote(c.from)))
		var failed *ScriptError
		if errors.As(err, &failed) {
			return j.explain(ctx, c.from, out, err)
		}
		return err
	}
	return nil
}

// A MismatchError says where a patch does not apply, and why.
type MismatchError struct {
	Patch   string
	Version string
	Hunks   []string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s does not apply to hurd %s:\n  %s", e.Patch, e.Version, strings.Join(e.Hunks, "\n  "))
}

// Advice is what the user can do.
func (e *MismatchError) Advice() string {
	return "nothing has been changed on the node but its work directory; make the patch for this version (the source is in source/tree there), name it by --series, and run it again: it goes on with the patch"
}

var (
	checking   = regexp.MustCompile(`^(?:checking|patching) file '?([^']+?)'?$`)
	hunkFailed = regexp.MustCompile(`^Hunk #(\d+) FAILED at (\d+)`)
)

// explain finds in what patch said which hunks fail, and why in the files.
func (j *Job) explain(ctx context.Context, name, out string, err error) error {
	text, rerr := fs.ReadFile(j.Series, name)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	e := &MismatchError{Patch: name, Version: j.state.Version}
	var file string
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if m := checking.FindStringSubmatch(line); m != nil {
			file = m[1]
		} else if m := hunkFailed.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			at, _ := strconv.Atoi(m[2])
			var have bytes.Buffer
			if status, err := j.Node.Run(ctx, "cat "+quote(j.Dir+"/patched.new/"+file), &have); err != nil {
				return err
			} else if status != 0 {
				have.Reset()
			}
			e.Hunks = append(e.Hunks, fmt.Sprintf("%s, hunk %d, for line %d: %s", file, n, at, whyNot(hunk(text, file, n), have.Bytes(), at)))
		} else if strings.Contains(line, "can't find file") || strings.Contains(line, "malformed patch") || strings.Contains(line, "previously applied") {
			e.Hunks = append(e.Hunks, line)
		}
	}
	if len(e.Hunks) == 0 {
		return fmt.Errorf("%s: %w", name, err)
	}
	return e
}

// hunk returns the lines that the n-th hunk of a patch wants to find in a file.
func hunk(patch []byte, file string, n int) (want []string) {
	var in bool
	sc := bufio.NewScanner(bytes.NewReader(patch))
	sc.Buffer(nil, 1<<20)
	left := 0 // lines of the old file that are to come in this hunk
	for sc.Scan() {
		l := sc.Text()
		switch {
		case left == 0 && strings.HasPrefix(l, "+++ "):
			f := strings.Fields(l)
			_, rest, _ := strings.Cut(f[min(1, len(f)-1)], "/")
			in = rest == file
		case strings.HasPrefix(l, "@@ "):
			m := hunkHead.FindStringSubmatch(l)
			if m == nil {
				continue
			}
			left = 1
			if m[1] != "" {
				left, _ = strconv.Atoi(m[1])
			}
			if in {
				if n--; n < 0 {
					return want
				}
			}
		case left > 0 && (l == "" || l[0] == ' ' || l[0] == '-'):
			left--
			if in && n == 0 {
				want = append(want, strings.TrimPrefix(strings.TrimPrefix(l, " "), "-"))
			}
		}
	}
	return want
}

var hunkHead = regexp.MustCompile(`^@@ -\d+(?:,(\d+))? \+\d+(?:,\d+)? @@`)

// whyNot says what keeps lines from being found in a file: the first that is another
// where the most of them are, as near to where they were expected as may be.
func whyNot(want []string, file []byte, at int) string {
	if len(want) == 0 {
		return "the patch has no such hunk"
	}
	have := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
	if len(file) == 0 {
		return "the file is not there, or is empty"
	}
	best, bestSame, bestFar := -1, 0, 0
	for i := range have {
		same := 0
		for k, w := range want {
			if i+k < len(have) && have[i+k] == w {
				same++
			}
		}
		far := max(i+1-at, at-i-1)
		if same > bestSame || same == bestSame && best >= 0 && far < bestFar {
			best, bestSame, bestFar = i, same, far
		}
	}
	if best < 0 {
		return fmt.Sprintf("none of its lines is in the file, such as %q", want[0])
	}
	for k, w := range want {
		switch {
		case best+k >= len(have):
			return fmt.Sprintf("the file ends where the patch wants %q", w)
		case have[best+k] != w:
			return fmt.Sprintf("line %d is %q, and the patch wants %q", best+k+1, have[best+k], w)
		}
	}
	return fmt.Sprintf("its lines are at line %d, but not only there or not whole", best+1)
}
