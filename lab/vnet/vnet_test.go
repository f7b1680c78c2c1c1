package vnet

import (
	"io"
	"testing"
)

func TestSmoke(t *testing.T) {
	s := newSwitch(t, Config{})
	g1, g2 := newGuest(t, addNode(t, s, "node1")), newGuest(t, addNode(t, s, "node2"))
	l := g2.listen(7)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	for _, dial := range []func() (io.ReadWriteCloser, error){
		func() (io.ReadWriteCloser, error) { return g1.dial(t.Context(), g2.nic.Addr().Addr(), 7) },
		func() (io.ReadWriteCloser, error) { return s.DialContext(t.Context(), "tcp", "node2:7") },
	} {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "hello")
		b := make([]byte, 5)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
			t.Errorf("%q %v", b, err)
		}
		c.Close()
	}
	t.Logf("%+v", s.Counters())
}
