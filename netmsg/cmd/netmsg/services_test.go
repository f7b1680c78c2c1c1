package main

import (
	"errors"
	"fmt"
	"testing"

	"hurdlab/hurd/ports/portstest"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/mach/wire"
)

func TestServices(t *testing.T) {
	k := portstest.New(t, wire.Layout32)
	ctx := k.Context(t.Context())
	var s services
	opened := 0
	var last mach.Port
	get := func(of service) mach.Port {
		t.Helper()
		p, err := s.get(ctx, of, func() (mach.Port, error) { opened++; last = k.NewPort(nil); return last, nil })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b := service{"node2", "exec", "[0]"}, service{"node2", "exec", "[1000]"}
	p := get(a)
	if get(a) != p || get(b) == p || opened != 2 {
		t.Errorf("opened %d times", opened)
	}
	if n := k.Rights(p); n != 3 {
		t.Errorf("%d rights", n)
	}
	// Whom nobody can reach is not kept.
	if _, err := s.get(ctx, service{}, func() (mach.Port, error) { return mach.Null, proto.EHOSTUNREACH }); !errors.Is(err, proto.EHOSTUNREACH) || len(s.list) != 2 {
		t.Errorf("%v, %d kept", err, len(s.list))
	}
	for i := range 2 * maxServices {
		k.Release(get(service{user: fmt.Sprint(i)}))
	}
	if len(s.list) != maxServices {
		t.Errorf("%d kept", len(s.list))
	}
	if n := len(k.Ports()); n > maxServices+2 {
		t.Errorf("%d ports", n)
	}
}
