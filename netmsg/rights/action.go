package rights

// An Action is something for the adapter to do. Actions are done in order.
type Action interface{ action() }

type (
	// Transmit puts a record into the session with a peer.
	Transmit struct {
		Peer   NodeID
		Record Record
	}
	// Dial asks for a session with a node; Connected or Unreachable answers.
	Dial struct{ Node NodeID }
	// Close ends a session whose peer has broken the protocol. The table has
	// forgotten the peer already, as after [Node.Lost], which need not be
	// called any more.
	Close struct {
		Peer NodeID
		Err  *ProtocolError
	}

	// NewProxy makes a port with a receive right of netmsg, which is received
	// from until Pause. Messages to it go to [Node.Sent].
	NewProxy struct {
		Port Port
		Once bool // one send-once right will be made from it, no send right
	}
	// Kill destroys the receive right of a proxy: its senders have dead names,
	// messages in its queue are destroyed. The number is not used again.
	Kill struct{ Port Port }
	// Arm asks the kernel to say, once, that a proxy has no senders: not before
	// Made send rights have been made from it, but then at once if there is
	// none. [Node.NoSenders] is the answer. It replaces an earlier request.
	Arm struct {
		Port Port
		Made uint32
	}
	// Pause stops receiving from a proxy, Resume goes on (F3). A message that
	// had been received at that moment may still be given to Sent.
	Pause struct{ Port Port }
	// Resume undoes Pause.
	Resume struct{ Port Port }

	// Watch asks the kernel to say when a port of the node dies: [Node.Died] is
	// the answer, unless Forget comes first.
	Watch struct{ Port Port }
	// Drop gives back one reference that netmsg received, to a send right, or to
	// a send-once right, which then fires (T2), or a receive right, which dies.
	Drop struct {
		Port Port
		Kind Kind
	}
	// Forget says that the table has no more to do with a port of the node, whose
	// last reference has been dropped, moved to a task or consumed. The
	// number is not used again.
	Forget struct{ Port Port }

	// Deliver sends a message to a port of the node. Deliveries to one port are
	// done in order; one that must wait holds up no other port (O1).
	// [Node.Delivered] answers when the message is in the port's queue or has been
	// destroyed with its rights. If Once, To is a send-once right of netmsg, used up.
	Deliver struct {
		Delivery uint64
		To       Port
		Once     bool
		Message  LocalMessage
	}
	// Extinguish uses up a send-once right of netmsg by destroying it: the kernel
	// tells its receiver.
	Extinguish struct{ Port Port }
	// Discard destroys the body of a message whose rights are taken care of.
	Discard struct{ Body Body }

	// Offered gives the adapter a send right made from a proxy, the door of a
	// peer, which it holds as a task would.
	Offered struct {
		Peer NodeID
		Port Port
	}

	// Adopt says that netmsg has got the receive right of a port with a message,
	// and is to receive from it as from a proxy from now on. A send reference
	// of netmsg's own, if it had one, is dropped by a Drop.
	Adopt struct{ Port Port }
	// Flush puts a marker into the queue of an adopted port, behind the
	// deliveries to it; [Node.Flushed] is called when the marker comes out. The
	// port is not paused meanwhile.
	Flush struct{ Port Port }
	// Yield makes a proxy a port of the node: the next Deliver has its receive
	// right. Front comes before all else in its queue. Netmsg keeps one send
	// reference, which Watch and Forget are about later, and no longer receives
	// from the port.
	Yield struct {
		Port  Port
		Front []Deliver
	}
)

func (Transmit) action()   {}
func (Dial) action()       {}
func (Close) action()      {}
func (NewProxy) action()   {}
func (Kill) action()       {}
func (Arm) action()        {}
func (Pause) action()      {}
func (Resume) action()     {}
func (Watch) action()      {}
func (Drop) action()       {}
func (Forget) action()     {}
func (Deliver) action()    {}
func (Extinguish) action() {}
func (Discard) action()    {}
func (Offered) action()    {}
func (Adopt) action()      {}
func (Flush) action()      {}
func (Yield) action()      {}
