package nodeconfig

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"

func valid() *Config {
	return &Config{
		Name:           "node1",
		MAC:            "52:54:00:00:00:01",
		Addr:           netip.MustParsePrefix("10.77.0.11/24"),
		Gateway:        netip.MustParseAddr("10.77.0.1"),
		DNS:            netip.MustParseAddr("10.77.0.1"),
		Hosts:          map[string]netip.Addr{"node1": netip.MustParseAddr("10.77.0.11")},
		HostKey:        key,
		AuthorizedKeys: "ssh-ed25519 AAAA me\n",
		User:           "root",
	}
}

func TestRoundTrip(t *testing.T) {
	bare := valid()
	bare.MAC, bare.Gateway, bare.DNS, bare.Hosts = "", netip.Addr{}, netip.Addr{}, nil
	for _, want := range []*Config{valid(), bare} {
		b, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestParseAcceptsTheDocumentedForm(t *testing.T) {
	c, err := Parse([]byte(`{"name":"node1","mac":"52:54:00:00:00:01","addr":"10.77.0.11/24","gateway":"10.77.0.1","dns":"10.77.0.1",
		"hosts":{"node1":"10.77.0.11"},"host_key":"` + strings.ReplaceAll(key, "\n", `\n`) + `","authorized_keys":"ssh-ed25519 AAAA me\n","user":"root","later":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, valid()) {
		t.Errorf("got %+v, want %+v", c, valid())
	}
}

func TestCheck(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Name = "" }, "not a host name"},
		{func(c *Config) { c.Name = "a_b" }, "not a host name"},
		{func(c *Config) { c.Name = "-a" }, "not a host name"},
		{func(c *Config) { c.Name = "a-.b" }, "not a host name"},
		{func(c *Config) { c.Name = "a..b" }, "not a host name"},
		{func(c *Config) { c.Name = strings.Repeat("a", 64) }, "not a host name"},
		{func(c *Config) { c.MAC = "nonsense" }, "not an Ethernet address"},
		{func(c *Config) { c.MAC = "01:00:5e:00:00:01" }, "group address"},
		{func(c *Config) { c.Addr = netip.Prefix{} }, "not an IPv4 address"},
		{func(c *Config) { c.Addr = netip.MustParsePrefix("fd00::1/64") }, "not an IPv4 address"},
		{func(c *Config) { c.Gateway = addr("10.78.0.1") }, "outside the network"},
		{func(c *Config) { c.DNS = addr("::1") }, "dns ::1"},
		{func(c *Config) { c.Hosts["a b"] = addr("10.0.0.1") }, `"a b" is not a host name`},
		{func(c *Config) { c.Hosts["x"] = addr("::1") }, `hosts: x: "::1"`},
		{func(c *Config) { c.HostKey = "key" }, "not a PEM block"},
		{func(c *Config) { c.User = "" }, "user is empty"},
	} {
		c := valid()
		tt.change(c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want an error with %q", err, tt.want)
		}
		if _, err := c.Marshal(); err == nil {
			t.Errorf("Marshal accepted what Check refuses (%s)", tt.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, in := range []string{"", "{", "[]", `{"addr":"x"}`, strings.Repeat(" ", MaxSize+1)} {
		if _, err := Parse([]byte(in)); err == nil {
			t.Errorf("Parse(%.20q) succeeded", in)
		}
	}
}
