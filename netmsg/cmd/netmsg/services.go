package main

import (
	"context"
	"fmt"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
	"hurdlab/netmsg/rights"
)

// Services are rights to servers of other nodes, kept so that not everyone who uses one
// has to go there to open it. A right is its user's, and shared by all of that user's
// programs: which is good for servers of which nobody has anything open.
type services struct {
	mu   sync.Mutex
	list map[service]mach.Port
}

// A service is what an export of a node is to a user.
type service struct{ node, export, user string }

// maxServices bounds the rights that are kept.
const maxServices = 256

// get returns a right to a service, the caller's, which is opened if there is none that
// lives.
func (s *services) get(ctx context.Context, of service, open func() (mach.Port, error)) (mach.Port, error) {
	s.mu.Lock()
	p, ok := s.list[of]
	if ok && proto.Retain(ctx, p) != nil {
		// It has died, with the session or its server.
		s.drop(ctx, of)
		ok = false
	}
	s.mu.Unlock()
	if ok {
		return p, nil
	}
	p, err := open()
	if err != nil {
		return mach.Null, err
	}
	if proto.Retain(ctx, p) != nil {
		return p, nil // it has died meanwhile: the caller will see
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = make(map[service]mach.Port)
	}
	s.drop(ctx, of) // somebody was quicker
	for old := range s.list {
		if len(s.list) < maxServices {
			break
		}
		s.drop(ctx, old)
	}
	s.list[of] = p
	return p, nil
}

// drop gives a right back. The lock is held.
func (s *services) drop(ctx context.Context, of service) {
	if p, ok := s.list[of]; ok {
		delete(s.list, of)
		proto.Release(ctx, p)
	}
}

// NetmsgService opens an export of a node that is a server rather than files, for the
// caller.
func (c *client) NetmsgService(ctx context.Context, to, export string) (mach.Port, error) {
	uids, gids := signed(c.user.UIDs), signed(c.user.GIDs)
	return c.n.services.get(ctx, service{to, export, fmt.Sprint(uids, gids)}, func() (mach.Port, error) {
		if err := c.n.connect(ctx, rights.NodeID(to)); err != nil {
			return mach.Null, err
		}
		d, err := c.n.bridge.Door(ctx, rights.NodeID(to))
		if err != nil {
			return mach.Null, proto.EIO
		}
		retry, name, port, err := proto.DoorGetroot(ctx, d, export, proto.Right{}, uids, gids, 0)
		if err != nil {
			return mach.Null, err
		}
		if retry != proto.RetryNormal || name != "" || !port.Valid() {
			proto.Release(ctx, port)
			return mach.Null, proto.EGRATUITOUS
		}
		return port, nil
	})
}
