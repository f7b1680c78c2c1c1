// Package translator makes a Go program a translator: a server that puts
// itself at a node of the Hurd's file system and answers for what is there.
//
// A translator implements [Node] and as many of the other interfaces of
// node.go as its nodes can do; the library speaks the protocols (fs, io,
// fsys), keeps what is open, checks permissions, and starts and finds the
// translators that sit on nodes.
//
// # Place in the house
//
// It stands on hurd/proto (the protocols' stubs), hurd/ports (objects with
// ports) and package mach, and is itself what the root file system of the
// mach image and third-party translators are built on. Protocol facts are from
// hurd-protocol.md: sections 5.1 to 5.12.
package translator
