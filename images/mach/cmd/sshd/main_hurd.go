// Command sshd is the SSH server of a node (packages sshd and session). Users
// are those of /etc/passwd, their keys in .ssh/authorized_keys at their homes
// or in /etc/ssh/authorized_keys. When it listens it says so on standard
// output (nodeconfig.MarkReady); later it writes only about connections that
// fail, to standard error if that is asked for by -v.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"golang.org/x/crypto/ssh"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/images/mach/ioport"
	"hurdlab/images/mach/nodeconfig"
	"hurdlab/images/mach/pty"
	"hurdlab/images/mach/session"
	"hurdlab/images/mach/sshd"
	"hurdlab/mach/vmem"
)

// heap bounds the heap, in bytes: some dozens of sessions. The packets of one that its
// program does not read can be 2 MB.
const heap = 12 << 20

func main() {
	// A node has little memory: collect early. And have room when there is little left, for
	// sessions by which somebody could see why.
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(heap)
	vmem.ReserveHeap(heap)
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "sshd:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	addr := flag.String("listen", ":22", "`address` to listen at")
	hostKey := flag.String("host-key", "/etc/ssh/ssh_host_key", "`file` with the host's private key")
	verbose := flag.Bool("v", false, "write about connections that fail")
	flag.Parse()

	b, err := os.ReadFile(*hostKey)
	if err != nil {
		return err
	}
	key, err := ssh.ParsePrivateKey(b)
	if err != nil {
		return fmt.Errorf("%s: %w", *hostKey, err)
	}
	logf := func(string, ...any) {}
	if *verbose {
		logf = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	}
	self := hurd.Self()
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	r := &session.Runner{
		Processes: session.OfProcess(self),
		Host:      &ioport.Host{Export: new(ports.Kernel), Auth: self.Auth},
		Account:   account,
		Env:       []string{"HOSTNAME=" + name},
		Post:      pty.Post(self),
	}
	srv, err := sshd.New(sshd.Config{HostKey: key, Authorize: authorize, Run: r.Run, Logf: logf})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", *addr)
	if err != nil {
		return err
	}
	fmt.Println(nodeconfig.MarkReady)
	return srv.Serve(ctx, l)
}

// account finds a user in /etc/passwd and /etc/group.
func account(name string) (*session.Account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	a := &session.Account{Name: u.Username, UID: uint32(uid), GID: uint32(gid), Home: u.HomeDir}
	if uid == 0 {
		return a, nil // who needs no groups
	}
	groups, err := u.GroupIds()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, g := range groups {
		if id, err := strconv.ParseUint(g, 10, 32); err == nil && uint32(id) != a.GID {
			a.Groups = append(a.Groups, uint32(id))
		}
	}
	return a, nil
}

// authorize looks for a key in the files that are for a user.
func authorize(name string, key ssh.PublicKey) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	for _, file := range []string{filepath.Join(u.HomeDir, ".ssh/authorized_keys"), "/etc/ssh/authorized_keys"} {
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		keys, err := sshd.ParseAuthorizedKeys(b)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, k := range keys {
			if string(k.Marshal()) == string(key.Marshal()) {
				return nil
			}
		}
	}
	return fmt.Errorf("key %s is not authorized for %s", ssh.FingerprintSHA256(key), name)
}
