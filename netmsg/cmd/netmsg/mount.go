package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// server is where a node's netmsg is.
const server = "/servers/netmsg"

// errNoServer tells a person what is missing.
var errNoServer = errors.New("no netmsg runs on this node (" + server + " does not answer as one). " +
	"Start it: netmsg serve &")

// open opens the port of this node's netmsg.
func open(ctx context.Context) (mach.Port, error) {
	p, err := hurd.Self().Lookup(ctx, server, 0, 0)
	if err != nil {
		return mach.Null, fmt.Errorf("%w (%w)", errNoServer, err)
	}
	return p, nil
}

// mount is the translator NODE[:EXPORT]. It gives out rights of the other node, and
// has nothing to do with what they are used for.
func mount(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("netmsg", flag.ContinueOnError)
	if err := f.Parse(args); err != nil || f.NArg() != 1 {
		return fmt.Errorf("%q is no command and no node\n%s", strings.Join(args, " "), usage)
	}
	self := hurd.Self()
	if !self.Boot.Valid() {
		return fmt.Errorf("%w: settrans -a /n/%s /hurd/netmsg %s", translator.ErrNotTranslator, f.Arg(0), f.Arg(0))
	}
	m := &mounted{done: make(chan struct{})}
	m.node, m.export, _ = strings.Cut(f.Arg(0), ":")
	k := new(ports.Kernel)
	right, err := ports.ExportRight(k, proto.Handler(m), ports.Options{Gone: sync.OnceFunc(func() { close(m.done) })})
	if err != nil {
		return err
	}
	node, err := proto.FsysStartup(ctx, self.Boot, 0, proto.Move(right))
	if err != nil {
		return fmt.Errorf("become a translator: %w", err)
	}
	proto.Release(ctx, node)
	if self.Proc.Valid() {
		_ = proto.ProcMarkImportant(ctx, self.Proc)
	}
	<-m.done
	return nil
}

// mounted is the control port of a mount.
type mounted struct {
	proto.UnimplementedFsys
	node, export string
	done         chan struct{}

	mu     sync.Mutex
	server mach.Port // this node's netmsg
}

// call has this node's netmsg do something. The port may be one of a netmsg that has
// ended: then it is opened anew.
func (m *mounted) call(ctx context.Context, do func(server mach.Port) error) error {
	m.mu.Lock()
	p := m.server
	m.mu.Unlock()
	if p.Valid() {
		err := do(p)
		if !gone(err) {
			return err
		}
		m.mu.Lock()
		if m.server == p {
			proto.Release(ctx, p)
			m.server = mach.Null
		}
		m.mu.Unlock()
	}
	p, err := open(ctx)
	if err != nil {
		return err
	}
	if err := do(p); err != nil {
		proto.Release(ctx, p)
		return err
	}
	m.mu.Lock()
	p, m.server = m.server, p
	m.mu.Unlock()
	proto.Release(ctx, p)
	return nil
}

// gone reports whether an error says that the server has ended, or that what was found
// in its place is not netmsg: the file that it sits on, when it does not run.
func gone(err error) bool {
	for _, is := range []error{mach.SendInvalidDest, mach.MigServerDied, mach.MigBadID, proto.EOPNOTSUPP} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

func (m *mounted) FsysGetroot(ctx context.Context, dotdot mach.Port, uids, gids []int32, flags int32) (retry int32, name string, file mach.Port, err error) {
	err = m.call(ctx, func(server mach.Port) (err error) {
		retry, name, file, err = proto.NetmsgGetroot(ctx, server, m.node, m.export, proto.Copy(dotdot), uids, gids, flags)
		return err
	})
	if err == nil {
		proto.Release(ctx, dotdot)
		return retry, name, file, nil
	}
	if gone(err) || errors.Is(err, errNoServer) {
		fmt.Fprintf(os.Stderr, "netmsg %s: %v\n", m.node, errNoServer)
		err = proto.EIEIO
	}
	if proto.Code(err) == proto.ENOENT {
		// File systems of the Hurd take that for the end of the translator, and show what is
		// below it (libdiskfs): an empty directory instead of an error.
		err = proto.ENXIO
	}
	return 0, "", mach.Null, err
}

// FsysGoaway ends the mount. What was opened through it goes on: those rights are the
// other node's, not this translator's.
func (m *mounted) FsysGoaway(ctx context.Context, flags int32) error {
	go func() {
		// After the answer. That it may be cut off costs nothing.
		os.Exit(0)
	}()
	return nil
}

func (m *mounted) FsysSyncfs(context.Context, int32, int32) error { return nil }

// FsysGetOptions tells what the mount is of, and how the session with the node is, as an
// option that cannot be set.
func (m *mounted) FsysGetOptions(ctx context.Context) ([]byte, error) {
	args := []string{"/hurd/netmsg", m.node}
	if m.export != "" {
		args[1] += ":" + m.export
	}
	state := "no netmsg runs on this node"
	err := m.call(ctx, func(server mach.Port) error {
		text, err := proto.NetmsgStatus(ctx, server)
		if err == nil {
			state = sessionState(string(text), m.node)
		}
		return err
	})
	if err != nil && !gone(err) && !errors.Is(err, errNoServer) {
		return nil, err
	}
	return hurd.Argz(append(args, sessionOption+state)...), nil
}

const sessionOption = "--session="

// sessionState finds what a status says of the session with a node.
func sessionState(status, node string) string {
	for line := range strings.Lines(status) {
		if s, ok := strings.CutPrefix(line, "session with "+node+": "); ok {
			return strings.TrimSpace(s)
		}
	}
	return "none"
}

func (m *mounted) FsysGetSource(context.Context) (string, error) {
	return m.node + ":" + m.export, nil
}

// FsysSetOptions does what fsysopts is asked to: --reconnect.
func (m *mounted) FsysSetOptions(ctx context.Context, argz []byte, _ int32) error {
	if len(argz) > 4096 {
		return proto.E2BIG
	}
	for _, arg := range hurd.ParseArgz(argz) {
		switch arg {
		case "-reconnect", "--reconnect":
			err := m.call(ctx, func(server mach.Port) error { return proto.NetmsgReconnect(ctx, server, m.node) })
			if err != nil {
				return err
			}
		default:
			return proto.EINVAL
		}
	}
	return nil
}

func (m *mounted) FsysGetChildren(context.Context) ([]byte, []mach.Port, error) { return nil, nil, nil }
