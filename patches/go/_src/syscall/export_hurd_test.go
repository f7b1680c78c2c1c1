// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

// Terminals have no foreground process group here yet.

func Tcgetpgrp(fd int) (pgid int32, err error) { return -1, ENOSYS }
func Tcsetpgrp(fd int, pgid int32) (err error) { return ENOSYS }
