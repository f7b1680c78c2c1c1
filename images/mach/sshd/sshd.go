// Package sshd is the node's SSH server: public keys only, commands with their
// standard streams, environment, signals and exit status, or at a terminal; any number of
// sessions over one connection and of connections, up to limits.
//
// It knows nothing of programs or files: what a command means, and what a terminal is, is
// up to the function in [Config.Run]. There are no subsystems or forwards.
package sshd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Limits of a server. Beyond them connections are closed and sessions refused
// with a reason.
const (
	DefaultMaxConns    = 64
	DefaultMaxSessions = 128 // of one connection

	maxEnv     = 64       // variables of a session
	maxEnvSize = 16 << 10 // bytes of a session's variables
	maxCommand = 64 << 10 // bytes of a command line
	maxTerm    = 64       // bytes of the name of a type of terminal

	// handshakeTimeout bounds the time until a client has logged in. The
	// arithmetic of a key exchange takes a tenth of a second under emulation,
	// and twenty clients may come at once.
	handshakeTimeout = time.Minute
)

// A Config says what a server is and does.
type Config struct {
	// HostKey proves who the server is.
	HostKey ssh.Signer
	// Authorized lists the keys that may log in, as User.
	Authorized []ssh.PublicKey
	User       string
	// Authorize, if set, decides in their place whether a key may log in as a
	// user.
	Authorize func(user string, key ssh.PublicKey) error
	// Run runs the command of a session and returns how it ended. The context
	// ends when the client goes away or closes the session.
	Run func(ctx context.Context, s *Session) Exit
	// MaxConns and MaxSessions limit the connections of the server and the
	// sessions of a connection; 0 means the default.
	MaxConns, MaxSessions int
	// Logf, if set, is told of connections that fail.
	Logf func(format string, args ...any)
}

// A Session is one command of a client.
type Session struct {
	// User is who has logged in.
	User string
	// Command is the command line as the client sent it; empty if it asked
	// for a shell.
	Command string
	// Env is the variables that the client set, NAME=VALUE.
	Env []string
	// Stdin ends with io.EOF when the client closes it. Writes to Stdout and
	// Stderr wait for the client to take the data, and fail when it has gone.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Signals receives the signals that the client sends, by name without
	// SIG: "TERM".
	Signals <-chan string
	// Terminal is what the command is to be run at, or nil. Stdin is what is typed then, and
	// Stdout takes all that is written.
	Terminal *Terminal
}

// A Terminal is what a client says of its own.
type Terminal struct {
	Type string // TERM
	Size Size
	// Sizes receives new sizes, the last of them at least.
	Sizes <-chan Size
}

// A Size is that of a terminal's window, in characters, and pixels if they are known.
type Size struct{ Columns, Rows, Width, Height uint32 }

// An Exit is how a command ended: with a status, or by a signal.
type Exit struct {
	Status int
	// Signal is the name of the signal without SIG; empty if the command
	// exited.
	Signal string
	// Message explains a death by signal.
	Message string
}

// A Server serves SSH connections.
type Server struct {
	cfg    Config
	ssh    *ssh.ServerConfig
	conns  chan struct{} // a token for each connection
	active sync.WaitGroup
}

// New makes a server.
func New(cfg Config) (*Server, error) {
	if cfg.HostKey == nil {
		return nil, errors.New("sshd: no host key")
	}
	if cfg.Run == nil {
		return nil, errors.New("sshd: nothing to run")
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = DefaultMaxConns
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = DefaultMaxSessions
	}
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	keys := make(map[string]bool)
	for _, k := range cfg.Authorized {
		keys[string(k.Marshal())] = true
	}
	if cfg.Authorize == nil {
		cfg.Authorize = func(user string, key ssh.PublicKey) error {
			if user != cfg.User {
				return fmt.Errorf("no user %q", user)
			}
			if !keys[string(key.Marshal())] {
				return fmt.Errorf("key %s is not authorized", ssh.FingerprintSHA256(key))
			}
			return nil
		}
	}
	sc := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-hurdlab",
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, cfg.Authorize(c.User(), key)
		},
	}
	// The cheapest for a processor without instructions for cryptography: a
	// client takes the first of its own list that the server has.
	sc.KeyExchanges = []string{ssh.KeyExchangeCurve25519}
	sc.Ciphers = []string{ssh.CipherChaCha20Poly1305}
	sc.AddHostKey(cfg.HostKey)
	return &Server{cfg: cfg, ssh: sc, conns: make(chan struct{}, cfg.MaxConns)}, nil
}

