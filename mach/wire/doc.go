// Package wire makes Mach messages and takes them apart.
//
// A message of GNU Mach is a header and a list of typed items: integers,
// strings, rights to ports, and memory that travels "out of line" because it
// is remapped rather than copied. The same message looks different on a
// 32-bit and on a 64-bit kernel; [Layout] is the difference. Package wire
// works on bytes alone: it needs no kernel, runs on any OS, speaks both
// layouts in one program, and treats everything it decodes as hostile.
//
// To make a message, call [New] and the Put methods, in the order of the
// routine's definition:
//
//	m := wire.New(wire.Layout32, 2021) // vm_allocate
//	m.PutWord(0)
//	m.PutWord(4096)
//	m.PutBool(true)
//	m.SetDest(task, wire.CopySend)
//
// To take one apart, call the Take methods in the same order, then
// [Message.End]. The first failure sticks and End returns it, so that the
// steps between need no checks. A program that does not know the routine,
// such as a forwarder, walks the items with [Message.Items].
//
// # Who owns what is in a message
//
// A message owns the rights and the memory in it. Rights that are put with a
// Move disposition belong to the message from then on; rights and
// out-of-line memory of a received message belong to it until a Take method
// hands them over, which also removes them from the message. What is left can
// thus be released by a walk over the items at any time, as package mach does
// in Destroy.
//
// # Place in the house
//
// Package mach sends and receives these messages and is what programs
// usually import. The facts come from the description of the Mach IPC ABI in
// the reference document hurd-protocol.md, sections 1 and 8; tests take their
// worked examples from there.
package wire
