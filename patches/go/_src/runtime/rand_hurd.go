// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package runtime

import _ "unsafe" // for go:linkname

// readRandom fills r with random bytes from the processor, if it has them,
// and returns how many it stored.
//
// GNU Mach has no random numbers. The Hurd has them in a file, which is out of
// reach for this package; it is package crypto/internal/sysrand that reads it.
// If all else fails this package seeds from the clock, which differs from
// start to start, and whose low bits nobody knows who does not watch the
// machine closely. That is good for hash tables, not for keys.
func readRandom(r []byte) int {
	if !hasHardwareRandom() {
		return 0
	}
	for n := 0; n < len(r); {
		v, ok := hardwareRandom()
		for try := 0; !ok && try < 100; try++ {
			v, ok = hardwareRandom()
		}
		if !ok {
			return n
		}
		for i := 0; i < 4 && n < len(r); i++ {
			r[n] = byte(v >> (8 * i))
			n++
		}
	}
	return len(r)
}

// hasHardwareRandom reports whether the processor has the instruction RDRAND.
func hasHardwareRandom() bool

// hardwareRandom returns 32 random bits. ok is false if the processor was out
// of them.
func hardwareRandom() (v uint32, ok bool)

//go:linkname sysrand_readRandom crypto/internal/sysrand.runtime_readRandom
func sysrand_readRandom(b []byte) bool { return readRandom(b) == len(b) }
