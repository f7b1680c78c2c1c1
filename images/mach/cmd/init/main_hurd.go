// Command init is process 1 of a node (package sysinit). The startup server
// starts it when the servers are up. It makes of the machine the node that the
// lab says it is (package nodeconfig): its files, its network, its SSH server.
//
// SIGTERM halts the machine, SIGINT restarts it.
package main

import "hurdlab/images/mach/sysinit"

func main() { sysinit.Main() }
