package lab

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"hurdlab/internal/fsatomic"
	"hurdlab/lab/state"
)

// keyPair is a key for SSH.
type keyPair struct {
	private []byte // OpenSSH PEM
	public  ssh.PublicKey
}

// newKey makes a key and writes it to file.
func newKey(file, comment string) (*keyPair, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return nil, err
	}
	k := &keyPair{private: pem.EncodeToMemory(block)}
	if k.public, err = ssh.NewPublicKey(pub); err != nil {
		return nil, err
	}
	return k, fsatomic.WriteFile(file, k.private, 0o600)
}

// authorized is the line of authorized_keys that lets the key in.
func (k *keyPair) authorized() []byte { return ssh.MarshalAuthorizedKey(k.public) }

// writeKnownHosts writes the nodes' host keys, for OpenSSH's client.
func writeKnownHosts(dir state.Dir, hosts map[string]ssh.PublicKey, names []string) error {
	var known bytes.Buffer
	for _, name := range names {
		fmt.Fprintln(&known, knownhosts.Line([]string{name}, hosts[name]))
	}
	return fsatomic.WriteFile(dir.File(state.KnownHosts), known.Bytes(), 0o600)
}
