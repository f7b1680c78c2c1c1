package machimage

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hurdlab/images"
	"hurdlab/images/mach/nodeconfig"
)

func identity(t *testing.T) images.Identity {
	return images.Identity{
		Name:           "node1",
		MAC:            [6]byte{0x52, 0x54, 0, 0, 0, 1},
		Addr:           netip.MustParsePrefix("10.77.0.11/24"),
		Gateway:        netip.MustParseAddr("10.77.0.1"),
		DNS:            netip.MustParseAddr("10.77.0.1"),
		Hosts:          map[string]netip.Addr{"node1": netip.MustParseAddr("10.77.0.11")},
		HostKey:        []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n"),
		AuthorizedKeys: []byte("ssh-ed25519 AAAA test\n"),
		Dir:            t.TempDir(),
	}
}

// What the lab decides about a node arrives where its init reads it.
func TestMachine(t *testing.T) {
	m := &image{prepared: &parts{"/k", &system{"/r", "/e", "/t"}}}
	id := identity(t)
	got, err := m.Machine(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got.MemoryMB != DefaultMemoryMB || got.MemoryMB > 128 {
		t.Errorf("%d MB of memory, want the default, at most 128", got.MemoryMB)
	}
	file := got.FWCfg[nodeconfig.File]
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if p := info.Mode().Perm(); p != 0o600 {
		t.Errorf("%s has mode %v, but it holds a private key", file, p)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := nodeconfig.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != id.Name || c.MAC != "52:54:00:00:00:01" || c.Addr != id.Addr || c.HostKey != string(id.HostKey) || c.User != got.User {
		t.Errorf("the node would read %+v", c)
	}
}

func TestMachineErrors(t *testing.T) {
	ready := &image{prepared: &parts{system: &system{}}}
	small := identity(t)
	small.MemoryMB = 16
	nameless := identity(t)
	nameless.Name = ""
	for _, tc := range []struct {
		name string
		m    *image
		id   images.Identity
		want string
	}{
		{"unprepared", &image{}, identity(t), "before Prepare"},
		{"too little memory", ready, small, "16 MB of memory is too little"},
		{"no name", ready, nameless, "host name"},
	} {
		if _, err := tc.m.Machine(t.Context(), tc.id); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
	}
}

func TestFindSource(t *testing.T) {
	t.Setenv(SourceEnv, "")
	here, err := FindSource(".")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(here, "images", "mach", "source.go")); err != nil {
		t.Error(err)
	}
	tree := t.TempDir()
	deep := filepath.Join(tree, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, _ := FindSource(deep); got != here {
		t.Errorf("outside of any tree: %q, want the tree this test was built from", got)
	}
	if err := os.WriteFile(filepath.Join(tree, "go.mod"), []byte("module hurdlab\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, _ := FindSource(deep); got != tree {
		t.Errorf("inside a tree: %q, want %q", got, tree)
	}
	t.Setenv(SourceEnv, deep)
	if _, err := FindSource("."); err == nil || !strings.Contains(err.Error(), SourceEnv) {
		t.Errorf("with a wrong %s: %v", SourceEnv, err)
	}
}
