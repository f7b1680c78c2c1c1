package translator

import (
	"sync"

	"hurdlab/hurd/ports"
	"hurdlab/mach"
)

// A holder holds a port that is made when it is first asked for, and again
// when all rights to it have gone: the same port for as long as anybody has a
// right to it.
type holder struct {
	mu   sync.Mutex
	port ports.Port
}

// right returns a send right, the caller's. If a port must be made, its
// requests go to the handler that make returns, and gone, if not nil, is
// called when it has no rights any more, or could not be made.
func (h *holder) right(x ports.Exporter, make func() mach.Handler, gone func()) (mach.Port, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.port != nil {
		if p, err := h.port.Right(); err == nil {
			return p, nil
		}
		// It is about to be gone.
	}
	var port ports.Port
	port, err := x.Export(make(), ports.Options{Gone: func() {
		h.mu.Lock()
		if h.port == port {
			h.port = nil
		}
		h.mu.Unlock()
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
	h.port = port
	return right, nil
}

// name returns the name of the port, or null if there is none.
func (h *holder) name() mach.Port {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.port == nil {
		return mach.Null
	}
	return h.port.Name()
}
