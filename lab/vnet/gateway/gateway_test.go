package gateway

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// arpRequest asks who has the gateway's address.
func arpRequest(dst, src [6]byte, sender netip.Addr) []byte {
	b := make([]byte, header.EthernetMinimumSize+header.ARPSize)
	header.Ethernet(b).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(src[:]), DstAddr: tcpip.LinkAddress(dst[:]), Type: header.ARPProtocolNumber,
	})
	a := header.ARP(b[header.EthernetMinimumSize:])
	a.SetIPv4OverEthernet()
	a.SetOp(header.ARPRequest)
	copy(a.HardwareAddressSender(), src[:])
	copy(a.ProtocolAddressSender(), sender.AsSlice())
	copy(a.ProtocolAddressTarget(), []byte{10, 77, 0, 1})
	return b
}

// The gateway answers what is for it, and ignores what a switch sends
// everywhere because it does not know better.
func TestFramesForOthers(t *testing.T) {
	mac, node := [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 11}
	sent := make(chan []byte, 10)
	g, err := New(Config{
		MAC: mac, Addr: netip.MustParsePrefix("10.77.0.1/24"), MTU: 1500, Domain: "lab", Hosts: someHosts(),
		Send: func(frame []byte) { sent <- slices.Clone(frame) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()

	other, all := [6]byte{2, 0, 0, 0, 0, 12}, [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	first, second, third := netip.MustParseAddr("10.77.0.21"), netip.MustParseAddr("10.77.0.22"), netip.MustParseAddr("10.77.0.23")
	g.Deliver(nil)
	g.Deliver(make([]byte, header.EthernetMinimumSize-1))
	g.Deliver(arpRequest(other, node, first))
	g.Deliver(arpRequest(mac, node, second))
	g.Deliver(arpRequest(all, node, third))
	for _, asker := range []netip.Addr{second, third} {
		reply := <-sent
		a := header.ARP(reply[header.EthernetMinimumSize:])
		if a.Op() != header.ARPReply || !bytes.Equal(a.HardwareAddressSender(), mac[:]) ||
			!bytes.Equal(a.ProtocolAddressTarget(), asker.AsSlice()) || !bytes.Equal(reply[:6], node[:]) {
			t.Errorf("not the reply to %v: %x", asker, reply)
		}
	}
}