// ParseAuthorizedKeys reads the keys of an authorized_keys file. Options of a
// key are not supported, and refused rather than ignored.
func ParseAuthorizedKeys(b []byte) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		k, _, options, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			return nil, fmt.Errorf("sshd: authorized keys: %w", err)
		}
		if len(options) > 0 {
			return nil, fmt.Errorf("sshd: authorized keys: option %q is not supported", options[0])
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Serve accepts connections from l until ctx ends or l fails; it returns when
// every session has ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.active.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("sshd: accept: %w", err)
		}
		select {
		case s.conns <- struct{}{}:
		default:
			s.cfg.Logf("sshd: %s: refused: %d connections already", c.RemoteAddr(), s.cfg.MaxConns)
			c.Close()
			continue
		}
		s.active.Go(func() {
			defer func() { <-s.conns }()
			defer c.Close()
			if err := s.serveConn(ctx, c); err != nil && ctx.Err() == nil {
				s.cfg.Logf("sshd: %s: %v", c.RemoteAddr(), err)
			}
		})
	}
}

func (s *Server) serveConn(ctx context.Context, c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	conn, channels, requests, err := ssh.NewServerConn(c, s.ssh)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil // somebody looked whether the port is open
		}
		return err
	}
	defer conn.Close()
	if err := c.SetDeadline(time.Time{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go ssh.DiscardRequests(requests)

	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer cancel() // before the wait: the client has gone
	tokens := make(chan struct{}, s.cfg.MaxSessions)
	for nc := range channels {
		if nc.ChannelType() != "session" {
			nc.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		select {
		case tokens <- struct{}{}:
		default:
			nc.Reject(ssh.ResourceShortage, fmt.Sprintf("%d sessions already", s.cfg.MaxSessions))
			continue
		}
		ch, reqs, err := nc.Accept()
		if err != nil {
			<-tokens
			continue
		}
		sessions.Go(func() {
			defer func() { <-tokens }()
			s.serveSession(ctx, conn.User(), ch, reqs)
		})
	}
	return nil
}

// serveSession serves a channel: requests that prepare the command, the
// command, and signals to it.
func (s *Server) serveSession(ctx context.Context, user string, ch ssh.Channel, reqs <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Requests that nobody takes would hold up the whole connection.
	defer func() { go ssh.DiscardRequests(reqs) }()
	defer ch.Close()
	signals := make(chan string, 16)
	sizes := make(chan Size, 1)
	sess := &Session{User: user, Stdin: ch, Stdout: ch, Stderr: ch.Stderr(), Signals: signals}
	envSize := 0
	var ended chan struct{} // non-nil once the command runs
	for {
		var req *ssh.Request
		select {
		case r, ok := <-reqs:
			if !ok { // the client closed the channel
				cancel()
				if ended != nil {
					<-ended
				}
				return
			}
			req = r
		case <-ended:
			return
		}
		ok := false
		switch req.Type {
		case "env":
			var v struct{ Name, Value string }
			if ssh.Unmarshal(req.Payload, &v) != nil || ended != nil || len(sess.Env) >= maxEnv {
				break
			}
			if envSize += len(v.Name) + len(v.Value) + 2; envSize > maxEnvSize {
				break
			}
			sess.Env = append(sess.Env, v.Name+"="+v.Value)
			ok = true
		case "pty-req":
			var v struct {
				Term                         string
				Columns, Rows, Width, Height uint32
				Modes                        string // are the client's own affair
			}
			if ssh.Unmarshal(req.Payload, &v) != nil || ended != nil || sess.Terminal != nil || len(v.Term) > maxTerm {
				break
			}
			sess.Terminal = &Terminal{Type: v.Term, Size: Size{v.Columns, v.Rows, v.Width, v.Height}, Sizes: sizes}
			ok = true
		case "window-change":
			var v Size
			if ssh.Unmarshal(req.Payload, &v) != nil || sess.Terminal == nil {
				break
			}
			select { // the last one counts
			case <-sizes:
			default:
			}
			sizes <- v
			ok = true
		case "exec", "shell":
			var v struct{ Command string }
			if ended != nil || req.Type == "exec" && (ssh.Unmarshal(req.Payload, &v) != nil || len(v.Command) > maxCommand) {
				break
			}
			sess.Command = v.Command
			ended = make(chan struct{})
			// The answer goes first: the command may be quick.
			req.Reply(true, nil)
			go func() {
				defer close(ended)
				report(ch, s.cfg.Run(ctx, sess))
			}()
			continue
		case "signal":
			var v struct{ Name string }
			if ended == nil || ssh.Unmarshal(req.Payload, &v) != nil {
				break
			}
			select {
			case signals <- v.Name:
				ok = true
			default: // the command does not take them: one more changes nothing
			}
		}
		if req.WantReply {
			req.Reply(ok, nil)
		}
	}
}

// report tells the client how the command ended. Errors mean that the client
// has gone.
func report(ch ssh.Channel, e Exit) {
	ch.CloseWrite()
	if e.Signal == "" {
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(e.Status)}))
		return
	}
	ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
		Signal         string
		CoreDumped     bool
		Message, Error string
	}{e.Signal, false, e.Message, ""}))
}
