package rights

// Route returns the node that messages to a proxy go to, or will when that is
// settled. It is empty if p is no proxy.
func (n *Node) Route(p Port) NodeID {
	e := n.ports[p]
	switch {
	case e == nil || e.home || e.dead:
		return ""
	case e.route != "":
		return e.route
	case e.claim != "":
		return e.claim
	}
	return e.id.Origin.Node
}
