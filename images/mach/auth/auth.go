// Package auth is the auth server: it says who somebody is.
//
// An auth handle is a port that stands for a set of ids. A client proves to a
// server who it is without showing the handle: both bring the same rendezvous
// port here, the client to its handle and the server to its own, and the
// server learns the client's ids while the client gets a new port from the
// server.
//
// The facts are from the reference document hurd-protocol.md: 7.2 (the
// routines) and 4.10 (the rendezvous).
package auth

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"hurdlab/hurd/ports"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// Bounds of what clients can take.
const (
	// MaxIDs is how many ids of one kind a handle has at most.
	MaxIDs = 256
	// MaxHandles bounds the handles that exist.
	MaxHandles = 4096
	// MaxWaiting bounds the halves of a rendezvous that wait for the other.
	MaxWaiting = 1024
	// maxOthers bounds the handles that make a new one together.
	maxOthers = 64
)

// IDs are the ids of a handle. The first effective id is what files are
// created with; the first two available ones are the real and the saved id.
type IDs struct {
	EffectiveUsers, AvailableUsers   []int32
	EffectiveGroups, AvailableGroups []int32
}

// Root is what the first handle stands for, which makes all others.
func Root() IDs {
	return IDs{[]int32{0}, []int32{0, 0}, []int32{0}, []int32{0, 0}}
}

func (s IDs) lists() [4][]int32 {
	return [4][]int32{s.EffectiveUsers, s.AvailableUsers, s.EffectiveGroups, s.AvailableGroups}
}

// within reports whether every id of s is one that some of the handles have,
// effective or available.
func (s IDs) within(handles []*Handle) bool {
	users, groups := make(map[int32]bool), make(map[int32]bool)
	for _, h := range handles {
		for i, list := range h.ids.lists() {
			m := users
			if i >= 2 {
				m = groups
			}
			for _, id := range list {
				m[id] = true
			}
		}
	}
	if users[0] {
		return true // root may be anybody
	}
	for i, list := range s.lists() {
		m := users
		if i >= 2 {
			m = groups
		}
		for _, id := range list {
			if !m[id] {
				return false
			}
		}
	}
	return true
}

// Deaths tells when a port dies: a [deathwatch.Watcher].
type Deaths interface {
	Watch(name mach.Port, f func()) (stop func(), err error)
}

// A Server keeps the handles and the rendezvous.
type Server struct {
	export ports.Exporter
	deaths Deaths

	mu      sync.Mutex
	handles int
	waiting map[mach.Port]*meeting
	halves  int
}

// A meeting is the halves that wait at one rendezvous port: users or servers,
// never both.
type meeting struct{ users, servers []*half }

// A half is a request that waits for its counterpart.
type half struct {
	done chan struct{} // closed when it is over, under the server's mutex
	over bool
	err  error

	ids     IDs       // of a user, to give
	newport mach.Port // of a server, to give; of a user, what it got
}

// New returns a server that exports its handles with x.
func New(x ports.Exporter, d Deaths) *Server {
	return &Server{export: x, deaths: d, waiting: make(map[mach.Port]*meeting)}
}

// Handle makes a handle and returns a send right to it.
func (s *Server) Handle(ids IDs) (mach.Port, error) {
	s.mu.Lock()
	full := s.handles >= MaxHandles
	if !full {
		s.handles++
	}
	s.mu.Unlock()
	if full {
		return mach.Null, proto.EAGAIN
	}
	h := &Handle{server: s, ids: ids}
	right, err := ports.ExportRight(s.export, handler{proto.Handler(h), h}, ports.Options{Gone: s.gone})
	if err != nil {
		s.gone()
		return mach.Null, fmt.Errorf("auth handle: %w", err)
	}
	return right, nil
}

// A handler is how a handle is exported, so that it can be found by a right
// to it.
type handler struct {
	mach.Handler
	handle *Handle
}

func (s *Server) find(p mach.Port) *Handle {
	x, ok := s.export.Lookup(p)
	if !ok {
		return nil
	}
	h, ok := x.(handler)
	if !ok {
		return nil
	}
	return h.handle
}

func (s *Server) gone() {
	s.mu.Lock()
	s.handles--
	s.mu.Unlock()
}

// A Handle is a set of ids, as a port.
type Handle struct {
	proto.UnimplementedAuth
	server *Server
	ids    IDs
}

// AuthGetids returns the ids.
func (h *Handle) AuthGetids(context.Context) (euids, auids, egids, agids []int32, err error) {
	return h.ids.EffectiveUsers, h.ids.AvailableUsers, h.ids.EffectiveGroups, h.ids.AvailableGroups, nil
}

