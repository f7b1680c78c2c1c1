package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// proto is the protocol in TLS's negotiation (ALPN).
const proto = "netmsg/1"

// TLS is the transport with keys.
type TLS struct {
	Self  string
	Key   ed25519.PrivateKey
	Peers Peers // not changed while in use
	Wrap  Wrap  // for the connections under TLS

	once  sync.Once
	cert  tls.Certificate
	err   error
	byKey map[string]string // names of peers
}

func (t *TLS) init() error {
	t.once.Do(func() {
		t.byKey = make(map[string]string)
		for name, p := range t.Peers {
			if name != t.Self {
				t.byKey[string(p.Key)] = name
			}
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1),
			Subject:      pkix.Name{CommonName: t.Self},
			// Nobody looks at these.
			NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, t.Key.Public(), t.Key)
		t.cert, t.err = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: t.Key}, err
	})
	return t.err
}

// config is TLS's. verify is given the key of the other end, which has shown
// that it has it.
func (t *TLS) config(verify func(key ed25519.PublicKey) error) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{t.cert},
		NextProtos:   []string{proto},
		// The key is compared with the list: there is no authority to ask.
		InsecureSkipVerify:     true,
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true, // a resumed session would not show the key
		// Without post-quantum key exchange: an emulated node takes longer for
		// it than for all the rest.
		CurvePreferences: []tls.CurveID{tls.X25519},
		// Large messages are not cut into records of a packet each.
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.NegotiatedProtocol != proto {
				return fmt.Errorf("%w: it does not offer %s", ErrProtocol, proto)
			}
			if len(s.PeerCertificates) != 1 {
				return fmt.Errorf("%w: %d certificates", ErrNotPeer, len(s.PeerCertificates))
			}
			key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
			if !ok {
				return fmt.Errorf("%w: its key is not one of Ed25519", ErrNotPeer)
			}
			return verify(key)
		},
	}
}

// Dial connects to a peer.
func (t *TLS) Dial(ctx context.Context, node string) (*Conn, error) {
	if err := t.init(); err != nil {
		return nil, err
	}
	return dial(ctx, t.Peers, node, t.Wrap, func(ctx context.Context, raw net.Conn, p Peer) (*Conn, error) {
		c := tls.Client(raw, t.config(func(key ed25519.PublicKey) error {
			if !key.Equal(p.Key) {
				return fmt.Errorf("%w: %s", ErrNotPeer, PublicText(key))
			}
			return nil
		}))
		if err := c.HandshakeContext(ctx); err != nil {
			return nil, explain(err)
		}
		return &Conn{Conn: c, raw: raw, peer: node, dialled: true}, nil
	})
}

// Serve takes connections of peers.
func (t *TLS) Serve(ctx context.Context, l net.Listener, accept func(*Conn), refused func(net.Addr, error)) error {
	if err := t.init(); err != nil {
		l.Close()
		return err
	}
	return serve(ctx, l, t.Wrap, accept, refused, func(ctx context.Context, raw net.Conn) (*Conn, error) {
		var peer string
		c := tls.Server(raw, t.config(func(key ed25519.PublicKey) error {
			if peer = t.byKey[string(key)]; peer == "" {
				return fmt.Errorf("%w: nobody in the list has the key %s", ErrUnknown, PublicText(key))
			}
			return nil
		}))
		if err := c.HandshakeContext(ctx); err != nil {
			return nil, explain(err)
		}
		return &Conn{Conn: c, raw: raw, peer: peer}, nil
	})
}

// explain says whose fault a failed handshake is.
func explain(err error) error {
	var not tls.RecordHeaderError
	var alert tls.AlertError
	var op *net.OpError
	switch {
	case errors.Is(err, ErrUnknown), errors.Is(err, ErrNotPeer), errors.Is(err, ErrProtocol):
		return err
	case errors.As(err, &not):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case errors.As(err, &alert), errors.As(err, &op) && op.Op == "remote error":
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}
