package extfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A File is how a file is to be.
type File struct {
	Path string
	// Mode is its permissions, and fs.ModeDir or fs.ModeSymlink if it is no
	// regular file.
	Mode     fs.FileMode
	UID, GID int
	// Data is what a regular file has, From the file of the host with it.
	Data []byte
	From string
	// Target is that of a symbolic link.
	Target string
	// Translator is the command of the passive translator; none if nil. One
	// that is there is left alone.
	Translator []string
	// Absent says that it is not to be there. A directory has to be empty.
	Absent bool
}

// An Info is what is known of a file.
type Info struct {
	Mode     fs.FileMode // with the bits of its type
	UID, GID int
	Size     int64
	Target   string // of a symbolic link, if it is short
	// Translated says that it has a passive translator in the old form, whose
	// command is in a block of its own.
	Translated bool
	// attributes says that it has a block with extended attributes.
	attributes bool
}

// plain is what names may be made of: debugfs has its own idea of quoting.
var plain = regexp.MustCompile(`^/[A-Za-z0-9@%+=:,./_-]*$`)

func checkName(names ...string) error {
	for _, n := range names {
		if !plain.MatchString(n) || path.Clean(n) != n {
			return fmt.Errorf("extfs: %q is no name that can be worked with", n)
		}
	}
	return nil
}

var (
	statType  = regexp.MustCompile(`(?m)^Inode: \d+ +Type: (\S.*?) +Mode: +(\d+)`)
	statUser  = regexp.MustCompile(`(?m)^User: +(\d+) +Group: +(\d+)(?: +Project: +\d+)? +Size: (\d+)`)
	statACL   = regexp.MustCompile(`(?m)^File ACL: (\d+)`)
	statTrans = regexp.MustCompile(`\bTranslator: (\d+)`)
	statLink  = regexp.MustCompile(`(?m)^Fast link dest: "(.*)"$`)
)

var types = map[string]fs.FileMode{
	"regular": 0, "directory": fs.ModeDir, "symlink": fs.ModeSymlink, "character special": fs.ModeDevice | fs.ModeCharDevice,
	"block special": fs.ModeDevice, "FIFO": fs.ModeNamedPipe, "socket": fs.ModeSocket,
}

// mode is a file's as inodes have it.
func mode(m fs.FileMode) uint32 {
	v := uint32(m.Perm())
	for bit, flag := range map[fs.FileMode]uint32{fs.ModeSticky: 0o1000, fs.ModeSetgid: 0o2000, fs.ModeSetuid: 0o4000} {
		if m&bit != 0 {
			v |= flag
		}
	}
	switch m.Type() {
	case fs.ModeDir:
		v |= 0o040000
	case fs.ModeSymlink:
		v |= 0o120000
	default:
		v |= 0o100000
	}
	return v
}

// parseStat reads what debugfs says of a file; nil if there is none.
func parseStat(s string) (*Info, error) {
	t := statType.FindStringSubmatch(s)
	if t == nil {
		return nil, nil
	}
	u := statUser.FindStringSubmatch(s)
	kind, known := types[t[1]]
	if u == nil || !known {
		return nil, fmt.Errorf("extfs: cannot make sense of %q", s)
	}
	perm, err := strconv.ParseUint(t[2], 8, 32)
	if err != nil {
		return nil, err
	}
	info := &Info{Mode: kind | fs.FileMode(perm&0o777)}
	for bit, flag := range map[fs.FileMode]uint64{fs.ModeSticky: 0o1000, fs.ModeSetgid: 0o2000, fs.ModeSetuid: 0o4000} {
		if perm&flag != 0 {
			info.Mode |= bit
		}
	}
	info.UID, _ = strconv.Atoi(u[1]) // digits
	info.GID, _ = strconv.Atoi(u[2])
	info.Size, _ = strconv.ParseInt(u[3], 10, 64)
	if acl := statACL.FindStringSubmatch(s); acl != nil && acl[1] != "0" {
		info.attributes = true
	}
	if tr := statTrans.FindStringSubmatch(s); tr != nil && tr[1] != "0" {
		info.Translated = true
	}
	if l := statLink.FindStringSubmatch(s); l != nil {
		info.Target = l[1]
	}
	return info, nil
}

