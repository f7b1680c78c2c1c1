package tools

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// run runs a tool.
func run(t *testing.T, stdin, name string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = Run(t.Context(), name, Call{Args: args, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs})
	return status, out.String(), errs.String()
}

// must runs a tool that is to succeed and say nothing on standard error.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	status, out, errs := run(t, "", name, args...)
	if status != 0 || errs != "" {
		t.Fatalf("%s %q: status %d, %s", name, args, status, errs)
	}
	return out
}

// fails runs a tool that is to fail and returns what it says.
func fails(t *testing.T, name string, args ...string) string {
	t.Helper()
	status, _, errs := run(t, "", name, args...)
	if status == 0 || errs == "" {
		t.Fatalf("%s %q: status %d, %q", name, args, status, errs)
	}
	return errs
}

// inTemp makes an empty directory the working directory.
func inTemp(t *testing.T) { t.Chdir(t.TempDir()) }

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mode(t *testing.T, name string) uint32 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(name, &st); err != nil {
		t.Fatal(err)
	}
	return uint32(st.Mode)
}

func equal[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestText(t *testing.T) {
	inTemp(t)
	var lines strings.Builder
	for i := 1; i <= 12; i++ {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	long := strings.Repeat("x", 100_000) + "\nend"
	write(t, "f", lines.String())
	write(t, "g", "no newline")
	write(t, "long", long)
	for _, x := range []struct {
		stdin, command, want string
	}{
		{"", "cat f g", lines.String() + "no newline"},
		{"in", "cat", "in"},
		{"in", "cat g - g", "no newlineinno newline"},
		{"", "head -n 2 f", "line 1\nline 2\n"},
		{"", "head -1 f", "line 1\n"},
		{"", "head -n 0 f", ""},
		{"", "head g", "no newline"},
		{"", "head -c 3 f", "lin"},
		{"", "head -n2 long", long},
		{"a\nb\n", "head -n 1", "a\n"},
		{"", "head -n 1 f g", "==> f <==\nline 1\n==> g <==\nno newline"},
		{"", "tail -n 2 f", "line 11\nline 12\n"},
		{"", "tail -c 3 f", "12\n"},
		{"", "tail -n 1 long", "end"},
		{"", "tail -c 100003 long", long[1:]},
		{"", "wc f", "12 24 87 f\n"},
		{"", "wc -l f g", "12 f\n0 g\n12 total\n"},
		{"a  b\tc\n", "wc -w", "3\n"},
		{"", "echo a  b", "a b\n"},
		{"", "echo -n a", "a"},
		{"", "echo", "\n"},
		{"x", "tee t1 t2", "x"},
		{"", "cat t1 t2", "xx"},
		{"y", "tee -a t1", "y"},
		{"", "cat t1", "xy"},
	} {
		args := strings.Fields(x.command)
		status, out, errs := run(t, x.stdin, args[0], args[1:]...)
		if status != 0 || out != x.want || errs != "" {
			t.Errorf("%s: status %d, got %.60q, want %.60q, %s", x.command, status, out, x.want, errs)
		}
	}
	status, out, errs := run(t, "", "cat", "f", "no", "g")
	if status != 1 || out != lines.String()+"no newline" || errs != "cat: no: no such file or directory\n" {
		t.Errorf("cat of a missing file: %d %q %q", status, out, errs)
	}
}

func TestUsage(t *testing.T) {
	inTemp(t)
	for _, command := range []string{
		"cat -x", "head -n", "head -n x f", "tail -n -5 f", "cp a", "mv a", "rm", "mkdir", "mkdir -m 9 d", "rmdir", "ln", "chmod 644", "chmod u f",
		"chmod u+q f", "chown 0", "stat", "touch", "touch -d never f", "sleep", "sleep x", "kill", "kill -NOSUCH 1", "kill x", "env -x", "date 5",
		"uname x", "readlink", "ls --nosuch", "id a b", "su a b", "kill -s",
	} {
		args := strings.Fields(command)
		status, out, errs := run(t, "", args[0], args[1:]...)
		if status != 2 || out != "" || !strings.Contains(errs, "usage: "+args[0]) {
			t.Errorf("%s: status %d, %q, %q", command, status, out, errs)
		}
	}
	if status, _, errs := run(t, "", "nosuch"); status != 127 || !strings.Contains(errs, "no such tool") {
		t.Errorf("an unknown tool: %d %q", status, errs)
	}
	if status, _, _ := run(t, "", "false"); status != 1 {
		t.Errorf("false: %d", status)
	}
	must(t, "true")
}

func TestDirectories(t *testing.T) {
	inTemp(t)
	must(t, "mkdir", "a")
	fails(t, "mkdir", "a")
	fails(t, "mkdir", "b/c")
	must(t, "mkdir", "-p", "b/c/d", "a")
	must(t, "mkdir", "-m", "700", "m")
	equal(t, mode(t, "m")&0o7777, 0o700)
	fails(t, "rmdir", "b")
	must(t, "rmdir", "-p", "b/c/d")
	if _, err := os.Stat("b"); err == nil {
		t.Error("rmdir -p leaves b")
	}
	write(t, "f", "")
	fails(t, "rm", "a")
	fails(t, "rm", "no")
	fails(t, "rm", "-r", ".")
	fails(t, "rm", "-r", "/")
	must(t, "rm", "-f", "no")
	must(t, "rm", "-rf", "a", "no", "f")
	equal(t, must(t, "ls"), "m\n")
	if err := os.Symlink("m", "l"); err != nil {
		t.Fatal(err)
	}
	write(t, "m/f", "")
	must(t, "rm", "-r", "l")
	equal(t, must(t, "ls", "m"), "f\n")
}

func TestCopy(t *testing.T) {
	inTemp(t)
	write(t, "f", "content")
	must(t, "cp", "f", "g")
	equal(t, content(t, "g"), "content")
	must(t, "mkdir", "d")
	must(t, "cp", "f", "g", "d")
	equal(t, must(t, "ls", "d"), "f\ng\n")
	fails(t, "cp", "d", "e")
	fails(t, "cp", "f", "g", "no")
	fails(t, "cp", "f", "f")
	fails(t, "cp", "-r", "d", "d/e")
	must(t, "ln", "-s", "f", "d/l")
	must(t, "mkfifo", "d/p")
	must(t, "mkdir", "d/sub")
	write(t, "d/sub/x", "x")
	must(t, "chmod", "750", "d/sub/x")
	must(t, "touch", "-d", "2001-02-03 04:05:06", "d/sub/x")
	must(t, "cp", "-r", "d", "e")
	equal(t, content(t, "e/sub/x"), "x")
	equal(t, must(t, "readlink", "e/l"), "f\n")
	equal(t, mode(t, "e/p")&syscall.S_IFMT, syscall.S_IFIFO)
	must(t, "cp", "-rp", "d", "p")
	equal(t, must(t, "stat", "-c", "%a %Y", "p/sub/x"), must(t, "stat", "-c", "%a %Y", "d/sub/x"))
	// Into a directory that is there.
	must(t, "cp", "-r", "d", "e")
	equal(t, content(t, "e/d/sub/x"), "x")
	// A file without permission to write gives way to -f.
	must(t, "cp", "-f", "g", "f")
}

func TestMove(t *testing.T) {
	inTemp(t)
	write(t, "f", "f")
	must(t, "mv", "f", "g")
	must(t, "mkdir", "d")
	must(t, "mv", "g", "d")
	equal(t, content(t, "d/g"), "f")
	write(t, "h", "h")
	must(t, "mv", "-n", "h", "d/g")
	equal(t, content(t, "d/g"), "f")
	must(t, "mv", "h", "d/g")
	equal(t, content(t, "d/g"), "h")
	fails(t, "mv", "no", "x")
	fails(t, "mv", "d", "d/x")
	// Between file systems, where there are two.
	other, err := os.MkdirTemp("/dev/shm", "tools-")
	if err != nil {
		t.Skip("no other file system")
	}
	defer os.RemoveAll(other)
	must(t, "mv", "d", other)
	equal(t, content(t, filepath.Join(other, "d/g")), "h")
	if _, err := os.Stat("d"); err == nil {
		t.Error("mv leaves what it has copied")
	}
}

func TestLinks(t *testing.T) {
	inTemp(t)
	write(t, "f", "content")
	must(t, "ln", "f", "g")
	must(t, "ln", "-s", "f", "l")
	fails(t, "ln", "-s", "x", "l")
	must(t, "ln", "-sf", "g", "l")
	equal(t, must(t, "readlink", "l"), "g\n")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	must(t, "ln", "-s", dir, "abs")
	equal(t, must(t, "readlink", "-f", "abs"), dir+"\n")
	fails(t, "readlink", "f")
	equal(t, must(t, "stat", "-c", "%h %F", "f"), "2 regular file\n")
	equal(t, must(t, "stat", "-c", "%F", "l"), "symbolic link\n")
	equal(t, must(t, "stat", "-L", "-c", "%F %s", "l"), "regular file 7\n")
	must(t, "mkdir", "d")
	must(t, "ln", "f", "g", "d")
	equal(t, must(t, "ls", "d"), "f\ng\n")
}

func TestModes(t *testing.T) {
	for _, x := range []struct {
		change string
		from   uint32
		dir    bool
		want   uint32
	}{
		{"644", 0o777, false, 0o644}, {"0", 0o777, false, 0}, {"4755", 0, false, 0o4755},
		{"+x", 0o644, false, 0o755}, {"-w", 0o666, false, 0o444}, {"u+w", 0o444, false, 0o644}, {"go-rwx", 0o777, false, 0o700},
		{"a=r", 0o777, false, 0o444}, {"u=rwx,g=rx,o=", 0, false, 0o750}, {"u+s", 0o755, false, 0o4755}, {"g+s", 0o755, false, 0o2755},
		{"+t", 0o755, true, 0o1755}, {"a+X", 0o644, false, 0o644}, {"a+X", 0o744, false, 0o755}, {"a+X", 0o600, true, 0o711},
		{"u=rw,go+r-w", 0o722, false, 0o644}, {"u-s", 0o6755, false, 0o2755}, {"=", 0o755, false, 0}, {"g=u", 0, false, 1 << 31},
	} {
		change, err := parseMode(x.change)
		if x.want == 1<<31 {
			if err == nil {
				t.Errorf("%s is accepted", x.change)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", x.change, err)
		} else if got := change(x.from, x.dir); got != x.want {
			t.Errorf("%s of %04o: got %04o, want %04o", x.change, x.from, got, x.want)
		}
	}
	inTemp(t)
	must(t, "mkdir", "-p", "d/e")
	write(t, "d/f", "")
	must(t, "chmod", "-R", "u=rwX,go=", "d")
	equal(t, mode(t, "d/e")&0o7777, 0o700)
	equal(t, mode(t, "d/f")&0o7777, 0o600)
	fails(t, "chmod", "644", "no")
	if os.Geteuid() == 0 {
		must(t, "chown", "-R", "12:34", "d")
		equal(t, must(t, "stat", "-c", "%u %g", "d/f"), "12 34\n")
		must(t, "chown", "root", "d/f")
		equal(t, must(t, "stat", "-c", "%u %g", "d/f"), "0 34\n")
		must(t, "chown", ":0", "d/f")
		equal(t, must(t, "stat", "-c", "%U", "d/f"), "root\n")
	}
	fails(t, "chown", "nobodyhasthisname", "d")
}

func TestModeString(t *testing.T) {
	for mode, want := range map[uint32]string{
		syscall.S_IFREG | 0o644: "-rw-r--r--", syscall.S_IFDIR | 0o1777: "drwxrwxrwt", syscall.S_IFDIR | 0o1770: "drwxrwx--T",
		syscall.S_IFREG | 0o4755: "-rwsr-xr-x", syscall.S_IFREG | 0o6644: "-rwSr-Sr--", syscall.S_IFLNK | 0o777: "lrwxrwxrwx",
		syscall.S_IFCHR: "c---------", syscall.S_IFIFO | 0o600: "prw-------",
	} {
		equal(t, modeString(mode), want)
	}
}

func TestList(t *testing.T) {
	inTemp(t)
	must(t, "mkdir", "d")
	write(t, "b", "12345")
	write(t, "a", "")
	write(t, ".hidden", "")
	write(t, "d/x", "")
	must(t, "ln", "-s", "b", "l")
	must(t, "touch", "-d", "@1000000000", "b")
	equal(t, must(t, "ls"), "a\nb\nd\nl\n")
	equal(t, must(t, "ls", "-a"), ".\n..\n.hidden\na\nb\nd\nl\n")
	equal(t, must(t, "ls", "-r"), "l\nd\nb\na\n")
	equal(t, must(t, "ls", "-F"), "a\nb\nd/\nl@\n")
	equal(t, must(t, "ls", "-d", "d"), "d\n")
	equal(t, must(t, "ls", "b", "d", "a"), "a\nb\n\nd:\nx\n")
	equal(t, must(t, "ls", "-R"), ".:\na\nb\nd\nl\n\n./d:\nx\n")
	lines := strings.Split(must(t, "ls", "-ln"), "\n")
	stamp := time.Unix(1e9, 0).Format("2006-01-02 15:04:05")
	want := fmt.Sprintf("-rw-r--r-- 1 %d %d 5 %s b", os.Getuid(), os.Getgid(), stamp)
	if got := strings.Join(strings.Fields(lines[1]), " "); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !strings.HasSuffix(lines[3], " l -> b") {
		t.Errorf("a link: %q", lines[3])
	}
	if !regexp.MustCompile(`^ *\d+ a\n`).MatchString(must(t, "ls", "-i", "a")) {
		t.Error("ls -i")
	}
	equal(t, must(t, "ls", "-t", "a", "b"), "a\nb\n")
	if errs := fails(t, "ls", "no"); errs != "ls: no: no such file or directory\n" {
		t.Errorf("a missing file: %q", errs)
	}
	if out := must(t, "stat", "b"); !strings.Contains(out, "Size: 5 ") || !strings.Contains(out, "Access: 0644 (-rw-r--r--)") {
		t.Errorf("stat: %s", out)
	}
	equal(t, must(t, "stat", "-c", "%n %s %% %Y %q", "b"), "b 5 % 1000000000 %q\n")
}

func TestTouch(t *testing.T) {
	inTemp(t)
	must(t, "touch", "new")
	must(t, "touch", "-c", "no")
	equal(t, must(t, "ls"), "new\n")
	must(t, "touch", "-d", "2001-02-03T04:05:06Z", "new")
	equal(t, must(t, "stat", "-c", "%Y", "new"), "981173106\n")
	must(t, "mkdir", "d")
	must(t, "touch", "d")
	fails(t, "touch", "no/f")
}

func TestSystem(t *testing.T) {
	inTemp(t)
	wd, _ := os.Getwd()
	equal(t, must(t, "pwd"), wd+"\n")
	equal(t, must(t, "id", "-u"), fmt.Sprintln(os.Geteuid()))
	if os.Geteuid() == 0 {
		if out := must(t, "id"); !strings.HasPrefix(out, "uid=0(root) gid=0(root) groups=0(root)") {
			t.Errorf("id: %s", out)
		}
		equal(t, must(t, "id", "-un", "0"), "root\n")
	}
	equal(t, must(t, "id", "-G", "54321"), "54321\n")
	host, _ := os.Hostname()
	equal(t, must(t, "hostname"), host+"\n")
	equal(t, must(t, "uname", "-n"), host+"\n")
	equal(t, len(strings.Fields(must(t, "uname", "-snrm"))), 4)
	equal(t, must(t, "env", "-i", "A=1", "B=x y"), "A=1\nB=x y\n")
	equal(t, must(t, "date", "-u", "+%%"), "%\n")
	must(t, "sleep", "0.001")
	must(t, "sleep", "1ms")
	must(t, "sync")
	must(t, "sync", ".")
	at := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	equal(t, strftime("%F %T %s %j %q %N", at), "2001-02-03 04:05:06 981173106 034 %q 000000007")
}

// TestPrograms is about tools that run programs, which those of the host are
// good for.
func TestPrograms(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no /bin/sh")
	}
	for _, x := range []struct {
		args   []string
		status int
		out    string
	}{
		{[]string{"env", "A=1", "/bin/sh", "-c", "echo $A"}, 0, "1\n"},
		{[]string{"env", "/bin/sh", "-c", "exit 42"}, 42, ""},
		{[]string{"env", "/bin/sh", "-c", "kill -TERM $$"}, 143, ""},
		{[]string{"env", "/no/such/program"}, 127, ""},
		{[]string{"env", "cat", "-"}, 0, "input"},
	} {
		status, out, _ := run(t, "input", x.args[0], x.args[1:]...)
		if status != x.status || out != x.out {
			t.Errorf("%q: %d %q, want %d %q", x.args, status, out, x.status, x.out)
		}
	}
	if os.Geteuid() == 0 {
		status, out, errs := run(t, "", "su", "-c", "id -u; id -g; echo $HOME", "54321")
		if status != 0 || out != "54321\n54321\n/\n" {
			t.Errorf("su: %d %q %q", status, out, errs)
		}
		if status, _, _ := run(t, "", "su", "-c", "exit 5", "root"); status != 5 {
			t.Errorf("su: status %d", status)
		}
	}
	fails(t, "su", "-c", "true", "nobodyhasthisname")
}

func TestKill(t *testing.T) {
	must(t, "kill", "-0", fmt.Sprint(os.Getpid()))
	if out := must(t, "kill", "-l"); !strings.Contains(out, "15 TERM\n") {
		t.Errorf("kill -l: %s", out)
	}
	for s, want := range map[string]syscall.Signal{"TERM": syscall.SIGTERM, "sigint": syscall.SIGINT, "9": syscall.SIGKILL, "Usr1": syscall.SIGUSR1} {
		if got, ok := signalNumber(s); !ok || got != want {
			t.Errorf("%s: %v %v", s, got, ok)
		}
	}
	if _, ok := signalNumber("-1"); ok {
		t.Error("-1 is a signal")
	}
	if errs := fails(t, "kill", "-0", "2147483646"); !strings.Contains(errs, "2147483646: no such process") {
		t.Errorf("kill of nobody: %s", errs)
	}
}

func TestOptions(t *testing.T) {
	for _, x := range []struct {
		known string
		args  string
		opts  string
		rest  string
	}{
		{"ab:", "-ab x y", "map[a:[] b:[x]]", "[y]"},
		{"ab:", "-bx -a y", "map[a:[] b:[x]]", "[y]"},
		{"ab:", "y -a z", "map[a:[]]", "[y z]"},
		{"+ab:", "-a y -b", "map[a:[]]", "[y -b]"},
		{"ab:", "-a -- -b", "map[a:[]]", "[-b]"},
		{"ab:", "- -a", "map[a:[]]", "[-]"},
		{"a long value:", "--long --value=1 --value 2 x", "map[long:[] value:[1 2]]", "[x]"},
	} {
		c := &Call{Args: strings.Fields(x.args)}
		opts, rest, err := c.options(x.known)
		if err != nil {
			t.Errorf("%q: %v", x.args, err)
			continue
		}
		equal(t, fmt.Sprint(map[string][]string(opts)), x.opts)
		equal(t, fmt.Sprint(rest), x.rest)
	}
	for _, args := range []string{"-c", "-b", "--nosuch", "--long=5", "--value"} {
		c := &Call{Args: strings.Fields(args)}
		if _, _, err := c.options("ab: long value:"); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func TestPing(t *testing.T) {
	// The sum of a message with its sum is none.
	b := []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1, 5}
	sum := checksum(b)
	b[2], b[3] = byte(sum>>8), byte(sum)
	equal(t, checksum(b), 0)
	if _, err := dialICMP(net.IPv4(127, 0, 0, 1)); err != nil {
		t.Skip("no ICMP here: ", err)
	}
	for _, size := range []string{"0", "56", "1000"} {
		if out := must(t, "ping", "-c", "2", "-i", "0", "-s", size, "127.0.0.1"); !strings.HasSuffix(out, "2 sent, 2 received\n") {
			t.Errorf("%s bytes: %s", size, out)
		}
	}
	if status, _, errs := run(t, "", "ping", "-c", "1", "no.such.host.invalid"); status != 1 || !strings.Contains(errs, "no.such.host.invalid") {
		t.Errorf("a host that is not: %d %q", status, errs)
	}
}
