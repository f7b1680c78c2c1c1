// Package fabric is the core of the lab's network: a learning Ethernet switch
// whose links can fail on command. Frames and the time go in, frames come out;
// there are no goroutines, clocks or sockets here, so that every case can be
// tested in a table and replayed from a seed.
//
// A frame that enters at one port is routed by its destination address to one
// other port, or to all, and passes one directed link (from, to) on each way.
// A link has [Faults]. What they do to a frame depends on the fabric's seed,
// the names of the two ports, and how many frames the link was offered before:
// on nothing else. So a link's losses are the same in every run in which it is
// offered the same frames, whatever happens on other links; and raising a
// probability only adds victims, it does not choose others.
//
// Package vnet above it adds what a fabric lacks: connections, queues, a
// clock, and the names and addresses of nodes.
package fabric
