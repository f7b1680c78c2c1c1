package main

import (
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"hurdlab/netmsg/transport"
)

// keyFile is where a node's key is.
const keyFile = "/etc/netmsg/key"

// keys makes a node's key, or shows its public half as peers' lists need it.
func keys(args []string) error {
	f := flag.NewFlagSet("netmsg keys make|show", flag.ExitOnError)
	file := f.String("key", keyFile, "`file` with the key")
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	var key ed25519.PrivateKey
	switch verb {
	case "make":
		var err error
		if key, err = makeKey(*file); err != nil {
			return err
		}
	case "show":
		var err error
		if key, err = transport.ReadKey(*file); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("this node has no key (%s). Make one with: netmsg keys make", *file)
		} else if err != nil {
			return err
		}
	default:
		return errors.New("usage: netmsg keys make|show [--key FILE]")
	}
	name, err := os.Hostname()
	if err != nil {
		name = "NAME"
	}
	fmt.Printf("%s HOST:%d %s\n", name, transport.Port, transport.PublicText(key.Public().(ed25519.PublicKey)))
	return nil
}

// makeKey makes a key in a file that is not there yet, which only its owner can read.
func makeKey(file string) (ed25519.PrivateKey, error) {
	key, err := transport.NewKey()
	if err != nil {
		return nil, err
	}
	text, err := transport.FormatKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	w, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is there already. Peers know this node by it: move it away if it is really to be replaced", file)
	}
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	return key, errors.Join(err, w.Close())
}
