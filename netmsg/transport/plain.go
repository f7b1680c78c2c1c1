package transport

import (
	"context"
	"fmt"
	"io"
	"net"
)

// plainMagic begins a connection of Plain, followed by the length of the name of
// who says it, and the name. Each end says it.
const plainMagic = "netmsg plain\n"

// Plain is TCP. Everybody who can connect is whom they say they are: nothing is
// verified, nothing is secret. Names have to be in the list all the same.
type Plain struct {
	Self  string
	Peers Peers // keys are not looked at
	Wrap  Wrap
}

// Dial connects to a peer.
func (t *Plain) Dial(ctx context.Context, node string) (*Conn, error) {
	return dial(ctx, t.Peers, node, t.Wrap, func(ctx context.Context, raw net.Conn, p Peer) (*Conn, error) {
		if err := t.say(raw); err != nil {
			return nil, err
		}
		name, err := hear(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		if name != node {
			return nil, fmt.Errorf("%w: it says that it is %q", ErrNotPeer, name)
		}
		return &Conn{Conn: raw, raw: raw, peer: node, dialled: true}, nil
	})
}

// Serve takes connections of peers.
func (t *Plain) Serve(ctx context.Context, l net.Listener, accept func(*Conn), refused func(net.Addr, error)) error {
	return serve(ctx, l, t.Wrap, accept, refused, func(ctx context.Context, raw net.Conn) (*Conn, error) {
		name, err := hear(raw)
		if err != nil {
			return nil, err
		}
		if _, ok := t.Peers[name]; !ok || name == t.Self {
			return nil, fmt.Errorf("%w: %q", ErrUnknown, name)
		}
		if err := t.say(raw); err != nil {
			return nil, err
		}
		return &Conn{Conn: raw, raw: raw, peer: name}, nil
	})
}

func (t *Plain) say(c net.Conn) error {
	_, err := c.Write(append(append([]byte(plainMagic), byte(len(t.Self))), t.Self...))
	return err
}

func hear(c net.Conn) (string, error) {
	b := make([]byte, len(plainMagic)+1)
	if _, err := io.ReadFull(c, b); err != nil {
		return "", fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if string(b[:len(plainMagic)]) != plainMagic {
		return "", fmt.Errorf("%w: it does not begin with %q", ErrProtocol, plainMagic)
	}
	name := make([]byte, b[len(plainMagic)])
	if _, err := io.ReadFull(c, name); err != nil {
		return "", fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if !ValidName(string(name)) {
		return "", fmt.Errorf("%w: %q cannot be the name of a node", ErrProtocol, name)
	}
	return string(name), nil
}
