package auth

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// deaths lets tests kill ports.
type deaths struct {
	mu      sync.Mutex
	next    int
	watched map[mach.Port]map[int]func()
}

func (d *deaths) Watch(p mach.Port, f func()) (func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watched == nil {
		d.watched = make(map[mach.Port]map[int]func())
	}
	if d.watched[p] == nil {
		d.watched[p] = make(map[int]func())
	}
	d.next++
	id := d.next
	d.watched[p][id] = f
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if delete(d.watched[p], id); len(d.watched[p]) == 0 {
			delete(d.watched, p)
		}
	}, nil
}

func (d *deaths) kill(p mach.Port) {
	d.mu.Lock()
	list := d.watched[p]
	delete(d.watched, p)
	d.mu.Unlock()
	for _, f := range list {
		f()
	}
}

type world struct {
	*portstest.Kernel
	t      *testing.T
	ctx    context.Context
	s      *Server
	deaths *deaths
	root   mach.Port
}

func newWorld(t *testing.T) *world {
	k := portstest.New(t, wire.Layout32)
	w := &world{Kernel: k, t: t, ctx: k.Context(t.Context()), deaths: new(deaths)}
	w.s = New(k, w.deaths)
	var err error
	if w.root, err = w.s.Handle(Root()); err != nil {
		t.Fatal(err)
	}
	return w
}

// end checks that nothing is left but what the test has.
func (w *world) end() {
	w.t.Helper()
	w.Release(w.root)
	if n := len(w.Ports()); n != 0 {
		w.t.Errorf("%d ports are left", n)
	}
	if w.s.handles != 0 || w.s.halves != 0 || len(w.s.waiting) != 0 || len(w.deaths.watched) != 0 {
		w.t.Errorf("left: %d handles, %d halves, %d rendezvous, %d watched", w.s.handles, w.s.halves, len(w.s.waiting), len(w.deaths.watched))
	}
}

func (w *world) make(h mach.Port, others []mach.Port, ids IDs) (mach.Port, error) {
	return proto.AuthMakeauth(w.ctx, h, others, ids.EffectiveUsers, ids.AvailableUsers, ids.EffectiveGroups, ids.AvailableGroups)
}

func (w *world) user(uid int32) mach.Port {
	w.t.Helper()
	h, err := w.make(w.root, nil, IDs{[]int32{uid}, []int32{uid, uid}, []int32{uid}, []int32{uid, uid}})
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func TestMakeauth(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.user(1000), w.user(1001)
	stranger := w.NewPort(nil)
	for _, tc := range []struct {
		name   string
		h      mach.Port
		others []mach.Port
		ids    IDs
		err    error
	}{
		{"fewer", alice, nil, IDs{}, nil},
		{"the same", alice, nil, IDs{[]int32{1000}, nil, []int32{1000}, nil}, nil},
		{"available becomes effective", alice, nil, IDs{EffectiveUsers: []int32{1000, 1000}}, nil},
		{"another's", alice, nil, IDs{EffectiveUsers: []int32{1001}}, proto.EPERM},
		{"a group that is a user", alice, nil, IDs{EffectiveGroups: []int32{1001}}, proto.EPERM},
		{"together", alice, []mach.Port{bob}, IDs{EffectiveUsers: []int32{1000, 1001}, AvailableGroups: []int32{1001}}, nil},
		{"root's help", alice, []mach.Port{mach.Null, w.root}, IDs{EffectiveUsers: []int32{77}, EffectiveGroups: []int32{5}}, nil},
		{"a port that is none of ours", alice, []mach.Port{stranger}, IDs{EffectiveUsers: []int32{0}}, proto.EPERM},
		{"too many ids", w.root, nil, IDs{EffectiveUsers: make([]int32, MaxIDs+1)}, proto.EINVAL},
		{"too many handles", w.root, slices.Repeat([]mach.Port{alice}, maxOthers+1), IDs{}, proto.EINVAL},
	} {
		h, err := w.make(tc.h, tc.others, tc.ids)
		if !errors.Is(err, tc.err) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.err)
		}
		if err != nil {
			continue
		}
		eu, au, eg, ag, err := proto.AuthGetids(w.ctx, h)
		if err != nil || !slices.Equal(eu, tc.ids.EffectiveUsers) || !slices.Equal(au, tc.ids.AvailableUsers) ||
			!slices.Equal(eg, tc.ids.EffectiveGroups) || !slices.Equal(ag, tc.ids.AvailableGroups) {
			t.Errorf("%s: ids %v %v %v %v, %v", tc.name, eu, au, eg, ag, err)
		}
		w.Release(h)
	}
	if r := w.Rights(stranger); r != 1 {
		t.Errorf("%d rights to a port in requests", r)
	}
	w.Release(alice, bob, stranger)
	w.end()
}

func TestMaxHandles(t *testing.T) {
	w := newWorld(t)
	var list []mach.Port
	for range MaxHandles - 1 {
		list = append(list, w.user(5))
	}
	if _, err := w.make(w.root, nil, IDs{}); !errors.Is(err, proto.EAGAIN) {
		t.Errorf("one too many: %v", err)
	}
	w.Release(list...)
	w.end()
}

type result struct {
	ids     []int32
	newport mach.Port
	err     error
}

