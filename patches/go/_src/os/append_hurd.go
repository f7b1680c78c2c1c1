// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package os

import (
	"internal/syscall/unix"
	"syscall"
)

// newFileFlags is what NewFile asks of a descriptor: only what is known here. What it is
// open for is known to its server, which may be far away, and every program would wait
// for three answers before it begins.
const newFileFlags = syscall.F_GETFL_HERE

// newFileAppends reports whether a file that NewFile has made is one that appends.
func newFileAppends(f *File) bool {
	flags, err := unix.Fcntl(f.pfd.Sysfd, syscall.F_GETFL, 0)
	return err == nil && flags&syscall.O_APPEND != 0
}
