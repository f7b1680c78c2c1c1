package gateway

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// leaseTime is how long a node may use its address before it asks again. It
// gets the same one each time.
const leaseTime = 24 * time.Hour

// leases is a DHCP server (RFC 2131) that gives each node the address that the
// lab has chosen for it. It remembers nothing: the address follows from the
// hardware address. Strangers get no answer.
type leases struct {
	server netip.Prefix // the gateway's address, with the network's prefix
	domain string
	mtu    int
	hosts  *Hosts
}

// answer returns the reply to a packet and where it goes, or nil if there is
// none to give.
func (l leases) answer(packet []byte) (reply []byte, to netip.AddrPort) {
	req, err := dhcpv4.FromBytes(packet)
	if err != nil || req.OpCode != dhcpv4.OpcodeBootRequest || len(req.ClientHWAddr) != 6 {
		return nil, to
	}
	host, ok := l.hosts.WithMAC([6]byte(req.ClientHWAddr))
	if !ok {
		return nil, to
	}
	server := net.IP(l.server.Addr().AsSlice())
	if id := req.ServerIdentifier(); id != nil && !id.Equal(server) {
		return nil, to // meant for another server
	}
	addr := net.IP(host.Addr.AsSlice())

	kind := dhcpv4.MessageTypeAck
	switch req.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
		wants := req.RequestedIPAddress()
		if wants == nil {
			wants = req.ClientIPAddr
		}
		if !wants.Equal(addr) {
			kind = dhcpv4.MessageTypeNak
		}
	case dhcpv4.MessageTypeInform:
	default:
		return nil, to // release and decline need no answer
	}

	m, err := dhcpv4.NewReplyFromRequest(req,
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)))
	if err != nil {
		return nil, to
	}
	to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), dhcpv4.ClientPort)
	if kind == dhcpv4.MessageTypeNak {
		return m.ToBytes(), to
	}
	if req.MessageType() != dhcpv4.MessageTypeInform {
		m.YourIPAddr = addr
		m.UpdateOption(dhcpv4.OptIPAddressLeaseTime(leaseTime))
	}
	m.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(l.server.Bits(), 32)))
	m.UpdateOption(dhcpv4.OptRouter(server))
	m.UpdateOption(dhcpv4.OptDNS(server))
	m.UpdateOption(dhcpv4.OptHostName(host.Name))
	m.UpdateOption(dhcpv4.OptDomainName(l.domain))
	m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{byte(l.mtu >> 8), byte(l.mtu)}))
	// A client that has its address is reached there. The others could not
	// answer ARP yet, so they are told by broadcast, asked or not.
	if req.ClientIPAddr.Equal(addr) && !req.IsBroadcast() {
		to = netip.AddrPortFrom(host.Addr, dhcpv4.ClientPort)
	}
	return m.ToBytes(), to
}
