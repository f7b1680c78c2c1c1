package rights

// advance does what an entry has to do, and forgets it if nobody needs it.
func (n *Node) advance(e *entry) {
	switch {
	case e.dead:
		n.advanceDead(e)
	case e.alias != nil:
		n.abandonTo(e, "")
		if len(e.holders) == 0 && e.refs == 0 && e.claim == "" {
			n.remove(e)
		}
	case e.home:
		n.advanceHome(e)
	case e.homeless:
		n.touch(e.carrier)
		n.abandonTo(e, "")
		n.flow(e)
	default:
		n.advanceImport(e)
	}
}

func (n *Node) advanceDead(e *entry) {
	for _, q := range []*[]*pending{&e.front, &e.queue, &e.late} {
		for _, m := range *q {
			n.destroy(m)
		}
		*q = nil
	}
	n.abandonTo(e, "")
	if len(e.holders) == 0 && e.refs == 0 && e.delivering == 0 && e.claim == "" && e.arriving == "" {
		n.remove(e)
	}
}

func (n *Node) advanceHome(e *entry) {
	n.abandonTo(e, "")
	for len(e.queue) > 0 && n.ready(e.queue[0], false) {
		m := e.queue[0]
		e.queue = e.queue[1:]
		d, arm := n.deliver(e, m)
		n.do(d)
		n.forgetMoved(m)
		for _, a := range arm {
			n.arm(a)
		}
		if e.once {
			n.do(Forget{e.port})
			n.remove(e)
			return
		}
	}
	switch {
	case len(e.holders) > 0 || e.refs > 0 || e.delivering > 0 || len(e.queue) > 0 || e.claim != "":
	case e.once:
		n.extinguish(e)
	default: // C3
		n.do(Drop{e.port, Send})
		n.do(Forget{e.port})
		n.remove(e)
	}
}

func (n *Node) advanceImport(e *entry) {
	n.advanceClaim(e)
	if e.dead {
		return // touched
	}
	for {
		if e.next != "" && n.undelivered(e) == 0 && !e.announce { // M4
			e.route, e.next = e.next, ""
		}
		n.pump(e)
		if s := n.sessions[e.route]; s != nil && e.tail && !e.flushing && e.arriving == "" && e.before == 0 { // M5
			e.tail = false
			n.transmit(s, Record{Type: RecMoved, ID: e.id, Node: e.route})
		}
		if !e.announce || e.tail || e.flushing || e.arriving != "" || e.before > 0 || n.undelivered(e) > 0 {
			break
		}
		e.announce = false // M3
		for _, h := range e.holders {
			if s := n.sessions[h.node]; s != nil && h.node != e.route {
				n.transmit(s, Record{Type: RecMoved, ID: e.id, Node: e.route})
			}
		}
	}
	if e.claim == "" && e.next == "" && e.route != "" {
		n.abandonTo(e, e.route) // H2, H7
	}
	n.flow(e)
	if e.wanted() || e.flushing || e.claimed || e.arriving != "" || e.tail || n.undelivered(e) > 0 {
		return
	}
	n.releaseAll(e, e.once && !e.spent) // C1
	n.unmake(e)
	if e.exile != "" { // M9
		e.route, e.next, e.moved, e.detour, e.announce = "", "", "", false, false
		return
	}
	n.remove(e)
}

// advanceClaim asks for a hold at the home (H1).
func (n *Node) advanceClaim(e *entry) {
	if e.moved != "" && e.claim == "" && e.next == "" {
		switch to := e.moved; {
		case to == e.route:
			e.moved = ""
		case e.holds.of(to) > 0:
			e.moved = ""
			n.reroute(e, to)
		default:
			e.moved, e.claim, e.via = "", to, e.route
		}
	}
	if e.claim == "" || e.claimed {
		return
	}
	if !e.wanted() {
		e.claim, e.via = "", ""
		return
	}
	s := n.sessions[e.claim]
	switch {
	case s == nil:
		if !n.dialling[e.claim] {
			n.dialling[e.claim] = true
			n.do(Dial{e.claim})
		}
	case s.peer.Node == e.id.Origin.Node && s.peer != e.id.Origin: // H5: it has started anew, and it is not known which is the later
		n.claimFailed(e)
	case s.claims >= n.config.Limits.Claims: // B1
		n.claimFailed(e)
	default:
		s.claims++
		e.claimed = true
		n.transmit(s, Record{Type: RecClaim, ID: e.id, Key: e.key, Node: e.via, Once: e.once})
		if e.once {
			e.route = e.claim // H6
		}
	}
}

// claimFailed goes on without an own hold at the home (H5).
func (n *Node) claimFailed(e *entry) {
	e.claim, e.claimed, e.via = "", false, ""
	n.touch(e)
	n.touch(e.carrier)
	switch {
	case e.dead || e.home || e.homeless || e.alias != nil:
	case e.spent: // whether the claim arrived is not known
		n.releaseAll(e, true)
	case e.route != "":
	case len(e.holds) > 0:
		to := e.holds[0].node
		for _, h := range e.holds {
			to = min(to, h.node)
		}
		e.route, e.detour = to, true
	default:
		n.kill(e)
	}
}

// pump sends what may be sent.
func (n *Node) pump(e *entry) {
	for len(e.queue) > 0 {
		m, s := e.queue[0], n.sessions[e.route]
		if s == nil || e.next != "" || e.announce && !e.flushing && e.before == 0 || !n.ready(m, true) {
			return
		}
		if !e.once && !e.tail {
			if len(s.unacked[e.id]) >= s.window { // F1
				return
			}
			if s.inflight > 0 && s.inflight+m.size > s.budget { // F2
				if !e.starving {
					e.starving = true
					s.starved = append(s.starved, e)
				}
				return
			}
			s.inflight += m.size
			s.unacked[e.id] = append(s.unacked[e.id], m.sent)
		}
		e.queue = e.queue[1:]
		if e.before > 0 {
			e.before--
		}
		r := Record{Type: RecMessage, ID: e.id, Once: e.once, Message: &Message{Body: m.body, Rights: n.emitWire(m, s)}}
		n.transmit(s, r)
		if !e.once && e.tail { // M5: it is not to be confirmed
			n.confirm(m.sent)
		}
		n.tellMoves(s)
		if e.once {
			e.spent = true
			n.lose(e, e.route)
			return
		}
	}
}

// flow has the proxy received from only while nothing waits here (F3).
func (n *Node) flow(e *entry) {
	paused := len(e.queue)+len(e.late) > 0 && !e.flushing && !e.once
	if e.port == 0 || paused == e.paused {
		return
	}
	e.paused = paused
	if paused {
		n.do(Pause{e.port})
	} else {
		n.do(Resume{e.port})
	}
}
