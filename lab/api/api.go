// Package api is how a lab's daemon is talked to: HTTP with JSON over a Unix
// socket in Linux's abstract name space, where nothing is left behind when
// the daemon is killed. Such sockets have no permissions, so both ends look
// at the user of the other.
//
// Some requests turn their connection into a stream of bytes ("Upgrade:
// hurdlab"). docs/lab.md lists the requests. Package labd serves them, package
// lab makes them.
package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"hurdlab/lab/problem"
	"hurdlab/lab/vnet"
)

// Status is the answer to GET /status.
type Status struct {
	Name     string       `json:"name"`
	Image    string       `json:"image"`
	State    string       `json:"state"` // of the lab: see state.LabUp and others
	Created  time.Time    `json:"created"`
	PID      int          `json:"pid"` // of the daemon
	Accel    string       `json:"accel"`
	AccelWhy string       `json:"accel_why"`
	Seed     uint64       `json:"seed"`
	Prefix   string       `json:"prefix"`
	Nodes    []NodeStatus `json:"nodes"`
	Net      vnet.State   `json:"net"`
	Forwards []Forward    `json:"forwards,omitempty"`
}

// NodeState is where a node is in its life; docs/lab.md draws it.
type NodeState string

const (
	// Off: not started, or stopped because somebody asked for that.
	Off NodeState = "off"
	// Booting: its machine runs and has not passed all stages of its boot.
	Booting NodeState = "booting"
	// Up: it has booted, and can be logged in to.
	Up NodeState = "up"
	// Panicked: its kernel has given up. The machine is still there to be
	// looked at.
	Panicked NodeState = "panicked"
	// Dead: its machine ended without being asked, or was ended because it
	// did not boot.
	Dead NodeState = "dead"
)

// NodeStatus is a node's part of the status.
type NodeStatus struct {
	Name  string    `json:"name"`
	Addr  string    `json:"addr"`
	MAC   string    `json:"mac"`
	State NodeState `json:"state"`
	Since time.Time `json:"since"` // of State
	// Why says how the node got into this state, if that needs saying.
	Why string `json:"why,omitempty"`
	// Stage is the last stage of its boot that it reached.
	Stage string `json:"stage,omitempty"`
	// BootTime is how long the last boot took that came to an end.
	BootTime time.Duration `json:"boot_time_ns,omitempty"`
	Boots    int           `json:"boots"`
	PID      int           `json:"pid,omitempty"` // of QEMU
	MemoryMB int           `json:"memory_mb"`     // of the guest
	// RSS is what QEMU occupies of the host's memory, in bytes.
	RSS int64 `json:"rss,omitempty"`
	// Trouble counts the lines on its console that meant trouble.
	Trouble int `json:"trouble"`
	// Can lists what the node can do; see package images.
	Can []string `json:"can,omitempty"`
}

// Forward is a port of the host that leads to one of a node.
type Forward struct {
	Listen string `json:"listen"`
	Node   string `json:"node"`
	Port   uint16 `json:"port"`
}

// Net is the answer to GET /net.
type Net struct {
	State    vnet.State    `json:"state"`
	Counters vnet.Counters `json:"counters"`
}

// Partition is the body of POST /net/partition.
type Partition struct {
	Groups [][]string `json:"groups"`
}

// Faults is the body of POST /net/faults: Set holds those fields of
// vnet.Faults that are to change.
type Faults struct {
	From string          `json:"from"`
	To   string          `json:"to"`
	Set  json.RawMessage `json:"set"`
}

// Command is the body of POST /nodes/NAME/qmp.
type Command struct {
	Execute   string          `json:"execute"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
}

// Failure is the body of an answer that says no.
type Failure struct {
	What string `json:"what"`
	Do   string `json:"do,omitempty"`
}

// UpgradeTo is what a connection that becomes a stream is upgraded to.
const UpgradeTo = "hurdlab"

// A Client talks to the daemon of one lab.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client for the daemon at an address, which was made by
// [Listen].
func NewClient(socket string) *Client {
	c := &Client{socket: socket}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}
	return c
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, err
	}
	if err := checkPeer(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// checkPeer refuses a peer that is neither the same user nor root.
func checkPeer(conn net.Conn) error {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var sockErr error
	if err := raw.Control(func(fd uintptr) {
		cred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if sockErr != nil {
		return sockErr
	}
	if uid := os.Geteuid(); int(cred.Uid) != uid && cred.Uid != 0 {
		return fmt.Errorf("the other end belongs to user %d, not %d", cred.Uid, uid)
	}
	return nil
}

// Call makes a request with in as its body and stores the answer in out. Both
// may be nil.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// Read makes a GET request whose answer is a stream that may go on for ever.
func (c *Client) Read(ctx context.Context, path string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, "GET", path, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("ask the lab's daemon: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, failure(resp)
	}
	return resp, nil
}

// failure is the error that an answer carries.
func failure(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("the lab's daemon: %s: %w", resp.Status, err)
	}
	var f Failure
	if json.Unmarshal(b, &f) != nil || f.What == "" {
		return fmt.Errorf("the lab's daemon: %s: %s", resp.Status, bytes.TrimSpace(b))
	}
	return problem.New(f.What, f.Do)
}

// Stream makes a request whose connection becomes a stream. When ctx ends
// before that, it fails; later it has no effect.
func (c *Client) Stream(ctx context.Context, path string) (net.Conn, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the lab's daemon: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	s, err := upgrade(conn, path)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func upgrade(conn net.Conn, path string) (net.Conn, error) {
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", path, UpgradeTo); err != nil {
		return nil, fmt.Errorf("ask the lab's daemon: %w", err)
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the lab's daemon: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		return nil, failure(resp)
	}
	return &stream{Conn: conn, r: br}, nil
}

// Upgrade is the daemon's end of [Client.Stream].
func Upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	if r.Header.Get("Upgrade") != UpgradeTo {
		return nil, fmt.Errorf("%s wants \"Upgrade: %s\"", r.URL.Path, UpgradeTo)
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", UpgradeTo); err != nil {
		conn.Close()
		return nil, err
	}
	return &stream{Conn: conn, r: rw.Reader}, nil
}

// stream is a connection of which some may have been read already.
type stream struct {
	net.Conn
	r *bufio.Reader
}

func (s *stream) Read(p []byte) (int, error) { return s.r.Read(p) }

// CloseWrite tells the other end that no more will come.
func (s *stream) CloseWrite() error { return s.Conn.(*net.UnixConn).CloseWrite() }
