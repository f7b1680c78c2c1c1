// Package vnet is the network of a lab: an Ethernet switch inside this
// process, with one NIC a node, faults on every link, and a gateway through
// which the host reaches the nodes. It needs no root, no tap, no bridge.
package vnet
