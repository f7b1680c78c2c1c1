//go:build !hurd

package proto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hurdlab/internal/reference"
	"hurdlab/mach"
	"hurdlab/mach/vmem"
	"hurdlab/mach/wire"
)

// A loop carries requests to a handler and counts rights.
type loop struct {
	t        testing.TB
	layout   wire.Layout
	handler  mach.Handler
	request  []byte // of the last call
	reply    []byte
	released []string
}

func (l *loop) Layout() wire.Layout { return l.layout }

func (l *loop) Drop(p mach.Port, t mach.Type) {
	l.released = append(l.released, fmt.Sprint(t, " ", uint32(p)))
}

// cross makes of a message what its receiver gets.
func (l *loop) cross(m *mach.Message) *mach.Message {
	l.t.Helper()
	got := reference.Receive(l.t, m)
	for it, err := range got.Items() {
		if err != nil {
			l.t.Fatal(err)
		}
		switch it.Type {
		case mach.CopySend, mach.MakeSend:
			it.SetType(mach.MoveSend)
		case mach.MakeSendOnce:
			it.SetType(mach.MoveSendOnce)
		}
	}
	return got
}

func (l *loop) Call(ctx context.Context, to mach.Port, m *mach.Message) error {
	id := m.ID()
	req := l.cross(m)
	l.request = bytes.Clone(req.Buffer(0))
	reply := wire.New(l.layout, id+100)
	reply.PutInt32(0)
	if err := l.handler.Handle(ctx, req, reply); err != nil {
		return err
	}
	got := l.cross(reply)
	l.reply = bytes.Clone(got.Buffer(0))
	if err := m.Load(l.layout, l.reply, memoryOf(reply)); err != nil {
		return err
	}
	m.TakeInt32()
	return m.Err()
}

// memoryOf finds out-of-line data of a reply where Receive put it: Receive
// binds it to addresses of a Memory of its own, which Load needs again.
func memoryOf(m *mach.Message) wire.Memory {
	mem := reference.Memory{}
	m.Bind(mem.Bind)
	return mem
}

func (l *loop) Send(ctx context.Context, to mach.Port, m *mach.Message) error {
	req := l.cross(m)
	l.request = bytes.Clone(req.Buffer(0))
	err := l.handler.Handle(ctx, req, wire.New(l.layout, 0))
	if errors.Is(err, mach.MigBadID) {
		return nil // interrupt_operation, for example
	}
	return err
}

// notation is how the reference document writes the types of the description.
var notation = map[string]string{
	"string": "cstr[1024]", "data": "char[≤2048]/ool", "pages": "char[≤2048]/ool", "ints": "i32[≤512]/ool", "longs": "i64[≤256]/ool", "names": "name[≤512]/ool",
	"state": "i32[≤1024]", "uname": "char×5120·L", "stat": "{i32×32|i64×22}", "statfs": "{i32×22|i64×14}", "flock": "{i32×7|i64×4}",
	"timespec": "w×2", "timeval": "w×2", "rusage": "w×18", "right": "pS", "anyright": "p*", "rights": "pS[≤512|256]/ool", "sends": "S[≤512|256]/ool",
}

func TestTheDescriptionIsThatOfTheReference(t *testing.T) {
	all := map[int32]reference.Routine{}
	for _, r := range reference.Routines(t) {
		all[r.ID] = r
	}
	translate := func(types []string) (list []string) {
		for _, x := range types {
			if n, ok := notation[x]; ok {
				x = n
			}
			list = append(list, x)
		}
		return list
	}
	for _, s := range stubs {
		if s.id >= 45000 && s.id < 46000 {
			continue // this project's own
		}
		r, ok := all[s.id]
		if !ok || r.Name != s.name || r.Answered != s.answered {
			t.Errorf("%d %s: the reference has %+v", s.id, s.name, r)
			continue
		}
		if got := translate(s.args); !slices.Equal(got, r.Request) {
			t.Errorf("%s: arguments %v, the reference has %v", s.name, got, r.Request)
		}
		if got := translate(s.results); !slices.Equal(got, r.Reply) {
			t.Errorf("%s: results %v, the reference has %v", s.name, got, r.Reply)
		}
	}
}