func (w *world) asUser(ctx context.Context, h, rend mach.Port) <-chan result {
	c := make(chan result, 1)
	go func() {
		p, err := proto.AuthUserAuthenticate(ctx, h, proto.Copy(rend))
		c <- result{nil, p, err}
	}()
	return c
}

func (w *world) asServer(ctx context.Context, rend, newport mach.Port) <-chan result {
	c := make(chan result, 1)
	go func() {
		ids, _, _, _, err := proto.AuthServerAuthenticate(ctx, w.root, proto.Copy(rend), proto.Copy(newport))
		c <- result{ids, mach.Null, err}
	}()
	return c
}

// Client and server meet, whoever comes first.
func TestRendezvous(t *testing.T) {
	for _, userFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			h, rend, newport := w.user(1000), w.NewPort(nil), w.NewPort(nil)
			var u, s <-chan result
			if userFirst {
				u = w.asUser(w.ctx, h, rend)
				synctest.Wait()
				s = w.asServer(w.ctx, rend, newport)
			} else {
				s = w.asServer(w.ctx, rend, newport)
				synctest.Wait()
				u = w.asUser(w.ctx, h, rend)
			}
			ru, rs := <-u, <-s
			if ru.err != nil || ru.newport != newport {
				t.Errorf("user: port %v, %v, want %v", ru.newport, ru.err, newport)
			}
			if rs.err != nil || !slices.Equal(rs.ids, []int32{1000}) {
				t.Errorf("server: ids %v, %v", rs.ids, rs.err)
			}
			w.Release(ru.newport)
			if a, b := w.Rights(rend), w.Rights(newport); a != 1 || b != 1 {
				t.Errorf("rights left: %d to the rendezvous, %d to the new port", a, b)
			}
			w.Release(h, rend, newport)
			w.end()
		})
	}
}

// A half whose other half never comes is ended by the death of the rendezvous
// port or by an interruption, and leaves nothing.
func TestAlone(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(w *world, rend mach.Port, cancel func())
		want error
	}{
		{"death", func(w *world, rend mach.Port, _ func()) { w.deaths.kill(rend) }, proto.EINVAL},
		{"interruption", func(_ *world, _ mach.Port, cancel func()) { cancel() }, proto.EINTR},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			h, rend, newport := w.user(1000), w.NewPort(nil), w.NewPort(nil)
			ctx, cancel := context.WithCancel(w.ctx)
			u := w.asUser(ctx, h, rend)
			synctest.Wait()
			tc.end(w, rend, cancel)
			if r := <-u; !errors.Is(r.err, tc.want) {
				t.Errorf("%s: user: %v, want %v", tc.name, r.err, tc.want)
			}
			cancel()
			ctx, cancel = context.WithCancel(w.ctx)
			defer cancel()
			s := w.asServer(ctx, rend, newport)
			synctest.Wait()
			tc.end(w, rend, cancel)
			if r := <-s; !errors.Is(r.err, tc.want) {
				t.Errorf("%s: server: %v, want %v", tc.name, r.err, tc.want)
			}
			if a, b := w.Rights(rend), w.Rights(newport); a != 1 || b != 1 {
				t.Errorf("%s: rights left: %d to the rendezvous, %d to the new port", tc.name, a, b)
			}
			w.Release(h, rend, newport)
			w.end()
		})
	}
}

func TestBadRendezvous(t *testing.T) {
	w := newWorld(t)
	rend := w.NewPort(nil)
	if _, err := proto.AuthUserAuthenticate(w.ctx, w.root, proto.Right{}); !errors.Is(err, proto.EINVAL) {
		t.Errorf("no rendezvous port: %v", err)
	}
	once := proto.Right{Port: rend, As: mach.MakeSendOnce}
	if _, _, _, _, err := proto.AuthServerAuthenticate(w.ctx, w.root, proto.Copy(rend), once); !errors.Is(err, proto.EINVAL) {
		t.Errorf("a send-once right as the new port: %v", err)
	}
	w.Release(rend)
	w.end()
}

// Many clients and servers at few rendezvous ports, which die and are
// interrupted at random: everyone is answered, what a user gets is from a
// server that got its ids, and nothing is left.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rng := rand.New(rand.NewPCG(1, 2))
		var rends, users []mach.Port
		for i := range 4 {
			rends = append(rends, w.NewPort(nil))
			users = append(users, w.user(int32(2000+i)))
		}
		newport := w.NewPort(nil)
		ctx, cancel := context.WithCancel(w.ctx)
		var us, ss []<-chan result
		for range 400 {
			rend := rends[rng.IntN(len(rends))]
			switch rng.IntN(5) {
			case 0, 1:
				us = append(us, w.asUser(ctx, users[rng.IntN(len(users))], rend))
			case 2, 3:
				ss = append(ss, w.asServer(ctx, rend, newport))
			case 4:
				w.deaths.kill(rend)
			}
			if rng.IntN(3) == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		cancel()
		got, gave := 0, 0
		for _, c := range us {
			if r := <-c; r.err == nil {
				got++
				w.Release(r.newport)
			}
		}
		for _, c := range ss {
			if r := <-c; r.err == nil {
				gave++
			}
		}
		if got != gave || got == 0 {
			t.Errorf("%d users met a server, %d servers a user", got, gave)
		}
		for _, p := range append(rends, newport) {
			if n := w.Rights(p); n != 1 {
				t.Errorf("%d rights to %v", n, p)
			}
		}
		w.Release(append(append(rends, users...), newport)...)
		w.end()
	})
}
