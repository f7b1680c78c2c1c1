// Package ioport is what the ports of open objects that are no files have in
// common: of sockets, and of the streams of a program. An object can have many
// ports, each with the user that it was authenticated for (a protid of
// 5.12); this package makes them, serves the routines that make another port
// of one (io_duplicate, io_reauthenticate, io_restrict_auth) and those for what
// all ports of an object share ([State]), and finds the object behind a right
// that a client sends back.
//
// Files are package hurd/translator's.
package ioport

import (
	"context"
	"sync/atomic"
	"time"

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
	// Auth is this server's authentication handle, borrowed. Without one
	// nobody can authenticate.
	Auth mach.Port

	pending  atomic.Int32
	identity ports.OnDemand
}

// Limits of io_reauthenticate: a client that never goes to the authentication
// server must not keep this one busy for ever.
const (
	maxPending = 256
	maxPendFor = time.Minute
)

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
	_, right, err := h.open(&Client{Object: o, User: user, host: h})
	return right, err
}

// Port makes a port of an object that more send rights can be made to. It
// lives as long as there is one: the first, right, is the caller's.
func (h *Host) Port(o Object, user translator.User) (p ports.Port, right mach.Port, err error) {
	return h.open(&Client{Object: o, User: user, host: h})
}

func (h *Host) open(c *Client) (p ports.Port, right mach.Port, err error) {
	c.handler = proto.Handler(c.Object.Serve(c)...)
	if p, err = h.Export.Export(c, ports.Options{Gone: c.Object.Release}); err != nil {
		c.Object.Release()
		return nil, mach.Null, err
	}
	if right, err = p.Right(); err != nil {
		p.Close()
		c.Object.Release()
		return nil, mach.Null, err
	}
	return p, right, nil
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
// it to whoever meets us, as whose it then is. Who cannot be authenticated is
// nobody.
func (c *Client) IOReauthenticate(ctx context.Context, rendezvous mach.Port) error {
	h := c.host
	if h.pending.Add(1) > maxPending {
		h.pending.Add(-1)
		return proto.EAGAIN
	}
	defer h.pending.Add(-1)
	n := &Client{Object: c.Object, host: h, known: make(chan struct{})}
	_, right, err := h.open(n)
	if err != nil {
		return err
	}
	if h.Auth.Valid() {
		// The client may give back its right to the old port as soon as it has
		// the new one, before the answer is here. That does not interrupt the
		// call.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxPendFor)
		uids, _, gids, _, err := proto.AuthServerAuthenticate(ctx, h.Auth, proto.Copy(rendezvous), proto.Copy(right))
		cancel()
		if err == nil {
			n.User = translator.User{UIDs: ids(uids), GIDs: ids(gids)}
		}
	}
	close(n.known)
	h.Export.Release(rendezvous, right)
	return nil
}

// IOSeek fails: there is no position.
func (c *Client) IOSeek(context.Context, int64, int32) (int64, error) { return 0, proto.ESPIPE }

// IOServerVersion tells nothing of interest.
func (c *Client) IOServerVersion(context.Context) (string, int32, int32, int32, error) {
	return "hurdlab", 0, 0, 0, nil
}
