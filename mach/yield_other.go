//go:build !hurd || !386

package mach

import "runtime"

// Yield lets others run.
func Yield() { runtime.Gosched() }
