package tools

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// parseMode makes a change of a mode from octal digits or from clauses such
// as u+x,go-w. dir says that X means x.
func parseMode(s string) (change func(old uint32, dir bool) uint32, err error) {
	if n, err := strconv.ParseUint(s, 8, 32); err == nil && n <= 0o7777 {
		return func(uint32, bool) uint32 { return uint32(n) }, nil
	}
	var steps []func(mode uint32, dir bool) uint32
	for _, clause := range strings.Split(s, ",") {
		i := 0
		var who uint32 // of 07777
		for ; i < len(clause); i++ {
			bits, ok := map[byte]uint32{'u': 0o4700, 'g': 0o2070, 'o': 0o1007, 'a': 0o7777}[clause[i]]
			if !ok {
				break
			}
			who |= bits
		}
		if who == 0 {
			who = 0o7777
		}
		if i == len(clause) {
			return nil, usagef("mode %q: no +, - or =", s)
		}
		for i < len(clause) {
			op := clause[i]
			if !strings.ContainsRune("+-=", rune(op)) {
				return nil, usagef("mode %q: %q is none of + - =", s, op)
			}
			i++
			var bits uint32
			perhaps := false // X
			for ; i < len(clause) && !strings.ContainsRune("+-=", rune(clause[i])); i++ {
				switch clause[i] {
				case 'r':
					bits |= 0o444
				case 'w':
					bits |= 0o222
				case 'x':
					bits |= 0o111
				case 'X':
					perhaps = true
				case 's':
					bits |= 0o6000
				case 't':
					bits |= 0o1000
				default:
					return nil, usagef("mode %q: %q is no permission", s, clause[i])
				}
			}
			steps = append(steps, func(mode uint32, dir bool) uint32 {
				bits := bits
				if perhaps && (dir || mode&0o111 != 0) {
					bits |= 0o111
				}
				switch op {
				case '+':
					return mode | bits&who
				case '-':
					return mode &^ (bits & who)
				}
				return mode&^(who&0o6777|bits&0o1000) | bits&who
			})
		}
	}
	return func(mode uint32, dir bool) uint32 {
		for _, f := range steps {
			mode = f(mode, dir)
		}
		return mode
	}, nil
}

// modeOption is the change that -m asks for, nil if it is not given.
func modeOption(opts options) (func(old uint32, dir bool) uint32, error) {
	if !opts.has("m") {
		return nil, nil
	}
	return parseMode(opts.value("m"))
}

func changeMode(path string, change func(old uint32, dir bool) uint32) error {
	var st syscall.Stat_t
	err := syscall.Stat(path, &st)
	if err == nil {
		err = syscall.Chmod(path, change(uint32(st.Mode)&0o7777, st.Mode&syscall.S_IFMT == syscall.S_IFDIR))
	}
	if err != nil {
		return &fs.PathError{Op: "chmod", Path: path, Err: err}
	}
	return nil
}

func chmod(_ context.Context, c *Call) error {
	// -w and its like are modes, no options.
	var args []string
	deep := false
	for i, a := range c.Args {
		if a == "--" {
			args = append(args, c.Args[i+1:]...)
			break
		}
		if a == "-R" {
			deep = true
		} else {
			args = append(args, a)
		}
	}
	if len(args) < 2 {
		return usagef("want a mode and a file")
	}
	change, err := parseMode(args[0])
	if err != nil {
		return err
	}
	for _, a := range args[1:] {
		c.walk(a, deep, func(path string) error {
			if st, err := os.Lstat(path); deep && err == nil && st.Mode()&fs.ModeSymlink != 0 {
				return nil
			}
			return changeMode(path, change)
		})
	}
	return nil
}

// userID and groupID take names and numbers.
func userID(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return n, nil
	}
	u, err := user.Lookup(s)
	if err != nil {
		return 0, fmt.Errorf("there is no user %s", s)
	}
	return strconv.Atoi(u.Uid)
}

