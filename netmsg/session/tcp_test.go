package session

import (
	"context"
	"crypto/ed25519"
	"io"
	"net"
	"testing"
	"time"

	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/transport"
)

// over makes two nodes, "a" and "b", that reach each other over loopback.
func over(t testing.TB, secure bool, ha, hb Handler) (a, b *Sessions) {
	t.Helper()
	names := []string{"a", "b"}
	var listeners []net.Listener
	peers := transport.Peers{}
	var transports []transport.Transport
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		key, err := transport.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		p := transport.Peer{Name: name, Addr: l.Addr().String()}
		if secure {
			p.Key = key.Public().(ed25519.PublicKey)
			transports = append(transports, &transport.TLS{Self: name, Key: key, Peers: peers})
		} else {
			transports = append(transports, &transport.Plain{Self: name, Peers: peers})
		}
		peers[name] = p
	}
	var list []*Sessions
	for i, h := range []Handler{ha, hb} {
		tr := transports[i]
		s := New(Config{Self: rights.Incarnation{Node: rights.NodeID(names[i]), Epoch: 1}, Handler: h, Dial: func(ctx context.Context, peer rights.NodeID) (net.Conn, error) {
			c, err := tr.Dial(ctx, string(peer))
			if err != nil {
				return nil, err
			}
			return c, nil
		}})
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = tr.Serve(ctx, listeners[i], func(c *transport.Conn) { s.Accept(c, rights.NodeID(c.Peer())) }, nil)
		}()
		t.Cleanup(func() {
			s.Close()
			cancel()
			<-served
		})
		list = append(list, s)
	}
	return list[0], list[1]
}

// An echo answers each record.
type echo struct{ lost chan error }

func (echo) Connected(*Session) {}
func (echo) Receive(s *Session, records []rights.Record) {
	for i := range records {
		s.Send(&records[i])
	}
}
func (e echo) Lost(_ *Session, err error)     { e.lost <- err }
func (echo) Unreachable(rights.NodeID, error) {}

type counter struct {
	echo
	got chan int
}

func (c counter) Receive(_ *Session, records []rights.Record) { c.got <- len(records) }

func TestOverTransports(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			ha, hb := counter{echo{make(chan error, 1)}, make(chan int, 2000)}, echo{make(chan error, 1)}
			a, b := over(t, secure, ha, hb)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s, err := a.Connect(ctx, "b")
			if err != nil {
				t.Fatal(err)
			}
			const records = 1000
			for i := range records {
				s.Send(dead(uint64(i)))
				if i%7 == 0 {
					s.Flush()
				}
			}
			s.Flush()
			for n := 0; n < records; {
				n += <-ha.got
			}
			// Why a session ends arrives, although records are on their way.
			other, err := b.Connect(ctx, "a")
			if err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				s.Send(dead(uint64(i)))
			}
			s.Flush()
			other.Close(protocolError(rights.CodeProtocol, "C5", "a test"))
			if err := <-ha.lost; code(t, err) != rights.CodeProtocol {
				t.Error(err)
			}
			if err := <-hb.lost; code(t, err) != rights.CodeProtocol {
				t.Error(err)
			}
		})
	}
}

// BenchmarkRoundTrip is one record each way, against bytes of TCP alone.
func BenchmarkRoundTrip(b *testing.B) {
	b.Run("TCP", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
			}
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		buf := make([]byte, 20)
		for b.Loop() {
			if _, err := c.Write(buf); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, x := range []struct {
		name   string
		secure bool
	}{{"plain", false}, {"TLS", true}} {
		b.Run(x.name, func(b *testing.B) {
			h := counter{echo{make(chan error, 1)}, make(chan int, 10)}
			a, _ := over(b, x.secure, h, echo{make(chan error, 1)})
			s, err := a.Connect(context.Background(), "b")
			if err != nil {
				b.Fatal(err)
			}
			r := dead(1)
			b.ReportAllocs()
			for b.Loop() {
				s.Send(r)
				s.Flush()
				<-h.got
			}
		})
	}
}