// random returns a value of a type of the stubs.
func random(r *rand.Rand, t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch x := v.Addr().Interface().(type) {
	case *string:
		*x = strings.Repeat("s", r.IntN(MaxString+1))
	case *Right:
		*x = Copy(mach.Port(r.Uint32N(1000) + 1))
	case *mach.Port:
		*x = mach.Port(r.Uint32N(1000) + 1)
	case *Timespec:
		*x = Timespec{int64(int32(r.Uint32())), int64(int32(r.Uint32()))}
	case *Timeval:
		*x = Timeval{int64(int32(r.Uint32())), int64(int32(r.Uint32()))}
	case *Uname:
		*x = Uname{"GNU", "node1", strings.Repeat("r", r.IntN(1024)), "v", "i386"}
	case *Stat:
		*x = Stat{int32(r.Uint32()), r.Uint64(), r.Uint64(), r.Uint32(), uint64(r.Uint32()), r.Uint32(), uint64(r.Uint32()), r.Uint32(), r.Uint32(), r.Int64(),
			Timespec{1, 2}, Timespec{3, 4}, Timespec{5, 6}, 4096, r.Int64(), r.Uint32(), r.Uint32()}
	case *Statfs:
		*x = Statfs{r.Uint32(), 4096, r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), 255, 4096, 7}
	case *Flock:
		*x = Flock{int32(r.Uint32()), 1, -r.Int64(), r.Int64(), int32(r.Uint32())}
	case *Rusage:
		*x = Rusage{Timeval{1, 2}, Timeval{3, 4}, [14]int64{0: 5, 13: int64(int32(r.Uint32()))}}
	case *uint64:
		*x = uint64(r.Uint32()) // a word of the smaller layout
	default:
		switch v.Kind() {
		case reflect.Slice:
			n := r.IntN([]int{1, 4, 3000}[r.IntN(3)])
			if n > maxState {
				n = min(n, 1000) // as many as any array takes
				if t.Elem().Kind() == reflect.Uint8 {
					n = 5000
				}
			}
			if n > 0 {
				v.Set(reflect.MakeSlice(t, n, n))
			}
			for i := range n {
				v.Index(i).Set(random(r, t.Elem()))
			}
		case reflect.Array:
			for i := range v.Len() {
				v.Index(i).Set(random(r, t.Elem()))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				v.Field(i).Set(random(r, v.Field(i).Type()))
			}
		case reflect.Bool:
			v.SetBool(r.IntN(2) == 0)
		case reflect.Int16, reflect.Int32, reflect.Int64:
			v.SetInt(int64(r.Uint64()) >> (64 - t.Bits()))
		case reflect.Uint8, reflect.Uint16:
			v.SetUint(r.Uint64() >> (64 - t.Bits()))
		default:
			panic(t)
		}
	}
	return v
}

// plain is a value as a server sees it: a right is its port.
func plain(x any) any {
	if r, ok := x.(Right); ok {
		return r.Port
	}
	return x
}

// same compares values; an empty slice is as good as none.
func same(a, b []any) bool {
	return slices.EqualFunc(a, b, func(a, b any) bool {
		if v, w := reflect.ValueOf(a), reflect.ValueOf(b); v.Kind() == reflect.Slice && v.Len() == 0 {
			return w.Len() == 0
		}
		return reflect.DeepEqual(a, b)
	})
}

func TestWhatAClientSendsAServerGets(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	sizes := map[int32]reference.Routine{}
	for _, x := range reference.Routines(t) {
		sizes[x.ID] = x
	}
	for i, layout := range []wire.Layout{wire.Layout32, wire.Layout64} {
		for _, s := range stubs {
			l := &loop{t: t, layout: layout}
			var got, sent []any
			var results []reflect.Value
			l.handler = Handler(recorder{func(name string, args []any, out ...any) error {
				if name != s.name {
					t.Errorf("%s arrives as %s", s.name, name)
				}
				for _, a := range args {
					got = append(got, plain(a))
				}
				for _, o := range out {
					v := random(r, reflect.TypeOf(o).Elem())
					reflect.ValueOf(o).Elem().Set(v)
					results = append(results, v)
				}
				return nil
			}})
			f := reflect.ValueOf(s.client)
			in := []reflect.Value{reflect.ValueOf(WithCaller(t.Context(), l)), reflect.ValueOf(mach.Port(5))}
			for i := 2; i < f.Type().NumIn(); i++ {
				v := random(r, f.Type().In(i))
				in = append(in, v)
				sent = append(sent, plain(v.Interface()))
			}
			out := f.Call(in)
			if err := out[len(out)-1]; !err.IsNil() {
				t.Errorf("%v %s: %v", layout, s.name, err)
				continue
			}
			if !same(got, sent) {
				t.Errorf("%v %s: the server got\n%.300v, sent was\n%.300v", layout, s.name, fmt.Sprint(got), fmt.Sprint(sent))
			}
			for i, want := range results {
				if !same([]any{out[i].Interface()}, []any{want.Interface()}) {
					t.Errorf("%v %s: result %d is\n%.300v, want\n%.300v", layout, s.name, i, fmt.Sprint(out[i]), fmt.Sprint(want))
				}
			}
			if want := sizes[s.id].RequestBytes[i]; want != 0 && len(l.request) != want {
				t.Errorf("%v %s: the request has %d bytes, want %d", layout, s.name, len(l.request), want)
			}
			if want := sizes[s.id].ReplyBytes[i]; want != 0 && s.answered && len(l.reply) != want && !slices.ContainsFunc(s.results, variable) {
				t.Errorf("%v %s: the reply has %d bytes, want %d", layout, s.name, len(l.reply), want)
			}
			if len(l.released) > 0 {
				t.Errorf("%v %s: released %v", layout, s.name, l.released)
			}
		}
	}
}

