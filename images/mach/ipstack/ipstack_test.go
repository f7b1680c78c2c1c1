package ipstack

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"hurdlab/images/mach/nic"
)

// wire is one end of a cable.
type wire struct {
	t       *testing.T
	mac     [6]byte
	in, out chan []byte
	tcp     int          // TCP segments with data that came
	acks    atomic.Int32 // without
}

// check looks at a frame as the receiver's card would: lengths and checksums.
func (w *wire) check(f []byte) {
	if len(f) > nic.HeaderSize+1500 || header.Ethernet(f).Type() != header.IPv4ProtocolNumber {
		return
	}
	ip := header.IPv4(f[nic.HeaderSize:])
	if !ip.IsValid(len(ip)) || !ip.IsChecksumValid() || int(ip.TotalLength()) != len(ip) {
		w.t.Errorf("damaged IP header: % x", ip[:20])
	}
	if ip.TransportProtocol() != header.TCPProtocolNumber {
		return
	}
	tcp := header.TCP(ip.Payload())
	data := tcp.Payload()
	if !tcp.IsChecksumValid(ip.SourceAddress(), ip.DestinationAddress(), checksum.Checksum(data, 0), uint16(len(data))) {
		w.t.Errorf("TCP checksum of a segment of %d bytes", len(data))
	}
	if len(data) > 0 {
		w.tcp++
	} else if tcp.Flags() == header.TCPFlagAck {
		w.acks.Add(1)
	}
}

func (w *wire) MAC() [6]byte { return w.mac }
func (w *wire) MTU() int     { return 1500 }
func (w *wire) Flush()       {}
func (w *wire) Close()       {}

func (w *wire) Send(fill func([]byte) int) bool {
	b := make([]byte, nic.HeaderSize+1500)
	select {
	case w.out <- b[:fill(b)]:
		return true
	default:
		return false
	}
}

func (w *wire) Serve(ctx context.Context, deliver func([]byte)) error {
	for {
		select {
		case f := <-w.in:
			w.check(f)
			deliver(f)
			clear(f) // the stack must have copied it
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pair returns two stacks on one cable, 10.77.0.1 and 10.77.0.2.
func pair(t *testing.T) (a, b *Stack) {
	a, b, _ = cable(t)
	return a, b
}

// cable is pair that returns the end of a, too.
func cable(t *testing.T) (a, b *Stack, w *wire) {
	ab, ba := make(chan []byte, 1000), make(chan []byte, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	end := func(last byte, in, out chan []byte) *Stack {
		w = &wire{t: t, mac: [6]byte{2, 0, 0, 0, 0, last}, in: in, out: out}
		s, err := New(w, Config{
			Addr:    netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, last}), 24),
			Gateway: netip.AddrFrom4([4]byte{10, 77, 0, 254}),
		})
		if err != nil {
			t.Fatal(err)
		}
		go s.Serve(ctx)
		t.Cleanup(s.Close)
		return s
	}
	b = end(2, ab, ba)
	a = end(1, ba, ab)
	return a, b, w
}

// TestAcks: answers acknowledge requests, and the next requests answers. What has no
// answer is acknowledged all the same, in time.
func TestAcks(t *testing.T) {
	a, b, end := cable(t)
	l, err := b.Listen(7)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		buf := make([]byte, 64)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if buf[0] != 0 {
				continue // no answer
			}
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := a.Dial(ctx, netip.MustParseAddrPort("10.77.0.2:7"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 64)
	const calls = 500
	for range calls {
		if _, err := c.Write(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	}
	if n := end.acks.Load(); n > calls/2 {
		t.Errorf("%d acknowledgements without data for %d calls", n, calls)
	}
	before, start := end.acks.Load(), time.Now()
	buf[0] = 1
	if _, err := c.Write(buf); err != nil {
		t.Fatal(err)
	}
	for end.acks.Load() == before {
		if time.Since(start) > 10*time.Second {
			t.Fatal("no acknowledgement")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPing(t *testing.T) {
	a, b := pair(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for i, size := range []int{0, 56, 1472, 4000} {
		if _, err := a.Ping(ctx, netip.MustParseAddr("10.77.0.2"), uint16(i), size); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, err := b.Ping(ctx, netip.MustParseAddr("10.77.0.1"), 1, 56); err != nil {
		t.Error(err)
	}
	if _, err := b.Ping(ctx, netip.MustParseAddr("127.0.0.1"), 1, 56); err != nil {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := a.Ping(ctx, netip.MustParseAddr("10.77.0.9"), 1, 56); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestTCP(t *testing.T) {
	a, b := pair(t)
	l, err := b.Listen(22)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 3<<20+17)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	sum := make(chan [32]byte)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		got, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		c.Close()
		sum <- sha256.Sum256(got)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := a.Dial(ctx, netip.MustParseAddrPort("10.77.0.2:22"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if <-sum != sha256.Sum256(data) {
		t.Error("the data changed on the way")
	}
	for _, own := range []string{"10.77.0.2:22", "127.0.0.1:22"} {
		c, err := b.Dial(ctx, netip.MustParseAddrPort(own))
		if err != nil {
			t.Errorf("to itself: %v", err)
			continue
		}
		c.Close()
	}
	if _, err := a.Dial(ctx, netip.MustParseAddrPort("10.77.0.2:23")); err == nil {
		t.Error("connected to a closed port")
	}
}

func TestConfigure(t *testing.T) {
	a, b := pair(t)
	ping := func(to string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := a.Ping(ctx, netip.MustParseAddr(to), 1, 8)
		return err
	}
	if err := ping("10.77.0.2"); err != nil {
		t.Fatal(err)
	}
	if err := b.Configure(Config{Addr: netip.MustParsePrefix("10.77.0.9/24")}); err != nil {
		t.Fatal(err)
	}
	if err := ping("10.77.0.9"); err != nil {
		t.Errorf("the new address: %v", err)
	}
	if err := ping("10.77.0.2"); err == nil {
		t.Error("the old address answers")
	}
	if got := b.Interfaces()[0].Addr; got != netip.MustParsePrefix("10.77.0.9/24") {
		t.Errorf("address %v", got)
	}
	if err := b.Configure(Config{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Configure(Config{Addr: netip.MustParsePrefix("fe80::1/64")}); err == nil {
		t.Error("an address that is not IPv4")
	}
}
