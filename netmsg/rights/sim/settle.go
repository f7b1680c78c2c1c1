package sim

import (
	"hurdlab/netmsg/rights"
)

// settleBound is how many events there may be before the world comes to rest.
const settleBound = 200_000

// settleAll heals everything, starts what is down, and has all happen that can:
// the tasks only receive.
func (w *World) settleAll() {
	for _, n := range w.nodes {
		if n.down {
			w.start(n)
		}
	}
	for _, l := range w.links {
		if l != nil {
			l.cut = false
		}
	}
	for i := 0; w.fail == nil && w.round(); i++ {
		if i > settleBound {
			w.failf("the world does not come to rest")
		}
	}
	if w.fail == nil {
		w.checkRest()
	}
}

// round has everything that can happen happen once.
func (w *World) round() bool {
	some := false
	for x := range w.nodes {
		for y := range w.nodes {
			if x == y {
				continue
			}
			l, s := w.link(x, y), side(x, y)
			if l.broken && l.ends[s] != idle && len(l.pipes[1-s]) == 0 {
				w.notice(x, y)
				some = true
			}
			if l.dial[s] {
				w.answer(x, y)
				some = true
			}
			if w.arrivable(l, s) {
				w.receive(x, y)
				some = true
			}
			if w.fail != nil {
				return false
			}
		}
	}
	for _, n := range w.nodes {
		for i := 0; i < len(n.notices) && w.fail == nil; i++ {
			if w.noticeable(n, n.notices[i]) {
				w.notify(n, i)
				some = true
				break
			}
		}
		if n.hand != nil {
			w.give(n)
			some = true
		}
		for i := 0; i < len(n.ready) && w.fail == nil; i++ {
			k := n.ready[i]
			switch {
			case len(k.queue) == 0 || k.dead:
				w.unready(n, i)
				i--
			case k.recv >= 0:
				w.take1(k)
				some = true
			case w.readable(k) && n.hand == nil:
				w.read(k)
				w.give(n)
				some = true
			}
		}
		for i := 0; i < len(n.waiting) && w.fail == nil; i++ {
			if w.deliverNext(n, n.waiting[i]) {
				w.run(n)
				some = true
				break
			}
		}
		if w.fail != nil {
			return false
		}
	}
	return some
}

// checkRest checks what must hold when nothing can happen but by the tasks.
func (w *World) checkRest() {
	for _, m := range w.moving {
		w.failf("at rest: %v is %v at %v", m, m.state, m.at)
	}
	for _, n := range w.nodes {
		w.check(n)
		for _, k := range n.ready {
			if len(k.queue) > 0 && !k.dead {
				w.failf("at rest: %v has %d messages", k, len(k.queue))
			}
		}
		for _, x := range n.notices {
			if x.e.k.onces > 0 {
				continue
			}
			w.failf("at rest: %v has not been told about %v", n, x.e)
		}
		for _, t := range n.tasks {
			for _, s := range t.sends {
				if k := s.k; k.g.dead && !k.dead {
					w.failf("at rest: %v is dead, and %v has a right to it", k.g, n)
				} else if !k.dead {
					w.checkRoute(n, k)
				}
			}
			for _, o := range t.onces {
				if o.o.g.dead && !o.k.dead {
					w.failf("at rest: %v is dead, and %v has the right %v", o.o.g, n, o.o)
				}
			}
		}
	}
}

// checkRoute checks that a node at rest holds a port from its home and from
// nobody else (H2), unless there were losses.
func (w *World) checkRoute(n *node, k *kport) {
	g := k.g
	h := g.home()
	if g.lossy || g.again || w.detours || h == n || h == nil {
		return
	}
	for _, i := range w.identList {
		if i.g != g {
			continue
		}
		for _, f := range i.flows {
			if f.to == n.index && f.got > 0 && f.from != h.index {
				w.failf("at rest: %v holds %v from %v, but it is at %v", n, g, w.nodes[f.from], h)
			}
		}
	}
}

// probe has every task send a message by every send right that it has.
func (w *World) probe() {
	w.settleAll()
	var sent []*message
	for _, n := range w.nodes {
		for t := range n.tasks {
			for i := 0; i < len(n.tasks[t].sends) && w.fail == nil; i++ {
				k := n.tasks[t].sends[i].k
				if k.dead {
					continue
				}
				if len(k.queue) >= k.limit {
					w.settleAll()
				}
				m := &message{num: -2, src: n, epoch: n.epoch, dest: k.g, size: 1}
				k.g.seq[n.index]++
				m.seq = k.g.seq[n.index]
				k.sends++
				w.enqueue(k, m)
				sent = append(sent, m)
			}
		}
	}
	if w.fail == nil {
		w.settleAll()
	}
	for _, m := range sent {
		if m.state != received {
			w.failf("right lost: a message by a right of %v to %v is %v", m.src, m.dest, m.state)
		}
	}
}

// Finish ends a world: it heals, every right is tried, all are dropped, and
// nothing must be left of them.
func (w *World) Finish() *Violation {
	w.eager = false
	w.tracef("-- the end: heal and try all rights")
	w.probe()
	if w.fail != nil {
		return w.fail
	}
	w.tracef("-- drop all rights")
	for _, n := range w.nodes {
		for t := range n.tasks {
			t := &n.tasks[t]
			for len(t.onces) > 0 {
				w.dropOnce(t, 0)
			}
			for len(t.sends) > 0 {
				k := t.sends[0].k
				t.takeSend(k)
				w.releaseSend(k)
			}
		}
	}
	// What arrives meanwhile is dropped, too.
	for i := 0; i < 1000 && w.fail == nil; i++ {
		w.settleAll()
		left := false
		for _, n := range w.nodes {
			for t := range n.tasks {
				t := &n.tasks[t]
				left = left || len(t.onces) > 0 || len(t.sends) > 0
				for len(t.onces) > 0 {
					w.dropOnce(t, 0)
				}
				for len(t.sends) > 0 {
					k := t.sends[0].k
					t.takeSend(k)
					w.releaseSend(k)
				}
			}
		}
		if !left {
			break
		}
	}
	if w.fail != nil {
		return w.fail
	}
	for _, o := range w.onceList {
		if o.uses == 0 && !o.g.dead && !(o.g.moved && o.g.lossy) {
			w.failf("%v has never fired (lossy: %v)", o, o.lossy)
		}
	}
	for _, n := range w.nodes {
		if len(n.entries) > 0 {
			for _, e := range n.entries {
				w.failf("leak: %v still has %v: %d references, once %v, receive %v", n, e, e.refs, e.once != nil, e.recv)
			}
		}
		if t, ok := n.table.(interface{ Stats() rights.Stats }); ok {
			if s := t.Stats(); s.Homes+s.Imports+s.Dead+s.Waiting > 0 {
				w.failf("leak: %v still has %+v", n, s)
			}
		}
		for _, g := range n.real {
			if g.at != nil && g.at.node == n && g.at.sends > 0 {
				w.failf("leak: %v has %d senders at the end", g, g.at.sends)
			}
		}
	}
	return w.fail
}
