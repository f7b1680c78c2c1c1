package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A site is two nodes that know each other, and a third that knows them but is
// not known.
type site struct {
	keys    map[string]ed25519.PrivateKey
	addr    string // of node b
	refused chan error
	got     chan *Conn
}

// newSite starts node b, with the transport that make makes of it.
func newSite(t *testing.T, create func(self string, key ed25519.PrivateKey, peers Peers) Transport) *site {
	t.Helper()
	s := &site{keys: make(map[string]ed25519.PrivateKey), refused: make(chan error, 4*maxHandshakes), got: make(chan *Conn, 16)}
	for _, name := range []string{"a", "b", "stranger"} {
		key, err := NewKey()
		if err != nil {
			t.Fatal(err)
		}
		s.keys[name] = key
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		create("b", s.keys["b"], s.peers("a")).Serve(ctx, l, func(c *Conn) { s.got <- c }, func(_ net.Addr, err error) { s.refused <- err })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// peers is the list of a node that knows some.
func (s *site) peers(names ...string) Peers {
	p := make(Peers)
	for _, name := range names {
		p[name] = Peer{name, s.addr, s.keys[name].Public().(ed25519.PublicKey)}
	}
	return p
}

func makeTLS(self string, key ed25519.PrivateKey, peers Peers) Transport {
	return &TLS{Self: self, Key: key, Peers: peers}
}

func makePlain(self string, _ ed25519.PrivateKey, peers Peers) Transport {
	return &Plain{Self: self, Peers: peers}
}

func TestConnect(t *testing.T) {
	for name, make := range map[string]func(string, ed25519.PrivateKey, Peers) Transport{"tls": makeTLS, "plain": makePlain} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, make)
			c, err := make("a", s.keys["a"], s.peers("b")).Dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			d := <-s.got
			defer d.Close()
			if c.Peer() != "b" || d.Peer() != "a" || !c.Dialled() || d.Dialled() {
				t.Errorf("dialled: %s %v, accepted: %s %v", c.Peer(), c.Dialled(), d.Peer(), d.Dialled())
			}
			go c.Write([]byte("hello"))
			b := []byte("     ")
			if _, err := io.ReadFull(d, b); err != nil || string(b) != "hello" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// TestRefused has everybody try who should not get in. Both ends say why.
func TestRefused(t *testing.T) {
	s := newSite(t, makeTLS)
	stranger := s.keys["stranger"]
	wrong := s.peers("b")
	wrong["b"] = Peer{"b", s.addr, stranger.Public().(ed25519.PublicKey)}
	plain := newSite(t, makePlain)
	for _, x := range []struct {
		name         string
		site         *site
		dial         func() (*Conn, error)
		dialErr, err error // the other end's may be nil for any
	}{
		{"not in our list", s, func() (*Conn, error) { return makeTLS("a", s.keys["a"], Peers{}).Dial(t.Context(), "b") }, ErrUnknown, nil},
		{"not in their list", s, func() (*Conn, error) { return makeTLS("stranger", stranger, s.peers("b")).Dial(t.Context(), "b") }, ErrRefused, ErrUnknown},
		{"the name of another", s, func() (*Conn, error) { return makeTLS("a", stranger, s.peers("b")).Dial(t.Context(), "b") }, ErrRefused, ErrUnknown},
		{"their own key", s, func() (*Conn, error) { return makeTLS("a", s.keys["b"], s.peers("b")).Dial(t.Context(), "b") }, ErrRefused, ErrUnknown},
		{"they have another key", s, func() (*Conn, error) { return makeTLS("a", s.keys["a"], wrong).Dial(t.Context(), "b") }, ErrNotPeer, ErrRefused},
		{"plain to TLS", s, func() (*Conn, error) { return makePlain("a", nil, s.peers("b")).Dial(t.Context(), "b") }, ErrRefused, ErrProtocol},
		{"TLS to plain", plain, func() (*Conn, error) { return makeTLS("a", plain.keys["a"], plain.peers("b")).Dial(t.Context(), "b") }, nil, ErrProtocol},
		{"plain, unknown name", plain, func() (*Conn, error) { return makePlain("stranger", nil, plain.peers("b")).Dial(t.Context(), "b") }, ErrRefused, ErrUnknown},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, err := x.dial()
			if err == nil {
				c.Close()
				t.Fatal("it got in")
			}
			if x.dialErr != nil && !errors.Is(err, x.dialErr) {
				t.Errorf("the dialler: %v, want %v", err, x.dialErr)
			}
			if x.err != nil {
				if err := <-x.site.refused; !errors.Is(err, x.err) {
					t.Errorf("the other end: %v, want %v", err, x.err)
				}
			}
		})
	}
	for _, s := range []*site{s, plain} {
		select {
		case c := <-s.got:
			t.Errorf("accepted %s", c.Peer())
		default:
		}
	}
}

