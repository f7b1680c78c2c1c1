package machimage

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/ulikunitz/xz"
)

// kernelFromDeb takes the kernel, boot/gnumach-*.gz, out of a Debian package
// and unpacks it.
func kernelFromDeb(deb []byte) ([]byte, error) {
	data, err := arMember(deb, "data.tar.xz")
	if err != nil {
		return nil, err
	}
	x, err := xz.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("data.tar.xz: %w", err)
	}
	for t := tar.NewReader(x); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("no boot/gnumach-*.gz in the package")
		}
		if err != nil {
			return nil, fmt.Errorf("data.tar.xz: %w", err)
		}
		if ok, _ := path.Match("boot/gnumach-*.gz", path.Clean(h.Name)); !ok {
			continue
		}
		z, err := io.ReadAll(io.LimitReader(t, 64<<20))
		if err != nil {
			return nil, fmt.Errorf("data.tar.xz: %s: %w", h.Name, err)
		}
		kernel, err := gunzip(z)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		if !isMultiboot(kernel) {
			return nil, fmt.Errorf("%s: not a multiboot kernel", h.Name)
		}
		return kernel, nil
	}
}

// arMember returns a file of an ar archive in the format that dpkg writes
// (deb(5)): a 60-byte header before each member, padded to an even size.
func arMember(ar []byte, name string) ([]byte, error) {
	const magic, header = "!<arch>\n", 60
	rest, ok := bytes.CutPrefix(ar, []byte(magic))
	if !ok {
		return nil, errors.New("not a Debian package")
	}
	for len(rest) >= header {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		if err != nil || size < 0 || size > len(rest)-header {
			return nil, errors.New("damaged Debian package")
		}
		member := strings.TrimRight(string(rest[:16]), "/ ")
		body := rest[header : header+size]
		if member == name {
			return body, nil
		}
		rest = rest[min(len(rest), header+size+size%2):]
	}
	return nil, fmt.Errorf("no %s in the Debian package", name)
}
