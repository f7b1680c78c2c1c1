package rexec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// node1 is what a client has to do with on its own node: files, netmsg, proc.
type node1 struct {
	proto.UnimplementedFS
	proto.UnimplementedIO
	proto.UnimplementedProc
	proto.UnimplementedNetmsg

	w     *world
	user  []uint32 // whom node2's policy makes of this user
	refus error    // of netmsg
	files map[string]uint32

	mu  sync.Mutex
	log []string
}

func (n *node1) did(format string, args ...any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = append(n.log, fmt.Sprintf(format, args...))
	return nil
}

// A node1File is an open file.
type node1File struct {
	*node1
	mode uint32
}

func (f *node1File) IOStat(context.Context) (proto.Stat, error) { return proto.Stat{Mode: f.mode}, nil }

func (n *node1) DirLookup(_ context.Context, name string, flags, _ int32) (int32, string, mach.Port, error) {
	mode, ok := n.files[name]
	if !ok {
		return 0, "", mach.Null, proto.ENOENT
	}
	return proto.RetryNormal, "", n.w.k.NewPort(proto.Handler(&node1File{n, mode})), nil
}

func (n *node1) NetmsgService(ctx context.Context, node, export string) (mach.Port, error) {
	n.did("service %s %s", node, export)
	if n.refus != nil {
		return mach.Null, n.refus
	}
	return n.w.as(n.user...), nil
}

func (n *node1) ProcMarkStop(_ context.Context, sig, _ int32) error { return n.did("stop %d", sig) }
func (n *node1) ProcMarkCont(context.Context) error                 { return n.did("cont") }
func (n *node1) ProcMarkExit(_ context.Context, status, _ int32) error {
	return n.did("exit %#x", status)
}

func newClient(t *testing.T) (*node1, *Client) {
	w := newWorld(t)
	n := &node1{w: w, user: []uint32{1000}, files: map[string]uint32{
		"servers/netmsg": proto.S_IFREG | 0o666, "bin/p": proto.S_IFREG | 0o755, "bin/text": proto.S_IFREG | 0o644, "bin/dir": proto.S_IFDIR | 0o755,
	}}
	port := func() mach.Port { return w.k.NewPort(proto.Handler(n)) }
	self := &hurd.Process{Root: port(), CWD: port(), Proc: port(), FDs: []mach.Port{port(), mach.Null, port()}}
	return n, &Client{Self: self}
}

func TestClient(t *testing.T) {
	n, c := newClient(t)
	w := n.w
	before := w.k.Ports()
	c.Started = func(job mach.Port) {
		news := w.fake.news[101]
		go func() {
			for _, s := range []int32{proto.SIGTSTP<<8 | 0x7f, continued, 5 << 8} {
				news <- State{Status: s}
			}
		}()
	}
	s, err := c.Run(w.ctx, Command{Node: "node2", Args: []string{"p", "x"}, Env: []string{"PATH=/nowhere:/bin"}})
	if err != nil || s.Code() != 5 {
		t.Fatal(s, err)
	}
	if p := w.fake.started; p.Path != "/bin/p" || !slices.Equal(p.Args, []string{"p", "x"}) || p.Root != c.Self.Root || p.CWD != c.Self.CWD || !slices.Equal(p.FDs, c.Self.FDs) {
		t.Errorf("%+v", p)
	}
	log := strings.Join(n.log, "; ")
	// A stop that is over before it is looked at may not be seen.
	if !strings.HasPrefix(log, "service node2 exec; ") || !strings.HasSuffix(log, "exit 0x500") {
		t.Error(log)
	}
	if after := w.k.Ports(); !slices.Equal(after, before) {
		t.Errorf("ports %v, before %v", after, before)
	}
}

