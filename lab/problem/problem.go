// Package problem is the form in which errors of the lab reach a person: what
// happened, why, and what to do next.
//
// Errors that a user can do something about are wrapped in an [Error] where
// the advice is known, which is often deep inside; the command line prints
// the advice of the outermost one that has any. The control protocol of the
// daemon carries the same three parts. It imports nothing of the house.
package problem

import (
	"errors"
	"fmt"
)

// An Error is an error with advice.
type Error struct {
	// What happened: "lab \"x\" is not running".
	What string
	// Err says why; nil if What says it all.
	Err error
	// Do says what the user can do about it, as a sentence or a command.
	Do string
}

// New returns an error which says what happened and what to do about it.
func New(what, do string) error { return &Error{What: what, Do: do} }

// Wrap returns err with what happened because of it and what to do.
// It returns nil if err is nil.
func Wrap(err error, what, do string) error {
	if err == nil {
		return nil
	}
	return &Error{What: what, Err: err, Do: do}
}

func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.What
	case e.What == "":
		return e.Err.Error()
	}
	return fmt.Sprintf("%s: %v", e.What, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Advice is e.Do.
func (e *Error) Advice() string { return e.Do }

// Advice returns what to do about err: that of the outermost error in the
// chain which has any, or "". Errors of packages below this one, which do not
// know it, give theirs by a method Advice.
func Advice(err error) string {
	for {
		var e interface {
			error
			Advice() string
		}
		if !errors.As(err, &e) {
			return ""
		}
		if do := e.Advice(); do != "" {
			return do
		}
		err = errors.Unwrap(e)
	}
}
