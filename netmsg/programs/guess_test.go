package programs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// TestGuess has a program run by its name again: what the exec server does before the look-up
// has been answered, what becomes of it then, and what is left.
func TestGuess(t *testing.T) {
	root := Owner{"node2", 1, "0"}
	const way = 40 * time.Millisecond
	for _, tt := range []struct {
		name string
		// What the look-up finds, and when the program is executed.
		found func(w *world, f *Found) error
		late  time.Duration // the look-up takes that long more
		after time.Duration
		busy  bool // something else has been heard when it is executed
		mute  bool // the exec server does not ask what io_stat says
		held  bool // it need not

		// What is run, at which time, and with which result.
		want string
		err  error
	}{
		{name: "the same", want: "map@0 read@0 stat@40"},
		{name: "executed later", after: 90 * time.Millisecond, want: "map@90 read@90 stat@90"},
		{name: "executed later, after something else has come", after: 50 * time.Millisecond, busy: true, want: "map@50 read@50 asked@50 stat@50"},
		{name: "executed much later", after: Fresh, want: "other@100"},
		{name: "the same as far as is known", busy: true, want: "map@0 read@0 asked@40 stat@40"},
		{name: "another by now", found: func(w *world, f *Found) error { f.Stat.Size++; return nil }, want: "map@0 read@0 other@40"},
		{name: "changed meanwhile", busy: true, found: func(w *world, _ *Found) error { w.st.Size++; return nil }, want: "map@0 read@0 asked@40 other@40"},
		{name: "another user's", found: func(_ *world, f *Found) error { f.Owner.User = "1"; return nil }, want: "map@0 read@0 other@40"},
		{name: "not there", found: func(_ *world, f *Found) error { return proto.ENOENT }, want: "map@0 read@0", err: proto.ENOENT},
		{name: "a link by now", found: func(_ *world, f *Found) error { f.Retry, f.Name = proto.RetryMagical, "/bin/x"; return nil }, want: "map@0 read@0 other@40"},
		{name: "further down", found: func(_ *world, f *Found) error { f.Name = "x"; return nil }, want: "map@0 read@0 other@40"},
		{name: "the node does not answer", late: 10 * time.Second, want: "map@0 read@0 other@10040"},
		{name: "an exec server that does not wait", mute: true, want: "map@0 read@0"},
		{name: "held", held: true, want: "map@0 read@0 stat@0 sure@40"},
		{name: "held, the node does not answer", held: true, late: 10 * time.Second, want: "map@0 read@0 stat@0 sure@10040"},
		{name: "held, another by now", held: true, found: func(w *world, f *Found) error { f.Stat.Size++; return nil }, want: "map@0 read@0 stat@0 other@40"},
		{name: "held, not there", held: true, found: func(_ *world, f *Found) error { return proto.EACCES }, want: "map@0 read@0 stat@0", err: proto.EACCES},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if _, err := w.run(root); err != nil {
					t.Fatal(err)
				}
				time.Sleep(settled)
				w.run(root)
				start := time.Now()
				said := ""
				say := func(what string) { said += fmt.Sprintf(" %s@%d", what, time.Since(start).Milliseconds()) }
				w.asked = func() { say("asked") }
				file := w.k.NewPort(proto.Handler(w))
				w.k.AddRight(file) // the test's
				var heard atomic.Int32
				if tt.busy {
					heard.Add(1)
				}
				g := &Guess{
					Cache: w.cache, Owner: root, Stat: w.st,
					Heard: func() int { return int(heard.Load()) },
					Find: func(ctx context.Context) (Found, error) {
						f := Found{Retry: proto.RetryNormal, File: file, Stat: w.st, Owner: root}
						time.Sleep(way + tt.late)
						heard.Add(1)
						if tt.found != nil {
							if err := tt.found(w, &f); err != nil {
								w.k.Release(file)
								return Found{}, err
							}
						}
						return f, nil
					},
					Drop: func(p mach.Port) { w.k.Release(p) },
				}
				g.Start(w.ctx)
				time.Sleep(tt.after)
				err := g.Exec(w.ctx, tt.held, func(ctx context.Context, p mach.Port, sure func(context.Context) error) error {
					rd, _, err := proto.IOMap(ctx, p)
					if err != nil {
						return err
					}
					defer w.k.Release(rd)
					say("map")
					if _, err := proto.IORead(ctx, p, 0, 4096); err != nil {
						return err
					}
					say("read")
					if tt.mute {
						return nil
					}
					if _, err := proto.IOStat(ctx, p); err != nil {
						return err
					}
					say("stat")
					if tt.held {
						if err := sure(ctx); err != nil {
							return err
						}
						say("sure")
					}
					return nil
				}, func(_ context.Context, f Found) error {
					say("other")
					if !f.Plain() {
						w.k.Release(f.File)
					}
					return nil
				})
				if !errors.Is(err, tt.err) || said != " "+tt.want {
					t.Errorf("%s, %v; want %s, %v", said, err, tt.want, tt.err)
				}
				if w.cache.never != tt.mute || w.cache.guesses != 0 {
					t.Errorf("never %v, %d guesses", w.cache.never, w.cache.guesses)
				}
				g.Close()
				synctest.Wait()
				time.Sleep(time.Minute)
				if n := w.k.Rights(file); n != 1 {
					t.Errorf("%d rights to the file are left", n)
				}
				w.cache.Forget(func(Owner) bool { return true })
				w.k.Release(file)
				if n := len(w.k.Ports()); n != 1 || w.k.Rights(w.object) != 1 {
					t.Errorf("%d ports are left, %d rights to the memory object", n, w.k.Rights(w.object))
				}
			})
		})
	}
}

