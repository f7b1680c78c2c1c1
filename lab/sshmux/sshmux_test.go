package sshmux

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"hurdlab/images/mach/sshd"
)

// A rig is a node with an SSH server, and a mux in front of it.
type rig struct {
	t      *testing.T
	server *sshd.Server
	host   ssh.Signer
	up     *Upstream
	dials  atomic.Int32 // to the node

	mu    sync.Mutex
	conns []net.Conn // to the node, at its end
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newRig(t *testing.T, run func(context.Context, *sshd.Session) sshd.Exit) *rig {
	t.Helper()
	r := &rig{t: t, host: newSigner(t)}
	user := newSigner(t)
	var err error
	r.server, err = sshd.New(sshd.Config{
		HostKey: r.host, Authorized: []ssh.PublicKey{user.PublicKey()}, User: "root", Run: run,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close() })
	go r.server.Serve(ctx, l)
	r.up = New(func(ctx context.Context) (net.Conn, error) {
		r.dials.Add(1)
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		if err == nil {
			r.mu.Lock()
			r.conns = append(r.conns, conn)
			r.mu.Unlock()
		}
		return conn, err
	}, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(user)},
		HostKeyCallback: ssh.FixedHostKey(r.host.PublicKey()),
	})
	t.Cleanup(r.up.Close)
	return r
}

// client connects through the mux.
func (r *rig) client(ctx context.Context) *ssh.Client {
	r.t.Helper()
	here, there := pair(r.t)
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(r.host)
	go r.up.Serve(ctx, there, config)
	c, err := Handshake(ctx, here, &ssh.ClientConfig{User: "x", HostKeyCallback: ssh.FixedHostKey(r.host.PublicKey())})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// pair is a connection with a buffer, which SSH needs: both sides begin by
// writing.
func pair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return here, there
}

// session opens a session.
func (r *rig) session(c *ssh.Client) *ssh.Session {
	r.t.Helper()
	s, err := c.NewSession()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { s.Close() })
	return s
}

// echo answers with its input on both outputs, its variables, and status 3.
func echo(ctx context.Context, s *sshd.Session) sshd.Exit {
	io.WriteString(s.Stdout, s.Command+strings.Join(s.Env, ",")+":")
	io.Copy(io.MultiWriter(s.Stdout, s.Stderr), s.Stdin)
	return sshd.Exit{Status: 3}
}

func TestSessionsPassThrough(t *testing.T) {
	r := newRig(t, echo)
	for range 2 { // clients
		c := r.client(t.Context())
		for range 3 {
			s := r.session(c)
			var out, errs bytes.Buffer
			in := strings.Repeat("0123456789", 50_000)
			s.Stdin, s.Stdout, s.Stderr = strings.NewReader(in), &out, &errs
			if err := s.Setenv("A", "b"); err != nil {
				t.Fatal(err)
			}
			err := s.Run("cmd")
			var exit *ssh.ExitError
			if !errors.As(err, &exit) || exit.ExitStatus() != 3 {
				t.Errorf("Run = %v, want status 3", err)
			}
			if out.String() != "cmdA=b:"+in || errs.String() != in {
				t.Errorf("%d bytes on stdout, %d on stderr, of %d", out.Len(), errs.Len(), len(in))
			}
		}
	}
	if n := r.dials.Load(); n != 1 {
		t.Errorf("%d connections to the node, want 1", n)
	}
}

// TestManyShortCommands has commands that are over before their start has been
// confirmed.
func TestManyShortCommands(t *testing.T) {
	r := newRig(t, func(context.Context, *sshd.Session) sshd.Exit { return sshd.Exit{} })
	c := r.client(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				s, err := c.NewSession()
				if err == nil {
					err = s.Run("x")
				}
				if err != nil {
					t.Errorf("a command that does nothing: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestSignalsPassThrough(t *testing.T) {
	r := newRig(t, func(ctx context.Context, s *sshd.Session) sshd.Exit {
		io.WriteString(s.Stdout, "r")
		return sshd.Exit{Signal: <-s.Signals, Message: "why"}
	})
	s := r.session(r.client(t.Context()))
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("x"); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(ssh.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" || exit.Msg() != "why" {
		t.Errorf("Wait = %v", err)
	}
}

// TestClientGoesAway checks that its commands end at the node.
func TestClientGoesAway(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(ctx context.Context, s *sshd.Session) sshd.Exit {
		close(begun)
		<-ctx.Done()
		close(ended)
		return sshd.Exit{}
	})
	c := r.client(t.Context())
	if err := r.session(c).Start("x"); err != nil {
		t.Fatal(err)
	}
	<-begun
	c.Close()
	<-ended
}

// TestConnectionIsLost breaks the connection to the node between two uses and
// during one.
func TestConnectionIsLost(t *testing.T) {
	begun := make(chan struct{}, 1)
	r := newRig(t, func(ctx context.Context, s *sshd.Session) sshd.Exit {
		if s.Command == "hang" {
			begun <- struct{}{}
			<-ctx.Done()
		}
		return sshd.Exit{}
	})
	c := r.client(t.Context())
	if err := r.session(c).Run("x"); err != nil {
		t.Fatal(err)
	}
	cut := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, conn := range r.conns {
			conn.Close()
		}
	}
	cut()
	if err := r.session(c).Run("x"); err != nil {
		t.Errorf("after the connection was lost: %v", err)
	}
	s := r.session(c)
	if err := s.Start("hang"); err != nil {
		t.Fatal(err)
	}
	<-begun
	cut()
	var missing *ssh.ExitMissingError
	if err := s.Wait(); !errors.As(err, &missing) {
		t.Errorf("Wait = %v, want that no exit status came", err)
	}
	if n := r.dials.Load(); n != 2 {
		t.Errorf("%d connections to the node, want 2", n)
	}
}

func TestRefusalsPassThrough(t *testing.T) {
	r := newRig(t, echo)
	_, _, err := r.client(t.Context()).OpenChannel("no-such-channel", nil)
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) || refused.Reason != ssh.UnknownChannelType {
		t.Errorf("got %v", err)
	}
}

func TestNodeCannotBeReached(t *testing.T) {
	r := newRig(t, echo)
	r.up.dial = func(context.Context) (net.Conn, error) { return nil, errors.New("no route") }
	_, err := r.client(t.Context()).NewSession()
	if err == nil || !strings.Contains(err.Error(), "no route") {
		t.Errorf("got %v", err)
	}
}

// TestServeEndsWithContext is what happens when a node goes down: the client
// is cut off, and is not told that a channel was refused.
func TestServeEndsWithContext(t *testing.T) {
	r := newRig(t, echo)
	ctx, cancel := context.WithCancel(t.Context())
	c := r.client(ctx)
	cancel()
	c.Wait()
	if _, err := c.NewSession(); err == nil {
		t.Error("a session was opened")
	}
}

func TestHandshakeEndsWithContext(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		there.Read(make([]byte, 1)) // it has begun
		cancel()
	}()
	if _, err := Handshake(ctx, here, &ssh.ClientConfig{HostKeyCallback: ssh.InsecureIgnoreHostKey()}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
