package wire

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	machwire "hurdlab/mach/wire"
	"hurdlab/netmsg/rights"

	"pgregory.net/rapid"
)

// A message arrives as it was sent, on nodes of either layout.
func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from, to := drawLayout(rt), drawLayout(rt)
		m := receive(t, drawMach(rt, from))
		reply, disp := m.Remote()
		want := flat(t, m, func(p machwire.Port) string {
			if p.Valid() {
				p += 1000
			}
			return fmt.Sprint(uint32(p))
		})
		out, err := carry(t, m, to)
		if err != nil {
			rt.Fatal(err)
		}
		r, d := out.Local()
		if disp != d || disp != 0 && r != reply+1000 {
			rt.Fatalf("to be answered by %v %v, want %v %v", d, r, disp, reply+1000)
		}
		out = receive(t, out)
		if got := flat(t, out, func(p machwire.Port) string { return fmt.Sprint(uint32(p)) }); !slices.Equal(got, want) {
			rt.Fatalf("from %v to %v:\n%q\nwant\n%q", from, to, got, want)
		}
	})
}

// What is between two nodes of one layout is the same to the last byte.
func TestSameLayoutSameBytes(t *testing.T) {
	for _, l := range []machwire.Layout{machwire.Layout32, machwire.Layout64} {
		m := machwire.New(l, 20018)
		m.SetReply(5, machwire.MakeSendOnce)
		m.PutString("etc/passwd", 1024)
		m.PutInt32(1)
		m.PutRight(3, machwire.CopySend)
		m.PutRights([]machwire.Port{1, 2}, machwire.MoveSend)
		m = receive(t, m)
		out, err := carry(t, m, l)
		if err != nil {
			t.Fatal(err)
		}
		got, want := receive(t, out).Buffer(0), m.Buffer(0)
		for it := range m.Items() {
			if it.Type.IsRight() {
				b, _ := it.Bytes()
				for i := range it.Ports() {
					it.SetPort(b, i, it.Port(b, i)+1000)
				}
			}
		}
		if h := l.HeaderSize(); !bytes.Equal(got[h:], want[h:]) {
			t.Errorf("%v:\n%x\nwant\n%x", l, got, want)
		}
	}
}

func TestUntypedMessages(t *testing.T) {
	m := machwire.New(machwire.Layout64, 5)
	m.SetReply(9, machwire.MakeSendOnce)
	m.PutUntyped([]byte("nobody can tell what this may mean.....!"))
	m = receive(t, m)
	want := bytes.Clone(m.Buffer(0)[m.Layout().HeaderSize():])
	out, err := carry(t, m, machwire.Layout64)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Buffer(0)[32:]; !bytes.Equal(got, want) {
		t.Errorf("%q arrived", got)
	}
	if _, err := carry(t, m, machwire.Layout32); err == nil {
		t.Error("it was carried to another layout")
	}
}