// What has been looked up goes to who asks for it, once, and else is given up.
func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var dropped []mach.Port
		guess := func(f Found, err error) *Guess {
			g := &Guess{Cache: w.cache, Drop: func(p mach.Port) { dropped = append(dropped, p) }, Find: func(ctx context.Context) (Found, error) {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
				return f, err
			}}
			g.Start(w.ctx)
			return g
		}
		g := guess(Found{File: 7}, nil)
		if f, err := g.Take(w.ctx); f.File != 7 || err != nil {
			t.Errorf("%v, %v", f, err)
		}
		if _, err := g.Take(w.ctx); err == nil {
			t.Error("taken twice")
		}
		g.Close()
		g = guess(Found{}, proto.ENOENT)
		for range 2 {
			if _, err := g.Take(w.ctx); !errors.Is(err, proto.ENOENT) {
				t.Error(err)
			}
		}
		g.Close()
		if len(dropped) != 0 {
			t.Errorf("dropped %v", dropped)
		}
		guess(Found{File: 8}, nil).Close() // before it is known
		g = guess(Found{File: 9}, nil)
		ctx, cancel := context.WithTimeout(w.ctx, time.Millisecond)
		defer cancel()
		if _, err := g.Take(ctx); err == nil {
			t.Error("taken before it was there")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		g.Close()
		if !slices.Equal(dropped, []mach.Port{8, 9}) {
			t.Errorf("dropped %v", dropped)
		}
	})
}

// The paths that were used longest ago are forgotten first.
func TestPaths(t *testing.T) {
	var s Paths
	for i := range maxPaths {
		s.Ran(Path{Name: fmt.Sprint(i)}, Owner{Node: fmt.Sprint(i)}, proto.Stat{})
	}
	s.Find(Path{Name: "0"})
	s.Ran(Path{Name: "new"}, Owner{}, proto.Stat{})
	s.Forget(Path{Name: "2"})
	s.Ran(Path{Name: "3"}, Owner{Node: "other"}, proto.Stat{Ino: 5})
	for name, want := range map[string]string{"0": "0", "1": "none", "2": "none", "3": "other"} {
		o, st, ok := s.Find(Path{Name: name})
		if !ok {
			o.Node = "none"
		}
		if o.Node != want || (st.Ino == 5) != (want == "other") {
			t.Errorf("%s: %v %v", name, o, st.Ino)
		}
	}
	if len(s.list) != maxPaths-1 {
		t.Errorf("%d paths", len(s.list))
	}
}
