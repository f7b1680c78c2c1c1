package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"hurdlab/images"
	"hurdlab/images/debian/extfs"
	"hurdlab/images/debian/nodeinit"
	"hurdlab/images/mach/sysinit"
	"hurdlab/images/mach/tools"
	goport "hurdlab/patches/go"
)

// Where hurdlab's own files are on a node.
const (
	libDir      = "/usr/local/lib/hurdlab"
	nodeInit    = libDir + "/nodeinit"
	ownPfinet   = libDir + "/pfinet"
	ownSSHD     = libDir + "/sshd"
	ownTools    = libDir + "/tools"
	hostKeyFile = "/etc/ssh/ssh_host_ed25519_key"
	// imageInit is the image's own runsystem, when ours is in its place.
	imageInit = runsystem + ".image"
)

// programs are hurdlab's, by their packages, and where they go.
var programs = []struct{ name, pkg, path string }{
	{"netmsg", "./netmsg/cmd/netmsg", "/hurd/netmsg"},
	{"nodeinit", "./images/debian/cmd/nodeinit", nodeInit},
	{"pfinet", "./images/mach/cmd/pfinet", ownPfinet},
	{"rexec", "./netmsg/rexec/cmd/rexec", "/hurd/rexec"},
	{"sshd", "./images/mach/cmd/sshd", ownSSHD},
	{"tools", "./images/mach/cmd/tools", ownTools},
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// build builds the programs and returns the files.
func (m *image) build(ctx context.Context, p images.Progress) (files map[string]string, err error) {
	tc, err := goport.Ensure(ctx, goport.Options{CacheDir: m.opt.CacheDir, Progress: p})
	if err != nil {
		return nil, err
	}
	done := p.Step("build the node's programs")
	defer func() { done(err) }()
	tmp, err := os.MkdirTemp(m.opt.CacheDir, ".build-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	args := []string{"build", "-trimpath", "-ldflags=-s -w", "-o", tmp + string(filepath.Separator)}
	for _, g := range programs {
		args = append(args, g.pkg)
	}
	cmd, err := tc.CommandIn(ctx, m.opt.Source, args...)
	if err != nil {
		return nil, err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("build the node's programs in %s: %w\n%s", m.opt.Source, err, out)
	}
	files = make(map[string]string)
	for _, g := range programs {
		b, err := os.ReadFile(filepath.Join(tmp, g.name))
		if err != nil {
			return nil, err
		}
		// The Hurd's exec wants a file that is longer than its last segment.
		if files[g.name], err = m.store(g.name, append(b, 0)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// nodeFiles are the files that make the image the node's disk.
func (p *parts) nodeFiles(ctx context.Context, id images.Identity) ([]extfs.File, error) {
	passwd, err := p.passwd(ctx)
	if err != nil {
		return nil, err
	}
	home := rootHome(passwd)
	key, err := ssh.ParsePrivateKey(id.HostKey)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	var files []extfs.File
	add := func(name string, mode fs.FileMode, data string) {
		files = append(files, extfs.File{Path: name, Mode: mode, Data: []byte(data)})
	}
	add("/etc/hostname", 0o644, id.Name+"\n")
	add("/etc/hosts", 0o644, hosts(id))
	if id.DNS.IsValid() {
		add("/etc/resolv.conf", 0o644, "nameserver "+id.DNS.String()+"\n")
	}
	if passwd == nil {
		add("/etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n")
	}
	add(home, fs.ModeDir|0o700, "")
	add(home+"/.ssh", fs.ModeDir|0o700, "")
	add(home+"/.ssh/authorized_keys", 0o600, string(id.AuthorizedKeys))
	add(hostKeyFile, 0o600, string(id.HostKey))
	add(hostKeyFile+".pub", 0o644, string(ssh.MarshalAuthorizedKey(key.PublicKey())))
	for _, e := range []struct {
		name string
		edit func([]byte) []byte
	}{{grubConfig, editGrub}, {grubDefaults, editGrubDefaults}, {sshConfig, editSSH}} {
		if i := p.files[e.name]; i != nil && i.Mode.IsRegular() {
			b, err := p.read(ctx, e.name)
			if err != nil {
				return nil, err
			}
			files = append(files, extfs.File{Path: e.name, Mode: i.Mode, UID: i.UID, GID: i.GID, Data: e.edit(b)})
		}
	}
	files = append(files, p.netFiles(id)...)
	if p.programs == nil {
		return files, nil
	}
	own, err := p.ownFiles(ctx, id, home)
	return append(files, own...), err
}

// hosts is /etc/hosts.
func hosts(id images.Identity) string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	for _, name := range slices.Sorted(maps.Keys(id.Hosts)) {
		fmt.Fprintf(&b, "%s %s\n", id.Hosts[name], name)
	}
	return b.String()
}

// netFiles set the network up: by pfinet's record on its node, which is what
// starts it when somebody first wants a socket. Without an address the image's
// own DHCP client gets one.
func (p *parts) netFiles(id images.Identity) []extfs.File {
	addr := func(argv ...string) []string {
		if id.Addr.IsValid() {
			argv = append(argv, "--address="+id.Addr.Addr().String(), "--netmask="+net.IP(net.CIDRMask(id.Addr.Bits(), 32)).String())
			if id.Gateway.IsValid() {
				argv = append(argv, "--gateway="+id.Gateway.String())
			}
		}
		return argv
	}
	const node = "/servers/socket/2"
	if !p.network() {
		return []extfs.File{{Path: node, Mode: 0o644, Translator: addr(ownPfinet, "--interface="+net.HardwareAddr(id.MAC[:]).String())}}
	}
	argv := addr(stockPfinet, "--interface="+eth0)
	if p.has(socket6) {
		argv = append(argv, "--ipv6="+socket6)
	}
	files := []extfs.File{{Path: node, Mode: 0o644, Translator: argv}}
	interfaces := "# The network is set up by pfinet's record: showtrans " + node + "\n"
	if !id.Addr.IsValid() {
		interfaces = "auto " + eth0 + "\niface " + eth0 + " inet dhcp\n"
	}
	files = append(files, extfs.File{Path: "/etc/network/interfaces", Mode: 0o644, Data: []byte(interfaces)})
	if !p.has(eth0) && p.has(devnode) && p.has(netdde) {
		files = append(files,
			extfs.File{Path: "/dev/netdde", Mode: 0o660, Translator: []string{netdde}},
			extfs.File{Path: eth0, Mode: 0o660, Translator: []string{devnode, "-M", "/dev/netdde", "eth0"}})
	}
	return files
}

// ownFiles are hurdlab's programs, and what starts them.
func (p *parts) ownFiles(ctx context.Context, id images.Identity, home string) ([]extfs.File, error) {
	var files []extfs.File
	// Relative ones, which lead to the same on another node: /n/NODE/usr/local/bin/ls.
	link := func(name, target string) {
		up := strings.Repeat("../", strings.Count(name, "/")-1)
		files = append(files, extfs.File{Path: name, Mode: fs.ModeSymlink | 0o777, Target: up + target[1:]})
	}
	for _, g := range programs {
		files = append(files, extfs.File{Path: g.path, Mode: 0o755, From: p.programs[g.name]})
	}
	link("/usr/local/bin/netmsg", "/hurd/netmsg")
	link("/usr/local/bin/rexec", "/hurd/rexec")
	missing, err := p.missing(ctx, append(tools.Names(), "sh"))
	if err != nil {
		return nil, err
	}
	for _, name := range missing {
		if name == "sh" {
			link("/bin/sh", ownTools)
		}
		link("/usr/local/bin/"+name, ownTools)
	}
	if len(id.Netmsg) > 0 {
		files = append(files,
			extfs.File{Path: sysinit.NetmsgDir, Mode: fs.ModeDir | 0o700},
			extfs.File{Path: "/servers/netmsg", Mode: 0o644},
			extfs.File{Path: "/servers/exported", Mode: fs.ModeDir | 0o700},
			extfs.File{Path: "/servers/exported/rexec", Mode: 0o600, Translator: []string{"/hurd/rexec"}})
		for _, name := range slices.Sorted(maps.Keys(id.Netmsg)) {
			files = append(files, extfs.File{Path: sysinit.NetmsgDir + "/" + name, Mode: 0o600, Data: []byte(id.Netmsg[name])})
		}
		for _, name := range slices.Sorted(maps.Keys(id.Hosts)) {
			if name != id.Name {
				files = append(files, extfs.File{Path: "/n/" + name, Mode: fs.ModeDir | 0o755, Translator: []string{"/hurd/netmsg", name}})
			}
		}
	}
	old, err := p.oldMounts(ctx, id)
	if err != nil {
		return nil, err
	}
	files = append(files, old...)
	config := p.initConfig(id, home)
	started, err := p.startFiles(ctx, config)
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		return nil, err
	}
	files = append(files, extfs.File{Path: nodeinit.ConfigFile, Mode: 0o644, Data: append(b, '\n')})
	return append(files, started...), nil
}

// oldMounts removes those of nodes that there are not: of the lab whose node's disk this
// was before it became an image.
func (p *parts) oldMounts(ctx context.Context, id images.Identity) ([]extfs.File, error) {
	names, err := p.fs.List(ctx, "/n")
	if err != nil {
		return nil, err
	}
	var files []extfs.File
	for _, name := range names {
		if _, there := id.Hosts[name]; there && name != id.Name && len(id.Netmsg) > 0 {
			continue
		}
		file := "/n/" + name
		argv, err := p.fs.Translator(ctx, file)
		if err != nil {
			return nil, err
		}
		if slices.Equal(argv, []string{"/hurd/netmsg", name}) {
			files = append(files, extfs.File{Path: file, Absent: true})
		}
	}
	return files, nil
}

// initConfig is what our init does.
func (p *parts) initConfig(id images.Identity, home string) *nodeinit.Config {
	env := []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + home, "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "TMPDIR=/tmp", "HOSTNAME=" + id.Name}
	listen := ":22"
	if p.has(openSSH) {
		listen = ":2222" // 22 is that of the image
	}
	c := &nodeinit.Config{
		Network:  "/servers/socket/2",
		Services: []nodeinit.Service{{Name: "sshd", Argv: []string{ownSSHD, "-listen", listen, "-host-key", hostKeyFile}, Env: env}},
	}
	if id.Addr.IsValid() {
		c.Addr = id.Addr.Addr().String()
	}
	if len(id.Netmsg) > 0 {
		c.Services = append(c.Services, nodeinit.Service{Name: "netmsg", Argv: []string{"/hurd/netmsg", "serve"}, Env: env})
	}
	return c
}

// startFiles have our init started: by sysvinit, which Debian has, or by the
// Hurd's startup in the place of the image's own, which it then starts.
func (p *parts) startFiles(ctx context.Context, c *nodeinit.Config) ([]extfs.File, error) {
	if i := p.files[inittab]; i != nil {
		b, err := p.read(ctx, inittab)
		if err != nil {
			return nil, err
		}
		return []extfs.File{{Path: inittab, Mode: i.Mode, UID: i.UID, GID: i.GID, Data: editInittab(b)}}, nil
	}
	// After a power cut the file system is read-only until somebody has checked
	// it; there is nobody here who could.
	c.First = [][]string{{ownTools, "fsysopts", "/", "--writable"}}
	files := []extfs.File{{Path: runsystem, Mode: fs.ModeSymlink | 0o777, Target: nodeInit}}
	i := p.files[runsystem]
	if i == nil || i.Target == nodeInit && !p.has(imageInit) {
		return files, nil // the image has none
	}
	c.Then = imageInit
	if i.Mode.IsRegular() {
		b, err := p.read(ctx, runsystem)
		if err != nil {
			return nil, err
		}
		files = append(files, extfs.File{Path: imageInit, Mode: i.Mode, UID: i.UID, GID: i.GID, Data: b})
	} else if i.Target != nodeInit {
		files = append(files, extfs.File{Path: imageInit, Mode: fs.ModeSymlink | 0o777, Target: i.Target})
	}
	return files, nil
}