// variable says whether items of a type vary in size: the reference then has
// the smallest size.
func variable(typ string) bool {
	return slices.Contains([]string{"data", "pages", "ints", "longs", "names", "sends", "rights", "state"}, typ)
}

func TestAFailingServerKeepsNoRights(t *testing.T) {
	for _, s := range stubs {
		l := &loop{t: t, layout: wire.Layout32}
		l.handler = Handler(recorder{func(string, []any, ...any) error { return EPERM }})
		f := reflect.ValueOf(s.client)
		in := []reflect.Value{reflect.ValueOf(WithCaller(t.Context(), l)), reflect.ValueOf(mach.Port(5))}
		var want []string
		note := func(p mach.Port, typ string) {
			kind := mach.MoveSend
			if typ == "mr" {
				kind = mach.MoveReceive
			}
			want = append(want, fmt.Sprint(kind, " ", uint32(p)))
		}
		for i := 2; i < f.Type().NumIn(); i++ {
			typ := s.args[i-2]
			v := reflect.New(f.Type().In(i)).Elem()
			switch x := v.Addr().Interface().(type) {
			case *Right:
				*x = Copy(mach.Port(10 * i))
				note(x.Port, typ)
			case *mach.Port:
				*x = mach.Port(10 * i)
				if typ != "name" {
					note(*x, typ)
				}
			case *[]mach.Port:
				*x = []mach.Port{mach.Port(10 * i), mach.Null, mach.Port(10*i + 1)}
				if typ != "names" {
					note((*x)[0], typ)
					note((*x)[2], typ)
				}
			}
			in = append(in, v)
		}
		out := f.Call(in)
		err, _ := out[len(out)-1].Interface().(error)
		if !errors.Is(err, EPERM) {
			t.Errorf("%s: %v", s.name, err)
		}
		if !slices.Equal(l.released, want) {
			t.Errorf("%s: released %v, want %v", s.name, l.released, want)
		}
	}
}

func TestWhatIsNotServed(t *testing.T) {
	type partial struct{ UnimplementedIO }
	h := Handler(partial{})
	for id, want := range map[int32]mach.KernReturn{
		21001: EOPNOTSUPP, // served, not implemented
		20018: EOPNOTSUPP, // of an interface not served
		20032: mach.MigBadID,
		1:     mach.MigBadID,
	} {
		req := wire.New(wire.Layout32, id)
		if id == 21001 {
			req.PutInt64(0)
			req.PutWord(1)
		}
		err := h.Handle(t.Context(), reference.Receive(t, req), wire.New(wire.Layout32, id+100))
		if !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", id, err, want)
		}
	}
	// Of the right id, with something else in it.
	for _, put := range []func(m *mach.Message){
		func(m *mach.Message) {},
		func(m *mach.Message) { m.PutInt64(0) },
		func(m *mach.Message) { m.PutWord(1); m.PutInt64(0) },
		func(m *mach.Message) { m.PutInt64(0); m.PutWord(1); m.PutInt32(0) },
		func(m *mach.Message) { m.PutInt64(0); m.PutRight(9, mach.CopySend) },
	} {
		req := wire.New(wire.Layout32, 21001)
		put(req)
		if err := h.Handle(t.Context(), reference.Receive(t, req), wire.New(wire.Layout32, 21101)); err != mach.MigBadArguments {
			t.Errorf("malformed: %v", err)
		}
	}
}

