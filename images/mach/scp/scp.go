// Package scp is the remote half of scp, as a client starts it by "scp -t" and
// "scp -f": files to and from the host it runs on.
//
// The protocol is OpenSSH's old one, documented by its source only. One side
// sends lines, and the contents of files after the line that announces them:
//
//	T<mtime> 0 <atime> 0      times of what comes next (-p)
//	C<mode> <size> <name>     a file: size bytes and a zero byte follow
//	D<mode> 0 <name>          a directory (-r): its entries follow
//	E                         its end
//
// The other answers each of them with a zero byte, or with 1 (go on) or 2
// (give up) and a line that says what is wrong.
package scp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	maxLine = 4096 // bytes of a line, as in OpenSSH
	maxDeep = 128  // directories within each other

	blockSize = 64 << 10 // bytes that are read and written at once
)

// A Server is the remote half. The zero value is ready for use.
type Server struct {
	// Root is a directory that takes the place of the root of all paths.
	Root string
}

// Run is the command scp with the arguments args, without its name; stdin and
// stdout are the client. It returns the exit status. What is wrong is told to
// the client, which shows it.
func (s Server) Run(args []string, stdin io.Reader, stdout io.Writer) int {
	c := &conn{root: s.Root, r: bufio.NewReaderSize(stdin, blockSize), w: stdout}
	var to, from, dir bool
	var paths []string
	for i, a := range args {
		if a == "--" {
			paths = append(paths, args[i+1:]...)
			break
		}
		if !strings.HasPrefix(a, "-") {
			paths = append(paths, a)
			continue
		}
		for _, o := range a[1:] {
			switch o {
			case 't':
				to = true
			case 'f':
				from = true
			case 'd':
				dir = true
			case 'r':
				c.recursive = true
			case 'p':
				c.times = true
			case 'v', 'q':
			default:
				c.problem(2, fmt.Errorf("option -%c is not supported", o))
				return 1
			}
		}
	}
	var err error
	switch {
	case to == from:
		err = errors.New("the node has only the remote half of scp: use it from the host")
	case to && len(paths) != 1:
		err = fmt.Errorf("%d targets", len(paths))
	case to:
		err = c.sink(paths[0], dir)
	case len(paths) == 0:
		err = errors.New("no files")
	default:
		err = c.source(paths)
	}
	if err != nil {
		c.problem(2, err)
		return 1
	}
	if c.failed {
		return 1
	}
	return 0
}

type conn struct {
	root      string
	r         *bufio.Reader
	w         io.Writer
	recursive bool
	times     bool
	failed    bool // a file was not copied, the others were
	buf       []byte
}

// path is where p is on this host.
func (c *conn) path(p string) string {
	if c.root == "" {
		return p
	}
	return filepath.Join(c.root, path.Join("/", p))
}

// about says what is wrong with p, as programs say it.
func about(p string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%s: %w", p, err)
}

// problem tells the client what is wrong.
func (c *conn) problem(code byte, err error) {
	c.failed = true
	msg := strings.ReplaceAll(err.Error(), "\n", " ")
	fmt.Fprintf(c.w, "%cscp: %s\n", code, msg)
}

func (c *conn) ok() error {
	_, err := c.w.Write([]byte{0})
	return err
}

// answer reads the client's answer; fatal is set if it gave up.
func (c *conn) answer() (refused, fatal error) {
	b, err := c.r.ReadByte()
	if err != nil {
		return nil, fmt.Errorf("the client has gone: %w", err)
	}
	if b == 0 {
		return nil, nil
	}
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	if b == 1 {
		return errors.New(line), nil
	}
	return nil, errors.New(line)
}

func (c *conn) line() (string, error) {
	var b []byte
	for {
		x, err := c.r.ReadByte()
		if err != nil {
			if len(b) > 0 && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		if x == '\n' {
			return string(b), nil
		}
		if b = append(b, x); len(b) > maxLine {
			return "", errors.New("protocol error: line too long")
		}
	}
}

// sink receives files into target; dir says that target must be a directory.
func (c *conn) sink(target string, dir bool) error {
	info, err := os.Stat(c.path(target))
	isDir := err == nil && info.IsDir()
	if dir && !isDir {
		return about(target, syscall.ENOTDIR)
	}
	if err := c.ok(); err != nil {
		return err
	}
	return c.entries(target, isDir, 0)
}

// entries receives what goes into target, or becomes target if that is not a
// directory, until the client ends the directory or all.
func (c *conn) entries(target string, isDir bool, depth int) error {
	var mtime time.Time
	for {
		line, err := c.line()
		if err == io.EOF && depth == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the client has gone: %w", err)
		}
		if line == "" {
			return errors.New("protocol error: empty line")
		}
		switch line[0] {
		case 1:
			c.failed = true // the client could not read one of its files
			continue
		case 2:
			return errors.New(line[1:])
		case 'E':
			if depth == 0 {
				return errors.New("protocol error: end of no directory")
			}
			return c.ok()
		case 'T':
			if mtime, err = parseTimes(line[1:]); err != nil {
				return err
			}
			if err := c.ok(); err != nil {
				return err
			}
			continue
		case 'C', 'D':
		default:
			return fmt.Errorf("protocol error: %.20q", line)
		}
		mode, size, name, err := parseEntry(line[1:])
		if err != nil {
			return err
		}
		p := target
		if isDir {
			p = path.Join(target, name)
		}
		if line[0] == 'C' {
			err = c.file(p, mode, size, mtime)
		} else {
			err = c.directory(p, mode, mtime, depth+1)
		}
		if err != nil {
			return err
		}
		mtime = time.Time{}
	}
}

