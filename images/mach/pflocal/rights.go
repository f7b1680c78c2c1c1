package pflocal

import (
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// A Right is a send right on its way from one program to another.
type Right struct {
	// Port is the right, if it is to somebody else's port.
	Port mach.Port
	// Socket is one of the server's own, with the User whose right it was.
	// The server holds no right to its port: that would keep it alive for
	// ever if the socket that it is on its way to were itself the one.
	Socket *Socket
	User   translator.User
}

// fly counts rights that were put into a message.
func (s *Server) fly(rights []Right) {
	s.inFlight += len(rights)
	for _, r := range rights {
		if r.Socket != nil {
			r.Socket.inFlight++
		}
	}
}

// land counts rights that have left a message. A socket that now nobody has
// is closed.
func (s *Server) land(rights []Right) {
	s.inFlight -= len(rights)
	for _, r := range rights {
		k := r.Socket
		if k == nil {
			continue
		}
		if k.inFlight--; k.inFlight == 0 && k.users == 0 && !k.closed {
			s.floating--
			k.close()
		}
	}
}

// discard gives up the rights of a message that nobody receives.
func (s *Server) discard(rights []Right) {
	for _, r := range rights {
		if r.Socket == nil {
			s.release(r.Port)
		}
	}
	s.land(rights)
}

// collect closes the sockets that nobody has and nobody can come to have,
// because the only rights to them are in messages to such sockets: two that
// were sent to each other, say. It is called when a socket may have become
// one.
func (s *Server) collect() {
	if s.floating == 0 {
		return
	}
	var reached []*Socket
	mark := func(k *Socket) {
		if k != nil && !k.marked && !k.closed {
			k.marked = true
			reached = append(reached, k)
		}
	}
	for k := range s.sockets {
		if k.users > 0 {
			mark(k)
		}
	}
	for i := 0; i < len(reached); i++ {
		k := reached[i]
		for _, c := range k.pending {
			mark(c)
		}
		if k.in != nil {
			for _, p := range k.in.packets {
				for _, r := range p.rights {
					mark(r.Socket)
				}
			}
		}
	}
	var lost []*Socket
	for k := range s.sockets {
		if !k.marked && k.users == 0 && k.inFlight > 0 {
			lost = append(lost, k)
		}
	}
	for _, k := range reached {
		k.marked = false
	}
	for _, k := range lost {
		k.close()
	}
}
