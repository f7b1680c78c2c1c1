// Package rootfs is the root file system of the mach image: the files of
// package memfs as nodes of hurd/translator, and what only a file system that
// holds them can do: memory objects of files that are coherent with reads and
// writes, fifos, devices, the addresses of local sockets. Package
// cmd/rootfs makes a program of it, with the part of a system's start that is
// the root file system's.
//
// # Place in the house
//
// It stands on memfs, hurd/translator and hurd/ports. Its tests run on the
// host; what needs the kernel's calls is behind interfaces, implemented in
// kernel.go.
//
// The facts are from the reference document hurd-protocol.md: sections 2.6
// and 9 (memory objects), 3.7 (the start of a system), 5 (files), 6.4 (local
// sockets).
package rootfs