// An incoming is a file that is being received.
//
// A program may be running, and a kernel that pages it from its file would run what is half
// the old program and half the new. So what takes a program's place is written beside it
// and renamed when it is complete: who runs the old one keeps it, and a copy that is cut off
// costs nothing. Other files are written in place, with their links and their owner.
type incoming struct {
	*os.File
	path   string // where it is to be
	beside bool   // it is at another name until then
}

// create opens what is to become the file at path.
func create(path string, mode fs.FileMode) (*incoming, error) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			if f, err := os.CreateTemp(filepath.Dir(real), ".scp-*"); err == nil {
				return &incoming{f, real, true}, nil
			}
		}
		// Who may write the file, but not the directory, writes the file.
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode|0o200)
	if err != nil {
		return nil, err
	}
	return &incoming{f, path, false}, nil
}

// drop removes it: what there is of it is of no use to anyone.
func (f *incoming) drop() { os.Remove(f.Name()) }

// end ends it, if it is not finished.
func (f *incoming) end() {
	if f.Close() == nil && f.beside {
		f.drop()
	}
}

// finish closes it, gives it its mode and time, and puts it in its place.
func (f *incoming) finish(mode fs.FileMode, mtime time.Time) error {
	err := f.Close()
	if err == nil {
		err = finish(f.Name(), mode, mtime)
	}
	if err == nil && f.beside {
		err = os.Rename(f.Name(), f.path)
	}
	if err != nil && f.beside {
		f.drop()
	}
	return err
}

// file receives a file. Errors of this host's are told to the client and do
// not end the copy; the returned error does.
func (c *conn) file(p string, mode fs.FileMode, size int64, mtime time.Time) error {
	f, err := create(c.path(p), mode)
	if err != nil {
		c.problem(1, about(p, err))
		return nil // the client does not send the contents
	}
	defer f.end()
	if err := c.ok(); err != nil {
		return err
	}
	if c.buf == nil {
		c.buf = make([]byte, blockSize)
	}
	var failed error // of a write; the contents come all the same
	for left := size; left > 0; {
		n, err := c.r.Read(c.buf[:min(int64(len(c.buf)), left)])
		if n > 0 && failed == nil {
			if _, failed = f.Write(c.buf[:n]); failed != nil {
				f.drop()
			}
		}
		if left -= int64(n); err != nil && left > 0 {
			f.drop()
			return fmt.Errorf("%s: the client has gone after %d of %d bytes: %w", p, size-left, size, err)
		}
	}
	refused, fatal := c.answer() // the client could read all of the file
	if fatal != nil {
		return fatal
	}
	if refused != nil {
		c.failed = true
	}
	if failed == nil {
		failed = f.finish(mode, mtime)
	}
	if failed != nil {
		c.problem(1, about(p, failed))
		return nil
	}
	return c.ok()
}

// directory receives a directory.
func (c *conn) directory(p string, mode fs.FileMode, mtime time.Time, depth int) error {
	if !c.recursive {
		return errors.New("protocol error: directory without -r")
	}
	if depth > maxDeep {
		return errors.New("directories too deep")
	}
	info, err := os.Stat(c.path(p))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.Mkdir(c.path(p), mode|0o700)
	case err == nil && !info.IsDir():
		err = syscall.ENOTDIR
	}
	if err != nil {
		c.problem(1, about(p, err))
		return nil
	}
	if err := c.ok(); err != nil {
		return err
	}
	if err := c.entries(p, true, depth); err != nil {
		return err
	}
	if err := finish(c.path(p), mode, mtime); err != nil {
		// The client has had its answer to the end of the directory.
		c.failed = true
	}
	return nil
}

