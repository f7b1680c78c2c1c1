// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package os

import "syscall"

// See syscall.Dirent for what is where.

func direntIno(buf []byte) (uint64, bool)    { return readInt(buf, 0, 8) }
func direntReclen(buf []byte) (uint64, bool) { return readInt(buf, 8, 2) }
func direntNamlen(buf []byte) (uint64, bool) { return readInt(buf, 11, 1) }

func direntType(buf []byte) FileMode {
	if len(buf) > 10 {
		switch buf[10] {
		case syscall.DT_BLK:
			return ModeDevice
		case syscall.DT_CHR:
			return ModeDevice | ModeCharDevice
		case syscall.DT_DIR:
			return ModeDir
		case syscall.DT_FIFO:
			return ModeNamedPipe
		case syscall.DT_LNK:
			return ModeSymlink
		case syscall.DT_REG:
			return 0
		case syscall.DT_SOCK:
			return ModeSocket
		}
	}
	return ^FileMode(0) // unknown, as it is for most file systems of the Hurd
}
