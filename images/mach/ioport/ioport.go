// Package ioport is what the ports of open objects that are no files have in
// common: of sockets, and of the streams of a program. An object can have many
// ports, each with the user that it was authenticated for (a protid of
// 5.12); this package makes them, serves the routines that make another port
// of one (io_duplicate, io_reauthenticate, io_restrict_auth), and finds the
// object behind a right that a client sends back.
//
// Files are package hurd/translator's.
package ioport

import (
	"context"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// An Object is what ports are made of.
type Object interface {
	// Serve returns what proto.Handler serves at one more port of the object.
	// c is for it to embed, as the part of its io routines that is served
	// here.
	Serve(c *Client) []any
	// Release says that a port is gone.
	Release()
}

// A Host makes ports.
type Host struct {
	Export ports.Exporter
	// Authenticate asks the authentication server who meets this server at
	// the rendezvous, and has it give that client a right to newport. Without
	// it nobody is known.
	Authenticate func(ctx context.Context, rendezvous, newport mach.Port) (translator.User, error)
}

// A Client is a port of an object. It serves io routines; those that depend
// on the object fail with EOPNOTSUPP.
type Client struct {
	proto.UnimplementedIO

	Object Object
	User   translator.User // who has it

	host    *Host
	handler mach.Handler
	known   chan struct{} // closed when User is; nil if it always was
}

// Open makes a port of an object and returns a send right to it, the
// caller's.
func (h *Host) Open(o Object, user translator.User) (mach.Port, error) {
	return h.open(&Client{Object: o, User: user, host: h})
}

func (h *Host) open(c *Client) (mach.Port, error) {
	c.handler = proto.Handler(c.Object.Serve(c)...)
	p, err := h.Export.Export(c, ports.Options{Gone: c.Object.Release})
	if err != nil {
		c.Object.Release()
		return mach.Null, err
	}
	right, err := p.Right()
	if err != nil {
		p.Close()
		c.Object.Release()
	}
	return right, err
}

// Client returns the client behind a send right that a request carried, if it
// is one of h's ports.
func (h *Host) Client(p mach.Port) (*Client, bool) {
	if !p.Valid() {
		return nil, false
	}
	o, ok := h.Export.Lookup(p)
	if !ok {
		return nil, false
	}
	c, ok := o.(*Client)
	return c, ok && c.host == h
}

// Handle answers a request: [mach.Handler].
func (c *Client) Handle(ctx context.Context, req, reply *mach.Message) error {
	if c.known != nil {
		// The client has the right from the authentication server, whose
		// answer to this server may come later.
		select {
		case <-c.known:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return c.handler.Handle(ctx, req, reply)
}

// IODuplicate makes another port with the same user.
func (c *Client) IODuplicate(context.Context) (mach.Port, error) {
	return c.host.Open(c.Object, c.User)
}

// IORestrictAuth makes another port for a user with no more than the ids.
func (c *Client) IORestrictAuth(_ context.Context, uids, gids []int32) (mach.Port, error) {
	return c.host.Open(c.Object, c.User.Restrict(ids(uids), ids(gids)))
}

func ids(list []int32) []uint32 {
	u := make([]uint32, len(list))
	for i, id := range list {
		u[i] = uint32(id)
	}
	return u
}

// IOReauthenticate makes another port, and has the authentication server give
// it to whoever meets us, as whose it then is. A stranger is nobody.
func (c *Client) IOReauthenticate(ctx context.Context, rendezvous mach.Port) error {
	n := &Client{Object: c.Object, host: c.host, known: make(chan struct{})}
	defer close(n.known)
	p, err := c.host.open(n)
	if err != nil {
		return err
	}
	// The client gets a right of its own.
	defer c.host.Export.Release(p)
	if c.host.Authenticate == nil {
		return proto.EOPNOTSUPP
	}
	user, err := c.host.Authenticate(ctx, rendezvous, p)
	if err != nil {
		return err
	}
	n.User = user
	c.host.Export.Release(rendezvous)
	return nil
}

// IOSeek fails: there is no position.
func (c *Client) IOSeek(context.Context, int64, int32) (int64, error) { return 0, proto.ESPIPE }

// IOServerVersion tells nothing of interest.
func (c *Client) IOServerVersion(context.Context) (string, int32, int32, int32, error) {
	return "hurdlab", 0, 0, 0, nil
}
