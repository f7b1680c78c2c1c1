package job

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"hurdlab/hurd"
	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

// ranks makes the ports that so many ranks have: what is left of them tells who has
// got which.
func ranks(k *portstest.Kernel, n int) [][]mach.Port {
	all := make([][]mach.Port, n)
	for r := range all {
		all[r] = make([]mach.Port, channels*n)
		for i := range all[r] {
			if i%n != r {
				all[r][i] = k.NewPort(proto.Handler())
			}
		}
	}
	return all
}

func TestMeeting(t *testing.T) {
	for n := 1; n <= 5; n++ {
		k := portstest.New(t, wire.Layout32)
		ctx := k.Context(t.Context())
		starter := k.NewPort(proto.Handler(newMeeting(n)))
		all := ranks(k, n)
		got := make([][]mach.Port, n)
		var g errgroup.Group
		for r := range n {
			g.Go(func() error {
				addrs, ports, err := proto.MpiJoin(ctx, starter, int32(r), fmt.Appendf(nil, "node%d:1", r), all[r])
				if err != nil {
					return err
				}
				got[r] = ports
				list := hurd.ParseArgz(addrs)
				if len(list) != n || list[r] != fmt.Sprintf("node%d:1", r) || len(ports) != channels*n {
					return fmt.Errorf("%q, %d ports", list, len(ports))
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		for r := range n {
			for c := range channels {
				for p := range n {
					if p == r {
						continue
					}
					if want := all[p][c*n+r]; got[r][c*n+p] != want {
						t.Errorf("of %d, rank %d channel %d peer %d: %v, not %v", n, r, c, p, got[r][c*n+p], want)
					} else if k.Rights(want) != 2 {
						t.Errorf("%d rights to a port, not one of each side", k.Rights(want))
					}
				}
			}
		}
	}
}

// What is refused leaves no rights behind, and does not spoil the meeting.
func TestMeetingRefuses(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	m := newMeeting(2)
	starter := k.NewPort(proto.Handler(m))
	all := ranks(k, 2)
	for what, f := range map[string]func() error{
		"a rank below 0":   func() error { _, _, err := proto.MpiJoin(ctx, starter, -1, nil, all[0]); return err },
		"one that is none": func() error { _, _, err := proto.MpiJoin(ctx, starter, 2, nil, all[0]); return err },
		"too few ports":    func() error { _, _, err := proto.MpiJoin(ctx, starter, 0, nil, all[0][1:]); return err },
		"too many ports":   func() error { _, _, err := proto.MpiJoin(ctx, starter, 0, nil, append(all[0], all[0]...)); return err },
		"an address of two": func() error {
			_, _, err := proto.MpiJoin(ctx, starter, 0, []byte("a\x00b"), all[0])
			return err
		},
		"a long address": func() error {
			_, _, err := proto.MpiJoin(ctx, starter, 0, make([]byte, maxAddr+1), all[0])
			return err
		},
	} {
		if err := f(); !errors.Is(err, mach.MigBadArguments) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, p := range all[0] {
		if p.Valid() && k.Rights(p) != 1 {
			t.Errorf("%d rights are left", k.Rights(p))
		}
	}
	// One twice, and then no more come.
	came := make(chan error, 1)
	go func() { _, _, err := proto.MpiJoin(ctx, starter, 0, nil, all[0]); came <- err }()
	for {
		m.mu.Lock()
		n := len(m.members)
		m.mu.Unlock()
		if n == 1 {
			break
		}
	}
	if _, _, err := proto.MpiJoin(ctx, starter, 0, nil, all[0]); !errors.Is(err, proto.EBUSY) {
		t.Errorf("twice: %v", err)
	}
	m.fail(proto.EINTR)
	if err := <-came; !errors.Is(err, proto.EINTR) {
		t.Errorf("the job has ended: %v", err)
	}
	if _, _, err := proto.MpiJoin(ctx, starter, 1, nil, all[1]); !errors.Is(err, proto.EINTR) {
		t.Errorf("afterwards: %v", err)
	}
	for r := range all {
		for _, p := range all[r] {
			if p.Valid() && k.Rights(p) != 1 {
				t.Errorf("%d rights are left", k.Rights(p))
			}
		}
	}
}

// A rank that goes while it waits ends the wait of all.
func TestMeetingMissesOne(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	starter := k.NewPort(proto.Handler(newMeeting(3)))
	all := ranks(k, 3)
	one, cancel := context.WithCancel(ctx)
	var g errgroup.Group
	for r := range 2 {
		g.Go(func() error {
			c := ctx
			if r == 0 {
				c = one
			}
			if _, _, err := proto.MpiJoin(c, starter, int32(r), nil, all[r]); err == nil {
				return fmt.Errorf("rank %d has joined", r)
			}
			return nil
		})
	}
	cancel()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