func groupID(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return n, nil
	}
	g, err := user.LookupGroup(s)
	if err != nil {
		return 0, fmt.Errorf("there is no group %s", s)
	}
	return strconv.Atoi(g.Gid)
}

func chown(_ context.Context, c *Call) error {
	opts, args, err := c.options("Rh")
	if err != nil {
		return err
	}
	if len(args) < 2 {
		return usagef("want an owner and a file")
	}
	uid, gid := -1, -1
	owner, group, both := strings.Cut(args[0], ":")
	if owner != "" {
		if uid, err = userID(owner); err != nil {
			return err
		}
	}
	if both && group != "" {
		if gid, err = groupID(group); err != nil {
			return err
		}
	}
	chown := os.Chown
	if opts.has("h") || opts.has("R") {
		chown = os.Lchown
	}
	for _, a := range args[1:] {
		c.walk(a, opts.has("R"), func(path string) error { return chown(path, uid, gid) })
	}
	return nil
}

// modeString is a mode as ls shows it.
func modeString(mode uint32) string {
	b := []byte("?rwxrwxrwx")
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		b[0] = '-'
	case syscall.S_IFDIR:
		b[0] = 'd'
	case syscall.S_IFLNK:
		b[0] = 'l'
	case syscall.S_IFIFO:
		b[0] = 'p'
	case syscall.S_IFSOCK:
		b[0] = 's'
	case syscall.S_IFCHR:
		b[0] = 'c'
	case syscall.S_IFBLK:
		b[0] = 'b'
	}
	for i := range 9 {
		if mode&(1<<(8-i)) == 0 {
			b[1+i] = '-'
		}
	}
	for _, s := range []struct {
		bit uint32
		at  int
		c   byte
	}{{syscall.S_ISUID, 3, 's'}, {syscall.S_ISGID, 6, 's'}, {syscall.S_ISVTX, 9, 't'}} {
		if mode&s.bit != 0 {
			if b[s.at] == '-' {
				b[s.at] = s.c - 'a' + 'A'
			} else {
				b[s.at] = s.c
			}
		}
	}
	return string(b)
}

// names turns ids into names, and remembers them.
type names struct{ users, groups map[uint32]string }

func newNames() *names { return &names{make(map[uint32]string), make(map[uint32]string)} }

