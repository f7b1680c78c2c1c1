package transport

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// MaxPeers bounds a list of peers.
const MaxPeers = 4096

// keyPrefix begins a public key in text.
const keyPrefix = "ed25519:"

// NewKey makes a key.
func NewKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// FormatKey is a private key as a file has it: PKCS #8 in PEM.
func FormatKey(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey decodes a private key.
func ParseKey(b []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("not a private key in PEM form")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	k, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T; it has to be one of Ed25519", key)
	}
	return k, nil
}

// ReadKey reads a private key, which only its owner may be able to read.
func ReadKey(file string) (ed25519.PrivateKey, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if mode := st.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): chmod 600 it, or better make a new one", file, mode)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// PublicText is a public key as a list of peers has it.
func PublicText(key ed25519.PublicKey) string {
	return keyPrefix + base64.RawStdEncoding.EncodeToString(key)
}

func parsePublic(s string) (ed25519.PublicKey, error) {
	text, ok := strings.CutPrefix(s, keyPrefix)
	if !ok {
		return nil, fmt.Errorf("key %q does not begin with %q", s, keyPrefix)
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("key %q is not %d bytes in base64", s, ed25519.PublicKeySize)
	}
	return b, nil
}

// A Peer is a node that this one talks to.
type Peer struct {
	Name string
	Addr string            // host:port, or empty if it only calls us
	Key  ed25519.PublicKey // nil is for Plain
}

// Peers are the peers of a node by name.
type Peers map[string]Peer

// ParsePeers decodes a list of peers: a line each, with its name, its address
// ("-" if it has none) and its public key. What is behind a # is a comment.
func ParsePeers(b []byte) (Peers, error) {
	peers := make(Peers)
	keys := make(map[string]string)
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		p, err := parsePeer(f)
		switch old := keys[string(p.Key)]; {
		case err != nil:
		case len(peers) == MaxPeers:
			err = fmt.Errorf("more than %d peers", MaxPeers)
		case peers[p.Name].Name != "":
			err = fmt.Errorf("%s is there twice", p.Name)
		case old != "":
			err = fmt.Errorf("%s and %s have the same key", old, p.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		peers[p.Name], keys[string(p.Key)] = p, p.Name
	}
	return peers, nil
}

func parsePeer(f []string) (Peer, error) {
	if len(f) != 3 {
		return Peer{}, errors.New("it is not NAME ADDRESS KEY")
	}
	p := Peer{Name: f[0]}
	if !ValidName(p.Name) {
		return p, fmt.Errorf("%q cannot be the name of a node", p.Name)
	}
	if f[1] != "-" {
		if _, _, err := net.SplitHostPort(f[1]); err != nil {
			return p, fmt.Errorf("address %q is not HOST:PORT", f[1])
		}
		p.Addr = f[1]
	}
	var err error
	p.Key, err = parsePublic(f[2])
	return p, err
}

// ValidName says whether a node can have a name: 1 to 63 letters, digits, dots,
// hyphens and underscores, of which the first is a letter or a digit.
func ValidName(s string) bool {
	return len(s) > 0 && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == "" && strings.IndexByte(".-_", s[0]) < 0
}

// String is p as a line of a list, without its end.
func (p Peer) String() string {
	addr := p.Addr
	if addr == "" {
		addr = "-"
	}
	return fmt.Sprintf("%s %s %s", p.Name, addr, PublicText(p.Key))
}

// Format is a list of peers in text.
func (p Peers) Format() []byte {
	var lines []string
	for _, x := range p {
		lines = append(lines, x.String()+"\n")
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}

// ReadPeers reads a list of peers.
func ReadPeers(file string) (Peers, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	peers, err := ParsePeers(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return peers, nil
}
