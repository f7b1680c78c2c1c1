package labtest

import (
	"context"
	"fmt"
	"net"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"hurdlab/images"
	"hurdlab/lab/vnet/stream"
)

const (
	mtu   = 1500
	nicID = 1
)

// newStack is a machine's TCP/IP, on a connection that speaks QEMU's framing.
// It lives as long as the process.
func newStack(conn net.Conn, id images.Identity) (*stack.Stack, error) {
	link := channel.New(1024, mtu+header.EthernetMinimumSize, tcpip.LinkAddress(id.MAC[:]))
	st := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, icmp.NewProtocol4},
	})
	if err := st.CreateNIC(nicID, ethernet.New(link)); err != nil {
		return nil, fmt.Errorf("network card: %s", err)
	}
	addr := tcpip.AddrFrom4(id.Addr.Addr().As4()).WithPrefix()
	addr.PrefixLen = id.Addr.Bits()
	if err := st.AddProtocolAddress(nicID, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: addr}, stack.AddressProperties{}); err != nil {
		return nil, fmt.Errorf("address %v: %s", id.Addr, err)
	}
	st.SetRouteTable([]tcpip.Route{{Destination: addr.Subnet(), NIC: nicID}})
	go func() {
		for {
			pkt := link.ReadContext(context.Background())
			v := pkt.ToView()
			pkt.DecRef()
			_, err := conn.Write(stream.Append(nil, v.AsSlice()))
			v.Release()
			if err != nil {
				return // the lab has gone
			}
		}
	}()
	go func() {
		for r := stream.NewReader(conn); ; {
			frame, err := r.Next()
			if err != nil {
				return
			}
			if frame[0]&1 == 0 && [6]byte(frame) != id.MAC {
				continue // for another, but flooded
			}
			pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
			link.InjectInbound(0, pkt)
			pkt.DecRef()
		}
	}()
	return st, nil
}
