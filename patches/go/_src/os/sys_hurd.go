// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package os

import "internal/stringslite"

// hostname is what the file says that the Hurd's own programs read.
func hostname() (name string, err error) {
	b, err := ReadFile("/etc/hostname")
	if err != nil {
		return "", err
	}
	name, _, _ = stringslite.Cut(string(b), "\n")
	return name, nil
}
