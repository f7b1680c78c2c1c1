package vnet

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// dialTimeout is how long a forwarded connection waits for its node.
const dialTimeout = 30 * time.Second

// A Forwarder is a TCP port of this host that leads to a port of a node.
type Forwarder struct {
	sw       *Switch
	listener net.Listener
	target   string
	ctx      context.Context // ends the dialling
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once closed
}

// Forward listens on a TCP address of this host, such as "127.0.0.1:0", and
// connects whoever comes to a port of a node. If the node cannot be reached,
// the caller's connection is closed. It ends with Close, or with the switch.
func (s *Switch) Forward(listen, node string, port uint16) (*Forwarder, error) {
	n, ok := s.Node(node)
	if !ok || port == 0 {
		return nil, fmt.Errorf("forward %s to %s:%d: no such node or port; there are %q", listen, node, port, s.hosts.Names())
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("forward %s to %s:%d: %w", listen, node, port, err)
	}
	f := &Forwarder{
		sw:       s,
		listener: l,
		target:   net.JoinHostPort(n.addr.Addr().String(), strconv.Itoa(int(port))),
		conns:    make(map[net.Conn]struct{}),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = l.Close()
		f.cancel()
		return nil, ErrClosed
	}
	s.forwards[f] = struct{}{}
	f.wg.Go(f.accept)
	return f, nil
}

// Addr is the address on this host.
func (f *Forwarder) Addr() net.Addr { return f.listener.Addr() }

// Close ends the forwarding and all connections that came by it.
func (f *Forwarder) Close() error {
	f.sw.mu.Lock()
	delete(f.sw.forwards, f)
	f.sw.mu.Unlock()

	f.mu.Lock()
	conns := f.conns
	f.conns = nil
	f.mu.Unlock()
	if conns == nil {
		return nil // closed before
	}
	f.cancel()
	err := f.listener.Close()
	for c := range conns {
		_ = c.Close()
	}
	f.wg.Wait()
	return err
}

func (f *Forwarder) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			if f.ctx.Err() != nil {
				return
			}
			// Out of file descriptors, most likely: others must end first.
			select {
			case <-f.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		f.wg.Go(func() { f.serve(c) })
	}
}

// serve connects c to the node, until both sides have ended.
func (f *Forwarder) serve(c net.Conn) {
	if !f.track(c) {
		return
	}
	defer f.untrack(c)
	ctx, cancel := context.WithTimeout(f.ctx, dialTimeout)
	n, err := f.sw.DialContext(ctx, "tcp", f.target)
	cancel()
	if err != nil {
		return // the closed connection tells the caller
	}
	if !f.track(n) {
		return
	}
	defer f.untrack(n)
	var both sync.WaitGroup
	both.Go(func() { relay(n, c) })
	both.Go(func() { relay(c, n) })
	both.Wait()
}

// relay copies until the source ends, and passes the end on. When one
// direction breaks, so does the other.
func relay(dst, src net.Conn) {
	if _, err := io.Copy(dst, src); err == nil {
		if dst.(interface{ CloseWrite() error }).CloseWrite() == nil {
			return
		}
	}
	_ = dst.Close()
	_ = src.Close()
}

// track makes Close close c. It reports false, and closes c, if Close was
// there before.
func (f *Forwarder) track(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns == nil {
		_ = c.Close()
		return false
	}
	f.conns[c] = struct{}{}
	return true
}

func (f *Forwarder) untrack(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
	_ = c.Close()
}
