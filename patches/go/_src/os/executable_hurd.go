// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package os

import (
	"errors"
	"internal/stringslite"
	_ "unsafe" // for go:linkname
)

// hurdExecutable is provided by package syscall: what the proc server knows.
func hurdExecutable() (string, error)

// The directory at the start, which a relative name is relative to.
var initCwd, initCwdErr = "", error(nil)

func init() {
	// Asking costs several calls: only if there is something to ask for.
	if len(Args) > 0 && stringslite.IndexByte(Args[0], '/') > 0 {
		initCwd, initCwdErr = Getwd()
	}
}

func executable() (string, error) {
	if path, err := hurdExecutable(); err == nil && path != "" && path[0] == '/' {
		return path, nil
	}
	// Started by something that does not tell: as on other systems without
	// a kernel that knows, by the arguments.
	if len(Args) == 0 || Args[0] == "" {
		return "", errors.New("the program was started without its name")
	}
	name := Args[0]
	switch i := stringslite.IndexByte(name, '/'); {
	case i == 0:
		return name, nil
	case i > 0:
		if initCwdErr != nil {
			return name, initCwdErr
		}
		return initCwd + "/" + name, nil
	}
	for dir := Getenv("PATH"); dir != ""; {
		var first string
		first, dir, _ = stringslite.Cut(dir, string(PathListSeparator))
		if first == "" {
			first = "."
		}
		path := first + "/" + name
		if info, err := Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0111 != 0 && path[0] == '/' {
			return path, nil
		}
	}
	return "", ErrNotExist
}
