package proto

import (
	"context"

	"hurdlab/mach"
)

// A Task is a [Caller] that stands in for what this task does with its own
// rights, too.
type Task interface {
	Caller
	// AddRight makes another send right to p.
	AddRight(p mach.Port)
	// Allocate makes a receive right.
	Allocate() mach.Port
}

// Retain makes another send right to p, which is one already: for a server
// that gives away a right and keeps it. Null is nothing.
func Retain(ctx context.Context, p mach.Port) error {
	if !p.Valid() {
		return nil
	}
	if t, ok := callerOf(ctx).(Task); ok {
		t.AddRight(p)
		return nil
	}
	return mach.PortModRefs(mach.TaskSelf(), p, mach.RightSend, 1)
}

// NewPort makes a receive right that nothing receives from: a port that stands
// for itself, such as a rendezvous. [ReleaseReceive] ends it.
func NewPort(ctx context.Context) (mach.Port, error) {
	if t, ok := callerOf(ctx).(Task); ok {
		return t.Allocate(), nil
	}
	return mach.PortAllocate(mach.TaskSelf(), mach.RightReceive)
}

// ReleaseReceive ends a port of this task's.
func ReleaseReceive(ctx context.Context, p mach.Port) { release(ctx, p, mach.MoveReceive) }
