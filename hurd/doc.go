// Package hurd is what a program asks of the Hurd that package os cannot do:
// look-ups with all that they entail, translators, control ports, users.
//
// Programs use package os for files; this package is for translators, for the
// tools that manage them (settrans, showtrans, fsysopts) and for servers,
// which need the ports themselves. A [Process] has the ports that the program
// started with; look-ups start from its root or current directory:
//
//	p := hurd.Self()
//	node, err := p.Lookup(ctx, "/servers/socket/2", proto.O_NOTRANS, 0)
//
// # Place in the house
//
// It stands on hurd/proto, and hurd/translator and commands stand on it. The
// facts are from hurd-protocol.md: sections 4.3 (initial ports), 4.10
// (reauthentication), 5.3 (look-up), 5.5 (directory entries), 5.10 (starting
// translators).
//
// Errors are of package proto: errors.Is finds the codes such as proto.ENOENT
// in them, and on the Hurd those of package syscall.
package hurd
