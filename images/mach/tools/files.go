package tools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// each opens files one after the other, "-" or none at all being standard
// input.
func (c *Call) each(files []string, f func(name string, r io.Reader) error) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		if name == "-" {
			if err := f(name, c.Stdin); err != nil {
				return err
			}
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			c.complain(err)
			continue
		}
		err = f(name, file)
		file.Close()
		if err != nil {
			// The one that cannot be written to is the same for all files.
			var pe *fs.PathError
			if errors.As(err, &pe) && pe.Path == name {
				c.complain(err)
				continue
			}
			return err
		}
	}
	return nil
}

func cat(_ context.Context, c *Call) error {
	_, files, err := c.options("u")
	if err != nil {
		return err
	}
	return c.each(files, func(_ string, r io.Reader) error {
		_, err := io.Copy(c.Stdout, r)
		return err
	})
}

func tee(_ context.Context, c *Call) error {
	opts, files, err := c.options("a")
	if err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if opts.has("a") {
		flags = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	writers := []io.Writer{c.Stdout}
	for _, name := range files {
		f, err := os.OpenFile(name, flags, 0o666)
		if err != nil {
			c.complain(err)
			continue
		}
		defer f.Close()
		writers = append(writers, f)
	}
	_, err = io.Copy(io.MultiWriter(writers...), c.Stdin)
	return err
}

// amount is the value of -n and -c of head and tail, and whether it is bytes.
func (c *Call) amount() (n int64, bytes bool, files []string, err error) {
	// The old form -5.
	if len(c.Args) > 0 && len(c.Args[0]) > 1 && c.Args[0][0] == '-' && unicode.IsDigit(rune(c.Args[0][1])) {
		c.Args = append([]string{"-n", c.Args[0][1:]}, c.Args[1:]...)
	}
	opts, files, err := c.options("n:c:")
	if err != nil {
		return 0, false, nil, err
	}
	text := "10"
	switch {
	case opts.has("c"):
		text, bytes = opts.value("c"), true
	case opts.has("n"):
		text = opts.value("n")
	}
	n, err = strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, false, nil, usagef("%q is not a number", text)
	}
	return n, bytes, files, nil
}

