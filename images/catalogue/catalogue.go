// Package catalogue is the images that there are, for the command line and the suites:
// those of images/mach and images/debian, those that were made of nodes, and, by a path, a
// disk image of the user's own.
//
// It imports the images; nothing below it knows it.
package catalogue

import (
	"path/filepath"
	"strings"

	"hurdlab/images"
	"hurdlab/images/debian"
	machimage "hurdlab/images/mach"
)

// Options say where things are, and what the user wants to be otherwise.
type Options struct {
	// CacheDir is for what can be obtained again, StateDir for what cannot. Source is
	// hurdlab's source tree.
	CacheDir, StateDir, Source string
	// File is a disk image of the user's own; "" for none.
	File string
	// Kernel and Mirror are those of both packages of images, the others those of
	// package debian.
	Kernel, Mirror, Site string
	Keyrings             []string
	Unsigned             bool
}

// File returns the absolute path if a name is that of a file: if it has a slash.
func File(name string) (file string, ok bool, err error) {
	if !strings.ContainsRune(name, filepath.Separator) {
		return "", false, nil
	}
	file, err = filepath.Abs(name)
	return file, true, err
}

// TestEnv is the variable of the environment that says which image the labs of suites
// boot.
const TestEnv = "HURDLAB_TEST_IMAGE"

// Kept are the images that were made of nodes.
func Kept(stateDir string) debian.Store { return debian.Store{Dir: filepath.Join(stateDir, ".images")} }

// New returns the images. One of a file has its path as its name.
func New(o Options) (images.Catalogue, error) {
	d := debian.Options{
		CacheDir: o.CacheDir, Source: o.Source, Lock: filepath.Join(o.StateDir, "images.lock"),
		Site: o.Site, Keyrings: o.Keyrings, Unsigned: o.Unsigned, Kernel: o.Kernel, Mirror: o.Mirror,
	}
	list := images.Catalogue{
		machimage.New(machimage.Options{CacheDir: o.CacheDir, Source: o.Source, Kernel: o.Kernel, Mirror: o.Mirror}),
		debian.New("i386", d),
		debian.New("amd64", d),
	}
	kept, err := Kept(o.StateDir).Images(d)
	if err != nil {
		return nil, err
	}
	list = append(list, kept...)
	if o.File != "" {
		list = append(list, debian.File(o.File, d))
	}
	return list, nil
}
