// Package gateway is the lab's own host on its network: a TCP/IP stack inside
// this process that the nodes see at one address. It answers ARP and ping, is
// the DNS server for the names of the nodes and the DHCP server for nodes that
// ask for their address, and lets the host's programs dial the nodes.
//
// It forwards nothing: a lab has no way to the outside.
//
// Frames come in by [Gateway.Deliver] and go out by Config.Send; package vnet
// puts its switch there. What arrives comes from guests and is taken for
// hostile: the stack is gVisor's, and the two servers answer each packet from
// the packet alone.
package gateway
