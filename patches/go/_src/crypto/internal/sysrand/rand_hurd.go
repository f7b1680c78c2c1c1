// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package sysrand

import (
	"errors"
	_ "unsafe" // for go:linkname
)

// Provided by package runtime. It fails if the processor has no random
// numbers.
//
//go:noescape
//go:linkname runtime_readRandom
func runtime_readRandom(b []byte) bool

// The kernel has no source of randomness. There is the processor's, and on a
// Hurd the file. Without either there is no falling back on something weak.
func read(b []byte) error {
	if runtime_readRandom(b) {
		return nil
	}
	// Not b itself: what is read from a file is allocated, and b would be, too,
	// even if it is not used here.
	c := make([]byte, len(b))
	err := urandomRead(c)
	copy(b, c)
	clear(c)
	if err != nil {
		return errors.New("no random numbers: the processor has no RDRAND (QEMU: -cpu max, or +rdrand), and /dev/urandom: " + err.Error())
	}
	return nil
}
