// Package transport makes connections between nodes and knows who is at the
// other end. It is all that netmsg knows about who may talk to whom.
//
// The default is TLS 1.3 with a key on both sides: a node has a key of its own,
// and a list of its peers, their addresses and their public keys. It talks to
// nobody else, and to each only by the name that its key has in the list.
// Certificates are a vessel for the keys: nothing in them is looked at but the key,
// neither names nor dates, as clocks of nodes may differ.
//
//	key, err := transport.ReadKey("/etc/netmsg/key")
//	peers, err := transport.ReadPeers("/etc/netmsg/peers")
//	t := &transport.TLS{Self: "node1", Key: key, Peers: peers}
//	conn, err := t.Dial(ctx, "node2")
//
// [Plain] is TCP without any of that, for measurements and for networks that
// are trusted.
//
// # Place in the house
//
// It imports nothing of this project. Package session speaks the netmsg protocol
// on its connections; package lab makes the keys of a lab with it.
package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// Port is the TCP port that nodes listen on by default.
const Port = 2345

// A Transport makes connections to peers and takes theirs.
type Transport interface {
	// Dial connects to a peer. Errors say what is the matter: [ErrUnknown],
	// [ErrRefused], [ErrNotPeer], or those of package net.
	Dial(ctx context.Context, node string) (*Conn, error)
	// Serve accepts connections of l until ctx ends or l fails, and hands those
	// of peers to accept, each in a goroutine of its own. Others are closed, and
	// refused, if not nil, is told why. It closes l.
	Serve(ctx context.Context, l net.Listener, accept func(*Conn), refused func(from net.Addr, err error)) error
}

// Errors of connections.
var (
	// ErrUnknown is for a node that is not in the list of peers.
	ErrUnknown = errors.New("not in the list of peers")
	// ErrNotPeer is for who has not shown the key of the peer that it should be.
	ErrNotPeer = errors.New("does not have the key of the peer")
	// ErrRefused is for a peer that has closed the connection instead of taking
	// it: it does not know this node or its key, or is set up otherwise.
	ErrRefused = errors.New("the peer has refused the connection (does it have this node's key, and the same transport?)")
	// ErrProtocol is for who does not speak as this transport does.
	ErrProtocol = errors.New("does not speak the protocol")
)

// handshakeTime bounds the time from a connection to knowing the peer. An
// emulated machine takes up to a second for the arithmetic of TLS.
const handshakeTime = 30 * time.Second

// maxHandshakes bounds the connections of which the peer is not known yet. One
// more ends the oldest, so that those who say nothing keep nobody out.
const maxHandshakes = 32

// A Conn is a connection to a peer.
type Conn struct {
	net.Conn
	raw     net.Conn // what is below it
	peer    string
	dialled bool
}

// Peer is the name of the node at the other end.
func (c *Conn) Peer() string { return c.peer }

// Dialled says that this node has begun the connection.
func (c *Conn) Dialled() bool { return c.dialled }

// CloseWrite ends what this node sends: the peer reads up to there, and no more.
func (c *Conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// WriteLate lets Write return before it is known that what it writes is sent, if the connection that Wrap
// has made can do that.
func (c *Conn) WriteLate() error {
	if l, ok := c.raw.(interface{ WriteLate() error }); ok {
		return l.WriteLate()
	}
	return errors.ErrUnsupported
}

// Wrap makes of a TCP connection another one to be used in its place; a nil one leaves it as it is.
type Wrap func(net.Conn) net.Conn

func (w Wrap) of(c net.Conn) net.Conn {
	if w == nil {
		return c
	}
	return w(c)
}

// welcome is what a node says to a peer that it has taken: a dialler would not
// know otherwise that its key was good.
const welcome = 'w'

// serve is the Serve of a transport that finds out who is there by greet.
func serve(ctx context.Context, l net.Listener, wrap Wrap, accept func(*Conn), refused func(net.Addr, error), greet func(context.Context, net.Conn) (*Conn, error)) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var unknown []net.Conn // oldest first
	for {
		raw, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		raw = wrap.of(raw)
		mu.Lock()
		if len(unknown) == maxHandshakes {
			unknown[0].Close()
			unknown = unknown[1:]
		}
		unknown = append(unknown, raw)
		mu.Unlock()
		wg.Go(func() {
			c, err := greetPeer(ctx, raw, greet)
			mu.Lock()
			unknown = slices.DeleteFunc(unknown, func(x net.Conn) bool { return x == raw })
			mu.Unlock()
			if err != nil {
				raw.Close()
				if refused != nil {
					refused(raw.RemoteAddr(), err)
				}
				return
			}
			accept(c)
		})
	}
}

func greetPeer(ctx context.Context, raw net.Conn, greet func(context.Context, net.Conn) (*Conn, error)) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	c, err := greet(ctx, raw)
	if err == nil {
		_, err = c.Write([]byte{welcome})
	}
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dial is the Dial of a transport that greets the peer by greet.
func dial(ctx context.Context, peers Peers, node string, wrap Wrap, greet func(context.Context, net.Conn, Peer) (*Conn, error)) (*Conn, error) {
	fail := func(err error) (*Conn, error) { return nil, fmt.Errorf("connect to node %s: %w", node, err) }
	p, ok := peers[node]
	if !ok {
		return fail(ErrUnknown)
	}
	if p.Addr == "" {
		return fail(errors.New("its address is not known"))
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", p.Addr)
	if err != nil {
		return fail(err)
	}
	raw = wrap.of(raw)
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	c, err := greet(ctx, raw, p)
	if err == nil {
		var b [1]byte
		switch _, e := io.ReadFull(c, b[:]); {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case e != nil:
			err = fmt.Errorf("%w: %w", ErrRefused, e)
		case b[0] != welcome:
			err = ErrProtocol
		}
	}
	if !stop() || ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return fail(err)
	}
	return c, nil
}
