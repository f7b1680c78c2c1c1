// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package os

import "errors"

// The kernel does not know of files, and nobody else keeps what a process was
// made from.
func executable() (string, error) {
	return "", errors.New("Executable not implemented for hurd")
}
