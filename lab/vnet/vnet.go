package vnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"time"

	"hurdlab/lab/vnet/fabric"
	"hurdlab/lab/vnet/gateway"
	"hurdlab/lab/vnet/pcap"
)

const (
	// GatewayName is the name of the lab's own host on its network.
	GatewayName = "gateway"
	// MaxNodes bounds the nodes of a switch; a small prefix allows fewer.
	MaxNodes = 1000

	defaultMTU        = 1500
	defaultQueueBytes = 512 << 10
	defaultDomain     = "lab"
	linkBytes         = 4 << 20 // what a link may hold back
	// Addresses count from the prefix: the gateway has number 1, the first
	// node number 11.
	gatewayNumber = 1
	nodeNumber    = 10
)

var defaultPrefix = netip.MustParsePrefix("10.77.0.0/24")

// ErrClosed is the error of a switch that was closed.
var ErrClosed = errors.New("the lab's network is closed")

// Config says what a switch is like. The zero value is a usable one.
type Config struct {
	// Prefix is the lab's network, IPv4; 10.77.0.0/24 if it is not set.
	Prefix netip.Prefix
	// Seed decides what the faults do. The same seed and the same frames on
	// a link give the same losses, duplicates and so on.
	Seed uint64
	// Domain is the DNS domain of the nodes; "lab" if empty.
	Domain string
	// MTU is the largest IP packet; 0 means 1500.
	MTU int
	// QueueBytes bounds what waits for one NIC, or for the gateway; 0 means
	// 512 KiB.
	QueueBytes int
}

func (c *Config) complete() error {
	if !c.Prefix.IsValid() {
		c.Prefix = defaultPrefix
	}
	if !c.Prefix.Addr().Is4() || c.Prefix.Bits() > 27 {
		return fmt.Errorf("the lab's network %v: want an IPv4 prefix of at most 27 bits, such as %v", c.Prefix, defaultPrefix)
	}
	c.Prefix = c.Prefix.Masked()
	if c.Domain == "" {
		c.Domain = defaultDomain
	}
	if !label.MatchString(c.Domain) {
		return fmt.Errorf("the lab's domain %q: want one label of a host name: letters, digits and hyphens, in lower case", c.Domain)
	}
	if c.MTU == 0 {
		c.MTU = defaultMTU
	}
	// 576 is what any IPv4 host must take; 65521 keeps frames within 64 KiB.
	if c.MTU < 576 || c.MTU > 65521 {
		return fmt.Errorf("MTU %d: want 576 to 65521", c.MTU)
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = defaultQueueBytes
	}
	if least := 2 * c.MTU; c.QueueBytes < least {
		return fmt.Errorf("a queue of %d bytes: want at least %d, two packets", c.QueueBytes, least)
	}
	return nil
}

// A Switch is the network of one lab. Its methods may be called from several
// goroutines.
type Switch struct {
	cfg     Config
	hosts   gateway.Hosts
	gateway *gateway.Gateway
	start   time.Time
	wg      sync.WaitGroup // everything that runs on behalf of the switch

	// mu is held while frames pass, and never while anything is waited for.
	mu       sync.Mutex
	fabric   *fabric.Fabric
	plugs    []*NIC // by fabric.Port; the gateway's is the first
	timer    *time.Timer
	wake     time.Duration // when timer fires; 0 is never
	captures []*Capture
	forwards map[*Forwarder]struct{}
	parts    [][]string // the groups of the partition in force
	closed   bool
}

