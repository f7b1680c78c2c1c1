package portstest

import (
	"context"
	"slices"
	"sync"
	"time"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// An Auth is an authentication server (hurd-protocol.md 7.2).
type Auth struct {
	k *Kernel

	mu    sync.Mutex
	meets map[mach.Port]*meeting
}

// NewAuth returns an authentication server whose handles are ports of k.
func NewAuth(k *Kernel) *Auth { return &Auth{k: k, meets: map[mach.Port]*meeting{}} }

// A meeting is of a client and a server at a rendezvous port.
type meeting struct {
	user   chan *handle
	server chan mach.Port
	left   bool // the client has given up
}

func (a *Auth) meeting(rendezvous mach.Port) *meeting {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.meets[rendezvous]
	if m == nil {
		m = &meeting{user: make(chan *handle, 1), server: make(chan mach.Port, 1)}
		a.meets[rendezvous] = m
	}
	return m
}

func (a *Auth) over(rendezvous mach.Port) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.meets, rendezvous)
}

// Handle returns a handle with ids, effective and available: a right of the
// caller's.
func (a *Auth) Handle(uids, gids []int32) mach.Port {
	p, err := a.export(&handle{auth: a, euids: uids, auids: uids, egids: gids, agids: gids})
	if err != nil {
		a.k.t.Fatal(err)
	}
	return p
}

func (a *Auth) export(h *handle) (mach.Port, error) {
	p, err := a.k.Export(proto.Handler(h), ports.Options{})
	if err != nil {
		return mach.Null, err
	}
	h.port = p.Name()
	return p.Right()
}

type handle struct {
	proto.UnimplementedAuth
	auth                       *Auth
	port                       mach.Port
	euids, auids, egids, agids []int32
}

func (h *handle) AuthGetids(context.Context) (euids, auids, egids, agids []int32, err error) {
	return h.euids, h.auids, h.egids, h.agids, nil
}

func (h *handle) AuthMakeauth(_ context.Context, others []mach.Port, euids, auids, egids, agids []int32) (mach.Port, error) {
	if !slices.Contains(h.euids, 0) {
		for _, id := range euids {
			if !slices.Contains(h.euids, id) && !slices.Contains(h.auids, id) {
				return mach.Null, proto.EPERM
			}
		}
	}
	p, err := h.auth.export(&handle{auth: h.auth, euids: euids, auids: auids, egids: egids, agids: agids})
	if err == nil {
		h.auth.k.Release(others...)
	}
	return p, err
}

func (h *handle) AuthUserAuthenticate(ctx context.Context, rendezvous mach.Port) (mach.Port, error) {
	if !rendezvous.Valid() {
		return mach.Null, proto.EINVAL
	}
	m := h.auth.meeting(rendezvous)
	m.user <- h
	select {
	case port := <-m.server:
		h.auth.over(rendezvous)
		h.auth.k.Release(rendezvous)
		return port, nil
	case <-ctx.Done():
		h.auth.mu.Lock()
		defer h.auth.mu.Unlock()
		m.left = true
		select {
		case port := <-m.server: // too late
			h.auth.k.Release(rendezvous)
			return port, nil
		default:
			return mach.Null, context.Cause(ctx)
		}
	}
}

func (h *handle) AuthServerAuthenticate(ctx context.Context, rendezvous mach.Port, newport proto.Right) (euids, auids, egids, agids []int32, err error) {
	if !rendezvous.Valid() {
		return nil, nil, nil, nil, proto.EINVAL
	}
	m := h.auth.meeting(rendezvous)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		select {
		case u := <-m.user:
			h.auth.mu.Lock()
			left := m.left
			if !left {
				m.server <- newport.Port
			}
			h.auth.mu.Unlock()
			if left {
				return nil, nil, nil, nil, proto.EINVAL
			}
			h.auth.k.Release(rendezvous)
			return u.euids, u.auids, u.egids, u.agids, nil
		case <-look.C:
			if h.auth.k.Rights(rendezvous) < 0 {
				h.auth.over(rendezvous)
				return nil, nil, nil, nil, proto.EINVAL // the client is gone
			}
		case <-ctx.Done():
			return nil, nil, nil, nil, context.Cause(ctx)
		}
	}
}
