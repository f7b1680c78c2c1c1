package pfinet

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"text/tabwriter"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
)

// Open makes what the node's reader sees: the interfaces, the sockets and the
// counters as they are now. [translator.Opener].
func (s *Server) Open(context.Context, translator.User, int32) (translator.File, error) {
	return &report{server: s}, nil
}

// A report is made when it is first read: sockets are made by those who open
// the node and do not read.
type report struct {
	server *Server

	mu   sync.Mutex
	made bool
	text bytes.Reader
}

func (r *report) Close() {}

// Read is [translator.Stream].
func (r *report) Read(_ context.Context, p []byte, _ bool) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.made {
		r.made = true
		r.text.Reset(r.server.report())
	}
	n, _ := r.text.Read(p)
	return n, nil
}

func (r *report) Write(context.Context, []byte, bool) (int, error) { return 0, proto.EBADF }

func (s *Server) report() []byte {
	var b bytes.Buffer
	for _, f := range s.stack.Interfaces() {
		fmt.Fprintf(&b, "interface %d: %s", f.Index, f.Name)
		if !f.Loopback {
			fmt.Fprintf(&b, ", %02x:%02x:%02x:%02x:%02x:%02x", f.MAC[0], f.MAC[1], f.MAC[2], f.MAC[3], f.MAC[4], f.MAC[5])
		}
		if f.Addr.IsValid() {
			fmt.Fprintf(&b, ", %s", f.Addr)
		}
		fmt.Fprintf(&b, ", mtu %d\n", f.MTU)
	}
	if g := s.stack.Config().Gateway; g.IsValid() {
		fmt.Fprintf(&b, "gateway %s\n", g)
	}
	s.mu.Lock()
	list := make([]*object, 0, len(s.sockets))
	for o := range s.sockets {
		list = append(list, o)
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b *object) int { return cmp.Compare(a.id, b.id) })
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, o := range list {
		fmt.Fprintln(w, o)
	}
	w.Flush()
	for _, c := range s.stack.Counters() {
		fmt.Fprintf(&b, "%s: %d\n", c.Name, c.Value)
	}
	return b.Bytes()
}

// String is a line of the report.
func (o *object) String() string {
	addr := func(get func() (tcpip.FullAddress, tcpip.Error)) string {
		a, err := get()
		if err != nil {
			return "-"
		}
		ip := netip.IPv4Unspecified()
		if a.Addr.Len() == 4 {
			ip = netip.AddrFrom4(a.Addr.As4())
		}
		return netip.AddrPortFrom(ip, a.Port).String()
	}
	kind := fmt.Sprint(o.number)
	switch o.number {
	case tcp.ProtocolNumber:
		kind = "tcp"
	case udp.ProtocolNumber:
		kind = "udp"
	case icmp.ProtocolNumber4:
		kind = "icmp"
	}
	state := ""
	switch o.typ {
	case proto.SOCK_RAW:
		kind = "raw " + kind
	case proto.SOCK_STREAM:
		state = tcp.EndpointState(o.ep.State()).String()
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s", kind, addr(o.ep.GetLocalAddress), addr(o.remoteAddress), state)
}
