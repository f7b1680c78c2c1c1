package debian

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"hurdlab/images"
	"hurdlab/images/debian/extfs"
	"hurdlab/images/debian/nodeinit"
	"hurdlab/images/debian/overlay"
)

// program is the least that is an ELF file for a machine.
func program(machine uint16) string {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x01\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 2)
	le.PutUint16(b[18:], machine)
	le.PutUint32(b[20:], 1)
	le.PutUint16(b[40:], 52)
	if machine == 62 {
		b[4] = 2
		le.PutUint16(b[40:], 0)
		le.PutUint16(b[52:], 64)
	}
	return string(b)
}

const (
	i386  = 3
	amd64 = 62
)

// debianTree is what Debian's images have, as far as it matters here.
func debianTree(machine uint16) map[string]string {
	return map[string]string{
		"hurd/startup": program(machine), "hurd/pfinet": "x", "hurd/netdde": "x", "hurd/devnode": "x",
		"boot/gnumach-1.8-486-up.gz": "kernel", "usr/sbin/sshd": "x", "usr/bin/apt-get": "x", "usr/bin/sh": "x",
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\ndemo:x:1000:1000::/home/demo:/bin/bash\n", "root/.profile": "x",
		"etc/hostname": "debian\n", "etc/inittab": "id:2:initdefault:\n", "etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\n",
		"etc/default/grub": "GRUB_DEFAULT=0\n", "boot/grub/grub.cfg": grubCfg, "servers/socket/2": "", "servers/socket/26": "", "libexec/runsystem": "#!/bin/sh\n",
		"etc/network/interfaces": "auto /dev/eth0\niface /dev/eth0 inet dhcp\n",
	}
}

// bareTree is that of a Hurd without a distribution.
func bareTree() map[string]string {
	return map[string]string{
		"hurd/startup": program(i386), "hurd/ext2fs.static": program(i386), "hurd/exec": program(i386), "libexec/runsystem": "#!/bin/sh\necho own\n",
		"servers/socket/1": "", "boot/gnumach": "\x02\xb0\xad\x1b kernel",
	}
}

const grubCfg = `set default="0"
menuentry 'Debian GNU/Hurd' {
	multiboot /boot/gnumach-1.8-486-up.gz root=part:2:device:wd0 console=tty noide
	module /hurd/ext2fs.static ext2fs --readonly
}
menuentry 'recovery' {
	multiboot	/boot/gnumach-1.8-486-up.gz root=part:2:device:wd0 -s
}
`

// start is where the file system of a test's disk is, in bytes.
const start = 4 << 20

