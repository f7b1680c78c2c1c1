package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	scp "github.com/bramvdbogaerde/go-scp"

	"hurdlab/lab/problem"
)

// CopyTo copies a file or directory of this host to the node. If remote ends
// with a slash, it is the directory to copy it into.
func (n *Node) CopyTo(ctx context.Context, local, remote string) error {
	st, err := os.Stat(local)
	if err != nil {
		return problem.Wrap(err, "nothing is copied", "check the name; files of a node are written NODE:PATH")
	}
	if strings.HasSuffix(remote, "/") {
		remote = path.Join(remote, filepath.Base(local))
	}
	if !st.IsDir() {
		return n.sendFile(ctx, local, remote)
	}
	return filepath.WalkDir(local, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(local, p)
		if err != nil {
			return err
		}
		to := path.Join(remote, filepath.ToSlash(rel))
		switch {
		case e.IsDir():
			return n.mkdir(ctx, to)
		case e.Type().IsRegular():
			return n.sendFile(ctx, p, to)
		}
		return fmt.Errorf("copy %s: it is neither a file nor a directory", p)
	})
}

// mkdir makes a directory and those above it.
func (n *Node) mkdir(ctx context.Context, dir string) error {
	r, err := n.Run(ctx, "mkdir", "-p", dir)
	if err != nil {
		return err
	}
	if !r.Ok() {
		return fmt.Errorf("%s: mkdir %s: %v: %s", n.name, dir, r.Exit, strings.TrimSpace(r.Stderr))
	}
	return nil
}

// sendFile copies one file to the node.
func (n *Node) sendFile(ctx context.Context, local, remote string) error {
	f, err := os.Open(local)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	conn, err := n.ssh.Client(ctx)
	if err != nil {
		return err
	}
	client, err := scp.NewClientBySSH(conn)
	if err != nil {
		return err
	}
	// Not CopyFile, which reads all of it into memory.
	err = client.Copy(ctx, f, remote, fmt.Sprintf("%04o", st.Mode().Perm()), st.Size())
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// Of the node's message and its exit status, go-scp returns what comes
		// first.
		return problem.Wrap(trimmed(err), fmt.Sprintf("copy %s to %s:%s", local, n.name, remote),
			fmt.Sprintf("see whether the directory is there and has room: hurdlab exec %s ls %s", n.name, path.Dir(remote)))
	}
	return nil
}

// trimmed is an error without the line end that servers put behind it.
func trimmed(err error) error {
	if s := strings.TrimSpace(err.Error()); s != err.Error() {
		return errors.New(s)
	}
	return err
}

// CopyFrom copies a file or directory of the node to this host. If local is a
// directory, it is copied into that.
func (n *Node) CopyFrom(ctx context.Context, remote, local string) error {
	session, err := n.session(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	in, err := session.StdinPipe()
	if err != nil {
		return err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	// go-scp loses modes and knows no directories, so this direction is ours.
	if err := session.Start("scp -r -f " + quote(remote)); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s: start scp: %w", n.name, err)
	}
	err = (&receiver{r: bufio.NewReader(out), w: in}).receive(local)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return problem.Wrap(err, fmt.Sprintf("copy %s:%s to %s", n.name, remote, local), "")
	}
	in.Close()
	session.Wait() // all is there; how the server ends does not matter
	return nil
}

// A receiver is the side of scp's protocol that gets files. The other side
// sends lines: "C<mode> <size> <name>" with the contents and a zero byte, or
// "D<mode> 0 <name>", entries, "E"; "T..." gives times, and bytes 1 and 2
// begin error messages. Each is answered with a zero byte.
type receiver struct {
	r *bufio.Reader
	w io.Writer
}

// maxDepth bounds directories in directories: the other side may be anybody.
const maxDepth = 64

// receive gets one file or directory.
func (r *receiver) receive(local string) error {
	st, err := os.Stat(local)
	into := err == nil && st.IsDir()
	if err := r.ack(); err != nil {
		return err
	}
	return r.entries(local, into, 0)
}

func (r *receiver) ack() error {
	_, err := r.w.Write([]byte{0})
	return err
}

// entries gets what comes until the end of this directory, or of all. They go
// into the directory target if into is set, or else the one entry becomes
// target.
func (r *receiver) entries(target string, into bool, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("more than %d directories in each other", maxDepth)
	}
	for any := false; ; any = true {
		line, err := r.line()
		if err == io.EOF && depth == 0 && any {
			return nil
		}
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		switch line[0] {
		case 1, 2:
			return errors.New(strings.TrimSpace(line[1:]))
		case 'T':
			if err := r.ack(); err != nil {
				return err
			}
			continue
		case 'E':
			if depth == 0 {
				return fmt.Errorf("scp: a directory ends that has not begun")
			}
			return r.ack()
		}
		mode, size, name, err := parseEntry(line)
		if err != nil {
			return err
		}
		to := target
		if into {
			to = filepath.Join(target, name)
		}
		if line[0] == 'C' {
			err = r.file(to, mode, size)
		} else {
			if err = os.MkdirAll(to, mode|0o700); err == nil {
				if err = r.ack(); err == nil {
					err = r.entries(to, true, depth+1)
				}
			}
		}
		if err != nil {
			return err
		}
	}
}

// line reads a line, without its end.
func (r *receiver) line() (string, error) {
	b, err := r.r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			err = errors.New("scp: endless line")
		}
		return "", err
	}
	if len(b) < 2 {
		return "", errors.New("scp: empty line")
	}
	return string(b[:len(b)-1]), nil
}

// parseEntry parses "C<mode> <size> <name>" and "D<mode> 0 <name>".
func parseEntry(line string) (mode fs.FileMode, size int64, name string, err error) {
	f := strings.SplitN(line[1:], " ", 3)
	if (line[0] != 'C' && line[0] != 'D') || len(f) != 3 {
		return 0, 0, "", fmt.Errorf("scp: not understood: %q", line)
	}
	m, err := strconv.ParseUint(f[0], 8, 16)
	if err == nil {
		size, err = strconv.ParseInt(f[1], 10, 64)
	}
	if err != nil || size < 0 {
		return 0, 0, "", fmt.Errorf("scp: not understood: %q", line)
	}
	// A name that leads elsewhere would let a node write all over the host.
	if name = f[2]; name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return 0, 0, "", fmt.Errorf("scp: the node sent the file name %q", name)
	}
	return fs.FileMode(m).Perm(), size, name, nil
}

// file gets the contents of a file.
func (r *receiver) file(to string, mode fs.FileMode, size int64) (err error) {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode|0o200)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := r.ack(); err != nil {
		return err
	}
	if _, err := io.CopyN(f, r.r, size); err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	switch b, err := r.r.ReadByte(); {
	case err != nil:
		return err
	case b != 0:
		line, _ := r.r.ReadString('\n')
		return fmt.Errorf("%s: %s", to, strings.TrimSpace(line))
	}
	return r.ack()
}
