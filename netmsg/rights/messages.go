package rights

// resolveLocal takes over a message from a task: each right becomes a reference
// to an entry.
func (n *Node) resolveLocal(lm LocalMessage) *pending {
	m := &pending{body: lm.Body}
	if lm.Body != nil {
		m.size = lm.Body.Size()
	}
	if len(lm.Rights) > 0 {
		m.rights = make([]held, len(lm.Rights))
	}
	for i, r := range lm.Rights {
		m.rights[i] = n.resolvePort(r)
	}
	return m
}

func (n *Node) resolvePort(r LocalRight) held {
	e := n.ports[r.Port]
	switch r.Kind {
	case Send:
		if e == nil {
			e = n.newHome(r.Port, false)
			n.do(Watch{r.Port})
		} else {
			n.do(Drop{r.Port, Send}) // T4, T6
		}
	case SendOnce:
		if e == nil {
			e = n.newHome(r.Port, true)
			n.do(Watch{r.Port})
		} else { // the adapter has seen that it leads to a proxy
			n.unmake(e)
			n.do(Drop{r.Port, SendOnce})
			e.senders = false
		}
	case Receive:
		if e == nil {
			e = n.newHome(r.Port, false)
		} else if e.home {
			n.do(Drop{r.Port, Send})
		}
		n.do(Adopt{r.Port})
		n.do(Flush{r.Port})
		e.home, e.homeless, e.flushing = false, true, true
		e.late, e.queue = e.queue, nil
		e.senders, e.made = true, 0
		n.arm(e)
	default:
		return held{kind: r.Kind}
	}
	e.refs++
	return held{r.Kind, e}
}

// resolveWire takes over the rights of a record. They are all the table's even if
// there is an error.
func (n *Node) resolveWire(s *session, wm *Message) (*pending, *ProtocolError) {
	m := &pending{body: wm.Body}
	if wm.Body != nil {
		m.size = wm.Body.Size()
	}
	if len(wm.Rights) > 0 {
		m.rights = make([]held, 0, len(wm.Rights))
	}
	for _, r := range wm.Rights {
		h, err := n.resolveRight(s, r)
		if err != nil {
			n.destroy(m)
			return nil, err
		}
		m.rights = append(m.rights, h)
	}
	return m, nil
}

func (n *Node) resolveRight(s *session, r Right) (held, *ProtocolError) {
	peer := s.peer.Node
	switch r.Kind {
	case Null, Dead:
		return held{kind: r.Kind}, nil
	case Send, SendOnce:
	case Receive:
		return n.resolveReceive(s, r)
	default:
		return held{}, broken("B2", "right of kind %d", r.Kind)
	}
	e := n.entries[r.ID]
	if e != nil && e.once != (r.Kind == SendOnce) {
		return held{}, broken("B2", "%v is not a right of kind %v", r.ID, r.Kind)
	}

	if !r.Counted {
		if e == nil || e.holders.of(peer) == 0 {
			return held{}, broken("B2", "returns %v, which it does not hold", r.ID)
		}
		if e.once { // it comes back from its only holder
			n.unhold(e, s, 0)
		}
	} else {
		if e == nil {
			stale := r.ID.Origin.Node == n.config.Self.Node || r.ID.Origin.Node == peer && r.ID.Origin != s.peer // B3
			if stale {
				n.transmit(s, Record{Type: RecRelease, ID: r.ID, N: 1, Once: r.Kind == SendOnce, Dead: true})
				return held{kind: Dead}, nil
			}
			e = n.newEntry(r.ID, r.Key, r.Kind == SendOnce)
		} else if e.once && (e.home || e.dead || len(e.holds) > 0) {
			return held{}, broken("H6", "sends %v, which has another owner", r.ID)
		}
		if e.holds.of(peer) == 0 && s.holds >= n.config.Limits.Holds {
			n.touch(e)
			return held{}, exceeded("B1", "sends more than %d rights", n.config.Limits.Holds)
		}
		n.gain(e, s)
		if e.dead && !e.once && !e.ruled && r.ID.Origin == s.peer { // D5
			e.dead = false
		}
		switch {
		case e.home || e.homeless || e.dead || e.alias != nil:
			n.release(e, peer, false)
		case (r.ID.Origin == s.peer || e.exile == peer) && (e.route == "" || e.detour):
			if !e.claimed {
				e.claim, e.via = "", ""
			}
			n.reroute(e, peer)
		case e.route == "" && e.claim == "" || e.detour && e.route != peer: // H1
			e.claim, e.via, e.detour = r.ID.Origin.Node, peer, false
			if e.exile != "" { // M9
				e.claim = e.exile
			}
		}
		n.touch(e)
	}
	e = e.present()
	if e.dead {
		n.touch(e)
		return held{kind: Dead}, nil
	}
	e.refs++
	return held{r.Kind, e}, nil
}

