package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"hurdlab/hurd"
	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
	"hurdlab/netmsg/bridge"
	"hurdlab/netmsg/door"
	"hurdlab/netmsg/late"
	"hurdlab/netmsg/programs"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/session"
	"hurdlab/netmsg/transport"
	"hurdlab/pager/hurdfile"
)

// A node is the netmsg of this node.
type node struct {
	self   rights.Incarnation
	over   transport.Transport
	bridge *bridge.Bridge
	ports  ports.Kernel
	proc   *hurd.Process
	policy policy
	tracer tracer
	mapped *hurdfile.Files

	programs programs.Cache
	paths    programs.Paths
	services services
	roots    roots
	exec     execServer
	executed executed
	memory   vmem.Pool // of messages

	sessions *session.Sessions
}

func serve(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("netmsg serve", flag.ExitOnError)
	listen := f.String("listen", ":2345", "`address` to take sessions at")
	peers := f.String("peers", "/etc/netmsg/peers", "`file` with names, addresses and keys of peers")
	policyFile := f.String("policy", "/etc/netmsg/policy", "`file` that says what is exported, and who users of peers are here")
	name := f.String("name", "", "name of this node; the host name if it is empty")
	key := f.String("key", keyFile, "`file` with this node's key")
	plain := f.Bool("plain", false, "plain TCP in place of TLS: nobody proves who they are, everybody on the way reads and changes everything")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("serve takes flags only, not %q", f.Arg(0))
	}
	if *name == "" {
		h, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("this node has no name (%w): say it with --name", err)
		}
		*name = h
	}
	list, err := transport.ReadPeers(*peers)
	if err != nil {
		return fmt.Errorf("who the peers are: %w. It is a file of lines NAME HOST:PORT KEY; netmsg keys show, run on a peer, prints its key", err)
	}
	var over transport.Transport
	if *plain {
		fmt.Fprintln(os.Stderr, "netmsg: WARNING: plain TCP: nobody proves who they are, and everybody on the way reads and changes everything")
		over = &transport.Plain{Self: *name, Peers: list, Wrap: late.Wrap}
	} else {
		k, err := transport.ReadKey(*key)
		if err != nil {
			return fmt.Errorf("this node's key: %w. Make one with: netmsg keys make", err)
		}
		over = &transport.TLS{Self: *name, Key: k, Peers: list, Wrap: late.Wrap}
	}
	n := &node{over: over, proc: hurd.Self()}
	n.programs.Ports = &n.ports
	limits, err := budget()
	if err != nil {
		return err
	}
	n.memory.Keep = limits.keep
	var e [8]byte
	rand.Read(e[:])
	n.self = rights.Incarnation{Node: rights.NodeID(*name), Epoch: binary.LittleEndian.Uint64(e[:]) | 1}
	n.policy.file, n.policy.log = *policyFile, n.log
	if err := n.policy.reload(); err != nil {
		return fmt.Errorf("what is exported: %w", err)
	}
	if n.mapped, err = n.files(ctx); err != nil {
		return err
	}
	n.bridge, err = bridge.New(bridge.Config{
		Self: n.self, Auth: n.proc.Auth, Local: n.local(), Trace: n.tracer.event, Dial: func(to rights.NodeID) { n.sessions.Dial(to) }, Door: n.door, Reauthenticate: n.reauth,
		Log: n.log, Memory: &n.memory, Owed: limits.queue / 4,
	})
	if err != nil {
		return err
	}
	n.sessions = session.New(session.Config{Self: n.self, Handler: n, Memory: &n.memory, Queue: limits.queue, Dial: func(ctx context.Context, to rights.NodeID) (net.Conn, error) {
		return n.over.Dial(ctx, string(to))
	}})
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	away, err := n.attach(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-away: // fsys_goaway
			cancel()
		case <-ctx.Done():
		}
	}()
	defer n.sessions.Close() // peers learn that it is no accident
	fmt.Fprintf(os.Stderr, "netmsg: %s listens at %s\n", n.self.Node, l.Addr())
	err = over.Serve(ctx, l, func(c *transport.Conn) { n.sessions.Accept(c, rights.NodeID(c.Peer())) }, func(from net.Addr, err error) {
		fmt.Fprintf(os.Stderr, "netmsg: refused %v: %v\n", from, err)
	})
	select {
	case <-away:
		return nil
	default:
		return err
	}
}

// Connected, Receive, Lost and Unreachable: [session.Handler].
func (n *node) Connected(s *session.Session) {
	takes := s.Takes()
	n.bridge.Connected(s.Peer(), takes.Window, takes.Budget, s)
}

func (n *node) Receive(s *session.Session, records []rights.Record) {
	n.bridge.Receive(s.Peer().Node, s, records)
}

