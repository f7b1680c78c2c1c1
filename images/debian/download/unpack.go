package download

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ulikunitz/xz"

	"hurdlab/images"
)

// maxImage bounds the size of a disk image, in bytes.
const maxImage = 64 << 30

// unpack makes a raw image of an archive, with holes where there is nothing.
func (o *Options) unpack(ctx context.Context, archive, file string, p images.Progress) (err error) {
	done := p.Step("unpack " + filepath.Base(archive))
	defer func() { done(err) }()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	in, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer in.Close()
	r, closeReader, err := reader(ctx, archive, in)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	defer func() {
		if e := closeReader(); err == nil {
			err = e
		}
	}()
	out, err := os.CreateTemp(filepath.Dir(file), ".unpack-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // fails if it has got its name
	defer out.Close()
	size, err := copyHoles(ctx, out, r, p)
	if err != nil {
		return noSpace(fmt.Errorf("unpack %s: %w", archive, err))
	}
	if size == 0 {
		return fmt.Errorf("unpack %s: it is empty", archive)
	}
	if err := out.Truncate(size); err != nil {
		return noSpace(err)
	}
	if err := out.Sync(); err != nil {
		return noSpace(err)
	}
	if err := out.Chmod(0o444); err != nil { // it is the base of every node's disk
		return err
	}
	return os.Rename(out.Name(), file)
}

// reader returns the image within an archive, by the archive's name.
func reader(ctx context.Context, name string, in io.Reader) (r io.Reader, done func() error, err error) {
	done = func() error { return nil }
	r = bufio.NewReaderSize(in, 1<<20)
	switch {
	case strings.HasSuffix(name, ".xz"):
		name = strings.TrimSuffix(name, ".xz")
		if r, done, err = unxz(ctx, r); err != nil {
			return nil, nil, err
		}
	case strings.HasSuffix(name, ".gz"):
		name = strings.TrimSuffix(name, ".gz")
		if r, err = gzip.NewReader(r); err != nil {
			return nil, nil, err
		}
	}
	if !strings.HasSuffix(name, ".tar") {
		return r, done, nil
	}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			err = errors.New("there is no *.img in it")
		}
		if err != nil {
			return nil, nil, errors.Join(err, done())
		}
		if h.Typeflag == tar.TypeReg && strings.HasSuffix(h.Name, ".img") || h.Typeflag == tar.TypeGNUSparse {
			// The rest of the archive is not needed: xz may complain when nobody
			// reads it.
			end := done
			return t, func() error { end(); return nil }, nil
		}
	}
}

// unxz uses the host's xz, which is several times as fast as the library.
func unxz(ctx context.Context, r io.Reader) (io.Reader, func() error, error) {
	if _, err := exec.LookPath("xz"); err != nil {
		x, err := xz.NewReader(r)
		return x, func() error { return nil }, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "xz", "-dc", "-T0")
	cmd.Stdin = r
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	end := &endReader{r: out, wait: func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("xz: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
		}
		return nil
	}}
	return end, func() error {
		cancel()
		if !end.over {
			cmd.Wait()
		}
		return nil
	}, nil
}

// endReader makes the end of a program's output an error if the program failed.
type endReader struct {
	r    io.Reader
	wait func() error
	over bool
}

func (e *endReader) Read(p []byte) (int, error) {
	if e.over {
		return 0, io.EOF
	}
	n, err := e.r.Read(p)
	if err == io.EOF {
		e.over = true
		if werr := e.wait(); werr != nil {
			return n, werr
		}
	}
	return n, err
}

// hole is what is not written if it is zero, in bytes.
const hole = 64 << 10

// copyHoles copies and leaves holes for what is zero.
func copyHoles(ctx context.Context, out *os.File, r io.Reader, p images.Progress) (size int64, err error) {
	buf, zeros := make([]byte, hole), make([]byte, hole)
	for noted := int64(0); ; {
		if ctx.Err() != nil {
			return size, context.Cause(ctx)
		}
		n, err := fill(r, buf)
		if n > 0 && !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := out.WriteAt(buf[:n], size); err != nil {
				return size, err
			}
		}
		size += int64(n)
		if size > maxImage {
			return size, fmt.Errorf("it has more than %d GB", int64(maxImage>>30))
		}
		if size-noted >= 512<<20 {
			noted = size
			p.Logf("%d MB", size>>20)
		}
		switch err {
		case nil:
		case io.EOF:
			return size, nil
		default:
			return size, err
		}
	}
}

// fill is io.ReadFull whose only good end is io.EOF: an archive that was cut off
// says io.ErrUnexpectedEOF itself.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = r.Read(b[n:])
		n += k
	}
	return n, err
}
