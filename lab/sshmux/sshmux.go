// Package sshmux shares one SSH connection to a node among many clients.
//
// The key exchange of a new connection costs an emulated node a tenth of a
// second or more of arithmetic, a new session over an old connection next to
// nothing. So the daemon of a lab holds one connection per node and is itself
// the SSH server of its clients, with the node's own host key: what they
// open and ask for, it opens and asks for at the node. They notice nothing.
// It imports nothing of the house.
package sshmux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// An Upstream is the shared connection to one node. It is made when it is
// needed, and made again when it was lost. Its methods may be called from
// several goroutines.
type Upstream struct {
	dial   func(context.Context) (net.Conn, error)
	config *ssh.ClientConfig

	turn   chan struct{} // holds a token while nobody connects
	mu     sync.Mutex
	client *ssh.Client // nil when there is none
}

// New returns an upstream whose connections come from dial.
func New(dial func(context.Context) (net.Conn, error), config *ssh.ClientConfig) *Upstream {
	u := &Upstream{dial: dial, config: config, turn: make(chan struct{}, 1)}
	u.turn <- struct{}{}
	return u
}

// Client returns the connection, making it if there is none.
func (u *Upstream) Client(ctx context.Context) (*ssh.Client, error) {
	select {
	case <-u.turn:
		defer func() { u.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	u.mu.Lock()
	client := u.client
	u.mu.Unlock()
	if client != nil {
		return client, nil
	}
	conn, err := u.dial(ctx)
	if err != nil {
		return nil, err
	}
	client, err = Handshake(ctx, conn, u.config)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	u.client = client
	u.mu.Unlock()
	go func() {
		client.Wait()
		u.drop(client)
	}()
	return client, nil
}

// drop forgets and closes client, so that the next one is made.
func (u *Upstream) drop(client *ssh.Client) {
	u.mu.Lock()
	if u.client == client {
		u.client = nil
	}
	u.mu.Unlock()
	client.Close()
}

// Close ends the connection, for the node it leads to has ended. A later
// use makes a new one.
func (u *Upstream) Close() {
	u.mu.Lock()
	client := u.client
	u.mu.Unlock()
	if client != nil {
		u.drop(client)
	}
}

// Handshake is ssh.NewClientConn with a context. It takes conn over.
func Handshake(ctx context.Context, conn net.Conn, config *ssh.ClientConfig) (*ssh.Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, chans, reqs, err := ssh.NewClientConn(conn, conn.RemoteAddr().String(), config)
	if !stop() {
		if err == nil {
			c.Close()
		}
		return nil, context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("SSH handshake: %w", err)
	}
	return ssh.NewClient(c, chans, reqs), nil
}

// Serve is the SSH server of the client behind conn until that goes away or
// ctx ends. It takes conn over.
func (u *Upstream) Serve(ctx context.Context, conn net.Conn, config *ssh.ServerConfig) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	sc, chans, reqs, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return fmt.Errorf("SSH handshake: %w", err)
	}
	defer sc.Close()
	// Nothing that concerns the whole connection can be shared.
	go ssh.DiscardRequests(reqs)
	var wg sync.WaitGroup
	defer wg.Wait()
	for nc := range chans {
		wg.Go(func() { u.pass(ctx, nc) })
	}
	return nil
}

// use calls f with the connection; if it turns out that it was lost, again
// with a new one.
func (u *Upstream) use(ctx context.Context, f func(*ssh.Client) error) error {
	for try := 0; ; try++ {
		client, err := u.Client(ctx)
		if err != nil {
			return err
		}
		err = f(client)
		var refused *ssh.OpenChannelError
		if err == nil || errors.As(err, &refused) || try > 0 {
			return err
		}
		u.drop(client)
	}
}

// Session opens a session.
func (u *Upstream) Session(ctx context.Context) (s *ssh.Session, err error) {
	err = u.use(ctx, func(c *ssh.Client) error {
		s, err = c.NewSession()
		return err
	})
	return s, err
}

// open opens a channel at the node like the one that a client opens.
func (u *Upstream) open(ctx context.Context, nc ssh.NewChannel) (ch ssh.Channel, reqs <-chan *ssh.Request, err error) {
	err = u.use(ctx, func(c *ssh.Client) error {
		ch, reqs, err = c.OpenChannel(nc.ChannelType(), nc.ExtraData())
		return err
	})
	return ch, reqs, err
}

// pass passes one channel on, in both directions, until it is closed.
func (u *Upstream) pass(ctx context.Context, nc ssh.NewChannel) {
	up, upReqs, err := u.open(ctx, nc)
	if err != nil {
		var refused *ssh.OpenChannelError
		if ctx.Err() != nil {
			return // the connection is being closed; that tells the client more
		}
		if errors.As(err, &refused) {
			nc.Reject(refused.Reason, refused.Message)
		} else {
			nc.Reject(ssh.ConnectionFailed, err.Error())
		}
		return
	}
	defer up.Close()
	down, downReqs, err := nc.Accept()
	if err != nil {
		return // the client has gone
	}
	defer down.Close()

	go func() {
		io.Copy(up, down)
		up.CloseWrite()
	}()
	var answering sync.Mutex // held while the client is owed an answer
	go func() {
		forward(up, downReqs, &answering)
		// The client has closed the channel, or gone away.
		up.Close()
	}()
	var output sync.WaitGroup
	output.Go(func() { io.Copy(down, up) })
	output.Go(func() { io.Copy(down.Stderr(), up.Stderr()) })
	// The exit status is a request, and comes before the channel is closed.
	forward(down, upReqs, new(sync.Mutex))
	output.Wait()
	down.CloseWrite()
	// A command may be over before we have passed on that it was started.
	answering.Lock()
	defer answering.Unlock()
}

// forward passes requests on, with their answers. It holds answering
// meanwhile.
func forward(to ssh.Channel, reqs <-chan *ssh.Request, answering *sync.Mutex) {
	for r := range reqs {
		answering.Lock()
		ok, err := to.SendRequest(r.Type, r.WantReply, r.Payload)
		if r.WantReply {
			r.Reply(ok && err == nil, nil)
		}
		answering.Unlock()
	}
}
