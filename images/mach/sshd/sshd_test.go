package sshd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type fixture struct {
	addr         string
	host, client ssh.Signer
}

// start serves run on a local port.
func start(t *testing.T, change func(*Config), run func(context.Context, *Session) Exit) *fixture {
	t.Helper()
	f := &fixture{host: newKey(t), client: newKey(t)}
	cfg := Config{HostKey: f.host, Authorized: []ssh.PublicKey{f.client.PublicKey()}, User: "root", Run: run, Logf: t.Logf}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	})
	return f
}

func (f *fixture) dial(user string, key ssh.Signer) (*ssh.Client, error) {
	return ssh.Dial("tcp", f.addr, &ssh.ClientConfig{
		User:            user,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.FixedHostKey(f.host.PublicKey()),
	})
}

func (f *fixture) session(t *testing.T) *ssh.Session {
	t.Helper()
	c, err := f.dial("root", f.client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLogin(t *testing.T) {
	f := start(t, nil, func(context.Context, *Session) Exit { return Exit{} })
	if _, err := f.dial("root", newKey(t)); err == nil {
		t.Error("another key may log in")
	}
	if _, err := f.dial("toor", f.client); err == nil {
		t.Error("another user may log in")
	}
	if _, err := ssh.Dial("tcp", f.addr, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.Password("")}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	}); err == nil {
		t.Error("a password may log in")
	}
	c, err := f.dial("root", f.client)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestCommand(t *testing.T) {
	f := start(t, nil, func(_ context.Context, s *Session) Exit {
		fmt.Fprintf(s.Stderr, "%q %q", s.Command, s.Env)
		io.Copy(s.Stdout, s.Stdin)
		return Exit{Status: 42}
	})
	s := f.session(t)
	var stderr bytes.Buffer
	s.Stdin = strings.NewReader(strings.Repeat("0123456789", 100_000))
	s.Stderr = &stderr
	if err := s.Setenv("A", "b c"); err != nil {
		t.Error(err)
	}
	out, err := s.Output("echo 'hi there'")
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 42 {
		t.Errorf("exit: %v", err)
	}
	if len(out) != 1_000_000 || string(out[999_990:]) != "0123456789" {
		t.Errorf("%d bytes came back", len(out))
	}
	if got, want := stderr.String(), `"echo 'hi there'" ["A=b c"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSignals(t *testing.T) {
	started := make(chan bool, 1)
	f := start(t, nil, func(_ context.Context, s *Session) Exit {
		started <- true
		return Exit{Signal: <-s.Signals, Message: "killed"}
	})
	s := f.session(t)
	if err := s.Start("wait"); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := s.Signal(ssh.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" || exit.Msg() != "killed" {
		t.Errorf("exit: %v", err)
	}
}

// TestTerminal asks for one, and changes its size.
func TestTerminal(t *testing.T) {
	f := start(t, nil, func(_ context.Context, s *Session) Exit {
		if s.Terminal == nil {
			return Exit{Status: 1}
		}
		fmt.Fprintln(s.Stdout, s.Terminal.Type, s.Terminal.Size)
		fmt.Fprintln(s.Stdout, <-s.Terminal.Sizes)
		return Exit{}
	})
	s := f.session(t)
	if err := s.WindowChange(1, 1); err != nil { // of no terminal: not heeded
		t.Error(err)
	}
	if err := s.RequestPty("xterm", 24, 80, ssh.TerminalModes{ssh.ECHO: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("xterm", 24, 80, nil); err == nil {
		t.Error("two terminals")
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(""); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	if got, want := lines.Text(), "xterm {80 24 640 192}"; got != want { // x/crypto/ssh takes a character for 8 x 8
		t.Errorf("%q, want %q", got, want)
	}
	if err := s.WindowChange(30, 100); err != nil {
		t.Error(err)
	}
	lines.Scan()
	if got, want := lines.Text(), "{100 30 800 240}"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	long := f.session(t)
	if err := long.RequestPty(strings.Repeat("x", 100), 24, 80, nil); err == nil {
		t.Error("the name of a terminal has no bound")
	}
}

func TestClientGoes(t *testing.T) {
	for name, leave := range map[string]func(*ssh.Client, *ssh.Session){
		"closes the session":    func(_ *ssh.Client, s *ssh.Session) { s.Close() },
		"closes the connection": func(c *ssh.Client, _ *ssh.Session) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			started, ended := make(chan bool), make(chan error, 1)
			f := start(t, nil, func(ctx context.Context, s *Session) Exit {
				started <- true
				<-ctx.Done()
				_, err := s.Stdout.Write([]byte("x"))
				ended <- err
				return Exit{}
			})
			c, err := f.dial("root", f.client)
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Start("wait"); err != nil {
				t.Fatal(err)
			}
			<-started
			leave(c, s)
			if err := <-ended; err == nil {
				t.Error("a write to a client that has gone succeeds")
			}
			c.Close()
		})
	}
}

func TestManySessions(t *testing.T) {
	f := start(t, nil, func(_ context.Context, s *Session) Exit {
		fmt.Fprint(s.Stdout, s.Command)
		return Exit{}
	})
	var wg sync.WaitGroup
	for i := range 20 {
		c, err := f.dial("root", f.client)
		if err != nil {
			t.Fatal(err)
		}
		for j := range 10 {
			wg.Go(func() {
				s, err := c.NewSession()
				if err != nil {
					t.Error(err)
					return
				}
				want := fmt.Sprint(i, j)
				if out, err := s.Output(want); err != nil || string(out) != want {
					t.Errorf("%s: got %q, %v", want, out, err)
				}
			})
		}
		defer c.Close()
	}
	wg.Wait()
}

func TestLimits(t *testing.T) {
	started, release := make(chan bool, 1), make(chan bool)
	f := start(t, func(c *Config) { c.MaxConns, c.MaxSessions = 1, 1 }, func(context.Context, *Session) Exit {
		started <- true
		<-release
		return Exit{}
	})
	c, err := f.dial("root", f.client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("wait"); err != nil {
		t.Fatal(err)
	}
	<-started
	if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), "1 sessions already") {
		t.Errorf("second session: %v", err)
	}
	if _, err := f.dial("root", f.client); err == nil {
		t.Error("a second connection was accepted")
	}
	close(release)
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

func TestParseAuthorizedKeys(t *testing.T) {
	a := string(ssh.MarshalAuthorizedKey(newKey(t).PublicKey()))
	b := string(ssh.MarshalAuthorizedKey(newKey(t).PublicKey()))
	for in, want := range map[string]int{"": 0, a: 1, "# two\n" + a + "\n" + b + "\n# end": 2} {
		if keys, err := ParseAuthorizedKeys([]byte(in)); err != nil || len(keys) != want {
			t.Errorf("%q: %d keys, %v", in, len(keys), err)
		}
	}
	for _, in := range []string{"nonsense", `command="true" ` + a} {
		if _, err := ParseAuthorizedKeys([]byte(in)); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}
