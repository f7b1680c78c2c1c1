package download

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// debianKeyrings are those of Debian's packages debian-keyring and
// debian-archive-keyring: its developers, its roles (whoever makes images), and
// the archive's own. Later packages may call them .pgp.
var debianKeyrings = []string{
	"/usr/share/keyrings/debian-role-keys.gpg", "/usr/share/keyrings/debian-role-keys.pgp",
	"/usr/share/keyrings/debian-keyring.gpg", "/usr/share/keyrings/debian-keyring.pgp",
	"/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp",
}

// endings are what the name of a signature may end in.
var endings = []string{".sign", ".asc", ".gpg"}

// verify returns what of the sums is signed, and by whom.
func (o *Options) verify(ctx context.Context, url string, sums []byte) (signed []byte, signer string, err error) {
	if block, _ := clearsign.Decode(sums); block != nil {
		keys, err := o.keys()
		if err != nil {
			return nil, "", err
		}
		e, err := openpgp.CheckDetachedSignature(keys, bytes.NewReader(block.Bytes), block.ArmoredSignature.Body, nil)
		if err != nil {
			return nil, "", &SignatureError{url, err}
		}
		return block.Plaintext, name(e), nil
	}
	for _, ending := range endings {
		sig, err := o.get(ctx, url+ending)
		if errors.Is(err, errNotFound) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		keys, err := o.keys()
		if err != nil {
			return nil, "", err
		}
		check := openpgp.CheckDetachedSignature
		if bytes.HasPrefix(bytes.TrimSpace(sig), []byte("-----BEGIN")) {
			check = openpgp.CheckArmoredDetachedSignature
		}
		e, err := check(keys, bytes.NewReader(sums), bytes.NewReader(sig), nil)
		if err != nil {
			return nil, "", &SignatureError{url + ending, err}
		}
		return sums, name(e), nil
	}
	if o.Unsigned {
		return sums, "", nil
	}
	return nil, "", &SignatureError{url, errors.New("nobody has signed it")}
}

// name is who a key belongs to.
func name(e *openpgp.Entity) string {
	s := fmt.Sprintf("%X", e.PrimaryKey.Fingerprint)
	if id := e.PrimaryIdentity(); id != nil {
		s = id.Name + " " + s
	}
	return s
}

// keys reads the keyrings that are there.
func (o *Options) keys() (openpgp.EntityList, error) {
	files := o.Keyrings
	if files == nil {
		files = debianKeyrings
	}
	var all openpgp.EntityList
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			if o.Keyrings == nil && os.IsNotExist(err) {
				continue
			}
			return nil, err
		}
		keys, err := openpgp.ReadKeyRing(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("keyring %s: %w", file, err)
		}
		all = append(all, keys...)
	}
	if len(all) == 0 {
		return nil, &SignatureError{strings.Join(files, ", "), errors.New("there is no keyring to check signatures with")}
	}
	return all, nil
}

// A SignatureError says that the sums cannot be believed.
type SignatureError struct {
	File string
	Err  error
}

func (e *SignatureError) Error() string { return fmt.Sprintf("signature of %s: %v", e.File, e.Err) }

func (e *SignatureError) Unwrap() error { return e.Err }

// Advice is what the user can do.
func (e *SignatureError) Advice() string {
	return "install the current debian-keyring, or name the file with the signer's key by --keyring FILE; if the site publishes no signature, --image-unsigned trusts the site itself, once"
}
