package gateway

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func someHosts() *Hosts {
	h := new(Hosts)
	h.Add(Host{"gateway", [6]byte{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("10.77.0.1")})
	h.Add(Host{"node1", [6]byte{2, 0, 0, 0, 0, 11}, netip.MustParseAddr("10.77.0.11")})
	return h
}

func TestDNSAnswers(t *testing.T) {
	z := zone{domain: "lab", hosts: someHosts()}
	const (
		node1   = "NOERROR 10.77.0.11"
		nothing = "NOERROR"
		unknown = "NXDOMAIN"
	)
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"node1.", dns.TypeA, node1},
		{"node1.lab.", dns.TypeA, node1},
		{"NODE1.Lab.", dns.TypeA, node1},
		{"gateway.", dns.TypeA, "NOERROR 10.77.0.1"},
		{"node1.", dns.TypeANY, node1},
		{"node1.", dns.TypeAAAA, nothing},
		{"node1.lab.", dns.TypeMX, nothing},
		{"lab.", dns.TypeA, nothing},
		{"node2.", dns.TypeA, unknown},
		{"node1.lab.lab.", dns.TypeA, unknown},
		{"node1.example.", dns.TypeA, unknown},
		{"example.org.", dns.TypeA, unknown},
		{"example.org.", dns.TypeAAAA, unknown},
		{".", dns.TypeA, unknown},
		{"11.0.77.10.in-addr.arpa.", dns.TypePTR, "NOERROR node1.lab."},
		{"1.0.77.10.IN-ADDR.ARPA.", dns.TypePTR, "NOERROR gateway.lab."},
		{"11.0.77.10.in-addr.arpa.", dns.TypeA, nothing},
		{"12.0.77.10.in-addr.arpa.", dns.TypePTR, unknown},
		{"8.8.8.8.in-addr.arpa.", dns.TypePTR, unknown},
		{"011.0.77.10.in-addr.arpa.", dns.TypePTR, unknown},
		{"256.0.77.10.in-addr.arpa.", dns.TypePTR, unknown},
		{"77.10.in-addr.arpa.", dns.TypePTR, unknown},
	} {
		m := z.answer(new(dns.Msg).SetQuestion(c.name, c.qtype))
		if got := summary(m); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.name, dns.TypeToString[c.qtype], got, c.want)
		}
		if !m.Authoritative || !m.Response || len(m.Question) != 1 {
			t.Errorf("%s: not an authoritative answer to the question:\n%v", c.name, m)
		}
	}
}

func summary(m *dns.Msg) string {
	s := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			s = append(s, rr.A.String())
		case *dns.PTR:
			s = append(s, rr.Ptr)
		default:
			s = append(s, fmt.Sprint(rr))
		}
	}
	return strings.Join(s, " ")
}

func TestDNSOddQueries(t *testing.T) {
	z := zone{domain: "lab", hosts: someHosts()}
	q := new(dns.Msg).SetQuestion("node1.", dns.TypeA)
	q.Question[0].Qclass = dns.ClassCHAOS
	if got := summary(z.answer(q)); got != "REFUSED" {
		t.Errorf("class CH: %s", got)
	}
	q = new(dns.Msg)
	if got := summary(z.answer(q)); got != "FORMERR" {
		t.Errorf("no question: %s", got)
	}
	q = new(dns.Msg).SetQuestion("node1.", dns.TypeA)
	q.SetEdns0(4096, true)
	if m := z.answer(q); m.IsEdns0() == nil || summary(m) != "NOERROR 10.77.0.11" {
		t.Errorf("EDNS is not answered in kind: %v", m)
	}
	if m := z.answer(new(dns.Msg).SetQuestion("node1.", dns.TypeA)); m.IsEdns0() != nil {
		t.Error("EDNS where none was asked for")
	}
}

// Whatever a node asks, there is an answer that fits into the smallest packet,
// or none.
func FuzzDNS(f *testing.F) {
	for _, name := range []string{"node1.lab.", "11.0.77.10.in-addr.arpa.", ".", "x."} {
		b, err := new(dns.Msg).SetQuestion(name, dns.TypeANY).SetEdns0(4096, true).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	z := zone{domain: "lab", hosts: someHosts()}
	f.Fuzz(func(t *testing.T, b []byte) {
		q := new(dns.Msg)
		if q.Unpack(b) != nil {
			return // the server answers FORMERR by itself
		}
		m := z.answer(q)
		if !m.Response || m.Id != q.Id {
			t.Errorf("not an answer: %v", m)
		}
		if len(m.Question) > 1 {
			return // what the server refuses echoes the question only
		}
		out, err := m.Pack()
		if err != nil {
			t.Fatalf("%v\ncannot be sent: %v", m, err)
		}
		if len(out) > dns.MinMsgSize {
			t.Errorf("answer of %d bytes:\n%v", len(out), m)
		}
	})
}
