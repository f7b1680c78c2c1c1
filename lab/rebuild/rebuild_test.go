package rebuild

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// A fakeNode is a directory of this host, with programs that pretend to be apt's and
// dpkg's. It can be cut off: at the n-th program that a script of it runs, or operation
// that is none of a script's.
type fakeNode struct {
	t   *testing.T
	dir string
	// cut is when; 0 never. cancel is called then, and, if dies is set, the node is down.
	cut    int
	dies   bool
	cancel context.CancelFunc
	down   bool
	log    []string
}

// cutOff cuts off who runs the job, or the power of both.
func (n *fakeNode) cutOff() error {
	n.cancel()
	n.down = n.down || n.dies
	return errCut
}

// programs that scripts run; each first counts, and ends the script if it is time.
var counted = []string{"cp", "mv", "rm", "mkdir", "patch", "sync", "touch", "cat"}

const countScript = `#!/bin/sh
read n < "$FAKE/count"
n=$((n+1))
echo $n > "$FAKE/count"
if [ "$CUT" != 0 ] && [ $n -ge "$CUT" ]; then kill -KILL $TOP $PPID; exit 1; fi
`

var fakes = map[string]string{
	"apt-get": `
case "$*" in
*" source "*) mkdir hurd-1.0; cp -r "$FAKE/upstream/." hurd-1.0 ;;
*install*|*build-dep*) [ ! -e "$FAKE/no-network" ] || { echo "E: Unable to fetch some archives" >&2; exit 100; } ;;
esac`,
	"dpkg-query": `
case "$3" in
*Version*) cat "$FAKE/root/var/lib/dpkg/$4.version" ;;
*Status*) [ -e "$FAKE/root/var/lib/dpkg/$4.version" ] && echo "install ok installed" ;;
esac`,
	"dpkg-buildpackage": `
grep -q SYNTAX libpager/data.c && { echo "data.c:1: error: expected ';'"; exit 2; }
[ ! -e "$FAKE/full" ] || { echo "cp: write error: No space left on device" >&2; exit 1; }
v=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
{ echo hurd; echo $v; cat libpager/*.c; } > "../hurd_${v}_i386.deb"
{ echo hurd-dev; echo $v; } > "../hurd-dev_${v}_i386.deb"`,
	"dpkg-deb": `head -n 1 "$2"`,
	"dpkg": `
case $1 in
-i) shift; for d; do p=$(head -n 1 $d); sed -n 2p $d > "$FAKE/root/var/lib/dpkg/$p.version"; sed 1,2d $d > "$FAKE/root/hurd/ext2fs.static"; done ;;
esac`,
	"make":  `cd "$2" && { printf '\177ELF'; cat ../libpager/*.c; } > ext2fs.static.new && mv -f ext2fs.static.new ext2fs.static && chmod 755 ext2fs.static`,
	"strip": ``,
}

