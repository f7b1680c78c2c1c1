package machimage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// SourceEnv names the environment variable that overrides where hurdlab's
// source tree is looked for.
const SourceEnv = "HURDLAB_SOURCE"

// FindSource returns the root of hurdlab's source tree: the one that
// HURDLAB_SOURCE names, else the one around the working directory dir, else
// the one that this program was built from.
func FindSource(dir string) (string, error) {
	if s := os.Getenv(SourceEnv); s != "" {
		if !isSource(s) {
			return "", fmt.Errorf("%s=%s: not hurdlab's source tree (no go.mod of module hurdlab)", SourceEnv, s)
		}
		return filepath.Abs(s)
	}
	if dir, err := filepath.Abs(dir); err == nil {
		for {
			if isSource(dir) {
				return dir, nil
			}
			up := filepath.Dir(dir)
			if up == dir {
				break
			}
			dir = up
		}
	}
	// images/mach/source.go
	if _, file, _, ok := runtime.Caller(0); ok {
		if root := filepath.Dir(filepath.Dir(filepath.Dir(file))); isSource(root) {
			return root, nil
		}
	}
	return "", errors.New("hurdlab's source tree, which the programs of a node are built from, is not here;\n" +
		"run hurdlab inside a checkout or set " + SourceEnv + " to one")
}

func isSource(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	return err == nil && bytes.HasPrefix(b, []byte("module hurdlab\n"))
}
