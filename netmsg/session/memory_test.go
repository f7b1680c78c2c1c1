package session

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"
	"hurdlab/netmsg/wire"
)

// accounts is a Memory that knows what is allocated, and spoils what is freed.
type accounts struct {
	mu   sync.Mutex
	used map[*byte]int
	all  int

	given int
}

func (c *accounts) Alloc(n int) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := make([]byte, n+2*page)
	lead := page - 1 - int(uintptr(unsafe.Pointer(&room[0]))-1)%page
	b := room[lead : lead+n : lead+(n+page-1)/page*page]
	if c.used == nil {
		c.used = map[*byte]int{}
	}
	c.used[&b[0]] = n
	c.all++
	return b, nil
}

func (c *accounts) Free(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used[&b[0]] == 0 {
		panic("freed twice")
	}
	delete(c.used, &b[0])
	for i := range b {
		b[i] = 0xdb
	}
}

func (c *accounts) PageSize() int { return page }

func (c *accounts) Give(b, part []byte) {
	kept := bytes.Clone(part)
	c.Free(b)
	copy(part, kept)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.given++
}

// page is the size of pages in tests.
const page = 4096

func (c *accounts) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.used)
}

// large makes a record with a message with out-of-line data in memory of m.
func large(t *testing.T, m Memory, to rights.ID, sizes ...int) *rights.Record {
	t.Helper()
	msg := machwire.New(machwire.Layout32, 1)
	var all [][]byte
	for i, n := range sizes {
		b, err := m.Alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		for k := range b {
			b[k] = byte(k*7 + i)
		}
		all = append(all, b)
		msg.PutInt32(int32(n))
		msg.PutOOL(machwire.Desc{Type: machwire.Byte, Bits: 8, Number: uint32(n), OOL: true, Long: true}, b)
	}
	mem := given{}
	msg.Bind(func(b []byte) uint64 { mem[uint64(len(mem)+1)] = b; return uint64(len(mem)) })
	msg.SetDest(0, 0)
	got, err := machwire.Parse(machwire.Layout32, msg.Buffer(0), mem)
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := wire.Encode(got, nil)
	if err != nil {
		t.Fatal(err)
	}
	body.Release = func() {
		for _, b := range all {
			m.Free(b)
		}
	}
	return &rights.Record{Type: rights.RecMessage, ID: to, Message: &rights.Message{Body: body}}
}

// gives is the item that can be given away: the first that is large enough.
func gives(sizes []int) int {
	return slices.IndexFunc(sizes, func(n int) bool { return n >= giveData })
}

type given map[uint64][]byte

func (g given) Bytes(addr uint64, n int) ([]byte, error) { return g[addr][:n], nil }

// Messages of all sizes arrive as they were, and their memory is given back at both ends,
// whatever becomes of the session.
func TestLargeMessages(t *testing.T) {
	for _, end := range []string{"delivered", "lost"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNetwork(t)
				ma, mb := new(accounts), new(accounts)
				a := w.start("a", 1, func(c *Config) { c.Memory = ma })
				b := w.start("b", 2, func(c *Config) { c.Memory = mb })
				sizes := [][]int{{1}, {5000}, {largeData - 1, largeData, 70}, {writeSize}, {writeSize - 70, 3}, {3, 300_000}, {64 << 10, 64 << 10}, {3 << 20}}
				got := 0
				b.onReceive = func(_ *Session, records []rights.Record) {
					for _, r := range records {
						want := sizes[got]
						got++
						i := 0
						for it := range r.Message.Body.(*wire.Body).Items() {
							if !it.OOL {
								continue
							}
							if len(it.Data) >= giveData && i == gives(want) {
								if !r.Message.Body.(*wire.Body).Give(it.Data) {
									t.Errorf("message %d, item %d cannot be given", got, i)
								}
								defer func() {
									if it.Data[1] != byte(7+gives(want)) {
										t.Errorf("message %d: what was given is spoilt", got)
									}
								}()
							}
							for k, c := range it.Data {
								if c != byte(k*7+i) {
									t.Errorf("message %d, item %d: byte %d of %d is %d", got, i, k, len(it.Data), c)
									break
								}
							}
							if len(it.Data) != want[i] {
								t.Errorf("message %d, item %d: %d bytes, want %d", got, i, len(it.Data), want[i])
							}
							i++
						}
						r.Message.Body.(*wire.Body).Free()
					}
				}
				s, err := a.Connect(t.Context(), "b")
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				for i, n := range sizes {
					s.Send(large(t, ma, rights.ID{Origin: s.Peer(), Num: uint64(i)}, n...))
				}
				if end == "lost" {
					s.Close(protocolError(rights.CodeBye, "", "enough"))
					s.Send(large(t, ma, rights.ID{Origin: s.Peer(), Num: 1}, 100_000))
				} else {
					s.Flush()
				}
				time.Sleep(time.Second)
				if end == "delivered" && got != len(sizes) {
					t.Errorf("%d messages of %d", got, len(sizes))
				}
				a.Close()
				b.Close()
				time.Sleep(time.Minute)
				synctest.Wait()
				if end == "delivered" && mb.given != 5 {
					t.Errorf("%d were given away", mb.given)
				}
				for _, m := range []*accounts{ma, mb} {
					if n := m.left(); n != 0 || end == "delivered" && m.all == 0 {
						t.Errorf("%d of %d pieces of memory are left", n, m.all)
					}
				}
			})
		})
	}
}

// Who writes more than the peer reads can wait for it.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a := w.start("a", 1, func(c *Config) { c.Queue = 8 * 100_000 })
		b := w.start("b", 2)
		stop := make(chan struct{})
		b.onReceive = func(*Session, []rights.Record) { <-stop }
		s, err := a.Connect(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n := 0
		for ; !s.Full(); n++ {
			s.Send(large(t, heap{}, rights.ID{Origin: s.Peer(), Num: 1}, 10_000))
			s.Flush()
			synctest.Wait()
		}
		if n > 20 {
			t.Errorf("full after %d messages", n)
		}
		went := false
		go func() { s.Room(); went = true }()
		synctest.Wait()
		if went {
			t.Error("it does not wait")
		}
		close(stop)
		synctest.Wait()
		if !went || s.Full() {
			t.Error("it waits although there is room")
		}
		for !s.Full() {
			b.onReceive = nil
			s.Send(large(t, heap{}, rights.ID{Origin: s.Peer(), Num: 1}, 100_000))
		}
		over := false
		go func() { s.Room(); over = true }()
		s.Close(protocolError(rights.CodeBye, "", "enough"))
		synctest.Wait()
		if !over {
			t.Error("it waits for a session that is over")
		}
		a.Close()
		b.Close()
	})
}
