// Package vnet is the network of a lab: an Ethernet switch inside this
// process, with one NIC a node, faults on every link, and a gateway through
// which the host reaches the nodes. It needs no root, no tap, no bridge.
//
// Package lab starts a [Switch], adds its nodes, and attaches to each [NIC] a
// connection to the node's QEMU ("-netdev stream"). Below are
//
//   - fabric: the switch and its faults as a pure function of frames and time;
//   - stream: how frames travel over a connection to QEMU;
//   - spool:  bounded queues, so that nobody waits for anybody else;
//   - gateway: the host's end of the network, with DNS and DHCP;
//   - pcap:   captures.
//
// docs/vnet.md describes addresses, faults and limits for users.
package vnet
