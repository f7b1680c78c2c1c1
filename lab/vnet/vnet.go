package vnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"

	"hurdlab/lab/vnet/fabric"
)

// Faults is what a link does to the frames that pass over it.
type Faults = fabric.Faults

// Config says what a switch is like. The zero value is a usable one.
type Config struct {
	// Prefix is the lab's network; 10.77.0.0/24 if it is not set.
	Prefix netip.Prefix
	// Seed decides what the faults do. The same seed and the same frames on
	// a link give the same losses, duplicates and so on.
	Seed uint64
	// Domain is the DNS domain of the nodes; "lab" if empty.
	Domain string
	// MTU is the largest IP packet, 1500 if 0.
	MTU int
	// QueueBytes bounds what waits for one NIC; 0 means 512 KiB.
	QueueBytes int
}

// GatewayName is the name of the lab's own host on its network.
const GatewayName = "gateway"

// AllNodes, as the name of a node in SetFaults and EditFaults, stands for
// every node that there is; not for the gateway.
const AllNodes = "*"

type (
	// A Switch is the network of one lab.
	Switch struct{}
	// A NIC is the network interface of one node.
	NIC struct{}
	// A Forwarder is a port of this host that leads to a port of a node.
	Forwarder struct{}
	// A Capture writes the frames of a node, or of all, as pcap.
	Capture struct{}
	// State is the faults in force; Counters is what happened so far. Both
	// are plain data for JSON.
	State    struct{}
	Counters struct{}
)

var errTODO = errors.ErrUnsupported

// New starts a switch and its gateway.
func New(cfg Config) (*Switch, error) { return nil, errTODO }

// Close ends everything: NICs are detached, forwards and captures closed.
func (s *Switch) Close() error { return errTODO }

// AddNode makes the NIC of one more node. The first has address 11 of the
// prefix, the second 12 ...; MACs count likewise.
func (s *Switch) AddNode(name string) (*NIC, error) { return nil, errTODO }
func (s *Switch) Node(name string) (*NIC, bool)     { return nil, false }
func (s *Switch) Prefix() netip.Prefix              { return netip.Prefix{} }
func (s *Switch) Gateway() netip.Addr               { return netip.Addr{} } // also the DNS server
func (s *Switch) Hosts() map[string]netip.Addr      { return nil }          // nodes and the gateway by name

func (n *NIC) Name() string       { return "" }
func (n *NIC) MAC() [6]byte       { return [6]byte{} }
func (n *NIC) Addr() netip.Prefix { return netip.Prefix{} }

// Attach plugs in conn, which speaks QEMU's stream framing, and takes
// ownership of it. What was attached before is closed. The channel is closed
// when conn is detached again: by EOF, by an error, by Attach, Detach, Close.
func (n *NIC) Attach(conn net.Conn) (detached <-chan struct{}, err error) { return nil, errTODO }
func (n *NIC) Detach()                                                    {}

// DialContext connects from the host to "node1:22" (or an address); network is tcp or udp.
func (s *Switch) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return nil, errTODO
}

// Forward listens on the host address listen ("127.0.0.1:0") and leads to port of node.
func (s *Switch) Forward(listen, node string, port uint16) (*Forwarder, error) { return nil, errTODO }
func (f *Forwarder) Addr() net.Addr                                            { return nil }
func (f *Forwarder) Close() error                                              { return nil }

// SetFaults replaces the faults of the link from -> to (one direction);
// EditFaults changes some of them. Names: nodes, GatewayName, AllNodes.
func (s *Switch) SetFaults(from, to string, f Faults) error              { return errTODO }
func (s *Switch) EditFaults(from, to string, edit func(f *Faults)) error { return errTODO }

// Partition lets only nodes of the same group talk; nodes in no group form
// one more. The gateway talks to all unless it is named in a group. A new
// partition replaces the old one.
func (s *Switch) Partition(groups ...[]string) error { return errTODO }

// Isolate cuts a node from all other nodes (not from the gateway); Rejoin undoes it.
func (s *Switch) Isolate(node string) error { return errTODO }
func (s *Switch) Rejoin(node string) error  { return errTODO }

// Heal ends the partition, all isolations and Faults.Cut; ClearFaults ends all faults but these.
func (s *Switch) Heal()        {}
func (s *Switch) ClearFaults() {}

// State tells the faults in force, Counters what happened so far.
func (s *Switch) State() State       { return State{} }
func (s *Switch) Counters() Counters { return Counters{} }

// Capture writes what node sends and gets to w in pcap format until the
// capture is closed; an empty node means every frame that enters the switch.
func (s *Switch) Capture(node string, w io.Writer) (*Capture, error) { return nil, errTODO }
func (c *Capture) Close() error                                      { return nil }
func (c *Capture) Dropped() uint64                                   { return 0 }
