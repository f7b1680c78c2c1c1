package rights

import "fmt"

// Config is what a node is made with.
type Config struct {
	Self   Incarnation
	Key    func(num uint64) Key // makes the key of a right of this origin: unguessable
	Limits Limits
}

// A Node is the table of one node. Its methods are not safe for concurrent use:
// the order of calls is the order of events.
type Node struct {
	config Config
	out    []Action
}

// Code is the kind of a protocol error, as it is in the CLOSE of a session (B4).
type Code uint8

const (
	CodeBye Code = iota
	CodeProtocol
	CodeLimit
	CodeVersion
	CodeReplaced
	CodeTimeout
	CodeInternal
)

// A ProtocolError is what a peer did wrong.
type ProtocolError struct {
	Code Code
	Rule string // of docs/netmsg-protocol.md, such as "C5"
	Text string
}

func (e *ProtocolError) Error() string { return fmt.Sprintf("%s (rule %s)", e.Text, e.Rule) }

// New returns a node without peers.
func New(c Config) *Node {
	c.Limits = c.Limits.withDefaults()
	return &Node{config: c}
}

// Actions returns what is to be done, in order, and forgets it.
func (n *Node) Actions() []Action {
	out := n.out
	n.out = nil
	return out
}