func head(_ context.Context, c *Call) error {
	n, inBytes, files, err := c.amount()
	if err != nil {
		return err
	}
	many := len(files) > 1
	return c.each(files, func(name string, r io.Reader) error {
		if many {
			fmt.Fprintf(c.Stdout, "==> %s <==\n", name)
		}
		if inBytes {
			_, err := io.Copy(c.Stdout, io.LimitReader(r, n))
			return err
		}
		b := bufio.NewReader(r)
		for range n {
			line, err := b.ReadSlice('\n')
			for errors.Is(err, bufio.ErrBufferFull) {
				if _, err := c.Stdout.Write(line); err != nil {
					return err
				}
				line, err = b.ReadSlice('\n')
			}
			if _, werr := c.Stdout.Write(line); werr != nil {
				return werr
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func tail(_ context.Context, c *Call) error {
	n, inBytes, files, err := c.amount()
	if err != nil {
		return err
	}
	many := len(files) > 1
	return c.each(files, func(name string, r io.Reader) error {
		if many {
			fmt.Fprintf(c.Stdout, "==> %s <==\n", name)
		}
		if inBytes {
			var last []byte
			buf := make([]byte, 32<<10)
			for {
				m, err := r.Read(buf)
				last = append(last, buf[:m]...)
				if over := int64(len(last)) - n; over > 0 {
					last = append(last[:0], last[over:]...)
				}
				if err == io.EOF {
					_, err = c.Stdout.Write(last)
					return err
				}
				if err != nil {
					return err
				}
			}
		}
		var last [][]byte
		b := bufio.NewReader(r)
		for {
			line, err := b.ReadBytes('\n')
			if len(line) > 0 {
				last = append(last, line)
				if int64(len(last)) > n {
					last = last[1:]
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		_, err := c.Stdout.Write(bytes.Join(last, nil))
		return err
	})
}

func wc(_ context.Context, c *Call) error {
	opts, files, err := c.options("lwc")
	if err != nil {
		return err
	}
	if len(opts) == 0 {
		opts = options{"l": {""}, "w": {""}, "c": {""}}
	}
	var total [3]int64
	show := func(counts [3]int64, name string) error {
		var fields []string
		for i, o := range []string{"l", "w", "c"} {
			if opts.has(o) {
				fields = append(fields, strconv.FormatInt(counts[i], 10))
			}
		}
		if name != "-" {
			fields = append(fields, name)
		}
		_, err := fmt.Fprintln(c.Stdout, strings.Join(fields, " "))
		return err
	}
	err = c.each(files, func(name string, r io.Reader) error {
		var counts [3]int64
		inWord := false
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Read(buf)
			for _, b := range buf[:n] {
				space := b == ' ' || b >= '\t' && b <= '\r'
				if b == '\n' {
					counts[0]++
				}
				if !space && !inWord {
					counts[1]++
				}
				inWord = !space
			}
			counts[2] += int64(n)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		for i := range total {
			total[i] += counts[i]
		}
		return show(counts, name)
	})
	if err == nil && len(files) > 1 {
		err = show(total, "total")
	}
	return err
}

// destinations pairs sources with where they go: one source to a name, or any
// number into a directory.
func (c *Call) destinations(args []string) (from, to []string, err error) {
	if len(args) < 2 {
		return nil, nil, usagef("want at least two names, have %d", len(args))
	}
	from, last := args[:len(args)-1], args[len(args)-1]
	st, err := os.Stat(last)
	isDir := err == nil && st.IsDir()
	if len(from) > 1 && !isDir {
		return nil, nil, fmt.Errorf("%s is not a directory", last)
	}
	for _, f := range from {
		if isDir {
			to = append(to, filepath.Join(last, filepath.Base(f)))
		} else {
			to = append(to, last)
		}
	}
	return from, to, nil
}

func cp(_ context.Context, c *Call) error {
	opts, args, err := c.options("rRpfa")
	if err != nil {
		return err
	}
	from, to, err := c.destinations(args)
	if err != nil {
		return err
	}
	k := &copier{c: c, deep: opts.has("r") || opts.has("R") || opts.has("a"), keep: opts.has("p") || opts.has("a"), force: opts.has("f")}
	for i := range from {
		// A link named outright is followed, unless the tree is copied.
		k.copy(from[i], to[i], !k.deep)
	}
	return nil
}

// A copier copies trees.
type copier struct {
	c                 *Call
	deep, keep, force bool
}

func (k *copier) copy(from, to string, follow bool) {
	lookup := os.Lstat
	if follow {
		lookup = os.Stat
	}
	st, err := lookup(from)
	if err != nil {
		k.c.complain(err)
		return
	}
	if have, err := os.Stat(to); err == nil && os.SameFile(st, have) {
		k.c.complain(fmt.Errorf("%s and %s are the same file", from, to))
		return
	}
	switch mode := st.Mode(); {
	case mode.IsDir() && !k.deep:
		err = fmt.Errorf("%s is a directory: use -r", from)
	case mode.IsDir():
		err = k.dir(from, to, st)
	case mode&fs.ModeSymlink != 0:
		var target string
		if target, err = os.Readlink(from); err == nil {
			if err = os.Symlink(target, to); errors.Is(err, fs.ErrExist) && k.force {
				os.Remove(to)
				err = os.Symlink(target, to)
			}
		}
	case mode&fs.ModeNamedPipe != 0 && k.deep:
		err = syscall.Mkfifo(to, uint32(mode.Perm()))
	default:
		err = k.file(from, to, st)
	}
	if err != nil {
		k.c.complain(err)
		return
	}
	if k.keep {
		k.c.complain(keepAttributes(to, st))
	}
}

func (k *copier) dir(from, to string, st fs.FileInfo) error {
	if inside, err := filepath.Rel(from, to); err == nil && inside != ".." && !strings.HasPrefix(inside, "../") {
		return fmt.Errorf("%s would be copied into itself, %s", from, to)
	}
	if err := os.Mkdir(to, st.Mode().Perm()|0o700); err != nil {
		if have, serr := os.Stat(to); serr != nil || !have.IsDir() {
			return err
		}
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		k.copy(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), false)
	}
	return nil
}

func (k *copier) file(from, to string, st fs.FileInfo) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	out, err := os.OpenFile(to, flags, st.Mode().Perm())
	if err != nil && k.force && os.Remove(to) == nil {
		out, err = os.OpenFile(to, flags, st.Mode().Perm())
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// keepAttributes gives path the owner, mode and times of st.
func keepAttributes(path string, st fs.FileInfo) error {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	// Only root may give files away; without that the bits that lend an
	// owner's rights are not to be kept.
	mode := sys.Mode & 0o7777
	if err := os.Lchown(path, int(sys.Uid), int(sys.Gid)); err != nil {
		mode &= 0o1777
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	if err := syscall.Chmod(path, mode); err != nil {
		return &fs.PathError{Op: "chmod", Path: path, Err: err}
	}
	return os.Chtimes(path, time.Unix(0, sys.Atim.Nano()), st.ModTime())
}

func mv(_ context.Context, c *Call) error {
	opts, args, err := c.options("fn")
	if err != nil {
		return err
	}
	from, to, err := c.destinations(args)
	if err != nil {
		return err
	}
	for i := range from {
		if _, err := os.Lstat(to[i]); opts.has("n") && err == nil {
			continue
		}
		err := os.Rename(from[i], to[i])
		if !errors.Is(err, syscall.EXDEV) {
			c.complain(err)
			continue
		}
		// To another file system: copy, and remove if all of it arrived.
		k := &copier{c: &Call{Stdout: c.Stdout, Stderr: c.Stderr, name: c.name}, deep: true, keep: true, force: true}
		if k.copy(from[i], to[i], false); k.c.status == 0 {
			c.complain(os.RemoveAll(from[i]))
		} else {
			c.status = 1
		}
	}
	return nil
}

func rm(_ context.Context, c *Call) error {
	opts, args, err := c.options("rRfi")
	if err != nil {
		return err
	}
	deep, force := opts.has("r") || opts.has("R"), opts.has("f")
	if len(args) == 0 && !force {
		return usagef("what is to be removed?")
	}
	for _, a := range args {
		if base := filepath.Base(a); base == "." || base == ".." || base == "/" {
			c.complain(fmt.Errorf("%s: is not removed", a))
			continue
		}
		st, err := os.Lstat(a)
		switch {
		case errors.Is(err, fs.ErrNotExist) && force:
			err = nil
		case err != nil:
		case st.IsDir() && !deep:
			err = fmt.Errorf("%s: is a directory: use -r", a)
		case st.IsDir():
			err = os.RemoveAll(a)
		default:
			if err = syscall.Unlink(a); err != nil {
				err = &fs.PathError{Op: "unlink", Path: a, Err: err}
			}
		}
		c.complain(err)
	}
	return nil
}

func mkdir(_ context.Context, c *Call) error {
	opts, args, err := c.options("pm:")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("which directory?")
	}
	change, err := modeOption(opts)
	if err != nil {
		return err
	}
	for _, a := range args {
		var err error
		if opts.has("p") {
			err = os.MkdirAll(a, 0o777)
		} else {
			err = os.Mkdir(a, 0o777)
		}
		if err == nil && change != nil {
			err = changeMode(a, change)
		}
		c.complain(err)
	}
	return nil
}

func mkfifo(_ context.Context, c *Call) error {
	opts, args, err := c.options("m:")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("which file?")
	}
	change, err := modeOption(opts)
	if err != nil {
		return err
	}
	for _, a := range args {
		err := syscall.Mkfifo(a, 0o666)
		switch {
		case err != nil:
			err = &fs.PathError{Op: "mkfifo", Path: a, Err: err}
		case change != nil:
			err = changeMode(a, change)
		}
		c.complain(err)
	}
	return nil
}

func rmdir(_ context.Context, c *Call) error {
	opts, args, err := c.options("p")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("which directory?")
	}
	for _, a := range args {
		for {
			if err := syscall.Rmdir(a); err != nil {
				c.complain(&fs.PathError{Op: "rmdir", Path: a, Err: err})
				break
			}
			if a = filepath.Dir(filepath.Clean(a)); !opts.has("p") || a == "." || a == "/" {
				break
			}
		}
	}
	return nil
}

func ln(_ context.Context, c *Call) error {
	opts, args, err := c.options("sfn")
	if err != nil {
		return err
	}
	if len(args) == 1 {
		args = append(args, filepath.Base(args[0]))
	}
	from, to, err := c.destinations(args)
	if err != nil {
		return err
	}
	link := os.Link
	if opts.has("s") {
		link = os.Symlink
	}
	for i := range from {
		err := link(from[i], to[i])
		if errors.Is(err, fs.ErrExist) && opts.has("f") {
			if err = os.Remove(to[i]); err == nil {
				err = link(from[i], to[i])
			}
		}
		c.complain(err)
	}
	return nil
}

func readlink(_ context.Context, c *Call) error {
	opts, args, err := c.options("f")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("which link?")
	}
	for _, a := range args {
		var target string
		if opts.has("f") {
			if target, err = filepath.EvalSymlinks(a); err == nil {
				target, err = filepath.Abs(target)
			}
		} else {
			target, err = os.Readlink(a)
		}
		if err != nil {
			c.complain(err)
			continue
		}
		fmt.Fprintln(c.Stdout, target)
	}
	return nil
}

func pwd(_ context.Context, c *Call) error {
	opts, _, err := c.options("LP")
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err == nil && opts.has("P") {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.Stdout, dir)
	return err
}

func touch(_ context.Context, c *Call) error {
	opts, args, err := c.options("cd:am")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("which file?")
	}
	when := time.Now()
	if opts.has("d") {
		if when, err = parseTime(opts.value("d")); err != nil {
			return err
		}
	}
	for _, a := range args {
		if !opts.has("c") {
			f, err := os.OpenFile(a, os.O_WRONLY|os.O_CREATE, 0o666)
			if err == nil {
				f.Close()
			} else if _, serr := os.Stat(a); serr != nil {
				// If it is there, it may be a directory, or somebody else's.
				c.complain(err)
				continue
			}
		}
		if err := os.Chtimes(a, when, when); err != nil && !(opts.has("c") && errors.Is(err, fs.ErrNotExist)) {
			c.complain(err)
		}
	}
	return nil
}

func parseTime(s string) (time.Time, error) {
	if n, ok := strings.CutPrefix(s, "@"); ok {
		sec, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			return time.Time{}, usagef("%q is not a time", s)
		}
		return time.Unix(sec, 0), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%q is not a time: give 2006-01-02 15:04:05 or @SECONDS", s)
}

// sync writes out what is in memory: of the file systems of the files, or of
// that of the root directory.
func sync(_ context.Context, c *Call) error {
	_, args, err := c.options("f")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return syncAll()
	}
	for _, a := range args {
		f, err := os.Open(a)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		c.complain(err)
	}
	return nil
}

// walk calls f with path and, if deep, all that is below it, directories
// first.
func (c *Call) walk(path string, deep bool, f func(path string) error) {
	if err := f(path); err != nil {
		c.complain(err)
		return
	}
	if st, err := os.Lstat(path); !deep || err != nil || !st.IsDir() {
		return
	}
	entries, err := os.ReadDir(path)
	c.complain(err)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		c.walk(filepath.Join(path, e.Name()), deep, f)
	}
}