// TestForeign has clients try that are not ours.
func TestForeign(t *testing.T) {
	s := newSite(t, makeTLS)
	tlsConn := func(c *tls.Config) func(net.Conn) error {
		c.InsecureSkipVerify = true
		return func(raw net.Conn) error {
			x := tls.Client(raw, c)
			if err := x.Handshake(); err != nil {
				return err
			}
			_, err := x.Read(make([]byte, 1))
			return err
		}
	}
	good := &TLS{Self: "a", Key: s.keys["a"]}
	if err := good.init(); err != nil {
		t.Fatal(err)
	}
	certs := []tls.Certificate{good.cert}
	for name, try := range map[string]func(net.Conn) error{
		"no certificate": tlsConn(&tls.Config{NextProtos: []string{proto}}),
		"TLS 1.2":        tlsConn(&tls.Config{NextProtos: []string{proto}, MaxVersion: tls.VersionTLS12, Certificates: certs}),
		"another ALPN":   tlsConn(&tls.Config{NextProtos: []string{"h2"}, Certificates: certs}),
		"no ALPN":        tlsConn(&tls.Config{Certificates: certs}),
		"garbage": func(c net.Conn) error {
			c.Write([]byte(strings.Repeat("garbage ", 100)))
			_, err := io.ReadAll(c)
			return errors.Join(err, io.EOF)
		},
		"hangs up": func(c net.Conn) error { return io.EOF },
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			if err := try(c); err == nil {
				t.Error("it got in")
			}
			c.Close()
			if err := <-s.refused; err == nil {
				t.Error("refused without a reason")
			}
		})
	}
}

// TestSilent checks that those who say nothing hold up nobody, and that those who
// wait for them do not wait beyond their context.
func TestSilent(t *testing.T) {
	s := newSite(t, makeTLS)
	for range 2 * maxHandshakes {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	c, err := makeTLS("a", s.keys["a"], s.peers("b")).Dial(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()

	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peers := s.peers("b")
	peers["b"] = Peer{"b", l.Addr().String(), peers["b"].Key}
	for _, make := range []func(string, ed25519.PrivateKey, Peers) Transport{makeTLS, makePlain} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := make("a", s.keys["a"], peers).Dial(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a peer that is silent: %v", err)
		}
		cancel()
	}
}

func TestPeers(t *testing.T) {
	key := make([]byte, ed25519.PublicKeySize)
	text := PublicText(key)
	key2 := append([]byte{1}, key[1:]...)
	for _, x := range []struct{ in, want string }{
		{"", ""},
		{"# nobody\n\n", ""},
		{"a 10.0.0.1:2345 " + text + " # the first\nb - " + PublicText(key2), ""},
		{"a 10.0.0.1:2345", "line 1: it is not NAME ADDRESS KEY"},
		{"\na/b - " + text, `line 2: "a/b" cannot be the name of a node`},
		{"a 10.0.0.1 " + text, `line 1: address "10.0.0.1" is not HOST:PORT`},
		{"a - " + text[:20], "line 1: key"},
		{"a - rsa:xyz", "line 1: key"},
		{"a - " + text + "\na - " + PublicText(key2), "line 2: a is there twice"},
		{"a - " + text + "\nb - " + text, "line 2: a and b have the same key"},
	} {
		p, err := ParsePeers([]byte(x.in))
		if got := ""; err != nil {
			if got = err.Error(); x.want == "" || !strings.HasPrefix(got, x.want) {
				t.Errorf("%q: %s, want %s", x.in, got, x.want)
			}
			continue
		}
		if x.want != "" {
			t.Errorf("%q: no error, want %s", x.in, x.want)
			continue
		}
		again, err := ParsePeers(p.Format())
		if err != nil || string(again.Format()) != string(p.Format()) {
			t.Errorf("%q: reads as\n%swant\n%s(%v)", x.in, again.Format(), p.Format(), err)
		}
	}
}

func FuzzPeers(f *testing.F) {
	f.Add([]byte("a 10.0.0.1:2345 " + PublicText(make([]byte, 32))))
	f.Add([]byte("b - ed25519:x # y"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePeers(b)
		if err != nil {
			return
		}
		again, err := ParsePeers(p.Format())
		if err != nil || len(again) != len(p) {
			t.Errorf("%q: %v", p.Format(), err)
		}
	})
}

func TestKeyFiles(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := FormatKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	for _, x := range []struct {
		mode os.FileMode
		data []byte
		want string
	}{{0o600, b, ""}, {0o640, b, "can be read by others"}, {0o600, b[:40], "not a private key"}, {0o600, nil, "not a private key"}} {
		os.Remove(file)
		if err := os.WriteFile(file, x.data, x.mode); err != nil {
			t.Fatal(err)
		}
		got, err := ReadKey(file)
		switch {
		case x.want == "" && (err != nil || !got.Equal(key)):
			t.Errorf("mode %o: %v", x.mode, err)
		case x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)):
			t.Errorf("mode %o: %v, want %s", x.mode, err, x.want)
		}
	}
}
