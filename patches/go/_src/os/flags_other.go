// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

//go:build (unix && !hurd) || (js && wasm) || wasip1

package os

import "syscall"

// newFileFlags is what NewFile asks of a descriptor.
const newFileFlags = syscall.F_GETFL
