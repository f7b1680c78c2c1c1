// Package pflocal is local sockets, and the pipes that programs make of them:
// what a Hurd has at /servers/socket/1.
//
// [Server] has the sockets and knows nothing of ports: it can be tested
// without any. [Ports] gives them to programs, by the socket and io protocols.
//
// A pipe is two stream sockets that are connected to each other
// (socket_connect2), each shut in one direction; io_stat then says S_IFIFO,
// where other sockets are S_IFSOCK. What is written waits in a queue of 64
// KB, whose reader gets the writer's bytes as they came, without another copy.
//
// Rights can be sent with data. Those to other local sockets are kept as
// references, not as rights, so that sockets which nobody can reach any more
// but through each other are found and closed.
//
// The facts are from the reference document hurd-protocol.md: sections 6
// (sockets), 5.2 (io).
package pflocal