func TestPlacedMemory(t *testing.T) {
	m := machwire.New(machwire.Layout64, 5)
	data := bytes.Repeat([]byte("0123"), 1000)
	m.PutOOLData(machwire.Byte, data)
	m.PutOOLData(machwire.Byte, nil)
	body, _, err := Encode(receive(t, m), nil)
	if err != nil {
		t.Fatal(err)
	}
	mem := memory{}
	out := machwire.New(machwire.Layout32, 0)
	err = deliver(body, out, nil, func(data []byte) (uint64, error) {
		mem[4096] = bytes.Clone(data)
		return 4096, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out.SetDest(1, machwire.CopySend)
	if err := out.Load(machwire.Layout32, out.Buffer(0), mem); err != nil {
		t.Fatal(err)
	}
	it, _ := out.Take()
	if b, err := it.Bytes(); err != nil || !bytes.Equal(b, data) || !it.Dealloc {
		t.Errorf("%v: %d bytes, %v", it.Desc, len(b), err)
	}
}

// A body asks for the rights of an item together: they have one disposition.
func TestRightsAreAskedForByItem(t *testing.T) {
	m := machwire.New(machwire.Layout32, 5)
	m.SetReply(9, machwire.MakeSendOnce)
	m.PutRight(1, machwire.CopySend)
	m.PutRights([]machwire.Port{2, 3, 4}, machwire.CopySend)
	m.PutRights(nil, machwire.CopySend)
	m.PutRight(5, machwire.MoveReceive)
	body, list, err := Encode(receive(t, m), nil)
	if err != nil || !body.HasReply() || body.Rights() != 6 {
		t.Fatal(list, err)
	}
	var asked string
	out := machwire.New(machwire.Layout64, body.ID())
	err = body.Decode(out, nil, func(first, n int, kind machwire.Type) ([]machwire.Port, machwire.Type, error) {
		asked += fmt.Sprintf("%d+%d %v; ", first, n, kind)
		return make([]machwire.Port, n), machwire.MakeSend, nil
	})
	if want := "1+1 send right; 2+3 send right; 5+0 send right; 5+1 receive right; "; err != nil || asked != want {
		t.Errorf("%s, %v\nwant %s", asked, err, want)
	}
	err = body.Decode(machwire.New(machwire.Layout64, body.ID()), nil, func(first, n int, kind machwire.Type) ([]machwire.Port, machwire.Type, error) {
		return nil, kind, nil
	})
	if err == nil {
		t.Error("no rights were as good as one")
	}
}

func TestMessagesThatCannotBeCarried(t *testing.T) {
	// A complex message, cut.
	m := machwire.New(machwire.Layout32, 5)
	m.PutRight(1, machwire.CopySend)
	m.PutData(machwire.Byte, make([]byte, 100))
	m.SetDest(0, 0)
	b := m.Buffer(0)[:40]
	b[4] = 40
	cut, err := machwire.Parse(machwire.Layout32, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, list, err := Encode(cut, nil); err == nil || list != nil {
		t.Errorf("a message that ends early: %v, %v", list, err)
	}
	// Memory that is not there.
	m = machwire.New(machwire.Layout32, 5)
	m.PutMemory(machwire.Byte, 4096, 10, true)
	m.SetDest(0, 0)
	lost, err := machwire.Parse(machwire.Layout32, m.Buffer(0), memory{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Encode(lost, nil); err == nil {
		t.Error("memory that is not there was carried")
	}
}

// A between is two nodes of different layouts, as clients and servers of package proto see
// it: a [proto.Caller].
type between struct {
	t              testing.TB
	client, server machwire.Layout
	handler        mach.Handler
}

func (c between) Layout() machwire.Layout                              { return c.client }
func (c between) Drop(p mach.Port, t mach.Type)                        {}
func (c between) Send(context.Context, mach.Port, *mach.Message) error { return nil }

func (c between) Call(ctx context.Context, to mach.Port, m *mach.Message) error {
	id := m.ID()
	m.SetReply(9, machwire.MakeSendOnce)
	req, err := carry(c.t, receive(c.t, m), c.server)
	if err != nil {
		return err
	}
	reply := machwire.New(c.server, id+100)
	reply.PutInt32(0)
	if err := c.handler.Handle(ctx, receive(c.t, req), reply); err != nil {
		return err
	}
	back, err := carry(c.t, receive(c.t, reply), c.client)
	if err != nil {
		return err
	}
	back = receive(c.t, back)
	if err := m.Load(c.client, back.Buffer(0), nil); err != nil {
		return err
	}
	m.TakeInt32()
	return m.Err()
}

type server struct {
	proto.UnimplementedIO
	proto.UnimplementedFS
	proto.UnimplementedProc
	proto.UnimplementedExecStartup
	asked []any
	stat  proto.Stat
	fs    proto.Statfs
	flock proto.Flock
	usage proto.Rusage
}

func (s *server) IOStat(context.Context) (proto.Stat, error)       { return s.stat, nil }
func (s *server) FileStatfs(context.Context) (proto.Statfs, error) { return s.fs, nil }
func (s *server) IORead(_ context.Context, offset int64, amount uint64) ([]byte, error) {
	s.asked = []any{offset, amount}
	return []byte("data"), nil
}
func (s *server) IOWrite(_ context.Context, data []byte, offset int64) (uint64, error) {
	return uint64(len(data)), nil
}
func (s *server) FileUtimens(_ context.Context, a, m proto.Timespec) error {
	s.asked = []any{a, m}
	return nil
}
func (s *server) FileRecordLock(_ context.Context, cmd int32, f proto.Flock, r mach.Port) (proto.Flock, error) {
	s.asked = []any{cmd, f}
	return s.flock, nil
}
func (s *server) ProcWait(_ context.Context, pid, options int32) (int32, int32, proto.Rusage, int32, error) {
	return 1, 2, s.usage, 3, nil
}

// What is of another size on the other node is what it was.
func TestWordsAndStructures(t *testing.T) {
	for _, l := range [][2]machwire.Layout{{4, 4}, {4, 8}, {8, 4}, {8, 8}} {
		t.Run(fmt.Sprintf("%v client, %v server", l[0], l[1]), func(t *testing.T) {
			s := &server{
				stat: proto.Stat{FSType: -1, FSID: 1 << 60, Ino: 1<<40 + 3, Gen: 4, Rdev: 0x80000001, Mode: 0o100644, Nlink: 3, UID: 1000, GID: 1 << 31,
					Size: 1 << 50, Atime: proto.Timespec{Sec: -5, Nsec: 1}, Mtime: proto.Timespec{Sec: 1700000000, Nsec: 999999999}, Ctime: proto.Timespec{Sec: 1, Nsec: 2},
					Blksize: 4096, Blocks: 1 << 41, Author: 5, Flags: 6},
				fs:    proto.Statfs{Type: 1, Bsize: 4096, Blocks: 1 << 40, Bfree: 2, Bavail: 3, Files: 4, Ffree: 5, Favail: 6, FSID: 7, Namelen: 255, Frsize: 9, Flag: 10},
				flock: proto.Flock{Type: 2, Whence: 1, Start: 1 << 40, Len: -7, PID: 99},
				usage: proto.Rusage{Utime: proto.Timeval{Sec: 1, Usec: 2}, Counts: [14]int64{3: 7, 13: -8}},
			}
			ctx := proto.WithCaller(t.Context(), between{t, l[0], l[1], proto.Handler(s)})
			if x, err := proto.IOStat(ctx, 1); err != nil || x != s.stat {
				t.Errorf("io_stat: %+v, %v, want\n%+v", x, err, s.stat)
			}
			if x, err := proto.FileStatfs(ctx, 1); err != nil || x != s.fs {
				t.Errorf("file_statfs: %+v, %v, want\n%+v", x, err, s.fs)
			}
			in := proto.Flock{Type: 1, Start: -1, Len: 1 << 62, PID: -1}
			if x, err := proto.FileRecordLock(ctx, 1, 5, in, proto.Right{}); err != nil || x != s.flock || s.asked[1] != in {
				t.Errorf("file_record_lock: %+v, %v", x, err)
			}
			if a, b, x, c, err := proto.ProcWait(ctx, 1, 5, 6); err != nil || x != s.usage || a != 1 || b != 2 || c != 3 {
				t.Errorf("proc_wait: %+v, %v", x, err)
			}
			a, m := proto.Timespec{Sec: 5, Nsec: -1}, proto.Timespec{Sec: -2, Nsec: -2}
			if err := proto.FileUtimens(ctx, 1, a, m); err != nil || s.asked[0] != a || s.asked[1] != m {
				t.Errorf("file_utimens: %v, %v", s.asked, err)
			}
			if x, err := proto.IORead(ctx, 1, -1, 0xf0000000); err != nil || string(x) != "data" || s.asked[0] != int64(-1) || s.asked[1] != uint64(0xf0000000) {
				t.Errorf("io_read: %q, %v, %v", x, s.asked, err)
			}
			if n, err := proto.IOWrite(ctx, 1, []byte("hello"), -1); err != nil || n != 5 {
				t.Errorf("io_write: %d, %v", n, err)
			}
		})
	}
}

func TestWordsThatDoNotFit(t *testing.T) {
	s := &server{stat: proto.Stat{Mtime: proto.Timespec{Sec: 1 << 40}, Atime: proto.Timespec{Sec: -1 << 40}, Nlink: 1 << 40}}
	ctx := proto.WithCaller(t.Context(), between{t, machwire.Layout64, machwire.Layout32, proto.Handler(s)})
	if _, err := proto.IORead(ctx, 1, 0, 1<<32); err == nil {
		t.Error("4 GB were asked for of a node of 32 bits")
	}
	// All there is remains all there is.
	if _, err := proto.IORead(ctx, 1, 0, math.MaxUint64); err != nil || s.asked[1] != uint64(math.MaxUint32) {
		t.Errorf("%v, %v", s.asked, err)
	}
	ctx = proto.WithCaller(t.Context(), between{t, machwire.Layout32, machwire.Layout64, proto.Handler(s)})
	if _, err := proto.IORead(ctx, 1, 0, math.MaxUint32); err != nil || s.asked[1] != uint64(math.MaxUint64) {
		t.Errorf("%v, %v", s.asked, err)
	}
	x, err := proto.IOStat(ctx, 1)
	if err != nil || x.Mtime.Sec != math.MaxInt32 || x.Atime.Sec != math.MinInt32 || x.Nlink != math.MaxUint32 {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestRoutine(t *testing.T) {
	for id, want := range map[int32]string{21001: "io_read", 21101: "io_read reply", 2021: "vm_allocate", 2201: "memory_object_terminate", 99: "", math.MinInt32: ""} {
		if got := Routine(id); got != want {
			t.Errorf("%d is %q, not %q", id, got, want)
		}
	}
}

// FuzzEncode takes received messages apart and makes them again.
func FuzzEncode(f *testing.F) {
	for _, l := range []machwire.Layout{machwire.Layout32, machwire.Layout64} {
		m := machwire.New(l, 20018)
		m.SetReply(5, machwire.MakeSendOnce)
		m.PutString("etc", 64)
		m.PutRights([]machwire.Port{1, 0, 2}, machwire.CopySend)
		m.PutWord(7)
		m.PutOOLData(machwire.Char, make([]byte, 10))
		f.Add(l == machwire.Layout64, receive(f, m).Buffer(0))
	}
	f.Fuzz(func(t *testing.T, wide bool, b []byte) {
		l := machwire.Layout32
		if wide {
			l = machwire.Layout64
		}
		m, err := machwire.Parse(l, bytes.Clone(b), anywhere{})
		if err != nil {
			return
		}
		body, list, err := Encode(m, nil)
		if err != nil {
			return
		}
		if body.Rights() != len(list) {
			t.Fatalf("%d rights, not %d", len(list), body.Rights())
		}
		for i := range list {
			if p := list[i].Port; p.Valid() { // of a number that does not overflow
				list[i].Port = p % 1000
			}
		}
		enc, _ := body.append(nil, nil, math.MaxInt)
		if len(enc) != body.Size() {
			t.Fatalf("%d bytes, not %d", len(enc), body.Size())
		}
		again := new(Body)
		if err := again.decode(enc, inRecord(list)); err != nil {
			t.Fatal(err)
		}
		for _, l := range []machwire.Layout{machwire.Layout32, machwire.Layout64} {
			_ = deliver(again, machwire.New(l, 0), list, nil)
			_ = deliver(body, machwire.New(l, 0), list, nil)
		}
	})
}

type anywhere struct{}

func (anywhere) Bytes(addr uint64, n int) ([]byte, error) {
	if n > 1<<16 {
		return nil, machwire.ErrNoMemory
	}
	return make([]byte, n), nil
}

func BenchmarkNullRequest(b *testing.B) {
	m := machwire.New(machwire.Native, 21012)
	m.SetReply(5, machwire.MakeSendOnce)
	m.PutInt32(1)
	m = receive(b, m)
	one, two := ends()
	rec := rights.Record{Type: rights.RecMessage, ID: rights.ID{Origin: bob, Num: 1}, Message: &rights.Message{
		Rights: []rights.Right{{Kind: rights.SendOnce, ID: rights.ID{Origin: alice, Num: 2}, Counted: true}}}}
	var frame []byte
	out := machwire.New(machwire.Native, 0)
	b.ReportAllocs()
	for b.Loop() {
		body, _, err := Encode(m, nil)
		if err != nil {
			b.Fatal(err)
		}
		rec.Message.Body = body
		frame, _ = one.Append(frame[:0], &rec)
		got, err := two.Decode(frame[FrameHeader:], false)
		if err != nil {
			b.Fatal(err)
		}
		out.Reset(machwire.Native, body.ID())
		if err := got.Message.Body.(*Body).Decode(out, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(frame)), "bytes")
}
