package mach

import (
	"context"
	"errors"
	"testing"
)

// Interruptions that meet with nobody waiting are one: who has it makes
// another for the next.
func TestEnded(t *testing.T) {
	var e ended
	interruptions := make(chan bool, 10)
	interrupt := func() { interruptions <- true }
	ctx, cancel := context.WithCancel(t.Context())
	stop1 := e.watch(ctx, interrupt)
	stop2 := e.watch(ctx, interrupt)
	never := e.watch(t.Context(), interrupt)
	if err := e.interrupted(t.Context(), interrupt); err != nil || len(interruptions) != 0 {
		t.Errorf("interrupted for nobody: %v, %d interruptions", err, len(interruptions))
	}
	cancel()
	<-interruptions
	<-interruptions
	if err := e.interrupted(ctx, interrupt); !errors.Is(err, context.Canceled) || len(interruptions) != 0 {
		t.Errorf("the call whose context has ended: %v, %d interruptions", err, len(interruptions))
	}
	// One that it is not for passes it on, and stands aside until all have
	// had theirs.
	aside := make(chan error)
	go func() { aside <- e.interrupted(t.Context(), interrupt) }()
	<-interruptions
	stop1()
	<-interruptions
	select {
	case <-aside:
		t.Error("went on while another waits for its interruption")
	default:
	}
	stop2()
	if err := <-aside; err != nil {
		t.Error(err)
	}
	never()
	if len(interruptions) != 0 {
		t.Errorf("%d more interruptions", len(interruptions))
	}
	// Its own context ends the wait, too.
	e.add()
	ctx, cancel = context.WithCancel(t.Context())
	go func() { aside <- e.interrupted(ctx, interrupt) }()
	<-interruptions
	cancel()
	if err := <-aside; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
