package proc

import (
	"maps"
	"slices"

	"hurdlab/hurd/proto"
)

// A session is the process groups of one login on a terminal.
type session struct {
	id     int32
	groups int
	port   Object // its identity, if somebody has asked
}

// A group is a process group. It lives as long as it has members; zombies are
// members, too.
type group struct {
	id      int32
	session *session
	members map[*Process]struct{}
	// wasOrphaned is whether it was when it was last looked at.
	wasOrphaned bool
}

// A login is a login collection: the processes of one log-in.
type login struct {
	id   int32
	name string
}

// newSession makes p the leader of a new session and group.
func (t *Table) newSession(p *Process) {
	s := &session{id: p.pid}
	t.sessions[s.id] = s
	p.join(t.newGroup(p.pid, s))
}

func (t *Table) newGroup(id int32, s *session) *group {
	g := &group{id: id, session: s, members: make(map[*Process]struct{}), wasOrphaned: true}
	s.groups++
	t.groups[id] = g
	return g
}

func (p *Process) join(g *group) {
	if p.group == g {
		return
	}
	p.leave()
	p.group = g
	g.members[p] = struct{}{}
}

func (p *Process) leave() {
	g := p.group
	if g == nil {
		return
	}
	delete(g.members, p)
	p.group = nil
	if len(g.members) > 0 {
		return
	}
	t := p.table
	delete(t.groups, g.id)
	if g.session.groups--; g.session.groups == 0 {
		delete(t.sessions, g.session.id)
		if o := g.session.port; o != nil {
			t.later(o.Close)
		}
	}
}

// orphaned reports whether no member has a parent in the session outside the
// group: nobody could continue it.
func (g *group) orphaned() bool {
	for p := range g.members {
		q := p.parent
		if p.state < dead && q != nil && q != p && q.group != nil && q.group != g && q.group.session == g.session {
			return false
		}
	}
	return true
}

// checkOrphans sends SIGHUP and SIGCONT to a group with stopped members that
// has become orphaned.
func (t *Table) checkOrphans(g *group) {
	was := g.wasOrphaned
	g.wasOrphaned = g.orphaned()
	if was || !g.wasOrphaned {
		return
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(g.members)), func(p *Process) bool { return p.state == stopped }) {
		return
	}
	for _, p := range sorted(g.members) {
		t.post(p, proto.SIGHUP, 0)
		t.post(p, proto.SIGCONT, 0)
	}
}

func sortedGroups(set map[*group]bool) []*group {
	return slices.SortedFunc(maps.Keys(set), func(a, b *group) int { return int(a.id - b.id) })
}

func (t *Table) setsid(p *Process) error {
	if t.groups[p.pid] != nil || t.sessions[p.pid] != nil {
		return proto.EPERM
	}
	old := p.group
	affected := groupsOfChildren(p)
	t.newSession(p)
	for g := range affected {
		t.checkOrphans(g)
	}
	t.checkOrphans(old)
	p.group.wasOrphaned = p.group.orphaned()
	t.tellIDs(p)
	return nil
}

func groupsOfChildren(p *Process) map[*group]bool {
	set := make(map[*group]bool)
	for q := range p.children {
		set[q.group] = true
	}
	return set
}

// setpgrp moves a process into a group of its session: proc_setpgrp.
func (t *Table) setpgrp(p *Process, pid, id int32) error {
	q := p
	if pid != 0 {
		if q = t.byPID[pid]; q == nil || q.state >= dead {
			return proto.ESRCH
		}
	}
	if id == 0 {
		id = q.pid
	}
	switch {
	case id < 0:
		return proto.EINVAL
	case q != p && q.parent != p:
		return proto.ESRCH
	case q != p && q.execed:
		return proto.EACCES
	case q.group.session.id == q.pid, q.group.session != p.group.session:
		return proto.EPERM
	case q.group.id == id:
		return nil
	}
	g := t.groups[id]
	switch {
	case g == nil && id != q.pid, g != nil && g.session != p.group.session:
		return proto.EPERM
	case g == nil:
		g = t.newGroup(id, p.group.session)
	}
	old := q.group
	affected := groupsOfChildren(q)
	q.join(g)
	g.wasOrphaned = g.orphaned()
	affected[old] = true
	for _, g := range sortedGroups(affected) {
		t.checkOrphans(g)
	}
	t.tellIDs(q)
	return nil
}

// makeLogin makes p the first of a new login collection.
func (t *Table) makeLogin(p *Process) error {
	if t.logins[p.pid] != nil {
		return proto.EBUSY
	}
	name := p.login.name
	p.dropLogin()
	p.login = &login{id: p.pid, name: name}
	t.logins[p.pid] = p.login
	return nil
}

// dropLogin takes p out of its login collection, which ends with its last
// member.
func (p *Process) dropLogin() {
	l := p.login
	p.login = nil
	if l == nil || l == p.table.init.login {
		return
	}
	for _, q := range p.table.byPID {
		if q.login == l {
			return
		}
	}
	delete(p.table.logins, l.id)
}

// pids returns the numbers of the processes that match, in order.
func (t *Table) pids(match func(*Process) bool) []int32 {
	var list []int32
	for pid, p := range t.byPID {
		if match(p) {
			list = append(list, pid)
		}
	}
	slices.Sort(list)
	return list
}
