package bridge

import (
	"hurdlab/mach"
	"hurdlab/netmsg/rights"
)

// Home returns which incarnation of a node the messages to a proxy go to. There is
// none if p is no proxy, or is one no more, or there is no session.
func (b *Bridge) Home(p mach.Port) (rights.Incarnation, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.names[p]
	if q == nil || !q.proxy {
		return rights.Incarnation{}, false
	}
	l := b.sessions[b.node.Route(q.id)]
	if l == nil {
		return rights.Incarnation{}, false
	}
	return l.peer, true
}
