// Package wire is the bytes of netmsg's sessions: greetings, the records of
// package rights, and in them Mach messages, in a form that no kernel's
// layout shows in.
//
// A [Codec] is for the records of one session. A [Body] is what a Mach message
// has besides rights: [Encode] takes one apart on one node, and [Body.Decode] makes
// it again on another, for whichever layout is there.
//
// The format is written down in docs/netmsg-protocol.md, section 10, and fixed
// by the files in testdata. Whatever is decoded is hostile: each length is
// compared with what is there before anything is made for it, every value has
// one encoding only, and what has another is refused with a
// [rights.ProtocolError].
//
// # Place in the house
//
// It imports netmsg/rights, for the records, and mach/wire, for the messages: no
// kernel and no network. Package session reads and writes what it encodes,
// package bridge makes bodies and messages of each other.
package wire
