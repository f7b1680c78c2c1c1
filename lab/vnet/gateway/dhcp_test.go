package gateway

import (
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var (
	node1MAC  = net.HardwareAddr{2, 0, 0, 0, 0, 11}
	broadcast = netip.MustParseAddrPort("255.255.255.255:68")
)

func someLeases() leases {
	return leases{server: netip.MustParsePrefix("10.77.0.1/24"), domain: "lab", mtu: 1400, hosts: someHosts()}
}

// ask returns the server's answer to a request, nil if there is none.
func ask(t *testing.T, req *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, netip.AddrPort) {
	t.Helper()
	b, to := someLeases().answer(req.ToBytes())
	if b == nil {
		return nil, to
	}
	m, err := dhcpv4.FromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.TransactionID != req.TransactionID || m.OpCode != dhcpv4.OpcodeBootReply {
		t.Errorf("not an answer to the request: %v", m.Summary())
	}
	if !m.ServerIdentifier().Equal(net.IPv4(10, 77, 0, 1)) {
		t.Errorf("server identifier %v", m.ServerIdentifier())
	}
	return m, to
}

// checkConfiguration checks what an address comes with.
func checkConfiguration(t *testing.T, m *dhcpv4.DHCPv4) {
	t.Helper()
	if ones, _ := m.SubnetMask().Size(); ones != 24 {
		t.Errorf("mask %v", m.SubnetMask())
	}
	if r := m.Router(); len(r) != 1 || !r[0].Equal(net.IPv4(10, 77, 0, 1)) {
		t.Errorf("router %v", r)
	}
	if d := m.DNS(); len(d) != 1 || !d[0].Equal(net.IPv4(10, 77, 0, 1)) {
		t.Errorf("DNS %v", d)
	}
	if m.HostName() != "node1" || m.DomainName() != "lab" {
		t.Errorf("name %q, domain %q", m.HostName(), m.DomainName())
	}
	if mtu := m.Options.Get(dhcpv4.OptionInterfaceMTU); len(mtu) != 2 || int(mtu[0])<<8+int(mtu[1]) != 1400 {
		t.Errorf("MTU %v", mtu)
	}
}

// The four messages by which a client gets its address.
func TestDHCPExchange(t *testing.T) {
	discover, err := dhcpv4.NewDiscovery(node1MAC)
	if err != nil {
		t.Fatal(err)
	}
	offer, to := ask(t, discover)
	if offer == nil || offer.MessageType() != dhcpv4.MessageTypeOffer {
		t.Fatalf("discover: %v", offer)
	}
	if to != broadcast || !offer.YourIPAddr.Equal(net.IPv4(10, 77, 0, 11)) {
		t.Errorf("offered %v, to %v", offer.YourIPAddr, to)
	}
	checkConfiguration(t, offer)

	request, err := dhcpv4.NewRequestFromOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	ack, to := ask(t, request)
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck {
		t.Fatalf("request: %v", ack)
	}
	if to != broadcast || !ack.YourIPAddr.Equal(net.IPv4(10, 77, 0, 11)) || ack.IPAddressLeaseTime(0) != leaseTime {
		t.Errorf("%v for %v, to %v", ack.YourIPAddr, ack.IPAddressLeaseTime(0), to)
	}
	checkConfiguration(t, ack)

	renew, err := dhcpv4.NewRenewFromAck(ack)
	if err != nil {
		t.Fatal(err)
	}
	again, to := ask(t, renew)
	if again == nil || again.MessageType() != dhcpv4.MessageTypeAck {
		t.Fatalf("renewal: %v", again)
	}
	if to != netip.MustParseAddrPort("10.77.0.11:68") {
		t.Errorf("a renewal is answered to %v", to)
	}
	renew.SetBroadcast()
	if _, to := ask(t, renew); to != broadcast {
		t.Errorf("a client that wants a broadcast is answered to %v", to)
	}

	release, err := dhcpv4.NewReleaseFromACK(ack)
	if err != nil {
		t.Fatal(err)
	}
	if m, _ := ask(t, release); m != nil {
		t.Errorf("answer to a release: %v", m)
	}
}

func TestDHCPInform(t *testing.T) {
	inform, err := dhcpv4.NewInform(node1MAC, net.IPv4(10, 77, 0, 11))
	if err != nil {
		t.Fatal(err)
	}
	ack, to := ask(t, inform)
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck {
		t.Fatalf("inform: %v", ack)
	}
	// RFC 2131, 4.3.5: neither an address nor a lease.
	if !ack.YourIPAddr.IsUnspecified() || ack.Options.Has(dhcpv4.OptionIPAddressLeaseTime) {
		t.Errorf("inform gives an address: %v", ack.Summary())
	}
	if to != netip.MustParseAddrPort("10.77.0.11:68") {
		t.Errorf("answered to %v", to)
	}
	checkConfiguration(t, ack)
}

func TestDHCPRefuses(t *testing.T) {
	request := func(mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
		m, err := dhcpv4.New(append([]dhcpv4.Modifier{
			dhcpv4.WithHwAddr(node1MAC),
			dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
		}, mods...)...)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	option := func(o dhcpv4.Option) dhcpv4.Modifier { return dhcpv4.WithOption(o) }

	// An address of another network, or somebody else's.
	for _, ip := range []net.IP{net.IPv4(192, 168, 1, 5), net.IPv4(10, 77, 0, 12)} {
		for _, m := range []*dhcpv4.DHCPv4{
			request(option(dhcpv4.OptRequestedIPAddress(ip))),
			request(dhcpv4.WithClientIP(ip)),
		} {
			nak, to := ask(t, m)
			if nak == nil || nak.MessageType() != dhcpv4.MessageTypeNak || to != broadcast || !nak.YourIPAddr.IsUnspecified() {
				t.Errorf("request for %v: %v to %v", ip, nak, to)
			}
		}
	}

	silence := map[string]*dhcpv4.DHCPv4{
		"another server": request(option(dhcpv4.OptServerIdentifier(net.IPv4(10, 77, 0, 2)))),
		"a stranger":     request(dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 99})),
		"a long address": request(dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 11, 1, 1})),
		"a decline":      request(dhcpv4.WithMessageType(dhcpv4.MessageTypeDecline)),
	}
	reply := request()
	reply.OpCode = dhcpv4.OpcodeBootReply
	silence["a reply"] = reply
	for name, m := range silence {
		if got, _ := ask(t, m); got != nil {
			t.Errorf("%s is answered: %v", name, got.Summary())
		}
	}
	if b, _ := someLeases().answer([]byte("not DHCP")); b != nil {
		t.Error("garbage is answered")
	}
}

func FuzzDHCP(f *testing.F) {
	discover, err := dhcpv4.NewDiscovery(node1MAC)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(discover.ToBytes())
	inform, err := dhcpv4.NewInform(node1MAC, net.IPv4(10, 77, 0, 11))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(inform.ToBytes())
	l := someLeases()
	f.Fuzz(func(t *testing.T, b []byte) {
		reply, to := l.answer(b)
		if reply == nil {
			return
		}
		m, err := dhcpv4.FromBytes(reply)
		if err != nil {
			t.Fatal(err)
		}
		if m.OpCode != dhcpv4.OpcodeBootReply || to.Port() != dhcpv4.ClientPort {
			t.Errorf("%v to %v", m.Summary(), to)
		}
		if !m.YourIPAddr.IsUnspecified() && !m.YourIPAddr.Equal(net.IPv4(10, 77, 0, 11)) {
			t.Errorf("gives %v", m.YourIPAddr)
		}
	})
}