func (n *node) Lost(s *session.Session, err error) {
	n.log("session with %v: %v", s.Peer(), err)
	n.bridge.Lost(s.Peer().Node, s)
	peer := s.Peer()
	n.programs.Forget(func(o programs.Owner) bool { return o.Node == string(peer.Node) && o.Epoch == peer.Epoch })
}

func (n *node) Unreachable(peer rights.NodeID, err error) {
	n.log("no session with %v: %v", peer, err)
	n.bridge.Unreachable(peer)
}

func (n *node) log(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "netmsg: "+format+"\n", args...)
}

// connectTime is how long a look-up waits for a session.
const connectTime = 15 * time.Second

// connect sees that there is a session with a peer. The error is one for a client of a
// file system; what happened is in the log.
func (n *node) connect(ctx context.Context, to rights.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	_, err := n.sessions.Connect(ctx, to)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, transport.ErrUnknown):
		return proto.ENXIO
	case errors.Is(err, transport.ErrRefused), errors.Is(err, transport.ErrNotPeer):
		return proto.EACCES
	case proto.Code(err) == proto.EIO:
		return proto.EHOSTUNREACH
	}
	return err
}

// door makes the right that is offered to a peer.
func (n *node) door(peer rights.NodeID) (mach.Port, error) {
	nowhere := func() (mach.Port, error) {
		return ports.ExportRight(&n.ports, ports.Identity(), ports.Options{})
	}
	d := &door.Door{Peer: peer, Policy: n.policy.current, Self: n.proc, Map: n.mapped.Map, Many: many, Nowhere: nowhere}
	return ports.ExportRight(&n.ports, proto.Handler(d), ports.Options{Gone: func() { d.Close(context.Background()) }})
}

func (n *node) reauth(ctx context.Context, peer rights.NodeID, file mach.Port, uids, gids []int32) (mach.Port, error) {
	d, err := n.bridge.Door(ctx, peer)
	if err != nil {
		return mach.Null, err
	}
	return proto.DoorReauth(ctx, d, file, uids, gids)
}

// attach makes this program the translator of /servers/netmsg. away is closed when it is
// to end.
func (n *node) attach(ctx context.Context) (away <-chan struct{}, err error) {
	c := translator.Config{Root: &root{n}, Name: "netmsg", FSType: proto.FSTypeMisc, Options: n.options(ctx)}
	if n.proc.Boot.Valid() {
		fs, under, err := translator.Startup(ctx, c, 0)
		if err != nil {
			return nil, err
		}
		proto.Release(ctx, under)
		return fs.Done(), nil
	}
	fs, err := translator.NewFS(c)
	if err != nil {
		return nil, err
	}
	fs.SetAuth(n.proc.Auth)
	control, err := fs.Control(ctx)
	if err != nil {
		return nil, err
	}
	at, err := n.proc.Lookup(ctx, server, proto.O_NOTRANS|proto.O_CREAT, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", server, err)
	}
	defer proto.Release(ctx, at)
	return fs.Done(), proto.FileSetTranslator(ctx, at, 0, proto.FS_TRANS_SET, 0, nil, proto.Move(control))
}

// options are what fsysopts can do at /servers/netmsg.
func (n *node) options(ctx context.Context) *flag.FlagSet {
	f := flag.NewFlagSet("netmsg", flag.ContinueOnError)
	f.BoolFunc("reload", "read the policy again", func(s string) error {
		if s != "true" { // its default, which is put back after an error
			return nil
		}
		return n.policy.reload()
	})
	f.Func("reconnect", "end the session with a `node` and open another", func(to string) error {
		if to == "" {
			return nil
		}
		return n.reconnect(ctx, rights.NodeID(to))
	})
	return f
}

// root is the file /servers/netmsg.
type root struct{ n *node }

func (r *root) Stat(context.Context) (translator.Stat, error) {
	return translator.Stat{Ino: 1, Mode: proto.S_IFREG | 0o666}, nil
}

func (r *root) Protocols(user translator.User, _ int32) []any {
	return []any{&client{n: r.n, user: user}}
}

// A client is who has /servers/netmsg open.
type client struct {
	proto.UnimplementedNetmsg
	n    *node
	user translator.User
}

