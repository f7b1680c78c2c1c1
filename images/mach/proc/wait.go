package proc

import (
	"context"
	"time"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// postTimeout bounds how long a message waits for room in a process's queue.
const postTimeout = 5 * time.Second

// An event is what proc_wait returns.
type event struct {
	status, sigcode int32
	usage           proto.Rusage
	pid             int32
}

// wait waits for news of children of p: proc_waitid. A pid of 0 in the result
// is that there are none yet, with WNOHANG.
func (t *Table) wait(ctx context.Context, p *Process, pid, options int32) (event, error) {
	if options&(proto.WEXITED|proto.WUNTRACED|proto.WCONTINUED) == 0 ||
		options&^(proto.WEXITED|proto.WUNTRACED|proto.WCONTINUED|proto.WNOHANG|proto.WNOWAIT) != 0 {
		return event{}, proto.EINVAL
	}
	t.lock()
	p.waiting++
	defer func() {
		p.waiting--
		t.unlock()
	}()
	for {
		if p.state >= dead {
			return event{}, proto.ESRCH
		}
		e, ok, err := t.news(p, pid, options)
		if ok || err != nil {
			return e, err
		}
		if options&proto.WNOHANG != 0 {
			return event{}, nil
		}
		changed := p.changed
		t.unlock()
		select {
		case <-changed:
			t.lock()
		case <-ctx.Done():
			t.lock()
			return event{}, proto.EINTR
		}
	}
}

// news looks for a child with news.
func (t *Table) news(p *Process, pid, options int32) (event, bool, error) {
	some := false
	for _, q := range sorted(p.children) {
		if q == p || !q.claimed || !p.waitsFor(q, pid) {
			continue
		}
		some = true
		e := event{q.status, q.sigcode, proto.Rusage{}, q.pid}
		switch {
		case q.state == dead && options&proto.WEXITED != 0:
			e.usage = q.usage
			addUsage(&e.usage, q.childUsage)
			if options&proto.WNOWAIT == 0 {
				addUsage(&p.childUsage, e.usage)
				t.remove(q)
			}
			return e, true, nil
		case q.state == stopped && q.news && (options&proto.WUNTRACED != 0 || q.traced),
			q.state == running && q.continued && options&proto.WCONTINUED != 0:
			if options&proto.WNOWAIT == 0 {
				q.news, q.continued = false, false
			}
			return e, true, nil
		}
	}
	if !some {
		return event{}, false, proto.ECHILD
	}
	return event{}, false, nil
}

// waitsFor reports whether pid, as in proc_wait, names the child q of p.
func (p *Process) waitsFor(q *Process, pid int32) bool {
	switch {
	case pid > 0:
		return q.pid == pid
	case pid == 0:
		return q.group == p.group
	case pid == -1:
		return true
	}
	return q.group != nil && q.group.id == -pid
}

// addUsage adds what is a sum, and the largest of the first count, which is
// the most memory.
func addUsage(to *proto.Rusage, u proto.Rusage) {
	addTime(&to.Utime, u.Utime)
	addTime(&to.Stime, u.Stime)
	for i := range to.Counts {
		if i == 0 {
			to.Counts[0] = max(to.Counts[0], u.Counts[0])
		} else {
			to.Counts[i] += u.Counts[i]
		}
	}
}

func addTime(to *proto.Timeval, d proto.Timeval) {
	to.Sec += d.Sec
	if to.Usec += d.Usec; to.Usec >= 1e6 {
		to.Sec, to.Usec = to.Sec+1, to.Usec-1e6
	}
}

// messagePort returns the message port of a process, a new reference, once it
// has one: proc_getmsgport. It is null if the process does not want messages.
func (t *Table) messagePort(ctx context.Context, pid int32) (mach.Port, error) {
	t.lock()
	defer t.unlock()
	for {
		p := t.byPID[pid]
		switch {
		case p == nil || p.state >= dead:
			return mach.Null, proto.ESRCH
		case p.msgportKnown:
			if p.msgport != mach.Null {
				if err := t.kernel.Retain(p.msgport); err != nil {
					return mach.Null, err
				}
			}
			return p.msgport, nil
		}
		changed := p.changed
		t.unlock()
		select {
		case <-changed:
			t.lock()
		case <-ctx.Done():
			t.lock()
			return mach.Null, proto.EINTR
		}
	}
}
