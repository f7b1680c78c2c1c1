// Package sysinit is the init system of a node, process 1: it makes the node
// what the lab says that it is, starts what is to run, and starts it again
// when it ends.
package sysinit

import (
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"hurdlab/images/mach/nodeconfig"
)

// A File is a file or a directory that a node gets at its start.
type File struct {
	Path string
	Mode fs.FileMode
	UID  int // and GID
	Data string
}

// A User is who can log in.
type User struct {
	Name string
	UID  int
	Home string
}

// Users are those of every node: root, and one without privileges for tests
// of permissions.
var Users = []User{{"root", 0, "/root"}, {"user", 1000, "/home/user"}}

// Where the files are that sshd needs.
const (
	HostKeyFile = "/etc/ssh/ssh_host_key"
	// AuthorizedKeys is relative to a user's home.
	AuthorizedKeys = ".ssh/authorized_keys"
)

// NetmsgDir is where the files are that netmsg needs.
const NetmsgDir = "/etc/netmsg"

// Mounts are the nodes that are mounted on a node, each on /n/NAME.
func Mounts(c *nodeconfig.Config) []string {
	if len(c.Netmsg) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Hosts)), func(name string) bool { return name == c.Name })
}

// Files are the files of a node with a configuration, directories before what
// is in them.
func Files(c *nodeconfig.Config) []File {
	var passwd, group strings.Builder
	for _, u := range Users {
		fmt.Fprintf(&passwd, "%s:x:%d:%d:%s:%s:/bin/sh\n", u.Name, u.UID, u.UID, u.Name, u.Home)
		fmt.Fprintf(&group, "%s:x:%d:\n", u.Name, u.UID)
	}
	files := []File{
		{Path: "/etc/hostname", Mode: 0o644, Data: c.Name + "\n"},
		{Path: "/etc/hosts", Mode: 0o644, Data: hosts(c.Hosts)},
		{Path: "/etc/passwd", Mode: 0o644, Data: passwd.String()},
		{Path: "/etc/group", Mode: 0o644, Data: group.String()},
	}
	if c.DNS.IsValid() {
		files = append(files, File{Path: "/etc/resolv.conf", Mode: 0o644, Data: "nameserver " + c.DNS.String() + "\n"})
	}
	if len(c.Netmsg) > 0 {
		files = append(files, File{Path: NetmsgDir, Mode: fs.ModeDir | 0o700})
		for _, name := range slices.Sorted(maps.Keys(c.Netmsg)) {
			files = append(files, File{Path: NetmsgDir + "/" + name, Mode: 0o600, Data: c.Netmsg[name]})
		}
	}
	files = append(files, File{Path: HostKeyFile, Mode: 0o600, Data: c.HostKey})
	for _, u := range Users {
		files = append(files,
			File{Path: u.Home + "/.ssh", Mode: fs.ModeDir | 0o700, UID: u.UID},
			File{Path: u.Home + "/" + AuthorizedKeys, Mode: 0o600, UID: u.UID, Data: c.AuthorizedKeys})
	}
	return files
}

func hosts(list map[string]netip.Addr) string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, name := range slices.Sorted(maps.Keys(list)) {
		fmt.Fprintf(&b, "%s %s\n", list[name], name)
	}
	return b.String()
}

// Pfinet is the command of the node's network server.
func Pfinet(c *nodeconfig.Config) []string {
	argv := []string{"/hurd/pfinet"}
	if c.MAC != "" {
		argv = append(argv, "--interface="+c.MAC)
	}
	argv = append(argv, "--address="+c.Addr.Addr().String(), "--netmask="+net.IP(net.CIDRMask(c.Addr.Bits(), 32)).String())
	if c.Gateway.IsValid() {
		argv = append(argv, "--gateway="+c.Gateway.String())
	}
	return argv
}

// Env is the environment of what runs for a user of a node.
func Env(c *nodeconfig.Config, u User) []string {
	return []string{"PATH=/bin", "HOME=" + u.Home, "TMPDIR=/tmp", "USER=" + u.Name, "LOGNAME=" + u.Name, "SHELL=/bin/sh", "HOSTNAME=" + c.Name}
}