// newDisk makes a disk with a tree in a file system that begins at start, and an
// MBR made by table; without one, at 0.
func newDisk(t *testing.T, tree map[string]string, table func(mbr []byte)) string {
	t.Helper()
	tool, err := extfs.Tool("mke2fs")
	if err != nil {
		t.Skip(err)
	}
	root := t.TempDir()
	for name, data := range tree {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	disk := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(disk, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, start+60<<20); err != nil {
		t.Fatal(err)
	}
	at := "0"
	if table != nil {
		at = "4194304"
	}
	if out, err := exec.Command(tool, "-q", "-F", "-t", "ext2", "-o", "hurd", "-b", "4096", "-I", "128",
		"-O", "none,ext_attr,sparse_super,large_file", "-E", "offset="+at, "-d", root, disk, "14000").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	if table != nil {
		mbr := make([]byte, 512)
		mbr[510], mbr[511] = 0x55, 0xaa
		table(mbr)
		f, err := os.OpenFile(disk, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(mbr, 0); err != nil {
			t.Fatal(err)
		}
	}
	return disk
}

// part writes an entry of an MBR.
func part(mbr []byte, number int, kind byte, start, size int) {
	e := mbr[446+16*(number-1):]
	e[4] = kind
	binary.LittleEndian.PutUint32(e[8:], uint32(start/512))
	binary.LittleEndian.PutUint32(e[12:], uint32(size/512))
}

// debianTable is swap first and the root second, as Debian's images have it.
func debianTable(mbr []byte) {
	part(mbr, 1, 0x82, 1<<20, 2<<20)
	part(mbr, 2, 0x83, start, 56<<20)
}

func identity(t *testing.T) images.Identity {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "test")
	if err != nil {
		t.Fatal(err)
	}
	return images.Identity{
		Name: "node1", MAC: [6]byte{2, 0, 0, 0, 0, 1}, Addr: netip.MustParsePrefix("10.77.0.11/24"),
		Gateway: netip.MustParseAddr("10.77.0.1"), DNS: netip.MustParseAddr("10.77.0.1"),
		Hosts:   map[string]netip.Addr{"node1": netip.MustParseAddr("10.77.0.11"), "node2": netip.MustParseAddr("10.77.0.12")},
		HostKey: pem.EncodeToMemory(block), AuthorizedKeys: []byte("ssh-ed25519 AAAA lab\n"),
		Netmsg: map[string]string{"key": "secret", "peers": "node2"}, Dir: t.TempDir(),
	}
}

// prepare makes the node's disk and returns its file system.
func prepare(t *testing.T, p *parts, id images.Identity) (*extfs.FS, []extfs.File) {
	t.Helper()
	files, err := p.nodeFiles(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	disk, flat := filepath.Join(id.Dir, "disk.qcow2"), filepath.Join(id.Dir, "flat")
	if err := (&overlay.Base{File: p.fs.File, Format: "raw", Offset: p.fs.Offset}).Create(t.Context(), disk, files); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qemu-img", "convert", "-O", "raw", disk, flat).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f := &extfs.FS{File: flat, Offset: p.fs.Offset}
	if err := f.Check(t.Context()); err != nil {
		t.Error(err)
	}
	return f, files
}

func fakePrograms(t *testing.T) map[string]string {
	list := make(map[string]string)
	for _, g := range programs {
		list[g.name] = filepath.Join(t.TempDir(), g.name)
		if err := os.WriteFile(list[g.name], bytes.Repeat([]byte(g.name), 100_000), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func TestDebian(t *testing.T) {
	l, err := inspect(t.Context(), newDisk(t, debianTree(i386), debianTable))
	if err != nil {
		t.Fatal(err)
	}
	if l.partition != 2 || l.arch != "386" || !l.bootLoader() || !l.network() || l.kernel != "/boot/gnumach-1.8-486-up.gz" {
		t.Fatalf("%+v", l)
	}
	p := &parts{layout: l, programs: fakePrograms(t)}
	id := identity(t)
	f, files := prepare(t, p, id)
	for name, want := range map[string][]string{
		"/etc/hostname":              {"node1\n"},
		"/etc/hosts":                 {"10.77.0.12 node2\n", "127.0.0.1 localhost"},
		"/etc/resolv.conf":           {"nameserver 10.77.0.1\n"},
		"/root/.ssh/authorized_keys": {string(id.AuthorizedKeys)},
		hostKeyFile:                  {string(id.HostKey)},
		hostKeyFile + ".pub":         {"ssh-ed25519 "},
		sshConfig:                    {"HostKey " + hostKeyFile, "PermitRootLogin prohibit-password", "Include"},
		grubConfig:                   {"wd0 noide console=com0\n", "wd0 -s console=com0\n", "terminal_output serial", markLoader},
		grubDefaults:                 {"GRUB_DEFAULT=0\n", "console=com0"},
		inittab:                      {"id:2:initdefault:\n", "hl:2345:respawn:" + nodeInit},
		"/etc/netmsg/key":            {"secret"},
		"/etc/network/interfaces":    {"showtrans"},
		nodeInit:                     {"nodeinit"},
		"/hurd/netmsg":               {"netmsg"},
	} {
		got, err := f.ReadFile(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, w := range want {
			if !strings.Contains(string(got), w) {
				t.Errorf("%s has no %q:\n%.300s", name, w, got)
			}
		}
	}
	if got, _ := f.ReadFile(t.Context(), grubConfig); strings.Contains(string(got), "console=tty") {
		t.Errorf("another console: %s", got)
	}
	for name, want := range map[string][]string{
		"/servers/socket/2":       {"/hurd/pfinet", "--interface=/dev/eth0", "--address=10.77.0.11", "--netmask=255.255.255.0", "--gateway=10.77.0.1", "--ipv6=/servers/socket/26"},
		"/dev/eth0":               {"/hurd/devnode", "-M", "/dev/netdde", "eth0"},
		"/n/node2":                {"/hurd/netmsg", "node2"},
		"/servers/exported/rexec": {"/hurd/rexec"},
	} {
		if got, err := f.Translator(t.Context(), name); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	infos, err := f.Stat(t.Context(), "/n/node1", "/bin/sh", "/usr/local/bin/ls", "/root/.ssh", hostKeyFile, imageInit)
	if err != nil {
		t.Fatal(err)
	}
	if infos["/n/node1"] != nil || infos["/bin/sh"] != nil || infos[imageInit] != nil || infos["/usr/local/bin/ls"] == nil {
		t.Errorf("files that should, and should not, be there: %+v", infos)
	}
	if infos["/root/.ssh"].Mode.Perm() != 0o700 || infos[hostKeyFile].Mode != 0o600 {
		t.Errorf("secrets: %+v, %+v", infos["/root/.ssh"], infos[hostKeyFile])
	}

	// Preparing the prepared changes nothing.
	before, err := os.ReadFile(f.File)
	if err != nil {
		t.Fatal(err)
	}
	again, err := inspect(t.Context(), f.File)
	if err != nil {
		t.Fatal(err)
	}
	files2, err := (&parts{layout: again, programs: p.programs}).nodeFiles(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]extfs.File{files, files2} {
		n, err := f.Apply(t.Context(), list)
		after, _ := os.ReadFile(f.File)
		if n != 0 || err != nil || !bytes.Equal(before, after) {
			t.Errorf("a second time %d files were changed, %v", n, err)
		}
	}

	m, err := p.machine("/x,y/disk", id)
	if err != nil {
		t.Fatal(err)
	}
	if m.QEMU != "qemu-system-i386" || m.NIC != "e1000" || m.Kernel != "" || m.MemoryMB != defaultMemoryMB || m.Stages[0].Mark != markLoader ||
		!slices.Contains(m.Args, "file=/x,,y/disk,format=qcow2,if=ide,cache.writeback=off,cache.no-flush=on") || !slices.Contains(m.Can, images.CanApt) {
		t.Errorf("%+v", m)
	}
	id.MemoryMB = 64
	if _, err := p.machine("/d", id); err == nil {
		t.Error("64 MB")
	}
}

// Without an address, the image asks for one itself.
func TestDHCP(t *testing.T) {
	l, err := inspect(t.Context(), newDisk(t, debianTree(i386), debianTable))
	if err != nil {
		t.Fatal(err)
	}
	id := identity(t)
	id.Addr = netip.Prefix{}
	f, _ := prepare(t, &parts{layout: l, programs: fakePrograms(t)}, id)
	if got, _ := f.ReadFile(t.Context(), "/etc/network/interfaces"); !strings.Contains(string(got), "inet dhcp") {
		t.Errorf("interfaces: %s", got)
	}
	if got, _ := f.Translator(t.Context(), "/servers/socket/2"); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

// An image that has no init of its own has none when it is prepared again, as a kept one is.
func TestNoInit(t *testing.T) {
	tree := bareTree()
	delete(tree, "libexec/runsystem")
	file := newDisk(t, tree, nil)
	for range 2 {
		l, err := inspect(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		f, _ := prepare(t, &parts{layout: l, programs: fakePrograms(t)}, identity(t))
		var c nodeinit.Config
		b, err := f.ReadFile(t.Context(), nodeinit.ConfigFile)
		if err == nil {
			err = json.Unmarshal(b, &c)
		}
		if infos, err := f.Stat(t.Context(), runsystem); err != nil || infos[runsystem] == nil || infos[runsystem].Target != nodeInit {
			t.Errorf("%+v, %v", infos, err)
		}
		if err != nil || c.Then != "" || len(c.First) == 0 {
			t.Errorf("%+v, %v", c, err)
		}
		file = f.File
	}
}

func TestBareHurd(t *testing.T) {
	l, err := inspect(t.Context(), newDisk(t, bareTree(), nil))
	if err != nil {
		t.Fatal(err)
	}
	if l.partition != 0 || l.bootLoader() || l.network() {
		t.Fatalf("%+v", l)
	}
	m := &image{opt: Options{CacheDir: t.TempDir()}}
	p := &parts{layout: l, programs: fakePrograms(t)}
	if p.boot, err = m.direct(t.Context(), l, new(quiet)); err != nil {
		t.Fatal(err)
	}
	id := identity(t)
	f, files := prepare(t, p, id)
	infos, err := f.Stat(t.Context(), runsystem, "/bin/sh", "/usr/local/bin/ls", imageInit)
	if err != nil {
		t.Fatal(err)
	}
	if infos[runsystem].Target != nodeInit || infos["/bin/sh"] == nil || infos["/usr/local/bin/ls"] == nil {
		t.Errorf("%+v", infos)
	}
	if b, err := f.ReadFile(t.Context(), imageInit); err != nil || !strings.Contains(string(b), "own") {
		t.Errorf("the image's own init: %q, %v", b, err)
	}
	if got, _ := f.Translator(t.Context(), "/servers/socket/2"); len(got) == 0 || got[0] != ownPfinet || got[1] != "--interface=02:00:00:00:00:01" {
		t.Errorf("network: %q", got)
	}
	b, err := f.ReadFile(t.Context(), nodeinit.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	var c nodeinit.Config
	if err := json.Unmarshal(b, &c); err != nil || c.Then != imageInit || len(c.Services) != 2 || !slices.Contains(c.Services[0].Argv, ":22") {
		t.Errorf("%+v, %v", c, err)
	}
	// The init that was moved stays where it is.
	again, err := inspect(t.Context(), f.File)
	if err != nil {
		t.Fatal(err)
	}
	files2, err := (&parts{layout: again, programs: p.programs}).nodeFiles(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]extfs.File{files, files2} {
		if n, err := f.Apply(t.Context(), list); n != 0 || err != nil {
			t.Errorf("a second time %d files were changed, %v", n, err)
		}
	}
	// Its disk as that of a node of another lab: the mounts are that one's.
	other := identity(t)
	other.Hosts = map[string]netip.Addr{other.Name: netip.MustParseAddr("10.0.0.1"), "elsewhere": netip.MustParseAddr("10.0.0.7")}
	if again, err = inspect(t.Context(), f.File); err != nil {
		t.Fatal(err)
	}
	files3, err := (&parts{layout: again, programs: p.programs}).nodeFiles(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Apply(t.Context(), files3); err != nil {
		t.Fatal(err)
	}
	if names, err := f.List(t.Context(), "/n"); err != nil || !slices.Equal(names, []string{"elsewhere"}) {
		t.Errorf("mounts %q, %v", names, err)
	}
	if err := f.Check(t.Context()); err != nil {
		t.Error(err)
	}
	v, err := p.machine("/d", id)
	if err != nil {
		t.Fatal(err)
	}
	if v.Append != "root=device:hd0 console=com0" || len(v.Modules) != 2 || v.NIC != "virtio-net-pci" || v.Stages[0].Name != "kernel" {
		t.Errorf("%+v", v)
	}
	if k, err := os.ReadFile(v.Kernel); err != nil || !strings.HasSuffix(string(k), "kernel") {
		t.Errorf("kernel %q, %v", k, err)
	}
}

type quiet struct{ said string }

func (*quiet) Step(string) func(error)        { return func(error) {} }
func (q *quiet) Logf(format string, a ...any) { q.said += fmt.Sprintf(format, a...) + "\n" }

func TestAMD64(t *testing.T) {
	disk := newDisk(t, debianTree(amd64), debianTable)
	m := File(disk, Options{CacheDir: t.TempDir()})
	p := new(quiet)
	if err := m.Prepare(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.said, "none of hurdlab's programs") {
		t.Errorf("it does not say what it lacks: %q", p.said)
	}
	v, err := m.Machine(t.Context(), identity(t))
	if err != nil {
		t.Fatal(err)
	}
	if v.QEMU != "qemu-system-x86_64" || slices.Contains(v.Can, images.CanGo) {
		t.Errorf("%+v", v)
	}
	for _, lacks := range []string{"usr/sbin/sshd", "boot/grub/grub.cfg", "hurd/netdde"} {
		tree := debianTree(amd64)
		delete(tree, lacks)
		var bad *ImageError
		if err := File(newDisk(t, tree, debianTable), Options{CacheDir: t.TempDir()}).Prepare(t.Context(), new(quiet)); !errors.As(err, &bad) || bad.Do == "" {
			t.Errorf("without %s: %v", lacks, err)
		}
	}
}

func TestInspectFails(t *testing.T) {
	change := func(disk string, f func(b []byte)) string {
		b, err := os.ReadFile(disk)
		if err != nil {
			t.Fatal(err)
		}
		f(b)
		if err := os.WriteFile(disk, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return disk
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, disk := range map[string]string{
		"nothing":   empty,
		"no hurd":   newDisk(t, map[string]string{"etc/passwd": ""}, debianTable),
		"swap only": newDisk(t, debianTree(i386), func(mbr []byte) { part(mbr, 1, 0x82, 1<<20, 2<<20) }),
		"linux":     change(newDisk(t, debianTree(i386), debianTable), func(b []byte) { b[start+1024+72] = 0 }),
		"not clean": change(newDisk(t, debianTree(i386), debianTable), func(b []byte) { b[start+1024+58] = 0 }),
		"arm":       newDisk(t, map[string]string{"hurd/startup": program(40)}, debianTable),
		"no ELF":    newDisk(t, map[string]string{"hurd/startup": "#!/bin/sh"}, debianTable),
	} {
		var bad *ImageError
		if l, err := inspect(t.Context(), disk); !errors.As(err, &bad) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
	if _, err := inspect(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestEdits(t *testing.T) {
	for name, edit := range map[string]func([]byte) []byte{
		"grub": editGrub, "defaults": editGrubDefaults, "inittab": editInittab, "ssh": editSSH,
	} {
		for _, in := range []string{"", "a\nb\n", "no end", grubCfg} {
			once := edit([]byte(in))
			if twice := edit(once); !bytes.Equal(once, twice) {
				t.Errorf("%s of %.20q: twice is\n%s\nonce\n%s", name, in, twice, once)
			}
			if name != "grub" && !strings.Contains(string(once), in) {
				t.Errorf("%s of %.20q lost something: %s", name, in, once)
			}
		}
	}
	if got := rootHome([]byte("x\ndaemon:x:1:1::/:\nroot:x:0:0:root:/home/root:/bin/sh\n")); got != "/home/root" {
		t.Error(got)
	}
	if got := rootHome([]byte("root")); got != "/root" {
		t.Error(got)
	}
}
