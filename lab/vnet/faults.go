package vnet

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"hurdlab/lab/vnet/fabric"
)

// Faults is what a link does to the frames that pass over it.
type Faults = fabric.Faults

// AllNodes, as the name of a node in SetFaults and EditFaults, stands for
// every node that there is now; not for the gateway.
const AllNodes = "*"

// SetFaults replaces the faults of the link from one node to another: of this
// direction only. Either may be the gateway, or AllNodes.
func (s *Switch) SetFaults(from, to string, f Faults) error {
	return s.EditFaults(from, to, func(old *Faults) { *old = f })
}

// EditFaults changes the faults of a link; see SetFaults. If the values make
// no sense for one of the links, it changes none.
func (s *Switch) EditFaults(from, to string, edit func(f *Faults)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sources, err := s.match(from)
	if err != nil {
		return err
	}
	destinations, err := s.match(to)
	if err != nil {
		return err
	}
	type change struct {
		from, to fabric.Port
		faults   Faults
	}
	var changes []change
	for _, a := range sources {
		for _, b := range destinations {
			if a == b {
				continue
			}
			c := change{a.port, b.port, s.fabric.Faults(a.port, b.port)}
			edit(&c.faults)
			if err := c.faults.Validate(); err != nil {
				return fmt.Errorf("faults of the link %s -> %s: %w", a.name, b.name, err)
			}
			changes = append(changes, c)
		}
	}
	if len(changes) == 0 {
		return fmt.Errorf("no link leads from %q to %q: name two different nodes", from, to)
	}
	for _, c := range changes {
		s.fabric.SetFaults(c.from, c.to, c.faults)
	}
	return nil
}

// match returns the NICs that a name stands for. The caller holds s.mu.
func (s *Switch) match(name string) ([]*NIC, error) {
	if name == AllNodes {
		return s.plugs[1:], nil
	}
	n, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return []*NIC{n}, nil
}

// Partition lets only nodes of the same group reach each other. Nodes in no
// group form one more. The gateway reaches everyone, unless it is named in a
// group. A partition replaces the one before; see Heal.
func (s *Switch) Partition(groups ...[]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make(map[string]bool)
	var ports [][]fabric.Port
	for _, g := range groups {
		if len(g) == 0 {
			return errors.New("partition: a group is empty")
		}
		var p []fabric.Port
		for _, name := range g {
			n, err := s.find(name)
			if err != nil {
				return fmt.Errorf("partition: %w", err)
			}
			if seen[name] {
				return fmt.Errorf("partition: %q is named twice", name)
			}
			seen[name] = true
			p = append(p, n.port)
		}
		ports = append(ports, p)
	}
	if len(groups) == 0 {
		return errors.New("partition: name at least one group of nodes; healing ends a partition")
	}
	s.fabric.Partition(ports)
	s.parts = nil
	for _, g := range groups {
		s.parts = append(s.parts, slices.Clone(g))
	}
	return nil
}

// Isolate cuts a node off from all other nodes, but not from the gateway; an
// isolated gateway is cut off from all nodes. Partitions do not matter for it.
func (s *Switch) Isolate(node string) error { return s.isolate(node, true) }

// Rejoin ends the isolation of a node.
func (s *Switch) Rejoin(node string) error { return s.isolate(node, false) }

func (s *Switch) isolate(node string, isolated bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(node)
	if err != nil {
		return err
	}
	s.fabric.Isolate(n.port, isolated)
	return nil
}

// Heal makes every node reach every other again: it ends the partition, all
// isolations, and Faults.Cut on all links. Other faults stay.
func (s *Switch) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fabric.Partition(nil)
	s.parts = nil
	for _, n := range s.plugs {
		s.fabric.Isolate(n.port, false)
	}
	s.editAll(func(f *Faults) { f.Cut = false })
}