func (c *client) NetmsgGetroot(ctx context.Context, to, export string, dotdot mach.Port, uids, gids []int32, flags int32) (int32, string, mach.Port, error) {
	if !c.user.IsRoot() {
		// Nobody speaks for others.
		u := c.user.Restrict(unsigned(uids), unsigned(gids))
		uids, gids = signed(u.UIDs), signed(u.GIDs)
	}
	if err := c.n.bridge.Settle(dotdot); err != nil {
		return 0, "", mach.Null, err
	}
	r := &mountRoot{n: c.n, node: rights.NodeID(to), export: export, dotdot: dotdot, uids: uids, gids: gids}
	if err := c.n.connect(ctx, r.node); err != nil {
		return 0, "", mach.Null, err
	}
	if flags == 0 && c.n.roots.plain(r) {
		if file, err := r.promise(); err == nil {
			return proto.RetryNormal, "", file, nil
		}
	}
	retry, name, file, err := r.open(ctx, flags)
	if err == nil {
		proto.Release(ctx, dotdot)
		c.n.roots.seen(r, retry == proto.RetryNormal && name == "" && file.Valid())
	}
	return retry, name, file, err
}

func unsigned(x []int32) []uint32 {
	y := make([]uint32, len(x))
	for i := range x {
		y[i] = uint32(x[i])
	}
	return y
}

func signed(x []uint32) []int32 {
	y := make([]int32, len(x))
	for i := range x {
		y[i] = int32(x[i])
	}
	return y
}

func (c *client) NetmsgStatus(context.Context) ([]byte, error) {
	n := c.n
	b := &strings.Builder{}
	fmt.Fprintf(b, "node %s, epoch %x\n", n.self.Node, n.self.Epoch)
	list := n.sessions.Sessions()
	slices.SortFunc(list, func(x, y *session.Session) int { return strings.Compare(string(x.Peer().Node), string(y.Peer().Node)) })
	if len(list) == 0 {
		fmt.Fprintln(b, "no sessions")
	}
	for _, s := range list {
		st := s.Stats()
		way := "took"
		if s.Dialled() {
			way = "opened"
		}
		fmt.Fprintf(b, "session with %s: %s %v ago; out %d records, %d bytes in %d writes, %d bytes wait; in %d records, %d bytes in %d reads", s.Peer().Node, way,
			time.Since(st.Since).Round(time.Second), st.Sent, st.Written, st.Writes, st.Queued, st.Received, st.Read, st.Reads)
		if st.RTT > 0 {
			fmt.Fprintf(b, "; round trip %v", st.RTT.Round(time.Microsecond))
		}
		fmt.Fprintln(b)
	}
	s := n.bridge.Stats()
	fmt.Fprintf(b, "messages: out %d, %d bytes; in %d, %d bytes; %d waited for a full queue, %d found a dead port, %d could not be carried\n",
		s.Out, s.BytesOut, s.In, s.BytesIn, s.Waited, s.Failed, s.Refused)
	fmt.Fprintf(b, "rights: %d of this node at peers, %d of peers here, %d dead; %d proxies, %d ports\n",
		s.Table.Homes, s.Table.Imports, s.Table.Dead, s.Proxies, s.Ports)
	ps := n.programs.Stats()
	fmt.Fprintf(b, "programs of other nodes: %d run, %d of them for the first time, %d before it was known what they are; %d are kept\n", ps.Hits+ps.Misses, ps.Misses, ps.Guesses, ps.Kept)
	fmt.Fprintf(b, "waiting: %d messages, %d bytes\n", s.Table.Waiting, s.Table.Bytes)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	used, kept := n.memory.Used()
	fmt.Fprintf(b, "memory: %d bytes of messages, %d kept for them, %d of Go's heap in use, %d from the system\n", used, kept, m.HeapInuse, m.Sys-m.HeapReleased)
	return []byte(b.String()), nil
}

// NetmsgReconnect ends the session with a peer and opens another. What was open through
// the old one is dead.
func (c *client) NetmsgReconnect(ctx context.Context, to string) error {
	if !c.user.IsRoot() {
		return proto.EPERM
	}
	return c.n.reconnect(ctx, rights.NodeID(to))
}

func (n *node) reconnect(ctx context.Context, to rights.NodeID) error {
	if s := n.sessions.Session(to); s != nil {
		s.Close(&rights.ProtocolError{Code: rights.CodeBye, Text: "reconnect"})
		n.bridge.Lost(to, s)
	}
	return n.connect(ctx, to)
}

func (c *client) NetmsgTrace(ctx context.Context, cursor int64, wait int32) (int64, []byte, error) {
	if !c.user.IsRoot() {
		return 0, nil, proto.EPERM // what others do is theirs
	}
	t := &c.n.tracer
	text, next, more := t.from(cursor)
	if more != nil && wait != 0 {
		// Not for ever: the tracer must know that somebody still looks.
		timer := time.NewTimer(traceTime / 2)
		defer timer.Stop()
		select {
		case <-more:
			text, next, _ = t.from(next)
		case <-timer.C:
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		}
	}
	return next, []byte(text), nil
}
