package labtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"hurdlab/images/mach/scp"
	"hurdlab/images/mach/sshd"
)

// serveSSH starts the network and the SSH server.
func (m *machine) serveSSH() error {
	st, err := newStack(m.nic, m.id)
	if err != nil {
		return err
	}
	host, err := ssh.ParsePrivateKey(m.id.HostKey)
	if err != nil {
		return err
	}
	keys, err := sshd.ParseAuthorizedKeys(m.id.AuthorizedKeys)
	if err != nil {
		return err
	}
	root := filepath.Join(m.id.Dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "tmp"), 0o777); err != nil {
		return err
	}
	srv, err := sshd.New(sshd.Config{
		HostKey: host, Authorized: keys, User: "root",
		Run: func(ctx context.Context, s *sshd.Session) sshd.Exit { return m.command(ctx, root, s) },
	})
	if err != nil {
		return err
	}
	l, err := gonet.ListenTCP(st, tcpip.FullAddress{Port: 22}, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	go srv.Serve(context.Background(), l)
	return nil
}

// command runs one of the few commands there are.
func (m *machine) command(ctx context.Context, root string, s *sshd.Session) sshd.Exit {
	args := strings.Fields(s.Command)
	for i := range args {
		args[i] = strings.Trim(args[i], `'"`)
	}
	if len(args) == 0 {
		return sshd.Exit{Status: 0} // a shell with nothing to say
	}
	switch args[0] {
	case "true":
		return sshd.Exit{}
	case "echo":
		fmt.Fprintln(s.Stdout, strings.Join(args[1:], " "))
		return sshd.Exit{}
	case "command":
		fmt.Fprint(s.Stdout, s.Command) // unparsed
		return sshd.Exit{}
	case "err":
		fmt.Fprintln(s.Stderr, strings.Join(args[1:], " "))
		return sshd.Exit{Status: 1}
	case "exit":
		n, _ := strconv.Atoi(args[1])
		return sshd.Exit{Status: n}
	case "cat":
		io.Copy(s.Stdout, s.Stdin)
		return sshd.Exit{}
	case "hostname":
		fmt.Fprintln(s.Stdout, m.id.Name)
		return sshd.Exit{}
	case "sleep": // for ever
		fmt.Fprintf(m.console, "labtest sleeps\r\n")
		defer fmt.Fprintf(m.console, "labtest woke up\r\n")
		select {
		case sig := <-s.Signals:
			return sshd.Exit{Signal: sig}
		case <-ctx.Done():
			return sshd.Exit{Signal: "HUP"}
		}
	case "grumble": // trouble that a machine survives
		fmt.Fprintf(m.console, "fatal error: %s\r\n", strings.Join(args[1:], " "))
		return sshd.Exit{}
	case "panic":
		fmt.Fprintf(m.console, "panic ../kern/labtest.c:3: panic: asked to\r\n")
		select {}
	case "crash":
		m.crash()
	case "mkdir":
		if err := os.MkdirAll(filepath.Join(root, args[len(args)-1]), 0o755); err != nil {
			fmt.Fprintln(s.Stderr, err)
			return sshd.Exit{Status: 1}
		}
		return sshd.Exit{}
	case "scp":
		return sshd.Exit{Status: scp.Server{Root: root}.Run(args[1:], s.Stdin, s.Stdout)}
	}
	fmt.Fprintf(s.Stderr, "%s: not found\n", args[0])
	return sshd.Exit{Status: 127}
}