func newFake(t *testing.T) *fakeNode {
	t.Helper()
	n := &fakeNode{t: t, dir: t.TempDir()}
	write := func(name, data string, mode fs.FileMode) {
		file := filepath.Join(n.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(data), mode)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range counted {
		real, err := exec.LookPath(name)
		if err != nil {
			t.Skip(err)
		}
		write("bin/"+name, countScript+"exec "+real+` "$@"`, 0o755)
	}
	for name, body := range fakes {
		write("bin/"+name, countScript+body, 0o755)
	}
	// Nothing else is within reach: scripts must not meet the host's own apt.
	for _, name := range []string{"sh", "sed", "grep", "sort", "comm", "cmp", "find", "head", "tail", "df", "chmod", "xargs"} {
		real, err := exec.LookPath(name)
		if err != nil {
			t.Skip(err)
		}
		if err := os.Symlink(real, n.path("bin/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	write("count", "0\n", 0o644)
	write("upstream/libpager/data.c", "one\ntwo\nthree\nfour\n", 0o644)
	write("upstream/libpager/old.c", "old\n", 0o644)
	write("upstream/debian/changelog", "hurd (1:0.9-4) unstable; urgency=low\n", 0o644)
	write("upstream/debian/rules", "#!/bin/sh\nmkdir -p build && echo > build/config.status && make -C build\n", 0o755)
	write("root/hurd/ext2fs.static", "one\ntwo\nthree\nfour\nold\n", 0o755)
	write("root/running", "one\ntwo\nthree\nfour\nold\n", 0o755)
	write("root/var/lib/dpkg/hurd.version", "1:0.9-4\n", 0o644)
	write("root/etc/apt/sources.list", "deb somewhere unstable main\n", 0o644)
	write("root/etc/apt/sources.list.d/none", "", 0o644)
	return n
}

func (n *fakeNode) path(name string) string { return filepath.Join(n.dir, name) }

func (n *fakeNode) sh(script string) {
	n.t.Helper()
	if out, err := exec.Command("sh", "-ec", "cd "+quote(n.dir)+"\n"+script).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

var errCut = errors.New("cut off")

// count counts an operation that is none of a script's, and whether this is it.
func (n *fakeNode) count() bool {
	b, err := os.ReadFile(n.path("count"))
	if err != nil {
		n.t.Fatal(err)
	}
	k, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	k++
	if err := os.WriteFile(n.path("count"), fmt.Appendln(nil, k), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return k == n.cut
}

// op does an operation, and is cut off before it or after it.
func (n *fakeNode) op(name string, f func() error) error {
	n.log = append(n.log, name)
	if n.count() {
		return n.cutOff()
	}
	if err := f(); err != nil {
		return err
	}
	if n.count() {
		return n.cutOff()
	}
	return nil
}

func (n *fakeNode) Run(ctx context.Context, script string, out io.Writer) (int, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if n.down {
		return 0, errors.New("the node is down")
	}
	cmd := exec.Command("/bin/sh", "-c", "export TOP=$$\n"+script)
	cmd.Env = []string{"PATH=" + n.path("bin"), "FAKE=" + n.dir, "CUT=" + strconv.Itoa(n.cut)}
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, out, out
	err := cmd.Run()
	b, _ := os.ReadFile(n.path("count"))
	if k, _ := strconv.Atoi(strings.TrimSpace(string(b))); n.cut != 0 && k >= n.cut {
		return 0, n.cutOff()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

func (n *fakeNode) CopyTo(_ context.Context, local, remote string) error {
	return n.op("copy", func() error { return exec.Command("cp", "-rT", local, remote).Run() })
}

// boot is what becomes of the node with what is installed.
func (n *fakeNode) boot() error {
	b, err := os.ReadFile(n.path("root/hurd/ext2fs.static"))
	if err != nil {
		return err
	}
	if n.down = strings.Contains(string(b), "CRASH"); n.down {
		return errors.New("node1 does not boot: no progress for 10m0s")
	}
	return os.WriteFile(n.path("root/running"), b, 0o755)
}

func (n *fakeNode) Ensure(context.Context) error {
	return n.op("ensure", func() error {
		if n.down {
			return n.boot()
		}
		return nil
	})
}

func (n *fakeNode) Reboot(context.Context) error { return n.op("reboot", n.boot) }

func (n *fakeNode) Snapshot(context.Context, string) error {
	return n.op("snapshot", func() error { n.sh("rm -rf snap; cp -a root snap"); return nil })
}

func (n *fakeNode) Revert(context.Context, string) error {
	return n.op("revert", func() error {
		if _, err := os.Stat(n.path("snap")); err != nil {
			return err
		}
		n.sh("rm -rf root; cp -a snap root")
		return n.boot()
	})
}

func (n *fakeNode) Forget(context.Context, string) error {
	return n.op("forget", func() error { n.sh("rm -rf snap"); return nil })
}

func (n *fakeNode) Disk(_ context.Context, file string) error {
	return n.op("disk", func() error {
		n.sh("find root -type f ! -path '*/quick*' | sort | xargs cat > " + quote(file))
		return n.boot()
	})
}

type silent struct{}

func (silent) Step(string) func(error) { return func(error) {} }
func (silent) Logf(string, ...any)     {}

// series is one that applies.
var series = fstest.MapFS{
	"series":             {Data: []byte("# what it is\nremove libpager/old.c\ncopy libpager/new.c libpager/new.c\npatch two.patch\n")},
	"new/libpager/new.c": {Data: []byte("new\n")},
	"two.patch":          {Data: []byte("Subject: two\n\n--- a/libpager/data.c\n+++ b/libpager/data.c\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n")},
}

// with is the series with another file.
func with(name, data string) fstest.MapFS {
	m := maps.Clone(series)
	m[name] = &fstest.MapFile{Data: []byte(data)}
	return m
}

// job is a job for the node, which keeps an image.
func (n *fakeNode) job() *Job {
	return &Job{
		Node: n, StateFile: n.path("state.json"), LogFile: n.path("log"), Series: series, Progress: silent{},
		Dir: n.path("root/var/tmp/hurdlab-patch"), Root: n.path("root"),
		Keep: func(ctx context.Context, disk func(context.Context, string) error) error {
			if err := disk(ctx, n.path("image.new")); err != nil {
				return err
			}
			return os.Rename(n.path("image.new"), n.path("image"))
		},
	}
}

// run runs a job that may be cut off at an operation.
func (n *fakeNode) run(j *Job, cut int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n.cut, n.cancel = cut, cancel
	if err := os.WriteFile(n.path("count"), []byte("0\n"), 0o644); err != nil {
		n.t.Fatal(err)
	}
	j.state = state{}
	return j.Run(ctx)
}

// outcome is all that there is to see of how it ended.
func (n *fakeNode) outcome() map[string]string {
	m := make(map[string]string)
	for _, name := range []string{"root/hurd/ext2fs.static", "root/running", "root/var/lib/dpkg/hurd.version", "root/share/msgids/hurd.msgids", "image", "state.json"} {
		b, err := os.ReadFile(n.path(name))
		if err != nil {
			b = []byte("none")
		}
		m[name] = strings.ReplaceAll(string(b), n.dir, "")
	}
	if _, err := os.Stat(n.path("snap")); err == nil {
		m["snap"] = "there"
	}
	m["down"] = fmt.Sprint(n.down)
	return m
}

const patched = "one\n2\nthree\nfour\nnew\n"

func TestPatch(t *testing.T) {
	n := newFake(t)
	j := n.job()
	if err := n.run(j, 0); err != nil {
		t.Fatal(err)
	}
	got := n.outcome()
	if got["root/running"] != patched || got["down"] != "false" || got["snap"] != "" || !strings.Contains(got["image"], patched) {
		t.Errorf("%v", got)
	}
	if v := got["root/var/lib/dpkg/hurd.version"]; v != j.version()+"\n" || !strings.HasPrefix(v, "1:0.9-4+hurdlab.") {
		t.Errorf("version %s", v)
	}
	if err := n.run(n.job(), 0); !errors.Is(err, ErrDone) {
		t.Errorf("again: %v", err)
	}
	// Another series begins with the source of the version as it was.
	other := n.job()
	other.Series = with("new/libpager/new.c", "newer\n")
	if err := n.run(other, 0); err != nil {
		t.Fatal(err)
	}
	if got := n.outcome()["root/running"]; got != "one\n2\nthree\nfour\nnewer\n" {
		t.Errorf("%q", got)
	}
}

// all: each takes some 100 ms of the processor.
var all = flag.Bool("all", false, "cut off at every operation, not at every nineteenth")

// counted is how many operations there were.
func (n *fakeNode) counted() int {
	b, err := os.ReadFile(n.path("count"))
	if err != nil {
		n.t.Fatal(err)
	}
	k, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		n.t.Fatal(err)
	}
	return k
}

// cuts are the operations to cut a job off at: one of stride, and each of the last, among
// which are installing, and rolling back.
func cuts(count, stride, last int) (list []int) {
	for cut := 1; cut <= count; cut++ {
		if *all || cut%stride == 1 || cut > count-last {
			list = append(list, cut)
		}
	}
	return list
}

// Wherever it is cut off, a second run ends as if there had been one.
func TestInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	servers := t.TempDir()
	if err := errors.Join(
		os.Mkdir(servers+"/hurd", 0o755), os.WriteFile(servers+"/hurd/ext2fs.static", []byte("built elsewhere\n"), 0o755),
		os.MkdirAll(servers+"/share/msgids", 0o755), os.WriteFile(servers+"/share/msgids/hurd.msgids", []byte("that the node has no directory for\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]func(*Job){
		"packages":      func(*Job) {},
		"quick":         func(j *Job) { j.Quick = true },
		"servers":       func(j *Job) { j.Servers = servers },
		"does not boot": func(j *Job) { j.Series = with("new/libpager/new.c", "CRASH\n") },
		"does not build": func(j *Job) {
			j.Series = with("two.patch", strings.ReplaceAll(string(series["two.patch"].Data), "+2", "+SYNTAX"))
		},
		"does not apply": func(j *Job) {
			j.Series = with("two.patch", strings.ReplaceAll(string(series["two.patch"].Data), "-two", "-zwei"))
		},
		"does not change": func(j *Job) { j.Series = with("series", "copy libpager/new.c libpager/old.c\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := newFake(t)
			job := func(n *fakeNode) *Job {
				j := n.job()
				set(j)
				return j
			}
			wantErr := whole.run(job(whole), 0)
			if (wantErr != nil) != strings.HasPrefix(name, "does not") {
				t.Fatal(wantErr)
			}
			want := whole.outcome()
			count := whole.counted()
			if count < 10 {
				t.Fatalf("%d operations: %v", count, wantErr)
			}
			for _, cut := range cuts(count, 19, 6) {
				n := newFake(t)
				n.dies = cut%2 == 0 // half of them, whatever the stride
				if err := n.run(job(n), cut); err == nil {
					t.Errorf("cut off at %d: no error", cut)
				}
				err := n.run(job(n), 0)
				if errors.Is(err, ErrDone) {
					err = nil // what was cut off was the very end
				}
				if (err == nil) != (wantErr == nil) {
					t.Fatalf("cut off at %d: %v, not %v", cut, err, wantErr)
				}
				if got := n.outcome(); !reflect.DeepEqual(got, want) {
					t.Fatalf("cut off at %d of %d: %v\nnot %v\n%v", cut, count, got, want, n.log)
				}
			}
		})
	}
}

// Wherever a job is cut off, another one finds the node as it was before, or, if the first had
// been seen to work, as that has left it.
func TestOtherJob(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	crash := with("new/libpager/new.c", "CRASH\n")
	for name, first := range map[string]fstest.MapFS{"works": series, "does not boot": crash} {
		for next, second := range map[string]fstest.MapFS{
			"works":          with("new/libpager/new.c", "newer\n"),
			"does not apply": with("two.patch", strings.ReplaceAll(string(series["two.patch"].Data), "-two", "-zwei")),
		} {
			t.Run(name+", then "+next, func(t *testing.T) {
				t.Parallel()
				job := func(n *fakeNode, series fstest.MapFS) *Job {
					j := n.job()
					j.Series = series
					return j
				}
				whole := newFake(t)
				whole.run(job(whole, first), 0)
				for _, cut := range cuts(whole.counted(), 40, 16) {
					n := newFake(t)
					n.dies = cut%2 == 0
					j := job(n, first)
					if err := n.run(j, cut); err == nil {
						t.Errorf("cut off at %d: no error", cut)
					}
					want, image := "one\ntwo\nthree\nfour\nold\n", "none"
					if j.state.done(stepCheck) {
						want = patched
						image = n.outcome()["image"]
					}
					if next == "works" {
						want = strings.Replace(patched, "new", "newer", 1)
						image = ""
					}
					n.dies = false
					if err := n.run(job(n, second), 0); (err == nil) != (next == "works") {
						t.Fatalf("cut off at %d: %v", cut, err)
					}
					got := n.outcome()
					if got["root/running"] != want || got["root/hurd/ext2fs.static"] != want || got["snap"] != "" || got["down"] != "false" ||
						image == "" && !strings.Contains(got["image"], want) || image != "" && got["image"] != image {
						t.Fatalf("cut off at %d: %v\nnot %q\n%v", cut, got, want, n.log)
					}
				}
			})
		}
	}
}

func TestFailures(t *testing.T) {
	for _, test := range []struct {
		name   string
		series fstest.MapFS
		before string // done to the node
		want   []string
		back   bool
	}{
		{"another line", with("two.patch", strings.ReplaceAll(string(series["two.patch"].Data), "-two", "-zwei")), "",
			[]string{"two.patch does not apply to hurd 1:0.9-4", "libpager/data.c, hunk 1, for line 1: line 2 is \"two\", and the patch wants \"zwei\"", "--series"}, false},
		{"only with fuzz", with("two.patch", strings.ReplaceAll(string(series["two.patch"].Data), " one", " uno")), "",
			[]string{"libpager/data.c, hunk 1, for line 1: line 1 is \"one\", and the patch wants \"uno\""}, false},
		{"removed already", with("series", "remove libpager/none.c\n"), "", []string{"remove libpager/none.c, which is not there"}, false},
		{"there already", with("series", "copy libpager/new.c libpager/data.c\n"), "", []string{"libpager/data.c is there already"}, false},
		{"out of the tree", with("series", "copy libpager/new.c ../../etc/passwd\n"), "", []string{"leads out of the tree"}, false},
		{"does not compile", with("new/libpager/new.c", "x\n"), "sed -i s/four/SYNTAX/ upstream/libpager/data.c", []string{"build the packages", "expected ';'"}, false},
		{"disk full", series, "touch full", []string{"No space left on device", "the node's disk is full"}, false},
		{"no network", series, "touch no-network", []string{"Unable to fetch"}, false},
		{"no apt", series, "rm bin/apt-get", []string{"no apt", "--servers"}, false},
		{"does not come back", with("new/libpager/new.c", "CRASH\n"), "", []string{"node1 does not boot", "rolled back"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newFake(t)
			n.sh(test.before)
			j := n.job()
			j.Series = test.series
			err := n.run(j, 0)
			if err == nil {
				t.Fatal("no error")
			}
			var e *Error
			if !errors.As(err, &e) || e.RolledBack != test.back {
				t.Errorf("rolled back: %v", e)
			}
			text := err.Error()
			if e != nil {
				text += "\n" + e.Advice()
			}
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("%s\nlacks %q", text, want)
				}
			}
			got := n.outcome()
			if got["root/running"] != "one\ntwo\nthree\nfour\nold\n" || got["image"] != "none" || got["snap"] != "" || got["down"] != "false" {
				t.Errorf("%v", got)
			}
			// Once the cause is gone it goes on.
			if test.name == "disk full" || test.name == "no network" {
				n.sh("rm -f full no-network")
				if err := n.run(j, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A quick build installs what has changed since the last one only.
func TestQuick(t *testing.T) {
	n := newFake(t)
	j := n.job()
	j.Quick = true
	if err := n.run(j, 0); err != nil {
		t.Fatal(err)
	}
	if got := n.outcome()["root/running"]; got != "\177ELF"+patched {
		t.Errorf("%q", got)
	}
	j = n.job()
	j.Quick, j.Series = true, with("new/libpager/new.c", "newer\n")
	if err := n.run(j, 0); err != nil {
		t.Fatal(err)
	}
	if got := n.outcome()["root/running"]; got != "\177ELFone\n2\nthree\nfour\nnewer\n" {
		t.Errorf("%q", got)
	}
}

// The house's own series is one.
func TestHouseSeries(t *testing.T) {
	list, err := parseSeries(os.DirFS("../../patches/hurd"))
	if err != nil || len(list) == 0 {
		t.Fatalf("%v %v", list, err)
	}
}

func TestWhyNot(t *testing.T) {
	for _, test := range []struct{ want, file, why string }{
		{"a\nb", "a\nc\n", `line 2 is "c", and the patch wants "b"`},
		{"a\nb", "x\n", `none of its lines is in the file, such as "a"`},
		{"a\nb", "x\na\n", `the file ends where the patch wants "b"`},
		{"a\nb", "", `the file is not there, or is empty`},
	} {
		if got := whyNot(strings.Split(test.want, "\n"), []byte(test.file), 1); got != test.why {
			t.Errorf("%q in %q: %s", test.want, test.file, got)
		}
	}
	if got := whyNot(nil, []byte("x\n"), 1); got != "the patch has no such hunk" {
		t.Error(got)
	}
}