func (n *names) user(id uint32) string {
	return remember(n.users, id, func(s string) (string, error) {
		u, err := user.LookupId(s)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (n *names) group(id uint32) string {
	return remember(n.groups, id, func(s string) (string, error) {
		g, err := user.LookupGroupId(s)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

func remember(m map[uint32]string, id uint32, lookup func(string) (string, error)) string {
	name, ok := m[id]
	if !ok {
		name = strconv.FormatUint(uint64(id), 10)
		if found, err := lookup(name); err == nil && found != "" {
			name = found
		}
		m[id] = name
	}
	return name
}

// An entry is a line of ls.
type entry struct {
	name string // to show
	path string
	st   syscall.Stat_t
}

func (e *entry) isDir() bool { return e.st.Mode&syscall.S_IFMT == syscall.S_IFDIR }

func ls(_ context.Context, c *Call) error {
	opts, args, err := c.options("1aldRinrtAF")
	if err != nil {
		return err
	}
	out := bufio.NewWriter(c.Stdout)
	defer out.Flush()
	l := &lister{c: c, opts: opts, out: out, names: newNames()}
	if len(args) == 0 {
		args = []string{"."}
	}
	var files, dirs []entry
	for _, a := range args {
		e := entry{name: a, path: a}
		// A link is shown itself by -l and -d, else what it leads to if that
		// is there.
		err := syscall.Lstat(a, &e.st)
		if err == nil && e.st.Mode&syscall.S_IFMT == syscall.S_IFLNK && !opts.has("l") && !opts.has("d") {
			var st syscall.Stat_t
			if syscall.Stat(a, &st) == nil {
				e.st = st
			}
		}
		switch {
		case err != nil:
			c.complain(&fs.PathError{Op: "lstat", Path: a, Err: err})
		case e.isDir() && !opts.has("d"):
			dirs = append(dirs, e)
		default:
			files = append(files, e)
		}
	}
	l.show(files)
	for i, d := range dirs {
		l.dir(d.path, len(args) > 1 || opts.has("R"), i > 0 || len(files) > 0)
	}
	return nil
}

type lister struct {
	c     *Call
	opts  options
	out   *bufio.Writer
	names *names
}

func (l *lister) dir(path string, title, gap bool) {
	if gap {
		fmt.Fprintln(l.out)
	}
	if title {
		fmt.Fprintf(l.out, "%s:\n", path)
	}
	// Only the names: os.ReadDir looks at every entry whose type the file
	// system does not tell, and gives up at one that cannot be looked at, as
	// /dev/tty for a process without a terminal.
	list, err := readNames(path)
	if err != nil {
		l.c.complain(err)
	}
	var names []string
	if l.opts.has("a") && err == nil {
		names = append(names, ".", "..")
	}
	for _, name := range list {
		if name[0] != '.' || l.opts.has("a") || l.opts.has("A") {
			names = append(names, name)
		}
	}
	var entries []entry
	for _, n := range names {
		e := entry{name: n, path: path + "/" + n}
		if path == "/" {
			e.path = "/" + n
		}
		if err := syscall.Lstat(e.path, &e.st); err != nil {
			// It may have been removed meanwhile.
			l.c.complain(&fs.PathError{Op: "lstat", Path: e.path, Err: err})
			continue
		}
		entries = append(entries, e)
	}
	l.show(entries)
	if l.opts.has("R") {
		for _, e := range entries {
			if e.isDir() && e.name != "." && e.name != ".." {
				l.dir(e.path, true, true)
			}
		}
	}
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (l *lister) show(entries []entry) {
	slices.SortStableFunc(entries, func(a, b entry) int {
		d := strings.Compare(a.name, b.name)
		if l.opts.has("t") {
			d = cmp.Or(cmp.Compare(b.st.Mtim.Nano(), a.st.Mtim.Nano()), d)
		}
		if l.opts.has("r") {
			d = -d
		}
		return d
	})
	var rows [][]string
	for _, e := range entries {
		var row []string
		if l.opts.has("i") {
			row = append(row, strconv.FormatUint(uint64(e.st.Ino), 10))
		}
		if l.opts.has("l") || l.opts.has("n") {
			row = append(row, l.long(&e)...)
		}
		rows = append(rows, append(row, l.name(&e)))
	}
	writeTable(l.out, rows)
}

func (l *lister) name(e *entry) string {
	name := e.name
	if l.opts.has("F") {
		switch {
		case e.isDir():
			name += "/"
		case e.st.Mode&syscall.S_IFMT == syscall.S_IFLNK:
			name += "@"
		case e.st.Mode&syscall.S_IFMT == syscall.S_IFIFO:
			name += "|"
		case e.st.Mode&0o111 != 0:
			name += "*"
		}
	}
	if l.opts.has("l") && e.st.Mode&syscall.S_IFMT == syscall.S_IFLNK {
		if target, err := os.Readlink(e.path); err == nil {
			name += " -> " + target
		}
	}
	return name
}

func (l *lister) long(e *entry) []string {
	owner, group := l.names.user(e.st.Uid), l.names.group(e.st.Gid)
	if l.opts.has("n") {
		owner, group = strconv.Itoa(int(e.st.Uid)), strconv.Itoa(int(e.st.Gid))
	}
	size := strconv.FormatInt(e.st.Size, 10)
	if t := e.st.Mode & syscall.S_IFMT; t == syscall.S_IFCHR || t == syscall.S_IFBLK {
		size = fmt.Sprintf("%d,%d", uint64(e.st.Rdev)>>8&0xfff, uint64(e.st.Rdev)&0xff)
	}
	return []string{
		modeString(uint32(e.st.Mode)), strconv.FormatUint(uint64(e.st.Nlink), 10), owner, group, size,
		time.Unix(0, e.st.Mtim.Nano()).Format("2006-01-02 15:04:05"),
	}
}

// writeTable writes rows of equal length with their columns below each other:
// numbers to the right, others to the left.
func writeTable(out *bufio.Writer, rows [][]string) {
	var width []int
	for _, r := range rows {
		for i, f := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len(f))
		}
	}
	for _, r := range rows {
		for i, f := range r {
			switch pad := strings.Repeat(" ", width[i]-len(f)); {
			case i == len(r)-1:
				out.WriteString(f)
			case f != "" && strings.Trim(f, "0123456789,") == "":
				out.WriteString(pad + f + " ")
			default:
				out.WriteString(f + pad + " ")
			}
		}
		out.WriteByte('\n')
	}
}

func stat(_ context.Context, c *Call) error {
	opts, args, err := c.options("Lc:")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("which file?")
	}
	n := newNames()
	for _, a := range args {
		var st syscall.Stat_t
		lookup := syscall.Lstat
		if opts.has("L") {
			lookup = syscall.Stat
		}
		if err := lookup(a, &st); err != nil {
			c.complain(&fs.PathError{Op: "stat", Path: a, Err: err})
			continue
		}
		if opts.has("c") {
			fmt.Fprintln(c.Stdout, formatStat(opts.value("c"), a, &st, n))
			continue
		}
		name := a
		if target, err := os.Readlink(a); err == nil {
			name += " -> " + target
		}
		fmt.Fprint(c.Stdout, formatStat("  File: "+strings.ReplaceAll(name, "%", "%%")+`
  Size: %s  Blocks: %b  IO Block: %o  %F
Device: %d  Inode: %i  Links: %h
Access: %04a (%A)  Uid: %u (%U)  Gid: %g (%G)
Access: %x
Modify: %y
Change: %z
`, a, &st, n))
	}
	return nil
}

// formatStat fills in a format as stat -c knows it.
func formatStat(format, path string, st *syscall.Stat_t, n *names) string {
	stamp := func(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05.000000000 -0700") }
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		width := ""
		for ; i+1 < len(format) && format[i] >= '0' && format[i] <= '9'; i++ {
			width += format[i : i+1]
		}
		switch format[i] {
		case 'n':
			out.WriteString(path)
		case 'N':
			fmt.Fprintf(&out, "%q", path)
		case 's':
			fmt.Fprint(&out, st.Size)
		case 'b':
			fmt.Fprint(&out, st.Blocks)
		case 'B':
			out.WriteString("512")
		case 'o':
			fmt.Fprint(&out, st.Blksize)
		case 'd':
			fmt.Fprint(&out, st.Dev)
		case 'i':
			fmt.Fprint(&out, st.Ino)
		case 'h':
			fmt.Fprint(&out, st.Nlink)
		case 'a':
			fmt.Fprintf(&out, "%"+width+"o", st.Mode&0o7777)
		case 'A':
			out.WriteString(modeString(uint32(st.Mode)))
		case 'f':
			fmt.Fprintf(&out, "%x", st.Mode)
		case 'F':
			out.WriteString(typeName(uint32(st.Mode), st.Size))
		case 'u':
			fmt.Fprint(&out, st.Uid)
		case 'U':
			out.WriteString(n.user(st.Uid))
		case 'g':
			fmt.Fprint(&out, st.Gid)
		case 'G':
			out.WriteString(n.group(st.Gid))
		case 'x':
			out.WriteString(stamp(st.Atim.Nano()))
		case 'y':
			out.WriteString(stamp(st.Mtim.Nano()))
		case 'z':
			out.WriteString(stamp(st.Ctim.Nano()))
		case 'X':
			fmt.Fprint(&out, st.Atim.Sec)
		case 'Y':
			fmt.Fprint(&out, st.Mtim.Sec)
		case 'Z':
			fmt.Fprint(&out, st.Ctim.Sec)
		case '%':
			out.WriteByte('%')
		default:
			out.WriteString("%" + width + format[i:i+1])
		}
	}
	return out.String()
}

func typeName(mode uint32, size int64) string {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		if size == 0 {
			return "regular empty file"
		}
		return "regular file"
	case syscall.S_IFDIR:
		return "directory"
	case syscall.S_IFLNK:
		return "symbolic link"
	case syscall.S_IFIFO:
		return "fifo"
	case syscall.S_IFSOCK:
		return "socket"
	case syscall.S_IFCHR:
		return "character special file"
	case syscall.S_IFBLK:
		return "block special file"
	}
	return "unknown"
}

func id(_ context.Context, c *Call) error {
	opts, args, err := c.options("ugGnr")
	if err != nil {
		return err
	}
	var uid, gid int
	var groups []int
	switch len(args) {
	case 0:
		uid, gid = os.Geteuid(), os.Getegid()
		if opts.has("r") {
			uid, gid = os.Getuid(), os.Getgid()
		}
		if groups, err = os.Getgroups(); err != nil {
			return err
		}
	case 1:
		acc, err := lookupAccount(args[0])
		if err != nil {
			return err
		}
		uid, gid, groups = acc.uid, acc.gid, acc.groups
	default:
		return usagef("one user at a time")
	}
	if !slices.Contains(groups, gid) {
		groups = append([]int{gid}, groups...)
	}
	n := newNames()
	show := func(id int, name func(uint32) string) string {
		if opts.has("n") {
			return name(uint32(id))
		}
		return strconv.Itoa(id)
	}
	switch {
	case opts.has("u"):
		fmt.Fprintln(c.Stdout, show(uid, n.user))
	case opts.has("g"):
		fmt.Fprintln(c.Stdout, show(gid, n.group))
	case opts.has("G"):
		var list []string
		for _, g := range groups {
			list = append(list, show(g, n.group))
		}
		fmt.Fprintln(c.Stdout, strings.Join(list, " "))
	default:
		var list []string
		for _, g := range groups {
			list = append(list, fmt.Sprintf("%d(%s)", g, n.group(uint32(g))))
		}
		fmt.Fprintf(c.Stdout, "uid=%d(%s) gid=%d(%s) groups=%s\n", uid, n.user(uint32(uid)), gid, n.group(uint32(gid)), strings.Join(list, ","))
	}
	return nil
}

// An account is what the system knows of a user.
type account struct {
	name     string
	uid, gid int
	groups   []int
	home     string
	shell    string
}

// lookupAccount finds a user by name or number. A number that nobody has is
// an account without a name.
func lookupAccount(who string) (account, error) {
	u, err := user.Lookup(who)
	if err != nil {
		u, err = user.LookupId(who)
	}
	if err != nil {
		if n, aerr := strconv.Atoi(who); aerr == nil && n >= 0 {
			return account{name: who, uid: n, gid: n, groups: []int{n}, home: "/"}, nil
		}
		return account{}, fmt.Errorf("there is no user %s", who)
	}
	a := account{name: u.Username, home: u.HomeDir}
	if a.uid, err = strconv.Atoi(u.Uid); err != nil {
		return account{}, fmt.Errorf("user %s has the number %q", who, u.Uid)
	}
	if a.gid, err = strconv.Atoi(u.Gid); err != nil {
		return account{}, fmt.Errorf("user %s has the group %q", who, u.Gid)
	}
	a.groups = []int{a.gid}
	if ids, err := u.GroupIds(); err == nil {
		for _, s := range ids {
			if g, err := strconv.Atoi(s); err == nil && !slices.Contains(a.groups, g) {
				a.groups = append(a.groups, g)
			}
		}
	}
	a.shell = loginShell(filepath.Join("/etc", "passwd"), a.name)
	return a, nil
}

// loginShell is the last field of a user's line, which package user leaves
// out.
func loginShell(passwd, name string) string {
	b, err := os.ReadFile(passwd)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 7 && f[0] == name {
			return f[6]
		}
	}
	return ""
}
