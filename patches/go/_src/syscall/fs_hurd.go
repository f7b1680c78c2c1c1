// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package syscall

import "unsafe"

// Files without a file system: the console is the descriptors 0 to 2.

// Provided by package runtime.
func now() (sec int64, nsec int32)

// Provided by package runtime.
//
//go:noescape
func runtime_write(fd uintptr, p unsafe.Pointer, n int32) int32

//go:noescape
func runtime_read(fd uintptr, p unsafe.Pointer, n int32) int32

func Write(fd int, b []byte) (int, error) {
	n := runtime_write(uintptr(fd), unsafe.Pointer(unsafe.SliceData(b)), int32(len(b)))
	if n < 0 {
		return 0, Errno(-n)
	}
	return int(n), nil
}

func Read(fd int, b []byte) (int, error) {
	n := runtime_read(uintptr(fd), unsafe.Pointer(unsafe.SliceData(b)), int32(len(b)))
	if n < 0 {
		return 0, Errno(-n)
	}
	return int(n), nil
}
func CloseOnExec(fd int)                                       {}
func Chmod(path string, mode uint32) error                     { return ENOSYS }
func Fchmod(fd int, mode uint32) error                         { return ENOSYS }
func Chown(path string, uid, gid int) error                    { return ENOSYS }
func Fchown(fd int, uid, gid int) error                        { return ENOSYS }
func Lchown(path string, uid, gid int) error                   { return ENOSYS }
func UtimesNano(path string, ts []Timespec) error              { return ENOSYS }
func Rename(from, to string) error                             { return ENOSYS }
func Truncate(path string, length int64) error                 { return ENOSYS }
func Chdir(path string) (err error)                            { return ENOSYS }
func Fchdir(fd int) error                                      { return ENOSYS }
func Readlink(path string, buf []byte) (n int, err error)      { return 0, ENOSYS }
func Link(path, link string) error                             { return ENOSYS }
func Symlink(path, link string) error                          { return ENOSYS }
func Fsync(fd int) error                                       { return ENOSYS }
func Dup(fd int) (int, error)                                  { return 0, ENOSYS }
func Dup2(fd, newfd int) error                                 { return ENOSYS }
func Pipe(fd []int) error                                      { return ENOSYS }
