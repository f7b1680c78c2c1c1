// Package translator makes a Go program a translator: a server that puts
// itself at a node of the Hurd's file system and answers for what is there.
//
// A translator implements [Node] and as many of the other interfaces of
// node.go as its nodes can do; the library speaks the protocols (fs, io,
// fsys), keeps what is open, checks permissions, and starts and finds the
// translators that sit on nodes. docs/hurd.md tells it at more length;
// examples/hello and examples/tree are whole translators.
//
// [Main] is the main function of a program that is only a translator. [Startup]
// makes one of a program that is more, such as a socket server. [NewFS] serves
// a tree that has no parent to announce itself to: the root file system of the
// mach image, or a tree in a test.
//
// # What is where
//
// A [Node] is what the translator implements. Of each node that is in use the
// library keeps one node (fs.go), of each time that it is opened a peropen,
// and of each user of that a protid with a port (open.go): the Hurd's words
// for them. walk.go looks up, io.go, files.go, dirs.go, list.go, locks.go and
// exec.go are the routines of ports, trans.go is translators on nodes,
// control.go and options.go the control port.
//
// Rights: a [mach.Port] that a method takes is borrowed unless it says
// otherwise; one that it returns is the caller's.
//
// # Place in the house
//
// It stands on hurd/proto (the protocols' stubs), hurd/ports (objects with
// ports) and package mach, and is itself what the root file system of the
// mach image and third-party translators are built on. Protocol facts are from
// hurd-protocol.md: sections 5.1 to 5.12.
package translator