// New starts a switch with its gateway.
func New(cfg Config) (*Switch, error) {
	s, err := newSwitch(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.startGateway(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// newSwitch makes a switch whose gateway's NIC has nothing attached.
func newSwitch(cfg Config) (*Switch, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Switch{cfg: cfg, start: time.Now(), forwards: make(map[*Forwarder]struct{})}
	s.fabric = fabric.New(fabric.Config{
		Seed:      cfg.Seed,
		MTU:       cfg.MTU,
		LinkBytes: linkBytes,
		Out:       s.output,
	})
	s.timer = time.AfterFunc(time.Hour, s.tick)
	s.timer.Stop()
	mac, addr := s.number(gatewayNumber)
	s.plug(GatewayName, mac, addr, true)
	return s, nil
}

// startGateway attaches the gateway to its NIC. Frames pass between the two
// without a connection.
func (s *Switch) startGateway() error {
	n := s.plugs[0]
	a := newAttachment(nil, s.cfg.QueueBytes)
	n.attached = a
	var err error
	s.gateway, err = gateway.New(gateway.Config{
		MAC: n.mac, Addr: n.addr, MTU: s.cfg.MTU, Domain: s.cfg.Domain, Hosts: &s.hosts,
		Send: func(frame []byte) { s.input(n, a, frame) },
	})
	if err != nil {
		close(a.gone) // nobody drains it
		return err
	}
	s.wg.Go(func() { a.drain(s.gateway.Deliver) })
	return nil
}

// number gives the addresses of the n-th host of the network.
func (s *Switch) number(n int) (mac [6]byte, addr netip.Addr) {
	// A locally administered address, "hl" for hurdlab, then the number.
	mac = [6]byte{0x02, 'h', 'l'}
	binary.BigEndian.PutUint16(mac[4:], uint16(n))
	b := s.cfg.Prefix.Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
	return mac, netip.AddrFrom4(b)
}

// plug makes a NIC and its port. The caller holds s.mu, or is New.
func (s *Switch) plug(name string, mac [6]byte, addr netip.Addr, spared bool) *NIC {
	n := &NIC{
		sw: s, name: name, mac: mac, addr: netip.PrefixFrom(addr, s.cfg.Prefix.Bits()),
		port: s.fabric.AddPort(name, spared),
	}
	s.plugs = append(s.plugs, n)
	s.hosts.Add(gateway.Host{Name: name, MAC: mac, Addr: addr})
	return n
}

// label is a host name without dots (RFC 1123), in lower case.
var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// AddNode makes the NIC of one more node. The first has number 11 in the
// prefix, the second 12, and so on; the hardware addresses count likewise. So
// a lab that adds the same nodes in the same order gives them the same
// addresses.
func (s *Switch) AddNode(name string) (*NIC, error) {
	if !label.MatchString(name) {
		return nil, fmt.Errorf("a node cannot be called %q: want letters, digits and hyphens, in lower case, at most 63", name)
	}
	if name == s.cfg.Domain || allDigits.MatchString(name) {
		return nil, fmt.Errorf("a node cannot be called %q: that would be taken for a domain or an address", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if _, ok := s.hosts.Named(name); ok {
		return nil, fmt.Errorf("the lab's network already has a %q", name)
	}
	index := len(s.plugs) // the gateway counts, so that the first is 1
	if most := min(MaxNodes, 1<<(32-s.cfg.Prefix.Bits())-2-nodeNumber); index > most {
		return nil, fmt.Errorf("no address is left for node %q: %v has room for %d nodes", name, s.cfg.Prefix, most)
	}
	mac, addr := s.number(nodeNumber + index)
	return s.plug(name, mac, addr, false), nil
}

var allDigits = regexp.MustCompile(`^[0-9]+$`)

// Node returns the NIC of a node.
func (s *Switch) Node(name string) (*NIC, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(name)
	if err != nil || n.name == GatewayName {
		return nil, false
	}
	return n, true
}

// find returns a node or the gateway by name. The caller holds s.mu.
func (s *Switch) find(name string) (*NIC, error) {
	i := slices.IndexFunc(s.plugs, func(n *NIC) bool { return n.name == name })
	if i < 0 {
		return nil, fmt.Errorf("no node is called %q; there are %q", name, s.hosts.Names())
	}
	return s.plugs[i], nil
}

// Prefix is the lab's network.
func (s *Switch) Prefix() netip.Prefix { return s.cfg.Prefix }

// Gateway is the address of the lab's own host, which is also the DNS server.
func (s *Switch) Gateway() netip.Addr { return s.plugs[0].addr.Addr() }

// Hosts gives the addresses of all nodes, and of the gateway, by name.
func (s *Switch) Hosts() map[string]netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := make(map[string]netip.Addr)
	for _, n := range s.plugs {
		m[n.name] = n.addr.Addr()
	}
	return m
}

// DialContext connects from the host to a port of a node. The network is "tcp"
// or "udp", the address "node1:22" or "10.77.0.11:22". A node that does not
// answer is unreachable after three seconds (syscall.EHOSTUNREACH); a port
// where nobody listens gives syscall.ECONNREFUSED.
func (s *Switch) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	return s.gateway.DialContext(ctx, network, address)
}

// Close ends everything: it detaches the NICs and closes the gateway with its
// connections, the forwards and the captures. It returns what went wrong with
// a capture, if anything did.
func (s *Switch) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.timer.Stop()
	plugs, captures := slices.Clone(s.plugs), slices.Clone(s.captures)
	var forwards []*Forwarder
	for f := range s.forwards {
		forwards = append(forwards, f)
	}
	s.mu.Unlock()

	var errs []error
	for _, f := range forwards {
		errs = append(errs, f.Close())
	}
	if s.gateway != nil { // else it did not start
		errs = append(errs, s.gateway.Close())
	}
	for _, n := range plugs {
		n.Detach()
	}
	s.wg.Wait()
	for _, c := range captures {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// now is the fabric's time.
func (s *Switch) now() time.Duration { return time.Since(s.start) }

// input puts one frame into the fabric, unless what it came by is detached.
func (s *Switch) input(n *NIC, by *attachment, frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.attached != by || s.closed {
		return
	}
	s.route(s.now(), n, frame)
	s.arm()
}

// route passes a frame on. The caller holds s.mu.
func (s *Switch) route(now time.Duration, n *NIC, frame []byte) {
	for _, c := range s.captures {
		if c.port == anyPort || c.port == n.port {
			c.Frame(s.start.Add(now), frame)
		}
	}
	s.fabric.Input(now, n.port, frame)
}

// output takes a frame out of the fabric, which runs under s.mu.
func (s *Switch) output(to fabric.Port, frame []byte) {
	for _, c := range s.captures {
		if c.port == to {
			c.Frame(s.start.Add(s.now()), frame)
		}
	}
	s.plugs[to].deliver(frame)
}

// arm sets the timer for what the fabric has to do next. The caller holds
// s.mu.
func (s *Switch) arm() {
	at, ok := s.fabric.Next()
	if !ok || s.wake != 0 && s.wake <= at {
		return // a timer that fires early arms itself again
	}
	s.wake = at
	s.timer.Reset(at - s.now())
}

// tick lets time pass for the fabric.
func (s *Switch) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = 0
	if s.closed {
		return
	}
	s.fabric.Advance(s.now())
	s.arm()
}

// anyPort is the port of a capture of everything.
const anyPort fabric.Port = -1

// A Capture writes frames as pcap; see Switch.Capture.
type Capture struct {
	*pcap.Capture
	sw   *Switch
	port fabric.Port
}

// Capture writes what a node (or the gateway) sends, before any faults, and
// what is handed to it, after all faults, to w as a pcap file, until the
// capture or the switch is closed. An empty name stands for every frame that
// enters the switch, once.
//
// The switch does not wait for w: frames that w is too slow for are dropped
// from the capture, and counted.
func (s *Switch) Capture(node string, w io.Writer) (*Capture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	c := &Capture{sw: s, port: anyPort}
	if node != "" {
		n, err := s.find(node)
		if err != nil {
			return nil, err
		}
		c.port = n.port
	}
	c.Capture = pcap.NewCapture(w)
	s.captures = append(s.captures, c)
	return c, nil
}

// Close ends the capture and returns when w has all of it; it does not close
// w. The error is the one that ended the writing before, if one did.
func (c *Capture) Close() error {
	c.sw.mu.Lock()
	c.sw.captures = slices.DeleteFunc(c.sw.captures, func(o *Capture) bool { return o == c })
	c.sw.mu.Unlock()
	return c.Capture.Close()
}