// AuthMakeauth makes a handle with ids that this one and others have, or that
// root asks for.
func (h *Handle) AuthMakeauth(_ context.Context, others []mach.Port, euids, auids, egids, agids []int32) (mach.Port, error) {
	ids := IDs{euids, auids, egids, agids}
	for _, l := range ids.lists() {
		if len(l) > MaxIDs {
			return mach.Null, proto.EINVAL
		}
	}
	if len(others) > maxOthers {
		return mach.Null, proto.EINVAL
	}
	handles := []*Handle{h}
	for _, p := range others {
		if o := h.server.find(p); o != nil {
			handles = append(handles, o)
		}
	}
	if !ids.within(handles) {
		return mach.Null, proto.EPERM
	}
	p, err := h.server.Handle(ids)
	if err == nil {
		h.server.export.Release(others...)
	}
	return p, err
}

// AuthUserAuthenticate is the user's half of a rendezvous: it returns the port
// that the server brings.
func (h *Handle) AuthUserAuthenticate(ctx context.Context, rendezvous mach.Port) (newport mach.Port, err error) {
	u := &half{done: make(chan struct{}), ids: h.ids}
	if err := h.server.meet(ctx, rendezvous, u, true); err != nil {
		return mach.Null, err
	}
	h.server.export.Release(rendezvous)
	return u.newport, nil
}

// AuthServerAuthenticate is the server's half: it gives newport to the user
// and returns the user's ids.
func (h *Handle) AuthServerAuthenticate(ctx context.Context, rendezvous mach.Port, newport proto.Right) (euids, auids, egids, agids []int32, err error) {
	if newport.Port.Valid() && newport.As != mach.MoveSend {
		return nil, nil, nil, nil, proto.EINVAL
	}
	v := &half{done: make(chan struct{}), newport: newport.Port}
	if err := h.server.meet(ctx, rendezvous, v, false); err != nil {
		return nil, nil, nil, nil, err
	}
	h.server.export.Release(rendezvous)
	return v.ids.EffectiveUsers, v.ids.AvailableUsers, v.ids.EffectiveGroups, v.ids.AvailableGroups, nil
}

// meet waits at a rendezvous port for the other half of x.
func (s *Server) meet(ctx context.Context, rendezvous mach.Port, x *half, isUser bool) error {
	if !rendezvous.Valid() {
		return proto.EINVAL
	}
	if ctx.Err() != nil {
		return proto.EINTR
	}
	s.mu.Lock()
	m := s.waiting[rendezvous]
	if m != nil {
		_, theirs := m.sides(isUser)
		if len(*theirs) > 0 {
			y := (*theirs)[0]
			*theirs = (*theirs)[1:]
			s.halves--
			if m.empty() {
				delete(s.waiting, rendezvous)
			}
			u, v := x, y
			if !isUser {
				u, v = y, x
			}
			v.ids, u.newport = u.ids, v.newport
			y.end(nil)
			s.mu.Unlock()
			return nil
		}
	}
	if s.halves >= MaxWaiting {
		s.mu.Unlock()
		return proto.EAGAIN
	}
	if m == nil {
		m = new(meeting)
		s.waiting[rendezvous] = m
	}
	mine, _ := m.sides(isUser)
	*mine = append(*mine, x)
	s.halves++
	s.mu.Unlock()

	stop, err := s.deaths.Watch(rendezvous, func() { s.leave(rendezvous, m, x, isUser, proto.EINVAL) })
	if err != nil {
		s.leave(rendezvous, m, x, isUser, err)
		stop = func() {}
	}
	select {
	case <-x.done:
	case <-ctx.Done():
		s.leave(rendezvous, m, x, isUser, proto.EINTR)
	}
	stop()
	return x.err
}

// leave ends the wait of x with an error, unless it is over.
func (s *Server) leave(rendezvous mach.Port, m *meeting, x *half, isUser bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.over {
		return
	}
	mine, _ := m.sides(isUser)
	*mine = slices.DeleteFunc(*mine, func(y *half) bool { return y == x })
	s.halves--
	if m.empty() && s.waiting[rendezvous] == m {
		delete(s.waiting, rendezvous)
	}
	x.end(err)
}

func (x *half) end(err error) {
	x.err, x.over = err, true
	close(x.done)
}

func (m *meeting) sides(isUser bool) (mine, theirs *[]*half) {
	if isUser {
		return &m.users, &m.servers
	}
	return &m.servers, &m.users
}

func (m *meeting) empty() bool { return len(m.users)+len(m.servers) == 0 }
