package ipstack

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"hurdlab/images/mach/nic"
)

// ackDelay is how long an acknowledgement may wait for a segment with data, which says the
// same. RFC 1122 allows half a second; less than the least time after which a sender
// sends again.
const ackDelay = 40 * time.Millisecond

// maxFlows bounds the connections that are known.
const maxFlows = 512

// acks delays acknowledgements, which gVisor does not: of a request and its answer, half of
// the frames are those. As RFC 1122 (4.2.3.2) has it, one of at least every two
// full segments is sent at once. So is what tells of something else than more
// data in order: a loss, a window, the first of a connection.
type acks struct {
	dev nic.Device

	mu    sync.Mutex
	flows map[flow]*ack
	armed bool // the timer runs
}

// A flow is one direction of a connection: addresses and ports.
type flow [12]byte

type ack struct {
	sent  uint32 // the number that was acknowledged last
	num   uint32 // of held
	held  []byte // a frame, or empty
	frame []byte // its room
}

// hold takes a packet that is about to be sent, and reports whether it is to wait.
func (a *acks) hold(pkt *stack.PacketBuffer) bool {
	if pkt.NetworkProtocolNumber != header.IPv4ProtocolNumber || pkt.TransportProtocolNumber != header.TCPProtocolNumber {
		return false
	}
	ip, t := pkt.NetworkHeader().Slice(), header.TCP(pkt.TransportHeader().Slice())
	if len(ip) < header.IPv4MinimumSize || len(t) < header.TCPMinimumSize {
		return false
	}
	var key flow
	copy(key[:8], ip[12:20])
	copy(key[8:], t[:4])
	flags, num := t.Flags(), t.AckNumber()

	a.mu.Lock()
	defer a.mu.Unlock()
	if flags&(header.TCPFlagSyn|header.TCPFlagFin|header.TCPFlagRst) != 0 {
		delete(a.flows, key)
		return false
	}
	f := a.flows[key]
	if f == nil {
		a.forget()
		a.flows[key] = &ack{sent: num}
		return false
	}
	ahead := int32(num - f.sent)
	if flags != header.TCPFlagAck || pkt.Data().Size() > 0 || ahead <= 0 || ahead >= 2*mss(a.dev) || len(f.held) > 0 && num == f.num || tellsLoss(t) {
		f.sent, f.held = num, nil
		return false
	}
	if f.frame == nil {
		f.frame = make([]byte, nic.HeaderSize+a.dev.MTU())
	}
	f.held, f.num = f.frame[:fill(pkt)(f.frame)], num
	if !a.armed {
		a.armed = true
		time.AfterFunc(ackDelay, a.send)
	}
	return true
}

// mss is the size of a full segment.
func mss(dev nic.Device) int32 { return int32(dev.MTU() - 40) }

// tellsLoss reports whether a segment has blocks of a selective acknowledgement.
func tellsLoss(t header.TCP) bool {
	const nop, sack = 1, 5
	for o := t.Options(); len(o) > 0 && o[0] != 0; {
		switch {
		case o[0] == nop:
			o = o[1:]
		case o[0] == sack || len(o) < 2 || o[1] < 2 || int(o[1]) > len(o):
			return true
		default:
			o = o[o[1]:]
		}
	}
	return false
}

// forget makes room for one more flow.
func (a *acks) forget() {
	if len(a.flows) < maxFlows {
		return
	}
	for k, f := range a.flows {
		if len(f.held) == 0 {
			delete(a.flows, k)
		}
	}
}

// send sends what has waited.
func (a *acks) send() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.armed = false
	sent := false
	for _, f := range a.flows {
		if len(f.held) > 0 {
			sent = a.dev.Send(func(b []byte) int { return copy(b, f.held) }) || sent
			f.sent, f.held = f.num, nil
		}
	}
	if sent {
		a.dev.Flush()
	}
}