// notFound is how debugfs says that there is no such file.
var notFound = regexp.MustCompile(`: File not found by ext2_lookup|: Ext2 inode is not a directory|: Extended attribute key not found`)

// Stat looks at files. There is no entry for those that are not there. Symbolic
// links on the way are followed, the last is not.
func (f *FS) Stat(ctx context.Context, names ...string) (map[string]*Info, error) {
	if err := checkName(names...); err != nil {
		return nil, err
	}
	infos := make(map[string]*Info)
	if len(names) == 0 {
		return infos, nil
	}
	var cmds []string
	for _, n := range names {
		cmds = append(cmds, "stat "+n)
	}
	out, said, err := f.debugfs(ctx, false, cmds)
	if err != nil {
		return nil, err
	}
	for _, s := range said {
		if !notFound.MatchString(s) {
			return nil, fmt.Errorf("look into %s: %s", f.File, s)
		}
	}
	for i, n := range names {
		info, err := parseStat(out[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		if info != nil {
			infos[n] = info
		}
	}
	return infos, nil
}

// List returns the names in a directory, none if it is not there.
func (f *FS) List(ctx context.Context, dir string) ([]string, error) {
	if err := checkName(dir); err != nil {
		return nil, err
	}
	out, said, err := f.debugfs(ctx, false, []string{"ls -p " + dir})
	if err != nil {
		return nil, err
	}
	if len(said) > 0 {
		if notFound.MatchString(said[0]) {
			return nil, nil
		}
		return nil, fmt.Errorf("list %s in %s: %s", dir, f.File, said[0])
	}
	var names []string
	for l := range strings.Lines(out[0]) {
		// /inode/mode/uid/gid/name/size/
		if field := strings.Split(strings.TrimSpace(l), "/"); len(field) > 6 && field[5] != "" && field[5] != "." && field[5] != ".." {
			names = append(names, field[5])
		}
	}
	slices.Sort(names)
	return names, nil
}

// Dump copies regular files to files of the host.
func (f *FS) Dump(ctx context.Context, to map[string]string) error {
	var cmds []string
	for name, file := range to {
		if err := checkName(name, file); err != nil {
			return err
		}
		cmds = append(cmds, "dump "+name+" "+file)
	}
	if len(cmds) == 0 {
		return nil
	}
	slices.Sort(cmds)
	_, said, err := f.debugfs(ctx, false, cmds)
	if err == nil && len(said) > 0 {
		err = fmt.Errorf("read from %s: %s", f.File, strings.Join(said, "; "))
	}
	return err
}

// ReadFile returns what is in a regular file; fs.ErrNotExist if there is none.
func (f *FS) ReadFile(ctx context.Context, name string) ([]byte, error) {
	infos, err := f.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	if infos[name] == nil || !infos[name].Mode.IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	dir, err := os.MkdirTemp("", "hurdlab-extfs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "file")
	if err := f.Dump(ctx, map[string]string{name: file}); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// Translator returns the command of a passive translator that is recorded as an
// attribute; nil if there is none.
func (f *FS) Translator(ctx context.Context, name string) ([]string, error) {
	argzs, err := f.translators(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	return split(argzs[name]), nil
}

func split(argz []byte) []string {
	if len(argz) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(argz), "\x00"), "\x00")
}

func (f *FS) translators(ctx context.Context, names []string) (map[string][]byte, error) {
	argzs := make(map[string][]byte)
	if len(names) == 0 {
		return argzs, nil
	}
	if err := checkName(names...); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "hurdlab-extfs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var cmds []string
	for i, n := range names {
		cmds = append(cmds, fmt.Sprintf("ea_get -f %s/%d %s gnu.translator", dir, i, n))
	}
	_, said, err := f.debugfs(ctx, false, cmds)
	if err != nil {
		return nil, err
	}
	for _, s := range said {
		if !notFound.MatchString(s) {
			return nil, fmt.Errorf("read translators of %s: %s", f.File, s)
		}
	}
	for i, n := range names {
		b, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)))
		if err == nil {
			argzs[n] = b
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return argzs, nil
}

// Apply makes files be as they are described, with directories on the way, and
// returns how many had to be changed. If all are as they should be, nothing is
// written. A file that is replaced is a new one: hard links to the old keep
// what they have.
func (f *FS) Apply(ctx context.Context, files []File) (changed int, err error) {
	if files, err = f.resolve(ctx, files); err != nil {
		return 0, err
	}
	var names, translated []string
	for _, d := range files {
		if err := checkName(d.Path); err != nil {
			return 0, err
		}
		names = append(names, d.Path)
		if d.Translator != nil {
			translated = append(translated, d.Path)
		}
		names = append(names, ancestors(d.Path)...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	infos, err := f.Stat(ctx, names...)
	if err != nil {
		return 0, err
	}
	argzs, err := f.translators(ctx, translated)
	if err != nil {
		return 0, err
	}
	tmp, err := os.MkdirTemp("", "hurdlab-extfs-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	e := &edit{fs: f, infos: infos, argzs: argzs, tmp: tmp}
	if err := e.dump(ctx, files); err != nil {
		return 0, err
	}
	for i, d := range files {
		before := len(e.cmds)
		if err := e.file(i, d); err != nil {
			return 0, fmt.Errorf("%s: %w", d.Path, err)
		}
		if len(e.cmds) > before {
			changed++
		}
	}
	if len(e.cmds) == 0 {
		return 0, nil
	}
	_, said, err := f.debugfs(ctx, true, e.cmds)
	if err == nil && len(said) > 0 {
		err = fmt.Errorf("change files in %s: %s", f.File, strings.Join(said, "; "))
	}
	if err == nil && e.lost {
		_, err = f.Mend(ctx)
	}
	return changed, err
}

// maxLinks bounds the symbolic links on the way to a file.
const maxLinks = 8

// resolve returns the files with paths that have no symbolic links but, maybe,
// in the last place: debugfs does not follow that of a directory.
func (f *FS) resolve(ctx context.Context, files []File) ([]File, error) {
	files = slices.Clone(files)
	for range maxLinks {
		var dirs []string
		for _, d := range files {
			if err := checkName(d.Path); err != nil {
				return nil, err
			}
			dirs = append(dirs, ancestors(d.Path)...)
		}
		slices.Sort(dirs)
		infos, err := f.Stat(ctx, slices.Compact(dirs)...)
		if err != nil {
			return nil, err
		}
		done := true
		for i, d := range files {
			for _, dir := range ancestors(d.Path) {
				info := infos[dir]
				if info == nil || info.Mode.Type() != fs.ModeSymlink {
					continue
				}
				target := info.Target
				if !path.IsAbs(target) {
					target = path.Join(path.Dir(dir), target)
				}
				files[i].Path = path.Join(target, strings.TrimPrefix(d.Path, dir))
				done = false
				break
			}
		}
		if done {
			return files, nil
		}
	}
	return nil, errors.New("extfs: too many symbolic links on the way to a file")
}

// ancestors are the directories on the way to a file, the topmost first,
// without the root.
func ancestors(name string) []string {
	var list []string
	for p := path.Dir(name); p != "/"; p = path.Dir(p) {
		list = append(list, p)
	}
	slices.Reverse(list)
	return list
}

// edit collects the commands of an Apply.
type edit struct {
	fs    *FS
	infos map[string]*Info
	argzs map[string][]byte
	tmp   string
	cmds  []string
	// lost says that files with extended attributes are deleted, whose blocks debugfs
	// leaves behind.
	lost bool
}

// dump fetches what may have to be compared.
func (e *edit) dump(ctx context.Context, files []File) error {
	from := e.fs
	if from.Contents != nil {
		from = from.Contents
	}
	to := make(map[string]string)
	for i, d := range files {
		have := e.infos[d.Path]
		if have == nil || !have.Mode.IsRegular() || !d.Mode.IsRegular() {
			continue
		}
		size := int64(len(d.Data))
		if d.From != "" {
			st, err := os.Stat(d.From)
			if err != nil {
				return err
			}
			size = st.Size()
		}
		if have.Size == size {
			to[d.Path] = e.temp("old", i)
		}
	}
	return from.Dump(ctx, to)
}

func (e *edit) temp(what string, i int) string { return filepath.Join(e.tmp, fmt.Sprint(what, i)) }

func (e *edit) addf(format string, args ...any) {
	e.cmds = append(e.cmds, fmt.Sprintf(format, args...))
}

// file adds the commands for a file.
func (e *edit) file(i int, d File) error {
	have := e.infos[d.Path]
	if d.Absent {
		switch {
		case have == nil:
		case have.Mode.IsDir():
			e.remove(d.Path, "rmdir")
		default:
			e.remove(d.Path, "rm")
		}
		return nil
	}
	// A record in the old form would be found before an attribute.
	if have != nil && (have.Mode.Type() != d.Mode.Type() || d.Translator != nil && have.Translated) {
		if have.Mode.IsDir() {
			return errors.New("it is a directory that would have to be deleted")
		}
		e.remove(d.Path, "rm")
		have = nil
	}
	e.parents(path.Dir(d.Path))
	switch d.Mode.Type() {
	case fs.ModeDir:
		if have == nil {
			e.addf("mkdir %s", d.Path)
		}
	case fs.ModeSymlink:
		if err := checkName(path.Join("/", d.Target)); err != nil || len(d.Target) >= 60 {
			return fmt.Errorf("a link to %q", d.Target)
		}
		if have == nil || have.Target != d.Target {
			if have != nil {
				e.remove(d.Path, "rm")
			}
			e.addf("symlink %s %s", d.Path, d.Target)
			e.infos[d.Path] = &Info{Mode: d.Mode}
		}
		return nil
	case 0:
		same, err := e.same(i, d, have)
		if err != nil {
			return err
		}
		if !same {
			from := d.From
			if from == "" {
				from = e.temp("new", i)
				if err := os.WriteFile(from, d.Data, 0o600); err != nil {
					return err
				}
			} else if err := checkName(from); err != nil {
				return err
			}
			if have != nil {
				e.remove(d.Path, "rm")
				have = nil
			}
			e.addf("write %s %s", from, d.Path)
		}
	default:
		return fmt.Errorf("files of type %v cannot be made", d.Mode.Type())
	}
	if have == nil || mode(have.Mode) != mode(d.Mode) {
		e.addf("set_inode_field %s mode 0%o", d.Path, mode(d.Mode))
	}
	if have == nil || have.UID != d.UID {
		e.addf("set_inode_field %s uid %d", d.Path, d.UID)
	}
	if have == nil || have.GID != d.GID {
		e.addf("set_inode_field %s gid %d", d.Path, d.GID)
	}
	if d.Translator != nil {
		argz := []byte(strings.Join(d.Translator, "\x00") + "\x00")
		if have == nil || !bytes.Equal(argz, e.argzs[d.Path]) {
			file := e.temp("argz", i)
			if err := os.WriteFile(file, argz, 0o600); err != nil {
				return err
			}
			e.addf("ea_set -f %s %s gnu.translator", file, d.Path)
		}
	}
	e.infos[d.Path] = &Info{Mode: d.Mode, UID: d.UID, GID: d.GID, Target: d.Target}
	return nil
}

// remove deletes a file by a command, and with it what is known of it.
func (e *edit) remove(name, command string) {
	e.addf("%s %s", command, name)
	e.lost = e.lost || e.infos[name].attributes
	delete(e.infos, name)
}

// parents makes the directories on the way.
func (e *edit) parents(dir string) {
	if dir == "/" || e.infos[dir] != nil {
		return
	}
	e.parents(path.Dir(dir))
	e.addf("mkdir %s", dir)
	e.addf("set_inode_field %s mode 040755", dir)
	e.infos[dir] = &Info{Mode: fs.ModeDir | 0o755}
}

// same says whether a regular file has what it should have.
func (e *edit) same(i int, d File, have *Info) (bool, error) {
	if have == nil {
		return false, nil
	}
	old, err := os.Open(e.temp("old", i))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // its size is another
	}
	if err != nil {
		return false, err
	}
	defer old.Close()
	var want io.Reader = bytes.NewReader(d.Data)
	if d.From != "" {
		f, err := os.Open(d.From)
		if err != nil {
			return false, err
		}
		defer f.Close()
		want = f
	}
	return equal(old, want)
}

// equal compares what two readers have left.
func equal(a, b io.Reader) (bool, error) {
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return false, err
			}
		}
		if errA != nil || errB != nil {
			return true, nil // the same length, or the last comparison would have failed
		}
	}
}
