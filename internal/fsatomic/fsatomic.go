// Package fsatomic writes files that are either there whole or not at all,
// for caches and state that must survive a kill at any moment.
package fsatomic

import (
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes data to path, making the directories on the way. Whoever
// opens path sees what was there before or all of data. The temporary file
// lies beside path, so a crash leaves at most one such file behind.
func WriteFile(path string, data []byte, perm fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
