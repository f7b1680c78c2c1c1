package late

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"hurdlab/mach"
)

// Over the node's network server: what is written comes, and the socket is given back.
func TestSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	names := func() int {
		t.Helper()
		list, _, err := mach.PortNames(mach.TaskSelf())
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	var history []int
	for range 6 {
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		other, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := Wrap(raw)
		if err := c.(interface{ WriteLate() error }).WriteLate(); err != nil {
			t.Fatal(err)
		}
		if c.(*conn).socket == nil {
			t.Fatal("writes are ordinary")
		}
		// The server takes less than all, now and then.
		if err := raw.(*net.TCPConn).SetWriteBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		want := make([]byte, 1<<20)
		for i := range want {
			want[i] = byte(rnd.Uint32())
		}
		wrote := make(chan error)
		go func() {
			for b := want; len(b) > 0; {
				n := min(len(b), 1+rnd.IntN(2*most))
				if rnd.IntN(20) == 0 {
					n = min(len(b), 64<<10)
				}
				if _, err := c.Write(b[:n]); err != nil {
					wrote <- err
					return
				}
				b = b[n:]
			}
			wrote <- c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(other)
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d, or others: %v", len(got), len(want), err)
		}
		// The peer goes: one of the next writes says so.
		other.Close()
		for err == nil {
			_, err = c.Write([]byte("more"))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if history = append(history, names()); len(history) > 2 && history[len(history)-1] <= history[len(history)-2] {
			return
		}
	}
	t.Errorf("names of ports after each connection: %d", history)
}
