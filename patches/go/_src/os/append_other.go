// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

//go:build !hurd

package os

// newFileAppends reports whether a file appends although its appendMode is not set.
func newFileAppends(*File) bool { return false }