// finish gives what was received its mode and time.
func finish(path string, mode fs.FileMode, mtime time.Time) error {
	err := os.Chmod(path, mode)
	if err == nil && !mtime.IsZero() {
		err = os.Chtimes(path, mtime, mtime)
	}
	return err
}

// parseTimes parses the arguments of T: mtime, its microseconds, atime, its
// microseconds.
func parseTimes(s string) (time.Time, error) {
	f := strings.Fields(s)
	if len(f) != 4 {
		return time.Time{}, fmt.Errorf("protocol error: times %q", s)
	}
	sec, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("protocol error: times %q", s)
	}
	return time.Unix(sec, 0), nil
}

// parseEntry parses the arguments of C and D.
func parseEntry(s string) (mode fs.FileMode, size int64, name string, err error) {
	bad := fmt.Errorf("protocol error: entry %q", s)
	m, rest, ok1 := strings.Cut(s, " ")
	n, name, ok2 := strings.Cut(rest, " ")
	bits, err1 := strconv.ParseUint(m, 8, 32)
	size, err2 := strconv.ParseInt(n, 10, 64)
	if !ok1 || !ok2 || err1 != nil || err2 != nil || size < 0 {
		return 0, 0, "", bad
	}
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') {
		return 0, 0, "", fmt.Errorf("unexpected file name %q", name)
	}
	return fs.FileMode(bits) & fs.ModePerm, size, name, nil
}

// source sends files.
func (c *conn) source(paths []string) error {
	if _, fatal := c.answer(); fatal != nil { // the client is ready
		return fatal
	}
	for _, p := range paths {
		info, err := os.Stat(c.path(p))
		if err != nil {
			c.problem(1, about(p, err))
			continue
		}
		if err := c.send(p, info, 0); err != nil {
			return err
		}
	}
	return nil
}

// send sends a file or directory. Errors of this host's are told to the
// client; the returned error ends the copy.
func (c *conn) send(p string, info fs.FileInfo, depth int) error {
	if !info.Mode().IsRegular() && !(info.IsDir() && c.recursive) {
		c.problem(1, fmt.Errorf("%s: not a regular file", p))
		return nil
	}
	if depth > maxDeep {
		c.problem(1, fmt.Errorf("%s: directories too deep", p))
		return nil
	}
	if c.times {
		t := info.ModTime().Unix()
		if refused, err := c.say("T%d 0 %d 0", t, t); refused || err != nil {
			return err
		}
	}
	if info.IsDir() {
		return c.sendDir(p, info, depth)
	}
	f, err := os.Open(c.path(p))
	if err != nil {
		c.problem(1, about(p, err))
		return nil
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		c.problem(1, about(p, err))
		return nil
	}
	size := info.Size()
	if refused, err := c.say("C%04o %d %s", info.Mode().Perm(), size, path.Base(p)); refused || err != nil {
		return err
	}
	if c.buf == nil {
		c.buf = make([]byte, blockSize)
	}
	in := &remember{r: f}
	n, err := io.CopyBuffer(c.w, io.LimitReader(in, size), c.buf)
	if err != nil && in.err == nil {
		return err
	}
	if n < size { // somebody cut it, or it cannot be read
		if _, err := io.CopyBuffer(c.w, io.LimitReader(zeros{}, size-n), c.buf); err != nil {
			return err
		}
		if in.err == nil {
			in.err = errors.New("became shorter while it was sent")
		}
		c.problem(1, about(p, in.err))
	} else if err := c.ok(); err != nil {
		return err
	}
	refused, fatal := c.answer()
	if refused != nil {
		c.failed = true
	}
	return fatal
}

func (c *conn) sendDir(p string, info fs.FileInfo, depth int) error {
	list, err := os.ReadDir(c.path(p))
	if err != nil {
		c.problem(1, about(p, err))
		return nil
	}
	if refused, err := c.say("D%04o 0 %s", info.Mode().Perm(), path.Base(p)); refused || err != nil {
		return err
	}
	for _, e := range list {
		entry := path.Join(p, e.Name())
		info, err := os.Stat(c.path(entry))
		if err != nil {
			c.problem(1, about(entry, err))
			continue
		}
		if err := c.send(entry, info, depth+1); err != nil {
			return err
		}
	}
	_, err = c.say("E")
	return err
}

// remember remembers why a file cannot be read, which is not the client's
// fault.
type remember struct {
	r   io.Reader
	err error
}

func (r *remember) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// say sends a line and takes the answer.
func (c *conn) say(format string, args ...any) (refused bool, err error) {
	if _, err := fmt.Fprintf(c.w, format+"\n", args...); err != nil {
		return false, err
	}
	r, fatal := c.answer()
	if r != nil {
		c.failed = true
	}
	return r != nil, fatal
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
