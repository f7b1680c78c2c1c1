package goport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sealName is the file that makes a directory a finished tool chain. It is
// written last, and lists the size of every file.
const sealName = "hurdlab.seal"

// seal declares the tool chain root finished.
func seal(root, key string) error {
	list, err := inventory(root, key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(root, sealName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(list)
	// A seal that reached the disk before what it seals would be wrong
	// after a power failure; sizes of lost files are.
	return errors.Join(err, f.Sync(), f.Close())
}

// checkSeal returns nil if root is the finished tool chain key and nothing
// has been lost or cut short since; fs.ErrNotExist if there is none. It
// looks at sizes only: reading 250 MB at every use would be too slow.
func checkSeal(root, key string) error {
	want, err := os.ReadFile(filepath.Join(root, sealName))
	if err != nil {
		return err
	}
	got, err := inventory(root, key)
	if err != nil {
		return fmt.Errorf("%s: %w", root, err)
	}
	if bytes.Equal(got, want) {
		return nil
	}
	have := map[string]bool{}
	for line := range strings.Lines(string(got)) {
		have[line] = true
	}
	for line := range strings.Lines(string(want)) {
		if !have[line] {
			_, name, ok := strings.Cut(strings.TrimSpace(line), " ")
			if !ok {
				return fmt.Errorf("%s: %s has been cut short", root, sealName)
			}
			return fmt.Errorf("%s: file %s is missing or has changed", root, name)
		}
	}
	return fmt.Errorf("%s has files that are not of the tool chain", root)
}

// inventory lists key and the files of root with their sizes.
func inventory(root, key string) ([]byte, error) {
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	fmt.Fprintf(w, "key %s\n", key)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil || rel == sealName {
			return err
		}
		fmt.Fprintf(w, "%d %s\n", info.Size(), rel)
		return nil
	})
	w.Flush()
	return b.Bytes(), err
}
