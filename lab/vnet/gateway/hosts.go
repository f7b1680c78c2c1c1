package gateway

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// A Host is a member of the network.
type Host struct {
	// Name is in lower case and has no domain.
	Name string
	MAC  [6]byte
	Addr netip.Addr
}

// Hosts is who is on the network. Its methods may be called from several
// goroutines; the zero value has nobody.
type Hosts struct {
	mu     sync.RWMutex
	byName map[string]Host
}

// Add adds a host.
func (h *Hosts) Add(host Host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byName == nil {
		h.byName = make(map[string]Host)
	}
	h.byName[host.Name] = host
}

// Named finds a host by name, whatever its case.
func (h *Hosts) Named(name string) (Host, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	host, ok := h.byName[strings.ToLower(name)]
	return host, ok
}

// At finds a host by address.
func (h *Hosts) At(addr netip.Addr) (Host, bool) {
	return h.find(func(host Host) bool { return host.Addr == addr })
}

// WithMAC finds a host by its hardware address.
func (h *Hosts) WithMAC(mac [6]byte) (Host, bool) {
	return h.find(func(host Host) bool { return host.MAC == mac })
}

func (h *Hosts) find(match func(Host) bool) (Host, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, host := range h.byName {
		if match(host) {
			return host, true
		}
	}
	return Host{}, false
}

// Names returns the names of all hosts, sorted.
func (h *Hosts) Names() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Sorted(maps.Keys(h.byName))
}
