package vnet

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"hurdlab/lab/vnet/stream"
)

// BenchmarkSwitch measures how fast full frames pass from one node to another
// over unix socket pairs, and the ratio to copying the same bytes from socket
// pair to socket pair, in the same run.
func BenchmarkSwitch(b *testing.B) {
	const batch = 32
	s := start(b, Config{})
	src, dst := addNode(b, s, "node1"), addNode(b, s, "node2")
	in, plug1 := socketpair(b)
	plug2, out := socketpair(b)
	attach(b, src, plug1)
	attach(b, dst, plug2)

	frame := make([]byte, 1514)
	to, from := dst.MAC(), src.MAC()
	copy(frame, to[:])
	copy(frame[6:], from[:])
	binary.BigEndian.PutUint16(frame[12:], 0x88b5) // for local experiments
	// The destination says hello, so that the switch knows it.
	hello := append(append([]byte{}, from[:]...), append(to[:], 0x88, 0xb5)...)
	if _, err := out.Write(stream.Append(nil, hello)); err != nil {
		b.Fatal(err)
	}
	if _, err := stream.NewReader(in).Next(); err != nil {
		b.Fatal(err)
	}
	var block []byte
	for range batch {
		block = stream.Append(block, frame)
	}

	b.SetBytes(int64(len(block)))
	b.ResetTimer()
	through := pump(b, in, out, block, b.N)
	b.StopTimer()
	if c := s.Counters(); c.NICs[2].Full > 0 {
		b.Fatalf("%d frames dropped: the window is too large", c.NICs[2].Full)
	}

	in2, mid1 := socketpair(b)
	mid2, out2 := socketpair(b)
	// Without splice, which a switch cannot use.
	go io.CopyBuffer(struct{ io.Writer }{mid2}, struct{ io.Reader }{mid1}, make([]byte, 128<<10))
	plain := pump(b, in2, out2, block, b.N)

	bytes := float64(b.N * len(block))
	b.ReportMetric(bytes/through.Seconds()/1e6, "switch-MB/s")
	b.ReportMetric(bytes/plain.Seconds()/1e6, "plain-MB/s")
	b.ReportMetric(plain.Seconds()/through.Seconds(), "ratio")
}

// pump sends block n times, at most window of them under way.
func pump(b *testing.B, in io.Writer, out io.Reader, block []byte, n int) time.Duration {
	const window = 8
	tokens := make(chan struct{}, window)
	start := time.Now()
	go func() {
		for range n {
			tokens <- struct{}{}
			if _, err := in.Write(block); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	got := make([]byte, len(block))
	for range n {
		if _, err := io.ReadFull(out, got); err != nil {
			b.Fatal(err)
		}
		<-tokens
	}
	return time.Since(start)
}

// BenchmarkRoundTrip measures how long a small frame takes to another node and
// back, and the ratio to the same bytes through socket pairs with a copy between
// them, in the same run.
func BenchmarkRoundTrip(b *testing.B) {
	s := start(b, Config{})
	n1, n2 := addNode(b, s, "node1"), addNode(b, s, "node2")
	e1, plug1 := socketpair(b)
	e2, plug2 := socketpair(b)
	attach(b, n1, plug1)
	attach(b, n2, plug2)
	there := stream.Append(nil, frame(n2.MAC(), n1.MAC(), "ping"))
	back := stream.Append(nil, frame(n1.MAC(), n2.MAC(), "pong"))
	go answer(e2, back)
	b.ResetTimer()
	through := rounds(b, e1, there, b.N)
	b.StopTimer()

	p1, mid1 := socketpair(b)
	p2, mid2 := socketpair(b)
	go io.CopyBuffer(struct{ io.Writer }{mid2}, struct{ io.Reader }{mid1}, make([]byte, 128<<10))
	go io.CopyBuffer(struct{ io.Writer }{mid1}, struct{ io.Reader }{mid2}, make([]byte, 128<<10))
	go answer(p2, back)
	plain := rounds(b, p1, there, b.N)
	b.ReportMetric(float64(plain.Nanoseconds())/float64(b.N), "plain-ns/op")
	b.ReportMetric(through.Seconds()/plain.Seconds(), "ratio")
}

// answer writes a reply for as many bytes as it has.
func answer(c io.ReadWriter, reply []byte) {
	b := make([]byte, len(reply))
	for {
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

func rounds(b *testing.B, c io.ReadWriter, request []byte, n int) time.Duration {
	start := time.Now()
	got := make([]byte, len(request))
	for range n {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}
