//go:build !hurd

package mach

import (
	"bytes"
	"reflect"
	"testing"

	"hurdlab/internal/reference"
	"hurdlab/mach/wire"
)

// What the kernel sends unasked is understood, as the reference describes it,
// in both layouts.
func TestTaken(t *testing.T) {
	pager := func(m *Message) (any, error) { return TakePager(m) }
	notification := func(m *Message) (any, error) {
		n, ok, err := TakeNotification(m)
		if !ok {
			t.Errorf("%d is not taken for a notification", m.ID())
		}
		return n, err
	}
	const w = 0xfffff000 // the reference's words
	for _, c := range []struct {
		id   int32
		take func(m *Message) (any, error)
		want any
	}{
		{2200, pager, PagerInit{7, 7, w}},
		{2201, pager, PagerTerminate{7, 7}},
		{2202, pager, PagerCopy{7, w, w, 7}},
		{2203, pager, PagerDataRequest{7, w, w, 0}},
		{2204, pager, PagerDataUnlock{7, w, w, 0}},
		{2206, pager, PagerLockCompleted{7, w, w}},
		{2207, pager, PagerSupplyCompleted{7, w, w, 0, w}},
		{2208, pager, PagerDataReturn{7, w, []byte("xxx"), true, true}},
		{2209, pager, PagerChangeCompleted{true, 0}},
		{2400, func(m *Message) (any, error) { return TakeException(m) }, Exception{7, 7, 0, 0, w}},
		{65, notification, Notification{Kind: NotifyDeleted, Name: 9}},
		{69, notification, Notification{Kind: NotifyPortDestroyed, Receive: 7}},
		{70, notification, Notification{Kind: NotifyNoSenders}},
		{71, notification, Notification{Kind: NotifySendOnce}},
		{72, notification, Notification{Kind: NotifyDeadName, Name: 9}},
	} {
		found := false
		for _, r := range reference.Routines(t) {
			if r.ID != c.id {
				continue
			}
			found = true
			for _, l := range layouts {
				m := wire.New(l, c.id)
				for _, typ := range r.Request {
					if typ == "cs" || typ == "mks" {
						typ = "S" // as received
					}
					reference.Put(t, m, typ, 3)
				}
				got, err := c.take(reference.Receive(t, m))
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("%v %s: %+v, %v; want %+v", l, r.Name, got, err, c.want)
				}
				// Another item, and it is refused.
				m.PutInt32(0)
				if _, err := c.take(reference.Receive(t, m)); err == nil {
					t.Errorf("%v %s with an item too many was taken", l, r.Name)
				}
			}
		}
		if !found {
			t.Errorf("the reference has no %d", c.id)
		}
	}
	if e, err := TakePager(NewMessage(1)); e != nil || err != nil {
		t.Errorf("message 1 is taken for a pager's: %v, %v", e, err)
	}
	if _, ok, err := TakeNotification(NewMessage(1)); ok || err != nil {
		t.Errorf("message 1 is taken for a notification: %v", err)
	}
}

func TestTakeNetPacket(t *testing.T) {
	for _, l := range layouts {
		for _, c := range []struct{ header, packet, want string }{
			{"\x01\x02\x03\x04\x05\x06\x11\x12\x13\x14\x15\x16\x08\x00", "\x08\x00\x00\x00payload", "\x01\x02\x03\x04\x05\x06\x11\x12\x13\x14\x15\x16\x08\x00payload"},
			{"short", "\x04\x00\x00\x00", ""},
			{"\x01\x02\x03\x04\x05\x06\x11\x12\x13\x14\x15\x16\x08\x00", "\x08", ""},
		} {
			m := wire.New(l, IDNetPacket)
			m.Put(wire.Desc{Type: Byte, Bits: 8, Number: 64}, append([]byte(c.header), make([]byte, 64-len(c.header))...)[:64])
			if len(c.header) < 14 {
				m = wire.New(l, IDNetPacket)
				m.Put(wire.Desc{Type: Byte, Bits: 8, Number: uint32(len(c.header))}, []byte(c.header))
			}
			m.Put(wire.Desc{Type: Byte, Bits: 8, Number: uint32(len(c.packet))}, []byte(c.packet))
			m = reference.Receive(t, m)
			// The kernel leaves room after the items.
			b := append(bytes.Clone(m.Buffer(0)), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)
			b[4] = byte(len(b))
			if err := m.Load(l, b, nil); err != nil {
				t.Fatal(err)
			}
			got, err := TakeNetPacket(m, []byte("before "))
			if c.want == "" {
				if err == nil {
					t.Errorf("%v: %q was taken", l, got)
				}
			} else if err != nil || string(got) != "before "+c.want {
				t.Errorf("%v: %q, %v", l, got, err)
			}
		}
	}
}
