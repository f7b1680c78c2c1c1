package ports

import (
	"context"
	"sync"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// OnDemand is a port that is made when it is first asked for, and again when
// all rights to it have gone: the same port for as long as anybody has a right
// to it. The zero value is ready for use.
type OnDemand struct {
	mu   sync.Mutex
	port Port
}

// Right returns a send right, the caller's. If a port must be made, its
// requests go to the handler that make returns, and gone, if not nil, is
// called when it has no rights any more, or could not be made.
func (d *OnDemand) Right(x Exporter, make func() mach.Handler, gone func()) (mach.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.port != nil {
		if p, err := d.port.Right(); err == nil {
			return p, nil
		}
		// It is about to be gone.
	}
	var port Port
	port, err := x.Export(make(), Options{Gone: func() {
		d.mu.Lock()
		if d.port == port {
			d.port = nil
		}
		d.mu.Unlock()
		if gone != nil {
			gone()
		}
	}})
	var right mach.Port
	if err == nil {
		if right, err = port.Right(); err != nil {
			port.Close()
		}
	}
	if err != nil {
		if gone != nil {
			gone()
		}
		return mach.Null, err
	}
	d.port = port
	return right, nil
}

// Name returns the name of the port, or null if there is none.
func (d *OnDemand) Name() mach.Port {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.port == nil {
		return mach.Null
	}
	return d.port.Name()
}

// Identity returns a handler for a port that stands for something, as the ids
// of io_identity do, and does nothing itself.
func Identity() mach.Handler { return identity{} }

type identity struct{}

func (identity) Handle(context.Context, *mach.Message, *mach.Message) error { return proto.EOPNOTSUPP }
