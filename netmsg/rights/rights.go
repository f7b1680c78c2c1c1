// Package rights is netmsg's table of port rights: which rights of other nodes
// this one knows, which of its own others hold, and what has to be said about
// them. It is a state machine without input, output, clocks or goroutines:
// what happens is a call, and what is to be done about it are [Action] values.
//
//	n.Receive("node2", record)   // a record of a session
//	n.Sent(proxy, false, message) // a message from a task
//	for _, a := range n.Actions() {
//		... transmit, deliver, make a proxy
//	}
//
// # Words
//
// A [Node] is one netmsg with its peers. A right between nodes has an [ID]. A
// [Port] is a port on this node: that of a task, or a proxy, whose receiver is
// netmsg and which stands for a port elsewhere. The rules that the code quotes
// (C1, H3, ...) are those of docs/netmsg-protocol.md.
//
// # Place in the house
//
// It imports nothing of this project. Package wire puts its records into bytes,
// package session carries them, package bridge gives it the kernel's messages and
// notifications and does what it says; package sim does both in memory, many
// nodes at a time, and checks what must always hold.
package rights

import (
	"cmp"
	"fmt"
)

// NodeID is the name of a node, which all nodes of a cluster agree on: 1 to
// [MaxNodeID] bytes.
type NodeID string

// MaxNodeID is the most bytes in a NodeID.
const MaxNodeID = 63

// An Incarnation is a node from one start to the next.
type Incarnation struct {
	Node  NodeID
	Epoch uint64 // random, not 0
}

func (i Incarnation) String() string { return fmt.Sprintf("%s/%x", i.Node, i.Epoch) }

// An ID is the identity of a right (I1).
type ID struct {
	Origin Incarnation // who was the first to send it
	Num    uint64      // never used twice by Origin
}

func (id ID) String() string { return fmt.Sprintf("%v#%d", id.Origin, id.Num) }

func (id ID) compare(x ID) int {
	return cmp.Or(cmp.Compare(id.Origin.Node, x.Origin.Node), cmp.Compare(id.Origin.Epoch, x.Origin.Epoch), cmp.Compare(id.Num, x.Num))
}

// A Key shows that one has had a right (I4).
type Key [16]byte

// Kind is what a right lets its holder do.
type Kind uint8

const (
	Null     Kind = iota // no right
	Dead                 // a dead name
	Send                 // send any number of messages
	SendOnce             // send one message
	Receive              // receive
)

var kinds = [...]string{"null", "dead", "send", "once", "receive"}

func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("kind(%d)", k)
}

// A Right is a right in a record.
type Right struct {
	Kind    Kind
	ID      ID   // of the kinds Send, SendOnce and Receive
	Key     Key  // likewise, if counted or Receive
	Counted bool // the transmission adds to what the receiver holds (T1, T3)
}

// A Body is what a message has besides rights. The table does not look into it.
type Body interface {
	// Size is how many bytes the message counts for (F2).
	Size() int
}

// A Message is a message in a record. The rights are in the order of the body.
type Message struct {
	Body   Body
	Rights []Right
}

// A Port is a port of this node, as the table and its adapter call it. Numbers
// are not used again, whatever the kernel does with names.
type Port uint64

// A LocalRight is a right in the hands of netmsg, or one to be given to a task.
//
// In a message from a task, Port is a number that the adapter knows or has got
// from [Node.NewPort]. In a message to a task, it is a proxy, from which the
// adapter makes a right, or a port of the node: then a Send is copied from what
// netmsg holds, a SendOnce and a Receive are what it holds, and are moved.
type LocalRight struct {
	Kind Kind
	Port Port
}

// A LocalMessage is a message from or to a task.
type LocalMessage struct {
	Body   Body
	Rights []LocalRight
}

// RecordType says what a record is about.
type RecordType uint8

// The records of a session. Each says which fields of [Record] it has.
const (
	RecMessage   RecordType = 1 + iota // ID, Once, Message: a message to ID
	RecDelivered                       // ID, N: the N oldest messages to ID that are not confirmed have been delivered (F1)
	RecRelease                         // ID, N, Once, Dead: the sender gives back N of its hold (C1); a send-once right that is Dead was not used (H6)
	RecDead                            // ID: the port is dead (D1)
	RecClaim                           // ID, Key, Node, Once: the sender got ID from Node and wants a hold of its own (H1)
	RecClaimed                         // ID, Once, Dead, Node: the answer; Node: where to claim instead (M9)
	RecMoved                           // ID, Node: the home has moved to Node (M3)
	RecOffer                           // Message: no body and one right, the door (S5)
)

var recordTypes = [...]string{"", "message", "delivered", "release", "dead", "claim", "claimed", "moved", "offer"}

func (t RecordType) String() string {
	if int(t) < len(recordTypes) && t > 0 {
		return recordTypes[t]
	}
	return fmt.Sprintf("record(%d)", t)
}

// A Record is what nodes say to each other in a session.
type Record struct {
	Type    RecordType
	ID      ID
	N       uint64
	Key     Key
	Node    NodeID
	Once    bool // ID is a send-once right
	Dead    bool // of RecClaimed: there is no such right any more; see RecRelease
	Message *Message
}

// Limits are the bounds of a node. The zero value of each means its default.
type Limits struct {
	Window  int // messages to one right that are not delivered, along one session (8)
	Budget  int // bytes in messages of one session that are not delivered (1 MB)
	Message int // bytes in a message (16 MB)
	Rights  int // rights in a message (1,024)
	Holds   int // rights that one peer holds, or that are held from it (65,536)
	Claims  int // claims of one peer that wait, and of this node at one peer (1,024)
}

// WithDefaults returns the limits with those that are zero replaced by their defaults.
func (l Limits) WithDefaults() Limits {
	for _, f := range []struct {
		v *int
		d int
	}{{&l.Window, 8}, {&l.Budget, 1 << 20}, {&l.Message, 16 << 20}, {&l.Rights, 1024}, {&l.Holds, 1 << 16}, {&l.Claims, 1024}} {
		if *f.v <= 0 {
			*f.v = f.d
		}
	}
	return l
}