// resolveReceive takes over a receive right (M1).
func (n *Node) resolveReceive(s *session, r Right) (held, *ProtocolError) {
	peer := s.peer.Node
	e := n.entries[r.ID]
	switch {
	case e == nil:
		if r.ID.Origin != s.peer && r.ID.Origin != n.config.Self {
			return held{}, broken("M8", "moves %v, whose origin it is not", r.ID)
		}
		e = n.newEntry(r.ID, r.Key, false)
	case e.home || e.homeless || e.once || e.alias != nil || e.route != peer && e.exile != peer && r.ID.Origin != s.peer:
		return held{}, broken("M1", "moves %v, of which it is not the home", r.ID)
	}
	if err := n.hold(e, s); err != nil {
		n.touch(e)
		return held{}, err
	}
	n.transmit(s, Record{Type: RecClaimed, ID: e.id}) // M3
	e.left = peer                                     // M5
	if e.dead {
		n.transmit(s, Record{Type: RecDead, ID: e.id})
		return held{kind: Dead}, nil
	}
	e.homeless, e.detour, e.announce = true, false, false
	e.exile, e.ruled = "", r.ID.Origin != n.config.Self
	e.route, e.next, e.moved = "", "", ""
	if !e.claimed {
		e.claim = ""
	}
	n.abandonTo(e, "")
	e.refs++
	n.touch(e)
	return held{Receive, e}, nil
}

// ready says whether a message may leave: receive rights have to wait for what
// comes back first (M5), and send-once rights that go on to another node
// until it is known whose they are (H6).
func (n *Node) ready(m *pending, wire bool) bool {
	for _, h := range m.rights {
		switch {
		case h.kind == Receive && h.e.left != "", wire && h.kind == SendOnce && h.e.claim != "":
			return false
		case h.kind == Receive && !wire: // all that waits for it will be in its queue before it is handed over
			for _, q := range [][]*pending{h.e.front, h.e.queue} {
				for _, m := range q {
					if !n.ready(m, false) {
						return false
					}
				}
			}
		}
	}
	return true
}

// emitWire makes the rights of a record of those of a message, which is
// used up.
func (n *Node) emitWire(m *pending, s *session) []Right {
	if len(m.rights) == 0 {
		return nil
	}
	out := make([]Right, len(m.rights))
	for i, h := range m.rights {
		out[i] = n.emitRight(h, s)
	}
	return out
}

func (n *Node) emitRight(h held, s *session) Right {
	e, peer := h.e, s.peer.Node
	if e == nil {
		return Right{Kind: h.kind}
	}
	e = e.present()
	e.refs--
	n.touch(e)
	if e.dead {
		return Right{Kind: Dead}
	}
	r := Right{Kind: h.kind, ID: e.id}
	switch h.kind {
	case Receive:
		return n.emitReceive(e, s)
	case SendOnce:
		e.carrier = nil
		if e.holds.of(peer) > 0 { // it goes back
			e.spent = true
			n.abandon(e)
			return r
		}
	case Send:
		if e.holds.of(peer) > 0 {
			return r
		}
	}
	if err := n.hold(e, s); err != nil { // B1
		if h.kind == SendOnce && e.home {
			n.extinguish(e)
		}
		return Right{Kind: Dead}
	}
	r.Counted, r.Key = true, e.key
	if !e.home && e.id.Origin == n.config.Self {
		n.moves = append(n.moves, e)
	}
	return r
}

