// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package sysrand

import "errors"

// The kernel has no source of randomness; a real port reads /dev/urandom.
func read(b []byte) error { return errors.ErrUnsupported }
