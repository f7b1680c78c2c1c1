// Package nodeconfig is the configuration that a lab gives to a mach node.
//
// The image (package machimage) writes it into QEMU's firmware configuration
// device as the file [File]; the node's init reads it from there
// (package fwcfg) before anything else. Both ends import this package, which
// therefore imports nothing of the house and builds everywhere.
package nodeconfig

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// File is the name of the configuration in QEMU's firmware configuration
// device (-fw_cfg name=opt/hurdlab/node.json,...).
const File = "opt/hurdlab/node.json"

// MaxSize bounds the encoded configuration, in bytes. A guest refuses more:
// it reads the file a byte at a time.
const MaxSize = 256 << 10

// The marks that a node writes to the console as it gets on, each
// on a line of its own.
const (
	// MarkNetwork is followed by a space and the node's address.
	MarkNetwork = "hurdlab: network up"
	// MarkReady says that the SSH server listens.
	MarkReady = "hurdlab: ready"
)

// Config is what a node must know about itself and its network.
type Config struct {
	// Name is the host name.
	Name string `json:"name"`
	// MAC is the address of the network interface to use, such as
	// "52:54:00:12:34:56". A node with a single interface may leave it empty.
	MAC string `json:"mac,omitempty"`
	// Addr is the node's address and the prefix length of its network.
	Addr netip.Prefix `json:"addr"`
	// Gateway is the default route; the zero Addr means none.
	Gateway netip.Addr `json:"gateway"`
	// DNS is the name server; the zero Addr means none.
	DNS netip.Addr `json:"dns"`
	// Hosts gives addresses by name, for /etc/hosts.
	Hosts map[string]netip.Addr `json:"hosts,omitempty"`
	// HostKey is the SSH host key, a PEM block in OpenSSH's or PKCS #8 form.
	HostKey string `json:"host_key"`
	// AuthorizedKeys says who may log in, in authorized_keys form.
	AuthorizedKeys string `json:"authorized_keys"`
	// User is the name to log in as.
	User string `json:"user"`
	// Netmsg is the files of the node's netmsg, by their names in /etc/netmsg. A
	// node without any runs none.
	Netmsg map[string]string `json:"netmsg,omitempty"`
}

// Parse decodes and checks a configuration. Fields it does not know are
// ignored, so that an older guest boots under a newer lab.
func Parse(b []byte) (*Config, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("node configuration: %d bytes exceed the limit of %d", len(b), MaxSize)
	}
	c := new(Config)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("node configuration: %w", err)
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	return c, nil
}

// Marshal checks c and encodes it for the node.
func (c *Config) Marshal() ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("node configuration: %w", err)
	}
	if len(b) > MaxSize {
		return nil, fmt.Errorf("node configuration: %d bytes exceed the limit of %d (%d hosts)", len(b), MaxSize, len(c.Hosts))
	}
	return b, nil
}

// Check reports everything that would keep a node from coming up with c.
func (c *Config) Check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("node configuration: "+format, args...))
	}
	if !validName(c.Name) {
		bad("name %q is not a host name", c.Name)
	}
	if c.MAC != "" {
		if hw, err := net.ParseMAC(c.MAC); err != nil || len(hw) != 6 {
			bad("mac %q is not an Ethernet address", c.MAC)
		} else if hw[0]&1 != 0 {
			bad("mac %q is a group address", c.MAC)
		}
	}
	if !c.Addr.IsValid() || !c.Addr.Addr().Is4() {
		bad("addr %q is not an IPv4 address with a prefix length", c.Addr)
	} else if g := c.Gateway; g.IsValid() && !c.Addr.Contains(g) {
		bad("gateway %s is outside the network %s", g, c.Addr.Masked())
	}
	if d := c.DNS; d.IsValid() && !d.Is4() {
		bad("dns %s is not an IPv4 address", d)
	}
	for name, a := range c.Hosts {
		if !validName(name) {
			bad("hosts: %q is not a host name", name)
		}
		if !a.Is4() {
			bad("hosts: %s: %q is not an IPv4 address", name, a)
		}
	}
	if p, _ := pem.Decode([]byte(c.HostKey)); p == nil {
		bad("host_key is not a PEM block")
	}
	if c.User == "" {
		bad("user is empty")
	}
	for name := range c.Netmsg {
		if !validName(name) {
			bad("netmsg: %q cannot be the name of a file", name)
		}
	}
	return errors.Join(errs...)
}

// validName reports whether s can be a host name: dot-separated labels of
// letters, digits and inner hyphens.
func validName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 || s[i-1] == '-' {
				return false
			}
			label = 0
			continue
		case c == '-':
			if label == 0 {
				return false
			}
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0 && s[len(s)-1] != '-'
}
