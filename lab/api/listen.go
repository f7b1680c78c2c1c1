package api

import (
	"crypto/rand"
	"net"
)

// Listen makes the socket of a daemon, under a name that cannot be guessed
// or taken before. Clients of other users are turned away.
func Listen() (net.Listener, error) {
	l, err := net.Listen("unix", "@hurdlab-"+rand.Text())
	if err != nil {
		return nil, err
	}
	return &guarded{l}, nil
}

type guarded struct{ net.Listener }

func (g *guarded) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if checkPeer(conn) == nil {
			return conn, nil
		}
		conn.Close()
	}
}