// emitReceive makes this node an import of a port that was here (M1).
func (n *Node) emitReceive(e *entry, s *session) Right {
	peer := s.peer.Node
	e.carrier = nil
	if o := e.id.Origin; o != n.config.Self && o != s.peer { // M8
		n.nextNum++
		y := n.newEntry(ID{n.config.Self, n.nextNum}, n.config.Key(n.nextNum), false)
		y.port, e.port = e.port, 0
		if y.port != 0 {
			n.ports[y.port] = y
		}
		y.senders, y.made, y.armed, y.paused, y.flushing = e.senders, e.made, e.armed, e.paused, e.flushing
		y.queue, y.late, y.front, y.frontSize = e.queue, e.late, e.front, e.frontSize
		e.queue, e.late, e.front, e.frontSize = nil, nil, nil, 0
		for _, q := range [][]*pending{y.queue, y.late, y.front} {
			for _, m := range q {
				n.carry(y, m)
			}
		}
		e.homeless, e.senders, e.made, e.armed, e.paused, e.flushing = false, false, 0, false, false, false
		e.alias = y
		y.aliases = append(y.aliases, e)
		y.refs += 1 + e.refs
		n.moveRefs(e, y)
		e = y
	}
	e.homeless, e.route = false, peer
	n.gain(e, s)
	e.queue = append(e.front, e.queue...)
	e.front, e.frontSize = nil, 0
	if e.ruled = false; e.id.Origin == n.config.Self {
		e.exile = peer
	}
	e.announce, e.tail, e.arriving, e.before = true, true, peer, len(e.queue)
	n.touch(e)
	return Right{Kind: Receive, ID: e.id, Key: e.key}
}

// moveRefs has all waiting messages that refer to from refer to to.
func (n *Node) moveRefs(from, to *entry) {
	for _, x := range n.entries {
		for _, q := range [][]*pending{x.queue, x.late, x.front} {
			for _, m := range q {
				for i := range m.rights {
					if m.rights[i].e == from {
						m.rights[i].e = to
					}
				}
			}
		}
	}
	from.refs = 0
}

// deliver makes a message of the kernel of one that waits, which is used up.
func (n *Node) deliver(to *entry, m *pending) (Deliver, []*entry) {
	n.nextDeliv++
	d := Deliver{Delivery: n.nextDeliv, To: to.port, Once: to.once}
	d.Message.Body = m.body
	var arm []*entry
	if len(m.rights) > 0 {
		d.Message.Rights = make([]LocalRight, len(m.rights))
	}
	for i, h := range m.rights {
		e := h.e
		if e == nil {
			d.Message.Rights[i].Kind = h.kind
			continue
		}
		e = e.present()
		e.refs--
		n.touch(e)
		if e.dead {
			d.Message.Rights[i].Kind = Dead
			continue
		}
		switch h.kind {
		case Send:
			if !e.home {
				n.make(e)
				arm = append(arm, e)
			}
		case SendOnce:
			e.carrier = nil
			if !e.home {
				n.make(e)
			}
		case Receive:
			n.yield(e)
		}
		d.Message.Rights[i] = LocalRight{h.kind, e.port}
	}
	to.delivering++
	n.deliveries[d.Delivery] = delivery{to, m.sent}
	return d, arm
}

// forgetMoved ends the entries of send-once rights that a message took home.
func (n *Node) forgetMoved(m *pending) {
	for _, h := range m.rights {
		if h.kind == SendOnce && h.e != nil && h.e.home && !h.e.gone {
			n.do(Forget{h.e.port})
			n.remove(h.e)
		}
	}
}

// make says that a right will be made from the proxy of an import, which it makes
// if there is none.
func (n *Node) make(e *entry) {
	n.proxy(e)
	e.made++
	e.senders = true
}

// proxy sees that an import has a proxy.
func (n *Node) proxy(e *entry) {
	if e.port == 0 {
		e.port = n.NewPort()
		n.ports[e.port] = e
		e.made = 0
		n.do(NewProxy{e.port, e.once})
	}
}

func (n *Node) arm(e *entry) {
	if !e.armed && !e.once && e.port != 0 && !e.home {
		e.armed = true
		n.do(Arm{e.port, e.made})
	}
}

// yield makes an entry whose receive right is about to be delivered a port of
// the node (M5).
func (n *Node) yield(e *entry) {
	e.carrier = nil
	n.proxy(e)
	e.homeless, e.home = false, true
	e.senders, e.made, e.armed, e.paused = false, 0, false, false
	y := Yield{Port: e.port}
	queue := append(e.front, e.queue...)
	e.front, e.queue, e.frontSize = nil, nil, 0
	var arm []*entry
	for _, m := range queue {
		d, a := n.deliver(e, m)
		y.Front, arm = append(y.Front, d), append(arm, a...)
	}
	n.do(y)
	n.do(Watch{e.port})
	for i := range y.Front {
		n.forgetMoved(queue[i])
	}
	for _, a := range arm {
		n.arm(a)
	}
	n.touch(e)
}