// ClearFaults ends all faults of all links. A partition or isolation stays;
// see Heal.
func (s *Switch) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.editAll(func(f *Faults) { *f = Faults{} })
}

// editAll changes the faults that there are. The caller holds s.mu.
func (s *Switch) editAll(edit func(*Faults)) {
	for _, a := range s.plugs {
		for _, b := range s.plugs {
			if f := s.fabric.Faults(a.port, b.port); f != (Faults{}) {
				edit(&f)
				s.fabric.SetFaults(a.port, b.port, f)
			}
		}
	}
}

// State is the faults in force.
type State struct {
	Seed uint64 `json:"seed"`
	// Partition is the groups of the partition, nil if there is none.
	Partition [][]string `json:"partition,omitempty"`
	// Isolated are the nodes that are isolated.
	Isolated []string `json:"isolated,omitempty"`
	// Links are the links with faults.
	Links []LinkFaults `json:"links,omitempty"`
}

// LinkFaults is the faults of the link From -> To.
type LinkFaults struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Faults Faults `json:"faults"`
}

// State returns the faults in force.
func (s *Switch) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := State{Seed: s.cfg.Seed}
	for _, g := range s.parts {
		st.Partition = append(st.Partition, slices.Clone(g))
	}
	for _, a := range s.plugs {
		if s.fabric.Isolated(a.port) {
			st.Isolated = append(st.Isolated, a.name)
		}
		for _, b := range s.plugs {
			if f := s.fabric.Faults(a.port, b.port); f != (Faults{}) {
				st.Links = append(st.Links, LinkFaults{a.name, b.name, f})
			}
		}
	}
	return st
}

// Counters is what happened on the network since it was started.
type Counters struct {
	// NICs has the gateway first, then the nodes in the order of their
	// addresses.
	NICs []NICCounters `json:"nics"`
	// Links are the links that were ever used or given faults.
	Links []LinkCounters `json:"links,omitempty"`
	// CaptureDropped are the frames missing in captures that are running.
	CaptureDropped uint64 `json:"capture_dropped,omitempty"`
}

// NICCounters is a NIC and what it has seen.
type NICCounters struct {
	Name string `json:"name"`
	MAC  string `json:"mac"`
	Addr string `json:"addr"`
	// Attached tells whether a connection is plugged in, and Detached why
	// the last one was not any more.
	Attached bool   `json:"attached"`
	Detached string `json:"detached,omitempty"`
	// In is what the node sent, Out what the switch had for it.
	fabric.PortCounters
	// Of the frames out: Full were dropped because the node did not take
	// what was queued for it, Unplugged because nothing was attached.
	Full      uint64 `json:"full,omitempty"`
	Unplugged uint64 `json:"unplugged,omitempty"`
	// Queued is the number of bytes that wait for the node now.
	Queued int `json:"queued,omitempty"`
}

// LinkCounters is what passed the link From -> To.
type LinkCounters struct {
	From string `json:"from"`
	To   string `json:"to"`
	fabric.LinkCounters
}

// Counters returns what has happened so far.
func (s *Switch) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c Counters
	for _, n := range s.plugs {
		k := NICCounters{
			Name:         n.name,
			MAC:          net.HardwareAddr(n.mac[:]).String(),
			Addr:         n.addr.String(),
			Attached:     n.attached != nil,
			Detached:     n.reason,
			PortCounters: s.fabric.PortCounters(n.port),
			Full:         n.full,
			Unplugged:    n.unplugged,
		}
		if n.attached != nil {
			k.Queued = n.attached.queue.Len()
		}
		c.NICs = append(c.NICs, k)
		for _, o := range s.plugs {
			l := s.fabric.LinkCounters(n.port, o.port)
			if l != (fabric.LinkCounters{}) {
				c.Links = append(c.Links, LinkCounters{n.name, o.name, l})
			}
		}
	}
	for _, k := range s.captures {
		c.CaptureDropped += k.Dropped()
	}
	return c
}
