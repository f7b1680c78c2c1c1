// Package session carries records between nodes. [Sessions] keeps at most one
// session with each peer, however many connections both of them open; a
// [Session] is one connection after the greetings: it puts records into frames and
// takes them out, writes all that waits at once, notices a peer that is gone,
// silent or does not read, and ends with an error that both sides get.
//
// What happens is told to a [Handler]: for each peer in turn that there is a session,
// the records that arrive, and that it is lost. Sending never blocks.
//
// # Place in the house
//
// Below it is a stream that something else has opened and authenticated, package
// transport as a rule: it is given connections and the names of their peers. It
// imports netmsg/rights and netmsg/wire for the records, and no kernel. Above it,
// package bridge passes records to the table of rights and sends what that says.
package session
