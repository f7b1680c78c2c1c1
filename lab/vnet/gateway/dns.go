package gateway

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// nameTTL is how long nodes may remember an answer, in seconds. Names do not
// change while a lab is up, but nodes can be added.
const nameTTL = 60

// zone answers for the names of the lab, with and without its domain, and for
// the reverse of their addresses. Every other name does not exist.
type zone struct {
	domain string // "lab"
	hosts  *Hosts
}

// ServeDNS implements dns.Handler.
func (z zone) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	// An answer that cannot be sent is lost like one on the way; the node
	// asks again.
	_ = w.WriteMsg(z.answer(query))
}

func (z zone) answer(query *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	if len(query.Question) != 1 {
		return m.SetRcode(query, dns.RcodeFormatError)
	}
	m.SetReply(query)
	m.Authoritative = true
	if opt := query.IsEdns0(); opt != nil {
		m.SetEdns0(dns.DefaultMsgSize, false)
	}
	q := query.Question[0]
	if q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY {
		m.Rcode = dns.RcodeRefused
		return m
	}
	hdr := func(rrtype uint16) dns.RR_Header {
		return dns.RR_Header{Name: q.Name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: nameTTL}
	}
	wants := func(rrtype uint16) bool { return q.Qtype == rrtype || q.Qtype == dns.TypeANY }

	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if addr, ok := reverse(name); ok {
		if host, ok := z.hosts.At(addr); !ok {
			m.Rcode = dns.RcodeNameError
		} else if wants(dns.TypePTR) {
			m.Answer = append(m.Answer, &dns.PTR{Hdr: hdr(dns.TypePTR), Ptr: host.Name + "." + z.domain + "."})
		}
		return m
	}
	if name == z.domain {
		return m // it exists, and has no records
	}
	if host, ok := z.hosts.Named(strings.TrimSuffix(name, "."+z.domain)); !ok {
		m.Rcode = dns.RcodeNameError
	} else if wants(dns.TypeA) {
		m.Answer = append(m.Answer, &dns.A{Hdr: hdr(dns.TypeA), A: host.Addr.AsSlice()})
	}
	return m
}

// reverse returns the address that a name such as 11.0.77.10.in-addr.arpa
// stands for.
func reverse(name string) (netip.Addr, bool) {
	s, ok := strings.CutSuffix(name, ".in-addr.arpa")
	if !ok {
		return netip.Addr{}, false
	}
	labels := strings.Split(s, ".")
	if len(labels) != 4 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, l := range labels {
		n, err := strconv.ParseUint(l, 10, 8)
		if err != nil || strconv.FormatUint(n, 10) != l {
			return netip.Addr{}, false
		}
		b[3-i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}