func TestCodes(t *testing.T) {
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(EINTR)
	for _, c := range []struct {
		err  error
		want mach.KernReturn
	}{
		{nil, 0},
		{fmt.Errorf("x: %w", ENOENT), ENOENT},
		{&Error{"io_read", EPIPE}, EPIPE},
		{fs.ErrNotExist, ENOENT},
		{&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}, EACCES},
		{context.Cause(canceled), EINTR},
		{context.Canceled, EINTR},
		{errors.New("who knows"), EIO},
		{mach.MigServerDied, mach.MigServerDied},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("Code(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

// FuzzServers gives every server what a client could send: they must answer,
// and own nothing afterwards that they were not given in a good request.
func FuzzServers(f *testing.F) {
	l := &loop{t: f, layout: wire.Layout32}
	l.handler = Handler(recorder{func(_ string, args []any, out ...any) error { return ENOENT }})
	// The seeds are good requests.
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range stubs {
		l.request = nil
		fn := reflect.ValueOf(s.client)
		in := []reflect.Value{reflect.ValueOf(WithCaller(context.Background(), l)), reflect.ValueOf(mach.Port(5))}
		for i := 2; i < fn.Type().NumIn(); i++ {
			in = append(in, random(r, fn.Type().In(i)))
		}
		fn.Call(in)
		if len(l.request) < 4096 {
			f.Add(s.id, l.request[24:])
		}
	}
	f.Fuzz(func(t *testing.T, id int32, body []byte) {
		l.released = nil
		b := make([]byte, 24, 24+len(body)+4)
		b = append(b, body...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		b[3] = 0x80 // complex
		b[4], b[5], b[6] = byte(len(b)), byte(len(b)>>8), byte(len(b)>>16)
		b[20], b[21], b[22], b[23] = byte(id), byte(id>>8), byte(id>>16), byte(id>>24)
		req, err := wire.Parse(wire.Layout32, b, reference.Memory{})
		if err != nil {
			t.Skip()
		}
		before := rightsIn(req)
		if err := l.handler.Handle(WithCaller(t.Context(), l), req, wire.New(wire.Layout32, id+100)); err == nil {
			t.Errorf("%d succeeded", id)
		}
		// What was not taken is destroyed with the request.
		if after := rightsIn(req) + len(l.released); after != before {
			t.Errorf("%d: of %d rights %d are left or given back", id, before, after)
		}
	})
}

// rightsIn counts the rights that a received message owns.
func rightsIn(m *mach.Message) (n int) {
	for it, err := range m.Items() {
		if err != nil {
			break
		}
		if !it.Type.Moves() {
			continue
		}
		b, err := it.Bytes()
		if err != nil {
			continue
		}
		for i := range it.Ports() {
			if it.Port(b, i).Valid() {
				n++
			}
		}
	}
	return n
}

// giver answers io_read with memory of its own.
type giver struct {
	UnimplementedIO
	data []byte
	give bool
}

func (g giver) IOReadGive(context.Context, int64, uint64) ([]byte, bool, error) {
	return g.data, g.give, nil
}

// What a server gives away is in the answer itself, not a copy of it; what it does not give
// away is a copy.
func TestAServerGivesMemoryAway(t *testing.T) {
	for _, c := range []struct {
		name  string
		data  []byte
		give  bool
		given bool
	}{
		{"pages", make([]byte, 8192), true, true},
		{"its own", make([]byte, 100), false, false},
		{"nothing", nil, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := wire.New(wire.Layout64, 21001)
			req.PutInt64(0)
			req.PutWord(8192)
			reply := wire.New(wire.Layout64, 21101)
			if err := Handler(giver{data: c.data, give: c.give}).Handle(t.Context(), reference.Receive(t, req), reply); err != nil {
				t.Fatal(err)
			}
			var items []wire.Item
			for it, err := range reply.Items() {
				if err != nil {
					t.Fatal(err)
				}
				items = append(items, it)
			}
			if len(items) != 1 || int(items[0].Number) != len(c.data) {
				t.Fatalf("the answer has %+v, want %d bytes", items, len(c.data))
			}
			it := items[0]
			if given := it.Dealloc && it.OOL && it.Addr == uint64(vmem.Addr(c.data)); given != c.given {
				t.Errorf("given away: %v, want %v: %+v", given, c.given, it)
			}
		})
	}
}
