package session

import (
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// A verdict is what becomes of a connection that a peer has opened (S2).
type verdict uint8

const (
	accept  verdict = iota // it is the session; a dial of this node's is given up
	replace                // the session that there is ends first
	hold                   // it waits until it is known what becomes of this node's dial
	refuse                 // it is answered with CLOSE(replaced)
)

var verdicts = [...]string{"accept", "replace", "hold", "refuse"}

func (v verdict) String() string { return verdicts[v] }

// A state is what a node has with a peer when a connection of it arrives.
type state struct {
	// The session that there is, if its id is not zero, and with which epoch of the
	// peer.
	session wire.SessionID
	epoch   uint64
	// The node is dialling the peer: it has said, or may have said, its greeting, and not
	// got the other.
	dialling bool
}

// judge says what becomes of a connection that self has got from a peer, with the
// peer's greeting. It is all there is to S2: both ends come to the same
// conclusion, whatever of theirs crosses.
//
// Without a session there is a contest only if both are dialling. The one with the
// smaller name holds what it gets, and the other accepts what it gets, so the
// session that the smaller one dials stays; if that comes to nothing, the other.
//
// If there is a session, the peer has greeted on it, so it knew it when it opened
// a connection later. It says what it knew last: if that is the session, or one
// after, the peer has lost it since. If not, the connection is older: it crossed.
func judge(self rights.NodeID, st state, g *wire.Greeting) verdict {
	switch {
	case st.session == wire.SessionID{}:
		if st.dialling && self < g.Node.Node {
			return hold
		}
		return accept
	case g.Node.Epoch != st.epoch:
		return replace
	case !st.session.Mine:
		// Of two connections that it has opened, the one with the larger number is later.
		if g.Dial > st.session.Dial {
			return replace
		}
		return refuse
	case g.Last == wire.SessionID{Dial: st.session.Dial}: // Mine is as seen from there
		return replace
	}
	return refuse
}
