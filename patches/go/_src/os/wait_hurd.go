// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package os

import (
	"runtime"
	"syscall"
	_ "unsafe" // for go:linkname
)

// hurdWaitable is provided by package syscall.
func hurdWaitable(pid int) error

// blockUntilWaitable attempts to block until a call to p.Wait will
// succeed immediately, and reports whether it has done so.
// It does not actually call p.Wait.
func (p *Process) blockUntilWaitable() (bool, error) {
	err := ignoringEINTR(func() error { return hurdWaitable(p.Pid) })
	runtime.KeepAlive(p)
	switch err {
	case nil:
		return true, nil
	case syscall.ENOSYS, syscall.EOPNOTSUPP: // older servers do not know this call
		return false, nil
	}
	return false, NewSyscallError("waitid", err)
}
