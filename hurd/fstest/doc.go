// Package fstest is a conformance suite for file systems: one set of cases,
// any backend.
//
// A case is a function that gets a directory of its own and finds out whether
// the file system below it keeps one promise. Its name begins with the routine
// of the fs or io protocol that makes the promise (hurd-protocol.md 5.1 and
// 5.2): dir_rename/file-over-dir, io_write/append. What programs see through
// package syscall is tested with package syscall, and so runs on any unix; the
// tests of this package run those cases on the host, which shows that the
// cases are right where the Hurd and other systems agree. Where they may
// differ a case accepts both and says so. What only the protocol shows (ports,
// translators, retries) is tested with the stubs of hurd/proto and exists on
// the Hurd alone.
//
// [Cases] are all cases, [Run] runs them. The command suites/programs/fstest
// does so on a directory of a node. Whoever calls Run calls [Act] first thing
// in main: cases about permissions have other users do things, and those are
// further processes of the same program.
//
// # Place in the house
//
// Above hurd/proto and mach; nothing of the house is above it but tests and
// suites. It knows no server: the root file system of the mach image, a
// translator, a file system of another node and that of a real GNU/Hurd are
// all directories to it.
package fstest
