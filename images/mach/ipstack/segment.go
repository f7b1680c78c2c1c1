package ipstack

import (
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"hurdlab/images/mach/nic"
)

// A segmenter cuts a large TCP packet into frames, straight into the card's
// memory, as a card with segmentation offload would. It spares the stack most
// of its work per frame: under emulation that is a tenth of a millisecond.
//
// The packet is a template for the frames. They differ in their sequence
// numbers and lengths, and only the last one has PSH and FIN, so that the
// receiver can put them together again.
type segmenter struct {
	head [header.EthernetMinimumSize + header.IPv4MaximumHeaderSize + header.TCPHeaderMaximumSize]byte
	ip   int // offset of the IP header in head
	tcp  int // offset of the TCP header
	end  int // length of all headers
	mss  int

	id    uint16
	seq   uint32
	flags header.TCPFlags
	parts [][]byte // payload that is left
	rest  int      // its length
}

// init takes a packet with GSO options. The payload is used until done.
func (s *segmenter) init(pkt *stack.PacketBuffer) {
	s.ip = len(pkt.LinkHeader().Slice())
	s.tcp = s.ip + len(pkt.NetworkHeader().Slice())
	s.end = s.tcp + len(pkt.TransportHeader().Slice())
	s.parts = pkt.AsSlices()
	s.rest = pkt.Size()
	s.take(s.head[:s.end])
	s.mss = int(pkt.GSOOptions.MSS)
	s.id = header.IPv4(s.head[s.ip:]).ID()
	t := header.TCP(s.head[s.tcp:])
	s.seq, s.flags = t.SequenceNumber(), t.Flags()
}

// take moves bytes from the parts to b, all of which they have.
func (s *segmenter) take(b []byte) {
	s.rest -= len(b)
	for len(b) > 0 {
		n := copy(b, s.parts[0])
		b = b[n:]
		if s.parts[0] = s.parts[0][n:]; len(s.parts[0]) == 0 {
			s.parts = s.parts[1:]
		}
	}
}

// fill writes the next frame to b and returns its length.
func (s *segmenter) fill(b []byte) int {
	n := min(s.rest, s.mss)
	copy(b, s.head[:s.end])
	s.take(b[s.end : s.end+n])

	ip := header.IPv4(b[s.ip:s.tcp])
	ip.SetTotalLength(uint16(s.end - s.ip + n))
	ip.SetID(s.id)
	ip.SetChecksum(0)
	ip.SetChecksum(^ip.CalculateChecksum())

	t := header.TCP(b[s.tcp:s.end])
	t.SetSequenceNumber(s.seq)
	if s.rest > 0 {
		t.SetFlags(uint8(s.flags &^ (header.TCPFlagPsh | header.TCPFlagFin)))
	}
	t.SetChecksum(0)
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(s.end-s.tcp+n))
	t.SetChecksum(^t.CalculateChecksum(checksum.Checksum(b[s.end:s.end+n], sum)))

	s.id++
	s.seq = uint32(seqnum.Value(s.seq).Add(seqnum.Size(n)))
	return s.end + n
}

// send sends all frames of a packet and reports whether the card took them.
func (s *segmenter) send(dev nic.Device, pkt *stack.PacketBuffer) bool {
	s.init(pkt)
	for first := true; first || s.rest > 0; first = false {
		if !dev.Send(s.fill) {
			return false
		}
	}
	return true
}
