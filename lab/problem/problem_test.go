package problem

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestErrorSaysWhatAndWhy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{New("no lab", "start one"), "no lab"},
		{Wrap(fs.ErrNotExist, "read key", "make one"), "read key: file does not exist"},
		{Wrap(fs.ErrNotExist, "", "make one"), "file does not exist"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if err := Wrap(nil, "x", "y"); err != nil {
		t.Errorf("Wrap(nil) = %v, want nil", err)
	}
	if !errors.Is(Wrap(fs.ErrNotExist, "a", "b"), fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
}

func TestAdviceIsTheOutermost(t *testing.T) {
	inner := New("inner", "do inner")
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), ""},
		{nil, ""},
		{inner, "do inner"},
		{fmt.Errorf("outer: %w", inner), "do inner"},
		{Wrap(inner, "outer", ""), "do inner"},
		{Wrap(inner, "outer", "do outer"), "do outer"},
	} {
		if got := Advice(c.err); got != c.want {
			t.Errorf("Advice(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}
