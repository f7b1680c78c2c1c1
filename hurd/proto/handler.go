package proto

import (
	"context"

	"hurdlab/mach"
)

// An iface is an interface of the description.
type iface struct {
	name     string
	serves   func(x any) bool
	dispatch func(ctx context.Context, server any, req, reply *mach.Message) error
}

// Handler returns a handler that serves every interface that one of the
// objects implements; of two that implement one, the first. Requests of other
// interfaces of this package fail with [EOPNOTSUPP], unknown ones with
// [mach.MigBadID], malformed ones with [mach.MigBadArguments]. Errors are told
// to the client by their [Code].
func Handler(objects ...any) mach.Handler {
	h := new(handler)
	for i, f := range interfaces {
		for _, o := range objects {
			if f.serves(o) {
				h.servers[i] = o
				break
			}
		}
	}
	return h
}

type handler struct {
	servers [len(interfaces)]any
}

// Handle answers a request: [mach.Handler].
func (h *handler) Handle(ctx context.Context, req, reply *mach.Message) error {
	i := interfaceOf(req.ID())
	if i < 0 {
		return mach.MigBadID
	}
	s := h.servers[i]
	if s == nil {
		return EOPNOTSUPP
	}
	if err := interfaces[i].dispatch(ctx, s, req, reply); err != nil {
		return Code(err)
	}
	return nil
}