// What a client ends with when its program does not run, or nobody knows how it ended.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(n *node1, c *Client, cmd *Command)
		status int
		text   string
	}{
		{"no such program", func(n *node1, c *Client, cmd *Command) { cmd.Args[0] = "q" }, 127, "q: not found"},
		{"no program", func(n *node1, c *Client, cmd *Command) { cmd.Args[0] = "text" }, 126, "cannot be run"},
		{"a directory", func(n *node1, c *Client, cmd *Command) { cmd.Args[0] = "/bin/dir" }, 126, "cannot be run"},
		{"no such node", func(n *node1, c *Client, cmd *Command) { n.refus = proto.ENXIO }, 255, "not in the list"},
		{"no such export", func(n *node1, c *Client, cmd *Command) { n.refus = proto.ENOENT }, 255, "policy"},
		{"unreachable", func(n *node1, c *Client, cmd *Command) { n.refus = proto.EHOSTUNREACH }, 255, "cannot be reached"},
		{"no netmsg", func(n *node1, c *Client, cmd *Command) { n.refus = proto.EOPNOTSUPP }, 255, "netmsg serve"},
		{"nobody", func(n *node1, c *Client, cmd *Command) { n.user = nil }, 255, "nobody on node2"},
		{"no such program there", func(n *node1, c *Client, cmd *Command) { n.w.fake.fail = proto.ENOENT; cmd.There = true }, 127, "p: not found on node2"},
		{"not a program there", func(n *node1, c *Client, cmd *Command) { n.w.fake.fail = proto.ENOEXEC }, 126, "on node2"},
		{"lost", func(n *node1, c *Client, cmd *Command) {
			c.Started = func(job mach.Port) { n.w.k.Kill(job) }
		}, 255, "lost node2"},
	} {
		n, c := newClient(t)
		cmd := Command{Node: "node2", Args: []string{"p"}, Env: []string{"PATH=/bin"}}
		tt.change(n, c, &cmd)
		_, err := c.Run(n.w.ctx, cmd)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Status != tt.status || !strings.Contains(e.Error(), tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
		for _, l := range n.log {
			if strings.HasPrefix(l, "exit") {
				t.Errorf("%s: %s", tt.name, l)
			}
		}
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	w := newWorld(t)
	job, _, err := w.start(w.as(0), nil)
	if err != nil {
		t.Fatal(err)
	}
	task, tty, other := w.k.NewPort(nil), w.k.NewPort(nil), w.k.NewPort(nil)
	msg := w.k.NewPort(proto.Handler(&Signals{Self: &hurd.Process{CTTY: tty}, Task: task, Job: job}))
	for _, tt := range []struct {
		signal int32
		ref    mach.Port
		want   mach.KernReturn
	}{
		{proto.SIGTERM, task, mach.KernSuccess}, {proto.SIGSTOP, task, mach.KernSuccess}, {0, task, mach.KernSuccess}, {proto.SIGCHLD, task, mach.KernSuccess},
		{proto.SIGINT, tty, mach.KernSuccess}, {proto.SIGTERM, tty, proto.EPERM}, {proto.SIGINT, other, proto.EPERM}, {proto.SIGCONT, other, proto.EPERM},
		{99, task, proto.EINVAL}, {proto.SIGTERM, mach.Null, proto.EPERM},
	} {
		if err := proto.MsgSigPost(w.ctx, msg, tt.signal, 0, tt.ref); proto.Code(err) != tt.want {
			t.Errorf("signal %d: %v, want %v", tt.signal, err, tt.want)
		}
	}
	want := []string{"15 to 101", "17 to 101", "2 to -101"}
	if log := w.fake.did(); !slices.Equal(log, want) {
		t.Errorf("%q", log)
	}
	for _, p := range []mach.Port{task, tty, other} {
		if n := w.k.Rights(p); n != 1 {
			t.Errorf("%d rights are left of %v", n, p)
		}
	}
}

func TestLeast(t *testing.T) {
	down := errors.New("down")
	for _, tt := range []struct {
		list []Load
		want string
	}{
		{[]Load{{Node: "a", Load: 1, Free: 1 << 30}, {Node: "b", Load: 0.25, Free: 1 << 30}}, "b"},
		{[]Load{{Node: "a", Load: 1, Free: 1 << 30}, {Node: "b", Load: 0.75, Free: 1 << 30}}, "a"},
		{[]Load{{Node: "a", Load: 1, Free: 1 << 30}, {Node: "b", Load: 0.25, Free: 1 << 30}, {Node: "c", Load: 0, Free: 1 << 30}}, "c"},
		{[]Load{{Node: "a", Err: down}, {Node: "b", Load: 0.25, Free: 1 << 30}, {Node: "c", Load: 0, Free: 1 << 30}}, "c"},
		{[]Load{{Node: "a", Load: 1, Free: 1 << 30}, {Node: "b", Load: 1, Free: 1 << 30}}, "a"},
		{[]Load{{Node: "a", Load: 1, Free: 1 << 30}, {Node: "b", Load: 0, Free: 1 << 20}}, "a"},
		{[]Load{{Node: "a", Load: 1, Free: 1 << 20}, {Node: "b", Load: 0, Free: 1 << 20}}, "b"},
		{[]Load{{Node: "a", Err: down}, {Node: "b", Load: 9, Free: 1 << 20}}, "b"},
		{[]Load{{Node: "a", Err: down}}, ""},
	} {
		if l, err := Least(tt.list); l.Node != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%v: %v, %v", tt.list, l, err)
		}
	}
}

var _ translator.Node = (*Server)(nil)
